/*
 * test_space.c - the rules of linkfs_space.h (E2): whose rights count, what is told to whom, what ends a question, one moment beside others
 * who change the volume, memory that fails. Argument "exclusive": on a host where nobody can read beside the owner.
 */
#include "one_volume.h"

#include "no_memory.h"

#include <linkfs_snapshots.h>
#include <linkfs_space.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define B 4096u
#define ALL (LINKFS_SPACE_HAS_SIZES | LINKFS_SPACE_HAS_EXCLUSIVE | LINKFS_SPACE_HAS_SHARED)

static bool exclusive;
static struct linkfs_space *space;

static int setup(void **state)
{
	char shm[4200];
	if (volume_setup(state))
		return -1;
	if (!exclusive)
		return 0;
	/* A directory where SQLite would have its shared memory. */
	OK(linkfs_volume_close(v));
	(void)snprintf(shm, sizeof(shm), "%s/meta.db-shm", volume_path);
	(void)unlink(shm);
	assert_int_equal(mkdir(shm, 0700), 0);
	OK(linkfs_volume_open(volume_path, NULL, &v, NULL));
	return 0;
}

/* A file of so many bytes, as a user has it. */
static void fill(const char *name, size_t size, uint32_t uid)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_UID | LINKFS_SET_MODE, .uid = uid, .mode = 0644};
	char *bytes = malloc(size + 1);
	assert_non_null(bytes);
	memset(bytes, 'x', size);
	put(name, "");
	OK(linkfs_node_write(v, NULL, status(name).ino, 0, bytes, size, 0, NULL, NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, name, 0, &set));
	free(bytes);
}

static int take_id(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static uint64_t snapshot(const char *name)
{
	uint64_t id = 0;
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, &id));
	return id;
}

static int ask_as(const struct linkfs_cred *cred, const struct linkfs_space_item *items, size_t count, uint32_t flags,
		  struct linkfs_space_sum *out)
{
	struct linkfs_space_question q = {.items = items, .item_count = count, .flags = flags};
	OK(linkfs_space_open(v, &space));
	int r = linkfs_space_ask(space, cred, &q, out);
	linkfs_space_close(space);
	return r;
}

static struct linkfs_space_sum of_path(const char *path)
{
	struct linkfs_space_item item = {.at = ROOT, .path = path};
	struct linkfs_space_sum sum;
	OK(ask_as(NULL, &item, 1, 0, &sum));
	return sum;
}

static struct linkfs_space_sum of_snapshot(uint64_t id)
{
	struct linkfs_space_item item = {.snapshot = id};
	struct linkfs_space_sum sum;
	OK(ask_as(NULL, &item, 1, 0, &sum));
	return sum;
}

/* ---- errors ------------------------------------------------------------------------------------------------------------------ */

static void errors(void **state)
{
	static const struct linkfs_cred nobody = {.uid = 1000, .gid = 1000};
	struct linkfs_space_item item = {.at = ROOT, .path = "/f"};
	struct linkfs_space_sum sum = {.files = 77};
	uint64_t id;
	(void)state;
	fill("f", 10 * B, 0);
	make_dir("d");
	OK(linkfs_path_symlink(v, NULL, "f", ROOT, "/l", NULL));
	OK(linkfs_path_symlink(v, NULL, "d", ROOT, "/ld", NULL));
	fill("d/g", 3 * B, 0);
	assert_int_equal(ask_as(NULL, &item, 1, 64, &sum), LINKFS_EINVAL);
	item.path = "/none";
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOENT);
	item.path = "";
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOENT);
	item.path = "/f/x";
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOTDIR);
	item.path = "/f/";
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOTDIR);
	item = (struct linkfs_space_item){.snapshot = 1};
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOENT);
	item.snapshot = UINT64_MAX;
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOENT);
	assert_int_equal(sum.files, 77); /* untouched */
	id = snapshot("s");
	assert_int_equal(of_snapshot(id).known, LINKFS_SPACE_HAS_EXCLUSIVE);
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, NULL));
	item.snapshot = id;
	assert_int_equal(ask_as(NULL, &item, 1, 0, &sum), LINKFS_ENOENT);
	/* Nothing costs nothing. */
	OK(ask_as(NULL, NULL, 0, 0, &sum));
	assert_true(sum.known == ALL && sum.files + sum.apparent + sum.allocated + sum.exclusive + sum.shared == 0);
	/* Symlinks. */
	assert_int_equal(of_path("/l").apparent, 1);
	assert_int_equal(of_path("/ld").exclusive, 0);
	assert_int_equal(of_path("/ld/").exclusive, 3 * B);
	assert_int_equal(of_path("/ld/g").exclusive, 3 * B);
	assert_int_equal(of_path("/d/.").exclusive, 3 * B);
	assert_int_equal(of_path("/d/../d/..").exclusive, 13 * B);
	/* The same name several times is one. */
	struct linkfs_space_item same[4] = {{0, ROOT, "/f"}, {0, ROOT, "/f"}, {0, ROOT, "/d/../f"}, {0, ROOT, "/"}};
	OK(ask_as(NULL, same, 4, 0, &sum));
	assert_int_equal(sum.exclusive, 13 * B);
	assert_int_equal(sum.files, 6);
	OK(linkfs_volume_close(v));
	OK(linkfs_volume_open(volume_path, &(struct linkfs_open_options){.flags = LINKFS_OPEN_READONLY}, &v, NULL));
	assert_int_equal(of_path("/").exclusive, 13 * B);
	OK(ask_as(&nobody, same, 4, 0, &sum));
	assert_int_equal(sum.exclusive, 13 * B);
}

/* ---- rights --------------------------------------------------------------------------------------------------------------------- */

static char skipped[4096], names[4096];

static int on_skipped(void *arg, const char *path, size_t len, int error)
{
	(void)arg;
	assert_int_equal(strlen(path), len);
	(void)snprintf(skipped + strlen(skipped), sizeof(skipped) - strlen(skipped), "%s %s;", path,
		       linkfs_error_name(error));
	return 0;
}

static int on_with(void *arg, const struct linkfs_space_with *w)
{
	(void)arg;
	(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s %u;", w->snapshot ? "@" : "",
		       w->name ? w->name : "?", (unsigned)(w->bytes / B));
	return 0;
}

static void rights(void **state)
{
	static const struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct linkfs_setattr shut = {.valid = LINKFS_SET_MODE, .mode = 0700};
	struct linkfs_space_item item = {.at = ROOT, .path = "/"};
	struct linkfs_space_question q = {.items = &item, .item_count = 1, .with = on_with, .skipped = on_skipped};
	struct linkfs_space_sum sum;
	(void)state;
	make_dir("open");
	make_dir("open/shut");
	fill("open/f", 10 * B, 1000);
	fill("open/shut/g", 20 * B, 1000);
	OK(linkfs_path_clone(v, NULL, ROOT, "/open/f", ROOT, "/open/shut/clone of f", 0, NULL));
	OK(linkfs_path_clone(v, NULL, ROOT, "/open/f", ROOT, "/beside", 0, NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, "/open/shut", 0, &shut));
	OK(linkfs_space_open(v, &space));
	OK(linkfs_space_ask(space, NULL, &q, &sum));
	assert_string_equal(skipped, "");
	assert_string_equal(names, "");
	assert_int_equal(sum.known, ALL);
	assert_int_equal(sum.exclusive, 30 * B);
	/* What the user cannot list he cannot delete: it is another's that keeps the blocks, and he is not told what it is called. */
	OK(linkfs_space_ask(space, &user, &q, &sum));
	assert_string_equal(skipped, "/open/shut LINKFS_EACCES;");
	assert_string_equal(names, "? 10;");
	assert_int_equal(sum.known, ALL | LINKFS_SPACE_SKIPPED);
	assert_int_equal(sum.exclusive, 0);
	assert_int_equal(sum.shared, 10 * B);
	assert_int_equal(sum.with_files, 1);
	item.path = "/open/shut/g";
	assert_int_equal(linkfs_space_ask(space, &user, &q, &sum), LINKFS_EACCES);
	item.path = "/beside";
	skipped[0] = names[0] = '\0';
	OK(linkfs_space_ask(space, &user, &q, &sum));
	assert_string_equal(skipped, "");
	assert_string_equal(names, "/open/f 10;? 10;");
	linkfs_space_close(space);
}

/* Of the names and paths of a file that has part in what stays one is told that stays, and that the caller may know. */
static void by_a_path_that_stays(void **state)
{
	static const struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct linkfs_setattr shut = {.valid = LINKFS_SET_MODE, .mode = 0700};
	struct linkfs_space_item item = {.at = ROOT};
	struct linkfs_space_question q = {.items = &item, .item_count = 1, .with = on_with, .skipped = on_skipped};
	struct linkfs_space_sum sum;
	(void)state;
	make_dir("a");
	make_dir("b");
	make_dir("a/d");
	make_dir("a/d/in");
	fill("a/d/in/f", 3 * B, 1000);
	OK(linkfs_path_link_directory(v, NULL, ROOT, "a/d", ROOT, "b/e"));
	/* By either name the directory goes, its content stays by the other one. */
	const char *const rows[][2] = {{"/a", "/b/e/in/f 3;"}, {"/b", "/a/d/in/f 3;"}, {"/a/d", "/b/e/in/f 3;"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		item.path = rows[i][0];
		names[0] = '\0';
		OK(linkfs_space_open(v, &space));
		OK(linkfs_space_ask(space, NULL, &q, &sum));
		linkfs_space_close(space);
		assert_string_equal(names, rows[i][1]);
		assert_int_equal(sum.exclusive, 0);
	}
	/* A name in each of many directories, and all but one are shut. */
	fill("many", B, 1000);
	OK(linkfs_path_clone(v, NULL, ROOT, "many", ROOT, "clone", 0, NULL));
	for (unsigned i = 0; i < 9; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "shut%u", i);
		make_dir(name);
		(void)snprintf(name, sizeof(name), "shut%u/many", i);
		OK(linkfs_path_link(v, NULL, ROOT, "many", ROOT, name, 0));
		(void)snprintf(name, sizeof(name), "shut%u", i);
		if (i != 5)
			OK(linkfs_path_setattr(v, NULL, ROOT, name, 0, &shut));
	}
	OK(linkfs_path_unlink(v, NULL, ROOT, "many"));
	item.path = "/clone";
	names[0] = '\0';
	OK(linkfs_space_open(v, &space));
	OK(linkfs_space_ask(space, &user, &q, &sum));
	linkfs_space_close(space);
	assert_string_equal(names, "/shut5/many 1;");
}

/* ---- ended by the caller ------------------------------------------------------------------------------------------------------------ */

static int stop(void *arg)
{
	(void)arg;
	return 1;
}

static int stop_with(void *arg, const struct linkfs_space_with *w)
{
	(void)arg;
	(void)w;
	return 1;
}

static void interrupted(void **state)
{
	struct linkfs_space_item item = {.at = ROOT, .path = "/f"};
	struct linkfs_space_question q = {.items = &item, .item_count = 1, .progress = stop};
	struct linkfs_space_sum sum;
	(void)state;
	fill("f", 10 * B, 0);
	(void)snapshot("s");
	OK(linkfs_space_open(v, &space));
	assert_int_equal(linkfs_space_ask(space, NULL, &q, &sum), LINKFS_EINTR);
	q.progress = NULL;
	q.with = stop_with;
	assert_int_equal(linkfs_space_ask(space, NULL, &q, &sum), LINKFS_EINTR);
	linkfs_space_close(space);
	check();
}

/* ---- a moment ------------------------------------------------------------------------------------------------------------------------- */

static void one_moment(void **state)
{
	struct linkfs_space_item item = {.at = ROOT, .path = "/d"};
	struct linkfs_space_question q = {.items = &item, .item_count = 1};
	struct linkfs_space_sum sum;
	(void)state;
	make_dir("d");
	fill("d/f", 10 * B, 0);
	OK(linkfs_space_open(v, &space));
	fill("d/g", 20 * B, 0);
	(void)snapshot("s");
	OK(linkfs_space_ask(space, NULL, &q, &sum));
	/* All that is asked is true of the moment it was opened at; where there is no reader beside the owner, of now. */
	assert_int_equal(sum.exclusive, exclusive ? 0 : 10 * B);
	assert_int_equal(sum.shared, exclusive ? 30 * B : 0);
	item.path = "/d/g";
	assert_int_equal(linkfs_space_ask(space, NULL, &q, &sum), exclusive ? 0 : LINKFS_ENOENT);
	OK(linkfs_volume_sync(v));
	linkfs_space_close(space);
	assert_int_equal(of_path("/d").shared, 30 * B);
	linkfs_space_close(NULL);
}

static atomic_bool over;
static _Atomic unsigned long writes;
static _Atomic uint64_t longest_ns;

static uint64_t clock_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Writes, copies, unlinks and takes snapshots of its own, which keep nothing of what is asked about for themselves. */
static void *writer(void *arg)
{
	static const char bytes[3 * B];
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	char path[64];
	(void)arg;
	for (unsigned i = 0; !atomic_load(&over); i++) {
		uint64_t before = clock_ns(), took;
		(void)snprintf(path, sizeof(path), "/busy/%u", i % 50);
		if (linkfs_path_make(v, NULL, ROOT, path, &how, &st) == LINKFS_EEXIST)
			OK(linkfs_path_unlink(v, NULL, ROOT, path));
		else
			OK(linkfs_node_write(v, NULL, st.ino, B * (i % 7), bytes, sizeof(bytes), 0, NULL, NULL));
		took = clock_ns() - before;
		if (took > atomic_load(&longest_ns))
			atomic_store(&longest_ns, took);
		(void)atomic_fetch_add(&writes, 1);
	}
	return NULL;
}

/* The sums of what nobody changes are what they are, however busy the rest is. */
static void beside_a_writer(void **state)
{
	struct linkfs_space_item items[2] = {{.at = ROOT, .path = "/quiet"}};
	struct linkfs_space_sum path, both;
	uint64_t id = 0, end;
	unsigned long asked = 0, before;
	pthread_t thread;
	(void)state;
	make_dir("quiet");
	make_dir("busy");
	for (unsigned i = 0; i < 300; i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "quiet/%u", i);
		fill(name, i % 3 ? B * (i % 5) : 100, 0);
	}
	OK(linkfs_path_clone(v, NULL, ROOT, "/quiet/4", ROOT, "/clone", 0, NULL));
	(void)snapshot("s");
	OK(linkfs_snapshot_show(v, "s", take_id, &id));
	fill("quiet/more", 20 * B, 0);
	path = of_path("/quiet");
	items[1].snapshot = id;
	OK(ask_as(NULL, items, 2, 0, &both));
	assert_int_equal(path.exclusive, 20 * B);
	assert_true(both.exclusive > path.exclusive + 100 * B);
	assert_int_equal(pthread_create(&thread, NULL, writer, NULL), 0);
	before = atomic_load(&writes);
	for (end = clock_ns() + 1500000000u; clock_ns() < end; asked++) {
		struct linkfs_space_sum sum = of_path("/quiet");
		assert_int_equal(sum.exclusive, path.exclusive);
		assert_int_equal(sum.shared, path.shared);
		assert_int_equal(sum.apparent, path.apparent);
		OK(ask_as(NULL, items, 2, LINKFS_SPACE_FULL, &sum));
		assert_int_equal(sum.exclusive, both.exclusive);
	}
	assert_true(atomic_load(&writes) > before + 10);
	atomic_store(&over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# asked %lu times beside %lu changes; the longest took %lu us\n", 2 * asked,
		      (unsigned long)atomic_load(&writes), (unsigned long)(atomic_load(&longest_ns) / 1000));
	check();
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------------------ */

static int ask_all(struct linkfs_space_sum *out)
{
	uint64_t root = 0;
	struct linkfs_stat st;
	struct linkfs_space_item items[4] = {{.at = ROOT, .path = "/d"}, {.at = ROOT, .path = "/f"}};
	struct linkfs_space_question q = {.items = items, .item_count = 3, .with = on_with, .skipped = on_skipped};
	int r = linkfs_snapshot_show(v, "one", take_id, &items[2].snapshot);
	if (r == 0)
		r = linkfs_snapshot_root(v, items[2].snapshot, 0, &st);
	root = st.node;
	if (r == 0)
		r = linkfs_space_open(v, &space);
	if (r)
		return r;
	names[0] = '\0';
	r = linkfs_space_ask(space, NULL, &q, out);
	if (r == 0) {
		struct linkfs_space_sum past;
		items[0] = (struct linkfs_space_item){.at = root, .path = "/d"};
		q.item_count = 1;
		r = linkfs_space_ask(space, NULL, &q, &past);
		assert_true(r || past.known == LINKFS_SPACE_HAS_SIZES);
	}
	linkfs_space_close(space);
	return r;
}

static void memory_fails(void **state)
{
	struct linkfs_space_sum want, got;
	char told[sizeof(names)];
	long n = 1, failed = 0;
	(void)state;
	make_dir("d");
	make_dir("d/e");
	fill("d/f", 10 * B, 0);
	fill("d/e/g", 5 * B, 0);
	fill("d/small", 30, 0);
	OK(linkfs_path_link(v, NULL, ROOT, "/d/f", ROOT, "/f", 0));
	OK(linkfs_path_clone(v, NULL, ROOT, "/f", ROOT, "/d/e/clone", 0, NULL));
	OK(linkfs_path_clone(v, NULL, ROOT, "/f", ROOT, "/other", 0, NULL));
	(void)snapshot("one");
	fill("d/e/g", 2 * B, 0);
	(void)snapshot("two");
	fill("d/f", 3 * B, 0);
	OK(ask_all(&want));
	(void)snprintf(told, sizeof(told), "%s", names);
	assert_true(strstr(told, "@two ") && strstr(told, "/other "));
	for (int r = -1; r; n++) {
		atomic_store(&fail_memory, n);
		r = ask_all(&got);
		atomic_store(&fail_memory, 0);
		if (r && r != LINKFS_ENOMEM)
			fail_msg("allocation %ld: %s", n, linkfs_error_name(r));
		failed += r != 0;
	}
	assert_true(failed > 30);
	assert_memory_equal(&got, &want, sizeof(got));
	assert_string_equal(names, told);
	check();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(errors, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(rights, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(by_a_path_that_stays, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(interrupted, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(one_moment, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(beside_a_writer, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(memory_fails, setup, volume_teardown)};
	exclusive = argc > 1 && strcmp(argv[1], "exclusive") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
