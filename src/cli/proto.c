/*
 * proto.c - requests as bytes and frames on a socket; see proto.h.
 */
#include "proto.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct writer {
	uint8_t *p;
	size_t len, cap;
	int error;
};

static void put_bytes(struct writer *w, const void *bytes, size_t len)
{
	if (!w->error && len > CLI_REQUEST_MAX - w->len)
		w->error = LINKFS_E2BIG;
	if (w->error)
		return;
	if (w->len + len > w->cap) {
		size_t cap = (w->len + len) * 2 + 256;
		uint8_t *p = realloc(w->p, cap);
		if (!p) {
			w->error = LINKFS_ENOMEM;
			return;
		}
		w->p = p;
		w->cap = cap;
	}
	memcpy(w->p + w->len, bytes, len);
	w->len += len;
}

static void put_u32(struct writer *w, uint32_t v)
{
	uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
	put_bytes(w, b, sizeof(b));
}

static void put_string(struct writer *w, const char *s)
{
	size_t len = s ? strlen(s) : 0;
	put_u32(w, (uint32_t)len);
	put_bytes(w, s ? s : "", len);
}

struct reader {
	const uint8_t *p;
	size_t left;
	int error;
};

static uint32_t get_u32(struct reader *r)
{
	if (r->error || r->left < 4) {
		r->error = r->error ? r->error : LINKFS_EINVAL;
		return 0;
	}
	uint32_t v = (uint32_t)r->p[0] | (uint32_t)r->p[1] << 8 | (uint32_t)r->p[2] << 16 | (uint32_t)r->p[3] << 24;
	r->p += 4;
	r->left -= 4;
	return v;
}

static char *get_string(struct reader *r)
{
	uint32_t len = get_u32(r);
	if (r->error)
		return NULL;
	if (len > r->left || memchr(r->p, 0, len)) {
		r->error = LINKFS_EINVAL;
		return NULL;
	}
	char *s = malloc((size_t)len + 1);
	if (!s) {
		r->error = LINKFS_ENOMEM;
		return NULL;
	}
	memcpy(s, r->p, len);
	s[len] = '\0';
	r->p += len;
	r->left -= len;
	return s;
}

int cli_request_encode(const struct cli_request *request, uint8_t **out, size_t *len_out)
{
	struct writer w = {0};
	put_u32(&w, CLI_PROTO_MAGIC);
	put_u32(&w, CLI_PROTO_VERSION);
	put_u32(&w, request->flags);
	put_u32(&w, request->width);
	put_u32(&w, request->umask);
	put_string(&w, request->cwd);
	put_string(&w, request->tz);
	put_string(&w, request->time_style);
	put_string(&w, request->block_size);
	put_string(&w, request->collate);
	put_string(&w, request->ctype);
	put_string(&w, request->time);
	put_u32(&w, request->argc);
	for (uint32_t i = 0; i < request->argc; i++)
		put_string(&w, request->argv[i]);
	put_u32(&w, request->npaths);
	for (uint32_t i = 0; i < request->npaths; i++) {
		const struct cli_path *path = &request->paths[i];
		put_u32(&w, (uint32_t)path->kind | (path->in_mount ? 0x100u : 0));
		put_u32(&w, (uint32_t)path->at);
		put_u32(&w, (uint32_t)(path->at >> 32));
		put_string(&w, path->text);
		put_string(&w, path->host);
		put_string(&w, path->volume);
		put_string(&w, path->path);
		put_string(&w, path->snapshot ? path->snapshot : "");
	}
	if (w.error) {
		free(w.p);
		return w.error;
	}
	*out = w.p;
	*len_out = w.len;
	return 0;
}

static void get_path(struct reader *r, struct cli_path *path)
{
	uint32_t kind = get_u32(r);
	uint64_t low = get_u32(r), high = get_u32(r);
	path->kind = (kind & 0xffu) == CLI_VOLUME ? CLI_VOLUME : CLI_HOST;
	path->in_mount = (kind & 0x100u) != 0;
	path->at = low | high << 32;
	path->text = get_string(r);
	path->host = get_string(r);
	path->volume = get_string(r);
	path->path = get_string(r);
	path->snapshot = get_string(r);
	if (!r->error && (kind & ~0x101u))
		r->error = LINKFS_EINVAL;
	if (!r->error && path->kind == CLI_VOLUME && (!path->path[0] || path->volume[0] != '/'))
		r->error = LINKFS_EINVAL;
}

int cli_request_decode(const uint8_t *bytes, size_t len, struct cli_request *out)
{
	struct reader r = {.p = bytes, .left = len};
	struct cli_request request = {0};
	if (get_u32(&r) != CLI_PROTO_MAGIC)
		return LINKFS_EINVAL;
	if (get_u32(&r) != CLI_PROTO_VERSION)
		return r.error ? LINKFS_EINVAL : LINKFS_ENEWER;
	request.flags = get_u32(&r);
	request.width = get_u32(&r);
	request.umask = get_u32(&r) & 0777u;
	request.cwd = get_string(&r);
	request.tz = get_string(&r);
	request.time_style = get_string(&r);
	request.block_size = get_string(&r);
	request.collate = get_string(&r);
	request.ctype = get_string(&r);
	request.time = get_string(&r);
	/* Each argument and path takes at least its length fields: the counts cannot ask for more than was sent. */
	uint32_t argc = get_u32(&r);
	if (!r.error && argc > r.left / 4)
		r.error = LINKFS_EINVAL;
	request.argv = r.error ? NULL : calloc((size_t)argc + 1, sizeof(*request.argv));
	for (; request.argv && request.argc < argc && !r.error; request.argc++)
		request.argv[request.argc] = get_string(&r);
	uint32_t npaths = get_u32(&r);
	if (!r.error && npaths > r.left / 28)
		r.error = LINKFS_EINVAL;
	request.paths = r.error ? NULL : calloc((size_t)npaths + 1, sizeof(*request.paths));
	for (; request.paths && request.npaths < npaths && !r.error; request.npaths++)
		get_path(&r, &request.paths[request.npaths]);
	if (!r.error && (!request.argv || !request.paths))
		r.error = LINKFS_ENOMEM;
	if (!r.error && (r.left || request.argc == 0))
		r.error = LINKFS_EINVAL;
	if (r.error) {
		cli_request_done(&request);
		return r.error;
	}
	*out = request;
	return 0;
}

static void drop(const char *s)
{
	union {
		const char *from;
		char *to;
	} u = {.from = s};
	free(u.to);
}

void cli_request_done(struct cli_request *request)
{
	for (uint32_t i = 0; i < request->argc; i++)
		free(request->argv[i]);
	for (uint32_t i = 0; i < request->npaths; i++) {
		drop(request->paths[i].text);
		drop(request->paths[i].host);
		drop(request->paths[i].volume);
		drop(request->paths[i].path);
		drop(request->paths[i].snapshot);
	}
	free(request->argv);
	free(request->paths);
	free(request->cwd);
	free(request->tz);
	free(request->time_style);
	free(request->block_size);
	free(request->collate);
	free(request->ctype);
	free(request->time);
	*request = (struct cli_request){0};
}

static int send_all(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return LINKFS_EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int cli_frame_send(int fd, enum cli_frame type, const void *payload, size_t len)
{
	uint8_t header[CLI_FRAME_HEADER] = {(uint8_t)len,         (uint8_t)(len >> 8), (uint8_t)(len >> 16),
					    (uint8_t)(len >> 24), (uint8_t)type,       0};
	int error = send_all(fd, header, sizeof(header));
	return error || len == 0 ? error : send_all(fd, payload, len);
}

int cli_socket_read(int fd, void *buf, size_t len)
{
	uint8_t *p = buf;
	while (len) {
		ssize_t n = recv(fd, p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return LINKFS_EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Keeps the first descriptor that came with a message, closes any other. */
static void take_descriptors(struct msghdr *msg, int *fd_out)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fd_out && *fd_out < 0)
				*fd_out = fd;
			else
				close(fd);
		}
	}
}

int cli_frame_header(int fd, enum cli_frame *type_out, size_t *len_out, int *fd_out)
{
	uint8_t header[CLI_FRAME_HEADER];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = {header, sizeof(header)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n;
	if (fd_out)
		*fd_out = -1;
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return LINKFS_EPIPE;
	take_descriptors(&msg, fd_out);
	int error = cli_socket_read(fd, header + n, sizeof(header) - (size_t)n);
	size_t len = (size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 | (size_t)header[3] << 24;
	enum cli_frame type = (enum cli_frame)header[4];
	if (!error && len > (type == CLI_FRAME_REQUEST ? CLI_REQUEST_MAX : CLI_FRAME_DATA_MAX))
		error = LINKFS_EINVAL;
	if (error) {
		if (fd_out && *fd_out >= 0)
			close(*fd_out);
		return error;
	}
	*type_out = type;
	*len_out = len;
	return 0;
}
