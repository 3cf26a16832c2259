/*
 * copy_entry.c - one entry of the copy engine that is no directory: what is there already, hard links by the map of what was
 * copied, files, symlinks, special files; see copy.h.
 */
#include "copy_run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- hard links ---- */

/* A link to a copy made earlier on the host. The way there is walked anew without following anything, and what was
 * linked is checked: somebody may have put another file in its place. */
static int link_host(struct copy_run *run, const struct copy_place *place, const struct copy_dir *to, const char *name)
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

static int link_to(struct copy_run *run, const struct copy_place *place, const struct copy_dir *to, const char *name)
{
	if (!to->volume)
		return link_host(run, place, to, name);
	return linkfs_node_link(to->volume, &run->copy->cli->cred, place->ino, to->ino, name, strlen(name), 0, NULL);
}

static int remember(struct copy_run *run, const struct copy_stat *from, const struct copy_dir *to, const char *name)
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

static int make_file(struct copy_run *run, const struct copy_dir *from, const char *from_name, bool follow,
		     const struct copy_stat *st, const struct copy_dir *to, const char *name, bool existing)
{
	struct copy *copy = run->copy;
	struct copy_file in = {.fd = -1}, out = {.fd = -1};
	bool keep = copy->keep_mode || copy->keep_owner || copy->keep_times || copy->keep_xattr;
	uint32_t mode = keep ? 0600 : st->st.mode & 0777;
	if (!to->volume)
		mode &= ~copy->cli->cred.umask;
	enum copy_open how = !existing ? COPY_NEW : run->len == 0 ? COPY_THERE_FOLLOW : COPY_THERE;
	int error = copy_open_read(copy, from, from_name, follow, &in);
	if (error)
		return error;
	error = copy_open_write(copy, to, name, mode, how, &out);
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
	if (error && (out.volume || out.fd >= 0) && !existing) /* no half a file under the name */
		copy_drop_half(copy, to, name, &out);
	copy_close(&out);
	copy_close(&in);
	return error;
}

static int make_other(struct copy_run *run, const struct copy_dir *from, const char *from_name,
		      const struct copy_stat *st, const struct copy_dir *to, const char *name)
{
	struct copy *copy = run->copy;
	uint64_t made = 0;
	char *text = NULL;
	int error;
	if (S_ISLNK(st->st.mode)) {
		error = copy_readlink(copy, from, from_name, st, &text);
		if (!error)
			error = copy_symlink(copy, to, name, text, &made);
		free(text);
	} else {
		error = copy_make(copy, to, name, &st->st, &made);
	}
	if (error)
		return error;
	struct copy_meta meta = {.from_dir = from,
				 .to_dir = to,
				 .from_name = from_name,
				 .to_name = name,
				 .from = st,
				 .to_ino = made,
				 .made = true,
				 .merged = run->len == 0 || run->frames[run->len - 1].merged};
	return copy_attributes(copy, &meta);
}

/* What is at the destination already. Returns 1 to go on with the name free, 2 to write into what is there, 0 to leave
 * the entry, or an error. */
static int settle_existing(struct copy_run *run, const struct copy_stat *st, const struct copy_dir *to,
			   const char *name)
{
	struct copy *copy = run->copy;
	struct copy_stat there;
	int error = copy_stat(copy, to, name, false, &there);
	if (error == LINKFS_ENOENT)
		return 1;
	if (error)
		return error;
	if (there.dev == st->dev && there.st.ino == st->st.ino) {
		copy_progress_end(copy);
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

static int create_entry(struct copy_run *run, const struct copy_dir *from, const char *from_name, bool follow,
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

void copy_entry(struct copy_run *run, const struct copy_dir *from, const char *from_name, bool follow,
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
		copy_fail(run, "cannot copy", error);
	else if (copy->verbose)
		fprintf(copy->cli->out, "'%s' -> '%s'\n", run->display, run->below);
}
