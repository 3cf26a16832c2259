/*
 * wait.c - one request: waiting for it, reading it, serving it, writing the reply.
 *
 * What costs is not our work but the way to us: waking a thread on an idle core takes 20 to 65 us, while our work takes 2
 * to 6. A leader without work polls for a while that follows the pace of the requests, then sleeps in poll(2). One worker
 * polls at a time, and only while a core is idle: not when more threads are running than there are cores, and when it has
 * been away between two looks it sleeps and polls no more for a while. An idle mount does nothing at all.
 * Layer: fuse.
 */
#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GAP_CAP_NS 400000u  /* longest gap between requests that counts in the average */
#define GAP_POLL_NS 150000u /* poll while the average gap is below this */
#define WINDOW_MAX_NS 300000u
#define LOST_CORE_NS 50000u /* away for longer between two looks: somebody else had the core */
#define CHECK_NS 2000000u   /* how often to ask for the number of running threads while polling */
#define WANTED_NS 10000000u /* no polling for so long when there are too many */
#define READ_FAILURES_MAX 1000u
#define QUEUED_NS 4000u /* a request that soon was there already */
#define BACKOFF_MIN_NS 10000000u
#define BACKOFF_MAX_NS 320000000u

uint64_t lk_fuse_clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- buffers ---------------------------------------------------------------------------------------------- */

int lk_fuse_worker_init(struct lk_fuse_worker *worker, struct linkfs_mount *mount)
{
	memset(worker, 0, sizeof(*worker));
	worker->mount = mount;
	worker->pool = mount->pool;
	uint8_t *p = mmap(NULL, 2 * LK_FUSE_BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return LINKFS_ENOMEM;
	worker->in = p;
	worker->out = p + LK_FUSE_BUFFER_SIZE;
	return 0;
}

void lk_fuse_worker_done(struct lk_fuse_worker *worker)
{
	if (worker->in)
		munmap(worker->in, 2 * LK_FUSE_BUFFER_SIZE);
}

bool lk_fuse_buffers_large(const struct lk_fuse_worker *worker)
{
	return worker->in_used > 16384 || worker->out_used > 16384;
}

void lk_fuse_buffers_trim(struct lk_fuse_worker *worker)
{
	madvise(worker->in, 2 * LK_FUSE_BUFFER_SIZE, MADV_DONTNEED);
	worker->in_used = worker->out_used = 0;
}

/* ---- one request ------------------------------------------------------------------------------------------ */

/* Length of the request read into worker->in; 0: none now; -1: the connection is gone. */
static ssize_t read_request(struct lk_fuse_worker *worker)
{
	for (uint32_t failures = 0; failures < READ_FAILURES_MAX;) {
		ssize_t n = read(worker->mount->fd, worker->in, LK_FUSE_BUFFER_SIZE);
		if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
			if ((size_t)n > worker->in_used)
				worker->in_used = (size_t)n;
			return n;
		}
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && (errno == EINTR || errno == ENOENT))
			continue; /* ENOENT: the caller gave up while we read */
		if (n < 0 && (errno == ENODEV || errno == ECONNABORTED))
			return -1;
		/* Memory was short while it was copied: the kernel has failed that request, not the connection. */
		failures++;
	}
	return -1;
}

uint32_t lk_fuse_opcode_of(const struct lk_fuse_worker *worker)
{
	uint32_t opcode = ((const struct fuse_in_header *)(const void *)worker->in)->opcode;
	return opcode < LK_FUSE_OPCODES ? opcode : 0;
}

/* Returns true when the reply was an error. */
bool lk_fuse_serve(struct lk_fuse_worker *worker, size_t len)
{
	struct linkfs_mount *mount = worker->mount;
	size_t n = lk_fuse_dispatch(mount, worker->in, len, worker->out, LK_FUSE_BUFFER_SIZE, &worker->rq);
	bool failed = n && ((const struct fuse_out_header *)(const void *)worker->out)->error;
	/* Before the reply, so that who has it finds itself counted. */
	lk_fuse_count(mount, lk_fuse_opcode_of(worker), failed, lk_fuse_clock_ns() - worker->start_ns);
	if (!n)
		return false;
	if (n > worker->out_used)
		worker->out_used = n;
	if (n == sizeof(struct fuse_out_header) && !failed && lk_fuse_texts_defer(mount, (const void *)worker->out))
		return false;
	ssize_t w;
	do {
		w = write(mount->fd, worker->out, n);
	} while (w < 0 && errno == EINTR);
	if (w < 0)
		lk_fuse_undo(&worker->rq, worker->out, n);
	else if (worker->rq.next_cookie)
		lk_fuse_ahead_make(&worker->rq);
	return failed;
}

/* ---- waiting ---------------------------------------------------------------------------------------------- */

static void gap_note(struct lk_fuse_pool *pool, uint64_t gap_ns)
{
	uint64_t old = atomic_load_explicit(&pool->gap_ns, memory_order_relaxed);
	if (gap_ns > GAP_CAP_NS)
		gap_ns = GAP_CAP_NS;
	atomic_store_explicit(&pool->gap_ns, old - old / 8 + gap_ns / 8, memory_order_relaxed);
}

/* Whether more threads want to run than there are cores. Polling would take a core from one of them, and a poller that
 * has used up its turn waits for all of theirs, with requests waiting for it. */
static bool cores_wanted(const struct lk_fuse_pool *pool)
{
	char text[128];
	ssize_t n = pool->load_fd < 0 ? 0 : pread(pool->load_fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return false;
	text[n] = 0;
	/* "0.00 0.01 0.05 RUNNING/THREADS PID"; we are one of them, and so is the caller who got its reply just now. */
	const char *p = text;
	for (int i = 0; p && i < 3; i++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p && strtoul(p, NULL, 10) > pool->cores_online;
}

static void no_poll_for(struct lk_fuse_pool *pool, uint64_t now, uint64_t ns)
{
	atomic_store_explicit(&pool->no_poll_until_ns, now + ns, memory_order_relaxed);
}

/* How long to poll; 0: not at all. */
static uint64_t poll_window(const struct lk_fuse_worker *worker, uint64_t now)
{
	struct lk_fuse_pool *pool = worker->pool;
	uint32_t fixed = worker->mount->poll_us;
	if (!pool->may_poll)
		return 0;
	if (fixed != UINT32_MAX)
		return (uint64_t)fixed * 1000u;
	uint64_t gap = atomic_load_explicit(&pool->gap_ns, memory_order_relaxed);
	if (gap > GAP_POLL_NS || now < atomic_load_explicit(&pool->no_poll_until_ns, memory_order_relaxed))
		return 0;
	if (now >= atomic_load_explicit(&pool->check_at_ns, memory_order_relaxed)) {
		/* Twice in a row: once may be something short-lived. */
		if (cores_wanted(pool)) {
			if (atomic_fetch_add_explicit(&pool->wanted, 1, memory_order_relaxed))
				no_poll_for(pool, now, WANTED_NS);
			return 0;
		}
		atomic_store_explicit(&pool->wanted, 0, memory_order_relaxed);
		atomic_store_explicit(&pool->check_at_ns, now + CHECK_NS, memory_order_relaxed);
	}
	uint64_t window = 4 * gap + 20000u;
	return window < WINDOW_MAX_NS ? window : WINDOW_MAX_NS;
}

static void core_lost(struct lk_fuse_pool *pool, uint64_t now)
{
	uint64_t backoff = atomic_load_explicit(&pool->backoff_ns, memory_order_relaxed);
	backoff = backoff < BACKOFF_MIN_NS ? BACKOFF_MIN_NS : backoff * 2;
	if (backoff > BACKOFF_MAX_NS)
		backoff = BACKOFF_MAX_NS;
	atomic_store_explicit(&pool->backoff_ns, backoff, memory_order_relaxed);
	no_poll_for(pool, now, backoff);
}

/* Looks for a request until the window ends or the core is wanted. As read_request(). */
static ssize_t poll_for_request(struct lk_fuse_worker *worker, uint64_t start, uint64_t window)
{
	struct lk_fuse_pool *pool = worker->pool;
	bool adaptive = worker->mount->poll_us == UINT32_MAX, free_to_poll = false, lost = false;
	uint64_t now = start;
	ssize_t n = 0;
	if (!window || !atomic_compare_exchange_strong(&pool->polling, &free_to_poll, true))
		return 0;
	while (!n && !lost && now - start < window && !atomic_load_explicit(&pool->ending, memory_order_relaxed)) {
		uint64_t before = now;
		n = read_request(worker);
		now = lk_fuse_clock_ns();
		lost = adaptive && now - before > LOST_CORE_NS;
	}
	atomic_store(&pool->polling, false);
	if (lost)
		core_lost(pool, now);
	else if (n > 0 && atomic_load_explicit(&pool->backoff_ns, memory_order_relaxed))
		atomic_store_explicit(&pool->backoff_ns, atomic_load(&pool->backoff_ns) / 2, memory_order_relaxed);
	return n;
}

/* Sleeps until there is something to read; false when the pool ends. */
static bool sleep_for_request(struct lk_fuse_worker *worker)
{
	struct pollfd wait[2] = {{.fd = worker->mount->fd, .events = POLLIN},
				 {.fd = worker->pool->end_fd, .events = POLLIN}};
	int n = poll(wait, 2, lk_fuse_buffers_large(worker) ? LK_FUSE_IDLE_MS : -1);
	if (n == 0)
		lk_fuse_buffers_trim(worker);
	return !atomic_load(&worker->pool->ending);
}

enum lk_fuse_wait lk_fuse_wait_request(struct lk_fuse_worker *worker, size_t *len_out)
{
	struct lk_fuse_pool *pool = worker->pool;
	uint64_t last = worker->last_ns;
	bool polled = false;
	for (;;) {
		if (atomic_load_explicit(&pool->ending, memory_order_relaxed))
			return LK_FUSE_WAIT_END;
		/* After a sleep the next request usually needs one too: a look before it would be in vain. */
		ssize_t n = worker->slept ? 0 : read_request(worker);
		if (n > 0) {
			worker->streak++;
		} else if (n == 0) {
			worker->streak = 0;
			uint64_t now = lk_fuse_clock_ns();
			uint64_t window = polled ? 0 : poll_window(worker, now);
			polled = true;
			n = poll_for_request(worker, now, window);
			if (n == 0 && lk_fuse_step_down(worker))
				return LK_FUSE_WAIT_STEP_DOWN;
			if (n == 0) {
				if (!sleep_for_request(worker))
					return LK_FUSE_WAIT_END;
				n = read_request(worker);
				worker->slept = window == 0;
			}
		}
		if (n > 0) {
			worker->start_ns = lk_fuse_clock_ns();
			if (worker->start_ns - last < QUEUED_NS)
				worker->slept = false;
			gap_note(pool, worker->start_ns - last);
			*len_out = (size_t)n;
			return LK_FUSE_WAIT_REQUEST;
		}
		if (n < 0) {
			atomic_store(&worker->mount->gone, true);
			return LK_FUSE_WAIT_END;
		}
		worker->slept = false;
	}
}

int lk_fuse_serve_init(struct linkfs_mount *mount, int timeout_ms)
{
	struct lk_fuse_worker worker;
	uint64_t end = lk_fuse_clock_ns() + (uint64_t)timeout_ms * 1000000u;
	int r = lk_fuse_worker_init(&worker, mount);
	while (!r && !mount->conn.ready) {
		ssize_t n = read_request(&worker);
		uint64_t now = worker.start_ns = lk_fuse_clock_ns();
		struct pollfd wait = {.fd = mount->fd, .events = POLLIN};
		if (n < 0)
			r = LINKFS_ENOTCONN;
		else if (n > 0 && lk_fuse_serve(&worker, (size_t)n))
			r = LINKFS_EOPNOTSUPP;
		else if (n == 0 && now >= end)
			r = LINKFS_EIO;
		else if (n == 0)
			poll(&wait, 1, (int)((end - now) / 1000000u) + 1);
	}
	lk_fuse_worker_done(&worker);
	return r;
}
