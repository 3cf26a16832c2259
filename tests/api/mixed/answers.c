/*
 * answers.c - what the indexes answer of a file against a full scan of what was seen (world.h).
 */
#include "world.h"

#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct list {
	char *p[PATHS_MAX];
	size_t count;
};
static struct list got, want;

static void add(struct list *l, const char *text)
{
	assert_true(l->count < PATHS_MAX);
	l->p[l->count++] = strdup(text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void same(const char *what, const struct seen *of)
{
	bool equal = got.count == want.count;
	qsort(got.p, got.count, sizeof(got.p[0]), by_text);
	qsort(want.p, want.count, sizeof(want.p[0]), by_text);
	for (size_t i = 0; equal && i < got.count; i++)
		equal = strcmp(got.p[i], want.p[i]) == 0;
	if (!equal) {
		for (size_t i = 0; i < got.count; i++)
			print_message("# got  %s\n", got.p[i]);
		for (size_t i = 0; i < want.count; i++)
			print_message("# want %s\n", want.p[i]);
		fail_msg("seed %llu, step %lu: %s of %s (inode %llu) are not what a full scan finds",
			 (unsigned long long)lk_test_seed(), step, what, of->path, (unsigned long long)of->st.ino);
	}
	for (size_t i = 0; i < got.count; i++)
		free(got.p[i]);
	for (size_t i = 0; i < want.count; i++)
		free(want.p[i]);
	got.count = want.count = 0;
}

static int on_name(void *arg, const struct linkfs_name *n)
{
	(void)arg;
	add(&got, n->path);
	return 0;
}

void same_names(const struct seen *s)
{
	OK(linkfs_node_names(v, NULL, s->st.ino, on_name, NULL, NULL));
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].st.ino == s->st.ino)
			add(&want, seen[i].path);
	same("names", s);
}

static int on_referrer(void *arg, const struct linkfs_referrer *r)
{
	(void)arg;
	add(&got, r->link.path);
	return 0;
}

void same_referrers(uint64_t at, const struct seen *s)
{
	struct linkfs_links_options options = {0};
	OK(linkfs_node_referrers(v, NULL, s->st.ino, &options, on_referrer, NULL));
	for (size_t i = 0; i < seen_count; i++) {
		struct linkfs_stat end;
		if (S_ISLNK(seen[i].st.mode) && linkfs_path_stat(v, NULL, at, seen[i].path, 0, &end) == 0 &&
		    end.ino == s->st.ino)
			add(&want, seen[i].path);
	}
	same("referrers", s);
}
