/*
 * calls.h - the system calls that reach one directory, seen from outside: a test program that links calls.c sees what
 * linkfs and SQLite do to a volume's files, in order, and can make any of it fail or fall short.
 *
 * calls.c defines open, write, fdatasync and their kin. An executable's own symbols come first, also for what its
 * shared libraries call, when it exports them: build it with export_dynamic: true. Each calls on to the next definition
 * (libc's, or a sanitizer's). Not seen: what libc does inside itself (fopen, fwrite), dup'ed descriptors, and files
 * opened before calls_watch().
 *
 * Calls on the watched directory's files are made one at a time, with before() and after() around them, so what after()
 * is told is in the order in which it happened. Hooks run in the caller's thread; what they call themselves is not seen.
 */
#ifndef LK_TEST_CALLS_H
#define LK_TEST_CALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum call_kind {
	CALL_OPEN,     /* made: the file was not there before; mode: open's flags */
	CALL_READ,     /* read, pread and kin: offset, len; data is the caller's buffer */
	CALL_WRITE,    /* write, pwrite and kin: offset, data, len */
	CALL_TRUNCATE, /* ftruncate: offset is the new size. An open with O_TRUNC is only an open */
	CALL_ALLOCATE, /* fallocate: mode is its mode, offset, len */
	CALL_SYNC,     /* fsync (mode 0), fdatasync (mode 1); of a directory too */
	CALL_RENAME,   /* to: the new name; mode: flags of renameat2 */
	CALL_UNLINK,
	CALL_MKDIR,
	CALL_MAP, /* mmap, shared: offset, len, mode is its prot */
	CALL_KINDS
};
#define CALL_BIT(kind) (1u << (kind))
/* What can change a file or a directory, and what makes it last. */
#define CALLS_CHANGING                                                                                                 \
	(CALL_BIT(CALL_OPEN) | CALL_BIT(CALL_WRITE) | CALL_BIT(CALL_TRUNCATE) | CALL_BIT(CALL_ALLOCATE) |              \
	 CALL_BIT(CALL_SYNC) | CALL_BIT(CALL_RENAME) | CALL_BIT(CALL_UNLINK) | CALL_BIT(CALL_MKDIR) |                  \
	 CALL_BIT(CALL_MAP))

struct call {
	enum call_kind kind;
	uint32_t file;    /* counts files up from 1 as they are first met, whatever their names; 0 not known yet */
	const char *name; /* below the directory; "" is the directory itself */
	const char *to;
	const void *data;
	uint64_t offset, len;
	int mode;
	bool made;
};

#define CALL_PRETEND (-1)

struct calls_hooks {
	void *arg;
	uint32_t kinds; /* bits of the kinds to be told */
	/* Before the call: 0 lets it be made; a positive errno fails it unmade; CALL_PRETEND answers as if it had been made
	 * (a call on a descriptor, not mmap). May lower call->len of a read or write: it is then short. NULL: all are made. */
	int (*before)(void *arg, struct call *call);
	/* After a call that was made or failed by before(): what it returned, and errno when that is negative. */
	void (*after)(void *arg, const struct call *call, int64_t result, int error);
};

/* Watches what happens below directory dir (which exists, or will: a name without symlinks is then taken as it is) from
 * now on; hooks must live until calls_unwatch(). One directory at a time. */
void calls_watch(const char *dir, const struct calls_hooks *hooks);
/* Ends it. No watched call may be in flight in another thread. */
void calls_unwatch(void);

const char *call_kind_name(enum call_kind kind);

#endif
