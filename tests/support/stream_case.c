/*
 * stream_case.c - see stream_case.h.
 */
#include "stream_case.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define BLOCK 4096u

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	printf("Bail out! %s: %s\n", what, linkfs_error_name(r));
	exit(1);
}
#define MUST(call) must(call, #call)

/* ---- streams ---------------------------------------------------------------------------------------------------- */

static int put(void *arg, const void *bytes, size_t len)
{
	struct stream_bytes *b = arg;
	if (b->len + len > b->cap) {
		unsigned char *more = realloc(b->p, (b->len + len) * 2);
		if (!more)
			return LINKFS_ENOMEM;
		b->p = more;
		b->cap = (b->len + len) * 2;
	}
	memcpy(b->p + b->len, bytes, len);
	b->len += len;
	return 0;
}

int stream_case_send(struct linkfs_volume *volume, uint64_t from, uint64_t to, const char *token,
		     struct stream_bytes *out)
{
	const struct linkfs_send ask = {.from = from, .to = to, .token = token, .write = put, .arg = out};
	out->len = 0;
	return linkfs_send(volume, NULL, &ask, NULL);
}

int stream_case_get(void *arg, void *buf, size_t size, size_t *done_out)
{
	struct stream_bytes *b = arg;
	size_t n = b->end - b->at < size ? b->end - b->at : size;
	if (b->told)
		b->told(b->told_arg, b->at);
	if (n)
		memcpy(buf, b->p + b->at, n);
	b->at += n;
	*done_out = n;
	return 0;
}

int stream_case_receive(struct linkfs_volume *volume, struct stream_bytes *stream, size_t end, uint32_t flags,
			struct linkfs_message *why)
{
	const struct linkfs_receive ask = {.read = stream_case_get, .arg = stream, .flags = flags};
	stream->at = 0;
	stream->end = end;
	return linkfs_receive(volume, NULL, &ask, NULL, why);
}

void stream_case_free(struct stream_bytes *stream)
{
	free(stream->p);
	*stream = (struct stream_bytes){0};
}

size_t stream_case_record(const struct stream_bytes *stream, size_t n)
{
	size_t at = 16;
	for (; n && at + 24 <= stream->len; n--)
		at += 24 +
		      ((size_t)stream->p[at + 4] | (size_t)stream->p[at + 5] << 8 | (size_t)stream->p[at + 6] << 16);
	return at < stream->len ? at : stream->len;
}

/* ---- the volume -------------------------------------------------------------------------------------------------- */

static struct linkfs_volume *v;

static uint64_t ino_of(const char *path)
{
	struct linkfs_stat st;
	must(linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st), path);
	return st.ino;
}

static void make(const char *path, uint32_t mode)
{
	const struct linkfs_make how = {
		.mode = mode, .rdev_major = S_ISCHR(mode) ? 1 : 0, .rdev_minor = S_ISCHR(mode) ? 3 : 0};
	must(linkfs_path_make(v, NULL, ROOT, path, &how, NULL), path);
}

static void fill(const char *path, uint64_t offset, size_t len, unsigned seed)
{
	unsigned char *bytes = malloc(len);
	struct linkfs_file *file;
	for (size_t i = 0; bytes && i < len; i++)
		bytes[i] = (unsigned char)(seed + i % 251 + i / BLOCK);
	must(linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file), path);
	must(linkfs_file_write(file, offset, bytes, len, NULL), path);
	linkfs_file_close(file);
	free(bytes);
}

static void first_tree(void)
{
	/* u::rw-, g::r--, m::r--, u:5:rw- , o::---: as the kernel has it */
	static const unsigned char acl[] = {2, 0, 0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  6,
					    0, 5, 0,   0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
					    6, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
	make("/d", S_IFDIR | 0755);
	make("/d/e", S_IFDIR | 0700);
	make("/gone", S_IFDIR | 0755);
	make("/gone/deep", S_IFDIR | 0755);
	fill("/gone/deep/file", 0, 100, 1);
	fill("/small", 0, 700, 2);
	fill("/d/big", 0, 20 * BLOCK + 77, 3);
	fill("/d/e/sparse", 9 * BLOCK, 5000, 4);
	make("/pipe", S_IFIFO | 0600);
	make("/null", S_IFCHR | 0666);
	MUST(linkfs_path_symlink(v, NULL, "d/big", ROOT, "/sym", NULL));
	MUST(linkfs_path_track(v, NULL, ROOT, "/d/e/sparse", ROOT, "/tracked", 0, NULL));
	MUST(linkfs_path_link(v, NULL, ROOT, "/small", ROOT, "/d/second", 0));
	MUST(linkfs_path_clone(v, NULL, ROOT, "/d/big", ROOT, "/cow", 0, NULL));
	MUST(linkfs_path_link_directory(v, NULL, ROOT, "/d/e", ROOT, "/e2"));
	make("/bound", S_IFDIR | 0755);
	MUST(linkfs_path_bind(v, NULL, ROOT, "/d", ROOT, "/bound"));
	MUST(linkfs_node_setxattr(v, NULL, ino_of("/small"), "user.one", "value", 5, 0));
	MUST(linkfs_node_setxattr(v, NULL, ino_of("/small"), "trusted.two", "", 0, 0));
	MUST(linkfs_node_setxattr(v, NULL, ino_of("/d/big"), "system.posix_acl_access", acl, sizeof(acl), 0));
	MUST(linkfs_node_set_flags(v, NULL, ino_of("/small"), LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, NULL));
}

static void second_tree(void)
{
	const struct linkfs_setattr owner = {.valid = LINKFS_SET_UID | LINKFS_SET_GID, .uid = 7, .gid = 8};
	const struct linkfs_setattr size = {.valid = LINKFS_SET_SIZE, .size = 3 * BLOCK + 5};
	MUST(linkfs_path_unbind(v, NULL, ROOT, "/bound"));
	MUST(linkfs_path_bind(v, NULL, ROOT, "/e2", ROOT, "/bound"));
	MUST(linkfs_path_unlink(v, NULL, ROOT, "/gone/deep/file"));
	MUST(linkfs_path_rmdir(v, NULL, ROOT, "/gone/deep"));
	MUST(linkfs_path_rmdir(v, NULL, ROOT, "/gone"));
	MUST(linkfs_path_rename(v, NULL, ROOT, "/d/e/sparse", ROOT, "/d/moved", 0));
	MUST(linkfs_path_rename(v, NULL, ROOT, "/small", ROOT, "/sym", LINKFS_RENAME_EXCHANGE));
	MUST(linkfs_path_unlink(v, NULL, ROOT, "/pipe"));
	fill("/d/big", 7 * BLOCK + 10, 3 * BLOCK, 5);
	MUST(linkfs_path_setattr(v, NULL, ROOT, "/cow", 0, &size));
	MUST(linkfs_path_setattr(v, NULL, ROOT, "/d/second", 0, &owner));
	MUST(linkfs_node_removexattr(v, NULL, ino_of("/d/second"), "user.one"));
	MUST(linkfs_node_setxattr(v, NULL, ino_of("/d"), "user.three", "v", 1, 0));
	make("/new", S_IFDIR | 01777);
	make("/new/pipe", S_IFIFO | 0644);
	fill("/new/file", 0, 5 * BLOCK, 6);
	MUST(linkfs_path_clone(v, NULL, ROOT, "/new/file", ROOT, "/new/same", 0, NULL));
	MUST(linkfs_path_rename(v, NULL, ROOT, "/e2", ROOT, "/new/e2", 0));
}

static uint64_t snapshot(const char *name)
{
	const struct linkfs_snapshot_new what = {.name = name, .note = "noted", .tags = "a,b"};
	uint64_t id = 0;
	MUST(linkfs_snapshot_create(v, NULL, &what, &id));
	return id;
}

void stream_case_make(const char *path, struct stream_bytes *first, struct stream_bytes *second)
{
	char command[4200];
	MUST(linkfs_volume_create(path, &(struct linkfs_create_options){0}, NULL));
	MUST(linkfs_volume_open(path, &(struct linkfs_open_options){0}, &v, NULL));
	first_tree();
	uint64_t one = snapshot("one");
	second_tree();
	uint64_t two = snapshot("two");
	MUST(stream_case_send(v, 0, one, NULL, first));
	MUST(stream_case_send(v, one, two, NULL, second));
	MUST(linkfs_volume_close(v));
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
	must(system(command), command);
}

/* ---- what is shown ------------------------------------------------------------------------------------------------ */

struct text {
	struct linkfs_volume *volume;
	char *p;
	size_t len, cap;
};

static int say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int say(struct text *t, const char *format, ...)
{
	va_list args;
	if (t->cap - t->len < 9000) {
		char *more = realloc(t->p, t->cap * 2 + 16384);
		if (!more)
			return LINKFS_ENOMEM;
		t->p = more;
		t->cap = t->cap * 2 + 16384;
	}
	va_start(args, format);
	t->len += (size_t)vsnprintf(t->p + t->len, t->cap - t->len, format, args);
	va_end(args);
	return 0;
}

static int say_content(struct text *t, const struct linkfs_stat *st)
{
	unsigned char *buf = malloc(65536);
	uint64_t sum = 0, offset = 0;
	size_t n = 1;
	int r = buf ? 0 : LINKFS_ENOMEM;
	for (; r == 0 && n; offset += n) {
		r = linkfs_node_read(t->volume, st->node, offset, buf, 65536, &n);
		for (size_t i = 0; r == 0 && i < n; i++)
			sum = (sum ^ buf[i]) * 1099511628211u + 1;
	}
	free(buf);
	return r ? r : say(t, " %llx", (unsigned long long)sum);
}

/* Without order: the sum of a hash of each. */
static int say_xattrs(struct text *t, const struct linkfs_stat *st)
{
	char list[4096], value[4096];
	uint64_t sum = 0;
	size_t len = 0, n = 0;
	int r = linkfs_node_listxattr(t->volume, NULL, st->node, list, sizeof(list), &len);
	for (size_t at = 0; r == 0 && at < len; at += strlen(list + at) + 1) {
		uint64_t one = 7;
		r = linkfs_node_getxattr(t->volume, NULL, st->node, list + at, value, sizeof(value), &n);
		for (size_t i = at; list[i]; i++)
			one = one * 31 + (unsigned char)list[i];
		for (size_t i = 0; r == 0 && i < n; i++)
			one = one * 37 + (unsigned char)value[i] + 1;
		sum += one;
	}
	return r ? r : say(t, " x %llx", (unsigned long long)sum);
}

static int say_tree(struct text *t, uint64_t dir, const char *path);

static int say_entry(struct text *t, uint64_t dir, const char *path, const char *name)
{
	struct linkfs_stat st;
	char below[1000], link[4096];
	size_t len;
	int r = linkfs_node_lookup(t->volume, NULL, dir, name, strlen(name), LINKFS_HOLD, &st);
	if (r)
		return r;
	(void)snprintf(below, sizeof(below), "%s/%s", path, name);
	r = say(t, "%s %o %u %u n %u m %lld b %lld d %u,%u k %u", below, st.mode, st.uid, st.gid,
		S_ISDIR(st.mode) ? 0 : st.nlink, (long long)st.mtime_ns, (long long)st.btime_ns, st.rdev_major,
		st.rdev_minor, st.flags & LINKFS_INO_KEEP_LINKS);
	if (r == 0)
		r = say_xattrs(t, &st);
	if (r == 0 && S_ISREG(st.mode))
		r = say_content(t, &st);
	if (r == 0 && S_ISLNK(st.mode)) {
		r = linkfs_node_readlink(t->volume, st.node, link, sizeof(link), &len);
		r = r ? r : say(t, " -> %.*s %s", (int)len, link, st.flags & LINKFS_INO_TRACKED ? "tracked" : "");
	}
	if (r == 0)
		r = say(t, "\n");
	if (r == 0 && S_ISDIR(st.mode))
		r = say_tree(t, st.node, below);
	linkfs_node_release(t->volume, st.node, 1);
	return r;
}

struct listing {
	char *names[64];
	size_t count;
};

static int take_name(void *arg, const struct linkfs_entry *e)
{
	struct listing *l = arg;
	if (l->count < 64 && strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0)
		l->names[l->count++] = strdup(e->name);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int say_tree(struct text *t, uint64_t dir, const char *path)
{
	struct listing l = {.count = 0};
	int r = linkfs_node_readdir(t->volume, NULL, dir, 0, 0, take_name, &l);
	for (size_t i = 0; r == 0 && i < l.count; i++)
		r = l.names[i] ? 0 : LINKFS_ENOMEM;
	if (r == 0 && l.count)
		qsort(l.names, l.count, sizeof(l.names[0]), by_name);
	for (size_t i = 0; i < l.count; i++) {
		if (r == 0)
			r = say_entry(t, dir, path, l.names[i]);
		free(l.names[i]);
	}
	return r;
}

char *stream_case_text(struct linkfs_volume *volume, uint64_t at, int *error_out)
{
	struct text t = {.volume = volume};
	int r = say(&t, "tree\n");
	if (r == 0)
		r = say_tree(&t, at, "");
	if (r == 0)
		return t.p;
	free(t.p);
	*error_out = r;
	return NULL;
}

static int take_id(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

char *stream_case_past(struct linkfs_volume *volume, const char *name, int *error_out)
{
	struct linkfs_stat root;
	uint64_t id = 0;
	int r = linkfs_snapshot_show(volume, name, take_id, &id);
	if (r == LINKFS_ENOENT)
		return strdup("none");
	if (r == 0)
		r = linkfs_snapshot_root(volume, id, 0, &root);
	if (r == 0)
		return stream_case_text(volume, root.node, error_out);
	*error_out = r;
	return NULL;
}
