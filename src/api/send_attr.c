/*
 * send_attr.c - attributes of what is sent (send.h).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "send.h"

#include "xattr.h"

#include <stdlib.h>

/* The list of one side, and room for values. */
struct side {
	char *list, *value;
	size_t len;
};

static int read_list(struct lk_sending *s, int side, uint64_t ino, struct side *out)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc = lk_send_begin(s, side, &op);

	if (rc)
		return rc;
	out->len = 0;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0 && inode.xattr_count)
		rc = lk_xattr_list(&op, lk_cred(NULL), &inode, out->list, LINKFS_XATTR_SIZE_MAX, &out->len);
	return lk_op_end(&op, rc);
}

static int read_value(struct lk_sending *s, int side, uint64_t ino, const char *name, char *value, size_t *len_out)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc = lk_send_begin(s, side, &op);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	*len_out = 0;
	if (rc == 0)
		rc = lk_xattr_get(&op, lk_cred(NULL), &inode, name, value, LINKFS_XATTR_SIZE_MAX, len_out);
	return lk_op_end(&op, rc);
}

static bool has(const struct side *side, const char *name)
{
	for (size_t at = 0; at < side->len; at += strlen(side->list + at) + 1)
		if (strcmp(side->list + at, name) == 0)
			return true;
	return false;
}

/* Those that went; then those of now that the base has not, or otherwise. All names together may not be more than so many bytes. */
static int send_lists(struct lk_sending *s, const struct lk_send_item *item, struct side sides[2])
{
	struct lk_wire r = {.object = lk_pairs_get(&s->number_of, item->ino)};
	size_t len[2];
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < sides[0].len; at += strlen(sides[0].list + at) + 1) {
		const char *name = sides[0].list + at;

		r.type = LK_WIRE_XDEL;
		r.name = (struct lk_bytes){name, strlen(name)};
		if (!has(&sides[1], name))
			rc = lk_send_emit(s, &r);
	}
	for (size_t at = 0; rc == 0 && at < sides[1].len; at += strlen(sides[1].list + at) + 1) {
		const char *name = sides[1].list + at;
		bool same = has(&sides[0], name);

		rc = read_value(s, LK_SEND_NOW, item->ino, name, sides[1].value, &len[1]);
		if (rc == 0 && same)
			rc = read_value(s, LK_SEND_BASE, item->ino, name, sides[0].value, &len[0]);
		same = same && rc == 0 && len[0] == len[1] && memcmp(sides[0].value, sides[1].value, len[0]) == 0;
		r.type = LK_WIRE_XSET;
		r.name = (struct lk_bytes){name, strlen(name)};
		r.data = (struct lk_bytes){sides[1].value, len[1]};
		if (rc == 0 && !same)
			rc = lk_send_emit(s, &r);
	}
	return rc;
}

int lk_send_xattrs(struct lk_sending *s, const struct lk_send_item *item)
{
	char *room = malloc((size_t)4 * LINKFS_XATTR_SIZE_MAX);
	struct side sides[2] = {{0}};
	int rc = room ? 0 : LINKFS_ENOMEM;

	for (int side = 0; rc == 0 && side < LK_SEND_SIDES; side++) {
		sides[side].list = room + (size_t)(2 * side) * LINKFS_XATTR_SIZE_MAX;
		sides[side].value = sides[side].list + LINKFS_XATTR_SIZE_MAX;
		if (item->there[side])
			rc = read_list(s, side, item->ino, &sides[side]);
	}
	if (rc == 0 && (sides[0].len || sides[1].len))
		rc = send_lists(s, item, sides);
	free(room);
	return rc;
}

int lk_send_attributes(struct lk_sending *s, uint64_t ino, uint64_t number)
{
	struct lk_wire r = {.type = LK_WIRE_ATTR, .object = number};
	struct lk_inode inode;
	struct lk_op op;
	int rc = lk_send_begin(s, LK_SEND_NOW, &op);

	if (rc)
		return rc;
	rc = lk_op_end(&op, lk_inode_get(&op, ino, &inode));
	if (rc)
		return rc;
	r.mode = (uint32_t)inode.mode;
	r.uid = (uint32_t)inode.uid;
	r.gid = (uint32_t)inode.gid;
	r.flags = inode.flags & LK_INODE_KEEP_LINKS ? LINKFS_INO_KEEP_LINKS : 0;
	r.atime_ns = inode.atime_ns;
	r.mtime_ns = inode.mtime_ns;
	r.btime_ns = inode.btime_ns;
	return lk_send_emit(s, &r);
}
