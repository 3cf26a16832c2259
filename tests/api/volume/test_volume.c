/*
 * test_volume.c - create, open, statfs, info, read-only use, formats we must refuse (V1, V4, A2, F4), through linkfs.h.
 * Only the formats of the future are made with the internal database calls.
 */
#include "test.h"

#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <linkfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *top;
static char path[4096];

static int setup(void **state)
{
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lk_test_rmdir(top);
	return 0;
}

static const char *in(const char *dir, const char *name)
{
	static char text[5000];
	(void)snprintf(text, sizeof(text), "%s/%s", dir, name);
	return text;
}

static struct linkfs_volume *open_volume(uint32_t flags)
{
	struct linkfs_volume *v = NULL;
	struct linkfs_message why = {"no message"};
	struct linkfs_open_options o = {.flags = flags};
	int r = linkfs_volume_open(path, &o, &v, &why);
	if (r)
		fail_msg("open: %s: %s", linkfs_error_name(r), why.text);
	return v;
}

static void write_file(struct linkfs_volume *v, const char *name, size_t size)
{
	struct linkfs_file *file;
	char *bytes = malloc(size + 1);
	size_t done = 0;
	assert_non_null(bytes);
	memset(bytes, 'a', size);
	assert_int_equal(
		linkfs_file_open(v, NULL, LINKFS_ROOT_INO, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file), 0);
	assert_int_equal(linkfs_file_write(file, 0, bytes, size, &done), 0);
	assert_int_equal(done, size);
	linkfs_file_close(file);
	free(bytes);
}

static bool exists(struct linkfs_volume *v, const char *name)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, name, 0, &st);
	assert_true(r == 0 || r == LINKFS_ENOENT);
	return r == 0;
}

static void put_text(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void create_and_info(void **state)
{
	(void)state;
	struct linkfs_create_options o = {
		.label = "my files", .root_uid = 12, .root_gid = 13, .root_mode = 01770, .limit_bytes = 1 << 30};
	struct linkfs_message why;
	assert_int_equal(linkfs_volume_create(path, &o, &why), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	/* What is in the volume has its own permissions: others on the host get none. */
	assert_int_equal(st.st_mode & 07777, 0700);
	struct linkfs_volume *v = open_volume(0);
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_string_equal(info.label, "my files");
	char *real = realpath(path, NULL);
	assert_string_equal(info.path, real);
	free(real);
	assert_int_equal(info.format_version, 1);
	assert_int_equal(info.inodes, 1);
	assert_int_equal(info.read_only, 0);
	assert_int_equal(info.limit_bytes, 1 << 30);
	assert_true(info.meta_bytes > 0);
	struct linkfs_stat root;
	assert_int_equal(linkfs_node_getattr(v, LINKFS_ROOT_INO, &root), 0);
	assert_int_equal(root.mode, S_IFDIR | 01770);
	assert_int_equal(root.uid, 12);
	assert_int_equal(root.gid, 13);
	assert_int_equal(root.nlink, 2);
	assert_true(root.btime_ns == root.ctime_ns && root.btime_ns == info.created_ns);
	write_file(v, "f", 100);
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.inodes, 2);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(linkfs_volume_close(NULL), 0);

	/* Two volumes are two. */
	struct linkfs_info other;
	(void)snprintf(path, sizeof(path), "%s/volume2", top);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	v = open_volume(0);
	assert_int_equal(linkfs_volume_info(v, &other), 0);
	assert_memory_not_equal(info.uuid, other.uuid, 16);
	assert_int_equal(linkfs_volume_close(v), 0);
}

static void create_refused(void **state)
{
	(void)state;
	struct linkfs_message why;
	struct stat st;
	assert_int_equal(linkfs_volume_create(in(top, "no/such"), NULL, &why), LINKFS_ENOENT);
	assert_non_null(strstr(why.text, "no/such"));
	assert_int_equal(linkfs_volume_create("", NULL, &why), LINKFS_EINVAL);

	/* What was made is removed. */
	char label[300];
	memset(label, 'x', sizeof(label));
	label[299] = '\0';
	struct linkfs_create_options o = {.label = label};
	assert_int_equal(linkfs_volume_create(path, &o, &why), LINKFS_EINVAL);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(linkfs_volume_create(path, &o, &why), LINKFS_EINVAL);
	assert_int_equal(rmdir(path), 0); /* was there before, is there after, empty */

	/* An empty directory will do and keeps its mode; a full one will not, nor a file. */
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(linkfs_volume_create(path, NULL, &why), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(linkfs_volume_create(path, NULL, &why), LINKFS_EEXIST);
	assert_non_null(strstr(why.text, path));
	assert_non_null(strstr(why.text, "already"));
	assert_int_equal(linkfs_volume_close(open_volume(0)), 0);
	assert_int_equal(mkdir(in(top, "full"), 0755), 0);
	put_text(in(top, "full/x"), "x");
	assert_int_equal(linkfs_volume_create(in(top, "full"), NULL, &why), LINKFS_EEXIST);
	assert_non_null(strstr(why.text, "empty"));
	assert_int_equal(linkfs_volume_create(in(top, "full/x"), NULL, &why), LINKFS_EEXIST);
	assert_int_equal(access(in(top, "full/x"), F_OK), 0);
}

static void open_refused(void **state)
{
	(void)state;
	struct linkfs_volume *v = NULL;
	struct linkfs_message why;
	assert_int_equal(linkfs_volume_open(path, NULL, &v, &why), LINKFS_ENOENT);
	assert_non_null(strstr(why.text, path));
	assert_non_null(strstr(why.text, "linkfs create"));
	put_text(path, "a file");
	assert_int_equal(linkfs_volume_open(path, NULL, &v, &why), LINKFS_ENOTVOLUME);
	assert_non_null(strstr(why.text, "not a directory"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, &why), LINKFS_ENOTVOLUME);
	assert_non_null(strstr(why.text, path));
	/* A refused open leaves nothing in a foreign directory. */
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	put_text(in(path, "meta.db"), "this is not a database of anybody, and long enough to look at twice");
	int r = linkfs_volume_open(path, NULL, &v, &why);
	assert_true(r == LINKFS_ENOTVOLUME || r == LINKFS_ECORRUPT);
	assert_int_equal(unlink(in(path, "meta.db")), 0);
	assert_int_equal(mkdir(in(path, "meta.db"), 0755), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, &why), LINKFS_ENOTVOLUME);
	assert_int_equal(symlink("/dev/zero", in(path, "x")), 0);
	assert_int_equal(rmdir(in(path, "meta.db")), 0);
	assert_int_equal(symlink("/dev/zero", in(path, "meta.db")), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, &why), LINKFS_ENOTVOLUME);
	assert_null(v);
	struct linkfs_open_options o = {.flags = 1u << 30};
	assert_int_equal(linkfs_volume_open(path, &o, &v, &why), LINKFS_EINVAL);
}

/* Rewrites the super record as some other linkfs might have. */
static void change_super(int64_t ro_compat, int64_t incompat)
{
	struct lk_db *db;
	struct lk_super s = {.id = 1};
	struct lk_buf bytes = {0};
	assert_int_equal(lk_db_open_sqlite(path, 0, &db, NULL), 0);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_get(db, &lk_tables[LK_T_SUPER], &s, &s, &bytes), 0);
	s.features_ro_compat = ro_compat;
	s.features_incompat = incompat;
	s.features_compat = INT64_C(1) << 40; /* of no concern to anybody */
	assert_int_equal(lk_db_put(db, &lk_tables[LK_T_SUPER], &s), 0);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	lk_buf_done(&bytes);
}

static void newer_formats(void **state)
{
	(void)state;
	struct linkfs_volume *v = NULL;
	struct linkfs_message why;
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	change_super(0, 4);
	for (uint32_t flags = 0; flags <= LINKFS_OPEN_READONLY; flags++) {
		struct linkfs_open_options o = {.flags = flags};
		assert_int_equal(linkfs_volume_open(path, &o, &v, &why), LINKFS_ENEWER);
		assert_non_null(strstr(why.text, "0x4"));
		assert_non_null(strstr(why.text, "newer"));
	}
	change_super(8, 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, &why), LINKFS_ENEWER);
	assert_non_null(strstr(why.text, "read-only"));
	v = open_volume(LINKFS_OPEN_READONLY);
	assert_int_equal(linkfs_volume_close(v), 0);
	change_super(0, 0);
	assert_int_equal(linkfs_volume_close(open_volume(0)), 0);
}

static void read_only(void **state)
{
	(void)state;
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	struct linkfs_volume *v = open_volume(0), *w;
	write_file(v, "f", 10000);
	assert_int_equal(linkfs_volume_close(v), 0);
	v = open_volume(LINKFS_OPEN_READONLY);
	w = open_volume(LINKFS_OPEN_READONLY); /* readers do not exclude each other */
	struct linkfs_info info;
	struct linkfs_statfs fs;
	struct linkfs_stat st;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.read_only, 1);
	assert_int_equal(info.poisoned, 0);
	assert_int_equal(linkfs_volume_statfs(v, &fs), 0);
	assert_int_equal(linkfs_path_stat(w, NULL, LINKFS_ROOT_INO, "/f", 0, &st), 0);
	assert_int_equal(st.size, 10000);
	char buf[16];
	size_t done = 0;
	assert_int_equal(linkfs_node_read(v, st.ino, 9995, buf, sizeof(buf), &done), 0);
	assert_int_equal(done, 5);
	struct linkfs_file *file;
	assert_int_equal(linkfs_file_open(v, NULL, LINKFS_ROOT_INO, "g", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file),
			 LINKFS_EROFS);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "f"), LINKFS_EROFS);
	assert_int_equal(linkfs_volume_sync(v), 0);
	struct linkfs_message why;
	struct linkfs_volume *x = NULL;
	assert_int_equal(linkfs_volume_open(path, NULL, &x, &why), LINKFS_ELOCKED);
	assert_non_null(strstr(why.text, "read"));
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(linkfs_volume_close(w), 0);
	assert_int_equal(linkfs_volume_close(open_volume(0)), 0);
}

/* As a user who may read the files and nothing else. */
static void read_only_without_permission(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("# skip: needs root to become another user\n");
		skip();
	}
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	struct linkfs_volume *v = open_volume(0);
	write_file(v, "f", 5000);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(top, 0755), 0);
	/* What a volume is made of is its owner's alone until he says otherwise. */
	static const char *const files[] = {"meta.db", "meta.db-wal", "data.000000", "lock"};
	for (size_t i = 0; i < LK_ARRAY_LEN(files); i++) {
		struct stat st;
		assert_int_equal(stat(in(path, files[i]), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(chmod(in(path, files[i]), 0644), 0);
	}
	(void)chmod(in(path, "meta.db-shm"), 0644);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct linkfs_open_options o = {.flags = LINKFS_OPEN_READONLY};
		struct linkfs_message why = {""};
		struct linkfs_stat st;
		if (setgid(65534) || setuid(65534))
			_exit(10);
		/* For writing: refused, and told what to do. */
		int r = linkfs_volume_open(path, NULL, &v, &why);
		if (r != LINKFS_EACCES || !strstr(why.text, "read-only"))
			_exit(11);
		r = linkfs_volume_open(path, &o, &v, &why);
		if (r) {
			print_message("# read-only: %s\n", why.text);
			_exit(12);
		}
		if (linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "f", 0, &st) || st.size != 5000 ||
		    linkfs_volume_close(v))
			_exit(13);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static uint64_t free_blocks(struct linkfs_volume *v)
{
	struct linkfs_statfs fs;
	assert_int_equal(linkfs_volume_statfs(v, &fs), 0);
	assert_int_equal(fs.block_size, 4096);
	assert_true(fs.blocks >= fs.blocks_free && fs.blocks_free >= fs.blocks_available);
	assert_true(fs.inodes >= fs.inodes_free);
	return fs.blocks_free;
}

/* A2: the space is back when the last name is gone and nobody holds the file, at once. The limit makes the numbers
 * independent of what others do on the host. */
static void space_returns(void **state)
{
	(void)state;
	enum { BLOCKS = 2000 };
	struct linkfs_create_options o = {.limit_bytes = 64 << 20};
	assert_int_equal(linkfs_volume_create(path, &o, NULL), 0);
	struct linkfs_volume *v = open_volume(0);
	uint64_t before = free_blocks(v);
	assert_true(before <= (64 << 20) / 4096);
	struct linkfs_stat st;
	write_file(v, "f", BLOCKS * 4096);
	assert_true(free_blocks(v) + BLOCKS <= before);
	assert_int_equal(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "f", 0, &st), 0);
	assert_int_equal(linkfs_path_link(v, NULL, LINKFS_ROOT_INO, "f", LINKFS_ROOT_INO, "g", 0), 0);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "f"), 0);
	assert_true(free_blocks(v) + BLOCKS <= before);
	assert_int_equal(linkfs_node_is_held(v, LINKFS_ROOT_INO), 1);
	assert_int_equal(linkfs_node_is_held(v, st.ino), 0);
	assert_int_equal(linkfs_node_hold(v, st.ino), 0);
	assert_int_equal(linkfs_node_hold(v, st.ino), 0);
	assert_int_equal(linkfs_node_is_held(v, st.ino), 1);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "g"), 0);
	assert_int_equal(linkfs_node_getattr(v, st.ino, &st), 0);
	assert_int_equal(st.nlink, 0);
	assert_true(free_blocks(v) + BLOCKS <= before);
	linkfs_node_release(v, st.ino, 1);
	assert_true(free_blocks(v) + BLOCKS <= before);
	linkfs_node_release(v, st.ino, 1);
	assert_int_equal(free_blocks(v), before);
	assert_int_equal(linkfs_node_getattr(v, st.ino, &st), LINKFS_ESTALE);
	assert_int_equal(linkfs_node_hold(v, st.ino), LINKFS_ESTALE);
	assert_int_equal(linkfs_node_hold(v, 99999), LINKFS_ESTALE);

	/* An unheld file goes in the op. */
	write_file(v, "h", BLOCKS * 4096);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "h"), 0);
	assert_int_equal(free_blocks(v), before);
	assert_int_equal(linkfs_volume_sync(v), 0);
	assert_int_equal(free_blocks(v), before);
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.data_blocks_used, 0);
	assert_int_equal(info.inodes, 1);
	assert_int_equal(linkfs_volume_close(v), 0);
}

/* What is only held at close is gone afterwards, and the closed volume is clean: a WAL without content (its first bytes are
 * zero) kept for the reserve, an empty lock file. */
static void closes_clean(void **state)
{
	(void)state;
	struct linkfs_stat st;
	struct stat host;
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	struct linkfs_volume *v = open_volume(0);
	for (int i = 0; i < 500; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "file %d", i);
		write_file(v, name, 3000);
	}
	assert_int_equal(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "file 7", 0, &st), 0);
	assert_int_equal(linkfs_node_hold(v, st.ino), 0);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "file 7"), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(stat(in(path, "lock"), &host), 0);
	assert_int_equal(host.st_size, 0);
	assert_true(stat(in(path, "meta.db-wal"), &host) != 0 || host.st_size <= 2 << 20);
	char first[4] = {0};
	int fd = open(in(path, "meta.db-wal"), O_RDONLY);
	assert_true(fd < 0 || read(fd, first, 4) <= 4);
	assert_memory_equal(first, "\0\0\0\0", 4);
	(void)close(fd);
	v = open_volume(0);
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.inodes, 500);
	assert_true(exists(v, "file 8"));
	assert_false(exists(v, "file 7"));
	assert_int_equal(linkfs_volume_close(v), 0);
}

/* The space of a volume is told wherever its directory was moved to, and to readers as well. */
static void space_of_a_moved_volume(void **state)
{
	(void)state;
	struct linkfs_create_options o = {.limit_bytes = 64 << 20};
	assert_int_equal(linkfs_volume_create(path, &o, NULL), 0);
	struct linkfs_volume *v = open_volume(0);
	write_file(v, "f", 100 * 4096);
	assert_int_equal(linkfs_volume_sync(v), 0);
	uint64_t before = free_blocks(v);
	char moved[4200];
	struct linkfs_info info;
	(void)snprintf(moved, sizeof(moved), "%s moved", path);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(free_blocks(v), before);
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_true(info.meta_bytes > 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(rename(moved, path), 0);
	v = open_volume(LINKFS_OPEN_READONLY);
	assert_int_equal(free_blocks(v), before);
	assert_int_equal(linkfs_volume_close(v), 0);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The first of all: from then on SQLite is at work. */
static void memory_is_not_counted(void **state)
{
	(void)state;
	assert_int_equal(linkfs_sqlite_uncounted(), 0);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	struct linkfs_volume *v = open_volume(0);
	assert_int_equal(linkfs_sqlite_uncounted(), LINKFS_EBUSY);
	assert_int_equal(linkfs_volume_close(v), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(memory_is_not_counted),
		UNIT(create_and_info),
		UNIT(create_refused),
		UNIT(open_refused),
		UNIT(newer_formats),
		UNIT(read_only),
		UNIT(read_only_without_permission),
		UNIT(space_returns),
		UNIT(closes_clean),
		UNIT(space_of_a_moved_volume),
	};
	return cmocka_run_group_tests_name("api-volume", tests, NULL, NULL);
}
