/*
 * behave_races.c - several processes on the same names at once: what is atomic stays atomic, and the counts come out right.
 */
#include "behave.h"

#include <dirent.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define WORKERS 4
#define SECONDS 2

/* Runs fn(number) in some processes at once; each returns 0 or the line that failed, and may look at the clock. */
static void at_once(int count, int (*fn)(int))
{
	pid_t pids[8];
	for (int i = 0; i < count; i++) {
		pids[i] = fork();
		OK(pids[i]);
		if (pids[i] == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(fn(i) ? 1 : 0);
		}
	}
	int failed = 0;
	for (int i = 0; i < count; i++) {
		int status = 0;
		while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
			;
		failed += status != 0;
	}
	assert_int_equal(failed, 0);
}

static bool goes_on(struct timespec start)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start.tv_sec < SECONDS;
}

static struct timespec begin(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now;
}

static int complain(int line)
{
	print_error("behave_races.c:%d: %s\n", line, strerror(errno));
	return line;
}
#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return complain(__LINE__);                                                                     \
	} while (0)

/* ---- replacing by rename ------------------------------------------------------------------------------------- */

static int replace_or_read(int number)
{
	struct timespec start = begin();
	char buf[5000], temporary[32];
	if (number < 2) { /* writers: files of one letter, of a length that goes with the letter */
		(void)snprintf(temporary, sizeof(temporary), "new.%d", number);
		for (int i = 0; goes_on(start); i++) {
			char letter = (char)('a' + i % 20);
			size_t len = 200 * (size_t)(letter - 'a' + 1);
			memset(buf, letter, len);
			int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
			MUST(fd >= 0);
			MUST(write(fd, buf, len) == (ssize_t)len && close(fd) == 0);
			MUST(rename(temporary, "current") == 0);
			MUST(symlink(i % 2 ? "version-1" : "version-2", temporary) == 0 &&
			     rename(temporary, "link") == 0);
		}
		return 0;
	}
	while (goes_on(start)) {
		int fd = open("current", O_RDONLY);
		MUST(fd >= 0); /* there is always one */
		ssize_t len = read(fd, buf, sizeof(buf));
		MUST(len > 0 && len == 200 * (buf[0] - 'a' + 1) && buf[len - 1] == buf[0]);
		MUST(close(fd) == 0);
		len = readlink("link", buf, sizeof(buf));
		MUST(len == 9 && (memcmp(buf, "version-1", 9) == 0 || memcmp(buf, "version-2", 9) == 0));
	}
	return 0;
}

static void a_replaced_name_is_always_there_and_whole(void **state)
{
	(void)state;
	char buf[200];
	memset(buf, 'a', sizeof(buf));
	int fd = open("current", O_WRONLY | O_CREAT, 0644);
	OK(fd);
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	OK(close(fd));
	OK(symlink("version-1", "link"));
	at_once(WORKERS, replace_or_read);
}

/* ---- link counts --------------------------------------------------------------------------------------------- */

static int storm(int number)
{
	struct timespec start = begin();
	struct lk_test_random random = {.state = lk_test_seed() * 8 + (uint64_t)number};
	char a[32], b[32];
	while (goes_on(start)) {
		(void)snprintf(a, sizeof(a), "d%u/n%u", (unsigned)lk_test_below(&random, 3),
			       (unsigned)lk_test_below(&random, 8));
		(void)snprintf(b, sizeof(b), "d%u/n%u", (unsigned)lk_test_below(&random, 3),
			       (unsigned)lk_test_below(&random, 8));
		int r = 0;
		switch (lk_test_below(&random, 6)) {
		case 0:
			r = link(a, b);
			break;
		case 1:
			r = unlink(a);
			break;
		case 2:
			r = rename(a, b);
			break;
		case 3:
			r = renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
			break;
		case 4:
			r = renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE);
			break;
		default:
			r = open(a, O_RDWR | O_CREAT, 0644);
			if (r >= 0) {
				MUST(pwrite(r, a, strlen(a), 0) == (ssize_t)strlen(a));
				r = close(r);
			}
			break;
		}
		MUST(r == 0 || errno == ENOENT || errno == EEXIST);
	}
	return 0;
}

static void count_names(void)
{
	struct {
		ino_t ino;
		nlink_t nlink, seen;
	} files[64];
	size_t count = 0;
	char path[PATH_MAX];
	for (int d = 0; d < 3; d++) {
		(void)snprintf(path, sizeof(path), "d%d", d);
		DIR *dir = opendir(path);
		assert_non_null(dir);
		for (struct dirent *entry; (entry = readdir(dir));) {
			if (entry->d_name[0] == '.')
				continue;
			(void)snprintf(path, sizeof(path), "d%d/%s", d, entry->d_name);
			struct stat st = stat_of(path);
			assert_int_equal(st.st_ino, entry->d_ino);
			size_t i = 0;
			while (i < count && files[i].ino != st.st_ino)
				i++;
			if (i == count) {
				files[i].ino = st.st_ino;
				files[i].nlink = st.st_nlink;
				files[i].seen = 0;
				count++;
			}
			assert_int_equal(files[i].nlink, st.st_nlink);
			files[i].seen++;
		}
		OK(closedir(dir));
	}
	for (size_t i = 0; i < count; i++)
		assert_int_equal(files[i].nlink, files[i].seen);
}

static void link_counts_survive_a_storm(void **state)
{
	(void)state;
	OK(mkdir("d0", 0755));
	OK(mkdir("d1", 0755));
	OK(mkdir("d2", 0755));
	at_once(WORKERS, storm);
	count_names();
	drop_caches();
	count_names();
}

/* ---- one winner ---------------------------------------------------------------------------------------------- */

#define NAMES 600

static int win(int number)
{
	char name[32], mine[32];
	unsigned won = 0;
	(void)snprintf(mine, sizeof(mine), "mine.%d", number);
	int tally = open(mine, O_WRONLY | O_CREAT | O_EXCL, 0644);
	MUST(tally >= 0);
	for (int i = 0; i < NAMES; i++) {
		int r = -1;
		(void)snprintf(name, sizeof(name), "name.%d", i);
		switch (i % 4) {
		case 0:
			r = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
			if (r >= 0)
				r = close(r);
			break;
		case 1:
			r = mkdir(name, 0755);
			break;
		case 2:
			r = symlink("target", name);
			break;
		default:
			r = link(mine, name);
			break;
		}
		MUST(r == 0 || errno == EEXIST);
		won += r == 0;
	}
	char text[32];
	int len = snprintf(text, sizeof(text), "%u", won);
	MUST(write(tally, text, (size_t)len) == len && close(tally) == 0);
	return 0;
}

static void every_name_has_one_winner(void **state)
{
	(void)state;
	unsigned total = 0;
	at_once(WORKERS, win);
	for (int i = 0; i < WORKERS; i++) {
		char mine[32], text[32] = "";
		(void)snprintf(mine, sizeof(mine), "mine.%d", i);
		int fd = open(mine, O_RDONLY);
		OK(fd);
		OK(read(fd, text, sizeof(text) - 1));
		OK(close(fd));
		total += (unsigned)strtoul(text, NULL, 10);
	}
	assert_int_equal(total, NAMES);
	assert_int_equal(nlink_of("."), 2 + NAMES / 4);
}

/* ---- directories --------------------------------------------------------------------------------------------- */

static int slashes(const char *path)
{
	int count = 0;
	for (; *path; path++)
		count += *path == '/';
	return count;
}

/* Whether moving it elsewhere could nest the tree deeper and deeper. */
static bool would_nest(const char *from, const char *to)
{
	struct stat st;
	return slashes(from) < slashes(to) && lstat(from, &st) == 0 && st.st_nlink > 2;
}

static int move_directories(int number)
{
	struct timespec start = begin();
	struct lk_test_random random = {.state = lk_test_seed() * 16 + (uint64_t)number};
	static const char *const places[] = {"a", "b", "a/x", "b/x", "a/b", "b/a", "a/x/y", "b/x/y", "c", "c/a"};
	const size_t count = sizeof(places) / sizeof(places[0]);
	while (goes_on(start)) {
		const char *from = places[lk_test_below(&random, count)], *to = places[lk_test_below(&random, count)];
		int r = 0;
		if (would_nest(from, to) || would_nest(to, from))
			continue;
		switch (lk_test_below(&random, 4)) {
		case 0:
			r = mkdir(from, 0755);
			break;
		case 1:
			r = rmdir(from);
			break;
		case 2:
			r = rename(from, to);
			break;
		default:
			r = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
			break;
		}
		MUST(r == 0 || errno == ENOENT || errno == EEXIST || errno == ENOTEMPTY || errno == EINVAL);
	}
	return 0;
}

/* Counts directories below path, each with the link count of its subdirectories. */
static unsigned count_directories(const char *path, int depth)
{
	unsigned below = 0, total = 1;
	char child[PATH_MAX];
	assert_true(depth < 100); /* no loops */
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		assert_true(snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) < (int)sizeof(child));
		below++;
		total += count_directories(child, depth + 1);
		assert_true(snprintf(child, sizeof(child), "%s/%s/..", path, entry->d_name) < (int)sizeof(child));
		assert_int_equal(stat_of(child).st_ino, stat_of(path).st_ino);
	}
	OK(closedir(dir));
	assert_int_equal(nlink_of(path), below + 2);
	return total;
}

static void directories_move_without_loops(void **state)
{
	(void)state;
	at_once(WORKERS, move_directories);
	unsigned total = count_directories(".", 0);
	drop_caches();
	assert_int_equal(count_directories(".", 0), total);
}

static const struct CMUnitTest tests[] = {
	BEHAVE(a_replaced_name_is_always_there_and_whole),
	BEHAVE(link_counts_survive_a_storm),
	BEHAVE(every_name_has_one_winner),
	BEHAVE(directories_move_without_loops),
};
BEHAVE_MAIN(tests)
