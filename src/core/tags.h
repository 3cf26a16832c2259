/*
 * tags.h - the tags of a snapshot: words by which rules tell snapshots apart (E6). In the record they are one text: sorted as memcmp
 * does, none twice, with a comma between two.
 * Layer: core.
 */
#ifndef LK_TAGS_H
#define LK_TAGS_H

#include "base.h"

#define LK_TAG_MAX 64u    /* bytes of one tag, which has one at least */
#define LK_TAGS_MAX 1024u /* of the text */

/* No control character, space, ',' or '+' in it. */
bool lk_tag_valid(const char *tag, size_t len);
/* Whether it is the text of a record. */
bool lk_tags_valid(struct lk_bytes text);
/* The text for a list in any order, with repeats. LINKFS_EINVAL: something in it is no tag; LINKFS_ENAMETOOLONG. */
int lk_tags_make(struct lk_bytes list, struct lk_buf *out);
/* The text with the tags of one list more and without those of the other. */
int lk_tags_change(struct lk_bytes text, struct lk_bytes add, struct lk_bytes remove, struct lk_buf *out);
/* The text of what are tags in a damaged one, as far as there is room. */
int lk_tags_mend(struct lk_bytes text, struct lk_buf *out);
/* Whether the text of a record has all tags of a list, between which are ',' or '+'. An empty list is that of no tags at all: it is
 * had by an empty text only. */
bool lk_tags_have(struct lk_bytes text, struct lk_bytes list);

#endif
