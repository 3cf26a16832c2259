/*
 * test_log.c - recovery with a write-ahead log: what was committed and not yet moved into the database counts, what SQLite would
 * not apply does not, and damage in the middle of the log costs no more than the damaged pages.
 */
#include "damage.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfs_sum.h>

#define HEADER 32u
#define FRAME (24u + PAGE)

static char *join(const char *dir, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		fail_msg("out of memory");
	return path;
}

/* Runs fn on the volume in a process that ends without closing it. */
static void in_child(const char *path, void (*fn)(struct linkfs_volume *))
{
	fflush(stdout);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct linkfs_open_options options = {.commit_interval_ms = 3600000};
		struct linkfs_volume *v;
		if (linkfs_volume_open(path, &options, &v, NULL))
			_exit(1);
		fn(v);
		_exit(0);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void make_file(struct linkfs_volume *v, const char *name, size_t len)
{
	static uint8_t content[100000];
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_stat st;
	memset(content, name[0], sizeof(content));
	if (linkfs_path_make(v, NULL, LINKFS_ROOT_INO, name, &how, &st) ||
	    linkfs_node_write(v, NULL, st.ino, 0, content, len, 0, NULL, NULL))
		_exit(2);
}

/* A dozen commits, each of a few files. */
static void commits(struct linkfs_volume *v)
{
	char name[32];
	for (unsigned i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "%c-late-%u", 'a' + (int)(i % 26), i);
		make_file(v, name, i % 3 ? 9000 : 700);
		if (i % 5 == 4 && linkfs_volume_sync(v))
			_exit(3);
	}
	tree_thin(v, 60);
	if (linkfs_volume_sync(v))
		_exit(3);
	/* The last commit gives nothing back: blocks that one frees are given to the host once it is durable. */
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "last-%u", i);
		make_file(v, name, 3000);
	}
	if (linkfs_volume_sync(v))
		_exit(3);
}

static void unlink_open_file(struct linkfs_volume *v)
{
	struct linkfs_stat st;
	make_file(v, "victim", 50000);
	if (linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, "victim", 0, &st) || linkfs_node_hold(v, st.ino) ||
	    linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "victim") || linkfs_volume_sync(v))
		_exit(4);
}

/* The tree as SQLite and the library see it: of a copy, because that writes. */
static void truth(const char *path, struct tree *out)
{
	char *copy = join(path, "../truth");
	volume_copy(path, copy);
	tree_of(copy, out);
	lk_test_rmdir(copy);
}

static void recovered(const char *path, struct report *report, struct tree *out)
{
	char *to = join(path, "../new");
	int r = recover(path, to, report);
	if (r)
		fail_msg("recover: %s: %s", linkfs_error_name(r), report->why.text);
	tree_of(to, out);
	lk_test_rmdir(to);
}

static void expect_truth(const char *path, bool complete)
{
	struct tree was, is;
	struct report report;
	truth(path, &was);
	recovered(path, &report, &is);
	printf("# %llu frames of the log, %zu names\n", (unsigned long long)report.result.log_frames, was.len);
	tree_same(&was, &is);
	assert_int_equal(report.result.complete, complete);
	tree_done(&was);
	tree_done(&is);
	report_done(&report);
}

static void committed_content_counts(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 1);
	in_child(path, commits);
	expect_truth(path, true);
	free(path);
	lk_test_rmdir(dir);
}

static void unlinked_files_do_not_come_back(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 30, 1);
	in_child(path, unlink_open_file);
	expect_truth(path, true);
	free(path);
	lk_test_rmdir(dir);
}

static size_t frames_in_use(const char *path)
{
	struct report report;
	assert_int_equal(recover(path, NULL, &report), 0);
	size_t frames = (size_t)report.result.log_frames;
	report_done(&report);
	assert_true(frames > 40);
	return frames;
}

/* The last commit torn by a power cut: the state is that of the one before, as SQLite has it. */
static void a_torn_end_is_no_damage(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 1);
	struct file_image log;
	in_child(path, commits);
	size_t frames = frames_in_use(path);
	image_read(path, "meta.db-wal", &log);
	for (size_t back = 1; back <= 3; back++) {
		/* Only what lies in this frame is lost; those after it, of the same commit, are there. */
		memset(log.p + HEADER + (frames - back) * FRAME + 24 + 1024, 0x5a, 512); /* a sector */
		image_write(path, "meta.db-wal", &log);
		expect_truth(path, true);
	}
	image_done(&log);
	free(path);
	lk_test_rmdir(dir);
}

static void damage_in_the_middle(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 1);
	struct lk_test_random random = {lk_test_seed()};
	struct tree was, is;
	struct file_image log;
	struct report report;
	struct difference d;
	unsigned files = 0, tried = 0;
	in_child(path, commits);
	size_t frames = frames_in_use(path);
	truth(path, &was);
	image_read(path, "meta.db-wal", &log);
	for (size_t i = 0; i < frames / 2; i += 3) {
		uint8_t kept[PAGE], *p = log.p + HEADER + i * FRAME + 24;
		memcpy(kept, p, PAGE);
		for (size_t b = 0; b < PAGE; b++)
			p[b] = (uint8_t)lk_test_next(&random);
		image_write(path, "meta.db-wal", &log);
		recovered(path, &report, &is);
		tree_compare(&was, &is, &report, &d);
		if (d.silent || d.extra || !report.result.log_damaged)
			fail_msg("frame %zu: %u silent, %u extra", i, d.silent, d.extra);
		assert_true(d.files <= 100);
		files += d.files;
		tried++;
		tree_done(&is);
		report_done(&report);
		memcpy(p, kept, PAGE);
	}
	printf("# %u frames of %zu destroyed one by one: %u files touched in all\n", tried, frames, files);
	assert_true(files < tried * 10);
	image_done(&log);
	tree_done(&was);
	free(path);
	lk_test_rmdir(dir);
}

/* Its header gone: the frames are still there. With zeros there it looks as if it were done with; that it is not shows. */
static void a_log_without_its_header(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 1);
	struct tree was, is;
	struct file_image log;
	struct report report;
	in_child(path, commits);
	truth(path, &was);
	image_read(path, "meta.db-wal", &log);
	for (int step = 0; step < 2; step++) {
		memset(log.p, step ? 0 : 0x5a, HEADER);
		image_write(path, "meta.db-wal", &log);
		recovered(path, &report, &is);
		if (!step)
			tree_same(&was, &is);
		assert_true(report.result.log_damaged);
		assert_false(report.result.complete);
		tree_done(&is);
		report_done(&report);
	}
	image_done(&log);
	tree_done(&was);
	free(path);
	lk_test_rmdir(dir);
}

static void sql(const char *path, const char *text)
{
	char *file = join(path, "meta.db"), *message = NULL;
	sqlite3 *handle = NULL;
	assert_int_equal(sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	if (sqlite3_exec(handle, text, NULL, NULL, &message))
		fail_msg("%s: %s", text, message);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	free(file);
}

/* Long operations that a crash cut off are finished, as the next opening would. */
static void intents_are_finished(void **state)
{
	(void)state;
	static const char *const cuts[] = {
		("INSERT INTO intent SELECT 2 << 48 | ino, 2, ino, 2, 9 FROM inode WHERE ino ="
		 " (SELECT ino FROM extent WHERE codec = 0 AND count > 12 LIMIT 1)"),
		("INSERT INTO intent SELECT 1 << 48 | ino, 1, ino, 0, 0 FROM inode WHERE ino ="
		 " (SELECT ino FROM extent WHERE codec = 0 AND count > 12 LIMIT 1);"
		 "UPDATE inode SET size = 9000, flags = flags | 128 WHERE ino IN (SELECT ino FROM intent)"),
	};
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 1);
		struct tree before, after;
		truth(path, &before);
		sql(path, cuts[i]);
		truth(path, &after);
		unsigned changed = 0;
		for (size_t n = 0; n < before.len; n++)
			changed += before.p[n].content != after.p[n].content;
		assert_true(changed >= 1 && changed <= 2); /* it may have a second name */
		tree_done(&before);
		tree_done(&after);
		expect_truth(path, true);
		free(path);
		lk_test_rmdir(dir);
	}
}

/* What a closed volume leaves in its log is as good as the database: every page of it may go. */
static void the_leftovers_stand_in(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 1);
	struct tree was, is;
	struct file_image db;
	struct report report;
	truth(path, &was);
	image_read(path, "meta.db", &db);
	memset(db.p, 0, db.len);
	image_write(path, "meta.db", &db);
	recovered(path, &report, &is);
	tree_same(&was, &is);
	image_done(&db);
	tree_done(&was);
	tree_done(&is);
	report_done(&report);
	free(path);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(committed_content_counts), cmocka_unit_test(unlinked_files_do_not_come_back),
		cmocka_unit_test(a_torn_end_is_no_damage),  cmocka_unit_test(damage_in_the_middle),
		cmocka_unit_test(a_log_without_its_header), cmocka_unit_test(intents_are_finished),
		cmocka_unit_test(the_leftovers_stand_in),
	};
	return cmocka_run_group_tests_name("recover-log", tests, NULL, NULL);
}
