/*
 * receive.c - a stream becomes a snapshot: records are read, verified and applied in order (receive.h).
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "receive.h"

#include <stdlib.h>
#include <xxhash.h>

#define NOTE_RECORDS 256u
#define NOTE_BYTES (4u << 20)
#define TELL_EVERY 64u

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* All of them. *got_out: how many there were. */
static int read_all(struct lk_receiving *r, uint8_t *to, size_t len, size_t *got_out)
{
	size_t got = 0;
	int rc = 0;

	while (rc == 0 && got < len) {
		size_t part = 0;

		rc = r->ask->read(r->ask->arg, to + got, len - got, &part);
		if (rc || part == 0)
			break;
		got += part;
	}
	r->done.bytes += got;
	*got_out = got;
	if (rc > 0 || rc == LINKFS_EINTR)
		return lk_fail(r->why, LINKFS_EINTR, "interrupted: the same stream goes on from there");
	return rc ? lk_fail(r->why, rc, "the stream cannot be read: %s", linkfs_strerror(rc)) : 0;
}

static int too_short(struct lk_receiving *r)
{
	return lk_fail(
		r->why, LINKFS_EPIPE,
		"the stream ends after %llu records, before its end: what was received is kept, and the same stream "
		"goes on from there",
		(unsigned long long)r->done.records);
}

static int read_prefix(struct lk_receiving *r)
{
	uint8_t prefix[LK_WIRE_PREFIX];
	size_t got;
	int rc = read_all(r, prefix, sizeof(prefix), &got);

	if (rc == 0 && got == 0)
		return lk_fail(r->why, LINKFS_ENODATA, "there is no stream: the input is empty");
	if (rc == 0 && got < sizeof(prefix))
		rc = memcmp(prefix, LK_WIRE_MAGIC, LK_MIN(got, strlen(LK_WIRE_MAGIC))) ? LINKFS_EINVAL : too_short(r);
	if (rc == 0)
		rc = lk_wire_prefix_check(prefix);
	if (rc == LINKFS_EINVAL)
		return lk_fail(r->why, rc, "the input is no stream of linkfs send");
	if (rc == LINKFS_ENEWER)
		return lk_fail(r->why, rc, "the stream is of a version that this linkfs does not know");
	if (rc == 0)
		(void)XXH3_128bits_update(r->sum, prefix, sizeof(prefix));
	return rc;
}

/* Into r->record. */
static int read_record(struct lk_receiving *r, struct lk_wire *out)
{
	size_t len, got;
	int rc;

	r->record.len = 0;
	rc = lk_buf_reserve(&r->record, LK_WIRE_RECORD_MAX);
	if (rc == 0)
		rc = read_all(r, r->record.p, LK_WIRE_HEAD, &got);
	if (rc)
		return rc;
	if (got < LK_WIRE_HEAD)
		return too_short(r);
	rc = lk_wire_length(r->record.p, &len);
	if (rc || len > LK_WIRE_RECORD_MAX)
		return lk_fail(r->why, LINKFS_EIO, "the stream is damaged: record %llu has no length that can be",
			       (unsigned long long)r->done.records);
	rc = read_all(r, r->record.p + LK_WIRE_HEAD, len - LK_WIRE_HEAD, &got);
	if (rc)
		return rc;
	if (got < len - LK_WIRE_HEAD)
		return too_short(r);
	rc = lk_wire_decode(r->record.p, len, out);
	if (rc == LINKFS_EIO)
		return lk_fail(r->why, rc, "the stream is damaged: the checksum of record %llu is wrong",
			       (unsigned long long)r->done.records);
	if (rc)
		return lk_fail(r->why, rc, "record %llu (%s) of the stream cannot be",
			       (unsigned long long)r->done.records, lk_wire_name(out->type));
	r->record.len = len;
	r->done.records++;
	return 0;
}

static void add_sum(struct lk_receiving *r)
{
	(void)XXH3_128bits_update(r->sum, r->record.p, r->record.len);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static int read_begin(struct lk_receiving *r)
{
	int rc = read_prefix(r);

	if (rc == 0)
		rc = read_record(r, &r->begin);
	if (rc)
		return rc;
	add_sum(r);
	if (r->begin.type != LK_WIRE_BEGIN || r->begin.index != 0 || r->begin.resume == UINT64_MAX)
		return lk_fail(r->why, LINKFS_EINVAL, "the stream does not begin as one");
	rc = lk_buf_append(&r->begin_bytes, r->record.p, r->record.len);
	return rc ? rc : lk_wire_decode(r->begin_bytes.p, r->begin_bytes.len, &r->begin);
}

static int check_end(struct lk_receiving *r, const struct lk_wire *end)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(r->sum));
	if (memcmp(canonical.digest, end->sum, 16) != 0)
		return lk_fail(r->why, LINKFS_EIO, "the stream is damaged: its checksum is wrong");
	return 0;
}

/* All records up to END, in turn: fn for each, and END itself in *end. */
static int each_record(struct lk_receiving *r, int (*fn)(struct lk_receiving *r, const struct lk_wire *record),
		       struct lk_wire *end)
{
	uint64_t expected = r->begin.resume > 1 ? r->begin.resume : 1;

	for (;;) {
		struct lk_wire record = {0};
		int rc = read_record(r, &record);

		if (rc)
			return rc;
		if (record.type == LK_WIRE_BEGIN || record.index != expected++)
			return lk_fail(r->why, LINKFS_EINVAL, "the stream's record %llu is not the one that comes next",
				       (unsigned long long)(expected - 1));
		if (record.type == LK_WIRE_END) {
			*end = record;
			return check_end(r, end);
		}
		add_sum(r);
		rc = fn(r, &record);
		if (rc == 0 && r->done.records % TELL_EVERY == 0 && r->ask->progress &&
		    r->ask->progress(r->ask->arg, &(struct linkfs_receive_progress){r->done.records, r->done.bytes}))
			rc = lk_fail(r->why, LINKFS_EINTR, "interrupted: the same stream goes on from there");
		if (rc)
			return rc;
	}
}

static int pass_over(struct lk_receiving *r, const struct lk_wire *record)
{
	(void)record;
	r->done.skipped++;
	return 0;
}

/* What is done is noted now and then; the root's attributes come last, and are kept for the end. */
static int note(struct lk_receiving *r, const struct lk_wire *record)
{
	int rc;

	r->applied = record->index + 1;
	r->since_note += r->record.len;
	if (r->since_note < NOTE_BYTES && (record->index + 1 - r->state.at) < NOTE_RECORDS)
		return 0;
	rc = lk_receive_flush_map(r);
	if (rc)
		return rc;
	r->state.at = record->index + 1;
	r->since_note = 0;
	return lk_receive_state_put(r->volume, &r->state);
}

static int take(struct lk_receiving *r, const struct lk_wire *record)
{
	struct linkfs_message more = {""};
	struct linkfs_message *why = r->why;
	int rc;

	if (record->type == LK_WIRE_ATTR && record->object == LK_STREAM_ROOT) {
		r->state.root_atime_ns = record->atime_ns;
		r->state.root_mtime_ns = record->mtime_ns;
	}
	if (record->index < r->state.at || r->state.ending)
		return pass_over(r, record);
	r->why = &more;
	rc = lk_receive_apply(r, record);
	r->why = why;
	if (rc)
		return lk_fail(why, rc, "record %llu (%s%s%.*s%s): %s", (unsigned long long)record->index,
			       lk_wire_name(record->type), record->name.len ? " '" : "",
			       (int)LK_MIN(record->name.len, (size_t)64),
			       record->name.len ? (const char *)record->name.p : "", record->name.len ? "'" : "",
			       more.text[0] ? more.text : linkfs_strerror(rc));
	return note(r, record);
}

/* ---- the call --------------------------------------------------------------------------------------------------- */

static int receive(struct lk_receiving *r)
{
	struct lk_wire end;
	bool known = false;
	int rc = read_begin(r);

	if (rc == 0)
		rc = lk_receive_begin(r, &known);
	if (rc)
		return rc;
	if (known) {
		rc = each_record(r, pass_over, &end);
		r->done.known = rc == 0;
		return rc;
	}
	rc = each_record(r, take, &end);
	return rc ? rc : lk_receive_end(r, &end);
}

/* What there is stays for the next time, also after an error. */
static void keep(struct lk_receiving *r)
{
	if (r->stage && r->applied > r->state.at && !r->state.ending && lk_receive_flush_map(r) == 0) {
		r->state.at = r->applied;
		(void)lk_receive_state_put(r->volume, &r->state);
	}
	if (r->base_bits)
		lk_call_unhold(r->fs, r->base_bits | LINKFS_ROOT_INO, 1);
	free(r->inos);
	free(r->number_of.slots);
	free(r->number_then.slots);
	lk_buf_done(&r->begin_bytes);
	lk_buf_done(&r->record);
	XXH3_freeState(r->sum);
}

int linkfs_receive(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_receive *ask,
		   struct linkfs_received *out, struct linkfs_message *why)
{
	struct linkfs_message own = {""};
	struct lk_receiving r = {.volume = volume,
				 .fs = lk_volume_fs(volume),
				 .cred = lk_cred(cred),
				 .ask = ask,
				 .why = &own,
				 .sum = XXH3_createState()};
	int rc = r.sum ? lk_receive_claim(volume) : LINKFS_ENOMEM;

	if (rc) {
		XXH3_freeState(r.sum);
		return rc == LINKFS_EBUSY ? lk_fail(why, rc, "a stream is being received just now") : rc;
	}
	(void)XXH3_128bits_reset(r.sum);
	rc = ask->flags & ~LINKFS_RECEIVE_DISCARD ? LINKFS_EINVAL : lk_receive_may(volume, r.cred, &own);
	if (rc == 0)
		rc = receive(&r);
	keep(&r);
	lk_receive_unclaim(volume);
	if (out)
		*out = r.done;
	if (rc)
		return lk_fail(why, rc, "%s", own.text[0] ? own.text : linkfs_strerror(rc));
	return 0;
}
