/*
 * tick.c - snapshots that are taken by themselves (E6, property snapshot-every), for whoever has the clock: a mount, or a program that
 * embeds the library.
 * Layer: api.
 */
#include "property.h"
#include "snapshots.h"
#include "tags.h"

#include <stdio.h>
#include <string.h>

#define NAMES_MAX 1000u /* of one second */

struct automatic {
	int64_t epoch; /* the newest; 0: there is none */
	int64_t time_ns;
};

static int look_at(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct automatic *newest = arg;

	if (lk_tags_have(s->tags, (struct lk_bytes){LINKFS_SNAPSHOT_AUTO_TAG, strlen(LINKFS_SNAPSHOT_AUTO_TAG)}))
		*newest = (struct automatic){s->epoch, s->time_ns};
	return 0;
}

struct settings {
	int64_t every_ns;
	struct lk_retain keep;
};

static int get_settings(struct lk_fs *fs, struct settings *out)
{
	char value[LK_PROPERTY_VALUE_MAX];
	int rc;

	(void)pthread_mutex_lock(&fs->lock);
	out->every_ns = fs->snapshot_every_ns;
	rc = lk_property_get((struct lk_bytes){fs->properties.p, fs->properties.len}, LINKFS_SNAPSHOT_KEEP, value);
	(void)pthread_mutex_unlock(&fs->lock);
	return rc ? rc : lk_retain_parse(&out->keep, value, NULL);
}

static int find_newest(struct lk_fs *fs, struct automatic *out)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	return rc ? rc : lk_op_end(&op, lk_snapshot_scan(&op, 0, look_at, out));
}

/* Whether anything is to be kept that the newest does not have. */
static int differs(struct lk_fs *fs, const struct automatic *newest, bool *out)
{
	struct lk_op op;
	int rc;

	*out = newest->epoch == 0;
	if (*out)
		return 0;
	rc = lk_op_begin(fs, &op, 0);
	return rc ? rc : lk_op_end(&op, lk_snapshot_differs(&op, newest->epoch, out));
}

/* "2026-11-27T08:30:05", and with a number when there is one of this second. */
static int create(struct lk_fs *fs, const struct linkfs_tick_options *o, uint64_t *id_out)
{
	char stamp[LK_STAMP_MAX], name[LK_STAMP_MAX + 16];
	struct lk_snapshot row = {
		.note = {"", 0},
		.tags = {LINKFS_SNAPSHOT_AUTO_TAG, strlen(LINKFS_SNAPSHOT_AUTO_TAG)},
	};
	struct lk_op op;
	int rc;

	/* Before the lock is taken: the zone is the caller's function. */
	lk_zone_stamp(o->zone, o->zone_arg, lk_clock_now_ns(), stamp);
	rc = lk_op_begin(fs, &op, LK_OP_WRITE);
	if (rc)
		return rc;
	rc = LINKFS_EEXIST;
	for (unsigned i = 1; rc == LINKFS_EEXIST && i < NAMES_MAX; i++) {
		int len = i == 1 ? snprintf(name, sizeof(name), "%s", stamp)
				 : snprintf(name, sizeof(name), "%s.%u", stamp, i);

		row.name = (struct lk_bytes){name, (size_t)len};
		rc = lk_snapshot_add(&op, &row);
	}
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*id_out = (uint64_t)row.epoch;
	return rc;
}

static int prune(struct linkfs_volume *volume, const struct linkfs_tick_options *o, const struct settings *settings,
		 struct linkfs_tick *out)
{
	static const char *const tags[] = {LINKFS_SNAPSHOT_AUTO_TAG};
	const struct linkfs_prune_options options = {
		.tags = tags,
		.tag_count = 1,
		.zone = o->zone,
		.zone_arg = o->zone_arg,
		.progress = o->progress,
		.progress_arg = o->progress_arg,
	};
	struct linkfs_prune_done done = {0};
	int rc;

	if (lk_retain_is_empty(&settings->keep))
		return 0;
	rc = lk_prune(volume, &options, &settings->keep, (int64_t)out->taken, &done, NULL);
	out->gone = done.gone;
	return rc == LINKFS_EINTR ? 0 : rc;
}

static int64_t later(int64_t time_ns, int64_t by_ns)
{
	int64_t sum;

	return __builtin_add_overflow(time_ns, by_ns, &sum) ? INT64_MAX : sum;
}

/* It is due. */
static int act(struct linkfs_volume *volume, const struct linkfs_tick_options *o, const struct settings *settings,
	       const struct automatic *newest, struct linkfs_tick *out)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	bool due = true;
	int rc;

	if (o->hand_over)
		o->hand_over(o->hand_over_arg);
	rc = differs(fs, newest, &due);
	if (rc == 0 && due)
		rc = create(fs, o, &out->taken);
	return rc || !due ? rc : prune(volume, o, settings, out);
}

int linkfs_snapshot_tick(struct linkfs_volume *volume, const struct linkfs_tick_options *options,
			 struct linkfs_tick *out)
{
	static const struct linkfs_tick_options none;
	struct lk_fs *fs = lk_volume_fs(volume);
	struct settings settings = {0};
	struct automatic newest = {0};
	int64_t now = lk_clock_now_ns();
	int rc = get_settings(fs, &settings);

	*out = (struct linkfs_tick){.next_ns = INT64_MAX};
	if (rc == 0 && settings.every_ns) {
		out->next_ns = later(now, settings.every_ns);
		if (fs->open_flags & LINKFS_OPEN_READONLY)
			rc = LINKFS_EROFS;
		if (rc == 0)
			rc = find_newest(fs, &newest);
		if (rc == 0 && newest.epoch && newest.time_ns <= now && now < later(newest.time_ns, settings.every_ns))
			out->next_ns = later(newest.time_ns, settings.every_ns);
		else if (rc == 0)
			rc = act(volume, options ? options : &none, &settings, &newest, out);
	}
	lk_retain_done(&settings.keep);
	return rc;
}
