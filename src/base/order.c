/*
 * order.c - sorted arrays whose elements begin with a number.
 * Layer: base.
 */
#include "base.h"

#include <string.h>

static uint64_t number_of(const void *element)
{
	uint64_t number;
	memcpy(&number, element, sizeof(number));
	return number;
}

int lk_by_number(const void *a, const void *b)
{
	uint64_t x = number_of(a), y = number_of(b);
	return x < y ? -1 : x > y;
}

size_t lk_first_number(const void *p, size_t count, size_t size, uint64_t number)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (number_of((const char *)p + middle * size) < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
