/*
 * db_wrap.h - in a program linked with -Wl,--wrap=lk_db_open_sqlite every database that linkfs opens has the fault
 * injector of db_fault.h around it, below everything that uses it.
 */
#ifndef LK_DB_WRAP_H
#define LK_DB_WRAP_H

#include "db_fault.h"

/* The wrapper opened last; NULL once it is closed. */
struct lk_db *lk_db_wrapped(void);
/* The plan that the next one starts with (NULL: none); for failures while a volume is opened. What it says must live. */
void lk_db_wrap_plan(const struct lk_fault_plan *plan);

#endif
