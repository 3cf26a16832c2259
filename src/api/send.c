/*
 * send.c - a snapshot, or the difference of two, as a stream (send.h).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "send.h"

#include "fingerprint.h"
#include "snapshots.h"
#include "tags.h"
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <xxhash.h>

#define TELL_EVERY 256u /* records */

int lk_send_begin(struct lk_sending *s, int side, struct lk_op *op)
{
	uint64_t node;
	int rc = lk_op_begin(s->fs, op, 0);

	if (rc)
		return rc;
	rc = lk_view_see(op, s->bits[side] | LINKFS_ROOT_INO, &node);
	return rc ? lk_op_end(op, rc) : 0;
}

static int put(struct lk_sending *s, const void *bytes, size_t len)
{
	int rc = s->ask->write(s->ask->arg, bytes, len);

	s->progress.bytes += len;
	(void)XXH3_128bits_update(s->sum, bytes, len);
	return rc > 0 ? LINKFS_EINTR : rc;
}

int lk_send_emit(struct lk_sending *s, struct lk_wire *record)
{
	bool skip = lk_send_skips(s) && record->type != LK_WIRE_BEGIN && record->type != LK_WIRE_END;
	int rc;

	record->index = s->index++;
	s->progress.records = s->index;
	if (s->index % TELL_EVERY == 0 && s->ask->progress && s->ask->progress(s->ask->arg, &s->progress))
		return LINKFS_EINTR;
	if (skip)
		return 0;
	s->out.len = 0;
	rc = lk_wire_encode(record, &s->out);
	if (rc == LINKFS_EINVAL)
		rc = LINKFS_ECORRUPT;
	return rc ? rc : put(s, s->out.p, s->out.len);
}

/* ---- in order (S3) ---------------------------------------------------------------------------------------------- */

static int send_properties(struct lk_sending *s)
{
	struct linkfs_property known;
	char value[512];
	int rc = 0;

	for (size_t i = 0; rc == 0 && linkfs_property_known(i, &known) == 0; i++) {
		rc = linkfs_volume_get_property(s->volume, known.key, value, sizeof(value));
		if (rc == 0)
			rc = lk_send_emit(s, &(struct lk_wire){.type = LK_WIRE_PROPERTY,
							       .name = {known.key, strlen(known.key)},
							       .data = {value, strlen(value)}});
	}
	return rc;
}

/* The root is everybody's, and has no name. */
static bool has_names(const struct lk_send_item *item)
{
	return item->ino != LINKFS_ROOT_INO && (item->there[LK_SEND_BASE] || item->there[LK_SEND_NOW]);
}

static int send_tracks(struct lk_sending *s, enum lk_send_when when)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++)
		if (S_ISLNK(s->items[i].type) && s->items[i].there[LK_SEND_NOW])
			rc = lk_send_track(s, &s->items[i], when);
	return rc;
}

static int send_objects(struct lk_sending *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		if (has_names(&s->items[i]))
			rc = lk_send_number_names(s, &s->items[i]);
	}
	if (rc == 0)
		rc = send_tracks(s, LK_SEND_NUMBER);
	if (rc == 0)
		rc = lk_send_find_shared(s);
	return rc ? rc : lk_send_binds(s, true);
}

static int send_items(struct lk_sending *s)
{
	int rc = lk_send_unbind(s);

	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		if (!s->items[i].there[LK_SEND_BASE] || !has_names(&s->items[i]))
			continue;
		rc = lk_send_names(s, &s->items[i]);
		if (rc == 0)
			rc = lk_send_gone(s, &s->items[i]);
	}
	for (size_t i = 0; rc == 0 && i < s->count; i++)
		if (s->items[i].there[LK_SEND_NOW])
			rc = lk_send_content(s, &s->items[i]);
	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		if (s->items[i].ino == LINKFS_ROOT_INO || !s->items[i].there[LK_SEND_NOW])
			continue;
		rc = lk_send_names(s, &s->items[i]);
		if (rc == 0)
			rc = lk_send_come(s, &s->items[i]);
	}
	for (size_t i = 0; rc == 0 && i < s->count; i++)
		if (S_ISDIR(s->items[i].type) && s->items[i].there[LK_SEND_BASE] && !s->items[i].there[LK_SEND_NOW])
			rc = lk_send_emit(s, &(struct lk_wire){.type = LK_WIRE_RMDIR,
							       .object = lk_pairs_get(&s->number_of, s->items[i].ino)});
	if (rc == 0)
		rc = send_tracks(s, LK_SEND_BEFORE_BINDS);
	if (rc == 0)
		rc = lk_send_binds(s, false);
	return rc ? rc : send_tracks(s, LK_SEND_AFTER_BINDS);
}

static int send_attributes(struct lk_sending *s)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		uint64_t number = lk_pairs_get(&s->number_of, s->items[i].ino);

		if (!s->items[i].there[LK_SEND_NOW])
			continue;
		rc = lk_send_xattrs(s, &s->items[i]);
		if (rc == 0 && s->items[i].ino != LINKFS_ROOT_INO)
			rc = lk_send_attributes(s, s->items[i].ino, number);
	}
	return rc ? rc : lk_send_attributes(s, LINKFS_ROOT_INO, LK_STREAM_ROOT);
}

static int send_end(struct lk_sending *s)
{
	const struct lk_fingerprint f = {s->fs, s->bits[LK_SEND_NOW], &s->number_of};
	struct lk_wire end = {.type = LK_WIRE_END, .object = s->objects};
	XXH128_canonical_t canonical;
	uint8_t print[16];
	int rc = 0;

	for (size_t i = 1; rc == 0 && i <= s->objects; i++) {
		rc = lk_fingerprint(&f, i, s->ino_of[i], print);
		if (rc == 0)
			lk_stream_join(end.tree, print);
	}
	if (rc == 0)
		rc = lk_fingerprint_binds(&f, print);
	if (rc == 0)
		lk_stream_join(end.tree, print);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(s->sum));
	memcpy(end.sum, canonical.digest, 16);
	return rc ? rc : lk_send_emit(s, &end);
}

/* A name for the receiver's directory that is in neither root. */
static int find_stage(struct lk_sending *s, char *out, size_t size)
{
	for (unsigned n = 0; n < 1000; n++) {
		struct lk_slot slot;
		bool used = false;
		int len = n ? snprintf(out, size, "%s-%u", LK_WIRE_STAGE, n) : snprintf(out, size, "%s", LK_WIRE_STAGE);

		for (int side = lk_send_is_difference(s) ? 0 : 1; side < LK_SEND_SIDES; side++) {
			struct lk_op op;
			int rc = lk_send_begin(s, side, &op);

			if (rc == 0)
				rc = lk_op_end(&op, lk_dirent_find(&op, LINKFS_ROOT_INO, out, (size_t)len, &slot));
			if (rc)
				return rc;
			used |= slot.ino != 0;
		}
		if (!used)
			return 0;
	}
	return LINKFS_EEXIST;
}

static int send_begin(struct lk_sending *s, const struct lk_wire *what)
{
	struct lk_wire begin = *what;
	uint8_t prefix[LK_WIRE_PREFIX];
	char stage[64];
	int rc = find_stage(s, stage, sizeof(stage));

	if (rc)
		return rc;
	lk_wire_prefix(prefix);
	begin.stage = (struct lk_bytes){stage, strlen(stage)};
	begin.resume = s->resume;
	rc = put(s, prefix, sizeof(prefix));
	return rc ? rc : lk_send_emit(s, &begin);
}

/* Without what only its own volume says of it: what it was received as is in the identities. */
static void sent_tags(const struct lk_snapshot *snapshot, struct lk_buf *out, int *rc)
{
	struct lk_bytes gone = {0};
	const char *p = memmem(snapshot->tags.p, snapshot->tags.len, LINKFS_RECEIVED_TAG, strlen(LINKFS_RECEIVED_TAG));

	if (p && (p == (const char *)snapshot->tags.p || p[-1] == ',')) {
		size_t left = snapshot->tags.len - (size_t)(p - (const char *)snapshot->tags.p);
		const char *comma = memchr(p, ',', left);

		gone = (struct lk_bytes){p, comma ? (size_t)(comma - p) : left};
	}
	*rc = lk_tags_change(snapshot->tags, (struct lk_bytes){"", 0}, gone, out);
}

static int send_all(struct lk_sending *s)
{
	const struct lk_snapshot *now = &s->side[LK_SEND_NOW], *base = &s->side[LK_SEND_BASE];
	struct lk_wire begin = {.type = LK_WIRE_BEGIN,
				.flags = lk_send_is_difference(s) ? LK_WIRE_DIFFERENCE : 0,
				.mtime_ns = now->time_ns,
				.name = now->name,
				.note = now->note,
				.base_name = base->name,
				.object = s->ask->flags};
	struct lk_buf tags = {0};
	int rc;

	lk_stream_identify(s->fs, now, begin.self);
	if (lk_send_is_difference(s))
		lk_stream_identify(s->fs, base, begin.base);
	lk_stream_of(&begin, s->ask->flags, begin.stream);
	sent_tags(now, &tags, &rc);
	begin.tags = (struct lk_bytes){tags.p, tags.len};
	if (rc == 0)
		rc = lk_send_set_number(s, LINKFS_ROOT_INO);
	if (rc == 0)
		rc = lk_send_find(s);
	s->progress.inodes = s->count;
	if (rc == 0)
		rc = send_begin(s, &begin);
	lk_buf_done(&tags);
	if (rc == 0 && (s->ask->flags & LINKFS_SEND_PROPERTIES))
		rc = send_properties(s);
	if (rc == 0)
		rc = send_objects(s);
	if (rc == 0)
		rc = send_items(s);
	if (rc == 0)
		rc = send_attributes(s);
	if (rc == 0 && s->resume > s->index)
		rc = lk_fail(s->why, LINKFS_EINVAL, "the token is of a longer stream than this one");
	return rc ? rc : send_end(s);
}

/* ---- the call --------------------------------------------------------------------------------------------------- */

static int copy_row(struct lk_snapshot *row)
{
	struct lk_bytes *const bytes[] = {&row->name, &row->note, &row->tags};
	char *p = malloc(row->name.len + row->note.len + row->tags.len + 3);

	if (!p)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < LK_ARRAY_LEN(bytes); i++) {
		memcpy(p, bytes[i]->p, bytes[i]->len);
		bytes[i]->p = p;
		p += bytes[i]->len + 1;
	}
	return 0;
}

/* Holds the snapshot. */
static int take_side(struct lk_sending *s, int side, uint64_t id)
{
	struct lk_snapshot *row = &s->side[side];
	struct linkfs_stat root;
	struct lk_op op;
	int rc = linkfs_snapshot_root(s->volume, id, LINKFS_HOLD, &root);

	if (rc)
		return rc;
	s->bits[side] = root.node & ~LK_INO_MASK;
	rc = lk_op_begin(s->fs, &op, 0);
	if (rc)
		return rc;
	row->epoch = (int64_t)id;
	rc = lk_txn_get(&op, LK_T_SNAPSHOT, row, row);
	if (rc == 0)
		rc = copy_row(row);
	if (rc)
		*row = (struct lk_snapshot){0};
	return lk_op_end(&op, rc);
}

static int may_ask(struct lk_sending *s)
{
	struct lk_inode root;
	struct lk_op op;
	int rc = lk_op_begin(s->fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, LINKFS_ROOT_INO, &root);
	if (rc == 0 && !lk_cred_owns(s->cred, &root))
		rc = lk_fail(s->why, LINKFS_EPERM, "sending is for root and for the owner of the root directory");
	return lk_op_end(&op, rc);
}

static int from_token(struct lk_sending *s, const char *text, struct linkfs_send *ask)
{
	struct lk_stream_token token;
	uint8_t ids[2][16] = {{0}};
	int64_t epoch;
	int rc = lk_stream_token_parse(text, &token);

	if (rc)
		return lk_fail(s->why, rc, "'%.180s' is no token of linkfs receive", text);
	memcpy(ids[0], token.self, 16);
	rc = lk_stream_find(s->volume, ids, &epoch, NULL);
	if (rc)
		return rc == LINKFS_ENOENT ? lk_fail(s->why, rc, "the snapshot that the token is of is not here") : rc;
	ask->to = (uint64_t)epoch;
	ask->from = 0;
	if (lk_stream_is_id(token.base)) {
		memcpy(ids[0], token.base, 16);
		rc = lk_stream_find(s->volume, ids, &epoch, NULL);
		if (rc)
			return rc == LINKFS_ENOENT
				       ? lk_fail(s->why, rc,
						 "the base of the difference that the token is of is not here")
				       : rc;
		ask->from = (uint64_t)epoch;
	}
	ask->flags = token.flags;
	s->resume = token.at;
	return 0;
}

/* It is the same stream. */
static int check_token(struct lk_sending *s, const char *text)
{
	struct lk_stream_token token;
	struct lk_wire begin = {0};
	uint8_t stream[16];

	(void)lk_stream_token_parse(text, &token);
	lk_stream_identify(s->fs, &s->side[LK_SEND_NOW], begin.self);
	if (lk_send_is_difference(s))
		lk_stream_identify(s->fs, &s->side[LK_SEND_BASE], begin.base);
	lk_stream_of(&begin, s->ask->flags, stream);
	if (memcmp(stream, token.stream, 16) == 0)
		return 0;
	return lk_fail(s->why, LINKFS_ENOENT,
		       "the token is of another stream: these snapshots, or their tags, are not what was sent");
}

static void done(struct lk_sending *s)
{
	for (int side = 0; side < LK_SEND_SIDES; side++) {
		if (s->bits[side])
			lk_call_unhold(s->fs, s->bits[side] | LINKFS_ROOT_INO, 1);
		free((void *)(uintptr_t)s->side[side].name.p);
		free(s->names[side].p);
		lk_buf_done(&s->names[side].bytes);
	}
	free(s->items);
	free(s->number_of.slots);
	free(s->ino_of);
	free(s->shares);
	free(s->share_first.slots);
	free(s->data);
	lk_buf_done(&s->out);
	XXH3_freeState(s->sum);
}

int linkfs_send(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_send *ask,
		struct linkfs_message *why)
{
	struct linkfs_send copy = *ask;
	struct lk_sending s = {.volume = volume,
			       .fs = lk_volume_fs(volume),
			       .cred = lk_cred(cred),
			       .ask = &copy,
			       .why = why,
			       .data = malloc(LK_WIRE_DATA_MAX),
			       .sum = XXH3_createState()};
	int rc = s.data && s.sum ? may_ask(&s) : LINKFS_ENOMEM;

	if (rc == 0 && ask->token)
		rc = from_token(&s, ask->token, &copy);
	if (rc == 0 && ((copy.flags & ~LINKFS_SEND_PROPERTIES) || (copy.from && copy.from >= copy.to)))
		rc = lk_fail(why, LINKFS_EINVAL, "the first snapshot is not older than the second");
	if (rc == 0)
		rc = take_side(&s, LK_SEND_NOW, copy.to);
	if (rc == 0 && copy.from)
		rc = take_side(&s, LK_SEND_BASE, copy.from);
	if (rc == 0 && ask->token)
		rc = check_token(&s, ask->token);
	if (rc == 0) {
		(void)XXH3_128bits_reset(s.sum);
		rc = send_all(&s);
	}
	done(&s);
	return rc;
}
