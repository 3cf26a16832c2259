/*
 * test_rows.c - volumes whose database obeys SQLite and its checksums and breaks our rules (F5): one row, one column, one object at a time. Each
 * gives the error that belongs to it, where it is met and nowhere else; then everything is walked, changed and closed (tour.c).
 */
#include <seed.h>
#include <test.h>
#include <tour.h>

#include <schema.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HANG_SECONDS 120

enum probe { OPEN, OPEN_RW, STAT, READ, LIST, LINK, XATTR, XLIST, ALLOWED, WRITE, MAKE, REMOVE, FINE };

struct damage {
	const char *name;
	const char *sql; /* $NAME$ is the hash of NAME */
	enum probe probe;
	int code;
	const char *path; /* OPEN: what the message says */
};

#define ONE_INODE(what, set)                                                                                           \
	{                                                                                                              \
		what, "UPDATE inode SET " set " WHERE ino = 2", STAT, LINKFS_ECORRUPT, "file"                          \
	}
#define ONE_NAME(what, name)                                                                                           \
	{                                                                                                              \
		what, "UPDATE dirent SET name = " name " WHERE dir = 1 AND ino = 2", LIST, LINKFS_ECORRUPT, "/"        \
	}
#define ONE_EXTENT(what, set)                                                                                          \
	{                                                                                                              \
		what,                                                                                                  \
			"UPDATE extent SET " set                                                                       \
			" WHERE ino = 2 AND file_block = (SELECT min(file_block) FROM extent WHERE ino = 2)",          \
			READ, LINKFS_ECORRUPT, "file"                                                                  \
	}
/* A row that STRICT and NOT NULL keep out: they are taken out of the schema and put back. '#' parts the three. */
#define LOOSE(table, sql) "#" table "#" sql

/* clang-format off */
static const struct damage damages[] = {
	/* The schema: nothing of the database runs. */
	{"a trigger", "CREATE TRIGGER spy AFTER INSERT ON inode BEGIN DELETE FROM dirent; END", OPEN, LINKFS_ESCHEMA, "trigger \"spy\""},
	{"a view", "CREATE VIEW spy AS SELECT * FROM inode", OPEN, LINKFS_ESCHEMA, "view \"spy\""},
	{"an index more", "CREATE INDEX spy ON inode(size)", OPEN, LINKFS_ESCHEMA, "index \"spy\""},
	{"a table that looks attached", "CREATE TABLE \"temp.inode\"(a)", OPEN, LINKFS_ESCHEMA, "table \"temp.inode\""},
	{"a virtual table", "CREATE VIRTUAL TABLE spy USING fts5(a)", OPEN, LINKFS_ESCHEMA, "spy"},
	{"a generated column", "ALTER TABLE orphan ADD COLUMN spy INTEGER AS (ino + 1)", OPEN, LINKFS_ESCHEMA, "table \"orphan\""},
	{"a default that is an expression", "ALTER TABLE orphan ADD COLUMN spy INTEGER DEFAULT (randomblob(9))", OPEN, LINKFS_ESCHEMA, "table \"orphan\""},
	{"statistics", "ANALYZE", OPEN, LINKFS_ESCHEMA, "sqlite_stat1"},
	{"an object with an escape in its name", "CREATE VIEW \"\x1b[2Jspy\" AS SELECT 1", OPEN, LINKFS_ESCHEMA, "view \"?[2Jspy\""},
	{"another application", "PRAGMA application_id = 7", OPEN, LINKFS_ENOTVOLUME, "application_id 0x00000007"},
	{"a newer format", "PRAGMA user_version = 2", OPEN, LINKFS_ENEWER, "version 2"},
	{"a format that never was", "PRAGMA user_version = -1", OPEN, LINKFS_ENEWER, "version"},

	/* super */
	{"no super record", "DELETE FROM super", OPEN, LINKFS_ECORRUPT, "super record"},
	{"a short uuid", "UPDATE super SET uuid = x'00'", OPEN, LINKFS_ECORRUPT, "super record"},
	{"a short secret", "UPDATE super SET name_secret = x'00'", OPEN, LINKFS_ECORRUPT, "super record"},
	{"an endless label", "UPDATE super SET label = zeroblob(300)", OPEN, LINKFS_ECORRUPT, "super record"},
	{"a negative limit", "UPDATE super SET limit_blocks = -1", OPEN, LINKFS_ECORRUPT, "super record"},
	{"another block size", "UPDATE super SET block_size = 512", OPEN, LINKFS_ENEWER, "blocks of 512"},
	{"an unknown feature", "UPDATE super SET features_incompat = 1 << 40", OPEN, LINKFS_ENEWER, "0x10000000000"},
	{"every feature", "UPDATE super SET features_incompat = -1", OPEN, LINKFS_ENEWER, "0xfffffffffffffffe"},
	{"an unknown feature to write", "UPDATE super SET features_ro_compat = 2", OPEN_RW, LINKFS_ENEWER, "0x2"},
	{"an unknown feature that does not matter", "UPDATE super SET features_compat = 4", FINE, 0, NULL},
	{"a text in super", LOOSE("super", "UPDATE super SET created_ns = 'then'"), OPEN, LINKFS_ECORRUPT, "super record"},

	/* counters */
	{"no counters", "DELETE FROM counter", OPEN, LINKFS_ECORRUPT, "counters"},
	{"the next inode is the root", "UPDATE counter SET value = 1 WHERE id = 1", OPEN, LINKFS_ECORRUPT, "counters"},
	{"the next inode exists", "UPDATE counter SET value = 7 WHERE id = 1", OPEN, LINKFS_ECORRUPT, "counters"},
	{"the next inode exists in history",
	 "INSERT INTO inode_old SELECT 1, 77, mode, uid, gid, nlink, size, blocks, atime_ns, mtime_ns, ctime_ns, btime_ns, rdev, flags, xattr_count, "
	 "1 FROM inode WHERE ino = 6", OPEN, LINKFS_ECORRUPT, "counters"},
	{"a next inode out of range", "UPDATE counter SET value = (1 << 48) + 1 WHERE id = 1", OPEN, LINKFS_ECORRUPT, "counters"},
	{"a negative next inode", "UPDATE counter SET value = -5 WHERE id = 1", OPEN, LINKFS_ECORRUPT, "counters"},
	{"the last inode number is taken", "UPDATE counter SET value = 1 << 48 WHERE id = 1", MAKE, LINKFS_ENOSPC, "new"},
	{"epoch 0", "UPDATE counter SET value = 0 WHERE id = 2", OPEN, LINKFS_ECORRUPT, "counters"},
	{"an epoch that a snapshot is ahead of", "INSERT INTO snapshot VALUES(9, x'61', 1, x'', x'', 15, 0)", OPEN, LINKFS_ECORRUPT, "counters"},
	{"an epoch that rows are ahead of", "UPDATE inode SET born = 9 WHERE ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"an epoch that overflows", "UPDATE counter SET value = ~(1 << 63) WHERE id = 2", FINE, 0, NULL},
	{"fewer inodes than none", "UPDATE counter SET value = -1 WHERE id = 3", OPEN, LINKFS_ECORRUPT, "counters"},
	{"no inodes", "UPDATE counter SET value = 0 WHERE id = 3", FINE, 0, NULL},
	{"as many inodes as a number holds", "UPDATE counter SET value = ~(1 << 63) WHERE id = 3", MAKE, LINKFS_ECORRUPT, "new"},
	{"fewer blocks than none", "UPDATE counter SET value = -1 WHERE id = 5", OPEN, LINKFS_ECORRUPT, "counters"},

	/* inodes */
	ONE_INODE("an inode of no type", "mode = 420"),
	ONE_INODE("a mode with more bits", "mode = mode | (1 << 20)"),
	ONE_INODE("a negative size", "size = -1"),
	ONE_INODE("a size beyond the largest file", "size = 1 << 62"),
	ONE_INODE("a negative count of names", "nlink = -1"),
	ONE_INODE("more names than there may be", "nlink = 1 << 31"),
	ONE_INODE("a negative owner", "uid = -1"),
	ONE_INODE("a group of 33 bits", "gid = 1 << 32"),
	ONE_INODE("a negative count of blocks", "blocks = -1"),
	ONE_INODE("an unknown flag", "flags = flags | 1 << 20"),
	ONE_INODE("a negative count of xattrs", "xattr_count = -1"),
	ONE_INODE("an inode born before the first epoch", "born = 0"),
	ONE_INODE("a negative device", "rdev = -1"),
	{"a size that is a text", LOOSE("inode", "UPDATE inode SET size = 'big' WHERE ino = 2"), STAT, LINKFS_ECORRUPT, "file"},
	{"a size that is no integer", LOOSE("inode", "UPDATE inode SET size = 1.5 WHERE ino = 2"), STAT, LINKFS_ECORRUPT, "file"},
	{"a mode that is NULL", LOOSE("inode", "UPDATE inode SET mode = NULL WHERE ino = 2"), STAT, LINKFS_ECORRUPT, "file"},
	{"a root that is a file", "UPDATE inode SET mode = 33188 WHERE ino = 1", LIST, LINKFS_ECORRUPT, "/"},
	{"no root", "DELETE FROM inode WHERE ino = 1", LIST, LINKFS_ECORRUPT, "/"},
	{"an inode beyond the largest number", "UPDATE inode SET ino = 1 << 48 WHERE ino = 9", OPEN, LINKFS_ECORRUPT, "counters"},

	/* names */
	ONE_NAME("a name with a slash", "x'612f62'"),
	ONE_NAME("a name with a NUL", "x'610062'"),
	ONE_NAME("an empty name", "x''"),
	ONE_NAME("a name of 256 bytes", "zeroblob(256)"),
	ONE_NAME("a name that is .", "x'2e'"),
	ONE_NAME("a name that is ..", "x'2e2e'"),
	{"a name that is a text", LOOSE("dirent", "UPDATE dirent SET name = 'file' WHERE dir = 1 AND ino = 2"), LIST, LINKFS_ECORRUPT, "/"},
	{"a name of no inode", "UPDATE dirent SET ino = 9999 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"a name of inode 0", "UPDATE dirent SET ino = 0 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"a name of inode 2^48", "UPDATE dirent SET ino = 1 << 48 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"a name of a negative inode", "UPDATE dirent SET ino = -2 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"a file's name that says directory", "UPDATE dirent SET type = 4 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"a directory's name that says file", "UPDATE dirent SET type = 8 WHERE dir = 1 AND ino = 3", STAT, LINKFS_ECORRUPT, "dir/sub"},
	{"a name of no type", "UPDATE dirent SET type = 7 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"an ordinal out of range", "UPDATE dirent SET ord = 256 WHERE dir = 1 AND ino = 2", STAT, LINKFS_ECORRUPT, "file"},
	{"a hash that is a dot's", "UPDATE dirent SET hash = 3 WHERE dir = 1 AND ino = 2", LIST, LINKFS_ECORRUPT, "/"},
	{"a hash of 56 bits", "UPDATE dirent SET hash = 1 << 55 WHERE dir = 1 AND ino = 2", LIST, LINKFS_ECORRUPT, "/"},
	{"a hash that is another name's", "UPDATE dirent SET hash = hash + 1 WHERE dir = 1 AND ino = 2", LIST, LINKFS_ECORRUPT, "/"},
	{"one name twice", "INSERT INTO dirent VALUES(1, $file$, 1, 3, 4, x'66696c65', 1)", LIST, LINKFS_ECORRUPT, "/"},
	{"a directory in itself", "INSERT INTO dirent VALUES(3, $self$, 0, 3, 4, x'73656c66', 1)", LIST, LINKFS_ECORRUPT, "dir"},
	{"a cycle of directories that can be reached", "INSERT INTO dirent VALUES(4, $back$, 0, 3, 4, x'6261636b', 1)", LIST, LINKFS_ECORRUPT, "dir"},
	{"a cycle of directories that cannot be reached",
	 "INSERT INTO dirent VALUES(4, $back$, 0, 3, 4, x'6261636b', 1); DELETE FROM dirent WHERE dir = 1 AND ino = 3", FINE, 0, NULL},
	{"the root has a name", "INSERT INTO dirent VALUES(4, $top$, 0, 1, 4, x'746f70', 1)", LIST, LINKFS_ECORRUPT, "dir/sub"},
	{"a directory that is a file's", "UPDATE dirent SET dir = 2 WHERE dir = 3 AND ino = 9", STAT, LINKFS_ENOTDIR, "file/empty"},
	{"a directory without a name", "DELETE FROM dirent WHERE dir = 1 AND ino = 3", STAT, LINKFS_ENOENT, "dir"},

	/* symlinks */
	{"an empty target", "UPDATE target SET text = x'' WHERE ino = 10", LINK, LINKFS_ECORRUPT, "link"},
	{"a target with a NUL", "UPDATE target SET text = x'610062' WHERE ino = 10", LINK, LINKFS_ECORRUPT, "link"},
	{"a target of 4096 bytes", "UPDATE target SET text = cast(replace(hex(zeroblob(2048)), '0', 'a') AS BLOB) WHERE ino = 10", LINK, LINKFS_ECORRUPT, "link"},
	{"no target", "DELETE FROM target WHERE ino = 10", LINK, LINKFS_ECORRUPT, "link"},
	{"components that are not the target's", "DELETE FROM component WHERE ino = 10", REMOVE, LINKFS_ECORRUPT, "link"},

	/* content */
	ONE_EXTENT("an extent of no blocks", "count = 0"),
	ONE_EXTENT("a negative extent", "count = -1"),
	ONE_EXTENT("an extent whose end overflows", "count = ~(1 << 63)"),
	ONE_EXTENT("an extent beyond what a row may hold", "count = 65"),
	ONE_EXTENT("an extent outside the pieces", "disk_block = 1 << 39"),
	ONE_EXTENT("an extent beyond the last block", "disk_block = 1 << 40"),
	ONE_EXTENT("a negative block", "disk_block = -1"),
	ONE_EXTENT("an extent across two groups", "disk_block = 32767"),
	ONE_EXTENT("sums too short", "sums = cast(substr(sums, 9) AS BLOB)"),
	ONE_EXTENT("sums too long", "sums = cast(sums || x'0000000000000000' AS BLOB)"),
	ONE_EXTENT("no sums", "sums = x''"),
	ONE_EXTENT("sums of other content", "sums = zeroblob(length(sums))"),
	ONE_EXTENT("an unknown codec", "codec = 9"),
	ONE_EXTENT("content that is called a hole", "codec = 1"),
	ONE_EXTENT("content that is called unwritten, with sums", "codec = 2"),
	ONE_EXTENT("a length without a codec", "length = 5"),
	ONE_EXTENT("an extent that begins too early", "file_block = -1"),
	ONE_EXTENT("a gap at the front", "file_block = file_block + 20"),
	{"no extents", "DELETE FROM extent WHERE ino = 2", READ, LINKFS_ECORRUPT, "file"},
	{"extents that overlap", "INSERT INTO extent SELECT ino, file_block + 3, disk_block + 3, count - 3, codec, 0, 0, substr(sums, 25), 1 FROM extent "
	 "WHERE ino = 2", READ, LINKFS_ECORRUPT, "file"},
	{"an inline file without content", "DELETE FROM inline WHERE ino = 6", READ, LINKFS_ECORRUPT, "a"},
	{"inline content of another size", "UPDATE inline SET content = zeroblob(699) WHERE ino = 6", READ, LINKFS_ECORRUPT, "a"},
	{"inline content of half a megabyte", "UPDATE inline SET content = zeroblob(500000) WHERE ino = 6; UPDATE inode SET size = 500000 WHERE ino = 6", READ,
	 LINKFS_ECORRUPT, "a"},
	{"inline content of two megabytes", "UPDATE inline SET content = zeroblob(2000000) WHERE ino = 6", READ, LINKFS_ECORRUPT, "a"},

	/* xattrs */
	{"an xattr without a name", "UPDATE xattr SET name = x'' WHERE ino = 2", XLIST, LINKFS_ECORRUPT, "file"},
	{"an xattr's name with a NUL", "UPDATE xattr SET name = x'757365722e6100' WHERE ino = 2", XLIST, LINKFS_ECORRUPT, "file"},
	{"an xattr's name of 256 bytes", "UPDATE xattr SET name = cast(replace(hex(zeroblob(128)), '0', 'a') AS BLOB) WHERE ino = 2", XLIST, LINKFS_ECORRUPT, "file"},
	{"an xattr of 65537 bytes", "UPDATE xattr SET value = zeroblob(65537) WHERE ino = 2", XATTR, LINKFS_ECORRUPT, "file"},
	{"an xattr of two megabytes", "UPDATE xattr SET value = zeroblob(2000000) WHERE ino = 2", XATTR, LINKFS_ECORRUPT, "file"},
	{"an ACL cut short", "UPDATE xattr SET value = cast(substr(value, 1, 13) AS BLOB) WHERE ino = 6", ALLOWED, LINKFS_ECORRUPT, "a"},
	{"an ACL of another version", "UPDATE xattr SET value = cast(x'09' || substr(value, 2) AS BLOB) WHERE ino = 6", ALLOWED, LINKFS_ECORRUPT, "a"},
	{"an ACL with a tag that is none", "UPDATE xattr SET value = cast(x'0200000003' || substr(value, 6) AS BLOB) WHERE ino = 6", ALLOWED, LINKFS_ECORRUPT, "a"},
	{"an ACL that lets do more than all", "UPDATE xattr SET value = cast(x'02000000010077' || substr(value, 8) AS BLOB) WHERE ino = 6", ALLOWED, LINKFS_ECORRUPT, "a"},
	{"an empty ACL", "UPDATE xattr SET value = x'02000000' WHERE ino = 6", ALLOWED, LINKFS_ECORRUPT, "a"},
	{"no ACL where one is said to be", "DELETE FROM xattr WHERE ino = 6", ALLOWED, LINKFS_ECORRUPT, "a"},
	{"a default ACL cut short", "UPDATE xattr SET value = x'0200' WHERE ino = 3", MAKE, LINKFS_ECORRUPT, "dir/new"},

	/* space */
	{"a group that is not the next", "UPDATE grp SET number = 5", OPEN, LINKFS_ECORRUPT, "block groups"},
	{"a negative group", "UPDATE grp SET number = -1", OPEN, LINKFS_ECORRUPT, "block groups"},
	{"a bitmap cut short", "UPDATE grp SET bitmap = zeroblob(4095)", OPEN, LINKFS_ECORRUPT, "block groups"},
	{"a bitmap too long", "UPDATE grp SET bitmap = zeroblob(8192)", OPEN, LINKFS_ECORRUPT, "block groups"},
	{"more used than there is", "UPDATE grp SET used = 32769", OPEN, LINKFS_ECORRUPT, "block groups"},
	{"a negative count of used blocks", "UPDATE grp SET used = -1", OPEN, LINKFS_ECORRUPT, "block groups"},
	{"a count that is not the bitmap's", "UPDATE grp SET used = used + 1", WRITE, LINKFS_ECORRUPT, "file"},
	{"used blocks that the bitmap calls free", "UPDATE grp SET used = 0, bitmap = zeroblob(4096)", REMOVE, LINKFS_ECORRUPT, "dir/sub/deep"},
	{"a range shared once", "UPDATE shared SET refs = 1", WRITE, LINKFS_ECORRUPT, "file"},
	{"a range shared less than never", "UPDATE shared SET refs = -2", WRITE, LINKFS_ECORRUPT, "file"},
	{"a range shared without end", "UPDATE shared SET refs = ~(1 << 63)", WRITE, LINKFS_ECORRUPT, "file"},
	{"a shared range of no blocks", "UPDATE shared SET count = 0", WRITE, LINKFS_ECORRUPT, "file"},
	{"a shared range that overflows", "UPDATE shared SET count = ~(1 << 63)", WRITE, LINKFS_ECORRUPT, "file"},

	/* what is left to do */
	{"an intent of an unknown kind", "INSERT INTO intent VALUES((9 << 48) + 2, 9, 2, 0, 1)", FINE, 0, NULL},
	{"an intent for no inode", "INSERT INTO intent VALUES((1 << 48) + 9999, 1, 9999, 0, 1)", FINE, 0, NULL},
	{"an intent for a directory", "INSERT INTO intent VALUES((2 << 48) + 3, 2, 3, 0, 1 << 40)", FINE, 0, NULL},
	{"an intent that goes backwards", "INSERT INTO intent VALUES((2 << 48) + 2, 2, 2, 9, 3)", FINE, 0, NULL},
	{"an intent out of the file", "INSERT INTO intent VALUES((2 << 48) + 2, 2, 2, -5, ~(1 << 63))", FINE, 0, NULL},
	{"an intent whose number is another's", "INSERT INTO intent VALUES(-1, 2, 2, 0, 1)", FINE, 0, NULL},
	{"an orphan that has names", "INSERT INTO orphan VALUES(2)", FINE, 0, NULL},
	{"an orphan that is the root", "INSERT INTO orphan VALUES(1)", FINE, 0, NULL},
	{"an orphan that is no inode", "INSERT INTO orphan VALUES(-7), (9999), (~(1 << 63))", FINE, 0, NULL},
};
/* clang-format on */

/* ---- one damage ----------------------------------------------------------------------------------------------------- */

static const char secret = 'k'; /* seed.c's, 192 times */

static char *with_hashes(const char *sql)
{
	char key[192], *out = calloc(1, strlen(sql) + 1024);
	size_t n = 0;
	assert_non_null(out);
	memset(key, secret, sizeof(key));
	for (const char *p = sql; *p; p++) {
		const char *end = *p == '$' ? strchr(p + 1, '$') : NULL;
		if (end) {
			long long hash = lk_name_hash(key, p + 1, (size_t)(end - p - 1));
			n += (size_t)snprintf(out + n, 24, "%lld", hash);
			p = end;
		} else {
			out[n++] = *p;
		}
	}
	return out;
}

static char *make_volume(const char *dir, const struct damage *d)
{
	char *vol = NULL, *sql = with_hashes(d->sql);
	assert_true(asprintf(&vol, "%s/v", dir) > 0);
	seed_plain(vol);
	if (sql[0] == '#') {
		char *table = sql + 1, *change = strchr(table, '#'), *text = NULL;
		assert_non_null(change);
		*change++ = '\0';
		assert_true(asprintf(&text,
				     "CREATE TABLE kept AS SELECT sql FROM sqlite_schema WHERE name = '%s'; PRAGMA "
				     "writable_schema=ON; UPDATE "
				     "sqlite_schema SET sql = replace(replace(sql, ' STRICT', ''), ' NOT NULL', '') "
				     "WHERE name = '%s'",
				     table, table) > 0);
		assert_int_equal(seed_sql(vol, text), 0);
		free(text);
		assert_int_equal(seed_sql(vol, change), 0);
		assert_true(asprintf(&text,
				     "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = (SELECT sql FROM kept) "
				     "WHERE name = '%s'; DROP "
				     "TABLE kept",
				     table) > 0);
		assert_int_equal(seed_sql(vol, text), 0);
		free(text);
	} else {
		assert_int_equal(seed_sql(vol, sql), 0);
	}
	free(sql);
	return vol;
}

static int open_it(const char *vol, uint32_t flags, struct linkfs_volume **out, struct linkfs_message *why)
{
	struct linkfs_open_options o = {.flags = flags, .commit_interval_ms = 3600000};
	*why = (struct linkfs_message){""};
	return linkfs_volume_open(vol, &o, out, why);
}

static int read_all(struct linkfs_volume *v, uint64_t ino, uint64_t size)
{
	static uint8_t buf[65536];
	size_t done = 1;
	int r = 0;
	for (uint64_t at = 0; r == 0 && done && at < size && at < (1 << 20); at += done)
		r = linkfs_node_read(v, ino, at, buf, sizeof(buf), &done);
	return r;
}

static int no_entry(void *arg, const struct linkfs_entry *entry)
{
	*(uint64_t *)arg = entry->cookie;
	return 0;
}

static int list_all(struct linkfs_volume *v, uint64_t ino)
{
	uint64_t at = 0, before;
	int r;
	do {
		before = at;
		r = linkfs_node_readdir(v, NULL, ino, at, 0, no_entry, &at);
	} while (r == 0 && at != before);
	return r;
}

static int probe(struct linkfs_volume *v, const struct damage *d)
{
	static char buf[70000];
	struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct linkfs_make file = {.mode = S_IFREG | 0644};
	struct linkfs_stat st = {0};
	size_t len;
	bool walks = d->probe != MAKE && d->probe != REMOVE && d->probe != FINE;
	int r = walks && strcmp(d->path, "/")
			? linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, d->path, LINKFS_NOFOLLOW, &st)
			: 0;
	if (r || d->probe == STAT)
		return r;
	uint64_t ino = strcmp(d->path ? d->path : "/", "/") ? st.ino : LINKFS_ROOT_INO;
	switch ((int)d->probe) {
	case READ:
		return read_all(v, ino, st.size);
	case LIST:
		return list_all(v, ino);
	case LINK:
		return linkfs_node_readlink(v, ino, buf, sizeof(buf), &len);
	case XATTR:
		return linkfs_node_getxattr(v, NULL, ino, "user.color", buf, 65536, &len);
	case XLIST:
		return linkfs_node_listxattr(v, NULL, ino, buf, 65536, &len);
	case ALLOWED:
		return linkfs_node_access(v, &user, ino, 4);
	case WRITE:
		return linkfs_node_write(v, NULL, ino, 0, "changed", 7, 0, &len, NULL);
	case MAKE:
		return linkfs_path_make(v, NULL, LINKFS_ROOT_INO, d->path, &file, NULL);
	case REMOVE:
		return linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, d->path);
	default:
		return 0;
	}
}

static void expect(const char *name, const char *what, int got, int want)
{
	if (got != want)
		fail_msg("%s: %s: %s instead of %s", name, what, linkfs_error_name(got), linkfs_error_name(want));
}

static void printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			fail_msg("a message holds control characters");
	}
}

static void judge_open(const char *vol, const struct damage *d)
{
	struct linkfs_volume *v = NULL;
	struct linkfs_message why;
	for (uint32_t flags = 0; flags <= LINKFS_OPEN_READONLY; flags++) {
		int want = flags == LINKFS_OPEN_READONLY && d->probe == OPEN_RW ? 0 : d->code;
		int r = open_it(vol, flags, &v, &why);
		if (r == 0)
			assert_int_equal(linkfs_volume_close(v), 0);
		expect(d->name, flags ? "opening to read" : "opening", r, want);
		printable(why.text);
		if (r && !strstr(why.text, d->path))
			fail_msg("%s: \"%s\" does not say \"%s\"", d->name, why.text, d->path);
	}
}

/* A file that the damage is not about reads as it was written, and can be removed. */
static void judge_rest(struct linkfs_volume *v, const struct damage *d)
{
	struct linkfs_stat st;
	const char *other = d->path && !strncmp(d->path, "dir", 3) ? "sparse" : "dir/sub/deep";
	if (!strstr(d->sql, "dirent") && !strstr(d->sql, "ino = 1")) {
		expect(d->name, "another file", linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, other, 0, &st), 0);
		expect(d->name, "another file's content", read_all(v, st.ino, st.size), 0);
	}
}

static void one(const struct damage *d)
{
	struct linkfs_volume *v = NULL;
	struct linkfs_message why;
	struct tour tour = {0};
	char *dir = lk_test_mkdir(), *vol = make_volume(dir, d);
	alarm(HANG_SECONDS);
	if (d->probe == OPEN || d->probe == OPEN_RW) {
		judge_open(vol, d);
	} else {
		bool reads = d->probe != WRITE && d->probe != MAKE && d->probe != REMOVE;
		expect(d->name, "opening", open_it(vol, 0, &v, &why), 0);
		expect(d->name, "the probe", probe(v, d), d->code);
		expect(d->name, "the probe again", probe(v, d), d->code);
		judge_rest(v, d);
		expect(d->name, "closing", linkfs_volume_close(v), 0);
		expect(d->name, "opening to read", open_it(vol, LINKFS_OPEN_READONLY, &v, &why), 0);
		if (reads)
			expect(d->name, "the probe of a reader", probe(v, d), d->code);
		tour_read(v, &tour);
		expect(d->name, "closing", linkfs_volume_close(v), 0);
		expect(d->name, "opening again", open_it(vol, 0, &v, &why), 0);
		tour_read(v, &tour);
		tour_write(v, &tour);
		(void)linkfs_volume_close(v);
		if (open_it(vol, 0, &v, &why) == 0) {
			tour_read(v, &tour);
			(void)linkfs_volume_close(v);
		} else {
			printable(why.text);
		}
	}
	alarm(0);
	free(vol);
	lk_test_rmdir(dir);
}

static void run(void **state)
{
	one(*state);
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[LK_ARRAY_LEN(damages)];
	size_t n = 0;
	for (size_t i = 0; i < LK_ARRAY_LEN(damages); i++) {
		union {
			const struct damage *from;
			void *to;
		} u = {.from = &damages[i]};
		if (argc < 2 || strstr(damages[i].name, argv[1]))
			tests[n++] =
				(struct CMUnitTest){.name = damages[i].name, .test_func = run, .initial_state = u.to};
	}
	return _cmocka_run_group_tests("rows", tests, n, NULL, NULL);
}
