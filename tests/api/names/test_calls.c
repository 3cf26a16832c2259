/*
 * test_calls.c - what tables of steps cannot say about names: limits of walks, holds and handles, temporary files, times,
 * events, read-only volumes, calls the kernel has checked (A2, A7, B1, B4, B5, F7).
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
	assert_int_equal(linkfs_file_open(f->v, &user, ROOT, "f", rw | LINKFS_O_CREATE | LINKFS_O_EXCL, 0444, &file), 0);
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
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "g", rw | LINKFS_O_CREATE | LINKFS_O_APPEND, 0600, &file), 0);
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

/* ---- times ------------------------------------------------------------------------------------------------------- */

static void set_times(struct fixture *f, const char *path, int64_t ns)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME, .atime_ns = ns, .mtime_ns = ns};

	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, path, LINKFS_NOFOLLOW, &change), 0);
}

static void times(void **state)
{
	struct fixture *f = *state;
	struct linkfs_setattr change = {.valid = LINKFS_SET_ATIME, .atime_ns = -5000000001};
	struct linkfs_stat before, after;

	make(f, "f", S_IFREG | 0644);
	make(f, "d", S_IFDIR | 0755);
	before = look(f, "f");
	assert_true(before.btime_ns == before.mtime_ns && before.mtime_ns == before.ctime_ns);
	/* One time, before 1970, to the nanosecond; the other is left, ctime is now. */
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	after = look(f, "f");
	assert_true(after.atime_ns == -5000000001);
	assert_true(after.mtime_ns == before.mtime_ns && after.ctime_ns > before.ctime_ns);
	assert_true(after.btime_ns == before.btime_ns);
	/* After 2106. */
	change = (struct linkfs_setattr){.valid = LINKFS_SET_MTIME | LINKFS_SET_ATIME_NOW, .mtime_ns = 5000000000123456789};
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	after = look(f, "f");
	assert_true(after.mtime_ns == 5000000000123456789 && after.atime_ns == after.ctime_ns);
	/* Names change the directory's times and the file's ctime, and not its mtime. */
	set_times(f, "f", 1000);
	set_times(f, "d", 1000);
	before = look(f, "f");
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "f", ROOT, "d/g", 0), 0);
	after = look(f, "f");
	assert_true(after.ctime_ns > before.ctime_ns && after.mtime_ns == 1000 && after.atime_ns == 1000);
	assert_true(look(f, "d").mtime_ns == after.ctime_ns && look(f, "d").atime_ns == 1000);
	set_times(f, "d", 1000);
	set_times(f, "/", 1000);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "d/g", ROOT, "h", 0), 0);
	assert_true(look(f, "d").mtime_ns > 1000 && look(f, "/").mtime_ns > 1000);
	assert_true(look(f, "f").ctime_ns > after.ctime_ns && look(f, "f").mtime_ns == 1000);
	set_times(f, "/", 1000);
	before = look(f, "f");
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "h"), 0);
	assert_true(look(f, "f").ctime_ns > before.ctime_ns && look(f, "/").mtime_ns > 1000);
	/* ext4: truncating to the size it has changes the times. */
	set_times(f, "f", 1000);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 0};
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	assert_true(look(f, "f").mtime_ns > 1000);
	/* A rename of a name onto another of the same file changes nothing. */
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	before = look(f, "f");
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	after = look(f, "f");
	assert_memory_equal(&before, &after, sizeof(before));
}

/* M9: relatime, unless the volume was opened otherwise. */
static void access_times(void **state)
{
	struct fixture *f = *state;
	struct linkfs_setattr change = {.valid = LINKFS_SET_ATIME, .atime_ns = 1000};
	struct linkfs_dir *dir;
	const struct linkfs_entry *entry;
	struct linkfs_stat st;
	int64_t seen;
	char buf[8];
	size_t len;

	assert_int_equal(linkfs_path_symlink(f->v, NULL, "t", ROOT, "l", &st), 0);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "l", LINKFS_NOFOLLOW, &change), 0);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	seen = look(f, "l").atime_ns;
	assert_true(seen > 1000);
	assert_true(look(f, "l").ctime_ns < seen);
	assert_int_equal(linkfs_node_readlink(f->v, st.ino, buf, sizeof(buf), &len), 0);
	assert_true(look(f, "l").atime_ns == seen);
	make(f, "d", S_IFDIR | 0755);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &change), 0);
	assert_int_equal(linkfs_dir_open(f->v, NULL, ROOT, "d", &dir), 0);
	assert_int_equal(linkfs_dir_read(dir, &entry), 0);
	linkfs_dir_close(dir);
	assert_true(look(f, "d").atime_ns > 1000);
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, LINKFS_OPEN_NOATIME);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "l", LINKFS_NOFOLLOW, &change), 0);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	assert_true(look(f, "l").atime_ns == 1000);
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, LINKFS_OPEN_STRICTATIME);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	seen = look(f, "l").atime_ns;
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	assert_true(look(f, "l").atime_ns > seen);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

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
	} rows[] = {{"d", "d", false, 0},   {"d/", "d", false, 1},      {"d/x", "x", true, 0},   {"l/x//", "x", true, 1},
		    {"/", ".", false, 1},   {"d/..", "..", true, 0},    {"d/./.", ".", true, 0}, {"/d/nope", "nope", true, 0}};

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
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "x", LINKFS_O_WRITE | LINKFS_O_CREATE, 0, &h), LINKFS_EROFS);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "f", LINKFS_O_READ, 0, &h), 0);
	linkfs_file_close(h);
	/* Reading works, and leaves the access time. */
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	assert_int_equal(linkfs_path_stat(f->v, &user, ROOT, "l", 0, &st), 0);
}

struct events {
	int entries, attrs, datas;
	char names[64];
};

static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	struct events *e = arg;

	for (size_t i = 0; i < count; i++) {
		e->entries += events[i].kind == LINKFS_EVENT_ENTRY;
		e->attrs += events[i].kind == LINKFS_EVENT_ATTR;
		e->datas += events[i].kind == LINKFS_EVENT_DATA;
		if (events[i].kind == LINKFS_EVENT_ENTRY)
			strncat(e->names, events[i].name, events[i].name_len);
	}
}

/* The observer hears of every change but the kernel's own, and of none that did not happen. */
static void events(void **state)
{
	struct fixture *f = *state;
	const struct linkfs_cred kernel = {.umask = 022, .flags = LINKFS_CRED_KERNEL};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0600};
	struct events e = {0};
	uint64_t ino;

	linkfs_volume_observe(f->v, observe, &e);
	ino = make(f, "f", S_IFREG | 0644);
	assert_int_equal(e.entries, 1);
	assert_int_equal(linkfs_path_make(f->v, NULL, ROOT, "f", &how, NULL), LINKFS_EEXIST);
	assert_int_equal(e.entries, 1);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	assert_int_equal(e.entries, 3);
	assert_string_equal(e.names, "ffg");
	e.attrs = 0;
	assert_int_equal(linkfs_node_setattr(f->v, NULL, ino, &change, NULL), 0);
	assert_int_equal(e.attrs, 1);
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, ino, "user.a", "x", 1, 0), 0);
	assert_int_equal(e.attrs, 2);
	assert_int_equal(linkfs_node_link(f->v, NULL, ino, ROOT, "h", 1, 0, NULL), 0);
	assert_int_equal(e.attrs, 3);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 9};
	assert_int_equal(linkfs_node_setattr(f->v, NULL, ino, &change, NULL), 0);
	assert_int_equal(e.datas, 1);
	e = (struct events){0};
	assert_int_equal(linkfs_node_make(f->v, &kernel, ROOT, "k", 1, &how, 0, NULL), 0);
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, ino, &change, NULL), 0);
	assert_int_equal(linkfs_node_unlink(f->v, &kernel, ROOT, "k", 1), 0);
	assert_int_equal(e.entries + e.attrs + e.datas, 0);
	linkfs_volume_observe(f->v, NULL, NULL);
}

/* The kernel has checked: nothing is refused for rights, and what a change brings with it happens all the same. */
static void kernel_calls(void **state)
{
	struct fixture *f = *state;
	const struct linkfs_cred kernel = {.uid = 2000, .gid = 2000, .umask = 027, .flags = LINKFS_CRED_KERNEL};
	struct linkfs_make how = {.mode = S_IFREG | 06777};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0700};
	struct linkfs_stat st, d;
	size_t len;
	char buf[64];

	make(f, "d", S_IFDIR | 0700);
	d = look(f, "d");
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &change), 0);
	assert_int_equal(linkfs_node_make(f->v, &kernel, d.ino, "f", 1, &how, 0, &st), 0);
	assert_int_equal(st.uid, 2000);
	assert_int_equal(st.mode, S_IFREG | 06750);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 3};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_int_equal(st.mode & 07000, 06000);
	change.valid |= LINKFS_SET_KILL_SUIDGID;
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_int_equal(st.mode & 07000, 0);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_MODE, .mode = 04755};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_UID | LINKFS_SET_KILL_SUIDGID, .uid = 5};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_int_equal(st.mode, S_IFREG | 0755);
	assert_int_equal(st.uid, 5);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_CTIME | LINKFS_SET_MTIME, .mtime_ns = 7, .ctime_ns = 8};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_true(st.mtime_ns == 7 && st.ctime_ns == 8);
	assert_int_equal(linkfs_node_setattr(f->v, NULL, st.ino, &change, &st), 0);
	assert_true(st.ctime_ns != 8);
	/* The list is for the user who asks, even so. */
	assert_int_equal(linkfs_node_setxattr(f->v, &kernel, st.ino, "trusted.a", "x", 1, 0), 0);
	assert_int_equal(linkfs_node_listxattr(f->v, &kernel, st.ino, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(linkfs_node_unlink(f->v, &kernel, d.ino, "f", 1), 0);
}

/* Buffers too small for values and lists; more names than a list may hold. */
static void xattr_sizes(void **state)
{
	struct fixture *f = *state;
	uint64_t ino = make(f, "f", S_IFREG | 0644);
	char name[256], *list = malloc(70000);
	size_t len = 77;
	int rc = 0, n;

	assert_non_null(list);
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, ino, "user.abc", "12345", 5, 0), 0);
	assert_int_equal(linkfs_node_getxattr(f->v, NULL, ino, "user.abc", NULL, 0, &len), 0);
	assert_int_equal(len, 5);
	len = 77;
	assert_int_equal(linkfs_node_getxattr(f->v, NULL, ino, "user.abc", list, 4, &len), LINKFS_ERANGE);
	assert_int_equal(len, 77);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, NULL, 0, &len), 0);
	assert_int_equal(len, 9);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, list, 8, &len), LINKFS_ERANGE);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, list, 9, &len), 0);
	assert_memory_equal(list, "user.abc", 9);
	for (n = 0; n < 400 && rc == 0; n++) {
		memset(name, 'n', sizeof(name));
		memcpy(name, "user.", 5);
		(void)snprintf(name + 240, 16, "%015d", n);
		rc = linkfs_node_setxattr(f->v, NULL, ino, name, "x", 1, 0);
	}
	assert_int_equal(rc, LINKFS_ENOSPC);
	assert_int_equal(n, (65536 - 9) / 256 + 1);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, list, 65536, &len), 0);
	assert_int_equal(len, 9 + (n - 1) * 256);
	/* Replacing one of them is no new name. */
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, ino, "user.abc", "new", 3, 0), 0);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "f"), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(forty_expansions), TEST(long_paths), TEST(any_bytes),       TEST(stale_numbers), TEST(holds),
		TEST(temporary_files),  TEST(handles),    TEST(times),           TEST(access_times),  TEST(replace_symlink),
		TEST(parents),          TEST(read_only),  TEST(events),          TEST(kernel_calls),  TEST(xattr_sizes),
	};

	return cmocka_run_group_tests_name("calls on names", tests, NULL, NULL);
}
