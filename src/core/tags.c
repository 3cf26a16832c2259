/*
 * tags.c - see tags.h.
 * Layer: core. There are a few hundred tags at most, so that sets are arrays.
 */
#include "tags.h"

#include <linkfs.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX (LK_TAGS_MAX / 2 + 1) /* in one text */

bool lk_tag_valid(const char *tag, size_t len)
{
	if (len == 0 || len > LK_TAG_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)tag[i];
		if (c <= ' ' || c == 0x7f || c == ',' || c == '+')
			return false;
	}
	return true;
}

static int order(const struct lk_bytes *a, const struct lk_bytes *b)
{
	int c = memcmp(a->p, b->p, LK_MIN(a->len, b->len));
	return c ? c : (a->len > b->len) - (a->len < b->len);
}

static int order_any(const void *a, const void *b)
{
	return order(a, b);
}

/* The next word from *at on. False at the end. An empty text has none; any other one more than separators. */
static bool next_word(struct lk_bytes text, bool plus, size_t *at, struct lk_bytes *out)
{
	const char *p = text.len ? text.p : "";
	size_t from = *at, to = from;
	if (text.len == 0 || from > text.len)
		return false;
	while (to < text.len && p[to] != ',' && !(plus && p[to] == '+'))
		to++;
	*out = (struct lk_bytes){p + from, to - from};
	*at = to + 1;
	return true;
}

bool lk_tags_valid(struct lk_bytes text)
{
	struct lk_bytes word, last = {"", 0};
	size_t at = 0;
	if (text.len > LK_TAGS_MAX)
		return false;
	while (next_word(text, false, &at, &word)) {
		if (!lk_tag_valid(word.p, word.len) || (last.len && order(&last, &word) >= 0))
			return false;
		last = word;
	}
	return true;
}

struct words {
	struct lk_bytes word[2 * COUNT_MAX];
	size_t count;
};

static int take(struct words *w, struct lk_bytes list)
{
	struct lk_bytes word;
	size_t at = 0;
	if (list.len > LK_TAGS_MAX)
		return LINKFS_ENAMETOOLONG;
	while (next_word(list, false, &at, &word)) {
		if (word.len > LK_TAG_MAX)
			return LINKFS_ENAMETOOLONG;
		if (!lk_tag_valid(word.p, word.len))
			return LINKFS_EINVAL;
		w->word[w->count++] = word;
	}
	return 0;
}

/* The words in their order, each once. */
static int join(struct words *w, struct lk_bytes without, struct lk_buf *out)
{
	int r = 0;
	out->len = 0;
	qsort(w->word, w->count, sizeof(w->word[0]), order_any);
	for (size_t i = 0; r == 0 && i < w->count; i++) {
		if ((i && order(&w->word[i - 1], &w->word[i]) == 0) ||
		    (without.len && lk_tags_have(without, w->word[i])))
			continue;
		if (out->len)
			r = lk_buf_append(out, ",", 1);
		if (r == 0)
			r = lk_buf_append(out, w->word[i].p, w->word[i].len);
	}
	return r == 0 && out->len > LK_TAGS_MAX ? LINKFS_ENAMETOOLONG : r;
}

int lk_tags_make(struct lk_bytes list, struct lk_buf *out)
{
	return lk_tags_change((struct lk_bytes){"", 0}, list, (struct lk_bytes){"", 0}, out);
}

int lk_tags_change(struct lk_bytes text, struct lk_bytes add, struct lk_bytes remove, struct lk_buf *out)
{
	struct words w = {.count = 0};
	int r = take(&w, remove);
	w.count = 0;
	if (r == 0)
		r = take(&w, text);
	if (r == 0)
		r = take(&w, add);
	return r ? r : join(&w, remove, out);
}

int lk_tags_mend(struct lk_bytes text, struct lk_buf *out)
{
	struct words w = {.count = 0};
	struct lk_bytes word;
	size_t at = 0, len = 0;
	while (w.count < LK_ARRAY_LEN(w.word) && next_word(text, false, &at, &word)) {
		if (!lk_tag_valid(word.p, word.len) || len + word.len + 1 > LK_TAGS_MAX)
			continue;
		w.word[w.count++] = word;
		len += word.len + 1;
	}
	return join(&w, (struct lk_bytes){"", 0}, out);
}

static bool has_one(struct lk_bytes text, struct lk_bytes tag)
{
	struct lk_bytes word;
	size_t at = 0;
	while (next_word(text, false, &at, &word)) {
		if (order(&word, &tag) == 0)
			return true;
	}
	return false;
}

bool lk_tags_have(struct lk_bytes text, struct lk_bytes list)
{
	struct lk_bytes tag;
	size_t at = 0;
	if (list.len == 0)
		return text.len == 0;
	while (next_word(list, true, &at, &tag)) {
		if (!has_one(text, tag))
			return false;
	}
	return true;
}
