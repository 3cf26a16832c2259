/*
 * volume.h - a fresh volume for each test.
 */
#ifndef TEST_VOLUME_H
#define TEST_VOLUME_H

#include "test.h"

#include <linkfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
	char *dir;
	char path[4096];
	struct linkfs_volume *v;
};

static inline void open_volume(struct fixture *f, uint32_t flags)
{
	struct linkfs_open_options options = {.flags = flags};

	assert_int_equal(linkfs_volume_open(f->path, &options, &f->v, NULL), 0);
}

static inline int setup(void **state)
{
	struct linkfs_create_options create = {0};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dir = lk_test_mkdir();
	(void)snprintf(f->path, sizeof(f->path), "%s/v", f->dir);
	assert_int_equal(linkfs_volume_create(f->path, &create, NULL), 0);
	open_volume(f, 0);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(linkfs_volume_close(f->v), 0);
	lk_test_rmdir(f->dir);
	free(f);
	return 0;
}

static inline uint64_t make(struct fixture *f, const char *path, uint32_t mode)
{
	struct linkfs_make how = {.mode = mode};
	struct linkfs_stat st;

	assert_int_equal(linkfs_path_make(f->v, NULL, LINKFS_ROOT_INO, path, &how, &st), 0);
	return st.ino;
}

static inline struct linkfs_stat look(struct fixture *f, const char *path)
{
	struct linkfs_stat st;

	assert_int_equal(linkfs_path_stat(f->v, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, &st), 0);
	return st;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
