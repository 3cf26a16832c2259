/*
 * run.c - runs a script on a volume and on the model, then plays its recording and judges what a power cut may leave at
 * each moment. The rule: the tree is the model's after the first k operations, for one k that is not below the last
 * operation that a completed sync acknowledged, and not above the last that had begun.
 */
#include "run.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMON_BYTES (4u << 20)
#define TIGHT_BYTES (64u * 4096)
#define DRAWS 4u /* variants beside all and nothing */
#define RECOVERY_STATES 12u

static char *path_in(const char *top, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%s", top, name) < 0)
		abort();
	return path;
}

static const struct run *running; /* for what must() says */

static void must(int r, const char *what, const struct op *op)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "# %s: %s", what, linkfs_error_name(r));
	if (op) {
		(void)fprintf(stderr, ": ");
		op_print(stderr, op);
	}
	(void)fprintf(stderr, "\n");
	if (running && running->where.family)
		run_print(running, &running->where);
	fail_msg("%s: %s", what, linkfs_error_name(r));
}

enum { COMMON, TIGHT, BARE };

static unsigned base_of(const struct script *s)
{
	return s->bare ? BARE : s->tight ? TIGHT : COMMON;
}

static void make_base(struct run *run, unsigned which)
{
	char *path = path_in(run->top, "volume");
	struct linkfs_create_options options = {.limit_bytes = which == TIGHT ? TIGHT_BYTES : COMMON_BYTES};
	options.properties = lk_test_properties(&options.property_count);
	struct subject s = {.path = path};
	struct script base = {0};
	struct image empty = {0};
	script_base(&base);
	image_store(&empty, path);
	quiet_begin(path);
	must(linkfs_volume_create(path, &options, NULL), "create", NULL);
	must(subject_open(&s, NULL), "open", NULL);
	for (size_t i = 0; i < base.count && which != BARE; i++)
		must(op_run(&s, &base.ops[i]), "the tree to start with", &base.ops[i]);
	must(subject_close(&s), "close", NULL);
	quiet_end();
	image_load(&run->base[which], path);
	script_done(&base);
	free(path);
}

void run_init(struct run *run, uint64_t seed)
{
	memset(run, 0, sizeof(*run));
	run->seed = seed;
	running = run;
	run->top = lk_test_mkdir();
	for (unsigned i = COMMON; i <= BARE; i++)
		make_base(run, i);
}

void run_done(struct run *run)
{
	for (unsigned i = COMMON; i <= BARE; i++)
		image_free(&run->base[i]);
	lk_test_rmdir(run->top);
}

/* ---- running -------------------------------------------------------------------------------------------------------------- */

struct committer {
	pthread_t thread;
	struct linkfs_volume *volume;
	atomic_bool stop;
	uint64_t seed;
};

static void *commit_main(void *arg)
{
	struct committer *c = arg;
	struct lk_test_random random = {c->seed};
	while (!atomic_load(&c->stop)) {
		(void)linkfs_volume_sync(c->volume);
		(void)usleep((useconds_t)lk_test_below(&random, 300));
	}
	return NULL;
}

struct play {
	struct recording recording;
	struct history history;
	size_t events; /* that belong to the script */
	/* What became of each operation. */
	enum fate { SKIPPED, NO_ROOM, DONE } * fates;
};

static struct model *model_to_start(const struct script *s)
{
	struct model *m = model_new();
	struct script base = {0};
	if (s->bare)
		return m;
	script_base(&base);
	for (size_t i = 0; i < base.count; i++)
		(void)model_apply(m, &base.ops[i], false);
	script_done(&base);
	return m;
}

/* What failed, and how to have it again. */
static void tell(const struct run *run, const struct script *s, const struct verdict *v)
{
	run_print(run, &run->where);
	for (size_t i = 0; s && i < s->count; i++) {
		printf("#   %zu ", i + 1);
		op_print(stdout, &s->ops[i]);
		printf("\n");
	}
	printf("%s", v->why);
}

/* From the tree of m on; frees m. */
static void run_ops(struct run *run, const struct script *s, struct subject *subject, struct model *m, struct play *p)
{
	history_add(&p->history, m);
	p->fates = calloc(s->count + 1, sizeof(*p->fates));
	if (!p->fates)
		abort();
	for (size_t i = 0; i < s->count; i++) {
		const struct op *op = &s->ops[i];
		if (model_apply(m, op, true)) {
			uint64_t number = p->history.count;
			record_mark(&p->recording, EV_BEGIN, number);
			int r = op_run(subject, op);
			/* A small volume may be full: then nothing was done. */
			p->fates[i] = NO_ROOM;
			if (r != LINKFS_ENOSPC || !s->tight) {
				must(r, "an operation failed", op);
				(void)model_apply(m, op, false);
				p->fates[i] = DONE;
			}
			history_add(&p->history, m);
			if (r == 0 && op_acknowledges(op))
				record_mark(&p->recording, EV_ACK, number);
			run->operations++;
		}
	}
	/* The model itself, before anything is cut. */
	struct verdict v = {.good = true};
	judge_tree(subject->volume, &p->history, p->history.count - 1, p->history.count - 1, &v);
	if (!v.good) {
		tell(run, s, &v);
		fail_msg("the volume does not show what the model does");
	}
	model_free(m);
}

static void play_script(struct run *run, const struct script *s, struct play *p)
{
	char *path = path_in(run->top, "volume");
	struct subject subject = {.path = path};
	struct committer c = {.seed = run->seed};
	image_store(&run->base[base_of(s)], path);
	record_begin(&p->recording, path);
	must(subject_open(&subject, NULL), "open", NULL);
	c.volume = subject.volume;
	if (s->committer && pthread_create(&c.thread, NULL, commit_main, &c))
		abort();
	run_ops(run, s, &subject, model_to_start(s), p);
	if (s->committer) {
		atomic_store(&c.stop, true);
		(void)pthread_join(c.thread, NULL);
	}
	p->events = p->recording.count;
	must(subject_close(&subject), "close", NULL);
	record_end(&p->recording);
	if (p->recording.trouble[0])
		fail_msg("cannot be recorded: %s", p->recording.trouble);
	run->scripts++;
	free(path);
}

static void play_free(struct play *p)
{
	record_free(&p->recording);
	history_free(&p->history);
	free(p->fates);
}

/* The tree after state operations, when the machine comes back: no file is open any more. */
static struct model *model_at(const struct script *s, const struct play *p, size_t state)
{
	struct model *m = model_to_start(s);
	for (size_t i = 0; state && i < s->count; i++) {
		if (p->fates[i] == DONE)
			(void)model_apply(m, &s->ops[i], false);
		state -= p->fates[i] != SKIPPED;
	}
	for (unsigned slot = 0; slot < OP_SLOTS; slot++) {
		struct op close = {.kind = OP_HCLOSE, .slot = slot};
		(void)model_apply(m, &close, false);
	}
	return m;
}

/* ---- cutting ---------------------------------------------------------------------------------------------------------------- */

static uint64_t seed_of(const struct run *run, const struct where *w, bool recovery)
{
	struct lk_test_random random = {run->seed};
	const uint64_t parts[] = {(uint64_t)(w->family - families), w->number, recovery ? w->recovery_event : w->event,
				  recovery ? w->recovery_variant + 1000 : w->variant};
	for (size_t i = 0; i < LK_ARRAY_LEN(parts); i++)
		random.state = lk_test_next(&random) ^ (parts[i] + 1) * UINT64_C(0x9e3779b97f4a7c15);
	return lk_test_next(&random);
}

void run_print(const struct run *run, const struct where *w)
{
	printf("# replay: LINKFS_SEED=%llu power --replay %s %llu %zu %u", (unsigned long long)run->seed,
	       w->family->name, (unsigned long long)w->number, w->event, w->variant);
	if (w->recovery_event != NO_CUT)
		printf(" %zu %u", w->recovery_event, w->recovery_variant);
	printf("\n");
}

static void failed(struct run *run, const struct image *image, const struct script *s, const struct verdict *v)
{
	run->failed = true;
	if (run->lie) {
		printf("# %s not synced:\n%s", *run->lie ? run->lie : "the directory", v->why);
		return;
	}
	tell(run, s, v);
	if (run->keep) {
		image_store(image, run->keep);
		printf("# the state is in %s\n", run->keep);
	}
	fflush(stdout);
}

/* How many of the possible states of a recording to judge, of 2^32. */
static uint64_t odds(const struct recording *r, size_t events, uint64_t most)
{
	uint64_t cuts = 1;
	for (size_t i = 0; i < events; i++)
		cuts += event_changes(&r->events[i]);
	uint64_t all = cuts * (2 + DRAWS);
	return most >= all ? UINT64_C(1) << 32 : (most << 32) / all;
}

struct cutting {
	struct run *run;
	const struct script *script;
	const struct play *play; /* of the script */
	const struct history *history;
	const char *dir;
	struct image image, recovered;
	struct seen seen;
	uint64_t odds;
	bool recovery;
};

static void cut_recovery(struct cutting *c, const struct image *from, size_t state);
static void cut_second_life(struct cutting *c, const struct image *from, size_t state);

static bool is_only(const struct cutting *c, const struct where *w)
{
	const struct where *only = c->run->only;
	if (!only)
		return true;
	if (c->recovery)
		return only->recovery_event == w->recovery_event && only->recovery_variant == w->recovery_variant;
	return only->event == w->event && only->variant == w->variant;
}

static void cut_here(struct cutting *c, struct disk *d, const struct recording *r, size_t first, size_t last)
{
	struct run *run = c->run;
	struct where *w = &run->where;
	unsigned variants = disk_pending(d) ? 2 + DRAWS : 1;
	for (unsigned variant = 0; variant < variants && !run->failed; variant++) {
		if (c->recovery)
			w->recovery_variant = variant;
		else
			w->variant = variant;
		uint64_t seed = seed_of(run, w, c->recovery);
		struct lk_test_random random = {seed};
		bool wanted = lk_test_below(&random, UINT64_C(1) << 32) < c->odds;
		if (run->only ? !is_only(c, w) : !wanted)
			continue;
		disk_cut(d, r, variant, seed, &c->image);
		if (seen_before(&c->seen, image_hash(&c->image) + first * UINT64_C(0x9e3779b97f4a7c15) +
						  last * UINT64_C(0xbf58476d1ce4e5b9)))
			continue;
		struct verdict v;
		unsigned flags = (lk_test_below(&random, 4) == 0 ? JUDGE_RECORDS : 0) |
				 (lk_test_below(&random, 16) == 0 ? JUDGE_USE : 0) |
				 (lk_test_below(&random, 16) == 0 ? JUDGE_READ : 0);
		bool again = lk_test_below(&random, 100) == 0, second_life = lk_test_below(&random, 2);
		flags |= lk_test_below(&random, 12) == 0 ? JUDGE_DROP : 0;
		if (run->only)
			again = run->only->recovery_event != NO_CUT;
		/* Nothing below may end the test: a disk that lies breaks what it likes. */
		judge(&c->image, c->dir, c->history, first, last, run->lie ? 0 : flags, NULL, &v);
		run->states++;
		run->recoveries += c->recovery;
		if (!v.good)
			failed(run, &c->image, c->script, &v);
		else if (run->lie)
			continue;
		else if (!c->recovery && again && second_life)
			cut_second_life(c, &c->image, v.state);
		else if (!c->recovery && again)
			cut_recovery(c, &c->image, v.state);
	}
}

/* Plays events and cuts after each, from the bounds of what may show on. */
static void cut_all(struct cutting *c, const struct image *start, const struct recording *r, size_t events,
		    size_t first, size_t last)
{
	struct disk *d = disk_new(start);
	struct where *w = &c->run->where;
	for (size_t i = 0; i < events && !c->run->failed; i++) {
		const struct event *e = &r->events[i];
		if (e->kind == EV_SYNC && c->run->lie && strcmp(e->name, c->run->lie) == 0)
			continue;
		disk_play(d, r, i);
		if (e->kind == EV_BEGIN)
			last = (size_t)e->offset;
		else if (e->kind == EV_ACK)
			first = (size_t)e->offset;
		if (!event_changes(e))
			continue;
		if (c->recovery)
			w->recovery_event = i;
		else
			w->event = i;
		cut_here(c, d, r, first, last);
	}
	disk_free(d);
}

static void cut_again(struct cutting *c, struct cutting *inner, const struct image *start, const struct recording *r,
		      size_t events, size_t state)
{
	inner->odds = odds(r, events, RECOVERY_STATES);
	cut_all(inner, start, r, events, state, state);
	c->run->where.recovery_event = NO_CUT;
	c->run->where.recovery_variant = 0;
	image_free(&inner->image);
	seen_free(&inner->seen);
}

/* Recovery writes too: it is recorded and cut, and what shows then must be what showed after it was whole. */
static void cut_recovery(struct cutting *c, const struct image *from, size_t state)
{
	struct cutting inner = {
		.run = c->run, .script = c->script, .history = c->history, .dir = c->dir, .recovery = true};
	struct recording r;
	struct image start = {0};
	struct verdict v;
	image_copy(&start, from);
	judge(&start, c->dir, c->history, state, state, 0, &r, &v);
	if (!v.good)
		failed(c->run, &start, c->script, &v);
	else
		cut_again(c, &inner, &start, &r, r.count, state);
	record_free(&r);
	image_free(&start);
}

/* A volume that was recovered goes on, and the power goes again. */
static void cut_second_life(struct cutting *c, const struct image *from, size_t state)
{
	struct script more = {.tight = true}; /* it may be */
	struct play p = {0};
	struct image start = {0};
	char *path = path_in(c->run->top, "second");
	struct subject subject = {.path = path};
	struct cutting inner = {.run = c->run, .script = &more, .history = &p.history, .dir = c->dir, .recovery = true};
	script_draw(&more, seed_of(c->run, &c->run->where, false));
	image_copy(&start, from);
	image_store(&start, path);
	record_begin(&p.recording, path);
	must(subject_open(&subject, NULL), "open", NULL);
	c->run->where.recovery_event = 0; /* what is found before the next cut is had again with it */
	run_ops(c->run, &more, &subject, model_at(c->script, c->play, state), &p);
	p.events = p.recording.count;
	must(subject_close(&subject), "close", NULL);
	record_end(&p.recording);
	cut_again(c, &inner, &start, &p.recording, p.events, 0);
	play_free(&p);
	script_done(&more);
	image_free(&start);
	free(path);
}

bool run_script(struct run *run, const struct family *family, uint64_t number, uint64_t most)
{
	struct script s = {0};
	if (!family->make(&s, number, run->seed)) {
		script_done(&s);
		return false;
	}
	struct play p = {0};
	run->where = (struct where){family, number, 0, 0, NO_CUT, 0};
	play_script(run, &s, &p);
	char *dir = path_in(run->top, "state");
	struct cutting c = {.run = run, .script = &s, .play = &p, .history = &p.history, .dir = dir};
	c.odds = odds(&p.recording, p.events, most);
	cut_all(&c, &run->base[base_of(&s)], &p.recording, p.events, 0, 0);
	free(dir);
	image_free(&c.image);
	seen_free(&c.seen);
	play_free(&p);
	script_done(&s);
	return true;
}
