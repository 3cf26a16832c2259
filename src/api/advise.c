/*
 * advise.c - which kind of link suits (D4): a table of rules, the first that fits decides. docs/man/linkfs-advise.1.scd lists the same
 * rules in words.
 * Layer: api. Looks at no volume.
 */
#include "told.h"

#include <string.h>

enum about { SAME, EXISTS, DIRECTORY, COVERS, SHARE, TARGET_MOVE, LINK_MOVE, TARGET_DELETE, REPLACED, FOLLOWS, ABOUTS };

static const struct {
	size_t offset;
	bool assumed;
	const char *text;
} abouts[ABOUTS] = {
	[SAME] = {offsetof(struct linkfs_question, same_volume), true, "both lie in one volume"},
	[EXISTS] = {offsetof(struct linkfs_question, exists), true, "the target exists"},
	[DIRECTORY] = {offsetof(struct linkfs_question, directory), false, "the target is not a directory"},
	[COVERS] = {offsetof(struct linkfs_question, covers), false,
		    "nothing is in the link's place that must come back"},
	[SHARE] = {offsetof(struct linkfs_question, share_edits), true, "an edit through one shows through the other"},
	[TARGET_MOVE] = {offsetof(struct linkfs_question, survive_target_move), false, "the target stays where it is"},
	[LINK_MOVE] = {offsetof(struct linkfs_question, survive_link_move), false, "the link stays where it is"},
	[TARGET_DELETE] = {offsetof(struct linkfs_question, survive_target_delete), false,
			   "when the target is deleted the link need not keep the content"},
	[REPLACED] = {offsetof(struct linkfs_question, replaced), false,
		      "nothing new is put in the target's place (no saves by rename, no versions to switch)"},
	[FOLLOWS] = {offsetof(struct linkfs_question, follows), true, "the programs that use it follow symlinks"},
};

struct condition {
	enum about about;
	bool is;
};

static const struct rule {
	const char *name;
	enum linkfs_advised link;
	struct condition all[4];
	uint8_t count;
	const char *why, *beware;
} rules[] = {
	{"R1",
	 LINKFS_ADVISE_COPY,
	 {{SHARE, false}, {SAME, false}},
	 2,
	 "edits are to be separate and nothing is shared between two volumes",
	 NULL},
	{"R2",
	 LINKFS_ADVISE_COPY,
	 {{SHARE, false}, {DIRECTORY, true}},
	 2,
	 "edits are to be separate, and a directory is copied file by file",
	 "inside one volume the copies share their blocks until one is written"},
	{"R3",
	 LINKFS_ADVISE_COW,
	 {{SHARE, false}},
	 1,
	 "edits are to be separate: a file of its own that costs no space until one of the two is written",
	 NULL},
	{"R4",
	 LINKFS_ADVISE_COPY,
	 {{SAME, false}, {TARGET_DELETE, true}},
	 2,
	 "only a copy in the other volume is there when the target is deleted",
	 "later edits must be copied again"},
	{"R5",
	 LINKFS_ADVISE_ABSOLUTE,
	 {{SAME, false}},
	 1,
	 "a symlink is the only link that leads out of a volume",
	 "it dangles when the other volume is mounted elsewhere or not at all"},
	{"R6",
	 LINKFS_ADVISE_SYMLINK,
	 {{EXISTS, false}},
	 1,
	 "only a symlink may name what does not exist yet",
	 "it dangles until the target is made"},
	{"R7",
	 LINKFS_ADVISE_BIND,
	 {{COVERS, true}},
	 1,
	 "a bind covers what is in its place, and gives it back when it is removed",
	 "while it is there, neither the place nor what it shows can be removed"},
	{"R8",
	 LINKFS_ADVISE_DIRECTORY,
	 {{DIRECTORY, true}, {TARGET_DELETE, true}},
	 2,
	 "the content of a directory stays as long as one of its names does",
	 "rm -r through one name empties the directory for all; remove a name with linkfs rm or rmdir"},
	{"R9",
	 LINKFS_ADVISE_DIRECTORY,
	 {{DIRECTORY, true}, {FOLLOWS, false}},
	 2,
	 "programs that do not follow symlinks see a directory link as the directory it is",
	 "rm -r through one name empties the directory for all; remove a name with linkfs rm or rmdir"},
	{"R10",
	 LINKFS_ADVISE_SYMLINK,
	 {{DIRECTORY, true}, {REPLACED, true}},
	 2,
	 "a symlink names a place, and shows whatever directory is there now",
	 "switch a symlink itself with linkfs ln -sfn: readers see the old or the new one, never neither"},
	{"R11",
	 LINKFS_ADVISE_TRACKED,
	 {{DIRECTORY, true}, {TARGET_MOVE, true}},
	 2,
	 "a tracked symlink follows the directory when it, or one above it, is moved",
	 NULL},
	{"R12",
	 LINKFS_ADVISE_TRACKED,
	 {{DIRECTORY, true}, {LINK_MOVE, true}},
	 2,
	 "a tracked symlink keeps leading there from where it is moved to",
	 NULL},
	{"R13",
	 LINKFS_ADVISE_SYMLINK,
	 {{DIRECTORY, true}},
	 1,
	 "for a directory that stays where it is a symlink is enough, and shows what it is",
	 NULL},
	{"R14",
	 LINKFS_ADVISE_HARD,
	 {{REPLACED, true}, {FOLLOWS, false}},
	 2,
	 "without symlinks only another name of the file will do",
	 "a save by rename gives the new content to one name only, unless the target has linkfs keep-links on"},
	{"R15",
	 LINKFS_ADVISE_TRACKED,
	 {{REPLACED, true}, {TARGET_MOVE, true}},
	 2,
	 "a tracked symlink follows the file when it is moved",
	 "for it to follow a save by rename too, set linkfs keep-links on the target"},
	{"R16",
	 LINKFS_ADVISE_SYMLINK,
	 {{REPLACED, true}},
	 1,
	 "a symlink names a place, and shows whatever file is put there; another name would keep the old file",
	 NULL},
	{"R17",
	 LINKFS_ADVISE_HARD,
	 {{FOLLOWS, false}},
	 1,
	 "programs that do not follow symlinks see another name as the file it is",
	 NULL},
	{"R18",
	 LINKFS_ADVISE_HARD,
	 {{TARGET_DELETE, true}},
	 1,
	 "the content stays as long as one of its names does",
	 NULL},
	{"R19",
	 LINKFS_ADVISE_HARD,
	 {{TARGET_MOVE, true}},
	 1,
	 "another name does not depend on where the first one is",
	 NULL},
	{"R20", LINKFS_ADVISE_HARD, {{LINK_MOVE, true}}, 1, "another name can be moved anywhere in the volume", NULL},
	{"R21",
	 LINKFS_ADVISE_SYMLINK,
	 {{SAME, true}},
	 1,
	 "nothing asks for more than a symlink, and it shows what it is",
	 NULL},
};

/* The answer, or what is assumed, which is noted once. */
static bool holds(const struct linkfs_question *q, const struct condition *c, bool noted[ABOUTS],
		  struct linkfs_advice *out)
{
	enum linkfs_answer answer;
	size_t n = 0;

	memcpy(&answer, (const char *)q + abouts[c->about].offset, sizeof(answer));
	if (answer == LINKFS_YES || answer == LINKFS_NO)
		return (answer == LINKFS_YES) == c->is;
	if (!noted[c->about]) {
		noted[c->about] = true;
		while (out->assumed[n])
			n++;
		out->assumed[n] = abouts[c->about].text;
	}
	return abouts[c->about].assumed == c->is;
}

_Static_assert(ABOUTS <= LINKFS_ADVICE_ASSUMED_MAX, "each may be assumed");

void linkfs_advise(const struct linkfs_question *question, struct linkfs_advice *out)
{
	bool noted[ABOUTS] = {false};

	*out = (struct linkfs_advice){.link = LINKFS_ADVISE_SYMLINK};
	for (size_t i = 0; i < LK_ARRAY_LEN(rules); i++) {
		const struct rule *rule = &rules[i];
		bool fits = true;

		for (uint8_t c = 0; c < rule->count && fits; c++)
			fits = holds(question, &rule->all[c], noted, out);
		if (!fits)
			continue;
		out->link = rule->link;
		out->rule = rule->name;
		out->why = rule->why;
		out->beware = rule->beware;
		return;
	}
}
