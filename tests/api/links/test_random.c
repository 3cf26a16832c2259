/*
 * test_random.c - names, referrers, dangling, impact and explain after each of many random changes, compared with a full scan by the
 * model's own walker (D1-D4): every kind of link text, chains, loops, links and symlinks with several names, moved
 * directories, absolute texts of a volume mounted somewhere, an ordinary user. The same in snapshots, with a scan of when they were taken. LINKFS_TRACE=1
 * prints the changes.
 */
#include "model.h"

#include "volume.h"

#include <linkfs_snapshots.h>

#define MOUNTED_AT "/mnt/vol"
#define MOUNTED_DEEP "/a/mnt/vol"

struct world {
	struct fixture *f;
	struct model m;
	uint64_t tree; /* the bits of the nodes of the snapshot that m is of; 0: m is of now */
	struct lk_test_random random;
	unsigned step;
	unsigned long answers[5]; /* told by names, referrers, dangling, impact, explain */
};

/* An answer: one line of text, and whether it was found by the other side. */
struct lines {
	char **p;
	size_t count, cap;
};

static void add_line(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_line(struct lines *l, const char *format, ...)
{
	va_list ap;
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->p = realloc(l->p, l->cap * sizeof(*l->p));
		assert_non_null(l->p);
	}
	va_start(ap, format);
	assert_true(vasprintf(&l->p[l->count++], format, ap) >= 0);
	va_end(ap);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_lines(struct lines *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->p[i]);
	free(l->p);
	*l = (struct lines){0};
}

static void same_lines(const struct world *w, const char *what, struct lines *got, struct lines *want)
{
	bool same = got->count == want->count;
	if (got->count)
		qsort(got->p, got->count, sizeof(*got->p), compare_lines);
	if (want->count)
		qsort(want->p, want->count, sizeof(*want->p), compare_lines);
	for (size_t i = 0; same && i < got->count; i++)
		same = strcmp(got->p[i], want->p[i]) == 0;
	if (!same) {
		for (size_t i = 0; i < got->count; i++)
			printf("# got  %s\n", got->p[i]);
		for (size_t i = 0; i < want->count; i++)
			printf("# want %s\n", want->p[i]);
		fail_msg("seed %llu, step %u: %s differs from a full scan", (unsigned long long)lk_test_seed(), w->step,
			 what);
	}
	free_lines(got);
	free_lines(want);
}

static uint64_t below(struct world *w, uint64_t limit)
{
	return lk_test_below(&w->random, limit);
}

/* ---- random changes ---- */

static const char *const names[] = {"a", "b", "c", "d", "e", "vol", "mnt"};

static const char *some_name(struct world *w)
{
	return names[below(w, sizeof(names) / sizeof(names[0]))];
}

static void some_text(struct world *w, char out[1024])
{
	static const char *const starts[] = {"/",
					     "//",
					     MOUNTED_AT "/",
					     MOUNTED_DEEP "/",
					     "/a/../a/mnt/vol/",
					     "../../mnt/vol/",
					     "/mnt/./vol/",
					     "/mnt/../mnt//vol/",
					     "../../../vol/"};
	size_t len = 0, parts = below(w, 4) + (below(w, 12) != 0);
	if (below(w, 4) == 0)
		len = (size_t)snprintf(out, 1024, "%s", starts[below(w, sizeof(starts) / sizeof(starts[0]))]);
	for (size_t i = 0; i < parts; i++) {
		uint64_t kind = below(w, 20);
		if (kind == 0 && below(w, 8) == 0) {
			memset(out + len, 'x', 256);
			len += 256;
			out[len] = 0;
		} else {
			len += (size_t)snprintf(out + len, 1024 - len, "%s",
						kind < 5   ? ".."
						: kind < 7 ? "."
							   : some_name(w));
		}
		if (i + 1 < parts || below(w, 8) == 0)
			len += (size_t)snprintf(out + len, 1024 - len, below(w, 10) ? "/" : "//");
	}
	if (len == 0)
		snprintf(out, 1024, "%s", below(w, 2) ? "." : "/");
}

static uint64_t some_dir(struct world *w);

/* A text that leads along what is there, from dir: most of these lead somewhere. */
static void good_text(struct world *w, uint64_t dir, char out[1024])
{
	size_t len = 0, parts = 1 + below(w, 4);
	if (below(w, 4) == 0) {
		len = (size_t)snprintf(out, 1024, "%s/", below(w, 2) ? "" : MOUNTED_AT);
		dir = LINKFS_ROOT_INO;
	}
	for (size_t i = 0; i < parts; i++) {
		const struct node *n = &w->m.nodes[dir];
		bool up = !n->count || below(w, 3) == 0;
		const struct entry *e = up ? NULL : &w->m.entries[n->first + below(w, n->count)];
		len += (size_t)snprintf(out + len, 1024 - len, "%s%s", i ? "/" : "", up ? ".." : e->name);
		dir = up ? n->parent : e->ino;
		if (!S_ISDIR(w->m.nodes[dir].mode)) {
			/* Sometimes on through a symlink. */
			if (S_ISLNK(w->m.nodes[dir].mode) && below(w, 3) == 0)
				snprintf(out + len, 1024 - len, "/%s", some_name(w));
			return;
		}
	}
	if (below(w, 6) == 0)
		snprintf(out + len, 1024 - len, "%s", below(w, 2) ? "/" : "/.");
}

static uint64_t some_dir(struct world *w)
{
	for (int i = 0; w->m.count && i < 20; i++) {
		uint64_t ino = w->m.entries[below(w, w->m.count)].ino;
		if (S_ISDIR(w->m.nodes[ino].mode))
			return ino;
		if (below(w, 20) == 0)
			break;
	}
	return LINKFS_ROOT_INO;
}

static size_t some_entry(struct world *w)
{
	return (size_t)below(w, w->m.count);
}

static void change(struct world *w)
{
	struct linkfs_volume *v = w->f->v;
	uint64_t dir = some_dir(w);
	const char *name = some_name(w);
	const struct entry *e = w->m.count ? &w->m.entries[some_entry(w)] : NULL;
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_setattr attr = {.valid = LINKFS_SET_MODE};
	char text[1024];
	uint64_t kind = below(w, 20);
	int rc = 0;
	/* A tree that is large enough only changes and shrinks. */
	if (w->m.count > 150)
		kind = 12 + below(w, 8);
	if (!e || kind < 3) {
		how.mode = S_IFDIR | 0755;
		rc = linkfs_node_make(v, NULL, dir, name, strlen(name), &how, 0, NULL);
	} else if (kind < 5) {
		rc = linkfs_node_make(v, NULL, dir, name, strlen(name), &how, 0, NULL);
	} else if (kind < 10) {
		if (below(w, 3) == 0)
			some_text(w, text);
		else
			good_text(w, dir, text);
		rc = linkfs_node_symlink(v, NULL, dir, name, strlen(name), text, strlen(text), 0, NULL);
	} else if (kind < 12) {
		rc = linkfs_node_link(v, NULL, e->ino, dir, name, strlen(name), 0, NULL);
	} else if (kind < 15) {
		rc = linkfs_node_rename(v, NULL, e->dir, e->name, strlen(e->name), dir, name, strlen(name),
					below(w, 6) == 0 ? LINKFS_RENAME_EXCHANGE : 0);
	} else if (kind < 17) {
		rc = linkfs_node_unlink(v, NULL, e->dir, e->name, strlen(e->name));
	} else if (kind < 18) {
		rc = linkfs_node_rmdir(v, NULL, e->dir, e->name, strlen(e->name));
	} else {
		attr.mode = (uint32_t[]){0755, 0755, 0711, 0700, 0754}[below(w, 5)];
		rc = S_ISDIR(w->m.nodes[dir].mode) && dir != LINKFS_ROOT_INO
			     ? linkfs_node_setattr(v, NULL, dir, &attr, NULL)
			     : 0;
	}
	if (getenv("LINKFS_TRACE"))
		printf("# %u kind %llu dir %llu %s (%s): %d\n", w->step, (unsigned long long)kind,
		       (unsigned long long)dir, name, e ? e->name : "", rc);
}

/* ---- questions ---- */

/* The number without its tree, which is the one asked about. */
static uint64_t bare(const struct world *w, uint64_t ino)
{
	assert_true(ino == 0 || linkfs_node_tree(ino) == linkfs_node_tree(w->tree));
	return ino - (ino ? w->tree : 0);
}

struct asked {
	struct world *w;
	struct lines got;
	int end;
	uint64_t end_ino;
};

static int got_name(void *arg, const struct linkfs_name *n)
{
	struct asked *a = arg;
	assert_int_equal(strlen(n->path), n->path_len);
	assert_memory_equal(n->path + n->path_len - n->name_len, n->name, n->name_len);
	add_line(&a->got, "%s in %llu", n->path, (unsigned long long)bare(a->w, n->dir));
	return 0;
}

static void ask_names(struct world *w, const struct walker *who, const struct linkfs_cred *cred, uint64_t ino)
{
	struct asked a = {.w = w};
	struct lines want = {0};
	char path[8192];
	uint64_t hidden = 77, want_hidden = 0;
	assert_int_equal(linkfs_node_names(w->f->v, cred, w->tree | ino, got_name, &a, &hidden), 0);
	if (ino == LINKFS_ROOT_INO)
		add_line(&want, "/ in 0");
	for (size_t i = 0; i < w->m.count; i++) {
		if (w->m.entries[i].ino != ino)
			continue;
		model_path(&w->m, who, i, path, sizeof(path));
		if (path[0])
			add_line(&want, "%s in %llu", path, (unsigned long long)w->m.entries[i].dir);
		else
			want_hidden++;
	}
	w->answers[0] += a.got.count;
	same_lines(w, "names", &a.got, &want);
	assert_int_equal(hidden, want_hidden);
}

static int got_referrer(void *arg, const struct linkfs_referrer *r)
{
	struct asked *a = arg;
	assert_int_equal(strlen(r->link.text), r->link.text_len);
	add_line(&a->got, "%s (%llu %s) %d %llu %u", r->link.path, (unsigned long long)bare(a->w, r->link.ino),
		 r->link.text, r->end.error, (unsigned long long)bare(a->w, r->end.ino), r->end.expansions);
	return 0;
}

static bool refers(const struct model *m, const struct walk_end *end, uint64_t ino, bool through)
{
	if (!through && !S_ISLNK(m->nodes[ino].mode))
		return end->error == 0 && end->ino == ino;
	for (size_t i = 0; i < end->narrivals; i++)
		if (end->arrivals[i].ino == ino && (through || end->arrivals[i].last))
			return true;
	return false;
}

static void ask_referrers(struct world *w, const struct walker *who, const struct linkfs_cred *cred, uint64_t ino,
			  bool through)
{
	struct linkfs_links_options options = {.mounted_at = who->mounted_at,
					       .flags = through ? LINKFS_LINKS_THROUGH : 0};
	struct asked a = {.w = w};
	struct lines want = {0};
	struct walk_end end;
	char path[8192];
	assert_int_equal(linkfs_node_referrers(w->f->v, cred, w->tree | ino, &options, got_referrer, &a), 0);
	for (size_t i = 0; i < w->m.count; i++) {
		if (!model_is_link(&w->m, i))
			continue;
		model_follow(&w->m, who, i, &end);
		model_path(&w->m, who, i, path, sizeof(path));
		if (path[0] && refers(&w->m, &end, ino, through))
			add_line(&want, "%s (%llu %s) %d %llu %u", path, (unsigned long long)w->m.entries[i].ino,
				 w->m.nodes[w->m.entries[i].ino].text, end.error, (unsigned long long)end.ino,
				 end.expansions);
	}
	w->answers[1] += a.got.count;
	same_lines(w, through ? "referrers --through" : "referrers", &a.got, &want);
}

static int got_dangling(void *arg, const struct linkfs_dangling *d)
{
	struct asked *a = arg;
	add_line(&a->got, "%s %d", d->link.path, d->end.error);
	return 0;
}

static void ask_dangling(struct world *w, const struct walker *who, const struct linkfs_cred *cred, uint64_t dir)
{
	struct linkfs_links_options options = {.mounted_at = who->mounted_at};
	struct asked a = {.w = w};
	struct lines want = {0};
	struct walk_end end;
	char path[8192];
	assert_int_equal(linkfs_node_dangling(w->f->v, cred, w->tree | dir, &options, got_dangling, &a), 0);
	for (size_t i = 0; i < w->m.count; i++) {
		if (!model_is_link(&w->m, i) || !model_below(&w->m, i, dir))
			continue;
		model_follow(&w->m, who, i, &end);
		model_path(&w->m, who, i, path, sizeof(path));
		if (path[0] && end.error && end.error != LINKFS_EACCES)
			add_line(&want, "%s %d", path, end.error);
	}
	w->answers[2] += a.got.count;
	same_lines(w, "dangling", &a.got, &want);
}

static int got_impact(void *arg, const struct linkfs_impact *i)
{
	struct asked *a = arg;
	add_line(&a->got, "%s: %d %llu -> %d %llu", i->link.path, i->before.error, (unsigned long long)i->before.ino,
		 i->after.error, (unsigned long long)i->after.ino);
	return 0;
}

static void want_impact(struct world *w, const struct walker *who, const struct model *after, struct lines *want)
{
	struct walk_end a, b;
	char path[8192];
	for (size_t i = 0; i < w->m.count; i++) {
		if (!model_is_link(&w->m, i) || after->entries[i].gone)
			continue;
		model_follow(&w->m, who, i, &a);
		model_follow(after, who, i, &b);
		model_path(&w->m, who, i, path, sizeof(path));
		if (path[0] && (a.error == 0 || b.error == 0) && (a.error != b.error || a.ino != b.ino))
			add_line(want, "%s: %d %llu -> %d %llu", path, a.error, (unsigned long long)a.ino, b.error,
				 (unsigned long long)b.ino);
	}
}

static void ask_removal(struct world *w, const struct walker *who, const struct linkfs_cred *cred, size_t entry)
{
	const struct entry *e = &w->m.entries[entry];
	struct linkfs_links_options options = {.mounted_at = who->mounted_at};
	struct asked a = {.w = w};
	struct lines want = {0};
	struct model after;
	int rc = linkfs_node_impact_remove(w->f->v, cred, e->dir, e->name, strlen(e->name), &options, got_impact, &a);
	if (rc == LINKFS_EACCES && who->uid)
		return;
	assert_int_equal(rc, 0);
	model_remove(&w->m, entry, &after);
	want_impact(w, who, &after, &want);
	w->answers[3] += a.got.count;
	same_lines(w, "impact rm", &a.got, &want);
	model_copy_done(&after);
}

static void ask_rename(struct world *w, const struct walker *who, const struct linkfs_cred *cred, size_t entry)
{
	const struct entry *e = &w->m.entries[entry];
	struct linkfs_links_options options = {.mounted_at = who->mounted_at};
	struct asked a = {.w = w};
	struct lines want = {0};
	struct model after;
	uint64_t dir = some_dir(w);
	const char *name = some_name(w);
	int rc = linkfs_node_impact_rename(w->f->v, cred, e->dir, e->name, strlen(e->name), dir, name, strlen(name),
					   &options, got_impact, &a);
	if (rc == LINKFS_EACCES && who->uid)
		return;
	/* It refuses what rename refuses; root's rename is then asked what it does. */
	if (rc) {
		assert_int_equal(rc, linkfs_node_rename(w->f->v, NULL, e->dir, e->name, strlen(e->name), dir, name,
							strlen(name), 0));
		return;
	}
	uint64_t there = 0;
	for (size_t i = 0; i < w->m.nodes[dir].count; i++)
		if (strcmp(w->m.entries[w->m.nodes[dir].first + i].name, name) == 0)
			there = w->m.entries[w->m.nodes[dir].first + i].ino;
	if (there != e->ino) {
		model_rename(&w->m, entry, dir, name, &after);
		want_impact(w, who, &after, &want);
		model_copy_done(&after);
	}
	w->answers[3] += a.got.count;
	same_lines(w, "impact mv", &a.got, &want);
}

static int got_step(void *arg, const struct linkfs_step *step)
{
	struct asked *a = arg;
	a->end = 1;
	if (step->kind == LINKFS_STEP_END) {
		a->end = step->error;
		a->end_ino = bare(a->w, step->stat.ino);
	}
	return 0;
}

static void ask_explain(struct world *w, const struct walker *who, const struct linkfs_cred *cred)
{
	struct linkfs_links_options options = {.mounted_at = who->mounted_at};
	struct asked a = {.w = w};
	struct walk_end end;
	char path[1024];
	uint64_t at = some_dir(w);
	bool follow = below(w, 2);
	if (below(w, 2))
		some_text(w, path);
	else
		good_text(w, at, path);
	assert_int_equal(linkfs_path_explain(w->f->v, cred, w->tree | at, path, follow ? 0 : LINKFS_NOFOLLOW, &options,
					     got_step, &a),
			 0);
	model_walk(&w->m, who, at, path, follow, &end);
	if (a.end != end.error || a.end_ino != end.ino)
		fail_msg("seed %llu, step %u: explain %s from %llu: %d %llu, not %d %llu",
			 (unsigned long long)lk_test_seed(), w->step, path, (unsigned long long)at, a.end,
			 (unsigned long long)a.end_ino, end.error, (unsigned long long)end.ino);
	w->answers[4]++;
}

static void ask(struct world *w)
{
	static const char *const roots[] = {NULL, NULL, MOUNTED_AT, MOUNTED_DEEP};
	struct walker who = {.uid = below(w, 3) ? 0 : 1000, .mounted_at = roots[below(w, 4)]};
	struct linkfs_cred cred = {.uid = who.uid, .gid = who.uid};
	if (!w->m.count)
		return;
	size_t entry = some_entry(w);
	uint64_t ino = below(w, 30) ? w->m.entries[entry].ino : LINKFS_ROOT_INO;
	ask_names(w, &who, &cred, ino);
	ask_referrers(w, &who, &cred, ino, false);
	ask_referrers(w, &who, &cred, ino, true);
	ask_dangling(w, &who, &cred, below(w, 4) ? LINKFS_ROOT_INO : some_dir(w));
	ask_explain(w, &who, &cred);
	if (w->tree)
		return;
	ask_removal(w, &who, &cred, entry);
	ask_rename(w, &who, &cred, entry); /* may change the volume: last */
}

static void answers_equal_a_full_scan(void **state)
{
	struct world w = {.f = *state, .random = {lk_test_seed()}};
	unsigned steps = lk_test_long() ? 20000 : 1000;
	/* A user who owns nothing and some who search nothing need a tree before they matter. */
	for (w.step = 0; w.step < steps; w.step++) {
		model_load(&w.m, w.f->v);
		change(&w);
		model_done(&w.m);
		model_load(&w.m, w.f->v);
		ask(&w);
		model_done(&w.m);
	}
	printf("# %u changes; names told %lu, referrers %lu, dangling %lu, impact %lu, walks explained %lu\n", steps,
	       w.answers[0], w.answers[1], w.answers[2], w.answers[3], w.answers[4]);
	for (size_t i = 0; i < 5; i++)
		assert_true(w.answers[i] > steps / 20);
}

/* ---- snapshots ---- */

#define SNAPSHOTS 6u

struct past {
	char name[32];
	struct model m;
	uint64_t tree;
	bool taken;
};

static int take_root(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

/* Another snapshot in the place of that one, with what the tree is now. */
static void take(struct world *w, struct past *past)
{
	struct linkfs_stat root;
	uint64_t id;
	if (past->taken) {
		assert_int_equal(linkfs_snapshot_delete(w->f->v, NULL, past->name, NULL, NULL, NULL), 0);
		model_done(&past->m);
	}
	snprintf(past->name, sizeof(past->name), "at %u", w->step);
	assert_int_equal(linkfs_snapshot_create(w->f->v, NULL, &(struct linkfs_snapshot_new){.name = past->name}, NULL),
			 0);
	assert_int_equal(linkfs_snapshot_show(w->f->v, past->name, take_root, &id), 0);
	assert_int_equal(linkfs_snapshot_root(w->f->v, id, 0, &root), 0);
	past->tree = root.ino - LINKFS_ROOT_INO;
	model_load(&past->m, w->f->v);
	past->taken = true;
}

static void ask_past(struct world *w, const struct past *past)
{
	struct model now = w->m;
	if (!past->taken)
		return;
	w->m = past->m;
	w->tree = past->tree;
	ask(w);
	w->m = now;
	w->tree = 0;
}

static void answers_of_a_snapshot_are_those_of_then(void **state)
{
	struct world w = {.f = *state, .random = {lk_test_seed()}};
	struct past pasts[SNAPSHOTS] = {{{0}, {0}, 0, false}};
	unsigned steps = lk_test_long() ? 20000 : 1500;
	for (w.step = 0; w.step < steps; w.step++) {
		model_load(&w.m, w.f->v);
		change(&w);
		model_done(&w.m);
		model_load(&w.m, w.f->v);
		if (below(&w, 15) == 0)
			take(&w, &pasts[below(&w, SNAPSHOTS)]);
		if (below(&w, 10) == 0)
			ask(&w);
		ask_past(&w, &pasts[below(&w, SNAPSHOTS)]);
		model_done(&w.m);
	}
	for (size_t i = 0; i < SNAPSHOTS; i++)
		model_done(&pasts[i].m);
	printf("# %u changes; names told %lu, referrers %lu, dangling %lu, walks explained %lu\n", steps, w.answers[0],
	       w.answers[1], w.answers[2], w.answers[4]);
	for (size_t i = 0; i < 5; i++)
		assert_true(i == 3 || w.answers[i] > steps / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(answers_equal_a_full_scan),
					   TEST(answers_of_a_snapshot_are_those_of_then)};
	return cmocka_run_group_tests_name("links-random", tests, NULL, NULL);
}
