/*
 * disk.c - a disk that loses power: what was synced stays, of the rest each write, truncation and name stays or goes by
 * itself; a write may be torn between its sectors of 512 bytes, and a file's size be any that it had since its last sync.
 *
 * Stricter than Linux's file systems: a new file's name is sure only when its directory was synced, and names, sizes and
 * content of one file go their ways independently.
 */
#include "power.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FILES_MAX 256
#define SECTOR 512u

struct list {
	size_t *at; /* events */
	size_t count, cap;
};

/* Bytes from used to size are zero. */
struct bytes {
	uint8_t *p;
	uint64_t size, used, cap;
};

struct file {
	uint32_t number; /* the recording's; 0 until it is opened */
	struct bytes durable;
	struct list pending;
};

struct names {
	struct {
		char name[32];
		unsigned file;
	} all[DISK_FILES];
	unsigned count;
};

struct disk {
	struct file files[FILES_MAX];
	unsigned file_count;
	struct names live, durable;
	struct list pending; /* of the directory */
	struct bytes scratch;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------- */

static void bytes_room(struct bytes *b, uint64_t need)
{
	if (need > b->cap) {
		b->cap = LK_MAX(need, 2 * b->cap);
		b->p = must(realloc(b->p, b->cap));
	}
}

static void bytes_write(struct bytes *b, uint64_t at, const uint8_t *data, uint64_t len)
{
	if (len) {
		bytes_room(b, at + len);
		if (at > b->used)
			memset(b->p + b->used, 0, at - b->used);
		memcpy(b->p + at, data, len);
		b->used = LK_MAX(b->used, at + len);
	}
	b->size = LK_MAX(b->size, at + len);
}

static void bytes_resize(struct bytes *b, uint64_t size)
{
	b->used = LK_MIN(b->used, size);
	b->size = size;
}

static void bytes_zero(struct bytes *b, uint64_t at, uint64_t len)
{
	if (at < b->used)
		memset(b->p + at, 0, LK_MIN(len, b->used - at));
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
	bytes_room(to, from->used);
	if (from->used)
		memcpy(to->p, from->p, from->used);
	to->used = from->used;
	to->size = from->size;
}

static void apply(struct bytes *b, const struct event *e)
{
	if (e->kind == EV_WRITE)
		bytes_write(b, e->offset, e->data, e->len);
	else if (e->kind == EV_TRUNCATE)
		bytes_resize(b, e->offset);
	else
		bytes_zero(b, e->offset, e->len);
}

/* Some of a write's sectors: a beginning, an end, all but one, or each by itself. */
static void apply_torn(struct bytes *b, const struct event *e, struct lk_test_random *random)
{
	uint64_t first = e->offset / SECTOR, count = (e->offset + e->len + SECTOR - 1) / SECTOR - first;
	uint64_t how = lk_test_below(random, 4), cut = lk_test_below(random, count);
	for (uint64_t i = 0; i < count; i++) {
		bool keep = how == 0 ? i < cut : how == 1 ? i > cut : how == 2 ? i != cut : lk_test_below(random, 2);
		uint64_t from = LK_MAX((first + i) * SECTOR, e->offset);
		uint64_t to = LK_MIN((first + i + 1) * SECTOR, e->offset + e->len);
		if (keep)
			bytes_write(b, from, e->data + (from - e->offset), to - from);
	}
}

/* ---- images ------------------------------------------------------------------------------------------------------------ */

void image_free(struct image *image)
{
	for (unsigned i = 0; i < DISK_FILES; i++)
		free(image->files[i].p);
	memset(image, 0, sizeof(*image));
}

static void image_put(struct image *image, const char *name, const struct bytes *b)
{
	if (image->count == DISK_FILES)
		abort();
	struct image_file *f = &image->files[image->count++];
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	struct bytes to = {f->p, 0, 0, f->cap};
	bytes_copy(&to, b);
	f->p = to.p;
	f->cap = to.cap;
	f->size = to.size;
	f->used = to.used;
}

void image_copy(struct image *to, const struct image *from)
{
	to->count = 0;
	for (unsigned i = 0; i < from->count; i++) {
		const struct image_file *f = &from->files[i];
		struct bytes b = {f->p, f->size, f->used, f->cap};
		image_put(to, f->name, &b);
	}
}

static int path_of(char *out, size_t size, const char *dir, const char *name)
{
	int n = snprintf(out, size, "%s/%s", dir, name);
	return n < 0 || (size_t)n >= size ? -1 : 0;
}

static void load_file(struct image *image, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct bytes b = {0};
	struct stat st;
	int fd = path_of(path, sizeof(path), dir, name) ? -1 : open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		abort();
	bytes_room(&b, (uint64_t)st.st_size);
	b.size = (uint64_t)st.st_size;
	if (lk_pread_all(fd, b.p, b.size, 0))
		abort();
	(void)close(fd);
	b.used = b.size;
	while (b.used && !b.p[b.used - 1])
		b.used--;
	image_put(image, name, &b);
	free(b.p);
}

void image_load(struct image *image, const char *dir)
{
	image->count = 0;
	DIR *d = must(opendir(dir));
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] != '.' && strcmp(e->d_name, "meta.db-shm") != 0)
			load_file(image, dir, e->d_name);
	}
	(void)closedir(d);
}

static bool has(const struct image *image, const char *name)
{
	for (unsigned i = 0; i < image->count; i++) {
		if (strcmp(image->files[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Not with O_TRUNC: ext4 writes a file at once that was cut to nothing and written again. */
static int store_file(const struct image_file *f, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || fstat(fd, &st) || lk_pwrite_all(fd, f->p, f->used, 0))
		return -1;
	uint64_t now = LK_MAX((uint64_t)st.st_size, f->used);
	/* What is behind the bytes goes. */
	if (now > f->used && ftruncate(fd, (off_t)f->used))
		return -1;
	now = LK_MIN(now, f->used);
	if (now != f->size && ftruncate(fd, (off_t)f->size))
		return -1;
	return close(fd);
}

void image_store(const struct image *image, const char *dir)
{
	char path[PATH_MAX];
	if (mkdir(dir, 0700)) {
		DIR *d = must(opendir(dir));
		for (struct dirent *e; (e = readdir(d));) {
			if (e->d_name[0] != '.' && !has(image, e->d_name) &&
			    path_of(path, sizeof(path), dir, e->d_name) == 0)
				(void)unlink(path);
		}
		(void)closedir(d);
	}
	for (unsigned i = 0; i < image->count; i++) {
		if (path_of(path, sizeof(path), dir, image->files[i].name) || store_file(&image->files[i], path)) {
			perror(path);
			abort();
		}
	}
}

uint64_t image_hash(const struct image *image)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < image->count; i++) {
		const struct image_file *f = &image->files[i];
		/* In any order. */
		sum += XXH3_64bits_withSeed(f->p, f->used, XXH3_64bits(f->name, strlen(f->name)) ^ f->size);
	}
	return sum;
}

/* ---- the disk ------------------------------------------------------------------------------------------------------------ */

static void list_add(struct list *l, size_t event)
{
	if (l->count == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->at = must(realloc(l->at, l->cap * sizeof(*l->at)));
	}
	l->at[l->count++] = event;
}

static void name_set(struct names *n, const char *name, unsigned file)
{
	unsigned i = 0;
	while (i < n->count && strcmp(n->all[i].name, name) != 0)
		i++;
	if (i == DISK_FILES)
		abort();
	n->count += i == n->count;
	(void)snprintf(n->all[i].name, sizeof(n->all[i].name), "%s", name);
	n->all[i].file = file;
}

static int name_find(const struct names *n, const char *name)
{
	for (unsigned i = 0; i < n->count; i++) {
		if (strcmp(n->all[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static void name_drop(struct names *n, const char *name)
{
	int i = name_find(n, name);
	if (i >= 0)
		n->all[i] = n->all[--n->count];
}

static unsigned new_file(struct disk *d, uint32_t number)
{
	if (d->file_count == FILES_MAX)
		abort();
	d->files[d->file_count].number = number;
	return d->file_count++;
}

static struct file *file_of(struct disk *d, uint32_t number)
{
	for (unsigned i = d->file_count; i-- > 0;) {
		if (d->files[i].number == number)
			return &d->files[i];
	}
	abort();
}

struct disk *disk_new(const struct image *start)
{
	struct disk *d = must(calloc(1, sizeof(*d)));
	for (unsigned i = 0; i < start->count; i++) {
		const struct image_file *f = &start->files[i];
		struct bytes b = {f->p, f->size, f->used, f->cap};
		unsigned file = new_file(d, 0);
		bytes_copy(&d->files[file].durable, &b);
		name_set(&d->durable, f->name, file);
	}
	d->live = d->durable;
	return d;
}

void disk_free(struct disk *d)
{
	for (unsigned i = 0; i < d->file_count; i++) {
		free(d->files[i].durable.p);
		free(d->files[i].pending.at);
	}
	free(d->pending.at);
	free(d->scratch.p);
	free(d);
}

static void change_names(struct disk *d, struct names *n, const struct event *e)
{
	int i = name_find(n, e->name);
	if (e->kind == EV_OPEN) {
		name_set(n, e->name, (unsigned)(file_of(d, e->file) - d->files));
	} else if (e->kind == EV_UNLINK) {
		name_drop(n, e->name);
	} else if (i >= 0) {
		name_set(n, e->to, n->all[i].file);
		name_drop(n, e->name);
	}
}

static void sync_file(struct disk *d, const struct recording *r, const struct event *e)
{
	struct list *pending = &d->pending;
	struct file *f = NULL;
	if (e->name[0]) {
		f = file_of(d, e->file);
		pending = &f->pending;
	}
	for (size_t i = 0; i < pending->count; i++) {
		if (f)
			apply(&f->durable, &r->events[pending->at[i]]);
		else
			change_names(d, &d->durable, &r->events[pending->at[i]]);
	}
	pending->count = 0;
}

void disk_play(struct disk *d, const struct recording *r, size_t event)
{
	const struct event *e = &r->events[event];
	switch (e->kind) {
	case EV_OPEN:
		if (!e->name[0])
			return;
		if (e->made) {
			(void)new_file(d, e->file);
			change_names(d, &d->live, e);
			list_add(&d->pending, event);
		} else {
			int i = name_find(&d->live, e->name);
			if (i < 0)
				abort();
			d->files[d->live.all[i].file].number = e->file;
		}
		break;
	case EV_WRITE:
	case EV_TRUNCATE:
	case EV_ZERO:
		list_add(&file_of(d, e->file)->pending, event);
		break;
	case EV_SYNC:
		sync_file(d, r, e);
		break;
	case EV_RENAME:
	case EV_UNLINK:
		change_names(d, &d->live, e);
		list_add(&d->pending, event);
		break;
	case EV_BEGIN:
	case EV_ACK:
	default:
		break;
	}
}

size_t disk_pending(const struct disk *d)
{
	size_t n = d->pending.count;
	for (unsigned i = 0; i < d->file_count; i++)
		n += d->files[i].pending.count;
	return n;
}

/* What power may leave of one file. */
static void cut_file(struct disk *d, const struct recording *r, const struct file *f, unsigned variant,
		     struct lk_test_random *random)
{
	struct bytes *b = &d->scratch;
	bytes_copy(b, &f->durable);
	if (variant == 1)
		return;
	static const uint64_t keep_of[] = {10, 50, 90, 100};
	uint64_t keep = keep_of[lk_test_below(random, 4)], tear = lk_test_below(random, 3) ? 10 : 60;
	for (size_t i = 0; i < f->pending.count; i++) {
		const struct event *e = &r->events[f->pending.at[i]];
		if (variant == 0)
			apply(b, e);
		else if (lk_test_below(random, 100) >= keep)
			continue;
		else if (e->kind == EV_WRITE && e->len && lk_test_below(random, 100) < tear)
			apply_torn(b, e, random);
		else
			apply(b, e);
	}
	if (variant == 0 || !f->pending.count || lk_test_below(random, 3))
		return;
	/* The size goes its own way: one of those it had. */
	size_t steps = (size_t)lk_test_below(random, f->pending.count + 1);
	struct bytes size = {NULL, f->durable.size, 0, 0};
	for (size_t i = 0; i < steps; i++) {
		const struct event *e = &r->events[f->pending.at[i]];
		if (e->kind == EV_WRITE)
			size.size = LK_MAX(size.size, e->offset + e->len);
		else if (e->kind == EV_TRUNCATE)
			size.size = e->offset;
	}
	bytes_resize(b, size.size);
}

void disk_cut(struct disk *d, const struct recording *r, unsigned variant, uint64_t seed, struct image *out)
{
	struct lk_test_random random = {seed};
	struct names n = d->durable;
	for (size_t i = 0; i < d->pending.count; i++) {
		if (variant == 0 || (variant > 1 && lk_test_below(&random, 2)))
			change_names(d, &n, &r->events[d->pending.at[i]]);
	}
	out->count = 0;
	for (unsigned i = 0; i < n.count; i++) {
		cut_file(d, r, &d->files[n.all[i].file], variant, &random);
		image_put(out, n.all[i].name, &d->scratch);
	}
	/* The WAL's index may be there with anything in it. */
	if (variant > 1 && lk_test_below(&random, 8) == 0) {
		uint8_t noise[4096];
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)lk_test_next(&random);
		bytes_resize(&d->scratch, 0);
		bytes_write(&d->scratch, 0, noise, sizeof(noise));
		image_put(out, "meta.db-shm", &d->scratch);
	}
}
