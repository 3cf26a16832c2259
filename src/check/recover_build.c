/*
 * recover_build.c - makes the files of a recovery in the new volume, through core's own functions: directories from the root
 * down, then everything else with all its names, then what making files changes: attributes, times.
 * Layer: check. Without a new volume the same steps are counted and told, and nothing is written.
 */
#include "recover_impl.h"

#include "binds.h"
#include "file.h"
#include "link.h"
#include "node.h"
#include "track.h"
#include "xattr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- steps in the new volume ---------------------------------------------------------------------------------------- */

static int make_at(struct lk_recovery *r, uint64_t dir, const char *name, size_t len, const struct linkfs_make *how,
		   const struct lk_bytes *text, uint64_t *ino_out)
{
	const struct linkfs_cred *cred = lk_cred(NULL);
	struct lk_inode inode = {0};
	struct lk_where where;
	struct lk_op op;
	int e = lk_op_begin(r->fs, &op, lk_op_flags(cred, 0));
	if (e)
		return e;
	e = lk_where_at(&op, cred, dir, name, len, &where);
	if (e == 0)
		e = text ? lk_symlink_make(&op, cred, &where, text->p, text->len, &inode)
			 : lk_link_make(&op, cred, &where, how, &inode);
	e = lk_op_end(&op, e);
	if (e == 0)
		*ino_out = (uint64_t)inode.ino;
	return e;
}

static int link_at(struct lk_recovery *r, uint64_t ino, uint64_t dir, const char *name, size_t len)
{
	const struct linkfs_cred *cred = lk_cred(NULL);
	struct lk_inode inode;
	struct lk_where where;
	struct lk_op op;
	int e = lk_op_begin(r->fs, &op, lk_op_flags(cred, 0));
	if (e)
		return e;
	e = lk_inode_get(&op, ino, &inode);
	if (e == 0)
		e = lk_where_at(&op, cred, dir, name, len, &where);
	if (e == 0)
		e = lk_is_dir(&inode) ? lk_link_dir(&op, cred, &inode, &where) : lk_link_add(&op, cred, &inode, &where);
	return lk_op_end(&op, e);
}

/* The symlink that was made tracks ino, by its name in dir (NULL: any). One that came back with several names stays an ordinary one. */
static int track_at(struct lk_recovery *r, uint64_t link, uint64_t ino, uint64_t dir, const struct lk_name_row *name)
{
	struct lk_slot slot = {.ino = 0};
	struct lk_inode inode;
	struct lk_op op;
	int e = lk_op_begin(r->fs, &op, lk_op_flags(lk_cred(NULL), 0));
	if (e)
		return e;
	e = lk_inode_get(&op, link, &inode);
	if (e == 0 && name)
		e = lk_dirent_find(&op, dir, name->name, name->len, &slot);
	if (e == 0 && inode.nlink == 1)
		e = lk_track_set(&op, ino, slot.ino == ino ? &slot : NULL, &inode);
	return lk_op_end(&op, e);
}

static int set_size(struct lk_recovery *r, uint64_t ino, uint64_t size)
{
	const struct linkfs_cred *cred = lk_cred(NULL);
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = size};
	struct lk_inode inode;
	struct lk_op op;
	int e = lk_node_lock(r->fs, ino);
	if (e)
		return e;
	e = lk_op_begin(r->fs, &op, lk_op_flags(cred, LK_OP_FREES));
	if (e == 0) {
		e = lk_inode_get(&op, ino, &inode);
		if (e == 0 && (uint64_t)inode.size != size)
			e = lk_attr_set(&op, cred, &inode, &change, true);
		e = lk_op_end(&op, e);
	}
	lk_node_unlock(r->fs, ino);
	return e;
}

static int set_xattr(struct lk_recovery *r, uint64_t ino, const struct lk_xattr_row *x)
{
	const struct linkfs_cred *cred = lk_cred(NULL);
	char name[LINKFS_XATTR_NAME_MAX + 1];
	struct lk_inode inode;
	struct lk_op op;
	memcpy(name, x->name.p, x->name.len);
	name[x->name.len] = 0;
	int e = lk_op_begin(r->fs, &op, lk_op_flags(cred, 0));
	if (e)
		return e;
	e = lk_inode_get(&op, ino, &inode);
	if (e == 0)
		e = lk_xattr_set(&op, cred, &inode, name, x->value.p, x->value.len, 0);
	return lk_op_end(&op, e);
}

/* owner_only: what comes before the xattrs; an access ACL then has its say about the mode. */
static int set_attributes(struct lk_recovery *r, const struct lk_found *f, bool owner_only)
{
	struct lk_inode inode;
	struct lk_op op;
	int e = lk_op_begin(r->fs, &op, lk_op_flags(lk_cred(NULL), 0));
	if (e)
		return e;
	e = lk_inode_get(&op, f->new_ino, &inode);
	if (e == 0 && owner_only) {
		bool dir = f->type == S_IFDIR, link = f->type == S_IFLNK;
		int64_t made_up = link ? 0777 : dir ? 0700 : 0600;
		inode.mode = f->type | (f->inode && !link ? f->inode->inode.mode & 07777 : made_up);
		inode.uid = f->inode ? f->inode->inode.uid : r->uid;
		inode.gid = f->inode ? f->inode->inode.gid : r->gid;
		inode.flags |= f->inode ? f->inode->inode.flags & LK_INODE_KEEP_LINKS : 0;
	} else if (e == 0 && f->inode) {
		inode.atime_ns = f->inode->inode.atime_ns;
		inode.mtime_ns = f->inode->inode.mtime_ns;
		inode.ctime_ns = f->inode->inode.ctime_ns;
		inode.btime_ns = f->inode->inode.btime_ns;
	}
	if (e == 0)
		e = lk_inode_put(&op, &inode);
	return lk_op_end(&op, e);
}

/* ---- attributes ------------------------------------------------------------------------------------------------------- */

/* What the library refuses: the row is not one that linkfs has written. */
static bool is_refusal(int e)
{
	return e == LINKFS_EINVAL || e == LINKFS_EOPNOTSUPP || e == LINKFS_EPERM || e == LINKFS_EACCES ||
	       e == LINKFS_ERANGE || e == LINKFS_E2BIG || e == LINKFS_ENODATA;
}

static int finish_xattrs(struct lk_recovery *r, struct lk_found *f)
{
	size_t count, kept = 0;
	const struct lk_xattr_row *x = lk_recover_rows_of(&r->rows.xattrs, sizeof(*x), f->ino, &count);
	uint64_t want = f->inode ? (uint64_t)f->inode->inode.xattr_count : 0;
	for (size_t i = 0; i < count; i++) {
		int e = r->fs ? set_xattr(r, f->new_ino, &x[i]) : 0;
		if (e && !is_refusal(e))
			return e;
		f->doubtful |= e == 0 && lk_bad_rank(x[i].rank);
		kept += e == 0;
	}
	r->result.xattrs += kept;
	if (kept >= want)
		return 0;
	r->result.lost_xattrs += want - kept;
	return lk_recovery_simple(r, f, LINKFS_RECOVER_XATTRS_LOST, want - kept);
}

static int finish(struct lk_recovery *r, struct lk_found *f)
{
	int e = r->fs ? set_attributes(r, f, true) : 0;
	if (e == 0)
		e = finish_xattrs(r, f);
	if (e == 0 && r->fs)
		e = set_attributes(r, f, false);
	if (e == 0 && !f->inode) {
		r->result.lost_attributes++;
		e = lk_recovery_simple(r, f, LINKFS_RECOVER_ATTRIBUTES_LOST, 0);
	}
	if (f->inode)
		f->doubtful |= lk_bad_rank(f->inode->rank) || f->inode->rivals;
	for (size_t i = 0; i < f->name_count; i++)
		f->doubtful |= !f->names[i].dropped && f->names[i].doubtful;
	if (e == 0 && f->doubtful) {
		r->result.doubtful++;
		e = lk_recovery_simple(r, f, LINKFS_RECOVER_DOUBTFUL, 0);
	}
	return e ? e : lk_recovery_progress(r);
}

/* ---- directories --------------------------------------------------------------------------------------------------------- */

static int make_lost_found(struct lk_recovery *r)
{
	struct linkfs_make how = {.mode = S_IFDIR | 0700};
	if (r->lost_found_made)
		return 0;
	r->lost_found_made = true;
	if (!r->fs)
		return 0;
	return make_at(r, LINKFS_ROOT_INO, r->lost_found_name, strlen(r->lost_found_name), &how, NULL, &r->lost_found);
}

/* Into lost+found, under its number, or where that name is taken under the number and another. */
static int make_numbered(struct lk_recovery *r, struct lk_found *f, const struct linkfs_make *how,
			 const struct lk_bytes *text)
{
	char name[LK_NUMBER_MAX];
	int e = make_lost_found(r);
	if (e == 0) {
		r->result.nameless++;
		if (!r->fs)
			return 0;
		do {
			lk_found_number(f, name);
			e = make_at(r, r->lost_found, name, strlen(name), how, text, &f->new_ino);
		} while (e == LINKFS_EEXIST && ++f->again < 1000);
	}
	return e;
}

/* Under its first name, or in lost+found. */
static int make_first(struct lk_recovery *r, struct lk_found *f, const struct linkfs_make *how,
		      const struct lk_bytes *text)
{
	const struct lk_name_row *n = lk_found_name(f);
	r->result.names++;
	f->made = true;
	if (!n)
		return make_numbered(r, f, how, text);
	const struct lk_found *dir = lk_recovery_find(r, n->dir);
	return r->fs ? make_at(r, dir->new_ino, n->name, n->len, how, text, &f->new_ino) : 0;
}

/* f and what it hangs below: those that are not made yet are put on a stack first. */
static int make_directory(struct lk_recovery *r, struct lk_found *f)
{
	static const struct linkfs_make how = {.mode = S_IFDIR | 0700};
	struct lk_array stack = {0};
	int e = 0;
	for (; f && !f->made && e == 0; f = f->up) {
		struct lk_found **top = lk_array_add(&stack, sizeof(*top));
		if (top)
			*top = f;
		else
			e = LINKFS_ENOMEM;
	}
	while (stack.len && e == 0) {
		struct lk_found *next = ((struct lk_found **)stack.p)[--stack.len];
		e = make_first(r, next, &how, NULL);
		r->result.directories++;
		if (e == 0 && next->nameless)
			e = lk_recovery_simple(r, next, LINKFS_RECOVER_PLACE_LOST, 0);
	}
	lk_array_done(&stack);
	return e;
}

/* A directory that is called so already serves; another file of that name is passed over. */
static int choose_lost_found(struct lk_recovery *r)
{
	const struct lk_name_row *names = r->rows.names.p;
	for (unsigned i = 0; i < 1000; i++) {
		bool taken = false;
		(void)snprintf(r->lost_found_name, sizeof(r->lost_found_name), i ? "lost+found.%u" : "lost+found", i);
		size_t len = strlen(r->lost_found_name);
		for (size_t n = 0; n < r->rows.names.len && !taken; n++) {
			if (names[n].dropped || names[n].dir != LINKFS_ROOT_INO || names[n].len != len ||
			    memcmp(names[n].name, r->lost_found_name, len) != 0)
				continue;
			struct lk_found *f = lk_recovery_find(r, names[n].ino);
			taken = true;
			if (!f || f->skipped || f->type != S_IFDIR)
				continue;
			int e = make_directory(r, f);
			r->lost_found = f->new_ino;
			r->lost_found_made = true;
			return e;
		}
		if (!taken)
			return 0;
	}
	return LINKFS_EEXIST;
}

/* ---- everything else ------------------------------------------------------------------------------------------------------ */

static int give_up(struct lk_recovery *r, struct lk_found *f)
{
	f->lost = f->skipped = true;
	r->result.lost_files++;
	return lk_recovery_simple(r, f, LINKFS_RECOVER_FILE_LOST, 0);
}

static int make_more_names(struct lk_recovery *r, struct lk_found *f)
{
	const struct lk_name_row *first = lk_found_name(f);
	uint64_t names = first ? 1 : 0, want = f->inode ? (uint64_t)f->inode->inode.nlink : 0;
	int e = 0;
	for (size_t i = 0; i < f->name_count && e == 0; i++) {
		const struct lk_name_row *n = &f->names[i];
		if (n->dropped || n == first)
			continue;
		const struct lk_found *dir = lk_recovery_find(r, n->dir);
		names++;
		r->result.names++;
		if (r->fs)
			e = link_at(r, f->new_ino, dir->new_ino, n->name, n->len);
	}
	if (e == 0 && f->nameless)
		e = lk_recovery_simple(r, f, LINKFS_RECOVER_PLACE_LOST, 0);
	if (e || names >= want)
		return e;
	r->result.lost_names += want - names;
	return lk_recovery_simple(r, f, LINKFS_RECOVER_NAMES_LOST, want - names);
}

/* Other names of a directory, as many as its link count still asks for: one that it had before may lie about as well. What would make it
 * lie in itself, or finds its place taken, is none of them. */
static int make_directory_names(struct lk_recovery *r, struct lk_found *f)
{
	int64_t want = f->inode ? f->inode->inode.nlink - 2 - (int64_t)f->dirs : 0;
	uint64_t lost = 0;
	for (size_t i = 0; i < f->name_count && want > 0; i++) {
		const struct lk_name_row *n = &f->names[i];
		struct lk_found *dir = n->second && !n->doubtful ? lk_recovery_find(r, n->dir) : NULL;
		if (!dir || !dir->made)
			continue;
		int e = r->fs ? link_at(r, f->new_ino, dir->new_ino, n->name, n->len) : 0;
		if (e && e != LINKFS_ELOOP && e != LINKFS_EEXIST)
			return e;
		dir->dirs += e == 0;
		want -= e == 0;
		lost += e != 0;
		r->result.names += e == 0;
	}
	lost = LK_MIN(lost, (uint64_t)LK_MAX(want, (int64_t)0));
	r->result.lost_names += lost;
	return lost ? lk_recovery_simple(r, f, LINKFS_RECOVER_NAMES_LOST, lost) : 0;
}

/* The name that a bind stands at. */
static const struct lk_name_row *entry_of(const struct lk_recovery *r, const struct lk_bind *bind)
{
	const struct lk_name_row *names = r->rows.names.p;
	for (size_t i = 0; i < r->rows.names.len; i++) {
		const struct lk_name_row *n = &names[i];
		if (!n->dropped && n->dir == bind->dir && n->hash == bind->hash && n->ord == bind->ord)
			return n;
	}
	return NULL;
}

static int bind_at(struct lk_recovery *r, uint64_t source, uint64_t dir, const struct lk_name_row *n)
{
	const struct linkfs_cred *cred = lk_cred(NULL);
	struct lk_inode inode;
	struct lk_where where;
	struct lk_op op;
	int e = lk_op_begin(r->fs, &op, lk_op_flags(cred, 0));
	if (e)
		return e;
	e = lk_inode_get(&op, source, &inode);
	if (e == 0)
		e = lk_where_at(&op, cred, dir, n->name, n->len, &where);
	if (e == 0)
		e = lk_bind_again(&op, &inode, &where);
	return lk_op_end(&op, e);
}

/* Last, when all is named as it was. A bind whose entry or source was lost is lost with it, which was told. */
static int make_binds(struct lk_recovery *r)
{
	const struct lk_bind *binds = r->rows.binds.p;
	int e = 0;
	for (size_t i = 0; i < r->rows.binds.len && e == 0 && r->fs; i++) {
		const struct lk_name_row *n = entry_of(r, &binds[i]);
		const struct lk_found *dir = n ? lk_recovery_find(r, n->dir) : NULL;
		const struct lk_found *source = lk_recovery_find(r, binds[i].source);
		if (!dir || !dir->made || !source || source->skipped || !source->new_ino)
			continue;
		e = bind_at(r, source->new_ino, dir->new_ino, n);
		if (e == LINKFS_ENOENT || e == LINKFS_ELOOP || e == LINKFS_EBUSY || e == LINKFS_ENOTDIR ||
		    e == LINKFS_EISDIR)
			e = 0;
	}
	return e;
}

static int make_symlink(struct lk_recovery *r, struct lk_found *f)
{
	size_t count;
	const struct lk_bytes_row *row = lk_recover_rows_of(&r->rows.targets, sizeof(*row), f->ino, &count);
	if (!row)
		return give_up(r, f);
	f->doubtful |= lk_bad_rank(row->rank) || (f->inode && (size_t)f->inode->inode.size != row->bytes.len);
	r->result.symlinks++;
	return make_first(r, f, NULL, &row->bytes);
}

/* D5: what it tracks was made too. Its text is made anew then; else it is the one that was stored last. */
static int make_tracked(struct lk_recovery *r, const struct lk_found *f)
{
	size_t count;
	const struct lk_bytes_row *row = lk_recover_rows_of(&r->rows.targets, sizeof(*row), f->ino, &count);
	const struct lk_found *target = row && row->tracks ? lk_recovery_find(r, row->tracks) : NULL;
	const struct lk_name_row *by = NULL;
	if (!r->fs || !target || !target->made || target->type == S_IFLNK || f->skipped)
		return 0;
	for (size_t i = 0; i < target->name_count && !by; i++) {
		const struct lk_name_row *n = &target->names[i];
		if (!n->dropped && n->dir == row->by_dir && n->hash == row->by_hash && n->ord == row->by_ord)
			by = n;
	}
	const struct lk_found *dir = by ? lk_recovery_find(r, by->dir) : NULL;
	return track_at(r, f->new_ino, target->new_ino, dir ? dir->new_ino : 0, dir ? by : NULL);
}

static int make_special(struct lk_recovery *r, struct lk_found *f)
{
	int64_t rdev = f->inode ? f->inode->inode.rdev : 0;
	struct linkfs_make how = {
		.mode = f->type | 0600, .rdev_major = (uint32_t)((uint64_t)rdev >> 32), .rdev_minor = (uint32_t)rdev};
	r->result.specials++;
	return make_first(r, f, &how, NULL);
}

static int make_regular(struct lk_recovery *r, struct lk_found *f)
{
	static const struct linkfs_make how = {.mode = S_IFREG | 0600};
	uint64_t size = 0;
	int e = make_first(r, f, &how, NULL);
	r->result.files++;
	if (e == 0)
		e = lk_recovery_content(r, f, &size);
	return e == 0 && r->fs ? set_size(r, f->new_ino, size) : e;
}

static int make_file(struct lk_recovery *r, struct lk_found *f)
{
	int e = f->type == S_IFREG ? make_regular(r, f) : f->type == S_IFLNK ? make_symlink(r, f) : make_special(r, f);
	if (e || f->skipped)
		return e;
	e = make_more_names(r, f);
	return e ? e : finish(r, f);
}

/* Files that the volume has counted, and of which not even a number is left. */
static int count_untraced(struct lk_recovery *r)
{
	const struct lk_found *all = r->found.p;
	struct lk_tree *inodes = lk_reader_tree(&r->reader, LK_T_INODE, LK_SHAPE_TABLE);
	int64_t known = 0;
	for (size_t i = 0; i < r->found.len; i++)
		known += !all[i].skipped || all[i].lost || all[i].orphan;
	if (r->rows.inode_count < 0 && !lk_tree_whole(inodes))
		r->result.complete = 0;
	if (r->rows.inode_count <= known)
		return 0;
	r->result.untraced = (uint64_t)(r->rows.inode_count - known);
	return lk_recovery_simple(r, NULL, LINKFS_RECOVER_UNTRACED, r->result.untraced);
}

int lk_recovery_make(struct lk_recovery *r)
{
	struct lk_found *all = r->found.p, *root = lk_recovery_find(r, LINKFS_ROOT_INO);
	root->new_ino = LINKFS_ROOT_INO;
	root->made = true;
	r->result.complete = !r->result.log_damaged; /* later changes may be missing */
	int e = choose_lost_found(r);
	for (size_t i = 0; i < r->found.len && e == 0; i++) {
		if (!all[i].skipped && all[i].type == S_IFDIR)
			e = make_directory(r, &all[i]);
	}
	for (size_t i = 0; i < r->found.len && e == 0; i++) {
		if (all[i].lost)
			e = give_up(r, &all[i]);
		else if (!all[i].skipped && all[i].type != S_IFDIR)
			e = make_file(r, &all[i]);
	}
	for (size_t i = 0; i < r->found.len; i++) {
		if (all[i].up && !all[i].skipped && !all[i].nameless)
			all[i].up->dirs++;
	}
	for (size_t i = 0; i < r->found.len && e == 0; i++) {
		if (!all[i].skipped && all[i].type == S_IFDIR && all[i].ino != LINKFS_ROOT_INO)
			e = make_directory_names(r, &all[i]);
	}
	for (size_t i = 0; i < r->found.len && e == 0; i++) {
		if (!all[i].skipped && all[i].type == S_IFLNK)
			e = make_tracked(r, &all[i]);
	}
	for (size_t i = 0; i < r->found.len && e == 0; i++) {
		if (!all[i].skipped && all[i].type == S_IFDIR)
			e = finish(r, &all[i]);
	}
	if (e == 0)
		e = make_binds(r);
	if (e == 0)
		e = count_untraced(r);
	if (e == 0 && r->result.snapshots)
		e = lk_recovery_simple(r, NULL, LINKFS_RECOVER_SNAPSHOTS_LOST, r->result.snapshots);
	return e;
}
