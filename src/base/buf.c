/*
 * buf.c - growable byte buffers.
 * Layer: base.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

int lk_buf_reserve(struct lk_buf *buf, size_t more)
{
	if (more > SIZE_MAX / 2 - buf->len)
		return LINKFS_ENOMEM;
	size_t want = buf->len + more;
	if (want <= buf->cap)
		return 0;
	size_t cap = LK_MAX(LK_MAX(want, buf->cap * 2), (size_t)64);
	void *p = realloc(buf->p, cap);
	if (!p)
		return LINKFS_ENOMEM;
	buf->p = p;
	buf->cap = cap;
	return 0;
}

int lk_buf_append(struct lk_buf *buf, const void *p, size_t len)
{
	int r = lk_buf_reserve(buf, len);
	if (r)
		return r;
	if (len)
		memcpy(buf->p + buf->len, p, len);
	buf->len += len;
	return 0;
}

void lk_buf_done(struct lk_buf *buf)
{
	free(buf->p);
	*buf = (struct lk_buf){0};
}
