/*
 * lib_links.c - what only linkfs does, through the library.
 */
#include "lib.h"

#include <linkfs_links.h>
#include <string.h>
#include <sys/stat.h>

static int find(struct lib *state, const char *path, uint64_t *out)
{
	struct linkfs_stat st;
	int result = linkfs_path_stat(state->volume, &state->cred, state->at, path, 0, &st);
	if (result == 0)
		*out = st.ino;
	return result;
}

static int keep_links(struct lib *state, const struct op *op)
{
	uint64_t ino = 0;
	int result = find(state, state->p, &ino);
	if (result)
		return result;
	return linkfs_node_set_flags(state->volume, &state->cred, ino, op->n[0] ? LINKFS_INO_KEEP_LINKS : 0,
				     LINKFS_INO_KEEP_LINKS, NULL);
}

static void share_equal(struct lib *state, struct text *out)
{
	struct linkfs_dedupe done;
	uint64_t from = 0, to = 0;
	int result = find(state, state->p, &from);
	if (result == 0)
		result = find(state, state->q, &to);
	if (result == 0)
		result = linkfs_node_dedupe(state->volume, &state->cred, from, to, 0, &done);
	if (lk_lib_result(out, result))
		lk_text_add(out, " %s", done.equal ? "equal" : "different");
}

static int make_one(struct lib *state)
{
	const char *name;
	uint64_t ino = 0, dir;
	size_t len;
	int slash;
	int result = find(state, state->p, &ino);
	if (result == 0)
		result =
			linkfs_path_parent(state->volume, &state->cred, state->at, state->q, &dir, &name, &len, &slash);
	if (result == 0 && slash)
		result = LINKFS_ENOTDIR; /* a call that is given a name hears nothing of it */
	return result ? result : linkfs_node_merge(state->volume, &state->cred, ino, dir, name, len);
}

static int on_bind(void *arg, const struct linkfs_bind *bind)
{
	(void)bind;
	*(bool *)arg = true;
	return 1;
}

/* As posix_links.c has it: what the reference cannot do. */
static bool is_odd(struct lib *state)
{
	struct linkfs_stat source, place;
	bool shown = false;
	uint64_t hidden = 0;
	if (linkfs_path_stat(state->volume, &state->cred, state->at, state->q, LINKFS_NOFOLLOW, &place) == 0)
		(void)linkfs_volume_binds(state->volume, NULL, place.ino, on_bind, &shown, &hidden);
	return linkfs_path_stat(state->volume, &state->cred, state->at, state->p, 0, &source) == 0 &&
	       linkfs_path_stat(state->volume, &state->cred, state->at, state->q, LINKFS_NOFOLLOW, &place) == 0 &&
	       (shown || hidden ||
		(!S_ISDIR(source.mode) && !S_ISDIR(place.mode) && ((source.mode ^ place.mode) & S_IFMT)));
}

/* To the root, and no directory is open, as the reference (posix_binds.c). */
static void go_home(struct lib *state)
{
	for (int i = 0; i < OP_DIR_SLOTS; i++)
		lk_lib_close_dir(state, i);
	if (linkfs_node_hold(state->volume, LINKFS_ROOT_INO))
		lk_die("cannot hold the root");
	linkfs_node_release(state->volume, state->cwd, 1);
	state->cwd = LINKFS_ROOT_INO;
}

bool lk_lib_links(struct lib *state, const struct op *op, struct text *out)
{
	struct linkfs_volume *volume = state->volume;
	const struct linkfs_cred *cred = &state->cred;
	const char *p = state->p, *q = state->q;
	uint64_t at = state->at;
	switch ((int)op->kind) {
	case OP_CLONE:
		lk_lib_result(out, linkfs_path_clone(volume, cred, at, p, at, q, op->n[0] ? LINKFS_FOLLOW : 0, NULL));
		return true;
	case OP_UNSHARE:
		lk_lib_result(out, linkfs_path_unshare(volume, cred, at, p, NULL));
		return true;
	case OP_KEEP:
		lk_lib_result(out, keep_links(state, op));
		return true;
	case OP_DEDUPE:
		share_equal(state, out);
		return true;
	case OP_MERGE:
		lk_lib_result(out, make_one(state));
		return true;
	case OP_TRACK:
		lk_lib_result(out,
			      linkfs_path_track(volume, cred, at, p, at, q, op->n[0] ? LINKFS_TRACK_REPLACE : 0, NULL));
		return true;
	case OP_BIND:
		if (is_odd(state))
			lk_text_add(out, "untried");
		else if (lk_lib_result(out, linkfs_path_bind(volume, cred, at, p, at, q)))
			go_home(state);
		return true;
	case OP_LINKDIR:
		if (lk_lib_result(out, linkfs_path_link_directory(volume, cred, at, p, at, q)))
			go_home(state);
		return true;
	case OP_UNBIND:
		if (lk_lib_result(out, linkfs_path_unbind(volume, cred, at, p)))
			go_home(state);
		return true;
	default:
		return false;
	}
}

void lk_lib_moved(struct lib *state, const struct op *op)
{
	struct linkfs_stat p = {0}, q = {0};
	if (op->kind == OP_RMDIR) {
		go_home(state);
		return;
	}
	(void)linkfs_path_stat(state->volume, NULL, state->at, state->q, LINKFS_NOFOLLOW, &q);
	if (op->n[0] & 2)
		(void)linkfs_path_stat(state->volume, NULL, state->at, state->p, LINKFS_NOFOLLOW, &p);
	if (S_ISDIR(p.mode) || S_ISDIR(q.mode))
		go_home(state);
}
