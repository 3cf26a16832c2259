/*
 * test_track_random.c - a random tree with tracked links beside a model of it (D5): names move, are exchanged, replaced, added and removed, of targets,
 * links and the directories above them. After each step every link has the text that the model makes from where both are, of the right
 * length, and leads to the file it tracks; when that is gone, the text it had last.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 150
#define NAMES 150
#define DEPTH_MAX 12

enum kind { FREE, DIRECTORY, PLAIN, LINK };

struct node {
	enum kind kind;
	uint64_t ino;
	int names;  /* how many it has */
	int target; /* LINK: the node; -1: it is gone */
	int by;     /* the name of the target that is used; -1: whichever is seen next */
	char last[LINKFS_PATH_MAX];
};
/* A name in a directory. Name 0 is the root's. */
struct name {
	int node, dir; /* node -1: free; dir: a node */
	char text[16];
};

static struct node nodes[NODES];
static struct name names[NAMES];
static struct lk_test_random rnd;

static int below(int limit)
{
	return (int)lk_test_below(&rnd, (uint64_t)limit);
}

static int first_name(int node)
{
	for (int i = 0; i < NAMES; i++)
		if (names[i].node == node)
			return i;
	fail_msg("node %d has no name", node);
	return 0;
}

static const char *path_of(int name)
{
	static char paths[4][4096];
	static int turn;
	char *path = paths[turn = (turn + 1) % 4], part[4096];
	path[0] = 0;
	for (int at = name; at; at = first_name(names[at].dir)) {
		(void)snprintf(part, sizeof(part), "/%s%s", names[at].text, path);
		(void)snprintf(path, 4096, "%s", part);
	}
	return path[0] ? path : "/";
}

static int depth_of(int name)
{
	int depth = 0;
	for (; name; name = first_name(names[name].dir))
		depth++;
	return depth;
}

static bool is_in(int dir, int node)
{
	for (;;) {
		if (dir == node)
			return true;
		int name = first_name(dir);
		if (!name)
			return false;
		dir = names[name].dir;
	}
}

/* From the directory of one name to another name, or to the directory itself that is above. */
static void relative(int link_name, int target_name, char *out)
{
	char rest[4096] = "", part[4200];
	int up = names[link_name].dir, ups = 0, name = target_name, node = names[target_name].node;
	/* Down from the nearest directory above the link that is the target or above it. */
	while (!(nodes[node].kind == DIRECTORY && is_in(up, node))) {
		(void)snprintf(part, sizeof(part), "%s%s%s", names[name].text, rest[0] ? "/" : "", rest);
		(void)snprintf(rest, sizeof(rest), "%.4095s", part);
		node = names[name].dir;
		name = first_name(node);
	}
	for (int at = up; at != node; at = names[first_name(at)].dir)
		ups++;
	out[0] = 0;
	for (int i = 0; i < ups; i++)
		strcat(out, i + 1 < ups || rest[0] ? "../" : "..");
	strcat(out, rest);
	if (!out[0])
		strcpy(out, ".");
}

static int free_node(void)
{
	for (int i = 1; i < NODES; i++)
		if (nodes[i].kind == FREE)
			return i;
	return -1;
}

static int free_name(void)
{
	for (int i = 1; i < NAMES; i++)
		if (names[i].node < 0)
			return i;
	return -1;
}

/* A name of one of the kinds (bits); -1. */
static int any_name(unsigned kinds)
{
	int found[NAMES], n = 0;
	for (int i = 0; i < NAMES; i++)
		if (names[i].node >= 0 && (kinds >> nodes[names[i].node].kind & 1))
			found[n++] = i;
	return n ? found[below(n)] : -1;
}

static int find_name(int dir, const char *text)
{
	for (int i = 1; i < NAMES; i++)
		if (names[i].node >= 0 && names[i].dir == dir && strcmp(names[i].text, text) == 0)
			return i;
	return -1;
}

static void new_text(char *out)
{
	static const char *const words[] = {"a", "b", "cc", "ddd", "e", "longer-name"};
	(void)snprintf(out, 16, "%s%d", words[below(6)], below(4));
}

/* ---- the model changes ------------------------------------------------------------------------------------------- */

static void add_name(int name, int node, int dir, const char *text)
{
	names[name].node = node;
	names[name].dir = dir;
	(void)snprintf(names[name].text, sizeof(names[name].text), "%s", text);
	nodes[node].names++;
}

/* The name goes, and with the last one the node; links that used the name take another. */
static void drop_name(int name)
{
	int node = names[name].node;
	names[name].node = -1;
	bool gone = --nodes[node].names == 0;
	for (int i = 1; i < NODES; i++) {
		struct node *l = &nodes[i];
		if (l->kind != LINK || l->target != node)
			continue;
		if (gone)
			l->target = -1;
		else if (l->by == name)
			l->by = -1;
	}
	if (gone)
		nodes[node].kind = FREE;
}

static bool is_empty(int dir)
{
	for (int i = 1; i < NAMES; i++)
		if (names[i].node >= 0 && names[i].dir == dir)
			return false;
	return true;
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

static char place_path[4096];

/* A place that may be free: a directory and a name in it. */
static const char *place(int *dir_out, char *text)
{
	int dir_name;
	do
		dir_name = any_name(1u << DIRECTORY);
	while (depth_of(dir_name) > DEPTH_MAX);
	*dir_out = names[dir_name].node;
	new_text(text);
	(void)snprintf(place_path, sizeof(place_path), "%s/%s", path_of(dir_name), text);
	return place_path;
}

static void make(enum kind kind)
{
	char text[16];
	int dir, node = free_node(), name = free_name();
	const char *path = place(&dir, text);
	struct linkfs_make how = {.mode = kind == DIRECTORY ? S_IFDIR | 0777 : S_IFREG | 0666};
	struct linkfs_stat st;
	if (node < 0 || name < 0)
		return;
	int r = linkfs_path_make(v, NULL, ROOT, path, &how, &st);
	assert_int_equal(r, find_name(dir, text) >= 0 ? LINKFS_EEXIST : 0);
	if (r)
		return;
	nodes[node] = (struct node){.kind = kind, .ino = st.ino, .target = -1, .by = -1};
	add_name(name, node, dir, text);
}

static void make_link(void)
{
	char text[16];
	int dir, node = free_node(), name = free_name(), target = any_name(1u << DIRECTORY | 1u << PLAIN);
	const char *path = place(&dir, text);
	bool replace = below(3) == 0;
	struct linkfs_stat st;
	if (node < 0 || name < 0)
		return;
	int there = find_name(dir, text);
	bool exists = there >= 0;
	int want = !exists                                               ? 0
		   : names[there].node == names[target].node || !replace ? LINKFS_EEXIST
		   : nodes[names[there].node].kind == DIRECTORY          ? LINKFS_EISDIR
									 : 0;
	int r = linkfs_path_track(v, NULL, ROOT, path_of(target), ROOT, path, replace ? LINKFS_TRACK_REPLACE : 0, &st);
	assert_int_equal(r, want);
	if (r)
		return;
	if (exists)
		drop_name(there);
	name = free_name();
	node = free_node();
	nodes[node] = (struct node){.kind = LINK, .ino = st.ino, .target = names[target].node, .by = target};
	add_name(name, node, dir, text);
	assert_int_equal(st.size, strlen(text_of(path)));
}

static void more_names(void)
{
	char text[16];
	int dir, name = free_name(), old = any_name(1u << PLAIN);
	const char *path = place(&dir, text);
	if (name < 0 || old < 0)
		return;
	int r = linkfs_path_link(v, NULL, ROOT, path_of(old), ROOT, path, 0);
	assert_int_equal(r, find_name(dir, text) >= 0 ? LINKFS_EEXIST : 0);
	if (r == 0)
		add_name(name, names[old].node, dir, text);
}

static void remove_one(void)
{
	int name = any_name(1u << DIRECTORY | 1u << PLAIN | 1u << LINK);
	if (!name)
		return;
	int node = names[name].node;
	if (nodes[node].kind == DIRECTORY) {
		bool empty = is_empty(node);
		assert_int_equal(linkfs_path_rmdir(v, NULL, ROOT, path_of(name)), empty ? 0 : LINKFS_ENOTEMPTY);
		if (!empty)
			return;
	} else {
		OK(linkfs_path_unlink(v, NULL, ROOT, path_of(name)));
	}
	drop_name(name);
}

static void move_one(void)
{
	char text[16];
	int dir, name = any_name(1u << DIRECTORY | 1u << PLAIN | 1u << LINK);
	const char *path = place(&dir, text);
	int node = names[name].node, there = find_name(dir, text);
	bool is_dir = nodes[node].kind == DIRECTORY;
	if (!name || (is_dir && is_in(dir, node)))
		return;
	bool exchange = below(4) == 0;
	if (there >= 0) {
		int other = names[there].node;
		bool other_dir = nodes[other].kind == DIRECTORY;
		if (other_dir && is_in(names[name].dir, other))
			return;
		if (!exchange && (other_dir != is_dir || (other_dir && !is_empty(other))))
			return;
	}
	int r = move(path_of(name), path, exchange ? LINKFS_RENAME_EXCHANGE : 0);
	assert_int_equal(r, exchange && there < 0 ? LINKFS_ENOENT : 0);
	if (r || (there >= 0 && names[there].node == node))
		return;
	if (exchange) {
		struct name a = names[name];
		names[name].dir = names[there].dir;
		strcpy(names[name].text, names[there].text);
		names[there].dir = a.dir;
		strcpy(names[there].text, a.text);
		return;
	}
	if (there >= 0)
		drop_name(there);
	names[name].dir = dir;
	strcpy(names[name].text, text);
}

/* ---- comparison ------------------------------------------------------------------------------------------------------ */

static void compare_link(int node)
{
	struct node *l = &nodes[node];
	char want[4096];
	int name = first_name(node);
	const char *path = path_of(name), *text = text_of(path);
	if (l->target < 0) {
		assert_string_equal(text, l->last);
		return;
	}
	if (l->by < 0) { /* its name went: any of the others, and that one from now on */
		for (int i = 0; i < NAMES && l->by < 0; i++) {
			if (names[i].node != l->target)
				continue;
			relative(name, i, want);
			if (strcmp(want, text) == 0)
				l->by = i;
		}
		if (l->by < 0)
			fail_msg("%s -> %s: no name of its target", path, text);
	}
	relative(name, l->by, want);
	if (strcmp(text, want) != 0)
		fail_msg("%s -> %s, and not %s", path, text, want);
	assert_int_equal(leads_to(path), nodes[l->target].ino);
	strcpy(l->last, text);
}

struct seen {
	uint64_t inos[NODES];
	int count;
};

static int see(void *arg, const struct linkfs_referrer *r)
{
	struct seen *s = arg;
	if (s->count < NODES)
		s->inos[s->count++] = r->link.ino;
	return 0;
}

/* Who refers to a node: all links that lead there, by a walk through each, and no others. */
static void compare_referrers(int node)
{
	struct seen s = {.count = 0};
	int want = 0;
	OK(linkfs_node_referrers(v, NULL, nodes[node].ino, NULL, see, &s));
	for (int i = 1; i < NODES; i++) {
		bool there = false;
		if (nodes[i].kind != LINK || leads_to(path_of(first_name(i))) != nodes[node].ino)
			continue;
		for (int k = 0; k < s.count; k++)
			there |= s.inos[k] == nodes[i].ino;
		assert_true(there);
		want++;
	}
	assert_int_equal(s.count, want);
}

static void run(unsigned steps)
{
	for (unsigned step = 0; step < steps; step++) {
		int what = below(20);
		if (what < 3)
			make(DIRECTORY);
		else if (what < 5)
			make(PLAIN);
		else if (what < 8)
			make_link();
		else if (what < 9)
			more_names();
		else if (what < 12)
			remove_one();
		else
			move_one();
		for (int i = 1; i < NODES; i++)
			if (nodes[i].kind == LINK)
				compare_link(i);
		if (step % 50 == 0)
			compare_referrers(names[any_name(1u << DIRECTORY | 1u << PLAIN)].node);
		if (step % 500 == 499)
			check();
		if (step % 1000 == 999)
			reopen();
	}
}

static void links_follow_whatever_moves(void **state)
{
	(void)state;
	rnd.state = lk_test_seed();
	for (int i = 0; i < NAMES; i++)
		names[i].node = -1;
	memset(nodes, 0, sizeof(nodes));
	nodes[0] = (struct node){.kind = DIRECTORY, .ino = ROOT, .target = -1, .by = -1};
	add_name(0, 0, 0, "");
	run(lk_test_long() ? 100000 : 2000);
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(links_follow_whatever_moves, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
