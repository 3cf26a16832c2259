/*
 * wreck.c - see wreck.h.
 */
#include "wreck.h"

#include "damage.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfs_sum.h>

/* Times of what repair makes come from the clock; lost+found has one. */
#define CLOCK "*~mtime"

struct wreck {
	struct base b;
	char aside[4200]; /* a directory to look at the copy in */
	char copy[4200];
	struct tree rows;           /* of the damaged volume */
	struct tree shows, history; /* when it was mended */
	bool opens;                 /* the damaged volume does, and repair comes to the same end afterwards */
	uint32_t flags;             /* of the repair */
	char story[1600];
};

struct wreck *wreck_new(void)
{
	struct wreck *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	base_make(&w->b);
	(void)snprintf(w->aside, sizeof(w->aside), "%s/aside", w->b.s.dir);
	(void)snprintf(w->copy, sizeof(w->copy), "%s/copy", w->b.s.path);
	return w;
}

void wreck_free(struct wreck *w)
{
	tree_done(&w->rows);
	tree_done(&w->shows);
	tree_done(&w->history);
	base_done(&w->b);
	free(w);
}

const char *wreck_path(const struct wreck *w)
{
	return w->b.s.path;
}

const char *wreck_story(const struct wreck *w)
{
	return w->story;
}

static bool __attribute__((format(printf, 3, 4))) say(char *why, size_t size, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(why, size, format, args);
	va_end(args);
	return false;
}

/* ---- damaging ------------------------------------------------------------------------------------------------------------- */

static bool is_name(const struct damage *d)
{
	return strncmp(d->id, "name-", 5) == 0 || strncmp(d->id, "dirent-", 7) == 0;
}

/* Repair mends it. Names half of the time: they have two copies, of which a repair may hold neither for a moment. */
static const struct damage *draw(struct lk_test_random *random, bool names, bool dropped)
{
	const struct damage *d;
	do
		d = &damages[lk_test_below(random, damage_count)];
	while (d->kind & (DAMAGE_STAYS | DAMAGE_ALONE) || (d->kind & DAMAGE_DROP && !dropped) ||
	       (names && !is_name(d)));
	return d;
}

/* While one is open the last change stays in the log. */
static sqlite3 *hold_log(const struct wreck *w)
{
	char file[4300];
	sqlite3 *db;
	(void)snprintf(file, sizeof(file), "%s/meta.db", w->b.s.path);
	assert_int_equal(sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "SELECT count(*) FROM super", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

void wreck_make(struct wreck *w, uint64_t seed)
{
	struct lk_test_random random = {seed};
	bool dropped = lk_test_below(&random, 8) == 0, log = lk_test_below(&random, 3) == 0;
	unsigned count = 2 + (unsigned)lk_test_below(&random, 4);
	sqlite3 *holder = NULL;
	w->flags = dropped ? LINKFS_CHECK_DATA | LINKFS_CHECK_DROP_DATA : 0;
	w->story[0] = '\0';
	base_put(&w->b);
	for (unsigned i = 0; i < count; i++) {
		const struct damage *d = draw(&random, i % 2 == 0, dropped);
		size_t n = strlen(w->story);
		if (log && i == count - 1)
			holder = hold_log(w);
		bool made = damage_make(&w->b.s, d);
		(void)snprintf(w->story + n, sizeof(w->story) - n, "#   %s%s%s\n", damage_how(d),
			       made ? "" : ": no more", holder ? " (in the log)" : "");
	}
	/* Closed by nobody: the log is read again from the files as they are. */
	if (holder) {
		struct image files;
		image_take(w->b.s.path, &files);
		assert_int_equal(sqlite3_close(holder), SQLITE_OK);
		image_put(&files, w->b.s.path);
		image_done(&files);
	}
}

void wreck_note_damage(struct wreck *w)
{
	tree_done(&w->rows);
	tree_rows(w->b.s.path, false, &w->rows);
}

/* ---- repairing ------------------------------------------------------------------------------------------------------------ */

bool wreck_repair(struct wreck *w, bool copy, char *why, size_t size)
{
	struct linkfs_check_options options = {.flags = w->flags | LINKFS_CHECK_REPAIR, .backup = w->copy};
	struct linkfs_check_summary sum = {0};
	struct linkfs_message text = {""};
	if (!copy)
		options.flags |= LINKFS_CHECK_NO_BACKUP;
	int r = linkfs_check(w->b.s.path, &options, &sum, &text);
	if (r)
		return say(why, size, "# the repair: %s: %s\n", linkfs_error_name(r), text.text);
	if (sum.left)
		return say(why, size, "# the repair leaves %llu problems\n", (unsigned long long)sum.left);
	return true;
}

static int open_and_close(const struct wreck *w, uint32_t flags, struct linkfs_message *why)
{
	struct linkfs_open_options options = {.flags = flags | LINKFS_OPEN_NOATIME};
	struct linkfs_volume *v = NULL;
	int r = linkfs_volume_open(w->b.s.path, &options, &v, why);
	return r ? r : linkfs_volume_close(v);
}

void wreck_note_end(struct wreck *w)
{
	static struct found found;
	tree_done(&w->shows);
	tree_done(&w->history);
	sample_check(&w->b.s, LINKFS_CHECK_DATA, &found);
	if (found.sum.problems)
		fail_msg("%safter an undisturbed repair a check finds:%s", w->story, found_all(&found));
	/* What is shown first: the opener finishes what an intent of the repair leaves to it, and that is history too. */
	tree_open(w->b.s.path, 0, &w->shows);
	tree_rows(w->b.s.path, true, &w->history);
}

void wreck_note_use(struct wreck *w)
{
	char why[4096];
	w->opens = open_and_close(w, 0, NULL) == 0 && wreck_repair(w, false, why, sizeof(why)) &&
		   wreck_is_mended(w, why, sizeof(why));
}

/* ---- judging -------------------------------------------------------------------------------------------------------------- */

/* The copy of the metadata, put in a directory of its own, has the rows of the damaged volume. */
static bool copy_is_whole(struct wreck *w, char *why, size_t size)
{
	char to[4300], text[3000];
	struct tree rows;
	(void)mkdir(w->aside, 0700);
	(void)snprintf(to, sizeof(to), "%s/meta.db", w->aside);
	assert_int_equal(rename(w->copy, to), 0);
	tree_rows(w->aside, false, &rows);
	size_t n = tree_differ(&w->rows, &rows, NULL, text, sizeof(text));
	tree_done(&rows);
	assert_int_equal(unlink(to), 0);
	return n ? say(why, size, "# the copy of the metadata is not the state before the repair:%s\n", text) : true;
}

static bool is_unchanged(const struct wreck *w)
{
	char text[3000];
	struct tree rows;
	tree_rows(w->b.s.path, false, &rows);
	size_t n = tree_differ(&w->rows, &rows, NULL, text, sizeof(text));
	tree_done(&rows);
	return n == 0;
}

bool wreck_is_safe(struct wreck *w, unsigned flags, char *why, size_t size)
{
	struct linkfs_message text = {""};
	if (flags & WRECK_COPY && access(w->copy, F_OK) == 0) {
		if (!copy_is_whole(w, why, size))
			return false;
	} else if (flags & WRECK_COPY && !is_unchanged(w)) {
		return say(why, size, "# rows have changed, and there is no copy of the metadata\n");
	}
	if (flags & WRECK_USE && w->opens) {
		int r = open_and_close(w, 0, &text);
		if (r)
			return say(why, size, "# does not open: %s: %s\n", linkfs_error_name(r), text.text);
	}
	return true;
}

bool wreck_is_mended(struct wreck *w, char *why, size_t size)
{
	static struct found found;
	struct tree now;
	char text[3000];
	sample_check(&w->b.s, LINKFS_CHECK_DATA, &found);
	if (found.sum.problems)
		return say(why, size, "# after it was repaired again, a check finds:%s\n", found_all(&found));
	tree_open(w->b.s.path, 0, &now);
	size_t n = tree_differ(&w->shows, &now, CLOCK, text, sizeof(text));
	tree_done(&now);
	if (n)
		return say(why, size, "# repaired again, it ends elsewhere than undisturbed:%s\n", text);
	tree_rows(w->b.s.path, true, &now);
	n = tree_differ(&w->history, &now, NULL, text, sizeof(text));
	tree_done(&now);
	return n ? say(why, size, "# repaired again, its history is another one:%s\n", text) : true;
}
