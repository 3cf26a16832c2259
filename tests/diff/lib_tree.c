/*
 * lib_tree.c - the view of a whole tree through the library.
 */
#include "lib.h"

#include <errno.h>
#include <string.h>

static int error_of(int result)
{
	return result ? linkfs_errno(result) : 0;
}

static int view_root(void *arg, int64_t *out)
{
	(void)arg;
	*out = LINKFS_ROOT_INO;
	return 0;
}

static int view_child(void *arg, int64_t dir, const char *name, int64_t *out)
{
	struct lib *state = arg;
	struct linkfs_stat st;
	int result = linkfs_node_lookup(state->volume, NULL, (uint64_t)dir, name, strlen(name), 0, &st);
	if (result == 0)
		*out = (int64_t)st.ino;
	return error_of(result);
}

static void view_close(void *arg, int64_t node)
{
	(void)arg;
	(void)node;
}

static int view_stat(void *arg, int64_t node, struct answer_stat *out)
{
	struct lib *state = arg;
	struct linkfs_stat st;
	int result = linkfs_node_getattr(state->volume, (uint64_t)node, &st);
	if (result == 0)
		lk_lib_stat(&st, out);
	if (result == 0)
		out->keeps = state->side->links && (st.flags & LINKFS_INO_KEEP_LINKS);
	return error_of(result);
}

/* The other side looks without changing access times where it can; here the times are put back. */
static void put_back(struct lib *state, uint64_t ino, const struct linkfs_stat *before)
{
	struct linkfs_stat after;
	struct linkfs_cred kernel = {.flags = LINKFS_CRED_KERNEL};
	struct linkfs_setattr set = {.valid = LINKFS_SET_ATIME | LINKFS_SET_CTIME,
				     .atime_ns = before->atime_ns,
				     .ctime_ns = before->ctime_ns};
	if (linkfs_node_getattr(state->volume, ino, &after) == 0 && after.atime_ns != before->atime_ns)
		(void)linkfs_node_setattr(state->volume, &kernel, ino, &set, NULL);
}

static int view_list(void *arg, int64_t node, struct name_list *out)
{
	struct lib *state = arg;
	struct linkfs_stat before;
	int result = linkfs_node_getattr(state->volume, (uint64_t)node, &before);
	if (result == 0)
		result = lk_lib_list(state, NULL, (uint64_t)node, out);
	if (result == 0)
		put_back(state, (uint64_t)node, &before);
	return error_of(result);
}

static int read_content(struct lib *state, uint64_t ino, uint64_t *hash)
{
	static unsigned char buf[1 << 16];
	uint64_t at = 0;
	for (;;) {
		uint64_t data = 0;
		size_t n = 0;
		int result = linkfs_node_seek(state->volume, ino, at, LINKFS_SEEK_DATA, &data);
		if (result)
			return result == LINKFS_ENXIO ? 0 : result;
		at = data & ~UINT64_C(4095);
		result = linkfs_node_read(state->volume, ino, at, buf, sizeof(buf), &n);
		if (result)
			return result;
		if (n == 0)
			return 0;
		*hash = lk_tree_piece(*hash, at, buf, n);
		at += n;
	}
}

static int view_content(void *arg, int64_t dir, const char *name, int64_t node, mode_t mode, uint64_t *hash)
{
	struct lib *state = arg;
	(void)dir;
	(void)name;
	if (S_ISLNK(mode)) {
		char target[PATH_ROOM];
		size_t n = 0;
		int result = linkfs_node_readlink(state->volume, (uint64_t)node, target, sizeof(target), &n);
		if (result == 0)
			*hash = lk_hash(0, target, n);
		return error_of(result);
	}
	struct linkfs_stat before;
	int result = linkfs_node_getattr(state->volume, (uint64_t)node, &before);
	if (result == 0)
		result = read_content(state, (uint64_t)node, hash);
	if (result == 0)
		put_back(state, (uint64_t)node, &before);
	return error_of(result);
}

static int view_xattrs(void *arg, int64_t dir, const char *name, int64_t node, uint64_t *hash, unsigned *count)
{
	struct lib *state = arg;
	static char names[65536];
	static unsigned char value[LK_XATTR_ROOM];
	size_t len = 0;
	(void)dir;
	(void)name;
	int result = linkfs_node_listxattr(state->volume, NULL, (uint64_t)node, names, sizeof(names), &len);
	for (size_t at = 0; result == 0 && at < len; at += strlen(names + at) + 1) {
		size_t n = 0;
		result =
			linkfs_node_getxattr(state->volume, NULL, (uint64_t)node, names + at, value, sizeof(value), &n);
		*hash += lk_hash(lk_hash(0, names + at, strlen(names + at)), value, n);
		(*count)++;
	}
	return error_of(result);
}

void lk_lib_tree(struct lib *state, struct text *out)
{
	const struct tree_view view = {
		.state = state,
		.side = state->side,
		.open_root = view_root,
		.open_child = view_child,
		.close = view_close,
		.stat = view_stat,
		.list = view_list,
		.content = view_content,
		.xattrs = view_xattrs,
	};
	lk_tree_list(&view, out);
}
