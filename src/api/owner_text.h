/*
 * owner_text.h - the text of a lock file.
 * Layer: api, private to owner*.c. Lines "key value"; bytes below '!', above '~' and '%' are written %XX. The text comes from
 * whoever could write the volume's directory: nothing in it is trusted, nothing in it is an error.
 */
#ifndef LK_OWNER_TEXT_H
#define LK_OWNER_TEXT_H

#include "base.h"

#define LK_OWNER_TEXT_MAX 16384

struct lk_owner_text {
	uint64_t pid; /* 0: not known */
	int64_t beat; /* seconds since 1970 of the last heartbeat; 0: the owner needs none */
	char host[256];
	char boot[64]; /* the kernel's boot id; tells hosts of one name apart, and containers of one host not */
	char mount_point[4096];
	char control_socket[512];
};

/* Returns the length; text holds LK_OWNER_TEXT_MAX bytes. */
size_t lk_owner_format(const struct lk_owner_text *owner, char *text);
/* Takes what it understands; the rest stays zero. */
void lk_owner_parse(const char *text, size_t len, struct lk_owner_text *out);
/* This process, without mount point and socket. */
void lk_owner_self(struct lk_owner_text *out);
bool lk_owner_is_local(const struct lk_owner_text *owner);

#endif
