/*
 * tar_library.c - see tar_library.h.
 */
#include "tar_library.h"
#include "library.h"
#include "tar.h"

#define NAME(name) "archive_" #name,
#define PLACE(name) &la.name,

struct tar_library la;

bool tar_can(struct copy *copy)
{
	static const char *const names[] = {"archive_errno", TAR_LIBRARY(NAME) NULL};
	static void *const places[] = {&la.error_number, TAR_LIBRARY(PLACE)};
	static bool loaded;
	const char *why = NULL;
	if (!loaded)
		loaded = cli_library_load(LIBARCHIVE_SONAME, names, places, &why);
	if (!loaded) {
		copy->errors++;
		cli_failf(copy->cli, NULL, "tar archives need libarchive: %s", why);
	}
	return loaded;
}
