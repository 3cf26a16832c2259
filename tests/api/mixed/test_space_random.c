/*
 * test_space_random.c - what deleting a set frees (E2): of a world that is changed at random, with snapshots, sets of snapshots and paths are
 * drawn; what is told of each is compared with a copy of the volume from which exactly that set was deleted: free blocks to the block, content
 * among the metadata to the byte, what stays, and which snapshots and files have it. LINKFS_STEPS=N makes N changes; LINKFS_SEED replays.
 */
#include <txn.h>
#include <volume.h>

#include "world.h"

#include <linkfs_snapshots.h>
#include <linkfs_space.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ITEMS_MAX 8
#define BLOCKS_MAX 100000u
#define B 4096u

/* ---- content of more kinds than the world makes ------------------------------------------------------------------------------ */

static int write_some(uint64_t ino)
{
	static char bytes[9 * B];
	memset(bytes, 'a' + (int)below(20), sizeof(bytes));
	return linkfs_node_write(v, NULL, ino, below(40 * B), bytes, 1 + below(below(2) ? 1500 : sizeof(bytes)), 0,
				 NULL, NULL);
}

static int share_some(uint64_t ino)
{
	struct linkfs_stat from;
	uint64_t done_bytes;
	if (linkfs_path_stat(v, NULL, ROOT, some_path(S_IFREG), LINKFS_NOFOLLOW, &from) || !S_ISREG(from.mode) ||
	    from.ino == ino)
		return 0;
	return linkfs_node_copy_range(v, NULL, from.ino, B * below(8), ino, B * below(30), B * (1 + below(12)),
				      &done_bytes);
}

static int cut(uint64_t ino)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = below(20 * B)};
	return linkfs_node_setattr(v, NULL, ino, &set, NULL);
}

static void change_content(void)
{
	static const uint32_t modes[] = {0, LINKFS_ALLOC_KEEP_SIZE, LINKFS_ALLOC_KEEP_SIZE | LINKFS_ALLOC_PUNCH,
					 LINKFS_ALLOC_ZERO};
	struct linkfs_stat st;
	int r;
	if (linkfs_path_stat(v, NULL, ROOT, some_path(S_IFREG), LINKFS_NOFOLLOW, &st) || !S_ISREG(st.mode))
		return;
	switch (below(5)) {
	case 0:
		r = share_some(st.ino);
		break;
	case 1:
		r = cut(st.ino);
		break;
	case 2:
		r = linkfs_node_allocate(v, NULL, st.ino, modes[below(4)], below(30 * B), 1 + below(9 * B));
		break;
	default:
		r = write_some(st.ino);
		break;
	}
	if (r && r != LINKFS_EINVAL)
		fail_msg("seed %llu, step %lu: content: %s", (unsigned long long)lk_test_seed(), step,
			 linkfs_error_name(r));
}

/* ---- snapshots ---------------------------------------------------------------------------------------------------------------- */

static struct linkfs_snapshot_name {
	uint64_t id;
	char name[32];
} there[200];
static size_t there_count;

static int take_snapshot(void *arg, const struct linkfs_snapshot *s)
{
	(void)arg;
	there[there_count].id = s->id;
	(void)snprintf(there[there_count++].name, sizeof(there[0].name), "%s", s->name);
	return 0;
}

static void list_snapshots(void)
{
	there_count = 0;
	OK(linkfs_snapshot_list(v, take_snapshot, NULL));
}

static int stop_at_once(void *arg, const struct linkfs_snapshot_progress *progress)
{
	(void)arg;
	(void)progress;
	return 1;
}

static void change_snapshots(void)
{
	static unsigned long made;
	char name[32];
	list_snapshots();
	if (there_count < 6) {
		(void)snprintf(name, sizeof(name), "s%lu", ++made);
		OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, NULL));
	} else {
		int r = linkfs_snapshot_delete(v, NULL, there[below(there_count)].name, below(2) ? NULL : stop_at_once,
					       NULL, NULL);
		assert_true(r == 0 || r == LINKFS_EINTR);
	}
}

/* ---- what there is -------------------------------------------------------------------------------------------------------------- */

struct usage {
	uint64_t blocks, inline_bytes;
};

static int add_len(void *arg, const void *record)
{
	*(uint64_t *)arg += ((const struct lk_inline *)record)->content.len;
	return 0;
}

static int is_there(void *arg, const void *record)
{
	(void)record;
	*(bool *)arg = true;
	return 1;
}

static int is_deleting(void *arg, const void *record)
{
	*(bool *)arg |= ((const struct lk_snapshot *)record)->deleting != 0;
	return 0;
}

static void scan_all(enum lk_table_id table, lk_row_fn *fn, void *arg)
{
	struct lk_scan scan = {.table = &lk_tables[table], .index = LK_BY_KEY};
	struct lk_op op;
	OK(lk_op_begin(lk_volume_fs(v), &op, 0));
	OK(lk_op_end(&op, lk_txn_scan(&op, &scan, fn, arg)));
}

/* With no deletion under way, and nothing left of files without a name. */
static struct usage usage(void)
{
	struct usage u = {0};
	struct linkfs_info info;
	bool deleting = true;
	for (unsigned waits = 0; deleting && waits < 400; waits++) {
		deleting = false;
		scan_all(LK_T_SNAPSHOT, is_deleting, &deleting);
		scan_all(LK_T_DELETED, is_there, &deleting);
		scan_all(LK_T_ORPHAN, is_there, &deleting);
		if (deleting)
			(void)usleep(20000);
	}
	assert_false(deleting);
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_info(v, &info));
	u.blocks = info.data_blocks_used;
	scan_all(LK_T_INLINE, add_len, &u.inline_bytes);
	scan_all(LK_T_INLINE_OLD, add_len, &u.inline_bytes);
	return u;
}

struct blocks {
	uint64_t *p;
	size_t count;
};

static int take_extent(void *arg, const struct linkfs_extent *e)
{
	struct blocks *b = arg;
	for (uint64_t at = 0; at < e->disk_length; at += B) {
		assert_true(b->count < BLOCKS_MAX);
		b->p[b->count++] = (e->disk + at) / B;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void make_set(struct blocks *b)
{
	size_t n = 0;
	qsort(b->p, b->count, sizeof(*b->p), by_number);
	for (size_t i = 0; i < b->count; i++)
		if (i == 0 || b->p[i] != b->p[i - 1])
			b->p[n++] = b->p[i];
	b->count = n;
}

static void add_file(struct blocks *b, uint64_t ino)
{
	uint64_t offset = 0;
	while (offset != UINT64_MAX)
		OK(linkfs_node_extents(v, ino, &offset, take_extent, b));
}

/* Blocks of the files seen whose path is path or below it. */
static void add_seen(struct blocks *b, const char *path)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < seen_count; i++)
		if (S_ISREG(seen[i].st.mode) && strncmp(seen[i].path, path, len) == 0 &&
		    (seen[i].path[len] == '/' || seen[i].path[len] == 0))
			add_file(b, seen[i].st.ino);
}

static uint64_t common(const struct blocks *a, const struct blocks *b)
{
	uint64_t n = 0;
	for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
		n += a->p[i] == b->p[j];
		if (a->p[i] == b->p[j])
			j++;
		else if (a->p[i] > b->p[j]) {
			j++;
			continue;
		}
		i++;
	}
	return n;
}

static uint64_t root_of(uint64_t id)
{
	struct linkfs_stat st;
	OK(linkfs_snapshot_root(v, id, 0, &st));
	return st.node;
}

/* ---- a set ------------------------------------------------------------------------------------------------------------------------ */

struct member {
	char path[4096]; /* empty: a snapshot */
	struct linkfs_snapshot_name snapshot;
	uint64_t dir; /* where the name is; 0: the root */
	char name[256];
};
static struct member members[ITEMS_MAX];
static size_t member_count;
static bool has_paths, has_snapshots;

static void draw(void)
{
	bool paths = below(3), snapshots = !paths || below(2);
	member_count = has_paths = has_snapshots = false;
	list_snapshots();
	for (size_t i = 0; i < there_count && snapshots && member_count < 4; i++)
		if (below(2)) {
			members[member_count++] = (struct member){.snapshot = there[i]};
			has_snapshots = true;
		}
	for (size_t i = below(4); paths && i < 4; i++) {
		struct member *m = &members[member_count];
		struct linkfs_stat st;
		const char *path = below(20) ? some_path(below(2) ? S_IFDIR : 0) : "/", *name;
		size_t len;
		*m = (struct member){.dir = 0};
		if (linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st))
			continue;
		(void)snprintf(m->path, sizeof(m->path), "%s", path);
		if (path[0] && path[1]) {
			OK(linkfs_path_parent(v, NULL, ROOT, path, &m->dir, &name, &len, NULL));
			(void)snprintf(m->name, sizeof(m->name), "%.*s", (int)len, name);
		}
		member_count++;
		has_paths = true;
	}
}

/* As `linkfs rm -r` does. */
static void remove_name(uint64_t dir, const char *name)
{
	struct linkfs_stat st;
	const struct linkfs_entry *e;
	struct linkfs_dir *d;
	size_t len = strlen(name);
	int r = linkfs_path_stat(v, NULL, dir, name, LINKFS_NOFOLLOW, &st);
	if (r == LINKFS_ENOENT || r == LINKFS_ESTALE)
		return;
	OK(r);
	if (!S_ISDIR(st.mode)) {
		r = linkfs_node_unlink(v, NULL, dir, name, len);
		assert_true(r == 0 || r == LINKFS_EBUSY);
		return;
	}
	r = linkfs_node_rmdir(v, NULL, dir, name, len);
	if (r == 0 || r == LINKFS_EBUSY)
		return;
	assert_int_equal(r, LINKFS_ENOTEMPTY);
	OK(linkfs_dir_open(v, NULL, st.ino, ".", &d));
	while (linkfs_dir_read(d, &e) == 0 && e)
		if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0) {
			char copy[256];
			(void)snprintf(copy, sizeof(copy), "%s", e->name);
			remove_name(st.ino, copy);
		}
	linkfs_dir_close(d);
	(void)linkfs_node_rmdir(v, NULL, dir, name, len);
}

static void remove_all(void)
{
	const struct linkfs_entry *e;
	struct linkfs_dir *d;
	OK(linkfs_dir_open(v, NULL, ROOT, "/", &d));
	while (linkfs_dir_read(d, &e) == 0 && e)
		if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0) {
			char copy[256];
			(void)snprintf(copy, sizeof(copy), "%s", e->name);
			remove_name(ROOT, copy);
		}
	linkfs_dir_close(d);
}

/* In any order. */
static void delete_set(void)
{
	for (size_t i = member_count; i > 0; i--) {
		size_t k = below(i);
		struct member m = members[k];
		members[k] = members[i - 1];
		members[i - 1] = m;
		if (!m.path[0])
			OK(linkfs_snapshot_delete(v, NULL, m.snapshot.name, NULL, NULL, NULL));
		else if (m.dir)
			remove_name(m.dir, m.name);
		else
			remove_all();
	}
}

/* ---- asked ---------------------------------------------------------------------------------------------------------------------------- */

static struct with {
	uint64_t snapshot, ino, bytes;
	char *name;
} withs[20000];
static size_t with_count;

static int on_with(void *arg, const struct linkfs_space_with *w)
{
	(void)arg;
	assert_true(with_count < sizeof(withs) / sizeof(withs[0]));
	withs[with_count++] =
		(struct with){w->snapshot, w->ino, w->bytes, w->name ? strndup(w->name, w->name_len) : NULL};
	return 0;
}

static uint64_t with_of(uint64_t snapshot, uint64_t ino)
{
	for (size_t i = 0; i < with_count; i++)
		if (withs[i].snapshot == snapshot && withs[i].ino == ino)
			return withs[i].bytes;
	return 0;
}

static void ask(uint32_t flags, linkfs_space_with_fn *with, struct linkfs_space_sum *out)
{
	struct linkfs_space_item items[ITEMS_MAX];
	struct linkfs_space_question q = {.items = items, .item_count = member_count, .flags = flags, .with = with};
	struct linkfs_space *space;
	for (size_t i = 0; i < member_count; i++)
		items[i] = (struct linkfs_space_item){members[i].snapshot.id, ROOT, members[i].path};
	OK(linkfs_space_open(v, &space));
	OK(linkfs_space_ask(space, NULL, &q, out));
	linkfs_space_close(space);
}

#define SAME(what, got, want)                                                                                          \
	do {                                                                                                           \
		unsigned long long got_ = (got), want_ = (want);                                                       \
		if (got_ != want_)                                                                                     \
			wrong(what, got_, want_);                                                                      \
	} while (0)

static void wrong(const char *what, unsigned long long got, unsigned long long want)
{
	for (size_t i = 0; i < member_count; i++)
		print_message("# %s %s\n", members[i].path[0] ? "path" : "snapshot",
			      members[i].path[0] ? members[i].path : members[i].snapshot.name);
	fail_msg("seed %llu, step %lu: %s is told as %llu and is %llu", (unsigned long long)lk_test_seed(), step, what,
		 got, want);
}

static struct blocks of_set, of_other;
static unsigned long sets, nonzero, with_told;

/* The copy has lost the set: what of it do others have? */
static void compare_with(void)
{
	list_snapshots();
	for (size_t i = 0; i < there_count; i++) {
		of_other.count = 0;
		look_at(root_of(there[i].id));
		add_seen(&of_other, "");
		make_set(&of_other);
		SAME("what a snapshot has", with_of(there[i].id, 0) / B, common(&of_set, &of_other));
	}
	look();
	for (size_t i = 0; i < seen_count; i++) {
		if (!S_ISREG(seen[i].st.mode))
			continue;
		of_other.count = 0;
		add_file(&of_other, seen[i].st.ino);
		make_set(&of_other);
		SAME("what a file has", with_of(0, seen[i].st.ino) / B, common(&of_set, &of_other));
	}
	for (size_t i = 0; i < with_count; i++) {
		struct linkfs_stat st;
		if (withs[i].snapshot || !withs[i].name)
			continue;
		OK(linkfs_path_stat(v, NULL, ROOT, withs[i].name, LINKFS_NOFOLLOW, &st));
		SAME("the file of a path", withs[i].ino, st.ino);
	}
	with_told += with_count;
}

static uint64_t binds;
static bool deep; /* what stays is compared too: not where binds hide or show files, nor with paths by the thousand */

/* ---- files without a name --------------------------------------------------------------------------------------------------------------- */

static struct linkfs_file *held[4];
static size_t held_count;

/* Some files lose a name: those without another one are still open, or kept by keep-deleted. */
static void lose_names(bool keep)
{
	OK(linkfs_volume_set_property(v, NULL, "keep-deleted", keep ? "1d" : "off", NULL));
	for (size_t i = 0; i < 4; i++) {
		const char *path = some_path(S_IFREG);
		if (!keep &&
		    linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_READ | LINKFS_O_NOFOLLOW, 0, &held[held_count]) == 0)
			held_count++;
		(void)linkfs_path_unlink(v, NULL, ROOT, path);
	}
	look();
}

static void let_go(void)
{
	while (held_count)
		linkfs_file_close(held[--held_count]);
	OK(linkfs_volume_set_property(v, NULL, "keep-deleted", "off", NULL));
}

static void compare_set(void)
{
	struct linkfs_space_sum plain, full, whole, open_or_kept;
	struct usage before, after;
	for (size_t i = 0; i < with_count; i++)
		free(withs[i].name);
	with_count = 0;
	ask(0, NULL, &open_or_kept);
	let_go();
	ask(0, NULL, &plain);
	SAME("exclusive beside files without a name", open_or_kept.exclusive, plain.exclusive);
	ask(LINKFS_SPACE_FULL, NULL, &full);
	ask(0, on_with, &whole);
	SAME("exclusive in full", full.exclusive, plain.exclusive);
	SAME("exclusive with whom", whole.exclusive, plain.exclusive);
	SAME("shared with whom", whole.shared, full.shared);
	if (!has_snapshots)
		SAME("shared of paths", plain.shared, full.shared);
	of_set.count = 0;
	for (size_t i = 0; i < member_count && deep; i++) {
		if (members[i].path[0])
			look();
		else
			look_at(root_of(members[i].snapshot.id));
		add_seen(&of_set, members[i].path[0] && members[i].path[1] ? members[i].path : "");
	}
	make_set(&of_set);
	before = usage();
	delete_set();
	after = usage();
	SAME("blocks that come back", (plain.exclusive - plain.inline_bytes) / B, before.blocks - after.blocks);
	SAME("inline bytes that come back", plain.inline_bytes, before.inline_bytes - after.inline_bytes);
	SAME("blocks in parts", (plain.exclusive - plain.inline_bytes) % B, 0);
	if (deep) {
		uint64_t stay = of_set.count - (before.blocks - after.blocks);
		if (full.shared < stay * B || full.shared - stay * B > after.inline_bytes)
			wrong("what stays", full.shared, stay * B);
		if (full.shared - stay * B < B)
			compare_with();
	}
	sets++;
	nonzero += plain.exclusive != 0;
}

static int count_bind(void *arg, const void *record)
{
	(void)record;
	++*(uint64_t *)arg;
	return 0;
}

static void compare_on_copy(void)
{
	char copy[4200], command[9000];
	uint64_t state = rnd.state;
	binds = 0;
	scan_all(LK_T_BIND, count_bind, &binds);
	scan_all(LK_T_BIND_OLD, count_bind, &binds);
	/* A deletion that waits goes on in the copy when it is opened, and may be over before it is looked at, or not. */
	OK(linkfs_volume_close(v));
	(void)snprintf(copy, sizeof(copy), "%s.copy", world_path());
	(void)snprintf(command, sizeof(command), "cp -r --sparse=always '%s' '%s'", world_path(), copy);
	assert_int_equal(system(command), 0);
	if (below(4) == 0) { /* a host where nobody can read beside the owner (T5) */
		char shm[4300];
		(void)snprintf(shm, sizeof(shm), "%s/meta.db-shm", copy);
		(void)unlink(shm);
		assert_int_equal(mkdir(shm, 0700), 0);
	}
	OK(linkfs_volume_open(copy, NULL, &v, NULL));
	look();
	if (below(2))
		lose_names(below(2));
	draw();
	deep = binds == 0 && seen_count < 500;
	compare_set();
	if (sets % 10 == 0)
		check();
	OK(linkfs_volume_close(v));
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", copy);
	assert_int_equal(system(command), 0);
	OK(linkfs_volume_open(world_path(), NULL, &v, NULL));
	rnd.state = state + 1;
	look();
}

static void run(void)
{
	const char *steps = getenv("LINKFS_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10) / 2 : 800;
	rnd.state = lk_test_seed();
	of_set.p = calloc(BLOCKS_MAX, sizeof(*of_set.p));
	of_other.p = calloc(BLOCKS_MAX, sizeof(*of_other.p));
	assert_true(of_set.p && of_other.p);
	sets = nonzero = with_told = 0;
	print_message("# seed %llu, %lu changes\n", (unsigned long long)lk_test_seed(), count);
	for (step = 1; step <= count; step++) {
		if (step % 20 == 1 || multiplied)
			look();
		(void)change();
		change_content();
		change_content();
		if (below(20) == 0)
			change_snapshots();
		if (step > 60 && below(20) == 0)
			compare_on_copy();
	}
	print_message("# %lu sets, %lu of them with something to free; %lu times something was told to have a part\n",
		      sets, nonzero, with_told);
	assert_true(sets > 8 && nonzero > sets / 3 && (places || with_told > sets));
	free(of_set.p);
	free(of_other.p);
}

static void links_of_all_kinds(void **state)
{
	(void)state;
	places = true;
	run();
}

static void without_binds_and_directory_links(void **state)
{
	(void)state;
	places = false;
	run();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(links_of_all_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(without_binds_and_directory_links, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
