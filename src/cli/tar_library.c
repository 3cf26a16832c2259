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
	static const char *const names[] = {TAR_LIBRARY(NAME) "archive_errno", NULL};
	static void *const places[] = {TAR_LIBRARY(PLACE) & la.error_number};
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
