/*
 * seed.h - small good volumes for fuzz_volume.c to damage, made when it starts: one that was closed and has a snapshot and history,
 * one whose owner died with a WAL, an orphan and an intent. Names hash alike in every run.
 */
#ifndef LK_FUZZ_SEED_H
#define LK_FUZZ_SEED_H

#include <linkfs.h>
#include <stdbool.h>

#define SEED_BASES 2
#define SEED_FILES 3 /* of a base: meta.db, meta.db-wal, data.000000 */

struct seed_file {
	uint8_t *p;
	size_t len;
};

extern const char *const seed_names[SEED_FILES];

/* What all of them begin with: a closed volume in vol, which is not there yet. Inodes: file 2, dir 3, dir/sub 4, dir/sub/deep 5, a 6, sparse 7,
 * fifo 8, dir/empty 9, link 10, loop 11, dangling 12, dir/up 13, dir/abs 14. */
void seed_plain(const char *vol);
/* Makes and removes volumes below dir, which is there. */
void seed_make(const char *dir, struct seed_file bases[SEED_BASES][SEED_FILES]);
/* Runs SQL on the volume in dir as its checksums want it. Returns SQLite's code. */
int seed_sql(const char *dir, const char *sql);

#endif
