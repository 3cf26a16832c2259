/*
 * model.h - a tree of links in memory, read from a volume name by name, and a walker of its own: path_resolution(7) over a list of
 * components. What linkfs_links.h answers from indexes is compared with a full scan here.
 */
#ifndef LINKS_MODEL_H
#define LINKS_MODEL_H

#include "test.h"

#include <linkfs_links.h>

struct entry {
	uint64_t dir, ino;
	char name[64];
	bool gone; /* by model_remove() */
};

struct node {
	uint32_t mode, uid;  /* mode 0: there is none */
	uint64_t parent;     /* directories */
	char *text;          /* symlinks */
	size_t first, count; /* of a directory: its entries */
};

struct model {
	struct node *nodes; /* by inode number */
	uint64_t max;
	struct entry *entries;
	size_t count, cap;
	/* A rename that the walker takes for made. */
	uint64_t moved_entry; /* index + 1 of the entry that stands elsewhere; 0: none */
	uint64_t moved_dir;
	char moved_name[64];
};

/* Who walks, and what the root is. */
struct walker {
	uint32_t uid;           /* 0: all may; groups and ACLs play no part */
	const char *mounted_at; /* NULL, or an absolute path */
};

#define ARRIVALS_MAX 512
struct walk_end {
	int error;
	uint64_t ino;
	uint32_t expansions;
	struct {
		uint64_t ino;
		bool last; /* nothing but dots and slashes came after */
	} arrivals[ARRIVALS_MAX];
	size_t narrivals;
};

void model_load(struct model *m, struct linkfs_volume *v);
void model_done(struct model *m);
/* A copy without the entry (index), and without all below it if that is a directory. */
void model_remove(const struct model *m, size_t entry, struct model *out);
/* A copy where the entry has another place; what is there is removed. */
void model_rename(const struct model *m, size_t entry, uint64_t dir, const char *name, struct model *out);
void model_copy_done(struct model *m);

/* Walks path from directory at. */
void model_walk(const struct model *m, const struct walker *who, uint64_t at, const char *path, bool follow,
		struct walk_end *out);
/* Walks through an entry. What the entry itself is does not count as an arrival. */
void model_follow(const struct model *m, const struct walker *who, size_t entry, struct walk_end *out);
/* The path of an entry; "" when who may not search a directory on it. */
void model_path(const struct model *m, const struct walker *who, size_t entry, char *out, size_t size);
/* Whether entry lies in or below directory top. */
bool model_below(const struct model *m, size_t entry, uint64_t top);
bool model_is_link(const struct model *m, size_t entry);

#endif
