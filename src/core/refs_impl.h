/*
 * refs_impl.h - between refs.c and refs_walk.c.
 * Layer: core, private to those.
 */
#ifndef LK_REFS_IMPL_H
#define LK_REFS_IMPL_H

#include "refs.h"

struct lk_proof {
	bool met;  /* the walk does what is asked about: who meets this link on his way may do so too */
	bool told; /* it is an answer */
	struct lk_link_end before, after;
};
/* *out is zeroed by the caller. */
int lk_refs_prove(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_refs_ask *ask,
		  const struct lk_link_name *link, struct lk_proof *out);

#endif
