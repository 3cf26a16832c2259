/*
 * wire.h - the stream of `linkfs send`: records, encoded and decoded. docs/STREAM.md says the same in words.
 * Layer: format. Pure functions over bytes: every length is bounded here, and nothing but the bytes given is touched, so that it can be
 * fuzzed. What the numbers in a record mean is the sender's and receiver's business (api).
 */
#ifndef LK_WIRE_H
#define LK_WIRE_H

#include "base.h"

#define LK_WIRE_MAGIC "LKSTRM\r\n"
#define LK_WIRE_VERSION 1u
#define LK_WIRE_PREFIX 16u /* magic, version, zero */
#define LK_WIRE_HEAD 16u   /* type, length, index */
#define LK_WIRE_TAIL 8u    /* XXH3 64 of head and payload */
#define LK_WIRE_DATA_MAX (256u << 10)
#define LK_WIRE_RECORD_MAX (LK_WIRE_DATA_MAX + 4096u)
#define LK_WIRE_STAGE ".linkfs-receive" /* what the name of the receiver's directory begins with */

enum lk_wire_type {
	LK_WIRE_BEGIN = 1,
	LK_WIRE_END,
	LK_WIRE_OLD,    /* object number is the base's entry name in directory dir */
	LK_WIRE_NEW,    /* object number is made: mode, rdev; a symlink's text is data */
	LK_WIRE_UNBIND, /* all binds go */
	LK_WIRE_DEL,    /* entry name of directory dir, which names object, goes */
	LK_WIRE_RMDIR,  /* object, a directory that lost its names, goes */
	LK_WIRE_SIZE,   /* object has length bytes */
	LK_WIRE_DATA,
	LK_WIRE_HOLE,
	LK_WIRE_CLONE, /* length bytes at offset are those of object other at other_offset */
	LK_WIRE_TEXT,  /* of a symlink */
	LK_WIRE_ADD,   /* entry name in directory dir names object */
	LK_WIRE_TRACK, /* symlink object follows object other, by entry name of directory dir (0: any) */
	LK_WIRE_BIND,  /* entry name of directory dir shows object */
	LK_WIRE_XSET,  /* extended attribute name */
	LK_WIRE_XDEL,
	LK_WIRE_ATTR,
	LK_WIRE_PROPERTY, /* of the volume: name, data */
	LK_WIRE_GONE, /* symlink object followed what is gone: its text is data, which leads from directory dir on by rest */
	LK_WIRE_TYPES,
};

/* of LK_WIRE_DEL: it was the last name, and the file goes on: the receiver keeps it until it gets another; or it is a directory. */
#define LK_WIRE_PARK 1u
/* of LK_WIRE_CLONE: other as it is in the base; else as the stream has made it */
#define LK_WIRE_BASE 1u
/* of LK_WIRE_BEGIN: there is a base */
#define LK_WIRE_DIFFERENCE 1u

/* A record of any type: each has some of these (wire.c). Bytes belong to the buffer that was decoded. */
struct lk_wire {
	uint32_t type;
	uint64_t
		index; /* counts up from 0; a stream that goes on begins with BEGIN of index 0 and continues at resume */
	uint64_t object, dir, other;
	uint64_t offset, other_offset, length;
	uint32_t mode, uid, gid, flags;
	uint32_t rdev_major, rdev_minor;
	int64_t atime_ns, mtime_ns, btime_ns; /* BEGIN: mtime_ns is the snapshot's time */
	struct lk_bytes name, data, rest;
	/* BEGIN: which stream, the snapshot's identities (its own, and what it was received as), the base's; 16 bytes each, zeros for none */
	uint8_t stream[16], self[2][16], base[2][16];
	uint64_t resume;            /* BEGIN: index of the record after it */
	struct lk_bytes note, tags; /* BEGIN; name is the snapshot's */
	struct lk_bytes stage;      /* BEGIN: a name that the root has in neither tree */
	struct lk_bytes base_name;  /* BEGIN: for messages */
	/* END: number of objects is object; of what they are to be like, and of all bytes of the stream before this record */
	uint8_t tree[16], sum[16];
};

/* Writes the 16 bytes before the first record, and compares them: LINKFS_EINVAL (no stream), LINKFS_ENEWER. */
void lk_wire_prefix(uint8_t out[LK_WIRE_PREFIX]);
int lk_wire_prefix_check(const uint8_t in[LK_WIRE_PREFIX]);

/* Appends a whole record. LINKFS_EINVAL: a field is longer than it may be. */
int lk_wire_encode(const struct lk_wire *record, struct lk_buf *out);
/* How long the record is, from its first LK_WIRE_HEAD bytes: LINKFS_EINVAL for no type, or more than its type can have. */
int lk_wire_length(const uint8_t *head, size_t *len_out);
/* A whole record of that length. LINKFS_EIO: the checksum does not hold; LINKFS_EINVAL: it holds, and the content cannot be. */
int lk_wire_decode(const uint8_t *bytes, size_t len, struct lk_wire *out);

/* For messages: "DATA". */
const char *lk_wire_name(uint32_t type);

#endif
