/*
 * test_readdir.c - listing directories: cookies that survive change, reopening and restarts; batches, holds, attributes (A7).
 */
#include "volume.h"

#define ROOT LINKFS_ROOT_INO

struct seen {
	struct fixture *f;
	struct lk_test_random *random;
	uint32_t limit, calls;
	uint64_t cookie;
	uint8_t *counts; /* by the number in names "keep%d" */
	uint32_t held;
	uint64_t inos[1024];
	bool stats;
};

static int see(void *arg, const struct linkfs_entry *e)
{
	struct seen *s = arg;
	char name[256];
	unsigned number;

	if (s->calls == s->limit)
		return 1;
	s->calls++;
	assert_in_range(e->name_len, 1, 255);
	memcpy(name, e->name, e->name_len);
	name[e->name_len] = 0;
	/* Cookies go up, below 2^63. */
	assert_true(e->cookie > s->cookie && e->cookie >> 63 == 0);
	s->cookie = e->cookie;
	if (sscanf(name, "keep%u", &number) == 1)
		s->counts[number]++;
	if (s->stats && name[0] != '.') {
		assert_non_null(e->stat);
		assert_int_equal(e->stat->ino, e->ino);
		assert_int_equal(e->stat->mode & S_IFMT, e->type);
	}
	if (name[0] == '.')
		assert_null(e->stat);
	else if (s->held < 1024)
		s->inos[s->held++] = e->ino;
	return 0;
}

#define KEEP 3000u
#define COME 3000u

static void named(char *out, const char *what, uint64_t n)
{
	(void)snprintf(out, 64, "d/%s%u", what, (unsigned)n);
}

/* What is there from the first call to the last is seen once, whatever comes and goes between the calls. */
static void stable_cookies(void **state)
{
	struct fixture *f = *state;
	struct lk_test_random random = {lk_test_seed()};
	struct seen s = {.f = f, .random = &random, .counts = calloc(KEEP, 1)};
	char path[64], other[64];
	bool moved = false;

	assert_non_null(s.counts);
	make(f, "d", S_IFDIR | 0755);
	for (uint32_t i = 0; i < KEEP; i++) {
		named(path, "keep", i);
		make(f, path, S_IFREG | 0600);
		named(path, "come", i);
		make(f, path, S_IFREG | 0600);
	}
	for (;;) {
		uint64_t dir = look(f, "d").ino;

		s.calls = 0;
		s.limit = 1 + (uint32_t)lk_test_below(&random, 200);
		assert_int_equal(linkfs_node_readdir(f->v, NULL, dir, s.cookie, 0, see, &s), 0);
		if (s.calls == 0)
			break;
		for (int i = 0; i < 60; i++) {
			struct linkfs_make how = {.mode = S_IFREG | 0600};

			named(path, "come", lk_test_below(&random, COME));
			named(other, "new", lk_test_below(&random, COME));
			switch (lk_test_below(&random, 3)) {
			case 0:
				(void)linkfs_path_unlink(f->v, NULL, ROOT, path);
				break;
			case 1:
				(void)linkfs_path_make(f->v, NULL, ROOT, other, &how, NULL);
				break;
			default:
				(void)linkfs_path_rename(f->v, NULL, ROOT, path, ROOT, other, 0);
				break;
			}
		}
		/* Once in the middle: closed and opened again. */
		if (!moved && s.cookie > UINT64_C(1) << 62) {
			moved = true;
			assert_int_equal(linkfs_volume_close(f->v), 0);
			open_volume(f, 0);
		}
	}
	assert_true(moved);
	for (uint32_t i = 0; i < KEEP; i++)
		assert_int_equal(s.counts[i], 1);
	free(s.counts);
}

/* A caller that never stops gets all of it, in bounded calls. */
static void everything(void **state)
{
	struct fixture *f = *state;
	struct seen s = {.limit = UINT32_MAX, .counts = calloc(KEEP, 1), .stats = true};
	uint32_t before, most = 0;
	char path[64];

	assert_non_null(s.counts);
	make(f, "d", S_IFDIR | 0755);
	for (uint32_t i = 0; i < KEEP; i++) {
		named(path, "keep", i);
		make(f, path, S_IFREG | 0600);
	}
	do {
		before = s.calls;
		assert_int_equal(
			linkfs_node_readdir(f->v, NULL, look(f, "d").ino, s.cookie, LINKFS_READDIR_STAT, see, &s), 0);
		most = s.calls - before > most ? s.calls - before : most;
	} while (s.calls > before);
	assert_int_equal(s.calls, KEEP + 2);
	assert_in_range(most, 1, 2000);
	for (uint32_t i = 0; i < KEEP; i++)
		assert_int_equal(s.counts[i], 1);
	free(s.counts);
}

/* With attributes and holds: what the callback took is held, what it refused is not. */
static void attributes_and_holds(void **state)
{
	struct fixture *f = *state;
	struct seen s = {.stats = true, .limit = 2 + 7};
	struct linkfs_stat st;
	char path[64];
	uint32_t alive = 0;

	make(f, "d", S_IFDIR | 0755);
	for (uint32_t i = 0; i < 20; i++) {
		named(path, "x", i);
		make(f, path, i % 2 ? S_IFIFO | 0600 : S_IFREG | 0600);
	}
	assert_int_equal(
		linkfs_node_readdir(f->v, NULL, look(f, "d").ino, 0, LINKFS_HOLD | LINKFS_READDIR_STAT, see, &s), 0);
	assert_int_equal(s.calls, 9);
	assert_int_equal(s.held, 7);
	for (uint32_t i = 0; i < 20; i++) {
		uint64_t ino;

		named(path, "x", i);
		ino = look(f, path).ino;
		assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, path), 0);
		alive += linkfs_node_getattr(f->v, ino, &st) == 0;
	}
	assert_int_equal(alive, 7);
	for (uint32_t i = 0; i < 7; i++) {
		linkfs_node_release(f->v, s.inos[i], 1);
		assert_int_equal(linkfs_node_getattr(f->v, s.inos[i], &st), LINKFS_ESTALE);
	}
}

static void open_directories(void **state)
{
	struct fixture *f = *state;
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000, .umask = 022};
	const struct linkfs_entry *e;
	struct linkfs_dir *dir;
	uint64_t cookies[202];
	char names[202][16], path[64];
	uint32_t n = 0;

	make(f, "d", S_IFDIR | 0755);
	for (uint32_t i = 0; i < 200; i++) {
		named(path, "n", i);
		make(f, path, S_IFREG | 0600);
	}
	assert_int_equal(linkfs_dir_open(f->v, &user, ROOT, "d", &dir), 0);
	assert_int_equal(linkfs_dir_ino(dir), look(f, "d").ino);
	for (;;) {
		uint64_t at = linkfs_dir_tell(dir);

		assert_int_equal(linkfs_dir_read(dir, &e), 0);
		if (!e)
			break;
		assert_in_range(n, 0, 201);
		cookies[n] = at;
		(void)snprintf(names[n++], 16, "%s", e->name);
		assert_int_equal(e->cookie, linkfs_dir_tell(dir));
	}
	assert_int_equal(n, 202);
	assert_string_equal(names[0], ".");
	assert_string_equal(names[1], "..");
	/* telldir and seekdir, in any order. */
	for (uint32_t i = 0; i < 202; i++) {
		uint32_t k = i * 71 % 202;

		linkfs_dir_seek(dir, cookies[k]);
		assert_int_equal(linkfs_dir_read(dir, &e), 0);
		assert_non_null(e);
		assert_string_equal(e->name, names[k]);
	}
	linkfs_dir_close(dir);
	linkfs_dir_close(NULL);
	/* A directory removed while it is open has nothing more to list. */
	make(f, "gone", S_IFDIR | 0755);
	assert_int_equal(linkfs_dir_open(f->v, NULL, ROOT, "gone", &dir), 0);
	assert_int_equal(linkfs_path_rmdir(f->v, NULL, ROOT, "gone"), 0);
	assert_int_equal(linkfs_dir_read(dir, &e), 0);
	assert_null(e);
	linkfs_dir_close(dir);
	/* ".." of the root is the root. */
	assert_int_equal(linkfs_dir_open(f->v, NULL, ROOT, "/", &dir), 0);
	assert_int_equal(linkfs_dir_read(dir, &e), 0);
	assert_int_equal(linkfs_dir_read(dir, &e), 0);
	assert_string_equal(e->name, "..");
	assert_int_equal(e->ino, ROOT);
	linkfs_dir_close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stable_cookies),
		TEST(everything),
		TEST(attributes_and_holds),
		TEST(open_directories),
	};

	return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
