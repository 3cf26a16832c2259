/*
 * two_volumes.c - see two_volumes.h.
 */
#include "two_volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct linkfs_volume *first, *second;
char second_path[4300];

int two_volumes_setup(void **state)
{
	int r = volume_setup(state);
	first = v;
	(void)snprintf(second_path, sizeof(second_path), "%s.second", volume_path);
	if (r == 0)
		r = linkfs_volume_create(second_path, &(struct linkfs_create_options){0}, NULL);
	return r ? r : linkfs_volume_open(second_path, &(struct linkfs_open_options){0}, &second, NULL);
}

int two_volumes_teardown(void **state)
{
	v = first;
	if (linkfs_volume_close(second) != 0)
		return 1;
	lk_test_rmdir(strdup(second_path));
	return volume_teardown(state);
}

uint64_t snapshot(const char *name)
{
	uint64_t id = 0;
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, &id));
	return id;
}

void arrives(uint64_t from, uint64_t to)
{
	struct stream_bytes stream = {0};
	struct linkfs_message why = {""};
	OK(stream_case_send(first, from, to, NULL, &stream));
	if (stream_case_receive(second, &stream, stream.len, 0, &why) != 0)
		fail_msg("%s", why.text);
	stream_case_free(&stream);
}

void same_trees(void)
{
	int error = 0;
	char *here = stream_case_text(first, ROOT, &error), *there = stream_case_text(second, ROOT, &error);
	assert_non_null(here);
	assert_non_null(there);
	assert_string_equal(here, there);
	free(here);
	free(there);
}
