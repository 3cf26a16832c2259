/*
 * run.c - runs a sequence on both sides, compares, and shrinks a sequence that differs.
 *
 * Known differences: answers that the reference marks with '~' are not compared; where it marks an error with '!', any error will do. All of them and their reasons:
 * - seek on a file with blocks allocated but not written: ext4 takes "data" or "hole" from what its page cache holds.
 * - seek on a file that copy_file_range wrote to: ext4 fills holes of the source with zeros, linkfs shares its extents.
 * - seek on a file written through a mapping: ext4 gives blocks to the whole folio around the page.
 * - library only: opening FIFOs, sockets and devices, which a kernel does and a library cannot.
 * - library only: the access time of symlinks. Its walks read their text from memory and write nothing.
 * - fallocate that fails: ext4 has changed times, mode, capabilities and size already; posix.c puts them back.
 * - library only: fs.protected_hardlinks is the host's policy above file systems (posix.c lifts it), and so is what
 *   open with O_CREAT and O_NOFOLLOW says of another's symlink in a sticky directory.
 * - library only: ".." of a directory that was removed, which Linux's dentry remembers and POSIX's rmdir takes away.
 * - mount only: times of FIFOs that are read and written; seeking, copying nothing and writing beyond the
 *   largest file (the last drops setuid): FUSE has no word for these.
 * - what only linkfs does (clone, unshare, keep, dedupe, merge), when more than one thing is wrong: any of the errors, and so for a name with slashes after it.
 * - mount only: commands of linkfs, run as root, say that they fail and not by which errno; dedupe takes directories too and says nothing.
 * - binds: a place shown by a bind, or a file covered by one of another type, is not bound over (the reference would cover both). Who binds, unbinds, or
 *   renames a directory in a sequence with binds goes to the root and closes his directories. Which error says that a name is busy by a bind, or that a rename
 *   would make a loop. Hard links across binds: linkfs makes them, the kernel does not, and the reference does it where no binds are. On a
 *   mount, which error a rename across binds gives.
 * - directories with several names: who gives one a name, removes one, or renames a directory in such a sequence goes to the root and closes his
 *   directories. Which error says that a directory that is not empty is not replaced, when what would replace it lies in it by another path. On a
 *   mount: a directory renamed to another of its names, and which error a loop is that somebody else than root asks for, or with something to replace.
 * - links to tracked symlinks, which have one name: any error. Tracked symlinks that would be read through a way of more than 4095 bytes are not drawn.
 * Not drawn at all: collapse and insert range on the mount (FUSE has none); xattr values that exceed ext4's one block; blocks behind
 *   the size at the end of the largest file.
 * Never part of an answer: sizes of directories, st_blocks, inode numbers (same or not is), order of directories.
 */
#include "diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BATCH 16

void lk_ops_add(struct op_list *list, const struct op *op)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 256;
		list->ops = realloc(list->ops, list->room * sizeof(*list->ops));
		if (!list->ops)
			lk_die("out of memory");
	}
	list->ops[list->count++] = *op;
}

void lk_result_free(struct run_result *result)
{
	lk_text_free(&result->answers[0]);
	lk_text_free(&result->answers[1]);
	*result = (struct run_result){0};
}

/* ---- one run in fresh directories -------------------------------------------------------------------------- */

struct run {
	const struct run_config *config;
	struct side sides[2];
	char dirs[2][512];
	struct worker *workers[2];
};

static void start_workers(struct run *run, bool fresh)
{
	for (int i = 0; i < 2; i++) {
		run->sides[i].fresh = fresh;
		run->workers[i] = lk_worker_start(&run->sides[i]);
	}
}

static bool stop_workers(struct run *run, struct run_result *result)
{
	bool well = true;
	for (int i = 0; i < 2; i++) {
		well = lk_worker_stop(run->workers[i]) && well;
		run->workers[i] = NULL;
	}
	if (!well && !result->differs) {
		result->differs = true;
		for (int i = 0; i < 2; i++) {
			lk_text_clear(&result->answers[i]);
			lk_text_add(&result->answers[i], "a process did not end in order, see above");
		}
		(void)snprintf(result->signature, sizeof(result->signature), "end");
	}
	return well;
}

static void run_begin(struct run *run, const struct run_config *config)
{
	static unsigned number;
	*run = (struct run){.config = config};
	number++;
	struct taints *taints =
		mmap(NULL, 2 * sizeof(*taints), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (taints == MAP_FAILED)
		lk_die("out of memory");
	for (int i = 0; i < 2; i++) {
		run->sides[i] = config->sides[i];
		(void)snprintf(run->dirs[i], sizeof(run->dirs[i]), "%s/run-%d-%u-%d",
			       i ? config->subject_dir : config->reference_dir, (int)getpid(), number, i);
		run->sides[i].dir = run->dirs[i];
		run->sides[i].taints = &taints[i];
		if (mkdir(run->dirs[i], 0777) || chmod(run->dirs[i], 0777))
			lk_die("%s: %s", run->dirs[i], strerror(errno));
	}
	start_workers(run, true);
}

static void run_end(struct run *run, struct run_result *result)
{
	(void)stop_workers(run, result);
	(void)munmap(run->sides[0].taints, 2 * sizeof(*run->sides[0].taints));
	for (int i = 0; i < 2; i++) {
		char scratch[600];
		if (run->sides[i].bare)
			lk_unmount_below(run->dirs[i]);
		(void)snprintf(scratch, sizeof(scratch), "%s" LK_SCRATCH, run->dirs[i]);
		lk_remove_tree(AT_FDCWD, scratch);
		lk_remove_tree(AT_FDCWD, run->dirs[i]);
	}
}

static bool agree(const struct text *reference, const struct text *subject)
{
	const char *a = reference->bytes, *b = subject->bytes;
	if (a[0] == '!')
		return strncmp(b, "ok", 2) != 0;
	if (strncmp(b, "refused", 7) == 0)
		return strncmp(a, "ok", 2) != 0;
	return a[0] == '~' || strcmp(a, b) == 0;
}

/* The lines that only one of two sorted-alike texts has, at most a few. */
static void keep_differing_lines(struct text *a, struct text *b)
{
	struct text kept[2] = {{0}, {0}};
	const struct text *both[2] = {a, b};
	for (int i = 0; i < 2; i++) {
		unsigned count = 0;
		lk_text_clear(&kept[i]);
		for (const char *line = both[i]->bytes; *line && count < 6;) {
			size_t len = strcspn(line, "\n");
			char *copy = strndup(line, len + 1);
			if (!copy)
				lk_die("out of memory");
			if (!strstr(both[1 - i]->bytes, copy)) {
				lk_text_add(&kept[i], "\n    %.*s", (int)len, line);
				count++;
			}
			free(copy);
			line += len + (line[len] == '\n');
		}
	}
	lk_text_free(a);
	lk_text_free(b);
	*a = kept[0];
	*b = kept[1];
}

static void set_signature(struct run_result *result, const struct op *op)
{
	if (!op) {
		(void)snprintf(result->signature, sizeof(result->signature), "tree");
		return;
	}
	const char *a = result->answers[0].bytes, *b = result->answers[1].bytes;
	if (!a || !b)
		lk_die("an operation without an answer");
	(void)snprintf(result->signature, sizeof(result->signature), "%s %.*s/%.*s", lk_op_row(op->kind)->name,
		       (int)strcspn(a, " "), a, (int)strcspn(b, " "), b);
	if (strncmp(a, "ok", 2) == 0 && strncmp(b, "ok", 2) == 0) {
		/* Beyond that, whether it is about times or about the rest. */
		const char *times[2] = {strchr(a, '|'), strchr(b, '|')};
		bool rest = (times[0] ? times[0] - a : (ptrdiff_t)strlen(a)) ==
				    (times[1] ? times[1] - b : (ptrdiff_t)strlen(b)) &&
			    strncmp(a, b, strcspn(a, "|")) == 0;
		strncat(result->signature, rest ? " times" : " rest", 10);
	}
}

static bool is_reported(const struct run_config *config, const struct run_result *result)
{
	for (int i = 0; i < 2; i++) {
		if (strncmp(result->answers[i].bytes, "ok", 2) == 0)
			return false;
	}
	for (size_t i = 0; i < config->reported_count; i++) {
		if (strcmp(config->reported[i], result->signature) == 0)
			return true;
	}
	return false;
}

static bool compare_trees(struct run *run, struct run_result *result)
{
	bool alive = true;
	for (int i = 0; i < 2; i++)
		alive = lk_worker_tree(run->workers[i]) && alive;
	for (int i = 0; i < 2; i++)
		alive = lk_worker_answer(run->workers[i], &result->answers[i]) && alive;
	if (alive && agree(&result->answers[0], &result->answers[1]))
		return true;
	if (alive)
		keep_differing_lines(&result->answers[0], &result->answers[1]);
	set_signature(result, NULL);
	result->differs = true;
	return false;
}

/* Runs ops[0..count) of one batch; false at the first difference. base is their place in the sequence. */
static bool run_batch(struct run *run, const struct op *ops, size_t count, size_t base, struct gen *gen,
		      struct run_result *result)
{
	bool alive[2];
	for (int i = 0; i < 2; i++)
		alive[i] = lk_worker_send(run->workers[i], ops, count);
	for (size_t k = 0; k < count; k++) {
		for (int i = 0; i < 2; i++)
			alive[i] = lk_worker_answer(run->workers[i], &result->answers[i]);
		if (run->config->verbose) {
			struct text line = {0};
			lk_op_print(&ops[k], &line);
			printf("%s\n    # reference: %s\n", line.bytes, result->answers[0].bytes);
			if (!agree(&result->answers[0], &result->answers[1]))
				printf("    # subject:   %s\n", result->answers[1].bytes);
			lk_text_free(&line);
		}
		result->done++;
		if (!alive[0] || !alive[1] || !agree(&result->answers[0], &result->answers[1])) {
			result->index = base + k;
			set_signature(result, &ops[k]);
			if (gen && alive[0] && alive[1] && is_reported(run->config, result))
				continue;
			result->differs = true;
			return false;
		}
		if (gen)
			lk_gen_learn(gen, &ops[k], result->answers[0].bytes);
	}
	if (count && ops[count - 1].kind == OP_RESTART) {
		if (!stop_workers(run, result))
			return false;
		start_workers(run, false);
	}
	return true;
}

/* The last look: the trees as they are, and again after everything was closed and opened. */
static void run_finish(struct run *run, size_t count, struct run_result *result)
{
	struct op restart = {.kind = OP_RESTART, .at = -1};
	result->index = count;
	if (!compare_trees(run, result))
		return;
	if (run_batch(run, &restart, 1, count, NULL, result))
		(void)compare_trees(run, result);
}

void lk_run_generated(const struct run_config *config, uint64_t seed, size_t count, struct op_list *ops,
		      struct run_result *result)
{
	struct run run;
	struct gen *gen = lk_gen_new(seed, config->on, config->sides[0].many_users);
	run_begin(&run, config);
	ops->count = 0;
	*result = (struct run_result){0};
	size_t looked = 0;
	while (ops->count < count) {
		size_t base = ops->count;
		do {
			struct op op;
			lk_gen_next(gen, &op);
			lk_ops_add(ops, &op);
		} while (ops->count < count && ops->count - base < BATCH &&
			 ops->ops[ops->count - 1].kind != OP_RESTART);
		if (!run_batch(&run, ops->ops + base, ops->count - base, base, gen, result))
			break;
		if (ops->count / config->tree_every != looked) {
			looked = ops->count / config->tree_every;
			result->index = ops->count;
			if (!compare_trees(&run, result))
				break;
		}
	}
	if (!result->differs)
		run_finish(&run, ops->count, result);
	if (result->differs && result->index < ops->count)
		ops->count = result->index + 1;
	run_end(&run, result);
	lk_gen_free(gen);
}

void lk_run_replay(const struct run_config *config, const struct op_list *ops, struct run_result *result)
{
	struct run run;
	run_begin(&run, config);
	*result = (struct run_result){0};
	for (size_t base = 0; base < ops->count && !result->differs;) {
		size_t n = 1;
		while (n < BATCH && base + n < ops->count && ops->ops[base + n - 1].kind != OP_RESTART)
			n++;
		(void)run_batch(&run, ops->ops + base, n, base, NULL, result);
		base += n;
	}
	if (!result->differs)
		run_finish(&run, ops->count, result);
	run_end(&run, result);
}

/* ---- shrinking ----------------------------------------------------------------------------------------------- */

static bool still_fails(const struct run_config *config, struct op_list *ops, struct run_result *result)
{
	struct run_result again;
	lk_run_replay(config, ops, &again);
	bool same = again.differs && strcmp(again.signature, result->signature) == 0;
	if (same) {
		lk_result_free(result);
		*result = again;
		if (result->index < ops->count)
			ops->count = result->index + 1;
	} else {
		lk_result_free(&again);
	}
	return same;
}

static void copy_ops(struct op_list *to, const struct op_list *from, size_t without, size_t length)
{
	to->count = 0;
	for (size_t i = 0; i < from->count; i++) {
		if (i < without || i >= without + length)
			lk_ops_add(to, &from->ops[i]);
	}
}

/* Simpler forms of one operation, each kept when the difference stays. */
static void simplify_op(const struct run_config *config, struct op_list *ops, size_t i, struct run_result *result)
{
	for (int step = 0; step < 3 && i < ops->count; step++) {
		struct op before = ops->ops[i];
		struct op *op = &ops->ops[i];
		if (step == 0 && op->probe)
			op->probe = 0;
		else if (step == 1 && op->at >= 0)
			op->at = -1;
		else if (step == 2 && op->user)
			op->user = 0;
		else
			continue;
		size_t count = ops->count;
		if (!still_fails(config, ops, result)) {
			ops->count = count;
			ops->ops[i] = before;
		}
	}
}

void lk_run_shrink(const struct run_config *config, struct op_list *ops, struct run_result *result, int seconds)
{
	struct op_list shorter = {0};
	time_t end = time(NULL) + seconds;
	for (size_t length = (ops->count + 1) / 2; length && time(NULL) < end;) {
		bool dropped = false;
		/* From the end: what comes late depends on what comes early. */
		for (size_t at = ops->count; at > 0 && time(NULL) < end;) {
			at = at > length ? at - length : 0;
			if (at >= ops->count)
				continue;
			copy_ops(&shorter, ops, at, length);
			if (shorter.count < ops->count && still_fails(config, &shorter, result)) {
				copy_ops(ops, &shorter, 0, 0);
				dropped = true;
			}
		}
		if (length == 1 && !dropped)
			break;
		length = length > 1 ? (length + 1) / 2 : (dropped ? 1 : 0);
	}
	for (size_t i = 0; i < ops->count && time(NULL) < end; i++)
		simplify_op(config, ops, i, result);
	free(shorter.ops);
}

void lk_run_report(const struct op_list *ops, const struct run_result *result)
{
	struct text line = {0};
	printf("# difference: %s\n", result->signature);
	for (size_t i = 0; i < ops->count; i++) {
		lk_text_clear(&line);
		lk_op_print(&ops->ops[i], &line);
		printf("  %s\n", line.bytes);
	}
	printf("# %s\n# reference: %s\n# subject:   %s\n",
	       result->index < ops->count ? "answers to the last operation:" : "trees at the end:",
	       result->answers[0].bytes ? result->answers[0].bytes : "",
	       result->answers[1].bytes ? result->answers[1].bytes : "");
	fflush(stdout);
	lk_text_free(&line);
}
