/*
 * scene.h - what the scenarios share.
 */
#ifndef NTH_SCENE_H
#define NTH_SCENE_H

#include "nth.h"

int scene_sync(struct scene *s);
int scene_find(struct scene *s, const char *path, uint64_t *ino_out);
int scene_make(struct scene *s, const char *path, uint32_t mode);

/* clang-format off */
#define STEP(name, fn) {name, fn, false, 0, false}
#define DURABLE(name, fn) {name, fn, true, 0, false}
#define IN_PARTS(name, fn, what) {name, fn, false, what, false}
#define GOES_ON(name, fn) {name, fn, false, 0, true}
#define SYNC DURABLE("sync", scene_sync)
/* clang-format on */

#endif
