/*
 * test_fault.c - a check or a repair in which a call of the database, or an allocation, fails (P3). A check says so or finds what it
 * finds undisturbed: it never calls a volume sound, or damaged in another way, because of what it could not see. A repair that was
 * disturbed can be run again and comes to the same end; nothing leaks (the sanitizer judges that).
 */
#include "disturbed.h"

#include "db_wrap.h"
#include "no_memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS (LK_FAULT_ALL | LK_FAULT_VERIFY | LK_FAULT_REBUILD | LK_FAULT_COPY)

static struct lk_test_random rng;
static unsigned share = 1; /* one of so many points */
static struct found undisturbed, now;

/* ---- one run with one failure ------------------------------------------------------------------------------------------- */

struct failure {
	int code;       /* of a call of the database; 0: an allocation */
	uint64_t n;     /* it is the n-th */
	bool all_later; /* and every call from there on */
};

static _Atomic uint64_t calls, failures;

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	struct found *k = arg;
	if (k->count < LK_ARRAY_LEN(k->ids)) {
		(void)snprintf(k->ids[k->count], sizeof(k->ids[0]), "%s", f->problem->id);
		(void)snprintf(k->text[k->count++], sizeof(k->text[0]), "%s", f->text);
	}
	return 0;
}

static int run(const struct disturbed *d, uint32_t flags, const struct failure *f, struct found *out)
{
	struct lk_fault_plan plan = {.which = CALLS, .counter = &failures, .calls = &calls};
	struct linkfs_check_options options = {.flags = flags, .finding = on_finding, .arg = out};
	if (f->code) {
		plan.n = f->n;
		plan.code = f->code;
		plan.all_later = f->all_later;
	}
	atomic_store(&calls, 0);
	atomic_store(&failures, 0);
	out->count = 0;
	out->sum = (struct linkfs_check_summary){0};
	lk_db_wrap_plan(&plan);
	fail_memory = f->code ? 0 : (long)f->n;
	int r = linkfs_check(d->b.s.path, &options, &out->sum, NULL);
	if (!f->code && !fail_memory)
		atomic_store(&failures, 1);
	fail_memory = 0;
	lk_db_wrap_plan(NULL);
	return r;
}

/* How many calls, or allocations, a run makes. */
static uint64_t count_of(const struct disturbed *d, uint32_t flags, bool memory)
{
	const struct failure none = {memory ? 0 : LINKFS_EIO, memory ? INT32_MAX : 0, false};
	image_put(&d->damaged, d->b.s.path);
	fail_memory = 0;
	int r;
	if (memory) {
		struct linkfs_check_options options = {.flags = flags, .finding = on_finding, .arg = &now};
		now.count = 0;
		fail_memory = INT32_MAX;
		r = linkfs_check(d->b.s.path, &options, NULL, NULL);
		uint64_t made = (uint64_t)(INT32_MAX - fail_memory);
		fail_memory = 0;
		assert_int_equal(r, 0);
		return made;
	}
	r = run(d, flags, &none, &now);
	assert_int_equal(r, 0);
	return atomic_load(&calls);
}

static bool says_unreadable(const struct found *f)
{
	return found_id(f, "table-unreadable") || found_id(f, "database-damaged") || found_id(f, "unopenable");
}

static void complain(const struct disturbed *d, const struct failure *f, int r, const char *what)
{
	fail_msg("%s: %s %llu fails with %s%s: %s, %s:%s", d->story, f->code ? "call" : "allocation",
		 (unsigned long long)f->n, linkfs_error_name(f->code ? f->code : LINKFS_ENOMEM),
		 f->all_later ? ", and all later" : "", linkfs_error_name(r), what, found_all(&now));
}

/* ---- a check ------------------------------------------------------------------------------------------------------------ */

/* It never says that all is well, nor what is not so. */
static void judge_check(const struct disturbed *d, const struct failure *f, int r)
{
	int code = f->code ? f->code : LINKFS_ENOMEM;
	if (r == code)
		return;
	if (r)
		complain(d, f, r, "another error than the one that it met");
	bool damage = code == LINKFS_EIO || code == LINKFS_ECORRUPT;
	if (damage && says_unreadable(&now))
		return;
	/* What only a path was looked up for may fail: it is left out of the finding. */
	if (now.sum.problems != undisturbed.sum.problems)
		complain(d, f, r, "it finds something else");
	for (size_t i = 0; i < now.count; i++) {
		if (strcmp(now.ids[i], undisturbed.ids[i]) != 0 || strcmp(now.text[i], undisturbed.text[i]) != 0)
			complain(d, f, r, "it finds something else");
	}
}

/* One that the call may fail with. An index that is known to differ may be broken too: then it has only what can be read of it, and the
 * rest of it is lost with good reason. */
static int draw_code(const struct found *undisturbed_run, bool writes)
{
	static const int codes[] = {LINKFS_EIO, LINKFS_ENOMEM, LINKFS_ECORRUPT, LINKFS_ENOSPC};
	int code;
	do
		code = codes[lk_test_below(&rng, writes ? 4 : 3)];
	while (code == LINKFS_ECORRUPT && found_id(undisturbed_run, "index-differs"));
	return code;
}

static unsigned check_points(const struct disturbed *d, unsigned points, bool memory)
{
	const uint32_t flags = LINKFS_CHECK_DATA;
	const struct failure none = {.code = LINKFS_EIO};
	uint64_t total = count_of(d, flags, memory), step = LK_MAX(total / points, (uint64_t)1);
	unsigned done = 0;
	image_put(&d->damaged, d->b.s.path);
	assert_int_equal(run(d, flags, &none, &undisturbed), 0);
	for (uint64_t n = 1 + lk_test_below(&rng, step); n <= total; n += step, done++) {
		struct failure f = {memory ? 0 : draw_code(&undisturbed, false), n, lk_test_below(&rng, 4) == 0};
		int r = run(d, flags, &f, &now);
		assert_true(atomic_load(&failures) > 0);
		judge_check(d, &f, r);
	}
	return done;
}

/* ---- a repair ----------------------------------------------------------------------------------------------------------- */

static unsigned repair_points(const struct disturbed *d, unsigned points, bool memory)
{
	const uint32_t flags = LINKFS_CHECK_REPAIR;
	uint64_t total = count_of(d, flags, memory), step = LK_MAX(total / points, (uint64_t)1);
	unsigned done = 0;
	image_put(&d->damaged, d->b.s.path);
	assert_int_equal(run(d, 0, &(struct failure){.code = LINKFS_EIO}, &undisturbed), 0);
	for (uint64_t n = 1 + lk_test_below(&rng, step); n <= total; n += step, done++) {
		char when[200];
		struct failure f = {memory ? 0 : draw_code(&undisturbed, true), n, lk_test_below(&rng, 4) == 0};
		image_put(&d->damaged, d->b.s.path);
		int r = run(d, flags, &f, &now);
		(void)snprintf(when, sizeof(when), "%s %llu fails with %s%s (%s)", memory ? "allocation" : "call",
			       (unsigned long long)n, linkfs_error_name(f.code ? f.code : LINKFS_ENOMEM),
			       f.all_later ? ", and all later" : "", linkfs_error_name(r));
		/* What it said is so. */
		if (r == 0 && now.sum.left == 0) {
			sample_check(&d->b.s, 0, &now);
			if (now.sum.problems)
				fail_msg("%s: %s: it said that all is mended, and a check finds:%s", d->story, when,
					 found_all(&now));
		}
		disturbed_goes_on(d, when);
	}
	return done;
}

/* ---- over the table ----------------------------------------------------------------------------------------------------- */

static void mend(struct disturbed *d)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP};
	assert_int_equal(linkfs_check(d->b.s.path, &options, NULL, NULL), 0);
	disturbed_note(d);
}

static void over_all(unsigned (*points_of)(const struct disturbed *, unsigned, bool), bool memory, bool repaired,
		     unsigned points)
{
	struct disturbed d;
	unsigned done = 0;
	rng.state = lk_test_seed() * 3000 + memory;
	disturbed_make(&d);
	for (size_t i = 0; i < damage_count; i++) {
		const struct damage *one = &damages[i];
		if (one->kind & (DAMAGE_STAYS | DAMAGE_DROP | DAMAGE_ALONE))
			continue;
		disturbed_damage(&d, &one, 1);
		if (repaired)
			mend(&d);
		done += points_of(&d, lk_test_long() ? points * 100 : LK_MAX(points / share, 1u), memory);
	}
	print_message("# %u points\n", done);
	assert_true(done > 60);
	disturbed_done(&d);
}

static void a_check_tells_of_a_call_that_fails(void **state)
{
	(void)state;
	over_all(check_points, false, false, 12);
}

static void a_check_tells_of_memory_that_ends(void **state)
{
	(void)state;
	over_all(check_points, true, false, 12);
}

static void a_repair_goes_on_after_a_call_failed(void **state)
{
	(void)state;
	over_all(repair_points, false, true, 5);
}

/* Where the index of names is all that has the right name, every call counts; and where next to nothing is to be mended, so that all else
 * must stay. */
static void what_cannot_be_read_is_not_taken_for_absent(void **state)
{
	struct disturbed d;
	unsigned done = 0;
	(void)state;
	rng.state = lk_test_seed() * 4000;
	disturbed_make(&d);
	for (size_t i = 0; i < damage_count; i++) {
		const struct damage *one = &damages[i];
		if (strcmp(one->id, "name-differs") != 0 && strcmp(one->id, "name-lost") != 0 &&
		    strcmp(one->id, "counter-inodes") != 0)
			continue;
		disturbed_damage(&d, &one, 1);
		mend(&d);
		done += repair_points(&d, share == 1 ? UINT32_MAX : 100 / share, false);
	}
	print_message("# %u points\n", done);
	assert_true(done > 60);
	disturbed_done(&d);
}

static void a_repair_goes_on_after_memory_ended(void **state)
{
	(void)state;
	over_all(repair_points, true, true, 5);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		share = (unsigned)strtoul(argv[1], NULL, 10);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_check_tells_of_a_call_that_fails),
		cmocka_unit_test(a_check_tells_of_memory_that_ends),
		cmocka_unit_test(a_repair_goes_on_after_a_call_failed),
		cmocka_unit_test(a_repair_goes_on_after_memory_ended),
		cmocka_unit_test(what_cannot_be_read_is_not_taken_for_absent),
	};
	cmocka_set_test_filter(getenv("LINKFS_TEST_ONLY"));
	return cmocka_run_group_tests_name("damage-fault", tests, NULL, NULL);
}
