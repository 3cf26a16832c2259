/*
 * restore_verify.c - linkfs restore --verify: the volume's tree against one of the host; see restore.h. Lines are those of linkfs diff, from
 * the volume to the destination.
 */
#include "links.h"
#include "restore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	uint32_t bit;
	char letter;
	const char *word;
} kinds[] = {
	{LINKFS_DIFF_LINKS, 'l', "links"},   {LINKFS_DIFF_CONTENT, 'c', "content"}, {LINKFS_DIFF_TIME, 't', "mtime"},
	{LINKFS_DIFF_MODE, 'p', "mode"},     {LINKFS_DIFF_OWNER, 'o', "owner"},     {LINKFS_DIFF_XATTRS, 'x', "xattrs"},
	{LINKFS_DIFF_DEVICE, 'd', "device"},
};

static const char *word_of(char status)
{
	return status == 'A' ? "added" : status == 'D' ? "removed" : status == 'T' ? "type" : "modified";
}

static void tell(struct restore *r, char status, uint32_t what, const char *path)
{
	char letters[2 + CLI_ARRAY_LEN(kinds)] = {status};
	size_t len = 1;
	r->done.differ++;
	restore_progress_end(r);
	if (r->as_json) {
		cli_json_open(&r->json, NULL, '{');
		cli_json_string(&r->json, "status", word_of(status));
		cli_json_bytes(&r->json, "path", path, strlen(path));
		cli_json_open(&r->json, "what", '[');
		for (size_t i = 0; i < CLI_ARRAY_LEN(kinds); i++) {
			if (what & kinds[i].bit)
				cli_json_string(&r->json, NULL, kinds[i].word);
		}
		cli_json_close(&r->json, ']');
		cli_json_close(&r->json, '}');
		return;
	}
	if (r->quiet)
		return;
	for (size_t i = 0; i < CLI_ARRAY_LEN(kinds); i++) {
		if (what & kinds[i].bit)
			letters[len++] = kinds[i].letter;
	}
	fwrite(letters, 1, len, r->cli->out);
	fputc('\t', r->cli->out);
	cli_show_bytes(r->cli, path, strlen(path));
	fputc('\n', r->cli->out);
}

static void failed(struct restore *r, int error)
{
	if (error == LINKFS_EINTR)
		r->stopped = true;
	else if (error == LINKFS_EXDEV && !r->mounts)
		restore_fail(r, "another file system is mounted there: not compared; --mounts goes into it", COPY_TOLD);
	else
		restore_fail(r, "cannot compare", error);
}

/* Names that are of one file here must be of one there, and the other way round. */
static int compare_links(struct restore *r, const struct copy_stat *st, const struct copy_stat *there, uint32_t *what)
{
	const struct copy_place *first = copy_map_find(r->map, st->dev, st->st.ino);
	const struct copy_place *source = copy_map_find(r->there, there->dev, there->st.ino);
	struct copy_place place = {.dev = there->dev, .ino = there->st.ino};
	int error = 0;
	if (S_ISDIR(st->st.mode) || (st->st.nlink <= 1 && there->st.nlink <= 1))
		return 0;
	if (st->st.nlink <= 1 || (first && (first->dev != there->dev || first->ino != there->st.ino)) ||
	    (source && source->ino != st->st.ino))
		*what |= LINKFS_DIFF_LINKS;
	if (!first && st->st.nlink > 1)
		error = copy_map_add(r->map, st->dev, st->st.ino, &place);
	place = (struct copy_place){.dev = st->dev, .ino = st->st.ino};
	if (!error && !source)
		error = copy_map_add(r->there, there->dev, there->st.ino, &place);
	return error;
}

bool restore_verify_entry(struct restore *r, struct restore_frame *frame, const char *from_name,
			  const struct copy_stat *st, const char *name)
{
	struct copy_stat there;
	uint32_t what = 0;
	int fd = -1;
	int error = restore_look(r, &frame->to, name, &fd, &there);
	if (error == LINKFS_ENOENT) {
		tell(r, 'D', 0, r->below);
		return false;
	}
	bool same_type = !error && (st->st.mode & S_IFMT) == (there.st.mode & S_IFMT);
	if (!error && !same_type)
		tell(r, 'T', 0, r->below);
	if (same_type) {
		error = restore_compare(r, &frame->from, from_name, st, fd, &there, true, &what);
		if (!error)
			error = compare_links(r, st, &there, &what);
		if (!error && what)
			tell(r, 'M', what, r->below);
	}
	if (fd >= 0)
		close(fd);
	if (error)
		failed(r, error);
	else if (same_type)
		r->done.unchanged += what == 0;
	return !error && same_type && S_ISDIR(st->st.mode);
}

void restore_verify_top(struct restore *r, struct restore_frame *frame)
{
	struct copy_stat there;
	uint32_t what = 0;
	int error = restore_stat_fd(frame->to.fd, &there, NULL);
	if (!error)
		error = restore_compare_meta(r, &frame->from, &frame->stat, frame->to.fd, &there, true, &what);
	if (error)
		failed(r, error);
	else if (what)
		tell(r, 'M', what, ".");
	else
		r->done.unchanged++;
}

void restore_verify_rest(struct restore *r, struct restore_frame *frame)
{
	struct cli_list there;
	int error = copy_host_list(frame->to.fd, &there);
	if (error) {
		failed(r, error);
		return;
	}
	restore_names_sort(&frame->list);
	for (size_t i = 0; i < there.len; i++) {
		const struct cli_entry *e = &there.entries[i];
		if (restore_names_have(&frame->list, e))
			continue;
		char *path = frame->below_len ? cli_format("%.*s/%s", (int)frame->below_len, r->below, e->name)
					      : cli_strdup(e->name);
		if (path)
			tell(r, 'A', 0, path);
		else
			failed(r, LINKFS_ENOMEM);
		free(path);
	}
	cli_list_done(&there);
}
