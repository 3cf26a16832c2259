/*
 * test_race.c - threads at once on the same files: readers beside writers (K4), and everything beside everything.
 */
#include "world.h"

#include <pthread.h>
#include <schema.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define B LK_BLOCK_SIZE

struct racer {
	struct world *w;
	uint64_t ino;
	atomic_bool stop;
	atomic_int failed;
	atomic_uint reads;
};

#define RACE_BLOCKS 40u

/* Every block of the file is one byte repeated, the same all through one write: never torn, never another file's. */
static void *race_read(void *arg)
{
	struct racer *r = arg;
	uint8_t *got = malloc(RACE_BLOCKS * (size_t)B);
	while (got && !atomic_load(&r->stop) && !atomic_load(&r->failed)) {
		size_t done = 0;
		int rc = linkfs_node_read(r->w->volume, r->ino, 0, got, RACE_BLOCKS * (size_t)B, &done);
		if (rc || done != RACE_BLOCKS * (size_t)B) {
			atomic_store(&r->failed, rc ? rc : 1);
			break;
		}
		for (size_t i = 0; i < done; i++) {
			if (got[i] != got[0]) {
				atomic_store(&r->failed, 2);
				break;
			}
		}
		atomic_fetch_add(&r->reads, 1);
	}
	free(got);
	return NULL;
}

static void readers_see_old_or_new_blocks(void **state)
{
	(void)state;
	struct world w;
	/* A small limit: freed blocks are wanted again at once. */
	world_open(&w, 8 * RACE_BLOCKS * (uint64_t)B);
	struct racer r = {.w = &w, .ino = world_file(&w, "f")};
	uint64_t other = world_file(&w, "g");
	uint8_t *bytes = malloc(RACE_BLOCKS * (size_t)B);
	assert_non_null(bytes);
	memset(bytes, 1, RACE_BLOCKS * (size_t)B);
	world_write(&w, r.ino, 0, bytes, RACE_BLOCKS * (size_t)B);
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, race_read, &r), 0);
	for (unsigned i = 0; (i < 600 || atomic_load(&r.reads) < 100) && !atomic_load(&r.failed); i++) {
		memset(bytes, (int)(i % 250 + 1), RACE_BLOCKS * (size_t)B);
		world_write(&w, r.ino, 0, bytes, RACE_BLOCKS * (size_t)B);
		memset(bytes, 255, RACE_BLOCKS * (size_t)B);
		world_write(&w, other, 0, bytes, RACE_BLOCKS * (size_t)B);
		if (i % 3 == 0)
			world_truncate(&w, other, 0);
		if (i % 7 == 0)
			assert_int_equal(linkfs_volume_sync(w.volume), 0);
	}
	atomic_store(&r.stop, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(atomic_load(&r.failed), 0);
	(void)world_check(&w);
	free(bytes);
	world_close(&w);
}

#define MIX_FILES 3u
#define MIX_BLOCKS 300u

struct mixer {
	struct world *w;
	const uint64_t *files;
	uint64_t seed;
	unsigned steps;
	int failed;
	const char *what;
};

/* One change or read of whole blocks. A block is one byte repeated, by whoever wrote it last. */
static int mix_step(struct mixer *m, struct lk_test_random *random, uint8_t *buf)
{
	struct linkfs_volume *v = m->w->volume;
	uint64_t a = m->files[lk_test_below(random, MIX_FILES)], z = m->files[lk_test_below(random, MIX_FILES)], done64;
	uint64_t at = lk_test_below(random, MIX_BLOCKS) * B, n = (1 + lk_test_below(random, 40)) * B;
	size_t done = 0;
	switch (lk_test_below(random, 12)) {
	case 0:
		m->what = "truncate";
		return linkfs_node_setattr(v, NULL, a, &(struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = at},
					   NULL);
	case 1:
		m->what = "punch";
		return linkfs_node_allocate(v, NULL, a, 3, at, n);
	case 2:
		m->what = "zero";
		return linkfs_node_allocate(v, NULL, a, 16, at, n);
	case 3:
		m->what = "copy";
		done = (size_t)(lk_test_below(random, MIX_BLOCKS) * B);
		int r = linkfs_node_copy_range(v, NULL, a, at, z, done, n, &done64);
		return r == LINKFS_EINVAL && a == z ? 0 : r; /* overlapping */
	case 4:
		m->what = "sync";
		return lk_test_below(random, 4) ? 0 : linkfs_volume_sync(v);
	case 5:
	case 6:
	case 7:
		m->what = "write";
		memset(buf, (int)lk_test_below(random, 256), (size_t)n);
		return linkfs_node_write(v, NULL, a, at, buf, (size_t)n, 0, &done, NULL);
	default:
		break;
	}
	m->what = "read";
	int r = linkfs_node_read(v, a, at, buf, (size_t)n, &done);
	for (size_t i = 0; r == 0 && i < done; i++)
		if (buf[i] != buf[i / B * B])
			return 1;
	return r;
}

static void *mix(void *arg)
{
	struct mixer *m = arg;
	struct lk_test_random random = {m->seed};
	uint8_t *buf = malloc(40 * (size_t)B);
	for (unsigned i = 0; buf && i < m->steps && !m->failed; i++)
		m->failed = mix_step(m, &random, buf);
	free(buf);
	return NULL;
}

static void everything_beside_everything(void **state)
{
	(void)state;
	uint64_t seed = lk_test_seed();
	struct world w;
	world_open(&w, 0);
	uint64_t files[MIX_FILES] = {world_file(&w, "a"), world_file(&w, "b"), world_file(&w, "c")};
	struct mixer m[4];
	pthread_t t[4];
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 4; i++) {
			m[i] = (struct mixer){
				.w = &w, .files = files, .seed = seed * 100 + round * 10 + i, .steps = 400};
			assert_int_equal(pthread_create(&t[i], NULL, mix, &m[i]), 0);
		}
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(pthread_join(t[i], NULL), 0);
		for (unsigned i = 0; i < 4; i++)
			if (m[i].failed)
				fail_msg("%s: %s", m[i].what, linkfs_error_name(m[i].failed));
		(void)world_check(&w);
	}
	for (unsigned i = 0; i < MIX_FILES; i++)
		world_truncate(&w, files[i], 0);
	assert_int_equal(world_check(&w), 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_old_or_new_blocks),
		cmocka_unit_test(everything_beside_everything),
	};
	return cmocka_run_group_tests_name("content-race", tests, NULL, NULL);
}
