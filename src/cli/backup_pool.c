/*
 * backup_pool.c - threads that do the jobs of a backup, the newest job first; see backup.h.
 */
#include "backup.h"

#include <stdlib.h>
#include <time.h>

struct backup_pool {
	struct backup *b;
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct backup_job *jobs;
	atomic_size_t waiting;
	size_t undone; /* waiting, and under way */
	bool closing;
	struct backup_thread {
		pthread_t id;
		struct backup_pool *pool;
		struct backup_worker *worker;
	} * threads;
	unsigned count;
};

static void *serve(void *arg)
{
	struct backup_thread *thread = arg;
	struct backup_pool *pool = thread->pool;
	struct backup_worker *w = thread->worker;
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->jobs && !pool->closing)
			pthread_cond_wait(&pool->work, &pool->lock);
		struct backup_job *job = pool->jobs;
		if (!job)
			break;
		pool->jobs = job->next;
		pool->waiting--;
		pthread_mutex_unlock(&pool->lock);
		job->run(w, job);
		pthread_mutex_lock(&pool->lock);
		if (--pool->undone == 0)
			pthread_cond_signal(&pool->idle);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int backup_pool_new(struct backup *b, struct backup_pool **out)
{
	struct backup_pool *pool = cli_alloc(sizeof(*pool));
	if (pool)
		pool->threads = cli_alloc(b->threads * sizeof(*pool->threads));
	if (!pool || !pool->threads) {
		free(pool);
		return LINKFS_ENOMEM;
	}
	pthread_condattr_t attr;
	pool->b = b;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work, &attr);
	pthread_cond_init(&pool->idle, &attr);
	pthread_condattr_destroy(&attr);
	while (pool->count < b->threads) {
		struct backup_thread *thread = &pool->threads[pool->count];
		*thread = (struct backup_thread){.pool = pool, .worker = backup_worker_new(b)};
		if (!thread->worker || pthread_create(&thread->id, NULL, serve, thread) != 0) {
			backup_worker_free(thread->worker);
			break;
		}
		pool->count++;
	}
	*out = pool;
	if (pool->count)
		return 0;
	backup_pool_free(pool);
	*out = NULL;
	return LINKFS_EAGAIN;
}

void backup_pool_free(struct backup_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->count; i++) {
		pthread_join(pool->threads[i].id, NULL);
		backup_worker_free(pool->threads[i].worker);
	}
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->idle);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}

void backup_pool_push(struct backup_pool *pool, struct backup_job *job)
{
	pthread_mutex_lock(&pool->lock);
	job->next = pool->jobs;
	pool->jobs = job;
	pool->waiting++;
	pool->undone++;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

bool backup_pool_hungry(const struct backup_pool *pool)
{
	/* A guess: nothing depends on it but how the work is spread. */
	return pool->count > 1 && atomic_load(&pool->waiting) < pool->count * 2u;
}

#define LOOK_NS 100000000

void backup_pool_wait(struct backup_pool *pool)
{
	struct backup *b = pool->b;
	pthread_mutex_lock(&pool->lock);
	while (pool->undone) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&pool->idle, &pool->lock, &until);
		pthread_mutex_unlock(&pool->lock);
		if (!atomic_load(&b->stop) && cli_cancelled(b->cli))
			backup_stop(b, LINKFS_EINTR);
		backup_progress(b);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
}
