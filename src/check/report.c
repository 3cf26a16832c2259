/*
 * report.c - findings: their text, their path, and what is told to the caller.
 * Layer: check.
 */
#include "check_impl.h"

#include <stdio.h>
#include <string.h>

#define TELL_NS UINT64_C(50000000)
#define PATH_STEPS 2048u

/* ---- paths ------------------------------------------------------------------------------------------------ */

struct name_row {
	struct lk_buf name;
	int64_t dir;
	bool found;
	int error;
};

static int take_name(void *arg, const void *record)
{
	struct name_row *n = arg;
	const struct lk_dirent *d = record;
	n->dir = d->dir;
	n->found = true;
	n->name.len = 0;
	int r = lk_buf_append(&n->name, d->name.p ? d->name.p : "", d->name.len);
	return r ? r : 1;
}

/* One name of ino, by the reverse index. */
static int name_of(struct lk_check *c, int64_t ino, struct name_row *n)
{
	struct lk_dirent key = {.ino = ino, .name = {"", 0}};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_DIRENT], .index = LK_DIRENT_BY_INO, .equal = 1, .from = &key, .limit = 1};
	n->found = false;
	int r = lk_db_scan(c->db, &scan, take_name, n);
	return r ? r : n->found ? 0 : LINKFS_ENOENT;
}

/* Backwards from the file, each name put before what is there. */
int lk_path_of(struct lk_check *c, int64_t ino, struct lk_buf *out)
{
	char path[LINKFS_PATH_MAX];
	size_t at = sizeof(path) - 1;
	struct name_row n = {0};
	int r = ino > 0 ? 0 : LINKFS_ENOENT;
	path[at] = '\0';
	if (r == 0 && ino == (int64_t)LINKFS_ROOT_INO)
		path[--at] = '/';
	for (unsigned steps = 0; r == 0 && ino != (int64_t)LINKFS_ROOT_INO; steps++) {
		r = name_of(c, ino, &n);
		if (r == 0 && (n.name.len + 1 > at || steps > PATH_STEPS || !lk_name_valid(n.name.p, n.name.len)))
			r = LINKFS_ENOENT;
		if (r)
			break;
		at -= n.name.len;
		memcpy(path + at, n.name.p, n.name.len);
		path[--at] = '/';
		ino = n.dir;
	}
	lk_buf_done(&n.name);
	return r ? r : lk_buf_append(out, path + at, sizeof(path) - at);
}

/* ---- texts -------------------------------------------------------------------------------------------------- */

static int put_text(struct lk_buf *out, const char *text)
{
	return lk_buf_append(out, text, strlen(text));
}

static int put_number(struct lk_buf *out, int64_t value)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	return put_text(out, text);
}

/* Names are bytes: what is not printable ASCII is \ooo, in quotes. */
static int put_name(struct lk_buf *out, const struct lk_bytes *name)
{
	const uint8_t *p = name->p;
	int r = put_text(out, "\"");
	for (size_t i = 0; r == 0 && i < LK_MIN(name->len, (size_t)LINKFS_NAME_MAX); i++) {
		char text[8];
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\')
			(void)snprintf(text, sizeof(text), "%c", p[i]);
		else
			(void)snprintf(text, sizeof(text), "\\%03o", p[i]);
		r = put_text(out, text);
	}
	return r ? r : put_text(out, "\"");
}

static int put_field(struct lk_buf *out, const char *key, size_t len, const struct lk_place *p)
{
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = {{"ino", p->ino},     {"dir", p->dir},   {"block", (int64_t)p->block},
		       {"count", p->count}, {"have", p->have}, {"want", p->want}};
	for (size_t i = 0; i < LK_ARRAY_LEN(numbers); i++) {
		if (strlen(numbers[i].key) == len && memcmp(numbers[i].key, key, len) == 0)
			return put_number(out, numbers[i].value);
	}
	if (len == 4 && memcmp(key, "name", 4) == 0)
		return put_name(out, &p->name);
	return put_text(out, p->what ? p->what : "");
}

static int put_format(struct lk_buf *out, const char *format, const struct lk_place *place)
{
	int r = 0;
	for (const char *p = format; r == 0 && *p;) {
		size_t plain = strcspn(p, "{");
		r = lk_buf_append(out, p, plain);
		p += plain;
		if (r || !*p)
			break;
		size_t len = strcspn(++p, "}");
		r = put_field(out, p, len, place);
		p += len + (p[len] == '}');
	}
	return r ? r : lk_buf_append(out, "", 1);
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

static int tell(struct lk_check *c, enum lk_problem_id id, const struct lk_place *place, bool mending)
{
	struct lk_buf text = {0}, path = {0};
	if (!c->options->finding)
		return 0;
	int r = put_format(&text, lk_problems[id].format, place);
	int found = r ? r : lk_path_of(c, place->ino > 0 ? place->ino : place->dir, &path);
	if (r == 0 && found == LINKFS_ENOMEM)
		r = found;
	struct linkfs_finding finding = {
		.problem = &lk_problems[id],
		.text = (const char *)text.p,
		.path = found ? NULL : (const char *)path.p,
		.ino = place->ino > 0 ? (uint64_t)place->ino : 0,
		.dir = place->dir > 0 ? (uint64_t)place->dir : 0,
		.name = place->name.len ? place->name.p : NULL,
		.name_len = place->name.len,
		.block = place->block,
		.repaired = mending,
	};
	if (r == 0 && c->options->finding(c->options->arg, &finding))
		r = lk_fail(c->why, LINKFS_EINTR, "the check was interrupted");
	lk_buf_done(&text);
	lk_buf_done(&path);
	return r;
}

/* Whether this problem is mended in this run. */
static bool will_mend(const struct lk_check *c, enum lk_problem_id id)
{
	bool data = id == LK_P_DATA_SUM || id == LK_P_DATA_PACKED || id == LK_P_DATA_READ;
	return c->repair && lk_problems[id].repair && (!data || c->drop_data);
}

int lk_found(struct lk_check *c, enum lk_problem_id id, const struct lk_place *place)
{
	bool mending = will_mend(c, id);
	if (mending)
		c->mended++;
	else
		c->left++;
	/* In later rounds what is left was told before. */
	if (c->round > 1 && !mending)
		return 0;
	c->sum->problems++;
	c->sum->repaired += mending;
	int r = tell(c, id, place, mending);
	return r ? r : mending;
}

int lk_progress(struct lk_check *c, uint64_t done)
{
	uint64_t now = lk_clock_monotonic_ns();
	c->progress.done = done;
	if (!c->options->progress || now - c->told_ns < TELL_NS)
		return 0;
	c->told_ns = now;
	if (c->options->progress(c->options->arg, &c->progress))
		return lk_fail(c->why, LINKFS_EINTR, "the check was interrupted");
	return 0;
}

int lk_unreadable(struct lk_check *c, enum lk_table_id table, int r)
{
	if (c->failed || (r != LINKFS_ECORRUPT && r != LINKFS_EIO))
		return r;
	if (lk_is_broken(c, table))
		return 0;
	c->broken |= UINT32_C(1) << table;
	/* What is missing may only be unreadable: nothing is concluded from it. */
	c->repair = false;
	struct lk_place place = {LK_NOWHERE, .what = lk_tables[table].name};
	r = lk_found(c, LK_P_UNREADABLE, &place);
	return r < 0 ? r : 0;
}
