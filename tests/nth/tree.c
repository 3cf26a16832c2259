/*
 * tree.c - a volume's tree as text, through the API: two volumes that show the same have the same text.
 */
#include "nth.h"

#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX 200

struct names {
	struct linkfs_volume *volume;
	struct lk_buf *text;
	unsigned count;
	struct {
		char name[64];
		uint64_t ino;
		uint32_t type;
	} at[NAMES_MAX];
};

static int add(struct lk_buf *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int add(struct lk_buf *text, const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	return n < 0 ? LINKFS_EIO : lk_buf_append(text, line, LK_MIN((size_t)n, sizeof(line) - 1));
}

static int see(void *arg, const struct linkfs_entry *e)
{
	struct names *n = arg;
	if (n->count == NAMES_MAX || e->name_len >= sizeof(n->at[0].name))
		return LINKFS_EFBIG;
	if (e->name[0] == '.')
		return 0;
	memcpy(n->at[n->count].name, e->name, e->name_len);
	n->at[n->count].name[e->name_len] = 0;
	n->at[n->count].ino = e->ino;
	n->at[n->count].type = e->type;
	n->count++;
	return 0;
}

static int content(struct names *n, const struct linkfs_stat *st)
{
	static uint8_t buf[65536];
	uint64_t hash = 0;
	for (uint64_t at = 0; at < st->size;) {
		size_t done = 0;
		uint64_t data = 0;
		int r = linkfs_node_seek(n->volume, st->ino, at, LINKFS_SEEK_DATA, &data);
		if (r == LINKFS_ENXIO)
			break;
		if (r)
			return r;
		r = linkfs_node_read(n->volume, st->ino, data, buf, sizeof(buf), &done);
		if (r)
			return r;
		if (!done)
			return LINKFS_EIO;
		/* By position and bytes that are not zero, so that holes and zeros are one. */
		for (size_t i = 0; i < done; i += LK_BLOCK_SIZE) {
			size_t len = LK_MIN(done - i, (size_t)LK_BLOCK_SIZE);
			bool zero = buf[i] == 0 && memcmp(buf + i, buf + i + 1, len - 1) == 0;
			hash += zero ? 0 : lk_block_sum(buf + i, len) * ((data + i) | 1);
		}
		at = data + done;
	}
	return add(n->text, " content %016llx", (unsigned long long)hash);
}

static int xattrs(struct names *n, uint64_t ino)
{
	char list[1024];
	static char value[65536];
	size_t len = 0, value_len;
	int r = linkfs_node_listxattr(n->volume, NULL, ino, list, sizeof(list), &len);
	for (size_t at = 0; r == 0 && at < len; at += strlen(list + at) + 1) {
		r = linkfs_node_getxattr(n->volume, NULL, ino, list + at, value, sizeof(value), &value_len);
		if (r == 0)
			r = add(n->text, " %s:%zu:%016llx", list + at, value_len,
				(unsigned long long)lk_block_sum(value, value_len));
	}
	return r;
}

static int show(struct names *n, const char *path, const struct linkfs_stat *st)
{
	char target[LINKFS_SYMLINK_MAX];
	size_t len = 0;
	int r = add(n->text,
		    "%s %llu mode %o links %u owner %u:%u size %llu blocks %llu device %u:%u flags %x times %lld "
		    "%lld %lld %lld",
		    path, (unsigned long long)(st->ino & ((UINT64_C(1) << 48) - 1)), st->mode, st->nlink, st->uid,
		    st->gid, (unsigned long long)st->size, (unsigned long long)st->blocks, st->rdev_major,
		    st->rdev_minor, st->flags, (long long)st->atime_ns, (long long)st->mtime_ns,
		    (long long)st->ctime_ns, (long long)st->btime_ns);
	if (r == 0 && S_ISREG(st->mode))
		r = content(n, st);
	if (r == 0 && S_ISLNK(st->mode)) {
		r = linkfs_node_readlink(n->volume, st->ino, target, sizeof(target), &len);
		if (r == 0)
			r = add(n->text, " -> %.*s", (int)len, target);
	}
	if (r == 0 && !S_ISLNK(st->mode))
		r = xattrs(n, st->ino);
	return r ? r : add(n->text, "\n");
}

static int walk(struct linkfs_volume *volume, struct lk_buf *text, const char *path, uint64_t dir)
{
	struct names *n = calloc(1, sizeof(*n));
	char below[1024];
	if (!n)
		return LINKFS_ENOMEM;
	n->volume = volume;
	n->text = text;
	int r = linkfs_node_readdir(volume, NULL, dir, 0, 0, see, n); /* few enough for one call */
	for (unsigned i = 0; r == 0 && i < n->count; i++) {
		struct linkfs_stat st;
		(void)snprintf(below, sizeof(below), "%s/%s", path, n->at[i].name);
		if (strcmp(strchr(below, '/'), "/full") == 0) /* of snapshots too, whose paths begin with their name */
			continue;
		r = linkfs_node_lookup(volume, NULL, dir, n->at[i].name, strlen(n->at[i].name), 0, &st);
		if (r == 0 && (st.ino != n->at[i].ino || (st.mode & S_IFMT) != n->at[i].type))
			r = LINKFS_ECORRUPT;
		if (r == 0)
			r = show(n, below, &st);
		if (r == 0 && S_ISDIR(st.mode))
			r = walk(volume, text, below, st.ino);
	}
	free(n);
	return r;
}

/* The tree of root; its paths begin with prefix. */
static int walk_root(struct linkfs_volume *volume, struct lk_buf *text, const char *prefix, uint64_t node)
{
	char path[300];
	struct linkfs_stat st;
	struct names root = {.volume = volume, .text = text};
	(void)snprintf(path, sizeof(path), "%s/", prefix);
	int r = linkfs_node_getattr(volume, node, &st);
	if (r == 0)
		r = show(&root, path, &st);
	return r ? r : walk(volume, text, prefix, node);
}

struct past {
	struct {
		char name[256];
		uint64_t id;
	} all[8];
	unsigned count;
};

static int see_snapshot(void *arg, const struct linkfs_snapshot *s)
{
	struct past *p = arg;
	if (p->count == LK_ARRAY_LEN(p->all))
		return 1;
	memcpy(p->all[p->count].name, s->name, s->name_len + 1);
	p->all[p->count++].id = s->id;
	return 0;
}

char *tree_text(struct linkfs_volume *volume, int *error_out)
{
	struct lk_buf text = {0};
	struct past past = {.count = 0};
	int r = walk_root(volume, &text, "", LINKFS_ROOT_INO);
	if (r == 0)
		r = linkfs_snapshot_list(volume, see_snapshot, &past);
	for (unsigned i = 0; r == 0 && i < past.count; i++) {
		char prefix[260];
		struct linkfs_stat root;
		(void)snprintf(prefix, sizeof(prefix), "@%s", past.all[i].name);
		r = linkfs_snapshot_root(volume, past.all[i].id, 0, &root);
		if (r == 0)
			r = walk_root(volume, &text, prefix, root.node);
	}
	if (r == 0)
		r = lk_buf_append(&text, "", 1);
	if (r) {
		lk_buf_done(&text);
		*error_out = r;
		return NULL;
	}
	return (char *)text.p;
}
