/*
 * copy.c - the walk of the copy engine: from each source into the destination, directories with a stack of its own,
 * their attributes after their content, hard links by a map of what was already copied. An entry that fails is told and
 * counted; the rest goes on.
 */
#include "copy.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct frame {
	struct copy_dir from, to;
	struct copy_stat stat;
	char *from_name, *to_name; /* in the frame below */
	struct cli_list list;
	size_t next, display_len, below_len;
	bool made, merged;
};

struct run {
	struct copy *copy;
	struct frame *frames;
	size_t len, cap;
	struct copy_dir from, to; /* where the operand and its copy are named */
	char *display;            /* path of the source for messages */
	size_t display_len, display_cap;
	char *below; /* path of the copy below run.to: for links on the host */
	size_t below_len, below_cap;
	uint64_t dev; /* of the operand, for one_fs */
};

#define PROGRESS_NS 200000000

static void progress(struct run *run)
{
	struct copy *copy = run->copy;
	char size[32], path[64];
	if (!copy->cli->err_tty)
		return;
	int64_t now = cli_now_ns();
	if (now - copy->shown_ns < PROGRESS_NS)
		return;
	if (copy->shown_ns) {
		size_t len = strlen(run->display);
		cli_human_size(copy->bytes, 1024, size);
		cli_show(run->display + (len > 40 ? len - 40 : 0), path, sizeof(path));
		fprintf(copy->cli->err, "\r\033[K%" PRIu64 " files, %s  %s", copy->files, size, path);
		fflush(copy->cli->err);
		copy->shown = true;
	}
	copy->shown_ns = now;
}

static void progress_end(struct copy *copy)
{
	if (copy->shown)
		fputs("\r\033[K", copy->cli->err);
	copy->shown = false;
}

static void fail(struct run *run, const char *what, int error)
{
	if (error == COPY_TOLD)
		return;
	progress_end(run->copy);
	run->copy->errors++;
	cli_failf(run->copy->cli, run->display, "%s: %s", what, linkfs_strerror(error));
}

static int set_path(char **path, size_t *len, size_t *cap, size_t keep, const char *name)
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

/* ---- hard links ---- */

/* A link to a copy made earlier on the host. The way there is walked anew without following anything, and what was
 * linked is checked: somebody may have put another file in its place. */
static int link_host(struct run *run, const struct copy_place *place, const struct copy_dir *to, const char *name)
{
	const char *slash = strrchr(place->path, '/');
	char *dir = slash ? strndup(place->path, (size_t)(slash - place->path)) : cli_strdup(".");
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	struct stat st;
	int error = 0;
	int fd = dir ? (int)syscall(SYS_openat2, run->to.fd, dir, &how, sizeof(how)) : -1;
	if (fd < 0)
		error = dir ? linkfs_from_errno(errno) : LINKFS_ENOMEM;
	free(dir);
	if (!error && linkat(fd, slash ? slash + 1 : place->path, to->fd, name, 0) != 0)
		error = linkfs_from_errno(errno);
	else if (!error && (fstatat(to->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_ino != place->ino ||
			    st.st_dev != place->dev)) {
		unlinkat(to->fd, name, 0);
		error = LINKFS_ESTALE;
	}
	if (fd >= 0)
		close(fd);
	return error;
}

static int link_to(struct run *run, const struct copy_place *place, const struct copy_dir *to, const char *name)
{
	if (!to->volume)
		return link_host(run, place, to, name);
	return linkfs_node_link(to->volume, &run->copy->cli->cred, place->ino, to->ino, name, strlen(name), 0, NULL);
}

static int remember(struct run *run, const struct copy_stat *from, const struct copy_dir *to, const char *name)
{
	struct copy_stat made;
	struct copy_place place = {0};
	int error = copy_stat(run->copy, to, name, false, &made);
	if (error)
		return error;
	place.ino = made.st.ino;
	place.dev = made.dev;
	if (!to->volume) {
		place.path = cli_strdup(run->below);
		if (!place.path)
			return LINKFS_ENOMEM;
	}
	return copy_map_add(run->copy->map, from->dev, from->st.ino, &place);
}

/* ---- one entry that is no directory ---- */

static int make_file(struct run *run, const struct copy_dir *from, const char *from_name, bool follow,
		     const struct copy_stat *st, const struct copy_dir *to, const char *name, bool existing)
{
	struct copy *copy = run->copy;
	struct copy_file in = {.fd = -1}, out = {.fd = -1};
	bool keep = copy->keep_mode || copy->keep_owner || copy->keep_times || copy->keep_xattr;
	uint32_t mode = keep ? 0600 : st->st.mode & 0777;
	if (!to->volume)
		mode &= ~copy->cli->cred.umask;
	int error = copy_open_read(copy, from, from_name, follow, &in);
	if (error)
		return error;
	error = copy_open_write(copy, to, name, mode, existing, &out);
	if (error == LINKFS_EEXIST && !existing) { /* mostly nothing is there: looked at only when something is */
		copy_close(&in);
		return error;
	}
	if (!error)
		error = copy_content(copy, &in, st, &out);
	if (!error && keep) {
		struct copy_meta meta = {.from_dir = from,
					 .to_dir = to,
					 .from_name = from_name,
					 .to_name = name,
					 .from = st,
					 .from_file = &in,
					 .to_file = &out,
					 .made = !existing,
					 .merged = run->len == 0 || run->frames[run->len - 1].merged};
		error = copy_attributes(copy, &meta);
	}
	bool opened = out.volume || out.fd >= 0;
	copy_close(&out);
	copy_close(&in);
	if (error && opened && !existing) /* no half a file under the name */
		copy_unlink(copy, to, name);
	return error;
}

static int make_other(struct run *run, const struct copy_dir *from, const char *from_name, const struct copy_stat *st,
		      const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_stat made;
	char *text = NULL;
	int error;
	if (S_ISLNK(st->st.mode)) {
		error = copy_readlink(copy, from, from_name, st, &text);
		if (!error)
			error = copy_symlink(copy, to, name, text);
		free(text);
	} else {
		error = copy_make(copy, to, name, &st->st);
	}
	if (error)
		return error;
	error = copy_stat(copy, to, name, false, &made);
	struct copy_meta meta = {.from_dir = from,
				 .to_dir = to,
				 .from_name = from_name,
				 .to_name = name,
				 .from = st,
				 .to_ino = made.st.ino,
				 .made = true,
				 .merged = run->len == 0 || run->frames[run->len - 1].merged};
	return error ? error : copy_attributes(copy, &meta);
}

/* What is at the destination already. Returns 1 to go on with the name free, 2 to write into what is there, 0 to leave
 * the entry, or an error. */
static int settle_existing(struct run *run, const struct copy_stat *st, const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_stat there;
	int error = copy_stat(copy, to, name, false, &there);
	if (error == LINKFS_ENOENT)
		return 1;
	if (error)
		return error;
	if (there.dev == st->dev && there.st.ino == st->st.ino) {
		progress_end(copy);
		copy->errors++;
		cli_failf(copy->cli, run->display, "source and destination are the same file");
		return 0;
	}
	if (S_ISDIR(there.st.mode))
		return LINKFS_EISDIR;
	if (copy->existing == COPY_SKIP || (copy->existing == COPY_UPDATE && there.st.mtime_ns >= st->st.mtime_ns)) {
		copy->skipped++;
		return 0;
	}
	bool into = copy->existing != COPY_REPLACE && S_ISREG(st->st.mode) && !copy->hard_link &&
		    (S_ISREG(there.st.mode) || (S_ISLNK(there.st.mode) && run->len == 0));
	if (into)
		return 2;
	error = copy_unlink(copy, to, name);
	return error && error != LINKFS_ENOENT ? error : 1;
}

static int create_entry(struct run *run, const struct copy_dir *from, const char *from_name, bool follow,
			const struct copy_stat *st, const struct copy_dir *to, const char *name, bool existing)
{
	struct copy *copy = run->copy;
	const struct copy_place *place = NULL;
	bool several = copy->keep_links && st->st.nlink > 1;
	int error;
	if (several)
		place = copy_map_find(copy->map, st->dev, st->st.ino);
	if (place && !existing) {
		error = link_to(run, place, to, name);
		copy->links += error == 0;
		if (error != LINKFS_ESTALE && error != LINKFS_ENOENT)
			return error;
	}
	if (copy->hard_link && from->volume && from->volume == to->volume) {
		error = linkfs_node_link(to->volume, &copy->cli->cred, st->st.ino, to->ino, name, strlen(name), 0,
					 NULL);
		copy->links += error == 0;
		return error;
	}
	if (S_ISREG(st->st.mode) || (!copy->keep_type && !S_ISLNK(st->st.mode)))
		error = make_file(run, from, from_name, follow, st, to, name, existing);
	else
		error = make_other(run, from, from_name, st, to, name);
	if (!error && several)
		error = remember(run, st, to, name);
	if (error)
		return error;
	if (S_ISREG(st->st.mode))
		copy->files++;
	else if (S_ISLNK(st->st.mode))
		copy->symlinks++;
	else
		copy->others++;
	return 0;
}

static void copy_entry(struct run *run, const struct copy_dir *from, const char *from_name, bool follow,
		       const struct copy_stat *st, const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	/* The name is mostly free: tried first, where what is there would be replaced anyway. */
	int error = copy->existing == COPY_REPLACE ? create_entry(run, from, from_name, follow, st, to, name, false)
						   : LINKFS_EEXIST;
	if (error == LINKFS_EEXIST) {
		int settled = settle_existing(run, st, to, name);
		if (settled == 0)
			return;
		error = settled < 0 ? settled : create_entry(run, from, from_name, follow, st, to, name, settled == 2);
		if (settled == 2 && copy->force &&
		    (error == LINKFS_EACCES || error == LINKFS_EPERM || error == LINKFS_ETXTBSY)) {
			error = copy_unlink(copy, to, name);
			if (!error)
				error = create_entry(run, from, from_name, follow, st, to, name, false);
		}
	}
	if (error)
		fail(run, "cannot copy", error);
	else if (copy->verbose)
		fprintf(copy->cli->out, "'%s' -> '%s'\n", run->display, run->below);
}

/* ---- directories ---- */

static bool is_excluded(const struct run *run, const char *name)
{
	const struct copy *copy = run->copy;
	/* The path below the operand: what follows the copy's own first component. */
	const char *below = strchr(run->below, '/');
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
static const char *forbidden(const struct run *run, const struct copy_dir *from, const struct copy_stat *st)
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

static int open_target(struct run *run, const struct copy_stat *st, const struct copy_dir *to, const char *name,
		       struct frame *frame)
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
	return copy_open_dir(copy, to, name, frame->merged && run->len == 0 && copy->existing != COPY_REPLACE,
			     &frame->to);
}

static int enter_dir(struct run *run, const struct copy_dir *from, const char *from_name, bool follow,
		     const struct copy_stat *st, const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	struct frame frame = {.stat = *st, .display_len = run->display_len, .below_len = run->below_len};
	if (cli_grow(&run->frames, &run->cap, run->len, sizeof(frame)) != 0)
		return LINKFS_ENOMEM;
	frame.from.fd = frame.to.fd = -1;
	int error = copy_open_dir(copy, from, from_name, follow, &frame.from);
	/* Listed before the copy is made: a copy inside its source is then not part of it. */
	if (!error)
		error = copy_list(copy, &frame.from, &frame.list);
	if (!error)
		error = open_target(run, st, to, name, &frame);
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
	run->frames[run->len++] = frame;
	copy->dirs++;
	if (copy->verbose && frame.made)
		fprintf(copy->cli->out, "'%s' -> '%s'\n", run->display, run->below);
	return 0;
}

static void leave_dir(struct run *run)
{
	struct copy *copy = run->copy;
	struct frame *frame = &run->frames[run->len - 1];
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
		fail(run, "cannot set attributes", error);
	copy_close_dir(&frame->from);
	copy_close_dir(&frame->to);
	cli_list_done(&frame->list);
	free(frame->from_name);
	free(frame->to_name);
	run->len--;
}

/* ---- the walk ---- */

static void visit(struct run *run, const struct copy_dir *from, const char *from_name, bool follow,
		  const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_stat st;
	const char *why;
	progress(run);
	if (run->len && is_excluded(run, from_name)) {
		copy->skipped++;
		return;
	}
	int error = copy_stat(copy, from, from_name, follow, &st);
	if (error) {
		fail(run, "cannot read", error);
		return;
	}
	if (run->len == 0)
		run->dev = st.dev;
	if (!S_ISDIR(st.st.mode)) {
		copy_entry(run, from, from_name, follow, &st, to, name);
		return;
	}
	if (!copy->recursive) {
		progress_end(copy);
		copy->errors++;
		cli_failf(copy->cli, run->display, "is a directory: -r copies it with its content");
		return;
	}
	why = forbidden(run, from, &st);
	if (why || (copy->one_fs && st.dev != run->dev && !from->volume)) {
		copy->skipped++;
		if (why) {
			progress_end(copy);
			cli_note(copy->cli, "%s %s", run->display, why);
		}
		return;
	}
	error = enter_dir(run, from, from_name, follow, &st, to, name);
	if (error)
		fail(run, "cannot copy the directory", error);
}

static int step(struct run *run)
{
	struct frame *frame = &run->frames[run->len - 1];
	if (frame->next == frame->list.len) {
		leave_dir(run);
		return 0;
	}
	const char *name = frame->list.entries[frame->next++].name;
	int error = set_path(&run->display, &run->display_len, &run->display_cap, frame->display_len, name);
	if (!error)
		error = set_path(&run->below, &run->below_len, &run->below_cap, frame->below_len, name);
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
static int copy_input(struct run *run, const char *name)
{
	struct copy *copy = run->copy;
	struct copy_file out = {.fd = -1};
	uint64_t offset = 0;
	bool existing = false;
	int error = copy_open_write(copy, &run->to, name, 0666, false, &out);
	if (error == LINKFS_EEXIST) {
		existing = true;
		error = copy->existing == COPY_SKIP ? LINKFS_EEXIST
						    : copy_open_write(copy, &run->to, name, 0, true, &out);
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

static void copy_source(struct run *run, const struct cli_path *source, const char *dest_name)
{
	struct copy *copy = run->copy;
	char *name = NULL;
	int error = set_path(&run->display, &run->display_len, &run->display_cap, 0, source->text);
	if (!error && source->kind == CLI_HOST && strcmp(source->host, "/dev/stdin") == 0 && !copy->recursive) {
		error = copy_input(run, dest_name ? dest_name : "stdin");
		if (error)
			fail(run, "cannot copy", error);
		return;
	}
	if (!error && copy->cli->in_owner && source->kind == CLI_HOST && names_own(source->host)) {
		progress_end(copy);
		copy->errors++;
		cli_failf(copy->cli, source->text,
			  "names something of the calling process, which the mount's cannot see; use /dev/stdin");
		return;
	}
	if (!error)
		error = copy_operand(copy, source, &run->from, &name);
	const char *to_name = dest_name ? dest_name : name;
	if (!error)
		error = set_path(&run->below, &run->below_len, &run->below_cap, 0, to_name);
	if (error) {
		if (error != COPY_TOLD)
			fail(run, "cannot read", error);
		free(name);
		return;
	}
	visit(run, &run->from, name, copy->follow || copy->follow_args || strcmp(name, ".") == 0, &run->to, to_name);
	while (run->len && !error)
		error = cli_cancelled(copy->cli) ? LINKFS_EINTR : step(run);
	if (error)
		fail(run, "stopped", error);
	while (run->len) /* with the attributes they should have */
		leave_dir(run);
	copy_close_dir(&run->from);
	free(name);
}

/* The directory that receives the copies; *name_out is the copy's name when there is just one. */
static int open_dest(struct run *run, const struct cli_targets *targets, char **name_out)
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
		run->to = (struct copy_dir){.volume = dir.volume, .ino = st.ino, .fd = -1};
	} else {
		int fd = openat(dir.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		error = fd < 0 ? linkfs_from_errno(errno) : 0;
		run->to = (struct copy_dir){.fd = fd};
		copy_close_dir(&dir);
	}
	free(name);
	return cli_gone(error);
}

/* What the process that serves a mount must not open: the mount itself. */
static void find_own_mounts(struct copy *copy)
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
	struct run run = {.copy = copy, .from.fd = -1, .to.fd = -1};
	struct stat st;
	char *dest_name = NULL;
	copy->map = copy_map_new();
	copy->buf = malloc(COPY_BUF);
	int error = copy->map && copy->buf ? 0 : LINKFS_ENOMEM;
	find_own_mounts(copy);
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
	progress_end(copy);
	copy_close_dir(&run.to);
	free(dest_name);
	free(run.frames);
	free(run.display);
	free(run.below);
	copy_map_free(copy->map);
	free(copy->buf);
	free(copy->own_devs);
}
