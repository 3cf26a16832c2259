/*
 * steps_xattr.c - extended attributes and POSIX ACLs under Linux's rules (A7; xattr(7), acl(5)).
 */
#include "steps.h"

#include <sys/stat.h>

#define ACC "system.posix_acl_access"
#define DEF "system.posix_acl_default"
#define CREATE LINKFS_XATTR_CREATE
#define REPLACE LINKFS_XATTR_REPLACE

/* The kernel's format: version 2, then tag, permissions, id. */
#define ACL_HEAD "\2\0\0\0"
#define NO "\xff\xff\xff\xff"
#define U_OBJ(p) "\1\0" p "\0" NO
#define U_ID(p, id) "\2\0" p "\0" id
#define G_OBJ(p) "\4\0" p "\0" NO
#define G_ID(p, id) "\10\0" p "\0" id
#define MASK(p) "\20\0" p "\0" NO
#define OTHER(p) "\40\0" p "\0" NO
#define ID2000 "\xd0\7\0\0"
#define ID1000 "\xe8\3\0\0"
#define ID3000 "\xb8\xb\0\0"
#define V(name, s) static const struct bytes name = {s, sizeof(s) - 1}

V(minimal, ACL_HEAD U_OBJ("\6") G_OBJ("\4") OTHER("\0"));
V(named, ACL_HEAD U_OBJ("\6") U_ID("\7", ID2000) G_OBJ("\4") MASK("\6") OTHER("\0"));
V(named_751, ACL_HEAD U_OBJ("\7") U_ID("\7", ID2000) G_OBJ("\4") MASK("\5") OTHER("\1"));
V(mask_only, ACL_HEAD U_OBJ("\6") G_OBJ("\4") MASK("\6") OTHER("\0"));
V(old_version, "\1\0\0\0" U_OBJ("\6") G_OBJ("\4") OTHER("\0"));
V(cut, "ab");
V(odd, ACL_HEAD U_OBJ("\6") G_OBJ("\4") OTHER("\0") "x");
V(no_entries, ACL_HEAD);
V(bad_tag, ACL_HEAD "\3\0\6\0" NO);
V(no_other, ACL_HEAD U_OBJ("\6") G_OBJ("\4"));
V(no_mask, ACL_HEAD U_OBJ("\6") U_ID("\7", ID2000) G_OBJ("\4") OTHER("\0"));
V(no_id, ACL_HEAD U_OBJ("\6") U_ID("\7", NO) G_OBJ("\4") MASK("\7") OTHER("\0"));
V(bad_perm, ACL_HEAD U_OBJ("\10") G_OBJ("\4") OTHER("\0"));
V(disorder, ACL_HEAD G_OBJ("\4") U_OBJ("\6") OTHER("\0"));
V(twice, ACL_HEAD U_OBJ("\6") G_OBJ("\4") G_OBJ("\4") OTHER("\0"));
V(empty, "");
V(caps, "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
V(caps_bad, "abc");
V(y, "y");
static const char big[65537];
static const struct bytes big_value = {big, 65536}, too_big = {big, 65537};

#define N255                                                                                                           \
	"user."                                                                                                        \
	"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"890123456789"                                                                                                 \
	"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"8901234567890123456789"

static const struct step name_rows[] = {S(R, MK, "f", .n = S_IFREG | 0644),
					S(R, MKDIR, "d", .n = 0755),
					S(R, SYM, "l", "f"),
					S(R, MK, "p", .n = S_IFIFO | 0644),
					S(R, GETX, "f", "user.a", .want = LINKFS_ENODATA),
					S(R, RMX, "f", "user.a", .want = LINKFS_ENODATA),
					S(R, SETX, "f", "user.a", .n = REPLACE, .want = LINKFS_ENODATA),
					S(R, SETX, "f", "user.a", .n = CREATE | REPLACE, .want = LINKFS_ENODATA),
					S(R, SETX, "f", "user.a", .n = CREATE),
					S(R, SETX, "f", "user.a", .n = CREATE, .want = LINKFS_EEXIST),
					S(R, SETX, "f", "user.a", .n = CREATE | REPLACE, .want = LINKFS_EEXIST),
					S(R, SETX, "f", "user.a", .n = REPLACE, .v = &y),
					S(R, GETX, "f", "user.a", .v = &y),
					S(R, SETX, "f", "user.a", .n = 8, .want = LINKFS_EINVAL),
					S(R, SETX, "f", "user.e", .v = &empty),
					S(R, GETX, "f", "user.e", .v = &empty),
					S(R, LSX, "f", .m = 14),
					S(R, RMX, "f", "user.a"),
					S(R, GETX, "f", "user.a", .want = LINKFS_ENODATA),
					S(R, LSX, "f", .m = 7),
					S(R, RMX, "f", "user.e"),
					S(R, LSX, "f", .m = 0),
					S(R, SETX, "f", "user.big", .v = &too_big, .want = LINKFS_E2BIG),
					S(R, SETX, "f", "", .want = LINKFS_ERANGE),
					S(R, GETX, "f", "", .want = LINKFS_ERANGE),
					S(R, RMX, "f", "", .want = LINKFS_ERANGE),
					S(R, SETX, "f", N255),
					S(R, GETX, "f", N255),
					S(R, SETX, "f", N255 "x", .want = LINKFS_ERANGE),
					S(R, GETX, "f", N255 "x", .want = LINKFS_ERANGE),
					S(R, RMX, "f", N255 "x", .want = LINKFS_ERANGE),
					S(R, RMX, "f", N255),
					S(R, SETX, "f", "user.", .want = LINKFS_EINVAL),
					S(R, GETX, "f", "user.", .want = LINKFS_EINVAL),
					S(R, RMX, "f", "trusted.", .want = LINKFS_EINVAL),
					S(R, SETX, "f", "security.", .want = LINKFS_EINVAL),
					S(R, SETX, "f", "system.foo", .want = LINKFS_EOPNOTSUPP),
					S(R, GETX, "f", "system.", .want = LINKFS_EOPNOTSUPP),
					S(R, SETX, "f", "foo", .want = LINKFS_EOPNOTSUPP),
					S(R, GETX, "f", "foo.bar", .want = LINKFS_EOPNOTSUPP),
					S(R, RMX, "f", "user", .want = LINKFS_EOPNOTSUPP),
					/* user.* is for files and directories; root's others for all types. */
					S(R, SETX, "d", "user.a"),
					S(R, SETX, "l", "user.a", .want = LINKFS_EPERM),
					S(R, GETX, "l", "user.a", .want = LINKFS_ENODATA),
					S(R, RMX, "l", "user.a", .want = LINKFS_EPERM),
					S(R, SETX, "p", "user.a", .want = LINKFS_EPERM),
					S(R, RMX, "p", "user.a", .want = LINKFS_EPERM),
					S(R, SETX, "l", "trusted.a"),
					S(R, GETX, "l", "trusted.a"),
					S(R, SETX, "p", "security.a"),
					S(R, LSX, "l", .m = 10),
					S(R, SETX, "f", "security.capability", .v = &caps_bad, .want = LINKFS_EINVAL),
					S(R, SETX, "f", "security.capability", .v = &caps),
					S(R, GETX, "f", "security.capability", .v = &caps),
					/* They go when the content or the owner changes, root's changes too. */
					S(R, TRUNC, "f", .n = 1),
					S(R, GETX, "f", "security.capability", .want = LINKFS_ENODATA),
					S(R, SETX, "f", "security.capability", .v = &caps),
					S(R, CHOWN, "f", .n = 0, .m = 0),
					S(R, GETX, "f", "security.capability", .want = LINKFS_ENODATA),
					{0}};

static const struct step big_rows[] = {S(R, MK, "f", .n = S_IFREG | 0644),
				       S(R, SETX, "f", "user.big", .v = &big_value),
				       S(R, GETX, "f", "user.big", .v = &big_value),
				       S(R, RM, "f"),
				       {0}};

static const struct step who_rows[] = {S(R, MK, "f", .n = S_IFREG | 0600),
				       S(R, CHOWN, "f", .n = 1000, .m = 1000),
				       S(R, SETX, "f", "user.a"),
				       S(R, SETX, "f", "trusted.a"),
				       S(R, SETX, "f", "security.a"),
				       S(O, GETX, "f", "user.a"),
				       S(O, SETX, "f", "user.a", .v = &y),
				       S(X, GETX, "f", "user.a", .want = LINKFS_EACCES),
				       S(X, SETX, "f", "user.a", .want = LINKFS_EACCES),
				       S(X, RMX, "f", "user.a", .want = LINKFS_EACCES),
				       S(X, SETX, "f", "user.", .want = LINKFS_EACCES),
				       S(X, SETX, "f", "foo.bar", .want = LINKFS_EACCES),
				       S(X, GETX, "f", "system.foo", .want = LINKFS_EOPNOTSUPP),
				       S(O, GETX, "f", "trusted.a", .want = LINKFS_ENODATA),
				       S(O, SETX, "f", "trusted.a", .want = LINKFS_EPERM),
				       S(O, RMX, "f", "trusted.a", .want = LINKFS_EPERM),
				       S(X, GETX, "f", "security.a"),
				       S(O, SETX, "f", "security.a", .want = LINKFS_EPERM),
				       S(O, RMX, "f", "security.a", .want = LINKFS_EPERM),
				       S(O, RMX, "f", "security.capability", .want = LINKFS_EPERM),
				       S(O, SETX, "f", "security.capability", .v = &caps, .want = LINKFS_EPERM),
				       S(O, SETX, "f", "security.capability", .v = &caps_bad, .want = LINKFS_EINVAL),
				       /* The list hides what is not for him. */
				       S(R, LSX, "f", .m = 28),
				       S(O, LSX, "f", .m = 18),
				       S(X, LSX, "f", .m = 18),
				       S(O, RMX, "f", "user.a"),
				       /* Sticky directories: the owner's. */
				       S(R, MKDIR, "t", .n = 0755),
				       S(R, CHMOD, "t", .n = 01777),
				       S(X, SETX, "t", "user.a", .want = LINKFS_EPERM),
				       S(R, SETX, "t", "user.a"),
				       S(X, GETX, "t", "user.a"),
				       S(X, RMX, "t", "user.a", .want = LINKFS_EPERM),
				       {0}};

static const struct step acl_rows[] = {S(R, MK, "f", .n = S_IFREG | 0644),
				       S(R, MKDIR, "d", .n = 0755),
				       S(R, SYM, "l", "f"),
				       S(R, MK, "p", .n = S_IFIFO | 0600),
				       S(R, GETX, "f", ACC, .want = LINKFS_ENODATA),
				       S(R, GETX, "l", ACC, .want = LINKFS_EOPNOTSUPP),
				       S(R, SETX, "l", ACC, .v = &minimal, .want = LINKFS_EOPNOTSUPP),
				       S(R, RMX, "l", ACC, .want = LINKFS_EOPNOTSUPP),
				       S(R, SETX, "p", ACC, .v = &named),
				       S(R, RMX, "f", ACC),
				       S(R, RMX, "f", DEF),
				       S(R, RMX, "d", DEF),
				       S(R, SETX, "f", DEF, .v = &minimal, .want = LINKFS_EACCES),
				       S(R, SETX, "f", DEF, .v = &empty),
				       /* What the mode can say is kept there alone. */
				       S(R, SETX, "f", ACC, .v = &minimal),
				       S(R, MODE, "f", .n = 0640),
				       S(R, GETX, "f", ACC, .want = LINKFS_ENODATA),
				       S(R, SETX, "f", ACC, .v = &named),
				       S(R, MODE, "f", .n = 0660),
				       S(R, GETX, "f", ACC, .v = &named),
				       S(R, LSX, "f", .m = 24),
				       S(R, CHMOD, "f", .n = 0751),
				       S(R, GETX, "f", ACC, .v = &named_751),
				       S(R, SETX, "f", ACC, .v = &mask_only),
				       S(R, GETX, "f", ACC, .v = &mask_only),
				       S(R, MODE, "f", .n = 0660),
				       S(R, SETX, "f", ACC, .n = CREATE, .v = &named),
				       S(R, RMX, "f", ACC),
				       S(R, MODE, "f", .n = 0660),
				       S(R, LSX, "f", .m = 0),
				       S(R, SETX, "f", ACC, .n = REPLACE, .v = &named),
				       S(R, SETX, "f", ACC, .v = &no_entries),
				       S(R, GETX, "f", ACC, .want = LINKFS_ENODATA),
				       S(R, SETX, "f", ACC, .v = &old_version, .want = LINKFS_EOPNOTSUPP),
				       S(R, SETX, "f", ACC, .v = &cut, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &odd, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &bad_tag, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &no_other, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &no_mask, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &no_id, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &bad_perm, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &disorder, .want = LINKFS_EINVAL),
				       S(R, SETX, "f", ACC, .v = &twice, .want = LINKFS_EINVAL),
				       S(X, SETX, "f", ACC, .v = &minimal, .want = LINKFS_EPERM),
				       S(X, SETX, "f", ACC, .v = &disorder, .want = LINKFS_EPERM),
				       S(X, SETX, "f", ACC, .v = &bad_tag, .want = LINKFS_EINVAL),
				       S(X, SETX, "f", DEF, .v = &disorder, .want = LINKFS_EACCES),
				       S(X, SETX, "f", DEF, .v = &empty),
				       S(X, RMX, "f", DEF),
				       S(X, RMX, "d", DEF, .want = LINKFS_EPERM),
				       S(X, SETX, "l", DEF, .v = &disorder, .want = LINKFS_EOPNOTSUPP),
				       S(X, SETX, "l", DEF, .v = &bad_tag, .want = LINKFS_EINVAL),
				       S(X, RMX, "f", ACC, .want = LINKFS_EPERM),
				       S(X, GETX, "f", ACC, .want = LINKFS_ENODATA),
				       /* setgid goes when he who sets it is not in the group. */
				       S(R, CHOWN, "f", .n = 1000, .m = 3000),
				       S(R, CHMOD, "f", .n = 02755),
				       S(O, SETX, "f", ACC, .v = &named),
				       S(O, MODE, "f", .n = 0660),
				       {0}};

V(grants, ACL_HEAD U_OBJ("\0") U_ID("\6", ID2000) G_OBJ("\0") G_ID("\4", ID1000) MASK("\6") OTHER("\7"));
V(masked, ACL_HEAD U_OBJ("\7") U_ID("\7", ID2000) G_OBJ("\7") MASK("\4") OTHER("\0"));
V(two_groups, ACL_HEAD U_OBJ("\7") G_OBJ("\4") G_ID("\2", ID1000) MASK("\7") OTHER("\7"));
V(refused, ACL_HEAD U_OBJ("\7") U_ID("\0", ID2000) G_OBJ("\7") MASK("\7") OTHER("\7"));
V(group_id, ACL_HEAD U_OBJ("\7") G_OBJ("\0") G_ID("\5", ID3000) MASK("\7") OTHER("\4"));

static const struct step check_rows[] = {S(R, MK, "f", .n = S_IFREG | 0600),
					 S(R, CHOWN, "f", .n = 1000, .m = 3000),
					 S(R, SETX, "f", ACC, .v = &grants),
					 S(R, MODE, "f", .n = 0067),
					 S(O, ACCESS, "f", .n = 4, .want = LINKFS_EACCES),
					 S(X, ACCESS, "f", .n = 6),
					 S(X, ACCESS, "f", .n = 1, .want = LINKFS_EACCES),
					 S(M, ACCESS, "f", .n = 4),
					 S(M, ACCESS, "f", .n = 2, .want = LINKFS_EACCES),
					 S(M, ACCESS, "f", .n = 1, .want = LINKFS_EACCES),
					 S(R, ACCESS, "f", .n = 7),
					 S(R, SETX, "f", ACC, .v = &masked),
					 S(X, ACCESS, "f", .n = 4),
					 S(X, ACCESS, "f", .n = 2, .want = LINKFS_EACCES),
					 S(O, ACCESS, "f", .n = 7),
					 S(M, ACCESS, "f", .n = 4, .want = LINKFS_EACCES),
					 /* No group's entry alone grants both. */
					 S(R, CHOWN, "f", .n = 0, .m = 1001),
					 S(R, SETX, "f", ACC, .v = &two_groups),
					 S(M, ACCESS, "f", .n = 4),
					 S(M, ACCESS, "f", .n = 2),
					 S(M, ACCESS, "f", .n = 6, .want = LINKFS_EACCES),
					 S(X, ACCESS, "f", .n = 7),
					 S(R, SETX, "f", ACC, .v = &refused),
					 S(X, ACCESS, "f", .n = 4, .want = LINKFS_EACCES),
					 S(O, ACCESS, "f", .n = 7),
					 S(R, SETX, "f", ACC, .v = &group_id),
					 S(M, ACCESS, "f", .n = 4, .want = LINKFS_EACCES),
					 S(X, ACCESS, "f", .n = 4),
					 /* A mask of nothing: Linux goes by the mode. */
					 S(R, CHMOD, "f", .n = 0707),
					 S(M, ACCESS, "f", .n = 4, .want = LINKFS_EACCES),
					 S(X, ACCESS, "f", .n = 7),
					 {0}};

V(def, ACL_HEAD U_OBJ("\7") U_ID("\7", ID2000) G_OBJ("\5") MASK("\7") OTHER("\5"));
V(from_def_640, ACL_HEAD U_OBJ("\6") U_ID("\7", ID2000) G_OBJ("\5") MASK("\4") OTHER("\0"));
V(from_def_777, ACL_HEAD U_OBJ("\7") U_ID("\7", ID2000) G_OBJ("\5") MASK("\7") OTHER("\5"));
V(def_min, ACL_HEAD U_OBJ("\7") G_OBJ("\6") OTHER("\6"));

static const struct step inherit_rows[] = {S(R, MKDIR, "d", .n = 0755),
					   S(R, SETX, "d", DEF, .v = &def),
					   S(R, MODE, "d", .n = 0755),
					   S(R, GETX, "d", ACC, .want = LINKFS_ENODATA),
					   /* The default ACL takes the umask's place. */
					   S(R, MK, "d/f", .n = S_IFREG | 0640),
					   S(R, MODE, "d/f", .n = 0640),
					   S(R, GETX, "d/f", ACC, .v = &from_def_640),
					   S(R, GETX, "d/f", DEF, .want = LINKFS_ENODATA),
					   S(R, MKDIR, "d/e", .n = 0777),
					   S(R, MODE, "d/e", .n = 0775),
					   S(R, GETX, "d/e", ACC, .v = &from_def_777),
					   S(R, GETX, "d/e", DEF, .v = &def),
					   S(R, SYM, "d/l", "f"),
					   S(R, LSX, "d/l", .m = 0),
					   S(R, OPEN, "d/o", .n = LINKFS_O_READ | LINKFS_O_WRITE | LINKFS_O_CREATE),
					   S(R, MODE, "d/o", .n = 0644),
					   S(R, SETX, "d", DEF, .v = &def_min),
					   S(R, MK, "d/g", .n = S_IFREG | 0666),
					   S(R, MODE, "d/g", .n = 0666),
					   S(R, LSX, "d/g", .m = 0),
					   S(R, MKDIR, "d/h", .n = 0777),
					   S(R, MODE, "d/h", .n = 0766),
					   S(R, GETX, "d/h", DEF, .v = &def_min),
					   S(R, GETX, "d/h", ACC, .want = LINKFS_ENODATA),
					   S(R, RMX, "d", DEF),
					   S(R, MK, "d/i", .n = S_IFREG | 0666),
					   S(R, MODE, "d/i", .n = 0644),
					   S(R, RM, "d/f"),
					   S(R, RMDIR, "d/e"),
					   {0}};

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"names", name_rows, false}, {"big values", big_rows, true},    {"who", who_rows, false},
		{"acl", acl_rows, false},    {"acl checks", check_rows, false}, {"acl inherit", inherit_rows, false},
	};

	return steps_main(argc, argv, scenarios, sizeof(scenarios) / sizeof(scenarios[0]));
}
