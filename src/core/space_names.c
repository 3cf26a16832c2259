/*
 * space_names.c - which files go with the names of a set, and what they are (space.h).
 * Layer: core. A directory goes when all its names do, and then the names in it do. So directories are listed in two passes: first those that
 * go, each as soon as its last name is met (there are no cycles, so none waits for itself); then those that were met and stay, whose files are
 * counted and stay as well.
 */
#include "space_impl.h"

#include "binds.h"
#include "paths.h"

#include <stdlib.h>
#include <string.h>

/* ---- inodes by number --------------------------------------------------------------------------------------------------- */

static struct lk_space_node *node_at(const struct lk_space_run *run, size_t i)
{
	return (struct lk_space_node *)(void *)run->nodes.p + i;
}

static size_t node_count(const struct lk_space_run *run)
{
	return run->nodes.len / sizeof(struct lk_space_node);
}

static size_t slot_of(const struct lk_space_run *run, uint64_t ino)
{
	size_t i = (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (run->node_cap - 1);

	while (run->node_slots[i] && node_at(run, run->node_slots[i] - 1)->ino != ino)
		i = (i + 1) & (run->node_cap - 1);
	return i;
}

static int grow(struct lk_space_run *run)
{
	size_t cap = run->node_cap ? run->node_cap * 2 : 256;
	uint32_t *slots = cap > UINT32_MAX ? NULL : calloc(cap, sizeof(*slots));

	if (!slots)
		return LINKFS_ENOMEM;
	free(run->node_slots);
	run->node_slots = slots;
	run->node_cap = cap;
	for (size_t i = 0; i < node_count(run); i++)
		slots[slot_of(run, node_at(run, i)->ino)] = (uint32_t)i + 1;
	return 0;
}

static const struct lk_space_node *find(const struct lk_space_run *run, uint64_t ino)
{
	size_t i = run->node_cap ? run->node_slots[slot_of(run, ino)] : 0;

	return i ? node_at(run, i - 1) : NULL;
}

/* Its position; *new_out: it was not there, and is zeroed but for the number. */
static int get(struct lk_space_run *run, uint64_t ino, size_t *at_out, bool *new_out)
{
	struct lk_space_node node = {.ino = ino};
	size_t slot;
	int rc = node_count(run) >= run->node_cap / 4 * 3 ? grow(run) : 0;

	if (rc)
		return rc;
	slot = slot_of(run, ino);
	*new_out = run->node_slots[slot] == 0;
	if (*new_out) {
		rc = lk_buf_append(&run->nodes, &node, sizeof(node));
		if (rc)
			return rc;
		run->node_slots[slot] = (uint32_t)node_count(run);
	}
	*at_out = run->node_slots[slot] - 1;
	return 0;
}

/* ---- the names of the set ------------------------------------------------------------------------------------------------ */

static int by_entry(const void *a, const void *b)
{
	const struct lk_space_item *x = a, *y = b;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->ord > y->ord) - (x->ord < y->ord);
}

static int sort_names(struct lk_space_run *run)
{
	size_t count = 0;

	run->named = calloc(run->ask->item_count + 1, sizeof(*run->named));
	if (!run->named)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < run->ask->item_count; i++)
		if (run->ask->items[i].kind == LK_SPACE_NAME)
			run->named[count++] = run->ask->items[i];
	if (count)
		qsort(run->named, count, sizeof(*run->named), by_entry);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || by_entry(&run->named[i], &run->named[i - 1]) != 0)
			run->named[run->named_count++] = run->named[i];
	return 0;
}

static bool is_named(const struct lk_space_run *run, uint64_t dir, int64_t hash, int64_t ord)
{
	struct lk_space_item key = {.dir = dir, .hash = hash, .ord = ord};

	return run->named_count && bsearch(&key, run->named, run->named_count, sizeof(*run->named), by_entry) != NULL;
}

bool lk_space_name_goes(const struct lk_space_run *run, uint64_t dir, int64_t hash, int64_t ord)
{
	const struct lk_space_node *node = find(run, dir);

	return is_named(run, dir, hash, ord) || (node && node->dir && node->seen >= node->names);
}

/* ---- meeting what a name names --------------------------------------------------------------------------------------------- */

struct entry {
	uint64_t ino, dir; /* dir 0: none is known */
	int64_t hash, ord;
};

/* Told with the path by which it was met. */
static int skip(struct lk_space_run *run, const struct entry *e, int error)
{
	struct {
		int error;
		size_t len;
	} head = {error, 0};
	struct lk_paths paths = {.op = &run->op, .cred = lk_cred(run->ask->cred)};
	struct lk_dirent d;
	struct lk_bytes path = {".", 1};
	int rc = e->dir ? lk_dirent_at(&run->op, e->dir, e->hash, e->ord, e->ino, &d) : LINKFS_ENOENT;

	if (rc == 0)
		rc = lk_paths_name(&paths, e->dir, d.name.p, d.name.len, &path);
	if (rc && e->ino == LINKFS_ROOT_INO)
		path = (struct lk_bytes){"/", 1};
	run->sum->known |= LINKFS_SPACE_SKIPPED;
	head.len = path.len;
	rc = lk_buf_append(&run->skipped, &head, sizeof(head));
	if (rc == 0)
		rc = lk_buf_append(&run->skipped, path.p, path.len);
	if (rc == 0)
		rc = lk_buf_append(&run->skipped, "", 1);
	lk_paths_done(&paths);
	return rc;
}

/* Whether cred may list a directory; one that he may not is told. */
static int may_list(struct lk_space_run *run, const struct lk_inode *dir, const struct entry *e, bool *out)
{
	int rc = lk_perm_check(&run->op, lk_cred(run->ask->cred), dir, LK_MAY_READ | LK_MAY_EXEC);

	*out = rc == 0;
	return rc == LINKFS_EACCES ? skip(run, e, rc) : rc;
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(uint32_t *)arg;
	return 0;
}

/* Names that have to go before it does: more than there are of what a bind shows. */
static int needs(struct lk_space_run *run, const struct lk_inode *inode, uint32_t *out)
{
	bool shown = false;
	int rc = 0;

	*out = lk_is_dir(inode) ? 1 : (uint32_t)inode->nlink;
	if (lk_is_dir(inode) && inode->ino != LINKFS_ROOT_INO && lk_dir_links_any(&run->op)) {
		*out = 0;
		rc = lk_dirent_names(&run->op, (uint64_t)inode->ino, 0, count_row, out);
	}
	if (rc == 0)
		rc = lk_bind_shows(&run->op, (uint64_t)inode->ino, &shown);
	*out += shown;
	return rc;
}

static int meet_node(struct lk_space_run *run, const struct lk_inode *inode, const struct entry *e, bool goes)
{
	struct lk_space_node *node;
	uint32_t names = 0, position;
	bool fresh, listable = true;
	size_t at;
	int rc = get(run, (uint64_t)inode->ino, &at, &fresh);

	if (rc == 0 && fresh) {
		rc = needs(run, inode, &names);
		if (rc == 0 && lk_is_dir(inode))
			rc = may_list(run, inode, e, &listable);
		node = node_at(run, at);
		node->names = names;
		node->dir = lk_is_dir(inode);
		node->listed = !listable;
		if (rc == 0 && node->dir)
			lk_space_sizes(run, inode, 1);
	}
	if (rc || !goes)
		return rc;
	node = node_at(run, at);
	if (++node->seen != node->names || !node->dir || node->listed)
		return 0;
	position = (uint32_t)at;
	return lk_buf_append(&run->due, &position, sizeof(position));
}

/* goes: the name does, if nothing keeps it. */
static int meet(struct lk_space_run *run, const struct entry *e, bool goes)
{
	struct lk_slot slot = {.dir = e->dir, .hash = e->hash, .ord = e->ord};
	struct lk_inode inode;
	bool shown = false;
	int rc = lk_inode_get(&run->op, e->ino, &inode);

	if (rc == LINKFS_ESTALE)
		return LINKFS_ECORRUPT;
	if (rc == 0 && goes && e->dir && lk_binds_any(&run->op)) {
		rc = lk_bind_find(&run->op, &slot);
		goes = slot.bound == 0;
	}
	if (rc)
		return rc;
	if (lk_is_dir(&inode) || inode.nlink > 1 || run->node_files)
		return meet_node(run, &inode, e, goes);
	lk_space_sizes(run, &inode, 1);
	if (goes)
		rc = lk_bind_shows(&run->op, e->ino, &shown);
	return rc ? rc : lk_space_file(run, &inode, goes && !shown);
}

/* ---- listing ------------------------------------------------------------------------------------------------------------- */

struct part {
	struct entry *entries;
	uint32_t count;
};

static int take_entry(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct part *part = arg;

	part->entries[part->count++] = (struct entry){(uint64_t)d->ino, (uint64_t)d->dir, d->hash, d->ord};
	return 0;
}

typedef int meet_fn(struct lk_space_run *run, const struct entry *e, void *arg);

static int list(struct lk_space_run *run, uint64_t dir, meet_fn *fn, void *arg)
{
	struct part part = {.entries = calloc(LK_SPACE_ROWS, sizeof(*part.entries))};
	uint64_t cookie = 0;
	int rc = part.entries ? 0 : LINKFS_ENOMEM;

	do {
		part.count = 0;
		if (rc == 0)
			rc = lk_dirent_scan(&run->op, dir, cookie, LK_SPACE_ROWS, take_entry, &part);
		for (uint32_t i = 0; rc == 0 && i < part.count; i++) {
			const struct entry *e = &part.entries[i];

			cookie = (uint64_t)e->hash << 8 | (uint64_t)e->ord;
			rc = fn(run, e, arg);
			if (rc == 0)
				rc = lk_space_rest(run);
		}
	} while (rc == 0 && part.count == LK_SPACE_ROWS);
	free(part.entries);
	return rc;
}

static int meet_in(struct lk_space_run *run, const struct entry *e, void *arg)
{
	/* The names of the set were met first. */
	return is_named(run, e->dir, e->hash, e->ord) ? 0 : meet(run, e, *(const bool *)arg);
}

static int list_due(struct lk_space_run *run)
{
	bool goes = true;
	int rc = 0;

	while (rc == 0 && run->due.len) {
		uint32_t at;

		run->due.len -= sizeof(at);
		memcpy(&at, run->due.p + run->due.len, sizeof(at));
		node_at(run, at)->listed = true;
		rc = list(run, node_at(run, at)->ino, meet_in, &goes);
	}
	return rc;
}

/* Those that stay: no name in them goes, so nothing becomes due. */
static int list_rest(struct lk_space_run *run)
{
	bool goes = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < node_count(run); i++) {
		if (!node_at(run, i)->dir || node_at(run, i)->listed)
			continue;
		node_at(run, i)->listed = true;
		rc = list(run, node_at(run, i)->ino, meet_in, &goes);
	}
	return rc;
}

/* Whether files go is known when all their names were met. */
static int count_files(struct lk_space_run *run)
{
	struct lk_inode inode;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < node_count(run); i++) {
		const struct lk_space_node *node = node_at(run, i);

		if (node->dir)
			continue;
		rc = lk_inode_get(&run->op, node->ino, &inode);
		if (rc)
			break;
		lk_space_sizes(run, &inode, 1);
		rc = lk_space_file(run, &inode, node->seen >= node->names);
		if (rc == 0)
			rc = lk_space_rest(run);
	}
	return rc;
}

/* ---- as it was ------------------------------------------------------------------------------------------------------------- */

struct past {
	struct lk_set seen; /* directories, and files with several names, above 48 bits a number for the snapshot */
	struct lk_buf due;  /* directories */
	uint64_t bits;
};

static int meet_past(struct lk_space_run *run, const struct entry *e, void *arg)
{
	struct past *past = arg;
	struct lk_inode inode;
	bool fresh = true, listable;
	int rc = lk_inode_get(&run->op, e->ino, &inode);

	if (rc == LINKFS_ESTALE)
		return LINKFS_ECORRUPT;
	if (rc == 0 && (lk_is_dir(&inode) || inode.nlink > 1))
		rc = lk_set_add(&past->seen, past->bits | e->ino, &fresh);
	if (rc || !fresh)
		return rc;
	lk_space_sizes(run, &inode, 1);
	if (!lk_is_dir(&inode))
		return 0;
	rc = may_list(run, &inode, e, &listable);
	return rc || !listable ? rc : lk_buf_append(&past->due, &e->ino, sizeof(e->ino));
}

static int look_at_past(struct lk_space_run *run, const struct lk_space_item *item, struct past *past)
{
	struct entry top = {.ino = item->ino};
	int rc;

	if (!lk_space_any(run->gone, run->gone_count, item->epoch, item->epoch) &&
	    !lk_space_stays(run, item->epoch, item->epoch))
		return LINKFS_ENOENT;
	run->op.view = item->epoch;
	rc = meet_past(run, &top, past);
	while (rc == 0 && past->due.len) {
		uint64_t dir;

		past->due.len -= sizeof(dir);
		memcpy(&dir, past->due.p + past->due.len, sizeof(dir));
		rc = list(run, dir, meet_past, past);
	}
	run->op.view = LK_VIEW_LIVE;
	return rc;
}

static int look_at_all_past(struct lk_space_run *run)
{
	const struct lk_space_item *items = run->ask->items;
	struct past past = {.bits = 0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < run->ask->item_count; i++) {
		size_t first = 0;

		if (items[i].kind != LK_SPACE_PAST)
			continue;
		while (items[first].kind != LK_SPACE_PAST || items[first].epoch != items[i].epoch)
			first++;
		past.bits = (uint64_t)first << LK_INO_BITS;
		rc = look_at_past(run, &items[i], &past);
	}
	lk_set_done(&past.seen);
	lk_buf_done(&past.due);
	return rc;
}

/* ---- the whole --------------------------------------------------------------------------------------------------------------- */

static int meet_named(struct lk_space_run *run, const struct lk_space_item *item)
{
	struct entry e = {item->ino, item->dir, item->hash, item->ord};
	struct lk_dirent d;
	int rc = lk_dirent_at(&run->op, item->dir, item->hash, item->ord, item->ino, &d);

	return rc ? rc : meet(run, &e, true);
}

/* The root's content goes; what a bind shows stays. */
static int meet_number(struct lk_space_run *run, const struct lk_space_item *item)
{
	struct entry e = {.ino = item->ino};
	struct lk_inode inode;
	int rc = lk_inode_get(&run->op, item->ino, &inode);

	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	run->node_files |= !lk_is_dir(&inode);
	return meet_node(run, &inode, &e, item->ino == LINKFS_ROOT_INO);
}

int lk_space_names(struct lk_space_run *run)
{
	const struct lk_space_ask *ask = run->ask;
	int rc = sort_names(run);

	for (size_t i = 0; rc == 0 && i < ask->item_count; i++) {
		if (ask->items[i].kind == LK_SPACE_NODE)
			rc = meet_number(run, &ask->items[i]);
	}
	for (size_t i = 0; rc == 0 && i < run->named_count; i++)
		rc = meet_named(run, &run->named[i]);
	if (rc == 0)
		rc = list_due(run);
	if (rc == 0)
		rc = list_rest(run);
	if (rc == 0)
		rc = count_files(run);
	return rc ? rc : look_at_all_past(run);
}
