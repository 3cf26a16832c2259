/*
 * test_model.c - random changes of content on four files, each compared with bytes in memory and with the same calls on a
 * file of the host (ext4, where results and errors are the reference); holes and data too; reopening and the checker between.
 * With LINKFS_TEST_PROPERTY compression=zstd content is compressed, what is there is compressed again at random, and some of it cannot be.
 */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <file_impl.h>
#include <schema.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 4u
#define B LK_BLOCK_SIZE
#define MODEL_MAX (3u << 20)
#define BLOCKS (MODEL_MAX / B)

enum known { UNKNOWN, HOLE, DATA }; /* what SEEK_HOLE and SEEK_DATA must say of a block */

struct file {
	uint64_t ino;
	int fd; /* on the host */
	uint8_t *bytes;
	uint64_t size;
	uint8_t known[BLOCKS];
};

struct model {
	struct world w;
	struct lk_test_random random;
	struct file files[FILES];
	uint8_t *buf;
	bool host_shifts; /* the host has collapse and insert */
	unsigned step;
};

static uint64_t below(struct model *m, uint64_t limit)
{
	return lk_test_below(&m->random, limit);
}

/* LINKFS_TRACE=1: every change, to replay a failure by hand. */
static void trace(const struct model *m, const char *what, const struct file *f, uint32_t mode, uint64_t at,
		  uint64_t size)
{
	if (getenv("LINKFS_TRACE"))
		printf("# %u %s file %d mode %u at %llu size %llu (of %llu)\n", m->step, what, (int)(f - m->files),
		       mode, (unsigned long long)at, (unsigned long long)size, (unsigned long long)f->size);
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Offsets and lengths like to be at blocks and at the edges of things. */
static uint64_t some_offset(struct model *m, const struct file *f, uint64_t limit)
{
	uint64_t at;
	switch (below(m, 6)) {
	case 0:
		at = f->size;
		break;
	case 1:
		at = below(m, 4) * B;
		break;
	case 2:
		at = below(m, 3000);
		break;
	case 3:
		at = below(m, limit / B + 1) * B;
		break;
	case 4:
		at = below(m, f->size + 1);
		break;
	default:
		at = below(m, limit);
		break;
	}
	if (below(m, 4) == 0)
		at = at / B * B;
	return at < limit ? at : limit - 1;
}

static uint64_t some_length(struct model *m, uint64_t limit)
{
	uint64_t n;
	switch (below(m, 6)) {
	case 0:
		n = 1 + below(m, 100);
		break;
	case 1:
		n = 1 + below(m, 3 * B);
		break;
	case 2:
		n = (1 + below(m, 5)) * B;
		break;
	case 3:
		n = (1 + below(m, 90)) * B;
		break;
	case 4:
		n = 1 + below(m, 300000);
		break;
	default:
		n = 1 + below(m, 20000);
		break;
	}
	return min64(n, limit);
}

/* The blocks that [from, to) touches (whole: those that lie in it, the last counting as whole when to is past the size). */
static void mark(struct file *f, uint64_t from, uint64_t to, enum known what, bool whole)
{
	uint64_t first = whole ? (from + B - 1) / B : from / B;
	uint64_t last = whole && to < f->size ? to / B : (to + B - 1) / B;
	for (uint64_t b = first; b < last && b < BLOCKS; b++)
		f->known[b] = (uint8_t)what;
}

static void check_result(struct model *m, const char *what, int r, int host_errno)
{
	if (linkfs_errno(r) != host_errno)
		fail_msg("step %u: %s gives %s, the host %s", m->step, what, linkfs_error_name(r),
			 strerror(host_errno));
}

/* What the whole file must be after a change. */
static void compare(struct model *m, struct file *f)
{
	struct stat st;
	assert_int_equal(world_size(&m->w, f->ino), f->size);
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_int_equal(st.st_size, f->size);
	uint64_t from = 0, to = f->size;
	if (below(m, 8) && f->size) {
		from = below(m, f->size);
		to = from + min64(f->size - from, 1 + below(m, 100000));
	}
	size_t done = 0;
	int r = linkfs_node_read(m->w.volume, f->ino, from, m->buf, (size_t)(to - from) + 100, &done);
	if (r)
		fail_msg("step %u: read: %s", m->step, linkfs_error_name(r));
	assert_int_equal(done, to == f->size ? to - from : min64(to - from + 100, f->size - from));
	for (uint64_t i = 0; i < to - from; i++) {
		if (m->buf[i] != f->bytes[from + i])
			fail_msg("step %u: byte %llu is %d, not %d", m->step, (unsigned long long)(from + i), m->buf[i],
				 f->bytes[from + i]);
	}
	/* The model itself against the host. */
	assert_int_equal(pread(f->fd, m->buf, (size_t)(to - from), (off_t)from), to - from);
	assert_memory_equal(m->buf, f->bytes + from, (size_t)(to - from));
}

static void compare_seek(struct model *m, struct file *f)
{
	uint64_t at = some_offset(m, f, f->size + 2), got = 0;
	int whence = below(m, 2) ? LINKFS_SEEK_DATA : LINKFS_SEEK_HOLE;
	trace(m, "seek", f, (uint32_t)whence, at, 0);
	int r = linkfs_node_seek(m->w.volume, f->ino, at, whence, &got);
	if (at >= f->size) {
		assert_int_equal(r, LINKFS_ENXIO);
		return;
	}
	uint8_t wrong = whence == LINKFS_SEEK_DATA ? DATA : HOLE;
	assert_true(r == 0 || (r == LINKFS_ENXIO && whence == LINKFS_SEEK_DATA));
	uint64_t end = r ? f->size : got;
	assert_true(end >= at && end <= f->size);
	if (f->size <= (world_packs() ? LK_PACKED_SIZE_MAX : LK_INLINE_MAX))
		return; /* may be inline: one piece of data */
	for (uint64_t b = at / B; end > at && b * B < end; b++) {
		if (f->known[b] == wrong)
			fail_msg("step %u: seek %d from %llu passed over block %llu", m->step, whence,
				 (unsigned long long)at, (unsigned long long)b);
	}
	if (r == 0 && end < f->size && f->known[end / B] != UNKNOWN)
		assert_int_equal(f->known[end / B], wrong);
	if (r == 0 && whence == LINKFS_SEEK_DATA)
		assert_true(end < f->size);
}

static void do_write(struct model *m, struct file *f)
{
	uint64_t at = some_offset(m, f, MODEL_MAX), size = some_length(m, MODEL_MAX - at), where = 0;
	uint32_t flags = below(m, 5) ? 0 : LINKFS_WRITE_APPEND;
	if (flags) {
		at = f->size;
		size = min64(size, MODEL_MAX - at);
		if (!size)
			return;
	}
	trace(m, "write", f, flags, at, size);
	uint64_t fill = lk_test_next(&m->random);
	for (uint64_t i = 0; i < size; i++)
		m->buf[i] = (uint8_t)(fill >> (i % 8 * 8) ^ i);
	if (below(m, 10) == 0)
		memset(m->buf, 0, (size_t)size);
	if (world_packs() && below(m, 3) == 0) {
		uint64_t from = below(m, size), n = 1 + below(m, size - from);
		for (uint64_t i = 0; i < n; i++)
			m->buf[from + i] = (uint8_t)lk_test_next(&m->random);
	}
	size_t done = 0;
	int r = linkfs_node_write(m->w.volume, NULL, f->ino, flags ? 7 : at, m->buf, (size_t)size, flags, &done,
				  &where);
	check_result(m, "write", r, 0);
	assert_int_equal(done, size);
	assert_int_equal(where, at);
	assert_int_equal(pwrite(f->fd, m->buf, (size_t)size, (off_t)at), size);
	memcpy(f->bytes + at, m->buf, (size_t)size);
	if (at > f->size)
		mark(f, f->size, at, HOLE, true); /* the old last block stays what it is */
	if (at + size > f->size)
		f->size = at + size;
	mark(f, at, at + size, DATA, false);
}

static void do_truncate(struct model *m, struct file *f)
{
	uint64_t size = below(m, 4) ? some_offset(m, f, MODEL_MAX) : below(m, 3) * below(m, 3000);
	trace(m, "truncate", f, 0, size, 0);
	world_truncate(&m->w, f->ino, size);
	assert_int_equal(ftruncate(f->fd, (off_t)size), 0);
	if (size < f->size)
		memset(f->bytes + size, 0, (size_t)(f->size - size));
	else if (f->size == 0)
		mark(f, 0, size, HOLE, false);
	else
		for (uint64_t b = (f->size + B - 1) / B; b * B < size; b++)
			f->known[b] = HOLE;
	f->size = size;
}

static void do_allocate(struct model *m, struct file *f)
{
	static const uint32_t modes[] = {0, 1, 3, 3, 3, 16, 17, 16, 8, 32, 2, 64, 9, 5, 33};
	uint32_t mode = modes[below(m, sizeof(modes) / sizeof(modes[0]))];
	uint64_t at = some_offset(m, f, MODEL_MAX), size = some_length(m, MODEL_MAX - at);
	if (mode == 8 || mode == 32) {
		if (!m->host_shifts)
			return;
		if (below(m, 8)) {
			at = at / B * B;
			size = (size + B - 1) / B * B;
		}
		if (mode == 32 && f->size + size > MODEL_MAX)
			return;
	}
	if (below(m, 30) == 0)
		size = 0;
	trace(m, "allocate", f, mode, at, size);
	int e = fallocate(f->fd, (int)mode, (off_t)at, (off_t)size) ? errno : 0;
	if (e == EOPNOTSUPP && (mode <= 1 || mode == 3 || mode == 16 || mode == 17))
		return; /* a host without it: nothing to compare with */
	int r = linkfs_node_allocate(m->w.volume, NULL, f->ino, mode, at, size);
	check_result(m, "allocate", r, e);
	if (r)
		return;
	uint64_t end = at + size, old = f->size;
	switch (mode) {
	case 3:
		if (at < old)
			memset(f->bytes + at, 0, (size_t)(min64(end, old) - at));
		if (at < old)
			mark(f, at, min64(end, old), HOLE, true);
		break;
	case 16:
	case 17:
		if (at < old)
			memset(f->bytes + at, 0, (size_t)(min64(end, old) - at));
		if (mode == 16 && end > old)
			f->size = end;
		for (uint64_t b = (old + B - 1) / B; b * B < at; b++)
			f->known[b] = HOLE;
		for (uint64_t b = at / B; b < (end + B - 1) / B && b < BLOCKS; b++) {
			bool inside = b * B >= at && (b + 1) * B <= end;
			if (inside || b * B >= old)
				f->known[b] = HOLE;
			else if (f->known[b] != HOLE)
				f->known[b] = UNKNOWN; /* an edge */
		}
		break;
	case 0:
		if (end > old)
			f->size = end;
		for (uint64_t b = (old + B - 1) / B; b * B < f->size; b++)
			f->known[b] = HOLE;
		break;
	case 8:
		memmove(f->bytes + at, f->bytes + end, (size_t)(old - end));
		memset(f->bytes + old - size, 0, (size_t)size);
		memmove(f->known + at / B, f->known + end / B, BLOCKS - end / B);
		f->size -= size;
		break;
	case 32:
		memmove(f->bytes + end, f->bytes + at, (size_t)(old - at));
		memset(f->bytes + at, 0, (size_t)size);
		memmove(f->known + end / B, f->known + at / B, BLOCKS - end / B);
		memset(f->known + at / B, HOLE, size / B);
		f->size += size;
		break;
	default:
		break;
	}
	/* Blocks past the size mean nothing. */
	for (uint64_t b = (f->size + B - 1) / B; b < BLOCKS; b++)
		f->known[b] = UNKNOWN;
}

static void do_copy(struct model *m)
{
	struct file *a = &m->files[below(m, FILES)], *z = &m->files[below(m, FILES)];
	uint64_t from = some_offset(m, a, MODEL_MAX), to = some_offset(m, z, MODEL_MAX);
	uint64_t size = some_length(m, MODEL_MAX - (from > to ? from : to)), done = 0;
	if (below(m, 3)) {
		from = from / B * B;
		to = to / B * B;
	} else if (below(m, 2)) {
		to = to / B * B + from % B;
		size = to < MODEL_MAX ? min64(size, MODEL_MAX - to) : 0;
	}
	trace(m, "copy from", a, 0, from, size);
	trace(m, "copy to", z, 0, to, size);
	off_t in = (off_t)from, out = (off_t)to;
	int e = 0;
	uint64_t want = 0, most = size;
	do {
		ssize_t n = copy_file_range(a->fd, &in, z->fd, &out, (size_t)(most - want), 0);
		if (from < a->size)
			most = min64(size, a->size - from); /* the copy may have moved the end */
		if (n < 0)
			e = errno;
		if (n <= 0)
			break;
		want += (uint64_t)n;
	} while (want < most);
	int r = linkfs_node_copy_range(m->w.volume, NULL, a->ino, from, z->ino, to, size, &done);
	check_result(m, "copy", r, e);
	if (r || !size)
		return;
	assert_int_equal(done, want);
	if (!done)
		return;
	memcpy(z->bytes + to, a->bytes + from, (size_t)done);
	if (to > z->size)
		for (uint64_t b = (z->size + B - 1) / B; b < to / B; b++)
			z->known[b] = HOLE;
	if (to + done > z->size)
		z->size = to + done;
	for (uint64_t b = to / B; b * B < to + done; b++) {
		bool whole = from % B == to % B && b * B >= to && (b + 1) * B <= to + done;
		z->known[b] = whole ? a->known[(b * B - to + from) / B] : DATA;
	}
}

/* What is there, compressed anew: nobody may see a difference. */
static void do_pack(struct model *m, struct file *f)
{
	struct lk_fs *fs = lk_volume_fs(m->w.volume);
	uint64_t at = f->size ? below(m, f->size) / LK_CHUNK_BYTES * LK_CHUNK_BLOCKS : 0, saved = 0;
	trace(m, "pack", f, 0, at * B, 0);
	if (below(m, 2)) {
		assert_int_equal(lk_file_pack_end(fs, f->ino), 0);
		return;
	}
	assert_int_equal(lk_node_lock(fs, f->ino), 0);
	assert_int_equal(lk_file_pack_chunk(fs, f->ino, 0, at, &saved), 0);
	lk_node_unlock(fs, f->ino);
}

static void step(struct model *m)
{
	struct file *f = &m->files[below(m, FILES)];
	if (world_packs() && below(m, 8) == 0)
		do_pack(m, f);
	switch (below(m, 16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
		do_write(m, f);
		break;
	case 6:
	case 7:
		do_truncate(m, f);
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		do_allocate(m, f);
		break;
	case 12:
	case 13:
		do_copy(m);
		break;
	default:
		compare_seek(m, f);
		break;
	}
	for (unsigned i = 0; i < FILES; i++)
		if (&m->files[i] == f || below(m, 6) == 0)
			compare(m, &m->files[i]);
}

static void model_open(struct model *m)
{
	world_open(&m->w, 0);
	m->buf = malloc(MODEL_MAX + 200);
	assert_non_null(m->buf);
	for (unsigned i = 0; i < FILES; i++) {
		char name[300];
		struct file *f = &m->files[i];
		(void)snprintf(name, sizeof(name), "%s/host%u", m->w.dir, i);
		f->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(f->fd >= 0);
		(void)snprintf(name, sizeof(name), "f%u", i);
		f->ino = world_file(&m->w, name);
		f->bytes = calloc(1, MODEL_MAX);
		assert_non_null(f->bytes);
	}
	int fd = m->files[0].fd;
	assert_int_equal(ftruncate(fd, 4 * (off_t)B), 0);
	m->host_shifts = fallocate(fd, 8, 0, (off_t)B) == 0 && fallocate(fd, 32, 0, (off_t)B) == 0;
	assert_int_equal(ftruncate(fd, 0), 0);
}

static void model_close(struct model *m)
{
	for (unsigned i = 0; i < FILES; i++) {
		close(m->files[i].fd);
		free(m->files[i].bytes);
	}
	free(m->buf);
	world_close(&m->w);
}

/* Takes everything away: the volume is as empty as it was. */
static void empty(struct model *m)
{
	for (unsigned i = 0; i < FILES; i++) {
		world_truncate(&m->w, m->files[i].ino, 0);
		assert_int_equal(world_blocks(&m->w, m->files[i].ino), 0);
	}
	assert_int_equal(world_check(&m->w), 0);
}

static void run(unsigned steps, uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	uint64_t packed = 0;
	m->random.state = seed;
	model_open(m);
	for (m->step = 0; m->step < steps; m->step++) {
		step(m);
		if (m->step % 64 == 63) {
			(void)world_check(&m->w);
			packed += m->w.packed;
		}
		if (below(m, 50) == 0)
			assert_int_equal(linkfs_volume_sync(m->w.volume), 0);
		if (m->step % 300 == 299) {
			world_reopen(&m->w);
			for (unsigned i = 0; i < FILES; i++)
				compare(m, &m->files[i]);
		}
	}
	assert_true((packed > 0) == world_packs());
	empty(m);
	model_close(m);
	free(m);
}

static void random_changes_agree_with_bytes_and_with_the_host(void **state)
{
	(void)state;
	const char *steps = getenv("LINKFS_STEPS");
	run(steps ? (unsigned)atoi(steps) : 1500, lk_test_seed());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_agree_with_bytes_and_with_the_host),
	};
	return cmocka_run_group_tests_name("content-model", tests, NULL, NULL);
}
