/*
 * tar_gunzip.c - gzip streams, by zlib: libarchive (3.6 was looked at) does not compare their checksums and lengths, and would hand out what was
 * damaged on the way as if nothing had happened. See tar.h.
 */
#include "tar.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define IN_BYTES 65536u

struct tar_gunzip {
	tar_source_fn *source;
	void *arg;
	z_stream z;
	bool started, packed; /* the first bytes were looked at; they are gzip's */
	bool source_ended, done;
	const char *why;
	unsigned char in[IN_BYTES];
};

struct tar_gunzip *tar_gunzip_new(tar_source_fn *source, void *arg)
{
	struct tar_gunzip *g = cli_alloc(sizeof(*g));
	if (!g)
		return NULL;
	*g = (struct tar_gunzip){.source = source, .arg = arg};
	/* 16: a gzip header and trailer are looked for, and compared. */
	if (inflateInit2(&g->z, 15 + 16) != Z_OK) {
		free(g);
		return NULL;
	}
	return g;
}

void tar_gunzip_free(struct tar_gunzip *g)
{
	if (g)
		inflateEnd(&g->z);
	free(g);
}

bool tar_gunzip_found(const struct tar_gunzip *g)
{
	return g->packed;
}

const char *tar_gunzip_why(const struct tar_gunzip *g)
{
	return g->why;
}

/* At least least bytes, or all that there are. */
static int fill(struct tar_gunzip *g, unsigned least)
{
	if (g->z.avail_in >= least || g->source_ended)
		return 0;
	if (g->z.avail_in)
		memmove(g->in, g->z.next_in, g->z.avail_in);
	g->z.next_in = g->in;
	while (g->z.avail_in < least && !g->source_ended) {
		ssize_t n = g->source(g->arg, (char *)g->in + g->z.avail_in, IN_BYTES - g->z.avail_in);
		if (n < 0)
			return (int)n;
		g->z.avail_in += (unsigned)n;
		g->source_ended = n == 0;
	}
	return 0;
}

static ssize_t plain(struct tar_gunzip *g, char *buf, size_t size)
{
	size_t n = g->z.avail_in < size ? g->z.avail_in : size;
	if (n == 0)
		return g->source_ended ? 0 : g->source(g->arg, buf, size);
	memcpy(buf, g->z.next_in, n);
	g->z.next_in += n;
	g->z.avail_in -= (unsigned)n;
	return (ssize_t)n;
}

static int damaged(struct tar_gunzip *g, const char *why)
{
	g->why = why;
	return LINKFS_EINVAL;
}

static bool is_gzip(const struct tar_gunzip *g)
{
	return g->z.avail_in > 2 && g->z.next_in[0] == 0x1f && g->z.next_in[1] == 0x8b;
}

/* One member ends; others may follow, and the zeros of a tape, or anything else that gzip passes over as well. */
static int end_member(struct tar_gunzip *g)
{
	int error = fill(g, 3);
	if (error)
		return error;
	g->done = !is_gzip(g);
	if (!g->done)
		inflateReset(&g->z);
	return 0;
}

static int step(struct tar_gunzip *g)
{
	int error = fill(g, 1);
	if (error)
		return error;
	if (g->z.avail_in == 0)
		return damaged(g, "the compressed bytes end too early");
	int r = inflate(&g->z, Z_NO_FLUSH);
	if (r == Z_STREAM_END)
		return end_member(g);
	if (r == Z_MEM_ERROR)
		return LINKFS_ENOMEM;
	return r == Z_OK || r == Z_BUF_ERROR ? 0 : damaged(g, g->z.msg ? g->z.msg : "the compressed bytes are damaged");
}

ssize_t tar_gunzip_read(struct tar_gunzip *g, char *buf, size_t size)
{
	int error = g->started ? 0 : fill(g, 3);
	if (error)
		return error;
	if (!g->started)
		g->packed = is_gzip(g) && g->z.next_in[2] == 8;
	g->started = true;
	if (!g->packed)
		return plain(g, buf, size);
	g->z.next_out = (unsigned char *)buf;
	g->z.avail_out = (unsigned)size;
	while (g->z.avail_out == size && !g->done && !error)
		error = step(g);
	return error ? error : (ssize_t)(size - g->z.avail_out);
}
