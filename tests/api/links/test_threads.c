/*
 * test_threads.c - questions about links while others change what they are about: each ends, and with an answer or because what was
 * asked about is gone; what was there all the while is always told.
 */
#include "volume.h"

#include <linkfs_links.h>
#include <pthread.h>
#include <stdatomic.h>

#define ROOT LINKFS_ROOT_INO
#define DIRS 6

struct shared {
	struct linkfs_volume *v;
	atomic_bool stop;
	atomic_int failed; /* a call that may not fail so */
	atomic_ulong changes;
};

static bool expected(int rc)
{
	return rc == 0 || rc == LINKFS_ENOENT || rc == LINKFS_EEXIST || rc == LINKFS_ESTALE || rc == LINKFS_ENOTEMPTY ||
	       rc == LINKFS_ELOOP || rc == LINKFS_ENOTDIR || rc == LINKFS_EINVAL || rc == LINKFS_EISDIR;
}

/* Files and links come, go and move in DIRS directories that are moved too; "stays" and what leads to it are let alone. */
static void *change(void *arg)
{
	struct shared *s = arg;
	struct lk_test_random random = {lk_test_seed()};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	char a[64], b[64], text[80];
	while (!atomic_load(&s->stop)) {
		uint64_t r = lk_test_next(&random);
		int rc = 0;
		snprintf(a, sizeof(a), "m%d/n%d", (int)(r % DIRS), (int)(r >> 8 & 15));
		snprintf(b, sizeof(b), "m%d/n%d", (int)((r >> 16) % DIRS), (int)(r >> 24 & 15));
		snprintf(text, sizeof(text), "../%s", b);
		switch (r >> 32 & 7) {
		case 0:
			rc = linkfs_path_make(s->v, NULL, ROOT, a, &how, NULL);
			break;
		case 1:
		case 2:
			rc = linkfs_path_symlink(s->v, NULL, r >> 40 & 1 ? text : "../stays", ROOT, a, NULL);
			break;
		case 3:
		case 4:
			rc = linkfs_path_rename(s->v, NULL, ROOT, a, ROOT, b, 0);
			break;
		case 5:
			rc = linkfs_path_link(s->v, NULL, ROOT, a, ROOT, b, 0);
			break;
		case 6:
			rc = linkfs_path_unlink(s->v, NULL, ROOT, a);
			break;
		default:
			snprintf(a, sizeof(a), "m%d", (int)(r % DIRS));
			snprintf(b, sizeof(b), "m%d", (int)((r >> 16) % DIRS));
			rc = linkfs_path_rename(s->v, NULL, ROOT, a, ROOT, b, LINKFS_RENAME_EXCHANGE);
			break;
		}
		if (!expected(rc))
			atomic_store(&s->failed, rc);
		atomic_fetch_add(&s->changes, 1);
	}
	return NULL;
}

static int on_referrer(void *arg, const struct linkfs_referrer *r)
{
	*(unsigned *)arg += strcmp(r->link.path, "/leads") == 0 || strcmp(r->link.path, "/chain") == 0;
	return 0;
}

static int on_dangling(void *arg, const struct linkfs_dangling *d)
{
	*(unsigned *)arg += strcmp(d->link.path, "/lost") == 0;
	return 0;
}

static int on_impact(void *arg, const struct linkfs_impact *i)
{
	*(unsigned *)arg += strcmp(i->link.path, "/leads") == 0 || strcmp(i->link.path, "/chain") == 0;
	return 0;
}

static int on_name(void *arg, const struct linkfs_name *name)
{
	*(unsigned *)arg += name->path_len > 0;
	return 0;
}

static void questions_while_all_changes(void **state)
{
	struct fixture *f = *state;
	struct shared s = {.v = f->v};
	struct linkfs_links_options through = {.flags = LINKFS_LINKS_THROUGH};
	char name[64];
	unsigned rounds = 200;
	pthread_t thread;
	make(f, "stays", S_IFREG | 0644);
	for (int i = 0; i < DIRS; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		make(f, name, S_IFDIR | 0755);
	}
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "stays", ROOT, "leads", NULL), 0);
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "leads", ROOT, "chain", NULL), 0);
	assert_int_equal(linkfs_path_symlink(f->v, NULL, "none", ROOT, "lost", NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, change, &s), 0);
	/* Until the other thread has had its turns, too. */
	for (unsigned i = 0; i < rounds || atomic_load(&s.changes) <= rounds; i++) {
		unsigned told = 0, lost = 0, any = 0;
		assert_int_equal(linkfs_path_referrers(f->v, NULL, ROOT, "stays", 0, NULL, NULL, on_referrer, &told),
				 0);
		assert_int_equal(told, 2);
		assert_int_equal(linkfs_path_impact_remove(f->v, NULL, ROOT, "stays", NULL, on_impact, &told), 0);
		assert_int_equal(told, 4);
		assert_int_equal(linkfs_path_dangling(f->v, NULL, ROOT, "/", NULL, on_dangling, &lost), 0);
		assert_int_equal(lost, 1);
		snprintf(name, sizeof(name), "m%u/n%u", i % DIRS, i % 16);
		assert_true(expected(
			linkfs_path_names(f->v, NULL, ROOT, name, LINKFS_NOFOLLOW, NULL, on_name, &any, NULL)));
		assert_true(expected(linkfs_path_referrers(f->v, NULL, ROOT, name, LINKFS_NOFOLLOW, &through, NULL,
							   on_referrer, &any)));
		snprintf(name, sizeof(name), "m%u", i % DIRS);
		assert_true(
			expected(linkfs_path_referrers(f->v, NULL, ROOT, name, 0, &through, NULL, on_referrer, &any)));
		assert_true(expected(
			linkfs_path_impact_rename(f->v, NULL, ROOT, name, ROOT, "stays/x", NULL, on_impact, &any)));
		assert_true(expected(
			linkfs_path_impact_rename(f->v, NULL, ROOT, name, ROOT, "fresh", NULL, on_impact, &any)));
	}
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load(&s.failed), 0);
	print_message("# %lu changes during %u rounds and more\n", atomic_load(&s.changes), rounds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(questions_while_all_changes)};
	return cmocka_run_group_tests_name("links-threads", tests, NULL, NULL);
}
