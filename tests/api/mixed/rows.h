/*
 * rows.h - what the database of a volume without snapshots has: no row that the live tree does not need.
 */
#ifndef MIXED_ROWS_H
#define MIXED_ROWS_H

struct linkfs_volume;

/* No history is left, and the index of components has what the texts of now need, and no more. */
void no_row_is_left(struct linkfs_volume *volume);

#endif
