/*
 * snapshots.c - the bench of snapshots (E1, E2) through the library; times in nanoseconds.
 *
 *     bench_snapshots take VOLUME FILES             makes a volume of FILES files; prints "take MEDIAN MAXIMUM" for 101 snapshots of it, each
 *                                                   after changes to ten files, "take-durable" for those and a sync, and "space BEFORE AFTER",
 *                                                   the blocks of data allocated
 *     bench_snapshots cost PLAIN KEPT ROUNDS        makes two volumes alike but for 1,000 snapshots that the second has; prints
 *                                                   "OPERATION PLAIN-NS KEPT-NS" for one operation, medians of interleaved rounds
 *     bench_snapshots drop VOLUME FILES             FILES files, 30 snapshots with one file of a hundred rewritten after each; prints
 *                                                   "drop NS ROWS BYTES" for the deletion of the oldest
 */
#include <linkfs_snapshots.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EACH 1000u /* files in a directory */
#define TAKEN 101u
#define KEPT 1000u
#define COUNT 2000u /* of each operation in a round of cost */
#define ROUNDS_MAX 51u

struct tree {
	struct linkfs_volume *volume;
	unsigned files, dirs;
	uint64_t *dir; /* their numbers */
};

static uint64_t state = 1;

static uint64_t below(uint64_t limit)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % limit;
}

static void must(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "bench_snapshots: %s: %s\n", what, linkfs_strerror(error));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, unsigned count)
{
	qsort(values, count, sizeof(*values), by_size);
	return values[count / 2];
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static void write_file(const struct tree *t, unsigned i, size_t size)
{
	static uint8_t content[8192];
	struct linkfs_stat st;
	size_t done;
	char name[32];
	int len = snprintf(name, sizeof(name), "f%u", i % EACH);
	must(linkfs_node_lookup(t->volume, NULL, t->dir[i / EACH], name, (size_t)len, 0, &st), name);
	for (size_t at = 0; at < size; at += sizeof(state)) {
		(void)below(2);
		memcpy(content + at, &state, sizeof(state));
	}
	must(linkfs_node_write(t->volume, NULL, st.ino, 0, content, size, 0, &done, NULL), name);
}

static void make_file(const struct tree *t, uint64_t dir, const char *prefix, unsigned i)
{
	struct linkfs_make how = {.mode = 0100644};
	struct linkfs_stat st;
	char name[32];
	int len = snprintf(name, sizeof(name), "%s%u", prefix, i);
	must(linkfs_node_make(t->volume, NULL, dir, name, (size_t)len, &how, 0, &st), name);
}

/* size: of each file; 0 leaves them empty. */
static void make_tree(struct tree *t, const char *path, unsigned files, size_t size)
{
	struct linkfs_message why = {""};
	must(linkfs_volume_create(path, NULL, &why), path);
	must(linkfs_volume_open(path, NULL, &t->volume, &why), path);
	t->files = files;
	t->dirs = (files + EACH - 1) / EACH;
	t->dir = calloc(t->dirs, sizeof(*t->dir));
	if (!t->dir)
		must(LINKFS_ENOMEM, "the tree");
	for (unsigned i = 0; i < files; i++) {
		if (i % EACH == 0) {
			struct linkfs_make how = {.mode = 0040755};
			struct linkfs_stat st;
			char name[32];
			(void)snprintf(name, sizeof(name), "d%u", i / EACH);
			must(linkfs_path_make(t->volume, NULL, LINKFS_ROOT_INO, name, &how, &st), name);
			t->dir[i / EACH] = st.ino;
		}
		make_file(t, t->dir[i / EACH], "f", i % EACH);
		if (size)
			write_file(t, i, size);
	}
	must(linkfs_volume_sync(t->volume), "sync");
}

static void done_with(struct tree *t)
{
	must(linkfs_volume_close(t->volume), "close");
	free(t->dir);
}

static void take(const struct tree *t, unsigned number)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "s%u", number);
	must(linkfs_snapshot_create(t->volume, NULL, &(struct linkfs_snapshot_new){.name = name}, NULL), name);
}

static void change(const struct tree *t, unsigned count, size_t size)
{
	for (unsigned i = 0; i < count; i++)
		write_file(t, (unsigned)below(t->files), size);
}

/* ---- what is measured -------------------------------------------------------------------------------------------- */

static uint64_t allocated(const struct tree *t)
{
	struct linkfs_statfs st;
	must(linkfs_volume_statfs(t->volume, &st), "statfs");
	return st.blocks - st.blocks_free;
}

static void bench_take(const char *path, unsigned files)
{
	static uint64_t took[TAKEN], durable[TAKEN];
	struct tree t;
	make_tree(&t, path, files, 0);
	uint64_t before = allocated(&t);
	for (unsigned i = 0; i < TAKEN; i++) {
		change(&t, 10, 64);
		uint64_t start = now_ns();
		take(&t, i);
		took[i] = now_ns() - start;
		must(linkfs_volume_sync(t.volume), "sync");
		durable[i] = now_ns() - start;
	}
	uint64_t after = allocated(&t), middle = median(took, TAKEN);
	printf("take %llu %llu\n", (unsigned long long)middle, (unsigned long long)took[TAKEN - 1]);
	middle = median(durable, TAKEN);
	printf("take-durable %llu %llu\n", (unsigned long long)middle, (unsigned long long)durable[TAKEN - 1]);
	printf("space %llu %llu\n", (unsigned long long)before, (unsigned long long)after);
	done_with(&t);
}

enum { CREATE, LOOKUP, READ, WRITE, UNLINK, OPERATIONS };
static const char *const operations[OPERATIONS] = {"create", "lookup", "read", "write", "unlink"};

static void look_up(const struct tree *t, bool read)
{
	static uint8_t content[8192];
	unsigned i = (unsigned)below(t->files);
	struct linkfs_stat st;
	char name[32];
	size_t got;
	int len = snprintf(name, sizeof(name), "f%u", i % EACH);
	must(linkfs_node_lookup(t->volume, NULL, t->dir[i / EACH], name, (size_t)len, 0, &st), name);
	if (read)
		must(linkfs_node_read(t->volume, st.ino, 0, content, sizeof(content), &got), name);
}

static uint64_t one_round(const struct tree *t, int operation, unsigned round)
{
	char prefix[32], name[48];
	(void)snprintf(prefix, sizeof(prefix), "r%u-", round);
	uint64_t start = now_ns();
	for (unsigned i = 0; i < COUNT; i++) {
		switch (operation) {
		case CREATE:
			make_file(t, t->dir[0], prefix, i);
			break;
		case WRITE:
			write_file(t, (unsigned)below(t->files), 4096);
			break;
		case UNLINK:
			(void)snprintf(name, sizeof(name), "%s%u", prefix, i);
			must(linkfs_node_unlink(t->volume, NULL, t->dir[0], name, strlen(name)), name);
			break;
		default:
			look_up(t, operation == READ);
		}
	}
	return (now_ns() - start) / COUNT;
}

static void bench_cost(const char *plain, const char *kept, unsigned rounds)
{
	static uint64_t took[2][OPERATIONS][ROUNDS_MAX];
	struct tree side[2];
	make_tree(&side[0], plain, 20 * EACH, 4096);
	make_tree(&side[1], kept, 20 * EACH, 4096);
	for (unsigned i = 0; i < KEPT; i++) {
		change(&side[0], 10, 4096);
		change(&side[1], 10, 4096);
		take(&side[1], i);
	}
	for (unsigned round = 0; round < rounds; round++) {
		for (int o = 0; o < OPERATIONS; o++) {
			for (unsigned i = 0; i < 2; i++) {
				unsigned s = (round + i) % 2;
				must(linkfs_volume_sync(side[s].volume), "sync");
				took[s][o][round] = one_round(&side[s], o, round);
			}
		}
	}
	for (int o = 0; o < OPERATIONS; o++)
		printf("%s %llu %llu\n", operations[o], (unsigned long long)median(took[0][o], rounds),
		       (unsigned long long)median(took[1][o], rounds));
	done_with(&side[0]);
	done_with(&side[1]);
}

static void bench_drop(const char *path, unsigned files)
{
	struct linkfs_snapshot_progress done;
	struct tree t;
	make_tree(&t, path, files, 4096);
	for (unsigned i = 0; i < 30; i++) {
		take(&t, i);
		for (unsigned f = i; f < files; f += 100)
			write_file(&t, f, 4096);
	}
	must(linkfs_volume_sync(t.volume), "sync");
	(void)sleep(1); /* the keeper copies the log, as sync(2) does with the journal of what stands beside */
	uint64_t start = now_ns();
	must(linkfs_snapshot_delete(t.volume, NULL, "s0", NULL, NULL, &done), "delete");
	must(linkfs_volume_sync(t.volume), "sync");
	printf("drop %llu %llu %llu\n", (unsigned long long)(now_ns() - start), (unsigned long long)done.rows,
	       (unsigned long long)done.bytes);
	done_with(&t);
}

int main(int argc, char **argv)
{
	unsigned last = argc > 1 ? (unsigned)strtoul(argv[argc - 1], NULL, 10) : 0;
	must(linkfs_sqlite_uncounted(), "SQLite");
	if (argc == 4 && strcmp(argv[1], "take") == 0 && last)
		bench_take(argv[2], last);
	else if (argc == 5 && strcmp(argv[1], "cost") == 0 && last && last <= ROUNDS_MAX)
		bench_cost(argv[2], argv[3], last);
	else if (argc == 4 && strcmp(argv[1], "drop") == 0 && last)
		bench_drop(argv[2], last);
	else {
		fputs("usage: bench_snapshots take VOLUME FILES | cost PLAIN KEPT ROUNDS | drop VOLUME FILES\n",
		      stderr);
		return 2;
	}
	return 0;
}
