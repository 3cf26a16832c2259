/*
 * receive_begin.c - whether a stream may be received here, and what is known of it (receive.h).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "receive.h"

#include "tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- the base --------------------------------------------------------------------------------------------------- */

static int hold_base(struct lk_receiving *r, int64_t epoch)
{
	struct linkfs_stat root;
	int rc = linkfs_snapshot_root(r->volume, (uint64_t)epoch, LINKFS_HOLD, &root);

	if (rc == 0)
		r->base_bits = root.node & ~LK_INO_MASK;
	return rc;
}

struct differences {
	struct lk_receive_same same;
	char path[512];
	unsigned long count;
};

/* Names of one file are of one file still, and of no other. */
static bool pair(struct lk_receive_same *same, uint64_t then, uint64_t now)
{
	if (!lk_pairs_get(&same->now_of, then) && !lk_pairs_get(&same->then_of, now)) {
		same->rc = lk_pairs_set(&same->now_of, then, now);
		if (same->rc == 0)
			same->rc = lk_pairs_set(&same->then_of, now, then);
	}
	return lk_pairs_get(&same->now_of, then) == now && lk_pairs_get(&same->then_of, now) == then;
}

/* What a tracked link follows, or a bind shows: that they are such a pair is known when all names were told. */
static bool pair_later(struct lk_receive_same *same, uint64_t was, uint64_t is)
{
	if (!lk_pairs_get(&same->followed, was))
		same->rc = lk_pairs_set(&same->followed, was, is);
	return same->rc == 0 && lk_pairs_get(&same->followed, was) == is;
}

static bool follow(struct lk_receive_same *same, uint64_t then, uint64_t now)
{
	uint64_t was = 0, is = 0;

	same->rc = lk_receive_followed(same->fs, same->base_bits, then, &was);
	if (same->rc == 0)
		same->rc = lk_receive_followed(same->fs, 0, now, &is);
	return same->rc == 0 && was && is && pair_later(same, was, is);
}

bool lk_receive_is_same(struct lk_receive_same *same, const struct linkfs_diff_change *c)
{
	uint64_t then = c->before.ino & LK_INO_MASK, now = c->after.ino & LK_INO_MASK;

	/* Where a bind stands the two are what it shows. */
	if (c->kind == LINKFS_DIFF_MODIFIED && c->what == LINKFS_DIFF_BIND && then && now)
		return pair_later(same, then, now);
	if (c->kind != LINKFS_DIFF_MODIFIED || c->what & ~(LINKFS_DIFF_FILE | LINKFS_DIFF_FOLLOWS) || then == 0 ||
	    now == 0)
		return false;
	if ((c->what & LINKFS_DIFF_FOLLOWS) && !follow(same, then, now))
		return false;
	if (!(c->what & LINKFS_DIFF_FILE))
		return true;
	return (S_ISDIR(c->before.mode) || c->before.nlink == c->after.nlink) && pair(same, then, now);
}

bool lk_receive_follows_same(const struct lk_receive_same *same)
{
	for (size_t i = 0; i < same->followed.cap; i++) {
		const struct lk_pair *p = &same->followed.slots[i];

		if (p->key && lk_pairs_get(&same->now_of, p->key) != p->value)
			return false;
	}
	return true;
}

void lk_receive_same_done(struct lk_receive_same *same)
{
	free(same->now_of.slots);
	free(same->then_of.slots);
	free(same->followed.slots);
}

static int count_change(void *arg, const struct linkfs_diff_change *c)
{
	struct differences *d = arg;

	if (lk_receive_is_same(&d->same, c))
		return d->same.rc != 0;
	if (d->count++ == 0) {
		size_t len = LK_MIN(c->path_len, sizeof(d->path) - 1);

		memcpy(d->path, c->path, len);
		d->path[len] = 0;
	}
	return d->count > 999;
}

static int compare_base(struct lk_receiving *r, const char *name)
{
	const struct linkfs_diff ask = {.from = r->base_bits | LINKFS_ROOT_INO, .to = LINKFS_ROOT_INO};
	struct differences d = {.same = {.fs = r->fs, .base_bits = r->base_bits}};
	int rc = lk_call_diff_covered(r->volume, &ask, count_change, &d);

	if (rc == 0)
		rc = d.same.rc;
	if (rc == 0 && d.count == 0 && !lk_receive_follows_same(&d.same)) {
		d.count = 1;
		(void)snprintf(d.path, sizeof(d.path), "a tracked link or a bind");
	}
	lk_receive_same_done(&d.same);
	if (rc || d.count == 0)
		return rc;
	if (r->ask->flags & LINKFS_RECEIVE_DISCARD) {
		rc = linkfs_path_rollback(r->volume, r->cred, LINKFS_ROOT_INO, "/", (uint64_t)r->state.base, 0, NULL,
					  NULL);
		return rc ? lk_fail(r->why, rc, "rolling back to snapshot '%.200s': %s", name, linkfs_strerror(rc)) : 0;
	}
	return lk_fail(r->why, LINKFS_EXDEV,
		       "the tree is not what snapshot '%.200s' was, which the difference starts from: %lu change%s, "
		       "the first at "
		       "%.300s; roll back to it first (--discard), or send the whole snapshot to another volume",
		       name, d.count, d.count == 1 ? "" : "s", d.path);
}

static int find_base(struct lk_receiving *r)
{
	char name[256];
	int rc = lk_stream_find(r->volume, (const uint8_t(*)[16])r->begin.base, &r->state.base, name);

	if (rc == LINKFS_ENOENT)
		return lk_fail(
			r->why, rc,
			"the stream is the difference from snapshot '%.*s', which was not received here: send all of "
			"the snapshot, or the difference from one that is here",
			(int)r->begin.base_name.len, r->begin.base_name.len ? (const char *)r->begin.base_name.p : "");
	if (rc == 0)
		rc = hold_base(r, r->state.base);
	return rc ? rc : compare_base(r, name);
}

static int one_entry(void *arg, const struct linkfs_entry *entry)
{
	bool dot = entry->name[0] == '.' && (entry->name_len == 1 || (entry->name_len == 2 && entry->name[1] == '.'));

	if (!dot)
		*(bool *)arg = true;
	return !dot;
}

static int check_empty(struct lk_receiving *r)
{
	bool any = false;
	int rc = linkfs_node_readdir(r->volume, NULL, LINKFS_ROOT_INO, 0, 0, one_entry, &any);

	if (rc == 0 && any)
		return lk_fail(
			r->why, LINKFS_ENOTEMPTY,
			"the stream is a whole snapshot and the volume is not empty: receive it in a new volume");
	return rc;
}

/* ---- the stage -------------------------------------------------------------------------------------------------- */

static int find_in(struct lk_receiving *r, uint64_t dir, const char *name, uint64_t *out)
{
	return lk_receive_find(r->fs, 0, dir, name, strlen(name), out, NULL);
}

/* It hands nothing on to what is made in it. */
static int make_stage(struct lk_receiving *r)
{
	const struct lk_received_attributes plain = {.mode = S_IFDIR | 0700, .uid = r->cred->uid, .gid = r->cred->gid};
	struct linkfs_stat st;
	int rc = find_in(r, LINKFS_ROOT_INO, r->state.stage, &r->stage);

	if (rc == 0 && r->stage == 0) {
		rc = linkfs_node_make(r->volume, NULL, LINKFS_ROOT_INO, r->state.stage, strlen(r->state.stage),
				      &(struct linkfs_make){.mode = S_IFDIR | 0700}, 0, &st);
		r->stage = st.ino;
	} else if (rc == 0) {
		bool any;

		/* What lies in it is in the hands of who began; nothing does before it is given to him. */
		rc = linkfs_node_getattr(r->volume, r->stage, &st);
		any = st.uid != 0;
		if (rc == 0 && st.uid == 0)
			rc = linkfs_node_readdir(r->volume, NULL, r->stage, 0, 0, one_entry, &any);
		if (rc == 0 && st.uid != r->cred->uid && any)
			rc = lk_fail(r->why, LINKFS_EPERM,
				     "user %u has begun to receive this: he goes on, or it is given up (--abort)",
				     st.uid);
	}
	if (rc == 0)
		rc = lk_receive_xattr(r->fs, r->stage, "system.posix_acl_default", NULL, 0);
	if (rc == 0)
		rc = lk_receive_xattr(r->fs, r->stage, "system.posix_acl_access", NULL, 0);
	if (rc == 0)
		rc = lk_receive_attributes(r->fs, r->stage, &plain);
	if (rc == 0)
		rc = find_in(r, r->stage, LK_RECEIVE_MAP, &r->map);
	if (rc == 0 && r->map == 0) {
		rc = linkfs_node_make(r->volume, NULL, r->stage, LK_RECEIVE_MAP, strlen(LK_RECEIVE_MAP),
				      &(struct linkfs_make){.mode = S_IFREG | 0600}, 0, &st);
		r->map = rc ? 0 : st.ino;
	}
	return rc;
}

/* Of numbers from 2 on. */
static int read_map(struct lk_receiving *r)
{
	struct linkfs_stat st;
	uint8_t bytes[4096];
	uint64_t offset = 0;
	int rc = linkfs_node_getattr(r->volume, r->map, &st);

	if (rc == 0 && !S_ISREG(st.mode))
		rc = LINKFS_ECORRUPT;
	while (rc == 0 && offset + LK_RECEIVE_MAP_ENTRY <= st.size) {
		size_t got = 0;

		rc = linkfs_node_read(r->volume, r->map, offset, bytes, sizeof(bytes), &got);
		for (size_t at = 0; rc == 0 && at + LK_RECEIVE_MAP_ENTRY <= got; at += LK_RECEIVE_MAP_ENTRY) {
			uint64_t ino = lk_get_u64(bytes + at), base = lk_get_u64(bytes + at + 8);

			if (ino == 0 || ino > (uint64_t)LK_INO_MAX || base > (uint64_t)LK_INO_MAX)
				return LINKFS_ECORRUPT;
			rc = lk_receive_number(r, ino, base);
		}
		if (got < LK_RECEIVE_MAP_ENTRY)
			break;
		offset += got - got % LK_RECEIVE_MAP_ENTRY;
	}
	r->mapped = r->objects;
	return rc;
}

/* ---- begin ------------------------------------------------------------------------------------------------------ */

static int check_name(struct lk_receiving *r)
{
	const char *name = r->ask->name;
	struct lk_snapshot other;
	struct lk_op op;
	int rc;

	if (name) {
		rc = lk_snapshot_check(name, strnlen(name, LINKFS_NAME_MAX + 1));
		if (rc)
			return lk_fail(r->why, rc, "no snapshot can have the name that was asked for");
		memcpy(r->state.name, name, strlen(name) + 1);
	} else {
		memcpy(r->state.name, r->begin.name.p, r->begin.name.len);
		r->state.name[r->begin.name.len] = 0;
	}
	rc = lk_op_begin(r->fs, &op, 0);
	if (rc == 0)
		rc = lk_op_end(&op, lk_snapshot_find(&op, r->state.name, strlen(r->state.name), &other));
	if (rc == 0)
		return lk_fail(
			r->why, LINKFS_EEXIST,
			"there is another snapshot '%.200s' here already: rename it, or receive this one as another "
			"(--name)",
			r->state.name);
	return rc == LINKFS_ENOENT ? 0 : rc;
}

static int begin_new(struct lk_receiving *r)
{
	uint64_t stage;
	int rc;

	if (r->begin.resume > 1)
		return lk_fail(r->why, LINKFS_ENOENT,
			       "the stream goes on with one whose beginning is not here: nothing is pending");
	if (!lk_tags_valid(r->begin.tags))
		return lk_fail(r->why, LINKFS_EINVAL, "the stream's snapshot has tags that none can have");
	memcpy(r->state.stream, r->begin.stream, 16);
	memcpy(r->state.self, r->begin.self[0], 16);
	memcpy(r->state.base_id, r->begin.base[0], 16);
	memcpy(r->state.stage, r->begin.stage.p, r->begin.stage.len);
	r->state.stage[r->begin.stage.len] = 0;
	r->state.send_flags = (uint32_t)r->begin.object;
	r->state.at = 1;
	rc = check_name(r);
	if (rc == 0)
		rc = r->begin.flags & LK_WIRE_DIFFERENCE ? find_base(r) : check_empty(r);
	if (rc == 0)
		rc = find_in(r, LINKFS_ROOT_INO, r->state.stage, &stage);
	if (rc == 0 && stage)
		rc = lk_fail(r->why, LINKFS_EEXIST, "'%s' is in the way", r->state.stage);
	return rc ? rc : lk_receive_state_put(r->volume, &r->state);
}

static int go_on(struct lk_receiving *r)
{
	int rc;

	if (memcmp(r->state.stream, r->begin.stream, 16) != 0)
		return lk_fail(
			r->why, LINKFS_EBUSY,
			"another stream, of snapshot '%.200s', is pending here: give it first, or give it up (--abort)",
			r->state.name);
	if (r->state.aborting)
		return lk_fail(r->why, LINKFS_EBUSY, "this reception is being given up: end that first (--abort)");
	if (r->begin.resume > r->state.at && !r->state.ending)
		return lk_fail(r->why, LINKFS_EINVAL,
			       "the stream goes on from record %llu, and what is here ends before record %llu: make "
			       "one for the "
			       "present token",
			       (unsigned long long)r->begin.resume, (unsigned long long)r->state.at);
	rc = r->state.base ? hold_base(r, r->state.base) : 0;
	return rc == LINKFS_ENOENT
		       ? lk_fail(r->why, rc, "the snapshot that the difference starts from was deleted meanwhile")
		       : rc;
}

/* A whole snapshot brings all that the root has. */
static int bare_root(struct lk_receiving *r)
{
	char *list = malloc(LINKFS_XATTR_SIZE_MAX);
	size_t len = 0;
	int rc = list ? linkfs_node_listxattr(r->volume, NULL, LINKFS_ROOT_INO, list, LINKFS_XATTR_SIZE_MAX, &len)
		      : LINKFS_ENOMEM;

	for (size_t at = 0; rc == 0 && at < len; at += strlen(list + at) + 1) {
		if (!lk_cred_may_all(r->cred) && !lk_receive_is_users(list + at))
			rc = lk_fail(r->why, LINKFS_EPERM,
				     "the root directory has an attribute that only root can remove: %s", list + at);
		if (rc == 0)
			rc = lk_receive_xattr(r->fs, LINKFS_ROOT_INO, list + at, NULL, 0);
	}
	free(list);
	return rc;
}

int lk_receive_begin(struct lk_receiving *r, bool *known_out)
{
	int64_t epoch;
	int rc = lk_receive_state_get(r->volume, &r->state);
	bool pending = rc == 0;

	if (rc && rc != LINKFS_ENOENT)
		return rc;
	if (pending) {
		rc = go_on(r);
	} else {
		rc = lk_stream_find(r->volume, (const uint8_t(*)[16])r->begin.self, &epoch, r->done.name);
		*known_out = rc == 0;
		if (rc == 0)
			r->done.id = (uint64_t)epoch;
		if (rc != LINKFS_ENOENT)
			return rc;
		rc = begin_new(r);
	}
	if (rc)
		return rc;
	memcpy(r->done.name, r->state.name, sizeof(r->done.name));
	if (r->state.ending)
		return 0;
	rc = make_stage(r);
	if (rc == 0 && !r->state.base && r->state.at <= 1)
		rc = bare_root(r);
	if (rc == 0)
		rc = lk_receive_number(r, LINKFS_ROOT_INO, r->state.base ? LINKFS_ROOT_INO : 0);
	return rc ? rc : read_map(r);
}
