/*
 * backup.h - what the files of linkfs backup (row E4) share.
 *
 * A backup walks each source with several threads. A job is a directory, or a file that is to be read; jobs wait on a stack, so that the walk
 * goes deep first and little waits at a time. Of each file of the source one statx is asked; what the volume remembers of it
 * (linkfs_backup.h), all of which is loaded at the start, says whether that is all. A directory whose own times are those remembered, and
 * whose copy nobody touched, has the names that its copy has: its copy is not even listed.
 *
 *   backup.c         the whole of a run                    backup_known.c   what the volume remembers, in memory
 *   backup_dest.c    where sources go, and whether they may backup_walk.c    a directory
 *   backup_pool.c    threads and jobs                      backup_entry.c   an entry: which file of the volume it is
 *   backup_rules.c   what is left out                      backup_file.c    a file that is read
 *   backup_names.c   names made, moved and removed         backup_report.c  counts, progress, messages
 *   backup_dedupe.c  equal content shared                  backup_estimate.c how much there is to do
 *
 * What happens to names, and why nothing is lost when it is cut off anywhere: a file gets its new name before it loses an old one; names that
 * the source has no more, and what was displaced from a name (it waits under a temporary one), go last, when all
 * sources were walked: until then each may turn out to have moved. A file in the volume is as good as remembered only while nobody
 * changed it: its ctime tells. So a row is written when its file is whole, and needs no care when it is changed again.
 */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "copy.h"

#include <linkfs_backup.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- rules (backup_rules.c) ---------------------------------------------------------------------------------------- */

struct backup_rules;
struct backup_rules *backup_rules_new(void);
void backup_rules_free(struct backup_rules *rules);
/* One pattern as .gitignore has it. LINKFS_ENOMEM. */
int backup_rules_add(struct backup_rules *rules, const char *pattern);
/* A file of them: .gitignore's rules, or rsync's when a line begins with "+ " or "- ". */
int backup_rules_add_text(struct backup_rules *rules, const char *text, size_t len);
/* Whether path, from the top of the source and without a slash in front, is left out. */
bool backup_rules_exclude(const struct backup_rules *rules, const char *path, bool is_dir);
/* Tells sets of rules apart. Never 0. */
uint64_t backup_rules_digest(const struct backup_rules *rules, const char *more);

/* ---- what is known (backup_known.c) --------------------------------------------------------------------------------- */

enum backup_state {
	BACKUP_OLD,    /* remembered, not met in this run */
	BACKUP_BUSY,   /* being copied */
	BACKUP_DONE,   /* ino is the copy */
	BACKUP_FAILED, /* could not be copied; told */
	BACKUP_VOID,   /* nothing is known of the source's file any more */
};

struct backup_node;
/* A name that becomes one of the file once that is copied. */
struct backup_waiter {
	struct backup_waiter *next;
	struct backup_node *node;
	uint64_t there;
	uint32_t there_type;
	char name[];
};

struct backup_known {
	uint64_t inode, fs; /* the source's */
	uint64_t ino;       /* the volume's */
	uint64_t source;    /* by whose rules it was looked into */
	uint64_t size;
	int64_t mtime_ns, ctime_ns;
	int64_t own_ctime_ns; /* the copy's, when an earlier run remembered it; else 0 */
	uint32_t mode, nlink;
	uint8_t state;
	int error;                              /* of one that FAILED */
	bool doubt, changed, fresh;             /* to be read again; somebody changed the copy; ino is of this run */
	bool wrote;                             /* this run wrote content */
	struct backup_known *by_inode, *by_ino; /* chains */
	struct backup_waiter *waiters;
};

struct backup_table {
	pthread_mutex_t lock; /* of everything in it; of an entry that is BUSY only state and waiters */
	struct backup_known **by_inode, **by_ino;
	size_t buckets, count;
	struct backup_chunk *chunks;
	struct backup_fs {
		uint64_t dev, id;
	} * devs; /* file systems met in this run */
	size_t ndevs, devs_cap;
	struct backup_alias {
		uint64_t id, to;
	} * aliases; /* numbers of one file system */
	size_t naliases, aliases_cap;
	uint64_t *gone; /* rows whose file is not there any more */
	size_t ngone, gone_cap;
};
/* With the lock held. */
struct backup_known *backup_known_find(struct backup_table *t, uint64_t fs, uint64_t inode);
struct backup_known *backup_known_at(struct backup_table *t, uint64_t ino);
struct backup_known *backup_known_add(struct backup_table *t, uint64_t fs, uint64_t inode);
/* The copy is ino from now on. */
void backup_known_set_ino(struct backup_table *t, struct backup_known *k, uint64_t ino);
/* The number of the file system of device dev, whose directory (or file) inode shows in the volume as ino (0: as nothing yet). It is as good
 * during the whole run, and no other device's. Takes the lock. */
int backup_known_fs(struct backup_table *t, uint64_t dev, uint64_t inode, uint64_t ino, uint64_t *fs_out);
/* All that are not VOID. Stops at what is not 0, and returns it. */
int backup_known_each(struct backup_table *t, int (*fn)(void *arg, const struct backup_known *k), void *arg);
int backup_table_init(struct backup_table *t);
int backup_table_load(struct backup_table *t, struct linkfs_volume *volume);
void backup_table_done(struct backup_table *t);

/* ---- the run ------------------------------------------------------------------------------------------------------------ */

enum backup_count {
	BACKUP_NEW,
	BACKUP_CHANGED,
	BACKUP_MOVED,
	BACKUP_LINKED,
	BACKUP_UNCHANGED,
	BACKUP_REMOVED,
	BACKUP_VANISHED,
	BACKUP_UNREADABLE,
	BACKUP_UNSTEADY, /* changed while read */
	BACKUP_EXCLUDED,
	BACKUP_COUNTS
};
extern const char *const backup_count_words[BACKUP_COUNTS];

struct backup_source {
	struct linkfs_source record;
	char *path;   /* record.path */
	int fd;       /* its directory */
	uint64_t top; /* in the volume */
	bool same;    /* the record is in the volume as it is */
	struct copy_stat st;
};

struct backup_stale {
	uint64_t dir, ino;
	char *name;
	struct backup_node *node; /* that has it */
};

struct backup_trouble {
	enum backup_count kind;
	int error;
	char *path;
};

struct backup {
	struct cli *cli;
	struct linkfs_volume *volume;
	const struct cli_path *dest;
	/* options */
	struct backup_rules *rules;
	const char **if_present;
	size_t nif_present;
	const char *snapshot_name, *host_name;
	char *tags;
	unsigned threads;
	bool caches, one_fs, dry, reread, json, quiet, verbose, no_snapshot, take_over, dedupe;
	uint64_t digest;
	/* state */
	char machine[256], host[256];
	struct backup_table known;
	struct backup_pool *pool;
	struct backup_source *sources, *source; /* the one that is walked */
	size_t nsources;
	bool trusted; /* directories that have not changed need not be listed */
	atomic_bool stop;
	atomic_int fatal; /* why it stopped; 0: by the caller */
	uint64_t *own_devs;
	size_t nown_devs;
	uint64_t volume_dev, volume_inode;
	uint64_t *others; /* directories of the volume that are other sources' of this run */
	size_t nothers;
	uint64_t *registered; /* that are any source's of this host */
	size_t nregistered;
	uint64_t *homes; /* where this run puts sources, or would */
	size_t nhomes;
	struct backup_bind {
		uint64_t dir;
		char *name;
	} * binds; /* places of the volume that show something else */
	size_t nbinds, binds_cap;
	uint64_t *ways; /* that are above those, or above what is a source now */
	size_t nways, ways_cap;
	/* Taken by who moves a directory or displaces a name: where the one lies is true until it was moved. */
	pthread_mutex_t moves;
	/* lists; lock */
	pthread_mutex_t lock;
	struct backup_stale *stale;
	size_t nstale, stale_cap;
	struct backup_node **deferred;
	size_t ndeferred, deferred_cap;
	struct backup_trouble *troubles;
	size_t ntroubles, troubles_cap;
	/* counts */
	atomic_ullong counts[BACKUP_COUNTS], dirs, files, bytes, read_bytes;
	atomic_ullong expected; /* files, as known from last time or counted; 0: nobody knows */
	pthread_t counter;
	atomic_bool counting_ends;
	bool counting;
	struct cli_progress progress;
	char taken[300]; /* the snapshot's name */
	struct {
		uint64_t files, shared, freed; /* bytes */
		uint64_t damaged;              /* could not be read to the end */
	} equal;                               /* of what was written: what has equal content */
};

/* A thread's own. */
struct backup_worker {
	struct backup *b;
	struct copy copy;   /* for copy_attributes() and its kin */
	char *data, *other; /* BACKUP_CHUNK bytes */
	char *path;         /* of what is looked at, from the source's top */
	size_t path_cap;
	char *list;                 /* BACKUP_LIST bytes: entries as the kernel gives them */
	struct backup_batch *batch; /* being filled; may be NULL */
};
#define BACKUP_CHUNK 1048576u
#define BACKUP_LIST 65536u

struct backup_node {
	struct backup_node *parent;
	char *name;
	int fd;
	uint64_t ino; /* its copy; 0: in a dry run there is none */
	uint64_t fs;
	struct copy_stat st;
	const struct backup_source *source;
	struct backup_known *known; /* NULL: nothing is to be remembered of it */
	atomic_int refs;            /* who has a pointer to it */
	atomic_int users;           /* of fd */
	unsigned depth;
	atomic_int again;          /* looks at names that became others meanwhile */
	atomic_int pending;        /* its own job, and files and names in it that are not done */
	bool trusted, made, leave; /* leave: it is only a place where something else is */
	atomic_bool touched, doubt, deferred;
	atomic_int inherits; /* backup_inherits(): 0: not known yet, 1: no, 2: yes */
};

/* ---- backup_pool.c ---- */
struct backup_job {
	struct backup_job *next;
	void (*run)(struct backup_worker *w, struct backup_job *job); /* frees it */
};
int backup_pool_new(struct backup *b, struct backup_pool **out);
void backup_pool_free(struct backup_pool *pool);
void backup_pool_push(struct backup_pool *pool, struct backup_job *job);
/* Whether other threads have little to do. */
bool backup_pool_hungry(const struct backup_pool *pool);
/* Until all is done, with progress shown and the caller's wish to stop noticed. */
void backup_pool_wait(struct backup_pool *pool);

/* ---- backup_walk.c ---- */
/* Walks b->source. */
int backup_walk(struct backup *b);
void backup_node_free(struct backup_node *node);
/* Attributes of an entry (name "": of fd itself), without following it. The number is mixed with the time of birth where there is one: a
 * file system uses numbers again, and files with one size and one time are nothing rare where packages are unpacked. */
int backup_look(int fd, const char *name, struct copy_stat *out);
/* One of the things that node waits for is done. */
void backup_node_done(struct backup_worker *w, struct backup_node *node);
/* Levels that are walked: each has a descriptor open, and a frame on the stack where paths are made. */
#define BACKUP_DEPTH_MAX 4096u
/* A directory in node whose copy is ino. LINKFS_ENAMETOOLONG, LINKFS_ENOMEM. */
int backup_walk_into(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		     struct backup_known *known, uint64_t fs, uint64_t ino, bool made, bool trusted, bool leave);
/* Attributes of a directory and what is remembered of it. again: of a deferred one. */
void backup_node_finish(struct backup_worker *w, struct backup_node *node, bool again);
struct backup_worker *backup_worker_new(struct backup *b);
void backup_worker_free(struct backup_worker *w);

/* ---- backup_entry.c ---- */
struct backup_there {
	uint64_t ino; /* what the volume has at the name; 0: nothing */
	uint32_t type;
};
void backup_entry(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		  const struct backup_there *there);
/* Whether a directory is the volume's own, or its mount: not to be looked into. */
bool backup_is_own(const struct backup *b, const struct copy_stat *st);
/* Whether it shows a file system that holds no files. */
bool backup_is_pseudo(int dir_fd, const char *name);
/* The file of a known entry is there (ino), or is not, and error says why: for who waits. */
void backup_entry_settle(struct backup_worker *w, struct backup_known *k, uint64_t ino, int error);
/* Nothing that was waiting gets the name; what the volume has stays. */
void backup_entry_fail(struct backup_worker *w, struct backup_node *node, const char *name, enum backup_count kind,
		       int error);

/* ---- backup_file.c ---- */
enum backup_action { BACKUP_MAKE, BACKUP_UPDATE, BACKUP_ATTRIBUTES };
struct backup_file {
	struct backup_job job;
	struct backup_node *node;
	struct backup_known *known;
	uint64_t fs;
	struct copy_stat st;
	struct backup_there there;
	enum backup_action action;
	enum backup_count counts_as;
	char name[];
};
void backup_file_run(struct backup_worker *w, struct backup_file *file);
/* The file was made by other means, as ino. Frees it. */
void backup_file_made(struct backup_worker *w, struct backup_file *file, uint64_t ino, bool doubt);
/* LINKFS_ELOOP: it is a symlink by now. */
int backup_open_source(const struct backup_file *file, int *fd_out);
bool backup_same_times(const struct copy_stat *a, const struct copy_stat *b);
/* Whether something with this ctime may change after begin_ns without its ctime showing it. */
bool backup_in_doubt(int64_t ctime_ns, int64_t begin_ns);
/* What the volume is to remember of it. */
struct linkfs_copied backup_row(const struct backup_node *node, uint64_t fs, uint64_t ino, const struct copy_stat *st,
				bool doubt);
int backup_remember(struct backup *b, const struct backup_node *node, uint64_t fs, uint64_t ino,
		    const struct copy_stat *st, bool doubt);
/* Whether what is made in the copy of node gets an ACL that the source's file need not have: from a backup before, it has a default one. */
bool backup_inherits(const struct backup *b, struct backup_node *node);
/* Attributes of the source, of file (open) or of name in node, onto ino. *changed (may be NULL) is set when it had others. */
int backup_attributes(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		      int fd, uint64_t ino, bool made, bool *changed);

/* ---- backup_batch.c ---- */
/* Runs the file now, or as a job, or with others like it; those that were kept for that begin with backup_batch_end() at the latest. */
void backup_batch_add(struct backup_worker *w, struct backup_file *file);
void backup_batch_end(struct backup_worker *w);

/* ---- backup_names.c ---- */
/* File ino becomes name in node, in the place of what is there. */
int backup_place(struct backup *b, struct backup_node *node, const char *name, const struct backup_there *there,
		 uint64_t ino);
/* The directory ino is moved to name in node. */
int backup_move_dir(struct backup *b, struct backup_node *node, const char *name, const struct backup_there *there,
		    uint64_t ino);
/* What was made as temp in node takes the name, in the place of what is there. */
int backup_take_name(struct backup *b, struct backup_node *node, const char *temp, const char *name);
void backup_temp_name(char buf[40]);
/* Before the first change of names in node: an ordinary user may have no right to it. */
int backup_touch(struct backup *b, struct backup_node *node);
int backup_stale_add(struct backup *b, struct backup_node *node, const char *name, uint64_t ino);
/* Whether all names of file ino of the volume are in directories of sources: others may have put it elsewhere, to keep it as it is. */
bool backup_is_inside(const struct backup *b, uint64_t ino);
/* Whether directory ino of the volume has one name only. */
bool backup_is_single(const struct backup *b, uint64_t ino);
/* Whether a bind stands at name in directory dir of the volume; name NULL: at any. */
bool backup_is_bound(const struct backup *b, uint64_t dir, const char *name);
int backup_binds_load(struct backup *b);
/* All stale names go. */
void backup_stale_remove(struct backup_worker *w);

/* ---- backup_dest.c ---- */
/* The sources' directories, of the host and of the volume; what the volume knows of them is compared. A status. */
int backup_sources_open(struct backup *b, const struct cli_args *args);
void backup_sources_close(struct backup *b);
/* Whether directory ino of the volume is one that has a source's content. */
bool backup_is_registered(const struct backup *b, uint64_t ino);
/* Whether it is where this host's sources are kept by this run, and has not been moved. */
bool backup_is_home(const struct backup *b, uint64_t ino);
/* Whether it is above one, or is one. */
bool backup_is_way(const struct backup *b, uint64_t ino);
/* A source that is empty, another directory than it was, and has a copy that is not: its file system is not mounted, it seems. Told. */
int backup_sources_present(struct backup *b);

/* ---- backup_estimate.c ---- */
/* Counts the files beside the backup where nothing else tells how many there are. */
void backup_estimate_begin(struct backup *b);
void backup_estimate_end(struct backup *b);

/* ---- backup_dedupe.c ---- */
/* What was written since the last snapshot, by this run or by ones that were cut off, shares the blocks of files with equal content. LINKFS_EINTR,
 * and what lets nothing go on. */
int backup_dedupe(struct backup *b);

/* ---- backup_report.c ---- */
void backup_progress(struct backup *b);
void backup_progress_end(struct backup *b);
void backup_tell(struct backup *b, enum backup_count kind, const struct backup_node *node, const char *name, int error);
/* Counts, and with --verbose says so. */
void backup_count_one(struct backup *b, enum backup_count kind, const struct backup_node *node, const char *name);
/* The volume cannot go on, or memory is out: everything stops. */
void backup_stop(struct backup *b, int error);
/* Whether an error is one of those. */
bool backup_is_fatal(int error);
void backup_report(struct backup *b);
/* Path on the host; allocated. name may be NULL. */
char *backup_path(const struct backup *b, const struct backup_node *node, const char *name);

/* ---- backup.c ---- */
int backup_run(struct backup *b, const struct cli_args *args);

#endif
