/*
 * test_random.c - random names, directory links and binds on a volume and on a model of it that fits on a page: results, the whole
 * tree by every path, link counts, "..", names and check agree (C1 to C3, D1, D6). LINKFS_SEED replays one.
 */
#include "places.h"

#define NODES 48
#define NAMES 6
#define DEPTH 7
#define PATHS 400

struct entry {
	int node, bound; /* -1: none */
};
struct node {
	bool used, dir;
	uint64_t ino;
	struct entry entries[NAMES];
};
static struct node nodes[NODES];
static struct lk_test_random rnd;

static const char *const letters[NAMES] = {"a", "b", "c", "d", "e", "f"};

/* ---- the model -------------------------------------------------------------------------------------------------- */

static int shown(const struct entry *e)
{
	return e->bound >= 0 ? e->bound : e->node;
}

static bool reaches(int from, int to)
{
	if (from == to)
		return true;
	for (int i = 0; nodes[from].dir && i < NAMES; i++) {
		const struct entry *e = &nodes[from].entries[i];
		if (e->node >= 0 && (reaches(e->node, to) || (e->bound >= 0 && reaches(e->bound, to))))
			return true;
	}
	return false;
}

static int count_names(int node, int *binds)
{
	int names = 0;
	*binds = 0;
	for (int d = 0; d < NODES; d++) {
		for (int i = 0; nodes[d].used && nodes[d].dir && i < NAMES; i++) {
			names += nodes[d].entries[i].node == node;
			*binds += nodes[d].entries[i].bound == node;
		}
	}
	return names;
}

static bool is_empty(int node)
{
	for (int i = 0; i < NAMES; i++)
		if (nodes[node].entries[i].node >= 0)
			return false;
	return true;
}

static uint32_t links(int node)
{
	int binds, names = count_names(node, &binds);
	if (!nodes[node].dir)
		return (uint32_t)names;
	int dirs = 0;
	for (int i = 0; i < NAMES; i++)
		dirs += nodes[node].entries[i].node >= 0 && nodes[nodes[node].entries[i].node].dir;
	return (uint32_t)((node ? names : 1) + 1 + dirs);
}

static int new_node(bool dir)
{
	for (int i = 1; i < NODES; i++) {
		if (nodes[i].used)
			continue;
		nodes[i] = (struct node){.used = true, .dir = dir};
		for (int k = 0; k < NAMES; k++)
			nodes[i].entries[k] = (struct entry){-1, -1};
		return i;
	}
	return -1;
}

/* A name that went: what has none goes. */
static void dropped(int node)
{
	int binds;
	if (count_names(node, &binds) == 0)
		nodes[node].used = false;
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

/* A directory by a random path, and one name in it. */
struct where {
	char dir_path[64], path[72];
	int dir, name, through[DEPTH + 1], depth; /* through: the directories on the way, the last included */
	char bind[64];                            /* the path of the innermost bind on the way */
};

static struct where walk_somewhere(void)
{
	struct where w = {.dir_path = "/"};
	uint64_t steps = lk_test_below(&rnd, DEPTH - 1);
	for (uint64_t s = 0; s < steps; s++) {
		int name = (int)lk_test_below(&rnd, NAMES);
		const struct entry *e = &nodes[w.dir].entries[name];
		if (e->node < 0 || !nodes[shown(e)].dir)
			continue;
		size_t len = strlen(w.dir_path);
		(void)snprintf(w.dir_path + len, sizeof(w.dir_path) - len, "%s%s", len > 1 ? "/" : "", letters[name]);
		w.dir = shown(e);
		w.through[++w.depth] = w.dir;
		if (e->bound >= 0)
			memcpy(w.bind, w.dir_path, sizeof(w.bind));
	}
	w.name = (int)lk_test_below(&rnd, NAMES);
	(void)snprintf(w.path, sizeof(w.path), "%s%s%s", w.dir_path, w.dir_path[1] ? "/" : "", letters[w.name]);
	return w;
}

static struct entry *entry_of(const struct where *w)
{
	return &nodes[w->dir].entries[w->name];
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void same(int got, int want, const char *what, const struct where *a, const struct where *b)
{
	if (got != want)
		fail_msg("%s %s %s: %s, not %s", what, a->path, b ? b->path : "", linkfs_error_name(got),
			 linkfs_error_name(want));
}

static void op_make(void)
{
	struct where w = walk_somewhere();
	struct entry *e = entry_of(&w);
	bool dir = lk_test_below(&rnd, 3) != 0;
	struct linkfs_make how = {.mode = dir ? S_IFDIR | 0755u : S_IFREG | 0644u};
	struct linkfs_stat st;
	int node = e->node < 0 ? new_node(dir) : -1;
	if (e->node < 0 && node < 0)
		return;
	int r = linkfs_path_make(v, NULL, ROOT, w.path, &how, &st);
	same(r, e->node < 0 ? 0 : LINKFS_EEXIST, "make", &w, NULL);
	if (r == 0) {
		nodes[node].ino = st.ino;
		e->node = node;
	}
}

static void op_link_directory(void)
{
	struct where from = walk_somewhere(), to = walk_somewhere();
	const struct entry *f = entry_of(&from);
	struct entry *t = entry_of(&to);
	int want = f->node < 0                 ? LINKFS_ENOENT
		   : t->node >= 0              ? LINKFS_EEXIST
		   : !nodes[shown(f)].dir      ? LINKFS_ENOTDIR
		   : reaches(shown(f), to.dir) ? LINKFS_ELOOP
					       : 0;
	same(link_directory(from.path, to.path), want, "link", &from, &to);
	if (want == 0)
		t->node = shown(f);
}

static void op_link_file(void)
{
	struct where from = walk_somewhere(), to = walk_somewhere();
	const struct entry *f = entry_of(&from);
	struct entry *t = entry_of(&to);
	int want = f->node < 0 ? LINKFS_ENOENT : t->node >= 0 ? LINKFS_EEXIST : nodes[shown(f)].dir ? LINKFS_EPERM : 0;
	same(linkfs_path_link(v, NULL, ROOT, from.path, ROOT, to.path, 0), want, "ln", &from, &to);
	if (want == 0)
		t->node = shown(f);
}

static void op_bind(void)
{
	struct where from = walk_somewhere(), to = walk_somewhere();
	const struct entry *f = entry_of(&from);
	struct entry *t = entry_of(&to);
	int want = 0;
	if (f->node < 0 || t->node < 0)
		want = LINKFS_ENOENT;
	else if (t->bound >= 0)
		want = LINKFS_EBUSY;
	else if (nodes[shown(f)].dir != nodes[t->node].dir)
		want = nodes[t->node].dir ? LINKFS_EISDIR : LINKFS_ENOTDIR;
	else if (shown(f) == t->node || reaches(shown(f), to.dir))
		want = LINKFS_ELOOP;
	same(bind_to(from.path, to.path), want, "bind", &from, &to);
	if (want == 0)
		t->bound = shown(f);
}

static void op_unbind(void)
{
	struct where w = walk_somewhere();
	struct entry *e = entry_of(&w);
	same(unbind(w.path), e->node < 0 ? LINKFS_ENOENT : e->bound < 0 ? LINKFS_EINVAL : 0, "unbind", &w, NULL);
	e->bound = -1;
}

static void op_remove(void)
{
	struct where w = walk_somewhere();
	struct entry *e = entry_of(&w);
	bool as_dir = lk_test_below(&rnd, 2);
	int want = 0, binds = 0, node = e->node;
	bool last = node >= 0 && count_names(node, &binds) == 1;
	if (node < 0)
		want = LINKFS_ENOENT;
	else if (nodes[shown(e)].dir != as_dir)
		want = as_dir ? LINKFS_ENOTDIR : LINKFS_EISDIR;
	else if (e->bound >= 0 || (last && binds))
		want = LINKFS_EBUSY;
	else if (as_dir && last && !is_empty(node))
		want = LINKFS_ENOTEMPTY;
	same(as_dir ? linkfs_path_rmdir(v, NULL, ROOT, w.path) : linkfs_path_unlink(v, NULL, ROOT, w.path), want,
	     "remove", &w, NULL);
	if (want == 0) {
		*e = (struct entry){-1, -1};
		dropped(node);
	}
}

static bool passes(const struct where *w, int node)
{
	for (int i = 0; i <= w->depth; i++)
		if (w->through[i] == node)
			return true;
	return false;
}

static void op_rename(void)
{
	struct where from = walk_somewhere(), to = walk_somewhere();
	struct entry *f = entry_of(&from), *t = entry_of(&to);
	int binds = 0, want = 0, old = t->node;
	if (strcmp(from.bind, to.bind) != 0)
		want = LINKFS_EXDEV;
	else if (f->node < 0)
		want = LINKFS_ENOENT;
	else if (old == f->node)
		old = -2; /* two names of one thing: nothing to do */
	else if (f->bound >= 0 || t->bound >= 0)
		want = 1; /* some error: which depends on more than is told here */
	else if (from.dir != to.dir && nodes[f->node].dir && reaches(f->node, to.dir))
		want = passes(&to, f->node) ? 1 : LINKFS_ELOOP;
	else if (from.dir != to.dir && old >= 0 && nodes[old].dir && reaches(old, from.dir))
		want = 1;
	else if (old >= 0 && nodes[old].dir != nodes[f->node].dir)
		want = nodes[old].dir ? LINKFS_EISDIR : LINKFS_ENOTDIR;
	else if (old >= 0 && nodes[old].dir && !is_empty(old))
		want = LINKFS_ENOTEMPTY;
	else if (old >= 0 && count_names(old, &binds) == 1 && (count_names(old, &binds), binds))
		want = LINKFS_EBUSY;
	int r = rename_to(from.path, to.path);
	if (want == 1 ? r == 0 : r != want)
		same(r, want, "rename", &from, &to);
	if (r || old == -2)
		return;
	*t = (struct entry){f->node, -1};
	*f = (struct entry){-1, -1};
	if (old >= 0)
		dropped(old);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static int told; /* paths compared */

static void compare(int dir, int parent, const char *path, int depth)
{
	char want[64] = "", below[128];
	if (++told > PATHS)
		return;
	assert_int_equal(status(path).ino, nodes[dir].ino);
	assert_int_equal(status(path).nlink, links(dir));
	(void)snprintf(below, sizeof(below), "%s/..", path);
	assert_int_equal(status(below).ino, nodes[parent].ino);
	assert_int_equal(listed(path, ".."), nodes[parent].ino);
	for (int i = 0; i < NAMES; i++)
		if (nodes[dir].entries[i].node >= 0)
			(void)snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s", *want ? " " : "",
				       letters[i]);
	assert_string_equal(names_in(path), want);
	for (int i = 0; i < NAMES; i++) {
		const struct entry *e = &nodes[dir].entries[i];
		if (e->node < 0)
			continue;
		(void)snprintf(below, sizeof(below), "%s%s%s", path, path[1] ? "/" : "", letters[i]);
		assert_int_equal(listed(path, letters[i]), nodes[shown(e)].ino);
		if (nodes[shown(e)].dir && depth < DEPTH)
			compare(shown(e), dir, below, depth + 1);
		else if (!nodes[shown(e)].dir)
			assert_int_equal(status(below).nlink, links(shown(e)));
	}
}

/* Every path to node, as the library has them. */
static char want_paths[65536];
static int want_count;

static void collect(int dir, int node, const char *path)
{
	char below[256];
	for (int i = 0; i < NAMES && want_count < PATHS; i++) {
		const struct entry *e = &nodes[dir].entries[i];
		if (e->node < 0)
			continue;
		(void)snprintf(below, sizeof(below), "%s/%s", path, letters[i]);
		if (shown(e) == node) {
			size_t len = strlen(want_paths);
			(void)snprintf(want_paths + len, sizeof(want_paths) - len, "%s%s", len ? " " : "", below);
			want_count++;
		}
		if (nodes[shown(e)].dir)
			collect(shown(e), node, below);
	}
}

static void compare_names(void)
{
	struct where w = walk_somewhere();
	const struct entry *e = entry_of(&w);
	if (e->node < 0)
		return;
	want_paths[0] = 0;
	want_count = 0;
	collect(0, shown(e), "");
	if (want_count < PATHS) /* in the order of letters, which is that of the text */
		assert_string_equal(paths_of(w.path), want_paths);
}

static void random_changes(void **state)
{
	static void (*const ops[])(void) = {op_make,      op_make,   op_make,   op_link_directory, op_link_directory,
					    op_link_file, op_bind,   op_bind,   op_unbind,         op_remove,
					    op_remove,    op_rename, op_rename, op_rename};
	uint64_t count = lk_test_long() ? 100000 : 4000, held[8] = {0};
	(void)state;
	rnd.state = lk_test_seed();
	for (int k = 0; k < NAMES; k++)
		nodes[0].entries[k] = (struct entry){-1, -1};
	nodes[0].used = nodes[0].dir = true;
	nodes[0].ino = ROOT;
	for (uint64_t i = 0; i < count; i++) {
		ops[lk_test_below(&rnd, sizeof(ops) / sizeof(ops[0]))]();
		/* Places that somebody knows, and forgets again. */
		uint64_t slot = lk_test_below(&rnd, 8);
		struct where w = walk_somewhere();
		struct linkfs_stat st;
		if (held[slot])
			linkfs_node_release(v, held[slot], 1);
		held[slot] = linkfs_path_stat(v, NULL, ROOT, w.dir_path, LINKFS_HOLD, &st) == 0 ? st.node : 0;
		compare_names();
		if (i % 40 == 0) {
			told = 0;
			compare(0, 0, "/", 0);
		}
		if (i % 200 == 0)
			check();
		if (i % 500 == 499) {
			for (int k = 0; k < 8; k++) {
				if (held[k])
					linkfs_node_release(v, held[k], 1);
				held[k] = 0;
			}
			assert_int_equal(linkfs_volume_has_places(v), 0);
			reopen();
		}
	}
	told = 0;
	compare(0, 0, "/", 0);
	check();
	for (int k = 0; k < 8; k++)
		if (held[k])
			linkfs_node_release(v, held[k], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_changes, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
