/*
 * checked.c - see checked.h.
 */
#include "checked.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

struct told {
	char text[4096];
	size_t len;
};

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	struct told *t = arg;
	if (t->len < sizeof(t->text) - 1) {
		int n = snprintf(t->text + t->len, sizeof(t->text) - t->len, "\n%s: %s", f->problem->id, f->text);
		t->len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

void lk_test_clean(const char *path, uint32_t flags)
{
	struct told told = {.len = 0};
	struct linkfs_check_options options = {.flags = flags, .finding = on_finding, .arg = &told};
	struct linkfs_check_summary sum;
	struct linkfs_message why = {""};
	int r = linkfs_check(path, &options, &sum, &why);
	if (r)
		fail_msg("check of %s: %s: %s", path, linkfs_error_name(r), why.text);
	if (sum.problems || sum.left)
		fail_msg("%s has %llu problems:%s", path, (unsigned long long)sum.problems, told.text);
}
