/*
 * disturbed.c - see disturbed.h.
 */
#include "disturbed.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static struct found found;

void disturbed_make(struct disturbed *d)
{
	*d = (struct disturbed){.story = ""};
	base_make(&d->b);
	(void)snprintf(d->other, sizeof(d->other), "%s/other", d->b.s.dir);
}

void disturbed_done(struct disturbed *d)
{
	image_done(&d->damaged);
	tree_done(&d->rows);
	tree_done(&d->mended);
	tree_done(&d->history);
	base_done(&d->b);
}

const struct damage *disturbed_draw(struct lk_test_random *random)
{
	const struct damage *d;
	do
		d = &damages[lk_test_below(random, damage_count)];
	while (d->kind & (DAMAGE_STAYS | DAMAGE_DROP | DAMAGE_ALONE));
	return d;
}

void disturbed_damage(struct disturbed *d, const struct damage *const *damages_made, unsigned count)
{
	image_done(&d->damaged);
	tree_done(&d->rows);
	base_put(&d->b);
	d->story[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		size_t n = strlen(d->story);
		(void)snprintf(d->story + n, sizeof(d->story) - n, "%s%s", i ? " + " : "", damage_how(damages_made[i]));
		(void)damage_make(&d->b.s, damages_made[i]);
	}
	image_take(d->b.s.path, &d->damaged);
	tree_rows(d->b.s.path, false, &d->rows);
	image_put(&d->damaged, d->b.s.path);
}

void disturbed_note(struct disturbed *d)
{
	tree_done(&d->mended);
	tree_done(&d->history);
	tree_open(d->b.s.path, 0, &d->mended);
	tree_rows(d->b.s.path, true, &d->history);
}

/* A copy that has its name is complete, and the state before the first change. */
static void copies_are_whole(const struct disturbed *d, const char *when)
{
	DIR *dir = opendir(d->b.s.path);
	struct dirent *e;
	assert_non_null(dir);
	while ((e = readdir(dir))) {
		char from[4600], to[4600], text[4096];
		struct tree rows;
		if (strncmp(e->d_name, "meta.db.repair-", 15) != 0 || !strchr(e->d_name, 'Z') ||
		    strstr(e->d_name, ".part") || strstr(e->d_name, "-journal"))
			continue;
		image_put(&d->damaged, d->other);
		(void)snprintf(from, sizeof(from), "%s/%s", d->b.s.path, e->d_name);
		(void)snprintf(to, sizeof(to), "%s/meta.db", d->other);
		assert_int_equal(rename(from, to), 0);
		tree_rows(d->other, false, &rows);
		size_t n = tree_differ(&d->rows, &rows, NULL, text, sizeof(text));
		if (n)
			fail_msg("%s: %s: the copy %s is not the state before:%s", d->story, when, e->d_name, text);
		tree_done(&rows);
	}
	(void)closedir(dir);
}

/* Run again, it comes to the same end. */
void disturbed_goes_on(const struct disturbed *d, const char *when)
{
	struct tree now;
	char text[4096];
	copies_are_whole(d, when);
	sample_check(&d->b.s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &found);
	if (found.sum.left)
		fail_msg("%s: %s: run again, it leaves:%s", d->story, when, found_all(&found));
	sample_check(&d->b.s, LINKFS_CHECK_DATA, &found);
	if (found.sum.problems)
		fail_msg("%s: %s: after it was run again, a check finds:%s", d->story, when, found_all(&found));
	tree_open(d->b.s.path, 0, &now);
	size_t n = tree_differ(&d->mended, &now, "*~mtime", text, sizeof(text));
	if (n)
		fail_msg("%s: %s: run again, it ends elsewhere:%s", d->story, when, text);
	tree_done(&now);
	tree_rows(d->b.s.path, true, &now);
	n = tree_differ(&d->history, &now, NULL, text, sizeof(text));
	if (n)
		fail_msg("%s: %s: run again, its history is another one:%s", d->story, when, text);
	tree_done(&now);
}
