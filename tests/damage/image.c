/*
 * image.c - see image.h.
 */
#include "image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>
#include <unistd.h>
#include <volume.h>

static bool is_empty_log(const struct image_file *f)
{
	static const uint8_t zeros[32];
	return strcmp(f->name, "meta.db-wal") == 0 && (f->len < 32 || memcmp(f->bytes, zeros, 32) == 0);
}

static void take_file(const char *dir, const char *name, struct image *out)
{
	char path[4400];
	struct stat st;
	assert_true(out->count < IMAGE_FILES_MAX);
	struct image_file *f = &out->files[out->count];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	f->len = (size_t)st.st_size;
	f->bytes = malloc(f->len + 1);
	assert_non_null(f->bytes);
	assert_int_equal(read(fd, f->bytes, f->len), f->len);
	(void)close(fd);
	if (is_empty_log(f))
		free(f->bytes);
	else
		out->count++;
}

void image_take(const char *dir, struct image *out)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	*out = (struct image){.count = 0};
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.' && strcmp(e->d_name, "meta.db-shm") != 0)
			take_file(dir, e->d_name, out);
	}
	(void)closedir(d);
}

void image_put(const struct image *image, const char *dir)
{
	char path[4400];
	DIR *d = opendir(dir);
	struct dirent *e;
	if (!d) {
		assert_int_equal(mkdir(dir, 0700), 0);
		d = opendir(dir);
	}
	while ((e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			assert_int_equal(unlink(path), 0);
	}
	(void)closedir(d);
	for (size_t i = 0; i < image->count; i++) {
		const struct image_file *f = &image->files[i];
		(void)snprintf(path, sizeof(path), "%s/%s", dir, f->name);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, f->bytes, f->len, 0), f->len);
		(void)close(fd);
	}
}

void image_done(struct image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->files[i].bytes);
	image->count = 0;
}

struct image_file *image_file(struct image *image, const char *name)
{
	for (size_t i = 0; i < image->count; i++) {
		if (strcmp(image->files[i].name, name) == 0)
			return &image->files[i];
	}
	return NULL;
}

/* ---- the base --------------------------------------------------------------------------------------------------------- */

static void second_snapshot(struct linkfs_volume *v)
{
	struct lk_op op;
	struct lk_snapshot s = {.name = {"later", 5}};
	assert_int_equal(lk_op_begin(lk_volume_fs(v), &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)), 0);
}

static uint64_t make(struct linkfs_volume *v, const struct linkfs_cred *who, const char *path, struct linkfs_make how)
{
	struct linkfs_stat st;
	assert_int_equal(linkfs_path_make(v, who, LINKFS_ROOT_INO, path, &how, &st), 0);
	return st.ino;
}

/* Text that compresses to about a third: words of a number's digits. */
static void text(uint8_t *out, size_t len, uint64_t seed)
{
	static const char *const words[] = {"link ", "volume ", "name ", "file\n", "block ", "row "};
	for (size_t n = 0; n < len;) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		const char *w = words[seed >> 40 & 3];
		for (; *w && n < len; w++)
			out[n++] = (uint8_t)*w;
		if (n < len)
			out[n++] = (uint8_t)('0' + (seed >> 33) % 10);
	}
}

/* Compressed content: in a row, and in two chunks of which the first is cut in two by what was written into it. */
static uint64_t compressed(struct linkfs_volume *v)
{
	static uint8_t bytes[40 * LK_BLOCK_SIZE];
	assert_int_equal(linkfs_volume_set_property(v, NULL, LINKFS_COMPRESSION, "zstd", NULL), 0);
	uint64_t row = make(v, NULL, "row", (struct linkfs_make){.mode = S_IFREG | 0600});
	text(bytes, sizeof(bytes), 1);
	assert_int_equal(linkfs_node_write(v, NULL, row, 0, bytes, 3000, 0, NULL, NULL), 0);
	uint64_t chunks = make(v, NULL, "chunks", (struct linkfs_make){.mode = S_IFREG | 0600});
	assert_int_equal(linkfs_node_write(v, NULL, chunks, 0, bytes, sizeof(bytes), 0, NULL, NULL), 0);
	assert_int_equal(linkfs_node_write(v, NULL, chunks, 5 * LK_BLOCK_SIZE, "raw", 3, 0, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_set_property(v, NULL, LINKFS_COMPRESSION, "none", NULL), 0);
	return chunks;
}

static void more(struct linkfs_volume *v, uint64_t changed)
{
	static const struct linkfs_cred user = {.uid = 1000, .gid = 100, .umask = 022};
	uint8_t block[LK_BLOCK_SIZE];
	make(v, NULL, "fifo", (struct linkfs_make){.mode = S_IFIFO | 0644});
	make(v, NULL, "device", (struct linkfs_make){S_IFCHR | 0600, 5, 259});
	uint64_t open = make(v, NULL, "open", (struct linkfs_make){.mode = S_IFDIR | 01777});
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 01777};
	assert_int_equal(linkfs_node_setattr(v, NULL, open, &change, NULL), 0);
	uint64_t owned = make(v, &user, "open/owned", (struct linkfs_make){.mode = S_IFREG | 0640});
	assert_int_equal(linkfs_node_write(v, NULL, owned, 0, "mine", 4, 0, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_set_property(v, NULL, LINKFS_KEEP_DELETED, "365d", NULL), 0);
	uint64_t kept = make(v, NULL, "kept", (struct linkfs_make){.mode = S_IFREG | 0600});
	assert_int_equal(linkfs_node_write(v, NULL, kept, 0, "not yet", 7, 0, NULL, NULL), 0);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "kept"), 0);
	assert_int_equal(
		linkfs_path_track(v, NULL, LINKFS_ROOT_INO, "open/owned", LINKFS_ROOT_INO, "open/track", 0, NULL), 0);
	uint64_t chunks = compressed(v);
	second_snapshot(v);
	assert_int_equal(linkfs_node_write(v, NULL, chunks, 33 * LK_BLOCK_SIZE, "new", 3, 0, NULL, NULL), 0);
	memset(block, 'z', sizeof(block));
	assert_int_equal(linkfs_node_write(v, NULL, changed, 0, block, sizeof(block), 0, NULL, NULL), 0);
}

void base_make(struct base *b)
{
	struct linkfs_volume *v;
	*b = (struct base){.image = {.count = 0}};
	sample_make(&b->s);
	assert_int_equal(linkfs_volume_open(b->s.path, NULL, &v, NULL), 0);
	more(v, (uint64_t)b->s.changed);
	assert_int_equal(linkfs_volume_close(v), 0);
	image_take(b->s.path, &b->image);
	tree_open(b->s.path, 0, &b->tree);
	tree_rows(b->s.path, true, &b->history);
	assert_true(b->tree.count > 100 && b->history.count > 5);
	base_put(b);
}

void base_put(const struct base *b)
{
	image_put(&b->image, b->s.path);
}

void base_done(struct base *b)
{
	image_done(&b->image);
	tree_done(&b->tree);
	tree_done(&b->history);
	sample_done(&b->s);
}
