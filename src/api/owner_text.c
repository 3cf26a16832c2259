/*
 * owner_text.c - writes and reads the text of a lock file.
 * Layer: api.
 */
#include "owner_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t put_escaped(char *to, const char *value)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		if (*p <= ' ' || *p > '~' || *p == '%') {
			to[n++] = '%';
			to[n++] = hex[*p >> 4];
			to[n++] = hex[*p & 15];
		} else {
			to[n++] = (char)*p;
		}
	}
	return n;
}

static size_t put_line(char *to, const char *key, const char *value)
{
	size_t n = strlen(key);
	memcpy(to, key, n);
	to[n++] = ' ';
	n += put_escaped(to + n, value);
	to[n++] = '\n';
	return n;
}

size_t lk_owner_format(const struct lk_owner_text *owner, char *text)
{
	/* Every value three times its size at most, and the keys. */
	_Static_assert(3 * sizeof(*owner) + 128 <= LK_OWNER_TEXT_MAX, "the text fits");
	char number[32];
	size_t n = put_line(text, "linkfs", "1");
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)owner->pid);
	n += put_line(text + n, "pid", number);
	n += put_line(text + n, "host", owner->host);
	n += put_line(text + n, "boot", owner->boot);
	if (owner->beat) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)owner->beat);
		n += put_line(text + n, "beat", number);
	}
	if (owner->mount_point[0])
		n += put_line(text + n, "mount", owner->mount_point);
	if (owner->control_socket[0])
		n += put_line(text + n, "socket", owner->control_socket);
	return n;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Only a value that is wholly there and whole in out counts. */
static void take_escaped(const char *p, size_t len, char *out, size_t size)
{
	size_t n = 0;
	memset(out, 0, size);
	for (size_t i = 0; i < len; i++) {
		char c = p[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_digit(p[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(p[i + 2]) : -1;
			if (low < 0) {
				memset(out, 0, size);
				return;
			}
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (n + 1 >= size || !c) {
			memset(out, 0, size);
			return;
		}
		out[n++] = c;
	}
}

static uint64_t take_number(const char *p, size_t len, uint64_t max)
{
	uint64_t v = 0;
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return 0;
		v = v * 10 + (uint64_t)(p[i] - '0');
		if (v > max)
			return 0;
	}
	return v;
}

void lk_owner_parse(const char *text, size_t len, struct lk_owner_text *out)
{
	memset(out, 0, sizeof(*out));
	const char *end = text + len;
	while (text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));
		if (!line_end)
			return; /* a torn last line */
		const char *space = memchr(text, ' ', (size_t)(line_end - text));
		if (space) {
			size_t key = (size_t)(space - text), value = (size_t)(line_end - space - 1);
			const char *v = space + 1;
			if (key == 3 && !memcmp(text, "pid", 3))
				out->pid = take_number(v, value, UINT32_MAX);
			else if (key == 4 && !memcmp(text, "beat", 4))
				out->beat = (int64_t)take_number(v, value, INT64_MAX / 16);
			else if (key == 4 && !memcmp(text, "host", 4))
				take_escaped(v, value, out->host, sizeof(out->host));
			else if (key == 4 && !memcmp(text, "boot", 4))
				take_escaped(v, value, out->boot, sizeof(out->boot));
			else if (key == 5 && !memcmp(text, "mount", 5))
				take_escaped(v, value, out->mount_point, sizeof(out->mount_point));
			else if (key == 6 && !memcmp(text, "socket", 6))
				take_escaped(v, value, out->control_socket, sizeof(out->control_socket));
		}
		text = line_end + 1;
	}
}

void lk_owner_self(struct lk_owner_text *out)
{
	memset(out, 0, sizeof(*out));
	out->pid = (uint64_t)getpid();
	if (gethostname(out->host, sizeof(out->host) - 1))
		out->host[0] = '\0';
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size_t n = 0;
		if (lk_pread_some(fd, out->boot, sizeof(out->boot) - 1, 0, &n))
			n = 0;
		while (n && (out->boot[n - 1] == '\n' || out->boot[n - 1] == ' '))
			n--;
		out->boot[n] = '\0';
		(void)close(fd);
	}
}

bool lk_owner_is_local(const struct lk_owner_text *owner)
{
	struct lk_owner_text self;
	lk_owner_self(&self);
	if (owner->boot[0] && self.boot[0])
		return strcmp(owner->boot, self.boot) == 0;
	return strcmp(owner->host, self.host) == 0;
}
