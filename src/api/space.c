/*
 * space.c - linkfs_space.h's calls: what files and snapshots cost.
 * Layer: api. Asked of a moment beside the owner (moment.h); where there can be none, of the volume itself in slices.
 */
#include "space.h"

#include "call.h"
#include "moment.h"

#include <stdlib.h>

#define TRIES 2 /* in slices, before the volume's lock is held from end to end */

struct linkfs_space {
	struct lk_fs *owner;
	struct lk_fs *moment; /* NULL: none beside the owner */
};

int linkfs_space_open(struct linkfs_volume *volume, struct linkfs_space **out)
{
	struct linkfs_space *space = calloc(1, sizeof(*space));
	int rc;

	if (!space)
		return LINKFS_ENOMEM;
	space->owner = lk_volume_fs(volume);
	rc = lk_moment_open(space->owner, &space->moment);
	if (rc && rc != LINKFS_EAGAIN) {
		free(space);
		return rc;
	}
	*out = space;
	return 0;
}

void linkfs_space_close(struct linkfs_space *space)
{
	if (!space)
		return;
	(void)lk_fs_close(space->moment);
	free(space);
}

static int find(struct linkfs_space *space, const struct linkfs_cred *cred, const struct linkfs_space_item *item,
		struct lk_space_item *out)
{
	struct lk_op op;
	int rc;

	if (item->snapshot) {
		if (item->snapshot > INT64_MAX)
			return LINKFS_ENOENT;
		*out = (struct lk_space_item){.kind = LK_SPACE_SNAPSHOT, .epoch = (int64_t)item->snapshot};
		return 0;
	}
	if (!item->path)
		return LINKFS_EINVAL;
	rc = lk_op_begin(space->owner, &op, 0);
	return rc ? rc : lk_op_end(&op, lk_space_find(&op, cred, item->at, item->path, out));
}

static int count(struct linkfs_space *space, struct lk_space_ask *ask, struct linkfs_space_sum *out)
{
	int rc = LINKFS_EAGAIN;

	if (space->moment)
		return lk_space_count(space->moment, ask, out);
	ask->slices = true;
	for (int i = 0; i < TRIES && rc == LINKFS_EAGAIN; i++)
		rc = lk_space_count(space->owner, ask, out);
	ask->whole = true;
	return rc == LINKFS_EAGAIN ? lk_space_count(space->owner, ask, out) : rc;
}

int linkfs_space_ask(struct linkfs_space *space, const struct linkfs_cred *cred,
		     const struct linkfs_space_question *question, struct linkfs_space_sum *out)
{
	struct lk_space_ask ask = {.cred = lk_cred(cred), .question = question, .item_count = question->item_count};
	struct lk_space_item *items;
	int rc = 0;

	if (question->flags & ~(LINKFS_SPACE_FULL | LINKFS_SPACE_NOW))
		return LINKFS_EINVAL;
	items = calloc(question->item_count + 1, sizeof(*items));
	if (!items)
		return LINKFS_ENOMEM;
	for (size_t i = 0; rc == 0 && i < question->item_count; i++)
		rc = find(space, ask.cred, &question->items[i], &items[i]);
	ask.items = items;
	if (rc == 0)
		rc = count(space, &ask, out);
	free(items);
	return rc;
}
