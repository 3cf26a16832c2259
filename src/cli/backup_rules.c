/*
 * backup_rules.c - which files a backup leaves out: patterns of gitignore(5), and files with the simple rules of rsync(1).
 *
 * Patterns of one kind that were given one after the other are a group. gitignore(5): the last pattern that matches decides, "!" takes in again,
 * a slash that is not the last character ties the pattern to the top. rsync(1): the first one that matches decides, "+ " takes in, only a
 * slash in front ties to the top, and a pattern with others matches the end of the path. Of groups the last one with an opinion decides.
 * What lies in a directory that is left out is not looked at, so nothing in it can be taken in again.
 */
#include "backup.h"

#include <stdlib.h>
#include <string.h>

struct rule {
	char *pattern; /* without marks and slashes around it */
	bool include, dir_only, anchored,
		whole; /* whole: compared with the path, or its end, and not with the last name */
};

struct group {
	struct rule *rules;
	size_t len, cap;
	bool rsync;
};

struct backup_rules {
	struct group *groups;
	size_t len, cap;
	uint64_t digest;
};

struct backup_rules *backup_rules_new(void)
{
	struct backup_rules *rules = cli_alloc(sizeof(*rules));
	if (rules)
		rules->digest = UINT64_C(0xcbf29ce484222325);
	return rules;
}

void backup_rules_free(struct backup_rules *rules)
{
	for (size_t g = 0; rules && g < rules->len; g++) {
		for (size_t i = 0; i < rules->groups[g].len; i++)
			free(rules->groups[g].rules[i].pattern);
		free(rules->groups[g].rules);
	}
	if (rules)
		free(rules->groups);
	free(rules);
}

static void mix(uint64_t *digest, const void *p, size_t len)
{
	const unsigned char *c = p;
	for (size_t i = 0; i <= len; i++)
		*digest = (*digest ^ (i < len ? c[i] : 0x100u)) * UINT64_C(0x100000001b3);
}

uint64_t backup_rules_digest(const struct backup_rules *rules, const char *more)
{
	uint64_t digest = rules->digest;
	mix(&digest, more, strlen(more));
	digest &= INT64_MAX;
	return digest ? digest : 1;
}

static struct group *group_for(struct backup_rules *rules, bool rsync, bool fresh)
{
	if (!fresh && rules->len && rules->groups[rules->len - 1].rsync == rsync)
		return &rules->groups[rules->len - 1];
	if (cli_grow(&rules->groups, &rules->cap, rules->len, sizeof(*rules->groups)) != 0)
		return NULL;
	rules->groups[rules->len] = (struct group){.rsync = rsync};
	mix(&rules->digest, "group", 5);
	return &rules->groups[rules->len++];
}

static int add(struct backup_rules *rules, struct group *group, struct rule rule, const char *text, size_t len)
{
	while (len && text[len - 1] == '/') {
		rule.dir_only = true;
		len--;
	}
	if (len && *text == '/') {
		rule.anchored = true;
		text++;
		len--;
	}
	if (len == 0) /* "/": everything or nothing; as in git it matches nothing */
		return 0;
	bool inner = memchr(text, '/', len) != NULL;
	rule.whole = rule.anchored || inner || (group->rsync && memmem(text, len, "**", 2));
	if (inner && !group->rsync)
		rule.anchored = true;
	rule.pattern = strndup(text, len);
	if (!rule.pattern || cli_grow(&group->rules, &group->cap, group->len, sizeof(rule)) != 0) {
		free(rule.pattern);
		return LINKFS_ENOMEM;
	}
	group->rules[group->len++] = rule;
	const char kind = (char)(group->rsync + 2 * rule.include + 4 * rule.dir_only + 8 * rule.anchored);
	mix(&rules->digest, &kind, sizeof(kind));
	mix(&rules->digest, text, len);
	return 0;
}

/* gitignore(5): blank lines and comments, "!", trailing spaces that no backslash keeps. */
static int add_git(struct backup_rules *rules, struct group *group, const char *line, size_t len)
{
	struct rule rule = {.include = false};
	while (len && line[len - 1] == ' ' && !(len > 1 && line[len - 2] == '\\'))
		len--;
	if (len == 0 || *line == '#')
		return 0;
	if (*line == '!') {
		rule.include = true;
		line++;
		len--;
	}
	return add(rules, group, rule, line, len);
}

static int add_rsync(struct backup_rules *rules, struct group *group, const char *line, size_t len)
{
	struct rule rule = {.include = false};
	if (len == 0 || *line == '#' || *line == ';')
		return 0;
	if (len > 1 && (line[0] == '+' || line[0] == '-') && line[1] == ' ') {
		rule.include = line[0] == '+';
		line += 2;
		len -= 2;
	}
	return add(rules, group, rule, line, len);
}

int backup_rules_add(struct backup_rules *rules, const char *pattern)
{
	struct group *group = group_for(rules, false, false);
	return group ? add_git(rules, group, pattern, strlen(pattern)) : LINKFS_ENOMEM;
}

static bool is_rsync(const char *text, size_t len)
{
	for (const char *p = text, *end = text + len; p && p < end; p = memchr(p, '\n', (size_t)(end - p))) {
		p += p > text || *p == '\n';
		if (end - p > 2 && (p[0] == '+' || p[0] == '-') && p[1] == ' ')
			return true;
	}
	return false;
}

int backup_rules_add_text(struct backup_rules *rules, const char *text, size_t len)
{
	struct group *group = group_for(rules, is_rsync(text, len), true);
	int error = group ? 0 : LINKFS_ENOMEM;
	for (size_t at = 0; at < len && !error;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t next = end ? (size_t)(end - text) + 1 : len, stop = end ? next - 1 : len;
		if (stop > at && text[stop - 1] == '\r')
			stop--;
		error = group->rsync ? add_rsync(rules, group, text + at, stop - at)
				     : add_git(rules, group, text + at, stop - at);
		at = next;
	}
	return error;
}

/* ---- matching ------------------------------------------------------------------------------------------------------- */

/* [...]: where it ends, NULL when it is no set. */
static const char *match_set(const char *p, unsigned char c, bool *in)
{
	bool negate = *p == '!' || *p == '^', found = false, first = true;
	p += negate;
	for (; *p && (*p != ']' || first); first = false) {
		if (p[0] == '[' && p[1] == ':') {
			static const struct {
				const char *name;
				const char *ranges;
			} classes[] = {{"alpha", "azAZ"},   {"digit", "09"},      {"alnum", "azAZ09"},
				       {"lower", "az"},     {"upper", "AZ"},      {"xdigit", "09afAF"},
				       {"space", "\t\r  "}, {"punct", "!/:@[`{~"}};
			const char *end = strstr(p + 2, ":]");
			if (!end)
				return NULL;
			for (size_t i = 0; i < CLI_ARRAY_LEN(classes); i++) {
				if (strlen(classes[i].name) != (size_t)(end - p - 2) ||
				    strncmp(classes[i].name, p + 2, (size_t)(end - p - 2)) != 0)
					continue;
				for (const char *r = classes[i].ranges; *r; r += 2)
					found |= c >= (unsigned char)r[0] && c <= (unsigned char)r[1];
			}
			p = end + 2;
			continue;
		}
		if (*p == '\\' && p[1])
			p++;
		unsigned char low = (unsigned char)*p++, high = low;
		if (*p == '-' && p[1] && p[1] != ']') {
			p++;
			if (*p == '\\' && p[1])
				p++;
			high = (unsigned char)*p++;
		}
		found |= c >= low && c <= high;
	}
	if (!*p)
		return NULL;
	*in = found != negate && c != '/';
	return p + 1;
}

/* Wildcards stop at slashes, "**" does not. steps bounds the work for patterns that are all stars. */
static bool match(const char *p, const char *s, const char *start, unsigned *steps)
{
	for (; *p; p++) {
		if (++*steps > 100000)
			return false;
		if (*p == '*') {
			bool deep = p[1] == '*', before = p == start || p[-1] == '/';
			while (p[1] == '*')
				p++;
			/* A component "**" stands for none as well. */
			if (deep && before && p[1] == '/' && match(p + 2, s, start, steps))
				return true;
			for (;; s++) {
				if (match(p + 1, s, start, steps))
					return true;
				if (!*s || (*s == '/' && !deep))
					return false;
			}
		}
		if (*p == '[' && *s) {
			bool in = false;
			const char *end = match_set(p + 1, (unsigned char)*s, &in);
			if (end) {
				if (!in)
					return false;
				p = end - 1;
				s++;
				continue;
			}
		}
		if (*p == '?') {
			if (!*s || *s == '/')
				return false;
			s++;
			continue;
		}
		if (*p == '\\' && p[1])
			p++;
		if (*p != *s)
			return false;
		s++;
	}
	return *s == '\0';
}

static bool matches(const char *pattern, const char *text)
{
	unsigned steps = 0;
	return match(pattern, text, pattern, &steps);
}

static bool rule_matches(const struct group *group, const struct rule *rule, const char *path, bool is_dir)
{
	const char *name = strrchr(path, '/');
	if (rule->dir_only && !is_dir)
		return false;
	if (!rule->whole)
		return matches(rule->pattern, name ? name + 1 : path);
	if (matches(rule->pattern, path))
		return true;
	size_t len = strlen(rule->pattern);
	/* rsync: three stars after a directory are the directory as well. */
	if (group->rsync && len > 4 && strcmp(rule->pattern + len - 4, "/***") == 0 && is_dir) {
		char *dir = strndup(rule->pattern, len - 4);
		const struct rule only = {.pattern = dir, .anchored = rule->anchored, .whole = true};
		bool found = dir && rule_matches(group, &only, path, true);
		free(dir);
		if (found)
			return true;
	}
	for (const char *s = rule->anchored ? NULL : strchr(path, '/'); s; s = strchr(s + 1, '/')) {
		if (matches(rule->pattern, s + 1))
			return true;
	}
	return false;
}

bool backup_rules_exclude(const struct backup_rules *rules, const char *path, bool is_dir)
{
	for (size_t g = rules->len; g > 0; g--) {
		const struct group *group = &rules->groups[g - 1];
		for (size_t i = 0; i < group->len; i++) {
			const struct rule *rule = &group->rules[group->rsync ? i : group->len - 1 - i];
			if (rule_matches(group, rule, path, is_dir))
				return !rule->include;
		}
	}
	return false;
}
