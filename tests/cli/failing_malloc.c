/*
 * failing_malloc.c - preloaded: the allocation of number FAIL_MALLOC fails; with COUNT_MALLOC the last line on the error stream says how many
 * there were. For programs without sanitizers, on glibc.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static long wanted = -1, calls;

static int fails(void)
{
	if (wanted < 0) {
		const char *text = getenv("FAIL_MALLOC");
		wanted = text ? strtol(text, NULL, 10) : 0;
	}
	if (++calls != wanted)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

__attribute__((destructor)) static void tell(void)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%ld\n", calls);
	if (getenv("COUNT_MALLOC") && write(STDERR_FILENO, line, (size_t)len) < 0)
		_exit(1);
}
