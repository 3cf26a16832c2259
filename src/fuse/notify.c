/*
 * notify.c - telling the kernel what changed beside it (design M6). One thread that holds no lock writes every
 * notification: writing one may wait for the kernel's lock on an inode, whose holder may be waiting for a worker's
 * answer. Callers wait until theirs are written, so that a live command's change is seen by whoever acts on its return.
 *
 *   attributes  INVAL_INODE with offset -1: attributes and ACLs, not the pages
 *   content     INVAL_INODE from 0 on: pages too (also a symlink's text)
 *   a listing   the same of a directory
 *   a name      INVAL_INODE of the directory (its times, count and cached listing), then INVAL_ENTRY that only expires
 *               the name. Without EXPIRE_ONLY (kernels before 6.2) it would detach a directory from its processes' cwd
 *               and unmount what is mounted inside: there only names of other files are told. When a file lost its last
 *               name by it the name is invalidated: the kernel would hold the file, and its space, for as long as it likes.
 * What a call of the kernel's own changed besides what it asked for (LINKFS_EVENT_OWN): attributes and listings are written by the
 * worker itself before it answers, for they wait for no lock that the caller may hold. Names do: they follow the answer, and until then ask
 * anew (pack.c).
 * A directory that has several places (K5) is known to the kernel by a node for each. A change by one is told of to the others before the
 * answer: names in places are never cached, so their listings are; the directory by its number has names that are, and they are
 * told by the notifier, for which the worker waits. Whoever holds that directory's lock waits for no such thing, as the directory with the
 * cached names is his own; but his request may find no worker, so the wait has an end.
 * What the kernel does not hold it has nothing of: such events end here, so that a live import costs no system calls. A hold
 * taken after the change came with the changed state, and one given up since needs nothing.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ELSEWHERE_MS 100 /* a worker waits no longer */

struct job {
	const struct linkfs_event *events;
	size_t count;
	bool done;
	bool loss;
	bool unwatched; /* nobody waits: it is the notifier's to free */
	struct job *next;
};

struct lk_fuse_notifier {
	pthread_mutex_t lock;
	pthread_cond_t work, finished;
	struct job *first, **last;
	bool ending; /* takes no more jobs */
	bool ended;  /* its thread was joined; the mount's thread only */
	pthread_t thread;
};

/* parts follow the header; at most two. */
static void send(struct linkfs_mount *mount, int32_t code, const struct iovec *parts, int count)
{
	struct fuse_out_header header = {.error = code};
	struct iovec iov[3] = {{.iov_base = &header, .iov_len = sizeof(header)}};
	size_t len = sizeof(header);
	for (int i = 0; i < count; i++) {
		iov[i + 1] = parts[i];
		len += parts[i].iov_len;
	}
	header.len = (uint32_t)len;
	/* ENOENT: the kernel does not know it, which is as good. Anything else means that the mount is going. */
	ssize_t n;
	do {
		n = writev(mount->fd, iov, count + 1);
	} while (n < 0 && errno == EINTR);
}

static void inval_inode(struct linkfs_mount *mount, uint64_t ino, int64_t off)
{
	struct fuse_notify_inval_inode_out out = {.ino = ino, .off = off, .len = 0};
	const struct iovec part = {.iov_base = &out, .iov_len = sizeof(out)};
	send(mount, FUSE_NOTIFY_INVAL_INODE, &part, 1);
}

void lk_fuse_drop_pages(struct linkfs_mount *mount, uint64_t node)
{
	inval_inode(mount, node, 0);
}

void lk_fuse_drop_names(struct linkfs_mount *mount, uint64_t node)
{
	struct lk_fuse_prune_out out = {.count = 1};
	const struct iovec parts[2] = {{.iov_base = &out, .iov_len = sizeof(out)},
				       {.iov_base = &node, .iov_len = sizeof(node)}};
	if (mount->conn.minor >= LK_FUSE_MINOR_PRUNE)
		send(mount, LK_FUSE_NOTIFY_PRUNE, parts, 2);
}

/* Whether the kernel may know the node. */
static bool is_known(struct linkfs_mount *mount, uint64_t node)
{
	return lk_fuse_is_snapshots(node) || linkfs_node_is_held(mount->volume, node);
}

static bool is_directory(struct linkfs_mount *mount, uint64_t dir, const char *name, size_t len)
{
	const struct linkfs_cred cred = {.flags = LINKFS_CRED_KERNEL};
	struct linkfs_stat st;
	return linkfs_node_lookup(mount->volume, &cred, dir, name, len, 0, &st) == 0 && S_ISDIR(st.mode);
}

/* Whether one of the files told of lost its last name, and none is a directory that moved: what the kernel knows by a name that went
 * is then gone itself. */
static bool is_loss(struct linkfs_mount *mount, const struct linkfs_event *events, size_t count)
{
	bool lost = false;
	for (size_t i = 0; i < count; i++) {
		struct linkfs_stat st;
		if (events[i].kind != LINKFS_EVENT_ATTR)
			continue;
		int r = linkfs_node_getattr(mount->volume, events[i].ino, &st);
		if (r == LINKFS_ESTALE || (!r && st.nlink == 0))
			lost = true;
		else if (r || S_ISDIR(st.mode))
			return false;
	}
	return lost;
}

static void expire_entry(struct linkfs_mount *mount, uint64_t dir, const char *name, size_t len, bool loss)
{
	struct fuse_notify_inval_entry_out out = {.parent = dir, .namelen = (uint32_t)len};
	char copy[LINKFS_NAME_MAX + 1];
	if (len > LINKFS_NAME_MAX)
		return;
	memcpy(copy, name, len);
	copy[len] = 0;
	bool keeps = !loss || is_directory(mount, dir, name, len);
	if (keeps && (mount->conn.offered & FUSE_HAS_EXPIRE_ONLY))
		out.flags = FUSE_EXPIRE_ONLY;
	else if (keeps && is_directory(mount, dir, name, len))
		return;
	const struct iovec parts[2] = {{.iov_base = &out, .iov_len = sizeof(out)},
				       {.iov_base = copy, .iov_len = len + 1}};
	send(mount, FUSE_NOTIFY_INVAL_ENTRY, parts, 2);
}

/* loss: known beside the events. */
static void tell(struct linkfs_mount *mount, const struct linkfs_event *events, size_t count, bool loss)
{
	loss = loss || is_loss(mount, events, count);
	uint64_t dir = 0; /* the last one whose listing was dropped */
	for (size_t i = 0; i < count; i++) {
		const struct linkfs_event *event = &events[i];
		if (!is_known(mount, event->ino))
			continue;
		switch (event->kind) {
		case LINKFS_EVENT_ATTR:
			inval_inode(mount, event->ino, -1);
			break;
		case LINKFS_EVENT_DATA:
		case LINKFS_EVENT_LISTING:
			inval_inode(mount, event->ino, 0);
			break;
		case LINKFS_EVENT_ENTRY:
			if (event->ino != dir)
				inval_inode(mount, event->ino, 0);
			dir = event->ino;
			expire_entry(mount, event->ino, event->name, event->name_len, loss);
			break;
		case LINKFS_EVENT_TEXTS:    /* texts.c's */
		case LINKFS_EVENT_PROPERTY: /* timer.c's */
			break;
		}
	}
}

static void *notifier_main(void *arg)
{
	struct linkfs_mount *mount = arg;
	struct lk_fuse_notifier *notifier = mount->notifier;
	pthread_mutex_lock(&notifier->lock);
	for (;;) {
		while (!notifier->first && !notifier->ending)
			pthread_cond_wait(&notifier->work, &notifier->lock);
		struct job *job = notifier->first;
		if (!job)
			break;
		notifier->first = job->next;
		if (!notifier->first)
			notifier->last = &notifier->first;
		pthread_mutex_unlock(&notifier->lock);
		tell(mount, job->events, job->count, job->loss);
		pthread_mutex_lock(&notifier->lock);
		job->done = true;
		if (job->unwatched)
			free(job);
		else
			pthread_cond_broadcast(&notifier->finished);
	}
	pthread_mutex_unlock(&notifier->lock);
	return NULL;
}

static bool has_kind(const struct linkfs_event *events, size_t count, enum linkfs_event_kind kind)
{
	for (size_t i = 0; i < count; i++) {
		if (events[i].kind == kind)
			return true;
	}
	return false;
}

/* Of which the kernel is told here. */
static bool is_kernels(const struct linkfs_event *event)
{
	return event->kind != LINKFS_EVENT_TEXTS && event->kind != LINKFS_EVENT_PROPERTY;
}

static bool is_news(struct linkfs_mount *mount, const struct linkfs_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_kernels(&events[i]) && is_known(mount, events[i].ino))
			return true;
	}
	return false;
}

/* Lock held. False when no more jobs are taken. */
static bool enqueue(struct lk_fuse_notifier *notifier, struct job *job)
{
	if (notifier->ending)
		return false;
	*notifier->last = job;
	notifier->last = &job->next;
	pthread_cond_signal(&notifier->work);
	return true;
}

/* A job of its own, with the name. */
struct later {
	struct job job;
	struct linkfs_event event;
	char name[LINKFS_NAME_MAX + 1];
};

static struct later *later_new(const struct linkfs_event *event)
{
	struct later *later = malloc(sizeof(*later));
	if (!later)
		return NULL;
	later->job = (struct job){.events = &later->event, .count = 1, .unwatched = true};
	later->event = *event;
	later->event.name = memcpy(later->name, event->name, event->name_len + 1);
	return later;
}

/* A name, later. Without memory it stays as the kernel has it until it is looked up anew for another reason. */
static void tell_entry_later(struct linkfs_mount *mount, const struct linkfs_event *event)
{
	struct later *later = later_new(event);
	if (!later)
		return;
	pthread_mutex_lock(&mount->notifier->lock);
	bool taken = enqueue(mount->notifier, &later->job);
	pthread_mutex_unlock(&mount->notifier->lock);
	if (!taken)
		free(later);
}

/* A name in a directory that the call did not name, now. */
static void tell_entry_elsewhere(struct linkfs_mount *mount, const struct linkfs_event *event, bool loss)
{
	struct lk_fuse_notifier *notifier = mount->notifier;
	struct later *later = later_new(event);
	struct timespec until;
	if (!later)
		return;
	later->job.unwatched = false;
	later->job.loss = loss;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ELSEWHERE_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&notifier->lock);
	bool mine = !enqueue(notifier, &later->job);
	int e = 0;
	while (!mine && !later->job.done && e == 0)
		e = pthread_cond_timedwait(&notifier->finished, &notifier->lock, &until);
	mine |= later->job.done;
	later->job.unwatched = true;
	pthread_mutex_unlock(&notifier->lock);
	if (mine)
		free(later);
}

static void tell_own(struct linkfs_mount *mount, const struct linkfs_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct linkfs_event *e = &events[i];
		if (!is_kernels(e))
			continue;
		if (e->kind != LINKFS_EVENT_ENTRY)
			tell(mount, e, 1, false);
		else if (!(e->flags & LINKFS_EVENT_ELSEWHERE))
			tell_entry_later(mount, e);
		else if (linkfs_node_is_held(mount->volume, e->ino))
			tell_entry_elsewhere(mount, e, is_loss(mount, events, count));
	}
}

void lk_fuse_notify_events(struct linkfs_mount *mount, const struct linkfs_event *events, size_t count)
{
	struct lk_fuse_notifier *notifier = mount->notifier;
	struct job job = {.events = events, .count = count};
	if (has_kind(events, count, LINKFS_EVENT_TEXTS))
		lk_fuse_texts_moved(mount, events->flags & LINKFS_EVENT_OWN);
	if (has_kind(events, count, LINKFS_EVENT_PROPERTY))
		lk_fuse_timer_wake(mount);
	if (!is_news(mount, events, count) || atomic_load(&mount->gone))
		return;
	if (events->flags & LINKFS_EVENT_OWN) {
		tell_own(mount, events, count);
		return;
	}
	pthread_mutex_lock(&notifier->lock);
	job.done = !enqueue(notifier, &job);
	while (!job.done)
		pthread_cond_wait(&notifier->finished, &notifier->lock);
	pthread_mutex_unlock(&notifier->lock);
}

int lk_fuse_notifier_start(struct linkfs_mount *mount)
{
	struct lk_fuse_notifier *notifier = calloc(1, sizeof(*notifier));
	sigset_t all, old;
	if (!notifier)
		return LINKFS_ENOMEM;
	pthread_mutex_init(&notifier->lock, NULL);
	pthread_cond_init(&notifier->work, NULL);
	pthread_cond_init(&notifier->finished, NULL);
	notifier->last = &notifier->first;
	mount->notifier = notifier;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&notifier->thread, NULL, notifier_main, mount);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e) {
		mount->notifier = NULL;
		free(notifier);
		return linkfs_from_errno(e);
	}
	return 0;
}

void lk_fuse_notifier_stop(struct linkfs_mount *mount)
{
	struct lk_fuse_notifier *notifier = mount->notifier;
	if (notifier->ended)
		return;
	pthread_mutex_lock(&notifier->lock);
	notifier->ending = true;
	pthread_cond_signal(&notifier->work);
	pthread_mutex_unlock(&notifier->lock);
	pthread_join(notifier->thread, NULL);
	notifier->ended = true;
}

void lk_fuse_notifier_end(struct linkfs_mount *mount)
{
	struct lk_fuse_notifier *notifier = mount->notifier;
	lk_fuse_notifier_stop(mount);
	pthread_cond_destroy(&notifier->work);
	pthread_cond_destroy(&notifier->finished);
	pthread_mutex_destroy(&notifier->lock);
	free(notifier);
	mount->notifier = NULL;
}
