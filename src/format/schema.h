/*
 * schema.h - the volume's records: every table's columns, key and indexes, described once.
 * Layer: format. docs/FORMAT.md says the same in words; store/ makes SQL from these descriptors, core/ fills
 * the structs, check/ and history (X_old) are driven by them.
 *
 * Every column is a 64-bit integer or bytes; a record struct has one field per column. A history record is the
 * live record's struct with an int64_t last after it; in SQL its column stands first, before the live table's.
 */
#ifndef LK_SCHEMA_H
#define LK_SCHEMA_H

#include "base.h"

#define LK_APPLICATION_ID 0x6c6b6673 /* "lkfs" */
#define LK_FORMAT_VERSION 1
#define LK_BLOCK_SIZE 4096u
#define LK_EXTENT_BLOCKS_MAX 64u /* blocks in an extent row with checksums (64 x 8 bytes stay in the B-tree cell) */
#define LK_GROUP_BLOCKS 32768u   /* blocks in a group: 128 MiB */
#define LK_PIECE_BLOCKS 262144u  /* blocks in a data piece: 1 GiB */
#define LK_INLINE_MAX 2048u      /* content up to this is kept in the inline table */
#define LK_CHUNK_BLOCKS 32u      /* blocks compressed together, at most */
#define LK_CHUNK_BYTES (LK_CHUNK_BLOCKS * LK_BLOCK_SIZE)
#define LK_PACKED_MAX 8192u       /* compressed content up to this is kept in the inline table ... */
#define LK_PACKED_SIZE_MAX 65536u /* ... of files up to this size */
#define LK_INO_BITS 48
#define LK_INO_MAX ((INT64_C(1) << LK_INO_BITS) - 1)
#define LK_INO_MASK ((UINT64_C(1) << LK_INO_BITS) - 1)
#define LK_DISK_BLOCK_MAX ((INT64_C(1) << 40) - 1)

enum lk_column_type { LK_INT, LK_BYTES };

struct lk_column {
	const char *name;
	enum lk_column_type type;
	uint16_t offset; /* of the int64_t or struct lk_bytes in the record struct */
};

struct lk_index {
	const char *name;
	const uint8_t *columns; /* positions in the table's columns */
	uint8_t column_count;
	bool covering; /* a scan by it fills only its columns and the key's; the record's others are 0 and empty */
};

enum lk_table_id {
	LK_T_SUPER,
	LK_T_COUNTER,
	LK_T_INODE,
	LK_T_DIRENT,
	LK_T_TARGET,
	LK_T_COMPONENT,
	LK_T_BIND,
	LK_T_INLINE,
	LK_T_EXTENT,
	LK_T_XATTR,
	LK_T_ORPHAN,
	LK_T_INTENT,
	LK_T_DELETED,
	LK_T_GROUP,
	LK_T_SHARED,
	LK_T_SNAPSHOT,
	LK_T_MOVED,
	LK_T_SOURCE,
	LK_T_COPIED,
	LK_T_LIVE_COUNT,
	/* The history of each versioned table: "last", then the same columns. The key is last with the live table's, so that what goes
	 * with a snapshot lies together. */
	LK_T_INODE_OLD = LK_T_LIVE_COUNT,
	LK_T_DIRENT_OLD,
	LK_T_TARGET_OLD,
	LK_T_BIND_OLD,
	LK_T_INLINE_OLD,
	LK_T_EXTENT_OLD,
	LK_T_XATTR_OLD,
	LK_T_COUNT,
};

struct lk_table {
	const char *name;
	enum lk_table_id id;
	const struct lk_column *columns;
	uint8_t column_count;
	uint8_t key_count;    /* the first key_count columns are the key */
	bool rowid;           /* the key is one integer column: INTEGER PRIMARY KEY */
	bool versioned;       /* has born, and a history table */
	uint8_t born_column;  /* versioned only */
	enum lk_table_id old; /* versioned only */
	const struct lk_index *indexes;
	uint8_t index_count;
	size_t record_size;
};

extern const struct lk_table lk_tables[LK_T_COUNT];
/* Tables that volumes of the first linkfs lack: they stand last in sqlite_schema, and are made when such a volume is opened for writing. */
static inline bool lk_table_late(enum lk_table_id id)
{
	return id == LK_T_SOURCE || id == LK_T_COPIED;
}

/* The largest number of columns and record struct size of any table. */
#define LK_COLUMNS_MAX 24
#define LK_RECORD_MAX (LK_COLUMNS_MAX * 16)

/* Fields by descriptor. */
static inline int64_t *lk_int_at(const struct lk_column *c, void *record)
{
	return (int64_t *)(void *)((char *)record + c->offset);
}
static inline const int64_t *lk_int_of(const struct lk_column *c, const void *record)
{
	return (const int64_t *)(const void *)((const char *)record + c->offset);
}
static inline struct lk_bytes *lk_bytes_at(const struct lk_column *c, void *record)
{
	return (struct lk_bytes *)(void *)((char *)record + c->offset);
}
static inline const struct lk_bytes *lk_bytes_of(const struct lk_column *c, const void *record)
{
	return (const struct lk_bytes *)(const void *)((const char *)record + c->offset);
}

/* ---- live records ------------------------------------------------------------------------------------------ */

struct lk_super { /* one row, id 1 */
	int64_t id;
	struct lk_bytes uuid;        /* 16 bytes */
	struct lk_bytes name_secret; /* 192 bytes: keys the hash of names (K1) */
	struct lk_bytes label;
	int64_t features_compat, features_ro_compat, features_incompat;
	int64_t block_size;
	int64_t created_ns;
	int64_t limit_blocks;       /* 0: none */
	struct lk_bytes properties; /* "key=value\n"... */
	struct lk_bytes key_slots;  /* empty: room for encryption (L2) */
};

enum lk_counter_id { /* the counter table's keys */
		     LK_COUNTER_NEXT_INO = 1,
		     LK_COUNTER_EPOCH = 2,
		     LK_COUNTER_INODES = 3,
		     LK_COUNTER_KEPT = 4,        /* inodes with LK_INODE_KEPT */
		     LK_COUNTER_DATA_BLOCKS = 5, /* blocks allocated; the sum over groups is the truth */
		     LK_COUNTER_KEPT_BLOCKS = 6, /* what they have in blocks */
		     LK_COUNTER_DIR_NAMES = 7,   /* names of directories beyond the first one of each (D6) */
		     LK_COUNTER_BINDS = 8,       /* rows of bind */
};
struct lk_counter {
	int64_t id;
	int64_t value;
};

/* flags of an inode */
#define LK_INODE_INLINE 1 /* content is in the inline table (an empty file is inline without a row) */
#define LK_INODE_KEEP_LINKS 2
#define LK_INODE_TRACKED 4
#define LK_INODE_HAS_ACL 8 /* has system.posix_acl_access */
#define LK_INODE_HAS_DEFAULT_ACL 16
#define LK_INODE_HAS_CAPS 32  /* has security.capability */
#define LK_INODE_TMPFILE 64   /* made without a name and never had one: may be linked from nlink 0 */
#define LK_INODE_TRIM 128     /* extent rows past the size hold old content: an intent is to cut them off */
#define LK_INODE_KEPT 256     /* has lost its last name and is kept: rows of table deleted name it (E9) */
#define LK_INODE_FOLLOWED 512 /* tracked links follow it, or did: rows of component have its negated number (D5) */
#define LK_INODE_PACKED 1024  /* with INLINE: the content is compressed */
#define LK_INODE_COMPRESS                                                                                              \
	2048 /* of a file, or of what is made in a directory: content is compressed, whatever the volume says */
#define LK_INODE_NO_COMPRESS 4096 /* it is not */
#define LK_INODE_INHERITED                                                                                             \
	(LK_INODE_KEEP_LINKS | LK_INODE_COMPRESS | LK_INODE_NO_COMPRESS) /* by what is made in a directory */

struct lk_inode {
	int64_t ino;
	int64_t mode; /* type and permissions */
	int64_t uid, gid;
	int64_t nlink;
	int64_t size;
	int64_t blocks; /* allocated blocks of LK_BLOCK_SIZE */
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
	int64_t rdev; /* major << 32 | minor */
	int64_t flags;
	int64_t xattr_count;
	int64_t born;
};

struct lk_dirent {
	int64_t dir, hash, ord;
	int64_t ino;
	int64_t type; /* S_IFMT bits >> 12 */
	struct lk_bytes name;
	int64_t born;
};
#define LK_DIRENT_BY_INO 0     /* index (ino, dir, hash, ord, name, born) */
#define LK_OLD_BY_KEY 0        /* of every history table: (the live table\'s key, last) */
#define LK_DIRENT_OLD_BY_INO 1 /* of its history: (ino, dir, hash, ord, last) */

struct lk_target {
	int64_t ino;
	struct lk_bytes text;
	/* Of a tracked link (D5), else 0: the target's ino, and the entry by which its text names it (0: the one a directory has). */
	int64_t tracks;
	int64_t by_dir, by_hash, by_ord;
	int64_t born;
};

struct lk_component {
	int64_t hash; /* of a name; or LK_TRACKS_HASH(): the symlink tracks that inode (position 0, is_last 1) */
	int64_t ino;  /* the symlink */
	int64_t position;
	int64_t is_last;
};
#define LK_TRACKS_HASH(ino) (-(int64_t)(ino)) /* no name's: those are 16 and above */

struct lk_bind {
	int64_t dir, hash, ord;
	int64_t source;
	int64_t born;
};
#define LK_BIND_BY_SOURCE 0

struct lk_inline {
	int64_t ino;
	struct lk_bytes content;
	int64_t born;
};

enum lk_codec {
	LK_CODEC_RAW = 0,
	LK_CODEC_HOLE = 1,      /* disk_block 0, any count, no sums */
	LK_CODEC_UNWRITTEN = 2, /* allocated, reads as zeros, any count within one group, no sums */
	LK_CODEC_ZSTD =
		3, /* count blocks from block offset on of a chunk compressed to length bytes; one sum, of its disk blocks */
};
struct lk_extent {
	int64_t ino, file_block;
	int64_t disk_block, count;
	int64_t codec;
	int64_t length, offset; /* of compressed data; 0 otherwise */
	struct lk_bytes sums;   /* count x XXH3 64, little-endian */
	int64_t born;
};
/* How many disk blocks a row names (K3). */
static inline int64_t lk_blocks_named(int64_t codec, int64_t count, int64_t length)
{
	if (codec == LK_CODEC_ZSTD)
		return (length + (int64_t)LK_BLOCK_SIZE - 1) / (int64_t)LK_BLOCK_SIZE;
	return codec == LK_CODEC_HOLE ? 0 : count;
}
/* What a row adds to its inode's blocks: a part of a chunk names all of it, and counts as no more than it shows. */
static inline int64_t lk_blocks_counted(int64_t codec, int64_t count, int64_t length)
{
	return LK_MIN(count, lk_blocks_named(codec, count, length));
}
/* How many checksums a row has. */
static inline int64_t lk_sums_of(int64_t codec, int64_t count)
{
	return codec == LK_CODEC_RAW ? count : codec == LK_CODEC_ZSTD;
}

struct lk_xattr {
	int64_t ino;
	struct lk_bytes name, value;
	int64_t born;
};

struct lk_orphan {
	int64_t ino;
};

/* kinds of an intent */
#define LK_INTENT_TRIM 1  /* cut the rows past the size off (LK_INODE_TRIM is set) */
#define LK_INTENT_PUNCH 2 /* make a hole of the file blocks from .. to - 1 */
#define LK_INTENT_ID(kind, ino) ((int64_t)(kind) << 48 | (int64_t)(ino)) /* one of a kind for each inode */
struct lk_intent {
	int64_t id; /* LK_INTENT_ID() */
	int64_t kind;
	int64_t ino;
	int64_t from, to; /* meaning by kind */
};

/* A name that went while the volume kept deleted files (E9). The time is the key: no two are equal. */
struct lk_deleted {
	int64_t time_ns;
	int64_t ino; /* what it named; gone when there is no such inode */
	int64_t dir;
	struct lk_bytes name;
	int64_t dir_mtime_ns; /* the directory's, before the name went */
	int64_t how;
};
#define LK_DELETED_BY_INO 0 /* index (ino), in it by time */
#define LK_DELETED_BY_DIR 1 /* index (dir), in it by time */
#define LK_DELETED_REMOVED 0
#define LK_DELETED_REPLACED 1 /* another file took the name in the same step */

struct lk_group {
	int64_t number;
	int64_t used;           /* set bits */
	struct lk_bytes bitmap; /* LK_GROUP_BLOCKS / 8 bytes, bit i of byte i / 8: least significant first */
};

struct lk_shared {
	int64_t disk_block; /* start of a range */
	int64_t count;
	int64_t refs; /* 2 or more */
};

struct lk_snapshot {
	int64_t epoch;
	struct lk_bytes name;
	int64_t time_ns;
	struct lk_bytes note;
	struct lk_bytes tags; /* sorted, a comma between two (core's tags.h) */
	int64_t next_ino;
	int64_t deleting;
};

/* A name that was moved away, where a symlink may have led there by it (D3). The time is the key: no two are equal. */
struct lk_moved {
	int64_t time_ns;
	int64_t ino;       /* what moved; gone when there is no such inode */
	int64_t dir, hash; /* where it was */
	struct lk_bytes name;
	int64_t filled; /* 1: something else has had the name since */
};
#define LK_MOVED_BY_PLACE 0 /* index (dir, hash), in it by time */
#define LK_MOVED_BY_INO 1   /* index (ino), in it by time */

/* A tree of a host that is backed up (E4), and where to. */
struct lk_source {
	int64_t id;
	int64_t dir;             /* inode number of the directory that has its content */
	struct lk_bytes machine; /* identifies the host */
	struct lk_bytes host;    /* its name, for people */
	struct lk_bytes path;    /* absolute, on the host */
	int64_t rules; /* identifies the rules by which files were left out; 0: of a backup that did not come to its end */
	int64_t time_ns;      /* when the last backup that did began */
	int64_t files, bytes; /* that it found */
};
#define LK_SOURCE_TEXT_MAX 255u

/* What file ino of the volume was made from: while its ctime is own_ctime_ns it is what the source's file was. */
struct lk_copied {
	int64_t ino;
	int64_t source;
	int64_t fs; /* inode number of the directory that shows the root of the source's file system, or as much of it as there is */
	int64_t inode; /* of the source's file: any 64 bits */
	int64_t mode;  /* and what else its attributes were */
	int64_t nlink, size, mtime_ns, ctime_ns;
	int64_t own_ctime_ns;
	int64_t flags;
};
#define LK_COPIED_DOUBT 1 /* it may have been changed since without a sign: to be read again */

/* The checksum of a data block, as in an extent's sums. */
uint64_t lk_block_sum(const void *block, size_t len);
/* K1: the 55-bit hash of a name, keyed with the volume's secret (192 bytes). */
int64_t lk_name_hash(const void *secret, const void *name, size_t len);

/* The columns that rows are ordered by: those of the index, then the rest of the key; index -1: the key. Returns their number. */
uint8_t lk_index_order(const struct lk_table *table, int index, uint8_t columns[LK_COLUMNS_MAX]);
/* Order of two records by the given columns (NULL: the first count), as engines order them: integers, and bytes as memcmp, shorter
 * first. */
int lk_record_compare(const struct lk_table *table, const uint8_t *columns, uint8_t count, const void *a,
		      const void *b);
int lk_bytes_compare(const struct lk_bytes *a, const struct lk_bytes *b);

/* ---- history records: the key, last, then the rest ------------------------------------------------------------ */

/* Copies a live record of table into a record of its history table (byte pointers are shared), and back. */
void lk_record_to_old(const struct lk_table *table, const void *live, int64_t last, void *old);
void lk_record_from_old(const struct lk_table *table, const void *old, void *live);
/* The last epoch of a history record. */
int64_t lk_record_last(const struct lk_table *old_table, const void *old);

#endif
