/*
 * opts.c - options and operands of a command line, by the command's row: clustered short options, long ones with
 * unique abbreviations, options after operands, "--". Unlike getopt it keeps no state of its own, because several
 * commands run at once in a process that serves a mount.
 */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct strings {
	struct strings *next;
	char *text;
};

struct parse {
	struct cli *cli;
	const struct cli_command *command;
	struct cli_args *args;
	size_t options_cap, operands_cap;
};

static int add_option(struct parse *parse, const struct cli_option *option, const char *arg)
{
	struct cli_args *args = parse->args;
	if (cli_grow(&args->options, &parse->options_cap, args->noptions, sizeof(*args->options)) != 0)
		return LINKFS_ENOMEM;
	args->options[args->noptions] = (struct cli_parsed){.id = option->id, .arg = arg};
	args->noptions++;
	return 0;
}

static int add_operand(struct parse *parse, const char *text)
{
	struct cli_args *args = parse->args;
	if (cli_grow(&args->operands, &parse->operands_cap, args->noperands, sizeof(*args->operands)) != 0)
		return LINKFS_ENOMEM;
	args->operands[args->noperands] = (struct cli_path){.kind = CLI_HOST, .text = text, .host = text};
	args->noperands++;
	return 0;
}

static bool row_ends(const struct cli_option *option)
{
	return option->id == 0;
}

static const struct cli_option *find_short(const struct cli_command *command, char letter)
{
	for (const struct cli_option *o = command->options; o && !row_ends(o); o++) {
		if (o->id == letter)
			return o;
	}
	return NULL;
}

/* Exact name, or the only one that begins so. Two rows with one id are one option. */
static const struct cli_option *find_long(const struct cli_command *command, const char *name, size_t len,
					  bool *ambiguous)
{
	const struct cli_option *found = NULL;
	*ambiguous = false;
	for (const struct cli_option *o = command->options; o && !row_ends(o); o++) {
		if (!o->name || strncmp(o->name, name, len) != 0)
			continue;
		if (o->name[len] == '\0') {
			*ambiguous = false;
			return o;
		}
		if (found && found->id != o->id)
			*ambiguous = true;
		found = o;
	}
	return found;
}

static int parse_long(struct parse *parse, int argc, char *const *argv, int *i)
{
	const char *name = argv[*i] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	bool ambiguous;
	const struct cli_option *option = find_long(parse->command, name, len, &ambiguous);
	if (ambiguous)
		return cli_usage(parse->cli, "option '--%.*s' is ambiguous", (int)len, name);
	if (!option)
		return cli_usage(parse->cli, "unrecognized option '--%.*s'", (int)len, name);
	const char *arg = equals ? equals + 1 : NULL;
	if (!option->arg && arg)
		return cli_usage(parse->cli, "option '--%s' takes no argument", option->name);
	if (option->arg && !arg && !(option->flags & CLI_ARG_OPTIONAL)) {
		if (*i + 1 >= argc)
			return cli_usage(parse->cli, "option '--%s' needs an argument (%s)", option->name, option->arg);
		arg = argv[++*i];
	}
	return add_option(parse, option, arg);
}

static int parse_cluster(struct parse *parse, int argc, char *const *argv, int *i)
{
	for (const char *letter = argv[*i] + 1; *letter; letter++) {
		const struct cli_option *option = find_short(parse->command, *letter);
		if (!option)
			return cli_usage(parse->cli, "invalid option -- '%c'", *letter);
		if (!option->arg || (option->flags & CLI_ARG_OPTIONAL)) {
			int error = add_option(parse, option, NULL);
			if (error)
				return error;
			continue;
		}
		const char *arg = letter[1] ? letter + 1 : NULL;
		if (!arg) {
			if (*i + 1 >= argc)
				return cli_usage(parse->cli, "option '-%c' needs an argument (%s)", *letter,
						 option->arg);
			arg = argv[++*i];
		}
		return add_option(parse, option, arg);
	}
	return 0;
}

static bool dash_mode(const struct parse *parse, const char *word)
{
	return (parse->command->flags & CLI_DASH_MODE) && parse->args->noperands == 0 &&
	       strspn(word + 1, "rwxXstugo,+=-") == strlen(word + 1);
}

static const struct cli_option *option_row(const struct cli_command *command, int id)
{
	for (const struct cli_option *o = command->options; o && !row_ends(o); o++) {
		if (o->id == id)
			return o;
	}
	return NULL;
}

/* Path arguments get places beside the operands, and the list of all paths is made. */
static int collect_paths(struct parse *parse)
{
	struct cli_args *args = parse->args;
	const struct cli_command *command = parse->command;
	args->storage = cli_alloc((args->noptions + 1) * sizeof(*args->storage));
	args->paths = cli_alloc((args->noptions + args->noperands + 1) * sizeof(*args->paths));
	if (!args->storage || !args->paths)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < args->noptions; i++) {
		const struct cli_option *row = option_row(command, args->options[i].id);
		if (!row || !(row->flags & CLI_ARG_PATH))
			continue;
		struct cli_path *path = &args->storage[i];
		path->kind = CLI_HOST;
		path->text = path->host = args->options[i].arg;
		args->options[i].path = path;
		args->paths[args->npaths++] = path;
	}
	size_t texts = command->texts ? command->texts(args) : 0;
	for (size_t i = 0; i < args->noperands; i++) {
		if (i < texts || command->takes == CLI_TAKES_TEXT || (i > texts && (command->flags & CLI_TEXT_AFTER)) ||
		    (i > 1 && (command->flags & CLI_TEXT_THIRD))) {
			args->operands[i].kind = CLI_TEXT;
			args->operands[i].host = NULL;
		} else {
			args->paths[args->npaths++] = &args->operands[i];
		}
	}
	return 0;
}

static int check_count(struct parse *parse)
{
	const struct cli_args *args = parse->args;
	if (args->noperands < parse->command->min) {
		if (args->noperands == 0)
			return cli_usage(parse->cli, "missing operand");
		return cli_usage(parse->cli, "missing operand after '%s'", args->operands[args->noperands - 1].text);
	}
	if (parse->command->max && args->noperands > parse->command->max)
		return cli_usage(parse->cli, "extra operand '%s'", args->operands[parse->command->max].text);
	return 0;
}

int cli_args_parse(struct cli *cli, const struct cli_command *command, int argc, char *const *argv,
		   struct cli_args *out)
{
	struct parse parse = {.cli = cli, .command = command, .args = out};
	bool only_operands = false;
	int error = 0;
	*out = (struct cli_args){0};
	for (int i = 0; i < argc && !error; i++) {
		const char *word = argv[i];
		if (only_operands || word[0] != '-' || word[1] == '\0' || dash_mode(&parse, word))
			error = add_operand(&parse, word);
		else if (strcmp(word, "--") == 0)
			only_operands = true;
		else if (word[1] == '-')
			error = parse_long(&parse, argc, argv, &i);
		else
			error = parse_cluster(&parse, argc, argv, &i);
	}
	if (!error && out->noperands == 0 && command->default_operand)
		error = add_operand(&parse, command->default_operand);
	if (!error)
		error = check_count(&parse);
	if (!error)
		error = collect_paths(&parse);
	if (error < 0) {
		cli_fail(cli, "arguments", error);
		error = CLI_EXIT_SOME;
	}
	if (error)
		cli_args_done(out);
	return error;
}

char *cli_args_keep(struct cli_args *args, char *string)
{
	struct strings *node = string ? cli_alloc(sizeof(*node)) : NULL;
	if (!node) {
		free(string);
		return NULL;
	}
	*node = (struct strings){.next = args->strings, .text = string};
	args->strings = node;
	return string;
}

void cli_args_done(struct cli_args *args)
{
	for (struct strings *s = args->strings; s;) {
		struct strings *next = s->next;
		free(s->text);
		free(s);
		s = next;
	}
	free(args->options);
	free(args->operands);
	free(args->paths);
	free(args->storage);
	*args = (struct cli_args){0};
}

const struct cli_parsed *cli_args_option(const struct cli_args *args, int id)
{
	for (size_t i = args->noptions; i > 0; i--) {
		if (args->options[i - 1].id == id)
			return &args->options[i - 1];
	}
	return NULL;
}
