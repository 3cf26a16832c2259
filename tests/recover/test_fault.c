/*
 * test_fault.c - a recovery whose n-th allocation, write of data or call of the new volume's database fails, or that the caller ends: it
 * says so, leaves no new volume and leaks nothing (the sanitizer judges that); when n is past the last one it is whole. Wrapped by the linker, so only the library's own calls count.
 */
#include "damage.h"
#include "db_wrap.h"

#include <data.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long left = -1; /* calls until the one that fails; negative: none does */
static atomic_bool struck, in_data;

static bool strikes(bool data)
{
	if (data != atomic_load(&in_data) || atomic_load(&left) < 0)
		return false;
	if (atomic_fetch_sub(&left, 1) != 0)
		return false;
	atomic_store(&struck, true);
	return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_lk_data_write(struct lk_data *d, uint64_t block, uint32_t count, const void *buf);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __wrap_lk_data_write(struct lk_data *d, uint64_t block, uint32_t count, const void *buf);

void *__wrap_malloc(size_t size)
{
	return strikes(false) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return strikes(false) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return strikes(false) ? NULL : __real_realloc(p, size);
}

int __wrap_lk_data_write(struct lk_data *d, uint64_t block, uint32_t count, const void *buf)
{
	return strikes(true) ? LINKFS_EIO : __real_lk_data_write(d, block, count, buf);
}

struct world {
	char *dir, *path, *to;
};

static int quiet(const struct world *w, bool list, struct linkfs_recover_result *out)
{
	struct linkfs_recover_options options = {.flags = list ? LINKFS_RECOVER_LIST : 0};
	return linkfs_recover(w->path, list ? NULL : w->to, &options, out, NULL);
}

/* Fails the calls from first on, by steps, until none is left to fail. Returns how many points were tried. */
static unsigned each_point(const struct world *w, bool list, bool data, long first, long step)
{
	unsigned points = 0;
	struct stat st;
	for (long n = first;; n += step, points++) {
		struct linkfs_recover_result result = {0};
		atomic_store(&struck, false);
		atomic_store(&in_data, data);
		atomic_store(&left, n);
		int r = quiet(w, list, &result);
		atomic_store(&left, -1);
		bool hit = atomic_load(&struck);
		bool there = stat(w->to, &st) == 0;
		if (r && (!hit || there))
			fail_msg("point %ld: %s, struck %d, new volume %d", n, linkfs_error_name(r), hit, there);
		if (r && r != LINKFS_ENOMEM && r != LINKFS_EIO && r != LINKFS_EPOISONED && r != LINKFS_ECORRUPT)
			fail_msg("point %ld: %s", n, linkfs_error_name(r));
		if (r == 0 && !list) {
			assert_true(there);
			lk_test_rmdir(strdup(w->to));
		}
		if (!hit) {
			assert_int_equal(r, 0);
			return points;
		}
	}
}

static void make(struct world *w, bool damage)
{
	*w = (struct world){.dir = lk_test_mkdir()};
	w->path = volume_make(w->dir, "v", 20, 1);
	if (asprintf(&w->to, "%s/new", w->dir) < 0)
		fail_msg("out of memory");
	if (!damage)
		return;
	uint32_t count;
	struct page_info *pages = map_pages(w->path, &count);
	struct lk_test_random random = {1};
	struct file_image db, none = {0};
	image_read(w->path, "meta.db", &db);
	for (uint32_t page = 1; page <= count; page++) {
		if (page == 1 || pages[page].type == 2 || pages[page].type == 5 || lk_test_below(&random, 12) == 0)
			db.p[(size_t)(page - 1) * PAGE + lk_test_below(&random, 4080)] ^=
				6; /* more than can be mended */
	}
	image_write(w->path, "meta.db", &db);
	image_write(w->path, "meta.db-wal", &none);
	image_done(&db);
	free(pages);
}

static void done(struct world *w)
{
	free(w->path);
	free(w->to);
	lk_test_rmdir(w->dir);
}

static void memory(void **state)
{
	(void)state;
	struct world w;
	make(&w, true);
	unsigned list = each_point(&w, true, false, 0, 1),
		 build = each_point(&w, false, false, 3, lk_test_long() ? 1 : 23);
	printf("# allocations that failed: %u while reading, %u while making\n", list, build);
	assert_true(list > 50 && build > 10);
	done(&w);
}

static void data(void **state)
{
	(void)state;
	struct world w;
	make(&w, false);
	unsigned points = each_point(&w, false, true, 0, 1);
	printf("# writes of data that failed: %u\n", points);
	assert_true(points > 10);
	done(&w);
}

/* Calls of the database of the new volume. */
static void calls(void **state)
{
	static const int codes[] = {LINKFS_EIO, LINKFS_ENOSPC, LINKFS_ENOMEM};
	static _Atomic uint64_t made, failed;
	struct lk_fault_plan plan = {.which = LK_FAULT_ALL, .calls = &made, .counter = &failed};
	struct lk_test_random random = {lk_test_seed()};
	struct linkfs_recover_result result;
	struct world w;
	struct stat st;
	unsigned points = 0;
	(void)state;
	make(&w, true);
	lk_db_wrap_plan(&plan);
	assert_int_equal(quiet(&w, false, &result), 0);
	lk_test_rmdir(strdup(w.to));
	uint64_t total = made, step = LK_MAX(total / (lk_test_long() ? 2000 : 60), (uint64_t)1);
	for (uint64_t n = 1 + lk_test_below(&random, step); n <= total; n += step, points++) {
		plan.n = n;
		plan.code = codes[lk_test_below(&random, LK_ARRAY_LEN(codes))];
		plan.all_later = lk_test_below(&random, 2);
		failed = 0;
		int r = quiet(&w, false, &result);
		bool there = stat(w.to, &st) == 0;
		if (r ? there : !there)
			fail_msg("call %llu: %s, new volume %d", (unsigned long long)n, linkfs_error_name(r), there);
		/* What failed was tried again, or only saves work: then it is whole. */
		if (r == 0) {
			struct tree tree;
			lk_db_wrap_plan(NULL);
			tree_of(w.to, &tree);
			assert_true(tree.len > 10);
			tree_done(&tree);
			lk_test_rmdir(strdup(w.to));
			lk_db_wrap_plan(&plan);
		}
	}
	lk_db_wrap_plan(NULL);
	printf("# calls of the database that failed: %u\n", points);
	assert_true(points >= 40);
	done(&w);
}

struct ender {
	unsigned at, calls, phases;
};

static int on_progress(void *arg, enum linkfs_recover_phase phase, uint64_t now, uint64_t total)
{
	struct ender *e = arg;
	if (now > total)
		fail_msg("phase %u: %llu of %llu", phase, (unsigned long long)now, (unsigned long long)total);
	e->phases |= 1u << phase;
	return ++e->calls == e->at;
}

static void ended_by_the_caller(void **state)
{
	struct world w;
	struct stat st;
	(void)state;
	make(&w, true);
	for (unsigned at = 1;; at++) {
		struct ender e = {.at = at};
		struct linkfs_recover_options options = {.progress = on_progress, .arg = &e};
		struct linkfs_recover_result result;
		int r = linkfs_recover(w.path, w.to, &options, &result, NULL);
		if (r == 0) {
			assert_true(e.calls < at && at > 2 && e.phases & 1u << LINKFS_RECOVER_FILES);
			break;
		}
		assert_int_equal(r, LINKFS_EINTR);
		assert_int_equal(e.calls, at);
		assert_int_not_equal(stat(w.to, &st), 0);
	}
	done(&w);
}

/* Of a database of some thousand pages the reading is told too. */
static void ended_while_pages_are_read(void **state)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_volume *v;
	struct linkfs_stat st;
	struct world w;
	char name[200];
	unsigned ends = 0;
	(void)state;
	make(&w, false);
	assert_int_equal(linkfs_volume_open(w.path, NULL, &v, NULL), 0);
	for (unsigned i = 0; i < 12000; i++) {
		(void)snprintf(name, sizeof(name), "a-file-with-a-name-that-fills-the-pages-of-the-database-%080u", i);
		assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, name, &how, &st), 0);
	}
	assert_int_equal(linkfs_volume_close(v), 0);
	for (unsigned at = 1;; at++, ends++) {
		struct ender e = {.at = at};
		struct linkfs_recover_options options = {
			.flags = LINKFS_RECOVER_LIST, .progress = on_progress, .arg = &e};
		struct linkfs_recover_result result;
		int r = linkfs_recover(w.path, NULL, &options, &result, NULL);
		if (r == 0 || e.phases & 1u << LINKFS_RECOVER_FILES)
			break;
		assert_int_equal(r, LINKFS_EINTR);
		assert_int_equal(e.calls, at);
		assert_int_equal(e.phases, 1u << LINKFS_RECOVER_PAGES);
	}
	printf("# ended %u times while pages are read\n", ends);
	assert_true(ends > 0);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(memory), cmocka_unit_test(data), cmocka_unit_test(calls),
					   cmocka_unit_test(ended_by_the_caller),
					   cmocka_unit_test(ended_while_pages_are_read)};
	return cmocka_run_group_tests_name("recover-fault", tests, NULL, NULL);
}
