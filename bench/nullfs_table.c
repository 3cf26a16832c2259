/*
 * nullfs_table.c - names and nodes of the null server. One thread.
 */
#include "nullfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BUCKETS (1u << 18)

static uint32_t *buckets;
static struct nullfs_entry *entries;
static uint32_t entry_count, entry_cap, entry_free; /* slot 0 is not used; free slots are linked by next */
static struct nullfs_node *nodes;
static uint32_t node_count, node_cap, node_free; /* free nodes are linked by nlink, mode is 0 */

static uint32_t bucket_of(uint64_t parent, const char *name)
{
	uint64_t h = parent * UINT64_C(0x9e3779b97f4a7c15);
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return (uint32_t)(h >> 40) & (BUCKETS - 1);
}

/* Doubles an array when it is full. */
static int grow(void **array, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return 1;
	uint32_t more = *cap ? *cap * 2 : 4096;
	void *p = realloc(*array, more * size);
	if (!p)
		return 0;
	*array = p;
	*cap = more;
	return 1;
}

int nullfs_table_init(void)
{
	buckets = calloc(BUCKETS, sizeof(*buckets));
	entry_count = node_count = 1;
	return buckets && nullfs_node_new(S_IFDIR | 0755) == 1;
}

struct nullfs_node *nullfs_node(uint64_t ino)
{
	return ino && ino < node_count && nodes[ino].mode ? &nodes[ino] : NULL;
}

uint32_t nullfs_node_new(uint32_t mode)
{
	uint32_t ino = node_free;
	if (ino) {
		node_free = nodes[ino].nlink;
	} else {
		if (!grow((void **)&nodes, node_count, &node_cap, sizeof(*nodes)))
			return 0;
		ino = node_count++;
	}
	nodes[ino] = (struct nullfs_node){.mode = mode, .nlink = S_ISDIR(mode) ? 2 : 1};
	return ino;
}

uint32_t nullfs_find(uint64_t parent, const char *name)
{
	for (uint32_t slot = buckets[bucket_of(parent, name)]; slot; slot = entries[slot].next) {
		if (entries[slot].parent == parent && strcmp(entries[slot].name, name) == 0)
			return entries[slot].node;
	}
	return 0;
}

uint32_t nullfs_add(uint64_t parent, const char *name, uint32_t node)
{
	size_t len = strlen(name);
	if (len > NULLFS_NAME_MAX)
		return 0;
	uint32_t slot = entry_free;
	if (slot) {
		entry_free = entries[slot].next;
	} else {
		if (!grow((void **)&entries, entry_count, &entry_cap, sizeof(*entries)))
			return 0;
		slot = entry_count++;
	}
	uint32_t *head = &buckets[bucket_of(parent, name)];
	entries[slot] = (struct nullfs_entry){.parent = parent, .node = node, .next = *head, .len = (uint8_t)len};
	memcpy(entries[slot].name, name, len + 1);
	*head = slot;
	return slot;
}

uint32_t nullfs_remove(uint64_t parent, const char *name)
{
	for (uint32_t *at = &buckets[bucket_of(parent, name)]; *at; at = &entries[*at].next) {
		struct nullfs_entry *entry = &entries[*at];
		if (entry->parent != parent || strcmp(entry->name, name) != 0)
			continue;
		uint32_t slot = *at;
		*at = entry->next;
		entry->parent = 0;
		entry->next = entry_free;
		entry_free = slot;
		return entry->node;
	}
	return 0;
}

const struct nullfs_entry *nullfs_next(uint64_t parent, uint64_t from, uint64_t *slot_out)
{
	for (uint64_t slot = from ? from : 1; slot < entry_count; slot++) {
		if (entries[slot].parent == parent) {
			*slot_out = slot;
			return &entries[slot];
		}
	}
	return NULL;
}
