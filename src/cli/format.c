/*
 * format.c - file types, permission strings and sizes as the coreutils write them.
 */
#include "cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char cli_type_letter(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFREG:
		return '-';
	default:
		return '?';
	}
}

const char *cli_type_text(uint32_t mode, uint64_t size)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symbolic link";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character special file";
	case S_IFBLK:
		return "block special file";
	case S_IFREG:
		return size ? "regular file" : "regular empty file";
	default:
		return "weird file";
	}
}

static char execute_letter(uint32_t mode, uint32_t x, uint32_t special, char letter)
{
	if (mode & special)
		return (mode & x) ? letter : (char)(letter - 'a' + 'A');
	return (mode & x) ? 'x' : '-';
}

void cli_mode_text(uint32_t mode, char buf[11])
{
	buf[0] = cli_type_letter(mode);
	for (unsigned i = 0; i < 9; i++)
		buf[i + 1] = (mode & (0400u >> i)) ? "rwx"[i % 3] : '-';
	buf[3] = execute_letter(mode, S_IXUSR, S_ISUID, 's');
	buf[6] = execute_letter(mode, S_IXGRP, S_ISGID, 's');
	buf[9] = execute_letter(mode, S_IXOTH, S_ISVTX, 't');
	buf[10] = '\0';
}

void cli_human_size(uint64_t bytes, unsigned base, char buf[32])
{
	static const char units[] = "KMGTPE";
	uint64_t unit = 1;
	int i = -1;
	if (bytes < base) {
		snprintf(buf, 32, "%u", (unsigned)bytes);
		return;
	}
	while (i < 5 && bytes / unit >= base) {
		unit *= base;
		i++;
	}
	char letter = base == 1000 && i == 0 ? 'k' : units[i];
	/* Tenths below 10, whole numbers above, always rounded up; what rounds up to the base takes the next unit. */
	uint64_t whole = bytes / unit, rest = bytes % unit;
	uint64_t tenths = whole * 10 + (rest * 10 + unit - 1) / unit;
	if (tenths <= 99) {
		snprintf(buf, 32, "%u.%u%c", (unsigned)(tenths / 10), (unsigned)(tenths % 10), letter);
		return;
	}
	whole += rest != 0;
	if (whole == base && i < 5) {
		letter = units[i + 1];
		snprintf(buf, 32, "1.0%c", letter);
		return;
	}
	snprintf(buf, 32, "%u%c", (unsigned)whole, letter);
}

int cli_parse_u64(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return LINKFS_EINVAL;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || *end || value > max)
		return LINKFS_EINVAL;
	*out = value;
	return 0;
}

int cli_parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGTPE";
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return LINKFS_EINVAL;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno)
		return LINKFS_EINVAL;
	if (*end) {
		const char *unit = strchr(units, *end == 'k' ? 'K' : *end);
		uint64_t base = end[1] == 'B' ? 1000 : 1024, factor = 1;
		if (!unit || (strcmp(end + 1, "") != 0 && strcmp(end + 1, "B") != 0 && strcmp(end + 1, "iB") != 0))
			return LINKFS_EINVAL;
		for (long i = 0; i <= unit - units; i++)
			factor *= base;
		if (value > UINT64_MAX / factor)
			return LINKFS_EINVAL;
		value *= factor;
	}
	*out = value;
	return 0;
}
