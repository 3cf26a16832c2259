/*
 * test_random.c - random work with deleted files kept, while handles come and go (E9): what a model says is there is there; every inode
 * without a name is accounted for; and after the process is killed, the same, with nothing lost that a sync acknowledged.
 */
#include "kept.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMES 12u
#define DIRS 3u
#define HANDLES 4u

/* What each name should hold: the number of the file, 0 for none. Each file's content is its number. */
struct model {
	uint64_t name[DIRS][NAMES];
	bool dir[DIRS]; /* directory 0 is the root */
	struct linkfs_file *handle[HANDLES];
};

static void path_of(char out[32], uint32_t dir, uint32_t name)
{
	if (dir)
		(void)snprintf(out, 32, "d%u/n%u", dir, name);
	else
		(void)snprintf(out, 32, "n%u", name);
}

static bool dir_empty(const struct model *m, uint32_t dir)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		if (m->name[dir][i])
			return false;
	}
	return true;
}

static void make_file(struct world *w, struct model *m, uint32_t dir, uint32_t name, uint64_t size)
{
	char path[32];
	path_of(path, dir, name);
	uint64_t ino = put(w, path, NULL);
	uint64_t content[1024];
	for (size_t i = 0; i < LK_ARRAY_LEN(content); i++)
		content[i] = ino;
	world_write(w, ino, 0, content, size & ~UINT64_C(7));
	m->name[dir][name] = ino;
}

static bool holds(struct world *w, uint64_t ino)
{
	uint64_t got[1024];
	size_t n = 0;
	if (linkfs_node_read(w->volume, ino, 0, got, sizeof(got), &n) || n < 8)
		return false;
	for (size_t i = 0; i < n / 8; i++) {
		if (got[i] != ino)
			return false;
	}
	return true;
}

/* A random deletion is given back at its own place, or given up. */
static void undelete(struct world *w, struct model *m, struct lk_test_random *random, bool purge)
{
	const struct deletions *all = list(w, NULL, NULL);
	if (!all->count)
		return;
	const struct linkfs_deleted d = all->row[lk_test_below(random, all->count)];
	uint32_t dir = 0, name = 0;
	if (purge) {
		assert_int_equal(linkfs_deleted_purge(w->volume, NULL, d.time_ns), 0);
		return;
	}
	uint32_t i = 0;
	while (all->row[i].time_ns != d.time_ns)
		i++;
	const char *path = all->path[i];
	bool is_dir = sscanf(path, "/d%u/n%u", &dir, &name) != 2 && sscanf(path, "/n%u", &name) != 1 &&
		      sscanf(path, "/d%u", &dir) == 1;
	bool known = path[0] == '/';
	if (strncmp(path, "/back", 5) == 0)
		return; /* the kill test's own */
	int r = restore(w, d.time_ns);
	if (!known) {
		assert_int_equal(r, LINKFS_ESTALE);
	} else if (is_dir) {
		assert_int_equal(r, m->dir[dir] ? LINKFS_EEXIST : 0);
		m->dir[dir] = true;
	} else if (d.flags & LINKFS_DELETED_DIR_KEPT) {
		/* Its directory comes with it, unless another has that name. */
		assert_int_equal(r, m->dir[dir] ? LINKFS_EEXIST : 0);
		if (r == 0) {
			m->dir[dir] = true;
			m->name[dir][name] = d.ino;
		}
	} else if (m->name[dir][name] && m->name[dir][name] != d.ino) {
		assert_int_equal(r, LINKFS_EEXIST);
	} else {
		assert_int_equal(r, 0);
		m->name[dir][name] = d.ino;
	}
}

static void work(struct world *w, struct model *m, struct lk_test_random *random)
{
	uint32_t dir = (uint32_t)lk_test_below(random, DIRS), name = (uint32_t)lk_test_below(random, NAMES);
	uint32_t to_dir = (uint32_t)lk_test_below(random, DIRS), to = (uint32_t)lk_test_below(random, NAMES);
	char path[32], other[32], dir_path[16];
	path_of(path, dir, name);
	path_of(other, to_dir, to);
	(void)snprintf(dir_path, sizeof(dir_path), "d%u/", dir);
	if (!m->dir[dir]) {
		if (lk_test_below(random, 3) == 0) {
			put(w, dir_path, NULL);
			m->dir[dir] = true;
		}
		return;
	}
	struct linkfs_file **h = &m->handle[lk_test_below(random, HANDLES)];
	switch (lk_test_below(random, 12)) {
	case 0:
	case 1:
	case 2:
		if (!m->name[dir][name])
			make_file(w, m, dir, name, 8 + lk_test_below(random, lk_test_below(random, 2) ? 8000 : 500));
		break;
	case 3:
	case 4:
		if (m->name[dir][name])
			take(w, path);
		m->name[dir][name] = 0;
		break;
	case 5:
		if (m->name[dir][name] && m->dir[to_dir] && !m->name[to_dir][to]) {
			tie(w, path, other);
			m->name[to_dir][to] = m->name[dir][name];
		}
		break;
	case 6:
		if (m->name[dir][name] && m->dir[to_dir] && m->name[dir][name] != m->name[to_dir][to]) {
			move(w, path, other);
			m->name[to_dir][to] = m->name[dir][name];
			m->name[dir][name] = 0;
		}
		break;
	case 7:
		if (dir && dir_empty(m, dir)) {
			take(w, dir_path);
			m->dir[dir] = false;
		}
		break;
	case 8:
		linkfs_file_close(*h);
		*h = NULL;
		if (m->name[dir][name])
			assert_int_equal(linkfs_file_open(w->volume, NULL, 1, path, LINKFS_O_READ, 0, h), 0);
		break;
	case 9:
		undelete(w, m, random, true);
		break;
	default:
		undelete(w, m, random, false);
		break;
	}
}

static void compare(struct world *w, const struct model *m)
{
	char path[32];
	for (uint32_t d = 0; d < DIRS; d++) {
		for (uint32_t n = 0; n < NAMES; n++) {
			path_of(path, d, n);
			if (!m->dir[d])
				continue;
			assert_int_equal(at(w, path), m->name[d][n]);
			if (m->name[d][n])
				assert_true(holds(w, m->name[d][n]));
		}
	}
	for (uint32_t i = 0; i < HANDLES; i++) {
		if (m->handle[i])
			assert_true(holds(w, linkfs_file_ino(m->handle[i])));
	}
}

static void close_handles(struct model *m)
{
	for (uint32_t i = 0; i < HANDLES; i++) {
		linkfs_file_close(m->handle[i]);
		m->handle[i] = NULL;
	}
}

static void a_model_agrees(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	struct world w;
	struct model m = {.dir = {true}};
	kept_open(&w, "1d", 0);
	for (uint32_t round = 0; round < (lk_test_long() ? 150u : 20u); round++) {
		for (uint32_t i = 0; i < 120; i++)
			work(&w, &m, &random);
		compare(&w, &m);
		kept_check(&w);
		if (round % 5 == 4) {
			close_handles(&m);
			world_reopen(&w);
			compare(&w, &m);
		}
		if (list(&w, NULL, NULL)->count > DELETIONS_MAX / 2) {
			kept_set(&w, "off");
			kept_set(&w, "1d");
		}
	}
	close_handles(&m);
	world_close(&w);
}

/* The child works for ever, and tells after each sync what must be there from then on. */
static void child(const char *path, int fd, uint64_t seed, const struct model *start)
{
	struct lk_test_random random = {seed};
	struct world w = {0};
	struct model m = *start, said;
	struct linkfs_open_options options = {.commit_interval_ms = 20};
	struct linkfs_message why = {""};
	int r = linkfs_volume_open(path, &options, &w.volume, &why);
	if (r) {
		fprintf(stderr, "child: open: %s: %s\n", linkfs_error_name(r), why.text);
		_exit(9);
	}
	for (;;) {
		for (uint32_t i = 0; i < 40; i++)
			work(&w, &m, &random);
		r = linkfs_volume_sync(w.volume);
		if (r) {
			fprintf(stderr, "child: sync: %s\n", linkfs_error_name(r));
			_exit(9);
		}
		said = m;
		memset(said.handle, 0, sizeof(said.handle));
		if (write(fd, &said, sizeof(said)) != (ssize_t)sizeof(said))
			_exit(0);
	}
}

static void a_killed_process_leaves_it_whole(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed() + 77};
	struct world w;
	struct model m = {.dir = {true}};
	kept_open(&w, "1d", 0);
	uint32_t acknowledged = 0;
	for (uint32_t round = 0; round < (lk_test_long() ? 100u : 15u); round++) {
		int fds[2];
		assert_int_equal(linkfs_volume_close(w.volume), 0);
		assert_int_equal(pipe(fds), 0);
		fflush(stdout);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)close(fds[0]);
			child(w.volume_path, fds[1], lk_test_next(&random) + round, &m);
			_exit(9);
		}
		(void)lk_test_next(&random);
		(void)close(fds[1]);
		uint32_t reports = 1 + (uint32_t)lk_test_below(&random, 6);
		bool any = false;
		for (uint32_t i = 0; i < reports && read(fds[0], &m, sizeof(m)) == (ssize_t)sizeof(m); i++)
			any = true;
		usleep((useconds_t)lk_test_below(&random, 4000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		int status = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || !any)
			fail_msg("the child ended by itself: status %x", (unsigned)status);
		/* What was said meanwhile is not later than what is there. */
		while (read(fds[0], &m, sizeof(m)) == (ssize_t)sizeof(m))
			acknowledged++;
		(void)close(fds[0]);
		assert_int_equal(linkfs_volume_open(w.volume_path, NULL, &w.volume, NULL), 0);
		kept_check(&w);
		/* Later work may have changed any name; files of names that are there hold what they held. */
		for (uint32_t d = 0; d < DIRS; d++) {
			char path[32];
			(void)snprintf(path, sizeof(path), "d%u", d);
			m.dir[d] = !d || at(&w, path);
			for (uint32_t n = 0; n < NAMES; n++) {
				path_of(path, d, n);
				uint64_t was = m.name[d][n];
				m.name[d][n] = m.dir[d] ? at(&w, path) : 0;
				if (m.name[d][n])
					assert_true(holds(&w, m.name[d][n]));
				/* A file that was acknowledged has its name, or was deleted since and is kept, or given up since. */
				acknowledged += was != 0;
			}
		}
		/* Everything that is listed can be given back whole. */
		const struct deletions *all = list(&w, NULL, NULL);
		if (all->count) {
			const struct linkfs_deleted d = all->row[lk_test_below(&random, all->count)];
			struct linkfs_undelete how = {.dir = 1, .name = "back", .name_len = 4};
			int r = linkfs_deleted_restore(w.volume, NULL, d.time_ns, &how, NULL);
			assert_int_equal(r, 0);
			if (S_ISREG(d.stat.mode))
				assert_true(holds(&w, d.ino));
			take(&w, S_ISREG(d.stat.mode) ? "back" : "back/");
		}
		kept_check(&w);
	}
	printf("# %u names and reports acknowledged\n", acknowledged);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_model_agrees),
		cmocka_unit_test(a_killed_process_leaves_it_whole),
	};
	return cmocka_run_group_tests_name("undelete-random", tests, NULL, NULL);
}
