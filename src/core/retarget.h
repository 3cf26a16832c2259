/*
 * retarget.h - a dangling symlink whose target, or which itself, was moved, and where that is known (D3): another text for it.
 * Layer: core.
 */
#ifndef LK_RETARGET_H
#define LK_RETARGET_H

#include "moved.h"
#include "refs.h"

#include <linkfs_links.h>

struct lk_retarget {
	enum linkfs_fix_result result;
	int error;        /* with LINKFS_FIX_FAILED */
	const char *text; /* with DONE: the new one, in the op's arena, NUL after it */
	size_t len;
	struct lk_moved moved; /* DONE and AMBIGUOUS: the move that broke it, as recorded */
};

/* Looks for what link led to before it was broken, and unless dry makes it lead there again: the text of the same symlink
 * changes. Returns 0 with a result, LINKFS_FIX_NONE for a link that is not dangling or gone. */
int lk_retarget(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_link_name *link,
		const struct lk_host *host, bool dry, struct lk_retarget *out);

#endif
