/*
 * fuzz_stream.c - streams as a fuzzer makes them up, received by a volume that has their base. The input is records without head and checksum: type
 * (1 byte), length of the payload (2 bytes), payload; the first byte of all says whether they are put into frames with good checksums, or
 * the bytes are the stream as it is. Whatever was received, the volume is clean, its snapshot is what it was, and given up the tree is as well.
 */
#include <stream_case.h>

#include <linkfs_check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAMED 1u
#define PER_VOLUME 400u /* inputs: history grows with each */

static char top[64], path[96];
static struct stream_bytes whole, difference, made;
static struct linkfs_volume *volume;
static char *tree;
static unsigned used;

static void die(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, linkfs_error_name(r));
	abort();
}

static void remove_all(void)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command) != 0)
		die(command, 0);
}

static char *text_of(const char *name)
{
	int error = 0;
	char *text = name ? stream_case_past(volume, name, &error) : stream_case_text(volume, LINKFS_ROOT_INO, &error);
	if (!text)
		die("the tree", error);
	return text;
}

static void begin(void)
{
	int r;
	if (!*top) {
		const char *tmp = getenv("TMPDIR");
		(void)snprintf(top, sizeof(top), "%.40s/fuzz-XXXXXX", tmp ? tmp : "/tmp");
		if (!mkdtemp(top))
			abort();
		(void)snprintf(path, sizeof(path), "%s/volume", top);
		stream_case_make(path, &whole, &difference);
		(void)atexit(remove_all);
	}
	if (volume && used++ < PER_VOLUME)
		return;
	if (volume)
		(void)linkfs_volume_close(volume);
	used = 0;
	remove_all();
	if (access(top, F_OK) != 0 && mkdir(top, 0700) != 0)
		abort();
	r = linkfs_volume_create(path, &(struct linkfs_create_options){0}, NULL);
	r = r ? r
	      : linkfs_volume_open(path, &(struct linkfs_open_options){.commit_interval_ms = 3600000}, &volume, NULL);
	r = r ? r : stream_case_receive(volume, &whole, whole.len, 0, NULL);
	if (r)
		die("the base", r);
	free(tree);
	tree = text_of(NULL);
}

static void put(const void *bytes, size_t len)
{
	if (made.len + len > made.cap) {
		made.cap = (made.len + len) * 2;
		made.p = realloc(made.p, made.cap);
		if (!made.p)
			abort();
	}
	if (len)
		memcpy(made.p + made.len, bytes, len);
	made.len += len;
}

static void put_number(uint64_t value, size_t bytes)
{
	uint8_t b[8];
	for (size_t i = 0; i < 8; i++)
		b[i] = (uint8_t)(value >> (8 * i));
	put(b, bytes);
}

static void put_record(uint32_t type, uint64_t index, const void *payload, size_t len)
{
	size_t from = made.len;
	put_number(type, 4);
	put_number(len, 4);
	put_number(index, 8);
	put(payload, len);
	put_number(XXH3_64bits(made.p + from, made.len - from), 8);
}

/* The true beginning, then what the input says, then an end whose sum is right. */
static void frame(const uint8_t *data, size_t size)
{
	uint8_t end[40] = {0};
	uint64_t index = 1;
	XXH128_canonical_t sum;
	put(difference.p, stream_case_record(&difference, 1));
	while (size >= 3) {
		size_t len = (size_t)data[1] | (size_t)data[2] << 8;
		if (len > size - 3)
			len = size - 3;
		put_record(data[0], index++, data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
	XXH128_canonicalFromHash(&sum, XXH3_128bits(made.p, made.len));
	memcpy(end + 24, sum.digest, 16);
	put_record(2, index, end, sizeof(end));
}

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	(void)arg;
	fprintf(stderr, "check: %s: %s\n", f->problem->id, f->text);
	return 0;
}

static void judge(int received)
{
	struct linkfs_check_options options = {.finding = on_finding};
	struct linkfs_receive_pending pending;
	struct linkfs_check_summary sum;
	struct linkfs_message why = {""};
	if (received == 0)
		die("received", received);
	int r = linkfs_volume_check(volume, &options, &sum, NULL);
	if (r || sum.problems)
		die("check", r);
	r = linkfs_receive_pending(volume, &pending);
	if (r && r != LINKFS_ENOENT)
		die("pending", r);
	if (r == 0)
		r = linkfs_receive_abort(volume, NULL, &why);
	if (r && r != LINKFS_ENOENT)
		die(why.text, r);
	char *is = text_of(NULL), *past = text_of("one");
	if (strcmp(is, tree) != 0 || strcmp(past, tree) != 0)
		die("the tree is another", 0);
	free(is);
	free(past);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	begin();
	made.len = 0;
	if (data[0] & FRAMED)
		frame(data + 1, size - 1);
	else
		put(data + 1, size - 1);
	judge(stream_case_receive(volume, &made, made.len, 0, NULL));
	return 0;
}
