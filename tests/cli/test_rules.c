/*
 * test_rules.c - what a backup leaves out: the rules of gitignore(5), and the simple ones of rsync(1).
 */
#include "backup.h"
#include "test.h"

#include <string.h>

struct ask {
	const char *rules; /* a file of them; NULL: those before */
	const char *path;  /* with a slash at the end: a directory */
	bool excluded;
};

static void judge(const struct ask *asks, size_t count)
{
	struct backup_rules *rules = NULL;
	for (size_t i = 0; i < count; i++) {
		char path[256];
		if (asks[i].rules) {
			backup_rules_free(rules);
			rules = backup_rules_new();
			assert_non_null(rules);
			assert_int_equal(backup_rules_add_text(rules, asks[i].rules, strlen(asks[i].rules)), 0);
		}
		size_t len = strlen(asks[i].path);
		bool dir = asks[i].path[len - 1] == '/';
		memcpy(path, asks[i].path, len + 1);
		path[len - dir] = '\0';
		if (backup_rules_exclude(rules, path, dir) != asks[i].excluded)
			fail_msg("row %zu: %s should %sbe left out", i, asks[i].path, asks[i].excluded ? "" : "not ");
	}
	backup_rules_free(rules);
}

static void patterns_of_gitignore(void **state)
{
	static const struct ask asks[] = {
		/* "A blank line matches no files"; "# serves as a comment"; "\" in front of both */
		{"\n# a\n\n", "# a", false},
		{"\\# a\n", "# a", true},
		{"\\!x\n", "!x", true},
		/* "Trailing spaces are ignored unless they are quoted with backslash" */
		{"x  \n", "x", true},
		{NULL, "x  ", false},
		{"x\\ \n", "x ", true},
		/* without a slash: at any level */
		{"*.o", "a.o", true},
		{NULL, "d/e/a.o", true},
		{NULL, "a.c", false},
		{NULL, "a.o/", true},
		/* "a separator at the beginning or middle": relative to the top only */
		{"/a", "a", true},
		{NULL, "d/a", false},
		{"d/a", "d/a", true},
		{NULL, "e/d/a", false},
		/* "a separator at the end": directories only, at any level */
		{"frotz/", "frotz/", true},
		{NULL, "d/frotz/", true},
		{NULL, "frotz", false},
		{"doc/frotz/", "doc/frotz/", true},
		{NULL, "a/doc/frotz/", false},
		/* "!" takes in again; the last one decides */
		{"*.txt\n!keep.txt\n", "a.txt", true},
		{NULL, "keep.txt", false},
		{"!keep.txt\n*.txt\n", "keep.txt", true},
		{"/*\n!/foo\n/foo/*\n!/foo/bar\n", "baz", true},
		{NULL, "foo/", false},
		{NULL, "foo/x", true},
		{NULL, "foo/bar", false},
		/* "*" and "?" match anything but a slash, "[a-zA-Z]" one of a range */
		{"a*z", "a/z", false},
		{NULL, "abcz", true},
		{"d/*", "d/x", true},
		{NULL, "d/x/y", false},
		{"d/?", "d/x", true},
		{NULL, "d/xy", false},
		{"[a-cX]y", "by", true},
		{NULL, "Xy", true},
		{NULL, "dy", false},
		{"[!a]y", "by", true},
		{NULL, "ay", false},
		{"[]]y", "]y", true},
		{"[[:digit:]]y", "5y", true},
		{NULL, "xy", false},
		{"\\*y", "*y", true},
		{NULL, "xy", false},
		{"[y", "[y", true}, /* no set: itself */
		/* "**" */
		{"**/foo", "foo", true},
		{NULL, "a/b/foo", true},
		{"**/foo/bar", "x/foo/bar", true},
		{NULL, "foo/x/bar", false},
		{"abc/**", "abc/x", true},
		{NULL, "abc/x/y", true},
		{NULL, "abc/", false},
		{"a/**/b", "a/b", true},
		{NULL, "a/x/b", true},
		{NULL, "a/x/y/b", true},
		{NULL, "ab", false},
		{NULL, "x/a/b", false},
		/* CR LF, no newline at the end, bytes that are no text */
		{"x\r\ny", "x", true},
		{NULL, "y", true},
		{"\xff*", "\xff\xfe", true},
	};
	(void)state;
	judge(asks, sizeof(asks) / sizeof(asks[0]));
}

static void rules_of_rsync(void **state)
{
	static const struct ask asks[] = {
		/* the first one that matches decides */
		{"+ keep.o\n- *.o\n", "keep.o", false},
		{NULL, "d/keep.o", false},
		{NULL, "x.o", true},
		{"- *.o\n+ keep.o\n", "keep.o", true},
		{"; c\n# c\n+ a\n- *\n", "a", false},
		{NULL, "b", true},
		/* "/" in front: the top; a slash inside: the end of the path */
		{"- /foo\n", "foo", true},
		{NULL, "d/foo", false},
		{"- foo/bar\n", "foo/bar", true},
		{NULL, "d/foo/bar", true},
		{NULL, "xfoo/bar", false},
		{"- foo/\n", "d/foo/", true},
		{NULL, "foo", false},
		/* wildcards; "**" slashes too; "dir/" with three stars is the directory and all in it */
		{"- /a/*\n", "a/x", true},
		{NULL, "a/x/y", false},
		{"- /a/**\n", "a/x/y", true},
		{NULL, "a/", false},
		{"- a/***\n", "a/", true},
		{NULL, "d/a/", true},
		{NULL, "d/a/x", true},
		{NULL, "a", false},
		/* bare patterns among them are excludes */
		{"+ x\n*.o\n", "a.o", true},
	};
	(void)state;
	judge(asks, sizeof(asks) / sizeof(asks[0]));
}

static void groups(void **state)
{
	struct backup_rules *rules = backup_rules_new();
	static const char file[] = "+ a.o\n- *.o\n";
	(void)state;
	assert_int_equal(backup_rules_add(rules, "*.tmp"), 0);
	assert_int_equal(backup_rules_add_text(rules, file, sizeof(file) - 1), 0);
	assert_int_equal(backup_rules_add(rules, "!b.o"), 0);
	/* The last one with an opinion. */
	assert_true(backup_rules_exclude(rules, "x.tmp", false));
	assert_false(backup_rules_exclude(rules, "a.o", false));
	assert_false(backup_rules_exclude(rules, "b.o", false));
	assert_true(backup_rules_exclude(rules, "c.o", false));
	assert_false(backup_rules_exclude(rules, "c.c", false));
	uint64_t digest = backup_rules_digest(rules, "");
	assert_true(digest != backup_rules_digest(rules, "x"));
	assert_true(digest == backup_rules_digest(rules, ""));
	assert_int_equal(backup_rules_add(rules, "z"), 0);
	assert_true(digest != backup_rules_digest(rules, ""));
	backup_rules_free(rules);
}

/* Patterns that would take for ever end. */
static void stars(void **state)
{
	char pattern[200], path[200];
	struct backup_rules *rules = backup_rules_new();
	(void)state;
	for (size_t i = 0; i < 60; i++)
		memcpy(pattern + i * 2, "*a", 2);
	memcpy(pattern + 120, "b", 2);
	memset(path, 'a', 150);
	path[150] = '\0';
	assert_int_equal(backup_rules_add(rules, pattern), 0);
	assert_false(backup_rules_exclude(rules, path, false));
	backup_rules_free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_of_gitignore),
		cmocka_unit_test(rules_of_rsync),
		cmocka_unit_test(groups),
		cmocka_unit_test(stars),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
