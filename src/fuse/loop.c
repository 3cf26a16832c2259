/*
 * loop.c - the threads that serve. What costs is not our work but the way to us: a server that sleeps in the kernel is
 * woken in about 65 us where the other core is idle, one that polls answers in about 9 us (design M1). So:
 *
 * - Leaders wait for requests, the other workers are parked on our own condition. One leader is the rule: a request that
 *   arrives wakes nobody but the one who takes it. A leader serves what it reads itself, without a hand-over.
 * - Before an operation that may take long (a row marked so, or its moving average) the leader makes another worker
 *   leader. With a queue that does not get empty, it adds one.
 * - A leader without work polls for a while that follows the pace of the requests, then sleeps in poll(2). One worker
 *   polls at a time, and only while nobody else wants the core: it yields between two looks, and if it does not get the
 *   core back at once it sleeps and polls no more for a while. An idle mount does nothing at all.
 * - Threads are made when first needed. Buffers are given back to the system after a second without work.
 *
 * No operation waits for another request's answer, so the number of threads bounds speed, never progress.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64u
#define THREADS_DEFAULT 16u
#define SLOW_NS 400000u     /* hand leadership over before an operation that usually takes this long */
#define STREAK 4u           /* requests without a wait that make a queue */
#define WAITING_NS 60000u   /* an average beyond this is waiting for a disk: more workers than cores help */
#define GAP_CAP_NS 400000u  /* longest gap between requests that counts in the average */
#define GAP_POLL_NS 150000u /* poll while the average gap is below this */
#define WINDOW_MAX_NS 300000u
#define LOST_CORE_NS 20000u /* away for longer between two looks: somebody else wanted the core */
#define BACKOFF_MIN_NS 2000000u
#define BACKOFF_MAX_NS 128000000u
#define IDLE_MS 1000

struct lk_fuse_pool {
	struct linkfs_mount *mount;
	int end_fd; /* readable when the pool ends */
	_Atomic bool ending;
	_Atomic bool polling;    /* somebody polls */
	_Atomic uint64_t gap_ns; /* moving average between a reply and the next request */
	_Atomic uint64_t no_poll_until_ns, backoff_ns;
	_Atomic uint32_t leaders; /* changed under the lock */
	uint32_t leaders_max;
	bool may_poll;
	pthread_mutex_t lock;
	pthread_cond_t parked_cond;
	uint32_t threads, threads_max, parked, tokens; /* tokens: leaders appointed that have not woken yet */
	pthread_t ids[THREADS_MAX];
};

struct worker {
	struct linkfs_mount *mount;
	struct lk_fuse_pool *pool;
	uint8_t *in, *out;
	size_t in_used, out_used; /* most bytes touched since the buffers were given back */
	uint32_t streak;
	uint64_t last_ns; /* when it last finished something */
	bool leading;
	struct lk_fuse_request rq;
};

enum wait { WAIT_REQUEST, WAIT_STEP_DOWN, WAIT_END };

uint64_t lk_fuse_clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- buffers ---------------------------------------------------------------------------------------------- */

static int worker_init(struct worker *worker, struct linkfs_mount *mount)
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

static void worker_done(struct worker *worker)
{
	if (worker->in)
		munmap(worker->in, 2 * LK_FUSE_BUFFER_SIZE);
}

static bool buffers_large(const struct worker *worker)
{
	return worker->in_used > 16384 || worker->out_used > 16384;
}

static void buffers_trim(struct worker *worker)
{
	madvise(worker->in, 2 * LK_FUSE_BUFFER_SIZE, MADV_DONTNEED);
	worker->in_used = worker->out_used = 0;
}

/* ---- one request ------------------------------------------------------------------------------------------ */

/* Length of the request read into worker->in; 0: none now; -1: the connection is gone. */
static ssize_t read_request(struct worker *worker)
{
	for (;;) {
		ssize_t n = read(worker->mount->fd, worker->in, LK_FUSE_BUFFER_SIZE);
		if (n >= (ssize_t)sizeof(struct fuse_in_header)) {
			if ((size_t)n > worker->in_used)
				worker->in_used = (size_t)n;
			return n;
		}
		if (n < 0 && (errno == EINTR || errno == ENOENT))
			continue; /* ENOENT: the caller gave up while we read */
		if (n < 0 && errno == EAGAIN)
			return 0;
		return -1;
	}
}

static uint32_t opcode_of(const struct worker *worker)
{
	uint32_t opcode = ((const struct fuse_in_header *)(const void *)worker->in)->opcode;
	return opcode < LK_FUSE_OPCODES ? opcode : 0;
}

/* Returns true when the reply was an error. */
static bool serve(struct worker *worker, size_t len, uint64_t start)
{
	struct linkfs_mount *mount = worker->mount;
	size_t n = lk_fuse_dispatch(mount, worker->in, len, worker->out, LK_FUSE_BUFFER_SIZE, &worker->rq);
	bool failed = n && ((const struct fuse_out_header *)(const void *)worker->out)->error;
	/* Before the reply, so that who has it finds itself counted. */
	lk_fuse_count(mount, opcode_of(worker), failed, lk_fuse_clock_ns() - start);
	if (!n)
		return false;
	if (n > worker->out_used)
		worker->out_used = n;
	ssize_t w;
	do {
		w = write(mount->fd, worker->out, n);
	} while (w < 0 && errno == EINTR);
	if (w < 0)
		lk_fuse_undo(&worker->rq, worker->out, n);
	return failed;
}

/* ---- leadership ------------------------------------------------------------------------------------------- */

static void *worker_main(void *arg);

/* Makes another worker leader, a new thread if need be. Called with the lock held; leaders counts it already. */
static bool appoint(struct lk_fuse_pool *pool)
{
	if (pool->parked > pool->tokens) {
		pool->tokens++;
		pthread_cond_signal(&pool->parked_cond);
		return true;
	}
	if (pool->threads == pool->threads_max || atomic_load(&pool->ending))
		return false;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&pool->ids[pool->threads], NULL, worker_main, pool->mount);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e)
		return false;
	pool->threads++;
	return true;
}

/* Before something slow: somebody else listens meanwhile. */
static void hand_over(struct worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	pthread_mutex_lock(&pool->lock);
	worker->leading = false;
	uint32_t leaders = atomic_load(&pool->leaders) - 1;
	if (leaders == 0 && appoint(pool))
		leaders = 1;
	atomic_store(&pool->leaders, leaders);
	pthread_mutex_unlock(&pool->lock);
}

static void add_leader(struct worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	uint64_t average = atomic_load_explicit(&worker->mount->slow_ns[opcode_of(worker)], memory_order_relaxed);
	uint32_t most = average > WAITING_NS ? pool->threads_max : pool->leaders_max;
	worker->streak = 0;
	if (atomic_load_explicit(&pool->leaders, memory_order_relaxed) >= most)
		return;
	pthread_mutex_lock(&pool->lock);
	if (atomic_load(&pool->leaders) < most && appoint(pool))
		atomic_fetch_add(&pool->leaders, 1);
	pthread_mutex_unlock(&pool->lock);
}

/* After something slow: becomes leader again when nobody is, or to poll for what usually comes soon. The one who
 * sleeps as leader meanwhile steps down when it wakes. */
static void lead_again(struct worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	pthread_mutex_lock(&pool->lock);
	bool poll_now = pool->may_poll && !atomic_load(&pool->polling) &&
			atomic_load(&pool->leaders) <= pool->leaders_max &&
			lk_fuse_clock_ns() >= atomic_load(&pool->no_poll_until_ns);
	if (atomic_load(&pool->leaders) == 0 || poll_now) {
		atomic_fetch_add(&pool->leaders, 1);
		worker->leading = true;
	}
	pthread_mutex_unlock(&pool->lock);
}

/* One of several leaders retires; false for the last one. */
static bool step_down(struct worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	if (atomic_load_explicit(&pool->leaders, memory_order_relaxed) <= 1)
		return false;
	pthread_mutex_lock(&pool->lock);
	bool down = atomic_load(&pool->leaders) > 1;
	if (down) {
		atomic_fetch_sub(&pool->leaders, 1);
		worker->leading = false;
	}
	pthread_mutex_unlock(&pool->lock);
	return down;
}

/* Waits to be appointed; false when the pool ends. */
static bool park(struct worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	pthread_mutex_lock(&pool->lock);
	pool->parked++;
	while (!pool->tokens && !atomic_load(&pool->ending)) {
		if (!buffers_large(worker)) {
			pthread_cond_wait(&pool->parked_cond, &pool->lock);
			continue;
		}
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += IDLE_MS / 1000;
		if (pthread_cond_timedwait(&pool->parked_cond, &pool->lock, &until) == ETIMEDOUT)
			buffers_trim(worker);
	}
	pool->parked--;
	bool ending = atomic_load(&pool->ending);
	if (!ending)
		pool->tokens--;
	pthread_mutex_unlock(&pool->lock);
	worker->leading = !ending;
	worker->streak = 0;
	worker->last_ns = lk_fuse_clock_ns();
	return !ending;
}

/* ---- waiting ---------------------------------------------------------------------------------------------- */

static void gap_note(struct lk_fuse_pool *pool, uint64_t gap_ns)
{
	uint64_t old = atomic_load_explicit(&pool->gap_ns, memory_order_relaxed);
	if (gap_ns > GAP_CAP_NS)
		gap_ns = GAP_CAP_NS;
	atomic_store_explicit(&pool->gap_ns, old - old / 8 + gap_ns / 8, memory_order_relaxed);
}

/* How long to poll; 0: not at all. */
static uint64_t poll_window(const struct worker *worker, uint64_t now)
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
	atomic_store_explicit(&pool->no_poll_until_ns, now + backoff, memory_order_relaxed);
}

/* Looks for a request until the window ends or the core is wanted. As read_request(). */
static ssize_t poll_for_request(struct worker *worker, uint64_t start, uint64_t window)
{
	struct lk_fuse_pool *pool = worker->pool;
	bool adaptive = worker->mount->poll_us == UINT32_MAX, free_to_poll = false;
	uint64_t now = start;
	uint32_t lost = 0;
	ssize_t n = 0;
	if (!window || !atomic_compare_exchange_strong(&pool->polling, &free_to_poll, true))
		return 0;
	while (now - start < window && !atomic_load_explicit(&pool->ending, memory_order_relaxed)) {
		sched_yield();
		n = read_request(worker);
		if (n)
			break;
		uint64_t before = now;
		now = lk_fuse_clock_ns();
		if (adaptive && now - before > LOST_CORE_NS && ++lost == 2) {
			core_lost(pool, now);
			break;
		}
	}
	atomic_store(&pool->polling, false);
	if (n > 0 && !lost && atomic_load_explicit(&pool->backoff_ns, memory_order_relaxed))
		atomic_store_explicit(&pool->backoff_ns, atomic_load(&pool->backoff_ns) / 2, memory_order_relaxed);
	return n;
}

/* Sleeps until there is something to read; false when the pool ends. */
static bool sleep_for_request(struct worker *worker)
{
	struct pollfd wait[2] = {{.fd = worker->mount->fd, .events = POLLIN},
				 {.fd = worker->pool->end_fd, .events = POLLIN}};
	int n = poll(wait, 2, buffers_large(worker) ? IDLE_MS : -1);
	if (n == 0)
		buffers_trim(worker);
	return !atomic_load(&worker->pool->ending);
}

static enum wait wait_request(struct worker *worker, size_t *len_out)
{
	struct lk_fuse_pool *pool = worker->pool;
	uint64_t start = worker->last_ns;
	bool polled = false;
	for (;;) {
		if (atomic_load_explicit(&pool->ending, memory_order_relaxed))
			return WAIT_END;
		ssize_t n = read_request(worker);
		if (n == 0) {
			worker->streak = 0;
			if (!polled) {
				uint64_t now = lk_fuse_clock_ns();
				n = poll_for_request(worker, now, poll_window(worker, now));
				polled = true;
			}
		} else {
			worker->streak++;
		}
		if (n > 0) {
			gap_note(pool, lk_fuse_clock_ns() - start);
			*len_out = (size_t)n;
			return WAIT_REQUEST;
		}
		if (n < 0) {
			atomic_store(&worker->mount->gone, true);
			return WAIT_END;
		}
		if (step_down(worker))
			return WAIT_STEP_DOWN;
		if (!sleep_for_request(worker))
			return WAIT_END;
	}
}

/* ---- threads ---------------------------------------------------------------------------------------------- */

static void serve_one(struct worker *worker, size_t len)
{
	struct linkfs_mount *mount = worker->mount;
	const struct lk_fuse_op *op = lk_fuse_op_find(worker->in);
	uint32_t opcode = opcode_of(worker);
	uint32_t average = atomic_load_explicit(&mount->slow_ns[opcode], memory_order_relaxed);
	if ((op && (op->flags & LK_FUSE_SLOW)) || average > SLOW_NS)
		hand_over(worker);
	else if (worker->streak >= STREAK)
		add_leader(worker);

	uint64_t start = lk_fuse_clock_ns();
	serve(worker, len, start);
	worker->last_ns = lk_fuse_clock_ns();
	uint64_t took = worker->last_ns - start;
	if (took > 10000000u)
		took = 10000000u;
	average = average - average / 8 + (uint32_t)took / 8;
	atomic_store_explicit(&mount->slow_ns[opcode], average, memory_order_relaxed);
}

static void *worker_main(void *arg)
{
	struct linkfs_mount *mount = arg;
	struct worker worker;
	size_t len;
	bool alive = worker_init(&worker, mount) == 0;
	worker.leading = alive; /* a thread is born leader */
	worker.last_ns = lk_fuse_clock_ns();
	while (alive) {
		if (!worker.leading && !park(&worker))
			break;
		enum wait wait = wait_request(&worker, &len);
		if (wait == WAIT_END)
			break;
		if (wait == WAIT_STEP_DOWN)
			continue;
		serve_one(&worker, len);
		if (!worker.leading)
			lead_again(&worker);
	}
	worker_done(&worker);
	/* Without it nobody may be listening: serving ends, and the caller unmounts. */
	const uint64_t one = 1;
	ssize_t n = write(mount->stop_fd, &one, sizeof(one));
	(void)n;
	if (!alive)
		atomic_store(&mount->stopping, true);
	return NULL;
}

static uint32_t core_count(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}

int lk_fuse_pool_start(struct linkfs_mount *mount)
{
	uint32_t cores = core_count();
	struct lk_fuse_pool *pool = calloc(1, sizeof(*pool));
	if (!pool)
		return LINKFS_ENOMEM;
	pool->mount = mount;
	pool->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->end_fd < 0) {
		free(pool);
		return linkfs_from_errno(errno);
	}
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->parked_cond, NULL);
	pool->threads_max = mount->threads ? mount->threads : cores * 2 > THREADS_DEFAULT ? cores * 2 : THREADS_DEFAULT;
	if (pool->threads_max > THREADS_MAX)
		pool->threads_max = THREADS_MAX;
	pool->leaders_max = cores / 2 ? cores / 2 : 1;
	pool->may_poll = mount->poll_us != 0 && cores > 1;
	mount->pool = pool;
	pthread_mutex_lock(&pool->lock);
	atomic_store(&pool->leaders, 1);
	bool started = appoint(pool);
	pthread_mutex_unlock(&pool->lock);
	if (!started) {
		lk_fuse_pool_end(mount);
		return LINKFS_EAGAIN;
	}
	return 0;
}

void lk_fuse_pool_end(struct linkfs_mount *mount)
{
	struct lk_fuse_pool *pool = mount->pool;
	const uint64_t one = 1;
	pthread_mutex_lock(&pool->lock);
	atomic_store(&pool->ending, true);
	ssize_t n = write(pool->end_fd, &one, sizeof(one));
	(void)n;
	pthread_cond_broadcast(&pool->parked_cond);
	uint32_t threads = pool->threads; /* none is made once ending is set */
	pthread_mutex_unlock(&pool->lock);
	for (uint32_t i = 0; i < threads; i++)
		pthread_join(pool->ids[i], NULL);
	close(pool->end_fd);
	pthread_cond_destroy(&pool->parked_cond);
	pthread_mutex_destroy(&pool->lock);
	mount->pool = NULL;
	free(pool);
}

int lk_fuse_serve_init(struct linkfs_mount *mount, int timeout_ms)
{
	struct worker worker;
	uint64_t end = lk_fuse_clock_ns() + (uint64_t)timeout_ms * 1000000u;
	int r = worker_init(&worker, mount);
	while (!r && !mount->conn.ready) {
		ssize_t n = read_request(&worker);
		uint64_t now = lk_fuse_clock_ns();
		struct pollfd wait = {.fd = mount->fd, .events = POLLIN};
		if (n < 0)
			r = LINKFS_ENOTCONN;
		else if (n > 0 && serve(&worker, (size_t)n, now))
			r = LINKFS_EOPNOTSUPP;
		else if (n == 0 && now >= end)
			r = LINKFS_EIO;
		else if (n == 0)
			poll(&wait, 1, (int)((end - now) / 1000000u) + 1);
	}
	worker_done(&worker);
	return r;
}
