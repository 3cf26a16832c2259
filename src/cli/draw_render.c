/*
 * draw_render.c - DOT to a picture by Graphviz's library; the only file that includes it, and loads it (library.h). Called in a process of its
 * own (draw_file.c).
 */
#include "draw.h"
#include "library.h"
#include <fcntl.h>
#include <gvc.h>
#include <stdlib.h>
#include <unistd.h>

const bool draw_can_render = true;

static struct {
	__typeof__(gvContext) *context;
	__typeof__(agmemread) *read;
	__typeof__(gvLayout) *layout;
	__typeof__(gvRender) *render;
} gv;

static bool load(void)
{
	static const char *const names[] = {"gvContext", "agmemread", "gvLayout", "gvRender", NULL};
	void *const places[] = {&gv.context, &gv.read, &gv.layout, &gv.render};
	const char *why = NULL;
	bool loaded = cli_library_load(GRAPHVIZ_SONAME, names, places, &why);
	if (!loaded)
		fprintf(stderr, "%s\n", why);
	return loaded;
}

bool draw_render(const char *dot, const char *format, int fd)
{
	/* As in a web server: no file that the graph may name is read. */
	if (setenv("SERVER_NAME", "linkfs", 1) != 0 || unsetenv("GV_FILE_PATH") != 0)
		return false;
	if (!load())
		return false;
	FILE *out = fdopen(fd, "w");
	GVC_t *gvc = out ? gv.context() : NULL;
	Agraph_t *graph = gvc ? gv.read(dot) : NULL;
	bool good = graph && gv.layout(gvc, graph, "dot") == 0;
	good = good && gv.render(gvc, graph, format, out) == 0;
	return out && fflush(out) == 0 && !ferror(out) && good;
}
