/*
 * test.c - seeds, temporary directories and the random generator of the test programs.
 */
#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t lk_test_seed(void)
{
	const char *text = getenv("LINKFS_SEED");
	uint64_t seed = text && *text ? strtoull(text, NULL, 0) : 1;
	printf("# seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

bool lk_test_long(void)
{
	const char *text = getenv("LINKFS_LONG");
	return text && strcmp(text, "1") == 0;
}

const char *const *lk_test_properties(size_t *count_out)
{
	static const char *word;
	word = getenv("LINKFS_TEST_PROPERTY");
	*count_out = word && *word;
	return &word;
}

uint64_t lk_test_next(struct lk_test_random *random)
{
	/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
	uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t lk_test_below(struct lk_test_random *random, uint64_t limit)
{
	return lk_test_next(random) % limit;
}

char *lk_test_mkdir(void)
{
	const char *base = getenv("TMPDIR");
	char *path = NULL;
	if (asprintf(&path, "%s/linkfs-test-XXXXXX", base && *base ? base : "/tmp") < 0)
		fail_msg("out of memory");
	if (!mkdtemp(path))
		fail_msg("mkdtemp %s: %s", path, strerror(errno));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)where;
	if (kind == FTW_DP || kind == FTW_D || kind == FTW_DNR)
		(void)rmdir(path);
	else
		(void)unlink(path);
	return 0;
}

void lk_test_rmdir(char *path)
{
	if (!path)
		return;
	(void)nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(path);
}

bool lk_test_has_fuse(void)
{
	const char *text = getenv("LINKFS_FUSE");
	if (!text || strcmp(text, "0") != 0)
		return true;
	const char *why = getenv("LINKFS_FUSE_WHY");
	printf("# no usable FUSE here: %s\n", why ? why : "LINKFS_FUSE=0");
	return false;
}

const char *lk_test_bin(void)
{
	const char *bin = getenv("LINKFS_BIN");
	if (!bin || !*bin)
		fail_msg("LINKFS_BIN is not set: run this through meson test or make test");
	return bin;
}
