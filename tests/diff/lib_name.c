/*
 * lib_name.c - operations on paths and directories, through the library.
 */
#include "lib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list_entry(void *arg, const struct linkfs_entry *entry)
{
	lk_names_add(arg, entry->name, entry->name_len, entry->type, entry->ino);
	return 0;
}

int lk_lib_list(struct lib *state, const struct linkfs_cred *cred, uint64_t dir, struct name_list *out)
{
	struct linkfs_dir *handle;
	const struct linkfs_entry *entry = NULL;
	int result = linkfs_dir_open(state->volume, cred, dir, ".", &handle);
	while (result == 0 && (result = linkfs_dir_read(handle, &entry)) == 0 && entry)
		(void)list_entry(out, entry);
	if (result == 0 || entry)
		linkfs_dir_close(handle);
	return result;
}

static void list_dir(struct lib *state, struct text *out)
{
	struct name_list list = {0};
	struct linkfs_dir *dir = NULL;
	const struct linkfs_entry *entry = NULL;
	int result = linkfs_dir_open(state->volume, &state->cred, state->at, state->p, &dir);
	if (result == 0) {
		while ((result = linkfs_dir_read(dir, &entry)) == 0 && entry)
			(void)list_entry(&list, entry);
		linkfs_dir_close(dir);
	}
	if (lk_lib_result(out, result)) {
		lk_names_sort(&list);
		lk_answer_names(out, &list);
	}
	lk_names_free(&list);
}

static void walk_dir(struct lib *state, const struct op *op, struct text *out)
{
	struct name_list list = {0};
	struct linkfs_dir *dir;
	const struct linkfs_entry *entry;
	int result = linkfs_dir_open(state->volume, &state->cred, state->at, state->p, &dir);
	if (result) {
		lk_lib_result(out, result);
		return;
	}
	for (int64_t i = 0; i < op->n[0] && linkfs_dir_read(dir, &entry) == 0 && entry; i++)
		(void)list_entry(&list, entry);
	uint64_t place = linkfs_dir_tell(dir), ino = linkfs_dir_ino(dir);
	while (linkfs_dir_read(dir, &entry) == 0 && entry)
		;
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	if (op->n[1])
		lk_lib_result(out, linkfs_path_make(state->volume, &state->cred, ino, state->q, &how, NULL));
	else
		lk_lib_result(out, linkfs_path_unlink(state->volume, &state->cred, ino, state->q));
	linkfs_dir_seek(dir, place);
	while ((result = linkfs_dir_read(dir, &entry)) == 0 && entry)
		(void)list_entry(&list, entry);
	if (result)
		lk_lib_result(out, result);
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.names[i], state->q) == 0) {
			list.count--;
			free(list.names[i]);
			list.names[i] = list.names[list.count];
			list.types[i] = list.types[list.count];
			i--;
		}
	}
	lk_names_sort(&list);
	lk_answer_names(out, &list);
	lk_names_free(&list);
	linkfs_dir_close(dir);
}

static void status(struct lib *state, const struct op *op, struct text *out)
{
	struct linkfs_stat st;
	struct answer_stat answer;
	if (!lk_lib_result(out, linkfs_path_stat(state->volume, &state->cred, state->at, state->p,
						 op->n[0] ? 0 : LINKFS_NOFOLLOW, &st)))
		return;
	lk_lib_stat(&st, &answer);
	lk_answer_stat(out, &answer, state->side);
	lk_text_add(out, " born %s",
		    st.btime_ns > st.ctime_ns - INT64_C(86400000000000) && st.btime_ns <= st.ctime_ns + 1000000000
			    ? "now"
			    : "at another time");
}

static void read_link(struct lib *state, const struct op *op, struct text *out)
{
	char target[PATH_ROOM];
	size_t n = 0;
	int result =
		linkfs_path_readlink(state->volume, &state->cred, state->at, state->p, target, (size_t)op->n[0], &n);
	if (lk_lib_result(out, result)) {
		lk_text_add(out, " %zu ", n);
		lk_text_escape(out, target, n < 60 ? n : 60);
		lk_answer_bytes(out, target, n);
	}
}

static void same_inode(struct lib *state, struct text *out)
{
	struct linkfs_stat a, b;
	int result = linkfs_path_stat(state->volume, &state->cred, state->at, state->p, LINKFS_NOFOLLOW, &a);
	if (result == 0)
		result = linkfs_path_stat(state->volume, &state->cred, state->at, state->q, LINKFS_NOFOLLOW, &b);
	if (lk_lib_result(out, result))
		lk_text_add(out, " %s", a.ino == b.ino ? "same" : "two");
}

static void open_dir(struct lib *state, const struct op *op, struct text *out)
{
	struct linkfs_dir *dir = NULL;
	struct linkfs_stat st;
	int slot = (int)op->n[0];
	int result = linkfs_dir_open(state->volume, &state->cred, state->at, state->p, &dir);
	if (result == 0 && linkfs_path_stat(state->volume, NULL, state->at, state->p, LINKFS_HOLD, &st))
		lk_die("an open directory went");
	lk_lib_close_dir(state, slot);
	if (result == 0) {
		state->dirs[slot] = dir;
		state->nodes[slot] = st.node;
	}
	lk_lib_result(out, result);
}

static void change_dir(struct lib *state, struct text *out)
{
	struct linkfs_stat st;
	int result = linkfs_path_stat(state->volume, &state->cred, state->at, state->p, LINKFS_HOLD, &st);
	bool held = result == 0;
	if (result == 0 && !S_ISDIR(st.mode))
		result = LINKFS_ENOTDIR;
	if (result == 0)
		result = linkfs_node_access(state->volume, &state->cred, st.ino, 1);
	if (lk_lib_result(out, result)) {
		linkfs_node_release(state->volume, state->cwd, 1);
		state->cwd = st.node;
	} else if (held) {
		linkfs_node_release(state->volume, st.node, 1);
	}
}

static void may_access(struct lib *state, const struct op *op, struct text *out)
{
	struct linkfs_stat st;
	int result = linkfs_path_stat(state->volume, &state->cred, state->at, state->p, 0, &st);
	if (result == 0)
		result = linkfs_node_access(state->volume, &state->cred, st.ino, (uint32_t)op->n[0]);
	lk_lib_result(out, result);
}

bool lk_lib_times(const struct op *op, unsigned first, struct linkfs_setattr *out)
{
	const int64_t *n = op->n + first;
	for (int i = 0; i < 2; i++, n += 2) {
		if (n[1] == -1) {
			out->valid |= i ? LINKFS_SET_MTIME_NOW : LINKFS_SET_ATIME_NOW;
		} else if (n[1] >= 1000000000) {
			return false;
		} else if (n[1] >= 0) {
			out->valid |= i ? LINKFS_SET_MTIME : LINKFS_SET_ATIME;
			*(i ? &out->mtime_ns : &out->atime_ns) = n[0] * 1000000000 + n[1];
		}
	}
	return true;
}

static void set_attr(struct lib *state, const struct op *op, struct text *out)
{
	struct linkfs_setattr set = {0};
	uint32_t flags = 0;
	if (op->kind == OP_CHMOD) {
		set.valid = LINKFS_SET_MODE;
		set.mode = (uint32_t)op->n[0];
	} else if (op->kind == OP_CHOWN) {
		set.valid = (op->n[0] >= 0 ? LINKFS_SET_UID : 0) | (op->n[1] >= 0 ? LINKFS_SET_GID : 0);
		set.uid = (uint32_t)op->n[0];
		set.gid = (uint32_t)op->n[1];
		flags = op->n[2] ? LINKFS_NOFOLLOW : 0;
	} else if (op->kind == OP_TRUNCATE) {
		if (op->n[0] < 0) { /* unsigned here */
			lk_text_add(out, "EINVAL");
			return;
		}
		set.valid = LINKFS_SET_SIZE;
		set.size = (uint64_t)op->n[0];
	} else {
		flags = op->n[4] ? LINKFS_NOFOLLOW : 0;
		if (!lk_lib_times(op, 0,
				  &set)) { /* seconds and nanoseconds are apart in the system call, which walks first */
			struct linkfs_stat st;
			int result = linkfs_path_stat(state->volume, &state->cred, state->at, state->p, flags, &st);
			lk_lib_result(out, result ? result : LINKFS_EINVAL);
			return;
		}
		if (op->n[1] == -2 && op->n[3] == -2) { /* Linux does not even look at the path then */
			lk_text_add(out, "ok");
			return;
		}
	}
	lk_lib_result(out, linkfs_path_setattr(state->volume, &state->cred, state->at, state->p, flags, &set));
}

static void answer_list(struct text *out, const char *names, size_t len, int64_t room)
{
	struct name_list list = {0};
	lk_text_add(out, " %zu", len);
	for (size_t at = 0; room && at < len; at += strlen(names + at) + 1)
		lk_names_add(&list, names + at, strlen(names + at), 0, 0);
	lk_names_sort(&list);
	lk_answer_names(out, &list);
	lk_names_free(&list);
}

static void xattr(struct lib *state, const struct op *op, struct text *out)
{
	static unsigned char value[LK_XATTR_ROOM];
	struct linkfs_stat st;
	struct linkfs_volume *volume = state->volume;
	const struct linkfs_cred *cred = &state->cred;
	static const unsigned char nofollow[OP_COUNT] = {
		[OP_SETXATTR] = 3, [OP_GETXATTR] = 1, [OP_LISTXATTR] = 1, [OP_REMOVEXATTR] = 0};
	size_t len = 0;
	int result = 0;
	/* The system call looks at its arguments before it walks; a node-level call can only do so after. */
	size_t name_len = strlen(state->q);
	if (op->kind != OP_LISTXATTR && (name_len == 0 || name_len > LINKFS_XATTR_NAME_MAX))
		result = LINKFS_ERANGE;
	if (op->kind == OP_SETXATTR && op->n[2] & ~INT64_C(3))
		result = LINKFS_EINVAL;
	size_t value_len = op->kind == OP_SETXATTR ? lk_xattr_value(op, state->q, value, sizeof(value)) : 0;
	if (result == 0 && value_len > LINKFS_XATTR_SIZE_MAX)
		result = LINKFS_E2BIG;
	if (result == 0)
		result = linkfs_path_stat(volume, cred, state->at, state->p,
					  op->n[nofollow[op->kind]] ? LINKFS_NOFOLLOW : 0, &st);
	if (result == 0 && op->kind == OP_SETXATTR)
		result = linkfs_node_setxattr(volume, cred, st.ino, state->q, value, value_len, (uint32_t)op->n[2]);
	else if (result == 0 && op->kind == OP_GETXATTR)
		result = linkfs_node_getxattr(volume, cred, st.ino, state->q, value, (size_t)op->n[0], &len);
	else if (result == 0 && op->kind == OP_LISTXATTR)
		result = linkfs_node_listxattr(volume, cred, st.ino, (char *)value, (size_t)op->n[0], &len);
	else if (result == 0)
		result = linkfs_node_removexattr(volume, cred, st.ino, state->q);
	if (!lk_lib_result(out, result))
		return;
	if (op->kind == OP_LISTXATTR)
		answer_list(out, (const char *)value, len, op->n[0]);
	else if (op->kind == OP_GETXATTR && op->n[0])
		lk_answer_bytes(out, value, len);
	else if (op->kind == OP_GETXATTR)
		lk_text_add(out, " %zu", len);
}

bool lk_lib_meta(struct lib *state, const struct op *op, struct text *out)
{
	switch ((int)op->kind) {
	case OP_TRUNCATE:
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_UTIMES:
		set_attr(state, op, out);
		return true;
	case OP_STAT:
		status(state, op, out);
		return true;
	case OP_ACCESS:
		may_access(state, op, out);
		return true;
	case OP_SETXATTR:
	case OP_GETXATTR:
	case OP_LISTXATTR:
	case OP_REMOVEXATTR:
		xattr(state, op, out);
		return true;
	default:
		return false;
	}
}

void lk_lib_name(struct lib *state, const struct op *op, struct text *out)
{
	struct linkfs_volume *volume = state->volume;
	const struct linkfs_cred *cred = &state->cred;
	const char *p = state->p, *q = state->q;
	uint64_t at = state->at;
	switch ((int)op->kind) {
	case OP_SYNC:
		lk_lib_result(out, linkfs_volume_sync(volume));
		break;
	case OP_MKDIR: {
		struct linkfs_make how = {.mode = S_IFDIR | ((uint32_t)op->n[0] & 07777)};
		lk_lib_result(out, linkfs_path_make(volume, cred, at, p, &how, NULL));
		break;
	}
	case OP_MKNOD: {
		struct linkfs_make how = {
			.mode = (uint32_t)op->n[0], .rdev_major = (uint32_t)op->n[1], .rdev_minor = (uint32_t)op->n[2]};
		if (S_ISDIR(how.mode)) /* mknod(2) makes none; the library's call does */
			lk_text_add(out, "EPERM");
		else
			lk_lib_result(out, linkfs_path_make(volume, cred, at, p, &how, NULL));
		break;
	}
	case OP_RMDIR:
		if (lk_lib_result(out, linkfs_path_rmdir(volume, cred, at, p)) && (op->n[0] & OP_RENAME_HOME))
			lk_lib_moved(state, op);
		break;
	case OP_SYMLINK:
		lk_lib_result(out, linkfs_path_symlink(volume, cred, p, at, q, NULL));
		break;
	case OP_READLINK:
		read_link(state, op, out);
		break;
	case OP_LINK: {
		struct linkfs_stat st;
		bool follow = op->n[0] & 1;
		if ((op->n[0] & 2) && linkfs_path_stat(volume, cred, at, p, follow ? 0 : LINKFS_NOFOLLOW, &st) == 0 &&
		    st.nlink > 1)
			lk_text_add(out, "untried");
		else
			lk_lib_result(out, linkfs_path_link(volume, cred, at, p, at, q, follow ? LINKFS_FOLLOW : 0));
		break;
	}
	case OP_LINKFD:
		if (state->slots[op->n[0]].file)
			lk_lib_result(out, linkfs_file_link(state->slots[op->n[0]].file, cred, at, p));
		else
			lk_text_add(out, "noslot");
		break;
	case OP_UNLINK:
		lk_lib_result(out, linkfs_path_unlink(volume, cred, at, p));
		break;
	case OP_RENAME:
		if (lk_lib_result(out, linkfs_path_rename(volume, cred, at, p, at, q,
							  (uint32_t)op->n[0] & ~(uint32_t)OP_RENAME_HOME)) &&
		    (op->n[0] & OP_RENAME_HOME))
			lk_lib_moved(state, op);
		break;
	case OP_SAME:
		same_inode(state, out);
		break;
	case OP_LIST:
		list_dir(state, out);
		break;
	case OP_DIRWALK:
		walk_dir(state, op, out);
		break;
	case OP_OPENDIR:
		open_dir(state, op, out);
		break;
	case OP_CLOSEDIR:
		lk_lib_close_dir(state, (int)op->n[0]);
		lk_text_add(out, "ok");
		break;
	case OP_CHDIR:
		change_dir(state, out);
		break;
	case OP_UMASK:
		state->umask = (uint32_t)op->n[0];
		lk_text_add(out, "ok");
		break;
	default:
		lk_die("%s is no operation of the library", lk_op_row(op->kind)->name);
	}
}
