/*
 * draw_pick.c - the best few of many candidates for a picture, in memory that depends on the few alone.
 */
#include "draw.h"
#include <stdlib.h>
#include <string.h>

#define SLACK 512 /* candidates are sorted and cut only now and then */

static int compare(const void *a, const void *b)
{
	const struct draw_candidate *x = a, *y = b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void drop(struct draw_candidate *c)
{
	free(c->name);
	free(c->text);
}

void draw_pick_sort(struct draw_pick *pick)
{
	if (pick->len)
		qsort(pick->list, pick->len, sizeof(*pick->list), compare);
	while (pick->len > pick->max) {
		drop(&pick->list[--pick->len]);
		pick->dropped++;
	}
}

int draw_pick_add(struct draw_pick *pick, const char *name, size_t len, const char *text,
		  const struct draw_candidate *what)
{
	struct draw_candidate c = *what;
	if (pick->len >= pick->max + SLACK)
		draw_pick_sort(pick);
	c.len = len;
	c.name = cli_alloc(len + 1);
	c.text = text ? cli_strdup(text) : NULL;
	if (!c.name || (text && !c.text) || cli_grow(&pick->list, &pick->cap, pick->len, sizeof(*pick->list)) != 0) {
		drop(&c);
		return LINKFS_ENOMEM;
	}
	memcpy(c.name, name, len);
	pick->list[pick->len++] = c;
	return cli_cancelled(pick->cli) ? LINKFS_EINTR : 0;
}

void draw_pick_done(struct draw_pick *pick)
{
	for (size_t i = 0; i < pick->len; i++)
		drop(&pick->list[i]);
	free(pick->list);
	pick->list = NULL;
	pick->len = pick->cap = 0;
}
