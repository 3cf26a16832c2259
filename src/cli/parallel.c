/*
 * parallel.c - see parallel.h.
 */
#include "parallel.h"
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 100000000

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t over; /* the last one has ended */
	size_t next, count;
	unsigned working;
	bool stop;
	void (*fn)(void *arg, size_t i);
	void *arg;
};

unsigned cli_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 2 ? 4 : cores > 8 ? 16 : (unsigned)cores * 2;
}

static bool next(struct crew *c, size_t *i)
{
	(void)pthread_mutex_lock(&c->lock);
	bool more = !c->stop && c->next < c->count;
	if (more)
		*i = c->next++;
	(void)pthread_mutex_unlock(&c->lock);
	return more;
}

static void *work(void *arg)
{
	struct crew *c = arg;
	size_t i;
	while (next(c, &i))
		c->fn(c->arg, i);
	(void)pthread_mutex_lock(&c->lock);
	if (--c->working == 0)
		(void)pthread_cond_signal(&c->over);
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void alone(struct crew *c, bool (*look)(void *arg))
{
	size_t i;
	while (!look(c->arg) && next(c, &i))
		c->fn(c->arg, i);
}

static void watch(struct crew *c, bool (*look)(void *arg))
{
	(void)pthread_mutex_lock(&c->lock);
	while (c->working) {
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		(void)pthread_cond_timedwait(&c->over, &c->lock, &until);
		(void)pthread_mutex_unlock(&c->lock);
		bool stop = look(c->arg);
		(void)pthread_mutex_lock(&c->lock);
		c->stop |= stop;
	}
	(void)pthread_mutex_unlock(&c->lock);
}

void cli_parallel(unsigned threads, size_t count, void (*fn)(void *arg, size_t i), bool (*look)(void *arg), void *arg)
{
	struct crew c = {.count = count, .fn = fn, .arg = arg};
	pthread_t ids[CLI_THREADS_MAX];
	pthread_condattr_t attr;
	unsigned begun = 0;
	if (threads > CLI_THREADS_MAX)
		threads = CLI_THREADS_MAX;
	if (threads > count)
		threads = (unsigned)count;
	(void)pthread_mutex_init(&c.lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c.over, &attr);
	(void)pthread_condattr_destroy(&attr);
	while (threads > 1 && begun < threads) {
		(void)pthread_mutex_lock(&c.lock);
		c.working++;
		(void)pthread_mutex_unlock(&c.lock);
		if (pthread_create(&ids[begun], NULL, work, &c) != 0) {
			(void)pthread_mutex_lock(&c.lock);
			c.working--;
			(void)pthread_mutex_unlock(&c.lock);
			break;
		}
		begun++;
	}
	if (begun == 0)
		alone(&c, look);
	else
		watch(&c, look);
	for (unsigned i = 0; i < begun; i++)
		(void)pthread_join(ids[i], NULL);
	(void)pthread_cond_destroy(&c.over);
	(void)pthread_mutex_destroy(&c.lock);
}
