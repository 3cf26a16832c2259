/*
 * test_stream_random.c - a tree that is changed at random is sent to another volume, first as a whole, then by differences: the snapshot there, and
 * the tree, show what the snapshot here shows, by each path (types, modes, owners, times, contents, texts, which names are of one file,
 * where symlinks lead), and take no more blocks. Streams are cut anywhere, at the ends of records too, and go on with the same bytes or with those for
 * the token; the volume is closed meanwhile, and clean; the same two snapshots give the same bytes. Trees that are not the base are
 * refused, and rolled back when asked. LINKFS_STEPS=N sends N times; LINKFS_SEED replays.
 */
#include "world.h"

#include "past.h"

#include <linkfs_stream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct linkfs_volume *here, *there;
static char there_path[4096];
static unsigned long cuts, resumed, refused, blocks_here, blocks_there;
static bool packed; /* compressed content has blocks of its own, or none */

struct bytes {
	unsigned char *p;
	size_t len, cap, at, end;
};

static int put(void *arg, const void *bytes, size_t len)
{
	struct bytes *b = arg;
	if (b->len + len > b->cap) {
		b->cap = (b->len + len) * 2;
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	memcpy(b->p + b->len, bytes, len);
	b->len += len;
	return 0;
}

static int get(void *arg, void *buf, size_t size, size_t *done_out)
{
	struct bytes *b = arg;
	size_t n = b->end - b->at;
	n = n < size ? n : size;
	if (n > 7 && below(4) == 0)
		n = 1 + below(7);
	memcpy(buf, b->p + b->at, n);
	b->at += n;
	*done_out = n;
	return 0;
}

static void open_there(void)
{
	struct linkfs_message why;
	if (linkfs_volume_open(there_path, &(struct linkfs_open_options){0}, &there, &why))
		fail_msg("%s", why.text);
}

static void check_there(void)
{
	v = there;
	check();
	v = here;
}

static void send_it(uint64_t from, uint64_t to, const char *token, struct bytes *out)
{
	struct linkfs_message why = {""};
	const struct linkfs_send ask = {.from = from, .to = to, .token = token, .write = put, .arg = out};
	out->len = 0;
	int r = linkfs_send(here, NULL, &ask, &why);
	if (r)
		fail_msg("seed %llu, step %lu: send: %s: %s", (unsigned long long)lk_test_seed(), step,
			 linkfs_error_name(r), why.text);
}

static int receive_it(struct bytes *from, size_t end, uint32_t flags, struct linkfs_message *why)
{
	const struct linkfs_receive ask = {.read = get, .arg = from, .flags = flags};
	struct linkfs_received received;
	from->at = 0;
	from->end = end;
	why->text[0] = 0;
	return linkfs_receive(there, NULL, &ask, &received, why);
}

/* Where a record ends, at random. */
static size_t some_end(const struct bytes *b)
{
	size_t at = 16, ends = 0, chosen = 16;
	while (at + 24 <= b->len) {
		size_t len = (size_t)b->p[at + 4] | (size_t)b->p[at + 5] << 8 | (size_t)b->p[at + 6] << 16;
		at += 24 + len;
		if (below(++ends) == 0)
			chosen = at;
	}
	return chosen < b->len ? chosen : b->len - 1;
}

static void receive_in_parts(uint64_t from, uint64_t to, struct bytes *stream)
{
	struct linkfs_message why;
	uint64_t parts = below(4);
	for (uint64_t i = 0; i < parts; i++) {
		struct linkfs_receive_pending pending;
		size_t end = below(2) ? below(stream->len) : some_end(stream);
		int r = receive_it(stream, end, 0, &why);
		if (r != LINKFS_EPIPE && !(end == 0 && r == LINKFS_ENODATA))
			fail_msg("seed %llu, step %lu: a stream cut at %zu of %zu: %s: %s",
				 (unsigned long long)lk_test_seed(), step, end, stream->len, linkfs_error_name(r),
				 why.text);
		cuts++;
		if (below(3) == 0) {
			OK(linkfs_volume_close(there));
			open_there();
		}
		if (below(4) == 0)
			check_there();
		r = linkfs_receive_pending(there, &pending);
		assert_true(r == 0 || r == LINKFS_ENOENT);
		if (r == 0 && below(8) == 0) {
			OK(linkfs_receive_abort(there, NULL, &why));
			assert_int_equal(linkfs_receive_pending(there, &pending), LINKFS_ENOENT);
			send_it(from, to, NULL, stream);
		} else if (r == 0 && below(2)) {
			send_it(0, 0, pending.token, stream);
			resumed++;
		}
	}
	int r = receive_it(stream, stream->len, 0, &why);
	if (r)
		fail_msg("seed %llu, step %lu: %s: %s", (unsigned long long)lk_test_seed(), step, linkfs_error_name(r),
			 why.text);
}

/* Somebody writes in the copy. */
static void be_refused(const struct bytes *stream)
{
	struct linkfs_message why;
	struct linkfs_stat st;
	struct bytes copy = *stream;
	int r = linkfs_path_make(there, NULL, ROOT, "/stranger", &(struct linkfs_make){.mode = S_IFREG | 0644}, &st);
	if (r == LINKFS_EEXIST)
		return;
	OK(r);
	assert_int_equal(receive_it(&copy, copy.len, 0, &why), LINKFS_EXDEV);
	assert_non_null(strstr(why.text, "/stranger"));
	refused++;
	if (below(2)) {
		OK(linkfs_path_unlink(there, NULL, ROOT, "/stranger"));
	} else {
		copy.at = 0;
		r = receive_it(&copy, below(copy.len), LINKFS_RECEIVE_DISCARD, &why);
		assert_true(r == LINKFS_EPIPE || r == LINKFS_ENODATA);
		r = linkfs_path_unlink(there, NULL, ROOT, "/stranger"); /* the stream ended before it had begun */
		assert_true(r == 0 || r == LINKFS_ENOENT);
	}
}

/* ---- the same --------------------------------------------------------------------------------------------------- */

struct used {
	uint64_t disk;
	uint64_t last; /* bytes, of a file's last block that is not full; else 0 */
};
static struct used disk[400000];
static size_t disk_count;

static int take_extent(void *arg, const struct linkfs_extent *e)
{
	uint64_t size = *(const uint64_t *)arg;
	for (uint64_t at = 0; at < e->length && !(e->flags & LINKFS_EXTENT_UNWRITTEN); at += 4096) {
		assert_true(disk_count < sizeof(disk) / sizeof(disk[0]));
		disk[disk_count++] = (struct used){e->disk + at, e->offset + at + 4096 > size ? size % 4096 : 0};
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	if (x->disk != y->disk)
		return x->disk < y->disk ? -1 : 1;
	return x->last < y->last ? -1 : x->last > y->last;
}

/* How many there are, and how often one that is a file's last lies within another one as well, or ends elsewhere: those may be sent for each. */
static unsigned long blocks_at(uint64_t root, unsigned long *both_out)
{
	unsigned long blocks = 0;
	*both_out = 0;
	look_at(root);
	disk_count = 0;
	for (size_t i = 0; i < seen_count; i++) {
		uint64_t offset = 0, size = seen[i].st.size;
		while (S_ISREG(seen[i].st.mode) && offset != UINT64_MAX)
			OK(linkfs_node_extents(v, seen[i].st.node, &offset, take_extent, &size));
	}
	qsort(disk, disk_count, sizeof(disk[0]), by_number);
	for (size_t i = 0; i < disk_count; i++) {
		bool another = i == 0 || disk[i].disk != disk[i - 1].disk;
		blocks += another;
		*both_out += !another && disk[i].last != disk[i - 1].last;
	}
	return blocks;
}

static void same(const char *what, const char *was, const char *is)
{
	const char *a = was, *b = is;
	if (strcmp(was, is) == 0)
		return;
	while (*a && *a == *b) {
		a++;
		b++;
	}
	while (a > was && a[-1] != '\n') {
		a--;
		b--;
	}
	fail_msg("seed %llu, step %lu: %s\n here  %.*s\n there %.*s", (unsigned long long)lk_test_seed(), step, what,
		 (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}

static void compare(const char *name)
{
	char *was = describe(root_of(name), "", false);
	unsigned long both = 0, none = 0, blocks = blocks_at(root_of(name), &both);
	v = there;
	char *is = describe(root_of(name), "", false);
	char *live = describe(ROOT, "", false);
	unsigned long taken = blocks_at(root_of(name), &none);
	v = here;
	same(name, was, is);
	same("the tree", was, live);
	blocks_here += blocks;
	blocks_there += taken;
	if (taken > blocks + both && !packed)
		fail_msg("seed %llu, step %lu: %lu blocks, %lu of them both, and %lu there",
			 (unsigned long long)lk_test_seed(), step, blocks, both, taken);
	free(was);
	free(is);
	free(live);
}

static void run(bool with_places)
{
	const char *steps = getenv("LINKFS_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10) : 40;
	struct bytes stream = {0}, again = {0};
	char name[32], before[32] = "";
	uint64_t from = 0;
	here = v;
	(void)snprintf(there_path, sizeof(there_path), "%s.copy", world_path());
	struct linkfs_create_options how = {0};
	const char *const *properties = lk_test_properties(&how.property_count);
	packed = how.property_count > 0;
	/* What comes from compressed content goes into either. */
	how.properties = properties;
	if (packed && lk_test_seed() % 2)
		how.property_count = 0;
	OK(linkfs_volume_create(there_path, &how, NULL));
	open_there();
	places = with_places;
	describe_texts = !with_places;
	rnd.state = lk_test_seed();
	print_message("# seed %llu, %lu streams\n", (unsigned long long)lk_test_seed(), count);
	for (step = 1; step <= count; step++) {
		for (uint64_t i = below(5) ? below(60) : below(4); i > 0; i--) {
			if (i % 20 == 1 || multiplied)
				look();
			(void)change();
		}
		(void)snprintf(name, sizeof(name), "at %lu", step);
		uint64_t to = take_snapshot(name);
		send_it(from, to, NULL, &stream);
		if (below(4) == 0) {
			send_it(from, to, NULL, &again);
			assert_int_equal(again.len, stream.len);
			assert_memory_equal(again.p, stream.p, stream.len);
		}
		if (from && below(5) == 0)
			be_refused(&stream);
		receive_in_parts(from, to, &stream);
		compare(name);
		if (step % 10 == 0)
			check_there();
		/* The base goes here and there, but for what the next difference starts from. */
		if (*before && below(2)) {
			OK(linkfs_snapshot_delete(below(2) ? here : there, NULL, before, NULL, NULL, NULL));
		}
		memcpy(before, name, sizeof(before));
		from = to;
	}
	check_there();
	print_message("# %lu cuts, %lu went on by token, %lu refused; %lu blocks, %lu there\n", cuts, resumed, refused,
		      blocks_here, blocks_there);
	assert_true(cuts > count / 4 && resumed > count / 20);
	OK(linkfs_volume_close(there));
	free(stream.p);
	free(again.p);
}

static void links_of_all_kinds(void **state)
{
	(void)state;
	run(true);
}

static void with_texts(void **state)
{
	(void)state;
	run(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(with_texts, setup, teardown),
					   cmocka_unit_test_setup_teardown(links_of_all_kinds, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
