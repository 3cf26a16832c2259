/*
 * stream.c - see stream.h.
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

static void hash(const void *p, size_t len, uint8_t out[16])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(p, len));
	memcpy(out, canonical.digest, 16);
}

void lk_stream_hex(const uint8_t *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = 0;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool lk_stream_unhex(const char *text, size_t len, uint8_t *out)
{
	for (size_t i = 0; i < len; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

void lk_stream_token_format(const struct lk_stream_token *t, char out[LINKFS_TOKEN_MAX])
{
	char stream[33], self[33], base[33];

	lk_stream_hex(t->stream, 16, stream);
	lk_stream_hex(t->self, 16, self);
	lk_stream_hex(t->base, 16, base);
	(void)snprintf(out, LINKFS_TOKEN_MAX, "linkfs1-%s-%s-%s-%" PRIu32 "-%" PRIu64, stream, self, base, t->flags,
		       t->at);
}

int lk_stream_token_parse(const char *text, struct lk_stream_token *out)
{
	struct lk_stream_token t = {0};
	uint8_t *const ids[] = {t.stream, t.self, t.base};
	uint64_t flags;

	if (strncmp(text, "linkfs1-", 8) != 0)
		return LINKFS_EINVAL;
	text += 8;
	for (size_t i = 0; i < LK_ARRAY_LEN(ids); i++, text += 33)
		if (strnlen(text, 33) < 33 || !lk_stream_unhex(text, 16, ids[i]) || text[32] != '-')
			return LINKFS_EINVAL;
	if (!lk_take_number(&text, '-', UINT32_MAX, &flags) || !lk_take_number(&text, 0, UINT64_MAX - 9, &t.at))
		return LINKFS_EINVAL;
	t.flags = (uint32_t)flags;
	*out = t;
	return 0;
}

/* ---- identities ------------------------------------------------------------------------------------------------- */

/* The tag that says what a snapshot was received as. */
static bool find_tag(struct lk_bytes tags, uint8_t out[16])
{
	const char *p = tags.p, *end = tags.len ? p + tags.len : p;
	const size_t len = strlen(LINKFS_RECEIVED_TAG);

	while (tags.len && p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;

		if ((size_t)(stop - p) == len + 32 && memcmp(p, LINKFS_RECEIVED_TAG, len) == 0)
			return lk_stream_unhex(p + len, 16, out);
		p = stop + 1;
	}
	return false;
}

void lk_stream_identify(const struct lk_fs *fs, const struct lk_snapshot *s, uint8_t out[2][16])
{
	uint8_t bytes[32];

	memcpy(bytes, fs->uuid, 16);
	lk_put_u64(bytes + 16, (uint64_t)s->epoch);
	lk_put_u64(bytes + 24, (uint64_t)s->time_ns);
	hash(bytes, sizeof(bytes), out[0]);
	if (!find_tag(s->tags, out[1]))
		memset(out[1], 0, 16);
}

void lk_stream_of(const struct lk_wire *begin, uint32_t flags, uint8_t out[16])
{
	uint8_t bytes[80];

	memcpy(bytes, begin->self, 32);
	memcpy(bytes + 32, begin->base, 32);
	lk_put_u64(bytes + 64, LK_WIRE_VERSION);
	lk_put_u64(bytes + 72, flags);
	hash(bytes, sizeof(bytes), out);
}

struct search {
	const struct lk_fs *fs;
	const uint8_t (*ids)[16];
	int64_t epoch;
	char name[256];
};

static int look_at(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct search *q = arg;
	uint8_t own[2][16];

	lk_stream_identify(q->fs, s, own);
	for (int i = 0; i < 4; i++) {
		const uint8_t *id = q->ids[i & 1];

		if (!lk_stream_is_id(id) || memcmp(own[i >> 1], id, 16) != 0)
			continue;
		q->epoch = s->epoch;
		memcpy(q->name, s->name.p, LK_MIN(s->name.len, sizeof(q->name) - 1));
		q->name[LK_MIN(s->name.len, sizeof(q->name) - 1)] = 0;
		return 1;
	}
	return 0;
}

int lk_stream_find(struct linkfs_volume *volume, const uint8_t ids[2][16], int64_t *epoch_out, char *name_out)
{
	struct search q = {.fs = lk_volume_fs(volume), .ids = ids};
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = lk_op_end(&op, lk_snapshot_scan(&op, 0, look_at, &q));
	if (rc == 0 && q.epoch == 0)
		rc = LINKFS_ENOENT;
	if (rc)
		return rc;
	*epoch_out = q.epoch;
	if (name_out)
		memcpy(name_out, q.name, sizeof(q.name));
	return 0;
}

void lk_stream_join(uint8_t tree[16], const uint8_t print[16])
{
	uint8_t both[32];

	memcpy(both, tree, 16);
	memcpy(both + 16, print, 16);
	hash(both, sizeof(both), tree);
}
