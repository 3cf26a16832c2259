/*
 * judge.c - the rules of docs/FORMAT.md for single records. They are written out here and not taken from core, so that what core
 * takes for right is not right by that alone.
 * Layer: check.
 */
#include "check_impl.h"

#include <string.h>

#define FILE_BLOCKS_MAX ((int64_t)((LINKFS_FILE_SIZE_MAX + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE))

bool lk_type_known(int64_t mode)
{
	if (mode < 0 || mode > 0177777)
		return false;
	switch (mode & LK_CHECK_MODE_MASK) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	default:
		return false;
	}
}

bool lk_name_valid(const void *name, size_t len)
{
	const char *p = name;
	if (len == 0 || len > LINKFS_NAME_MAX || memchr(p, '/', len) || memchr(p, 0, len))
		return false;
	return !(p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.')));
}

bool lk_text_valid(const struct lk_bytes *text)
{
	return text->len > 0 && text->len <= LINKFS_SYMLINK_MAX && !memchr(text->p, 0, text->len);
}

bool lk_tracks_valid(const struct lk_target *t)
{
	if (t->tracks == 0 || t->by_dir == 0)
		return t->by_dir == 0 && t->by_hash == 0 && t->by_ord == 0 && t->tracks >= 0 &&
		       t->tracks <= LK_INO_MAX && t->tracks != t->ino;
	return t->tracks >= 1 && t->tracks <= LK_INO_MAX && t->tracks != t->ino && t->by_dir >= 1 &&
	       t->by_dir <= LK_INO_MAX && t->by_ord >= 0 && t->by_ord <= 255 && t->by_hash >= 16 &&
	       t->by_hash < (INT64_C(1) << 55) - 1;
}

bool lk_dirent_valid(const struct lk_dirent *d)
{
	return d->dir >= 1 && d->dir <= LK_INO_MAX && d->ino >= 1 && d->ino <= LK_INO_MAX && d->ord >= 0 &&
	       d->ord <= 255 && d->hash >= 16 && d->hash < (INT64_C(1) << 55) - 1;
}

const char *lk_extent_fault(const struct lk_extent *e)
{
	int64_t max = FILE_BLOCKS_MAX, sums = 0, named = e->count;
	bool packed = e->codec == LK_CODEC_ZSTD;
	switch (e->codec) {
	case LK_CODEC_RAW:
		max = LK_EXTENT_BLOCKS_MAX;
		sums = e->count;
		break;
	case LK_CODEC_ZSTD:
		max = LK_CHUNK_BLOCKS;
		sums = 1;
		break;
	case LK_CODEC_UNWRITTEN:
		max = LK_GROUP_BLOCKS;
		break;
	case LK_CODEC_HOLE:
		break;
	default:
		return "its codec is unknown";
	}
	if (e->file_block < 0 || e->file_block >= FILE_BLOCKS_MAX)
		return "its place in the file is out of range";
	if (e->count < 1 || e->count > max || e->count > FILE_BLOCKS_MAX - e->file_block)
		return "its count is out of range";
	if (!packed && (e->length || e->offset))
		return "it has a length or offset of compressed data";
	if (packed && (e->length < 1 || e->length > (int64_t)LK_CHUNK_BYTES - (int64_t)LK_BLOCK_SIZE))
		return "its length of compressed data is out of range";
	if (packed && (e->offset < 0 || e->offset > (int64_t)LK_CHUNK_BLOCKS - e->count))
		return "its offset into compressed data is out of range";
	if (packed)
		named = (e->length + (int64_t)LK_BLOCK_SIZE - 1) / (int64_t)LK_BLOCK_SIZE;
	if (e->sums.len != (size_t)sums * 8)
		return packed ? "it does not have one checksum" : "it does not have a checksum for each block";
	if (e->codec == LK_CODEC_HOLE)
		return e->disk_block ? "it is a hole with a disk block" : NULL;
	if (e->disk_block < 0 || e->disk_block > LK_DISK_BLOCK_MAX)
		return "its disk block is out of range";
	if (e->disk_block % LK_GROUP_BLOCKS + named > LK_GROUP_BLOCKS)
		return "its disk blocks do not lie in one group";
	return NULL;
}

static bool within(int64_t value, int64_t max)
{
	return value >= 0 && value <= max;
}

int64_t lk_flags_allowed(int64_t mode)
{
	int64_t any = LK_INODE_HAS_CAPS | LK_INODE_KEEP_LINKS | LK_INODE_KEPT;
	int64_t how = LK_INODE_COMPRESS | LK_INODE_NO_COMPRESS;
	switch (mode & LK_CHECK_MODE_MASK) {
	case S_IFREG:
		return any | how | LK_INODE_INLINE | LK_INODE_HAS_ACL | LK_INODE_TMPFILE | LK_INODE_TRIM |
		       LK_INODE_FOLLOWED | LK_INODE_PACKED;
	case S_IFDIR:
		return any | how | LK_INODE_HAS_ACL | LK_INODE_HAS_DEFAULT_ACL | LK_INODE_FOLLOWED;
	case S_IFLNK:
		return any | LK_INODE_TRACKED;
	default:
		return any | LK_INODE_HAS_ACL | LK_INODE_FOLLOWED;
	}
}

const char *lk_inode_fault(const struct lk_inode *i, int64_t epoch)
{
	int64_t type = i->mode & LK_CHECK_MODE_MASK;
	if (!within(i->uid, UINT32_MAX) || !within(i->gid, UINT32_MAX))
		return "its owner or group";
	if (!within(i->nlink, LINKFS_LINK_MAX))
		return "its link count";
	if (!within(i->size, type == S_IFREG   ? (int64_t)LINKFS_FILE_SIZE_MAX
			     : type == S_IFLNK ? LINKFS_SYMLINK_MAX
					       : 0))
		return "its size";
	if (!within(i->blocks, LK_DISK_BLOCK_MAX))
		return "its count of blocks";
	bool packed = type == S_IFREG && (i->flags & LK_INODE_PACKED);
	if (packed && (i->rdev < 1 || i->rdev > (int64_t)LK_PACKED_MAX))
		return "its count of compressed bytes";
	if (!packed && (i->rdev < 0 || (i->rdev && type != S_IFCHR && type != S_IFBLK)))
		return "its device number";
	if (!within(i->xattr_count, INT32_MAX))
		return "its count of extended attributes";
	if ((i->flags & ~lk_flags_allowed(i->mode)) ||
	    ((i->flags & LK_INODE_COMPRESS) && (i->flags & LK_INODE_NO_COMPRESS)) ||
	    ((i->flags & LK_INODE_PACKED) && !(i->flags & LK_INODE_INLINE)))
		return "its flags";
	return i->born < 1 || i->born > epoch ? "its epoch" : NULL;
}

int64_t lk_xattr_flag(const struct lk_bytes *name)
{
	static const struct {
		const char *name;
		int64_t flag;
	} rows[] = {
		{"system.posix_acl_access", LK_INODE_HAS_ACL},
		{"system.posix_acl_default", LK_INODE_HAS_DEFAULT_ACL},
		{"security.capability", LK_INODE_HAS_CAPS},
	};
	for (size_t i = 0; i < LK_ARRAY_LEN(rows); i++) {
		if (strlen(rows[i].name) == name->len && memcmp(rows[i].name, name->p, name->len) == 0)
			return rows[i].flag;
	}
	return 0;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The kernel's xattr form of an ACL, version 2: a header of 4 bytes, entries of tag, permissions and id, tags ascending. */
static bool acl_valid(const struct lk_bytes *value)
{
	const uint8_t *p = value->p;
	uint32_t before = 0;
	if (value->len < 4 || value->len % 8 != 4 || get_u32(p) != 2)
		return false;
	for (size_t at = 4; at < value->len; at += 8) {
		uint32_t tag = (uint32_t)p[at] | (uint32_t)p[at + 1] << 8;
		uint32_t perm = (uint32_t)p[at + 2] | (uint32_t)p[at + 3] << 8;
		if (perm > 7 || tag == 0 || tag > 32 || (tag & (tag - 1)) || tag < before)
			return false;
		before = tag;
	}
	return true;
}

const char *lk_xattr_fault(const struct lk_xattr *x)
{
	if (x->name.len == 0 || x->name.len > LINKFS_XATTR_NAME_MAX || memchr(x->name.p, 0, x->name.len))
		return "its name is none";
	if (x->value.len > LINKFS_XATTR_SIZE_MAX)
		return "its value is too long";
	int64_t flag = lk_xattr_flag(&x->name);
	if ((flag & (LK_INODE_HAS_ACL | LK_INODE_HAS_DEFAULT_ACL)) && !acl_valid(&x->value))
		return "its value is no ACL";
	return NULL;
}
