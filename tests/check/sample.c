/*
 * sample.c - see sample.h.
 */
#include "sample.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>
#include <unistd.h>
#include <vfs_sum.h>
#include <volume.h>

#define B LK_BLOCK_SIZE

static int64_t make(struct linkfs_volume *v, const char *path, uint32_t mode)
{
	struct linkfs_make how = {.mode = mode};
	struct linkfs_stat st;
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, path, &how, &st), 0);
	return (int64_t)st.ino;
}

static void fill(struct linkfs_volume *v, int64_t ino, uint64_t at, size_t len, int seed)
{
	uint8_t *bytes = malloc(len);
	size_t done = 0;
	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed + (int)(i / B) * 3 + (int)i);
	assert_int_equal(linkfs_node_write(v, NULL, (uint64_t)ino, at, bytes, len, 0, &done, NULL), 0);
	assert_int_equal(done, len);
	free(bytes);
}

static void set_acl(struct linkfs_volume *v, int64_t ino)
{
	/* user::rw- user:1000:rw- group::r-- mask::rw- other::--- */
	static const uint8_t acl[] = {2,  0, 0, 0,                      /**/
				      1,  0, 6, 0, 255,  255, 255, 255, /**/
				      2,  0, 6, 0, 0xe8, 3,   0,   0,   /**/
				      4,  0, 4, 0, 255,  255, 255, 255, /**/
				      16, 0, 6, 0, 255,  255, 255, 255, /**/
				      32, 0, 0, 0, 255,  255, 255, 255};
	assert_int_equal(linkfs_node_setxattr(v, NULL, (uint64_t)ino, "system.posix_acl_access", acl, sizeof(acl), 0),
			 0);
	assert_int_equal(linkfs_node_setxattr(v, NULL, (uint64_t)ino, "user.one", "1", 1, 0), 0);
	assert_int_equal(linkfs_node_setxattr(v, NULL, (uint64_t)ino, "user.two", "22", 2, 0), 0);
}

static int64_t snapshot(struct linkfs_volume *v)
{
	struct lk_op op;
	struct lk_snapshot s = {.name = {"before", 6}};
	assert_int_equal(lk_op_begin(lk_volume_fs(v), &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)), 0);
	return s.epoch;
}

void sample_make(struct sample *s)
{
	struct linkfs_volume *v;
	struct linkfs_stat st;
	uint64_t done;
	*s = (struct sample){.dir = lk_test_mkdir()};
	(void)snprintf(s->path, sizeof(s->path), "%s/v", s->dir);
	assert_int_equal(linkfs_volume_create(s->path, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_open(s->path, NULL, &v, NULL), 0);
	s->sub = make(v, "sub", S_IFDIR | 0755);
	s->deep = make(v, "sub/deep", S_IFDIR | 0755);
	s->small = make(v, "small", S_IFREG | 0644);
	s->empty = make(v, "empty", S_IFREG | 0644);
	s->big = make(v, "sub/big", S_IFREG | 0644);
	s->sparse = make(v, "sparse", S_IFREG | 0644);
	s->copy = make(v, "copy", S_IFREG | 0644);
	s->reserved = make(v, "reserved", S_IFREG | 0644);
	s->attributes = make(v, "attributes", S_IFREG | 0660);
	s->changed = make(v, "changed", S_IFREG | 0644);
	s->gone = make(v, "gone", S_IFREG | 0644);
	fill(v, s->small, 0, 100, 1);
	fill(v, s->big, 0, 10 * B, 2);
	fill(v, s->sparse, 0, 2 * B, 3);
	fill(v, s->sparse, 20 * B, B, 4);
	fill(v, s->changed, 0, 3 * B, 5);
	fill(v, s->gone, 0, 2 * B, 6);
	assert_int_equal(linkfs_node_allocate(v, NULL, (uint64_t)s->reserved, 0, 0, 5 * B), 0);
	assert_int_equal(linkfs_node_copy_range(v, NULL, (uint64_t)s->big, 0, (uint64_t)s->copy, 0, 8 * B, &done), 0);
	assert_int_equal(linkfs_path_link(v, NULL, LINKFS_ROOT_INO, "sub/big", LINKFS_ROOT_INO, "sub/deep/hard", 0), 0);
	assert_int_equal(linkfs_path_symlink(v, NULL, "../small", LINKFS_ROOT_INO, "sub/link", &st), 0);
	s->link = (int64_t)st.ino;
	set_acl(v, s->attributes);
	s->snapshot = snapshot(v);
	fill(v, s->changed, B, B, 7);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "gone"), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
}

void sample_done(struct sample *s)
{
	lk_test_rmdir(s->dir);
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

struct lk_db *sample_edit(const struct sample *s)
{
	struct lk_db *db;
	struct linkfs_message why = {""};
	if (lk_db_open_sqlite(s->path, 0, &db, &why))
		fail_msg("%s", why.text);
	assert_int_equal(db->ops->begin(db), 0);
	return db;
}

void sample_save(struct lk_db *db)
{
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
}

static sqlite3 *open_sql(const struct sample *s)
{
	char file[4200];
	sqlite3 *db;
	(void)snprintf(file, sizeof(file), "%s/meta.db", s->path);
	assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	return db;
}

static void execute(sqlite3 *db, const char *sql)
{
	char *error = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &error))
		fail_msg("%s: %s", sql, error);
}

void sample_sql(const struct sample *s, const char *sql)
{
	sqlite3 *db = open_sql(s);
	execute(db, sql);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

void sample_sql_beside(const struct sample *s, const char *index, const char *sql)
{
	/* Out of the schema, and in again with its tree: each connection reads the schema anew. */
	char hide[600], show[600];
	(void)snprintf(
		hide, sizeof(hide),
		"PRAGMA writable_schema=ON; CREATE TABLE hidden AS SELECT rowid AS r, * FROM sqlite_schema WHERE "
		"name='%s'; DELETE FROM sqlite_schema WHERE name='%s'",
		index, index);
	(void)snprintf(show, sizeof(show),
		       "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema(rowid,type,name,tbl_name,rootpage,sql) "
		       "SELECT r,type,name,tbl_name,rootpage,sql FROM hidden; DROP TABLE hidden");
	sample_sql(s, hide);
	sample_sql(s, sql);
	sample_sql(s, show);
}

int64_t sample_disk(const struct sample *s, int64_t ino)
{
	struct lk_db *db = sample_edit(s);
	struct lk_extent e = {.ino = ino};
	assert_int_equal(lk_db_get(db, &lk_tables[LK_T_EXTENT], &e, &e, NULL), 0);
	sample_save(db);
	return e.disk_block;
}

void sample_flip(const struct sample *s, int64_t disk_block)
{
	char file[4200];
	uint8_t byte;
	(void)snprintf(file, sizeof(file), "%s/data.000000", s->path);
	int fd = open(file, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, disk_block * B + 17), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, disk_block * B + 17), 1);
	(void)close(fd);
}

/* ---- findings ------------------------------------------------------------------------------------------------------ */

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	struct found *k = arg;
	if (k->count == 128)
		return 0;
	(void)snprintf(k->ids[k->count], sizeof(k->ids[0]), "%s", f->problem->id);
	(void)snprintf(k->text[k->count], sizeof(k->text[0]), "%s", f->text);
	k->ino[k->count] = f->ino;
	k->repaired[k->count++] = f->repaired;
	return 0;
}

void sample_check(const struct sample *s, uint32_t flags, struct found *out)
{
	struct linkfs_check_options options = {.flags = flags, .finding = on_finding, .arg = out};
	struct linkfs_message why = {""};
	out->count = 0;
	int r = linkfs_check(s->path, &options, &out->sum, &why);
	if (r)
		fail_msg("%s: %s", linkfs_error_name(r), why.text);
}

bool found_id(const struct found *f, const char *id)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->ids[i], id) == 0)
			return true;
	}
	return false;
}

const char *found_all(const struct found *f)
{
	static char all[16384];
	size_t n = 0;
	all[0] = '\0';
	for (size_t i = 0; i < f->count && n < sizeof(all) - 300; i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "\n  %s: %s", f->ids[i], f->text[i]);
	return all;
}
