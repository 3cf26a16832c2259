/*
 * damage.c - see damage.h. Rows are written by SQL through the layer that keeps page checksums, by db.h's calls where hashes or
 * checksums must be right, and pages byte by byte with their checksum made anew or not.
 *
 * The base volume's numbers: 1 /, 2 /sub, 3 /sub/deep, 4 /small, 5 /empty, 6 /sub/big and /sub/deep/hard, 7 /sparse, 8 /copy,
 * 9 /reserved, 10 /attributes, 11 /changed, 12 what was /gone, 13 /sub/link, 14 /fifo, 15 /device, 16 /open, 17 /open/owned, 18 what was /kept, 19 /open/track,
 * 20 /row and 21 /chunks with compressed content.
 */
#include "damage.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfs_sum.h>

/* ---- pages ------------------------------------------------------------------------------------------------------------ */

static int open_db(const struct sample *s)
{
	char file[4200];
	(void)snprintf(file, sizeof(file), "%s/meta.db", s->path);
	int fd = open(file, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

static uint32_t root_page(const struct sample *s, const char *table)
{
	char file[4200], sql[200];
	sqlite3 *db;
	sqlite3_stmt *stmt;
	(void)snprintf(file, sizeof(file), "%s/meta.db", s->path);
	(void)snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_schema WHERE name='%s'", table);
	assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	uint32_t page = (uint32_t)sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return page;
}

static void flip_page(const struct sample *s, uint32_t number, size_t at)
{
	int fd = open_db(s);
	uint8_t byte;
	off_t where = (off_t)(number - 1) * LK_PAGE_SIZE + (off_t)at;
	assert_int_equal(pread(fd, &byte, 1, where), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, where), 1);
	(void)close(fd);
}

static bool first_page(const struct sample *s)
{
	flip_page(s, 1, 1000);
	return true;
}

static bool page_of_attributes(const struct sample *s)
{
	flip_page(s, root_page(s, "xattr"), LK_PAGE_SUMMED - 20);
	return true;
}

/* Two rows of a leaf change places; the page's checksum is made anew. */
static bool rows_out_of_order(const struct sample *s)
{
	uint32_t number = root_page(s, "xattr");
	uint8_t page[LK_PAGE_SIZE], cell[2];
	int fd = open_db(s);
	off_t at = (off_t)(number - 1) * LK_PAGE_SIZE;
	assert_int_equal(pread(fd, page, sizeof(page), at), sizeof(page));
	assert_true((page[0] == 13 || page[0] == 10) && page[4] >= 2); /* a leaf of two cells and more */
	memcpy(cell, page + 8, 2);
	memcpy(page + 8, page + 10, 2);
	memcpy(page + 10, cell, 2);
	lk_put_u64(page + LK_PAGE_SUMMED, lk_page_sum(page, number));
	assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
	(void)close(fd);
	return true;
}

/* ---- rows that need a hash or checksums ---------------------------------------------------------------------------------- */

/* A row for the first blocks of another file, with their checksums; or, disk not 0, for blocks that nothing is known of. */
static bool put_extent(const struct sample *s, int64_t ino, int64_t at, int64_t from, int64_t disk, int64_t count)
{
	struct lk_db *db = sample_edit(s);
	struct lk_buf bytes = {0};
	uint8_t sums[LK_EXTENT_BLOCKS_MAX * 8] = {1};
	struct lk_extent e = {.ino = from};
	if (!disk) {
		assert_int_equal(lk_db_get(db, &lk_tables[LK_T_EXTENT], &e, &e, &bytes), 0);
		assert_true(bytes.len <= sizeof(sums));
		memcpy(sums, bytes.p, bytes.len);
		disk = e.disk_block;
	}
	e = (struct lk_extent){.ino = ino,
			       .file_block = at,
			       .disk_block = disk,
			       .count = count,
			       .sums = {sums, (size_t)count * 8},
			       .born = 1};
	assert_int_equal(lk_db_put(db, &lk_tables[LK_T_EXTENT], &e), 0);
	lk_buf_done(&bytes);
	sample_save(db);
	return true;
}

static bool overlap(const struct sample *s)
{
	return put_extent(s, 6, 5, 7, 0, 2);
}

static bool outside(const struct sample *s)
{
	return put_extent(s, 6, 0, 0, LK_PIECE_BLOCKS * INT64_C(900), 10);
}

static bool past(const struct sample *s)
{
	return put_extent(s, 6, 10, 7, 0, 1);
}

/* /sub in /sub/deep. */
static bool second_name(const struct sample *s)
{
	struct lk_db *db = sample_edit(s);
	struct lk_super super = {.id = 1};
	struct lk_buf bytes = {0};
	assert_int_equal(lk_db_get(db, &lk_tables[LK_T_SUPER], &super, &super, &bytes), 0);
	struct lk_dirent d = {.dir = 3,
			      .hash = lk_name_hash(super.name_secret.p, "again", 5),
			      .ino = 2,
			      .type = 4,
			      .name = {"again", 5},
			      .born = 1};
	assert_int_equal(lk_db_put(db, &lk_tables[LK_T_DIRENT], &d), 0);
	lk_buf_done(&bytes);
	sample_save(db);
	return true;
}

static void group_bit(const struct sample *s, int64_t block)
{
	struct lk_db *db = sample_edit(s);
	struct lk_group g = {.number = 0};
	struct lk_buf bytes = {0};
	if (lk_db_get(db, &lk_tables[LK_T_GROUP], &g, &g, &bytes) == 0 && bytes.len == LK_GROUP_BLOCKS / 8) {
		bytes.p[block / 8] ^= (uint8_t)(1 << block % 8);
		g.used += bytes.p[block / 8] >> block % 8 & 1 ? 1 : -1;
		assert_int_equal(lk_db_put(db, &lk_tables[LK_T_GROUP], &g), 0);
	}
	sample_save(db);
	lk_buf_done(&bytes);
}

static bool leaked(const struct sample *s)
{
	group_bit(s, 20000);
	return true;
}

static bool unmarked(const struct sample *s)
{
	group_bit(s, sample_disk(s, 7));
	return true;
}

/* ---- data ----------------------------------------------------------------------------------------------------------------- */

static bool flipped(const struct sample *s)
{
	sample_flip(s, sample_disk(s, 7));
	return true;
}

static bool flipped_chunk(const struct sample *s)
{
	sample_flip(s, sample_disk(s, 21));
	return true;
}

/* A chunk that is no frame, with a checksum that says it is as it was written. */
static bool garbage(const struct sample *s)
{
	struct lk_db *db = sample_edit(s);
	uint8_t stored[LK_CHUNK_BYTES], sum[8];
	char file[4200];
	(void)snprintf(file, sizeof(file), "%s/data.000000", s->path);
	int fd = open(file, O_RDWR);
	assert_true(fd >= 0);
	for (int64_t at = 0; at <= 6; at += 6) {
		struct lk_extent e = {.ino = 21, .file_block = at};
		struct lk_buf bytes = {0};
		assert_int_equal(lk_db_get(db, &lk_tables[LK_T_EXTENT], &e, &e, &bytes), 0);
		assert_int_equal(e.codec, LK_CODEC_ZSTD);
		size_t len = (size_t)lk_blocks_named(e.codec, e.count, e.length) * LK_BLOCK_SIZE;
		off_t where = (off_t)e.disk_block * LK_BLOCK_SIZE;
		assert_int_equal(pread(fd, stored, len, where), len);
		stored[0] = 0;
		assert_int_equal(pwrite(fd, stored, len, where), len);
		lk_put_u64(sum, lk_block_sum(stored, len));
		e.sums.p = sum;
		assert_int_equal(lk_db_put(db, &lk_tables[LK_T_EXTENT], &e), 0);
		lk_buf_done(&bytes);
	}
	(void)close(fd);
	sample_save(db);
	return true;
}

/* A place of a file of the host that cannot be read (pread is wrapped when the program is linked). */
static struct {
	dev_t dev;
	ino_t ino;
	off_t at;
} unreadable;

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t at)
{
	struct stat st;
	if (unreadable.ino && fstat(fd, &st) == 0 && st.st_ino == unreadable.ino && st.st_dev == unreadable.dev &&
	    at <= unreadable.at && unreadable.at < at + (off_t)len) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, buf, len, at);
}

static bool bad_sector(const struct sample *s)
{
	char file[4200];
	struct stat st;
	(void)snprintf(file, sizeof(file), "%s/data.000000", s->path);
	assert_int_equal(stat(file, &st), 0);
	unreadable.dev = st.st_dev;
	unreadable.ino = st.st_ino;
	unreadable.at = sample_disk(s, 7) * LK_BLOCK_SIZE + 512;
	return true;
}

void damage_end(void)
{
	unreadable.ino = 0;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

/* An inode that nothing names gets a name there. */
#define LOST_FOUND "/~list /~nlink =~inodes /lost+found*"

/* clang-format off */
const struct damage damages[] = {
	/* the database */
	{"unopenable", "*", .make = first_page, .kind = DAMAGE_STAYS | DAMAGE_CLOSED},
	{"unopenable", "*", .sql = "CREATE TRIGGER t AFTER INSERT ON orphan BEGIN DELETE FROM inode; END",
	 .kind = DAMAGE_STAYS | DAMAGE_CLOSED},
	{"database-damaged", "*", .also = "table-unreadable", .make = page_of_attributes, .kind = DAMAGE_STAYS},
	{"table-unreadable", "the table xattr cannot be read to its end", .also = "database-damaged", .make = rows_out_of_order,
	 .kind = DAMAGE_STAYS | DAMAGE_FORGED},
	{"index-differs", "* entries of an index differ from their table; the first: *", .beside = "deleted_by_ino",
	 .sql = "INSERT OR REPLACE INTO deleted VALUES(1,2,1,x'61',0,0)"},
	{"index-differs", "* entries of an index differ from their table; the first: *", .beside = "xattr_old_by_key",
	 .sql = "INSERT OR REPLACE INTO xattr_old VALUES(1,12,CAST('user.x' AS BLOB),x'31',1)", .changes = "@xattr_old~*"},
	/* super, counters, snapshots */
	{"super-missing", "the super record is missing", .sql = "DELETE FROM super", .kind = DAMAGE_STAYS | DAMAGE_CLOSED},
	{"super-secret", "the secret in the super record has 1 bytes, not 192", .sql = "UPDATE super SET name_secret=x'00'",
	 .kind = DAMAGE_STAYS | DAMAGE_CLOSED},
	{"super-field", "the super record's limit is out of range", .sql = "UPDATE super SET limit_blocks=-1"},
	{"super-field", "the super record's block size is out of range", .sql = "UPDATE super SET block_size=512"},
	{"super-field", "the super record's uuid is out of range", .sql = "UPDATE super SET uuid=x'00'"},
	{"super-field", "the super record's properties is out of range", .sql = "UPDATE super SET properties=CAST(properties||x'00' AS BLOB)"},
	{"super-feature", "there is compressed content, and the super record does not say so", .sql = "UPDATE super SET features_incompat=0"},
	{"counter-missing", "the counter next inode number is missing", .sql = "DELETE FROM counter WHERE id=1"},
	{"counter-missing", "the counter epoch is missing", .sql = "DELETE FROM counter WHERE id=2"},
	{"counter-missing", "the counter inodes is missing", .sql = "DELETE FROM counter WHERE id=3"},
	{"counter-missing", "the counter kept deleted files is missing", .sql = "DELETE FROM counter WHERE id=4"},
	{"counter-missing", "the counter blocks of kept deleted files is missing", .sql = "DELETE FROM counter WHERE id=6"},
	{"counter-field", "the counter inodes is -5, out of range", .also = "counter-missing",
	 .sql = "UPDATE counter SET value=-5 WHERE id=3"},
	{"counter-field", "the counter epoch is 0, out of range", .also = "counter-missing",
	 .sql = "UPDATE counter SET value=0 WHERE id=2"},
	{"counter-field", "the counter unknown is 1, out of range", .sql = "INSERT OR REPLACE INTO counter VALUES(77,1)"},
	{"counter-epoch", "the current epoch is 1, and a snapshot has 2", .sql = "UPDATE counter SET value=1 WHERE id=2"},
	{"counter-next-ino", "the next inode number is 5, and 21 is used", .sql = "UPDATE counter SET value=5 WHERE id=1"},
	{"counter-inodes", "22 inodes are counted, and there are 20", .sql = "UPDATE counter SET value=value+2 WHERE id=3"},
	{"counter-kept", "7 kept deleted files are counted, and there are 1", .sql = "UPDATE counter SET value=7 WHERE id=4"},
	{"counter-kept", "9 blocks of kept deleted files are counted, and there are 0",
	 .sql = "UPDATE counter SET value=9 WHERE id=6"},
	{"snapshot-field", "snapshot 1: its mark of deletion is out of range", .sql = "UPDATE snapshot SET deleting=7 WHERE epoch=1"},
	{"snapshot-field", "snapshot 1: its next inode number is out of range", .sql = "UPDATE snapshot SET next_ino=0 WHERE epoch=1"},
	{"snapshot-field", "snapshot -4: its epoch is out of range", .sql = "INSERT OR REPLACE INTO snapshot SELECT -4,name,time_ns,note,tags,next_ino,0 FROM snapshot WHERE epoch=1"},
	{"snapshot-name", "snapshot 1: its name is used already or is no name", .sql = "UPDATE snapshot SET name=x'2f' WHERE epoch=1"},
	{"snapshot-tags", "snapshot 1: its tags are not what tags look like", .sql = "UPDATE snapshot SET tags=CAST('one,two,one' AS BLOB) WHERE epoch=1"},
	{"snapshot-tags", "snapshot 2: its tags are not what tags look like", .sql = "UPDATE snapshot SET tags=x'610a' WHERE epoch=2"},
	{"snapshot-name", "snapshot 2: its name is used already or is no name",
	 .sql = "UPDATE snapshot SET name=(SELECT name FROM snapshot WHERE epoch=1)"},
	/* records of inodes */
	{"inode-number", "an inode has the number -7, which is out of range",
	 .sql = "INSERT OR REPLACE INTO inode SELECT -7,mode,uid,gid,nlink,0,0,0,0,0,0,0,0,0,born FROM inode WHERE ino=1"},
	{"inode-type", "inode 6*", "/sub/big", "dirent-type extent-extra inode-blocks shared-count block-leaked",
	 .sql = "UPDATE inode SET mode=420 WHERE ino=6"},
	{"inode-type", "inode 2*", "/sub", "dirent-type dirent-not-directory inode-no-name inode-nlink",
	 .sql = "UPDATE inode SET mode=493 WHERE ino=2"},
	{"inode-type", "inode 13*", "/sub/link", "dirent-type target-extra", .sql = "UPDATE inode SET mode=511 WHERE ino=13"},
	{"inode-field", "inode 2: its owner or group *", "/sub", .sql = "UPDATE inode SET uid=1<<40 WHERE ino=2"},
	{"inode-field", "inode 14: its size *", "/fifo", .sql = "UPDATE inode SET size=5 WHERE ino=14"},
	{"inode-field", "inode 4: its epoch *", "/small", .sql = "UPDATE inode SET born=1000000 WHERE ino=4"},
	{"inode-field", "inode 5: its device number *", "/empty", .sql = "UPDATE inode SET rdev=77 WHERE ino=5"},
	{"inode-flags", "inode 1: its flags are 32, and what it has makes them 0", "/", .sql = "UPDATE inode SET flags=32 WHERE ino=1"},
	{"inode-flags", "inode 6: its flags are 1, and what it has makes them 0", "/sub/big", .sql = "UPDATE inode SET flags=1 WHERE ino=6"},
	{"inode-flags", "inode 4: its flags are 0, and what it has makes them 1", "/small", .sql = "UPDATE inode SET flags=0 WHERE ino=4"},
	{"inode-flags", "inode 10: its flags are 1, and what it has makes them 9", "/attributes", .sql = "UPDATE inode SET flags=1 WHERE ino=10"},
	{"inode-size", "inode 13: its size is 3, and what it has makes it 8", "/sub/link", .sql = "UPDATE inode SET size=3 WHERE ino=13"},
	{"inode-blocks", "inode 6: 11 blocks are counted, and its extents name 10", "/sub/big",
	 .sql = "UPDATE inode SET blocks=blocks+1 WHERE ino=6"},
	{"inode-xattr-count", "inode 10: 9 extended attributes are counted, and it has 3", "/attributes",
	 .sql = "UPDATE inode SET xattr_count=9 WHERE ino=10"},
	{"inode-missing", "inode 6 has content but no record", "/sub/big", "dirent-no-inode counter-inodes",
	 "/sub/big~m* /sub/deep/hard~m*", "/sub/big~mode=100600 /sub/deep/hard~nlink=2", .sql = "DELETE FROM inode WHERE ino=6"},
	{"inode-missing", "inode 11 has content but no record", "/changed", "dirent-no-inode counter-inodes",
	 "/changed~mtime", .sql = "DELETE FROM inode WHERE ino=11"},
	{"inode-missing", "inode 13 has a symlink's text but no record", "/sub/link", "dirent-no-inode counter-inodes",
	 "/sub/link~mtime", .sql = "DELETE FROM inode WHERE ino=13"},
	{"root-missing", "the root directory has no record", "/", "dirent-no-directory inode-no-name counter-inodes inode-nlink", "/~mtime",
	 .sql = "DELETE FROM inode WHERE ino=1"},
	/* content */
	{"inline-missing", "inode 4: its content of 100 bytes is missing", "/small", .changes = "/small~data:0 /small~blocks",
	 .loses = "4~data:0", .sql = "DELETE FROM inline WHERE ino=4"},
	{"inline-extra", "inode 1: a row of inline content with 1 bytes belongs to nothing", "/", .sql = "INSERT OR REPLACE INTO inline VALUES(1,x'61',1)"},
	{"inline-size", "inode 4: its size is 100, and its content has 3 bytes", "/small", NULL, "/small~size /small~data:0", "/small~size=3",
	 .loses = "4~data:0", .sql = "UPDATE inline SET content=x'616263' WHERE ino=4"},
	{"inline-packed", "inode 20: its size is 3001, and its compressed content unpacks to 3000 bytes", "/row",
	 .sql = "UPDATE inode SET size=3001 WHERE ino=20"},
	{"inline-packed", "inode 20: its size is 3000, and its compressed content unpacks to 0 bytes", "/row",
	 .changes = "/row~data:0 /row~blocks", .loses = "20~data:0", .sql = "UPDATE inline SET content=substr(content,1,40) WHERE ino=20"},
	{"inline-packed", "inode 20: its size is 3000, and its compressed content unpacks to 0 bytes", "/row", "inline-stored",
	 .changes = "/row~data:0 /row~blocks", .loses = "20~data:0", .sql = "UPDATE inline SET content=zeroblob(9000) WHERE ino=20"},
	{"inline-stored", "inode 20: its compressed content is said to take 9 bytes, and takes *", "/row",
	 .sql = "UPDATE inode SET rdev=9 WHERE ino=20"},
	{"inode-field", "inode 20: its count of compressed bytes is out of range", "/row", "inline-stored",
	 .sql = "UPDATE inode SET rdev=8193 WHERE ino=20"},
	{"inode-flags", "inode 20: its flags are 1, and what it has makes them 1025", "/row", .sql = "UPDATE inode SET flags=1,rdev=0 WHERE ino=20"},
	{"inode-missing", "inode 20 has content but no record", "/row", "dirent-no-inode counter-inodes", "/row~m*", "/row~mode=100600 /row~size=3000",
	 .sql = "DELETE FROM inode WHERE ino=20"},
	{"extent-field", "inode 21: the extent row at block 6: its offset into compressed data is out of range", "/chunks",
	 "extent-gap inode-blocks shared-count block-leaked history-content", "/chunks~data:* /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:*",
	 .sql = "UPDATE extent SET offset=7 WHERE ino=21 AND file_block=6"},
	{"extent-field", "inode 21: the extent row at block 6: its length of compressed data is out of range", "/chunks",
	 "extent-gap inode-blocks shared-count block-leaked history-content", "/chunks~data:* /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:*",
	 .sql = "UPDATE extent SET length=31*4096+1 WHERE ino=21 AND file_block=6"},
	{"extent-field", "inode 21: the extent row at block 6: it does not have one checksum", "/chunks",
	 "extent-gap inode-blocks shared-count block-leaked history-content", "/chunks~data:* /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:*",
	 .sql = "UPDATE extent SET sums=zeroblob(16) WHERE ino=21 AND file_block=6"},
	{"extent-outside", "inode 21: the extent row at block 6 names disk block 235929600, which lies behind the data pieces", "/chunks",
	 "inode-blocks shared-count block-leaked history-content", "/chunks~data:* /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:*",
	 .sql = "UPDATE extent SET disk_block=235929600 WHERE ino=21 AND file_block=6"},
	{"extent-overlap", "inode 21: 1 blocks from block 5 on are mapped by two rows", "/chunks", "inode-blocks shared-count block-leaked history-content",
	 "/chunks~data:5 /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:5", .sql = "UPDATE extent SET count=8 WHERE ino=21 AND file_block=0"},
	{"extent-gap", "inode 21: 26 blocks from block 6 on are mapped by no row", "/chunks", "inode-blocks shared-count block-leaked history-content",
	 "/chunks~data:* /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:*", .sql = "DELETE FROM extent WHERE ino=21 AND file_block=6"},
	{"extent-past-size", "inode 21: the row at block 6 holds content past its size", "/chunks", "inode-blocks shared-count block-leaked history-content",
	 "/chunks~* =~blocks @extent_old~?|21*", .loses = "21~*", .sql = "UPDATE inode SET size=20480+1 WHERE ino=21"},
	{"inode-blocks", "inode 21: * blocks are counted, and its extents name *", "/chunks", .sql = "UPDATE inode SET blocks=blocks+1 WHERE ino=21"},
	{"extent-field", "inode 8: the extent row at block 0: its codec is unknown", "/copy", "extent-short inode-blocks shared-count",
	 "/copy~data:* /copy~blocks", "/copy~blocks=0", .loses = "8~data:*", .sql = "UPDATE extent SET codec=9 WHERE ino=8"},
	{"extent-field", "inode 7: the extent row at block 0: it does not have a checksum for each block", "/sparse",
	 "extent-gap inode-blocks block-leaked", "/sparse~data:0 /sparse~data:1 /sparse~blocks =~blocks",
	 .loses = "7~data:0 7~data:1", .sql = "UPDATE extent SET sums=x'00' WHERE ino=7 AND file_block=0"},
	{"extent-outside", "inode 6: the extent row at block 0 names disk block 235929600, which lies behind the data pieces", "/sub/big",
	 "shared-count inode-blocks block-leaked", "/sub/big~data:* /sub/deep/hard~data:* /sub/big~blocks /sub/deep/hard~blocks =~blocks",
	 .loses = "6~data:*", .make = outside},
	{"extent-overlap", "inode 6: 2 blocks from block 5 on are mapped by two rows", "/sub/big", "shared-count inode-blocks", .make = overlap},
	{"extent-gap", "inode 7: 18 blocks from block 2 on are mapped by no row", "/sparse", .sql = "DELETE FROM extent WHERE ino=7 AND codec=1"},
	{"extent-short", "inode 7: its rows end at block 20, 1 blocks before its size", "/sparse", "inode-blocks block-leaked",
	 "/sparse~data:20 /sparse~blocks =~blocks", .loses = "7~data:20", .sql = "DELETE FROM extent WHERE ino=7 AND file_block=20"},
	{"extent-past-size", "inode 6: the row at block 10 holds content past its size", "/sub/big", "shared-count inode-blocks", .make = past},
	{"extent-extra", "inode 1: the row at block 0 belongs to a file that has none", "/",
	 .sql = "INSERT OR REPLACE INTO extent VALUES(1,0,0,4,1,0,0,x'',1)"},
	/* symlinks, attributes */
	{"target-missing", "symlink 13 has no text", "/sub/link", "dirent-no-inode counter-inodes", "/sub/link~* /sub~list =~inodes",
	 .loses = "13~*", .sql = "DELETE FROM target WHERE ino=13"},
	{"target-field", "symlink 13: its text of 1 bytes is no text", "/sub/link", "dirent-no-inode counter-inodes target-extra",
	 "/sub/link~* /sub~list =~inodes", .loses = "13~*", .sql = "UPDATE target SET text=x'00' WHERE ino=13"},
	{"target-extra", "inode 1 has a symlink's text and is none", "/", "component-missing", .sql = "INSERT OR REPLACE INTO target VALUES(1,x'61',0,0,0,0,1)"},
	{"component-missing", "symlink 13: component 2 of its text is not in the index", "/sub/link", .sql = "DELETE FROM component WHERE position=1"},
	{"component-field", "a component of symlink -3 is out of range", .sql = "INSERT OR REPLACE INTO component VALUES(99,-3,0,0)"},
	{"component-field", "a component of symlink 13 is out of range", "/sub/link", .sql = "UPDATE component SET is_last=0 WHERE ino=13"},
	/* tracked links: 19 tracks 17 */
	{"component-missing", "symlink 19: component 1 of its text is not in the index", "/open/track", .sql = "DELETE FROM component WHERE hash<0"},
	{"component-field", "a component of symlink 19 is out of range", "/open/track", .sql = "INSERT OR REPLACE INTO component VALUES(-5,19,1,1)"},
	{"component-field", "a component of symlink 19 is out of range", "/open/track", .sql = "INSERT OR REPLACE INTO component VALUES(-5,19,0,0)"},
	{"component-field", "a component of symlink 19 is out of range", "/open/track", .sql = "INSERT OR REPLACE INTO component VALUES(-281474976710656,19,0,1)"},
	{"component-field", "a component of symlink 13 is out of range", "/sub/link", .sql = "INSERT OR REPLACE INTO component VALUES(99,13,4095,0)"},
	{"component-field", "a component of symlink 13 is out of range", "/sub/link", .sql = "INSERT OR REPLACE INTO component VALUES(99,13,-1,0)"},
	{"component-field", "a component of symlink 13 is out of range", "/sub/link", .sql = "INSERT OR REPLACE INTO component VALUES(99,13,7,2)"},
	{"component-field", "a component of symlink 13 is out of range", "/sub/link", .sql = "INSERT OR REPLACE INTO component VALUES(99,13,7,-1)"},
	{"component-field", "a component of symlink 281474976710656 is out of range", .sql = "INSERT OR REPLACE INTO component VALUES(99,281474976710656,0,0)"},
	{"target-tracks", "symlink 19: its row tracks inode 0, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET tracks=0,by_dir=0,by_hash=0,by_ord=0 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 19, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET tracks=19 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET by_ord=256 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET by_ord=-1 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET by_dir=-1 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET by_dir=281474976710656 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET by_hash=15 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 4", "/open/track",
	 .sql = "UPDATE target SET by_hash=36028797018963967 WHERE ino=19"},
	{"target-tracks", "symlink 19: its row tracks inode 17, its record has flags 0", "/open/track",
	 .sql = "UPDATE inode SET flags=0 WHERE ino=19"},
	{"target-tracks", "symlink 13: its row tracks inode 0, its record has flags 4", "/sub/link",
	 .sql = "UPDATE inode SET flags=4 WHERE ino=13"},
	{"tracks-none", "symlink 19 cannot track inode 13", "/open/track", "component-missing",
	 .sql = "UPDATE target SET tracks=13 WHERE ino=19"},
	{"tracks-mark", "inode 17 is tracked by symlink 19 and not marked", "/open/owned",
	 .sql = "UPDATE inode SET flags=flags-512 WHERE ino=17"},
	{"tracks-entry", "symlink 19 names inode 17 by an entry that does not name it", "/open/track",
	 .sql = "UPDATE target SET by_dir=1 WHERE ino=19"},
	{"tracks-entry", "symlink 19 names inode 17 by an entry that does not name it", "/open/track",
	 .sql = "UPDATE target SET by_dir=0,by_hash=0,by_ord=0 WHERE ino=19"},
	{"xattr-field", "inode 10: the extended attribute \"system.posix_acl_access\": its value is no ACL", "/attributes",
	 "inode-xattr-count inode-flags", "/attributes~xattr:system* /attributes~xattrs",
	 .loses = "10~xattr:system*", .sql = "UPDATE xattr SET value=x'0102' WHERE name=CAST('system.posix_acl_access' AS BLOB)"},
	{"xattr-extra", "inode 9999 does not exist and has the extended attribute \"user.x\"",
	 .sql = "INSERT OR REPLACE INTO xattr VALUES(9999,CAST('user.x' AS BLOB),x'31',1)"},
	/* history */
	{"history-last", "inode_old: a row of 12 lasts until 50, which is no snapshot", NULL, "history-content history-name", "@*_old~*",
	 .sql = "UPDATE inode_old SET last=50 WHERE ino=12"},
	{"history-born", "inode_old: a row of 12 is born at 2 and lasts until 1", NULL, "history-name history-content", "@*_old~1|12* @dirent_old~*",
	 .sql = "UPDATE inode_old SET born=last+1 WHERE ino=12"},
	{"history-overlap", "inode_old: a row of 11 is born at 1, and the one before lasts until 1", "/changed",
	 .sql = "UPDATE inode_old SET born=1 WHERE ino=11 AND last=2"},
	{"history-live", "inode: the live row of 11 is born at 1, and its history lasts until 2", "/changed", .sql = "UPDATE inode SET born=1 WHERE ino=11"},
	{"history-field", "dirent_old of 12 until 1: a row breaks a rule", .changes = "@dirent_old~*",
	 .sql = "UPDATE dirent_old SET name=x'2f' WHERE ino=12"},
	{"history-name", "the name \"gone\" in directory 1 at snapshot 1 names inode 12, which did not exist then", NULL, "history-content",
	 "@*_old~1|12* @dirent_old~*", .sql = "DELETE FROM inode_old WHERE ino=12"},
	{"history-content", "inode 11 at snapshot 1: its extents leave a gap, or end before its size", "/changed",
	 "shared-count block-leaked", "@extent_old~1|11* =~blocks", .sql = "DELETE FROM extent_old WHERE ino=11 AND last=1"},
	{"history-content", "inode 12 at snapshot 1: two of its extents map the same blocks", .sql = "INSERT INTO extent_old VALUES(1,12,1,0,5,1,0,0,x'',1)"},
	/* names */
	{"name-lost", "the name \"small\" of inode 4 is lost from directory 1", "/small", "index-differs inode-no-name", .beside = "dirent_by_ino",
	 .sql = "DELETE FROM dirent WHERE ino=4"},
	{"name-lost", "the name \"*\" of inode 2 is lost from directory 1", "/sub", "index-differs inode-no-name inode-nlink dirent-no-directory",
	 .beside = "dirent_by_ino", .sql = "DELETE FROM dirent WHERE dir=1 AND ino=2"},
	{"name-lost", "the name *", "*", "index-differs inode-no-name inode-nlink", .beside = "dirent_by_ino", .sql = "DELETE FROM dirent"},
	{"name-unindexed", "the name \"small\" of inode 4 in directory 1 is not in the index", NULL, "index-differs", .unindexed = "ino=4"},
	{"name-differs", "directory 2: the index has the name \"link\" of inode 13 where the directory has another one", "/sub/link",
	 "index-differs name-unindexed dirent-hash inode-no-name", .beside = "dirent_by_ino", .sql = "UPDATE dirent SET name=x'7a7a' WHERE ino=13"},
	{"dirent-field", "directory 2: the entry \"link\": its place is out of range", "/sub/link", "inode-no-name",
	 "/sub/link~* /sub~list " LOST_FOUND, "/lost+found/#13~text=../small", .sql = "UPDATE dirent SET ord=300 WHERE ino=13"},
	{"dirent-name", "directory 2: the entry of inode 13 has the name \"a/b\", which is none", NULL, "inode-no-name inode-nlink",
	 "/sub/link~* /sub/a_b#13~*", "/sub/a_b#13~text=../small /sub/a_b#13~ino=13", .sql = "UPDATE dirent SET name=x'612f62' WHERE ino=13"},
	{"dirent-hash", "directory 2: the name \"link\" stands under a wrong hash", "/sub/link", "inode-no-name", .sql = "UPDATE dirent SET hash=hash+1 WHERE ino=13"},
	{"dirent-duplicate", "directory 2 has the name \"link\" twice", "/sub/link",
	 .sql = "INSERT OR REPLACE INTO dirent SELECT dir,hash,ord+7,ino,type,name,born FROM dirent WHERE ino=13"},
	{"dirent-duplicate", "directory 2 has the name \"link\" twice", "*", NULL, "/sub/link#4~* /sub~list /small~nlink",
	 "/sub/link#4~ino=4 /small~nlink=2", .sql = "INSERT OR REPLACE INTO dirent SELECT dir,hash,ord+7,4,8,name,born FROM dirent WHERE ino=13"},
	{"dirent-no-inode", "directory 2: the name \"link\" names inode 12345, which does not exist", "/sub/link", "inode-no-name",
	 "/sub/link~* /sub~list " LOST_FOUND, "/lost+found/#13~text=../small", .sql = "UPDATE dirent SET ino=12345 WHERE ino=13"},
	{"dirent-type", "directory 2: the name \"link\" has the type 4, and inode 13 has 10", "/sub/link", .sql = "UPDATE dirent SET type=4 WHERE ino=13"},
	{"dirent-no-directory", "names stand in directory 54321, which has no record; one is \"link\"", NULL,
	 "inode-no-name inode-nlink counter-next-ino counter-inodes", "/sub/link~* /sub~list " LOST_FOUND,
	 "/lost+found/#54321/link~text=../small", .sql = "UPDATE dirent SET dir=54321 WHERE ino=13"},
	{"dirent-no-directory", "names stand in directory 3, which has no record; one is \"hard\"", "/sub/deep",
	 "dirent-no-inode inode-nlink counter-inodes", "/sub/deep~m*", "/sub/deep~mode=40700 /sub/deep~list=1", .sql = "DELETE FROM inode WHERE ino=3"},
	{"dirent-not-directory", "the name \"link\" stands in inode 4, which is no directory", "*", "inode-no-name",
	 "/sub/link~* /sub~list " LOST_FOUND, "/lost+found/#13~text=../small", .sql = "UPDATE dirent SET dir=4 WHERE ino=13"},
	{"dirent-root", "directory 2: the name \"link\" names the root directory", "/", "inode-no-name", "/sub/link~* /sub~list " LOST_FOUND,
	 "/lost+found/#13~text=../small", .sql = "UPDATE dirent SET ino=1,type=4 WHERE ino=13"},
	{"directory-loop", "directory 2 has a name in directory 3, which lies in it", "/sub", "counter-links inode-nlink", .make = second_name},
	{"inode-no-name", "inode 4 has no name", NULL, NULL, "/small~* " LOST_FOUND, "/lost+found/#4~ino=4 /lost+found/#4~size=100",
	 .sql = "DELETE FROM dirent WHERE ino=4"},
	{"inode-no-name", "inode 2 has no name", NULL, "inode-nlink", "/sub* " LOST_FOUND, "/lost+found/#2/deep/hard~ino=6 /lost+found/#2/link~text=../small",
	 .sql = "DELETE FROM dirent WHERE ino=2"},
	{"directory-cycle", "directory * lies in itself", NULL, "inode-nlink", "/sub* " LOST_FOUND, NULL, .sql = "UPDATE dirent SET dir=3 WHERE ino=2"},
	{"inode-nlink", "inode 6: its link count is 5, and it has 2", "/sub/big", .sql = "UPDATE inode SET nlink=nlink+3 WHERE ino=6"},
	{"inode-nlink", "inode 2: its link count is 9, and it has 3", "/sub", .sql = "UPDATE inode SET nlink=9 WHERE ino=2"},
	/* why an inode has no name */
	{"orphan-no-inode", "the orphan 7777 does not exist", .sql = "INSERT OR REPLACE INTO orphan VALUES(7777)"},
	{"orphan-named", "inode 4 is marked as an orphan and has 1 names", "/small", .sql = "INSERT OR REPLACE INTO orphan VALUES(4)"},
	{"orphan-missing", "inode 900 has no name and no mark as an orphan", NULL, "counter-next-ino counter-inodes",
	 .sql = "INSERT OR REPLACE INTO inode SELECT 900,mode,uid,gid,0,0,0,0,0,0,0,0,1,0,3 FROM inode WHERE ino=5"},
	{"intent-field", "the intent 5: its kind is unknown", "/sub/deep", .sql = "INSERT OR REPLACE INTO intent VALUES(5,9,3,0,0)"},
	{"intent-stale", "the intent * for inode 4444 has nothing to do", .sql = "INSERT OR REPLACE INTO intent VALUES((1<<48)+4444,1,4444,0,0)"},
	{"intent-missing", "inode 6 is being truncated, and no intent says so", "/sub/big", .changes = "@inode_old~?|6", .sql = "UPDATE inode SET flags=flags|128 WHERE ino=6"},
	{"kept-no-row", "inode 18 is marked as a kept deleted file, and nothing says where it was", NULL, "counter-kept inode-no-name",
	 "=~kept =~kept-blocks " LOST_FOUND, "=~kept=0 /lost+found/#18~size=7", .sql = "DELETE FROM deleted"},
	{"kept-named", "inode 4 is marked as a kept deleted file and has 1 names", "/small", "counter-kept", .sql = "UPDATE inode SET flags=flags|256 WHERE ino=4"},
	{"deleted-field", "the row of a deleted name, \"/\" of inode 2, breaks a rule", "/sub", .sql = "INSERT OR REPLACE INTO deleted VALUES(1,2,1,x'2f',0,0)"},
	{"inode-tmpfile", "inode 4 is marked as never named and has names", "/small", .sql = "UPDATE inode SET flags=flags|64 WHERE ino=4"},
	{"bind-field", "a bind in directory -1 breaks a rule", "*", "counter-links", .sql = "INSERT OR REPLACE INTO bind VALUES(-1,99,0,2,1)"},
	{"bind-no-entry", "a bind in directory 1 stands at no name", "*", "counter-links", .sql = "INSERT OR REPLACE INTO bind VALUES(1,99,0,2,1)"},
	{"bind-no-source", "a bind in directory 2 shows inode 7777, which does not exist", NULL, "counter-links",
	 .sql = "INSERT OR REPLACE INTO bind SELECT dir,hash,ord,7777,1 FROM dirent WHERE ino=3"},
	{"moved-field", "a row in moved breaks a rule: its inode or directory is out of range", .sql = "INSERT OR REPLACE INTO moved VALUES(5,-1,1,99,x'61',0)"},
	{"moved-field", "a row in moved breaks a rule: its inode or directory is out of range", .sql = "INSERT OR REPLACE INTO moved VALUES(5,281474976710656,1,99,x'61',0)"},
	{"moved-field", "a row in moved breaks a rule: its inode or directory is out of range", .sql = "INSERT OR REPLACE INTO moved VALUES(5,3,0,99,x'61',0)"},
	{"moved-field", "a row in moved breaks a rule: its inode or directory is out of range", .sql = "INSERT OR REPLACE INTO moved VALUES(5,3,281474976710656,99,x'61',0)"},
	{"moved-field", "a row in moved breaks a rule: its name is none", .sql = "INSERT OR REPLACE INTO moved VALUES(5,3,1,99,x'2f',0)"},
	{"moved-field", "a row in moved breaks a rule: its hash is not its name's", .sql = "INSERT OR REPLACE INTO moved VALUES(5,3,1,99,x'61',0)"},
	{"source-field", "source 0: its number is out of range", .sql = "INSERT INTO source VALUES(0,1,x'6d',x'68',x'2f',0,0,0,0)"},
	{"source-field", "source 7: its directory is out of range", .sql = "INSERT INTO source VALUES(7,0,x'6d',x'68',x'2f',0,0,0,0)"},
	{"source-field", "source 7: its host is no name", .sql = "INSERT INTO source VALUES(7,1,x'6d00',x'68',x'2f',0,0,0,0)"},
	{"source-field", "source 7: its path is none", .sql = "INSERT INTO source VALUES(7,1,x'6d',x'68',x'61',0,0,0,0)"},
	{"source-field", "source 7: what it counts is out of range", .sql = "INSERT INTO source VALUES(7,1,x'6d',x'68',x'2f',0,0,-1,0)"},
	{"copied-field", "what is remembered of the source of inode -1 breaks a rule: a number is out of range",
	 .sql = "INSERT INTO copied VALUES(-1,1,1,5,33188,1,0,0,0,0,0)"},
	{"copied-field", "what is remembered of the source of inode 3 breaks a rule: a number is out of range",
	 .sql = "INSERT OR REPLACE INTO copied VALUES(3,0,1,5,33188,1,0,0,0,0,0)"},
	{"copied-field", "what is remembered of the source of inode 3 breaks a rule: an attribute of the source is out of range",
	 .sql = "INSERT OR REPLACE INTO copied VALUES(3,1,1,5,1<<40,1,0,0,0,0,0)"},
	{"copied-field", "what is remembered of the source of inode 3 breaks a rule: it has unknown flags",
	 .sql = "INSERT OR REPLACE INTO copied VALUES(3,1,1,5,33188,1,0,0,0,0,2)"},
	{"bind-type", "a bind in directory 1 shows inode 2: one of it and what it covers is a directory, the other none", "/sub", "counter-links",
	 .sql = "INSERT OR REPLACE INTO bind SELECT dir,hash,ord,2,1 FROM dirent WHERE ino=4"},
	{"bind-type", "a bind in directory 2 shows inode 4: one of it and what it covers is a directory, the other none", "/small", "counter-links",
	 .sql = "INSERT OR REPLACE INTO bind SELECT dir,hash,ord,4,1 FROM dirent WHERE ino=3"},
	{"bind-loop", "a bind in directory 2 shows directory 2, which it lies in", "/sub", "counter-links",
	 .sql = "INSERT OR REPLACE INTO bind SELECT dir,hash,ord,2,1 FROM dirent WHERE ino=3"},
	{"counter-links", "3 second names of directories are counted, and there are 0", .sql = "UPDATE counter SET value=3 WHERE id=7"},
	{"counter-links", "2 binds are counted, and there are 0", .sql = "UPDATE counter SET value=2 WHERE id=8"},
	/* blocks */
	{"shared-field", "the shared range at block * breaks a rule", NULL, "shared-count", .sql = "UPDATE shared SET refs=1"},
	{"shared-count", "8 blocks from disk block * on are named by 2 rows, and 1 are counted", .sql = "DELETE FROM shared WHERE count=8"},
	{"shared-count", "8 blocks from disk block * on are named by 2 rows, and 3 are counted", .sql = "UPDATE shared SET refs=3 WHERE count=8"},
	{"group-field", "the block group 0: its bitmap does not have its length", .sql = "UPDATE grp SET bitmap=x'00'"},
	{"group-field", "the block group 4000: its number is out of range", .sql = "INSERT OR REPLACE INTO grp SELECT 4000,0,zeroblob(4096)"},
	{"group-missing", "the block group 0 has no record", .sql = "DELETE FROM grp"},
	{"group-used", "the block group 0: * blocks are counted, and * bits are set", .sql = "UPDATE grp SET used=used+1"},
	{"block-leaked", "1 blocks from disk block 20000 on are marked as used, and no row names them", .make = leaked},
	{"block-unmarked", "1 blocks from disk block * on are named and marked as free", .make = unmarked},
	/* data */
	{"data-checksum", "inode 7: block 0 (disk block *) does not have its checksum", "/sparse", NULL, "/sparse~data:0 /sparse~blocks =~blocks",
	 .loses = "7~data:0", .make = flipped, .kind = DAMAGE_DROP},
	{"data-checksum", "inode 21: block 0 (disk block *) does not have its checksum", "/chunks", NULL,
	 "/chunks~data:* /chunks~blocks =~blocks @extent_old~?|21*", .loses = "21~data:*", .make = flipped_chunk, .kind = DAMAGE_DROP},
	{"data-packed", "inode 21: the compressed content from block 0 on (disk block *) does not unpack", "/chunks", NULL,
	 "/chunks~data:* /chunks~blocks =~blocks", .loses = "21~data:*", .make = garbage, .kind = DAMAGE_DROP},
	{"data-packed", "inode 21: the compressed content from block 34 on (disk block *) does not unpack", "/chunks", NULL,
	 "/chunks~data:* /chunks~blocks =~blocks", .loses = "21~data:*",
	 .sql = "UPDATE extent SET offset=offset+1 WHERE ino=21 AND file_block=34", .kind = DAMAGE_DROP},
	{"data-unreadable", "inode 7: block 0 (disk block *) cannot be read", "/sparse", NULL, "/sparse~data:0 /sparse~blocks =~blocks",
	 .loses = "7~data:0", .make = bad_sector, .kind = DAMAGE_DROP | DAMAGE_ALONE},
};
/* clang-format on */
const size_t damage_count = LK_ARRAY_LEN(damages);

/* Whether SQLite did it: a row whose index entry another damage took away cannot be changed, nor one become another's twin. */
static bool try_sql(const struct sample *s, const char *sql)
{
	char file[4200];
	sqlite3 *db;
	(void)snprintf(file, sizeof(file), "%s/meta.db", s->path);
	assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
	assert_true(code == SQLITE_OK || (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_CONSTRAINT);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return code == SQLITE_OK;
}

/* The index leaves the schema, and comes in again with its tree. */
static bool try_beside(const struct sample *s, const char *index, const char *sql)
{
	char hide[600];
	(void)snprintf(
		hide, sizeof(hide),
		"PRAGMA writable_schema=ON; CREATE TABLE hidden AS SELECT rowid AS r, * FROM sqlite_schema WHERE "
		"name='%s'; DELETE FROM sqlite_schema WHERE name='%s'",
		index, index);
	sample_sql(s, hide);
	bool made = try_sql(s, sql);
	sample_sql(s, "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema(rowid,type,name,tbl_name,rootpage,sql) "
		      "SELECT r,type,name,tbl_name,rootpage,sql FROM hidden; DROP TABLE hidden");
	return made;
}

/* The entry is there, and the index has lost it. */
static bool index_loses(const struct sample *s, const char *where)
{
	char sql[300];
	(void)snprintf(sql, sizeof(sql), "CREATE TABLE keep AS SELECT * FROM dirent WHERE %s", where);
	sample_sql(s, sql);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM dirent WHERE %s", where);
	bool made = try_sql(s, sql) && try_beside(s, "dirent_by_ino", "INSERT INTO dirent SELECT * FROM keep");
	sample_sql(s, "DROP TABLE keep");
	return made;
}

bool damage_make(const struct sample *s, const struct damage *d)
{
	if (d->unindexed)
		return index_loses(s, d->unindexed);
	if (d->beside)
		return try_beside(s, d->beside, d->sql);
	if (d->sql)
		return try_sql(s, d->sql);
	return d->make(s);
}

const char *damage_how(const struct damage *d)
{
	static char text[300];
	(void)snprintf(text, sizeof(text), "%s (%.200s%s%s)", d->id, d->sql ? d->sql : "made by hand",
		       d->beside ? ", beside " : "", d->beside ? d->beside : "");
	return text;
}
