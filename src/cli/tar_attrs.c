/*
 * tar_attrs.c - what an archive says of a file's owner, mode, times, extended attributes and ACLs, onto what was made of it in a volume; see
 * tar.h.
 */
#include "tar.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void tar_refuse(struct copy *copy, const char *path, const char *format, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	copy_progress_end(copy);
	copy->errors++;
	cli_failf(copy->cli, path, "%s", text);
}

bool tar_is_end(int error)
{
	return error == LINKFS_ENOSPC || error == LINKFS_EDQUOT || error == LINKFS_EROFS || error == LINKFS_EPOISONED ||
	       error == LINKFS_EINTR || error == LINKFS_ENOMEM;
}

static int set_xattr(struct tar_attrs *at, const char *path, uint64_t ino, const struct tar_xattr *x)
{
	int error = linkfs_node_setxattr(at->volume, &at->copy->cli->cred, ino, x->name, x->value, x->len, 0);
	if (error && !tar_is_end(error)) {
		tar_refuse(at->copy, path, "extended attribute %s cannot be set: %s", x->name, linkfs_strerror(error));
		error = 0;
	}
	return error;
}

/* late_acl: but for the ACL that goes with the mode, which comes later. */
static int set_xattrs(struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino, bool late_acl)
{
	int error = 0;
	for (size_t i = 0; i < entry->nxattrs && !error; i++) {
		const struct tar_xattr *x = &entry->xattrs[i];
		if (copy_xattr_is_foreign(x->name, at->copy->cli->cred.uid == 0) ||
		    (late_acl && strcmp(x->name, TAR_ACL_ACCESS) == 0))
			continue;
		error = set_xattr(at, entry->path, ino, x);
	}
	return error;
}

static const struct tar_xattr *find_xattr(const struct tar_entry *entry, const char *name)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		if (strcmp(entry->xattrs[i].name, name) == 0)
			return &entry->xattrs[i];
	}
	return NULL;
}

/* What the directory's default ACL gave, or was there before, and the archive does not have. */
static void drop_acls(struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino)
{
	static const char *const names[] = {TAR_ACL_ACCESS, TAR_ACL_DEFAULT};
	for (size_t i = 0; i < CLI_ARRAY_LEN(names) && !S_ISLNK(entry->st.mode); i++) {
		if (!find_xattr(entry, names[i]))
			linkfs_node_removexattr(at->volume, &at->copy->cli->cred, ino, names[i]);
	}
}

/* Who is not root makes files of a group that may be another than the archive's, whose rights it is not to hand out. */
static bool gives_group(const struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino)
{
	struct linkfs_stat st;
	return (entry->st.mode & S_ISGID) && !S_ISDIR(entry->st.mode) &&
	       (linkfs_node_getattr(at->volume, ino, &st) != 0 || st.gid != entry->st.gid);
}

static struct linkfs_setattr attributes_of(const struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino)
{
	const struct linkfs_cred *cred = &at->copy->cli->cred;
	struct linkfs_setattr set = {.mode = entry->st.mode & 07777,
				     .uid = entry->st.uid,
				     .gid = entry->st.gid,
				     .mtime_ns = entry->st.mtime_ns,
				     .atime_ns = entry->st.atime_ns};
	if (cred->uid == 0)
		set.valid |= LINKFS_SET_UID | LINKFS_SET_GID;
	else if (entry->st.uid != cred->uid) /* they would be somebody else's rights */
		set.mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	else if (gives_group(at, entry, ino))
		set.mode &= ~(uint32_t)S_ISGID;
	if (!S_ISLNK(entry->st.mode))
		set.valid |= LINKFS_SET_MODE;
	if (entry->has_mtime)
		set.valid |= LINKFS_SET_MTIME;
	if (entry->has_atime)
		set.valid |= LINKFS_SET_ATIME;
	return set;
}

/* In an order in which nothing undoes what was before: a change of owner drops setuid bits and capabilities, an ordinary user may need
 * the first mode to set attributes. */
int tar_attrs_set(struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino, bool gives_acl)
{
	const struct linkfs_cred *cred = &at->copy->cli->cred;
	struct linkfs_setattr set = attributes_of(at, entry, ino), owner = set;
	bool root = cred->uid == 0;
	int error = 0;
	if (gives_acl || at->gave_acl)
		drop_acls(at, entry, ino);
	owner.valid &= LINKFS_SET_UID | LINKFS_SET_GID;
	set.valid &= ~owner.valid;
	if (owner.valid)
		error = linkfs_node_setattr(at->volume, cred, ino, &owner, NULL);
	if (!error && !root)
		error = set_xattrs(at, entry, ino, false);
	if (!error && set.valid)
		error = linkfs_node_setattr(at->volume, cred, ino, &set, NULL);
	if (!error && root)
		error = set_xattrs(at, entry, ino, false);
	return error;
}

int tar_attrs_dir(struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino, bool drop)
{
	const struct linkfs_cred *cred = &at->copy->cli->cred;
	struct linkfs_setattr set = attributes_of(at, entry, ino), owner = set;
	const struct tar_xattr *acl = find_xattr(entry, TAR_ACL_ACCESS);
	struct tar_late late = {.ino = ino,
				.mtime_ns = set.mtime_ns,
				.atime_ns = set.atime_ns,
				.mode = set.mode,
				.valid = set.valid & ~(LINKFS_SET_UID | LINKFS_SET_GID)};
	int error = cli_grow(&at->late, &at->late_cap, at->nlate, sizeof(late));
	owner.valid &= LINKFS_SET_UID | LINKFS_SET_GID;
	if (drop || at->gave_acl)
		drop_acls(at, entry, ino);
	at->gave_acl = at->gave_acl || find_xattr(entry, TAR_ACL_DEFAULT);
	if (!error && owner.valid)
		error = linkfs_node_setattr(at->volume, cred, ino, &owner, NULL);
	if (!error)
		error = set_xattrs(at, entry, ino, true);
	if (!error && acl) {
		late.acl = cli_alloc(acl->len);
		if (!late.acl)
			return LINKFS_ENOMEM;
		memcpy(late.acl, acl->value, acl->len);
		late.acl_len = acl->len;
	}
	if (!error)
		at->late[at->nlate++] = late;
	return error;
}

void tar_attrs_finish(struct tar_attrs *at)
{
	const struct linkfs_cred *cred = &at->copy->cli->cred;
	uint64_t failed = 0;
	int first = 0;
	for (size_t i = 0; i < at->nlate; i++) {
		const struct tar_late *late = &at->late[i];
		struct linkfs_setattr set = {.valid = late->valid,
					     .mode = late->mode,
					     .mtime_ns = late->mtime_ns,
					     .atime_ns = late->atime_ns};
		int error = set.valid ? linkfs_node_setattr(at->volume, cred, late->ino, &set, NULL) : 0;
		if (!error && late->acl)
			error = linkfs_node_setxattr(at->volume, cred, late->ino, TAR_ACL_ACCESS, late->acl,
						     late->acl_len, 0);
		if (error && error != LINKFS_ESTALE && failed++ == 0)
			first = error;
		free(at->late[i].acl);
	}
	if (failed)
		tar_refuse(at->copy, NULL, "mode and times of %" PRIu64 " directories could not be set: %s", failed,
			   linkfs_strerror(first));
}
