/*
 * lib.c - the back end of the library: the volume, credentials, time probes and dispatch. Where the library has only
 * node-level calls, what a handle adds (its mode of opening) is the caller's business, so here it is this file's.
 */
#include "lib.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool lk_lib_result(struct text *out, int result)
{
	if (result == 0)
		lk_text_add(out, "ok");
	else if (result <= -1000 || result > 0)
		lk_text_add(out, "%s", linkfs_error_name(result)); /* damage is never a proper answer */
	else
		lk_answer_error(out, linkfs_errno(result));
	return result == 0;
}

void lk_lib_stat(const struct linkfs_stat *st, struct answer_stat *out)
{
	const int64_t times[3] = {st->atime_ns, st->mtime_ns, st->ctime_ns};
	*out = (struct answer_stat){.mode = st->mode,
				    .nlink = st->nlink,
				    .size = st->size,
				    .ino = st->ino,
				    .rdev_major = st->rdev_major,
				    .rdev_minor = st->rdev_minor,
				    .uid = st->uid,
				    .gid = st->gid};
	for (int i = 0; i < 3; i++) {
		int64_t nsec = times[i] % 1000000000;
		out->sec[i] = times[i] / 1000000000 - (nsec < 0);
		out->nsec[i] = (long)(nsec < 0 ? nsec + 1000000000 : nsec);
	}
}

static void open_volume(struct lib *state)
{
	struct linkfs_message why = {""};
	struct linkfs_open_options options = {0};
	int result = linkfs_volume_open(state->side->dir, &options, &state->volume, &why);
	if (result)
		lk_die("open %s: %s: %s", state->side->dir, linkfs_strerror(result), why.text);
	state->cwd = LINKFS_ROOT_INO;
	result = linkfs_node_hold(state->volume, state->cwd);
	if (result)
		lk_die("hold the root: %s", linkfs_strerror(result));
}

static int check_finding(void *arg, const struct linkfs_finding *finding)
{
	(void)arg;
	fprintf(stderr, "check: %s: %s\n", finding->problem->id, finding->text);
	return 0;
}

/* What was closed, or killed after a sync, is whole (F2). */
static void check_volume(const char *dir)
{
	struct linkfs_message why = {""};
	struct linkfs_check_summary sum;
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA, .finding = check_finding};
	int result = linkfs_check(dir, &options, &sum, &why);
	if (result)
		lk_die("check %s: %s: %s", dir, linkfs_strerror(result), why.text);
	if (sum.problems)
		lk_die("check %s: %llu problems", dir, (unsigned long long)sum.problems);
}

static void *lib_start(const struct side *side)
{
	struct lib *state = calloc(1, sizeof(*state));
	struct linkfs_message why = {""};
	struct linkfs_create_options options = {.root_mode = 0777};
	if (!state)
		lk_die("out of memory");
	state->side = side;
	state->umask = 022;
	const char *property = getenv("LINKFS_TEST_PROPERTY");
	if (property) {
		options.properties = &property;
		options.property_count = 1;
	}
	if (side->fresh) {
		int result = linkfs_volume_create(side->dir, &options, &why);
		if (result)
			lk_die("create %s: %s: %s", side->dir, linkfs_strerror(result), why.text);
	}
	if (!side->fresh)
		check_volume(side->dir);
	open_volume(state);
	return state;
}

void lk_lib_close_dir(struct lib *state, int slot)
{
	if (!state->dirs[slot])
		return;
	linkfs_dir_close(state->dirs[slot]);
	linkfs_node_release(state->volume, state->nodes[slot], 1);
	state->dirs[slot] = NULL;
}

void lk_lib_close_all(struct lib *state)
{
	for (int i = 0; i < OP_SLOTS; i++) {
		linkfs_file_close(state->slots[i].file);
		state->slots[i] = (struct lib_slot){0};
	}
	for (int i = 0; i < OP_DIR_SLOTS; i++)
		lk_lib_close_dir(state, i);
	linkfs_node_release(state->volume, state->cwd, 1);
}

static void lib_stop(void *arg)
{
	struct lib *state = arg;
	if (state->crash)
		_exit(0);
	if (state->volume) {
		lk_lib_close_all(state);
		int result = linkfs_volume_close(state->volume);
		if (result)
			lk_die("close: %s", linkfs_strerror(result));
		check_volume(state->side->dir);
	}
	free(state);
}

static void restart(struct lib *state, const struct op *op, struct text *out)
{
	if (op->n[0]) {
		state->crash = true;
		lk_lib_result(out, linkfs_volume_sync(state->volume));
		return;
	}
	lk_lib_close_all(state);
	lk_lib_result(out, linkfs_volume_close(state->volume));
	state->volume = NULL; /* the process ends after this */
}

/* ---- probes: which times of the objects around an operation changed ---------------------------------------- */

#define PROBES 6
#define PROBE_TIME INT64_C(1000000007123456789)

struct probe {
	uint64_t inos[PROBES]; /* 0 for none */
	int64_t ctimes[PROBES];
};
static const char *const probe_names[PROBES] = {"p", "p*", "p/..", "q", "q/..", "slot"};

static uint64_t probe_path(struct lib *state, const char *path, uint32_t flags)
{
	struct linkfs_stat st;
	if (linkfs_path_stat(state->volume, NULL, state->at, path, flags, &st) ||
	    linkfs_node_hold(state->volume, st.ino))
		return 0;
	return st.ino;
}

static uint64_t probe_parent(struct lib *state, const char *path)
{
	char parent[PATH_ROOM];
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	while (len && path[len - 1] != '/')
		len--;
	memcpy(parent, path, len);
	parent[len] = '\0';
	return probe_path(state, len ? parent : ".", 0);
}

static void probe_begin(struct lib *state, const struct op *op, struct probe *probe)
{
	const struct op_row *row = lk_op_row(op->kind);
	*probe = (struct probe){0};
	if (row->paths && op->kind != OP_SYMLINK && op->p[0]) {
		probe->inos[0] = probe_path(state, state->p, LINKFS_NOFOLLOW);
		probe->inos[1] = probe_path(state, state->p, 0);
		probe->inos[2] = probe_parent(state, state->p);
	}
	if (row->paths > 1 && op->kind != OP_SETXATTR && op->kind != OP_GETXATTR && op->kind != OP_REMOVEXATTR &&
	    op->kind != OP_DIRWALK && op->kind != OP_FSETXATTR && op->kind != OP_FGETXATTR) {
		probe->inos[3] = probe_path(state, state->q, LINKFS_NOFOLLOW);
		probe->inos[4] = probe_parent(state, state->q);
	}
	if (row->slot >= 0 && state->slots[op->n[row->slot]].file) {
		uint64_t ino = state->slots[op->n[row->slot]].ino;
		if (linkfs_node_hold(state->volume, ino) == 0)
			probe->inos[5] = ino;
	}
	for (int i = 0; i < PROBES; i++) {
		struct linkfs_setattr set = {
			.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME, .atime_ns = PROBE_TIME, .mtime_ns = PROBE_TIME};
		if (probe->inos[i])
			(void)linkfs_node_setattr(state->volume, NULL, probe->inos[i], &set, NULL);
	}
	for (int i = 0; i < PROBES; i++) {
		struct linkfs_stat st;
		if (probe->inos[i] && linkfs_node_getattr(state->volume, probe->inos[i], &st) == 0)
			probe->ctimes[i] = st.ctime_ns;
	}
}

static void probe_end(struct lib *state, enum op_kind kind, const struct probe *probe, struct text *out)
{
	for (int i = 0; i < PROBES; i++) {
		struct linkfs_stat st;
		if (!probe->inos[i])
			continue;
		int result = linkfs_node_getattr(state->volume, probe->inos[i], &st);
		if (out)
			lk_text_add(out, " | %s ", probe_names[i]);
		if (out && result)
			lk_lib_result(out, result);
		else if (out)
			lk_text_add(out, "%s%s%s",
				    state->side->atime && (!S_ISLNK(st.mode) || kind == OP_READLINK) &&
						    st.atime_ns != PROBE_TIME
					    ? "a"
					    : "",
				    st.mtime_ns != PROBE_TIME ? "m" : "", st.ctime_ns != probe->ctimes[i] ? "c" : "");
		linkfs_node_release(state->volume, probe->inos[i], 1);
	}
}

/* ---- dispatch ------------------------------------------------------------------------------------------------ */

static void lib_run(void *arg, const struct op *op, struct text *out)
{
	struct lib *state = arg;
	struct probe probe;
	const struct user *user = &lk_users[op->user];
	if (op->kind == OP_RESTART) {
		restart(state, op, out);
		return;
	}
	state->at = op->at >= 0 && state->dirs[op->at] ? state->nodes[op->at] : state->cwd;
	state->cred = (struct linkfs_cred){.uid = user->uid,
					   .gid = user->gid,
					   .groups = user->groups,
					   .ngroups = user->ngroups,
					   .umask = state->umask};
	if (!state->side->many_users)
		state->cred = (struct linkfs_cred){.uid = geteuid(), .gid = getegid(), .umask = state->umask};
	(void)lk_pattern_expand(op->p, state->p, sizeof(state->p));
	(void)lk_pattern_expand(op->q, state->q, sizeof(state->q));
	if (op->probe)
		probe_begin(state, op, &probe);
	if (!lk_lib_file(state, op, out) && !lk_lib_meta(state, op, out) && !lk_lib_links(state, op, out))
		lk_lib_name(state, op, out);
	if (op->probe)
		probe_end(state, op->kind, &probe,
			  op->kind == OP_FALLOCATE && strncmp(out->bytes, "ok", 2) != 0 ? NULL : out);
}

static void lib_tree(void *arg, struct text *out)
{
	lk_lib_tree(arg, out);
}

const struct back lk_back_lib = {lib_start, lib_run, lib_tree, lib_stop};
