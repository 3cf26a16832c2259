/*
 * seed.c - makes the volumes of seed.h, through the library and with a little SQL for what the library cannot do yet.
 */
#include "seed.h"

#include <vfs_sum.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const seed_names[SEED_FILES] = {"meta.db", "meta.db-wal", "data.000000"};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "seed: %s\n", what);
	abort();
}

static void path_of(char *out, const char *dir, const char *name)
{
	must((size_t)snprintf(out, 4096, "%s/%s", dir, name) < 4096, "path");
}

int seed_sql(const char *dir, const char *sql)
{
	char path[4096];
	sqlite3 *handle = NULL;
	path_of(path, dir, "meta.db");
	int code = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, lk_vfs_sum());
	if (!code)
		code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
	(void)sqlite3_close(handle);
	return code;
}

static uint64_t make(struct linkfs_volume *v, uint64_t dir, const char *name, uint32_t mode, size_t size)
{
	static uint8_t bytes[200000];
	struct linkfs_make how = {.mode = mode};
	struct linkfs_stat st;
	size_t done;
	must(!linkfs_node_make(v, NULL, dir, name, strlen(name), &how, LINKFS_HOLD, &st), name);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 4096 * 31 + strlen(name) * 13 + 1);
	must(!size || !linkfs_node_write(v, NULL, st.ino, 0, bytes, size, 0, &done, NULL), name);
	return st.ino;
}

static void symlink_to(struct linkfs_volume *v, const char *target, const char *path)
{
	must(!linkfs_path_symlink(v, NULL, target, LINKFS_ROOT_INO, path, NULL), path);
}

/* POSIX ACL, version 2: owner, a user, group, mask, others. */
static const uint8_t acl[] = {2, 0,    0,    0,    1,    0,    7,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   6,
			      0, 0xe8, 3,    0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
			      6, 0,    0xff, 0xff, 0xff, 0xff, 32, 0, 4,    0,    0xff, 0xff, 0xff, 0xff};

/* Compressed content: in a row, and in chunks of which one is cut. */
static void fill_packed(struct linkfs_volume *v)
{
	size_t done;
	uint64_t dir = make(v, LINKFS_ROOT_INO, "packed", S_IFDIR | 0755, 0);
	must(!linkfs_node_set_flags(v, NULL, dir, LINKFS_INO_COMPRESS, LINKFS_INO_COMPRESS, NULL), "packed");
	uint64_t row = make(v, dir, "row", S_IFREG | 0644, 3000),
		 chunks = make(v, dir, "chunks", S_IFREG | 0644, 190000);
	must(!linkfs_node_write(v, NULL, chunks, 30000, "raw", 3, 0, &done, NULL), "raw");
	linkfs_node_release(v, dir, 1);
	linkfs_node_release(v, row, 1);
	linkfs_node_release(v, chunks, 1);
}

static void fill(struct linkfs_volume *v)
{
	uint64_t copied, root = LINKFS_ROOT_INO;
	uint64_t file = make(v, root, "file", S_IFREG | 0644, 50000);
	uint64_t dir = make(v, root, "dir", S_IFDIR | 0755, 0);
	uint64_t sub = make(v, dir, "sub", S_IFDIR | 0700, 0);
	uint64_t deep = make(v, sub, "deep", S_IFREG | 0600, 9000);
	uint64_t small = make(v, root, "a", S_IFREG | 0644, 700);
	uint64_t sparse = make(v, root, "sparse", S_IFREG | 0644, 5000);
	(void)make(v, root, "fifo", S_IFIFO | 0644, 0);
	(void)make(v, dir, "empty", S_IFREG | 0644, 0);
	symlink_to(v, "file", "link");
	symlink_to(v, "loop", "loop");
	symlink_to(v, "nowhere/at/all", "dangling");
	symlink_to(v, "..", "dir/up");
	symlink_to(v, "/dir", "dir/abs");
	must(!linkfs_node_link(v, NULL, file, sub, "second", 6, 0, NULL), "link");
	must(!linkfs_node_setxattr(v, NULL, file, "user.color", "blue", 4, 0), "xattr");
	must(!linkfs_node_setxattr(v, NULL, small, "system.posix_acl_access", acl, sizeof(acl), 0), "acl");
	must(!linkfs_node_setxattr(v, NULL, dir, "system.posix_acl_default", acl, sizeof(acl), 0), "acl");
	must(!linkfs_node_copy_range(v, NULL, file, 0, sparse, 1 << 20, 32768, &copied), "copy");
	must(!linkfs_node_allocate(v, NULL, sparse, 0, 4 << 20, 40000), "allocate");
	must(!linkfs_node_allocate(v, NULL, deep, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, 0, 4096), "punch");
	for (int i = 0; i < 40; i++) {
		char name[24];
		snprintf(name, sizeof(name), "many-%02d", i);
		must(!linkfs_node_link(v, NULL, small, sub, name, strlen(name), 0, NULL), name);
	}
	for (uint64_t ino = file; ino < file + 8; ino++)
		linkfs_node_release(v, ino, 1);
	fill_packed(v);
}

static struct linkfs_volume *open_it(const char *dir)
{
	struct linkfs_open_options o = {.commit_interval_ms = 3600000};
	struct linkfs_volume *v;
	struct linkfs_message why = {""};
	int r = linkfs_volume_open(dir, &o, &v, &why);
	must(!r, why.text);
	return v;
}

/* Dies with an orphan and a WAL that is not in the database. */
static void die(const char *dir)
{
	struct linkfs_volume *v = open_it(dir);
	struct linkfs_stat st;
	size_t done;
	must(!linkfs_node_tmpfile(v, NULL, LINKFS_ROOT_INO, 0600, &st), "tmpfile");
	must(!linkfs_node_write(v, NULL, st.ino, 0, "an orphan's content", 19, 0, &done, NULL), "write");
	must(!linkfs_path_rename(v, NULL, LINKFS_ROOT_INO, "dir/empty", LINKFS_ROOT_INO, "moved", 0), "rename");
	must(!linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "dangling"), "unlink");
	must(!linkfs_volume_sync(v), "sync");
	_exit(0);
}

static void take(const char *dir, const char *name, struct seed_file *out)
{
	char path[4096];
	path_of(path, dir, name);
	FILE *f = fopen(path, "rb");
	struct stat st;
	must(f && !fstat(fileno(f), &st), path);
	out->len = (size_t)st.st_size;
	out->p = calloc(1, out->len + 1);
	must(out->p && fread(out->p, 1, out->len, f) == out->len, path);
	fclose(f);
	/* What the WAL holds is at its front; the rest is the reserve. */
	while (!strcmp(name, "meta.db-wal") && out->len > 32 && !out->p[out->len - 1])
		out->len--;
	(void)unlink(path);
}

static const char fixed[] = "UPDATE super SET uuid = x'00112233445546778899aabbccddeeff', "
			    "name_secret = cast(substr(replace(hex(zeroblob(96)), '0', 'k'), 1, 192) AS BLOB)";

void seed_plain(const char *vol)
{
	struct linkfs_message why = {""};
	must(!linkfs_volume_create(vol, NULL, &why), why.text);
	must(!seed_sql(vol, fixed), "the fixed secret");
	struct linkfs_volume *v = open_it(vol);
	fill(v);
	must(!linkfs_volume_close(v), "close");
}

void seed_make(const char *dir, struct seed_file bases[SEED_BASES][SEED_FILES])
{
	static const char *const rest[] = {"meta.db-shm", "lock"};
	char vol[4096], path[4096];
	for (int i = 0; i < SEED_BASES; i++) {
		struct linkfs_volume *v;
		path_of(vol, dir, i ? "crashed" : "closed");
		seed_plain(vol);
		if (i == 0) {
			must(!seed_sql(vol, "INSERT INTO snapshot VALUES(1, x'7331', 5, x'', x'61', (SELECT value FROM "
					    "counter WHERE id = 1), 0);"
					    "UPDATE counter SET value = 2 WHERE id = 2"),
			     "a snapshot");
			v = open_it(vol);
			must(!linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "dir/up"), "unlink");
			must(!linkfs_path_symlink(v, NULL, "..", LINKFS_ROOT_INO, "dir/up", NULL), "symlink");
			must(!linkfs_volume_close(v), "close");
		} else {
			must(!seed_sql(vol, "INSERT INTO intent SELECT (2 << 48) + ino, 2, ino, 1, 2 FROM dirent WHERE "
					    "name = x'66696c65'"),
			     "an intent");
			pid_t child = fork();
			if (child == 0)
				die(vol);
			int status = 1;
			must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the crash");
		}
		for (int f = 0; f < SEED_FILES; f++)
			take(vol, seed_names[f], &bases[i][f]);
		for (size_t f = 0; f < sizeof(rest) / sizeof(rest[0]); f++) {
			path_of(path, vol, rest[f]);
			(void)unlink(path);
		}
		must(!rmdir(vol), vol);
	}
}
