/*
 * mount_options.c - the -o options of linkfs mount; see mount.h. Options that are mount(8)'s own business (defaults,
 * noauto, user, x-*, _netdev ...) are accepted and ignored, since it passes them on from fstab.
 */
#include "mount.h"
#include <stdlib.h>
#include <string.h>

enum what {
	TO_KERNEL, /* passed on; cancels its opposite */
	IGNORED,
	READ_ONLY,
	READ_WRITE,
	NOATIME,
	RELATIME,
	STRICTATIME,
	ALLOW_OTHER,
	COMMIT,
	WRITEBACK,
	NO_SNAPSHOTS,
	THREADS,
	POLL,
};

static const struct row {
	const char *name;
	enum what what;
	bool value;
	const char *opposite;
} rows[] = {
	{"ro", READ_ONLY, false, "rw"},
	{"rw", READ_WRITE, false, "ro"},
	{"noatime", NOATIME, false, NULL},
	{"atime", RELATIME, false, NULL},
	{"relatime", RELATIME, false, NULL},
	{"strictatime", STRICTATIME, false, NULL},
	{"nodiratime", IGNORED, false, NULL},
	{"nosuid", TO_KERNEL, false, "suid"},
	{"suid", TO_KERNEL, false, "nosuid"},
	{"nodev", TO_KERNEL, false, "dev"},
	{"dev", TO_KERNEL, false, "nodev"},
	{"noexec", TO_KERNEL, false, "exec"},
	{"exec", TO_KERNEL, false, "noexec"},
	{"allow_other", ALLOW_OTHER, false, NULL},
	{"default_permissions", IGNORED, false, NULL}, /* always */
	{"commit", COMMIT, true, NULL},
	{"writeback", WRITEBACK, false, NULL},
	{"nosnapshots", NO_SNAPSHOTS, false, NULL},
	{"threads", THREADS, true, NULL},
	{"poll", POLL, true, NULL},
	{"defaults", IGNORED, false, NULL},
	{"auto", IGNORED, false, NULL},
	{"noauto", IGNORED, false, NULL},
	{"nofail", IGNORED, false, NULL},
	{"user", IGNORED, false, NULL},
	{"users", IGNORED, false, NULL},
	{"nouser", IGNORED, false, NULL},
	{"owner", IGNORED, false, NULL},
	{"group", IGNORED, false, NULL},
	{"_netdev", IGNORED, false, NULL},
	{"async", IGNORED, false, NULL},
};

void mount_settings_init(struct mount_settings *settings, bool root)
{
	*settings = (struct mount_settings){.allow_other = root};
}

static void remove_word(char *list, const char *word)
{
	size_t len = strlen(word);
	for (char *p = list; *p;) {
		size_t n = strcspn(p, ",");
		if (n == len && strncmp(p, word, len) == 0)
			memmove(p, p + n + (p[n] == ','), strlen(p + n + (p[n] == ',')) + 1);
		else
			p += n + (p[n] == ',');
	}
	len = strlen(list);
	if (len && list[len - 1] == ',')
		list[len - 1] = '\0';
}

/* The list cannot outgrow its place: each word of the table comes once. */
static void add_word(char *list, size_t size, const char *word)
{
	remove_word(list, word);
	size_t len = strlen(list);
	snprintf(list + len, size - len, "%s%s", len ? "," : "", word);
}

static int take_number(struct cli *cli, const char *name, const char *value, uint64_t max, uint32_t factor,
		       uint32_t *out)
{
	uint64_t number;
	if (cli_parse_u64(value, max, &number) != 0)
		return cli_usage(cli, "mount option '%s=%s': a number up to %llu is needed", name, value,
				 (unsigned long long)max);
	*out = (uint32_t)number * factor;
	return 0;
}

static int apply(struct cli *cli, struct mount_settings *s, const struct row *row, const char *value)
{
	const uint32_t times = LINKFS_OPEN_NOATIME | LINKFS_OPEN_STRICTATIME;
	int status = 0;
	switch (row->what) {
	case READ_ONLY:
		s->open_flags |= LINKFS_OPEN_READONLY;
		add_word(s->extra, sizeof(s->extra), "ro");
		break;
	case READ_WRITE:
		s->open_flags &= ~LINKFS_OPEN_READONLY;
		remove_word(s->extra, "ro");
		break;
	case TO_KERNEL:
		remove_word(s->extra, row->opposite);
		add_word(s->extra, sizeof(s->extra), row->name);
		break;
	case NOATIME:
		s->open_flags = (s->open_flags & ~times) | LINKFS_OPEN_NOATIME;
		remove_word(s->extra, "strictatime");
		add_word(s->extra, sizeof(s->extra), "noatime");
		break;
	case RELATIME:
		s->open_flags &= ~times;
		remove_word(s->extra, "strictatime");
		remove_word(s->extra, "noatime");
		break;
	case STRICTATIME:
		s->open_flags = (s->open_flags & ~times) | LINKFS_OPEN_STRICTATIME;
		remove_word(s->extra, "noatime");
		add_word(s->extra, sizeof(s->extra), "strictatime");
		break;
	case ALLOW_OTHER:
		s->allow_other = true;
		break;
	case COMMIT:
		status = take_number(cli, row->name, value, 86400, 1000, &s->commit_ms);
		if (!status && s->commit_ms == 0)
			s->commit_ms = 5000; /* as ext4: 0 is the default */
		break;
	case WRITEBACK:
		s->writeback = true;
		break;
	case NO_SNAPSHOTS:
		s->no_snapshots = true;
		break;
	case THREADS:
		status = take_number(cli, row->name, value, 1024, 1, &s->threads);
		break;
	case POLL:
		status = take_number(cli, row->name, value, 1000000, 1, &s->poll_us);
		s->no_poll = !status && s->poll_us == 0;
		break;
	case IGNORED:
		break;
	}
	return status;
}

static int take_word(struct cli *cli, struct mount_settings *settings, char *word)
{
	char *value = strchr(word, '=');
	/* For programs that mount: x-systemd.automount, x-gvfs-show ... */
	if (!word[0] || strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 || strncmp(word, "comment=", 8) == 0)
		return 0;
	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, word) != 0)
			continue;
		if (rows[i].value && !value)
			return cli_usage(cli, "mount option '%s' needs a value: %s=N", word, word);
		if (!rows[i].value && value && rows[i].what != IGNORED)
			return cli_usage(cli, "mount option '%s' takes no value", word);
		return apply(cli, settings, &rows[i], value);
	}
	return settings->sloppy ? 0 : cli_usage(cli, "unknown mount option '%s'", word);
}

int mount_settings_parse(struct cli *cli, struct mount_settings *settings, const char *list)
{
	char *copy = cli_strdup(list), *save = NULL;
	int status = copy ? 0 : CLI_EXIT_SOME;
	if (!copy)
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	for (char *word = copy ? strtok_r(copy, ",", &save) : NULL; word && !status; word = strtok_r(NULL, ",", &save))
		status = take_word(cli, settings, word);
	free(copy);
	return status;
}
