/*
 * test_pages.c - pages of the database destroyed, one at a time and many: what is lost is bounded by what was on them, and
 * nothing is lost without being named.
 *
 * Each page in turn is filled with zeros or noise: without a log, with one that says what the database says, and with one
 * that holds nothing but old versions of pages, also of files that were deleted. LINKFS_LONG=1: a larger volume, and many more random ones.
 */
#include "damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BEGIN (32u + 24u + PAGE) /* its header and first frame */

struct world {
	char *dir, *path, *to;
	struct tree was;
	struct page_info *pages;
	uint32_t count;
	struct file_image db, log, old, data; /* old: the log without its beginning, so that nothing in it counts */
};

enum log { NO_LOG, THE_LOG, OLD_LOG };

static void copy_image(const struct file_image *from, struct file_image *to)
{
	*to = *from;
	to->p = malloc(from->len + 1);
	assert_non_null(to->p);
	memcpy(to->p, from->p, from->len);
}

/* thin: with files that were deleted. */
static void setup(struct world *w, unsigned files, uint64_t seed, bool thin)
{
	*w = (struct world){.dir = lk_test_mkdir()};
	w->path = volume_make(w->dir, "v", files, seed);
	if (thin) {
		struct linkfs_volume *v;
		assert_int_equal(linkfs_volume_open(w->path, NULL, &v, NULL), 0);
		tree_thin(v, files);
		assert_int_equal(linkfs_volume_close(v), 0);
	}
	if (asprintf(&w->to, "%s/new", w->dir) < 0)
		fail_msg("out of memory");
	tree_of(w->path, &w->was);
	w->pages = map_pages(w->path, &w->count);
	image_read(w->path, "meta.db", &w->db);
	image_read(w->path, "meta.db-wal", &w->log);
	image_read(w->path, "data.000000", &w->data);
	copy_image(&w->log, &w->old);
	memset(w->old.p, 0x5a, LOG_BEGIN < w->old.len ? LOG_BEGIN : w->old.len);
}

static void done(struct world *w)
{
	tree_done(&w->was);
	free(w->pages);
	image_done(&w->db);
	image_done(&w->log);
	image_done(&w->old);
	image_done(&w->data);
	free(w->path);
	free(w->to);
	lk_test_rmdir(w->dir);
}

/* Puts db (and the log or none) in place, recovers, compares. */
static void try(struct world *w, const struct file_image *db, enum log log, struct report *report,
		struct difference *out)
{
	static const struct file_image none = {0};
	struct tree is;
	image_write(w->path, "meta.db", db);
	image_write(w->path, "meta.db-wal", log == THE_LOG ? &w->log : log == OLD_LOG ? &w->old : &none);
	int r = recover(w->path, w->to, report);
	if (r)
		fail_msg("recover: %s: %s", linkfs_error_name(r), report->why.text);
	tree_of(w->to, &is);
	tree_compare(&w->was, &is, report, out);
	tree_done(&is);
	lk_test_rmdir(strdup(w->to));
	if (out->files && report->result.complete)
		fail_msg("%u files differ, and the report says that nothing is lost", out->files);
}

static bool any_of(const char *name, const char *const *list)
{
	for (; *list; list++) {
		if (strcmp(name, *list) == 0)
			return true;
	}
	return false;
}

/* How many files the loss of this page may touch at most. */
static unsigned bound(const struct page_info *page)
{
	/* Each name is there twice; the rest is not needed, or can be made anew. */
	static const char *const free_of_loss[] = {"schema",    "super",  "counter",  "dirent",         "dirent_by_ino",
						   "component", "bind",   "orphan",   "intent",         "deleted",
						   "grp",       "shared", "snapshot", "bind_by_source", NULL};
	if (any_of(page->tree, free_of_loss) || strstr(page->tree, "_old") || !page->tree[0])
		return 0;
	if (page->owner)
		return 1;
	return page->type == 5 ? 0 : page->cells;
}

static void each_page(struct world *w, bool noise, enum log log, unsigned step)
{
	struct lk_test_random random = {11};
	struct difference d;
	struct report report;
	unsigned files = 0, content = 0, missing = 0, touched = 0, tried = 0;
	for (uint32_t page = 1; page <= w->count; page++) {
		struct file_image db;
		if ((!w->pages[page].tree[0] && page % 16) || page % step)
			continue;
		copy_image(&w->db, &db);
		if (noise)
			page_noise(&db, page, &random);
		else
			page_zero(&db, page);
		try(w, &db, log, &report, &d);
		unsigned most = bound(&w->pages[page]);
		if (d.files > most || d.silent || d.extra)
			fail_msg("page %u (%s, type %u, %u cells): %u files differ, %u allowed; %u silently, %u extra",
				 page, w->pages[page].tree, w->pages[page].type, w->pages[page].cells, d.files, most,
				 d.silent, d.extra);
		if (most == 0 && !report.result.complete)
			fail_msg("page %u (%s) costs nothing, but the report speaks of loss", page,
				 w->pages[page].tree);
		files += d.files;
		content += d.content;
		missing += d.missing;
		touched += d.files > 0;
		tried++;
		report_done(&report);
		image_done(&db);
	}
	static const char *const logs[] = {"without a log", "with the log", "with an old log"};
	printf("# %u pages one by one with %s, %s: %u cost something; %u files touched, %u of content, %u missing\n",
	       tried, noise ? "noise" : "zeros", logs[log], touched, files, content, missing);
}

static void single_pages(void **state)
{
	(void)state;
	struct world w;
	unsigned files = lk_test_long() ? 600 : 120, step = lk_test_long() ? 1 : 3;
	setup(&w, files, lk_test_seed(), false);
	each_page(&w, false, NO_LOG, 1);
	each_page(&w, true, THE_LOG, step);
	done(&w);
	setup(&w, files, 3, true);
	each_page(&w, true, OLD_LOG, step);
	done(&w);
}

/* Without the database's header, and without every page of the schema: nothing is lost. */
static void header_and_schema(void **state)
{
	(void)state;
	struct world w;
	struct difference d;
	struct report report;
	setup(&w, 150, 2, false);
	for (int step = 0; step < 2; step++) {
		struct file_image db;
		copy_image(&w.db, &db);
		for (uint32_t page = 1; page <= w.count; page++) {
			if (page == 1 || (step && strcmp(w.pages[page].tree, "schema") == 0))
				page_zero(&db, page);
		}
		try(&w, &db, NO_LOG, &report, &d);
		assert_int_equal(d.files + d.silent + d.extra, 0);
		assert_true(report.result.complete);
		report_done(&report);
		image_done(&db);
	}
	done(&w);
}

/* All inner pages at once: rows on the inner pages of indexes are lost, names among them come back from their second copy. */
static void all_inner_pages(void **state)
{
	(void)state;
	struct world w;
	struct difference d;
	struct report report;
	struct file_image db;
	unsigned cells = 0, zeroed = 0;
	setup(&w, lk_test_long() ? 2000 : 300, 2, false);
	copy_image(&w.db, &db);
	for (uint32_t page = 1; page <= w.count; page++) {
		const struct page_info *info = &w.pages[page];
		if (info->type != 2 && info->type != 5)
			continue;
		if (info->type == 2 && strstr(info->tree, "dirent") == NULL)
			cells += info->cells;
		page_zero(&db, page);
		zeroed++;
	}
	try(&w, &db, NO_LOG, &report, &d);
	printf("# %u inner pages zeroed, with %u rows that are no names: %u files touched, %u of content, %u missing\n",
	       zeroed, cells, d.files, d.content, d.missing);
	assert_true(zeroed >= 5);
	assert_true(d.files <= cells);
	assert_int_equal(d.missing + d.silent + d.extra, 0);
	report_done(&report);
	image_done(&db);
	done(&w);
}

/* A tenth of all pages, at random. */
static void random_pages(void **state)
{
	(void)state;
	struct world w;
	struct lk_test_random random = {lk_test_seed()};
	unsigned rounds = lk_test_long() ? 200 : 20, total = 0, files = 0, content = 0, missing = 0, bad = 0;
	setup(&w, lk_test_long() ? 600 : 200, 9, false);
	for (unsigned round = 0; round < rounds; round++) {
		struct difference d;
		struct report report;
		struct file_image db;
		copy_image(&w.db, &db);
		for (uint32_t page = 1; page <= w.count; page++) {
			if (lk_test_below(&random, 10))
				continue;
			if (lk_test_below(&random, 2))
				page_noise(&db, page, &random);
			else
				page_zero(&db, page);
			bad++;
		}
		try(&w, &db, (enum log)(round % 3), &report, &d);
		if (d.silent)
			fail_msg("round %u: %u silent losses", round, d.silent);
		assert_int_equal(d.extra, 0);
		total += (unsigned)w.was.len;
		files += d.files;
		content += d.content;
		missing += d.missing;
		report_done(&report);
		image_done(&db);
	}
	printf("# %u rounds, %u pages destroyed: of %u names %u files touched, %u of content, %u missing\n", rounds,
	       bad, total, files, content, missing);
	/* A page in ten costs a fifth of the content at most, and nearly no file is gone. */
	assert_true(content * 5 < total);
	assert_true(missing * 50 < total);
	done(&w);
}

/* A bit among the rows harms one of them; one in the page's header or in its table of rows may harm all. */
static unsigned bit_bound(const struct page_info *info, uint32_t page, uint64_t bit)
{
	uint64_t at = bit / 8 % PAGE, rows = (page == 1 ? 100u : 0u) + (info->type == 2 || info->type == 5 ? 12u : 8u);
	unsigned most = bound(info);
	return at < rows + 2u * info->cells ? most : most ? 1 : 0;
}

static void flip(struct file_image *db, uint64_t bit)
{
	db->p[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void flipped_bits(void **state)
{
	(void)state;
	struct world w;
	struct lk_test_random random = {lk_test_seed()};
	unsigned rounds = lk_test_long() ? 400 : 40, files = 0;
	setup(&w, 150, 4, false);
	for (unsigned round = 0; round < rounds; round++) {
		struct difference d;
		struct report report;
		struct file_image db;
		copy_image(&w.db, &db);
		uint64_t bit = lk_test_below(&random, db.len * 8), other = bit / (PAGE * 8) * (PAGE * 8);
		uint32_t page = (uint32_t)(bit / 8 / PAGE) + 1;
		/* Every second time two bits of the page: more than can be mended. */
		flip(&db, bit);
		other += lk_test_below(&random, PAGE * 8);
		bool two = round % 2 && other != bit;
		if (two)
			flip(&db, other);
		try(&w, &db, NO_LOG, &report, &d);
		unsigned most = two ? bit_bound(&w.pages[page], page, bit) + bit_bound(&w.pages[page], page, other) : 0;
		if (d.files > most || d.silent || d.extra || (!two && !report.result.complete))
			fail_msg("bits %llu, %llu, page %u (%s): %u files differ, %u allowed; %u silently, %u extra",
				 (unsigned long long)bit, (unsigned long long)other, page, w.pages[page].tree, d.files,
				 most, d.silent, d.extra);
		files += d.files;
		report_done(&report);
		image_done(&db);
	}
	printf("# %u bits flipped one by one or two in a page: %u files touched\n", rounds, files);
	done(&w);
}

static void cut_off(void **state)
{
	(void)state;
	struct world w;
	setup(&w, 150, 6, false);
	for (unsigned part = 1; part <= 3; part++) {
		struct difference d;
		struct report report;
		struct file_image db;
		copy_image(&w.db, &db);
		uint32_t used = w.count;
		while (used && !w.pages[used].tree[0])
			used--;
		db.len = (size_t)used * PAGE * part / 4 + 100;
		try(&w, &db, NO_LOG, &report, &d);
		printf("# meta.db cut to %u/4: of %zu names %u files touched, %u of content, %u missing, %llu "
		       "untraced\n",
		       part, w.was.len, d.files, d.content, d.missing, (unsigned long long)report.result.untraced);
		assert_int_equal(d.silent + d.extra, 0);
		report_done(&report);
		image_done(&db);
	}
	done(&w);
}

/* Half of the data: each lost block is named, what is left is right. */
static void half_of_the_data(void **state)
{
	(void)state;
	struct world w;
	struct difference d;
	struct report report;
	struct file_image half;
	setup(&w, 150, 8, false);
	half = w.data;
	half.len = w.data.len / 2 / PAGE * PAGE;
	image_write(w.path, "data.000000", &half);
	try(&w, &w.db, THE_LOG, &report, &d);
	uint64_t blocks = 0;
	for (size_t i = 0; i < report.len; i++) {
		assert_int_equal(report.p[i].what, LINKFS_RECOVER_RANGE_LOST);
		assert_true(report.p[i].length > 0 && report.p[i].offset % PAGE == 0);
		blocks += (report.p[i].length + PAGE - 1) / PAGE;
	}
	printf("# half of the data gone: %u files touched, %llu ranges, %llu blocks, %llu bytes\n", d.files,
	       (unsigned long long)report.result.lost_ranges, (unsigned long long)blocks,
	       (unsigned long long)report.result.lost_bytes);
	assert_true(d.files > 0);
	assert_int_equal(d.files, d.content);
	assert_int_equal(d.missing + d.silent + d.extra, 0);
	assert_true(blocks <= (w.data.len - half.len + PAGE - 1) / PAGE);
	report_done(&report);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_schema), cmocka_unit_test(single_pages), cmocka_unit_test(all_inner_pages),
		cmocka_unit_test(random_pages),      cmocka_unit_test(flipped_bits), cmocka_unit_test(cut_off),
		cmocka_unit_test(half_of_the_data),
	};
	return cmocka_run_group_tests_name("recover-pages", tests, NULL, NULL);
}
