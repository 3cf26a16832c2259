/*
 * meta.c - times metadata operations: meta sys|lib PLACE COUNT ENTRIES [OPERATION...]
 * Prints one line per operation: name, number of operations, nanoseconds for all of them. ENTRIES is the size of
 * the directory that is listed (0: no listing). With OPERATIONs only their lines are printed; all are run that others need.
 */
#include "meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_ROUNDS 20u /* over the same names: what the kernel answers by itself takes no time to speak of */
#define READ_FILES 100  /* files that open+read goes over */
#define READ_SIZE 4096

static const struct backend *be;
static char **only;
static unsigned count;

int meta_fail(const char *what, const char *name, const char *why)
{
	fprintf(stderr, "%s %s: %s\n", what, name, why);
	return 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void report(const char *operation, uint64_t n, uint64_t from)
{
	uint64_t ns = now_ns() - from;
	int shown = !*only;
	for (char **o = only; *o; o++)
		shown |= strcmp(*o, operation) == 0;
	if (shown)
		printf("%s %llu %llu\n", operation, (unsigned long long)n, (unsigned long long)ns);
	fflush(stdout);
}

static void named(char out[32], char kind, unsigned i)
{
	(void)snprintf(out, 32, "%c%07u", kind, i);
}

/* The operations of one name, or of two. */
static int each(const char *operation, char kind, int (*call)(const char *name))
{
	char a[32];
	uint64_t from = now_ns();
	for (unsigned i = 0; i < count; i++) {
		named(a, kind, i);
		if (call(a))
			return 1;
	}
	report(operation, count, from);
	return 0;
}

static int each_warm(const char *operation, char kind, int (*call)(const char *name))
{
	char a[32];
	uint64_t from = now_ns();
	for (unsigned i = 0; i < count * WARM_ROUNDS; i++) {
		named(a, kind, i % count);
		if (call(a))
			return 1;
	}
	report(operation, (uint64_t)count * WARM_ROUNDS, from);
	return 0;
}

static int each2(const char *operation, char kind, char other, int (*call)(const char *from, const char *to))
{
	char a[32], b[32];
	uint64_t from = now_ns();
	for (unsigned i = 0; i < count; i++) {
		named(a, kind, i);
		named(b, other, i);
		if (call(a, b))
			return 1;
	}
	report(operation, count, from);
	return 0;
}

static int reads(void)
{
	static char data[READ_SIZE];
	char a[32];
	memset(data, 'x', sizeof(data));
	for (unsigned i = 0; i < READ_FILES; i++) {
		named(a, 'd', i);
		if (be->write(a, data, sizeof(data)) || be->read(a, data, sizeof(data)))
			return 1;
	}
	uint64_t from = now_ns();
	for (unsigned i = 0; i < count; i++) {
		named(a, 'd', i % READ_FILES);
		if (be->read(a, data, sizeof(data)))
			return 1;
	}
	report("open+read", count, from);
	for (unsigned i = 0; i < READ_FILES; i++) {
		named(a, 'd', i);
		if (be->unlink(a))
			return 1;
	}
	return 0;
}

static int list(const char *operation, int with_stat, unsigned entries)
{
	uint64_t seen = 0, from = now_ns();
	if (be->list(with_stat, &seen))
		return 1;
	if (seen != entries)
		return meta_fail(operation, be->name, "wrong number of entries");
	report(operation, entries, from);
	return 0;
}

static int lists(unsigned entries)
{
	char a[32];
	for (unsigned i = 0; i < entries; i++) {
		named(a, 'e', i);
		if (be->create(a))
			return 1;
	}
	int failed = be->cold() || list("readdir-cold", 0, entries) || list("readdir-warm", 0, entries) || be->cold() ||
		     list("ls-l-cold", 1, entries) || list("ls-l-warm", 1, entries);
	for (unsigned i = 0; !failed && i < entries; i++) {
		named(a, 'e', i);
		failed = be->unlink(a);
	}
	return failed;
}

static int names(void)
{
	return each("create", 'f', be->create) || each2("link", 'f', 'l', be->link) ||
	       each2("symlink", 'f', 's', be->symlink) || each("mkdir", 'm', be->mkdir) || be->cold() ||
	       each("lookup-cold", 'f', be->stat) || each_warm("stat-warm", 'f', be->stat) ||
	       each("readlink", 's', be->readlink) || each2("rename", 'f', 'r', be->rename) ||
	       each("unlink", 'r', be->unlink) || each("unlink-link", 'l', be->unlink) ||
	       each("unlink-symlink", 's', be->unlink) || each("rmdir", 'm', be->rmdir);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: %s sys|lib PLACE COUNT ENTRIES [OPERATION...]\n", argv[0]);
		return 2;
	}
	be = strcmp(argv[1], "lib") == 0 ? &meta_lib : &meta_sys;
	count = (unsigned)strtoul(argv[3], NULL, 10);
	unsigned entries = (unsigned)strtoul(argv[4], NULL, 10);
	only = argv + 5;
	if (be->begin(argv[2]))
		return 1;
	int failed = (count && (names() || reads())) || (entries && lists(entries));
	return be->end() || failed;
}
