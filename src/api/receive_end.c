/*
 * receive_end.c - the end of a reception: what is there is what was sent, and becomes a snapshot; or it is given up (receive.h, V4).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "receive.h"

#include "fingerprint.h"
#include "snapshots.h"
#include "tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- nothing else differs --------------------------------------------------------------------------------------- */

struct strangers {
	struct lk_receiving *r;
	struct lk_receive_same same;
	char path[512];
	bool any;
};

/* The directory that the path's last name is in; 0 when nothing leads there. */
static int find_parent(struct lk_receiving *r, uint64_t bits, const char *path, size_t len, uint64_t *out)
{
	const char *end = memrchr(path, '/', len);
	uint64_t dir = LINKFS_ROOT_INO, bound;
	int rc = 0;

	while (rc == 0 && dir && path < end) {
		const char *name = path + 1, *stop = memchr(name, '/', (size_t)(end - name));

		path = stop ? stop : end;
		rc = lk_receive_find(r->fs, bits, dir, name, (size_t)(path - name), &dir, &bound);
		if (rc == 0 && bound)
			dir = bound;
	}
	*out = end && rc == 0 ? dir : 0;
	return rc == LINKFS_ENOTDIR || rc == LINKFS_ESTALE ? 0 : rc;
}

/* The fingerprint has an object's names in directories that are objects: those of any that the stream gives or takes are. */
static bool is_elsewhere(struct strangers *s, const struct linkfs_diff_change *c)
{
	struct lk_receiving *r = s->r;
	bool was = c->kind == LINKFS_DIFF_REMOVED || c->kind == LINKFS_DIFF_RENAMED,
	     is = c->kind == LINKFS_DIFF_ADDED || c->kind == LINKFS_DIFF_RENAMED, elsewhere = false;
	uint64_t dir = 0;

	if (was && c->kind == LINKFS_DIFF_RENAMED)
		s->same.rc = find_parent(r, r->base_bits, c->old_path, c->old_path_len, &dir);
	else if (was)
		s->same.rc = find_parent(r, r->base_bits, c->path, c->path_len, &dir);
	elsewhere = dir && !lk_pairs_get(&r->number_then, dir);
	if (s->same.rc || !is)
		return elsewhere;
	s->same.rc = find_parent(r, 0, c->path, c->path_len, &dir);
	return elsewhere || (dir && !lk_pairs_get(&r->number_of, dir));
}

static int is_stranger(void *arg, const struct linkfs_diff_change *c)
{
	struct strangers *s = arg;
	const char *stage = s->r->state.stage;
	size_t len = strlen(stage);
	uint64_t now = c->after.ino & LK_INO_MASK, then = c->before.ino & LK_INO_MASK;

	/* The paths are from the root. */
	if (c->path_len > len && memcmp(c->path + 1, stage, len) == 0 &&
	    (c->path[1 + len] == '/' || c->path[1 + len] == 0))
		return 0;
	/* Binds are compared whole, by their fingerprint. */
	if (now ? lk_pairs_get(&s->r->number_of, now) : lk_pairs_get(&s->r->number_then, then)) {
		if (!is_elsewhere(s, c))
			return s->same.rc != 0;
	} else if (c->what == LINKFS_DIFF_BIND || lk_receive_is_same(&s->same, c)) {
		return s->same.rc != 0;
	}
	(void)snprintf(s->path, sizeof(s->path), "%.500s", c->path);
	s->any = true;
	return 1;
}

/* Those that have names. */
static int count_inodes(struct lk_receiving *r, uint64_t *out)
{
	struct linkfs_info *info = malloc(sizeof(*info));
	int rc = info ? linkfs_volume_info(r->volume, info) : LINKFS_ENOMEM;

	uint64_t nameless = 0;

	if (rc == 0)
		rc = lk_receive_nameless(r->fs, &nameless);
	if (rc == 0)
		*out = info->inodes - LK_MIN(nameless, info->inodes);
	free(info);
	return rc;
}

static int changed(struct lk_receiving *r, const char *path)
{
	return lk_fail(
		r->why, LINKFS_EAGAIN,
		"the tree was changed by others while the stream was received%s%s: put that right and give the stream "
		"again, or give it up (--abort)",
		*path ? ", at " : "", path);
}

static int look_for_strangers(struct lk_receiving *r)
{
	const struct linkfs_diff ask = {.from = r->base_bits | LINKFS_ROOT_INO, .to = LINKFS_ROOT_INO};
	struct strangers s = {.r = r, .same = {.fs = r->fs, .base_bits = r->base_bits}};
	uint64_t inodes = 0;
	int rc;

	if (!r->state.base) {
		rc = count_inodes(r, &inodes);
		/* Beside the objects there are the stage and the map. */
		return rc == 0 && inodes != r->objects + 2 ? changed(r, "") : rc;
	}
	rc = lk_call_diff_covered(r->volume, &ask, is_stranger, &s);
	if (rc == 0)
		rc = s.same.rc;
	lk_receive_same_done(&s.same);
	return rc == 0 && s.any ? changed(r, s.path) : rc;
}

/* Its times, which the stage has changed. */
static int restore_root(struct lk_receiving *r)
{
	const struct linkfs_setattr times = {.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME,
					     .atime_ns = r->state.root_atime_ns,
					     .mtime_ns = r->state.root_mtime_ns};

	return linkfs_node_setattr(r->volume, NULL, LINKFS_ROOT_INO, &times, NULL);
}

static int verify(struct lk_receiving *r, const struct lk_wire *end)
{
	const struct lk_fingerprint f = {r->fs, 0, &r->number_of};
	uint8_t tree[16] = {0}, print[16];
	int rc = 0;

	if (end->object != r->objects)
		return lk_fail(r->why, LINKFS_EINVAL, "the stream has %llu objects and says it has %llu",
			       (unsigned long long)r->objects, (unsigned long long)end->object);
	rc = lk_receive_flush_map(r);
	if (rc == 0)
		rc = restore_root(r);
	r->changes = atomic_load(&r->fs->tree_changes);
	for (size_t i = 1; rc == 0 && i <= r->objects; i++) {
		rc = lk_fingerprint(&f, i, r->inos[i].ino, print);
		if (rc == 0)
			lk_stream_join(tree, print);
	}
	if (rc == 0)
		rc = lk_fingerprint_binds(&f, print);
	if (rc == 0)
		lk_stream_join(tree, print);
	if (rc == 0)
		rc = look_for_strangers(r);
	if (rc == 0 && memcmp(tree, end->tree, 16) != 0)
		rc = lk_fail(r->why, LINKFS_EAGAIN,
			     "what was received is not what was sent: others changed it meanwhile, or the tree was not "
			     "what the "
			     "difference starts from; give it up (--abort) and receive again");
	if (rc == LINKFS_EAGAIN) {
		/* Given again, all of it is done again: that may put it right. */
		r->state.at = r->applied = 1;
		(void)lk_receive_state_put(r->volume, &r->state);
	}
	if (rc)
		return rc;
	r->state.at = r->applied = end->index;
	return lk_receive_state_put(r->volume, &r->state);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

struct entry {
	char name[LINKFS_NAME_MAX];
	size_t len;
	uint64_t ino;
	uint32_t type;
	bool any;
};

static int first_entry(void *arg, const struct linkfs_entry *e)
{
	struct entry *out = arg;

	if (e->name[0] == '.' && (e->name_len == 1 || (e->name_len == 2 && e->name[1] == '.')))
		return 0;
	memcpy(out->name, e->name, e->name_len);
	out->len = e->name_len;
	out->ino = e->ino;
	out->type = e->type;
	out->any = true;
	return 1;
}

/* Down to the first directory that is empty, or holds a file first; as often as there is something. No memory is needed for how deep it
 * goes. */
int lk_receive_clear(struct linkfs_volume *volume, uint64_t top)
{
	for (;;) {
		uint64_t dir = top;
		struct entry e = {.any = false}, next;
		int rc = linkfs_node_readdir(volume, NULL, dir, 0, 0, first_entry, &e);

		if (rc || !e.any)
			return rc;
		while (rc == 0 && S_ISDIR(e.type)) {
			next = (struct entry){.any = false};
			rc = linkfs_node_readdir(volume, NULL, e.ino, 0, 0, first_entry, &next);
			if (rc || !next.any)
				break;
			dir = e.ino;
			e = next;
		}
		if (rc == 0)
			rc = S_ISDIR(e.type) ? linkfs_node_rmdir(volume, NULL, dir, e.name, e.len)
					     : linkfs_node_unlink(volume, NULL, dir, e.name, e.len);
		if (rc)
			return rc;
	}
}

/* What others put into the stage. All that was received is in its place. */
static int other_entry(void *arg, const struct linkfs_entry *e)
{
	return e->name_len == strlen(LK_RECEIVE_MAP) && memcmp(e->name, LK_RECEIVE_MAP, e->name_len) == 0
		       ? 0
		       : first_entry(arg, e);
}

static int clear_stage(struct lk_receiving *r)
{
	for (;;) {
		struct entry e = {.any = false};
		int rc = linkfs_node_readdir(r->volume, NULL, r->stage, 0, 0, other_entry, &e);

		if (rc || !e.any)
			return rc;
		if (S_ISDIR(e.type))
			rc = lk_receive_clear(r->volume, e.ino);
		if (rc == 0)
			rc = S_ISDIR(e.type) ? linkfs_node_rmdir(r->volume, NULL, r->stage, e.name, e.len)
					     : linkfs_node_unlink(r->volume, NULL, r->stage, e.name, e.len);
		if (rc)
			return rc;
	}
}

static int close_once(struct lk_receiving *r)
{
	struct lk_receive_state ended = r->state;
	char note[LK_RECEIVE_NOTE_MAX];
	struct lk_receive_closing what = {.stage = r->stage,
					  .stage_name = r->state.stage,
					  .map_name = LK_RECEIVE_MAP,
					  .note = note,
					  .snapshot = r->state.name,
					  .root_atime_ns = r->state.root_atime_ns,
					  .root_mtime_ns = r->state.root_mtime_ns};
	int rc;

	ended.ending = true;
	lk_receive_state_text(&ended, note);
	rc = lk_receive_close(r->fs, &what, &r->changes);
	if (rc == 0)
		r->state.ending = true;
	return rc;
}

#define TRIES 5

static int close_tree(struct lk_receiving *r, const struct lk_wire *end)
{
	int rc = LINKFS_EAGAIN;

	for (int i = 0; i < TRIES && (rc == LINKFS_EAGAIN || rc == LINKFS_ENOTEMPTY); i++) {
		rc = rc == LINKFS_ENOTEMPTY ? clear_stage(r) : 0;
		if (rc == 0)
			rc = verify(r, end);
		if (rc)
			return rc;
		rc = close_once(r);
	}
	if (rc == LINKFS_EAGAIN)
		return lk_fail(r->why, rc,
			       "others go on changing the tree: let them rest, and give the stream again to end this");
	return rc;
}

/* Ended before, but for the snapshot: nobody was here since. */
static int check_ended(struct lk_receiving *r)
{
	uint64_t cursor = 0;
	int rc;

	r->changes = atomic_load(&r->fs->tree_changes);
	do
		rc = lk_receive_changed_since(r->fs, r->state.ended_ns, &cursor);
	while (rc == 0 && cursor);
	return rc;
}

static int take_snapshot(struct lk_receiving *r)
{
	const uint8_t *id = lk_stream_is_id(r->begin.self[1]) ? r->begin.self[1] : r->begin.self[0];
	char tag[64] = LINKFS_RECEIVED_TAG;
	struct lk_buf tags = {0};
	struct lk_snapshot row = {
		.name = {r->state.name, strlen(r->state.name)}, .note = r->begin.note, .time_ns = r->begin.mtime_ns};
	int rc;

	lk_stream_hex(id, 16, tag + strlen(tag));
	rc = lk_tags_valid(r->begin.tags) ? lk_tags_change(r->begin.tags, (struct lk_bytes){tag, strlen(tag)},
							   (struct lk_bytes){"", 0}, &tags)
					  : LINKFS_EINVAL;
	if (rc == LINKFS_ENAMETOOLONG) /* this one matters more */
		rc = lk_buf_append(&tags, tag, strlen(tag));
	row.tags = (struct lk_bytes){tags.p, tags.len};
	if (row.note.len == 0)
		row.note.p = "";
	if (rc == 0)
		rc = lk_receive_done(r->fs, &row, r->changes);
	lk_buf_done(&tags);
	if (rc == 0)
		r->done.id = (uint64_t)row.epoch;
	return rc;
}

static int in_the_way(struct lk_receiving *r)
{
	return lk_fail(r->why, LINKFS_EEXIST,
		       "a snapshot '%.200s' was made meanwhile: rename it, and give the stream again to end this",
		       r->state.name);
}

int lk_receive_end(struct lk_receiving *r, const struct lk_wire *end)
{
	int rc = r->state.ending ? check_ended(r) : close_tree(r, end);

	if (rc == 0)
		rc = take_snapshot(r);
	if (rc == LINKFS_EAGAIN && r->state.ending)
		return lk_fail(r->why, rc,
			       "the tree was changed by others after what was received was verified: give it up "
			       "(--abort), and receive again");
	if (rc == LINKFS_EEXIST)
		return in_the_way(r);
	return rc ? rc : linkfs_volume_sync(r->volume);
}

/* ---- given up --------------------------------------------------------------------------------------------------- */

static int go_back(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct lk_receive_state *s,
		   struct linkfs_message *why)
{
	struct linkfs_stat root;
	int rc;

	if (s->base) {
		rc = linkfs_path_rollback(volume, cred, LINKFS_ROOT_INO, "/", (uint64_t)s->base, 0, NULL, NULL);
		return rc ? lk_fail(why, rc, "rolling back: %s", linkfs_strerror(rc)) : 0;
	}
	rc = lk_receive_unbind_all(volume);
	if (rc == 0)
		rc = linkfs_node_getattr(volume, LINKFS_ROOT_INO, &root);
	return rc ? rc : lk_receive_clear(volume, LINKFS_ROOT_INO);
}

int linkfs_receive_abort(struct linkfs_volume *volume, const struct linkfs_cred *cred, struct linkfs_message *why)
{
	struct linkfs_message own = {""};
	struct lk_receive_state s = {0};
	int rc = lk_receive_claim(volume);

	if (rc)
		return lk_fail(why, rc, "a stream is being received just now");
	rc = lk_receive_may(volume, lk_cred(cred), &own);
	if (rc == 0)
		rc = lk_receive_state_get(volume, &s);
	if (rc == LINKFS_ENOENT)
		rc = lk_fail(&own, rc, "nothing is pending");
	/* From here on it does not go on forwards. */
	if (rc == 0 && !s.aborting) {
		s.aborting = true;
		rc = lk_receive_state_put(volume, &s);
	}
	if (rc == 0)
		rc = go_back(volume, lk_cred(cred), &s, &own);
	if (rc == 0)
		rc = lk_receive_note(lk_volume_fs(volume), NULL);
	if (rc == 0)
		rc = linkfs_volume_sync(volume);
	lk_receive_unclaim(volume);
	return rc ? lk_fail(why, rc, "%s", own.text[0] ? own.text : linkfs_strerror(rc)) : 0;
}
