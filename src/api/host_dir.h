/*
 * host_dir.h - the host's directory that a volume lies in: checks before it is opened, making and removing it.
 * Layer: api, private to volume*.c.
 */
#ifndef LK_HOST_DIR_H
#define LK_HOST_DIR_H

#include "base.h"

/* The absolute path of the volume at path, to be freed. LINKFS_ENOENT, LINKFS_ENOTDIR or LINKFS_ENOTVOLUME with why saying
 * what is there instead. */
int lk_host_volume_dir(const char *path, char **dir_out, struct linkfs_message *why);
/* Makes directory path, or takes an empty one. *dir_out is absolute, to be freed. */
int lk_host_claim_dir(const char *path, char **dir_out, bool *made_out, struct linkfs_message *why);
/* Makes dir's entries durable, and with parent dir's own entry. */
int lk_host_sync_dir(const char *dir, bool parent);
/* Removes the files of a volume that failed to become one, data pieces too, and with made dir itself. */
void lk_host_remove_volume(const char *dir, bool made);
/* Bytes that the host has given to the data pieces in the directory, and the size of the database with its WAL. */
int lk_host_usage(int dir_fd, uint64_t *data_out, uint64_t *meta_out);

#endif
