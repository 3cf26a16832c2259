/*
 * kept.c - see kept.h.
 */
#include "kept.h"

#include <inode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kept_set(struct world *w, const char *keep)
{
	struct linkfs_message why = {""};
	int r = linkfs_volume_set_property(w->volume, NULL, LINKFS_KEEP_DELETED, keep, &why);
	if (r)
		fail_msg("set: %s: %s", linkfs_error_name(r), why.text);
}

void kept_open(struct world *w, const char *keep, uint64_t limit_bytes)
{
	world_open(w, limit_bytes);
	kept_set(w, keep);
}

static int rc(int r, const char *what, const char *path)
{
	if (r)
		fail_msg("%s %s: %s", what, path, linkfs_error_name(r));
	return r;
}

static bool is_dir_path(const char *path)
{
	return path[strlen(path) - 1] == '/';
}

uint64_t put(struct world *w, const char *path, const char *content)
{
	struct linkfs_make how = {.mode = is_dir_path(path) ? S_IFDIR | 0755 : S_IFREG | 0644};
	struct linkfs_stat st = {0};
	rc(linkfs_path_make(w->volume, NULL, LINKFS_ROOT_INO, path, &how, &st), "make", path);
	if (content)
		world_write(w, st.ino, 0, content, strlen(content));
	return st.ino;
}

void put_blocks(struct world *w, const char *path, uint32_t blocks, uint8_t fill)
{
	uint64_t ino = put(w, path, NULL);
	uint8_t *bytes = malloc((size_t)blocks * LK_BLOCK_SIZE);
	assert_non_null(bytes);
	memset(bytes, fill, (size_t)blocks * LK_BLOCK_SIZE);
	world_write(w, ino, 0, bytes, (size_t)blocks * LK_BLOCK_SIZE);
	free(bytes);
}

void take(struct world *w, const char *path)
{
	rc(is_dir_path(path) ? linkfs_path_rmdir(w->volume, NULL, LINKFS_ROOT_INO, path)
			     : linkfs_path_unlink(w->volume, NULL, LINKFS_ROOT_INO, path),
	   "remove", path);
}

void tie(struct world *w, const char *old_path, const char *new_path)
{
	rc(linkfs_path_link(w->volume, NULL, LINKFS_ROOT_INO, old_path, LINKFS_ROOT_INO, new_path, 0), "link",
	   new_path);
}

void move(struct world *w, const char *from, const char *to)
{
	rc(linkfs_path_rename(w->volume, NULL, LINKFS_ROOT_INO, from, LINKFS_ROOT_INO, to, 0), "rename", from);
}

uint64_t at(struct world *w, const char *path)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(w->volume, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, &st);
	if (r != LINKFS_ENOENT)
		rc(r, "stat", path);
	return r ? 0 : st.ino;
}

void stat_of(struct world *w, const char *path, struct linkfs_stat *out)
{
	rc(linkfs_path_stat(w->volume, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, out), "stat", path);
}

void expect_content(struct world *w, const char *path, const char *content)
{
	char got[256] = {0};
	size_t done = 0;
	rc(linkfs_node_read(w->volume, at(w, path), 0, got, sizeof(got) - 1, &done), "read", path);
	assert_string_equal(got, content);
}

static int add(void *arg, const struct linkfs_deleted *d)
{
	struct deletions *all = arg;
	assert_true(all->count < DELETIONS_MAX);
	uint32_t i = all->count++;
	all->row[i] = *d;
	(void)snprintf(all->name[i], sizeof(all->name[i]), "%.*s", (int)d->name_len, d->name);
	(void)snprintf(all->path[i], sizeof(all->path[i]), "%s", d->path ? d->path : "?");
	return 0;
}

const struct deletions *list(struct world *w, const struct linkfs_cred *cred, const struct linkfs_deleted_query *query)
{
	static struct deletions all;
	static const struct linkfs_deleted_query every = {.flags = LINKFS_DELETED_NAMED};
	int64_t cursor = 0;
	all.count = 0;
	do {
		rc(linkfs_deleted_list(w->volume, cred, query ? query : &every, &cursor, add, &all), "list", "");
	} while (cursor);
	for (uint32_t i = 1; i < all.count; i++)
		assert_true(all.row[i].time_ns < all.row[i - 1].time_ns);
	return &all;
}

int64_t lost(struct world *w, const char *path)
{
	const struct deletions *all = list(w, NULL, NULL);
	for (uint32_t i = 0; i < all->count; i++) {
		if (strcmp(all->path[i], path) == 0)
			return all->row[i].time_ns;
	}
	return 0;
}

int restore(struct world *w, int64_t time_ns)
{
	return linkfs_deleted_restore(w->volume, NULL, time_ns, NULL, NULL);
}

/* ---- the checker ---------------------------------------------------------------------------------------------------- */

struct seen {
	int64_t kept, blocks;
	int64_t *marked, *nameless; /* inodes with the mark; without a name and without the mark */
	int64_t *rows, *orphans;
	size_t marked_count, nameless_count, row_count, orphan_count;
};

static void push(int64_t **ids, size_t *count, int64_t id)
{
	*ids = realloc(*ids, (*count + 1) * sizeof(**ids));
	assert_non_null(*ids);
	(*ids)[(*count)++] = id;
}

static int see_inode(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_inode *i = record;
	if (i->flags & LK_INODE_KEPT) {
		assert_int_equal(i->nlink, 0);
		s->blocks += i->blocks;
		push(&s->marked, &s->marked_count, i->ino);
	} else if (i->nlink == 0) {
		push(&s->nameless, &s->nameless_count, i->ino);
	}
	return 0;
}

static int see_row(void *arg, const void *record)
{
	struct seen *s = arg;
	push(&s->rows, &s->row_count, ((const struct lk_deleted *)record)->ino);
	return 0;
}

static int see_orphan(void *arg, const void *record)
{
	struct seen *s = arg;
	push(&s->orphans, &s->orphan_count, ((const struct lk_orphan *)record)->ino);
	return 0;
}

static bool has(const int64_t *ids, size_t count, int64_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

static void scan(struct lk_op *op, enum lk_table_id table, lk_row_fn *fn, void *arg)
{
	struct lk_scan q = {.table = &lk_tables[table], .index = LK_BY_KEY};
	rc(lk_txn_scan(op, &q, fn, arg), "scan", lk_tables[table].name);
}

uint64_t kept_check(struct world *w)
{
	uint64_t blocks = world_check(w);
	struct seen s = {0};
	struct lk_op op;
	int64_t kept = 0, kept_blocks = 0;
	assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, 0), 0);
	scan(&op, LK_T_INODE, see_inode, &s);
	scan(&op, LK_T_DELETED, see_row, &s);
	scan(&op, LK_T_ORPHAN, see_orphan, &s);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_KEPT, 0, &kept), 0);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_KEPT_BLOCKS, 0, &kept_blocks), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(kept, s.marked_count);
	assert_int_equal(kept_blocks, s.blocks);
	for (size_t i = 0; i < s.marked_count; i++) {
		assert_true(has(s.rows, s.row_count, s.marked[i]));
		assert_false(has(s.orphans, s.orphan_count, s.marked[i]));
	}
	for (size_t i = 0; i < s.nameless_count; i++)
		assert_true(has(s.orphans, s.orphan_count, s.nameless[i]));
	free(s.marked);
	free(s.nameless);
	free(s.rows);
	free(s.orphans);
	return blocks;
}

uint64_t kept_inodes(struct world *w)
{
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(w->volume, &info), 0);
	return info.kept_inodes;
}
