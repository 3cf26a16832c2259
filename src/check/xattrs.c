/*
 * xattrs.c - the extended attributes of one inode, and the flags that tell of some of them.
 * Layer: check.
 */
#include "check_impl.h"

#define KEPT (LK_INODE_HAS_ACL | LK_INODE_HAS_DEFAULT_ACL | LK_INODE_HAS_CAPS)

int lk_xattrs_check(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	int64_t count = 0, flags = 0;
	const void *record;
	int r;
	while ((r = lk_rows_peek(f->xattrs, &record)) == 0 && record &&
	       ((const struct lk_xattr *)record)->ino == i->ino) {
		const struct lk_xattr *x = record;
		struct lk_place place = {LK_NOWHERE, .ino = i->ino, .name = x->name, .what = lk_xattr_fault(x)};
		if (place.what)
			r = lk_found(c, LK_P_XATTR_FIELD, &place);
		if (r > 0) {
			r = lk_mend_erase(c, LK_T_XATTR, x);
		} else if (r == 0) {
			count++;
			flags |= lk_xattr_flag(&x->name);
		}
		if (r)
			return r;
		lk_rows_next(f->xattrs);
	}
	if (r)
		return lk_unreadable(c, LK_T_XATTR, r);
	if (lk_is_broken(c, LK_T_XATTR))
		return 0;
	flags &= lk_flags_allowed(i->mode);
	int64_t want = (i->flags & ~(int64_t)KEPT) | flags;
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = i->flags, .want = want};
	if (i->flags != want) {
		r = f->made ? 1 : lk_found(c, LK_P_INODE_FLAGS, &place);
		if (r > 0)
			i->flags = want;
		f->changed |= r > 0;
	}
	if (r >= 0 && i->xattr_count != count) {
		place.have = i->xattr_count;
		place.want = count;
		r = f->made ? 1 : lk_found(c, LK_P_INODE_XATTRS, &place);
		if (r > 0)
			i->xattr_count = count;
		f->changed |= r > 0;
	}
	return r < 0 ? r : 0;
}
