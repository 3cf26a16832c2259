/*
 * image.h - a volume's files in memory, to put back what a test damaged; and the volume the tests damage.
 */
#ifndef DAMAGE_IMAGE_H
#define DAMAGE_IMAGE_H

#include "sample.h"
#include "tree.h"

#define IMAGE_FILES_MAX 8

struct image {
	struct image_file {
		char name[64];
		uint8_t *bytes;
		size_t len;
	} files[IMAGE_FILES_MAX];
	size_t count;
};

/* All files of the directory. A log that holds nothing is left out: it is only a reserve of space. */
void image_take(const char *dir, struct image *out);
/* The directory holds these files then, and no others. */
void image_put(const struct image *image, const char *dir);
void image_done(struct image *image);
struct image_file *image_file(struct image *image, const char *name);

/* The sample volume with more in it: every type of file, an owner, a kept deleted file, a second snapshot. */
struct base {
	struct sample s;     /* s.path: where a damaged one is made */
	struct image image;  /* whole and closed */
	struct tree tree;    /* what it shows */
	struct tree history; /* rows of its history */
};
void base_make(struct base *b);
void base_put(const struct base *b);
void base_done(struct base *b);

#endif
