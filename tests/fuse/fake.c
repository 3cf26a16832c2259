/*
 * fake.c - the library's calls as the protocol tests need them.
 */
#include "fake.h"

#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct fake fake;

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.st.mode = 0644;
	fake.st.nlink = 1;
	fake.st.blksize = 4096;
}

int64_t fake_held(void)
{
	int64_t sum = 0;
	for (size_t i = 0; i < FAKE_INODES; i++)
		sum += fake.holds[i];
	return sum;
}

static int called(const char *call, const struct linkfs_cred *cred, uint64_t ino)
{
	snprintf(fake.call, sizeof(fake.call), "%s", call);
	if (cred)
		fake.cred = *cred;
	fake.ino = ino;
	if (ino == 0 || ino >= FAKE_INODES)
		return LINKFS_ESTALE;
	return fake.result;
}

static void keep_name(char *to, const char *name, size_t len)
{
	memcpy(to, name, len);
	to[len] = 0;
}

static void tell(uint64_t ino, struct linkfs_stat *out)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFREG, S_IFDIR, S_IFLNK, S_IFREG};
	if (!out)
		return;
	*out = fake.st;
	out->ino = out->node = ino;
	out->mode |= types[ino < 6 ? ino : 0];
}

static void found(uint64_t ino, uint32_t flags, struct linkfs_stat *out)
{
	if (flags & LINKFS_HOLD)
		fake.holds[ino]++;
	tell(ino, out);
}

int linkfs_node_hold(struct linkfs_volume *volume, uint64_t ino)
{
	(void)volume;
	int r = called("hold", NULL, ino);
	if (!r)
		fake.holds[ino]++;
	return r;
}

void linkfs_node_release(struct linkfs_volume *volume, uint64_t ino, uint64_t count)
{
	(void)volume;
	if (ino < FAKE_INODES)
		fake.holds[ino] = (int64_t)((uint64_t)fake.holds[ino] - count);
}

int linkfs_node_lookup(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		       size_t len, uint32_t flags, struct linkfs_stat *out)
{
	static const char *const names[] = {"", "..", "file", "dir", "link"};
	(void)volume;
	int r = called("lookup", cred, dir);
	if (r)
		return r;
	keep_name(fake.name, name, len);
	for (uint64_t i = 1; i < LK_FUSE_ARRAY_LEN(names); i++) {
		if (!strcmp(fake.name, names[i])) {
			found(i, flags, out);
			return 0;
		}
	}
	return LINKFS_ENOENT;
}

int linkfs_node_getattr(struct linkfs_volume *volume, uint64_t ino, struct linkfs_stat *out)
{
	(void)volume;
	int r = called("getattr", NULL, ino);
	if (!r)
		tell(ino, out);
	return r;
}

int linkfs_node_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			const struct linkfs_setattr *change, struct linkfs_stat *out)
{
	(void)volume;
	fake.change = *change;
	int r = called("setattr", cred, ino);
	if (!r)
		tell(ino, out);
	return r;
}

int linkfs_node_readlink(struct linkfs_volume *volume, uint64_t ino, char *buf, size_t size, size_t *len_out)
{
	(void)volume;
	fake.size = size;
	int r = called("readlink", NULL, ino);
	if (r)
		return r;
	memset(buf, 't', size < 5 ? size : 5);
	*len_out = size < 5 ? size : 5;
	return 0;
}

static int made(const char *call, const struct linkfs_cred *cred, uint64_t dir, const char *name, size_t len,
		uint32_t flags, struct linkfs_stat *out)
{
	int r = called(call, cred, dir);
	if (r)
		return r;
	keep_name(fake.name, name, len);
	found(FAKE_NEW, flags, out);
	return 0;
}

int linkfs_node_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		     size_t len, const struct linkfs_make *how, uint32_t flags, struct linkfs_stat *out)
{
	(void)volume;
	fake.how = *how;
	return made("make", cred, dir, name, len, flags, out);
}

int linkfs_node_tmpfile(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, uint32_t mode,
			struct linkfs_stat *out)
{
	(void)volume;
	fake.mode = mode;
	return made("tmpfile", cred, dir, "", 0, LINKFS_HOLD, out);
}

int linkfs_node_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
			size_t len, const char *target, size_t target_len, uint32_t flags, struct linkfs_stat *out)
{
	(void)volume;
	if (target_len <= LINKFS_NAME_MAX)
		keep_name(fake.name2, target, target_len);
	fake.size = target_len;
	int r = made("symlink", cred, dir, name, len, flags, out);
	if (!r)
		out->mode = S_IFLNK | 0777;
	return r;
}

int linkfs_node_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		     const char *name, size_t len, uint32_t flags, struct linkfs_stat *out)
{
	(void)volume;
	if (ino >= FAKE_INODES)
		return LINKFS_ESTALE;
	int r = called("link", cred, dir);
	if (r)
		return r;
	keep_name(fake.name, name, len);
	fake.length = ino;
	found(ino, flags, out);
	return 0;
}

int linkfs_node_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		       size_t len)
{
	(void)volume;
	keep_name(fake.name, name, len);
	return called("unlink", cred, dir);
}

int linkfs_node_rmdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		      size_t len)
{
	(void)volume;
	keep_name(fake.name, name, len);
	return called("rmdir", cred, dir);
}

int linkfs_node_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_dir,
		       const char *old_name, size_t old_len, uint64_t new_dir, const char *new_name, size_t new_len,
		       uint32_t flags)
{
	(void)volume;
	keep_name(fake.name, old_name, old_len);
	keep_name(fake.name2, new_name, new_len);
	fake.dir = new_dir;
	fake.flags = flags;
	return called("rename", cred, old_dir);
}

int linkfs_node_several_paths(struct linkfs_volume *volume, uint64_t ino)
{
	(void)volume;
	(void)ino;
	return 0;
}

uint64_t linkfs_volume_name_changes(struct linkfs_volume *volume)
{
	(void)volume;
	return fake.name_changes;
}

int linkfs_node_readdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, uint64_t cookie,
			uint32_t flags, linkfs_entry_fn *fn, void *arg)
{
	(void)volume;
	unsigned seen = 0;
	int r = called("readdir", cred, dir);
	fake.readdirs++;
	if (r)
		return r;
	for (uint64_t i = cookie; i < FAKE_ENTRIES + 2; i++) {
		char name[16];
		struct linkfs_stat st;
		struct linkfs_entry entry = {.name = name, .ino = i < 2 ? 1 : FAKE_FILE, .cookie = i + 1};
		snprintf(name, sizeof(name), "%s", i == 0 ? "." : "..");
		if (i > 1)
			snprintf(name, sizeof(name), "entry%u", (unsigned)i);
		entry.name_len = strlen(name);
		entry.type = i < 2 ? S_IFDIR : S_IFREG;
		tell(entry.ino, &st);
		entry.stat = (flags & LINKFS_READDIR_STAT) && i > 1 ? &st : NULL;
		if (fn(arg, &entry))
			return 0;
		if ((flags & LINKFS_HOLD) && i > 1)
			fake.holds[entry.ino]++;
		if (++seen == fake.batch)
			return 0;
	}
	return 0;
}

int linkfs_node_read(struct linkfs_volume *volume, uint64_t ino, uint64_t offset, void *buf, size_t size,
		     size_t *done_out)
{
	(void)volume;
	fake.offset = offset;
	fake.size = size;
	int r = called("read", NULL, ino);
	if (r)
		return r;
	memset(buf, 'r', size);
	*done_out = size;
	return 0;
}

int linkfs_node_write(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset,
		      const void *buf, size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out)
{
	(void)volume;
	(void)offset_out;
	uint32_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum += ((const uint8_t *)buf)[i];
	fake.mode = sum;
	fake.offset = offset;
	fake.size = size;
	fake.flags = flags;
	int r = called("write", cred, ino);
	if (!r)
		*done_out = size;
	return r;
}

int linkfs_node_fsync(struct linkfs_volume *volume, uint64_t ino, int data_only)
{
	(void)volume;
	fake.flags = (uint32_t)data_only;
	return called("fsync", NULL, ino);
}

void linkfs_node_written(struct linkfs_volume *volume, uint64_t ino)
{
	(void)volume;
	fake.written = ino;
}

int linkfs_node_allocate(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint32_t mode,
			 uint64_t offset, uint64_t length)
{
	(void)volume;
	fake.mode = mode;
	fake.offset = offset;
	fake.length = length;
	return called("allocate", cred, ino);
}

int linkfs_node_seek(struct linkfs_volume *volume, uint64_t ino, uint64_t offset, int whence, uint64_t *out)
{
	(void)volume;
	fake.mode = (uint32_t)whence;
	fake.offset = offset;
	int r = called("seek", NULL, ino);
	if (!r)
		*out = offset + 7;
	return r;
}

int linkfs_node_copy_range(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t from,
			   uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t length, uint64_t *done_out)
{
	(void)volume;
	(void)to_offset;
	fake.offset = from_offset;
	fake.length = length;
	fake.dir = to;
	int r = called("copy", cred, from);
	if (!r)
		*done_out = length;
	return r;
}

static int give(const char *bytes, size_t len, void *buf, size_t size, size_t *len_out)
{
	if (size && size < len)
		return LINKFS_ERANGE;
	if (size)
		memcpy(buf, bytes, len);
	*len_out = len;
	return 0;
}

int linkfs_node_getxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, const char *name,
			 void *buf, size_t size, size_t *len_out)
{
	(void)volume;
	snprintf(fake.name, sizeof(fake.name), "%s", name);
	int r = called("getxattr", cred, ino);
	return r ? r : give("value", 5, buf, size, len_out);
}

int linkfs_node_setxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, const char *name,
			 const void *value, size_t size, uint32_t flags)
{
	(void)volume;
	fake.size = size;
	fake.flags = flags;
	snprintf(fake.name, sizeof(fake.name), "%s", name);
	if (size && size <= LINKFS_NAME_MAX)
		keep_name(fake.name2, value, size);
	return called("setxattr", cred, ino);
}

/* Two names of which one needs escapes, and no referrer. */
int linkfs_node_names(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, linkfs_name_fn *fn,
		      void *arg, uint64_t *hidden_out)
{
	static const struct linkfs_name names[] = {{"/a", 2, 1, "a", 1, 0}, {"/b\n\\", 4, 1, "b\n\\", 3, 0}};
	(void)volume;
	(void)hidden_out;
	int r = called("names", cred, ino);
	if (!r)
		r = fn(arg, &names[0]);
	return r ? r : fn(arg, &names[1]);
}

int linkfs_node_referrers(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			  const struct linkfs_links_options *options, linkfs_referrer_fn *fn, void *arg)
{
	(void)volume;
	(void)options;
	(void)fn;
	(void)arg;
	return called("referrers", cred, ino);
}

int linkfs_node_listxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, char *buf,
			  size_t size, size_t *len_out)
{
	(void)volume;
	int r = called("listxattr", cred, ino);
	return r ? r : give("user.a\0user.b", 14, buf, size, len_out);
}

int linkfs_node_removexattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			    const char *name)
{
	(void)volume;
	snprintf(fake.name, sizeof(fake.name), "%s", name);
	return called("removexattr", cred, ino);
}

int linkfs_volume_statfs(struct linkfs_volume *volume, struct linkfs_statfs *out)
{
	(void)volume;
	*out = (struct linkfs_statfs){4096, 100, 60, 50, 9, 1000, 255};
	return fake.result;
}

int linkfs_volume_sync(struct linkfs_volume *volume)
{
	(void)volume;
	return called("sync", NULL, 1);
}

/* Nothing of a fake mount is told to a kernel: its texts are not remembered (struct linkfs_mount's texts is NULL). */
int linkfs_node_is_held(struct linkfs_volume *volume, uint64_t ino)
{
	(void)volume;
	(void)ino;
	return 1;
}

int linkfs_node_tracks(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, linkfs_name_fn *fn,
		       void *arg, uint64_t *target_out)
{
	const struct linkfs_name name = {.path = "/tracked", .path_len = 8, .dir = 1, .name = "tracked", .name_len = 7};
	(void)volume;
	(void)target_out;
	int r = called("tracks", cred, ino);
	return r ? r : fn(arg, &name);
}

/* One snapshot, "s", whose root is inode 1. */

static int give_snapshot(linkfs_snapshot_fn *fn, void *arg)
{
	const struct linkfs_snapshot snapshot = {.id = 1, .name = "s", .name_len = 1, .note = ""};
	return fn(arg, &snapshot);
}

int linkfs_snapshot_list(struct linkfs_volume *volume, linkfs_snapshot_fn *fn, void *arg)
{
	(void)volume;
	(void)give_snapshot(fn, arg);
	return fake.result;
}

int linkfs_snapshot_show(struct linkfs_volume *volume, const char *name, linkfs_snapshot_fn *fn, void *arg)
{
	(void)volume;
	if (strcmp(name, "s") != 0)
		return LINKFS_ENOENT;
	(void)give_snapshot(fn, arg);
	return fake.result;
}

/* None is ever taken by itself. */
int linkfs_snapshot_tick(struct linkfs_volume *volume, const struct linkfs_tick_options *options,
			 struct linkfs_tick *out)
{
	(void)volume;
	*out = (struct linkfs_tick){.next_ns = INT64_MAX};
	return fake.tick ? fake.tick(options, out) : fake.result;
}

int linkfs_volume_info(struct linkfs_volume *volume, struct linkfs_info *out)
{
	(void)volume;
	memset(out, 0, sizeof(*out));
	out->read_only = fake.read_only;
	return fake.result;
}

int linkfs_snapshot_root(struct linkfs_volume *volume, uint64_t id, uint32_t flags, struct linkfs_stat *out)
{
	(void)volume;
	if (id != 1)
		return LINKFS_ENOENT;
	found(1, flags, out);
	return fake.result;
}
