/*
 * restore_entry.c - one entry of linkfs restore that is no directory: what is there already, other names of files, and the making of new ones,
 * whole before they have their name; see restore.h. Content is restore_content.c's.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NO_DEVICE 2 /* no error: this user may not make it */

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

/* ---- files with several names ---- */

static struct restore_group *find_group(const struct restore *r, const struct copy_stat *st)
{
	const struct copy_place *place = copy_map_find(r->map, st->dev, st->st.ino);
	return place ? &r->groups[place->ino] : NULL;
}

static int add_path(struct restore *r, struct restore_group *group)
{
	if (cli_grow(&group->paths, &group->cap, group->len, sizeof(*group->paths)) != 0)
		return LINKFS_ENOMEM;
	char *path = cli_strdup(r->below);
	if (!path)
		return LINKFS_ENOMEM;
	group->paths[group->len++] = path;
	return 0;
}

/* The entry at hand is the first of its file, or the first of one made anew. */
static int begin_group(struct restore *r, const struct copy_stat *st, const struct restore_id *id, bool made)
{
	struct restore_group *group = find_group(r, st);
	if (!group) {
		struct copy_place place = {.ino = r->ngroups};
		if (cli_grow(&r->groups, &r->groups_cap, r->ngroups, sizeof(*group)) != 0)
			return LINKFS_ENOMEM;
		int error = copy_map_add(r->map, st->dev, st->st.ino, &place);
		if (error)
			return error;
		group = &r->groups[r->ngroups++];
		*group = (struct restore_group){0};
	}
	while (group->len)
		free(group->paths[--group->len]);
	group->id = *id;
	group->made = made;
	return add_path(r, group);
}

/* Opens the directory that a path leads to, and the file there when it is the one with this identity. */
static int open_known(const struct restore *r, const char *path, const struct restore_id *id, int *dir_out,
		      int *file_out)
{
	const char *slash = strrchr(path, '/');
	struct restore_id there = {0};
	int dir = -1, fd = -1;
	int error = restore_walk(r, path, slash ? (size_t)(slash - path) : 0, &dir);
	if (!error)
		error = restore_openat(r, dir, slash ? slash + 1 : path, O_PATH, &fd);
	if (!error)
		error = restore_stat_fd(fd, NULL, &there);
	if (!error && !restore_same(&there, id))
		error = LINKFS_ESTALE;
	if (!error && dir_out)
		*dir_out = dir;
	else if (dir >= 0)
		close(dir);
	if (error) {
		if (fd >= 0)
			close(fd);
		return error == LINKFS_ENOMEM || error == LINKFS_EMFILE ? error : LINKFS_ESTALE;
	}
	*file_out = fd;
	return 0;
}

static int link_entry(struct restore *r, struct restore_frame *frame, const struct restore_group *group,
		      const char *name, bool replace)
{
	int fd = -1;
	int error = open_known(r, group->paths[0], &group->id, NULL, &fd);
	if (!error) {
		error = restore_link(r, &frame->to, fd, name, replace);
		close(fd);
	}
	r->done.links += error == 0;
	return error;
}

/* Another name in a directory that may be done: its times stay. */
static int relink(struct restore *r, int way, int fd, const char *name)
{
	struct restore_dir dir = {.fd = -1, .shop = -1, .shared = true};
	struct stat st;
	int error = restore_openat(r, way, ".", O_RDONLY | O_DIRECTORY, &dir.fd);
	if (!error && fstat(dir.fd, &st) != 0)
		error = host_error();
	if (!error)
		error = restore_link(r, &dir, fd, name, true);
	int closed = restore_close_shop(&dir);
	if (!error)
		error = closed;
	if (!error && futimens(dir.fd, (struct timespec[2]){st.st_atim, st.st_mtim}) != 0)
		error = host_error();
	restore_close(&dir);
	return error;
}

/* Names that were left as they were become names of the file that was made now. */
static int rejoin(struct restore *r, char *const *paths, size_t len, const struct restore_id *old, int fd)
{
	int error = 0;
	for (size_t i = 0; i < len && !error; i++) {
		const char *slash = strrchr(paths[i], '/');
		int file = -1, way = -1;
		error = open_known(r, paths[i], old, &way, &file);
		if (!error)
			error = relink(r, way, fd, slash ? slash + 1 : paths[i]);
		if (file >= 0)
			close(file);
		if (way >= 0)
			close(way);
		r->done.unchanged -= error == 0;
		r->done.replaced += error == 0;
		r->done.links += error == 0;
	}
	return error;
}

/* ---- new files ---- */

static int make_regular(struct restore *r, const struct copy_dir *from, const char *from_name,
			const struct copy_stat *st, int shop, const char *temp, int *fd_out)
{
	struct copy_file in = {.fd = -1};
	int error = copy_open_read(&r->copy, from, from_name, false, &in);
	if (!error)
		error = restore_openat(r, shop, temp, O_WRONLY | O_CREAT | O_EXCL, fd_out);
	if (!error)
		error = restore_content(r, &in, st->st.size, *fd_out);
	if (!error)
		error = restore_attributes(r, from, st, *fd_out, false, false);
	copy_close(&in);
	return error;
}

static int make_special(struct restore *r, const struct copy_dir *from, const char *from_name,
			const struct copy_stat *st, int shop, const char *temp, int *fd_out)
{
	char *text = NULL;
	int error = 0;
	if (S_ISLNK(st->st.mode)) {
		error = copy_readlink(&r->copy, from, from_name, st, &text);
		if (!error && symlinkat(text, shop, temp) != 0)
			error = host_error();
		free(text);
	} else if (mknodat(shop, temp, (st->st.mode & S_IFMT) | 0600, makedev(st->st.rdev_major, st->st.rdev_minor)) !=
		   0) {
		error = host_error();
		if (error == LINKFS_EPERM && (S_ISBLK(st->st.mode) || S_ISCHR(st->st.mode)))
			return NO_DEVICE;
	}
	if (!error)
		error = restore_openat(r, shop, temp, O_PATH, fd_out);
	if (!error)
		error = restore_attributes(r, from, st, *fd_out, true, false);
	return error;
}

/* Makes the entry as a file of its own and puts it in its place; *fd_out holds it. */
static int make_entry(struct restore *r, struct restore_frame *frame, const char *from_name, const struct copy_stat *st,
		      const char *name, bool replace, int *fd_out)
{
	char temp[32];
	int shop = -1, fd = -1;
	int error = restore_shop(r, &frame->to, &shop);
	if (error)
		return error;
	cli_temp_name(temp);
	if (S_ISREG(st->st.mode))
		error = make_regular(r, &frame->from, from_name, st, shop, temp, &fd);
	else
		error = make_special(r, &frame->from, from_name, st, shop, temp, &fd);
	if (!error)
		error = restore_place(r, &frame->to, temp, name, replace);
	if (error) {
		unlinkat(shop, temp, 0);
		if (fd >= 0)
			close(fd);
		return error;
	}
	*fd_out = fd;
	return 0;
}

static void count_type(struct restore *r, uint32_t mode)
{
	if (S_ISREG(mode))
		r->done.files++;
	else if (S_ISLNK(mode))
		r->done.symlinks++;
	else
		r->done.others++;
}

/* A new file, and what follows for its other names. */
static int make_file(struct restore *r, struct restore_frame *frame, const char *from_name, const struct copy_stat *st,
		     const char *name, bool replace)
{
	struct restore_id id = {0}, old = {0};
	struct restore_group *group = st->st.nlink > 1 ? find_group(r, st) : NULL;
	char **paths = NULL;
	size_t npaths = 0;
	int fd = -1;
	int error = make_entry(r, frame, from_name, st, name, replace, &fd);
	if (error)
		return error;
	count_type(r, st->st.mode);
	if (st->st.nlink > 1) {
		if (group && !group->made) {
			paths = group->paths;
			npaths = group->len;
			old = group->id;
			group->paths = NULL;
			group->len = group->cap = 0;
		}
		error = restore_stat_fd(fd, NULL, &id);
		if (!error)
			error = begin_group(r, st, &id, true);
		if (!error)
			error = rejoin(r, paths, npaths, &old, fd);
		for (size_t i = 0; i < npaths; i++)
			free(paths[i]);
		free(paths);
	}
	close(fd);
	return error;
}

/* ---- one entry ---- */

struct existing {
	int fd;
	bool is;
	struct copy_stat st;
	struct restore_id id;
};

/* Whether what is there can stay as it is. */
static int is_right(struct restore *r, struct restore_frame *frame, const char *from_name, const struct copy_stat *st,
		    const struct existing *there, const struct restore_group *group, bool *right_out)
{
	uint32_t what = 0;
	*right_out = false;
	if ((st->st.mode & S_IFMT) != (there->st.st.mode & S_IFMT))
		return 0;
	if (group) {
		*right_out = !group->made && restore_same(&there->id, &group->id);
		return 0;
	}
	/* Names that the volume's file does not have: what is written there would show here. */
	if (there->st.st.nlink > st->st.nlink)
		return 0;
	/* Or what is another file in the volume. */
	const struct copy_place *other =
		there->st.st.nlink > 1 ? copy_map_find(r->there, there->st.dev, there->st.st.ino) : NULL;
	if (other && (other->ino != st->st.ino || other->dev != st->dev))
		return 0;
	int error = restore_compare(r, &frame->from, from_name, st, there->fd, &there->st, false, &what);
	*right_out = !error && !what;
	return error;
}

static int keep_entry(struct restore *r, const struct copy_stat *st, const struct existing *there)
{
	struct restore_group *group = find_group(r, st);
	r->done.unchanged++;
	if (st->st.nlink <= 1)
		return 0;
	if (there->st.st.nlink > 1 && !copy_map_find(r->there, there->st.dev, there->st.st.ino)) {
		struct copy_place place = {.dev = st->dev, .ino = st->st.ino};
		int error = copy_map_add(r->there, there->st.dev, there->st.st.ino, &place);
		if (error)
			return error;
	}
	return group ? add_path(r, group) : begin_group(r, st, &there->id, false);
}

/* What is there and stays, or must go first. Returns 1 when nothing more is to be done. */
static int settle_existing(struct restore *r, struct restore_frame *frame, const char *from_name,
			   const struct copy_stat *st, const char *name, struct existing *there)
{
	bool right = false;
	if (r->how != RESTORE_OVERWRITE) {
		r->done.kept++;
		restore_tell(r, "kept", r->below);
		return 1;
	}
	if (S_ISDIR(there->st.st.mode)) {
		if (!r->removes) {
			restore_fail(r, "is a directory in the destination: --delete removes it", COPY_TOLD);
			return 1;
		}
		int error = r->dry ? 0 : restore_remove(r, &frame->to, name);
		r->done.removed += error == 0;
		return error;
	}
	int error = is_right(r, frame, from_name, st, there, st->st.nlink > 1 ? find_group(r, st) : NULL, &right);
	if (error || !right)
		return error;
	error = keep_entry(r, st, there);
	return error ? error : 1;
}

static int write_entry(struct restore *r, struct restore_frame *frame, const char *from_name,
		       const struct copy_stat *st, const char *name, bool replace)
{
	const struct restore_group *group = st->st.nlink > 1 ? find_group(r, st) : NULL;
	int error;
	if (group && group->made) {
		error = link_entry(r, frame, group, name, replace);
		if (error != LINKFS_ESTALE && error != LINKFS_EMLINK)
			return error;
		const char *why = error == LINKFS_EMLINK
					  ? "the file system has no room for more names of one file: restored as a "
					    "file of its own"
					  : "its other name was changed meanwhile: restored as a file of its own";
		error = make_file(r, frame, from_name, st, name, replace);
		if (!error) {
			restore_fail(r, why, COPY_TOLD);
		}
		return error;
	}
	return make_file(r, frame, from_name, st, name, replace);
}

int restore_file(struct restore *r, struct restore_frame *frame, const char *from_name, const struct copy_stat *st,
		 const char *name)
{
	struct existing there = {.fd = -1};
	int error = 0;
	/* In a directory of ours there is nothing yet. */
	if (frame->to.shared && !frame->absent) {
		error = restore_look(r, &frame->to, name, &there.fd, &there.st);
		there.is = error == 0;
		if (error == LINKFS_ENOENT)
			error = 0;
		else if (!error)
			error = restore_stat_fd(there.fd, NULL, &there.id);
	}
	if (!error && there.is)
		error = settle_existing(r, frame, from_name, st, name, &there);
	if (there.fd >= 0)
		close(there.fd);
	if (error)
		return error > 0 ? 0 : error;
	bool replace = there.is && !S_ISDIR(there.st.st.mode);
	if (r->dry)
		count_type(r, st->st.mode);
	else
		error = write_entry(r, frame, from_name, st, name, replace);
	if (error == NO_DEVICE) {
		r->done.no_devices++;
		return 0;
	}
	if (error)
		return error;
	r->done.restored += !there.is;
	r->done.replaced += there.is;
	restore_tell(r, there.is ? "replaced" : "restored", r->below);
	return 0;
}
