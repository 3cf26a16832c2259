/*
 * nosync.c - takes the place of the C library's fsync and fdatasync in a program that is not about durability, and would mostly wait.
 */
#include <unistd.h>

int fsync(int fd)
{
	(void)fd;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}
