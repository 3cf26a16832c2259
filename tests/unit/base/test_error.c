/*
 * test_error.c - the table of errors: every code of linkfs.h has one row, and the way to errno and back is the one
 * Linux's numbers promise. The list here is written from the header, not from the table.
 */
#include "test.h"

#include <base.h>
#include <errno.h>
#include <string.h>

/* clang-format off */
#define PLAIN(x) {LINKFS_##x, x, "LINKFS_" #x}
/* clang-format on */
static const struct expected {
	int code;
	int host;
	const char *name;
} plain[] = {
	PLAIN(EPERM),  PLAIN(ENOENT),  PLAIN(EINTR),     PLAIN(EIO),          PLAIN(ENXIO),    PLAIN(E2BIG),
	PLAIN(EBADF),  PLAIN(EAGAIN),  PLAIN(ENOMEM),    PLAIN(EACCES),       PLAIN(EBUSY),    PLAIN(EEXIST),
	PLAIN(EXDEV),  PLAIN(ENODEV),  PLAIN(ENOTDIR),   PLAIN(EISDIR),       PLAIN(EINVAL),   PLAIN(EMFILE),
	PLAIN(ENOTTY), PLAIN(ETXTBSY), PLAIN(EFBIG),     PLAIN(ENOSPC),       PLAIN(ESPIPE),   PLAIN(EROFS),
	PLAIN(EMLINK), PLAIN(EPIPE),   PLAIN(ERANGE),    PLAIN(ENAMETOOLONG), PLAIN(ENOSYS),   PLAIN(ENOTEMPTY),
	PLAIN(ELOOP),  PLAIN(ENODATA), PLAIN(EOVERFLOW), PLAIN(EOPNOTSUPP),   PLAIN(ENOTCONN), PLAIN(ESTALE),
	PLAIN(EDQUOT),
};

static const struct expected own[] = {
	{LINKFS_ECORRUPT, EIO, "LINKFS_ECORRUPT"},    {LINKFS_ENOTVOLUME, EINVAL, "LINKFS_ENOTVOLUME"},
	{LINKFS_ENEWER, EOPNOTSUPP, "LINKFS_ENEWER"}, {LINKFS_ELOCKED, EBUSY, "LINKFS_ELOCKED"},
	{LINKFS_ESCHEMA, EIO, "LINKFS_ESCHEMA"},      {LINKFS_EPOISONED, EIO, "LINKFS_EPOISONED"},
};

static void plain_codes_are_linux_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(plain); i++) {
		assert_int_equal(plain[i].code, -plain[i].host);
		assert_int_equal(linkfs_errno(plain[i].code), plain[i].host);
		assert_int_equal(linkfs_from_errno(plain[i].host), plain[i].code);
		assert_string_equal(linkfs_error_name(plain[i].code), plain[i].name);
	}
}

static void own_codes_map_to_their_errno(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(own); i++) {
		assert_int_equal(linkfs_errno(own[i].code), own[i].host);
		assert_string_equal(linkfs_error_name(own[i].code), own[i].name);
		/* A host errno never becomes one of linkfs's own findings. */
		assert_int_equal(linkfs_from_errno(own[i].host), -own[i].host);
	}
}

static void success_is_zero_both_ways(void **state)
{
	(void)state;
	assert_int_equal(LINKFS_OK, 0);
	assert_int_equal(linkfs_errno(0), 0);
	assert_int_equal(linkfs_from_errno(0), 0);
	assert_string_equal(linkfs_error_name(0), "LINKFS_OK");
}

static void texts_are_there_and_differ(void **state)
{
	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(plain) + LK_ARRAY_LEN(own); i++) {
		int code = i < LK_ARRAY_LEN(plain) ? plain[i].code : own[i - LK_ARRAY_LEN(plain)].code;
		const char *text = linkfs_strerror(code);
		assert_non_null(text);
		assert_true(strlen(text) > 3);
		for (size_t j = 0; j < i; j++) {
			int other = j < LK_ARRAY_LEN(plain) ? plain[j].code : own[j - LK_ARRAY_LEN(plain)].code;
			assert_int_not_equal(code, other);
			assert_string_not_equal(text, linkfs_strerror(other));
		}
	}
}

/* Every number around the enumeration: nothing beyond the two lists has a row, and nothing crashes. */
static void only_listed_codes_have_rows(void **state)
{
	(void)state;
	for (int code = -2000; code <= 200; code++) {
		bool listed = code == 0;
		for (size_t i = 0; i < LK_ARRAY_LEN(plain); i++)
			listed |= plain[i].code == code;
		for (size_t i = 0; i < LK_ARRAY_LEN(own); i++)
			listed |= own[i].code == code;
		assert_int_equal(strcmp(linkfs_error_name(code), "LINKFS_EUNKNOWN") != 0, listed);
		if (!listed)
			assert_int_equal(linkfs_errno(code), EIO);
		assert_non_null(linkfs_strerror(code));
	}
}

static void unknown_host_numbers_are_eio(void **state)
{
	(void)state;
	assert_int_equal(linkfs_from_errno(ENOTNAM), LINKFS_EIO);
	assert_int_equal(linkfs_from_errno(99999), LINKFS_EIO);
	assert_int_equal(linkfs_from_errno(-1), LINKFS_EIO);
	/* The system's table of open files is full: to a caller the same as its own. */
	assert_int_equal(linkfs_from_errno(ENFILE), LINKFS_EMFILE);
}

static void fail_fills_the_message_and_returns_the_code(void **state)
{
	(void)state;
	struct linkfs_message message = {"untouched"};
	assert_int_equal(lk_fail(&message, LINKFS_EBUSY, "%s is used by %d", "here", 7), LINKFS_EBUSY);
	assert_string_equal(message.text, "here is used by 7");
	assert_int_equal(lk_fail(NULL, LINKFS_EIO, "nobody reads this"), LINKFS_EIO);

	/* Longer than the message: cut, and ended. */
	char text[3000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(lk_fail(&message, LINKFS_EIO, "%s", text), LINKFS_EIO);
	assert_int_equal(strlen(message.text), sizeof(message.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_codes_are_linux_numbers),
		cmocka_unit_test(own_codes_map_to_their_errno),
		cmocka_unit_test(success_is_zero_both_ways),
		cmocka_unit_test(texts_are_there_and_differ),
		cmocka_unit_test(only_listed_codes_have_rows),
		cmocka_unit_test(unknown_host_numbers_are_eio),
		cmocka_unit_test(fail_fills_the_message_and_returns_the_code),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
