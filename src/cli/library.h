/*
 * library.h - shared libraries that only some commands need, loaded by those.
 */
#ifndef CLI_LIBRARY_H
#define CLI_LIBRARY_H

#include <stdbool.h>

/*
 * Loads the library of that name, for good, and sets the function pointer at places[i] to what it, or a library that it needs, has under
 * names[i]; names ends with NULL. False: some pointers may be set and none may be used; *why_out says why, until the next call.
 */
bool cli_library_load(const char *soname, const char *const *names, void *const *places, const char **why_out);

#endif
