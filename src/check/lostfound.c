/*
 * lostfound.c - names made by repair: a free place in a directory, and /lost+found for what has none.
 * Layer: check.
 */
#include "check_impl.h"

#include <stdio.h>
#include <string.h>

#define LOST_FOUND "lost+found"
#define ORD_MAX 255

struct bucket {
	const void *name;
	size_t len;
	int64_t free_ord;
	int64_t ino; /* that the name names; 0: none */
};

static int bucket_row(void *arg, const void *record)
{
	struct bucket *b = arg;
	const struct lk_dirent *d = record;
	if (d->ord == b->free_ord)
		b->free_ord++;
	if (d->name.len == b->len && memcmp(d->name.p, b->name, b->len) == 0)
		b->ino = d->ino;
	return 0;
}

static int look(struct lk_check *c, int64_t dir, int64_t hash, struct bucket *b)
{
	struct lk_dirent key = {.dir = dir, .hash = hash};
	struct lk_scan scan = {.table = &lk_tables[LK_T_DIRENT], .index = LK_BY_KEY, .equal = 2, .from = &key};
	b->free_ord = b->ino = 0;
	return lk_db_scan(c->db, &scan, bucket_row, b);
}

static void count(struct lk_check *c, int64_t dir_ino, int64_t ino)
{
	struct lk_seen_inode *dir = lk_seen_find(c, dir_ino), *inode = lk_seen_find(c, ino);
	if (!dir || !inode)
		return;
	dir->entries = 1;
	inode->names++;
	if (inode->type == S_IFDIR) {
		dir->children++;
		if (inode->names == 1)
			inode->parent = lk_seen_position(c, dir);
		else
			c->dir_names++; /* the next round looks where it leads */
	}
}

int lk_name_add(struct lk_check *c, int64_t dir, const void *name, size_t len, int64_t ino, uint32_t type)
{
	char made[LINKFS_NAME_MAX + 1];
	int r = LINKFS_EEXIST;
	if (len > LINKFS_NAME_MAX || !lk_name_valid(name, len)) {
		int n = snprintf(made, sizeof(made), "#%lld", (long long)ino);
		name = made;
		len = (size_t)LK_MAX(n, 0);
	}
	char tried[LINKFS_NAME_MAX + 1];
	for (unsigned try = 0; r == LINKFS_EEXIST && try < 1000; try++) {
		const void *p = name;
		size_t n = len;
		if (try) {
			int more = snprintf(tried, sizeof(tried), "%.*s#%lld.%u", (int)LK_MIN(len, (size_t)200),
					    (const char *)name, (long long)ino, try);
			p = tried;
			n = (size_t)LK_MAX(more, 0);
		}
		struct bucket b = {.name = p, .len = n};
		struct lk_dirent row = {.dir = dir,
					.hash = lk_name_hash(c->secret, p, n),
					.ino = ino,
					.type = type >> 12,
					.name = {p, n}};
		r = look(c, dir, row.hash, &b);
		if (r == 0 && (b.ino || b.free_ord > ORD_MAX))
			r = LINKFS_EEXIST;
		if (r)
			continue;
		row.ord = b.free_ord;
		row.born = c->epoch;
		r = lk_mend_insert(c, LK_T_DIRENT, &row);
		if (r == 0)
			count(c, dir, ino);
	}
	return r;
}

static int make_lost_found(struct lk_check *c, const char *name)
{
	int64_t ino = LK_MAX(c->largest_ino + 1, c->next_ino), now = lk_clock_now_ns();
	struct lk_seen_inode s = {.ino = ino, .nlink = 2, .parent = LK_NO_PARENT, .type = S_IFDIR};
	struct lk_inode i = {.ino = ino,
			     .mode = S_IFDIR | 0700,
			     .nlink = 2,
			     .atime_ns = now,
			     .mtime_ns = now,
			     .ctime_ns = now,
			     .btime_ns = now,
			     .born = c->epoch};
	if (ino > LK_INO_MAX)
		return LINKFS_ENOSPC;
	int r = lk_mend_new_inode(c, &i);
	if (r == 0)
		r = lk_seen_add(c, &s);
	if (r)
		return r;
	c->lost_found = ino;
	return lk_name_add(c, LINKFS_ROOT_INO, name, strlen(name), ino, S_IFDIR);
}

/* A directory of that name, or of the next one when a file has it. */
static int find_lost_found(struct lk_check *c)
{
	for (unsigned try = 0; try < 100; try++) {
		char name[32];
		int len = try ? snprintf(name, sizeof(name), LOST_FOUND ".%u", try)
			      : snprintf(name, sizeof(name), LOST_FOUND);
		struct bucket b = {.name = name, .len = (size_t)LK_MAX(len, 0)};
		int r = look(c, LINKFS_ROOT_INO, lk_name_hash(c->secret, name, b.len), &b);
		if (r)
			return r;
		if (!b.ino)
			return make_lost_found(c, name);
		const struct lk_seen_inode *s = lk_seen_find(c, b.ino);
		if (s && s->type == S_IFDIR && s->names) {
			c->lost_found = b.ino;
			return 0;
		}
	}
	return LINKFS_ENOSPC;
}

int lk_reconnect(struct lk_check *c, int64_t ino)
{
	char name[32];
	int r = c->lost_found ? 0 : find_lost_found(c);
	if (r)
		return r;
	const struct lk_seen_inode *s = lk_seen_find(c, ino);
	int len = snprintf(name, sizeof(name), "#%lld", (long long)ino);
	return s ? lk_name_add(c, c->lost_found, name, (size_t)LK_MAX(len, 0), ino, s->type) : 0;
}
