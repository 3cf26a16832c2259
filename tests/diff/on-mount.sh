#!/bin/sh
# Runs the runner given as $1 on the mount that tests/mount/mounted made.
diff=$1
shift
exec "$diff" --backend mount --dir "$LINKFS_TEST_DIR" "$@"
