/*
 * tree.c - see tree.h.
 */
#include "tree.h"

#include "test.h"

#include <fnmatch.h>
#include <schema.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <vfs_sum.h>

#define DEPTH_MAX 12
#define BLOCKS_MAX 64u

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

static void add(struct tree *t, const char *path, const char *field, const char *value)
{
	char *key = NULL, *copy = strdup(value);
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 256;
		t->lines = realloc(t->lines, t->room * sizeof(*t->lines));
	}
	if (!t->lines || !copy || asprintf(&key, "%s %s", path, field) < 0)
		fail_msg("out of memory");
	t->lines[t->count++] = (struct tree_line){key, copy};
}

static void add_number(struct tree *t, const char *path, const char *field, uint64_t value)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add(t, path, field, text);
}

static void add_error(struct tree *t, const char *path, const char *field, int error)
{
	char text[64];
	(void)snprintf(text, sizeof(text), "!%s", linkfs_error_name(error));
	add(t, path, field, text);
}

static int compare(const void *a, const void *b)
{
	const struct tree_line *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	return c ? c : strcmp(x->value, y->value);
}

static void sort(struct tree *t)
{
	if (t->count)
		qsort(t->lines, t->count, sizeof(*t->lines), compare);
}

void tree_done(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->lines[i].key);
		free(t->lines[i].value);
	}
	free(t->lines);
	*t = (struct tree){0};
}

/* FNV-1a, so that what the volume's own checksum lets pass is not taken for right by that. */
static uint64_t digest(const uint8_t *p, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* ---- one file --------------------------------------------------------------------------------------------------------- */

static void add_data(struct tree *t, struct linkfs_volume *v, const char *path, const struct linkfs_stat *st)
{
	uint8_t block[LK_BLOCK_SIZE];
	for (uint64_t b = 0; b * sizeof(block) < st->size && b < BLOCKS_MAX; b++) {
		char field[32], value[64];
		size_t done = 0;
		(void)snprintf(field, sizeof(field), "data:%llu", (unsigned long long)b);
		int r = linkfs_node_read(v, st->ino, b * sizeof(block), block, sizeof(block), &done);
		if (r) {
			add_error(t, path, field, r);
			continue;
		}
		(void)snprintf(value, sizeof(value), "%zu:%016llx", done, (unsigned long long)digest(block, done));
		add(t, path, field, value);
	}
}

static void add_text(struct tree *t, struct linkfs_volume *v, const char *path, uint64_t ino)
{
	char text[LINKFS_SYMLINK_MAX + 1];
	size_t len = 0;
	int r = linkfs_node_readlink(v, ino, text, sizeof(text) - 1, &len);
	if (r) {
		add_error(t, path, "text", r);
		return;
	}
	text[len] = '\0';
	add(t, path, "text", text);
}

static void add_xattrs(struct tree *t, struct linkfs_volume *v, const char *path, uint64_t ino)
{
	char names[4096], field[300], value[64];
	static uint8_t bytes[LINKFS_XATTR_SIZE_MAX];
	size_t len = 0;
	int r = linkfs_node_listxattr(v, NULL, ino, names, sizeof(names), &len);
	if (r) {
		add_error(t, path, "xattrs", r);
		return;
	}
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		size_t n = 0;
		(void)snprintf(field, sizeof(field), "xattr:%s", names + at);
		r = linkfs_node_getxattr(v, NULL, ino, names + at, bytes, sizeof(bytes), &n);
		if (r) {
			add_error(t, path, field, r);
			continue;
		}
		(void)snprintf(value, sizeof(value), "%zu:%016llx", n, (unsigned long long)digest(bytes, n));
		add(t, path, field, value);
	}
	add_number(t, path, "xattrs", len);
}

static void add_file(struct tree *t, struct linkfs_volume *v, const char *path, uint64_t ino, struct linkfs_stat *st)
{
	char text[64];
	int r = linkfs_node_getattr(v, ino, st);
	st->ino = ino;
	if (r) {
		st->mode = 0;
		add_error(t, path, "mode", r);
		return;
	}
	(void)snprintf(text, sizeof(text), "%o", st->mode);
	add(t, path, "mode", text);
	(void)snprintf(text, sizeof(text), "%u:%u", st->uid, st->gid);
	add(t, path, "owner", text);
	(void)snprintf(text, sizeof(text), "%u:%u", st->rdev_major, st->rdev_minor);
	add(t, path, "device", text);
	add_number(t, path, "nlink", st->nlink);
	add_number(t, path, "size", st->size);
	add_number(t, path, "blocks", st->blocks);
	add_number(t, path, "mtime", (uint64_t)st->mtime_ns);
	if (S_ISREG(st->mode))
		add_data(t, v, path, st);
	if (S_ISLNK(st->mode))
		add_text(t, v, path, ino);
	add_xattrs(t, v, path, ino);
}

/* ---- the walk --------------------------------------------------------------------------------------------------------- */

struct names {
	struct {
		char *name;
		uint64_t ino;
	} at[512];
	size_t count;
	bool more;
	uint64_t cookie;
};

static int take_name(void *arg, const struct linkfs_entry *e)
{
	struct names *n = arg;
	n->more = true;
	n->cookie = e->cookie;
	if ((e->name_len == 1 && e->name[0] == '.') || (e->name_len == 2 && memcmp(e->name, "..", 2) == 0) ||
	    n->count == LK_ARRAY_LEN(n->at))
		return 0;
	n->at[n->count].name = strndup(e->name, e->name_len);
	n->at[n->count++].ino = e->ino;
	return 0;
}

static void walk(struct tree *t, struct linkfs_volume *v, const char *path, uint64_t ino, int depth)
{
	struct linkfs_stat st;
	add_number(t, path, "ino", ino);
	add_file(t, v, path, ino, &st);
	if (!S_ISDIR(st.mode))
		return;
	if (depth == DEPTH_MAX) {
		add(t, path, "list", "too deep");
		return;
	}
	struct names *n = calloc(1, sizeof(*n));
	assert_non_null(n);
	int r;
	do {
		n->more = false;
		r = linkfs_node_readdir(v, NULL, ino, n->cookie, 0, take_name, n);
	} while (r == 0 && n->more);
	if (r)
		add_error(t, path, "list", r);
	else
		add_number(t, path, "list", n->count);
	for (size_t i = 0; i < n->count; i++) {
		char *below = NULL;
		struct linkfs_stat by_name;
		if (asprintf(&below, "%s/%s", path[1] ? path : "", n->at[i].name) < 0)
			fail_msg("out of memory");
		/* What is listed can be looked up. */
		r = linkfs_node_lookup(v, NULL, ino, n->at[i].name, strlen(n->at[i].name), 0, &by_name);
		if (r)
			add_error(t, below, "lookup", r);
		else
			add_number(t, below, "lookup", by_name.ino);
		walk(t, v, below, n->at[i].ino, depth + 1);
		free(below);
		free(n->at[i].name);
	}
	free(n);
}

void tree_walk(struct linkfs_volume *v, struct tree *out)
{
	struct linkfs_statfs fs;
	struct linkfs_info info;
	*out = (struct tree){0};
	if (linkfs_volume_statfs(v, &fs) == 0 && linkfs_volume_info(v, &info) == 0) {
		add_number(out, "=", "inodes", fs.inodes - fs.inodes_free);
		add_number(out, "=", "blocks", info.data_blocks_used);
		add_number(out, "=", "kept", info.kept_inodes);
		add_number(out, "=", "kept-blocks", info.kept_blocks);
	}
	walk(out, v, "/", LINKFS_ROOT_INO, 0);
	sort(out);
}

void tree_open(const char *volume, uint32_t flags, struct tree *out)
{
	struct linkfs_open_options options = {.flags = flags | LINKFS_OPEN_NOATIME};
	struct linkfs_volume *v;
	*out = (struct tree){0};
	int r = linkfs_volume_open(volume, &options, &v, NULL);
	if (r) {
		add_error(out, "=", "open", r);
		return;
	}
	tree_walk(v, out);
	r = linkfs_volume_close(v);
	if (r)
		add_error(out, "=", "close", r);
	sort(out);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

static void add_rows(struct tree *t, sqlite3 *db, const struct lk_table *table)
{
	char sql[2048], at[64];
	sqlite3_stmt *stmt = NULL;
	bool old = table->id >= LK_T_LIVE_COUNT;
	uint8_t keys = table->key_count;
	size_t n = (size_t)snprintf(sql, sizeof(sql), "SELECT ");
	for (uint8_t i = 0; i < table->column_count; i++) {
		const char *between = i == 0 ? "" : i == keys ? ", " : "||'|'||";
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "%squote(\"%s\")", between, table->columns[i].name);
	}
	if (keys == table->column_count)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", ''");
	(void)snprintf(sql + n, sizeof(sql) - n, " FROM \"%s\"", table->name);
	(void)snprintf(at, sizeof(at), "@%s", table->name);
	(void)old;
	int code = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	while (!code && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		add(t, at, (const char *)sqlite3_column_text(stmt, 0), (const char *)sqlite3_column_text(stmt, 1));
		code = SQLITE_OK;
	}
	if (code != SQLITE_DONE)
		add(t, at, "error", "!");
	(void)sqlite3_finalize(stmt);
}

void tree_rows(const char *volume, bool history_only, struct tree *out)
{
	char file[4200];
	sqlite3 *db;
	*out = (struct tree){0};
	(void)snprintf(file, sizeof(file), "%s/meta.db", volume);
	int code = sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, lk_vfs_sum());
	if (code)
		add(out, "@", "open", "!");
	for (int t = history_only ? (int)LK_T_LIVE_COUNT : 0; !code && t < LK_T_COUNT; t++)
		add_rows(out, db, &lk_tables[t]);
	(void)sqlite3_close(db);
	sort(out);
}

/* ---- comparing -------------------------------------------------------------------------------------------------------- */

bool tree_matches(const char *patterns, const char *key)
{
	char pattern[200];
	for (const char *p = patterns; p && *p;) {
		size_t len = strcspn(p, " ");
		if (len && len < sizeof(pattern)) {
			for (size_t i = 0; i < len; i++)
				pattern[i] = p[i] == '~' ? ' ' : p[i];
			pattern[len] = '\0';
			if (fnmatch(pattern, key, FNM_NOESCAPE) == 0)
				return true;
		}
		p += len + (p[len] == ' ');
	}
	return false;
}

static void note(char *text, size_t size, const char *key, const char *before, const char *after)
{
	size_t n = strlen(text);
	if (n + 300 < size)
		(void)snprintf(text + n, size - n, "\n  %.120s: %.80s, now %.80s", key, before ? before : "absent",
			       after ? after : "absent");
}

typedef bool fine_fn(const void *arg, const char *key, const char *before, const char *after);

static size_t differ(const struct tree *a, const struct tree *b, fine_fn *fine, const void *arg, char *text,
		     size_t size)
{
	size_t i = 0, k = 0, n = 0;
	text[0] = '\0';
	while (i < a->count || k < b->count) {
		int c = i == a->count ? 1 : k == b->count ? -1 : strcmp(a->lines[i].key, b->lines[k].key);
		const char *key = c <= 0 ? a->lines[i].key : b->lines[k].key;
		const char *before = c <= 0 ? a->lines[i].value : NULL, *after = c >= 0 ? b->lines[k].value : NULL;
		if ((c || strcmp(before, after) != 0) && !fine(arg, key, before, after)) {
			n++;
			note(text, size, key, before, after);
		}
		i += c <= 0;
		k += c >= 0;
	}
	return n;
}

static bool is_allowed(const void *patterns, const char *key, const char *before, const char *after)
{
	(void)before;
	(void)after;
	return tree_matches(patterns, key);
}

size_t tree_differ(const struct tree *before, const struct tree *after, const char *patterns, char *text, size_t size)
{
	return differ(before, after, is_allowed, patterns, text, size);
}

const char *tree_value(const struct tree *t, const char *key)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int c = strcmp(t->lines[middle].key, key);
		if (c == 0)
			return t->lines[middle].value;
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool is_error(const struct tree *t, const char *path, size_t len, const char *field)
{
	char key[600];
	(void)snprintf(key, sizeof(key), "%.*s %s", len ? (int)len : 1, path, field);
	const char *value = tree_value(t, key);
	return value && value[0] == '!';
}

/* The line is absent because of an error that was told: of the volume, of a directory above, of the file itself. */
static bool is_hidden(const void *arg, const char *key, const char *before, const char *after)
{
	const struct tree *t = arg;
	size_t path = strcspn(key, " ");
	(void)before;
	if (after)
		return after[0] == '!';
	if (is_error(t, "=", 1, "open"))
		return true;
	if (is_error(t, key, path, "mode") ||
	    (strncmp(key + path, " xattr:", 7) == 0 && is_error(t, key, path, "xattrs")))
		return true;
	for (size_t i = 0; i <= path; i++) {
		if ((key[i] == '/' || key[i] == ' ') && (is_error(t, key, i, "list") || is_error(t, key, i, "mode")))
			return true;
	}
	return false;
}

size_t tree_wrong(const struct tree *before, const struct tree *after, char *text, size_t size)
{
	return differ(before, after, is_hidden, after, text, size);
}

void tree_say(const struct tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		print_message("# %s = %s\n", t->lines[i].key, t->lines[i].value);
}
