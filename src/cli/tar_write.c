/*
 * tar_write.c - entries into a tar stream, by libarchive, in the pax format: all that there is of a file is in it, and equal entries make
 * equal bytes. What changes by itself (times of access, inode numbers) and what depends on the host (names of users) is left out.
 *
 * Names that are UTF-8 stand in pax headers as such; others as their bytes, and the header says so (hdrcharset=BINARY).
 */
#include "tar.h"
#include "tar_library.h"
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define BLOCK_BYTES 262144
#define LAST_BLOCK_BYTES 10240 /* tar's */
#define ZEROS_BYTES (UINT64_C(1) << 30)

struct tar_writer {
	struct archive *archive; /* that makes tar of entries */
	struct archive *outer;   /* that compresses what comes out of it, and writes it in blocks */
	bool in_header;          /* what comes is kept, to be mended */
	char *header;
	size_t header_len;
	struct archive_entry *entry;
	tar_sink_fn *sink;
	void *arg;
	void *zeros; /* address space only: what lies in holes is not looked at */
	int error;   /* the sink's */
	locale_t locale;
	char why[512];
};

static la_ssize_t write_sink(struct archive *a, void *arg, const void *buf, size_t len)
{
	struct tar_writer *writer = arg;
	/* After a failure the archive is closed, and would be written to once more. */
	if (!writer->error)
		writer->error = writer->sink(writer->arg, buf, len);
	if (!writer->error)
		return (la_ssize_t)len;
	la.set_error(a, linkfs_errno(writer->error), "%s", linkfs_strerror(writer->error));
	return -1;
}

static int keep_header(struct tar_writer *writer, const void *buf, size_t len)
{
	char *p = realloc(writer->header, writer->header_len + len);
	if (!p)
		return LINKFS_ENOMEM;
	memcpy(p + writer->header_len, buf, len);
	writer->header = p;
	writer->header_len += len;
	return 0;
}

static int write_outer(struct tar_writer *writer, const char *buf, size_t len)
{
	while (len) {
		la_ssize_t n = la.write_data(writer->outer, buf, len);
		if (n <= 0)
			return writer->error ? writer->error : LINKFS_EIO;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Errors are looked at afterwards: told here, libarchive would not free all of its own. */
static la_ssize_t write_inner(struct archive *a, void *arg, const void *buf, size_t len)
{
	struct tar_writer *writer = arg;
	(void)a;
	if (!writer->error)
		writer->error = writer->in_header ? keep_header(writer, buf, len) : write_outer(writer, buf, len);
	return (la_ssize_t)len;
}

static int add_filter(struct archive *a, enum tar_filter filter)
{
	/* What is not compiled in libarchive would run another program. */
	switch (filter) {
	case TAR_GZIP:
		if (!la.zlib_version() || la.write_add_filter_gzip(a) != ARCHIVE_OK)
			return LINKFS_EOPNOTSUPP;
		/* Without the time of the day in it. */
		return la.write_set_filter_option(a, "gzip", "timestamp", NULL) == ARCHIVE_OK ? 0 : LINKFS_EOPNOTSUPP;
	case TAR_BZIP2:
		return la.bzlib_version() && la.write_add_filter_bzip2(a) == ARCHIVE_OK ? 0 : LINKFS_EOPNOTSUPP;
	case TAR_XZ:
		return la.liblzma_version() && la.write_add_filter_xz(a) == ARCHIVE_OK ? 0 : LINKFS_EOPNOTSUPP;
	case TAR_ZSTD:
		return la.libzstd_version() && la.write_add_filter_zstd(a) == ARCHIVE_OK ? 0 : LINKFS_EOPNOTSUPP;
	case TAR_PLAIN:
		break;
	}
	return 0;
}

static int say(struct tar_writer *writer)
{
	const char *text = la.error_string(writer->archive);
	text = text ? text : la.error_string(writer->outer);
	snprintf(writer->why, sizeof(writer->why), "%s", text ? text : "cannot be written");
	return writer->error ? writer->error : la.error_number(writer->archive) == ENOMEM ? LINKFS_ENOMEM : LINKFS_EIO;
}

static int open_outer(struct tar_writer *writer, enum tar_filter filter)
{
	struct archive *a = writer->outer;
	int error = la.write_set_format_raw(a) == ARCHIVE_OK ? add_filter(a, filter) : LINKFS_EIO;
	if (error)
		return error;
	/* After a compressed stream zeros would be rubbish. */
	la.write_set_bytes_per_block(a, BLOCK_BYTES);
	la.write_set_bytes_in_last_block(a, filter == TAR_PLAIN ? LAST_BLOCK_BYTES : 1);
	if (la.write_open(a, writer, NULL, write_sink, NULL) != ARCHIVE_OK)
		return say(writer);
	la.entry_set_filetype(writer->entry, AE_IFREG);
	return la.write_header(a, writer->entry) == ARCHIVE_OK ? 0 : say(writer);
}

static int open_archive(struct tar_writer *writer, enum tar_filter filter)
{
	struct archive *a = writer->archive;
	int error = open_outer(writer, filter);
	if (error)
		return error;
	if (la.write_set_format_pax(a) != ARCHIVE_OK ||
	    la.write_set_format_option(a, "pax", "xattrheader", "SCHILY") != ARCHIVE_OK)
		return say(writer);
	la.write_set_bytes_per_block(a, 0);
	return la.write_open(a, writer, NULL, write_inner, NULL) == ARCHIVE_OK ? 0 : say(writer);
}

int tar_writer_open(enum tar_filter filter, tar_sink_fn *sink, void *arg, struct tar_writer **out)
{
	struct tar_writer *writer = cli_alloc(sizeof(*writer));
	if (!writer)
		return LINKFS_ENOMEM;
	writer->sink = sink;
	writer->arg = arg;
	writer->zeros = mmap(NULL, ZEROS_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	writer->archive = la.write_new();
	writer->outer = la.write_new();
	writer->entry = la.entry_new();
	/* Without it all names that are not ASCII are written as bytes. */
	writer->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	int error =
		writer->archive && writer->outer && writer->entry && writer->zeros != MAP_FAILED ? 0 : LINKFS_ENOMEM;
	if (!error) {
		locale_t before = writer->locale ? uselocale(writer->locale) : (locale_t)0;
		error = open_archive(writer, filter);
		if (writer->locale)
			uselocale(before);
	}
	if (error) {
		tar_writer_close(writer);
		return error;
	}
	*out = writer;
	return 0;
}

void tar_writer_close(struct tar_writer *writer)
{
	if (!writer)
		return;
	if (!writer->error)
		writer->error = LINKFS_EINTR; /* freeing writes no more */
	if (writer->archive)
		la.write_free(writer->archive);
	if (writer->outer)
		la.write_free(writer->outer);
	free(writer->header);
	if (writer->entry)
		la.entry_free(writer->entry);
	if (writer->zeros != MAP_FAILED)
		munmap(writer->zeros, ZEROS_BYTES);
	if (writer->locale)
		freelocale(writer->locale);
	free(writer);
}

const char *tar_writer_why(const struct tar_writer *writer)
{
	return writer->why;
}

/* ---- entries ---- */

static uint32_t le(const char *p, int bytes)
{
	uint32_t v = 0;
	for (int i = 0; i < bytes; i++)
		v |= (uint32_t)(unsigned char)p[i] << (8 * i);
	return v;
}

static int acl_tag(uint32_t tag)
{
	switch (tag) {
	case 0x01:
		return ARCHIVE_ENTRY_ACL_USER_OBJ;
	case 0x02:
		return ARCHIVE_ENTRY_ACL_USER;
	case 0x04:
		return ARCHIVE_ENTRY_ACL_GROUP_OBJ;
	case 0x08:
		return ARCHIVE_ENTRY_ACL_GROUP;
	case 0x10:
		return ARCHIVE_ENTRY_ACL_MASK;
	case 0x20:
		return ARCHIVE_ENTRY_ACL_OTHER;
	default:
		return 0;
	}
}

/* From the kernel's form (linux/posix_acl_xattr.h): the text in the archive has numbers. */
static int put_acl(struct archive_entry *entry, int kind, const struct tar_xattr *xattr)
{
	if (xattr->len < 4 || (xattr->len - 4) % 8 || le(xattr->value, 4) != 2)
		return LINKFS_EINVAL;
	for (size_t at = 4; at < xattr->len; at += 8) {
		const char *p = xattr->value + at;
		int tag = acl_tag(le(p, 2));
		bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
		if (!tag || la.entry_acl_add_entry(entry, kind, (int)(le(p + 2, 2) & 7), tag,
						   named ? (int)le(p + 4, 4) : -1, NULL) != ARCHIVE_OK)
			return LINKFS_EINVAL;
	}
	return 0;
}

static int put_xattrs(struct archive_entry *to, const struct tar_entry *entry)
{
	int error = 0;
	for (size_t i = 0; i < entry->nxattrs && !error; i++) {
		const struct tar_xattr *x = &entry->xattrs[i];
		if (strcmp(x->name, TAR_ACL_ACCESS) == 0)
			error = put_acl(to, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, x);
		else if (strcmp(x->name, TAR_ACL_DEFAULT) == 0)
			error = put_acl(to, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, x);
		else
			la.entry_xattr_add_entry(to, x->name, x->value, x->len);
	}
	return error;
}

/* In pax headers -1.25 is 1.25 s before 1970; libarchive writes the seconds, a point and the nanoseconds. The second before 1970 cannot be
 * told from the one after it: its times lose what is behind the point. */
static void put_mtime(struct archive_entry *to, int64_t ns)
{
	int64_t seconds = ns / 1000000000, rest = ns % 1000000000;
	if (seconds == 0 && rest < 0) {
		seconds = -1;
		rest = 0;
	}
	la.entry_set_mtime(to, (time_t)seconds, (long)(rest < 0 ? -rest : rest));
}

/* What was kept, mended. */
static int put_header(struct tar_writer *writer, const char *path)
{
	int error = tar_pax_mend(&writer->header, &writer->header_len, path);
	if (!error)
		error = write_outer(writer, writer->header, writer->header_len);
	writer->header_len = 0;
	if (error && !writer->why[0])
		snprintf(writer->why, sizeof(writer->why), "%s", linkfs_strerror(error));
	return error;
}

static int write_header(struct tar_writer *writer, const struct tar_entry *entry)
{
	/* What fills up the entry before belongs to no header. */
	if (la.write_finish_entry(writer->archive) != ARCHIVE_OK || writer->error)
		return say(writer);
	writer->in_header = true;
	int r = la.write_header(writer->archive, writer->entry);
	writer->in_header = false;
	/* Names that are not UTF-8 are a warning: they are written as bytes. */
	if (!writer->error && (r == ARCHIVE_OK || r == ARCHIVE_WARN)) {
		la.clear_error(writer->archive);
		return put_header(writer, entry->path);
	}
	writer->header_len = 0;
	int error = say(writer);
	return r == ARCHIVE_FAILED && !writer->error ? LINKFS_EINVAL : error;
}

static int put_entry(struct tar_writer *writer, const struct tar_entry *entry, const struct tar_segment *segments,
		     size_t nsegments)
{
	struct archive_entry *to = writer->entry;
	const struct linkfs_stat *st = &entry->st;
	bool content = S_ISREG(st->mode) && !entry->hardlink;
	la.entry_clear(to);
	la.entry_set_mode(to, st->mode);
	la.entry_set_pathname(to, entry->path);
	la.entry_set_uid(to, st->uid);
	la.entry_set_gid(to, st->gid);
	put_mtime(to, st->mtime_ns);
	la.entry_set_size(to, content ? (int64_t)st->size : 0);
	if (S_ISCHR(st->mode) || S_ISBLK(st->mode)) {
		la.entry_set_rdevmajor(to, st->rdev_major);
		la.entry_set_rdevminor(to, st->rdev_minor);
	}
	if (entry->hardlink) {
		la.entry_set_hardlink(to, entry->hardlink);
	} else {
		if (entry->text)
			la.entry_set_symlink(to, entry->text);
		if (put_xattrs(to, entry) != 0) {
			snprintf(writer->why, sizeof(writer->why), "its ACL makes no sense");
			return LINKFS_EINVAL;
		}
	}
	for (size_t i = 0; segments && content && i < nsegments; i++)
		la.entry_sparse_add_entry(to, (int64_t)segments[i].offset, (int64_t)segments[i].len);
	/* A hole from end to end. */
	if (segments && content && nsegments == 0 && st->size)
		la.entry_sparse_add_entry(to, 0, 0);
	return write_header(writer, entry);
}

int tar_writer_entry(struct tar_writer *writer, const struct tar_entry *entry, const struct tar_segment *segments,
		     size_t nsegments)
{
	locale_t before = writer->locale ? uselocale(writer->locale) : (locale_t)0;
	int error = put_entry(writer, entry, segments, nsegments);
	if (writer->locale)
		uselocale(before);
	return error;
}

int tar_writer_data(struct tar_writer *writer, const char *buf, uint64_t len)
{
	while (len) {
		size_t part = (size_t)(len < ZEROS_BYTES ? len : ZEROS_BYTES);
		la_ssize_t n = la.write_data(writer->archive, buf ? buf : writer->zeros, part);
		if (n <= 0 || writer->error)
			return say(writer);
		if (buf)
			buf += n;
		len -= (uint64_t)n;
	}
	return 0;
}

int tar_writer_finish(struct tar_writer *writer)
{
	if (la.write_close(writer->archive) != ARCHIVE_OK || writer->error)
		return say(writer);
	return la.write_close(writer->outer) == ARCHIVE_OK ? 0 : say(writer);
}
