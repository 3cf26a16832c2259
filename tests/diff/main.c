/*
 * main.c - options of the differential runner, and the file systems it runs on: ext4 on a loop device as root, in a mount
 * namespace of this process, so that nothing stays mounted however it ends; an ordinary user's reference is ext4 below
 * TMPDIR. Speaks TAP. Exit status: 0 all agree or skipped, 1 a difference, 99 cannot run.
 */
#include "diff.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct options {
	uint64_t seed, step;
	size_t ops, length, least;
	const char *backend, *dir, *reference, *save;
	unsigned users;
	int seconds, shrink_seconds;
	bool verbose, keep_going, no_atime;
	uint64_t corrupt;
};

static char work_dir[256], image_dir[320], subject_dir[320], bare_dir[320];
static bool image_mounted, bare_mounted, subject_mounted;
static pid_t main_pid, janitor;
static int janitor_fd = -1;

static void clean_up(void)
{
	if (getpid() != main_pid)
		return;
	if (bare_mounted)
		(void)umount2(bare_dir, MNT_DETACH);
	if (image_mounted)
		(void)umount2(image_dir, MNT_DETACH);
	if (subject_mounted)
		(void)umount2(subject_dir, MNT_DETACH);
	if (janitor) {
		(void)close(janitor_fd);
		(void)waitpid(janitor, NULL, 0);
	}
}

/* A process that outlives this one by as long as it takes to remove the directory, however this one ends: the pipe
 * closes when it and its workers are gone. */
static void start_janitor(void)
{
	int pair[2];
	char byte;
	if (pipe2(pair, O_CLOEXEC))
		lk_die("pipe: %s", strerror(errno));
	fflush(NULL);
	janitor = fork();
	if (janitor < 0)
		lk_die("fork: %s", strerror(errno));
	janitor_fd = pair[1];
	if (janitor) {
		(void)close(pair[0]);
		return;
	}
	(void)setsid(); /* what ends the group must not end this one */
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)close(pair[1]);
	while (read(pair[0], &byte, 1) < 0 && errno == EINTR)
		;
	lk_remove_tree(AT_FDCWD, work_dir);
	_exit(0);
}

static _Noreturn void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

static int command(const char *const *argv)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		(void)dup2(null, STDOUT_FILENO);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make_work_dir(void)
{
	const char *base = getenv("TMPDIR");
	(void)snprintf(work_dir, sizeof(work_dir), "%s/linkfs-diff-XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(work_dir)) {
		work_dir[0] = '\0';
		lk_die("mkdtemp: %s", strerror(errno));
	}
	start_janitor();
	(void)snprintf(image_dir, sizeof(image_dir), "%s/reference", work_dir);
	(void)snprintf(subject_dir, sizeof(subject_dir), "%s/subject", work_dir);
	(void)snprintf(bare_dir, sizeof(bare_dir), "%s/bare", work_dir);
	if (mkdir(image_dir, 0755) || mkdir(bare_dir, 0755) || mkdir(subject_dir, 0755))
		lk_die("%s: %s", image_dir, strerror(errno));
}

static void mount_ext4(const char *at, bool noatime)
{
	char image[320], options[64];
	(void)snprintf(image, sizeof(image), "%s/image", work_dir);
	int fd = open(image, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, INT64_C(6) << 30))
		lk_die("%s: %s", image, strerror(errno));
	close(fd);
	(void)snprintf(options, sizeof(options), "loop,nodev,nosuid,%s", noatime ? "noatime" : "relatime");
	const char *const make[] = {"mke2fs",
				    "-q",
				    "-F",
				    "-t",
				    "ext4",
				    "-b",
				    "4096",
				    "-I",
				    "256",
				    "-O",
				    "^has_journal",
				    "-E",
				    "lazy_itable_init=1",
				    image,
				    NULL};
	const char *const mount_it[] = {"mount", "-o", options, image, at, NULL};
	if (command(make))
		skip("mke2fs cannot make the reference");
	if (command(mount_it))
		skip("no loop device for the reference");
	(void)unlink(image);
}

/* What is mounted at one path of a directory is mounted there by all its paths (posix_binds.c), but for those of the bare mount. */
static void mount_bare(const char *at)
{
	/* noatime: opening by handle lists directories that the kernel has forgotten. */
	if (mount(at, bare_dir, NULL, MS_BIND, NULL) ||
	    mount(NULL, bare_dir, NULL, MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | MS_NOATIME, NULL) ||
	    mount(NULL, bare_dir, NULL, MS_PRIVATE, NULL) || mount(NULL, at, NULL, MS_SHARED, NULL))
		lk_die("bind %s: %s", at, strerror(errno));
	bare_mounted = true;
}

static void mount_tmpfs(const char *at, bool noatime)
{
	if (mount("tmpfs", at, "tmpfs", MS_NODEV | MS_NOSUID | (noatime ? MS_NOATIME : MS_RELATIME), "mode=0755"))
		lk_die("tmpfs: %s", strerror(errno));
}

static void private_mounts(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		skip("no mount namespace");
}

/* Fills in where the two sides live and how they are looked at. */
static void set_up(struct options *options, struct run_config *config)
{
	bool root = geteuid() == 0, library = strcmp(options->backend, "lib") == 0;
	bool mounted = strcmp(options->backend, "mount") == 0;
	struct statvfs vfs = {0};
	struct statfs fs;
	make_work_dir();
	if (mounted && (!options->dir || statvfs(options->dir, &vfs)))
		lk_die("--backend mount needs --dir DIR on the mount");
	bool noatime = mounted ? (vfs.f_flag & ST_NOATIME) != 0 : false;
	if (root)
		private_mounts();
	if (options->reference) {
		config->reference_dir = options->reference;
	} else if (root) {
		mount_ext4(image_dir, noatime);
		image_mounted = true;
		config->reference_dir = image_dir;
	} else {
		if (statfs(image_dir, &fs) || fs.f_type != EXT4_SUPER_MAGIC)
			skip("an ordinary user's TMPDIR must be on ext4, which is the reference");
		config->reference_dir = image_dir;
	}
	if (mounted && root) {
		/* Devices are made at random: none may be opened. */
		if (mount(options->dir, subject_dir, NULL, MS_BIND, NULL) ||
		    mount(NULL, subject_dir, NULL,
			  MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | (noatime ? MS_NOATIME : 0), NULL))
			lk_die("bind %s: %s", options->dir, strerror(errno));
		subject_mounted = true;
		config->subject_dir = subject_dir;
	} else if (mounted) {
		config->subject_dir = options->dir;
	} else if (library) {
		config->subject_dir = subject_dir;
	} else if (strcmp(options->backend, "tmpfs") == 0) {
		mount_tmpfs(subject_dir, false);
		subject_mounted = true;
		config->subject_dir = subject_dir;
	} else if (strcmp(options->backend, "ext4") == 0) {
		config->subject_dir = config->reference_dir;
	} else {
		lk_die("no back end %s: lib, mount, ext4 or tmpfs", options->backend);
	}
	if (options->users > 1 && !root)
		lk_die("only root can be several users");
	for (int i = 0; i < 2; i++) {
		config->sides[i].reference = i == 0;
		config->sides[i].library = i == 1 && library;
		config->sides[i].against_lib = library;
		config->sides[i].many_users = options->users > 1;
		/* What the kernel reads from its own caches a FUSE server never hears of (design M9). */
		config->sides[i].atime = (!mounted || noatime) && !options->no_atime;
	}
	config->sides[1].corrupt = options->corrupt;
	bool commands = mounted && getenv("LINKFS_BIN") && getenv("LINKFS_VOLUME");
	bool ext4 = strcmp(options->backend, "ext4") == 0;
	bool links = root && !options->reference && (library || commands || ext4);
	config->on =
		(library ? OP_ON_LIB : OP_ON_MOUNT) | (links ? OP_ON_ROOT : 0) | (links && !ext4 ? OP_ON_NAMESPACE : 0);
	if (links)
		mount_bare(config->reference_dir);
	for (int i = 0; i < 2; i++) {
		config->sides[i].bare = links && (i == 0 || ext4) ? bare_dir : NULL;
		config->sides[i].links = links;
		config->sides[i].commands = i == 1 && commands;
	}
	config->tree_every = 400;
	config->verbose = options->verbose;
}

static void save_ops(const struct options *options, const struct op_list *ops, const struct run_result *result,
		     uint64_t seed)
{
	struct text line = {0};
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s-%llu.ops", options->save, options->backend, (unsigned long long)seed);
	FILE *file = fopen(path, "we");
	if (!file)
		lk_die("%s: %s", path, strerror(errno));
	fprintf(file, "# %s, seed %llu\n", result->signature, (unsigned long long)seed);
	for (size_t i = 0; i < ops->count; i++) {
		lk_text_clear(&line);
		lk_op_print(&ops->ops[i], &line);
		fprintf(file, "%s\n", line.bytes);
	}
	fclose(file);
	lk_text_free(&line);
	printf("# saved as %s\n", path);
}

/* One seed after the other until enough operations agree. */
static int random_runs(const struct options *options, struct run_config *config)
{
	struct op_list ops = {0};
	struct run_result result;
	static char reported[64][160];
	size_t done = 0, differences = 0;
	time_t start = time(NULL);
	uint64_t seed = options->seed;
	printf("# seed %llu, %zu operations, %s, %u users\n", (unsigned long long)seed, options->ops, options->backend,
	       options->users);
	fflush(stdout);
	config->reported = reported;
	for (; done < options->ops && time(NULL) - start < options->seconds; seed += options->step) {
		lk_run_generated(config, seed, options->length, &ops, &result);
		done += result.done;
		if (result.differs) {
			bool known = false;
			for (size_t i = 0; i < config->reported_count; i++)
				known = known || strcmp(reported[i], result.signature) == 0;
			differences++;
			if (!known) {
				if (config->reported_count < 64)
					memcpy(reported[config->reported_count++], result.signature,
					       sizeof(result.signature));
				printf("# seed %llu differs after %zu operations (%s); shrinking\n",
				       (unsigned long long)seed, ops.count, result.signature);
				fflush(stdout);
				lk_run_shrink(config, &ops, &result, options->shrink_seconds);
				lk_run_report(&ops, &result);
				if (options->save)
					save_ops(options, &ops, &result, seed);
			}
		}
		lk_result_free(&result);
		if (differences && !options->keep_going)
			break;
	}
	printf("# %zu operations, %zu differences, seeds %llu to %llu, %ld s\n", done, differences,
	       (unsigned long long)options->seed, (unsigned long long)(seed - options->step),
	       (long)(time(NULL) - start));
	free(ops.ops);
	/* Out of time is no failure of what ran, unless so many were asked for. */
	bool few = done < options->least;
	printf("1..1\n%sok 1 - %zu operations agree with ext4 (%s, %u users)\n", differences || few ? "not " : "", done,
	       options->backend, options->users);
	if (few)
		printf("# at least %zu were asked for\n", options->least);
	return differences || few;
}

static int replay_file(const struct options *options, const struct run_config *config, const char *path)
{
	static unsigned number;
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	struct op_list ops = {0};
	struct run_result result;
	char line[1024];
	FILE *file = fopen(path, "re");
	if (!file)
		lk_die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		struct op op;
		if (line[strspn(line, " \t\n")] == '\0' || line[strspn(line, " \t")] == '#')
			continue;
		if (!lk_op_parse(line, &op))
			lk_die("%s: not an operation: %s", path, line);
		bool never = op.kind == OP_FALLOCATE && (config->on & OP_ON_MOUNT) &&
			     (op.n[1] & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)); /* M9 */
		/* Commands are root's. */
		never = never || (op.user && (lk_op_row(op.kind)->on & OP_LINKS) && (config->on & OP_ON_MOUNT));
		if (never || !lk_op_fits(op.kind, config->on) || (op.user && options->users < 2)) {
			/* Made for another back end, or for several users. */
			printf("ok %u - %s # SKIP not for this back end or number of users\n", ++number, name);
			fclose(file);
			free(ops.ops);
			return 0;
		}
		lk_ops_add(&ops, &op);
	}
	fclose(file);
	lk_run_replay(config, &ops, &result);
	int failed = result.differs;
	printf("%sok %u - %s\n", failed ? "not " : "", ++number, name);
	if (failed)
		lk_run_report(&ops, &result);
	lk_result_free(&result);
	free(ops.ops);
	return failed;
}

/* A .ops file, or all of a directory; adds what to replay to the list. */
static void add_replays(const char *path, glob_t *list)
{
	struct stat st;
	char pattern[512];
	if (stat(path, &st))
		lk_die("%s: %s", path, strerror(errno));
	(void)snprintf(pattern, sizeof(pattern), S_ISDIR(st.st_mode) ? "%s/*.ops" : "%s", path);
	if (glob(pattern, list->gl_pathc ? GLOB_APPEND : 0, NULL, list))
		lk_die("%s: nothing to replay", path);
}

static const char usage[] =
	"usage: diff [--backend lib|mount|ext4|tmpfs] [--dir DIR] [--reference DIR] [--seed N] [--ops N] [--length N]\n"
	"            [--users N] [--seconds N] [--shrink-seconds N] [--keep-going] [--save DIR] [--verbose] [--corrupt "
	"N] [--no-atime]\n"
	"            [--least N] [--random] [--step N]\n"
	"            [--replay FILE-OR-DIR ...]\n";

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"backend", 1, NULL, 'b'},  {"dir", 1, NULL, 'd'},        {"reference", 1, NULL, 'R'},
		{"seed", 1, NULL, 's'},     {"ops", 1, NULL, 'o'},        {"length", 1, NULL, 'l'},
		{"users", 1, NULL, 'u'},    {"seconds", 1, NULL, 't'},    {"replay", 1, NULL, 'r'},
		{"verbose", 0, NULL, 'v'},  {"keep-going", 0, NULL, 'k'}, {"save", 1, NULL, 'S'},
		{"corrupt", 1, NULL, 'c'},  {"help", 0, NULL, 'h'},       {"shrink-seconds", 1, NULL, 'T'},
		{"no-atime", 0, NULL, 'A'}, {"least", 1, NULL, 'L'},      {"random", 0, NULL, 'N'},
		{"step", 1, NULL, 'p'},     {NULL, 0, NULL, 0},
	};
	const char *seed = getenv("LINKFS_SEED");
	struct options options = {.step = 1,
				  .seed = seed && *seed ? strtoull(seed, NULL, 0) : 1,
				  .ops = 20000,
				  .length = 1500,
				  .backend = "lib",
				  .users = geteuid() == 0 ? 4 : 1,
				  .seconds = 3600,
				  .shrink_seconds = 60};
	glob_t replays = {0};
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'b':
			options.backend = optarg;
			break;
		case 'd':
			options.dir = optarg;
			break;
		case 'R':
			options.reference = optarg;
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			options.ops = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			options.length = strtoull(optarg, NULL, 0);
			break;
		case 'u':
			options.users = (unsigned)atoi(optarg);
			break;
		case 't':
			options.seconds = atoi(optarg);
			break;
		case 'T':
			options.shrink_seconds = atoi(optarg);
			break;
		case 'v':
			options.verbose = true;
			break;
		case 'k':
			options.keep_going = true;
			break;
		case 'L':
			options.least = strtoull(optarg, NULL, 0);
			break;
		case 'N':
			/* A seed of the clock's, unless one was given. */
			if (!(seed && *seed))
				options.seed = (uint64_t)time(NULL) * 1000;
			break;
		case 'p':
			options.step = strtoull(optarg, NULL, 0);
			break;
		case 'A':
			options.no_atime = true;
			break;
		case 'S':
			options.save = optarg;
			break;
		case 'c':
			options.corrupt = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			add_replays(optarg, &replays);
			break;
		default:
			fputs(usage, stderr);
			return 99;
		}
	}
	main_pid = getpid();
	if (atexit(clean_up))
		return 99;
	struct run_config config = {0};
	set_up(&options, &config);
	if (!replays.gl_pathc)
		return random_runs(&options, &config);
	int failed = 0;
	printf("1..%zu\n", replays.gl_pathc);
	for (size_t i = 0; i < replays.gl_pathc; i++)
		failed |= replay_file(&options, &config, replays.gl_pathv[i]);
	globfree(&replays);
	return failed;
}
