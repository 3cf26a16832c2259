/*
 * attach.c - making and removing the mount: options, the state of the mount point, mount(2) or the helper, and messages
 * that name what stands in the way.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEVICE "/dev/fuse"
#define FSTYPE "fuse.linkfs"
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
/* How many dead mounts are taken off one mount point before giving up. */
#define STALE_MAX 64

static const struct {
	const char *name;
	unsigned long set, clear;
	bool helper; /* fusermount3 knows it */
} mount_flags[] = {
	{"rw", 0, MS_RDONLY, true},
	{"ro", MS_RDONLY, 0, true},
	{"suid", 0, MS_NOSUID, true},
	{"nosuid", MS_NOSUID, 0, true},
	{"dev", 0, MS_NODEV, true},
	{"nodev", MS_NODEV, 0, true},
	{"exec", 0, MS_NOEXEC, true},
	{"noexec", MS_NOEXEC, 0, true},
	{"async", 0, MS_SYNCHRONOUS, true},
	{"sync", MS_SYNCHRONOUS, 0, true},
	{"dirsync", MS_DIRSYNC, 0, true},
	{"atime", 0, MS_NOATIME, true},
	{"noatime", MS_NOATIME, 0, true},
	{"diratime", 0, MS_NODIRATIME, false},
	{"nodiratime", MS_NODIRATIME, 0, false},
	{"relatime", MS_RELATIME, 0, false},
	{"norelatime", 0, MS_RELATIME, false},
	{"strictatime", MS_STRICTATIME, 0, false},
	{"nostrictatime", 0, MS_STRICTATIME, false},
	{"lazytime", MS_LAZYTIME, 0, false},
	{"nolazytime", 0, MS_LAZYTIME, false},
	{"symfollow", 0, MS_NOSYMFOLLOW, false},
	{"nosymfollow", MS_NOSYMFOLLOW, 0, false},
	{"defaults", 0, 0, false},
};

struct plan {
	unsigned long flags;
	bool allow_other;
	char helper[1024]; /* the flags as words for fusermount3, each with a comma in front */
};

static int plan_word(struct plan *plan, const char *word, struct linkfs_message *why)
{
	if (!*word || !strcmp(word, "default_permissions"))
		return 0;
	if (!strcmp(word, "allow_other")) {
		plan->allow_other = true;
		return 0;
	}
	for (size_t i = 0; i < LK_FUSE_ARRAY_LEN(mount_flags); i++) {
		if (strcmp(word, mount_flags[i].name))
			continue;
		plan->flags = (plan->flags & ~mount_flags[i].clear) | mount_flags[i].set;
		size_t len = strlen(plan->helper);
		if (mount_flags[i].helper && len + strlen(word) + 2 <= sizeof(plan->helper))
			snprintf(plan->helper + len, sizeof(plan->helper) - len, ",%s", word);
		return 0;
	}
	return lk_fuse_say(why, LINKFS_EINVAL, "unknown mount option '%s'", word);
}

static int plan_make(struct plan *plan, struct linkfs_volume *volume, const struct linkfs_mount_options *options,
		     struct linkfs_message *why)
{
	struct linkfs_info *info = calloc(1, sizeof(*info));
	char *words = strdup(options->extra ? options->extra : ""), *save = NULL;
	int r = info && words ? linkfs_volume_info(volume, info) : LINKFS_ENOMEM;
	memset(plan, 0, sizeof(*plan));
	plan->allow_other = options->allow_other || geteuid() == 0;
	for (char *word = r ? NULL : strtok_r(words, ",", &save); word && !r; word = strtok_r(NULL, ",", &save))
		r = plan_word(plan, word, why);
	if (!r && info->read_only && !(plan->flags & MS_RDONLY))
		r = plan_word(plan, "ro", why);
	free(words);
	free(info);
	return r;
}

/* Detaches what a dead server left at point. statfs asks the topmost mount's server; stat would be answered from the
 * kernel's cache, whose entries never expire (M2). */
static int clear_stale(const char *point, struct linkfs_message *why)
{
	struct statfs fs;
	for (int i = 0; i < STALE_MAX; i++) {
		if (statfs(point, &fs) == 0 || (errno != ENOTCONN && errno != ECONNABORTED))
			return 0;
		int r = lk_fuse_unmount_at(point, true, why);
		if (r)
			return r;
	}
	return lk_fuse_say(why, LINKFS_EBUSY, "%s: too many dead mounts on it; unmount them with umount -l", point);
}

static int check_point(const char *point, char **real_out, struct linkfs_message *why)
{
	struct stat st;
	struct lk_fuse_mountinfo there;
	if (point[0] != '/')
		return lk_fuse_say(why, LINKFS_EINVAL, "mount point '%s' is not an absolute path", point);
	int r = clear_stale(point, why);
	if (r)
		return r;
	char *real = realpath(point, NULL);
	if (!real)
		return lk_fuse_say(why, linkfs_from_errno(errno), "mount point %s: %s%s", point, strerror(errno),
				   errno == ENOENT ? "; create the directory first" : "");
	/* A dead mount behind a symlink. */
	r = clear_stale(real, why);
	if (!r && stat(real, &st))
		r = lk_fuse_say(why, linkfs_from_errno(errno), "mount point %s: %s", real, strerror(errno));
	else if (!r && !S_ISDIR(st.st_mode))
		r = lk_fuse_say(why, LINKFS_ENOTDIR, "mount point %s is not a directory", real);
	else if (!r && lk_fuse_mountinfo_at(real, &there) == 0)
		r = lk_fuse_say(why, LINKFS_EBUSY,
				"mount point %s is in use: %s is mounted there (type %s); unmount it or choose another "
				"directory",
				real, there.source, there.type);
	if (r) {
		free(real);
		return r;
	}
	*real_out = real;
	return 0;
}

static int open_device(int *fd_out, struct linkfs_message *why)
{
	struct stat st;
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		*fd_out = fd;
		return 0;
	}
	int e = errno, r = linkfs_from_errno(e);
	if (e == ENOENT)
		return lk_fuse_say(why, r,
				   "no " DEVICE ": load the kernel module (modprobe fuse), or give the container the "
				   "device (--device " DEVICE " --cap-add SYS_ADMIN)");
	if (e == ENODEV || e == ENXIO)
		return lk_fuse_say(why, r, "this kernel has no FUSE: load the module (modprobe fuse)");
	if ((e == EACCES || e == EPERM) && stat(DEVICE, &st) == 0)
		return lk_fuse_say(why, r,
				   "cannot open " DEVICE ": %s (its mode is %04o, owner %u:%u); in a container the "
				   "device must be allowed too",
				   strerror(e), (unsigned)st.st_mode & 07777u, (unsigned)st.st_uid,
				   (unsigned)st.st_gid);
	return lk_fuse_say(why, r, "cannot open " DEVICE ": %s", strerror(e));
}

static int mount_direct(struct linkfs_mount *session, const struct plan *plan, const char *source,
			struct linkfs_message *why)
{
	char data[256];
	int fd = -1;
	int r = open_device(&fd, why);
	if (r)
		return r;
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s,max_read=%u",
		 fd, (unsigned)geteuid(), (unsigned)getegid(), plan->allow_other ? ",allow_other" : "",
		 LK_FUSE_CONTENT_MAX);
	if (mount(source, session->point, FSTYPE, plan->flags, data)) {
		int e = errno;
		close(fd);
		r = linkfs_from_errno(e);
		if (e == EPERM)
			return lk_fuse_say(why, r,
					   "mounting is not permitted here: it needs CAP_SYS_ADMIN (in a container "
					   "--cap-add SYS_ADMIN), which this process does not have");
		if (e == ENODEV)
			return lk_fuse_say(why, r, "this kernel has no FUSE: load the module (modprobe fuse)");
		return lk_fuse_say(why, r, "cannot mount on %s: %s", session->point, strerror(e));
	}
	session->fd = fd;
	session->privileged = true;
	return 0;
}

/* Whether /etc/fuse.conf lets ordinary users open their mounts to others. */
static bool conf_allows_other(void)
{
	FILE *conf = fopen("/etc/fuse.conf", "re");
	char line[256], word[32];
	bool allowed = false;
	if (!conf)
		return false;
	while (!allowed && fgets(line, sizeof(line), conf))
		allowed = sscanf(line, " %31[a-z_]", word) == 1 && !strcmp(word, "user_allow_other");
	fclose(conf);
	return allowed;
}

static int mount_by_helper(struct linkfs_mount *mount, const struct plan *plan, const char *source,
			   struct linkfs_message *why)
{
	struct stat st;
	if (stat(DEVICE, &st))
		return open_device(&mount->fd, why);
	if ((st.st_mode & 0666) != 0666 && access(DEVICE, R_OK | W_OK))
		return lk_fuse_say(why, LINKFS_EACCES,
				   DEVICE " is not open to users (its mode is %04o): root can change that with chmod "
					  "666 " DEVICE,
				   (unsigned)st.st_mode & 07777u);
	if (plan->allow_other && !conf_allows_other())
		return lk_fuse_say(why, LINKFS_EPERM,
				   "allow_other is for root unless /etc/fuse.conf has a line user_allow_other");
	char *options = NULL, *name = calloc(2, strlen(source) + 1), *to = name;
	if (!name)
		return LINKFS_ENOMEM;
	/* The helper's list of options escapes commas with a backslash. */
	for (const char *from = source; *from; from++) {
		if (*from == ',' || *from == '\\')
			*to++ = '\\';
		*to++ = *from;
	}
	int n = asprintf(&options, "fsname=%s,subtype=linkfs,default_permissions,max_read=%u%s%s", name,
			 LK_FUSE_CONTENT_MAX, plan->allow_other ? ",allow_other" : "", plan->helper);
	int r = n < 0 ? LINKFS_ENOMEM : lk_fuse_helper_mount(mount->point, options, &mount->fd, why);
	if (n >= 0)
		free(options);
	free(name);
	return r;
}

/* The kernel reads ahead no further than 128 KiB unless told otherwise; a larger window keeps more requests of a
 * sequential reader under way. Left as it is where it may not be written. INIT sets it, so this comes after. */
void lk_fuse_raise_readahead(const struct linkfs_mount *mount)
{
	char path[64];
	if (!mount->privileged || !mount->mount_id)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/0:%u/read_ahead_kb", mount->dev_minor);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = write(fd, "1024", 4);
	(void)n;
	close(fd);
}

int lk_fuse_attach(struct linkfs_mount *mount, const char *point, const struct linkfs_mount_options *options,
		   struct linkfs_message *why)
{
	struct plan plan;
	struct lk_fuse_mountinfo there;
	int r = plan_make(&plan, mount->volume, options, why);
	const char *source = options->source ? options->source : "linkfs";
	if (!r)
		r = check_point(point, &mount->point, why);
	if (!r)
		r = geteuid() == 0 ? mount_direct(mount, &plan, source, why)
				   : mount_by_helper(mount, &plan, source, why);
	if (r)
		return r;
	mount->mounted = true;
	if (lk_fuse_mountinfo_at(mount->point, &there) == 0) {
		mount->mount_id = there.id;
		mount->dev_minor = there.dev_minor;
	}
	return fcntl(mount->fd, F_SETFL, O_NONBLOCK) ? linkfs_from_errno(errno) : 0;
}

int lk_fuse_unmount_at(const char *point, bool lazy, struct linkfs_message *why)
{
	if (geteuid() != 0)
		return lk_fuse_helper_unmount(point, lazy, why);
	if (umount2(point, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	int e = errno;
	if (e == EBUSY)
		return lk_fuse_say(
			why, LINKFS_EBUSY,
			"%s is in use: some process has a file open or its working directory there (fuser -vm "
			"%s names them)",
			point, point);
	if (e == EINVAL)
		return lk_fuse_say(why, LINKFS_EINVAL, "%s: nothing is mounted there", point);
	return lk_fuse_say(why, linkfs_from_errno(e), "cannot unmount %s: %s", point, strerror(e));
}

/* Whether the kernel has closed its side: by unmounting, or because somebody aborted the connection. */
static bool closed(const struct linkfs_mount *mount)
{
	struct pollfd p = {.fd = mount->fd, .events = POLLIN};
	return atomic_load(&mount->gone) || (poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)));
}

static bool is_dead(const char *point)
{
	struct statfs fs;
	return statfs(point, &fs) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

void lk_fuse_detach(struct linkfs_mount *mount)
{
	char point[LINKFS_PATH_MAX];
	if (!mount->mounted)
		return;
	/* It may have been moved, or unmounted by somebody else. Then its numbers may be another mount's by now, also one of ours: while the
	 * kernel's side is open they are not, and of one that was aborted a dead mount is left. */
	bool there = mount->mount_id;
	if (there)
		there = lk_fuse_mountinfo_point(mount->mount_id, mount->dev_minor, point, sizeof(point)) == 0;
	else
		snprintf(point, sizeof(point), "%s", mount->point);
	if ((there || !mount->mount_id) && (!closed(mount) || is_dead(point)) && lk_fuse_unmount_at(point, false, NULL))
		lk_fuse_unmount_at(point, true, NULL);
	mount->mounted = false;
}
