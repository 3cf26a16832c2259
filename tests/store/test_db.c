/*
 * test_db.c - the contract of db.h, for any engine: run over SQLite, over SQLite behind a silent fault injector
 * (argument "fault"), and over SQLite on a host without shared memory ("exclusive").
 */
#include <db_fault.h>
#include <db_model.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define T(id) (&lk_tables[LK_T_##id])

static bool behind_fault, exclusive;

struct state {
	char *dir;
	struct lk_db *db;
	struct lk_buf bytes;
	struct lk_test_random random;
};

static struct lk_db *open_db(const char *dir, uint32_t flags)
{
	struct lk_db *db = NULL;
	struct linkfs_message why = {"nothing"};
	int r = lk_db_open_sqlite(dir, flags, &db, &why);
	if (r)
		fail_msg("open: %s: %s", linkfs_error_name(r), why.text);
	if (behind_fault)
		assert_int_equal(lk_db_fault_open(db, &db), 0);
	return db;
}

static int setup(void **out)
{
	struct state *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->dir = lk_test_mkdir();
	s->random.state = lk_test_seed();
	if (exclusive) {
		/* A directory where SQLite would have its shared memory. */
		char *shm = NULL;
		assert_true(asprintf(&shm, "%s/meta.db-shm", s->dir) > 0);
		assert_int_equal(mkdir(shm, 0700), 0);
		free(shm);
	}
	s->db = open_db(s->dir, LK_DB_CREATE);
	*out = s;
	return 0;
}

static int teardown(void **in)
{
	struct state *s = *in;
	lk_db_close(s->db);
	lk_buf_done(&s->bytes);
	lk_test_rmdir(s->dir);
	free(s);
	return 0;
}

static void reopen(struct state *s, uint32_t flags)
{
	lk_db_close(s->db);
	s->db = open_db(s->dir, flags);
}

static void check_get(struct state *s, const struct lk_table *table, const void *want)
{
	uint64_t got[LK_RECORD_MAX / 8];
	memset(got, 0xaa, sizeof(got));
	struct lk_buf bytes = {0};
	assert_int_equal(lk_buf_append(&bytes, "before", 6), 0);
	assert_int_equal(lk_db_get(s->db, table, want, got, &bytes), 0);
	model_assert_equal(table, UINT32_MAX, got, want);
	assert_memory_equal(bytes.p, "before", 6);
	lk_buf_done(&bytes);
}

/* Every table holds what was put, replaced or inserted, and nothing that was erased. */
static void every_table_every_operation(void **in)
{
	struct state *s = *in;
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		const struct lk_table *table = &lk_tables[t];
		struct model m = {0};
		assert_int_equal(s->db->ops->begin(s->db), 0);
		for (int i = 0; i < 30; i++) {
			uint64_t record[LK_RECORD_MAX / 8] = {0}, before[LK_RECORD_MAX / 8];
			s->bytes.len = 0;
			model_random(&s->random, table, false, 70000, record, &s->bytes);
			memset(before, 0x55, sizeof(before));
			struct lk_buf none = {0};
			uint64_t got[LK_RECORD_MAX / 8];
			memcpy(got, before, sizeof(got));
			if (!model_find(&m, table, record)) {
				assert_int_equal(lk_db_get(s->db, table, record, got, &none), LINKFS_ENOENT);
				assert_memory_equal(got, before, sizeof(got));
				assert_int_equal(none.len, 0);
				assert_int_equal(lk_db_erase(s->db, table, record), LINKFS_ENOENT);
				assert_int_equal(lk_db_insert(s->db, table, record), 0);
			} else {
				assert_int_equal(lk_db_insert(s->db, table, record), LINKFS_EEXIST);
				check_get(s, table, model_find(&m, table, record)->record);
				assert_int_equal(lk_db_put(s->db, table, record), 0);
			}
			model_put(&m, table, record);
			check_get(s, table, record);
		}
		assert_int_equal(s->db->ops->commit(s->db), 0);
		model_check_all(&m, s->db);
		assert_int_equal(s->db->ops->begin(s->db), 0);
		while (m.tables[t].count) {
			uint64_t key[LK_RECORD_MAX / 8];
			struct model_row *row = &m.tables[t].rows[lk_test_below(&s->random, m.tables[t].count)];
			memcpy(key, row->record, sizeof(key));
			assert_int_equal(lk_db_erase(s->db, table, key), 0);
			model_erase(&m, table, row->record);
		}
		model_check_all(&m, s->db);
		assert_int_equal(s->db->ops->commit(s->db), 0);
		model_done(&m);
	}
}

static void bytes_of_every_length(void **in)
{
	struct state *s = *in;
	static const size_t lengths[] = {0,    1,    2,    127,  128,  255,   2048,  4000,  4040,
					 4041, 4079, 4080, 4096, 8192, 16384, 65535, 65536, 70000};
	uint8_t *content = malloc(70000);
	assert_non_null(content);
	for (size_t i = 0; i < 70000; i++)
		content[i] = (uint8_t)lk_test_next(&s->random);
	assert_int_equal(s->db->ops->begin(s->db), 0);
	for (size_t i = 0; i < LK_ARRAY_LEN(lengths); i++) {
		struct lk_xattr x = {.ino = (int64_t)i,
				     .name = {content, LK_MIN(lengths[i], (size_t)255)},
				     .value = {content, lengths[i]}};
		assert_int_equal(lk_db_put(s->db, T(XATTR), &x), 0);
		check_get(s, T(XATTR), &x);
	}
	assert_int_equal(s->db->ops->commit(s->db), 0);
	assert_int_equal(s->db->ops->checkpoint(s->db, true), 0);
	reopen(s, 0);
	for (size_t i = 0; i < LK_ARRAY_LEN(lengths); i++) {
		struct lk_xattr x = {.ino = (int64_t)i,
				     .name = {content, LK_MIN(lengths[i], (size_t)255)},
				     .value = {content, lengths[i]}};
		check_get(s, T(XATTR), &x);
		/* Without a buffer: the length alone. */
		struct lk_xattr got = x;
		assert_int_equal(lk_db_get(s->db, T(XATTR), &x, &got, NULL), 0);
		assert_int_equal(got.value.len, lengths[i]);
		assert_null(got.value.p);
	}
	free(content);
}

static void get_may_read_into_its_key(void **in)
{
	struct state *s = *in;
	struct lk_inode a = {.ino = 7, .mode = 0100644, .size = 12, .born = 3};
	assert_int_equal(s->db->ops->begin(s->db), 0);
	assert_int_equal(lk_db_put(s->db, T(INODE), &a), 0);
	struct lk_inode b = {.ino = 7};
	assert_int_equal(lk_db_get(s->db, T(INODE), &b, &b, NULL), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	/* The key's bytes lie in the buffer that grows. */
	struct lk_xattr x = {.ino = 7, .name = {"user.key", 8}, .value = {"0123456789", 10}};
	assert_int_equal(lk_db_put(s->db, T(XATTR), &x), 0);
	struct lk_buf bytes = {0};
	for (int i = 0; i < 50; i++) {
		struct lk_xattr k = {.ino = 7, .name = {"user.key", 8}};
		if (i)
			k.name.p = bytes.p;
		assert_int_equal(lk_db_get(s->db, T(XATTR), &k, &k, &bytes), 0);
		assert_memory_equal(k.name.p, "user.key", 8);
		assert_memory_equal(k.value.p, "0123456789", 10);
	}
	lk_buf_done(&bytes);
	assert_int_equal(s->db->ops->rollback(s->db), 0);
}

static void writes_need_a_transaction(void **in)
{
	struct state *s = *in;
	struct lk_orphan o = {.ino = 5};
	assert_int_equal(lk_db_put(s->db, T(ORPHAN), &o), LINKFS_EINVAL);
	assert_int_equal(lk_db_insert(s->db, T(ORPHAN), &o), LINKFS_EINVAL);
	assert_int_equal(lk_db_erase(s->db, T(ORPHAN), &o), LINKFS_EINVAL);
	assert_int_equal(s->db->ops->commit(s->db), LINKFS_EINVAL);
	assert_int_equal(s->db->ops->savepoint(s->db), LINKFS_EINVAL);
	assert_int_equal(s->db->ops->rollback(s->db), 0);
	assert_int_equal(lk_db_get(s->db, T(ORPHAN), &o, &o, NULL), LINKFS_ENOENT);
	assert_int_equal(s->db->ops->begin(s->db), 0);
	assert_int_equal(s->db->ops->begin(s->db), LINKFS_EINVAL);
	assert_int_equal(lk_db_put(s->db, T(ORPHAN), &o), 0);
	assert_int_equal(s->db->ops->commit(s->db), 0);
	assert_int_equal(lk_db_get(s->db, T(ORPHAN), &o, &o, NULL), 0);
}

struct stop {
	int rows, at, result;
};

static int stop_row(void *arg, const void *record)
{
	struct stop *stop = arg;
	(void)record;
	return ++stop->rows == stop->at ? stop->result : 0;
}

static void a_scan_stops_when_told(void **in)
{
	struct state *s = *in;
	assert_int_equal(s->db->ops->begin(s->db), 0);
	for (int64_t i = 0; i < 10; i++) {
		struct lk_orphan o = {.ino = i};
		assert_int_equal(lk_db_insert(s->db, T(ORPHAN), &o), 0);
	}
	struct lk_scan scan = {.table = T(ORPHAN), .index = LK_BY_KEY};
	struct stop stop = {.at = 3, .result = 1};
	assert_int_equal(lk_db_scan(s->db, &scan, stop_row, &stop), 0);
	assert_int_equal(stop.rows, 3);
	stop = (struct stop){.at = 4, .result = LINKFS_EINTR};
	assert_int_equal(lk_db_scan(s->db, &scan, stop_row, &stop), LINKFS_EINTR);
	assert_int_equal(stop.rows, 4);
	stop = (struct stop){0};
	scan.limit = 6;
	assert_int_equal(lk_db_scan(s->db, &scan, stop_row, &stop), 0);
	assert_int_equal(stop.rows, 6);
	/* More columns than the order has, and an index that is not there. */
	scan.equal = 2;
	assert_int_equal(lk_db_scan(s->db, &scan, stop_row, &stop), LINKFS_EINVAL);
	scan = (struct lk_scan){.table = T(ORPHAN), .index = 0};
	assert_int_equal(lk_db_scan(s->db, &scan, stop_row, &stop), LINKFS_EINVAL);
	assert_int_equal(s->db->ops->rollback(s->db), 0);
}

static void undo_takes_back_to_the_savepoint(void **in)
{
	struct state *s = *in;
	struct lk_counter a = {.id = 1, .value = 1}, b = {.id = 2, .value = 2}, got;
	assert_int_equal(s->db->ops->begin(s->db), 0);
	assert_int_equal(lk_db_put(s->db, T(COUNTER), &a), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(s->db->ops->savepoint(s->db), 0);
		a.value = 10 + i;
		assert_int_equal(lk_db_put(s->db, T(COUNTER), &a), 0);
		assert_int_equal(lk_db_insert(s->db, T(COUNTER), &b), 0);
		assert_int_equal(s->db->ops->undo(s->db), 0);
		got.id = 1;
		assert_int_equal(lk_db_get(s->db, T(COUNTER), &got, &got, NULL), 0);
		assert_int_equal(got.value, 1);
		got.id = 2;
		assert_int_equal(lk_db_get(s->db, T(COUNTER), &got, &got, NULL), LINKFS_ENOENT);
	}
	assert_int_equal(s->db->ops->savepoint(s->db), 0);
	assert_int_equal(lk_db_insert(s->db, T(COUNTER), &b), 0);
	assert_int_equal(s->db->ops->release(s->db), 0);
	assert_int_equal(s->db->ops->commit(s->db), 0);
	assert_int_equal(lk_db_get(s->db, T(COUNTER), &got, &got, NULL), 0);
	assert_int_equal(got.value, 2);
}

static void run_in_child_and_die(struct state *s, void (*work)(struct state *))
{
	lk_db_close(s->db);
	s->db = NULL;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		s->db = open_db(s->dir, 0);
		work(s);
		_exit(0);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	s->db = open_db(s->dir, 0);
}

static void commit_one_of_two(struct state *s)
{
	struct lk_counter a = {.id = 1, .value = 11}, b = {.id = 2, .value = 22};
	if (s->db->ops->begin(s->db) || lk_db_put(s->db, T(COUNTER), &a) || s->db->ops->commit(s->db) ||
	    s->db->ops->begin(s->db) || lk_db_put(s->db, T(COUNTER), &b))
		_exit(1);
}

static void what_was_committed_survives_a_crash(void **in)
{
	struct state *s = *in;
	struct lk_counter got = {.id = 1};
	run_in_child_and_die(s, commit_one_of_two);
	assert_int_equal(lk_db_get(s->db, T(COUNTER), &got, &got, NULL), 0);
	assert_int_equal(got.value, 11);
	got.id = 2;
	assert_int_equal(lk_db_get(s->db, T(COUNTER), &got, &got, NULL), LINKFS_ENOENT);
}

/* The contract's answer where the host allows nobody beside the owner. */
static void check_alone(struct state *s)
{
	struct lk_db *reader = NULL;
	assert_int_equal(s->db->ops->checkpoint(s->db, false), LINKFS_EAGAIN);
	assert_int_equal(s->db->ops->checkpoint(s->db, true), 0);
	assert_int_equal(lk_db_open_sqlite(s->dir, LK_DB_READONLY, &reader, NULL), LINKFS_EBUSY);
}

static void readers_see_committed_state(void **in)
{
	struct state *s = *in;
	if (exclusive) {
		check_alone(s);
		return;
	}
	struct lk_db *reader = open_db(s->dir, LK_DB_READONLY);
	struct lk_counter a = {.id = 1, .value = 1}, got = {.id = 1};
	assert_int_equal(s->db->ops->begin(s->db), 0);
	assert_int_equal(lk_db_put(s->db, T(COUNTER), &a), 0);
	assert_int_equal(lk_db_get(reader, T(COUNTER), &got, &got, NULL), LINKFS_ENOENT);
	assert_int_equal(s->db->ops->commit(s->db), 0);
	assert_int_equal(lk_db_get(reader, T(COUNTER), &got, &got, NULL), 0);
	/* One state from begin on, whatever is committed and checkpointed meanwhile. */
	assert_int_equal(reader->ops->begin(reader), 0);
	assert_int_equal(lk_db_get(reader, T(COUNTER), &got, &got, NULL), 0);
	for (int64_t i = 2; i < 50; i++) {
		a.value = i;
		assert_int_equal(s->db->ops->begin(s->db), 0);
		assert_int_equal(lk_db_put(s->db, T(COUNTER), &a), 0);
		assert_int_equal(s->db->ops->commit(s->db), 0);
		assert_int_equal(s->db->ops->checkpoint(s->db, i & 1), 0);
		assert_int_equal(lk_db_get(reader, T(COUNTER), &got, &got, NULL), 0);
		assert_int_equal(got.value, 1);
	}
	assert_int_equal(reader->ops->rollback(reader), 0);
	assert_int_equal(lk_db_get(reader, T(COUNTER), &got, &got, NULL), 0);
	assert_int_equal(got.value, 49);
	assert_int_equal(reader->ops->begin(reader), 0);
	assert_int_equal(lk_db_put(reader, T(COUNTER), &a), LINKFS_EROFS);
	assert_int_equal(reader->ops->reserve(reader, 1, true), LINKFS_EROFS);
	assert_int_equal(reader->ops->checkpoint(reader, true), LINKFS_EROFS);
	assert_int_equal(reader->ops->commit(reader), 0);
	lk_db_close(reader);
}

static void usage_counts(void **in)
{
	struct state *s = *in;
	struct lk_db_usage a, b;
	uint8_t block[2000] = {1};
	assert_int_equal(s->db->ops->usage(s->db, &a), 0);
	assert_int_equal(a.page_size, 4096);
	assert_int_equal(s->db->ops->begin(s->db), 0);
	for (int64_t i = 1; i <= 100; i++) {
		struct lk_inline x = {.ino = i, .content = {block, sizeof(block)}};
		assert_int_equal(s->db->ops->reserve(s->db, 8, false), 0);
		assert_int_equal(lk_db_put(s->db, T(INLINE), &x), 0);
	}
	assert_int_equal(s->db->ops->commit(s->db), 0);
	assert_int_equal(s->db->ops->usage(s->db, &b), 0);
	assert_true(b.pages >= a.pages + 50);
	assert_true(b.wal_bytes >= a.wal_bytes + 50 * 4096);
	assert_int_equal(s->db->ops->checkpoint(s->db, true), 0);
	assert_int_equal(s->db->ops->begin(s->db), 0);
	for (int64_t i = 1; i <= 100; i++) {
		struct lk_inline x = {.ino = i};
		assert_int_equal(lk_db_erase(s->db, T(INLINE), &x), 0);
	}
	assert_int_equal(s->db->ops->commit(s->db), 0);
	struct lk_db_usage c;
	assert_int_equal(s->db->ops->usage(s->db, &c), 0);
	assert_int_equal(c.pages, b.pages);
	assert_true(c.free_pages >= a.free_pages + 48);
	assert_true(c.wal_bytes < b.wal_bytes);
}

/* ---- random operations against the model -------------------------------------------------------------------------------- */

static const enum lk_table_id model_tables[] = {LK_T_INODE,      LK_T_DIRENT,     LK_T_XATTR,
						LK_T_BIND,       LK_T_COMPONENT,  LK_T_INLINE,
						LK_T_DIRENT_OLD, LK_T_EXTENT_OLD, LK_T_XATTR_OLD};

static void random_scan(struct state *s, struct model *m, const struct lk_table *table, const void *from)
{
	struct lk_scan scan = {.table = table, .from = from};
	scan.index = (int)lk_test_below(&s->random, table->index_count + 1u) - 1;
	uint8_t most = table->key_count;
	if (scan.index >= 0) {
		/* index columns and the key columns that are not among them */
		const struct lk_index *index = &table->indexes[scan.index];
		most = index->column_count;
		for (uint8_t k = 0; k < table->key_count; k++)
			most = (uint8_t)(most + !memchr(index->columns, k, index->column_count));
	}
	scan.equal = (uint8_t)lk_test_below(&s->random, most + 1u);
	scan.ranged = (uint8_t)lk_test_below(&s->random, most - scan.equal + 1u);
	scan.exclusive = lk_test_below(&s->random, 2);
	scan.reverse = lk_test_below(&s->random, 2);
	scan.keys_only = lk_test_below(&s->random, 4) == 0;
	if (lk_test_below(&s->random, 2))
		scan.also = (uint32_t)lk_test_below(&s->random, UINT64_C(1) << table->column_count);
	scan.limit = lk_test_below(&s->random, 3) ? 0 : 1 + (uint32_t)lk_test_below(&s->random, 5);
	/* Of several numbers at once: the record's own and some beside it. */
	const struct lk_column *first =
		&table->columns[scan.index >= 0 ? table->indexes[scan.index].columns[0] : (uint8_t)0];
	int64_t among[4], number = first->type == LK_INT ? *lk_int_of(first, from) : INT64_MAX;
	if (lk_test_below(&s->random, 3) == 0 && number < INT64_MAX - 20) {
		scan.equal = 1;
		scan.ranged = 0;
		scan.exclusive = scan.reverse = false;
		scan.among = among;
		for (; scan.among_count < 1 + lk_test_below(&s->random, LK_ARRAY_LEN(among));
		     number += 1 + (int64_t)lk_test_below(&s->random, 3))
			among[scan.among_count++] = number;
	}
	model_check_scan(m, s->db, &scan);
}

static void random_operation(struct state *s, struct model *m)
{
	const struct lk_table *table = &lk_tables[model_tables[lk_test_below(&s->random, LK_ARRAY_LEN(model_tables))]];
	uint64_t record[LK_RECORD_MAX / 8] = {0};
	s->bytes.len = 0;
	model_random(&s->random, table, true, 9000, record, &s->bytes);
	struct model_row *row = model_find(m, table, record);
	int64_t to = 0;
	switch (lk_test_below(&s->random, 8)) {
	case 0:
	case 1:
		assert_int_equal(lk_db_put(s->db, table, record), 0);
		model_put(m, table, record);
		break;
	case 2:
		assert_int_equal(lk_db_insert(s->db, table, record), row ? LINKFS_EEXIST : 0);
		if (!row)
			model_put(m, table, record);
		break;
	case 3:
		assert_int_equal(lk_db_erase(s->db, table, record), row ? 0 : LINKFS_ENOENT);
		if (row)
			model_erase(m, table, record);
		break;
	case 4:
		if (row)
			check_get(s, table, row->record);
		break;
	case 5:
		if (table->columns[1].type == LK_INT)
			to = *lk_int_of(&table->columns[1], record);
		model_clear(m, s->db, table, record, to);
		break;
	case 6:
		model_check_nth(m, s->db, table, record, (uint32_t)lk_test_below(&s->random, 4));
		break;
	default:
		random_scan(s, m, table, record);
		break;
	}
}

static void random_transaction(struct state *s, struct model *m)
{
	struct model before = {0};
	model_copy(m, &before);
	assert_int_equal(s->db->ops->begin(s->db), 0);
	for (uint64_t i = lk_test_below(&s->random, 12); i > 0; i--) {
		struct model saved = {0};
		model_copy(m, &saved);
		assert_int_equal(s->db->ops->savepoint(s->db), 0);
		for (uint64_t k = lk_test_below(&s->random, 8); k > 0; k--)
			random_operation(s, m);
		if (lk_test_below(&s->random, 4) == 0) {
			assert_int_equal(s->db->ops->undo(s->db), 0);
			model_done(m);
			*m = saved;
			continue;
		}
		assert_int_equal(s->db->ops->release(s->db), 0);
		model_done(&saved);
	}
	if (lk_test_below(&s->random, 5) == 0) {
		assert_int_equal(s->db->ops->rollback(s->db), 0);
		model_done(m);
		*m = before;
		return;
	}
	assert_int_equal(s->db->ops->commit(s->db), 0);
	model_done(&before);
}

static void random_operations_agree_with_the_model(void **in)
{
	struct state *s = *in;
	struct model m = {0};
	for (int i = 0; i < 250; i++) {
		random_transaction(s, &m);
		switch (lk_test_below(&s->random, 10)) {
		case 0:
			assert_int_equal(s->db->ops->checkpoint(s->db, true), 0);
			break;
		case 1:
			assert_int_equal(s->db->ops->checkpoint(s->db, false), exclusive ? LINKFS_EAGAIN : 0);
			break;
		case 2:
			reopen(s, 0);
			break;
		default:
			break;
		}
		if (i % 10 == 0)
			model_check_all(&m, s->db);
	}
	model_check_all(&m, s->db);
	model_done(&m);
}

int main(int argc, char **argv)
{
	behind_fault = argc > 1 && strcmp(argv[1], "fault") == 0;
	exclusive = argc > 1 && strcmp(argv[1], "exclusive") == 0;
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_table_every_operation),
		TEST(bytes_of_every_length),
		TEST(get_may_read_into_its_key),
		TEST(writes_need_a_transaction),
		TEST(a_scan_stops_when_told),
		TEST(undo_takes_back_to_the_savepoint),
		TEST(what_was_committed_survives_a_crash),
		TEST(readers_see_committed_state),
		TEST(usage_counts),
		TEST(random_operations_agree_with_the_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
