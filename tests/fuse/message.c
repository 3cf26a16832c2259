/*
 * message.c - building requests and looking at replies.
 */
#include "fake.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void message_begin(struct message *m, uint32_t opcode, uint64_t nodeid)
{
	memset(&m->header, 0, sizeof(m->header));
	m->header.opcode = opcode;
	m->header.unique = 0x1122334455667788;
	m->header.nodeid = nodeid;
	m->header.uid = 1000;
	m->header.gid = 100;
	m->header.pid = 4711;
	m->len = sizeof(m->header);
	m->header.len = (uint32_t)m->len;
}

void message_add(struct message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
	m->header.len = (uint32_t)m->len;
}

void message_name(struct message *m, const char *name)
{
	message_add(m, name, strlen(name) + 1);
}

static void valid_content(struct message *m, uint32_t opcode)
{
	const struct fuse_read_in read = {.size = 4096};
	const struct fuse_write_in write = {.size = 5, .offset = 10};
	const struct fuse_fallocate_in allocate = {.length = 4096};
	const struct fuse_lseek_in seek = {.whence = 3};
	const struct fuse_copy_file_range_in copy = {.nodeid_out = FAKE_FILE, .len = 5000000000};
	const struct fuse_setxattr_in set = {.size = 5};
	const struct fuse_getxattr_in get = {.size = 100};
	const struct fuse_open_in open = {0};
	const struct fuse_fsync_in sync = {0};
	const uint64_t zeros[16] = {0};
	m->header.nodeid = FAKE_FILE;
	switch (opcode) {
	case FUSE_OPEN:
		message_add(m, &open, sizeof(open));
		break;
	case FUSE_READ:
		message_add(m, &read, sizeof(read));
		break;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		m->header.nodeid = FAKE_DIR;
		message_add(m, &read, sizeof(read));
		break;
	case FUSE_WRITE:
		message_add(m, &write, sizeof(write));
		message_add(m, "hello", 5);
		break;
	case FUSE_FALLOCATE:
		message_add(m, &allocate, sizeof(allocate));
		break;
	case FUSE_LSEEK:
		message_add(m, &seek, sizeof(seek));
		break;
	case FUSE_COPY_FILE_RANGE:
	case LK_FUSE_COPY_FILE_RANGE_64:
		message_add(m, &copy, sizeof(copy));
		break;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		message_add(m, &sync, sizeof(sync));
		break;
	case FUSE_SETXATTR:
		message_add(m, &set, sizeof(set));
		message_name(m, "user.name");
		message_add(m, "value", 5);
		break;
	case FUSE_GETXATTR:
		message_add(m, &get, sizeof(get));
		message_name(m, "user.name");
		break;
	case FUSE_LISTXATTR:
		message_add(m, &get, sizeof(get));
		break;
	case FUSE_REMOVEXATTR:
		message_name(m, "user.name");
		break;
	default:
		message_add(m, zeros, sizeof(zeros));
		break;
	}
}

bool message_valid(struct message *m, uint32_t opcode)
{
	const struct fuse_forget_in forget = {.nlookup = 1};
	const struct fuse_batch_forget_in batch = {.count = 2};
	const struct fuse_forget_one ones[2] = {{.nodeid = FAKE_FILE, .nlookup = 1},
						{.nodeid = FAKE_DIR, .nlookup = 2}};
	const struct fuse_mknod_in mknod = {.mode = S_IFREG | 0666, .umask = 022};
	const struct fuse_mkdir_in mkdir = {.mode = 0777, .umask = 027};
	const struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0666, .umask = 077};
	const struct fuse_rename_in rename = {.newdir = FAKE_DIR};
	const struct fuse_rename2_in rename2 = {.newdir = FAKE_DIR, .flags = 1};
	const struct fuse_link_in link = {.oldnodeid = FAKE_FILE};
	const struct fuse_getattr_in getattr = {0};
	const struct fuse_setattr_in setattr = {.valid = FATTR_MODE, .mode = S_IFREG | 0600};
	const struct lk_fuse_statx_in statx = {.sx_mask = 0xfff};
	const struct fuse_init_in init = {
		.major = 7, .minor = 45, .max_readahead = 131072, .flags = UINT32_MAX, .flags2 = UINT32_MAX};
	message_begin(m, opcode, 1);
	if (opcode >= LK_FUSE_OPCODES || !lk_fuse_ops[opcode].name)
		return false;
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		message_name(m, "file");
		break;
	case FUSE_FORGET:
		m->header.nodeid = FAKE_FILE;
		message_add(m, &forget, sizeof(forget));
		break;
	case FUSE_BATCH_FORGET:
		message_add(m, &batch, sizeof(batch));
		message_add(m, ones, sizeof(ones));
		break;
	case FUSE_GETATTR:
		message_add(m, &getattr, sizeof(getattr));
		break;
	case FUSE_SETATTR:
		m->header.nodeid = FAKE_FILE;
		message_add(m, &setattr, sizeof(setattr));
		break;
	case LK_FUSE_STATX:
		message_add(m, &statx, sizeof(statx));
		break;
	case FUSE_READLINK:
		m->header.nodeid = FAKE_LINK;
		break;
	case FUSE_SYMLINK:
		message_name(m, "new");
		message_name(m, "target/text");
		break;
	case FUSE_MKNOD:
		message_add(m, &mknod, sizeof(mknod));
		message_name(m, "new");
		break;
	case FUSE_MKDIR:
		message_add(m, &mkdir, sizeof(mkdir));
		message_name(m, "new");
		break;
	case FUSE_CREATE:
		message_add(m, &create, sizeof(create));
		message_name(m, "new");
		break;
	case FUSE_TMPFILE:
		message_add(m, &create, sizeof(create));
		message_name(m, "/");
		break;
	case FUSE_RENAME:
		message_add(m, &rename, sizeof(rename));
		message_name(m, "file");
		message_name(m, "new");
		break;
	case FUSE_RENAME2:
		message_add(m, &rename2, sizeof(rename2));
		message_name(m, "file");
		message_name(m, "new");
		break;
	case FUSE_LINK:
		message_add(m, &link, sizeof(link));
		message_name(m, "new");
		break;
	case FUSE_INIT:
		m->header.nodeid = 0;
		message_add(m, &init, sizeof(init));
		break;
	default:
		valid_content(m, opcode);
		break;
	}
	return true;
}

int message_send(struct linkfs_mount *mount, struct message *m, struct reply *r)
{
	r->len = lk_fuse_dispatch(mount, m->bytes, m->len, r->bytes, sizeof(r->bytes), &r->rq);
	return r->len ? r->header.error : 1;
}

const void *reply_content(const struct reply *r, size_t size)
{
	if (r->len != sizeof(r->header) + size)
		return NULL;
	return r->bytes + sizeof(r->header);
}

struct linkfs_mount *fake_mount(void)
{
	static struct linkfs_mount mount;
	static struct message m;
	static struct reply r;
	memset(&mount, 0, sizeof(mount));
	mount.conn.generation = 77;
	message_valid(&m, FUSE_INIT);
	return message_send(&mount, &m, &r) ? NULL : &mount;
}
