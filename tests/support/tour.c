/*
 * tour.c - the tour of tour.h. Bounded by numbers of its own, because directories of a hostile volume may have each other as children.
 */
#include "tour.h"

#include <linkfs_snapshots.h>
#include <linkfs_space.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIRS_MAX 48u
#define ENTRIES_MAX 96u
#define READ_MAX (768u * 1024)
#define PART 65536u

static uint8_t buf[PART];

static void bad(const char *what)
{
	fprintf(stderr, "tour: %s\n", what);
	abort();
}

static int note(struct tour *tour, int r)
{
	tour->calls++;
	if (r == 0)
		return 0;
	tour->errors++;
	tour->corrupt += r == LINKFS_ECORRUPT;
	if (r > 0 || !strcmp(linkfs_error_name(r), linkfs_error_name(-99999)))
		bad("an error code that is not listed");
	return r;
}

static void look(const struct linkfs_stat *st)
{
	if (!st->ino || st->ino >> 48 || (st->mode & ~0177777u) || st->nlink > LINKFS_LINK_MAX ||
	    st->size > LINKFS_FILE_SIZE_MAX)
		bad("attributes out of their bounds");
}

static uint64_t mix(uint64_t sum, const void *p, size_t len)
{
	for (const uint8_t *b = p; len--; b++)
		sum = (sum ^ *b) * UINT64_C(0x100000001b3);
	return sum;
}

static int extent(void *arg, const struct linkfs_extent *e)
{
	uint64_t *end = arg;
	if (e->length == 0 || e->offset < *end)
		bad("extents overlap");
	*end = e->offset + e->length;
	return 0;
}

static void content(struct linkfs_volume *volume, struct tour *tour, const struct linkfs_stat *st)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325), at = 0, out;
	int r = 0;
	while (at < st->size && at < READ_MAX) {
		size_t done = 0;
		r = note(tour, linkfs_node_read(volume, st->ino, at, buf, PART, &done));
		if (r)
			break;
		if (done > PART || done > st->size - at)
			bad("more was read than there is");
		if (!done)
			break;
		sum = mix(sum, buf, done);
		at += done;
	}
	if (st->size > PART) {
		size_t done = 0;
		(void)note(tour, linkfs_node_read(volume, st->ino, st->size - 5000, buf, PART, &done));
	}
	uint64_t end = 0;
	for (uint64_t from = 0; from != UINT64_MAX;)
		if (note(tour, linkfs_node_extents(volume, st->ino, &from, extent, &end)))
			break;
	for (int i = 0; i < 2; i++) {
		uint64_t from = 0;
		for (int n = 0;
		     n < 8 && note(tour, linkfs_node_seek(volume, st->ino, from,
							  i ? LINKFS_SEEK_HOLE : LINKFS_SEEK_DATA, &out)) == 0;
		     n++) {
			if (out < from || out > st->size)
				bad("a seek went out of the file");
			from = out + 4096;
		}
	}
	if (st->ino < TOUR_FILES) {
		tour->file[st->ino].error = r;
		tour->file[st->ino].size = st->size;
		tour->file[st->ino].sum = sum;
	}
}

static void xattrs(struct linkfs_volume *volume, struct tour *tour, uint64_t ino)
{
	static char names[8192];
	static char value[LINKFS_XATTR_SIZE_MAX];
	size_t len = 0, got = 0;
	if (note(tour, linkfs_node_listxattr(volume, NULL, ino, names, sizeof(names), &len)))
		return;
	if (len > sizeof(names) || (len && names[len - 1]))
		bad("a list of xattrs that does not end");
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		if (note(tour, linkfs_node_getxattr(volume, NULL, ino, names + at, value, sizeof(value), &got)) == 0 &&
		    got > sizeof(value))
			bad("an xattr longer than it may be");
	}
	(void)note(tour, linkfs_node_getxattr(volume, NULL, ino, "user.none", value, sizeof(value), &got));
}

static void node(struct linkfs_volume *volume, struct tour *tour, uint64_t ino)
{
	struct linkfs_stat st;
	struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	size_t len = 0;
	if (note(tour, linkfs_node_getattr(volume, ino, &st)))
		return;
	look(&st);
	if (st.ino != ino)
		bad("another inode's attributes");
	(void)note(tour, linkfs_node_access(volume, &user, ino, 7));
	xattrs(volume, tour, ino);
	if (S_ISREG(st.mode))
		content(volume, tour, &st);
	if (S_ISLNK(st.mode) && note(tour, linkfs_node_readlink(volume, ino, (char *)buf, PART, &len)) == 0 &&
	    (len == 0 || len > LINKFS_SYMLINK_MAX || memchr(buf, 0, len)))
		bad("a symlink's text that none can have");
}

struct dirs {
	struct tour *tour;
	uint64_t queue[DIRS_MAX], dir;
	uint32_t count, at, entries;
	uint64_t last;
	struct {
		char name[256];
		size_t len;
		uint64_t ino;
	} entry[ENTRIES_MAX];
};

static int take_entry(void *arg, const struct linkfs_entry *e)
{
	struct dirs *d = arg;
	if (e->name_len == 0 || e->name_len > LINKFS_NAME_MAX || memchr(e->name, '/', e->name_len) ||
	    memchr(e->name, 0, e->name_len))
		bad("a name that none can have");
	if (e->cookie <= d->last || e->cookie >> 63)
		bad("a cookie that does not go on");
	d->last = e->cookie;
	if (e->stat)
		look(e->stat);
	bool dot = (e->name_len == 1 && e->name[0] == '.') || (e->name_len == 2 && !memcmp(e->name, "..", 2));
	if (dot)
		return 0;
	if (d->entries == ENTRIES_MAX)
		return 1;
	memcpy(d->entry[d->entries].name, e->name, e->name_len);
	d->entry[d->entries].len = e->name_len;
	d->entry[d->entries++].ino = e->ino;
	if (e->type == S_IFDIR && d->count < DIRS_MAX)
		d->queue[d->count++] = e->ino;
	return 0;
}

static void list(struct linkfs_volume *volume, struct dirs *d, uint32_t flags)
{
	for (uint32_t calls = 0; calls < 1000; calls++) {
		uint64_t before = d->last;
		if (note(d->tour, linkfs_node_readdir(volume, NULL, d->dir, d->last, flags, take_entry, d)) ||
		    d->last == before)
			return;
		if (d->entries == ENTRIES_MAX)
			return;
	}
	bad("a directory without end");
}

static void directory(struct linkfs_volume *volume, struct dirs *d)
{
	struct linkfs_stat st;
	d->entries = 0;
	d->last = 0;
	list(volume, d, LINKFS_READDIR_STAT);
	(void)note(d->tour, linkfs_node_lookup(volume, NULL, d->dir, "..", 2, 0, &st));
	for (uint32_t i = 0; i < d->entries; i++) {
		if (note(d->tour,
			 linkfs_node_lookup(volume, NULL, d->dir, d->entry[i].name, d->entry[i].len, 0, &st)) == 0)
			look(&st);
		node(volume, d->tour, d->entry[i].ino);
	}
}

static void walk(struct linkfs_volume *volume, struct dirs *d)
{
	d->queue[d->count++] = LINKFS_ROOT_INO;
	for (; d->at < d->count; d->at++) {
		d->dir = d->queue[d->at];
		directory(volume, d);
	}
}

struct set {
	struct linkfs_space_item items[8];
	size_t count;
};

static int add_snapshot(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct set *set = arg;
	set->items[set->count++] = (struct linkfs_space_item){.snapshot = snapshot->id};
	return set->count == sizeof(set->items) / sizeof(set->items[0]);
}

static int with(void *arg, const struct linkfs_space_with *w)
{
	(void)arg;
	if (w->name && w->name[w->name_len])
		bad("a name without its end");
	return 0;
}

/* What the tree and its snapshots cost. */
static void space(struct linkfs_volume *volume, struct tour *tour)
{
	struct set set = {.items = {{.at = LINKFS_ROOT_INO, .path = "/"}}, .count = 1};
	struct linkfs_space_question q = {.items = set.items, .with = with};
	struct linkfs_space_sum sum;
	struct linkfs_space *moment;
	(void)note(tour, linkfs_snapshot_list(volume, add_snapshot, &set));
	if (note(tour, linkfs_space_open(volume, &moment)))
		return;
	q.item_count = 1;
	(void)note(tour, linkfs_space_ask(moment, NULL, &q, &sum));
	q.item_count = set.count;
	(void)note(tour, linkfs_space_ask(moment, NULL, &q, &sum));
	linkfs_space_close(moment);
}

void tour_read(struct linkfs_volume *volume, struct tour *tour)
{
	static const char *const paths[] = {
		"/",       "/file",        "/dir/sub/deep", "/link",      "/loop", "/dir/up/dir/up/file",
		"/a/../a", "/dir/abs/sub", "/dir/sub/..",   "/dangling/x"};
	struct dirs *d = calloc(1, sizeof(*d));
	struct linkfs_stat st;
	struct linkfs_statfs fs;
	struct linkfs_info info;
	if (!d)
		bad("out of memory");
	d->tour = tour;
	(void)note(tour, linkfs_volume_statfs(volume, &fs));
	(void)note(tour, linkfs_volume_info(volume, &info));
	node(volume, tour, LINKFS_ROOT_INO);
	walk(volume, d);
	space(volume, tour);
	for (uint64_t ino = 1; ino < TOUR_FILES; ino++)
		node(volume, tour, ino);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		(void)note(tour, linkfs_path_stat(volume, NULL, LINKFS_ROOT_INO, paths[i], 0, &st));
		(void)note(tour, linkfs_path_stat(volume, NULL, LINKFS_ROOT_INO, paths[i], LINKFS_NOFOLLOW, &st));
	}
	free(d);
}

/* Every way to change one file that has a name. */
static void change(struct linkfs_volume *v, struct tour *t, uint64_t dir, const char *name, size_t len, uint64_t ino)
{
	struct linkfs_stat st;
	struct linkfs_setattr set = {
		.valid = LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_MTIME_NOW, .mode = 0640, .uid = 7};
	size_t done;
	if (note(t, linkfs_node_getattr(v, ino, &st)))
		return;
	(void)note(t, linkfs_node_hold(v, ino));
	(void)note(t, linkfs_node_setattr(v, NULL, ino, &set, NULL));
	(void)note(t, linkfs_node_setxattr(v, NULL, ino, "user.tour", "value", 5, 0));
	(void)note(t, linkfs_node_removexattr(v, NULL, ino, "user.color"));
	if (S_ISREG(st.mode)) {
		uint64_t middle = st.size / 2;
		(void)note(t, linkfs_node_write(v, NULL, ino, middle, "touched", 7, 0, &done, NULL));
		(void)note(t, linkfs_node_write(v, NULL, ino, 0, buf, 9000, LINKFS_WRITE_APPEND, &done, NULL));
		(void)note(t,
			   linkfs_node_allocate(v, NULL, ino, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, 4096, 8192));
		(void)note(t, linkfs_node_allocate(v, NULL, ino, LINKFS_ALLOC_ZERO, 100, 5000));
		(void)note(t, linkfs_node_allocate(v, NULL, ino, 0, st.size & 0xffffff, 20000));
		(void)note(t, linkfs_node_allocate(v, NULL, ino, LINKFS_ALLOC_COLLAPSE, 0, 4096));
		set = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = middle};
		(void)note(t, linkfs_node_setattr(v, NULL, ino, &set, NULL));
	}
	(void)note(t, linkfs_node_link(v, NULL, ino, LINKFS_ROOT_INO, "tour-name", 9, 0, NULL));
	(void)note(t, linkfs_node_rename(v, NULL, dir, name, len, LINKFS_ROOT_INO, "tour-moved", 10, 0));
	(void)note(t, linkfs_node_rename(v, NULL, LINKFS_ROOT_INO, "tour-moved", 10, dir, name, len,
					 LINKFS_RENAME_NOREPLACE));
	(void)note(t, linkfs_node_unlink(v, NULL, LINKFS_ROOT_INO, "tour-name", 9));
	if (ino % 2) {
		(void)note(t, S_ISDIR(st.mode) ? linkfs_node_rmdir(v, NULL, dir, name, len)
					       : linkfs_node_unlink(v, NULL, dir, name, len));
	}
	linkfs_node_release(v, ino, 1);
}

static void make(struct linkfs_volume *v, struct tour *t)
{
	struct linkfs_make file = {.mode = S_IFREG | 0644}, dir = {.mode = S_IFDIR | 0755};
	struct linkfs_stat st, up;
	uint64_t copied;
	size_t done;
	memset(buf, 'n', sizeof(buf));
	if (note(t, linkfs_node_make(v, NULL, LINKFS_ROOT_INO, "tour-new", 8, &file, LINKFS_HOLD, &st)) == 0) {
		(void)note(t, linkfs_node_write(v, NULL, st.ino, 0, buf, 60000, 0, &done, NULL));
		(void)note(t, linkfs_node_copy_range(v, NULL, st.ino, 0, st.ino, 1 << 20, 16384, &copied));
		(void)note(t, linkfs_node_fsync(v, st.ino, 0));
		for (uint64_t ino = 2; ino < 12; ino++)
			(void)note(t, linkfs_node_copy_range(v, NULL, ino, 0, st.ino, ino << 16, 20000, &copied));
		linkfs_node_release(v, st.ino, 1);
	}
	if (note(t, linkfs_node_make(v, NULL, LINKFS_ROOT_INO, "tour-dir", 8, &dir, 0, &up)) == 0) {
		(void)note(t, linkfs_node_symlink(v, NULL, up.ino, "l", 1, "../file", 7, 0, &st));
		(void)note(t, linkfs_node_rename(v, NULL, LINKFS_ROOT_INO, "dir", 3, up.ino, "d", 1, 0));
		(void)note(t, linkfs_node_rename(v, NULL, up.ino, "d", 1, LINKFS_ROOT_INO, "dir", 3, 0));
		(void)note(t, linkfs_node_rename(v, NULL, LINKFS_ROOT_INO, "tour-dir", 8, LINKFS_ROOT_INO, "a", 1,
						 LINKFS_RENAME_EXCHANGE));
	}
}

void tour_write(struct linkfs_volume *volume, struct tour *tour)
{
	struct dirs *d = calloc(1, sizeof(*d));
	if (!d)
		bad("out of memory");
	d->tour = tour;
	make(volume, tour);
	d->queue[d->count++] = LINKFS_ROOT_INO;
	for (; d->at < d->count && d->at < 8; d->at++) {
		d->dir = d->queue[d->at];
		d->entries = 0;
		d->last = 0;
		list(volume, d, 0);
		for (uint32_t i = 0; i < d->entries && i < 24; i++)
			change(volume, tour, d->dir, d->entry[i].name, d->entry[i].len, d->entry[i].ino);
	}
	(void)note(tour, linkfs_volume_sync(volume));
	free(d);
}
