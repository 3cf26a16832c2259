/*
 * gen_links.c - draws what only linkfs does: which of it a sequence has, decided by its seed, so that half of the sequences have none of it; and short
 * stories that a random draw would hardly tell.
 */
#include "gen.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

unsigned lk_gen_features(uint64_t seed, unsigned on)
{
	static const unsigned features[] = {0, GEN_COPIES | GEN_KEEP,  0, GEN_COPIES | GEN_BINDS,
					    0, GEN_COPIES | GEN_TRACK, 0, GEN_COPIES | GEN_BINDS,
					    0, GEN_COPIES | GEN_KEEP,  0, GEN_COPIES | GEN_BINDS,
					    0, GEN_COPIES | GEN_TRACK, 0, GEN_COPIES | GEN_DIRS};
	return on & OP_ON_ROOT ? features[seed % (sizeof(features) / sizeof(features[0]))] : 0;
}

int lk_gen_links_weight(const struct gen *gen, enum op_kind kind)
{
	static const unsigned char copies[OP_COUNT] = {
		[OP_CLONE] = 25, [OP_UNSHARE] = 20, [OP_DEDUPE] = 8, [OP_MERGE] = 10};
	static const unsigned char binds[OP_COUNT] = {[OP_BIND] = 25, [OP_UNBIND] = 6};
	int weight = gen->features & GEN_COPIES ? copies[kind] : 0;
	if (gen->features & GEN_TRACK)
		return kind == OP_TRACK ? 45 : kind == OP_MERGE ? 0 : weight;
	if (kind == OP_LINKDIR && (gen->features & GEN_DIRS))
		weight += 25;
	if (kind == OP_KEEP && (gen->features & GEN_KEEP))
		weight += 15;
	return weight + (gen->features & GEN_BINDS ? binds[kind] : 0);
}

static void queue_path(struct gen *gen, enum op_kind kind, const char *p, const char *q, int64_t n0)
{
	struct op op = {.kind = kind, .at = -1, .n = {n0}};
	lk_gen_append(op.p, p);
	lk_gen_append(op.q, q);
	op.probe = lk_gen_chance(gen, 20);
	lk_gen_queue(gen, &op);
}

static void queue_write(struct gen *gen, const char *path, int64_t slot, int64_t content, int64_t length)
{
	struct op op = {.kind = OP_OPEN, .at = -1, .n = {slot, O_RDWR | O_CREAT | O_NOFOLLOW, 0644}};
	lk_gen_append(op.p, path);
	lk_gen_queue(gen, &op);
	op = (struct op){.kind = OP_PWRITE, .at = -1, .n = {slot, 0, length, content}};
	lk_gen_queue(gen, &op);
}

/* A path at the top or in one of the first directories. */
static void draw_path(struct gen *gen, char *out, size_t room)
{
	const char *name = lk_gen_name(gen);
	if (lk_gen_chance(gen, 40))
		(void)snprintf(out, room, "/%s", name);
	else
		(void)snprintf(out, room, "/%c/%s", (char)('a' + lk_gen_below(gen, 5)), name);
}

/* Two files are written alike, made to share, and written apart. */
static void queue_equal(struct gen *gen)
{
	char a[OP_PATTERN], b[OP_PATTERN];
	int64_t content = lk_gen_below(gen, 1000), length = 1 + lk_gen_below(gen, 200000);
	draw_path(gen, a, sizeof(a));
	draw_path(gen, b, sizeof(b));
	queue_write(gen, a, 0, content, length);
	queue_write(gen, b, 1, content, length);
	queue_path(gen,
		   (gen->on & OP_ON_LIB) && !(gen->features & GEN_TRACK) && lk_gen_chance(gen, 50) ? OP_MERGE
												   : OP_DEDUPE,
		   a, b, 0);
	for (int64_t i = 0; i < 2; i++) {
		struct op op = {.kind = OP_PWRITE, .at = -1, .n = {i, lk_gen_below(gen, length), 5000, content + i}};
		lk_gen_queue(gen, &op);
	}
	for (int64_t i = 0; i < 2; i++) {
		struct op op = {.kind = OP_PREAD, .at = -1, .n = {i, 0, length + 5000}};
		lk_gen_queue(gen, &op);
	}
}

/* A file of several names that keeps its links is saved, by one name and then by another. */
static void queue_save(struct gen *gen)
{
	char names[3][OP_PATTERN], fresh[OP_PATTERN];
	for (int i = 0; i < 3; i++)
		draw_path(gen, names[i], sizeof(names[i]));
	draw_path(gen, fresh, sizeof(fresh));
	queue_write(gen, names[0], 0, lk_gen_below(gen, 1000), 1 + lk_gen_below(gen, 9000));
	queue_path(gen, OP_KEEP, names[0], "", 1);
	for (int i = 1; i < 3; i++)
		queue_path(gen, OP_LINK, names[0], names[i], 0);
	for (int i = 0; i < 2; i++) {
		queue_write(gen, fresh, 1, lk_gen_below(gen, 1000), 1 + lk_gen_below(gen, 9000));
		queue_path(gen, OP_RENAME, fresh, names[lk_gen_below(gen, 3)], 0);
	}
	for (int i = 0; i < 3; i++)
		queue_path(gen, OP_STAT, names[i], "", 0);
}

/* A directory gets further names, something is made and moved by them, and they go, the first one too. */
static void queue_names(struct gen *gen)
{
	char names[3][OP_PATTERN], paths[3][OP_PATTERN + 4];
	for (int i = 0; i < 3; i++) {
		draw_path(gen, names[i], sizeof(names[i]));
		(void)snprintf(paths[i], sizeof(paths[i]), "%.100s/%c", names[i], (char)('a' + lk_gen_below(gen, 3)));
	}
	queue_path(gen, OP_MKDIR, names[0], "", 0777);
	queue_path(gen, OP_LINKDIR, names[0], names[1], 0);
	queue_path(gen, OP_MKDIR, paths[1], "", 0755);
	queue_write(gen, paths[0], 0, lk_gen_below(gen, 1000), 1 + lk_gen_below(gen, 9000));
	queue_path(gen, OP_LINKDIR, names[1], lk_gen_chance(gen, 70) ? names[2] : paths[2], 0);
	queue_path(gen, OP_LINKDIR, paths[1], names[2], 0);
	queue_path(gen, OP_RENAME, paths[lk_gen_below(gen, 3)], paths[lk_gen_below(gen, 3)], OP_RENAME_HOME);
	queue_path(gen, OP_RENAME, names[lk_gen_below(gen, 3)], lk_gen_chance(gen, 50) ? names[2] : paths[2],
		   OP_RENAME_HOME + (lk_gen_chance(gen, 30) ? 2 : 0));
	for (int i = 0; i < 3; i++) {
		queue_path(gen, OP_STAT, names[i], "", 0);
		queue_path(gen, OP_LIST, names[i], "", 0);
		if (lk_gen_chance(gen, 60))
			queue_path(gen, OP_RMDIR, names[i], "", OP_RENAME_HOME);
	}
}

int lk_gen_stories(const struct gen *gen)
{
	return gen->features & GEN_COPIES ? 60 : 0;
}

void lk_gen_story(struct gen *gen)
{
	if ((gen->features & GEN_DIRS) && lk_gen_chance(gen, 50))
		queue_names(gen);
	else if (!(gen->features & GEN_KEEP) || lk_gen_chance(gen, 50))
		queue_equal(gen);
	else
		queue_save(gen);
}

void lk_gen_bind(struct gen *gen, struct op *op)
{
	if (op->kind == OP_BIND && gen->place_count == GEN_PLACES) {
		op->kind = OP_UNBIND;
		op->q[0] = '\0';
	}
	if (op->kind == OP_UNBIND && gen->place_count && lk_gen_chance(gen, 80))
		memcpy(op->p, gen->places[lk_gen_below(gen, (int64_t)gen->place_count)], OP_PATTERN);
}

void lk_gen_bound(struct gen *gen, const struct op *op)
{
	if (op->kind == OP_BIND && gen->place_count < GEN_PLACES) {
		memcpy(gen->places[gen->place_count++], op->q, OP_PATTERN);
		return;
	}
	for (size_t i = 0; op->kind == OP_UNBIND && i < gen->place_count; i++) {
		if (strcmp(gen->places[i], op->p) == 0) {
			memmove(gen->places[i], gen->places[--gen->place_count], OP_PATTERN);
			return;
		}
	}
}

void lk_gen_dir_name(struct gen *gen, struct op *op)
{
	if (op->kind == OP_LINKDIR && gen->place_count == GEN_NAMES) {
		op->kind = OP_RMDIR;
		op->q[0] = '\0';
	}
	if (!gen->place_count)
		return;
	const char *name = gen->places[lk_gen_below(gen, (int64_t)gen->place_count)];
	if ((op->kind == OP_RMDIR || op->kind == OP_RENAME) && lk_gen_chance(gen, 25))
		memcpy(op->p, name, OP_PATTERN);
	else if (op->kind == OP_RENAME && lk_gen_chance(gen, 10))
		memcpy(op->q, name, OP_PATTERN);
}

static void add_place(struct gen *gen, const char *path)
{
	for (size_t i = 0; i < gen->place_count; i++) {
		if (strcmp(gen->places[i], path) == 0)
			return;
	}
	if (gen->place_count < GEN_NAMES)
		memcpy(gen->places[gen->place_count++], path, OP_PATTERN);
}

void lk_gen_dir_named(struct gen *gen, const struct op *op, const char *answer)
{
	bool ok = strncmp(answer, "ok", 2) == 0;
	if (op->kind == OP_LINKDIR && ok) {
		add_place(gen, op->p);
		add_place(gen, op->q);
	}
	for (size_t i = 0; i < gen->place_count; i++) {
		if (strcmp(gen->places[i], op->p) != 0)
			continue;
		if (op->kind == OP_RENAME && ok && !(op->n[0] & 2))
			memcpy(gen->places[i], op->q, OP_PATTERN);
		else if (op->kind == OP_RMDIR && (ok || strcmp(answer, "ENOENT") == 0))
			memmove(gen->places[i], gen->places[--gen->place_count], OP_PATTERN);
		return;
	}
}
