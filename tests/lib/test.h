/*
 * test.h - what test programs share: cmocka in the right order, the seed, temporary directories, a random generator.
 * docs/TESTING.md tells how a test is registered and run.
 */
#ifndef LK_TEST_H
#define LK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after those four: */
#include <cmocka.h>

/* The seed of this run: LINKFS_SEED, or 1. Printed once ("# seed N"), so that a failure can be replayed. */
uint64_t lk_test_seed(void);

/* Whether this is the long tier (LINKFS_LONG is 1; the fast tier sets it to 0): a test may do more of the same. */
bool lk_test_long(void);

/* LINKFS_TEST_PROPERTY, KEY=VALUE: what volumes that a test makes have set besides; as linkfs_create_options takes it. */
const char *const *lk_test_properties(size_t *count_out);

/* A generator that gives the same numbers for the same seed everywhere (splitmix64). */
struct lk_test_random {
	uint64_t state;
};
uint64_t lk_test_next(struct lk_test_random *random);
/* 0 to limit - 1; limit is not 0. */
uint64_t lk_test_below(struct lk_test_random *random, uint64_t limit);

/* Makes a new empty directory below TMPDIR (or /tmp); the path is freed by lk_test_rmdir(), which removes all of it
 * without leaving its file system. Fails the test when it cannot. */
char *lk_test_mkdir(void);
void lk_test_rmdir(char *path);

/* Whether a mount test may run here: false with the reason printed when LINKFS_FUSE=0 says that this machine has no
 * usable FUSE. Then call cmocka's skip(). */
bool lk_test_has_fuse(void);
/* The linkfs program under test (LINKFS_BIN); fails the test when it is not set. */
const char *lk_test_bin(void);

#endif
