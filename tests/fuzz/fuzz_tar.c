/*
 * fuzz_tar.c - tar archives as a fuzzer makes them up, imported into a directory of a volume: whatever they say, nothing outside that directory
 * changes, and what was imported can be exported, imported again elsewhere, and then makes the same archive.
 *
 * Input: a byte of how (who imports, what of the archive is cut off), then pieces: an entry (kind, names from a small stock so that they meet,
 * size, pax records), or a change of one byte. The sums of headers are made good, unless how says otherwise.
 */
#include <tar.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCK 512u
#define ARCHIVE_MAX (256u << 10)
#define CHANGES_MAX 64

static char top[2048], path[2100];
static struct linkfs_volume *volume;
static FILE *null;
static uint64_t outside, victim;
static unsigned long taken, same_count, runs;

/* Zeroing what is only reserved costs more than all the rest. */
__attribute__((visibility("default"))) int fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct stat st;
	(void)mode;
	return fstat(fd, &st) == 0 && st.st_size < offset + len ? ftruncate(fd, offset + len) : 0;
}

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* ---- the archive ---------------------------------------------------------------------------------------------------- */

struct input {
	const uint8_t *p;
	size_t left;
};

struct archive {
	uint8_t *p;
	size_t len;
};

static unsigned take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static unsigned take16(struct input *in)
{
	unsigned low = take(in);
	return low | take(in) << 8;
}

/* One to four parts; some bytes as they are. */
static size_t put_name(struct input *in, char *out, size_t size)
{
	static const char *const stock[] = {"a",          "b", "c",   "link",       "file",   "dir",
					    "..",         ".", "",    "outside",    "victim", "in",
					    "../outside", "/", "a/b", "link/victim"};
	size_t n = 0;
	unsigned count = take(in) % 4 + 1;
	for (unsigned i = 0; i < count && n + 16 < size; i++) {
		unsigned which = take(in);
		if (i)
			out[n++] = '/';
		if (which >= 240) {
			for (unsigned k = which % 16; k && n + 1 < size; k--)
				out[n++] = (char)(take(in) | 1);
		} else {
			n += (size_t)snprintf(out + n, size - n, "%s", stock[which % 16]);
		}
	}
	out[n] = '\0';
	return n;
}

static uint64_t put_number(struct input *in)
{
	static const uint64_t numbers[] = {
		0, 1, 3, 511, 512, 513, 4096, 100, 1 << 20, UINT64_C(1) << 32, (UINT64_C(1) << 33) - 1};
	unsigned which = take(in);
	return which < 128 ? numbers[which % 11] : which;
}

static void put_octal(uint8_t *p, size_t size, uint64_t v)
{
	for (size_t i = size - 1; i > 0; i--, v >>= 3)
		p[i - 1] = (uint8_t)('0' + (v & 7));
}

static void sum(uint8_t *block)
{
	unsigned total = 8 * ' ';
	for (size_t i = 0; i < BLOCK; i++)
		total += i >= 148 && i < 156 ? 0 : block[i];
	put_octal(block + 148, 7, total);
	block[154] = 0;
	block[155] = ' ';
}

static void put_header(struct archive *a, char type, const char *name, const char *link, uint64_t size, bool gnu)
{
	uint8_t *b = a->p + a->len;
	memset(b, 0, BLOCK);
	memcpy(b, name, strnlen(name, 100));
	put_octal(b + 100, 8, 0644);
	put_octal(b + 108, 8, 12);
	put_octal(b + 116, 8, 34);
	put_octal(b + 124, 12, size);
	put_octal(b + 136, 12, 1000000000);
	b[156] = (uint8_t)type;
	memcpy(b + 157, link, strnlen(link, 100));
	memcpy(b + 257, gnu ? "ustar  " : "ustar\00000", 8);
	sum(b);
	a->len += BLOCK;
}

static void put_body(struct archive *a, const void *bytes, size_t len)
{
	memcpy(a->p + a->len, bytes, len);
	memset(a->p + a->len + len, 0, BLOCK);
	a->len += (len + BLOCK - 1) / BLOCK * BLOCK;
}

/* A header of pax records before the next entry. */
static void put_pax(struct input *in, struct archive *a)
{
	static const char *const keys[] = {"path",
					   "linkpath",
					   "size",
					   "uid",
					   "gid",
					   "mtime",
					   "atime",
					   "hdrcharset",
					   "SCHILY.acl.access",
					   "SCHILY.acl.default",
					   "SCHILY.xattr.user.x",
					   "SCHILY.xattr.security.capability",
					   "LIBARCHIVE.xattr.user.y",
					   "GNU.sparse.map",
					   "GNU.sparse.major",
					   "GNU.sparse.minor",
					   "GNU.sparse.realsize",
					   "GNU.sparse.name",
					   "GNU.sparse.size",
					   "GNU.sparse.numblocks",
					   "GNU.sparse.offset",
					   "SCHILY.devmajor",
					   "SCHILY.realsize",
					   "SUN.holesdata"};
	static const char *const values[] = {"BINARY",
					     "user::rwx,user:1:rwx,group::r,mask::rwx,other::r",
					     "0,512,1024,10",
					     "1",
					     "0",
					     "-1.5",
					     "99999999999999999999",
					     "4096",
					     "user::rwx,group::,other::",
					     "u:"};
	char body[4096], name[600], line[1200];
	size_t n = 0;
	for (unsigned count = take(in) % 4; count && n < 2000; count--) {
		unsigned key = take(in) % 24, kind = take(in);
		const char *value = name;
		if (kind < 128)
			value = values[kind % 10];
		else
			put_name(in, name, sizeof(name));
		size_t len = strlen(keys[key]) + strlen(value) + 3, digits = len + 1 > 9 ? len + 2 > 99 ? 3 : 2 : 1;
		int got = snprintf(line, sizeof(line), "%zu %s=%s\n", len + digits, keys[key], value);
		memcpy(body + n, line, (size_t)got);
		n += (size_t)got;
	}
	put_header(a, take(in) % 8 ? 'x' : 'g', "PaxHeader", "", n, false);
	put_body(a, body, n);
}

static void put_entry(struct input *in, struct archive *a)
{
	static const char types[] = "000112355566gLKSDVMX7";
	static const char map[] = "2\n0\n3\n600\n5\n";
	char name[600], link[600];
	unsigned how = take(in);
	char type = types[take(in) % (sizeof(types) - 1)];
	put_name(in, name, sizeof(name));
	link[0] = '\0';
	if (type == '1' || type == '2' || how & 64)
		put_name(in, link, sizeof(link));
	size_t body = type == '0' || type == '7' || type == 'S' || how & 128 ? take16(in) % 2048 : 0;
	if (type == 'L' || type == 'K') { /* the next one's name */
		put_header(a, type, "././@LongLink", "", strlen(link) + 1, true);
		put_body(a, link, strlen(link) + 1);
		return;
	}
	put_header(a, type, name, link, how & 32 ? put_number(in) : body, how & 16);
	char bytes[2048];
	memset(bytes, 'x', sizeof(bytes));
	if (how & 8)
		memcpy(bytes, map, sizeof(map));
	put_body(a, bytes, body);
}

static void make_archive(struct input *in, struct archive *a, unsigned how)
{
	struct {
		unsigned at, value;
	} changes[CHANGES_MAX];
	size_t nchanges = 0;
	while (in->left && a->len < ARCHIVE_MAX - 16384) {
		unsigned kind = take(in) % 8;
		if (kind == 7 && nchanges < CHANGES_MAX) {
			changes[nchanges].at = take16(in);
			changes[nchanges++].value = take(in);
		} else if (kind == 6) {
			put_pax(in, a);
		} else {
			put_entry(in, a);
		}
	}
	size_t whole = a->len;
	for (size_t i = 0; i < nchanges && whole; i++) {
		size_t at = changes[i].at % whole;
		a->p[at] = (uint8_t)changes[i].value;
		if (how & 1 && memcmp(a->p + at / BLOCK * BLOCK + 257, "ustar", 5) == 0)
			sum(a->p + at / BLOCK * BLOCK);
	}
	if (!(how & 2)) {
		memset(a->p + a->len, 0, 2 * (size_t)BLOCK);
		a->len += 2 * (size_t)BLOCK;
	}
	if (how & 4)
		a->len -= a->len > 700 ? 700 : a->len;
}

/* ---- the volume -------------------------------------------------------------------------------------------------------- */

static uint64_t make_node(uint64_t dir, const char *name, uint32_t mode)
{
	struct linkfs_make how = {.mode = mode};
	struct linkfs_stat st;
	if (linkfs_node_make(volume, NULL, dir, name, strlen(name), &how, 0, &st) != 0)
		die("cannot make the base");
	return st.ino;
}

static void remove_top(void)
{
	char command[2200];
	(void)linkfs_volume_close(volume);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", top);
	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "# %lu runs, %lu entries taken, %lu round trips\n", runs, taken, same_count);
}

static void start(void)
{
	const char *tmp = getenv("TMPDIR");
	struct linkfs_create_options create = {.limit_bytes = 64u << 20};
	struct linkfs_open_options open = {.commit_interval_ms = 3600000};
	snprintf(top, sizeof(top), "%s/linkfs-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm"
		 : tmp && *tmp                 ? tmp
					       : "/tmp");
	if (!mkdtemp(top))
		abort();
	snprintf(path, sizeof(path), "%s/v", top);
	null = fopen("/dev/null", "r+");
	if (!null || linkfs_volume_create(path, &create, NULL) != 0 ||
	    linkfs_volume_open(path, &open, &volume, NULL) != 0)
		die("cannot make a volume");
	(void)atexit(remove_top);
	outside = make_node(LINKFS_ROOT_INO, "outside", S_IFDIR | 0777);
	victim = make_node(outside, "victim", S_IFREG | 0666);
	if (linkfs_node_write(volume, NULL, victim, 0, "untouched", 9, 0, NULL, NULL) != 0)
		die("cannot write");
}

/* Something for archives to meet; for all to write. */
static void make_place(const char *name)
{
	struct linkfs_stat st;
	uint64_t dir = make_node(LINKFS_ROOT_INO, name, S_IFDIR | 0777);
	make_node(make_node(dir, "dir", S_IFDIR | 0777), "file", S_IFREG | 0666);
	make_node(dir, "file", S_IFREG | 0666);
	if (linkfs_node_symlink(volume, NULL, dir, "link", 4, "../outside", 10, 0, &st) != 0)
		die("cannot make a link");
	struct linkfs_setattr set = {.valid = LINKFS_SET_MODE, .mode = 0777};
	if (linkfs_node_setattr(volume, NULL, dir, &set, NULL) != 0)
		die("cannot open a directory");
}

struct cli_env {
	struct cli cli;
	struct copy copy;
};

static void begin(struct cli_env *env, uint32_t uid)
{
	*env = (struct cli_env){0};
	env->cli =
		(struct cli){.in = null, .out = null, .err = null, .cwd = "/", .command = cli_command_find("import")};
	env->cli.cred = (struct linkfs_cred){.uid = uid, .gid = uid, .umask = 022};
	env->copy = (struct copy){.cli = &env->cli, .recursive = true, .keep_type = true, .existing = COPY_REPLACE};
	env->copy.keep_mode = env->copy.keep_owner = env->copy.keep_times = env->copy.keep_links =
		env->copy.keep_xattr = true;
	if (cli_volume_lend(&env->cli, path, volume) != 0)
		die("no memory");
}

static struct cli_path place_path(const char *text)
{
	return (struct cli_path){.kind = CLI_VOLUME, .text = text, .volume = path, .path = text, .at = LINKFS_ROOT_INO};
}

static uint64_t import(const uint8_t *bytes, size_t len, const char *dest, uint32_t uid)
{
	struct cli_env env;
	struct cli_path to = place_path(dest);
	begin(&env, uid);
	env.cli.in = len ? fmemopen((void *)(uintptr_t)bytes, len, "r") : fopen("/dev/null", "r");
	if (!env.cli.in)
		die("no memory");
	tar_import(&env.copy, NULL, &to);
	fclose(env.cli.in);
	cli_volumes_close(&env.cli);
	taken += env.copy.files + env.copy.dirs + env.copy.links + env.copy.symlinks + env.copy.others;
	if (env.copy.errors && env.cli.status == 0)
		die("errors, and status 0");
	return env.copy.errors;
}

static uint64_t export(const char *from, char **out, size_t *len)
{
	struct cli_env env;
	struct cli_path source = place_path(from);
	begin(&env, 0);
	env.cli.out = open_memstream(out, len);
	if (!env.cli.out)
		die("no memory");
	tar_export(&env.copy, &source, 1, NULL, true, TAR_PLAIN);
	fclose(env.cli.out);
	cli_volumes_close(&env.cli);
	return env.copy.errors;
}

static void clear(const char *name)
{
	struct linkfs_stat st;
	struct cli_env env;
	begin(&env, 0);
	struct cli_path like = place_path("/");
	struct cli_remove how = {.cli = &env.cli, .volume = volume, .like = &like, .recursive = true, .dirs = true};
	if (linkfs_node_lookup(volume, NULL, LINKFS_ROOT_INO, name, strlen(name), 0, &st) == 0)
		cli_remove(&how, LINKFS_ROOT_INO, name, strlen(name), &st, name);
	if (linkfs_node_lookup(volume, NULL, LINKFS_ROOT_INO, name, strlen(name), 0, &st) != LINKFS_ENOENT)
		die("cannot remove what was imported");
	cli_volumes_close(&env.cli);
}

/* ---- what must hold ---------------------------------------------------------------------------------------------------- */

struct seen {
	struct linkfs_stat root, outside, victim;
	unsigned names;
};

static int count(void *arg, const struct linkfs_entry *entry)
{
	(void)entry;
	++*(unsigned *)arg;
	return 0;
}

static void look(struct seen *seen)
{
	size_t done = 0;
	char text[16] = "";
	memset(seen, 0, sizeof(*seen));
	if (linkfs_node_getattr(volume, LINKFS_ROOT_INO, &seen->root) != 0 ||
	    linkfs_node_getattr(volume, outside, &seen->outside) != 0 ||
	    linkfs_node_getattr(volume, victim, &seen->victim) != 0 ||
	    linkfs_node_read(volume, victim, 0, text, sizeof(text), &done) != 0 || done != 9 ||
	    memcmp(text, "untouched", 9) != 0)
		die("what lies outside is not what it was");
	/* Reading is no change. */
	seen->root.atime_ns = seen->outside.atime_ns = seen->victim.atime_ns = 0;
	if (linkfs_node_readdir(volume, NULL, LINKFS_ROOT_INO, 0, 0, count, &seen->names) != 0 ||
	    linkfs_node_readdir(volume, NULL, outside, 0, 0, count, &seen->names) != 0)
		die("cannot list");
}

static void round_trip(void)
{
	char *first = NULL, *second = NULL;
	size_t len = 0, again = 0;
	if (export("/in", &first, &len) == 0) {
		if (import((const uint8_t *)first, len, "/back", 0) != 0)
			die("what was exported cannot be imported");
		if (export("/back", &second, &again) != 0 || len != again || memcmp(first, second, len) != 0)
			die("the same tree makes another archive");
		same_count++;
	}
	free(first);
	free(second);
	clear("back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct archive a = {malloc(ARCHIVE_MAX + 4096), 0};
	struct seen before, after;
	if (!a.p)
		abort();
	if (!top[0])
		start();
	unsigned how = take(&in);
	runs++;
	make_archive(&in, &a, how);
	make_place("in");
	look(&before);
	import(a.p, a.len, "/in", how & 8 ? 0 : 12);
	if (how & 16)
		import(a.p, a.len, "/in", 0);
	look(&after);
	if (memcmp(&before, &after, sizeof(before)) != 0)
		die("something outside of the destination changed");
	if (how & 32)
		round_trip();
	clear("in");
	free(a.p);
	return 0;
}
