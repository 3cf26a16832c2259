/*
 * test_calls.c - what tables of steps cannot say about names: limits of walks, holds and handles, temporary files,
 * read-only volumes (A2, A7, B1, B4, B5).
 */
#include "volume.h"

#define ROOT LINKFS_ROOT_INO

static uint64_t inodes(struct fixture *f)
{
	struct linkfs_info info;

	assert_int_equal(linkfs_volume_info(f->v, &info), 0);
	return info.inodes;
}

/* B4: forty expansions are walked, the forty-first is one too many, wherever they stand in the path. */
static void forty_expansions(void **state)
{
	struct fixture *f = *state;
	char name[32], text[32], path[512] = "";
	struct linkfs_stat st;

	make(f, "d", S_IFDIR | 0755);
	make(f, "d/f", S_IFREG | 0644);
	for (int i = 1; i <= 41; i++) {
		(void)snprintf(name, sizeof(name), "c%d", i);
		(void)snprintf(text, sizeof(text), i == 1 ? "d" : "c%d", i - 1);
		assert_int_equal(linkfs_path_symlink(f->v, NULL, text, ROOT, name, NULL), 0);
	}
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, "c40", 0, &st), 0);
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, "c40/f", 0, &st), 0);
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, "c41", 0, &st), LINKFS_ELOOP);
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, "c41", LINKFS_NOFOLLOW, &st), 0);
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, "c41/", LINKFS_NOFOLLOW, &st), LINKFS_ELOOP);
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, "c41/f", 0, &st), LINKFS_ELOOP);
	/* Not nested: one after the other. */
	assert_int_equal(linkfs_path_symlink(f->v, NULL, ".", ROOT, "here", NULL), 0);
	for (int i = 0; i < 40; i++)
		strcat(path, "here/");
	strcat(path, "d");
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, path, 0, &st), 0);
	strcpy(strrchr(path, 'd'), "here/d");
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, path, 0, &st), LINKFS_ELOOP);
}

static void long_paths(void **state)
{
	struct fixture *f = *state;
	char path[LINKFS_PATH_MAX + 8], text[LINKFS_PATH_MAX + 1];
	struct linkfs_stat st;
	size_t len;

	make(f, "d", S_IFDIR | 0755);
	memset(path, '/', sizeof(path));
	path[LINKFS_PATH_MAX - 2] = 'd';
	path[LINKFS_PATH_MAX - 1] = 0;
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, path, 0, &st), 0);
	path[LINKFS_PATH_MAX - 1] = '/';
	path[LINKFS_PATH_MAX] = 0;
	assert_int_equal(linkfs_path_stat(f->v, NULL, ROOT, path, 0, &st), LINKFS_ENAMETOOLONG);
	/* B1: 1 to 4095 bytes, byte for byte. */
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(1 + i % 255);
	text[LINKFS_SYMLINK_MAX] = 0;
	assert_int_equal(linkfs_path_symlink(f->v, NULL, text, ROOT, "l", &st), 0);
	assert_int_equal(st.size, LINKFS_SYMLINK_MAX);
	assert_int_equal(st.mode, S_IFLNK | 0777);
	assert_int_equal(linkfs_node_readlink(f->v, st.ino, path, sizeof(path), &len), 0);
	assert_int_equal(len, LINKFS_SYMLINK_MAX);
	assert_memory_equal(path, text, len);
	assert_int_equal(linkfs_node_readlink(f->v, st.ino, path, 10, &len), 0);
	assert_int_equal(len, 10);
	text[LINKFS_SYMLINK_MAX] = 'x';
	text[LINKFS_SYMLINK_MAX + 1] = 0;
	assert_int_equal(linkfs_path_symlink(f->v, NULL, text, ROOT, "m", &st), LINKFS_ENAMETOOLONG);
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "x", ROOT, "m", &st), 0);
	assert_int_equal(st.size, 1);
	assert_int_equal(linkfs_node_symlink(f->v, NULL, ROOT, "n", 1, "a\0b", 3, 0, &st), LINKFS_EINVAL);
}

/* Names of 1 to 255 bytes, any but '/' and NUL, are kept as they are; the directory a thousand deep too. */
static void any_bytes(void **state)
{
	struct fixture *f = *state;
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_stat st, again;
	char name[256];
	uint64_t at = ROOT;

	for (size_t len = 1; len <= 255; len++) {
		for (size_t i = 0; i < len; i++) {
			name[i] = (char)((len * 7 + i) % 255 + 1);
			if (name[i] == '/' || name[i] == '.')
				name[i] = '\n';
		}
		assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, name, len, &how, 0, &st), 0);
		assert_int_equal(linkfs_node_lookup(f->v, NULL, ROOT, name, len, 0, &again), 0);
		assert_int_equal(st.ino, again.ino);
	}
	assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, "", 0, &how, 0, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, "a/b", 3, &how, 0, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, "a\0b", 3, &how, 0, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_lookup(f->v, NULL, ROOT, "a\0b", 3, 0, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, ".", 1, &how, 0, &st), LINKFS_EEXIST);
	assert_int_equal(linkfs_node_unlink(f->v, NULL, ROOT, "..", 2), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_rmdir(f->v, NULL, ROOT, ".", 1), LINKFS_EINVAL);
	how.mode = S_IFDIR | 0755;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(linkfs_node_make(f->v, NULL, at, "deep", 4, &how, 0, &st), 0);
		at = st.ino;
	}
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(linkfs_node_lookup(f->v, NULL, at, "..", 2, 0, &st), 0);
		at = st.ino;
	}
	assert_int_equal(at, ROOT);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "deep", ROOT, "deep/deep/deep/x", 0), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_rename(f->v, NULL, ROOT, "deep", 4, st.ino, "deep", 4, LINKFS_RENAME_NOREPLACE),
			 LINKFS_EEXIST);
}

/* Numbers that are gone, numbers that never were, and files where directories belong. */
static void stale_numbers(void **state)
{
	struct fixture *f = *state;
	uint64_t file = make(f, "f", S_IFREG | 0644);
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE};
	struct linkfs_stat st;
	char buf[8];
	size_t len;

	assert_int_equal(linkfs_node_lookup(f->v, NULL, file, "x", 1, 0, &st), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_node_make(f->v, NULL, file, "x", 1, &how, 0, &st), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_path_stat(f->v, NULL, file, "x", 0, &st), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_node_readdir(f->v, NULL, file, 0, 0, NULL, NULL), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "f"), 0);
	for (int i = 0; i < 3; i++) {
		const uint64_t gone[] = {file, 999999, UINT64_MAX};

		assert_int_equal(linkfs_node_getattr(f->v, gone[i], &st), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_lookup(f->v, NULL, gone[i], "x", 1, 0, &st), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_setattr(f->v, NULL, gone[i], &change, NULL), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_link(f->v, NULL, gone[i], ROOT, "x", 1, 0, &st), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_readlink(f->v, gone[i], buf, sizeof(buf), &len), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_access(f->v, NULL, gone[i], 4), LINKFS_ESTALE);
	}
	/* Never used again. */
	assert_true(make(f, "g", S_IFREG | 0644) > file);
}

/* A2: an unlinked file lives while it is held, and is gone with the last hold; a removed directory too. */
static void holds(void **state)
{
	struct fixture *f = *state;
	uint64_t before = inodes(f);
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0640};
	struct linkfs_stat st, d;

	assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, "f", 1, &how, LINKFS_HOLD, &st), 0);
	assert_int_equal(linkfs_node_lookup(f->v, NULL, ROOT, "f", 1, LINKFS_HOLD, &st), 0);
	assert_int_equal(linkfs_node_link(f->v, NULL, st.ino, ROOT, "g", 1, LINKFS_HOLD, &st), 0);
	assert_int_equal(st.nlink, 2);
	assert_int_equal(linkfs_node_unlink(f->v, NULL, ROOT, "f", 1), 0);
	assert_int_equal(linkfs_node_unlink(f->v, NULL, ROOT, "g", 1), 0);
	assert_int_equal(linkfs_node_getattr(f->v, st.ino, &st), 0);
	assert_int_equal(st.nlink, 0);
	assert_int_equal(linkfs_node_setattr(f->v, NULL, st.ino, &change, &st), 0);
	assert_int_equal(st.mode, S_IFREG | 0640);
	/* Not made by tmpfile: no new name. */
	assert_int_equal(linkfs_node_link(f->v, NULL, st.ino, ROOT, "h", 1, 0, &st), LINKFS_ENOENT);
	linkfs_node_release(f->v, st.ino, 2);
	assert_int_equal(linkfs_node_getattr(f->v, st.ino, &st), 0);
	linkfs_node_release(f->v, st.ino, 1);
	assert_int_equal(linkfs_node_getattr(f->v, st.ino, &st), LINKFS_ESTALE);
	assert_int_equal(inodes(f), before);

	how.mode = S_IFDIR | 0755;
	assert_int_equal(linkfs_node_make(f->v, NULL, ROOT, "d", 1, &how, LINKFS_HOLD, &d), 0);
	assert_int_equal(linkfs_node_rmdir(f->v, NULL, ROOT, "d", 1), 0);
	assert_int_equal(linkfs_node_make(f->v, NULL, d.ino, "x", 1, &how, 0, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_node_symlink(f->v, NULL, d.ino, "x", 1, "t", 1, 0, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_node_lookup(f->v, NULL, d.ino, "x", 1, 0, &st), LINKFS_ENOENT);
	assert_int_equal(linkfs_node_readdir(f->v, NULL, d.ino, 0, 0, NULL, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_node_tmpfile(f->v, NULL, d.ino, 0600, &st), LINKFS_ENOENT);
	linkfs_node_release(f->v, d.ino, 1);
	assert_int_equal(inodes(f), before);
	/* A failed call holds nothing. */
	assert_int_equal(linkfs_node_lookup(f->v, NULL, ROOT, "none", 4, LINKFS_HOLD, &st), LINKFS_ENOENT);
	/* rename over a held file is an unlink of it. */
	make(f, "a", S_IFREG | 0644);
	make(f, "b", S_IFREG | 0644);
	assert_int_equal(linkfs_node_lookup(f->v, NULL, ROOT, "b", 1, LINKFS_HOLD, &st), 0);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "a", ROOT, "b", 0), 0);
	assert_int_equal(linkfs_node_getattr(f->v, st.ino, &st), 0);
	assert_int_equal(st.nlink, 0);
	linkfs_node_release(f->v, st.ino, 1);
	assert_int_equal(inodes(f), before + 1);
}

/* O_TMPFILE: no name, a name once asked, none when it was exclusive, nothing left when it is closed. */
static void temporary_files(void **state)
{
	struct fixture *f = *state;
	uint32_t flags = LINKFS_O_READ | LINKFS_O_WRITE | LINKFS_O_TMPFILE;
	uint64_t before = inodes(f), ino;
	struct linkfs_file *file;
	struct linkfs_stat st;
	char buf[8];
	size_t done;

	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "/", flags, 0640, &file), 0);
	assert_int_equal(linkfs_file_stat(file, &st), 0);
	assert_int_equal(st.nlink, 0);
	assert_int_equal(st.mode, S_IFREG | 0640);
	assert_int_equal(linkfs_file_write(file, 0, "hello", 5, &done), 0);
	assert_int_equal(linkfs_file_link(file, NULL, ROOT, "named"), 0);
	assert_int_equal(linkfs_file_link(file, NULL, ROOT, "named"), LINKFS_EEXIST);
	assert_int_equal(linkfs_file_stat(file, &st), 0);
	assert_int_equal(st.nlink, 1);
	ino = st.ino;
	linkfs_file_close(file);
	assert_int_equal(look(f, "named").ino, ino);
	/* Once it had a name it is a file as others: unlinked, it stays so. */
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "named", LINKFS_O_READ, 0, &file), 0);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "named"), 0);
	assert_int_equal(linkfs_file_read(file, 0, buf, sizeof(buf), &done), 0);
	assert_int_equal(done, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(linkfs_file_link(file, NULL, ROOT, "again"), LINKFS_ENOENT);
	linkfs_file_close(file);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, ".", flags | LINKFS_O_EXCL, 0600, &file), 0);
	assert_int_equal(linkfs_file_link(file, NULL, ROOT, "never"), LINKFS_ENOENT);
	linkfs_file_close(file);
	assert_int_equal(inodes(f), before);
	/* What was never named is gone after the volume is opened again, and with it the record. */
	assert_int_equal(linkfs_node_tmpfile(f->v, NULL, ROOT, 0600, &st), 0);
	assert_int_equal(inodes(f), before + 1);
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, 0);
	assert_int_equal(inodes(f), before);
}

static void handles(void **state)
{
	struct fixture *f = *state;
	uint32_t rw = LINKFS_O_READ | LINKFS_O_WRITE;
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000, .umask = 027};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0777};
	struct linkfs_file *file, *other;
	struct linkfs_stat st;
	char buf[16];
	size_t done;

	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "/", 0, &change), 0);
	/* The mode counts when it is opened next, not for him who makes it. */
	assert_int_equal(linkfs_file_open(f->v, &user, ROOT, "f", rw | LINKFS_O_CREATE | LINKFS_O_EXCL, 0444, &file),
			 0);
	assert_int_equal(linkfs_file_write(file, 0, "0123456789", 10, &done), 0);
	assert_int_equal(linkfs_file_stat(file, &st), 0);
	assert_int_equal(st.mode, S_IFREG | 0440);
	assert_int_equal(st.uid, 1000);
	assert_int_equal(linkfs_file_truncate(file, 4), 0);
	assert_int_equal(linkfs_file_open(f->v, &user, ROOT, "f", rw, 0, &other), LINKFS_EACCES);
	assert_int_equal(linkfs_file_open(f->v, &user, ROOT, "f", LINKFS_O_READ, 0, &other), 0);
	assert_int_equal(linkfs_file_read(other, 0, buf, sizeof(buf), &done), 0);
	assert_int_equal(done, 4);
	assert_int_equal(linkfs_file_write(other, 0, "x", 1, &done), LINKFS_EBADF);
	assert_int_equal(linkfs_file_truncate(other, 0), LINKFS_EINVAL);
	assert_int_equal(linkfs_file_ino(other), linkfs_file_ino(file));
	linkfs_file_close(other);
	/* Neither a mode of 0 nor a lost name takes it from him who has it open. */
	change.mode = 0;
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "f"), 0);
	assert_int_equal(linkfs_file_write(file, 4, "abc", 3, &done), 0);
	assert_int_equal(linkfs_file_truncate(file, 6), 0);
	assert_int_equal(linkfs_file_read(file, 0, buf, sizeof(buf), &done), 0);
	assert_int_equal(done, 6);
	assert_memory_equal(buf, "0123ab", 6);
	assert_int_equal(linkfs_file_stat(file, &st), 0);
	assert_int_equal(st.nlink, 0);
	linkfs_file_close(file);
	linkfs_file_close(NULL);
	/* APPEND writes at the end whatever the offset; TRUNC empties. */
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "g", rw | LINKFS_O_CREATE | LINKFS_O_APPEND, 0600, &file),
			 0);
	assert_int_equal(linkfs_file_write(file, 0, "one", 3, &done), 0);
	assert_int_equal(linkfs_file_write(file, 0, "two", 3, &done), 0);
	assert_int_equal(look(f, "g").size, 6);
	linkfs_file_close(file);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "g", LINKFS_O_WRITE | LINKFS_O_TRUNC, 0, &file), 0);
	assert_int_equal(linkfs_file_read(file, 0, buf, sizeof(buf), &done), LINKFS_EBADF);
	assert_int_equal(look(f, "g").size, 0);
	linkfs_file_close(file);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "g", 0, 0, &file), LINKFS_EINVAL);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "g", 1u << 20 | LINKFS_O_READ, 0, &file), LINKFS_EINVAL);
}

/* B5: replaced in one step, whatever file or link was there. */
static void replace_symlink(void **state)
{
	struct fixture *f = *state;
	uint64_t before;
	char buf[16];
	size_t len;

	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "v1", ROOT, "current", NULL), 0);
	before = inodes(f);
	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "version-2", ROOT, "current", NULL), 0);
	assert_int_equal(inodes(f), before);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "current", buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 9);
	make(f, "f", S_IFREG | 0644);
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "x", ROOT, "f", NULL), 0);
	assert_int_equal(look(f, "g").nlink, 1);
	make(f, "d", S_IFDIR | 0755);
	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "x", ROOT, "d", NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "x", ROOT, ".", NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "", ROOT, "d", NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_replace_symlink(f->v, NULL, "x", ROOT, "nope/d", NULL), LINKFS_ENOENT);
}

static void parents(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make(f, "d", S_IFDIR | 0755), dir;
	const char *name;
	size_t len;
	int slash;
	static const struct {
		const char *path, *name;
		bool in_d;
		int slash;
	} rows[] = {{"d", "d", false, 0},    {"d/", "d", false, 1},       {"d/x", "x", true, 0},
		    {"l/x//", "x", true, 1}, {"/", ".", false, 1},        {"d/..", "..", true, 0},
		    {"d/./.", ".", true, 0}, {"/d/nope", "nope", true, 0}};

	assert_int_equal(linkfs_path_symlink(f->v, NULL, "d", ROOT, "l", NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(linkfs_path_parent(f->v, NULL, ROOT, rows[i].path, &dir, &name, &len, &slash), 0);
		assert_int_equal(dir, rows[i].in_d ? d : ROOT);
		assert_int_equal(len, strlen(rows[i].name));
		assert_memory_equal(name, rows[i].name, len);
		assert_int_equal(slash, rows[i].slash);
	}
	/* The name lies in the caller's path, even when a link was walked. */
	static const char path[] = "l/x";
	assert_int_equal(linkfs_path_parent(f->v, NULL, ROOT, path, &dir, &name, &len, NULL), 0);
	assert_ptr_equal(name, path + 2);
	assert_int_equal(linkfs_path_parent(f->v, NULL, ROOT, "", &dir, &name, &len, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_parent(f->v, NULL, ROOT, "nope/x", &dir, &name, &len, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_stat(f->v, NULL, d, "..", 0, &(struct linkfs_stat){0}), 0);
}

/* What a read-only volume answers, after what is wrong anyway and before rights. */
static void read_only(void **state)
{
	struct fixture *f = *state;
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000, .umask = 022};
	struct linkfs_make how = {.mode = S_IFDIR | 0755};
	struct linkfs_setattr mode = {.valid = LINKFS_SET_MODE, .mode = 0777}, size = {.valid = LINKFS_SET_SIZE};
	uint64_t file;
	struct linkfs_file *h;
	struct linkfs_stat st;
	char buf[8];
	size_t len;

	make(f, "d", S_IFDIR | 0755);
	file = make(f, "f", S_IFREG | 0644);
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "f", ROOT, "l", NULL), 0);
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, LINKFS_OPEN_READONLY);
	assert_int_equal(linkfs_path_make(f->v, &user, ROOT, "d", &how, NULL), LINKFS_EEXIST);
	assert_int_equal(linkfs_path_make(f->v, &user, ROOT, "x/y", &how, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_make(f->v, &user, ROOT, "x", &how, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "t", ROOT, "x", NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "t", ROOT, "f", NULL), LINKFS_EEXIST);
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "f", ROOT, "x", 0), LINKFS_EROFS);
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "none", ROOT, "x", 0), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "f"), LINKFS_EROFS);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "none"), LINKFS_EROFS);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "."), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_rmdir(f->v, NULL, ROOT, "d"), LINKFS_EROFS);
	assert_int_equal(linkfs_path_rmdir(f->v, NULL, ROOT, "d/."), LINKFS_EINVAL);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "f", ROOT, "x", 0), LINKFS_EROFS);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "f", ROOT, "x", 8), LINKFS_EINVAL);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &mode), LINKFS_EROFS);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &size), LINKFS_EROFS);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &size), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, file, "user.a", "x", 1, 0), LINKFS_EROFS);
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, file, "", "x", 1, 0), LINKFS_ERANGE);
	assert_int_equal(linkfs_node_removexattr(f->v, NULL, file, "user.a"), LINKFS_EROFS);
	assert_int_equal(linkfs_node_tmpfile(f->v, NULL, ROOT, 0600, &st), LINKFS_EROFS);
	assert_int_equal(linkfs_node_access(f->v, NULL, file, 2), LINKFS_EROFS);
	assert_int_equal(linkfs_node_access(f->v, NULL, file, 4), 0);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "f", LINKFS_O_WRITE, 0, &h), LINKFS_EROFS);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "x", LINKFS_O_WRITE | LINKFS_O_CREATE, 0, &h),
			 LINKFS_EROFS);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "f", LINKFS_O_READ, 0, &h), 0);
	linkfs_file_close(h);
	/* Reading works, and leaves the access time. */
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	assert_int_equal(linkfs_path_stat(f->v, &user, ROOT, "l", 0, &st), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(forty_expansions), TEST(long_paths), TEST(any_bytes),       TEST(stale_numbers), TEST(holds),
		TEST(temporary_files),  TEST(handles),    TEST(replace_symlink), TEST(parents),       TEST(read_only),
	};

	return cmocka_run_group_tests_name("calls on names", tests, NULL, NULL);
}
