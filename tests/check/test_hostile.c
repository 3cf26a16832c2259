/*
 * test_hostile.c - rows that anybody may have written (F5, P4): random rows of random tables get random values, are erased or copied, one
 * or several at a time. A check ends, a repair leaves nothing, a second run finds nothing, and the volume opens.
 */
#include "sample.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vfs_sum.h>

static struct lk_test_random rng;

static int64_t odd_value(int64_t old)
{
	static const int64_t values[] = {0,
					 1,
					 -1,
					 2,
					 3,
					 64,
					 4096,
					 32768,
					 INT64_MAX,
					 INT64_MIN,
					 1 << 20,
					 INT64_C(1) << 40,
					 INT64_C(1) << 48,
					 INT64_C(1) << 55,
					 255,
					 256};
	switch (lk_test_below(&rng, 5)) {
	case 0:
		return old + 1;
	case 1:
		return old - 1;
	case 2:
		return (int64_t)((uint64_t)old ^ UINT64_C(1) << lk_test_below(&rng, 63));
	case 3:
		return (int64_t)lk_test_below(&rng, 20);
	default:
		return values[lk_test_below(&rng, LK_ARRAY_LEN(values))];
	}
}

struct pick {
	const struct lk_table *table;
	uint64_t at;
	_Alignas(8) char row[LK_RECORD_MAX + 8];
	struct lk_buf bytes[LK_COLUMNS_MAX];
	bool found;
};

static int take(void *arg, const void *record)
{
	struct pick *p = arg;
	if (p->at--)
		return 0;
	memcpy(p->row, record, p->table->record_size);
	for (uint8_t i = 0; i < p->table->column_count; i++) {
		const struct lk_column *c = &p->table->columns[i];
		if (c->type != LK_BYTES)
			continue;
		struct lk_bytes *b = lk_bytes_at(c, p->row);
		if (b->len && lk_buf_append(&p->bytes[i], b->p, b->len))
			return LINKFS_ENOMEM;
		b->p = p->bytes[i].p;
	}
	p->found = true;
	return 1;
}

static int count(void *arg, const void *record)
{
	(void)record;
	++*(uint64_t *)arg;
	return 0;
}

static void change_bytes(struct lk_bytes *b)
{
	static uint8_t odd[70000];
	uint8_t *p = (uint8_t *)(uintptr_t)b->p;
	switch (lk_test_below(&rng, 4)) {
	case 0:
		b->len = b->len ? lk_test_below(&rng, b->len) : 0;
		break;
	case 1:
		memset(odd, (int)lk_test_below(&rng, 256), sizeof(odd));
		*b = (struct lk_bytes){odd, lk_test_below(&rng, 3) ? lk_test_below(&rng, 300) : sizeof(odd)};
		break;
	default:
		if (b->len)
			p[lk_test_below(&rng, b->len)] ^= (uint8_t)(1u << lk_test_below(&rng, 8));
		break;
	}
}

/* What was done, for a failure. */
static char story[4096];

static void damage_one(struct lk_db *db)
{
	struct pick p = {.found = false};
	uint64_t rows = 0;
	/* Not the super record: without its secret nothing can be said of names. */
	p.table = &lk_tables[1 + lk_test_below(&rng, LK_T_COUNT - 1)];
	struct lk_scan scan = {.table = p.table, .index = LK_BY_KEY};
	assert_int_equal(lk_db_scan(db, &scan, count, &rows), 0);
	if (!rows)
		return;
	p.at = lk_test_below(&rng, rows);
	assert_int_equal(lk_db_scan(db, &scan, take, &p), 0);
	assert_true(p.found);
	uint64_t how = lk_test_below(&rng, 5);
	const struct lk_column *c = &p.table->columns[lk_test_below(&rng, p.table->column_count)];
	size_t n = strlen(story);
	(void)snprintf(story + n, sizeof(story) - n, " %s.%s/%d", p.table->name, how ? c->name : "*", (int)how);
	/* Erased, changed in place (the old key goes too), or copied. */
	if (how < 4)
		assert_int_equal(lk_db_erase(db, p.table, p.row), 0);
	if (how) {
		if (c->type == LK_INT)
			*lk_int_at(c, p.row) = odd_value(*lk_int_of(c, p.row));
		else
			change_bytes(lk_bytes_at(c, p.row));
		assert_int_equal(lk_db_put(db, p.table, p.row), 0);
	}
	for (size_t i = 0; i < LK_COLUMNS_MAX; i++)
		lk_buf_done(&p.bytes[i]);
}

static void random_rows_are_mended(void **state)
{
	static struct found f;
	bool large = lk_test_long();
	unsigned rounds = large ? 4000 : 40;
	const char *from = getenv("LINKFS_ROUND");
	unsigned first = from ? (unsigned)strtoul(from, NULL, 10) : 0;
	uint64_t seed = lk_test_seed(), total = 0, damaged = 0;
	(void)state;
	for (unsigned round = first; round < rounds; round++) {
		struct sample s;
		struct linkfs_volume *v;
		struct linkfs_message why = {""};
		rng.state = seed * 100000 + round;
		story[0] = '\0';
		sample_make(&s);
		struct lk_db *db = sample_edit(&s);
		for (uint64_t n = 1 + lk_test_below(&rng, 4); n > 0; n--)
			damage_one(db);
		sample_save(db);
		sample_check(&s, LINKFS_CHECK_DATA, &f);
		uint64_t problems = f.sum.problems;
		total += problems;
		damaged += problems != 0;
		uint32_t drop = LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR | LINKFS_CHECK_DROP_DATA;
		sample_check(&s, drop | LINKFS_CHECK_NO_BACKUP, &f);
		if (f.sum.left)
			fail_msg("round %u (%s): %llu left of %llu:%s", round, story, (unsigned long long)f.sum.left,
				 (unsigned long long)problems, found_all(&f));
		static struct found again;
		sample_check(&s, LINKFS_CHECK_DATA, &again);
		if (again.sum.problems)
			fail_msg("round %u (%s): the second run finds:%s\nafter%s", round, story, found_all(&again),
				 found_all(&f));
		if (linkfs_volume_open(s.path, NULL, &v, &why))
			fail_msg("round %u (%s): %s", round, story, why.text);
		assert_int_equal(linkfs_volume_close(v), 0);
		sample_check(&s, LINKFS_CHECK_DATA, &again);
		if (again.sum.problems)
			fail_msg("round %u (%s): opened and closed:%s", round, story, found_all(&again));
		sample_done(&s);
	}
	print_message("# %u volumes, %llu damaged, %llu problems mended\n", rounds - first, (unsigned long long)damaged,
		      (unsigned long long)total);
	/* Most changes matter. */
	assert_true(damaged * 2 > rounds - first);
}

/* ---- pages ------------------------------------------------------------------------------------------------------------ */

static void flip_bits(const struct sample *s, bool with_sum)
{
	char file[4200];
	uint8_t page[LK_PAGE_SIZE];
	(void)snprintf(file, sizeof(file), "%s/meta.db", s->path);
	int fd = open(file, O_RDWR);
	assert_true(fd >= 0);
	off_t size = lseek(fd, 0, SEEK_END);
	for (uint64_t n = 1 + lk_test_below(&rng, 3); n > 0; n--) {
		uint64_t number = lk_test_below(&rng, (uint64_t)size / LK_PAGE_SIZE);
		uint64_t at = lk_test_below(&rng, lk_test_below(&rng, 3) ? 200 : LK_PAGE_SUMMED);
		assert_int_equal(pread(fd, page, sizeof(page), (off_t)(number * LK_PAGE_SIZE)), sizeof(page));
		page[at] ^= (uint8_t)(1u << lk_test_below(&rng, 8));
		if (with_sum)
			lk_put_u64(page + LK_PAGE_SUMMED, lk_page_sum(page, (uint32_t)number + 1));
		assert_int_equal(pwrite(fd, page, sizeof(page), (off_t)(number * LK_PAGE_SIZE)), sizeof(page));
	}
	(void)close(fd);
}

/* Trees and cells that nobody made: every call ends, and what is called clean is. What cannot be judged is not repaired. */
static void random_pages_end_in_findings(void **state)
{
	static struct found again;
	unsigned rounds = lk_test_long() ? 6000 : 60, fatal = 0;
	uint64_t seed = lk_test_seed();
	(void)state;
	struct sample s;
	sample_make(&s);
	struct {
		uint8_t *p;
		size_t len;
	} copy = {0};
	char file[4200];
	(void)snprintf(file, sizeof(file), "%s/meta.db", s.path);
	int fd = open(file, O_RDONLY);
	assert_true(fd >= 0);
	copy.len = (size_t)lseek(fd, 0, SEEK_END);
	copy.p = malloc(copy.len);
	assert_non_null(copy.p);
	assert_int_equal(pread(fd, copy.p, copy.len, 0), copy.len);
	(void)close(fd);
	for (unsigned round = 0; round < rounds; round++) {
		struct linkfs_check_options o = {.flags = LINKFS_CHECK_DATA};
		struct linkfs_check_summary sum;
		rng.state = seed * 300000 + round;
		fd = open(file, O_RDWR | O_TRUNC);
		assert_int_equal(pwrite(fd, copy.p, copy.len, 0), copy.len);
		(void)close(fd);
		flip_bits(&s, round % 3);
		int r = linkfs_check(s.path, &o, &sum, NULL);
		/* Bits of the header may make it another version's, too. */
		if (r) {
			assert_true(r == LINKFS_ENEWER || r == LINKFS_EIO || r == LINKFS_EINVAL);
			continue;
		}
		o.flags |= LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP;
		r = linkfs_check(s.path, &o, &sum, NULL);
		if (r || sum.left) {
			fatal++;
			continue;
		}
		sample_check(&s, LINKFS_CHECK_DATA, &again);
		if (again.sum.problems)
			fail_msg("round %u: the second run finds:%s", round, found_all(&again));
	}
	print_message("# %u volumes, %u beyond repair\n", rounds, fatal);
	free(copy.p);
	sample_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_rows_are_mended),
		cmocka_unit_test(random_pages_end_in_findings),
	};
	return cmocka_run_group_tests_name("check-hostile", tests, NULL, NULL);
}
