/*
 * pass_blocks.c - the blocks that extent rows name, against the counts of shared ones (K3) and the bitmaps of groups.
 * Layer: check. What rows name is the truth: both tables can be made anew from it.
 */
#include "check_impl.h"

#include "blocks.h"

#include <string.h>

#define REFS_MAX (INT64_C(1) << 48)

/* ---- shared --------------------------------------------------------------------------------------------------------- */

struct counts {
	struct lk_buf truth; /* struct lk_block_range */
	size_t at;
	uint64_t next; /* blocks below were compared */
	bool wrong;
};

static const struct lk_block_range *range_at(const struct counts *k)
{
	return k->at < k->truth.len / sizeof(struct lk_block_range)
		       ? (const struct lk_block_range *)(const void *)k->truth.p + k->at
		       : NULL;
}

static int differs(struct lk_check *c, struct counts *k, uint64_t block, uint64_t count, int64_t have, int64_t want)
{
	struct lk_place place = {.block = block, .count = (int64_t)count, .have = have, .want = want};
	int r = lk_found(c, LK_P_SHARED_COUNT, &place);
	k->wrong |= r > 0;
	return r < 0 ? r : 0;
}

static bool named_once(const struct lk_check *c, uint64_t block)
{
	const uint8_t *bits = lk_blocks_bits(c->blocks, block / LK_GROUP_BLOCKS);
	return bits && bits[block % LK_GROUP_BLOCKS / 8] >> (block % 8) & 1;
}

/* Blocks [from, to), of which the table says have (1: nothing), against the truth. */
static int compare(struct lk_check *c, struct counts *k, uint64_t from, uint64_t to, int64_t have)
{
	int r = 0;
	while (r == 0 && from < to) {
		const struct lk_block_range *t = range_at(k);
		uint64_t end = to;
		int64_t want = 1;
		if (t && t->block + t->count <= from) {
			k->at++;
			continue;
		}
		if (t && t->block <= from) {
			want = t->refs;
			end = LK_MIN(to, t->block + t->count);
		} else if (t) {
			end = LK_MIN(to, t->block);
		}
		if (want != have)
			r = differs(c, k, from, end - from, have, want == 1 && !named_once(c, from) ? 0 : want);
		from = end;
	}
	k->next = LK_MAX(k->next, from);
	return r;
}

static int judge_shared(struct lk_check *c, struct counts *k, const struct lk_shared *row)
{
	bool valid = row->disk_block >= 0 && row->disk_block <= LK_DISK_BLOCK_MAX && row->count >= 1 &&
		     row->count <= LK_DISK_BLOCK_MAX + 1 - row->disk_block && row->refs >= 2 && row->refs <= REFS_MAX;
	if (!valid || (uint64_t)row->disk_block < k->next) {
		int r = lk_found(c, LK_P_SHARED_FIELD, &(struct lk_place){.block = (uint64_t)row->disk_block});
		k->wrong |= r > 0;
		return r < 0 ? r : 0;
	}
	int r = compare(c, k, k->next, (uint64_t)row->disk_block, 1);
	return r ? r : compare(c, k, (uint64_t)row->disk_block, (uint64_t)(row->disk_block + row->count), row->refs);
}

/* All of the table, in one transaction. */
static int write_shared(struct lk_check *c, const struct counts *k)
{
	const struct lk_block_range *all = (const void *)k->truth.p;
	struct lk_rows rows;
	const void *record;
	int r = lk_mend_end(c);
	lk_rows_init(&rows, c->db, LK_T_SHARED, LK_BY_KEY);
	while (r == 0 && (r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = lk_mend_erase(c, LK_T_SHARED, record);
		lk_rows_next(&rows);
	}
	lk_rows_done(&rows);
	for (size_t i = 0; r == 0 && i < k->truth.len / sizeof(*all); i++) {
		struct lk_shared row = {(int64_t)all[i].block, (int64_t)all[i].count, all[i].refs};
		r = lk_mend_insert(c, LK_T_SHARED, &row);
	}
	return r ? r : lk_mend_end(c);
}

static int check_shared(struct lk_check *c)
{
	struct counts k = {0};
	struct lk_rows rows;
	const void *record;
	int r = lk_blocks_shared(c->blocks, &k.truth);
	lk_rows_init(&rows, c->db, LK_T_SHARED, LK_BY_KEY);
	while (r == 0 && (r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = judge_shared(c, &k, record);
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	if (r)
		r = lk_unreadable(c, LK_T_SHARED, r);
	else
		r = compare(c, &k, k.next, LK_MAX(c->block_end, k.next), 1);
	if (r == 0 && k.wrong && c->repair)
		r = write_shared(c, &k);
	lk_buf_done(&k.truth);
	return r;
}

/* ---- groups --------------------------------------------------------------------------------------------------------- */

static uint32_t bits_set(const uint8_t *bits)
{
	uint32_t n = 0;
	for (size_t i = 0; i < LK_GROUP_BLOCKS / 8; i += 8)
		n += (uint32_t)__builtin_popcountll(lk_get_u64(bits + i));
	return n;
}

static int put_group(struct lk_check *c, int64_t number)
{
	static const uint8_t none[LK_GROUP_BLOCKS / 8];
	const uint8_t *bits = lk_blocks_bits(c->blocks, (uint64_t)number);
	if (!bits)
		bits = none;
	struct lk_group row = {.number = number, .used = bits_set(bits), .bitmap = {bits, LK_GROUP_BLOCKS / 8}};
	int r = lk_mend_put(c, LK_T_GROUP, &row);
	return r ? r : lk_mend_point(c);
}

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits && bits[i / 8] >> (i % 8) & 1;
}

/* Each stretch of blocks that differ in one way is a finding. */
static int compare_bits(struct lk_check *c, int64_t number, const uint8_t *have, const uint8_t *want, bool *wrong)
{
	int r = 0;
	for (uint32_t i = 0; r >= 0 && i < LK_GROUP_BLOCKS;) {
		if (i % 64 == 0 && lk_get_u64(have + i / 8) == (want ? lk_get_u64(want + i / 8) : 0)) {
			i += 64;
			continue;
		}
		bool h = bit(have, i), w = bit(want, i);
		uint32_t from = i++;
		if (h == w)
			continue;
		while (i < LK_GROUP_BLOCKS && bit(have, i) == h && bit(want, i) == w)
			i++;
		struct lk_place place = {.block = (uint64_t)number * LK_GROUP_BLOCKS + from, .count = i - from};
		r = lk_found(c, h ? LK_P_BLOCK_LEAKED : LK_P_BLOCK_UNMARKED, &place);
		*wrong |= r > 0;
	}
	return r < 0 ? r : 0;
}

static int judge_group(struct lk_check *c, const struct lk_group *g)
{
	struct lk_place place = {LK_NOWHERE, .have = g->number, .count = g->number};
	const uint8_t *want = lk_blocks_bits(c->blocks, (uint64_t)g->number);
	bool wrong = false;
	int r;
	if (g->bitmap.len != LK_GROUP_BLOCKS / 8) {
		place.what = "its bitmap does not have its length";
		r = lk_found(c, LK_P_GROUP_FIELD, &place);
		return r > 0 ? put_group(c, g->number) : r;
	}
	r = compare_bits(c, g->number, g->bitmap.p, want, &wrong);
	place.have = g->used;
	place.want = bits_set(g->bitmap.p);
	if (r == 0 && place.have != place.want) {
		r = lk_found(c, LK_P_GROUP_USED, &place);
		wrong |= r > 0;
	}
	return r >= 0 && wrong ? put_group(c, g->number) : LK_MIN(r, 0);
}

/* Groups from *next to before number have no row. Those that nothing needs are as free ones. */
static int missing_groups(struct lk_check *c, uint64_t *next, uint64_t number)
{
	int r = 0;
	for (; r >= 0 && *next < number; ++*next) {
		r = lk_found(c, LK_P_GROUP_MISSING, &(struct lk_place){LK_NOWHERE, .have = (int64_t)*next});
		if (r > 0)
			r = put_group(c, (int64_t)*next);
	}
	return r < 0 ? r : 0;
}

/* The last group that something names: those before it must have rows. */
static uint64_t groups_needed(const struct lk_check *c)
{
	uint64_t n = lk_blocks_groups(c->blocks);
	while (n && !lk_blocks_bits(c->blocks, n - 1))
		n--;
	return n;
}

static int check_groups(struct lk_check *c)
{
	struct lk_rows rows;
	const void *record;
	uint64_t next = 0, end = lk_blocks_groups(c->blocks);
	int r = 0;
	lk_rows_init(&rows, c->db, LK_T_GROUP, LK_BY_KEY);
	rows.limit = 16;
	while (r == 0 && (r = lk_rows_peek(&rows, &record)) == 0 && record) {
		const struct lk_group *g = record;
		struct lk_place place = {LK_NOWHERE, .have = g->number, .what = "its number is out of range"};
		/* A row behind the dense ones, of a group that no piece holds, is of nothing. */
		if (g->number < 0 || (uint64_t)g->number >= end) {
			r = lk_found(c, LK_P_GROUP_FIELD, &place);
			if (r > 0)
				r = lk_mend_erase(c, LK_T_GROUP, g);
		} else {
			r = missing_groups(c, &next, (uint64_t)g->number);
			next = (uint64_t)g->number + 1;
			if (r == 0)
				r = judge_group(c, g);
		}
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	if (r)
		return lk_unreadable(c, LK_T_GROUP, r);
	return missing_groups(c, &next, LK_MAX(next, groups_needed(c)));
}

int lk_pass_blocks(struct lk_check *c)
{
	if (lk_is_broken(c, LK_T_EXTENT) || lk_is_broken(c, LK_T_EXTENT_OLD))
		return 0;
	int r = check_shared(c);
	return r ? r : check_groups(c);
}
