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

static bool take_id(const char **p, uint8_t out[16])
{
	if (!lk_stream_unhex(*p, 16, out) || (*p)[32] != ' ')
		return false;
	*p += 33;
	return true;
}

static bool take_stage(const char **p, char *out, size_t size)
{
	size_t len = strcspn(*p, " /");

	if (len >= size || (*p)[len] != ' ' || strncmp(*p, LK_WIRE_STAGE, strlen(LK_WIRE_STAGE)) != 0)
		return false;
	memcpy(out, *p, len);
	*p += len + 1;
	return true;
}

/* The last word, or the last but one. */
static bool take_name(const char **p, char *out, size_t size)
{
	size_t len = strcspn(*p, " ");

	if (len == 0 || len % 2 || len / 2 >= size || !lk_stream_unhex(*p, len / 2, (uint8_t *)out))
		return false;
	*p += (*p)[len] ? len + 1 : len;
	return true;
}

/* The text was ours, or a stranger's that has a volume's super record in hand: nothing in it is believed further than its form. */
static bool parse(const char *p, struct lk_receive_state *out)
{
	struct lk_receive_state s = {0};
	uint64_t form, flags, base, ending, aborting;

	if (strlen(p) >= LK_RECEIVE_NOTE_MAX || !lk_take_number(&p, ' ', FORM, &form) || form != FORM ||
	    !take_id(&p, s.stream) || !take_id(&p, s.self) || !take_id(&p, s.base_id) ||
	    !lk_take_number(&p, ' ', UINT32_MAX, &flags) || !lk_take_number(&p, ' ', INT64_MAX, &base) ||
	    !lk_take_number(&p, ' ', UINT64_MAX, &s.at) || !lk_take_number(&p, ' ', 1, &ending) ||
	    !lk_take_number(&p, ' ', 1, &aborting) || !lk_take_signed(&p, ' ', &s.root_atime_ns) ||
	    !lk_take_signed(&p, ' ', &s.root_mtime_ns) || !take_stage(&p, s.stage, sizeof(s.stage)) ||
	    !take_name(&p, s.name, sizeof(s.name)) || (*p && !lk_take_signed(&p, 0, &s.ended_ns)))
		return false;
	s.send_flags = (uint32_t)flags;
	s.base = (int64_t)base;
	s.ending = ending != 0;
	s.aborting = aborting != 0;
	*out = s;
	return true;
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
