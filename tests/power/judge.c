/*
 * judge.c - one state: made in a directory, opened, walked and read whole, compared with the model, and used.
 */
#include "power.h"

#include <linkfs_check.h>
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <txn.h>
#include <unistd.h>
#include <volume.h>
#include <xxhash.h>

void history_add(struct history *h, struct model *m)
{
	if (h->count == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 64;
		h->texts = realloc(h->texts, h->cap * sizeof(*h->texts));
		h->hashes = realloc(h->hashes, h->cap * sizeof(*h->hashes));
		if (!h->texts || !h->hashes)
			abort();
	}
	struct lk_buf text = {0};
	model_text(m, &text);
	h->texts[h->count] = (char *)text.p;
	h->hashes[h->count++] = XXH3_64bits(text.p, text.len - 1);
}

void history_free(struct history *h)
{
	for (size_t i = 0; i < h->count; i++)
		free(h->texts[i]);
	free(h->texts);
	free(h->hashes);
	memset(h, 0, sizeof(*h));
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) say(struct verdict *v, const char *format, ...)
{
	size_t len = strlen(v->why);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(v->why + len, sizeof(v->why) - len, format, args);
	va_end(args);
	v->good = false;
}

/* The lines that only one of two texts has. */
static void say_lines(struct verdict *v, const char *text, const char *other, char sign)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		char line[600];
		if (len < sizeof(line) - 1) {
			memcpy(line, text, len);
			line[len] = '\n';
			line[len + 1] = 0;
			const char *found = strstr(other, line);
			if (!found || (found != other && found[-1] != '\n'))
				say(v, "#   %c %s", sign, line);
		}
		text += len + (text[len] != 0);
	}
}

void judge_tree(struct linkfs_volume *volume, const struct history *h, size_t first, size_t last, struct verdict *v)
{
	struct lk_buf text = {0};
	struct linkfs_message why = {""};
	int r = tree_of_volume(volume, &text, &why);
	if (r) {
		say(v, "# cannot be read: %s\n", why.text);
	} else {
		uint64_t hash = XXH3_64bits(text.p, text.len - 1);
		size_t k = last + 1;
		while (k > first && h->hashes[k - 1] != hash)
			k--;
		v->state = k - 1;
		if (k == first) {
			size_t shown = 0;
			while (shown < h->count && h->hashes[shown] != hash)
				shown++;
			if (shown < h->count)
				say(v, "# shows the tree after %zu operations: not one of %zu to %zu\n", shown, first,
				    last);
			else
				say(v, "# shows no tree of the script (%zu to %zu were possible); against the last:\n",
				    first, last);
			say_lines(v, (char *)text.p, h->texts[last], '+');
			say_lines(v, h->texts[last], (char *)text.p, '-');
		}
	}
	lk_buf_done(&text);
}

/* ---- using it ------------------------------------------------------------------------------------------------------------------ */

static int use_once(struct linkfs_volume *volume, const uint8_t *bytes, size_t len)
{
	struct linkfs_file *file = NULL;
	size_t done = 0;
	int r = linkfs_file_open(volume, NULL, LINKFS_ROOT_INO, "used",
				 LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_EXCL, 0644, &file);
	if (r == 0)
		r = linkfs_file_write(file, 0, bytes, len, &done);
	if (r == 0)
		r = linkfs_file_sync(file, 0);
	linkfs_file_close(file);
	return r;
}

/* A volume that was recovered works: a new file reads back after another open, and everything else is as it was. */
static void use(const char *dir, struct linkfs_volume **volume, const struct history *h, struct verdict *v)
{
	uint8_t bytes[9000], got[9001];
	size_t done = 0;
	struct linkfs_message why = {""};
	struct linkfs_file *file = NULL;
	op_bytes(77, 0, bytes, sizeof(bytes));
	int r = use_once(*volume, bytes, sizeof(bytes));
	bool full = r == LINKFS_ENOSPC; /* a small volume may be */
	if (full)
		r = linkfs_path_unlink(*volume, NULL, LINKFS_ROOT_INO, "used");
	if (r == 0)
		r = linkfs_volume_close(*volume);
	*volume = NULL;
	if (r == 0)
		r = linkfs_volume_open(dir, NULL, volume, &why);
	if (r == 0 && !full)
		r = linkfs_file_open(*volume, NULL, LINKFS_ROOT_INO, "used", LINKFS_O_READ, 0, &file);
	if (r == 0 && !full)
		r = linkfs_file_read(file, 0, got, sizeof(got), &done);
	linkfs_file_close(file);
	if (r == 0 && !full && (done != sizeof(bytes) || memcmp(bytes, got, done)))
		say(v, "# a file written after recovery reads wrong\n");
	if (r == 0 && !full)
		r = linkfs_path_unlink(*volume, NULL, LINKFS_ROOT_INO, "used");
	if (r)
		say(v, "# cannot be used: %s %s\n", linkfs_error_name(r), why.text);
	else
		judge_tree(*volume, h, v->state, v->state, v);
}

static void read_first(const char *dir, const struct history *h, size_t first, size_t last, struct verdict *v)
{
	struct linkfs_volume *volume = NULL;
	struct linkfs_message why = {""};
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_READONLY};
	int r = linkfs_volume_open(dir, &options, &volume, &why);
	if (r)
		say(v, "# does not open for reading: %s: %s\n", linkfs_error_name(r), why.text);
	else
		judge_tree(volume, h, first, last, v);
	(void)linkfs_volume_close(volume);
}

static int finding(void *arg, const struct linkfs_finding *f)
{
	say(arg, "# check: %s: %s\n", f->problem->id, f->text);
	return 0;
}

/* Every record against the others, and every byte of data (F2). */
static void check(struct linkfs_volume *volume, struct verdict *v)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA, .finding = finding, .arg = v};
	struct linkfs_message why = {""};
	int r = linkfs_volume_check(volume, &options, NULL, &why);
	if (r)
		say(v, "# check: %s: %s\n", linkfs_error_name(r), why.text);
}

static int see_deleting(void *arg, const void *record)
{
	*(bool *)arg |= ((const struct lk_snapshot *)record)->deleting != 0;
	return 0;
}

/* Deletions that were cut off go on by themselves. */
static int wait_for_deletions(struct linkfs_volume *volume)
{
	static const struct lk_snapshot zero;
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY, .from = &zero};
	for (unsigned waits = 0;; waits++) {
		bool deleting = false;
		struct lk_op op;
		int r = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (r == 0)
			r = lk_op_end(&op, lk_txn_scan(&op, &scan, see_deleting, &deleting));
		if (r || !deleting)
			return r;
		if (waits == 20000)
			return LINKFS_EAGAIN;
		(void)usleep(1000);
	}
}

static int see_row(void *arg, const void *record)
{
	(void)record;
	++*(uint64_t *)arg;
	return 0;
}

static int take_name(void *arg, const struct linkfs_snapshot *s)
{
	memcpy(arg, s->name, s->name_len + 1);
	return 1;
}

/* All snapshots go: the live tree stays as it is, no row of history does, and blocks are in use that it has (what check compares). */
static void without_snapshots(struct linkfs_volume *volume, struct verdict *v)
{
	static const char zero[LK_RECORD_MAX + 8] __attribute__((aligned(8)));
	struct lk_buf before = {0}, after = {0};
	struct linkfs_message why = {""};
	struct lk_op op;
	uint64_t rows = 0;
	char name[256];
	int r = tree_of_volume(volume, &before, &why);
	while (r == 0 && (r = linkfs_snapshot_list(volume, take_name, (name[0] = 0, name))) == 0 && name[0])
		r = linkfs_snapshot_delete(volume, NULL, name, NULL, NULL, NULL);
	if (r == 0)
		r = wait_for_deletions(volume);
	if (r == 0)
		r = tree_of_volume(volume, &after, &why);
	if (r == 0)
		r = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (r == 0) {
		for (int t = 0; r == 0 && t < LK_T_LIVE_COUNT; t++) {
			if (!lk_tables[t].versioned)
				continue;
			struct lk_scan scan = {.table = &lk_tables[lk_tables[t].old], .index = LK_BY_KEY, .from = zero};
			r = lk_txn_scan(&op, &scan, see_row, &rows);
		}
		r = lk_op_end(&op, r);
	}
	if (r) {
		say(v, "# without snapshots: %s %s\n", linkfs_error_name(r), why.text);
	} else {
		/* Lines of snapshots stand behind the others. */
		char *past = strstr((char *)before.p, "\n@");
		if (past)
			past[1] = 0;
		if (strcmp((char *)before.p, (char *)after.p) != 0)
			say(v, "# the live tree is another one without its snapshots\n");
		if (rows)
			say(v, "# %llu rows of history are left without a snapshot\n", (unsigned long long)rows);
		if (linkfs_volume_sync(volume))
			say(v, "# a sync after the snapshots went fails\n");
		check(volume, v);
	}
	lk_buf_done(&before);
	lk_buf_done(&after);
}

void judge(const struct image *image, const char *dir, const struct history *h, size_t first, size_t last,
	   unsigned flags, struct recording *recovery, struct verdict *v)
{
	struct linkfs_volume *volume = NULL;
	struct linkfs_message why = {""};
	v->good = true;
	v->why[0] = 0;
	v->state = 0;
	image_store(image, dir);
	if (recovery)
		record_begin(recovery, dir);
	else
		quiet_begin(dir);
	if (flags & JUDGE_READ && !recovery) {
		read_first(dir, h, first, last, v);
		first = v->good ? v->state : first;
		last = v->good ? v->state : last;
	}
	int r = v->good ? linkfs_volume_open(dir, NULL, &volume, &why) : 0;
	if (r)
		say(v, "# does not open: %s: %s\n", linkfs_error_name(r), why.text);
	else if (volume)
		judge_tree(volume, h, first, last, v);
	if (v->good && flags & JUDGE_RECORDS)
		check(volume, v);
	if (v->good && flags & JUDGE_USE && !recovery)
		use(dir, &volume, h, v);
	if (v->good && flags & JUDGE_DROP && !recovery)
		without_snapshots(volume, v);
	r = linkfs_volume_close(volume);
	if (r)
		say(v, "# does not close: %s\n", linkfs_error_name(r));
	if (recovery)
		record_end(recovery);
	else
		quiet_end();
	if (recovery && recovery->trouble[0])
		say(v, "# cannot be recorded: %s\n", recovery->trouble);
}
