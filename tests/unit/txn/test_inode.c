/*
 * test_inode.c - inode records against a model: new, changed, erased, undone, committed, with snapshots, by thousands, so that
 * flushes come in between (J1-J3, I1, I7); then numbers after a crash (K1), validity (F5), what stat shows.
 */
#include "test.h"

#include "inode.h"
#include "inode_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 6000
#define STEPS 60000

static char *dir;

static int setup(void **state)
{
	(void)state;
	dir = lk_test_mkdir();
	return lk_fs_create(dir, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	lk_test_rmdir(dir);
	return 0;
}

static struct lk_fs *open_fs(void)
{
	struct lk_fs *fs;
	assert_int_equal(lk_fs_open(dir, 0, 600000, &fs, NULL), 0);
	return fs;
}

struct file {
	int64_t ino; /* 0: none */
	int64_t uid;
};

struct model {
	struct file files[FILES];
	int64_t count;
};

struct world {
	struct lk_fs *fs;
	struct lk_test_random random;
	struct model now, undo, snap;
	int64_t snap_epoch, next_uid;
};

static void check_one(struct world *w, struct lk_op *op, const struct file *f)
{
	struct lk_inode inode = {0};
	if (!f->ino)
		return;
	assert_int_equal(lk_inode_get(op, (uint64_t)f->ino, &inode), 0);
	assert_int_equal(inode.ino, f->ino);
	assert_int_equal(inode.uid, f->uid);
	(void)w;
}

static void check_all(struct world *w)
{
	struct lk_op op;
	int64_t inodes;
	assert_int_equal(lk_op_begin(w->fs, &op, 0), 0);
	for (int i = 0; i < FILES; i++)
		check_one(w, &op, &w->now.files[i]);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_INODES, 0, &inodes), 0);
	assert_int_equal(inodes, w->now.count + 1);
	if (w->snap_epoch) {
		op.view = w->snap_epoch;
		for (int i = 0; i < FILES; i++)
			check_one(w, &op, &w->snap.files[i]);
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(int64_t *)arg;
	return 0;
}

/* After a commit the rows are the records, no more and no less. */
static void check_rows(struct world *w)
{
	struct lk_op op;
	int64_t rows = 0;
	struct lk_scan scan = {.table = &lk_tables[LK_T_INODE], .index = LK_BY_KEY};
	assert_int_equal(lk_op_begin(w->fs, &op, 0), 0);
	assert_int_equal(lk_txn_scan(&op, &scan, count_row, &rows), 0);
	assert_int_equal(rows, w->now.count + 1);
	for (int i = 0; i < FILES; i++) {
		struct lk_inode row = {.ino = w->now.files[i].ino};
		if (!row.ino)
			continue;
		assert_int_equal(lk_txn_get(&op, LK_T_INODE, &row, &row), 0);
		assert_int_equal(row.uid, w->now.files[i].uid);
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
}

static void change(struct world *w, struct lk_op *op, struct file *f)
{
	struct lk_inode inode;
	if (!f->ino) {
		assert_int_equal(lk_inode_new(op, &inode), 0);
		inode.mode = S_IFREG | 0600;
		inode.nlink = 1;
		inode.uid = ++w->next_uid;
		assert_int_equal(lk_inode_put(op, &inode), 0);
		*f = (struct file){inode.ino, inode.uid};
		w->now.count++;
	} else if (lk_test_below(&w->random, 3) == 0) {
		assert_int_equal(lk_inode_erase(op, (uint64_t)f->ino), 0);
		assert_int_equal(lk_inode_get(op, (uint64_t)f->ino, &inode), LINKFS_ESTALE);
		*f = (struct file){0};
		w->now.count--;
	} else {
		check_one(w, op, f);
		assert_int_equal(lk_inode_get(op, (uint64_t)f->ino, &inode), 0);
		inode.uid = ++w->next_uid;
		assert_int_equal(lk_inode_put(op, &inode), 0);
		f->uid = inode.uid;
	}
}

static void one_op(struct world *w, uint64_t range)
{
	struct lk_op op;
	int picked[8], count = 1 + (int)lk_test_below(&w->random, 8);
	struct file before[8];
	int64_t files = w->now.count;
	bool undone = lk_test_below(&w->random, 6) == 0;
	assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), 0);
	for (int i = 0; i < count; i++) {
		picked[i] = (int)lk_test_below(&w->random, range);
		before[i] = w->now.files[picked[i]];
		change(w, &op, &w->now.files[picked[i]]);
	}
	if (undone) {
		assert_int_equal(lk_op_end(&op, LINKFS_EPERM), LINKFS_EPERM);
		for (int i = count; i-- > 0;)
			w->now.files[picked[i]] = before[i];
		w->now.count = files;
		assert_int_equal(lk_op_begin(w->fs, &op, 0), 0);
		for (int i = 0; i < count; i++)
			check_one(w, &op, &w->now.files[picked[i]]);
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
}

static void snapshot(struct world *w)
{
	struct lk_op op;
	struct lk_snapshot s = {0};
	bool undone = lk_test_below(&w->random, 2);
	assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_snapshot_add(&op, &s), 0);
	(void)lk_op_end(&op, undone ? LINKFS_EIO : 0);
	if (!undone) {
		w->snap = w->now;
		w->snap_epoch = s.epoch;
	}
}

static void against_model(void **state)
{
	(void)state;
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->random.state = lk_test_seed();
	w->fs = open_fs();
	uint32_t most = 0;
	for (int step = 0; step < STEPS; step++) {
		/* Long stretches on few files, and on all. */
		one_op(w, step / 5000 % 2 ? 50 : FILES);
		most = LK_MAX(most, lk_inode_cache_dirty(w->fs));
		if (lk_test_below(&w->random, 4000) == 0) {
			assert_int_equal(lk_txn_commit(w->fs), 0);
			check_rows(w);
		}
		if (lk_test_below(&w->random, 8000) == 0)
			snapshot(w);
		if (lk_test_below(&w->random, 6000) == 0)
			check_all(w);
	}
	/* The bound was met, so flushes came between commits. */
	assert_true(most >= LK_INODES_DIRTY_MAX && most <= LK_INODES_DIRTY_MAX + 8);
	check_all(w);
	assert_int_equal(lk_fs_close(w->fs), 0);
	w->fs = open_fs();
	check_all(w);
	check_rows(w);
	assert_int_equal(lk_fs_close(w->fs), 0);
	free(w);
}

static int64_t make_one(struct lk_fs *fs)
{
	struct lk_op op;
	struct lk_inode inode;
	if (lk_op_begin(fs, &op, LK_OP_WRITE))
		return -1;
	int r = lk_inode_new(&op, &inode);
	inode.mode = S_IFREG;
	if (r == 0)
		r = lk_inode_put(&op, &inode);
	return lk_op_end(&op, r) ? -1 : inode.ino;
}

static int erase_one(struct lk_fs *fs, int64_t ino)
{
	struct lk_op op;
	int r = lk_op_begin(fs, &op, LK_OP_WRITE);
	return r ? r : lk_op_end(&op, lk_inode_erase(&op, (uint64_t)ino));
}

/* K1: numbers are not used again: not that of a file that came and went before a commit, nor after a crash one that
 * anything durable knew. */
static void numbers(void **state)
{
	(void)state;
	int results[2];
	int64_t last = 0;
	assert_int_equal(pipe(results), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct lk_fs *fs;
		if (lk_fs_open(dir, 0, 600000, &fs, NULL))
			_exit(1);
		int64_t a = make_one(fs), b = make_one(fs);
		if (a < 2 || b != a + 1 || erase_one(fs, b))
			_exit(2);
		last = make_one(fs);
		if (last != b + 1 || erase_one(fs, last) || lk_txn_commit(fs))
			_exit(3);
		if (write(results[1], &last, sizeof(last)) != sizeof(last))
			_exit(4);
		(void)make_one(fs);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(results[0], &last, sizeof(last)), sizeof(last));
	struct lk_fs *fs = open_fs();
	assert_true(make_one(fs) > last);
	assert_int_equal(lk_fs_close(fs), 0);
	(void)close(results[0]);
	(void)close(results[1]);
}

static void damaged_records(void **state)
{
	(void)state;
	static const struct lk_inode good = {.mode = S_IFREG | 0644, .nlink = 1, .born = 1};
	struct lk_inode bad[16];
	size_t n = 0;
	for (size_t i = 0; i < LK_ARRAY_LEN(bad); i++)
		bad[i] = good;
	bad[n++].mode = 0644;
	bad[n++].mode = 0170644;
	bad[n++].mode = -1;
	bad[n++].mode = S_IFREG | 0644 | 1 << 20;
	bad[n++].nlink = -1;
	bad[n++].nlink = INT64_C(1) << 31;
	bad[n++].size = -1;
	bad[n++].size = INT64_MAX;
	bad[n++].blocks = -5;
	bad[n++].uid = INT64_C(1) << 32;
	bad[n++].gid = -1;
	bad[n++].flags = INT64_C(1) << 40;
	bad[n++].xattr_count = -1;
	bad[n++].born = 0;
	bad[n++].born = 99;
	bad[n].mode = S_IFLNK | 0777;
	bad[n++].size = 4096;
	struct lk_fs *fs = open_fs();
	struct lk_op op;
	struct lk_inode got;
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	for (size_t i = 0; i < n; i++) {
		bad[i].ino = 100 + (int64_t)i;
		assert_int_equal(lk_db_insert(fs->db, &lk_tables[LK_T_INODE], &bad[i]), 0);
		assert_int_equal(lk_inode_get(&op, (uint64_t)bad[i].ino, &got), LINKFS_ECORRUPT);
		/* Nor do we write such. */
		if (i + 3 < n || i + 1 == n)
			assert_int_equal(lk_inode_put(&op, &bad[i]), LINKFS_ECORRUPT);
	}
	assert_int_equal(lk_inode_get(&op, 0, &got), LINKFS_ESTALE);
	assert_int_equal(lk_inode_get(&op, UINT64_MAX, &got), LINKFS_ESTALE);
	assert_int_equal(lk_inode_get(&op, 1u << 20, &got), LINKFS_ESTALE);
	assert_int_equal(lk_op_end(&op, LINKFS_EIO), LINKFS_EIO);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void directories(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	struct lk_op op;
	struct lk_inode root, file;
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_inode_touch_dir(&op, 1, 1), 0);
	assert_int_equal(lk_inode_get(&op, 1, &root), 0);
	assert_int_equal(root.nlink, 3);
	assert_int_equal(root.mtime_ns, op.now_ns);
	assert_int_equal(root.ctime_ns, op.now_ns);
	assert_true(root.btime_ns < op.now_ns && root.atime_ns == root.btime_ns);
	root.nlink = LINKFS_LINK_MAX;
	assert_int_equal(lk_inode_put(&op, &root), 0);
	assert_int_equal(lk_inode_touch_dir(&op, 1, 1), LINKFS_EMLINK);
	assert_int_equal(lk_inode_touch_dir(&op, 1, 0), 0);
	assert_int_equal(lk_inode_touch_dir(&op, 2, 0), LINKFS_ESTALE);
	assert_int_equal(lk_inode_new(&op, &file), 0);
	file.mode = S_IFREG;
	assert_int_equal(lk_inode_put(&op, &file), 0);
	assert_int_equal(lk_inode_touch_dir(&op, (uint64_t)file.ino, 0), LINKFS_ENOTDIR);
	assert_int_equal(lk_op_end(&op, LINKFS_EPERM), LINKFS_EPERM);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void stat_of(void **state)
{
	(void)state;
	struct lk_inode inode = {.ino = 7,
				 .mode = S_IFCHR | 0600,
				 .nlink = 3,
				 .uid = UINT32_MAX,
				 .gid = 5,
				 .rdev = INT64_C(0x12345) << 32 | 0x6789,
				 .atime_ns = -1,
				 .mtime_ns = 2,
				 .ctime_ns = 3,
				 .btime_ns = 4};
	struct linkfs_stat st;
	lk_inode_stat(&inode, &st);
	assert_int_equal(st.ino, 7);
	assert_int_equal(st.mode, S_IFCHR | 0600);
	assert_int_equal(st.uid, UINT32_MAX);
	assert_int_equal(st.rdev_major, 0x12345);
	assert_int_equal(st.rdev_minor, 0x6789);
	assert_int_equal(st.atime_ns, -1);
	assert_int_equal(st.btime_ns, 4);
	/* Units of 512 bytes; a file whose bytes lie in the database is not shown as a hole. */
	inode = (struct lk_inode){.ino = 7, .mode = S_IFREG, .size = 10000, .blocks = 3};
	lk_inode_stat(&inode, &st);
	assert_int_equal(st.blocks, 24);
	inode = (struct lk_inode){.ino = 7, .mode = S_IFREG, .size = 600, .flags = LK_INODE_INLINE};
	lk_inode_stat(&inode, &st);
	assert_int_equal(st.blocks, 2);
	inode.size = 0;
	lk_inode_stat(&inode, &st);
	assert_int_equal(st.blocks, 0);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {UNIT(against_model), UNIT(numbers), UNIT(damaged_records), UNIT(directories),
					   UNIT(stat_of)};
	return cmocka_run_group_tests_name("txn-inode", tests, NULL, NULL);
}
