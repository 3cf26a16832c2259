/*
 * dedupe_prove.c - files that look alike are compared, several groups of them at one time; see dedupe.h.
 */
#include "dedupe.h"
#include "parallel.h"
#include <stdatomic.h>
#include <stdlib.h>

struct prove {
	struct dedupe_set *set;
	const struct dedupe_rules *rules;
	bool dry;
	const size_t *groups; /* where each begins, and the end */
	atomic_bool stop;
	atomic_uint_fast64_t bytes;
};

/* f beside the file that is kept. Says whether it has its answer now. */
static bool compare(const struct prove *p, const struct dedupe_file *kept, struct dedupe_file *f)
{
	const struct dedupe_set *set = p->set;
	bool may = true;
	f->error = p->rules ? dedupe_may_join(set, p->rules, kept, f, &may) : 0;
	if (!f->error && !may)
		return false;
	if (!f->error)
		f->error = linkfs_node_dedupe(set->volume, &set->cli->cred, kept->st.ino, f->st.ino,
					      p->dry ? LINKFS_DEDUPE_LOOK : 0, &f->what);
	f->equal = !f->error && f->what.equal;
	return f->error || f->equal;
}

static void prove_group(void *arg, size_t i)
{
	struct prove *p = arg;
	struct dedupe_file *files = p->set->files;
	for (size_t k = p->groups[i]; k < p->groups[i + 1]; k++) {
		if (files[k].done)
			continue;
		files[k].with = k;
		files[k].done = true;
		for (size_t n = k + 1; n < p->groups[i + 1]; n++) {
			if (files[n].done || files[n].fixed)
				continue;
			if (atomic_load(&p->stop))
				return;
			files[n].done = compare(p, &files[k], &files[n]);
			files[n].with = k;
			if (files[n].done)
				atomic_fetch_add(&p->bytes, files[n].st.size);
		}
	}
}

/* From the command's own thread. */
static bool look(void *arg)
{
	struct prove *p = arg;
	struct dedupe_set *set = p->set;
	if (cli_cancelled(set->cli))
		atomic_store(&p->stop, true);
	if (cli_progress_due(&set->progress)) {
		char done[32], rate[32];
		double seconds = cli_progress_seconds(&set->progress);
		uint64_t bytes = set->compared + atomic_load(&p->bytes);
		cli_human_size(bytes, 1024, done);
		cli_human_size((uint64_t)((double)bytes / seconds), 1024, rate);
		cli_progress_show(&set->progress, bytes, set->to_compare, "%s compared (%s/s)", done, rate);
	}
	return atomic_load(&p->stop);
}

int dedupe_prove(struct dedupe_set *set, const struct dedupe_rules *rules, bool dry, size_t first, size_t end)
{
	struct prove p = {.set = set, .rules = rules, .dry = dry};
	size_t *groups = calloc(end - first + 1, sizeof(*groups)), count = 0;
	if (!groups)
		return LINKFS_ENOMEM;
	for (size_t i = first; i < end; i++) {
		if (i == first || !dedupe_alike(&set->files[i - 1], &set->files[i]))
			groups[count++] = i;
	}
	groups[count] = end;
	p.groups = groups;
	cli_parallel(set->threads, count, prove_group, look, &p);
	set->compared += atomic_load(&p.bytes);
	free(groups);
	return 0;
}
