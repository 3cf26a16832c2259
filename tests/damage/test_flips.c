/*
 * test_flips.c - single bits flipped all over a volume (F3, P4): each is found by a check with --data or changes nothing, and whoever opens
 * the volume reads what was written or gets an error, also of a volume whose log a crash left. Never does it read an earlier state.
 */
#include "image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMITS 6u

struct volume {
	char path[4200];
	struct image image;
	struct tree tree;             /* what it shows */
	size_t used[IMAGE_FILES_MAX]; /* of each file, up to the last byte that is not zero */
	size_t total;
};

struct tally {
	unsigned detected, refused, harmless;
};

static struct lk_test_random rng;
static unsigned flips;

/* ---- volumes ------------------------------------------------------------------------------------------------------------ */

static void measure(struct volume *v)
{
	v->total = 0;
	for (size_t i = 0; i < v->image.count; i++) {
		const struct image_file *f = &v->image.files[i];
		size_t n = f->len;
		if (strcmp(f->name, "meta.db-wal") == 0) {
			while (n && !f->bytes[n - 1])
				n--;
		}
		v->used[i] = n;
		v->total += n;
	}
}

static void closed_volume(struct volume *v, const struct base *b)
{
	*v = (struct volume){.total = 0};
	(void)snprintf(v->path, sizeof(v->path), "%s", b->s.path);
	image_put(&b->image, v->path);
	image_take(v->path, &v->image);
	tree_open(v->path, 0, &v->tree);
	image_put(&v->image, v->path);
	measure(v);
}

/* One commit's worth of work. */
static void work(struct linkfs_volume *v, unsigned step)
{
	char name[32];
	uint8_t bytes[3 * LK_BLOCK_SIZE];
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	memset(bytes, 'a' + (int)step, sizeof(bytes));
	(void)snprintf(name, sizeof(name), "open/new%u", step);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, name, &how, &st), 0);
	assert_int_equal(linkfs_node_write(v, NULL, st.ino, 0, bytes, step % 2 ? sizeof(bytes) : 50, 0, NULL, NULL), 0);
	if (step == 2)
		assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "copy"), 0);
	if (step == 3)
		assert_int_equal(linkfs_path_rename(v, NULL, LINKFS_ROOT_INO, "sub/deep", LINKFS_ROOT_INO, "moved", 0),
				 0);
	if (step == 4)
		assert_int_equal(linkfs_path_link(v, NULL, LINKFS_ROOT_INO, "small", LINKFS_ROOT_INO, "moved/small", 0),
				 0);
	if (step == 5)
		assert_int_equal(linkfs_path_replace_symlink(v, NULL, "elsewhere", LINKFS_ROOT_INO, "sub/link", NULL),
				 0);
	assert_int_equal(linkfs_volume_sync(v), 0);
}

/* Works, and is not closed. */
static void leave_open(const struct base *b)
{
	struct linkfs_volume *v;
	assert_int_equal(linkfs_volume_open(b->s.path, NULL, &v, NULL), 0);
	for (unsigned step = 1; step <= COMMITS; step++)
		work(v, step);
}

static void open_volume(struct volume *v, const struct base *b)
{
	int status;
	*v = (struct volume){.total = 0};
	(void)snprintf(v->path, sizeof(v->path), "%s", b->s.path);
	image_put(&b->image, v->path);
	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		leave_open(b);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	image_take(v->path, &v->image);
	tree_open(v->path, 0, &v->tree);
	image_put(&v->image, v->path);
	measure(v);
	assert_non_null(image_file(&v->image, "meta.db-wal"));
}

static void volume_done(struct volume *v)
{
	image_done(&v->image);
	tree_done(&v->tree);
}

/* ---- one bit ------------------------------------------------------------------------------------------------------------ */

static void flip(const struct volume *v, size_t file, size_t at, unsigned bit)
{
	char path[4400];
	const struct image_file *f = &v->image.files[file];
	(void)snprintf(path, sizeof(path), "%s/%s", v->path, f->name);
	uint8_t byte = (uint8_t)(f->bytes[at] ^ (1u << bit & 0xff));
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	(void)close(fd);
}

static void judge(const struct volume *v, size_t file, size_t at, unsigned bit, bool write, struct tally *tally)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum = {.problems = 0};
	char text[4096];
	struct tree now;
	flip(v, file, at, bit);
	int r = linkfs_check(v->path, &options, &sum, NULL);
	bool clean = r == 0 && sum.problems == 0;
	tree_open(v->path, write ? 0 : LINKFS_OPEN_READONLY, &now);
	size_t n = clean ? tree_differ(&v->tree, &now, NULL, text, sizeof(text))
			 : tree_wrong(&v->tree, &now, text, sizeof(text));
	if (n)
		fail_msg("bit %u of byte %zu of %s: the check %s, and what is read is wrong:%s", bit, at,
			 v->image.files[file].name, clean ? "is clean" : "finds it", text);
	if (!clean && tree_value(&now, "= open"))
		tally->refused++;
	else if (!clean)
		tally->detected++;
	else
		tally->harmless++;
	tree_done(&now);
	if (write)
		image_put(&v->image, v->path);
	else
		flip(v, file, at, 8); /* no bit of the byte: as it was */
}

static void many(struct volume *v, unsigned count, const char *what)
{
	struct tally tally = {0};
	for (unsigned i = 0; i < count; i++) {
		size_t file = 0, at = lk_test_below(&rng, v->total);
		unsigned bit = (unsigned)lk_test_below(&rng, 8);
		while (at >= v->used[file])
			at -= v->used[file++];
		judge(v, file, at, bit, i % 8 == 0, &tally);
	}
	print_message("# %s: %u bits of %zu bytes: %u found by check, %u refused at opening, %u harmless\n", what,
		      count, v->total, tally.detected, tally.refused, tally.harmless);
	/* The test sees something, and not only that. */
	assert_true(tally.detected > count / 10 && tally.harmless > 0);
}

static void a_flipped_bit_of_a_closed_volume_is_found_or_harmless(void **state)
{
	struct base b;
	struct volume v;
	(void)state;
	rng.state = lk_test_seed();
	base_make(&b);
	closed_volume(&v, &b);
	many(&v, flips * 2 / 3, "closed");
	volume_done(&v);
	base_done(&b);
}

static void a_flipped_bit_of_an_unclosed_volume_is_found_or_harmless(void **state)
{
	struct base b;
	struct volume v;
	(void)state;
	rng.state = lk_test_seed() + 1;
	base_make(&b);
	open_volume(&v, &b);
	many(&v, flips / 3, "with a log");
	volume_done(&v);
	base_done(&b);
}

/* The number of bits; 100 times that in the long run. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flipped_bit_of_a_closed_volume_is_found_or_harmless),
		cmocka_unit_test(a_flipped_bit_of_an_unclosed_volume_is_found_or_harmless),
	};
	flips = (argc > 1 ? (unsigned)atoi(argv[1]) : 600) * (lk_test_long() ? 100 : 1);
	return cmocka_run_group_tests_name("damage-flips", tests, NULL, NULL);
}
