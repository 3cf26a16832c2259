/*
 * binds.c - naming the bind that keeps a name from being removed or replaced (row C2).
 */
#include "cli.h"
#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>

struct search {
	uint64_t dir, source;
	const char *name;
	size_t len;
	char *path, *source_path; /* of the bind found */
	bool exact;               /* it stands at the name itself */
};

static int on_bind(void *arg, const struct linkfs_bind *bind)
{
	struct search *s = arg;
	bool exact = bind->dir == s->dir && bind->name_len == s->len && memcmp(bind->name, s->name, s->len) == 0;
	if (s->path && !exact)
		return 0;
	free(s->path);
	free(s->source_path);
	s->path = cli_strdup(bind->path);
	s->source_path = bind->source_path ? cli_strdup(bind->source_path) : NULL;
	s->exact = exact;
	return exact;
}

char *cli_bind_at_fault(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *like, uint64_t dir,
			const char *name, size_t len)
{
	struct linkfs_stat st, parent;
	struct search search = {.name = name, .len = len};
	char *reason = NULL;
	if (linkfs_node_lookup(volume, &cli->cred, dir, name, len, 0, &st) != 0 ||
	    linkfs_node_getattr(volume, dir, &parent) != 0)
		return NULL;
	search.dir = parent.ino;
	if (linkfs_volume_binds(volume, &cli->cred, st.ino, on_bind, &search, NULL) == 0 && search.path) {
		char *at = cli_spell(cli, like, search.path);
		char *of = search.source_path ? cli_spell(cli, like, search.source_path) : NULL;
		if (at && search.exact)
			reason = cli_format("a bind shows '%s' here; 'linkfs unbind %s' ends it", of ? of : "?", at);
		else if (at)
			reason = cli_format("a bind shows it at '%s'; 'linkfs unbind %s' ends that", at, at);
		free(at);
		free(of);
	}
	free(search.path);
	free(search.source_path);
	return reason;
}

void cli_fail_path(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *path, const char *what,
		   int error)
{
	const char *name;
	uint64_t dir;
	size_t len;
	if (error == LINKFS_EBUSY &&
	    linkfs_path_parent(volume, &cli->cred, path->at, path->path, &dir, &name, &len, NULL) == 0)
		cli_fail_name(cli, volume, path, path->text, what, dir, name, len, error);
	else
		cli_failf(cli, path->text, "%s: %s", what, linkfs_strerror(cli_gone(error)));
}

void cli_fail_name(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *like, const char *display,
		   const char *what, uint64_t dir, const char *name, size_t len, int error)
{
	char *reason = error == LINKFS_EBUSY ? cli_bind_at_fault(cli, volume, like, dir, name, len) : NULL;
	cli_failf(cli, display, "%s: %s", what, reason ? reason : linkfs_strerror(cli_gone(error)));
	free(reason);
}
