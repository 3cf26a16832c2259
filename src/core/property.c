/*
 * property.c - see property.h.
 * Layer: core.
 */
#include "property.h"

#include "pack.h"
#include "retain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define DURATION_MAX (INT64_C(36500) * 86400 * SECOND) /* a hundred years */

static const struct {
	char letter;
	int64_t seconds;
} units[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

int lk_duration_parse(const char *text, int64_t *ns_out)
{
	int64_t total = 0;
	if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0) {
		*ns_out = 0;
		return 0;
	}
	if (!*text)
		return LINKFS_EINVAL;
	while (*text) {
		int64_t n = 0, seconds = 0;
		if (*text < '0' || *text > '9')
			return LINKFS_EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			n = n * 10 + (*text - '0');
			if (n > DURATION_MAX / SECOND)
				return LINKFS_EINVAL;
		}
		for (size_t i = 0; i < LK_ARRAY_LEN(units); i++) {
			if (units[i].letter == *text)
				seconds = units[i].seconds;
		}
		if (!seconds || n > DURATION_MAX / SECOND / seconds)
			return LINKFS_EINVAL;
		text++;
		total += n * seconds * SECOND;
		if (total > DURATION_MAX)
			return LINKFS_EINVAL;
	}
	*ns_out = total;
	return 0;
}

void lk_duration_format(int64_t ns, char out[LK_PROPERTY_VALUE_MAX])
{
	int64_t seconds = ns / SECOND;
	size_t i = 1; /* weeks are read and written as days */
	if (seconds <= 0) {
		(void)snprintf(out, LK_PROPERTY_VALUE_MAX, "off");
		return;
	}
	while (seconds % units[i].seconds)
		i++;
	(void)snprintf(out, LK_PROPERTY_VALUE_MAX, "%lld%c", (long long)(seconds / units[i].seconds), units[i].letter);
}

/* ---- what is known ------------------------------------------------------------------------------------------------ */

/* The usual form of a value. LINKFS_EINVAL with why, or without: then the property's form tells. */
typedef int usual_fn(const char *value, char out[LK_PROPERTY_VALUE_MAX], struct linkfs_message *why);

static int usual_duration(const char *value, char out[LK_PROPERTY_VALUE_MAX], struct linkfs_message *why)
{
	int64_t ns;
	int r = lk_duration_parse(value, &ns);
	(void)why;
	if (r == 0)
		lk_duration_format(ns, out);
	return r;
}

static int usual_rules(const char *value, char out[LK_PROPERTY_VALUE_MAX], struct linkfs_message *why)
{
	struct lk_retain rules = {0};
	struct lk_buf text = {0};
	int r = lk_retain_parse(&rules, value, why);
	if (r == 0)
		r = lk_retain_format(&rules, &text);
	if (r == 0 && text.len >= LK_PROPERTY_VALUE_MAX)
		r = lk_fail(why, LINKFS_EINVAL, "rules may have %u bytes together", LK_PROPERTY_VALUE_MAX - 1);
	if (r == 0) {
		memcpy(out, text.p, text.len);
		out[text.len] = 0;
	}
	lk_buf_done(&text);
	lk_retain_done(&rules);
	return r;
}

/* "none", "zstd" or "zstd:LEVEL". */
static int parse_compression(const char *value, int *level_out)
{
	static const char zstd[] = "zstd";
	int level = 0;
	if (strcmp(value, "none") == 0) {
		*level_out = 0;
		return 0;
	}
	if (strncmp(value, zstd, sizeof(zstd) - 1) != 0)
		return LINKFS_EINVAL;
	value += sizeof(zstd) - 1;
	if (!*value) {
		*level_out = LK_PACK_LEVEL_DEFAULT;
		return 0;
	}
	if (*value++ != ':' || !*value || strlen(value) > 2)
		return LINKFS_EINVAL;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return LINKFS_EINVAL;
		level = level * 10 + (*value - '0');
	}
	if (level < 1 || level > LK_PACK_LEVEL_MAX)
		return LINKFS_EINVAL;
	*level_out = level;
	return 0;
}

static int usual_compression(const char *value, char out[LK_PROPERTY_VALUE_MAX], struct linkfs_message *why)
{
	int level;
	int r = parse_compression(value, &level);
	(void)why;
	if (r == 0)
		(void)snprintf(out, LK_PROPERTY_VALUE_MAX, level ? "zstd:%d" : "none", level);
	return r;
}

static const struct known {
	struct linkfs_property property;
	usual_fn *usual;
} known[] = {
	{{.key = LINKFS_KEEP_DELETED,
	  .initial = "off",
	  .form = "a duration as 7d, 12h, 30m or 90s, or off",
	  .text = "how long files whose last name was removed can be given back by undelete"},
	 usual_duration},
	{{.key = LINKFS_SNAPSHOT_EVERY,
	  .initial = "off",
	  .form = "a duration as 7d, 12h, 30m or 90s, or off",
	  .text = "how often a mount takes a snapshot by itself"},
	 usual_duration},
	{{.key = LINKFS_SNAPSHOT_KEEP,
	  .initial = "off",
	  .form = "rules of prune as last=3,hourly=24,daily=7, or off",
	  .text = "which of these snapshots stay when another is taken; off: all"},
	 usual_rules},
	{{.key = LINKFS_COMPRESSION,
	  .initial = "none",
	  .form = "none, zstd or zstd:LEVEL with a level from 1 to 19",
	  .text = "how content that is written from now on is compressed"},
	 usual_compression},
};

const struct linkfs_property *lk_property_known(size_t i)
{
	return i < LK_ARRAY_LEN(known) ? &known[i].property : NULL;
}

static const struct known *find_known(const char *key, size_t len)
{
	for (size_t i = 0; i < LK_ARRAY_LEN(known); i++) {
		if (strlen(known[i].property.key) == len && memcmp(known[i].property.key, key, len) == 0)
			return &known[i];
	}
	return NULL;
}

int lk_property_line_check(struct lk_bytes key, struct lk_bytes value)
{
	const struct known *k = find_known(key.p, key.len);
	char text[LK_PROPERTY_VALUE_MAX], form[LK_PROPERTY_VALUE_MAX];
	if (!k)
		return 0;
	if (value.len >= sizeof(text))
		return LINKFS_EINVAL;
	memcpy(text, value.p, value.len);
	text[value.len] = 0;
	return k->usual(text, form, NULL);
}

static int unknown_key(const char *key, struct linkfs_message *why)
{
	char list[256] = "";
	size_t n = 0;
	for (size_t i = 0; i < LK_ARRAY_LEN(known) && n < sizeof(list); i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", known[i].property.key);
	return lk_fail(why, LINKFS_EINVAL, "'%.64s' is no property of a volume; there is: %s", key, list);
}

/* ---- the text ----------------------------------------------------------------------------------------------------- */

struct line {
	const char *key, *value;
	size_t key_len, value_len;
};

/* The next line from *p on. False at the end; LINKFS_ECORRUPT in *error when it is none. */
static bool next_line(const char **p, const char *end, struct line *out, int *error)
{
	if (*p == end)
		return false;
	const char *stop = memchr(*p, '\n', (size_t)(end - *p));
	const char *equals = stop ? memchr(*p, '=', (size_t)(stop - *p)) : NULL;
	if (!equals || equals == *p || memchr(*p, 0, (size_t)(stop - *p))) {
		*error = LINKFS_ECORRUPT;
		return false;
	}
	*out = (struct line){*p, equals + 1, (size_t)(equals - *p), (size_t)(stop - equals - 1)};
	*p = stop + 1;
	return true;
}

static bool is_key(const struct line *line, const char *key)
{
	return strlen(key) == line->key_len && memcmp(line->key, key, line->key_len) == 0;
}

int lk_property_get(struct lk_bytes text, const char *key, char *value)
{
	const struct known *k = find_known(key, strlen(key));
	const char *p = text.p, *end = text.len ? p + text.len : p;
	struct line line;
	int error = 0;
	if (!k)
		return LINKFS_EINVAL;
	while (text.len && next_line(&p, end, &line, &error)) {
		if (!is_key(&line, key))
			continue;
		if (line.value_len >= LK_PROPERTY_VALUE_MAX)
			return LINKFS_ECORRUPT;
		memcpy(value, line.value, line.value_len);
		value[line.value_len] = 0;
		return 0;
	}
	if (error == 0)
		(void)snprintf(value, LK_PROPERTY_VALUE_MAX, "%s", k->property.initial);
	return error;
}

static int add_line(struct lk_buf *out, const char *key, size_t key_len, const char *value, size_t value_len)
{
	int r = lk_buf_append(out, key, key_len);
	if (r == 0)
		r = lk_buf_append(out, "=", 1);
	if (r == 0)
		r = lk_buf_append(out, value, value_len);
	return r ? r : lk_buf_append(out, "\n", 1);
}

int lk_property_put(struct lk_bytes text, const char *key, const char *value, struct lk_buf *out,
		    struct linkfs_message *why)
{
	const struct known *k = find_known(key, strlen(key));
	struct linkfs_message more = {""};
	char form[LK_PROPERTY_VALUE_MAX];
	if (!k)
		return unknown_key(key, why);
	int r = k->usual(value, form, &more);
	if (r == LINKFS_EINVAL)
		return more.text[0] ? lk_fail(why, r, "%s: %.256s", key, more.text)
				    : lk_fail(why, r, "%s: '%.64s' is not %s", key, value, k->property.form);
	const char *p = text.p, *end = text.len ? p + text.len : p;
	struct line line;
	out->len = 0;
	while (r == 0 && text.len && next_line(&p, end, &line, &r)) {
		if (!is_key(&line, key))
			r = add_line(out, line.key, line.key_len, line.value, line.value_len);
	}
	if (r == 0)
		r = add_line(out, key, strlen(key), form, strlen(form));
	if (r == 0 && out->len > LK_PROPERTIES_MAX)
		r = lk_fail(why, LINKFS_ENOSPC, "the properties are too long");
	return r;
}

/* ---- in a volume ---------------------------------------------------------------------------------------------------- */

int lk_property_take(struct lk_fs *fs, struct lk_bytes text)
{
	char value[LK_PROPERTY_VALUE_MAX];
	int64_t keep_ns, every_ns;
	int level = 0;
	if (text.len > LK_PROPERTIES_MAX)
		return LINKFS_ECORRUPT;
	int r = lk_property_get(text, LINKFS_KEEP_DELETED, value);
	if (r == 0 && lk_duration_parse(value, &keep_ns))
		r = LINKFS_ECORRUPT;
	if (r == 0)
		r = lk_property_get(text, LINKFS_SNAPSHOT_EVERY, value);
	if (r == 0 && lk_duration_parse(value, &every_ns))
		r = LINKFS_ECORRUPT;
	if (r == 0)
		r = lk_property_get(text, LINKFS_SNAPSHOT_KEEP, value);
	if (r == 0)
		r = usual_rules(value, value, NULL);
	if (r == 0)
		r = lk_property_get(text, LINKFS_COMPRESSION, value);
	if (r == 0)
		r = parse_compression(value, &level);
	if (r)
		return r == LINKFS_EINVAL ? LINKFS_ECORRUPT : r;
	struct lk_buf copy = {0};
	if (text.len)
		r = lk_buf_append(&copy, text.p, text.len);
	if (r)
		return r;
	lk_buf_done(&fs->properties);
	fs->properties = copy;
	fs->keep_deleted_ns = keep_ns;
	fs->snapshot_every_ns = every_ns;
	fs->pack_level = level;
	return 0;
}

int lk_property_set(struct lk_op *op, const char *key, const char *value, struct linkfs_message *why)
{
	struct lk_super super = {.id = 1};
	struct lk_buf text = {0};
	int r = lk_txn_get(op, LK_T_SUPER, &super, &super);
	if (r == LINKFS_ENOENT)
		r = LINKFS_ECORRUPT;
	if (r == 0)
		r = lk_property_put(super.properties, key, value, &text, why);
	super.properties = (struct lk_bytes){text.p, text.len};
	if (r == 0)
		r = lk_txn_put(op, LK_T_SUPER, &super);
	if (r == 0)
		r = lk_property_take(op->fs, super.properties);
	if (r == 0)
		r = lk_op_event(op, LINKFS_EVENT_PROPERTY, LINKFS_ROOT_INO, NULL, 0);
	lk_buf_done(&text);
	return r;
}

int lk_property_note(struct lk_op *op, const char *key, const char *value)
{
	struct lk_super super = {.id = 1};
	struct lk_buf text = {0};
	struct line line;
	int r = lk_txn_get(op, LK_T_SUPER, &super, &super);
	if (r == LINKFS_ENOENT)
		r = LINKFS_ECORRUPT;
	const char *p = r == 0 ? super.properties.p : NULL,
		   *end = r == 0 && super.properties.len ? p + super.properties.len : p;
	while (r == 0 && p != end && next_line(&p, end, &line, &r)) {
		if (!is_key(&line, key))
			r = add_line(&text, line.key, line.key_len, line.value, line.value_len);
	}
	if (r == 0 && value)
		r = add_line(&text, key, strlen(key), value, strlen(value));
	if (r == 0 && text.len > LK_PROPERTIES_MAX)
		r = LINKFS_ENOSPC;
	super.properties = (struct lk_bytes){text.len ? (const void *)text.p : "", text.len};
	if (r == 0)
		r = lk_txn_put(op, LK_T_SUPER, &super);
	if (r == 0)
		r = lk_property_take(op->fs, super.properties);
	lk_buf_done(&text);
	return r;
}

int lk_property_noted(struct lk_bytes text, const char *key, struct lk_buf *out)
{
	const char *p = text.p, *end = text.len ? p + text.len : p;
	struct line line;
	int error = 0;
	while (text.len && next_line(&p, end, &line, &error)) {
		if (!is_key(&line, key))
			continue;
		error = lk_buf_append(out, line.value, line.value_len);
		return error ? error : lk_buf_append(out, "", 1);
	}
	return error ? error : LINKFS_ENOENT;
}

int lk_property_reload(struct lk_fs *fs)
{
	struct lk_super super = {.id = 1};
	struct lk_op op;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	r = lk_txn_get(&op, LK_T_SUPER, &super, &super);
	if (r == 0)
		r = lk_property_take(fs, super.properties);
	return lk_op_end(&op, r);
}
