/*
 * message.c - filling in the sentence beside an error code.
 * Layer: fuse.
 */
#include "session.h"

#include <stdarg.h>
#include <stdio.h>

int lk_fuse_say(struct linkfs_message *why, int error, const char *format, ...)
{
	if (why) {
		va_list args;
		va_start(args, format);
		(void)vsnprintf(why->text, sizeof(why->text), format, args);
		va_end(args);
	}
	return error;
}
