/*
 * test_threads.c - names under several threads at once: what a thread made is there for it at once and always, two threads
 * moving the same names lose none and double none, and a name replaced again and again is never seen absent (A2, F1).
 */
#include "volume.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROOT LINKFS_ROOT_INO
#define THREADS 4
#define ROUNDS 1500

/* cmocka's assertions belong to the main thread: others count what is wrong. */
struct worker {
	struct fixture *f;
	pthread_t thread;
	uint64_t seed;
	int number;
	int wrong;
	atomic_bool *stop;
};

static void expect(struct worker *w, bool right)
{
	w->wrong += !right;
}

static void start(struct worker *w, struct fixture *f, void *(*fn)(void *), atomic_bool *stop)
{
	uint64_t seed = lk_test_seed();

	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.f = f, .number = i, .seed = seed + (uint64_t)i, .stop = stop};
		assert_int_equal(pthread_create(&w[i].thread, NULL, fn, &w[i]), 0);
	}
}

static void finish(struct worker *w)
{
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(w[i].thread, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(w[i].wrong, 0);
}

/* Each has its own names in one directory; holds, releases and syncs go on beside. */
static void *own_names(void *arg)
{
	struct worker *w = arg;
	struct linkfs_volume *v = w->f->v;
	struct lk_test_random r = {w->seed};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	uint64_t inos[64] = {0};
	struct linkfs_stat st;
	char name[32], other[32];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t k = lk_test_below(&r, 64);
		size_t len = (size_t)snprintf(name, sizeof(name), "t%d-%d", w->number, (int)k), other_len;

		if (!inos[k]) {
			expect(w, linkfs_node_lookup(v, NULL, ROOT, name, len, 0, &st) == LINKFS_ENOENT);
			expect(w, linkfs_node_make(v, NULL, ROOT, name, len, &how, LINKFS_HOLD, &st) == 0);
			inos[k] = st.ino;
			linkfs_node_release(v, st.ino, 1);
		}
		expect(w, linkfs_node_lookup(v, NULL, ROOT, name, len, LINKFS_HOLD, &st) == 0 && st.ino == inos[k]);
		if (lk_test_below(&r, 2)) {
			other_len = (size_t)snprintf(other, sizeof(other), "t%d-%d-b", w->number, (int)k);
			expect(w, linkfs_node_rename(v, NULL, ROOT, name, len, ROOT, other, other_len, 0) == 0);
			expect(w, linkfs_node_lookup(v, NULL, ROOT, name, len, 0, &st) == LINKFS_ENOENT);
			expect(w, linkfs_node_lookup(v, NULL, ROOT, other, other_len, 0, &st) == 0);
			expect(w, linkfs_node_rename(v, NULL, ROOT, other, other_len, ROOT, name, len, 0) == 0);
		}
		if (lk_test_below(&r, 3) == 0) {
			expect(w, linkfs_node_unlink(v, NULL, ROOT, name, len) == 0);
			expect(w, linkfs_node_getattr(v, inos[k], &st) == 0 && st.nlink == 0);
			linkfs_node_release(v, inos[k], 1);
			expect(w, linkfs_node_getattr(v, inos[k], &st) == LINKFS_ESTALE);
			inos[k] = 0;
		} else {
			linkfs_node_release(v, inos[k], 1);
		}
		if (lk_test_below(&r, 200) == 0)
			expect(w, linkfs_volume_sync(v) == 0);
	}
	return NULL;
}

static void each_its_own(void **state)
{
	struct worker w[THREADS];

	start(w, *state, own_names, NULL);
	finish(w);
}

/* All move the same ten files between the same places. */
static void *move_names(void *arg)
{
	struct worker *w = arg;
	struct lk_test_random r = {w->seed};
	static const uint32_t flags[] = {LINKFS_RENAME_NOREPLACE, LINKFS_RENAME_EXCHANGE};
	char from[16], to[16];

	for (int i = 0; i < ROUNDS; i++) {
		int rc;

		(void)snprintf(from, sizeof(from), "%c/%d", (int)('a' + lk_test_below(&r, 3)),
			       (int)lk_test_below(&r, 12));
		(void)snprintf(to, sizeof(to), "%c/%d", (int)('a' + lk_test_below(&r, 3)), (int)lk_test_below(&r, 12));
		rc = linkfs_path_rename(w->f->v, NULL, ROOT, from, ROOT, to, flags[lk_test_below(&r, 2)]);
		expect(w, rc == 0 || rc == LINKFS_ENOENT || rc == LINKFS_EEXIST);
	}
	return NULL;
}

static void none_lost(void **state)
{
	struct fixture *f = *state;
	struct worker w[THREADS];
	char path[16];
	int found = 0;

	for (int d = 0; d < 3; d++) {
		(void)snprintf(path, sizeof(path), "%c", 'a' + d);
		make(f, path, S_IFDIR | 0755);
	}
	for (int i = 0; i < 10; i++) {
		(void)snprintf(path, sizeof(path), "a/%d", i);
		make(f, path, S_IFREG | 0644);
	}
	start(w, f, move_names, NULL);
	finish(w);
	for (int d = 0; d < 3; d++) {
		struct linkfs_dir *dir;
		const struct linkfs_entry *e;

		(void)snprintf(path, sizeof(path), "%c", 'a' + d);
		assert_int_equal(linkfs_dir_open(f->v, NULL, ROOT, path, &dir), 0);
		while (linkfs_dir_read(dir, &e) == 0 && e)
			found += e->type == S_IFREG;
		linkfs_dir_close(dir);
	}
	assert_int_equal(found, 10);
}

/* Half replace one name by rename, link and symlink; the others never find it absent (B5). */
static void *replace_or_look(void *arg)
{
	struct worker *w = arg;
	struct linkfs_volume *v = w->f->v;
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	char mine[16];

	(void)snprintf(mine, sizeof(mine), "new%d", w->number);
	for (int i = 0; i < ROUNDS && w->number % 2 == 0; i++) {
		if (i % 2) {
			expect(w, linkfs_path_replace_symlink(v, NULL, i % 4 == 1 ? "a" : "b", ROOT, "current", NULL) ==
					  0);
			continue;
		}
		expect(w, linkfs_path_make(v, NULL, ROOT, mine, &how, NULL) == 0);
		expect(w, linkfs_path_rename(v, NULL, ROOT, mine, ROOT, "current", 0) == 0);
	}
	if (w->number % 2 == 0)
		atomic_store(w->stop, true);
	while (w->number % 2 == 1 && !atomic_load(w->stop))
		expect(w, linkfs_path_stat(v, NULL, ROOT, "current", LINKFS_NOFOLLOW, &st) == 0);
	return NULL;
}

static void never_absent(void **state)
{
	struct worker w[THREADS];
	atomic_bool stop = false;

	make(*state, "current", S_IFREG | 0644);
	start(w, *state, replace_or_look, &stop);
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_its_own),
		TEST(none_lost),
		TEST(never_absent),
	};

	return cmocka_run_group_tests_name("names under threads", tests, NULL, NULL);
}
