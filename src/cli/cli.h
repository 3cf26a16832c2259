/*
 * cli.h - what the commands share: the context a command runs in, the rows of the command table, and helpers.
 * A command is a function of its context: it runs in the caller's process on a volume that nobody owns, or in the
 * process that owns the volume, for a caller at the other end of the control socket (design M3). It therefore never
 * touches stdin, stdout, stderr, the working directory, the umask or the environment of its process.
 * Layer: cli. Includes the public headers only.
 */
#ifndef CLI_H
#define CLI_H

#include <linkfs_mount.h>
#include <linkfs_snapshots.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define CLI_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CLI_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Exit statuses, the same for all commands but those that bring their own (linkfs(1)). */
#define CLI_EXIT_OK 0
#define CLI_EXIT_SOME 1
#define CLI_EXIT_USAGE 2
/* Those of fsck(8), for commands that look after volumes (usage_status, fail_status). */
#define CLI_EXIT_FSCK_FAILED 8
#define CLI_EXIT_FSCK_USAGE 16

/* ---- operands ---------------------------------------------------------------------------------------------- */

enum cli_kind {
	CLI_HOST,   /* a path of the host */
	CLI_VOLUME, /* a path in a volume */
	CLI_TEXT,   /* no path: a mode, an owner, a symlink's text */
};

/* One operand, or the argument of an option that names a path. Strings live as long as the arguments. */
struct cli_path {
	enum cli_kind kind;
	const char *text;     /* as typed: for messages and output */
	const char *host;     /* CLI_HOST, and CLI_VOLUME when it was given as a path inside a mount: the host's path */
	const char *volume;   /* CLI_VOLUME: absolute path of the volume's directory */
	const char *snapshot; /* CLI_VOLUME: VOLUME@THIS:/path, else NULL; at is its root when the command runs */
	const char *path;     /* CLI_VOLUME: walked from directory at */
	uint64_t at;
	bool in_mount; /* CLI_VOLUME: given as a path inside a mount */
};

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define CLI_ARG_PATH 1u     /* the argument is a path: resolved like an operand */
#define CLI_ARG_OPTIONAL 2u /* --name or --name=ARG */
#define CLI_OPT_HIDDEN 4u   /* accepted, not shown */

/* One option. A row without names ends the list. id is the short letter, or a number above 255 without one. */
struct cli_option {
	int id;
	const char *name; /* long name, NULL for none */
	const char *arg;  /* name of the argument in help, NULL for none */
	const char *text; /* one sentence */
	unsigned flags;
};
#define CLI_OPTIONS_END                                                                                                \
	{                                                                                                              \
		0, NULL, NULL, NULL, 0                                                                                 \
	}

enum cli_operands {
	CLI_TAKES_PATHS,  /* paths in volumes (a host path must lie in a mount) */
	CLI_TAKES_HOST,   /* paths in volumes and of the host */
	CLI_TAKES_VOLUME, /* volumes: a volume's directory, VOLUME:/path, or a path in a mount */
	CLI_TAKES_TEXT,   /* nothing that is resolved */
};

struct cli_parsed {
	int id;
	const char *arg;
	struct cli_path *path; /* with CLI_ARG_PATH */
};

struct cli_args {
	struct cli_parsed *options;
	size_t noptions;
	struct cli_path *operands;
	size_t noperands;
	struct cli_path **paths; /* all paths, operands and options', in the order of appearance */
	size_t npaths;
	struct cli_path *storage;
	void *strings; /* list of what resolving allocated */
};

struct cli;

/* What becomes of a command's output in the caller's process, wherever the command itself runs. */
struct cli_capture {
	/* Before it runs: looks at the options and says whether the output is wanted whole. Returns a status; nonzero ends the command. */
	int (*begin)(struct cli *cli, const struct cli_args *args, bool *wanted_out);
	/* After it ended with status 0 and its volumes are closed: takes the output. Returns a status. */
	int (*end)(struct cli *cli, const struct cli_args *args, const char *output, size_t len);
};

#define CLI_LOCAL 1u     /* always runs in the caller's process */
#define CLI_HIDDEN 2u    /* not in lists */
#define CLI_READS 8u     /* changes nothing and asks for no free space: a volume that nobody owns is opened read-only */
#define CLI_DASH_MODE 4u /* "-x" may be a mode, not options */
#define CLI_TEXT_THIRD 32u     /* the third operand is text */
#define CLI_SNAPSHOT_WORDS 64u /* with CLI_TAKES_VOLUME: VOLUME@SNAPSHOT without a ':' is a tree */
#define CLI_VOLUME_LAST 128u   /* the last operand may be a volume's directory, which is its root then */
#define CLI_INPUT 256u         /* reads standard input, whatever the operands are */
#define CLI_TEXT_AFTER 16u     /* of the operands that are not leading text only the first is a path */

struct cli_command {
	const char *name;
	const char *summary;      /* one line, without a full stop */
	const char *const *usage; /* what follows the name, one string per form, NULL at the end */
	const struct cli_option *options;
	const char *exits;             /* statuses other than the common ones, or NULL */
	int usage_status, fail_status; /* in place of CLI_EXIT_USAGE and CLI_EXIT_SOME; 0: those */
	int (*run)(struct cli *cli, const struct cli_args *args);
	const struct cli_capture *capture; /* or NULL: the output goes to standard output as it comes */
	/* How many leading operands are text (a mode, an owner, symlink texts); NULL for none. */
	size_t (*texts)(const struct cli_args *args);
	/* Whether it reads standard input though no operand names it; NULL: never. */
	bool (*reads_input)(const struct cli_args *args);
	const char *default_operand; /* used when there is none, or NULL */
	enum cli_operands takes;
	unsigned min, max; /* operands; max 0: any number */
	unsigned flags;
};

extern const struct cli_command *const cli_commands[]; /* NULL at the end */
const struct cli_command *cli_command_find(const char *name);

/* ---- context ------------------------------------------------------------------------------------------------ */

struct cli_volume;

struct cli {
	const struct cli_command *command;
	FILE *in, *out, *err;
	bool in_tty, out_tty, err_tty;
	unsigned width; /* columns of the terminal, 0 when unknown */
	struct linkfs_cred cred;
	uint32_t *groups;
	int cwd_fd;      /* where relative host paths start (AT_FDCWD in the caller's process) */
	const char *cwd; /* its path, for messages; may be "" */
	const char *tz;  /* the caller's TZ, NULL when unset */
	const char *time_style, *block_size;
	int status; /* grows: CLI_EXIT_... */
	bool (*cancel)(void *arg);
	void *cancel_arg;
	struct cli_volume *volumes;
	struct linkfs_mount *mount; /* in the owner: its mount */
	const char *own_volume;     /* in the owner: the path of its volume */
	bool in_owner;
	bool writes; /* this run of a command that reads (CLI_READS) changes something */
};

/* Says that something failed and remembers it for the exit status: "linkfs: COMMAND: WHAT: text". */
void cli_fail(struct cli *cli, const char *what, int error);
void cli_failf(struct cli *cli, const char *what, const char *format, ...) CLI_PRINTF(3, 4);
/* Wrong usage: says so, points to --help, returns CLI_EXIT_USAGE (or the command's own). */
int cli_usage(struct cli *cli, const char *format, ...) CLI_PRINTF(2, 3);
/* A note on the error stream that is no failure. */
void cli_note(struct cli *cli, const char *format, ...) CLI_PRINTF(2, 3);
/* Whether the caller interrupted the command, or is gone. Cheap enough for every file. */
bool cli_cancelled(struct cli *cli);
/* The path an error message shows, quoted when it holds control characters. Returns buf. */
const char *cli_show(const char *text, char *buf, size_t size);

/* The open volume of a path; opened on first use. Says what is wrong on failure. */
int cli_volume_open(struct cli *cli, const char *path, struct linkfs_volume **out);
int cli_path_volume(struct cli *cli, const struct cli_path *path, struct linkfs_volume **out);
/* Takes a snapshot with the time in its name, which strftime's format makes, and a number when there is one of this second. */
int cli_snapshot_dated(struct cli *cli, struct linkfs_volume *volume, const char *format,
		       struct linkfs_snapshot_new what, char *name, size_t size);
/* Finds the snapshots that paths name (VOLUME@NAME:/path) and has the paths start at their roots. Says what is wrong on failure. */
int cli_snapshots_find(struct cli *cli, const struct cli_args *args);
/* The snapshot of that name; what is no name may be a time, of which the newest snapshot not after it is meant. Says what is wrong, of at. */
int cli_snapshot_find(struct cli *cli, struct linkfs_volume *volume, const char *name, const char *at,
		      uint64_t *id_out);
/* Why nothing is changed in one. */
#define CLI_PAST_FIXED "a snapshot cannot be changed"
/* Where in a mount at point the root is that a path inside it goes from: point, or a snapshot. Allocated. */
char *cli_snapshot_join(struct cli *cli, const struct cli_path *path, const char *point);
/* Puts a volume that belongs to somebody else in the list (the owner's own). */
int cli_volume_lend(struct cli *cli, const char *path, struct linkfs_volume *volume);
/* Closes what was opened; a commit that fails is a failure of the command. */
void cli_volumes_close(struct cli *cli);

void *cli_alloc(size_t size); /* zeroed; NULL when out of memory */
char *cli_strdup(const char *s);
/* path from the root on, without symlinks where it can be walked; as it is when the working directory has no path. NULL when out of memory. */
char *cli_absolute(const struct cli *cli, const char *path);
char *cli_format(const char *format, ...) CLI_PRINTF(1, 2);
/* Makes room for one more in a growing array of size-byte elements. */
int cli_grow(void *array_ptr, size_t *cap, size_t len, size_t size);

/* ---- options and operands (opts.c, operand.c) --------------------------------------------------------------- */

/* Parses argv (after the command's name). Operands are not resolved yet: kind CLI_HOST or CLI_TEXT. */
int cli_args_parse(struct cli *cli, const struct cli_command *command, int argc, char *const *argv,
		   struct cli_args *out);
void cli_args_done(struct cli_args *args);
/* Last occurrence of an option, or NULL. */
const struct cli_parsed *cli_args_option(const struct cli_args *args, int id);
/* Resolves all paths in the caller's process: VOLUME:/path, paths inside mounts, host paths. */
int cli_args_resolve(struct cli *cli, const struct cli_command *command, struct cli_args *args);
char *cli_args_keep(struct cli_args *args, char *string);
/* The host path of an operand for cp and import: inside a mount of another volume the kernel serves it. */
void cli_path_as_host(struct cli_path *path);
/* Says why a host path cannot be used where a path in a volume is needed. */
void cli_not_in_volume(struct cli *cli, const struct cli_path *path);

/* ---- mounts (mountinfo.c) ------------------------------------------------------------------------------------ */

struct cli_mount {
	int id;
	unsigned major, minor;
	char *point, *source, *options;
};
/* All mounts of type fuse.linkfs of this process, in mount order. */
int cli_mounts_read(struct cli_mount **out, size_t *count_out);
void cli_mounts_free(struct cli_mount *mounts, size_t count);
/* A process in another mount namespace (a container, a service with its own) that has the mount, told by its device; 0: none that the
 * caller may know of. */
uint32_t cli_mount_elsewhere(const struct cli_mount *mount);
/* Where a volume (its absolute path) is mounted, allocated; NULL when it is not. Only the table of mounts is asked: read-only
 * mounts are no owners, and the lock file of somebody else's volume may name any directory as its mount. */
char *cli_mount_point(const char *volume);
/* Where its living owner serves it: what the lock file says and the table of mounts confirms. */
char *cli_served_point(const char *volume);

/* ---- running elsewhere (client.c, server.c, run.c) ------------------------------------------------------------ */

/* Runs a parsed and resolved command in place; returns the exit status. */
int cli_run_here(struct cli *cli, const struct cli_args *args);
/* Runs it in the owner behind socket; *status_out is its exit status. Fails when there is nobody. */
int cli_run_there(struct cli *cli, const char *socket_path, int argc, char *const *argv, const struct cli_args *args,
		  int *status_out);
/* Asks the owner to tell when it has closed its volume; returns a descriptor to wait on (see cli_farewell_wait). */
int cli_farewell_ask(struct cli *cli, const char *socket_path, int *fd_out);
/* 0 with the owner's last status, or LINKFS_EPIPE when it died without one. Closes fd. */
int cli_farewell_wait(struct cli *cli, int fd, int *status_out);

struct cli_server;
/* Listens in the runtime directory. path_out (size bytes) is the socket's path. */
int cli_server_start(struct linkfs_volume *volume, struct linkfs_mount *mount, const char *volume_path, char *path_out,
		     size_t size, struct cli_server **out);
/* Stops serving; the socket is gone. Commands under way are cancelled and waited for. */
void cli_server_stop(struct cli_server *server);
/* Tells those who asked that the volume is closed, with the result; frees the server. */
void cli_server_free(struct cli_server *server, int status);

/* ---- formats (format.c, quote.c, json.c, timefmt.c, mode.c, ids.c) --------------------------------------------- */

enum cli_quoting {
	CLI_QUOTE_LITERAL,
	CLI_QUOTE_SHELL,       /* as ls on a terminal: shell-escape */
	CLI_QUOTE_SHELL_MARKS, /* the same where marks follow names (ls -F) */
	CLI_QUOTE_ALWAYS,      /* as stat's %N: shell-escape-always */
	CLI_QUOTE_C,           /* -Q */
	CLI_QUOTE_ESCAPE,      /* -b */
	CLI_QUOTE_HIDE,        /* -q: unprintable bytes as ? */
};
/* Returns an allocated string and its width on a terminal (width_out may be NULL). */
char *cli_quote(const char *name, size_t len, enum cli_quoting how, size_t *width_out);

/* "-rw-r--r--" into buf[11]. */
void cli_mode_text(uint32_t mode, char buf[11]);
const char *cli_type_text(uint32_t mode, uint64_t size);
char cli_type_letter(uint32_t mode);
/* "file", "directory", "symlink", "fifo", "socket", "character" or "block": the same in JSON and in answers about links. */
const char *cli_type_word(uint32_t mode);
/* "1.5K" as ls -h and df -h do: rounded up; base 1024 or 1000. */
void cli_human_size(uint64_t bytes, unsigned base, char buf[32]);
/* "10", "4k", "1M", "2GiB"; LINKFS_EINVAL. */
int cli_parse_size(const char *text, uint64_t *out);
int cli_parse_u64(const char *text, uint64_t max, uint64_t *out);

/* A mode as chmod takes it: octal or symbolic. */
struct cli_mode;
int cli_mode_parse(const char *text, struct cli_mode **out);
uint32_t cli_mode_apply(const struct cli_mode *mode, uint32_t old_mode, bool is_dir, uint32_t umask);
void cli_mode_free(struct cli_mode *mode);

/* Names of users and groups; numbers when there are none. Cached per table. */
struct cli_ids;
struct cli_ids *cli_ids_new(void);
const char *cli_ids_user(struct cli_ids *ids, uint32_t uid);
const char *cli_ids_group(struct cli_ids *ids, uint32_t gid);
void cli_ids_free(struct cli_ids *ids);
int cli_parse_user(const char *text, uint32_t *uid_out, uint32_t *gid_out); /* gid_out: login group, may be NULL */
int cli_parse_group(const char *text, uint32_t *gid_out);
/* USER or USER:GROUP, names or numbers, as whom to look: sets cred's uid, gid and groups. Without GROUP those that the host's
 * database gives the user; LINKFS_ENOENT for a number it does not know. The caller frees *groups_out, also after an error. */
int cli_parse_as(const char *text, struct linkfs_cred *cred, uint32_t **groups_out);

/* Times in the caller's zone. format as strftime's, with %N for nanoseconds. */
size_t cli_time_format(struct cli *cli, char *buf, size_t size, const char *format, int64_t ns);
/* A linkfs_zone_fn: the zone of arg, a struct cli. */
int32_t cli_zone(void *arg, int64_t time_s);
/* ISO 8601, with zone or without; RFC 3339 text in JSON is made by cli_time_iso. */
void cli_time_iso(int64_t ns, char buf[96]);
/* A date as touch -d takes it (linkfs-touch(1) lists the forms), and as -t does. */
int cli_time_parse(struct cli *cli, const char *text, int64_t now_ns, int64_t *out);
int cli_time_parse_stamp(struct cli *cli, const char *text, int64_t now_ns, int64_t *out);
int64_t cli_now_ns(void);

struct cli_json {
	FILE *out;
	unsigned depth;
	bool comma;
	bool lines; /* no line breaks */
};
void cli_json_open(struct cli_json *json, const char *key, char bracket);
void cli_json_close(struct cli_json *json, char bracket);
void cli_json_string(struct cli_json *json, const char *key, const char *value);
void cli_json_bytes(struct cli_json *json, const char *key, const char *value, size_t len);
void cli_json_number(struct cli_json *json, const char *key, uint64_t value);
void cli_json_bool(struct cli_json *json, const char *key, bool value);
/* "tags": an array of the words of a snapshot's tags. */
void cli_json_tags(struct cli_json *json, const char *tags);
void cli_json_null(struct cli_json *json, const char *key);
void cli_json_time(struct cli_json *json, const char *key, int64_t ns);
/* The members every file has in JSON: ino, type, mode, nlink, uid, gid, size, times ... */
void cli_json_stat(struct cli_json *json, struct cli_ids *ids, const struct linkfs_stat *st);

/* ---- files in volumes (list.c) --------------------------------------------------------------------------------- */

struct cli_entry {
	char *name;
	size_t len;
	uint64_t ino;
	uint32_t type;
	struct linkfs_stat st; /* when asked for */
};
struct cli_list {
	struct cli_entry *entries;
	size_t len, cap;
};
/* All entries of a directory, "." and ".." left out unless dots. */
int cli_list_read(struct cli *cli, struct linkfs_volume *volume, uint64_t dir, bool stats, bool dots,
		  struct cli_list *out);
void cli_list_done(struct cli_list *list);

int cli_path_stat(struct cli *cli, const struct cli_path *path, bool follow, struct linkfs_stat *out);
/* A symlink's text, allocated. */
int cli_readlink(struct linkfs_volume *volume, uint64_t ino, char **text_out, size_t *len_out);
/* The same by path: a tracked link may have another text by each. */
int cli_readlink_at(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path, char **text_out,
		    size_t *len_out);
/* The same of what a listing found: by path when it is a tracked link and can be walked to, else by number. */
int cli_readlink_found(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path,
		       const struct linkfs_stat *st, char **text_out, size_t *len_out);

/* A directory as it was come by: what lies in it, such as tracked links, is seen in this place and not by another path to the directory.
 * Calls take node where they take its number. Where one path leads to it node is the number, and nothing is held. */
struct cli_place {
	struct linkfs_volume *volume;
	uint64_t node;
	bool held;
};
/* Of directory ino, which path was found to lead to from at. Never fails: when that changed meanwhile it is the number. */
void cli_place_hold(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path, uint64_t ino,
		    struct cli_place *out);
/* Zeroed ones too, and more than once. */
void cli_place_release(struct cli_place *place);
/* Walks with ESTALE (removed meanwhile) told as ENOENT. */
int cli_gone(int error);
char *cli_join(const char *dir, const char *name);
/* The last component of a path as a copy, "" for a path of only slashes. */
char *cli_basename(const char *path);

/* The next entries of a directory from *cookie on, at most about max; none at the end. */
int cli_list_some(struct cli *cli, struct linkfs_volume *volume, uint64_t dir, bool stats, size_t max, uint64_t *cookie,
		  struct cli_list *out);

/* Visits a tree: pre before what is inside, post (directories only) after it. A directory that cannot be read is told
 * and passed over. pre returns CLI_WALK_SKIP to leave a directory's content out; any other nonzero result ends the walk. */
struct cli_visit {
	uint64_t dir; /* 0 for the start when it was not named in a directory */
	const char *name;
	size_t len;
	const struct linkfs_stat *st;
	const char *display; /* its path for messages */
	unsigned depth;
};
#define CLI_WALK_SKIP 1
typedef int cli_visit_fn(void *arg, const struct cli_visit *visit);
int cli_walk(struct cli *cli, struct linkfs_volume *volume, const struct cli_visit *start, cli_visit_fn *pre,
	     cli_visit_fn *post, void *arg);

/* visit for what path names, through symlinks, and with recursive for all below it; *volume is its volume meanwhile and after. What is
 * wrong is told. */
void cli_visit_path(struct cli *cli, const struct cli_path *path, bool recursive, struct linkfs_volume **volume,
		    cli_visit_fn *visit, void *arg);

/* The path from the volume's root without symlinks, "." and ".." (readlink -f). Allocated. */
enum cli_canon {
	CLI_CANON_ALL,     /* everything must exist (-e) */
	CLI_CANON_PARENT,  /* all but the last component (-f) */
	CLI_CANON_MISSING, /* nothing need exist (-m) */
};
int cli_canonical(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path, enum cli_canon how,
		  char **out);
/* How a path from the volume's root is written so that linkfs takes it again: VOLUME:/PATH or MOUNT/PATH. */
char *cli_spell(struct cli *cli, const struct cli_path *like, const char *path);

/* "SOURCE... DEST", "-t DIR SOURCE...", "-T SOURCE DEST" of cp, mv and ln. */
struct cli_targets {
	const struct cli_path *sources;
	size_t nsources;
	const struct cli_path *dest;
	bool into; /* dest is a directory that receives the last components */
};
/* target_dir may be NULL. A destination that must be a directory and is not is a failure (nonzero status, told). */
int cli_targets_find(struct cli *cli, const struct cli_args *args, const struct cli_path *target_dir,
		     bool no_target_dir, bool no_follow, struct cli_targets *out);
/* stat of a path in a volume or of the host, without a message. */
int cli_any_stat(struct cli *cli, const struct cli_path *path, bool follow, struct linkfs_stat *out);
/* A random name that no user makes: for what is renamed into its place. */
void cli_temp_name(char buf[32]);

/* Why LINKFS_EBUSY was said of the name: a sentence about the bind that stands there, or that shows what it names; NULL when there is
 * none. Allocated. like: the operand, for how paths are written. */
char *cli_bind_at_fault(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *like, uint64_t dir,
			const char *name, size_t len);
/* Fails with "DISPLAY: WHAT: " and that, or the error's text. */
void cli_fail_name(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *like, const char *display,
		   const char *what, uint64_t dir, const char *name, size_t len, int error);
/* The same of the last component of a path. */
void cli_fail_path(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *path, const char *what,
		   int error);

/* Removes a file, or with recursive a tree, named in a directory. */
struct cli_remove {
	struct cli *cli;
	struct linkfs_volume *volume;
	const struct cli_path *like; /* the operand */
	bool recursive, dirs, verbose;
};
void cli_remove(struct cli_remove *how, uint64_t dir, const char *name, size_t len, const struct linkfs_stat *st,
		const char *display);

#endif
