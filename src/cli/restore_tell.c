/*
 * restore_tell.c - what linkfs restore says: progress with rate and estimate, failures, and the report at the end.
 */
#include "links.h"
#include "restore.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool restore_is_final(int error)
{
	return error == LINKFS_ENOSPC || error == LINKFS_EDQUOT || error == LINKFS_EROFS || error == LINKFS_ENOMEM ||
	       error == LINKFS_ENOSYS || error == LINKFS_EMFILE;
}

/* ---- progress ---- */

/* How much there is, when somebody looks: sizes alone, without a word about what cannot be read. */
static void measure(struct restore *r)
{
	const struct restore_frame *first = &r->frames[0];
	struct copy_map *seen = copy_map_new();
	uint64_t *stack = NULL;
	size_t len = 0, cap = 0;
	struct cli_list list;
	struct copy_stat only = {0};
	if (!seen || cli_grow(&stack, &cap, len, sizeof(*stack)) != 0) {
		copy_map_free(seen);
		return;
	}
	/* The only entry of a frame that is not the destination's own. */
	if (first->name && (copy_stat(&r->copy, &first->from, first->list.entries[0].name, false, &only) != 0 ||
			    !S_ISDIR(only.st.mode))) {
		r->total_bytes = only.st.size;
		len = 0;
	} else {
		stack[len++] = first->name ? only.st.node : first->from.ino;
	}
	while (len && !cli_cancelled(r->cli)) {
		if (cli_list_read(r->cli, first->from.volume, stack[--len], true, false, &list) != 0)
			continue;
		for (size_t i = 0; i < list.len; i++) {
			const struct linkfs_stat *st = &list.entries[i].st;
			r->total_entries++;
			if (S_ISDIR(st->mode) && cli_grow(&stack, &cap, len, sizeof(*stack)) == 0)
				stack[len++] = st->node;
			if (!S_ISREG(st->mode) || (st->nlink > 1 && copy_map_find(seen, 0, st->ino)))
				continue;
			r->total_bytes += st->size;
			if (st->nlink > 1)
				(void)copy_map_add(seen, 0, st->ino, &(struct copy_place){0});
		}
		cli_list_done(&list);
	}
	free(stack);
	copy_map_free(seen);
}

static void show(struct restore *r)
{
	char size[32], rate[32], path[64], left[32] = "";
	double seconds = cli_progress_seconds(&r->progress);
	double done = r->total_bytes ? (double)r->moved / (double)r->total_bytes : 0;
	size_t len = strlen(r->display);
	/* Many small files take their time too: the middle of both measures. */
	if (r->total_entries)
		done = (done + (double)r->seen / (double)r->total_entries) / (r->total_bytes ? 2 : 1);
	cli_human_size(r->moved, 1024, size);
	cli_human_size(seconds > 0 ? (uint64_t)((double)r->moved / seconds) : 0, 1024, rate);
	if (done > 0.001 && done <= 1) {
		uint64_t rest = (uint64_t)(seconds / done * (1 - done) + 0.5);
		snprintf(left, sizeof(left), ", %" PRIu64 ":%02" PRIu64 " left", rest / 60, rest % 60);
	}
	cli_show(r->display + (len > 40 ? len - 40 : 0), path, sizeof(path));
	cli_progress_show(&r->progress, 0, 0, "%" PRIu64 " entries, %s, %s/s%s  %s", r->seen, size, rate, left, path);
}

void restore_progress(struct restore *r)
{
	if (cli_progress_due(&r->progress))
		show(r);
}

void restore_progress_end(struct restore *r)
{
	cli_progress_end(&r->progress);
}

/* ---- as it goes ---- */

char *restore_dest_path(const struct restore *r, const char *below)
{
	const char *dest = r->dest->text, *rest = below + r->below_skip;
	size_t len = strlen(dest);
	while (len > 1 && dest[len - 1] == '/')
		len--;
	rest += *rest == '/';
	return cli_format("%.*s%s%s", (int)len, dest, *rest && dest[len - 1] != '/' ? "/" : "", rest);
}

void restore_fail(struct restore *r, const char *what, int error)
{
	bool there = error != LINKFS_ECORRUPT && r->below;
	char *path = there ? restore_dest_path(r, r->below) : NULL;
	const char *where = path ? path : r->display;
	restore_progress_end(r);
	r->done.failed++;
	if (error == COPY_TOLD)
		cli_failf(r->cli, where, "%s", what);
	else
		cli_failf(r->cli, where, "%s: %s", what, linkfs_strerror(error));
	free(path);
}

void restore_tell(struct restore *r, const char *word, const char *below)
{
	if ((!r->dry && !r->verbose) || r->as_json)
		return;
	restore_progress_end(r);
	fprintf(r->cli->out, "%s%s ", r->dry && strcmp(word, "kept") != 0 ? "would be " : "", word);
	char *path = restore_dest_path(r, below);
	if (path)
		cli_show_bytes(r->cli, path, strlen(path));
	fputc('\n', r->cli->out);
	free(path);
}

void restore_begin(struct restore *r)
{
	cli_progress_begin(&r->progress, r->cli, r->quiet);
	if (r->cli->err_tty && !r->quiet && !r->dry)
		measure(r);
	if (!r->as_json)
		return;
	cli_json_open(&r->json, NULL, '{');
	cli_json_string(&r->json, "source", r->source->text);
	cli_json_string(&r->json, "destination", r->dest->text);
	if (r->verify)
		cli_json_open(&r->json, "differences", '[');
}

/* ---- at the end ---- */

static void report_json(struct restore *r)
{
	const struct restore_counts *done = &r->done;
	const struct {
		const char *key;
		uint64_t n;
	} rows[] = {
		{"restored", done->restored},
		{"replaced", done->replaced},
		{"unchanged", done->unchanged},
		{"kept", done->kept},
		{"removed", done->removed},
		{"failed", done->failed},
		{"files", done->files},
		{"directories", done->dirs},
		{"symlinks", done->symlinks},
		{"special", done->others},
		{"hard_links", done->links},
		{"bytes", done->bytes},
		{"owner_not_set", done->no_owner},
		{"mode_not_set", done->no_mode},
		{"xattrs_not_set", done->no_xattrs},
		{"devices_not_made", done->no_devices},
	};
	if (r->verify) {
		cli_json_close(&r->json, ']');
		cli_json_number(&r->json, "equal", done->unchanged);
		cli_json_number(&r->json, "failed", done->failed);
	}
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows) && !r->verify; i++)
		cli_json_number(&r->json, rows[i].key, rows[i].n);
	cli_json_bool(&r->json, "complete", !r->stopped);
	cli_json_close(&r->json, '}');
	fflush(r->cli->out);
}

static void report_text(struct restore *r)
{
	const struct restore_counts *done = &r->done;
	const struct {
		const char *word;
		uint64_t n;
	} rows[] = {
		{"restored", done->restored}, {"replaced", done->replaced}, {"unchanged", done->unchanged},
		{"kept", done->kept},         {"removed", done->removed},   {"failed", done->failed},
	};
	char size[32];
	const char *between = "";
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		if (!rows[i].n && i > 0)
			continue;
		const char *would = r->dry && (i < 2 || i == 4) ? "would be " : "";
		fprintf(r->cli->out, "%s%" PRIu64 " %s%s", between, rows[i].n, would, rows[i].word);
		between = ", ";
	}
	cli_human_size(done->bytes, 1024, size);
	if (!r->dry)
		fprintf(r->cli->out, "; %s written", size);
	fputc('\n', r->cli->out);
}

/* What this user may not set, once. */
static void report_missed(struct restore *r)
{
	const struct restore_counts *done = &r->done;
	const char *why = r->cli->cred.uid == 0 && geteuid() != 0
				  ? "the volume's mount is not root's: unmounted, it is restored with all rights"
				  : "root can";
	if (!done->no_owner && !done->no_mode && !done->no_xattrs && !done->no_devices)
		return;
	cli_note(r->cli,
		 "not as it was: %" PRIu64 " with another owner or group, %" PRIu64 " with another mode, %" PRIu64
		 " without some extended attributes, %" PRIu64 " devices not made (%s)",
		 done->no_owner, done->no_mode, done->no_xattrs, done->no_devices,
		 r->privileged ? "the destination cannot have them" : why);
	if (r->cli->status == CLI_EXIT_OK)
		r->cli->status = RESTORE_EXIT_MISSED;
}

void restore_end(struct restore *r)
{
	restore_progress_end(r);
	if (r->as_json)
		report_json(r);
	else if (!r->quiet && !r->verify)
		report_text(r);
	fflush(r->cli->out);
	if (r->stopped && !r->verify)
		cli_failf(r->cli, r->dest->text,
			  "not complete: directories that are not done are closed to others; the same command with "
			  "--overwrite goes on");
	else if (r->stopped)
		cli_failf(r->cli, r->dest->text, "interrupted");
	report_missed(r);
	if (r->done.failed && r->cli->cred.uid == 0 && geteuid() != 0)
		cli_note(r->cli, "the volume's mount is not root's, and its process writes: unmount the volume first");
	if (r->verify && r->done.failed)
		r->cli->status = RESTORE_EXIT_TROUBLE;
	else if (r->verify && r->done.differ && r->cli->status == CLI_EXIT_OK)
		r->cli->status = RESTORE_EXIT_DIFFERS;
}
