/*
 * seen.c - what passes remember of inodes, their history and snapshots: sorted arrays.
 * Layer: check.
 */
#include "check_impl.h"

#include <string.h>

/* The first position whose ino is not below. */
static size_t lower(const struct lk_check *c, int64_t ino)
{
	size_t from = 0, to = lk_seen_count(c);
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (lk_seen_at(c, mid)->ino < ino)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

struct lk_seen_inode *lk_seen_find(struct lk_check *c, int64_t ino)
{
	size_t at = lower(c, ino);
	return at < lk_seen_count(c) && lk_seen_at(c, at)->ino == ino ? lk_seen_at(c, at) : NULL;
}

/* A directory is named by its position in its children: those behind the changed place move. */
static void shift_parents(struct lk_check *c, uint32_t at)
{
	for (size_t i = 0; i < lk_seen_count(c); i++) {
		struct lk_seen_inode *s = lk_seen_at(c, i);
		if (s->parent != LK_NO_PARENT && s->parent >= at)
			s->parent++;
	}
}

int lk_seen_add(struct lk_check *c, const struct lk_seen_inode *s)
{
	size_t at = lower(c, s->ino), count = lk_seen_count(c);
	if (count >= LK_NO_PARENT - 1)
		return LINKFS_ENOMEM;
	if (at < count && lk_seen_at(c, at)->ino == s->ino) {
		*lk_seen_at(c, at) = *s;
		return 0;
	}
	int r = lk_buf_append(&c->inodes, s, sizeof(*s));
	if (r || at == count)
		return r;
	memmove(lk_seen_at(c, at + 1), lk_seen_at(c, at), (count - at) * sizeof(*s));
	*lk_seen_at(c, at) = *s;
	lk_seen_at(c, at)->parent = LK_NO_PARENT;
	shift_parents(c, (uint32_t)at);
	return 0;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------ */

bool lk_is_snapshot(const struct lk_check *c, int64_t epoch)
{
	const struct lk_seen_snapshot *s = (const void *)c->snapshots.p;
	for (size_t i = 0; i < c->snapshots.len / sizeof(*s); i++) {
		if (s[i].epoch == epoch)
			return true;
	}
	return false;
}

int64_t lk_snapshot_before(const struct lk_check *c, int64_t epoch)
{
	const struct lk_seen_snapshot *s = (const void *)c->snapshots.p;
	int64_t best = 0;
	for (size_t i = 0; i < c->snapshots.len / sizeof(*s); i++) {
		if (!s[i].deleting && s[i].epoch <= epoch && s[i].epoch > best)
			best = s[i].epoch;
	}
	return best;
}

/* K2: of the key's history rows the one with the smallest last >= epoch decides; else the live row. */
int lk_seen_at_snapshot(struct lk_check *c, int64_t ino, int64_t epoch)
{
	const struct lk_seen_old *old = (const void *)c->olds.p;
	size_t from = 0, count = c->olds.len / sizeof(*old), to = count;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (old[mid].ino < ino || (old[mid].ino == ino && old[mid].last < epoch))
			from = mid + 1;
		else
			to = mid;
	}
	if (from < count && old[from].ino == ino)
		return old[from].born <= epoch;
	struct lk_inode row = {.ino = ino};
	int r = lk_get(c, LK_T_INODE, &row, &row, NULL);
	return r ? (r == LINKFS_ENOENT ? 0 : r) : row.born <= epoch;
}
