/*
 * compare.c - see tree.h: recoveries, their reports, and how a recovered tree differs from what was.
 */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void note(void *arg, const struct linkfs_recover_problem *problem)
{
	struct report *r = arg;
	if (r->len == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 64;
		r->p = realloc(r->p, r->cap * sizeof(*r->p));
		assert_non_null(r->p);
	}
	assert_int_equal(strlen(problem->path), problem->path_len);
	r->p[r->len].what = problem->what;
	r->p[r->len].ino = problem->ino;
	r->p[r->len].offset = problem->offset;
	r->p[r->len].length = problem->length;
	r->p[r->len].count = problem->count;
	r->p[r->len++].path = strdup(problem->path);
}

int recover(const char *path, const char *new_path, struct report *out)
{
	*out = (struct report){0};
	struct linkfs_recover_options options = {
		.flags = new_path ? 0 : LINKFS_RECOVER_LIST, .problem = note, .arg = out};
	return linkfs_recover(path, new_path, &options, &out->result, &out->why);
}

void report_done(struct report *r)
{
	for (size_t i = 0; i < r->len; i++)
		free(r->p[i].path);
	free(r->p);
	*r = (struct report){0};
}

bool report_has(const struct report *r, enum linkfs_recover_what what, uint64_t ino)
{
	for (size_t i = 0; i < r->len; i++) {
		if ((!what || r->p[i].what == what) && r->p[i].ino == ino)
			return true;
	}
	return false;
}

static bool same_attributes(const struct entry *a, const struct entry *b)
{
	const struct linkfs_stat *x = &a->st, *y = &b->st;
	return x->mode == y->mode && x->uid == y->uid && x->gid == y->gid && x->size == y->size &&
	       x->nlink == y->nlink && x->rdev_major == y->rdev_major && x->rdev_minor == y->rdev_minor &&
	       x->mtime_ns == y->mtime_ns && x->ctime_ns == y->ctime_ns && x->btime_ns == y->btime_ns &&
	       x->atime_ns == y->atime_ns && a->xattrs == b->xattrs && strcmp(a->first, b->first) == 0;
}

static const char *describe(const struct entry *a, const struct entry *b, char *buf, size_t size)
{
	(void)snprintf(buf, size,
		       "%.80s: mode %o/%o uid %u/%u gid %u/%u size %llu/%llu nlink %u/%u content %d xattrs %d "
		       "times %d%d%d%d first %.60s/%.60s",
		       a->path, a->st.mode, b->st.mode, a->st.uid, b->st.uid, a->st.gid, b->st.gid,
		       (unsigned long long)a->st.size, (unsigned long long)b->st.size, a->st.nlink, b->st.nlink,
		       a->content == b->content, a->xattrs == b->xattrs, a->st.atime_ns == b->st.atime_ns,
		       a->st.mtime_ns == b->st.mtime_ns, a->st.ctime_ns == b->st.ctime_ns,
		       a->st.btime_ns == b->st.btime_ns, a->first, b->first);
	return buf;
}

/* Holes are the same but for what was allocated and not written. */
void tree_same(const struct tree *was, const struct tree *is)
{
	char text[1024];
	for (size_t i = 0; i < was->len && i < is->len; i++) {
		const struct entry *a = &was->p[i], *b = &is->p[i];
		if (strcmp(a->path, b->path) != 0)
			fail_msg("names differ: %.100s and %.100s", a->path, b->path);
		if (!same_attributes(a, b) || a->content != b->content)
			fail_msg("%s", describe(a, b, text, sizeof(text)));
		if (a->holes != b->holes)
			fail_msg("%.100s: %llu bytes of holes became %llu", a->path, (unsigned long long)a->holes,
				 (unsigned long long)b->holes);
	}
	assert_int_equal(was->len, is->len);
}

/* What lies at path, or where it is when a directory above lost its place. */
static const struct entry *look(const struct tree *was, const struct tree *is, const char *path)
{
	const struct entry *b = tree_find(is, path);
	for (size_t len = strlen(path); len > 0 && !b; len--) {
		char *above = NULL, *moved = NULL;
		if (path[len] != '/' && path[len])
			continue;
		above = strndup(path, len);
		const struct entry *dir = tree_find(was, above);
		if (dir && asprintf(&moved, "/lost+found/#%llu%s", (unsigned long long)dir->st.ino, path + len) > 0)
			b = tree_find(is, moved);
		free(above);
		free(moved);
	}
	return b;
}

/* The same file: at its path, or at the path of another name of it, or in lost+found. */
static const struct entry *counterpart(const struct tree *was, const struct tree *is, const struct entry *a)
{
	const struct entry *b = tree_find(is, a->path);
	if (b && (b->st.mode & S_IFMT) == (a->st.mode & S_IFMT))
		return b;
	for (size_t i = 0; i < was->len; i++) {
		b = was->p[i].st.ino == a->st.ino ? look(was, is, was->p[i].path) : NULL;
		if (b)
			return b;
	}
	return NULL;
}

static bool in_lost_found(const char *path)
{
	return strncmp(path, "/lost+found", 11) == 0;
}

/* Whether the report accounts for a file that is not as it was: by its number, or because all of its names lie below a directory
 * that lost its place. */
static bool reported(const struct tree *was, const struct report *report, const struct entry *a)
{
	if (report_has(report, 0, a->st.ino))
		return true;
	for (size_t len = strlen(a->path); len > 0; len--) {
		if (a->path[len] != '/')
			continue;
		char *above = strndup(a->path, len);
		const struct entry *dir = above ? tree_find(was, above) : NULL;
		free(above);
		if (dir && dir->st.ino != LINKFS_ROOT_INO &&
		    (report_has(report, LINKFS_RECOVER_PLACE_LOST, dir->st.ino) ||
		     report_has(report, LINKFS_RECOVER_DOUBTFUL, dir->st.ino)))
			return true;
	}
	return false;
}

static bool seen_before(const struct tree *was, size_t i)
{
	return was->p[i].first != was->p[i].path;
}

void tree_compare(const struct tree *was, const struct tree *is, const struct report *report, struct difference *out)
{
	uint64_t nowhere = 0;
	*out = (struct difference){0};
	for (size_t i = 0; i < was->len; i++) {
		const struct entry *a = &was->p[i], *b = counterpart(was, is, a);
		if (seen_before(was, i))
			continue;
		/* What lost+found does to the root is no loss. */
		bool root = a->st.ino == LINKFS_ROOT_INO;
		bool whole = b && a->content == b->content && strcmp(a->path, b->path) == 0;
		struct entry like = b ? *b : (struct entry){0};
		if (b && (a->st.mode & S_IFMT) == S_IFDIR)
			like.st.nlink = a->st.nlink;
		if (whole && (same_attributes(a, &like) || (root && tree_find(is, "/lost+found"))))
			continue;
		out->files++;
		out->missing += !b;
		out->content += !b || a->content != b->content;
		bool told = reported(was, report, a);
		nowhere += !b && !told;
		if (b && !told) {
			char text[1024];
			out->silent++;
			printf("# not reported: %s\n", describe(a, b, text, sizeof(text)));
		}
	}
	/* Files of which nothing is left are at least counted. */
	if (nowhere > report->result.untraced)
		out->silent += (unsigned)(nowhere - report->result.untraced);
	for (size_t i = 0; i < is->len; i++) {
		if (!tree_find(was, is->p[i].path) && !in_lost_found(is->p[i].path))
			out->extra++;
	}
}
