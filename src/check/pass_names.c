/*
 * pass_names.c - directory entries: names, hashes, types, the inodes and directories they name; names and subdirectories are counted.
 * Layer: check. What a mend moves or renames is done after the table was read, so that nothing is read twice.
 */
#include "check_impl.h"

#include <stdio.h>
#include <string.h>

/* LATER_JUDGE: its inode was not there, and may have been made since, as a directory that has entries. */
enum later_kind { LATER_JUDGE, LATER_RENAME, LATER_REHASH, LATER_ERASE };

struct later {
	enum later_kind kind;
	struct lk_dirent row; /* name.p is an offset */
};

struct names {
	struct lk_check *c;
	struct lk_buf later, bytes; /* struct later, and names */
	struct lk_buf bucket;       /* names of the bucket at hand: ino (8), length (1), bytes */
	int64_t bucket_dir, bucket_hash;
	int64_t missing_dir; /* told already */
};

static int put_off(struct names *n, enum later_kind kind, const struct lk_dirent *d)
{
	struct later l = {kind, *d};
	l.row.name.p = (const void *)(uintptr_t)n->bytes.len;
	int r = lk_buf_append(&n->bytes, d->name.p, d->name.len);
	return r ? r : lk_buf_append(&n->later, &l, sizeof(l));
}

static struct lk_place place_of(const struct lk_dirent *d)
{
	return (struct lk_place){LK_NOWHERE, .ino = d->ino, .dir = d->dir, .name = d->name};
}

/* ---- the directory ------------------------------------------------------------------------------------------------- */

static int make_directory(struct lk_check *c, int64_t ino, int64_t mode)
{
	int64_t now = lk_clock_now_ns();
	struct lk_inode i = {.ino = ino,
			     .mode = S_IFDIR | mode,
			     .nlink = 2,
			     .atime_ns = now,
			     .mtime_ns = now,
			     .ctime_ns = now,
			     .btime_ns = now,
			     .born = c->epoch};
	struct lk_seen_inode s = {.ino = ino, .nlink = 2, .parent = LK_NO_PARENT, .type = S_IFDIR};
	int r = lk_mend_new_inode(c, &i);
	return r ? r : lk_seen_add(c, &s);
}

/* The directory of an entry; *out NULL: the entry goes, or cannot be judged further. */
static int judge_dir(struct names *n, const struct lk_dirent *d, struct lk_seen_inode **out)
{
	struct lk_check *c = n->c;
	struct lk_place place = place_of(d);
	struct lk_seen_inode *dir = lk_seen_find(c, d->dir);
	int r = 0;
	*out = NULL;
	if (!dir) {
		place.ino = 0;
		if (n->missing_dir != d->dir)
			r = lk_found(c, LK_P_DIRENT_NO_DIR, &place);
		n->missing_dir = d->dir;
		if (r > 0)
			r = make_directory(c, d->dir, 0700);
		if (r == 0)
			dir = lk_seen_find(c, d->dir);
	} else if (dir->type != S_IFDIR) {
		r = lk_found(c, LK_P_DIRENT_NOT_DIR, &place);
		if (r > 0)
			r = put_off(n, LATER_ERASE, d);
		dir = NULL;
	}
	*out = dir;
	return r;
}

/* ---- the name ------------------------------------------------------------------------------------------------------ */

/* 1: it will be dealt with later. */
static int judge_name(struct names *n, const struct lk_dirent *d)
{
	struct lk_check *c = n->c;
	struct lk_place place = place_of(d);
	enum later_kind kind = LATER_RENAME;
	int r = 0;
	if (!lk_dirent_valid(d)) {
		place.what = d->ino < 1 || d->ino > LK_INO_MAX ? "its inode's number" : "its place";
		r = lk_found(c, LK_P_DIRENT_FIELD, &place);
		kind = LATER_ERASE;
	} else if (!lk_name_valid(d->name.p, d->name.len)) {
		r = lk_found(c, LK_P_DIRENT_NAME, &place);
	} else if (lk_name_hash(c->secret, d->name.p, d->name.len) != d->hash) {
		r = lk_found(c, LK_P_DIRENT_HASH, &place);
		kind = LATER_REHASH;
	} else {
		return 0;
	}
	if (r > 0)
		r = put_off(n, kind, d);
	return r ? r : 1;
}

/* Whether the bucket has the name already; adds it. */
static int judge_bucket(struct names *n, const struct lk_dirent *d)
{
	if (d->dir != n->bucket_dir || d->hash != n->bucket_hash) {
		n->bucket.len = 0;
		n->bucket_dir = d->dir;
		n->bucket_hash = d->hash;
	}
	for (size_t at = 0; at < n->bucket.len;) {
		int64_t ino;
		memcpy(&ino, n->bucket.p + at, 8);
		size_t len = n->bucket.p[at + 8];
		if (len == d->name.len && memcmp(n->bucket.p + at + 9, d->name.p, len) == 0) {
			struct lk_place place = place_of(d);
			int r = lk_found(n->c, LK_P_DIRENT_DUPLICATE, &place);
			if (r > 0)
				r = put_off(n, ino == d->ino ? LATER_ERASE : LATER_RENAME, d);
			return r ? r : 1;
		}
		at += 9 + len;
	}
	uint8_t len = (uint8_t)d->name.len;
	int r = lk_buf_append(&n->bucket, &d->ino, 8);
	if (r == 0)
		r = lk_buf_append(&n->bucket, &len, 1);
	return r ? r : lk_buf_append(&n->bucket, d->name.p, d->name.len);
}

/* ---- the inode ------------------------------------------------------------------------------------------------------ */

/* Counts a name that stays. */
static int count(struct lk_check *c, struct lk_seen_inode *dir, struct lk_seen_inode *inode)
{
	dir->entries = 1;
	inode->names++;
	if (inode->type != S_IFDIR)
		return 0;
	dir->children++;
	if (inode->names == 1) {
		inode->parent = lk_seen_position(c, dir);
		return 0;
	}
	c->dir_names++;
	return lk_way_add(c, dir->ino, inode->ino, NULL);
}

static int judge_type(struct lk_check *c, const struct lk_dirent *d, const struct lk_seen_inode *inode)
{
	if (d->type == inode->type >> 12)
		return 0;
	struct lk_place place = place_of(d);
	place.have = d->type;
	place.want = inode->type >> 12;
	int r = lk_found(c, LK_P_DIRENT_TYPE, &place);
	if (r <= 0)
		return r;
	struct lk_dirent row = *d;
	row.type = place.want;
	r = lk_mend_put(c, LK_T_DIRENT, &row);
	return r ? r : lk_mend_point(c);
}

static int judge_inode(struct names *n, const struct lk_dirent *d, struct lk_seen_inode *dir)
{
	struct lk_check *c = n->c;
	struct lk_seen_inode *inode = lk_seen_find(c, d->ino);
	if (!inode)
		return put_off(n, LATER_JUDGE, d);
	if (d->ino == (int64_t)LINKFS_ROOT_INO) {
		struct lk_place place = place_of(d);
		int r = lk_found(c, LK_P_DIRENT_ROOT, &place);
		return r > 0 ? put_off(n, LATER_ERASE, d) : r;
	}
	int r = judge_type(c, d, inode);
	return r ? r : count(c, dir, inode);
}

static int one_entry(struct names *n, const struct lk_dirent *d)
{
	struct lk_seen_inode *dir;
	int r = judge_name(n, d);
	if (r == 0)
		r = judge_dir(n, d, &dir);
	if (r || !dir)
		return r < 0 ? r : 0;
	r = judge_bucket(n, d);
	if (r)
		return r < 0 ? r : 0;
	return judge_inode(n, d, dir);
}

/* ---- afterwards ------------------------------------------------------------------------------------------------------- */

/* An entry that lost its inode stays in the history of the newest snapshot when that has the inode. */
static int erase_orphaned(struct lk_check *c, const struct lk_dirent *d)
{
	bool name = c->newest && lk_name_valid(d->name.p, d->name.len) && lk_dirent_valid(d) &&
		    lk_name_hash(c->secret, d->name.p, d->name.len) == d->hash;
	int then = name ? lk_seen_at_snapshot(c, d->ino, c->newest) : 0;
	if (then < 0)
		return lk_unreadable(c, LK_T_INODE, then);
	return then ? lk_mend_remove(c, LK_T_DIRENT, d) : lk_mend_erase(c, LK_T_DIRENT, d);
}

/* Of an entry whose inode was not there. */
static int judge_again(struct lk_check *c, const struct lk_dirent *d)
{
	struct lk_seen_inode *dir = lk_seen_find(c, d->dir), *inode = lk_seen_find(c, d->ino);
	if (inode && dir) {
		int r = judge_type(c, d, inode);
		return r ? r : count(c, dir, inode);
	}
	struct lk_place place = place_of(d);
	int r = lk_found(c, LK_P_DIRENT_NO_INODE, &place);
	return r > 0 ? erase_orphaned(c, d) : r;
}

static int settle(struct lk_check *c, const struct later *l, const uint8_t *bytes)
{
	struct lk_dirent d = l->row;
	char made[LINKFS_NAME_MAX + 1];
	d.name.p = bytes + (uintptr_t)d.name.p;
	if (l->kind == LATER_JUDGE)
		return judge_again(c, &d);
	/* What is wrong now was wrong at the snapshot. */
	int r = lk_mend_erase(c, LK_T_DIRENT, &d);
	struct lk_seen_inode *dir = lk_seen_find(c, d.dir), *inode = lk_seen_find(c, d.ino);
	bool keep = l->kind != LATER_ERASE && dir && inode && dir->type == S_IFDIR && d.ino != (int64_t)LINKFS_ROOT_INO;
	if (r || !keep)
		return r;
	if (l->kind == LATER_RENAME) {
		/* As much of the name as is one. */
		size_t n = 0;
		for (size_t i = 0; i < d.name.len && n < 200; i++) {
			char ch = ((const char *)d.name.p)[i];
			made[n++] = (char)(ch == '/' || ch == 0 ? '_' : ch);
		}
		int len = snprintf(made + n, sizeof(made) - n, "#%lld", (long long)d.ino);
		d.name = (struct lk_bytes){made, n + (size_t)LK_MAX(len, 0)};
	}
	return lk_name_add(c, d.dir, d.name.p, d.name.len, d.ino, inode->type);
}

static int settle_all(struct names *n)
{
	const struct later *all = (const void *)n->later.p;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n->later.len / sizeof(*all); i++) {
		r = settle(n->c, &all[i], n->bytes.p);
		if (r == 0)
			r = lk_mend_point(n->c);
	}
	return r;
}

/* The root must be there before anything is counted in it. */
static int check_root(struct lk_check *c)
{
	const struct lk_seen_inode *root = lk_seen_find(c, LINKFS_ROOT_INO);
	if (root && root->type == S_IFDIR)
		return 0;
	int r = lk_found(c, LK_P_ROOT_MISSING, &(struct lk_place){LK_NOWHERE, .ino = (int64_t)LINKFS_ROOT_INO});
	return r > 0 ? make_directory(c, LINKFS_ROOT_INO, 0755) : r;
}

int lk_pass_names(struct lk_check *c)
{
	struct names n = {.c = c};
	struct lk_rows rows;
	const void *record;
	if (!c->have_secret || lk_is_broken(c, LK_T_INODE))
		return 0;
	int r = check_root(c);
	c->ways.len = 0;
	c->dir_names = 0;
	lk_rows_init(&rows, c->db, LK_T_DIRENT, LK_BY_KEY);
	while (r == 0 && (r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = one_entry(&n, record);
		if (r == 0)
			r = lk_progress(c, rows.seen);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	if (r)
		r = lk_unreadable(c, LK_T_DIRENT, r);
	lk_rows_done(&rows);
	if (r == 0)
		r = settle_all(&n);
	lk_buf_done(&n.later);
	lk_buf_done(&n.bytes);
	lk_buf_done(&n.bucket);
	return r;
}
