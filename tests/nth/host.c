/*
 * host.c - a host of limited size, by counting: which 4 KiB blocks of the volume's files have space behind them.
 * The host's own structures take none here, and a write is cut where the space ends, as on ext4.
 */
#include "nth.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT 4096u
#define FILES 8
#define UNITS (HOST_BITS * 8) /* a data piece's; no file here is larger */

static struct host_file {
	char name[32];
	uint8_t bits[HOST_BITS];
	uint64_t end; /* no unit from here on has its bit set */
} files[FILES];
static unsigned file_count;
static int64_t left = -1, lowest;
static uint64_t refused;
static bool mapped_nothing, is_on;

static struct host_file *file_of(const char *name)
{
	for (unsigned i = 0; i < file_count; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	if (file_count == FILES || strlen(name) >= sizeof(files[0].name))
		abort();
	struct host_file *f = &files[file_count++];
	memset(f->bits, 0, sizeof(f->bits));
	f->end = 0;
	(void)strcpy(f->name, name);
	return f;
}

static bool has(const struct host_file *f, uint64_t unit)
{
	return f->bits[unit / 8] >> (unit % 8) & 1;
}

static void take(struct host_file *f, uint64_t unit)
{
	f->bits[unit / 8] |= (uint8_t)(1u << (unit % 8));
	f->end = LK_MAX(f->end, unit + 1);
	if (left > 0)
		left--;
	lowest = LK_MIN(lowest, left);
}

static void give(struct host_file *f, uint64_t from, uint64_t to)
{
	for (uint64_t u = from; u < to && u < f->end; u++) {
		if (has(f, u)) {
			f->bits[u / 8] &= (uint8_t) ~(1u << (u % 8));
			left += left >= 0;
		}
	}
}

void host_reset(bool on)
{
	is_on = on;
	file_count = 0;
	host_limit(-1);
}

void host_limit(int64_t blocks)
{
	left = lowest = blocks;
	refused = 0;
	mapped_nothing = false;
}

int64_t host_left(void)
{
	return left;
}

int64_t host_lowest(void)
{
	return lowest;
}

uint64_t host_refused(void)
{
	return refused;
}

bool host_mapped_nothing(void)
{
	return mapped_nothing;
}

const uint8_t *host_bits(const char *name)
{
	return file_of(name)->bits;
}

void host_set(const char *name, const uint8_t *bits)
{
	struct host_file *f = file_of(name);
	memcpy(f->bits, bits, HOST_BITS);
	f->end = UNITS;
	while (f->end && !f->bits[(f->end - 1) / 8])
		f->end -= 8;
}

static int before_write(struct host_file *f, struct call *call)
{
	for (uint64_t u = call->offset / UNIT; u * UNIT < call->offset + call->len && u < UNITS; u++) {
		if (has(f, u))
			continue;
		if (left == 0) {
			refused++;
			if (u * UNIT <= call->offset)
				return ENOSPC;
			call->len = u * UNIT - call->offset;
			return 0;
		}
		take(f, u);
	}
	return 0;
}

static int before_allocate(struct host_file *f, const struct call *call)
{
	uint64_t from = call->offset / UNIT, to = (call->offset + call->len + UNIT - 1) / UNIT;
	int64_t need = 0;
	if (call->mode & ~FALLOC_FL_KEEP_SIZE)
		return 0;
	for (uint64_t u = from; u < to && u < UNITS; u++)
		need += !has(f, u);
	if (left >= 0 && need > left) {
		refused++;
		return ENOSPC;
	}
	for (uint64_t u = from; u < to && u < UNITS; u++)
		if (!has(f, u))
			take(f, u);
	return 0;
}

int host_before(struct call *call)
{
	if (!is_on || !call->name || !call->name[0])
		return 0;
	struct host_file *f = file_of(call->name);
	if (call->kind == CALL_WRITE)
		return before_write(f, call);
	if (call->kind == CALL_ALLOCATE)
		return before_allocate(f, call);
	if (call->kind == CALL_MAP && left >= 0 && call->mode & PROT_WRITE) {
		for (uint64_t u = call->offset / UNIT; u * UNIT < call->offset + call->len && u < UNITS; u++)
			mapped_nothing |= !has(f, u);
	}
	return 0;
}

void host_after(const struct call *call, int64_t result)
{
	if (!is_on || result < 0 || !call->name || !call->name[0])
		return;
	struct host_file *f = file_of(call->name);
	if (call->kind == CALL_TRUNCATE)
		give(f, (call->offset + UNIT - 1) / UNIT, UNITS);
	else if (call->kind == CALL_UNLINK)
		give(f, 0, UNITS);
	else if (call->kind == CALL_ALLOCATE && call->mode & FALLOC_FL_PUNCH_HOLE)
		give(f, (call->offset + UNIT - 1) / UNIT, (call->offset + call->len) / UNIT);
}
