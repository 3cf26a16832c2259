/*
 * story.c - what programs do to be safe, and what is hard on a file system: replacing by rename, temporary files that get
 * a name, files that live on without one, blocks used again at once, checkpoints and snapshots between.
 */
#include "power.h"

#include <stdlib.h>
#include <string.h>

#define B 4096u

struct teller {
	struct script *s;
	struct lk_test_random random;
};

static void say(struct teller *t, struct op op)
{
	script_add(t->s, &op);
}

static uint64_t some(struct teller *t, uint64_t n)
{
	return lk_test_below(&t->random, n);
}

/* Write the new one, sync it, rename it over the old, sync the directory: five times. */
static void replace_by_rename(struct teller *t)
{
	for (unsigned i = 0; i < 5; i++) {
		say(t, (struct op){OP_CREATE, .a = "d/.in.new"});
		say(t, (struct op){OP_WRITE, .a = "d/.in.new", .n = 1 + some(t, 20000)});
		say(t, (struct op){OP_FSYNC, .a = "d/.in.new", .x = some(t, 2)});
		say(t, (struct op){OP_RENAME, .a = "d/.in.new", .b = "d/in"});
		if (some(t, 2))
			say(t, (struct op){OP_FSYNC, .a = "d"});
		else
			say(t, (struct op){.kind = OP_CHECKPOINT});
	}
}

/* The same without a sync of the file: what it holds must be whole all the same. */
static void replace_carelessly(struct teller *t)
{
	for (unsigned i = 0; i < 6; i++) {
		say(t, (struct op){OP_CREATE, .a = "tmp"});
		say(t, (struct op){OP_APPEND, .a = "tmp", .n = 1 + some(t, 30000)});
		say(t, (struct op){OP_APPEND, .a = "tmp", .n = 1 + some(t, 30000)});
		say(t, (struct op){i % 2 ? OP_EXCHANGE : OP_RENAME, .a = "tmp", .b = "ext"});
		if (i % 2)
			say(t, (struct op){OP_UNLINK, .a = "tmp"});
		if (some(t, 3) == 0)
			say(t, (struct op){.kind = OP_SYNC});
	}
	say(t, (struct op){OP_FSYNC, .a = "ext"});
}

static void temporary_files(struct teller *t)
{
	for (unsigned i = 0; i < 4; i++) {
		char name[32];
		struct op link = {OP_HLINK, .b = name, .slot = i};
		(void)snprintf(name, sizeof(name), "d/tmp%u", i);
		say(t, (struct op){OP_TMPFILE, .a = i % 2 ? "d" : "", .slot = i});
		say(t, (struct op){OP_HWRITE, .slot = i, .n = 1 + some(t, 40000)});
		if (some(t, 2))
			say(t, (struct op){OP_HSYNC, .slot = i});
		if (i != 2)
			say(t, link);
		say(t, (struct op){OP_FSYNC, .a = "d"});
		say(t, (struct op){OP_HWRITE, .slot = i, .x = some(t, 9000), .n = 100});
	}
	for (unsigned i = 0; i < 4; i++)
		say(t, (struct op){OP_HCLOSE, .slot = i});
	say(t, (struct op){.kind = OP_SYNC});
}

static void unlinked_while_open(struct teller *t)
{
	static const char *const paths[] = {"ext", "inline", "copy", "d/in"};
	for (unsigned i = 0; i < 4; i++) {
		say(t, (struct op){OP_OPEN, .a = paths[i], .slot = i});
		say(t, (struct op){OP_HWRITE, .slot = i, .x = some(t, 3000), .n = 6000});
		say(t, (struct op){OP_UNLINK, .a = paths[i]});
		say(t, (struct op){OP_FSYNC, .a = ""});
		say(t, (struct op){OP_HWRITE, .slot = i, .x = some(t, 30000), .n = 1 + some(t, 30000)});
		say(t, (struct op){OP_HTRUNCATE, .slot = i, .x = some(t, 40000)});
		say(t, (struct op){OP_HSYNC, .slot = i});
		if (i % 2)
			say(t, (struct op){.kind = OP_CHECKPOINT});
	}
	for (unsigned i = 0; i < 4; i++) {
		say(t, (struct op){OP_HCLOSE, .slot = i});
		say(t, (struct op){.kind = OP_SYNC});
	}
}

static void down_and_up(struct teller *t)
{
	for (unsigned i = 0; i < 6; i++) {
		const char *path = i % 3 ? "src" : "sparse";
		struct op down = {OP_TRUNCATE, .a = path, .x = some(t, 4 * B)};
		struct op up = {OP_TRUNCATE, .a = path, .x = 100000 + some(t, 100000)};
		struct op write = {OP_WRITE, .a = path, .x = some(t, 90000), .n = 1 + some(t, 9000)};
		struct op sync = {OP_FSYNC, .a = path, .x = i % 2};
		say(t, down);
		if (some(t, 2))
			say(t, sync);
		say(t, up);
		if (some(t, 2))
			say(t, sync);
		say(t, write);
		say(t, sync);
	}
}

static void ranges(struct teller *t)
{
	static const uint64_t modes[] = {3, 16, 32, 8, 17, 3, 0, 32};
	for (unsigned i = 0; i < 8; i++) {
		say(t, (struct op){OP_WRITE, .a = "src", .x = some(t, 30000), .n = 1 + some(t, 20000)});
		say(t, (struct op){OP_ALLOCATE, .a = "src", .y = modes[i], .x = some(t, 3) * B,
				   .n = (1 + some(t, 2)) * B});
		say(t, (struct op){OP_FSYNC, .a = "src", .x = i % 2});
		if (i == 3)
			say(t, (struct op){.kind = OP_CHECKPOINT});
	}
}

static void many_names(struct teller *t)
{
	char names[12][32];
	for (unsigned i = 0; i < 12; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%sname%u", i % 3 ? "d/" : "d/e/", i);
		say(t, (struct op){OP_LINK, .a = "hard", .b = names[i]});
	}
	say(t, (struct op){OP_WRITE, .a = "d/name1", .x = 100, .n = 9000});
	say(t, (struct op){OP_FSYNC, .a = "d/e/name3"});
	for (unsigned i = 0; i < 12; i += 2) {
		say(t, (struct op){OP_UNLINK, .a = names[i]});
	}
	say(t, (struct op){OP_APPEND, .a = "d/name7", .n = 500});
	say(t, (struct op){OP_FSYNC, .a = "d/hard", .x = 1});
}

static void sizes_and_fdatasync(struct teller *t)
{
	for (unsigned i = 0; i < 8; i++) {
		say(t, (struct op){OP_APPEND, .a = i % 2 ? "ext" : "empty", .n = 1 + some(t, 6000)});
		say(t, (struct op){OP_FSYNC, .a = i % 2 ? "ext" : "empty", .x = 1});
	}
	say(t, (struct op){OP_TRUNCATE, .a = "ext", .x = 100});
	say(t, (struct op){OP_FSYNC, .a = "ext", .x = 1});
}

/* The source of a shared copy is written over, and goes: the copy stays. */
static void shared_copies(struct teller *t)
{
	say(t, (struct op){OP_CREATE, .a = "third"});
	say(t, (struct op){OP_COPY, .a = "src", .b = "third", .x = B, .y = 2 * B, .n = 5 * B});
	say(t, (struct op){OP_FSYNC, .a = "third"});
	for (unsigned i = 0; i < 5; i++) {
		say(t, (struct op){OP_WRITE, .a = "src", .x = some(t, 7) * B, .n = 1 + some(t, 2 * B)});
		if (i % 2)
			say(t, (struct op){.kind = OP_SYNC});
	}
	say(t, (struct op){OP_UNLINK, .a = "src"});
	say(t, (struct op){.kind = OP_SYNC});
	say(t, (struct op){OP_WRITE, .a = "copy", .n = 3 * B});
	say(t, (struct op){OP_CREATE, .a = "fresh"});
	say(t, (struct op){OP_WRITE, .a = "fresh", .n = 10 * B});
	say(t, (struct op){OP_FSYNC, .a = "fresh"});
	say(t, (struct op){OP_UNLINK, .a = "third"});
	say(t, (struct op){.kind = OP_SYNC});
}

/* On the small volume, where a block freed is a block written soon (K4). */
static void blocks_again(struct teller *t)
{
	t->s->tight = true;
	for (unsigned i = 0; i < 10; i++) {
		char name[32], before[32];
		(void)snprintf(name, sizeof(name), "again%u", i);
		(void)snprintf(before, sizeof(before), i ? "again%u" : "src", i - 1);
		say(t, (struct op){OP_CREATE, .a = name});
		say(t, (struct op){OP_WRITE, .a = name, .n = (3 + some(t, 5)) * B});
		say(t, (struct op){OP_UNLINK, .a = before});
		if (some(t, 3) == 0)
			say(t, (struct op){.kind = OP_SYNC});
		say(t, (struct op){OP_WRITE, .a = "ext", .x = some(t, 4) * B, .n = B + some(t, B)});
		if (some(t, 2))
			say(t, (struct op){OP_FSYNC, .a = "ext"});
	}
	say(t, (struct op){.kind = OP_SYNC});
}

static void checkpoints_between(struct teller *t)
{
	for (unsigned i = 0; i < 6; i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "d/e/file-with-a-name-of-some-length-%u", i);
		say(t, (struct op){OP_CREATE, .a = name});
		say(t, (struct op){OP_WRITE, .a = "ext", .x = some(t, 9000), .n = 3000});
		say(t, (struct op){.kind = OP_SYNC});
		say(t, (struct op){OP_SETXATTR, .a = "d/in", .b = "user.n", .n = some(t, 6000)});
		say(t, (struct op){.kind = OP_CHECKPOINT});
		say(t, (struct op){OP_UNLINK, .a = "inline"});
		say(t, (struct op){OP_CREATE, .a = "inline"});
		say(t, (struct op){OP_FSYNC, .a = "inline"});
		say(t, (struct op){.kind = OP_CHECKPOINT});
	}
}

static void snapshots(struct teller *t)
{
	static const char *const names[] = {"first", "second", "third", "fourth"};
	for (unsigned i = 0; i < 4; i++) {
		say(t, (struct op){OP_SNAPSHOT, .a = names[i]});
		say(t, (struct op){OP_WRITE, .a = "src", .x = some(t, 7) * B, .n = 2 * B});
		say(t, (struct op){OP_WRITE, .a = "inline", .n = 40});
		if (i % 2)
			say(t, (struct op){.kind = OP_SYNC});
		say(t, (struct op){OP_RENAME, .a = i % 2 ? "moved" : "ext", .b = i % 2 ? "ext" : "moved"});
		say(t, (struct op){OP_TRUNCATE, .a = "copy", .x = some(t, 8 * B)});
		say(t, (struct op){OP_FSYNC, .a = ""});
	}
	say(t, (struct op){OP_RENAME_SNAPSHOT, .a = "second", .b = "other"});
	for (unsigned i = 0, at = (unsigned)some(t, 4); i < 4; i++, at++) {
		const char *name = names[at % 4];
		say(t, (struct op){OP_DROP, .a = at % 4 == 1 ? "other" : name, .x = some(t, 3)});
		if (some(t, 2))
			say(t, (struct op){.kind = some(t, 2) ? OP_SYNC : OP_REOPEN});
	}
	say(t, (struct op){.kind = OP_SYNC});
}

/* One commit of many pages: it reaches the WAL in several writes. */
static void a_large_batch(struct teller *t)
{
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 150; i++) {
			char name[256];
			int width = 60 + (int)some(t, 100);
			(void)snprintf(name, sizeof(name), "vacant/%0200u-%u", i, round);
			memmove(name + 7, name + 7 + 200 - width, strlen(name + 7 + 200 - width) + 1);
			say(t, (struct op){OP_CREATE, .a = name});
		}
		say(t, (struct op){OP_FSYNC, .a = "vacant"});
	}
	say(t, (struct op){OP_CHMOD, .a = "vacant", .x = 0700});
	say(t, (struct op){.kind = OP_SYNC});
}

static void opened_and_closed(struct teller *t)
{
	for (unsigned i = 0; i < 3; i++) {
		say(t, (struct op){OP_WRITE, .a = "ext", .x = some(t, 9000), .n = 6000});
		say(t, (struct op){OP_LINK, .a = "ext", .b = i % 2 ? "d/x" : "x"});
		say(t, (struct op){.kind = OP_REOPEN});
		say(t, (struct op){OP_UNLINK, .a = i % 2 ? "d/x" : "x"});
	}
	say(t, (struct op){.kind = OP_REOPEN});
}

/* Long work in steps: files of many rows, cut down, punched and removed. */
static void many_rows(struct teller *t)
{
	say(t, (struct op){OP_CREATE, .a = "rows"});
	for (unsigned i = 0; i < 60; i++)
		say(t, (struct op){OP_WRITE, .a = "rows", .x = 2 * i * B, .n = 100});
	say(t, (struct op){.kind = OP_SYNC});
	say(t, (struct op){OP_ALLOCATE, .a = "rows", .y = 3, .x = 5000, .n = 60 * B});
	say(t, (struct op){OP_FSYNC, .a = "rows"});
	say(t, (struct op){OP_TRUNCATE, .a = "rows", .x = 70 * B});
	say(t, (struct op){OP_FSYNC, .a = "rows"});
	say(t, (struct op){OP_UNLINK, .a = "rows"});
	say(t, (struct op){OP_FSYNC, .a = ""});
}

/* The first bytes of a new volume make its first data piece, whose name must be as durable as they are. */
static void the_first_file(struct teller *t)
{
	t->s->bare = true;
	say(t, (struct op){OP_MKDIR, .a = "d"});
	say(t, (struct op){OP_CREATE, .a = "d/first"});
	say(t, (struct op){OP_WRITE, .a = "d/first", .n = 3000 + some(t, 20000)});
	say(t, (struct op){OP_FSYNC, .a = "d/first", .x = some(t, 2)});
	say(t, (struct op){OP_APPEND, .a = "d/first", .n = 5000});
	say(t, (struct op){OP_RENAME, .a = "d/first", .b = "first"});
	say(t, (struct op){.kind = OP_SYNC});
}

/* Tracked links: the target, directories above it and above the link, and the links move; the target goes, with a text stored that is
 * an older one. */
static void tracked_links(struct teller *t)
{
	say(t, (struct op){OP_MKDIR, .a = "t"});
	say(t, (struct op){OP_MKDIR, .a = "t/deep"});
	say(t, (struct op){OP_CREATE, .a = "t/deep/file"});
	say(t, (struct op){OP_TRACK, .a = "l1", .b = "t/deep/file"});
	say(t, (struct op){OP_TRACK, .a = "d/l2", .b = "t/deep/file"});
	say(t, (struct op){OP_TRACK, .a = "t/l3", .b = "t"});
	say(t, (struct op){OP_FSYNC, .a = some(t, 2) ? "l1" : ""});
	say(t, (struct op){OP_RENAME, .a = "t/deep/file", .b = "t/other-name"});
	if (some(t, 2))
		say(t, (struct op){.kind = OP_CHECKPOINT});
	say(t, (struct op){OP_RENAME, .a = "t", .b = "d/t2"});
	say(t, (struct op){OP_RENAME, .a = "l1", .b = "d/t2/deep/l1"});
	if (some(t, 2))
		say(t, (struct op){OP_SNAPSHOT, .a = "s"});
	say(t, (struct op){OP_EXCHANGE, .a = "d/t2/other-name", .b = "d/l2"});
	say(t, (struct op){.kind = some(t, 2) ? OP_SYNC : OP_CHECKPOINT});
	say(t, (struct op){OP_CREATE, .a = "new"});
	if (some(t, 2))
		say(t, (struct op){OP_RENAME, .a = "new", .b = "d/l2"});
	else
		say(t, (struct op){OP_UNLINK, .a = "d/l2"});
	say(t, (struct op){OP_RENAME, .a = "d/t2/deep/l1", .b = "l1"});
	say(t, (struct op){OP_FSYNC, .a = ""});
	say(t, (struct op){OP_UNLINK, .a = "l1"});
	say(t, (struct op){.kind = OP_REOPEN});
}

static void (*const stories[])(struct teller *) = {
	replace_by_rename, replace_carelessly,  temporary_files, unlinked_while_open, down_and_up,         ranges,
	many_names,        sizes_and_fdatasync, shared_copies,   blocks_again,        checkpoints_between, snapshots,
	a_large_batch,     opened_and_closed,   many_rows,       the_first_file,      tracked_links,
};

bool story_make(struct script *s, uint64_t number, uint64_t seed)
{
	struct teller t = {s, {seed * UINT64_C(7919) + number}};
	stories[number % LK_ARRAY_LEN(stories)](&t);
	return true;
}
