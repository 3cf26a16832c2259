/*
 * linkfs_stream.h - a snapshot, or the difference of two, as a stream of bytes, and what a volume makes of it (docs/STREAM.md).
 *
 * Errors, threads and durability are as in linkfs.h. A stream of a whole snapshot is received into an empty volume; one of a difference
 * into a volume whose tree is, and has a snapshot that is, what the difference starts from. At the end the tree is what the snapshot was, and a snapshot
 * of its name is taken there, which knows what it was received as: by the tag LINKFS_RECEIVED_TAG and 32 digits.
 */
#ifndef LINKFS_STREAM_H
#define LINKFS_STREAM_H

#include <linkfs_snapshots.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the tag of a received snapshot begins with. Without it the snapshot is no base for differences from its origin. */
#define LINKFS_RECEIVED_TAG "received="
/* Of a token, with its NUL. */
#define LINKFS_TOKEN_MAX 192u

/* ---- sending ------------------------------------------------------------------------------------------------------ */

struct linkfs_send_progress {
	uint64_t inodes;  /* that may differ: how many there are to send */
	uint64_t records; /* so far */
	uint64_t bytes;   /* so far written */
};
/* Zero the struct, set what matters. */
struct linkfs_send {
	uint64_t from, to; /* ids of snapshots; from 0: all of to */
	const char *token; /* of linkfs_receive_pending(): goes on there; from, to and flags are the token's */
	uint32_t flags;    /* LINKFS_SEND_... */
	/* Is given the stream in order; nonzero ends it with LINKFS_EINTR, a negative one with that. Called with no lock held. */
	int (*write)(void *arg, const void *bytes, size_t len);
	void *arg;
	/* May be NULL; now and then. Nonzero ends it with LINKFS_EINTR. */
	int (*progress)(void *arg, const struct linkfs_send_progress *progress);
};
#define LINKFS_SEND_PROPERTIES 1u /* the volume's properties as well */
/* Sends. The same two snapshots give the same bytes. Cost and memory (some tens of bytes for each inode) are those of what differs; with from 0,
 * of all. For root; and for the owner of the root directory when all that is sent is his: LINKFS_EPERM, with why naming what is not.
 * LINKFS_ENOENT: no such snapshot, or none that the token is of; LINKFS_EINVAL: from is not older than to, or what is no token;
 * LINKFS_ESTALE: a snapshot was deleted meanwhile; LINKFS_ECORRUPT ... */
LINKFS_API int linkfs_send(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_send *ask,
			   struct linkfs_message *why);

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

struct linkfs_receive_progress {
	uint64_t records, bytes; /* read so far */
};
struct linkfs_received {
	uint64_t id;             /* the snapshot */
	char name[256];          /* its name */
	uint64_t records, bytes; /* of the stream */
	uint64_t skipped;        /* records that had been received before */
	int known;               /* it was here already: nothing was done */
};
/* Zero the struct, set what matters. */
struct linkfs_receive {
	/* Reads up to size bytes; *done_out 0 at the end. A negative result ends it. */
	int (*read)(void *arg, void *buf, size_t size, size_t *done_out);
	void *arg;
	/* May be NULL; now and then. Nonzero ends it with LINKFS_EINTR. */
	int (*progress)(void *arg, const struct linkfs_receive_progress *progress);
	uint32_t flags; /* LINKFS_RECEIVE_... */
	/* Whatever the stream calls it; NULL: as it says. */
	const char *name;
};
/* A tree that is not what the difference starts from is rolled back to that first. */
#define LINKFS_RECEIVE_DISCARD 1u
/* Receives one stream, up to its last byte and no further, so that another may follow. LINKFS_ENODATA: there is none, the input is at its end.
 *
 * Nothing of a record is done before its checksum was found right, and no snapshot is taken before all of the stream was, and before the tree was
 * found to be what the sender sent. Cut off at any point (by an error, the end of the input, a crash), the volume is whole, all its
 * snapshots are what they were, and the reception is pending: the live tree is somewhere between the two. It goes on with the same stream
 * from its start (what is there is passed over), or with one made by linkfs_send() for the token; linkfs_receive_abort() goes back. What
 * others change in the tree meanwhile is noticed before the snapshot is taken: LINKFS_EAGAIN. Durable when it returns 0.
 *
 * For root; and for the owner of the root directory when the stream touches nothing that is not his, and brings no devices
 * and no attributes that are root's to set: LINKFS_EPERM with why. LINKFS_EINVAL: no stream, or a record that cannot be; LINKFS_EIO: a checksum is wrong; LINKFS_EPIPE: the stream ends
 * too early; LINKFS_ENEWER; LINKFS_ENOTEMPTY: the volume is not empty; LINKFS_ENOENT: it has no snapshot that the difference starts from;
 * LINKFS_EXDEV: its tree is not that; LINKFS_EEXIST: it has another snapshot of that name; LINKFS_EBUSY: another stream is pending, or being
 * received; LINKFS_EROFS, LINKFS_ENOSPC ... why is filled always. out is set as far as is known in any case; it may be NULL. */
LINKFS_API int linkfs_receive(struct linkfs_volume *volume, const struct linkfs_cred *cred,
			      const struct linkfs_receive *ask, struct linkfs_received *out,
			      struct linkfs_message *why);

struct linkfs_receive_pending {
	char name[256];               /* of the snapshot that is received */
	char base[256];               /* of the snapshot here that it starts from; "" for none */
	char token[LINKFS_TOKEN_MAX]; /* for linkfs_send() */
	uint64_t records;             /* received */
};
/* What is pending. LINKFS_ENOENT: nothing. */
LINKFS_API int linkfs_receive_pending(struct linkfs_volume *volume, struct linkfs_receive_pending *out);
/* Gives a pending reception up: the tree becomes what it was before, or empty. LINKFS_ENOENT: nothing is pending. LINKFS_EPERM,
 * LINKFS_EBUSY, and the errors of linkfs_path_rollback(). Cut off, it is to be called again. */
LINKFS_API int linkfs_receive_abort(struct linkfs_volume *volume, const struct linkfs_cred *cred,
				    struct linkfs_message *why);

#ifdef __cplusplus
}
#endif

#endif
