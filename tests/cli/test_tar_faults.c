/*
 * test_tar_faults.c - tar streams when something fails: files that become shorter while they are exported, the n-th write of the archive, its
 * n-th byte, the n-th allocation. An error is told and in the status, no file is left half, the volume holds together.
 */
#include <tar.h>

#include "no_memory.h"
#include "one_volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bytes {
	char *p;
	size_t len;
};

/* The other end of an archive: fails or does something at a place, in parts of any size. */
struct end {
	struct bytes bytes;
	size_t room, at, part, fails_at, once_at;
	void (*once)(void);
};

static ssize_t write_end(void *cookie, const char *buf, size_t size)
{
	struct end *end = cookie;
	if (end->once)
		end->once();
	end->once = NULL;
	if (end->bytes.len + size > end->fails_at) {
		errno = ENOSPC;
		return -1;
	}
	if (end->bytes.len + size > end->room) {
		char *p = realloc(end->bytes.p, (end->bytes.len + size) * 2);
		if (!p) {
			errno = ENOMEM;
			return -1;
		}
		end->bytes.p = p;
		end->room = (end->bytes.len + size) * 2;
	}
	memcpy(end->bytes.p + end->bytes.len, buf, size);
	end->bytes.len += size;
	return (ssize_t)size;
}

static ssize_t read_end(void *cookie, char *buf, size_t size)
{
	struct end *end = cookie;
	size_t n = end->bytes.len - end->at < size ? end->bytes.len - end->at : size;
	n = end->part && n > end->part ? end->part : n;
	if (end->once && end->at > end->once_at) {
		end->once();
		end->once = NULL;
	}
	if (end->at + n > end->fails_at && end->at >= end->fails_at) {
		errno = EIO;
		return -1;
	}
	n = end->at + n > end->fails_at ? end->fails_at - end->at : n;
	memcpy(buf, end->bytes.p + end->at, n);
	end->at += n;
	return (ssize_t)n;
}

struct run {
	struct cli cli;
	struct copy copy;
	char *said;
	size_t said_len;
	int status;
};

static struct cli_path place(const char *path)
{
	return (struct cli_path){.kind = CLI_VOLUME, .text = path, .volume = volume_path, .path = path, .at = ROOT};
}

static int begin(struct run *run, const char *command)
{
	*run = (struct run){.cli = {.cwd = "/", .command = cli_command_find(command), .cred = {.umask = 022}}};
	run->copy = (struct copy){.cli = &run->cli, .recursive = true, .keep_type = true, .existing = COPY_REPLACE};
	run->copy.keep_mode = run->copy.keep_owner = run->copy.keep_times = run->copy.keep_links =
		run->copy.keep_xattr = true;
	run->cli.err = open_memstream(&run->said, &run->said_len);
	assert_non_null(run->cli.err);
	return cli_volume_lend(&run->cli, volume_path, v);
}

static void end_run(struct run *run)
{
	cli_volumes_close(&run->cli);
	run->status = run->cli.status;
	if (run->copy.errors)
		assert_int_not_equal(run->status, 0);
	if (run->cli.in)
		fclose(run->cli.in);
	if (run->cli.out)
		fclose(run->cli.out);
	fclose(run->cli.err);
}

/* The n-th allocation fails, from the start of the work on. Returns whether as many were made. */
static bool export(struct end *end, const char *from, enum tar_filter filter, long n, struct run *run)
{
	struct cli_path source = place(from);
	assert_int_equal(begin(run, "export"), 0);
	run->cli.out = fopencookie(end, "w", (cookie_io_functions_t){.write = write_end});
	assert_non_null(run->cli.out);
	fail_memory = n;
	tar_export(&run->copy, &source, 1, NULL, true, filter);
	bool struck = n && fail_memory == 0;
	fail_memory = 0;
	end_run(run);
	return struck;
}

static bool import(struct end *end, const char *to, long n, struct run *run)
{
	struct cli_path dest = place(to);
	assert_int_equal(begin(run, "import"), 0);
	run->cli.in = fopencookie(end, "r", (cookie_io_functions_t){.read = read_end});
	run->cli.out = fopen("/dev/null", "w");
	assert_non_null(run->cli.in);
	assert_non_null(run->cli.out);
	end->at = 0;
	fail_memory = n;
	tar_import(&run->copy, NULL, &dest);
	bool struck = n && fail_memory == 0;
	fail_memory = 0;
	end_run(run);
	return struck;
}

static void done(struct run *run)
{
	free(run->said);
	*run = (struct run){0};
}

static struct linkfs_stat in(const char *path)
{
	struct linkfs_stat st;
	OK(linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st));
	return st;
}

#define FILE_SIZE 300000u

static void make_tree(void)
{
	static char content[FILE_SIZE];
	static const unsigned char acl[] = {2, 0,  0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 2,   0,  7,
					    0, 12, 0,   0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
					    7, 0,  255, 255, 255, 255, 32, 0, 4,   0,   255, 255, 255, 255};
	struct linkfs_file *file;
	memset(content, 'c', sizeof(content));
	make_dir("/tree");
	make_dir("/tree/dir");
	OK(linkfs_file_open(v, NULL, ROOT, "/tree/big", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, 0, content, sizeof(content), NULL));
	linkfs_file_close(file);
	OK(linkfs_file_open(v, NULL, ROOT, "/tree/dir/sparse", LINKFS_O_WRITE | LINKFS_O_CREATE, 0600, &file));
	OK(linkfs_file_write(file, 500000, "end", 3, NULL));
	linkfs_file_close(file);
	put("/tree/small", "small");
	OK(linkfs_path_link(v, NULL, ROOT, "/tree/small", ROOT, "/tree/dir/other", 0));
	OK(linkfs_path_symlink(v, NULL, "../small", ROOT, "/tree/dir/link", NULL));
	OK(linkfs_node_setxattr(v, NULL, in("/tree/small").ino, "user.name", "value", 5, 0));
	OK(linkfs_node_setxattr(v, NULL, in("/tree/dir").ino, TAR_ACL_ACCESS, acl, sizeof(acl), 0));
	OK(linkfs_node_setxattr(v, NULL, in("/tree/small").ino, TAR_ACL_ACCESS, acl, sizeof(acl), 0));
}

static struct end whole_archive(enum tar_filter filter)
{
	struct end end = {.fails_at = SIZE_MAX};
	struct run run;
	export(&end, "/tree", filter, 0, &run);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.said, "");
	done(&run);
	return end;
}

static void remove_all(const char *name)
{
	struct run run;
	struct linkfs_stat st;
	struct cli_path like = place("/");
	if (linkfs_node_lookup(v, NULL, ROOT, name, strlen(name), 0, &st) != 0)
		return;
	assert_int_equal(begin(&run, "rm"), 0);
	struct cli_remove how = {.cli = &run.cli, .volume = v, .like = &like, .recursive = true};
	cli_remove(&how, ROOT, name, strlen(name), &st, name);
	end_run(&run);
	assert_int_equal(run.status, 0);
	done(&run);
}

/* What is in /got is what /tree has: then it makes the same archive. */
static void same_archive(const struct bytes *want)
{
	struct end end = {.fails_at = SIZE_MAX};
	struct run run;
	export(&end, "/got", TAR_PLAIN, 0, &run);
	assert_int_equal(run.status, 0);
	assert_int_equal(end.bytes.len, want->len);
	assert_memory_equal(end.bytes.p, want->p, want->len);
	free(end.bytes.p);
	done(&run);
}

/* Files that are there are whole. */
static void no_half_file(void)
{
	struct linkfs_stat st;
	if (linkfs_path_stat(v, NULL, ROOT, "/got/big", 0, &st) == 0)
		assert_int_equal(st.size, FILE_SIZE);
	if (linkfs_path_stat(v, NULL, ROOT, "/got/small", 0, &st) == 0)
		assert_int_equal(st.size, 5);
	if (linkfs_path_stat(v, NULL, ROOT, "/got/dir/sparse", 0, &st) == 0)
		assert_int_equal(st.size, 500003);
}

static void shrink(void)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = 280000};
	OK(linkfs_path_setattr(v, NULL, ROOT, "/tree/big", 0, &set));
}

static void test_shrinks(void **state)
{
	struct run run;
	struct linkfs_setattr larger = {.valid = LINKFS_SET_SIZE, .size = FILE_SIZE};
	(void)state;
	make_tree();
	struct end before = whole_archive(TAR_PLAIN);
	/* The first that is written is the header and part of the content. */
	struct end end = {.fails_at = SIZE_MAX, .once = shrink};
	export(&end, "/tree", TAR_PLAIN, 0, &run);
	assert_int_equal(run.status, CLI_EXIT_SOME);
	assert_non_null(
		strstr(run.said, "/tree/big: became shorter while it was read: the archive has zeros from byte "));
	assert_int_equal(end.bytes.len, before.bytes.len);
	done(&run);
	/* A whole archive, with the size that was said first. */
	import(&end, "/got", 0, &run);
	assert_int_equal(run.status, 0);
	assert_int_equal(in("/got/big").size, FILE_SIZE);
	same_text("/got/small", "small");
	done(&run);
	OK(linkfs_path_setattr(v, NULL, ROOT, "/tree/big", 0, &larger));
	free(before.bytes.p);
	free(end.bytes.p);
	check();
}

static void take_place(void)
{
	OK(linkfs_path_unlink(v, NULL, ROOT, "/got/big"));
	put("/got/big", "another's");
}

/* Another one puts a file of his own under the name of one that is being imported. */
static void test_replaced(void **state)
{
	struct run run;
	(void)state;
	make_tree();
	struct end end = whole_archive(TAR_PLAIN);
	end.part = 8192;
	end.once_at = 200000; /* in the content of big */
	end.once = take_place;
	import(&end, "/got", 0, &run);
	assert_null(end.once);
	assert_int_equal(run.status, CLI_EXIT_SOME);
	assert_non_null(strstr(run.said, "./big: cannot import it: No such file or directory"));
	same_text("/got/big", "another's");
	same_text("/got/small", "small");
	done(&run);
	free(end.bytes.p);
	check();
}

static void test_write_fails(void **state)
{
	static const enum tar_filter filters[] = {TAR_PLAIN, TAR_GZIP, TAR_BZIP2, TAR_XZ, TAR_ZSTD};
	(void)state;
	make_tree();
	for (size_t f = 0; f < CLI_ARRAY_LEN(filters); f++) {
		struct end whole = whole_archive(filters[f]);
		size_t step = whole.bytes.len / 20 + 1;
		for (size_t at = 0; at < whole.bytes.len; at += step) {
			struct end end = {.fails_at = at};
			struct run run;
			export(&end, "/tree", filters[f], 0, &run);
			assert_int_equal(run.status, CLI_EXIT_SOME);
			assert_non_null(strstr(run.said, "cannot write the archive: No space left on device"));
			free(end.bytes.p);
			done(&run);
		}
		free(whole.bytes.p);
	}
	check();
}

static void test_read_fails(void **state)
{
	(void)state;
	make_tree();
	struct end end = whole_archive(TAR_PLAIN);
	for (size_t at = 0; at < end.bytes.len - 10240; at += 7919) {
		struct run run;
		end.fails_at = at;
		import(&end, "/got", 0, &run);
		assert_int_equal(run.status, CLI_EXIT_SOME);
		assert_non_null(strstr(run.said, "archive"));
		no_half_file();
		done(&run);
		remove_all("got");
	}
	end.fails_at = SIZE_MAX;
	static const size_t parts[] = {1, 7, 511, 513, 10000};
	for (size_t i = 0; i < CLI_ARRAY_LEN(parts); i++) {
		struct run run;
		end.part = parts[i];
		import(&end, "/got", 0, &run);
		assert_string_equal(run.said, "");
		assert_int_equal(run.status, 0);
		same_archive(&end.bytes);
		done(&run);
		remove_all("got");
	}
	free(end.bytes.p);
	check();
}

static void test_no_memory(void **state)
{
	bool struck = true;
	long n;
	(void)state;
	make_tree();
	struct end whole = whole_archive(TAR_PLAIN);
	for (n = 1; struck; n++) {
		struct end end = {.fails_at = SIZE_MAX};
		struct run run;
		struck = export(&end, "/tree", TAR_PLAIN, n, &run);
		/* What is not told is whole. */
		if (run.status == 0) {
			assert_int_equal(end.bytes.len, whole.bytes.len);
			assert_memory_equal(end.bytes.p, whole.bytes.p, whole.bytes.len);
		} else {
			assert_int_not_equal(run.said_len, 0);
		}
		free(end.bytes.p);
		done(&run);
	}
	print_message("# export: %ld allocations\n", n - 2);
	assert_true(n > 20);
	struck = true;
	for (n = 1; struck; n++) {
		struct run run;
		struck = import(&whole, "/got", n, &run);
		no_half_file();
		if (run.status == 0)
			same_archive(&whole.bytes);
		else
			assert_int_not_equal(run.said_len, 0);
		done(&run);
		remove_all("got");
	}
	print_message("# import: %ld allocations\n", n - 2);
	assert_true(n > 20);
	free(whole.bytes.p);
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shrinks, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(test_replaced, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(test_write_fails, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(test_read_fails, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
