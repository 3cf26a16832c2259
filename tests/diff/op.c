/*
 * op.c - the table of operations, their text form, path patterns and generated content.
 */
#include "diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOTH (OP_ON_LIB | OP_ON_MOUNT)
#define LINKS (BOTH | OP_ON_ROOT | OP_LINKS)

/* The comment at each row names its numbers n[0], n[1] ... and paths p, q. */
static const struct op_row op_rows[OP_COUNT] = {
	[OP_OPEN] = {"open", BOTH, 3, 1, 0},           /* slot, O_ flags, mode; p */
	[OP_CLOSE] = {"close", BOTH, 1, 0, 0},         /* slot */
	[OP_PREAD] = {"pread", BOTH, 3, 0, 0},         /* slot, offset, length */
	[OP_PWRITE] = {"pwrite", BOTH, 4, 0, 0},       /* slot, offset, length, content */
	[OP_READ] = {"read", OP_ON_MOUNT, 2, 0, 0},    /* slot, length */
	[OP_WRITE] = {"write", OP_ON_MOUNT, 3, 0, 0},  /* slot, length, content */
	[OP_LSEEK] = {"lseek", OP_ON_MOUNT, 3, 0, 0},  /* slot, offset, whence 0-2 */
	[OP_TRUNCATE] = {"truncate", BOTH, 1, 1, -1},  /* size; p */
	[OP_FTRUNCATE] = {"ftruncate", BOTH, 2, 0, 0}, /* slot, size */
	[OP_FALLOCATE] = {"fallocate", BOTH, 4, 0, 0}, /* slot, FALLOC_FL_ mode, offset, length */
	[OP_SEEK] = {"seek", BOTH, 3, 0, 0},           /* slot, offset, 3 data or 4 hole */
	[OP_COPY] = {"copy", BOTH, 5, 0, 0},           /* slot, offset, slot, offset, length */
	[OP_MMAP] = {"mmap", OP_ON_MOUNT, 4, 0, 0},    /* slot, offset, length, content */
	[OP_FLOCK] = {"flock", OP_ON_MOUNT, 2, 0, 0},  /* slot, LOCK_ operation */
	[OP_LOCK] = {"lock", OP_ON_MOUNT, 4, 0, 0},    /* slot, type, start, length */
	[OP_IOCTL] = {"ioctl", OP_ON_MOUNT, 2, 0, 0},  /* slot, request */
	[OP_FSYNC] = {"fsync", BOTH, 2, 0, 0},         /* slot, data only */
	[OP_SYNC] = {"sync", BOTH, 0, 0, -1},
	[OP_MKDIR] = {"mkdir", BOTH, 1, 1, -1},         /* mode; p */
	[OP_RMDIR] = {"rmdir", BOTH, 1, 1, -1},         /* OP_RENAME_HOME; p */
	[OP_MKNOD] = {"mknod", BOTH, 3, 1, -1},         /* mode with type, major, minor; p */
	[OP_SYMLINK] = {"symlink", BOTH, 0, 2, -1},     /* p text, q path */
	[OP_READLINK] = {"readlink", BOTH, 1, 1, -1},   /* buffer size; p */
	[OP_LINK] = {"link", BOTH, 1, 2, -1},           /* 1 follow, 2 only a file of one name; p, q */
	[OP_LINKFD] = {"linkfd", BOTH, 1, 1, 0},        /* slot; p */
	[OP_UNLINK] = {"unlink", BOTH, 0, 1, -1},       /* p */
	[OP_RENAME] = {"rename", BOTH, 1, 2, -1},       /* RENAME_ flags, OP_RENAME_HOME; p, q */
	[OP_SAME] = {"same", BOTH, 0, 2, -1},           /* p, q: one inode? */
	[OP_STAT] = {"stat", BOTH, 1, 1, -1},           /* follow; p */
	[OP_FSTAT] = {"fstat", BOTH, 1, 0, 0},          /* slot */
	[OP_CHMOD] = {"chmod", BOTH, 1, 1, -1},         /* mode; p */
	[OP_FCHMOD] = {"fchmod", BOTH, 2, 0, 0},        /* slot, mode */
	[OP_CHOWN] = {"chown", BOTH, 3, 1, -1},         /* uid, gid, nofollow; p */
	[OP_FCHOWN] = {"fchown", BOTH, 3, 0, 0},        /* slot, uid, gid */
	[OP_UTIMES] = {"utimes", BOTH, 5, 1, -1},       /* asec, ansec, msec, mnsec, nofollow; p; -1 now, -2 omit */
	[OP_FUTIMES] = {"futimes", BOTH, 5, 0, 0},      /* slot, asec, ansec, msec, mnsec */
	[OP_ACCESS] = {"access", BOTH, 1, 1, -1},       /* mask; p */
	[OP_SETXATTR] = {"setxattr", BOTH, 4, 2, -1},   /* content, length, XATTR_ flags, nofollow; p path, q name */
	[OP_GETXATTR] = {"getxattr", BOTH, 2, 2, -1},   /* buffer size, nofollow; p, q */
	[OP_LISTXATTR] = {"listxattr", BOTH, 2, 1, -1}, /* buffer size, nofollow; p */
	[OP_REMOVEXATTR] = {"removexattr", BOTH, 1, 2, -1}, /* nofollow; p, q */
	[OP_FSETXATTR] = {"fsetxattr", BOTH, 4, 2, 3},      /* content, length, flags, slot; p unused, q name */
	[OP_FGETXATTR] = {"fgetxattr", BOTH, 2, 2, 1},      /* buffer size, slot; p unused, q name */
	[OP_LIST] = {"list", BOTH, 0, 1, -1},               /* p */
	[OP_DIRWALK] = {"dirwalk", BOTH, 2, 2, -1},   /* entries first, 1 makes and 0 removes; p directory, q name */
	[OP_OPENDIR] = {"opendir", BOTH, 1, 1, -1},   /* directory slot; p */
	[OP_CLOSEDIR] = {"closedir", BOTH, 1, 0, -1}, /* directory slot */
	[OP_CHDIR] = {"chdir", BOTH, 0, 1, -1},       /* p */
	[OP_GETCWD] = {"getcwd", OP_ON_MOUNT, 0, 0, -1},
	[OP_UMASK] = {"umask", BOTH, 1, 0, -1},                              /* mask */
	[OP_CLONE] = {"clone", LINKS, 1, 2, -1},                             /* follow; p, q */
	[OP_UNSHARE] = {"unshare", LINKS, 0, 1, -1},                         /* p */
	[OP_KEEP] = {"keep", LINKS, 1, 1, -1},                               /* keep-links on or off; p */
	[OP_DEDUPE] = {"dedupe", LINKS, 0, 2, -1},                           /* p, q share what is equal */
	[OP_MERGE] = {"merge", OP_ON_LIB | OP_ON_ROOT | OP_LINKS, 0, 2, -1}, /* p; q becomes a name of it */
	[OP_BIND] = {"bind", LINKS | OP_ON_NAMESPACE, 0, 2, -1},             /* p shows at q */
	[OP_UNBIND] = {"unbind", LINKS | OP_ON_NAMESPACE, 0, 1, -1},         /* p */
	[OP_LINKDIR] = {"linkdir", LINKS | OP_ON_NAMESPACE, 0, 2, -1},       /* directory p gets the name q */
	[OP_TRACK] = {"track", LINKS, 1, 2, -1},                             /* replace; p target, q link */
	[OP_FORGET] = {"forget", OP_ON_MOUNT, 0, 0,
		       -1},                         /* the kernel drops what it caches, where root may ask for that */
	[OP_RESTART] = {"restart", BOTH, 1, 0, -1}, /* everything closed and opened again; 1: killed after a sync */
};

/* uid, gid, groups; the first is root, or whoever runs a test of one user. */
const struct user lk_users[] = {
	{0, 0, {0}, 0},
	{1001, 1001, {2000}, 1},
	{1002, 1002, {2000, 2001}, 2},
	{1003, 2001, {1003}, 1},
};
const unsigned lk_user_count = sizeof(lk_users) / sizeof(lk_users[0]);

const struct op_row *lk_op_row(enum op_kind kind)
{
	return &op_rows[kind];
}

bool lk_op_fits(enum op_kind kind, unsigned on)
{
	unsigned needs = op_rows[kind].on;
	unsigned all = needs & (OP_ON_ROOT | OP_ON_NAMESPACE);
	return (needs & on & BOTH) && (all & on) == all;
}

void lk_op_print(const struct op *op, struct text *out)
{
	const struct op_row *row = lk_op_row(op->kind);
	lk_text_add(out, "%s u=%d", row->name, op->user);
	if (op->at >= 0)
		lk_text_add(out, " at=%d", op->at);
	if (row->paths)
		lk_text_add(out, " p=%s", op->p);
	if (row->paths > 1 || op->q[0])
		lk_text_add(out, " q=%s", op->q);
	for (unsigned i = 0; i < row->numbers; i++) {
		bool octal = (op->kind == OP_OPEN && i > 0) || op->kind == OP_MKDIR || op->kind == OP_CHMOD ||
			     op->kind == OP_UMASK || (op->kind == OP_FCHMOD && i == 1) ||
			     (op->kind == OP_MKNOD && i == 0);
		lk_text_add(out, octal ? "%s0%llo" : "%s%lld", i ? "," : " n=", (long long)op->n[i]);
	}
	if (op->probe)
		lk_text_add(out, " probe");
}

static bool copy_word(char *out, const char *word)
{
	size_t len = strcspn(word, " \t\n");
	if (len >= OP_PATTERN)
		return false;
	memcpy(out, word, len);
	out[len] = '\0';
	return true;
}

bool lk_op_parse(const char *line, struct op *out)
{
	struct op op = {.at = -1};
	char name[32];
	line += strspn(line, " \t");
	if (sscanf(line, "%31s", name) != 1)
		return false;
	int kind = 0;
	while (kind < OP_COUNT && strcmp(op_rows[kind].name, name) != 0)
		kind++;
	if (kind == OP_COUNT)
		return false;
	op.kind = (enum op_kind)kind;
	line += strcspn(line, " \t\n");
	for (;;) {
		line += strspn(line, " \t\n");
		if (!*line)
			break;
		if (strncmp(line, "u=", 2) == 0) {
			op.user = atoi(line + 2);
		} else if (strncmp(line, "at=", 3) == 0) {
			op.at = atoi(line + 3);
		} else if (strncmp(line, "p=", 2) == 0) {
			if (!copy_word(op.p, line + 2))
				return false;
		} else if (strncmp(line, "q=", 2) == 0) {
			if (!copy_word(op.q, line + 2))
				return false;
		} else if (strncmp(line, "n=", 2) == 0) {
			char *at = (char *)(uintptr_t)(line + 2);
			for (unsigned i = 0; i < OP_NUMBERS && *at && *at != ' ' && *at != '\n'; i++) {
				op.n[i] = strtoll(at, &at, 0);
				at += *at == ',';
			}
		} else if (strncmp(line, "probe", 5) == 0) {
			op.probe = 1;
		} else {
			return false;
		}
		line += strcspn(line, " \t\n");
	}
	if (op.user < 0 || (unsigned)op.user >= lk_user_count || op.at >= OP_DIR_SLOTS)
		return false;
	*out = op;
	return true;
}

size_t lk_pattern_expand(const char *pattern, char *out, size_t room)
{
	size_t len = 0;
	char unit[OP_PATTERN];
	while (*pattern && len + 1 < room) {
		if (*pattern == '{') {
			const char *star = strchr(pattern, '*'), *end = strchr(pattern, '}');
			if (!star || !end || star > end)
				lk_die("bad pattern %s", pattern);
			memcpy(unit, pattern + 1, (size_t)(star - pattern - 1));
			unit[star - pattern - 1] = '\0';
			for (long times = atol(star + 1); times > 0; times--)
				len += lk_pattern_expand(unit, out + len, room - len);
			pattern = end + 1;
		} else if (*pattern == '%') {
			unsigned byte;
			if (sscanf(pattern + 1, "%2x", &byte) != 1)
				lk_die("bad pattern %s", pattern);
			out[len++] = (char)byte;
			pattern += 3;
		} else {
			out[len++] = *pattern++;
		}
	}
	out[len] = '\0';
	return len;
}

void lk_fill(unsigned char *buf, size_t len, int64_t seed, int64_t offset)
{
	if (seed == 0) {
		memset(buf, 0, len);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		uint64_t at = (uint64_t)offset + i;
		uint64_t word =
			((at >> 3) + 1) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)seed * UINT64_C(0xbf58476d1ce4e5b9);
		buf[i] = (unsigned char)((word ^ (word >> 31)) >> ((at & 7) * 8));
		if (seed % 3) /* two of three can be compressed */
			buf[i] &= 7;
	}
}

static size_t put_entry(unsigned char *buf, size_t len, unsigned tag, unsigned perm, uint32_t id)
{
	unsigned char *at = buf + len;
	at[0] = (unsigned char)tag;
	at[1] = (unsigned char)(tag >> 8);
	at[2] = (unsigned char)perm;
	at[3] = (unsigned char)(perm >> 8);
	for (int i = 0; i < 4; i++)
		at[4 + i] = (unsigned char)(id >> (8 * i));
	return len + 8;
}

size_t lk_acl_blob(int64_t seed, unsigned char *buf, size_t room)
{
	/* Tags as in <linux/posix_acl.h>: 1 user object, 2 user, 4 group object, 8 group, 16 mask, 32 other. */
	uint64_t bits = (uint64_t)seed * UINT64_C(0x9e3779b97f4a7c15);
	unsigned shape = (unsigned)(bits >> 60);
	size_t len = 4;
	const uint32_t none = UINT32_MAX;
	if (room < 128)
		lk_die("no room for an ACL");
	memset(buf, 0, 4);
	buf[0] = 2;
	unsigned perm = (unsigned)(bits >> 8);
	len = put_entry(buf, len, 1, perm & 7, none);
	if (shape & 1)
		len = put_entry(buf, len, 2, (perm >> 3) & 7, 1001);
	if (shape & 2)
		len = put_entry(buf, len, 2, (perm >> 6) & 7, 1002);
	len = put_entry(buf, len, 4, (perm >> 9) & 7, none);
	if (shape & 4)
		len = put_entry(buf, len, 8, (perm >> 12) & 7, 2000);
	bool needs_mask = (shape & 7) != 0;
	if (needs_mask || (shape & 8))
		len = put_entry(buf, len, 16, (perm >> 15) & 7, none);
	len = put_entry(buf, len, 32, (perm >> 18) & 7, none);
	switch (seed % 16) { /* one in a few is damaged */
	case 1:
		buf[0] = 1; /* unknown version */
		break;
	case 2:
		len -= 8; /* no entry for others */
		break;
	case 3:
		len -= 3;
		break;
	case 4:
		len = 4; /* no entries: removes the ACL */
		break;
	case 5:
		buf[6] = 9; /* no such permission */
		break;
	case 6:
		len = put_entry(buf, len, 64, 7, none); /* no such tag */
		break;
	case 7:
		len = put_entry(buf, len, 1, 7, none); /* a second user object, out of order */
		break;
	default:
		break;
	}
	return len;
}

size_t lk_xattr_value(const struct op *op, const char *name, unsigned char *buf, size_t room)
{
	if (strncmp(name, "system.posix_acl_", 17) == 0 && op->n[1] != 0)
		return lk_acl_blob(op->n[0], buf, room);
	if (strcmp(name, "security.capability") == 0 && (op->n[0] % 4 != 0 || op->n[1] == 0)) {
		/* struct vfs_cap_data, revision 2, effective: cap_net_raw permitted. */
		memset(buf, 0, 20);
		buf[0] = 1;
		buf[3] = 2;
		buf[5] = 0x20;
		return 20;
	}
	size_t len = (size_t)op->n[1] < room ? (size_t)op->n[1] : room;
	lk_fill(buf, len, op->n[0], 0);
	return len;
}
