/*
 * test_index.c - after random operations: the reverse index and the component index say what a scan of the records says,
 * link counts are the names counted, buckets hold names of equal hash; and EMLINK where the count is at its limit.
 */
#include "dirents.h"
#include "link.h"
#include "node.h"
#include "test.h"
#include "volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	char *dir;
	char path[4096];
	struct linkfs_volume *volume;
};

static void open_volume(struct fixture *f)
{
	struct linkfs_open_options options = {0};

	assert_int_equal(linkfs_volume_open(f->path, &options, &f->volume, NULL), 0);
}

static int setup(void **state)
{
	struct linkfs_create_options create = {0};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dir = lk_test_mkdir();
	(void)snprintf(f->path, sizeof(f->path), "%s/v", f->dir);
	assert_int_equal(linkfs_volume_create(f->path, &create, NULL), 0);
	open_volume(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(linkfs_volume_close(f->volume), 0);
	lk_test_rmdir(f->dir);
	free(f);
	return 0;
}

/* ---- a dump of the tables, by plain scans ----------------------------------------------------------------------- */

struct rows {
	struct lk_buf buf; /* of one struct each, fixed size */
	size_t size;
};

struct entry {
	int64_t dir, hash, ord, ino;
	char name[256];
};
struct component {
	int64_t hash, ino, position, is_last;
};
struct inode {
	int64_t ino, mode, nlink, size;
};
struct text {
	int64_t ino;
	size_t len;
	char text[4096];
};

static void add(struct rows *rows, const void *row, size_t size)
{
	rows->size = size;
	assert_int_equal(lk_buf_append(&rows->buf, row, size), 0);
}

static size_t count(const struct rows *rows)
{
	return rows->size ? rows->buf.len / rows->size : 0;
}

static void *at(const struct rows *rows, size_t i)
{
	return rows->buf.p + i * rows->size;
}

static int take_entry(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct entry e = {d->dir, d->hash, d->ord, d->ino, {0}};

	assert_in_range(d->name.len, 1, 255);
	memcpy(e.name, d->name.p, d->name.len);
	add(arg, &e, sizeof(e));
	return 0;
}

static int take_component(void *arg, const void *record)
{
	const struct lk_component *c = record;
	struct component row = {c->hash, c->ino, c->position, c->is_last};

	add(arg, &row, sizeof(row));
	return 0;
}

static int take_inode(void *arg, const void *record)
{
	const struct lk_inode *i = record;
	struct inode row = {i->ino, i->mode, i->nlink, i->size};

	add(arg, &row, sizeof(row));
	return 0;
}

static int take_text(void *arg, const void *record)
{
	const struct lk_target *t = record;
	struct text row = {.ino = t->ino, .len = t->text.len};

	memcpy(row.text, t->text.p, t->text.len);
	add(arg, &row, sizeof(row));
	return 0;
}

static void scan(struct fixture *f, enum lk_table_id table, int index, lk_row_fn *fn, struct rows *out)
{
	_Alignas(8) char from[LK_RECORD_MAX] = {0};
	struct lk_scan s = {.table = &lk_tables[table], .index = index, .from = from};
	struct lk_op op;

	assert_int_equal(lk_op_begin(lk_volume_fs(f->volume), &op, 0), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_scan(&op, &s, fn, out)), 0);
}

static int compare_entries(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct entry));
}

static int compare_components(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct component));
}

/* What the texts give, computed the plain way. */
static void components_of(const struct fixture *f, const struct text *t, struct rows *out)
{
	char copy[4097], dot[] = ".", *save = NULL, *word, *words[2048];
	int64_t n = 0;

	memcpy(copy, t->text, t->len);
	copy[t->len] = 0;
	for (word = strtok_r(copy, "/", &save); word; word = strtok_r(NULL, "/", &save))
		if (strcmp(word, ".") != 0)
			words[n++] = word;
	if (n == 0)
		words[n++] = dot;
	for (int64_t i = 0; i < n; i++) {
		struct component c = {lk_name_hash(f->volume->fs->name_secret, words[i], strlen(words[i])), t->ino, i,
				      i == n - 1};

		add(out, &c, sizeof(c));
	}
}

static void check_components(struct fixture *f)
{
	struct rows texts = {0}, want = {0}, have = {0};

	scan(f, LK_T_TARGET, LK_BY_KEY, take_text, &texts);
	for (size_t i = 0; i < count(&texts); i++)
		components_of(f, at(&texts, i), &want);
	scan(f, LK_T_COMPONENT, LK_BY_KEY, take_component, &have);
	assert_int_equal(count(&want), count(&have));
	if (count(&want)) {
		qsort(want.buf.p, count(&want), want.size, compare_components);
		qsort(have.buf.p, count(&have), have.size, compare_components);
		assert_memory_equal(want.buf.p, have.buf.p, want.buf.len);
	}
	lk_buf_done(&texts.buf);
	lk_buf_done(&want.buf);
	lk_buf_done(&have.buf);
}

static void check_counts(struct rows *entries, struct rows *inodes)
{
	for (size_t i = 0; i < count(inodes); i++) {
		const struct inode *node = at(inodes, i);
		int64_t names = 0, subdirs = 0;

		for (size_t e = 0; e < count(entries); e++) {
			const struct entry *entry = at(entries, e);

			names += entry->ino == node->ino;
			if (entry->dir != node->ino)
				continue;
			for (size_t k = 0; k < count(inodes); k++) {
				const struct inode *child = at(inodes, k);

				subdirs += child->ino == entry->ino && S_ISDIR((mode_t)child->mode);
			}
		}
		if (node->nlink == 0) { /* removed and held open */
			assert_int_equal(names + subdirs, 0);
		} else if (S_ISDIR((mode_t)node->mode)) {
			assert_int_equal(node->nlink, 2 + subdirs);
			assert_int_equal(names, node->ino == LINKFS_ROOT_INO ? 0 : 1);
		} else {
			assert_int_equal(node->nlink, names);
		}
	}
}

/* Returns the number of entries. */
static size_t check_all(struct fixture *f)
{
	struct rows by_key = {0}, by_ino = {0}, inodes = {0};
	struct linkfs_info info;
	size_t entries;

	/* Records of inodes wait in memory for the commit. */
	assert_int_equal(linkfs_volume_sync(f->volume), 0);
	scan(f, LK_T_DIRENT, LK_BY_KEY, take_entry, &by_key);
	scan(f, LK_T_DIRENT, LK_DIRENT_BY_INO, take_entry, &by_ino);
	scan(f, LK_T_INODE, LK_BY_KEY, take_inode, &inodes);
	for (size_t i = 0; i < count(&by_key); i++) {
		const struct entry *e = at(&by_key, i);

		assert_int_equal(e->hash, lk_name_hash(f->volume->fs->name_secret, e->name, strlen(e->name)));
	}
	check_counts(&by_key, &inodes);
	assert_int_equal(linkfs_volume_info(f->volume, &info), 0);
	assert_int_equal(info.inodes, count(&inodes));
	assert_int_equal(count(&by_key), count(&by_ino));
	if (count(&by_key)) {
		qsort(by_key.buf.p, count(&by_key), by_key.size, compare_entries);
		qsort(by_ino.buf.p, count(&by_ino), by_ino.size, compare_entries);
		assert_memory_equal(by_key.buf.p, by_ino.buf.p, by_key.buf.len);
	}
	entries = count(&by_key);
	lk_buf_done(&by_key.buf);
	lk_buf_done(&by_ino.buf);
	lk_buf_done(&inodes.buf);
	check_components(f);
	return entries;
}

/* ---- random operations --------------------------------------------------------------------------------------------- */

static void random_path(struct lk_test_random *r, char *out)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f g", "\xff\x80"};
	uint64_t depth = 1 + lk_test_below(r, 3);

	out[0] = 0;
	for (uint64_t i = 0; i < depth; i++) {
		if (i)
			strcat(out, "/");
		strcat(out, names[lk_test_below(r, 7)]);
	}
}

static void random_text(struct lk_test_random *r, char *out)
{
	static const char *const parts[] = {"a", "b", "..", ".", "/", "//", "d", "long-name", "e"};
	uint64_t n = 1 + lk_test_below(r, 8);

	out[0] = 0;
	for (uint64_t i = 0; i < n; i++) {
		strcat(out, parts[lk_test_below(r, 9)]);
		if (lk_test_below(r, 3))
			strcat(out, "/");
	}
}

static void random_op(struct fixture *f, struct lk_test_random *r, struct linkfs_file **held)
{
	struct linkfs_volume *v = f->volume;
	struct linkfs_make how = {.mode = lk_test_below(r, 2) ? S_IFDIR | 0755 : S_IFREG | 0644};
	static const uint32_t flags[] = {0, 0, LINKFS_RENAME_NOREPLACE, LINKFS_RENAME_EXCHANGE};
	char a[64], b[64], text[256];
	uint64_t slot = lk_test_below(r, 8);

	random_path(r, a);
	random_path(r, b);
	switch (lk_test_below(r, 10)) {
	case 0:
	case 1:
		(void)linkfs_path_make(v, NULL, LINKFS_ROOT_INO, a, &how, NULL);
		break;
	case 2:
		random_text(r, text);
		(void)linkfs_path_symlink(v, NULL, text, LINKFS_ROOT_INO, a, NULL);
		break;
	case 3:
		(void)linkfs_path_link(v, NULL, LINKFS_ROOT_INO, a, LINKFS_ROOT_INO, b, 0);
		break;
	case 4:
		(void)linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, a);
		break;
	case 5:
		(void)linkfs_path_rmdir(v, NULL, LINKFS_ROOT_INO, a);
		break;
	case 6:
	case 7:
		(void)linkfs_path_rename(v, NULL, LINKFS_ROOT_INO, a, LINKFS_ROOT_INO, b, flags[lk_test_below(r, 4)]);
		break;
	case 8:
		random_text(r, text);
		(void)linkfs_path_replace_symlink(v, NULL, text, LINKFS_ROOT_INO, a, NULL);
		break;
	default:
		linkfs_file_close(held[slot]);
		held[slot] = NULL;
		(void)linkfs_file_open(v, NULL, LINKFS_ROOT_INO, a, LINKFS_O_READ, 0, &held[slot]);
		break;
	}
}

static void indexes_follow(void **state)
{
	struct fixture *f = *state;
	struct lk_test_random r = {lk_test_seed()};
	struct linkfs_file *held[8] = {0};
	size_t most = 0;

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 250; i++)
			random_op(f, &r, held);
		size_t entries = check_all(f);

		most = entries > most ? entries : most;
	}
	assert_true(most >= 30); /* or the operations all failed */
	/* What was held and unlinked is gone with the handles; what was written is found again. */
	for (size_t i = 0; i < 8; i++)
		linkfs_file_close(held[i]);
	check_all(f);
	assert_int_equal(linkfs_volume_close(f->volume), 0);
	open_volume(f);
	check_all(f);
}

/* ---- limits --------------------------------------------------------------------------------------------------------- */

static void set_nlink(struct fixture *f, uint64_t ino, int64_t nlink)
{
	struct lk_inode inode;
	struct lk_op op;

	assert_int_equal(lk_op_begin(lk_volume_fs(f->volume), &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_inode_get(&op, ino, &inode), 0);
	inode.nlink = nlink;
	assert_int_equal(lk_op_end(&op, lk_inode_put(&op, &inode)), 0);
}

static void too_many_links(void **state)
{
	struct fixture *f = *state;
	struct linkfs_make file = {.mode = S_IFREG | 0644}, dir = {.mode = S_IFDIR | 0755};
	struct linkfs_volume *v = f->volume;
	struct linkfs_stat st, d;

	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "f", &file, &st), 0);
	set_nlink(f, st.ino, LINKFS_LINK_MAX - 1);
	assert_int_equal(linkfs_path_link(v, NULL, 1, "f", 1, "g", 0), 0);
	assert_int_equal(linkfs_path_link(v, NULL, 1, "f", 1, "h", 0), LINKFS_EMLINK);
	assert_int_equal(linkfs_path_link(v, NULL, 1, "f", 1, "g", 0), LINKFS_EEXIST);
	assert_int_equal(linkfs_path_unlink(v, NULL, 1, "g"), 0);
	assert_int_equal(linkfs_path_link(v, NULL, 1, "f", 1, "h", 0), 0);
	set_nlink(f, st.ino, 2);

	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "d", &dir, &d), 0);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "e", &dir, NULL), 0);
	set_nlink(f, d.ino, LINKFS_LINK_MAX);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "d/x", &dir, NULL), LINKFS_EMLINK);
	assert_int_equal(linkfs_path_rename(v, NULL, 1, "e", 1, "d/e", 0), LINKFS_EMLINK);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "d/x", &file, NULL), 0);
	assert_int_equal(linkfs_path_rename(v, NULL, 1, "e", 1, "d/x", LINKFS_RENAME_EXCHANGE), LINKFS_EMLINK);
	assert_int_equal(linkfs_path_rename(v, NULL, 1, "d/x", 1, "e", LINKFS_RENAME_EXCHANGE), LINKFS_EMLINK);
	assert_int_equal(linkfs_path_rename(v, NULL, 1, "h", 1, "d/h", 0), 0);
	set_nlink(f, d.ino, 2);
	check_all(f);
}

/* Names whose hashes are the same share a bucket of 256; the 257th is refused, and each is found and removed alone. */
static void full_bucket(void **state)
{
	struct fixture *f = *state;
	struct lk_fs *fs = lk_volume_fs(f->volume);
	struct linkfs_make file = {.mode = S_IFREG | 0644};
	struct lk_slot slot, found;
	struct linkfs_stat st;
	struct lk_op op;
	int64_t hash;

	assert_int_equal(linkfs_path_make(f->volume, NULL, 1, "probe", &file, &st), 0);
	hash = lk_name_hash(fs->name_secret, "probe", 5);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	/* No two names with one hash are known, so rows are put as a collision would leave them. */
	for (int64_t ord = 1; ord <= LK_ORD_MAX; ord++) {
		char name[16];
		struct lk_slot other = {.dir = 1, .hash = hash, .ord = ord};

		(void)snprintf(name, sizeof(name), "n%d", (int)ord);
		assert_int_equal(lk_dirent_insert(&op, &other, name, strlen(name), st.ino, S_IFREG), 0);
	}
	assert_int_equal(lk_dirent_find(&op, 1, "probe", 5, &slot), 0);
	assert_int_equal(slot.ino, st.ino);
	assert_int_equal(slot.ord, 0);
	assert_int_equal(lk_dirent_remove(&op, &slot, "probe", 5), 0);
	assert_int_equal(lk_dirent_find(&op, 1, "probe", 5, &found), 0);
	assert_int_equal(found.ino, 0);
	assert_int_equal(found.ord, 0);
	assert_int_equal(lk_dirent_insert(&op, &found, "probe", 5, st.ino, S_IFREG), 0);
	found.ord = LK_ORD_MAX + 1;
	assert_int_equal(lk_dirent_insert(&op, &found, "other", 5, st.ino, S_IFREG), LINKFS_ENOSPC);
	/* Taken back whole: no row of it stands. */
	assert_int_equal(lk_op_end(&op, LINKFS_ENOSPC), LINKFS_ENOSPC);
	assert_int_equal(linkfs_node_lookup(f->volume, NULL, 1, "probe", 5, 0, &st), 0);
	assert_int_equal(linkfs_node_lookup(f->volume, NULL, 1, "n255", 4, 0, &st), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_make(f->volume, NULL, 1, "n255", &file, &st), 0);
	check_all(f);
}

/* F5: rows that a hostile volume may hold are damage, not names. */
static void damaged_rows(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		int64_t ino, type;
	} bad[] = {{"a/b", 3, 2, 8}, {"", 0, 2, 8},   {"a\0b", 3, 2, 8}, {".", 1, 2, 8},  {"..", 2, 2, 8},
		   {"x", 1, 0, 8},   {"x", 1, -5, 8}, {"x", 1, 2, 3},    {"x", 1, 2, -1}, {"x", 1, 2, 4104}};
	struct fixture *f = *state;
	struct lk_fs *fs = lk_volume_fs(f->volume);
	struct lk_slot slot;
	bool empty;

	for (size_t i = 0; i < LK_ARRAY_LEN(bad); i++) {
		struct lk_dirent d = {.dir = 1,
				      .hash = lk_name_hash(fs->name_secret, "x", 1),
				      .ino = bad[i].ino,
				      .type = bad[i].type,
				      .name = {bad[i].name, bad[i].len}};
		struct lk_op op;

		assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
		assert_int_equal(lk_txn_insert(&op, LK_T_DIRENT, &d), 0);
		assert_int_equal(lk_dirent_find(&op, 1, "x", 1, &slot), LINKFS_ECORRUPT);
		assert_int_equal(lk_dirent_empty(&op, 1, &empty), LINKFS_ECORRUPT);
		assert_int_equal(lk_op_end(&op, LINKFS_EINTR), LINKFS_EINTR);
	}
	check_all(f);
}

/* A parent chain that runs in a circle ends in an error, not in an endless rename. */
static void circular_parents(void **state)
{
	struct fixture *f = *state;
	struct lk_fs *fs = lk_volume_fs(f->volume);
	struct linkfs_make dir = {.mode = S_IFDIR | 0755};
	struct linkfs_stat a, b, c;
	struct lk_slot slot;
	struct lk_op op;

	assert_int_equal(linkfs_path_make(f->volume, NULL, 1, "a", &dir, &a), 0);
	assert_int_equal(linkfs_path_make(f->volume, NULL, 1, "a/b", &dir, &b), 0);
	assert_int_equal(linkfs_path_make(f->volume, NULL, 1, "c", &dir, &c), 0);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_dirent_find(&op, 1, "a", 1, &slot), 0);
	assert_int_equal(lk_dirent_remove(&op, &slot, "a", 1), 0);
	assert_int_equal(lk_dirent_find(&op, b.ino, "a", 1, &slot), 0);
	assert_int_equal(lk_dirent_insert(&op, &slot, "a", 1, a.ino, S_IFDIR), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(linkfs_node_rename(f->volume, NULL, 1, "c", 1, b.ino, "c", 1, 0), LINKFS_ECORRUPT);
	assert_int_equal(linkfs_node_lookup(f->volume, NULL, b.ino, "..", 2, 0, &c), 0);
	assert_int_equal(c.ino, a.ino);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(indexes_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_links, setup, teardown),
		cmocka_unit_test_setup_teardown(full_bucket, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(circular_parents, setup, teardown),
	};

	return cmocka_run_group_tests_name("core names", tests, NULL, NULL);
}
