/*
 * world.c - see world.h.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

struct linkfs_volume *v;

static char *top;
static char path[4096];

static void open_it(void)
{
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
}

int world_setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777, .limit_bytes = 16 << 20};
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	OK(linkfs_volume_create(path, &o, NULL));
	open_it();
	return 0;
}

int world_teardown(void **state)
{
	(void)state;
	OK(linkfs_volume_close(v));
	lk_test_rmdir(top);
	return 0;
}

void world_reopen(void)
{
	OK(linkfs_volume_close(v));
	open_it();
}

void world_recover(void)
{
	struct linkfs_recover_result got;
	struct linkfs_message why = {""};
	char new_path[4200];
	(void)snprintf(new_path, sizeof(new_path), "%s-recovered", path);
	OK(linkfs_volume_close(v));
	if (linkfs_recover(path, new_path, NULL, &got, &why))
		fail_msg("recover: %s", why.text);
	(void)snprintf(path, sizeof(path), "%.4000s", new_path);
	open_it();
}

static int say(void *arg, const struct linkfs_finding *found)
{
	(void)arg;
	printf("# %s\n", found->text);
	return 0;
}

void world_check(void)
{
	struct linkfs_check_options o = {.finding = say};
	struct linkfs_check_summary sum = {0};
	struct linkfs_message why = {""};
	OK(linkfs_volume_check(v, &o, &sum, &why));
	assert_int_equal(sum.problems, 0);
}

void make_dir(const char *name)
{
	OK(linkfs_path_make(v, NULL, ROOT, name, &(struct linkfs_make){.mode = S_IFDIR | 0777}, NULL));
}

void put(const char *name, const char *text)
{
	struct linkfs_file *file;
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
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

int track(const char *target, const char *link, uint32_t flags)
{
	return linkfs_path_track(v, NULL, ROOT, target, ROOT, link, flags, NULL);
}

int move(const char *from, const char *to, uint32_t flags)
{
	return linkfs_path_rename(v, NULL, ROOT, from, ROOT, to, flags);
}

const char *text_of(const char *link)
{
	static char texts[2][LINKFS_PATH_MAX];
	static int turn;
	char *text = texts[turn ^= 1];
	size_t len;
	int r = linkfs_path_readlink(v, NULL, ROOT, link, text, LINKFS_SYMLINK_MAX, &len);
	if (r)
		fail_msg("%s: %s", link, linkfs_error_name(r));
	text[len] = 0;
	assert_int_equal(status(link).size, len);
	return text;
}

uint64_t leads_to(const char *link)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, ROOT, link, 0, &st);
	if (r && r != LINKFS_ENOENT && r != LINKFS_ENOTDIR && r != LINKFS_ELOOP)
		fail_msg("%s: %s", link, linkfs_error_name(r));
	return r ? 0 : st.ino;
}

void assert_link(const char *link, const char *text, const char *target)
{
	assert_string_equal(text_of(link), text);
	assert_int_equal(leads_to(link), target ? status(target).ino : 0);
}
