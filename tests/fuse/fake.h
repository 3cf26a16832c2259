/*
 * fake.h - a stand-in for the library's calls, so that the protocol is tested by bytes alone: a few fixed files, what the
 * last call was asked, and how many holds each inode has.
 */
#ifndef FAKE_H
#define FAKE_H

#include <linkfs.h>
#include <session.h>
#include <stdbool.h>

enum {
	FAKE_FILE = 2,    /* "file" in the root */
	FAKE_DIR = 3,     /* "dir" in the root */
	FAKE_LINK = 4,    /* "link" in the root, a symlink */
	FAKE_NEW = 5,     /* what calls that make something make */
	FAKE_INODES = 16, /* numbers from here on are gone */
	FAKE_ENTRIES = 40 /* of directory FAKE_DIR, beside "." and ".." */
};

struct fake {
	int64_t holds[FAKE_INODES];
	int result;            /* what the next calls return, when not 0 */
	struct linkfs_stat st; /* what they tell about files, but for ino and type */
	/* what the last call got */
	char call[32];
	struct linkfs_cred cred;
	uint64_t ino, dir, offset, length;
	uint64_t written; /* linkfs_node_written() */
	char name[LINKFS_NAME_MAX + 1], name2[LINKFS_NAME_MAX + 1];
	struct linkfs_setattr change;
	struct linkfs_make how;
	size_t size;
	uint32_t flags, mode;
	unsigned batch; /* readdir returns after so many entries; 0: no bound */
	unsigned readdirs;
	uint64_t name_changes;
	int (*tick)(const struct linkfs_tick_options *options, struct linkfs_tick *out); /* NULL: nothing is due */
	uint32_t read_only;
};

/* The one volume of the tests. */
extern struct fake fake;
void fake_reset(void);
/* All holds together; the root's must be 0 always. */
int64_t fake_held(void);

/* A session on it that INIT has been through with everything offered. */
struct linkfs_mount *fake_mount(void);

/* A request under construction; 8-byte aligned as the loop's buffers are. */
struct message {
	union {
		struct fuse_in_header header;
		uint64_t align[(LK_FUSE_BUFFER_SIZE + 7) / 8];
		uint8_t bytes[LK_FUSE_BUFFER_SIZE];
	};
	size_t len;
};
void message_begin(struct message *m, uint32_t opcode, uint64_t nodeid);
void message_add(struct message *m, const void *bytes, size_t len);
void message_name(struct message *m, const char *name); /* with its NUL */
/* A correct request of the operation; false for an operation without a table row. */
bool message_valid(struct message *m, uint32_t opcode);

/* Dispatches; the reply's error (0 or negative errno), 1 when there was none. */
struct reply {
	union {
		struct fuse_out_header header;
		uint64_t align[(LK_FUSE_BUFFER_SIZE + 7) / 8];
		uint8_t bytes[LK_FUSE_BUFFER_SIZE];
	};
	size_t len;
	struct lk_fuse_request rq;
};
int message_send(struct linkfs_mount *mount, struct message *m, struct reply *r);
/* The reply's content; fails the caller's expectation by NULL when it is not size bytes long. */
const void *reply_content(const struct reply *r, size_t size);

#endif
