/*
 * receive.c - the n-th failure while a stream is received (P3): of a whole snapshot by an empty volume, of a difference by one that has its base. Of each
 * point (a kind of failure of faults.c, once or from then on, the n-th call) the rule is:
 *
 *   the reception says 0, and all is there, or it says an error, and the snapshots there were show what they showed;
 *   when nothing fails any more the same stream, given again (after the volume was opened anew, if it was poisoned), ends in the snapshot
 *   and the tree that it is of; a check with all data finds nothing; neither memory nor descriptors are lost.
 *
 * LINKFS_NTH=all runs every point, else a share of them that LINKFS_SEED draws.
 *
 *   nth-receive                            all
 *   nth-receive STREAM KIND once|then N    one point, as a failure prints it
 */
#include "nth.h"
#include "stream_case.h"

#include <inttypes.h>
#include <linkfs_check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS 10u /* of a kind, in the quick tier */

static struct {
	char *top;
	char path[4200], start[2][4200];
	struct stream_bytes streams[2];
	char *past, *after[2];
	char name[200], why[2000];
	uint64_t points, failed;
	unsigned tests;
} run;

static const char *const snapshots[2] = {"one", "two"};

const char *point_name(void)
{
	return run.name;
}

static bool bad(const char *what, int r)
{
	(void)snprintf(run.why, sizeof(run.why), "%s: %s", what, r ? linkfs_error_name(r) : "another than it must be");
	return false;
}

static void copy_start(unsigned number)
{
	char command[9000];
	(void)snprintf(command, sizeof(command), "rm -rf '%s' && cp -a '%s' '%s'", run.path, run.start[number],
		       run.path);
	if (system(command) != 0) {
		printf("Bail out! %s\n", command);
		exit(1);
	}
}

static char *text_of(struct linkfs_volume *v, const char *name)
{
	int error = 0;
	return name ? stream_case_past(v, name, &error) : stream_case_text(v, LINKFS_ROOT_INO, &error);
}

static bool shows(struct linkfs_volume *v, const char *name, const char *text)
{
	char *is = text_of(v, name);
	bool same = is && strcmp(is, text) == 0;
	free(is);
	return same || bad(name ? name : "the tree", 0);
}

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	(void)arg;
	(void)snprintf(run.why, sizeof(run.why), "check: %s: %s", f->problem->id, f->text);
	return 0;
}

static bool is_clean(struct linkfs_volume *v)
{
	struct linkfs_check_options options = {.finding = on_finding, .flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum;
	int r = linkfs_volume_check(v, &options, &sum, NULL);
	return r ? bad("check", r) : sum.problems == 0;
}

static bool is_poisoned(struct linkfs_volume *v)
{
	struct linkfs_info *info = calloc(1, sizeof(*info));
	bool poisoned = !info || linkfs_volume_info(v, info) != 0 || info->poisoned;
	free(info);
	return poisoned;
}

/* After a failure, when nothing fails any more. */
static bool goes_on(struct linkfs_volume **v, unsigned number)
{
	struct linkfs_message why = {""};
	int r;
	if (is_poisoned(*v)) {
		(void)linkfs_volume_close(*v);
		*v = NULL;
		r = volume_open(run.path, v);
		if (r)
			return bad("opened again", r);
	}
	if (number && !shows(*v, "one", run.past))
		return false;
	r = stream_case_receive(*v, &run.streams[number], run.streams[number].len, 0, &why);
	if (r) {
		(void)bad(why.text, r);
		return false;
	}
	return true;
}

static bool ends_well(struct linkfs_volume **v, unsigned number)
{
	if (!shows(*v, NULL, run.after[number]) || !shows(*v, snapshots[number], run.after[number]))
		return false;
	int r = linkfs_volume_close(*v);
	*v = NULL;
	if (r)
		return bad("close", r);
	r = volume_open(run.path, v);
	if (r)
		return bad("opened at the end", r);
	return is_clean(*v) && shows(*v, NULL, run.after[number]) && shows(*v, snapshots[number], run.after[number]);
}

/* False: it is not as it must be. *hit_out: something failed. */
static bool run_point(unsigned number, const struct point *point, bool *hit_out)
{
	struct linkfs_volume *v = NULL;
	copy_start(number);
	int64_t own = faults_live_own(), sqlite = faults_live_sqlite();
	faults_watch(run.path);
	int r = volume_open(run.path, &v);
	bool good = r == 0 || bad("open", r);
	if (good) {
		faults_arm(point);
		r = stream_case_receive(v, &run.streams[number], run.streams[number].len, 0, NULL);
		*hit_out = faults_hit() > 0;
		faults_disarm();
		if (r > 0 || (r && point->kind->harmless))
			good = bad("received", r);
		if (good && r)
			good = goes_on(&v, number);
		if (good)
			good = ends_well(&v, number);
	}
	r = v ? linkfs_volume_close(v) : 0;
	faults_unwatch();
	if (good && r)
		good = bad("close at the end", r);
	if (good && (faults_live_own() != own || faults_live_sqlite() != sqlite)) {
		(void)snprintf(run.why, sizeof(run.why), "%lld and %lld allocations are left",
			       (long long)(faults_live_own() - own), (long long)(faults_live_sqlite() - sqlite));
		good = false;
	}
	return good;
}

static void judge(unsigned number, const struct point *point)
{
	bool hit = false;
	(void)snprintf(run.name, sizeof(run.name), "nth-receive %u %s %s %" PRIu64, number, point->kind->name,
		       point->then ? "then" : "once", point->n);
	run.why[0] = 0;
	run.points++;
	if (run_point(number, point, &hit))
		return;
	run.failed++;
	printf("# %s: %s\n", run.name, run.why);
	fflush(stdout);
}

static void each_kind(unsigned number, bool all, struct lk_test_random *random)
{
	uint64_t counts[KINDS_MAX];
	struct point none = {.kind = &kind_counting};
	bool hit;
	if (!run_point(number, &none, &hit)) {
		printf("Bail out! nothing fails, and: %s\n", run.why);
		exit(1);
	}
	faults_counts(counts);
	for (size_t k = 0; kinds[k].name; k++) {
		uint64_t before = run.failed, points = run.points, step = all ? 1 : counts[k] / POINTS + 1;
		if (kinds[k].source == FROM_HOST) /* a full host is 'write-enospc' here */
			continue;
		for (int then = 0; then < (kinds[k].once_only ? 1 : 2); then++)
			for (uint64_t n = 1 + lk_test_below(random, step); n <= counts[k]; n += step)
				judge(number, &(struct point){.kind = &kinds[k], .then = then, .n = n});
		printf("%s %u - %s: %s, %" PRIu64 " points of %" PRIu64 "\n", run.failed > before ? "not ok" : "ok",
		       ++run.tests, number ? "difference" : "whole", kinds[k].name, run.points - points, counts[k] * 2);
	}
}

static void prepare(void)
{
	struct linkfs_volume *v;
	(void)snprintf(run.path, sizeof(run.path), "%s/volume", run.top);
	stream_case_make(run.path, &run.streams[0], &run.streams[1]);
	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(run.start[i], sizeof(run.start[i]), "%s/start%u", run.top, i);
		int r = linkfs_volume_create(run.start[i], &(struct linkfs_create_options){0}, NULL);
		r = r ? r : volume_open(run.start[i], &v);
		for (unsigned k = 0; r == 0 && k < i; k++)
			r = stream_case_receive(v, &run.streams[k], run.streams[k].len, 0, NULL);
		r = r ? r : linkfs_volume_close(v);
		if (r) {
			printf("Bail out! %s\n", linkfs_error_name(r));
			exit(1);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		copy_start(i);
		if (volume_open(run.path, &v) || stream_case_receive(v, &run.streams[i], run.streams[i].len, 0, NULL))
			exit(1);
		run.after[i] = text_of(v, NULL);
		if (i == 1)
			run.past = text_of(v, "one");
		(void)linkfs_volume_close(v);
	}
}

int main(int argc, char **argv)
{
	const char *how = getenv("LINKFS_NTH");
	struct lk_test_random random = {lk_test_seed()};
	faults_init();
	faults_clock(INT64_C(1700000000) * 1000000000);
	run.top = lk_test_mkdir();
	prepare();
	if (argc == 5) {
		for (size_t k = 0; kinds[k].name; k++)
			if (strcmp(kinds[k].name, argv[2]) == 0)
				judge((unsigned)strtoul(argv[1], NULL, 10),
				      &(struct point){.kind = &kinds[k],
						      .then = strcmp(argv[3], "then") == 0,
						      .n = strtoull(argv[4], NULL, 10)});
	} else {
		printf("# seed %" PRIu64 "\nTAP version 13\n", lk_test_seed());
		for (unsigned i = 0; i < 2; i++)
			each_kind(i, how && strcmp(how, "all") == 0, &random);
		printf("1..%u\n# %" PRIu64 " points\n", run.tests, run.points);
	}
	lk_test_rmdir(run.top);
	return run.failed != 0;
}
