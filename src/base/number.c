/*
 * number.c - numbers in text that is not believed (base.h).
 * Layer: base.
 */
#include "base.h"

bool lk_take_number(const char **p, char end, uint64_t max, uint64_t *out)
{
	const char *s = *p;
	uint64_t n = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (digit > max || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (*s != end)
		return false;
	*p = s + 1;
	*out = n;
	return true;
}

bool lk_take_signed(const char **p, char end, int64_t *out)
{
	bool minus = **p == '-';
	const char *s = minus ? *p + 1 : *p;
	uint64_t n;

	if (!lk_take_number(&s, end, minus ? (uint64_t)INT64_MAX + 1 : INT64_MAX, &n))
		return false;
	*p = s;
	*out = minus ? (int64_t)(UINT64_MAX - n + 1) : (int64_t)n;
	return true;
}
