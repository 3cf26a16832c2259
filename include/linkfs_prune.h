/*
 * linkfs_prune.h - which snapshots stay (E6): rules, what they mean for the snapshots of a volume, and snapshots that are taken by
 * themselves.
 *
 * Errors and threads are as in linkfs.h. The rules are restic's: a snapshot stays when one rule at least keeps it, and a rule by a
 * period of the calendar keeps the newest snapshot of each of the last so many periods that have one. Snapshots are ordered as they were
 * taken, by their numbers: a clock that was set back makes none of them old.
 */
#ifndef LINKFS_PRUNE_H
#define LINKFS_PRUNE_H

#include <linkfs_snapshots.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds east of UTC of the caller's clocks at time_s (since 1970-01-01 UTC), less than 2^20 either way. Called with no lock held. */
typedef int32_t linkfs_zone_fn(void *arg, int64_t time_s);

/* What there is to say: rule i is bit i of linkfs_pruned. */
struct linkfs_prune_rule {
	const char *name; /* "daily": --keep-daily of the command, daily= in property snapshot-keep */
	const char *form; /* what its value looks like, for people */
	const char *text; /* what it keeps, for people */
};
/* Static strings. LINKFS_ENOENT past the last, the 13th. */
LINKFS_API int linkfs_prune_rule(size_t i, struct linkfs_prune_rule *out);

/*   last, hourly, daily, weekly, monthly, yearly
 *	a count; "unlimited" or -1: all; 0: as if it were not given. Weeks are those of ISO 8601, and all periods those of the zone.
 *	When there are fewer periods the oldest snapshot stays as well.
 *   within, within-hourly, within-daily, within-weekly, within-monthly, within-yearly
 *	a length of time, as "1y5m7d2h": years, months, days and hours of the calendar before the newest snapshot that is not of the future;
 *	what is younger stays, all of it or one for each period (and of these the oldest snapshot, if it is as young).
 *   tag
 *	a list of tags with ',' or '+' between; a snapshot stays that has all of them; "" those that have none. Each further one adds a list. */
struct linkfs_prune_rules;
LINKFS_API int linkfs_prune_rules_new(struct linkfs_prune_rules **out);
/* LINKFS_EINVAL with why naming the rules, or what the value looks like. */
LINKFS_API int linkfs_prune_rules_add(struct linkfs_prune_rules *rules, const char *rule, const char *value,
				      struct linkfs_message *why);
/* NULL is allowed. */
LINKFS_API void linkfs_prune_rules_free(struct linkfs_prune_rules *rules);

/* What the rules say of one snapshot. It goes when kept_by is 0. */
struct linkfs_pruned {
	const struct linkfs_snapshot *snapshot;
	uint32_t kept_by;   /* bits of the rules that keep it */
	uint32_t as_oldest; /* those of them that keep it only as the oldest of all */
};
/* Valid during the call; no lock held. Nonzero ends it all before anything is deleted: LINKFS_EINTR. */
typedef int linkfs_pruned_fn(void *arg, const struct linkfs_pruned *pruned);

#define LINKFS_PRUNE_DRY_RUN 1u /* tell, and delete nothing */
#define LINKFS_PRUNE_ALL 2u /* every snapshot that is looked at may go; with tags also when there is no rule at all */

/* Zero the struct, set what matters. */
struct linkfs_prune_options {
	const struct linkfs_prune_rules *rules;
	/* Only snapshots that have all tags of one of these lists (as of rule tag) are looked at; none: all are. */
	const char *const *tags;
	size_t tag_count;
	linkfs_zone_fn *zone; /* NULL: UTC */
	void *zone_arg;
	uint32_t flags; /* LINKFS_PRUNE_... */
	linkfs_pruned_fn *tell;
	void *tell_arg;
	linkfs_snapshot_progress_fn *progress; /* bytes and rows of all deletions so far; nonzero: LINKFS_EINTR */
	void *progress_arg;
};
struct linkfs_prune_done {
	uint64_t kept, goes;  /* what the rules say */
	uint64_t gone;        /* that were deleted */
	uint64_t rows, bytes; /* history looked at, and disk given back by that; on a dry run the bytes that would be */
};
/* Tells of each snapshot that is looked at, the oldest first, then deletes those that no rule keeps, each as linkfs_snapshot_delete() does,
 * the oldest first: then each row of history is passed on once at most. What was deleted when it ends early stays so, and the rest
 * of what that gives back comes by itself. done_out may be NULL, and is filled after errors as well. LINKFS_EINVAL with why when there is no rule, or none
 * keeps anything; LINKFS_EINTR; the errors of linkfs_snapshot_delete(), or of a dry run those of linkfs_space_open() and linkfs_space_ask(). */
LINKFS_API int linkfs_prune(struct linkfs_volume *volume, const struct linkfs_cred *cred,
			    const struct linkfs_prune_options *options, struct linkfs_prune_done *done_out,
			    struct linkfs_message *why);

/* ---- snapshots by themselves ---------------------------------------------------------------------------------- */

/* Properties. How often, as keep-deleted's value is written; "off" at first. And what then stays of those: rules with their values and a
 * comma between two, as "last=3,hourly=24,within=1y" (the tags of a list have '+' between); "off", at first: all of them. */
#define LINKFS_SNAPSHOT_EVERY "snapshot-every"
#define LINKFS_SNAPSHOT_KEEP "snapshot-keep"
#define LINKFS_SNAPSHOT_AUTO_TAG "auto" /* the tag of snapshots taken by themselves; no others are pruned */

/* Zero the struct, set what matters. */
struct linkfs_tick_options {
	linkfs_zone_fn *zone; /* for names and rules; NULL: UTC */
	void *zone_arg;
	/* Called with no lock held before a snapshot is taken, for what somebody still holds back (linkfs_mount_hand_over()). Or NULL. */
	void (*hand_over)(void *arg);
	void *hand_over_arg;
	linkfs_snapshot_progress_fn *progress; /* of the deletions; nonzero leaves them to the next time */
	void *progress_arg;
};
struct linkfs_tick {
	int64_t next_ns; /* wall clock: when something is due next; INT64_MAX: not before a property changes */
	uint64_t taken;  /* the number of the snapshot that was taken; 0: none was */
	uint64_t gone;   /* that were deleted */
};
/* Does what is due by snapshot-every: it is when the last snapshot with the tag "auto" is that old or of the future (the clock was set back),
 * or when there is none. Then, if the volume is not what that one shows (access times count), a snapshot is taken, named by the time as
 * "2026-11-27T08:30:05", tagged, and those that snapshot-keep does not keep are deleted; the one just taken stays. Otherwise it is due
 * again an interval from now, as it is after an error. *out is filled whatever is returned. A mount calls this by itself; whoever opens a
 * volume otherwise calls it at next_ns, and when the observer is told LINKFS_EVENT_PROPERTY. Errors: LINKFS_EROFS, LINKFS_ENOSPC ... */
LINKFS_API int linkfs_snapshot_tick(struct linkfs_volume *volume, const struct linkfs_tick_options *options,
				    struct linkfs_tick *out);

#ifdef __cplusplus
}
#endif

#endif
