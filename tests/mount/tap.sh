# tap.sh - TAP for shell tests. A check is one command: check "what must hold" command [arg...].
tap_n=0 tap_bad=0
check() {
  local what=$1 out rc
  shift
  tap_n=$((tap_n + 1))
  out=$("$@" 2>&1)
  rc=$?
  if [ $rc = 0 ]; then
    echo "ok $tap_n - $what"
  else
    echo "not ok $tap_n - $what"
    printf '%s\n' "exit status $rc of: $*" "$out" | head -n 40 | sed 's/^/# /'
    tap_bad=$((tap_bad + 1))
  fi
}
skip() {
  tap_n=$((tap_n + 1))
  echo "ok $tap_n - $1 # SKIP $2"
}
# Says that what two commands print is the same.
same() { diff -u <(eval "$1") <(eval "$2"); }
# The command fails, and its message holds the words.
refuses() {
  local words=$1 out
  shift
  if out=$("$@" 2>&1); then
    echo "succeeded: $*"
    return 1
  fi
  case $out in
    *"$words"*) ;;
    *) printf 'the message lacks "%s":\n%s\n' "$words" "$out"; return 1 ;;
  esac
}
# Waits up to ten seconds for a condition.
soon() {
  local i
  for i in $(seq 100); do
    "$@" && return 0
    sleep 0.1
  done
  return 1
}
finish() {
  echo "1..$tap_n"
  [ $tap_bad = 0 ]
}
# Every name with its inode class, kind, mode, owner, size, time, link count and target, and a sum of all content: equal for
# equal trees wherever they are. Names that share an inode show the first of them.
tree() (
  cd "$1" || exit 1
  find . -mindepth 1 -printf '%i\t%p\t%y %m %U %G %n %T@ %l\n' | LC_ALL=C sort -t "$(printf '\t')" -k2 |
    awk -F '\t' '{ if (!($1 in first)) first[$1] = $2; n = split($3, a, " ");
      if (a[1] == "d") a[5] = "-"; line = $2; for (i = 1; i <= n; i++) line = line " " a[i]; print line " = " first[$1] }'
  find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r cksum
)
