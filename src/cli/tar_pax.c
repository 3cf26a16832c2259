/*
 * tar_pax.c - mends the pax headers that libarchive writes (3.6 was looked at), so that others read what was meant: GNU.sparse.name is a shortened
 * name where the real one is long or not ASCII, and the names of extended attributes have all bytes that are not printable ASCII as %XX, of
 * which GNU tar knows those of '%' and '=' only. Headers that are right already stay as they are.
 */
#include "tar.h"
#include <stdlib.h>
#include <string.h>

#define BLOCK 512u
#define XATTR "SCHILY.xattr."

struct out {
	char *p;
	size_t len, cap;
};

static int put(struct out *out, const void *bytes, size_t len)
{
	if (out->len + len > out->cap) {
		size_t cap = (out->len + len) * 2 + BLOCK;
		char *p = realloc(out->p, cap);
		if (!p)
			return LINKFS_ENOMEM;
		out->p = p;
		out->cap = cap;
	}
	memcpy(out->p + out->len, bytes, len);
	out->len += len;
	return 0;
}

/* "LENGTH KEY=VALUE\n", with the length of all of it. */
static int put_record(struct out *out, const char *key, size_t key_len, const char *value, size_t value_len)
{
	char digits[32];
	size_t rest = key_len + value_len + 3, len = rest + 1;
	while ((size_t)snprintf(digits, sizeof(digits), "%zu", len) + rest != len)
		len = (size_t)snprintf(digits, sizeof(digits), "%zu", len) + rest;
	int error = put(out, digits, strlen(digits));
	error = error ? error : put(out, " ", 1);
	error = error ? error : put(out, key, key_len);
	error = error ? error : put(out, "=", 1);
	error = error ? error : put(out, value, value_len);
	return error ? error : put(out, "\n", 1);
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* All is decoded but what GNU tar decodes itself. Never longer than before. */
static size_t mend_key(const char *key, size_t len, char *to)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = key[i] == '%' && i + 2 < len && digit(key[i + 1]) >= 0 && digit(key[i + 2]) >= 0
				? digit(key[i + 1]) * 16 + digit(key[i + 2])
				: 0;
		if (c && c != '%' && c != '=') {
			to[n++] = (char)c;
			i += 2;
		} else {
			to[n++] = key[i];
		}
	}
	return n;
}

static int mend_record(struct out *out, const char *key, size_t key_len, const char *value, size_t value_len,
		       const char *path)
{
	static const char sparse[] = "GNU.sparse.name";
	if (key_len == strlen(sparse) && memcmp(key, sparse, key_len) == 0)
		return put_record(out, key, key_len, path, strlen(path));
	if (key_len <= strlen(XATTR) || memcmp(key, XATTR, strlen(XATTR)) != 0)
		return put_record(out, key, key_len, value, value_len);
	char *mended = malloc(key_len);
	size_t len = mended ? mend_key(key, key_len, mended) : 0;
	int error = mended ? put_record(out, mended, len, value, value_len) : LINKFS_ENOMEM;
	free(mended);
	return error;
}

static int mend_records(struct out *out, const char *p, const char *end, const char *path)
{
	int error = 0;
	while (p < end && !error) {
		char *after;
		size_t len = strtoul(p, &after, 10);
		const char *key = after + 1;
		if (*after != ' ' || len > (size_t)(end - p) || len < (size_t)(key - p) + 2)
			return LINKFS_EIO;
		const char *last = p + len - 1, *equals = memchr(key, '=', (size_t)(last - key));
		if (!equals)
			return LINKFS_EIO;
		error = mend_record(out, key, (size_t)(equals - key), equals + 1, (size_t)(last - equals - 1), path);
		p += len;
	}
	return error;
}

static size_t octal(const char *p, size_t size)
{
	size_t v = 0;
	for (size_t i = 0; i < size && p[i] >= '0' && p[i] <= '7'; i++)
		v = v * 8 + (size_t)(p[i] - '0');
	return v;
}

static void set_size(char *block, size_t size)
{
	char text[16];
	unsigned sum = 8 * ' ';
	snprintf(text, sizeof(text), "%011zo ", size);
	memcpy(block + 124, text, 12);
	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? 0 : (unsigned char)block[i];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(block + 148, text, 7);
	block[155] = ' ';
}

int tar_pax_mend(char **bytes, size_t *len, const char *path)
{
	static const char zeros[BLOCK];
	struct out out = {0};
	size_t size = *len >= BLOCK && (*bytes)[156] == 'x' ? octal(*bytes + 124, 11) : 0;
	size_t whole = BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
	if (size == 0)
		return 0;
	/* The file's own header follows. */
	if (whole >= *len)
		return LINKFS_EIO;
	int error = put(&out, *bytes, BLOCK);
	if (!error)
		error = mend_records(&out, *bytes + BLOCK, *bytes + BLOCK + size, path);
	if (!error) {
		set_size(out.p, out.len - BLOCK);
		error = put(&out, zeros, (BLOCK - out.len % BLOCK) % BLOCK);
	}
	if (!error)
		error = put(&out, *bytes + whole, *len - whole);
	if (error) {
		free(out.p);
		return error;
	}
	free(*bytes);
	*bytes = out.p;
	*len = out.len;
	return 0;
}
