/*
 * test_problems.c - proof P4: every problem of the table is made, named at its place and with nothing else but what follows from it, mended,
 * and the second run is clean; the volume opens, and what the damage did not touch is as before; the copy that repair makes is the
 * state before; the command's exit statuses tell the same.
 */
#include "damage.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct findings {
	struct linkfs_check_summary sum;
	struct {
		const struct linkfs_problem *problem;
		char text[256], path[128];
		bool has_path;
		int repaired;
	} at[256];
	size_t count;
};

/* Each damage is judged to its end, so that one run tells of all. */
static unsigned complaints;
#define complain(...)                                                                                                  \
	do {                                                                                                           \
		complaints++;                                                                                          \
		print_message("# " __VA_ARGS__);                                                                       \
		print_message("\n");                                                                                   \
	} while (0)

/* The text is the problem's format with the finding's own numbers in it. */
static void agrees(const struct linkfs_finding *f)
{
	char pattern[700];
	size_t n = 0;
	for (const char *p = f->problem->format; *p && n < sizeof(pattern) - 300;) {
		if (*p != '{') {
			pattern[n++] = *p++;
			continue;
		}
		size_t len = strcspn(p, "}") + 1;
		uint64_t number = strncmp(p, "{ino}", len) == 0 ? f->ino : strncmp(p, "{dir}", len) == 0 ? f->dir : 0;
		bool block = strncmp(p, "{block}", len) == 0 && f->block != LINKFS_NO_BLOCK;
		if (number || block)
			n += (size_t)sprintf(pattern + n, "%llu", (unsigned long long)(block ? f->block : number));
		else if (strncmp(p, "{name}", len) == 0 && f->name && !memchr(f->name, 0, f->name_len))
			n += (size_t)sprintf(pattern + n, "\"%.*s\"", (int)f->name_len, f->name);
		else
			pattern[n++] = '*';
		p += len;
	}
	pattern[n] = '\0';
	if (fnmatch(pattern, f->text, FNM_NOESCAPE))
		fail_msg("the text \"%s\" of %s is not what the finding says: \"%s\"", f->text, f->problem->id,
			 pattern);
}

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	struct findings *k = arg;
	agrees(f);
	if (k->count == LK_ARRAY_LEN(k->at))
		return 0;
	k->at[k->count].problem = f->problem;
	(void)snprintf(k->at[k->count].text, sizeof(k->at[0].text), "%s", f->text);
	(void)snprintf(k->at[k->count].path, sizeof(k->at[0].path), "%s", f->path ? f->path : "");
	k->at[k->count].has_path = f->path;
	k->at[k->count++].repaired = f->repaired;
	return 0;
}

static void check(const struct sample *s, uint32_t flags, struct findings *out)
{
	struct linkfs_check_options options = {.flags = flags, .finding = on_finding, .arg = out};
	struct linkfs_message why = {""};
	out->count = 0;
	int r = linkfs_check(s->path, &options, &out->sum, &why);
	if (r)
		fail_msg("%s: %s", linkfs_error_name(r), why.text);
}

static const char *all(const struct findings *f)
{
	static char text[8192];
	size_t n = 0;
	text[0] = '\0';
	for (size_t i = 0; i < f->count && n < sizeof(text) - 500; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\n  %s: %s [%s]", f->at[i].problem->id,
				      f->at[i].text, f->at[i].has_path ? f->at[i].path : "no path");
	return text;
}

/* ---- one damage --------------------------------------------------------------------------------------------------------- */

static void is_named(const struct damage *d, const struct findings *f)
{
	bool named = false;
	for (size_t i = 0; i < f->count; i++) {
		const char *id = f->at[i].problem->id;
		if (strcmp(id, d->id) != 0) {
			if (!tree_matches(d->also, id))
				complain("%s: %s was named too:%s", damage_how(d), id, all(f));
			continue;
		}
		bool path = d->path ? f->at[i].has_path && fnmatch(d->path, f->at[i].path, FNM_NOESCAPE) == 0
				    : !f->at[i].has_path;
		if (!named && (fnmatch(d->text, f->at[i].text, FNM_NOESCAPE) || !path))
			complain("%s: was named at another place than %s, %s:%s", damage_how(d), d->text,
				 d->path ? d->path : "no path", all(f));
		named = true;
	}
	if (!named)
		complain("%s: was not named:%s", damage_how(d), all(f));
	assert_int_equal(f->sum.problems, f->sum.left);
	assert_int_equal(f->sum.problems, f->count);
	assert_int_equal(f->sum.backup[0], 0);
}

/* KEY=VALUE, words apart by spaces. */
static void is_there(const struct damage *d, const struct tree *t)
{
	char word[200];
	for (const char *p = d->after; p && *p;) {
		size_t len = strcspn(p, " ");
		(void)snprintf(word, sizeof(word), "%.*s", (int)len, p);
		char *value = strrchr(word, '=');
		*value++ = '\0';
		char *field = strrchr(word, '~');
		*field = ' ';
		const char *have = tree_value(t, word);
		if (!have || strcmp(have, value) != 0)
			complain("%s: \"%s\" is %s afterwards, not %s", damage_how(d), word, have ? have : "absent",
				 value);
		p += len + (p[len] == ' ');
	}
}

static void is_as_before(const struct base *b, const struct damage *d)
{
	struct tree tree, history;
	char text[4096];
	tree_open(b->s.path, 0, &tree);
	size_t n = tree_differ(&b->tree, &tree, d->changes, text, sizeof(text));
	if (n)
		complain("%s: %zu things changed that it did not touch:%s", damage_how(d), n, text);
	is_there(d, &tree);
	tree_rows(b->s.path, true, &history);
	n = tree_differ(&b->history, &history, d->changes, text, sizeof(text));
	if (n)
		complain("%s: %zu rows of history changed that it did not touch:%s", damage_how(d), n, text);
	tree_done(&tree);
	tree_done(&history);
}

/* The copy in the place of the database: all rows are as they were before the repair. */
static void the_copy_is_the_state_before(const struct base *b, const struct damage *d, const char *backup,
					 const struct tree *damaged)
{
	char name[4300];
	struct tree rows;
	char text[4096];
	(void)snprintf(name, sizeof(name), "%s/meta.db-wal", b->s.path);
	(void)unlink(name);
	(void)snprintf(name, sizeof(name), "%s/meta.db", b->s.path);
	assert_int_equal(rename(backup, name), 0);
	tree_rows(b->s.path, false, &rows);
	size_t n = tree_differ(damaged, &rows, NULL, text, sizeof(text));
	if (n)
		complain("%s: the copy differs from the state before:%s", damage_how(d), text);
	tree_done(&rows);
}

static bool same_findings(const struct findings *a, const struct findings *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (a->at[i].problem != b->at[i].problem || strcmp(a->at[i].text, b->at[i].text) != 0)
			return false;
	}
	return true;
}

static void stays(const struct base *b, const struct damage *d, const struct findings *before, uint32_t flags)
{
	static struct findings f;
	struct image now, then;
	image_take(b->s.path, &then);
	check(&b->s, flags, &f);
	if (f.sum.repaired)
		fail_msg("%s: repaired without leave:%s", damage_how(d), all(&f));
	assert_int_equal(f.sum.left, before->sum.left);
	assert_int_equal(f.sum.backup[0], 0);
	assert_true(same_findings(before, &f));
	image_take(b->s.path, &now);
	for (size_t i = 0; i < then.count; i++) {
		const struct image_file *x = &then.files[i], *y = image_file(&now, x->name);
		if (!y || x->len != y->len || memcmp(x->bytes, y->bytes, x->len) != 0)
			complain("%s: a repair that repairs nothing changed %s", damage_how(d), x->name);
	}
	image_done(&now);
	image_done(&then);
}

/* What is left of a volume that cannot be mended is right or an error. */
static void is_not_wrong(const struct base *b, const struct damage *d)
{
	struct tree tree;
	char text[4096];
	tree_open(b->s.path, 0, &tree);
	if (d->kind & DAMAGE_CLOSED)
		assert_non_null(tree_value(&tree, "= open"));
	size_t n = tree_wrong(&b->tree, &tree, text, sizeof(text));
	if (n && !(d->kind & DAMAGE_FORGED))
		complain("%s: %zu things are read wrong:%s", damage_how(d), n, text);
	tree_done(&tree);
}

static void mended(const struct base *b, const struct damage *d, const struct findings *before)
{
	static struct findings f, again;
	struct tree damaged;
	uint32_t drop = d->kind & DAMAGE_DROP ? LINKFS_CHECK_DROP_DATA : 0;
	if (drop)
		stays(b, d, before, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR);
	tree_rows(b->s.path, false, &damaged);
	check(&b->s, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR | drop, &f);
	if (f.sum.left || f.sum.repaired != f.sum.problems || !f.sum.backup[0])
		complain("%s: %llu are left:%s", damage_how(d), (unsigned long long)f.sum.left, all(&f));
	damage_end();
	check(&b->s, LINKFS_CHECK_DATA, &again);
	if (again.sum.problems)
		complain("%s: the second run finds:%s", damage_how(d), all(&again));
	is_as_before(b, d);
	check(&b->s, LINKFS_CHECK_DATA, &again);
	if (again.sum.problems)
		complain("%s: when it was opened and closed, a check finds:%s", damage_how(d), all(&again));
	the_copy_is_the_state_before(b, d, f.sum.backup, &damaged);
	if (!(d->kind & DAMAGE_ALONE)) {
		check(&b->s, LINKFS_CHECK_DATA, &again);
		if (!same_findings(before, &again))
			complain("%s: with the copy put back a check finds:%s", damage_how(d), all(&again));
	}
	tree_done(&damaged);
}

static void every_problem_is_named_and_mended(void **state)
{
	static struct findings f;
	struct base b;
	(void)state;
	base_make(&b);
	for (size_t i = 0; i < damage_count; i++) {
		const struct damage *d = &damages[i];
		base_put(&b);
		assert_true(damage_make(&b.s, d));
		check(&b.s, LINKFS_CHECK_DATA, &f);
		is_named(d, &f);
		if (d->kind & DAMAGE_STAYS) {
			stays(&b, d, &f, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR | LINKFS_CHECK_DROP_DATA);
			is_not_wrong(&b, d);
		} else {
			mended(&b, d, &f);
		}
		damage_end();
	}
	print_message("# %zu damages, %u complaints\n", damage_count, complaints);
	assert_int_equal(complaints, 0);
	base_done(&b);
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

static void every_problem_of_the_table_has_a_damage(void **state)
{
	size_t count;
	const struct linkfs_problem *problems = linkfs_problems(&count);
	(void)state;
	for (size_t i = 0; i < count; i++) {
		bool found = false;
		for (size_t k = 0; k < damage_count; k++) {
			if (strcmp(damages[k].id, problems[i].id) != 0)
				continue;
			found = true;
			/* What the table says of repair is what the damage is judged by. */
			assert_int_equal(!problems[i].repair, !!(damages[k].kind & DAMAGE_STAYS));
		}
		if (!found)
			fail_msg("no damage makes the problem %s", problems[i].id);
	}
	for (size_t k = 0; k < damage_count; k++) {
		bool known = false;
		for (size_t i = 0; i < count; i++)
			known |= strcmp(damages[k].id, problems[i].id) == 0;
		assert_true(known);
	}
	print_message("# %zu problems\n", count);
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static int run(const char *const *argv)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* e2fsck's: 0 clean, 1 corrected, 4 left, 8 an operational error, 16 usage. */
static void the_command_says_the_same(void **state)
{
	struct base b;
	const char *bin = getenv("LINKFS_BIN");
	size_t step = lk_test_long() ? 1 : 9;
	(void)state;
	if (!bin)
		skip();
	base_make(&b);
	const char *look[] = {bin, "check", "--data", b.s.path, NULL};
	const char *mend[] = {bin, "check", "--data", "--repair", "--drop-data", b.s.path, NULL};
	assert_int_equal(run(look), 0);
	assert_int_equal(run(mend), 0);
	for (size_t i = 0; i < damage_count; i += step) {
		const struct damage *d = &damages[i];
		int stay = d->kind & DAMAGE_STAYS ? 4 : 0;
		if (d->kind & DAMAGE_ALONE) /* made in this process */
			continue;
		base_put(&b);
		assert_true(damage_make(&b.s, d));
		if (run(look) != 4)
			fail_msg("%s: the exit status of check is not 4", damage_how(d));
		if (run(mend) != (stay ? stay : 1))
			fail_msg("%s: the exit status of check --repair is not %d", damage_how(d), stay ? stay : 1);
		if (run(look) != stay)
			fail_msg("%s: the exit status of the second check is not %d", damage_how(d), stay);
	}
	const char *nothing[] = {bin, "check", "/nonexistent", NULL};
	assert_int_equal(run(nothing), 8);
	const char *usage[] = {bin, "check", "--no-such-option", b.s.path, NULL};
	assert_int_equal(run(usage), 16);
	base_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_problem_of_the_table_has_a_damage),
		cmocka_unit_test(every_problem_is_named_and_mended),
		cmocka_unit_test(the_command_says_the_same),
	};
	return cmocka_run_group_tests_name("damage-problems", tests, NULL, NULL);
}
