/*
 * parts.c - stands in for the rooms of core that keep an inode's parts, when they are not linked.
 * The inodes of these tests have none.
 */
#include "extent.h"
#include "file.h"
#include "orphan.h"
#include "track.h"

__attribute__((weak)) int lk_file_drop(struct lk_op *op, struct lk_inode *inode, uint32_t max_rows, bool *more_out)
{
	(void)op;
	(void)inode;
	(void)max_rows;
	*more_out = false;
	return 0;
}

__attribute__((weak)) int lk_xattr_drop(struct lk_op *op, struct lk_inode *inode)
{
	(void)op;
	(void)inode;
	return 0;
}

__attribute__((weak)) int lk_symlink_drop(struct lk_op *op, struct lk_inode *inode)
{
	(void)op;
	(void)inode;
	return 0;
}

__attribute__((weak)) int lk_file_resume(struct lk_fs *fs, const struct lk_intent *intent)
{
	(void)fs;
	(void)intent;
	return 0;
}

__attribute__((weak)) int lk_file_trim_step(struct lk_op *op, uint64_t ino, bool *more_out)
{
	(void)op;
	(void)ino;
	*more_out = false;
	return 0;
}

__attribute__((weak)) void lk_extent_start(struct lk_fs *fs)
{
	(void)fs;
}

__attribute__((weak)) void lk_symlink_start(struct lk_fs *fs)
{
	(void)fs;
}
