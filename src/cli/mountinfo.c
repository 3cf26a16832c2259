/*
 * mountinfo.c - the mounts of type fuse.linkfs, from /proc/self/mountinfo. Nothing is stat'ed: a dead mount must not
 * stop a command that is about another one.
 */
#include "cli.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Undoes the octal escapes of space, tab, newline and backslash, in place. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *p = text; *p; to++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
		    p[3] <= '7') {
			*to = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /point options optional... - type source superoptions" (proc(5)). */
static int parse_line(char *line, struct cli_mount *out)
{
	char *save = NULL;
	char *field[6];
	for (size_t i = 0; i < CLI_ARRAY_LEN(field); i++) {
		field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!field[i])
			return 0;
	}
	char *word;
	do {
		word = strtok_r(NULL, " ", &save);
	} while (word && strcmp(word, "-") != 0);
	char *type = word ? strtok_r(NULL, " ", &save) : NULL;
	char *source = type ? strtok_r(NULL, " \n", &save) : NULL;
	if (!source || strcmp(type, "fuse.linkfs") != 0)
		return 0;
	*out = (struct cli_mount){.id = (int)strtol(field[0], NULL, 10)};
	char *colon = NULL;
	out->major = (unsigned)strtoul(field[2], &colon, 10);
	out->minor = *colon == ':' ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
	unescape(field[4]);
	unescape(source);
	out->point = cli_strdup(field[4]);
	out->source = cli_strdup(source);
	out->options = cli_strdup(field[5]);
	if (out->point && out->source && out->options)
		return 1;
	free(out->point);
	free(out->source);
	free(out->options);
	return LINKFS_ENOMEM;
}

/* Of the process whose table of mounts path is. */
static int read_table(const char *path, struct cli_mount **out, size_t *count_out)
{
	FILE *file = fopen(path, "re");
	struct cli_mount *mounts = NULL;
	size_t count = 0, cap = 0, size = 0;
	char *line = NULL;
	int error = 0;
	while (!error && file && getline(&line, &size, file) > 0) {
		struct cli_mount mount;
		int found = parse_line(line, &mount);
		if (found < 0)
			error = found;
		if (found <= 0)
			continue;
		error = cli_grow(&mounts, &cap, count, sizeof(*mounts));
		if (error) {
			free(mount.point);
			free(mount.source);
			free(mount.options);
		} else {
			mounts[count++] = mount;
		}
	}
	free(line);
	if (file)
		fclose(file);
	if (error) {
		cli_mounts_free(mounts, count);
		return error;
	}
	*out = mounts;
	*count_out = count;
	return 0;
}

int cli_mounts_read(struct cli_mount **out, size_t *count_out)
{
	return read_table("/proc/self/mountinfo", out, count_out);
}

/* Whether process pid has the mount, and sees other mounts than we do. */
static bool has_elsewhere(const char *pid, const char *own, const struct cli_mount *mount)
{
	char path[64], namespace[64];
	struct cli_mount *mounts = NULL;
	size_t count = 0;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", pid);
	ssize_t len = readlink(path, namespace, sizeof(namespace) - 1);
	if (len <= 0)
		return false;
	namespace[len] = '\0';
	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	if (strcmp(namespace, own) == 0 || read_table(path, &mounts, &count) != 0)
		return false;
	for (size_t i = 0; i < count && !found; i++)
		found = mounts[i].major == mount->major && mounts[i].minor == mount->minor;
	cli_mounts_free(mounts, count);
	return found;
}

uint32_t cli_mount_elsewhere(const struct cli_mount *mount)
{
	char own[64] = "";
	uint32_t pid = 0;
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	if (readlink("/proc/self/ns/mnt", own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	while (dir && *own && !pid && (e = readdir(dir))) {
		if (*e->d_name >= '1' && *e->d_name <= '9' && has_elsewhere(e->d_name, own, mount))
			pid = (uint32_t)strtoul(e->d_name, NULL, 10);
	}
	if (dir)
		closedir(dir);
	return pid;
}

void cli_mounts_free(struct cli_mount *mounts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(mounts[i].point);
		free(mounts[i].source);
		free(mounts[i].options);
	}
	free(mounts);
}

char *cli_mount_point(const char *volume)
{
	struct cli_mount *mounts = NULL;
	size_t count = 0;
	char *point = NULL;
	if (cli_mounts_read(&mounts, &count) != 0)
		return NULL;
	for (size_t i = count; i > 0 && !point; i--) {
		if (strcmp(mounts[i - 1].source, volume) == 0)
			point = cli_strdup(mounts[i - 1].point);
	}
	cli_mounts_free(mounts, count);
	return point;
}

char *cli_served_point(const char *volume)
{
	struct linkfs_owner *owner = cli_alloc(sizeof(*owner));
	struct cli_mount *mounts = NULL;
	size_t count = 0;
	char *point = NULL;
	if (owner && linkfs_volume_owner(volume, owner) == 0 && owner->local && owner->mount_point[0] &&
	    cli_mounts_read(&mounts, &count) == 0) {
		for (size_t i = 0; i < count && !point; i++) {
			if (strcmp(mounts[i].source, volume) == 0 && strcmp(mounts[i].point, owner->mount_point) == 0)
				point = cli_strdup(mounts[i].point);
		}
		cli_mounts_free(mounts, count);
	}
	free(owner);
	return point;
}
