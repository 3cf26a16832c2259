/*
 * gen.c - draws random operations. Few names, so that they meet; paths that the reference said exist are drawn often;
 * limits (names of 255 and 256 bytes, paths of 4095 and 4096, file sizes near the largest) and odd bytes now and then.
 */
#include "diff.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#define KNOWN 24
#define QUEUE 64

/* What a path is drawn for: what should be there, most of the time. */
enum want { WANT_FILE, WANT_DIR, WANT_LINK, WANT_OTHER, WANT_KINDS, WANT_ANY = WANT_KINDS, WANT_NEW };

struct known {
	char paths[KNOWN][OP_PATTERN]; /* from the root, without the leading slash */
	size_t count;
};

struct gen {
	uint64_t state;
	unsigned on;
	bool many_users;
	struct known known[WANT_KINDS]; /* what existed at some time */
	bool open[OP_SLOTS];
	struct op queue[QUEUE];
	size_t queued, taken;
	uint64_t drawn;
};

static uint64_t draw(struct gen *gen)
{
	uint64_t z = (gen->state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static int64_t below(struct gen *gen, int64_t limit)
{
	return (int64_t)(draw(gen) % (uint64_t)limit);
}

static bool chance(struct gen *gen, int percent)
{
	return below(gen, 100) < percent;
}

#define PICK(gen, array) ((array)[below((gen), (int64_t)(sizeof(array) / sizeof((array)[0])))])

static const char *draw_name(struct gen *gen)
{
	static const char *const common[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	static const char *const odd[] = {"{L*255}", "{L*256}", "%ff%fe%01", "x%20y", "...", "%0a", "%c3%a4", "{M*254}%80", "a."};
	static const char *const dots[] = {".", ".."};
	if (chance(gen, 94))
		return PICK(gen, common);
	return chance(gen, 70) ? PICK(gen, odd) : PICK(gen, dots);
}

/* Appends unless it would not fit a pattern. */
static void append(char *out, const char *more)
{
	if (strlen(out) + strlen(more) < OP_PATTERN - 1)
		strcat(out, more);
}

static const char *draw_known(struct gen *gen, enum want want)
{
	if (want >= WANT_KINDS)
		want = (enum want)below(gen, WANT_KINDS);
	const struct known *known = &gen->known[want];
	return known->count ? known->paths[below(gen, (int64_t)known->count)] : NULL;
}

static void draw_path(struct gen *gen, char *out, enum want want)
{
	static const char *const limits[] = {"{./*2047}a", "{./*2047}aa", "{./*2048}", "{a/*2047}b", "{a/../*819}", "{b/../*819}b",
					     "{%2f*4095}", "/{./*2046}a", "{L*255}/{L*255}", "{d/*40}e", "{d/*60}f"};
	static const char *const tails[] = {"/", "/.", "/..", "//", "/../a"};
	out[0] = '\0';
	int64_t kind = below(gen, 1000);
	if (kind < 3)
		return;
	if (kind < 9) {
		append(out, PICK(gen, limits));
		return;
	}
	const char *known = draw_known(gen, want == WANT_NEW ? WANT_DIR : kind < 850 ? want : WANT_ANY);
	if (known && kind < 900) {
		append(out, chance(gen, 85) ? "/" : "");
		append(out, known);
		if (want == WANT_NEW || chance(gen, 6)) {
			append(out, "/");
			append(out, draw_name(gen));
		}
	} else {
		append(out, chance(gen, 50) ? "/" : "");
		int64_t depth = 1 + below(gen, 100) / 55 + below(gen, 100) / 80;
		for (int64_t i = 0; i < depth; i++) {
			if (i)
				append(out, chance(gen, 97) ? "/" : "//");
			append(out, draw_name(gen));
		}
	}
	if (chance(gen, 3))
		append(out, PICK(gen, tails));
}

static int64_t draw_slot(struct gen *gen, bool open)
{
	int64_t slot = below(gen, OP_SLOTS);
	if (chance(gen, 95)) {
		for (int64_t i = 0; i < OP_SLOTS && gen->open[slot] != open; i++)
			slot = (slot + 1) % OP_SLOTS;
	}
	return slot;
}

static int64_t draw_offset(struct gen *gen)
{
	static const int64_t edges[] = {0, 1, 511, 1023, 1024, 1500, 2047, 2048, 4095, 4096, 4097, 8191, 8192, 12288, 65535,
					65536, 131072, 524287, 524288, 528384, 1048576};
	static const int64_t far[] = {INT64_C(1) << 31, (INT64_C(1) << 32) - 1, INT64_C(1) << 32, INT64_C(5) << 30,
				      LK_LARGEST - 4096, LK_LARGEST - 1, LK_LARGEST, LK_LARGEST + 1, INT64_MAX};
	int64_t kind = below(gen, 100);
	if (kind < 55)
		return PICK(gen, edges);
	if (kind < 97)
		return below(gen, chance(gen, 50) ? 10000 : 300000);
	return PICK(gen, far);
}

static int64_t draw_length(struct gen *gen)
{
	static const int64_t edges[] = {0, 1, 100, 511, 512, 1000, 2000, 4095, 4096, 4097, 8192, 12288, 16384, 65536};
	int64_t kind = below(gen, 100);
	if (kind < 60)
		return PICK(gen, edges);
	return below(gen, kind < 97 ? 20000 : 600000);
}

static int64_t draw_mode(struct gen *gen)
{
	static const int64_t modes[] = {0644, 0600, 0666, 0777, 0755, 0700, 0, 04755, 02755, 06777, 01777, 02070, 0111, 0222, 0444, 02644};
	return chance(gen, 75) ? PICK(gen, modes) : below(gen, 010000);
}

static void draw_xattr_name(struct gen *gen, char *out)
{
	static const char *const names[] = {"user.a", "user.b", "user.c", "trusted.a", "trusted.b", "security.x", "security.capability",
					    "system.posix_acl_access", "system.posix_acl_default", "system.posix_acl_access",
					    "system.posix_acl_default"};
	static const char *const odd[] = {"", "user.", "user", "foo.bar", "system.foo", "user.{n*250}", "user.{n*251}", "trusted.",
					  "security.", "user.%ff%01", "system.posix_acl_accessx", "USER.a"};
	append(strcpy(out, ""), chance(gen, 90) ? PICK(gen, names) : PICK(gen, odd));
}

static void draw_times(struct gen *gen, struct op *op, unsigned first)
{
	static const int64_t seconds[] = {0, 1, -1, -1000000000, 1000000000, 4294967295, 4294967296, 5000000000, 8000000000,
					  2147483647, 2147483648, -2147483647, 86400};
	for (unsigned i = 0; i < 2; i++) {
		int64_t *pair = &op->n[first + 2 * i];
		int64_t kind = below(gen, 100);
		pair[0] = PICK(gen, seconds);
		pair[1] = chance(gen, 30) ? 0 : below(gen, 1000000000);
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
	if (chance(gen, 70))
		flags |= O_CREAT;
	if (chance(gen, 8))
		flags |= O_EXCL;
	if (chance(gen, 15))
		flags |= O_TRUNC;
	if (chance(gen, 12))
		flags |= O_APPEND;
	if (chance(gen, 12))
		flags |= O_NOFOLLOW;
	if (chance(gen, 5))
		flags = (flags & ~(int64_t)(O_CREAT | O_TRUNC)) | O_TMPFILE;
	if (gen->on & OP_ON_MOUNT) {
		if (chance(gen, 4))
			flags |= O_DIRECTORY;
		if (chance(gen, 4))
			flags |= O_PATH;
		if (chance(gen, 2))
			flags |= O_SYNC;
	}
	return flags;
}

static void draw_fallocate(struct gen *gen, struct op *op)
{
	/* Collapse and insert never reach a FUSE server (design M9): the mount's tests see to those. */
	static const int64_t modes[] = {0, 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
					FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
					FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_INSERT_RANGE,
					FALLOC_FL_PUNCH_HOLE, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE,
					FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0x100};
	do
		op->n[1] = PICK(gen, modes);
	while ((gen->on & OP_ON_MOUNT) && (op->n[1] & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)));
	op->n[2] = below(gen, chance(gen, 50) ? 20000 : 200000);
	op->n[3] = below(gen, chance(gen, 70) ? 20000 : 150000);
	bool whole = (op->n[1] & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) && chance(gen, 80);
	if (whole || chance(gen, 30)) {
		op->n[2] &= ~INT64_C(4095);
		op->n[3] = (op->n[3] & ~INT64_C(4095)) + (chance(gen, 95) ? 4096 : 0);
	}
	if (chance(gen, 2))
		op->n[2] = PICK(gen, ((const int64_t[]){-1, LK_LARGEST - 4096, LK_LARGEST, INT64_MAX}));
	if (chance(gen, 2))
		op->n[3] = PICK(gen, ((const int64_t[]){0, -1}));
}

static void draw_target(struct gen *gen, char *out)
{
	static const char *const targets[] = {"", ".", "..", "a", "../a", "a/", "nowhere", "/", "//a", "{./*2047}a", "{./*2047}aa", "{L*255}",
					      "{L*256}", "../../../a/b", "a/.", "a/../b", "{x*1200}", "./a"};
	if (chance(gen, 45))
		strcpy(out, PICK(gen, targets));
	else
		draw_path(gen, out, WANT_ANY);
}

static void queue_op(struct gen *gen, const struct op *op)
{
	if (gen->queued < QUEUE)
		gen->queue[gen->queued++] = *op;
}

/* Directories of several owners and modes, so that users meet from the first operation on. */
static void queue_prologue(struct gen *gen)
{
	static const struct {
		const char *name;
		int mode, uid, gid;
	} dirs[] = {{"a", 0777, 0, 0}, {"b", 01777, 0, 0}, {"c", 02775, 1001, 2000}, {"d", 0700, 1002, 1002}, {"e", 03770, 1003, 2000}};
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct op op = {.kind = OP_MKDIR, .at = -1, .n = {0777}};
		(void)snprintf(op.p, sizeof(op.p), "/%s", dirs[i].name);
		queue_op(gen, &op);
		op.kind = OP_CHOWN;
		op.n[0] = dirs[i].uid;
		op.n[1] = dirs[i].gid;
		if (gen->many_users)
			queue_op(gen, &op);
		op.kind = OP_CHMOD;
		op.n[0] = dirs[i].mode;
		queue_op(gen, &op);
	}
}

/* A chain of symlinks around the limit of 40 expansions, and what its ends resolve to. */
static void queue_chain(struct gen *gen)
{
	struct op op = {.kind = OP_SYMLINK, .at = -1};
	for (int i = 0; i < 42; i++) {
		(void)snprintf(op.p, sizeof(op.p), i ? "s%d" : "a", i - 1);
		(void)snprintf(op.q, sizeof(op.q), "/s%d", i);
		queue_op(gen, &op);
	}
	for (int i = 38; i < 42; i++) {
		op = (struct op){.kind = OP_STAT, .at = -1, .n = {1}};
		(void)snprintf(op.p, sizeof(op.p), "/s%d%s", i, i % 2 ? "/b" : "");
		queue_op(gen, &op);
	}
}

/* A deep tree made by changing into it, far beyond what one path can name. */
static void queue_deep(struct gen *gen)
{
	struct op op = {.at = -1, .n = {0777}};
	const char *name = chance(gen, 50) ? "d" : "{K*250}";
	for (int i = 0; i < 24; i++) {
		op.kind = OP_MKDIR;
		(void)snprintf(op.p, sizeof(op.p), "%s", name);
		queue_op(gen, &op);
		op.kind = OP_CHDIR;
		queue_op(gen, &op);
	}
	if (gen->on & OP_ON_MOUNT) {
		op.kind = OP_GETCWD;
		queue_op(gen, &op);
	}
	op.kind = OP_STAT;
	strcpy(op.p, "{../*24}a");
	queue_op(gen, &op);
	op.kind = OP_CHDIR;
	(void)snprintf(op.p, sizeof(op.p), "%s", chance(gen, 70) ? "/" : "{../*5}");
	queue_op(gen, &op);
}

static const unsigned char weights[OP_COUNT] = {
	[OP_OPEN] = 90, [OP_CLOSE] = 20, [OP_PREAD] = 40, [OP_PWRITE] = 80, [OP_READ] = 12, [OP_WRITE] = 12, [OP_LSEEK] = 6,
	[OP_TRUNCATE] = 25, [OP_FTRUNCATE] = 25, [OP_FALLOCATE] = 40, [OP_SEEK] = 30, [OP_COPY] = 20, [OP_MMAP] = 20,
	[OP_FLOCK] = 8, [OP_LOCK] = 8, [OP_IOCTL] = 3, [OP_FSYNC] = 5, [OP_SYNC] = 1, [OP_MKDIR] = 45, [OP_RMDIR] = 22,
	[OP_MKNOD] = 20, [OP_SYMLINK] = 45, [OP_READLINK] = 15, [OP_LINK] = 50, [OP_LINKFD] = 8, [OP_UNLINK] = 40,
	[OP_RENAME] = 80, [OP_SAME] = 10, [OP_STAT] = 60, [OP_FSTAT] = 25, [OP_CHMOD] = 25, [OP_FCHMOD] = 8, [OP_CHOWN] = 22,
	[OP_FCHOWN] = 8, [OP_UTIMES] = 20, [OP_FUTIMES] = 8, [OP_ACCESS] = 15, [OP_SETXATTR] = 45, [OP_GETXATTR] = 18,
	[OP_LISTXATTR] = 10, [OP_REMOVEXATTR] = 12, [OP_FSETXATTR] = 5, [OP_FGETXATTR] = 5, [OP_LIST] = 10, [OP_DIRWALK] = 5,
	[OP_OPENDIR] = 10, [OP_CLOSEDIR] = 5, [OP_CHDIR] = 14, [OP_GETCWD] = 4, [OP_UMASK] = 5, [OP_FORGET] = 1, [OP_RESTART] = 1,
};

static enum op_kind draw_kind(struct gen *gen)
{
	for (;;) {
		int64_t total = 0, at;
		for (int i = 0; i < OP_COUNT; i++)
			total += weights[i];
		at = below(gen, total);
		int kind = 0;
		while (at >= weights[kind])
			at -= weights[kind++];
		if (lk_op_row((enum op_kind)kind)->on & gen->on)
			return (enum op_kind)kind;
	}
}

static void draw_numbers(struct gen *gen, struct op *op)
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
		n[3] = chance(gen, 5) ? 0 : below(gen, 1000);
		break;
	case OP_READ:
	case OP_WRITE:
		n[1] = draw_length(gen);
		n[2] = below(gen, 1000);
		break;
	case OP_LSEEK:
		n[2] = below(gen, 3);
		n[1] = n[2] == 0 ? draw_offset(gen) : below(gen, 3000) - 1000;
		break;
	case OP_TRUNCATE:
		n[0] = chance(gen, 99) ? draw_offset(gen) : -1;
		break;
	case OP_FTRUNCATE:
	case OP_SEEK:
		n[1] = draw_offset(gen);
		n[2] = 3 + below(gen, 2);
		break;
	case OP_FALLOCATE:
		draw_fallocate(gen, op);
		break;
	case OP_COPY:
		n[1] = draw_offset(gen);
		n[2] = draw_slot(gen, true);
		n[3] = draw_offset(gen);
		n[4] = draw_length(gen);
		if (chance(gen, 50)) {
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
		n[2] = below(gen, 10);
		n[3] = below(gen, 10);
		break;
	case OP_IOCTL:
		n[1] = PICK(gen, ((const int64_t[]){0x1234, 0x5413, 0x7fff, 0x40049409 + 90}));
		break;
	case OP_FSYNC:
		n[1] = below(gen, 2);
		break;
	case OP_MKDIR:
	case OP_CHMOD:
		n[0] = draw_mode(gen);
		break;
	case OP_FCHMOD:
		n[1] = draw_mode(gen);
		break;
	case OP_MKNOD:
		n[0] = draw_mode(gen) | PICK(gen, ((const int64_t[]){S_IFIFO, S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR, S_IFBLK, 0, S_IFDIR,
								     S_IFLNK, 0110000}));
		n[1] = PICK(gen, ((const int64_t[]){0, 1, 8, 259, 4095}));
		n[2] = PICK(gen, ((const int64_t[]){0, 3, 255, 256, 1048575}));
		break;
	case OP_READLINK:
		n[0] = chance(gen, 90) ? 4096 : 1 + below(gen, 5);
		break;
	case OP_LINK:
		n[0] = chance(gen, 25);
		break;
	case OP_RENAME:
		n[0] = PICK(gen, ((const int64_t[]){0, 0, 0, 0, 1, 2, 2, 3, 8}));
		break;
	case OP_STAT:
	case OP_SAME:
		n[0] = below(gen, 2);
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
			n[2] = chance(gen, 40);
		break;
	}
	case OP_UTIMES:
		draw_times(gen, op, 0);
		n[4] = chance(gen, 40);
		break;
	case OP_FUTIMES:
		draw_times(gen, op, 1);
		break;
	case OP_ACCESS:
		n[0] = below(gen, 8);
		break;
	case OP_SETXATTR:
	case OP_FSETXATTR:
		n[0] = below(gen, 200);
		n[1] = chance(gen, 97) ? PICK(gen, ((const int64_t[]){0, 1, 5, 40, 200})) : 65537;
		n[2] = chance(gen, 60) ? 0 : below(gen, 4);
		n[3] = op->kind == OP_SETXATTR ? chance(gen, 30) : draw_slot(gen, true);
		draw_xattr_name(gen, op->q);
		break;
	case OP_GETXATTR:
	case OP_FGETXATTR:
		n[0] = chance(gen, 75) ? 65536 : below(gen, 20);
		n[1] = op->kind == OP_GETXATTR ? chance(gen, 30) : draw_slot(gen, true);
		draw_xattr_name(gen, op->q);
		break;
	case OP_LISTXATTR:
		n[0] = chance(gen, 75) ? 65536 : below(gen, 20);
		n[1] = chance(gen, 30);
		break;
	case OP_REMOVEXATTR:
		n[0] = chance(gen, 30);
		draw_xattr_name(gen, op->q);
		break;
	case OP_DIRWALK:
		n[0] = below(gen, 12);
		n[1] = below(gen, 2);
		strcpy(op->q, draw_name(gen));
		break;
	case OP_OPENDIR:
	case OP_CLOSEDIR:
		n[0] = below(gen, OP_DIR_SLOTS);
		break;
	case OP_UMASK:
		n[0] = PICK(gen, ((const int64_t[]){0, 022, 077, 027, 0777, 02}));
		break;
	default:
		break;
	}
}

static enum want want_first(struct gen *gen, enum op_kind kind)
{
	switch ((int)kind) {
	case OP_OPEN:
		return chance(gen, 50) ? WANT_FILE : WANT_NEW;
	case OP_MKDIR:
	case OP_MKNOD:
	case OP_LINKFD:
		return WANT_NEW;
	case OP_TRUNCATE:
		return WANT_FILE;
	case OP_RMDIR:
	case OP_LIST:
	case OP_DIRWALK:
	case OP_OPENDIR:
	case OP_CHDIR:
		return WANT_DIR;
	case OP_READLINK:
		return WANT_LINK;
	default:
		return WANT_ANY;
	}
}

void lk_gen_next(struct gen *gen, struct op *out)
{
	if (gen->drawn++ == 0)
		queue_prologue(gen);
	if (gen->taken == gen->queued) {
		gen->taken = gen->queued = 0;
		int64_t special = below(gen, 2500);
		if (special == 0)
			queue_chain(gen);
		else if (special <= 2)
			queue_deep(gen);
	}
	if (gen->taken < gen->queued) {
		*out = gen->queue[gen->taken++];
		return;
	}
	struct op op = {.kind = draw_kind(gen), .at = -1};
	const struct op_row *row = lk_op_row(op.kind);
	op.user = gen->many_users && chance(gen, 40) ? 1 + (int)below(gen, (int64_t)lk_user_count - 1) : 0;
	if (chance(gen, 8))
		op.at = (int)below(gen, OP_DIR_SLOTS);
	op.probe = chance(gen, 12);
	if (op.kind == OP_SYMLINK)
		draw_target(gen, op.p);
	else if (row->paths && op.kind != OP_FSETXATTR && op.kind != OP_FGETXATTR)
		draw_path(gen, op.p, want_first(gen, op.kind));
	if (row->paths > 1)
		draw_path(gen, op.q, op.kind == OP_SAME || (op.kind == OP_RENAME && chance(gen, 50)) ? WANT_ANY : WANT_NEW);
	draw_numbers(gen, &op);
	if (op.kind == OP_RESTART)
		op.n[0] = below(gen, 2);
	if (row->slot >= 0)
		op.n[row->slot] = draw_slot(gen, op.kind != OP_OPEN);
	if (op.kind == OP_RESTART)
		op.at = -1, op.user = 0, op.probe = 0;
	*out = op;
}

static void know(struct gen *gen, enum want kind, const char *path)
{
	struct known *known = &gen->known[kind];
	if (path[0] != '/' || strlen(path) > 60)
		return;
	size_t slot = known->count < KNOWN ? known->count++ : (size_t)below(gen, KNOWN);
	(void)snprintf(known->paths[slot], OP_PATTERN, "%s", path + 1);
}

/* Forgets a path, and tells what it was. */
static enum want forget(struct gen *gen, const char *path)
{
	for (int kind = 0; path[0] == '/' && kind < WANT_KINDS; kind++) {
		struct known *known = &gen->known[kind];
		for (size_t i = 0; i < known->count; i++) {
			if (strcmp(known->paths[i], path + 1) == 0) {
				known->count--;
				memmove(known->paths[i], known->paths[known->count], OP_PATTERN);
				return (enum want)kind;
			}
		}
	}
	return WANT_FILE;
}

void lk_gen_learn(struct gen *gen, const struct op *op, const char *answer)
{
	bool ok = strncmp(answer, "ok", 2) == 0;
	bool unnamed = (op->n[1] & O_TMPFILE) == O_TMPFILE;
	if (op->kind == OP_OPEN)
		gen->open[op->n[0]] = ok;
	if (op->kind == OP_CLOSE)
		gen->open[op->n[0]] = false;
	if (op->kind == OP_RESTART)
		memset(gen->open, 0, sizeof(gen->open));
	if (!ok)
		return;
	if (op->kind == OP_MKDIR)
		know(gen, WANT_DIR, op->p);
	else if (op->kind == OP_LINKFD || (op->kind == OP_OPEN && (op->n[1] & O_CREAT) && !unnamed))
		know(gen, WANT_FILE, op->p);
	else if (op->kind == OP_SYMLINK)
		know(gen, WANT_LINK, op->q);
	else if (op->kind == OP_MKNOD)
		know(gen, WANT_OTHER, op->p);
	else if (op->kind == OP_LINK)
		know(gen, WANT_FILE, op->q);
	else if (op->kind == OP_RENAME && !(op->n[0] & 2))
		know(gen, forget(gen, op->p), op->q);
	else if (op->kind == OP_UNLINK || op->kind == OP_RMDIR)
		(void)forget(gen, op->p);
}

struct gen *lk_gen_new(uint64_t seed, unsigned on, bool many_users)
{
	struct gen *gen = calloc(1, sizeof(*gen));
	if (!gen)
		lk_die("out of memory");
	gen->state = seed;
	gen->on = on;
	gen->many_users = many_users;
	return gen;
}

void lk_gen_free(struct gen *gen)
{
	free(gen);
}
