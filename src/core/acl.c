/*
 * acl.c - POSIX ACLs (acl(5); the checks and the format are those of Linux's fs/posix_acl.c).
 * Layer: core. In a volume an ACL is the kernel's xattr value: a 32-bit version 2, then entries of tag, permissions
 * (16 bits each) and id (32 bits), little-endian, in the order that acl_valid demands.
 */
#include "acl.h"
#include "perm.h"
#include "xattr.h"

#include <string.h>

#define ACL_VERSION 2u
#define HEADER_SIZE 4u
#define ENTRY_SIZE 8u
#define NO_ID UINT32_MAX

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | get16(p + 2) << 16;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v & 0xffff);
	put16(p + 2, v >> 16);
}

static bool known_tag(uint32_t tag)
{
	switch (tag) {
	case LK_ACL_USER_OBJ:
	case LK_ACL_USER:
	case LK_ACL_GROUP_OBJ:
	case LK_ACL_GROUP:
	case LK_ACL_MASK:
	case LK_ACL_OTHER:
		return true;
	default:
		return false;
	}
}

/* Owner, users, group, groups, mask, other: each in its place; a mask where somebody is named. */
static bool acl_valid(const struct lk_acl_entry *e, uint32_t count)
{
	uint32_t i = 0;
	bool named = false;

	if (i == count || e[i++].tag != LK_ACL_USER_OBJ)
		return false;
	for (; i < count && e[i].tag == LK_ACL_USER; i++)
		named = true;
	if (i == count || e[i++].tag != LK_ACL_GROUP_OBJ)
		return false;
	for (; i < count && e[i].tag == LK_ACL_GROUP; i++)
		named = true;
	if (i < count && e[i].tag == LK_ACL_MASK)
		i++;
	else if (named)
		return false;
	if (i == count || e[i++].tag != LK_ACL_OTHER)
		return false;
	if (i != count)
		return false;
	for (i = 0; i < count; i++)
		if ((e[i].perm & ~7u) || ((e[i].tag & (LK_ACL_USER | LK_ACL_GROUP)) && e[i].id == NO_ID))
			return false;
	return true;
}

/* Reads the format; whether the entries make an ACL is not asked. */
static int read_entries(struct lk_op *op, const void *value, size_t size, struct lk_acl *out)
{
	const uint8_t *p = value;
	struct lk_acl_entry *entries;
	uint32_t count;

	if (size < HEADER_SIZE)
		return LINKFS_EINVAL;
	if (get32(p) != ACL_VERSION)
		return LINKFS_EOPNOTSUPP;
	if ((size - HEADER_SIZE) % ENTRY_SIZE || size > LINKFS_XATTR_SIZE_MAX)
		return LINKFS_EINVAL;
	count = (uint32_t)((size - HEADER_SIZE) / ENTRY_SIZE);
	entries = lk_op_alloc(op, LK_MAX(count, 1u) * sizeof(*entries));
	if (!entries)
		return LINKFS_ENOMEM;
	p += HEADER_SIZE;
	for (uint32_t i = 0; i < count; i++, p += ENTRY_SIZE) {
		entries[i].tag = (uint16_t)get16(p);
		entries[i].perm = (uint16_t)get16(p + 2);
		entries[i].id = entries[i].tag & (LK_ACL_USER | LK_ACL_GROUP) ? get32(p + 4) : NO_ID;
		if (!known_tag(entries[i].tag))
			return LINKFS_EINVAL;
	}
	out->count = count;
	out->entries = entries;
	return 0;
}

/* Writes an ACL as name of inode; changes inode, does not put. */
static int store(struct lk_op *op, struct lk_inode *inode, const char *name, const struct lk_acl *acl)
{
	size_t size = HEADER_SIZE + (size_t)acl->count * ENTRY_SIZE;
	uint8_t *value = lk_op_alloc(op, size), *p = value;

	if (!value)
		return LINKFS_ENOMEM;
	put32(p, ACL_VERSION);
	p += HEADER_SIZE;
	for (uint32_t i = 0; i < acl->count; i++, p += ENTRY_SIZE) {
		put16(p, acl->entries[i].tag);
		put16(p + 2, acl->entries[i].perm);
		put32(p + 4, acl->entries[i].id);
	}
	return lk_xattr_store(op, inode, name, value, size);
}

/* A stored ACL was valid when it was stored: what is not now is damage. */
static int load(struct lk_op *op, const struct lk_inode *inode, const char *name, struct lk_acl *out)
{
	struct lk_bytes value;
	int rc = lk_xattr_load(op, inode, name, &value);

	if (rc == 0)
		rc = read_entries(op, value.p, value.len, out);
	if (rc == LINKFS_ENODATA || rc == LINKFS_EINVAL || rc == LINKFS_EOPNOTSUPP)
		return LINKFS_ECORRUPT;
	return rc == 0 && !acl_valid(out->entries, out->count) ? LINKFS_ECORRUPT : rc;
}

uint32_t lk_acl_mode(const struct lk_acl *acl, bool *minimal_out)
{
	uint32_t mode = 0, mask = 8;
	bool minimal = true;

	for (uint32_t i = 0; i < acl->count; i++) {
		const struct lk_acl_entry *e = &acl->entries[i];

		if (e->tag == LK_ACL_USER_OBJ) {
			mode |= (uint32_t)e->perm << 6;
		} else if (e->tag == LK_ACL_GROUP_OBJ) {
			mode |= (uint32_t)e->perm << 3;
		} else if (e->tag == LK_ACL_OTHER) {
			mode |= e->perm;
		} else {
			minimal = false;
			if (e->tag == LK_ACL_MASK)
				mask = e->perm;
		}
	}
	if (mask < 8)
		mode = (mode & ~(uint32_t)S_IRWXG) | mask << 3;
	*minimal_out = minimal;
	return mode;
}

int lk_acl_check(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, uint32_t want)
{
	struct lk_acl acl;
	uint32_t mask = 7, granted = 0;
	bool in_a_group = false;
	int rc = load(op, inode, LK_ACL_ACCESS, &acl);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < acl.count; i++)
		if (acl.entries[i].tag == LK_ACL_MASK)
			mask = acl.entries[i].perm;
	for (uint32_t i = 0; i < acl.count; i++) {
		const struct lk_acl_entry *e = &acl.entries[i];
		bool group;

		if (e->tag == LK_ACL_USER && e->id == cred->uid)
			return want & ~(e->perm & mask) ? LINKFS_EACCES : 0;
		group = (e->tag == LK_ACL_GROUP_OBJ && lk_cred_in_group(cred, inode->gid)) ||
			(e->tag == LK_ACL_GROUP && lk_cred_in_group(cred, e->id));
		if (group) {
			in_a_group = true;
			/* One group's entry must grant all that is asked: they do not add up. */
			if (!(want & ~(uint32_t)e->perm))
				return want & ~mask ? LINKFS_EACCES : 0;
		}
		if (e->tag == LK_ACL_OTHER)
			granted = e->perm;
	}
	return in_a_group || (want & ~granted) ? LINKFS_EACCES : 0;
}

static struct lk_acl_entry *find(const struct lk_acl *acl, struct lk_acl_entry *entries, enum lk_acl_tag tag)
{
	for (uint32_t i = 0; i < acl->count; i++)
		if (entries[i].tag == tag)
			return &entries[i];
	return NULL;
}

/* A copy of acl that may be changed. */
static int copy(struct lk_op *op, const struct lk_acl *acl, struct lk_acl_entry **out)
{
	*out = lk_op_alloc(op, acl->count * sizeof(**out));
	if (!*out)
		return LINKFS_ENOMEM;
	memcpy(*out, acl->entries, acl->count * sizeof(**out));
	return 0;
}

/* The entries that stand for the mode's three classes; what stands for the group is the mask where there is one. */
static void classes(const struct lk_acl *acl, struct lk_acl_entry *entries, struct lk_acl_entry *out[3])
{
	out[0] = find(acl, entries, LK_ACL_USER_OBJ);
	out[1] = find(acl, entries, LK_ACL_MASK);
	if (!out[1])
		out[1] = find(acl, entries, LK_ACL_GROUP_OBJ);
	out[2] = find(acl, entries, LK_ACL_OTHER);
}

int lk_acl_chmod(struct lk_op *op, struct lk_inode *inode)
{
	struct lk_acl_entry *entries, *class[3];
	struct lk_acl acl;
	int rc = load(op, inode, LK_ACL_ACCESS, &acl);

	if (rc == 0)
		rc = copy(op, &acl, &entries);
	if (rc)
		return rc;
	classes(&acl, entries, class);
	for (int i = 0; i < 3; i++)
		class[i]->perm = (uint16_t)(inode->mode >> (6 - 3 * i) & 7);
	acl.entries = entries;
	return store(op, inode, LK_ACL_ACCESS, &acl);
}

int lk_acl_inherit(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir, struct lk_inode *inode)
{
	struct lk_acl_entry *entries, *class[3];
	struct lk_acl inherited, acl;
	bool minimal;
	int rc;

	if (!(dir->flags & LK_INODE_HAS_DEFAULT_ACL)) {
		inode->mode &= ~(int64_t)(cred->umask & 0777);
		return 0;
	}
	rc = load(op, dir, LK_ACL_DEFAULT, &inherited);
	if (rc == 0)
		rc = copy(op, &inherited, &entries);
	if (rc)
		return rc;
	acl = inherited;
	acl.entries = entries;
	classes(&acl, entries, class);
	for (int i = 0; i < 3; i++)
		class[i]->perm &= (uint16_t)(inode->mode >> (6 - 3 * i) & 7);
	inode->mode = (inode->mode & ~INT64_C(0777)) | class[0]->perm << 6 | class[1]->perm << 3 | class[2]->perm;
	(void)lk_acl_mode(&acl, &minimal);
	if (!minimal)
		rc = store(op, inode, LK_ACL_ACCESS, &acl);
	if (rc == 0 && lk_is_dir(inode))
		rc = store(op, inode, LK_ACL_DEFAULT, &inherited);
	return rc;
}

/* do_set_acl(), vfs_set_acl() and set_posix_acl() of Linux, in their order. */
static int may_set(const struct linkfs_cred *cred, const struct lk_inode *inode, bool access, const struct lk_acl *acl,
		   bool *nothing_out)
{
	if (lk_is_lnk(inode))
		return LINKFS_EOPNOTSUPP;
	if (!access && !lk_is_dir(inode)) {
		*nothing_out = true;
		return acl->count ? LINKFS_EACCES : 0;
	}
	if (!lk_cred_owns(cred, inode))
		return LINKFS_EPERM;
	return acl->count && !acl_valid(acl->entries, acl->count) ? LINKFS_EINVAL : 0;
}

int lk_acl_set(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name,
	       const void *value, size_t size, bool kill_sgid, bool *same_out)
{
	bool access = strcmp(name, LK_ACL_ACCESS) == 0, minimal = true, nothing = false;
	struct lk_acl acl = {0};
	int rc = lk_perm_writable(op);

	if (rc == 0 && size)
		rc = read_entries(op, value, size, &acl);
	if (rc == 0)
		rc = may_set(cred, inode, access, &acl, &nothing);
	if (rc || nothing) {
		*same_out = nothing;
		return rc;
	}
	int64_t mode = inode->mode;

	if (access && acl.count) {
		inode->mode = (inode->mode & ~INT64_C(0777)) | lk_acl_mode(&acl, &minimal);
		if (kill_sgid || (!lk_cred_may_all(cred) && !lk_cred_in_group(cred, inode->gid)))
			inode->mode &= ~(int64_t)S_ISGID;
	}
	if (acl.count && !(access && minimal))
		return store(op, inode, name, &acl);
	rc = lk_xattr_erase(op, inode, name);
	if (rc != LINKFS_ENODATA)
		return rc;
	/* Nothing was there to go: ext4 has changed the file when its mode changed. */
	*same_out = inode->mode == mode;
	return 0;
}
