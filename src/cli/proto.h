/*
 * proto.h - the control socket's protocol (design M3). Frames: 4 bytes length of the payload (little endian), 1 byte type,
 * 3 bytes zero, payload. The client sends one CLI_FRAME_REQUEST, then input when asked; the owner sends output and at last the exit status.
 * Every length is bounded; decoding touches nothing but the bytes it is given, so that it can be fuzzed.
 */
#ifndef CLI_PROTO_H
#define CLI_PROTO_H

#include "cli.h"

#define CLI_PROTO_MAGIC 0x4b464c31u
#define CLI_PROTO_VERSION 2u
#define CLI_FRAME_HEADER 8u
#define CLI_FRAME_DATA_MAX 65536u
#define CLI_REQUEST_MAX (8u << 20) /* arguments: Linux allows 2 MiB by default; paths are sent twice */

enum cli_frame {
	CLI_FRAME_REQUEST = 1,
	CLI_FRAME_IN = 2,   /* client: bytes of its standard input; empty at the end */
	CLI_FRAME_WANT = 3, /* owner: asks for one CLI_FRAME_IN */
	CLI_FRAME_OUT = 4,  /* owner: bytes for standard output */
	CLI_FRAME_ERR = 5,
	CLI_FRAME_EXIT = 6,     /* owner: 4 bytes of status; the last frame */
	CLI_FRAME_FAREWELL = 7, /* client, instead of a request: answered by EXIT when the volume is closed */
};

/* What a request says, beside the descriptor of the working directory that may come with it. */
struct cli_request {
	uint32_t flags; /* CLI_REQUEST_... */
	uint32_t width, umask;
	char *cwd, *tz, *time_style, *block_size;
	char *collate, *ctype, *time; /* locales */
	uint32_t argc, npaths;
	char **argv;
	struct cli_path *paths; /* text, host, volume, path are owned */
};
#define CLI_REQUEST_IN_TTY 1u
#define CLI_REQUEST_OUT_TTY 2u
#define CLI_REQUEST_ERR_TTY 4u
#define CLI_REQUEST_HAS_TZ 8u

/* Both allocate; LINKFS_ENOMEM, LINKFS_E2BIG, LINKFS_EINVAL (malformed), LINKFS_ENEWER (another version). */
int cli_request_encode(const struct cli_request *request, uint8_t **out, size_t *len_out);
int cli_request_decode(const uint8_t *bytes, size_t len, struct cli_request *out);
void cli_request_done(struct cli_request *request);

/* One frame to a socket, whole; LINKFS_EPIPE when the other side is gone. */
int cli_frame_send(int fd, enum cli_frame type, const void *payload, size_t len);
/* The header of the next frame; fd_out (may be NULL) takes a descriptor that came with it, -1 for none. */
int cli_frame_header(int fd, enum cli_frame *type_out, size_t *len_out, int *fd_out);
int cli_socket_read(int fd, void *buf, size_t len);

/* "RUNTIME-DIRECTORY", made when it is missing and refused when somebody else could have made it. */
int cli_runtime_dir(char *buf, size_t size, struct linkfs_message *why);
/* Removes sockets in dir of processes that are no more. */
void cli_runtime_clean(const char *dir);
/* Whether path is that of a control socket in the runtime directory of user uid, where nobody else makes any. */
bool cli_runtime_owns(const char *path, uid_t uid);
/* A socket that listens at path, for its owner alone; a LINKFS_E... code on failure. */
int cli_runtime_listen(const char *path);

#endif
