/*
 * mount.h - the -o options of linkfs mount, in mount(8)'s style.
 */
#ifndef CLI_MOUNT_H
#define CLI_MOUNT_H

#include "cli.h"

struct mount_settings {
	char extra[512]; /* for the kernel */
	uint32_t open_flags, commit_ms, threads, poll_us;
	bool sloppy; /* unknown options are ignored (mount -s) */
	bool allow_other, no_poll, writeback, no_snapshots;
};

void mount_settings_init(struct mount_settings *settings, bool root);
/* Adds a comma-separated list. An option that is not known is refused by name. */
int mount_settings_parse(struct cli *cli, struct mount_settings *settings, const char *list);

#endif
