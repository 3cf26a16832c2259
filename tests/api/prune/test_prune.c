/*
 * test_prune.c - linkfs_prune() (E6): what it tells, what it deletes and what that gives back, rights and ends.
 */
#include "clock.h"

struct told {
	char text[2000];
	unsigned stop_at, count;
	const char *deleted; /* that somebody else deletes when it is told of */
};

static int tell(void *arg, const struct linkfs_pruned *p)
{
	struct told *t = arg;
	struct linkfs_prune_rule rule;
	size_t n = strlen(t->text);
	n += (size_t)snprintf(t->text + n, sizeof(t->text) - n, "%s%s", n ? " " : "", p->snapshot->name);
	for (size_t i = 0; linkfs_prune_rule(i, &rule) == 0; i++) {
		if (p->kept_by >> i & 1)
			n += (size_t)snprintf(t->text + n, sizeof(t->text) - n, ":%s%s",
					      p->as_oldest >> i & 1 ? "oldest-" : "", rule.name);
	}
	assert_false(p->as_oldest & ~p->kept_by);
	if (t->deleted && strcmp(p->snapshot->name, t->deleted) == 0)
		OK(linkfs_snapshot_delete(v, NULL, t->deleted, NULL, NULL, NULL));
	return ++t->count == t->stop_at;
}

static struct linkfs_prune_done done;
static struct told told;
static struct linkfs_message why;

/* Rules are words "daily=3" with a space between. */
static int prune_with(struct linkfs_prune_options *o, const struct linkfs_cred *cred, const char *text)
{
	struct linkfs_prune_rules *rules;
	char copy[200], *next = copy, *word;
	OK(linkfs_prune_rules_new(&rules));
	(void)snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&next, " ")) != NULL) {
		char *value = strchr(word, '=');
		if (!value)
			break;
		*value++ = 0;
		OK(linkfs_prune_rules_add(rules, word, value, NULL));
	}
	o->rules = rules;
	o->tell = tell;
	o->tell_arg = &told;
	told.text[0] = 0;
	told.count = 0;
	why.text[0] = 0;
	memset(&done, 0xff, sizeof(done));
	int r = linkfs_prune(v, cred, o, &done, &why);
	linkfs_prune_rules_free(rules);
	return r;
}

static int prune(const char *text, uint32_t flags)
{
	return prune_with(&(struct linkfs_prune_options){.flags = flags}, NULL, text);
}

/* s1, s2 ..., each an hour after the one before. */
static void hours(unsigned count)
{
	for (unsigned i = 1; i <= count; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "s%u", i);
		OK(take(name, i % 3 == 0 ? "third" : i % 2 ? "odd" : NULL));
		now += HOUR;
	}
}

static void it_tells_and_deletes(void **state)
{
	(void)state;
	hours(6); /* from 8:30 to 13:30 */
	OK(prune("last=1 hourly=3 daily=2 tag=odd", LINKFS_PRUNE_DRY_RUN));
	assert_string_equal(told.text, "s1:oldest-daily:tag s2 s3 s4:hourly s5:hourly:tag s6:last:hourly:daily");
	assert_int_equal(done.kept, 4);
	assert_int_equal(done.goes, 2);
	assert_int_equal(done.gone, 0);
	assert_string_equal(all(), "s1 s2 s3 s4 s5 s6");
	OK(prune("last=1 hourly=3 daily=2 tag=odd", 0));
	assert_string_equal(told.text, "s1:oldest-daily:tag s2 s3 s4:hourly s5:hourly:tag s6:last:hourly:daily");
	assert_int_equal(done.gone, 2);
	assert_string_equal(all(), "s1 s4 s5 s6");
	OK(prune("last=10", 0));
	assert_int_equal(done.kept, 4);
	assert_int_equal(done.goes + done.gone + done.bytes + done.rows, 0);
	reopen();
	assert_string_equal(all(), "s1 s4 s5 s6");
	check();
}

static int32_t east(void *arg, int64_t time_s)
{
	(void)time_s;
	return *(int32_t *)arg;
}

static void days_are_the_callers(void **state)
{
	int32_t offset = 0;
	struct linkfs_prune_options o = {.flags = LINKFS_PRUNE_DRY_RUN, .zone = east, .zone_arg = &offset};
	(void)state;
	hours(6);
	OK(prune_with(&o, NULL, "daily=2"));
	assert_string_equal(told.text, "s1:oldest-daily s2 s3 s4 s5 s6:daily");
	offset = 13 * 3600; /* 8:30 is 21:30, 11:30 the next day */
	OK(prune_with(&o, NULL, "daily=2"));
	assert_string_equal(told.text, "s1 s2 s3:daily s4 s5 s6:daily");
	offset = -9 * 3600 - 1800; /* 23:00 of the day before */
	OK(prune_with(&o, NULL, "daily=2"));
	assert_string_equal(told.text, "s1:daily s2 s3 s4 s5 s6:daily");
}

static void only_those_with_tags(void **state)
{
	const char *const odd[] = {"odd"}, *const both[] = {"odd", "third"}, *const none[] = {""},
			  *const all_of[] = {"odd,x"};
	struct linkfs_prune_options o = {.tags = odd, .tag_count = 1, .flags = LINKFS_PRUNE_DRY_RUN};
	(void)state;
	hours(6);
	OK(prune_with(&o, NULL, "last=1"));
	assert_string_equal(told.text, "s1 s5:last");
	o.tags = both;
	o.tag_count = 2;
	OK(prune_with(&o, NULL, "last=1 daily=2"));
	assert_string_equal(told.text, "s1:oldest-daily s3 s5 s6:last:daily");
	o.tags = none;
	o.tag_count = 1;
	OK(prune_with(&o, NULL, "last=1"));
	assert_string_equal(told.text, "s2 s4:last");
	o.tags = all_of;
	OK(prune_with(&o, NULL, "last=1"));
	assert_string_equal(told.text, "");
	OK(linkfs_snapshot_tag(v, NULL, "s1", "x", NULL));
	OK(prune_with(&o, NULL, "last=1"));
	assert_string_equal(told.text, "s1:last");
	/* The others are not deleted either. */
	o = (struct linkfs_prune_options){.tags = odd, .tag_count = 1};
	OK(prune_with(&o, NULL, "last=1"));
	assert_string_equal(all(), "s2 s3 s4 s5 s6");
}

static void nothing_without_a_rule(void **state)
{
	const char *const odd[] = {"odd"};
	struct linkfs_prune_options o = {.flags = LINKFS_PRUNE_ALL};
	(void)state;
	OK(prune("last=1", 0)); /* there is none */
	assert_string_equal(told.text, "");
	hours(6);
	assert_int_equal(prune("", 0), LINKFS_EINVAL);
	assert_non_null(strstr(why.text, "there is no rule"));
	assert_int_equal(prune("last=0 daily=0 within=0h", 0), LINKFS_EINVAL);
	assert_int_equal(prune("", LINKFS_PRUNE_DRY_RUN), LINKFS_EINVAL);
	assert_int_equal(prune("tag=nobody", 0), LINKFS_EINVAL);
	assert_non_null(strstr(why.text, "no rule keeps any of the 6"));
	assert_string_equal(told.text, "");
	assert_int_equal(prune_with(&o, NULL, ""), LINKFS_EINVAL);
	assert_int_equal(prune("last=1", 4), LINKFS_EINVAL);
	assert_string_equal(all(), "s1 s2 s3 s4 s5 s6");
	o.tags = odd;
	o.tag_count = 1;
	OK(prune_with(&o, NULL, ""));
	assert_string_equal(all(), "s2 s3 s4 s6");
	assert_int_equal(done.gone, 2);
	OK(prune("tag=nobody", LINKFS_PRUNE_ALL));
	assert_string_equal(all(), "");
	check();
}

static uint64_t used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static void big(const char *name, char fill, unsigned blocks)
{
	static char text[65537];
	assert_true(blocks <= 16);
	memset(text, fill, sizeof(text));
	text[blocks * 4096] = 0;
	put(name, text);
}

/* A file that changes before each snapshot, one that goes after it, one that stays and goes at last. */
static void generations(unsigned count)
{
	big("stays", 's', 5);
	for (unsigned i = 1; i <= count; i++) {
		char name[16];
		big("changes", (char)('a' + i), 1 + i % 16);
		(void)snprintf(name, sizeof(name), "f%u", i);
		big(name, 'f', 3);
		(void)snprintf(name, sizeof(name), "s%u", i);
		OK(take(name, NULL));
		now += HOUR;
		name[0] = 'f';
		OK(linkfs_path_unlink(v, NULL, ROOT, name));
	}
	OK(linkfs_path_unlink(v, NULL, ROOT, "stays"));
}

static void it_gives_back_what_it_says(void **state)
{
	(void)state;
	generations(10);
	uint64_t before = used();
	OK(prune("last=2", LINKFS_PRUNE_DRY_RUN));
	uint64_t would = done.bytes;
	OK(prune("last=2", 0));
	assert_int_equal(done.gone, 8);
	assert_int_equal(done.bytes, would);
	assert_true(done.bytes >= 8 * 3 * 4096);
	assert_int_equal((before - used()) * 4096, done.bytes);
	check();
	before = used();
	OK(prune("tag=x", LINKFS_PRUNE_ALL | LINKFS_PRUNE_DRY_RUN));
	would = done.bytes;
	OK(prune("tag=x", LINKFS_PRUNE_ALL));
	assert_int_equal(done.bytes, would);
	assert_int_equal((before - used()) * 4096, done.bytes);
	assert_int_equal(used(), 11); /* what "changes" has now */
	check();
}

/* What a file without a name has is not given back before it goes, whoever else had it. */
static void open_and_kept_files_are_not_given_back(void **state)
{
	struct linkfs_file *open, *file;
	(void)state;
	OK(take("s1", "old"));
	big("open", 'o', 7);
	big("kept", 'k', 5);
	big("goes", 'g', 3);
	put("small", "among the metadata");
	OK(linkfs_path_clone(v, NULL, ROOT, "kept", ROOT, "clone", 0, NULL));
	OK(linkfs_file_open(v, NULL, ROOT, "open", LINKFS_O_READ | LINKFS_O_WRITE, 0, &open));
	OK(linkfs_file_open(v, NULL, ROOT, "small", LINKFS_O_READ, 0, &file));
	OK(take("s2", NULL));
	/* What it overwrites is the snapshot's alone. */
	OK(linkfs_file_write(open, 0, "new", 3, NULL));
	const char *const names[] = {"goes", "open", "small", "clone"};
	for (unsigned i = 0; i < 4; i++)
		OK(linkfs_path_unlink(v, NULL, ROOT, names[i]));
	OK(linkfs_volume_set_property(v, NULL, "keep-deleted", "1d", NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "kept"));
	OK(prune("tag=old", LINKFS_PRUNE_DRY_RUN));
	assert_int_equal(done.bytes, (1 + 3) * 4096);
	OK(prune("tag=old", 0));
	assert_int_equal(done.gone, 1);
	assert_int_equal(done.bytes, (1 + 3) * 4096);
	linkfs_file_close(open);
	linkfs_file_close(file);
	check();
}

static void others_may_be_faster(void **state)
{
	(void)state;
	generations(4);
	told.deleted = "s2";
	OK(prune("last=1", LINKFS_PRUNE_DRY_RUN));
	assert_int_equal(done.goes, 3);
	told.deleted = NULL;
	uint64_t would = done.bytes;
	OK(prune("last=1", LINKFS_PRUNE_DRY_RUN));
	assert_int_equal(done.bytes, would);
	told.deleted = "s3";
	OK(prune("last=1", 0));
	told.deleted = NULL;
	assert_int_equal(done.goes, 2);
	assert_int_equal(done.gone, 1);
	assert_string_equal(all(), "s4");
	/* Nothing is left to be asked about. */
	OK(take("s5", NULL));
	told.deleted = "s4";
	OK(prune("last=1", LINKFS_PRUNE_DRY_RUN));
	told.deleted = NULL;
	assert_int_equal(done.bytes, 0);
	check();
}

/* In this order no row of history is passed on twice: in the other one "stays" alone would be at each. */
static void the_oldest_go_first(void **state)
{
	uint64_t rows = 0, first;
	(void)state;
	generations(10);
	OK(prune("tag=x", LINKFS_PRUNE_ALL));
	first = done.rows;
	generations(10);
	for (unsigned i = 10; i > 0; i--) {
		struct linkfs_snapshot_progress progress;
		char name[16];
		(void)snprintf(name, sizeof(name), "s%u", i);
		OK(linkfs_snapshot_delete(v, NULL, name, NULL, NULL, &progress));
		rows += progress.rows;
	}
	assert_true(first > 40 && rows > first + 8);
}

static int stop(void *arg, const struct linkfs_snapshot_progress *progress)
{
	unsigned *left = arg;
	(void)progress;
	return (*left)-- == 0;
}

static void it_can_be_ended(void **state)
{
	unsigned left = 0;
	struct linkfs_prune_options o = {.progress = stop, .progress_arg = &left};
	(void)state;
	hours(6);
	assert_int_equal(prune_with(&o, NULL, "last=1"), LINKFS_EINTR);
	assert_int_equal(done.gone, 0);
	assert_int_equal(done.goes, 5);
	assert_string_equal(all(), "s1 s2 s3 s4 s5 s6");
	left = 2;
	assert_int_equal(prune_with(&o, NULL, "last=1"), LINKFS_EINTR);
	assert_int_equal(done.gone, 2);
	assert_string_equal(all(), "s3 s4 s5 s6");
	told.stop_at = 2;
	assert_int_equal(prune("last=1", 0), LINKFS_EINTR);
	told.stop_at = 0;
	assert_int_equal(done.gone, 0);
	assert_string_equal(all(), "s3 s4 s5 s6");
	/* Within one deletion: its snapshot is gone, and its space comes back with the volume's next opening. */
	OK(prune("tag=x", LINKFS_PRUNE_ALL));
	for (unsigned i = 0; i < 400; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "n%u", i);
		big(name, 'n', 1);
	}
	OK(take("many", NULL));
	OK(take("last", NULL));
	for (unsigned i = 0; i < 400; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "n%u", i);
		OK(linkfs_path_unlink(v, NULL, ROOT, name));
	}
	OK(linkfs_snapshot_delete(v, NULL, "last", NULL, NULL, NULL));
	OK(take("last", NULL));
	left = 1;
	assert_int_equal(prune_with(&o, NULL, "last=1"), LINKFS_EINTR);
	assert_int_equal(done.gone, 1);
	assert_string_equal(all(), "last");
	reopen();
	for (unsigned i = 0; used() && i < 100000; i++) {
	}
	assert_int_equal(used(), 0);
	check();
}

static void for_whom(void **state)
{
	struct linkfs_cred other = {.uid = 1000, .gid = 1000};
	struct linkfs_prune_options o = {0};
	struct linkfs_setattr own = {.valid = LINKFS_SET_UID, .uid = 1000};
	(void)state;
	hours(3);
	assert_int_equal(prune_with(&o, &other, "last=1"), LINKFS_EPERM);
	assert_string_equal(told.text, "");
	assert_string_equal(all(), "s1 s2 s3");
	o.flags = LINKFS_PRUNE_DRY_RUN;
	OK(prune_with(&o, &other, "last=1"));
	OK(linkfs_node_setattr(v, NULL, ROOT, &own, NULL));
	o.flags = 0;
	OK(prune_with(&o, &other, "last=1"));
	assert_string_equal(all(), "s3");
	OK(linkfs_volume_close(v));
	OK(linkfs_volume_open(volume_path, &(struct linkfs_open_options){.flags = LINKFS_OPEN_READONLY}, &v, NULL));
	assert_int_equal(prune("last=1", 0), LINKFS_EROFS);
	OK(prune("last=1", LINKFS_PRUNE_DRY_RUN));
	assert_string_equal(told.text, "s3:last");
}

static void rules_by_name(void **state)
{
	struct linkfs_prune_rule rule;
	struct linkfs_prune_rules *rules;
	size_t count = 0;
	(void)state;
	OK(linkfs_prune_rules_new(&rules));
	for (; linkfs_prune_rule(count, &rule) == 0; count++) {
		bool within = strncmp(rule.name, "within", 6) == 0, tag = strcmp(rule.name, "tag") == 0;
		OK(linkfs_prune_rules_add(rules, rule.name, within ? "1y" : tag ? "a,b" : "7", NULL));
		assert_int_equal(linkfs_prune_rules_add(rules, rule.name, "a b", &why), LINKFS_EINVAL);
		assert_non_null(strstr(why.text, rule.name));
		assert_non_null(strstr(why.text, rule.form));
		assert_true(rule.text[0]);
	}
	assert_int_equal(count, 13);
	assert_int_equal(linkfs_prune_rules_add(rules, "minutely", "1", &why), LINKFS_EINVAL);
	linkfs_prune_rules_free(rules);
	linkfs_prune_rules_free(NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_tells_and_deletes),
		CASE(days_are_the_callers),
		CASE(only_those_with_tags),
		CASE(nothing_without_a_rule),
		CASE(it_gives_back_what_it_says),
		CASE(open_and_kept_files_are_not_given_back),
		CASE(others_may_be_faster),
		CASE(the_oldest_go_first),
		CASE(it_can_be_ended),
		CASE(for_whom),
		CASE(rules_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
