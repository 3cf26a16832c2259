/*
 * sample.h - a volume with something of everything, and ways to damage one that keep its page checksums right.
 */
#ifndef CHECK_SAMPLE_H
#define CHECK_SAMPLE_H

#include "test.h"

#include <db.h>
#include <linkfs_check.h>

struct sample {
	char *dir;       /* temporary */
	char path[4096]; /* of the volume */
	/* Inode numbers. */
	int64_t sub, deep;         /* /sub, /sub/deep */
	int64_t small, big, empty; /* /small (inline), /sub/big (extents, also named /sub/deep/hard), /empty */
	int64_t sparse, copy;      /* /sparse (a hole between), /copy (shares the blocks of big) */
	int64_t reserved;          /* /reserved (unwritten blocks) */
	int64_t link;              /* /sub/link -> ../small */
	int64_t attributes;        /* /attributes: two user attributes and an ACL */
	int64_t changed;           /* /changed: other content at the snapshot */
	int64_t gone;              /* /gone: there at the snapshot only */
	int64_t snapshot;          /* its epoch */
};

/* Made, closed. */
void sample_make(struct sample *s);
void sample_done(struct sample *s);

/* The database of the closed volume, in a transaction. */
struct lk_db *sample_edit(const struct sample *s);
void sample_save(struct lk_db *db);
/* SQL text over the database, through the layer that keeps page checksums. */
void sample_sql(const struct sample *s, const char *sql);
/* The same with the index hidden, so that it is not changed with its table. */
void sample_sql_beside(const struct sample *s, const char *index, const char *sql);
/* A byte of a data block is another one. */
void sample_flip(const struct sample *s, int64_t disk_block);
/* The first disk block of a file. */
int64_t sample_disk(const struct sample *s, int64_t ino);

/* A check's findings by id. */
struct found {
	struct linkfs_check_summary sum;
	char ids[128][40];
	uint64_t ino[128];
	char text[128][200];
	int repaired[128];
	size_t count;
};
void sample_check(const struct sample *s, uint32_t flags, struct found *out);
bool found_id(const struct found *f, const char *id);
/* "id id id": for messages. */
const char *found_all(const struct found *f);

#endif
