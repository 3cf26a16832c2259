/*
 * told.h - answers of a question that are gathered under the volume's lock and given out without it: who is told may block on the
 * very volume.
 * Layer: api, private.
 */
#ifndef LK_TOLD_H
#define LK_TOLD_H

#include "call.h"

#include <linkfs_links.h>

struct lk_told_item;
/* Zeroed: empty. */
struct lk_told {
	struct lk_told_item *first, *last;
};
/* Room for an answer of size bytes and, in *bytes_out, for as many as its strings need. NULL: out of memory. */
void *lk_told_add(struct lk_told *told, size_t size, size_t string_bytes, char **bytes_out);
/* Copies a string to *bytes, with a NUL, and moves *bytes behind it. */
const char *lk_told_string(char **bytes, const void *p, size_t len);
/* Gives every answer to give and forgets them; what give returned other than 0 ends it. */
typedef int lk_give_fn(void *arg, const void *answer);
int lk_told_give(struct lk_told *told, lk_give_fn *give, void *arg);
void lk_told_done(struct lk_told *told);

/* The end of a slice: closes op with rc, gives out what was told, and lets others have the lock. A positive result: give stopped. */
int lk_told_slice(struct lk_op *op, int rc, struct lk_told *told, lk_give_fn *give, void *arg);
/* What a listing that ended with rc returns. */
static inline int lk_told_result(int rc)
{
	return rc > 0 ? 0 : rc;
}

/* mounted_at as the walker wants it; *out NULL for none, else freed by the caller. Points into mounted_at. LINKFS_EINVAL. */
struct lk_host;
int lk_host_parse(const struct linkfs_links_options *options, struct lk_host **out);

/* link's path and text, as far as cred may know them: *out is in the op's arena, bytes_out how long its strings are with their NULs.
 * LINKFS_EACCES or LINKFS_ENOENT: it is not to be told. */
struct lk_paths;
struct lk_link_name;
int lk_link_of(struct lk_op *op, struct lk_paths *paths, const struct lk_link_name *name, struct linkfs_link *out,
	       size_t *bytes_out);
/* Which links are asked about: those whose path comes through directory top (an inode's number), as cred walks them. node: the directory of
 * which below tells; 0: none. */
struct lk_host;
struct lk_link_end;
struct lk_fault;
struct lk_dangling_ask {
	const struct linkfs_cred *cred;
	const struct lk_host *host;
	uint64_t top, node;
	bool below;
};
/* Whether the link is one of those and leads nowhere, as far as cred may know. *end and *fault (may be NULL) tell how it ends. */
int lk_link_dangles(struct lk_op *op, struct lk_dangling_ask *ask, const struct lk_link_name *name,
		    struct lk_link_end *end, struct lk_fault *fault, bool *out);
/* Copies the strings of *link into bytes. */
void lk_link_copy(struct linkfs_link *link, char **bytes);

#endif
