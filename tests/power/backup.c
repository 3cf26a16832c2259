/*
 * backup.c - power cuts during a backup (E4, P2). A tree of the host is backed up, changed in all the ways that a backup treats apart, and backed
 * up again while every write, truncation, sync and change of a name that reaches the volume is recorded. Of each state that a cut may leave:
 *
 *   the volume opens, and a check with all data finds nothing;
 *   the first backup's snapshot shows what it showed, and the second one's, if it is there, what it must;
 *   another backup ends well, and the copy is what the undisturbed one made.
 *
 *   power-backup                            so many states: LINKFS_POWER_STATES, else 300; LINKFS_SEED
 *
 * LINKFS_POWER_KEEP names a directory to which the files of a failed state are copied.
 */
#include "power.h"

#include <cli.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linkfs_check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DRAWS 3u

static struct {
	char *base;
	char source[PATH_MAX], volume[PATH_MAX];
	char *first, *live; /* lines of the first snapshot; of the copy at the end */
	uint64_t seed, budget, states;
} run;

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static atomic_bool committing;

static void *commit(void *arg)
{
	while (atomic_load(&committing)) {
		(void)linkfs_volume_sync(arg);
		(void)usleep(100);
	}
	return NULL;
}

/* linkfs backup, in this process. eager: what it does is committed all the time. Returns its status. */
static int backup(const char *name, bool eager, char *said, size_t size)
{
	const struct linkfs_open_options how = {.flags = 0};
	pthread_t committer;
	struct linkfs_volume *v = NULL;
	char threads[] = "-j2", quiet[] = "-q", dedupe[] = "--dedupe", named[64];
	char *argv[] = {threads, quiet, dedupe, named, run.source, run.volume, NULL};
	FILE *err = fmemopen(said, size, "w");
	struct cli cli = {.command = cli_command_find("backup"),
			  .in = stdin,
			  .out = stdout,
			  .err = err,
			  .cred = {.uid = geteuid(), .gid = getegid(), .umask = 022},
			  .cwd_fd = AT_FDCWD,
			  .cwd = "/"};
	struct cli_args args;
	(void)snprintf(named, sizeof(named), "--name=%s", name);
	assert_non_null(err);
	int status = cli_args_parse(&cli, cli.command, 6, argv, &args);
	if (!status)
		status = cli_args_resolve(&cli, cli.command, &args);
	if (!status && eager)
		status = linkfs_volume_open(run.volume, &how, &v, NULL) || cli_volume_lend(&cli, run.volume, v);
	atomic_store(&committing, v != NULL);
	if (v)
		assert_int_equal(pthread_create(&committer, NULL, commit, v), 0);
	if (!status)
		status = cli_run_here(&cli, &args);
	atomic_store(&committing, false);
	if (v)
		(void)pthread_join(committer, NULL);
	cli_volumes_close(&cli);
	if (linkfs_volume_close(v) != 0 && !status)
		status = 3;
	cli_args_done(&args);
	(void)fclose(err);
	return status > cli.status ? status : cli.status;
}

/* ---- the source --------------------------------------------------------------------------------------------------------- */

static void put(const char *name, size_t len, unsigned what)
{
	char path[PATH_MAX * 2];
	(void)snprintf(path, sizeof(path), "%s/%s", run.source, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	for (size_t i = 0; i < len; i++)
		(void)fputc((int)((i * 7 + what * 31 + i / 4096) & 0xff), f);
	assert_int_equal(fclose(f), 0);
}

static const char *at(const char *name)
{
	static char paths[4][PATH_MAX * 2];
	static unsigned next;
	char *path = paths[next++ % 4];
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", run.source, name);
	return path;
}

#define MANY 200

static const char *many(unsigned i, const char *more)
{
	static char name[64];
	(void)snprintf(name, sizeof(name), "many/%u%s", i, more);
	return name;
}

#define TWINS 6

static const char *twin(const char *dir, unsigned i)
{
	static char name[64];
	(void)snprintf(name, sizeof(name), "%s/twin%u", dir, i);
	return name;
}

static void make_source(void)
{
	static const char *const dirs[] = {"", "a", "a/sub", "b", "gone", "gone/too", "many"};
	for (size_t i = 0; i < LK_ARRAY_LEN(dirs); i++)
		assert_int_equal(mkdir(at(dirs[i]), 0755), 0);
	put("a/small", 100, 1);
	put("a/large", 300000, 2);
	put("a/sub/moves", 50000, 3);
	put("b/saved", 9000, 4);
	put("b/x", 5000, 5);
	put("b/y", 5000, 6);
	put("gone/file", 20000, 7);
	put("gone/too/file", 2000, 8);
	for (unsigned i = 0; i < MANY; i++)
		put(many(i, ""), i % 7 * 1000, 100 + i);
	put("hard", 12000, 9);
	for (unsigned i = 0; i < TWINS; i++)
		put(twin("a", i), 20000 + i * 1000, 1000 + i);
	assert_int_equal(link(at("hard"), at("b/hard")), 0);
	assert_int_equal(link(at("hard"), at("a/hard")), 0);
	assert_int_equal(symlink("hard", at("soft")), 0);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
}

static void change_source(void)
{
	put("a/small", 150, 11);
	FILE *f = fopen(at("a/large"), "r+");
	assert_non_null(f);
	(void)fseek(f, 100000, SEEK_SET);
	(void)fputs("written in the middle", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(at("a/sub"), at("b/renamed")), 0);
	assert_int_equal(rename(at("b/renamed/moves"), at("moved")), 0);
	put("b/saved.new", 9500, 12);
	assert_int_equal(rename(at("b/saved.new"), at("b/saved")), 0);
	assert_int_equal(rename(at("b/x"), at("swap")), 0);
	assert_int_equal(rename(at("b/y"), at("b/x")), 0);
	assert_int_equal(rename(at("swap"), at("b/y")), 0);
	assert_int_equal(
		unlink(at("gone/file")) | unlink(at("gone/too/file")) | rmdir(at("gone/too")) | rmdir(at("gone")), 0);
	assert_int_equal(unlink(at("b/hard")), 0);
	put("b/hard", 700, 13);
	assert_int_equal(link(at("b/hard"), at("b/hard2")), 0);
	assert_int_equal(unlink(at("soft")), 0);
	assert_int_equal(symlink("elsewhere", at("soft")), 0);
	(void)setxattr(at("moved"), "user.x", "y", 1, 0);
	assert_int_equal(chmod(at("a"), 0700), 0);
	put("new", 40000, 14);
	/* Equal to files of before, to each other, and to one that goes. */
	for (unsigned i = 0; i < TWINS; i++)
		put(twin("b", i), 20000 + i * 1000, 1000 + i);
	put("b/twin-new", 40000, 14);
	put("b/twin-newer", 40000, 14);
	assert_int_equal(unlink(at(twin("a", 0))), 0);
	for (unsigned i = 0; i + 1 < MANY; i += 3) {
		put(many(i, ""), i % 5 * 1000, 500 + i);
		assert_int_equal(rename(at(many(i + 1, "")), at(many(i + 1, ".moved"))), 0);
	}
}

/* ---- what a volume shows --------------------------------------------------------------------------------------------------- */

/* Lines that begin with prefix ("": those of the live tree), each without its inode's number where it is a snapshot's. */
static char *lines_of(const char *text, const char *prefix)
{
	struct lk_buf out = {0};
	size_t len = strlen(prefix);
	for (const char *line = text; *line;) {
		const char *end = strchr(line, '\n'), *id = strstr(line, " id ");
		if (len ? strncmp(line, prefix, len) == 0 : *line != '@') {
			const char *stop = len && id && id < end ? id : end;
			assert_int_equal(lk_buf_append(&out, line + len, (size_t)(stop - line) - len), 0);
			const char *rest = stop == end ? end : strchr(id + 4, ' ');
			assert_int_equal(lk_buf_append(&out, rest, (size_t)(end - rest) + 1), 0);
		}
		line = end + 1;
	}
	assert_int_equal(lk_buf_append(&out, "", 1), 0);
	return (char *)out.p;
}

static void say(char *why, size_t size, const char *what, const char *more)
{
	(void)snprintf(why, size, "%s: %s", what, more);
}

static int found(void *arg, const struct linkfs_finding *f)
{
	(void)snprintf(arg, 1000, "%s: %s", f->problem->id, f->text);
	return 0;
}

/* The volume opens, is whole, and shows what it must; *text_out is all of it. */
static bool look(char **text_out, char *why, size_t size)
{
	const struct linkfs_open_options how = {.flags = 0};
	struct linkfs_message message = {""};
	struct linkfs_check_summary sum = {0};
	struct linkfs_volume *v = NULL;
	struct lk_buf text = {0};
	char finding[1000] = "";
	const struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA, .finding = found, .arg = finding};
	if (linkfs_volume_open(run.volume, &how, &v, &message) != 0) {
		say(why, size, "it does not open", message.text);
		return false;
	}
	int r = linkfs_volume_check(v, &options, &sum, &message);
	bool good = r == 0 && sum.problems == 0 && finding[0] == '\0';
	if (!good)
		say(why, size, "check", finding[0] ? finding : message.text);
	if (good && tree_of_volume(v, &text, &message) != 0) {
		say(why, size, "it cannot be read", message.text);
		good = false;
	}
	if (linkfs_volume_close(v) != 0 && good) {
		say(why, size, "it does not close", "");
		good = false;
	}
	if (good && lk_buf_append(&text, "", 1) == 0)
		*text_out = (char *)text.p;
	else
		lk_buf_done(&text);
	return good;
}

static bool shows(const char *text, const char *prefix, const char *want, bool needed, char *why, size_t size)
{
	char *lines = lines_of(text, prefix);
	bool good = strcmp(lines, want) == 0 || (!needed && !*lines);
	if (!good)
		(void)snprintf(why, size, "%s is not what it must be:\n%.1500s\nwant:\n%.1500s",
			       *prefix ? prefix : "the copy", lines, want);
	free(lines);
	return good;
}

/* ---- states ----------------------------------------------------------------------------------------------------------------- */

static bool judge_state(const struct image *image, char *why, size_t size)
{
	char said[2000] = "", *text = NULL;
	image_store(image, run.volume);
	bool good = look(&text, why, size);
	char *second = good ? lines_of(text, "@second") : NULL;
	good = good && shows(text, "@first", run.first, true, why, size);
	free(text);
	text = NULL;
	if (good) {
		int status = backup("third", false, said, sizeof(said));
		if (status)
			say(why, size, "the next backup", said);
		good = status == 0;
	}
	good = good && look(&text, why, size) && shows(text, "@first", run.first, true, why, size) &&
	       shows(text, "", run.live, true, why, size);
	/* A second snapshot that was there is the same as the third. */
	if (good && *second) {
		char *third = lines_of(text, "@third");
		good = shows(text, "@second", third, true, why, size);
		free(third);
	}
	free(text);
	free(second);
	run.states++;
	return good;
}

static void cut_all(const struct image *start, const struct recording *r)
{
	struct lk_test_random random = {run.seed};
	struct image image = {0};
	struct seen seen = {0};
	char why[5000] = "";
	uint64_t all = 1;
	for (size_t i = 0; i < r->count; i++)
		all += event_changes(&r->events[i]) ? 1 + DRAWS : 0;
	struct disk *d = disk_new(start);
	for (size_t i = 0; i < r->count; i++) {
		disk_play(d, r, i);
		if (!event_changes(&r->events[i]))
			continue;
		for (unsigned variant = 0; variant < (disk_pending(d) ? 2 + DRAWS : 1); variant++) {
			if (lk_test_below(&random, all) >= run.budget)
				continue;
			disk_cut(d, r, variant, run.seed + i * 16 + variant, &image);
			if (seen_before(&seen, image_hash(&image)))
				continue;
			quiet_begin(run.volume);
			bool good = judge_state(&image, why, sizeof(why));
			quiet_end();
			if (!good && getenv("LINKFS_POWER_KEEP"))
				image_store(&image, getenv("LINKFS_POWER_KEEP"));
			if (!good)
				fail_msg("seed %" PRIu64 ", after event %zu, variant %u: %s", run.seed, i, variant,
					 why);
		}
	}
	disk_free(d);
	image_free(&image);
	seen_free(&seen);
}

static void a_backup_survives_power_cuts(void **state)
{
	struct linkfs_create_options how = {.label = NULL};
	struct image start = {0};
	struct recording r;
	char said[2000] = "", *text = NULL;
	(void)state;
	run.base = lk_test_mkdir();
	(void)snprintf(run.source, sizeof(run.source), "%s/source", run.base);
	(void)snprintf(run.volume, sizeof(run.volume), "%s/volume", run.base);
	make_source();
	(void)usleep(60000); /* files whose times say that they are finished */
	how.root_uid = geteuid();
	how.root_gid = getegid();
	assert_int_equal(linkfs_volume_create(run.volume, &how, NULL), 0);
	quiet_begin(run.volume);
	if (backup("first", false, said, sizeof(said)) != 0)
		fail_msg("the first backup: %s", said);
	image_load(&start, run.volume);
	quiet_end();
	change_source();
	(void)usleep(60000);
	image_store(&start, run.volume);
	record_begin(&r, run.volume);
	int status = backup("second", true, said, sizeof(said));
	record_end(&r);
	if (status || r.trouble[0])
		fail_msg("the second backup: %s %s", said, r.trouble);
	quiet_begin(run.volume);
	assert_true(look(&text, said, sizeof(said)));
	run.first = lines_of(text, "@first");
	run.live = lines_of(text, "");
	free(text);
	quiet_end();
	assert_true(strstr(run.live, "/b/renamed") && strstr(run.first, "/a/sub/moves"));
	cut_all(&start, &r);
	printf("# seed %" PRIu64 ": %" PRIu64 " power cuts, %zu events\n", run.seed, run.states, r.count);
	assert_true(run.states >= run.budget / 4);
	record_free(&r);
	image_free(&start);
	free(run.first);
	free(run.live);
	lk_test_rmdir(run.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_backup_survives_power_cuts)};
	const char *states = getenv("LINKFS_POWER_STATES");
	run.seed = lk_test_seed();
	run.budget = states ? strtoull(states, NULL, 10) : 300;
	return cmocka_run_group_tests_name("power-backup", tests, NULL, NULL);
}
