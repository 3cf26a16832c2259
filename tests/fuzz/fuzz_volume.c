/*
 * fuzz_volume.c - volumes that a fuzzer damaged in ways that the checksums do not tell (P5): opened, walked, read, written, closed and opened
 * again. Input: a byte that chooses the volume (seed.h) and how it is opened, then changes, each a kind and its numbers:
 * rows through the database, bytes of pages and WAL frames with their sums made good, bytes of data. Where only data was changed, what is read
 * must be what was written, or an error (F3). Bytes after 0xff are the text of a lock file.
 */
#include "seed.h"

#include <linkfs_check.h>
#include <owner_text.h>
#include <tour.h>
#include <vfs_sum.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANGES_MAX 12
#define FILE_MAX_BYTES (8u << 20)

static struct seed_file bases[SEED_BASES][SEED_FILES];
static struct tour good[SEED_BASES];
static char top[2048], volume[2100];
/* With FUZZ_SHOW: how many were opened, and some reasons of those that were not. */
static unsigned opened_count, visit_count;
static int lines_left = 8;

/* Zeroing what is only reserved costs more than all the rest. */
__attribute__((visibility("default"))) int fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct stat st;
	if (mode)
		return (int)syscall(SYS_fallocate, fd, mode, offset, len);
	return fstat(fd, &st) == 0 && st.st_size < offset + len ? ftruncate(fd, offset + len) : 0;
}

/* ---- the input as numbers ------------------------------------------------------------------------------------------ */

struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take(struct input *in, int bytes)
{
	uint64_t v = 0;
	for (int i = 0; i < bytes; i++) {
		v |= in->left ? (uint64_t)*in->p << (8 * i) : 0;
		in->p += in->left > 0;
		in->left -= in->left > 0;
	}
	return v;
}

/* ---- files ------------------------------------------------------------------------------------------------------------- */

static int open_file(int which)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", volume, seed_names[which]);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void put_base(int base)
{
	char path[4096];
	static const char *const rest[] = {"meta.db-shm", "meta.db-journal", "lock"};
	(void)mkdir(volume, 0700);
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", volume, rest[i]);
		(void)unlink(path);
	}
	for (int i = 0; i < SEED_FILES; i++) {
		int fd = open_file(i);
		const struct seed_file *f = &bases[base][i];
		if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, f->p, f->len, 0) != (ssize_t)f->len)
			abort();
		close(fd);
	}
}

static void change_page(struct input *in)
{
	uint8_t page[LK_PAGE_SIZE];
	int fd = open_file(0);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t pages = size > 0 ? (uint64_t)size / LK_PAGE_SIZE : 0;
	uint64_t number = pages ? take(in, 2) % pages : 0, at = take(in, 2) % LK_PAGE_SUMMED,
		 count = take(in, 1) % 8 + 1;
	if (pages && pread(fd, page, sizeof(page), (off_t)(number * LK_PAGE_SIZE)) == LK_PAGE_SIZE) {
		for (uint64_t i = 0; i < count && at + i < LK_PAGE_SUMMED; i++)
			page[at + i] = (uint8_t)take(in, 1);
		lk_put_u64(page + LK_PAGE_SUMMED, lk_page_sum(page, (uint32_t)number + 1));
		if (pwrite(fd, page, sizeof(page), (off_t)(number * LK_PAGE_SIZE)) != LK_PAGE_SIZE)
			abort();
	}
	close(fd);
}

static uint32_t word(const uint8_t *p, bool big)
{
	return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
		   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void run_sum(const uint8_t *p, size_t len, bool big, uint32_t s[2])
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		s[0] += word(p + i, big) + s[1];
		s[1] += word(p + i + 4, big) + s[0];
	}
}

static void put_be(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Our sum of every page first, then SQLite's chain of sums from the header on. */
static void sum_wal(uint8_t *wal, size_t len)
{
	if (len < LK_WAL_HEADER)
		return;
	bool big = wal[3] & 1;
	uint32_t s[2] = {0, 0};
	run_sum(wal, 24, big, s);
	put_be(wal + 24, s[0]);
	put_be(wal + 28, s[1]);
	for (size_t at = LK_WAL_HEADER; at + LK_FRAME_SIZE <= len; at += LK_FRAME_SIZE) {
		uint8_t *page = wal + at + LK_FRAME_HEADER;
		lk_put_u64(page + LK_PAGE_SUMMED, lk_page_sum(page, word(wal + at, true)));
		run_sum(wal + at, 8, big, s);
		run_sum(page, LK_PAGE_SIZE, big, s);
		put_be(wal + at + 16, s[0]);
		put_be(wal + at + 20, s[1]);
	}
}

static void change_wal(struct input *in)
{
	int fd = open_file(1);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t at = take(in, 4), count = take(in, 1) % 8 + 1;
	uint8_t *wal = size > 0 && size < (off_t)FILE_MAX_BYTES ? malloc((size_t)size) : NULL;
	if (wal && pread(fd, wal, (size_t)size, 0) == size) {
		/* A change in three falls on a header. */
		at = at % 3 ? at % (uint64_t)size : at % 56;
		for (uint64_t i = 0; i < count && at + i < (uint64_t)size; i++)
			wal[at + i] = (uint8_t)take(in, 1);
		sum_wal(wal, (size_t)size);
		if (pwrite(fd, wal, (size_t)size, 0) != size)
			abort();
	}
	free(wal);
	close(fd);
}

static void change_data(struct input *in)
{
	int fd = open_file(2);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t at = take(in, 4);
	uint8_t byte = (uint8_t)take(in, 1);
	if (byte == 0xff && ftruncate(fd, (off_t)(at % (uint64_t)(size + 1))))
		abort();
	if (byte != 0xff && size > 0 && pwrite(fd, &byte, 1, (off_t)(at % (uint64_t)size)) != 1)
		abort();
	close(fd);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const char *number_of(struct input *in, char text[64])
{
	static const char *const numbers[] = {
		"0",
		"1",
		"-1",
		"2",
		"3",
		"64",
		"65",
		"255",
		"256",
		"4095",
		"4096",
		"4097",
		"32767",
		"32768",
		"65536",
		"262144",
		"1 << 31",
		"(1 << 31) - 1",
		"(1 << 32) - 1",
		"1 << 32",
		"(1 << 40) - 1",
		"1 << 40",
		"(1 << 48) - 1",
		"1 << 48",
		"1 << 55",
		"1 << 62",
		"~(1 << 63)",
		"1 << 63",
	};
	uint64_t how = take(in, 1);
	if (how < 192)
		return numbers[how % (sizeof(numbers) / sizeof(numbers[0]))];
	snprintf(text, 64, "%lld", (long long)take(in, how & 1 ? 8 : 1));
	return text;
}

/* An SQL expression for a new value of the column. */
static void value_of(struct input *in, const struct lk_table *t, const struct lk_column *c, char *out, size_t size)
{
	char number[64];
	uint64_t how = take(in, 1);
	const char *n = number_of(in, number);
	unsigned at = (unsigned)take(in, 2);
	if (c->type == LK_INT) {
		switch (how % 8) {
		case 0:
		case 3:
			snprintf(out, size, "%s", n);
			break;
		case 1:
			snprintf(out, size, "\"%s\" + 1", c->name);
			break;
		case 2:
			snprintf(out, size, "\"%s\" - 1", c->name);
			break;
		case 4:
			snprintf(out, size, "\"%s\" | (%s)", c->name, n);
			break;
		case 5:
			snprintf(out, size, "-\"%s\"", c->name);
			break;
		case 6:
			snprintf(out, size, "(SELECT max(\"%s\") FROM \"%s\")", c->name, t->name);
			break;
		default:
			snprintf(out, size, "(SELECT min(\"%s\") FROM \"%s\")", c->name, t->name);
			break;
		}
		return;
	}
	static const char *const bytes[] = {"x''",         "x'00'",     "x'2e'",     "x'2e2e'",    "x'2f'",
					    "x'66696c65'", "x'612f62'", "x'610062'", "x'1b5b324a'"};
	switch (how % 8) {
	case 0:
		snprintf(out, size, "%s", bytes[at % (sizeof(bytes) / sizeof(bytes[0]))]);
		break;
	case 1:
		snprintf(out, size, "cast(substr(\"%s\", 1, length(\"%s\") - 1) AS BLOB)", c->name, c->name);
		break;
	case 2:
		snprintf(out, size, "cast(\"%s\" || x'00' AS BLOB)", c->name);
		break;
	case 3:
		snprintf(out, size, "zeroblob(%u)", at % 2 ? at : at & 0x1fff);
		break;
	case 4:
		snprintf(out, size, "randomblob(%u)", 255 + at % 3);
		break;
	case 5:
		snprintf(out, size, "(SELECT \"%s\" FROM \"%s\" LIMIT 1 OFFSET %u)", c->name, t->name, at % 16);
		break;
	default: /* another byte in it */
		snprintf(out, size, "cast(substr(\"%s\", 1, %u) || x'%02x' || substr(\"%s\", %u) AS BLOB)", c->name,
			 at % 600, (unsigned)take(in, 1), c->name, at % 600 + 2);
		break;
	}
}

static size_t key_list(const struct lk_table *t, char *out, size_t size)
{
	size_t n = 0;
	for (uint8_t i = 0; i < t->key_count; i++)
		n += (size_t)snprintf(out + n, size - n, "%s\"%s\"", i ? ", " : "", t->columns[i].name);
	return n;
}

static void change_row(struct input *in, int kind)
{
	char sql[4096], keys[256], value[600];
	/* Most often those that everything rests on. */
	static const uint8_t likely[] = {LK_T_INODE,  LK_T_DIRENT, LK_T_EXTENT, LK_T_XATTR,  LK_T_TARGET, LK_T_INLINE,
					 LK_T_DIRENT, LK_T_EXTENT, LK_T_GROUP,  LK_T_SHARED, LK_T_INODE,  LK_T_COUNTER};
	uint8_t which = (uint8_t)take(in, 1);
	const struct lk_table *t = &lk_tables[which < 64 ? which % LK_T_COUNT : likely[which % sizeof(likely)]];
	unsigned row = (unsigned)take(in, 1), column = (unsigned)take(in, 1) % t->column_count;
	key_list(t, keys, sizeof(keys));
	value_of(in, t, &t->columns[column], value, sizeof(value));
	if (kind == 0)
		snprintf(sql, sizeof(sql),
			 "UPDATE OR REPLACE \"%s\" SET \"%s\" = %s WHERE (%s) = (SELECT %s FROM \"%s\" LIMIT 1 OFFSET "
			 "%u %% max(1, (SELECT count(*) FROM \"%s\")))",
			 t->name, t->columns[column].name, value, keys, keys, t->name, row, t->name);
	else if (kind == 1)
		snprintf(sql, sizeof(sql), "DELETE FROM \"%s\" WHERE (%s) = (SELECT %s FROM \"%s\" LIMIT 1 OFFSET %u)",
			 t->name, keys, keys, t->name, row % 64);
	else {
		size_t n = (size_t)snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO \"%s\" SELECT ", t->name);
		for (uint8_t i = 0; i < t->column_count; i++)
			n += (size_t)snprintf(sql + n, sizeof(sql) - n, i == column ? "%s%s" : "%s\"%s\"",
					      i ? ", " : "", i == column ? value : t->columns[i].name);
		snprintf(sql + n, sizeof(sql) - n, " FROM \"%s\" LIMIT 1 OFFSET %u", t->name, row % 64);
	}
	(void)seed_sql(volume, sql);
}

/* ---- the run --------------------------------------------------------------------------------------------------------------- */

static bool visit(uint32_t flags, bool writes, struct tour *tour)
{
	struct linkfs_open_options o = {.flags = flags, .commit_interval_ms = 3600000};
	struct linkfs_volume *v = NULL;
	struct linkfs_message why = {""};
	int r = linkfs_volume_open(volume, &o, &v, &why);
	visit_count++;
	opened_count += r == 0;
	if (r) {
		if (!why.text[0])
			abort(); /* an error that names nothing */
		for (const char *p = why.text; *p; p++) {
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				abort();
		}
		if (getenv("FUZZ_SHOW") && lines_left-- > 0)
			fprintf(stderr, "# %s: %s\n", linkfs_error_name(r), why.text);
		return false;
	}
	tour_read(v, tour);
	if (writes)
		tour_write(v, tour);
	(void)linkfs_volume_close(v);
	return true;
}

static void remove_all(void)
{
	char path[4096];
	static const char *const rest[] = {"meta.db-shm", "meta.db-journal", "lock"};
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", volume, rest[i]);
		(void)unlink(path);
	}
	for (int i = 0; i < SEED_FILES; i++) {
		snprintf(path, sizeof(path), "%s/%s", volume, seed_names[i]);
		(void)unlink(path);
	}
	(void)rmdir(volume);
	(void)rmdir(top);
	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "# %u of %u opened\n", opened_count, visit_count);
}

static void start(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(top, sizeof(top), "%s/linkfs-fuzz-XXXXXX",
		 tmp && *tmp                     ? tmp
		 : access("/dev/shm", W_OK) == 0 ? "/dev/shm"
						 : "/tmp");
	if (!mkdtemp(top))
		abort();
	snprintf(volume, sizeof(volume), "%s/v", top);
	seed_make(top, bases);
	(void)atexit(remove_all);
	for (int i = 0; i < SEED_BASES; i++) {
		put_base(i);
		if (!visit(0, false, &good[i]) || good[i].corrupt)
			abort();
	}
}

static void same_or_error(const struct tour *got, const struct tour *want)
{
	for (uint32_t i = 0; i < TOUR_FILES; i++) {
		if (got->file[i].error == 0 &&
		    (got->file[i].sum != want->file[i].sum || got->file[i].size != want->file[i].size)) {
			fprintf(stderr, "inode %u: other content, and no error\n", i);
			abort();
		}
	}
}

static void owner_text(const uint8_t *data, size_t size)
{
	static char text[LK_OWNER_TEXT_MAX];
	struct lk_owner_text owner, again;
	char *bytes = malloc(size + 1);
	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	lk_owner_parse(bytes, size, &owner);
	lk_owner_parse(text, lk_owner_format(&owner, text), &again);
	if (memcmp(&owner, &again, sizeof(owner)) != 0)
		abort();
	free(bytes);
}

static void check(bool repair)
{
	const struct linkfs_check_options options = {
		.flags = LINKFS_CHECK_DATA | (repair ? LINKFS_CHECK_REPAIR | LINKFS_CHECK_NO_BACKUP : 0)};
	struct linkfs_check_summary summary = {0};
	struct linkfs_message why = {""};
	(void)linkfs_check(volume, &options, &summary, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct tour tour = {0}, after = {0};
	if (!top[0])
		start();
	uint8_t how = (uint8_t)take(&in, 1);
	if (how == 0xff) {
		owner_text(in.p, in.left);
		return 0;
	}
	int base = how % SEED_BASES;
	bool only_data = true;
	put_base(base);
	for (int i = 0; i < CHANGES_MAX && in.left; i++) {
		uint8_t kind = (uint8_t)take(&in, 1);
		only_data = only_data && kind % 8 == 7;
		if (kind % 8 < 4)
			change_row(&in, kind % 8 < 2 ? 0 : kind % 8 - 1);
		else if (kind % 8 == 4)
			change_page(&in);
		else if (kind % 8 == 5 && base == 1)
			change_wal(&in);
		else if (kind % 8 == 7)
			change_data(&in);
		else
			change_page(&in);
	}
	if (how & 64)
		(void)visit(LINKFS_OPEN_READONLY, false, &after);
	if (how & 8)
		check(how & 4);
	bool opened = visit(0, true, &tour);
	if (opened && only_data && !(how & 8))
		same_or_error(&tour, &good[base]);
	if (opened && (how & 16))
		(void)visit(how & 32 ? LINKFS_OPEN_READONLY : 0, false, &after);
	return 0;
}
