/*
 * mountinfo.c - reading /proc/self/mountinfo: what is mounted at a path, and where a mount is.
 * Layer: fuse.
 */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
	uint64_t id;
	uint32_t dev_minor;
	char *point, *type, *source;
};

/* Blanks, tabs, newlines and backslashes are written as a backslash and three octal digits. */
static void unescape(char *s)
{
	char *to = s;
	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

/* "id parent major:minor root point options [tags...] - type source options" */
static bool parse(char *text, struct line *out)
{
	char *save = NULL, *fields[5];
	for (size_t i = 0; i < LK_FUSE_ARRAY_LEN(fields); i++) {
		fields[i] = strtok_r(i ? NULL : text, " \n", &save);
		if (!fields[i])
			return false;
	}
	out->id = strtoull(fields[0], NULL, 10);
	const char *colon = strchr(fields[2], ':');
	out->dev_minor = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
	out->point = fields[4];
	for (char *field = strtok_r(NULL, " \n", &save); field; field = strtok_r(NULL, " \n", &save)) {
		if (strcmp(field, "-"))
			continue;
		out->type = strtok_r(NULL, " \n", &save);
		out->source = strtok_r(NULL, " \n", &save);
		if (!out->type || !out->source)
			return false;
		unescape(out->point);
		unescape(out->source);
		return true;
	}
	return false;
}

/* Calls see for each mount; the file lists what is mounted over something after it. */
static int each(void (*see)(void *arg, const struct line *line), void *arg)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	if (!file)
		return LINKFS_EIO;
	char *text = NULL;
	size_t size = 0;
	while (getline(&text, &size, file) > 0) {
		struct line line;
		if (parse(text, &line))
			see(arg, &line);
	}
	free(text);
	fclose(file);
	return 0;
}

struct search {
	uint64_t id;
	uint32_t dev_minor;
	const char *point;
	struct lk_fuse_mountinfo *out;
	char *point_out;
	size_t size;
	bool found;
};

static void see_point(void *arg, const struct line *line)
{
	struct search *search = arg;
	if (strcmp(line->point, search->point))
		return;
	search->found = true;
	search->out->id = line->id;
	search->out->dev_minor = line->dev_minor;
	snprintf(search->out->type, sizeof(search->out->type), "%s", line->type);
	snprintf(search->out->source, sizeof(search->out->source), "%s", line->source);
}

static void see_id(void *arg, const struct line *line)
{
	struct search *search = arg;
	if (line->id != search->id || line->dev_minor != search->dev_minor || strlen(line->point) >= search->size)
		return;
	search->found = true;
	memcpy(search->point_out, line->point, strlen(line->point) + 1);
}

int lk_fuse_mountinfo_at(const char *point, struct lk_fuse_mountinfo *out)
{
	struct search search = {.point = point, .out = out};
	int r = each(see_point, &search);
	return r ? r : search.found ? 0 : LINKFS_ENOENT;
}

int lk_fuse_mountinfo_point(uint64_t id, uint32_t dev_minor, char *point_out, size_t size)
{
	struct search search = {.id = id, .dev_minor = dev_minor, .point_out = point_out, .size = size};
	int r = each(see_id, &search);
	return r ? r : search.found ? 0 : LINKFS_ENOENT;
}
