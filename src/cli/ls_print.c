/*
 * ls_print.c - how ls shows what was gathered: long lines, columns, one per line, or JSON; laid out as by GNU ls.
 */
#include "ls.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HALF_YEAR_NS (31556952LL / 2 * 1000000000LL)

struct widths {
	int inode, blocks, nlink, user, group, size, major, minor;
	bool any_acl, any_quoted;
};

int64_t ls_item_time(const struct ls *ls, const struct ls_item *item)
{
	switch (ls->time) {
	case LS_CTIME:
		return item->st.ctime_ns;
	case LS_ATIME:
		return item->st.atime_ns;
	case LS_BTIME:
		return item->st.btime_ns;
	case LS_MTIME:
		break;
	}
	return item->st.mtime_ns;
}

static bool is_device(const struct ls_item *item)
{
	return S_ISCHR(item->st.mode) || S_ISBLK(item->st.mode);
}

static void block_text(const struct ls *ls, uint64_t blocks512, char buf[32])
{
	if (ls->human)
		cli_human_size(blocks512 * 512, ls->human, buf);
	else
		snprintf(buf, 32, "%" PRIu64, (blocks512 + 1) / 2);
}

static void size_text(const struct ls *ls, uint64_t size, char buf[32])
{
	if (ls->human)
		cli_human_size(size, ls->human, buf);
	else
		snprintf(buf, 32, "%" PRIu64, size);
}

/* Names to the left, numbers to the right; "?" where nothing is known. */
static void user_text(const struct ls *ls, const struct ls_item *item, bool group, char *buf, size_t size)
{
	uint32_t id = group ? item->st.gid : item->st.uid;
	if (item->unknown)
		snprintf(buf, size, "?");
	else if (ls->numeric)
		snprintf(buf, size, "%u", id);
	else
		snprintf(buf, size, "%s", group ? cli_ids_group(ls->ids, id) : cli_ids_user(ls->ids, id));
}

static void print_user(const struct ls *ls, const struct ls_item *item, bool group, int width)
{
	char text[300];
	user_text(ls, item, group, text, sizeof(text));
	bool number = text[strspn(text, "0123456789")] == '\0';
	fprintf(ls->cli->out, "%*s ", number ? width : -width, text);
}

static void widen(int *width, int len)
{
	if (len > *width)
		*width = len;
}

static int digits(uint64_t n)
{
	int len = 1;
	while (n >= 10) {
		n /= 10;
		len++;
	}
	return len;
}

static struct widths measure(const struct ls *ls, const struct ls_item *items, size_t len)
{
	struct widths w = {0};
	char text[300];
	for (size_t i = 0; i < len; i++) {
		const struct ls_item *item = &items[i];
		w.any_acl |= item->has_acl;
		w.any_quoted |= item->quoted;
		widen(&w.inode, digits(item->st.ino));
		block_text(ls, item->st.blocks, text);
		widen(&w.blocks, (int)strlen(text));
		if (ls->format != LS_LONG)
			continue;
		widen(&w.nlink, digits(item->st.nlink));
		user_text(ls, item, false, text, sizeof(text));
		widen(&w.user, (int)strlen(text));
		user_text(ls, item, true, text, sizeof(text));
		widen(&w.group, (int)strlen(text));
		if (is_device(item)) {
			widen(&w.major, digits(item->st.rdev_major));
			widen(&w.minor, digits(item->st.rdev_minor));
			widen(&w.size, w.major + 2 + w.minor);
		} else {
			size_text(ls, item->st.size, text);
			widen(&w.size, (int)strlen(text));
		}
	}
	return w;
}

static char indicator(const struct ls *ls, uint32_t mode)
{
	if (ls->indicator == LS_NO_INDICATOR)
		return '\0';
	if (S_ISDIR(mode))
		return '/';
	if (ls->indicator == LS_SLASH)
		return '\0';
	if (S_ISLNK(mode))
		return '@';
	if (S_ISFIFO(mode))
		return '|';
	if (S_ISSOCK(mode))
		return '=';
	return S_ISREG(mode) && (mode & 0111) ? '*' : '\0';
}

/* Columns that a short entry takes. */
static size_t short_width(const struct ls *ls, const struct widths *w, const struct ls_item *item, bool align)
{
	size_t n = item->width + (align && w->any_quoted && !item->quoted);
	if (ls->inode)
		n += (size_t)w->inode + 1;
	if (ls->blocks)
		n += (size_t)w->blocks + 1;
	return n + (indicator(ls, item->st.mode) != '\0');
}

static void print_front(const struct ls *ls, const struct widths *w, const struct ls_item *item, bool align)
{
	char text[32];
	FILE *out = ls->cli->out;
	if (ls->inode)
		fprintf(out, "%*" PRIu64 " ", align ? w->inode : 0, item->st.ino);
	if (ls->blocks) {
		block_text(ls, item->st.blocks, text);
		fprintf(out, "%*s ", align ? w->blocks : 0, text);
	}
}

static void print_name(const struct ls *ls, const struct widths *w, const struct ls_item *item, bool align)
{
	FILE *out = ls->cli->out;
	char mark = indicator(ls, item->st.mode);
	if (align && w->any_quoted && !item->quoted)
		fputc(' ', out);
	fputs(item->shown, out);
	if (mark && !(ls->format == LS_LONG && S_ISLNK(item->st.mode)))
		fputc(mark, out);
}

/* What is shown of a file whose attributes cannot be had. */
static void print_unknown(struct ls *ls, const struct widths *w, const struct ls_item *item)
{
	FILE *out = ls->cli->out;
	char text[300];
	if (ls->inode)
		fprintf(out, "%*s ", w->inode, "?");
	if (ls->blocks)
		fprintf(out, "%*s ", w->blocks, "?");
	fprintf(out, "%c?????????%s %*s ", cli_type_letter(item->st.mode), w->any_acl ? "?" : "", w->nlink, "?");
	if (!ls->no_owner)
		print_user(ls, item, false, w->user);
	if (!ls->no_group)
		print_user(ls, item, true, w->group);
	size_t date = cli_time_format(ls->cli, text, sizeof(text), ls->recent_format, ls->now_ns);
	fprintf(out, "%*s %*s ", w->size, "?", (int)date, "?");
	print_name(ls, w, item, true);
	fputc('\n', out);
}

static void print_long(struct ls *ls, const struct widths *w, const struct ls_item *item)
{
	FILE *out = ls->cli->out;
	char mode[11], text[300];
	int64_t when = ls_item_time(ls, item);
	if (item->unknown) {
		print_unknown(ls, w, item);
		return;
	}
	print_front(ls, w, item, true);
	cli_mode_text(item->st.mode, mode);
	fprintf(out, "%s%s %*u ", mode, w->any_acl ? (item->has_acl ? "+" : " ") : "", w->nlink, item->st.nlink);
	if (!ls->no_owner)
		print_user(ls, item, false, w->user);
	if (!ls->no_group)
		print_user(ls, item, true, w->group);
	if (is_device(item)) {
		int blanks = w->size - (w->major + 2 + w->minor);
		fprintf(out, "%*u, %*u ", w->major + (blanks > 0 ? blanks : 0), item->st.rdev_major, w->minor,
			item->st.rdev_minor);
	} else {
		size_text(ls, item->st.size, text);
		fprintf(out, "%*s ", w->size, text);
	}
	bool recent = when <= ls->now_ns && when > ls->now_ns - HALF_YEAR_NS;
	cli_time_format(ls->cli, text, sizeof(text), recent ? ls->recent_format : ls->old_format, when);
	fprintf(out, "%s ", text);
	print_name(ls, w, item, true);
	if (item->target) {
		char *shown = cli_quote(item->target, strlen(item->target), ls->quoting, NULL);
		fprintf(out, " -> %s", shown ? shown : item->target);
		char mark = ls->indicator == LS_CLASSIFY && item->target_mode ? indicator(ls, item->target_mode) : '\0';
		if (mark)
			fputc(mark, out);
		free(shown);
	}
	fputc('\n', out);
}

/* As GNU ls: tabs of 8 where they reach no further than to. */
static void indent(FILE *out, size_t from, size_t to)
{
	while (from < to) {
		if (to / 8 > (from + 1) / 8) {
			fputc('\t', out);
			from += 8 - from % 8;
		} else {
			fputc(' ', out);
			from++;
		}
	}
}

/* Whether columns of rows entries fit; widths are put into column_widths. */
static bool fits(const size_t *item_widths, size_t len, size_t columns, size_t width, size_t *column_widths)
{
	size_t rows = (len + columns - 1) / columns, total = 0;
	memset(column_widths, 0, columns * sizeof(*column_widths));
	for (size_t i = 0; i < len; i++) {
		size_t column = i / rows;
		size_t need = item_widths[i] + (column == columns - 1 ? 0 : 2);
		if (need > column_widths[column]) {
			total += need - column_widths[column];
			column_widths[column] = need;
		}
		if (total >= width)
			return columns == 1;
	}
	return true;
}

static void print_columns(struct ls *ls, const struct widths *w, const struct ls_item *items, size_t len)
{
	FILE *out = ls->cli->out;
	size_t width = ls->width;
	for (size_t i = 0; i < len && !width; i++) { /* no limit: all in one line */
		fputs(i ? "  " : "", out);
		print_front(ls, w, &items[i], true);
		print_name(ls, w, &items[i], true);
	}
	if (!width) {
		fputc('\n', out);
		return;
	}
	size_t most = width / 3 ? width / 3 : 1;
	most = most < len ? most : len;
	size_t *item_widths = cli_alloc(len * sizeof(size_t)), *column_widths = cli_alloc((most + 1) * sizeof(size_t));
	if (!item_widths || !column_widths) {
		cli_fail(ls->cli, NULL, LINKFS_ENOMEM);
		most = 0;
	}
	for (size_t i = 0; i < len && most; i++)
		item_widths[i] = short_width(ls, w, &items[i], true);
	size_t columns = most;
	while (columns > 1 && !fits(item_widths, len, columns, width, column_widths))
		columns--;
	size_t rows = columns ? (len + columns - 1) / columns : 0;
	if (columns == 1)
		fits(item_widths, len, 1, width, column_widths);
	for (size_t row = 0; row < rows; row++) {
		size_t at = 0, begin = 0;
		for (size_t column = 0; row + column * rows < len; column++) {
			const struct ls_item *item = &items[row + column * rows];
			indent(out, at, begin);
			print_front(ls, w, item, true);
			print_name(ls, w, item, true);
			at = begin + item_widths[row + column * rows];
			begin += column_widths[column];
		}
		fputc('\n', out);
	}
	free(item_widths);
	free(column_widths);
}

static void print_json(struct ls *ls, const struct ls_item *item)
{
	cli_json_open(&ls->json, NULL, '{');
	cli_json_string(&ls->json, "path", item->path);
	cli_json_string(&ls->json, "name", item->name);
	cli_json_stat(&ls->json, ls->ids, &item->st);
	if (item->target)
		cli_json_string(&ls->json, "target", item->target);
	cli_json_close(&ls->json, '}');
}

void ls_print_total(struct ls *ls, const struct ls_item *items, size_t len)
{
	uint64_t blocks = 0;
	char text[32];
	if (ls->format == LS_JSON || (ls->format != LS_LONG && !ls->blocks))
		return;
	for (size_t i = 0; i < len; i++)
		blocks += items[i].st.blocks;
	block_text(ls, blocks, text);
	fprintf(ls->cli->out, "total %s\n", text);
}

void ls_print(struct ls *ls, struct ls_item *items, size_t len)
{
	struct widths w = measure(ls, items, len);
	if (len == 0)
		return;
	if (ls->format == LS_COLUMNS) {
		print_columns(ls, &w, items, len);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (ls->format == LS_LONG) {
			print_long(ls, &w, &items[i]);
		} else if (ls->format == LS_JSON) {
			print_json(ls, &items[i]);
		} else {
			print_front(ls, &w, &items[i], true);
			print_name(ls, &w, &items[i], false);
			fputc('\n', ls->cli->out);
		}
	}
}
