/*
 * fingerprint.c - see fingerprint.h.
 * Layer: core.
 */
#include "fingerprint.h"

#include "equal.h"
#include "track.h"
#include "views.h"
#include "xattr.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A name: the number of its directory, and its bytes in a buffer. */
struct name {
	uint64_t dir, shows;
	size_t at;
	uint32_t len;
};

struct print {
	const struct lk_fingerprint *f;
	struct lk_op *op;
	struct lk_buf text, bytes; /* what is hashed; names */
	struct name *names;
	size_t count, cap;
	int64_t view;
	uint64_t shows; /* by the bind that is looked at */
	bool content;
};

static int add(struct lk_buf *to, uint64_t value)
{
	uint8_t bytes[8];

	lk_put_u64(bytes, value);
	return lk_buf_append(to, bytes, sizeof(bytes));
}

static int add_bytes(struct lk_buf *to, const void *p, size_t len)
{
	int rc = add(to, len);

	return rc || len == 0 ? rc : lk_buf_append(to, p, len);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static int name_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct print *p = arg;
	struct name n = {lk_pairs_get(p->f->number_of, (uint64_t)d->dir), p->shows, p->bytes.len,
			 (uint32_t)d->name.len};

	if (p->count == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 16;
		struct name *more = reallocarray(p->names, cap, sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		p->names = more;
		p->cap = cap;
	}
	p->names[p->count++] = n;
	return lk_buf_append(&p->bytes, d->name.p, d->name.len);
}

static int by_place(const void *a, const void *b, void *arg)
{
	const struct name *x = a, *y = b;
	const uint8_t *bytes = arg;
	int c;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	c = memcmp(bytes + x->at, bytes + y->at, LK_MIN(x->len, y->len));
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* Names in directories without a number are nobody's concern: the receiver's own, where it keeps what is not placed yet. */
static int add_names(struct print *p, uint64_t ino)
{
	int rc = p->op->bits ? lk_dirent_names_past(p->op, ino, 0, 0, 0, name_row, p)
			     : lk_dirent_names(p->op, ino, 0, name_row, p);

	if (p->count)
		qsort_r(p->names, p->count, sizeof(*p->names), by_place, p->bytes.p);
	for (size_t i = 0; rc == 0 && i < p->count; i++) {
		if (p->names[i].dir == 0)
			continue;
		rc = add(&p->text, p->names[i].dir);
		if (rc == 0)
			rc = add_bytes(&p->text, p->bytes.p + p->names[i].at, p->names[i].len);
	}
	return rc;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

struct word {
	const char *p;
};

static int by_word(const void *a, const void *b)
{
	return strcmp(((const struct word *)a)->p, ((const struct word *)b)->p);
}

static int add_xattrs(struct print *p, const struct lk_inode *inode)
{
	size_t len = 0, count = 0, got;
	struct word *words;
	char *list, *value;
	int rc;

	if (inode->xattr_count == 0)
		return add(&p->text, 0);
	list = lk_op_alloc(p->op, LINKFS_XATTR_SIZE_MAX);
	value = lk_op_alloc(p->op, LINKFS_XATTR_SIZE_MAX);
	words = lk_op_alloc(p->op, (size_t)inode->xattr_count * sizeof(*words));
	if (!list || !value || !words)
		return LINKFS_ENOMEM;
	rc = lk_xattr_list(p->op, lk_cred(NULL), inode, list, LINKFS_XATTR_SIZE_MAX, &len);
	for (size_t at = 0; rc == 0 && at < len; at += strlen(list + at) + 1) {
		if (count == (size_t)inode->xattr_count)
			return LINKFS_ECORRUPT;
		words[count++].p = list + at;
	}
	if (count)
		qsort(words, count, sizeof(*words), by_word);
	if (rc == 0)
		rc = add(&p->text, count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		got = 0;
		rc = lk_xattr_get(p->op, lk_cred(NULL), inode, words[i].p, value, LINKFS_XATTR_SIZE_MAX, &got);
		if (rc == 0)
			rc = add_bytes(&p->text, words[i].p, strlen(words[i].p));
		if (rc == 0)
			rc = add_bytes(&p->text, value, got);
	}
	return rc;
}

static int add_target(struct print *p, const struct lk_inode *inode)
{
	struct lk_target row;
	struct lk_inode target;
	struct lk_dirent by = {0};
	int rc = lk_symlink_row(p->op, inode, &row);

	if (rc)
		return rc;
	rc = row.tracks ? lk_inode_get_any(p->op, (uint64_t)row.tracks, &target) : LINKFS_ESTALE;
	if (rc && rc != LINKFS_ESTALE)
		return rc;
	/* What a tracked one told last is told by another text where directories go by other names first. */
	if (row.tracks && (rc || target.nlink == 0))
		return add(&p->text, UINT64_MAX);
	if (rc) {
		rc = add(&p->text, 0);
		return rc ? rc : add_bytes(&p->text, row.text.p, row.text.len);
	}
	rc = lk_is_dir(&target) ? 0 : lk_track_entry(p->op, &row, &by);
	if (rc == 0)
		rc = add(&p->text, lk_pairs_get(p->f->number_of, (uint64_t)row.tracks));
	if (rc == 0)
		rc = add(&p->text, by.dir ? lk_pairs_get(p->f->number_of, (uint64_t)by.dir) : 0);
	return rc ? rc : add_bytes(&p->text, by.name.p, by.name.len);
}

static int add_inode(struct print *p, uint64_t number, uint64_t ino)
{
	struct lk_inode inode;
	int rc = lk_inode_get_any(p->op, ino, &inode);

	if (rc == LINKFS_ESTALE || (rc == 0 && inode.nlink == 0))
		return add(&p->text, number);
	if (rc)
		return rc;
	const uint64_t values[] = {
		number,
		(uint64_t)inode.mode,
		(uint64_t)inode.uid,
		(uint64_t)inode.gid,
		(uint64_t)inode.mtime_ns,
		(uint64_t)inode.btime_ns,
		lk_is_reg(&inode) ? 0 : (uint64_t)inode.rdev,
		(uint64_t)inode.flags & LK_INODE_KEEP_LINKS,
		lk_is_dir(&inode) ? 0 : (uint64_t)inode.nlink,
		lk_is_reg(&inode) ? (uint64_t)inode.size : 0,
	};
	for (size_t i = 0; rc == 0 && i < LK_ARRAY_LEN(values); i++)
		rc = add(&p->text, values[i]);
	if (rc == 0)
		rc = add_xattrs(p, &inode);
	if (rc == 0 && lk_is_lnk(&inode))
		rc = add_target(p, &inode);
	p->content = lk_is_reg(&inode);
	p->view = p->op->view;
	return rc || ino == LINKFS_ROOT_INO ? rc : add_names(p, ino);
}

static int finish(struct print *p, int rc, uint8_t out[16])
{
	XXH128_canonical_t canonical;

	if (rc == 0) {
		XXH128_canonicalFromHash(&canonical, XXH3_128bits(p->text.p, p->text.len));
		memcpy(out, canonical.digest, 16);
	}
	lk_buf_done(&p->text);
	lk_buf_done(&p->bytes);
	free(p->names);
	return rc;
}

static int begin(struct print *p, struct lk_op *op)
{
	uint64_t node;
	int rc = lk_op_begin(p->f->fs, op, 0);

	if (rc)
		return rc;
	p->op = op;
	rc = lk_view_see(op, p->f->bits | LINKFS_ROOT_INO, &node);
	return rc ? lk_op_end(op, rc) : 0;
}

int lk_fingerprint(const struct lk_fingerprint *f, uint64_t number, uint64_t ino, uint8_t out[16])
{
	struct print p = {.f = f};
	uint64_t digest[2];
	struct lk_op op;
	int rc = begin(&p, &op);

	if (rc)
		return rc;
	rc = lk_op_end(&op, add_inode(&p, number, ino));
	if (rc == 0 && p.content)
		rc = lk_file_digest(f->fs, p.view, ino, digest);
	for (int i = 0; rc == 0 && p.content && i < 2; i++)
		rc = add(&p.text, digest[i]);
	return finish(&p, rc, out);
}

static int bind_row(void *arg, const void *record)
{
	const struct lk_bind *b = record;
	struct lk_dirent d = {.dir = b->dir, .hash = b->hash, .ord = b->ord};
	struct print *p = arg;
	int rc = lk_txn_get(p->op, LK_T_DIRENT, &d, &d);

	p->shows = lk_pairs_get(p->f->number_of, (uint64_t)b->source);
	if (rc == 0 && (d.name.len == 0 || d.name.len > LINKFS_NAME_MAX))
		rc = LINKFS_ECORRUPT;
	return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc ? rc : name_row(p, &d);
}

int lk_fingerprint_binds(const struct lk_fingerprint *f, uint8_t out[16])
{
	struct lk_scan scan = {.table = &lk_tables[LK_T_BIND], .index = LK_BY_KEY};
	struct print p = {.f = f};
	struct lk_op op;
	int rc = begin(&p, &op);

	if (rc)
		return rc;
	rc = lk_op_end(&op, lk_txn_scan(&op, &scan, bind_row, &p));
	if (p.count)
		qsort_r(p.names, p.count, sizeof(*p.names), by_place, p.bytes.p);
	if (rc == 0)
		rc = add(&p.text, p.count);
	for (size_t i = 0; rc == 0 && i < p.count; i++) {
		rc = add(&p.text, p.names[i].dir);
		if (rc == 0)
			rc = add(&p.text, p.names[i].shows);
		if (rc == 0)
			rc = add_bytes(&p.text, p.bytes.p + p.names[i].at, p.names[i].len);
	}
	return finish(&p, rc, out);
}
