/*
 * stream.h - what sending and receiving share: identities of snapshots, tokens.
 * Layer: api, private.
 */
#ifndef LK_STREAM_H
#define LK_STREAM_H

#include "snapshot.h"
#include "volume.h"
#include "wire.h"

#include <linkfs_stream.h>

#define LK_STREAM_ROOT 1u /* the number of the root directory in every stream */

struct lk_stream_token {
	uint8_t stream[16], self[16], base[16];
	uint32_t flags;
	uint64_t at;
};
void lk_stream_token_format(const struct lk_stream_token *token, char out[LINKFS_TOKEN_MAX]);
/* LINKFS_EINVAL. */
int lk_stream_token_parse(const char *text, struct lk_stream_token *out);
void lk_stream_hex(const uint8_t *bytes, size_t len, char *out);
bool lk_stream_unhex(const char *text, size_t len, uint8_t *out);
static inline bool lk_stream_is_id(const uint8_t id[16])
{
	static const uint8_t none[16];

	return memcmp(id, none, 16) != 0;
}

/* [0]: which snapshot of which volume it is; [1]: the one it was received as, zeros for none. */
void lk_stream_identify(const struct lk_fs *fs, const struct lk_snapshot *s, uint8_t out[2][16]);
/* Which stream it is, by what it is of. */
void lk_stream_of(const struct lk_wire *begin, uint32_t flags, uint8_t out[16]);
/* The snapshot of the volume that is one of the two (zeros: none): LINKFS_ENOENT. name_out (may be NULL): 256 bytes. */
int lk_stream_find(struct linkfs_volume *volume, const uint8_t ids[2][16], int64_t *epoch_out, char *name_out);
/* Joins the fingerprint of one more object to those before. */
void lk_stream_join(uint8_t tree[16], const uint8_t print[16]);

#endif
