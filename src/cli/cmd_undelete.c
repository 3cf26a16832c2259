/*
 * cmd_undelete.c - linkfs undelete: lists deleted files that are kept, gives them their names back, or gives them up (row E9).
 */
#include "table.h"
#include "undelete.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
	OPT_LIST = 'l',
	OPT_RECURSIVE = 'r',
	OPT_ALL = 'a',
	OPT_VERBOSE = 'v',
	OPT_TO = 't',
	OPT_SUFFIX = 'S',
	OPT_AT = 256,
	OPT_SINCE,
	OPT_PURGE,
	OPT_JSON,
};

/* A mount forgets a removed directory a moment after the removal. */
#define BUSY_STEPS 100
#define BUSY_STEP_NS 20000000L

static int restore_patiently(struct cli_undelete *u, int64_t time_ns, const struct linkfs_undelete *how)
{
	int error = linkfs_deleted_restore(u->volume, &u->cli->cred, time_ns, how, NULL);
	for (int i = 0; error == LINKFS_EBUSY && i < BUSY_STEPS && !cli_cancelled(u->cli); i++) {
		nanosleep(&(struct timespec){.tv_nsec = BUSY_STEP_NS}, NULL);
		error = linkfs_deleted_restore(u->volume, &u->cli->cred, time_ns, how, NULL);
	}
	return error;
}

static void told(struct cli_undelete *u, const struct cli_deleted *d, int error)
{
	char *spelled = cli_deleted_spell(u, d);
	const char *what = spelled ? spelled : d->name;
	if (!error) {
		u->done++;
		if (u->verbose)
			fprintf(u->cli->out, u->purge ? "gave up '%s'\n" : "restored '%s'\n", what);
	} else if (error == LINKFS_EEXIST) {
		cli_failf(u->cli, what,
			  "the name is taken; --to=DIR puts it elsewhere, --suffix=TEXT calls it otherwise");
	} else if (error == LINKFS_ESTALE) {
		cli_failf(u->cli, what, "the directory it was in is gone for good; --to=DIR puts it elsewhere");
	} else if (error == LINKFS_EPERM) {
		cli_failf(u->cli, what, "it belongs to somebody else");
	} else if (error == LINKFS_EBUSY) {
		cli_failf(u->cli, what, "the removed directory is still in use, as somebody's working directory maybe");
	} else if (error == LINKFS_ENOENT) {
		cli_failf(u->cli, what, "it is not kept any more");
	} else {
		cli_fail(u->cli, what, error);
	}
	free(spelled);
}

/* Gives one name back. */
static int restore_one(struct cli_undelete *u, const struct cli_deleted *d, uint64_t to, bool dir_time)
{
	struct linkfs_undelete how = {.dir = to, .flags = dir_time ? LINKFS_UNDELETE_DIR_TIME : 0};
	int error = restore_patiently(u, d->time_ns, &how);
	if (error == LINKFS_EEXIST && u->suffix) {
		char *name = cli_format("%s%s", d->name, u->suffix);
		how.name = name;
		how.name_len = name ? strlen(name) : 0;
		error = name ? restore_patiently(u, d->time_ns, &how) : LINKFS_ENOMEM;
		free(name);
	}
	return error;
}

/* Whether a newer deletion of the same name has been given back: then this is an older version of that file. */
static bool is_older_version(const struct cli_deletions *list, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (list->rows[i].dir == list->rows[at].dir && list->rows[i].name_len == list->rows[at].name_len &&
		    memcmp(list->rows[i].name, list->rows[at].name, list->rows[at].name_len) == 0)
			return true;
	}
	return false;
}

struct todo {
	uint64_t *dirs;
	size_t len, cap;
};

/* Names in directory dir that went before since. */
static int count_older(struct cli_undelete *u, uint64_t dir, int64_t since)
{
	const struct linkfs_deleted_query query = {.dir = dir, .flags = LINKFS_DELETED_NAMED};
	struct cli_deletions older = {0};
	int error = cli_deletions_read(u, &query, SIZE_MAX, since, &older);
	u->older += older.len;
	cli_deletions_done(&older);
	return error;
}

/* The names that went from directory dir: those that its last removals took, or with -a or --since all, of what is below too. */
static int read_contents(struct cli_undelete *u, uint64_t dir, struct cli_deletions *out)
{
	struct linkfs_deleted_query query = {.dir = dir, .flags = LINKFS_DELETED_NAMED, .since_ns = u->since_ns};
	if (u->all || u->since_ns) {
		query.flags |= LINKFS_DELETED_BELOW;
		return cli_deletions_read(u, &query, SIZE_MAX, u->at_ns, out);
	}
	int error = linkfs_deleted_since(u->volume, dir, &query.since_ns);
	if (error == LINKFS_ENOENT)
		return count_older(u, dir, 0);
	if (error) {
		cli_fail(u->cli, u->path->text, error);
		return error;
	}
	error = count_older(u, dir, query.since_ns - 1);
	return error ? error : cli_deletions_read(u, &query, SIZE_MAX, 0, out);
}

/* Gives back what read_contents() finds; directories that came back by it are to do. */
static int restore_contents_of(struct cli_undelete *u, uint64_t dir, uint64_t to, bool fresh, struct todo *todo)
{
	struct cli_deletions list = {0};
	int error = read_contents(u, dir, &list);
	for (size_t i = 0; !error && i < list.len && !cli_cancelled(u->cli); i++) {
		const struct cli_deleted *d = &list.rows[i];
		bool dir_time = fresh || (d->flags & LINKFS_DELETED_DIR_KEPT);
		int failed = restore_one(u, d, d->dir == dir ? to : 0, dir_time);
		if (failed == LINKFS_EEXIST && ((d->flags & LINKFS_DELETED_REPLACED) || is_older_version(&list, i))) {
			u->older++;
			continue;
		}
		told(u, d, failed);
		if (failed || !S_ISDIR(d->st.mode) || u->all || u->since_ns)
			continue;
		error = cli_grow(&todo->dirs, &todo->cap, todo->len, sizeof(*todo->dirs));
		if (!error)
			todo->dirs[todo->len++] = d->st.ino;
		else
			cli_fail(u->cli, u->path->text, error);
	}
	cli_deletions_done(&list);
	return error;
}

/* What went from dir, which is there (again). fresh: it was given back just now, and nobody has seen it since. */
static void restore_contents(struct cli_undelete *u, uint64_t dir, uint64_t to, bool fresh)
{
	struct todo todo = {0};
	int error = restore_contents_of(u, dir, to, fresh, &todo);
	while (!error && todo.len && !cli_cancelled(u->cli))
		error = restore_contents_of(u, todo.dirs[--todo.len], 0, true, &todo);
	free(todo.dirs);
}

/* Everything that went from a directory and those in it, for good. */
static void purge_below(struct cli_undelete *u, uint64_t dir)
{
	const struct linkfs_deleted_query query = {
		.dir = dir, .flags = LINKFS_DELETED_BELOW | LINKFS_DELETED_NAMED, .since_ns = u->since_ns};
	struct cli_deletions list = {0};
	if (cli_deletions_read(u, &query, SIZE_MAX, u->at_ns, &list) == 0) {
		for (size_t i = list.len; i > 0 && !cli_cancelled(u->cli); i--)
			told(u, &list.rows[i - 1],
			     linkfs_deleted_purge(u->volume, &u->cli->cred, list.rows[i - 1].time_ns));
	}
	cli_deletions_done(&list);
}

/* The newest deletion in what query finds, not after at_ns; len 0 when there is none. With more: all of them. */
static int find_newest(struct cli_undelete *u, const struct cli_lost *lost, bool more, struct cli_deletions *out)
{
	struct linkfs_deleted_query query = {.flags = LINKFS_DELETED_NAMED, .since_ns = u->since_ns};
	if (lost->number) {
		query.ino = lost->number;
	} else if (lost->dir) {
		query.dir = lost->dir;
		query.name = lost->name;
		query.name_len = strlen(lost->name);
	} else {
		return 0; /* "." and the root have no name that could be lost */
	}
	return cli_deletions_read(u, &query, more ? SIZE_MAX : 1, u->at_ns, out);
}

/* Whether the operand means what went from the directory that is there now, rather than one that was deleted of its name. */
static bool means_contents(struct cli_undelete *u, const struct cli_lost *lost, const struct cli_deletions *named)
{
	const struct linkfs_deleted_query query = {.dir = lost->live, .flags = LINKFS_DELETED_NAMED};
	struct cli_deletions newest = {0};
	bool is = false;
	if (!u->recursive || !lost->live_is_dir)
		return false;
	if (named->len == 0)
		return true;
	if (cli_deletions_read(u, &query, 1, u->at_ns, &newest) == 0)
		is = newest.len && newest.rows[0].time_ns > named->rows[0].time_ns;
	cli_deletions_done(&newest);
	return is;
}

static void nothing_found(struct cli_undelete *u, const struct cli_lost *lost)
{
	if (lost->live_is_dir && u->recursive)
		cli_failf(u->cli, u->path->text, "nothing that was deleted from it is kept");
	else if (lost->live_is_dir)
		cli_failf(u->cli, u->path->text, "is there; -r means what was deleted from it");
	else if (lost->live)
		cli_failf(u->cli, u->path->text, "is there, and no older file of this name is kept");
	else
		cli_failf(u->cli, u->path->text, "no deleted file of this name is kept");
	char keep[64];
	if (linkfs_volume_get_property(u->volume, LINKFS_KEEP_DELETED, keep, sizeof(keep)) == 0 &&
	    strcmp(keep, "off") == 0)
		cli_note(u->cli,
			 "this volume keeps no deleted files; 'linkfs set %s %s=7d' makes it keep those to come",
			 u->path->volume, LINKFS_KEEP_DELETED);
}

static void restore_operand(struct cli_undelete *u, const struct cli_lost *lost)
{
	struct cli_deletions found = {0};
	if (find_newest(u, lost, false, &found) != 0)
		return;
	size_t before = u->done;
	int status = u->cli->status;
	if (means_contents(u, lost, &found)) {
		restore_contents(u, lost->live, u->to, false);
		if (u->done == before && u->cli->status == status && !u->older)
			nothing_found(u, lost);
	} else if (found.len == 0) {
		nothing_found(u, lost);
	} else {
		int error = restore_one(u, &found.rows[0], u->to, false);
		told(u, &found.rows[0], error);
		if (!error && u->recursive && S_ISDIR(found.rows[0].st.mode))
			restore_contents(u, found.rows[0].st.ino, 0, true);
	}
	if (u->older)
		cli_note(u->cli, "%s: %zu name%s that went earlier %s left%s", u->path->text, u->older,
			 u->older == 1 ? "" : "s", u->older == 1 ? "was" : "were",
			 u->all || u->since_ns ? "" : "; -a brings back all, --since what went since then");
	u->older = 0;
	cli_deletions_done(&found);
}

static void purge_operand(struct cli_undelete *u, const struct cli_lost *lost)
{
	struct cli_deletions found = {0};
	if (find_newest(u, lost, u->all, &found) != 0)
		return;
	size_t before = u->done;
	if (u->recursive && lost->live_is_dir)
		purge_below(u, lost->live);
	for (size_t i = 0; i < found.len; i++) {
		if (u->recursive && S_ISDIR(found.rows[i].st.mode))
			purge_below(u, found.rows[i].st.ino);
		told(u, &found.rows[i], linkfs_deleted_purge(u->volume, &u->cli->cred, found.rows[i].time_ns));
	}
	if (u->done == before && found.len == 0)
		nothing_found(u, lost);
	cli_deletions_done(&found);
}

/* Of a directory, there or deleted: everything below it; of another name, its versions. */
static int list_operand(struct cli_undelete *u, const struct cli_lost *lost, struct cli_deletions *out)
{
	struct linkfs_deleted_query query = {.flags = u->all ? LINKFS_DELETED_NAMED : 0, .since_ns = u->since_ns};
	int error = 0;
	if (!lost->live_is_dir) {
		struct cli_deletions named = {0};
		error = find_newest(u, lost, true, &named);
		for (size_t i = 0; !query.dir && i < named.len; i++)
			query.dir = S_ISDIR(named.rows[i].st.mode) ? named.rows[i].st.ino : 0;
		cli_deletions_done(&named);
		if (!error)
			error = find_newest(u, lost, true, out);
	} else {
		query.dir = lost->live;
	}
	if (error || !query.dir)
		return error;
	query.flags |= LINKFS_DELETED_BELOW;
	return cli_deletions_read(u, &query, SIZE_MAX, u->at_ns, out);
}

static int parse(struct cli_undelete *u, const struct cli_args *args, bool *json_out, const struct cli_path **to_out)
{
	for (size_t i = 0; i < args->noptions; i++) {
		const char *arg = args->options[i].arg;
		int64_t *time = NULL;
		switch (args->options[i].id) {
		case OPT_LIST:
			u->list = true;
			break;
		case OPT_RECURSIVE:
			u->recursive = true;
			break;
		case OPT_ALL:
			u->all = true;
			break;
		case OPT_VERBOSE:
			u->verbose = true;
			break;
		case OPT_PURGE:
			u->purge = true;
			break;
		case OPT_JSON:
			*json_out = true;
			break;
		case OPT_SUFFIX:
			u->suffix = arg;
			break;
		case OPT_TO:
			*to_out = args->options[i].path;
			break;
		case OPT_AT:
			time = &u->at_ns;
			break;
		case OPT_SINCE:
			time = &u->since_ns;
			break;
		default:
			break;
		}
		if (time && cli_time_parse(u->cli, arg, cli_now_ns(), time) != 0)
			return cli_usage(u->cli, "'%s' is no date", arg);
	}
	/* A time given to the second is the whole second: deletions have more digits than people type. */
	if (u->at_ns && u->at_ns % 1000000000 == 0)
		u->at_ns += 999999999;
	if (u->list && u->purge)
		return cli_usage(u->cli, "--list and --purge exclude each other");
	if ((u->list || u->purge) && (*to_out || u->suffix))
		return cli_usage(u->cli, "--to and --suffix are for giving back");
	if (*json_out && !u->list)
		return cli_usage(u->cli, "--json goes with --list");
	if (u->suffix && (!*u->suffix || strchr(u->suffix, '/')))
		return cli_usage(u->cli, "'%s' is no suffix of a name", u->suffix);
	return 0;
}

/* --to: a directory in the operand's volume. */
static int find_to(struct cli_undelete *u, const struct cli_path *to)
{
	struct linkfs_stat st;
	u->to = 0;
	if (!to)
		return 0;
	if (to->kind != CLI_VOLUME) {
		cli_not_in_volume(u->cli, to);
		return LINKFS_EINVAL;
	}
	if (strcmp(to->volume, u->path->volume) != 0) {
		cli_failf(u->cli, to->text, "is in another volume than '%s'", u->path->text);
		return LINKFS_EXDEV;
	}
	int error = cli_path_stat(u->cli, to, true, &st);
	if (!error && !S_ISDIR(st.mode))
		error = LINKFS_ENOTDIR;
	if (error)
		cli_fail(u->cli, to->text, error);
	else
		u->to = st.ino;
	return error;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct cli_undelete u = {.cli = cli};
	struct cli_json json = {.out = cli->out};
	const struct cli_path *to = NULL;
	bool as_json = false, head = false;
	int status = parse(&u, args, &as_json, &to);
	if (status)
		return status;
	struct cli_ids *ids = cli_ids_new();
	if (!ids) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	if (as_json)
		cli_json_open(&json, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++) {
		struct cli_deletions list = {0};
		struct cli_lost lost;
		u.path = &args->operands[i];
		if (cli_path_volume(cli, u.path, &u.volume) != 0 || find_to(&u, to) != 0 ||
		    cli_lost_find(&u, &lost) != 0)
			continue;
		if (u.list) {
			if (list_operand(&u, &lost, &list) == 0)
				cli_undelete_print(&u, &list, as_json ? &json : NULL, ids, &head);
		} else if (u.purge) {
			purge_operand(&u, &lost);
		} else {
			restore_operand(&u, &lost);
		}
		cli_deletions_done(&list);
		free(lost.name);
	}
	if (as_json)
		cli_json_close(&json, ']');
	cli_ids_free(ids);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_LIST, "list", NULL,
	 "List what is kept of FILE, or was deleted in a directory and below it, the newest first", 0},
	{OPT_RECURSIVE, "recursive", NULL, "Directories with what went from them", 0},
	{OPT_ALL, "all", NULL,
	 "With -r, also what went earlier than the last removals; with --list, also names of files that have others; "
	 "with "
	 "--purge, every file of the name",
	 0},
	{OPT_TO, "to", "DIR", "Put it into this directory", CLI_ARG_PATH},
	{OPT_SUFFIX, "suffix", "TEXT", "Append this to a name that is taken", 0},
	{OPT_AT, "at", "TIME", "The newest of those that were deleted at this time or before", 0},
	{OPT_SINCE, "since", "TIME", "Only what was deleted at this time or after", 0},
	{OPT_PURGE, "purge", NULL, "Give it up for good, and its space back", 0},
	{OPT_JSON, "json", NULL, "With --list, write JSON", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is done", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... FILE...", "--list [OPTION]... FILE...", "--purge [OPTION]... FILE...",
				    NULL};

const struct cli_command cli_cmd_undelete = {
	.name = "undelete",
	.summary = "Give deleted files their names back",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
};
