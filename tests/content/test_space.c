/*
 * test_space.c - full volumes (F4): at their own limit and on a full host. What was written stays, nothing leaks, and
 * unlink, truncate and overwriting work; space that was given back is there at once.
 */
#include "small_host.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define B LK_BLOCK_SIZE
#define CHUNK (16 * (size_t)B)
#define FILES_MAX 4000u

struct filled {
	uint64_t ino[FILES_MAX];
	uint32_t sizes[FILES_MAX];
	uint32_t count;
};

static void pattern(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i + 8 <= len; i += 8)
		lk_put_u64(p + i, (seed << 32) + i + 1);
}

/* Files of one chunk each until there is no room; the one that failed keeps nothing of the failed write. */
static void fill_up(struct world *w, struct filled *f)
{
	uint8_t bytes[CHUNK];
	char name[16];
	for (;;) {
		assert_true(f->count < FILES_MAX);
		(void)snprintf(name, sizeof(name), "f%u", f->count);
		struct linkfs_make how = {.mode = S_IFREG | 0644};
		struct linkfs_stat st;
		int r = linkfs_node_make(w->volume, NULL, 1, name, strlen(name), &how, LINKFS_HOLD, &st);
		if (r == LINKFS_ENOSPC)
			return;
		assert_int_equal(r, 0);
		pattern(bytes, sizeof(bytes), st.ino);
		size_t done = 0;
		r = linkfs_node_write(w->volume, NULL, st.ino, 0, bytes, sizeof(bytes), 0, &done, NULL);
		f->ino[f->count] = st.ino;
		f->sizes[f->count++] = r ? 0 : CHUNK;
		if (r) {
			assert_int_equal(r, LINKFS_ENOSPC);
			assert_int_equal(world_size(w, st.ino), 0);
			return;
		}
	}
}

static void verify(struct world *w, const struct filled *f)
{
	uint8_t bytes[CHUNK], got[CHUNK];
	for (uint32_t i = 0; i < f->count; i++) {
		if (!f->ino[i])
			continue;
		assert_int_equal(world_size(w, f->ino[i]), f->sizes[i]);
		pattern(bytes, sizeof(bytes), f->ino[i]);
		world_read(w, f->ino[i], 0, got, f->sizes[i]);
		assert_memory_equal(got, bytes, f->sizes[i]);
	}
}

/* Removes every second file: by unlink and release, or by truncating. Returns the bytes given back. */
static size_t give_back(struct world *w, struct filled *f, bool unlink)
{
	size_t bytes = 0;
	char name[16];
	for (uint32_t i = 0; i < f->count; i += 2) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		if (!f->ino[i])
			continue;
		bytes += f->sizes[i];
		if (unlink) {
			assert_int_equal(linkfs_node_unlink(w->volume, NULL, 1, name, strlen(name)), 0);
			linkfs_node_release(w->volume, f->ino[i], 1);
			f->ino[i] = 0;
		} else {
			world_truncate(w, f->ino[i], 0);
		}
		f->sizes[i] = 0;
	}
	return bytes;
}

static void at_its_own_limit(void **state)
{
	(void)state;
	struct world w;
	uint64_t blocks = 1000;
	world_open(&w, blocks * B);
	struct filled f = {.count = 0};
	fill_up(&w, &f);
	assert_int_equal(f.count, 1000 / 16 + 1);
	uint64_t last = f.ino[f.count - 1];
	uint8_t bytes[CHUNK], got[CHUNK];
	pattern(bytes, sizeof(bytes), last);
	/* To the last block, and no further. */
	world_write(&w, last, 0, bytes, 8 * B);
	f.sizes[f.count - 1] = 8 * B;
	size_t done;
	assert_int_equal(linkfs_node_write(w.volume, NULL, last, 8 * B, bytes + 8 * B, B, 0, &done, NULL),
			 LINKFS_ENOSPC);
	assert_int_equal(linkfs_node_allocate(w.volume, NULL, last, 0, 0, 9 * B), LINKFS_ENOSPC);
	f.sizes[f.count - 1] = (uint32_t)world_size(&w, last);
	assert_int_equal(f.sizes[f.count - 1], 8 * B);
	verify(&w, &f);
	assert_int_equal(world_check(&w), blocks);
	struct linkfs_statfs s;
	assert_int_equal(linkfs_volume_statfs(w.volume, &s), 0);
	assert_true(s.blocks >= blocks);
	assert_int_equal(s.blocks_free, 0);
	/* Overwriting needs no more room than there is, whole blocks or parts; punching parts neither. */
	for (int i = 0; i < 50; i++) {
		world_write(&w, f.ino[0], 0, bytes, CHUNK);
		world_write(&w, f.ino[0], 100, bytes, 3);
		assert_int_equal(linkfs_node_allocate(w.volume, NULL, f.ino[0], 3, 200, 3), 0);
	}
	world_read(&w, f.ino[0], 200, got, 4);
	assert_memory_equal(got, "\0\0\0", 3);
	pattern(got, sizeof(got), f.ino[0]);
	world_write(&w, f.ino[0], 0, got, CHUNK);
	/* What is given back can be had at once, without a commit asked for. */
	for (int way = 0; way < 2; way++) {
		size_t back = give_back(&w, &f, way == 1) + (way ? 8 * B : 0); /* the last file was not filled again */
		assert_int_equal(linkfs_volume_statfs(w.volume, &s), 0);
		uint64_t big = world_file(&w, way ? "big1" : "big0");
		uint8_t *all = calloc(1, back);
		assert_non_null(all);
		world_write(&w, big, 0, all, back);
		assert_int_equal(linkfs_node_write(w.volume, NULL, big, back, bytes, B, 0, &done, NULL), LINKFS_ENOSPC);
		free(all);
		verify(&w, &f);
		assert_int_equal(world_check(&w), blocks);
		world_truncate(&w, big, 0);
		if (way == 0) {
			/* Fill the gaps again, so that the second way has something to take. */
			for (uint32_t i = 0; i + 1 < f.count; i += 2) {
				pattern(bytes, sizeof(bytes), f.ino[i]);
				world_write(&w, f.ino[i], 0, bytes, CHUNK);
				f.sizes[i] = CHUNK;
			}
		}
	}
	world_close(&w);
}

static void on_a_full_host(void **state)
{
	(void)state;
	char *dir = small_host_make("48m");
	struct world w = {0};
	world_open_in(&w, dir, 0);
	struct filled *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	fill_up(&w, f);
	assert_true(f->count > 50);
	verify(&w, f);
	(void)world_check(&w);
	for (int round = 0; round < 3; round++) {
		size_t back = give_back(&w, f, round == 2);
		assert_true(back > CHUNK);
		(void)world_check(&w);
		/* At least half of it is of use again (the host's own overhead aside). */
		size_t used = 0;
		uint8_t bytes[CHUNK];
		uint64_t ino = world_file(&w, round == 0 ? "r0" : round == 1 ? "r1" : "r2");
		pattern(bytes, sizeof(bytes), ino);
		for (;;) {
			size_t done = 0;
			int r = linkfs_node_write(w.volume, NULL, ino, used, bytes, CHUNK, 0, &done, NULL);
			if (r == LINKFS_ENOSPC)
				break;
			assert_int_equal(r, 0);
			used += done;
		}
		if (used < back / 2)
			fail_msg("round %d: of %zu bytes given back %zu can be written", round, back, used);
		verify(&w, f);
		world_truncate(&w, ino, 0);
		assert_int_equal(linkfs_volume_sync(w.volume), 0);
		for (uint32_t i = 0; i < f->count; i += 2) {
			if (!f->ino[i] || f->sizes[i])
				continue;
			size_t done = 0;
			pattern(bytes, sizeof(bytes), f->ino[i]);
			if (linkfs_node_write(w.volume, NULL, f->ino[i], 0, bytes, CHUNK, 0, &done, NULL) == 0)
				f->sizes[i] = CHUNK;
		}
	}
	world_reopen(&w);
	verify(&w, f);
	(void)world_check(&w);
	assert_int_equal(linkfs_volume_close(w.volume), 0);
	free(w.volume_path);
	free(f);
	small_host_done(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_its_own_limit),
		cmocka_unit_test(on_a_full_host),
	};
	return cmocka_run_group_tests_name("content-space", tests, NULL, NULL);
}
