/*
 * fuzz_options.c - words of a command line as a fuzzer makes them up, one a line: parsed by the row of every command, by mount -o and by
 * mount(8)'s helper. Nothing is run.
 */
#include <mount.h>
#include <run.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 64

static FILE *null;

static void parse(int argc, char **argv)
{
	struct cli cli = {.in = null, .out = null, .err = null, .cwd = "/"};
	struct cli_args args;
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		cli.command = *c;
		cli.status = 0;
		int status = cli_args_parse(&cli, *c, argc, argv, &args);
		if (status == 0 && args.npaths > args.noperands + args.noptions)
			abort();
		if (status == 0)
			cli_args_done(&args);
	}
}

static void mount_options(int argc, char **argv)
{
	struct cli cli = {.in = null, .out = null, .err = null, .cwd = "/", .command = cli_command_find("mount")};
	struct mount_settings settings;
	mount_settings_init(&settings, argc % 2);
	for (int i = 0; i < argc; i++) {
		if (mount_settings_parse(&cli, &settings, argv[i]))
			break;
	}
	if (!memchr(settings.extra, 0, sizeof(settings.extra)))
		abort();
}

/* As main() calls it: with room for four words for each. */
static void helper(int argc, char **argv)
{
	char **words = calloc((size_t)argc * 4 + 8, sizeof(*words));
	FILE *before = stderr;
	int n = 0;
	if (!words)
		abort();
	stderr = null;
	int status = cli_mount_helper(argc, argv, &n, words);
	stderr = before;
	if (status == 0 && (n < 5 || n > argc * 4 + 7 || words[n]))
		abort();
	free(words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 1] = {NULL}, *text = malloc(size + 1), *save = NULL;
	int argc = 0;
	if (!null)
		null = fopen("/dev/null", "w");
	if (!null || !text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *word = strtok_r(text, "\n", &save); word && argc < WORDS_MAX; word = strtok_r(NULL, "\n", &save)) {
		argv[argc] = strdup(word); /* a block of its own */
		if (!argv[argc++])
			abort();
	}
	parse(argc, argv);
	mount_options(argc, argv);
	if (argc)
		helper(argc, argv);
	while (argc)
		free(argv[--argc]);
	free(text);
	return 0;
}
