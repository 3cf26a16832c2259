/*
 * no_memory.h - the n-th allocation of what a test program links statically fails; those of shared libraries (SQLite) do not. The
 * program takes no_memory_dep.
 */
#ifndef LK_TEST_NO_MEMORY_H
#define LK_TEST_NO_MEMORY_H

/* A countdown: the call of malloc, calloc or realloc that makes it 0 fails; 0: none does. */
extern _Atomic long fail_memory;

#endif
