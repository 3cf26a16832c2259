/*
 * receive.h - one stream being received. receive.c reads records and keeps what is pending, receive_begin.c says whether it may be, receive_apply.c does
 * what a record says, receive_end.c ends it.
 * Layer: api, private.
 *
 * V1 Records are applied in order, each by calls that any program's changes go through. A record can be applied again: a volume that a crash left has
 *    done all before some record, and maybe that and some of those after it; what is noted is not above that (prefixes: F1).
 * V2 What is under way is a note beside the volume's properties: which stream, which base, how many records are done. An object's inode is
 *    known by the file LK_RECEIVE_MAP in the stage, a directory of the root, written before anything leaves the stage.
 * V3 What is made lies in the stage under its number until it gets its first name; what loses its last and is to get another one waits there.
 * V4 At the end: the fingerprint of all objects is the sender's; nothing else differs from the base; if nobody changed anything since, the
 *    stage goes in one op, and if nobody did since then, in another one the snapshot is taken and the note goes. Between the two the ctimes
 *    tell whether anybody did, as what the objects are is known no more.
 */
#ifndef LK_RECEIVING_H
#define LK_RECEIVING_H

#include "pairs.h"
#include "receive_core.h"
#include "stream.h"

#include <linkfs_diff.h>

#define LK_RECEIVE_MAP "map"
#define LK_RECEIVE_MAP_ENTRY 16u /* an object's two numbers */

struct lk_receive_state {
	uint8_t stream[16], self[16], base_id[16];
	uint32_t send_flags; /* for the token */
	int64_t base;        /* epoch of the snapshot here; 0: none */
	uint64_t at;         /* records done */
	bool ending;         /* the stage is gone: the snapshot is left to take */
	bool aborting;
	int64_t root_atime_ns, root_mtime_ns;
	int64_t ended_ns; /* ending: when */
	char stage[65];
	char name[256]; /* of the snapshot */
};

struct lk_receiving {
	struct linkfs_volume *volume;
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	const struct linkfs_receive *ask;
	struct linkfs_message *why;
	struct linkfs_received done;
	struct lk_receive_state state;
	uint64_t base_bits; /* held */
	uint64_t stage, map;
	/* By number, from 1 on: the inode here, and in the base (0: not there). They are two where the tree was rolled back to it. */
	struct lk_receive_object {
		uint64_t ino, base;
	} * inos;
	size_t objects, object_cap;
	size_t mapped;                          /* of them in the map file */
	struct lk_pairs number_of, number_then; /* by the one, and by the other */
	/* Of BEGIN. */
	struct lk_buf begin_bytes;
	struct lk_wire begin;
	struct lk_buf record; /* the one that is read */
	void *sum;            /* XXH3_state_t */
	uint64_t since_note;  /* bytes */
	uint64_t applied;     /* records, beyond those that are noted */
	uint64_t changes;     /* fs->tree_changes when it was verified */
};

/* receive_state.c */
int lk_receive_state_get(struct linkfs_volume *volume, struct lk_receive_state *out); /* LINKFS_ENOENT */
int lk_receive_state_put(struct linkfs_volume *volume, const struct lk_receive_state *state);
void lk_receive_state_text(const struct lk_receive_state *state, char out[LK_RECEIVE_NOTE_MAX]);
/* One reception, or the giving up of one, at a time in a process: LINKFS_EBUSY. */
int lk_receive_claim(struct linkfs_volume *volume);
void lk_receive_unclaim(struct linkfs_volume *volume);
int lk_receive_may(struct linkfs_volume *volume, const struct linkfs_cred *cred, struct linkfs_message *why);

/* receive_begin.c. Whether this stream may begin or go on here; the stage and what is known of objects. *known_out: its snapshot is here already. */
int lk_receive_begin(struct lk_receiving *r, bool *known_out);
/* receive_apply.c */
int lk_receive_apply(struct lk_receiving *r, const struct lk_wire *record);
/* The next number is the inode's. */
int lk_receive_number(struct lk_receiving *r, uint64_t ino, uint64_t base);
/* Whether who is not root may receive an attribute of that name. */
bool lk_receive_is_users(const char *name);
int lk_receive_flush_map(struct lk_receiving *r);
int lk_receive_unbind_all(struct linkfs_volume *volume);
/* Told of what differs from the base, says whether it is the same all the same: another inode in the place of its equal. */
struct lk_receive_same {
	struct lk_fs *fs;
	uint64_t base_bits;
	struct lk_pairs now_of, then_of;
	struct lk_pairs followed; /* what tracked links followed then, and follow now: to be such a pair */
	int rc;
};
bool lk_receive_is_same(struct lk_receive_same *same, const struct linkfs_diff_change *c);
/* When all was told. */
bool lk_receive_follows_same(const struct lk_receive_same *same);
void lk_receive_same_done(struct lk_receive_same *same);
/* receive_end.c. Verifies, and ends it. */
int lk_receive_end(struct lk_receiving *r, const struct lk_wire *end);
/* Empties the directory. */
int lk_receive_clear(struct linkfs_volume *volume, uint64_t dir);

#endif
