/*
 * test_bounds.c - the limits that docs/FORMAT.md sets, one row each: a value on the limit is sound, one behind it is named, mended, and the
 * second run is clean. Values are put by SQL, with all checksums right; the numbers are those of damage.c's base volume.
 */
#include "damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bound {
	const char *sql;
	const char *ids; /* one of these words is found; NULL: nothing at all */
};

#define INO_MAX "((1<<48)-1)"
#define NAME_AT(dir, name) "UPDATE dirent SET name=" name " WHERE dir=" dir " AND ino=13"
#define ACL(bytes) "UPDATE xattr SET value=x'" bytes "' WHERE ino=10 AND name=CAST('system.posix_acl_access' AS BLOB)"

/* clang-format off */
static const struct bound bounds[] = {
	/* inodes: owner, links, size, device, type, times */
	{"UPDATE inode SET uid=4294967295,gid=4294967295 WHERE ino=4", NULL},
	{"UPDATE inode SET uid=-1 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET gid=-1 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET gid=4294967296 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET nlink=-1 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET nlink=1<<31 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET size=-1 WHERE ino=7", "inode-field inode-size"},
	{"UPDATE inode SET size=(1<<62) WHERE ino=7", "inode-field inode-size"},
	{"UPDATE inode SET size=4096 WHERE ino=13", "inode-field inode-size"},
	{"UPDATE inode SET blocks=-1 WHERE ino=7", "inode-field inode-blocks"},
	{"UPDATE inode SET xattr_count=-1 WHERE ino=10", "inode-field inode-xattr-count"},
	{"UPDATE inode SET xattr_count=1<<40 WHERE ino=10", "inode-field inode-xattr-count"},
	{"UPDATE inode SET rdev=-1 WHERE ino=15", "inode-field"},
	{"UPDATE inode SET rdev=-1 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET mode=-1 WHERE ino=4", "inode-type"},
	{"UPDATE inode SET mode=65536+mode WHERE ino=4", "inode-type"},
	{"UPDATE inode SET mode=24576+384,rdev=1 WHERE ino=15", "dirent-type"}, /* a block device has a number too */
	{"UPDATE inode SET flags=-1 WHERE ino=4", "inode-field inode-flags"},
	{"UPDATE inode SET flags=flags|16 WHERE ino=4", "inode-field"}, /* a default ACL, of a file */
	{"UPDATE inode SET flags=flags|64 WHERE ino=2", "inode-field"}, /* a directory that was never named */
	{"UPDATE inode SET flags=flags|4 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET born=0 WHERE ino=4", "inode-field"},
	{"UPDATE inode SET atime_ns=-1,mtime_ns=(1<<62),ctime_ns=-(1<<62) WHERE ino=4", NULL}, /* times are any */
	{"INSERT INTO inode SELECT 1<<48,mode,uid,gid,nlink,0,0,0,0,0,0,0,1,0,born FROM inode WHERE ino=5", "inode-number"},
	{"INSERT INTO inode SELECT 0,mode,uid,gid,nlink,0,0,0,0,0,0,0,1,0,born FROM inode WHERE ino=5", "inode-number"},
	/* rows of numbers that cannot be an inode's */
	{"INSERT INTO inline VALUES(0,x'61',1)", "inline-extra"},
	{"INSERT INTO extent VALUES(1<<48,0,0,1,1,0,0,x'',1)", "extent-extra"},
	{"INSERT INTO target VALUES(-5,x'61',0,0,0,0,1)", "target-extra"},
	{"INSERT INTO xattr VALUES(-5,CAST('user.x' AS BLOB),x'61',1)", "xattr-extra"},
	/* content */
	{"UPDATE inline SET content=zeroblob(1) WHERE ino=4", "inline-size"},
	{"UPDATE inline SET content=x'' WHERE ino=4", "inline-size inline-missing"},
	{"UPDATE inline SET content=zeroblob(70000) WHERE ino=4", "inline-size"},
	{"INSERT INTO inline VALUES(6,x'61',1)", "inline-extra"}, /* a file with extents too */
	{"INSERT INTO inline VALUES(13,x'61',1)", "inline-extra"}, /* a symlink */
	{"INSERT INTO inline VALUES(5,x'61',1)", "inline-size"}, /* a file that is empty */
	{"INSERT INTO extent VALUES(4,0,0,1,1,0,0,x'',1)", "extent-extra"}, /* a file with inline content too */
	{"INSERT INTO extent VALUES(13,0,0,1,1,0,0,x'',1)", "extent-extra"},
	{"INSERT INTO extent VALUES(5,0,0,1,1,0,0,x'',1)", "extent-extra extent-past-size inode-flags"},
	{"UPDATE extent SET file_block=-1 WHERE ino=7 AND file_block=0", "extent-field"},
	{"UPDATE extent SET file_block=1<<62 WHERE ino=7 AND file_block=20", "extent-field"},
	{"UPDATE extent SET count=0 WHERE ino=7 AND file_block=2", "extent-field"},
	{"UPDATE extent SET count=-5 WHERE ino=7 AND file_block=2", "extent-field"},
	{"UPDATE extent SET count=1<<62 WHERE ino=7 AND file_block=2", "extent-field"},
	{"UPDATE extent SET count=129,sums=zeroblob(129*8) WHERE ino=7 AND file_block=0", "extent-field"},
	{"UPDATE extent SET count=32769 WHERE ino=9", "extent-field"},
	{"UPDATE extent SET length=1 WHERE ino=6", "extent-field"},
	{"UPDATE extent SET offset=1 WHERE ino=6", "extent-field"},
	{"UPDATE extent SET disk_block=7 WHERE ino=7 AND file_block=2", "extent-field"},
	{"UPDATE extent SET disk_block=-1 WHERE ino=7 AND file_block=0", "extent-field"},
	{"UPDATE extent SET disk_block=1<<62 WHERE ino=7 AND file_block=0", "extent-field extent-outside"},
	{"UPDATE extent SET disk_block=32767 WHERE ino=7 AND file_block=0", "extent-field"}, /* two groups */
	{"UPDATE extent SET count=19 WHERE ino=7 AND file_block=2", "extent-overlap"}, /* a hole over what comes behind it */
	{"UPDATE extent SET count=30 WHERE ino=7 AND file_block=2", "extent-overlap"},
	{"UPDATE extent SET file_block=1,count=19 WHERE ino=7 AND file_block=2", "extent-overlap"}, /* a hole that is cut in front */
	{"INSERT INTO extent VALUES(7,1,0,19,1,0,0,x'',1)", "extent-overlap"},
	{"UPDATE extent SET count=7 WHERE ino=9", "inode-blocks"},
	{"INSERT INTO extent SELECT 9,3,disk_block,count,codec,length,offset,sums,born FROM extent WHERE ino=9", "extent-overlap"},
	{"UPDATE extent SET count=1 WHERE ino=9", "extent-short"},
	/* symlinks */
	{"UPDATE target SET text=x'' WHERE ino=13", "target-field"},
	{"UPDATE target SET text=CAST(zeroblob(4096) AS BLOB) WHERE ino=13", "target-field"},
	{"UPDATE target SET text=x'612f2f62' WHERE ino=13", "inode-size"}, /* with an empty component */
	{"UPDATE target SET text=x'2e2e2f' WHERE ino=13", "inode-size"}, /* with a slash at its end */
	{"UPDATE target SET text=x'2f' WHERE ino=13", "inode-size"},
	{"UPDATE target SET text=x'2e' WHERE ino=13", "inode-size"},
	{"INSERT INTO component VALUES(15,13,0,0)", "component-field"},
	{"INSERT INTO component VALUES((1<<55)-1,13,0,0)", "component-field"},
	{"INSERT INTO component VALUES(99,1<<48,0,0)", "component-field"},
	{"INSERT INTO component VALUES(99,0,0,0)", "component-field"},
	{"UPDATE component SET position=-1 WHERE position=0", "component-field"},
	{"UPDATE component SET position=4095 WHERE position=0", "component-field"},
	{"UPDATE component SET is_last=-1 WHERE position=0", "component-field"},
	{"UPDATE component SET is_last=2 WHERE position=0", "component-field"},
	{"INSERT INTO component VALUES(99,13,0,0)", NULL}, /* the table is a superset */
	/* extended attributes */
	{"INSERT INTO xattr VALUES(10,x'',x'31',1)", "xattr-field"},
	{"INSERT INTO xattr VALUES(10,CAST(zeroblob(3) AS BLOB),x'31',1)", "xattr-field"},
	{"INSERT INTO xattr SELECT 10,CAST(replace(hex(zeroblob(128)),'0','x') AS BLOB),x'31',1", "xattr-field"}, /* 256 bytes */
	{"INSERT INTO xattr VALUES(10,CAST('user.long' AS BLOB),zeroblob(65537),1)", "xattr-field"},
	{"UPDATE xattr SET value=zeroblob(65536) WHERE ino=10 AND name=CAST('user.one' AS BLOB)", NULL},
	{"UPDATE xattr SET name=CAST('security.capability' AS BLOB) WHERE ino=10 AND name=CAST('user.one' AS BLOB)", "inode-flags"},
	{"UPDATE xattr SET name=CAST('system.posix_acl_default' AS BLOB) WHERE ino=10 AND name=CAST('user.one' AS BLOB)", "xattr-field"},
	{ACL("020000"), "xattr-field"},
	{ACL("03000000"), "xattr-field"},
	{ACL("0200000001000600ffffffff"), NULL}, /* short, and in order as far as it goes */
	{ACL("0200000001000800ffffffff"), "xattr-field"}, /* a permission that there is not */
	{ACL("0200000000000600ffffffff"), "xattr-field"}, /* no tag */
	{ACL("0200000040000600ffffffff"), "xattr-field"},
	{ACL("0200000003000600ffffffff"), "xattr-field"}, /* two tags in one */
	{ACL("0200000004000600ffffffff01000600ffffffff"), "xattr-field"}, /* tags descend */
	/* names */
	{NAME_AT("2", "x''"), "dirent-name"},
	{NAME_AT("2", "x'2e'"), "dirent-name"},
	{NAME_AT("2", "x'2e2e'"), "dirent-name"},
	{NAME_AT("2", "x'610062'"), "dirent-name"},
	{NAME_AT("2", "zeroblob(256)"), "dirent-name"},
	{NAME_AT("2", "CAST(replace(hex(zeroblob(128)),'0','x') AS BLOB)"), "dirent-name"}, /* 256 bytes */
	{NAME_AT("2", "x'2e61'"), "dirent-hash"}, /* a name, of another hash */
	{NAME_AT("2", "x'2e2e61'"), "dirent-hash"},
	{NAME_AT("2", "x'01225c7f'"), "dirent-hash"}, /* bytes that no terminal shows */
	{"UPDATE dirent SET dir=0 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET dir=1<<48 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET ino=0 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET ino=1<<48 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET ord=-1 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET ord=255 WHERE ino=13", NULL},
	{"UPDATE dirent SET hash=15 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET hash=(1<<55)-1 WHERE ino=13", "dirent-field"},
	{"UPDATE dirent SET type=-1 WHERE ino=13", "dirent-type"},
	{"UPDATE dirent SET dir=" INO_MAX "-1 WHERE ino=13", "dirent-no-directory"},
	/* binds */
	{"INSERT INTO bind SELECT dir,hash,ord,5,1 FROM dirent WHERE ino=4; UPDATE counter SET value=1 WHERE id=8", NULL},
	{"INSERT INTO bind SELECT dir,hash,ord,0,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,hash,ord,1<<48,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT 1<<48,hash,ord,2,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,hash,-1,2,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,hash,256,2,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,15,ord,2,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,(1<<55)-1,ord,2,1 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,hash,ord,2,0 FROM dirent WHERE ino=3", "bind-field"},
	{"INSERT INTO bind SELECT dir,hash,ord,2,99 FROM dirent WHERE ino=3", "bind-field"},
	/* why an inode has no name */
	{"INSERT INTO orphan VALUES(0)", "orphan-no-inode"},
	{"INSERT INTO orphan VALUES(1)", "orphan-named"},
	{"INSERT INTO deleted VALUES(1,0,1,x'61',0,0)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,1<<48,1,x'61',0,0)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,5,0,x'61',0,0)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,5,1<<48,x'61',0,0)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,5,1,x'',0,0)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,5,1,x'61',0,2)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,5,1,x'61',0,-1)", "deleted-field"},
	{"INSERT INTO deleted VALUES(1,5,1,x'61',-77,1)", NULL}, /* how a name went, of a file that is still there */
	{"INSERT INTO deleted VALUES(1,7777,1,x'61',0,0)", NULL}, /* of one that is gone */
	{"INSERT INTO intent VALUES((1<<48)+0,1,0,0,0)", "intent-field"},
	{"INSERT INTO intent VALUES(2<<48,1,1<<48,0,0)", "intent-field"},
	{"INSERT INTO intent VALUES(77,2,6,0,1)", "intent-field"},
	{"INSERT INTO intent VALUES((2<<48)+6,2,6,-1,1)", "intent-field"},
	{"INSERT INTO intent VALUES((2<<48)+6,2,6,3,3)", "intent-field"},
	{"INSERT INTO intent VALUES((2<<48)+6,2,6,0,1<<62)", "intent-field"},
	{"INSERT INTO intent VALUES((2<<48)+2,2,2,0,1)", "intent-stale"}, /* a directory */
	{"INSERT INTO intent VALUES((1<<48)+6,1,6,0,0)", "intent-stale"}, /* nothing is being truncated */
	{"UPDATE inode SET flags=flags|128 WHERE ino=6; INSERT INTO intent VALUES((1<<48)+6,1,6,0,0)", NULL},
	{"UPDATE inode SET nlink=3 WHERE ino=18", "kept-named"},
	{"INSERT INTO orphan VALUES(18)", NULL}, /* a kept file that is being erased */
	/* super, counters, snapshots */
	{"UPDATE super SET label=zeroblob(256)", "super-field"},
	{"UPDATE super SET label=x'610062'", "super-field"},
	{"UPDATE super SET label=CAST('a name' AS BLOB)", NULL},
	{"UPDATE super SET limit_blocks=1<<62", "super-field"},
	{"UPDATE super SET key_slots=x'00'", "super-field"},
	{"UPDATE super SET properties=CAST('keep-deleted=' AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('keep-deleted=soon'||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('=1'||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('what'||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST(x'613d00'||x'620a' AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('keep-deleted='||replace(hex(zeroblob(300)),'0','1')||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=zeroblob(1<<20)", "super-field"},
	{"UPDATE super SET properties=CAST('snapshot-every=1h'||char(10)||'snapshot-keep=last=3,within=1y'||char(10) AS BLOB)", NULL},
	{"UPDATE super SET properties=CAST('snapshot-every=often'||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('snapshot-keep=last'||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('snapshot-keep=last=1,minutely=3'||char(10) AS BLOB)", "super-field"},
	{"UPDATE super SET properties=CAST('a-later-one=x'||char(10) AS BLOB)", NULL},
	{"UPDATE counter SET value=(1<<48)+1 WHERE id=1", "counter-field"},
	{"UPDATE counter SET value=(1<<61) WHERE id=2", "counter-field"},
	{"UPDATE counter SET id=-1 WHERE id=3", "counter-field"},
	{"INSERT INTO counter VALUES(0,0)", "counter-field"},
	{"UPDATE counter SET value=value+5 WHERE id=1", NULL}, /* numbers are leased ahead */
	{"UPDATE counter SET value=2 WHERE id=2", "counter-epoch"},
	{"UPDATE snapshot SET next_ino=(1<<48)+1 WHERE epoch=1", "snapshot-field"},
	{"UPDATE snapshot SET deleting=-1 WHERE epoch=1", "snapshot-field"},
	{"UPDATE snapshot SET name=x'' WHERE epoch=1", "snapshot-name"},
	{"UPDATE snapshot SET name=CAST(replace(hex(zeroblob(128)),'0','x') AS BLOB) WHERE epoch=1", "snapshot-name"},
	{"INSERT INTO snapshot SELECT 1<<61,name,time_ns,note,tags,next_ino,0 FROM snapshot WHERE epoch=1", "snapshot-field"},
	{"UPDATE snapshot SET tags=CAST('a,b' AS BLOB) WHERE epoch=1", NULL},
	{"UPDATE snapshot SET tags=CAST('b,a' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=CAST('a,a' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=CAST('a,' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=CAST(',' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=CAST('a b' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=CAST('a+b' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=x'6100' WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=x'7f' WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=x'c3a4' WHERE epoch=1", NULL},
	{"UPDATE snapshot SET tags=CAST(replace(hex(zeroblob(32)),'0','x') AS BLOB) WHERE epoch=1", NULL},
	{"UPDATE snapshot SET tags=CAST(replace(hex(zeroblob(32)),'0','x')||'x' AS BLOB) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET tags=zeroblob(100000) WHERE epoch=1", "snapshot-tags"},
	{"UPDATE snapshot SET deleting=1 WHERE epoch=1", NULL},
	{"UPDATE snapshot SET deleting=1,name=x'' WHERE epoch=1", NULL}, /* its name is free again */
	/* history */
	{"UPDATE inode_old SET ino=0 WHERE ino=12", "history-field"},
	{"UPDATE inode_old SET ino=1<<48 WHERE ino=12", "history-field"},
	{"UPDATE inode_old SET mode=1 WHERE ino=12", "history-field"},
	{"UPDATE inode_old SET uid=-1 WHERE ino=12", "history-field"},
	{"UPDATE inode_old SET born=0 WHERE ino=12", "history-field history-born"},
	{"UPDATE inode_old SET size=size+4096*5 WHERE ino=12", "history-content"},
	{"UPDATE dirent_old SET hash=hash+1 WHERE ino=12", "history-field"},
	{"UPDATE dirent_old SET ord=256 WHERE ino=12", "history-field"},
	{"UPDATE dirent_old SET type=3 WHERE ino=12", "history-field"},
	{"UPDATE dirent_old SET type=99 WHERE ino=12", "history-field"},
	{"UPDATE extent_old SET codec=9 WHERE ino=12", "history-field"},
	{"UPDATE extent_old SET disk_block=32768*700 WHERE ino=12", "history-field"},
	{"UPDATE extent_old SET file_block=1 WHERE ino=12", "history-content"},
	{"UPDATE extent_old SET codec=1,disk_block=0,sums=x'' WHERE ino=12", "block-leaked"}, /* a hole, in history */
	{"INSERT INTO extent_old SELECT last,ino,1,disk_block,1,2,0,0,x'',born FROM extent_old WHERE ino=12", "history-content"},
	{"INSERT INTO inline_old VALUES(1,12,x'',1)", "history-field"},
	{"INSERT INTO inline_old VALUES(1,12,zeroblob(70000),1)", "history-field"},
	{"UPDATE inode_old SET flags=1,size=3,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12; INSERT INTO inline_old VALUES(1,12,x'616263',1)",
	 "block-leaked"},
	{"UPDATE inode_old SET flags=1,size=5,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12; INSERT INTO inline_old VALUES(1,12,x'616263',1)",
	 "history-content"},
	{"UPDATE inode_old SET flags=1,size=5,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12", "history-content"},
	{"UPDATE inode_old SET flags=1,size=0,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12", "block-leaked"},
	{"UPDATE inode_old SET mode=41471,flags=0,size=3,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12; "
	 "INSERT INTO target_old VALUES(1,12,x'616263',0,0,0,0,1)", "block-leaked"}, /* a symlink that is gone */
	{"UPDATE inode_old SET mode=41471,flags=0,size=3,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12", "history-content"},
	{"UPDATE inode_old SET mode=41471,flags=0,size=3,blocks=0 WHERE ino=12; DELETE FROM extent_old WHERE ino=12; "
	 "INSERT INTO target_old VALUES(1,12,x'',0,0,0,0,1)", "history-field"},
	{"INSERT INTO target_old VALUES(1,12,x'610062',0,0,0,0,1)", "history-field"},
	{"INSERT INTO xattr_old VALUES(1,12,CAST('user.x' AS BLOB),x'31',1)", NULL},
	{"INSERT INTO xattr_old VALUES(1,12,CAST('user.x' AS BLOB),x'31',1),(2,12,CAST('user.x' AS BLOB),x'32',1)", "history-overlap"},
	{"INSERT INTO xattr_old VALUES(1,12,x'',x'31',1)", "history-field"},
	{"INSERT INTO xattr_old VALUES(1,10,CAST('user.one' AS BLOB),x'31',1)", "history-live"},
	{"INSERT INTO xattr_old VALUES(99,12,CAST('user.x' AS BLOB),x'31',1)", "history-last"},
	{"INSERT INTO xattr_old VALUES(99,12,CAST('user.x' AS BLOB),x'31',50)", "history-last"},
	{"INSERT INTO xattr_old VALUES(2,12,CAST('user.x' AS BLOB),x'31',2),(99,12,CAST('user.x' AS BLOB),x'31',2)", "history-last"},
	{"INSERT INTO bind_old VALUES(1,1,99,0,2,1)", NULL},
	{"INSERT INTO bind_old VALUES(1,0,99,0,2,1)", "history-field"},
	/* blocks */
	{"UPDATE shared SET refs=0", "shared-field"},
	{"UPDATE shared SET refs=1<<62", "shared-field"},
	{"UPDATE shared SET count=0", "shared-field"},
	{"UPDATE shared SET count=-1", "shared-field"},
	{"UPDATE shared SET count=1<<62", "shared-field"},
	{"UPDATE shared SET disk_block=-1 WHERE disk_block=(SELECT min(disk_block) FROM shared)", "shared-field"},
	{"UPDATE shared SET disk_block=1<<62 WHERE disk_block=(SELECT max(disk_block) FROM shared)", "shared-field"},
	{"INSERT INTO shared VALUES(20000,5,2)", "shared-count"}, /* of what nothing names */
	{"INSERT INTO shared SELECT disk_block+1,1,2 FROM shared WHERE count>1", "shared-field"}, /* in the one before */
	{"INSERT INTO grp VALUES(-1,0,zeroblob(4096))", "group-field"},
	{"UPDATE grp SET used=-1", "group-used"},
	{"UPDATE grp SET used=1<<40", "group-used"},
	{"UPDATE grp SET bitmap=zeroblob(4096)", "block-unmarked"},
	{"UPDATE grp SET bitmap=CAST(replace(hex(zeroblob(2048)),'0',char(127)) AS BLOB)", "block-leaked"},
};
/* clang-format on */

static void judge(const struct base *b, const struct bound *w)
{
	static struct found f, again;
	struct tree tree;
	base_put(b);
	sample_sql(&b->s, w->sql);
	sample_check(&b->s, 0, &f);
	if (!w->ids) {
		if (f.sum.problems)
			fail_msg("%s: is sound, and the check finds:%s", w->sql, found_all(&f));
		return;
	}
	char ids[200];
	bool named = false;
	(void)snprintf(ids, sizeof(ids), "%s", w->ids);
	for (char *id = strtok(ids, " "); id; id = strtok(NULL, " "))
		named |= found_id(&f, id);
	if (!named)
		fail_msg("%s: %s is not among what is found:%s", w->sql, w->ids, found_all(&f));
	sample_check(&b->s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &f);
	if (f.sum.left)
		fail_msg("%s: repair leaves:%s", w->sql, found_all(&f));
	sample_check(&b->s, LINKFS_CHECK_DATA, &again);
	if (again.sum.problems)
		fail_msg("%s: the second run finds:%s", w->sql, found_all(&again));
	tree_open(b->s.path, 0, &tree);
	for (size_t i = 0; i < tree.count; i++) {
		if (tree.lines[i].value[0] == '!')
			fail_msg("%s: mended, and then %s is %s", w->sql, tree.lines[i].key, tree.lines[i].value);
	}
	tree_done(&tree);
}

static void limits_are_told_and_mended(void **state)
{
	struct base b;
	(void)state;
	base_make(&b);
	for (size_t i = 0; i < LK_ARRAY_LEN(bounds); i++)
		judge(&b, &bounds[i]);
	print_message("# %zu rows\n", LK_ARRAY_LEN(bounds));
	base_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_are_told_and_mended),
	};
	return cmocka_run_group_tests_name("damage-bounds", tests, NULL, NULL);
}
