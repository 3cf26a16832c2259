/*
 * draw_text.c - bytes as text in DOT: names may be anything but '/' and NUL, and Graphviz must show each as it is, expand nothing and never
 * see bytes that are no UTF-8 or that XML forbids. Those, control characters and what turns the direction of text are shown as \ooo, as
 * is a space where it could not be seen; a backslash as two. Does not depend on the locale.
 */
#include "draw.h"
#include <string.h>

/* What one character, or one byte that is none, is shown as. */
struct unit {
	size_t len;     /* bytes it takes */
	size_t columns; /* how wide it is */
	bool escaped;
};

/* The character at p; 0 bytes when there is none. */
static size_t decode(const unsigned char *p, size_t len, uint32_t *out)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t need = p[0] < 0x80                   ? 1
		      : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		      : (p[0] & 0xf0) == 0xe0       ? 3
		      : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						    : 0;
	if (need == 0 || need > len)
		return 0;
	uint32_t c = need == 1 ? p[0] : p[0] & (0x7fu >> need);
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < lowest[need] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*out = c;
	return need;
}

/* Control characters, marks of direction, separators of lines, what is no character. */
static bool is_shown(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && !(c >= 0x200b && c <= 0x200f) &&
	       !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2060 && c <= 0x206f) && c != 0xfeff &&
	       !(c >= 0xfdd0 && c < 0xfdf0) && (c & 0xfffe) != 0xfffe && !(c >= 0xfff9 && c <= 0xfffb) && c < 0xe0000;
}

static size_t width_of(uint32_t c)
{
	if (c >= 0x300 && c < 0x370)
		return 0;
	return (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) || (c >= 0xac00 && c < 0xd7a4) ||
			       (c >= 0xf900 && c < 0xfb00) || (c >= 0xff00 && c < 0xff61) || c >= 0x1f300
		       ? 2
		       : 1;
}

static struct unit unit_at(const char *bytes, size_t len, size_t at)
{
	uint32_t c = 0;
	size_t n = decode((const unsigned char *)bytes + at, len - at, &c);
	bool hidden_space = c == ' ' && (at == 0 || at + 1 == len || bytes[at - 1] == ' ' || bytes[at + 1] == ' ');
	if (n == 0 || !is_shown(c) || hidden_space)
		return (struct unit){n ? n : 1, 4 * (n ? n : 1), true};
	return (struct unit){n, c == '\\' ? 2 : width_of(c), false};
}

/* Graphviz expands backslashes in labels like HTML and in tooltips alike (\\N, \\l ...): two stand for one. */
static void put_char(FILE *out, char c)
{
	switch (c) {
	case '&':
		fputs("&amp;", out);
		break;
	case '<':
		fputs("&lt;", out);
		break;
	case '>':
		fputs("&gt;", out);
		break;
	case '"':
		fputs("&quot;", out);
		break;
	case '\'':
		fputs("&#39;", out);
		break;
	case '\\':
		fputs("\\\\\\\\", out);
		break;
	default:
		fputc(c, out);
		break;
	}
}

static void put_unit(FILE *out, const char *bytes, const struct unit *unit)
{
	for (size_t i = 0; i < unit->len; i++) {
		if (unit->escaped)
			fprintf(out, "\\\\%03o", (unsigned char)bytes[i]);
		else
			put_char(out, bytes[i]);
	}
}

static size_t columns_of(const char *bytes, size_t len)
{
	size_t columns = 0;
	for (size_t at = 0; at < len;) {
		struct unit unit = unit_at(bytes, len, at);
		columns += unit.columns;
		at += unit.len;
	}
	return columns;
}

bool draw_text_is_long(const char *bytes, size_t len, size_t columns)
{
	return columns_of(bytes, len) > columns;
}

/* The middle gives way: beginnings tell names apart, ends tell kinds. */
void draw_text(FILE *out, const char *bytes, size_t len, size_t columns)
{
	size_t all = columns_of(bytes, len), before = 0;
	size_t head = all > columns ? columns * 2 / 3 : all;
	size_t tail = all > columns ? all - (columns - head - 1) : 0;
	bool cut = false;
	for (size_t at = 0; at < len;) {
		struct unit unit = unit_at(bytes, len, at);
		if (before + unit.columns <= head || (tail && before >= tail)) {
			put_unit(out, bytes + at, &unit);
		} else if (!cut) {
			fputs("\xe2\x80\xa6", out);
			cut = true;
			head = 0;
		}
		before += unit.columns;
		at += unit.len;
	}
}
