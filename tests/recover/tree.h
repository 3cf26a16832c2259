/*
 * tree.h - what the tests of recovery share: a volume with files of every kind, its tree as the public calls show it, a
 * comparison of two trees that knows what was reported, and files of a volume as bytes.
 */
#ifndef RECOVER_TREE_H
#define RECOVER_TREE_H

#include "test.h"

#include <linkfs.h>
#include <linkfs_recover.h>

/* One name in a tree; times of directories too. */
struct entry {
	char *path;
	struct linkfs_stat st;
	char *first;      /* of the names of its file the first one: which names are links of each other */
	uint64_t content; /* hash of the bytes, or of a symlink's text */
	uint64_t xattrs;  /* hash of names and values, sorted */
	uint64_t holes;   /* bytes that are no data */
};
struct tree {
	struct entry *p;
	size_t len, cap;
};
void tree_read(struct linkfs_volume *volume, struct tree *out);
/* The same of a volume nobody has open; with_log: its log is read, which writes to it. Fails the test when it does not open. */
void tree_of(const char *path, struct tree *out);
void tree_done(struct tree *tree);
const struct entry *tree_find(const struct tree *tree, const char *path);

/* Fills volume: directories below each other, files of count kinds and sizes, links, symlinks, special files, xattrs, ACLs. */
void tree_make(struct linkfs_volume *volume, unsigned files, uint64_t seed);
/* Removes every third file in it, and a directory with what is in it. */
void tree_thin(struct linkfs_volume *volume, unsigned files);
char *volume_make(const char *dir, const char *name, unsigned files, uint64_t seed);

/* What a recovery said. */
struct report {
	struct linkfs_recover_result result;
	struct {
		enum linkfs_recover_what what;
		uint64_t ino, offset, length, count;
		char *path;
	} * p;
	size_t len, cap;
	struct linkfs_message why;
};
/* new_path NULL: only the list. Returns linkfs_recover()'s result. */
int recover(const char *path, const char *new_path, struct report *out);
void report_done(struct report *report);
bool report_has(const struct report *report, enum linkfs_recover_what what, uint64_t ino);

/* How two trees differ. */
struct difference {
	unsigned files;   /* of the first that are not in the second as they were, by inode */
	unsigned missing; /* of them, those that are nowhere in it, not in lost+found either */
	unsigned content; /* of them, those whose bytes are other ones */
	unsigned extra;   /* names in the second that are not in the first and not in lost+found */
	unsigned silent;  /* differences that the report does not name */
};
void tree_compare(const struct tree *was, const struct tree *is, const struct report *report, struct difference *out);
/* Fails the test unless the trees are the same, in everything but inode numbers. */
void tree_same(const struct tree *was, const struct tree *is);

/* Files of a volume, to be damaged and put back. */
struct file_image {
	uint8_t *p;
	size_t len;
	bool there;
};
void image_read(const char *dir, const char *name, struct file_image *out);
void image_write(const char *dir, const char *name, const struct file_image *image);
void image_done(struct file_image *image);
/* meta.db, its log, data.000000 and lock; copies them into the new directory to. */
void volume_copy(const char *from, const char *to);

#endif
