/*
 * send_names.c - names, binds and tracked links of what is sent (send.h).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "send.h"

#include "binds.h"
#include "track.h"

#include <stdlib.h>
#include <sys/stat.h>

static int name_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct lk_send_names *n = arg;

	if (n->count == n->cap) {
		size_t cap = n->cap ? n->cap * 2 : 16;
		struct lk_send_name *more = reallocarray(n->p, cap, sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		n->p = more;
		n->cap = cap;
	}
	n->p[n->count++] = (struct lk_send_name){(uint64_t)d->dir, n->bytes.len, (uint32_t)d->name.len, false};
	return lk_buf_append(&n->bytes, d->name.p, d->name.len);
}

static int compare(const struct lk_send_names *x, size_t i, const struct lk_send_names *y, size_t j)
{
	const struct lk_send_name *a = &x->p[i], *b = &y->p[j];
	int c;

	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	c = memcmp(x->bytes.p + a->at, y->bytes.p + b->at, LK_MIN(a->len, b->len));
	return c ? c : (a->len > b->len) - (a->len < b->len);
}

static int by_place(const void *a, const void *b, void *arg)
{
	const struct lk_send_names *n = arg;
	const struct lk_send_name *x = a, *y = b;
	int c;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	c = memcmp(n->bytes.p + x->at, n->bytes.p + y->at, LK_MIN(x->len, y->len));
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

int lk_send_names(struct lk_sending *s, const struct lk_send_item *item)
{
	struct lk_send_names *base = &s->names[LK_SEND_BASE], *now = &s->names[LK_SEND_NOW];
	int rc = 0;

	for (int side = 0; rc == 0 && side < LK_SEND_SIDES; side++) {
		struct lk_send_names *n = &s->names[side];
		struct lk_op op;

		n->count = n->bytes.len = 0;
		if (!item->there[side])
			continue;
		rc = lk_send_begin(s, side, &op);
		if (rc == 0)
			rc = lk_op_end(&op, lk_dirent_names_past(&op, item->ino, 0, 0, 0, name_row, n));
		if (n->count)
			qsort_r(n->p, n->count, sizeof(*n->p), by_place, n);
	}
	for (size_t i = 0, j = 0; rc == 0 && i < base->count && j < now->count;) {
		int c = compare(base, i, now, j);

		if (c == 0)
			base->p[i].common = now->p[j].common = true;
		i += c <= 0;
		j += c >= 0;
	}
	return rc;
}

static struct lk_bytes bytes_of(const struct lk_send_names *n, size_t i)
{
	return (struct lk_bytes){n->bytes.p + n->p[i].at, n->p[i].len};
}

/* The directories of names that stay count for the fingerprint. */
int lk_send_number_names(struct lk_sending *s, const struct lk_send_item *item)
{
	uint64_t number;
	int rc = lk_send_number(s, item->ino, &number);

	if (rc == 0)
		rc = lk_send_names(s, item);
	for (int side = 0; side < LK_SEND_SIDES; side++)
		for (size_t i = 0; rc == 0 && i < s->names[side].count; i++)
			rc = lk_send_number(s, s->names[side].p[i].dir, &number);
	return rc;
}

int lk_send_gone(struct lk_sending *s, const struct lk_send_item *item)
{
	struct lk_send_names *base = &s->names[LK_SEND_BASE];
	uint64_t number = lk_pairs_get(&s->number_of, item->ino);
	size_t common = 0, last = 0;
	int rc = 0;

	for (size_t i = 0; i < base->count; i++) {
		common += base->p[i].common;
		if (!base->p[i].common)
			last = i;
	}
	for (size_t i = 0; rc == 0 && i < base->count; i++) {
		struct lk_wire r = {.type = LK_WIRE_DEL, .object = number, .name = bytes_of(base, i)};

		if (base->p[i].common)
			continue;
		rc = lk_send_number(s, base->p[i].dir, &r.dir);
		if (common == 0 && i == last && (item->there[LK_SEND_NOW] || S_ISDIR(item->type)))
			r.flags = LK_WIRE_PARK;
		if (rc == 0)
			rc = lk_send_emit(s, &r);
	}
	return rc;
}

int lk_send_come(struct lk_sending *s, const struct lk_send_item *item)
{
	struct lk_send_names *now = &s->names[LK_SEND_NOW];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < now->count; i++) {
		struct lk_wire r = {.type = LK_WIRE_ADD,
				    .object = lk_pairs_get(&s->number_of, item->ino),
				    .dir = lk_pairs_get(&s->number_of, now->p[i].dir),
				    .name = bytes_of(now, i)};

		if (!now->p[i].common)
			rc = lk_send_emit(s, &r);
	}
	return rc;
}

/* ---- binds ------------------------------------------------------------------------------------------------------ */

struct bound {
	struct lk_bind bind;
	char name[LINKFS_NAME_MAX];
	size_t len;
	bool any;
};

static int bind_row(void *arg, const void *record)
{
	struct bound *b = arg;

	b->bind = *(const struct lk_bind *)record;
	b->any = true;
	return 1;
}

/* The bind after the one in *b, and its entry's name. */
static int next_bind(struct lk_sending *s, int side, struct bound *b)
{
	struct lk_dirent entry;
	struct lk_op op;
	struct lk_scan scan = {.table = &lk_tables[LK_T_BIND],
			       .index = LK_BY_KEY,
			       .ranged = lk_tables[LK_T_BIND].key_count,
			       .exclusive = true,
			       .from = &b->bind,
			       .limit = 1};
	int rc = lk_send_begin(s, side, &op);

	if (rc)
		return rc;
	b->any = false;
	rc = lk_txn_scan(&op, &scan, bind_row, b);
	if (rc >= 0 && b->any) {
		entry = (struct lk_dirent){.dir = b->bind.dir, .hash = b->bind.hash, .ord = b->bind.ord};
		rc = lk_txn_get(&op, LK_T_DIRENT, &entry, &entry);
		if (rc == 0)
			rc = lk_dirent_at(&op, (uint64_t)entry.dir, entry.hash, entry.ord, (uint64_t)entry.ino, &entry);
		if (rc == 0) {
			b->len = entry.name.len;
			memcpy(b->name, entry.name.p, entry.name.len);
		}
		if (rc == LINKFS_ENOENT)
			rc = LINKFS_ECORRUPT;
	}
	return lk_op_end(&op, rc > 0 ? 0 : rc);
}

int lk_send_any_bind(struct lk_sending *s, int side, bool *out)
{
	struct bound b = {.any = false};
	int rc = next_bind(s, side, &b);

	*out = b.any;
	return rc;
}

/* Entries at which binds stand are neither removed nor renamed: all go first, and come at the end. */
int lk_send_unbind(struct lk_sending *s)
{
	bool any = false;
	int rc = lk_send_is_difference(s) ? lk_send_any_bind(s, LK_SEND_BASE, &any) : 0;

	return rc == 0 && any ? lk_send_emit(s, &(struct lk_wire){.type = LK_WIRE_UNBIND}) : rc;
}

int lk_send_binds(struct lk_sending *s, bool number)
{
	struct bound b = {.any = true};
	int rc = 0;

	while (rc == 0) {
		struct lk_wire r = {.type = LK_WIRE_BIND};

		rc = next_bind(s, LK_SEND_NOW, &b);
		if (rc || !b.any)
			break;
		rc = lk_send_number(s, (uint64_t)b.bind.source, &r.object);
		if (rc == 0)
			rc = lk_send_number(s, (uint64_t)b.bind.dir, &r.dir);
		r.name = (struct lk_bytes){b.name, b.len};
		if (rc == 0 && !number)
			rc = lk_send_emit(s, &r);
	}
	return rc;
}

/* ---- tracked links ---------------------------------------------------------------------------------------------- */

/* What a symlink follows, and by which entry; or what its text tells when that is gone. */
struct tracked {
	struct lk_inode link, target;
	struct lk_target row;
	bool alive;
	uint64_t dir; /* of the entry, or that the text leads from; 0: none */
	struct lk_buf bytes;
	size_t text_len, rest_at; /* bytes: the text, whose end from there on is the rest; else the entry's name */
};

static int read_tracked(struct lk_op *op, uint64_t ino, struct tracked *out)
{
	struct lk_dirent by = {0};
	struct lk_bytes rest;
	int rc = lk_inode_get(op, ino, &out->link);

	if (rc == 0)
		rc = lk_symlink_row(op, &out->link, &out->row);
	if (rc == 0 && out->row.tracks) {
		rc = lk_inode_get_any(op, (uint64_t)out->row.tracks, &out->target);
		out->alive = rc == 0 && out->target.nlink > 0;
		rc = rc == LINKFS_ESTALE ? 0 : rc;
	}
	if (rc == 0 && out->alive && !lk_is_dir(&out->target)) {
		rc = lk_track_entry(op, &out->row, &by);
		out->dir = (uint64_t)by.dir;
		if (rc == 0)
			rc = lk_buf_append(&out->bytes, by.name.p, by.name.len);
	}
	if (rc || out->alive)
		return rc;
	out->text_len = out->rest_at = out->row.text.len;
	rc = out->row.tracks ? lk_track_told(op, &out->link, out->row.text, &out->dir, &rest) : 0;
	if (rc == 0 && out->row.tracks)
		out->rest_at -= rest.len;
	return rc ? rc : lk_buf_append(&out->bytes, out->row.text.p, out->row.text.len);
}

/* Which names directories go by first, and so what a text tells, is settled when the binds are. */
static int emit_tracked(struct lk_sending *s, const struct lk_send_item *item, const struct tracked *t, bool late,
			uint64_t dir)
{
	struct lk_wire r = {.object = lk_pairs_get(&s->number_of, item->ino), .dir = dir};
	bool gone = t->row.tracks && !t->alive;

	if (late != gone)
		return 0;
	if (t->alive) {
		r.type = LK_WIRE_TRACK;
		r.other = lk_pairs_get(&s->number_of, (uint64_t)t->row.tracks);
		r.name = (struct lk_bytes){t->bytes.p, t->bytes.len};
	} else {
		r.type = gone ? LK_WIRE_GONE : LK_WIRE_TEXT;
		r.data = (struct lk_bytes){t->bytes.p, t->bytes.len};
		r.rest = (struct lk_bytes){t->bytes.p + t->rest_at, t->bytes.len - t->rest_at};
	}
	/* An ordinary one that was made got its text then. */
	return r.type == LK_WIRE_TEXT && !item->there[LK_SEND_BASE] ? 0 : lk_send_emit(s, &r);
}

int lk_send_track(struct lk_sending *s, const struct lk_send_item *item, enum lk_send_when when)
{
	struct tracked t = {.alive = false};
	uint64_t number, dir = 0;
	struct lk_op op;
	int rc = lk_send_begin(s, LK_SEND_NOW, &op);

	if (rc)
		return rc;
	rc = lk_op_end(&op, read_tracked(&op, item->ino, &t));
	if (rc == 0 && t.alive)
		rc = lk_send_number(s, (uint64_t)t.row.tracks, &number);
	if (rc == 0 && t.dir)
		rc = lk_send_number(s, t.dir, &dir);
	if (rc == 0 && when != LK_SEND_NUMBER)
		rc = emit_tracked(s, item, &t, when == LK_SEND_AFTER_BINDS, dir);
	lk_buf_done(&t.bytes);
	return rc;
}
