/*
 * one_volume.c - see one_volume.h.
 */
#include "one_volume.h"

#include <stdio.h>
#include <string.h>

struct linkfs_volume *v;
char volume_path[4096];
static char *top;

void volume_open(void)
{
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(volume_path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
}

int volume_setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777, .limit_bytes = 16 << 20};
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(volume_path, sizeof(volume_path), "%s/volume", top);
	OK(linkfs_volume_create(volume_path, &o, NULL));
	volume_open();
	return 0;
}

int volume_teardown(void **state)
{
	(void)state;
	OK(linkfs_volume_close(v));
	lk_test_rmdir(top);
	return 0;
}

void reopen(void)
{
	OK(linkfs_volume_close(v));
	volume_open();
}

static int found(void *arg, const struct linkfs_finding *finding)
{
	(void)arg;
	print_message("# %s: %s\n", finding->problem->id, finding->text);
	return 0;
}

void check(void)
{
	struct linkfs_check_options o = {.flags = LINKFS_CHECK_DATA, .finding = found};
	struct linkfs_check_summary sum = {0};
	struct linkfs_message why = {""};
	OK(linkfs_volume_check(v, &o, &sum, &why));
	assert_int_equal(sum.problems, 0);
}

void put(const char *name, const char *text)
{
	struct linkfs_file *file;
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_TRUNC, 0644, &file));
	OK(linkfs_file_write(file, 0, text, strlen(text), NULL));
	linkfs_file_close(file);
}

struct linkfs_stat status(const char *name)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, ROOT, name, LINKFS_NOFOLLOW, &st);
	if (r)
		fail_msg("%s: %s", name, linkfs_error_name(r));
	return st;
}

void same_text(const char *path, const char *want)
{
	struct linkfs_file *file;
	char buf[256];
	size_t n = 0;
	OK(linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_READ, 0, &file));
	OK(linkfs_file_read(file, 0, buf, sizeof(buf), &n));
	linkfs_file_close(file);
	assert_int_equal(n, strlen(want));
	assert_memory_equal(buf, want, n);
}

void make_dir(const char *name)
{
	int r = linkfs_path_make(v, NULL, ROOT, name, &(struct linkfs_make){.mode = S_IFDIR | 0777}, NULL);
	if (r)
		fail_msg("mkdir %s: %s", name, linkfs_error_name(r));
}
