/*
 * send.h - one stream being sent. send.c says what it is of and in which order, send_find.c what there is, send_names.c compares names, send_content.c contents.
 * Layer: api, private.
 *
 * S1 Everything sent is read at two snapshots, which do not change: the same two give the same records. So one that goes on makes all records,
 *    reading no content, and writes from the asked one on.
 * S2 Objects are what may differ (core/diff.h, D1), and what those have to do with: directories above them, sources of binds, targets, files
 *    that they share blocks with. Each gets a number when it is first needed; the base's are told as an entry of a directory that has one.
 *    All are told before anything changes, as the receiver finds the base's by their paths in his tree.
 * S3 Order: objects; names that go; contents, file by file; names that come; empty directories; tracked links, binds, tracked links whose
 *    target is gone; attributes, the root's last. What a CLONE copies from has had its last DATA before, or is the base's.
 */
#ifndef LK_SEND_H
#define LK_SEND_H

#include "inode.h"
#include "pairs.h"
#include "stream.h"

enum { LK_SEND_BASE, LK_SEND_NOW, LK_SEND_SIDES };

struct lk_send_name {
	uint64_t dir;
	size_t at; /* in names */
	uint32_t len;
	bool common; /* the other side has it too */
};
struct lk_send_names {
	struct lk_send_name *p;
	size_t count, cap;
	struct lk_buf bytes;
};

/* An inode that may differ. */
struct lk_send_item {
	uint64_t ino;
	uint32_t type;             /* S_IFMT bits */
	bool there[LK_SEND_SIDES]; /* it has a name */
};

/* Disk blocks that something already sent, or the base, has. */
struct lk_send_share {
	uint64_t disk, count; /* in blocks */
	uint64_t ino, at;     /* whose, and where in it */
	uint64_t size; /* of that file, in bytes: what its last block has behind its end is known to no receiver */
	bool base;
	size_t next; /* of the same bucket; 0: none, else the position + 1 */
};

struct lk_sending {
	struct linkfs_volume *volume;
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	const struct linkfs_send *ask;
	struct linkfs_message *why;
	struct lk_snapshot side[LK_SEND_SIDES]; /* epoch and next_ino; base: epoch 0 for none */
	uint64_t bits[LK_SEND_SIDES];           /* held */
	struct lk_send_item *items;
	size_t count, item_cap;
	struct lk_pairs number_of; /* by inode number */
	uint64_t *ino_of;          /* by number, from 1 on */
	size_t objects, object_cap;
	struct lk_send_names names[LK_SEND_SIDES]; /* of the item that is looked at */
	/* Sharing. */
	struct lk_send_share *shares;
	size_t share_count, share_cap;
	struct lk_pairs share_first; /* by disk block / LK_EXTENT_BLOCKS_MAX, + 1: position + 1 */
	uint8_t *data;               /* LK_WIRE_DATA_MAX */
	struct lk_buf out;
	void *sum; /* XXH3_state_t */
	uint64_t index, resume;
	struct linkfs_send_progress progress;
};

/* Begins an op that reads the side: LINKFS_ESTALE. */
int lk_send_begin(struct lk_sending *s, int side, struct lk_op *op);
/* The record gets the next index and is written, unless it was before. */
int lk_send_emit(struct lk_sending *s, struct lk_wire *record);
static inline bool lk_send_skips(const struct lk_sending *s)
{
	return s->index < s->resume;
}
/* send_find.c. Fills items. */
int lk_send_find(struct lk_sending *s);
int lk_send_add_item(struct lk_sending *s, uint64_t ino);
/* send_links.c. Adds the tracked links that are to be told though nothing of them differs. */
int lk_send_find_links(struct lk_sending *s);
int lk_send_set_number(struct lk_sending *s, uint64_t ino);
/* The number of an inode, which is told to the receiver first if it has none. It is there now, or in the base. */
int lk_send_number(struct lk_sending *s, uint64_t ino, uint64_t *number_out);
static inline bool lk_send_is_difference(const struct lk_sending *s)
{
	return s->side[LK_SEND_BASE].epoch != 0;
}

/* send_names.c. The names of an item at both sides, in order, compared. */
int lk_send_names(struct lk_sending *s, const struct lk_send_item *item);
int lk_send_gone(struct lk_sending *s, const struct lk_send_item *item); /* after lk_send_names() */
int lk_send_come(struct lk_sending *s, const struct lk_send_item *item);
int lk_send_unbind(struct lk_sending *s);
/* With number: gives those numbers that are concerned, and sends nothing else. */
int lk_send_binds(struct lk_sending *s, bool number);
int lk_send_any_bind(struct lk_sending *s, int side, bool *out);
enum lk_send_when { LK_SEND_NUMBER, LK_SEND_BEFORE_BINDS, LK_SEND_AFTER_BINDS };
int lk_send_track(struct lk_sending *s, const struct lk_send_item *item, enum lk_send_when when);
int lk_send_number_names(struct lk_sending *s, const struct lk_send_item *item);

/* send_content.c. find_shared: first of all, what the base has of blocks that are to be sent. */
int lk_send_find_shared(struct lk_sending *s);
int lk_send_content(struct lk_sending *s, const struct lk_send_item *item);
/* send_attr.c */
int lk_send_xattrs(struct lk_sending *s, const struct lk_send_item *item);
int lk_send_attributes(struct lk_sending *s, uint64_t ino, uint64_t number);

#endif
