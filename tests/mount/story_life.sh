#!/bin/bash
# story_life.sh - a volume's life around its mounts: import of a large tree, remounts, kill -9, messages, limits of memory.
# Makes its own volumes and mounts below TMPDIR.
set -u
here=$(dirname "$(readlink -f "$0")")
. "$here/tap.sh"
[ "${LINKFS_FUSE-}" = 0 ] && { echo "1..0 # SKIP no usable FUSE: ${LINKFS_FUSE_WHY-}"; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/linkfs-life.XXXXXX") || exit 1
export XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$work/run"
mkdir "$work/mnt" "$work/mnt2"
clean_up() {
  trap - EXIT
  cd /
  local p d
  for d in "$work/mnt" "$work/mnt2" "$work/fat"; do
    while grep -q " $d " /proc/self/mountinfo; do
      timeout 30 "$LINKFS_BIN" umount "$d" 2>/dev/null || umount "$d" 2>/dev/null || umount -l "$d" || break
    done
  done
  [ -n "${loop-}" ] && losetup -d "$loop" 2>/dev/null
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
l() { timeout "${T:-120}" "$LINKFS_BIN" "$@"; }
owner_pid() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' <<<"$(l info --json "$1")" | head -n 1; }

files=${LINKFS_LIFE_FILES:-50000}
make_tree() {
  mkdir "$work/src" && (cd "$work/src" && python3 - "$files" <<'PY'
import os, sys
n = int(sys.argv[1])
for i in range(n):
    d = "d%d/e%d" % (i % 40, i % 7)
    if i < 280:
        os.makedirs(d, exist_ok=True)
    p = "%s/f%d" % (d, i)
    if i % 10 == 9:
        os.link("d%d/e%d/f%d" % ((i - 1) % 40, (i - 1) % 7, i - 1), p)
    elif i % 10 == 8:
        with open(p, "wb") as f:
            f.write(b"%d " % i * (i % 3000))
    elif i % 10 == 7:
        os.symlink("../e%d/f%d" % (i % 7, i), p)
    else:
        with open(p, "wb") as f:
            f.write(b"%d " % i * (i % 60))
PY
  )
}
check "make a tree of $files entries" make_tree
check "create" l create "$work/vol"
check "import it" l import "$work/src" "$work/vol:/"
check "mount" l mount "$work/vol" "$work/mnt"
top="$work/mnt"; [ -d "$work/mnt/src" ] && top="$work/mnt/src"
check "the tree in the mount equals the source" same "tree $work/src" "tree $top"
check "unmount" l umount "$work/mnt"
check "mount again" l mount "$work/vol" "$work/mnt"
check "it still does" same "tree $work/src" "tree $top"
rss() { awk '/VmRSS/ {print $2}' "/proc/$(owner_pid "$work/vol")/status"; }
bounded() {
  [ "$(id -u)" = 0 ] || return 0
  echo 2 >/proc/sys/vm/drop_caches
  sleep 0.5
  local before after
  before=$(rss)
  find "$work/mnt" -printf '' && echo 2 >/proc/sys/vm/drop_caches && find "$work/mnt" -printf '' && echo 2 >/proc/sys/vm/drop_caches
  sleep 0.5
  after=$(rss)
  echo "resident before $before KiB, after $after KiB"
  [ "$after" -lt $((before + 40000)) ]
}
check "memory stays bounded when the kernel forgets" bounded

# kill -9 with work in flight: what was fsynced is there afterwards, the mount point can be used again at once.
kill_round() {
  local pid i
  pid=$(owner_pid "$work/vol")
  [ -n "$pid" ] || { echo "no pid in info"; return 1; }
  mkdir -p "$work/mnt/kill" || return 1
  for i in $(seq 20); do
    head -c $((i * 1000)) /dev/urandom >"$work/ref.$i"
    dd if="$work/ref.$i" of="$work/mnt/kill/$1.$i" conv=fsync status=none || return 1
  done
  ln "$work/mnt/kill/$1.1" "$work/mnt/kill/$1.link" && sync "$work/mnt/kill/$1.1" || return 1
  (for i in $(seq 2000); do echo x >"$work/mnt/kill/noise.$i"; done) 2>/dev/null &
  sleep 0.2
  kill -9 "$pid"
  wait
  l mount "$work/vol" "$work/mnt" || return 1
  for i in $(seq 20); do
    cmp "$work/ref.$i" "$work/mnt/kill/$1.$i" || return 1
  done
  [ "$(stat -c %h "$work/mnt/kill/$1.link")" = 2 ] && echo ok >"$work/mnt/kill/$1.after"
}
for round in 1 2 3; do
  check "kill -9 of the daemon, round $round: everything fsynced is there" kill_round $round
done
check "the imported tree is whole after the kills" same "tree $work/src" "tree $top | grep -v ' ./kill\|^./kill'"

# umount makes everything durable.
durable() {
  echo last words >"$work/mnt/last" && l umount "$work/mnt" && l cat "$work/vol:/last" | grep -qx "last words"
}
check "what was written before umount is there after it" durable

# Messages that name the thing and the way out.
check "a volume that is not there" refuses "$work/none" l mount "$work/none" "$work/mnt"
check "a directory that is no volume" refuses "not a linkfs volume" l mount "$work/src" "$work/mnt"
check "creating over a directory with files" refuses "not empty" l create "$work/src"
check "a mount point that is not there" refuses "$work/nowhere" l mount "$work/vol" "$work/nowhere"
touch "$work/file"
check "a mount point that is a file" refuses "directory" l mount "$work/vol" "$work/file"
check "mount for the next ones" l mount "$work/vol" "$work/mnt"
check "a volume mounted already" refuses "$work/mnt" l mount "$work/vol" "$work/mnt2"
l create "$work/vol2"
check "a mount point in use" refuses "$work/mnt" l mount "$work/vol2" "$work/mnt"
newer() {
  l create "$work/vol3" && sqlite3 "$work/vol3/meta.db" 'pragma user_version=99' && refuses newer l mount "$work/vol3" "$work/mnt2"
}
if command -v sqlite3 >/dev/null; then check "a newer format" newer; else skip "a newer format" "sqlite3 is not installed"; fi
no_device() { # in a mount namespace of its own, with an empty /dev
  refuses /dev/fuse unshare -m --propagation slave bash -c 'mount -t tmpfs none /dev && exec timeout 30 "$0" mount "$1" "$2"' \
    "$LINKFS_BIN" "$work/vol2" "$work/mnt2"
}
if unshare -m true 2>/dev/null; then check "no FUSE device" no_device; else skip "no FUSE device" "mount namespaces cannot be made here"; fi
check "SIGTERM unmounts cleanly" bash -c "kill -TERM $(owner_pid "$work/vol"); for i in \$(seq 100); do grep -q ' $work/mnt ' /proc/self/mountinfo || exit 0; sleep 0.1; done; exit 1"
check "and the volume is free again" soon l ls "$work/vol:/"

# A disk without links, permissions and xattrs.
loop=
fat() {
  [ "$(id -u)" = 0 ] || return 77
  truncate -s 300M "$work/fat.img" && mkfs.exfat "$work/fat.img" >/dev/null && mkdir -p "$work/fat" || return 77
  loop=$(losetup -f --show "$work/fat.img") && mount.exfat-fuse "$loop" "$work/fat" >/dev/null 2>&1 || return 77
}
fat
if [ $? = 77 ]; then
  skip "a volume on exFAT" "exfat-fuse or mkfs.exfat is not usable here"
else
  on_fat() {
    ln "$work/file" "$work/fat/x" 2>/dev/null && return 1
    l create "$work/fat/vol" && l mount "$work/fat/vol" "$work/mnt" && cp -a /usr/share/zoneinfo "$work/mnt/zone" && ln "$work/mnt/zone/Europe/Berlin" "$work/mnt/b" &&
      ln -s zone/UTC "$work/mnt/s" && setfattr -n user.a -v b "$work/mnt/b" && chmod 600 "$work/mnt/b" && l umount "$work/mnt" && l mount "$work/fat/vol" "$work/mnt" &&
      [ "$(getfattr --only-values -n user.a "$work/mnt/b")" = b ] && [ "$(stat -c %a "$work/mnt/b")" = 600 ] &&
      same "tree /usr/share/zoneinfo | grep -v Europe/Berlin" "tree $work/mnt/zone | grep -v Europe/Berlin" && l umount "$work/mnt"
  }
  check "a volume on exFAT has links, permissions and xattrs" on_fat
  umount "$work/fat"
fi
finish
