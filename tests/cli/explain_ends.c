/*
 * explain_ends.c VOLUME MOUNTED_AT UID GID - the ends of the walks of the paths on standard input, which are ended by NUL: an inode number
 * or a negative errno each, by linkfs_path_explain() with that user's credential.
 */
#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>

static int on_step(void *arg, const struct linkfs_step *step)
{
	long long *end = arg;
	if (step->kind == LINKFS_STEP_END)
		*end = step->error ? step->error : (long long)step->stat.ino;
	return 0;
}

int main(int argc, char **argv)
{
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_READONLY};
	struct linkfs_volume *volume;
	char *path = NULL;
	size_t size = 0;
	if (argc != 5 || linkfs_volume_open(argv[1], &options, &volume, NULL) != 0)
		return 1;
	struct linkfs_links_options how = {.mounted_at = argv[2]};
	struct linkfs_cred cred = {.uid = (uint32_t)strtoul(argv[3], NULL, 10),
				   .gid = (uint32_t)strtoul(argv[4], NULL, 10)};
	while (getdelim(&path, &size, 0, stdin) > 0) {
		long long end = 0;
		int error = linkfs_path_explain(volume, &cred, LINKFS_ROOT_INO, path, 0, &how, on_step, &end);
		printf("%lld\n", error ? -1000000 + error : end);
	}
	free(path);
	return linkfs_volume_close(volume) != 0;
}
