/*
 * error.c - the one table of error codes: name, host errno, text.
 * Layer: base. A new code gets one row here and one in linkfs.h.
 */
#include "base.h"

#include <errno.h>
#include <stdio.h>

struct row {
	int code;
	int host;
	const char *name;
	const char *text;
};

/* clang-format off */
#define ROW(x, text) {LINKFS_##x, x, "LINKFS_" #x, text}
static const struct row rows[] = {
	{0, 0, "LINKFS_OK", "Success"},
	ROW(EPERM, "Operation not permitted"),
	ROW(ENOENT, "No such file or directory"),
	ROW(EINTR, "Interrupted"),
	ROW(EIO, "Input/output error"),
	ROW(ENXIO, "No such device or address"),
	ROW(E2BIG, "Argument list too long"),
	ROW(EBADF, "Bad file descriptor"),
	ROW(EAGAIN, "Try again"),
	ROW(ENOMEM, "Out of memory"),
	ROW(EACCES, "Permission denied"),
	ROW(EBUSY, "Device or resource busy"),
	ROW(EEXIST, "File exists"),
	ROW(EXDEV, "Invalid cross-device link"),
	ROW(ENODEV, "No such device"),
	ROW(ENOTDIR, "Not a directory"),
	ROW(EISDIR, "Is a directory"),
	ROW(EINVAL, "Invalid argument"),
	ROW(EMFILE, "Too many open files"),
	ROW(ENOTTY, "Inappropriate ioctl for device"),
	ROW(ETXTBSY, "Text file busy"),
	ROW(EFBIG, "File too large"),
	ROW(ENOSPC, "No space left on device"),
	ROW(ESPIPE, "Illegal seek"),
	ROW(EROFS, "Read-only file system"),
	ROW(EMLINK, "Too many links"),
	ROW(EPIPE, "Broken pipe"),
	ROW(ERANGE, "Numerical result out of range"),
	ROW(ENAMETOOLONG, "File name too long"),
	ROW(ENOSYS, "Function not implemented"),
	ROW(ENOTEMPTY, "Directory not empty"),
	ROW(ELOOP, "Too many levels of symbolic links"),
	ROW(ENODATA, "No data available"),
	ROW(EOVERFLOW, "Value too large for defined data type"),
	ROW(EOPNOTSUPP, "Operation not supported"),
	ROW(ENOTCONN, "Transport endpoint is not connected"),
	ROW(ESTALE, "Stale file handle"),
	ROW(EDQUOT, "Disk quota exceeded"),
	{LINKFS_ECORRUPT, EIO, "LINKFS_ECORRUPT", "The volume is damaged: a checksum or an invariant does not hold"},
	{LINKFS_ENOTVOLUME, EINVAL, "LINKFS_ENOTVOLUME", "Not a linkfs volume"},
	{LINKFS_ENEWER, EOPNOTSUPP, "LINKFS_ENEWER", "The volume needs a newer version of linkfs"},
	{LINKFS_ELOCKED, EBUSY, "LINKFS_ELOCKED", "Another process owns the volume"},
	{LINKFS_ESCHEMA, EIO, "LINKFS_ESCHEMA", "The volume's database does not have linkfs's schema"},
	{LINKFS_EPOISONED, EIO, "LINKFS_EPOISONED", "An earlier sync failed: the volume is read-only until it is reopened"},
};
/* clang-format on */

static const struct row *find(int error)
{
	for (size_t i = 0; i < LK_ARRAY_LEN(rows); i++) {
		if (rows[i].code == error)
			return &rows[i];
	}
	return NULL;
}

int linkfs_errno(int error)
{
	const struct row *row = find(error);
	return row ? row->host : EIO;
}

int linkfs_from_errno(int host_errno)
{
	for (size_t i = 0; i < LK_ARRAY_LEN(rows); i++) {
		if (rows[i].host == host_errno && rows[i].code > -1000)
			return rows[i].code;
	}
	if (host_errno == ENFILE)
		return LINKFS_EMFILE;
	return LINKFS_EIO;
}

const char *linkfs_error_name(int error)
{
	const struct row *row = find(error);
	return row ? row->name : "LINKFS_EUNKNOWN";
}

const char *linkfs_strerror(int error)
{
	const struct row *row = find(error);
	return row ? row->text : "Unknown error";
}

/* The length of the UTF-8 character at p if a terminal may be shown it, else 0: what lies in a volume must not command it. */
static size_t harmless(const unsigned char *p)
{
	if (*p < 0x80)
		return *p >= 0x20 && *p != 0x7f;
	size_t len = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	if (*p < 0xc2 || *p > 0xf4 || (*p == 0xc2 && p[1] < 0xa0))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

static void make_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		size_t len = harmless(p);
		if (!len)
			*p = '?';
		p += LK_MAX(len, (size_t)1);
	}
}

int lk_fail(struct linkfs_message *message, int error, const char *format, ...)
{
	if (message) {
		va_list args;
		va_start(args, format);
		(void)vsnprintf(message->text, sizeof(message->text), format, args);
		va_end(args);
		make_printable(message->text);
	}
	return error;
}
