/*
 * wire.c - see wire.h. One table says which fields each type of record has, in order; encoding and decoding follow it.
 * Layer: format.
 */
#include "wire.h"

#include <string.h>
#include <xxhash.h>

enum kind { U32, U64, ID, BYTES };

struct field {
	uint8_t kind;
	uint16_t offset;
	uint32_t max; /* BYTES */
};

#define FIELDS_MAX 14
#define F32(f)                                                                                                         \
	{                                                                                                              \
		U32, offsetof(struct lk_wire, f), 0                                                                    \
	}
#define F64(f)                                                                                                         \
	{                                                                                                              \
		U64, offsetof(struct lk_wire, f), 0                                                                    \
	}
#define FID(f)                                                                                                         \
	{                                                                                                              \
		ID, offsetof(struct lk_wire, f), 0                                                                     \
	}
#define FB(f, max)                                                                                                     \
	{                                                                                                              \
		BYTES, offsetof(struct lk_wire, f), max                                                                \
	}
#define NAME FB(name, LINKFS_NAME_MAX)

static const struct type {
	const char *name;
	uint8_t count;
	struct field fields[FIELDS_MAX];
} types[LK_WIRE_TYPES] = {
	[LK_WIRE_BEGIN] = {"BEGIN",
			   14,
			   {F32(flags), F64(resume), FID(stream), FID(self[0]), FID(self[1]), FID(base[0]),
			    FID(base[1]), F64(mtime_ns), NAME, FB(note, 4095), FB(tags, 1024), FB(stage, 64),
			    FB(base_name, LINKFS_NAME_MAX), F64(object)}},
	[LK_WIRE_END] = {"END", 3, {F64(object), FID(tree), FID(sum)}},
	[LK_WIRE_OLD] = {"OLD", 3, {F64(object), F64(dir), NAME}},
	[LK_WIRE_NEW] = {"NEW",
			 5,
			 {F64(object), F32(mode), F32(rdev_major), F32(rdev_minor), FB(data, LINKFS_SYMLINK_MAX)}},
	[LK_WIRE_UNBIND] = {"UNBIND", 0, {{0}}},
	[LK_WIRE_DEL] = {"DEL", 4, {F64(object), F64(dir), F32(flags), NAME}},
	[LK_WIRE_RMDIR] = {"RMDIR", 1, {F64(object)}},
	[LK_WIRE_SIZE] = {"SIZE", 2, {F64(object), F64(length)}},
	[LK_WIRE_DATA] = {"DATA", 3, {F64(object), F64(offset), FB(data, LK_WIRE_DATA_MAX)}},
	[LK_WIRE_HOLE] = {"HOLE", 3, {F64(object), F64(offset), F64(length)}},
	[LK_WIRE_CLONE] = {"CLONE",
			   6,
			   {F64(object), F64(offset), F64(length), F64(other), F64(other_offset), F32(flags)}},
	[LK_WIRE_TEXT] = {"TEXT", 2, {F64(object), FB(data, LINKFS_SYMLINK_MAX)}},
	[LK_WIRE_ADD] = {"ADD", 3, {F64(object), F64(dir), NAME}},
	[LK_WIRE_TRACK] = {"TRACK", 4, {F64(object), F64(other), F64(dir), NAME}},
	[LK_WIRE_BIND] = {"BIND", 3, {F64(object), F64(dir), NAME}},
	[LK_WIRE_XSET] = {"XSET", 3, {F64(object), NAME, FB(data, LINKFS_XATTR_SIZE_MAX)}},
	[LK_WIRE_XDEL] = {"XDEL", 2, {F64(object), NAME}},
	[LK_WIRE_ATTR] = {"ATTR",
			  8,
			  {F64(object), F32(mode), F32(uid), F32(gid), F32(flags), F64(atime_ns), F64(mtime_ns),
			   F64(btime_ns)}},
	[LK_WIRE_PROPERTY] = {"PROPERTY", 2, {NAME, FB(data, 511)}},
	[LK_WIRE_GONE] = {"GONE",
			  4,
			  {F64(object), F64(dir), FB(rest, LINKFS_SYMLINK_MAX), FB(data, LINKFS_SYMLINK_MAX)}},
};

const char *lk_wire_name(uint32_t type)
{
	return type > 0 && type < LK_WIRE_TYPES ? types[type].name : "?";
}

static void put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void lk_wire_prefix(uint8_t out[LK_WIRE_PREFIX])
{
	memcpy(out, LK_WIRE_MAGIC, 8);
	put_u32(out + 8, LK_WIRE_VERSION);
	put_u32(out + 12, 0);
}

int lk_wire_prefix_check(const uint8_t in[LK_WIRE_PREFIX])
{
	if (memcmp(in, LK_WIRE_MAGIC, 8) != 0)
		return LINKFS_EINVAL;
	/* The rest is for what is not known yet. */
	return get_u32(in + 8) != LK_WIRE_VERSION || get_u32(in + 12) != 0 ? LINKFS_ENEWER : 0;
}

static size_t size_of(const struct field *f, const struct lk_wire *record)
{
	switch (f->kind) {
	case U32:
		return 4;
	case U64:
		return 8;
	case ID:
		return 16;
	default:
		return 4 + ((const struct lk_bytes *)(const void *)((const char *)record + f->offset))->len;
	}
}

static uint8_t *put_field(const struct field *f, const struct lk_wire *record, uint8_t *p)
{
	const char *from = (const char *)record + f->offset;
	struct lk_bytes bytes;
	uint32_t v32;
	uint64_t v64;

	switch (f->kind) {
	case U32:
		memcpy(&v32, from, sizeof(v32));
		put_u32(p, v32);
		return p + 4;
	case U64:
		memcpy(&v64, from, sizeof(v64));
		lk_put_u64(p, v64);
		return p + 8;
	case ID:
		memcpy(p, from, 16);
		return p + 16;
	default:
		memcpy(&bytes, from, sizeof(bytes));
		put_u32(p, (uint32_t)bytes.len);
		if (bytes.len)
			memcpy(p + 4, bytes.p, bytes.len);
		return p + 4 + bytes.len;
	}
}

int lk_wire_encode(const struct lk_wire *record, struct lk_buf *out)
{
	const struct type *t = &types[record->type];
	size_t len = 0;
	uint8_t *head, *p;
	int rc;

	for (uint8_t i = 0; i < t->count; i++) {
		const struct field *f = &t->fields[i];

		if (f->kind == BYTES && size_of(f, record) - 4 > f->max)
			return LINKFS_EINVAL;
		len += size_of(f, record);
	}
	rc = lk_buf_reserve(out, LK_WIRE_HEAD + len + LK_WIRE_TAIL);
	if (rc)
		return rc;
	head = out->p + out->len;
	put_u32(head, record->type);
	put_u32(head + 4, (uint32_t)len);
	lk_put_u64(head + 8, record->index);
	p = head + LK_WIRE_HEAD;
	for (uint8_t i = 0; i < t->count; i++)
		p = put_field(&t->fields[i], record, p);
	lk_put_u64(p, XXH3_64bits(head, LK_WIRE_HEAD + len));
	out->len += LK_WIRE_HEAD + len + LK_WIRE_TAIL;
	return 0;
}

int lk_wire_length(const uint8_t *head, size_t *len_out)
{
	uint32_t type = get_u32(head), len = get_u32(head + 4);
	size_t max = 0, min = 0;

	if (type == 0 || type >= LK_WIRE_TYPES)
		return LINKFS_EINVAL;
	for (uint8_t i = 0; i < types[type].count; i++) {
		const struct field *f = &types[type].fields[i];
		size_t fixed = f->kind == U32 || f->kind == BYTES ? 4 : f->kind == U64 ? 8 : 16;

		min += fixed;
		max += fixed + f->max;
	}
	if (len < min || len > max)
		return LINKFS_EINVAL;
	*len_out = LK_WIRE_HEAD + len + LK_WIRE_TAIL;
	return 0;
}

/* Takes the field from p; false: it is not there. */
static bool get_field(const struct field *f, const uint8_t **p, const uint8_t *end, struct lk_wire *out)
{
	char *to = (char *)out + f->offset;
	size_t left = (size_t)(end - *p);
	struct lk_bytes bytes;
	uint32_t v32;
	uint64_t v64;

	switch (f->kind) {
	case U32:
		if (left < 4)
			return false;
		v32 = get_u32(*p);
		memcpy(to, &v32, sizeof(v32));
		*p += 4;
		return true;
	case U64:
		if (left < 8)
			return false;
		v64 = lk_get_u64(*p);
		memcpy(to, &v64, sizeof(v64));
		*p += 8;
		return true;
	case ID:
		if (left < 16)
			return false;
		memcpy(to, *p, 16);
		*p += 16;
		return true;
	default:
		if (left < 4 || get_u32(*p) > f->max || get_u32(*p) > left - 4)
			return false;
		bytes = (struct lk_bytes){*p + 4, get_u32(*p)};
		memcpy(to, &bytes, sizeof(bytes));
		*p += 4 + bytes.len;
		return true;
	}
}

/* What a name of an entry can be. */
static bool is_name(struct lk_bytes name)
{
	const char *s = name.p;

	return name.len > 0 && !memchr(s, '/', name.len) && !memchr(s, 0, name.len) &&
	       !(s[0] == '.' && (name.len == 1 || (name.len == 2 && s[1] == '.')));
}

/* LK_WIRE_STAGE, or that and a number: it is a word of a line in the volume. */
static bool is_stage(struct lk_bytes name)
{
	const size_t len = strlen(LK_WIRE_STAGE);
	const char *s = name.p;

	if (name.len < len || memcmp(s, LK_WIRE_STAGE, len) != 0)
		return false;
	if (name.len == len)
		return true;
	if (s[len] != '-' || name.len == len + 1)
		return false;
	for (size_t i = len + 1; i < name.len; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return true;
}

static bool is_range(uint64_t offset, uint64_t length)
{
	return offset <= LINKFS_FILE_SIZE_MAX && length <= LINKFS_FILE_SIZE_MAX - offset;
}

static bool holds(const struct lk_wire *r)
{
	bool text = r->data.len == 0 || !memchr(r->data.p, 0, r->data.len);

	switch (r->type) {
	case LK_WIRE_BEGIN:
		return is_name(r->name) && is_stage(r->stage) && !(r->flags & ~LK_WIRE_DIFFERENCE) &&
		       (r->tags.len == 0 || !memchr(r->tags.p, 0, r->tags.len)) &&
		       (r->note.len == 0 || !memchr(r->note.p, 0, r->note.len));
	case LK_WIRE_OLD:
	case LK_WIRE_DEL:
	case LK_WIRE_ADD:
	case LK_WIRE_BIND:
		return is_name(r->name);
	case LK_WIRE_TRACK:
		return r->dir == 0 ? r->name.len == 0 : is_name(r->name);
	case LK_WIRE_XSET:
	case LK_WIRE_XDEL:
		return r->name.len > 0 && !memchr(r->name.p, 0, r->name.len);
	case LK_WIRE_PROPERTY:
		return r->name.len > 0 && !memchr(r->name.p, 0, r->name.len) && text;
	case LK_WIRE_NEW:
		return text;
	case LK_WIRE_TEXT:
		return text && r->data.len > 0;
	case LK_WIRE_GONE:
		return text && r->data.len > 0 && (r->rest.len == 0 || !memchr(r->rest.p, 0, r->rest.len));
	case LK_WIRE_DATA:
		return r->data.len > 0 && is_range(r->offset, r->data.len);
	case LK_WIRE_SIZE:
		return is_range(0, r->length);
	case LK_WIRE_HOLE:
		return r->length > 0 && is_range(r->offset, r->length);
	case LK_WIRE_CLONE:
		return r->length > 0 && is_range(r->offset, r->length) && is_range(r->other_offset, r->length);
	default:
		return true;
	}
}

int lk_wire_decode(const uint8_t *bytes, size_t len, struct lk_wire *out)
{
	const uint8_t *p = bytes + LK_WIRE_HEAD, *end;
	struct lk_wire r = {0};
	size_t expected;

	if (len < LK_WIRE_HEAD + LK_WIRE_TAIL || lk_wire_length(bytes, &expected) || expected != len)
		return LINKFS_EINVAL;
	end = bytes + len - LK_WIRE_TAIL;
	if (XXH3_64bits(bytes, len - LK_WIRE_TAIL) != lk_get_u64(end))
		return LINKFS_EIO;
	r.type = get_u32(bytes);
	r.index = lk_get_u64(bytes + 8);
	for (uint8_t i = 0; i < types[r.type].count; i++)
		if (!get_field(&types[r.type].fields[i], &p, end, &r))
			return LINKFS_EINVAL;
	if (p != end || !holds(&r))
		return LINKFS_EINVAL;
	*out = r;
	return 0;
}
