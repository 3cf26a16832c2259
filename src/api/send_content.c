/*
 * send_content.c - what of a file's content is another than in the base (send.h): by blocks, of which nothing is read that both have, and
 * nothing is sent that something sent before has too.
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "send.h"

#include "extent.h"
#include "file_impl.h"
#include "set.h"
#include "track.h"

#include <stdlib.h>
#include <sys/stat.h>

#define STEP_ROWS 64u /* of a file, looked at in one op */
#define SCAN_ROWS 256u

/* A stretch of the file: what it is now, and how it differs. */
struct stretch {
	uint64_t at, count; /* blocks */
	uint64_t disk;      /* with data */
	enum { SAME, HOLE, DATA } kind;
	bool shared; /* more than this names the blocks */
};

struct file {
	struct lk_sending *s;
	const struct lk_send_item *item;
	struct lk_inode now, base;
	uint64_t number;
	uint64_t end, base_end; /* of the rows, in blocks */
	uint64_t data_at, data; /* bytes not sent yet, from there on */
	struct stretch list[STEP_ROWS];
	uint32_t count;
};

/* ---- sharing ---------------------------------------------------------------------------------------------------- */

static int remember(struct lk_sending *s, uint64_t disk, uint64_t count, uint64_t at, const struct lk_inode *inode,
		    bool base)
{
	int rc = 0;

	while (rc == 0 && count) {
		uint64_t bucket = disk / LK_EXTENT_BLOCKS_MAX + 1;
		uint64_t part = LK_MIN(count, bucket * LK_EXTENT_BLOCKS_MAX - disk);

		if (s->share_count == s->share_cap) {
			size_t cap = s->share_cap ? s->share_cap * 2 : 256;
			struct lk_send_share *more = reallocarray(s->shares, cap, sizeof(*more));

			if (!more)
				return LINKFS_ENOMEM;
			s->shares = more;
			s->share_cap = cap;
		}
		s->shares[s->share_count++] = (struct lk_send_share){disk,
								     part,
								     (uint64_t)inode->ino,
								     at,
								     (uint64_t)inode->size,
								     base,
								     (size_t)lk_pairs_get(&s->share_first, bucket)};
		rc = lk_pairs_set(&s->share_first, bucket, s->share_count);
		disk += part;
		at += part;
		count -= part;
	}
	return rc;
}

/* How many bytes of a stretch lie before the end. */
static uint64_t bytes_of(const struct file *f, uint64_t at, uint64_t count)
{
	uint64_t from = at * LK_BLOCK_SIZE, size = (uint64_t)f->now.size;

	return from >= size ? 0 : LK_MIN(count * LK_BLOCK_SIZE, size - from);
}

/* How many of the blocks from disk on, which are the file's from at on, can be copied from there. Its last block only to the end. */
static uint64_t usable(const struct file *f, const struct lk_send_share *share, uint64_t disk, uint64_t at,
		       uint64_t count)
{
	uint64_t from = (share->at + (disk - share->disk)) * LK_BLOCK_SIZE, left;

	count = LK_MIN(count, share->disk + share->count - disk);
	left = share->size > from ? share->size - from : 0;
	return left >= bytes_of(f, at, count) ? count : left / LK_BLOCK_SIZE;
}

/* What has the block and most of those behind it; *count is cut to what is to be looked at at once. */
static const struct lk_send_share *known(const struct file *f, uint64_t disk, uint64_t at, uint64_t *count)
{
	const struct lk_sending *s = f->s;
	const struct lk_send_share *best = NULL;
	uint64_t bucket = disk / LK_EXTENT_BLOCKS_MAX + 1, most = 0;

	*count = LK_MIN(*count, bucket * LK_EXTENT_BLOCKS_MAX - disk);
	for (size_t i = (size_t)lk_pairs_get(&s->share_first, bucket), limit = (size_t)*count; i && most < limit;
	     i = s->shares[i - 1].next) {
		const struct lk_send_share *share = &s->shares[i - 1];

		if (disk >= share->disk && disk < share->disk + share->count) {
			uint64_t blocks = usable(f, share, disk, at, limit);

			if (blocks > most) {
				most = blocks;
				best = share;
			}
		} else if (share->disk > disk) {
			*count = LK_MIN(*count, share->disk - disk);
		}
	}
	if (best)
		*count = most;
	return best;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* What is left over only with the end of the stretch: where records are cut is the content's matter, not that of the rows that it lies in. */
static int flush_from(struct file *f, uint64_t least)
{
	struct lk_sending *s = f->s;
	int rc = 0;

	while (rc == 0 && f->data >= least) {
		size_t len = (size_t)LK_MIN(f->data, (uint64_t)LK_WIRE_DATA_MAX), got = len;
		struct lk_wire r = {.type = LK_WIRE_DATA, .object = f->number, .offset = f->data_at};

		if (!lk_send_skips(s))
			rc = lk_file_peek(s->fs, s->side[LK_SEND_NOW].epoch, f->item->ino, f->data_at, s->data, len,
					  &got);
		if (rc == 0 && got != len)
			rc = LINKFS_ECORRUPT;
		r.data = (struct lk_bytes){s->data, len};
		if (rc == 0)
			rc = lk_send_emit(s, &r);
		f->data_at += len;
		f->data -= len;
	}
	return rc;
}

static int flush(struct file *f)
{
	return flush_from(f, 1);
}

static int send_data(struct file *f, uint64_t at, uint64_t count)
{
	uint64_t len = bytes_of(f, at, count);
	int rc = 0;

	if (f->data && f->data_at + f->data != at * LK_BLOCK_SIZE)
		rc = flush(f);
	if (f->data == 0)
		f->data_at = at * LK_BLOCK_SIZE;
	f->data += len;
	return rc ? rc : flush_from(f, LK_WIRE_DATA_MAX);
}

static int send_hole(struct file *f, const struct stretch *t)
{
	struct lk_wire r = {.type = LK_WIRE_HOLE,
			    .object = f->number,
			    .offset = t->at * LK_BLOCK_SIZE,
			    .length = bytes_of(f, t->at, t->count)};
	int rc = flush(f);

	/* A new file, and what a file grew by, is a hole before anything is written. */
	if (rc || !f->item->there[LK_SEND_BASE] || r.offset >= (uint64_t)f->base.size || r.length == 0)
		return rc;
	return lk_send_emit(f->s, &r);
}

static int send_clone(struct file *f, const struct lk_send_share *from, uint64_t skip, uint64_t at, uint64_t count)
{
	struct lk_wire r = {.type = LK_WIRE_CLONE,
			    .object = f->number,
			    .offset = at * LK_BLOCK_SIZE,
			    .length = bytes_of(f, at, count),
			    .other_offset = (from->at + skip) * LK_BLOCK_SIZE,
			    .flags = from->base ? LK_WIRE_BASE : 0};
	int rc = flush(f);

	if (rc == 0)
		rc = lk_send_number(f->s, from->ino, &r.other);
	return rc ? rc : lk_send_emit(f->s, &r);
}

static int send_blocks(struct file *f, const struct stretch *t)
{
	uint64_t at = t->at, left = t->count;
	int rc = 0;

	if (!t->shared)
		return send_data(f, at, left);
	while (rc == 0 && left) {
		uint64_t disk = t->disk + (at - t->at), count = left;
		const struct lk_send_share *share = known(f, disk, at, &count);

		rc = share ? send_clone(f, share, disk - share->disk, at, count) : send_data(f, at, count);
		if (rc == 0 && !share)
			rc = remember(f->s, disk, count, at, &f->now, false);
		at += count;
		left -= count;
	}
	return rc;
}

/* The base's last block, which was not full, has all of a block in a file that grew: others that have it copy from what that is now. */
static int remember_grown(struct file *f, const struct stretch *t)
{
	uint64_t last = (uint64_t)f->base.size / LK_BLOCK_SIZE;

	if (!t->shared || f->base.size % LK_BLOCK_SIZE == 0 || f->base.size >= f->now.size || last < t->at ||
	    last >= t->at + t->count)
		return 0;
	return remember(f->s, t->disk + (last - t->at), 1, last, &f->now, false);
}

static int send_stretch(struct file *f, const struct stretch *t)
{
	int rc;

	if (t->kind == HOLE)
		return send_hole(f, t);
	if (t->kind == DATA)
		return send_blocks(f, t);
	rc = flush(f);
	return rc ? rc : remember_grown(f, t);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* One op for each side: what the rows say of blocks from at on. */
static int read_rows(struct file *f, int side, uint64_t at, uint64_t end, struct lk_ext *out, uint32_t *count,
		     bool *shared)
{
	struct lk_op op;
	int rc = lk_send_begin(f->s, side, &op);

	if (rc)
		return rc;
	for (*count = 0; rc == 0 && *count < STEP_ROWS && at < end; ++*count) {
		rc = lk_extent_find(&op, f->item->ino, at, &out[*count]);
		if (rc)
			break;
		at = out[*count].at + out[*count].count;
		if (shared) {
			shared[*count] = false;
			if (out[*count].codec == LK_CODEC_RAW)
				rc = lk_share_any(&op, out[*count].disk, out[*count].count, &shared[*count]);
		}
	}
	return lk_op_end(&op, rc);
}

static bool is_hole(const struct lk_ext *e)
{
	return e->codec == LK_CODEC_HOLE || e->codec == LK_CODEC_UNWRITTEN;
}

/* Of the next rows, from *at on. */
static int compare_some(struct file *f, uint64_t *at)
{
	struct lk_ext now[STEP_ROWS], base[STEP_ROWS];
	bool shared[STEP_ROWS];
	uint32_t count = 0, base_count = 0, j = 0;
	int rc = read_rows(f, LK_SEND_NOW, *at, f->end, now, &count, shared);

	if (rc == 0 && *at < f->base_end)
		rc = read_rows(f, LK_SEND_BASE, *at, f->base_end, base, &base_count, NULL);
	f->count = 0;
	for (uint32_t i = 0; rc == 0 && i < count && f->count < STEP_ROWS;) {
		uint64_t stop = LK_MIN(f->end, now[i].at + now[i].count);
		struct stretch t = {.at = *at, .kind = is_hole(&now[i]) ? HOLE : DATA, .shared = shared[i]};

		while (j < base_count && base[j].at + base[j].count <= *at)
			j++;
		if (j == base_count && *at < f->base_end)
			break; /* the base's rows of this step are at their end */
		if (j < base_count) {
			stop = LK_MIN(stop, base[j].at + base[j].count);
			if (is_hole(&now[i]) ? is_hole(&base[j])
					     : now[i].codec == base[j].codec && now[i].codec == LK_CODEC_RAW &&
						       now[i].disk - now[i].at == base[j].disk - base[j].at)
				t.kind = SAME;
		}
		t.disk = is_hole(&now[i]) ? 0 : now[i].disk + (*at - now[i].at);
		t.shared &= !is_hole(&now[i]) && now[i].codec == LK_CODEC_RAW;
		t.count = stop - *at;
		f->list[f->count++] = t;
		*at = stop;
		if (*at == now[i].at + now[i].count)
			i++;
	}
	return rc;
}

static int send_rows(struct file *f)
{
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < f->end) {
		rc = compare_some(f, &at);
		for (uint32_t i = 0; rc == 0 && i < f->count; i++)
			rc = send_stretch(f, &f->list[i]);
	}
	return rc ? rc : flush(f);
}

static int is_small_same(struct file *f, size_t len, bool *out)
{
	const struct lk_sending *s = f->s;
	uint8_t *bytes = malloc((size_t)2 * LK_PACKED_SIZE_MAX);
	size_t got[LK_SEND_SIDES] = {0};
	int rc = bytes ? 0 : LINKFS_ENOMEM;

	for (int side = 0; rc == 0 && side < LK_SEND_SIDES; side++)
		rc = lk_file_peek(s->fs, s->side[side].epoch, f->item->ino, 0,
				  bytes + (size_t)side * LK_PACKED_SIZE_MAX, len, &got[side]);
	*out = rc == 0 && got[0] == len && got[1] == len && memcmp(bytes, bytes + LK_PACKED_SIZE_MAX, len) == 0;
	free(bytes);
	return rc;
}

/* Content that lies with the metadata: all or nothing. */
static int send_small(struct file *f)
{
	size_t len = (size_t)f->now.size;
	bool same = false;
	int rc = 0;

	/* Compressed, it may be longer than what lies there plain. */
	if (len > LK_PACKED_SIZE_MAX)
		return LINKFS_ECORRUPT;
	if (f->item->there[LK_SEND_BASE] && f->base.size == f->now.size)
		rc = is_small_same(f, len, &same);
	if (rc || same)
		return rc;
	/* Written, and not grown before that, it lies with the metadata there too. */
	if (f->base.size > f->now.size || (f->item->there[LK_SEND_BASE] && !(f->base.flags & LK_INODE_INLINE)))
		rc = lk_send_emit(f->s, &(struct lk_wire){.type = LK_WIRE_SIZE, .object = f->number});
	if (rc)
		return rc;
	rc = send_data(f, 0, lk_blocks_up(len));
	return rc ? rc : flush(f);
}

static int read_side(struct file *f, int side, struct lk_inode *inode, uint64_t *end)
{
	struct lk_op op;
	int rc = lk_send_begin(f->s, side, &op);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, f->item->ino, inode);
	if (rc == 0 && !(inode->flags & LK_INODE_INLINE))
		rc = lk_extent_end(&op, f->item->ino, end);
	return lk_op_end(&op, rc);
}

static int open_file(struct lk_sending *s, const struct lk_send_item *item, struct file **out)
{
	struct file *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return LINKFS_ENOMEM;
	f->s = s;
	f->item = item;
	f->number = lk_pairs_get(&s->number_of, item->ino);
	rc = read_side(f, LK_SEND_NOW, &f->now, &f->end);
	if (rc == 0 && item->there[LK_SEND_BASE])
		rc = read_side(f, LK_SEND_BASE, &f->base, &f->base_end);
	/* What lies past the size is nobody's content. */
	f->end = LK_MIN(f->end, lk_blocks_up((uint64_t)f->now.size));
	f->base_end = LK_MIN(f->base_end, lk_blocks_up((uint64_t)f->base.size));
	if (rc)
		free(f);
	else
		*out = f;
	return rc;
}

/* ---- what the base has ------------------------------------------------------------------------------------------ */

static uint64_t bucket_of(uint64_t disk)
{
	return disk / LK_EXTENT_BLOCKS_MAX + 1;
}

/* Each stretch of a file that is to be sent and whose blocks belong to more than it. */
static int each_shared(struct file *f, int (*fn)(struct file *f, const struct stretch *t, void *arg), void *arg)
{
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < f->end) {
		rc = compare_some(f, &at);
		for (uint32_t i = 0; rc == 0 && i < f->count; i++)
			if (f->list[i].kind == DATA && f->list[i].shared)
				rc = fn(f, &f->list[i], arg);
	}
	return rc;
}

/* Where its blocks lie. */
static int want(struct file *f, const struct stretch *t, void *wanted)
{
	uint64_t last = bucket_of(t->disk + t->count - 1);
	bool added;
	int rc = 0;

	(void)f;
	for (uint64_t b = bucket_of(t->disk); rc == 0 && b <= last; b++)
		rc = lk_set_add(wanted, b, &added);
	return rc;
}

/* All of the base that have some of its blocks, and no others: who else has some now is nothing that a stream depends on (S1). */
static int number_sources(struct file *f, const struct stretch *t, void *unused)
{
	struct lk_sending *s = f->s;
	uint64_t end = t->disk + t->count, last = bucket_of(end - 1), number;
	int rc = 0;

	(void)unused;
	for (uint64_t b = bucket_of(t->disk); rc == 0 && b <= last; b++)
		for (size_t i = (size_t)lk_pairs_get(&s->share_first, b); rc == 0 && i; i = s->shares[i - 1].next) {
			const struct lk_send_share *share = &s->shares[i - 1];

			if (share->disk < end && t->disk < share->disk + share->count)
				rc = lk_send_number(s, share->ino, &number);
		}
	return rc;
}

static int each_file(struct lk_sending *s, int (*fn)(struct file *f, const struct stretch *t, void *arg), void *arg)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		struct file *f;

		if (!S_ISREG(s->items[i].type) || !s->items[i].there[LK_SEND_NOW])
			continue;
		rc = open_file(s, &s->items[i], &f);
		if (rc)
			break;
		if (!(f->now.flags & LK_INODE_INLINE))
			rc = each_shared(f, fn, arg);
		free(f);
	}
	return rc;
}

struct scan {
	struct lk_sending *s;
	const struct lk_set *wanted;
	struct lk_op *op;
	struct lk_extent last;
	uint32_t rows;
	struct lk_inode inode; /* the one that was looked at last */
	bool named;
};

static int extent_row(void *arg, const void *record)
{
	const struct lk_extent *e = record;
	struct scan *scan = arg;

	int rc;

	scan->rows++;
	scan->last = *e;
	if (e->codec != LK_CODEC_RAW || e->disk_block < 0 || e->count < 1 || e->count > LK_EXTENT_BLOCKS_MAX ||
	    (!lk_set_has(scan->wanted, bucket_of((uint64_t)e->disk_block)) &&
	     !lk_set_has(scan->wanted, bucket_of((uint64_t)(e->disk_block + e->count - 1)))))
		return 0;
	/* What has no name there cannot be told to the receiver. */
	if (scan->inode.ino != e->ino) {
		rc = lk_inode_get_any(scan->op, (uint64_t)e->ino, &scan->inode);
		if (rc && rc != LINKFS_ESTALE)
			return rc;
		scan->named = rc == 0 && scan->inode.nlink > 0;
		scan->inode.ino = e->ino;
	}
	if (!scan->named)
		return 0;
	return remember(scan->s, (uint64_t)e->disk_block, (uint64_t)e->count, (uint64_t)e->file_block, &scan->inode,
			true);
}

/* Nothing says which files have a block: all rows are looked at, once. */
static int find_in_base(struct lk_sending *s, const struct lk_set *wanted)
{
	struct scan scan = {.s = s, .wanted = wanted};
	int rc;

	do {
		struct lk_extent from = {.ino = scan.last.ino, .file_block = scan.last.file_block};
		const struct lk_scan rows = {.table = &lk_tables[LK_T_EXTENT],
					     .index = LK_BY_KEY,
					     .ranged = 2,
					     .exclusive = true,
					     .from = &from,
					     .limit = SCAN_ROWS};
		struct lk_op op;

		scan.rows = 0;
		scan.op = &op;
		rc = lk_send_begin(s, LK_SEND_BASE, &op);
		if (rc == 0)
			rc = lk_op_end(&op, lk_txn_scan(&op, &rows, extent_row, &scan));
	} while (rc == 0 && scan.rows);
	return rc;
}

int lk_send_find_shared(struct lk_sending *s)
{
	struct lk_set wanted = {0};
	int rc = lk_send_is_difference(s) ? each_file(s, want, &wanted) : 0;

	if (rc == 0 && wanted.count)
		rc = find_in_base(s, &wanted);
	if (rc == 0 && s->share_count)
		rc = each_file(s, number_sources, NULL);
	lk_set_done(&wanted);
	return rc;
}

int lk_send_content(struct lk_sending *s, const struct lk_send_item *item)
{
	struct file *f;
	bool small;
	int rc;

	if (!S_ISREG(item->type))
		return 0;
	rc = open_file(s, item, &f);
	if (rc)
		return rc;
	small = f->now.size && (f->now.flags & LK_INODE_INLINE);
	if (f->now.size != f->base.size && !small)
		rc = lk_send_emit(
			s,
			&(struct lk_wire){.type = LK_WIRE_SIZE, .object = f->number, .length = (uint64_t)f->now.size});
	if (rc == 0 && f->now.size)
		rc = small ? send_small(f) : send_rows(f);
	free(f);
	return rc;
}
