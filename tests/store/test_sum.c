/*
 * test_sum.c - page checksums (V3, F3): a flipped bit in the database or its WAL is found or does no harm; plain SQLite
 * reads, recovers and checkpoints what we wrote.
 */
#include "volume.h"

#include <vfs_sum.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
	char *dir, *copy;
	struct lk_test_random random;
};

static struct lk_db *open_db(const char *dir, uint32_t flags)
{
	struct lk_db *db = NULL;
	struct linkfs_message why = {"nothing"};
	int r = lk_db_open_sqlite(dir, flags, &db, &why);
	if (r)
		fail_msg("open: %s: %s", linkfs_error_name(r), why.text);
	return db;
}

static void fill(struct lk_db *db, int64_t generation)
{
	assert_int_equal(db->ops->begin(db), 0);
	volume_fill(db, NULL, generation);
	assert_int_equal(db->ops->commit(db), 0);
}

static int setup(void **out)
{
	struct state *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->dir = lk_test_mkdir();
	s->copy = lk_test_mkdir();
	s->random.state = lk_test_seed();
	struct lk_db *db = open_db(s->dir, LK_DB_CREATE);
	fill(db, 1);
	/* Free pages. */
	assert_int_equal(db->ops->begin(db), 0);
	uint8_t bitmap[4096] = {1};
	for (int64_t i = 0; i < 12; i++) {
		struct lk_group g = {.number = i, .bitmap = {bitmap, sizeof(bitmap)}};
		assert_int_equal(lk_db_put(db, &lk_tables[LK_T_GROUP], &g), 0);
	}
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(db->ops->checkpoint(db, true), 0);
	assert_int_equal(db->ops->begin(db), 0);
	for (int64_t i = 0; i < 12; i++) {
		struct lk_group g = {.number = i};
		assert_int_equal(lk_db_erase(db, &lk_tables[LK_T_GROUP], &g), 0);
	}
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	*out = s;
	return 0;
}

static int teardown(void **in)
{
	struct state *s = *in;
	lk_test_rmdir(s->dir);
	lk_test_rmdir(s->copy);
	free(s);
	return 0;
}

/* Opens the damaged copy and reads all of it. Returns 0 or the error that told of the damage. */
static int try_copy(struct state *s, int64_t *generation_out)
{
	struct lk_db *db = NULL;
	struct linkfs_message why;
	int r = lk_db_open_sqlite(s->copy, 0, &db, &why);
	if (r) {
		assert_true(r == LINKFS_ECORRUPT || r == LINKFS_ENOTVOLUME || r == LINKFS_ENEWER ||
			    r == LINKFS_ESCHEMA);
		assert_true(strlen(why.text) > 0);
		return r;
	}
	r = volume_check(db, generation_out);
	lk_db_close(db);
	return r;
}

/* The kind of every page, by SQLite's own account: 'l'eaf, 'i'nternal, 'o'verflow, or 'f'ree. */
static char *page_kinds(const char *dir, size_t pages)
{
	char path[4200];
	char *kinds = malloc(pages + 1);
	sqlite3 *handle = NULL;
	sqlite3_stmt *stmt = NULL;
	assert_non_null(kinds);
	memset(kinds, 'f', pages + 1);
	(void)snprintf(path, sizeof(path), "%s/meta.db", dir);
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT pageno, pagetype FROM dbstat", -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		int64_t n = sqlite3_column_int64(stmt, 0);
		assert_in_range(n, 1, pages);
		kinds[n - 1] = (char)sqlite3_column_text(stmt, 1)[0];
	}
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	return kinds;
}

static void every_page_has_its_sum(void **in)
{
	struct state *s = *in;
	struct file_bytes db;
	file_read(s->dir, "meta.db", &db);
	char *kinds = page_kinds(s->dir, db.len / 4096);
	size_t of[256] = {0};
	for (size_t i = 0; i < db.len / 4096; i++) {
		const uint8_t *page = db.p + i * 4096;
		of[(uint8_t)kinds[i]]++;
		if (kinds[i] != 'f')
			assert_int_equal(lk_get_u64(page + 4080), lk_page_sum(page, (uint32_t)i + 1));
	}
	assert_int_equal(db.p[20], 16);
	print_message("# pages: %zu leaf, %zu interior, %zu overflow, %zu free\n", of['l'], of['i'], of['o'], of['f']);
	/* All kinds are there, so that the tests below meet them. */
	assert_true(of['l'] > 10 && of['i'] > 2 && of['o'] > 5 && of['f'] > 5);
	free(kinds);
	free(db.p);
}

static void a_flipped_bit_in_the_database_is_found(void **in)
{
	struct state *s = *in;
	struct file_bytes db;
	file_read(s->dir, "meta.db", &db);
	size_t pages = db.len / 4096;
	char *kinds = page_kinds(s->dir, pages);
	for (size_t i = 0; i < pages * 2; i++) {
		size_t page = i % pages;
		size_t offset = i < pages ? lk_test_below(&s->random, 4088) : 4080 + lk_test_below(&s->random, 16);
		uint8_t bit = (uint8_t)(1 << lk_test_below(&s->random, 8));
		int64_t generation = 0;
		db.p[page * 4096 + offset] ^= bit;
		file_write(s->copy, "meta.db", &db);
		int r = try_copy(s, &generation);
		db.p[page * 4096 + offset] ^= bit;
		if (r == 0)
			assert_int_equal(generation, 1);
		/* The tables that the check does not read hold nothing; their roots are leaves. */
		if (r == 0 && offset < 4088 && kinds[page] != 'f' && kinds[page] != 'l')
			fail_msg("page %zu (%c) offset %zu: nothing found", page + 1, kinds[page], offset);
	}
	free(kinds);
	free(db.p);
}

static void a_page_in_another_ones_place_is_found(void **in)
{
	struct state *s = *in;
	struct file_bytes db;
	file_read(s->dir, "meta.db", &db);
	size_t pages = db.len / 4096;
	char *kinds = page_kinds(s->dir, pages);
	size_t last = 0;
	for (size_t i = 1; i < pages; i++) {
		if (kinds[i] != 'o')
			continue;
		if (last) {
			uint8_t saved[4096];
			int64_t generation = 0;
			memcpy(saved, db.p + i * 4096, 4096);
			memcpy(db.p + i * 4096, db.p + last * 4096, 4096);
			file_write(s->copy, "meta.db", &db);
			assert_int_equal(try_copy(s, &generation), LINKFS_ECORRUPT);
			memcpy(db.p + i * 4096, saved, 4096);
		}
		last = i;
	}
	assert_true(last > 0);
	free(kinds);
	free(db.p);
}

static void a_database_cut_short_is_found(void **in)
{
	struct state *s = *in;
	struct file_bytes db;
	file_read(s->dir, "meta.db", &db);
	size_t whole = db.len;
	/* Not inside the last page, which is a free one. */
	for (size_t pages = 0; pages + 1 < whole / 4096; pages += 7) {
		int64_t generation = 0;
		db.len = pages * 4096 + lk_test_below(&s->random, 4096);
		file_write(s->copy, "meta.db", &db);
		assert_int_not_equal(try_copy(s, &generation), 0);
	}
	free(db.p);
}

/* After a crash: whatever bit of the WAL flips, nothing that was committed is lost. */
static void a_flipped_bit_in_a_wal_left_by_a_crash(void **in)
{
	struct state *s = *in;
	struct file_bytes db, wal;
	volume_crash(s->dir, 2, 4);
	file_read(s->dir, "meta.db", &db);
	file_read(s->dir, "meta.db-wal", &wal);
	file_write(s->copy, "meta.db", &db);
	file_write(s->copy, "meta.db-wal", &wal);
	int64_t generation = 0;
	assert_int_equal(try_copy(s, &generation), 0);
	assert_int_equal(generation, 4);
	for (int i = 0; i < 120; i++) {
		size_t offset = lk_test_below(&s->random, i % 4 ? wal.len : 200);
		uint8_t bit = (uint8_t)(1 << lk_test_below(&s->random, 8));
		wal.p[offset] ^= bit;
		file_write(s->copy, "meta.db", &db);
		file_write(s->copy, "meta.db-wal", &wal);
		wal.p[offset] ^= bit;
		assert_int_equal(try_copy(s, &generation), 0);
		assert_int_equal(generation, 4);
	}
	/* A torn tail: the WAL ends anywhere. */
	size_t whole = wal.len;
	for (int i = 0; i < 40; i++) {
		wal.len = lk_test_below(&s->random, whole);
		file_write(s->copy, "meta.db", &db);
		file_write(s->copy, "meta.db-wal", &wal);
		assert_int_equal(try_copy(s, &generation), 0);
		assert_in_range(generation, 1, 4);
	}
	free(db.p);
	free(wal.p);
}

static void put_orphan(struct lk_db *db, int64_t ino)
{
	struct lk_orphan o = {.ino = ino};
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, &lk_tables[LK_T_ORPHAN], &o), 0);
	assert_int_equal(db->ops->commit(db), 0);
}

/* The power goes while a frame is written over the same page's older one: all of it but its last sector, which holds our
 * sum and none of the change, is new. SQLite's own checksum does not see that; the commit has not happened all the same. */
static void a_frame_without_its_last_sector_ends_the_wal(void **in)
{
	struct state *s = *in;
	struct file_bytes db, older, newer;
	struct lk_db *owner = open_db(s->dir, 0);
	/* Cells enough that the next ones lie before the last sector. */
	for (int64_t ino = 1000; ino < 1100; ino++)
		put_orphan(owner, ino);
	assert_int_equal(owner->ops->checkpoint(owner, true), 0);
	put_orphan(owner, 77);
	file_read(s->dir, "meta.db-wal", &older);
	assert_int_equal(owner->ops->checkpoint(owner, true), 0);
	put_orphan(owner, 78);
	file_read(s->dir, "meta.db-wal", &newer);
	file_read(s->dir, "meta.db", &db);
	lk_db_close(owner);
	size_t end = LK_WAL_HEADER + LK_FRAME_SIZE, last = end / 512 * 512;
	assert_memory_equal(older.p + LK_WAL_HEADER, newer.p + LK_WAL_HEADER, 8); /* the same page, each a commit */
	assert_memory_not_equal(older.p + last, newer.p + last, end - last);
	memcpy(newer.p + last, older.p + last, end - last);
	file_write(s->copy, "meta.db", &db);
	file_write(s->copy, "meta.db-wal", &newer);
	for (int i = 0; i < 2; i++) {
		struct lk_orphan o = {.ino = 77};
		int64_t generation = 0;
		owner = open_db(s->copy, 0);
		assert_int_equal(lk_db_get(owner, &lk_tables[LK_T_ORPHAN], &o, &o, NULL), 0);
		o.ino = 78;
		assert_int_equal(lk_db_get(owner, &lk_tables[LK_T_ORPHAN], &o, &o, NULL), LINKFS_ENOENT);
		assert_int_equal(volume_check(owner, &generation), 0);
		assert_int_equal(generation, 1);
		lk_db_close(owner);
	}
	free(db.p);
	free(older.p);
	free(newer.p);
}

/* While the owner lives: SQLite checks a frame's own sum at recovery only, ours is checked at every read. */
static void a_flipped_bit_in_a_wal_in_use_is_found(void **in)
{
	struct state *s = *in;
	struct lk_db *owner = open_db(s->dir, 0);
	char path[4200];
	(void)snprintf(path, sizeof(path), "%s/meta.db-wal", s->dir);
	fill(owner, 2);
	struct lk_db_usage usage;
	assert_int_equal(owner->ops->usage(owner, &usage), 0);
	size_t frames = (size_t)(usage.wal_bytes - LK_WAL_HEADER) / LK_FRAME_SIZE;
	assert_true(frames > 20);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	size_t found = 0;
	for (size_t i = 0; i < frames; i++) {
		uint64_t at = LK_WAL_HEADER + i * LK_FRAME_SIZE + LK_FRAME_HEADER + lk_test_below(&s->random, 4088);
		uint8_t byte, bad;
		int64_t generation = 0;
		assert_int_equal(lk_pread_all(fd, &byte, 1, at), 0);
		bad = byte ^ (uint8_t)(1 << lk_test_below(&s->random, 8));
		assert_int_equal(lk_pwrite_all(fd, &bad, 1, at), 0);
		struct lk_db *reader = NULL;
		int r = lk_db_open_sqlite(s->dir, LK_DB_READONLY, &reader, NULL);
		if (!r)
			r = volume_check(reader, &generation);
		lk_db_close(reader);
		assert_int_equal(lk_pwrite_all(fd, &byte, 1, at), 0);
		if (r)
			assert_int_equal(r, LINKFS_ECORRUPT);
		else
			assert_int_equal(generation, 2);
		found += r != 0;
	}
	/* Every frame of tables that the check reads; the rest is the freelist's. */
	assert_true(found > frames / 2);
	/* And a checkpoint does not carry damage into the database. */
	uint64_t at = LK_WAL_HEADER + frames / 2 * LK_FRAME_SIZE + LK_FRAME_HEADER + 100;
	uint8_t byte, bad;
	assert_int_equal(lk_pread_all(fd, &byte, 1, at), 0);
	bad = byte ^ 1;
	assert_int_equal(lk_pwrite_all(fd, &bad, 1, at), 0);
	assert_int_equal(owner->ops->checkpoint(owner, false), LINKFS_ECORRUPT);
	assert_int_equal(lk_pwrite_all(fd, &byte, 1, at), 0);
	assert_int_equal(owner->ops->checkpoint(owner, false), 0);
	assert_int_equal(close(fd), 0);
	lk_db_close(owner);
}

static void plain_sqlite_recovers_and_checkpoints_our_wal(void **in)
{
	struct state *s = *in;
	char path[4200];
	(void)snprintf(path, sizeof(path), "%s/meta.db", s->dir);
	volume_crash(s->dir, 2, 3);
	sqlite3 *handle = NULL;
	sqlite3_stmt *stmt = NULL;
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT value FROM counter WHERE id = 1", -1, &stmt, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int64(stmt, 0), 3);
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	assert_int_equal(sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	struct lk_db *db = open_db(s->dir, 0);
	int64_t generation = 0;
	assert_int_equal(volume_check(db, &generation), 0);
	assert_int_equal(generation, 3);
	lk_db_close(db);
	every_page_has_its_sum(in);
}

/* Damage met by one call must not undo what others did in the same transaction. */
static void a_damaged_page_does_not_cost_the_transaction(void **in)
{
	struct state *s = *in;
	struct file_bytes db;
	file_read(s->dir, "meta.db", &db);
	char *kinds = page_kinds(s->dir, db.len / 4096);
	for (size_t i = 0; i < db.len / 4096; i++) {
		if (kinds[i] == 'o')
			db.p[i * 4096 + 50] ^= 4;
	}
	file_write(s->copy, "meta.db", &db);
	struct lk_db *damaged = open_db(s->copy, 0);
	struct lk_orphan o = {.ino = 77};
	struct lk_xattr x = {.ino = 5, .name = {"user.big", 8}}, got;
	struct lk_buf bytes = {0};
	assert_int_equal(damaged->ops->begin(damaged), 0);
	assert_int_equal(lk_db_put(damaged, &lk_tables[LK_T_ORPHAN], &o), 0);
	assert_int_equal(lk_db_get(damaged, &lk_tables[LK_T_XATTR], &x, &got, &bytes), LINKFS_ECORRUPT);
	assert_int_equal(bytes.len, 0);
	o.ino = 78;
	assert_int_equal(lk_db_put(damaged, &lk_tables[LK_T_ORPHAN], &o), 0);
	assert_int_equal(damaged->ops->commit(damaged), 0);
	lk_db_close(damaged);
	damaged = open_db(s->copy, 0);
	assert_int_equal(lk_db_get(damaged, &lk_tables[LK_T_ORPHAN], &o, &o, NULL), 0);
	o.ino = 77;
	assert_int_equal(lk_db_get(damaged, &lk_tables[LK_T_ORPHAN], &o, &o, NULL), 0);
	lk_db_close(damaged);
	lk_buf_done(&bytes);
	free(kinds);
	free(db.p);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_page_has_its_sum),
		TEST(a_flipped_bit_in_the_database_is_found),
		TEST(a_page_in_another_ones_place_is_found),
		TEST(a_database_cut_short_is_found),
		TEST(a_flipped_bit_in_a_wal_left_by_a_crash),
		TEST(a_frame_without_its_last_sector_ends_the_wal),
		TEST(a_flipped_bit_in_a_wal_in_use_is_found),
		TEST(plain_sqlite_recovers_and_checkpoints_our_wal),
		TEST(a_damaged_page_does_not_cost_the_transaction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
