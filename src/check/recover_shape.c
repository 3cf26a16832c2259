/*
 * recover_shape.c - what rows of our tables and indexes look like, so that a page tells whose it is without a tree, and
 * what their columns may hold.
 * Layer: check. All of it follows from the descriptors of schema.h; the shapes of the tables and indexes whose rows are
 * brought back differ from each other and from all the rest.
 */
#include "recover_read.h"

#include <string.h>
#include <sys/stat.h>

static void add_column(struct lk_shape *s, uint8_t column)
{
	for (uint8_t i = 0; i < s->count; i++) {
		if (s->column[i] == column)
			return;
	}
	s->column[s->count++] = column;
}

static struct lk_shape table_shape(const struct lk_table *t)
{
	struct lk_shape s = {.table = t, .index = LK_SHAPE_TABLE, .name = t->name, .key_count = t->key_count};
	for (uint8_t i = 0; i < t->column_count; i++)
		add_column(&s, i);
	return s;
}

/* An index row: the index's columns, then what is missing of the key (SQLite's rule for tables without rowid). */
static struct lk_shape index_shape(const struct lk_table *t, int at)
{
	const struct lk_index *index = &t->indexes[at];
	struct lk_shape s = {.table = t, .index = at, .name = index->name};
	for (uint8_t i = 0; i < index->column_count; i++)
		add_column(&s, index->columns[i]);
	for (uint8_t i = 0; i < t->key_count; i++)
		add_column(&s, i);
	/* What stands behind the table's key only repeats what the row holds: dirent_by_ino's name and born. */
	s.key_count = s.count;
	while (s.key_count && s.column[s.key_count - 1] >= t->key_count)
		s.key_count--;
	return s;
}

uint32_t lk_shapes_make(struct lk_shape shapes[LK_SHAPES_MAX])
{
	uint32_t n = 0;
	_Static_assert(LK_T_COUNT * 2 <= LK_SHAPES_MAX, "a table has at most two indexes, and most none");
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		shapes[n++] = table_shape(&lk_tables[t]);
		for (int i = 0; i < lk_tables[t].index_count; i++)
			shapes[n++] = index_shape(&lk_tables[t], i);
	}
	return n;
}

bool lk_shape_fits(const struct lk_shape *s, const struct lk_value *values, uint32_t count)
{
	if (count != s->count)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		enum lk_value_kind kind = values[i].kind;
		bool bytes = s->table->columns[s->column[i]].type == LK_BYTES;
		if (i == 0 && lk_shape_rowid(s)) {
			if (kind != LK_VALUE_NULL) /* the rowid stands for it */
				return false;
		} else if (kind != LK_VALUE_CUT && kind != (bytes ? LK_VALUE_BYTES : LK_VALUE_INT)) {
			return false;
		}
	}
	return true;
}

void lk_shape_record(const struct lk_shape *s, int64_t rowid, const struct lk_value *values, void *record)
{
	const struct lk_column *columns = s->table->columns;
	memset(record, 0, s->table->record_size);
	for (uint32_t i = 0; i < s->count; i++) {
		const struct lk_column *c = &columns[s->column[i]];
		if (c->type == LK_BYTES)
			*lk_bytes_at(c, record) = values[i].bytes;
		else
			*lk_int_at(c, record) = i == 0 && lk_shape_rowid(s) ? rowid : values[i].number;
	}
}

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

static void put_int(struct lk_key *k, int64_t value)
{
	uint64_t v = (uint64_t)value ^ UINT64_C(1) << 63;
	for (int i = 7; i >= 0; i--)
		k->bytes[k->len++] = (uint8_t)(v >> (8 * i));
}

/* A prefix is enough for what is longer than any name of ours. */
static void put_bytes(struct lk_key *k, const struct lk_bytes *b)
{
	size_t n = LK_MIN(b->len, sizeof(k->bytes) - k->len);
	if (n)
		memcpy(k->bytes + k->len, b->p, n);
	k->len = (uint16_t)(k->len + n);
}

void lk_key_of_rowid(int64_t rowid, struct lk_key *out)
{
	out->len = 0;
	put_int(out, rowid);
}

/* Bytes end a key: what would follow them does not compare as the tree does (xattr_old alone has such a key). */
bool lk_key_of_values(const struct lk_shape *s, const struct lk_value *values, struct lk_key *out)
{
	out->len = 0;
	for (uint32_t i = 0; i < s->key_count && out->len + 8u <= sizeof(out->bytes); i++) {
		if (values[i].kind == LK_VALUE_CUT)
			return false;
		if (values[i].kind == LK_VALUE_BYTES) {
			put_bytes(out, &values[i].bytes);
			break;
		}
		put_int(out, values[i].number);
	}
	return true;
}

void lk_key_of_record(const struct lk_shape *s, const void *record, struct lk_key *out)
{
	out->len = 0;
	for (uint32_t i = 0; i < s->key_count && out->len + 8u <= sizeof(out->bytes); i++) {
		const struct lk_column *c = &s->table->columns[s->column[i]];
		if (c->type == LK_BYTES) {
			put_bytes(out, lk_bytes_of(c, record));
			break;
		}
		put_int(out, *lk_int_of(c, record));
	}
}

int lk_key_compare(const struct lk_key *a, const struct lk_key *b)
{
	int c = memcmp(a->bytes, b->bytes, LK_MIN(a->len, b->len));
	return c ? c : (a->len > b->len) - (a->len < b->len);
}

/* ---- what columns may hold --------------------------------------------------------------------------------------------- */

static bool within(int64_t v, int64_t low, int64_t high)
{
	return v >= low && v <= high;
}

static bool is_ino(int64_t v)
{
	return within(v, 1, LK_INO_MAX);
}

static bool is_type(int64_t format)
{
	static const uint8_t types[] = {S_IFREG >> 12,  S_IFDIR >> 12, S_IFLNK >> 12, S_IFIFO >> 12,
					S_IFSOCK >> 12, S_IFCHR >> 12, S_IFBLK >> 12};
	for (size_t i = 0; i < sizeof(types); i++) {
		if (format == types[i])
			return true;
	}
	return false;
}

static bool is_name(const struct lk_bytes *b)
{
	const char *p = b->p;
	if (b->len < 1 || b->len > LINKFS_NAME_MAX || memchr(p, '/', b->len) || memchr(p, 0, b->len))
		return false;
	return !(p[0] == '.' && (b->len == 1 || (b->len == 2 && p[1] == '.')));
}

static bool inode_valid(const struct lk_inode *i)
{
	int64_t size_max = (i->mode & S_IFMT) == S_IFLNK ? LINKFS_SYMLINK_MAX : (int64_t)LINKFS_FILE_SIZE_MAX;
	return is_ino(i->ino) && within(i->mode, 0, 0177777) && is_type(i->mode >> 12) &&
	       within(i->uid, 0, UINT32_MAX) && within(i->gid, 0, UINT32_MAX) && within(i->nlink, 0, LINKFS_LINK_MAX) &&
	       within(i->size, 0, size_max) && within(i->blocks, 0, LK_DISK_BLOCK_MAX) && i->rdev >= 0 &&
	       within(i->flags, 0, UINT16_MAX) && within(i->xattr_count, 0, INT32_MAX) && i->born >= 1;
}

static bool dirent_valid(const struct lk_dirent *d, bool whole)
{
	return is_ino(d->dir) && within(d->hash, 16, (INT64_C(1) << 55) - 1) && within(d->ord, 0, 255) &&
	       is_ino(d->ino) && is_name(&d->name) && (!whole || (is_type(d->type) && d->born >= 1));
}

static bool extent_valid(const struct lk_extent *e)
{
	const int64_t blocks = (int64_t)((LINKFS_FILE_SIZE_MAX + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE);
	if (!is_ino(e->ino) || !within(e->file_block, 0, blocks) || !within(e->count, 1, LK_DISK_BLOCK_MAX) ||
	    e->count > blocks + LK_GROUP_BLOCKS - e->file_block || e->born < 1)
		return false;
	if (e->codec == LK_CODEC_HOLE)
		return e->disk_block == 0 && e->sums.len == 0;
	if (!within(e->disk_block, 0, LK_DISK_BLOCK_MAX) || e->count > LK_DISK_BLOCK_MAX + 1 - e->disk_block)
		return false;
	if (e->codec == LK_CODEC_ZSTD)
		return e->count <= LK_CHUNK_BLOCKS && within(e->length, 1, LK_CHUNK_BYTES - LK_BLOCK_SIZE) &&
		       within(e->offset, 0, (int64_t)LK_CHUNK_BLOCKS - e->count) && e->sums.len == 8;
	if (e->length || e->offset)
		return false;
	if (e->codec == LK_CODEC_UNWRITTEN)
		return e->count <= LK_GROUP_BLOCKS && e->sums.len == 0;
	return e->codec == LK_CODEC_RAW && e->count <= LK_EXTENT_BLOCKS_MAX && e->sums.len == (size_t)e->count * 8;
}

static bool xattr_valid(const struct lk_xattr *x)
{
	return is_ino(x->ino) && within((int64_t)x->name.len, 1, LINKFS_XATTR_NAME_MAX) &&
	       !memchr(x->name.p, 0, x->name.len) && x->value.len <= LINKFS_XATTR_SIZE_MAX && x->born >= 1;
}

static bool super_valid(const struct lk_super *s)
{
	return s->id == 1 && s->uuid.len == 16 && s->name_secret.len == 192 && s->label.len <= 255 &&
	       s->block_size == LK_BLOCK_SIZE && within(s->limit_blocks, 0, LK_DISK_BLOCK_MAX);
}

static bool target_valid(const struct lk_target *t)
{
	return is_ino(t->ino) && within((int64_t)t->text.len, 1, LINKFS_SYMLINK_MAX) &&
	       !memchr(t->text.p, 0, t->text.len) && t->born >= 1 && within(t->tracks, 0, LK_INO_MAX) &&
	       within(t->by_dir, 0, LK_INO_MAX) && within(t->by_ord, 0, 255) && t->by_hash >= 0 &&
	       t->by_hash >> 55 == 0;
}

static bool inline_valid(const struct lk_inline *i)
{
	return is_ino(i->ino) && within((int64_t)i->content.len, 1, LK_PACKED_MAX) && i->born >= 1;
}

static bool intent_valid(const struct lk_intent *i)
{
	return is_ino(i->ino) && i->id == LK_INTENT_ID(i->kind, i->ino) && i->from >= 0 && i->to >= 0;
}

static bool bind_valid(const struct lk_bind *b)
{
	return is_ino(b->dir) && is_ino(b->source) && within(b->ord, 0, 255) && b->hash >= 16 && b->hash >> 55 == 0 &&
	       b->born >= 1;
}

bool lk_row_valid(const struct lk_shape *s, const void *record)
{
	const struct lk_snapshot *snapshot = record;
	const struct lk_counter *counter = record;
	const struct lk_orphan *orphan = record;
	if (s->table->id == LK_T_DIRENT)
		return dirent_valid(record, s->index == LK_SHAPE_TABLE);
	if (s->index != LK_SHAPE_TABLE)
		return false;
	if (s->table->id == LK_T_SUPER)
		return super_valid(record);
	if (s->table->id == LK_T_COUNTER)
		return counter->id >= 1 && counter->value >= 0;
	if (s->table->id == LK_T_INODE)
		return inode_valid(record);
	if (s->table->id == LK_T_TARGET)
		return target_valid(record);
	if (s->table->id == LK_T_INLINE)
		return inline_valid(record);
	if (s->table->id == LK_T_EXTENT)
		return extent_valid(record);
	if (s->table->id == LK_T_XATTR)
		return xattr_valid(record);
	if (s->table->id == LK_T_ORPHAN)
		return is_ino(orphan->ino);
	if (s->table->id == LK_T_INTENT)
		return intent_valid(record);
	if (s->table->id == LK_T_BIND)
		return bind_valid(record);
	return s->table->id == LK_T_SNAPSHOT && snapshot->epoch >= 1;
}
