/*
 * mount_none.c - include/linkfs_mount.h where this build has no FUSE: every call says so.
 * Layer: fuse; linked instead of the others.
 */
#include <linkfs_mount.h>
#include <stdio.h>

static int refuse(struct linkfs_message *why)
{
	if (why)
		snprintf(why->text, sizeof(why->text),
			 "this linkfs was built without FUSE and cannot mount; commands on VOLUME:/path work, and so "
			 "does "
			 "the library");
	return LINKFS_ENOSYS;
}

int linkfs_mount_open(struct linkfs_volume *volume, const char *mount_point, const struct linkfs_mount_options *options,
		      struct linkfs_mount **out, struct linkfs_message *why)
{
	(void)volume;
	(void)mount_point;
	(void)options;
	(void)out;
	return refuse(why);
}

int linkfs_mount_serve(struct linkfs_mount *mount)
{
	(void)mount;
	return LINKFS_ENOSYS;
}

void linkfs_mount_stop(struct linkfs_mount *mount)
{
	(void)mount;
}

void linkfs_mount_close(struct linkfs_mount *mount)
{
	(void)mount;
}

int linkfs_mount_counter(struct linkfs_mount *mount, size_t i, struct linkfs_mount_counter *out)
{
	(void)mount;
	(void)i;
	(void)out;
	return LINKFS_ENOSYS;
}

int linkfs_mount_hand_over(struct linkfs_mount *mount)
{
	(void)mount;
	return LINKFS_ENOSYS;
}

int linkfs_unmount(const char *mount_point, int lazy, struct linkfs_message *why)
{
	(void)mount_point;
	(void)lazy;
	return refuse(why);
}
