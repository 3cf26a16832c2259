/*
 * draw_render.c - DOT to a picture by Graphviz's library; the only file that includes it. Called in a process of its own (draw_file.c).
 */
#include "draw.h"
#include <fcntl.h>
#include <gvc.h>
#include <stdlib.h>
#include <unistd.h>

const bool draw_can_render = true;

bool draw_render(const char *dot, const char *format, int fd)
{
	/* As in a web server: no file that the graph may name is read. */
	if (setenv("SERVER_NAME", "linkfs", 1) != 0 || unsetenv("GV_FILE_PATH") != 0)
		return false;
	FILE *out = fdopen(fd, "w");
	GVC_t *gvc = out ? gvContext() : NULL;
	Agraph_t *graph = gvc ? agmemread(dot) : NULL;
	bool good = graph && gvLayout(gvc, graph, "dot") == 0;
	good = good && gvRender(gvc, graph, format, out) == 0;
	return out && fflush(out) == 0 && !ferror(out) && good;
}
