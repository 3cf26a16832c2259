/*
 * restore_start.c - where linkfs restore begins: what is to be restored, and what is at the destination. See restore.h.
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

void restore_close_frame(struct restore_frame *frame)
{
	restore_close(&frame->to);
	copy_close_dir(&frame->from);
	cli_list_done(&frame->list);
	free(frame->name);
}

static bool is_own_mount(const struct restore *r, uint64_t dev)
{
	for (size_t i = 0; i < r->copy.nown_devs; i++) {
		if (r->copy.own_devs[i] == dev)
			return true;
	}
	return false;
}

/* Nothing is restored into the volume's own directory, or into its own mount. */
static int refuse_own(struct restore *r, int fd)
{
	struct stat st, volume, before = {0};
	int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), error = at < 0 ? host_error() : 0;
	bool known = stat(r->source->volume, &volume) == 0, top_reached = false;
	while (!error && !top_reached) {
		if (fstat(at, &st) != 0) {
			error = host_error();
		} else if (is_own_mount(r, st.st_dev)) {
			cli_failf(r->cli, r->dest->text,
				  "is in the volume's own mount: use 'linkfs rollback' or 'linkfs cp -a'");
			error = COPY_TOLD;
		} else if (known && st.st_dev == volume.st_dev && st.st_ino == volume.st_ino) {
			cli_failf(r->cli, r->dest->text, "is in the volume's own directory");
			error = COPY_TOLD;
		} else if (before.st_ino == st.st_ino && before.st_dev == st.st_dev) {
			top_reached = true;
		} else {
			before = st;
			int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
			close(at);
			at = up;
			top_reached = at < 0; /* what may not be searched cannot be looked at */
		}
	}
	if (at >= 0)
		close(at);
	return error;
}

static bool ends_with_slash(const char *path)
{
	size_t len = strlen(path);
	return len && path[len - 1] == '/';
}

/* What an existing directory must be for what is asked. */
static int check_empty(struct restore *r, int fd)
{
	struct cli_list there;
	if (r->how != RESTORE_NEW || r->verify)
		return 0;
	int error = copy_host_list(fd, &there);
	if (error)
		return error;
	/* A file system that was just made has this. */
	bool empty = there.len == 0 || (there.len == 1 && strcmp(there.entries[0].name, "lost+found") == 0);
	cli_list_done(&there);
	if (empty)
		return 0;
	cli_failf(r->cli, r->dest->text,
		  "is not empty: --overwrite replaces what the volume has too, --merge only adds what is missing");
	return COPY_TOLD;
}

struct dest {
	struct copy_dir parent;
	char *name;
	struct stat st;
	bool is, follows;
};

static int find_dest(struct restore *r, struct dest *dest)
{
	int error = copy_operand(&r->copy, r->dest, &dest->parent, &dest->name);
	if (error)
		return error;
	bool dots = strcmp(dest->name, ".") == 0;
	dest->follows = dots || ends_with_slash(r->dest->host);
	if (fstatat(dest->parent.fd, dest->name, &dest->st, dest->follows ? 0 : AT_SYMLINK_NOFOLLOW) == 0)
		dest->is = true;
	else if (errno != ENOENT)
		error = host_error();
	return error;
}

/* The first frame: the destination itself when it is a directory, else the directory that is to hold it. */
static int open_first(struct restore *r, const struct copy_stat *st, const struct dest *dest,
		      struct restore_frame *frame)
{
	bool source_dir = S_ISDIR(st->st.mode), into = dest->is && S_ISDIR(dest->st.st_mode);
	if (dest->is && source_dir && !into) {
		cli_failf(r->cli, r->dest->text, "%s",
			  S_ISLNK(dest->st.st_mode) ? "is a symlink: name the directory it leads to, or end it with '/'"
						    : "is no directory");
		return COPY_TOLD;
	}
	if (dest->is && !into && r->how == RESTORE_NEW && !r->verify) {
		cli_failf(r->cli, r->dest->text, "is there already: --overwrite replaces it");
		return COPY_TOLD;
	}
	if (r->verify && !dest->is)
		return LINKFS_ENOENT;
	if (!dest->is && !source_dir && dest->follows)
		return LINKFS_ENOENT;
	int flags = O_DIRECTORY | O_CLOEXEC;
	int fd = into ? openat(dest->parent.fd, dest->name, flags | O_RDONLY | (dest->follows ? 0 : O_NOFOLLOW))
		      : openat(dest->parent.fd, ".", flags | O_PATH);
	frame->to.fd = fd;
	int error = fd < 0 ? host_error() : restore_stat_fd(fd, NULL, &frame->to.id);
	if (!error)
		error = refuse_own(r, fd);
	if (!error && into && source_dir)
		error = check_empty(r, fd);
	return error;
}

/* The destination is a directory that gets what is in the source. */
static int first_whole(struct restore *r, const struct copy_dir *from, const char *from_name,
		       const struct copy_stat *st, struct dest *dest, struct restore_frame *frame)
{
	frame->stat = *st;
	frame->settles = r->how != RESTORE_MERGE && !r->verify;
	if (!dest->follows && !restore_is_ours(dest->parent.fd)) {
		r->above = dest->parent.fd;
		r->above_name = dest->name;
		dest->parent.fd = -1;
		dest->name = NULL;
	}
	int error = copy_open_dir(&r->copy, from, from_name, false, &frame->from);
	return error ? error : copy_list(&r->copy, &frame->from, &frame->list);
}

/* One entry in a directory, which may get another name there. Takes from and from_name over. */
static int first_entry(struct restore *r, struct copy_dir *from, char **from_name, const struct dest *dest,
		       struct restore_frame *frame)
{
	bool into = dest->is && S_ISDIR(dest->st.st_mode);
	frame->name = cli_strdup(into ? *from_name : dest->name);
	frame->list.entries = cli_alloc(sizeof(*frame->list.entries));
	if (!frame->name || !frame->list.entries)
		return LINKFS_ENOMEM;
	frame->from = *from;
	*from = (struct copy_dir){.fd = -1};
	frame->list.entries[frame->list.len++] = (struct cli_entry){.name = *from_name};
	*from_name = NULL;
	r->below_skip = into ? 0 : strlen(frame->name);
	return 0;
}

static int set_paths(struct restore *r)
{
	int error = copy_set_path(&r->display, &r->display_len, &r->display_cap, 0, r->source->text);
	return error ? error : copy_set_path(&r->below, &r->below_len, &r->below_cap, 0, "");
}

static void tell(const struct restore *r, int error)
{
	if (error != COPY_TOLD)
		cli_fail(r->cli, r->dest->text, error);
	if (error == LINKFS_EACCES && r->cli->cred.uid == 0 && geteuid() != 0)
		cli_note(r->cli, "the volume's mount is not root's, and its process writes: unmount the volume first");
}

int restore_start(struct restore *r)
{
	struct copy_dir from = {.fd = -1};
	struct dest dest = {.parent.fd = -1};
	struct copy_stat st = {0};
	char *from_name = NULL;
	struct restore_frame frame = {.from.fd = -1, .to = {.fd = -1, .shop = -1, .shared = true}};
	int error = copy_operand(&r->copy, r->source, &from, &from_name);
	if (!error)
		error = copy_stat(&r->copy, &from, from_name, false, &st);
	if (error && error != COPY_TOLD)
		cli_fail(r->cli, r->source->text, error);
	bool found = error == 0;
	if (found)
		error = cli_grow(&r->frames, &r->cap, r->len, sizeof(frame));
	if (!error)
		error = find_dest(r, &dest);
	if (!error)
		error = open_first(r, &st, &dest, &frame);
	bool whole = S_ISDIR(st.st.mode) && dest.is;
	if (!error)
		error = whole ? first_whole(r, &from, from_name, &st, &dest, &frame)
			      : first_entry(r, &from, &from_name, &dest, &frame);
	frame.display_len = strlen(r->source->text);
	if (!error)
		error = set_paths(r);
	copy_close_dir(&from);
	if (dest.parent.fd >= 0)
		copy_close_dir(&dest.parent);
	free(dest.name);
	free(from_name);
	if (error) {
		if (found)
			tell(r, error);
		restore_close_frame(&frame);
		return COPY_TOLD;
	}
	r->frames[r->len++] = frame;
	if (whole && r->verify)
		restore_verify_top(r, &r->frames[0]);
	return 0;
}
