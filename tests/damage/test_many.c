/*
 * test_many.c - several damages at once, drawn from the table: one repair mends them all, the second run is clean, the volume opens, and no file
 * that none of them touched has lost a byte, wherever its name is now.
 */
#include "damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lk_test_random rng;

static bool is_mended(const struct damage *d)
{
	return !(d->kind & (DAMAGE_STAYS | DAMAGE_DROP | DAMAGE_ALONE));
}

static const struct damage *draw(void)
{
	const struct damage *d;
	do
		d = &damages[lk_test_below(&rng, damage_count)];
	while (!is_mended(d));
	return d;
}

/* The path under which the tree has the inode, or NULL. */
static const char *path_of(const struct tree *t, const char *ino, char *path, size_t size)
{
	for (size_t i = 0; i < t->count; i++) {
		const char *key = t->lines[i].key, *space = strrchr(key, ' ');
		if (strcmp(space, " ino") == 0 && strcmp(t->lines[i].value, ino) == 0) {
			(void)snprintf(path, size, "%.*s", (int)(space - key), key);
			return path;
		}
	}
	return NULL;
}

/* Every byte, text and attribute of every file that was not lost is there, under whatever name. */
static void content_is_there(const struct base *b, const struct tree *now, const char *loses, const char *story)
{
	char path[300], key[400];
	for (size_t i = 0; i < b->tree.count; i++) {
		const struct tree_line *l = &b->tree.lines[i];
		const char *field = strrchr(l->key, ' ');
		if (strncmp(field, " data:", 6) != 0 && strcmp(field, " text") != 0 &&
		    strncmp(field, " xattr:", 7) != 0)
			continue;
		(void)snprintf(key, sizeof(key), "%.*s ino", (int)(field - l->key), l->key);
		const char *ino = tree_value(&b->tree, key);
		(void)snprintf(key, sizeof(key), "%s%s", ino, field);
		if (tree_matches(loses, key))
			continue;
		if (!path_of(now, ino, path, sizeof(path)))
			fail_msg("%s: inode %s is gone", story, ino);
		(void)snprintf(key, sizeof(key), "%s%s", path, field);
		const char *value = tree_value(now, key);
		if (!value || strcmp(value, l->value) != 0)
			fail_msg("%s: inode %s, now %s: %s was %s", story, ino, key, value ? value : "absent",
				 l->value);
	}
}

static void one_round(const struct base *b, unsigned count)
{
	static struct found f, again;
	char story[1200] = "", loses[400] = "";
	struct tree now;
	unsigned made = 0;
	base_put(b);
	for (unsigned i = 0; i < count; i++) {
		const struct damage *d = draw();
		size_t n = strlen(story), m = strlen(loses);
		(void)snprintf(story + n, sizeof(story) - n, "%s%s", i ? " + " : "", damage_how(d));
		(void)snprintf(loses + m, sizeof(loses) - m, " %s", d->loses ? d->loses : "");
		if (damage_make(&b->s, d))
			made++;
	}
	assert_true(made);
	sample_check(&b->s, LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &f);
	if (f.sum.left)
		fail_msg("%s: %llu are left:%s", story, (unsigned long long)f.sum.left, found_all(&f));
	sample_check(&b->s, LINKFS_CHECK_DATA, &again);
	if (again.sum.problems)
		fail_msg("%s: the second run finds:%s\nthe first:%s", story, found_all(&again), found_all(&f));
	tree_open(b->s.path, 0, &now);
	for (size_t i = 0; i < now.count; i++) {
		if (now.lines[i].value[0] == '!')
			fail_msg("%s: %s is %s", story, now.lines[i].key, now.lines[i].value);
	}
	content_is_there(b, &now, loses, story);
	tree_done(&now);
	sample_check(&b->s, LINKFS_CHECK_DATA, &again);
	if (again.sum.problems)
		fail_msg("%s: when it was opened, a check finds:%s", story, found_all(&again));
}

static void damages_together_are_mended_in_one_run(void **state)
{
	unsigned rounds = lk_test_long() ? 20000 : 200;
	const char *one = getenv("LINKFS_ROUND");
	uint64_t seed = lk_test_seed();
	struct base b;
	(void)state;
	base_make(&b);
	for (unsigned round = one ? (unsigned)atoi(one) : 0; round < (one ? (unsigned)atoi(one) + 1 : rounds);
	     round++) {
		rng.state = seed * 1000000 + round;
		if (one)
			print_message("# round %u\n", round);
		one_round(&b, 2 + round % 2);
	}
	print_message("# %u volumes with two or three damages\n", rounds);
	base_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damages_together_are_mended_in_one_run),
	};
	return cmocka_run_group_tests_name("damage-many", tests, NULL, NULL);
}
