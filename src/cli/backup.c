/*
 * backup.c - a backup from its beginning to its end; see backup.h.
 */
#include "backup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TAG "backup"

/* A descriptor is open for each level of the tree. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* What must not be walked into: the volume, and in the process that serves it its mount. */
static void find_own(struct backup *b)
{
	struct cli_mount *mounts = NULL;
	struct copy_stat st;
	size_t count = 0;
	int fd = open(b->dest->volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && backup_look(fd, "", &st) == 0) {
		b->volume_dev = st.dev;
		b->volume_inode = st.st.ino;
	}
	if (fd >= 0)
		close(fd);
	if (!b->cli->in_owner || cli_mounts_read(&mounts, &count) != 0)
		return;
	b->own_devs = cli_alloc((count + 1) * sizeof(*b->own_devs));
	for (size_t i = 0; b->own_devs && i < count; i++) {
		if (strcmp(mounts[i].source, b->cli->own_volume) == 0)
			b->own_devs[b->nown_devs++] = makedev(mounts[i].major, mounts[i].minor);
	}
	cli_mounts_free(mounts, count);
}

static int put_source(struct backup *b, struct backup_source *s, bool whole)
{
	struct linkfs_source *r = &s->record;
	if (b->dry)
		return 0;
	if (!whole && s->same && r->rules == b->digest)
		return 0;
	r->dir = s->top;
	if (whole) {
		r->rules = b->digest;
		r->time_ns = b->progress.begun_ns;
	} else if (r->rules != b->digest) {
		r->rules = 0;
	}
	return linkfs_source_put(b->volume, &b->cli->cred, r, &r->id);
}

static int walk_one(struct backup *b, struct backup_source *s)
{
	unsigned long long files = atomic_load(&b->files), bytes = atomic_load(&b->bytes);
	b->source = s;
	b->nothers = 0;
	for (size_t i = 0; i < b->nsources; i++) {
		if (&b->sources[i] != s)
			b->others[b->nothers++] = b->sources[i].top;
	}
	b->trusted = s->same && s->record.rules == b->digest;
	int error = put_source(b, s, false);
	if (!error)
		error = backup_walk(b);
	s->record.files = atomic_load(&b->files) - files;
	s->record.bytes = atomic_load(&b->bytes) - bytes;
	return error;
}

/* Names that are no more, and then the directories that had them. */
static int finish(struct backup *b)
{
	struct backup_worker *w = backup_worker_new(b);
	if (!w)
		return LINKFS_ENOMEM;
	backup_stale_remove(w);
	for (size_t i = 0; i < b->ndeferred; i++) {
		backup_node_finish(w, b->deferred[i], true);
		backup_node_free(b->deferred[i]);
	}
	b->ndeferred = 0;
	backup_worker_free(w);
	return 0;
}

static int take_snapshot(struct backup *b)
{
	struct cli *cli = b->cli;
	const struct linkfs_snapshot_new what = {.name = b->snapshot_name, .tags = b->tags ? b->tags : TAG};
	if (b->no_snapshot || b->dry)
		return 0;
	if (cli->mount && linkfs_mount_hand_over(cli->mount) != 0)
		cli_note(cli, "what programs have written through mappings may be missing: out of memory");
	if (!b->snapshot_name)
		return cli_snapshot_dated(cli, b->volume, "%Y-%m-%dT%H:%M:%S", what, b->taken, sizeof(b->taken));
	int error = linkfs_snapshot_create(b->volume, &cli->cred, &what, NULL);
	if (!error)
		snprintf(b->taken, sizeof(b->taken), "%s", b->snapshot_name);
	return error;
}

static int run_all(struct backup *b)
{
	int error = backup_table_load(&b->known, b->volume);
	atomic_store(&b->expected, b->known.count);
	if (!error)
		error = backup_binds_load(b);
	if (!error)
		error = backup_sources_present(b);
	backup_estimate_begin(b);
	if (!error)
		error = backup_pool_new(b, &b->pool);
	for (size_t i = 0; i < b->nsources && !error && !atomic_load(&b->stop); i++)
		error = walk_one(b, &b->sources[i]);
	backup_pool_free(b->pool);
	backup_estimate_end(b);
	if (!error)
		error = finish(b);
	if (!error)
		error = atomic_load(&b->fatal);
	if (!error && !b->dry && b->known.ngone)
		error = linkfs_copied_forget(b->volume, &b->cli->cred, b->known.gone, b->known.ngone);
	if (!error && b->dedupe && !b->dry)
		error = backup_dedupe(b);
	for (size_t i = 0; i < b->nsources && !error; i++)
		error = put_source(b, &b->sources[i], true);
	if (!error)
		error = take_snapshot(b);
	if (!error && !b->dry)
		error = linkfs_volume_sync(b->volume);
	if (error)
		backup_stop(b, error);
	return error;
}

static void tell_end(struct backup *b, int error)
{
	struct cli *cli = b->cli;
	backup_progress_end(b);
	if (error == COPY_TOLD)
		return;
	if (error == LINKFS_EINTR)
		cli_failf(cli, NULL, "interrupted: no snapshot was taken; the next run goes on from here");
	else if (error == LINKFS_ENOSPC)
		cli_failf(cli, b->dest->text,
			  "the volume is full: no snapshot was taken; 'linkfs prune' or 'linkfs snapshot delete' make "
			  "room");
	else if (error == LINKFS_EPERM)
		cli_failf(cli, b->dest->text, "backups are for root and for the owner of the volume's root directory");
	else if (error == LINKFS_EEXIST && b->snapshot_name)
		cli_failf(cli, b->dest->text, "a snapshot is called '%s' already: all is backed up, but none was taken",
			  b->snapshot_name);
	else if (error)
		cli_failf(cli, b->dest->text, "the backup did not come to its end, and no snapshot was taken: %s",
			  linkfs_strerror(error));
}

static void done(struct backup *b)
{
	for (size_t i = 0; i < b->nstale; i++) {
		backup_node_free(b->stale[i].node);
		free(b->stale[i].name);
	}
	for (size_t i = 0; i < b->ndeferred; i++)
		backup_node_free(b->deferred[i]);
	for (size_t i = 0; i < b->ntroubles; i++)
		free(b->troubles[i].path);
	free(b->stale);
	free(b->deferred);
	free(b->troubles);
	for (size_t i = 0; i < b->nbinds; i++)
		free(b->binds[i].name);
	free(b->binds);
	free(b->own_devs);
	backup_table_done(&b->known);
	backup_sources_close(b);
	pthread_mutex_destroy(&b->lock);
	pthread_mutex_destroy(&b->moves);
}

/* Two at a time would take each other's new files for stale. A process runs commands on volumes that it alone has open, and where it runs
 * several at a time that is one volume. */
static atomic_flag under_way = ATOMIC_FLAG_INIT;

static int run_alone(struct backup *b, const struct cli_args *args)
{
	struct cli *cli = b->cli;
	cli_progress_begin(&b->progress, b->cli, b->quiet);
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->moves, NULL);
	int error = backup_table_init(&b->known);
	raise_file_limit();
	if (!error)
		error = backup_sources_open(b, args);
	else
		cli_fail(cli, NULL, error);
	if (error) {
		done(b);
		return cli->status ? cli->status : cli->command->fail_status;
	}
	find_own(b);
	error = run_all(b);
	tell_end(b, error);
	backup_report(b);
	bool some = atomic_load(&b->counts[BACKUP_UNREADABLE]) || atomic_load(&b->counts[BACKUP_UNSTEADY]) ||
		    b->equal.damaged;
	done(b);
	return cli->status ? cli->status : some ? CLI_EXIT_SOME : CLI_EXIT_OK;
}

int backup_run(struct backup *b, const struct cli_args *args)
{
	if (atomic_flag_test_and_set(&under_way)) {
		cli_failf(b->cli, b->dest->text, "another backup into this volume is under way");
		return b->cli->status;
	}
	int status = run_alone(b, args);
	atomic_flag_clear(&under_way);
	return status;
}
