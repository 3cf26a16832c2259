/*
 * restore_dest.c - the destination's side of linkfs restore; see restore.h for what it promises.
 */
#include "restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WALK_BYTES 4000 /* of a path in one call */
#define TRIES 8

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

/* ---- ways ---- */

int restore_openat(const struct restore *r, int dir, const char *path, int flags, int *fd_out)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
					  (r->mounts ? 0 : RESOLVE_NO_XDEV)};
	long fd;
	if (flags & O_CREAT)
		how.mode = 0600;
	/* EAGAIN: something was renamed meanwhile, and the kernel cannot tell where it is. */
	unsigned tries = 0;
	do {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN) && ++tries < 1000);
	if (fd < 0)
		return host_error();
	*fd_out = (int)fd;
	return 0;
}

int restore_walk(const struct restore *r, const char *path, size_t len, int *fd_out)
{
	char part[WALK_BYTES + 1];
	int at = r->frames[0].to.fd, fd = -1, error = 0;
	const char *end = path + len;
	if (len == 0)
		return restore_openat(r, at, ".", O_PATH | O_DIRECTORY, fd_out);
	while (path < end && !error) {
		size_t part_len = (size_t)(end - path);
		if (part_len > WALK_BYTES) {
			part_len = WALK_BYTES;
			while (path[part_len] != '/')
				part_len--;
		}
		memcpy(part, path, part_len);
		part[part_len] = '\0';
		int next = -1;
		error = restore_openat(r, at, part, O_PATH | O_DIRECTORY, &next);
		if (fd >= 0)
			close(fd);
		fd = at = next;
		path += part_len + (path + part_len < end);
	}
	if (!error)
		*fd_out = fd;
	return error;
}

int restore_stat_fd(int fd, struct copy_stat *out, struct restore_id *id_out)
{
	struct statx sx;
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &sx) != 0)
		return host_error();
	struct copy_stat st;
	copy_host_stat(&sx, &st);
	if (id_out)
		*id_out = (struct restore_id){.dev = st.dev,
					      .ino = st.st.ino,
					      .born_ns = sx.stx_mask & STATX_BTIME ? copy_host_ns(&sx.stx_btime) : 0};
	if (out)
		*out = st;
	return 0;
}

bool restore_same(const struct restore_id *a, const struct restore_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->born_ns == b->born_ns;
}

int restore_look(const struct restore *r, const struct restore_dir *dir, const char *name, int *fd_out,
		 struct copy_stat *out)
{
	int fd = -1;
	int error = restore_openat(r, dir->fd, name, O_PATH, &fd);
	if (!error)
		error = restore_stat_fd(fd, out, NULL);
	if (error && fd >= 0)
		close(fd);
	if (!error)
		*fd_out = fd;
	return error;
}

int restore_beneath(const struct restore *r)
{
	const struct restore_frame *frame = NULL;
	struct restore_id id = {0};
	int fd = -1;
	if (r->above >= 0) {
		struct statx sx;
		if (statx(r->above, r->above_name, AT_SYMLINK_NOFOLLOW, STATX_INO, &sx) != 0 ||
		    sx.stx_ino != r->frames[0].to.id.ino ||
		    makedev(sx.stx_dev_major, sx.stx_dev_minor) != r->frames[0].to.id.dev)
			return LINKFS_ESTALE;
	}
	for (size_t i = r->len; i > 1 && !frame; i--) {
		if (r->frames[i - 1].to.shared)
			frame = &r->frames[i - 1];
	}
	if (!frame) /* only the destination itself is anybody else's */
		return 0;
	int error = restore_walk(r, r->below, frame->below_len, &fd);
	if (!error)
		error = restore_stat_fd(fd, NULL, &id);
	if (fd >= 0)
		close(fd);
	if (error == LINKFS_ENOMEM || error == LINKFS_EMFILE)
		return error;
	return !error && restore_same(&id, &frame->to.id) ? 0 : LINKFS_ESTALE;
}

/* ---- directories ---- */

/* Nobody else can write in it: it was made by us, and is not open to others. */
bool restore_is_ours(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
}

/* What the directory above gives to all that is made in it. */
static void drop_acls(int fd)
{
	fremovexattr(fd, "system.posix_acl_access");
	fremovexattr(fd, "system.posix_acl_default");
}

static int make_private(const struct restore *r, int dir, char name[32], int *fd_out)
{
	int error = LINKFS_EEXIST, fd = -1;
	for (int i = 0; i < TRIES && error == LINKFS_EEXIST; i++) {
		cli_temp_name(name);
		error = mkdirat(dir, name, 0700) == 0 ? 0 : host_error();
	}
	if (!error)
		error = restore_openat(r, dir, name, O_RDONLY | O_DIRECTORY, &fd);
	if (!error && !restore_is_ours(fd))
		error = LINKFS_EPERM;
	if (error) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	drop_acls(fd);
	*fd_out = fd;
	return 0;
}

int restore_shop(const struct restore *r, struct restore_dir *dir, int *fd_out)
{
	int error = 0;
	if (dir->shared && dir->shop < 0)
		error = make_private(r, dir->fd, dir->shop_name, &dir->shop);
	*fd_out = dir->shared ? dir->shop : dir->fd;
	return error;
}

int restore_close_shop(struct restore_dir *dir)
{
	if (dir->shop < 0)
		return 0;
	close(dir->shop);
	dir->shop = -1;
	return unlinkat(dir->fd, dir->shop_name, AT_REMOVEDIR) == 0 ? 0 : host_error();
}

void restore_close(struct restore_dir *dir)
{
	(void)restore_close_shop(dir);
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
}

/* Renames in or out of the shop; without replace never over anything, also where the file system cannot promise that. */
static int put(int shop, const char *temp, int dir, const char *name, bool replace)
{
	struct stat st;
	if (replace)
		return renameat(shop, temp, dir, name) == 0 ? 0 : host_error();
	if (renameat2(shop, temp, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return host_error();
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return LINKFS_EEXIST;
	return renameat(shop, temp, dir, name) == 0 ? 0 : host_error();
}

/* A directory takes the place of a file: both change places in one step, and the file goes. */
static int put_over_file(int shop, const char *temp, int dir, const char *name)
{
	if (renameat2(shop, temp, dir, name, RENAME_EXCHANGE) != 0) {
		if (errno != EINVAL && errno != ENOSYS)
			return host_error();
		if (unlinkat(dir, name, 0) != 0)
			return host_error();
		return put(shop, temp, dir, name, false);
	}
	if (unlinkat(shop, temp, 0) == 0)
		return 0;
	int error = host_error(); /* somebody had put a directory there */
	renameat2(shop, temp, dir, name, RENAME_EXCHANGE);
	return error;
}

int restore_make_dir(const struct restore *r, struct restore_dir *dir, const char *name, bool replace,
		     struct restore_dir *out)
{
	struct restore_dir made = {.fd = -1, .shop = -1};
	char temp[32];
	int shop, error = restore_shop(r, dir, &shop);
	if (!error && !dir->shared && !replace) {
		error = mkdirat(dir->fd, name, 0700) == 0 ? 0 : host_error();
		if (!error)
			error = restore_openat(r, dir->fd, name, O_RDONLY | O_DIRECTORY, &made.fd);
		if (!error)
			error = restore_stat_fd(made.fd, NULL, &made.id);
	} else if (!error) {
		error = make_private(r, shop, temp, &made.fd);
		if (!error)
			error = restore_stat_fd(made.fd, NULL, &made.id);
		if (!error)
			error = replace ? put_over_file(shop, temp, dir->fd, name)
					: put(shop, temp, dir->fd, name, false);
		if (error && made.fd >= 0)
			unlinkat(shop, temp, AT_REMOVEDIR);
		if (!error) {
			error = restore_beneath(r);
			if (error)
				unlinkat(dir->fd, name, AT_REMOVEDIR);
		}
	}
	if (error)
		restore_close(&made);
	else
		*out = made;
	return error;
}

int restore_enter(const struct restore *r, const struct restore_dir *dir, const char *name, struct restore_dir *out)
{
	struct restore_dir found = {.fd = -1, .shop = -1, .shared = true};
	struct copy_stat st = {0};
	int error = restore_openat(r, dir->fd, name, O_RDONLY | O_DIRECTORY, &found.fd);
	if (!error)
		error = restore_stat_fd(found.fd, &st, &found.id);
	/* The process that serves a mount must not wait for itself. */
	for (size_t i = 0; !error && i < r->copy.nown_devs; i++) {
		if (r->copy.own_devs[i] == st.dev)
			error = LINKFS_EXDEV;
	}
	if (error)
		restore_close(&found);
	else
		*out = found;
	return error;
}

/* ---- files ---- */

/* What was just put at a name is there, below the destination; else it is taken out of where it went. */
static int made_sure(const struct restore *r, const struct restore_dir *dir, const char *name,
		     const struct restore_id *id)
{
	struct restore_id there = {0};
	int fd = -1;
	int error = restore_beneath(r);
	if (!error)
		return 0;
	if (restore_openat(r, dir->fd, name, O_PATH, &fd) == 0 && restore_stat_fd(fd, NULL, &there) == 0 &&
	    restore_same(&there, id))
		unlinkat(dir->fd, name, 0);
	if (fd >= 0)
		close(fd);
	return error;
}

int restore_place(const struct restore *r, struct restore_dir *dir, const char *temp, const char *name, bool replace)
{
	struct restore_id id = {0};
	int shop, fd = -1, error = restore_shop(r, dir, &shop);
	if (!error)
		error = restore_openat(r, shop, temp, O_PATH, &fd);
	if (!error)
		error = restore_stat_fd(fd, NULL, &id);
	if (fd >= 0)
		close(fd);
	if (!error)
		error = put(shop, temp, dir->fd, name, replace);
	return error ? error : made_sure(r, dir, name, &id);
}

static int link_fd(int fd, int dir, const char *name)
{
	char path[40];
	if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT && errno != EPERM)
		return host_error();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : host_error();
}

int restore_link(const struct restore *r, struct restore_dir *dir, int fd, const char *name, bool replace)
{
	struct restore_id id = {0};
	char temp[32];
	int shop, error = restore_stat_fd(fd, NULL, &id);
	if (!error && !replace)
		error = link_fd(fd, dir->fd, name);
	if (!error && replace) {
		error = restore_shop(r, dir, &shop);
		cli_temp_name(temp);
		if (!error)
			error = link_fd(fd, shop, temp);
		if (!error) {
			error = put(shop, temp, dir->fd, name, true);
			unlinkat(shop, temp, 0); /* still there when the name was the file's already */
		}
	}
	return error ? error : made_sure(r, dir, name, &id);
}

/* ---- removal ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct cli_entry *)a)->name, ((const struct cli_entry *)b)->name);
}

void restore_names_sort(struct cli_list *list)
{
	if (list->len)
		qsort(list->entries, list->len, sizeof(*list->entries), by_name);
}

bool restore_names_have(const struct cli_list *sorted, const struct cli_entry *entry)
{
	return sorted->len && bsearch(entry, sorted->entries, sorted->len, sizeof(*entry), by_name);
}

struct removal {
	struct restore_dir dir;
	struct cli_list list;
	size_t next;
};

/* One step: of the deepest directory the next name, or its end. */
static int remove_step(struct restore *r, struct removal **stack, size_t *len, size_t *cap, const char *top_name,
		       const struct restore_dir *top)
{
	struct removal *at = &(*stack)[*len - 1];
	if (at->next == at->list.len) {
		int parent = *len > 1 ? (*stack)[*len - 2].dir.fd : top->fd;
		const char *name =
			*len > 1 ? (*stack)[*len - 2].list.entries[(*stack)[*len - 2].next - 1].name : top_name;
		restore_close(&at->dir);
		(*len)--;
		int error = unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : host_error();
		cli_list_done(&at->list);
		return error;
	}
	const char *name = at->list.entries[at->next++].name;
	if (unlinkat(at->dir.fd, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return host_error();
	struct removal below = {0};
	int error = restore_enter(r, &at->dir, name, &below.dir);
	if (error)
		return error;
	error = copy_host_list(below.dir.fd, &below.list);
	if (!error)
		error = cli_grow(stack, cap, *len, sizeof(**stack));
	if (error) {
		restore_close(&below.dir);
		cli_list_done(&below.list);
		return error;
	}
	(*stack)[(*len)++] = below;
	return 0;
}

int restore_remove(struct restore *r, const struct restore_dir *dir, const char *name)
{
	struct removal *stack = NULL;
	size_t len = 0, cap = 0;
	int error = unlinkat(dir->fd, name, 0) == 0 ? 0 : host_error();
	if (error != LINKFS_EISDIR)
		return error;
	struct removal top = {0};
	error = restore_enter(r, dir, name, &top.dir);
	if (error)
		return error;
	error = copy_host_list(top.dir.fd, &top.list);
	if (!error)
		error = cli_grow(&stack, &cap, len, sizeof(*stack));
	if (error) {
		restore_close(&top.dir);
		cli_list_done(&top.list);
		return error;
	}
	stack[len++] = top;
	while (len && !error) {
		error = cli_cancelled(r->cli) ? LINKFS_EINTR : restore_beneath(r);
		if (!error)
			error = remove_step(r, &stack, &len, &cap, name, dir);
	}
	while (len) {
		restore_close(&stack[--len].dir);
		cli_list_done(&stack[len].list);
	}
	free(stack);
	return error;
}
