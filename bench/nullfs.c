/*
 * nullfs.c - the limit of a FUSE mount: answers every request at once, with a table in memory behind it and nothing else.
 * nullfs MOUNT_POINT poll|sleep: waiting for a request it spins, or sleeps in read(2). Ends when unmounted. Root only.
 * The negotiated flags are those linkfs uses, so that the difference of the two is linkfs's own work.
 */
#include "nullfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_WRITE (1u << 20)
#define FOREVER 0x7fffffffu

static int device;
static char *request_buffer, *reply_buffer;

struct request {
	const struct fuse_in_header *header;
	const char *body;
	void *out; /* body of the reply */
};

static void attr_of(uint64_t ino, struct fuse_attr *attr)
{
	const struct nullfs_node *node = nullfs_node(ino);
	memset(attr, 0, sizeof(*attr));
	attr->ino = ino;
	if (!node)
		return;
	attr->mode = node->mode;
	attr->nlink = node->nlink;
	attr->size = node->size;
	attr->blocks = (node->size + 511) / 512;
	attr->blksize = 4096;
}

static size_t entry_of(uint64_t ino, struct fuse_entry_out *out)
{
	memset(out, 0, sizeof(*out));
	out->nodeid = ino;
	out->entry_valid = out->attr_valid = FOREVER;
	if (ino)
		attr_of(ino, &out->attr);
	return sizeof(*out);
}

static size_t attr_reply(uint64_t ino, void *at)
{
	struct fuse_attr_out *out = at;
	memset(out, 0, sizeof(*out));
	out->attr_valid = FOREVER;
	attr_of(ino, &out->attr);
	return sizeof(*out);
}

/* Handlers return the length of the reply's body, or a negative errno. */
static ssize_t make(const struct request *r, const char *name, uint32_t mode)
{
	if (nullfs_find(r->header->nodeid, name))
		return -EEXIST;
	uint32_t ino = nullfs_node_new(mode);
	if (!ino || !nullfs_add(r->header->nodeid, name, ino))
		return -ENOMEM;
	return (ssize_t)entry_of(ino, r->out);
}

static ssize_t create(const struct request *r)
{
	const struct fuse_create_in *in = (const void *)r->body;
	ssize_t n = make(r, r->body + sizeof(*in), in->mode);
	if (n < 0)
		return n;
	struct fuse_open_out open = {.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
	memcpy((char *)r->out + n, &open, sizeof(open));
	return n + (ssize_t)sizeof(open);
}

static ssize_t symlink_to(const struct request *r)
{
	const char *target = r->body + strlen(r->body) + 1;
	ssize_t n = make(r, r->body, S_IFLNK | 0777);
	if (n < 0)
		return n;
	struct fuse_entry_out *out = r->out;
	struct nullfs_node *node = nullfs_node(out->nodeid);
	(void)snprintf(node->target, sizeof(node->target), "%s", target);
	node->size = out->attr.size = strlen(node->target);
	return n;
}

static ssize_t link_to(const struct request *r)
{
	const struct fuse_link_in *in = (const void *)r->body;
	struct nullfs_node *node = nullfs_node(in->oldnodeid);
	if (!node)
		return -ESTALE;
	if (!nullfs_add(r->header->nodeid, r->body + sizeof(*in), (uint32_t)in->oldnodeid))
		return -ENOMEM;
	node->nlink++;
	return (ssize_t)entry_of(in->oldnodeid, r->out);
}

static ssize_t unlink_name(const struct request *r)
{
	uint32_t ino = nullfs_remove(r->header->nodeid, r->body);
	if (!ino)
		return -ENOENT;
	nullfs_node(ino)->nlink--;
	return 0;
}

static ssize_t rename_to(const struct request *r, uint64_t new_dir, const char *old)
{
	const char *new = old + strlen(old) + 1;
	uint32_t ino = nullfs_remove(r->header->nodeid, old);
	if (!ino)
		return -ENOENT;
	(void)nullfs_remove(new_dir, new);
	return nullfs_add(new_dir, new, ino) ? 0 : -ENOMEM;
}

static ssize_t read_dir(const struct request *r, int plus)
{
	const struct fuse_read_in *in = (const void *)r->body;
	size_t used = 0;
	uint64_t slot = in->offset;
	for (;;) {
		const struct nullfs_entry *entry = nullfs_next(r->header->nodeid, slot, &slot);
		if (!entry)
			break;
		size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
		size_t size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry->len);
		if (used + size > in->size)
			break;
		char *at = (char *)r->out + used;
		memset(at, 0, size);
		if (plus)
			(void)entry_of(entry->node, (struct fuse_entry_out *)(void *)at);
		struct fuse_dirent *d = (struct fuse_dirent *)(void *)(at + head);
		d->ino = entry->node;
		d->off = ++slot;
		d->namelen = entry->len;
		d->type = nullfs_node(entry->node)->mode >> 12;
		memcpy(d->name, entry->name, entry->len);
		used += size;
	}
	return (ssize_t)used;
}

static ssize_t read_data(const struct request *r)
{
	const struct fuse_read_in *in = (const void *)r->body;
	const struct nullfs_node *node = nullfs_node(r->header->nodeid);
	if (!node || in->offset >= node->size)
		return 0;
	uint64_t n = node->size - in->offset;
	if (n > in->size)
		n = in->size;
	memset(r->out, 'x', n);
	return (ssize_t)n;
}

static ssize_t write_data(const struct request *r)
{
	const struct fuse_write_in *in = (const void *)r->body;
	struct nullfs_node *node = nullfs_node(r->header->nodeid);
	if (node && in->offset + in->size > node->size)
		node->size = in->offset + in->size;
	struct fuse_write_out out = {.size = in->size};
	memcpy(r->out, &out, sizeof(out));
	return sizeof(out);
}

static ssize_t set_attr(const struct request *r)
{
	const struct fuse_setattr_in *in = (const void *)r->body;
	struct nullfs_node *node = nullfs_node(r->header->nodeid);
	if (!node)
		return -ESTALE;
	if (in->valid & FATTR_SIZE)
		node->size = in->size;
	if (in->valid & FATTR_MODE)
		node->mode = (node->mode & S_IFMT) | (in->mode & 07777);
	return (ssize_t)attr_reply(r->header->nodeid, r->out);
}

static ssize_t init(const struct request *r)
{
	const struct fuse_init_in *in = (const void *)r->body;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < FUSE_KERNEL_MINOR_VERSION ? in->minor : FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = MAX_WRITE,
		.time_gran = 1,
		.max_pages = 256,
	};
	out.flags = in->flags &
		    (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
		     FUSE_READDIRPLUS_AUTO | FUSE_EXPORT_SUPPORT | FUSE_DONT_MASK | FUSE_HANDLE_KILLPRIV_V2 |
		     FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA | FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC);
	memcpy(r->out, &out, sizeof(out));
	return sizeof(out);
}

#define NO_REPLY (-100000)

static ssize_t answer(const struct request *r)
{
	uint32_t found;
	switch (r->header->opcode) {
	case FUSE_INIT:
		return init(r);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return NO_REPLY;
	case FUSE_LOOKUP:
		/* An absent name is an entry without a node: the kernel keeps that too. */
		found = nullfs_find(r->header->nodeid, r->body);
		return (ssize_t)entry_of(found, r->out);
	case FUSE_GETATTR:
		return (ssize_t)attr_reply(r->header->nodeid, r->out);
	case FUSE_SETATTR:
		return set_attr(r);
	case FUSE_READLINK: {
		const struct nullfs_node *node = nullfs_node(r->header->nodeid);
		memcpy(r->out, node->target, node->size);
		return (ssize_t)node->size;
	}
	case FUSE_SYMLINK:
		return symlink_to(r);
	case FUSE_MKNOD:
		return make(r, r->body + sizeof(struct fuse_mknod_in),
			    ((const struct fuse_mknod_in *)(const void *)r->body)->mode);
	case FUSE_MKDIR:
		return make(r, r->body + sizeof(struct fuse_mkdir_in),
			    S_IFDIR | ((const struct fuse_mkdir_in *)(const void *)r->body)->mode);
	case FUSE_CREATE:
		return create(r);
	case FUSE_LINK:
		return link_to(r);
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		return unlink_name(r);
	case FUSE_RENAME:
		return rename_to(r, ((const struct fuse_rename_in *)(const void *)r->body)->newdir,
				 r->body + sizeof(struct fuse_rename_in));
	case FUSE_RENAME2:
		return rename_to(r, ((const struct fuse_rename2_in *)(const void *)r->body)->newdir,
				 r->body + sizeof(struct fuse_rename2_in));
	case FUSE_OPEN: {
		struct fuse_open_out out = {.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
		memcpy(r->out, &out, sizeof(out));
		return sizeof(out);
	}
	case FUSE_READ:
		return read_data(r);
	case FUSE_WRITE:
		return write_data(r);
	case FUSE_READDIR:
		return read_dir(r, 0);
	case FUSE_READDIRPLUS:
		return read_dir(r, 1);
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_DESTROY:
		return 0;
	case FUSE_STATFS: {
		struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = NULLFS_NAME_MAX}};
		memcpy(r->out, &out, sizeof(out));
		return sizeof(out);
	}
	default:
		return -ENOSYS;
	}
}

static int serve(void)
{
	for (;;) {
		ssize_t n = read(device, request_buffer, MAX_WRITE + 65536);
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ENOENT)
				continue;
			return errno == ENODEV ? 0 : 1;
		}
		struct request r = {.header = (const void *)request_buffer,
				    .body = request_buffer + sizeof(struct fuse_in_header),
				    .out = reply_buffer + sizeof(struct fuse_out_header)};
		request_buffer[n] = '\0';
		ssize_t got = answer(&r);
		if (got == NO_REPLY)
			continue;
		struct fuse_out_header head = {.unique = r.header->unique,
					       .error = got < 0 ? (int)got : 0,
					       .len = (uint32_t)(sizeof(head) + (got < 0 ? 0 : (size_t)got))};
		memcpy(reply_buffer, &head, sizeof(head));
		if (write(device, reply_buffer, head.len) < 0 && errno != ENOENT)
			return errno == ENODEV ? 0 : 1;
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s MOUNT_POINT poll|sleep\n", argv[0]);
		return 2;
	}
	int spin = strcmp(argv[2], "poll") == 0;
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC | (spin ? O_NONBLOCK : 0));
	/* One more page than the largest request and reply, and a NUL after the last name. */
	request_buffer = malloc(MAX_WRITE + 65536 + 1);
	reply_buffer = malloc(MAX_WRITE + 65536);
	if (device < 0 || !request_buffer || !reply_buffer || !nullfs_table_init()) {
		perror("/dev/fuse");
		return 1;
	}
	char options[128];
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
	if (mount("nullfs", argv[1], "fuse.nullfs", MS_NOSUID | MS_NODEV | MS_NOATIME, options)) {
		perror(argv[1]);
		return 1;
	}
	return serve();
}
