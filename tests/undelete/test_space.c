/*
 * test_space.c - kept files give their space to whoever needs it (E9, F4): at the volume's limit, on a full host, for data and for
 * metadata, the oldest first and no more than is needed; and what keeping costs, and does not cost when it is off.
 */
#include "kept.h"
#include "small_host.h"

#include <db_fault.h>

#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define B LK_BLOCK_SIZE
#define BLOCKS 8000u
#define FILE_BLOCKS 100u
#define FILES (BLOCKS / FILE_BLOCKS)

static uint64_t available(struct world *w)
{
	struct linkfs_statfs s;
	assert_int_equal(linkfs_volume_statfs(w->volume, &s), 0);
	assert_int_equal(s.blocks_available, s.blocks_free);
	assert_true(s.blocks_free <= s.blocks);
	return s.blocks_available;
}

/* Which of f0, f1 ... are still kept: those from the first on, without a gap. Returns how many went. */
static uint32_t gone(struct world *w)
{
	const struct deletions *all = list(w, NULL, NULL);
	bool kept[FILES] = {false};
	uint32_t first = 0;
	for (uint32_t i = 0; i < all->count; i++) {
		unsigned number;
		if (sscanf(all->path[i], "/f%u", &number) == 1 && number < FILES)
			kept[number] = true;
	}
	while (first < FILES && !kept[first])
		first++;
	for (uint32_t i = first; i < FILES; i++)
		assert_true(kept[i]);
	return first;
}

static void at_the_limit_the_oldest_go_first(void **state)
{
	(void)state;
	struct world w;
	char name[16];
	kept_open(&w, "1d", (uint64_t)BLOCKS * B);
	for (uint32_t i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		put_blocks(&w, name, FILE_BLOCKS, (uint8_t)i);
	}
	assert_int_equal(available(&w), 0);
	for (uint32_t i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		take(&w, name);
	}
	/* df shows the space as free, though it is all in use. */
	assert_int_equal(available(&w), BLOCKS);
	assert_int_equal(kept_check(&w), BLOCKS);
	/* A little is asked for: a little goes, and not a single one of the newest. */
	put_blocks(&w, "n", 1, 1);
	uint32_t first = gone(&w);
	assert_true(first >= 1 && first <= FILES / 4);
	assert_int_equal(available(&w), BLOCKS - 1);
	/* What is left can be given back, whole. */
	(void)snprintf(name, sizeof(name), "/f%u", FILES - 1);
	assert_int_equal(restore(&w, lost(&w, name)), 0);
	uint8_t byte = 0;
	world_read(&w, at(&w, name), (uint64_t)FILE_BLOCKS * B - 1, &byte, 1);
	assert_int_equal(byte, FILES - 1);
	take(&w, name);
	/* All of it can be had, at once or bit by bit, allocated or written; and no more. */
	put_blocks(&w, "half", BLOCKS / 2, 2);
	assert_true(gone(&w) < FILES);
	uint64_t rest = put(&w, "rest", NULL);
	assert_int_equal(linkfs_node_allocate(w.volume, NULL, rest, 0, 0, (uint64_t)(BLOCKS / 2 - 1) * B), 0);
	assert_int_equal(kept_inodes(&w), 0);
	assert_int_equal(available(&w), 0);
	size_t done;
	uint8_t page[B] = {1};
	uint64_t more = put(&w, "more", NULL);
	assert_int_equal(linkfs_node_write(w.volume, NULL, more, 0, page, B, 0, &done, NULL), LINKFS_ENOSPC);
	assert_int_equal(kept_check(&w), BLOCKS);
	/* The way out: deleting, though it is kept. */
	take(&w, "half");
	assert_int_equal(linkfs_node_write(w.volume, NULL, more, 0, page, B, 0, &done, NULL), 0);
	assert_int_equal(kept_inodes(&w), 0);
	/* Growing a file rewrites its last block. */
	take(&w, "rest");
	world_truncate(&w, more, 10);
	put_blocks(&w, "fill", BLOCKS - 2, 3);
	take(&w, "fill");
	world_truncate(&w, more, 2 * B);
	kept_check(&w);
	world_close(&w);
}

/* Who is still open gives nothing before it is closed, so it is not given up for nothing. */
static void open_files_are_passed_over(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_file *file;
	size_t done;
	uint8_t page[B] = {1};
	kept_open(&w, "1d", 100 * B);
	put_blocks(&w, "open", 50, 1);
	put_blocks(&w, "closed", 50, 2);
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, "open", LINKFS_O_READ, 0, &file), 0);
	take(&w, "open");
	take(&w, "closed");
	put_blocks(&w, "new", 50, 3);
	assert_int_equal(lost(&w, "/closed"), 0);
	assert_true(lost(&w, "/open") != 0);
	uint64_t more = put(&w, "more", NULL);
	assert_int_equal(linkfs_node_write(w.volume, NULL, more, 0, page, B, 0, &done, NULL), LINKFS_ENOSPC);
	assert_true(lost(&w, "/open") != 0);
	linkfs_file_close(file);
	assert_int_equal(linkfs_node_write(w.volume, NULL, more, 0, page, B, 0, &done, NULL), 0);
	assert_int_equal(kept_inodes(&w), 0);
	kept_check(&w);
	world_close(&w);
}

static void close_host(struct world *w, char *dir)
{
	assert_int_equal(linkfs_volume_close(w->volume), 0);
	free(w->volume_path);
	small_host_done(dir);
}

/* Blocks written to one file until there is no room. */
static uint32_t write_all(struct world *w, const char *name)
{
	uint8_t bytes[16 * B];
	uint64_t ino = put(w, name, NULL);
	uint32_t blocks = 0;
	memset(bytes, 0x77, sizeof(bytes));
	for (;; blocks += 16) {
		size_t done = 0;
		int r = linkfs_node_write(w->volume, NULL, ino, (uint64_t)blocks * B, bytes, sizeof(bytes), 0, &done,
					  NULL);
		if (r == LINKFS_ENOSPC)
			return blocks;
		assert_int_equal(r, 0);
	}
}

static void on_a_full_host_data_finds_room(void **state)
{
	(void)state;
	char name[16], *dir = small_host_make("64m");
	struct world w = {0};
	world_open_in(&w, dir, 0);
	kept_set(&w, "1d");
	uint32_t all = write_all(&w, "all");
	assert_true(all > 4000);
	take(&w, "all");
	assert_int_equal(kept_inodes(&w), 1);
	/* The one large file goes for the first block that is asked for: space comes back file by file. */
	for (uint32_t i = 0; i < all / 100 - 10; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		put_blocks(&w, name, 100, (uint8_t)i);
	}
	assert_int_equal(kept_inodes(&w), 0);
	for (uint32_t i = 0; i < all / 100 - 10; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		take(&w, name);
	}
	kept_check(&w);
	uint32_t before = (uint32_t)kept_inodes(&w);
	put_blocks(&w, "n", 3000, 1);
	assert_true(kept_inodes(&w) > 0 && kept_inodes(&w) < before);
	uint32_t again = write_all(&w, "again");
	assert_int_equal(kept_inodes(&w), 0);
	/* The database and its log have grown meanwhile, and freed pieces that are too short to be given to the host stay ours. */
	if (again + 3000 < all * 3 / 4)
		fail_msg("of %u blocks %u can be had again", all, again + 3000);
	kept_check(&w);
	close_host(&w, dir);
}

/* Nothing but metadata: small files whose content is in their records. The host is filled by somebody else. */
static void on_a_full_host_metadata_finds_room(void **state)
{
	(void)state;
	char name[32], *dir = small_host_make("24m"), content[1500];
	struct world w = {0};
	uint32_t made = 0;
	int r = 0;
	world_open_in(&w, dir, 0);
	kept_set(&w, "1d");
	memset(content, 'x', sizeof(content));
	content[sizeof(content) - 1] = 0;
	for (uint32_t i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "k%u", i);
		put(&w, name, content);
		take(&w, name);
	}
	assert_int_equal(linkfs_volume_sync(w.volume), 0);
	assert_int_equal(kept_inodes(&w), 2000);
	small_host_fill(dir);
	/* New files take the place of kept ones, until none is left. */
	for (; r == 0; made += r == 0) {
		struct linkfs_make how = {.mode = S_IFREG | 0644};
		struct linkfs_stat st;
		size_t done;
		(void)snprintf(name, sizeof(name), "n%u", made);
		r = linkfs_path_make(w.volume, NULL, 1, name, &how, &st);
		if (r == 0)
			r = linkfs_node_write(w.volume, NULL, st.ino, 0, content, sizeof(content), 0, &done, NULL);
	}
	assert_int_equal(r, LINKFS_ENOSPC);
	assert_int_equal(kept_inodes(&w), 0);
	if (made < 1500)
		fail_msg("%u files took the place of 2000", made);
	/* And the way out stands open: each removal keeps a file, and room is made for the next. */
	for (uint32_t i = 0; i < made; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		take(&w, name);
	}
	kept_check(&w);
	put(&w, "last", content);
	kept_check(&w);
	close_host(&w, dir);
}

/* ---- what it costs -------------------------------------------------------------------------------------------------- */

struct cost {
	uint64_t calls;  /* of the engine, in an op */
	uint32_t writes; /* of rows, as the op counts them */
};

static struct cost unlink_cost(struct lk_fs *fs, struct lk_db *db, const char *name)
{
	struct linkfs_cred root = {0};
	struct lk_where where;
	struct lk_op op;
	struct cost cost = {.calls = lk_db_fault_seen(db).calls};
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES), 0);
	assert_int_equal(lk_where_at(&op, &root, 1, name, strlen(name), &where), 0);
	assert_int_equal(lk_link_unlink(&op, &root, &where), 0);
	cost.writes = op.rows;
	assert_int_equal(lk_op_end(&op, 0), 0);
	cost.calls = lk_db_fault_seen(db).calls - cost.calls;
	return cost;
}

/* One unlink of an empty file, of one with inline content and of a second name, off and on. */
static void off_costs_nothing_and_on_one_row(void **state)
{
	(void)state;
	struct world w;
	struct lk_db *real = NULL, *db = NULL;
	struct lk_fs *fs = NULL;
	struct cost costs[2][3];
	static const char *const names[] = {"empty", "inline", "second"};
	world_open(&w, 0);
	for (int on = 0; on < 2; on++) {
		kept_set(&w, on ? "1d" : "off");
		for (int i = 0; i < 3; i++)
			put(&w, names[i], i == 1 ? "content" : NULL);
		tie(&w, "second", on ? "first1" : "first0");
		assert_int_equal(linkfs_volume_close(w.volume), 0);
		assert_int_equal(lk_db_open_sqlite(w.volume_path, 0, &real, NULL), 0);
		assert_int_equal(lk_db_fault_open(real, &db), 0);
		assert_int_equal(lk_fs_open_on(db, w.volume_path, 0, 3600000, &fs, NULL), 0);
		/* Warm: the root's record and the names are in memory. */
		for (int i = 0; i < 3; i++) {
			struct linkfs_cred root = {0};
			struct lk_where where;
			struct lk_place place;
			struct lk_slot slot;
			struct lk_op op;
			assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
			assert_int_equal(lk_where_at(&op, &root, 1, names[i], strlen(names[i]), &where), 0);
			assert_int_equal(lk_walk_look(&op, &where, &slot, &place), 0);
			assert_int_equal(lk_op_end(&op, 0), 0);
		}
		for (int i = 0; i < 3; i++)
			costs[on][i] = unlink_cost(fs, db, names[i]);
		assert_int_equal(lk_fs_close(fs), 0);
		struct linkfs_open_options options = {.commit_interval_ms = 3600000};
		assert_int_equal(linkfs_volume_open(w.volume_path, &options, &w.volume, NULL), 0);
	}
	for (int on = 0; on < 2; on++) {
		for (int i = 0; i < 3; i++)
			printf("# %s %s: %" PRIu64 " calls, %" PRIu32 " changes\n", on ? "on" : "off", names[i],
			       costs[on][i].calls, costs[on][i].writes);
	}
	/* Off, an unlink is: savepoint, the name, the record, release; with content, that too. These are the figures of before. */
	assert_int_equal(costs[0][0].calls, 4);
	assert_int_equal(costs[0][1].calls, 5);
	assert_int_equal(costs[0][2].calls, 3);
	/* On, the row takes the place of the erased record and content; a second name costs one more. */
	assert_int_equal(costs[1][0].calls, 4);
	assert_int_equal(costs[1][1].calls, 4);
	assert_int_equal(costs[1][2].calls, 4);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_limit_the_oldest_go_first),
		cmocka_unit_test(open_files_are_passed_over),
		cmocka_unit_test(on_a_full_host_data_finds_room),
		cmocka_unit_test(on_a_full_host_metadata_finds_room),
		cmocka_unit_test(off_costs_nothing_and_on_one_row),
	};
	return cmocka_run_group_tests_name("undelete-space", tests, NULL, NULL);
}
