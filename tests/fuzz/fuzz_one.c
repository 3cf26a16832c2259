/*
 * fuzz_one.c - a fuzzer's entry without libFuzzer: over files (a kept input, or AFL's), over seeded chance, or over changed inputs of a corpus.
 *   fuzz FILE...
 *   fuzz --random COUNT [DIR]     COUNT inputs, the same for the same LINKFS_SEED
 *   fuzz --seconds N [DIR]        as many as go into N seconds
 * DIR holds inputs to begin with. An input that ends the program, or takes longer than two minutes, is printed before, in hexadecimal.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Of the sanitizers' library, when it is there. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

#define HANG_SECONDS 120
#define INPUT_MAX 1024u
#define KEPT_MAX 256u

static uint8_t buffer[1 << 20];
static size_t used;
static struct {
	uint8_t *p;
	size_t len;
} kept[KEPT_MAX];
static size_t nkept;
static uint64_t state;

static void show_input(void)
{
	static const char hex[] = "0123456789abcdef";
	static char text[2 * INPUT_MAX + 32] = "\n# input: ";
	size_t n = strlen(text);
	for (size_t i = 0; i < used && i < INPUT_MAX; i++) {
		text[n++] = hex[buffer[i] >> 4];
		text[n++] = hex[buffer[i] & 15];
	}
	text[n++] = '\n';
	if (write(STDERR_FILENO, text, n) < 0)
		_exit(1);
}

static void on_signal(int number)
{
	static const char hang[] = "# the input did not end\n";
	show_input();
	if (number == SIGALRM && write(STDERR_FILENO, hang, sizeof(hang) - 1) < 0)
		_exit(1);
	signal(number, SIG_DFL);
	raise(number == SIGALRM ? SIGKILL : number);
}

static void run(void)
{
	alarm(HANG_SECONDS);
	/* A block of its own, so that one byte too far is seen. */
	uint8_t *input = malloc(used ? used : 1);
	if (!input)
		exit(1);
	memcpy(input, buffer, used);
	LLVMFuzzerTestOneInput(input, used);
	free(input);
	alarm(0);
}

static int load(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 1;
	}
	used = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_kept(const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, NULL, by_name);
	for (int i = 0; i < n; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && nkept < KEPT_MAX && load(path) == 0) {
			used = used < INPUT_MAX ? used : INPUT_MAX;
			kept[nkept].p = malloc(used + 1);
			if (!kept[nkept].p)
				return 1;
			memcpy(kept[nkept].p, buffer, used);
			kept[nkept++].len = used;
			run();
		}
		free(list[i]);
	}
	if (n < 0)
		perror(dir);
	else
		free(list);
	return nkept == 0;
}

static uint64_t next(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return state >> 24;
}

static void make_random(void)
{
	size_t len = 16 + next() % 400;
	for (used = 0; used < len; used++) {
		/* Small numbers are likelier to be opcodes, lengths and inodes. */
		uint64_t r = next();
		buffer[used] = (uint8_t)(r >> 32 & 1 ? r & 63 : r);
	}
	if (next() % 2)
		return;
	/* As often: a FUSE request's length and opcode. */
	buffer[0] = (uint8_t)(40 + buffer[0]);
	buffer[1] = 0;
	memset(buffer + 3, 0, 5);
	memcpy(buffer + 2, buffer, 2);
}

static void insert(size_t at, const uint8_t *from, size_t len)
{
	if (used + len > INPUT_MAX)
		return;
	memmove(buffer + at + len, buffer + at, used - at);
	memcpy(buffer + at, from, len);
	used += len;
}

static void change_one(void)
{
	size_t at = used ? next() % used : 0, len = used ? 1 + next() % (used - at < 16 ? used - at : 16) : 0;
	uint8_t copy[16];
	uint64_t r = next();
	switch (next() % 7) {
	case 0:
		buffer[at] ^= (uint8_t)(1u << r % 8);
		break;
	case 1:
		buffer[at] = (uint8_t)r;
		break;
	case 2:
		buffer[at] = (uint8_t)(buffer[at] + (r % 2 ? 1 : 255));
		break;
	case 3:
		memmove(buffer + at, buffer + at + len, used - at - len);
		used -= len;
		break;
	case 4:
		memcpy(copy, buffer + at, len);
		insert(used ? r % used : 0, copy, len);
		break;
	case 5:
		for (size_t i = 0; i < sizeof(copy); i++)
			copy[i] = (uint8_t)next();
		insert(at, copy, 1 + r % sizeof(copy));
		break;
	default: /* the end of another input */
		if (nkept) {
			size_t k = r % nkept, from = kept[k].len ? next() % kept[k].len : 0;
			insert(at, kept[k].p + from, kept[k].len - from);
		}
		break;
	}
	if (!used)
		used = 1;
}

static void make_changed(void)
{
	size_t k = next() % nkept;
	memcpy(buffer, kept[k].p, kept[k].len);
	used = kept[k].len;
	for (uint64_t n = 1 + next() % 6; n; n--)
		change_one();
}

static int run_many(unsigned long count, unsigned long seconds, const char *dir)
{
	const char *seed = getenv("LINKFS_SEED");
	struct timespec now;
	state = seed ? strtoull(seed, NULL, 10) : 1;
	printf("# seed %llu\n", (unsigned long long)state);
	clock_gettime(CLOCK_MONOTONIC, &now);
	time_t end = now.tv_sec + (time_t)seconds;
	if (dir && load_kept(dir))
		return 1;
	unsigned long done = 0;
	for (; seconds ? now.tv_sec < end : done < count; done++) {
		if (nkept && next() % 4)
			make_changed();
		else
			make_random();
		run();
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	printf("# %lu inputs, and %zu of the corpus\n", done, nkept);
	for (size_t i = 0; i < nkept; i++)
		free(kept[i].p);
	return 0;
}

int main(int argc, char **argv)
{
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(show_input);
	signal(SIGABRT, on_signal);
	signal(SIGALRM, on_signal);
	bool random = argc > 2 && !strcmp(argv[1], "--random"), timed = argc > 2 && !strcmp(argv[1], "--seconds");
	if (random || timed) {
		unsigned long n = strtoul(argv[2], NULL, 10);
		return run_many(random ? n : 0, timed ? n : 0, argc > 3 ? argv[3] : NULL);
	}
	int status = argc < 2;
	for (int i = 1; i < argc; i++) {
		if (load(argv[i]))
			status = 1;
		else
			run();
	}
	return status;
}
