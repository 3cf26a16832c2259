/*
 * text.c - growing texts, errno names, hashes and the canonical forms of answers.
 */
#include "diff.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Noreturn void lk_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("diff: ", stderr);
	(void)vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(99);
}

static void text_reserve(struct text *text, size_t more)
{
	if (text->len + more + 1 <= text->room)
		return;
	size_t room = text->room ? text->room : 256;
	while (room < text->len + more + 1)
		room *= 2;
	char *bytes = realloc(text->bytes, room);
	if (!bytes)
		lk_die("out of memory");
	text->bytes = bytes;
	text->room = room;
}

void lk_text_clear(struct text *text)
{
	text_reserve(text, 0);
	text->len = 0;
	text->bytes[0] = '\0';
}

void lk_text_free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){0};
}

void lk_text_add(struct text *text, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int need = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (need > 0) {
		text_reserve(text, (size_t)need);
		(void)vsnprintf(text->bytes + text->len, (size_t)need + 1, format, again);
		text->len += (size_t)need;
	}
	va_end(again);
}

void lk_text_escape(struct text *text, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];
		if (c > ' ' && c < 0x7f && c != '%' && c != '{' && c != '}')
			lk_text_add(text, "%c", c);
		else
			lk_text_add(text, "%%%02x", c);
	}
}

const char *lk_errno_name(int error)
{
	static char other[32];
	const char *name = strerrorname_np(error);
	if (name)
		return name;
	(void)snprintf(other, sizeof(other), "errno %d", error);
	return other;
}

uint64_t lk_hash(uint64_t hash, const void *bytes, size_t len)
{
	/* FNV-1a, 64 bits, a word at a time where possible. */
	const unsigned char *at = bytes;
	hash ^= UINT64_C(0xcbf29ce484222325);
	for (; len >= 8; at += 8, len -= 8) {
		uint64_t word;
		memcpy(&word, at, 8);
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
	}
	for (; len; at++, len--)
		hash = (hash ^ *at) * UINT64_C(0x100000001b3);
	return hash ^ (hash >> 32);
}

void lk_answer_error(struct text *out, int error)
{
	lk_text_add(out, "%s", lk_errno_name(error));
}

void lk_answer_stat(struct text *out, const struct answer_stat *st, const struct side *side)
{
	static const char letters[] = "amc";
	lk_text_add(out, " %06o nlink %llu %u:%u", (unsigned)st->mode, (unsigned long long)st->nlink, st->uid, st->gid);
	if (!S_ISDIR(st->mode))
		lk_text_add(out, " size %llu", (unsigned long long)st->size);
	if (S_ISCHR(st->mode) || S_ISBLK(st->mode))
		lk_text_add(out, " dev %llu:%llu", (unsigned long long)st->rdev_major,
			    (unsigned long long)st->rdev_minor);
	if (st->keeps)
		lk_text_add(out, " keeps");
	/* A time near the clock is "now"; any other was set by an operation and must be exact. */
	int64_t now = (int64_t)time(NULL);
	for (int i = 0; i < 3; i++) {
		if (i == 0 && (!side->atime || (S_ISLNK(st->mode) && side->against_lib)))
			continue;
		if (st->sec[i] > now - 86400 && st->sec[i] < now + 86400)
			lk_text_add(out, " %c now", letters[i]);
		else
			lk_text_add(out, " %c %lld.%09ld", letters[i], (long long)st->sec[i], st->nsec[i]);
	}
}

void lk_names_add(struct name_list *list, const char *name, size_t len, unsigned type, uint64_t ino)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 16;
		list->names = realloc(list->names, list->room * sizeof(*list->names));
		list->types = realloc(list->types, list->room * sizeof(*list->types));
		list->inos = realloc(list->inos, list->room * sizeof(*list->inos));
		if (!list->names || !list->types || !list->inos)
			lk_die("out of memory");
	}
	char *copy = strndup(name, len);
	if (!copy)
		lk_die("out of memory");
	list->names[list->count] = copy;
	list->types[list->count] = type;
	list->inos[list->count] = ino;
	list->count++;
}

void lk_names_sort(struct name_list *list)
{
	/* Directories of these tests are small: insertion keeps the three arrays together. */
	for (size_t i = 1; i < list->count; i++) {
		char *name = list->names[i];
		unsigned type = list->types[i];
		uint64_t ino = list->inos[i];
		size_t j = i;
		for (; j > 0 && strcmp(list->names[j - 1], name) > 0; j--) {
			list->names[j] = list->names[j - 1];
			list->types[j] = list->types[j - 1];
			list->inos[j] = list->inos[j - 1];
		}
		list->names[j] = name;
		list->types[j] = type;
		list->inos[j] = ino;
	}
}

void lk_names_free(struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	free(list->types);
	free(list->inos);
	*list = (struct name_list){0};
}

void lk_answer_names(struct text *out, const struct name_list *list)
{
	uint64_t hash = 0;
	lk_text_add(out, " %zu:", list->count);
	for (size_t i = 0; i < list->count; i++) {
		size_t len = strlen(list->names[i]);
		hash = lk_hash(lk_hash(hash, list->names[i], len), &list->types[i], sizeof(list->types[i]));
		if (i < 24) {
			lk_text_add(out, " ");
			lk_text_escape(out, list->names[i], len < 16 ? len : 16);
			lk_text_add(out, "/%o", list->types[i] >> 12);
		}
	}
	lk_text_add(out, " #%016llx", (unsigned long long)hash);
}

void lk_answer_bytes(struct text *out, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	lk_text_add(out, " %zu #%08llx", len, (unsigned long long)(lk_hash(0, bytes, len) & 0xffffffff));
	if (len <= 48) {
		lk_text_add(out, " =");
		for (size_t i = 0; i < len; i++)
			lk_text_add(out, "%02x", at[i]);
	}
}
