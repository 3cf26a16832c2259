#!/bin/sh
# Runs the runner given as $1 on the mount that tests/mount/mounted made.
diff=$1
shift
if [ "$(id -u)" != 0 ] && ! unshare --user --map-root-user true 2>/dev/null; then
  echo "1..0 # SKIP an ordinary user cannot make user namespaces here, which its two sides live in"
  exit 0
fi
exec "$diff" --backend mount --dir "$LINKFS_TEST_DIR" "$@"
