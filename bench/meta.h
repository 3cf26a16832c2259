/*
 * meta.h - the metadata bench: one workload (meta.c) over two back ends, system calls in a directory (meta_sys.c) and the
 * library on a volume (meta_lib.c). Every call returns 0, or prints why it failed and returns 1.
 */
#ifndef LK_BENCH_META_H
#define LK_BENCH_META_H

#include <stddef.h>
#include <stdint.h>

struct backend {
	const char *name;
	/* place: a directory, or a volume's directory, to be made. Work happens in a new directory below it. */
	int (*begin)(const char *place);
	int (*create)(const char *name);
	int (*link)(const char *from, const char *to);
	int (*symlink)(const char *target, const char *name);
	int (*mkdir)(const char *name);
	int (*rename)(const char *from, const char *to);
	int (*stat)(const char *name);
	int (*readlink)(const char *name);
	int (*write)(const char *name, const void *data, size_t size); /* the whole file, made if absent */
	int (*read)(const char *name, void *data, size_t size);        /* open, read, close */
	int (*list)(int with_stat, uint64_t *count_out);
	int (*unlink)(const char *name);
	int (*rmdir)(const char *name);
	int (*cold)(void); /* forgets what is cached, as far as it can */
	int (*end)(void);  /* removes the work directory */
};

extern const struct backend meta_sys;
extern const struct backend meta_lib;

int meta_fail(const char *what, const char *name, const char *why);

#endif
