/*
 * draw_shared.c - which of the files in the picture have blocks in common, as copies by reflink have (D8). Of several that share, each is
 * joined to the one it shares most with: a tree says it, all pairs would hide it.
 */
#include "draw.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct part {
	uint64_t disk, length;
	size_t file;
};

struct file {
	uint64_t ino;
	struct draw_end end;
	size_t group;
};

struct pair {
	size_t a, b;
	uint64_t bytes;
	bool far; /* not in one box */
};

struct sharing {
	struct draw *draw;
	struct file *files;
	size_t nfiles, files_cap, current; /* current: whose extents are being listed */
	struct part *parts;
	size_t nparts, parts_cap;
	struct pair *pairs;
	size_t npairs, pairs_cap;
};

static int add_file(struct sharing *s, const struct linkfs_stat *st, struct draw_end end)
{
	if (!S_ISREG(st->mode) || st->blocks == 0)
		return 0;
	for (size_t i = 0; i < s->nfiles; i++) {
		if (s->files[i].ino == st->ino)
			return 0;
	}
	if (cli_grow(&s->files, &s->files_cap, s->nfiles, sizeof(*s->files)) != 0)
		return LINKFS_ENOMEM;
	s->files[s->nfiles] = (struct file){st->ino, end, s->nfiles};
	s->nfiles++;
	return 0;
}

/* Boxes of files first: a row of one with a box is not where its edges begin. */
static int find_files(struct sharing *s)
{
	const struct draw *draw = s->draw;
	int error = 0;
	for (size_t i = 0; !error && i < draw->len; i++) {
		if (draw->boxes[i].kind == DRAW_INODE)
			error = add_file(s, &draw->boxes[i].st, (struct draw_end){i, DRAW_WHOLE});
	}
	for (size_t i = 0; i < draw->len; i++) {
		for (size_t k = 0; !error && k < draw->boxes[i].len; k++)
			error = add_file(s, &draw->boxes[i].rows[k].st, (struct draw_end){i, k});
	}
	return error;
}

/* Under the volume's lock: notes, no more. */
static int on_extent(void *arg, const struct linkfs_extent *extent)
{
	struct sharing *s = arg;
	if (!(extent->flags & LINKFS_EXTENT_SHARED))
		return 0;
	if (cli_grow(&s->parts, &s->parts_cap, s->nparts, sizeof(*s->parts)) != 0)
		return LINKFS_ENOMEM;
	s->parts[s->nparts++] = (struct part){extent->disk, extent->disk_length, s->current};
	return 0;
}

static int find_parts(struct sharing *s)
{
	int error = 0;
	for (size_t i = 0; !error && i < s->nfiles; i++) {
		uint64_t offset = 0;
		s->current = i;
		while (!error && offset != UINT64_MAX)
			error = cli_cancelled(s->draw->cli)
					? LINKFS_EINTR
					: linkfs_node_extents(s->draw->asked.volume, s->files[i].ino, &offset,
							      on_extent, s);
		/* Gone, or damaged: it shares nothing that could be drawn. */
		if (error == LINKFS_ESTALE || error == LINKFS_ECORRUPT || error == LINKFS_EIO)
			error = 0;
	}
	return error;
}

static int add_pair(struct sharing *s, size_t a, size_t b, uint64_t bytes)
{
	size_t low = a < b ? a : b, high = a < b ? b : a;
	for (size_t i = 0; i < s->npairs; i++) {
		if (s->pairs[i].a == low && s->pairs[i].b == high) {
			s->pairs[i].bytes += bytes;
			return 0;
		}
	}
	if (cli_grow(&s->pairs, &s->pairs_cap, s->npairs, sizeof(*s->pairs)) != 0)
		return LINKFS_ENOMEM;
	s->pairs[s->npairs++] = (struct pair){low, high, bytes, s->files[low].end.box != s->files[high].end.box};
	return 0;
}

static int by_disk(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	if (x->disk != y->disk)
		return x->disk < y->disk ? -1 : 1;
	return x->file < y->file ? -1 : x->file > y->file;
}

static int find_pairs(struct sharing *s)
{
	int error = 0;
	if (s->nparts)
		qsort(s->parts, s->nparts, sizeof(*s->parts), by_disk);
	for (size_t i = 0; !error && i < s->nparts; i++) {
		const struct part *x = &s->parts[i];
		for (size_t k = i + 1; !error && k < s->nparts && s->parts[k].disk < x->disk + x->length; k++) {
			const struct part *y = &s->parts[k];
			uint64_t x_end = x->disk + x->length, y_end = y->disk + y->length;
			if (x->file != y->file)
				error = add_pair(s, x->file, y->file, (x_end < y_end ? x_end : y_end) - y->disk);
		}
	}
	return error;
}

static int by_bytes(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->far != y->far)
		return x->far ? 1 : -1;
	if (x->a != y->a)
		return x->a < y->a ? -1 : 1;
	return x->b < y->b ? -1 : x->b > y->b;
}

static int join(struct sharing *s)
{
	int error = 0;
	if (s->npairs)
		qsort(s->pairs, s->npairs, sizeof(*s->pairs), by_bytes);
	for (size_t i = 0; !error && i < s->npairs; i++) {
		const struct pair *p = &s->pairs[i];
		size_t from = s->files[p->a].group, to = s->files[p->b].group;
		if (from == to)
			continue;
		for (size_t k = 0; k < s->nfiles; k++) {
			if (s->files[k].group == to)
				s->files[k].group = from;
		}
		error = draw_add_edge(s->draw, DRAW_SHARED, s->files[p->a].end, s->files[p->b].end, p->bytes);
	}
	return error;
}

int draw_shared(struct draw *draw)
{
	struct sharing s = {.draw = draw};
	int error = find_files(&s);
	if (!error)
		error = find_parts(&s);
	if (!error)
		error = find_pairs(&s);
	if (error == LINKFS_ENOMEM)
		error = draw_no_memory(draw);
	if (!error)
		error = join(&s);
	free(s.files);
	free(s.parts);
	free(s.pairs);
	return error;
}
