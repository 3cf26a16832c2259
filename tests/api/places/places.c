/*
 * places.c - see places.h.
 */
#include "places.h"

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
