#!/bin/bash
# story_tools.sh - people's own tools at work inside a mount: git, make, rsync, tar, cp, sqlite3, editors, find, du, ln, mv.
set -u
. "$(dirname "$(readlink -f "$0")")/tap.sh"
m=$LINKFS_TEST_DIR h=$LINKFS_WORK
cd "$m" || exit 1
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org \
  GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org

# A repository with a C project, made on the host; cloned, built, tested, changed and gc'ed inside.
make_repository() (
  mkdir "$h/origin" && cd "$h/origin" && git init -q -b main . || exit 1
  mkdir src
  for i in $(seq 20); do
    printf 'int f%d(int x);\nint f%d(int x) { return x + %d; }\n' "$i" "$i" "$i" >"src/f$i.c"
  done
  { for i in $(seq 20); do echo "int f$i(int x);"; done
    echo '#include <stdio.h>'
    echo 'int main(void) { int s = 0;'
    for i in $(seq 20); do echo "s += f$i(1);"; done
    echo 'printf("%d\n", s); return s != 230; }'; } >src/main.c
  printf 'prog: $(patsubst %%.c,%%.o,$(wildcard src/*.c))\n\tcc -o $@ $^\n%%.o: %%.c\n\tcc -c -O1 -o $@ $<\ntest: prog\n\t./prog | grep -qx 230\nclean:\n\trm -f prog src/*.o\n' >Makefile
  ln -s src/main.c main-link
  git add -A && git commit -qm one && for i in 1 2 3 4 5; do echo "/* $i */" >>src/main.c; git commit -qam "change $i"; done
)
check "make a repository on the host" make_repository
check "git clone into the mount" git clone -q "$h/origin" clone
check "git clone --local links objects inside the mount" git clone -q --local clone clone2
check "the checkout equals the origin" diff -r --exclude=.git "$h/origin" clone
check "make builds inside" make -s -C clone prog
check "make test passes inside" make -s -C clone test
check "make sees nothing to do" make -q -C clone prog
build_again() { touch clone/src/f3.c && ! make -q -C clone prog && make -s -C clone test; }
check "make sees a touched source" build_again
git_life() (
  cd clone && make -s clean && [ -z "$(git status --porcelain)" ] && git checkout -q -b side HEAD~2 && echo x >>src/f1.c &&
    git commit -qam side && git checkout -q main && git merge -q side -m merge && git stash list && git gc -q && git fsck --strict &&
    [ -z "$(git status --porcelain)" ]
)
check "branches, merge, gc and fsck" git_life

# rsync there and back. A copy of part of /usr/include keeps the time short on a small machine.
src=/usr/include
rsync_there_and_back() {
  local dir=$1 name=$2
  rsync -aHAX "$dir/" "$name/" && [ -z "$(rsync -aHAXn --delete --itemize-changes "$dir/" "$name/")" ] &&
    rsync -aHAX "$name/" "$h/$name/" && [ -z "$(rsync -aHAXn --delete --itemize-changes "$name/" "$h/$name/")" ] &&
    [ -z "$(rsync -aHAXnc --delete --itemize-changes "$dir/" "$h/$name/")" ]
}
if [ "$(id -u)" = 0 ]; then
  check "rsync -aHAX of /usr/include there and back says nothing" rsync_there_and_back $src include
  check "rsync -aHAX of the time zone tree there and back says nothing" rsync_there_and_back /usr/share/zoneinfo zoneinfo
else
  rsync_as_user() { rsync -rlptHAX $src/ include/ && [ -z "$(rsync -rlptHAXnc --delete --itemize-changes $src/ include/)" ]; }
  check "rsync of /usr/include says nothing" rsync_as_user
  zone_as_user() { rsync -rlptHAX /usr/share/zoneinfo/ zoneinfo/ && [ -z "$(rsync -rlptHAXnc --delete --itemize-changes /usr/share/zoneinfo/ zoneinfo/)" ]; }
  check "rsync of the time zone tree says nothing" zone_as_user
fi

# A small tree with everything in it, for tar and cp.
make_tree() (
  mkdir tree && cd tree && mkdir -p a/b/c "odd
name" && echo one >a/one && ln a/one a/b/two && ln a/one three && ln -s ../one a/b/sym && ln -s nowhere dangling &&
    mkfifo fifo && truncate -s 1M sparse && printf end | dd of=sparse bs=1 seek=500000 conv=notrunc status=none &&
    setfattr -n user.colour -v blue a/one && setfacl -m u:12345:r a/b && chmod 1750 a && head -c 300000 /dev/urandom >big &&
    touch -d '1999-12-31 23:59:59.123456789' big && touch -h -d '2001-01-01' a/b/sym && : >"$(printf 'b\377yte')"
)
check "make a tree with everything in it" make_tree
tar_round() {
  mkdir out && tar --xattrs --acls -cf t.tar tree && tar --xattrs --acls --atime-preserve -xpf t.tar -C out && same "tree tree" "tree out/tree" &&
    [ "$(getfattr --only-values -n user.colour out/tree/three)" = blue ] && [ "$(stat -c %h out/tree/a/b/two)" = 3 ] &&
    same "getfacl -cR tree" "getfacl -cR out/tree"
}
check "tar keeps hard links, times, xattrs and ACLs" tar_round
cp_round() { cp -a tree copied && same "tree tree" "tree copied" && [ "$(stat -c %h copied/three)" = 3 ] && [ "$(stat -c %b copied/sparse)" -lt 200 ]; }
check "cp -a keeps them too, and holes" cp_round
mv_round() { mv copied moved && [ ! -e copied ] && same "tree tree" "tree moved" && mv moved "$h/" && same "tree tree" "tree $h/moved" && mv "$h/moved" . && same "tree tree" "tree moved"; }
check "mv inside, out and back" mv_round
check "du counts a file with three names once" bash -c '[ "$(du -s --apparent-size -B1 tree/a tree/three | awk "{s += \$1} END {print s}")" = "$(du -s --apparent-size -B1 tree/a tree/a | head -1 | cut -f1)" ]'
check "find -samefile finds the three" bash -c '[ "$(find tree -samefile tree/three | wc -l)" = 3 ]'
check "find -xtype l finds the dangling one" bash -c '[ "$(find tree -xtype l)" = tree/dangling ]'
check "ln -sfn switches" bash -c 'mkdir v1 v2 && ln -s v1 current && ln -sfn v2 current && [ "$(readlink current)" = v2 ]'
check "rm -r removes it all" bash -c 'rm -r tree moved out t.tar && [ ! -e tree ]'

# An editor-style save: write beside, sync, rename over; the other name keeps the old content.
save() {
  echo old >doc && ln doc other && echo new >doc.tmp && sync doc.tmp && mv doc.tmp doc && [ "$(cat doc)" = new ] && [ "$(cat other)" = old ] &&
    [ "$(stat -c %h doc other | tr '\n' ' ')" = "1 1 " ]
}
check "an editor-style save" save
check "sed -i" bash -c 'sed -i s/new/newer/ doc && [ "$(cat doc)" = newer ]'
vim=$(command -v vim.tiny || command -v vim)
if [ -n "$vim" ]; then
  check "vim saves" env EDITOR="$vim" bash -c 'timeout 20 "$EDITOR" -u NONE -es -c "%s/newer/newest/" -c wq doc </dev/null; [ "$(cat doc)" = newest ]'
else
  skip "vim saves" "vim is not installed"
fi

# A database file, in WAL mode, with two processes on it.
database() {
  sqlite3 db 'pragma journal_mode=wal; create table t(a integer primary key, b);' >/dev/null &&
    { for i in $(seq 200); do echo "insert into t(b) values(randomblob(500));"; done | sqlite3 -cmd '.timeout 20000' db & } &&
    { for i in $(seq 200); do echo "insert into t(b) values(randomblob(500));"; done | sqlite3 -cmd '.timeout 20000' db; } && wait &&
    [ "$(sqlite3 db 'select count(*) from t; pragma integrity_check; pragma journal_mode;' | tr '\n' ' ')" = "400 ok wal " ]
}
check "sqlite3 with a WAL, two writers" database
check "sqlite3 sees it all after reopening" bash -c 'sqlite3 db "pragma wal_checkpoint(truncate);" >/dev/null && [ "$(sqlite3 db "select count(*) from t")" = 400 ]'
finish
