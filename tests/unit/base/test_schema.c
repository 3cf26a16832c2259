/*
 * test_schema.c - the record descriptors: columns lie inside their structs, keys come first, history tables follow
 * from live ones; and the two hashes of the format, pinned by golden values: a change of one is a change of format.
 */
#include "test.h"

#include <schema.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t field_size(const struct lk_column *c)
{
	return c->type == LK_INT ? sizeof(int64_t) : sizeof(struct lk_bytes);
}

static void tables_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_T_COUNT; i++) {
		const struct lk_table *t = &lk_tables[i];
		assert_non_null(t->name);
		assert_int_equal(t->id, i);
		assert_in_range(t->column_count, 1, LK_COLUMNS_MAX);
		assert_in_range(t->key_count, 1, t->column_count);
		assert_in_range(t->record_size, 1, LK_RECORD_MAX);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(t->name, lk_tables[j].name);
	}
}

/* One field for each column: together they fill the struct, and no two overlap. */
static void columns_tile_their_record(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_T_COUNT; i++) {
		const struct lk_table *t = &lk_tables[i];
		uint8_t used[LK_RECORD_MAX] = {0};
		for (size_t c = 0; c < t->column_count; c++) {
			size_t size = field_size(&t->columns[c]);
			assert_int_equal(t->columns[c].offset % sizeof(int64_t), 0);
			assert_true(t->columns[c].offset + size <= t->record_size);
			for (size_t b = 0; b < size; b++)
				assert_int_equal(used[t->columns[c].offset + b]++, 0);
			assert_non_null(t->columns[c].name);
			for (size_t d = 0; d < c; d++)
				assert_string_not_equal(t->columns[c].name, t->columns[d].name);
		}
		for (size_t b = 0; b < t->record_size; b++)
			assert_int_equal(used[b], 1);
	}
}

static void rowid_keys_are_one_integer(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_T_COUNT; i++) {
		const struct lk_table *t = &lk_tables[i];
		bool one_integer = t->key_count == 1 && t->columns[0].type == LK_INT;
		if (t->rowid)
			assert_true(one_integer);
	}
}

static void indexes_name_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_T_COUNT; i++) {
		const struct lk_table *t = &lk_tables[i];
		for (size_t x = 0; x < t->index_count; x++) {
			assert_in_range(t->indexes[x].column_count, 1, t->column_count);
			for (size_t c = 0; c < t->indexes[x].column_count; c++)
				assert_true(t->indexes[x].columns[c] < t->column_count);
		}
	}
}

/* The reverse index of names: (ino, dir, hash, ord, name, born); history lies by last (K2), and is found by the live table's key, then last. */
static void required_indexes_are_there(void **state)
{
	(void)state;
	static const char *const by_ino[] = {"ino", "dir", "hash", "ord", "name", "born"};
	const struct lk_table *d = &lk_tables[LK_T_DIRENT];
	const struct lk_index *x = &d->indexes[LK_DIRENT_BY_INO];
	assert_int_equal(x->column_count, LK_ARRAY_LEN(by_ino));
	for (size_t c = 0; c < LK_ARRAY_LEN(by_ino); c++)
		assert_string_equal(d->columns[x->columns[c]].name, by_ino[c]);

	for (size_t i = 0; i < LK_T_LIVE_COUNT; i++) {
		const struct lk_table *live = &lk_tables[i], *old = &lk_tables[live->old];
		if (!live->versioned)
			continue;
		assert_string_equal(old->columns[0].name, "last");
		const struct lk_index *index = &old->indexes[LK_OLD_BY_KEY];
		assert_int_equal(index->column_count, live->key_count + 1);
		for (size_t c = 0; c < live->key_count; c++)
			assert_string_equal(old->columns[index->columns[c]].name, live->columns[c].name);
		assert_string_equal(old->columns[index->columns[live->key_count]].name, "last");
	}
}

/* The design's list: what is versioned has born and a history table made of the same columns plus last. */
static void history_tables_follow_from_live_ones(void **state)
{
	(void)state;
	static const enum lk_table_id versioned[] = {LK_T_INODE,  LK_T_DIRENT, LK_T_TARGET, LK_T_BIND,
						     LK_T_INLINE, LK_T_EXTENT, LK_T_XATTR};
	size_t count = 0;
	for (size_t i = 0; i < LK_T_LIVE_COUNT; i++) {
		bool listed = false;
		for (size_t v = 0; v < LK_ARRAY_LEN(versioned); v++)
			listed |= versioned[v] == lk_tables[i].id;
		assert_int_equal(lk_tables[i].versioned, listed);
		count += listed;
		if (!listed)
			continue;

		const struct lk_table *t = &lk_tables[i];
		assert_string_equal(t->columns[t->born_column].name, "born");
		assert_true(t->old >= LK_T_LIVE_COUNT && t->old < LK_T_COUNT);
		const struct lk_table *old = &lk_tables[t->old];
		char name[64];
		(void)snprintf(name, sizeof(name), "%s_old", t->name);
		assert_string_equal(old->name, name);
		assert_false(old->versioned);
		assert_int_equal(old->column_count, t->column_count + 1);
		assert_int_equal(old->key_count, t->key_count + 1);
		assert_int_equal(old->record_size, t->record_size + sizeof(int64_t));
		assert_string_equal(old->columns[0].name, "last");
		assert_int_equal(old->columns[0].type, LK_INT);
		assert_int_equal(old->columns[0].offset, t->record_size);
		for (size_t c = 0; c < t->column_count; c++) {
			const struct lk_column *same = &old->columns[c + 1];
			assert_string_equal(same->name, t->columns[c].name);
			assert_int_equal(same->type, t->columns[c].type);
			assert_int_equal(same->offset, t->columns[c].offset);
		}
	}
	assert_int_equal(count, LK_ARRAY_LEN(versioned));
	assert_int_equal(LK_T_COUNT - LK_T_LIVE_COUNT, count);
}

/* Fills every field with its own value, sends the record to its history form and back. */
static void records_survive_history(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_T_LIVE_COUNT; i++) {
		const struct lk_table *t = &lk_tables[i];
		if (!t->versioned)
			continue;
		/* Exact sizes, so that the sanitizer sees a byte too many. */
		uint8_t *live = calloc(1, t->record_size), *old = calloc(1, lk_tables[t->old].record_size);
		uint8_t *back = calloc(1, t->record_size);
		assert_true(live && old && back);
		for (size_t c = 0; c < t->column_count; c++) {
			if (t->columns[c].type == LK_INT)
				*lk_int_at(&t->columns[c], live) = (int64_t)(1000 + c);
			else
				*lk_bytes_at(&t->columns[c], live) = (struct lk_bytes){t->columns[c].name, 4 + c};
		}
		lk_record_to_old(t, live, INT64_C(0x7123456789abcdef), old);
		assert_true(lk_record_last(&lk_tables[t->old], old) == INT64_C(0x7123456789abcdef));
		for (size_t c = 0; c < t->column_count; c++) {
			const struct lk_column *same = &lk_tables[t->old].columns[c + 1];
			if (same->type == LK_INT)
				assert_int_equal(*lk_int_of(same, old), 1000 + c);
			else
				assert_ptr_equal(lk_bytes_of(same, old)->p, t->columns[c].name);
		}
		lk_record_from_old(t, old, back);
		assert_memory_equal(back, live, t->record_size);
		free(live);
		free(old);
		free(back);
	}
}

static void format_numbers_are_pinned(void **state)
{
	(void)state;
	assert_int_equal(LK_APPLICATION_ID, 0x6c6b6673);
	assert_int_equal(LK_FORMAT_VERSION, 1);
	assert_int_equal(LK_BLOCK_SIZE, 4096);
	assert_int_equal(LK_GROUP_BLOCKS, 32768);
	assert_int_equal(LK_PIECE_BLOCKS, 262144);
	assert_int_equal(LK_PIECE_BLOCKS % LK_GROUP_BLOCKS, 0);
}

static void fill_secret(uint8_t secret[192], uint64_t seed)
{
	struct lk_test_random random = {seed};
	for (size_t i = 0; i < 192; i++)
		secret[i] = (uint8_t)lk_test_next(&random);
}

static void name_hashes_are_55_bits_and_leave_room(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	uint8_t secret[192], name[255];
	fill_secret(secret, lk_test_next(&random));
	uint64_t high = 0;
	for (int i = 0; i < 200000; i++) {
		size_t len = 1 + (size_t)lk_test_below(&random, sizeof(name));
		for (size_t j = 0; j < len && j < 16; j++)
			name[j] = (uint8_t)(1 + lk_test_below(&random, 255));
		if (len > 16)
			memset(name + 16, 'a' + i % 26, len - 16);
		int64_t h = lk_name_hash(secret, name, len);
		assert_true(h >= 16);
		assert_true(h < (INT64_C(1) << 55) - 1);
		assert_true(lk_name_hash(secret, name, len) == h);
		high |= (uint64_t)h;
	}
	assert_true(high == (UINT64_C(1) << 55) - 1); /* every bit is used */
}

static void name_hash_depends_on_every_byte_and_on_the_secret(void **state)
{
	(void)state;
	uint8_t secret[192], other[192];
	fill_secret(secret, 1);
	fill_secret(other, 2);
	uint8_t name[255];
	for (size_t len = 1; len <= sizeof(name); len += 13) {
		memset(name, 'n', sizeof(name));
		int64_t h = lk_name_hash(secret, name, len);
		assert_true(h != lk_name_hash(other, name, len));
		for (size_t i = 0; i < len; i++) {
			name[i] ^= 1;
			assert_true(h != lk_name_hash(secret, name, len));
			name[i] ^= 1;
		}
		if (len < sizeof(name))
			assert_true(h != lk_name_hash(secret, name, len + 1));
	}
}

/* Golden values. A volume written by one version is read by the next only while these hold. */
static void hashes_are_golden(void **state)
{
	(void)state;
	uint8_t secret[192];
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 7 + 3);
	char long_name[255];
	memset(long_name, 'x', sizeof(long_name));
	uint8_t block[LK_BLOCK_SIZE] = {0};
#define GOLDEN(got, want)                                                                                              \
	do {                                                                                                           \
		uint64_t value_ = (uint64_t)(got);                                                                     \
		if (value_ != (want))                                                                                  \
			fail_msg("%s is 0x%016llx", #got, (unsigned long long)value_);                                 \
	} while (0)
	GOLDEN(lk_name_hash(secret, "a", 1), UINT64_C(0x004b4ec0ebc5c1d0));
	GOLDEN(lk_name_hash(secret, "passwd", 6), UINT64_C(0x005a4e2e74a53997));
	GOLDEN(lk_name_hash(secret, "\xc3\xa9t\xc3\xa9.txt", 9), UINT64_C(0x001bfdeb3a75a334));
	GOLDEN(lk_name_hash(secret, long_name, 255), UINT64_C(0x000191c81f4c298e));
	GOLDEN(lk_block_sum(block, sizeof(block)), UINT64_C(0x93d76fe148c689ba));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i % 251);
	GOLDEN(lk_block_sum(block, sizeof(block)), UINT64_C(0x7135ffa504f1bc71));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_complete),
		cmocka_unit_test(columns_tile_their_record),
		cmocka_unit_test(rowid_keys_are_one_integer),
		cmocka_unit_test(indexes_name_columns),
		cmocka_unit_test(required_indexes_are_there),
		cmocka_unit_test(history_tables_follow_from_live_ones),
		cmocka_unit_test(records_survive_history),
		cmocka_unit_test(format_numbers_are_pinned),
		cmocka_unit_test(name_hashes_are_55_bits_and_leave_room),
		cmocka_unit_test(name_hash_depends_on_every_byte_and_on_the_secret),
		cmocka_unit_test(hashes_are_golden),
	};
	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
