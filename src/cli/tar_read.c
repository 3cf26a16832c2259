/*
 * tar_read.c - entries out of a tar stream, by libarchive: one of its readers decompresses, a second one reads what comes out as tar.
 * Between the two is counted: how much one header takes, and whether the end of the archive was marked.
 *
 * Names in pax headers are said to be UTF-8. libarchive would compose them anew (NFC) where the locale is UTF-8, and names in a file
 * system are bytes: in the C locale it finds no way to convert what is not ASCII, says so, and hands out the bytes.
 */
#include "tar.h"
#include "tar_library.h"
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SOURCE_BUF 262144u
/* libarchive itself takes no pax header above 1 MiB; maps of sparse files are bounded by nothing else. */
#define HEADER_MAX (8u << 20)
#define CANNOT_CONVERT "can't be converted"

struct tar_reader {
	struct archive *outer, *inner; /* that decompresses, that reads tar */
	struct tar_gunzip *gunzip;     /* before them */
	char *buf;
	int error; /* the source's */
	bool in_header, huge;
	uint64_t header_len, total; /* bytes of this header so far; that came out of the outer one */
	bool outer_ended, ended;
	struct tar_entry entry;
	locale_t locale;
	char why[512];
};

static la_ssize_t read_source(struct archive *a, void *arg, const void **buf_out)
{
	struct tar_reader *reader = arg;
	ssize_t n = tar_gunzip_read(reader->gunzip, reader->buf, SOURCE_BUF);
	const char *why = tar_gunzip_why(reader->gunzip);
	if (n < 0 && why) {
		la.set_error(a, EINVAL, "gzip: %s", why);
		return ARCHIVE_FATAL;
	}
	if (n < 0) {
		reader->error = (int)n;
		la.set_error(a, linkfs_errno((int)n), "%s", linkfs_strerror((int)n));
		return ARCHIVE_FATAL;
	}
	*buf_out = reader->buf;
	return n;
}

static la_ssize_t read_outer(struct archive *a, void *arg, const void **buf_out)
{
	struct tar_reader *reader = arg;
	size_t len = 0;
	la_int64_t offset = 0;
	int r = ARCHIVE_OK;
	if (reader->in_header && reader->header_len > HEADER_MAX) {
		reader->huge = true;
		la.set_error(a, LINKFS_E2BIG, "a header of more than %u MiB", HEADER_MAX >> 20);
		return ARCHIVE_FATAL;
	}
	while (len == 0 && r == ARCHIVE_OK)
		r = la.read_data_block(reader->outer, buf_out, &len, &offset);
	if (r == ARCHIVE_EOF) {
		reader->outer_ended = true;
		return 0;
	}
	if (r < ARCHIVE_WARN) {
		const char *text = la.error_string(reader->outer);
		la.set_error(a, la.error_number(reader->outer), "%s", text ? text : "cannot decompress");
		return ARCHIVE_FATAL;
	}
	reader->header_len += len;
	reader->total += len;
	return (la_ssize_t)len;
}

static void add_filters(struct archive *a)
{
	/* What is not compiled in libarchive would run other programs. gzip was unpacked before. */
	if (la.bzlib_version())
		la.read_support_filter_bzip2(a);
	if (la.liblzma_version())
		la.read_support_filter_xz(a);
	if (la.libzstd_version())
		la.read_support_filter_zstd(a);
}

static int say(struct tar_reader *reader, struct archive *a, const char *instead)
{
	const char *text = la.error_string(a);
	if (!reader->why[0])
		snprintf(reader->why, sizeof(reader->why), "%s", text ? text : instead);
	return reader->error ? reader->error : la.error_number(a) == ENOMEM ? LINKFS_ENOMEM : LINKFS_EINVAL;
}

static int open_both(struct tar_reader *reader)
{
	struct archive_entry *entry;
	add_filters(reader->outer);
	la.read_support_format_raw(reader->outer);
	la.read_support_format_tar(reader->inner);
	if (la.read_open(reader->outer, reader, NULL, read_source, NULL) != ARCHIVE_OK ||
	    la.read_next_header(reader->outer, &entry) != ARCHIVE_OK) {
		if (!reader->error && reader->total == 0 && la.filter_bytes(reader->outer, -1) == 0)
			snprintf(reader->why, sizeof(reader->why), "it is empty");
		return say(reader, reader->outer, "it is empty");
	}
	reader->in_header = true;
	if (la.read_open(reader->inner, reader, NULL, read_outer, NULL) != ARCHIVE_OK)
		return say(reader, reader->inner, "cannot be read");
	return 0;
}

int tar_reader_open(tar_source_fn *source, void *arg, struct tar_reader **out)
{
	struct tar_reader *reader = cli_alloc(sizeof(*reader));
	if (!reader)
		return LINKFS_ENOMEM;
	reader->gunzip = tar_gunzip_new(source, arg);
	reader->buf = cli_alloc(SOURCE_BUF);
	reader->outer = la.read_new();
	reader->inner = la.read_new();
	reader->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!reader->gunzip || !reader->buf || !reader->outer || !reader->inner || !reader->locale) {
		tar_reader_close(reader);
		return LINKFS_ENOMEM;
	}
	*out = reader;
	locale_t before = uselocale(reader->locale);
	int error = open_both(reader);
	uselocale(before);
	return error;
}

void tar_reader_close(struct tar_reader *reader)
{
	if (!reader)
		return;
	if (reader->inner)
		la.read_free(reader->inner);
	if (reader->outer)
		la.read_free(reader->outer);
	if (reader->locale)
		freelocale(reader->locale);
	tar_gunzip_free(reader->gunzip);
	tar_entry_clear(&reader->entry);
	free(reader->entry.xattrs);
	free(reader->buf);
	free(reader);
}

const char *tar_reader_why(const struct tar_reader *reader)
{
	return reader->why;
}

bool tar_reader_ended(const struct tar_reader *reader)
{
	return reader->ended;
}

/* ---- entries ---- */

int tar_entry_xattr(struct tar_entry *entry, const char *name, char *value, size_t len)
{
	char *copy = cli_strdup(name);
	if (!copy || !value ||
	    cli_grow(&entry->xattrs, &entry->xattrs_cap, entry->nxattrs, sizeof(*entry->xattrs)) != 0) {
		free(copy);
		free(value);
		return LINKFS_ENOMEM;
	}
	entry->xattrs[entry->nxattrs++] = (struct tar_xattr){.name = copy, .value = value, .len = len};
	return 0;
}

void tar_entry_clear(struct tar_entry *entry)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		free(entry->xattrs[i].name);
		free(entry->xattrs[i].value);
	}
	*entry = (struct tar_entry){.xattrs = entry->xattrs, .xattrs_cap = entry->xattrs_cap};
}

static void tell(struct tar_entry *entry, const char *format, ...) CLI_PRINTF(2, 3);
static void tell(struct tar_entry *entry, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	if (!entry->told[0])
		vsnprintf(entry->told, sizeof(entry->told), format, ap);
	va_end(ap);
}

/* POSIX's decimal -1.25 is 1.25 s before 1970; libarchive has it as -1 s and 250,000,000 ns. */
static int64_t time_of(int64_t seconds, long ns)
{
	if (seconds > 9223372035 || seconds < -9223372035)
		return seconds > 0 ? INT64_MAX : INT64_MIN;
	return seconds * 1000000000 + (seconds < 0 ? -ns : ns);
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

/* In SCHILY.xattr keywords GNU tar writes '=' and '%' as %3D and %25, libarchive whatever is not printable as well, and hands out the keyword as
 * it stands. */
static void decode_name(char *name)
{
	char *to = name;
	for (const char *p = name; *p; p++) {
		int high = *p == '%' ? digit(p[1]) : -1, low = high >= 0 ? digit(p[2]) : -1, c = high * 16 + low;
		if (low >= 0 && c && (c < 33 || c > 126 || c == '%' || c == '=')) {
			*to++ = (char)c;
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

static bool has_xattr(const struct tar_entry *entry, const char *name)
{
	for (size_t i = 0; i < entry->nxattrs; i++) {
		if (strcmp(entry->xattrs[i].name, name) == 0)
			return true;
	}
	return false;
}

static int take_xattrs(struct tar_entry *entry, struct archive_entry *from)
{
	const char *name;
	const void *value;
	size_t len;
	int error = 0;
	la.entry_xattr_reset(from);
	while (!error && la.entry_xattr_next(from, &name, &value, &len) == ARCHIVE_OK) {
		char *decoded = cli_strdup(name ? name : "");
		if (!decoded)
			return LINKFS_ENOMEM;
		decode_name(decoded);
		if (!has_xattr(entry, decoded)) {
			char *copy = cli_alloc(len);
			if (copy && len)
				memcpy(copy, value, len);
			error = tar_entry_xattr(entry, decoded, copy, len);
		}
		free(decoded);
	}
	return error;
}

/* ---- ACLs: into the form that the kernel gives them as attributes (linux/posix_acl_xattr.h) ---- */

struct acl_row {
	uint16_t tag, perm;
	uint32_t id;
};
#define ACL_GROUP_OBJ_TAG 0x04u
#define ACL_MASK_TAG 0x10u

static int acl_tag(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return 0x01;
	case ARCHIVE_ENTRY_ACL_USER:
		return 0x02;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return 0x04;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return 0x08;
	case ARCHIVE_ENTRY_ACL_MASK:
		return 0x10;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return 0x20;
	default:
		return 0;
	}
}

static int by_tag(const void *a, const void *b)
{
	const struct acl_row *x = a, *y = b;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Names without a number are the host's. */
static bool acl_id(struct tar_entry *entry, int tag, int id, const char *name, uint32_t *out)
{
	bool user = tag == ARCHIVE_ENTRY_ACL_USER;
	if (!user && tag != ARCHIVE_ENTRY_ACL_GROUP) {
		*out = UINT32_MAX;
		return true;
	}
	*out = (uint32_t)id;
	if (id != -1)
		return true;
	if (name && (user ? cli_parse_user(name, out, NULL) : cli_parse_group(name, out)) == 0)
		return true;
	tell(entry, "its ACL was left out: %s '%s' is not known here", user ? "user" : "group", name ? name : "");
	return false;
}

static void put_le(char *p, uint32_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (char)(v >> (8 * i));
}

static int keep_acl(struct tar_entry *entry, const char *name, struct acl_row *rows, size_t count)
{
	size_t len = 4 + 8 * count;
	char *value = cli_alloc(len);
	qsort(rows, count, sizeof(*rows), by_tag);
	for (size_t i = 0; value && i < count; i++) {
		put_le(value + 4 + 8 * i, rows[i].tag, 2);
		put_le(value + 6 + 8 * i, rows[i].perm, 2);
		put_le(value + 8 + 8 * i, rows[i].id, 4);
	}
	if (value)
		put_le(value, 2, 4);
	return tar_entry_xattr(entry, name, value, len);
}

/* The mode's bits for the group are the mask where there is one, as the kernel shows them. */
static void mode_of_acl(struct tar_entry *entry, const struct acl_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].tag == ACL_MASK_TAG)
			entry->st.mode = (entry->st.mode & ~070u) | (uint32_t)(rows[i].perm & 7) << 3;
	}
}

/* The mode's bits for the group are the mask's as well; without the ACL they would be rights that the group never had. */
static void mode_without_acl(struct tar_entry *entry, const struct acl_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].tag == ACL_GROUP_OBJ_TAG)
			entry->st.mode &= ~070u | (uint32_t)(rows[i].perm & 7) << 3;
	}
}

static int take_acl(struct tar_entry *entry, struct archive_entry *from, int kind, const char *name)
{
	struct acl_row *rows = NULL;
	size_t count = 0, cap = 0;
	int type, permset, tag, id, error = 0;
	const char *who;
	bool known = true;
	if (la.entry_acl_count(from, kind) == 0)
		return 0;
	la.entry_acl_reset(from, kind);
	while (!error && la.entry_acl_next(from, kind, &type, &permset, &tag, &id, &who) == ARCHIVE_OK) {
		struct acl_row row = {.tag = (uint16_t)acl_tag(tag), .perm = (uint16_t)(permset & 7)};
		if (row.tag == 0)
			continue;
		known = known && acl_id(entry, tag, id, who, &row.id);
		error = cli_grow(&rows, &cap, count, sizeof(*rows));
		if (!error)
			rows[count++] = row;
	}
	if (!error && known && count) {
		if (kind == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
			mode_of_acl(entry, rows, count);
		error = keep_acl(entry, name, rows, count);
	} else if (!error && kind == ARCHIVE_ENTRY_ACL_TYPE_ACCESS) {
		mode_without_acl(entry, rows, count);
	}
	free(rows);
	return error;
}

static int take_entry(struct tar_reader *reader, struct archive_entry *from)
{
	struct tar_entry *entry = &reader->entry;
	const char *path = la.entry_pathname(from);
	entry->path = path ? path : "";
	entry->hardlink = la.entry_hardlink(from);
	entry->text = la.entry_symlink(from);
	int64_t size = la.entry_size(from);
	entry->st = (struct linkfs_stat){
		.mode = la.entry_mode(from),
		.uid = (uint32_t)la.entry_uid(from),
		.gid = (uint32_t)la.entry_gid(from),
		.size = size > 0 ? (uint64_t)size : 0,
		.rdev_major = (uint32_t)la.entry_rdevmajor(from),
		.rdev_minor = (uint32_t)la.entry_rdevminor(from),
		.mtime_ns = time_of(la.entry_mtime(from), la.entry_mtime_nsec(from)),
		.atime_ns = time_of(la.entry_atime(from), la.entry_atime_nsec(from)),
	};
	entry->has_mtime = la.entry_mtime_is_set(from);
	entry->has_atime = la.entry_atime_is_set(from);
	int64_t uid = la.entry_uid(from), gid = la.entry_gid(from);
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX) {
		tell(entry,
		     "its owner %" PRId64 ":%" PRId64
		     " is none that there can be: root's it is, without setuid and setgid",
		     uid, gid);
		entry->st.uid = entry->st.gid = 0;
		entry->st.mode &= ~06000u;
	}
	if (la.entry_acl_types(from) & ARCHIVE_ENTRY_ACL_TYPE_NFS4)
		tell(entry, "its NFSv4 ACL was left out");
	int error = take_xattrs(entry, from);
	if (!error)
		error = take_acl(entry, from, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, TAR_ACL_ACCESS);
	if (!error)
		error = take_acl(entry, from, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, TAR_ACL_DEFAULT);
	return error;
}

/* In the locale that the reader needs. */
static int next(struct tar_reader *reader)
{
	struct archive_entry *from;
	/* What is left of the entry before is no part of the header. */
	reader->in_header = false;
	if (reader->entry.path && la.read_data_skip(reader->inner) < ARCHIVE_WARN)
		return say(reader, reader->inner, "cannot be read");
	reader->in_header = true;
	reader->header_len = 0;
	tar_entry_clear(&reader->entry);
	int r = la.read_next_header(reader->inner, &from);
	reader->in_header = false;
	if (r == ARCHIVE_EOF) {
		/* At the end of all bytes no mark was found. */
		reader->ended =
			!reader->outer_ended || reader->total > (uint64_t)la.read_header_position(reader->inner);
		return 0;
	}
	/* To look for the next thing that is like a header would take what lies in a file for one. */
	if (r < ARCHIVE_WARN || r == ARCHIVE_RETRY)
		return say(reader, reader->inner, "cannot be read");
	const char *text = la.error_string(reader->inner);
	if (r == ARCHIVE_WARN && text && !strstr(text, CANNOT_CONVERT))
		tell(&reader->entry, "%s", text);
	int error = take_entry(reader, from);
	return error ? error : 1;
}

int tar_reader_next(struct tar_reader *reader, struct tar_entry **out)
{
	locale_t before = uselocale(reader->locale);
	int r = next(reader);
	uselocale(before);
	if (r == 1)
		*out = &reader->entry;
	return r;
}

int tar_reader_finish(struct tar_reader *reader)
{
	int r = ARCHIVE_OK;
	const void *buf;
	size_t len;
	la_int64_t offset;
	/* What follows an archive that is not compressed is nothing to it, and has no checksum. */
	if (!tar_gunzip_found(reader->gunzip) && la.filter_count(reader->outer) <= 1)
		return 0;
	locale_t before = uselocale(reader->locale);
	while (!reader->outer_ended && (r == ARCHIVE_OK || r == ARCHIVE_WARN))
		r = la.read_data_block(reader->outer, &buf, &len, &offset);
	int error = reader->outer_ended || r == ARCHIVE_EOF ? 0 : say(reader, reader->outer, "cannot be read");
	uselocale(before);
	return error;
}

int tar_reader_data(struct tar_reader *reader, const void **buf_out, size_t *len_out, uint64_t *offset_out)
{
	la_int64_t offset = 0;
	int r = la.read_data_block(reader->inner, buf_out, len_out, &offset);
	if (r == ARCHIVE_EOF)
		return 0;
	if (r < ARCHIVE_WARN)
		return say(reader, reader->inner, "cannot be read");
	if (offset < 0)
		return LINKFS_EINVAL;
	*offset_out = (uint64_t)offset;
	return 1;
}
