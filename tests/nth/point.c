/*
 * point.c - runs one point and judges it.
 *
 * What must hold, whatever fails: a call that failed left the state before it, a call that succeeded the state after it, also
 * when it succeeded in spite of the failure; the error is one that such a failure may give. Once nothing fails any more the
 * call succeeds, and so do the rest. A volume that is poisoned says so to every sync and refuses every change (T4). Closed and
 * opened again the volume is in the last state, or when the close or an earlier sync failed in some state not before the last
 * sync that succeeded; its records agree. Memory and descriptors are given back. On a host without space nothing
 * poisons, and deleting makes room for what was refused (F4).
 */
#include "nth.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>
#include <unistd.h>
#include <volume.h>

#define CLOCK_BASE INT64_C(1700000000000000000)
#define SECOND INT64_C(1000000000)

static uint8_t bytes[NTH_BUF], got[NTH_BUF];
static char name_text[512];

struct run {
	const struct point *point;
	const struct golden *golden;
	const char *path;
	struct scene scene;
	unsigned at;    /* steps done */
	unsigned acked; /* and durable */
	bool poisoned;
	bool failed; /* said already */
};

const char *point_name(void)
{
	return name_text;
}

static bool bad(struct run *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool bad(struct run *w, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (!w->failed) {
		printf("# FAILED: %s\n#   ", name_text);
		(void)vprintf(format, args);
		printf("\n");
	}
	va_end(args);
	w->failed = true;
	return false;
}

static const struct step *step_at(const struct run *w, unsigned i)
{
	return &w->point->scenario->steps[i];
}

static void scene_init(struct scene *s, uint64_t seed)
{
	*s = (struct scene){.bytes = bytes, .got = got, .seed = seed};
	if (bytes[0])
		return;
	for (size_t i = 0; i < NTH_BUF; i++)
		bytes[i] = (uint8_t)(7 + i % 241 + i / LK_BLOCK_SIZE);
}

static void scene_done(struct scene *s)
{
	linkfs_file_close(s->file);
	linkfs_dir_close(s->dir);
	s->file = NULL;
	s->dir = NULL;
}

static int run_step(struct run *w, unsigned i)
{
	faults_clock(CLOCK_BASE + (i + 1) * SECOND);
	w->scene.at = i;
	return step_at(w, i)->run(&w->scene);
}

/* ---- the states without failures ------------------------------------------------------------------------------------ */

static char *tree_or_die(struct linkfs_volume *v, const char *name)
{
	int error = 0;
	char *text = tree_text(v, &error);
	if (text)
		return text;
	printf("Bail out! %s without failures: %s\n", name, linkfs_error_name(error));
	exit(1);
}

void golden_make(const struct scenario *scenario, const char *dir, struct golden *out)
{
	char path[4200];
	struct point none = {.scenario = scenario};
	struct run w = {.point = &none};
	*out = (struct golden){.scenario = scenario};
	(void)snprintf(path, sizeof(path), "%s/golden", dir);
	(void)snprintf(name_text, sizeof(name_text), "%s without failures", scenario->name);
	faults_clock(CLOCK_BASE);
	image_copy(scenario->image, path, false);
	faults_watch(path);
	scene_init(&w.scene, scenario->seed);
	int r = scenario->image == IMAGE_NONE ? linkfs_volume_create(path, NULL, NULL) : 0;
	if (r == 0)
		r = volume_open(path, &w.scene.volume);
	if (r) {
		printf("Bail out! %s: %s\n", name_text, linkfs_error_name(r));
		exit(1);
	}
	out->trees[0] = tree_or_die(w.scene.volume, scenario->name);
	for (unsigned i = 0; scenario->steps[i].run; i++) {
		out->results[i] = run_step(&w, i);
		if (out->results[i] > 0) {
			printf("Bail out! %s: step %s is wrong\n", name_text, scenario->steps[i].name);
			exit(1);
		}
		out->trees[i + 1] = tree_or_die(w.scene.volume, scenario->name);
		out->steps = i + 1;
	}
	scene_done(&w.scene);
	r = linkfs_volume_close(w.scene.volume);
	faults_unwatch();
	remove_tree(path);
	if (r) {
		printf("Bail out! %s: close: %s\n", name_text, linkfs_error_name(r));
		exit(1);
	}
}

void golden_free(struct golden *golden)
{
	for (unsigned i = 0; i <= golden->steps; i++)
		free(golden->trees[i]);
}

/* ---- judging ------------------------------------------------------------------------------------------------------------ */

/* Whether the kind may end in this error. What is not there is not there: a failure never looks like it. */
static bool may_give(const struct kind *k, int error)
{
	if (error == LINKFS_EIO || error == LINKFS_EPOISONED || error == LINKFS_EROFS)
		return !k->harmless;
	if (k->source == FROM_CALLS) {
		if (error == LINKFS_ECORRUPT) /* of a read that SQLite or a checksum missed */
			return k->which & CALL_BIT(CALL_READ) && !k->is_short;
		return error == linkfs_from_errno(k->code) && !k->harmless;
	}
	return error == k->code || (k->source == FROM_THREADS && error == LINKFS_ENOMEM);
}

static const char *behind(const char *text, const char *word, const char *value)
{
	size_t len = strlen(word);
	return strncmp(text, word, len) == 0 ? text + len + strspn(text + len, value) : text;
}

/* Whether two trees are one, but for what may be done in parts. */
static bool same(const char *a, const char *b, unsigned in_parts)
{
	static const char hex[] = "0123456789abcdef";
	while (*a && *a == *b) {
		const char *c = a;
		if (in_parts)
			c = behind(a, " blocks ", hex);
		if (in_parts >= PARTS_CONTENT && c == a)
			c = behind(a, " content ", hex);
		/* Only the value differs when the word before it is the same. */
		b = c == a ? b + 1 : behind(b, a[1] == 'b' ? " blocks " : " content ", hex);
		a = c == a ? a + 1 : c;
	}
	return *a == *b;
}

/* The state the open volume shows is number from to to; parts of step w->at may be done. */
static bool shows(struct run *w, struct linkfs_volume *v, unsigned from, unsigned to, const char *when)
{
	unsigned in_parts = w->at < w->golden->steps ? step_at(w, w->at)->in_parts : 0;
	/* A recovery that failed leaves content to be cut off, and drops a punch that nobody was told is done. */
	bool recovery = w->point->scenario->image == IMAGE_CRASHED && faults_hit();
	unsigned always = recovery ? PARTS_CONTENT : 0;
	int error = 0;
	char *text = tree_text(v, &error);
	if (!text)
		return bad(w, "%s: the tree cannot be read: %s", when, linkfs_error_name(error));
	for (unsigned i = from; i <= to; i++) {
		if (same(text, w->golden->trees[i], i <= w->at ? LK_MAX(in_parts, always) : always)) {
			free(text);
			return true;
		}
	}
	const char *want = w->golden->trees[to];
	size_t at = 0;
	while (text[at] && text[at] == want[at])
		at++;
	while (at && text[at - 1] != '\n')
		at--;
	(void)bad(w, "%s: neither of the states %u to %u:\n#   %.*s\n#   expected\n#   %.*s", when, from, to,
		  (int)strcspn(text + at, "\n"), text + at, (int)strcspn(want + at, "\n"), want + at);
	free(text);
	return false;
}

static bool is_poisoned(struct run *w)
{
	return atomic_load(&lk_volume_fs(w->scene.volume)->poisoned);
}

/* T4, in one call of each kind. */
static bool poison_holds(struct run *w)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_volume *v = w->scene.volume;
	w->poisoned = true;
	if (w->point->kind->source == FROM_HOST)
		return bad(w, "a full host poisoned the volume, in step %s", step_at(w, w->at)->name);
	if (w->point->kind->harmless)
		return bad(w, "poisoned by what should not matter, in step %s", step_at(w, w->at)->name);
	int r = linkfs_volume_sync(v);
	if (r != LINKFS_EPOISONED)
		return bad(w, "a sync of a poisoned volume says %s", linkfs_error_name(r));
	r = linkfs_node_fsync(v, LINKFS_ROOT_INO, 0);
	if (r != LINKFS_EPOISONED)
		return bad(w, "an fsync in a poisoned volume says %s", linkfs_error_name(r));
	r = linkfs_node_make(v, NULL, LINKFS_ROOT_INO, "late", 4, &how, 0, NULL);
	if (r != LINKFS_EROFS)
		return bad(w, "a change of a poisoned volume says %s", linkfs_error_name(r));
	unsigned most = LK_MIN(w->at + 1, w->golden->steps);
	return shows(w, v, w->acked, most, "poisoned");
}

/* F4: the host has no space. Deleting works, is made durable, and gives back what the refused call needs. */
static bool leave_full_disk(struct run *w)
{
	int r = linkfs_path_unlink(w->scene.volume, NULL, LINKFS_ROOT_INO, "/full/ballast");
	if (r == LINKFS_ENOENT)
		return bad(w, "no space again, with %lld blocks left", (long long)host_left());
	if (r)
		return bad(w, "deleting on a full host: %s", linkfs_error_name(r));
	r = linkfs_volume_sync(w->scene.volume);
	return r ? bad(w, "sync after deleting on a full host: %s", linkfs_error_name(r)) : true;
}

/* Step w->at, with what fails; then again without. False: the point is over, w->failed says how. */
static bool do_step(struct run *w)
{
	const struct step *step = step_at(w, w->at);
	int want = w->golden->results[w->at];
	uint64_t before = faults_hit();
	int r = run_step(w, w->at);
	bool hit = faults_hit() > before;
	if (r == SCENE_WRONG)
		return bad(w, "step %s read what is not there", step->name);
	/* The keeper poisons beside the step as well: then the volume is as it was committed last, in the middle of it. */
	bool taken_back = is_poisoned(w) && (r == LINKFS_ENOENT || r == LINKFS_ESTALE);
	if (hit && r != want && !taken_back && !may_give(w->point->kind, r))
		return bad(w, "step %s says %s", step->name, linkfs_error_name(r));
	if (hit || is_poisoned(w)) {
		faults_disarm();
		if (is_poisoned(w))
			return poison_holds(w) && false;
		unsigned now = r == want ? w->at + 1 : w->at;
		if (!shows(w, w->scene.volume, now, step->goes_on ? w->at + 1 : now, step->name))
			return false;
		if (r != want && step->goes_on && w->point->kind->source == FROM_HOST)
			return bad(w, "step %s on a full host says %s", step->name, linkfs_error_name(r));
		if (r != want && w->point->kind->source == FROM_HOST && !leave_full_disk(w))
			return false;
		if (r != want)
			r = run_step(w, w->at);
		if (r != want && is_poisoned(w))
			return poison_holds(w) && false;
	}
	if (r != want)
		return bad(w, "step %s, when nothing fails any more: %s", step->name, linkfs_error_name(r));
	w->at++;
	if (step->syncs && r == 0)
		w->acked = w->at;
	return true;
}

static void close_run(struct run *w)
{
	scene_done(&w->scene);
	int r = linkfs_volume_close(w->scene.volume);
	bool hit = faults_hit() > 0;
	faults_disarm();
	w->scene.volume = NULL;
	if (r == 0 && w->poisoned)
		(void)bad(w, "a poisoned volume was closed with 0");
	else if (r == 0)
		w->acked = w->at;
	else if (w->poisoned && r != LINKFS_EPOISONED)
		(void)bad(w, "the close of a poisoned volume says %s", linkfs_error_name(r));
	else if (!w->poisoned && !(hit && may_give(w->point->kind, r)))
		(void)bad(w, "close says %s", linkfs_error_name(r));
	else if (w->point->kind->source == FROM_HOST)
		(void)bad(w, "close on a full host: %s", linkfs_error_name(r));
}

static void reopen(struct run *w, bool unfinished)
{
	struct linkfs_volume *v = NULL;
	char why[256];
	int r = volume_open(w->path, &v);
	if (r) {
		(void)bad(w, "opening again: %s", linkfs_error_name(r));
		return;
	}
	r = deletions_end(v);
	if (r)
		(void)bad(w, "deletions of snapshots do not go on after opening again: %s", linkfs_error_name(r));
	/* Groups reach their rows with a commit: what opening gave back shows then. */
	r = linkfs_volume_sync(v);
	if (r)
		(void)bad(w, "the first sync after opening again: %s", linkfs_error_name(r));
	/* A step that failed with the poison may have been durable before it failed. */
	unsigned most = w->at + (unfinished && w->at < w->golden->steps);
	if (shows(w, v, w->acked, most, "opened again") && !records_agree(v, true, why, sizeof(why)))
		(void)bad(w, "opened again: %s", why);
	r = linkfs_volume_close(v);
	if (r)
		(void)bad(w, "closing again: %s", linkfs_error_name(r));
}

static bool open_run(struct run *w)
{
	enum phase phase = w->point->scenario->phase;
	if (phase == PHASE_OPEN)
		faults_arm(w->point);
	int r = volume_open(w->path, &w->scene.volume);
	bool hit = faults_hit() > 0;
	if (phase == PHASE_OPEN) {
		if (r && !hit)
			return bad(w, "open without a failure: %s", linkfs_error_name(r));
		if (r && !may_give(w->point->kind, r))
			return bad(w, "open says %s", linkfs_error_name(r));
		if (r && w->point->kind->source == FROM_HOST)
			return bad(w, "open on a full host says %s", linkfs_error_name(r));
		if (hit || r)
			faults_disarm();
		if (r)
			r = volume_open(w->path, &w->scene.volume);
	}
	if (r)
		return bad(w, "open, when nothing fails: %s", linkfs_error_name(r));
	/* What a crash left, and this opening could not finish for the failure, the next one finishes: nothing is done to
	 * the volume in between, which would show it half done. */
	if (hit && w->point->scenario->image == IMAGE_CRASHED) {
		w->poisoned = is_poisoned(w);
		return false;
	}
	if (is_poisoned(w))
		return poison_holds(w) && false;
	if (hit && !shows(w, w->scene.volume, 0, 0, "open"))
		return false;
	if (phase == PHASE_STEPS)
		faults_arm(w->point);
	return true;
}

static bool create_run(struct run *w)
{
	if (w->point->scenario->phase == PHASE_CREATE)
		faults_arm(w->point);
	int r = linkfs_volume_create(w->path, NULL, NULL);
	bool hit = faults_hit() > 0;
	if (w->point->scenario->phase == PHASE_CREATE) {
		faults_disarm();
		host_limit(-1);
		if (r && !hit)
			return bad(w, "create without a failure: %s", linkfs_error_name(r));
		if (r && !may_give(w->point->kind, r))
			return bad(w, "create says %s", linkfs_error_name(r));
		struct stat st;
		bool names = w->point->kind->source == FROM_CALLS && w->point->kind->which & CALL_BIT(CALL_UNLINK);
		if (r && !names && lstat(w->path, &st) == 0)
			return bad(w, "create failed and left something");
		if (r && names)
			remove_tree(w->path);
		if (r)
			r = linkfs_volume_create(w->path, NULL, NULL);
	}
	return r ? bad(w, "create, when nothing fails: %s", linkfs_error_name(r)) : true;
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void run_all(struct run *w)
{
	const struct scenario *s = w->point->scenario;
	if (s->image == IMAGE_NONE && !create_run(w))
		return;
	bool going = open_run(w);
	while (going && w->at < w->golden->steps)
		going = do_step(w);
	if (going && s->phase == PHASE_CLOSE)
		faults_arm(w->point);
	if (w->scene.volume)
		close_run(w);
	if (!w->failed)
		reopen(w, w->poisoned);
}

enum verdict point_run(const struct point *point, const struct golden *golden, const char *dir)
{
	char path[4200];
	struct run w = {.point = point, .golden = golden, .path = path};
	(void)snprintf(path, sizeof(path), "%s/v", dir);
	(void)snprintf(name_text, sizeof(name_text), "'%s' %s %s %llu", point->scenario->name, point->kind->name,
		       point->then ? "then" : "once", (unsigned long long)point->n);
	alarm(120);
	unsigned descriptors = open_descriptors();
	int64_t own = faults_live_own(), sqlite = faults_live_sqlite();
	faults_clock(CLOCK_BASE);
	scene_init(&w.scene, point->scenario->seed);
	image_copy(point->scenario->image, path, point->kind->source == FROM_HOST || point->kind == &kind_counting);
	faults_watch(path);
	run_all(&w);
	bool reached = faults_hit() > 0;
	if (host_mapped_nothing())
		(void)bad(&w, "a page was mapped that the full host has no block for");
	faults_disarm();
	faults_unwatch();
	host_limit(-1);
	remove_tree(path);
	alarm(0);
	if (open_descriptors() != descriptors)
		(void)bad(&w, "%u descriptors were open before, %u after", descriptors, open_descriptors());
	if (faults_live_own() != own || faults_live_sqlite() != sqlite)
		(void)bad(&w, "memory: %lld of our own allocations and %lld of SQLite's are left",
			  (long long)(faults_live_own() - own), (long long)(faults_live_sqlite() - sqlite));
	return w.failed ? POINT_FAILED : reached ? POINT_PASSED : POINT_NOT_REACHED;
}

bool points_count(const struct scenario *scenario, const struct golden *golden, const char *dir,
		  uint64_t counts[KINDS_MAX])
{
	struct point all = {.scenario = scenario, .kind = &kind_counting, .n = UINT64_MAX};
	if (point_run(&all, golden, dir) == POINT_FAILED)
		return false;
	faults_counts(counts);
	return true;
}
