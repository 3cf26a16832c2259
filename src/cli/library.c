/*
 * library.c - see library.h.
 */
#include "library.h"
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

bool cli_library_load(const char *soname, const char *const *names, void *const *places, const char **why_out)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	bool found = library;
	for (size_t i = 0; found && names[i]; i++) {
		void *symbol = dlsym(library, names[i]);
		/* What POSIX says of dlsym(3): an object pointer may hold a function's address. */
		memcpy(places[i], &symbol, sizeof(symbol));
		found = symbol;
	}
	if (found)
		return true;
	const char *why = dlerror();
	*why_out = why ? why : soname;
	return false;
}
