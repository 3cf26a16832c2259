/*
 * cmd_umount.c - linkfs umount: makes everything durable, unmounts, and returns when the owner has closed the volume
 * (row F1: what was done before is on the disk then).
 */
#include "table.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPT_LAZY = 'l' };

struct umount {
	struct cli *cli;
	char *volume, *mount_point;
	struct linkfs_owner owner;
	bool owned;
	struct cli_mount device; /* the mount's numbers; no strings */
};

/* By mount point: compared as text, so that a dead mount is found too. */
static int find_by_point(struct umount *u, const char *text)
{
	struct cli_mount *mounts;
	size_t count;
	char *path = cli_absolute(u->cli, text);
	int error = path ? cli_mounts_read(&mounts, &count) : LINKFS_ENOMEM;
	for (size_t len = path ? strlen(path) : 0; len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	for (size_t i = error ? 0 : count; i > 0 && !u->mount_point; i--) {
		if (strcmp(mounts[i - 1].point, path) != 0)
			continue;
		u->mount_point = cli_strdup(mounts[i - 1].point);
		u->volume = cli_strdup(mounts[i - 1].source);
		if (!u->mount_point || !u->volume)
			error = LINKFS_ENOMEM;
	}
	if (!error)
		cli_mounts_free(mounts, count);
	free(path);
	return error;
}

static int find(struct umount *u, const char *text)
{
	size_t len = strlen(text);
	int error = find_by_point(u, text);
	if (error)
		return error;
	if (!u->volume) { /* "VOLUME", "VOLUME:", "VOLUME:/" */
		while (len > 1 && text[len - 1] == '/')
			len--;
		if (len > 1 && text[len - 1] == ':')
			len--;
		char *dir = strndup(text, len);
		u->volume = dir ? realpath(dir, NULL) : NULL;
		free(dir);
	}
	u->owned = u->volume && linkfs_volume_owner(u->volume, &u->owner) == 0 && u->owner.local;
	if (!u->mount_point && u->volume)
		u->mount_point = cli_mount_point(u->volume);
	return 0;
}

/* While it can be seen. */
static void note_device(struct umount *u)
{
	struct cli_mount *mounts = NULL;
	size_t count = 0;
	if (cli_mounts_read(&mounts, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (strcmp(mounts[i].point, u->mount_point) == 0)
			u->device = (struct cli_mount){.major = mounts[i].major, .minor = mounts[i].minor};
	cli_mounts_free(mounts, count);
}

/* Runs "sync VOLUME" in the owner. */
static int sync_first(struct umount *u)
{
	char word[] = "sync";
	char *argv[] = {word, u->volume, NULL};
	struct cli_path path = {
		.kind = CLI_VOLUME, .text = u->volume, .volume = u->volume, .path = "/", .at = LINKFS_ROOT_INO};
	struct cli_path *paths[] = {&path};
	struct cli_args args = {.operands = &path, .noperands = 1, .paths = paths, .npaths = 1};
	int status = 0;
	if (!u->owned || !u->owner.control_socket[0] ||
	    cli_run_there(u->cli, u->owner.control_socket, 2, argv, &args, &status) != 0)
		return 0;
	return status;
}

/* The server of a read-only mount says nowhere who it is, and other mounts may read on. Others who read now do not for long. */
#define READER_WAIT_MS 10000

static void wait_reader_gone(const struct umount *u)
{
	char *other = cli_mount_point(u->volume);
	if (!other)
		(void)linkfs_volume_wait_unused(u->volume, READER_WAIT_MS);
	free(other);
}

#define FAREWELL_WAIT_MS 5000

/* A mount lives on in other mount namespaces that were made while it was there, and its process with it: to wait for them may be to wait
 * for ever. True when one has it, which is told. */
static bool held_elsewhere(struct umount *u, int farewell)
{
	struct pollfd wait = {.fd = farewell, .events = POLLIN};
	if (farewell < 0 || poll(&wait, 1, FAREWELL_WAIT_MS) != 0)
		return false;
	uint32_t pid = cli_mount_elsewhere(&u->device);
	if (pid)
		cli_failf(u->cli, u->mount_point,
			  "unmounted here; process %u has it in a mount namespace of its own (a container, or a "
			  "service), and "
			  "the volume stays open until that has ended or unmounts it",
			  pid);
	else
		cli_note(u->cli, "%s: unmounted; waiting for process %u to make the last changes durable",
			 u->mount_point, u->owner.pid);
	return pid != 0;
}

/* Until the process that served the mount has let go of the volume. */
static void wait_gone(struct umount *u, int farewell)
{
	if (u->owned && held_elsewhere(u, farewell)) {
		close(farewell);
		return;
	}
	if (!u->owned && u->volume) {
		wait_reader_gone(u);
		return;
	}
	struct linkfs_owner *now = cli_alloc(sizeof(*now));
	int status = 0;
	if (farewell >= 0 && cli_farewell_wait(u->cli, farewell, &status) == 0 && status)
		cli_failf(u->cli, u->volume,
			  "unmounted, but the last changes may not be on disk: see the system's log");
	while (now && u->owned && linkfs_volume_owner(u->volume, now) == 0 && now->local && now->pid == u->owner.pid &&
	       (kill((pid_t)now->pid, 0) == 0 || errno == EPERM))
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	free(now);
}

static void umount_one(struct umount *u, const char *text, bool lazy)
{
	struct linkfs_message why = {""};
	int farewell = -1;
	int error = find(u, text);
	if (error) {
		cli_fail(u->cli, text, error);
		return;
	}
	if (!u->mount_point) {
		cli_failf(u->cli, text, "no linkfs volume is mounted there, and it is no mounted volume");
		return;
	}
	if (sync_first(u) != 0) {
		cli_failf(u->cli, text,
			  "not unmounted: its changes could not be made durable; -l detaches it all the same");
		if (!lazy)
			return;
	}
	if (u->owned && u->owner.control_socket[0] && !lazy)
		cli_farewell_ask(u->cli, u->owner.control_socket, &farewell);
	note_device(u);
	error = linkfs_unmount(u->mount_point, lazy, &why);
	if (error) {
		if (farewell >= 0)
			close(farewell);
		if (why.text[0])
			cli_failf(u->cli, NULL, "%s", why.text);
		else
			cli_fail(u->cli, u->mount_point, error);
		return;
	}
	if (!lazy)
		wait_gone(u, farewell);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	for (size_t i = 0; i < args->noperands; i++) {
		struct umount *u = cli_alloc(sizeof(*u));
		if (!u) {
			cli_fail(cli, NULL, LINKFS_ENOMEM);
			break;
		}
		u->cli = cli;
		umount_one(u, args->operands[i].text, cli_args_option(args, OPT_LAZY) != NULL);
		free(u->volume);
		free(u->mount_point);
		free(u);
	}
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_LAZY, "lazy", NULL, "Detach now what is still in use; it ends when the last user is gone", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[-l] DIRECTORY|VOLUME...", NULL};

const struct cli_command cli_cmd_umount = {
	.name = "umount",
	.summary = "Make everything durable and unmount",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_TEXT,
	.min = 1,
	.flags = CLI_LOCAL,
};
