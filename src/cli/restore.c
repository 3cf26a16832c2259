/*
 * restore.c - the walk of linkfs restore: the volume's tree into the destination, each directory's attributes after its content. An entry
 * that fails is told and counted, and the rest goes on, unless the destination is full, read-only or gone. See restore.h.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

/* No volume has others, but a damaged one might. */
static bool is_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static void entry_failed(struct restore *r, const char *what, int error)
{
	if (error == LINKFS_EINTR) {
		r->stopped = true;
		return;
	}
	if (error == LINKFS_ESTALE)
		restore_fail(r, "moved away meanwhile by somebody else: left", COPY_TOLD);
	else if (error == LINKFS_EXDEV && !r->mounts)
		restore_fail(r, "another file system is mounted there: left; --mounts goes into it", COPY_TOLD);
	else
		restore_fail(r, what, error);
	if (restore_is_final(error))
		r->stopped = true;
}

static struct restore_frame *top(const struct restore *r)
{
	return &r->frames[r->len - 1];
}

/* ---- what the volume does not have goes ---- */

static void remove_rest(struct restore *r, struct restore_frame *frame)
{
	struct cli_list there;
	int error = copy_host_list(frame->to.fd, &there);
	if (error) {
		entry_failed(r, "cannot read the destination's directory", error);
		return;
	}
	restore_names_sort(&frame->list);
	for (size_t i = 0; i < there.len && !r->stopped; i++) {
		const struct cli_entry *e = &there.entries[i];
		if (restore_names_have(&frame->list, e) || (r->len == 1 && strcmp(e->name, "lost+found") == 0))
			continue;
		error = copy_set_path(&r->display, &r->display_len, &r->display_cap, frame->display_len, e->name);
		if (!error)
			error = copy_set_path(&r->below, &r->below_len, &r->below_cap, frame->below_len, e->name);
		if (!error && !r->dry)
			error = restore_beneath(r);
		if (!error && !r->dry)
			error = restore_remove(r, &frame->to, e->name);
		if (error) {
			entry_failed(r, "cannot remove what the volume does not have", error);
			continue;
		}
		r->done.removed++;
		restore_tell(r, "removed", r->below);
	}
	r->display[frame->display_len] = r->below[frame->below_len] = '\0';
	r->display_len = frame->display_len;
	r->below_len = frame->below_len;
	cli_list_done(&there);
}

/* ---- directories ---- */

/* As its owner could. */
static int open_for_writing(struct restore *r, struct restore_frame *frame, uint32_t mode)
{
	if (r->privileged || r->dry || !frame->settles || (mode & 0300) == 0300)
		return 0;
	if (fchmod(frame->to.fd, (mode & RESTORE_MODE_BITS) | 0300) != 0)
		return errno == EPERM ? 0 : host_error();
	frame->opened = true;
	frame->mode = mode & RESTORE_MODE_BITS;
	return 0;
}

/* The destination's directory: what is there, or a new one. */
static int open_target(struct restore *r, const char *name, struct restore_frame *frame)
{
	struct restore_frame *parent = top(r);
	struct copy_stat there;
	int fd = -1, error = LINKFS_ENOENT;
	if (parent->to.shared && !parent->absent)
		error = restore_look(r, &parent->to, name, &fd, &there);
	if (fd >= 0)
		close(fd);
	if (error && error != LINKFS_ENOENT)
		return error;
	bool is = error == 0, is_dir = is && S_ISDIR(there.st.mode);
	if (is_dir) {
		frame->settles = r->how == RESTORE_OVERWRITE;
		error = restore_enter(r, &parent->to, name, &frame->to);
		return error ? error : open_for_writing(r, frame, there.st.mode);
	}
	if (is && r->how != RESTORE_OVERWRITE) {
		restore_fail(r, "is no directory in the destination: left, with all that the directory holds",
			     COPY_TOLD);
		return COPY_TOLD;
	}
	frame->settles = true;
	frame->absent = r->dry;
	error = r->dry ? 0 : restore_make_dir(r, &parent->to, name, is, &frame->to);
	if (error)
		return error;
	r->done.dirs++;
	r->done.restored += !is;
	r->done.replaced += is;
	restore_tell(r, is ? "replaced" : "restored", r->below);
	return 0;
}

static int enter_dir(struct restore *r, const struct copy_dir *from, const char *from_name, const struct copy_stat *st,
		     const char *name)
{
	struct restore_frame frame = {.stat = *st,
				      .from.fd = -1,
				      .to = {.fd = -1, .shop = -1},
				      .display_len = r->display_len,
				      .below_len = r->below_len};
	if (cli_grow(&r->frames, &r->cap, r->len, sizeof(frame)) != 0)
		return LINKFS_ENOMEM;
	int error = copy_open_dir(&r->copy, from, from_name, false, &frame.from);
	if (!error)
		error = copy_list(&r->copy, &frame.from, &frame.list);
	frame.name = error ? NULL : cli_strdup(name);
	if (!error && !frame.name)
		error = LINKFS_ENOMEM;
	if (!error)
		error = open_target(r, name, &frame);
	if (error) {
		restore_close_frame(&frame);
		return error;
	}
	r->frames[r->len++] = frame;
	if (r->removes && frame.to.shared)
		remove_rest(r, top(r));
	return 0;
}

/* What was made in a directory where others have rights has its name still. */
static int is_in_place(const struct restore *r, const struct restore_frame *frame)
{
	const struct restore_frame *parent = frame - 1;
	struct restore_id id = {0};
	struct copy_stat st;
	int fd = -1;
	if (r->len < 2 || !parent->to.shared)
		return 0;
	int error = restore_look(r, &parent->to, frame->name, &fd, &st);
	if (!error)
		error = restore_stat_fd(fd, NULL, &id);
	if (fd >= 0)
		close(fd);
	return !error && restore_same(&id, &frame->to.id) ? 0 : LINKFS_ESTALE;
}

static int settle(struct restore *r, struct restore_frame *frame)
{
	int error = restore_beneath(r);
	if (!error)
		error = restore_attributes(r, &frame->from, &frame->stat, frame->to.fd, false, frame->to.shared);
	return error ? error : is_in_place(r, frame);
}

static void leave_dir(struct restore *r)
{
	struct restore_frame *frame = top(r);
	r->display[frame->display_len] = r->below[frame->below_len] = '\0';
	r->display_len = frame->display_len;
	r->below_len = frame->below_len;
	if (r->verify && !r->stopped && !(r->len == 1 && frame->name))
		restore_verify_rest(r, frame);
	/* The workshop's removal moves the directory's times. */
	int error = restore_close_shop(&frame->to);
	if (error)
		entry_failed(r, "cannot remove the directory .linkfs-... that files were made in", error);
	if (frame->opened && (r->stopped || !frame->settles))
		(void)fchmod(frame->to.fd, frame->mode);
	/* What is not complete stays closed. */
	if (frame->settles && !r->dry && !r->stopped) {
		error = settle(r, frame);
		if (error)
			entry_failed(r, "cannot set attributes", error);
	}
	restore_close_frame(frame);
	r->len--;
}

/* The deepest directory that was moved away is left, with all below it. */
static void abandon(struct restore *r)
{
	bool found = false;
	while (r->len > 0 && !found) {
		found = top(r)->to.shared;
		top(r)->settles = false;
		leave_dir(r);
	}
}

/* ---- the walk ---- */

static void visit(struct restore *r, const char *from_name, const char *name)
{
	const struct copy_dir from = top(r)->from;
	struct copy_stat st;
	r->seen++;
	restore_progress(r);
	int error = copy_stat(&r->copy, &from, from_name, false, &st);
	if (error) {
		entry_failed(r, "cannot read", error);
		return;
	}
	if (r->verify) {
		if (!restore_verify_entry(r, top(r), from_name, &st, name))
			return;
	} else if (!r->dry) {
		error = restore_beneath(r);
		if (error) {
			entry_failed(r, "cannot restore", error);
			abandon(r);
			return;
		}
	}
	if (!S_ISDIR(st.st.mode))
		error = restore_file(r, top(r), from_name, &st, name);
	else
		error = enter_dir(r, &from, from_name, &st, name);
	if (error && error != COPY_TOLD)
		entry_failed(r, S_ISDIR(st.st.mode) ? "cannot restore the directory" : "cannot restore", error);
}

static void step(struct restore *r)
{
	struct restore_frame *frame = top(r);
	if (frame->next == frame->list.len) {
		leave_dir(r);
		return;
	}
	const char *from_name = frame->list.entries[frame->next++].name;
	/* The frame above a destination that is no directory yet has its name; see restore_start.c. */
	bool named = r->len == 1 && frame->name;
	const char *name = named ? frame->name : from_name;
	int error =
		named ? 0 : copy_set_path(&r->display, &r->display_len, &r->display_cap, frame->display_len, from_name);
	if (!error)
		error = copy_set_path(&r->below, &r->below_len, &r->below_cap, frame->below_len, name);
	if (error) {
		entry_failed(r, "stopped", error);
		r->stopped = true;
	} else if (!is_name(name)) {
		restore_fail(r, "has a name that no file can have: left", COPY_TOLD);
	} else {
		visit(r, from_name, name);
	}
}

/* What was written is on disk, or an error is known. */
static void sync_dest(struct restore *r, int fd)
{
	if (fd >= 0 && syncfs(fd) != 0 && errno != ENOSYS) {
		r->done.failed++;
		cli_failf(r->cli, r->dest->text, "what was restored may not be on disk: %s", strerror(errno));
	}
}

void restore_run(struct restore *r)
{
	r->map = copy_map_new();
	r->there = copy_map_new();
	r->buf = malloc(RESTORE_BUF);
	r->copy.cli = r->cli;
	r->above = -1;
	r->privileged = geteuid() == 0 && r->cli->cred.uid == 0;
	if (!r->map || !r->there || !r->buf)
		cli_fail(r->cli, NULL, LINKFS_ENOMEM);
	copy_find_own_mounts(&r->copy);
	int error = r->map && r->there && r->buf ? restore_start(r) : COPY_TOLD;
	int sync_fd = -1;
	if (!error) {
		restore_begin(r);
		if (!r->dry && !r->verify)
			sync_fd = openat(r->frames[0].to.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (r->removes && !r->frames[0].name)
			remove_rest(r, &r->frames[0]);
		while (r->len && !r->stopped) {
			r->stopped = cli_cancelled(r->cli);
			if (!r->stopped)
				step(r);
		}
		while (r->len)
			leave_dir(r);
		sync_dest(r, sync_fd);
		restore_end(r);
	} else if (r->verify) {
		r->cli->status = RESTORE_EXIT_TROUBLE;
	}
	if (sync_fd >= 0)
		close(sync_fd);
	if (r->above >= 0)
		close(r->above);
	free(r->above_name);
	for (size_t i = 0; i < r->ngroups; i++) {
		while (r->groups[i].len)
			free(r->groups[i].paths[--r->groups[i].len]);
		free(r->groups[i].paths);
	}
	free(r->groups);
	free(r->frames);
	free(r->display);
	free(r->below);
	copy_map_free(r->map);
	copy_map_free(r->there);
	free(r->buf);
	free(r->copy.own_devs);
}
