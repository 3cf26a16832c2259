/*
 * prune.c - rules for which snapshots stay, and the deletion of the others (E6).
 * Layer: api. What rules mean is core's (retain.c).
 *
 * The oldest go first. K2 passes a row of history that lasts until a deleted snapshot on to the next older one that sees it: in this order
 * that one stays, or there is none and the row is dropped. In the other order a row would pass through all that go.
 */
#include "snapshots.h"
#include "tags.h"
#include "told.h"

#include <linkfs_space.h>
#include <stdlib.h>
#include <string.h>

struct linkfs_prune_rules {
	struct lk_retain retain;
};

int linkfs_prune_rule(size_t i, struct linkfs_prune_rule *out)
{
	if (i >= LK_KEEP_RULES)
		return LINKFS_ENOENT;
	*out = lk_keep_rules[i];
	return 0;
}

int linkfs_prune_rules_new(struct linkfs_prune_rules **out)
{
	struct linkfs_prune_rules *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return LINKFS_ENOMEM;
	*out = rules;
	return 0;
}

int linkfs_prune_rules_add(struct linkfs_prune_rules *rules, const char *rule, const char *value,
			   struct linkfs_message *why)
{
	return lk_retain_add(&rules->retain, (struct lk_bytes){rule, strlen(rule)},
			     (struct lk_bytes){value, strlen(value)}, why);
}

void linkfs_prune_rules_free(struct linkfs_prune_rules *rules)
{
	if (rules)
		lk_retain_done(&rules->retain);
	free(rules);
}

/* ---- what is looked at ----------------------------------------------------------------------------------------- */

struct entry {
	struct linkfs_snapshot snapshot;
	char *texts; /* of it */
};

struct plan {
	const struct linkfs_prune_options *options;
	struct entry *entries;
	struct lk_retained *items; /* of each */
	size_t count, cap;
};

static void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		free(plan->entries[i].texts);
	free(plan->entries);
	free(plan->items);
}

static bool is_looked_at(const struct plan *plan, const struct lk_snapshot *s)
{
	const struct linkfs_prune_options *o = plan->options;

	for (size_t i = 0; i < o->tag_count; i++) {
		if (lk_tags_have(s->tags, (struct lk_bytes){o->tags[i], strlen(o->tags[i])}))
			return true;
	}
	return o->tag_count == 0;
}

static int grow(struct plan *plan)
{
	size_t cap = plan->cap ? plan->cap * 2 : 64;
	struct entry *entries = realloc(plan->entries, cap * sizeof(*entries));
	struct lk_retained *items;

	if (entries)
		plan->entries = entries;
	items = realloc(plan->items, cap * sizeof(*items));
	if (items)
		plan->items = items;
	if (!entries || !items)
		return LINKFS_ENOMEM;
	plan->cap = cap;
	return 0;
}

static int take(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct plan *plan = arg;
	struct linkfs_snapshot *out;
	char *bytes;

	if (!is_looked_at(plan, s))
		return 0;
	if (plan->count == plan->cap && grow(plan))
		return LINKFS_ENOMEM;
	bytes = malloc(LK_SNAPSHOT_BYTES(s));
	if (!bytes)
		return LINKFS_ENOMEM;
	plan->entries[plan->count].texts = bytes;
	out = &plan->entries[plan->count].snapshot;
	*out = lk_snapshot_told(s, bytes);
	plan->items[plan->count++] = (struct lk_retained){.time_ns = s->time_ns, .tags = {out->tags, s->tags.len}};
	return 0;
}

static int find(struct linkfs_volume *volume, struct plan *plan)
{
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	return rc ? rc : lk_op_end(&op, lk_snapshot_scan(&op, 0, take, plan));
}

/* ---- what goes --------------------------------------------------------------------------------------------------- */

static int judge(struct plan *plan, const struct lk_retain *rules, int64_t spared, struct linkfs_prune_done *done,
		 struct linkfs_message *why)
{
	const struct linkfs_prune_options *o = plan->options;
	int rc = lk_retain_apply(rules, o->zone, o->zone_arg, lk_clock_now_ns(), plan->items, plan->count);

	for (size_t i = 0; rc == 0 && i < plan->count; i++) {
		if (plan->items[i].kept_by || plan->entries[i].snapshot.id == (uint64_t)spared)
			done->kept++;
		else
			done->goes++;
	}
	if (rc == 0 && done->goes && done->kept == 0 && !(o->flags & LINKFS_PRUNE_ALL))
		rc = lk_fail(why, LINKFS_EINVAL,
			     "no rule keeps any of the %llu snapshots that are looked at; none was deleted",
			     (unsigned long long)done->goes);
	return rc;
}

static int tell(const struct plan *plan)
{
	const struct linkfs_prune_options *o = plan->options;

	for (size_t i = 0; o->tell && i < plan->count; i++) {
		const struct linkfs_pruned pruned = {.snapshot = &plan->entries[i].snapshot,
						     .kept_by = plan->items[i].kept_by,
						     .as_oldest = plan->items[i].as_oldest};

		if (o->tell(o->tell_arg, &pruned))
			return LINKFS_EINTR;
	}
	return 0;
}

static int delete_others(struct lk_fs *fs, const struct plan *plan, int64_t spared, struct linkfs_prune_done *done)
{
	const struct linkfs_prune_options *o = plan->options;
	struct linkfs_snapshot_progress progress = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < plan->count; i++) {
		struct lk_snapshot_work work = {.epoch = (int64_t)plan->entries[i].snapshot.id};

		if (plan->items[i].kept_by || work.epoch == spared)
			continue;
		if (o->progress && o->progress(o->progress_arg, &progress)) {
			rc = LINKFS_EINTR;
			break;
		}
		rc = lk_snapshot_give_back(fs, NULL, 0, &work, o->progress, o->progress_arg, &progress);
		if (rc == LINKFS_ENOENT || rc == LINKFS_EBUSY)
			rc = 0; /* somebody was faster, or receives what starts from it */
		else if (rc == 0 || work.more)
			done->gone++;
	}
	done->rows = progress.rows;
	done->bytes = progress.bytes;
	return rc;
}

/* Of snapshots that go some may have been deleted by others since they were found: those are left out. */
static int ask(struct linkfs_space *space, struct linkfs_space_question *question, struct linkfs_space_item *items,
	       struct linkfs_space_sum *out)
{
	int rc = linkfs_space_ask(space, NULL, question, out);
	size_t kept = 0;

	if (rc != LINKFS_ENOENT)
		return rc;
	for (size_t i = 0; i < question->item_count; i++) {
		struct linkfs_space_question one = *question;

		one.items = &items[i];
		one.item_count = 1;
		rc = linkfs_space_ask(space, NULL, &one, out);
		if (rc == 0)
			items[kept++] = items[i];
		else if (rc != LINKFS_ENOENT)
			return rc;
	}
	question->item_count = kept;
	return linkfs_space_ask(space, NULL, question, out);
}

/* What deleting those that go would give back; on a dry run. */
static int weigh(struct linkfs_volume *volume, const struct plan *plan, int64_t spared, struct linkfs_prune_done *done)
{
	struct linkfs_space_item *items = calloc(plan->count, sizeof(*items));
	struct linkfs_space_question question = {.items = items, .flags = LINKFS_SPACE_NOW};
	struct linkfs_space_sum sum = {0};
	struct linkfs_space *space;
	int rc = items ? linkfs_space_open(volume, &space) : LINKFS_ENOMEM;

	if (rc) {
		free(items);
		return rc;
	}
	for (size_t i = 0; i < plan->count; i++) {
		if (!plan->items[i].kept_by && plan->entries[i].snapshot.id != (uint64_t)spared)
			items[question.item_count++].snapshot = plan->entries[i].snapshot.id;
	}
	rc = ask(space, &question, items, &sum);
	linkfs_space_close(space);
	free(items);
	/* Content that is kept among the metadata is no disk given back. */
	done->bytes = sum.exclusive - sum.inline_bytes;
	return rc;
}

int lk_prune(struct linkfs_volume *volume, const struct linkfs_prune_options *options, const struct lk_retain *rules,
	     int64_t spared, struct linkfs_prune_done *done, struct linkfs_message *why)
{
	struct plan plan = {.options = options};
	int rc = find(volume, &plan);

	if (rc == 0)
		rc = judge(&plan, rules, spared, done, why);
	if (rc == 0)
		rc = tell(&plan);
	if (rc == 0 && options->flags & LINKFS_PRUNE_DRY_RUN)
		rc = done->goes ? weigh(volume, &plan, spared, done) : 0;
	else if (rc == 0)
		rc = delete_others(lk_volume_fs(volume), &plan, spared, done);
	plan_done(&plan);
	return rc;
}

int linkfs_prune(struct linkfs_volume *volume, const struct linkfs_cred *cred,
		 const struct linkfs_prune_options *options, struct linkfs_prune_done *done_out,
		 struct linkfs_message *why)
{
	static const struct lk_retain none;
	const struct lk_retain *rules = options->rules ? &options->rules->retain : &none;
	struct linkfs_prune_done done = {0};
	int rc = 0;

	if (options->flags & ~(LINKFS_PRUNE_DRY_RUN | LINKFS_PRUNE_ALL))
		rc = lk_fail(why, LINKFS_EINVAL, "unknown flags");
	else if (lk_retain_is_empty(rules) && !((options->flags & LINKFS_PRUNE_ALL) && options->tag_count))
		rc = lk_fail(why, LINKFS_EINVAL, "there is no rule for what is to stay; no snapshot was deleted");
	if (rc == 0 && !(options->flags & LINKFS_PRUNE_DRY_RUN))
		rc = lk_snapshots_may_change(volume, cred);
	if (rc == 0)
		rc = lk_prune(volume, options, rules, 0, &done, why);
	if (done_out)
		*done_out = done;
	return rc;
}
