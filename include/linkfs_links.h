/*
 * linkfs_links.h - questions about links: which names has this file, who points here, what would break, how is this path walked.
 *
 * Nothing here but linkfs_node_fix_dangling() changes a volume; the rest works on one opened read-only. Errors, threads and credentials are as in linkfs.h. What
 * a call says of a path is true at one moment between its begin and its end: linkfs_path_explain(), linkfs_path_names() of up to
 * 128 names, and each single answer of the others are of one moment; between two answers the volume may change.
 *
 * Who may know. A name is told to a credential that may search every directory on its path from the root, which is what it takes to
 * use that name; where a link leads is told as far as that credential may walk. uid 0 is told all.
 *
 * Callbacks run in the caller's thread without any lock: unlike those of linkfs.h they may call linkfs and may block. What they are
 * given is valid during the call. A result other than 0 ends the listing, which then returns it if it is negative, else 0.
 *
 * Absolute texts of symlinks. mounted_at is the absolute path of the directory of the host where the volume is, or would be, mounted, without
 * symlinks, "." and "..". Texts that start with it lead into the volume, others out of it (LINKFS_EXDEV), and so does ".." above
 * the root unless the path comes back; the host's own symlinks are not known. NULL, or "/": absolute texts start at the volume's root,
 * and ".." of the root is the root.
 *
 * Snapshots (linkfs_snapshots.h). Asked of a node of a snapshot, names, referrers and dangling answer for the tree as it was, and nothing of
 * the live tree: all paths are from the snapshot's root, which stands for the volume's, mounted_at included; numbers are those of the
 * snapshot's nodes. That is how the links led then, and how they lead where the snapshot is restored. Programs that go through .snapshots of a
 * mount meet it only with relative texts: an absolute one takes them to the live tree, and LINKFS_LINKS_MOUNT explains that.
 * linkfs_node_fix_dangling() and impact are LINKFS_EROFS there.
 */
#ifndef LINKFS_LINKS_H
#define LINKFS_LINKS_H

#include <linkfs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- names ------------------------------------------------------------------------------------------------ */

/* One name of a file, with its path from the volume's root. */
struct linkfs_name {
	const char *path; /* "/a/b", NUL after it; "/" for the root, which has dir 0 and an empty name */
	size_t path_len;
	uint64_t dir; /* the directory that holds the name */
	const char *name;
	size_t name_len;
	uint32_t flags; /* LINKFS_NAME_... */
};
#define LINKFS_NAME_BIND 1u /* a bind shows the file there: it is none of the names that its link count counts */
typedef int linkfs_name_fn(void *arg, const struct linkfs_name *name);

/* Every name of ino, in no order, in time proportional to their number and depth whatever the volume's size: each path that it may be found by,
 * through directory links and binds too. LINKFS_E2BIG when more than 65,536 paths lead to a directory that holds a name. *hidden_out (may be
 * NULL) counts those that cred may not know, and those that a bind covers. A file that is open and unlinked has none: fn is not called, and the stat's
 * nlink is 0. */
LINKFS_API int linkfs_node_names(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				 linkfs_name_fn *fn, void *arg, uint64_t *hidden_out);
/* Of what path names. flags: LINKFS_NOFOLLOW or 0. out (may be NULL): its attributes. */
LINKFS_API int linkfs_path_names(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				 const char *path, uint32_t flags, struct linkfs_stat *out, linkfs_name_fn *fn,
				 void *arg, uint64_t *hidden_out);

/* ---- binds ------------------------------------------------------------------------------------------------- */

/* One bind: linkfs_node_bind(). */
struct linkfs_bind {
	const char *path; /* of the entry that shows something else, from the root; NUL after it */
	size_t path_len;
	const char *
		source_path; /* of what it shows, by one of its names; NULL when cred may not know it, or another bind covers it */
	size_t source_path_len;
	uint64_t dir; /* the directory of the entry */
	const char *name;
	size_t name_len;
	uint64_t source, covered; /* what is shown, and what the entry names */
	uint32_t type;            /* of the source: S_IFMT bits */
};
typedef int linkfs_bind_fn(void *arg, const struct linkfs_bind *bind);

/* The binds of the volume, or those that show inode source (0: all), in no order. *hidden_out (may be NULL) counts those at paths that cred may
 * not know, or that another bind covers. Each answer is of one moment. */
LINKFS_API int linkfs_volume_binds(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t source,
				   linkfs_bind_fn *fn, void *arg, uint64_t *hidden_out);

/* ---- symlinks --------------------------------------------------------------------------------------------- */

/* A symlink by one of its names; a symlink with several names may lead elsewhere through each. */
struct linkfs_link {
	const char *path; /* from the root */
	size_t path_len;
	uint64_t dir, ino; /* the directory that holds the name; the symlink itself */
	const char *text;  /* NUL after it */
	size_t text_len;
};

/* The end of a walk. */
struct linkfs_end {
	int error;           /* 0, or LINKFS_ENOENT, ELOOP, ENOTDIR, EACCES, ENAMETOOLONG, EXDEV (out of the volume) */
	uint64_t ino;        /* with error 0 */
	uint32_t expansions; /* of symlinks on the way */
};

struct linkfs_referrer {
	struct linkfs_link link;
	struct linkfs_end end;
};
typedef int linkfs_referrer_fn(void *arg, const struct linkfs_referrer *referrer);

/* Zero the struct, set what matters. NULL: all zero. */
struct linkfs_links_options {
	const char *mounted_at;
	uint32_t flags; /* LINKFS_LINKS_... */
};
/* Also the links that come to ino on their way, by its name, by "..", or as the root that an absolute text starts at. */
#define LINKFS_LINKS_THROUGH 1u

/* The symlinks whose resolution ends at ino, chains included. When ino is a symlink: those that lead to it as their last
 * component, wherever they end. Symlinks are found by an index of the components of their texts and each is proved by walking it: the
 * time is that of the symlinks whose text has the right component, not of the volume. */
LINKFS_API int linkfs_node_referrers(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				     const struct linkfs_links_options *options, linkfs_referrer_fn *fn, void *arg);
/* Of what path names. flags: LINKFS_NOFOLLOW or 0. out as above. */
LINKFS_API int linkfs_path_referrers(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				     const char *path, uint32_t flags, const struct linkfs_links_options *options,
				     struct linkfs_stat *out, linkfs_referrer_fn *fn, void *arg);

/* The file that tracked symlink ino follows, and the name by which it is named there (fn is called once, with a path from the
 * root; fn NULL: not at all). LINKFS_EINVAL when ino is no tracked symlink; LINKFS_ENOENT when what it tracked has no name any more;
 * LINKFS_EACCES when cred may not know the name. *target_out (may be NULL) is the file's number in the first and the last case. */
LINKFS_API int linkfs_node_tracks(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				  linkfs_name_fn *fn, void *arg, uint64_t *target_out);

struct linkfs_dangling {
	struct linkfs_link link;
	struct linkfs_end end; /* LINKFS_ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP or EXDEV */
	/* Where the walk failed: at component name in directory fault_dir ("" when that is above the volume's root). ELOOP: the
	 * symlink that was one too many. */
	const char *fault_dir;
	const char *fault_name;
	size_t fault_name_len;
};
typedef int linkfs_dangling_fn(void *arg, const struct linkfs_dangling *dangling);

/* The symlinks in directory ino and below it that lead nowhere, loop, or leave the volume. Memory is bounded; the time is that
 * of all symlinks of the volume. A link that cred may not walk to its end is not told. */
LINKFS_API int linkfs_node_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				    const struct linkfs_links_options *options, linkfs_dangling_fn *fn, void *arg);
LINKFS_API int linkfs_path_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				    const char *path, const struct linkfs_links_options *options,
				    linkfs_dangling_fn *fn, void *arg);

/* What became of a dangling link. */
enum linkfs_fix_result {
	LINKFS_FIX_NONE,      /* never told */
	LINKFS_FIX_DONE,      /* it leads again where it led, or would with DRY_RUN */
	LINKFS_FIX_UNKNOWN,   /* nothing is known of a move that broke it */
	LINKFS_FIX_AMBIGUOUS, /* it led to different files at different times, or another file has had the name since */
	LINKFS_FIX_NAMES,     /* it is known, but the symlink has several names, which may lead elsewhere */
	LINKFS_FIX_OTHER,     /* another symlink on its way dangles: this one works when that does */
	LINKFS_FIX_FAILED, /* it is known, and error says why it was left: LINKFS_EACCES, EPERM, EROFS, ENAMETOOLONG ... */
};
struct linkfs_fix {
	struct linkfs_link link; /* with the text that dangles */
	enum linkfs_fix_result result;
	int error;
	const char *text; /* DONE: the new text, NUL after it */
	size_t text_len;
	/* DONE, AMBIGUOUS, NAMES, FAILED: the move that broke it: when, where it was and where it is, as paths from the root; NULL when cred may
	 * not know it, or it is gone. */
	int64_t moved_ns;
	const char *moved_from, *moved_to;
};
typedef int linkfs_fix_fn(void *arg, const struct linkfs_fix *fix);

/* options: tell what would be done, and change nothing. */
#define LINKFS_LINKS_DRY_RUN 2u
/* Looks at the symlinks in directory ino and below it that dangle, and makes those lead where they led before whose target, or which
 * themselves, were moved (or a directory above either), as far as that is known: a volume remembers the last 4,096 moves that could break a
 * symlink. The text of the same symlink changes, a relative one to the shortest relative way, an absolute one to an absolute path. Each is
 * one operation, for who may replace the link: in its directory he may write. All dangling links are told; those that cannot be known are left
 * alone. */
LINKFS_API int linkfs_node_fix_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
					const struct linkfs_links_options *options, linkfs_fix_fn *fn, void *arg);
LINKFS_API int linkfs_path_fix_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
					const char *path, const struct linkfs_links_options *options, linkfs_fix_fn *fn,
					void *arg);

struct linkfs_impact {
	struct linkfs_link link;         /* by its path before the change */
	struct linkfs_end before, after; /* they differ, and at least one has error 0 */
};
typedef int linkfs_impact_fn(void *arg, const struct linkfs_impact *impact);

/* The symlinks that would lead elsewhere, or nowhere, if the name in dir went: a directory with all that is in it. Links that go
 * with it are not told. Proved as linkfs_node_referrers() does, by walks that take the name for gone. LINKFS_ENOENT ... */
LINKFS_API int linkfs_node_impact_remove(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
					 const char *name, size_t name_len, const struct linkfs_links_options *options,
					 linkfs_impact_fn *fn, void *arg);
/* The same if it were renamed, as rename(2) does: what new_name names now goes. Errors are rename's that do not depend on rights:
 * LINKFS_EINVAL (into itself), LINKFS_EISDIR, LINKFS_ENOTDIR, LINKFS_ENOTEMPTY ... Nothing is told when both are names of one file. */
LINKFS_API int linkfs_node_impact_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
					 const char *name, size_t name_len, uint64_t new_dir, const char *new_name,
					 size_t new_len, const struct linkfs_links_options *options,
					 linkfs_impact_fn *fn, void *arg);
/* By path; the last component is not followed. LINKFS_EBUSY for one that is "." or ".." or the root. */
LINKFS_API int linkfs_path_impact_remove(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
					 const char *path, const struct linkfs_links_options *options,
					 linkfs_impact_fn *fn, void *arg);
LINKFS_API int linkfs_path_impact_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
					 const char *old_path, uint64_t new_at, const char *new_path,
					 const struct linkfs_links_options *options, linkfs_impact_fn *fn, void *arg);

/* ---- how a path is walked ----------------------------------------------------------------------------------- */

enum linkfs_step_kind {
	LINKFS_STEP_START,  /* stat: the directory the walk starts from; path: its path */
	LINKFS_STEP_SEARCH, /* stat: the directory that is asked for search permission; decided */
	LINKFS_STEP_ENTRY,  /* name is looked up; stat: what it names */
	LINKFS_STEP_DOT,    /* "." */
	LINKFS_STEP_UP,     /* ".."; stat: the parent; path: its path */
	LINKFS_STEP_EXPAND, /* stat: a symlink; text comes before what is left of the path now */
	LINKFS_STEP_ROOT,   /* the text is absolute: the walk goes on at the root (stat), or at the host's (above) */
	LINKFS_STEP_HOST,   /* name is walked in a directory of the host, above the volume's root */
	LINKFS_STEP_END,    /* the last step: error 0 and stat, or the error of the whole walk */
};
/* What decided about search permission, as path_resolution(7) and acl(5) have it. */
enum linkfs_decider {
	LINKFS_BY_ROOT,  /* uid 0 may search all directories */
	LINKFS_BY_OWNER, /* the mode's bits for the owner */
	LINKFS_BY_ACL,   /* the access ACL */
	LINKFS_BY_GROUP, /* the mode's bits for the group */
	LINKFS_BY_OTHER, /* the mode's bits for others */
};
struct linkfs_step {
	enum linkfs_step_kind kind;
	int error;           /* the walk ended here; stat is set all the same for SEARCH and EXPAND */
	uint32_t expansions; /* so far */
	uint32_t above;      /* directories of the host that the walk stands above the root, after the step */
	enum linkfs_decider decided;
	uint64_t
		covered; /* ENTRY: a bind is crossed; the entry itself names this inode, and stat is what the bind shows. Else 0 */
	struct linkfs_stat stat; /* ino 0: none */
	const char *
		path; /* the directory the walk stands in after the step; NULL when it has not moved, "" above the root, or when cred may not know it */
	const char *name; /* the component, NUL after it; NULL: none */
	size_t name_len;
	const char *text; /* EXPAND; NUL after it */
	size_t text_len;
};
typedef int linkfs_step_fn(void *arg, const struct linkfs_step *step);

/* options: as the kernel walks in a mount, whose root has the directory .snapshots, unless an entry of that name is there: a snapshot's
 * ".." leads to it, and absolute texts in a snapshot lead to the live tree. Paths told are those of the mount. */
#define LINKFS_LINKS_MOUNT 4u
/* Walks path as every call of linkfs does, step by step. flags: LINKFS_NOFOLLOW or 0. Returns 0 when the walk was made, whatever its end:
 * fn's last step is LINKFS_STEP_END with the result that stat(2) gives. */
LINKFS_API int linkfs_path_explain(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				   const char *path, uint32_t flags, const struct linkfs_links_options *options,
				   linkfs_step_fn *fn, void *arg);

/* ---- which link ---------------------------------------------------------------------------------------------- */

/* An answer, or that it is not known: then a usual one is assumed. */
enum linkfs_answer { LINKFS_UNKNOWN, LINKFS_YES, LINKFS_NO };
enum linkfs_advised {
	LINKFS_ADVISE_HARD,      /* another name: ln */
	LINKFS_ADVISE_SYMLINK,   /* ln -s, relative */
	LINKFS_ADVISE_ABSOLUTE,  /* ln -s, absolute */
	LINKFS_ADVISE_TRACKED,   /* ln -s --track */
	LINKFS_ADVISE_DIRECTORY, /* ln --directory */
	LINKFS_ADVISE_BIND,      /* bind */
	LINKFS_ADVISE_COW,       /* ln --cow */
	LINKFS_ADVISE_COPY,      /* cp: no link does it */
};
/* Zero the struct, set what is known. In brackets what is assumed of the rest. */
struct linkfs_question {
	enum linkfs_answer same_volume; /* both lie in one volume [yes] */
	enum linkfs_answer exists;      /* the target is there now [yes] */
	enum linkfs_answer directory;   /* the target is a directory [no] */
	enum linkfs_answer covers;      /* something is at the link's place, and is to be there again one day [no] */
	enum linkfs_answer share_edits; /* an edit through one shows through the other [yes] */
	enum linkfs_answer survive_target_move;   /* it is to work when the target was moved [no] */
	enum linkfs_answer survive_link_move;     /* it is to work when the link was moved [no] */
	enum linkfs_answer survive_target_delete; /* the content is to be there when the target was deleted [no] */
	enum linkfs_answer replaced; /* a new file is put in the target's place: saved by rename, versions [no] */
	enum linkfs_answer follows;  /* the programs that use it follow symlinks [yes] */
};
#define LINKFS_ADVICE_ASSUMED_MAX 10
struct linkfs_advice {
	enum linkfs_advised link;
	const char *rule;                                   /* "R1" ...; static, as all strings here */
	const char *why;                                    /* a sentence without its full stop */
	const char *beware;                                 /* likewise, or NULL */
	const char *assumed[LINKFS_ADVICE_ASSUMED_MAX + 1]; /* what was not known and mattered, NULL at the end */
};
/* Decides by the rules that linkfs-advise(1) lists, the first that fits. Looks at no volume. Never fails. */
LINKFS_API void linkfs_advise(const struct linkfs_question *question, struct linkfs_advice *out);

#ifdef __cplusplus
}
#endif
#endif
