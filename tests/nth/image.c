/*
 * image.c - the volumes that scenarios start from: made once, kept in memory, copied for every point.
 */
#include "nth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <file.h>
#include <ftw.h>
#include <linkfs_links.h>
#include <node.h>
#include <snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>
#include <unistd.h>

#define B LK_BLOCK_SIZE
#define FILES 8

struct image_file {
	char name[32];
	uint8_t *data;
	size_t len;
	uint8_t host[HOST_BITS];
};
static struct {
	struct image_file files[FILES];
	unsigned count;
} images[IMAGE_COUNT];

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	printf("Bail out! making an image: %s: %s\n", what, linkfs_error_name(r));
	exit(1);
}
#define MUST(call) must(call, #call)

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int volume_open(const char *path, struct linkfs_volume **out)
{
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_NOATIME, .commit_interval_ms = 3600000};
	return linkfs_volume_open(path, &options, out, NULL);
}

/* ---- keeping and copying ----------------------------------------------------------------------------------------------- */

static void keep_file(struct image_file *f, const char *dir, const char *name)
{
	char path[4200];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || strlen(name) >= sizeof(f->name))
		must(LINKFS_EIO, path);
	(void)strcpy(f->name, name);
	f->len = (size_t)st.st_size;
	f->data = malloc(f->len + 1);
	if (!f->data)
		must(LINKFS_ENOMEM, path);
	must(lk_pread_all(fd, f->data, f->len, 0), path);
	memcpy(f->host, host_bits(name), HOST_BITS);
	(void)close(fd);
}

static void keep(enum image image, const char *dir)
{
	DIR *d = opendir(dir);
	if (!d)
		must(LINKFS_EIO, dir);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] != '.' && images[image].count < FILES)
			keep_file(&images[image].files[images[image].count++], dir, e->d_name);
	}
	(void)closedir(d);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static void copy_file(const struct image_file *f, const char *dir, bool with_host)
{
	char path[4200];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, f->name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)f->len))
		must(linkfs_from_errno(errno), path);
	for (size_t at = 0, n; at < f->len; at += n) {
		for (n = 0; at + n < f->len && !is_zero(f->data + at + n, LK_MIN(f->len - at - n, (size_t)B)); n += B)
			;
		n = LK_MIN(n, f->len - at);
		if (n)
			must(lk_pwrite_all(fd, f->data + at, n, at), path);
		else
			n = LK_MIN(f->len - at, (size_t)B);
	}
	(void)close(fd);
	if (with_host)
		host_set(f->name, f->host);
}

void image_copy(enum image image, const char *path, bool with_host)
{
	host_reset(with_host);
	if (image == IMAGE_NONE)
		return;
	must(mkdir(path, 0700) ? linkfs_from_errno(errno) : 0, path);
	for (unsigned i = 0; i < images[image].count; i++)
		copy_file(&images[image].files[i], path, with_host);
}

void images_free(void)
{
	for (unsigned i = 0; i < IMAGE_COUNT; i++)
		for (unsigned k = 0; k < images[i].count; k++)
			free(images[i].files[k].data);
}

/* ---- what is in them ------------------------------------------------------------------------------------------------------- */

static uint8_t page[64 * B];

static uint64_t make(struct linkfs_volume *v, const char *path, uint32_t mode)
{
	struct linkfs_make how = {.mode = mode, .rdev_major = S_ISCHR(mode) ? 5 : 0};
	struct linkfs_stat st = {0};
	MUST(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, path, &how, &st));
	return st.ino;
}

static void fill(struct linkfs_volume *v, uint64_t ino, uint64_t offset, size_t len)
{
	MUST(linkfs_node_write(v, NULL, ino, offset, page, len, 0, NULL, NULL));
}

static void fill_tree(struct linkfs_volume *v)
{
	uint64_t done, ino, b;
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(1 + i / B + i % 199);
	(void)make(v, "/d1", S_IFDIR | 0755);
	(void)make(v, "/d2", S_IFDIR | 0755);
	(void)make(v, "/d2/empty", S_IFDIR | 0700);
	(void)make(v, "/d2/sub", S_IFDIR | 0755);
	(void)make(v, "/d2/sub/leaf", S_IFREG | 0644);
	fill(v, make(v, "/d1/inline", S_IFREG | 0644), 0, 700);
	b = make(v, "/d1/big", S_IFREG | 04755);
	fill(v, b, 0, 20 * B + 77);
	MUST(linkfs_path_link(v, NULL, 1, "/d1/big", 1, "/d2/name", 0));
	ino = make(v, "/d1/sparse", S_IFREG | 0600);
	for (unsigned i = 0; i < 40; i++)
		fill(v, ino, i * 2 * B, B);
	MUST(linkfs_node_copy_range(v, NULL, b, 0, make(v, "/d1/shares", S_IFREG | 0644), 0, 16 * B, &done));
	MUST(linkfs_path_symlink(v, NULL, "d1/../d1/inline", 1, "/s", NULL));
	(void)make(v, "/d1/pipe", S_IFIFO | 0600);
	(void)make(v, "/d1/device", S_IFCHR | 0600);
	ino = make(v, "/d1/attrs", S_IFREG | 0664);
	MUST(linkfs_node_setxattr(v, NULL, ino, "user.one", "1", 1, 0));
	MUST(linkfs_node_setxattr(v, NULL, ino, "user.two", page, 900, 0));
	MUST(linkfs_node_setxattr(v, NULL, ino, "security.capability", "\1\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20,
				  0));
}

/* What is deleted to leave a full host; in no snapshot. */
static void fill_ballast(struct linkfs_volume *v)
{
	(void)make(v, "/full", S_IFDIR | 0755);
	uint64_t ino = make(v, "/full/ballast", S_IFREG | 0644);
	MUST(linkfs_node_allocate(v, NULL, ino, 0, 0, UINT64_C(8000) * B));
}

/* As an owner leaves it that is gone in the middle: a held file without a name, a truncation and a punch half done, and the WAL
 * not yet in the database. */
static void fill_crashed(struct linkfs_volume *v)
{
	struct lk_fs *fs = lk_volume_fs(v);
	struct lk_op op;
	struct lk_inode inode = {0};
	uint64_t orphan = make(v, "/gone", S_IFREG | 0644), cut = make(v, "/cut", S_IFREG | 0644),
		 punched = make(v, "/punched", S_IFREG | 0644);
	for (unsigned i = 0; i < 300; i++) {
		fill(v, orphan, i * 2 * B, B);
		fill(v, cut, i * 2 * B, B);
		if (i < 60)
			fill(v, punched, i * 2 * B, B);
	}
	MUST(linkfs_node_hold(v, orphan));
	MUST(linkfs_path_unlink(v, NULL, 1, "/gone"));
	MUST(lk_op_begin(fs, &op, LK_OP_WRITE));
	MUST(lk_inode_get(&op, cut, &inode));
	MUST(lk_file_resize(&op, &inode, B + 7));
	MUST(lk_inode_put(&op, &inode));
	op.reclaim_count = 0;
	MUST(lk_op_end(&op, 0));
	struct lk_intent row = {.id = LK_INTENT_ID(LK_INTENT_PUNCH, punched),
				.kind = LK_INTENT_PUNCH,
				.ino = (int64_t)punched,
				.from = 10,
				.to = 100};
	MUST(lk_op_begin(fs, &op, LK_OP_WRITE));
	MUST(lk_op_end(&op, lk_txn_put(&op, LK_T_INTENT, &row)));
	MUST(linkfs_volume_sync(v));
}

static void snapshot(struct linkfs_volume *v, const char *name)
{
	struct lk_op op;
	struct lk_snapshot s = {.name = {name, strlen(name)}};
	MUST(lk_op_begin(lk_volume_fs(v), &op, LK_OP_WRITE));
	MUST(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)));
}

static void fill_snapshots(struct linkfs_volume *v)
{
	struct linkfs_stat st = {0};
	struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = 5};
	snapshot(v, "one");
	MUST(linkfs_path_stat(v, NULL, 1, "/d1/big", 0, &st));
	fill(v, st.ino, 3 * B, 2 * B);
	MUST(linkfs_path_setattr(v, NULL, 1, "/d1/sparse", 0, &cut));
	MUST(linkfs_path_rename(v, NULL, 1, "/d1/inline", 1, "/d2/moved", 0));
	MUST(linkfs_path_unlink(v, NULL, 1, "/d1/pipe"));
	snapshot(v, "two");
	MUST(linkfs_path_unlink(v, NULL, 1, "/s"));
	MUST(linkfs_path_stat(v, NULL, 1, "/d1/attrs", 0, &st));
	MUST(linkfs_node_removexattr(v, NULL, st.ino, "user.one"));
	fill(v, st.ino, 0, 100);
}

/* As much history as takes several steps to delete, of each kind, for three snapshots. */
static void fill_past(struct linkfs_volume *v)
{
	struct linkfs_stat st = {0};
	struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = 100 * B}, none = {.valid = LINKFS_SET_SIZE};
	uint64_t pieces = make(v, "/d1/pieces", S_IFREG | 0644), done;
	for (unsigned i = 0; i < 200; i++)
		fill(v, pieces, i * 2 * B, B);
	MUST(linkfs_path_track(v, NULL, 1, "/d1/big", 1, "/tracked", 0, NULL));
	fill_snapshots(v);
	MUST(linkfs_node_setattr(v, NULL, pieces, &cut, NULL));
	MUST(linkfs_path_rename(v, NULL, 1, "/d2/sub", 1, "/sub", 0));
	MUST(linkfs_path_stat(v, NULL, 1, "/d1/shares", 0, &st));
	MUST(linkfs_node_copy_range(v, NULL, pieces, 0, st.ino, 4 * B, 10 * B, &done));
	snapshot(v, "three");
	MUST(linkfs_node_setattr(v, NULL, pieces, &none, NULL));
	MUST(linkfs_path_unlink(v, NULL, 1, "/d1/big"));
	MUST(linkfs_path_unlink(v, NULL, 1, "/tracked"));
	MUST(linkfs_path_symlink(v, NULL, "d1/shares", 1, "/tracked", NULL));
}

static void leave_half(struct linkfs_volume *v)
{
	struct lk_snapshot row;
	bool more = false;
	struct lk_op op;
	MUST(lk_op_begin(lk_volume_fs(v), &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK));
	MUST(lk_snapshot_find(&op, "two", 3, &row));
	MUST(lk_txn_snapshot_mark(&op, row.epoch));
	MUST(lk_txn_snapshot_drop(&op, row.epoch, 256, &(uint32_t){0}, &more));
	MUST(lk_op_end(&op, 0));
	must(more ? 0 : LINKFS_EINVAL, "a deletion of one step only");
}

static void make_image(enum image image, const char *dir)
{
	char path[4200];
	struct linkfs_volume *v = NULL;
	(void)snprintf(path, sizeof(path), "%s/image", dir);
	host_reset(true);
	faults_watch(path);
	struct linkfs_create_options options = {0};
	options.properties = lk_test_properties(&options.property_count);
	MUST(linkfs_volume_create(path, &options, NULL));
	MUST(volume_open(path, &v));
	if (image != IMAGE_EMPTY)
		fill_tree(v);
	if (image == IMAGE_SNAPSHOTS)
		fill_snapshots(v);
	if (image == IMAGE_PAST || image == IMAGE_LEAVING)
		fill_past(v);
	if (image != IMAGE_EMPTY)
		fill_ballast(v);
	if (image == IMAGE_CRASHED)
		fill_crashed(v);
	if (image == IMAGE_LEAVING)
		leave_half(v);
	if (image == IMAGE_CRASHED)
		keep(image, path);
	MUST(linkfs_volume_close(v));
	if (image != IMAGE_CRASHED)
		keep(image, path);
	faults_unwatch();
	remove_tree(path);
}

void images_make(const char *dir)
{
	for (int i = 0; i < IMAGE_NONE; i++)
		make_image((enum image)i, dir);
}
