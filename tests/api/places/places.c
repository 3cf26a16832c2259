/*
 * places.c - see places.h.
 */
#include "places.h"

struct linkfs_volume *v;
char volume_path[4096];
static char *top;

static void open_it(void)
{
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(volume_path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
}

int places_setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777, .limit_bytes = 16 << 20};
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(volume_path, sizeof(volume_path), "%s/volume", top);
	OK(linkfs_volume_create(volume_path, &o, NULL));
	open_it();
	return 0;
}

int places_teardown(void **state)
{
	(void)state;
	OK(linkfs_volume_close(v));
	lk_test_rmdir(top);
	return 0;
}

void reopen(void)
{
	OK(linkfs_volume_close(v));
	open_it();
}

static int found(void *arg, const struct linkfs_finding *finding)
{
	(void)arg;
	print_message("# %s: %s\n", finding->problem->id, finding->text);
	return 0;
}

void check(void)
{
	struct linkfs_check_options o = {.flags = LINKFS_CHECK_DATA, .finding = found};
	struct linkfs_check_summary sum = {0};
	struct linkfs_message why = {""};
	OK(linkfs_volume_check(v, &o, &sum, &why));
	assert_int_equal(sum.problems, 0);
}

void put(const char *name, const char *text)
{
	struct linkfs_file *file;
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_TRUNC, 0644, &file));
	OK(linkfs_file_write(file, 0, text, strlen(text), NULL));
	linkfs_file_close(file);
}

struct linkfs_stat status(const char *name)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, ROOT, name, LINKFS_NOFOLLOW, &st);
	if (r)
		fail_msg("%s: %s", name, linkfs_error_name(r));
	return st;
}

uint64_t ino_of(const char *name)
{
	return status(name).ino;
}

int absent(const char *name)
{
	struct linkfs_stat st;
	return linkfs_path_stat(v, NULL, ROOT, name, LINKFS_NOFOLLOW, &st);
}

void assert_text(const char *name, const char *text)
{
	char bytes[64] = "";
	size_t n;
	OK(linkfs_node_read(v, ino_of(name), 0, bytes, sizeof(bytes) - 1, &n));
	assert_string_equal(bytes, text);
}

void make_dir(const char *name)
{
	int r = linkfs_path_make(v, NULL, ROOT, name, &(struct linkfs_make){.mode = S_IFDIR | 0777}, NULL);
	if (r)
		fail_msg("mkdir %s: %s", name, linkfs_error_name(r));
}

int bind_to(const char *source, const char *name)
{
	return linkfs_path_bind(v, NULL, ROOT, source, ROOT, name);
}

int unbind(const char *name)
{
	return linkfs_path_unbind(v, NULL, ROOT, name);
}

int rename_to(const char *from, const char *to)
{
	return linkfs_path_rename(v, NULL, ROOT, from, ROOT, to, 0);
}

int link_directory(const char *from, const char *to)
{
	return linkfs_path_link_directory(v, NULL, ROOT, from, ROOT, to);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static char *words[512];
static size_t word_count;
static char line[65536];

static void add_word(const char *p, size_t len)
{
	assert_true(word_count < sizeof(words) / sizeof(words[0]));
	words[word_count++] = strndup(p, len);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *join_words(void)
{
	size_t len = 0;
	qsort(words, word_count, sizeof(words[0]), by_text);
	line[0] = 0;
	for (size_t i = 0; i < word_count; i++) {
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s", i ? " " : "", words[i]);
		free(words[i]);
	}
	word_count = 0;
	return line;
}

const char *names_in(const char *name)
{
	const struct linkfs_entry *e;
	struct linkfs_dir *dir;
	OK(linkfs_dir_open(v, NULL, ROOT, name, &dir));
	while (linkfs_dir_read(dir, &e) == 0 && e)
		if (strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0)
			add_word(e->name, e->name_len);
	linkfs_dir_close(dir);
	return join_words();
}

uint64_t listed(const char *name, const char *entry)
{
	const struct linkfs_entry *e;
	struct linkfs_dir *dir;
	uint64_t ino = 0;
	OK(linkfs_dir_open(v, NULL, ROOT, name, &dir));
	while (linkfs_dir_read(dir, &e) == 0 && e)
		if (strcmp(e->name, entry) == 0)
			ino = e->ino;
	linkfs_dir_close(dir);
	return ino;
}

static int on_name(void *arg, const struct linkfs_name *name)
{
	(void)arg;
	add_word(name->path, name->path_len);
	return 0;
}

const char *paths_of(const char *name)
{
	int r = linkfs_path_names(v, NULL, ROOT, name, LINKFS_NOFOLLOW, NULL, on_name, NULL, NULL);
	if (r)
		fail_msg("names %s: %s", name, linkfs_error_name(r));
	return join_words();
}
