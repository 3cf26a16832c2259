/*
 * test_links.c - questions about links, written from rows D1 to D4: one case each, with the answers said outright.
 */
#include "volume.h"

#include <linkfs_links.h>

#define ROOT LINKFS_ROOT_INO
static const struct linkfs_cred user = {.uid = 1000, .gid = 1000, .umask = 022};

static void symlink_at(struct fixture *f, const char *text, const char *path)
{
	assert_int_equal(linkfs_path_symlink(f->v, NULL, text, ROOT, path, NULL), 0);
}

static void link_at(struct fixture *f, const char *old, const char *new)
{
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, old, ROOT, new, 0), 0);
}

/* Answers as words, sorted, with a space between. */
struct words {
	struct linkfs_volume *v;
	char *p[64];
	size_t count, asked;
	int result;
	uint64_t total;
};

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void said(struct words *w, const char *expected)
{
	char text[8192] = "";
	size_t len = 0;
	if (w->count)
		qsort(w->p, w->count, sizeof(w->p[0]), compare_words);
	for (size_t i = 0; i < w->count; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", w->p[i]);
		free(w->p[i]);
	}
	w->count = 0;
	assert_string_equal(text, expected);
}

static void add(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct words *w, const char *format, ...)
{
	va_list ap;
	assert_true(w->count < 64);
	va_start(ap, format);
	assert_true(vasprintf(&w->p[w->count++], format, ap) > 0);
	va_end(ap);
}

static int on_name(void *arg, const struct linkfs_name *name)
{
	add(arg, "%s", name->path);
	return 0;
}

static int on_referrer(void *arg, const struct linkfs_referrer *r)
{
	add(arg, "%s", r->link.path);
	return 0;
}

static int on_dangling(void *arg, const struct linkfs_dangling *d)
{
	add(arg, "%s:%s:%s|%s", d->link.path, linkfs_error_name(d->end.error) + 7, d->fault_dir, d->fault_name);
	return 0;
}

static int on_impact(void *arg, const struct linkfs_impact *i)
{
	const char *was = i->before.error ? linkfs_error_name(i->before.error) + 7 : "ok";
	const char *is = i->after.error ? linkfs_error_name(i->after.error) + 7 : "ok";
	add(arg, "%s:%s:%s", i->link.path, was, is);
	return 0;
}

static void names_of(struct fixture *f, const struct linkfs_cred *cred, const char *path, const char *expected,
		     uint64_t hidden)
{
	struct words w = {0};
	uint64_t got = 99;
	assert_int_equal(linkfs_path_names(f->v, cred, ROOT, path, LINKFS_NOFOLLOW, NULL, on_name, &w, &got), 0);
	said(&w, expected);
	assert_int_equal(got, hidden);
}

static void referrers_of(struct fixture *f, const char *path, const char *mounted_at, uint32_t flags,
			 const char *expected)
{
	struct linkfs_links_options options = {.mounted_at = mounted_at, .flags = flags};
	struct words w = {0};
	assert_int_equal(
		linkfs_path_referrers(f->v, NULL, ROOT, path, LINKFS_NOFOLLOW, &options, NULL, on_referrer, &w), 0);
	said(&w, expected);
}

/* ---- D1 ---- */

static void every_name_with_its_whole_path(void **state)
{
	struct fixture *f = *state;
	make(f, "a", S_IFDIR | 0755);
	make(f, "a/b", S_IFDIR | 0755);
	make(f, "a/b/file", S_IFREG | 0644);
	link_at(f, "a/b/file", "top");
	link_at(f, "top", "a/b/other");
	symlink_at(f, "b", "a/s");
	link_at(f, "a/s", "s2");
	names_of(f, NULL, "top", "/a/b/file /a/b/other /top", 0);
	names_of(f, NULL, "a/b", "/a/b", 0);
	names_of(f, NULL, "/", "/", 0);
	names_of(f, NULL, "s2", "/a/s /s2", 0);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "a/b", ROOT, "moved", 0), 0);
	names_of(f, NULL, "top", "/moved/file /moved/other /top", 0);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "top"), 0);
	names_of(f, NULL, "moved/file", "/moved/file /moved/other", 0);
}

static void a_name_where_the_caller_may_not_search_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct linkfs_setattr shut = {.valid = LINKFS_SET_MODE, .mode = 0700};
	struct linkfs_setattr listed = {.valid = LINKFS_SET_MODE, .mode = 0744};
	struct linkfs_setattr searched = {.valid = LINKFS_SET_MODE, .mode = 0711};
	make(f, "shut", S_IFDIR | 0755);
	make(f, "shut/open", S_IFDIR | 0755);
	make(f, "file", S_IFREG | 0644);
	link_at(f, "file", "shut/one");
	link_at(f, "file", "shut/open/two");
	names_of(f, &user, "file", "/file /shut/one /shut/open/two", 0);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "shut", 0, &shut), 0);
	names_of(f, &user, "file", "/file", 2);
	names_of(f, NULL, "file", "/file /shut/one /shut/open/two", 0);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "shut", 0, &listed), 0);
	names_of(f, &user, "file", "/file", 2);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "shut", 0, &searched), 0);
	names_of(f, &user, "file", "/file /shut/one /shut/open/two", 0);
}

static void an_unlinked_open_file_has_none(void **state)
{
	struct fixture *f = *state;
	struct linkfs_file *file;
	struct words w = {0};
	uint64_t hidden = 9, ino = make(f, "file", S_IFREG | 0644);
	assert_int_equal(linkfs_file_open(f->v, NULL, ROOT, "file", LINKFS_O_READ, 0, &file), 0);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "file"), 0);
	assert_int_equal(linkfs_node_names(f->v, NULL, ino, on_name, &w, &hidden), 0);
	said(&w, "");
	assert_int_equal(hidden, 0);
	linkfs_file_close(file);
	assert_int_equal(linkfs_node_names(f->v, NULL, ino, on_name, &w, &hidden), LINKFS_ESTALE);
}

/* Calls linkfs on the volume that is being asked, and sometimes stops. */
static int counting(void *arg, const struct linkfs_name *name)
{
	struct words *w = arg;
	struct linkfs_stat st;
	assert_int_equal(linkfs_path_stat(w->v, NULL, ROOT, name->path, LINKFS_NOFOLLOW, &st), 0);
	assert_int_equal(linkfs_node_lookup(w->v, NULL, name->dir, name->name, name->name_len, 0, &st), 0);
	w->total += st.ino;
	return ++w->asked == 700 ? w->result : 0;
}

static void many_names_and_callbacks_that_call_and_stop(void **state)
{
	struct fixture *f = *state;
	struct words w = {.v = f->v};
	char path[64];
	uint64_t ino = make(f, "file", S_IFREG | 0644);
	for (int d = 0; d < 4; d++) {
		snprintf(path, sizeof(path), "d%d", d);
		make(f, path, S_IFDIR | 0755);
		for (int i = 0; i < 256; i++) {
			snprintf(path, sizeof(path), "d%d/%d", d, i);
			link_at(f, "file", path);
		}
	}
	assert_int_equal(linkfs_node_names(f->v, NULL, ino, counting, &w, NULL), 0);
	assert_int_equal(w.asked, 1025);
	assert_int_equal(w.total, ino * 1025);
	w = (struct words){.v = f->v, .result = 1};
	assert_int_equal(linkfs_node_names(f->v, NULL, ino, counting, &w, NULL), 0);
	assert_int_equal(w.asked, 700);
	w = (struct words){.v = f->v, .result = LINKFS_EINTR};
	assert_int_equal(linkfs_node_names(f->v, NULL, ino, counting, &w, NULL), LINKFS_EINTR);
	assert_int_equal(w.asked, 700);
}

/* ---- D2 ---- */

static void links_that_end_at_a_file_chains_included(void **state)
{
	struct fixture *f = *state;
	make(f, "d", S_IFDIR | 0755);
	make(f, "d/file", S_IFREG | 0644);
	make(f, "file", S_IFREG | 0644); /* of the same name, elsewhere */
	symlink_at(f, "d/file", "direct");
	symlink_at(f, "direct", "second");
	symlink_at(f, "../second", "d/third");
	symlink_at(f, "/d/third", "fourth");
	symlink_at(f, "d", "dir");
	symlink_at(f, "dir/./file", "by-dir");
	symlink_at(f, "file", "other");
	symlink_at(f, "d/file/", "slash"); /* ENOTDIR */
	symlink_at(f, "file", "d/here");
	link_at(f, "d/here", "there"); /* one symlink, two names: this one leads to /file */
	referrers_of(f, "d/file", NULL, 0, "/by-dir /d/here /d/third /direct /fourth /second");
	referrers_of(f, "file", NULL, 0, "/other /there");
	/* Of a symlink: those that lead through it at their end. */
	referrers_of(f, "direct", NULL, 0, "/d/third /fourth /second");
	referrers_of(f, "d", NULL, 0, "/dir");
	referrers_of(f, "d", NULL, LINKFS_LINKS_THROUGH, "/by-dir /d/third /dir /direct /fourth /second /slash");
	/* A renamed parent changes which, at once. */
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "d", ROOT, "e", 0), 0);
	referrers_of(f, "e/file", NULL, 0, "/e/here");
	symlink_at(f, "e", "d");
	referrers_of(f, "e/file", NULL, 0, "/by-dir /direct /e/here /e/third /fourth /second");
}

static void links_that_end_in_dots_and_slashes(void **state)
{
	struct fixture *f = *state;
	make(f, "a", S_IFDIR | 0755);
	make(f, "a/b", S_IFDIR | 0755);
	symlink_at(f, ".", "a/dot");
	symlink_at(f, "..", "a/b/up");
	symlink_at(f, "../", "a/b/up-slash");
	symlink_at(f, "b/..", "a/down-up");
	symlink_at(f, "b/../.", "a/down-up-dot");
	symlink_at(f, "dot/.", "a/dots");
	symlink_at(f, "/", "a/root");
	symlink_at(f, "../..", "a/b/root");
	symlink_at(f, "/..", "a/above");
	symlink_at(f, "a/b/up", "chain");
	referrers_of(f, "a", NULL, 0, "/a/b/up /a/b/up-slash /a/dot /a/dots /a/down-up /a/down-up-dot /chain");
	referrers_of(f, "/", NULL, 0, "/a/above /a/b/root /a/root");
}

static void absolute_texts_where_the_volume_is_mounted(void **state)
{
	struct fixture *f = *state;
	make(f, "file", S_IFREG | 0644);
	make(f, "mnt", S_IFDIR | 0755);
	symlink_at(f, "/file", "plain");
	symlink_at(f, "/mnt/vol/file", "mounted");
	symlink_at(f, "/mnt/../mnt//vol/./file", "around");
	symlink_at(f, "../../mnt/vol/file", "over");
	symlink_at(f, "../vol/file", "mnt/in");
	symlink_at(f, "../vol/file", "beside");
	symlink_at(f, "/mnt/vol", "root");
	symlink_at(f, "..", "up");
	referrers_of(f, "file", NULL, 0, "/plain");
	referrers_of(f, "file", "/", 0, "/plain");
	referrers_of(f, "file", "/mnt/vol", 0, "/around /beside /mounted /over");
	referrers_of(f, "file", "//mnt//vol/", 0, "/around /beside /mounted /over");
	referrers_of(f, "/", "/mnt/vol", 0, "/root");
	referrers_of(f, "/", NULL, 0, "/up");
	struct linkfs_links_options options = {.mounted_at = "mnt/vol"};
	assert_int_equal(linkfs_node_referrers(f->v, NULL, ROOT, &options, on_referrer, NULL), LINKFS_EINVAL);
	options.mounted_at = "/mnt/../vol";
	assert_int_equal(linkfs_node_referrers(f->v, NULL, ROOT, &options, on_referrer, NULL), LINKFS_EINVAL);
}

static int count_referrer(void *arg, const struct linkfs_referrer *r)
{
	struct words *w = arg;
	(void)r;
	w->asked++;
	return 0;
}

/* A tree too large to be searched for links that climb out of it, and more links than one slice takes. */
static void a_large_directory(void **state)
{
	struct fixture *f = *state;
	struct linkfs_links_options options = {.flags = LINKFS_LINKS_THROUGH};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct words w = {0};
	char name[32];
	uint64_t dir = make(f, "d", S_IFDIR | 0755), sub = make(f, "d/sub", S_IFDIR | 0755);
	make(f, "file", S_IFREG | 0644);
	for (int i = 0; i < 4500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(linkfs_node_make(f->v, NULL, sub, name, strlen(name), &how, 0, NULL), 0);
	}
	for (int i = 0; i < 700; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		assert_int_equal(linkfs_node_symlink(f->v, NULL, i % 2 ? dir : sub, name, strlen(name),
						     i % 2 ? "../file" : "../../file", i % 2 ? 7 : 10, 0, NULL),
				 0);
	}
	assert_int_equal(linkfs_node_referrers(f->v, NULL, dir, &options, count_referrer, &w), 0);
	assert_int_equal(w.asked, 350); /* those in sub; those in d start there and do not come to it */
	assert_int_equal(linkfs_path_referrers(f->v, NULL, ROOT, "file", 0, NULL, NULL, count_referrer, &w), 0);
	assert_int_equal(w.asked, 350 + 700);
	make(f, "deep", S_IFDIR | 0755);
	struct words moved = {0};
	symlink_at(f, "file", "d/only");
	assert_int_equal(
		linkfs_path_impact_rename(f->v, NULL, ROOT, "d/only", ROOT, "deep/only", NULL, on_impact, &moved), 0);
	said(&moved, "");
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "d/only", ROOT, "only", NULL, on_impact, &moved),
			 0);
	said(&moved, "/d/only:ENOENT:ok");
}

static void the_caller_learns_only_what_he_may_walk(void **state)
{
	struct fixture *f = *state;
	struct words w = {0};
	make(f, "shut", S_IFDIR | 0700);
	make(f, "file", S_IFREG | 0644);
	symlink_at(f, "file", "seen");
	symlink_at(f, "../file", "shut/hidden");
	symlink_at(f, "shut/hidden", "through-shut");
	symlink_at(f, "shut/none", "lost");
	assert_int_equal(linkfs_path_referrers(f->v, &user, ROOT, "file", 0, NULL, NULL, on_referrer, &w), 0);
	said(&w, "/seen");
	assert_int_equal(linkfs_path_dangling(f->v, &user, ROOT, "/", NULL, on_dangling, &w), 0);
	said(&w, "");
	assert_int_equal(linkfs_path_impact_remove(f->v, &user, ROOT, "file", NULL, on_impact, &w), 0);
	said(&w, "/seen:ok:ENOENT");
	assert_int_equal(linkfs_path_referrers(f->v, NULL, ROOT, "file", 0, NULL, NULL, on_referrer, &w), 0);
	said(&w, "/seen /shut/hidden /through-shut");
}

/* ---- D3 ---- */

static void dangling_links_and_the_component_at_fault(void **state)
{
	struct fixture *f = *state;
	struct linkfs_links_options mounted = {.mounted_at = "/mnt"};
	struct words w = {0};
	make(f, "d", S_IFDIR | 0755);
	make(f, "d/file", S_IFREG | 0644);
	symlink_at(f, "d/file", "good");
	symlink_at(f, "d/none", "gone");
	symlink_at(f, "d/no/where", "nodir");
	symlink_at(f, "good/x", "notdir");
	symlink_at(f, "d/file/", "slash");
	symlink_at(f, "self", "self");
	symlink_at(f, "gone", "d/chain");
	symlink_at(f, "../gone", "d/chained");
	symlink_at(f, "/etc/passwd", "d/out");
	symlink_at(f, "../../d/file", "d/over");
	assert_int_equal(linkfs_path_dangling(f->v, NULL, ROOT, "/", NULL, on_dangling, &w), 0);
	said(&w, "/d/chain:ENOENT:/d|gone /d/chained:ENOENT:/d|none /d/out:ENOENT:/|etc /gone:ENOENT:/d|none "
		 "/nodir:ENOENT:/d|no /notdir:ENOTDIR:/d|file /self:ELOOP:/|self /slash:ENOTDIR:/d|file");
	assert_int_equal(linkfs_path_dangling(f->v, NULL, ROOT, "d", NULL, on_dangling, &w), 0);
	said(&w, "/d/chain:ENOENT:/d|gone /d/chained:ENOENT:/d|none /d/out:ENOENT:/|etc");
	assert_int_equal(linkfs_path_dangling(f->v, NULL, ROOT, "d", &mounted, on_dangling, &w), 0);
	said(&w, "/d/chain:ENOENT:/d|gone /d/chained:ENOENT:/d|none /d/out:EXDEV:|etc /d/over:EXDEV:|d");
	assert_int_equal(linkfs_path_dangling(f->v, NULL, ROOT, "d/file", NULL, on_dangling, &w), LINKFS_ENOTDIR);
}

static void what_a_removal_would_do(void **state)
{
	struct fixture *f = *state;
	struct words w = {0};
	make(f, "d", S_IFDIR | 0755);
	make(f, "d/file", S_IFREG | 0644);
	link_at(f, "d/file", "second");
	symlink_at(f, "d/file", "l");
	symlink_at(f, "l", "chain");
	symlink_at(f, "second", "other");
	symlink_at(f, "file", "d/in");
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "d/file", NULL, on_impact, &w), 0);
	said(&w, "/chain:ok:ENOENT /d/in:ok:ENOENT /l:ok:ENOENT");
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "d", NULL, on_impact, &w), 0);
	said(&w, "/chain:ok:ENOENT /l:ok:ENOENT");
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "l", NULL, on_impact, &w), 0);
	said(&w, "/chain:ok:ENOENT");
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "none", NULL, on_impact, &w), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "l/", NULL, on_impact, &w), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "/", NULL, on_impact, &w), LINKFS_EBUSY);
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "d/..", NULL, on_impact, &w), LINKFS_EBUSY);
}

static void what_a_rename_would_do(void **state)
{
	struct fixture *f = *state;
	struct words w = {0};
	make(f, "p", S_IFDIR | 0755);
	make(f, "p/d", S_IFDIR | 0755);
	make(f, "p/d/file", S_IFREG | 0644);
	make(f, "p/f2", S_IFREG | 0644);
	symlink_at(f, "../f2", "p/d/up");     /* breaks: its directory moves */
	symlink_at(f, "file", "p/d/in");      /* does not care */
	symlink_at(f, "p/d/file", "l");       /* breaks */
	symlink_at(f, "new/file", "waiting"); /* heals */
	symlink_at(f, "d", "p/s");            /* moved by itself below */
	link_at(f, "p/f2", "p/f3");
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p/d", ROOT, "new", NULL, on_impact, &w), 0);
	said(&w, "/l:ok:ENOENT /p/d/up:ok:ENOENT /p/s:ok:ENOENT /waiting:ENOENT:ok");
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p/s", ROOT, "s", NULL, on_impact, &w), 0);
	said(&w, "/p/s:ok:ENOENT");
	/* Another file in the place of what a link leads to: it leads there then. */
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p/f2", ROOT, "p/d/file", NULL, on_impact, &w), 0);
	said(&w, "/l:ok:ok /p/d/in:ok:ok /p/d/up:ok:ENOENT");
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p/f2", ROOT, "p/f3", NULL, on_impact, &w), 0);
	said(&w, "");
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p", ROOT, "p/d/x", NULL, on_impact, &w),
			 LINKFS_EINVAL);
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p/f2", ROOT, "p/d", NULL, on_impact, &w),
			 LINKFS_EISDIR);
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "p/d", ROOT, "l", NULL, on_impact, &w),
			 LINKFS_ENOTDIR);
	make(f, "q", S_IFDIR | 0755);
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "q", ROOT, "p/d", NULL, on_impact, &w),
			 LINKFS_ENOTEMPTY);
	assert_int_equal(linkfs_path_impact_rename(f->v, NULL, ROOT, "q", ROOT, "none/x", NULL, on_impact, &w),
			 LINKFS_ENOENT);
}

/* ---- D4 ---- */

static int on_step(void *arg, const struct linkfs_step *s)
{
	static const char *const kinds[] = {"start", "search", "entry", "dot", "up", "expand", "root", "host", "end"};
	static const char *const deciders[] = {"root", "owner", "acl", "group", "other"};
	struct words *w = arg;
	char buf[256];
	snprintf(buf, sizeof(buf), "%02zu%s", w->asked++, kinds[s->kind]);
	if (s->kind == LINKFS_STEP_SEARCH)
		add(w, "%s=%s%s", buf, deciders[s->decided], s->error ? "!" : "");
	else if (s->kind == LINKFS_STEP_EXPAND)
		add(w, "%s=%s>%s#%u", buf, s->name, s->text ? s->text : "", s->expansions);
	else if (s->kind == LINKFS_STEP_END)
		add(w, "%s=%d/%llu", buf, s->error, (unsigned long long)s->stat.ino);
	else
		add(w, "%s=%s@%s%s", buf, s->name ? s->name : "", s->path ? s->path : "", s->error ? "!" : "");
	return 0;
}

static void explained(struct fixture *f, const struct linkfs_cred *cred, const char *path, const char *mounted_at,
		      const char *expected)
{
	struct linkfs_links_options options = {.mounted_at = mounted_at};
	struct words w = {0};
	assert_int_equal(linkfs_path_explain(f->v, cred, ROOT, path, 0, &options, on_step, &w), 0);
	said(&w, expected);
}

static void a_walk_step_by_step(void **state)
{
	struct fixture *f = *state;
	struct linkfs_cred member = {.uid = 1000, .gid = 1000};
	struct linkfs_setattr owned = {
		.valid = LINKFS_SET_UID | LINKFS_SET_GID | LINKFS_SET_MODE, .uid = 1000, .mode = 0600};
	struct linkfs_setattr grouped = {.valid = LINKFS_SET_GID, .gid = 1000};
	make(f, "d", S_IFDIR | 0755);      /* 2 */
	make(f, "d/file", S_IFREG | 0644); /* 3 */
	symlink_at(f, "/d", "l");          /* 4 */
	symlink_at(f, "self", "self");     /* 5 */
	explained(f, NULL, "l/../d/./file", NULL,
		  "00start=@/ 01search=root 02entry=l@ 03expand=l>/d#1 04root=@/ 05search=root 06entry=d@/d "
		  "07search=root "
		  "08up=..@/ 09search=root 10entry=d@/d 11search=root 12dot=.@ 13search=root 14entry=file@ 15end=0/3");
	explained(f, NULL, "none/x", NULL, "00start=@/ 01search=root 02entry=none@! 03end=-2/0");
	explained(f, NULL, "d/file/x", NULL,
		  "00start=@/ 01search=root 02entry=d@/d 03search=root 04entry=file@ 05end=-20/0");
	explained(f, NULL, "", NULL, "00end=-2/0");
	explained(f, NULL, "/", NULL, "00start=@/ 01end=0/1");
	explained(f, NULL, "l/file", "/mnt",
		  "00start=@/ 01search=root 02entry=l@ 03expand=l>/d#1 04root=@ 05host=d@! 06end=-18/0");
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &grouped), 0);
	explained(f, &member, "d/file", NULL,
		  "00start=@/ 01search=other 02entry=d@/d 03search=group 04entry=file@ 05end=0/3");
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &owned), 0);
	explained(f, &member, "d/file", NULL, "00start=@/ 01search=other 02entry=d@/d 03search=owner! 04end=-13/0");
	struct words w = {0};
	assert_int_equal(linkfs_path_explain(f->v, NULL, ROOT, "self", LINKFS_NOFOLLOW, NULL, on_step, &w), 0);
	said(&w, "00start=@/ 01search=root 02entry=self@ 03end=0/5");
}

/* All of it on a volume that is only read. */
static void a_volume_opened_read_only(void **state)
{
	struct fixture *f = *state;
	make(f, "file", S_IFREG | 0644);
	symlink_at(f, "file", "l");
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, LINKFS_OPEN_READONLY);
	struct words w = {0};
	names_of(f, NULL, "file", "/file", 0);
	referrers_of(f, "file", NULL, 0, "/l");
	assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "file", NULL, on_impact, &w), 0);
	said(&w, "/l:ok:ENOENT");
	assert_int_equal(linkfs_path_dangling(f->v, NULL, ROOT, "/", NULL, on_dangling, &w), 0);
	said(&w, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_name_with_its_whole_path),
		TEST(a_name_where_the_caller_may_not_search_is_not_told),
		TEST(an_unlinked_open_file_has_none),
		TEST(many_names_and_callbacks_that_call_and_stop),
		TEST(links_that_end_at_a_file_chains_included),
		TEST(links_that_end_in_dots_and_slashes),
		TEST(absolute_texts_where_the_volume_is_mounted),
		TEST(a_large_directory),
		TEST(the_caller_learns_only_what_he_may_walk),
		TEST(dangling_links_and_the_component_at_fault),
		TEST(what_a_removal_would_do),
		TEST(what_a_rename_would_do),
		TEST(a_walk_step_by_step),
		TEST(a_volume_opened_read_only),
	};
	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
