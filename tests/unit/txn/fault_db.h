/*
 * fault_db.h - wraps a database so that its n-th call fails (P3).
 */
#ifndef LK_FAULT_DB_H
#define LK_FAULT_DB_H

#include "db.h"

struct fault_db {
	struct lk_db base;
	struct lk_db *real;
	long calls;   /* so far; the checkpointer's own are not counted */
	long fail_at; /* this call, not done at all, gives error; 0: none */
	int error;
	bool lose; /* the failure rolls the transaction back, as SQLite may do by itself: until rollback() all is LINKFS_EIO */
	bool open, lost;
	bool tripped;
	const char *tripped_in;
	long commits; /* that succeeded */
	long begins;
};

/* Closing the wrapper closes the real one; the wrapper itself is the caller's. */
void fault_db_init(struct fault_db *fault, struct lk_db *real);

#endif
