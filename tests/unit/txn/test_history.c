/*
 * test_history.c - K2: random histories of put, insert, erase, snapshot and delete-snapshot against full copies (I1, I5, I6).
 * After each history every snapshot is deleted, and then no history row may be left.
 */
#include "test.h"

#include "txn.h"

#include <stdlib.h>
#include <string.h>

#define HISTORIES 3000
#define STEPS 40
#define KEYS 6
#define SNAPSHOTS 12

/* One table of each key shape: a rowid, three integers, an integer and bytes. */
enum { SHAPES = 3 };
static const enum lk_table_id shapes[SHAPES] = {LK_T_INLINE, LK_T_DIRENT, LK_T_XATTR};

struct model {
	int64_t value[SHAPES][KEYS]; /* 0: no row */
};

struct snap {
	int64_t epoch;
	bool deleting;
	struct model model;
};

struct world {
	struct lk_fs *fs;
	struct lk_test_random random;
	int64_t base; /* keys of this history start here: histories do not meet */
	int64_t next_value;
	struct model live;
	struct snap snaps[SNAPSHOTS];
	int snap_count;
	int64_t kept, dropped; /* calls of the hooks for table inline */
};

static struct world *hooked;

static int on_kept(struct lk_op *op, const void *record)
{
	(void)op;
	assert_non_null(record);
	hooked->kept++;
	return 0;
}

static int on_dropped(struct lk_op *op, const void *record)
{
	(void)op;
	assert_non_null(record);
	hooked->dropped++;
	return 0;
}

/* Names whose order by bytes is not that of their lengths. */
static const char *const names[KEYS] = {"a", "aa", "ab", "b", "ba", "c"};

union row {
	struct lk_inline content;
	struct lk_dirent dirent;
	struct lk_xattr xattr;
	char room[LK_RECORD_MAX + 8];
};

/* A record for key number k; the value is in the bytes (and long for some, so that it moves buffers). */
static void make(const struct world *w, int shape, int k, int64_t value, union row *row, char *text)
{
	memset(row, 0, sizeof(*row));
	size_t len = (size_t)(8 + (value % 7 == 0 ? 3000 : value % 50));
	memset(text, 'x', len);
	memcpy(text, &value, sizeof(value));
	struct lk_bytes bytes = {text, len};
	if (shapes[shape] == LK_T_INLINE) {
		row->content = (struct lk_inline){.ino = w->base + k, .content = bytes};
	} else if (shapes[shape] == LK_T_DIRENT) {
		row->dirent = (struct lk_dirent){.dir = w->base + k / 3,
						 .hash = k % 3 / 2,
						 .ord = k % 3,
						 .ino = value,
						 .type = 8,
						 .name = bytes};
	} else {
		row->xattr = (struct lk_xattr){.ino = w->base, .name = {names[k], strlen(names[k])}, .value = bytes};
	}
}

static int64_t value_of(int shape, const union row *row)
{
	const struct lk_bytes *b = shapes[shape] == LK_T_INLINE   ? &row->content.content
				   : shapes[shape] == LK_T_DIRENT ? &row->dirent.name
								  : &row->xattr.value;
	int64_t value;
	assert_true(b->len >= sizeof(value));
	memcpy(&value, b->p, sizeof(value));
	assert_int_equal(b->len, 8 + (value % 7 == 0 ? 3000 : value % 50));
	for (size_t i = 8; i < b->len; i++)
		assert_int_equal(((const char *)b->p)[i], 'x');
	return value;
}

static int key_of(const struct world *w, int shape, const union row *row)
{
	if (shapes[shape] == LK_T_INLINE)
		return (int)(row->content.ino - w->base);
	if (shapes[shape] == LK_T_DIRENT)
		return (int)((row->dirent.dir - w->base) * 3 + row->dirent.ord);
	for (int k = 0; k < KEYS; k++) {
		if (row->xattr.name.len == strlen(names[k]) &&
		    !memcmp(row->xattr.name.p, names[k], row->xattr.name.len))
			return k;
	}
	fail_msg("a row nobody wrote");
	return -1;
}

struct seen {
	const struct world *w;
	int shape, count, limit;
	int keys[KEYS + 1];
	int64_t values[KEYS + 1];
};

static int see(void *arg, const void *record)
{
	struct seen *s = arg;
	union row row;
	memcpy(&row, record, lk_tables[shapes[s->shape]].record_size);
	/* Other histories' rows lie below ours in a scan back, and above when keys ran out. */
	int64_t first = shapes[s->shape] == LK_T_INLINE   ? row.content.ino
			: shapes[s->shape] == LK_T_DIRENT ? row.dirent.dir
							  : row.xattr.ino;
	bool mine = first >= s->w->base && first < s->w->base + KEYS;
	if (!mine)
		return 1;
	assert_true(s->count < KEYS);
	s->keys[s->count] = key_of(s->w, s->shape, &row);
	s->values[s->count] = value_of(s->shape, &row);
	return ++s->count == s->limit ? 1 : 0;
}

/* Scans from key number from (in key order), forward or back, and compares. Histories run upwards, so nothing is above. */
static void check_scan(struct world *w, struct lk_op *op, int shape, const struct model *m, int from, bool reverse,
		       bool exclusive, int limit)
{
	char text[4096];
	union row row;
	make(w, shape, from, 1, &row, text);
	struct seen seen = {.w = w, .shape = shape, .limit = limit};
	bool xattr = shapes[shape] == LK_T_XATTR;
	struct lk_scan scan = {.table = &lk_tables[shapes[shape]],
			       .index = LK_BY_KEY,
			       .equal = xattr ? 1 : 0,
			       .ranged = (uint8_t)(lk_tables[shapes[shape]].key_count - (xattr ? 1 : 0)),
			       .from = &row,
			       .reverse = reverse,
			       .exclusive = exclusive,
			       .limit = (uint32_t)limit};
	assert_int_equal(lk_txn_scan(op, &scan, see, &seen), 0);
	int n = 0;
	for (int k = from; k >= 0 && k < KEYS; k += reverse ? -1 : 1) {
		if ((exclusive && k == from) || !m->value[shape][k] || (limit && n == limit))
			continue;
		assert_true(n < seen.count);
		assert_int_equal(seen.keys[n], k);
		assert_int_equal(seen.values[n], m->value[shape][k]);
		n++;
	}
	assert_int_equal(seen.count, n);
}

static void check_view(struct world *w, int64_t view, const struct model *m)
{
	struct lk_op op;
	char text[4096];
	assert_int_equal(lk_op_begin(w->fs, &op, 0), 0);
	op.view = view;
	for (int shape = 0; shape < SHAPES; shape++) {
		for (int k = 0; k < KEYS; k++) {
			union row key, row;
			make(w, shape, k, 1, &key, text);
			int r = lk_txn_get(&op, shapes[shape], &key, &row);
			assert_int_equal(r, m->value[shape][k] ? 0 : LINKFS_ENOENT);
			if (r == 0) {
				assert_int_equal(value_of(shape, &row), m->value[shape][k]);
				assert_int_equal(key_of(w, shape, &row), k);
			}
		}
		int from = (int)lk_test_below(&w->random, KEYS);
		check_scan(w, &op, shape, m, from, false, lk_test_below(&w->random, 2),
			   (int)lk_test_below(&w->random, 4));
		check_scan(w, &op, shape, m, from, true, lk_test_below(&w->random, 2),
			   (int)lk_test_below(&w->random, 4));
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
}

/* One op of one to three writes; undone one time in five. */
static void change(struct world *w)
{
	struct lk_op op;
	struct model before = w->live;
	char text[4096];
	assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), 0);
	int writes = 1 + (int)lk_test_below(&w->random, 3);
	for (int i = 0; i < writes; i++) {
		int shape = (int)lk_test_below(&w->random, SHAPES), k = (int)lk_test_below(&w->random, KEYS);
		int64_t *value = &w->live.value[shape][k];
		union row row;
		make(w, shape, k, ++w->next_value, &row, text);
		switch (lk_test_below(&w->random, 3)) {
		case 0:
			assert_int_equal(lk_txn_put(&op, shapes[shape], &row), 0);
			*value = w->next_value;
			break;
		case 1:
			assert_int_equal(lk_txn_insert(&op, shapes[shape], &row), *value ? LINKFS_EEXIST : 0);
			if (!*value)
				*value = w->next_value;
			break;
		default:
			assert_int_equal(lk_txn_erase(&op, shapes[shape], &row), *value ? 0 : LINKFS_ENOENT);
			*value = 0;
		}
	}
	if (lk_test_below(&w->random, 5) == 0) {
		assert_int_equal(lk_op_end(&op, LINKFS_EPERM), LINKFS_EPERM);
		w->live = before;
	} else {
		assert_int_equal(lk_op_end(&op, 0), 0);
	}
}

static void snapshot(struct world *w)
{
	if (w->snap_count == SNAPSHOTS)
		return;
	struct lk_op op;
	struct lk_snapshot row = {.name = {"s", 1}};
	int64_t epoch = w->fs->epoch, newest = w->fs->newest_snapshot;
	assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_snapshot_add(&op, &row), 0);
	if (lk_test_below(&w->random, 5) == 0) {
		assert_int_equal(lk_op_end(&op, LINKFS_EIO), LINKFS_EIO);
		assert_int_equal(w->fs->epoch, epoch);
		assert_int_equal(w->fs->newest_snapshot, newest);
		return;
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(row.epoch, epoch);
	assert_int_equal(w->fs->epoch, epoch + 1);
	w->snaps[w->snap_count++] = (struct snap){.epoch = epoch, .model = w->live};
}

static void drop_step(struct world *w, int i)
{
	struct lk_op op;
	bool more = true;
	if (!w->snaps[i].deleting) {
		assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), 0);
		assert_int_equal(lk_txn_snapshot_mark(&op, w->snaps[i].epoch), 0);
		assert_int_equal(lk_op_end(&op, 0), 0);
		w->snaps[i].deleting = true;
		return;
	}
	assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_snapshot_drop(&op, w->snaps[i].epoch, 2, &(uint32_t){0}, &more), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	if (!more) {
		w->snaps[i] = w->snaps[--w->snap_count];
	}
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(int *)arg;
	return 0;
}

static int count_history(struct world *w)
{
	int count = 0;
	for (int t = 0; t < LK_T_LIVE_COUNT; t++) {
		if (!lk_tables[t].versioned)
			continue;
		struct lk_scan scan = {.table = &lk_tables[lk_tables[t].old], .index = LK_BY_KEY};
		assert_int_equal(lk_db_scan(w->fs->db, &scan, count_row, &count), 0);
	}
	return count;
}

static void one_history(struct world *w)
{
	w->base += 100;
	memset(&w->live, 0, sizeof(w->live));
	w->kept = w->dropped = 0;
	for (int step = 0; step < STEPS; step++) {
		switch (lk_test_below(&w->random, 10)) {
		case 0:
			snapshot(w);
			break;
		case 1:
		case 2:
			if (w->snap_count)
				drop_step(w, (int)lk_test_below(&w->random, (uint64_t)w->snap_count));
			break;
		case 3:
			if (w->snap_count) {
				const struct snap *s = &w->snaps[lk_test_below(&w->random, (uint64_t)w->snap_count)];
				if (!s->deleting)
					check_view(w, s->epoch, &s->model);
			}
			break;
		default:
			change(w);
		}
	}
	check_view(w, LK_VIEW_LIVE, &w->live);
	for (int i = 0; i < w->snap_count; i++) {
		if (!w->snaps[i].deleting)
			check_view(w, w->snaps[i].epoch, &w->snaps[i].model);
	}
	while (w->snap_count)
		drop_step(w, (int)lk_test_below(&w->random, (uint64_t)w->snap_count));
	assert_int_equal(count_history(w), 0);
	assert_int_equal(w->fs->newest_snapshot, 0);
	assert_true(w->kept >= w->dropped);
	check_view(w, LK_VIEW_LIVE, &w->live);
}

static void histories(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	assert_int_equal(lk_fs_create(dir, NULL, NULL), 0);
	assert_int_equal(lk_fs_open(dir, 0, 600000, &w->fs, NULL), 0);
	w->random.state = lk_test_seed();
	hooked = w;
	lk_txn_on_history(w->fs, LK_T_INLINE, on_kept, on_dropped);
	for (int i = 0; i < HISTORIES; i++)
		one_history(w);
	assert_int_equal(lk_fs_close(w->fs), 0);
	free(w);
	lk_test_rmdir(dir);
}

/* A key with more history than one chunk of a merge holds, among others. */
static void long_history(void **state)
{
	(void)state;
	enum { ROUNDS = 200 };
	char *dir = lk_test_mkdir();
	struct lk_fs *fs;
	struct lk_op op;
	int64_t epochs[ROUNDS];
	assert_int_equal(lk_fs_create(dir, NULL, NULL), 0);
	assert_int_equal(lk_fs_open(dir, 0, 600000, &fs, NULL), 0);
	for (int64_t i = 0; i < ROUNDS; i++) {
		assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
		for (int64_t ino = 10; ino < 13; ino++) {
			struct lk_target row = {.ino = ino, .text = {"t", 1}, .tracks = i};
			assert_int_equal(ino == 11 || i < 2 ? lk_txn_put(&op, LK_T_TARGET, &row) : 0, 0);
		}
		assert_int_equal(lk_op_end(&op, 0), 0);
		struct lk_snapshot s = {0};
		assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
		assert_int_equal(lk_txn_snapshot_add(&op, &s), 0);
		assert_int_equal(lk_op_end(&op, 0), 0);
		epochs[i] = s.epoch;
	}
	for (int64_t i = 0; i < ROUNDS; i++) {
		for (int reverse = 0; reverse < 2; reverse++) {
			struct lk_target from = {.ino = reverse ? 100 : 0};
			struct lk_scan scan = {.table = &lk_tables[LK_T_TARGET],
					       .index = LK_BY_KEY,
					       .ranged = 1,
					       .from = &from,
					       .reverse = reverse};
			int count = 0;
			assert_int_equal(lk_op_begin(fs, &op, 0), 0);
			op.view = epochs[i];
			assert_int_equal(lk_txn_scan(&op, &scan, count_row, &count), 0);
			struct lk_target key = {.ino = 11}, row;
			assert_int_equal(lk_txn_get(&op, LK_T_TARGET, &key, &row), 0);
			assert_int_equal(lk_op_end(&op, 0), 0);
			assert_int_equal(count, 3);
			assert_int_equal(row.tracks, i);
		}
	}
	assert_int_equal(lk_fs_close(fs), 0);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(histories), cmocka_unit_test(long_history)};
	return cmocka_run_group_tests_name("txn-history", tests, NULL, NULL);
}
