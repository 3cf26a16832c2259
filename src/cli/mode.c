/*
 * mode.c - modes as chmod(1) takes them: octal, or clauses of [ugoa]*([-+=]([rwxXst]*|[ugo]))+ (POSIX, chmod). A clause
 * without "who" means all, less what the umask takes away.
 */
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct change {
	uint32_t who; /* bits of 07777 that the clause may touch; 0 when no who was given */
	char op;
	uint32_t perms; /* in all three places */
	bool cond_x;    /* X */
	char copy;      /* u, g or o: copy from there */
};

struct cli_mode {
	bool octal;
	uint32_t value, keep; /* octal: special bits of directories that stay */
	size_t len, cap;
	struct change *changes;
};

#define WHO_USER (S_ISUID | S_IRWXU)
#define WHO_GROUP (S_ISGID | S_IRWXG)
#define WHO_OTHER (S_ISVTX | S_IRWXO)

static int parse_octal(const char *text, struct cli_mode *mode)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);
	if (*end || value > 07777)
		return LINKFS_EINVAL;
	mode->octal = true;
	mode->value = (uint32_t)value;
	/* As GNU chmod: fewer than five digits keep a directory's setuid and setgid bits that are not named. */
	mode->keep = strlen(text) < 5 ? (uint32_t)(S_ISUID | S_ISGID) : 0;
	return 0;
}

static const char *parse_who(const char *p, uint32_t *who)
{
	*who = 0;
	for (;; p++) {
		if (*p == 'u')
			*who |= WHO_USER;
		else if (*p == 'g')
			*who |= WHO_GROUP;
		else if (*p == 'o')
			*who |= WHO_OTHER;
		else if (*p == 'a')
			*who |= WHO_USER | WHO_GROUP | WHO_OTHER;
		else
			return p;
	}
}

static const char *parse_perms(const char *p, struct change *change)
{
	if (*p == 'u' || *p == 'g' || *p == 'o') {
		change->copy = *p;
		return p + 1;
	}
	for (;; p++) {
		if (*p == 'r')
			change->perms |= 0444;
		else if (*p == 'w')
			change->perms |= 0222;
		else if (*p == 'x')
			change->perms |= 0111;
		else if (*p == 'X')
			change->cond_x = true;
		else if (*p == 's')
			change->perms |= S_ISUID | S_ISGID;
		else if (*p == 't')
			change->perms |= S_ISVTX;
		else
			return p;
	}
}

static int parse_symbolic(const char *p, struct cli_mode *mode)
{
	for (;;) {
		uint32_t who;
		p = parse_who(p, &who);
		if (!*p || !strchr("+-=", *p))
			return LINKFS_EINVAL;
		while (*p && strchr("+-=", *p)) {
			struct change change = {.who = who, .op = *p};
			p = parse_perms(p + 1, &change);
			if (cli_grow(&mode->changes, &mode->cap, mode->len, sizeof(change)) != 0)
				return LINKFS_ENOMEM;
			mode->changes[mode->len++] = change;
		}
		if (!*p)
			return 0;
		if (*p != ',')
			return LINKFS_EINVAL;
		p++;
	}
}

int cli_mode_parse(const char *text, struct cli_mode **out)
{
	struct cli_mode *mode = cli_alloc(sizeof(*mode));
	if (!mode)
		return LINKFS_ENOMEM;
	int error = text[0] >= '0' && text[0] <= '7' ? parse_octal(text, mode) : parse_symbolic(text, mode);
	if (error) {
		cli_mode_free(mode);
		return error;
	}
	*out = mode;
	return 0;
}

static uint32_t spread(uint32_t mode, char from)
{
	uint32_t bits = from == 'u' ? mode >> 6 : from == 'g' ? mode >> 3 : mode;
	bits &= 7;
	return bits << 6 | bits << 3 | bits;
}

uint32_t cli_mode_apply(const struct cli_mode *mode, uint32_t old_mode, bool is_dir, uint32_t umask)
{
	uint32_t result = old_mode & 07777;
	if (mode->octal)
		return is_dir ? mode->value | (result & mode->keep) : mode->value;
	for (size_t i = 0; i < mode->len; i++) {
		const struct change *c = &mode->changes[i];
		uint32_t perms = c->copy ? spread(result, c->copy) : c->perms;
		/* A directory's setuid and setgid bits change only when they are named. */
		uint32_t mask = is_dir && !(c->perms & (S_ISUID | S_ISGID)) ? ~(uint32_t)(S_ISUID | S_ISGID) : ~0u;
		uint32_t may = (c->who ? c->who : 07777u) & mask;
		if (c->cond_x && (is_dir || (result & 0111)))
			perms |= 0111;
		uint32_t bits = perms & (c->who ? c->who : ~umask) & may;
		if (c->op == '+')
			result |= bits;
		else if (c->op == '-')
			result &= ~bits;
		else
			result = (result & ~may) | bits;
	}
	return result;
}

void cli_mode_free(struct cli_mode *mode)
{
	if (mode)
		free(mode->changes);
	free(mode);
}
