/*
 * behave_owner.c - new files belong to the caller; umask, setgid directories and default ACLs are applied once.
 */
#include "behave.h"

#include <sys/xattr.h>

/* POSIX ACLs as the kernel hands them over: version 2, then (tag, permissions, id) each, little-endian. */
struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

static size_t acl_blob(unsigned char *out, const struct acl_entry *entries, size_t count)
{
	uint32_t version = 2;
	memcpy(out, &version, 4);
	memcpy(out + 4, entries, count * sizeof(*entries));
	return 4 + count * sizeof(*entries);
}

static int make_all(const void *arg)
{
	(void)arg;
	int fd = open("file", O_WRONLY | O_CREAT | O_EXCL, 0666);
	if (fd < 0 || close(fd) || mkdir("dir", 0777) || symlink("x", "link") || mkfifo("fifo", 0666))
		return errno;
	return 0;
}

static void new_files_belong_to_the_caller(void **state)
{
	(void)state;
	assert_int_equal(as_user(ALICE, ALICE, TEAM, 022, make_all, NULL), 0);
	const char *names[] = {"file", "dir", "link", "fifo"};
	const mode_t modes[] = {0100644, 040755, 0120777, 010644};
	for (int i = 0; i < 4; i++) {
		struct stat st = stat_of(names[i]);
		assert_int_equal(st.st_uid, ALICE);
		assert_int_equal(st.st_gid, ALICE);
		assert_int_equal(st.st_mode, modes[i]);
	}
}

static void the_umask_is_applied_once(void **state)
{
	(void)state;
	const mode_t masks[] = {0, 02, 027, 077, 0777};
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		(void)umask(masks[i]);
		int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 06777);
		OK(fd);
		assert_int_equal(stat_of_fd(fd).st_mode & 07777, 06777 & ~masks[i]);
		OK(close(fd));
		OK(mkdir("d", 01777));
		assert_int_equal(stat_of("d").st_mode & 07777, 01777 & ~masks[i]);
		OK(unlink("f"));
		OK(rmdir("d"));
	}
	(void)umask(022);
}

static void setgid_directories_hand_on_their_group(void **state)
{
	(void)state;
	need_root();
	OK(chown(".", 0, TEAM));
	OK(chmod(".", 02777));
	assert_int_equal(as_user(ALICE, ALICE, TEAM, 022, make_all, NULL), 0);
	assert_int_equal(stat_of("file").st_gid, TEAM);
	assert_int_equal(stat_of("fifo").st_gid, TEAM);
	assert_int_equal(stat_of("link").st_gid, TEAM);
	assert_int_equal(stat_of("dir").st_gid, TEAM);
	assert_int_equal(stat_of("dir").st_mode & 07777, 02755);
	assert_int_equal(stat_of("file").st_mode & 07777, 0644);
}

static int make_setgid(const void *arg)
{
	(void)arg;
	int fd = open("setgid", O_WRONLY | O_CREAT | O_EXCL, 02775);
	return fd < 0 || close(fd) ? errno : 0;
}

static void setgid_of_a_new_file_needs_membership(void **state)
{
	(void)state;
	need_root();
	OK(chown(".", 0, TEAM));
	OK(chmod(".", 02777));
	assert_int_equal(as_user(BOB, BOB, 0, 0, make_setgid, NULL), 0);
	assert_int_equal(stat_of("setgid").st_mode & 07777, 0775);
	OK(unlink("setgid"));
	assert_int_equal(as_user(ALICE, ALICE, TEAM, 0, make_setgid, NULL), 0);
	assert_int_equal(stat_of("setgid").st_mode & 07777, 02775);
}

static void default_acls_replace_the_umask(void **state)
{
	(void)state;
	const struct acl_entry entries[] = {{USER_OBJ, 7, 0xffffffff},
					    {USER, 7, BOB},
					    {GROUP_OBJ, 5, 0xffffffff},
					    {MASK, 7, 0xffffffff},
					    {OTHER, 0, 0xffffffff}};
	unsigned char blob[64];
	size_t len = acl_blob(blob, entries, 5);
	OK(mkdir("d", 0777));
	OK(setxattr("d", "system.posix_acl_default", blob, len, 0));
	(void)umask(077);
	int fd = open("d/file", O_WRONLY | O_CREAT | O_EXCL, 0666);
	OK(fd);
	OK(close(fd));
	OK(mkdir("d/sub", 0777));
	(void)umask(022);
	/* The mask takes the group bits: rw from 0666 & mask 7, nothing for others. */
	assert_int_equal(stat_of("d/file").st_mode & 07777, 0660);
	assert_int_equal(stat_of("d/sub").st_mode & 07777, 0770);
	unsigned char got[256];
	assert_int_equal(getxattr("d/sub", "system.posix_acl_default", got, sizeof(got)), len);
	assert_memory_equal(got, blob, len);
	/* The file's access ACL is the directory's default with the mode's bits: bob's entry is still there. */
	ssize_t n = getxattr("d/file", "system.posix_acl_access", got, sizeof(got));
	assert_int_equal(n, len);
	struct acl_entry file[5];
	memcpy(file, got + 4, sizeof(file));
	assert_int_equal(file[1].tag, USER);
	assert_int_equal(file[1].id, BOB);
	assert_int_equal(file[0].perm, 6);
	assert_int_equal(file[3].perm, 6); /* mask */
	assert_int_equal(file[4].perm, 0);
}

static int open_for_writing(const void *arg)
{
	int fd = open(arg, O_WRONLY);
	return fd < 0 ? errno : close(fd);
}

static void acls_decide_and_change_the_mode(void **state)
{
	(void)state;
	need_root();
	put_file("f", "x");
	OK(chmod("f", 0600));
	assert_int_equal(as_user(BOB, BOB, 0, 0, open_for_writing, "f"), EACCES);
	struct acl_entry entries[] = {{USER_OBJ, 6, 0xffffffff},
				      {USER, 6, BOB},
				      {GROUP_OBJ, 4, 0xffffffff},
				      {MASK, 6, 0xffffffff},
				      {OTHER, 0, 0xffffffff}};
	unsigned char blob[64];
	size_t len = acl_blob(blob, entries, 5);
	OK(setxattr("f", "system.posix_acl_access", blob, len, 0));
	assert_int_equal(stat_of("f").st_mode & 07777, 0660);
	assert_int_equal(as_user(BOB, BOB, 0, 0, open_for_writing, "f"), 0);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, open_for_writing, "f"), EACCES);
	/* chmod of the group bits changes the mask, and so what bob may. */
	OK(chmod("f", 0640));
	assert_int_equal(as_user(BOB, BOB, 0, 0, open_for_writing, "f"), EACCES);
	unsigned char got[64];
	assert_int_equal(getxattr("f", "system.posix_acl_access", got, sizeof(got)), len);
	entries[3].perm = 4;
	(void)acl_blob(blob, entries, 5);
	assert_memory_equal(got, blob, len);
	/* An ACL that says no more than a mode is the mode. */
	const struct acl_entry minimal[] = {
		{USER_OBJ, 6, 0xffffffff}, {GROUP_OBJ, 6, 0xffffffff}, {OTHER, 4, 0xffffffff}};
	len = acl_blob(blob, minimal, 3);
	OK(setxattr("f", "system.posix_acl_access", blob, len, 0));
	assert_int_equal(stat_of("f").st_mode & 07777, 0664);
	FAILS(ENODATA, getxattr("f", "system.posix_acl_access", got, sizeof(got)));
	/* A broken one is refused. */
	FAILS(EINVAL, setxattr("f", "system.posix_acl_access", "\2\0\0\0\7", 5, 0));
}

static int link_it(const void *arg)
{
	(void)arg;
	return link("private/f", "mine") ? errno : 0;
}

static int link_by_fd(const void *arg)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", *(const int *)arg);
	return linkat(AT_FDCWD, path, AT_FDCWD, "mine", AT_SYMLINK_FOLLOW) ? errno : 0;
}

static void a_second_name_needs_only_the_file_and_the_new_place(void **state)
{
	(void)state;
	need_root();
	OK(mkdir("private", 0755));
	put_file("private/f", "text");
	OK(chmod("private/f", 0666)); /* the kernel's protected_hardlinks asks for read and write */
	OK(chmod("private", 0700));
	assert_int_equal(as_user(BOB, BOB, 0, 0, link_it, NULL), EACCES);
	int fd = open("private/f", O_RDWR);
	OK(fd);
	assert_int_equal(as_user(BOB, BOB, 0, 0, link_by_fd, &fd), 0);
	OK(close(fd));
	assert_int_equal(as_user(BOB, BOB, 0, 0, open_for_writing, "mine"), 0);
	assert_int_equal(nlink_of("mine"), 2);
}

static int unlink_it(const void *arg)
{
	return unlink(arg) ? errno : 0;
}
static int rename_it(const void *arg)
{
	return rename(arg, "moved") ? errno : 0;
}

static void sticky_directories_protect_names(void **state)
{
	(void)state;
	need_root();
	OK(mkdir("tmp", 0777));
	OK(chmod("tmp", 01777));
	OK(chdir("tmp"));
	assert_int_equal(as_user(ALICE, ALICE, 0, 022, make_all, NULL), 0);
	assert_int_equal(as_user(BOB, BOB, 0, 0, unlink_it, "file"), EPERM);
	assert_int_equal(as_user(BOB, BOB, 0, 0, rename_it, "file"), EPERM);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, rename_it, "file"), 0);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, unlink_it, "moved"), 0);
	OK(chdir(".."));
}

static const struct CMUnitTest tests[] = {
	BEHAVE(new_files_belong_to_the_caller),
	BEHAVE(the_umask_is_applied_once),
	BEHAVE(setgid_directories_hand_on_their_group),
	BEHAVE(setgid_of_a_new_file_needs_membership),
	BEHAVE(default_acls_replace_the_umask),
	BEHAVE(acls_decide_and_change_the_mode),
	BEHAVE(a_second_name_needs_only_the_file_and_the_new_place),
	BEHAVE(sticky_directories_protect_names),
};
BEHAVE_MAIN(tests)
