/*
 * db_fault.h - a metadata engine around another one, whose n-th call fails with a chosen code (P3).
 * A call that fails does nothing to the engine below. Failing starts when lk_db_fault_set() says so; what the program
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
	LK_FAULT_CHECKPOINT = 1 << 12,
	LK_FAULT_USAGE = 1 << 13,
	LK_FAULT_ALL = (1 << 14) - 1,
};

/* inner is closed with the wrapper, also when this fails. */
int lk_db_fault_open(struct lk_db *inner, struct lk_db **out);
/* From now on, of the calls in which, the n-th (from 1) fails with code, and with all_later every one after it.
 * n 0: none fails. Any thread. */
void lk_db_fault_set(struct lk_db *db, unsigned which, uint64_t n, int code, bool all_later);
/* Calls of those in which that were made since lk_db_fault_set(), and how many of them failed. */
uint64_t lk_db_fault_calls(struct lk_db *db);
uint64_t lk_db_fault_failures(struct lk_db *db);

#endif
