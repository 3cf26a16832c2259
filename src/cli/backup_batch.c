/*
 * backup_batch.c - small new files of a directory, some at a time; see backup.h.
 *
 * They are read first, and then made in one call (linkfs_copied_make()), each whole with all that belongs to it. That is for files of which there
 * is nothing special to say. What cannot be read or changes meanwhile, has holes, extended attributes or a name that is taken, is
 * left to backup_file.c, which begins with it anew, and tells.
 */
#include "backup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_BYTES (BACKUP_CHUNK / 2) /* read before the first is made */

struct backup_batch {
	struct backup_job job;
	struct backup_node *node;
	uint64_t bytes;
	size_t count;
	struct backup_file *files[LINKFS_COPIED_NEW_COUNT];
};

static bool is_same(const struct copy_stat *a, const struct copy_stat *b)
{
	return a->st.ino == b->st.ino && a->dev == b->dev && a->st.mode == b->st.mode && backup_same_times(a, b);
}

/* Its content, into data, and attributes; false: it is not as it was seen, or not plain. */
static bool read_plain(struct backup_worker *w, struct backup_file *f, char *data, struct linkfs_copied_new *out)
{
	struct copy_stat now;
	size_t size = (size_t)f->st.st.size, done = 0;
	int64_t begin = cli_now_ns();
	int fd = -1;
	if (backup_open_source(f, &fd) != 0)
		return false;
	struct copy_file from = {.fd = fd};
	bool plain = backup_look(fd, "", &now) == 0 && is_same(&f->st, &now) && !copy_has_holes(&from, size) &&
		     copy_read(&from, 0, data, size, &done) == 0 && done == size && backup_look(fd, "", &now) == 0 &&
		     is_same(&f->st, &now) && copy_new_attributes(&w->copy, &now, fd, &out->attributes);
	close(fd);
	if (!plain)
		return false;
	f->st = now;
	out->name = f->name;
	out->name_len = strlen(f->name);
	out->content = data;
	out->size = size;
	out->row = backup_row(f->node, f->fs, 0, &now, backup_in_doubt(now.st.ctime_ns, begin));
	return true;
}

/* Frees it. */
static void run(struct backup_worker *w, struct backup_batch *batch)
{
	struct backup *b = w->b;
	struct linkfs_copied_new made[LINKFS_COPIED_NEW_COUNT];
	struct backup_file *plain[LINKFS_COPIED_NEW_COUNT], *rest[LINKFS_COPIED_NEW_COUNT];
	size_t count = 0, left = 0, at = 0;
	for (size_t i = 0; i < batch->count; i++) {
		struct backup_file *f = batch->files[i];
		if (!atomic_load(&b->stop) && read_plain(w, f, w->data + at, &made[count])) {
			at += made[count].size;
			plain[count++] = f;
		} else {
			rest[left++] = f;
		}
	}
	int error = count ? backup_touch(b, batch->node) : 0;
	if (!error)
		error = linkfs_copied_make(b->volume, &b->cli->cred, batch->node->ino, made, count);
	for (size_t i = 0; i < count; i++) {
		if (error) {
			rest[left++] = plain[i];
			continue;
		}
		atomic_fetch_add(&b->read_bytes, made[i].size);
		backup_file_made(w, plain[i], made[i].row.ino, made[i].row.flags & LINKFS_COPIED_DOUBT);
	}
	for (size_t i = 0; i < left; i++)
		backup_file_run(w, rest[i]);
	free(batch);
}

/* What runs may find further files, which begin another batch. */
void backup_batch_end(struct backup_worker *w)
{
	while (w->batch) {
		struct backup_batch *batch = w->batch;
		w->batch = NULL;
		if (backup_pool_hungry(w->b->pool))
			backup_pool_push(w->b->pool, &batch->job);
		else
			run(w, batch);
	}
}

static void run_batch(struct backup_worker *w, struct backup_job *job)
{
	run(w, (struct backup_batch *)(void *)job);
	backup_batch_end(w);
}

static void run_file(struct backup_worker *w, struct backup_job *job)
{
	backup_file_run(w, (struct backup_file *)(void *)job);
	backup_batch_end(w);
}

static void run_alone(struct backup_worker *w, struct backup_file *f)
{
	f->job.run = run_file;
	if (backup_pool_hungry(w->b->pool))
		backup_pool_push(w->b->pool, &f->job);
	else
		backup_file_run(w, f);
}

static bool is_small(const struct backup *b, const struct backup_file *f)
{
	return !b->dry && f->action == BACKUP_MAKE && S_ISREG(f->st.st.mode) && !f->there.ino &&
	       f->st.st.size <= LINKFS_COPIED_NEW_MAX && !(f->st.st.mode & (S_ISUID | S_ISGID)) &&
	       !backup_inherits(b, f->node);
}

void backup_batch_add(struct backup_worker *w, struct backup_file *f)
{
	if (!is_small(w->b, f)) {
		run_alone(w, f);
		return;
	}
	if (w->batch && (w->batch->node != f->node || w->batch->bytes + f->st.st.size > BATCH_BYTES))
		backup_batch_end(w);
	if (!w->batch)
		w->batch = cli_alloc(sizeof(*w->batch));
	struct backup_batch *batch = w->batch;
	if (!batch) {
		run_alone(w, f);
		return;
	}
	batch->job.run = run_batch;
	batch->node = f->node;
	batch->bytes += f->st.st.size;
	batch->files[batch->count++] = f;
	if (batch->count == LINKFS_COPIED_NEW_COUNT)
		backup_batch_end(w);
}
