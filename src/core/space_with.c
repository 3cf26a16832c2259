/*
 * space_with.c - what else has the blocks of a set that stay (space.h): a look at every extent row, as no index leads from blocks to rows.
 * Layer: core. Live rows come file by file, so the part of each file is known, each block once, when the next begins. For snapshots the parts
 * of all rows that stay are kept, and swept by block: at each block the snapshots that see it are a few intervals of the list.
 */
#include "space_impl.h"

#include "extent_impl.h"
#include "paths.h"
#include "places.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

/* A stretch of what stays that snapshots number from .. to - 1 of those that remain see by one row. */
struct sight {
	struct lk_space_span span;
	uint32_t from, to;
};

struct look {
	struct lk_space_run *run;
	uint64_t ino;        /* the file whose live rows come now */
	struct lk_buf spans; /* its part, rows in order of the file */
	struct lk_buf sights;
	uint64_t *bytes; /* by snapshot that remains: differences */
};

static int by_start(const void *a, const void *b)
{
	const struct lk_space_span *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Blocks in the union of spans, which are sorted here. */
static uint64_t length(struct lk_space_span *spans, size_t count)
{
	uint64_t blocks = 0, to = 0;

	if (count)
		qsort(spans, count, sizeof(*spans), by_start);
	for (size_t i = 0; i < count; i++) {
		uint64_t from = LK_MAX(spans[i].from, to);

		if (spans[i].to > from)
			blocks += spans[i].to - from;
		to = LK_MAX(to, spans[i].to);
	}
	return blocks;
}

static int file_done(struct look *look)
{
	struct lk_space_file file = {.ino = look->ino};
	size_t count = look->spans.len / sizeof(struct lk_space_span);

	file.bytes = length((struct lk_space_span *)(void *)look->spans.p, count) * LK_BLOCK_SIZE;
	look->spans.len = 0;
	return count ? lk_buf_append(&look->run->files, &file, sizeof(file)) : 0;
}

/* The first span that ends after block. */
static size_t span_after(const struct lk_space_run *run, uint64_t block)
{
	size_t low = 0, high = run->span_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (run->spans[middle].to <= block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int look_at(struct look *look, const struct lk_extent *row, int64_t last)
{
	struct lk_space_run *run = look->run;
	bool live = last == INT64_MAX;
	struct sight sight;
	struct lk_ext e;
	int rc = lk_ext_check(row, (uint64_t)row->ino, &e);

	if (rc || !lk_ext_allocated(e.codec))
		return rc;
	if (live && (uint64_t)row->ino != look->ino) {
		rc = file_done(look);
		look->ino = (uint64_t)row->ino;
	}
	sight.from = (uint32_t)lk_space_first(run->stay, run->stay_count, row->born);
	sight.to = (uint32_t)(live ? run->stay_count : lk_space_first(run->stay, run->stay_count, last + 1));
	for (size_t i = span_after(run, e.disk); rc == 0 && i < run->span_count; i++) {
		sight.span.from = LK_MAX(run->spans[i].from, e.disk);
		sight.span.to = LK_MIN(run->spans[i].to, e.disk + lk_ext_named(&e));
		if (sight.span.from >= sight.span.to)
			break;
		if (sight.from < sight.to)
			rc = lk_buf_append(&look->sights, &sight, sizeof(sight));
		if (rc == 0 && live && !lk_set_has(&run->dropped, look->ino))
			rc = lk_buf_append(&look->spans, &sight.span, sizeof(sight.span));
	}
	return rc;
}

static int look_at_table(struct look *look, enum lk_table_id id)
{
	struct lk_space_scan scan = {.table = id,
				     .index = id == LK_T_EXTENT ? LK_BY_KEY : LK_OLD_BY_KEY}; /* file by file */
	int rc = 0;

	while (rc == 0 && (rc = lk_space_next(look->run, &scan)) == 0 && scan.set.count) {
		for (uint32_t i = 0; rc == 0 && i < scan.set.count; i++) {
			const void *row = lk_row_set_at(&scan.set, i);

			rc = look_at(look, row, id == LK_T_EXTENT ? INT64_MAX : lk_record_last(&lk_tables[id], row));
		}
	}
	lk_row_set_done(&scan.set);
	return rc ? rc : file_done(look);
}

/* ---- snapshots ------------------------------------------------------------------------------------------------------------ */

static int by_block(const void *a, const void *b)
{
	return by_start(&((const struct sight *)a)->span, &((const struct sight *)b)->span);
}

static int by_snapshot(const void *a, const void *b)
{
	const struct sight *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Snapshots that see a stretch of bytes, by any of the rows active there. Sorts them. */
static void add_stretch(struct look *look, struct sight *active, size_t count, uint64_t bytes)
{
	uint32_t to = 0;

	if (count)
		qsort(active, count, sizeof(*active), by_snapshot);
	for (size_t i = 0; i < count; i++) {
		uint32_t from = LK_MAX(active[i].from, to);

		if (active[i].to <= from)
			continue;
		to = active[i].to;
		look->bytes[from] += bytes;
		look->bytes[to] -= bytes;
	}
}

/* The next block at which the active rows change: where one of them ends, or the next begins. */
static uint64_t next_change(const struct sight *active, size_t count, const struct sight *next)
{
	uint64_t at = next ? next->span.from : UINT64_MAX;

	for (size_t i = 0; i < count; i++)
		at = LK_MIN(at, active[i].span.to);
	return at;
}

static int sweep(struct look *look)
{
	struct sight *sights = (struct sight *)(void *)look->sights.p;
	size_t count = look->sights.len / sizeof(*sights), i = 0;
	struct lk_buf list = {0}; /* of active ones */
	uint64_t at = 0;
	int rc = 0;

	if (count)
		qsort(sights, count, sizeof(*sights), by_block);
	while (rc == 0 && (i < count || list.len)) {
		struct sight *active = (struct sight *)(void *)list.p;
		size_t active_count = list.len / sizeof(*active), kept = 0;
		uint64_t next = next_change(active, active_count, i < count ? &sights[i] : NULL);

		if (active_count)
			add_stretch(look, active, active_count, (next - at) * LK_BLOCK_SIZE);
		at = next;
		for (size_t k = 0; k < active_count; k++)
			if (active[k].span.to > at)
				active[kept++] = active[k];
		list.len = kept * sizeof(*active);
		for (; rc == 0 && i < count && sights[i].span.from == at; i++)
			rc = lk_buf_append(&list, &sights[i], sizeof(sights[i]));
	}
	lk_buf_done(&list);
	return rc;
}

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

struct answer {
	struct linkfs_space_with with; /* name: not NULL when there is one, which follows */
};

static int add_answer(struct lk_space_run *run, const struct linkfs_space_with *with, const void *name)
{
	struct answer answer = {*with};
	int rc = lk_buf_append(&run->answers, &answer, sizeof(answer));

	if (rc == 0 && with->name_len)
		rc = lk_buf_append(&run->answers, name, with->name_len);
	return rc ? rc : lk_buf_append(&run->answers, "", 1);
}

struct naming {
	struct look *look;
	size_t at;
	uint64_t bytes;
};

static int name_snapshot(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct naming *n = arg;
	struct lk_space_run *run = n->look->run;
	struct linkfs_space_with with = {.snapshot = (uint64_t)s->epoch, .name = "", .name_len = s->name.len};

	if (n->at == run->stay_count || run->stay[n->at] != s->epoch)
		return 0;
	n->bytes += n->look->bytes[n->at] + run->inline_stay[n->at];
	n->at++;
	with.bytes = n->bytes;
	return with.bytes ? add_answer(run, &with, s->name.p) : 0;
}

static int by_bytes(const void *a, const void *b)
{
	const struct lk_space_file *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

/* Of a file with more, and of a directory with more paths, those that are found first are tried. */
#define NAMES_MAX 64u
#define ROUTES_MAX 64u

struct pick {
	struct lk_space_run *run;
	uint32_t count, route_count;
	struct {
		uint64_t dir;
		bool goes;
		uint8_t len;
		char bytes[LINKFS_NAME_MAX];
	} name[NAMES_MAX + 1]; /* after those that stay one that goes */
	uint64_t routes[ROUTES_MAX];
};

/* Names that stay; one that goes as long as there is none. */
static int pick_name(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct pick *p = arg;
	bool goes = lk_space_name_goes(p->run, (uint64_t)d->dir, d->hash, d->ord);
	uint32_t at = p->count && p->name[p->count - 1].goes ? p->count - 1 : p->count;

	if ((goes && p->count) || d->name.len > LINKFS_NAME_MAX)
		return 0;
	p->name[at].dir = (uint64_t)d->dir;
	p->name[at].goes = goes;
	p->name[at].len = (uint8_t)d->name.len;
	memcpy(p->name[at].bytes, d->name.p, d->name.len);
	p->count = at + 1;
	return p->count == NAMES_MAX;
}

static int add_route(void *arg, uint64_t id)
{
	struct pick *p = arg;

	p->routes[p->route_count++] = id;
	return p->route_count == ROUTES_MAX;
}

static int first_entry(void *arg, const void *record)
{
	const struct lk_dirent *d = record;

	*(struct lk_place_entry *)arg = (struct lk_place_entry){(uint64_t)d->dir, d->dir, d->hash, d->ord};
	return 1;
}

/* A directory that stays may have paths that go: by another name of it, or of one above. */
static int route_goes(struct lk_space_run *run, uint64_t id, bool *out)
{
	int rc = 0;

	*out = false;
	while (rc == 0 && !*out && !lk_id_is_root(id)) {
		struct lk_place_entry e = {0};

		if (!lk_places_entry(run->fs, id, &e))
			rc = lk_dirent_names(&run->op, id, 1, first_entry, &e);
		if (rc == 0 && e.dir == 0)
			return LINKFS_ENOENT;
		*out = lk_space_name_goes(run, (uint64_t)e.dir, e.hash, e.ord);
		id = e.parent;
	}
	return rc;
}

/* A path that cred may know, one that stays before others; none: empty. */
static int pick_path(struct pick *p, struct lk_paths *paths, struct lk_bytes *out)
{
	struct lk_space_run *run = p->run;

	for (uint32_t i = 0; i < p->count; i++) {
		int rc;

		p->route_count = 0;
		rc = lk_places_routes(&run->op, p->name[i].dir, add_route, p);
		if (rc < 0 && rc != LINKFS_E2BIG)
			return rc;
		for (uint32_t k = 0; k < p->route_count; k++) {
			struct lk_bytes path;
			bool goes = true;

			rc = lk_paths_name(paths, p->routes[k], p->name[i].bytes, p->name[i].len, &path);
			if (rc == 0)
				rc = route_goes(run, p->routes[k], &goes);
			if (rc == LINKFS_EACCES || rc == LINKFS_ENOENT)
				continue;
			if (rc)
				return rc;
			goes |= p->name[i].goes;
			if (out->len == 0 || !goes)
				*out = path;
			if (!goes)
				return 0;
		}
	}
	return 0;
}

static int name_file(struct pick *pick, const struct lk_space_file *file)
{
	struct lk_space_run *run = pick->run;
	struct linkfs_space_with with = {.ino = file->ino, .bytes = file->bytes};
	struct lk_paths paths = {.op = &run->op, .cred = lk_cred(run->ask->cred)};
	struct lk_bytes path = {NULL, 0};
	int rc;

	pick->count = 0;
	rc = lk_dirent_names(&run->op, file->ino, 0, pick_name, pick);
	if (rc == 0)
		rc = pick_path(pick, &paths, &path);
	with.name = path.len ? "" : NULL;
	with.name_len = path.len;
	if (rc == 0)
		rc = add_answer(run, &with, path.p);
	lk_paths_done(&paths);
	return rc;
}

static int answer_all(struct look *look)
{
	struct lk_space_run *run = look->run;
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	struct naming naming = {.look = look};
	const struct lk_space_file *files = (const struct lk_space_file *)(const void *)run->files.p;
	size_t count = run->files.len / sizeof(*files), max = run->q->with_files;
	struct pick *pick = calloc(1, sizeof(*pick));
	int rc = pick ? lk_txn_scan(&run->op, &scan, name_snapshot, &naming) : LINKFS_ENOMEM;

	run->sum->with_files = count;
	if (pick)
		pick->run = run;
	for (size_t i = 0; rc == 0 && i < count && (max == 0 || i < max); i++) {
		rc = name_file(pick, &files[i]);
		if (rc == 0)
			rc = lk_space_rest(run);
	}
	free(pick);
	return rc;
}

int lk_space_with(struct lk_space_run *run)
{
	struct look look = {.run = run, .bytes = calloc(run->stay_count + 1, sizeof(uint64_t))};
	int rc = look.bytes ? 0 : LINKFS_ENOMEM;

	if (rc == 0 && run->span_count)
		rc = look_at_table(&look, LK_T_EXTENT);
	if (rc == 0 && run->span_count && run->stay_count)
		rc = look_at_table(&look, LK_T_EXTENT_OLD);
	if (rc == 0)
		rc = lk_space_leave(run);
	if (rc == 0)
		rc = sweep(&look);
	if (rc == 0 && run->files.len)
		qsort(run->files.p, run->files.len / sizeof(struct lk_space_file), sizeof(struct lk_space_file),
		      by_bytes);
	if (rc == 0)
		rc = lk_space_return(run);
	if (rc == 0)
		rc = answer_all(&look);
	lk_buf_done(&look.spans);
	lk_buf_done(&look.sights);
	free(look.bytes);
	return rc;
}

int lk_space_tell_with(struct lk_space_run *run)
{
	size_t at = 0;

	while (at < run->answers.len) {
		struct answer answer;

		memcpy(&answer, run->answers.p + at, sizeof(answer));
		at += sizeof(answer);
		if (answer.with.name)
			answer.with.name = (const char *)run->answers.p + at;
		at += answer.with.name_len + 1;
		if (run->q->with(run->q->arg, &answer.with))
			return LINKFS_EINTR;
	}
	return 0;
}
