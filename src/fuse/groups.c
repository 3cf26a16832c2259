/*
 * groups.c - one question that the protocol leaves open: a request has the caller's group, but not the supplementary ones.
 * The kernel checks permissions itself, so that matters in two cases. It asks to drop setuid and setgid (a write, a
 * truncation), and the file has setgid without group execution: then members of the file's group keep the bit
 * (setattr_should_drop_sgid in the kernel's fs/attr.c). And somebody asks about links (ops_links.c). Membership is read from
 * /proc/TID/status; where that cannot be read there is none, which is the safe side.
 * Layer: fuse.
 */
#include "session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The next number of the line at *p; false at its end. */
static bool next_group(const char **p, uint32_t *out)
{
	char *end;
	unsigned long long number = strtoull(*p, &end, 10);
	if (**p == '\n' || end == *p)
		return false;
	while (*end == ' ' || *end == '\t')
		end++;
	*p = end;
	*out = (uint32_t)number;
	return true;
}

#define STATUS_MAX 65536u

/* The thread's line of groups in its status, which is read into text (STATUS_MAX bytes); NULL when there is none. */
static const char *groups_line(uint32_t thread, char *text)
{
	static const char label[] = "\nGroups:\t";
	char path[32];
	size_t len = 0;
	snprintf(path, sizeof(path), "/proc/%u/status", thread);
	int fd = thread ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return NULL;
	while (len < STATUS_MAX - 1) {
		ssize_t n = read(fd, text + len, STATUS_MAX - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	/* The last number of a text that did not fit may be cut. */
	while (len == STATUS_MAX - 1 && len > 0 && text[len - 1] != ' ' && text[len - 1] != '\n')
		len--;
	text[len] = 0;
	const char *line = strstr(text, label);
	return line ? line + sizeof(label) - 1 : NULL;
}

uint32_t lk_fuse_groups(uint32_t thread, uint32_t **out)
{
	char *text = malloc(STATUS_MAX);
	const char *line = text ? groups_line(thread, text) : NULL;
	uint32_t *groups = NULL, count = 0, group;
	*out = NULL;
	if (line)
		groups = malloc((strcspn(line, "\n") / 2 + 1) * sizeof(*groups));
	while (groups && next_group(&line, &group))
		groups[count++] = group;
	free(text);
	*out = groups;
	return count;
}

static bool thread_in_group(uint32_t thread, uint32_t gid)
{
	uint32_t *groups, count = lk_fuse_groups(thread, &groups);
	bool found = false;
	for (uint32_t i = 0; i < count; i++)
		found |= groups[i] == gid;
	free(groups);
	return found;
}

void lk_fuse_join_group(struct lk_fuse_request *rq)
{
	struct linkfs_stat st;
	if (rq->cred.uid == 0 || linkfs_node_getattr(rq->mount->volume, rq->ino, &st))
		return;
	if ((st.mode & (S_IFMT | S_ISGID | S_IXGRP)) != (S_IFREG | S_ISGID) || st.gid == rq->cred.gid)
		return;
	if (!thread_in_group(rq->in->pid, st.gid))
		return;
	rq->group = st.gid;
	rq->cred.groups = &rq->group;
	rq->cred.ngroups = 1;
}
