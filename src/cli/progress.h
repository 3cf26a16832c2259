/*
 * progress.h - the line that says how far a command is, on standard error where that is a terminal, written anew five times a second.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli.h"

/* All zero: one that was never begun, and shows nothing. */
struct cli_progress {
	struct cli *cli;
	bool shows;
	int64_t begun_ns, shown_ns;
	bool shown; /* it is on the terminal now */
};

/* quiet: never shown. */
void cli_progress_begin(struct cli_progress *p, struct cli *cli, bool quiet);
/* Whether it is time to show it. The first time is not: what ends at once says nothing. */
bool cli_progress_due(struct cli_progress *p);
/* "1.2G read (85M/s), 43 %, about 1:20 left": text, then what done of all (0: nobody knows) lets expect. */
void cli_progress_show(struct cli_progress *p, uint64_t done, uint64_t all, const char *format, ...) CLI_PRINTF(4, 5);
/* Clears the line before something else is said. */
void cli_progress_end(struct cli_progress *p);
/* Since it began. */
double cli_progress_seconds(const struct cli_progress *p);

#endif
