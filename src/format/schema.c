/*
 * schema.c - the descriptors of schema.h, and the hashes the format rests on.
 * Layer: format.
 */
#include "schema.h"

#include <string.h>
#include <xxhash.h>

/* Tables, as they are read. */
/* clang-format off */
#define INT(s, f) {#f, LK_INT, offsetof(struct s, f)}
#define BYTES(s, f) {#f, LK_BYTES, offsetof(struct s, f)}
/* "last" of a history table: after the live struct, whose size is a multiple of 8 (all fields are). */
#define LAST(s) {"last", LK_INT, sizeof(struct s)}

static const struct lk_column super_columns[] = {
	INT(lk_super, id), BYTES(lk_super, uuid), BYTES(lk_super, name_secret), BYTES(lk_super, label),
	INT(lk_super, features_compat), INT(lk_super, features_ro_compat), INT(lk_super, features_incompat),
	INT(lk_super, block_size), INT(lk_super, created_ns), INT(lk_super, limit_blocks),
	BYTES(lk_super, properties), BYTES(lk_super, key_slots)};

static const struct lk_column counter_columns[] = {INT(lk_counter, id), INT(lk_counter, value)};

#define INODE_REST                                                                                             \
	INT(lk_inode, mode), INT(lk_inode, uid), INT(lk_inode, gid), INT(lk_inode, nlink), INT(lk_inode, size), \
		INT(lk_inode, blocks), INT(lk_inode, atime_ns), INT(lk_inode, mtime_ns), INT(lk_inode, ctime_ns), \
		INT(lk_inode, btime_ns), INT(lk_inode, rdev), INT(lk_inode, flags), INT(lk_inode, xattr_count), \
		INT(lk_inode, born)
static const struct lk_column inode_columns[] = {INT(lk_inode, ino), INODE_REST};
static const struct lk_column inode_old_columns[] = {LAST(lk_inode), INT(lk_inode, ino), INODE_REST};

#define DIRENT_KEY INT(lk_dirent, dir), INT(lk_dirent, hash), INT(lk_dirent, ord)
#define DIRENT_REST INT(lk_dirent, ino), INT(lk_dirent, type), BYTES(lk_dirent, name), INT(lk_dirent, born)
static const struct lk_column dirent_columns[] = {DIRENT_KEY, DIRENT_REST};
static const struct lk_column dirent_old_columns[] = {LAST(lk_dirent), DIRENT_KEY, DIRENT_REST};
static const uint8_t dirent_by_ino[] = {3, 0, 1, 2, 5, 6};
static const uint8_t dirent_old_by_ino[] = {4, 1, 2, 3, 0};

#define TARGET_REST                                                                                  \
	BYTES(lk_target, text), INT(lk_target, tracks), INT(lk_target, by_dir), INT(lk_target, by_hash), \
		INT(lk_target, by_ord), INT(lk_target, born)
static const struct lk_column target_columns[] = {INT(lk_target, ino), TARGET_REST};
static const struct lk_column target_old_columns[] = {LAST(lk_target), INT(lk_target, ino), TARGET_REST};

static const struct lk_column component_columns[] = {INT(lk_component, hash), INT(lk_component, ino),
						     INT(lk_component, position), INT(lk_component, is_last)};

#define BIND_KEY INT(lk_bind, dir), INT(lk_bind, hash), INT(lk_bind, ord)
#define BIND_REST INT(lk_bind, source), INT(lk_bind, born)
static const struct lk_column bind_columns[] = {BIND_KEY, BIND_REST};
static const struct lk_column bind_old_columns[] = {LAST(lk_bind), BIND_KEY, BIND_REST};
static const uint8_t bind_by_source[] = {3};

#define INLINE_REST BYTES(lk_inline, content), INT(lk_inline, born)
static const struct lk_column inline_columns[] = {INT(lk_inline, ino), INLINE_REST};
static const struct lk_column inline_old_columns[] = {LAST(lk_inline), INT(lk_inline, ino), INLINE_REST};

#define EXTENT_KEY INT(lk_extent, ino), INT(lk_extent, file_block)
#define EXTENT_REST                                                                                         \
	INT(lk_extent, disk_block), INT(lk_extent, count), INT(lk_extent, codec), INT(lk_extent, length),    \
		INT(lk_extent, offset), BYTES(lk_extent, sums), INT(lk_extent, born)
static const struct lk_column extent_columns[] = {EXTENT_KEY, EXTENT_REST};
static const struct lk_column extent_old_columns[] = {LAST(lk_extent), EXTENT_KEY, EXTENT_REST};

#define XATTR_KEY INT(lk_xattr, ino), BYTES(lk_xattr, name)
#define XATTR_REST BYTES(lk_xattr, value), INT(lk_xattr, born)
static const struct lk_column xattr_columns[] = {XATTR_KEY, XATTR_REST};
static const struct lk_column xattr_old_columns[] = {LAST(lk_xattr), XATTR_KEY, XATTR_REST};

static const struct lk_column orphan_columns[] = {INT(lk_orphan, ino)};
static const struct lk_column intent_columns[] = {INT(lk_intent, id), INT(lk_intent, kind), INT(lk_intent, ino),
						  INT(lk_intent, from), INT(lk_intent, to)};
static const struct lk_column deleted_columns[] = {INT(lk_deleted, time_ns), INT(lk_deleted, ino),
						   INT(lk_deleted, dir), BYTES(lk_deleted, name),
						   INT(lk_deleted, dir_mtime_ns), INT(lk_deleted, how)};
static const uint8_t deleted_by_ino[] = {1};
static const uint8_t deleted_by_dir[] = {2};
static const struct lk_column group_columns[] = {INT(lk_group, number), INT(lk_group, used), BYTES(lk_group, bitmap)};
static const struct lk_column shared_columns[] = {INT(lk_shared, disk_block), INT(lk_shared, count),
						  INT(lk_shared, refs)};
static const struct lk_column snapshot_columns[] = {INT(lk_snapshot, epoch), BYTES(lk_snapshot, name),
						    INT(lk_snapshot, time_ns), BYTES(lk_snapshot, note),
						    BYTES(lk_snapshot, tags), INT(lk_snapshot, next_ino), INT(lk_snapshot, deleting)};

static const struct lk_column moved_columns[] = {INT(lk_moved, time_ns), INT(lk_moved, ino),    INT(lk_moved, dir),
						 INT(lk_moved, hash),    BYTES(lk_moved, name), INT(lk_moved, filled)};
static const uint8_t moved_by_place[] = {2, 3};
static const uint8_t moved_by_ino[] = {1};

static const struct lk_column source_columns[] = {
	INT(lk_source, id), INT(lk_source, dir), BYTES(lk_source, machine), BYTES(lk_source, host), BYTES(lk_source, path),
	INT(lk_source, rules), INT(lk_source, time_ns), INT(lk_source, files), INT(lk_source, bytes)};
static const struct lk_column copied_columns[] = {
	INT(lk_copied, ino), INT(lk_copied, source), INT(lk_copied, fs), INT(lk_copied, inode), INT(lk_copied, mode),
	INT(lk_copied, nlink), INT(lk_copied, size), INT(lk_copied, mtime_ns), INT(lk_copied, ctime_ns),
	INT(lk_copied, own_ctime_ns), INT(lk_copied, flags)};

/* Of a history table: the live table's key of one, two or three columns, then last, which stands first. */
static const uint8_t key_of_1[] = {1, 0};
static const uint8_t key_of_2[] = {1, 2, 0};
static const uint8_t key_of_3[] = {1, 2, 3, 0};

static const struct lk_index dirent_indexes[] = {{"dirent_by_ino", dirent_by_ino, 6, true}};
static const struct lk_index bind_indexes[] = {{"bind_by_source", bind_by_source, 1, false}};
static const struct lk_index deleted_indexes[] = {{"deleted_by_ino", deleted_by_ino, 1, false},
						  {"deleted_by_dir", deleted_by_dir, 1, false}};
static const struct lk_index moved_indexes[] = {{"moved_by_place", moved_by_place, 2, false},
						{"moved_by_ino", moved_by_ino, 1, false}};
static const struct lk_index inode_old_indexes[] = {{"inode_old_by_key", key_of_1, 2, false}};
static const struct lk_index dirent_old_indexes[] = {{"dirent_old_by_key", key_of_3, 4, false},
						     {"dirent_old_by_ino", dirent_old_by_ino, 5, false}};
static const struct lk_index target_old_indexes[] = {{"target_old_by_key", key_of_1, 2, false}};
static const struct lk_index bind_old_indexes[] = {{"bind_old_by_key", key_of_3, 4, false}};
static const struct lk_index inline_old_indexes[] = {{"inline_old_by_key", key_of_1, 2, false}};
static const struct lk_index extent_old_indexes[] = {{"extent_old_by_key", key_of_2, 3, false}};
static const struct lk_index xattr_old_indexes[] = {{"xattr_old_by_key", key_of_2, 3, false}};

#define COLUMNS(c) .columns = (c), .column_count = LK_ARRAY_LEN(c)
#define INDEXES(i) .indexes = (i), .index_count = LK_ARRAY_LEN(i)
#define PLAIN(t, n, s, keys, one) \
	.name = (n), .id = (t), .key_count = (keys), .rowid = (one), .record_size = sizeof(struct s)
/* born is the last column of every versioned table. */
#define VERSIONED(c, o) .versioned = true, .born_column = LK_ARRAY_LEN(c) - 1, .old = (o)
#define OLD(t, n, s, keys) .name = (n), .id = (t), .key_count = (keys) + 1, .record_size = sizeof(struct s) + 8

const struct lk_table lk_tables[LK_T_COUNT] = {
	[LK_T_SUPER] = {PLAIN(LK_T_SUPER, "super", lk_super, 1, true), COLUMNS(super_columns)},
	[LK_T_COUNTER] = {PLAIN(LK_T_COUNTER, "counter", lk_counter, 1, true), COLUMNS(counter_columns)},
	[LK_T_INODE] = {PLAIN(LK_T_INODE, "inode", lk_inode, 1, true), COLUMNS(inode_columns),
			VERSIONED(inode_columns, LK_T_INODE_OLD)},
	[LK_T_DIRENT] = {PLAIN(LK_T_DIRENT, "dirent", lk_dirent, 3, false), COLUMNS(dirent_columns),
			 VERSIONED(dirent_columns, LK_T_DIRENT_OLD), INDEXES(dirent_indexes)},
	[LK_T_TARGET] = {PLAIN(LK_T_TARGET, "target", lk_target, 1, true), COLUMNS(target_columns),
			 VERSIONED(target_columns, LK_T_TARGET_OLD)},
	[LK_T_COMPONENT] = {PLAIN(LK_T_COMPONENT, "component", lk_component, 3, false), COLUMNS(component_columns)},
	[LK_T_BIND] = {PLAIN(LK_T_BIND, "bind", lk_bind, 3, false), COLUMNS(bind_columns),
		       VERSIONED(bind_columns, LK_T_BIND_OLD), INDEXES(bind_indexes)},
	[LK_T_INLINE] = {PLAIN(LK_T_INLINE, "inline", lk_inline, 1, true), COLUMNS(inline_columns),
			 VERSIONED(inline_columns, LK_T_INLINE_OLD)},
	[LK_T_EXTENT] = {PLAIN(LK_T_EXTENT, "extent", lk_extent, 2, false), COLUMNS(extent_columns),
			 VERSIONED(extent_columns, LK_T_EXTENT_OLD)},
	[LK_T_XATTR] = {PLAIN(LK_T_XATTR, "xattr", lk_xattr, 2, false), COLUMNS(xattr_columns),
			VERSIONED(xattr_columns, LK_T_XATTR_OLD)},
	[LK_T_ORPHAN] = {PLAIN(LK_T_ORPHAN, "orphan", lk_orphan, 1, true), COLUMNS(orphan_columns)},
	[LK_T_INTENT] = {PLAIN(LK_T_INTENT, "intent", lk_intent, 1, true), COLUMNS(intent_columns)},
	[LK_T_DELETED] = {PLAIN(LK_T_DELETED, "deleted", lk_deleted, 1, true), COLUMNS(deleted_columns),
			  INDEXES(deleted_indexes)},
	[LK_T_GROUP] = {PLAIN(LK_T_GROUP, "grp", lk_group, 1, true), COLUMNS(group_columns)},
	[LK_T_SHARED] = {PLAIN(LK_T_SHARED, "shared", lk_shared, 1, true), COLUMNS(shared_columns)},
	[LK_T_SNAPSHOT] = {PLAIN(LK_T_SNAPSHOT, "snapshot", lk_snapshot, 1, true), COLUMNS(snapshot_columns)},
	[LK_T_MOVED] = {PLAIN(LK_T_MOVED, "moved", lk_moved, 1, true), COLUMNS(moved_columns), INDEXES(moved_indexes)},
	[LK_T_SOURCE] = {PLAIN(LK_T_SOURCE, "source", lk_source, 1, true), COLUMNS(source_columns)},
	[LK_T_COPIED] = {PLAIN(LK_T_COPIED, "copied", lk_copied, 1, true), COLUMNS(copied_columns)},

	[LK_T_INODE_OLD] = {OLD(LK_T_INODE_OLD, "inode_old", lk_inode, 1), COLUMNS(inode_old_columns),
			    INDEXES(inode_old_indexes)},
	[LK_T_DIRENT_OLD] = {OLD(LK_T_DIRENT_OLD, "dirent_old", lk_dirent, 3), COLUMNS(dirent_old_columns),
			     INDEXES(dirent_old_indexes)},
	[LK_T_TARGET_OLD] = {OLD(LK_T_TARGET_OLD, "target_old", lk_target, 1), COLUMNS(target_old_columns),
			     INDEXES(target_old_indexes)},
	[LK_T_BIND_OLD] = {OLD(LK_T_BIND_OLD, "bind_old", lk_bind, 3), COLUMNS(bind_old_columns),
			   INDEXES(bind_old_indexes)},
	[LK_T_INLINE_OLD] = {OLD(LK_T_INLINE_OLD, "inline_old", lk_inline, 1), COLUMNS(inline_old_columns),
			     INDEXES(inline_old_indexes)},
	[LK_T_EXTENT_OLD] = {OLD(LK_T_EXTENT_OLD, "extent_old", lk_extent, 2), COLUMNS(extent_old_columns),
			     INDEXES(extent_old_indexes)},
	[LK_T_XATTR_OLD] = {OLD(LK_T_XATTR_OLD, "xattr_old", lk_xattr, 2), COLUMNS(xattr_old_columns),
			    INDEXES(xattr_old_indexes)},
};

/* clang-format on */

uint64_t lk_block_sum(const void *block, size_t len)
{
	return XXH3_64bits(block, len);
}

int64_t lk_name_hash(const void *secret, const void *name, size_t len)
{
	uint64_t h = XXH3_64bits_withSecret(name, len, secret, 192) >> 9;
	/* K1: the lowest few values (".", "..") and the highest are not names' hashes. */
	if (h < 16)
		h += 16;
	if (h == (UINT64_C(1) << 55) - 1)
		h--;
	return (int64_t)h;
}

uint8_t lk_index_order(const struct lk_table *table, int index, uint8_t columns[LK_COLUMNS_MAX])
{
	uint8_t count = 0;
	if (index >= 0) {
		const struct lk_index *by = &table->indexes[index];
		for (; count < by->column_count; count++)
			columns[count] = by->columns[count];
	}
	for (uint8_t i = 0; i < table->key_count; i++) {
		bool there = false;
		for (uint8_t j = 0; j < count; j++)
			there |= columns[j] == i;
		if (!there)
			columns[count++] = i;
	}
	return count;
}

int lk_record_compare(const struct lk_table *table, const uint8_t *columns, uint8_t count, const void *a, const void *b)
{
	for (uint8_t i = 0; i < count; i++) {
		const struct lk_column *c = &table->columns[columns ? columns[i] : i];
		if (c->type == LK_INT) {
			int64_t x = *lk_int_of(c, a), y = *lk_int_of(c, b);
			if (x != y)
				return x < y ? -1 : 1;
			continue;
		}
		int d = lk_bytes_compare(lk_bytes_of(c, a), lk_bytes_of(c, b));
		if (d)
			return d;
	}
	return 0;
}

int lk_bytes_compare(const struct lk_bytes *a, const struct lk_bytes *b)
{
	size_t len = LK_MIN(a->len, b->len);
	int d = len ? memcmp(a->p, b->p, len) : 0;
	return d ? d : (a->len > b->len) - (a->len < b->len);
}

void lk_record_to_old(const struct lk_table *table, const void *live, int64_t last, void *old)
{
	memcpy(old, live, table->record_size);
	memcpy((char *)old + table->record_size, &last, sizeof(last));
}

void lk_record_from_old(const struct lk_table *table, const void *old, void *live)
{
	memcpy(live, old, table->record_size);
}

int64_t lk_record_last(const struct lk_table *old_table, const void *old)
{
	int64_t last;
	memcpy(&last, (const char *)old + old_table->record_size - sizeof(last), sizeof(last));
	return last;
}
