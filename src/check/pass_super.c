/*
 * pass_super.c - the super record, the counters and the snapshots: what the other passes rely on.
 * Layer: check.
 */
#include "check_impl.h"

#include "fs.h"
#include "property.h"
#include "tags.h"

#include <stdio.h>
#include <string.h>

#define NUMBER_MAX (INT64_C(1) << 60)

/* ---- super ---------------------------------------------------------------------------------------------------- */

/* The lines "key=value" of a text of properties that are such. */
static int good_properties(const struct lk_bytes *text, struct lk_buf *out)
{
	const uint8_t *p = text->p, *end = p + text->len;
	int r = 0;
	while (r == 0 && p < end && text->len <= LK_PROPERTIES_MAX) {
		const uint8_t *stop = memchr(p, '\n', (size_t)(end - p));
		const uint8_t *equals = stop ? memchr(p, '=', (size_t)(stop - p)) : NULL;
		bool good = equals && equals > p && !memchr(p, 0, (size_t)(stop - p));
		if (good) {
			r = lk_property_line_check((struct lk_bytes){p, (size_t)(equals - p)},
						   (struct lk_bytes){equals + 1, (size_t)(stop - equals) - 1});
			good = r == 0;
			r = r == LINKFS_EINVAL ? 0 : r;
		}
		if (!stop)
			break;
		if (good)
			r = lk_buf_append(out, p, (size_t)(stop - p) + 1);
		p = stop + 1;
	}
	return r;
}

/* What is out of range is set as in a new volume; uuids of a wrong length are drawn anew. */
static int judge_super(struct lk_check *c, struct lk_super *s, uint8_t uuid[16], struct lk_buf *properties)
{
	bool change = false;
	int r = s->uuid.len == 16 ? 0 : lk_random(uuid, 16);
	if (r == 0)
		r = good_properties(&s->properties, properties);
	const struct {
		const char *what;
		bool wrong;
	} faults[] = {
		{"uuid", s->uuid.len != 16},
		{"label", s->label.len > 255 || (s->label.len && memchr(s->label.p, 0, s->label.len))},
		{"block size", s->block_size != LK_BLOCK_SIZE},
		{"limit", s->limit_blocks < 0 || s->limit_blocks > LK_DISK_BLOCK_MAX},
		{"key slots", s->key_slots.len != 0},
		{"properties", properties->len != s->properties.len},
	};
	for (size_t i = 0; r >= 0 && i < LK_ARRAY_LEN(faults); i++) {
		struct lk_place place = {LK_NOWHERE, .what = faults[i].what};
		if (!faults[i].wrong)
			continue;
		r = lk_found(c, LK_P_SUPER_FIELD, &place);
		change |= r > 0;
	}
	if (r < 0 || !change)
		return r < 0 ? r : 0;
	if (faults[0].wrong)
		s->uuid = (struct lk_bytes){uuid, 16};
	if (faults[1].wrong)
		s->label = (struct lk_bytes){"", 0};
	if (faults[3].wrong)
		s->limit_blocks = 0;
	s->properties = (struct lk_bytes){properties->p, properties->len};
	s->block_size = LK_BLOCK_SIZE;
	s->key_slots = (struct lk_bytes){"", 0};
	return lk_mend_put(c, LK_T_SUPER, s);
}

/* What a later version keeps is not judged, and not changed, by this one (V4). */
static int check_features(struct lk_check *c, const struct lk_super *s)
{
	uint64_t unknown = (uint64_t)s->features_incompat & ~LK_FEATURES_INCOMPAT;
	if (c->options->flags & LINKFS_CHECK_REPAIR)
		unknown |= (uint64_t)s->features_ro_compat & ~LK_FEATURES_RO_COMPAT;
	return unknown ? lk_fail(c->why, LINKFS_ENEWER,
				 "%s uses features (0x%llx) that this linkfs does not know: use a newer one",
				 c->job->dir, (unsigned long long)unknown)
		       : 0;
}

static int check_super(struct lk_check *c)
{
	struct lk_super s = {.id = 1};
	struct lk_buf bytes = {0}, properties = {0};
	uint8_t uuid[16] = {0};
	c->have_secret = false;
	int r = lk_get(c, LK_T_SUPER, &s, &s, &bytes);
	if (r == LINKFS_ENOENT) {
		/* Nothing can be said of names without the secret, so nothing is changed. */
		c->repair = false;
		r = lk_found(c, LK_P_SUPER_MISSING, &(struct lk_place){LK_NOWHERE});
	} else if (r) {
		r = lk_unreadable(c, LK_T_SUPER, r);
	} else {
		c->sum->records++;
		if (s.name_secret.len != sizeof(c->secret)) {
			struct lk_place place = {LK_NOWHERE, .have = (int64_t)s.name_secret.len, .want = 192};
			c->repair = false;
			r = lk_found(c, LK_P_SUPER_SECRET, &place);
		} else {
			memcpy(c->secret, s.name_secret.p, sizeof(c->secret));
			c->have_secret = true;
		}
		if (r >= 0)
			r = check_features(c, &s);
		c->packed_known = s.features_incompat & (int64_t)LK_FEATURE_PACKED;
		if (r >= 0)
			r = judge_super(c, &s, uuid, &properties);
		c->limit_blocks = s.limit_blocks > 0 ? (uint64_t)s.limit_blocks : 0;
	}
	lk_buf_done(&bytes);
	lk_buf_done(&properties);
	return r < 0 ? r : 0;
}

/* ---- snapshots -------------------------------------------------------------------------------------------------- */

static bool snapshot_name_valid(const struct lk_bytes *name)
{
	return lk_name_valid(name->p, name->len);
}

/* Snapshots are few: each is compared with those before. */
static bool name_used(const struct lk_buf *names, const struct lk_bytes *name)
{
	for (size_t at = 0; at < names->len;) {
		size_t len = names->p[at];
		if (len == name->len && memcmp(names->p + at + 1, name->p, len) == 0)
			return true;
		at += len + 1;
	}
	return false;
}

static int judge_snapshot(struct lk_check *c, struct lk_snapshot *s, struct lk_buf *names)
{
	char made[40];
	struct lk_buf tags = {0};
	bool change = false;
	int r = 0;
	struct lk_place place = {LK_NOWHERE, .have = s->epoch};
	if (s->deleting < 0 || s->deleting > 1 || s->next_ino < 2 || s->next_ino > LK_INO_MAX + 1) {
		place.what = s->deleting < 0 || s->deleting > 1 ? "its mark of deletion" : "its next inode number";
		r = lk_found(c, LK_P_SNAPSHOT_FIELD, &place);
		if (r > 0) {
			change = true;
			s->deleting = s->deleting == 1;
			s->next_ino = LK_MAX(s->next_ino, 2);
			s->next_ino = LK_MIN(s->next_ino, LK_INO_MAX + 1);
		}
	}
	if (r >= 0 && !s->deleting && (!snapshot_name_valid(&s->name) || name_used(names, &s->name))) {
		r = lk_found(c, LK_P_SNAPSHOT_NAME, &place);
		if (r > 0) {
			change = true;
			int len = snprintf(made, sizeof(made), "snapshot-%lld", (long long)s->epoch);
			s->name = (struct lk_bytes){made, (size_t)len};
		}
	}
	if (r >= 0 && !lk_tags_valid(s->tags)) {
		r = lk_found(c, LK_P_SNAPSHOT_TAGS, &place);
		if (r > 0) {
			change = true;
			r = lk_tags_mend(s->tags, &tags);
			s->tags = (struct lk_bytes){tags.len ? (const void *)tags.p : "", tags.len};
		}
	}
	if (r >= 0 && change)
		r = lk_mend_put(c, LK_T_SNAPSHOT, s);
	lk_buf_done(&tags);
	if (r >= 0 && !s->deleting && s->name.len <= LINKFS_NAME_MAX) {
		uint8_t len = (uint8_t)s->name.len;
		r = lk_buf_append(names, &len, 1);
		if (r == 0 && len)
			r = lk_buf_append(names, s->name.p, len);
	}
	s->name = s->tags = (struct lk_bytes){"", 0};
	return r < 0 ? r : 0;
}

/* An epoch out of range sees no row: the record goes. */
static int take_snapshot(struct lk_check *c, struct lk_snapshot *s, struct lk_buf *names)
{
	struct lk_seen_snapshot seen = {s->epoch, s->deleting != 0};
	if (s->epoch < 1 || s->epoch > NUMBER_MAX) {
		struct lk_place place = {LK_NOWHERE, .have = s->epoch, .what = "its epoch"};
		int r = lk_found(c, LK_P_SNAPSHOT_FIELD, &place);
		return r > 0 ? lk_mend_erase(c, LK_T_SNAPSHOT, s) : r;
	}
	int r = judge_snapshot(c, s, names);
	if (!seen.deleting)
		c->newest = s->epoch;
	return r ? r : lk_buf_append(&c->snapshots, &seen, sizeof(seen));
}

static int check_snapshots(struct lk_check *c)
{
	struct lk_rows rows;
	struct lk_buf names = {0};
	const void *record;
	c->snapshots.len = 0;
	c->newest = 0;
	lk_rows_init(&rows, c->db, LK_T_SNAPSHOT, LK_BY_KEY);
	int r;
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		struct lk_snapshot s = *(const struct lk_snapshot *)record;
		r = take_snapshot(c, &s, &names);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	lk_buf_done(&names);
	return r ? lk_unreadable(c, LK_T_SNAPSHOT, r) : 0;
}

/* ---- counters ----------------------------------------------------------------------------------------------------- */

static const char *const counter_names[] = {"",
					    "next inode number",
					    "epoch",
					    "inodes",
					    "kept deleted files",
					    "data blocks",
					    "blocks of kept deleted files",
					    "second names of directories",
					    "binds"};
#define COUNTERS LK_ARRAY_LEN(counter_names)

struct counters {
	int64_t value[COUNTERS];
	bool there[COUNTERS];
};

static int put_counter(struct lk_check *c, int64_t id, int64_t value)
{
	struct lk_counter row = {id, value};
	return lk_mend_put(c, LK_T_COUNTER, &row);
}

static int take_counter(struct lk_check *c, struct counters *all, const struct lk_counter *row)
{
	bool known = row->id > 0 && row->id < (int64_t)COUNTERS;
	bool least = row->id == LK_COUNTER_NEXT_INO || row->id == LK_COUNTER_EPOCH;
	int64_t max = row->id == LK_COUNTER_NEXT_INO ? LK_INO_MAX + 1 : NUMBER_MAX;
	if (known && row->value >= least && row->value <= max) {
		all->there[row->id] = true;
		all->value[row->id] = row->value;
		return 0;
	}
	struct lk_place place = {LK_NOWHERE, .have = row->value, .what = known ? counter_names[row->id] : "unknown"};
	int r = lk_found(c, LK_P_COUNTER_FIELD, &place);
	/* A known one is missing then, quietly. */
	return r > 0 ? lk_mend_erase(c, LK_T_COUNTER, row) : r;
}

/* The largest epoch that a row claims to be of, as far as it is to be believed: of inodes, which every change touches. */
static int largest_born(struct lk_check *c, int64_t *out)
{
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, LK_T_INODE, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		const struct lk_inode *i = record;
		if (i->born > *out && i->born < NUMBER_MAX)
			*out = i->born;
		lk_rows_next(&rows);
	}
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, LK_T_INODE, r) : 0;
}

/* A counter that others start from: made again when it is missing. Counts are made in pass_counters.c. */
static int need_epoch(struct lk_check *c, const struct counters *all)
{
	const struct lk_seen_snapshot *s = (const void *)c->snapshots.p;
	int64_t newest = 0;
	for (size_t i = 0; i < c->snapshots.len / sizeof(*s); i++)
		newest = LK_MAX(newest, s[i].epoch);
	c->epoch = all->value[LK_COUNTER_EPOCH];
	int r;
	if (!all->there[LK_COUNTER_EPOCH]) {
		int64_t born = 1;
		r = largest_born(c, &born);
		c->epoch = LK_MAX(born, newest + 1);
		struct lk_place place = {LK_NOWHERE, .what = counter_names[LK_COUNTER_EPOCH]};
		if (r == 0)
			r = lk_found(c, LK_P_COUNTER_MISSING, &place);
	} else if (c->epoch <= newest) {
		struct lk_place place = {LK_NOWHERE, .have = c->epoch, .want = newest};
		c->epoch = newest + 1;
		r = lk_found(c, LK_P_COUNTER_EPOCH, &place);
	} else {
		return 0;
	}
	return r > 0 ? put_counter(c, LK_COUNTER_EPOCH, c->epoch) : r;
}

static int check_counters(struct lk_check *c)
{
	struct counters all = {0};
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, LK_T_COUNTER, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = take_counter(c, &all, record);
		if (r < 0)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	if (r)
		return lk_unreadable(c, LK_T_COUNTER, r);
	c->next_ino = all.there[LK_COUNTER_NEXT_INO] ? all.value[LK_COUNTER_NEXT_INO] : 0;
	c->counted_inodes = all.there[LK_COUNTER_INODES] ? all.value[LK_COUNTER_INODES] : -1;
	c->counted_kept = all.there[LK_COUNTER_KEPT] ? all.value[LK_COUNTER_KEPT] : -1;
	c->counted_kept_blocks = all.there[LK_COUNTER_KEPT_BLOCKS] ? all.value[LK_COUNTER_KEPT_BLOCKS] : -1;
	c->counted_dir_names = all.there[LK_COUNTER_DIR_NAMES] ? all.value[LK_COUNTER_DIR_NAMES] : -1;
	c->counted_binds = all.there[LK_COUNTER_BINDS] ? all.value[LK_COUNTER_BINDS] : -1;
	return need_epoch(c, &all);
}

int lk_pass_super(struct lk_check *c)
{
	int r = check_super(c);
	if (r == 0)
		r = check_snapshots(c);
	return r ? r : check_counters(c);
}

/* ---- at the end --------------------------------------------------------------------------------------------------- */

static int set_counter(struct lk_check *c, enum lk_problem_id id, int64_t counter, int64_t have, int64_t want)
{
	struct lk_place place = {LK_NOWHERE, .have = have, .want = want, .what = counter_names[counter]};
	int r = lk_found(c, id, &place);
	if (r > 0)
		r = put_counter(c, counter, counter == LK_COUNTER_NEXT_INO ? want + 1 : want);
	return r;
}

/* What was met in the passes before decides. A record that is missing is told there. */
static int check_packed(struct lk_check *c)
{
	struct lk_super s = {.id = 1};
	struct lk_buf bytes = {0};
	if (!c->packed || c->packed_known || lk_is_broken(c, LK_T_SUPER))
		return 0;
	int r = lk_get(c, LK_T_SUPER, &s, &s, &bytes);
	if (r == 0)
		r = lk_found(c, LK_P_SUPER_FEATURE, &(struct lk_place){LK_NOWHERE});
	if (r > 0) {
		s.features_incompat |= (int64_t)LK_FEATURE_PACKED;
		r = lk_mend_put(c, LK_T_SUPER, &s);
	}
	lk_buf_done(&bytes);
	return r == LINKFS_ENOENT ? 0 : r;
}

int lk_pass_counters(struct lk_check *c)
{
	int r = check_packed(c);
	if (r < 0)
		return r;
	if (lk_is_broken(c, LK_T_COUNTER) || lk_is_broken(c, LK_T_INODE) || lk_is_broken(c, LK_T_INODE_OLD))
		return 0;
	int64_t count = (int64_t)lk_seen_count(c), largest = LK_MAX(c->largest_ino, (int64_t)LINKFS_ROOT_INO);
	r = 0;
	if (c->next_ino == 0)
		r = set_counter(c, LK_P_COUNTER_MISSING, LK_COUNTER_NEXT_INO, 0, largest);
	else if (c->next_ino <= largest)
		r = set_counter(c, LK_P_COUNTER_NEXT_INO, LK_COUNTER_NEXT_INO, c->next_ino, largest);
	const struct {
		enum lk_problem_id id;
		int64_t counter, have, want;
	} counts[] = {
		{LK_P_COUNTER_INODES, LK_COUNTER_INODES, c->counted_inodes, count},
		{LK_P_COUNTER_KEPT, LK_COUNTER_KEPT, c->counted_kept, c->kept},
		{LK_P_COUNTER_KEPT, LK_COUNTER_KEPT_BLOCKS, c->counted_kept_blocks, c->kept_blocks},
		{LK_P_COUNTER_LINKS, LK_COUNTER_DIR_NAMES, c->counted_dir_names, c->dir_names},
		{LK_P_COUNTER_LINKS, LK_COUNTER_BINDS, c->counted_binds, c->binds},
	};
	bool links = c->have_secret && !lk_is_broken(c, LK_T_DIRENT) && !lk_is_broken(c, LK_T_BIND);
	for (size_t i = 0; r >= 0 && i < LK_ARRAY_LEN(counts); i++) {
		if (counts[i].id == LK_P_COUNTER_LINKS && !links)
			continue;
		if (counts[i].have < 0)
			r = set_counter(c, LK_P_COUNTER_MISSING, counts[i].counter, 0, counts[i].want);
		else if (counts[i].have != counts[i].want)
			r = set_counter(c, counts[i].id, counts[i].counter, counts[i].have, counts[i].want);
	}
	return r < 0 ? r : 0;
}
