/*
 * nullfs.h - the table of names behind the bench's null server: hash buckets over one array, in memory, nothing else.
 */
#ifndef LK_BENCH_NULLFS_H
#define LK_BENCH_NULLFS_H

#include <stdint.h>

#define NULLFS_NAME_MAX 47

struct nullfs_node {
	uint32_t mode, nlink;
	uint64_t size;
	char target[NULLFS_NAME_MAX + 1];
};

struct nullfs_entry {
	uint64_t parent; /* 0: a free slot */
	uint32_t node, next;
	uint8_t len;
	char name[NULLFS_NAME_MAX + 1];
};

/* Nodes are numbered from 1 (the root); an entry's slot is its place in a listing. 0 means none or no memory. */
int nullfs_table_init(void);
struct nullfs_node *nullfs_node(uint64_t ino);
uint32_t nullfs_node_new(uint32_t mode);
uint32_t nullfs_find(uint64_t parent, const char *name);
uint32_t nullfs_add(uint64_t parent, const char *name, uint32_t node);
uint32_t nullfs_remove(uint64_t parent, const char *name); /* the node it named */
/* The first entry of parent in slot from or after it; *slot_out tells which. */
const struct nullfs_entry *nullfs_next(uint64_t parent, uint64_t from, uint64_t *slot_out);

#endif
