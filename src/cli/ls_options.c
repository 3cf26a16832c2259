/*
 * ls_options.c - the options of ls, put into its settings.
 */
#include "ls.h"

#include <string.h>

int ls_take_style(struct ls *ls, const char *style)
{
	if (strncmp(style, "posix-", 6) == 0)
		style += 6;
	if (style[0] == '+') {
		const char *newline = strchr(style, '\n');
		ls->recent_format = newline ? newline + 1 : style + 1;
		ls->old_format = style + 1;
		return newline ? LINKFS_EINVAL : 0;
	}
	static const struct {
		const char *name, *recent, *old;
	} styles[] = {
		{"locale", "%b %e %H:%M", "%b %e  %Y"},
		{"full-iso", "%Y-%m-%d %H:%M:%S.%N %z", "%Y-%m-%d %H:%M:%S.%N %z"},
		{"long-iso", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M"},
		{"iso", "%m-%d %H:%M", "%Y-%m-%d "},
	};
	for (size_t i = 0; i < CLI_ARRAY_LEN(styles); i++) {
		if (strcmp(style, styles[i].name) != 0)
			continue;
		ls->recent_format = styles[i].recent;
		ls->old_format = styles[i].old;
		return 0;
	}
	return LINKFS_EINVAL;
}

static int take_quoting(struct ls *ls, const char *word)
{
	static const struct {
		const char *name;
		enum cli_quoting how;
	} words[] = {{"literal", CLI_QUOTE_LITERAL},
		     {"shell", CLI_QUOTE_SHELL},
		     {"shell-escape", CLI_QUOTE_SHELL},
		     {"shell-escape-always", CLI_QUOTE_ALWAYS},
		     {"c", CLI_QUOTE_C},
		     {"escape", CLI_QUOTE_ESCAPE}};
	for (size_t i = 0; i < CLI_ARRAY_LEN(words); i++) {
		if (strcmp(word, words[i].name) == 0) {
			ls->quoting = words[i].how;
			return 0;
		}
	}
	return LINKFS_EINVAL;
}

static int take_sort(struct ls *ls, const char *word)
{
	static const struct {
		const char *name;
		enum ls_sort sort;
	} words[] = {{"name", LS_BY_NAME}, {"none", LS_UNSORTED}, {"time", LS_BY_TIME}, {"size", LS_BY_SIZE}};
	for (size_t i = 0; i < CLI_ARRAY_LEN(words); i++) {
		if (strcmp(word, words[i].name) == 0) {
			ls->sort = words[i].sort;
			return 0;
		}
	}
	return LINKFS_EINVAL;
}

static void take_flag(struct ls *ls, int id)
{
	switch (id) {
	case 'a':
		ls->all = true;
		break;
	case 'A':
		ls->almost_all = true;
		ls->all = false;
		break;
	case 'C':
		ls->format = LS_COLUMNS;
		break;
	case '1':
		if (ls->format != LS_LONG)
			ls->format = LS_SINGLE;
		break;
	case 'd':
		ls->directory = true;
		break;
	case 'F':
		ls->indicator = LS_CLASSIFY;
		break;
	case 'p':
		ls->indicator = LS_SLASH;
		break;
	case 'i':
		ls->inode = true;
		break;
	case 's':
		ls->blocks = true;
		break;
	case 'R':
		ls->recursive = true;
		break;
	case 'r':
		ls->reverse = true;
		break;
	case 't':
		ls->sort = LS_BY_TIME;
		break;
	case 'S':
		ls->sort = LS_BY_SIZE;
		break;
	case 'U':
		ls->sort = LS_UNSORTED;
		break;
	case 'c':
		ls->time = LS_CTIME;
		break;
	case 'u':
		ls->time = LS_ATIME;
		break;
	case 'L':
		ls->follow = true;
		break;
	case 'H':
		ls->follow_args = true;
		break;
	case 'N':
		ls->quoting = CLI_QUOTE_LITERAL;
		break;
	case 'Q':
		ls->quoting = CLI_QUOTE_C;
		break;
	case 'b':
		ls->quoting = CLI_QUOTE_ESCAPE;
		break;
	case 'q':
		ls->quoting = CLI_QUOTE_HIDE;
		break;
	case 'h':
		ls->human = 1024;
		break;
	case OPT_SI:
		ls->human = 1000;
		break;
	case 'n':
		ls->numeric = true;
		ls->format = LS_LONG;
		break;
	case 'g':
		ls->no_owner = true;
		ls->format = LS_LONG;
		break;
	case 'o':
		ls->no_group = true;
		ls->format = LS_LONG;
		break;
	case 'G':
		ls->no_group = true;
		break;
	case 'l':
		ls->format = LS_LONG;
		break;
	case OPT_FULL:
		ls->format = LS_LONG;
		ls_take_style(ls, "full-iso");
		break;
	default:
		break;
	}
}

int ls_take_options(struct ls *ls, const struct cli_args *args)
{
	uint64_t width;
	bool json = false;
	for (size_t i = 0; i < args->noptions; i++) {
		const char *arg = args->options[i].arg;
		switch (args->options[i].id) {
		case OPT_STYLE:
			if (ls_take_style(ls, arg) != 0)
				return cli_usage(
					ls->cli,
					"'%s' is no time style; take locale, iso, long-iso, full-iso or +FORMAT", arg);
			break;
		case OPT_QUOTING:
			if (take_quoting(ls, arg) != 0)
				return cli_usage(ls->cli, "'%s' is no quoting style", arg);
			break;
		case OPT_SORT:
			if (take_sort(ls, arg) != 0)
				return cli_usage(ls->cli, "'%s' is no order; take name, time, size or none", arg);
			break;
		case 'w':
			if (cli_parse_u64(arg, 1u << 20, &width) != 0)
				return cli_usage(ls->cli, "'%s' is no width", arg);
			ls->width = (unsigned)width;
			break;
		case OPT_JSON:
			json = true;
			break;
		default:
			take_flag(ls, args->options[i].id);
			break;
		}
	}
	if (json) {
		ls->format = LS_JSON;
		ls->quoting = CLI_QUOTE_LITERAL;
	}
	/* -c and -u without -l show nothing else than by their order. */
	if (ls->time != LS_MTIME && ls->sort == LS_BY_NAME && ls->format != LS_LONG && ls->format != LS_JSON)
		ls->sort = LS_BY_TIME;
	return 0;
}
