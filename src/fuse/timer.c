/*
 * timer.c - snapshots that the mount takes by itself (E6): a thread of its own, since the kernel is made to hand over dirty pages first, which
 * workers must answer. It sleeps until the moment that the library names, by the wall clock: a timer of the kernel's which goes off when
 * that clock is set, or when the machine has slept. Nothing else wakes it but a change of a property and the mount's end.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS INT64_C(1000000000)

struct lk_fuse_timer {
	linkfs_zone_fn *zone;
	linkfs_mount_log_fn *log;
	void *zone_arg, *log_arg;
	int timer_fd, wake_fd;
	_Atomic bool ending;
	bool started;
	bool failing; /* that it does was said */
	pthread_t thread;
};

static void wake(struct lk_fuse_timer *t)
{
	const uint64_t one = 1;
	ssize_t n = write(t->wake_fd, &one, sizeof(one));
	(void)n;
}

void lk_fuse_timer_wake(struct linkfs_mount *mount)
{
	if (mount->timer)
		wake(mount->timer);
}

static void hand_over(void *arg)
{
	/* Without memory for it what programs have mapped is missing, and the snapshot is one all the same. */
	(void)linkfs_mount_hand_over(arg);
}

static int is_ending(void *arg, const struct linkfs_snapshot_progress *progress)
{
	struct lk_fuse_timer *t = arg;
	(void)progress;
	return atomic_load(&t->ending);
}

/* Once for as long as it goes on. */
static void tell(struct lk_fuse_timer *t, int error, const struct linkfs_tick *tick)
{
	if (error && !t->failing && t->log)
		t->log(t->log_arg, error,
		       tick->taken ? "old automatic snapshots cannot be deleted"
				   : "no automatic snapshot can be taken");
	if (error || tick->taken)
		t->failing = error != 0;
}

/* An eventfd or timerfd that does not block counts from zero again. */
static void drain(int fd)
{
	uint64_t count;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR) {
	}
}

/* Sleeps until the moment of the wall clock, or until it is set or somebody wakes the thread. */
static void sleep_until(struct lk_fuse_timer *t, int64_t at_ns)
{
	struct itimerspec at = {.it_value = {.tv_sec = at_ns / NS, .tv_nsec = at_ns % NS}};
	struct pollfd fds[2] = {{.fd = t->wake_fd, .events = POLLIN}, {.fd = t->timer_fd, .events = POLLIN}};
	if (at_ns == INT64_MAX)
		at = (struct itimerspec){0}; /* disarmed */
	else if (at_ns <= 0)
		at.it_value = (struct timespec){.tv_nsec = 1};
	if (timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL) != 0) {
		if (errno == ECANCELED) /* the clock was set since the last time: what is due is another moment */
			return;
		fds[1].fd = -1;
	}
	while (poll(fds, 2, -1) < 0 && errno == EINTR) {
	}
	/* Neither blocks. That the clock was set is an error of the second (ECANCELED), and a reason to look again. */
	drain(t->wake_fd);
	drain(t->timer_fd);
}

static void *timer_main(void *arg)
{
	struct linkfs_mount *mount = arg;
	struct lk_fuse_timer *t = mount->timer;
	const struct linkfs_tick_options options = {
		.zone = t->zone,
		.zone_arg = t->zone_arg,
		.hand_over = hand_over,
		.hand_over_arg = mount,
		.progress = is_ending,
		.progress_arg = t,
	};
	while (!atomic_load(&t->ending)) {
		struct linkfs_tick tick;
		int error = linkfs_snapshot_tick(mount->volume, &options, &tick);
		tell(t, error, &tick);
		if (!atomic_load(&t->ending))
			sleep_until(t, tick.next_ns);
	}
	return NULL;
}

int lk_fuse_timer_new(struct linkfs_mount *mount, const struct linkfs_mount_options *options)
{
	struct linkfs_info *info;
	struct lk_fuse_timer *t;
	if (options->no_snapshots)
		return 0;
	info = malloc(sizeof(*info));
	int r = info ? linkfs_volume_info(mount->volume, info) : LINKFS_ENOMEM;
	bool reads = r == 0 && info->read_only;
	free(info);
	if (r || reads)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return LINKFS_ENOMEM;
	t->zone = options->zone;
	t->zone_arg = options->zone_arg;
	t->log = options->log;
	t->log_arg = options->log_arg;
	t->timer_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	mount->timer = t;
	if (t->timer_fd < 0 || t->wake_fd < 0) {
		r = linkfs_from_errno(errno);
		lk_fuse_timer_end(mount);
	}
	return r;
}

int lk_fuse_timer_start(struct linkfs_mount *mount)
{
	struct lk_fuse_timer *t = mount->timer;
	sigset_t all, old;
	if (!t)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&t->thread, NULL, timer_main, mount);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	t->started = e == 0;
	e = e ? linkfs_from_errno(e) : 0;
	if (e && t->log)
		t->log(t->log_arg, e, "this mount takes no automatic snapshots");
	return e;
}

void lk_fuse_timer_stop(struct linkfs_mount *mount)
{
	struct lk_fuse_timer *t = mount->timer;
	if (!t || !t->started)
		return;
	atomic_store(&t->ending, true);
	wake(t);
	pthread_join(t->thread, NULL);
	t->started = false;
}

void lk_fuse_timer_end(struct linkfs_mount *mount)
{
	struct lk_fuse_timer *t = mount->timer;
	if (!t)
		return;
	lk_fuse_timer_stop(mount);
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	if (t->wake_fd >= 0)
		close(t->wake_fd);
	mount->timer = NULL;
	free(t);
}
