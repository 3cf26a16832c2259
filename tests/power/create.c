/*
 * create.c - power cuts while a volume is made: what is left opens as a new volume, or is refused with a sentence that
 * says what it is; once the call has returned it opens.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>

struct half {
	struct run *run;
	const char *dir;
	char *tree; /* of a new volume */
	uint64_t opened, refused;
	char refusals[8][200];
	unsigned refusal_count;
};

/* Each kind of refusal once, for who reads the log. */
static void note(struct half *h, int error, const char *text)
{
	char line[200];
	const char *rest = strstr(text, h->dir);
	(void)snprintf(line, sizeof(line), "%s: %.*s...%s", linkfs_error_name(error),
		       rest ? (int)LK_MIN(rest - text, (ptrdiff_t)80) : 80, text, rest ? rest + strlen(h->dir) : "");
	for (unsigned i = 0; i < h->refusal_count; i++) {
		if (strcmp(h->refusals[i], line) == 0)
			return;
	}
	if (h->refusal_count < LK_ARRAY_LEN(h->refusals))
		memcpy(h->refusals[h->refusal_count++], line, sizeof(line));
}

static void is_new_volume(struct half *h, struct linkfs_volume *volume, size_t event, unsigned variant)
{
	struct lk_buf text = {0};
	struct linkfs_message why = {""};
	if (tree_of_volume(volume, &text, &why))
		fail_msg("event %zu variant %u: opened, and then: %s", event, variant, why.text);
	assert_string_equal((char *)text.p, h->tree);
	lk_buf_done(&text);
}

static void judge_half(struct half *h, const struct image *image, bool made, size_t event, unsigned variant)
{
	struct linkfs_volume *volume = NULL;
	struct linkfs_message why = {""};
	struct linkfs_create_options options = {.label = "again"};
	image_store(image, h->dir);
	quiet_begin(h->dir);
	int r = linkfs_volume_open(h->dir, NULL, &volume, &why);
	if (r == 0) {
		is_new_volume(h, volume, event, variant);
		h->opened++;
	} else {
		if (made)
			fail_msg("event %zu variant %u: made, and then: %s: %s", event, variant, linkfs_error_name(r),
				 why.text);
		if (r != LINKFS_ENOTVOLUME && r != LINKFS_ECORRUPT && r != LINKFS_ESCHEMA)
			fail_msg("event %zu variant %u: %s", event, variant, linkfs_error_name(r));
		if (!strstr(why.text, "make it again") && !strstr(why.text, "`linkfs create"))
			fail_msg("event %zu variant %u: no sentence: %s", event, variant, why.text);
		note(h, r, why.text);
		h->refused++;
		/* Making it again works where nothing stands, and says what stands where something does. */
		why.text[0] = 0;
		r = linkfs_volume_create(h->dir, &options, &why);
		if (r == 0)
			r = linkfs_volume_open(h->dir, NULL, &volume, &why);
		if (r && (r != LINKFS_EEXIST || !why.text[0]))
			fail_msg("event %zu variant %u: made again: %s: %s", event, variant, linkfs_error_name(r),
				 why.text);
	}
	if (volume)
		assert_int_equal(linkfs_volume_close(volume), 0);
	quiet_end();
}

void run_create(struct run *run, unsigned draws)
{
	struct recording r;
	struct image nothing = {0}, image = {0};
	struct model *m = model_new();
	struct lk_buf text = {0};
	char *path = NULL, *dir = NULL;
	if (asprintf(&path, "%s/new", run->top) < 0 || asprintf(&dir, "%s/half", run->top) < 0)
		abort();
	model_text(m, &text);
	struct half h = {.run = run, .dir = dir, .tree = (char *)text.p};
	record_begin(&r, path);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	record_mark(&r, EV_ACK, 0);
	record_end(&r);
	assert_string_equal(r.trouble, "");
	struct disk *d = disk_new(&nothing);
	bool made = false;
	for (size_t i = 0; i < r.count; i++) {
		disk_play(d, &r, i);
		made |= r.events[i].kind == EV_ACK;
		unsigned variants = disk_pending(d) ? 2 + draws : 1;
		for (unsigned variant = 0; variant < variants; variant++) {
			disk_cut(d, &r, variant, run->seed * 1000003 + i * 1009 + variant, &image);
			judge_half(&h, &image, made, i, variant);
			run->states++;
		}
	}
	printf("# create: %llu open, %llu are refused\n", (unsigned long long)h.opened, (unsigned long long)h.refused);
	for (unsigned i = 0; i < h.refusal_count; i++)
		printf("#   %s\n", h.refusals[i]);
	fflush(stdout);
	assert_true(made && h.opened > 0);
	disk_free(d);
	record_free(&r);
	image_free(&image);
	lk_buf_done(&text);
	model_free(m);
	free(path);
	free(dir);
}
