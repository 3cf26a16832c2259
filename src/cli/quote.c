/*
 * quote.c - names as they are shown: literally, in the shell's quoting as ls does on a terminal, or as C strings.
 * A name is bytes; whether they are printable characters is asked of the thread's locale.
 */
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

struct text {
	char *p;
	size_t len, cap, width;
	bool failed;
};

static void put(struct text *t, const char *bytes, size_t len, size_t width)
{
	while (!t->failed && t->len + len + 1 > t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		char *p = realloc(t->p, cap);
		if (p) {
			t->p = p;
			t->cap = cap;
		} else {
			t->failed = true;
		}
	}
	if (t->failed)
		return;
	memcpy(t->p + t->len, bytes, len);
	t->len += len;
	t->p[t->len] = '\0';
	t->width += width;
}

static void put_str(struct text *t, const char *s)
{
	put(t, s, strlen(s), strlen(s));
}

/* The length of the next character and its width; printable says whether a terminal shows it. */
static size_t next_char(const char *p, size_t len, mbstate_t *state, bool *printable, size_t *width)
{
	wchar_t wc = 0;
	size_t n = mbrtowc(&wc, p, len, state);
	if (n == (size_t)-1 || n == (size_t)-2) {
		memset(state, 0, sizeof(*state));
		*printable = false;
		*width = 1;
		return 1;
	}
	if (n == 0)
		n = 1;
	int w = wcwidth(wc);
	*printable = iswprint((wint_t)wc) && w >= 0;
	*width = w > 0 ? (size_t)w : 0;
	return n;
}

static const char *c_escape(unsigned char c)
{
	switch (c) {
	case '\a':
		return "\\a";
	case '\b':
		return "\\b";
	case '\f':
		return "\\f";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	case '\v':
		return "\\v";
	default:
		return NULL;
	}
}

static void put_escaped(struct text *t, unsigned char c)
{
	char octal[8];
	const char *escape = c_escape(c);
	if (!escape) {
		snprintf(octal, sizeof(octal), "\\%03o", c);
		escape = octal;
	}
	put_str(t, escape);
}

static void quote_c(struct text *t, const char *name, size_t len, bool marks)
{
	mbstate_t state = {0};
	if (marks)
		put_str(t, "\"");
	for (size_t i = 0; i < len;) {
		bool printable;
		size_t width, n = next_char(name + i, len - i, &state, &printable, &width);
		unsigned char c = (unsigned char)name[i];
		if (n > 1 && !printable) {
			for (size_t k = 0; k < n; k++)
				put_escaped(t, (unsigned char)name[i + k]);
		} else if (!printable) {
			put_escaped(t, c);
		} else if (c == '\\' || (marks && c == '"') || (!marks && c == ' ')) {
			put_str(t, "\\");
			put(t, name + i, n, width);
		} else {
			put(t, name + i, n, width);
		}
		i += n;
	}
	if (marks)
		put_str(t, "\"");
}

static void quote_hide(struct text *t, const char *name, size_t len)
{
	mbstate_t state = {0};
	for (size_t i = 0; i < len;) {
		bool printable;
		size_t width, n = next_char(name + i, len - i, &state, &printable, &width);
		if (printable)
			put(t, name + i, n, width);
		else
			put_str(t, "?");
		i += n;
	}
}

/* What a name needs: nothing, '...', "...", or '...'$'\n''...' (as GNU quotearg's shell-escape style). */
struct needs {
	bool quotes, escapes, apostrophe, no_double;
};

static struct needs find_needs(const char *name, size_t len)
{
	struct needs needs = {.quotes = len == 0};
	mbstate_t state = {0};
	for (size_t i = 0; i < len;) {
		bool printable;
		size_t width, n = next_char(name + i, len - i, &state, &printable, &width);
		char c = name[i];
		if (!printable)
			needs.quotes = needs.escapes = true;
		else if (n == 1 && strchr(" !\"$&'()*;<=>?[\\^`|", c))
			needs.quotes = true;
		else if (n == 1 && i == 0 && (c == '#' || c == '~'))
			needs.quotes = true;
		else if (n == 1 && (c == '{' || c == '}') && len == 1)
			needs.quotes = true;
		if (c == '\'')
			needs.apostrophe = true;
		if (n == 1 && strchr("\"$\\`!", c))
			needs.no_double = true;
		i += n;
	}
	return needs;
}

static void quote_shell(struct text *t, const char *name, size_t len, enum cli_quoting how)
{
	struct needs needs = find_needs(name, len);
	bool always = how == CLI_QUOTE_ALWAYS;
	/* The mark that ls -F puts after a symlink; the others are quoted anyway. */
	if (how == CLI_QUOTE_SHELL_MARKS && memchr(name, '@', len))
		needs.quotes = true;
	mbstate_t state = {0};
	bool in_escape = false;
	if (!needs.quotes && !always) {
		quote_hide(t, name, len);
		return;
	}
	if (needs.apostrophe && !needs.no_double && !needs.escapes) {
		put_str(t, "\"");
		quote_hide(t, name, len);
		put_str(t, "\"");
		return;
	}
	put_str(t, "'");
	for (size_t i = 0; i < len;) {
		bool printable;
		size_t width, n = next_char(name + i, len - i, &state, &printable, &width);
		if (!printable && !in_escape)
			put_str(t, "'$'");
		if (printable && in_escape)
			put_str(t, "''");
		in_escape = !printable;
		if (!printable) {
			for (size_t k = 0; k < n; k++)
				put_escaped(t, (unsigned char)name[i + k]);
		} else if (name[i] == '\'') {
			put_str(t, "'\\''");
		} else {
			put(t, name + i, n, width);
		}
		i += n;
	}
	put_str(t, "'");
}

/* As GNU's mbsnwidth: control characters take no column, bytes that are no character one. */
static size_t literal_width(const char *name, size_t len)
{
	mbstate_t state = {0};
	size_t total = 0;
	for (size_t i = 0; i < len;) {
		bool printable;
		size_t width, n = next_char(name + i, len - i, &state, &printable, &width);
		unsigned char c = (unsigned char)name[i];
		total += n == 1 && (c < 0x20 || c == 0x7f) ? 0 : width;
		i += n;
	}
	return total;
}

char *cli_quote(const char *name, size_t len, enum cli_quoting how, size_t *width_out)
{
	struct text t = {0};
	put(&t, "", 0, 0);
	switch (how) {
	case CLI_QUOTE_LITERAL:
		put(&t, name, len, literal_width(name, len));
		break;
	case CLI_QUOTE_SHELL:
	case CLI_QUOTE_SHELL_MARKS:
	case CLI_QUOTE_ALWAYS:
		quote_shell(&t, name, len, how);
		break;
	case CLI_QUOTE_C:
	case CLI_QUOTE_ESCAPE:
		quote_c(&t, name, len, how == CLI_QUOTE_C);
		break;
	case CLI_QUOTE_HIDE:
		quote_hide(&t, name, len);
		break;
	}
	if (t.failed) {
		free(t.p);
		return NULL;
	}
	if (width_out)
		*width_out = t.width;
	return t.p;
}
