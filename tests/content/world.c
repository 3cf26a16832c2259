/*
 * world.c - the volume and the checker of the content tests (world.h).
 */
#include "world.h"

#include "checked.h"

#include <extent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_MAX (8u * LK_GROUP_BLOCKS)

static void open_volume(struct world *w)
{
	struct linkfs_message why = {""};
	/* Commits only when a test asks for one. */
	struct linkfs_open_options options = {.commit_interval_ms = 3600000};
	int r = linkfs_volume_open(w->volume_path, &options, &w->volume, &why);
	if (r)
		fail_msg("open: %s: %s", linkfs_error_name(r), why.text);
}

bool world_packs(void)
{
	size_t count;
	const char *const *word = lk_test_properties(&count);
	return count && strncmp(*word, LINKFS_COMPRESSION "=zstd", strlen(LINKFS_COMPRESSION "=zstd")) == 0;
}

void world_open_in(struct world *w, const char *dir, uint64_t limit_bytes)
{
	struct linkfs_message why = {""};
	struct linkfs_create_options options = {.limit_bytes = limit_bytes};
	options.properties = lk_test_properties(&options.property_count);
	w->limit_bytes = limit_bytes;
	if (asprintf(&w->volume_path, "%s/v", dir) < 0)
		fail_msg("out of memory");
	int r = linkfs_volume_create(w->volume_path, &options, &why);
	if (r)
		fail_msg("create: %s: %s", linkfs_error_name(r), why.text);
	open_volume(w);
}

void world_open(struct world *w, uint64_t limit_bytes)
{
	*w = (struct world){.dir = lk_test_mkdir()};
	world_open_in(w, w->dir, limit_bytes);
}

static void check_closed(struct world *w)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum;
	if (!w->damaged) {
		lk_test_clean(w->volume_path, LINKFS_CHECK_DATA);
		return;
	}
	assert_int_equal(linkfs_check(w->volume_path, &options, &sum, NULL), 0);
	assert_true(sum.left > 0);
}

void world_reopen(struct world *w)
{
	assert_int_equal(linkfs_volume_close(w->volume), 0);
	w->volume = NULL;
	check_closed(w);
	open_volume(w);
}

void world_close(struct world *w)
{
	assert_int_equal(linkfs_volume_close(w->volume), 0);
	check_closed(w);
	free(w->volume_path);
	lk_test_rmdir(w->dir);
}

uint64_t world_file(struct world *w, const char *name)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	assert_int_equal(linkfs_node_make(w->volume, NULL, LINKFS_ROOT_INO, name, strlen(name), &how, LINKFS_HOLD, &st),
			 0);
	return st.ino;
}

void world_write(struct world *w, uint64_t ino, uint64_t offset, const void *buf, size_t size)
{
	size_t done = 0;
	int r = linkfs_node_write(w->volume, NULL, ino, offset, buf, size, 0, &done, NULL);
	if (r)
		fail_msg("write: %s", linkfs_error_name(r));
	assert_int_equal(done, size);
}

void world_truncate(struct world *w, uint64_t ino, uint64_t size)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = size};
	int r = linkfs_node_setattr(w->volume, NULL, ino, &change, NULL);
	if (r)
		fail_msg("truncate: %s", linkfs_error_name(r));
}

uint64_t world_size(struct world *w, uint64_t ino)
{
	struct linkfs_stat st;
	assert_int_equal(linkfs_node_getattr(w->volume, ino, &st), 0);
	return st.size;
}

uint64_t world_blocks(struct world *w, uint64_t ino)
{
	struct linkfs_stat st;
	assert_int_equal(linkfs_node_getattr(w->volume, ino, &st), 0);
	return st.blocks / (LK_BLOCK_SIZE / 512);
}

void world_read(struct world *w, uint64_t ino, uint64_t offset, void *buf, size_t size)
{
	size_t done = 0;
	int r = linkfs_node_read(w->volume, ino, offset, buf, size, &done);
	if (r)
		fail_msg("read: %s", linkfs_error_name(r));
	assert_int_equal(done, size);
}

/* ---- the checker ------------------------------------------------------------------------------------------------ */

struct file_seen {
	int64_t ino;
	int64_t end;     /* E */
	int64_t raw_end; /* the end of the last row with content */
	int64_t blocks;
};

struct seen {
	uint16_t *refs; /* rows that name a disk block */
	bool *unwritten;
	struct file_seen *files;
	size_t file_count;
	int64_t last_codec;
	uint64_t total;
	uint64_t packed; /* rows */
};

static int see_extent(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_extent *e = record;
	struct file_seen *f = s->file_count ? &s->files[s->file_count - 1] : NULL;
	if (!f || f->ino != e->ino) {
		s->files = realloc(s->files, (s->file_count + 1) * sizeof(*f));
		assert_non_null(s->files);
		f = &s->files[s->file_count++];
		*f = (struct file_seen){.ino = e->ino};
	}
	assert_int_equal(e->file_block, f->end); /* rows tile */
	assert_true(e->count >= 1);
	f->end += e->count;
	if (e->codec == LK_CODEC_ZSTD) {
		int64_t named = (e->length + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE;
		assert_true(e->length >= 1 && named < LK_CHUNK_BLOCKS);
		assert_true(e->offset >= 0 && e->offset + e->count <= LK_CHUNK_BLOCKS);
		assert_int_equal(e->sums.len, 8);
		assert_int_equal(e->disk_block / LK_GROUP_BLOCKS, (e->disk_block + named - 1) / LK_GROUP_BLOCKS);
		assert_true(e->disk_block >= 0 && e->disk_block + named <= DISK_MAX);
		f->raw_end = f->end;
		f->blocks += e->count < named ? e->count : named;
		s->packed++;
		for (int64_t i = 0; i < named; i++)
			s->refs[e->disk_block + i]++;
		return 0;
	}
	assert_int_equal(e->length, 0);
	assert_int_equal(e->offset, 0);
	if (e->codec == LK_CODEC_HOLE) {
		assert_int_equal(e->disk_block, 0);
		assert_int_equal(e->sums.len, 0);
		return 0;
	}
	if (e->codec == LK_CODEC_RAW) {
		assert_true(e->count <= LK_EXTENT_BLOCKS_MAX);
		assert_int_equal(e->sums.len, e->count * 8);
		f->raw_end = f->end;
	} else {
		assert_int_equal(e->codec, LK_CODEC_UNWRITTEN);
		assert_int_equal(e->sums.len, 0);
	}
	assert_int_equal(e->disk_block / LK_GROUP_BLOCKS, (e->disk_block + e->count - 1) / LK_GROUP_BLOCKS);
	assert_true(e->disk_block >= 0 && e->disk_block + e->count <= DISK_MAX);
	f->blocks += e->count;
	for (int64_t i = 0; i < e->count; i++) {
		s->refs[e->disk_block + i]++;
		s->unwritten[e->disk_block + i] = e->codec == LK_CODEC_UNWRITTEN;
	}
	return 0;
}

/* History counts like the present, and may name unwritten blocks beside it. */
static int see_old(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_extent *e = record;
	int64_t named = e->codec == LK_CODEC_ZSTD ? (e->length + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE : e->count;
	for (int64_t i = 0; e->codec != LK_CODEC_HOLE && i < named; i++) {
		assert_true(e->disk_block >= 0 && e->disk_block + named <= DISK_MAX);
		s->refs[e->disk_block + i]++;
		s->unwritten[e->disk_block + i] = false;
	}
	return 0;
}

static int see_shared(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_shared *row = record;
	assert_true(row->refs >= 2 && row->count >= 1 && row->disk_block + row->count <= DISK_MAX);
	for (int64_t i = 0; i < row->count; i++) {
		assert_int_equal(s->refs[row->disk_block + i], row->refs);
		assert_false(s->unwritten[row->disk_block + i]);
		s->refs[row->disk_block + i] = 1; /* accounted for; a second range over it would now differ */
	}
	return 0;
}

static int see_group(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_group *g = record;
	int64_t used = 0;
	assert_true(g->number >= 0 && (g->number + 1) * LK_GROUP_BLOCKS <= DISK_MAX);
	assert_int_equal(g->bitmap.len, LK_GROUP_BLOCKS / 8);
	const uint8_t *bits = g->bitmap.p;
	for (uint32_t i = 0; i < LK_GROUP_BLOCKS; i++) {
		bool set = bits[i / 8] >> (i % 8) & 1;
		uint16_t *refs = &s->refs[g->number * LK_GROUP_BLOCKS + i];
		/* Ranges of table shared have set theirs to 1: more than that was never recorded. */
		if (*refs != set)
			fail_msg("block %lld: bit %d, references %u", (long long)(g->number * LK_GROUP_BLOCKS + i), set,
				 *refs);
		*refs = 0;
		used += set;
	}
	assert_int_equal(g->used, used);
	s->total += (uint64_t)used;
	return 0;
}

static int see_inode(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_inode *i = record;
	struct file_seen none = {.ino = i->ino}, *f = &none;
	for (size_t k = 0; k < s->file_count; k++)
		if (s->files[k].ino == i->ino)
			f = &s->files[k];
	assert_int_equal(i->blocks, f->blocks);
	f->ino = 0; /* found */
	if (!S_ISREG((mode_t)i->mode) || (i->flags & LK_INODE_INLINE)) {
		assert_int_equal(f->end, 0);
		return 0;
	}
	int64_t need = (i->size + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE;
	assert_true(f->end >= need);
	assert_true(f->raw_end <= need);
	assert_int_equal(i->flags & LK_INODE_TRIM, 0);
	return 0;
}

static int see_none(void *arg, const void *record)
{
	(void)arg;
	(void)record;
	fail_msg("an intent is left");
	return 0;
}

static void scan(struct lk_op *op, enum lk_table_id table, lk_row_fn *fn, void *arg)
{
	static const struct lk_extent zero;
	struct lk_scan q = {.table = &lk_tables[table], .index = LK_BY_KEY, .from = &zero};
	int r = lk_txn_scan(op, &q, fn, arg);
	if (r)
		fail_msg("scan of %s: %s", lk_tables[table].name, linkfs_error_name(r));
}

uint64_t world_check(struct world *w)
{
	assert_int_equal(linkfs_volume_sync(w->volume), 0);
	struct seen s = {.refs = calloc(DISK_MAX, sizeof(uint16_t)), .unwritten = calloc(DISK_MAX, 1)};
	assert_true(s.refs && s.unwritten);
	struct lk_op op;
	assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, 0), 0);
	scan(&op, LK_T_EXTENT, see_extent, &s);
	for (uint32_t i = 0; i < DISK_MAX; i++)
		assert_false(s.unwritten[i] && s.refs[i] > 1);
	scan(&op, LK_T_EXTENT_OLD, see_old, &s);
	scan(&op, LK_T_SHARED, see_shared, &s);
	scan(&op, LK_T_GROUP, see_group, &s);
	for (uint32_t i = 0; i < DISK_MAX; i++)
		assert_int_equal(s.refs[i], 0); /* no row names a block of no group */
	scan(&op, LK_T_INODE, see_inode, &s);
	for (size_t k = 0; k < s.file_count; k++)
		assert_int_equal(s.files[k].ino, 0); /* rows of a file that is gone */
	scan(&op, LK_T_INTENT, see_none, &s);
	assert_int_equal(lk_op_end(&op, 0), 0);
	w->packed = s.packed;
	free(s.refs);
	free(s.unwritten);
	free(s.files);
	return s.total;
}
