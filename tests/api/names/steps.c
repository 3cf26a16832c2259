/*
 * steps.c - the two ways to run a step: the library's path calls, and the host's system calls.
 */
#include "steps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define EXT_MAGIC 0xef53

static const uint32_t member_groups[] = {1000};
static const struct linkfs_cred creds[] = {
	[R] = {.umask = 022},
	[O] = {.uid = 1000, .gid = 1000, .umask = 022},
	[M] = {.uid = 1001, .gid = 1001, .groups = member_groups, .ngroups = 1, .umask = 022},
	[X] = {.uid = 2000, .gid = 2000, .umask = 022},
};

static struct linkfs_volume *volume;

static struct bytes value_of(const struct step *s)
{
	struct bytes one = {"x", 1};

	return s->v ? *s->v : one;
}

static int seen(bool right)
{
	return right ? 0 : 1; /* no LINKFS code */
}

/* ---- the library ---------------------------------------------------------------------------------------------- */

static int lib_setattr(const struct step *s, const struct linkfs_cred *cred)
{
	struct linkfs_setattr c = {0};
	uint32_t flags = 0;

	switch ((int)s->call) {
	case LCHMOD:
		flags = LINKFS_NOFOLLOW;
		c.valid = LINKFS_SET_MODE;
		c.mode = s->n;
		break;
	case CHMOD:
		c.valid = LINKFS_SET_MODE;
		c.mode = s->n;
		break;
	case CHOWN:
		c.valid = (s->n == KEEP ? 0 : LINKFS_SET_UID) | (s->m == KEEP ? 0 : LINKFS_SET_GID);
		c.uid = s->n;
		c.gid = s->m;
		break;
	case TRUNC:
		c.valid = LINKFS_SET_SIZE;
		c.size = s->n;
		break;
	case NOW:
		c.valid = LINKFS_SET_ATIME_NOW | LINKFS_SET_MTIME_NOW;
		break;
	case NOW1:
		c.valid = LINKFS_SET_ATIME_NOW;
		break;
	default:
		c.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME;
		c.atime_ns = c.mtime_ns = 12345;
		break;
	}
	return linkfs_path_setattr(volume, cred, LINKFS_ROOT_INO, s->a, flags, &c);
}

static int lib_xattr(const struct step *s, const struct linkfs_cred *cred)
{
	struct bytes v = value_of(s);
	struct linkfs_stat st;
	char buf[65536];
	size_t len = 0;
	int rc = linkfs_path_stat(volume, cred, LINKFS_ROOT_INO, s->a, LINKFS_NOFOLLOW, &st);

	if (rc)
		return rc;
	if (s->call == SETX)
		return linkfs_node_setxattr(volume, cred, st.ino, s->b, v.p, v.len, s->n);
	if (s->call == RMX)
		return linkfs_node_removexattr(volume, cred, st.ino, s->b);
	if (s->call == LSX) {
		rc = linkfs_node_listxattr(volume, cred, st.ino, buf, sizeof(buf), &len);
		return rc ? rc : seen(len == s->m);
	}
	rc = linkfs_node_getxattr(volume, cred, st.ino, s->b, buf, sizeof(buf), &len);
	return rc || !s->v ? rc : seen(len == v.len && memcmp(buf, v.p, len) == 0);
}

static int lib_look(const struct step *s)
{
	struct linkfs_stat a, b = {0};
	int rc = linkfs_path_stat(volume, NULL, LINKFS_ROOT_INO, s->a, LINKFS_NOFOLLOW, &a);

	if (rc == 0 && s->call == SAME)
		rc = linkfs_path_stat(volume, NULL, LINKFS_ROOT_INO, s->b, LINKFS_NOFOLLOW, &b);
	if (rc)
		return rc;
	switch ((int)s->call) {
	case MODE:
		return seen((a.mode & 07777) == s->n);
	case NLINK:
		return seen(a.nlink == s->n);
	case OWNER:
		return seen(a.uid == s->n && a.gid == s->m);
	default:
		return seen(a.ino == b.ino);
	}
}

static int lib_access(const struct step *s, const struct linkfs_cred *cred)
{
	struct linkfs_stat st;
	int rc = linkfs_path_stat(volume, cred, LINKFS_ROOT_INO, s->a, 0, &st);

	return rc ? rc : linkfs_node_access(volume, cred, st.ino, s->n);
}

static int lib_step(const struct step *s)
{
	const struct linkfs_cred *cred = &creds[s->user];
	struct linkfs_make how = {.mode = s->n, .rdev_major = s->m ? 0 : 1, .rdev_minor = s->m ? 0 : 3};
	struct linkfs_file *file;
	struct linkfs_dir *dir;
	struct linkfs_stat st;
	char buf[8192];
	size_t len;
	int rc;

	switch (s->call) {
	case MKDIR:
		how.mode |= S_IFDIR;
		return linkfs_path_make(volume, cred, LINKFS_ROOT_INO, s->a, &how, NULL);
	case MK:
		return linkfs_path_make(volume, cred, LINKFS_ROOT_INO, s->a, &how, NULL);
	case SYM:
		return linkfs_path_symlink(volume, cred, s->b, LINKFS_ROOT_INO, s->a, NULL);
	case LN:
	case LNF:
		return linkfs_path_link(volume, cred, LINKFS_ROOT_INO, s->a, LINKFS_ROOT_INO, s->b,
					s->call == LNF ? LINKFS_FOLLOW : 0);
	case RM:
		return linkfs_path_unlink(volume, cred, LINKFS_ROOT_INO, s->a);
	case RMDIR:
		return linkfs_path_rmdir(volume, cred, LINKFS_ROOT_INO, s->a);
	case MV:
		return linkfs_path_rename(volume, cred, LINKFS_ROOT_INO, s->a, LINKFS_ROOT_INO, s->b, s->n);
	case STAT:
	case LSTAT:
		return linkfs_path_stat(volume, cred, LINKFS_ROOT_INO, s->a, s->call == LSTAT ? LINKFS_NOFOLLOW : 0,
					&st);
	case RDLNK:
		return linkfs_path_readlink(volume, cred, LINKFS_ROOT_INO, s->a, buf, sizeof(buf), &len);
	case OPEN:
		rc = linkfs_file_open(volume, cred, LINKFS_ROOT_INO, s->a, s->n, 0644, &file);
		if (rc == 0)
			linkfs_file_close(file);
		return rc;
	case LS:
		rc = linkfs_dir_open(volume, cred, LINKFS_ROOT_INO, s->a, &dir);
		if (rc == 0)
			linkfs_dir_close(dir);
		return rc;
	case ACCESS:
		return lib_access(s, cred);
	case CHMOD:
	case LCHMOD:
	case CHOWN:
	case TRUNC:
	case NOW:
	case TIMES:
	case NOW1:
		return lib_setattr(s, cred);
	case SETX:
	case GETX:
	case RMX:
	case LSX:
		return lib_xattr(s, cred);
	case MODE:
	case NLINK:
	case OWNER:
	case SAME:
		return lib_look(s);
	case END:
		break;
	}
	return 1;
}

/* ---- the host ------------------------------------------------------------------------------------------------- */

static void become(const struct linkfs_cred *cred)
{
	gid_t groups[1] = {1000};

	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setgroups(cred->ngroups, groups), 0);
	assert_int_equal(setegid(cred->gid), 0);
	assert_int_equal(seteuid(cred->uid), 0);
}

static int result(int rc)
{
	return rc < 0 ? linkfs_from_errno(errno) : 0;
}

static int host_open(const struct step *s)
{
	static const struct {
		uint32_t ours;
		int host;
	} map[] = {{LINKFS_O_APPEND, O_APPEND}, {LINKFS_O_CREATE, O_CREAT},      {LINKFS_O_EXCL, O_EXCL},
		   {LINKFS_O_TRUNC, O_TRUNC},   {LINKFS_O_NOFOLLOW, O_NOFOLLOW}, {LINKFS_O_TMPFILE, O_TMPFILE}};
	int flags = s->n & LINKFS_O_WRITE ? (s->n & LINKFS_O_READ ? O_RDWR : O_WRONLY) : O_RDONLY, fd;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		flags |= s->n & map[i].ours ? map[i].host : 0;
	fd = open(s->a, flags | O_NONBLOCK, 0644);
	if (fd >= 0)
		(void)close(fd);
	return result(fd);
}

static int host_xattr(const struct step *s)
{
	struct bytes v = value_of(s);
	char buf[65536];
	ssize_t n;

	if (s->call == SETX)
		return result(lsetxattr(s->a, s->b, v.p, v.len, (int)s->n));
	if (s->call == RMX)
		return result(lremovexattr(s->a, s->b));
	if (s->call == LSX) {
		n = llistxattr(s->a, buf, sizeof(buf));
		return n < 0 ? result(-1) : seen((size_t)n == s->m);
	}
	n = lgetxattr(s->a, s->b, buf, sizeof(buf));
	if (n < 0 || !s->v)
		return result(n < 0 ? -1 : 0);
	return seen((size_t)n == v.len && memcmp(buf, v.p, v.len) == 0);
}

static int host_look(const struct step *s)
{
	struct stat a, b;

	if (lstat(s->a, &a) || (s->call == SAME && lstat(s->b, &b)))
		return result(-1);
	switch ((int)s->call) {
	case MODE:
		return seen((a.st_mode & 07777) == s->n);
	case NLINK:
		return seen(a.st_nlink == s->n);
	case OWNER:
		return seen(a.st_uid == s->n && a.st_gid == s->m);
	default:
		return seen(a.st_ino == b.st_ino);
	}
}

static int host_times(const struct step *s)
{
	struct timespec t[2] = {{0, 12345}, {0, 12345}};

	if (s->call == NOW)
		return result(utimensat(AT_FDCWD, s->a, NULL, 0));
	if (s->call == NOW1) {
		t[0].tv_nsec = UTIME_NOW;
		t[1].tv_nsec = UTIME_OMIT;
	}
	return result(utimensat(AT_FDCWD, s->a, t, 0));
}

static int host_step(const struct step *s)
{
	struct stat st;
	char buf[8192];
	DIR *dir;

	switch (s->call) {
	case MKDIR:
		return result(mkdir(s->a, s->n));
	case MK:
		return result(mknod(s->a, s->n, s->m ? makedev(0, 0) : makedev(1, 3)));
	case SYM:
		return result(symlink(s->b, s->a));
	case LN:
	case LNF:
		return result(linkat(AT_FDCWD, s->a, AT_FDCWD, s->b, s->call == LNF ? AT_SYMLINK_FOLLOW : 0));
	case RM:
		return result(unlink(s->a));
	case RMDIR:
		return result(rmdir(s->a));
	case MV:
		return result(renameat2(AT_FDCWD, s->a, AT_FDCWD, s->b, s->n));
	case STAT:
		return result(stat(s->a, &st));
	case LSTAT:
		return result(lstat(s->a, &st));
	case RDLNK:
		return result((int)readlink(s->a, buf, sizeof(buf)));
	case OPEN:
		return host_open(s);
	case LS:
		dir = opendir(s->a);
		if (!dir)
			return result(-1);
		(void)closedir(dir);
		return 0;
	case CHMOD:
		return result(chmod(s->a, s->n));
	case LCHMOD:
		return result(fchmodat(AT_FDCWD, s->a, s->n, AT_SYMLINK_NOFOLLOW));
	case CHOWN:
		return result(chown(s->a, s->n, s->m));
	case TRUNC:
		return result(truncate(s->a, s->n));
	case NOW:
	case TIMES:
	case NOW1:
		return host_times(s);
	case ACCESS:
		return result(faccessat(AT_FDCWD, s->a, (int)s->n, AT_EACCESS));
	case SETX:
	case GETX:
	case RMX:
	case LSX:
		return host_xattr(s);
	case MODE:
	case NLINK:
	case OWNER:
	case SAME:
		return host_look(s);
	case END:
		break;
	}
	return 1;
}

/* ---- running -------------------------------------------------------------------------------------------------- */

static bool reference;

static void run(void **state)
{
	const struct scenario *sc = *state;
	char *dir = lk_test_mkdir(), path[4096];
	int bad = 0;

	if (reference) {
		assert_int_equal(chdir(dir), 0);
		assert_int_equal(chmod(".", 0755), 0);
		(void)umask(022);
	} else {
		struct linkfs_open_options options = {0};
		struct linkfs_create_options create = {0};

		(void)snprintf(path, sizeof(path), "%s/v", dir);
		assert_int_equal(linkfs_volume_create(path, &create, NULL), 0);
		assert_int_equal(linkfs_volume_open(path, &options, &volume, NULL), 0);
	}
	for (const struct step *s = sc->steps; s->call != END; s++) {
		int rc;

		if (reference)
			become(s->call == MODE || s->call == NLINK || s->call == OWNER || s->call == SAME
				       ? &creds[R]
				       : &creds[s->user]);
		rc = reference ? host_step(s) : lib_step(s);
		if (rc == s->want)
			continue;
		bad++;
		print_error("%s: line %d (%s, %s): got %s, want %s\n", sc->name, s->line, s->a ? s->a : "",
			    s->b ? s->b : "", rc > 0 ? "something else" : linkfs_error_name(rc),
			    linkfs_error_name(s->want));
	}
	if (reference) {
		become(&creds[R]);
		assert_int_equal(chdir("/"), 0);
	} else {
		assert_int_equal(linkfs_volume_close(volume), 0);
	}
	lk_test_rmdir(dir);
	assert_int_equal(bad, 0);
}

int steps_main(int argc, char **argv, const struct scenario *scenarios, size_t count)
{
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	size_t run_count = 0;
	struct statfs fs;
	int failed;

	if (!tests)
		return 1;
	reference = argc > 1 && strcmp(argv[1], "--reference") == 0;
	if (reference &&
	    (geteuid() != 0 || statfs(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", &fs) || fs.f_type != EXT_MAGIC)) {
		(void)printf("1..0 # SKIP the reference run needs root and a temporary directory on ext4\n");
		free(tests);
		return 77;
	}
	for (size_t i = 0; i < count; i++) {
		const void *state = &scenarios[i];

		if (reference && scenarios[i].lib_only)
			continue;
		tests[run_count] = (struct CMUnitTest){.name = scenarios[i].name, .test_func = run};
		memcpy(&tests[run_count++].initial_state, &state, sizeof(state));
	}
	failed = _cmocka_run_group_tests("names", tests, run_count, NULL, NULL);
	free(tests);
	return failed;
}
