/*
 * check.c - check --data beside reading the data once: makes a volume of many files, then measures both, alternating, and prints
 * "read BYTES NS" and "check RECORDS NS" for each round.
 *
 *     bench_check PLACE FILES ROUNDS
 *
 * Files are like those of a source tree: four of five below 2 KiB or a few blocks, some of 64 KiB, hard links and symlinks among them.
 */
#include <fcntl.h>
#include <linkfs_check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint8_t content[65536];

static uint64_t now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int fail(const char *what, int r, const char *why)
{
	(void)fprintf(stderr, "bench_check: %s: %s %s\n", what, linkfs_strerror(r), why);
	return 1;
}

static size_t size_of(unsigned long i)
{
	static const size_t sizes[] = {300, 1500, 4096, 10000, 20000, 900, 3000, 65536, 120, 8192};
	return sizes[i % 10];
}

static int make_file(struct linkfs_volume *v, uint64_t dir, unsigned long i)
{
	char name[64];
	struct linkfs_make how = {.mode = 0100644};
	struct linkfs_stat st;
	size_t done, size = size_of(i);
	memcpy(content, &i, sizeof(i));
	int len = snprintf(name, sizeof(name), "file-%lu.c", i);
	int r = linkfs_node_make(v, NULL, dir, name, (size_t)len, &how, 0, &st);
	if (r == 0)
		r = linkfs_node_write(v, NULL, st.ino, 0, content, size, 0, &done, NULL);
	if (r == 0 && i % 20 == 0) {
		len = snprintf(name, sizeof(name), "link-%lu", i);
		r = linkfs_node_link(v, NULL, st.ino, dir, name, (size_t)len, 0, &st);
	}
	if (r == 0 && i % 25 == 0) {
		len = snprintf(name, sizeof(name), "symlink-%lu", i);
		r = linkfs_node_symlink(v, NULL, dir, name, (size_t)len, "../include/file.h", 17, 0, &st);
	}
	return r;
}

static int make_volume(const char *path, unsigned long files)
{
	struct linkfs_message why = {""};
	struct linkfs_volume *v;
	struct linkfs_stat st = {.ino = LINKFS_ROOT_INO};
	int r = linkfs_volume_create(path, NULL, &why);
	if (r == 0)
		r = linkfs_volume_open(path, NULL, &v, &why);
	if (r)
		return fail(path, r, why.text);
	for (unsigned long i = 0; r == 0 && i < files; i++) {
		if (i % 50 == 0) {
			char name[64];
			struct linkfs_make how = {.mode = 0040755};
			int len = snprintf(name, sizeof(name), "dir-%lu", i);
			r = linkfs_node_make(v, NULL, LINKFS_ROOT_INO, name, (size_t)len, &how, 0, &st);
		}
		if (r == 0)
			r = make_file(v, st.ino, i);
	}
	int closed = linkfs_volume_close(v);
	return r || closed ? fail(path, r ? r : closed, "") : 0;
}

/* All data pieces, from end to end. */
static int read_pieces(const char *path)
{
	static uint8_t buf[1 << 20];
	uint64_t bytes = 0, start = now_ns();
	for (unsigned piece = 0;; piece++) {
		char name[4200];
		ssize_t n;
		(void)snprintf(name, sizeof(name), "%s/data.%06u", path, piece);
		int fd = open(name, O_RDONLY);
		if (fd < 0)
			break;
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			bytes += (uint64_t)n;
		(void)close(fd);
	}
	(void)printf("read %llu %llu\n", (unsigned long long)bytes, (unsigned long long)(now_ns() - start));
	return 0;
}

static int check(const char *path)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum;
	struct linkfs_message why = {""};
	uint64_t start = now_ns();
	int r = linkfs_check(path, &options, &sum, &why);
	uint64_t ns = now_ns() - start;
	if (r || sum.problems)
		return fail("check", r, r ? why.text : "found problems");
	(void)printf("check %llu %llu\n", (unsigned long long)sum.records, (unsigned long long)ns);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	unsigned long files = strtoul(argv[2], NULL, 10), rounds = strtoul(argv[3], NULL, 10);
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 7 + i / 251);
	int bad = make_volume(argv[1], files);
	for (unsigned long i = 0; !bad && i < rounds; i++) {
		bad = read_pieces(argv[1]);
		if (!bad)
			bad = check(argv[1]);
	}
	return bad;
}
