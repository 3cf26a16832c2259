/*
 * record.c - what reaches a directory, in order, with its bytes.
 */
#include "power.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct event *add(struct recording *r, enum event_kind kind, uint32_t file, const char *name)
{
	if (r->count == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 256;
		r->events = realloc(r->events, r->cap * sizeof(*r->events));
		if (!r->events)
			abort();
	}
	struct event *e = &r->events[r->count++];
	memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->file = file;
	if (name && strlen(name) >= sizeof(e->name))
		(void)snprintf(r->trouble, sizeof(r->trouble), "the name %.100s is too long", name);
	(void)snprintf(e->name, sizeof(e->name), "%s", name ? name : "");
	return e;
}

/* The WAL's index is made anew at each open, whatever was in it: a power cut loses it. */
static bool is_volatile(const char *name)
{
	return strcmp(name, "meta.db-shm") == 0;
}

static void add_write(struct recording *r, const struct call *call, uint64_t len)
{
	struct event *e = add(r, EV_WRITE, call->file, call->name);
	e->offset = call->offset;
	e->len = len;
	e->data = malloc(len ? len : 1);
	if (!e->data)
		abort();
	memcpy(e->data, call->data, len);
}

static void add_range(struct recording *r, const struct call *call)
{
	if (call->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		struct event *e = add(r, EV_ZERO, call->file, call->name);
		e->offset = call->offset;
		e->len = call->len;
	} else if (call->mode & ~FALLOC_FL_KEEP_SIZE) {
		(void)snprintf(r->trouble, sizeof(r->trouble), "fallocate mode %d", call->mode);
	} else if (!(call->mode & FALLOC_FL_KEEP_SIZE)) {
		/* Grows the file, when it does: a write of nothing at its new end. */
		struct event *e = add(r, EV_WRITE, call->file, call->name);
		e->offset = call->offset + call->len;
	}
}

static int before(void *arg, struct call *call)
{
	(void)arg;
	return call->kind == CALL_SYNC ? CALL_PRETEND : 0;
}

static void after(void *arg, const struct call *call, int64_t result, int error)
{
	struct recording *r = arg;
	(void)error;
	if (result < 0 || !call->name || is_volatile(call->name))
		return;
	pthread_mutex_lock(&r->lock);
	struct event *e;
	switch (call->kind) {
	case CALL_OPEN:
		e = add(r, EV_OPEN, call->file, call->name);
		e->made = call->made;
		if (call->mode & O_TRUNC && !call->made)
			(void)add(r, EV_TRUNCATE, call->file, call->name);
		break;
	case CALL_WRITE:
		add_write(r, call, (uint64_t)result);
		break;
	case CALL_TRUNCATE:
		e = add(r, EV_TRUNCATE, call->file, call->name);
		e->offset = call->offset;
		break;
	case CALL_ALLOCATE:
		add_range(r, call);
		break;
	case CALL_SYNC:
		(void)add(r, EV_SYNC, call->file, call->name);
		break;
	case CALL_RENAME:
		e = add(r, EV_RENAME, call->file, call->name);
		(void)snprintf(e->to, sizeof(e->to), "%s", call->to ? call->to : "");
		if (!call->to)
			(void)snprintf(r->trouble, sizeof(r->trouble), "%s is moved elsewhere", call->name);
		break;
	case CALL_UNLINK:
		(void)add(r, EV_UNLINK, call->file, call->name);
		break;
	case CALL_MAP:
		if (call->mode & PROT_WRITE)
			(void)snprintf(r->trouble, sizeof(r->trouble), "%s is mapped for writing", call->name);
		break;
	case CALL_READ:
	case CALL_MKDIR:
	case CALL_KINDS:
	default:
		break;
	}
	pthread_mutex_unlock(&r->lock);
}

void record_begin(struct recording *r, const char *path)
{
	memset(r, 0, sizeof(*r));
	(void)pthread_mutex_init(&r->lock, NULL);
	r->hooks = (struct calls_hooks){.arg = r, .kinds = CALLS_CHANGING, .before = before, .after = after};
	calls_watch(path, &r->hooks);
}

void record_end(struct recording *r)
{
	(void)r;
	calls_unwatch();
}

void record_mark(struct recording *r, enum event_kind kind, uint64_t number)
{
	pthread_mutex_lock(&r->lock);
	add(r, kind, 0, NULL)->offset = number;
	pthread_mutex_unlock(&r->lock);
}

void record_free(struct recording *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->events[i].data);
	free(r->events);
	(void)pthread_mutex_destroy(&r->lock);
	memset(r, 0, sizeof(*r));
}

bool event_changes(const struct event *e)
{
	return e->kind != EV_BEGIN && !(e->kind == EV_OPEN && !e->made);
}

/* ---- no syncs, and no reserves ------------------------------------------------------------------------------------------------------------- */

/* What only keeps room on the host changes no byte, and costs the host's journal much. */
static int pretend(void *arg, struct call *call)
{
	(void)arg;
	return call->kind == CALL_SYNC || call->mode == FALLOC_FL_KEEP_SIZE ? CALL_PRETEND : 0;
}

void quiet_begin(const char *dir)
{
	static const struct calls_hooks hooks = {.kinds = CALL_BIT(CALL_SYNC) | CALL_BIT(CALL_ALLOCATE),
						 .before = pretend};
	calls_watch(dir, &hooks);
}

void quiet_end(void)
{
	calls_unwatch();
}
