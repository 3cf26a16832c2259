/*
 * space_blocks.c - blocks by how many of their references go (space.h).
 * Layer: core. Blocks with one reference are summed up as they come. Of others the edges of stretches are kept, as there is one for each
 * reference; sorted by block they give for each block how many references go.
 */
#include "space_impl.h"

#include <stdlib.h>

#define END 1u

static struct lk_space_edge *edges(const struct lk_space_run *run)
{
	return (struct lk_space_edge *)(void *)run->edges.p;
}

static size_t edge_count(const struct lk_space_run *run)
{
	return run->edges.len / sizeof(struct lk_space_edge);
}

static int add(struct lk_space_run *run, uint64_t from, uint64_t to, uint64_t refs, enum lk_space_fate fate)
{
	struct lk_space_edge two[2] = {{from, refs << 3 | (uint64_t)fate << 1},
				       {to, refs << 3 | (uint64_t)fate << 1 | END}};
	size_t count = edge_count(run);

	if (count) {
		struct lk_space_edge *end = &edges(run)[count - 1];

		if (end->at == from && end->what == two[1].what) {
			end->at = to;
			return 0;
		}
	}
	return lk_buf_append(&run->edges, two, sizeof(two));
}

static int stretch(struct lk_space_run *run, uint64_t from, uint64_t to, uint64_t refs, enum lk_space_fate fate)
{
	uint64_t bytes = (to - from) * LK_BLOCK_SIZE;

	if (refs > 1 || (run->with && fate == LK_SPACE_STAYS))
		return add(run, from, to, refs, fate);
	if (fate == LK_SPACE_DROPPED)
		run->sum->exclusive += bytes;
	else if (fate == LK_SPACE_STAYS)
		run->sum->shared += bytes;
	return 0;
}

int lk_space_blocks(struct lk_space_run *run, uint64_t from, uint64_t count, enum lk_space_fate fate)
{
	uint64_t end = from + count;
	int rc = 0;

	while (rc == 0 && from < end) {
		uint64_t to;

		if (from < run->range.from || from >= run->range.to)
			rc = lk_share_at(&run->op, from, &run->range);
		if (rc)
			break;
		to = LK_MIN(end, run->range.to);
		rc = stretch(run, from, to, run->range.refs, fate);
		from = to;
	}
	return rc;
}

static int by_block(const void *a, const void *b)
{
	const struct lk_space_edge *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* Ascending, neighbours joined. The last one is open while it may grow. */
static int add_span(struct lk_buf *spans, uint64_t from, uint64_t to)
{
	struct lk_space_span span = {from, to};
	size_t count = spans->len / sizeof(span);
	struct lk_space_span *last = count ? (struct lk_space_span *)(void *)spans->p + count - 1 : NULL;

	if (last && last->to == from) {
		last->to = to;
		return 0;
	}
	return lk_buf_append(spans, &span, sizeof(span));
}

int lk_space_sum_up(struct lk_space_run *run)
{
	size_t count = edge_count(run);
	uint64_t rows[3] = {0}, refs = 0, from = 0;
	struct lk_buf spans = {0};
	int rc = 0;

	if (count)
		qsort(edges(run), count, sizeof(struct lk_space_edge), by_block);
	/* Rows that name one block agree on how many there are. */
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const struct lk_space_edge *e = &edges(run)[i];

		if (e->at > from && rows[LK_SPACE_DROPPED] + rows[LK_SPACE_STAYS]) {
			uint64_t bytes = (e->at - from) * LK_BLOCK_SIZE;
			bool goes = rows[LK_SPACE_DROPPED] && rows[LK_SPACE_DROPPED] + rows[LK_SPACE_GOING] == refs;

			if (goes)
				run->sum->exclusive += bytes;
			else
				run->sum->shared += bytes;
			if (!goes && run->with)
				rc = add_span(&spans, from, e->at);
		}
		from = e->at;
		if (e->what & END) {
			rows[e->what >> 1 & 3]--;
		} else {
			rows[e->what >> 1 & 3]++;
			refs = e->what >> 3;
		}
	}
	/* They are not needed any more, and telling with whom needs memory. */
	lk_buf_done(&run->edges);
	run->spans = (struct lk_space_span *)(void *)spans.p;
	run->span_count = spans.len / sizeof(struct lk_space_span);
	return rc;
}
