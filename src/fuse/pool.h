/*
 * pool.h - what the files that move requests share: a worker, and the pool it belongs to.
 *
 *   pool.c  threads and leadership: who waits for requests, who is parked
 *   wait.c  one request: waiting for it, reading it, serving it
 *
 * Layer: fuse.
 */
#ifndef LK_FUSE_POOL_H
#define LK_FUSE_POOL_H

#include "session.h"

#include <sys/types.h>

#define LK_FUSE_THREADS_MAX 64u
#define LK_FUSE_IDLE_MS 1000

struct lk_fuse_pool {
	struct linkfs_mount *mount;
	int end_fd; /* readable when the pool ends */
	_Atomic bool ending;
	/* wait.c */
	_Atomic bool polling;    /* somebody polls */
	_Atomic uint64_t gap_ns; /* moving average between a reply and the next request */
	_Atomic uint64_t no_poll_until_ns, backoff_ns, check_at_ns;
	_Atomic uint32_t wanted; /* looks in a row at which all cores were wanted */
	int load_fd;             /* /proc/loadavg, -1 without */
	uint32_t cores_online;
	bool may_poll;
	/* pool.c */
	_Atomic uint32_t leaders; /* changed under the lock */
	uint32_t leaders_max;
	pthread_mutex_t lock;
	pthread_cond_t parked_cond;
	uint32_t threads, threads_max, parked, tokens; /* tokens: leaders appointed that have not woken yet */
	pthread_t ids[LK_FUSE_THREADS_MAX];
};

struct lk_fuse_worker {
	struct linkfs_mount *mount;
	struct lk_fuse_pool *pool;
	uint8_t *in, *out;
	size_t in_used, out_used; /* most bytes touched since the buffers were given back */
	uint32_t streak;          /* requests in a row that were there without a wait */
	uint64_t last_ns;         /* when it last finished something */
	uint64_t start_ns;        /* when the request at hand was read */
	bool leading;
	bool slept; /* in vain looked for the last request, and did not poll */
	struct lk_fuse_request rq;
};

enum lk_fuse_wait { LK_FUSE_WAIT_REQUEST, LK_FUSE_WAIT_STEP_DOWN, LK_FUSE_WAIT_END };

/* pool.c */
/* One of several leaders retires; false for the last one. */
bool lk_fuse_step_down(struct lk_fuse_worker *worker);

/* wait.c */
int lk_fuse_worker_init(struct lk_fuse_worker *worker, struct linkfs_mount *mount);
void lk_fuse_worker_done(struct lk_fuse_worker *worker);
bool lk_fuse_buffers_large(const struct lk_fuse_worker *worker);
void lk_fuse_buffers_trim(struct lk_fuse_worker *worker);
/* Waits as leader until a request lies in worker->in, until there is no need for this leader, or until serving ends. */
enum lk_fuse_wait lk_fuse_wait_request(struct lk_fuse_worker *worker, size_t *len_out);
/* Serves the request in worker->in and counts it; returns true when the reply was an error. */
bool lk_fuse_serve(struct lk_fuse_worker *worker, size_t len);
uint32_t lk_fuse_opcode_of(const struct lk_fuse_worker *worker);

#endif
