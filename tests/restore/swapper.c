/*
 * swapper.c - somebody with rights in a destination who turns everything in it into a way out, as fast as he can: test_attack.py restores
 * beside it. Picks entries at random; moves directories away and puts symlinks to another tree, or new directories, in their place; swaps files
 * for symlinks, hard links to a file of the other tree, FIFOs and directories. What was in a directory when it was moved away is written
 * beside it: nothing may come later.
 *
 *     swapper DEST OUTSIDE AWAY UID SEED       until SIGTERM; then it prints how many swaps of each kind succeeded
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum swap {
	DIR_FOR_LINK,
	DIR_FOR_LINK_AT_ONCE,
	DIR_FOR_DIR,
	DIR_RENAMED,
	FILE_FOR_LINK,
	FILE_FOR_NAME,
	FILE_FOR_FIFO,
	FILE_FOR_DIR,
	SWAPS
};
static const char *const words[SWAPS] = {"dir_for_link",  "dir_for_link_at_once", "dir_for_dir",   "dir_renamed",
					 "file_for_link", "file_for_name",        "file_for_fifo", "file_for_dir"};

static volatile sig_atomic_t stopped;
static const char *outside, *away;
static unsigned long counts[SWAPS], number;
static unsigned long long state;

static void on_term(int sig)
{
	(void)sig;
	stopped = 1;
}

static unsigned draw(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % below;
}

/* All that can be seen below an open directory, one path a line. */
static void list(int fd, const char *prefix, FILE *out)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		char path[1024];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s%s", prefix, e->d_name);
		int below = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		fprintf(out, "%s%s\n", path, below < 0 && errno == EACCES ? "/?" : "");
		if (below >= 0) {
			strncat(path, "/", sizeof(path) - strlen(path) - 1);
			list(below, path, out);
		}
	}
	closedir(dir);
}

static void record(const char *moved)
{
	char path[1100], done[1100];
	int fd = open(moved, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(path, sizeof(path), "%s.new", moved);
	snprintf(done, sizeof(done), "%s.list", moved);
	FILE *out = fopen(path, "w");
	if (!out) {
		close(fd);
		return;
	}
	list(fd, "", out);
	fclose(out);
	rename(path, done);
}

/* Somewhere in the other tree, mostly below the same name. */
static const char *aim(const char *name, char *buf, size_t size)
{
	static const char *const below[] = {"", "/d0", "/d0/e0", "/d1/e1", "/rootdir"};
	snprintf(buf, size, "%s%s%s%s", outside, below[draw(5)], draw(3) ? "/" : "", draw(3) ? name : "");
	return buf;
}

static int swap_dir(int dir, const char *name, enum swap what)
{
	char moved[1024], text[1024], other[64];
	snprintf(moved, sizeof(moved), "%s/%lu", away, ++number);
	snprintf(other, sizeof(other), ".old-%lu", number);
	aim(name, text, sizeof(text));
	if (what == DIR_RENAMED)
		return renameat(dir, name, dir, other) == 0 && symlinkat(text, dir, name) == 0 ? 0 : -1;
	int n = 0;
	if (what == DIR_FOR_LINK_AT_ONCE) {
		if (symlink(text, moved) != 0)
			return -1;
		n = renameat2(AT_FDCWD, moved, dir, name, RENAME_EXCHANGE);
		if (n != 0)
			unlink(moved);
	} else {
		n = renameat(dir, name, AT_FDCWD, moved);
		if (n == 0)
			n = what == DIR_FOR_DIR ? mkdirat(dir, name, 0777) : symlinkat(text, dir, name);
	}
	record(moved);
	return n;
}

static int swap_file(int dir, const char *name, enum swap what)
{
	char text[1024];
	if (unlinkat(dir, name, 0) != 0)
		return -1;
	if (what == FILE_FOR_NAME) {
		snprintf(text, sizeof(text), "%s/shared", outside);
		return linkat(AT_FDCWD, text, dir, name, 0);
	}
	if (what == FILE_FOR_FIFO)
		return mkfifoat(dir, name, 0666);
	if (what == FILE_FOR_DIR)
		return mkdirat(dir, name, 0777);
	return symlinkat(aim(name, text, sizeof(text)), dir, name);
}

/* Any entry of an open directory. */
static int pick(int fd, char name[256])
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	unsigned seen = 0;
	while (dir && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strncmp(e->d_name, ".old-", 5) == 0)
			continue;
		if (draw(++seen) == 0)
			snprintf(name, 256, "%s", e->d_name);
	}
	if (dir)
		closedir(dir);
	else if (copy >= 0)
		close(copy);
	return seen ? 0 : -1;
}

static void swap_one(const char *dest)
{
	char name[256];
	struct stat st;
	int dir = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (dir >= 0 && pick(dir, name) == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		int below = S_ISDIR(st.st_mode) && draw(4)
				    ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				    : -1;
		if (below >= 0) {
			close(dir);
			dir = below;
			continue;
		}
		enum swap what = S_ISDIR(st.st_mode) ? DIR_FOR_LINK + draw(4) : FILE_FOR_LINK + draw(4);
		if ((S_ISDIR(st.st_mode) ? swap_dir : swap_file)(dir, name, what) == 0)
			counts[what]++;
		break;
	}
	if (dir >= 0)
		close(dir);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	struct sigaction action = {.sa_handler = on_term};
	sigaction(SIGTERM, &action, NULL);
	outside = argv[2];
	away = argv[3];
	uid_t uid = (uid_t)strtoul(argv[4], NULL, 10);
	state = strtoull(argv[5], NULL, 10) * 2654435761u + 88172645463325252u;
	if (setgid(uid) != 0 || setuid(uid) != 0)
		return 1;
	umask(0);
	while (!stopped) {
		swap_one(argv[1]);
		if (draw(3) == 0)
			usleep(draw(600));
	}
	for (int i = 0; i < SWAPS; i++)
		printf("%s %lu\n", words[i], counts[i]);
	return 0;
}
