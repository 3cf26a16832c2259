/*
 * judge.c - whether an answer of linkfs_diff() is what differs between two trees (tree.h). The rules are those of linkfs_diff.h, applied to whole
 * trees: a key is a name in a directory's inode, and has one file in each tree at most. A key whose file is the same in both is modified or
 * not; every other key of either tree is told exactly once.
 */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- asking ----------------------------------------------------------------------------------------------------- */

static int take(void *arg, const struct linkfs_diff_change *c)
{
	struct answer *a = arg;
	assert_int_equal(strlen(c->path), c->path_len);
	assert_true(!c->old_path || strlen(c->old_path) == c->old_path_len);
	if (a->count == a->cap) {
		a->cap = a->cap ? a->cap * 2 : 64;
		a->told = reallocarray(a->told, a->cap, sizeof(*a->told));
		assert_non_null(a->told);
	}
	struct told *t = &a->told[a->count++];
	t->c = *c;
	t->c.path = strdup(c->path);
	t->c.old_path = c->old_path ? strdup(c->old_path) : NULL;
	return 0;
}

void answer_ask(struct answer *a, uint64_t from, uint64_t to)
{
	struct linkfs_diff ask = {.from = from, .to = to};
	*a = (struct answer){0};
	OK(linkfs_diff(v, NULL, &ask, take, a, &a->done));
}

void answer_free(struct answer *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free((char *)(uintptr_t)a->told[i].c.path);
		free((char *)(uintptr_t)a->told[i].c.old_path);
	}
	free(a->told);
	*a = (struct answer){0};
}

static void say(const struct linkfs_diff_change *c, char out[10000])
{
	static const char letters[] = "?ADMTR";
	(void)snprintf(out, 10000, "%c %#x %s%s%s ino %llu %llu", letters[c->kind], c->what,
		       c->old_path ? c->old_path : "", c->old_path ? " -> " : "", c->path,
		       (unsigned long long)c->before.ino, (unsigned long long)c->after.ino);
}

void answer_print(const struct answer *a)
{
	char text[10000];
	for (size_t i = 0; i < a->count; i++) {
		say(&a->told[i].c, text);
		print_message("#  %s\n", text);
	}
}

/* ---- judging ---------------------------------------------------------------------------------------------------- */

struct judge {
	const struct answer *a;
	const struct tree *tree[2]; /* from, to */
	unsigned char *claimed[2];  /* by entry: the key is told of */
};

static void wrong(const struct judge *j, const char *path, const char *why)
{
	answer_print(j->a);
	fail_msg("seed %llu, step %lu: %s: %s", (unsigned long long)lk_test_seed(), step, path, why);
}

/* The entry that is told of a key in a tree. */
static const struct entry *find_key(const struct tree *t, const struct entry *like)
{
	for (size_t i = 1; i < t->count; i++)
		if (t->e[i].first && same_key(&t->e[i], like))
			return &t->e[i];
	return NULL;
}

static const struct entry *find_ino(const struct tree *t, uint64_t ino)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->e[i].ino == ino)
			return &t->e[i];
	return NULL;
}

#define EITHER UINT32_C(0x80000000) /* FOLLOWS cannot be told */

static uint32_t compare(const struct entry *a, const struct entry *b)
{
	const struct linkfs_stat *x = &a->st, *y = &b->st;
	uint32_t what = 0;
	if ((x->mode ^ y->mode) & 07777)
		what |= LINKFS_DIFF_MODE;
	if (x->uid != y->uid || x->gid != y->gid)
		what |= LINKFS_DIFF_OWNER;
	if (x->mtime_ns != y->mtime_ns && !S_ISDIR(x->mode))
		what |= LINKFS_DIFF_TIME;
	if (x->rdev_major != y->rdev_major || x->rdev_minor != y->rdev_minor)
		what |= LINKFS_DIFF_DEVICE;
	if ((x->flags ^ y->flags) & LINKFS_INO_KEEP_LINKS)
		what |= LINKFS_DIFF_FLAGS;
	if (strcmp(a->xattrs, b->xattrs) != 0)
		what |= LINKFS_DIFF_XATTRS;
	if (S_ISREG(x->mode) && (x->size != y->size || a->content != b->content))
		what |= LINKFS_DIFF_CONTENT;
	if (S_ISLNK(x->mode) && !a->tracked && !b->tracked && strcmp(a->text, b->text) != 0)
		what |= LINKFS_DIFF_CONTENT;
	if (a->tracked != b->tracked || (a->tracks && b->tracks && a->tracks != b->tracks))
		what |= LINKFS_DIFF_FOLLOWS;
	else if (a->tracked && (!a->tracks || !b->tracks))
		what |= EITHER;
	return what;
}

static bool fits(uint32_t told, uint32_t want)
{
	if (want & EITHER)
		return (told | LINKFS_DIFF_FOLLOWS) == ((want & ~EITHER) | LINKFS_DIFF_FOLLOWS);
	return told == want;
}

static void claim(struct judge *j, int side, const struct entry *e, const struct linkfs_diff_change *c)
{
	size_t i = (size_t)(e - j->tree[side]->e);
	if (!e->first)
		wrong(j, c->path, "is not the first path of its name");
	if (j->claimed[side][i]++)
		wrong(j, c->path, "is told twice");
}

static void check_stat(const struct judge *j, const struct linkfs_diff_change *c, const struct linkfs_stat *told,
		       const struct entry *e)
{
	if (!e) {
		if (told->ino || told->nlink)
			wrong(j, c->path, "has attributes where there is no file");
		return;
	}
	if (told->ino != e->ino || told->nlink != e->st.nlink || (told->size != e->st.size && !e->tracked) ||
	    told->mode != e->st.mode || told->mtime_ns != e->st.mtime_ns || told->uid != e->st.uid)
		wrong(j, c->path, "has other attributes than its file");
}

static const struct entry *must_find(const struct judge *j, int side, const char *path)
{
	const struct entry *e = tree_find(j->tree[side], path);
	if (!e) {
		wrong(j, path,
		      side ? "is told, and is not in the second tree" : "is told, and is not in the first tree");
		abort();
	}
	return e;
}

static void check_alone(struct judge *j, const struct linkfs_diff_change *c, int side)
{
	const struct entry *e = must_find(j, side, c->path), *other = find_ino(j->tree[!side], e->ino);
	claim(j, side, e, c);
	if (c->what != (other ? LINKFS_DIFF_LINKS : 0))
		wrong(j, c->path, "has the wrong bits");
	check_stat(j, c, side ? &c->after : &c->before, e);
	check_stat(j, c, side ? &c->before : &c->after, other);
}

/* Its key is not that file's in the other tree. */
static bool is_alone(const struct judge *j, int side, const struct entry *e)
{
	const struct entry *other = find_key(j->tree[!side], e);
	return e->first && (!other || other->ino != e->ino);
}

/* The file has its path still, by a name in another directory, which took the place of the one where it was: so it was not renamed. Where
 * it is in the second tree; NULL if that is not so, or other names of the file were taken for the one that became the other. */
static const struct entry *same_place(const struct judge *j, const struct entry *from)
{
	const struct entry *to = tree_find(j->tree[1], from->path);
	if (!to || to->ino != from->ino || !is_alone(j, 0, from) || !is_alone(j, 1, to))
		return NULL;
	for (size_t i = 0; i < j->a->count; i++) {
		const struct linkfs_diff_change *c = &j->a->told[i].c;
		bool renamed = c->kind == LINKFS_DIFF_RENAMED && c->before.ino == from->ino;
		if (renamed && strcmp(c->old_path, c->path) == 0)
			wrong(j, c->path, "is renamed to the path that it had");
		if (renamed && (strcmp(c->old_path, from->path) == 0 || strcmp(c->path, from->path) == 0))
			return NULL;
	}
	return to;
}

/* One name, two files. */
static void check_other(struct judge *j, const struct linkfs_diff_change *c)
{
	const struct entry *to = must_find(j, 1, c->path), *from = find_key(j->tree[0], to);
	if (!from || from->ino == to->ino || j->claimed[0][from - j->tree[0]->e])
		from = must_find(j, 0, c->path);
	claim(j, 0, from, c);
	claim(j, 1, to, c);
	bool types = (from->st.mode & S_IFMT) != (to->st.mode & S_IFMT);
	if (from->ino == to->ino || types != (c->kind == LINKFS_DIFF_TYPE))
		wrong(j, c->path, "is not two files of one type, or of two");
	if (!types && !fits(c->what, compare(from, to) | LINKFS_DIFF_FILE))
		wrong(j, c->path, "is another file, with the wrong bits");
	check_stat(j, c, &c->before, from);
	check_stat(j, c, &c->after, to);
}

static void check_same(struct judge *j, const struct linkfs_diff_change *c)
{
	const struct entry *to = must_find(j, 1, c->path),
			   *from = strcmp(c->path, "/") == 0 ? &j->tree[0]->e[0] : find_key(j->tree[0], to);
	if (!from || from->ino != to->ino) {
		from = must_find(j, 0, c->path);
		from = same_place(j, from) ? from : NULL;
	}
	if (!from || from->ino != to->ino || !to->first)
		wrong(j, c->path, "is modified, and no name of one file");
	if (c->what == 0 || !fits(c->what, compare(from, to)))
		wrong(j, c->path, "is modified, with the wrong bits");
	check_stat(j, c, &c->before, from);
	check_stat(j, c, &c->after, to);
}

static void check_renamed(struct judge *j, const struct linkfs_diff_change *c)
{
	const struct entry *to = must_find(j, 1, c->path), *from = must_find(j, 0, c->old_path);
	const struct entry *stays = find_key(j->tree[1], from), *was = find_key(j->tree[0], to);
	claim(j, 0, from, c);
	claim(j, 1, to, c);
	if (from->ino != to->ino || (stays && stays->ino == to->ino) || (was && was->ino == to->ino))
		wrong(j, c->path, "was not renamed");
	if (!fits(c->what, compare(from, to)))
		wrong(j, c->path, "is renamed, with the wrong bits");
	check_stat(j, c, &c->before, from);
	check_stat(j, c, &c->after, to);
}

/* Names that one tree has of the file and the other not; by directory if dir is not 0. */
static size_t count_alone(const struct judge *j, int side, uint64_t ino, uint64_t dir)
{
	size_t n = 0;
	for (size_t i = 1; i < j->tree[side]->count; i++) {
		const struct entry *e = &j->tree[side]->e[i];
		if (!e->first || e->ino != ino || (dir && e->dir != dir))
			continue;
		const struct entry *other = find_key(j->tree[!side], e);
		n += !other || other->ino != ino;
	}
	return n;
}

/* As many as can be are renamed, within a directory first. */
static void check_pairs(const struct judge *j, const struct linkfs_diff_change *c)
{
	uint64_t ino = c->before.ino;
	size_t pairs = 0, within = 0, want = 0, gone = count_alone(j, 0, ino, 0), came = count_alone(j, 1, ino, 0);
	for (size_t i = 0; i < j->a->count; i++) {
		const struct linkfs_diff_change *o = &j->a->told[i].c;
		if (o->kind != LINKFS_DIFF_RENAMED || o->before.ino != ino)
			continue;
		pairs++;
		within += must_find(j, 0, o->old_path)->dir == must_find(j, 1, o->path)->dir;
	}
	for (size_t i = 1; i < j->tree[0]->count; i++)
		pairs += j->tree[0]->e[i].ino == ino && same_place(j, &j->tree[0]->e[i]);
	if (pairs != (gone < came ? gone : came))
		wrong(j, c->path, "is of a file with other renames than could be");
	if (gone == 1 && came == 1)
		return;
	/* Of each directory once. */
	for (size_t i = 1; i < j->tree[0]->count; i++) {
		const struct entry *e = &j->tree[0]->e[i];
		bool seen_dir = !e->first || e->ino != ino;
		for (size_t k = 1; k < i && !seen_dir; k++)
			seen_dir =
				j->tree[0]->e[k].first && j->tree[0]->e[k].ino == ino && j->tree[0]->e[k].dir == e->dir;
		if (seen_dir)
			continue;
		size_t x = count_alone(j, 0, ino, e->dir), y = count_alone(j, 1, ino, e->dir);
		want += x < y ? x : y;
	}
	if (within != want)
		wrong(j, c->path, "is of a file with other renames within a directory than could be");
}

static bool is_modified(const struct judge *j, const struct entry *e)
{
	for (size_t k = 0; k < j->a->count; k++) {
		const struct linkfs_diff_change *c = &j->a->told[k].c;
		if (c->kind == LINKFS_DIFF_MODIFIED && strcmp(c->path, e->path) == 0 && !(c->what & LINKFS_DIFF_FILE))
			return true;
	}
	return false;
}

/* Names that are others and lead to their files by the same paths are no change. */
static void check_places(struct judge *j)
{
	for (size_t i = 1; i < j->tree[0]->count; i++) {
		const struct entry *from = &j->tree[0]->e[i], *to = same_place(j, from);
		if (!to)
			continue;
		j->claimed[0][i]++;
		j->claimed[1][to - j->tree[1]->e]++;
		if ((compare(from, to) & ~EITHER) && !is_modified(j, to))
			wrong(j, to->path, "is modified where it was, and not told");
	}
}

/* Every key of the tree that is not the same file's in the other is told, every one that is modified as well. */
static void check_whole(const struct judge *j, int side)
{
	for (size_t i = 0; i < j->tree[side]->count; i++) {
		const struct entry *e = &j->tree[side]->e[i];
		if (!e->first)
			continue;
		const struct entry *other = i == 0 ? &j->tree[!side]->e[0] : find_key(j->tree[!side], e);
		bool same = other && other->ino == e->ino;
		if (j->claimed[side][i] == same)
			wrong(j, e->path, same ? "is told as another file, and is the same" : "is not told");
		if (!same || side == 0)
			continue;
		uint32_t want = compare(other, e) & ~EITHER;
		if (want && !is_modified(j, e))
			wrong(j, e->path, "is modified, and not told");
	}
}

/* In order, and nothing is left that is to be one change. */
static void check_order(const struct judge *j)
{
	for (size_t i = 1; i < j->a->count; i++) {
		const struct linkfs_diff_change *x = &j->a->told[i - 1].c, *y = &j->a->told[i].c;
		int r = strcmp(x->path, y->path);
		if (r > 0 || (r == 0 && y->kind == LINKFS_DIFF_REMOVED))
			wrong(j, y->path, "is told too late");
		if (r == 0 && x->kind == LINKFS_DIFF_REMOVED && y->kind == LINKFS_DIFF_ADDED)
			wrong(j, y->path, "is removed and added");
	}
	/* The same of a name whose path is another one, because its directory was renamed. */
	for (size_t i = 0; i < j->a->count; i++) {
		const struct linkfs_diff_change *c = &j->a->told[i].c;
		const struct entry *came =
			c->kind == LINKFS_DIFF_REMOVED ? find_key(j->tree[1], must_find(j, 0, c->path)) : NULL;
		for (size_t k = 0; came && k < j->a->count; k++)
			if (j->a->told[k].c.kind == LINKFS_DIFF_ADDED && strcmp(j->a->told[k].c.path, came->path) == 0)
				wrong(j, c->path, "is removed, and its name added elsewhere");
	}
}

void answer_check(const struct answer *a, const struct tree *from, const struct tree *to)
{
	struct judge j = {a, {from, to}, {calloc(from->count, 1), calloc(to->count, 1)}};
	/* Other files by key first: the path tells which is meant where both could be. */
	for (size_t i = 0; i < a->count; i++) {
		const struct linkfs_diff_change *c = &a->told[i].c;
		switch (c->kind) {
		case LINKFS_DIFF_ADDED:
			check_alone(&j, c, 1);
			break;
		case LINKFS_DIFF_REMOVED:
			check_alone(&j, c, 0);
			break;
		case LINKFS_DIFF_MODIFIED:
		case LINKFS_DIFF_TYPE:
			if (c->what & LINKFS_DIFF_FILE)
				check_other(&j, c);
			else
				check_same(&j, c);
			break;
		case LINKFS_DIFF_RENAMED:
			check_renamed(&j, c);
			check_pairs(&j, c);
			break;
		}
	}
	check_places(&j);
	check_order(&j);
	check_whole(&j, 0);
	check_whole(&j, 1);
	free(j.claimed[0]);
	free(j.claimed[1]);
}

/* ---- with binds ------------------------------------------------------------------------------------------------- */

/* Whether the path of a change is one of the key's, or leads to a directory that it lies in. */
static bool explains(const struct tree *t, const char *told, const struct entry *e)
{
	size_t len = told ? strlen(told) : 0;
	const struct entry *of = told ? tree_find(t, told) : NULL;
	if (!of)
		return false;
	return same_key(of, e) || of->ino == e->ino || (strncmp(e->path, told, len) == 0 && e->path[len] == '/');
}

void answer_check_loosely(const struct answer *a, const struct tree *from, const struct tree *to)
{
	struct judge j = {a, {from, to}, {NULL, NULL}};
	for (size_t i = 0; i < a->count; i++) {
		const struct linkfs_diff_change *c = &a->told[i].c;
		if (c->kind == LINKFS_DIFF_REMOVED || c->kind == LINKFS_DIFF_RENAMED)
			(void)must_find(&j, 0, c->old_path ? c->old_path : c->path);
		if (c->kind == LINKFS_DIFF_ADDED || c->kind == LINKFS_DIFF_RENAMED)
			(void)must_find(&j, 1, c->path);
		if (c->kind == LINKFS_DIFF_MODIFIED && !tree_find(from, c->path) && !tree_find(to, c->path))
			wrong(&j, c->path, "is in no tree");
	}
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < j.tree[side]->count; i++) {
			const struct entry *e = &j.tree[side]->e[i], *other = tree_find(j.tree[!side], e->path);
			if (other && other->ino == e->ino && (compare(other, e) & ~EITHER) == 0)
				continue;
			bool told = false;
			for (size_t k = 0; k < a->count && !told; k++) {
				const struct linkfs_diff_change *c = &a->told[k].c;
				for (int at = 0; at < 2; at++)
					told |= explains(j.tree[at], c->path, e) ||
						explains(j.tree[at], c->old_path, e) || c->before.ino == e->ino ||
						c->after.ino == e->ino;
				/* What a directory that changed its place or its bind holds is not told. */
				for (const struct entry *d = e; !told && d != &j.tree[side]->e[0];) {
					told = c->before.ino == d->ino || c->after.ino == d->ino;
					char *up = strdup(d->path);
					*strrchr(up, '/') = 0;
					d = tree_find(j.tree[side], *up ? up : "/");
					free(up);
				}
			}
			if (!told)
				wrong(&j, e->path,
				      side ? "differs in the second tree, and is not told"
					   : "differs in the first tree, and is not told");
		}
	}
}
