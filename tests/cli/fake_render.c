/*
 * fake_render.c - in place of Graphviz, for the tests of linkfs draw: fails in the ways that a renderer may (LINKFS_TEST_RENDER).
 */
#include "draw.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const bool draw_can_render = true;

bool draw_render(const char *dot, const char *format, int fd)
{
	const char *how = getenv("LINKFS_TEST_RENDER");
	if (!how)
		return write(fd, dot, strlen(dot)) == (ssize_t)strlen(dot);
	fprintf(stderr, "Error: %s is out of ink\nand more\n", format);
	fflush(stderr);
	if (write(fd, dot, 10) != 10) /* half a picture */
		return false;
	if (strcmp(how, "crash") == 0)
		raise(SIGKILL);
	while (strcmp(how, "hang") == 0)
		pause();
	if (strcmp(how, "empty") == 0)
		return ftruncate(fd, 0) == 0;
	return false;
}
