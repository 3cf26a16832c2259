/*
 * fs.c - makes, opens and closes the file system in a volume's directory.
 * Layer: core. The directory itself, its lock file and who owns it are api/'s business.
 */
#include "fs.h"

#include "chunk.h"
#include "deleted.h"
#include "extent.h"
#include "inode.h"
#include "inode_cache.h"
#include "moment.h"
#include "name_cache.h"
#include "node.h"
#include "orphan.h"
#include "pack.h"
#include "property.h"
#include "snapshot.h"
#include "track.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION TEXT(LINKFS_VERSION_MAJOR) "." TEXT(LINKFS_VERSION_MINOR) "." TEXT(LINKFS_VERSION_PATCH)

static int put_counter(struct lk_db *db, int64_t id, int64_t value)
{
	struct lk_counter c = {.id = id, .value = value};
	return lk_db_insert(db, &lk_tables[LK_T_COUNTER], &c);
}

static int put_root(struct lk_db *db, const struct linkfs_create_options *o, int64_t now_ns)
{
	uint32_t mode = o->root_mode ? o->root_mode & 07777 : 0755;
	struct lk_inode root = {.ino = LINKFS_ROOT_INO,
				.mode = (int64_t)(S_IFDIR | mode),
				.uid = o->root_uid,
				.gid = o->root_gid,
				.nlink = 2,
				.atime_ns = now_ns,
				.mtime_ns = now_ns,
				.ctime_ns = now_ns,
				.btime_ns = now_ns,
				.born = 1};
	return lk_db_insert(db, &lk_tables[LK_T_INODE], &root);
}

static int put_super(struct lk_db *db, const struct linkfs_create_options *o, struct lk_bytes properties,
		     int64_t now_ns)
{
	uint8_t uuid[16], secret[192];
	int r = lk_random(uuid, sizeof(uuid));
	if (r == 0)
		r = lk_random(secret, sizeof(secret));
	if (r)
		return r;
	/* RFC 9562, version 4. */
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	struct lk_super super = {
		.id = 1,
		.uuid = {uuid, sizeof(uuid)},
		.name_secret = {secret, sizeof(secret)},
		.label = {o->label, o->label ? strlen(o->label) : 0},
		.block_size = LK_BLOCK_SIZE,
		.created_ns = now_ns,
		.limit_blocks = (int64_t)(o->limit_bytes / LK_BLOCK_SIZE),
		.properties = properties,
	};
	return lk_db_insert(db, &lk_tables[LK_T_SUPER], &super);
}

/* "key=value" words as a text of properties. */
static int make_properties(const struct linkfs_create_options *o, struct lk_buf *out, struct linkfs_message *why)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < o->property_count; i++) {
		const char *word = o->properties[i], *equals = strchr(word, '=');
		struct lk_buf next = {0};
		char key[64];
		if (!equals || (size_t)(equals - word) >= sizeof(key))
			return lk_fail(why, LINKFS_EINVAL, "'%.64s' is not KEY=VALUE", word);
		memcpy(key, word, (size_t)(equals - word));
		key[equals - word] = 0;
		r = lk_property_put((struct lk_bytes){out->p, out->len}, key, equals + 1, &next, why);
		lk_buf_done(out);
		*out = next;
	}
	return r;
}

int lk_fs_create(const char *dir, const struct linkfs_create_options *options, struct linkfs_message *why)
{
	struct linkfs_create_options o = options ? *options : (struct linkfs_create_options){0};
	if (o.label && strlen(o.label) > 255)
		return lk_fail(why, LINKFS_EINVAL, "the label is longer than 255 bytes");
	if (o.limit_bytes && o.limit_bytes / LK_BLOCK_SIZE > (uint64_t)LK_DISK_BLOCK_MAX)
		return lk_fail(why, LINKFS_EINVAL, "the size limit is larger than a volume can be");
	if (o.limit_bytes && o.limit_bytes < LK_BLOCK_SIZE)
		return lk_fail(why, LINKFS_EINVAL, "the size limit is below one block of %u bytes", LK_BLOCK_SIZE);
	struct lk_buf properties = {0};
	struct lk_db *db;
	int r = make_properties(&o, &properties, why);
	if (r == 0)
		r = lk_db_open_sqlite(dir, LK_DB_CREATE, &db, why);
	if (r) {
		lk_buf_done(&properties);
		return r;
	}
	int64_t now_ns = lk_clock_now_ns();
	r = db->ops->begin(db);
	if (r == 0)
		r = put_super(db, &o, (struct lk_bytes){properties.p, properties.len}, now_ns);
	if (r == 0)
		r = put_root(db, &o, now_ns);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_NEXT_INO, LINKFS_ROOT_INO + 1);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_EPOCH, 1);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_INODES, 1);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_KEPT, 0);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_KEPT_BLOCKS, 0);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_DATA_BLOCKS, 0);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_DIR_NAMES, 0);
	if (r == 0)
		r = put_counter(db, LK_COUNTER_BINDS, 0);
	if (r == 0)
		r = db->ops->commit(db);
	if (r == 0)
		r = db->ops->checkpoint(db, true);
	lk_db_close(db);
	lk_buf_done(&properties);
	return r ? lk_fail(why, r, "cannot write the new volume in %s: %s", dir, linkfs_strerror(r)) : 0;
}

static int take_super(struct lk_fs *fs, const struct lk_super *s, struct linkfs_message *why)
{
	if (s->uuid.len != sizeof(fs->uuid) || s->name_secret.len != sizeof(fs->name_secret) ||
	    s->label.len >= sizeof(fs->label) || s->limit_blocks < 0 || s->limit_blocks > LK_DISK_BLOCK_MAX)
		return lk_fail(why, LINKFS_ECORRUPT, "the super record of %s is damaged; run `linkfs check %s`",
			       fs->path, fs->path);
	if (s->block_size != LK_BLOCK_SIZE)
		return lk_fail(why, LINKFS_ENEWER, "%s has blocks of %lld bytes, this linkfs (%s) knows %u", fs->path,
			       (long long)s->block_size, VERSION, LK_BLOCK_SIZE);
	uint64_t unknown = (uint64_t)s->features_incompat & ~LK_FEATURES_INCOMPAT;
	if (unknown)
		return lk_fail(
			why, LINKFS_ENEWER,
			"%s uses features (0x%llx) that this linkfs (%s) does not know; open it with a newer one",
			fs->path, (unsigned long long)unknown, VERSION);
	unknown = (uint64_t)s->features_ro_compat & ~LK_FEATURES_RO_COMPAT;
	if (unknown && !(fs->open_flags & LINKFS_OPEN_READONLY))
		return lk_fail(
			why, LINKFS_ENEWER,
			"%s uses features (0x%llx) with which this linkfs (%s) can only read it; open it read-only, "
			"or with a newer one",
			fs->path, (unsigned long long)unknown, VERSION);
	int r = lk_property_take(fs, s->properties);
	if (r)
		return lk_fail(why, r, "the properties of %s are damaged; run `linkfs check %s`", fs->path, fs->path);
	memcpy(fs->uuid, s->uuid.p, sizeof(fs->uuid));
	memcpy(fs->name_secret, s->name_secret.p, sizeof(fs->name_secret));
	if (s->label.len)
		memcpy(fs->label, s->label.p, s->label.len);
	fs->created_ns = s->created_ns;
	fs->limit_blocks = (uint64_t)s->limit_blocks;
	fs->features_compat = (uint64_t)s->features_compat;
	fs->features_ro_compat = (uint64_t)s->features_ro_compat;
	fs->features_incompat = (uint64_t)s->features_incompat;
	return 0;
}

static int read_super(struct lk_fs *fs, struct linkfs_message *why)
{
	struct lk_super s = {.id = 1};
	struct lk_buf bytes = {0};
	int r = lk_db_get(fs->db, &lk_tables[LK_T_SUPER], &s, &s, &bytes);
	if (r == LINKFS_ENOENT)
		r = lk_fail(why, LINKFS_ECORRUPT,
			    "%s has no super record; if it was just being made, remove it and make it again", fs->path);
	else if (r)
		r = lk_fail(why, r, "cannot read the super record of %s: %s", fs->path, linkfs_strerror(r));
	else
		r = take_super(fs, &s, why);
	lk_buf_done(&bytes);
	return r;
}

static void fs_free(struct lk_fs *fs)
{
	lk_inode_cache_free(fs->inodes);
	lk_name_cache_free(fs->names);
	lk_places_free(fs->places);
	lk_views_free(fs->views);
	lk_chunks_free(fs->chunks);
	lk_pack_free(fs->pack);
	lk_node_table_free(fs->nodes);
	if (fs->alloc)
		lk_alloc_close(fs->alloc);
	if (fs->data)
		lk_data_close(fs->data);
	lk_db_close(fs->db);
	(void)pthread_mutex_destroy(&fs->lock);
	lk_buf_done(&fs->properties);
	free(fs->path);
	free(fs);
}

static int start(struct lk_fs *fs, struct linkfs_message *why)
{
	bool moment = fs->open_flags & LK_FS_MOMENT;
	int r = read_super(fs, why);
	if (r == 0 && !moment)
		r = lk_data_open(fs->path, fs->open_flags & LINKFS_OPEN_READONLY, &fs->data, why);
	if (r)
		return r;
	if (!moment)
		r = lk_alloc_open(fs->db, fs->data, fs->limit_blocks, &fs->alloc);
	if (r == 0)
		r = lk_node_table_new(&fs->nodes);
	if (r == 0)
		r = lk_inode_cache_new(!(fs->open_flags & LINKFS_OPEN_READONLY), &fs->inodes);
	if (r == 0)
		r = lk_name_cache_new(&fs->names);
	if (r == 0)
		r = lk_places_new(&fs->places);
	if (r == 0)
		r = lk_views_new(&fs->views);
	if (r == 0)
		r = lk_pack_new(&fs->pack);
	if (r == 0)
		r = lk_chunks_new(&fs->chunks);
	if (r == 0)
		r = lk_txn_start(fs);
	if (r == 0) {
		lk_extent_start(fs);
		lk_symlink_start(fs);
	}
	if (r == LINKFS_ECORRUPT)
		return lk_fail(why, r, "the counters or block groups of %s are damaged; run `linkfs check %s`",
			       fs->path, fs->path);
	return r ? lk_fail(why, r, "cannot open %s: %s", fs->path, linkfs_strerror(r)) : 0;
}

int lk_fs_open_on(struct lk_db *db, const char *dir, uint32_t open_flags, uint32_t commit_interval_ms,
		  struct lk_fs **out, struct linkfs_message *why)
{
	struct lk_fs *fs = calloc(1, sizeof(*fs));
	if (!fs || pthread_mutex_init(&fs->lock, NULL)) {
		free(fs);
		lk_db_close(db);
		return lk_fail(why, LINKFS_ENOMEM, "out of memory");
	}
	fs->db = db;
	fs->path = strdup(dir);
	fs->open_flags = open_flags;
	fs->commit_interval_ms = commit_interval_ms ? commit_interval_ms : 5000;
	int r = fs->path ? start(fs, why) : lk_fail(why, LINKFS_ENOMEM, "out of memory");
	if (r == 0 && !(open_flags & LINKFS_OPEN_READONLY)) {
		r = lk_orphan_recover(fs);
		if (r == 0)
			r = lk_snapshot_recover(fs);
		if (r)
			(void)lk_fail(why, r, "cannot finish in %s what a crash left: %s; run `linkfs check %s`", dir,
				      linkfs_strerror(r), dir);
	}
	if (r) {
		(void)lk_txn_stop(fs);
		fs_free(fs);
		return r;
	}
	if (!(open_flags & LINKFS_OPEN_READONLY))
		lk_deleted_recover(fs);
	*out = fs;
	return 0;
}

int lk_fs_open(const char *dir, uint32_t open_flags, uint32_t commit_interval_ms, struct lk_fs **out,
	       struct linkfs_message *why)
{
	struct lk_db *db;
	int r = lk_db_open_sqlite(dir, open_flags & LINKFS_OPEN_READONLY ? LK_DB_READONLY : 0, &db, why);
	return r ? r : lk_fs_open_on(db, dir, open_flags, commit_interval_ms, out, why);
}

int lk_fs_close(struct lk_fs *fs)
{
	if (!fs)
		return 0;
	/* Holds do not survive us: what only they kept goes now, so that a closed volume is clean. */
	if (!(fs->open_flags & LINKFS_OPEN_READONLY) && !atomic_load(&fs->poisoned)) {
		struct lk_node_table *empty;
		if (lk_node_table_new(&empty) == 0) {
			lk_node_table_free(fs->nodes);
			fs->nodes = empty;
			(void)lk_orphan_recover(fs);
		}
	}
	int r = lk_txn_stop(fs);
	fs_free(fs);
	return r;
}
