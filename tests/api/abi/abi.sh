#!/bin/sh
# abi.sh LIBRARY USER_C - what leaves the shared library, and whether an installed linkfs can be used by its pkg-config file.
set -u
library=$1
user=$2
number=0
echo 1..9

ok() { # RESULT TITLE
  number=$((number + 1))
  if [ "$1" = 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; failed=1; fi
}
failed=0

# 1: nothing but linkfs_* is exported
others=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^linkfs_' | sort)
[ -z "$others" ] || echo "# exported too: $others"
[ -z "$others" ]; ok $? "only linkfs_ symbols are exported"

# 2: every function the headers promise is there, and no other
nm -D --defined-only "$library" | awk '{print $3}' | sort >"$TMPDIR/exported"
cat "$LINKFS_SOURCE"/include/*.h | sed -n 's/^LINKFS_API .*\<\(linkfs_[a-z0-9_]*\)(.*/\1/p' | sort >"$TMPDIR/promised"
[ "$(wc -l <"$TMPDIR/promised")" -gt 50 ]; ok $? "the headers promise functions"
diff "$TMPDIR/promised" "$TMPDIR/exported" >"$TMPDIR/difference" 2>&1; result=$?
sed 's/^/# /' "$TMPDIR/difference"
ok $result "the headers' functions and the exported ones are the same"

# 4: soname
readelf -d "$library" | grep -q 'SONAME.*\[liblinkfs\.so\.0\]'; ok $? "the soname is liblinkfs.so.0"

# 5: install, then build and run a program by the pkg-config file
root=$TMPDIR/root
meson install -C "$LINKFS_BUILD" --no-rebuild --destdir "$root" >"$TMPDIR/install.log" 2>&1; result=$?
[ $result = 0 ] || sed 's/^/# /' "$TMPDIR/install.log"
ok $result "installs below DESTDIR"
pc=$(find "$root" -name linkfs.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="$(dirname "$pc")"
flags() { # the sysroot is for ours only: the system's libraries are where they are
  PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" linkfs
}
cc=${CC:-cc}
# shellcheck disable=SC2046
$cc -o "$TMPDIR/shared" "$user" $(flags --cflags --libs) 2>"$TMPDIR/log" &&
  LD_LIBRARY_PATH=$libdir "$TMPDIR/shared" "$TMPDIR/v1" >>"$TMPDIR/log" 2>&1
ok $? "a program uses the shared library"
# shellcheck disable=SC2046
$cc -o "$TMPDIR/static" "$user" $(flags --cflags) "$libdir/liblinkfs.a" $(pkg-config --libs sqlite3 libxxhash libzstd) -pthread 2>>"$TMPDIR/log" &&
  "$TMPDIR/static" "$TMPDIR/v2" >>"$TMPDIR/log" 2>&1
ok $? "a program uses the static library"
sed 's/^/# /' "$TMPDIR/log"

[ "$("$TMPDIR/static" "$TMPDIR/v3" 2>/dev/null)" = "$(flags --modversion) LINKFS_OK" ]
ok $? "library and pkg-config file name the same version"

# 9: what a user finds
missing=""
for f in bin/linkfs include/linkfs.h include/linkfs_check.h include/linkfs_diff.h include/linkfs_links.h include/linkfs_mount.h include/linkfs_prune.h include/linkfs_recover.h include/linkfs_snapshots.h include/linkfs_space.h include/linkfs_stream.h; do
  find "$root" -path "*/$f" | grep -q . || missing="$missing $f"
done
[ -z "$missing" ] || echo "# missing:$missing"
[ -z "$missing" ]; ok $? "program and headers are installed"
exit $failed
