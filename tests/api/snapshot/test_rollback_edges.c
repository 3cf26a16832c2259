/*
 * test_rollback_edges.c - linkfs_path_rollback() where something stands in the way at PATH itself, and where others work in the tree
 * meanwhile (E1; core/rollback.h, R1, R2, R6, R7).
 */
#include "one_volume.h"

#include "past.h"

#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct told {
	unsigned counts[LINKFS_ROLLBACK_LEFT + 1], steps;
	char paths[LINKFS_ROLLBACK_LEFT + 1][256]; /* of the last of its kind */
	int error;
};

static int on_step(void *arg, const struct linkfs_rollback *step)
{
	struct told *t = arg;
	if (getenv("LINKFS_TRACE"))
		print_message("#   kind %d what %x type %o error %d %s (%s)\n", step->kind, step->what, step->type,
			      step->error, step->path, step->from ? step->from : "");
	t->counts[step->kind]++;
	t->steps++;
	(void)snprintf(t->paths[step->kind], sizeof(t->paths[0]), "%s", step->path);
	if (step->kind == LINKFS_ROLLBACK_LEFT)
		t->error = step->error;
	return 0;
}

static struct told back(const char *path, uint64_t id)
{
	struct told told = {.steps = 0};
	OK(linkfs_path_rollback(v, NULL, ROOT, path, id, 0, on_step, &told));
	return told;
}

static void mv(const char *from, const char *to)
{
	OK(linkfs_path_rename(v, NULL, ROOT, from, ROOT, to, 0));
}

/* What PATH was lies in the younger directory that has its name. */
static void a_directory_wrapped_in_another(void **state)
{
	(void)state;
	make_dir("d");
	put("d/f", "then");
	uint64_t id = take_snapshot("s"), d = status("d").ino, f = status("d/f").ino;
	make_dir("new");
	mv("d", "new/inner");
	mv("new", "d");
	put("d/later", "");
	(void)back("d", id);
	same_text("d/f", "then");
	assert_int_equal(status("d").ino, d);
	assert_int_equal(status("d/f").ino, f);
	assert_int_equal(back("d", id).steps, 0);
	check();
}

static void a_file_wrapped_in_a_directory(void **state)
{
	(void)state;
	put("f", "then");
	uint64_t id = take_snapshot("s");
	make_dir("new");
	mv("f", "new/f");
	mv("new", "f");
	put("f/later", "");
	assert_int_equal(back("f", id).counts[LINKFS_ROLLBACK_REMOVED], 1);
	same_text("f", "then");
	assert_int_equal(back("f", id).steps, 0);
	check();
}

/* One that was below PATH then stands at PATH now. */
static void a_directory_below_in_its_place(void **state)
{
	(void)state;
	make_dir("d");
	make_dir("d/sub");
	uint64_t id = take_snapshot("s");
	mv("d/sub", "tmp");
	mv("d", "elsewhere");
	mv("tmp", "d");
	put("d/only now", "");
	struct told dry = {.steps = 0};
	OK(linkfs_path_rollback(v, NULL, ROOT, "d", id, LINKFS_ROLLBACK_DRY_RUN, on_step, &dry));
	struct told told = back("d", id);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_REMOVED], 1);
	assert_int_equal(dry.counts[LINKFS_ROLLBACK_REMOVED], 1);
	check();
}

static void what_is_left_at_path(void **state)
{
	struct told told = {.steps = 0};
	(void)state;
	make_dir("a");
	put("a/d", "then");
	uint64_t id = take_snapshot("s");
	OK(linkfs_path_unlink(v, NULL, ROOT, "a/d"));
	make_dir("a/d");
	put("a/d/x", "now");
	put("shown", "");
	OK(linkfs_path_bind(v, NULL, ROOT, "a/d/x", ROOT, "shown"));
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "a/d", id, 0, on_step, &told), LINKFS_EBUSY);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_LEFT], 1);
	assert_string_equal(told.paths[LINKFS_ROLLBACK_LEFT], "/a/d");
	same_text("shown", "now");
	check();
}

/* A user's own, or what a rollback that was cut off has left. */
static void a_name_like_those_put_aside(void **state)
{
	(void)state;
	make_dir("d");
	uint64_t id = take_snapshot("s");
	put("d/.linkfs-rollback-mine", "now");
	assert_int_equal(back("d", id).counts[LINKFS_ROLLBACK_REMOVED], 1);
	check();
}

struct meddler {
	unsigned at, steps;
	void (*fn)(void);
	struct told told;
};

static int meddle(void *arg, const struct linkfs_rollback *step)
{
	struct meddler *m = arg;
	(void)on_step(&m->told, step);
	if (++m->steps == m->at)
		m->fn();
	return 0;
}

static void remove_some(void)
{
	(void)linkfs_path_unlink(v, NULL, ROOT, "d/f");
	(void)linkfs_path_unlink(v, NULL, ROOT, "d/sub/f");
	(void)linkfs_path_rmdir(v, NULL, ROOT, "d/sub");
}

static void make_some(void)
{
	put("d/fresh", "made meanwhile");
	(void)linkfs_path_unlink(v, NULL, ROOT, "d/gone");
	put("d/gone", "made meanwhile");
	struct linkfs_stat st;
	if (linkfs_path_stat(v, NULL, ROOT, "d/later/below", 0, &st) == 0)
		put("d/later/below/fresh", "made meanwhile");
}

static unsigned rounds;

/* Changes d after step n of its rollback by fn; d is another directory afterwards. */
static struct meddler meddled(unsigned n, void (*fn)(void), int *rc_out, uint64_t *id_out)
{
	struct meddler m = {.at = n, .fn = fn};
	char name[32];
	make_dir("d");
	make_dir("d/sub");
	put("d/f", "then");
	put("d/sub/f", "then");
	put("d/gone", "gone");
	(void)snprintf(name, sizeof(name), "s%u", rounds++);
	*id_out = take_snapshot(name);
	put("d/f", "now");
	put("d/sub/f", "now");
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/gone"));
	mv("d/sub", "d/moved");
	make_dir("d/later");
	make_dir("d/later/below");
	*rc_out = linkfs_path_rollback(v, NULL, ROOT, "d", *id_out, 0, meddle, &m);
	if (m.steps < n)
		OK(*rc_out);
	check();
	return m;
}

/* The rest is done, and what is not is told (R6, R7); the next run makes it whole. */
static void others_remove_meanwhile(void **state)
{
	unsigned n = 1, left = 0, steps;
	(void)state;
	do {
		uint64_t id;
		int rc;
		struct meddler m = meddled(n, remove_some, &rc, &id);
		char old[32];
		assert_int_equal(rc, m.told.counts[LINKFS_ROLLBACK_LEFT] ? LINKFS_EBUSY : 0);
		if (rc)
			assert_int_equal(m.told.error, LINKFS_ENOENT);
		left += m.told.counts[LINKFS_ROLLBACK_LEFT];
		same_text("d/gone", "gone");
		(void)back("d", id);
		same_text("d/f", "then");
		same_text("d/sub/f", "then");
		check();
		steps = m.steps;
		(void)snprintf(old, sizeof(old), "old%u", n);
		mv("d", old);
	} while (n++ < steps);
	assert_true(n > 5 && left > 0);
}

/* No snapshot that was taken before has it: it stays. */
static void others_make_meanwhile(void **state)
{
	unsigned n = 1, steps;
	(void)state;
	do {
		uint64_t id;
		int rc;
		struct meddler m = meddled(n, make_some, &rc, &id);
		char old[32];
		assert_int_equal(rc, m.told.counts[LINKFS_ROLLBACK_LEFT] ? LINKFS_EBUSY : 0);
		if (m.steps >= n) {
			struct linkfs_stat st;
			same_text("d/fresh", "made meanwhile");
			same_text("d/gone", "made meanwhile");
			if (linkfs_path_stat(v, NULL, ROOT, "d/later/below", 0, &st) == 0)
				same_text("d/later/below/fresh", "made meanwhile");
		}
		same_text("d/sub/f", "then");
		(void)back("d", id);
		assert_int_equal(status("d").nlink, 3);
		same_text("d/gone", "gone");
		check();
		steps = m.steps;
		(void)snprintf(old, sizeof(old), "old%u", n);
		mv("d", old);
	} while (n++ < steps);
	assert_true(n > 5);
}

static char doomed[32];

static void delete_snapshot(void)
{
	OK(linkfs_snapshot_delete(v, NULL, doomed, NULL, NULL, NULL));
}

/* What there is is whole; nothing is taken from what is another snapshot's since. */
static void the_snapshot_goes_meanwhile(void **state)
{
	unsigned n = 1, steps;
	(void)state;
	do {
		uint64_t id;
		int rc;
		char old[32];
		(void)snprintf(doomed, sizeof(doomed), "s%u", rounds);
		struct meddler m = meddled(n, delete_snapshot, &rc, &id);
		steps = m.steps;
		if (rc)
			assert_int_equal(rc, LINKFS_ESTALE);
		assert_int_equal(m.told.counts[LINKFS_ROLLBACK_LEFT], 0);
		if (steps >= n)
			assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "d", id, 0, NULL, NULL), LINKFS_ENOENT);
		(void)snprintf(old, sizeof(old), "old%u", n);
		mv("d", old);
	} while (steps >= n++);
	assert_true(n > 5);
}

/* What is shared takes no space (R4). */
static void a_full_volume(void **state)
{
	enum { FILES = 400 };
	struct linkfs_file *file;
	static char buf[1 << 16];
	char name[300];
	uint64_t at = 0;
	struct told told;
	(void)state;
	make_dir("d");
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "d/%0200u", i);
		put(name, "then");
	}
	OK(linkfs_file_open(v, NULL, ROOT, "d/big", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	for (at = 0; at < (6 << 20); at += sizeof(buf))
		OK(linkfs_file_write(file, at, buf, sizeof(buf), NULL));
	linkfs_file_close(file);
	uint64_t id = take_snapshot("s");
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "d/%0200u", i);
		OK(linkfs_path_unlink(v, NULL, ROOT, name));
	}
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/big"));
	put("d/only now", "now");
	at = 0;
	OK(linkfs_file_open(v, NULL, ROOT, "ballast", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	memset(buf, 'x', sizeof(buf));
	for (size_t size = sizeof(buf); size; size /= 2)
		while (linkfs_file_write(file, at, buf, size, NULL) == 0)
			at += size;
	linkfs_file_close(file);
	told = back("d", id);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_MADE], FILES + 1);
	(void)snprintf(name, sizeof(name), "d/%0200u", FILES - 1);
	same_text(name, "then");
	assert_int_equal(back("d", id).steps, 0);
	check();
}

static int count_deleted(void *arg, const struct linkfs_deleted *d)
{
	(void)d;
	++*(unsigned *)arg;
	return 0;
}

static void with_kept_files(void **state)
{
	unsigned kept = 0;
	int64_t cursor = 0;
	(void)state;
	OK(linkfs_volume_set_property(v, NULL, LINKFS_KEEP_DELETED, "1d", NULL));
	make_dir("d");
	put("d/f", "then");
	OK(linkfs_path_track(v, NULL, ROOT, "d/f", ROOT, "d/t", 0, NULL));
	uint64_t id = take_snapshot("s");
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/f"));
	put("d/later", "now");
	(void)back("d", id);
	same_text("d/f", "then");
	same_text("d/t", "then");
	OK(linkfs_deleted_list(v, NULL, &(struct linkfs_deleted_query){.dir = 0}, &cursor, count_deleted, &kept));
	assert_int_equal(kept, 2); /* both can be had */
	assert_int_equal(back("d", id).steps, 0);
	check();
}

static void a_slash_after_the_name(void **state)
{
	(void)state;
	put("f", "then");
	make_dir("d");
	put("d/x", "then");
	uint64_t id = take_snapshot("s");
	put("f", "now");
	put("d/x", "now");
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "f/", id, 0, NULL, NULL), LINKFS_ENOTDIR);
	same_text("f", "now");
	(void)back("d/", id);
	same_text("d/x", "then");
}

/* Made anew it is known again by both (R3). */
static void a_directory_of_two_names(void **state)
{
	(void)state;
	make_dir("d");
	make_dir("d/sub");
	make_dir("d/sub/a");
	make_dir("d/other");
	put("d/sub/a/f", "then");
	OK(linkfs_path_link_directory(v, NULL, ROOT, "d/sub/a", ROOT, "d/other/b"));
	uint64_t id = take_snapshot("s");
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/sub/a/f"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "d/other/b"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "d/sub/a"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "d/sub"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "d/other"));
	assert_int_equal(back("d", id).counts[LINKFS_ROLLBACK_LINKED], 1);
	uint64_t ino = status("d/other/b").ino;
	assert_int_equal(status("d/sub/a").ino, ino);
	same_text("d/other/b/f", "then");
	assert_int_equal(back("d", id).steps, 0);
	assert_int_equal(status("d/sub/a").ino, ino);
	check();
}

/* Who has it open would read what it does not own. */
static void a_file_of_another_owner_does_not_become_it(void **state)
{
	struct linkfs_setattr theirs = {.valid = LINKFS_SET_UID, .uid = 7};
	struct linkfs_file *file;
	char buf[16];
	size_t n;
	(void)state;
	put("secret", "root's");
	uint64_t id = take_snapshot("s");
	OK(linkfs_path_unlink(v, NULL, ROOT, "secret"));
	put("secret", "another's");
	OK(linkfs_path_setattr(v, NULL, ROOT, "secret", 0, &theirs));
	OK(linkfs_file_open(v, NULL, ROOT, "secret", LINKFS_O_READ, 0, &file));
	(void)back("secret", id);
	same_text("secret", "root's");
	OK(linkfs_file_read(file, 0, buf, sizeof(buf), &n));
	assert_int_equal(n, strlen("another's"));
	assert_memory_equal(buf, "another's", n);
	linkfs_file_close(file);
	assert_int_equal(back("secret", id).steps, 0);
	check();
}

/* The time goes with the names, and not with their square. */
static void thousands_of_names_of_one_file(void **state)
{
	enum { NAMES = 2000 };
	char name[32];
	clock_t from, removed, came;
	(void)state;
	make_dir("d");
	put("d/0", "");
	for (unsigned i = 1; i < NAMES; i++) {
		(void)snprintf(name, sizeof(name), "d/%u", i);
		OK(linkfs_path_link(v, NULL, ROOT, "d/0", ROOT, name, 0));
	}
	uint64_t id = take_snapshot("s");
	from = clock();
	for (unsigned i = 0; i < NAMES; i++) {
		(void)snprintf(name, sizeof(name), "d/%u", i);
		OK(linkfs_path_unlink(v, NULL, ROOT, name));
	}
	removed = clock() - from;
	from = clock();
	assert_int_equal(back("d", id).counts[LINKFS_ROLLBACK_LINKED], NAMES - 1);
	came = clock() - from;
	assert_int_equal(status("d/0").nlink, NAMES);
	print_message("# removed in %.3f s, back in %.3f s\n", (double)removed / CLOCKS_PER_SEC,
		      (double)came / CLOCKS_PER_SEC);
	assert_true(came < 30 * removed);
}

/* Else a snapshot of what was before would not be kept by who goes by the steps. */
static void the_time_of_a_directory_alone_is_a_step(void **state)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_MTIME, .mtime_ns = 5};
	(void)state;
	make_dir("d");
	uint64_t id = take_snapshot("s");
	int64_t was = status("d").mtime_ns;
	OK(linkfs_path_setattr(v, NULL, ROOT, "d", 0, &set));
	assert_int_equal(back("d", id).counts[LINKFS_ROLLBACK_CHANGED], 1);
	assert_int_equal(status("d").mtime_ns, was);
	assert_int_equal(back("d", id).steps, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_wrapped_in_another, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_file_wrapped_in_a_directory, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_directory_below_in_its_place, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_is_left_at_path, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_name_like_those_put_aside, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(others_remove_meanwhile, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(others_make_meanwhile, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_snapshot_goes_meanwhile, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_full_volume, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(with_kept_files, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_slash_after_the_name, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_directory_of_two_names, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_file_of_another_owner_does_not_become_it, volume_setup,
						volume_teardown),
		cmocka_unit_test_setup_teardown(thousands_of_names_of_one_file, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_time_of_a_directory_alone_is_a_step, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
