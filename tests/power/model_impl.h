/*
 * model_impl.h - the model's nodes, for model.c and model_content.c.
 */
#ifndef POWER_MODEL_IMPL_H
#define POWER_MODEL_IMPL_H

#include "power.h"

struct xattr {
	char name[64];
	uint64_t sum;
};

struct node {
	uint32_t mode, nlink, uid, gid;
	uint8_t *data; /* content, or a symlink's text */
	uint64_t size, sum;
	bool summed;
	struct xattr xattrs[8];
	unsigned xattr_count;
	struct entry *entries; /* sorted by name */
	size_t entry_count;
	unsigned opens;
	uint32_t names; /* of a directory; the root has none */
	uint32_t shows; /* binds that show it */
	bool keep;      /* its links */
	bool temporary; /* made without a name, and never had one */
	uint32_t number;
	uint64_t id;     /* of all nodes that ever were */
	uint64_t tracks; /* the id of what a tracked link tracks */
};

struct entry {
	char name[256];
	struct node *node;
	struct node *bound; /* shown instead, or NULL */
};

#define SNAPSHOTS_MAX 6

struct snapshot {
	char name[32];
	char *text; /* of the tree when it was taken */
};

struct model {
	struct snapshot snapshots[SNAPSHOTS_MAX]; /* in the order they were taken in */
	unsigned snapshot_count;
	struct node *root;
	struct node *slots[OP_SLOTS];
	uint32_t numbers;
	bool tracked; /* there are tracked links */
};

struct place {
	struct node *dir;
	char name[256];
	struct node *node; /* what is shown there; NULL: no such name */
	bool bound;        /* by a bind */
	size_t bind;       /* length of the part of the path that ends with the innermost bind on the way; 0: none */
};

/* False when the directory of the last component is not there. */
bool model_place(struct model *m, const char *path, struct place *out);

/* What model_apply() does for operations on content. */
bool model_write(struct model *m, const struct op *op, bool dry);
bool model_allocate(struct model *m, const struct op *op, bool dry);
bool model_copy(struct model *m, const struct op *op, bool dry);
bool model_resize(struct model *m, const struct op *op, bool dry);
/* After an operation: the texts of tracked links whose target is there (model_track.c). */
void model_retrack(struct model *m);
/* Before one: no tracked link, and nothing tracked, would have several paths afterwards. */
bool model_keeps_ways(struct model *m, const struct op *op);

/* model_snapshot.c */
bool model_snapshot(struct model *m, const struct op *op, bool dry);
void model_snapshots_text(const struct model *m, struct lk_buf *out);
void model_snapshots_free(struct model *m);
/* model.c: of the tree alone, without NUL. */
void model_tree_text(struct model *m, struct lk_buf *out);

/* model_share.c: keep-links, copies that share, equal files. */
bool model_share(struct model *m, const struct op *op, bool dry);
/* Whether the other names of old follow when fresh takes one of them by a rename; and that. */
bool model_follows(const struct node *old, const struct node *fresh);
void model_follow(struct model *m, struct node *old, struct node *fresh);
/* model.c */
void model_enter(struct node *dir, const char *name, struct node *node);
void model_drop_name(struct place *p);
/* Whether the name may go, as far as binds are concerned. */
bool model_may_go(const struct place *p);

#endif
