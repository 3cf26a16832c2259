/*
 * tar_map.c - where the data of a file with holes lies, as an archive has it; see tar.h.
 */
#include "tar.h"

/* More data segments than this are joined where holes are small; their map is to be less than what tar_read.c takes for a header. */
#define SEGMENTS_MAX 262144u

/* Pieces between which less than least bytes are free are one. 1: they are too many. */
static int find_segments(struct copy *copy, struct copy_file *file, uint64_t size, uint64_t least, struct tar_map *map)
{
	map->len = 0;
	for (uint64_t at = 0; at < size;) {
		uint64_t data, hole;
		int error = cli_cancelled(copy->cli) ? LINKFS_EINTR : copy_seek(file, at, LINKFS_SEEK_DATA, &data);
		if (error == LINKFS_ENXIO || (!error && data >= size))
			break;
		if (error)
			return error;
		if (copy_seek(file, data, LINKFS_SEEK_HOLE, &hole) != 0 || hole > size)
			hole = size;
		struct tar_segment *last = map->len ? &map->segments[map->len - 1] : NULL;
		if (last && data - (last->offset + last->len) < least) {
			last->len = hole - last->offset;
		} else {
			if (map->len == SEGMENTS_MAX)
				return 1;
			if (cli_grow(&map->segments, &map->cap, map->len, sizeof(*map->segments)) != 0)
				return LINKFS_ENOMEM;
			map->segments[map->len++] = (struct tar_segment){data, hole - data};
		}
		at = hole;
	}
	return 0;
}

int tar_map_file(struct copy *copy, struct copy_file *file, uint64_t size, struct tar_map *map, bool *sparse_out)
{
	int r = 1;
	*sparse_out = copy_has_holes(file, size);
	for (uint64_t least = 0; *sparse_out && r == 1; least = least ? least * 4 : 8192)
		r = find_segments(copy, file, size, least, map);
	if (*sparse_out && !r && map->len == 1 && map->segments[0].len == size)
		*sparse_out = false;
	return *sparse_out ? r : 0;
}
