/*
 * recover.c - linkfs_recover(): keeps owners away from the damaged volume, makes the new one, and removes it when it fails.
 * Layer: api. The work is check/'s.
 */
#include "recover.h"

#include "fs.h"
#include "host_dir.h"
#include "owner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int make_new(struct lk_recovery *recovery, const char *path, struct linkfs_recover_result *out,
		    struct linkfs_message *why)
{
	struct linkfs_create_options options;
	struct lk_owner_file *owner = NULL;
	char *dir = NULL;
	bool made = false;
	int r = lk_host_claim_dir(path, &dir, &made, why);
	if (r)
		return r;
	lk_recovery_new_volume(recovery, &options);
	r = lk_owner_take(dir, false, NULL, NULL, &owner, why);
	if (r == 0)
		r = lk_fs_create(dir, &options, why);
	if (r == 0)
		r = lk_recovery_build(recovery, dir, out, why);
	if (r == 0) {
		r = lk_host_sync_dir(dir, made);
		if (r)
			(void)lk_fail(why, r, "cannot make %s durable: %s", dir, linkfs_strerror(r));
	}
	if (r)
		lk_host_remove_volume(dir, made);
	lk_owner_release(owner);
	free(dir);
	return r;
}

/* Whether path would lie in directory dir or below. */
static bool lies_in(const char *path, const char *dir)
{
	char *copy = strdup(path), *above = NULL;
	size_t len = copy ? strlen(copy) : 0, dir_len = strlen(dir);
	while (len && copy[len - 1] == '/')
		len--;
	while (len && copy[len - 1] != '/')
		len--;
	if (copy) {
		copy[len] = 0;
		above = realpath(len ? copy : ".", NULL);
	}
	bool in = above && strncmp(above, dir, dir_len) == 0 && (above[dir_len] == 0 || above[dir_len] == '/');
	free(above);
	free(copy);
	return in;
}

/* Before the damaged volume is read, which takes its time. */
static int check_new(const char *path, const char *dir, struct linkfs_message *why)
{
	struct stat st;
	if (!path || !*path)
		return lk_fail(why, LINKFS_EINVAL, "the path of the new volume is empty");
	if (lstat(path, &st) == 0)
		return lk_fail(why, LINKFS_EEXIST, "%s exists; the new volume needs a path of its own", path);
	if (errno != ENOENT)
		return lk_fail(why, linkfs_from_errno(errno), "cannot look at %s: %s", path, strerror(errno));
	if (lies_in(path, dir))
		return lk_fail(why, LINKFS_EINVAL, "%s lies in the damaged volume, where nothing is written", path);
	return 0;
}

int linkfs_recover(const char *volume, const char *new_volume, const struct linkfs_recover_options *options,
		   struct linkfs_recover_result *out, struct linkfs_message *why)
{
	uint32_t flags = options ? options->flags : 0;
	bool list = flags & LINKFS_RECOVER_LIST;
	struct lk_owner_file *owner = NULL;
	struct lk_recovery *recovery = NULL;
	struct linkfs_recover_result result = {0};
	char *dir = NULL;
	if (!volume || !*volume)
		return lk_fail(why, LINKFS_EINVAL, "the path of the volume is empty");
	if (flags & ~LINKFS_RECOVER_LIST)
		return lk_fail(why, LINKFS_EINVAL, "unknown flags 0x%x to recover a volume", flags);
	int r = lk_host_volume_dir(volume, &dir, why);
	if (r == 0 && !list)
		r = check_new(new_volume, dir, why);
	/* As a reader: that writes nothing, and no owner can come. */
	if (r == 0)
		r = lk_owner_take(dir, true, NULL, NULL, &owner, why);
	if (r == 0)
		r = lk_recovery_open(dir, options, &recovery, why);
	if (r == 0)
		r = list ? lk_recovery_build(recovery, NULL, &result, why)
			 : make_new(recovery, new_volume, &result, why);
	if (r == 0)
		*out = result;
	lk_recovery_close(recovery);
	lk_owner_release(owner);
	free(dir);
	return r;
}
