/*
 * tar_export.c - trees of a volume as a tar stream (E8): the walk, in the order of names, so that equal trees make equal archives. In a
 * volume that others change meanwhile a snapshot is read, which is there as long as the export runs.
 */
#include "tar.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What libarchive takes for one header when it reads, less what surrounds the attributes. */
#define XATTRS_MAX 1000000u

struct frame {
	struct copy_dir dir;
	struct cli_list list;
	size_t next, path_len, display_len;
};

struct text {
	char *p;
	size_t len, cap;
};

struct export
{
	struct copy *copy;
	struct tar_stream *stream;
	struct tar_writer *writer;
	struct frame *frames;
	size_t len, cap;
	struct text path, display; /* in the archive; for messages */
	struct tar_map map;
	struct tar_entry entry;
	int dead; /* the archive cannot be written on */
	struct tar_moment moment;
};

struct source {
	struct copy_dir dir;
	char *name;
};

static int set_text(struct text *text, size_t keep, const char *name)
{
	size_t need = keep + strlen(name) + 2;
	if (need > text->cap) {
		char *p = realloc(text->p, need * 2);
		if (!p)
			return LINKFS_ENOMEM;
		text->p = p;
		text->cap = need * 2;
	}
	if (keep && text->p[keep - 1] != '/')
		text->p[keep++] = '/';
	memcpy(text->p + keep, name, strlen(name) + 1);
	text->len = keep + strlen(name);
	return 0;
}

static void fail(struct export *x, const char *what, int error)
{
	if (error == COPY_TOLD)
		return;
	copy_progress_end(x->copy);
	x->copy->errors++;
	cli_failf(x->copy->cli, x->display.p, "%s: %s", what, linkfs_strerror(error));
}

/* ---- attributes ---- */

static int add_xattr(struct export *x, const struct copy_dir *dir, uint64_t ino, const char *name, size_t *total)
{
	const struct linkfs_cred *cred = &x->copy->cli->cred;
	size_t len = 0;
	char *value = cli_alloc(LINKFS_XATTR_SIZE_MAX);
	int error = value ? linkfs_node_getxattr(dir->volume, cred, ino, name, value, LINKFS_XATTR_SIZE_MAX, &len)
			  : LINKFS_ENOMEM;
	if (error) {
		free(value);
		return error == LINKFS_ENODATA ? 0 : error;
	}
	*total += len + strlen(name) * 3 + 64;
	if (*total > XATTRS_MAX) {
		free(value);
		copy_progress_end(x->copy);
		x->copy->errors++;
		cli_failf(x->copy->cli, x->display.p,
			  "its extended attribute %s is left out: all of them are more than an archive can hold for a "
			  "file",
			  name);
		return 0;
	}
	char *fit = realloc(value, len ? len : 1);
	if (fit)
		value = fit;
	return tar_entry_xattr(&x->entry, name, value, len);
}

static int by_xattr(const void *a, const void *b)
{
	return strcmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

static int add_xattrs(struct export *x, const struct copy_dir *dir, uint64_t ino)
{
	struct copy *copy = x->copy;
	char *names = copy->buf;
	size_t len = 0, total = x->path.len;
	int error = linkfs_node_listxattr(dir->volume, &copy->cli->cred, ino, names, LINKFS_XATTR_SIZE_MAX * 2, &len);
	if (error == LINKFS_EOPNOTSUPP)
		return 0;
	for (size_t i = 0; i < len && !error; i += strlen(names + i) + 1) {
		if (!copy_xattr_is_foreign(names + i, copy->cli->cred.uid == 0))
			error = add_xattr(x, dir, ino, names + i, &total);
	}
	if (!error && x->entry.nxattrs)
		qsort(x->entry.xattrs, x->entry.nxattrs, sizeof(*x->entry.xattrs), by_xattr);
	return error;
}

/* ---- content ---- */

/* The bytes of [offset, end); zeros for what cannot be read, because the archive has said already how many there are. */
static void put_bytes(struct export *x, struct copy_file *file, uint64_t offset, uint64_t end, bool *broken)
{
	struct copy *copy = x->copy;
	while (offset < end && !x->dead && !*broken) {
		size_t want = end - offset < COPY_BUF ? (size_t)(end - offset) : COPY_BUF, done = 0;
		int error = cli_cancelled(copy->cli) ? LINKFS_EINTR : copy_read(file, offset, copy->buf, want, &done);
		if (error == LINKFS_EINTR) {
			x->dead = error;
			return;
		}
		if (error || done == 0) {
			copy_progress_end(copy);
			copy->errors++;
			cli_failf(copy->cli, x->display.p, "%s: the archive has zeros from byte %llu on",
				  error ? linkfs_strerror(error) : "became shorter while it was read",
				  (unsigned long long)offset);
			*broken = true;
			break;
		}
		x->dead = tar_writer_data(x->writer, copy->buf, done);
		offset += done;
		copy->bytes += done;
		copy_progress(copy, x->display.p);
	}
	if (offset < end && !x->dead)
		x->dead = tar_writer_data(x->writer, NULL, end - offset);
}

static void put_content(struct export *x, struct copy_file *file, uint64_t size, bool sparse)
{
	uint64_t at = 0;
	bool broken = false;
	if (!sparse) {
		put_bytes(x, file, 0, size, &broken);
		return;
	}
	for (size_t i = 0; i < x->map.len && !x->dead; i++) {
		const struct tar_segment *s = &x->map.segments[i];
		x->dead = tar_writer_data(x->writer, NULL, s->offset - at);
		if (!x->dead)
			put_bytes(x, file, s->offset, s->offset + s->len, &broken);
		at = s->offset + s->len;
	}
	if (!x->dead)
		x->dead = tar_writer_data(x->writer, NULL, size - at);
}

/* ---- entries ---- */

/* Returns whether the entry is in the archive. */
static bool put_header(struct export *x, bool sparse)
{
	static const struct tar_segment none;
	const struct tar_segment *segments = x->map.len ? x->map.segments : &none;
	int error = tar_writer_entry(x->writer, &x->entry, sparse ? segments : NULL, x->map.len);
	if (error == LINKFS_EINVAL) {
		copy_progress_end(x->copy);
		x->copy->errors++;
		cli_failf(x->copy->cli, x->display.p, "cannot be put into an archive: %s", tar_writer_why(x->writer));
	} else {
		x->dead = error;
	}
	if (!error && x->copy->verbose)
		fprintf(x->copy->cli->err, "%s\n", x->path.p);
	return error == 0;
}

/* Volumes have inodes of equal numbers. */
static uint64_t device(const struct copy_dir *dir)
{
	return (uint64_t)(uintptr_t)dir->volume;
}

static int remember(struct export *x, const struct copy_dir *dir, const struct linkfs_stat *st)
{
	struct copy_place place = {.path = cli_strdup(x->path.p)};
	return place.path ? copy_map_add(x->copy->map, device(dir), st->ino, &place) : LINKFS_ENOMEM;
}

static int put_file(struct export *x, const struct copy_dir *dir, const char *name, const struct linkfs_stat *st)
{
	struct copy_file file = {.fd = -1};
	bool sparse = false;
	int error = copy_open_read(x->copy, dir, name, false, &file);
	if (!error && file.ino != st->ino) /* another file has the name now */
		error = linkfs_file_stat(file.file, &x->entry.st);
	if (!error && !S_ISREG(x->entry.st.mode))
		error = LINKFS_ESTALE;
	if (!error)
		error = add_xattrs(x, dir, file.ino);
	if (!error)
		error = tar_map_file(x->copy, &file, x->entry.st.size, &x->map, &sparse);
	if (!error && put_header(x, sparse)) {
		put_content(x, &file, x->entry.st.size, sparse);
		if (!x->dead && x->entry.st.nlink > 1)
			error = remember(x, dir, &x->entry.st);
		x->copy->files++;
	}
	copy_close(&file);
	return error;
}

static int put_other(struct export *x, const struct copy_dir *dir, const char *name, const struct copy_stat *st)
{
	char *text = NULL;
	int error = S_ISLNK(st->st.mode) ? copy_readlink(x->copy, dir, name, st, &text) : 0;
	x->entry.text = text;
	if (!error)
		error = add_xattrs(x, dir, st->st.ino);
	if (!error && put_header(x, false)) {
		if (S_ISLNK(st->st.mode))
			x->copy->symlinks++;
		else
			x->copy->others++;
		if (st->st.nlink > 1)
			error = remember(x, dir, &st->st);
	}
	free(text);
	return error;
}

static int put_dir(struct export *x, const struct copy_dir *dir, const char *name, const struct copy_stat *st)
{
	struct copy *copy = x->copy;
	struct frame frame = {.dir.fd = -1, .path_len = x->path.len, .display_len = x->display.len};
	int error = cli_grow(&x->frames, &x->cap, x->len, sizeof(frame));
	if (!error)
		error = add_xattrs(x, dir, st->st.ino);
	if (error || !put_header(x, false))
		return error;
	copy->dirs++;
	error = copy_open_dir(copy, dir, name, false, &frame.dir);
	if (!error)
		error = copy_list(copy, &frame.dir, &frame.list);
	if (error) {
		copy_close_dir(&frame.dir);
		return error;
	}
	x->frames[x->len++] = frame;
	return 0;
}

static void visit(struct export *x, const struct copy_dir *dir, const char *name)
{
	struct copy *copy = x->copy;
	const struct copy_place *place = NULL;
	struct copy_stat st;
	copy_progress(copy, x->display.p);
	if (x->len && copy_is_excluded(copy, name, x->path.p)) {
		copy->skipped++;
		return;
	}
	int error = copy_stat(copy, dir, name, false, &st);
	if (error) {
		fail(x, "cannot read", error);
		return;
	}
	if (tar_stream_is_own(x->stream, dir->volume, tar_moment_ino(&x->moment, dir->volume, st.st.ino)))
		return; /* the archive itself */
	if (x->path.len >= TAR_PATH_MAX) {
		fail(x, "cannot be put into an archive", LINKFS_ENAMETOOLONG);
		return;
	}
	if (S_ISSOCK(st.st.mode)) {
		copy_progress_end(copy);
		cli_note(copy->cli, "%s: a socket, which an archive cannot hold: passed over", x->display.p);
		copy->skipped++;
		return;
	}
	tar_entry_clear(&x->entry);
	x->entry.path = x->path.p;
	x->entry.st = st.st;
	if (!S_ISDIR(st.st.mode) && st.st.nlink > 1)
		place = copy_map_find(copy->map, device(dir), st.st.ino);
	if (place) {
		x->entry.hardlink = place->path;
		copy->links += put_header(x, false);
	} else if (S_ISDIR(st.st.mode)) {
		error = put_dir(x, dir, name, &st);
	} else if (S_ISREG(st.st.mode)) {
		error = put_file(x, dir, name, &st.st);
	} else {
		error = put_other(x, dir, name, &st);
	}
	if (error == LINKFS_EINTR)
		x->dead = error;
	else if (error)
		fail(x, "cannot read", error);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct cli_entry *)a)->name, ((const struct cli_entry *)b)->name);
}

static void leave(struct export *x)
{
	struct frame *frame = &x->frames[--x->len];
	copy_close_dir(&frame->dir);
	cli_list_done(&frame->list);
}

static void walk(struct export *x, const struct source *source, const char *name, const char *display)
{
	if (set_text(&x->path, 0, name) != 0 || set_text(&x->display, 0, display) != 0) {
		x->dead = LINKFS_ENOMEM;
		return;
	}
	visit(x, &source->dir, source->name);
	while (x->len && !x->dead) {
		struct frame *frame = &x->frames[x->len - 1];
		if (frame->next == 0 && frame->list.len)
			qsort(frame->list.entries, frame->list.len, sizeof(*frame->list.entries), by_name);
		if (frame->next == frame->list.len) {
			leave(x);
			continue;
		}
		const char *below = frame->list.entries[frame->next++].name;
		struct copy_dir dir = frame->dir; /* put_dir may move the frames */
		if (cli_cancelled(x->copy->cli))
			x->dead = LINKFS_EINTR;
		else if (set_text(&x->path, frame->path_len, below) != 0 ||
			 set_text(&x->display, frame->display_len, below) != 0)
			x->dead = LINKFS_ENOMEM;
		else
			visit(x, &dir, below);
	}
	while (x->len)
		leave(x);
}

/* ---- all of it ---- */

/* An archive with one name twice would come back with one tree in the other. */
static bool is_taken(struct export *x, const struct cli_path *paths, const struct source *sources, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (!sources[i].name || strcmp(sources[i].name, sources[at].name) != 0)
			continue;
		copy_progress_end(x->copy);
		x->copy->errors++;
		cli_failf(x->copy->cli, paths[at].text,
			  "left out: it would have the name '%s' in the archive, which '%s' has", sources[at].name,
			  paths[i].text);
		return true;
	}
	return false;
}

static void put_sources(struct export *x, const struct cli_path *paths, struct source *sources, size_t count,
			bool content_only)
{
	for (size_t i = 0; i < count && !x->dead; i++) {
		struct copy_stat st;
		if (!sources[i].name || is_taken(x, paths, sources, i))
			continue;
		tar_moment_go_back(&x->moment, &sources[i].dir);
		bool dir = content_only && copy_stat(x->copy, &sources[i].dir, sources[i].name, false, &st) == 0 &&
			   S_ISDIR(st.st.mode);
		walk(x, &sources[i], dir ? "." : sources[i].name, paths[i].text);
	}
}

static void find_sources(struct export *x, const struct cli_path *paths, struct source *sources, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct source *source = &sources[i];
		struct copy_stat st;
		source->dir.fd = -1;
		int error = copy_operand(x->copy, &paths[i], &source->dir, &source->name);
		if (!error)
			error = copy_stat(x->copy, &source->dir, source->name, false, &st);
		if (!error)
			continue;
		free(source->name);
		source->name = NULL;
		x->copy->errors++;
		if (error != COPY_TOLD)
			cli_fail(x->copy->cli, paths[i].text, error);
	}
}

/* Says why the archive is not whole. */
static void tell_end(struct export *x, const char *text)
{
	struct cli *cli = x->copy->cli;
	copy_progress_end(x->copy);
	x->copy->errors++;
	if (x->dead == LINKFS_EPIPE) { /* who reads has enough: as cat, without a word */
		cli->status = cli->status < CLI_EXIT_SOME ? CLI_EXIT_SOME : cli->status;
	} else if (x->dead == LINKFS_EINTR) {
		cli_failf(cli, text, "stopped: the archive is not whole");
	} else {
		cli_failf(cli, text, "cannot write the archive: %s", linkfs_strerror(x->dead));
	}
}

static int begin(struct export *x, const struct cli_path *archive, enum tar_filter filter)
{
	struct copy *copy = x->copy;
	copy->map = copy_map_new();
	copy->buf = malloc(COPY_BUF);
	if (!copy->map || !copy->buf)
		return LINKFS_ENOMEM;
	int error = tar_stream_write_open(copy, archive, &x->stream);
	if (!error)
		error = tar_writer_open(filter, tar_stream_write, x->stream, &x->writer);
	if (error == LINKFS_EOPNOTSUPP) {
		copy->errors++;
		cli_failf(copy->cli, NULL, "this linkfs was built without that compression");
		error = COPY_TOLD;
	}
	return error;
}

void tar_export(struct copy *copy, const struct cli_path *paths, size_t nsources, const struct cli_path *archive,
		bool content_only, enum tar_filter filter)
{
	struct export x = {.copy = copy, .moment.copy = copy};
	struct source *sources;
	size_t found = 0;
	if (!tar_can(copy))
		return;
	sources = cli_alloc((nsources + 1) * sizeof(*sources));
	int error = sources ? 0 : LINKFS_ENOMEM;
	if (!error)
		find_sources(&x, paths, sources, nsources);
	for (size_t i = 0; !error && i < nsources; i++) {
		if (!sources[i].name)
			continue;
		found++;
		tar_moment_take(&x.moment, &sources[i].dir);
	}
	if (!error && found)
		error = begin(&x, archive, filter);
	if (error && error != COPY_TOLD) {
		copy->errors++;
		cli_fail(copy->cli, NULL, error);
	}
	if (!error && found) {
		put_sources(&x, paths, sources, nsources, content_only);
		if (!x.dead)
			x.dead = tar_writer_finish(x.writer);
		if (!x.dead)
			x.dead = tar_stream_finish(x.stream);
		if (x.dead)
			tell_end(&x, archive ? archive->text : NULL);
	}
	copy_progress_end(copy);
	tar_moment_end(&x.moment);
	for (size_t i = 0; sources && i < nsources; i++) {
		copy_close_dir(&sources[i].dir);
		free(sources[i].name);
	}
	free(sources);
	tar_writer_close(x.writer);
	tar_stream_close(x.stream);
	tar_entry_clear(&x.entry);
	free(x.entry.xattrs);
	free(x.frames);
	free(x.path.p);
	free(x.display.p);
	free(x.map.segments);
	copy_map_free(copy->map);
	free(copy->buf);
}
