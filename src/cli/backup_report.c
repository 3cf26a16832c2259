/*
 * backup_report.c - what a backup says: progress while it runs, each trouble as it comes, the counts at the end; see backup.h.
 */
#include "backup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const backup_count_words[BACKUP_COUNTS] = {
	[BACKUP_NEW] = "new",           [BACKUP_CHANGED] = "changed",       [BACKUP_MOVED] = "moved",
	[BACKUP_LINKED] = "linked",     [BACKUP_UNCHANGED] = "unchanged",   [BACKUP_REMOVED] = "removed",
	[BACKUP_VANISHED] = "vanished", [BACKUP_UNREADABLE] = "unreadable", [BACKUP_UNSTEADY] = "changed while read",
	[BACKUP_EXCLUDED] = "left out",
};

/* ---- paths ------------------------------------------------------------------------------------------------------------ */

static size_t path_len(const struct backup_node *node)
{
	return node->parent ? path_len(node->parent) + strlen(node->name) + 1 : strlen(node->source->path) + 1;
}

static char *put_path(const struct backup_node *node, char *to)
{
	const char *name = node->parent ? node->name : node->source->path;
	size_t len = strlen(name);
	if (node->parent)
		to = put_path(node->parent, to);
	else if (strcmp(name, "/") == 0)
		len = 0;
	if (node->parent)
		*to++ = '/';
	memcpy(to, name, len);
	return to + len;
}

char *backup_path(const struct backup *b, const struct backup_node *node, const char *name)
{
	size_t len = path_len(node) + (name ? strlen(name) + 1 : 0) + 2;
	char *path = malloc(len), *end;
	(void)b;
	if (!path)
		return NULL;
	end = put_path(node, path);
	if (name || end == path)
		*end++ = '/';
	memcpy(end, name ? name : "", name ? strlen(name) + 1 : 1);
	return path;
}

/* ---- progress ----------------------------------------------------------------------------------------------------------- */

void backup_progress_end(struct backup *b)
{
	cli_progress_end(&b->progress);
}

void backup_progress(struct backup *b)
{
	char size[32], rate[32];
	pthread_mutex_lock(&b->lock);
	if (cli_progress_due(&b->progress)) {
		double seconds = cli_progress_seconds(&b->progress);
		uint64_t files = atomic_load(&b->files), read = atomic_load(&b->read_bytes);
		cli_human_size(read, 1024, size);
		cli_human_size(seconds > 0 ? (uint64_t)((double)read / seconds) : 0, 1024, rate);
		cli_progress_show(&b->progress, files, atomic_load(&b->expected),
				  "%" PRIu64 " files, %s read (%s/s, %.0f files/s)", files, size, rate,
				  seconds > 0 ? (double)files / seconds : 0.0);
	}
	pthread_mutex_unlock(&b->lock);
}

/* ---- troubles -------------------------------------------------------------------------------------------------------------- */

bool backup_is_fatal(int error)
{
	return error == LINKFS_ENOSPC || error == LINKFS_EROFS || error == LINKFS_EPOISONED ||
	       error == LINKFS_ECORRUPT || error == LINKFS_ENOMEM || error == LINKFS_EINTR || error == LINKFS_EDQUOT;
}

void backup_stop(struct backup *b, int error)
{
	int none = 0;
	(void)atomic_compare_exchange_strong(&b->fatal, &none, error);
	atomic_store(&b->stop, true);
}

void backup_tell(struct backup *b, enum backup_count kind, const struct backup_node *node, const char *name, int error)
{
	char *path = backup_path(b, node, name);
	atomic_fetch_add(&b->counts[kind], 1);
	if (!path) {
		backup_stop(b, LINKFS_ENOMEM);
		return;
	}
	pthread_mutex_lock(&b->lock);
	backup_progress_end(b);
	if (kind == BACKUP_VANISHED)
		cli_note(b->cli, "%s: vanished before it was read", path);
	else if (kind == BACKUP_UNSTEADY)
		cli_note(b->cli, "%s: changed while it was read: the copy may be of no single moment", path);
	else if (error == LINKFS_EBUSY)
		cli_note(b->cli,
			 "%s: the copy cannot be brought up to date: a bind is in its way; 'linkfs bind --list' shows "
			 "those of a volume",
			 path);
	else
		cli_note(b->cli, "%s: cannot be backed up: %s", path, linkfs_strerror(error));
	bool kept = cli_grow(&b->troubles, &b->troubles_cap, b->ntroubles, sizeof(*b->troubles)) == 0;
	if (kept)
		b->troubles[b->ntroubles++] = (struct backup_trouble){kind, error, path};
	pthread_mutex_unlock(&b->lock);
	if (!kept)
		free(path);
}

void backup_count_one(struct backup *b, enum backup_count kind, const struct backup_node *node, const char *name)
{
	if (kind == BACKUP_COUNTS)
		return;
	atomic_fetch_add(&b->counts[kind], 1);
	if (!b->verbose || kind == BACKUP_UNCHANGED)
		return;
	char *path = backup_path(b, node, name), shown[LINKFS_PATH_MAX];
	pthread_mutex_lock(&b->lock);
	backup_progress_end(b);
	if (path)
		fprintf(b->cli->out, "%s %s\n", backup_count_words[kind], cli_show(path, shown, sizeof(shown)));
	pthread_mutex_unlock(&b->lock);
	free(path);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------ */

static uint64_t count(const struct backup *b, enum backup_count kind)
{
	return atomic_load(&b->counts[kind]);
}

static void json_troubles(const struct backup *b, struct cli_json *json, const char *key, enum backup_count kind)
{
	cli_json_open(json, key, '[');
	for (size_t i = 0; i < b->ntroubles; i++) {
		if (b->troubles[i].kind != kind)
			continue;
		cli_json_open(json, NULL, '{');
		cli_json_string(json, "path", b->troubles[i].path);
		if (b->troubles[i].error)
			cli_json_string(json, "error", linkfs_strerror(b->troubles[i].error));
		cli_json_close(json, '}');
	}
	cli_json_close(json, ']');
}

static void report_json(struct backup *b)
{
	static const char *const keys[BACKUP_COUNTS] = {
		[BACKUP_NEW] = "new",
		[BACKUP_CHANGED] = "changed",
		[BACKUP_MOVED] = "moved",
		[BACKUP_LINKED] = "linked",
		[BACKUP_UNCHANGED] = "unchanged",
		[BACKUP_REMOVED] = "removed",
		[BACKUP_VANISHED] = "vanished",
		[BACKUP_UNREADABLE] = "unreadable",
		[BACKUP_UNSTEADY] = "changed_while_read",
		[BACKUP_EXCLUDED] = "left_out",
	};
	struct cli_json json = {.out = b->cli->out};
	cli_json_open(&json, NULL, '{');
	cli_json_bool(&json, "complete", !atomic_load(&b->stop));
	cli_json_bool(&json, "dry_run", b->dry);
	cli_json_open(&json, "sources", '[');
	for (size_t i = 0; i < b->nsources; i++) {
		cli_json_open(&json, NULL, '{');
		cli_json_string(&json, "host", b->sources[i].record.host);
		cli_json_string(&json, "path", b->sources[i].path);
		cli_json_close(&json, '}');
	}
	cli_json_close(&json, ']');
	for (int i = 0; i < BACKUP_COUNTS; i++)
		cli_json_number(&json, keys[i], count(b, (enum backup_count)i));
	cli_json_number(&json, "files", atomic_load(&b->files));
	cli_json_number(&json, "directories", atomic_load(&b->dirs));
	cli_json_number(&json, "bytes", atomic_load(&b->bytes));
	cli_json_number(&json, "read_bytes", atomic_load(&b->read_bytes));
	cli_json_number(&json, "milliseconds", (uint64_t)(cli_now_ns() - b->progress.begun_ns) / 1000000);
	if (b->dedupe && !b->dry) {
		cli_json_open(&json, "dedupe", '{');
		cli_json_number(&json, "files", b->equal.files);
		cli_json_number(&json, "shared", b->equal.shared);
		cli_json_number(&json, "freed", b->equal.freed);
		cli_json_close(&json, '}');
	} else {
		cli_json_null(&json, "dedupe");
	}
	json_troubles(b, &json, "vanished_files", BACKUP_VANISHED);
	json_troubles(b, &json, "unreadable_files", BACKUP_UNREADABLE);
	json_troubles(b, &json, "changed_while_read_files", BACKUP_UNSTEADY);
	if (b->taken[0])
		cli_json_string(&json, "snapshot", b->taken);
	else
		cli_json_null(&json, "snapshot");
	cli_json_close(&json, '}');
}

void backup_report(struct backup *b)
{
	FILE *out = b->cli->out;
	char size[32], read[32];
	backup_progress_end(b);
	if (b->json) {
		report_json(b);
		return;
	}
	if (b->quiet)
		return;
	cli_human_size(atomic_load(&b->bytes), 1024, size);
	cli_human_size(atomic_load(&b->read_bytes), 1024, read);
	fprintf(out, "%llu files (%s) in %llu directories; %s read in %.1f s%s\n", atomic_load(&b->files), size,
		atomic_load(&b->dirs), read, (double)(cli_now_ns() - b->progress.begun_ns) / 1e9,
		b->dry ? "; nothing was written" : "");
	const char *comma = "";
	for (int i = 0; i < BACKUP_COUNTS; i++) {
		/* Usual ones always, the rest when there are any. */
		if (i <= BACKUP_REMOVED || count(b, (enum backup_count)i)) {
			fprintf(out, "%s%" PRIu64 " %s", comma, count(b, (enum backup_count)i), backup_count_words[i]);
			comma = ", ";
		}
	}
	fputc('\n', out);
	if (b->dedupe && !b->dry) {
		cli_human_size(b->equal.shared, 1024, size);
		cli_human_size(b->equal.freed, 1024, read);
		fprintf(out, "%" PRIu64 " file%s %s %s with an equal one; %s freed\n", b->equal.files,
			b->equal.files == 1 ? "" : "s", b->equal.files == 1 ? "shares" : "share", size, read);
	}
	if (b->taken[0])
		fprintf(out, "snapshot %s\n", b->taken);
}
