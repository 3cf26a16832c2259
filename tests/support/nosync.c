/*
 * nosync.c - takes the place of the C library's fsync and fdatasync in a program that is not about durability, and would mostly wait.
 */
#include <unistd.h>

/* Visible: libraries that are loaded call these too. */
__attribute__((visibility("default"))) int fsync(int fd)
{
	(void)fd;
	return 0;
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	(void)fd;
	return 0;
}
