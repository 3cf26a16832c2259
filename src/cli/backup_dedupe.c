/*
 * backup_dedupe.c - what a backup has written shares its space with files of equal content; see backup.h.
 *
 * It is done before the snapshot, as what a snapshot holds is not freed any more. So of two equal files the one that was there at the last
 * snapshot keeps its blocks, and only what was written since then is looked at beside files of its size: the rest of the volume is not read.
 * What a run that was cut off has written counts too, by its times in the volume. How equality is found and proved is dedupe.h's matter.
 */
#include "backup.h"
#include "dedupe.h"

#include <inttypes.h>
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <sys/stat.h>

struct search {
	struct backup *b;
	struct dedupe_set set;
	int64_t last_ns; /* of the last snapshot */
	uint64_t *sizes; /* of files that were written; sorted */
	size_t nsizes, sizes_cap;
};

static int take_time(void *arg, const struct linkfs_snapshot *snapshot)
{
	*(int64_t *)arg = snapshot->time_ns;
	return 0;
}

static bool is_written(const struct search *s, const struct backup_known *k)
{
	return k->wrote || k->own_ctime_ns > s->last_ns;
}

static int note_size(void *arg, const struct backup_known *k)
{
	struct search *s = arg;
	if (!S_ISREG(k->mode) || !k->ino || !k->size || !is_written(s, k))
		return 0;
	if (cli_grow(&s->sizes, &s->sizes_cap, s->nsizes, sizeof(*s->sizes)) != 0)
		return LINKFS_ENOMEM;
	s->sizes[s->nsizes++] = k->size;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static int take_file(void *arg, const struct backup_known *k)
{
	struct search *s = arg;
	struct linkfs_stat st;
	if (cli_cancelled(s->b->cli))
		return LINKFS_EINTR;
	if (!S_ISREG(k->mode) || !k->ino || !s->nsizes ||
	    !bsearch(&k->size, s->sizes, s->nsizes, sizeof(*s->sizes), by_size))
		return 0;
	int error = linkfs_node_getattr(s->b->volume, k->ino, &st);
	if (error)
		return error == LINKFS_ESTALE || error == LINKFS_ENOENT ? 0 : error;
	/* Small files lie with the metadata, and share with nobody. */
	if (!S_ISREG(st.mode) || !st.blocks)
		return 0;
	return dedupe_set_add_file(&s->set, &st, !is_written(s, k));
}

static int collect(struct search *s)
{
	struct backup *b = s->b;
	int error = linkfs_snapshot_before(b->volume, INT64_MAX, take_time, &s->last_ns);
	if (error == LINKFS_ENOENT)
		error = 0;
	if (!error)
		error = backup_known_each(&b->known, note_size, s);
	if (!error && s->nsizes)
		qsort(s->sizes, s->nsizes, sizeof(*s->sizes), by_size);
	return error ? error : backup_known_each(&b->known, take_file, s);
}

/* Of a file that was changed, removed or is another's by now there is nothing to say. */
static bool is_nothing(int error)
{
	return error == LINKFS_ESTALE || error == LINKFS_ENOENT || error == LINKFS_EAGAIN || error == LINKFS_EACCES ||
	       error == LINKFS_EINVAL || error == LINKFS_EISDIR;
}

static void tell_damage(struct backup *b, uint64_t ino, int error)
{
	b->equal.damaged++;
	cli_note(b->cli,
		 "%s: file number %" PRIu64
		 " of the volume cannot be read: %s; 'linkfs check --data' tells what is damaged",
		 b->dest->text, ino, linkfs_strerror(error));
}

static void refuse_digest(void *arg, const struct dedupe_file *f, int error)
{
	if (!is_nothing(error))
		tell_damage(arg, f->st.ino, error);
}

/* One of two cannot be read: which? */
static void tell_pair(struct backup *b, const struct dedupe_file *kept, const struct dedupe_file *f, int error)
{
	uint64_t digest[2];
	int first = linkfs_node_digest(b->volume, kept->st.ino, digest);
	tell_damage(b, first ? kept->st.ino : f->st.ino, first ? first : error);
}

static int conclude(struct search *s)
{
	struct backup *b = s->b;
	bool full = false;
	for (size_t i = 0; i < s->set.nfiles; i++) {
		const struct dedupe_file *f = &s->set.files[i];
		if (!f->done || f->with == i)
			continue;
		b->equal.shared += f->what.shared;
		b->equal.freed += f->what.freed;
		b->equal.files += f->equal && f->what.shared;
		if (f->error == LINKFS_ENOMEM || f->error == LINKFS_EROFS || f->error == LINKFS_EPOISONED)
			return f->error;
		if (f->error == LINKFS_ENOSPC || f->error == LINKFS_EDQUOT)
			full = true;
		else if (f->error && !is_nothing(f->error))
			tell_pair(b, &s->set.files[f->with], f, f->error);
	}
	if (full)
		cli_note(b->cli, "%s: the volume is too full for more files to share their space; all is backed up",
			 b->dest->text);
	return 0;
}

int backup_dedupe(struct backup *b)
{
	struct search s = {
		.b = b,
		.set = {.cli = b->cli, .volume = b->volume, .threads = b->threads, .refuse = refuse_digest, .arg = b}};
	backup_progress_end(b);
	cli_progress_begin(&s.set.progress, b->cli, b->quiet);
	int error = collect(&s);
	if (!error)
		error = dedupe_set_group(&s.set);
	if (!error && s.set.nfiles && !cli_cancelled(b->cli)) {
		error = dedupe_prove(&s.set, NULL, false, 0, s.set.nfiles);
		cli_progress_end(&s.set.progress);
		int told = conclude(&s);
		error = error ? error : told;
	}
	if (!error && cli_cancelled(b->cli))
		error = LINKFS_EINTR;
	dedupe_set_done(&s.set);
	free(s.sizes);
	return error;
}
