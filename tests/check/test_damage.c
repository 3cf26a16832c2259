/*
 * test_damage.c - damage made, named, mended, and clean in a second run (P4), for one problem of each kind. The damage is written
 * through the layer that keeps page checksums, so that only check can find it.
 */
#include "sample.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct lk_table *table(enum lk_table_id id)
{
	return &lk_tables[id];
}

struct damage {
	const char *id; /* the problem that must be named */
	const char *sql;
	const char *beside; /* an index that must not follow */
	void (*make)(const struct sample *s);
	uint32_t more; /* flags of the check */
};

static void flip_inode(const struct sample *s, int64_t ino, void (*change)(struct lk_inode *))
{
	struct lk_db *db = sample_edit(s);
	struct lk_inode i = {.ino = ino};
	assert_int_equal(lk_db_get(db, table(LK_T_INODE), &i, &i, NULL), 0);
	change(&i);
	assert_int_equal(lk_db_put(db, table(LK_T_INODE), &i), 0);
	sample_save(db);
}

static void more_links(struct lk_inode *i)
{
	i->nlink += 3;
}

static void wrong_links(const struct sample *s)
{
	flip_inode(s, s->big, more_links);
}

static void strange_mode(struct lk_inode *i)
{
	i->mode = 0644;
}

static void no_type(const struct sample *s)
{
	flip_inode(s, s->big, strange_mode);
}

static void large_uid(struct lk_inode *i)
{
	i->uid = INT64_C(1) << 40;
}

static void wrong_owner(const struct sample *s)
{
	flip_inode(s, s->sub, large_uid);
}

static void put_extent(const struct sample *s, int64_t ino, int64_t at, int64_t disk, int64_t count)
{
	struct lk_db *db = sample_edit(s);
	uint8_t sums[64 * 8] = {1};
	struct lk_extent e = {.ino = ino,
			      .file_block = at,
			      .disk_block = disk,
			      .count = count,
			      .sums = {sums, (size_t)count * 8},
			      .born = 1};
	assert_int_equal(lk_db_put(db, table(LK_T_EXTENT), &e), 0);
	sample_save(db);
}

static void overlap(const struct sample *s)
{
	put_extent(s, s->big, 5, sample_disk(s, s->changed), 3);
}

static void outside(const struct sample *s)
{
	put_extent(s, s->big, 0, LK_PIECE_BLOCKS * INT64_C(900), 10);
}

static void past(const struct sample *s)
{
	put_extent(s, s->big, 10, sample_disk(s, s->changed), 1);
}

static void group_bit(const struct sample *s, int64_t block)
{
	struct lk_db *db = sample_edit(s);
	struct lk_group g = {.number = 0};
	struct lk_buf bytes = {0};
	assert_int_equal(lk_db_get(db, table(LK_T_GROUP), &g, &g, &bytes), 0);
	bytes.p[block / 8] ^= (uint8_t)(1 << block % 8);
	g.used += bytes.p[block / 8] >> block % 8 & 1 ? 1 : -1;
	assert_int_equal(lk_db_put(db, table(LK_T_GROUP), &g), 0);
	sample_save(db);
	lk_buf_done(&bytes);
}

static void leaked(const struct sample *s)
{
	group_bit(s, 20000);
}

static void unmarked(const struct sample *s)
{
	group_bit(s, sample_disk(s, s->sparse));
}

static void cycle(const struct sample *s)
{
	struct lk_db *db = sample_edit(s);
	char sql[200];
	sample_save(db);
	/* /sub is named in /sub/deep, and nowhere else. */
	(void)snprintf(sql, sizeof(sql), "UPDATE dirent SET dir=%lld WHERE ino=%lld", (long long)s->deep,
		       (long long)s->sub);
	sample_sql(s, sql);
}

static void flipped(const struct sample *s)
{
	sample_flip(s, sample_disk(s, s->changed));
}

#define ROW(problem, text)                                                                                             \
	{                                                                                                              \
		.id = (problem), .sql = (text)                                                                         \
	}
#define BESIDE(problem, index, text)                                                                                   \
	{                                                                                                              \
		.id = (problem), .sql = (text), .beside = (index)                                                      \
	}
#define MADE(problem, fn)                                                                                              \
	{                                                                                                              \
		.id = (problem), .make = (fn)                                                                          \
	}

static const struct damage damages[] = {
	/* super, counters */
	ROW("counter-missing", "DELETE FROM counter WHERE id=1"),
	ROW("counter-missing", "DELETE FROM counter WHERE id=2"),
	ROW("counter-field", "UPDATE counter SET value=-5 WHERE id=3"),
	ROW("counter-field", "INSERT INTO counter VALUES(77,1)"),
	ROW("counter-epoch", "UPDATE counter SET value=1 WHERE id=2"),
	ROW("counter-next-ino", "UPDATE counter SET value=5 WHERE id=1"),
	ROW("counter-inodes", "UPDATE counter SET value=value+2 WHERE id=3"),
	ROW("super-field", "UPDATE super SET limit_blocks=-1"),
	ROW("super-field",
	    "UPDATE super SET properties=CAST('keep-deleted=never'||char(10)||'other=1'||char(10) AS BLOB)"),
	ROW("super-field", "UPDATE super SET properties=x'00'"),
	BESIDE("index-differs", "deleted_by_ino", "INSERT INTO deleted VALUES(1,2,1,x'61',0,0)"),
	BESIDE("index-differs", "extent_old_by_key", "DELETE FROM extent_old WHERE file_block>=0"),
	BESIDE("index-differs", "inode_old_by_key", "DELETE FROM inode_old"),
	BESIDE("index-differs", "dirent_old_by_key", "DELETE FROM dirent_old"),
	BESIDE("index-differs", "dirent_old_by_ino", "DELETE FROM dirent_old"),
	ROW("snapshot-field", "UPDATE snapshot SET deleting=7"),
	ROW("snapshot-name", "UPDATE snapshot SET name=x'2f'"),
	ROW("snapshot-tags", "UPDATE snapshot SET tags=x'2c'"),
	/* inodes */
	MADE("inode-nlink", wrong_links),
	MADE("inode-type", no_type),
	MADE("inode-field", wrong_owner),
	ROW("inode-field", "UPDATE inode SET born=1000000 WHERE ino=2"),
	ROW("inode-number",
	    "INSERT INTO inode SELECT -7,mode,uid,gid,nlink,0,0,0,0,0,0,0,0,0,born FROM inode WHERE ino=1"),
	ROW("inode-flags", "UPDATE inode SET flags=flags|32 WHERE ino=1"),
	ROW("inode-blocks", "UPDATE inode SET blocks=blocks+1 WHERE blocks>0"),
	ROW("inode-xattr-count", "UPDATE inode SET xattr_count=9 WHERE xattr_count>0"),
	ROW("inode-missing", "DELETE FROM inode WHERE ino IN (SELECT ino FROM extent)"),
	ROW("root-missing", "DELETE FROM inode WHERE ino=1"),
	/* content */
	ROW("inline-missing", "DELETE FROM inline"),
	ROW("inline-size", "UPDATE inline SET content=x'616263'"),
	ROW("inline-extra", "INSERT INTO inline VALUES(1,x'61',1)"),
	ROW("extent-field", "UPDATE extent SET codec=9 WHERE file_block=0 AND codec=0"),
	ROW("extent-gap", "DELETE FROM extent WHERE codec=1"),
	ROW("extent-short",
	    "DELETE FROM extent WHERE (ino,file_block) IN (SELECT ino,max(file_block) FROM extent GROUP BY ino)"),
	ROW("extent-extra", "INSERT INTO extent VALUES(1,0,0,4,1,0,0,x'',1)"),
	MADE("extent-overlap", overlap),
	MADE("extent-outside", outside),
	MADE("extent-past-size", past),
	/* symlinks, attributes */
	ROW("target-missing", "DELETE FROM target"),
	ROW("target-field", "UPDATE target SET text=x'00'"),
	ROW("target-extra", "INSERT INTO target VALUES(1,x'61',0,0,0,0,1)"),
	ROW("inode-size", "UPDATE inode SET size=3 WHERE mode/4096=10"),
	ROW("component-missing", "DELETE FROM component"),
	ROW("component-field", "INSERT INTO component VALUES(99,-3,0,0)"),
	ROW("xattr-field", "UPDATE xattr SET value=x'0102' WHERE name=CAST('system.posix_acl_access' AS BLOB)"),
	ROW("xattr-extra", "INSERT INTO xattr VALUES(9999,CAST('user.x' AS BLOB),x'31',1)"),
	/* names */
	BESIDE("name-lost", "dirent_by_ino", "DELETE FROM dirent WHERE type=8"),
	BESIDE("name-unindexed", "dirent_by_ino", "UPDATE dirent SET ino=ino+1000 WHERE type=10"),
	BESIDE("name-differs", "dirent_by_ino", "UPDATE dirent SET name=x'7a7a' WHERE type=10"),
	ROW("inode-no-name", "DELETE FROM dirent WHERE type=8"),
	ROW("inode-no-name", "DELETE FROM dirent WHERE type=4"),
	ROW("dirent-hash", "UPDATE dirent SET hash=hash+1 WHERE type=10"),
	ROW("dirent-name", "UPDATE dirent SET name=x'612f62' WHERE type=10"),
	ROW("dirent-field", "UPDATE dirent SET ord=300 WHERE type=10"),
	ROW("dirent-type", "UPDATE dirent SET type=4 WHERE type=10"),
	ROW("dirent-no-inode", "UPDATE dirent SET ino=12345 WHERE type=10"),
	ROW("dirent-no-directory", "UPDATE dirent SET dir=54321 WHERE type=10"),
	ROW("dirent-duplicate",
	    "INSERT INTO dirent SELECT dir,hash,ord+7,ino,type,name,born FROM dirent WHERE type=10"),
	ROW("dirent-root", "UPDATE dirent SET ino=1,type=4 WHERE type=10"),
	MADE("directory-cycle", cycle),
	/* why an inode has no name */
	ROW("orphan-no-inode", "INSERT INTO orphan VALUES(7777)"),
	ROW("orphan-named", "INSERT INTO orphan VALUES(2)"),
	ROW("orphan-missing",
	    "INSERT INTO inode SELECT 900,mode,uid,gid,0,0,0,0,0,0,0,0,1,0,born FROM inode WHERE mode/4096=8 LIMIT 1"),
	ROW("intent-field", "INSERT INTO intent VALUES(5,9,3,0,0)"),
	ROW("intent-stale", "INSERT INTO intent VALUES((1<<48)+4444,1,4444,0,0)"),
	ROW("intent-missing", "UPDATE inode SET flags=flags|128 WHERE ino IN (SELECT ino FROM extent WHERE codec=0)"),
	ROW("kept-no-row", "INSERT INTO inode SELECT 900,mode,uid,gid,0,0,0,0,0,0,0,0,257,0,born FROM inode WHERE "
			   "mode/4096=8 LIMIT 1"),
	ROW("kept-named", "UPDATE inode SET flags=flags|256 WHERE ino=2"),
	ROW("deleted-field", "INSERT INTO deleted VALUES(1,2,1,x'2f',0,0)"),
	ROW("inode-tmpfile", "UPDATE inode SET flags=flags|64 WHERE mode/4096=8"),
	ROW("bind-no-entry", "INSERT INTO bind VALUES(1,99,0,2,1)"),
	/* blocks */
	ROW("shared-count", "DELETE FROM shared"),
	ROW("shared-count", "UPDATE shared SET refs=refs+1"),
	ROW("shared-field", "UPDATE shared SET refs=1"),
	MADE("block-leaked", leaked),
	MADE("block-unmarked", unmarked),
	ROW("group-used", "UPDATE grp SET used=used+1"),
	ROW("group-field", "UPDATE grp SET bitmap=x'00'"),
	ROW("group-missing", "DELETE FROM grp"),
	/* history */
	ROW("history-last", "UPDATE inode_old SET last=last+5"),
	ROW("history-born", "UPDATE inode_old SET born=last+1"),
	ROW("history-live", "UPDATE inode SET born=1 WHERE ino IN (SELECT ino FROM inode_old)"),
	ROW("history-field", "UPDATE dirent_old SET name=x'2f'"),
	ROW("history-content", "DELETE FROM extent_old"),
	ROW("history-content", "UPDATE extent_old SET count=1, sums=substr(sums,1,8) WHERE count>1"),
	ROW("history-content", "UPDATE inode_old SET size=size+40960"),
	ROW("history-field", "UPDATE extent_old SET count=9223372036854775807"),
	ROW("history-field", "UPDATE inode_old SET size=9223372036854775807"),
	ROW("history-name", "DELETE FROM inode_old WHERE ino NOT IN (SELECT ino FROM inode)"),
};

static void make(const struct sample *s, const struct damage *d)
{
	if (d->beside)
		sample_sql_beside(s, d->beside, d->sql);
	else if (d->sql)
		sample_sql(s, d->sql);
	else
		d->make(s);
}

static void is_named_and_mended(void **state)
{
	static struct found f;
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(damages); i++) {
		const struct damage *d = &damages[i];
		struct sample s;
		struct linkfs_volume *v;
		struct linkfs_message why = {""};
		print_message("# %zu %s\n", i, d->id);
		sample_make(&s);
		make(&s, d);
		sample_check(&s, d->more, &f);
		if (!found_id(&f, d->id))
			fail_msg("%s was not named (%s):%s", d->id, d->sql ? d->sql : "", found_all(&f));
		assert_int_equal(f.sum.left, f.sum.problems);
		assert_int_equal(f.sum.backup[0], 0);
		sample_check(&s, LINKFS_CHECK_REPAIR, &f);
		if (f.sum.left)
			fail_msg("%s: %llu left (%s):%s", d->id, (unsigned long long)f.sum.left, d->sql ? d->sql : "",
				 found_all(&f));
		assert_true(f.sum.backup[0]);
		sample_check(&s, LINKFS_CHECK_DATA, &f);
		if (f.sum.problems)
			fail_msg("%s: the second run finds (%s):%s", d->id, d->sql ? d->sql : "", found_all(&f));
		if (linkfs_volume_open(s.path, NULL, &v, &why))
			fail_msg("%s: the mended volume does not open: %s", d->id, why.text);
		assert_int_equal(linkfs_volume_close(v), 0);
		sample_check(&s, LINKFS_CHECK_DATA, &f);
		if (f.sum.problems)
			fail_msg("%s: after it was opened (%s):%s", d->id, d->sql ? d->sql : "", found_all(&f));
		sample_done(&s);
	}
}

/* A block that is another one than was written stays an error, unless it is dropped. */
static void damaged_data_stays_unless_dropped(void **state)
{
	static struct found f;
	struct sample s;
	(void)state;
	sample_make(&s);
	flipped(&s);
	sample_check(&s, 0, &f);
	assert_int_equal(f.sum.problems, 0);
	sample_check(&s, LINKFS_CHECK_DATA, &f);
	assert_true(found_id(&f, "data-checksum"));
	sample_check(&s, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR, &f);
	assert_int_equal(f.sum.left, f.sum.problems);
	assert_int_equal(f.sum.repaired, 0);
	sample_check(&s, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR | LINKFS_CHECK_DROP_DATA, &f);
	if (f.sum.left)
		fail_msg("%s", found_all(&f));
	sample_check(&s, LINKFS_CHECK_DATA, &f);
	if (f.sum.problems)
		fail_msg("%s", found_all(&f));
	sample_done(&s);
}

static void a_whole_volume_is_clean(void **state)
{
	static struct found f;
	struct sample s;
	(void)state;
	sample_make(&s);
	sample_check(&s, LINKFS_CHECK_DATA, &f);
	if (f.sum.problems)
		fail_msg("%s", found_all(&f));
	assert_true(f.sum.records > 40 && f.sum.blocks >= 20 && f.sum.bytes == f.sum.blocks * LK_BLOCK_SIZE);
	/* Repair of what is whole changes nothing and copies nothing. */
	sample_check(&s, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR, &f);
	assert_int_equal(f.sum.problems, 0);
	assert_int_equal(f.sum.rounds, 1);
	assert_int_equal(f.sum.backup[0], 0);
	sample_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_volume_is_clean),
		cmocka_unit_test(is_named_and_mended),
		cmocka_unit_test(damaged_data_stays_unless_dropped),
	};
	return cmocka_run_group_tests_name("check-damage", tests, NULL, NULL);
}
