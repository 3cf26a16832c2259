/*
 * main.c - the n-th failure: counts the points of every scenario and kind, runs them, one TAP line for each scenario.
 *
 *   nth GROUP                        the scenarios of names, content, volume, or random
 *   nth SCENARIO                     all kinds of one
 *   nth SCENARIO KIND once|then N    one point (SCENARIO "random N": that of seed N)
 *
 * A scenario and kind with many points: an even share of them is run (LINKFS_SEED chooses which), with LINKFS_NTH=all every one.
 */
#include "nth.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARE 2u      /* points of a kind that the quick tier runs in a scenario, failing once */
#define SHARE_DEEP 6u /* of the kinds that reach every line */
#define SHARE_THEN 1u /* failing from then on */
#define RANDOM_QUICK 6u
#define RANDOM_LONG 60u

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static char *dir;
static bool all;
static uint64_t seed;
static uint64_t run_points[KINDS_MAX], failed_points;
static unsigned tests;

static void say_where(void)
{
	static const char before[] = "# died in point ", after[] = "\n";
	(void)!write(STDOUT_FILENO, before, sizeof(before) - 1);
	(void)!write(STDOUT_FILENO, point_name(), strlen(point_name()));
	(void)!write(STDOUT_FILENO, after, 1);
}

static void on_signal(int number)
{
	say_where();
	_exit(128 + number);
}

static uint64_t run_mode(struct point *point, const struct golden *golden, uint64_t count)
{
	uint64_t share = point->then         ? SHARE_THEN
			 : point->kind->deep ? SHARE_DEEP
					     : SHARE,
		 stride = all || count <= share ? 1 : (count + share - 1) / share;
	uint64_t first = stride == 1 ? 1 : 1 + (seed + count / 3) % stride, failures = 0;
	for (point->n = first; point->n <= count && failures < 3; point->n += stride) {
		enum verdict v = point_run(point, golden, dir);
		run_points[point->kind - kinds] += v != POINT_NOT_REACHED;
		failures += v == POINT_FAILED;
	}
	return failures;
}

static void run_scenario(const struct scenario *scenario)
{
	struct golden golden;
	uint64_t failures = 0, before = 0, after = 0;
	golden_make(scenario, dir, &golden);
	for (size_t k = 0; k < KINDS_MAX; k++)
		before += run_points[k];
	uint64_t counts[KINDS_MAX] = {0};
	failures += !points_count(scenario, &golden, dir, counts);
	for (const struct kind *k = kinds; k->name; k++) {
		struct point point = {.scenario = scenario, .kind = k};
		failures += run_mode(&point, &golden, counts[k - kinds]);
		point.then = true;
		if (!k->once_only)
			failures += run_mode(&point, &golden, counts[k - kinds]);
	}
	for (size_t k = 0; k < KINDS_MAX; k++)
		after += run_points[k];
	golden_free(&golden);
	failed_points += failures;
	printf("%s %u - %s", failures ? "not ok" : "ok", ++tests, scenario->name);
	if (scenario->seed)
		printf(" %llu", (unsigned long long)scenario->seed);
	printf(": %llu points\n", (unsigned long long)(after - before));
	fflush(stdout);
}

static void run_random(void)
{
	for (unsigned i = 0; i < (all ? RANDOM_LONG : RANDOM_QUICK); i++) {
		struct scenario scenario;
		scenario_random(seed * 1000 + i + 1, &scenario);
		run_scenario(&scenario);
	}
}

static const struct scenario *group_of(const char *name)
{
	return strcmp(name, "names") == 0       ? scenarios_names
	       : strcmp(name, "content") == 0   ? scenarios_content
	       : strcmp(name, "places") == 0    ? scenarios_places
	       : strcmp(name, "snapshots") == 0 ? scenarios_snapshots
	       : strcmp(name, "backup") == 0    ? scenarios_backup
	       : strcmp(name, "volume") == 0    ? scenarios_volume
						: NULL;
}

static const struct scenario *scenario_named(const char *name)
{
	static struct scenario drawn;
	const struct scenario *const groups[] = {scenarios_names,     scenarios_content, scenarios_places,
						 scenarios_snapshots, scenarios_backup,  scenarios_volume};
	for (size_t g = 0; g < LK_ARRAY_LEN(groups); g++)
		for (const struct scenario *s = groups[g]; s->name; s++)
			if (strcmp(s->name, name) == 0)
				return s;
	if (strncmp(name, "random ", 7) != 0)
		return NULL;
	scenario_random(strtoull(name + 7, NULL, 10), &drawn);
	return &drawn;
}

static int one_point(char **args)
{
	struct point point = {.scenario = scenario_named(args[0]), .n = strtoull(args[3], NULL, 10)};
	struct golden golden;
	point.then = strcmp(args[2], "then") == 0;
	for (const struct kind *k = kinds; k->name; k++)
		if (strcmp(k->name, args[1]) == 0)
			point.kind = k;
	if (!point.scenario || !point.kind || !point.n) {
		printf("Bail out! no such point\n");
		return 2;
	}
	golden_make(point.scenario, dir, &golden);
	enum verdict v = point_run(&point, &golden, dir);
	golden_free(&golden);
	printf("1..1\n%s 1 - %s%s\n", v == POINT_FAILED ? "not ok" : "ok", point_name(),
	       v == POINT_NOT_REACHED ? " # not reached" : "");
	return v == POINT_FAILED;
}

static int run_group(const char *name)
{
	uint64_t sum = 0;
	const struct scenario *group = group_of(name);
	if (group) {
		for (const struct scenario *s = group; s->name; s++)
			run_scenario(s);
	} else if (strcmp(name, "random") == 0) {
		run_random();
	} else if (scenario_named(name)) {
		run_scenario(scenario_named(name));
	} else {
		printf("Bail out! no group or scenario %s\n", name);
		return 2;
	}
	for (const struct kind *k = kinds; k->name; k++) {
		printf("# %-16s %6llu points\n", k->name, (unsigned long long)run_points[k - kinds]);
		sum += run_points[k - kinds];
	}
	printf("# %-16s %6llu points, %llu failed\n1..%u\n", "in all", (unsigned long long)sum,
	       (unsigned long long)failed_points, tests);
	return failed_points != 0;
}

int main(int argc, char **argv)
{
	const char *deep = getenv("LINKFS_NTH");
	if (argc != 2 && argc != 5) {
		printf("Bail out! usage: %s GROUP|SCENARIO | SCENARIO KIND once|then N\n", argv[0]);
		return 2;
	}
	all = deep && strcmp(deep, "all") == 0;
	seed = lk_test_seed();
	(void)signal(SIGALRM, on_signal);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_where);
	else
		(void)signal(SIGSEGV, on_signal);
	faults_init();
	dir = lk_test_mkdir();
	images_make(dir);
	int r = argc == 2 ? run_group(argv[1]) : one_point(argv + 1);
	images_free();
	lk_test_rmdir(dir);
	return r;
}
