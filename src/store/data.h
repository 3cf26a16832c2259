/*
 * data.h - the data pieces: numbered blocks of LK_BLOCK_SIZE bytes in files data.000000, data.000001, ...
 * Layer: store. Disk block b lies in piece b / LK_PIECE_BLOCKS. No checksums here: they are the extent rows' business.
 * Any thread; calls on different blocks do not wait for each other.
 */
#ifndef LK_DATA_H
#define LK_DATA_H

#include "schema.h"

struct lk_data;

/* dir: the volume's directory. Pieces are opened when first used and made when first written. */
int lk_data_open(const char *dir, bool read_only, struct lk_data **out, struct linkfs_message *why);
void lk_data_close(struct lk_data *data);

/* Whole blocks; a range may cross pieces. Blocks never written read as zeros. */
int lk_data_read(struct lk_data *data, uint64_t block, uint32_t count, void *buf);
int lk_data_write(struct lk_data *data, uint64_t block, uint32_t count, const void *buf);
/* Asks the host to allocate the range, so that a later write cannot fail for space (best effort where the host has no
 * fallocate: LINKFS_EOPNOTSUPP). */
int lk_data_allocate(struct lk_data *data, uint64_t block, uint32_t count);
/* Gives the range's space back to the host, best effort. Its content is undefined afterwards. */
void lk_data_discard(struct lk_data *data, uint64_t block, uint32_t count);
/* Whether a discard can still be of use (the host has not refused one). */
bool lk_data_can_discard(const struct lk_data *data);
/* fdatasync of every piece written since its last successful sync, and of the directory when a piece was made.
 * Callers at once wait for each other. */
int lk_data_sync(struct lk_data *data);
/* The volume's directory, wherever it was moved to meanwhile. The descriptor stays ours. */
int lk_data_dir(const struct lk_data *data);
/* The first block that no piece in the directory could hold; 0 without pieces. */
int lk_data_end(struct lk_data *data, uint64_t *end_out);
/* Bytes the host could still give (statvfs of the directory), and in all. */
int lk_data_space(struct lk_data *data, uint64_t *free_out, uint64_t *total_out);
/* Bytes written since the last sync (T2's bound). */
uint64_t lk_data_dirty_bytes(struct lk_data *data);

#endif
