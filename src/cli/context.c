/*
 * context.c - the context of a running command: messages, cancellation, the volumes it has open, and the small
 * helpers for memory that every command uses.
 */
#include "cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct cli_volume {
	struct cli_volume *next;
	struct linkfs_volume *volume;
	bool lent;
	char path[];
};

void *cli_alloc(size_t size)
{
	return calloc(1, size ? size : 1);
}

char *cli_strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = cli_alloc(size);
	if (copy)
		memcpy(copy, s, size);
	return copy;
}

char *cli_absolute(const struct cli *cli, const char *path)
{
	char *real = realpath(path, NULL);
	if (real || errno == ENOMEM)
		return real;
	return path[0] == '/' || !cli->cwd[0] ? cli_strdup(path) : cli_join(cli->cwd, path);
}

char *cli_format(const char *format, ...)
{
	va_list ap;
	char *text = NULL;
	va_start(ap, format);
	int len = vasprintf(&text, format, ap);
	va_end(ap);
	return len < 0 ? NULL : text;
}

int cli_grow(void *array_ptr, size_t *cap, size_t len, size_t size)
{
	if (len < *cap)
		return 0;
	size_t want = *cap ? *cap * 2 : 16;
	void *old;
	memcpy(&old, array_ptr, sizeof(old));
	void *grown = reallocarray(old, want, size);
	if (!grown)
		return LINKFS_ENOMEM;
	memcpy(array_ptr, &grown, sizeof(grown));
	*cap = want;
	return 0;
}

/* C0, DEL, and C1, which is two bytes in UTF-8: U+009B is as good as an escape to some terminals. */
static bool is_control(const unsigned char *p, bool inside)
{
	return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) ||
	       (!inside && *p >= 0x80 && *p < 0xa0);
}

const char *cli_show(const char *text, char *buf, size_t size)
{
	size_t n = 0;
	bool inside = false; /* of a character of several bytes */
	for (const unsigned char *p = (const unsigned char *)text; *p && n + 5 < size; p++) {
		bool control = is_control(p, inside);
		inside = !control && (*p >= 0xc0 || (inside && *p >= 0x80 && *p < 0xc0));
		if (control)
			n += (size_t)snprintf(buf + n, size - n, "\\%03o", *p);
		else
			buf[n++] = (char)*p;
	}
	buf[n] = '\0';
	return buf;
}

static void message(struct cli *cli, const char *what)
{
	fflush(cli->out);
	fputs("linkfs: ", cli->err);
	if (cli->command)
		fprintf(cli->err, "%s: ", cli->command->name);
	if (what) {
		char shown[LINKFS_PATH_MAX * 2];
		fprintf(cli->err, "%s: ", cli_show(what, shown, sizeof(shown)));
	}
}

/* What is formatted may come from a volume or its lock file. */
__attribute__((format(printf, 2, 0))) static void put_shown(struct cli *cli, const char *format, va_list ap)
{
	char *text = NULL;
	int len = vasprintf(&text, format, ap);
	size_t size = len < 0 ? 0 : (size_t)len * 4 + 8;
	char *shown = size ? malloc(size) : NULL;
	fputs(shown ? cli_show(text, shown, size) : "out of memory", cli->err);
	free(shown);
	if (len >= 0)
		free(text);
}

static void failed(struct cli *cli)
{
	int status = cli->command && cli->command->fail_status ? cli->command->fail_status : CLI_EXIT_SOME;
	if (cli->status < status)
		cli->status = status;
}

void cli_fail(struct cli *cli, const char *what, int error)
{
	message(cli, what);
	fprintf(cli->err, "%s\n", linkfs_strerror(error));
	fflush(cli->err);
	failed(cli);
}

void cli_failf(struct cli *cli, const char *what, const char *format, ...)
{
	va_list ap;
	message(cli, what);
	va_start(ap, format);
	put_shown(cli, format, ap);
	va_end(ap);
	fputc('\n', cli->err);
	fflush(cli->err);
	failed(cli);
}

int cli_usage(struct cli *cli, const char *format, ...)
{
	va_list ap;
	message(cli, NULL);
	va_start(ap, format);
	put_shown(cli, format, ap);
	va_end(ap);
	if (cli->command)
		fprintf(cli->err, "\nTry 'linkfs %s --help' for more information.\n", cli->command->name);
	else
		fprintf(cli->err, "\nTry 'linkfs --help' for the list of commands.\n");
	fflush(cli->err);
	cli->status = cli->command && cli->command->usage_status ? cli->command->usage_status : CLI_EXIT_USAGE;
	return cli->status;
}

void cli_note(struct cli *cli, const char *format, ...)
{
	va_list ap;
	message(cli, NULL);
	va_start(ap, format);
	put_shown(cli, format, ap);
	va_end(ap);
	fputc('\n', cli->err);
	fflush(cli->err);
}

bool cli_cancelled(struct cli *cli)
{
	return cli->cancel && cli->cancel(cli->cancel_arg);
}

static struct cli_volume *find_volume(struct cli *cli, const char *path)
{
	for (struct cli_volume *v = cli->volumes; v; v = v->next) {
		if (strcmp(v->path, path) == 0)
			return v;
	}
	return NULL;
}

static int add_volume(struct cli *cli, const char *path, struct linkfs_volume *volume, bool lent)
{
	size_t size = strlen(path) + 1;
	struct cli_volume *v = cli_alloc(sizeof(*v) + size);
	if (!v)
		return LINKFS_ENOMEM;
	memcpy(v->path, path, size);
	v->volume = volume;
	v->lent = lent;
	v->next = cli->volumes;
	cli->volumes = v;
	return 0;
}

int cli_volume_lend(struct cli *cli, const char *path, struct linkfs_volume *volume)
{
	return add_volume(cli, path, volume, true);
}

/* Another command may own the volume for a moment: one without a mount and without a control socket. *nobody_out says that
 * nobody owns it: then it is being read by those who opened it read-only, a mount maybe, of which the lock file knows nothing. */
static bool owner_is_brief(const char *path, bool *nobody_out)
{
	struct linkfs_owner *owner = cli_alloc(sizeof(*owner));
	bool brief = false;
	if (owner) {
		int error = linkfs_volume_owner(path, owner);
		*nobody_out = error == LINKFS_ENOENT;
		brief = error == LINKFS_ENOENT ||
			(error == 0 && owner->local && !owner->mount_point[0] && !owner->control_socket[0]);
	}
	free(owner);
	return brief;
}

#define WAIT_STEPS 100
#define READER_STEPS 10
#define WAIT_STEP_NS 50000000L

/* Whether the volume is mounted, and by its reading owner: one that owns nothing. */
static bool is_mounted(const char *path)
{
	char *point = cli_mount_point(path);
	free(point);
	return point != NULL;
}

static int open_volume(const char *path, bool reads, struct linkfs_volume **out, struct linkfs_message *why)
{
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_READONLY};
	bool readers = false;
	int error;
	/* Readers do not keep each other out, and write nothing. What they cannot read, a crash's rest maybe, an owner can. */
	if (reads && linkfs_volume_open(path, &options, out, why) == 0)
		return 0;
	options.flags = 0;
	for (int step = 0, nobody_steps = 0;; step++) {
		bool nobody = false;
		why->text[0] = '\0';
		error = linkfs_volume_open(path, &options, out, why);
		if (error != LINKFS_ELOCKED || step >= WAIT_STEPS || !owner_is_brief(path, &nobody))
			break;
		nobody_steps += nobody;
		readers = nobody_steps == READER_STEPS && is_mounted(path);
		if (readers)
			break;
		nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
	}
	if (readers || error == LINKFS_EROFS || error == LINKFS_EACCES || error == LINKFS_EPERM) {
		options.flags = LINKFS_OPEN_READONLY;
		struct linkfs_message again = {""};
		if (linkfs_volume_open(path, &options, out, &again) == 0)
			error = 0;
	}
	return error;
}

int cli_volume_open(struct cli *cli, const char *path, struct linkfs_volume **out)
{
	struct cli_volume *v = find_volume(cli, path);
	if (v) {
		*out = v->volume;
		return 0;
	}
	struct linkfs_message why = {""};
	struct linkfs_volume *volume = NULL;
	int error = open_volume(path, cli->command && (cli->command->flags & CLI_READS) && !cli->writes, &volume, &why);
	if (error) {
		if (why.text[0])
			cli_failf(cli, NULL, "%s", why.text);
		else
			cli_fail(cli, path, error);
		return error;
	}
	error = add_volume(cli, path, volume, false);
	if (error) {
		linkfs_volume_close(volume);
		cli_fail(cli, path, error);
		return error;
	}
	*out = volume;
	return 0;
}

int cli_path_volume(struct cli *cli, const struct cli_path *path, struct linkfs_volume **out)
{
	if (path->kind != CLI_VOLUME) {
		cli_not_in_volume(cli, path);
		return LINKFS_EINVAL;
	}
	if (path->in_mount && access(path->volume, R_OK | X_OK) && errno == EACCES) {
		cli_failf(
			cli, path->text,
			"is in a mount of %s: commands there are for the owner of that volume and for root; others can "
			"ask with getfattr, as linkfs-mount(1) tells",
			path->volume);
		return LINKFS_EACCES;
	}
	return cli_volume_open(cli, path->volume, out);
}

void cli_volumes_close(struct cli *cli)
{
	while (cli->volumes) {
		struct cli_volume *v = cli->volumes;
		cli->volumes = v->next;
		int error = v->lent ? 0 : linkfs_volume_close(v->volume);
		if (error)
			cli_failf(cli, v->path, "the last changes may not be on disk: %s", linkfs_strerror(error));
		free(v);
	}
}
