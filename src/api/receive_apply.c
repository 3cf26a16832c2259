/*
 * receive_apply.c - what each record does (receive.h, V1 and V3). Numbers were given by the stream and are believed no further than that
 * there is such an object; every change is one that a program could make.
 * Layer: api.
 */
#include "call.h"

#include <string.h>

#include "receive.h"

#include "binds.h"
#include "file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int lk_receive_number(struct lk_receiving *r, uint64_t ino, uint64_t base)
{
	int rc;

	if (r->objects + 1 >= r->object_cap) {
		size_t cap = r->object_cap ? r->object_cap * 2 : 256;
		struct lk_receive_object *more = reallocarray(r->inos, cap, sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		r->inos = more;
		r->object_cap = cap;
	}
	r->inos[++r->objects] = (struct lk_receive_object){ino, base};
	rc = lk_pairs_set(&r->number_of, ino, r->objects);
	return rc == 0 && base ? lk_pairs_set(&r->number_then, base, r->objects) : rc;
}

static int known(struct lk_receiving *r, uint64_t number, uint64_t *ino_out)
{
	if (number == 0 || number > r->objects)
		return lk_fail(r->why, LINKFS_EINVAL, "the stream has no object %" PRIu64, number);
	*ino_out = r->inos[number].ino;
	return 0;
}

/* Who is not root brings and touches only what is his. */
static int may_touch(struct lk_receiving *r, uint64_t ino)
{
	struct linkfs_stat st;
	int rc;

	if (lk_cred_may_all(r->cred))
		return 0;
	rc = linkfs_node_getattr(r->volume, ino, &st);
	if (rc || st.uid == r->cred->uid)
		return rc;
	return lk_fail(r->why, LINKFS_EPERM, "what it changes belongs to user %u: only root can receive that", st.uid);
}

static int touched(struct lk_receiving *r, uint64_t number, uint64_t *ino_out)
{
	int rc = known(r, number, ino_out);

	return rc ? rc : may_touch(r, *ino_out);
}

static int only_root(struct lk_receiving *r, const char *what)
{
	return lk_cred_may_all(r->cred) ? 0 : lk_fail(r->why, LINKFS_EPERM, "%s: only root can receive that", what);
}

int lk_receive_flush_map(struct lk_receiving *r)
{
	size_t count = r->objects > r->mapped ? r->objects - r->mapped : 0;
	uint8_t *bytes;
	int rc;

	if (count == 0)
		return 0;
	bytes = malloc(count * LK_RECEIVE_MAP_ENTRY);
	if (!bytes)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct lk_receive_object *o = &r->inos[r->mapped + 1 + i];

		lk_put_u64(bytes + i * LK_RECEIVE_MAP_ENTRY, o->ino);
		lk_put_u64(bytes + i * LK_RECEIVE_MAP_ENTRY + 8, o->base);
	}
	/* The root is number 1, and not in it. */
	rc = linkfs_node_write(r->volume, NULL, r->map, (r->mapped - 1) * LK_RECEIVE_MAP_ENTRY, bytes,
			       count * LK_RECEIVE_MAP_ENTRY, 0, NULL, NULL);
	free(bytes);
	if (rc == 0)
		r->mapped = r->objects;
	return rc;
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

/* The number is the next one, or one that the map has from the last time. */
static int check_number(struct lk_receiving *r, uint64_t number, bool *have)
{
	*have = number > 1 && number <= r->objects;
	if (*have || number == r->objects + 1)
		return 0;
	return lk_fail(r->why, LINKFS_EINVAL, "object %" PRIu64 " comes out of turn", number);
}

static int take_old(struct lk_receiving *r, const struct lk_wire *w)
{
	uint64_t dir = 0, ino = 0, base = 0;
	bool have;
	int rc = check_number(r, w->object, &have);

	if (rc || have)
		return rc;
	if (!r->base_bits)
		return lk_fail(r->why, LINKFS_EINVAL, "it names what a base has, and there is none");
	rc = touched(r, w->dir, &dir);
	if (rc == 0)
		rc = lk_receive_find(r->fs, 0, dir, w->name.p, w->name.len, &ino, NULL);
	if (rc == 0 && r->inos[w->dir].base)
		rc = lk_receive_find(r->fs, r->base_bits, r->inos[w->dir].base, w->name.p, w->name.len, &base, NULL);
	if (rc == 0 && (ino == 0 || base == 0 || lk_pairs_get(&r->number_of, ino)))
		rc = lk_fail(r->why, LINKFS_EINVAL, "there is no such entry, or it has a number already");
	if (rc == 0) /* also what it copies from, or only names */
		rc = may_touch(r, ino);
	return rc ? rc : lk_receive_number(r, ino, base);
}

static int stage_name(uint64_t number, char out[24])
{
	return snprintf(out, 24, "%" PRIu64, number);
}

static int make(struct lk_receiving *r, const struct lk_wire *w, const char *name, int len, struct linkfs_stat *st)
{
	const struct linkfs_make how = {
		.mode = (w->mode & S_IFMT) | 0600, .rdev_major = w->rdev_major, .rdev_minor = w->rdev_minor};
	int rc = 0;

	if (w->mode & ~(uint32_t)S_IFMT)
		return LINKFS_EINVAL;
	if (S_ISLNK(w->mode))
		return linkfs_node_symlink(r->volume, r->cred, r->stage, name, (size_t)len, w->data.p, w->data.len, 0,
					   st);
	if (w->mode == 0 || w->data.len)
		return LINKFS_EINVAL;
	if (S_ISBLK(w->mode) || S_ISCHR(w->mode))
		rc = only_root(r, "a device");
	else if (w->rdev_major || w->rdev_minor)
		rc = LINKFS_EINVAL;
	return rc ? rc : linkfs_node_make(r->volume, r->cred, r->stage, name, (size_t)len, &how, 0, st);
}

static int take_new(struct lk_receiving *r, const struct lk_wire *w)
{
	struct linkfs_stat st;
	char name[24];
	uint64_t ino = 0;
	bool have;
	int len, rc = check_number(r, w->object, &have);

	if (rc || have)
		return rc;
	len = stage_name(w->object, name);
	rc = lk_receive_find(r->fs, 0, r->stage, name, (size_t)len, &ino, NULL);
	/* Made, and not in the map yet: nothing was done with it. */
	if (rc == 0 && ino)
		return lk_receive_number(r, ino, 0);
	if (rc == 0)
		rc = make(r, w, name, len, &st);
	return rc ? rc : lk_receive_number(r, st.ino, 0);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* Whether the object waits in the stage. */
static int is_staged(struct lk_receiving *r, uint64_t number, uint64_t ino, bool *out)
{
	char name[24];
	uint64_t there = 0;
	int rc = lk_receive_find(r->fs, 0, r->stage, name, (size_t)stage_name(number, name), &there, NULL);

	*out = rc == 0 && there == ino;
	return rc;
}

/* The directory and the object that the entry is about, and what stands there now. */
static int look(struct lk_receiving *r, const struct lk_wire *w, uint64_t *dir, uint64_t *ino, uint64_t *there,
		uint64_t *bound)
{
	int rc = touched(r, w->dir, dir);

	if (rc == 0)
		rc = touched(r, w->object, ino);
	if (rc == 0)
		rc = lk_receive_flush_map(r);
	return rc ? rc : lk_receive_find(r->fs, 0, *dir, w->name.p, w->name.len, there, bound);
}

static int take_del(struct lk_receiving *r, const struct lk_wire *w)
{
	struct linkfs_stat st;
	uint64_t dir = 0, ino = 0, there = 0;
	char name[24];
	int len, rc = known(r, w->dir, &dir);

	/* A directory that was removed since: this is done again. */
	if (rc == 0 && linkfs_node_getattr(r->volume, dir, &st) == LINKFS_ESTALE)
		return 0;
	if (rc == 0)
		rc = known(r, w->object, &ino);
	if (rc == 0 && linkfs_node_getattr(r->volume, ino, &st) == LINKFS_ESTALE)
		return 0;
	if (rc == 0)
		rc = look(r, w, &dir, &ino, &there, NULL);
	if (rc || there != ino)
		return rc;
	if (w->flags & LK_WIRE_PARK) {
		len = stage_name(w->object, name);
		return linkfs_node_rename(r->volume, NULL, dir, w->name.p, w->name.len, r->stage, name, (size_t)len,
					  LINKFS_RENAME_NOREPLACE);
	}
	rc = linkfs_node_getattr(r->volume, ino, &st);
	if (rc)
		return rc;
	return S_ISDIR(st.mode) ? linkfs_node_rmdir(r->volume, NULL, dir, w->name.p, w->name.len)
				: linkfs_node_unlink(r->volume, NULL, dir, w->name.p, w->name.len);
}

static int take_add(struct lk_receiving *r, const struct lk_wire *w)
{
	struct linkfs_stat st;
	uint64_t dir = 0, ino = 0, there = 0;
	char name[24];
	bool staged = false;
	int len, rc = look(r, w, &dir, &ino, &there, NULL);

	if (rc || there == ino)
		return rc;
	if (there)
		return lk_fail(r->why, LINKFS_EEXIST, "there is something of that name, which others made meanwhile");
	rc = is_staged(r, w->object, ino, &staged);
	if (rc)
		return rc;
	if (staged) {
		len = stage_name(w->object, name);
		return linkfs_node_rename(r->volume, NULL, r->stage, name, (size_t)len, dir, w->name.p, w->name.len,
					  LINKFS_RENAME_NOREPLACE);
	}
	rc = linkfs_node_getattr(r->volume, ino, &st);
	if (rc)
		return rc;
	return S_ISDIR(st.mode) ? linkfs_node_link_directory(r->volume, NULL, ino, dir, w->name.p, w->name.len)
				: linkfs_node_link(r->volume, NULL, ino, dir, w->name.p, w->name.len, 0, NULL);
}

static int take_rmdir(struct lk_receiving *r, const struct lk_wire *w)
{
	uint64_t ino = 0;
	char name[24];
	bool staged = false;
	int rc = known(r, w->object, &ino);

	if (rc == 0)
		rc = is_staged(r, w->object, ino, &staged);
	if (rc || !staged)
		return rc;
	return linkfs_node_rmdir(r->volume, NULL, r->stage, name, (size_t)stage_name(w->object, name));
}

/* ---- binds ------------------------------------------------------------------------------------------------------ */

struct bound {
	uint64_t dir;
	char name[LINKFS_NAME_MAX];
	size_t len;
};

static int bind_row(void *arg, const void *record)
{
	*(struct lk_bind *)arg = *(const struct lk_bind *)record;
	return 1;
}

/* Any of those there are. */
static int any_bind(struct lk_fs *fs, struct bound *out)
{
	struct lk_bind bind = {.source = 0};
	struct lk_dirent d;
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_bind_scan(&op, 0, NULL, 1, bind_row, &bind);
	rc = rc < 0 ? rc : bind.source ? 0 : LINKFS_ENOENT;
	if (rc == 0) {
		d = (struct lk_dirent){.dir = bind.dir, .hash = bind.hash, .ord = bind.ord};
		rc = lk_txn_get(&op, LK_T_DIRENT, &d, &d);
		rc = rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
	}
	if (rc == 0) {
		out->dir = (uint64_t)d.dir;
		out->len = LK_MIN(d.name.len, sizeof(out->name));
		memcpy(out->name, d.name.p, out->len);
	}
	return lk_op_end(&op, rc);
}

int lk_receive_unbind_all(struct linkfs_volume *volume)
{
	struct bound b = {0};
	int rc;

	do {
		rc = any_bind(lk_volume_fs(volume), &b);
		if (rc == 0)
			rc = linkfs_node_unbind(volume, NULL, b.dir, b.name, b.len);
	} while (rc == 0);
	return rc == LINKFS_ENOENT ? 0 : rc;
}

static int take_bind(struct lk_receiving *r, const struct lk_wire *w)
{
	uint64_t dir = 0, ino = 0, there = 0, bound = 0;
	int rc = look(r, w, &dir, &ino, &there, &bound);

	if (rc || bound == ino)
		return rc;
	return lk_receive_bind(r->fs, ino, dir, w->name.p, w->name.len);
}

/* ---- content ---------------------------------------------------------------------------------------------------- */

static int take_size(struct lk_receiving *r, const struct lk_wire *w, uint64_t ino)
{
	const struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = w->length};

	return linkfs_node_setattr(r->volume, NULL, ino, &change, NULL);
}

static int take_clone(struct lk_receiving *r, const struct lk_wire *w, uint64_t ino)
{
	uint64_t from = 0, done = 0;
	int rc = touched(r, w->other, &from);

	if (rc == 0 && ((w->flags & ~LK_WIRE_BASE) || ((w->flags & LK_WIRE_BASE) && !r->base_bits)))
		rc = LINKFS_EINVAL;
	if (rc == 0 && w->flags & LK_WIRE_BASE) {
		from = r->inos[w->other].base | r->base_bits;
		rc = r->inos[w->other].base ? may_touch(r, from) : LINKFS_EINVAL;
	}
	while (rc == 0 && done < w->length) {
		uint64_t part = 0;
		bool shared = false;

		rc = lk_file_share_tail(r->fs, from, w->other_offset + done, ino, w->offset + done, w->length - done,
					&shared);
		if (rc || shared)
			break;

		part = w->length - done > LK_BLOCK_SIZE ? (w->length - done) / LK_BLOCK_SIZE * LK_BLOCK_SIZE
							: w->length - done;
		rc = linkfs_node_copy_range(r->volume, NULL, from, w->other_offset + done, ino, w->offset + done, part,
					    &part);
		if (rc == 0 && part == 0)
			rc = lk_fail(r->why, LINKFS_EINVAL, "the file that it copies from is too short");
		done += part;
	}
	return rc;
}

static int take_content(struct lk_receiving *r, const struct lk_wire *w)
{
	struct linkfs_stat st;
	uint64_t ino = 0;
	int rc = touched(r, w->object, &ino);

	if (rc == 0)
		rc = linkfs_node_getattr(r->volume, ino, &st);
	if (rc == 0 && !S_ISREG(st.mode))
		rc = lk_fail(r->why, LINKFS_EINVAL, "it is content of what is no regular file");
	if (rc)
		return rc;
	switch (w->type) {
	case LK_WIRE_SIZE:
		return st.size == w->length ? 0 : take_size(r, w, ino);
	case LK_WIRE_DATA:
		return linkfs_node_write(r->volume, NULL, ino, w->offset, w->data.p, w->data.len, 0, NULL, NULL);
	case LK_WIRE_HOLE:
		return linkfs_node_allocate(r->volume, NULL, ino, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE,
					    w->offset, w->length);
	default:
		return take_clone(r, w, ino);
	}
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

bool lk_receive_is_users(const char *name)
{
	return strncmp(name, "trusted.", 8) != 0 && strncmp(name, "security.", 9) != 0;
}

static int take_xattr(struct lk_receiving *r, const struct lk_wire *w)
{
	char name[LINKFS_XATTR_NAME_MAX + 1];
	uint64_t ino = 0;
	int rc = touched(r, w->object, &ino);

	memcpy(name, w->name.p, w->name.len);
	name[w->name.len] = 0;
	if (rc == 0 && !lk_receive_is_users(name))
		rc = only_root(r, name);
	if (rc)
		return rc;
	if (w->type == LK_WIRE_XDEL)
		return lk_receive_xattr(r->fs, ino, name, NULL, 0);
	return lk_receive_xattr(r->fs, ino, name, w->data.len ? w->data.p : "", w->data.len);
}

static bool in_group(const struct linkfs_cred *cred, uint32_t gid)
{
	for (uint32_t i = 0; i < cred->ngroups; i++)
		if (cred->groups[i] == gid)
			return true;
	return gid == cred->gid;
}

static int take_attr(struct lk_receiving *r, const struct lk_wire *w)
{
	struct lk_received_attributes a = {w->mode,     w->uid,      w->gid,      w->flags,
					   w->atime_ns, w->mtime_ns, w->btime_ns, false};
	struct linkfs_stat st;
	uint64_t ino = 0;
	int rc = known(r, w->object, &ino);

	if (rc == 0 && !lk_cred_may_all(r->cred)) {
		rc = linkfs_node_getattr(r->volume, ino, &st);
		if (rc == 0 && (w->uid != r->cred->uid || st.uid != r->cred->uid ||
				(!in_group(r->cred, w->gid) && (w->gid != st.gid || (w->mode & S_ISGID)))))
			rc = lk_fail(r->why, LINKFS_EPERM,
				     "what it brings belongs to user %u, group %u: only root can receive that", w->uid,
				     w->gid);
	}
	/* The root is as old as its volume, but in a copy of the whole. */
	a.made = rc == 0 && r->inos[w->object].base == 0;
	return rc ? rc : lk_receive_attributes(r->fs, ino, &a);
}

static int take_text(struct lk_receiving *r, const struct lk_wire *w)
{
	uint64_t ino = 0;
	int rc = touched(r, w->object, &ino);

	return rc ? rc : lk_receive_text(r->fs, ino, w->data.p, w->data.len);
}

static int take_track(struct lk_receiving *r, const struct lk_wire *w)
{
	uint64_t ino = 0, target = 0, dir = 0;
	int rc = touched(r, w->object, &ino);

	if (rc == 0)
		rc = known(r, w->other, &target);
	if (rc == 0 && w->dir)
		rc = known(r, w->dir, &dir);
	return rc ? rc : lk_receive_track(r->fs, ino, target, dir, w->name.p, w->name.len);
}

static int take_gone(struct lk_receiving *r, const struct lk_wire *w)
{
	uint64_t ino = 0, dir = 0;
	int rc = touched(r, w->object, &ino);

	if (rc == 0 && w->dir)
		rc = known(r, w->dir, &dir);
	return rc ? rc : lk_receive_gone(r->fs, ino, w->data, dir, w->rest);
}

static int take_property(struct lk_receiving *r, const struct lk_wire *w)
{
	char key[LINKFS_NAME_MAX + 1], value[512];

	memcpy(key, w->name.p, w->name.len);
	key[w->name.len] = 0;
	if (w->data.len)
		memcpy(value, w->data.p, w->data.len);
	value[w->data.len] = 0;
	return linkfs_volume_set_property(r->volume, r->cred, key, value, r->why);
}

int lk_receive_apply(struct lk_receiving *r, const struct lk_wire *w)
{
	switch (w->type) {
	case LK_WIRE_OLD:
		return take_old(r, w);
	case LK_WIRE_NEW:
		return take_new(r, w);
	case LK_WIRE_UNBIND:
		return lk_receive_unbind_all(r->volume);
	case LK_WIRE_DEL:
		return take_del(r, w);
	case LK_WIRE_ADD:
		return take_add(r, w);
	case LK_WIRE_RMDIR:
		return take_rmdir(r, w);
	case LK_WIRE_BIND:
		return take_bind(r, w);
	case LK_WIRE_SIZE:
	case LK_WIRE_DATA:
	case LK_WIRE_HOLE:
	case LK_WIRE_CLONE:
		return take_content(r, w);
	case LK_WIRE_TEXT:
		return take_text(r, w);
	case LK_WIRE_TRACK:
		return take_track(r, w);
	case LK_WIRE_GONE:
		return take_gone(r, w);
	case LK_WIRE_XSET:
	case LK_WIRE_XDEL:
		return take_xattr(r, w);
	case LK_WIRE_ATTR:
		return take_attr(r, w);
	case LK_WIRE_PROPERTY:
		return take_property(r, w);
	default:
		return LINKFS_EINVAL;
	}
}
