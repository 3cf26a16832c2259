/*
 * judge.c - one state: made in a directory, opened, walked and read whole, compared with the model, and used.
 */
#include "power.h"

#include <linkfs_check.h>
#include <stdlib.h>
#include <string.h>
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

static void compare(struct linkfs_volume *volume, const struct history *h, size_t first, size_t last, struct verdict *v)
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
		compare(*volume, h, v->state, v->state, v);
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
		compare(volume, h, first, last, v);
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
		compare(volume, h, first, last, v);
	if (v->good && flags & JUDGE_RECORDS)
		check(volume, v);
	if (v->good && flags & JUDGE_USE && !recovery)
		use(dir, &volume, h, v);
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
