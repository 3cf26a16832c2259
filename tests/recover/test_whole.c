/*
 * test_whole.c - recovery of volumes that are well: everything comes back, what was deleted does not, nothing is written to the
 * volume, and the calls that must be refused are.
 */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 150

static char *join(const char *dir, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		fail_msg("out of memory");
	return path;
}

static void expect_ok(int r, const struct report *report)
{
	if (r)
		fail_msg("recover: %s: %s", linkfs_error_name(r), report->why.text);
}

static void expect_complete(const struct report *report)
{
	for (size_t i = 0; i < report->len; i++)
		printf("# problem %d, inode %llu, %s\n", report->p[i].what, (unsigned long long)report->p[i].ino,
		       report->p[i].path);
	assert_int_equal(report->len, 0);
	assert_true(report->result.complete);
	assert_int_equal(report->result.doubtful + report->result.nameless + report->result.trees_damaged, 0);
}

/* Recovers path and compares. */
static void round_trip(const char *dir, const char *path)
{
	struct tree was, is;
	struct report report;
	char *to = join(dir, "new");
	tree_of(path, &was);
	expect_ok(recover(path, to, &report), &report);
	expect_complete(&report);
	tree_of(to, &is);
	tree_same(&was, &is);
	const struct linkfs_recover_result *r = &report.result;
	printf("# %llu directories, %llu files, %llu symlinks, %llu specials, %llu names, %llu bytes, %llu xattrs\n",
	       (unsigned long long)r->directories, (unsigned long long)r->files, (unsigned long long)r->symlinks,
	       (unsigned long long)r->specials, (unsigned long long)r->names, (unsigned long long)r->bytes,
	       (unsigned long long)r->xattrs);
	assert_int_equal(r->names, was.len - 1);
	tree_done(&was);
	tree_done(&is);
	report_done(&report);
	lk_test_rmdir(to);
}

static void everything_comes_back(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", FILES, lk_test_seed());
	round_trip(dir, path);
	free(path);
	lk_test_rmdir(dir);
}

static void label_and_limit_come_along(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = join(dir, "v"), *to = join(dir, "new");
	struct linkfs_create_options create = {.label = "photos", .limit_bytes = 64u << 20};
	struct linkfs_volume *v;
	struct linkfs_info was, is;
	struct report report;
	assert_int_equal(linkfs_volume_create(path, &create, NULL), 0);
	expect_ok(recover(path, to, &report), &report);
	expect_complete(&report);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, NULL), 0);
	assert_int_equal(linkfs_volume_info(v, &was), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(linkfs_volume_open(to, NULL, &v, NULL), 0);
	assert_int_equal(linkfs_volume_info(v, &is), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_string_equal(is.label, "photos");
	assert_int_equal(is.limit_bytes, 64u << 20);
	assert_memory_not_equal(is.uuid, was.uuid, 16); /* another volume */
	report_done(&report);
	free(to);
	free(path);
	lk_test_rmdir(dir);
}

/* Content that two files share is copied for each: a limit that it fitted below is raised. */
static void shared_content_has_room(void **state)
{
	(void)state;
	static uint8_t content[24u << 20];
	char *dir = lk_test_mkdir(), *path = join(dir, "v");
	struct linkfs_create_options create = {.limit_bytes = 32u << 20};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_volume *v;
	struct linkfs_stat a, b;
	uint64_t done = 0;
	memset(content, 0x42, sizeof(content));
	assert_int_equal(linkfs_volume_create(path, &create, NULL), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, NULL), 0);
	assert_int_equal(linkfs_path_make(v, NULL, 1, "/a", &how, &a), 0);
	assert_int_equal(linkfs_path_make(v, NULL, 1, "/b", &how, &b), 0);
	assert_int_equal(linkfs_node_write(v, NULL, a.ino, 0, content, sizeof(content), 0, NULL, NULL), 0);
	assert_int_equal(linkfs_node_copy_range(v, NULL, a.ino, 0, b.ino, 0, sizeof(content), &done), 0);
	assert_int_equal(done, sizeof(content));
	assert_int_equal(linkfs_volume_close(v), 0);
	round_trip(dir, path);
	free(path);
	lk_test_rmdir(dir);
}

static void deleted_files_stay_deleted(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", FILES, 5);
	struct linkfs_volume *v;
	assert_int_equal(linkfs_volume_open(path, NULL, &v, NULL), 0);
	tree_thin(v, FILES);
	assert_int_equal(linkfs_volume_close(v), 0);
	round_trip(dir, path);
	free(path);
	lk_test_rmdir(dir);
}

static void the_volume_is_only_read(void **state)
{
	(void)state;
	static const char *const names[] = {"meta.db", "meta.db-wal", "data.000000", "lock"};
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 60, 3), *to = join(dir, "new");
	struct file_image before[4], after;
	struct stat st[4], now, top;
	struct report list, report;
	for (int i = 0; i < 4; i++) {
		char *file = join(path, names[i]);
		image_read(path, names[i], &before[i]);
		assert_int_equal(stat(file, &st[i]), 0);
		free(file);
	}
	assert_int_equal(stat(path, &top), 0);
	expect_ok(recover(path, NULL, &list), &list);
	assert_int_equal(access(to, F_OK), -1);
	expect_ok(recover(path, to, &report), &report);
	assert_memory_equal(&list.result, &report.result, sizeof(list.result));
	for (int i = 0; i < 4; i++) {
		char *file = join(path, names[i]);
		image_read(path, names[i], &after);
		assert_int_equal(stat(file, &now), 0);
		assert_int_equal(after.len, before[i].len);
		assert_memory_equal(after.p, before[i].p, after.len);
		assert_true(now.st_mtim.tv_sec == st[i].st_mtim.tv_sec && now.st_mtim.tv_nsec == st[i].st_mtim.tv_nsec);
		image_done(&before[i]);
		image_done(&after);
		free(file);
	}
	assert_int_equal(stat(path, &now), 0);
	assert_true(now.st_mtim.tv_sec == top.st_mtim.tv_sec && now.st_mtim.tv_nsec == top.st_mtim.tv_nsec);
	report_done(&list);
	report_done(&report);
	free(to);
	free(path);
	lk_test_rmdir(dir);
}

static int stop(void *arg, enum linkfs_recover_phase phase, uint64_t done, uint64_t total)
{
	assert_true(done <= total);
	*(unsigned *)arg += phase == LINKFS_RECOVER_FILES;
	return *(unsigned *)arg == 10;
}

static void refused(const char *path, const char *to, int error, const char *says)
{
	struct report report;
	int r = recover(path, to, &report);
	if (r != error || !strstr(report.why.text, says))
		fail_msg("recover %s %s: %s: %s", path, to, linkfs_error_name(r), report.why.text);
	report_done(&report);
}

static void what_must_be_refused_is(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = volume_make(dir, "v", 30, 3), *to = join(dir, "new"),
	     *in = join(path, "in");
	struct linkfs_volume *v;
	struct stat st;
	unsigned count = 0;
	assert_int_equal(linkfs_volume_open(path, NULL, &v, NULL), 0);
	refused(path, to, LINKFS_ELOCKED, "in use by process");
	assert_int_equal(linkfs_volume_close(v), 0);
	refused(path, path, LINKFS_EEXIST, "exists");
	refused(path, dir, LINKFS_EEXIST, "exists");
	refused(path, in, LINKFS_EINVAL, "lies in the damaged volume");
	refused(dir, to, LINKFS_ENOTVOLUME, "not a linkfs volume");
	refused(to, to, LINKFS_ENOENT, "no directory");
	refused(path, "", LINKFS_EINVAL, "empty");
	/* Somebody reads it: nothing of his is in the way. */
	struct linkfs_open_options readonly = {.flags = LINKFS_OPEN_READONLY};
	struct report report;
	assert_int_equal(linkfs_volume_open(path, &readonly, &v, NULL), 0);
	expect_ok(recover(path, NULL, &report), &report);
	report_done(&report);
	assert_int_equal(linkfs_volume_close(v), 0);
	/* Interrupted, it leaves nothing. */
	struct linkfs_recover_options options = {.progress = stop, .arg = &count};
	assert_int_equal(linkfs_recover(path, to, &options, &report.result, NULL), LINKFS_EINTR);
	assert_int_equal(count, 10);
	assert_int_equal(stat(to, &st), -1);
	report_done(&report);
	free(in);
	free(to);
	free(path);
	lk_test_rmdir(dir);
}

static void names_at_lost_found_are_respected(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir(), *path = join(dir, "v");
	struct linkfs_volume *v;
	struct linkfs_make directory = {.mode = S_IFDIR | 0755}, file = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &v, NULL), 0);
	assert_int_equal(linkfs_path_make(v, NULL, 1, "/lost+found", &directory, &st), 0);
	assert_int_equal(linkfs_path_make(v, NULL, 1, "/lost+found/#7", &file, &st), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
	round_trip(dir, path);
	free(path);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(label_and_limit_come_along),
		cmocka_unit_test(shared_content_has_room),
		cmocka_unit_test(deleted_files_stay_deleted),
		cmocka_unit_test(the_volume_is_only_read),
		cmocka_unit_test(what_must_be_refused_is),
		cmocka_unit_test(names_at_lost_found_are_respected),
	};
	return cmocka_run_group_tests_name("recover-whole", tests, NULL, NULL);
}
