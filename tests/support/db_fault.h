/*
 * db_fault.h - a metadata engine around another one, whose n-th call fails with a chosen code (P3).
 * A call that fails does nothing to the engine below. Failing starts when lk_db_fault_plan() says so; what the program
 * does with the error is then its own, as with a real one.
 */
#ifndef LK_DB_FAULT_H
#define LK_DB_FAULT_H

#include "db.h"

/* Calls that count and fail, as bits. */
enum {
	LK_FAULT_GET = 1 << 0,
	LK_FAULT_PUT = 1 << 1,
	LK_FAULT_INSERT = 1 << 2,
	LK_FAULT_ERASE = 1 << 3,
	LK_FAULT_SCAN = 1 << 4,
	LK_FAULT_BEGIN = 1 << 5,
	LK_FAULT_COMMIT = 1 << 6,
	LK_FAULT_ROLLBACK = 1 << 7,
	LK_FAULT_SAVEPOINT = 1 << 8,
	LK_FAULT_RELEASE = 1 << 9,
	LK_FAULT_UNDO = 1 << 10,
	LK_FAULT_RESERVE = 1 << 11,
	LK_FAULT_CHECKPOINT = 1 << 12, /* a slice, by the owner */
	LK_FAULT_USAGE = 1 << 13,
	LK_FAULT_BESIDE = 1 << 14, /* a checkpoint beside the owner */
	LK_FAULT_SYNC = 1 << 18,   /* of the log, beside the owner too */
	LK_FAULT_ALL = ((1 << 15) - 1) | LK_FAULT_SYNC,
	/* What only check and repair call; not among all. */
	LK_FAULT_VERIFY = 1 << 15,
	LK_FAULT_REBUILD = 1 << 16,
	LK_FAULT_COPY = 1 << 17,
	/* Those of the owner, without the way out of a failure. */
	LK_FAULT_FORWARD = LK_FAULT_ALL & ~(LK_FAULT_ROLLBACK | LK_FAULT_BESIDE),
};

struct lk_fault_plan {
	unsigned which;
	uint64_t n; /* of the calls in which, the n-th (from 1) fails; 0: none */
	int code;
	bool all_later; /* and every one after it */
	bool lose; /* the failure rolls the transaction back, as SQLite may do by itself: until rollback() all is LINKFS_EIO */
	_Atomic uint64_t
		*counter; /* failures are counted here too, for who asks when the engine is closed; may be NULL */
	_Atomic uint64_t *calls; /* likewise calls in which */
};

/* Since the plan was made. */
struct lk_fault_seen {
	uint64_t calls;           /* of those in which */
	uint64_t failures;        /* of them */
	uint64_t begins, commits; /* that succeeded, whatever which says */
	const char *in;           /* the newest call that failed; NULL: none */
};

/* inner is closed with the wrapper, also when this fails. */
int lk_db_fault_open(struct lk_db *inner, struct lk_db **out);
/* From now on. NULL: none fails, all count. Any thread. */
void lk_db_fault_plan(struct lk_db *db, const struct lk_fault_plan *plan);
struct lk_fault_seen lk_db_fault_seen(struct lk_db *db);
/* While on, calls do not count and none is chosen to fail: for looking at a state in between. */
void lk_db_fault_pause(struct lk_db *db, bool on);

#endif
