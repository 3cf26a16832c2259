/*
 * copy.c - the walk of the copy engine: from each source into the destination, directories with a stack of its own,
 * their attributes after their content, hard links by a map of what was already copied. An entry that fails is told and
 * counted; the rest goes on.
 */
#include "copy_run.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void copy_progress(struct copy *copy, const char *display)
{
	char size[32], path[64];
	size_t len = strlen(display);
	if (!cli_progress_due(&copy->progress))
		return;
	cli_human_size(copy->bytes, 1024, size);
	cli_show(display + (len > 40 ? len - 40 : 0), path, sizeof(path));
	cli_progress_show(&copy->progress, 0, 0, "%" PRIu64 " files, %s  %s", copy->files, size, path);
}

void copy_progress_end(struct copy *copy)
{
	cli_progress_end(&copy->progress);
}

void copy_fail(struct copy_run *run, const char *what, int error)
{
	if (error == COPY_TOLD)
		return;
	copy_progress_end(run->copy);
	run->copy->errors++;
	cli_failf(run->copy->cli, run->display, "%s: %s", what, linkfs_strerror(error));
}

int copy_set_path(char **path, size_t *len, size_t *cap, size_t keep, const char *name)
{
	size_t need = keep + strlen(name) + 2;
	if (need > *cap) {
		char *p = realloc(*path, need * 2);
		if (!p)
			return LINKFS_ENOMEM;
		*path = p;
		*cap = need * 2;
	}
	if (keep && (*path)[keep - 1] != '/')
		(*path)[keep++] = '/';
	memcpy(*path + keep, name, strlen(name) + 1);
	*len = keep + strlen(name);
	return 0;
}

/* ---- directories ---- */

bool copy_is_excluded(const struct copy *copy, const char *name, const char *path)
{
	/* The path below the operand: what follows the copy's own first component. */
	const char *below = strchr(path, '/');
	for (size_t i = 0; i < copy->nexcludes; i++) {
		const char *pattern = copy->excludes[i];
		if (!strchr(pattern, '/')) {
			if (fnmatch(pattern, name, 0) == 0)
				return true;
		} else if (below && fnmatch(pattern + (*pattern == '/'), below + 1, FNM_PATHNAME) == 0) {
			return true;
		}
	}
	return false;
}

/* Why a directory of the host must not be entered; NULL when it may be. */
static const char *forbidden(const struct copy_run *run, const struct copy_dir *from, const struct copy_stat *st)
{
	const struct copy *copy = run->copy;
	if (from->volume)
		return NULL;
	for (size_t i = 0; i < copy->nown_devs; i++) {
		if (copy->own_devs[i] == st->dev)
			return "is the volume's own mount: passed over";
	}
	if (copy->volume_ino && st->st.ino == copy->volume_ino && st->dev == copy->volume_dev)
		return "is the volume's own directory: passed over";
	return NULL;
}

static int open_target(struct copy_run *run, const struct copy_stat *st, const struct copy_dir *to, const char *name,
		       struct copy_frame *frame)
{
	struct copy *copy = run->copy;
	struct copy_stat there;
	int error = strcmp(name, ".") == 0 ? LINKFS_EEXIST : copy_mkdir(copy, to, name, 0700 | (st->st.mode & 0777));
	frame->made = error == 0;
	if (error == LINKFS_EEXIST) {
		error = copy_stat(copy, to, name, run->len == 0 && copy->existing != COPY_REPLACE, &there);
		if (!error && !S_ISDIR(there.st.mode))
			error = LINKFS_ENOTDIR;
		frame->merged = true;
	}
	if (error)
		return error;
	error = copy_open_dir(copy, to, name, frame->merged && run->len == 0 && copy->existing != COPY_REPLACE,
			      &frame->to);
	/* At once, before what is made in it has them as well. */
	bool given = run->len == 0 || run->frames[run->len - 1].merged;
	if (!error && frame->made && given && copy->keep_mode && copy->keep_xattr)
		copy_drop_acls(copy, &frame->to);
	return error;
}

static int enter_dir(struct copy_run *run, const struct copy_dir *from, const char *from_name, bool follow,
		     const struct copy_stat *st, const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_frame frame = {.stat = *st, .display_len = run->display_len, .below_len = run->below_len};
	if (cli_grow(&run->frames, &run->cap, run->len, sizeof(frame)) != 0)
		return LINKFS_ENOMEM;
	frame.from.fd = frame.to.fd = -1;
	int error = copy_open_dir(copy, from, from_name, follow, &frame.from);
	if (!error)
		error = open_target(run, st, to, name, &frame);
	if (!error)
		error = copy_list(copy, &frame.from, &frame.list);
	frame.from_name = error ? NULL : cli_strdup(from_name);
	frame.to_name = error ? NULL : cli_strdup(name);
	if (!error && (!frame.from_name || !frame.to_name))
		error = LINKFS_ENOMEM;
	if (error) {
		copy_close_dir(&frame.from);
		copy_close_dir(&frame.to);
		cli_list_done(&frame.list);
		free(frame.from_name);
		free(frame.to_name);
		return error;
	}
	struct copy_stat top;
	if (run->len == 0 && copy_stat(copy, to, name, true, &top) == 0) {
		run->top_dev = top.dev;
		run->top_ino = top.st.ino;
	}
	run->frames[run->len++] = frame;
	copy->dirs++;
	if (copy->verbose && frame.made)
		fprintf(copy->cli->out, "'%s' -> '%s'\n", run->display, run->below);
	return 0;
}

static void leave_dir(struct copy_run *run)
{
	struct copy *copy = run->copy;
	struct copy_frame *frame = &run->frames[run->len - 1];
	const struct copy_dir *from = run->len > 1 ? &run->frames[run->len - 2].from : &run->from;
	const struct copy_dir *to = run->len > 1 ? &run->frames[run->len - 2].to : &run->to;
	struct copy_file from_file = {.volume = frame->from.volume, .ino = frame->from.ino, .fd = frame->from.fd};
	struct copy_file to_file = {.volume = frame->to.volume, .ino = frame->to.ino, .fd = frame->to.fd};
	struct copy_meta meta = {.from_dir = from,
				 .to_dir = to,
				 .from_name = frame->from_name,
				 .to_name = frame->to_name,
				 .from = &frame->stat,
				 .from_file = &from_file,
				 .to_file = &to_file,
				 .made = frame->made,
				 .merged = frame->merged};
	run->display[frame->display_len] = '\0';
	run->display_len = frame->display_len;
	int error = copy_attributes(copy, &meta);
	if (error)
		copy_fail(run, "cannot set attributes", error);
	copy_close_dir(&frame->from);
	copy_close_dir(&frame->to);
	cli_list_done(&frame->list);
	free(frame->from_name);
	free(frame->to_name);
	run->len--;
}

/* ---- the walk ---- */

static void visit(struct copy_run *run, const struct copy_dir *from, const char *from_name, bool follow,
		  const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_stat st;
	const char *why;
	copy_progress(copy, run->display);
	if (run->len && copy_is_excluded(copy, from_name, run->below)) {
		copy->skipped++;
		return;
	}
	int error = copy_stat(copy, from, from_name, follow, &st);
	if (error) {
		copy_fail(run, "cannot read", error);
		return;
	}
	if (run->len == 0)
		run->dev = st.dev;
	if (!S_ISDIR(st.st.mode)) {
		copy_entry(run, from, from_name, follow, &st, to, name);
		return;
	}
	if (!copy->recursive) {
		copy_progress_end(copy);
		copy->errors++;
		cli_failf(copy->cli, run->display, "is a directory: -r copies it with its content");
		return;
	}
	if (run->len && st.dev == run->top_dev && st.st.ino == run->top_ino) {
		copy_progress_end(copy);
		copy->errors++;
		cli_failf(copy->cli, run->display, "is the copy itself: a directory cannot be copied into itself");
		return;
	}
	why = forbidden(run, from, &st);
	if (why || (copy->one_fs && st.dev != run->dev && !from->volume)) {
		copy->skipped++;
		if (why) {
			copy_progress_end(copy);
			cli_note(copy->cli, "%s %s", run->display, why);
		}
		return;
	}
	error = enter_dir(run, from, from_name, follow, &st, to, name);
	if (error)
		copy_fail(run, "cannot copy the directory", error);
}

static int step(struct copy_run *run)
{
	struct copy_frame *frame = &run->frames[run->len - 1];
	if (frame->next == frame->list.len) {
		leave_dir(run);
		return 0;
	}
	const char *name = frame->list.entries[frame->next++].name;
	int error = copy_set_path(&run->display, &run->display_len, &run->display_cap, frame->display_len, name);
	if (!error)
		error = copy_set_path(&run->below, &run->below_len, &run->below_cap, frame->below_len, name);
	if (error)
		return error;
	/* enter_dir may move the frames: the directories are copied. */
	struct copy_dir from = frame->from, to = frame->to;
	visit(run, &from, name, run->copy->follow, &to, name);
	return 0;
}

/* Names of the caller's own descriptors: they mean nothing in the process that serves a mount. */
static bool names_own(const char *path)
{
	return strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/dev/std", 8) == 0 ||
	       strncmp(path, "/proc/self/", 11) == 0 || strncmp(path, "/proc/thread-self/", 18) == 0;
}

/* The caller's standard input as a file; only its stream is ours to read. */
static int copy_input(struct copy_run *run, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_file out = {.fd = -1};
	uint64_t offset = 0;
	bool existing = false;
	int error = copy_open_write(copy, &run->to, name, 0666, COPY_NEW, &out);
	if (error == LINKFS_EEXIST) {
		existing = true;
		error = copy->existing == COPY_SKIP ? LINKFS_EEXIST
						    : copy_open_write(copy, &run->to, name, 0, COPY_THERE_FOLLOW, &out);
	}
	while (!error) {
		size_t n = cli_cancelled(copy->cli) ? 0 : fread(copy->buf, 1, COPY_BUF, copy->cli->in);
		if (n == 0)
			break;
		error = copy_write(copy, &out, offset, copy->buf, n);
		offset += n;
		copy->bytes += n;
	}
	if (!error && (ferror(copy->cli->in) || cli_cancelled(copy->cli)))
		error = LINKFS_EINTR;
	copy_close(&out);
	if (error && !existing && error != LINKFS_EEXIST)
		copy_unlink(copy, &run->to, name);
	copy->files += error == 0;
	return error == LINKFS_EEXIST ? 0 : error;
}

static void copy_source(struct copy_run *run, const struct cli_path *source, const char *dest_name)
{
	struct copy *copy = run->copy;
	char *name = NULL;
	int error = copy_set_path(&run->display, &run->display_len, &run->display_cap, 0, source->text);
	if (!error && source->kind == CLI_HOST && strcmp(source->host, "/dev/stdin") == 0 && !copy->recursive) {
		error = copy_input(run, dest_name ? dest_name : "stdin");
		if (error)
			copy_fail(run, "cannot copy", error);
		return;
	}
	if (!error && copy->cli->in_owner && source->kind == CLI_HOST && names_own(source->host)) {
		copy_progress_end(copy);
		copy->errors++;
		cli_failf(copy->cli, source->text,
			  "names something of the calling process, which the mount's cannot see; use /dev/stdin");
		return;
	}
	if (!error)
		error = copy_operand(copy, source, &run->from, &name);
	const char *to_name = dest_name ? dest_name : name;
	if (!error)
		error = copy_set_path(&run->below, &run->below_len, &run->below_cap, 0, to_name);
	if (error) {
		if (error != COPY_TOLD)
			copy_fail(run, "cannot read", error);
		free(name);
		return;
	}
	visit(run, &run->from, name, copy->follow || copy->follow_args || strcmp(name, ".") == 0, &run->to, to_name);
	while (run->len && !error)
		error = cli_cancelled(copy->cli) ? LINKFS_EINTR : step(run);
	if (error)
		copy_fail(run, "stopped", error);
	while (run->len) /* with the attributes they should have */
		leave_dir(run);
	copy_close_dir(&run->from);
	free(name);
}

/* The directory that receives the copies; *name_out is the copy's name when there is just one. */
static int open_dest(struct copy_run *run, const struct cli_targets *targets, char **name_out)
{
	struct copy *copy = run->copy;
	struct copy_dir dir;
	char *name;
	int error = copy_operand(copy, targets->dest, &dir, &name);
	if (error)
		return error;
	*name_out = NULL;
	if (!targets->into) {
		run->to = dir;
		*name_out = name;
		return 0;
	}
	if (dir.volume) {
		struct linkfs_stat st;
		error = linkfs_path_stat(dir.volume, &copy->cli->cred, targets->dest->at, targets->dest->path, 0, &st);
		if (!error)
			copy_place(copy, dir.volume, targets->dest->at, targets->dest->path, st.ino, &run->to);
	} else {
		int fd = openat(dir.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		error = fd < 0 ? linkfs_from_errno(errno) : 0;
		run->to = (struct copy_dir){.fd = fd};
	}
	copy_close_dir(&dir);
	free(name);
	return cli_gone(error);
}

/* What the process that serves a mount must not open: the mount itself. */
void copy_find_own_mounts(struct copy *copy)
{
	struct cli_mount *mounts = NULL;
	size_t count = 0;
	if (!copy->cli->in_owner || cli_mounts_read(&mounts, &count) != 0)
		return;
	copy->own_devs = cli_alloc((count + 1) * sizeof(*copy->own_devs));
	for (size_t i = 0; copy->own_devs && i < count; i++) {
		if (strcmp(mounts[i].source, copy->cli->own_volume) == 0)
			copy->own_devs[copy->nown_devs++] = makedev(mounts[i].major, mounts[i].minor);
	}
	cli_mounts_free(mounts, count);
}

void copy_run(struct copy *copy, const struct cli_targets *targets)
{
	struct copy_run run = {.copy = copy, .from.fd = -1, .to.fd = -1};
	struct stat st;
	char *dest_name = NULL;
	copy->map = copy_map_new();
	copy->buf = malloc(COPY_BUF);
	int error = copy->map && copy->buf ? 0 : LINKFS_ENOMEM;
	copy_find_own_mounts(copy);
	if (targets->dest->kind == CLI_VOLUME && stat(targets->dest->volume, &st) == 0) {
		copy->volume_dev = st.st_dev;
		copy->volume_ino = st.st_ino;
	}
	if (!error && copy->cli->in_owner && targets->dest->kind == CLI_HOST && names_own(targets->dest->host)) {
		cli_failf(copy->cli, targets->dest->text,
			  "names something of the calling process, which the mount's cannot see; use 'linkfs cat'");
		error = COPY_TOLD;
	}
	if (!error)
		error = open_dest(&run, targets, &dest_name);
	if (error && error != COPY_TOLD) {
		copy->errors++;
		cli_fail(copy->cli, targets->dest->text, error);
	}
	for (size_t i = 0; i < targets->nsources && !error && !cli_cancelled(copy->cli); i++)
		copy_source(&run, &targets->sources[i], dest_name);
	copy_progress_end(copy);
	copy_close_dir(&run.to);
	free(dest_name);
	free(run.frames);
	free(run.display);
	free(run.below);
	copy_map_free(copy->map);
	free(copy->buf);
	free(copy->own_devs);
}
