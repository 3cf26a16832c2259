/*
 * small_host.h - a host of its own that fills up: a small tmpfs in a mount namespace, which goes with this process.
 */
#ifndef SMALL_HOST_H
#define SMALL_HOST_H

/* An empty directory of at most that size ("48m"). Where that may not be it says so, and skips the test. */
char *small_host_make(const char *size);
/* Somebody else takes all that is left. */
void small_host_fill(const char *dir);
void small_host_done(char *dir);

#endif
