/*
 * backup_dest.c - where a backup's sources go, and whether they may; see backup.h.
 *
 * /home/u of a host goes to DIR/home/u. The volume remembers host and path of each directory that has a source's content. What would mix two
 * hosts, or bring a tree into another one's place, or remove what no backup made, is refused unless --take-over says that it is meant.
 */
#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- the host -------------------------------------------------------------------------------------------------------- */

static void name_host(const struct backup *b, char machine[256], char host[256])
{
	if (b->host_name) {
		snprintf(machine, 256, "%s", b->host_name);
		snprintf(host, 256, "%s", b->host_name);
		return;
	}
	if (gethostname(host, 255) != 0 || !host[0])
		snprintf(host, 256, "localhost");
	host[255] = '\0';
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, machine, 255) : -1;
	if (fd >= 0)
		close(fd);
	machine[n > 0 ? n : 0] = '\0';
	machine[strcspn(machine, " \n\t")] = '\0';
	if (!machine[0])
		snprintf(machine, 256, "%s", host);
}

static int open_source(struct backup *b, const struct cli_path *operand, struct backup_source *s)
{
	char link[64], path[LINKFS_PATH_MAX];
	s->fd = -1;
	if (operand->kind != CLI_HOST) {
		cli_usage(b->cli, "'%s' is in a volume; backup takes directories of the host", operand->text);
		return COPY_TOLD;
	}
	int fd = openat(b->cli->cwd_fd, operand->host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 ? linkfs_from_errno(errno) : backup_look(fd, "", &s->st);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = error ? 0 : readlink(link, path, sizeof(path) - 1);
	if (!error && (n <= 0 || n >= (ssize_t)sizeof(path) - 1))
		error = n < 0 ? linkfs_from_errno(errno) : LINKFS_ENAMETOOLONG;
	if (!error) {
		path[n] = '\0';
		s->path = cli_strdup(path);
		error = s->path ? 0 : LINKFS_ENOMEM;
	}
	s->fd = fd;
	if (error)
		cli_failf(b->cli, operand->text, "cannot be backed up: %s", linkfs_strerror(error));
	return error ? COPY_TOLD : 0;
}

/* Whether path lies below dir, or is it; what is left of it then. */
static const char *below(const char *dir, const char *path)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
	if (strncmp(dir, path, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path[len] == '/' && !path[len + 1] ? "" : path + len;
}

/* Whether a pattern keeps the walk from getting to path, which is one below a source with a slash in front. */
static bool is_left_out(const struct backup *b, const char *path)
{
	char *part = path ? cli_strdup(path) : NULL;
	bool found = false;
	for (size_t at = 1; part && path[at - 1] && !found; at++) {
		if (path[at] != '/' && path[at] != '\0')
			continue;
		part[at] = '\0';
		found = backup_rules_exclude(b->rules, part + 1, true);
		part[at] = path[at];
	}
	free(part);
	return found;
}

/* A source that another one has in it would be walked twice. */
static void drop_nested(struct backup *b)
{
	for (size_t i = 0; i < b->nsources; i++) {
		struct backup_source *s = &b->sources[i];
		bool nested = false;
		for (size_t j = 0; j < b->nsources && !nested; j++) {
			const struct backup_source *o = &b->sources[j];
			bool same = strcmp(o->path, s->path) == 0;
			nested = j != i && below(o->path, s->path) && (!same || j < i) &&
				 (same ||
				  ((!b->one_fs || o->st.dev == s->st.dev) && !is_left_out(b, below(o->path, s->path))));
		}
		if (!nested)
			continue;
		cli_note(b->cli, "%s is in another of the directories already", s->path);
		close(s->fd);
		free(s->path);
		memmove(s, s + 1, (b->nsources - i - 1) * sizeof(*s));
		b->nsources--;
		i--;
	}
}

/* ---- what the volume has ------------------------------------------------------------------------------------------------ */

struct registered {
	uint64_t id, dir;
	char *machine, *host, *path, *place; /* place: in the volume; NULL: the directory is gone */
	struct linkfs_source row;
};

struct registry {
	struct backup *b;
	struct registered *items;
	size_t len, cap;
	int error;
};

static int take_source(void *arg, const struct linkfs_source *s)
{
	struct registry *r = arg;
	if (cli_grow(&r->items, &r->cap, r->len, sizeof(*r->items)) != 0) {
		r->error = LINKFS_ENOMEM;
		return 1;
	}
	struct registered *item = &r->items[r->len++];
	*item = (struct registered){.id = s->id,
				    .dir = s->dir,
				    .machine = cli_strdup(s->machine),
				    .host = cli_strdup(s->host),
				    .path = cli_strdup(s->path),
				    .row = *s};
	if (!item->machine || !item->host || !item->path)
		r->error = LINKFS_ENOMEM;
	return r->error != 0;
}

static int take_place(void *arg, const struct linkfs_name *name)
{
	char **place = arg;
	if (name->flags & LINKFS_NAME_BIND)
		return 0;
	*place = cli_strdup(name->path);
	return 1;
}

static int registry_read(struct backup *b, struct registry *r)
{
	*r = (struct registry){.b = b};
	int error = linkfs_source_list(b->volume, take_source, r);
	if (!error)
		error = r->error;
	for (size_t i = 0; i < r->len && !error; i++) {
		error = linkfs_node_names(b->volume, &b->cli->cred, r->items[i].dir, take_place, &r->items[i].place,
					  NULL);
		if (error == LINKFS_ESTALE || error == LINKFS_ENOENT)
			error = 0;
	}
	return error;
}

static void registry_done(struct registry *r)
{
	for (size_t i = 0; i < r->len; i++) {
		free(r->items[i].machine);
		free(r->items[i].host);
		free(r->items[i].path);
		free(r->items[i].place);
	}
	free(r->items);
}

/* Whether the registered source and this one, which would be at place, say the same of what lies in both. */
static bool agrees(const struct registered *item, const struct backup_source *s, const char *place)
{
	const char *rest;
	if (strcmp(item->machine, s->record.machine) != 0)
		return false;
	if ((rest = below(item->place, place))) {
		const char *mine = below(item->path, s->path);
		return mine && strcmp(mine, rest) == 0;
	}
	rest = below(place, item->place);
	const char *its = rest ? below(s->path, item->path) : NULL;
	return its && strcmp(its, rest) == 0;
}

static bool meets(const struct registered *item, const char *place)
{
	return item->place && (below(item->place, place) || below(place, item->place));
}

/* An entry of the place that no source accounts for; allocated. */
static char *stranger(struct backup *b, const struct registry *r, const char *place, uint64_t ino)
{
	struct cli_list list = {0};
	char *found = NULL;
	if (cli_list_read(b->cli, b->volume, ino, false, false, &list) != 0)
		return NULL;
	for (size_t i = 0; i < list.len && !found; i++) {
		char *path = cli_join(place, list.entries[i].name);
		bool known = !path;
		for (size_t j = 0; j < r->len && !known; j++)
			known = r->items[j].place && below(path, r->items[j].place);
		if (!known)
			found = cli_strdup(list.entries[i].name);
		free(path);
	}
	cli_list_done(&list);
	return found;
}

static int may_go(struct backup *b, const struct registry *r, struct backup_source *s, const char *place)
{
	struct linkfs_stat st;
	bool covered = false;
	for (size_t i = 0; i < r->len && !b->take_over; i++) {
		const struct registered *item = &r->items[i];
		if (!meets(item, place))
			continue;
		if (!agrees(item, s, place)) {
			cli_failf(b->cli, s->path,
				  "of host %s would go to %s in the volume, where %s has %s of host %s; name another "
				  "directory, VOLUME:/DIR, "
				  "or use --take-over if it is meant",
				  s->record.host, place, item->place, item->path, item->host);
			return COPY_TOLD;
		}
		covered |= below(item->place, place) != NULL;
	}
	int error = linkfs_path_stat(b->volume, &b->cli->cred, LINKFS_ROOT_INO, place, LINKFS_NOFOLLOW, &st);
	if (error == LINKFS_ENOENT)
		return 0;
	if (!error && !S_ISDIR(st.mode))
		error = LINKFS_ENOTDIR;
	if (error) {
		cli_failf(b->cli, s->path, "cannot go to %s in the volume: %s", place, linkfs_strerror(error));
		return COPY_TOLD;
	}
	char *name = covered || b->take_over ? NULL : stranger(b, r, place, st.ino);
	if (!name)
		return 0;
	cli_failf(b->cli, s->path,
		  "would go to %s in the volume, which holds '%s' that no backup made; name another directory, "
		  "VOLUME:/DIR, or use --take-over "
		  "to have it replaced",
		  place, name);
	free(name);
	return COPY_TOLD;
}

/* ---- directories on the way ------------------------------------------------------------------------------------------------ */

/* The copy's directories above a source are as those of the host when they are made. */
static void like_host(struct backup *b, const char *host, uint64_t ino)
{
	struct copy_stat st;
	int fd = host ? open(host, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0 && backup_look(fd, "", &st) == 0) {
		struct linkfs_setattr set = {
			.valid = LINKFS_SET_MODE, .mode = st.st.mode & 07777, .uid = st.st.uid, .gid = st.st.gid};
		if (b->cli->cred.uid == 0)
			set.valid |= LINKFS_SET_UID | LINKFS_SET_GID;
		(void)linkfs_node_setattr(b->volume, &b->cli->cred, ino, &set, NULL);
	}
	if (fd >= 0)
		close(fd);
}

/* Makes what is missing of place, whose last components are the source's path. */
static int make_place(struct backup *b, const char *place, size_t dest_len, uint64_t *ino_out)
{
	const struct linkfs_make how = {.mode = S_IFDIR | 0755};
	char *path = cli_strdup(place);
	struct linkfs_stat st = {0};
	int error = path ? 0 : LINKFS_ENOMEM;
	for (size_t at = 1; !error && place[0] && place[at - 1]; at++) {
		if (place[at] != '/' && place[at] != '\0')
			continue;
		path[at] = '\0';
		error = linkfs_path_stat(b->volume, &b->cli->cred, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, &st);
		if (error == LINKFS_ENOENT) {
			error = linkfs_path_make(b->volume, &b->cli->cred, LINKFS_ROOT_INO, path, &how, &st);
			if (!error && at > dest_len && place[at])
				like_host(b, path + dest_len, st.ino);
		}
		path[at] = place[at];
		if (!place[at])
			break;
	}
	if (!error)
		*ino_out = st.ino;
	free(path);
	return error;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------------------- */

static int settle_source(struct backup *b, struct registry *r, struct backup_source *s, const char *dest)
{
	size_t dest_len = strcmp(dest, "/") == 0 ? 0 : strlen(dest);
	bool root = strcmp(s->path, "/") == 0;
	char *place = root ? cli_strdup(dest) : cli_format("%.*s%s", (int)dest_len, dest, s->path);
	int error = place ? may_go(b, r, s, place) : LINKFS_ENOMEM;
	if (!error && !b->dry)
		error = make_place(b, place, dest_len, &s->top);
	if (!error && b->dry) {
		struct linkfs_stat st;
		if (linkfs_path_stat(b->volume, &b->cli->cred, LINKFS_ROOT_INO, place, LINKFS_NOFOLLOW, &st) == 0)
			s->top = st.ino;
	}
	for (size_t i = 0; i < r->len && !error; i++) {
		const struct registered *item = &r->items[i];
		if (item->place && item->dir == s->top && s->top) {
			bool same = strcmp(item->machine, s->record.machine) == 0 && strcmp(item->path, s->path) == 0;
			s->record.id = item->id;
			s->record.rules = same ? item->row.rules : 0;
			s->record.time_ns = same ? item->row.time_ns : 0;
			s->record.files = same ? item->row.files : 0;
			s->record.bytes = same ? item->row.bytes : 0;
			s->same = same && strcmp(item->host, s->record.host) == 0;
		} else if (!b->dry && (!item->place || (meets(item, place) && !agrees(item, s, place)))) {
			error = linkfs_source_forget(b->volume, &b->cli->cred, item->id);
			if (error == LINKFS_ENOENT)
				error = 0;
		}
	}
	if (error && error != COPY_TOLD)
		cli_failf(b->cli, s->path, "%s in the volume: %s", place ? place : "", linkfs_strerror(error));
	free(place);
	return error;
}

static int add_ways(struct backup *b, const char *place)
{
	char *path = cli_strdup(place);
	int error = path ? 0 : LINKFS_ENOMEM;
	for (size_t at = 1; !error && place[0] && place[at - 1]; at++) {
		struct linkfs_stat st;
		if (place[at] != '/' && place[at] != '\0')
			continue;
		path[at] = '\0';
		if (linkfs_path_stat(b->volume, &b->cli->cred, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, &st) == 0) {
			error = cli_grow(&b->ways, &b->ways_cap, b->nways, sizeof(*b->ways));
			if (!error)
				b->ways[b->nways++] = st.ino;
		}
		path[at] = place[at];
		if (!place[at])
			break;
	}
	free(path);
	return error;
}

/* Where this run would put it: nobody has moved it away. */
static bool is_at_home(const struct backup *b, const struct registered *item, const char *dest)
{
	const char *rest = item->place && strcmp(item->machine, b->machine) == 0 ? below(dest, item->place) : NULL;
	return rest && strcmp(*rest ? rest : "/", item->path) == 0;
}

/* Directories of the volume that have the content of sources, of this run or of others, and those above them. */
static int remember_tops(struct backup *b, const struct registry *r, const char *dest)
{
	int error = 0;
	b->others = cli_alloc((b->nsources + 1) * sizeof(*b->others));
	b->registered = cli_alloc((r->len + b->nsources + 1) * sizeof(*b->registered));
	b->homes = cli_alloc((r->len + b->nsources + 1) * sizeof(*b->homes));
	if (!b->others || !b->registered || !b->homes)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < r->len && !error; i++) {
		b->registered[b->nregistered++] = r->items[i].dir;
		error = r->items[i].place ? add_ways(b, r->items[i].place) : 0;
		if (is_at_home(b, &r->items[i], dest))
			b->homes[b->nhomes++] = r->items[i].dir;
	}
	for (size_t i = 0; i < b->nsources && !error; i++) {
		char *place = NULL;
		if (!b->sources[i].top)
			continue;
		b->registered[b->nregistered++] = b->homes[b->nhomes++] = b->sources[i].top;
		error = linkfs_node_names(b->volume, &b->cli->cred, b->sources[i].top, take_place, &place, NULL);
		if (!error && place)
			error = add_ways(b, place);
		free(place);
	}
	return error;
}

static bool is_among(const uint64_t *list, size_t len, uint64_t ino)
{
	for (size_t i = 0; i < len; i++) {
		if (list[i] == ino)
			return true;
	}
	return false;
}

bool backup_is_registered(const struct backup *b, uint64_t ino)
{
	return is_among(b->registered, b->nregistered, ino);
}

bool backup_is_home(const struct backup *b, uint64_t ino)
{
	return is_among(b->homes, b->nhomes, ino);
}

bool backup_is_way(const struct backup *b, uint64_t ino)
{
	return is_among(b->ways, b->nways, ino);
}

static bool is_empty(int fd)
{
	DIR *dir = NULL;
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool any = false;
	const struct dirent *e;
	if (own < 0 || !(dir = fdopendir(own))) {
		if (own >= 0)
			close(own);
		return false;
	}
	errno = 0;
	while (!any && (e = readdir(dir)))
		any = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	any |= errno != 0;
	closedir(dir);
	return !any;
}

int backup_sources_present(struct backup *b)
{
	for (size_t i = 0; i < b->nsources && !b->take_over; i++) {
		const struct backup_source *s = &b->sources[i];
		struct cli_list list = {0};
		pthread_mutex_lock(&b->known.lock);
		const struct backup_known *k = s->same && s->top ? backup_known_at(&b->known, s->top) : NULL;
		bool other = k && k->inode != s->st.st.ino;
		pthread_mutex_unlock(&b->known.lock);
		if (!other || !is_empty(s->fd))
			continue;
		int error = cli_list_read(b->cli, b->volume, s->top, false, false, &list);
		bool full = list.len;
		cli_list_done(&list);
		if (error)
			return error;
		if (!full)
			continue;
		cli_failf(
			b->cli, s->path,
			"is empty, and not the directory that was backed up last time: is its file system not mounted? "
			"--take-over empties the copy");
		return COPY_TOLD;
	}
	return 0;
}

int backup_sources_open(struct backup *b, const struct cli_args *args)
{
	struct registry r = {0};
	char *dest = NULL;
	size_t count = args->noperands - 1;
	int error = 0;
	name_host(b, b->machine, b->host);
	b->sources = cli_alloc(count * sizeof(*b->sources));
	if (!b->sources)
		error = LINKFS_ENOMEM;
	for (size_t i = 0; i < count && !error; i++) {
		struct backup_source *s = &b->sources[b->nsources++];
		error = open_source(b, &args->operands[i], s);
		s->record.machine = b->machine;
		s->record.host = b->host;
		s->record.path = s->path;
	}
	if (!error)
		drop_nested(b);
	if (!error)
		error = cli_canonical(b->cli, b->volume, b->dest->at, b->dest->path, CLI_CANON_MISSING, &dest);
	if (!error)
		error = registry_read(b, &r);
	for (size_t i = 0; i < b->nsources && !error; i++)
		error = settle_source(b, &r, &b->sources[i], dest);
	if (!error)
		error = remember_tops(b, &r, dest);
	if (error && error != COPY_TOLD)
		cli_fail(b->cli, b->dest->text, error);
	registry_done(&r);
	free(dest);
	return error;
}

void backup_sources_close(struct backup *b)
{
	for (size_t i = 0; i < b->nsources; i++) {
		if (b->sources[i].fd >= 0)
			close(b->sources[i].fd);
		free(b->sources[i].path);
	}
	free(b->sources);
	free(b->others);
	free(b->registered);
	free(b->homes);
	free(b->ways);
}
