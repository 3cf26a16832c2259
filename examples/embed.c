/*
 * embed.c - a program that keeps a tree of its own in a linkfs volume: makes one, writes files, links them, lists them and
 * reads them back. No mount, no root, no FUSE.
 *
 *     cc embed.c $(pkg-config --cflags --libs linkfs) -o embed && ./embed /tmp/example
 *
 * The directory must be absent or empty; the volume stays there, for `linkfs ls -liR /tmp/example:/`.
 */
#include <linkfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Who works in the tree: permissions are checked for him, new files are his. */
static const struct linkfs_cred me = {.uid = 1000, .gid = 1000, .umask = 022};

static int failed(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, linkfs_strerror(error));
	return error;
}

static int write_file(struct linkfs_volume *volume, const char *path, const char *text)
{
	struct linkfs_file *file;
	int rc = linkfs_file_open(volume, &me, LINKFS_ROOT_INO, path, LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_TRUNC,
				  0644, &file);

	if (rc)
		return failed(path, rc);
	rc = linkfs_file_write(file, 0, text, strlen(text), NULL);
	linkfs_file_close(file);
	return rc ? failed(path, rc) : 0;
}

static int print_file(struct linkfs_volume *volume, const char *path)
{
	struct linkfs_file *file;
	char buf[256];
	size_t done = 0;
	int rc = linkfs_file_open(volume, &me, LINKFS_ROOT_INO, path, LINKFS_O_READ, 0, &file);

	if (rc)
		return failed(path, rc);
	rc = linkfs_file_read(file, 0, buf, sizeof(buf), &done);
	linkfs_file_close(file);
	if (rc)
		return failed(path, rc);
	printf("%s: %.*s\n", path, (int)done, buf);
	return 0;
}

static int list(struct linkfs_volume *volume, const char *path)
{
	const struct linkfs_entry *entry;
	struct linkfs_stat st;
	struct linkfs_dir *dir;
	int rc = linkfs_dir_open(volume, &me, LINKFS_ROOT_INO, path, &dir);

	if (rc)
		return failed(path, rc);
	while ((rc = linkfs_dir_read(dir, &entry)) == 0 && entry) {
		if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
			continue;
		rc = linkfs_node_getattr(volume, entry->ino, &st);
		if (rc)
			break;
		printf("inode %llu, %u names, %llu bytes: %s\n", (unsigned long long)st.ino, st.nlink,
		       (unsigned long long)st.size, entry->name);
	}
	linkfs_dir_close(dir);
	return rc ? failed(path, rc) : 0;
}

static int work(struct linkfs_volume *volume)
{
	struct linkfs_make directory = {.mode = S_IFDIR | 0755};
	char target[64];
	size_t len;
	int rc = linkfs_path_make(volume, &me, LINKFS_ROOT_INO, "notes", &directory, NULL);

	if (rc)
		return failed("notes", rc);
	rc = write_file(volume, "notes/monday", "rain");
	if (rc)
		return rc;
	/* A second name of the same file, and a symlink that names one of them. */
	rc = linkfs_path_link(volume, &me, LINKFS_ROOT_INO, "notes/monday", LINKFS_ROOT_INO, "notes/today", 0);
	if (rc)
		return failed("notes/today", rc);
	rc = linkfs_path_symlink(volume, &me, "notes/today", LINKFS_ROOT_INO, "latest", NULL);
	if (rc)
		return failed("latest", rc);
	/* Written through one name, read through the others. */
	rc = write_file(volume, "notes/today", "rain, then sun");
	if (rc == 0)
		rc = print_file(volume, "notes/monday");
	if (rc == 0)
		rc = print_file(volume, "latest");
	if (rc == 0)
		rc = list(volume, "notes");
	if (rc)
		return rc;
	rc = linkfs_path_readlink(volume, &me, LINKFS_ROOT_INO, "latest", target, sizeof(target), &len);
	if (rc)
		return failed("latest", rc);
	printf("latest -> %.*s\n", (int)len, target);
	/* Everything so far is on disk when this returns. */
	rc = linkfs_volume_sync(volume);
	return rc ? failed("sync", rc) : 0;
}

int main(int argc, char **argv)
{
	struct linkfs_create_options create = {.root_uid = 1000, .root_gid = 1000, .label = "example"};
	struct linkfs_open_options open = {0};
	struct linkfs_message why = {""};
	struct linkfs_volume *volume;
	int rc, closed;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	rc = linkfs_volume_create(argv[1], &create, &why);
	if (rc == 0)
		rc = linkfs_volume_open(argv[1], &open, &volume, &why);
	if (rc) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	rc = work(volume);
	closed = linkfs_volume_close(volume);
	if (closed)
		(void)failed(argv[1], closed);
	return rc || closed ? 1 : 0;
}
