/*
 * kept.h - what the tests of deleted files share: a volume that keeps them, names made and looked for by path, deletions listed, and
 * a checker of table deleted against inodes and counters.
 */
#ifndef UNDELETE_KEPT_H
#define UNDELETE_KEPT_H

#include <world.h>

#include <deleted.h>
#include <sys/stat.h>

#define DELETIONS_MAX 4096u

struct deletions {
	struct linkfs_deleted row[DELETIONS_MAX];
	char path[DELETIONS_MAX][80], name[DELETIONS_MAX][40];
	uint32_t count;
};

/* A world whose volume keeps deleted files for so long. */
void kept_open(struct world *w, const char *keep, uint64_t limit_bytes);
void kept_set(struct world *w, const char *keep);

/* By path, as root; each must succeed. A file is made with the content, a path that ends in '/' is a directory. */
uint64_t put(struct world *w, const char *path, const char *content);
void put_blocks(struct world *w, const char *path, uint32_t blocks, uint8_t fill);
void take(struct world *w, const char *path); /* unlink, or rmdir for a path that ends in '/' */
void tie(struct world *w, const char *old_path, const char *new_path);
void move(struct world *w, const char *from, const char *to);
/* The inode at path, 0 when there is none. */
uint64_t at(struct world *w, const char *path);
void stat_of(struct world *w, const char *path, struct linkfs_stat *out);
void expect_content(struct world *w, const char *path, const char *content);

/* All that cred (NULL: root) may see of a query (NULL: everything), through cursors; static, until the next call. */
const struct deletions *list(struct world *w, const struct linkfs_cred *cred, const struct linkfs_deleted_query *query);
/* The newest deletion of this path: its time; 0 when there is none. */
int64_t lost(struct world *w, const char *path);
int restore(struct world *w, int64_t time_ns); /* at its own place, as root */

/* Every inode without a name is either kept, marked and named by table deleted, or an orphan; the counters agree. And world_check(). */
uint64_t kept_check(struct world *w);
uint64_t kept_inodes(struct world *w);

#endif
