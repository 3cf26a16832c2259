/*
 * repair.c - power cuts while a damaged volume is repaired (P2). A volume with several damages is repaired while every write, truncation,
 * sync and change of a name is recorded; the recording is cut as those of scripts are (disk.c). Of each state the rule is:
 *
 *   the copy of the metadata, where one was to be made, is the whole damaged volume if it has its name, and has it if a row has changed;
 *   where the damaged volume opens, the state opens;
 *   the repair, run again, ends with nothing left, and a check with all data finds nothing;
 *   what is shown then, and the history, is what the undisturbed repair came to: every name, in lost+found too, attribute and block.
 *
 * Some of the second repairs are recorded and cut as well.
 *
 *   power-repair                                                so many states: LINKFS_POWER_STATES, else 600; LINKFS_SEED and LINKFS_POWER_PART
 *   power-repair --replay NUMBER EVENT VARIANT [EVENT VARIANT]  one of them, as a failure prints it
 */
#include "power.h"
#include "wreck.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DRAWS 4u
#define STATES 30u       /* of one volume, about */
#define AGAIN_STATES 10u /* of one repair of a cut repair */
#define NO_CUT SIZE_MAX

/* A new volume draws its name secret: here the same one each time, so that a seed replays. */
__attribute__((visibility("default"))) ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	static struct lk_test_random random = {12345};
	(void)flags;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lk_test_next(&random);
	return (ssize_t)len;
}

/* A state: of which volume, after which event, which draw; and of the second repair likewise. */
struct where {
	uint64_t number;
	size_t event, again_event; /* NO_CUT: it is not about the second repair */
	unsigned variant, again_variant;
};

static struct {
	struct wreck *wreck;
	uint64_t seed, budget;
	uint64_t states, again, volumes;
	bool failed;
	const struct where *only; /* to replay one */
	const char *lie;          /* a disk that does not sync the file of this name: it must be found out */
} run;

struct cutting {
	struct where where;
	struct seen seen;
	struct image image;
	uint64_t odds; /* of 2^32 */
	bool copy;     /* the first repair makes one */
	bool again;    /* this is the second one */
};

static uint64_t mix(uint64_t a, uint64_t b)
{
	struct lk_test_random random = {a ^ (b + 1) * UINT64_C(0x9e3779b97f4a7c15)};
	return lk_test_next(&random);
}

static uint64_t seed_of(const struct cutting *c)
{
	const struct where *w = &c->where;
	uint64_t seed = mix(mix(mix(run.seed, w->number), w->event), w->variant);
	return c->again ? mix(mix(seed, w->again_event), w->again_variant + 1000) : seed;
}

static void fail_at(const struct where *w, const char *why)
{
	run.failed = true;
	if (run.lie) {
		printf("# %s not synced: %.*s\n", run.lie, (int)strcspn(why, "\n"), why);
		return;
	}
	printf("# replay: LINKFS_SEED=%" PRIu64 " power-repair --replay %" PRIu64 " %zu %u", run.seed, w->number,
	       w->event, w->variant);
	if (w->again_event != NO_CUT)
		printf(" %zu %u", w->again_event, w->again_variant);
	printf("\n%s%s", wreck_story(run.wreck), why);
	fflush(stdout);
}

static void cut_all(struct cutting *c, const struct image *start, const struct recording *r);

static uint64_t odds_of(const struct recording *r, uint64_t most)
{
	uint64_t all = 1;
	for (size_t i = 0; i < r->count; i++)
		all += event_changes(&r->events[i]) ? 2 + DRAWS : 0;
	return most >= all ? UINT64_C(1) << 32 : (most << 32) / all;
}

/* The second repair of a state, recorded and cut in its turn. */
static void cut_again(const struct cutting *c, const struct image *state)
{
	struct cutting inner = {.where = c->where, .again = true};
	struct image start = {0};
	struct recording r;
	char why[4096] = "";
	image_copy(&start, state);
	image_store(&start, wreck_path(run.wreck));
	record_begin(&r, wreck_path(run.wreck));
	bool good = wreck_repair(run.wreck, false, why, sizeof(why));
	record_end(&r);
	if (!good || r.trouble[0]) {
		fail_at(&c->where, good ? r.trouble : why);
	} else {
		inner.odds = odds_of(&r, AGAIN_STATES);
		cut_all(&inner, &start, &r);
	}
	record_free(&r);
	image_free(&start);
	image_free(&inner.image);
	seen_free(&inner.seen);
}

static void judge_state(struct cutting *c, struct lk_test_random *random)
{
	char why[4096] = "";
	bool copy = c->copy && lk_test_below(random, 2), use = lk_test_below(random, 4) == 0;
	bool again = lk_test_below(random, 40) == 0;
	if (run.only)
		again = run.only->again_event != NO_CUT;
	image_store(&c->image, wreck_path(run.wreck));
	quiet_begin(wreck_path(run.wreck));
	bool good = wreck_is_safe(run.wreck, (copy ? WRECK_COPY : 0) | (use ? WRECK_USE : 0), why, sizeof(why)) &&
		    wreck_repair(run.wreck, false, why, sizeof(why)) && wreck_is_mended(run.wreck, why, sizeof(why));
	quiet_end();
	run.states++;
	run.again += c->again;
	if (!good)
		fail_at(&c->where, why);
	else if (again && !c->again && !run.lie)
		cut_again(c, &c->image);
}

static bool is_wanted(const struct cutting *c, struct lk_test_random *random)
{
	const struct where *only = run.only, *w = &c->where;
	bool drawn = lk_test_below(random, UINT64_C(1) << 32) < c->odds;
	if (!only)
		return drawn;
	if (c->again)
		return only->again_event == w->again_event && only->again_variant == w->again_variant;
	return only->event == w->event && only->variant == w->variant;
}

static void cut_here(struct cutting *c, struct disk *d, const struct recording *r)
{
	unsigned variants = disk_pending(d) ? 2 + DRAWS : 1;
	for (unsigned variant = 0; variant < variants && !run.failed; variant++) {
		*(c->again ? &c->where.again_variant : &c->where.variant) = variant;
		uint64_t seed = seed_of(c);
		struct lk_test_random random = {seed};
		if (!is_wanted(c, &random))
			continue;
		disk_cut(d, r, variant, seed, &c->image);
		if (!seen_before(&c->seen, image_hash(&c->image)))
			judge_state(c, &random);
	}
}

static void cut_all(struct cutting *c, const struct image *start, const struct recording *r)
{
	struct disk *d = disk_new(start);
	for (size_t i = 0; i < r->count && !run.failed; i++) {
		const struct event *e = &r->events[i];
		if (e->kind == EV_SYNC && run.lie && strcmp(e->name, run.lie) == 0)
			continue;
		disk_play(d, r, i);
		if (!event_changes(e))
			continue;
		*(c->again ? &c->where.again_event : &c->where.event) = i;
		cut_here(c, d, r);
	}
	disk_free(d);
}

/* One volume: damaged, repaired, and cut in about most states. */
static void run_volume(uint64_t number, uint64_t most)
{
	struct image start = {0};
	struct recording r;
	char why[4096] = "";
	const char *path = wreck_path(run.wreck);
	struct cutting c = {.where = {number, 0, NO_CUT, 0, 0}, .copy = number % 3 == 0};
	quiet_begin(path);
	wreck_make(run.wreck, mix(run.seed, number));
	image_load(&start, path);
	wreck_note_damage(run.wreck);
	quiet_end();
	image_store(&start, path);
	record_begin(&r, path);
	bool good = wreck_repair(run.wreck, c.copy, why, sizeof(why));
	record_end(&r);
	if (!good || r.trouble[0])
		fail_msg("%s%s%s", wreck_story(run.wreck), why, r.trouble);
	quiet_begin(path);
	wreck_note_end(run.wreck);
	image_store(&start, path);
	wreck_note_use(run.wreck);
	quiet_end();
	run.volumes++;
	c.odds = odds_of(&r, most);
	cut_all(&c, &start, &r);
	record_free(&r);
	image_free(&start);
	image_free(&c.image);
	seen_free(&c.seen);
}

static int calm(void **state)
{
	(void)state;
	calls_unwatch(); /* a test that failed in the middle left it */
	run.lie = NULL;
	run.failed = false;
	return 0;
}

static void a_repair_survives_power_cuts(void **state)
{
	(void)state;
	run.states = 0;
	for (uint64_t number = 0; !run.failed && run.states < run.budget; number++)
		run_volume(number, STATES);
	printf("# seed %" PRIu64 ": %" PRIu64 " power cuts in repairs of %" PRIu64 " volumes, %" PRIu64
	       " of them in a second repair\n",
	       run.seed, run.states, run.volumes, run.again);
	if (run.failed)
		fail_msg("a state is not as it must be; see above");
}

/* The test itself: a disk that forgets what it was told to sync is found out. */
static void a_lying_disk_is_found_out(void **state)
{
	static const char *const lies[] = {"meta.db", "meta.db-wal", "copy.part"};
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(lies); i++) {
		run.states = 0;
		run.lie = lies[i];
		for (uint64_t number = 0; number < 60 && !run.failed; number += 3)
			run_volume(number, 60);
		bool found = run.failed;
		run.failed = false;
		run.lie = NULL;
		printf("# found out after %" PRIu64 " states\n", run.states);
		assert_true(found);
	}
	run.states = run.volumes = 0; /* they prove nothing else */
}

static int replay(int argc, char **argv)
{
	struct where where = {strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), NO_CUT,
			      (unsigned)strtoul(argv[4], NULL, 10), 0};
	if (argc == 7) {
		where.again_event = strtoull(argv[5], NULL, 10);
		where.again_variant = (unsigned)strtoul(argv[6], NULL, 10);
	}
	run.only = &where;
	run_volume(where.number, 0);
	printf("# %" PRIu64 " states: %s\n", run.states, run.failed ? "failed" : "good");
	return run.failed || !run.states;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_lying_disk_is_found_out, calm),
		cmocka_unit_test_teardown(a_repair_survives_power_cuts, calm),
	};
	const char *states = getenv("LINKFS_POWER_STATES"), *part = getenv("LINKFS_POWER_PART");
	run.seed = lk_test_seed() + (part ? strtoull(part, NULL, 10) : 0);
	run.budget = states ? strtoull(states, NULL, 10) : 600;
	run.wreck = wreck_new();
	int r = argc == 5 || argc == 7 ? replay(argc, argv)
				       : cmocka_run_group_tests_name("power-repair", tests, NULL, NULL);
	wreck_free(run.wreck);
	return r;
}
