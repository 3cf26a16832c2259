/*
 * gen_args.c - draws the numbers of an operation: flags, modes, offsets and lengths around blocks and limits, times, ids.
 */
#include "gen.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/file.h>

static int64_t draw_offset(struct gen *gen)
{
	static const int64_t edges[] = {0,    1,    511,   1023,  1024,  1500,   2047,   2048,   4095,   4096,   4097,
					8191, 8192, 12288, 65535, 65536, 131072, 524287, 524288, 528384, 1048576};
	static const int64_t far[] = {INT64_C(1) << 31, (INT64_C(1) << 32) - 1, INT64_C(1) << 32,
				      INT64_C(5) << 30, LK_LARGEST - 4096,      LK_LARGEST - 1,
				      LK_LARGEST,       LK_LARGEST + 1,         INT64_MAX};
	int64_t kind = lk_gen_below(gen, 100);
	if (kind < 55)
		return PICK(gen, edges);
	if (kind < 97)
		return lk_gen_below(gen, lk_gen_chance(gen, 50) ? 10000 : 300000);
	return PICK(gen, far);
}

static int64_t draw_length(struct gen *gen)
{
	static const int64_t edges[] = {0, 1, 100, 511, 512, 1000, 2000, 4095, 4096, 4097, 8192, 12288, 16384, 65536};
	int64_t kind = lk_gen_below(gen, 100);
	if (kind < 60)
		return PICK(gen, edges);
	return lk_gen_below(gen, kind < 97 ? 20000 : 600000);
}

static int64_t draw_mode(struct gen *gen)
{
	static const int64_t modes[] = {0644,  0600,  0666,  0777,  0755, 0700, 0,    04755,
					02755, 06777, 01777, 02070, 0111, 0222, 0444, 02644};
	return lk_gen_chance(gen, 75) ? PICK(gen, modes) : lk_gen_below(gen, 010000);
}

static void draw_xattr_name(struct gen *gen, char *out)
{
	static const char *const names[] = {"user.a",
					    "user.b",
					    "user.c",
					    "trusted.a",
					    "trusted.b",
					    "security.x",
					    "security.capability",
					    "system.posix_acl_access",
					    "system.posix_acl_default",
					    "system.posix_acl_access",
					    "system.posix_acl_default"};
	static const char *const odd[] = {"",
					  "user.",
					  "user",
					  "foo.bar",
					  "system.foo",
					  "user.{n*250}",
					  "user.{n*251}",
					  "trusted.",
					  "security.",
					  "user.%ff%01",
					  "system.posix_acl_accessx",
					  "USER.a"};
	lk_gen_append(strcpy(out, ""), lk_gen_chance(gen, 90) ? PICK(gen, names) : PICK(gen, odd));
}

static void draw_times(struct gen *gen, struct op *op, unsigned first)
{
	static const int64_t seconds[] = {0,          1,           -1,         -1000000000, 1000000000,
					  4294967295, 4294967296,  5000000000, 8000000000,  2147483647,
					  2147483648, -2147483647, 86400};
	for (unsigned i = 0; i < 2; i++) {
		int64_t *pair = &op->n[first + 2 * i];
		int64_t kind = lk_gen_below(gen, 100);
		pair[0] = PICK(gen, seconds);
		pair[1] = lk_gen_chance(gen, 30) ? 0 : lk_gen_below(gen, 1000000000);
		if (kind < 18)
			pair[1] = -1; /* UTIME_NOW */
		else if (kind < 36)
			pair[1] = -2; /* UTIME_OMIT */
		else if (kind < 38)
			pair[1] = 1000000000; /* EINVAL */
	}
}

static int64_t draw_open_flags(struct gen *gen)
{
	int64_t flags = PICK(gen, ((const int64_t[]){O_RDWR, O_RDWR, O_RDWR, O_WRONLY, O_RDONLY, O_RDONLY}));
	if (lk_gen_chance(gen, 70))
		flags |= O_CREAT;
	if (lk_gen_chance(gen, 8))
		flags |= O_EXCL;
	if (lk_gen_chance(gen, 15))
		flags |= O_TRUNC;
	if (lk_gen_chance(gen, 12))
		flags |= O_APPEND;
	if (lk_gen_chance(gen, 12))
		flags |= O_NOFOLLOW;
	if (lk_gen_chance(gen, 5))
		flags = (flags & ~(int64_t)(O_CREAT | O_TRUNC)) | O_TMPFILE;
	if (gen->on & OP_ON_MOUNT) {
		if (lk_gen_chance(gen, 4))
			flags |= O_DIRECTORY;
		if (lk_gen_chance(gen, 4))
			flags |= O_PATH;
		if (lk_gen_chance(gen, 2))
			flags |= O_SYNC;
	}
	return flags;
}

static void draw_fallocate(struct gen *gen, struct op *op)
{
	/* Collapse and insert never reach a FUSE server (design M9): the mount's tests see to those. */
	static const int64_t modes[] = {0,
					0,
					FALLOC_FL_KEEP_SIZE,
					FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
					FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
					FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
					FALLOC_FL_ZERO_RANGE,
					FALLOC_FL_ZERO_RANGE,
					FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					FALLOC_FL_COLLAPSE_RANGE,
					FALLOC_FL_COLLAPSE_RANGE,
					FALLOC_FL_INSERT_RANGE,
					FALLOC_FL_INSERT_RANGE,
					FALLOC_FL_PUNCH_HOLE,
					FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE,
					FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					0x100};
	do
		op->n[1] = PICK(gen, modes);
	while ((gen->on & OP_ON_MOUNT) && (op->n[1] & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)));
	op->n[2] = lk_gen_below(gen, lk_gen_chance(gen, 50) ? 20000 : 200000);
	op->n[3] = lk_gen_below(gen, lk_gen_chance(gen, 70) ? 20000 : 150000);
	bool whole = (op->n[1] & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) && lk_gen_chance(gen, 80);
	if (whole || lk_gen_chance(gen, 30)) {
		op->n[2] &= ~INT64_C(4095);
		op->n[3] = (op->n[3] & ~INT64_C(4095)) + (lk_gen_chance(gen, 95) ? 4096 : 0);
	}
	if (lk_gen_chance(gen, 2))
		op->n[2] = PICK(gen, ((const int64_t[]){-1, LK_LARGEST - 4096, LK_LARGEST, INT64_MAX}));
	/* Not blocks behind the size at the very end: what is put back after ext4 failed to insert before them (posix.c) would take
	 * them away. */
	if (op->n[2] == LK_LARGEST - 4096 && (op->n[1] & FALLOC_FL_KEEP_SIZE))
		op->n[2] = LK_LARGEST;
	if (lk_gen_chance(gen, 2))
		op->n[3] = PICK(gen, ((const int64_t[]){0, -1}));
}

void lk_gen_target(struct gen *gen, char *out)
{
	static const char *const targets[] = {
		"",           ".",           "..",      "a",       "../a",         "a/",  "nowhere", "/",        "//a",
		"{./*2047}a", "{./*2047}aa", "{L*255}", "{L*256}", "../../../a/b", "a/.", "a/../b",  "{x*1200}", "./a"};
	if (lk_gen_chance(gen, 45))
		strcpy(out, PICK(gen, targets));
	else
		lk_gen_path(gen, out, WANT_ANY);
}

void lk_gen_numbers(struct gen *gen, struct op *op)
{
	int64_t *n = op->n;
	switch ((int)op->kind) { /* operations without a row here need no numbers */
	case OP_OPEN:
		n[1] = draw_open_flags(gen);
		n[2] = draw_mode(gen);
		break;
	case OP_PREAD:
	case OP_PWRITE:
	case OP_MMAP:
		n[1] = draw_offset(gen);
		n[2] = draw_length(gen);
		n[3] = lk_gen_chance(gen, 5) ? 0 : lk_gen_below(gen, 1000);
		break;
	case OP_READ:
	case OP_WRITE:
		n[1] = draw_length(gen);
		n[2] = lk_gen_below(gen, 1000);
		break;
	case OP_LSEEK:
		n[2] = lk_gen_below(gen, 3);
		n[1] = n[2] == 0 ? draw_offset(gen) : lk_gen_below(gen, 3000) - 1000;
		break;
	case OP_TRUNCATE:
		n[0] = lk_gen_chance(gen, 99) ? draw_offset(gen) : -1;
		break;
	case OP_FTRUNCATE:
	case OP_SEEK:
		n[1] = draw_offset(gen);
		n[2] = 3 + lk_gen_below(gen, 2);
		break;
	case OP_FALLOCATE:
		draw_fallocate(gen, op);
		break;
	case OP_COPY:
		n[1] = draw_offset(gen);
		n[2] = lk_gen_slot(gen, true);
		n[3] = draw_offset(gen);
		n[4] = draw_length(gen);
		if (lk_gen_chance(gen, 50)) {
			n[1] &= ~INT64_C(4095);
			n[3] &= ~INT64_C(4095);
			n[4] = (n[4] & ~INT64_C(4095)) + 4096;
		}
		break;
	case OP_FLOCK:
		n[1] = PICK(gen, ((const int64_t[]){LOCK_SH, LOCK_EX, LOCK_UN}));
		break;
	case OP_LOCK:
		n[1] = PICK(gen, ((const int64_t[]){F_RDLCK, F_WRLCK, F_UNLCK}));
		n[2] = lk_gen_below(gen, 10);
		n[3] = lk_gen_below(gen, 10);
		break;
	case OP_IOCTL:
		n[1] = PICK(gen, ((const int64_t[]){0x1234, 0x5413, 0x7fff, 0x40049409 + 90}));
		break;
	case OP_FSYNC:
		n[1] = lk_gen_below(gen, 2);
		break;
	case OP_MKDIR:
	case OP_CHMOD:
		n[0] = draw_mode(gen);
		break;
	case OP_FCHMOD:
		n[1] = draw_mode(gen);
		break;
	case OP_MKNOD:
		n[0] = draw_mode(gen) | PICK(gen, ((const int64_t[]){S_IFIFO, S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR,
								     S_IFBLK, 0, S_IFDIR, S_IFLNK, 0110000}));
		n[1] = PICK(gen, ((const int64_t[]){0, 1, 8, 259, 4095}));
		n[2] = PICK(gen, ((const int64_t[]){0, 3, 255, 256, 1048575}));
		break;
	case OP_READLINK:
		n[0] = lk_gen_chance(gen, 90) ? 4096 : 1 + lk_gen_below(gen, 5);
		break;
	case OP_TRACK:
		n[0] = lk_gen_chance(gen, 30);
		break;
	case OP_LINK:
		n[0] = lk_gen_chance(gen, 25) + (gen->features & GEN_TRACK ? 2 : 0);
		break;
	case OP_CLONE:
		n[0] = lk_gen_chance(gen, 25);
		break;
	case OP_KEEP:
		n[0] = lk_gen_chance(gen, 75);
		break;
	case OP_RENAME:
		n[0] = PICK(gen, ((const int64_t[]){0, 0, 0, 0, 1, 2, 2, 3, 8}));
		n[0] += gen->features & (GEN_BINDS | GEN_DIRS) ? OP_RENAME_HOME : 0;
		break;
	case OP_RMDIR:
		n[0] = gen->features & GEN_DIRS ? OP_RENAME_HOME : 0;
		break;
	case OP_STAT:
	case OP_SAME:
		n[0] = lk_gen_below(gen, 2);
		break;
	case OP_CHOWN:
	case OP_FCHOWN: {
		static const int64_t ids[] = {-1, 0, 1001, 1002, 1003, 2000, 2001, 70000};
		unsigned first = op->kind == OP_FCHOWN;
		n[first] = PICK(gen, ids);
		n[first + 1] = PICK(gen, ids);
		if (n[first] == -1 && n[first + 1] == -1)
			n[first] = 1001; /* the library has no word for a chown of nothing */
		if (op->kind == OP_CHOWN)
			n[2] = lk_gen_chance(gen, 40);
		break;
	}
	case OP_UTIMES:
		draw_times(gen, op, 0);
		n[4] = lk_gen_chance(gen, 40);
		break;
	case OP_FUTIMES:
		draw_times(gen, op, 1);
		break;
	case OP_ACCESS:
		n[0] = lk_gen_below(gen, 8);
		break;
	case OP_SETXATTR:
	case OP_FSETXATTR:
		n[0] = lk_gen_below(gen, 200);
		n[1] = lk_gen_chance(gen, 97) ? PICK(gen, ((const int64_t[]){0, 1, 5, 40, 200})) : 65537;
		n[2] = lk_gen_chance(gen, 60) ? 0 : lk_gen_below(gen, 4);
		n[3] = op->kind == OP_SETXATTR ? lk_gen_chance(gen, 30) : lk_gen_slot(gen, true);
		draw_xattr_name(gen, op->q);
		break;
	case OP_GETXATTR:
	case OP_FGETXATTR:
		n[0] = lk_gen_chance(gen, 75) ? 65536 : lk_gen_below(gen, 20);
		n[1] = op->kind == OP_GETXATTR ? lk_gen_chance(gen, 30) : lk_gen_slot(gen, true);
		draw_xattr_name(gen, op->q);
		break;
	case OP_LISTXATTR:
		n[0] = lk_gen_chance(gen, 75) ? 65536 : lk_gen_below(gen, 20);
		n[1] = lk_gen_chance(gen, 30);
		break;
	case OP_REMOVEXATTR:
		n[0] = lk_gen_chance(gen, 30);
		draw_xattr_name(gen, op->q);
		break;
	case OP_DIRWALK:
		n[0] = lk_gen_below(gen, 12);
		n[1] = lk_gen_below(gen, 2);
		strcpy(op->q, lk_gen_name(gen));
		break;
	case OP_OPENDIR:
	case OP_CLOSEDIR:
		n[0] = lk_gen_below(gen, OP_DIR_SLOTS);
		break;
	case OP_UMASK:
		n[0] = PICK(gen, ((const int64_t[]){0, 022, 077, 027, 0777, 02}));
		break;
	default:
		break;
	}
}
