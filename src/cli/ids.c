/*
 * ids.c - users and groups: numbers to names, cached, and names to numbers.
 */
#include "cli.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

struct id {
	struct id *next;
	uint32_t number;
	bool group;
	char name[];
};

struct cli_ids {
	struct id *first;
};

#define RECORD_MAX 65536

struct cli_ids *cli_ids_new(void)
{
	return cli_alloc(sizeof(struct cli_ids));
}

static struct id *lookup(bool group, uint32_t number)
{
	char *room = cli_alloc(RECORD_MAX);
	char digits[16];
	const char *name = NULL;
	struct passwd pw, *pw_found = NULL;
	struct group gr, *gr_found = NULL;
	if (room && !group && getpwuid_r(number, &pw, room, RECORD_MAX, &pw_found) == 0 && pw_found)
		name = pw.pw_name;
	if (room && group && getgrgid_r(number, &gr, room, RECORD_MAX, &gr_found) == 0 && gr_found)
		name = gr.gr_name;
	if (!name) {
		snprintf(digits, sizeof(digits), "%u", number);
		name = digits;
	}
	size_t size = strlen(name) + 1;
	struct id *id = cli_alloc(sizeof(*id) + size);
	if (id) {
		id->number = number;
		id->group = group;
		memcpy(id->name, name, size);
	}
	free(room);
	return id;
}

static const char *find(struct cli_ids *ids, bool group, uint32_t number)
{
	for (struct id *id = ids ? ids->first : NULL; id; id = id->next) {
		if (id->number == number && id->group == group)
			return id->name;
	}
	struct id *id = ids ? lookup(group, number) : NULL;
	if (!id)
		return "?";
	id->next = ids->first;
	ids->first = id;
	return id->name;
}

const char *cli_ids_user(struct cli_ids *ids, uint32_t uid)
{
	return find(ids, false, uid);
}

const char *cli_ids_group(struct cli_ids *ids, uint32_t gid)
{
	return find(ids, true, gid);
}

void cli_ids_free(struct cli_ids *ids)
{
	while (ids && ids->first) {
		struct id *next = ids->first->next;
		free(ids->first);
		ids->first = next;
	}
	free(ids);
}

static int parse_number(const char *text, uint32_t *out)
{
	uint64_t value;
	int error = cli_parse_u64(text[0] == '+' ? text + 1 : text, UINT32_MAX - 1, &value);
	if (!error)
		*out = (uint32_t)value;
	return error;
}

int cli_parse_user(const char *text, uint32_t *uid_out, uint32_t *gid_out)
{
	char *room = cli_alloc(RECORD_MAX);
	struct passwd pw, *found = NULL;
	int error = LINKFS_EINVAL;
	if (!room)
		return LINKFS_ENOMEM;
	if (text[0] != '+' && getpwnam_r(text, &pw, room, RECORD_MAX, &found) == 0 && found) {
		*uid_out = pw.pw_uid;
		if (gid_out)
			*gid_out = pw.pw_gid;
		error = 0;
	}
	free(room);
	if (error && !gid_out)
		error = parse_number(text, uid_out);
	return error;
}

int cli_parse_group(const char *text, uint32_t *gid_out)
{
	char *room = cli_alloc(RECORD_MAX);
	struct group gr, *found = NULL;
	int error = LINKFS_EINVAL;
	if (!room)
		return LINKFS_ENOMEM;
	if (text[0] != '+' && getgrnam_r(text, &gr, room, RECORD_MAX, &found) == 0 && found) {
		*gid_out = gr.gr_gid;
		error = 0;
	}
	free(room);
	return error ? parse_number(text, gid_out) : 0;
}

/* The groups of a user in the host's database, his first one among them. */
static int groups_of(const char *name, uint32_t gid, struct linkfs_cred *cred, uint32_t **groups_out)
{
	int count = 32;
	for (int tries = 0; tries < 8; tries++) {
		int room = count;
		gid_t *list = cli_alloc((size_t)room * sizeof(*list));
		if (!list)
			return LINKFS_ENOMEM;
		if (getgrouplist(name, gid, list, &count) >= 0) {
			*groups_out = list;
			cred->groups = list;
			cred->ngroups = (uint32_t)count;
			return 0;
		}
		free(list);
		if (count <= room)
			count = 2 * room;
	}
	return LINKFS_EINVAL;
}

int cli_parse_as(const char *text, struct linkfs_cred *cred, uint32_t **groups_out)
{
	const char *colon = strchr(text, ':');
	char *user = cli_strdup(text), *room = cli_alloc(RECORD_MAX);
	struct passwd pw, *found = NULL;
	int error = user && room ? 0 : LINKFS_ENOMEM;
	*groups_out = NULL;
	if (!error && colon)
		user[colon - text] = 0;
	if (!error && user[0] != '+')
		(void)getpwnam_r(user, &pw, room, RECORD_MAX, &found);
	if (!error && !found)
		error = parse_number(user, &cred->uid);
	if (!error && !found)
		(void)getpwuid_r(cred->uid, &pw, room, RECORD_MAX, &found);
	cred->groups = NULL;
	cred->ngroups = 0;
	if (!error && found)
		cred->uid = pw.pw_uid;
	if (!error && colon)
		error = cli_parse_group(colon + 1, &cred->gid);
	else if (!error && found)
		error = groups_of(pw.pw_name, cred->gid = pw.pw_gid, cred, groups_out);
	else if (!error)
		error = LINKFS_ENOENT;
	free(user);
	free(room);
	return error;
}
