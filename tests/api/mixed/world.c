/*
 * world.c - see world.h.
 */
#include "world.h"

#include <linkfs_check.h>
#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *top;
static char volume_path[4096];
struct linkfs_volume *v;
struct lk_test_random rnd;
unsigned long step;
unsigned long done[20];
bool places;
bool multiplied;
size_t paths_many = 1000;

uint64_t below(uint64_t n)
{
	return lk_test_below(&rnd, n);
}

/* ---- the tree as its paths show it ------------------------------------------------------------------------------------- */

struct seen seen[PATHS_MAX];
size_t seen_count;

void forget(void)
{
	for (size_t i = 0; i < seen_count; i++)
		free(seen[i].path);
	seen_count = 0;
}

static void see(uint64_t at, const char *path)
{
	const struct linkfs_entry *e;
	struct linkfs_dir *dir;
	char name[4096];
	OK(linkfs_dir_open(v, NULL, at, *path ? path : "/", &dir));
	while (linkfs_dir_read(dir, &e) == 0 && e) {
		struct linkfs_stat st;
		if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path, e->name);
		OK(linkfs_path_stat(v, NULL, at, name, LINKFS_NOFOLLOW, &st));
		assert_int_equal(st.ino, e->ino);
		if (seen_count == PATHS_MAX)
			fail_msg("the tree has more than %d paths", PATHS_MAX);
		seen[seen_count++] = (struct seen){strdup(name), st};
		if (S_ISDIR(st.mode))
			see(at, name);
	}
	linkfs_dir_close(dir);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->path, ((const struct seen *)b)->path);
}

/* In an order that is the same on each volume: that of a listing is not. */
void look_at(uint64_t at)
{
	forget();
	see(at, "");
	qsort(seen, seen_count, sizeof(seen[0]), by_path);
}

void look(void)
{
	look_at(ROOT);
}

static int on_problem(void *arg, const struct linkfs_finding *f)
{
	(void)arg;
	print_message("# check: %s: %s\n", f->problem->id, f->text);
	return 0;
}

void check(void)
{
	struct linkfs_check_options options = {.finding = on_problem};
	struct linkfs_check_summary sum;
	OK(linkfs_volume_check(v, &options, &sum, NULL));
	if (sum.problems)
		fail_msg("seed %llu, step %lu: check finds %llu problems", (unsigned long long)lk_test_seed(), step,
			 (unsigned long long)sum.problems);
}

/* ---- changes ---------------------------------------------------------------------------------------------------------------- */

const char *some_path(mode_t type)
{
	for (int i = 0; seen_count && i < 30; i++) {
		const struct seen *s = &seen[below(seen_count)];
		if (!type || (s->st.mode & S_IFMT) == type)
			return s->path;
	}
	return type == S_IFDIR ? "" : "/none";
}

static const char *new_path(char out[4096])
{
	static const char *const words[] = {"a", "b", "c", "d", "e", "f", "g"};
	(void)snprintf(out, 4096, "%s/%s", some_path(S_IFDIR), words[below(sizeof(words) / sizeof(words[0]))]);
	return out;
}

static void write_to(const char *path)
{
	struct linkfs_file *file;
	char bytes[64];
	if (linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_WRITE | LINKFS_O_NOFOLLOW, 0, &file))
		return;
	memset(bytes, 'a' + (int)below(3), sizeof(bytes));
	OK(linkfs_file_write(file, 4096 * below(3), bytes, sizeof(bytes), NULL));
	linkfs_file_close(file);
}

/* A text that leads to what is there, most of the time. */
static void some_text(const char *link, char out[4096])
{
	const char *target = some_path(0);
	size_t ups = 0, len = 0;
	for (const char *p = link + 1; *p; p++)
		ups += *p == '/';
	for (size_t i = 0; i < ups; i++)
		len += (size_t)snprintf(out + len, 4096 - len, "../");
	(void)snprintf(out + len, 4096 - len, "%s", below(8) ? target + 1 : "nowhere");
	if (!*out)
		(void)snprintf(out, 4096, ".");
}

static int merge(const char *a, const char *b)
{
	struct linkfs_stat st;
	const char *name;
	uint64_t dir;
	size_t len;
	int r = linkfs_path_stat(v, NULL, ROOT, a, LINKFS_NOFOLLOW, &st);
	if (!r)
		r = linkfs_path_parent(v, NULL, ROOT, b, &dir, &name, &len, NULL);
	return r ? r : linkfs_node_merge(v, NULL, st.ino, dir, name, len);
}

static int keep(const char *path)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st);
	return r ? r
		 : linkfs_node_set_flags(v, NULL, st.ino, below(3) ? LINKFS_INO_KEEP_LINKS : 0, LINKFS_INO_KEEP_LINKS,
					 NULL);
}

int change(void)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	char to[4096], text[4096];
	uint64_t kind = seen_count > paths_many ? 17 + below(2) : below(19);
	const char *file = some_path(S_IFREG);
	int r = 0;
	if (!places && kind >= 7 && kind <= 9)
		kind = 6;
	switch (kind) {
	case 0:
	case 1:
		how.mode = S_IFDIR | 0755;
		r = linkfs_path_make(v, NULL, ROOT, new_path(to), &how, NULL);
		break;
	case 2:
	case 3:
		r = linkfs_path_make(v, NULL, ROOT, new_path(to), &how, NULL);
		break;
	case 4:
		r = linkfs_path_link(v, NULL, ROOT, some_path(0), ROOT, new_path(to), 0);
		break;
	case 5:
		some_text(new_path(to), text);
		r = linkfs_path_symlink(v, NULL, text, ROOT, to, NULL);
		break;
	case 6:
		r = linkfs_path_track(v, NULL, ROOT, some_path(below(2) ? S_IFREG : S_IFDIR), ROOT, new_path(to),
				      below(2) ? LINKFS_TRACK_REPLACE : 0, NULL);
		break;
	case 7:
		r = linkfs_path_link_directory(v, NULL, ROOT, some_path(S_IFDIR), ROOT, new_path(to));
		break;
	case 8:
		r = linkfs_path_bind(v, NULL, ROOT, some_path(0), ROOT, some_path(0));
		break;
	case 9:
		r = linkfs_path_unbind(v, NULL, ROOT, some_path(0));
		break;
	case 10:
		r = linkfs_path_clone(v, NULL, ROOT, file, ROOT, new_path(to), 0, NULL);
		break;
	case 11:
		r = linkfs_path_unshare(v, NULL, ROOT, file, NULL);
		break;
	case 12:
		r = keep(file);
		break;
	case 13:
		r = merge(file, some_path(S_IFREG));
		break;
	case 14:
		write_to(file);
		break;
	case 15:
		r = linkfs_path_rename(v, NULL, ROOT, some_path(0), ROOT, some_path(0),
				       below(3) ? 0 : LINKFS_RENAME_EXCHANGE);
		break;
	case 16:
		r = linkfs_path_rename(v, NULL, ROOT, some_path(0), ROOT, new_path(to), 0);
		break;
	case 17:
		r = linkfs_path_unlink(v, NULL, ROOT, some_path(below(2) ? S_IFREG : S_IFLNK));
		break;
	default:
		r = linkfs_path_rmdir(v, NULL, ROOT, some_path(S_IFDIR));
		break;
	}
	done[kind] += r == 0;
	multiplied = places && r == 0 && (kind == 7 || kind == 8 || kind == 15 || kind == 16);
	if (getenv("LINKFS_TRACE"))
		print_message("# %lu kind %llu: %s\n", step, (unsigned long long)kind,
			      r ? linkfs_error_name(r) : "done");
	/* What the state of the tree may answer, and nothing else. */
	switch (r) {
	case 0:
	case LINKFS_EEXIST:
	case LINKFS_ENOENT:
	case LINKFS_EISDIR:
	case LINKFS_ENOTDIR:
	case LINKFS_ENOTEMPTY:
	case LINKFS_EINVAL:
	case LINKFS_EPERM:
	case LINKFS_ELOOP:
	case LINKFS_EBUSY:
	case LINKFS_EXDEV:
	case LINKFS_EMLINK:
	case LINKFS_ENODATA:
		return r;
	default:
		fail_msg("seed %llu, step %lu, kind %llu: %s", (unsigned long long)lk_test_seed(), step,
			 (unsigned long long)kind, linkfs_error_name(r));
	}
	return r;
}

const char *world_path(void)
{
	return volume_path;
}

void reopen(void)
{
	OK(linkfs_volume_close(v));
	OK(linkfs_volume_open(volume_path, NULL, &v, NULL));
}

int setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777};
	(void)state;
	o.properties = lk_test_properties(&o.property_count);
	top = lk_test_mkdir();
	(void)snprintf(volume_path, sizeof(volume_path), "%s/volume", top);
	OK(linkfs_volume_create(volume_path, &o, NULL));
	OK(linkfs_volume_open(volume_path, NULL, &v, NULL));
	return 0;
}

int teardown(void **state)
{
	(void)state;
	forget();
	OK(linkfs_volume_close(v));
	lk_test_rmdir(top);
	return 0;
}
