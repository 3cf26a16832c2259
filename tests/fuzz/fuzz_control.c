/*
 * fuzz_control.c - requests of the control socket (design M3), as libFuzzer makes them up: decoded, and their options parsed by the row of
 * the command they name; nothing is run. The bytes also go through what reads words of users and shows names of files.
 */
#include <proto.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_words(const struct cli_request *request, FILE *null)
{
	struct cli cli = {.in = null, .out = null, .err = null, .cwd = "/"};
	struct cli_args args;
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		cli.command = *c;
		cli.status = 0;
		int status = cli_args_parse(&cli, *c, (int)request->argc - 1, request->argv + 1, &args);
		if (status == 0 && args.npaths > args.noperands + args.noptions)
			abort();
		if (status == 0)
			cli_args_done(&args);
	}
}

static void read_text(const char *text, size_t size, FILE *null)
{
	struct cli cli = {.tz = "UTC0"};
	struct cli_mode *mode;
	struct cli_json json = {.out = null};
	int64_t ns;
	uint64_t n;
	if (cli_mode_parse(text, &mode) == 0) {
		if (cli_mode_apply(mode, 0644, true, 022) > 07777)
			abort();
		cli_mode_free(mode);
	}
	(void)cli_time_parse(&cli, text, 0, &ns);
	(void)cli_time_parse_stamp(&cli, text, 0, &ns);
	(void)cli_parse_size(text, &n);
	for (int how = CLI_QUOTE_LITERAL; how <= CLI_QUOTE_HIDE; how++)
		free(cli_quote(text, size, (enum cli_quoting)how, NULL));
	cli_json_bytes(&json, NULL, text, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t front[8] = {0x31, 0x4c, 0x46, 0x4b, CLI_PROTO_VERSION};
	static FILE *null;
	if (!null)
		null = fopen("/dev/null", "w");
	/* Blocks of their own, so that one byte too far is seen. */
	uint8_t *bytes = malloc(size + sizeof(front));
	char *text = malloc(size + 1);
	struct cli_request request;
	if (!null || !bytes || !text)
		abort();
	memcpy(bytes, front, sizeof(front));
	memcpy(bytes + sizeof(front), data, size);
	if (cli_request_decode(bytes, size + sizeof(front), &request) == 0) {
		parse_words(&request, null);
		cli_request_done(&request);
	}
	if (cli_request_decode(data, size, &request) == 0)
		cli_request_done(&request);
	memcpy(text, data, size);
	text[size] = '\0';
	read_text(text, size, null);
	free(text);
	free(bytes);
	return 0;
}
