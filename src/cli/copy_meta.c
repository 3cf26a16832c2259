/*
 * copy_meta.c - content with its holes, and attributes: owner, extended attributes with ACLs, mode, times. In this order:
 * a change of owner drops setuid bits and capabilities, and each change moves the times.
 */
#include "copy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

/* ---- content ---- */

static int copy_bytes(struct copy *copy, struct copy_file *from, struct copy_file *to, uint64_t offset, uint64_t end,
		      uint64_t *reached)
{
	while (offset < end) {
		size_t want = end - offset < COPY_BUF ? (size_t)(end - offset) : COPY_BUF, done = 0;
		int error = cli_cancelled(copy->cli) ? LINKFS_EINTR : copy_read(from, offset, copy->buf, want, &done);
		if (!error && done == 0)
			break; /* the file shrank */
		if (!error)
			error = copy_write(copy, to, offset, copy->buf, done);
		if (error)
			return error;
		offset += done;
		copy->bytes += done;
	}
	*reached = offset;
	return 0;
}

static int set_size(struct copy *copy, struct copy_file *to, uint64_t size)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = size};
	if (to->volume)
		return linkfs_node_setattr(to->volume, &copy->cli->cred, to->ino, &set, NULL);
	return ftruncate(to->fd, (off_t)size) == 0 ? 0 : host_error();
}

static int copy_sparse(struct copy *copy, struct copy_file *from, uint64_t size, struct copy_file *to)
{
	uint64_t offset = 0, written = 0;
	int error = 0;
	while (offset < size) {
		uint64_t data, hole;
		error = copy_seek(from, offset, LINKFS_SEEK_DATA, &data);
		if (error == LINKFS_ENXIO) /* a hole up to the end */
			break;
		if (error)
			return error == LINKFS_EINVAL ? copy_bytes(copy, from, to, 0, size, &written) : error;
		if (copy_seek(from, data, LINKFS_SEEK_HOLE, &hole) != 0)
			hole = size;
		error = copy_bytes(copy, from, to, data, hole < size ? hole : size, &written);
		if (error)
			return error;
		offset = hole;
	}
	return written < size ? set_size(copy, to, size) : 0;
}

int copy_content(struct copy *copy, struct copy_file *from, const struct copy_stat *st, struct copy_file *to)
{
	uint64_t size = st->st.size, done = 0;
	if (size == 0 && from->volume)
		return 0;
	if (from->volume && from->volume == to->volume) {
		/* Whole blocks are shared, so this costs no space. */
		int error =
			linkfs_node_copy_range(from->volume, &copy->cli->cred, from->ino, 0, to->ino, 0, size, &done);
		copy->bytes += done;
		return error || done >= size ? error : set_size(copy, to, size);
	}
	if (copy_has_holes(from, size))
		return copy_sparse(copy, from, size, to);
	/* Files of /proc and the like have no size: read until nothing comes. */
	return copy_bytes(copy, from, to, 0, size ? size : UINT64_MAX, &done);
}

/* ---- extended attributes ---- */

/* What they hang on: an inode of a volume, a descriptor of the host, or a path that must not be followed. */
struct holder {
	struct linkfs_volume *volume;
	uint64_t ino;
	char path[64 + LINKFS_NAME_MAX]; /* of a link */
	int fd;
	bool link;
};

static struct holder holder_of(const struct copy_dir *dir, const char *name, const struct copy_file *file, uint64_t ino)
{
	struct holder h = {.volume = dir->volume, .ino = file ? file->ino : ino};
	if (dir->volume)
		return h;
	if (file) {
		h.fd = file->fd;
	} else {
		snprintf(h.path, sizeof(h.path), "/proc/self/fd/%d/%s", dir->fd, name);
		h.link = true;
	}
	return h;
}

static int xattr_list(struct copy *copy, const struct holder *h, char *buf, size_t size, size_t *len_out)
{
	if (h->volume)
		return linkfs_node_listxattr(h->volume, &copy->cli->cred, h->ino, buf, size, len_out);
	ssize_t n = h->link ? llistxattr(h->path, buf, size) : flistxattr(h->fd, buf, size);
	if (n < 0)
		return host_error();
	*len_out = (size_t)n;
	return 0;
}

static int xattr_get(struct copy *copy, const struct holder *h, const char *name, char *buf, size_t size,
		     size_t *len_out)
{
	if (h->volume)
		return linkfs_node_getxattr(h->volume, &copy->cli->cred, h->ino, name, buf, size, len_out);
	ssize_t n = h->link ? lgetxattr(h->path, name, buf, size) : fgetxattr(h->fd, name, buf, size);
	if (n < 0)
		return host_error();
	*len_out = (size_t)n;
	return 0;
}

static int xattr_set(struct copy *copy, const struct holder *h, const char *name, const char *buf, size_t size)
{
	if (h->volume)
		return linkfs_node_setxattr(h->volume, &copy->cli->cred, h->ino, name, buf, size, 0);
	int n = h->link ? lsetxattr(h->path, name, buf, size, 0) : fsetxattr(h->fd, name, buf, size, 0);
	return n == 0 ? 0 : host_error();
}

static void drop_acl(struct copy *copy, const struct holder *h, const char *name)
{
	if (h->volume)
		linkfs_node_removexattr(h->volume, &copy->cli->cred, h->ino, name);
	else if (h->link)
		lremovexattr(h->path, name);
	else
		fremovexattr(h->fd, name);
}

void copy_drop_acls(struct copy *copy, const struct copy_dir *dir)
{
	const struct holder h = {.volume = dir->volume, .ino = dir->ino, .fd = dir->fd};
	drop_acl(copy, &h, "system.posix_acl_access");
	drop_acl(copy, &h, "system.posix_acl_default");
}

bool copy_xattr_is_foreign(const char *name, bool root)
{
	if (strncmp(name, "security.", 9) == 0)
		return !root || strcmp(name, "security.capability") != 0;
	if (strncmp(name, "trusted.", 8) == 0)
		return !root;
	return strncmp(name, "system.", 7) == 0 && strncmp(name, "system.posix_acl_", 17) != 0;
}

/* Whether the destination has it already; value is not touched. */
static bool has_xattr(struct copy *copy, const struct holder *to, const char *name, const char *value, size_t size)
{
	char *there = copy->buf + LINKFS_XATTR_SIZE_MAX * 3;
	size_t len = 0;
	return xattr_get(copy, to, name, there, LINKFS_XATTR_SIZE_MAX, &len) == 0 && len == size &&
	       memcmp(there, value, size) == 0;
}

static bool is_listed(const char *names, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i += strlen(names + i) + 1) {
		if (strcmp(names + i, name) == 0)
			return true;
	}
	return false;
}

static void note_change(const struct copy_meta *meta)
{
	if (meta->changed)
		*meta->changed = true;
}

/* What the source does not have goes. */
static int drop_others(struct copy *copy, const struct copy_meta *meta, const struct holder *to, const char *names,
		       size_t len)
{
	char *there = copy->buf + LINKFS_XATTR_SIZE_MAX * 2;
	bool root = copy->cli->cred.uid == 0;
	size_t have = 0;
	int error = xattr_list(copy, to, there, LINKFS_XATTR_SIZE_MAX * 2, &have);
	for (size_t i = 0; i < have && !error; i += strlen(there + i) + 1) {
		if (copy_xattr_is_foreign(there + i, root) || is_listed(names, len, there + i))
			continue;
		note_change(meta);
		error = linkfs_node_removexattr(to->volume, &copy->cli->cred, to->ino, there + i);
		if (error == LINKFS_ENODATA)
			error = 0;
	}
	return error;
}

static int copy_xattrs(struct copy *copy, const struct copy_meta *meta)
{
	struct holder from = holder_of(meta->from_dir, meta->from_name, meta->from_file, meta->from->st.ino);
	struct holder to = holder_of(meta->to_dir, meta->to_name, meta->to_file, meta->to_ino);
	char *names = copy->buf, *value = copy->buf + LINKFS_XATTR_SIZE_MAX * 2;
	bool root = copy->cli->cred.uid == 0, has_acl = false;
	size_t len = 0, size = 0;
	int error = xattr_list(copy, &from, names, LINKFS_XATTR_SIZE_MAX * 2, &len);
	if (error == LINKFS_EOPNOTSUPP || error == LINKFS_EPERM)
		return 0;
	if (!error && meta->exact && to.volume)
		error = drop_others(copy, meta, &to, names, len);
	for (size_t i = 0; i < len && !error; i += strlen(names + i) + 1) {
		const char *name = names + i;
		if (copy_xattr_is_foreign(name, root))
			continue;
		has_acl |= strcmp(name, "system.posix_acl_access") == 0;
		error = xattr_get(copy, &from, name, value, LINKFS_XATTR_SIZE_MAX, &size);
		if (error == LINKFS_ENODATA) {
			error = 0;
			continue;
		}
		if (error || (meta->exact && has_xattr(copy, &to, name, value, size)))
			continue;
		note_change(meta);
		error = xattr_set(copy, &to, name, value, size);
	}
	if (!error && meta->merged && !has_acl && !S_ISLNK(meta->from->st.mode))
		drop_acl(copy, &to, "system.posix_acl_access");
	return error;
}

/* ---- owner, mode, times ---- */

static struct timespec spec_of(int64_t ns)
{
	int64_t rest = ns % 1000000000;
	if (rest < 0)
		rest += 1000000000;
	return (struct timespec){.tv_sec = (time_t)((ns - rest) / 1000000000), .tv_nsec = (long)rest};
}

static int host_owner(const struct copy_meta *meta)
{
	const struct linkfs_stat *st = &meta->from->st;
	int n = meta->to_file ? fchown(meta->to_file->fd, st->uid, st->gid)
			      : fchownat(meta->to_dir->fd, meta->to_name, st->uid, st->gid, AT_SYMLINK_NOFOLLOW);
	return n == 0 ? 0 : host_error();
}

static int host_mode(const struct copy_meta *meta, uint32_t mode)
{
	int n = meta->to_file ? fchmod(meta->to_file->fd, mode)
			      : fchmodat(meta->to_dir->fd, meta->to_name, mode, AT_SYMLINK_NOFOLLOW);
	return n == 0 ? 0 : host_error();
}

static int host_times(const struct copy_meta *meta)
{
	struct timespec times[2] = {spec_of(meta->from->st.atime_ns), spec_of(meta->from->st.mtime_ns)};
	int n = meta->to_file ? futimens(meta->to_file->fd, times)
			      : utimensat(meta->to_dir->fd, meta->to_name, times, AT_SYMLINK_NOFOLLOW);
	return n == 0 ? 0 : host_error();
}

/* The mode that the copy gets; without -p only what was made gets one. */
static uint32_t final_mode(const struct copy *copy, const struct copy_meta *meta)
{
	uint32_t mode = meta->from->st.mode & 07777;
	return copy->keep_mode ? mode : mode & 0777 & ~copy->cli->cred.umask;
}

/* Who is not root and keeps owners makes files that may be of another owner or group, whose rights are not to be handed out. */
static uint32_t own_rights(struct copy *copy, const struct copy_meta *meta, uint32_t mode)
{
	const struct linkfs_stat *from = &meta->from->st;
	struct linkfs_volume *volume = meta->to_dir->volume;
	struct linkfs_stat st = {0};
	struct stat host = {0};
	if (!copy->keep_owner || copy->cli->cred.uid == 0 || !(mode & (S_ISUID | S_ISGID)))
		return mode;
	if (from->uid != copy->cli->cred.uid)
		return mode & ~(uint32_t)(S_ISUID | S_ISGID);
	if (!(mode & S_ISGID) || S_ISDIR(from->mode))
		return mode;
	int error = 0;
	if (volume)
		error = linkfs_node_getattr(volume, meta->to_file ? meta->to_file->ino : meta->to_ino, &st);
	else
		error = meta->to_file ? fstat(meta->to_file->fd, &host)
				      : fstatat(meta->to_dir->fd, meta->to_name, &host, AT_SYMLINK_NOFOLLOW);
	return error || (volume ? st.gid : host.st_gid) != from->gid ? mode & ~(uint32_t)S_ISGID : mode;
}

static int host_attributes(struct copy *copy, const struct copy_meta *meta)
{
	bool link = S_ISLNK(meta->from->st.mode);
	uint32_t mode = own_rights(copy, meta, final_mode(copy, meta));
	int error = 0;
	if (copy->keep_owner && copy->cli->cred.uid == 0)
		error = host_owner(meta);
	if (!error && copy->keep_xattr)
		error = copy_xattrs(copy, meta);
	if (!error && !link && (copy->keep_mode || meta->made))
		error = host_mode(meta, mode);
	if (!error && copy->keep_times)
		error = host_times(meta);
	return error;
}

/* Owner and times as the source has them, as far as they are kept; the mode is there, but not valid. */
static struct linkfs_setattr volume_set(const struct copy *copy, const struct linkfs_stat *st, uint32_t mode)
{
	struct linkfs_setattr set = {
		.mode = mode, .uid = st->uid, .gid = st->gid, .atime_ns = st->atime_ns, .mtime_ns = st->mtime_ns};
	if (copy->keep_owner && copy->cli->cred.uid == 0)
		set.valid |= LINKFS_SET_UID | LINKFS_SET_GID;
	if (copy->keep_times)
		set.valid |= LINKFS_SET_ATIME | LINKFS_SET_MTIME;
	return set;
}

static int volume_attributes(struct copy *copy, const struct copy_meta *meta)
{
	struct linkfs_volume *volume = meta->to_dir->volume;
	const struct linkfs_cred *cred = &copy->cli->cred;
	const struct linkfs_stat *st = &meta->from->st;
	uint64_t ino = meta->to_file ? meta->to_file->ino : meta->to_ino;
	struct linkfs_setattr set = volume_set(copy, st, own_rights(copy, meta, final_mode(copy, meta)));
	struct linkfs_stat now;
	int error = 0;
	if (meta->exact && copy->keep_mode && copy->keep_times && linkfs_node_getattr(volume, ino, &now) == 0 &&
	    now.mode == st->mode && now.mtime_ns == st->mtime_ns &&
	    (cred->uid != 0 || (now.uid == st->uid && now.gid == st->gid)))
		return copy_xattrs(copy, meta);
	note_change(meta);
	/* The owner in a step of its own where it would take bits away again. */
	if ((set.mode & (S_ISUID | S_ISGID)) && (set.valid & LINKFS_SET_UID)) {
		struct linkfs_setattr owner = set;
		owner.valid &= LINKFS_SET_UID | LINKFS_SET_GID;
		set.valid &= ~owner.valid;
		error = linkfs_node_setattr(volume, cred, ino, &owner, NULL);
	}
	/* A change of owner drops capabilities, so root's attributes come last; others may need the first mode to write them. */
	if (!error && copy->keep_xattr && cred->uid != 0)
		error = copy_xattrs(copy, meta);
	if (!S_ISLNK(st->mode) && (copy->keep_mode || meta->made))
		set.valid |= LINKFS_SET_MODE;
	if (!error && set.valid)
		error = linkfs_node_setattr(volume, cred, ino, &set, NULL);
	if (!error && copy->keep_xattr && cred->uid == 0)
		error = copy_xattrs(copy, meta);
	return error;
}

bool copy_new_attributes(struct copy *copy, const struct copy_stat *st, int fd, struct linkfs_setattr *set_out)
{
	const struct holder from = {.fd = fd};
	const struct copy_meta meta = {.from = st};
	bool root = copy->cli->cred.uid == 0;
	size_t len = 0;
	if (st->st.mode & (S_ISUID | S_ISGID))
		return false;
	int error = copy->keep_xattr ? xattr_list(copy, &from, copy->buf, LINKFS_XATTR_SIZE_MAX * 2, &len) : 0;
	if (error && error != LINKFS_EOPNOTSUPP && error != LINKFS_EPERM)
		return false;
	for (size_t i = 0; i < len && !error; i += strlen(copy->buf + i) + 1) {
		if (!copy_xattr_is_foreign(copy->buf + i, root))
			return false;
	}
	*set_out = volume_set(copy, &st->st, final_mode(copy, &meta));
	set_out->valid |= LINKFS_SET_MODE;
	return true;
}

int copy_attributes(struct copy *copy, const struct copy_meta *meta)
{
	return meta->to_dir->volume ? volume_attributes(copy, meta) : host_attributes(copy, meta);
}
