/*
 * main.c - power cuts (P2): so many states of each family of scripts, or one state again.
 *
 *   power                    so many states: LINKFS_POWER_STATES, else 21,000, with LINKFS_LONG=1 a hundred times as
 *                            many; LINKFS_SEED is the seed, plus LINKFS_POWER_PART, for the long tier runs in parts
 *   power --replay FAMILY NUMBER EVENT VARIANT [EVENT VARIANT]    one of them, as a failure prints it
 *
 * LINKFS_POWER_KEEP names a directory to which the files of a failed state are copied.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static struct run run;
static uint64_t budget;

/* A new volume draws its name secret and identity: here the same ones each time, so that a seed replays. */
__attribute__((visibility("default"))) ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	static struct lk_test_random random = {12345};
	(void)flags;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lk_test_next(&random);
	return (ssize_t)len;
}

static int calm(void **state)
{
	(void)state;
	calls_unwatch(); /* a test that failed in the middle left it */
	return 0;
}

static void family_test(void **state)
{
	const struct family *f = *state;
	uint64_t before = run.states, quota = budget * f->share / 100, count = f->count(), tried = 0;
	uint64_t scripts = run.scripts, recoveries = run.recoveries, number = 0;
	/* Few of many, or all of few; a step that is prime to the count visits each once. */
	uint64_t most =
		count && quota / count > 60 ? quota / count + quota / count / 4 : LK_MAX(quota / 40, (uint64_t)60);
	most = count ? LK_MIN(most, (uint64_t)10000) : LK_MIN(most, (uint64_t)400);
	struct lk_test_random random = {run.seed};
	uint64_t step = 7919, start = count ? lk_test_below(&random, count) : 0;
	while (!run.failed && run.states - before < quota && (!count || tried < 4 * count)) {
		number = count ? (start + tried * step) % count : tried;
		(void)run_script(&run, f, number, most);
		tried++;
	}
	printf("# %s: %llu states of %llu scripts, %llu of them in recovery or after\n", f->name,
	       (unsigned long long)(run.states - before), (unsigned long long)(run.scripts - scripts),
	       (unsigned long long)(run.recoveries - recoveries));
	fflush(stdout);
	if (run.failed)
		fail_msg("a state is not as it must be; see above");
}

/* The test itself: a disk that forgets what it was told to sync is found out soon. */
static void a_lying_disk_is_found_out(void **state)
{
	(void)state;
	static const char *const lies[] = {"data.000000", "meta.db-wal", "meta.db", ""};
	const struct family *story = NULL;
	for (size_t i = 0; i < family_count; i++)
		story = strcmp(families[i].name, "story") == 0 ? &families[i] : story;
	assert_non_null(story);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint64_t before = run.states;
		run.lie = lies[i];
		for (uint64_t number = 0; number < 30 && !run.failed; number++)
			(void)run_script(&run, story, number, 60);
		bool found = run.failed;
		run.failed = false;
		run.lie = NULL;
		printf("# found out after %llu states\n", (unsigned long long)(run.states - before));
		run.states = before; /* they prove nothing else */
		assert_true(found);
	}
}

static void a_volume_half_made(void **state)
{
	(void)state;
	run_create(&run, budget > 100000 ? 200 : 2);
}

static int replay(int argc, char **argv)
{
	static struct where where;
	const struct family *f = NULL;
	for (size_t i = 0; i < family_count; i++) {
		if (strcmp(argv[2], families[i].name) == 0)
			f = &families[i];
	}
	if (!f)
		return 2;
	where = (struct where){f,
			       strtoull(argv[3], NULL, 10),
			       strtoull(argv[4], NULL, 10),
			       (unsigned)strtoul(argv[5], NULL, 10),
			       NO_CUT,
			       0};
	if (argc == 8) {
		where.recovery_event = strtoull(argv[6], NULL, 10);
		where.recovery_variant = (unsigned)strtoul(argv[7], NULL, 10);
	}
	run.only = &where;
	(void)run_script(&run, f, where.number, 0);
	printf("# %llu states: %s\n", (unsigned long long)run.states, run.failed ? "failed" : "good");
	return run.failed || !run.states;
}

int main(int argc, char **argv)
{
	uint64_t seed = lk_test_seed();
	const char *states = getenv("LINKFS_POWER_STATES");
	const char *part = getenv("LINKFS_POWER_PART");
	seed += part ? strtoull(part, NULL, 10) : 0;
	budget = states ? strtoull(states, NULL, 10) : 21000;
	if (!states && lk_test_long())
		budget *= 100;
	run_init(&run, seed);
	run.keep = getenv("LINKFS_POWER_KEEP");
	int r = 0;
	if (argc == 6 || argc == 8) {
		r = replay(argc, argv);
	} else {
		struct CMUnitTest tests[16] = {
			cmocka_unit_test_teardown(a_volume_half_made, calm),
			cmocka_unit_test_teardown(a_lying_disk_is_found_out, calm),
		};
		for (size_t i = 0; i < family_count; i++)
			tests[2 + i] = (struct CMUnitTest){families[i].name, family_test, NULL, calm,
							   (void *)(uintptr_t)&families[i]};
		r = _cmocka_run_group_tests("power", tests, 2 + family_count, NULL, NULL);
		printf("# seed %llu: %llu power cuts in %llu scripts of %llu operations, %llu of them in recovery or "
		       "after\n",
		       (unsigned long long)seed, (unsigned long long)run.states, (unsigned long long)run.scripts,
		       (unsigned long long)run.operations, (unsigned long long)run.recoveries);
	}
	run_done(&run);
	return r;
}
