/*
 * owner.h - the lock file of a volume: who owns it, told to those who come second (F6, T6).
 * Layer: api, private to volume*.c. flock on the file is what excludes; its text only explains. On hosts where flock may not
 * reach other machines, or is missing, the text's heartbeat stands in for it.
 */
#ifndef LK_OWNER_H
#define LK_OWNER_H

#include "base.h"

struct lk_owner_file;

/* Becomes the owner of the volume in directory dir (absolute): alone, or with read_only beside other readers.
 * LINKFS_ELOCKED with why naming the owner. */
int lk_owner_take(const char *dir, bool read_only, const char *mount_point, const char *control_socket,
		  struct lk_owner_file **out, struct linkfs_message *why);
/* Rewrites the text. */
int lk_owner_tell(struct lk_owner_file *owner, const char *mount_point, const char *control_socket);
/* NULL is allowed. */
void lk_owner_release(struct lk_owner_file *owner);
/* LINKFS_ENOENT: nobody. */
int lk_owner_read(const char *dir, struct linkfs_owner *out);
/* Until nobody holds the lock; LINKFS_ELOCKED when somebody still does after so many milliseconds. */
int lk_owner_wait(const char *dir, uint32_t milliseconds);

#endif
