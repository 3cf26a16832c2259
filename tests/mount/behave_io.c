/*
 * behave_io.c - locks, mapped writes, direct I/O, appends, copies in the kernel, io_uring and aio, and four processes at once.
 */
#include "behave.h"

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { BLOCK = 4096 };

static void wait_for(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		fail_msg("a child ended with status %#x", (unsigned)status);
}

static void locks_work_and_never_hang(void **state)
{
	(void)state;
	put_file("f", "0123456789");
	int fd = open("f", O_RDWR);
	OK(fd);
	OK(flock(fd, LOCK_EX));
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	OK(fcntl(fd, F_SETLK, &all));
	pid_t pid = fork();
	if (pid == 0) {
		(void)alarm(10);
		int mine = open("f", O_RDWR);
		if (mine < 0 || flock(mine, LOCK_EX | LOCK_NB) != -1 || errno != EWOULDBLOCK)
			_exit(1);
		struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 4, .l_len = 1};
		if (fcntl(mine, F_SETLK, &other) != -1 || (errno != EAGAIN && errno != EACCES))
			_exit(2);
		other.l_start = 5;
		if (fcntl(mine, F_SETLK, &other))
			_exit(3);
		struct flock who = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 1};
		if (fcntl(mine, F_GETLK, &who) || who.l_type != F_WRLCK || who.l_pid != getppid())
			_exit(4);
		_exit(0);
	}
	wait_for(pid);
	/* One who waits gets the lock when it is given up. */
	pid = fork();
	if (pid == 0) {
		(void)alarm(20);
		int mine = open("f", O_RDWR);
		_exit(mine < 0 || flock(mine, LOCK_EX) ? 1 : 0);
	}
	(void)usleep(50000);
	OK(flock(fd, LOCK_UN));
	wait_for(pid);
	OK(close(fd));
}

static void mapped_writes_reach_the_file(void **state)
{
	(void)state;
	enum { LEN = 10 * BLOCK + 100 };
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	OK(fd);
	OK(ftruncate(fd, LEN));
	unsigned char *map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (int i = 0; i < LEN; i++)
		map[i] = (unsigned char)(i % 253 + 1);
	/* seen by read at once */
	expect_bytes(fd, 0, map, LEN);
	/* a write is seen in the map */
	assert_int_equal(pwrite(fd, "W", 1, 5 * BLOCK), 1);
	assert_int_equal(map[5 * BLOCK], 'W');
	unsigned char *copy = malloc(LEN);
	assert_non_null(copy);
	memcpy(copy, map, LEN);
	OK(msync(map, LEN, MS_SYNC));
	OK(munmap(map, LEN));
	OK(fsync(fd));
	OK(close(fd));
	drop_caches();
	fd = open("f", O_RDONLY);
	OK(fd);
	expect_bytes(fd, 0, copy, LEN);
	/* private maps keep to themselves */
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	map[0] = 0;
	expect_bytes(fd, 0, copy, LEN);
	OK(munmap(map, LEN));
	free(copy);
	OK(close(fd));
	/* a map outlives the name and the descriptor */
	fd = open("f", O_RDWR);
	OK(fd);
	map = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	OK(close(fd));
	OK(unlink("f"));
	map[3 * BLOCK] = 'm';
	OK(msync(map, LEN, MS_SYNC));
	assert_int_equal(map[3 * BLOCK], 'm');
	OK(munmap(map, LEN));
}

static void direct_io_sees_and_is_seen(void **state)
{
	(void)state;
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	OK(fd);
	unsigned char *buf = aligned_alloc(BLOCK, 4 * BLOCK);
	assert_non_null(buf);
	memset(buf, 'd', 4 * BLOCK);
	assert_int_equal(pwrite(fd, buf, 4 * BLOCK, 0), 4 * BLOCK);
	int plain = open("f", O_RDWR);
	OK(plain);
	expect_bytes(plain, 0, buf, 4 * BLOCK);
	assert_int_equal(pwrite(plain, "plain", 5, BLOCK), 5);
	OK(fsync(plain));
	memset(buf, 0, 4 * BLOCK);
	assert_int_equal(pread(fd, buf, BLOCK, BLOCK), BLOCK);
	assert_memory_equal(buf, "plaind", 6);
	assert_int_equal(pread(fd, buf, BLOCK, 4 * BLOCK), 0);
	free(buf);
	OK(close(fd));
	OK(close(plain));
}

static void appends_of_several_processes_lose_nothing(void **state)
{
	(void)state;
	enum { WRITERS = 4, LINES = 500 };
	pid_t pids[WRITERS];
	put_file("log", "");
	for (int w = 0; w < WRITERS; w++) {
		pids[w] = fork();
		if (pids[w] == 0) {
			int fd = open("log", O_WRONLY | O_APPEND);
			char line[32];
			for (int i = 0; fd >= 0 && i < LINES; i++) {
				(void)snprintf(line, sizeof(line), "%03d.%011d\n", w, i);
				if (write(fd, line, 16) != 16)
					_exit(1);
			}
			_exit(fd < 0);
		}
	}
	for (int w = 0; w < WRITERS; w++)
		wait_for(pids[w]);
	assert_int_equal(stat_of("log").st_size, WRITERS * LINES * 16);
	FILE *f = fopen("log", "r");
	assert_non_null(f);
	int next[WRITERS] = {0}, w, i;
	while (fscanf(f, "%d.%d\n", &w, &i) == 2) {
		assert_in_range(w, 0, WRITERS - 1);
		assert_int_equal(i, next[w]++);
	}
	(void)fclose(f);
	for (w = 0; w < WRITERS; w++)
		assert_int_equal(next[w], LINES);
}

static void the_kernel_copies_right(void **state)
{
	(void)state;
	enum { LEN = 300 * 1024 + 17 };
	unsigned char *data = malloc(LEN);
	assert_non_null(data);
	for (int i = 0; i < LEN; i++)
		data[i] = (unsigned char)(i * 13 + i / 997);
	int in = open("in", O_RDWR | O_CREAT, 0644);
	OK(in);
	assert_int_equal(write(in, data, LEN), LEN);

	int out = open("cfr", O_RDWR | O_CREAT, 0644);
	OK(out);
	off_t from = 0, to = 0;
	while (from < LEN) {
		ssize_t n = copy_file_range(in, &from, out, &to, (size_t)(LEN - from), 0);
		OK(n);
		assert_true(n > 0);
	}
	assert_int_equal(stat_of_fd(out).st_size, LEN);
	expect_bytes(out, 0, data, LEN);
	/* unaligned, onto existing data; then the source changes and the copy does not */
	from = 1000;
	to = 5000;
	assert_int_equal(copy_file_range(in, &from, out, &to, 10000, 0), 10000);
	expect_bytes(out, 5000, data + 1000, 10000);
	expect_bytes(out, 15000, data + 15000, 5000);
	assert_int_equal(pwrite(in, "changed", 7, 2000), 7);
	expect_bytes(out, 6000, data + 2000, 7);
	assert_int_equal(pwrite(in, data + 2000, 7, 2000), 7);
	from = 0;
	to = 100;
	FAILS(EINVAL, copy_file_range(in, &from, in, &to, 1000, 0));
	OK(close(out));

	out = open("sendfile", O_RDWR | O_CREAT, 0644);
	OK(out);
	from = 0;
	while (from < LEN)
		OK(sendfile(out, in, &from, (size_t)(LEN - from)));
	expect_bytes(out, 0, data, LEN);
	OK(close(out));

	out = open("splice", O_RDWR | O_CREAT, 0644);
	OK(out);
	int pipes[2];
	OK(pipe(pipes));
	from = 0;
	to = 0;
	while (to < LEN) {
		ssize_t n = splice(in, &from, pipes[1], NULL, 65536, 0);
		OK(n);
		while (n > 0) {
			ssize_t m = splice(pipes[0], NULL, out, &to, (size_t)n, 0);
			OK(m);
			n -= m;
		}
	}
	expect_bytes(out, 0, data, LEN);
	OK(close(pipes[0]));
	OK(close(pipes[1]));
	OK(close(out));
	OK(close(in));
	free(data);
}

static void linux_aio_works(void **state)
{
	(void)state;
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	OK(fd);
	aio_context_t ctx = 0;
	if (syscall(SYS_io_setup, 8, &ctx)) {
		print_message("# SKIP no aio here: %s\n", strerror(errno));
		skip();
	}
	unsigned char *buf = aligned_alloc(BLOCK, 8 * BLOCK);
	assert_non_null(buf);
	struct iocb cbs[8], *list[8];
	for (int i = 0; i < 8; i++) {
		memset(buf + i * BLOCK, 'a' + i, BLOCK);
		cbs[i] = (struct iocb){.aio_fildes = (uint32_t)fd,
				       .aio_lio_opcode = IOCB_CMD_PWRITE,
				       .aio_buf = (uint64_t)(uintptr_t)(buf + i * BLOCK),
				       .aio_nbytes = BLOCK,
				       .aio_offset = (7 - i) * BLOCK};
		list[i] = &cbs[i];
	}
	assert_int_equal(syscall(SYS_io_submit, ctx, 8L, list), 8);
	struct io_event events[8];
	assert_int_equal(syscall(SYS_io_getevents, ctx, 8L, 8L, events, NULL), 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(events[i].res, BLOCK);
	OK(syscall(SYS_io_destroy, ctx));
	for (int i = 0; i < 8; i++) {
		unsigned char want[BLOCK];
		memset(want, 'a' + 7 - i, BLOCK);
		int plain = open("f", O_RDONLY);
		OK(plain);
		expect_bytes(plain, i * BLOCK, want, BLOCK);
		OK(close(plain));
	}
	free(buf);
	OK(close(fd));
}

/* io_uring without a library: one write and one read through the rings. */
static void io_uring_works(void **state)
{
	(void)state;
	struct io_uring_params p = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (ring < 0) {
		print_message("# SKIP no io_uring here: %s\n", strerror(errno));
		skip();
	}
	size_t sq_len = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	size_t cq_len = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	size_t sqe_len = p.sq_entries * sizeof(struct io_uring_sqe);
	unsigned char *sq =
		mmap(NULL, sq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	unsigned char *cq =
		mmap(NULL, cq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqes =
		mmap(NULL, sqe_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	assert_true(sq != MAP_FAILED && cq != MAP_FAILED && sqes != MAP_FAILED);
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	OK(fd);
	char out[16] = "through a ring!", in[16] = {0};
	for (int step = 0; step < 2; step++) {
		unsigned *tail = (unsigned *)(void *)(sq + p.sq_off.tail);
		unsigned slot = *tail & *(unsigned *)(void *)(sq + p.sq_off.ring_mask);
		sqes[slot] = (struct io_uring_sqe){.opcode = step ? IORING_OP_READ : IORING_OP_WRITE,
						   .fd = fd,
						   .off = 8000,
						   .addr = (uint64_t)(uintptr_t)(step ? in : out),
						   .len = 16,
						   .user_data = 42};
		((unsigned *)(void *)(sq + p.sq_off.array))[slot] = slot;
		__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
		assert_int_equal(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0L), 1);
		unsigned *head = (unsigned *)(void *)(cq + p.cq_off.head);
		assert_int_not_equal(*head,
				     __atomic_load_n((unsigned *)(void *)(cq + p.cq_off.tail), __ATOMIC_ACQUIRE));
		struct io_uring_cqe *cqe = (struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes) +
					   (*head & *(unsigned *)(void *)(cq + p.cq_off.ring_mask));
		assert_int_equal(cqe->res, 16);
		__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	}
	assert_memory_equal(in, out, 16);
	OK(munmap(sq, sq_len));
	OK(munmap(cq, cq_len));
	OK(munmap(sqes, sqe_len));
	OK(close(fd));
	OK(close(ring));
}

/* Four processes, each with files of its own in shared directories: writing, truncating, renaming and linking at once.
 * Every process knows what its files must hold and checks after the caches were dropped. */
struct owned {
	unsigned char data[65536];
	size_t size;
	bool twice; /* has a second name */
};

static int churn(int self, uint64_t seed)
{
	struct lk_test_random random = {seed + (uint64_t)self};
	static struct owned files[8];
	char name[64], second[64];
	for (int step = 0; step < 1500; step++) {
		int i = (int)lk_test_below(&random, 8);
		struct owned *f = &files[i];
		(void)snprintf(name, sizeof(name), "d%d/p%d.%d", i % 2, self, i);
		(void)snprintf(second, sizeof(second), "d%d/p%d.%d.b", (i + 1) % 2, self, i);
		int fd = open(name, O_RDWR | O_CREAT, 0644);
		if (fd < 0)
			return 1;
		switch (lk_test_below(&random, 6)) {
		case 0:
		case 1: {
			size_t at = lk_test_below(&random, 40000), len = 1 + lk_test_below(&random, 20000);
			unsigned char byte = (unsigned char)lk_test_next(&random);
			if (at > f->size)
				memset(f->data + f->size, 0, at - f->size);
			memset(f->data + at, byte, len);
			f->size = f->size > at + len ? f->size : at + len;
			if (pwrite(fd, f->data + at, len, (off_t)at) != (ssize_t)len)
				return 2;
			break;
		}
		case 2: {
			size_t size = lk_test_below(&random, 65536);
			if (size > f->size)
				memset(f->data + f->size, 0, size - f->size);
			f->size = size;
			if (ftruncate(fd, (off_t)size))
				return 3;
			break;
		}
		case 3:
			if (!f->twice && link(name, second))
				return 4;
			f->twice = true;
			break;
		case 4:
			if (f->twice && unlink(second))
				return 5;
			f->twice = false;
			break;
		default: {
			char moved[80];
			(void)snprintf(moved, sizeof(moved), "d%d/p%d.moved", self % 2, self);
			if (rename(name, moved) || rename(moved, name))
				return 6;
		}
		}
		if (step % 500 == 499 && fsync(fd))
			return 7;
		if (close(fd))
			return 8;
	}
	drop_caches();
	for (int i = 0; i < 8; i++) {
		static unsigned char got[65537];
		(void)snprintf(name, sizeof(name), "d%d/p%d.%d", i % 2, self, i);
		struct stat st;
		int fd = open(name, O_RDONLY);
		if (fd < 0 && errno == ENOENT && !files[i].size)
			continue;
		if (fd < 0 || fstat(fd, &st) || st.st_nlink != (files[i].twice ? 2 : 1))
			return 9;
		ssize_t n = pread(fd, got, sizeof(got), 0);
		if (n != (ssize_t)files[i].size || memcmp(got, files[i].data, files[i].size) != 0)
			return 10;
		(void)close(fd);
	}
	return 0;
}

static void four_processes_at_once(void **state)
{
	(void)state;
	uint64_t seed = lk_test_seed();
	OK(mkdir("d0", 0755));
	OK(mkdir("d1", 0755));
	pid_t pids[4];
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(churn(i, seed));
	}
	for (int i = 0; i < 4; i++)
		wait_for(pids[i]);
}

static void flags_of_open_keep_their_word(void **state)
{
	(void)state;
	put_file("f", "content");
	FAILS(EEXIST, open("f", O_CREAT | O_EXCL | O_WRONLY, 0644));
	int fd = open("f", O_WRONLY | O_TRUNC);
	OK(fd);
	assert_int_equal(stat_of("f").st_size, 0);
	OK(close(fd));
	FAILS(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
	FAILS(EISDIR, open(".", O_WRONLY));
	fd = open("f", O_WRONLY | O_SYNC);
	OK(fd);
	assert_int_equal(write(fd, "synced", 6), 6);
	OK(close(fd));
	expect_file("f", "synced");
	OK(symlink("made", "s"));
	fd = open("s", O_CREAT | O_WRONLY, 0600);
	OK(fd);
	OK(close(fd));
	assert_int_equal(stat_of("made").st_mode, 0100600);
	OK(symlink("made2", "s2"));
	FAILS(EEXIST, open("s2", O_CREAT | O_EXCL | O_WRONLY, 0600));
	FAILS(ENOTDIR, open("f/", O_RDONLY));
	FAILS(EISDIR, open("new/", O_CREAT | O_WRONLY, 0600));
}

static const struct CMUnitTest tests[] = {
	BEHAVE(locks_work_and_never_hang),
	BEHAVE(mapped_writes_reach_the_file),
	BEHAVE(direct_io_sees_and_is_seen),
	BEHAVE(appends_of_several_processes_lose_nothing),
	BEHAVE(the_kernel_copies_right),
	BEHAVE(linux_aio_works),
	BEHAVE(io_uring_works),
	BEHAVE(four_processes_at_once),
	BEHAVE(flags_of_open_keep_their_word),
};
BEHAVE_MAIN(tests)
