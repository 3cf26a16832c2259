/*
 * dirents.h - (not dirent.h: that name is the system's) directory entries: the one door to table dirent (K1).
 * Layer: core. An entry's key is the directory, the keyed hash of the name and an ordinal among equal hashes; hash and
 * ordinal together are its readdir cookie. The index by inode answers "which names" and "..".
 */
#ifndef LK_DIRENT_H
#define LK_DIRENT_H

#include "inode.h"

#define LK_COOKIE_DOT 1u
#define LK_COOKIE_DOTDOT 2u
#define LK_ORD_MAX 255

/* Where a name stands in its directory, or would stand. */
struct lk_slot {
	uint64_t dir;
	int64_t hash;
	int64_t ord;    /* the entry's, or the first free one; above LK_ORD_MAX when the bucket is full */
	uint64_t ino;   /* 0: there is no such entry */
	uint32_t type;  /* S_IFMT bits */
	uint64_t bound; /* a bind shows this inode here instead; 0: none (binds.h) */
};

/* LINKFS_EINVAL for an empty name or one with '/' or NUL in it. Length is judged where the directory is asked. */
int lk_name_check(const char *name, size_t len);

/* Finds name in dir (a live directory's number). 0 also when there is none: see slot->ino. LINKFS_ENAMETOOLONG. */
int lk_dirent_find(struct lk_op *op, uint64_t dir, const char *name, size_t len, struct lk_slot *slot);
/* Changes by slot, as found in this op. insert: LINKFS_ENOSPC when the bucket is full. They queue the event. */
int lk_dirent_insert(struct lk_op *op, struct lk_slot *slot, const char *name, size_t len, uint64_t ino, uint32_t mode);
int lk_dirent_replace(struct lk_op *op, struct lk_slot *slot, const char *name, size_t len, uint64_t ino,
		      uint32_t mode);
int lk_dirent_remove(struct lk_op *op, const struct lk_slot *slot, const char *name, size_t len);

/* LINKFS_ECORRUPT: no row of an entry is like that. with_type: it has its type. */
int lk_dirent_verify(const struct lk_dirent *d, bool with_type);
/* The entry at a key, when it names ino: LINKFS_ENOENT. The name is in the op's arena. */
int lk_dirent_at(struct lk_op *op, uint64_t dir, int64_t hash, int64_t ord, uint64_t ino, struct lk_dirent *out);

int lk_dirent_empty(struct lk_op *op, uint64_t dir, bool *out);
/* Whether directories of the op's view may have several names (D6). */
bool lk_dir_links_any(struct lk_op *op);
/* Whether ino has a name. */
int lk_dirent_named(struct lk_op *op, uint64_t ino, bool *out);
/* The directory that holds directory ino ("..": the root is its own): of several, one of them. LINKFS_ENOENT for one that was
 * removed. */
int lk_dirent_parent(struct lk_op *op, uint64_t ino, uint64_t *out);

/* Entries after cookie in cookie order, at most limit of them (0: all). Names are valid
 * during the call. fn: as lk_row_fn, but record is a verified struct lk_dirent. */
int lk_dirent_scan(struct lk_op *op, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn, void *arg);
/* The names of ino, through the reverse index, in order of (dir, cookie); type is not filled. */
int lk_dirent_names(struct lk_op *op, uint64_t ino, uint32_t limit, lk_row_fn *fn, void *arg);
/* The same from a place on: those after the one in directory dir at cookie (0, 0: from the start). */
int lk_dirent_names_after(struct lk_op *op, uint64_t ino, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn,
			  void *arg);
/* The same at op->view, a snapshot (dirents_past.c). */
int lk_dirent_names_past(struct lk_op *op, uint64_t ino, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn,
			 void *arg);
/* The first of ino's names; the name is in the op's arena. LINKFS_ENOENT: it has none. */
int lk_dirent_first(struct lk_op *op, uint64_t ino, struct lk_dirent *out);
/* Whether directory node is from, or lies above it: by any of the paths to from, those through binds and what they cover included. */
int lk_dirent_above(struct lk_op *op, uint64_t node, uint64_t from, bool *out);

static inline uint64_t lk_dirent_cookie(const struct lk_dirent *d)
{
	return (uint64_t)d->hash << 8 | (uint64_t)d->ord;
}
static inline uint32_t lk_dirent_type(const struct lk_dirent *d)
{
	return (uint32_t)d->type << 12;
}

#endif
