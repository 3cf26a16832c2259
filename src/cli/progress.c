/*
 * progress.c - see progress.h.
 */
#include "progress.h"
#include <stdarg.h>

#define SHOW_NS 200000000
#define LEFT_MAX 360000.0 /* what takes days to come is not known to the minute */

void cli_progress_begin(struct cli_progress *p, struct cli *cli, bool quiet)
{
	*p = (struct cli_progress){.cli = cli, .shows = !quiet && cli->err_tty, .begun_ns = cli_now_ns()};
	p->shown_ns = p->begun_ns;
}

bool cli_progress_due(struct cli_progress *p)
{
	if (!p->shows)
		return false;
	int64_t now = cli_now_ns();
	if (now - p->shown_ns < SHOW_NS)
		return false;
	p->shown_ns = now;
	return true;
}

double cli_progress_seconds(const struct cli_progress *p)
{
	return (double)(cli_now_ns() - p->begun_ns) / 1e9;
}

void cli_progress_show(struct cli_progress *p, uint64_t done, uint64_t all, const char *format, ...)
{
	FILE *err = p->cli->err;
	double seconds = cli_progress_seconds(p);
	va_list args;
	fputs("\r\033[K", err);
	va_start(args, format);
	vfprintf(err, format, args);
	va_end(args);
	if (all && done && seconds >= 1) {
		if (done > all)
			done = all;
		double left = seconds / (double)done * (double)(all - done);
		fprintf(err, ", %u %%", (unsigned)((double)done / (double)all * 100));
		if (left < LEFT_MAX)
			fprintf(err, ", about %u:%02u left", (unsigned)left / 60, (unsigned)left % 60);
	}
	fflush(err);
	p->shown = true;
}

void cli_progress_end(struct cli_progress *p)
{
	if (p->shown)
		fputs("\r\033[K", p->cli->err);
	p->shown = false;
}
