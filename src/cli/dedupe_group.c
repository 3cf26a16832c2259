/*
 * dedupe_group.c - which files may have equal content: equal sizes, then equal digests. What is proved is the library's business.
 */
#include "dedupe.h"
#include "parallel.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void dedupe_set_done(struct dedupe_set *set)
{
	for (size_t i = 0; i < set->nnames; i++) {
		free(set->names[i].name);
		free(set->names[i].display);
	}
	free(set->names);
	free(set->files);
}

int dedupe_set_add(struct dedupe_set *set, const struct linkfs_stat *st, uint64_t dir, const char *name, size_t len,
		   const char *display)
{
	if (cli_grow(&set->names, &set->names_cap, set->nnames, sizeof(*set->names)) != 0 ||
	    cli_grow(&set->files, &set->files_cap, set->nfiles, sizeof(*set->files)) != 0)
		return LINKFS_ENOMEM;
	struct dedupe_name n = {.ino = st->ino, .dir = dir, .name = strndup(name, len), .display = strdup(display)};
	if (!n.name || !n.display) {
		free(n.name);
		free(n.display);
		return LINKFS_ENOMEM;
	}
	set->names[set->nnames++] = n;
	set->files[set->nfiles++] = (struct dedupe_file){.st = *st};
	return 0;
}

int dedupe_set_add_file(struct dedupe_set *set, const struct linkfs_stat *st, bool fixed)
{
	if (cli_grow(&set->files, &set->files_cap, set->nfiles, sizeof(*set->files)) != 0)
		return LINKFS_ENOMEM;
	set->files[set->nfiles++] = (struct dedupe_file){.st = *st, .fixed = fixed};
	return 0;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int names_by_file(const void *a, const void *b)
{
	const struct dedupe_name *x = a, *y = b;
	int c = compare_u64(x->ino, y->ino);
	return c ? c : strcmp(x->display, y->display);
}

static int by_ino(const void *a, const void *b)
{
	const struct dedupe_file *x = a, *y = b;
	return compare_u64(x->st.ino, y->st.ino);
}

static int by_size(const void *a, const void *b)
{
	const struct dedupe_file *x = a, *y = b;
	int c = compare_u64(y->st.size, x->st.size); /* large ones first */
	return c ? c : by_ino(a, b);
}

static int by_content(const void *a, const void *b)
{
	const struct dedupe_file *x = a, *y = b;
	int c = compare_u64(y->st.size, x->st.size);
	if (!c)
		c = compare_u64(x->digest[0], y->digest[0]);
	if (!c)
		c = compare_u64(x->digest[1], y->digest[1]);
	if (!c)
		c = (int)y->fixed - (int)x->fixed;
	if (!c)
		c = compare_u64(y->st.nlink, x->st.nlink);
	return c ? c : by_ino(a, b);
}

bool dedupe_alike(const struct dedupe_file *a, const struct dedupe_file *b)
{
	return a->st.size == b->st.size && a->digest[0] == b->digest[0] && a->digest[1] == b->digest[1];
}

/* One file for each number, with its names; a name met twice (an operand inside another) counts once. */
static void unite(struct dedupe_set *set)
{
	size_t n = 0, f = 0;
	if (set->nnames)
		qsort(set->names, set->nnames, sizeof(*set->names), names_by_file);
	for (size_t i = 0; i < set->nnames; i++) {
		const struct dedupe_name *last = n ? &set->names[n - 1] : NULL;
		bool again = last && last->ino == set->names[i].ino && last->dir == set->names[i].dir &&
			     strcmp(last->name, set->names[i].name) == 0;
		if (again) {
			free(set->names[i].name);
			free(set->names[i].display);
		} else {
			set->names[n++] = set->names[i];
		}
	}
	set->nnames = n;
	qsort(set->files, set->nfiles, sizeof(*set->files), by_ino);
	for (size_t i = 0; i < set->nfiles; i++) {
		if (f == 0 || set->files[f - 1].st.ino != set->files[i].st.ino)
			set->files[f++] = set->files[i];
	}
	set->nfiles = f;
	for (size_t i = 0, at = 0; i < set->nfiles; i++) {
		set->files[i].first = at;
		while (at < set->nnames && set->names[at].ino == set->files[i].st.ino)
			at++;
		set->files[i].names = at - set->files[i].first;
	}
}

/* Keeps the files that have one beside them which is alike, if one of them may get other blocks. */
static void drop_lonely(struct dedupe_set *set)
{
	struct dedupe_file *files = set->files;
	size_t kept = 0;
	for (size_t i = 0, end; i < set->nfiles; i = end) {
		bool some = !files[i].fixed;
		for (end = i + 1; end < set->nfiles && dedupe_alike(&files[i], &files[end]); end++)
			some |= !files[end].fixed;
		if (end - i < 2 || !some)
			continue;
		memmove(&files[kept], &files[i], (end - i) * sizeof(*files));
		kept += end - i;
	}
	set->nfiles = kept;
}

struct look_into {
	struct dedupe_set *set;
	atomic_size_t done;
};

static void digest_one(void *arg, size_t i)
{
	struct look_into *l = arg;
	struct dedupe_file *f = &l->set->files[i];
	f->error = linkfs_node_digest(l->set->volume, f->st.ino, f->digest);
	atomic_fetch_add(&l->done, 1);
}

/* From the command's own thread. */
static bool look(void *arg)
{
	struct look_into *l = arg;
	struct dedupe_set *set = l->set;
	if (cli_progress_due(&set->progress)) {
		uint64_t done = atomic_load(&l->done);
		cli_progress_show(&set->progress, done, set->nfiles,
				  "%" PRIu64 " of %zu files of equal sizes looked into", done, set->nfiles);
	}
	return cli_cancelled(set->cli);
}

/* The digest of each; those that have none are told, and left out. */
static int digest_all(struct dedupe_set *set)
{
	struct look_into l = {.set = set};
	size_t kept = 0;
	cli_parallel(set->threads, set->nfiles, digest_one, look, &l);
	cli_progress_end(&set->progress);
	for (size_t i = 0; i < set->nfiles; i++) {
		struct dedupe_file *f = &set->files[i];
		if (f->error == LINKFS_ENOMEM)
			return f->error;
		if (f->error) /* gone, or damaged: it is like no other */
			set->refuse(set->arg, f, f->error);
		else
			set->files[kept++] = *f;
	}
	set->nfiles = kept;
	return 0;
}

int dedupe_set_group(struct dedupe_set *set)
{
	if (!set->nfiles)
		return 0;
	unite(set);
	qsort(set->files, set->nfiles, sizeof(*set->files), by_size);
	drop_lonely(set); /* the digests are all 0 yet */
	int error = digest_all(set);
	if (error)
		return error;
	qsort(set->files, set->nfiles, sizeof(*set->files), by_content);
	drop_lonely(set);
	for (size_t i = 1; i < set->nfiles; i++)
		set->to_compare += !set->files[i].fixed && dedupe_alike(&set->files[i - 1], &set->files[i])
					   ? set->files[i].st.size
					   : 0;
	return 0;
}

/* ---- rules for becoming one ------------------------------------------------------------------------------------------ */

#define LIST_MAX 65536u

/* The names of a file's attributes, allocated, sorted as the library sorts them. */
static int attributes(const struct dedupe_set *set, uint64_t ino, char **list_out, size_t *len_out)
{
	char *list = cli_alloc(LIST_MAX);
	if (!list)
		return LINKFS_ENOMEM;
	int error = linkfs_node_listxattr(set->volume, &set->cli->cred, ino, list, LIST_MAX, len_out);
	if (error) {
		free(list);
		return error;
	}
	*list_out = list;
	return 0;
}

static int same_value(const struct dedupe_set *set, uint64_t a, uint64_t b, const char *name, char *room, bool *same)
{
	size_t len_a = 0, len_b = 0;
	int error = linkfs_node_getxattr(set->volume, &set->cli->cred, a, name, room, LIST_MAX, &len_a);
	if (!error)
		error = linkfs_node_getxattr(set->volume, &set->cli->cred, b, name, room + LIST_MAX, LIST_MAX, &len_b);
	if (error == LINKFS_ENODATA) {
		*same = false;
		return 0;
	}
	*same = !error && len_a == len_b && memcmp(room, room + LIST_MAX, len_a) == 0;
	return error;
}

/* Every attribute of a is b's, and there are as many bytes of names. */
static int same_attributes(const struct dedupe_set *set, uint64_t a, uint64_t b, bool *same)
{
	char *list_a = NULL, *list_b = NULL, *room = cli_alloc(2 * LIST_MAX);
	size_t len_a = 0, len_b = 0;
	int error = room ? attributes(set, a, &list_a, &len_a) : LINKFS_ENOMEM;
	if (!error)
		error = attributes(set, b, &list_b, &len_b);
	*same = !error && len_a == len_b;
	for (const char *n = list_a; !error && *same && n < list_a + len_a; n += strlen(n) + 1)
		error = same_value(set, a, b, n, room, same);
	free(list_a);
	free(list_b);
	free(room);
	return error;
}

int dedupe_may_join(const struct dedupe_set *set, const struct dedupe_rules *rules, const struct dedupe_file *a,
		    const struct dedupe_file *b, bool *may_out)
{
	*may_out = (!rules->mode || a->st.mode == b->st.mode) &&
		   (!rules->owner || (a->st.uid == b->st.uid && a->st.gid == b->st.gid)) &&
		   (!rules->time || a->st.mtime_ns == b->st.mtime_ns);
	return *may_out && rules->xattrs ? same_attributes(set, a->st.ino, b->st.ino, may_out) : 0;
}
