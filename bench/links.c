/*
 * links.c - the bench of questions about links (D1-D3): bench_links make VOLUME FILES SYMLINKS, then bench_links ask VOLUME FILES SYMLINKS,
 * which prints "QUESTION MEDIAN MAXIMUM ANSWERS" a line, times in nanoseconds.
 *
 * The tree: directories of 1000 files each, f0 to f999 in all of them, so that a name says little; every hundredth file has a second name. The
 * symlinks lie in directories of 1000 and lead to random files; every twentieth leads to another symlink.
 */
#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EACH 1000u
#define ASKED 1001u

static struct linkfs_volume *volume;
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
	fprintf(stderr, "bench_links: %s: %s\n", what, linkfs_strerror(error));
	exit(1);
}

static uint64_t make_dir(const char *name)
{
	struct linkfs_make how = {.mode = 0040755};
	struct linkfs_stat st;
	must(linkfs_path_make(volume, NULL, LINKFS_ROOT_INO, name, &how, &st), name);
	return st.ino;
}

static void make_files(unsigned files)
{
	struct linkfs_make how = {.mode = 0100644};
	uint64_t dir = 0, more = make_dir("more");
	char name[64];
	for (unsigned i = 0; i < files; i++) {
		struct linkfs_stat st;
		int len;
		if (i % EACH == 0) {
			snprintf(name, sizeof(name), "d%u", i / EACH);
			dir = make_dir(name);
		}
		len = snprintf(name, sizeof(name), "f%u", i % EACH);
		must(linkfs_node_make(volume, NULL, dir, name, (size_t)len, &how, 0, &st), name);
		if (i % 100)
			continue;
		len = snprintf(name, sizeof(name), "m%u", i);
		must(linkfs_node_link(volume, NULL, st.ino, more, name, (size_t)len, 0, NULL), name);
	}
}

static void make_symlinks(unsigned files, unsigned symlinks)
{
	uint64_t dir = 0;
	char name[64], text[64];
	for (unsigned i = 0; i < symlinks; i++) {
		if (i % EACH == 0) {
			snprintf(name, sizeof(name), "l%u", i / EACH);
			dir = make_dir(name);
		}
		uint64_t to = below(files);
		if (i % 20 == 19) {
			to = below(i);
			snprintf(text, sizeof(text), "../l%u/s%u", (unsigned)to / EACH, (unsigned)to);
		} else {
			snprintf(text, sizeof(text), "../d%u/f%u", (unsigned)to / EACH, (unsigned)to % EACH);
		}
		int len = snprintf(name, sizeof(name), "s%u", i);
		must(linkfs_node_symlink(volume, NULL, dir, name, (size_t)len, text, strlen(text), 0, NULL), name);
	}
}

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t answers;

static int on_name(void *arg, const struct linkfs_name *name)
{
	(void)arg;
	(void)name;
	answers++;
	return 0;
}

static int on_referrer(void *arg, const struct linkfs_referrer *referrer)
{
	(void)arg;
	(void)referrer;
	answers++;
	return 0;
}

static int on_impact(void *arg, const struct linkfs_impact *impact)
{
	(void)arg;
	(void)impact;
	answers++;
	return 0;
}

static int names(const char *path)
{
	return linkfs_path_names(volume, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, NULL, on_name, NULL, NULL);
}

static int referrers(const char *path)
{
	return linkfs_path_referrers(volume, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, NULL, NULL, on_referrer,
				     NULL);
}

static int impact_rm(const char *path)
{
	return linkfs_path_impact_remove(volume, NULL, LINKFS_ROOT_INO, path, NULL, on_impact, NULL);
}

static int impact_mv(const char *path)
{
	return linkfs_path_impact_rename(volume, NULL, LINKFS_ROOT_INO, path, LINKFS_ROOT_INO, "elsewhere", NULL,
					 on_impact, NULL);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void ask(const char *what, int (*question)(const char *path), unsigned files, unsigned dirs)
{
	static uint64_t took[ASKED];
	char path[64];
	answers = 0;
	for (unsigned i = 0; i < ASKED; i++) {
		unsigned file = (unsigned)below(files);
		if (dirs)
			snprintf(path, sizeof(path), "d%u", file / EACH);
		else
			snprintf(path, sizeof(path), "d%u/f%u", file / EACH, file % EACH);
		uint64_t start = now_ns();
		must(question(path), path);
		took[i] = now_ns() - start;
	}
	qsort(took, ASKED, sizeof(took[0]), by_size);
	printf("%s %llu %llu %llu\n", what, (unsigned long long)took[ASKED / 2], (unsigned long long)took[ASKED - 1],
	       (unsigned long long)answers);
}

int main(int argc, char **argv)
{
	struct linkfs_message why = {""};
	if (argc != 5 || (strcmp(argv[1], "make") != 0 && strcmp(argv[1], "ask") != 0)) {
		fputs("usage: bench_links make|ask VOLUME FILES SYMLINKS\n", stderr);
		return 2;
	}
	unsigned files = (unsigned)strtoul(argv[3], NULL, 10), symlinks = (unsigned)strtoul(argv[4], NULL, 10);
	struct linkfs_open_options options = {.flags = strcmp(argv[1], "ask") == 0 ? LINKFS_OPEN_READONLY : 0};
	if (!options.flags)
		must(linkfs_volume_create(argv[2], NULL, &why), argv[2]);
	must(linkfs_volume_open(argv[2], &options, &volume, &why), argv[2]);
	if (!options.flags) {
		make_files(files);
		make_symlinks(files, symlinks);
	} else {
		ask("names", names, files, 0);
		ask("referrers", referrers, files, 0);
		ask("impact-rm", impact_rm, files, 0);
		ask("impact-mv", impact_mv, files, 0);
		ask("impact-rm-dir", impact_rm, files, 1);
		ask("impact-mv-dir", impact_mv, files, 1);
	}
	must(linkfs_volume_close(volume), "close");
	return 0;
}
