/*
 * draw_render_none.c - in place of draw_render.c where Graphviz's library is not there.
 */
#include "draw.h"

const bool draw_can_render = false;

bool draw_render(const char *dot, const char *format, int fd)
{
	(void)dot;
	(void)format;
	(void)fd;
	return false;
}
