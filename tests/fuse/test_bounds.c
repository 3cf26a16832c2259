/*
 * test_bounds.c - no bytes get past dispatch unbounded: every opcode, every length, every kind of bad name, and a
 * hundred thousand damaged requests. Requests lie at the end of their own heap block, so that ASan sees one byte too far.
 */
#include "test.h"

#include "fake.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 65536 /* small, since every request has blocks of its own */

static struct message m;
static struct reply r;

/* Dispatches a copy of exactly len bytes and checks what holds for every reply. */
static int send_exactly(struct linkfs_mount *mount, const void *bytes, size_t len, size_t out_cap)
{
	uint8_t *in = malloc(len ? len : 1), *out = malloc(out_cap);
	struct lk_fuse_request rq;
	struct fuse_out_header header;
	assert_non_null(in);
	assert_non_null(out);
	memcpy(in, bytes, len);
	size_t n = lk_fuse_dispatch(mount, in, len, out, out_cap, &rq);
	int error = 1;
	assert_true(n == 0 || (n >= sizeof(header) && n <= out_cap));
	if (n) {
		memcpy(&header, out, sizeof(header));
		assert_int_equal(header.len, n);
		assert_true(header.error <= 0 && header.error > -4096);
		assert_true(header.unique == ((const struct fuse_in_header *)(const void *)in)->unique);
		if (header.error)
			assert_int_equal(n, sizeof(header));
		error = header.error;
	}
	/* As when the kernel does not take the reply: nothing may stay held. */
	lk_fuse_undo(&rq, out, n);
	free(in);
	free(out);
	return error;
}

static bool silent(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_NOTIFY_REPLY;
}

static void every_opcode(void **state)
{
	struct lk_test_random random = {lk_test_seed()};
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	for (uint32_t i = 0; i < 4096 + 2000; i++) {
		uint32_t opcode = i < 4097 ? i : (uint32_t)lk_test_next(&random);
		fake_reset();
		bool known = message_valid(&m, opcode);
		int error = send_exactly(mount, m.bytes, m.len, ROOM);
		if (silent(opcode))
			assert_int_equal(error, 1);
		else if (!known)
			assert_int_equal(error, -ENOSYS);
		else if (lk_fuse_ops[opcode].run && opcode != FUSE_INIT)
			assert_int_equal(error, 0);
		if (!silent(opcode))
			assert_int_equal(fake_held(), 0);
	}
}

/* The operations that must never be asked again, and the one that is answered anew each time. */
static void refused_operations(void **state)
{
	static const uint32_t nosys[] = {FUSE_FLUSH, FUSE_ACCESS, FUSE_OPENDIR, FUSE_POLL,     FUSE_GETLK,
					 FUSE_SETLK, FUSE_SETLKW, FUSE_BMAP,    FUSE_INTERRUPT};
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	for (size_t i = 0; i < LK_FUSE_ARRAY_LEN(nosys); i++) {
		message_begin(&m, nosys[i], FAKE_FILE);
		assert_int_equal(message_send(mount, &m, &r), -ENOSYS);
	}
	message_valid(&m, FUSE_IOCTL);
	assert_int_equal(message_send(mount, &m, &r), -ENOTTY);
	/* Anything else that the library does not know must not be switched off for good. */
	fake_reset();
	fake.result = LINKFS_ENOSYS;
	for (uint32_t opcode = 1; opcode < LK_FUSE_OPCODES; opcode++) {
		if (!message_valid(&m, opcode) || !lk_fuse_ops[opcode].run)
			continue;
		assert_int_not_equal(message_send(mount, &m, &r), -ENOSYS);
	}
}

/* Every request cut at every length: an error or silence, never an effect on a node that was not named whole. */
static void every_truncation(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	for (uint32_t opcode = 1; opcode < LK_FUSE_OPCODES; opcode++) {
		if (!message_valid(&m, opcode))
			continue;
		size_t whole = m.len;
		for (size_t len = 0; len < whole; len++) {
			fake_reset();
			m.header.len = (uint32_t)len; /* what came is all the kernel claims */
			int error = send_exactly(mount, m.bytes, len, ROOM);
			if (len < sizeof(m.header))
				assert_int_equal(error, 1);
			else if (!silent(opcode) && lk_fuse_ops[opcode].run &&
				 len < sizeof(m.header) + lk_fuse_ops[opcode].min_arg)
				assert_int_equal(error, -EINVAL);
			m.header.len = (uint32_t)whole; /* and when it claims more than came */
			error = send_exactly(mount, m.bytes, len, ROOM);
			if (len >= sizeof(m.header) && !silent(opcode))
				assert_int_equal(error, -EINVAL);
			if (!silent(opcode))
				assert_int_equal(fake_held(), 0);
		}
	}
}

static const struct {
	uint32_t opcode;
	size_t fixed; /* bytes before the names */
	int names;
	int which; /* the one under test */
} named[] = {
	{FUSE_LOOKUP, 0, 1, 0},
	{FUSE_UNLINK, 0, 1, 0},
	{FUSE_RMDIR, 0, 1, 0},
	{FUSE_SYMLINK, 0, 2, 0},
	{FUSE_MKNOD, sizeof(struct fuse_mknod_in), 1, 0},
	{FUSE_MKDIR, sizeof(struct fuse_mkdir_in), 1, 0},
	{FUSE_CREATE, sizeof(struct fuse_create_in), 1, 0},
	{FUSE_LINK, sizeof(struct fuse_link_in), 1, 0},
	{FUSE_RENAME, sizeof(struct fuse_rename_in), 2, 0},
	{FUSE_RENAME, sizeof(struct fuse_rename_in), 2, 1},
	{FUSE_RENAME2, sizeof(struct fuse_rename2_in), 2, 0},
	{FUSE_RENAME2, sizeof(struct fuse_rename2_in), 2, 1},
};

static int send_name(struct linkfs_mount *mount, size_t i, const char *name, size_t len, bool end)
{
	message_valid(&m, named[i].opcode);
	m.len = sizeof(m.header) + named[i].fixed;
	for (int n = 0; n < named[i].names; n++) {
		if (n != named[i].which) {
			message_name(&m, "other");
			continue;
		}
		message_add(&m, name, len);
		if (!end)
			break;
		message_add(&m, "", 1);
	}
	return send_exactly(mount, m.bytes, m.len, ROOM);
}

static void every_name(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	char name[4200];
	(void)state;
	for (size_t i = 0; i < LK_FUSE_ARRAY_LEN(named); i++) {
		fake_reset();
		memset(name, 'n', sizeof(name));
		assert_int_equal(send_name(mount, i, name, 255, true), 0);
		assert_int_equal(send_name(mount, i, name, 256, true), -ENAMETOOLONG);
		assert_int_equal(send_name(mount, i, name, 4095, true), -ENAMETOOLONG);
		assert_int_equal(send_name(mount, i, name, 8, false), -EINVAL);
		assert_int_equal(send_name(mount, i, name, 300, false), -EINVAL);
		assert_int_equal(send_name(mount, i, name, 0, true), -EINVAL);
		assert_int_equal(send_name(mount, i, "a/b", 3, true), -EINVAL);
		assert_int_equal(send_name(mount, i, "\n\377\1", 3, true), 0);
		if (named[i].opcode != FUSE_LOOKUP) {
			assert_int_equal(send_name(mount, i, ".", 1, true), -EINVAL);
			assert_int_equal(send_name(mount, i, "..", 2, true), -EINVAL);
		}
		assert_int_equal(fake_held(), 0);
	}
}

static void node_ids(void **state)
{
	static const uint64_t dead[] = {0, 1ull << 48, UINT64_MAX, (1ull << 48) + FAKE_FILE, FAKE_INODES};
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	for (size_t i = 0; i < LK_FUSE_ARRAY_LEN(dead); i++) {
		for (uint32_t opcode = 1; opcode < LK_FUSE_OPCODES; opcode++) {
			fake_reset();
			if (!message_valid(&m, opcode) || !lk_fuse_ops[opcode].run || opcode == FUSE_FORGET ||
			    (lk_fuse_ops[opcode].flags & LK_FUSE_NO_NODE) || opcode == FUSE_OPEN)
				continue;
			m.header.nodeid = dead[i];
			assert_int_equal(send_exactly(mount, m.bytes, m.len, ROOM), -ESTALE);
			assert_int_equal(fake_held(), 0);
		}
	}
	const struct fuse_link_in link = {.oldnodeid = 1ull << 50};
	message_begin(&m, FUSE_LINK, 1);
	message_add(&m, &link, sizeof(link));
	message_name(&m, "new");
	assert_int_equal(message_send(mount, &m, &r), -ESTALE);
}

/* Replies must fit whatever room there is. */
static void small_replies(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	for (uint32_t opcode = 1; opcode < LK_FUSE_OPCODES; opcode++) {
		for (size_t cap = 1; cap < 400; cap += 7) {
			fake_reset();
			if (!message_valid(&m, opcode) || silent(opcode))
				continue;
			send_exactly(mount, m.bytes, m.len, cap);
			assert_int_equal(fake_held(), 0);
		}
	}
}

/* A hundred thousand requests, each a correct one with some bytes changed, cut or filled with chance. */
static void damaged_requests(void **state)
{
	struct lk_test_random random = {lk_test_seed()};
	static struct message damaged;
	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct linkfs_mount *mount = fake_mount();
		fake_reset();
		fake.batch = (unsigned)lk_test_below(&random, 4);
		message_valid(&damaged, (uint32_t)lk_test_below(&random, LK_FUSE_OPCODES + 4));
		uint64_t changes = lk_test_below(&random, 8);
		for (uint64_t c = 0; c < changes; c++) {
			uint64_t at = lk_test_below(&random, damaged.len);
			uint64_t value = lk_test_next(&random);
			damaged.bytes[at] = (uint8_t)(value & 1 ? value >> 8 : value & 2 ? 0xff : 0);
		}
		if (lk_test_below(&random, 3) == 0)
			damaged.len = lk_test_below(&random, damaged.len + 1);
		if (lk_test_below(&random, 2) == 0)
			damaged.header.len = (uint32_t)damaged.len;
		if (lk_test_below(&random, 4) == 0)
			damaged.header.total_extlen = (uint16_t)lk_test_below(&random, 6);
		else
			damaged.header.total_extlen = 0;
		size_t cap = lk_test_below(&random, 8) ? 65536 : lk_test_below(&random, 300) + 1;
		send_exactly(mount, damaged.bytes, damaged.len, cap);
		if (damaged.len < sizeof(damaged.header) || !silent(damaged.header.opcode))
			assert_int_equal(fake_held(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_opcode),     cmocka_unit_test(refused_operations),
		cmocka_unit_test(every_truncation), cmocka_unit_test(every_name),
		cmocka_unit_test(node_ids),         cmocka_unit_test(small_replies),
		cmocka_unit_test(damaged_requests),
	};
	return cmocka_run_group_tests_name("fuse-bounds", tests, NULL, NULL);
}
