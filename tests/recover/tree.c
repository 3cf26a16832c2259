/*
 * tree.c - see tree.h: making, reading and comparing trees through the public calls.
 */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MUST(x)                                                                                                        \
	do {                                                                                                           \
		int r_ = (x);                                                                                          \
		if (r_)                                                                                                \
			fail_msg("%s: %s (line %d)", #x, linkfs_error_name(r_), __LINE__);                             \
	} while (0)

/* ---- making ------------------------------------------------------------------------------------------------------------ */

static uint64_t make(struct linkfs_volume *v, uint64_t dir, const char *name, uint32_t mode, uint32_t minor)
{
	struct linkfs_make how = {.mode = mode, .rdev_major = minor ? 7 : 0, .rdev_minor = minor};
	struct linkfs_stat st;
	MUST(linkfs_node_make(v, NULL, dir, name, strlen(name), &how, 0, &st));
	return st.ino;
}

static void fill(uint8_t *p, size_t len, struct lk_test_random *random)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)lk_test_next(random);
}

static void write_at(struct linkfs_volume *v, uint64_t ino, uint64_t offset, size_t len, struct lk_test_random *random)
{
	uint8_t *p = malloc(len);
	assert_non_null(p);
	fill(p, len, random);
	MUST(linkfs_node_write(v, NULL, ino, offset, p, len, 0, NULL, NULL));
	free(p);
}

static void make_content(struct linkfs_volume *v, uint64_t ino, unsigned i, struct lk_test_random *random)
{
	switch (i % 8) {
	case 0: /* inline */
		write_at(v, ino, 0, 1 + lk_test_below(random, 2048), random);
		break;
	case 1:
		break;
	case 2:
		write_at(v, ino, 0, 2049 + lk_test_below(random, 9000), random);
		break;
	case 3: /* a hole in the middle, and one at the end */
		write_at(v, ino, 0, 5000, random);
		write_at(v, ino, 40960, 8192, random);
		struct linkfs_setattr size = {.valid = LINKFS_SET_SIZE, .size = 1000000 + i};
		MUST(linkfs_node_setattr(v, NULL, ino, &size, NULL));
		break;
	case 4: /* several rows */
		if (i % 24 == 4)
			write_at(v, ino, 0, 300000 + lk_test_below(random, 300000), random);
		else
			write_at(v, ino, 4096, 4096, random);
		break;
	case 5:
		write_at(v, ino, 0, 100, random);
		MUST(linkfs_node_allocate(v, NULL, ino, 0, 0, 20000));
		break;
	default:
		write_at(v, ino, 0, 1 + lk_test_below(random, 600), random);
		break;
	}
}

static void make_meta(struct linkfs_volume *v, uint64_t ino, unsigned i, bool plain, struct lk_test_random *random)
{
	static const uint8_t acl[] = {2, 0,   0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  4,
				      0, 232, 3,   0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
				      4, 0,   255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
	struct linkfs_setattr a = {.valid = LINKFS_SET_UID | LINKFS_SET_GID | LINKFS_SET_ATIME | LINKFS_SET_MTIME,
				   .uid = i % 5 * 1000,
				   .gid = i % 7 * 10,
				   .atime_ns = (int64_t)lk_test_below(random, UINT64_C(1) << 60),
				   .mtime_ns = (int64_t)lk_test_below(random, UINT64_C(1) << 60)};
	static uint8_t value[3000];
	if (plain && i % 3 == 0) {
		char name[64];
		(void)snprintf(name, sizeof(name), "user.number-%u", i);
		fill(value, sizeof(value), random);
		MUST(linkfs_node_setxattr(v, NULL, ino, name, value, i % 9 == 0 ? sizeof(value) : i % 90, 0));
		MUST(linkfs_node_setxattr(v, NULL, ino, "security.x", "", 0, 0));
	}
	if (plain && i % 11 == 0)
		MUST(linkfs_node_setxattr(v, NULL, ino, "system.posix_acl_access", acl, sizeof(acl), 0));
	if (plain && i % 4 == 0) {
		a.valid |= LINKFS_SET_MODE;
		a.mode = i % 8 ? 04751 : 0604;
	}
	MUST(linkfs_node_setattr(v, NULL, ino, &a, NULL));
}

static void make_special(struct linkfs_volume *v, uint64_t dir, unsigned i)
{
	static const uint32_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	char name[64];
	(void)snprintf(name, sizeof(name), "special-%u", i);
	(void)make(v, dir, name, types[i % 4] | 0640, i % 4 >= 2 ? i + 1 : 0);
}

static void make_symlink(struct linkfs_volume *v, uint64_t dir, unsigned i, struct lk_test_random *random)
{
	char name[64], text[1500];
	size_t len = i % 10 == 0 ? sizeof(text) : 1 + lk_test_below(random, 60);
	for (size_t n = 0; n < len; n++)
		text[n] = n % 9 ? (char)('a' + n % 26) : '/';
	(void)snprintf(name, sizeof(name), "symlink-%u", i);
	MUST(linkfs_node_symlink(v, NULL, dir, name, strlen(name), text, len, 0, NULL));
}

void tree_make(struct linkfs_volume *v, unsigned files, uint64_t seed)
{
	struct lk_test_random random = {seed};
	uint64_t dir = LINKFS_ROOT_INO, last = 0, dirs[64], ndirs = 1;
	char name[256];
	dirs[0] = dir;
	for (unsigned i = 0; i < files; i++) {
		if (i % 25 == 24 && ndirs < 64) {
			(void)snprintf(name, sizeof(name), "dir-%u", i);
			dir = make(v, dirs[lk_test_below(&random, ndirs)], name, S_IFDIR | 0755, 0);
			dirs[ndirs++] = dir;
		}
		int n = snprintf(name, sizeof(name), "file-%u", i);
		if (i % 13 == 0) /* long, and not text */
			memset(name + n, 0x80 + (int)(i % 100), (size_t)(250 - n)), name[250] = 0;
		uint64_t ino = make(v, dir, name, S_IFREG | 0644, 0);
		make_content(v, ino, i, &random);
		if (i % 6 == 5) {
			uint64_t to = dirs[lk_test_below(&random, ndirs)];
			(void)snprintf(name, sizeof(name), "link-%u", i);
			MUST(linkfs_node_link(v, NULL, last, to, name, strlen(name), 0, NULL));
		}
		if (i % 15 == 7)
			make_symlink(v, dir, i, &random);
		if (i % 40 == 9)
			make_special(v, dir, i);
		make_meta(v, ino, i, true, &random);
		last = ino;
	}
	for (unsigned i = 1; i < ndirs; i++)
		make_meta(v, dirs[i], i * 7, true, &random);
}

struct victims {
	char names[256][256];
	size_t len[256], count;
};

static int pick(void *arg, const struct linkfs_entry *e)
{
	struct victims *v = arg;
	if (e->type == S_IFDIR || v->count == 256)
		return 0;
	memcpy(v->names[v->count], e->name, e->name_len);
	v->len[v->count++] = e->name_len;
	return 0;
}

void tree_thin(struct linkfs_volume *volume, unsigned files)
{
	char name[64];
	struct linkfs_stat st;
	struct victims *all = calloc(1, sizeof(*all));
	assert_non_null(all);
	for (unsigned i = 24; i < files; i += 50) {
		(void)snprintf(name, sizeof(name), "dir-%u", i);
		if (linkfs_node_lookup(volume, NULL, LINKFS_ROOT_INO, name, strlen(name), 0, &st))
			continue;
		all->count = 0;
		MUST(linkfs_node_readdir(volume, NULL, st.ino, 0, 0, pick, all));
		for (size_t n = 0; n < all->count; n++)
			MUST(linkfs_node_unlink(volume, NULL, st.ino, all->names[n], all->len[n]));
		(void)linkfs_node_rmdir(volume, NULL, LINKFS_ROOT_INO, name, strlen(name));
	}
	all->count = 0;
	MUST(linkfs_node_readdir(volume, NULL, LINKFS_ROOT_INO, 0, 0, pick, all));
	for (size_t n = 0; n < all->count; n += 3)
		MUST(linkfs_node_unlink(volume, NULL, LINKFS_ROOT_INO, all->names[n], all->len[n]));
	free(all);
}

char *volume_make(const char *dir, const char *name, unsigned files, uint64_t seed)
{
	struct linkfs_create_options create = {.label = "to be recovered"};
	struct linkfs_volume *v;
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		fail_msg("out of memory");
	create.properties = lk_test_properties(&create.property_count);
	MUST(linkfs_volume_create(path, &create, NULL));
	MUST(linkfs_volume_open(path, NULL, &v, NULL));
	tree_make(v, files, seed);
	MUST(linkfs_volume_close(v));
	return path;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

static struct entry *add(struct tree *t)
{
	if (t->len == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 256;
		t->p = realloc(t->p, t->cap * sizeof(*t->p));
		assert_non_null(t->p);
	}
	t->p[t->len] = (struct entry){0};
	return &t->p[t->len++];
}

#define HASHED (UINT64_C(4) << 20)

static uint64_t hash_content(struct linkfs_volume *v, const struct linkfs_stat *st)
{
	XXH3_state_t *state = XXH3_createState();
	uint8_t buf[65536];
	uint64_t at = 0;
	size_t n = 1;
	assert_non_null(state);
	(void)XXH3_64bits_reset(state);
	while (at < st->size && n) {
		if (at > HASHED && st->size - at > HASHED) /* a huge one is a hole in the middle */
			at = st->size - HASHED;
		MUST(linkfs_node_read(v, st->ino, at, buf, sizeof(buf), &n));
		(void)XXH3_64bits_update(state, buf, n);
		at += n;
	}
	uint64_t hash = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	return at == st->size ? hash : 0;
}

static uint64_t hash_xattrs(struct linkfs_volume *v, uint64_t ino)
{
	static char list[65536], value[65536];
	size_t len = 0, n;
	uint64_t sum = 0;
	MUST(linkfs_node_listxattr(v, NULL, ino, list, sizeof(list), &len));
	for (size_t at = 0; at < len; at += strlen(list + at) + 1) {
		MUST(linkfs_node_getxattr(v, NULL, ino, list + at, value, sizeof(value), &n));
		sum += XXH3_64bits_withSeed(value, n, XXH3_64bits(list + at, strlen(list + at)));
	}
	return sum;
}

static uint64_t count_holes(struct linkfs_volume *v, const struct linkfs_stat *st)
{
	uint64_t at = 0, data, holes = 0;
	while (at < st->size) {
		int r = linkfs_node_seek(v, st->ino, at, LINKFS_SEEK_DATA, &data);
		if (r == LINKFS_ENXIO)
			return holes + st->size - at;
		MUST(r);
		holes += data - at;
		MUST(linkfs_node_seek(v, st->ino, data, LINKFS_SEEK_HOLE, &at));
	}
	return holes;
}

/* The entries of directory t->p[at], behind the others. */
static void list(struct linkfs_volume *v, struct tree *t, size_t at)
{
	const struct linkfs_entry *e;
	struct linkfs_dir *d;
	MUST(linkfs_dir_open(v, NULL, t->p[at].st.ino, ".", &d));
	for (;;) {
		MUST(linkfs_dir_read(d, &e));
		if (!e)
			break;
		if (e->cookie <= 2) /* . and .. */
			continue;
		struct entry *to = add(t);
		to->st.ino = e->ino;
		if (asprintf(&to->path, "%s/%.*s", t->p[at].path, (int)e->name_len, e->name) < 0)
			fail_msg("out of memory");
	}
	linkfs_dir_close(d);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static int by_ino(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	if (x->st.ino != y->st.ino)
		return x->st.ino < y->st.ino ? -1 : 1;
	return strcmp(x->path, y->path);
}

static void read_one(struct linkfs_volume *v, struct entry *e)
{
	char text[LINKFS_SYMLINK_MAX];
	size_t len = 0;
	MUST(linkfs_node_getattr(v, e->st.ino, &e->st));
	e->xattrs = hash_xattrs(v, e->st.ino);
	if ((e->st.mode & S_IFMT) == S_IFREG) {
		e->content = hash_content(v, &e->st);
		e->holes = count_holes(v, &e->st);
	} else if ((e->st.mode & S_IFMT) == S_IFLNK) {
		MUST(linkfs_node_readlink(v, e->st.ino, text, sizeof(text), &len));
		e->content = XXH3_64bits(text, len);
	}
}

void tree_read(struct linkfs_volume *v, struct tree *t)
{
	*t = (struct tree){0};
	struct entry *root = add(t);
	root->path = strdup("");
	root->st.ino = LINKFS_ROOT_INO;
	for (size_t i = 0; i < t->len; i++) {
		read_one(v, &t->p[i]);
		if ((t->p[i].st.mode & S_IFMT) == S_IFDIR)
			list(v, t, i);
	}
	qsort(t->p, t->len, sizeof(*t->p), by_path);
	struct entry **all = calloc(t->len + 1, sizeof(*all));
	assert_non_null(all);
	for (size_t i = 0; i < t->len; i++)
		all[i] = &t->p[i];
	qsort(all, t->len, sizeof(*all), by_ino);
	for (size_t i = 0; i < t->len; i++)
		all[i]->first = i && all[i]->st.ino == all[i - 1]->st.ino ? all[i - 1]->first : all[i]->path;
	free(all);
}

void tree_of(const char *path, struct tree *out)
{
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_NOATIME};
	struct linkfs_message why = {""};
	struct linkfs_volume *v;
	int r = linkfs_volume_open(path, &options, &v, &why);
	if (r)
		fail_msg("open %s: %s: %s", path, linkfs_error_name(r), why.text);
	tree_read(v, out);
	MUST(linkfs_volume_close(v));
}

void tree_done(struct tree *t)
{
	for (size_t i = 0; i < t->len; i++)
		free(t->p[i].path);
	free(t->p);
	*t = (struct tree){0};
}

const struct entry *tree_find(const struct tree *t, const char *path)
{
	struct entry key = {.path = (char *)(uintptr_t)path};
	return t->len ? bsearch(&key, t->p, t->len, sizeof(*t->p), by_path) : NULL;
}

/* ---- files as bytes ---------------------------------------------------------------------------------------------------- */

void image_read(const char *dir, const char *name, struct file_image *out)
{
	char path[4096];
	struct stat st;
	*out = (struct file_image){0};
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f)
		return;
	assert_int_equal(fstat(fileno(f), &st), 0);
	out->len = (size_t)st.st_size;
	out->there = true;
	out->p = malloc(out->len + 1);
	assert_non_null(out->p);
	assert_int_equal(fread(out->p, 1, out->len, f), out->len);
	(void)fclose(f);
}

void image_write(const char *dir, const char *name, const struct file_image *image)
{
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)unlink(path);
	if (!image->there)
		return;
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(image->p, 1, image->len, f), image->len);
	assert_int_equal(fclose(f), 0);
}

void image_done(struct file_image *image)
{
	free(image->p);
	*image = (struct file_image){0};
}

void volume_copy(const char *from, const char *to)
{
	static const char *const names[] = {"meta.db", "meta.db-wal", "data.000000", "lock"};
	assert_int_equal(mkdir(to, 0700), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct file_image image;
		image_read(from, names[i], &image);
		image_write(to, names[i], &image);
		image_done(&image);
	}
}
