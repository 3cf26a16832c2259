/*
 * describe.c - what a tree shows, as text (world.h).
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct text {
	char *p;
	size_t len, cap;
};

static void say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (t->cap - t->len < 10000) {
		t->cap = t->cap ? t->cap * 2 : 65536;
		t->p = realloc(t->p, t->cap);
		assert_non_null(t->p);
	}
	int n = vsnprintf(t->p + t->len, t->cap - t->len, format, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < t->cap - t->len);
	t->len += (size_t)n;
}

static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);
	return strncmp(path, top, len) == 0 && (path[len] == '/' || path[len] == 0);
}

/* The first path of the same file, in top. */
static const char *first_of(uint64_t ino, const char *top)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].st.ino == ino && is_below(seen[i].path, top))
			return seen[i].path;
	return "/";
}

static void say_content(struct text *t, uint64_t at, const char *path, uint64_t size)
{
	struct linkfs_file *file;
	uint64_t sum = 1469598103934665603u, offset = 0;
	unsigned char buf[8192];
	size_t n = 1;
	OK(linkfs_file_open(v, NULL, at, path, LINKFS_O_READ | LINKFS_O_NOFOLLOW, 0, &file));
	for (; n; offset += n) {
		OK(linkfs_file_read(file, offset, buf, sizeof(buf), &n));
		for (size_t i = 0; i < n; i++)
			sum = (sum ^ buf[i]) * 1099511628211u;
	}
	assert_int_equal(offset, size);
	linkfs_file_close(file);
	say(t, " content %llx", (unsigned long long)sum);
}

bool describe_texts = true;

static void say_link(struct text *t, uint64_t at, const char *path, uint64_t size, bool ends)
{
	char target[LINKFS_PATH_MAX];
	struct linkfs_stat end;
	size_t len;
	OK(linkfs_path_readlink(v, NULL, at, path, target, sizeof(target), &len));
	assert_int_equal(len, size);
	if (describe_texts)
		say(t, " -> %.*s", (int)len, target);
	if (!ends)
		return;
	int r = linkfs_path_stat(v, NULL, at, path, 0, &end);
	if (r == 0 || describe_texts)
		say(t, " = %s", r ? linkfs_error_name(r) : first_of(end.ino, ""));
}

char *describe(uint64_t at, const char *top, bool all)
{
	struct text t = {0};
	bool part = *top;
	look_at(at);
	for (size_t i = 0; i < seen_count; i++) {
		const struct linkfs_stat *st = &seen[i].st;
		if (!is_below(seen[i].path, top))
			continue;
		say(&t, "%s %o %u %u m %lld b %lld is %s", seen[i].path, st->mode, st->uid, st->gid,
		    (long long)st->mtime_ns, (long long)st->btime_ns, first_of(st->ino, top));
		if (all)
			say(&t, " c %lld", (long long)st->ctime_ns);
		if (!part)
			say(&t, " nlink %u keeps %u%s", st->nlink, st->flags & LINKFS_INO_KEEP_LINKS,
			    st->flags & LINKFS_INO_TRACKED ? " tracked" : "");
		if (S_ISREG(st->mode))
			say_content(&t, at, seen[i].path, st->size);
		/* Where a text leads, and that of a tracked link, is a matter of the whole tree. */
		if (S_ISLNK(st->mode) && (!part || !(st->flags & LINKFS_INO_TRACKED)))
			say_link(&t, at, seen[i].path, st->size, !part);
		say(&t, "\n");
	}
	say(&t, "end\n");
	return t.p;
}
