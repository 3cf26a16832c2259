/*
 * fuzz_one.c - runs a fuzzer's entry over the files named on the command line (a kept input that once failed), or over
 * seeded chance: fuzz_one --random COUNT.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t buffer[1 << 20];

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 1;
	}
	size_t size = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(buffer, size);
}

static void run_random(unsigned long count)
{
	const char *seed = getenv("LINKFS_SEED");
	uint64_t state = seed ? strtoull(seed, NULL, 10) : 1;
	printf("# seed %llu\n", (unsigned long long)state);
	for (unsigned long i = 0; i < count; i++) {
		size_t size = 0;
		while (size < 400) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			/* Small numbers are likelier to be opcodes, lengths and inodes. */
			buffer[size++] = (uint8_t)(state >> 60 < 9 ? (state >> 40) & 63 : state >> 40);
		}
		buffer[0] = (uint8_t)(40 + buffer[0]);
		buffer[1] = 0;
		memset(buffer + 3, 0, 5);
		memcpy(buffer + 2, buffer, 2);
		LLVMFuzzerTestOneInput(buffer, size);
	}
}

int main(int argc, char **argv)
{
	int status = 0;
	if (argc == 3 && !strcmp(argv[1], "--random")) {
		run_random(strtoul(argv[2], NULL, 10));
		return 0;
	}
	for (int i = 1; i < argc; i++)
		status |= run_file(argv[i]);
	return status;
}
