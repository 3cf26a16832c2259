/*
 * test_stream.c - the rules of streams (linkfs_stream.h): every byte of a small one flipped, cut at every record and gone on by the token, what others do
 * meanwhile, and what is refused. That trees arrive whole is api-stream-random's.
 */
#include "one_volume.h"

#include "stream_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static struct stream_bytes whole, difference;

static char *text(const char *name)
{
	int error = 0;
	char *is = name ? stream_case_past(v, name, &error) : stream_case_text(v, ROOT, &error);
	assert_non_null(is);
	return is;
}

static void shows(const char *name, const char *want)
{
	char *is = text(name);
	assert_string_equal(is, want);
	free(is);
}

static int receive(struct stream_bytes *stream, size_t end)
{
	return stream_case_receive(v, stream, end, 0, NULL);
}

static int take_id(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static uint64_t id_of(const char *name)
{
	uint64_t id = 0;
	OK(linkfs_snapshot_show(v, name, take_id, &id));
	return id;
}

/* As it was before the difference came. */
static void back_to_one(void)
{
	OK(linkfs_snapshot_delete(v, NULL, "two", NULL, NULL, NULL));
	OK(linkfs_path_rollback(v, NULL, ROOT, "/", id_of("one"), 0, NULL, NULL));
}

/* ---- a small stream ---------------------------------------------------------------------------------------------- */

static void make(const char *path, uint32_t mode)
{
	OK(linkfs_path_make(v, NULL, ROOT, path, &(struct linkfs_make){.mode = mode}, NULL));
}

static void every_byte_flipped(void **state)
{
	struct stream_bytes small = {0}, flipped = {0};
	struct linkfs_stat st;
	(void)state;
	make("/d", S_IFDIR | 0755);
	make("/d/f", S_IFREG | 0644);
	OK(linkfs_path_stat(v, NULL, ROOT, "/d/f", 0, &st));
	OK(linkfs_node_write(v, NULL, st.ino, 0, "content", 7, 0, NULL, NULL));
	OK(linkfs_path_symlink(v, NULL, "f", ROOT, "/d/s", NULL));
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = "one"}, NULL));
	OK(stream_case_send(v, 0, id_of("one"), NULL, &small));
	char *want = text("one");
	OK(linkfs_snapshot_delete(v, NULL, "one", NULL, NULL, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/d/f"));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/d/s"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "/d"));
	assert_true(small.len < 3000);
	flipped = small;
	flipped.p = malloc(small.len);
	for (size_t i = 0; i < small.len; i++) {
		memcpy(flipped.p, small.p, small.len);
		flipped.p[i] ^= (unsigned char)(1u << (i % 8));
		int r = receive(&flipped, flipped.len);
		if (r == 0)
			fail_msg("byte %zu flipped, and received", i);
		char *none = text("one");
		assert_string_equal(none, "none");
		free(none);
		if (i % 100 == 99)
			check();
		/* Most go on where the last one ended. */
		struct linkfs_receive_pending pending;
		if (i % 7 == 0 && linkfs_receive_pending(v, &pending) == 0)
			OK(linkfs_receive_abort(v, NULL, NULL));
	}
	OK(receive(&small, small.len));
	shows("one", want);
	shows(NULL, want);
	check();
	free(want);
	free(flipped.p);
	stream_case_free(&small);
}

/* Of a record that begins at byte at, so that only what it says is wrong. */
static void seal(struct stream_bytes *stream, size_t at, size_t end)
{
	uint64_t sum = XXH3_64bits(stream->p + at, end - at - 8);
	for (int i = 0; i < 8; i++)
		stream->p[end - 8 + (size_t)i] = (unsigned char)(sum >> (8 * i));
}

static void what_the_ends_say_is_compared(void **state)
{
	struct stream_bytes other = whole;
	struct linkfs_message why;
	const size_t end = 64, last = whole.len - end; /* END's length, and where it begins */
	(void)state;
	other.p = malloc(2 * whole.len);
	/* The checksum of the whole stream. */
	memcpy(other.p, whole.p, whole.len);
	other.p[whole.len - 9] ^= 1;
	seal(&other, last, whole.len);
	assert_int_equal(stream_case_receive(v, &other, other.len, 0, &why), LINKFS_EIO);
	assert_string_equal(why.text, "the stream is damaged: its checksum is wrong");
	/* What the tree is to be. */
	memcpy(other.p, whole.p, whole.len);
	other.p[whole.len - 25] ^= 1;
	seal(&other, last, whole.len);
	assert_int_equal(stream_case_receive(v, &other, other.len, 0, NULL), LINKFS_EAGAIN);
	/* The number of objects. */
	memcpy(other.p, whole.p, whole.len);
	other.p[last + 16] ^= 1;
	seal(&other, last, whole.len);
	assert_int_equal(stream_case_receive(v, &other, other.len, 0, NULL), LINKFS_EINVAL);
	/* A record is left out, and one comes twice. */
	size_t from = stream_case_record(&whole, 20), to = stream_case_record(&whole, 21);
	memcpy(other.p, whole.p, from);
	memcpy(other.p + from, whole.p + to, whole.len - to);
	assert_int_equal(stream_case_receive(v, &other, whole.len - (to - from), 0, NULL), LINKFS_EINVAL);
	memcpy(other.p, whole.p, to);
	memcpy(other.p + to, whole.p + from, to - from);
	assert_int_equal(stream_case_receive(v, &other, to + (to - from), 0, NULL), LINKFS_EINVAL);
	/* Of another version. */
	memcpy(other.p, whole.p, whole.len);
	other.p[8] = 2;
	assert_int_equal(stream_case_receive(v, &other, other.len, 0, NULL), LINKFS_ENEWER);
	char *none = text("one");
	assert_string_equal(none, "none");
	free(none);
	OK(receive(&whole, whole.len));
	check();
	free(other.p);
}

/* ---- cut off ----------------------------------------------------------------------------------------------------- */

/* The sender's volume is gone after stream_case_make(): here one that stays. */
static void cut_at_every_record(void **state)
{
	struct linkfs_receive_pending pending;
	struct stream_bytes rest = {0};
	struct linkfs_volume *receiver = v, *sender;
	char path[4200];
	size_t records = 0, resumed = 0;
	(void)state;
	(void)snprintf(path, sizeof(path), "%.4000s.sender", volume_path);
	OK(linkfs_volume_create(path, &(struct linkfs_create_options){0}, NULL));
	OK(linkfs_volume_open(path, &(struct linkfs_open_options){0}, &sender, NULL));
	/* What is received can be sent on: the origin is the same. */
	OK(stream_case_receive(sender, &whole, whole.len, 0, NULL));
	OK(stream_case_receive(sender, &difference, difference.len, 0, NULL));
	OK(receive(&whole, whole.len));
	char *one = text("one");
	OK(receive(&difference, difference.len));
	char *two = text("two");
	v = sender;
	shows("two", two);
	uint64_t from = id_of("one"), to = id_of("two");
	OK(stream_case_send(v, from, to, NULL, &rest));
	stream_case_free(&difference);
	difference = rest;
	rest = (struct stream_bytes){0};
	v = receiver;
	for (size_t n = 1; stream_case_record(&difference, n) < difference.len; n++) {
		size_t end = stream_case_record(&difference, n);
		back_to_one();
		shows(NULL, one);
		assert_int_equal(receive(&difference, end), LINKFS_EPIPE);
		check();
		shows("one", one);
		records++;
		if (n % 3 == 0) {
			OK(linkfs_receive_abort(v, NULL, NULL));
			shows(NULL, one);
			OK(receive(&difference, difference.len));
		} else if (linkfs_receive_pending(v, &pending) == 0) {
			assert_string_equal(pending.name, "two");
			assert_string_equal(pending.base, "one");
			OK(stream_case_send(sender, 0, 0, pending.token, &rest));
			assert_true(rest.len <= difference.len);
			OK(receive(&rest, rest.len));
			resumed++;
		} else {
			OK(receive(&difference, difference.len));
		}
		shows("two", two);
		shows(NULL, two);
	}
	print_message("# %zu records, %zu times by token\n", records, resumed);
	assert_true(records > 30 && resumed > 10);
	OK(linkfs_volume_close(sender));
	free(one);
	free(two);
	stream_case_free(&rest);
}

/* ---- others -------------------------------------------------------------------------------------------------------- */

static void what_others_change_is_noticed(void **state)
{
	size_t middle = stream_case_record(&difference, 30);
	struct linkfs_stat st;
	(void)state;
	OK(receive(&whole, whole.len));
	assert_int_equal(receive(&difference, middle), LINKFS_EPIPE);
	make("/stranger", S_IFREG | 0644);
	assert_int_equal(receive(&difference, difference.len), LINKFS_EAGAIN);
	OK(linkfs_path_unlink(v, NULL, ROOT, "/stranger"));
	/* In a file that the stream changes. */
	OK(linkfs_path_stat(v, NULL, ROOT, "/d/big", 0, &st));
	OK(linkfs_node_write(v, NULL, st.ino, 100, "x", 1, 0, NULL, NULL));
	assert_int_equal(receive(&difference, difference.len), LINKFS_EAGAIN);
	char *none = text("two");
	assert_string_equal(none, "none");
	free(none);
	/* Its bases is what is gone back to. */
	OK(linkfs_receive_abort(v, NULL, NULL));
	OK(receive(&difference, difference.len));
	check();
	/* The same before it began. */
	back_to_one();
	OK(linkfs_path_stat(v, NULL, ROOT, "/d/big", 0, &st));
	OK(linkfs_node_write(v, NULL, st.ino, 100, "x", 1, 0, NULL, NULL));
	assert_int_equal(receive(&difference, difference.len), LINKFS_EXDEV);
	OK(stream_case_receive(v, &difference, difference.len, LINKFS_RECEIVE_DISCARD, NULL));
}

static void whole_ones_want_an_empty_volume(void **state)
{
	(void)state;
	make("/f", S_IFREG | 0644);
	assert_int_equal(receive(&whole, whole.len), LINKFS_ENOTEMPTY);
	assert_int_equal(receive(&difference, difference.len), LINKFS_ENOENT);
	OK(linkfs_path_unlink(v, NULL, ROOT, "/f"));
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = "one"}, NULL));
	assert_int_equal(receive(&whole, whole.len), LINKFS_EEXIST);
	OK(linkfs_snapshot_rename(v, NULL, "one", "other"));
	/* A stranger in a whole one is noticed as well. */
	assert_int_equal(receive(&whole, whole.len - 40), LINKFS_EPIPE);
	make("/f", S_IFREG | 0644);
	assert_int_equal(receive(&whole, whole.len), LINKFS_EAGAIN);
	OK(linkfs_path_unlink(v, NULL, ROOT, "/f"));
	OK(receive(&whole, whole.len));
	struct linkfs_receive_pending pending;
	assert_int_equal(linkfs_receive_pending(v, &pending), LINKFS_ENOENT);
	assert_int_equal(linkfs_receive_abort(v, NULL, NULL), LINKFS_ENOENT);
	assert_int_equal(receive(&whole, 0), LINKFS_ENODATA);
}

static int refuse(void *arg, const void *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	return *(int *)arg;
}

static void who_may(void **state)
{
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	int error = LINKFS_EIO;
	struct linkfs_send ask = {.write = refuse, .arg = &error};
	struct linkfs_received done;
	struct linkfs_message why;
	const struct linkfs_receive to = {.read = NULL};
	(void)state;
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = "s"}, &ask.to));
	assert_int_equal(linkfs_send(v, &user, &ask, &why), LINKFS_EPERM);
	assert_int_equal(linkfs_receive(v, &user, &to, &done, &why), LINKFS_EPERM);
	assert_int_equal(linkfs_receive_abort(v, &user, &why), LINKFS_EPERM);
	/* The writer's error is the call's. */
	assert_int_equal(linkfs_send(v, NULL, &ask, &why), LINKFS_EIO);
	error = 1;
	assert_int_equal(linkfs_send(v, NULL, &ask, &why), LINKFS_EINTR);
	ask.from = ask.to;
	assert_int_equal(linkfs_send(v, NULL, &ask, &why), LINKFS_EINVAL);
	ask.from = 0;
	ask.to = 999;
	assert_int_equal(linkfs_send(v, NULL, &ask, &why), LINKFS_ENOENT);
	ask.token = "linkfs1-00";
	assert_int_equal(linkfs_send(v, NULL, &ask, &why), LINKFS_EINVAL);
}

static void own(const char *path, uint32_t uid, uint32_t mode)
{
	const struct linkfs_setattr change = {
		.valid = LINKFS_SET_UID | LINKFS_SET_GID | LINKFS_SET_MODE, .uid = uid, .gid = uid, .mode = mode};
	OK(linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &change));
}

/* Which of the changes of a difference the owner of the root directory may receive where a file is root's. */
static int difference_as_user(void (*change)(void))
{
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct stream_bytes first = {0}, second = {0};
	struct linkfs_volume *receiver = v, *sender;
	struct linkfs_message why;
	char path[4200];
	(void)snprintf(path, sizeof(path), "%.4000s.sender", volume_path);
	OK(linkfs_volume_create(path, &(struct linkfs_create_options){.root_uid = 1000, .root_gid = 1000}, NULL));
	OK(linkfs_volume_open(path, &(struct linkfs_open_options){0}, &sender, NULL));
	v = sender;
	put("secret", "nobody shall read this");
	own("/secret", 0, 0600);
	put("his", "his");
	own("/his", 1000, 0644);
	OK(linkfs_path_setattr(v, NULL, ROOT, "/his", 0, &(struct linkfs_setattr){.valid = LINKFS_SET_GID, .gid = 5}));
	make("/dir", S_IFDIR | 0755);
	own("/dir", 0, 0755);
	struct linkfs_stat st;
	OK(linkfs_path_stat(v, NULL, ROOT, "/secret", 0, &st));
	char block[8192];
	memset(block, 's', sizeof(block));
	OK(linkfs_node_write(v, NULL, st.ino, 0, block, sizeof(block), 0, NULL, NULL));
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = "a"}, NULL));
	change();
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = "b"}, NULL));
	OK(stream_case_send(v, 0, id_of("a"), NULL, &first));
	OK(stream_case_send(v, id_of("a"), id_of("b"), NULL, &second));
	OK(linkfs_volume_close(sender));
	lk_test_rmdir(strdup(path));
	v = receiver;
	OK(receive(&first, first.len));
	const struct linkfs_receive ask = {.read = stream_case_get, .arg = &second};
	second.at = 0;
	second.end = second.len;
	int r = linkfs_receive(v, &user, &ask, NULL, &why);
	if (r)
		OK(linkfs_receive_abort(v, NULL, NULL));
	check();
	stream_case_free(&first);
	stream_case_free(&second);
	return r;
}

static void write_his(void)
{
	put("his", "changed");
}

static void copy_secret(void)
{
	OK(linkfs_path_clone(v, NULL, ROOT, "/secret", ROOT, "/copy", 0, NULL));
	own("/copy", 1000, 0644);
}

static void name_in_roots(void)
{
	OK(linkfs_path_link(v, NULL, ROOT, "/his", ROOT, "/dir/link", 0));
}

static void give_away(void)
{
	OK(linkfs_path_setattr(v, NULL, ROOT, "/his", 0, &(struct linkfs_setattr){.valid = LINKFS_SET_UID, .uid = 7}));
}

static void take_group(void)
{
	OK(linkfs_path_setattr(v, NULL, ROOT, "/his", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MODE, .mode = 02755}));
}

static void remove_secret(void)
{
	OK(linkfs_path_unlink(v, NULL, ROOT, "/secret"));
}

/* A volume whose root directory is his. */
static int user_setup(void **state)
{
	int r = volume_setup(state);
	own("/", 1000, 0755);
	return r;
}

static void his_own(void **state)
{
	(void)state;
	OK(difference_as_user(write_his));
}

#define NOT_HIS(change)                                                                                                \
	static void change##_is_refused(void **state)                                                                  \
	{                                                                                                              \
		void (*what)(void) = change;                                                                           \
		(void)state;                                                                                           \
		assert_int_equal(difference_as_user(what), LINKFS_EPERM);                                              \
	}
NOT_HIS(copy_secret)
NOT_HIS(name_in_roots)
NOT_HIS(give_away)
NOT_HIS(take_group)
NOT_HIS(remove_secret)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_byte_flipped, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_the_ends_say_is_compared, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_others_change_is_noticed, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(whole_ones_want_an_empty_volume, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(cut_at_every_record, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(who_may, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(his_own, user_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(copy_secret_is_refused, user_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(name_in_roots_is_refused, user_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(give_away_is_refused, user_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(take_group_is_refused, user_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(remove_secret_is_refused, user_setup, volume_teardown),
	};
	char *top = lk_test_mkdir(), path[4200];
	(void)snprintf(path, sizeof(path), "%s/source", top);
	stream_case_make(path, &whole, &difference);
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	lk_test_rmdir(top);
	stream_case_free(&whole);
	stream_case_free(&difference);
	return r;
}
