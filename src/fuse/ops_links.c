/*
 * ops_links.c - questions about links as xattrs that nobody set: linkfs.kind, linkfs.names, linkfs.referrers, linkfs.tracks. The kernel passes names
 * outside the namespaces of xattr(7) on to a FUSE server and asks for the right to read the file; what is told beyond that is what
 * the caller may see (linkfs_links.h). They are in no list, so that copies of files do not take them along.
 * Layer: fuse.
 */
#include "session.h"

#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "linkfs."

/* A value in the making. */
struct value {
	char *p;
	size_t len, cap;
};

static int put(struct value *v, const char *bytes, size_t len)
{
	if (len > v->cap - v->len) {
		size_t cap = v->cap ? v->cap * 2 : 4096;
		char *p = realloc(v->p, cap + len);
		if (!p)
			return LINKFS_ENOMEM;
		v->p = p;
		v->cap = cap + len;
	}
	memcpy(v->p + v->len, bytes, len);
	v->len += len;
	return v->len > LINKFS_XATTR_SIZE_MAX ? LINKFS_E2BIG : 0;
}

/* A path and a newline; newlines and backslashes in it as \012 and \134, as in /proc/mounts. */
static int put_path(struct value *v, const char *path, size_t len)
{
	int r = 0;
	for (size_t i = 0; i < len && !r; i++) {
		if (path[i] == '\n')
			r = put(v, "\\012", 4);
		else if (path[i] == '\\')
			r = put(v, "\\134", 4);
		else
			r = put(v, path + i, 1);
	}
	return r ? r : put(v, "\n", 1);
}

static int on_name(void *arg, const struct linkfs_name *name)
{
	return put_path(arg, name->path, name->path_len);
}

static int on_referrer(void *arg, const struct linkfs_referrer *r)
{
	return put_path(arg, r->link.path, r->link.path_len);
}

static int put_kind(const struct lk_fuse_request *rq, struct value *v)
{
	static const struct {
		uint32_t type;
		const char *word;
	} kinds[] = {{S_IFREG, "file"},    {S_IFDIR, "directory"}, {S_IFLNK, "symlink"}, {S_IFIFO, "fifo"},
		     {S_IFSOCK, "socket"}, {S_IFCHR, "character"}, {S_IFBLK, "block"}};
	struct linkfs_stat st;
	int r = linkfs_node_getattr(rq->mount->volume, rq->ino, &st);
	if (!r && (st.flags & LINKFS_INO_TRACKED))
		return put(v, "tracked symlink", strlen("tracked symlink"));
	for (size_t i = 0; !r && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((st.mode & S_IFMT) == kinds[i].type)
			return put(v, kinds[i].word, strlen(kinds[i].word));
	return r;
}

/* No tracked link, and one whose target is gone, have no such value; one whose target the caller may not know has an empty one. */
static int tracks(const struct lk_fuse_request *rq, const struct linkfs_cred *cred, struct value *v)
{
	int r = linkfs_node_tracks(rq->mount->volume, cred, rq->ino, on_name, v, NULL);
	if (r == LINKFS_EACCES)
		return 0;
	return r == LINKFS_EINVAL || r == LINKFS_ENOENT ? LINKFS_ENODATA : r;
}

bool lk_fuse_asks_links(const void *in, size_t len)
{
	const struct fuse_in_header *header = in;
	size_t at = sizeof(*header) + sizeof(struct fuse_getxattr_in);
	return header->opcode == FUSE_GETXATTR && len >= at + strlen(PREFIX) &&
	       memcmp((const char *)in + at, PREFIX, strlen(PREFIX)) == 0;
}

int lk_fuse_links_xattr(struct lk_fuse_request *rq, const char *name, size_t size, size_t *len_out)
{
	struct linkfs_links_options options = {.mounted_at = rq->mount->point};
	struct linkfs_cred cred = {.uid = rq->cred.uid, .gid = rq->cred.gid};
	struct value v = {NULL, 0, 0};
	uint32_t *groups = NULL;
	int r;
	if (!strcmp(name, PREFIX "kind")) {
		r = put_kind(rq, &v);
	} else if (strcmp(name, PREFIX "names") != 0 && strcmp(name, PREFIX "referrers") != 0 &&
		   strcmp(name, PREFIX "tracks") != 0) {
		return LINKFS_ENODATA;
	} else {
		/* The kernel has not checked what this tells, so it is checked here, with the groups that a request lacks. */
		cred.ngroups = lk_fuse_groups(rq->in->pid, &groups);
		cred.groups = groups;
		if (!strcmp(name, PREFIX "names"))
			r = linkfs_node_names(rq->mount->volume, &cred, rq->ino, on_name, &v, NULL);
		else if (!strcmp(name, PREFIX "tracks"))
			r = tracks(rq, &cred, &v);
		else
			r = linkfs_node_referrers(rq->mount->volume, &cred, rq->ino, &options, on_referrer, &v);
	}
	if (!r && size && size < v.len)
		r = LINKFS_ERANGE;
	if (!r && size && v.len)
		memcpy(rq->out, v.p, v.len);
	if (!r)
		*len_out = v.len;
	free(groups);
	free(v.p);
	return r;
}
