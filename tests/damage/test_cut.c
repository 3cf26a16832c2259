/*
 * test_cut.c - repairs that do not come to their end: dead at the n-th write of the database, killed at any moment, the n-th write failing once
 * or from then on. Every one can be run again and ends where an undisturbed one does; a copy that lies there is the whole state before.
 * The writes are those of SQLite's file layer, replaced through its own xSetSystemCall().
 */
#include "disturbed.h"

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
	struct disturbed d;
	unsigned writes;  /* that an undisturbed repair makes */
	uint64_t time_ns; /* that it takes */
};

static struct found found;

static struct linkfs_check_summary summary;

static int repair(const struct volume *v)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_REPAIR};
	return linkfs_check(v->d.b.s.path, &options, &summary, NULL);
}

static void damage_with(struct volume *v, const struct damage *const *all, unsigned count)
{
	disturbed_damage(&v->d, all, count);
	set_cut(UINT32_MAX, 0, false);
	uint64_t began = lk_clock_monotonic_ns();
	int r = repair(v);
	v->time_ns = lk_clock_monotonic_ns() - began;
	v->writes = cut.seen;
	set_cut(0, 0, false);
	if (r)
		fail_msg("%s: the repair: %s", v->d.story, linkfs_error_name(r));
	disturbed_note(&v->d);
}

static void damage_anew(struct volume *v)
{
	const struct damage *all[DAMAGES];
	for (unsigned i = 0; i < DAMAGES; i++)
		all[i] = disturbed_draw(&rng);
	damage_with(v, all, DAMAGES);
}

static void volume_make(struct volume *v)
{
	*v = (struct volume){.writes = 0};
	disturbed_make(&v->d);
	replace("write", (sqlite3_syscall_ptr)cut_write);
	replace("pwrite", (sqlite3_syscall_ptr)cut_pwrite);
	replace("pwrite64", (sqlite3_syscall_ptr)cut_pwrite);
}

static void volume_done(struct volume *v)
{
	sqlite3_vfs *unix_layer = sqlite3_vfs_find("unix");
	(void)unix_layer->xSetSystemCall(unix_layer, NULL, NULL);
	disturbed_done(&v->d);
}

/* ---- how it ends ---------------------------------------------------------------------------------------------------------- */

static void dead_at_a_write(const struct volume *v, unsigned at)
{
	char when[64];
	int status;
	image_put(&v->d.damaged, v->d.b.s.path);
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
	disturbed_goes_on(&v->d, when);
}

static void failed_write(const struct volume *v, unsigned at, int error, bool later)
{
	char when[100];
	image_put(&v->d.damaged, v->d.b.s.path);
	set_cut(at, error, later);
	int r = repair(v);
	set_cut(0, 0, false);
	(void)snprintf(when, sizeof(when), "write %u fails with %s%s, %s", at, strerror(error),
		       later ? " and all later" : "", linkfs_error_name(r));
	/* What it said is so. */
	if (r == 0 && summary.left == 0) {
		sample_check(&v->d.b.s, 0, &found);
		if (found.sum.problems)
			fail_msg("%s: %s: it said that all went well, and left:%s", v->d.story, when,
				 found_all(&found));
	}
	if (error == ENOSPC && later && r != 0 && r != LINKFS_ENOSPC && r != LINKFS_EIO)
		fail_msg("%s: %s", v->d.story, when);
	disturbed_goes_on(&v->d, when);
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
		const struct damage *one = &damages[i];
		damage_with(&v, &one, 1);
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
		image_put(&v.d.damaged, v.d.b.s.path);
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
		disturbed_goes_on(&v.d, "killed");
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
