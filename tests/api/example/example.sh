#!/bin/sh
# The example does what its comments say: example.sh EMBED. TAP.
set -u
embed=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/linkfs-example.XXXXXX") || exit 99
trap 'rm -rf "$dir"' EXIT
number=0 bad=0
ok() {
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		bad=1
	fi
}
echo 1..6
out=$("$embed" "$dir/volume")
ok $? 'it runs'
[ "$(printf '%s\n' "$out" | sed -n 1,2p)" = 'notes/monday: rain, then sun
latest: rain, then sun' ]
ok $? 'what is written through one name is read through the others'
printf '%s\n' "$out" | grep -q '^inode [0-9]*, 2 names, 14 bytes: monday$'
ok $? 'a file with two names'
[ "$(printf '%s\n' "$out" | grep -o '^inode [0-9]*, 2' | sort -u | wc -l)" -eq 1 ]
ok $? 'both names show one inode'
printf '%s\n' "$out" | grep -qx 'latest -> notes/today'
ok $? 'the symlink'
"$embed" "$dir/volume" 2>"$dir/err"
[ $? -eq 1 ] && [ -s "$dir/err" ]
ok $? 'a second run is refused with a reason'
exit $bad
