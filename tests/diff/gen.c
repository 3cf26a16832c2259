/*
 * gen.c - draws random operations. Few names, so that they meet; paths that the reference said exist are drawn often;
 * limits (names of 255 and 256 bytes, paths of 4095 and 4096) and odd bytes now and then. gen_args.c has the rest.
 */
#include "gen.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t draw(struct gen *gen)
{
	uint64_t z = (gen->state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int64_t lk_gen_below(struct gen *gen, int64_t limit)
{
	return (int64_t)(draw(gen) % (uint64_t)limit);
}

bool lk_gen_chance(struct gen *gen, int percent)
{
	return lk_gen_below(gen, 100) < percent;
}

const char *lk_gen_name(struct gen *gen)
{
	static const char *const common[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	static const char *const odd[] = {"{L*255}", "{L*256}", "%ff%fe%01",  "x%20y", "...",
					  "%0a",     "%c3%a4",  "{M*254}%80", "a."};
	static const char *const dots[] = {".", ".."};
	if (lk_gen_chance(gen, 94))
		return PICK(gen, common);
	return lk_gen_chance(gen, 70) ? PICK(gen, odd) : PICK(gen, dots);
}

void lk_gen_append(char *out, const char *more)
{
	if (strlen(out) + strlen(more) < OP_PATTERN - 1)
		strcat(out, more);
}

static const char *draw_known(struct gen *gen, enum want want)
{
	if (want >= WANT_KINDS)
		want = (enum want)lk_gen_below(gen, WANT_KINDS);
	const struct known *known = &gen->known[want];
	return known->count ? known->paths[lk_gen_below(gen, (int64_t)known->count)] : NULL;
}

void lk_gen_path(struct gen *gen, char *out, enum want want)
{
	static const char *const limits[] = {"{./*2047}a",      "{./*2047}aa",  "{./*2048}",  "{a/*2047}b",
					     "{a/../*819}",     "{b/../*819}b", "{%2f*4095}", "/{./*2046}a",
					     "{L*255}/{L*255}", "{d/*40}e",     "{d/*60}f"};
	static const char *const tails[] = {"/", "/.", "/..", "//", "/../a"};
	out[0] = '\0';
	int64_t kind = lk_gen_below(gen, 1000);
	if (kind < 3)
		return;
	if (kind < 9) {
		lk_gen_append(out, PICK(gen, limits));
		return;
	}
	const char *known = draw_known(gen, want == WANT_NEW ? WANT_DIR : kind < 850 ? want : WANT_ANY);
	if (known && kind < 900) {
		lk_gen_append(out, lk_gen_chance(gen, 85) ? "/" : "");
		lk_gen_append(out, known);
		if (want == WANT_NEW || lk_gen_chance(gen, 6)) {
			lk_gen_append(out, "/");
			lk_gen_append(out, lk_gen_name(gen));
		}
	} else {
		lk_gen_append(out, lk_gen_chance(gen, 50) ? "/" : "");
		int64_t depth = 1 + lk_gen_below(gen, 100) / 55 + lk_gen_below(gen, 100) / 80;
		for (int64_t i = 0; i < depth; i++) {
			if (i)
				lk_gen_append(out, lk_gen_chance(gen, 97) ? "/" : "//");
			lk_gen_append(out, lk_gen_name(gen));
		}
	}
	if (lk_gen_chance(gen, 3))
		lk_gen_append(out, PICK(gen, tails));
}

int64_t lk_gen_slot(struct gen *gen, bool open)
{
	int64_t slot = lk_gen_below(gen, OP_SLOTS);
	if (lk_gen_chance(gen, 95)) {
		for (int64_t i = 0; i < OP_SLOTS && gen->open[slot] != open; i++)
			slot = (slot + 1) % OP_SLOTS;
	}
	return slot;
}

void lk_gen_queue(struct gen *gen, const struct op *op)
{
	if (gen->queued < QUEUE)
		gen->queue[gen->queued++] = *op;
}

/* Directories of several owners and modes, so that users meet from the first operation on. */
static void queue_prologue(struct gen *gen)
{
	static const struct {
		const char *name;
		int mode, uid, gid;
	} dirs[] = {{"a", 0777, 0, 0},
		    {"b", 01777, 0, 0},
		    {"c", 02775, 1001, 2000},
		    {"d", 0700, 1002, 1002},
		    {"e", 03770, 1003, 2000}};
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct op op = {.kind = OP_MKDIR, .at = -1, .n = {0777}};
		(void)snprintf(op.p, sizeof(op.p), "/%s", dirs[i].name);
		lk_gen_queue(gen, &op);
		op.kind = OP_CHOWN;
		op.n[0] = dirs[i].uid;
		op.n[1] = dirs[i].gid;
		if (gen->many_users)
			lk_gen_queue(gen, &op);
		op.kind = OP_CHMOD;
		op.n[0] = dirs[i].mode;
		lk_gen_queue(gen, &op);
	}
}

/* A chain of symlinks around the limit of 40 expansions, and what its ends resolve to. */
static void queue_chain(struct gen *gen)
{
	struct op op = {.kind = OP_SYMLINK, .at = -1};
	for (int i = 0; i < 42; i++) {
		(void)snprintf(op.p, sizeof(op.p), i ? "s%d" : "a", i - 1);
		(void)snprintf(op.q, sizeof(op.q), "/s%d", i);
		lk_gen_queue(gen, &op);
	}
	for (int i = 38; i < 42; i++) {
		op = (struct op){.kind = OP_STAT, .at = -1, .n = {1}};
		(void)snprintf(op.p, sizeof(op.p), "/s%d%s", i, i % 2 ? "/b" : "");
		lk_gen_queue(gen, &op);
	}
}

/* A deep tree made by changing into it, far beyond what one path can name. */
static void queue_deep(struct gen *gen)
{
	struct op op = {.at = -1, .n = {0777}};
	const char *name = lk_gen_chance(gen, 50) ? "d" : "{K*250}";
	for (int i = 0; i < 24; i++) {
		op.kind = OP_MKDIR;
		(void)snprintf(op.p, sizeof(op.p), "%s", name);
		lk_gen_queue(gen, &op);
		op.kind = OP_CHDIR;
		lk_gen_queue(gen, &op);
	}
	if (gen->on & OP_ON_MOUNT) {
		op.kind = OP_GETCWD;
		lk_gen_queue(gen, &op);
	}
	op.kind = OP_STAT;
	strcpy(op.p, "{../*24}a");
	lk_gen_queue(gen, &op);
	op.kind = OP_CHDIR;
	(void)snprintf(op.p, sizeof(op.p), "%s", lk_gen_chance(gen, 70) ? "/" : "{../*5}");
	lk_gen_queue(gen, &op);
}

static const unsigned char weights[OP_COUNT] = {
	[OP_OPEN] = 90,        [OP_CLOSE] = 20,    [OP_PREAD] = 40,    [OP_PWRITE] = 80,    [OP_READ] = 12,
	[OP_WRITE] = 12,       [OP_LSEEK] = 6,     [OP_TRUNCATE] = 25, [OP_FTRUNCATE] = 25, [OP_FALLOCATE] = 40,
	[OP_SEEK] = 30,        [OP_COPY] = 20,     [OP_MMAP] = 20,     [OP_FLOCK] = 8,      [OP_LOCK] = 8,
	[OP_IOCTL] = 3,        [OP_FSYNC] = 5,     [OP_SYNC] = 1,      [OP_MKDIR] = 45,     [OP_RMDIR] = 22,
	[OP_MKNOD] = 20,       [OP_SYMLINK] = 45,  [OP_READLINK] = 15, [OP_LINK] = 50,      [OP_LINKFD] = 8,
	[OP_UNLINK] = 40,      [OP_RENAME] = 80,   [OP_SAME] = 10,     [OP_STAT] = 60,      [OP_FSTAT] = 25,
	[OP_CHMOD] = 25,       [OP_FCHMOD] = 8,    [OP_CHOWN] = 22,    [OP_FCHOWN] = 8,     [OP_UTIMES] = 20,
	[OP_FUTIMES] = 8,      [OP_ACCESS] = 15,   [OP_SETXATTR] = 45, [OP_GETXATTR] = 18,  [OP_LISTXATTR] = 10,
	[OP_REMOVEXATTR] = 12, [OP_FSETXATTR] = 5, [OP_FGETXATTR] = 5, [OP_LIST] = 10,      [OP_DIRWALK] = 5,
	[OP_OPENDIR] = 10,     [OP_CLOSEDIR] = 5,  [OP_CHDIR] = 14,    [OP_GETCWD] = 4,     [OP_UMASK] = 5,
	[OP_FORGET] = 1,       [OP_RESTART] = 1,
};

static int weight(const struct gen *gen, int kind)
{
	if ((gen->features & GEN_TRACK) && kind == OP_LINKFD)
		return 0;
	return weights[kind] + lk_gen_links_weight(gen, (enum op_kind)kind);
}

static enum op_kind draw_kind(struct gen *gen)
{
	for (;;) {
		int64_t total = 0, at;
		for (int i = 0; i < OP_COUNT; i++)
			total += weight(gen, i);
		at = lk_gen_below(gen, total);
		int kind = 0;
		while (at >= weight(gen, kind))
			at -= weight(gen, kind++);
		if (lk_op_fits((enum op_kind)kind, gen->on))
			return (enum op_kind)kind;
	}
}

static enum want want_first(struct gen *gen, enum op_kind kind)
{
	switch ((int)kind) {
	case OP_OPEN:
		return lk_gen_chance(gen, 50) ? WANT_FILE : WANT_NEW;
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_LINKFD:
		return WANT_NEW;
	case OP_TRUNCATE:
	case OP_DEDUPE:
	case OP_MERGE:
		return WANT_FILE;
	case OP_CLONE:
	case OP_UNSHARE:
		return lk_gen_chance(gen, 70) ? WANT_FILE : WANT_ANY;
	case OP_LINKDIR:
		return lk_gen_chance(gen, 90) ? WANT_DIR : WANT_ANY;
	case OP_BIND:
	case OP_UNBIND:
		return lk_gen_chance(gen, 75) ? WANT_DIR : WANT_ANY;
	case OP_TRACK:
	case OP_KEEP:
		return lk_gen_chance(gen, 60) ? WANT_FILE : WANT_DIR;
	case OP_RMDIR:
	case OP_LIST:
	case OP_DIRWALK:
	case OP_OPENDIR:
	case OP_CHDIR:
		return WANT_DIR;
	case OP_READLINK:
		return WANT_LINK;
	default:
		return WANT_ANY;
	}
}

static enum want want_second(struct gen *gen, enum op_kind kind)
{
	if (kind == OP_DEDUPE || kind == OP_MERGE)
		return WANT_FILE;
	if (kind == OP_BIND)
		return lk_gen_chance(gen, 75) ? WANT_DIR : WANT_ANY;
	return kind == OP_SAME || (kind == OP_RENAME && lk_gen_chance(gen, 50)) ? WANT_ANY : WANT_NEW;
}

void lk_gen_next(struct gen *gen, struct op *out)
{
	if (gen->drawn++ == 0)
		queue_prologue(gen);
	if (gen->taken == gen->queued) {
		gen->taken = gen->queued = 0;
		int64_t special = lk_gen_below(gen, 2500);
		if (special == 0)
			queue_chain(gen);
		else if (special <= 2 && !(gen->features & (GEN_TRACK | GEN_DIRS)))
			queue_deep(gen);
		else if (special <= 2 + lk_gen_stories(gen))
			lk_gen_story(gen);
	}
	if (gen->taken < gen->queued) {
		*out = gen->queue[gen->taken++];
		return;
	}
	struct op op = {.kind = draw_kind(gen), .at = -1};
	const struct op_row *row = lk_op_row(op.kind);
	op.user =
		gen->many_users && lk_gen_chance(gen, 40) ? 1 + (int)lk_gen_below(gen, (int64_t)lk_user_count - 1) : 0;
	if (lk_gen_chance(gen, 8))
		op.at = (int)lk_gen_below(gen, OP_DIR_SLOTS);
	op.probe = lk_gen_chance(gen, 12);
	if (op.kind == OP_SYMLINK)
		lk_gen_target(gen, op.p);
	else if (row->paths && op.kind != OP_FSETXATTR && op.kind != OP_FGETXATTR)
		lk_gen_path(gen, op.p, want_first(gen, op.kind));
	if (row->paths > 1)
		lk_gen_path(gen, op.q, want_second(gen, op.kind));
	if (op.kind == OP_BIND || op.kind == OP_UNBIND)
		lk_gen_bind(gen, &op);
	if (gen->features & GEN_DIRS)
		lk_gen_dir_name(gen, &op);
	row = lk_op_row(op.kind);
	if ((row->on & OP_LINKS) && (gen->on & OP_ON_MOUNT))
		op.user = 0; /* who runs commands */
	lk_gen_numbers(gen, &op);
	if (op.kind == OP_RESTART)
		op.n[0] = lk_gen_below(gen, 2);
	if (row->slot >= 0)
		op.n[row->slot] = lk_gen_slot(gen, op.kind != OP_OPEN);
	if (op.kind == OP_RESTART)
		op.at = -1, op.user = 0, op.probe = 0;
	*out = op;
}

static void know(struct gen *gen, enum want kind, const char *path)
{
	struct known *known = &gen->known[kind];
	if (path[0] != '/' || strlen(path) > 60)
		return;
	size_t slot = known->count < KNOWN ? known->count++ : (size_t)lk_gen_below(gen, KNOWN);
	(void)snprintf(known->paths[slot], OP_PATTERN, "%s", path + 1);
}

/* Forgets a path, and tells what it was. */
static enum want forget(struct gen *gen, const char *path)
{
	for (int kind = 0; path[0] == '/' && kind < WANT_KINDS; kind++) {
		struct known *known = &gen->known[kind];
		for (size_t i = 0; i < known->count; i++) {
			if (strcmp(known->paths[i], path + 1) == 0) {
				known->count--;
				memmove(known->paths[i], known->paths[known->count], OP_PATTERN);
				return (enum want)kind;
			}
		}
	}
	return WANT_FILE;
}

void lk_gen_learn(struct gen *gen, const struct op *op, const char *answer)
{
	bool ok = strncmp(answer, "ok", 2) == 0;
	bool unnamed = (op->n[1] & O_TMPFILE) == O_TMPFILE;
	if (op->kind == OP_OPEN)
		gen->open[op->n[0]] = ok;
	if (op->kind == OP_CLOSE)
		gen->open[op->n[0]] = false;
	if (op->kind == OP_RESTART)
		memset(gen->open, 0, sizeof(gen->open));
	if (gen->features & GEN_DIRS)
		lk_gen_dir_named(gen, op, answer);
	if (!ok)
		return;
	if (op->kind == OP_BIND || op->kind == OP_UNBIND)
		lk_gen_bound(gen, op);
	if (op->kind == OP_LINKDIR)
		know(gen, WANT_DIR, op->q);
	else if (op->kind == OP_MKDIR)
		know(gen, WANT_DIR, op->p);
	else if (op->kind == OP_LINKFD || (op->kind == OP_OPEN && (op->n[1] & O_CREAT) && !unnamed))
		know(gen, WANT_FILE, op->p);
	else if (op->kind == OP_SYMLINK || op->kind == OP_TRACK)
		know(gen, WANT_LINK, op->q);
	else if (op->kind == OP_MKNOD)
		know(gen, WANT_OTHER, op->p);
	else if (op->kind == OP_LINK || op->kind == OP_CLONE)
		know(gen, WANT_FILE, op->q);
	else if (op->kind == OP_RENAME && !(op->n[0] & 2))
		know(gen, forget(gen, op->p), op->q);
	else if (op->kind == OP_UNLINK || op->kind == OP_RMDIR)
		(void)forget(gen, op->p);
}

struct gen *lk_gen_new(uint64_t seed, unsigned on, bool many_users)
{
	struct gen *gen = calloc(1, sizeof(*gen));
	if (!gen)
		lk_die("out of memory");
	gen->state = seed;
	gen->on = on;
	gen->many_users = many_users;
	gen->features = lk_gen_features(seed, on);
	return gen;
}

void lk_gen_free(struct gen *gen)
{
	free(gen);
}
