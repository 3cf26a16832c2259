/*
 * edits.c - see edits.h.
 */
#include "edits.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define B 4096u
#define SLOTS 4
#define MOST (40u * B) /* no file but one of many pieces is larger */
#define PIECES 140u

unsigned long edited[EDITS];
bool edits_open;
static struct linkfs_file *slots[SLOTS];

void edits_close(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		linkfs_file_close(slots[i]);
		slots[i] = NULL;
	}
}

static int node_of(const char *path, uint64_t *out)
{
	struct linkfs_stat st = {.ino = 0};
	int r = linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st);
	*out = st.ino;
	return r ? r : S_ISREG(st.mode) ? 0 : LINKFS_EINVAL;
}

static const void *bytes_of(size_t len)
{
	static unsigned char bytes[MOST];
	/* Of a few kinds, so that files come to be equal. */
	memset(bytes, 'A' + (int)below(3), len);
	if (below(2))
		bytes[0] = (unsigned char)below(256);
	return bytes;
}

static int write_node(uint64_t ino, uint64_t at, size_t len)
{
	return linkfs_node_write(v, NULL, ino, at, bytes_of(len), len, 0, NULL, NULL);
}

static int write_path(const char *path)
{
	uint64_t ino, at = below(4) ? B * below(20) : below(3 * B);
	int r = node_of(path, &ino);
	return r ? r : write_node(ino, at, (size_t)(1 + below(below(4) ? 3 * B : 20 * B)));
}

static int set_xattr(const char *path, bool remove)
{
	struct linkfs_stat st;
	char name[16];
	size_t len = (size_t)(below(4) ? below(100) : below(9000));
	int r = linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st);
	(void)snprintf(name, sizeof(name), "user.%c", (char)('a' + (char)below(3)));
	if (r || S_ISLNK(st.mode))
		return r ? r : LINKFS_EPERM;
	return remove ? linkfs_node_removexattr(v, NULL, st.ino, name)
		      : linkfs_node_setxattr(v, NULL, st.ino, name, bytes_of(len), len, 0);
}

static int set_attributes(const char *path)
{
	static const uint32_t what[] = {LINKFS_SET_MODE, LINKFS_SET_UID | LINKFS_SET_GID, LINKFS_SET_MTIME};
	struct linkfs_setattr change = {.valid = what[below(3)],
					.mode = 0600 | (uint32_t)below(0200),
					.uid = (uint32_t)below(3),
					.gid = (uint32_t)below(3),
					.mtime_ns = (int64_t)below(1000000000) * 1000000001};
	return linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &change);
}

static int cut(const char *path)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = below(3) ? below(6 * B) : 0};
	uint64_t ino;
	int r = node_of(path, &ino);
	return r ? r : linkfs_node_setattr(v, NULL, ino, &change, NULL);
}

static int allocate(const char *path)
{
	static const uint32_t modes[] = {0,
					 LINKFS_ALLOC_KEEP_SIZE,
					 LINKFS_ALLOC_KEEP_SIZE | LINKFS_ALLOC_PUNCH,
					 LINKFS_ALLOC_ZERO,
					 LINKFS_ALLOC_COLLAPSE,
					 LINKFS_ALLOC_INSERT};
	uint64_t ino;
	uint32_t mode = modes[below(sizeof(modes) / sizeof(modes[0]))];
	bool whole = mode == LINKFS_ALLOC_COLLAPSE || mode == LINKFS_ALLOC_INSERT || below(2);
	int r = node_of(path, &ino);
	return r ? r
		 : linkfs_node_allocate(v, NULL, ino, mode, whole ? B * below(10) : below(10 * B),
					whole ? B * (1 + below(4)) : 1 + below(9 * B));
}

static int copy(uint64_t from, const char *to)
{
	uint64_t ino, copied;
	int r = node_of(to, &ino);
	if (r || from == ino)
		return r ? r : LINKFS_EINVAL;
	return linkfs_node_copy_range(v, NULL, from, B * below(4), ino, B * below(8), B * (1 + below(10)), &copied);
}

/* From a file as it was, into one as it is: blocks of history that have a live row again. */
static int copy_out(uint64_t snapshot, const char *was, const char *to)
{
	struct linkfs_stat st;
	int r = snapshot ? linkfs_path_stat(v, NULL, snapshot, was, LINKFS_NOFOLLOW, &st) : LINKFS_ENOENT;
	if (r || !S_ISREG(st.mode))
		return r ? r : LINKFS_EINVAL;
	return copy(st.node, to);
}

static int dedupe(const char *a, const char *b)
{
	struct linkfs_dedupe what;
	uint64_t from, to;
	int r = node_of(a, &from);
	if (r == 0)
		r = node_of(b, &to);
	return r ? r : linkfs_node_dedupe(v, NULL, from, to, 0, &what);
}

/* As editors do; names of a file that keeps its links follow. */
static int save(const char *path)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	char fresh[LINKFS_PATH_MAX];
	(void)snprintf(fresh, sizeof(fresh), "%s~", path);
	int r = linkfs_path_make(v, NULL, ROOT, fresh, &how, &st);
	if (r == 0)
		r = write_node(st.ino, 0, (size_t)(1 + below(5 * B)));
	return r ? r : linkfs_path_rename(v, NULL, ROOT, fresh, ROOT, path, 0);
}

/* A file of many pieces: so many rows of history when it is cut off, written over, or goes. */
static int pieces(const char *path)
{
	uint64_t ino;
	struct linkfs_stat st;
	int r = node_of(path, &ino);
	if (r == 0)
		r = linkfs_node_getattr(v, ino, &st);
	if (r == 0 && st.size > MOST)
		return cut(path);
	uint64_t from = below(2);
	for (uint64_t i = 0; r == 0 && i < PIECES; i++)
		r = write_node(ino, (2 * i + from) * B, 1 + (size_t)(i % 7));
	return r;
}

void edit_long(void)
{
	int r = pieces(some_path(S_IFREG));
	assert_true(r == 0 || r == LINKFS_ENOENT || r == LINKFS_EINVAL);
}

static int open_file(const char *path, const char *dir)
{
	unsigned slot = (unsigned)below(SLOTS);
	if (!edits_open)
		return LINKFS_EINVAL;
	if (slots[slot]) {
		size_t len = (size_t)(1 + below(6 * B));
		OK(linkfs_file_write(slots[slot], B * below(8), bytes_of(len), len, NULL));
		if (below(2)) {
			linkfs_file_close(slots[slot]);
			slots[slot] = NULL;
		}
		return 0;
	}
	if (below(4) == 0)
		return linkfs_file_open(v, NULL, ROOT, *dir ? dir : "/", LINKFS_O_WRITE | LINKFS_O_TMPFILE, 0600,
					&slots[slot]);
	int r = linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_WRITE | LINKFS_O_NOFOLLOW, 0, &slots[slot]);
	/* Half of them lose their name at once. */
	return r || below(2) ? r : linkfs_path_unlink(v, NULL, ROOT, path);
}

void edit(uint64_t snapshot)
{
	uint64_t kind = below(EDITS), ino;
	const char *a = some_path(S_IFREG), *b = some_path(S_IFREG);
	int r = LINKFS_EINVAL;
	switch (kind) {
	case 0:
		r = dedupe(a, b);
		break;
	case 1:
	case 2:
		r = set_xattr(below(3) ? a : some_path(S_IFDIR), kind == 2);
		break;
	case 3:
		r = cut(a);
		break;
	case 4:
		r = allocate(a);
		break;
	case 5:
		r = node_of(a, &ino);
		r = r ? r : copy(ino, b);
		break;
	case 6:
	case 7:
		r = copy_out(snapshot, a, b);
		break;
	case 8:
		r = set_attributes(some_path(0));
		break;
	case 9:
	case 10:
		r = save(a);
		break;
	case 11:
		r = linkfs_path_replace_symlink(v, NULL, b + 1, ROOT, some_path(S_IFLNK), NULL);
		break;
	case 12:
		r = below(3) ? LINKFS_EINVAL : pieces(a);
		break;
	case 13:
		r = open_file(a, some_path(S_IFDIR));
		break;
	default:
		r = write_path(a);
		break;
	}
	edited[kind] += r == 0;
	switch (r) {
	case 0:
	case LINKFS_EEXIST:
	case LINKFS_ENOENT:
	case LINKFS_EISDIR:
	case LINKFS_ENOTDIR:
	case LINKFS_EINVAL:
	case LINKFS_EPERM:
	case LINKFS_ELOOP:
	case LINKFS_EBUSY:
	case LINKFS_ENODATA:
	case LINKFS_EOPNOTSUPP: /* the mode of a symlink */
	case LINKFS_EXDEV:
		return;
	default:
		fail_msg("seed %llu, step %lu, edit %llu of %s, %s: %s", (unsigned long long)lk_test_seed(), step,
			 (unsigned long long)kind, a, b, linkfs_error_name(r));
	}
}
