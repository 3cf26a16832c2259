/*
 * receive.c - power cuts while a stream is received (P2). A difference is received by a volume that has its base, and a whole snapshot by an empty
 * one, while every write, truncation, sync and change of a name is recorded; the recording is cut as those of scripts are (disk.c). Of
 * each state the rule is:
 *
 *   the volume opens, a check with all data finds nothing, and the snapshots there were show what they showed;
 *   the snapshot that is received is there whole, or not at all; when it is not, the same stream, given again, ends in it, and so
 *   does the tree;
 *   in some, it is given up instead: the tree is what it was.
 *
 *   power-receive                            so many states: LINKFS_POWER_STATES, else 600; LINKFS_SEED
 *   power-receive --replay NUMBER EVENT VARIANT   one of them
 */
#include "power.h"
#include "stream_case.h"

#include <inttypes.h>
#include <linkfs_check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DRAWS 3u

/* A new volume draws its name secret: here the same one each time, so that a seed replays. */
__attribute__((visibility("default"))) ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	static struct lk_test_random random = {12345};
	(void)flags;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lk_test_next(&random);
	return (ssize_t)len;
}

static struct {
	char *top;
	char path[4096];
	struct stream_bytes streams[2]; /* the whole; the difference */
	uint64_t seed, budget, states, again, given_up, done;
	bool failed;
	/* What is to be seen before and after. */
	char *before, *after, *past;
	size_t only_event;
	unsigned only_variant;
	bool only;
} run;

static uint64_t mix(uint64_t a, uint64_t b)
{
	struct lk_test_random random = {a ^ (b + 1) * UINT64_C(0x9e3779b97f4a7c15)};
	return lk_test_next(&random);
}

static bool bad(char *why, size_t size, const char *what, int r)
{
	(void)snprintf(why, size, "%s: %s\n", what, r ? linkfs_error_name(r) : "another than it must be");
	return false;
}

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	(void)snprintf(arg, 500, "check: %s: %s", f->problem->id, f->text);
	return 0;
}

static bool is_clean(struct linkfs_volume *v, char *why, size_t size)
{
	struct linkfs_check_options options = {.finding = on_finding, .arg = why, .flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum;
	int r = linkfs_volume_check(v, &options, &sum, NULL);
	if (r)
		return bad(why, size, "check", r);
	return sum.problems == 0;
}

/* What there is shows text. */
static bool shows(struct linkfs_volume *v, const char *name, const char *text, char *why, size_t size)
{
	int r = 0;
	char *is = name ? stream_case_past(v, name, &r) : stream_case_text(v, LINKFS_ROOT_INO, &r);
	bool good = is && strcmp(is, text) == 0;
	if (!good)
		(void)bad(why, size, name ? name : "the tree", r);
	free(is);
	return good;
}

static int open_it(struct linkfs_volume **out)
{
	return linkfs_volume_open(run.path, &(struct linkfs_open_options){0}, out, NULL);
}

static bool judge_open(struct linkfs_volume *v, unsigned number, bool give_up, char *why, size_t size)
{
	const char *name = number ? "two" : "one";
	struct linkfs_receive_pending pending;
	struct linkfs_message message = {""};
	int error = 0, r;
	char *is = stream_case_past(v, name, &error);
	bool there = is && strcmp(is, "none") != 0;
	free(is);
	if (!is)
		return bad(why, size, "the snapshot", error);
	if (!is_clean(v, why, size) || (number && !shows(v, "one", run.past, why, size)))
		return false;
	r = linkfs_receive_pending(v, &pending);
	if (r && r != LINKFS_ENOENT)
		return bad(why, size, "pending", r);
	if (there && r == 0)
		return bad(why, size, "the snapshot is there and its stream is pending", 0);
	run.done += there;
	if (r == 0 && give_up) {
		r = linkfs_receive_abort(v, NULL, &message);
		if (r)
			return bad(why, size, message.text, r);
		run.given_up++;
		if (!shows(v, NULL, run.before, why, size) || !is_clean(v, why, size))
			return false;
	}
	r = stream_case_receive(v, &run.streams[number], run.streams[number].len, 0, &message);
	if (r)
		return bad(why, size, message.text, r);
	return shows(v, NULL, run.after, why, size) && shows(v, name, run.after, why, size) && is_clean(v, why, size);
}

static bool judge_state(const struct image *image, unsigned number, bool give_up, char *why, size_t size)
{
	struct linkfs_volume *v = NULL;
	bool good;
	image_store(image, run.path);
	quiet_begin(run.path);
	int r = open_it(&v);
	good = r == 0 ? judge_open(v, number, give_up, why, size) : bad(why, size, "open", r);
	if (r == 0 && linkfs_volume_close(v) != 0 && good)
		good = bad(why, size, "close", LINKFS_EIO);
	quiet_end();
	return good;
}

static uint64_t odds_of(const struct recording *r, uint64_t most)
{
	uint64_t all = 1;
	for (size_t i = 0; i < r->count; i++)
		all += event_changes(&r->events[i]) ? 2 + DRAWS : 0;
	return most >= all ? UINT64_C(1) << 32 : (most << 32) / all;
}

static void cut_all(const struct image *start, const struct recording *r, unsigned number, uint64_t odds)
{
	struct disk *d = disk_new(start);
	struct image image = {0};
	struct seen seen = {0};
	for (size_t i = 0; i < r->count && !run.failed; i++) {
		disk_play(d, r, i);
		if (!event_changes(&r->events[i]))
			continue;
		unsigned variants = disk_pending(d) ? 2 + DRAWS : 1;
		for (unsigned variant = 0; variant < variants && !run.failed; variant++) {
			uint64_t seed = mix(mix(mix(run.seed, number), i), variant);
			struct lk_test_random random = {seed};
			char why[4096] = "";
			bool drawn = lk_test_below(&random, UINT64_C(1) << 32) < odds;
			if (run.only ? i != run.only_event || variant != run.only_variant : !drawn)
				continue;
			disk_cut(d, r, variant, seed, &image);
			if (seen_before(&seen, image_hash(&image)))
				continue;
			run.states++;
			if (judge_state(&image, number, lk_test_below(&random, 4) == 0, why, sizeof(why)))
				continue;
			run.failed = true;
			printf("# replay: LINKFS_SEED=%" PRIu64 " power-receive --replay %u %zu %u\n# %s\n", run.seed,
			       number, i, variant, why);
		}
	}
	image_free(&image);
	seen_free(&seen);
	disk_free(d);
}

/* In the middle, as the interval of commits would do. */
static struct linkfs_volume *receiving;
static size_t next_sync;
static void sync_now_and_then(void *arg, size_t at)
{
	struct lk_test_random *random = arg;
	if (at < next_sync)
		return;
	next_sync = at + 1 + lk_test_below(random, 600);
	(void)linkfs_volume_sync(receiving);
}

static char *text_of(struct linkfs_volume *v, const char *name)
{
	int error = 0;
	char *text = name ? stream_case_past(v, name, &error) : stream_case_text(v, LINKFS_ROOT_INO, &error);
	assert_non_null(text);
	return text;
}

static void run_stream(unsigned number, uint64_t most)
{
	struct lk_test_random random = {mix(run.seed, number)};
	struct image start = {0};
	struct recording r;
	quiet_begin(run.path);
	assert_int_equal(linkfs_volume_create(run.path, &(struct linkfs_create_options){0}, NULL), 0);
	assert_int_equal(open_it(&receiving), 0);
	if (number)
		assert_int_equal(stream_case_receive(receiving, &run.streams[0], run.streams[0].len, 0, NULL), 0);
	run.before = text_of(receiving, NULL);
	run.past = text_of(receiving, "one");
	assert_int_equal(linkfs_volume_close(receiving), 0);
	image_load(&start, run.path);
	quiet_end();
	image_store(&start, run.path);
	record_begin(&r, run.path);
	assert_int_equal(open_it(&receiving), 0);
	run.streams[number].told = sync_now_and_then;
	run.streams[number].told_arg = &random;
	next_sync = 0;
	assert_int_equal(stream_case_receive(receiving, &run.streams[number], run.streams[number].len, 0, NULL), 0);
	run.streams[number].told = NULL;
	assert_int_equal(linkfs_volume_close(receiving), 0);
	record_end(&r);
	assert_string_equal(r.trouble, "");
	quiet_begin(run.path);
	assert_int_equal(open_it(&receiving), 0);
	run.after = text_of(receiving, NULL);
	assert_int_equal(linkfs_volume_close(receiving), 0);
	quiet_end();
	cut_all(&start, &r, number, odds_of(&r, most));
	record_free(&r);
	image_free(&start);
	free(run.before);
	free(run.after);
	free(run.past);
	lk_test_rmdir(strdup(run.path));
}

static void a_reception_survives_power_cuts(void **state)
{
	(void)state;
	for (unsigned number = 0; number < 2 && !run.failed; number++)
		run_stream(number, run.budget / 2);
	printf("# seed %" PRIu64 ": %" PRIu64 " power cuts, %" PRIu64 " after the snapshot was there, %" PRIu64
	       " given up\n",
	       run.seed, run.states, run.done, run.given_up);
	if (run.failed)
		fail_msg("a state is not as it must be; see above");
	assert_true(run.given_up > 5 && run.done > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_reception_survives_power_cuts)};
	const char *states = getenv("LINKFS_POWER_STATES");
	int r;
	run.seed = lk_test_seed();
	run.budget = states ? strtoull(states, NULL, 10) : 600;
	run.top = lk_test_mkdir();
	(void)snprintf(run.path, sizeof(run.path), "%s/volume", run.top);
	stream_case_make(run.path, &run.streams[0], &run.streams[1]);
	if (argc == 5) {
		run.only = true;
		run.only_event = strtoull(argv[3], NULL, 10);
		run.only_variant = (unsigned)strtoul(argv[4], NULL, 10);
		run_stream((unsigned)strtoul(argv[2], NULL, 10), 0);
		printf("# %" PRIu64 " states: %s\n", run.states, run.failed ? "failed" : "good");
		r = run.failed || !run.states;
	} else {
		r = cmocka_run_group_tests_name("power-receive", tests, NULL, NULL);
	}
	stream_case_free(&run.streams[0]);
	stream_case_free(&run.streams[1]);
	lk_test_rmdir(run.top);
	return r;
}
