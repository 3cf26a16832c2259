/*
 * script.c - scripts of operations: the tree they start with, every operation by itself, every pair, and random mixes.
 */
#include "power.h"

#include <stdlib.h>
#include <string.h>

#define B 4096u

void script_add(struct script *s, const struct op *op)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 32;
		s->ops = realloc(s->ops, s->cap * sizeof(*s->ops));
		if (!s->ops)
			abort();
	}
	struct op *to = &s->ops[s->count++];
	*to = *op;
	to->a = strdup(op->a ? op->a : "");
	to->b = strdup(op->b ? op->b : "");
	if (!to->a || !to->b)
		abort();
	to->serial = ++s->next_serial;
}

void script_done(struct script *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free((void *)(uintptr_t)s->ops[i].a);
		free((void *)(uintptr_t)s->ops[i].b);
	}
	free(s->ops);
	memset(s, 0, sizeof(*s));
}

bool script_try(struct script *s, struct model *m, struct op op)
{
	op.serial = s->next_serial + 1;
	op.a = op.a ? op.a : "";
	op.b = op.b ? op.b : "";
	if (!model_apply(m, &op, false))
		return false;
	script_add(s, &op);
	return true;
}

void script_base(struct script *s)
{
	static const struct op ops[] = {
		{OP_MKDIR, .a = "d"},
		{OP_MKDIR, .a = "d/e"},
		{OP_MKDIR, .a = "vacant"},
		{OP_CREATE, .a = "inline"},
		{OP_WRITE, .a = "inline", .n = 500},
		{OP_CREATE, .a = "ext"},
		{OP_WRITE, .a = "ext", .n = 5 * B + 100},
		{OP_SETXATTR, .a = "ext", .b = "user.a", .n = 50},
		{OP_CREATE, .a = "sparse"},
		{OP_WRITE, .a = "sparse", .n = 100},
		{OP_WRITE, .a = "sparse", .x = 100000, .n = 5000},
		{OP_CREATE, .a = "hard"},
		{OP_WRITE, .a = "hard", .n = 6000},
		{OP_LINK, .a = "hard", .b = "d/hard"},
		{OP_SYMLINK, .a = "sym", .b = "ext"},
		{OP_FIFO, .a = "d/fifo"},
		{OP_CREATE, .a = "d/in"},
		{OP_WRITE, .a = "d/in", .n = 9000},
		{OP_CREATE, .a = "src"},
		{OP_WRITE, .a = "src", .n = 8 * B},
		{OP_CREATE, .a = "copy"},
		{OP_COPY, .a = "src", .b = "copy", .n = 8 * B},
		{OP_SETXATTR, .a = "d", .b = "user.d", .n = 10},
		{OP_CREATE, .a = "empty"},
		{OP_LINKDIR, .a = "d/e", .b = "e2"},
		{OP_MKDIR, .a = "source"},
		{OP_MKDIR, .a = "shown"},
		{OP_BIND, .a = "source", .b = "shown"},
	};
	s->next_serial = 1000000;
	for (size_t i = 0; i < LK_ARRAY_LEN(ops); i++)
		script_add(s, &ops[i]);
}

static struct model *model_of_base(void)
{
	struct script base = {0};
	struct model *m = model_new();
	script_base(&base);
	for (size_t i = 0; i < base.count; i++) {
		if (!model_apply(m, &base.ops[i], false))
			abort();
	}
	script_done(&base);
	return m;
}

/* ---- one operation, two operations ------------------------------------------------------------------------------------------ */

#define LONG_NAME                                                                                                      \
	"a-name-of-two-hundred-and-fifty-five-bytes-"                                                                  \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"   \
	"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
_Static_assert(sizeof(LONG_NAME) == 256, "the longest there can be");

static const struct op singles[] = {
	{OP_CREATE, .a = "new"},
	{OP_CREATE, .a = "d/e/new"},
	{OP_CREATE, .a = LONG_NAME},
	{OP_MKDIR, .a = "newdir"},
	{OP_MKDIR, .a = "d/e/newdir"},
	{OP_FIFO, .a = "newfifo"},
	{OP_SYMLINK, .a = "newsym", .b = "d/in"},
	{OP_RELINK, .a = "sym", .b = "src"},
	{OP_RELINK, .a = "ext", .b = "elsewhere"},
	{OP_LINK, .a = "ext", .b = "d/ext2"},
	{OP_LINK, .a = "sym", .b = "sym2"},
	{OP_LINK, .a = "hard", .b = "d/e/hard3"},
	{OP_LINKDIR, .a = "d", .b = "vacant/d"},
	{OP_LINKDIR, .a = "e2", .b = "source/e3"},
	{OP_BIND, .a = "d", .b = "vacant"},
	{OP_BIND, .a = "ext", .b = "inline"},
	{OP_UNBIND, .a = "shown"},
	{OP_CREATE, .a = "shown/new"},
	{OP_RENAME, .a = "source", .b = "vacant/source"},
	{OP_RMDIR, .a = "e2"},
	{OP_UNLINK, .a = "ext"},
	{OP_UNLINK, .a = "inline"},
	{OP_UNLINK, .a = "hard"},
	{OP_UNLINK, .a = "sym"},
	{OP_UNLINK, .a = "src"},
	{OP_UNLINK, .a = "d/fifo"},
	{OP_RMDIR, .a = "vacant"},
	{OP_RMDIR, .a = "d/e"},
	{OP_RENAME, .a = "ext", .b = "renamed"},
	{OP_RENAME, .a = "ext", .b = "d/e/moved"},
	{OP_RENAME, .a = "ext", .b = "src"},
	{OP_RENAME, .a = "inline", .b = "hard"},
	{OP_RENAME, .a = "d", .b = "vacant"},
	{OP_RENAME, .a = "d/e", .b = "e"},
	{OP_RENAME, .a = "d/hard", .b = "ext"},
	{OP_EXCHANGE, .a = "ext", .b = "d"},
	{OP_EXCHANGE, .a = "src", .b = "d/in"},
	{OP_WRITE, .a = "inline", .x = 100, .n = 50},
	{OP_WRITE, .a = "inline", .x = 400, .n = 3000},
	{OP_WRITE, .a = "empty", .n = 1},
	{OP_WRITE, .a = "ext", .x = B, .n = B},
	{OP_WRITE, .a = "ext", .x = 4000, .n = 200},
	{OP_WRITE, .a = "sparse", .x = 50000, .n = 10},
	{OP_WRITE, .a = "src", .x = 2 * B, .n = 3 * B},
	{OP_WRITE, .a = "copy", .n = 8 * B},
	{OP_WRITE, .a = "empty", .n = 100 * B + 17},
	{OP_WRITE_SYNC, .a = "hard", .x = 10, .n = 5000},
	{OP_APPEND, .a = "ext", .n = 7000},
	{OP_APPEND, .a = "inline", .n = 1700},
	{OP_TRUNCATE, .a = "ext", .x = 0},
	{OP_TRUNCATE, .a = "ext", .x = 5000},
	{OP_TRUNCATE, .a = "ext", .x = 300000},
	{OP_TRUNCATE, .a = "inline", .x = 10},
	{OP_TRUNCATE, .a = "inline", .x = 100000},
	{OP_TRUNCATE, .a = "copy", .x = 3 * B + 1},
	{OP_ALLOCATE, .a = "ext", .y = 0, .x = 2 * B, .n = 30 * B},
	{OP_ALLOCATE, .a = "sparse", .y = 1, .x = 0, .n = 60 * B},
	{OP_ALLOCATE, .a = "ext", .y = 3, .x = 5000, .n = 9000},
	{OP_ALLOCATE, .a = "src", .y = 3, .x = B, .n = 4 * B},
	{OP_ALLOCATE, .a = "inline", .y = 3, .x = 10, .n = 100},
	{OP_ALLOCATE, .a = "ext", .y = 16, .x = 3000, .n = 12000},
	{OP_ALLOCATE, .a = "src", .y = 17, .x = B, .n = 40 * B},
	{OP_ALLOCATE, .a = "ext", .y = 8, .x = B, .n = 2 * B},
	{OP_ALLOCATE, .a = "src", .y = 32, .x = 2 * B, .n = 4 * B},
	{OP_COPY, .a = "src", .b = "ext", .x = 0, .y = 0, .n = 8 * B},
	{OP_COPY, .a = "ext", .b = "empty", .x = 0, .y = 3 * B, .n = 6 * B},
	{OP_COPY, .a = "src", .b = "d/in", .x = 100, .y = 7000, .n = 10000},
	{OP_SETXATTR, .a = "ext", .b = "user.a", .n = 3000},
	{OP_SETXATTR, .a = "d/in", .b = "user.new", .n = 20000},
	{OP_SETXATTR, .a = "vacant", .b = "user.x", .n = 0},
	{OP_RMXATTR, .a = "ext", .b = "user.a"},
	{OP_RMXATTR, .a = "d", .b = "user.d"},
	{OP_CHMOD, .a = "ext", .x = 0400},
	{OP_CHMOD, .a = "", .x = 0711},
	{OP_CHOWN, .a = "d/in", .x = 1000, .y = 100},
	{OP_KEEP, .a = "hard", .x = 1},
	{OP_CLONE, .a = "src", .b = "clone"},
	{OP_CLONE, .a = "inline", .b = "d/e/clone"},
	{OP_CLONE, .a = "sym", .b = "symclone"},
	{OP_UNSHARE, .a = "hard"},
	{OP_DEDUPE, .a = "src", .b = "copy"},
	{OP_MERGE, .a = "src", .b = "copy"},
	{OP_SNAPSHOT, .a = "s0"},
	{.kind = OP_CHECKPOINT},
};
#define SINGLES LK_ARRAY_LEN(singles)

/* What makes it last: 0 fsync of the file it worked on, 1 fdatasync of it, 2 fsync of its directory, 3 a sync of all. */
static void add_sync(struct script *s, struct model *m, const struct op *of, unsigned how)
{
	char path[OP_PATH];
	struct op sync = {OP_FSYNC, .a = path, .x = how == 1};
	(void)snprintf(path, sizeof(path), "%s", of->a ? of->a : "");
	char *slash = strrchr(path, '/');
	if (how == 2)
		*(slash ? slash : path) = 0;
	if (how == 3)
		sync.kind = OP_SYNC;
	if (script_try(s, m, sync))
		return;
	/* It is gone: its new name, or the root, does. */
	sync.a = of->kind == OP_RENAME || of->kind == OP_EXCHANGE ? of->b : "";
	if (!script_try(s, m, sync))
		(void)script_try(s, m, (struct op){.kind = OP_SYNC});
}

static bool one_make(struct script *s, uint64_t number, uint64_t seed)
{
	(void)seed;
	struct model *m = model_of_base();
	const struct op *op = &singles[number / 4 % SINGLES];
	if (!script_try(s, m, *op))
		abort(); /* every one of them can be done */
	add_sync(s, m, op, (unsigned)(number % 4));
	model_free(m);
	return true;
}

static uint64_t one_count(void)
{
	return SINGLES * 4;
}

/* Two, with a sync between them or not, and one after; the second may be impossible after the first. */
static bool two_make(struct script *s, uint64_t number, uint64_t seed)
{
	(void)seed;
	const struct op *first = &singles[number / 2 / SINGLES % SINGLES], *second = &singles[number / 2 % SINGLES];
	struct model *m = model_of_base();
	bool good = script_try(s, m, *first);
	if (good && number % 2)
		add_sync(s, m, first, (unsigned)(number / 2 % 4));
	good = good && script_try(s, m, *second);
	if (good)
		add_sync(s, m, second, (unsigned)(number / 3 % 4));
	model_free(m);
	return good;
}

static uint64_t two_count(void)
{
	return SINGLES * SINGLES * 2;
}

/* ---- random mixes -------------------------------------------------------------------------------------------------------------- */

static uint64_t below(struct lk_test_random *random, uint64_t n)
{
	return lk_test_below(random, n);
}

static void draw_path(struct lk_test_random *random, char out[OP_PATH])
{
	static const char *const dirs[] = {"", "", "", "d/", "d/", "d/e/", "vacant/", "n0/", "shown/", "e2/"};
	static const char *const leaves[] = {"ext", "inline", "sparse", "hard",  "src",   "copy", "empty",
					     "in",  "sym",    "n0",     "n1",    "n2",    "n3",   "n4",
					     "d",   "e",      "e2",     "shown", "source"};
	(void)snprintf(out, OP_PATH, "%s%s", dirs[below(random, LK_ARRAY_LEN(dirs))],
		       leaves[below(random, LK_ARRAY_LEN(leaves))]);
}

static uint64_t draw_offset(struct lk_test_random *random, uint64_t limit)
{
	uint64_t x = below(random, 4) ? below(random, limit) : below(random, 3000);
	return below(random, 2) ? x / B * B : x;
}

static const uint8_t weights[OP_KINDS] = {
	[OP_CREATE] = 6,
	[OP_MKDIR] = 2,
	[OP_FIFO] = 1,
	[OP_SYMLINK] = 3,
	[OP_RELINK] = 3,
	[OP_LINK] = 5,
	[OP_UNLINK] = 7,
	[OP_RMDIR] = 2,
	[OP_RENAME] = 7,
	[OP_EXCHANGE] = 2,
	[OP_WRITE] = 14,
	[OP_WRITE_SYNC] = 2,
	[OP_APPEND] = 4,
	[OP_TRUNCATE] = 5,
	[OP_ALLOCATE] = 5,
	[OP_COPY] = 4,
	[OP_SETXATTR] = 3,
	[OP_RMXATTR] = 1,
	[OP_CHMOD] = 1,
	[OP_CHOWN] = 1,
	[OP_OPEN] = 3,
	[OP_TMPFILE] = 2,
	[OP_HWRITE] = 5,
	[OP_HTRUNCATE] = 1,
	[OP_HLINK] = 3,
	[OP_LINKDIR] = 3,
	[OP_BIND] = 3,
	[OP_UNBIND] = 2,
	[OP_KEEP] = 3,
	[OP_CLONE] = 3,
	[OP_UNSHARE] = 2,
	[OP_DEDUPE] = 2,
	[OP_MERGE] = 3,
	[OP_HCLOSE] = 2,
	[OP_FSYNC] = 5,
	[OP_HSYNC] = 2,
	[OP_SYNC] = 3,
	[OP_CHECKPOINT] = 3,
	[OP_SNAPSHOT] = 2,
	[OP_DROP] = 2,
	[OP_RENAME_SNAPSHOT] = 1,
	[OP_REOPEN] = 1,
};

static void draw_snapshot(struct lk_test_random *random, struct op *op, char a[OP_PATH], char b[OP_PATH])
{
	(void)snprintf(a, OP_PATH, "s%u", (unsigned)below(random, 6));
	(void)snprintf(b, OP_PATH, "s%u", (unsigned)below(random, 6));
	op->x = below(random, 3);
}

static struct op draw(struct lk_test_random *random, uint64_t limit, char a[OP_PATH], char b[OP_PATH])
{
	static const uint64_t modes[] = {0, 1, 3, 3, 16, 17, 8, 32};
	struct op op = {.kind = OP_KINDS, .a = a, .b = b};
	uint64_t total = 0;
	for (unsigned i = 0; i < OP_KINDS; i++)
		total += weights[i];
	uint64_t pick = below(random, total);
	for (unsigned i = 0; op.kind == OP_KINDS; pick -= weights[i++]) {
		if (pick < weights[i])
			op.kind = (enum op_kind)i;
	}
	draw_path(random, a);
	op.slot = (unsigned)below(random, OP_SLOTS);
	op.x = draw_offset(random, limit);
	op.n = 1 + draw_offset(random, limit / 4);
	if (op.kind == OP_COPY || op.kind == OP_ALLOCATE) {
		op.y = op.kind == OP_COPY ? draw_offset(random, limit) : modes[below(random, LK_ARRAY_LEN(modes))];
		op.n = below(random, 2) ? (op.n + B - 1) / B * B : op.n;
	}
	if (op.kind == OP_SETXATTR || op.kind == OP_RMXATTR) {
		(void)snprintf(b, OP_PATH, "user.%c", (char)('a' + below(random, 3)));
		op.n = below(random, 3) ? below(random, 200) : below(random, 9000);
	} else {
		draw_path(random, b);
	}
	if (op.kind == OP_SNAPSHOT || op.kind == OP_RENAME_SNAPSHOT || op.kind == OP_DROP)
		draw_snapshot(random, &op, a, b);
	if (op.kind == OP_KEEP)
		op.x = below(random, 4) != 0;
	if (op.kind == OP_CHMOD)
		op.x = 0400 | below(random, 0400);
	if (op.kind == OP_CHOWN || op.kind == OP_FSYNC || op.kind == OP_HSYNC)
		op.x = op.x % 2;
	if (below(random, 8) == 0 && (op.kind == OP_FSYNC || op.kind == OP_TMPFILE))
		a[0] = 0;
	return op;
}

/* What a full volume leaves half done, as Linux does: not in scripts in which space may lack. */
static bool needs_room(const struct op *op)
{
	return op->kind == OP_COPY || (op->kind == OP_ALLOCATE && op->y != 3 && op->y != 8 && op->y != 32);
}

static void mix(struct script *s, uint64_t number, uint64_t seed, uint64_t limit, unsigned ops)
{
	struct lk_test_random random = {seed * UINT64_C(1000003) + number};
	struct model *m = model_of_base();
	char a[OP_PATH], b[OP_PATH];
	for (unsigned tries = 0; tries < 400 * ops && s->count < ops; tries++) {
		struct op op = draw(&random, limit, a, b);
		if ((s->tight && needs_room(&op)) || (s->committer && (op_in_steps(&op) || op.kind == OP_REOPEN)))
			continue;
		(void)script_try(s, m, op);
	}
	(void)script_try(s, m, (struct op){.kind = OP_SYNC});
	model_free(m);
}

void script_draw(struct script *s, uint64_t seed)
{
	struct lk_test_random random = {seed};
	char a[OP_PATH], b[OP_PATH];
	s->next_serial = seed << 20; /* the bytes it writes are nobody else's */
	while (s->count < 60) {
		struct op op = draw(&random, 100000, a, b);
		if (!needs_room(&op))
			script_add(s, &op);
	}
	script_add(s, &(struct op){.kind = OP_SYNC});
}

/* Many snapshots of few files, which change much: what a deletion gives back, or to the one before, in steps. */
static bool snapshots_make(struct script *s, uint64_t number, uint64_t seed)
{
	static const enum op_kind kinds[] = {OP_SNAPSHOT, OP_SNAPSHOT, OP_DROP, OP_RENAME_SNAPSHOT};
	struct lk_test_random random = {seed * UINT64_C(7368787) + number};
	struct model *m = model_of_base();
	char a[OP_PATH], b[OP_PATH];
	unsigned ops = 20 + (unsigned)(number % 4) * 10;
	for (unsigned tries = 0; tries < 400 * ops && s->count < ops; tries++) {
		struct op op = draw(&random, 60000, a, b);
		if (tries % 3 == 0) {
			op.kind = kinds[below(&random, LK_ARRAY_LEN(kinds))];
			draw_snapshot(&random, &op, a, b);
		}
		(void)script_try(s, m, op);
	}
	(void)script_try(s, m, (struct op){.kind = OP_SYNC});
	model_free(m);
	return true;
}

static bool mix_make(struct script *s, uint64_t number, uint64_t seed)
{
	mix(s, number, seed, 200000, 8 + (unsigned)(number % 5) * 8);
	return true;
}

static bool tight_make(struct script *s, uint64_t number, uint64_t seed)
{
	s->tight = true;
	mix(s, number, seed, 60000, 30);
	return true;
}

static bool committer_make(struct script *s, uint64_t number, uint64_t seed)
{
	s->committer = true;
	mix(s, number, seed, 200000, 60);
	return true;
}

static uint64_t endless(void)
{
	return 0;
}

const struct family families[] = {
	{"one", 27, one_count, one_make},          {"two", 24, two_count, two_make},
	{"story", 13, endless, story_make},        {"mix", 13, endless, mix_make},
	{"tight", 8, endless, tight_make},         {"committer", 6, endless, committer_make},
	{"snapshots", 9, endless, snapshots_make},
};
const size_t family_count = LK_ARRAY_LEN(families);
