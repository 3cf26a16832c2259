/*
 * backup_estimate.c - how many files there are: counted beside a backup that nobody can tell of how long it takes, because it is the first one,
 * and only where progress is shown. Directories are listed, files are not looked at; see backup.h.
 */
#include "backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 200 /* descriptors; what lies deeper is not counted */

static uint64_t count_dir(struct backup *b, int fd, uint64_t dev, unsigned depth);

static uint64_t count_below(struct backup *b, int dir, const char *name, uint64_t dev, unsigned depth)
{
	struct copy_stat st;
	if (backup_look(dir, name, &st) != 0 || backup_is_own(b, &st) ||
	    (st.dev != dev && (b->one_fs || backup_is_pseudo(dir, name))))
		return 0;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
	if (fd < 0)
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : count_dir(b, fd, st.dev, depth + 1);
}

/* Closes fd. */
static uint64_t count_dir(struct backup *b, int fd, uint64_t dev, unsigned depth)
{
	DIR *stream = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
	uint64_t count = 0;
	if (!stream) {
		close(fd);
		return 0;
	}
	for (struct dirent *e; !atomic_load(&b->counting_ends) && (e = readdir(stream));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type == DT_DIR)
			count += count_below(b, dirfd(stream), e->d_name, dev, depth);
		else
			count++;
	}
	closedir(stream);
	return count;
}

static void *count_all(void *arg)
{
	struct backup *b = arg;
	uint64_t count = 0;
	for (size_t i = 0; i < b->nsources; i++) {
		int fd = openat(b->sources[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			count += count_dir(b, fd, b->sources[i].st.dev, 0);
	}
	if (!atomic_load(&b->counting_ends))
		atomic_store(&b->expected, count);
	return NULL;
}

void backup_estimate_begin(struct backup *b)
{
	if (!b->cli->err_tty || b->quiet || atomic_load(&b->expected))
		return;
	b->counting = pthread_create(&b->counter, NULL, count_all, b) == 0;
}

void backup_estimate_end(struct backup *b)
{
	atomic_store(&b->counting_ends, true);
	if (b->counting)
		pthread_join(b->counter, NULL);
	b->counting = false;
}
