/*
 * test_formats.c - the pure parts of the command line: modes, sizes, dates, quoting, options, and requests of the control
 * protocol from damaged bytes (P5). Expected values are those of POSIX, GNU coreutils 9.1 and RFC 3629.
 */
#include <proto.h>

#include "test.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint32_t apply(const char *text, uint32_t old, bool dir, uint32_t mask)
{
	struct cli_mode *mode = NULL;
	assert_int_equal(cli_mode_parse(text, &mode), 0);
	uint32_t result = cli_mode_apply(mode, old, dir, mask);
	cli_mode_free(mode);
	return result;
}

static void test_modes(void **state)
{
	(void)state;
	assert_int_equal(apply("755", 0600, false, 022), 0755);
	assert_int_equal(apply("0", 07777, false, 022), 0);
	assert_int_equal(apply("u+x", 0644, false, 022), 0744);
	assert_int_equal(apply("a-w,u+w", 0666, false, 022), 0644);
	assert_int_equal(apply("go=", 0777, false, 022), 0700);
	assert_int_equal(apply("g=u", 0640, false, 022), 0660);
	assert_int_equal(apply("o=g-w", 0660, false, 022), 0664);
	assert_int_equal(apply("+w", 0444, false, 022), 0644);
	assert_int_equal(apply("=rw", 0, false, 027), 0640);
	assert_int_equal(apply("a+X", 0600, false, 022), 0600);
	assert_int_equal(apply("a+X", 0700, false, 022), 0711);
	assert_int_equal(apply("a+X", 0600, true, 022), 0711);
	assert_int_equal(apply("u+s,g+s,+t", 0755, false, 022), 07755);
	assert_int_equal(apply("o+s", 0755, false, 022), 0755);
	/* A directory keeps setuid and setgid unless they are named, or the number has five digits. */
	assert_int_equal(apply("755", 02700, true, 022), 02755);
	assert_int_equal(apply("00755", 02700, true, 022), 0755);
	assert_int_equal(apply("a=rx", 02700, true, 022), 02555);
	assert_int_equal(apply("g-s", 02755, true, 022), 0755);
	static const char *const wrong[] = {"", "8", "77777", "u", "u+q", "x+r", "u+x,", ",u+x", "07778", "u+rx!"};
	for (size_t i = 0; i < CLI_ARRAY_LEN(wrong); i++) {
		struct cli_mode *mode = NULL;
		assert_int_equal(cli_mode_parse(wrong[i], &mode), LINKFS_EINVAL);
		assert_null(mode);
	}
}

static void test_mode_text(void **state)
{
	static const struct {
		uint32_t mode;
		const char *text;
	} rows[] = {
		{S_IFREG | 0644, "-rw-r--r--"},  {S_IFDIR | 01777, "drwxrwxrwt"}, {S_IFLNK | 0777, "lrwxrwxrwx"},
		{S_IFREG | 04755, "-rwsr-xr-x"}, {S_IFREG | 06644, "-rwSr-Sr--"}, {S_IFCHR | 01640, "crw-r----T"},
		{S_IFBLK, "b---------"},         {S_IFIFO | 02010, "p-----s---"}, {S_IFSOCK | 0111, "s--x--x--x"},
	};
	(void)state;
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		char text[11];
		cli_mode_text(rows[i].mode, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		unsigned base;
		const char *text;
	} rows[] = {
		{0, 1024, "0"},
		{1023, 1024, "1023"},
		{1024, 1024, "1.0K"},
		{1025, 1024, "1.1K"},
		{10137, 1024, "9.9K"},
		{10138, 1024, "10K"},
		{10240, 1024, "10K"},
		{10241, 1024, "11K"},
		{1047552, 1024, "1023K"},
		{1047553, 1024, "1.0M"},
		{1048576, 1024, "1.0M"},
		{999, 1000, "999"},
		{1000, 1000, "1.0k"},
		{1000000, 1000, "1.0M"},
		{999001, 1000, "1.0M"},
		{UINT64_MAX, 1024, "16E"},
		{1ull << 40, 1024, "1.0T"},
	};
	uint64_t n;
	(void)state;
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		char text[32];
		cli_human_size(rows[i].bytes, rows[i].base, text);
		assert_string_equal(text, rows[i].text);
	}
	assert_int_equal(cli_parse_size("10", &n), 0);
	assert_int_equal(n, 10);
	assert_int_equal(cli_parse_size("2k", &n), 0);
	assert_int_equal(n, 2048);
	assert_int_equal(cli_parse_size("3MB", &n), 0);
	assert_int_equal(n, 3000000);
	assert_int_equal(cli_parse_size("1GiB", &n), 0);
	assert_int_equal(n, 1 << 30);
	static const char *const wrong[] = {"", "-1", "1x", "1KK", "99999999999999999999", "16E", "K", " 1"};
	for (size_t i = 0; i < CLI_ARRAY_LEN(wrong); i++)
		assert_int_equal(cli_parse_size(wrong[i], &n), LINKFS_EINVAL);
}

#define SEC 1000000000ll

static void test_dates(void **state)
{
	static const struct {
		const char *text, *tz;
		int64_t ns;
	} rows[] = {
		{"1970-01-01", "UTC0", 0},
		{"1970-01-01 00:00:01.5", "UTC0", 1500000000},
		{"1970-01-01T01:00", "ABC-1", 0},
		{"1970-01-01 00:00Z", "ABC-5", 0},
		{"1970-01-01 02:30 +02:30", "ABC-5", 0},
		{"1969-12-31 19:00-0500", "UTC0", 0},
		{"2024-02-29 12:00:00 UTC", "ABC-5", 1709208000 * SEC},
		{"@0", "UTC0", 0},
		{"@-1.25", "UTC0", -1250000000},
		{"@1709208000.123456789", "UTC0", 1709208000 * SEC + 123456789},
		{"now", "UTC0", 1000 * SEC},
		{"2 days ago", "UTC0", (1000 - 172800) * SEC},
		{"1 hour", "UTC0", 4600 * SEC},
		{"-3 minutes", "UTC0", 820 * SEC},
		{"yesterday", "UTC0", (1000 - 86400) * SEC},
		{"2199-12-31 23:59:59.999999999Z", "UTC0", 7258118399 * SEC + 999999999},
	};
	(void)state;
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		struct cli cli = {.tz = rows[i].tz};
		int64_t ns = 1;
		if (cli_time_parse(&cli, rows[i].text, 1000 * SEC, &ns) != 0 || ns != rows[i].ns)
			fail_msg("%s in %s: %lld", rows[i].text, rows[i].tz, (long long)ns);
	}
	static const char *const wrong[] = {"1970",
					    "1970-13-01",
					    "1970-02-30",
					    "1970-01-01 25:00",
					    "@",
					    "@x",
					    "@1x",
					    "soon",
					    "1970-01-01x",
					    "1 fortnights from",
					    "99999-01-01",
					    "@99999999999999999999",
					    "1970-01-01 1:00",
					    "2 parsecs ago",
					    "9127 fortnights",
					    "1000000 weeks ago"};
	for (size_t i = 0; i < CLI_ARRAY_LEN(wrong); i++) {
		struct cli cli = {.tz = "UTC0"};
		int64_t ns;
		if (cli_time_parse(&cli, wrong[i], 0, &ns) != LINKFS_EINVAL)
			fail_msg("%s was taken", wrong[i]);
	}
	struct cli cli = {.tz = "UTC0"};
	int64_t ns;
	assert_int_equal(cli_time_parse_stamp(&cli, "202402291200.30", 0, &ns), 0);
	assert_true(ns == 1709208030 * SEC);
	assert_int_equal(cli_time_parse_stamp(&cli, "6901010000", 0, &ns), 0);
	assert_true(ns == -31536000 * SEC);
	assert_int_equal(cli_time_parse_stamp(&cli, "01020304", 0, &ns), 0);
	assert_true(ns == (86400 + 3 * 3600 + 240) * SEC);
	assert_int_equal(cli_time_parse_stamp(&cli, "0102030", 0, &ns), LINKFS_EINVAL);
	assert_int_equal(cli_time_parse_stamp(&cli, "13010000", 0, &ns), LINKFS_EINVAL);
	assert_int_equal(cli_time_parse_stamp(&cli, "202402291200.3", 0, &ns), LINKFS_EINVAL);
}

static void test_time_text(void **state)
{
	struct cli cli = {.tz = "ABC-5:30"};
	char text[96];
	(void)state;
	cli_time_format(&cli, text, sizeof(text), "%Y-%m-%d %H:%M:%S.%N %z", -1);
	assert_string_equal(text, "1970-01-01 05:29:59.999999999 +0530");
	cli_time_iso(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
	cli_time_iso(INT64_MAX, text);
	assert_string_equal(text, "2262-04-11T23:47:16.854775807Z");
	cli_time_format(&cli, text, sizeof(text), "%%N", 0);
	assert_string_equal(text, "%N");
}

static void test_quoting(void **state)
{
	static const struct {
		const char *name;
		enum cli_quoting how;
		const char *shown;
	} rows[] = {
		{"plain", CLI_QUOTE_SHELL, "plain"},
		{"a b", CLI_QUOTE_SHELL, "'a b'"},
		{"it's", CLI_QUOTE_SHELL, "\"it's\""},
		{"it's $5", CLI_QUOTE_SHELL, "'it'\\''s $5'"},
		{"a\nb", CLI_QUOTE_SHELL, "'a'$'\\n''b'"},
		{"\xff", CLI_QUOTE_SHELL, "''$'\\377'"},
		{"caf\xc3\xa9", CLI_QUOTE_SHELL, "caf\xc3\xa9"},
		{"#x", CLI_QUOTE_SHELL, "'#x'"},
		{"x#", CLI_QUOTE_SHELL, "x#"},
		{"", CLI_QUOTE_SHELL, "''"},
		{"plain", CLI_QUOTE_ALWAYS, "'plain'"},
		{"it's", CLI_QUOTE_ALWAYS, "\"it's\""},
		{"a\"\t\\", CLI_QUOTE_C, "\"a\\\"\\t\\\\\""},
		{"a b\n", CLI_QUOTE_ESCAPE, "a\\ b\\n"},
		{"a\001b", CLI_QUOTE_HIDE, "a?b"},
		{"a\001b", CLI_QUOTE_LITERAL, "a\001b"},
	};
	(void)state;
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		char *shown = cli_quote(rows[i].name, strlen(rows[i].name), rows[i].how, NULL);
		assert_string_equal(shown, rows[i].shown);
		free(shown);
	}
}

/* ---- requests ---- */

static int encode_sample(uint8_t **bytes, size_t *len)
{
	char words[3][8] = {"cp", "-r", "x"}, empty[1] = "", cwd[8] = "/tmp";
	char *argv[] = {words[0], words[1], words[2]};
	struct cli_path paths[2] = {
		{.kind = CLI_HOST, .text = "x", .host = "x", .volume = "", .path = ""},
		{.kind = CLI_VOLUME,
		 .text = "v:/y",
		 .host = "",
		 .volume = "/v",
		 .path = "/y",
		 .at = 1ull << 40,
		 .in_mount = true},
	};
	struct cli_request request = {.flags = 5,
				      .width = 80,
				      .umask = 022,
				      .cwd = cwd,
				      .tz = empty,
				      .time_style = empty,
				      .block_size = empty,
				      .collate = empty,
				      .ctype = empty,
				      .time = empty,
				      .argc = 3,
				      .argv = argv,
				      .npaths = 2,
				      .paths = paths};
	return cli_request_encode(&request, bytes, len);
}

static void test_request(void **state)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	struct cli_request got;
	(void)state;
	assert_int_equal(encode_sample(&bytes, &len), 0);
	assert_int_equal(cli_request_decode(bytes, len, &got), 0);
	assert_int_equal(got.argc, 3);
	assert_string_equal(got.argv[1], "-r");
	assert_int_equal(got.npaths, 2);
	assert_int_equal(got.paths[0].kind, CLI_HOST);
	assert_int_equal(got.paths[1].kind, CLI_VOLUME);
	assert_true(got.paths[1].at == 1ull << 40 && got.paths[1].in_mount);
	assert_string_equal(got.paths[1].path, "/y");
	assert_string_equal(got.cwd, "/tmp");
	cli_request_done(&got);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_not_equal(cli_request_decode(bytes, cut, &got), 0);
	free(bytes);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Whatever the bytes are, decoding ends, stays inside them, and what it takes can be freed. */
static void test_damage(void **state)
{
	const char *text = getenv("LINKFS_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : 1, x = seed * 0x9e3779b97f4a7c15u + 1;
	int rounds = lk_test_long() ? 2000000 : 50000;
	uint8_t *bytes = NULL;
	size_t len = 0;
	(void)state;
	print_message("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(encode_sample(&bytes, &len), 0);
	uint8_t *damaged = malloc(len + 16);
	assert_non_null(damaged);
	int taken = 0;
	for (int i = 0; i < rounds; i++) {
		size_t size = len;
		memcpy(damaged, bytes, len);
		for (uint64_t n = next_random(&x) % 4; n > 0; n--)
			damaged[next_random(&x) % len] = (uint8_t)next_random(&x);
		if (next_random(&x) % 4 == 0)
			size = next_random(&x) % (len + 1);
		/* In memory of its own size, so that reading past the end is seen. */
		uint8_t *exact = malloc(size ? size : 1);
		assert_non_null(exact);
		memcpy(exact, damaged, size);
		struct cli_request got;
		if (cli_request_decode(exact, size, &got) == 0) {
			taken++;
			for (uint32_t p = 0; p < got.npaths; p++)
				assert_true(got.paths[p].kind != CLI_VOLUME || got.paths[p].path[0]);
			cli_request_done(&got);
		}
		free(exact);
	}
	assert_true(taken > 0);
	free(damaged);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),   cmocka_unit_test(test_mode_text), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_dates),   cmocka_unit_test(test_time_text), cmocka_unit_test(test_quoting),
		cmocka_unit_test(test_request), cmocka_unit_test(test_damage),
	};
	setlocale(LC_ALL, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
