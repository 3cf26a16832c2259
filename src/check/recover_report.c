/*
 * recover_report.c - what a recovery tells: problems with the path the file has in the new volume, and progress.
 * Layer: check.
 */
#include "recover_impl.h"

#include <stdio.h>
#include <string.h>

#define PATH_LONGEST 65536u /* a longer one begins with dots */

/* Puts text before what is in the buffer. */
static int prepend(struct lk_buf *buf, const char *text, size_t len)
{
	int e = lk_buf_reserve(buf, len);
	if (e)
		return e;
	if (buf->len)
		memmove(buf->p + len, buf->p, buf->len);
	memcpy(buf->p, text, len);
	buf->len += len;
	return 0;
}

static int prepend_name(struct lk_buf *buf, const char *name, size_t len)
{
	int e = prepend(buf, name, len);
	return e ? e : prepend(buf, "/", 1);
}

void lk_found_number(const struct lk_found *f, char out[LK_NUMBER_MAX])
{
	int n = snprintf(out, LK_NUMBER_MAX, "#%lld", (long long)f->ino);
	if (f->again)
		(void)snprintf(out + n, (size_t)(LK_NUMBER_MAX - n), ".%u", (unsigned)f->again);
}

/* From the file upwards; a file in lost+found is there by its number. */
static int make_path(struct lk_recovery *r, const struct lk_found *f)
{
	char number[LK_NUMBER_MAX];
	int e = 0;
	r->path.len = 0;
	if (f->ino == LINKFS_ROOT_INO)
		return lk_buf_append(&r->path, "/", 1);
	while (f && f->ino != LINKFS_ROOT_INO && e == 0) {
		const struct lk_name_row *n = lk_found_name(f);
		if (!n) {
			lk_found_number(f, number);
			e = prepend_name(&r->path, number, strlen(number));
			return e ? e : prepend_name(&r->path, r->lost_found_name, strlen(r->lost_found_name));
		}
		e = prepend_name(&r->path, n->name, n->len);
		if (e == 0 && r->path.len > PATH_LONGEST)
			return prepend(&r->path, "...", 3);
		f = lk_recovery_find(r, n->dir);
	}
	return e;
}

int lk_recovery_report(struct lk_recovery *r, const struct lk_found *f, struct linkfs_recover_problem *problem)
{
	int e = 0;
	r->path.len = 0;
	problem->ino = f ? (uint64_t)f->ino : 0;
	/* What is not made has a path only by its name. */
	if (f && (!f->skipped || lk_found_name(f)))
		e = make_path(r, f);
	if (e == 0)
		e = lk_buf_append(&r->path, "", 1);
	if (e)
		return e;
	problem->path = (const char *)r->path.p;
	problem->path_len = r->path.len - 1;
	r->result.complete = 0;
	if (r->options.problem)
		r->options.problem(r->options.arg, problem);
	return 0;
}

int lk_recovery_simple(struct lk_recovery *r, const struct lk_found *f, enum linkfs_recover_what what, uint64_t count)
{
	struct linkfs_recover_problem problem = {.what = what, .count = count};
	return lk_recovery_report(r, f, &problem);
}

int lk_recovery_progress(struct lk_recovery *r)
{
	r->done++;
	if (!r->options.progress)
		return 0;
	return r->options.progress(r->options.arg, LINKFS_RECOVER_FILES, r->done, r->total) ? LINKFS_EINTR : 0;
}
