/*
 * run.h - runs scripts and cuts their recordings; what main.c asks for.
 */
#ifndef POWER_RUN_H
#define POWER_RUN_H

#include "power.h"

#define NO_CUT SIZE_MAX

/* A state: which script, after which event of its recording, which draw; and of its recovery likewise. */
struct where {
	const struct family *family;
	uint64_t number;
	size_t event;
	unsigned variant;
	size_t recovery_event; /* NO_CUT: the state itself */
	unsigned recovery_variant;
};

struct run {
	uint64_t seed;
	char *top;            /* below it: the volume scripts run on, and the states */
	struct image base[3]; /* as created and filled, of the common size and tight; and only created */
	uint64_t states, recoveries, scripts, operations;
	bool failed;
	struct where where;       /* the state being judged, for who finds a failure elsewhere */
	const struct where *only; /* to replay one */
	const char *lie;          /* a disk that does not sync the file of this name: it must be found out */
	const char *keep;         /* a directory for the image of a failed state */
};

void run_init(struct run *run, uint64_t seed);
void run_done(struct run *run);
/* Cuts script number of family, in about most states. False when there is no such script. */
bool run_script(struct run *run, const struct family *family, uint64_t number, uint64_t most);
/* The making of a volume, cut everywhere, in so many draws beside all and nothing. */
void run_create(struct run *run, unsigned draws);
void run_print(const struct run *run, const struct where *w);

#endif
