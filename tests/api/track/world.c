/*
 * world.c - see world.h.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

void world_recover(void)
{
	struct linkfs_recover_result got;
	struct linkfs_message why = {""};
	char new_path[4200];
	(void)snprintf(new_path, sizeof(new_path), "%s-recovered", volume_path);
	OK(linkfs_volume_close(v));
	if (linkfs_recover(volume_path, new_path, NULL, &got, &why))
		fail_msg("recover: %s", why.text);
	(void)snprintf(volume_path, sizeof(volume_path), "%.4000s", new_path);
	if (linkfs_volume_open(volume_path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
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

unsigned texts_told;

void count_texts(void *arg, const struct linkfs_event *events, size_t count)
{
	(void)arg;
	for (size_t i = 0; i < count; i++)
		texts_told += events[i].kind == LINKFS_EVENT_TEXTS;
}
