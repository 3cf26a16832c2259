/*
 * copy_map.c - a hash table from a source file's identity to the name it got first; see copy.h.
 */
#include "copy.h"
#include <stdlib.h>

struct slot {
	uint64_t dev, ino;
	struct copy_place place;
	bool used;
};

struct copy_map {
	struct slot *slots;
	size_t cap, len; /* cap is a power of two */
};

static size_t hash(uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ dev << 40) * 0x9e3779b97f4a7c15u;
	return (size_t)(h ^ h >> 29);
}

struct copy_map *copy_map_new(void)
{
	return cli_alloc(sizeof(struct copy_map));
}

void copy_map_free(struct copy_map *map)
{
	for (size_t i = 0; map && i < map->cap; i++)
		free(map->slots[i].place.path);
	if (map)
		free(map->slots);
	free(map);
}

/* The slot of a key, or the free one where it would go. */
static struct slot *probe(const struct copy_map *map, uint64_t dev, uint64_t ino)
{
	size_t i = hash(dev, ino) & (map->cap - 1);
	while (map->slots[i].used && (map->slots[i].dev != dev || map->slots[i].ino != ino))
		i = (i + 1) & (map->cap - 1);
	return &map->slots[i];
}

const struct copy_place *copy_map_find(const struct copy_map *map, uint64_t dev, uint64_t ino)
{
	struct slot *slot = map->cap ? probe(map, dev, ino) : NULL;
	return slot && slot->used ? &slot->place : NULL;
}

static int grow(struct copy_map *map)
{
	struct copy_map bigger = {.cap = map->cap ? map->cap * 2 : 256};
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < map->cap; i++) {
		if (map->slots[i].used)
			*probe(&bigger, map->slots[i].dev, map->slots[i].ino) = map->slots[i];
	}
	free(map->slots);
	map->slots = bigger.slots;
	map->cap = bigger.cap;
	return 0;
}

int copy_map_add(struct copy_map *map, uint64_t dev, uint64_t ino, const struct copy_place *place)
{
	int error = map->len * 2 >= map->cap ? grow(map) : 0;
	if (error) {
		free(place->path);
		return error;
	}
	struct slot *slot = probe(map, dev, ino);
	if (slot->used)
		free(slot->place.path);
	else
		map->len++;
	*slot = (struct slot){dev, ino, *place, true};
	return 0;
}
