/*
 * posix.c - the back end of system calls: the chroot, credentials, time probes and dispatch. It serves ext4 and the
 * mount. Credentials change with raw system calls, for this thread alone.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

bool lk_posix_result(struct text *out, int64_t result)
{
	if (result < 0) {
		lk_answer_error(out, errno);
		return false;
	}
	lk_text_add(out, "ok");
	return true;
}

void lk_posix_stat(const struct stat *st, struct answer_stat *out)
{
	*out = (struct answer_stat){
		.mode = st->st_mode,
		.nlink = st->st_nlink,
		.size = (uint64_t)st->st_size,
		.ino = st->st_ino,
		.rdev_major = major(st->st_rdev),
		.rdev_minor = minor(st->st_rdev),
		.uid = st->st_uid,
		.gid = st->st_gid,
		.sec = {st->st_atim.tv_sec, st->st_mtim.tv_sec, st->st_ctim.tv_sec},
		.nsec = {st->st_atim.tv_nsec, st->st_mtim.tv_nsec, st->st_ctim.tv_nsec},
	};
}

static void write_file(const char *path, const char *bytes)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, bytes, strlen(bytes)) != (ssize_t)strlen(bytes))
		lk_die("%s: %s", path, strerror(errno));
	close(fd);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	if (syscall(SYS_capset, &head, none))
		lk_die("capset: %s", strerror(errno));
}

/* An ordinary user may chroot only as the root of a user namespace, whose capabilities are then given up. */
static void become_root_of_namespace(void)
{
	char map[64];
	unsigned uid = getuid(), gid = getgid();
	if (unshare(CLONE_NEWUSER)) {
		fprintf(stderr, "# skip: no user namespaces for an ordinary user: %s\n", strerror(errno));
		_exit(77);
	}
	write_file("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", map);
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", map);
}

/* The mount without binds, and in it scratch, beside the tree so that the tree shows nothing of it. */
static void open_bare(struct posix *state)
{
	char path[600];
	(void)snprintf(path, sizeof(path), "%s%s" LK_SCRATCH, state->side->bare, strrchr(state->side->dir, '/'));
	if (mkdir(path, 0700) && errno != EEXIST)
		lk_die("%s: %s", path, strerror(errno));
	char *end = strrchr(strcpy(path, state->side->dir), '/');
	*end = '\0';
	state->mount_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s%s" LK_SCRATCH, state->side->bare, strrchr(state->side->dir, '/'));
	state->scratch_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	state->bare_fd = open(state->side->bare, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->mount_fd < 0 || state->scratch_fd < 0 || state->bare_fd < 0)
		lk_die("%s: %s", path, strerror(errno));
}

static void *posix_start(const struct side *side)
{
	struct posix *state = calloc(1, sizeof(*state));
	if (!state)
		lk_die("out of memory");
	state->side = side;
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	FILE *sysctl = fopen("/proc/sys/fs/protected_hardlinks", "re");
	if (sysctl) {
		state->protected_links = fgetc(sysctl) == '1';
		fclose(sysctl);
	}
	bool root = geteuid() == 0;
	state->scratch_fd = state->command_fd = state->bare_fd = -1;
	state->emulates = side->links && !side->commands;
	if (state->emulates)
		open_bare(state);
	else if (side->links)
		state->command_fd = lk_command_start(&state->command_pid);
	int dir = open(side->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		lk_die("%s: %s", side->dir, strerror(errno));
	if (!root)
		become_root_of_namespace();
	state->proc_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	state->forget_fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fchdir(dir) || chroot(".") || chdir("/"))
		lk_die("chroot %s: %s", side->dir, strerror(errno));
	close(dir);
	if (!root)
		drop_capabilities();
	state->root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < OP_SLOTS; i++)
		state->slots[i].fd = -1;
	umask(022);
	return state;
}

static void posix_stop(void *arg)
{
	const struct posix *state = arg;
	lk_command_stop(state->command_fd, state->command_pid);
	free(arg); /* the process ends: descriptors go with it */
}

static void set_ids(uint32_t uid, uint32_t gid, const uint32_t *groups, unsigned ngroups)
{
	/* The saved uid stays 0, so that the way back is open; the real one is what access(2) asks. */
	if (syscall(SYS_setgroups, ngroups, groups) || syscall(SYS_setresgid, gid, gid, 0) ||
	    syscall(SYS_setresuid, uid, uid, 0))
		lk_die("cannot become uid %u: %s", uid, strerror(errno));
}

void lk_posix_become(struct posix *state, enum op_kind kind, int user)
{
	const struct user *who = &lk_users[user];
	if (!state->side->many_users || user == 0)
		return;
	set_ids(who->uid, who->gid, who->groups, who->ngroups);
	if ((kind == OP_LINK || kind == OP_LINKFD) && state->protected_links && state->side->against_lib) {
		/* fs.protected_hardlinks is a policy of the host's, above file systems; its rule is lifted by CAP_FOWNER,
		 * which means nothing else to link(2). */
		struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct caps[2];
		if (syscall(SYS_capget, &head, caps) == 0) {
			caps[0].effective = 1u << CAP_FOWNER;
			(void)syscall(SYS_capset, &head, caps);
		}
	}
}

void lk_posix_become_root(struct posix *state, int user)
{
	if (!state->side->many_users || user == 0)
		return;
	if (syscall(SYS_setresuid, 0, 0, 0))
		lk_die("cannot become root again: %s", strerror(errno));
	uint32_t none = 0;
	set_ids(0, 0, &none, 0);
}

/* ---- probes: which times of the objects around an operation changed ---------------------------------------- */

#define PROBES 6

struct probe {
	int fds[PROBES];
	struct timespec ctime[PROBES];
	bool set[PROBES];
};
static const char *const probe_names[PROBES] = {"p", "p*", "p/..", "q", "q/..", "slot"};
static const struct timespec probe_time = {.tv_sec = 1000000007, .tv_nsec = 123456789};

int lk_posix_open_parent(int at, const char *path)
{
	char parent[PATH_ROOM];
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	while (len && path[len - 1] != '/')
		len--;
	memcpy(parent, path, len);
	parent[len] = '\0';
	return openat(at, len ? parent : ".", O_PATH | O_CLOEXEC);
}

static void probe_begin(struct posix *state, const struct op *op, struct probe *probe)
{
	const struct op_row *row = lk_op_row(op->kind);
	for (int i = 0; i < PROBES; i++)
		probe->fds[i] = -1;
	if (row->paths && op->kind != OP_SYMLINK && op->p[0]) {
		probe->fds[0] = openat(state->at, state->p, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		probe->fds[1] = openat(state->at, state->p, O_PATH | O_CLOEXEC);
		probe->fds[2] = lk_posix_open_parent(state->at, state->p);
	}
	if (row->paths > 1 && op->kind != OP_SETXATTR && op->kind != OP_GETXATTR && op->kind != OP_REMOVEXATTR &&
	    op->kind != OP_DIRWALK && op->kind != OP_FSETXATTR && op->kind != OP_FGETXATTR) {
		probe->fds[3] = openat(state->at, state->q, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		probe->fds[4] = lk_posix_open_parent(state->at, state->q);
	}
	if (row->slot >= 0 && state->slots[op->n[row->slot]].fd >= 0)
		probe->fds[5] = dup(state->slots[op->n[row->slot]].fd);
	for (int i = 0; i < PROBES; i++) {
		struct timespec both[2] = {probe_time, probe_time};
		probe->set[i] = probe->fds[i] >= 0 && utimensat(probe->fds[i], "", both, AT_EMPTY_PATH) == 0;
	}
	for (int i = 0; i < PROBES; i++) {
		struct stat st;
		if (probe->fds[i] >= 0 && fstatat(probe->fds[i], "", &st, AT_EMPTY_PATH) == 0)
			probe->ctime[i] = st.st_ctim;
	}
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void probe_end(struct posix *state, enum op_kind kind, struct probe *probe, struct text *out)
{
	for (int i = 0; i < PROBES; i++) {
		struct stat st;
		if (probe->fds[i] < 0)
			continue;
		if (out && probe->set[i] && fstatat(probe->fds[i], "", &st, AT_EMPTY_PATH) == 0) {
			lk_text_add(out, " | %s ", probe_names[i]);
			/* The library's walks touch no symlink's access time: see known differences. */
			bool walked = S_ISLNK(st.st_mode) && state->side->against_lib && kind != OP_READLINK;
			if (state->side->atime && !walked && !same_time(st.st_atim, probe_time))
				lk_text_add(out, "a");
			if (!same_time(st.st_mtim, probe_time))
				lk_text_add(out, "m");
			if (!same_time(st.st_ctim, probe->ctime[i]))
				lk_text_add(out, "c");
		}
		close(probe->fds[i]);
	}
}

/* Some calls know no directory descriptor: go there for the call. */
static int enter(const struct posix *state, const struct op *op)
{
	static const bool needs[OP_COUNT] = {[OP_TRUNCATE] = true, [OP_CHDIR] = true,     [OP_SETXATTR] = true,
					     [OP_GETXATTR] = true, [OP_LISTXATTR] = true, [OP_REMOVEXATTR] = true};
	if (!needs[op->kind] || state->at == AT_FDCWD)
		return -1;
	int back = open(".", O_PATH | O_CLOEXEC);
	if (back >= 0 && fchdir(state->at)) {
		close(back);
		return -1;
	}
	return back;
}

static void leave(int back, bool stay)
{
	if (back < 0)
		return;
	if (!stay && fchdir(back))
		lk_die("cannot go back: %s", strerror(errno));
	close(back);
}

/* A fallocate that fails has changed times, mode, capabilities, and where a range was to be inserted the size, on ext4 all the
 * same: put them back. */
struct before {
	int fd; /* -1: nothing to put back */
	struct stat st;
	char caps[64];
	ssize_t caps_len;
};

static void change_begin(const struct posix *state, const struct op *op, struct before *before)
{
	/* So has a write beyond the largest file on a mount, whose kernel side knows no largest. */
	bool changes = op->kind == OP_FALLOCATE ||
		       (!state->side->against_lib && (op->kind == OP_PWRITE || op->kind == OP_WRITE));
	before->fd = changes ? state->slots[op->n[0]].fd : -1;
	if (before->fd < 0)
		return;
	if (fstat(before->fd, &before->st))
		before->fd = -1;
	before->caps_len = fgetxattr(before->fd, "security.capability", before->caps, sizeof(before->caps));
}

static void change_failed(const struct before *before)
{
	struct stat now;
	if (before->fd < 0 || fstat(before->fd, &now))
		return;
	if (now.st_size != before->st.st_size && (ftruncate(before->fd, before->st.st_size) || fstat(before->fd, &now)))
		return;
	if (now.st_mode != before->st.st_mode)
		(void)fchmod(before->fd, before->st.st_mode & 07777);
	if (before->caps_len > 0 && fgetxattr(before->fd, "security.capability", NULL, 0) < 0)
		(void)fsetxattr(before->fd, "security.capability", before->caps, (size_t)before->caps_len, 0);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, before->st.st_mtim};
	(void)utimensat(before->fd, "", times, AT_EMPTY_PATH);
}

/* Whether the path climbs from a directory that was removed: Linux remembers where that was, the library does not. */
static bool climbs_from_nowhere(const struct posix *state, const char *path)
{
	struct stat st;
	while (path[0] == '.' && path[1] == '/') {
		path++;
		path += strspn(path, "/");
	}
	if (path[0] != '.' || path[1] != '.' || (path[2] && path[2] != '/'))
		return false;
	return fstatat(state->at, "", &st, AT_EMPTY_PATH) == 0 && st.st_nlink == 0;
}

/* Pipes keep times in the kernel, which tells a FUSE server nothing of them: both sides get the same. */
static bool settle_pipe(struct posix *state, const struct op *op)
{
	struct stat st;
	if (op->kind != OP_READ && op->kind != OP_WRITE && op->kind != OP_PREAD && op->kind != OP_PWRITE)
		return false;
	int fd = state->slots[op->n[0]].fd;
	if (fd < 0 || fstat(fd, &st) || !S_ISFIFO(st.st_mode))
		return false;
	struct timespec both[2] = {probe_time, probe_time};
	(void)utimensat(fd, "", both, AT_EMPTY_PATH);
	return true;
}

/* ---- dispatch ------------------------------------------------------------------------------------------------ */

/* A directory to another of its names: a mount's kernel looks at permissions before linkfs says that there is nothing to do. */
static bool moves_nothing(const struct posix *state, const struct op *op)
{
	struct stat p, q;
	return op->kind == OP_RENAME && (op->n[0] & OP_RENAME_HOME) && !state->side->against_lib &&
	       fstatat(state->at, state->p, &p, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(p.st_mode) &&
	       fstatat(state->at, state->q, &q, AT_SYMLINK_NOFOLLOW) == 0 && p.st_ino == q.st_ino;
}

static int start_of(const struct posix *state, const struct op *op)
{
	return op->at >= 0 && state->dirs[op->at] ? dirfd(state->dirs[op->at]) : AT_FDCWD;
}

static void posix_run(void *arg, const struct op *op, struct text *out)
{
	struct posix *state = arg;
	struct probe probe;
	state->skip = false;
	state->at = start_of(state, op);
	(void)lk_pattern_expand(op->p, state->p, sizeof(state->p));
	(void)lk_pattern_expand(op->q, state->q, sizeof(state->q));
	int user = op->user;
	const struct op_row *row = lk_op_row(op->kind);
	/* The library's handles keep the credential that opened them. */
	bool content = op->kind == OP_PREAD || op->kind == OP_PWRITE || op->kind == OP_FTRUNCATE ||
		       op->kind == OP_FALLOCATE || op->kind == OP_COPY;
	if (content && state->side->against_lib && state->slots[op->n[row->slot]].fd >= 0)
		user = state->slots[op->n[row->slot]].user;
	bool links = lk_posix_is_links(state, op->kind);
	struct before before;
	lk_posix_prepare(state, op);
	state->at = start_of(state, op);
	if (op->probe)
		probe_begin(state, op, &probe);
	change_begin(state, op, &before);
	bool nothing = moves_nothing(state, op);
	int back = enter(state, op);
	lk_posix_become(state, op->kind, links ? 0 : user);
	if (state->side->against_lib &&
	    ((row->paths && op->kind != OP_SYMLINK && climbs_from_nowhere(state, state->p)) ||
	     (row->paths > 1 && climbs_from_nowhere(state, state->q)))) {
		lk_text_add(out, "ENOENT");
		state->skip = true;
	} else if (nothing) {
		lk_text_add(out, "untried");
	} else if (links) {
		lk_posix_links(state, op, out);
	} else if (!lk_posix_file(state, op, out) && !lk_posix_meta(state, op, out))
		lk_posix_name(state, op, out);
	lk_posix_become_root(state, links ? 0 : user);
	leave(back, op->kind == OP_CHDIR && strcmp(out->bytes, "ok") == 0);
	if ((op->kind == OP_RENAME || op->kind == OP_RMDIR) && (op->n[0] & OP_RENAME_HOME) &&
	    strcmp(out->bytes, "ok") == 0)
		lk_posix_moved(state, op);
	if (strncmp(out->bytes, "ok", 2) != 0)
		change_failed(&before);
	bool quiet = settle_pipe(state, op) || (before.fd >= 0 && strncmp(out->bytes, "ok", 2) != 0);
	if (op->probe)
		probe_end(state, op->kind, &probe, quiet ? NULL : out);
	lk_posix_retrack(state, op->kind);
	if (state->skip) {
		struct text marked = {0};
		lk_text_add(&marked, "~%s", out->bytes);
		lk_text_free(out);
		*out = marked;
	}
}

static void posix_tree(void *arg, struct text *out)
{
	lk_posix_tree(arg, out);
}

const struct back lk_back_posix = {posix_start, posix_run, posix_tree, posix_stop};
