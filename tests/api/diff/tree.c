/*
 * tree.c - reads a tree with all that linkfs_diff() compares (tree.h).
 */
#include "tree.h"

#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INO(id) ((id) & ((UINT64_C(1) << 48) - 1))

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static uint64_t digest(uint64_t at, const char *path)
{
	struct linkfs_file *file;
	uint64_t sum = 1469598103934665603u, offset = 0;
	static unsigned char buf[65536];
	size_t n = 1;
	OK(linkfs_file_open(v, NULL, at, path, LINKFS_O_READ | LINKFS_O_NOFOLLOW, 0, &file));
	for (; n; offset += n) {
		OK(linkfs_file_read(file, offset, buf, sizeof(buf), &n));
		for (size_t i = 0; i < n; i++)
			sum = (sum ^ buf[i]) * 1099511628211u;
	}
	linkfs_file_close(file);
	return sum;
}

static char *attributes(uint64_t ino)
{
	char names[4096], value[4096], *text = NULL;
	size_t len, size = 0;
	FILE *out = open_memstream(&text, &size);
	OK(linkfs_node_listxattr(v, NULL, ino, names, sizeof(names), &len));
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		size_t n;
		OK(linkfs_node_getxattr(v, NULL, ino, names + at, value, sizeof(value), &n));
		fprintf(out, "%s=%zu:", names + at, n);
		fwrite(value, 1, n, out);
	}
	fclose(out);
	return text;
}

static void read_entry(struct entry *e, uint64_t at)
{
	char text[LINKFS_PATH_MAX];
	size_t len = 0;
	e->ino = INO(e->st.ino);
	e->xattrs = attributes(e->st.ino);
	if (S_ISREG(e->st.mode))
		e->content = digest(at, e->path);
	if (S_ISLNK(e->st.mode)) {
		OK(linkfs_path_readlink(v, NULL, at, e->path, text, sizeof(text), &len));
		e->text = strndup(text, len);
		e->tracked = e->st.flags & LINKFS_INO_TRACKED;
		if (e->tracked && linkfs_node_tracks(v, NULL, e->st.ino, NULL, NULL, &e->tracks) == 0)
			e->tracks = INO(e->tracks);
	}
}

static const char *name_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

bool same_key(const struct entry *a, const struct entry *b)
{
	return a->dir == b->dir && strcmp(name_of(a->path), name_of(b->path)) == 0;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	int r = strcmp(name_of(x->path), name_of(y->path));
	return r ? r : strcmp(x->path, y->path);
}

void tree_read(struct tree *t, uint64_t at)
{
	look_at(at);
	*t = (struct tree){calloc(seen_count + 1, sizeof(struct entry)), seen_count + 1};
	t->e[0].path = strdup("/");
	OK(linkfs_node_getattr(v, at, &t->e[0].st));
	for (size_t i = 0; i < seen_count; i++)
		t->e[i + 1] = (struct entry){.path = strdup(seen[i].path), .st = seen[i].st};
	for (size_t i = 0; i < t->count; i++)
		read_entry(&t->e[i], at);
	for (size_t i = 1; i < t->count; i++) {
		char *dir = strdup(t->e[i].path);
		*strrchr(dir, '/') = 0;
		const struct entry *up = tree_find(t, *dir ? dir : "/");
		t->e[i].dir = up ? up->ino : 0;
		free(dir);
	}
	/* Of the paths of a key one is told. */
	struct entry **all = calloc(t->count, sizeof(struct entry *));
	for (size_t i = 0; i < t->count; i++)
		all[i] = &t->e[i];
	qsort(all, t->count, sizeof(struct entry *), by_key);
	for (size_t i = 0; i < t->count; i++)
		all[i]->first = i == 0 || !same_key(all[i - 1], all[i]);
	free(all);
}

void tree_free(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->e[i].path);
		free(t->e[i].text);
		free(t->e[i].xattrs);
	}
	free(t->e);
	*t = (struct tree){0};
}

const struct entry *tree_find(const struct tree *t, const char *path)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = strcmp(t->e[middle].path, path);
		if (r == 0)
			return &t->e[middle];
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
