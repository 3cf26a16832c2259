/*
 * parallel.h - one piece of work after the other by several threads, with the calling thread looking on.
 */
#ifndef CLI_PARALLEL_H
#define CLI_PARALLEL_H

#include "cli.h"

#define CLI_THREADS_MAX 64u

/* As many threads as read best: more than there are cores, since disks answer late. */
unsigned cli_threads(void);

/* fn(arg, i) once for each i below count, in this order and by up to threads threads at once. Meanwhile look(arg) is called from the calling
 * thread every now and then; when it says true, nothing more is begun. Returns when all that was begun is done. Without memory
 * for a thread the calling one does it all. */
void cli_parallel(unsigned threads, size_t count, void (*fn)(void *arg, size_t i), bool (*look)(void *arg), void *arg);

#endif
