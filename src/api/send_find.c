/*
 * send_find.c - what may differ between the two snapshots, and the numbers by which a stream calls it (send.h, S2).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "send.h"

#include "diff.h"
#include "txn_impl.h"

#include <stdlib.h>
#include <sys/stat.h>

#define SCAN_ROWS 256u

/* ---- objects ---------------------------------------------------------------------------------------------------- */

int lk_send_set_number(struct lk_sending *s, uint64_t ino)
{
	if (s->objects + 1 >= s->object_cap) {
		size_t cap = s->object_cap ? s->object_cap * 2 : 256;
		uint64_t *more = reallocarray(s->ino_of, cap, sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		s->ino_of = more;
		s->object_cap = cap;
	}
	s->ino_of[++s->objects] = ino;
	return lk_pairs_set(&s->number_of, ino, s->objects);
}

/* What is sent is the caller's own, or he is root. */
static int may_send(struct lk_sending *s, const struct lk_inode *inode)
{
	if (lk_cred_may_all(s->cred) || (uint64_t)inode->uid == s->cred->uid)
		return 0;
	return lk_fail(s->why, LINKFS_EPERM,
		       "inode %lld belongs to user %lld: only root can send what belongs to several users",
		       (long long)inode->ino, (long long)inode->uid);
}

struct first {
	uint64_t dir;
	char name[LINKFS_NAME_MAX + 1];
	size_t len;
};

static int first_name(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct first *f = arg;

	f->dir = (uint64_t)d->dir;
	f->len = d->name.len;
	memcpy(f->name, d->name.p, d->name.len);
	return 0;
}

/* What the base has: as the entry of a directory. false: it has it not. */
static int find_old(struct lk_sending *s, uint64_t ino, bool *there, struct first *out)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc;

	*there = false;
	*out = (struct first){.len = 0};
	if (!lk_send_is_difference(s) || ino >= (uint64_t)s->side[LK_SEND_BASE].next_ino)
		return 0;
	rc = lk_send_begin(s, LK_SEND_BASE, &op);
	if (rc)
		return rc;
	rc = lk_inode_get_any(&op, ino, &inode);
	*there = rc == 0 && inode.nlink > 0;
	if (rc == LINKFS_ESTALE)
		rc = 0;
	if (*there) {
		rc = may_send(s, &inode);
		if (rc == 0)
			rc = lk_dirent_names_past(&op, ino, 0, 0, 1, first_name, out);
		if (rc == 0 && out->len == 0)
			rc = LINKFS_ECORRUPT;
	}
	return lk_op_end(&op, rc);
}

static int tell_new(struct lk_sending *s, uint64_t ino)
{
	struct lk_wire r = {.type = LK_WIRE_NEW, .object = s->objects + 1};
	struct lk_inode inode;
	struct lk_buf text = {0};
	const char *bytes;
	size_t len;
	struct lk_op op;
	int rc = lk_send_begin(s, LK_SEND_NOW, &op);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = may_send(s, &inode);
	if (rc == 0 && lk_is_lnk(&inode)) {
		rc = lk_symlink_text(&op, &inode, 0, &bytes, &len);
		if (rc == LINKFS_ENAMETOOLONG) { /* a tracked link's, which nobody can read now */
			bytes = ".";
			len = 1;
			rc = 0;
		}
		if (rc == 0)
			rc = lk_buf_append(&text, bytes, len);
	}
	rc = lk_op_end(&op, rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc);
	if (rc == 0) {
		r.mode = (uint32_t)inode.mode & S_IFMT;
		/* Of a regular file it is how its content is kept. */
		if (!lk_is_reg(&inode)) {
			r.rdev_major = (uint32_t)((uint64_t)inode.rdev >> 32);
			r.rdev_minor = (uint32_t)inode.rdev;
		}
		r.data = (struct lk_bytes){text.p, text.len};
		rc = lk_send_emit(s, &r);
	}
	lk_buf_done(&text);
	return rc ? rc : lk_send_set_number(s, ino);
}

/* The directories above one of the base that have no number, from it up: each is told as an entry of the next. */
struct climb {
	struct climb *below;
	uint64_t ino;
	struct first at;
};

int lk_send_number(struct lk_sending *s, uint64_t ino, uint64_t *number_out)
{
	struct climb *top = NULL;
	int rc = 0;

	while (rc == 0 && !lk_pairs_get(&s->number_of, ino)) {
		struct climb *c = malloc(sizeof(*c));
		bool there = false;

		rc = c ? find_old(s, ino, &there, &c->at) : LINKFS_ENOMEM;
		if (rc == 0 && !there)
			rc = tell_new(s, ino);
		if (rc || !there) {
			free(c);
			break;
		}
		c->ino = ino;
		c->below = top;
		top = c;
		ino = c->at.dir;
	}
	while (top) {
		struct climb *c = top;
		struct lk_wire r = {.type = LK_WIRE_OLD,
				    .object = s->objects + 1,
				    .dir = lk_pairs_get(&s->number_of, c->at.dir),
				    .name = {c->at.name, c->at.len}};

		if (rc == 0 && r.dir == 0)
			rc = LINKFS_ECORRUPT;
		if (rc == 0)
			rc = lk_send_emit(s, &r);
		if (rc == 0)
			rc = lk_send_set_number(s, c->ino);
		ino = c->ino;
		top = c->below;
		free(c);
	}
	if (rc == 0)
		*number_out = lk_pairs_get(&s->number_of, ino);
	return rc;
}

/* ---- what there is to send -------------------------------------------------------------------------------------- */

int lk_send_add_item(struct lk_sending *s, uint64_t ino)
{
	if (s->count == s->item_cap) {
		size_t more = s->item_cap ? s->item_cap * 2 : 256;
		struct lk_send_item *p = reallocarray(s->items, more, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		s->items = p;
		s->item_cap = more;
	}
	s->items[s->count++] = (struct lk_send_item){.ino = ino};
	return 0;
}

struct all {
	struct lk_sending *s;
	uint32_t rows;
};

static int inode_row(void *arg, const void *record)
{
	struct all *a = arg;

	a->rows++;
	return lk_send_add_item(a->s, (uint64_t)((const struct lk_inode *)record)->ino);
}

static int find_all(struct lk_sending *s)
{
	struct all a = {.s = s};
	int rc = 0;

	do {
		struct lk_inode from = {.ino = s->count ? (int64_t)s->items[s->count - 1].ino : 0};
		struct lk_scan scan = {.table = &lk_tables[LK_T_INODE],
				       .index = LK_BY_KEY,
				       .ranged = 1,
				       .exclusive = true,
				       .from = &from,
				       .limit = SCAN_ROWS};
		struct lk_op op;

		a.rows = 0;
		rc = lk_send_begin(s, LK_SEND_NOW, &op);
		if (rc == 0)
			rc = lk_op_end(&op, lk_txn_scan(&op, &scan, inode_row, &a));
	} while (rc == 0 && a.rows);
	return rc;
}

static int look_at_item(struct lk_sending *s, struct lk_send_item *item)
{
	int rc = 0;

	for (int side = lk_send_is_difference(s) ? LK_SEND_BASE : LK_SEND_NOW; rc == 0 && side < LK_SEND_SIDES;
	     side++) {
		struct lk_inode inode;
		struct lk_op op;

		rc = lk_send_begin(s, side, &op);
		if (rc)
			return rc;
		rc = lk_op_end(&op, lk_inode_get_any(&op, item->ino, &inode));
		item->there[side] = rc == 0 && inode.nlink > 0;
		if (item->there[side])
			rc = may_send(s, &inode);
		if (item->there[side])
			item->type = (uint32_t)inode.mode & S_IFMT;
		if (rc == LINKFS_ESTALE) /* of the inode, or of the snapshot: then the next one says so again */
			rc = 0;
	}
	return rc;
}

static int find_changed(struct lk_sending *s)
{
	struct lk_diff *d = NULL;
	const uint64_t *inos;
	size_t count = 0;
	bool more = true;
	int rc = lk_diff_new(&(struct lk_diff_ask){.fs = s->fs,
						   .cred = lk_cred(NULL),
						   .from = {s->side[LK_SEND_BASE].epoch, NULL},
						   .to = {s->side[LK_SEND_NOW].epoch, NULL}},
			     &d);

	while (rc == 0 && more && !lk_diff_found(d, &inos, &count))
		rc = lk_diff_step(d, &more);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = lk_send_add_item(s, inos[i]);
	lk_diff_free(d);
	return rc;
}

static int look_at_items(struct lk_sending *s, size_t from)
{
	int rc = 0;

	for (size_t i = from; rc == 0 && i < s->count; i++)
		rc = look_at_item(s, &s->items[i]);
	return rc;
}

int lk_send_find(struct lk_sending *s)
{
	int rc = lk_send_is_difference(s) ? find_changed(s) : find_all(s);
	size_t count = s->count;

	if (rc == 0)
		rc = look_at_items(s, 0);
	if (rc == 0 && lk_send_is_difference(s))
		rc = lk_send_find_links(s);
	return rc ? rc : look_at_items(s, count);
}
