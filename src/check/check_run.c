/*
 * check_run.c - a check: the passes in their order, and with repair in rounds until one finds nothing to mend (check.h).
 * Layer: check.
 */
#include "check_impl.h"

#include "blocks.h"
#include "pack.h"

#include <string.h>

#define ROUNDS_MAX 8u

/* What later ones rely on comes first; rows before counts. */
static const struct {
	const char *name;
	int (*run)(struct lk_check *c);
} passes[] = {
	{"database", lk_pass_engine},   {"super", lk_pass_super},          {"files", lk_pass_files},
	{"history", lk_pass_history},   {"snapshots", lk_pass_past},       {"index", lk_pass_index},
	{"names", lk_pass_names},       {"orphans", lk_pass_orphans},      {"tree", lk_pass_tree},
	{"binds", lk_pass_links},       {"tracked links", lk_pass_tracks}, {"symlinks", lk_pass_targets},
	{"moves", lk_pass_moved},       {"backups", lk_pass_copied},       {"blocks", lk_pass_blocks},
	{"counters", lk_pass_counters},
};

static int one_pass(struct lk_check *c, size_t i, const char *name, int (*run)(struct lk_check *c))
{
	c->progress = (struct linkfs_check_progress){
		.pass = name, .number = (uint32_t)i + 1, .of = (uint32_t)LK_ARRAY_LEN(passes) + 1};
	c->told_ns = 0;
	int r = lk_progress(c, 0);
	if (r == 0)
		r = run(c);
	return r ? r : lk_mend_end(c);
}

static int one_round(struct lk_check *c)
{
	int r = 0;
	c->mended = c->left = 0;
	c->broken = 0;
	c->lost_found = 0;
	for (size_t i = 0; r == 0 && i < LK_ARRAY_LEN(passes); i++)
		r = one_pass(c, i, passes[i].name, passes[i].run);
	return r;
}

static int run_rounds(struct lk_check *c)
{
	struct linkfs_check_summary *sum = c->sum;
	uint64_t data_left = 0, records = 0;
	int r = 0;
	for (c->round = 1; r == 0; c->round++) {
		r = one_round(c);
		if (c->round == 1)
			records = sum->records;
		if (r == 0 && c->round == 1 && c->job->metadata_done)
			c->job->metadata_done(c->job->arg);
		uint64_t before = c->left;
		if (r == 0)
			r = one_pass(c, LK_ARRAY_LEN(passes), "data", lk_pass_data);
		data_left += c->left - before;
		if (r || !c->mended || c->round == ROUNDS_MAX)
			break;
	}
	sum->records = records;
	sum->rounds = c->round;
	/* After rounds without end what was mended last is not known to be whole. */
	sum->left = (c->round == 1 ? c->left : c->left + data_left) + (c->round == ROUNDS_MAX ? c->mended : 0);
	return r;
}

int lk_check_run(const struct lk_check_job *job, struct linkfs_check_summary *out, struct linkfs_message *why)
{
	struct lk_check c = {.db = job->db,
			     .data = job->data,
			     .job = job,
			     .options = job->options,
			     .sum = out,
			     .why = why,
			     .repair = job->options->flags & LINKFS_CHECK_REPAIR,
			     .drop_data = job->options->flags & LINKFS_CHECK_DROP_DATA};
	if (why)
		why->text[0] = '\0';
	memset(out, 0, sizeof(*out));
	int r = lk_pack_new(&c.pack);
	if (r == 0)
		r = run_rounds(&c);
	if (r)
		lk_mend_abandon(&c);
	lk_pack_free(c.pack);
	lk_blocks_free(c.blocks);
	lk_buf_done(&c.inodes);
	lk_buf_done(&c.olds);
	lk_buf_done(&c.ways);
	lk_buf_done(&c.snapshots);
	if (r && why && !why->text[0])
		(void)lk_fail(why, r, "the check of %s could not go on: %s", job->dir, linkfs_strerror(r));
	return r;
}

int lk_check_unopenable(const struct linkfs_check_options *options, const char *what, struct linkfs_check_summary *out)
{
	struct linkfs_finding finding = {
		.problem = &lk_problems[LK_P_UNOPENABLE], .text = what, .block = LINKFS_NO_BLOCK};
	memset(out, 0, sizeof(*out));
	out->problems = out->left = 1;
	out->rounds = 1;
	return options->finding && options->finding(options->arg, &finding) ? LINKFS_EINTR : 0;
}
