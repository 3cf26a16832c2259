/*
 * test_leaving.c - a snapshot's deletion is cut anywhere (K2): each state between its steps is a whole volume, and the deletion goes on
 * from it. Below the public API, which has no snapshots yet.
 */
#include "test.h"

#include <file.h>
#include <linkfs.h>
#include <linkfs_check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>
#include <volume.h>

#define OK(call) assert_int_equal(call, 0)
#define ROOT LINKFS_ROOT_INO
#define SNAPSHOTS 5
#define NAMES 12

static struct lk_test_random rng;
static char path[4096];
static struct linkfs_volume *v;

static int show(void *arg, const struct linkfs_finding *f)
{
	print_message("# %s: %s: %s\n", (const char *)arg, f->problem->id, f->text);
	return 0;
}

static void check(const char *when)
{
	char what[100];
	struct linkfs_check_summary sum = {0};
	struct linkfs_message why = {""};
	(void)snprintf(what, sizeof(what), "%s", when);
	struct linkfs_check_options o = {.flags = LINKFS_CHECK_DATA, .finding = show, .arg = what};
	OK(linkfs_volume_check(v, &o, &sum, &why));
	assert_int_equal(sum.problems, 0);
}

static struct lk_fs *fs(void)
{
	return lk_volume_fs(v);
}

static int64_t take(unsigned number)
{
	struct lk_op op;
	char name[16];
	struct lk_snapshot s = {.name = {name, (size_t)snprintf(name, sizeof(name), "s%u", number)}};
	OK(lk_op_begin(fs(), &op, LK_OP_WRITE));
	OK(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)));
	return s.epoch;
}

static void content(const char *name)
{
	static uint8_t bytes[40000];
	struct linkfs_file *f;
	size_t size = (size_t)lk_test_below(&rng, 3) ? (size_t)lk_test_below(&rng, sizeof(bytes)) : 50;
	memset(bytes, (int)lk_test_below(&rng, 256), size);
	if (linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_TRUNC, 0644, &f))
		return; /* a directory, or a link that leads nowhere */
	OK(linkfs_file_write(f, 0, bytes, size, NULL));
	linkfs_file_close(f);
}

/* Whatever of it can be done is. */
static void change(void)
{
	char a[16], b[16];
	(void)snprintf(a, sizeof(a), "n%u", (unsigned)lk_test_below(&rng, NAMES));
	(void)snprintf(b, sizeof(b), "n%u", (unsigned)lk_test_below(&rng, NAMES));
	switch (lk_test_below(&rng, 7)) {
	case 0:
		(void)linkfs_path_unlink(v, NULL, ROOT, a);
		break;
	case 1:
		(void)linkfs_path_rename(v, NULL, ROOT, a, ROOT, b, 0);
		break;
	case 2:
		(void)linkfs_path_link(v, NULL, ROOT, a, ROOT, b, 0);
		break;
	case 3:
		(void)linkfs_path_symlink(v, NULL, b, ROOT, a, NULL);
		break;
	case 4:
		(void)linkfs_path_clone(v, NULL, ROOT, a, ROOT, b, 0, NULL);
		break;
	default:
		content(a);
	}
}

static void every_step_leaves_a_whole_volume(void **state)
{
	unsigned rounds = lk_test_long() ? 100 : 3, steps = 0;
	(void)state;
	rng.state = lk_test_seed();
	for (unsigned round = 0; round < rounds; round++) {
		int64_t epochs[SNAPSHOTS];
		for (unsigned i = 0; i < SNAPSHOTS; i++) {
			for (unsigned n = 0; n < 25; n++)
				change();
			epochs[i] = take(round * SNAPSHOTS + i);
		}
		for (unsigned n = 0; n < 25; n++)
			change();
		check("before");
		for (unsigned left = SNAPSHOTS; left; left--) {
			unsigned i = (unsigned)lk_test_below(&rng, left);
			int64_t epoch = epochs[i];
			struct lk_op op;
			bool more = true;
			epochs[i] = epochs[left - 1];
			OK(lk_op_begin(fs(), &op, LK_OP_WRITE));
			OK(lk_op_end(&op, lk_txn_snapshot_mark(&op, epoch)));
			check("marked");
			while (more) {
				OK(lk_op_begin(fs(), &op, LK_OP_WRITE));
				OK(lk_op_end(&op, lk_txn_snapshot_drop(&op, epoch, 3, &(uint32_t){0}, &more)));
				check("between steps");
				steps++;
				if (lk_test_below(&rng, 3) == 0)
					change();
			}
		}
	}
	print_message("# %u steps\n", steps);
	assert_true(steps > rounds * 20);
}

int main(void)
{
	struct linkfs_create_options o = {.root_mode = 0755, .limit_bytes = 32 << 20};
	char *top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	if (linkfs_volume_create(path, &o, NULL) || linkfs_volume_open(path, NULL, &v, NULL))
		abort();
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_step_leaves_a_whole_volume)};
	int r = cmocka_run_group_tests_name("check-leaving", tests, NULL, NULL);
	r |= linkfs_volume_close(v) != 0;
	lk_test_rmdir(top);
	return r;
}
