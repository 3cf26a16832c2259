/*
 * receive_state.c - what of a reception is noted in the volume, who may receive, one at a time (receive.h, V2).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "receive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FORM 1

void lk_receive_state_text(const struct lk_receive_state *s, char out[LK_RECEIVE_NOTE_MAX])
{
	char ids[3][33], name[2 * 256 + 1];

	lk_stream_hex(s->stream, 16, ids[0]);
	lk_stream_hex(s->self, 16, ids[1]);
	lk_stream_hex(s->base_id, 16, ids[2]);
	lk_stream_hex((const uint8_t *)s->name, strlen(s->name), name);
	(void)snprintf(out, LK_RECEIVE_NOTE_MAX,
		       "%d %s %s %s %" PRIu32 " %" PRId64 " %" PRIu64 " %d %d %" PRId64 " %" PRId64 " %s %s", FORM,
		       ids[0], ids[1], ids[2], s->send_flags, s->base, s->at, s->ending, s->aborting, s->root_atime_ns,
		       s->root_mtime_ns, s->stage, name);
}

int lk_receive_state_put(struct linkfs_volume *volume, const struct lk_receive_state *s)
{
	char text[LK_RECEIVE_NOTE_MAX];
	size_t len;

	lk_receive_state_text(s, text);
	len = strlen(text);
	if (s->ending)
		(void)snprintf(text + len, sizeof(text) - len, " %" PRId64, s->ended_ns);
	return lk_receive_note(lk_volume_fs(volume), text);
}

/* The text was ours, or a stranger's that has a volume's super record in hand: nothing in it is believed further than its form. */
static bool parse(const char *text, struct lk_receive_state *out)
{
	struct lk_receive_state s = {0};
	char ids[3][33], name[2 * 256 + 1];
	int form, ending, aborting;

	if (strlen(text) >= LK_RECEIVE_NOTE_MAX ||
	    sscanf(text,
		   "%d %32[0-9a-f] %32[0-9a-f] %32[0-9a-f] %" SCNu32 " %" SCNd64 " %" SCNu64 " %d %d %" SCNd64
		   " %" SCNd64 " %64[^ /] %510[0-9a-f] %" SCNd64,
		   &form, ids[0], ids[1], ids[2], &s.send_flags, &s.base, &s.at, &ending, &aborting, &s.root_atime_ns,
		   &s.root_mtime_ns, s.stage, name, &s.ended_ns) < 13)
		return false;
	s.ending = ending != 0;
	s.aborting = aborting != 0;
	if (form != FORM || strlen(ids[0]) != 32 || strlen(ids[1]) != 32 || strlen(ids[2]) != 32 || s.base < 0 ||
	    strncmp(s.stage, LK_WIRE_STAGE, strlen(LK_WIRE_STAGE)) != 0 || strlen(name) % 2 ||
	    !lk_stream_unhex(name, strlen(name) / 2, (uint8_t *)s.name))
		return false;
	*out = s;
	return lk_stream_unhex(ids[0], 16, out->stream) && lk_stream_unhex(ids[1], 16, out->self) &&
	       lk_stream_unhex(ids[2], 16, out->base_id);
}

int lk_receive_state_get(struct linkfs_volume *volume, struct lk_receive_state *out)
{
	struct lk_buf text = {0};
	int rc = lk_receive_noted(lk_volume_fs(volume), &text);

	if (rc == 0 && !parse((const char *)text.p, out))
		rc = LINKFS_ECORRUPT;
	lk_buf_done(&text);
	return rc;
}

int lk_receive_claim(struct linkfs_volume *volume)
{
	return atomic_exchange(&lk_volume_fs(volume)->receiving, true) ? LINKFS_EBUSY : 0;
}

void lk_receive_unclaim(struct linkfs_volume *volume)
{
	atomic_store(&lk_volume_fs(volume)->receiving, false);
}

int lk_receive_may(struct linkfs_volume *volume, const struct linkfs_cred *cred, struct linkfs_message *why)
{
	struct lk_inode root;
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, LK_OP_WRITE);

	if (rc == LINKFS_EROFS)
		return lk_fail(why, rc, "the volume is read-only");
	if (rc)
		return rc;
	rc = lk_inode_get(&op, LINKFS_ROOT_INO, &root);
	if (rc == 0 && !lk_cred_owns(cred, &root))
		rc = lk_fail(why, LINKFS_EPERM, "receiving is for root and for the owner of the root directory");
	return lk_op_end(&op, rc);
}

/* Of a snapshot, if it is there still. */
static int name_of(struct lk_fs *fs, int64_t epoch, char out[256])
{
	struct lk_snapshot row = {.epoch = epoch};
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_txn_get(&op, LK_T_SNAPSHOT, &row, &row);
	if (rc == 0 && !row.deleting) {
		memcpy(out, row.name.p, LK_MIN(row.name.len, (size_t)255));
		out[LK_MIN(row.name.len, (size_t)255)] = 0;
	}
	return lk_op_end(&op, rc == LINKFS_ENOENT ? 0 : rc);
}

int linkfs_receive_pending(struct linkfs_volume *volume, struct linkfs_receive_pending *out)
{
	struct lk_receive_state s;
	struct lk_stream_token t = {0};
	struct linkfs_receive_pending p = {0};
	int rc = lk_receive_state_get(volume, &s);

	if (rc)
		return rc;
	memcpy(p.name, s.name, sizeof(p.name));
	memcpy(t.stream, s.stream, 16);
	memcpy(t.self, s.self, 16);
	memcpy(t.base, s.base_id, 16);
	t.flags = s.send_flags;
	t.at = s.at;
	p.records = s.at;
	lk_stream_token_format(&t, p.token);
	if (s.base)
		rc = name_of(lk_volume_fs(volume), s.base, p.base);
	if (rc == 0)
		*out = p;
	return rc;
}
