/*
 * lib_file.c - operations on open files, through the library.
 */
#include "lib.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void open_file(struct lib *state, const struct op *op, struct text *out)
{
	struct lib_slot *slot = &state->slots[op->n[0]];
	int64_t wanted = op->n[1];
	uint32_t flags = 0;
	linkfs_file_close(slot->file);
	*slot = (struct lib_slot){0};
	if ((wanted & O_ACCMODE) != O_WRONLY)
		flags |= LINKFS_O_READ;
	if ((wanted & O_ACCMODE) != O_RDONLY)
		flags |= LINKFS_O_WRITE;
	if (wanted & O_APPEND)
		flags |= LINKFS_O_APPEND;
	if (wanted & O_CREAT)
		flags |= LINKFS_O_CREATE;
	if (wanted & O_EXCL)
		flags |= LINKFS_O_EXCL;
	if (wanted & O_TRUNC)
		flags |= LINKFS_O_TRUNC;
	if (wanted & O_NOFOLLOW)
		flags |= LINKFS_O_NOFOLLOW;
	if ((wanted & O_TMPFILE) == O_TMPFILE)
		flags |= LINKFS_O_TMPFILE;
	struct linkfs_file *file = NULL;
	int result =
		linkfs_file_open(state->volume, &state->cred, state->at, state->p, flags, (uint32_t)op->n[2], &file);
	struct linkfs_stat st = {0};
	if (result == 0) {
		result = linkfs_file_stat(file, &st);
		if (result)
			linkfs_file_close(file);
	}
	if (!lk_lib_result(out, result))
		return;
	if (!S_ISREG(st.mode) && !S_ISDIR(st.mode)) { /* not compared: see run.c */
		linkfs_file_close(file);
		return;
	}
	*slot = (struct lib_slot){.file = file,
				  .ino = linkfs_file_ino(file),
				  .user = op->user,
				  .flags = (int)wanted,
				  .regular = S_ISREG(st.mode)};
}

/* A system call's offsets are signed: it refuses what begins or ends beyond them before it looks at the file. */
static bool is_beyond(int64_t offset, int64_t len)
{
	return offset < 0 || len < 0 || offset > INT64_MAX - len;
}

static void read_file(const struct lib_slot *slot, const struct op *op, struct text *out)
{
	size_t done = 0;
	unsigned char *buf = malloc((size_t)op->n[2] + 1);
	if (!buf)
		lk_die("out of memory");
	int result = LINKFS_EINVAL;
	if ((slot->flags & O_ACCMODE) == O_WRONLY || !is_beyond(op->n[1], op->n[2]))
		result = linkfs_file_read(slot->file, (uint64_t)op->n[1], buf, (size_t)op->n[2], &done);
	if (lk_lib_result(out, result))
		lk_answer_bytes(out, buf, done);
	free(buf);
}

static void write_file(const struct lib_slot *slot, const struct op *op, struct text *out)
{
	size_t done = 0;
	unsigned char *buf = malloc((size_t)op->n[2] + 1);
	if (!buf)
		lk_die("out of memory");
	lk_fill(buf, (size_t)op->n[2], op->n[3], op->n[1]);
	int result = LINKFS_EINVAL;
	if ((slot->flags & O_ACCMODE) == O_RDONLY || !is_beyond(op->n[1], op->n[2]))
		result = linkfs_file_write(slot->file, (uint64_t)op->n[1], buf, (size_t)op->n[2], &done);
	if (lk_lib_result(out, result))
		lk_text_add(out, " %zu", done);
	free(buf);
}

static void opener(const struct lib *state, const struct lib_slot *slot, struct linkfs_cred *cred)
{
	*cred = state->cred;
	if (state->side->many_users) {
		const struct user *user = &lk_users[slot->user];
		cred->uid = user->uid;
		cred->gid = user->gid;
		cred->groups = user->groups;
		cred->ngroups = user->ngroups;
	}
}

static void allocate(const struct lib *state, const struct lib_slot *slot, const struct op *op, struct text *out)
{
	struct linkfs_cred cred;
	if ((slot->flags & O_ACCMODE) == O_RDONLY || !slot->regular) {
		lk_text_add(out, "nohandle");
		return;
	}
	if (op->n[2] < 0 || op->n[3] < 0) { /* unsigned here */
		lk_text_add(out, "EINVAL");
		return;
	}
	opener(state, slot, &cred);
	lk_lib_result(out, linkfs_node_allocate(state->volume, &cred, slot->ino, (uint32_t)op->n[1], (uint64_t)op->n[2],
						(uint64_t)op->n[3]));
}

static void copy_range(const struct lib *state, const struct lib_slot *from, const struct op *op, struct text *out)
{
	struct linkfs_cred cred;
	const struct lib_slot *to = &state->slots[op->n[2]];
	if (!to->file) {
		lk_text_add(out, "noslot");
		return;
	}
	if ((from->flags & O_ACCMODE) == O_WRONLY || (to->flags & O_ACCMODE) == O_RDONLY || (to->flags & O_APPEND) ||
	    !from->regular || !to->regular) {
		lk_text_add(out, "nohandle");
		return;
	}
	opener(state, from, &cred);
	uint64_t in = (uint64_t)op->n[1], end = (uint64_t)op->n[3], left = (uint64_t)op->n[4], total = 0, done = 0;
	int result;
	do {
		done = 0;
		result = linkfs_node_copy_range(state->volume, &cred, from->ino, in, to->ino, end, left, &done);
		in += done;
		end += done;
		left -= done;
		total += done;
	} while (result == 0 && done && left);
	if (lk_lib_result(out, total ? 0 : result))
		lk_text_add(out, " %llu", (unsigned long long)total);
}

static void seek_hole(const struct lib *state, const struct lib_slot *slot, const struct op *op, struct text *out)
{
	uint64_t at = 0;
	if (!slot->regular) {
		lk_text_add(out, "not a file");
		return;
	}
	int whence = op->n[2] == 3 ? LINKFS_SEEK_DATA : LINKFS_SEEK_HOLE;
	if (lk_lib_result(out, linkfs_node_seek(state->volume, slot->ino, (uint64_t)op->n[1], whence, &at)))
		lk_text_add(out, " %llu", (unsigned long long)at);
}

static void file_status(const struct lib *state, const struct lib_slot *slot, struct text *out)
{
	struct linkfs_stat st;
	struct answer_stat answer;
	if (lk_lib_result(out, linkfs_file_stat(slot->file, &st))) {
		lk_lib_stat(&st, &answer);
		lk_answer_stat(out, &answer, state->side);
	}
}

static void file_xattr(const struct lib *state, const struct lib_slot *slot, const struct op *op, struct text *out)
{
	static unsigned char value[LK_XATTR_ROOM];
	size_t len = 0;
	if (op->kind == OP_FSETXATTR) {
		len = lk_xattr_value(op, state->q, value, sizeof(value));
		lk_lib_result(out, linkfs_node_setxattr(state->volume, &state->cred, slot->ino, state->q, value, len,
							(uint32_t)op->n[2]));
		return;
	}
	if (!lk_lib_result(out, linkfs_node_getxattr(state->volume, &state->cred, slot->ino, state->q, value,
						     (size_t)op->n[0], &len)))
		return;
	if (op->n[0])
		lk_answer_bytes(out, value, len);
	else
		lk_text_add(out, " %zu", len);
}

static void set_attr(const struct lib *state, const struct lib_slot *slot, const struct op *op, struct text *out)
{
	struct linkfs_setattr set = {0};
	if (op->kind == OP_FCHMOD) {
		set.valid = LINKFS_SET_MODE;
		set.mode = (uint32_t)op->n[1];
	} else if (op->kind == OP_FCHOWN) {
		set.valid = (op->n[1] >= 0 ? LINKFS_SET_UID : 0) | (op->n[2] >= 0 ? LINKFS_SET_GID : 0);
		set.uid = (uint32_t)op->n[1];
		set.gid = (uint32_t)op->n[2];
	} else if (!lk_lib_times(op, 1, &set)) {
		lk_text_add(out, "EINVAL");
		return;
	} else if (set.valid == 0) { /* both times left out: Linux does not even look */
		lk_text_add(out, "ok");
		return;
	}
	lk_lib_result(out, linkfs_node_setattr(state->volume, &state->cred, slot->ino, &set, NULL));
}

bool lk_lib_file(struct lib *state, const struct op *op, struct text *out)
{
	const struct op_row *row = lk_op_row(op->kind);
	if (row->slot < 0 || op->kind == OP_LINKFD)
		return false;
	if (op->kind == OP_OPEN) {
		open_file(state, op, out);
		return true;
	}
	struct lib_slot *slot = &state->slots[op->n[row->slot]];
	if (!slot->file) {
		lk_text_add(out, "noslot");
		return true;
	}
	switch ((int)op->kind) {
	case OP_CLOSE:
		linkfs_file_close(slot->file);
		*slot = (struct lib_slot){0};
		lk_text_add(out, "ok");
		break;
	case OP_PREAD:
		read_file(slot, op, out);
		break;
	case OP_PWRITE:
		write_file(slot, op, out);
		break;
	case OP_FTRUNCATE:
		lk_lib_result(out, linkfs_file_truncate(slot->file, (uint64_t)op->n[1]));
		break;
	case OP_FALLOCATE:
		allocate(state, slot, op, out);
		break;
	case OP_SEEK:
		seek_hole(state, slot, op, out);
		break;
	case OP_COPY:
		copy_range(state, slot, op, out);
		break;
	case OP_FSYNC:
		lk_lib_result(out, linkfs_file_sync(slot->file, op->n[1] != 0));
		break;
	case OP_FSTAT:
		file_status(state, slot, out);
		break;
	case OP_FCHMOD:
	case OP_FCHOWN:
	case OP_FUTIMES:
		set_attr(state, slot, op, out);
		break;
	case OP_FSETXATTR:
	case OP_FGETXATTR:
		file_xattr(state, slot, op, out);
		break;
	default:
		lk_die("%s is no operation on files of the library", row->name);
	}
	return true;
}
