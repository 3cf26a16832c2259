/*
 * test_cut.c - repairs that do not come to their end: dead at the n-th write of the database, killed at any moment, the n-th write failing once
 * or from then on. Every one can be run again and ends where an undisturbed one does; a copy that lies there is the whole state before.
 * The writes are those of SQLite's file layer, replaced through its own xSetSystemCall().
 */
#include "damage.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DAMAGES 4u

static struct lk_test_random rng;

/* ---- writes ------------------------------------------------------------------------------------------------------------- */

static struct {
	unsigned at; /* this one, from 1; 0: none */
	unsigned seen;
	int error; /* 0: the process ends there, with half of it written */
	bool later;
} cut;

static bool is_cut(int fd, const void *buf, size_t len, off_t at)
{
	if (!cut.at || ++cut.seen < cut.at || (cut.seen > cut.at && !cut.later))
		return false;
	if (!cut.error) {
		if (at < 0 ? write(fd, buf, len / 2) < 0 : pwrite(fd, buf, len / 2, at) < 0)
			_exit(8);
		_exit(9);
	}
	errno = cut.error;
	return true;
}

static ssize_t cut_write(int fd, const void *buf, size_t len)
{
	return is_cut(fd, buf, len, -1) ? -1 : write(fd, buf, len);
}

static ssize_t cut_pwrite(int fd, const void *buf, size_t len, off_t at)
{
	return is_cut(fd, buf, len, at) ? -1 : pwrite(fd, buf, len, at);
}

static void set_cut(unsigned at, int error, bool later)
{
	cut.at = at;
	cut.seen = 0;
	cut.error = error;
	cut.later = later;
}

static void replace(const char *name, sqlite3_syscall_ptr call)
{
	sqlite3_vfs *unix_layer = sqlite3_vfs_find("unix");
	assert_non_null(unix_layer);
	assert_int_equal(unix_layer->xSetSystemCall(unix_layer, name, call), SQLITE_OK);
}

/* ---- a volume with damages ---------------------------------------------------------------------------------------------- */

struct volume {
	struct base b;
	char other[4200];     /* a directory to look at copies in */
	struct image damaged; /* files */
	struct tree rows;     /* of the damaged database */
	struct tree mended;   /* what an undisturbed repair gives */
	unsigned writes;      /* that it makes */
	uint64_t time_ns;     /* that it takes */
	char story[1600];
};

static struct found found;

static struct linkfs_check_summary summary;

static int repair(const struct volume *v)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_REPAIR};
	return linkfs_check(v->b.s.path, &options, &summary, NULL);
}

static const struct damage *draw(void)
{
	const struct damage *d;
	do
		d = &damages[lk_test_below(&rng, damage_count)];
	while (d->kind & (DAMAGE_STAYS | DAMAGE_DROP | DAMAGE_ALONE));
	return d;
}

/* With damages that are drawn, or the one. */
static void damage_with(struct volume *v, const struct damage *only)
{
	image_done(&v->damaged);
	tree_done(&v->rows);
	tree_done(&v->mended);
	base_put(&v->b);
	v->story[0] = '\0';
	for (unsigned i = 0; i < (only ? 1u : DAMAGES); i++) {
		const struct damage *d = only ? only : draw();
		size_t n = strlen(v->story);
		(void)snprintf(v->story + n, sizeof(v->story) - n, "%s%s", i ? " + " : "", damage_how(d));
		(void)damage_make(&v->b.s, d);
	}
	image_take(v->b.s.path, &v->damaged);
	tree_rows(v->b.s.path, false, &v->rows);
	image_put(&v->damaged, v->b.s.path);
	set_cut(UINT32_MAX, 0, false);
	uint64_t began = lk_clock_monotonic_ns();
	int r = repair(v);
	v->time_ns = lk_clock_monotonic_ns() - began;
	v->writes = cut.seen;
	set_cut(0, 0, false);
	if (r)
		fail_msg("%s: the repair: %s", v->story, linkfs_error_name(r));
	tree_open(v->b.s.path, 0, &v->mended);
}

static void damage_anew(struct volume *v)
{
	damage_with(v, NULL);
}

/* A copy that has its name is complete, and the state before the first change. */
static void copies_are_whole(const struct volume *v, const char *when)
{
	DIR *dir = opendir(v->b.s.path);
	struct dirent *e;
	assert_non_null(dir);
	while ((e = readdir(dir))) {
		char from[4600], to[4600], text[4096];
		struct tree rows;
		if (strncmp(e->d_name, "meta.db.repair-", 15) != 0 || !strchr(e->d_name, 'Z') ||
		    strstr(e->d_name, ".part") || strstr(e->d_name, "-journal"))
			continue;
		image_put(&v->damaged, v->other);
		(void)snprintf(from, sizeof(from), "%s/%s", v->b.s.path, e->d_name);
		(void)snprintf(to, sizeof(to), "%s/meta.db", v->other);
		assert_int_equal(rename(from, to), 0);
		tree_rows(v->other, false, &rows);
		size_t n = tree_differ(&v->rows, &rows, NULL, text, sizeof(text));
		if (n)
			fail_msg("%s: %s: the copy %s is not the state before:%s", v->story, when, e->d_name, text);
		tree_done(&rows);
	}
	(void)closedir(dir);
}

/* Run again, it comes to the same end. */
static void goes_on(const struct volume *v, const char *when)
{
	struct tree now;
	char text[4096];
	copies_are_whole(v, when);
	sample_check(&v->b.s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &found);
	if (found.sum.left)
		fail_msg("%s: %s: run again, it leaves:%s", v->story, when, found_all(&found));
	sample_check(&v->b.s, LINKFS_CHECK_DATA, &found);
	if (found.sum.problems)
		fail_msg("%s: %s: after it was run again, a check finds:%s", v->story, when, found_all(&found));
	tree_open(v->b.s.path, 0, &now);
	size_t n = tree_differ(&v->mended, &now, "*~mtime", text, sizeof(text));
	if (n)
		fail_msg("%s: %s: run again, it ends elsewhere:%s", v->story, when, text);
	tree_done(&now);
}

static void volume_make(struct volume *v)
{
	*v = (struct volume){.writes = 0};
	base_make(&v->b);
	(void)snprintf(v->other, sizeof(v->other), "%s/other", v->b.s.dir);
	replace("write", (sqlite3_syscall_ptr)cut_write);
	replace("pwrite", (sqlite3_syscall_ptr)cut_pwrite);
	replace("pwrite64", (sqlite3_syscall_ptr)cut_pwrite);
}

static void volume_done(struct volume *v)
{
	sqlite3_vfs *unix_layer = sqlite3_vfs_find("unix");
	(void)unix_layer->xSetSystemCall(unix_layer, NULL, NULL);
	image_done(&v->damaged);
	tree_done(&v->rows);
	tree_done(&v->mended);
	base_done(&v->b);
}

/* ---- how it ends ---------------------------------------------------------------------------------------------------------- */

static void dead_at_a_write(const struct volume *v, unsigned at)
{
	char when[64];
	int status;
	image_put(&v->damaged, v->b.s.path);
	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		set_cut(at, 0, false);
		_exit(repair(v) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	(void)snprintf(when, sizeof(when), "dead at write %u", at);
	goes_on(v, when);
}

static void failed_write(const struct volume *v, unsigned at, int error, bool later)
{
	char when[100];
	image_put(&v->damaged, v->b.s.path);
	set_cut(at, error, later);
	int r = repair(v);
	set_cut(0, 0, false);
	(void)snprintf(when, sizeof(when), "write %u fails with %s%s, %s", at, strerror(error),
		       later ? " and all later" : "", linkfs_error_name(r));
	/* What it said is so. */
	if (r == 0 && summary.left == 0) {
		sample_check(&v->b.s, 0, &found);
		if (found.sum.problems)
			fail_msg("%s: %s: it said that all went well, and left:%s", v->story, when, found_all(&found));
	}
	if (error == ENOSPC && later && r != 0 && r != LINKFS_ENOSPC && r != LINKFS_EIO)
		fail_msg("%s: %s", v->story, when);
	goes_on(v, when);
}

/* Every write of one repair after the other, thinned out to the number of points. */
static void a_repair_is_cut_at_its_writes(void **state)
{
	struct volume v;
	unsigned points = lk_test_long() ? 12000 : 120, done = 0, sets = points / 30;
	rng.state = lk_test_seed() * 1000;
	(void)state;
	volume_make(&v);
	while (done < points) {
		damage_anew(&v);
		assert_true(v.writes > 10);
		unsigned step = LK_MAX(v.writes * 4 * sets / points / 4, 1u);
		for (unsigned at = 1 + (unsigned)lk_test_below(&rng, step); at <= v.writes; at += step, done++) {
			switch (done % 4) {
			case 0:
			case 1:
				dead_at_a_write(&v, at);
				break;
			case 2:
				failed_write(&v, at, done % 8 == 2 ? EIO : ENOSPC, false);
				break;
			default:
				failed_write(&v, at, done % 8 == 3 ? ENOSPC : EIO, true);
			}
		}
	}
	print_message("# %u points\n", done);
	volume_done(&v);
}

/* Where the index of names is all that has the right name, every write counts. */
static void the_second_copy_of_a_name_lasts(void **state)
{
	struct volume v;
	unsigned tried = 0;
	(void)state;
	volume_make(&v);
	for (size_t i = 0; i < damage_count; i++) {
		if (strcmp(damages[i].id, "name-differs") != 0 && strcmp(damages[i].id, "name-lost") != 0)
			continue;
		damage_with(&v, &damages[i]);
		assert_true(v.writes > 0);
		for (unsigned at = 1; at <= v.writes; at++, tried++) {
			dead_at_a_write(&v, at);
			failed_write(&v, at, EIO, false);
		}
	}
	print_message("# %u points\n", tried);
	assert_true(tried > 20);
	volume_done(&v);
}

static void a_repair_is_killed_at_any_moment(void **state)
{
	struct volume v;
	unsigned rounds = lk_test_long() ? 1500 : 15, ended = 0;
	rng.state = lk_test_seed() * 2000;
	(void)state;
	volume_make(&v);
	for (unsigned i = 0; i < rounds; i++) {
		int status;
		damage_anew(&v);
		uint64_t wait_ns = lk_test_below(&rng, v.time_ns * 5 / 4);
		struct timespec wait = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
		image_put(&v.damaged, v.b.s.path);
		fflush(stdout);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(repair(&v) ? 1 : 0);
		(void)nanosleep(&wait, NULL);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
		ended += WIFEXITED(status);
		goes_on(&v, "killed");
	}
	print_message("# %u kills, %u after the end\n", rounds, ended);
	volume_done(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_repair_is_cut_at_its_writes),
		cmocka_unit_test(the_second_copy_of_a_name_lasts),
		cmocka_unit_test(a_repair_is_killed_at_any_moment),
	};
	return cmocka_run_group_tests_name("damage-cut", tests, NULL, NULL);
}
