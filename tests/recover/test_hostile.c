/*
 * test_hostile.c - volumes made to hurt: pages with nonsense and checksums that hold, and trees that are whole and say what cannot
 * be. A recovery of them ends, harms nothing, and what it makes is a sound volume.
 *
 * LINKFS_LONG=1: a hundred times as many.
 */
#include "damage.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfs_sum.h>

/* Changes that a parser may stumble over: bytes of the header, of the table of cells, of cells, of a chain's pointer. */
static void hurt_page(struct file_image *db, uint32_t page, struct lk_test_random *random)
{
	uint8_t *p = db->p + (size_t)(page - 1) * PAGE;
	uint64_t edits = 1 + lk_test_below(random, 12);
	for (uint64_t i = 0; i < edits; i++) {
		uint64_t area = lk_test_below(random, 6), at = lk_test_below(random, 4080);
		if (area == 0)
			at = (page == 1 ? 100 : 0) + lk_test_below(random, 12);
		else if (area <= 2)
			at = (page == 1 ? 100 : 0) + lk_test_below(random, 200);
		else if (area == 3) { /* where a cell begins */
			uint64_t pointer = 8 + 2 * lk_test_below(random, 30);
			at = ((uint64_t)p[pointer] << 8 | p[pointer + 1]) % 4070 + lk_test_below(random, 10);
		}
		static const uint8_t bad[] = {0, 1, 0x7f, 0x80, 0xff, 2, 5, 10, 13};
		p[at] = lk_test_below(random, 2) ? bad[lk_test_below(random, sizeof(bad))]
						 : (uint8_t)lk_test_next(random);
	}
	page_sum(db, page);
}

/* One page becomes a copy of another one. */
static void swap_page(struct file_image *db, uint32_t page, uint32_t count, struct lk_test_random *random)
{
	uint32_t from = 1 + (uint32_t)lk_test_below(random, count);
	if (page == 1 || from == 1)
		return;
	memcpy(db->p + (size_t)(page - 1) * PAGE, db->p + (size_t)(from - 1) * PAGE, PAGE);
	page_sum(db, page);
}

static void pages_with_nonsense(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	unsigned rounds = lk_test_long() ? 20000 : 200, failed = 0, built = 0;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 80, 7), *to = NULL;
	struct file_image good, none = {0};
	uint32_t count;
	struct page_info *pages = map_pages(path, &count);
	image_read(path, "meta.db", &good);
	image_write(path, "meta.db-wal", &none);
	if (asprintf(&to, "%s/new", dir) < 0)
		fail_msg("out of memory");
	for (unsigned round = 0; round < rounds; round++) {
		struct file_image db = good;
		struct report report;
		struct tree is;
		db.p = malloc(good.len);
		assert_non_null(db.p);
		memcpy(db.p, good.p, good.len);
		for (uint32_t page = 1; page <= count; page++) {
			if (!pages[page].tree[0] || lk_test_below(&random, 8))
				continue;
			if (lk_test_below(&random, 5))
				hurt_page(&db, page, &random);
			else
				swap_page(&db, page, count, &random);
		}
		image_write(path, "meta.db", &db);
		bool build = round % 4 == 0;
		int r = recover(path, build ? to : NULL, &report);
		if (r && r != LINKFS_ECORRUPT)
			fail_msg("round %u: %s: %s", round, linkfs_error_name(r), report.why.text);
		failed += r != 0;
		if (build && r == 0) {
			tree_of(to, &is); /* opens, and every byte of it can be read */
			tree_done(&is);
			lk_test_rmdir(strdup(to));
			built++;
		}
		report_done(&report);
		image_done(&db);
	}
	printf("# %u rounds of nonsense: %u volumes made and read, %u times nothing was left\n", rounds, built, failed);
	assert_true(built > rounds / 8);
	image_done(&good);
	free(pages);
	free(to);
	free(path);
	lk_test_rmdir(dir);
}

/* Files of noise, of any length. */
static void no_database_at_all(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 5, 7);
	static const char *const names[] = {"meta.db", "meta.db-wal"};
	for (unsigned round = 0; round < (lk_test_long() ? 2000u : 60u); round++) {
		struct report report;
		for (int i = 0; i < 2; i++) {
			struct file_image noise = {.len = lk_test_below(&random, 50000), .there = true};
			noise.p = malloc(noise.len + 1);
			assert_non_null(noise.p);
			for (size_t b = 0; b < noise.len; b++)
				noise.p[b] = (uint8_t)lk_test_next(&random);
			image_write(path, names[i], &noise);
			image_done(&noise);
		}
		int r = recover(path, NULL, &report);
		if (r != LINKFS_ECORRUPT)
			fail_msg("noise: %s: %s", linkfs_error_name(r), report.why.text);
		report_done(&report);
	}
	free(path);
	lk_test_rmdir(dir);
}

/* ---- trees that are whole and say what cannot be ---------------------------------------------------------------------- */

struct scene {
	char *dir, *path, *to;
	struct tree is;
	struct report report;
};

static void sql(const char *path, const char *text)
{
	char file[4200], *message = NULL;
	sqlite3 *handle = NULL;
	(void)snprintf(file, sizeof(file), "%s/meta.db", path);
	assert_int_equal(sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	if (sqlite3_exec(handle, text, NULL, NULL, &message))
		fail_msg("%s: %s", text, message);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

/* /a (2), /a/b (3), /a/b/c (4), /a/b/c/file (5), /plain (6), /link (7): a symlink. */
static void scene_make(struct scene *s, const char *change)
{
	static const char *const dirs[] = {"/a", "/a/b", "/a/b/c"}, *const files[] = {"/a/b/c/file", "/plain"};
	struct linkfs_make directory = {.mode = S_IFDIR | 0755}, file = {.mode = S_IFREG | 0644};
	struct linkfs_volume *v;
	struct linkfs_stat st;
	*s = (struct scene){.dir = lk_test_mkdir()};
	if (asprintf(&s->path, "%s/v", s->dir) < 0 || asprintf(&s->to, "%s/new", s->dir) < 0)
		fail_msg("out of memory");
	assert_int_equal(linkfs_volume_create(s->path, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_open(s->path, NULL, &v, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(linkfs_path_make(v, NULL, 1, dirs[i], &directory, &st), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(linkfs_path_make(v, NULL, 1, files[i], &file, &st), 0);
		assert_int_equal(linkfs_node_write(v, NULL, st.ino, 0, files[i], 4, 0, NULL, NULL), 0);
	}
	assert_int_equal(linkfs_path_symlink(v, NULL, "to", 1, "/link", &st), 0);
	assert_int_equal(st.ino, 7);
	assert_int_equal(linkfs_volume_close(v), 0);
	sql(s->path, change);
	int r = recover(s->path, s->to, &s->report);
	if (r)
		fail_msg("%s: %s: %s", change, linkfs_error_name(r), s->report.why.text);
	tree_of(s->to, &s->is);
}

static void scene_done(struct scene *s)
{
	tree_done(&s->is);
	report_done(&s->report);
	free(s->path);
	free(s->to);
	lk_test_rmdir(s->dir);
}

static void expect(const struct scene *s, const char *path)
{
	if (!tree_find(&s->is, path)) {
		for (size_t i = 0; i < s->is.len; i++)
			printf("# there is %s\n", s->is.p[i].path);
		fail_msg("%s is not there", path);
	}
}

static void expect_told(const struct scene *s, enum linkfs_recover_what what, uint64_t ino)
{
	if (!report_has(&s->report, what, ino))
		fail_msg("problem %d of inode %llu is not told", what, (unsigned long long)ino);
	assert_false(s->report.result.complete);
}

static void directories_in_a_circle(void **state)
{
	(void)state;
	struct scene s;
	scene_make(&s, "UPDATE dirent SET dir=4 WHERE ino=2"); /* a lies in c, which lies in b, which lies in a */
	unsigned cut = 0;
	for (uint64_t ino = 2; ino <= 4; ino++)
		cut += report_has(&s.report, LINKFS_RECOVER_PLACE_LOST, ino);
	assert_int_equal(cut, 1);
	assert_int_equal(s.report.result.directories, 3);
	assert_int_equal(s.is.len, 1 + 6 + 1); /* the root, all six, lost+found */
	scene_done(&s);
	scene_make(&s, "UPDATE dirent SET dir=2 WHERE ino=2"); /* in itself */
	expect(&s, "/lost+found/#2/b/c/file");
	expect_told(&s, LINKFS_RECOVER_PLACE_LOST, 2);
	scene_done(&s);
}

static void names_that_are_none(void **state)
{
	(void)state;
	struct scene s;
	scene_make(&s, "UPDATE dirent SET name=x'612f62' WHERE ino=6");
	expect(&s, "/lost+found/#6");
	expect_told(&s, LINKFS_RECOVER_PLACE_LOST, 6);
	scene_done(&s);
	scene_make(&s, "UPDATE dirent SET name=x'2e2e' WHERE ino=4");
	expect(&s, "/lost+found/#4/file");
	expect_told(&s, LINKFS_RECOVER_PLACE_LOST, 4);
	scene_done(&s);
}

static void names_of_nothing(void **state)
{
	(void)state;
	struct scene s;
	scene_make(&s, "DELETE FROM inode WHERE ino=6; DELETE FROM \"inline\" WHERE ino=6");
	assert_null(tree_find(&s.is, "/plain"));
	expect_told(&s, LINKFS_RECOVER_FILE_LOST, 6);
	scene_done(&s);
	scene_make(&s, "DELETE FROM inode WHERE ino=3"); /* something lies in it */
	expect(&s, "/a/b/c/file");
	expect_told(&s, LINKFS_RECOVER_ATTRIBUTES_LOST, 3);
	scene_done(&s);
	scene_make(&s, "DELETE FROM target");
	assert_null(tree_find(&s.is, "/link"));
	expect_told(&s, LINKFS_RECOVER_FILE_LOST, 7);
	scene_done(&s);
}

static void files_without_names(void **state)
{
	(void)state;
	struct scene s;
	scene_make(&s, "DELETE FROM dirent WHERE ino IN (3, 6)");
	expect(&s, "/lost+found/#3/c/file");
	expect(&s, "/lost+found/#6");
	expect_told(&s, LINKFS_RECOVER_PLACE_LOST, 3);
	expect_told(&s, LINKFS_RECOVER_PLACE_LOST, 6);
	assert_int_equal(s.report.result.nameless, 2);
	scene_done(&s);
}

static void a_second_name_of_a_directory(void **state)
{
	(void)state;
	struct scene s;
	scene_make(&s, "INSERT INTO dirent SELECT 4, hash, ord, ino, type, name, born FROM dirent WHERE ino=3");
	assert_int_equal(s.report.result.directories, 3);
	scene_done(&s);
}

static void numbers_out_of_bounds(void **state)
{
	(void)state;
	static const char *const changes[] = {
		"UPDATE inode SET size=17592186040320, flags=0 WHERE ino=6",
		("UPDATE inode SET size=1000000, flags=0 WHERE ino=6;"
		 "INSERT INTO extent VALUES(6,0,1099511627775,64,0,0,0,zeroblob(512),1);"
		 "INSERT INTO extent VALUES(6,10,0,4398046511103,1,0,0,x'',1);"
		 "INSERT INTO extent VALUES(6,20,5,30,0,0,0,zeroblob(240),1)"),
		"UPDATE inode SET nlink=2147483647",
		"UPDATE inode SET mode=16877 WHERE ino=6",
		"UPDATE inode SET mode=33188 WHERE ino=3",
		"UPDATE inode SET xattr_count=2147483647",
		("INSERT INTO xattr VALUES(6,x'6e6f6e73656e7365',x'01',1);"
		 "INSERT INTO xattr VALUES(6,x'73797374656d2e706f7369785f61636c5f616363657373',x'0102',1);"
		 "INSERT INTO xattr VALUES(7,x'757365722e78',zeroblob(65536),1)"),
		"INSERT INTO intent VALUES(562949953421318,2,6,-1,9223372036854775807)",
		"INSERT INTO intent VALUES(562949953421318,2,6,9223372036854775807,9223372036854775807)",
		"UPDATE inode SET atime_ns=-9223372036854775808, mtime_ns=9223372036854775807",
		"UPDATE inode SET uid=4294967295, gid=4294967295, rdev=9223372036854775807",
		"UPDATE super SET limit_blocks=1",
		"UPDATE counter SET value=9223372036854775807",
		"DELETE FROM super; DELETE FROM counter; DELETE FROM grp",
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct scene s;
		scene_make(&s, changes[i]);
		scene_done(&s);
	}
}

/* A row that breaks a rule of docs/FORMAT.md is not taken, and what is missing for that is told. */
#define EXTENT(values)                                                                                                 \
	"UPDATE inode SET size=8192,flags=0 WHERE ino=6; DELETE FROM \"inline\" WHERE ino=6;"                          \
	"INSERT INTO extent VALUES(6," values ")"
#define XATTR(values) "UPDATE inode SET xattr_count=1 WHERE ino=6; INSERT INTO xattr VALUES(6," values ")"

static void rows_that_break_a_rule(void **state)
{
	static const struct {
		const char *change;
		enum linkfs_recover_what told;
		uint64_t ino;
	} rows[] = {
		{"UPDATE inode SET uid=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET uid=4294967296 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET gid=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET gid=4294967296 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET nlink=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET nlink=2147483648 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET size=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET size=1<<62 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET size=4096 WHERE ino=7", LINKFS_RECOVER_ATTRIBUTES_LOST, 7},
		{"UPDATE inode SET blocks=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET rdev=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET flags=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET flags=65536 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET xattr_count=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET xattr_count=1<<40 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET born=0 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET mode=-1 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET mode=65536+33188 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{"UPDATE inode SET mode=420 WHERE ino=6", LINKFS_RECOVER_ATTRIBUTES_LOST, 6},
		{EXTENT("-1,0,2,1,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,0,1,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,1<<62,1,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,2,1,0,0,x'',0"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,1,2,1,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,2,1,0,0,x'00',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,-1,2,2,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,1<<62,2,2,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,2,2,0,0,x'00',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,32769,2,0,0,x'',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,2,0,0,0,x'00',1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,129,0,0,0,zeroblob(129*8),1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{EXTENT("0,0,2,9,0,0,zeroblob(16),1"), LINKFS_RECOVER_RANGE_LOST, 6},
		{"UPDATE \"inline\" SET content=x'' WHERE ino=6", LINKFS_RECOVER_RANGE_LOST, 6},
		{"UPDATE \"inline\" SET born=0 WHERE ino=6", LINKFS_RECOVER_RANGE_LOST, 6},
		{XATTR("x'',x'31',1"), LINKFS_RECOVER_XATTRS_LOST, 6},
		{XATTR("x'757365722e0078',x'31',1"), LINKFS_RECOVER_XATTRS_LOST, 6},
		{XATTR("x'757365722e78',zeroblob(65537),1"), LINKFS_RECOVER_XATTRS_LOST, 6},
		{XATTR("x'757365722e78',x'31',0"), LINKFS_RECOVER_XATTRS_LOST, 6},
		{"UPDATE target SET text=x''", LINKFS_RECOVER_FILE_LOST, 7},
		{"UPDATE target SET text=x'610062'", LINKFS_RECOVER_FILE_LOST, 7},
		{"UPDATE target SET text=CAST(zeroblob(4096) AS BLOB)", LINKFS_RECOVER_FILE_LOST, 7},
		{"UPDATE target SET born=0", LINKFS_RECOVER_FILE_LOST, 7},
		{"UPDATE dirent SET dir=0 WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET hash=15 WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET hash=1<<56 WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET ord=256 WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET ino=0 WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET name=x'' WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET name=x'2e' WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET name=x'610062' WHERE ino=6", LINKFS_RECOVER_PLACE_LOST, 6},
		{"UPDATE dirent SET name=CAST(replace(hex(zeroblob(128)),'0','x') AS BLOB) WHERE ino=6",
		 LINKFS_RECOVER_PLACE_LOST, 6},
	};
	static const char *const supers[] = {
		"UPDATE super SET uuid=x'00'",      "UPDATE super SET name_secret=zeroblob(191)",
		"UPDATE super SET block_size=512",  "UPDATE super SET label=zeroblob(256)",
		"UPDATE super SET limit_blocks=-1",
	};
	struct scene s;
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(rows); i++) {
		scene_make(&s, rows[i].change);
		if (!report_has(&s.report, rows[i].told, rows[i].ino))
			fail_msg("%s: problem %d of inode %llu is not told\n", rows[i].change, rows[i].told,
				 (unsigned long long)rows[i].ino);
		expect(&s, "/a/b/c/file");
		scene_done(&s);
	}
	/* Names are taken as they are where the secret is lost. */
	for (size_t i = 0; i < LK_ARRAY_LEN(supers); i++) {
		scene_make(&s, supers[i]);
		assert_true(s.report.result.secret_lost);
		expect(&s, "/a/b/c/file");
		expect(&s, "/plain");
		expect(&s, "/link");
		scene_done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_that_break_a_rule), cmocka_unit_test(directories_in_a_circle),
		cmocka_unit_test(names_that_are_none),    cmocka_unit_test(names_of_nothing),
		cmocka_unit_test(files_without_names),    cmocka_unit_test(a_second_name_of_a_directory),
		cmocka_unit_test(numbers_out_of_bounds),  cmocka_unit_test(no_database_at_all),
		cmocka_unit_test(pages_with_nonsense),
	};
	return cmocka_run_group_tests_name("recover-hostile", tests, NULL, NULL);
}
