/*
 * kept.c - see kept.h.
 */
#include "kept.h"

#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XATTRS_MAX 32
#define NAMES_ASKED 3

/* ---- lines -------------------------------------------------------------------------------------------------------------- */

static const char **interned; /* by hash; a power of two of places */
static size_t interned_count, interned_cap;

static uint64_t sum_of(const void *bytes, size_t len, uint64_t sum)
{
	const unsigned char *p = bytes;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 29;
	}
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * UINT64_C(1099511628211);
	return sum;
}

static size_t place_of(const char **table, size_t cap, const char *line)
{
	size_t at = (size_t)(sum_of(line, strlen(line), 7) >> 7) & (cap - 1);
	while (table[at] && strcmp(table[at], line) != 0)
		at = (at + 1) & (cap - 1);
	return at;
}

static const char *line_of(const char *text)
{
	if (2 * interned_count >= interned_cap) {
		size_t cap = interned_cap ? 2 * interned_cap : 4096;
		const char **table = calloc(cap, sizeof(*table));
		assert_non_null(table);
		for (size_t i = 0; i < interned_cap; i++)
			if (interned[i])
				table[place_of(table, cap, interned[i])] = interned[i];
		free(interned);
		interned = table;
		interned_cap = cap;
	}
	size_t at = place_of(interned, interned_cap, text);
	if (!interned[at]) {
		interned[at] = strdup(text);
		assert_non_null(interned[at]);
		interned_count++;
	}
	return interned[at];
}

void kept_end(void)
{
	for (size_t i = 0; i < interned_cap; i++)
		free((void *)(uintptr_t)interned[i]);
	free(interned);
	interned = NULL;
	interned_count = interned_cap = 0;
}

void kept_free(struct kept *k)
{
	free(k->lines);
	*k = (struct kept){NULL, 0};
}

static char line[3 * LINKFS_PATH_MAX];
static size_t line_len;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line + line_len, sizeof(line) - line_len, format, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(line) - line_len);
	line_len += (size_t)n;
}

/* ---- what a path shows ---------------------------------------------------------------------------------------------------- */

/* What was seen, by inode, and by path where several have one. */
static size_t by_file[PATHS_MAX];

static int order(const void *a, const void *b)
{
	size_t i = *(const size_t *)a, k = *(const size_t *)b;
	if (seen[i].st.ino != seen[k].st.ino)
		return seen[i].st.ino < seen[k].st.ino ? -1 : 1;
	return i < k ? -1 : i > k;
}

static const char *first_of(uint64_t ino)
{
	size_t low = 0, high = seen_count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (seen[by_file[mid]].st.ino < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return low < seen_count && seen[by_file[low]].st.ino == ino ? seen[by_file[low]].path : "/";
}

static void say_content(uint64_t at, const struct seen *s)
{
	static unsigned char buf[65536];
	struct linkfs_file *file;
	uint64_t sum = 0, offset = 0;
	size_t n = 1;
	OK(linkfs_file_open(v, NULL, at, s->path, LINKFS_O_READ | LINKFS_O_NOFOLLOW, 0, &file));
	for (; n; offset += n) {
		OK(linkfs_file_read(file, offset, buf, sizeof(buf), &n));
		sum = sum_of(buf, n, sum);
	}
	assert_int_equal(offset, s->st.size);
	linkfs_file_close(file);
	say(" content %llx", (unsigned long long)sum);
}

static void say_link(uint64_t at, const struct seen *s)
{
	char target[LINKFS_PATH_MAX];
	struct linkfs_stat end;
	size_t len;
	OK(linkfs_path_readlink(v, NULL, at, s->path, target, sizeof(target), &len));
	assert_int_equal(len, s->st.size);
	int r = linkfs_path_stat(v, NULL, at, s->path, 0, &end);
	say(" -> %.*s = %s", (int)len, target, r ? linkfs_error_name(r) : first_of(end.ino));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void say_xattrs(const struct linkfs_stat *st)
{
	static char value[LINKFS_XATTR_SIZE_MAX];
	char list[4096];
	const char *names[XATTRS_MAX];
	size_t len, count = 0;
	OK(linkfs_node_listxattr(v, NULL, st->node, list, sizeof(list), &len));
	for (const char *p = list; p < list + len; p += strlen(p) + 1) {
		assert_true(count < XATTRS_MAX);
		names[count++] = p;
	}
	qsort(names, count, sizeof(names[0]), by_text);
	for (size_t i = 0; i < count; i++) {
		OK(linkfs_node_getxattr(v, NULL, st->node, names[i], value, sizeof(value), &len));
		say(" %s:%zu:%llx", names[i], len, (unsigned long long)sum_of(value, len, 0));
	}
}

/* Without atimes: looking changes them. */
static const char *describe_seen(uint64_t at, const struct seen *s, bool first)
{
	const struct linkfs_stat *st = &s->st;
	line_len = 0;
	say("%s %o %u %u nlink %u size %llu blocks %llu flags %x m %lld c %lld b %lld", s->path, st->mode, st->uid,
	    st->gid, st->nlink, (unsigned long long)st->size, (unsigned long long)st->blocks, st->flags,
	    (long long)st->mtime_ns, (long long)st->ctime_ns, (long long)st->btime_ns);
	if (!first) {
		say(" is %s", first_of(st->ino));
		return line_of(line);
	}
	if (S_ISREG(st->mode))
		say_content(at, s);
	if (S_ISLNK(st->mode))
		say_link(at, s);
	else
		say_xattrs(st);
	return line_of(line);
}

struct asked {
	uint64_t ino;
	size_t count;
};

static int on_name(void *arg, const struct linkfs_name *n)
{
	struct asked *a = arg;
	struct seen key = {(char *)(uintptr_t)n->path, {0}};
	size_t low = 0, high = seen_count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (strcmp(seen[mid].path, key.path) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == seen_count || strcmp(seen[low].path, key.path) != 0 || seen[low].st.ino != a->ino)
		fail_msg("seed %llu, step %lu: %s is told as a name of inode %llu, and is none",
			 (unsigned long long)lk_test_seed(), step, key.path, (unsigned long long)a->ino);
	a->count++;
	return 0;
}

/* Names of a file (D1), as they were. */
static void ask_names(void)
{
	for (unsigned i = 0; i < NAMES_ASKED && seen_count; i++) {
		const struct seen *s = &seen[below(seen_count)];
		struct asked a = {s->st.ino, 0};
		size_t want = 0;
		for (size_t k = 0; k < seen_count; k++)
			want += seen[k].st.ino == a.ino;
		OK(linkfs_node_names(v, NULL, s->st.ino, on_name, &a, NULL));
		if (a.count != want)
			fail_msg("seed %llu, step %lu: %s has %zu names, %zu are told",
				 (unsigned long long)lk_test_seed(), step, s->path, want, a.count);
	}
}

void kept_take(uint64_t at, struct kept *out)
{
	struct seen root = {(char *)(uintptr_t) "/", {0}};
	look_at(at);
	for (size_t i = 0; i < seen_count; i++)
		by_file[i] = i;
	qsort(by_file, seen_count, sizeof(by_file[0]), order);
	*out = (struct kept){calloc(seen_count + 1, sizeof(*out->lines)), seen_count + 1};
	assert_non_null(out->lines);
	OK(linkfs_node_getattr(v, at, &root.st));
	out->lines[0] = describe_seen(at, &root, true);
	for (size_t i = 0; i < seen_count; i++) {
		size_t k = by_file[i];
		bool first = i == 0 || seen[by_file[i - 1]].st.ino != seen[k].st.ino;
		/* A tracked link reads another text by each of its paths. */
		out->lines[k + 1] = describe_seen(at, &seen[k], first || S_ISLNK(seen[k].st.mode));
	}
	ask_names();
}

void kept_compare(const struct kept *was, uint64_t at, const char *what)
{
	struct kept is;
	size_t i = 0;
	kept_take(at, &is);
	while (i < was->count && i < is.count && was->lines[i] == is.lines[i])
		i++;
	if (i < was->count || i < is.count)
		fail_msg("seed %llu, step %lu: snapshot %s, line %zu of %zu, now %zu\n was %s\n is  %s",
			 (unsigned long long)lk_test_seed(), step, what, i + 1, was->count, is.count,
			 i < was->count ? was->lines[i] : "no more", i < is.count ? is.lines[i] : "no more");
	kept_free(&is);
}
