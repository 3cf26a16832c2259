/*
 * test_damage.c - records of content, space, counters and orphans that cannot be, written behind checksums that hold (F5): whatever
 * meets one says LINKFS_ECORRUPT or does not need it; nothing else happens to the volume, which closes and opens as before.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define B LK_BLOCK_SIZE
#define BLOCKS 100u /* of the file: rows of 64, a hole of 10 from 64 on, 26 */

static uint8_t bytes[BLOCKS * B];
static uint64_t ino, other;

static int put(struct lk_db *db, enum lk_table_id table, const void *row)
{
	return lk_db_put(db, &lk_tables[table], row);
}

static void get(struct lk_db *db, enum lk_table_id table, void *row, struct lk_buf *buf)
{
	assert_int_equal(lk_db_get(db, &lk_tables[table], row, row, buf), 0);
}

/* The file's extent row at a block, changed. */
static void change_extent(struct lk_db *db, int64_t at, void (*change)(struct lk_extent *))
{
	struct lk_extent e = {.ino = (int64_t)ino, .file_block = at};
	struct lk_buf buf = {0};
	get(db, LK_T_EXTENT, &e, &buf);
	assert_int_equal(lk_db_erase(db, &lk_tables[LK_T_EXTENT], &e), 0);
	change(&e);
	assert_int_equal(put(db, LK_T_EXTENT, &e), 0);
	lk_buf_done(&buf);
}

#define EXTENT(name, at, code)                                                                                         \
	static void name##_of(struct lk_extent *e)                                                                     \
	{                                                                                                              \
		code;                                                                                                  \
	}                                                                                                              \
	static void name(struct lk_db *db)                                                                             \
	{                                                                                                              \
		change_extent(db, at, name##_of);                                                                      \
	}
EXTENT(with_length, 0, e->length = 1)
EXTENT(with_offset, 74, e->offset = 5)
EXTENT(before_the_start, 0, e->file_block = -3)
EXTENT(beyond_the_end, 74, e->file_block = INT64_C(1) << 50)
EXTENT(without_blocks, 64, e->count = 0)
EXTENT(with_many_blocks, 0, e->count = 65)
EXTENT(of_no_codec, 74, e->codec = 4)
EXTENT(with_few_sums, 74, e->sums.len -= 8)
EXTENT(hole_with_a_place, 64, e->disk_block = 7)
EXTENT(far_out_on_disk, 74, e->disk_block = INT64_C(1) << 45)
EXTENT(below_the_disk, 74, e->disk_block = -1)
EXTENT(across_groups, 0, e->disk_block = LK_GROUP_BLOCKS - 3)
EXTENT(overlapping, 74, e->file_block = 70)
EXTENT(apart, 64, e->file_block = 65)
EXTENT(huge_hole, 64, e->count = INT64_MAX - 10)

static void one_row_missing(struct lk_db *db)
{
	struct lk_extent e = {.ino = (int64_t)ino, .file_block = 64};
	assert_int_equal(lk_db_erase(db, &lk_tables[LK_T_EXTENT], &e), 0);
}

static void group_put(struct lk_db *db, int64_t number, int64_t used, size_t len, int bits)
{
	static uint8_t bitmap[LK_GROUP_BLOCKS / 8];
	memset(bitmap, bits, sizeof(bitmap));
	struct lk_group g = {.number = number, .used = used, .bitmap = {bitmap, len}};
	assert_int_equal(put(db, LK_T_GROUP, &g), 0);
}
static void group_short(struct lk_db *db)
{
	group_put(db, 0, 90, 100, 0);
}
static void group_counts_too_many(struct lk_db *db)
{
	group_put(db, 0, LK_GROUP_BLOCKS + 1, LK_GROUP_BLOCKS / 8, 0);
}
static void group_counts_wrong(struct lk_db *db)
{
	group_put(db, 0, 5, LK_GROUP_BLOCKS / 8, 0xff);
}
static void group_empty(struct lk_db *db)
{
	group_put(db, 0, 0, LK_GROUP_BLOCKS / 8, 0);
}
static void group_far_out(struct lk_db *db)
{
	group_put(db, INT64_MAX, 0, LK_GROUP_BLOCKS / 8, 0);
}
static void group_below(struct lk_db *db)
{
	group_put(db, -1, 0, LK_GROUP_BLOCKS / 8, 0);
}

static void counter_put(struct lk_db *db, int64_t id, int64_t value)
{
	struct lk_counter c = {.id = id, .value = value};
	assert_int_equal(put(db, LK_T_COUNTER, &c), 0);
}
static void counter_below(struct lk_db *db)
{
	counter_put(db, LK_COUNTER_INODES, -5);
}
static void counter_unknown(struct lk_db *db)
{
	counter_put(db, 77, 1);
}
static void counter_of_numbers_used_up(struct lk_db *db)
{
	counter_put(db, LK_COUNTER_NEXT_INO, INT64_C(1) << 50);
}
static void counter_of_numbers_lost(struct lk_db *db)
{
	counter_put(db, LK_COUNTER_NEXT_INO, 1);
}
static void no_epoch(struct lk_db *db)
{
	counter_put(db, LK_COUNTER_EPOCH, 0);
}

static void snapshot_put(struct lk_db *db, int64_t epoch)
{
	struct lk_snapshot s = {.epoch = epoch, .name = {"s", 1}};
	assert_int_equal(put(db, LK_T_SNAPSHOT, &s), 0);
}
static void snapshot_to_come(struct lk_db *db)
{
	snapshot_put(db, 1000);
}
static void snapshot_before_all(struct lk_db *db)
{
	snapshot_put(db, 0);
}

static void orphan_with_a_name(struct lk_db *db)
{
	struct lk_orphan o = {.ino = (int64_t)ino};
	assert_int_equal(put(db, LK_T_ORPHAN, &o), 0);
}
static void orphan_of_nothing(struct lk_db *db)
{
	struct lk_orphan o = {.ino = 12345};
	assert_int_equal(put(db, LK_T_ORPHAN, &o), 0);
}

static void shared_put(struct lk_db *db, int64_t count, int64_t refs)
{
	struct lk_extent e = {.ino = (int64_t)ino, .file_block = 0};
	struct lk_buf buf = {0};
	get(db, LK_T_EXTENT, &e, &buf);
	lk_buf_done(&buf);
	struct lk_shared s = {.disk_block = e.disk_block, .count = count, .refs = refs};
	assert_int_equal(put(db, LK_T_SHARED, &s), 0);
}
static void shared_with_nobody(struct lk_db *db)
{
	shared_put(db, 64, 1);
}
static void shared_nothing(struct lk_db *db)
{
	shared_put(db, 0, 2);
}
static void shared_without_end(struct lk_db *db)
{
	shared_put(db, INT64_MAX, 2);
}
static void shared_by_too_many(struct lk_db *db)
{
	shared_put(db, 64, INT64_MAX);
}

static const struct damage {
	const char *name;
	void (*make)(struct lk_db *db);
	bool opens; /* what is wrong may be found by what needs it, and not by opening */
	bool heals; /* nothing fails: the record is of no consequence */
} damages[] = {
	{"length", with_length, true, false},
	{"offset", with_offset, true, false},
	{"before the start", before_the_start, true, false},
	{"beyond the end", beyond_the_end, true, false},
	{"no blocks", without_blocks, true, false},
	{"many blocks", with_many_blocks, true, false},
	{"codec", of_no_codec, true, false},
	{"few sums", with_few_sums, true, false},
	{"hole with a place", hole_with_a_place, true, false},
	{"far out on disk", far_out_on_disk, true, false},
	{"below the disk", below_the_disk, true, false},
	{"across groups", across_groups, true, false},
	{"overlapping", overlapping, true, false},
	{"apart", apart, true, false},
	{"huge hole", huge_hole, true, false},
	{"row missing", one_row_missing, true, false},
	{"group short", group_short, true, false},
	{"group counts too many", group_counts_too_many, false, false},
	{"group counts wrong", group_counts_wrong, true, false},
	{"group empty", group_empty, true, false},
	{"group far out", group_far_out, false, false},
	{"group below", group_below, false, false},
	{"counter below", counter_below, false, false},
	{"counter unknown", counter_unknown, false, false},
	{"numbers used up", counter_of_numbers_used_up, false, false},
	{"numbers lost", counter_of_numbers_lost, false, false},
	{"no epoch", no_epoch, false, false},
	{"snapshot to come", snapshot_to_come, false, false},
	{"snapshot before all", snapshot_before_all, false, false},
	{"orphan with a name", orphan_with_a_name, true, true},
	{"orphan of nothing", orphan_of_nothing, true, true},
	{"shared with nobody", shared_with_nobody, true, false},
	{"shared nothing", shared_nothing, true, false},
	{"shared without end", shared_without_end, true, false},
	{"shared by too many", shared_by_too_many, true, false},
};

/* ---- what meets it ----------------------------------------------------------------------------------------------------------- */

static int act_read(struct world *w)
{
	static uint8_t got[BLOCKS * B];
	size_t done = 0;
	int r = linkfs_node_read(w->volume, ino, 0, got, sizeof(got), &done);
	if (r == 0) {
		assert_int_equal(done, sizeof(got));
		assert_memory_equal(got, bytes, sizeof(got));
	}
	return r;
}
static int act_write(struct world *w)
{
	return linkfs_node_write(w->volume, NULL, ino, 60 * B + 5, bytes, 20 * B, 0, NULL, NULL);
}
static int act_append(struct world *w)
{
	return linkfs_node_write(w->volume, NULL, ino, 0, bytes, B, LINKFS_WRITE_APPEND, NULL, NULL);
}
static int act_cut(struct world *w)
{
	struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = 10};
	return linkfs_node_setattr(w->volume, NULL, ino, &cut, NULL);
}
static int act_punch(struct world *w)
{
	return linkfs_node_allocate(w->volume, NULL, ino, 3, 50 * B, 40 * B);
}
static int act_collapse(struct world *w)
{
	return linkfs_node_allocate(w->volume, NULL, ino, LINKFS_ALLOC_COLLAPSE, 10 * B, 60 * B);
}
static int act_insert(struct world *w)
{
	return linkfs_node_allocate(w->volume, NULL, ino, LINKFS_ALLOC_INSERT, 30 * B, 5 * B);
}
static int act_copy(struct world *w)
{
	uint64_t done = 0;
	return linkfs_node_copy_range(w->volume, NULL, ino, 0, other, 0, BLOCKS * B, &done);
}
static int act_seek(struct world *w)
{
	uint64_t at = 0;
	int r = linkfs_node_seek(w->volume, ino, 60 * B, LINKFS_SEEK_HOLE, &at);
	return r == LINKFS_ENXIO ? 0 : r;
}
static int act_unlink(struct world *w)
{
	return linkfs_node_unlink(w->volume, NULL, LINKFS_ROOT_INO, "f", 1);
}
static int (*const acts[])(struct world *w) = {act_read,     act_write,  act_append, act_cut,  act_punch,
					       act_collapse, act_insert, act_copy,   act_seek, act_unlink};

static void make_file(struct world *w)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i / B >= 64 && i / B < 74 ? 0 : (uint8_t)(1 + i % 251);
	ino = world_file(w, "f");
	other = world_file(w, "g");
	world_write(w, ino, 0, bytes, 64 * B);
	world_write(w, ino, 74 * B, bytes + 74 * B, 26 * B);
	assert_int_equal(linkfs_volume_close(w->volume), 0);
	w->volume = NULL;
}

static void spoil(struct world *w, const struct damage *d)
{
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(w->volume_path, 0, &db, NULL), 0);
	assert_int_equal(db->ops->begin(db), 0);
	d->make(db);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
}

static void meet(struct world *w, const struct damage *d, size_t act, unsigned *found)
{
	make_file(w);
	spoil(w, d);
	struct linkfs_message why = {""};
	int r = linkfs_volume_open(w->volume_path, NULL, &w->volume, &why);
	if (r == LINKFS_ECORRUPT) {
		assert_true(strlen(why.text) > 0);
		(*found)++;
		return;
	}
	if (r || !d->opens)
		fail_msg("%s: open says %s: %s", d->name, linkfs_error_name(r), why.text);
	r = acts[act](w);
	if (r && r != LINKFS_ECORRUPT)
		fail_msg("%s, act %zu: %s", d->name, act, linkfs_error_name(r));
	*found += r != 0;
	/* The rest of the volume works, but for what needs space from a group that is damaged. */
	bool group = strncmp(d->name, "group", 5) == 0;
	r = linkfs_node_write(w->volume, NULL, other, 0, "x", 1, 0, NULL, NULL);
	if (r && !(group && r == LINKFS_ECORRUPT))
		fail_msg("%s, act %zu: then a write to another file says %s", d->name, act, linkfs_error_name(r));
	r = linkfs_volume_close(w->volume);
	if (r)
		fail_msg("%s, act %zu: close says %s", d->name, act, linkfs_error_name(r));
}

static void what_cannot_be_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(damages); i++) {
		const struct damage *d = &damages[i];
		unsigned found = 0;
		for (size_t act = 0; act < (d->opens ? LK_ARRAY_LEN(acts) : 1); act++) {
			struct world w;
			world_open(&w, 0);
			meet(&w, d, act, &found);
			free(w.volume_path);
			lk_test_rmdir(w.dir);
		}
		printf("# %s: found by %u\n", d->name, found);
		if (d->heals ? found != 0 : found == 0)
			fail_msg("%s: found by %u", d->name, found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_cannot_be_is_found)};
	return cmocka_run_group_tests_name("content-damage", tests, NULL, NULL);
}
