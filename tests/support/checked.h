/*
 * checked.h - is a volume whole (F2)? For tests that have closed one, or left one as a crash does.
 */
#ifndef LK_CHECKED_H
#define LK_CHECKED_H

#include <linkfs_check.h>

/* Fails the test, naming what was found, unless the volume in directory path is clean. flags: LINKFS_CHECK_DATA or 0. */
void lk_test_clean(const char *path, uint32_t flags);

#endif
