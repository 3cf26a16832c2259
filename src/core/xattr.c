/*
 * xattr.c - extended attributes: rows, namespaces and who may (xattr(7)).
 * Layer: core. After fs/xattr.c, security/commoncap.c and ext4's handlers of Linux 6.18.
 */
#include "xattr.h"
#include "acl.h"
#include "orphan.h"
#include "perm.h"

#include <string.h>

#define LIST_MAX 65536u
#define CAPS_NAME "security.capability"

/* ---- rows -------------------------------------------------------------------------------------------------- */

/* The inode flag that says that the attribute is there. */
static int64_t flag_of(const char *name)
{
	if (strcmp(name, LK_ACL_ACCESS) == 0)
		return LK_INODE_HAS_ACL;
	if (strcmp(name, LK_ACL_DEFAULT) == 0)
		return LK_INODE_HAS_DEFAULT_ACL;
	if (strcmp(name, CAPS_NAME) == 0)
		return LK_INODE_HAS_CAPS;
	return 0;
}

static void set_key(struct lk_xattr *x, const struct lk_inode *inode, const char *name)
{
	memset(x, 0, sizeof(*x));
	x->ino = inode->ino;
	x->name.p = name;
	x->name.len = strlen(name);
}

int lk_xattr_load(struct lk_op *op, const struct lk_inode *inode, const char *name, struct lk_bytes *out)
{
	struct lk_xattr key, x;
	int rc;

	if (inode->xattr_count == 0)
		return LINKFS_ENODATA;
	set_key(&key, inode, name);
	rc = lk_txn_get(op, LK_T_XATTR, &key, &x);
	if (rc == LINKFS_ENOENT)
		return LINKFS_ENODATA;
	if (rc == 0 && x.value.len > LINKFS_XATTR_SIZE_MAX)
		return LINKFS_ECORRUPT;
	if (rc == 0)
		*out = x.value;
	return rc;
}

struct listing {
	char *buf; /* NULL: count only */
	size_t size, used;
	bool trusted, full;
};

static int list_row(void *arg, const void *record)
{
	struct listing *l = arg;
	const struct lk_xattr *x = record;

	if (x->name.len == 0 || x->name.len > LINKFS_XATTR_NAME_MAX || memchr(x->name.p, 0, x->name.len))
		return LINKFS_ECORRUPT;
	if (!l->trusted && x->name.len > 8 && memcmp(x->name.p, "trusted.", 8) == 0)
		return 0;
	if (l->buf) {
		if (l->size - l->used < x->name.len + 1) {
			l->full = true;
			return 1;
		}
		memcpy(l->buf + l->used, x->name.p, x->name.len);
		l->buf[l->used + x->name.len] = 0;
	}
	l->used += x->name.len + 1;
	return 0;
}

static int list(struct lk_op *op, const struct lk_inode *inode, struct listing *l)
{
	struct lk_xattr key = {.ino = inode->ino, .name = {"", 0}};
	struct lk_scan scan = {.table = &lk_tables[LK_T_XATTR], .index = LK_BY_KEY, .equal = 1, .from = &key};

	return inode->xattr_count ? lk_txn_scan(op, &scan, list_row, l) : 0;
}

int lk_xattr_store(struct lk_op *op, struct lk_inode *inode, const char *name, const void *value, size_t size)
{
	struct lk_xattr x;
	struct lk_bytes old;
	int rc = lk_xattr_load(op, inode, name, &old);

	if (rc && rc != LINKFS_ENODATA)
		return rc;
	if (rc == LINKFS_ENODATA) {
		struct listing l = {.trusted = true};

		/* Below this many the list fits whatever the names are. */
		if (inode->xattr_count >= LIST_MAX / (LINKFS_XATTR_NAME_MAX + 1) - 1) {
			rc = list(op, inode, &l);
			if (rc)
				return rc;
			if (l.used + strlen(name) + 1 > LIST_MAX)
				return LINKFS_ENOSPC;
		}
		inode->xattr_count++;
		inode->flags |= flag_of(name);
	}
	set_key(&x, inode, name);
	x.value.p = size ? value : "";
	x.value.len = size;
	return lk_txn_put(op, LK_T_XATTR, &x);
}

int lk_xattr_erase(struct lk_op *op, struct lk_inode *inode, const char *name)
{
	struct lk_xattr key;
	int rc;

	if (inode->xattr_count == 0)
		return LINKFS_ENODATA;
	set_key(&key, inode, name);
	rc = lk_txn_erase(op, LK_T_XATTR, &key);
	if (rc == LINKFS_ENOENT)
		return LINKFS_ENODATA;
	if (rc)
		return rc;
	inode->xattr_count--;
	inode->flags &= ~flag_of(name);
	return 0;
}

/* Names gathered for erasing, values too for copying: a scan's callback must not write. */
struct gather {
	struct lk_op *op;
	bool values;
	size_t bytes; /* gathered */
	uint32_t count;
	struct name {
		struct name *next;
		size_t len, value_len;
		const char *value;
		char text[]; /* NUL after it */
	} * names;
};

static int gather_row(void *arg, const void *record)
{
	struct gather *g = arg;
	const struct lk_xattr *x = record;
	size_t value_len = g->values ? x->value.len : 0;
	struct name *n = lk_op_alloc(g->op, sizeof(*n) + x->name.len + 1 + value_len);

	if (!n)
		return LINKFS_ENOMEM;
	n->len = x->name.len;
	memcpy(n->text, x->name.p, n->len);
	n->text[n->len] = 0;
	n->value = n->text + n->len + 1;
	n->value_len = value_len;
	if (value_len)
		memcpy(n->text + n->len + 1, x->value.p, value_len);
	n->next = g->names;
	g->names = n;
	g->bytes += n->len + value_len;
	g->count++;
	return 0;
}

static int gather(struct gather *g, const struct lk_inode *inode)
{
	struct lk_xattr key = {.ino = inode->ino, .name = {"", 0}};
	struct lk_scan scan = {.table = &lk_tables[LK_T_XATTR], .index = LK_BY_KEY, .equal = 1, .from = &key};

	return inode->xattr_count ? lk_txn_scan(g->op, &scan, gather_row, g) : 0;
}

int lk_xattr_copy(struct lk_op *op, const struct lk_inode *source, struct lk_inode *copy, bool all)
{
	struct gather g = {.op = op, .values = true};
	int rc = gather(&g, source);

	/* A row of its own leaf each, and overflow pages that are filled. */
	if (rc == 0 && g.count)
		rc = lk_op_need(op, (uint32_t)(g.bytes / 2048) + 2 * g.count);
	for (struct name *n = g.names; rc == 0 && n; n = n->next) {
		if (!all && (strncmp(n->text, "security.", 9) == 0 || strncmp(n->text, "trusted.", 8) == 0))
			continue;
		rc = lk_xattr_store(op, copy, n->text, n->value, n->value_len);
	}
	return rc;
}

int lk_xattr_drop(struct lk_op *op, struct lk_inode *inode)
{
	struct gather g = {.op = op};
	struct lk_xattr key = {.ino = inode->ino};
	int rc = gather(&g, inode);

	for (struct name *n = g.names; rc == 0 && n; n = n->next) {
		key.name.p = n->text;
		key.name.len = n->len;
		rc = lk_txn_erase(op, LK_T_XATTR, &key);
	}
	if (rc)
		return rc;
	inode->xattr_count = 0;
	inode->flags &= ~(int64_t)(LK_INODE_HAS_ACL | LK_INODE_HAS_DEFAULT_ACL | LK_INODE_HAS_CAPS);
	return 0;
}

/* Both were gathered in the order of their names. */
static bool is_same(const struct gather *a, const struct gather *b)
{
	const struct name *x = a->names, *y = b->names;

	for (; x && y; x = x->next, y = y->next)
		if (x->len != y->len || x->value_len != y->value_len || memcmp(x->text, y->text, x->len) != 0 ||
		    memcmp(x->value, y->value, x->value_len) != 0)
			return false;
	return !x && !y;
}

int lk_xattr_replace(struct lk_op *op, int64_t view, const struct lk_inode *source, struct lk_inode *inode, bool dry,
		     bool *changed_out)
{
	struct gather then = {.op = op, .values = true}, now = {.op = op, .values = true};
	int rc;

	op->view = view;
	rc = gather(&then, source);
	op->view = LK_VIEW_LIVE;
	if (rc == 0)
		rc = gather(&now, inode);
	if (rc)
		return rc;
	*changed_out = !is_same(&then, &now);
	if (!*changed_out || dry)
		return 0;
	rc = lk_xattr_drop(op, inode);
	for (struct name *n = then.names; rc == 0 && n; n = n->next)
		rc = lk_xattr_store(op, inode, n->text, n->value, n->value_len);
	return rc;
}

/* ---- rules ------------------------------------------------------------------------------------------------- */

enum space { SPACE_NONE, SPACE_USER, SPACE_TRUSTED, SPACE_SECURITY, SPACE_SYSTEM, SPACE_ACL };

static enum space space_of(const char *name)
{
	if (strncmp(name, "user.", 5) == 0)
		return SPACE_USER;
	if (strncmp(name, "trusted.", 8) == 0)
		return SPACE_TRUSTED;
	if (strncmp(name, "security.", 9) == 0)
		return SPACE_SECURITY;
	if (strcmp(name, LK_ACL_ACCESS) == 0 || strcmp(name, LK_ACL_DEFAULT) == 0)
		return SPACE_ACL;
	return strncmp(name, "system.", 7) == 0 ? SPACE_SYSTEM : SPACE_NONE;
}

/* Linux judges a name's length before it looks at the file. */
static int check_name(const char *name)
{
	size_t len = strnlen(name, LINKFS_XATTR_NAME_MAX + 1);

	return len == 0 || len > LINKFS_XATTR_NAME_MAX ? LINKFS_ERANGE : 0;
}

/* xattr_permission(): mask is LK_MAY_READ or LK_MAY_WRITE. */
static int check_space(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, enum space space,
		       uint32_t mask)
{
	bool write = mask == LK_MAY_WRITE;

	switch (space) {
	case SPACE_SECURITY:
	case SPACE_SYSTEM:
	case SPACE_ACL:
		return 0;
	case SPACE_TRUSTED:
		if (!lk_cred_may_all(cred))
			return write ? LINKFS_EPERM : LINKFS_ENODATA;
		return 0;
	case SPACE_USER:
		if (!lk_is_reg(inode) && !lk_is_dir(inode))
			return write ? LINKFS_EPERM : LINKFS_ENODATA;
		if (write && lk_is_dir(inode) && (inode->mode & S_ISVTX) && !lk_cred_owns(cred, inode))
			return LINKFS_EPERM;
		break;
	case SPACE_NONE:
		break;
	}
	return lk_perm_check(op, cred, inode, mask);
}

/* Whether the file system keeps such names at all. */
static int check_kept(enum space space, const char *name)
{
	if (space == SPACE_NONE || space == SPACE_SYSTEM)
		return LINKFS_EOPNOTSUPP;
	return strchr(name, '.')[1] == 0 ? LINKFS_EINVAL : 0;
}

/* vfs_ns_cap_data of <linux/capability.h>: revision 2 is 20 bytes, revision 3 is 24. */
static int check_caps(const struct linkfs_cred *cred, const void *value, size_t size)
{
	const uint8_t *p = value;

	if (!(size == 20 && p[3] == 2) && !(size == 24 && p[3] == 3))
		return LINKFS_EINVAL;
	return lk_cred_may_all(cred) ? 0 : LINKFS_EPERM;
}

static int give(const void *value, size_t len, void *buf, size_t size, size_t *len_out)
{
	if (size) {
		if (len > size)
			return LINKFS_ERANGE;
		if (len)
			memcpy(buf, value, len);
	}
	*len_out = len;
	return 0;
}

int lk_xattr_get(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, const char *name,
		 void *buf, size_t size, size_t *len_out)
{
	enum space space = space_of(name);
	struct lk_bytes value;
	int rc = check_name(name);

	if (rc == 0 && space == SPACE_ACL && lk_is_lnk(inode))
		return LINKFS_EOPNOTSUPP;
	if (rc == 0)
		rc = check_space(op, cred, inode, space, LK_MAY_READ);
	if (rc == 0)
		rc = check_kept(space, name);
	if (rc == 0)
		rc = lk_xattr_load(op, inode, name, &value);
	return rc ? rc : give(value.p, value.len, buf, size, len_out);
}

static int finish(struct lk_op *op, struct lk_inode *inode, const struct lk_inode *changed)
{
	struct lk_inode put = *changed;
	int rc;

	lk_inode_touch(op, &put, false);
	rc = lk_inode_put(op, &put);
	if (rc)
		return rc;
	*inode = put;
	return lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)inode->ino, NULL, 0);
}

static int set_plain(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name,
		     const void *value, size_t size, uint32_t flags, bool *same_out)
{
	enum space space = space_of(name);
	struct lk_bytes old;
	int rc = lk_perm_writable(op);

	if (rc == 0 && strcmp(name, CAPS_NAME) == 0 && size)
		rc = check_caps(cred, value, size);
	if (rc == 0)
		rc = check_space(op, cred, inode, space, LK_MAY_WRITE);
	if (rc == 0 && space == SPACE_SECURITY && !lk_cred_may_all(cred))
		rc = LINKFS_EPERM;
	if (rc == 0)
		rc = check_kept(space, name);
	if (rc)
		return rc;
	rc = lk_xattr_load(op, inode, name, &old);
	if (rc == LINKFS_ENODATA)
		return flags & LINKFS_XATTR_REPLACE ? rc : lk_xattr_store(op, inode, name, value, size);
	if (rc)
		return rc;
	if (flags & LINKFS_XATTR_CREATE)
		return LINKFS_EEXIST;
	if (old.len == size && (size == 0 || memcmp(old.p, value, size) == 0)) {
		*same_out = true; /* ext4: what does not change leaves ctime alone */
		return 0;
	}
	return lk_xattr_store(op, inode, name, value, size);
}

int lk_xattr_set(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name,
		 const void *value, size_t size, uint32_t flags)
{
	struct lk_inode changed = *inode;
	bool same = false;
	int rc;

	if (flags & ~(LINKFS_XATTR_CREATE | LINKFS_XATTR_REPLACE | LINKFS_XATTR_KILL_SGID))
		return LINKFS_EINVAL;
	rc = check_name(name);
	if (rc)
		return rc;
	if (size > LINKFS_XATTR_SIZE_MAX)
		return LINKFS_E2BIG;
	if (space_of(name) == SPACE_ACL)
		rc = lk_acl_set(op, cred, &changed, name, value, size, flags & LINKFS_XATTR_KILL_SGID, &same);
	else
		rc = set_plain(op, cred, &changed, name, value, size, flags, &same);
	return rc || same ? rc : finish(op, inode, &changed);
}

int lk_xattr_list(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, char *buf,
		  size_t size, size_t *len_out)
{
	struct listing l = {.buf = size ? buf : NULL, .size = LK_MIN(size, LIST_MAX), .trusted = cred->uid == 0};
	int rc = list(op, inode, &l);

	if (rc)
		return rc;
	if (l.full)
		return size >= LIST_MAX ? LINKFS_E2BIG : LINKFS_ERANGE;
	*len_out = l.used;
	return 0;
}

int lk_xattr_remove(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name)
{
	struct lk_inode changed = *inode;
	enum space space = space_of(name);
	bool same = false;
	int rc = check_name(name);

	if (rc)
		return rc;
	if (space == SPACE_ACL) {
		rc = lk_acl_set(op, cred, &changed, name, NULL, 0, false, &same);
		return rc || same ? rc : finish(op, inode, &changed);
	}
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = check_space(op, cred, inode, space, LK_MAY_WRITE);
	if (rc == 0 && space == SPACE_SECURITY && !lk_cred_may_all(cred))
		rc = LINKFS_EPERM;
	if (rc == 0)
		rc = check_kept(space, name);
	if (rc == 0)
		rc = lk_xattr_erase(op, &changed, name);
	return rc ? rc : finish(op, inode, &changed);
}
