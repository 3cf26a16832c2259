/*
 * test_vfs.c - the checksum layer (V3) over a file layer whose n-th call fails: a commit that was acknowledged is there, one
 * that was not is there wholly or not at all, and a failed read is an error, never other content. Pages that SQLite spills and
 * writes again; WALs in the other byte order.
 */
#include "vfs_fault.h"
#include "volume.h"

#include <vfs_sum.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS 12
#define CONTENT 3000
#define INLINE_TABLE (&lk_tables[LK_T_INLINE])

/* ---- the n-th call ------------------------------------------------------------------------------------------------- */

/* In one transaction, all rows with generation as content. */
static int write_rows(struct lk_db *db, int generation)
{
	uint8_t content[CONTENT];
	memset(content, generation, sizeof(content));
	int r = db->ops->begin(db);
	if (r)
		return r;
	for (int64_t ino = 1; ino <= ROWS && !r; ino++) {
		struct lk_inline row = {.ino = ino, .content = {content, sizeof(content)}};
		r = lk_db_put(db, INLINE_TABLE, &row);
	}
	if (!r)
		r = db->ops->commit(db);
	if (r)
		(void)db->ops->rollback(db);
	return r;
}

/* An error, or 0 with the generation that all rows have. */
static int read_rows(struct lk_db *db, int *generation_out)
{
	int generation = -1, r = 0;
	for (int64_t ino = 1; ino <= ROWS && !r; ino++) {
		struct lk_inline row = {.ino = ino};
		struct lk_buf bytes = {0};
		r = lk_db_get(db, INLINE_TABLE, &row, &row, &bytes);
		assert_int_not_equal(r, LINKFS_ENOENT);
		if (!r) {
			if (generation < 0)
				generation = bytes.p[0];
			assert_int_equal(row.content.len, CONTENT);
			for (size_t i = 0; i < CONTENT; i++)
				assert_int_equal(bytes.p[i], generation);
		}
		lk_buf_done(&bytes);
	}
	if (!r)
		*generation_out = generation;
	return r;
}

struct image {
	struct file_bytes db, wal;
};

/* Generation 2 in the database; or 1, and 2 in a WAL that a crash left. */
static void make_image(bool crashed, struct image *out)
{
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	assert_int_equal(write_rows(db, 1), 0);
	assert_int_equal(db->ops->checkpoint(db, true), 0);
	assert_int_equal(write_rows(db, 2), 0);
	if (!crashed)
		lk_db_close(db);
	file_read(dir, "meta.db", &out->db);
	file_read(dir, "meta.db-wal", &out->wal);
	if (crashed)
		lk_db_close(db);
	lk_test_rmdir(dir);
}

/* What an owner does. acked: what was made durable; at_most: what may be. Returns the first error. */
static int live(const char *dir, int *acked, int *at_most)
{
	struct lk_db *db = NULL, *beside = NULL;
	struct linkfs_message why = {""};
	int seen, r = lk_db_open_sqlite(dir, 0, &db, &why), error = r;
	if (r)
		return r;
	for (int generation = 3; generation <= 5; generation++) {
		r = read_rows(db, &seen);
		if (!r)
			assert_in_range(seen, *acked, *at_most);
		error = error ? error : r;
		*at_most = generation;
		r = write_rows(db, generation);
		if (!r)
			*acked = generation;
		error = error ? error : r;
		r = lk_db_open_sqlite(dir, LK_DB_READONLY, &beside, &why);
		if (!r) {
			r = read_rows(beside, &seen);
			if (!r)
				assert_in_range(seen, *acked, *at_most);
			lk_db_close(beside);
		}
		error = error ? error : r;
		r = db->ops->checkpoint(db, generation == 4);
		error = error ? error : r;
	}
	lk_db_close(db);
	return error;
}

static void judge(const char *dir, const struct image *image, const struct vfs_plan *plan, unsigned *hits_out)
{
	int acked = 2, at_most = 2, found = 0;
	struct lk_db *db = NULL;
	struct linkfs_message why = {""};
	file_write(dir, "meta.db", &image->db);
	file_write(dir, "meta.db-wal", &image->wal);
	vfs_fault_plan(plan);
	int r = live(dir, &acked, &at_most);
	*hits_out = vfs_fault_hits();
	vfs_fault_plan(NULL);
	if (!*hits_out && r)
		fail_msg("nothing failed, but: %s", linkfs_error_name(r));
	r = lk_db_open_sqlite(dir, 0, &db, &why);
	if (r)
		fail_msg("call %#x number %u, code %d: then %s: %s", plan->which, plan->n, plan->code,
			 linkfs_error_name(r), why.text);
	assert_int_equal(read_rows(db, &found), 0);
	if (found < acked || found > at_most)
		fail_msg("call %#x number %u, code %d: %d of %d to %d", plan->which, plan->n, plan->code, found, acked,
			 at_most);
	/* And it goes on. */
	assert_int_equal(write_rows(db, 9), 0);
	lk_db_close(db);
}

static void the_nth_call_fails(void **in)
{
	(void)in;
	static const struct {
		unsigned which;
		int codes[4];
	} kinds[] = {
		{VFS_OPEN, {SQLITE_CANTOPEN, SQLITE_IOERR_NOMEM}},
		{VFS_OPENED, {SQLITE_CANTOPEN}},
		{VFS_READ, {SQLITE_IOERR_READ, SQLITE_IOERR_NOMEM, SQLITE_IOERR_CORRUPTFS}},
		{VFS_WRITE, {SQLITE_IOERR_WRITE, SQLITE_FULL}},
		{VFS_TRUNCATE, {SQLITE_IOERR_TRUNCATE}},
		{VFS_SYNC, {SQLITE_IOERR_FSYNC, SQLITE_FULL}},
		{VFS_SIZE, {SQLITE_IOERR_FSTAT}},
		{VFS_SHM_MAP, {SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMSIZE}},
		{VFS_CLOSE, {SQLITE_IOERR_CLOSE}},
	};
	char *dir = lk_test_mkdir();
	unsigned points = 0;
	for (int crashed = 0; crashed < 2; crashed++) {
		struct image image;
		make_image(crashed, &image);
		for (size_t k = 0; k < LK_ARRAY_LEN(kinds); k++) {
			for (int c = 0; c < 8; c++) {
				struct vfs_plan plan = {.which = kinds[k].which,
							.file = c & 1 ? SQLITE_OPEN_WAL : SQLITE_OPEN_MAIN_DB,
							.code = kinds[k].codes[c / 2],
							.n = 1};
				unsigned hits = 1;
				/* Every one of the first, then fewer. */
				for (; c / 2 < 4 && plan.code && hits; plan.n += lk_test_long() ? 1 : 1 + plan.n / 8) {
					plan.all_later = plan.n & 1;
					judge(dir, &image, &plan, &hits);
					points += hits > 0;
				}
			}
		}
		free(image.db.p);
		free(image.wal.p);
	}
	print_message("# %u points\n", points);
	assert_true(points > 300);
	lk_test_rmdir(dir);
}

/* ---- SQLite over the layer, without the engine ---------------------------------------------------------------------- */

static sqlite3 *open_layer(const char *dir, const char *vfs)
{
	char path[4200];
	sqlite3 *handle = NULL;
	(void)snprintf(path, sizeof(path), "%s/meta.db", dir);
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, vfs), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "PRAGMA wal_autocheckpoint=0", NULL, NULL, NULL), SQLITE_OK);
	return handle;
}

static int64_t integer(sqlite3 *handle, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t value = sqlite3_column_int64(stmt, 0);
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	return value;
}

static void run(sqlite3 *handle, const char *sql)
{
	char *message = NULL;
	if (sqlite3_exec(handle, sql, NULL, NULL, &message))
		fail_msg("%s: %s", sql, message);
}

static void is_whole(sqlite3 *handle)
{
	sqlite3_stmt *stmt = NULL;
	assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
}

static uint32_t be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* SQLite's file format, "WAL frame format": the words' order is the magic number's lowest bit. */
static void wal_sum(bool big, const uint8_t *p, size_t len, uint32_t sum[2])
{
	for (size_t i = 0; i < len; i += 4) {
		uint32_t word = be(p + i);
		sum[i / 4 % 2] += (big ? word : __builtin_bswap32(word)) + sum[1 - i / 4 % 2];
	}
}

static void put_sum(uint8_t *p, const uint32_t sum[2])
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(sum[i / 4] >> (24 - i % 4 * 8));
}

/* The frames that hold, by SQLite's rules; with convert, of a WAL of the other byte order, which it then becomes. */
static size_t wal_frames(struct file_bytes *wal, bool convert)
{
	bool big = wal->p[3] & 1, to = big != convert;
	uint32_t sum[2] = {0, 0}, other[2] = {0, 0};
	wal_sum(big, wal->p, 24, sum);
	assert_int_equal(be(wal->p + 24), sum[0]);
	wal->p[3] = (uint8_t)((wal->p[3] & ~1) | to);
	wal_sum(to, wal->p, 24, other);
	put_sum(wal->p + 24, other);
	size_t n = 0;
	for (uint8_t *f = wal->p + LK_WAL_HEADER; f + LK_FRAME_SIZE <= wal->p + wal->len; f += LK_FRAME_SIZE, n++) {
		wal_sum(big, f, 8, sum);
		wal_sum(big, f + LK_FRAME_HEADER, LK_PAGE_SIZE, sum);
		if (memcmp(f + 8, wal->p + 16, 8) != 0 || be(f + 16) != sum[0] || be(f + 20) != sum[1])
			break;
		wal_sum(to, f, 8, other);
		wal_sum(to, f + LK_FRAME_HEADER, LK_PAGE_SIZE, other);
		put_sum(f + 16, other);
		assert_true(lk_page_sound(f + LK_FRAME_HEADER, be(f)));
	}
	return n;
}

/* A WAL that another machine left goes on in its byte order; what is appended has our sums and SQLite's. */
static void a_wal_goes_on_in_its_byte_order(void **in)
{
	(void)in;
	for (int convert = 0; convert < 2; convert++) {
		char *dir = lk_test_mkdir();
		struct file_bytes wal;
		struct lk_db *db = NULL;
		assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
		lk_db_close(db);
		volume_crash(dir, 1, 2);
		file_read(dir, "meta.db-wal", &wal);
		size_t before = wal_frames(&wal, convert);
		assert_true(before > 10);
		uint8_t order = wal.p[3];
		file_write(dir, "meta.db-wal", &wal);
		free(wal.p);
		sqlite3 *handle = open_layer(dir, lk_vfs_sum());
		run(handle, "INSERT INTO orphan VALUES(4711)");
		/* Spilled to the WAL before its commit, and written there again: the cache holds a few pages. */
		run(handle,
		    "PRAGMA cache_size=5; PRAGMA cache_spill=5; BEGIN;"
		    "UPDATE inline SET content = zeroblob(900);"
		    "UPDATE inline SET content = CAST(x'01' || zeroblob(1100) AS BLOB) WHERE ino % 3 = 0;"
		    "UPDATE inline SET content = CAST(x'02' || zeroblob(900) AS BLOB) WHERE ino % 3 = 1; COMMIT");
		run(handle, "INSERT INTO orphan VALUES(4712)");
		assert_int_equal(integer(handle, "SELECT count(*) FROM inline WHERE hex(substr(content,1,1)) = '00'"),
				 100);
		assert_int_equal(sqlite3_close(handle), SQLITE_OK);
		file_read(dir, "meta.db-wal", &wal);
		assert_int_equal(wal.p[3], order);
		assert_true(wal_frames(&wal, false) > before + 40);
		free(wal.p);
		/* Plain SQLite recovers it, and so do we; all is there. */
		for (int i = 0; i < 2; i++) {
			handle = open_layer(dir, i ? lk_vfs_sum() : NULL);
			is_whole(handle);
			assert_int_equal(integer(handle, "SELECT count(*) FROM orphan WHERE ino IN (4711, 4712)"), 2);
			assert_int_equal(integer(handle, "SELECT sum(length(content)) FROM inline"),
					 100 * 1101 + 100 * 901 + 100 * 900);
			assert_int_equal(sqlite3_close(handle), SQLITE_OK);
		}
		assert_int_equal(lk_db_open_sqlite(dir, 0, &db, NULL), 0);
		struct lk_orphan o = {.ino = 4712};
		assert_int_equal(lk_db_get(db, &lk_tables[LK_T_ORPHAN], &o, &o, NULL), 0);
		lk_db_close(db);
		lk_test_rmdir(dir);
	}
}

/* The same large transaction, with the n-th call on the WAL failing: it is there wholly or not at all. */
static void a_spilled_transaction_is_whole_or_gone(void **in)
{
	(void)in;
	static const struct {
		unsigned which;
		int code;
	} kinds[] = {{VFS_READ, SQLITE_IOERR_READ}, {VFS_WRITE, SQLITE_FULL}, {VFS_SYNC, SQLITE_IOERR_FSYNC}};
	static const char change[] =
		"BEGIN; UPDATE inline SET content = zeroblob(700);"
		"UPDATE inline SET content = CAST(x'01' || zeroblob(699) AS BLOB) WHERE ino % 2; COMMIT";
	char *dir = lk_test_mkdir(), *copy = lk_test_mkdir();
	struct image image;
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	lk_db_close(db);
	volume_crash(dir, 1, 1);
	file_read(dir, "meta.db", &image.db);
	file_read(dir, "meta.db-wal", &image.wal);
	unsigned whole = 0, gone = 0;
	for (size_t k = 0; k < LK_ARRAY_LEN(kinds); k++) {
		struct vfs_plan plan = {
			.which = kinds[k].which, .file = SQLITE_OPEN_WAL, .n = 1, .code = kinds[k].code};
		for (unsigned hits = 1; hits; plan.n += 1 + plan.n / 8) {
			file_write(copy, "meta.db", &image.db);
			file_write(copy, "meta.db-wal", &image.wal);
			sqlite3 *handle = open_layer(copy, lk_vfs_sum());
			run(handle, "PRAGMA cache_size=5; PRAGMA cache_spill=5; SELECT count(*) FROM inode");
			vfs_fault_plan(&plan);
			bool done = sqlite3_exec(handle, change, NULL, NULL, NULL) == SQLITE_OK;
			hits = vfs_fault_hits();
			vfs_fault_plan(NULL);
			assert_true(done || hits);
			(void)sqlite3_exec(handle, "ROLLBACK", NULL, NULL, NULL);
			for (int i = 0; i < 2; i++) {
				is_whole(handle);
				int64_t new =
					integer(handle, "SELECT count(*) FROM inline WHERE length(content) = 700");
				int64_t one =
					integer(handle, "SELECT count(*) FROM inline WHERE hex(content) LIKE '01%'");
				/* Synced and acknowledged, or not acknowledged and not to be seen by who was told. */
				assert_true(new == 0 || (new == 300 && one >= 150));
				assert_true(!done || new == 300);
				if (i == 0) {
					whole += new == 300;
					gone += new == 0;
				}
				assert_int_equal(sqlite3_close(handle), SQLITE_OK);
				handle = i ? NULL : open_layer(copy, NULL);
			}
		}
	}
	assert_true(whole > 0 && gone > 10);
	free(image.db.p);
	free(image.wal.p);
	lk_test_rmdir(dir);
	lk_test_rmdir(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_call_fails),
		cmocka_unit_test(a_wal_goes_on_in_its_byte_order),
		cmocka_unit_test(a_spilled_transaction_is_whole_or_gone),
	};
	vfs_fault_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
