/*
 * test_told.c - the observer is called with no lock held: whoever is told of a change may wait for another thread's call on the
 * same file, as the mount does when the kernel holds a page that it is just writing (M6).
 */
#include "test.h"

#include <linkfs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 5

static char *top;

struct kernel {
	struct linkfs_volume *volume;
	uint64_t ino;     /* the file that the other thread writes and truncates */
	unsigned told;    /* changes of its content */
	unsigned hung;    /* of those, with the file locked meanwhile */
	pthread_t thread; /* to be joined when it hung */
};

static void *write_as_kernel(void *arg)
{
	const struct linkfs_cred cred = {.flags = LINKFS_CRED_KERNEL};
	const struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = 20000};
	struct kernel *k = arg;
	size_t done = 0;
	if (linkfs_node_write(k->volume, &cred, k->ino, 5000, "kernel", 6, 0, &done, NULL) == 0 && done == 6)
		(void)linkfs_node_setattr(k->volume, &cred, k->ino, &change, NULL);
	return NULL;
}

static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	struct kernel *k = arg;
	for (size_t i = 0; i < count; i++) {
		struct timespec until;
		pthread_t thread;
		if (events[i].kind != LINKFS_EVENT_DATA || k->hung)
			continue;
		k->told++;
		k->ino = events[i].ino;
		assert_int_equal(pthread_create(&thread, NULL, write_as_kernel, k), 0);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += WAIT_SECONDS;
		if (pthread_timedjoin_np(thread, NULL, &until)) {
			k->hung++;
			k->thread = thread;
		}
	}
}

/* After a call: that it was told of, once for each file that it changed at least, and that nobody had to wait for it. */
static void check(struct kernel *k, const char *what)
{
	if (k->hung) {
		(void)pthread_join(k->thread, NULL);
		fail_msg("%s: told with the file locked", what);
	}
	if (!k->told)
		fail_msg("%s: not told", what);
	k->told = 0;
}

static void no_lock(void **state)
{
	struct linkfs_volume *v;
	struct linkfs_stat a, b;
	struct kernel k = {0};
	char path[4096], block[20000];
	size_t done;
	uint64_t copied;
	const struct linkfs_make file = {.mode = 0100644};
	const struct linkfs_setattr smaller = {.valid = LINKFS_SET_SIZE, .size = 7000};
	(void)state;
	memset(block, 'b', sizeof(block));
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, NULL), 0);
	k.volume = v;
	linkfs_volume_observe(v, observe, &k);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "a", &file, &a), 0);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "b", &file, &b), 0);
	assert_int_equal(linkfs_node_write(v, NULL, a.ino, 0, "small", 5, 0, &done, NULL), 0);
	check(&k, "small write");
	assert_int_equal(linkfs_node_write(v, NULL, a.ino, 0, block, sizeof(block), 0, &done, NULL), 0);
	check(&k, "write");
	/* A capability that goes with the write is an event of the same file. */
	static const uint8_t capability[20] = {0, 0, 0, 2, 1};
	assert_int_equal(linkfs_node_setxattr(v, NULL, a.ino, "security.capability", capability, sizeof(capability), 0),
			 0);
	assert_int_equal(linkfs_node_write(v, NULL, a.ino, 100, block, sizeof(block), 0, &done, NULL), 0);
	check(&k, "write that drops a capability");
	assert_int_equal(linkfs_node_setattr(v, NULL, a.ino, &smaller, NULL), 0);
	check(&k, "truncation");
	assert_int_equal(linkfs_node_allocate(v, NULL, a.ino, 0, 0, 60000), 0);
	check(&k, "allocation");
	assert_int_equal(linkfs_node_allocate(v, NULL, a.ino, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, 100, 9000),
			 0);
	check(&k, "hole");
	assert_int_equal(linkfs_node_copy_range(v, NULL, a.ino, 0, b.ino, 0, 16384, &copied), 0);
	check(&k, "copy");
	linkfs_volume_observe(v, NULL, NULL);
	assert_int_equal(linkfs_volume_close(v), 0);
}

static int begin(void **state)
{
	(void)state;
	top = lk_test_mkdir();
	return top ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	lk_test_rmdir(top);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(no_lock, begin, end)};
	return cmocka_run_group_tests_name("api-told", tests, NULL, NULL);
}
