/*
 * pool.c - the threads that serve, and which of them wait for requests.
 *
 * - Leaders wait for requests, the other workers are parked on our own condition. One leader is the rule: a request that
 *   arrives wakes nobody but the one who takes it. A leader serves what it reads itself, without a hand-over.
 * - Before an operation that may take long (a row marked so, or its moving average) the leader makes another worker
 *   leader. With a queue that does not get empty, it adds one.
 * - Threads are made when first needed. Buffers are given back to the system after a second without work.
 *
 * No operation waits for another request's answer for long (notify.c bounds it), so the number of threads bounds speed, never progress.
 * Layer: fuse.
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define THREADS_DEFAULT 16u
#define SLOW_NS 1000000u  /* hand leadership over before an operation that usually takes this long */
#define STREAK 4u         /* requests without a wait that make a queue */
#define WAITING_NS 60000u /* an average beyond this is waiting for a disk: more workers than cores help */

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
static void hand_over(struct lk_fuse_worker *worker)
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

static void add_leader(struct lk_fuse_worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	uint64_t average =
		atomic_load_explicit(&worker->mount->slow_ns[lk_fuse_opcode_of(worker)], memory_order_relaxed);
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
static void lead_again(struct lk_fuse_worker *worker)
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
bool lk_fuse_step_down(struct lk_fuse_worker *worker)
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
static bool park(struct lk_fuse_worker *worker)
{
	struct lk_fuse_pool *pool = worker->pool;
	pthread_mutex_lock(&pool->lock);
	pool->parked++;
	while (!pool->tokens && !atomic_load(&pool->ending)) {
		if (!lk_fuse_buffers_large(worker)) {
			pthread_cond_wait(&pool->parked_cond, &pool->lock);
			continue;
		}
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LK_FUSE_IDLE_MS / 1000;
		if (pthread_cond_timedwait(&pool->parked_cond, &pool->lock, &until) == ETIMEDOUT)
			lk_fuse_buffers_trim(worker);
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

/* ---- threads ---------------------------------------------------------------------------------------------- */

static void serve_one(struct lk_fuse_worker *worker, size_t len)
{
	struct linkfs_mount *mount = worker->mount;
	const struct lk_fuse_op *op = lk_fuse_op_find(worker->in);
	uint32_t opcode = lk_fuse_opcode_of(worker);
	uint32_t average = atomic_load_explicit(&mount->slow_ns[opcode], memory_order_relaxed);
	bool tells = op && (op->flags & LK_FUSE_TELLS) && linkfs_volume_has_places(mount->volume);
	if ((op && (op->flags & LK_FUSE_SLOW)) || tells || average > SLOW_NS || lk_fuse_asks_links(worker->in, len))
		hand_over(worker);
	else if (worker->streak >= STREAK)
		add_leader(worker);

	lk_fuse_serve(worker, len);
	worker->last_ns = lk_fuse_clock_ns();
	uint64_t took = worker->last_ns - worker->start_ns;
	if (took > 10000000u)
		took = 10000000u;
	average = average - average / 8 + (uint32_t)took / 8;
	atomic_store_explicit(&mount->slow_ns[opcode], average, memory_order_relaxed);
}

static void *worker_main(void *arg)
{
	struct linkfs_mount *mount = arg;
	struct lk_fuse_worker worker;
	size_t len;
	bool alive = lk_fuse_worker_init(&worker, mount) == 0;
	worker.leading = alive; /* a thread is born leader */
	worker.last_ns = lk_fuse_clock_ns();
	while (alive) {
		if (!worker.leading && !park(&worker))
			break;
		enum lk_fuse_wait wait = lk_fuse_wait_request(&worker, &len);
		if (wait == LK_FUSE_WAIT_END)
			break;
		if (wait == LK_FUSE_WAIT_STEP_DOWN)
			continue;
		serve_one(&worker, len);
		if (!worker.leading)
			lead_again(&worker);
	}
	lk_fuse_worker_done(&worker);
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
	if (pool->threads_max > LK_FUSE_THREADS_MAX)
		pool->threads_max = LK_FUSE_THREADS_MAX;
	pool->leaders_max = cores / 2 ? cores / 2 : 1;
	pool->may_poll = mount->poll_us != 0 && cores > 1;
	pool->load_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	pool->cores_online = online > 0 ? (uint32_t)online : cores;
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
	if (pool->load_fd >= 0)
		close(pool->load_fd);
	pthread_cond_destroy(&pool->parked_cond);
	pthread_mutex_destroy(&pool->lock);
	mount->pool = NULL;
	free(pool);
}
