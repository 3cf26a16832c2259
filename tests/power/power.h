/*
 * power.h - what the files of the power-cut test share: operations, the model they are judged by, recordings, states.
 *
 * A script of operations is run on a volume and on the model at once, while every call that changes the volume's files is
 * recorded (record.c). Cut after each call, with what was not synced kept, dropped, mixed or torn (disk.c), the volume is
 * made anew, opened, and compared with the model after each operation that it may show (judge.c).
 */
#ifndef POWER_H
#define POWER_H

#include "base.h"
#include "calls.h"
#include "test.h"

#include <limits.h>
#include <linkfs.h>
#include <pthread.h>
#include <stdio.h>

/* ---- operations: op.c ------------------------------------------------------------------------------------------------ */

enum op_kind {
	OP_CREATE, /* a */
	OP_MKDIR,
	OP_FIFO,
	OP_SYMLINK, /* a, text b */
	OP_RELINK,  /* the same in place of what is there */
	OP_TRACK,   /* a, a tracked link to b, which has one name */
	OP_LINK,    /* a gets the name b */
	OP_LINKDIR, /* the same of a directory */
	OP_BIND,    /* a is shown at b */
	OP_UNBIND,  /* a shows itself again */
	OP_UNLINK,
	OP_RMDIR,
	OP_RENAME, /* a, b */
	OP_EXCHANGE,
	OP_WRITE, /* a at x, n bytes */
	OP_WRITE_SYNC,
	OP_APPEND,
	OP_TRUNCATE, /* a to x */
	OP_ALLOCATE, /* a, mode y, x, n */
	OP_COPY,     /* a from x, b at y, n bytes */
	OP_SETXATTR, /* a, name b, n bytes */
	OP_RMXATTR,
	OP_CHMOD, /* a, x */
	OP_CHOWN, /* a, x, y */
	OP_OPEN,  /* a in slot */
	OP_TMPFILE,
	OP_HWRITE, /* slot at x, n bytes */
	OP_HTRUNCATE,
	OP_HLINK, /* slot gets the name b */
	OP_HCLOSE,
	OP_KEEP,    /* a keeps its links, or no more (x) */
	OP_CLONE,   /* a copy of a that shares, named b */
	OP_UNSHARE, /* a gets an inode of its own */
	OP_DEDUPE,  /* b takes a's blocks where both are equal */
	OP_MERGE,   /* b, equal to a, becomes a name of it */
	OP_FSYNC,   /* a; x: data only */
	OP_HSYNC,
	OP_SYNC,
	OP_CHECKPOINT,      /* the WAL moves into the database, beside us */
	OP_SNAPSHOT,        /* named a */
	OP_RENAME_SNAPSHOT, /* a, b */
	OP_DROP, /* snapshot a; x: so many steps of it, and the rest when the volume is opened again; 0: all */
	OP_REOPEN,
	OP_KINDS
};

#define OP_PATH 300
#define OP_SLOTS 4
#define OP_FILE_MAX (512u << 10) /* no file of a script is larger */

struct op {
	enum op_kind kind;
	const char *a, *b; /* a script's own copies; NULL is "" to who makes them */
	uint64_t x, y, n;
	unsigned slot;
	uint64_t serial; /* what it writes is made from this: no two operations write the same bytes */
};

/* Whether the operation ends with everything before it durable. */
bool op_acknowledges(const struct op *op);
/* Whether it is done in steps that a commit in another thread may come between (fallocate, copy_file_range). */
bool op_in_steps(const struct op *op);
void op_print(FILE *to, const struct op *op);
/* The bytes an operation writes at file offset. */
void op_bytes(uint64_t serial, uint64_t offset, void *buf, size_t len);

/* The volume a script runs on. */
struct subject {
	const char *path;
	struct linkfs_volume *volume;
	struct linkfs_file *slots[OP_SLOTS];
	uint32_t interval_ms;
};
int subject_open(struct subject *s, struct linkfs_message *why);
int subject_close(struct subject *s);
int op_run(struct subject *s, const struct op *op);

/* ---- the model: model.c ------------------------------------------------------------------------------------------------ */

struct model;
struct model *model_new(void);
void model_free(struct model *m);
/* False, and nothing changed, when the operation cannot be done; with dry nothing is changed anyway. */
bool model_apply(struct model *m, const struct op *op, bool dry);
/* The tree and those of the snapshots as text, as tree_of_volume() gives it; appended, NUL-terminated. */
void model_text(struct model *m, struct lk_buf *out);

/* One line of that text. Names are compared as bytes; inodes are numbered as they are met. */
struct tree_line {
	const char *path;
	uint32_t mode, nlink, uid, gid, number;
	uint64_t size, sum; /* of content, of a symlink's text */
	uint64_t xattrs;    /* the sum over all of them of a hash of name and value: no order */
};
void tree_add(struct lk_buf *out, const struct tree_line *line);
uint64_t tree_xattr_sum(const char *name, const void *value, size_t len);
/* Walks and reads a volume, with its snapshots, whose lines begin with "@NAME". 0, or the error of the call named in why. */
int tree_of_volume(struct linkfs_volume *volume, struct lk_buf *out, struct linkfs_message *why);

/* ---- scripts: script.c, story.c -------------------------------------------------------------------------------------------- */

struct script {
	struct op *ops;
	size_t count, cap;
	bool committer; /* another thread commits all the while */
	bool tight;     /* on the small volume */
	bool bare;      /* on a new one, without the tree */
	uint64_t next_serial;
};
void script_add(struct script *s, const struct op *op);
void script_done(struct script *s);
/* The tree that every script starts with. */
void script_base(struct script *out);

struct family {
	const char *name;
	unsigned share;                                                 /* of the states, in hundredths */
	uint64_t (*count)(void);                                        /* how many scripts there are; 0: no end */
	bool (*make)(struct script *s, uint64_t number, uint64_t seed); /* false: there is no such one */
};
extern const struct family families[];
extern const size_t family_count;
bool story_make(struct script *s, uint64_t number, uint64_t seed);

/* Operations drawn without a model, most of which can be done; with syncs among them. */
void script_draw(struct script *s, uint64_t seed);
/* m after the base and what is in s so far; adds op if it can be done. */
bool script_try(struct script *s, struct model *m, struct op op);

/* ---- recordings: record.c ---------------------------------------------------------------------------------------------------- */

enum event_kind {
	EV_OPEN, /* a file got its number; made: it is new */
	EV_WRITE,
	EV_TRUNCATE,
	EV_ZERO, /* a range that was punched or zeroed: reads as zeros */
	EV_SYNC,
	EV_RENAME,
	EV_UNLINK,
	EV_BEGIN, /* operation number offset begins */
	EV_ACK,   /* everything before operation number offset is acknowledged */
};

struct event {
	enum event_kind kind;
	uint32_t file;
	bool made;
	char name[32], to[32];
	uint64_t offset, len;
	uint8_t *data;
};

struct recording {
	struct event *events;
	size_t count, cap;
	struct calls_hooks hooks;
	pthread_mutex_t lock;
	char trouble[200]; /* what cannot be recorded: a mapped file, a name that is too long */
};
/* Records what reaches path until record_end(): anything may be recorded, in any threads. Syncs are not made, only noted. */
void record_begin(struct recording *r, const char *path);
void record_end(struct recording *r);
void record_mark(struct recording *r, enum event_kind kind, uint64_t number);
void record_free(struct recording *r);
bool event_changes(const struct event *e); /* a disk, or what it must keep */
/* Calls on dir with syncs left out and nothing recorded, for work on images. */
void quiet_begin(const char *dir);
void quiet_end(void);

/* ---- disks: disk.c --------------------------------------------------------------------------------------------------------------- */

#define DISK_FILES 16
/* A volume's files, in memory. */
struct image {
	struct image_file {
		char name[32];
		uint8_t *p;
		uint64_t size, used, cap; /* bytes from used to size are zero */
	} files[DISK_FILES];
	unsigned count;
};
void image_load(struct image *image, const char *dir);
void image_store(const struct image *image, const char *dir);
void image_copy(struct image *to, const struct image *from);
void image_free(struct image *image);
uint64_t image_hash(const struct image *image);

/* A disk while a recording is played on it: what is durable, and what waits for a sync. */
struct disk;
struct disk *disk_new(const struct image *start);
void disk_free(struct disk *d);
void disk_play(struct disk *d, const struct recording *r, size_t event);
/* Changes that a power cut may lose now. */
size_t disk_pending(const struct disk *d);
/* One way it may go: 0 all is kept, 1 all is lost, else a draw of seed. */
void disk_cut(struct disk *d, const struct recording *r, unsigned variant, uint64_t seed, struct image *out);

/* Hashes of states that were judged already: seen.c. */
struct seen {
	uint64_t *keys;
	size_t count, cap;
};
bool seen_before(struct seen *s, uint64_t key);
void seen_free(struct seen *s);

/* ---- judging: judge.c -------------------------------------------------------------------------------------------------------------- */

/* Trees after 0, 1, 2 ... operations. */
struct history {
	char **texts;
	uint64_t *hashes;
	size_t count, cap;
};
void history_add(struct history *h, struct model *m);
void history_free(struct history *h);

struct verdict {
	bool good;
	size_t state; /* the number of operations that show */
	char why[4096];
};
/* The tree as it is now; what differs is added to v. */
void judge_tree(struct linkfs_volume *volume, const struct history *h, size_t first, size_t last, struct verdict *v);
#define JUDGE_RECORDS 1u /* check: the records against each other, the data against its checksums */
#define JUDGE_USE 2u     /* write, sync, close, open and compare again */
#define JUDGE_DROP 8u    /* delete all snapshots, those too whose deletion was cut off, and look what is left */
#define JUDGE_READ 4u    /* read it first, without writing: that shows a state too, and the same one as later */
/* Makes the image in dir, opens it, and compares it with the trees from first to last. recovery: records it, may be NULL. */
void judge(const struct image *image, const char *dir, const struct history *h, size_t first, size_t last,
	   unsigned flags, struct recording *recovery, struct verdict *out);
#endif
