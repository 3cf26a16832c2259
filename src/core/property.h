/*
 * property.h - a volume's properties: lines "key=value" in the super record, known ones typed and checked.
 * Layer: core. Keys that a newer linkfs set are kept as they are and cannot be set here.
 */
#ifndef LK_PROPERTY_H
#define LK_PROPERTY_H

#include "txn.h"

#define LK_PROPERTY_VALUE_MAX 512u /* a known key's value in its usual form, with the NUL */
#define LK_PROPERTIES_MAX 65536u   /* of the text */

/* The i-th known property; NULL past the end. */
const struct linkfs_property *lk_property_known(size_t i);

/* Puts "key=value" into a text of properties, in the value's usual form (as "7d" for "168h"); out is given the new text. LINKFS_EINVAL
 * with why naming what is known, or what a value looks like. */
int lk_property_put(struct lk_bytes text, const char *key, const char *value, struct lk_buf *out,
		    struct linkfs_message *why);
/* The value of a known key in a text, or its value when it was never set. value holds LK_PROPERTY_VALUE_MAX. LINKFS_EINVAL. */
int lk_property_get(struct lk_bytes text, const char *key, char *value);

/* Whether a line of the text can be: 0 when its key is unknown, or its value one that the key may have. LINKFS_EINVAL. */
int lk_property_line_check(struct lk_bytes key, struct lk_bytes value);

/* Takes over the super record's text into fs: LINKFS_ECORRUPT when it is none. */
int lk_property_take(struct lk_fs *fs, struct lk_bytes text);
/* Sets one in the super record, and in what fs knows of it: when the op does not stand lk_property_reload() puts that right. */
int lk_property_set(struct lk_op *op, const char *key, const char *value, struct linkfs_message *why);
int lk_property_reload(struct lk_fs *fs);

/* Lines of linkfs's own beside the properties, which nobody sets or lists: value has no newline; NULL takes the line away. Otherwise as set.
 * noted: appends the value and a NUL; LINKFS_ENOENT. */
int lk_property_note(struct lk_op *op, const char *key, const char *value);
int lk_property_noted(struct lk_bytes text, const char *key, struct lk_buf *out);

/* "7d", "12h", "30m", "90s", "off" and sums as "1d12h"; 0 for off. LINKFS_EINVAL. */
int lk_duration_parse(const char *text, int64_t *ns_out);
/* In the largest unit that needs no fraction. */
void lk_duration_format(int64_t ns, char out[LK_PROPERTY_VALUE_MAX]);

#endif
