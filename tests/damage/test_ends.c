/*
 * test_ends.c - checks and repairs that the caller ends, at each progress and each finding; and what repair does where its own names are
 * taken: /lost+found is a file, or has the number already.
 */
#include "disturbed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct found found;

/* ---- ended by the caller ------------------------------------------------------------------------------------------------ */

struct ender {
	unsigned progress, finding; /* calls until it ends the check; 0: never */
	unsigned calls;             /* of the one that counts */
};

static int on_progress(void *arg, const struct linkfs_check_progress *p)
{
	struct ender *e = arg;
	assert_true(p->pass[0] && p->number >= 1 && p->number <= p->of);
	return e->progress && ++e->calls == e->progress;
}

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	struct ender *e = arg;
	assert_non_null(f->problem);
	return e->finding && ++e->calls == e->finding;
}

/* Whether it was ended; it then says so. */
static bool run(const struct disturbed *d, uint32_t flags, struct ender *e)
{
	struct linkfs_check_options options = {
		.flags = flags, .finding = on_finding, .progress = on_progress, .arg = e};
	struct linkfs_check_summary out = {.problems = 4711};
	struct linkfs_message why = {""};
	e->calls = 0;
	int r = linkfs_check(d->b.s.path, &options, &out, &why);
	if (r == 0) {
		assert_true(out.problems != 4711);
		return false;
	}
	if (r != LINKFS_EINTR || !strstr(why.text, "interrupted"))
		fail_msg("%s: ended by the caller, and then: %s: %s", d->story, linkfs_error_name(r), why.text);
	assert_int_equal(out.problems, 4711); /* an output is untouched on failure */
	return true;
}

static void each_end(struct disturbed *d, bool progress)
{
	unsigned ends = 0;
	for (unsigned at = 1;; at++, ends++) {
		char when[80];
		struct ender e = {.progress = progress ? at : 0, .finding = progress ? 0 : at};
		struct tree rows;
		char text[2000];
		image_put(&d->damaged, d->b.s.path);
		bool ended = run(d, LINKFS_CHECK_DATA, &e);
		tree_rows(d->b.s.path, false, &rows);
		if (tree_differ(&d->rows, &rows, NULL, text, sizeof(text)))
			fail_msg("%s: a check that is ended changes rows:%s", d->story, text);
		tree_done(&rows);
		image_put(&d->damaged, d->b.s.path);
		if (!run(d, LINKFS_CHECK_REPAIR, &e) && !ended)
			break;
		(void)snprintf(when, sizeof(when), "ended at %s %u", progress ? "progress" : "finding", at);
		disturbed_goes_on(d, when);
	}
	/* Each pass tells of its progress. */
	assert_true(ends >= (progress ? 14u : 2u));
}

static void the_caller_ends_it(void **state)
{
	struct lk_test_random random = {lk_test_seed() * 5000};
	struct disturbed d;
	(void)state;
	disturbed_make(&d);
	for (unsigned round = 0; round < (lk_test_long() ? 100u : 4u); round++) {
		const struct damage *all[4];
		struct linkfs_check_options options = {.flags = LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP};
		for (unsigned i = 0; i < 4; i++)
			all[i] = disturbed_draw(&random);
		disturbed_damage(&d, all, 4);
		assert_int_equal(linkfs_check(d.b.s.path, &options, NULL, NULL), 0);
		disturbed_note(&d);
		each_end(&d, true);
		each_end(&d, false);
	}
	disturbed_done(&d);
}

static void a_volume_that_cannot_be_opened_ends_too(void **state)
{
	struct disturbed d;
	struct ender e = {.finding = 1};
	struct linkfs_check_options options = {.finding = on_finding, .arg = &e};
	struct linkfs_check_summary out;
	(void)state;
	disturbed_make(&d);
	base_put(&d.b);
	for (size_t i = 0; i < damage_count; i++) {
		if (strcmp(damages[i].id, "unopenable") == 0)
			(void)damage_make(&d.b.s, &damages[i]);
	}
	assert_int_equal(linkfs_check(d.b.s.path, &options, &out, NULL), LINKFS_EINTR);
	options.finding = NULL;
	assert_int_equal(linkfs_check(d.b.s.path, &options, &out, NULL), 0);
	assert_true(out.problems == 1 && out.left == 1);
	disturbed_done(&d);
}

/* Many mends are several transactions: what was mended before the end stays so. */
static void what_was_mended_before_the_end_stays(void **state)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_volume *v;
	struct linkfs_stat st;
	struct base b;
	char name[32];
	unsigned files = 3000;
	(void)state;
	base_make(&b);
	assert_int_equal(linkfs_volume_open(b.s.path, NULL, &v, NULL), 0);
	for (unsigned i = 0; i < files; i++) {
		(void)snprintf(name, sizeof(name), "file%u", i);
		assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, name, &how, &st), 0);
	}
	assert_int_equal(linkfs_volume_close(v), 0);
	sample_sql(&b.s, "UPDATE inode SET nlink=9 WHERE ino>18");
	struct ender e = {.finding = files - 100};
	struct linkfs_check_options options = {
		.flags = LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, .finding = on_finding, .arg = &e};
	assert_int_equal(linkfs_check(b.s.path, &options, NULL, NULL), LINKFS_EINTR);
	sample_check(&b.s, 0, &found);
	assert_true(found.sum.problems >= 100 && found.sum.problems < files);
	sample_check(&b.s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &found);
	assert_int_equal(found.sum.left, 0);
	sample_check(&b.s, 0, &found);
	assert_int_equal(found.sum.problems, 0);
	base_done(&b);
}

/* ---- what the caller asks for ------------------------------------------------------------------------------------------- */

static void the_copy_has_its_name_alone(void **state)
{
	struct disturbed d;
	char path[4300], long_path[5000];
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_REPAIR, .backup = path};
	struct linkfs_check_summary out;
	struct linkfs_message why = {""};
	struct stat st;
	(void)state;
	disturbed_make(&d);
	base_put(&d.b);
	(void)snprintf(path, sizeof(path), "%s/copy", d.b.s.dir);
	sample_sql(&d.b.s, "UPDATE inode SET nlink=9 WHERE ino=4");
	/* A name that is taken, one that is too long, one in a directory that is not there: nothing is mended. */
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(linkfs_check(d.b.s.path, &options, &out, &why), LINKFS_EEXIST);
	assert_non_null(strstr(why.text, path));
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	options.backup = long_path;
	assert_int_equal(linkfs_check(d.b.s.path, &options, &out, &why), LINKFS_ENAMETOOLONG);
	(void)snprintf(path, sizeof(path), "%s/nowhere/copy", d.b.s.dir);
	options.backup = path;
	assert_int_equal(linkfs_check(d.b.s.path, &options, &out, &why), LINKFS_ENOENT);
	sample_check(&d.b.s, 0, &found);
	assert_true(found_id(&found, "inode-nlink"));
	/* Two repairs within one second: two copies. */
	options.backup = NULL;
	assert_int_equal(linkfs_check(d.b.s.path, &options, &out, NULL), 0);
	assert_int_equal(stat(out.backup, &st), 0);
	(void)snprintf(path, sizeof(path), "%s", out.backup);
	for (unsigned i = 0; i < 3; i++) {
		sample_sql(&d.b.s, "UPDATE inode SET nlink=9 WHERE ino=4");
		assert_int_equal(linkfs_check(d.b.s.path, &options, &out, NULL), 0);
		assert_int_equal(stat(out.backup, &st), 0);
		assert_string_not_equal(out.backup, path);
	}
	disturbed_done(&d);
}

/* ---- names of repair's own ---------------------------------------------------------------------------------------------- */

static void make(const struct sample *s, const char *path, uint32_t mode)
{
	struct linkfs_volume *v;
	struct linkfs_make how = {.mode = mode};
	struct linkfs_stat st;
	assert_int_equal(linkfs_volume_open(s->path, NULL, &v, NULL), 0);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, path, &how, &st), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
}

/* /small loses its name and comes back as path, whole. */
static void comes_back_as(const struct sample *s, const char *path)
{
	struct tree tree;
	char key[300];
	sample_sql(s, "DELETE FROM dirent WHERE ino=4");
	sample_check(s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &found);
	if (found.sum.left)
		fail_msg("%s: repair leaves:%s", path, found_all(&found));
	sample_check(s, LINKFS_CHECK_DATA, &found);
	if (found.sum.problems)
		fail_msg("%s: the second run finds:%s", path, found_all(&found));
	tree_open(s->path, 0, &tree);
	(void)snprintf(key, sizeof(key), "%s ino", path);
	const char *ino = tree_value(&tree, key);
	if (!ino || strcmp(ino, "4") != 0)
		fail_msg("%s is inode %s", path, ino ? ino : "none");
	(void)snprintf(key, sizeof(key), "%s size", path);
	assert_string_equal(tree_value(&tree, key), "100");
	tree_done(&tree);
}

static void lost_and_found_finds_a_name(void **state)
{
	struct base b;
	(void)state;
	base_make(&b);
	/* A directory that is there is used; a number that is taken there gets another one behind it. */
	make(&b.s, "lost+found", S_IFDIR | 0755);
	comes_back_as(&b.s, "/lost+found/#4");
	base_put(&b);
	make(&b.s, "lost+found", S_IFDIR | 0755);
	make(&b.s, "lost+found/#4", S_IFREG | 0644);
	comes_back_as(&b.s, "/lost+found/#4#4.1");
	base_put(&b);
	make(&b.s, "lost+found", S_IFDIR | 0755);
	make(&b.s, "lost+found/#4", S_IFREG | 0644);
	make(&b.s, "lost+found/#4#4.1", S_IFREG | 0644);
	comes_back_as(&b.s, "/lost+found/#4#4.2");
	/* Where that name is a file's, the next one is taken. */
	base_put(&b);
	make(&b.s, "lost+found", S_IFREG | 0644);
	comes_back_as(&b.s, "/lost+found.1/#4");
	base_put(&b);
	make(&b.s, "lost+found", S_IFREG | 0644);
	make(&b.s, "lost+found.1", S_IFIFO | 0644);
	make(&b.s, "lost+found.2", S_IFDIR | 0755);
	comes_back_as(&b.s, "/lost+found.2/#4");
	base_done(&b);
}

/* A path longer than any path is left out of a finding, which is told all the same; and names that are no text are told as text. */
static void what_has_no_path_is_told_without(void **state)
{
	struct linkfs_volume *v;
	struct linkfs_make how = {.mode = S_IFDIR | 0755};
	struct linkfs_stat st = {.ino = LINKFS_ROOT_INO};
	char name[251], sql[200];
	struct base b;
	(void)state;
	base_make(&b);
	memset(name, 'd', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(linkfs_volume_open(b.s.path, NULL, &v, NULL), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(linkfs_path_make(v, NULL, st.ino, name, &how, &st), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	(void)snprintf(sql, sizeof(sql), "UPDATE inode SET nlink=9 WHERE ino=%llu", (unsigned long long)st.ino);
	sample_sql(&b.s, sql);
	sample_check(&b.s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &found);
	assert_true(found.count == 1 && found_id(&found, "inode-nlink") && found.ino[0] == st.ino);
	base_put(&b);
	sample_sql(&b.s, "UPDATE dirent SET name=x'225c0a7f61' WHERE ino=13");
	sample_check(&b.s, 0, &found);
	bool told = false;
	for (size_t i = 0; i < found.count; i++)
		told |= strstr(found.text[i], "\"\\042\\134\\012\\177a\"") != NULL;
	if (!told)
		fail_msg("the name is not told as text:%s", found_all(&found));
	base_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_caller_ends_it),
		cmocka_unit_test(a_volume_that_cannot_be_opened_ends_too),
		cmocka_unit_test(what_was_mended_before_the_end_stays),
		cmocka_unit_test(the_copy_has_its_name_alone),
		cmocka_unit_test(lost_and_found_finds_a_name),
		cmocka_unit_test(what_has_no_path_is_told_without),
	};
	return cmocka_run_group_tests_name("damage-ends", tests, NULL, NULL);
}
