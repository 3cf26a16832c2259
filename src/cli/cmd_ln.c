/*
 * cmd_ln.c - linkfs ln: hard and symbolic links, links of directories (row D6), and copies that share content (row D8). With -f a link
 * takes the place of what is there in one step (row B5). With --track a symlink follows its target (row D5).
 */
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_SYMBOLIC = 's',
	OPT_FORCE = 'f',
	OPT_NO_DEREF = 'n',
	OPT_RELATIVE = 'r',
	OPT_NO_TARGET = 'T',
	OPT_TARGET = 't',
	OPT_VERBOSE = 'v',
	OPT_LOGICAL = 'L',
	OPT_PHYSICAL = 'P',
	OPT_DIRECTORY = 'd',
	OPT_COW = 256,
	OPT_TRACK
};

struct ln {
	struct cli *cli;
	struct linkfs_volume *volume;
	bool symbolic, force, relative, verbose, logical, cow, track, directory;
};

/* Where one link goes. */
struct place {
	uint64_t at;
	char *path, *display;
};

/* "../" for each directory of dir that target does not share, then the rest of target. Both canonical. */
static char *relative_text(const char *dir, const char *target)
{
	size_t same = 0, i = 0, ups = 0;
	for (;; i++) {
		bool dir_ends = dir[i] == '/' || dir[i] == '\0', target_ends = target[i] == '/' || target[i] == '\0';
		if (dir_ends && target_ends)
			same = i;
		if (dir[i] != target[i] || dir[i] == '\0')
			break;
	}
	if (strcmp(dir, "/") == 0)
		same = 0;
	for (const char *p = dir + same; *p; p++)
		ups += *p == '/' && p[1] != '\0';
	const char *rest = target + same + (target[same] == '/');
	char *text = cli_alloc(ups * 3 + strlen(rest) + 2), *to = text;
	if (!text)
		return NULL;
	for (size_t k = 0; k < ups; k++)
		to = stpcpy(to, k + 1 < ups || *rest ? "../" : "..");
	stpcpy(to, rest);
	if (!text[0])
		memcpy(text, ".", 2);
	return text;
}

/* The text for -r: from the directory that receives the link to the source. */
static int relative_target(struct ln *ln, const struct cli_path *source, const struct place *place, char **out)
{
	char *target = NULL, *dir = NULL;
	uint64_t dir_ino;
	const char *name;
	size_t len;
	int error = linkfs_path_parent(ln->volume, &ln->cli->cred, place->at, place->path, &dir_ino, &name, &len, NULL);
	if (!error)
		error = cli_canonical(ln->cli, ln->volume, dir_ino, ".", CLI_CANON_ALL, &dir);
	if (!error)
		error = cli_canonical(ln->cli, ln->volume, source->at, source->path, CLI_CANON_MISSING, &target);
	char *text = error ? NULL : relative_text(dir, target);
	if (!error && !text)
		error = LINKFS_ENOMEM;
	free(dir);
	free(target);
	if (!error)
		*out = text;
	return error;
}

static int link_node(struct ln *ln, uint64_t ino, uint64_t dir, const char *name, size_t len)
{
	return ln->cow ? linkfs_node_clone(ln->volume, &ln->cli->cred, ino, dir, name, len, 0, NULL)
		       : linkfs_node_link(ln->volume, &ln->cli->cred, ino, dir, name, len, 0, NULL);
}

/* Links under a name that nobody knows, then renames it into place. */
static int replace_with_link(struct ln *ln, const struct cli_path *source, const struct place *place)
{
	const struct linkfs_cred *cred = &ln->cli->cred;
	struct linkfs_stat from, there;
	char temp[32];
	uint64_t dir;
	const char *name;
	size_t len;
	int error =
		linkfs_path_stat(ln->volume, cred, source->at, source->path, ln->logical ? 0 : LINKFS_NOFOLLOW, &from);
	if (!error)
		error = linkfs_path_parent(ln->volume, cred, place->at, place->path, &dir, &name, &len, NULL);
	if (!error)
		error = linkfs_node_lookup(ln->volume, cred, dir, name, len, 0, &there);
	if (error)
		return error;
	if (there.ino == from.ino &&
	    !ln->cow) /* a name of it already: renaming would do nothing and leave the other name */
		return 0;
	if (S_ISDIR(there.mode))
		return LINKFS_EISDIR;
	cli_temp_name(temp);
	error = link_node(ln, from.ino, dir, temp, strlen(temp));
	if (error)
		return error;
	error = linkfs_node_rename(ln->volume, cred, dir, temp, strlen(temp), dir, name, len, 0);
	if (error)
		linkfs_node_unlink(ln->volume, cred, dir, temp, strlen(temp));
	return error;
}

static int make_hard(struct ln *ln, const struct cli_path *source, const struct place *place)
{
	const struct linkfs_cred *cred = &ln->cli->cred;
	uint32_t flags = ln->logical ? LINKFS_FOLLOW : 0;
	if (ln->directory)
		return linkfs_path_link_directory(ln->volume, cred, source->at, source->path, place->at, place->path);
	int error =
		ln->cow ? linkfs_path_clone(ln->volume, cred, source->at, source->path, place->at, place->path, flags,
					    NULL)
			: linkfs_path_link(ln->volume, cred, source->at, source->path, place->at, place->path, flags);
	if (error == LINKFS_EEXIST && ln->force)
		error = replace_with_link(ln, source, place);
	return error;
}

static int make_symbolic(struct ln *ln, const struct cli_path *source, const struct place *place)
{
	const struct linkfs_cred *cred = &ln->cli->cred;
	char *relative = NULL;
	int error = ln->relative ? relative_target(ln, source, place, &relative) : 0;
	const char *text = relative ? relative : source->text;
	if (!error && ln->force)
		error = linkfs_path_replace_symlink(ln->volume, cred, text, place->at, place->path, NULL);
	else if (!error)
		error = linkfs_path_symlink(ln->volume, cred, text, place->at, place->path, NULL);
	free(relative);
	return error;
}

static int make_tracked(struct ln *ln, const struct cli_path *source, const struct place *place)
{
	return linkfs_path_track(ln->volume, &ln->cli->cred, source->at, source->path, place->at, place->path,
				 ln->force ? LINKFS_TRACK_REPLACE : 0, NULL);
}

/* What linking to source said. */
static void tell_failure(struct ln *ln, const struct cli_path *source, const char *display, int error)
{
	struct cli *cli = ln->cli;
	if (ln->track && ln->force && error == LINKFS_EEXIST)
		cli_failf(cli, display, "is what it would track: a link cannot take the place of its target");
	else if (error == LINKFS_EEXIST && !ln->force)
		cli_failf(cli, display, "exists; -f puts the link in its place");
	else if (ln->track && error == LINKFS_EMLINK)
		cli_failf(cli, source->text, "is tracked by 1000 links, and can be by no more");
	else if (ln->track && error == LINKFS_ENAMETOOLONG)
		cli_failf(cli, display, "cannot track '%s': the way there, or a name, is too long (ENAMETOOLONG)",
			  source->text);
	else if (ln->cow && error == LINKFS_EISDIR)
		cli_failf(cli, source->text, "is a directory: --cow copies files");
	else if (error == LINKFS_EPERM && !ln->symbolic && !ln->cow)
		cli_failf(cli, source->text,
			  "hard link not allowed: a directory (--directory links those), or not yours to link");
	else if (error == LINKFS_EMLINK && !ln->symbolic)
		cli_failf(cli, source->text,
			  "can have no more names: a tracked symlink has one, a file up to 2147483647");
	else
		cli_failf(cli, display, "cannot link to '%s': %s", source->text, linkfs_strerror(error));
}

static int find_place(struct ln *ln, const struct cli_targets *targets, const struct cli_path *source,
		      struct place *out)
{
	const struct cli_path *dest = targets->dest;
	struct linkfs_stat st;
	if (!targets->into) {
		*out = (struct place){dest->at, cli_strdup(dest->path), cli_strdup(dest->text)};
		return out->path && out->display ? 0 : LINKFS_ENOMEM;
	}
	int error = cli_path_stat(ln->cli, dest, true, &st);
	if (error)
		return error;
	*out = (struct place){.at = st.ino,
			      .path = cli_basename(source->kind == CLI_VOLUME ? source->path : source->text)};
	out->display = out->path ? cli_join(dest->text, out->path) : NULL;
	return out->display ? 0 : LINKFS_ENOMEM;
}

static void tell_directory_error(struct ln *ln, const struct cli_path *source, const char *display, int error)
{
	switch (error) {
	case LINKFS_EEXIST:
		cli_failf(ln->cli, display, "exists; remove it first");
		break;
	case LINKFS_ENOTDIR:
		cli_failf(ln->cli, source->text, "cannot link: not a directory, or one on the way to '%s' is none",
			  display);
		break;
	case LINKFS_ELOOP:
		cli_failf(ln->cli, display, "cannot link to '%s': the directory would lie in itself", source->text);
		break;
	case LINKFS_EPERM:
		cli_failf(ln->cli, source->text, "only its owner may give a directory another name");
		break;
	default:
		cli_failf(ln->cli, display, "cannot link to '%s': %s", source->text, linkfs_strerror(error));
		break;
	}
}

/* Where the link is to come a bind stands. */
static void tell_busy(struct ln *ln, const struct cli_path *like, const struct place *place,
		      const struct cli_path *source)
{
	const char *name;
	uint64_t dir;
	size_t len;
	char *reason = NULL;
	if (linkfs_path_parent(ln->volume, &ln->cli->cred, place->at, place->path, &dir, &name, &len, NULL) == 0)
		reason = cli_bind_at_fault(ln->cli, ln->volume, like, dir, name, len);
	cli_failf(ln->cli, place->display, "cannot link to '%s': %s", source->text,
		  reason ? reason : linkfs_strerror(LINKFS_EBUSY));
	free(reason);
}

static void link_one(struct ln *ln, const struct cli_targets *targets, const struct cli_path *source)
{
	struct place place = {0};
	struct linkfs_volume *other;
	bool path_source = !ln->symbolic || ln->relative || ln->track;
	if (path_source && cli_path_volume(ln->cli, source, &other) != 0)
		return;
	if (path_source && other != ln->volume) {
		cli_failf(ln->cli, source->text, "is in another volume: a %s cannot lead there (EXDEV)",
			  ln->track ? "tracked link"
			  : ln->cow ? "copy that shares content"
				    : "hard link");
		return;
	}
	int error = find_place(ln, targets, source, &place);
	if (!error && ln->track)
		error = make_tracked(ln, source, &place);
	else if (!error)
		error = ln->symbolic ? make_symbolic(ln, source, &place) : make_hard(ln, source, &place);
	error = cli_gone(error);
	if (error && ln->directory)
		tell_directory_error(ln, source, place.display ? place.display : targets->dest->text, error);
	else if (error == LINKFS_EBUSY && place.display)
		tell_busy(ln, targets->dest, &place, source);
	else if (error)
		tell_failure(ln, source, place.display ? place.display : targets->dest->text, error);
	else if (ln->verbose)
		fprintf(ln->cli->out, "'%s' %s '%s'\n", place.display, ln->symbolic ? "->" : "=>", source->text);
	free(place.path);
	free(place.display);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct ln ln = {.cli = cli};
	struct cli_targets targets;
	const struct cli_path *target_dir = NULL;
	bool no_target = false, no_deref = false;
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_SYMBOLIC:
			ln.symbolic = true;
			break;
		case OPT_FORCE:
			ln.force = true;
			break;
		case OPT_NO_DEREF:
			no_deref = true;
			break;
		case OPT_RELATIVE:
			ln.relative = true;
			break;
		case OPT_NO_TARGET:
			no_target = true;
			break;
		case OPT_TARGET:
			target_dir = args->options[i].path;
			break;
		case OPT_LOGICAL:
			ln.logical = true;
			break;
		case OPT_PHYSICAL:
			ln.logical = false;
			break;
		case OPT_COW:
			ln.cow = true;
			break;
		case OPT_DIRECTORY:
			ln.directory = true;
			break;
		case OPT_TRACK:
			ln.track = true;
			break;
		default:
			ln.verbose = true;
			break;
		}
	}
	if (ln.relative && !ln.symbolic)
		return cli_usage(cli, "-r needs -s");
	if (ln.cow && ln.symbolic)
		return cli_usage(cli, "--cow and -s exclude each other");
	if (ln.track && !ln.symbolic)
		return cli_usage(cli, "--track needs -s");
	if (ln.directory && (ln.symbolic || ln.cow || ln.force))
		return cli_usage(cli, "--directory goes with neither -s, -f nor --cow");
	int status = cli_targets_find(cli, args, target_dir, no_target, no_deref, &targets);
	if (status)
		return status;
	if (cli_path_volume(cli, targets.dest, &ln.volume) != 0)
		return cli->status;
	for (size_t i = 0; i < targets.nsources; i++)
		link_one(&ln, &targets, &targets.sources[i]);
	return cli->status;
}

/* With -s, and without -r and --track, what is linked to is text that is taken as it is. */
static size_t texts(const struct cli_args *args)
{
	if (!cli_args_option(args, OPT_SYMBOLIC) || cli_args_option(args, OPT_RELATIVE) ||
	    cli_args_option(args, OPT_TRACK))
		return 0;
	return cli_args_option(args, OPT_TARGET) || args->noperands < 1 ? args->noperands : args->noperands - 1;
}

static const struct cli_option options[] = {
	{OPT_COW, "cow", NULL,
	 "Not a link but a file of its own that shares the content until one of the two is written", 0},
	{OPT_DIRECTORY, "directory", NULL, "Other names for directories", 0},
	{OPT_FORCE, "force", NULL, "Put the link in the place of a file or symlink that is there, in one step", 0},
	{OPT_LOGICAL, "logical", NULL, "Hard links to the targets of symlinks", 0},
	{OPT_NO_DEREF, "no-dereference", NULL, "A symlink to a directory as destination is a name, not a directory", 0},
	{OPT_PHYSICAL, "physical", NULL, "Hard links to symlinks themselves; the default", 0},
	{OPT_RELATIVE, "relative", NULL, "With -s: TARGET is a path; the link's text leads there from its directory",
	 0},
	{OPT_SYMBOLIC, "symbolic", NULL, "Symbolic links", 0},
	{OPT_TARGET, "target-directory", "DIR", "The directory that receives the links", CLI_ARG_PATH},
	{OPT_TRACK, "track", NULL,
	 "With -s: TARGET is a path, and the link follows what it names when that, or the link, is moved or renamed",
	 0},
	{OPT_NO_TARGET, "no-target-directory", NULL, "The destination is a name, not a directory", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is linked", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [-T] TARGET LINK", "[OPTION]... TARGET... DIRECTORY",
				    "[OPTION]... -t DIRECTORY TARGET...", NULL};

const struct cli_command cli_cmd_ln = {
	.name = "ln",
	.summary = "Make hard and symbolic links",
	.usage = usage,
	.options = options,
	.run = run,
	.texts = texts,
	.min = 1,
};
