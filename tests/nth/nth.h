/*
 * nth.h - the n-th failure (P3): a scenario is run again and again, and each time one call more goes well before one
 * fails: a system call on the volume's files, an allocation of memory (linkfs's own, or SQLite's), a call of the metadata
 * engine, or the host's last free block.
 *
 * A point is (scenario, kind, mode, n). main.c counts them, point.c runs and judges one, faults.c makes calls fail, host.c is a
 * host of limited size, image.c keeps volumes to start from, tree.c writes down what a volume shows, records.c compares
 * its records with each other, scene_*.c are the scenarios.
 */
#ifndef NTH_H
#define NTH_H

#include <calls.h>
#include <db_fault.h>
#include <linkfs.h>
#include <test.h>
#include <volume.h>

#define NTH_STEPS 24
#define NTH_INOS 8
#define NTH_BUF (1u << 20)

/* ---- scenarios ------------------------------------------------------------------------------------------------------- */

/* What a scenario works on, and remembers from step to step. */
struct scene {
	struct linkfs_volume *volume;
	uint64_t ino[NTH_INOS]; /* held or not, as the step that set it says */
	struct linkfs_file *file;
	struct linkfs_dir *dir;
	uint8_t *bytes; /* NTH_BUF of a pattern, for writing */
	uint8_t *got;   /* NTH_BUF, for reading */
	uint64_t seed;  /* of the random scenarios */
	unsigned at;    /* the step's number */
};

/* One operation. Returns its result; SCENE_WRONG when a read said 0 and gave what is not there. Made again after a failure,
 * it does the same: what it keeps in the scene is set only when it succeeds. */
typedef int step_fn(struct scene *s);
#define SCENE_WRONG 1

/* Of fallocate(2), which takes as many transactions as it needs: blocks that it has got, and zeros that it has written. */
#define PARTS_BLOCKS 1
#define PARTS_CONTENT 2

struct step {
	const char *name;
	step_fn *run;
	bool syncs;       /* what was done before is durable once it returned 0 */
	uint8_t in_parts; /* PARTS_...: what a failure may leave done */
	bool goes_on; /* what fails goes on by itself: the state after it may show, and a full host does not hinder it */
};

enum image {
	IMAGE_TREE,
	IMAGE_CRASHED,
	IMAGE_SNAPSHOTS,
	IMAGE_PAST,    /* three snapshots with much history */
	IMAGE_LEAVING, /* of those the second half deleted */
	IMAGE_EMPTY,
	IMAGE_NONE,
	IMAGE_COUNT
};

/* From where on calls fail. */
enum phase { PHASE_CREATE, PHASE_OPEN, PHASE_STEPS, PHASE_CLOSE };

struct scenario {
	const char *name;
	enum image image;
	enum phase phase;
	struct step steps[NTH_STEPS]; /* the last one's run is NULL */
	uint64_t seed;
};

extern const struct scenario scenarios_names[], scenarios_content[], scenarios_places[], scenarios_snapshots[],
	scenarios_volume[], scenarios_backup[]; /* name NULL ends */
/* A batch of operations drawn from seed; the last ones sync. */
void scenario_random(uint64_t seed, struct scenario *out);

/* ---- kinds of failure --------------------------------------------------------------------------------------------------- */

enum source { FROM_CALLS, FROM_THREADS, FROM_MALLOC, FROM_SQLITE, FROM_DB, FROM_HOST, FROM_COUNTING };

struct kind {
	const char *name;
	enum source source;
	uint32_t which; /* bits of calls, or of LK_FAULT_ */
	int code;       /* an errno for calls, a LINKFS code for the engine */
	bool is_short;  /* the call does half of it */
	bool made;      /* only opens that make a file */
	bool lose;
	bool harmless; /* every step must succeed all the same */
	bool once_only;
	bool deep; /* the quick tier runs more of its points */
};
#define KINDS_MAX 32
extern const struct kind kinds[KINDS_MAX]; /* name NULL ends */

struct point {
	const struct scenario *scenario;
	const struct kind *kind;
	bool then; /* and from then on */
	uint64_t n;
};

/* Once per process, before anything else: puts our allocator under SQLite. */
void faults_init(void);
void faults_watch(const char *dir);
void faults_unwatch(void);
/* From now on the calls of the point count and fail. NULL kind: nothing does. */
void faults_arm(const struct point *point);
void faults_disarm(void);
/* Failures since faults_arm(). */
uint64_t faults_hit(void);
/* Calls of each kind since faults_arm() of the kind that only counts. */
extern const struct kind kind_counting;
void faults_counts(uint64_t out[KINDS_MAX]);
/* Allocations that nobody has freed: linkfs's and this program's, and SQLite's. */
int64_t faults_live_own(void);
int64_t faults_live_sqlite(void);
/* The time that linkfs sees. */
void faults_clock(int64_t ns);

/* ---- a host of limited size (host.c): knows which blocks of the volume's files are allocated ------------------------------- */

/* Nothing is known; with on, calls are followed from now on. */
void host_reset(bool on);
/* Which blocks of a file have space, as HOST_BITS bytes: to keep with an image, and for its copy. */
#define HOST_BITS (262144u / 8)
const uint8_t *host_bits(const char *name);
void host_set(const char *name, const uint8_t *bits);
/* So many blocks of 4096 bytes more can be had; negative: any number. */
void host_limit(int64_t blocks);
int64_t host_left(void);
/* The fewest that were left since host_limit(). */
int64_t host_lowest(void);
/* Calls refused since host_limit(). */
uint64_t host_refused(void);
/* A page of a file was mapped, under a limit, that has no block: writing to it would kill. */
bool host_mapped_nothing(void);
/* Before a call: 0 or ENOSPC; may shorten it. After it: what it gave back. */
int host_before(struct call *call);
void host_after(const struct call *call, int64_t result);

/* ---- what a volume is ----------------------------------------------------------------------------------------------------- */

/* Makes the images below dir. */
void images_make(const char *dir);
void images_free(void);
/* Copies one to path, which does not exist; with_host: the host knows what space it takes. */
void image_copy(enum image image, const char *path, bool with_host);

/* What can be seen through the API, now and in each snapshot: every name, attribute, content and xattr but those below /full, as text that
 * is freed with free(). NULL with *error_out when a call failed. */
char *tree_text(struct linkfs_volume *volume, int *error_out);
/* Deletions of snapshots that were cut off go on by themselves: until there is none. */
int deletions_end(struct linkfs_volume *volume);
/* The records agree with each other; nothing is left to do when settled. Else says what is wrong, into why. */
bool records_agree(struct linkfs_volume *volume, bool settled, char *why, size_t why_size);

int volume_open(const char *path, struct linkfs_volume **out);
void remove_tree(const char *path);

/* ---- points ------------------------------------------------------------------------------------------------------------- */

/* The states of a scenario without failures: made once, and what every point is compared with. */
struct golden {
	const struct scenario *scenario;
	unsigned steps;
	int results[NTH_STEPS];
	char *trees[NTH_STEPS + 1];
};
void golden_make(const struct scenario *scenario, const char *dir, struct golden *out);
void golden_free(struct golden *golden);

enum verdict { POINT_PASSED, POINT_NOT_REACHED, POINT_FAILED };
enum verdict point_run(const struct point *point, const struct golden *golden, const char *dir);
/* How many calls of each kind the scenario makes, at most: one run in which all are counted and none fails. */
bool points_count(const struct scenario *scenario, const struct golden *golden, const char *dir,
		  uint64_t counts[KINDS_MAX]);
/* "scenario kind mode n", of the point that runs now: for who reports a crash. */
const char *point_name(void);

#endif
