/*
 * version.c - the library's version as text.
 * Layer: base.
 */
#include "base.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *linkfs_version(void)
{
	return TEXT(LINKFS_VERSION_MAJOR) "." TEXT(LINKFS_VERSION_MINOR) "." TEXT(LINKFS_VERSION_PATCH);
}
