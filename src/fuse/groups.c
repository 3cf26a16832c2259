/*
 * groups.c - one question that the protocol leaves open: a request has the caller's group, but not the supplementary ones.
 * The kernel checks permissions itself, so that matters in a single case: it asks to drop setuid and setgid (a write, a
 * truncation), and the file has setgid without group execution. Then members of the file's group keep the bit
 * (setattr_should_drop_sgid in the kernel's fs/attr.c), and membership is read from /proc/TID/status. Where that cannot be
 * read the bit goes, which is the safe side.
 * Layer: fuse.
 */
#include "session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the list of numbers at p, up to the line's end, has gid. */
static bool line_has(const char *p, uint32_t gid)
{
	while (*p && *p != '\n') {
		char *end;
		unsigned long long number = strtoull(p, &end, 10);
		if (end == p)
			return false;
		if (number == gid)
			return true;
		p = end;
		while (*p == ' ' || *p == '\t')
			p++;
	}
	return false;
}

static bool thread_in_group(uint32_t thread, uint32_t gid)
{
	static const char label[] = "\nGroups:\t";
	char path[32], text[16384];
	size_t len = 0;
	snprintf(path, sizeof(path), "/proc/%u/status", thread);
	int fd = thread ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	while (len < sizeof(text) - 1) {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	text[len] = 0;
	const char *line = strstr(text, label);
	return line && line_has(line + sizeof(label) - 1, gid);
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
