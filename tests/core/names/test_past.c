/*
 * test_past.c - names and tracked links at a snapshot (K2, D5): the names of each inode, through the indexes by inode, and the text of each tracked
 * link are those of its time, whatever happened since.
 */
#include "link.h"
#include "test.h"
#include "track.h"
#include "volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INOS 600
#define SNAPSHOTS 12
#define PATHS 40

static char *top;
static struct linkfs_volume *volume;
static struct lk_test_random rnd;

static int setup(void **state)
{
	char path[4096];
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/v", top);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &volume, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(linkfs_volume_close(volume), 0);
	lk_test_rmdir(top);
	return 0;
}

/* What a view says of every inode: NULL for one that is not there. */
struct state {
	int64_t epoch;
	char *text[INOS], *names[INOS];
};

static int add_name(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct lk_buf *out = arg;
	char where[64];
	(void)snprintf(where, sizeof(where), "%lld/%lld:", (long long)d->dir, (long long)lk_dirent_cookie(d));
	return lk_buf_append(out, where, strlen(where)) || lk_buf_append(out, d->name.p, d->name.len) ||
			       lk_buf_append(out, " ", 1)
		       ? LINKFS_ENOMEM
		       : 0;
}

static void look(struct lk_op *op, struct state *out)
{
	for (uint64_t ino = 1; ino < INOS; ino++) {
		struct lk_inode inode;
		struct lk_buf names = {0};
		const char *text;
		size_t len;
		int r = lk_inode_get(op, ino, &inode);
		if (r == LINKFS_ESTALE)
			continue;
		assert_int_equal(r, 0);
		assert_int_equal(lk_dirent_names(op, ino, 0, add_name, &names), 0);
		assert_int_equal(lk_buf_append(&names, "", 1), 0);
		out->names[ino] = strdup((const char *)names.p);
		lk_buf_done(&names);
		if (!lk_is_lnk(&inode))
			continue;
		assert_int_equal(lk_symlink_text(op, &inode, 0, &text, &len), 0);
		out->text[ino] = strndup(text, len);
	}
}

static void done(struct state *s)
{
	for (int i = 0; i < INOS; i++) {
		free(s->text[i]);
		free(s->names[i]);
	}
}

static void path(char *out)
{
	static const char *const dirs[] = {"", "a/", "b/", "a/c/", "b/d/", "a/c/e/"};
	(void)snprintf(out, PATHS, "%sn%u", dirs[lk_test_below(&rnd, 6)], (unsigned)lk_test_below(&rnd, 5));
	if (lk_test_below(&rnd, 4) == 0) /* the directories themselves */
		(void)snprintf(out, PATHS, "%s",
			       (const char *const[]){"a", "b", "a/c", "b/d", "a/c/e"}[lk_test_below(&rnd, 5)]);
}

/* One operation, which may fail. */
static void change(void)
{
	char a[PATHS], b[PATHS];
	struct linkfs_make dir = {.mode = S_IFDIR | 0755}, file = {.mode = S_IFREG | 0644};
	path(a);
	path(b);
	switch (lk_test_below(&rnd, 9)) {
	case 0:
		(void)linkfs_path_make(volume, NULL, 1, a, &dir, NULL);
		break;
	case 1:
		(void)linkfs_path_make(volume, NULL, 1, a, &file, NULL);
		break;
	case 2:
	case 3:
		(void)linkfs_path_track(volume, NULL, 1, a, 1, b, lk_test_below(&rnd, 2) ? LINKFS_TRACK_REPLACE : 0,
					NULL);
		break;
	case 4:
		(void)linkfs_path_link(volume, NULL, 1, a, 1, b, 0);
		break;
	case 5:
		(void)linkfs_path_unlink(volume, NULL, 1, a);
		break;
	case 6:
		(void)linkfs_path_rmdir(volume, NULL, 1, a);
		break;
	case 7:
		(void)linkfs_path_rename(volume, NULL, 1, a, 1, b, LINKFS_RENAME_EXCHANGE);
		break;
	default:
		(void)linkfs_path_rename(volume, NULL, 1, a, 1, b, 0);
		break;
	}
}

static void compare(const struct state *was)
{
	struct state now = {.epoch = 0};
	struct lk_op op;
	assert_int_equal(lk_op_begin(lk_volume_fs(volume), &op, 0), 0);
	op.view = was->epoch;
	look(&op, &now);
	assert_int_equal(lk_op_end(&op, 0), 0);
	for (int i = 0; i < INOS; i++) {
		if (!was->names[i]) {
			assert_null(now.names[i]);
			continue;
		}
		assert_non_null(now.names[i]);
		assert_string_equal(now.names[i], was->names[i]);
		if (was->text[i])
			assert_string_equal(now.text[i], was->text[i]);
	}
	done(&now);
}

static void snapshots_have_the_names_and_texts_of_their_time(void **unused)
{
	struct state *states = calloc(SNAPSHOTS, sizeof(*states));
	(void)unused;
	assert_non_null(states);
	rnd.state = lk_test_seed();
	for (int n = 0; n < SNAPSHOTS; n++) {
		char name[16];
		struct lk_snapshot s = {.name = {name, 0}};
		struct lk_op op;
		for (int i = 0; i < 60; i++)
			change();
		(void)snprintf(name, sizeof(name), "s%d", n);
		s.name.len = strlen(name);
		assert_int_equal(lk_op_begin(lk_volume_fs(volume), &op, LK_OP_WRITE), 0);
		look(&op, &states[n]);
		assert_int_equal(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)), 0);
		states[n].epoch = s.epoch;
		for (int k = 0; k <= n; k++)
			compare(&states[k]);
	}
	for (int n = 0; n < SNAPSHOTS; n++)
		done(&states[n]);
	free(states);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(snapshots_have_the_names_and_texts_of_their_time, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
