/*
 * tar_import.c - a tar stream into a directory of a volume (E8). Whatever the archive says, nothing comes to lie outside that directory: names
 * are walked component by component without following anything, and what has ".." in it is refused.
 */
#include "tar.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TRIES 8

struct import {
	struct copy *copy;
	struct tar_attrs attrs;
	struct tar_stream *stream;
	struct tar_reader *reader;
	struct linkfs_volume *volume;
	struct tar_way way, link_way; /* to the entry's directory; to that of what it links to */
	struct tar_names names, link_names;
	bool told_absolute;
	int dead; /* the rest is not imported */
};

static void fail(struct import *im, const char *path, const char *what, int error)
{
	if (error == COPY_TOLD)
		return;
	if (tar_is_end(error))
		im->dead = error;
	if (error != LINKFS_EINTR)
		tar_refuse(im->copy, path, "%s: %s", what, linkfs_strerror(error));
}

/* ---- content ---- */

static int put_content(struct import *im, const struct tar_entry *entry, struct copy_file *file)
{
	struct copy *copy = im->copy;
	uint64_t size = entry->st.size, reached = 0, offset = 0;
	const void *buf;
	size_t len;
	int r;
	while ((r = tar_reader_data(im->reader, &buf, &len, &offset)) == 1) {
		if (cli_cancelled(copy->cli))
			return LINKFS_EINTR;
		if (len == 0)
			continue;
		if (offset > size || len > size - offset) {
			tar_refuse(im->copy, entry->path, "has content beyond its own size: left out");
			return COPY_TOLD;
		}
		int error = copy_write(copy, file, offset, buf, len);
		if (error)
			return error;
		copy->bytes += len;
		if (offset + len > reached)
			reached = offset + len;
		copy_progress(copy, entry->path);
	}
	if (r < 0) {
		im->dead = r;
		return COPY_TOLD;
	}
	struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = size};
	return reached < size ? linkfs_node_setattr(im->volume, &copy->cli->cred, file->ino, &set, NULL) : 0;
}

/* ---- entries ---- */

static int make_file(struct import *im, const struct tar_entry *entry, const struct tar_step *to, const char *name)
{
	struct copy_file file = {.fd = -1};
	int error = copy_open_write(im->copy, &to->dir, name, 0600, COPY_NEW, &file);
	if (error)
		return error;
	error = put_content(im, entry, &file);
	if (!error)
		error = tar_attrs_set(&im->attrs, entry, file.ino, to->gives_acl);
	if (error)
		copy_drop_half(im->copy, &to->dir, name, &file);
	else
		im->copy->files++;
	copy_close(&file);
	return error;
}

static int make_other(struct import *im, const struct tar_entry *entry, const struct tar_step *to, const char *name)
{
	uint64_t ino = 0;
	int error;
	if (S_ISLNK(entry->st.mode) && (!entry->text || !*entry->text || strlen(entry->text) > LINKFS_SYMLINK_MAX)) {
		tar_refuse(im->copy, entry->path, "a symlink must have a text of 1 to %u bytes", LINKFS_SYMLINK_MAX);
		return COPY_TOLD;
	}
	if (S_ISLNK(entry->st.mode))
		error = copy_symlink(im->copy, &to->dir, name, entry->text, &ino);
	else
		error = copy_make(im->copy, &to->dir, name, &entry->st, &ino);
	if (!error)
		error = tar_attrs_set(&im->attrs, entry, ino, to->gives_acl);
	if (error)
		return error;
	if (S_ISLNK(entry->st.mode))
		im->copy->symlinks++;
	else
		im->copy->others++;
	return 0;
}

static int make_dir(struct import *im, const struct tar_entry *entry, const struct tar_step *to, const char *name)
{
	struct copy_stat there;
	int error = copy_mkdir(im->copy, &to->dir, name, 0700);
	bool made = error == 0;
	if (error == LINKFS_EEXIST || made)
		error = copy_stat(im->copy, &to->dir, name, false, &there);
	if (!error && !S_ISDIR(there.st.mode)) {
		tar_refuse(im->copy, entry->path, "is a directory in the archive, and %s in the volume",
			   cli_type_text(there.st.mode, 1));
		return COPY_TOLD;
	}
	if (!error)
		error = tar_attrs_dir(&im->attrs, entry, there.st.ino, to->gives_acl || !made);
	im->copy->dirs += error == 0;
	return error;
}

static void tell_way(struct import *im, const char *path, const char *what, const char *name, int error)
{
	if (error == LINKFS_ELOOP)
		tar_refuse(im->copy, path, "refused: %sleads through '%s', which is a symlink", what, name);
	else if (error == LINKFS_ENOTDIR)
		tar_refuse(im->copy, path, "refused: %sleads through '%s', which is no directory", what, name);
	else
		fail(im, path, "cannot make it", error);
}

/* What a hard link links to: an earlier entry, or what was there. */
static int find_linked(struct import *im, const struct tar_entry *entry, uint64_t *ino_out)
{
	struct copy *copy = im->copy;
	struct copy_stat st = {0};
	size_t at = 0;
	uint64_t made = 0;
	int error = tar_names_split(&im->link_names, entry->hardlink);
	if (error == LINKFS_EINVAL || (!error && im->link_names.len == 0)) {
		tar_refuse(im->copy, entry->path, "refused: it is a hard link to '%s', which %s", entry->hardlink,
			   error ? "has .. in it" : "is no file");
		return COPY_TOLD;
	}
	size_t count = error ? 0 : im->link_names.len - 1;
	if (!error)
		error = tar_way_walk(copy, &im->link_way, &im->link_names, count, false, &at, &made);
	if (error == LINKFS_ELOOP || error == LINKFS_ENOTDIR) {
		tell_way(im, entry->path, "the file that it links to ", im->link_names.names[at], error);
		return COPY_TOLD;
	}
	if (!error)
		error = copy_stat(copy, &im->link_way.steps[im->link_way.len - 1].dir, im->link_names.names[count],
				  false, &st);
	if (error == LINKFS_ENOENT) {
		tar_refuse(im->copy, entry->path,
			   "is a hard link to '%s', which is neither earlier in the archive nor in the volume",
			   entry->hardlink);
		return COPY_TOLD;
	}
	if (!error && S_ISDIR(st.st.mode)) {
		tar_refuse(im->copy, entry->path, "refused: it is a hard link to '%s', which is a directory",
			   entry->hardlink);
		return COPY_TOLD;
	}
	*ino_out = st.st.ino;
	return error;
}

static int make_link(struct import *im, uint64_t ino, const struct tar_step *to, const char *name)
{
	const struct linkfs_cred *cred = &im->copy->cli->cred;
	int error = linkfs_node_link(im->volume, cred, ino, to->dir.ino, name, strlen(name), 0, NULL);
	im->copy->links += error == 0;
	return error;
}

static int make(struct import *im, const struct tar_entry *entry, uint64_t linked, const struct tar_step *to,
		const char *name)
{
	if (linked)
		return make_link(im, linked, to, name);
	return S_ISREG(entry->st.mode) ? make_file(im, entry, to, name) : make_other(im, entry, to, name);
}

/* Frees the name, unless it stands for what is to be linked already: then 1. */
static int clear_name(struct import *im, const struct tar_entry *entry, uint64_t linked, const struct tar_step *to,
		      const char *name)
{
	struct copy_stat there;
	int error = copy_stat(im->copy, &to->dir, name, false, &there);
	if (error)
		return error == LINKFS_ENOENT ? 0 : error;
	if (linked && there.st.ino == linked)
		return 1;
	if (S_ISDIR(there.st.mode)) {
		tar_refuse(im->copy, entry->path, "is a directory in the volume, and %s in the archive",
			   linked ? "a hard link" : cli_type_text(entry->st.mode, 1));
		return COPY_TOLD;
	}
	error = copy_unlink(im->copy, &to->dir, name);
	return error == LINKFS_ENOENT ? 0 : error;
}

static int place(struct import *im, const struct tar_entry *entry, const struct tar_step *to, const char *name)
{
	uint64_t linked = 0;
	int error = entry->hardlink ? find_linked(im, entry, &linked) : 0;
	if (error)
		return error;
	if (!linked && S_ISDIR(entry->st.mode))
		return make_dir(im, entry, to, name);
	/* The name is mostly free. Others may take it again, once it was made so. */
	for (int tries = 0;; tries++) {
		error = make(im, entry, linked, to, name);
		if (error != LINKFS_EEXIST || tries == TRIES)
			return error;
		error = clear_name(im, entry, linked, to, name);
		if (error)
			return error == 1 ? 0 : error;
	}
}

static bool is_known_type(const struct tar_entry *entry)
{
	uint32_t type = entry->st.mode & S_IFMT;
	return entry->hardlink || type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFIFO ||
	       type == S_IFCHR || type == S_IFBLK;
}

/* The destination itself. */
static int take_top(struct import *im, const struct tar_entry *entry)
{
	if (entry->hardlink || !S_ISDIR(entry->st.mode)) {
		tar_refuse(im->copy, entry->path, "refused: it names the destination itself, and is no directory");
		return COPY_TOLD;
	}
	im->copy->dirs++;
	return tar_attrs_dir(&im->attrs, entry, im->way.steps[0].dir.ino, true);
}

/* By any of its names, or of the paths that lead there, as they are in the archive. */
static bool is_excluded(const struct import *im, const struct tar_entry *entry)
{
	size_t len = 2;
	bool found = false;
	if (!im->copy->nexcludes)
		return false;
	char *path = cli_alloc(strlen(entry->path) + 4); /* "./", then the names */
	if (path)
		memcpy(path, "./", 3);
	for (size_t i = 0; path && i < im->names.len && !found; i++) {
		size_t n = strlen(im->names.names[i]);
		memcpy(path + len, im->names.names[i], n + 1);
		found = copy_is_excluded(im->copy, im->names.names[i], path);
		len += n;
		path[len++] = '/';
	}
	free(path);
	return found;
}

static void take(struct import *im, const struct tar_entry *entry)
{
	struct copy *copy = im->copy;
	size_t at = 0;
	uint64_t made = 0;
	int error = tar_names_split(&im->names, entry->path);
	if (entry->told[0])
		tar_refuse(im->copy, entry->path, "%s", entry->told);
	if (error == LINKFS_EINVAL) {
		tar_refuse(im->copy, entry->path, "refused: a name in an archive may not have .. in it");
		return;
	}
	if (!error && !is_known_type(entry)) {
		tar_refuse(im->copy, entry->path, "is of a kind that is not known: left out");
		return;
	}
	if (im->names.absolute && !im->told_absolute) {
		copy_progress_end(copy);
		cli_note(copy->cli, "%s: the / that names begin with is removed: they go below the destination",
			 entry->path);
		im->told_absolute = true;
	}
	if (!error && is_excluded(im, entry)) {
		copy->skipped++;
		return;
	}
	copy_progress(copy, entry->path);
	if (!error && im->names.len == 0)
		error = take_top(im, entry);
	else if (!error)
		error = tar_way_walk(copy, &im->way, &im->names, im->names.len - 1, true, &at, &made);
	copy->dirs += made;
	if (error == LINKFS_ELOOP || error == LINKFS_ENOTDIR) {
		tell_way(im, entry->path, "it ", im->names.names[at], error);
		return;
	}
	if (!error && im->names.len)
		error = place(im, entry, &im->way.steps[im->way.len - 1], im->names.names[im->names.len - 1]);
	if (error)
		fail(im, entry->path, "cannot import it", error);
	else if (copy->verbose)
		fprintf(copy->cli->out, "%s\n", entry->path);
}

/* ---- all of it ---- */

/* The directory that receives the entries; made when it is missing. */
static int open_dest(struct import *im, const struct cli_path *dest)
{
	struct copy *copy = im->copy;
	struct copy_dir dir = {.fd = -1};
	struct linkfs_stat st;
	char *name = NULL;
	int error = copy_operand(copy, dest, &dir, &name);
	if (error)
		return error;
	im->volume = im->attrs.volume = dir.volume;
	im->attrs.copy = copy;
	error = linkfs_path_stat(dir.volume, &copy->cli->cred, dest->at, dest->path, 0, &st);
	if (error == LINKFS_ENOENT) {
		error = copy_mkdir(copy, &dir, name, 0777);
		copy->dirs += error == 0;
		if (!error)
			error = linkfs_path_stat(dir.volume, &copy->cli->cred, dest->at, dest->path, 0, &st);
	}
	if (!error && !S_ISDIR(st.mode))
		error = LINKFS_ENOTDIR;
	if (!error && linkfs_node_past(st.ino)) {
		tar_refuse(copy, dest->text, CLI_PAST_FIXED);
		error = COPY_TOLD;
	}
	struct tar_way *ways[] = {&im->way, &im->link_way};
	for (size_t i = 0; i < CLI_ARRAY_LEN(ways) && !error; i++) {
		error = cli_grow(&ways[i]->steps, &ways[i]->cap, 0, sizeof(*ways[i]->steps));
		if (error)
			break;
		struct tar_step *top = &ways[i]->steps[0];
		size_t len;
		*top = (struct tar_step){0};
		copy_place(copy, dir.volume, dest->at, dest->path, st.ino, &top->dir);
		top->gives_acl = linkfs_node_getxattr(dir.volume, NULL, st.ino, TAR_ACL_DEFAULT, NULL, 0, &len) == 0;
		ways[i]->len = 1;
	}
	copy_close_dir(&dir);
	free(name);
	return cli_gone(error);
}

static void close_way(struct tar_way *way)
{
	if (way->len)
		copy_close_dir(&way->steps[0].dir);
	tar_way_done(way);
}

static void tell_damage(struct import *im, const char *text, bool begun)
{
	const char *why = tar_reader_why(im->reader);
	if (begun)
		tar_refuse(im->copy, text,
			   "the archive is cut off or damaged: %s; what came before it was imported and stays", why);
	else
		tar_refuse(im->copy, text, "is no tar archive, alone or compressed by gzip, bzip2, xz or zstd: %s",
			   why);
}

/* The archive's end may lie before the stream's: who writes into the pipe is not to be cut off. */
static void drain(struct import *im)
{
	ssize_t n = 1;
	for (size_t total = 0; n > 0 && total < 4 * COPY_BUF; total += (size_t)(n > 0 ? n : 0))
		n = tar_stream_read(im->stream, im->copy->buf, COPY_BUF);
}

/* What a compressed stream has at its end says whether all of it was right. */
static void finish(struct import *im, const char *text)
{
	int error = tar_reader_finish(im->reader);
	if (error == LINKFS_EINTR)
		tar_refuse(im->copy, NULL, "stopped: what was imported stays");
	else if (error)
		tar_refuse(im->copy, text, "the archive is damaged: %s; what was imported stays, and may be wrong",
			   tar_reader_why(im->reader));
	else
		drain(im);
}

static void take_all(struct import *im, const char *text)
{
	struct tar_entry *entry;
	int r = 1;
	bool begun = false;
	while (!im->dead) {
		r = cli_cancelled(im->copy->cli) ? LINKFS_EINTR : tar_reader_next(im->reader, &entry);
		if (r != 1)
			break;
		begun = true;
		take(im, entry);
	}
	bool damaged = r < 0 || (im->dead && tar_reader_why(im->reader)[0]);
	if (r < 0 && !im->dead)
		im->dead = r;
	if (im->dead == LINKFS_EINTR || cli_cancelled(im->copy->cli))
		tar_refuse(im->copy, NULL, "stopped: what was imported stays");
	else if (damaged)
		tell_damage(im, text, begun);
	else if (im->dead)
		tar_refuse(im->copy, NULL,
			   "stopped: what was imported stays, and the rest of the archive is not there");
	else if (!tar_reader_ended(im->reader))
		tar_refuse(im->copy, text, "the archive has no end mark: it may have been cut off after the last file");
	if (!im->dead)
		finish(im, text);
}

void tar_import(struct copy *copy, const struct cli_path *archive, const struct cli_path *dest)
{
	struct import im = {.copy = copy};
	const char *text = archive ? archive->text : "standard input";
	if (!tar_can(copy))
		return;
	copy->buf = malloc(COPY_BUF);
	int error = copy->buf ? tar_stream_read_open(copy, archive, &im.stream) : LINKFS_ENOMEM;
	if (!error) {
		error = tar_reader_open(tar_stream_read, im.stream, &im.reader);
		if (error && im.reader) {
			if (error == LINKFS_EINTR)
				tar_refuse(im.copy, NULL, "stopped");
			else
				tell_damage(&im, text, false);
			error = COPY_TOLD;
		}
	}
	if (!error) {
		error = open_dest(&im, dest);
		if (error && error != COPY_TOLD) {
			copy->errors++;
			cli_fail(copy->cli, dest->text, error);
			error = COPY_TOLD;
		}
	}
	if (!error) {
		take_all(&im, text);
		tar_attrs_finish(&im.attrs);
	} else if (error != COPY_TOLD) {
		copy->errors++;
		cli_fail(copy->cli, NULL, error);
	}
	copy_progress_end(copy);
	close_way(&im.way);
	close_way(&im.link_way);
	tar_names_done(&im.names);
	tar_names_done(&im.link_names);
	tar_reader_close(im.reader);
	tar_stream_close(im.stream);
	free(im.attrs.late);
	free(copy->buf);
}
