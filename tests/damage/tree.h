/*
 * tree.h - all that a volume shows, as lines that can be compared: names, attributes, content by the block, errors.
 */
#ifndef DAMAGE_TREE_H
#define DAMAGE_TREE_H

#include <linkfs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The key is "PATH FIELD": "/sub/big ino", "/small data:0", "/sub list". */
struct tree_line {
	char *key, *value;
};
struct tree {
	struct tree_line *lines; /* by key */
	size_t count, room;
};

/* What a walk from the root shows. Errors are values: "!LINKFS_EIO". */
void tree_walk(struct linkfs_volume *v, struct tree *out);
/* Opens the volume, walks, closes; an error of opening or closing is the value of "= open" and "= close". */
void tree_open(const char *volume, uint32_t flags, struct tree *out);
/* The rows of the database: "@TABLE KEY" and the other columns, those of the history only when asked so. */
void tree_rows(const char *volume, bool history_only, struct tree *out);
void tree_done(struct tree *t);

const char *tree_value(const struct tree *t, const char *key);
/* Differences but those whose key matches one of the patterns (fnmatch, separated by spaces with '~' for a space inside; NULL: none).
 * The first ones go to text. */
size_t tree_differ(const struct tree *before, const struct tree *after, const char *patterns, char *text, size_t size);
/* As tree_differ(), but an error in after, of the line itself or of a directory above it, is in order: F3. */
size_t tree_wrong(const struct tree *before, const struct tree *after, char *text, size_t size);
bool tree_matches(const char *patterns, const char *key);
void tree_say(const struct tree *t);

#endif
