/*
 * property.c - calls on a volume's properties.
 * Layer: api.
 */
#include "property.h"
#include "deleted.h"
#include "perm.h"
#include "volume.h"

#include <string.h>

int linkfs_property_known(size_t i, struct linkfs_property *out)
{
	const struct linkfs_property *property = lk_property_known(i);

	if (!property)
		return LINKFS_ENOENT;
	*out = *property;
	return 0;
}

int linkfs_volume_get_property(struct linkfs_volume *volume, const char *key, char *buf, size_t size)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	char value[LK_PROPERTY_VALUE_MAX];
	size_t len;
	int rc;

	(void)pthread_mutex_lock(&fs->lock);
	rc = lk_property_get((struct lk_bytes){fs->properties.p, fs->properties.len}, key, value);
	(void)pthread_mutex_unlock(&fs->lock);
	if (rc)
		return rc;
	len = strlen(value) + 1;
	if (len > size)
		return LINKFS_ERANGE;
	memcpy(buf, value, len);
	return 0;
}

int linkfs_volume_set_property(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *key,
			       const char *value, struct linkfs_message *why)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct lk_inode root;
	struct lk_op op;
	bool set;
	int rc;

	cred = lk_cred(cred);
	rc = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES);
	if (rc)
		return lk_fail(why, rc, "the volume is read-only");
	rc = lk_inode_get(&op, LINKFS_ROOT_INO, &root);
	if (rc == 0 && !lk_cred_owns(cred, &root))
		rc = lk_fail(why, LINKFS_EPERM,
			     "a property is changed by root or by the owner of the volume's root directory");
	if (rc == 0)
		rc = lk_property_set(&op, key, value, why);
	set = rc == 0;
	rc = lk_op_end(&op, rc);
	if (rc && set)
		(void)lk_property_reload(fs);
	if (rc == 0)
		lk_deleted_look(fs);
	return rc;
}
