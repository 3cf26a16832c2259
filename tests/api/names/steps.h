/*
 * steps.h - scenarios as tables: one row is one call by one user, with the result that Linux's ext4 gives. A scenario is run
 * on a fresh volume through the library, and, to prove the table, on the host's ext4.
 */
#ifndef STEPS_H
#define STEPS_H

#include "test.h"

#include <linkfs.h>

enum user { R, O, M, X }; /* root; 1000:1000; 1001:1001 who is in group 1000; 2000:2000 */

enum call {
	END,
	MKDIR,  /* a, n: mode */
	MK,     /* a, n: type and mode (mknod); m: device 0:0 instead of 1:3 */
	SYM,    /* b: text, a: path */
	LN,     /* a: there, b: new */
	LNF,    /* the same, following a */
	RM,     /* a */
	RMDIR,  /* a */
	MV,     /* a, b, n: LINKFS_RENAME_ */
	STAT,   /* a */
	LSTAT,  /* a */
	RDLNK,  /* a */
	OPEN,   /* a, n: LINKFS_O_; made with mode 0644 */
	LS,     /* a: open it for listing */
	CHMOD,  /* a, n */
	LCHMOD, /* the same, not following */
	CHOWN,  /* a, n: uid, m: gid; KEEP leaves one */
	TRUNC,  /* a, n */
	NOW,    /* a: both times to now */
	TIMES,  /* a: both times to given ones */
	NOW1,   /* a: access time to now, the other kept */
	ACCESS, /* a, n: 4 2 1 */
	SETX,   /* a, b: name, v or "x", n: LINKFS_XATTR_ */
	GETX,   /* a, b: name */
	RMX,    /* a, b: name */
	LSX,    /* a: m is the length of the list that must come */
	/* What must be seen; want is 0. */
	MODE,  /* a, n: permission bits (not followed) */
	NLINK, /* a, n */
	OWNER, /* a, n: uid, m: gid */
	SAME,  /* a, b: one inode */
};
#define KEEP UINT32_MAX

struct bytes {
	const void *p;
	size_t len;
};

struct step {
	enum user user;
	enum call call;
	const char *a, *b;
	uint32_t n, m;
	int want; /* 0 or LINKFS_E... */
	const struct bytes *v;
	int line;
};
/* call arguments, then .want = LINKFS_E... */
#define S(u, c, ...)                                                                                                   \
	{                                                                                                              \
		.line = __LINE__, .user = (u), .call = (c), __VA_ARGS__                                                \
	}

struct scenario {
	const char *name;
	const struct step *steps;
	bool lib_only; /* what ext4 cannot be asked: absolute texts from the volume's root, large xattr values */
};

/* Runs every scenario; for main(). argv[1] "--reference": on the host. */
int steps_main(int argc, char **argv, const struct scenario *scenarios, size_t count);

#endif
