/*
 * user.c - the smallest program that uses an installed linkfs: makes a volume, a name in it, and reads it back.
 * abi.sh compiles it against the installed headers, shared and static.
 */
#include <linkfs.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct linkfs_message why = {""};
	struct linkfs_volume *volume;
	struct linkfs_stat made, found;
	if (argc != 2)
		return 2;
	if (linkfs_volume_create(argv[1], NULL, &why) || linkfs_volume_open(argv[1], NULL, &volume, &why)) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	struct linkfs_make how = {.mode = 0644};
	int r = linkfs_path_make(volume, NULL, LINKFS_ROOT_INO, "a", &how, &made);
	if (!r)
		r = linkfs_path_link(volume, NULL, LINKFS_ROOT_INO, "a", LINKFS_ROOT_INO, "b", 0);
	if (!r)
		r = linkfs_path_stat(volume, NULL, LINKFS_ROOT_INO, "b", 0, &found);
	if (!r && (found.ino != made.ino || found.nlink != 2))
		r = LINKFS_EIO;
	int closed = linkfs_volume_close(volume);
	if (!r)
		r = closed;
	printf("%s %s\n", linkfs_version(), linkfs_error_name(r));
	return r ? 1 : 0;
}
