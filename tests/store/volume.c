/*
 * volume.c - the helpers of volume.h.
 */
#include "volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define T(id) (&lk_tables[LK_T_##id])
#define INODES 300
#define BIG_XATTRS 6

static char *path_of(const char *dir, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		fail_msg("out of memory");
	return path;
}

void file_read(const char *dir, const char *name, struct file_bytes *out)
{
	char *path = path_of(dir, name);
	int fd = open(path, O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		fail_msg("cannot read %s", path);
	out->len = (size_t)st.st_size;
	out->p = malloc(out->len + 1);
	assert_non_null(out->p);
	assert_int_equal(lk_pread_all(fd, out->p, out->len, 0), 0);
	assert_int_equal(close(fd), 0);
	free(path);
}

void file_write(const char *dir, const char *name, const struct file_bytes *bytes)
{
	char *path = path_of(dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		fail_msg("cannot write %s", path);
	assert_int_equal(lk_pwrite_all(fd, bytes->p, bytes->len, 0), 0);
	assert_int_equal(close(fd), 0);
	free(path);
}

/* What a record must hold follows from its key and the generation. */
static struct lk_inode inode_of(int64_t ino, int64_t generation)
{
	return (struct lk_inode){.ino = ino, .mode = 0100644, .size = ino * 1000 + generation, .born = generation};
}

static void name_of(int64_t ino, char name[40])
{
	(void)snprintf(name, 40, "name-of-%08lld", (long long)ino * 7919);
}

static struct lk_dirent dirent_of(int64_t ino, int64_t generation, const char *name)
{
	return (struct lk_dirent){.dir = 1 + ino % 3,
				  .hash = ino * 1001,
				  .ord = ino % 2,
				  .ino = ino,
				  .type = 8,
				  .name = {name, strlen(name)},
				  .born = generation};
}

static void content_of(int64_t ino, int64_t generation, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((size_t)ino * 31 + (size_t)generation * 17 + i * 7 + i / 251);
}

static size_t big_len(int64_t ino)
{
	return 3000 + (size_t)ino * 2900;
}

static void put(struct lk_db *db, struct model *m, const struct lk_table *table, const void *record)
{
	assert_int_equal(lk_db_put(db, table, record), 0);
	if (m)
		model_put(m, table, record);
}

void volume_fill(struct lk_db *db, struct model *m, int64_t generation)
{
	static uint8_t big[32768];
	for (int64_t ino = 1; ino <= INODES; ino++) {
		char name[40];
		name_of(ino, name);
		struct lk_inode inode = inode_of(ino, generation);
		struct lk_dirent dirent = dirent_of(ino, generation, name);
		put(db, m, T(INODE), &inode);
		put(db, m, T(DIRENT), &dirent);
		uint8_t content[600];
		content_of(ino, generation, content, sizeof(content));
		struct lk_inline in = {.ino = ino, .content = {content, sizeof(content)}, .born = generation};
		put(db, m, T(INLINE), &in);
	}
	for (int64_t ino = 1; ino <= BIG_XATTRS; ino++) {
		content_of(ino, generation, big, big_len(ino));
		struct lk_xattr x = {
			.ino = ino, .name = {"user.big", 8}, .value = {big, big_len(ino)}, .born = generation};
		put(db, m, T(XATTR), &x);
	}
	struct lk_counter c = {.id = 1, .value = generation};
	put(db, m, T(COUNTER), &c);
}

struct seen {
	int64_t generation, rows;
};

static int see_inode(void *arg, const void *record)
{
	struct seen *seen = arg;
	const struct lk_inode *got = record;
	struct lk_inode want = inode_of(got->ino, seen->generation);
	assert_memory_equal(got, &want, sizeof(want));
	seen->rows++;
	return 0;
}

static int see_dirent(void *arg, const void *record)
{
	struct seen *seen = arg;
	const struct lk_dirent *got = record;
	char name[40];
	name_of(got->ino, name);
	struct lk_dirent want = dirent_of(got->ino, seen->generation, name);
	model_assert_equal(T(DIRENT), UINT32_MAX, got, &want);
	seen->rows++;
	return 0;
}

static int see_name(void *arg, const void *record)
{
	struct seen *seen = arg;
	const struct lk_dirent *got = record;
	char name[40];
	name_of(got->ino, name);
	struct lk_dirent want = dirent_of(got->ino, seen->generation, name);
	model_assert_equal(T(DIRENT), 0x6f, got, &want); /* all but type */
	seen->rows++;
	return 0;
}

static int see_inline(void *arg, const void *record)
{
	struct seen *seen = arg;
	const struct lk_inline *got = record;
	uint8_t want[600];
	content_of(got->ino, seen->generation, want, sizeof(want));
	assert_int_equal(got->content.len, sizeof(want));
	assert_memory_equal(got->content.p, want, sizeof(want));
	assert_int_equal(got->born, seen->generation);
	seen->rows++;
	return 0;
}

static int see_xattr(void *arg, const void *record)
{
	static uint8_t want[32768];
	struct seen *seen = arg;
	const struct lk_xattr *got = record;
	content_of(got->ino, seen->generation, want, big_len(got->ino));
	assert_int_equal(got->value.len, big_len(got->ino));
	assert_memory_equal(got->value.p, want, got->value.len);
	seen->rows++;
	return 0;
}

int volume_check(struct lk_db *db, int64_t *generation_out)
{
	static const struct {
		const struct lk_table *table;
		int index;
		lk_row_fn *fn;
		int64_t rows;
	} scans[] = {
		{T(INODE), LK_BY_KEY, see_inode, INODES},        {T(DIRENT), LK_BY_KEY, see_dirent, INODES},
		{T(DIRENT), LK_DIRENT_BY_INO, see_name, INODES}, {T(INLINE), LK_BY_KEY, see_inline, INODES},
		{T(XATTR), LK_BY_KEY, see_xattr, BIG_XATTRS},
	};
	struct lk_counter c = {.id = 1};
	int result = lk_db_get(db, T(COUNTER), &c, &c, NULL);
	if (result == LINKFS_ENOENT) {
		c.value = -1;
		result = 0;
	}
	if (result) {
		assert_int_equal(result, LINKFS_ECORRUPT);
		return result;
	}
	/* Every scan is made, whatever the one before gave: all pages are read. */
	for (size_t i = 0; i < LK_ARRAY_LEN(scans); i++) {
		struct seen seen = {.generation = c.value};
		struct lk_scan scan = {.table = scans[i].table, .index = scans[i].index};
		int r = lk_db_scan(db, &scan, scans[i].fn, &seen);
		if (r) {
			assert_int_equal(r, LINKFS_ECORRUPT);
			result = r;
		} else {
			assert_int_equal(seen.rows, c.value < 0 ? 0 : scans[i].rows);
		}
	}
	if (!result)
		*generation_out = c.value;
	return result;
}

void volume_sql(const char *dir, const char *layer, const char *sql)
{
	char *path = path_of(dir, "meta.db");
	sqlite3 *handle = NULL;
	char *message = NULL;
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, layer), SQLITE_OK);
	if (sqlite3_exec(handle, sql, NULL, NULL, &message))
		fail_msg("%s: %s", sql, message);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	free(path);
}

static void crash_child(const char *dir, int64_t from, int64_t to)
{
	struct lk_db *db = NULL;
	if (lk_db_open_sqlite(dir, 0, &db, NULL))
		_exit(1);
	for (int64_t g = from; g <= to; g++) {
		if (db->ops->begin(db))
			_exit(1);
		volume_fill(db, NULL, g);
		if (db->ops->commit(db))
			_exit(1);
	}
	_exit(0);
}

void volume_crash(const char *dir, int64_t from, int64_t to)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		crash_child(dir, from, to);
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
