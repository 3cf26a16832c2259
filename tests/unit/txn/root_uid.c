/*
 * root_uid.c - see root_uid.h.
 */
#include "root_uid.h"

#include "inode.h"
#include "test.h"

int set_uid(struct lk_fs *fs, int64_t uid, int result)
{
	struct lk_op op;
	struct lk_inode root;
	int r = lk_op_begin(fs, &op, LK_OP_WRITE);
	if (r)
		return r;
	r = lk_inode_get(&op, 1, &root);
	root.uid = uid;
	if (r == 0)
		r = lk_inode_put(&op, &root);
	return lk_op_end(&op, r ? r : result);
}

int64_t get_uid(struct lk_fs *fs)
{
	struct lk_op op;
	struct lk_inode root = {0};
	assert_int_equal(lk_op_begin(fs, &op, 0), 0);
	assert_int_equal(lk_op_end(&op, lk_inode_get(&op, 1, &root)), 0);
	return root.uid;
}
