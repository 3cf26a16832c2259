/*
 * test_repair.c - what a repair brings back, keeps and refuses (F2): names at their own place, /lost+found, content; repairs that are
 * cut off; the copy; volumes that are open.
 */
#include "sample.h"

#include <file.h>
#include <fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <volume.h>

#define B LK_BLOCK_SIZE

static struct linkfs_volume *open_volume(const struct sample *s)
{
	struct linkfs_volume *v;
	struct linkfs_message why = {""};
	if (linkfs_volume_open(s->path, NULL, &v, &why))
		fail_msg("%s", why.text);
	return v;
}

static struct found f;

static void repair(const struct sample *s)
{
	sample_check(s, LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, &f);
	if (f.sum.left)
		fail_msg("%llu left:%s", (unsigned long long)f.sum.left, found_all(&f));
	static struct found again;
	sample_check(s, LINKFS_CHECK_DATA, &again);
	if (again.sum.problems)
		fail_msg("the second run finds:%s", found_all(&again));
}

static int64_t ino_at(struct linkfs_volume *v, const char *path)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, &st);
	return r ? 0 : (int64_t)st.ino;
}

static void assert_content(struct linkfs_volume *v, int64_t ino, size_t len, int seed)
{
	uint8_t *got = malloc(len + 1);
	size_t done = 0;
	assert_non_null(got);
	assert_int_equal(linkfs_node_read(v, (uint64_t)ino, 0, got, len + 1, &done), 0);
	assert_int_equal(done, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(got[i], (uint8_t)(seed + (int)(i / B) * 3 + (int)i));
	free(got);
}

/* Every path of the sample leads to its inode. */
static void assert_names(const struct sample *s)
{
	struct linkfs_volume *v = open_volume(s);
	const struct {
		const char *path;
		int64_t ino;
	} names[] = {{"sub", s->sub},       {"sub/deep", s->deep},   {"small", s->small},
		     {"sub/big", s->big},   {"empty", s->empty},     {"sub/deep/hard", s->big},
		     {"sparse", s->sparse}, {"copy", s->copy},       {"reserved", s->reserved},
		     {"sub/link", s->link}, {"changed", s->changed}, {"attributes", s->attributes}};
	for (size_t i = 0; i < LK_ARRAY_LEN(names); i++) {
		if (ino_at(v, names[i].path) != names[i].ino)
			fail_msg("%s is lost", names[i].path);
	}
	assert_int_equal(ino_at(v, "lost+found"), 0);
	assert_content(v, s->big, 10 * B, 2);
	assert_content(v, s->small, 100, 1);
	assert_int_equal(linkfs_volume_close(v), 0);
}

static void names_come_back_from_the_index(void **state)
{
	static const char *const damage[] = {"DELETE FROM dirent WHERE type=4", "DELETE FROM dirent WHERE type<>4",
					     "DELETE FROM dirent",
					     /* the index is right where the entry's hash is not its name's */
					     "UPDATE dirent SET name=x'6162' WHERE type=10",
					     "UPDATE dirent SET ino=ino+1, name=x'6162' WHERE ino=4"};
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(damage); i++) {
		struct sample s;
		sample_make(&s);
		sample_sql_beside(&s, "dirent_by_ino", damage[i]);
		repair(&s);
		assert_names(&s);
		sample_done(&s);
	}
}

/* The entry is right, and the index is not. */
static void entries_stay_where_the_index_is_wrong(void **state)
{
	struct sample s;
	(void)state;
	sample_make(&s);
	/* As after an index that lost half of itself. */
	sample_sql(&s, "CREATE TABLE keep AS SELECT * FROM dirent WHERE type=8; DELETE FROM dirent WHERE type=8");
	sample_sql_beside(&s, "dirent_by_ino", "INSERT INTO dirent SELECT * FROM keep; DROP TABLE keep");
	sample_check(&s, 0, &f);
	assert_true(found_id(&f, "index-differs") && found_id(&f, "name-unindexed"));
	repair(&s);
	assert_names(&s);
	sample_done(&s);
}

static void what_has_no_name_goes_to_lost_and_found(void **state)
{
	struct sample s;
	char path[64], number[40];
	struct linkfs_stat st;
	(void)state;
	sample_make(&s);
	/* With their index rows: no second copy. A directory with what is in it, and a file. */
	(void)snprintf(path, sizeof(path), "DELETE FROM dirent WHERE ino IN (%lld,%lld)", (long long)s.sub,
		       (long long)s.small);
	sample_sql(&s, path);
	repair(&s);
	struct linkfs_volume *v = open_volume(&s);
	assert_int_equal(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "lost+found", 0, &st), 0);
	assert_int_equal(st.mode, S_IFDIR | 0700);
	assert_int_equal(st.nlink, 3);
	(void)snprintf(number, sizeof(number), "lost+found/#%lld", (long long)s.small);
	assert_int_equal(ino_at(v, number), s.small);
	(void)snprintf(number, sizeof(number), "lost+found/#%lld/deep/hard", (long long)s.sub);
	assert_int_equal(ino_at(v, number), s.big);
	assert_content(v, s.big, 10 * B, 2);
	assert_content(v, s.small, 100, 1);
	assert_int_equal(linkfs_volume_close(v), 0);
	/* It is used again. */
	(void)snprintf(path, sizeof(path), "DELETE FROM dirent WHERE ino=%lld", (long long)s.copy);
	sample_sql(&s, path);
	repair(&s);
	v = open_volume(&s);
	(void)snprintf(number, sizeof(number), "lost+found/#%lld", (long long)s.copy);
	assert_int_equal(ino_at(v, number), s.copy);
	assert_int_equal(ino_at(v, "lost+found.1"), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	sample_done(&s);
}

/* The record of a file that a snapshot knew is made from history; one that nothing knows is root's. */
static void records_are_made_again(void **state)
{
	struct sample s;
	char sql[100];
	struct linkfs_stat st;
	(void)state;
	sample_make(&s);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM inode WHERE ino IN (%lld,%lld,%lld)", (long long)s.changed,
		       (long long)s.big, (long long)s.deep);
	sample_sql(&s, sql);
	repair(&s);
	struct linkfs_volume *v = open_volume(&s);
	assert_int_equal(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "changed", 0, &st), 0);
	assert_int_equal(st.mode, S_IFREG | 0644);
	assert_int_equal(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "sub/deep/hard", 0, &st), 0);
	assert_int_equal(st.mode, S_IFREG | 0600);
	assert_int_equal(st.nlink, 2);
	assert_int_equal(st.size, 10 * B);
	assert_content(v, s.big, 10 * B, 2);
	assert_int_equal(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "sub/deep", 0, &st), 0);
	assert_int_equal(st.mode, S_IFDIR | 0700);
	assert_int_equal(linkfs_volume_close(v), 0);
	sample_done(&s);
}

/* What is lost reads as zeros, and was told as a loss; what is not lost is there. */
static void lost_ranges_become_holes(void **state)
{
	struct sample s;
	char sql[100];
	uint8_t got[21 * B];
	size_t done;
	(void)state;
	sample_make(&s);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM extent WHERE ino=%lld AND file_block=20", (long long)s.sparse);
	sample_sql(&s, sql);
	sample_check(&s, 0, &f);
	assert_true(found_id(&f, "extent-short"));
	repair(&s);
	struct linkfs_volume *v = open_volume(&s);
	assert_int_equal(linkfs_node_read(v, (uint64_t)s.sparse, 0, got, sizeof(got), &done), 0);
	assert_int_equal(done, sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], i < 2 * B ? (uint8_t)(3 + (int)(i / B) * 3 + (int)i) : 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	sample_done(&s);
}

/* Snapshots still show what they saw. */
static void the_past_outlives_repair(void **state)
{
	struct sample s;
	char sql[100];
	uint8_t got[3 * B];
	size_t done;
	(void)state;
	sample_make(&s);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM dirent WHERE ino=%lld", (long long)s.changed);
	sample_sql(&s, sql);
	sample_sql(&s, "DELETE FROM shared; UPDATE grp SET used=0; UPDATE inode SET nlink=7 WHERE ino>2");
	repair(&s);
	struct linkfs_volume *v = open_volume(&s);
	assert_int_equal(lk_file_read(lk_volume_fs(v), s.snapshot, (uint64_t)s.changed, 0, got, sizeof(got), &done), 0);
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], (uint8_t)(5 + (int)(i / B) * 3 + (int)i));
	assert_int_equal(lk_file_read(lk_volume_fs(v), s.snapshot, (uint64_t)s.gone, 0, got, 2 * B, &done), 0);
	assert_int_equal(done, 2 * B);
	assert_int_equal(linkfs_volume_close(v), 0);
	sample_done(&s);
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(int *)arg;
	return 0;
}

static int names_in_history(const struct sample *s)
{
	struct lk_db *db = sample_edit(s);
	struct lk_scan scan = {.table = &lk_tables[LK_T_DIRENT_OLD], .index = LK_BY_KEY};
	int rows = 0;
	assert_int_equal(lk_db_scan(db, &scan, count_row, &rows), 0);
	sample_save(db);
	return rows;
}

/* What is taken away because it is wrong was wrong at the snapshot too: it does not go to history. */
static void snapshots_do_not_get_what_is_wrong(void **state)
{
	static const char *const damage[] = {
		"INSERT INTO dirent SELECT dir,hash,ord+7,ino,type,name,born FROM dirent WHERE type=10", /* twice */
		"UPDATE dirent SET ino=1,type=4 WHERE type=10",                                          /* the root */
		"UPDATE dirent SET dir=4 WHERE type=10",                                                 /* in a file */
	};
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(damage); i++) {
		struct sample s;
		sample_make(&s);
		int before = names_in_history(&s);
		sample_sql(&s, damage[i]);
		repair(&s);
		assert_int_equal(names_in_history(&s), before);
		sample_done(&s);
	}
}

/* A name whose file is lost now, and was there at the snapshot, is still the snapshot's. */
static void the_name_of_a_lost_file_stays_in_history(void **state)
{
	struct sample s;
	char sql[300];
	uint8_t got[3 * B];
	size_t done;
	(void)state;
	sample_make(&s);
	int before = names_in_history(&s);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM inode WHERE ino=%lld; DELETE FROM extent WHERE ino=%lld",
		       (long long)s.changed, (long long)s.changed);
	sample_sql(&s, sql);
	repair(&s);
	assert_int_equal(names_in_history(&s), before + 1);
	struct linkfs_volume *v = open_volume(&s);
	assert_int_equal(ino_at(v, "changed"), 0);
	assert_int_equal(lk_file_read(lk_volume_fs(v), s.snapshot, (uint64_t)s.changed, 0, got, sizeof(got), &done), 0);
	assert_int_equal(done, sizeof(got));
	assert_int_equal(got[B], (uint8_t)(5 + 3 + (int)B));
	assert_int_equal(linkfs_volume_close(v), 0);
	/* One that the snapshot does not know leaves nothing behind. */
	(void)snprintf(sql, sizeof(sql), "UPDATE dirent SET born=2 WHERE ino=%lld; DELETE FROM inode WHERE ino=%lld",
		       (long long)s.empty, (long long)s.empty);
	sample_sql(&s, sql);
	repair(&s);
	assert_int_equal(names_in_history(&s), before + 1);
	sample_done(&s);
}

/* ---- cut off ---------------------------------------------------------------------------------------------------------- */

static void damage_much(const struct sample *s)
{
	char sql[200];
	sample_sql_beside(s, "dirent_by_ino", "DELETE FROM dirent WHERE type=8");
	(void)snprintf(sql, sizeof(sql), "DELETE FROM dirent WHERE ino=%lld; DELETE FROM inode WHERE ino=%lld",
		       (long long)s->sub, (long long)s->copy);
	sample_sql(s, sql);
	sample_sql(s, "DELETE FROM shared; DELETE FROM grp; DELETE FROM component; UPDATE inode SET nlink=9;"
		      "DELETE FROM extent WHERE file_block=20; UPDATE counter SET value=1 WHERE id=3");
}

static int stop_at(void *arg, const struct linkfs_finding *finding)
{
	int *left = arg;
	(void)finding;
	return --*left <= 0;
}

/* Ended by its caller at each finding in turn: the next one goes on, and brings all to the same end. */
static void a_repair_that_was_cut_off_goes_on(void **state)
{
	(void)state;
	for (int n = 1, r = LINKFS_EINTR; r == LINKFS_EINTR; n += 3) {
		struct sample s;
		int left = n;
		struct linkfs_check_options options = {
			.flags = LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, .finding = stop_at, .arg = &left};
		sample_make(&s);
		damage_much(&s);
		r = linkfs_check(s.path, &options, NULL, NULL);
		assert_true(r == 0 || r == LINKFS_EINTR);
		repair(&s);
		struct linkfs_volume *v = open_volume(&s);
		assert_int_equal(ino_at(v, "small"), s.small);
		assert_int_equal(ino_at(v, "empty"), s.empty);
		assert_content(v, s.big, 10 * B, 2);
		assert_int_equal(linkfs_volume_close(v), 0);
		sample_done(&s);
	}
}

static int die_at(void *arg, const struct linkfs_finding *finding)
{
	int *left = arg;
	(void)finding;
	if (--*left <= 0)
		_exit(9);
	return 0;
}

/* Killed in the middle. */
static void a_repair_that_was_killed_goes_on(void **state)
{
	(void)state;
	for (int n = 1, status = 9 << 8; WEXITSTATUS(status) == 9; n += 7) {
		struct sample s;
		sample_make(&s);
		damage_much(&s);
		fflush(stdout);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			int left = n;
			struct linkfs_check_options options = {
				.flags = LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP, .finding = die_at, .arg = &left};
			_exit(linkfs_check(s.path, &options, NULL, NULL) ? 1 : 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		repair(&s);
		sample_done(&s);
	}
}

/* ---- open volumes -------------------------------------------------------------------------------------------------------- */

static void an_open_volume_is_checked_and_not_repaired(void **state)
{
	struct sample s;
	struct linkfs_message why = {""};
	struct linkfs_check_summary sum;
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA};
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_file *file;
	size_t done;
	(void)state;
	sample_make(&s);
	struct linkfs_volume *v = open_volume(&s);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "new", &how, NULL), 0);
	assert_int_equal(linkfs_file_open(v, NULL, LINKFS_ROOT_INO, "new", LINKFS_O_WRITE, 0, &file), 0);
	assert_int_equal(linkfs_file_write(file, 0, "abc", 3, &done), 0);
	/* Without a name, and open: in order. */
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "new"), 0);
	assert_int_equal(linkfs_volume_check(v, &options, &sum, &why), 0);
	assert_int_equal(sum.problems, 0);
	assert_true(sum.blocks > 0);
	linkfs_file_close(file);
	options.flags = LINKFS_CHECK_REPAIR;
	assert_int_equal(linkfs_volume_check(v, &options, &sum, &why), LINKFS_EBUSY);
	assert_true(why.text[0]);
	assert_int_equal(linkfs_check(s.path, &options, &sum, &why), LINKFS_ELOCKED);
	options.flags = 0;
	assert_int_equal(linkfs_check(s.path, &options, &sum, &why), LINKFS_ELOCKED);
	assert_int_equal(linkfs_volume_close(v), 0);
	options.flags = 1u << 30;
	assert_int_equal(linkfs_check(s.path, &options, &sum, &why), LINKFS_EINVAL);
	options.flags = LINKFS_CHECK_DROP_DATA;
	assert_int_equal(linkfs_check(s.path, &options, &sum, &why), LINKFS_EINVAL);
	sample_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_back_from_the_index),
		cmocka_unit_test(entries_stay_where_the_index_is_wrong),
		cmocka_unit_test(what_has_no_name_goes_to_lost_and_found),
		cmocka_unit_test(records_are_made_again),
		cmocka_unit_test(lost_ranges_become_holes),
		cmocka_unit_test(the_past_outlives_repair),
		cmocka_unit_test(snapshots_do_not_get_what_is_wrong),
		cmocka_unit_test(the_name_of_a_lost_file_stays_in_history),
		cmocka_unit_test(a_repair_that_was_cut_off_goes_on),
		cmocka_unit_test(a_repair_that_was_killed_goes_on),
		cmocka_unit_test(an_open_volume_is_checked_and_not_repaired),
	};
	return cmocka_run_group_tests_name("check-repair", tests, NULL, NULL);
}
