#!/usr/bin/env python3
"""Backups of sources whose inode numbers lie, and of copies that others have rearranged (row E4): numbers that a file system uses again, equal ones of two
file systems, what is mounted over a directory or a file, links and directories that somebody made in the copy, names that cannot be removed.

    test_backup_numbers.py offline [MODULE] [TEST...]
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import harness as h
from trees import compare, describe

SETTLE = 0.05


class World:
    def __init__(self):
        self.base, self.volume = h.begin("offline")
        self.source = self.base + "/src"
        os.mkdir(self.source)
        self.number = 0

    def backup(self, *options, sources=None, rc=0, **how):
        time.sleep(SETTLE)
        result = h.linkfs("backup", "--json", *options, *(sources or [self.source]), self.volume.path, **how)
        if not h.ok(result.rc == rc, f"backup ends with {rc}", result):
            h.done()
        self.said = result.err
        return json.loads(result.out) if result.out else None

    def same(self, name, source=None, mounts=False):
        """The copy is the source; what is mounted in it included."""
        source = source or self.source
        self.number += 1
        out = f"{self.base}/out{self.number}"
        h.must("export", "-T", f"{self.volume.path}:{source}", out)
        got, want = describe(out), describe(source)
        for one in list(got.values()) + list(want.values()) if mounts else ():
            for key in ("same file as", "nlink"):  # by numbers, of which several file systems have the same
                one.pop(key, None)
        good = compare(got, want, name)
        shutil.rmtree(out)
        return good

    def at(self, path):
        return self.volume(self.source + path)

    def cat(self, path):
        return h.linkfs("cat", self.volume(path)).raw

    def end(self):
        h.equal(h.linkfs("check", self.volume.path).rc, 0, "check finds nothing")
        h.clean(self.base)


def tmpfs(path):
    return h.ROOT and subprocess.run(["mount", "-t", "tmpfs", "none", path], capture_output=True).returncode == 0


def bind(a, b):
    subprocess.run(["mount", "--bind", a, b], check=True)


def put_at(path, content, when=10**18):
    h.put(path, content)
    os.utime(path, ns=(when, when))


def again(path, number, content):
    """A new file at path that has a number which was free; False where the file system gives no such one."""
    others = []
    for i in range(3000):
        h.put(path, content)
        if os.lstat(path).st_ino == number:
            break
        os.rename(path, f"{path}.{i}")
        others.append(f"{path}.{i}")
    found = os.path.exists(path)
    for other in others:
        os.unlink(other)
    return found


def reused():
    """A file goes; another one gets its number, and has its size and time: it is no move. (Package managers give all files one time.)"""
    w = World()
    s = w.source
    for name in ("a", "linked"):
        put_at(f"{s}/{name}", name.encode()[:1] * 5000)
    w.backup()
    for old, new in (("a", "b"), ("linked", "c")):
        number = os.lstat(f"{s}/{old}").st_ino
        os.unlink(f"{s}/{old}")
        if not again(f"{s}/{new}", number, new.encode() * 5000):
            h.skip("a number that is used again", "none was")
            w.end()
            return
        os.utime(f"{s}/{new}", ns=(10**18, 10**18))
    os.link(s + "/c", s + "/linked")
    w.backup()
    w.same("a file with the number, size and time of one that is gone is read")
    number = os.lstat(s + "/b").st_ino
    os.unlink(s + "/b")
    if again(s + "/b", number, b"x" * 5000):
        os.utime(s + "/b", ns=(10**18, 10**18))
        os.link(s + "/b", s + "/b2")
        w.backup()
        w.same("under the same name too, where a link was added")
    os.rename(s + "/b", s + "/moved")
    r = w.backup()
    if subprocess.run(["stat", "-c", "%W", s + "/moved"], capture_output=True, check=True).stdout.strip() != b"0":
        h.equal((r["moved"], r["read_bytes"]), (1, 0), "a move is still one", r)
    w.end()


def mounts():
    """File systems whose numbers are the same: nothing of the one is taken for the other's."""
    w = World()
    s = w.source
    one, two = w.base + "/one", w.base + "/two"
    os.mkdir(one)
    os.mkdir(two)
    if not tmpfs(one) or not tmpfs(two):
        h.skip("two file systems with equal numbers", "needs root")
        return
    for fs, c in ((one, b"1"), (two, b"2")):
        for name in ("f", "g", "h"):
            put_at(f"{fs}/{name}", c + name.encode() * 3000)
        os.mkdir(fs + "/m1")
        os.mkdir(fs + "/m2")
        put_at(f"{fs}/m1/in", c + b"in" * 3000)
        put_at(f"{fs}/last", c + b"last" * 3000)
    for name in ("f", "g", "h"):
        if os.lstat(f"{one}/{name}").st_ino != os.lstat(f"{two}/{name}").st_ino:
            h.skip("two file systems with equal numbers", "they are not")
            w.end()
            return
    bind(two, one + "/m1")
    w.backup(sources=[one])
    w.same("a file system mounted in another", one, mounts=True)
    w.backup(sources=[one])
    w.same("and again", one, mounts=True)
    bind(two, one + "/m2")
    w.backup(sources=[one])
    w.same("and at a second place", one, mounts=True)
    w.backup(sources=[one])
    w.same("and once more", one, mounts=True)
    subprocess.run(["umount", one + "/m1"], check=True)
    w.backup(sources=[one])
    w.same("at the second place alone", one, mounts=True)
    subprocess.run(["umount", one + "/m2"], check=True)
    w.backup(sources=[one])
    w.same("at none", one, mounts=True)
    bind(two + "/h", one + "/g")
    w.backup(sources=[one])
    w.same("a file mounted over another", one, mounts=True)
    bind(two + "/g", one + "/h")
    w.backup(sources=[one])
    w.same("two of them", one, mounts=True)
    w.backup(sources=[one])
    w.same("and again", one, mounts=True)
    subprocess.run(["umount", one + "/g"], check=True)
    subprocess.run(["umount", one + "/h"], check=True)
    w.backup(sources=[one])
    w.same("and none", one, mounts=True)
    w.backup(sources=[one, two])
    w.same("both as sources: the first", one, mounts=True)
    w.same("the second", two, mounts=True)
    subprocess.run(["umount", two], check=True)
    bind(one, two)
    w.backup(sources=[two, one])
    w.same("one in the place of the other", two, mounts=True)
    w.same("and in its own", one, mounts=True)
    w.end()


def others():
    """Somebody rearranges the copy: it becomes the source again, and what lies outside it stays as it is."""
    w = World()
    s = w.source
    two = w.base + "/two"  # of the same file system, whose numbers are known by it
    os.mkdir(two)
    os.makedirs(s + "/d/e")
    for name in ("f", "g", "d/x", "d/e/y"):
        put_at(f"{s}/{name}", name.encode() * 3000)

    def mine():
        listed = h.must("ls", "-lR", "--time-style=full-iso", w.volume("/mine")).out
        return re.sub(r"^([-dl]\S+) +\d+", r"\1", listed, flags=re.M)  # without link counts
    for n, deed in enumerate([
            lambda: h.must("bind", w.volume("/mine/own"), w.at("/d")),
            lambda: h.must("bind", w.volume("/mine/own/a"), w.at("/f")),
            lambda: h.must("ln", w.volume("/mine/own/a"), w.at("/f")),
            lambda: h.must("mv", w.at("/d"), w.volume("/mine/kept")),
            lambda: (h.must("mv", w.at("/d"), w.volume("/mine/kept")), os.rename(s + "/d/e", s + "/e")),
            lambda: h.must("ln", "-s", "--track", w.volume("/mine/own"), w.at("/d")),
            lambda: h.must("ln", "-d", w.volume("/mine/own"), w.at("/d")),
            lambda: h.must("mv", w.at(""), w.volume("/mine/whole"))]):
        shutil.rmtree(s)
        os.makedirs(s + "/d/e")
        for name in ("f", "g", "d/x", "d/e/y"):
            put_at(f"{s}/{name}", name.encode() * 3000)
        w.backup(sources=[two, s])
        h.linkfs("rm", "-rf", w.volume("/mine"))
        h.must("mkdir", "-p", w.volume("/mine/own/sub"))
        h.must("cp", "/etc/hostname", w.volume("/mine/own/a"))
        if n in (0, 5, 6):
            h.must("rm", "-r", w.at("/d"))
        if n in (1, 2):
            h.must("rm", w.at("/f"))
        if n == 0:
            h.must("mkdir", w.at("/d"))
        if n == 1:
            h.must("touch", w.at("/f"))
        deed()
        before = mine()
        if n < 2:
            w.backup(rc=1, sources=[two, s])
            h.ok("a bind is in its way" in w.said and "unbind" not in w.said, f"{n}: a bind is told", w.said)
        else:
            w.backup(sources=[two, s])
            w.same(f"{n}: the copy is the source")
        h.equal(mine(), before, f"{n}: what is outside the copy is what it was")
        for name in ("f", "d/x"):
            h.put(f"{s}/{name}", b"later" * 1000)
        w.backup(rc=1 if n < 2 else 0, sources=[two, s])
        if n < 2:
            h.equal(mine(), before, f"{n}: whatever changes")
            h.must("unbind", w.at("/f" if n else "/d"))
            w.backup(sources=[two, s])
        w.same(f"{n}: and after a change")
        if n != 2:
            got = mine()
            h.equal(got, before, f"{n}: that changes nothing outside either")
    w.end()


def nested():
    """A source in a directory that another run passes over keeps its copy."""
    w = World()
    s = w.source
    os.mkdir(s + "/mnt")
    h.put(s + "/f", b"f")
    if not tmpfs(s + "/mnt"):
        h.skip("a source on another file system", "needs root")
        return
    os.makedirs(s + "/mnt/a/sub")
    h.put(s + "/mnt/a/sub/file", b"content")
    h.put(s + "/mnt/a/other", b"other")
    w.backup("-x", sources=[s, s + "/mnt/a/sub"])
    h.equal(w.cat(s + "/mnt/a/sub/file"), b"content", "both in one run")
    w.backup("-x", sources=[s, s + "/mnt/a/sub"])
    h.equal(w.cat(s + "/mnt/a/sub/file"), b"content", "and again")
    w.backup("-x")
    h.equal(w.cat(s + "/mnt/a/sub/file"), b"content", "-x without it leaves it")
    w.backup("-x", "--reread")
    h.equal(w.cat(s + "/mnt/a/sub/file"), b"content", "always")
    w.backup()
    w.same("without -x all is there")
    w.end()


def rules():
    """Two sources, one in the other, with other rules; marks that come and go."""
    w = World()
    s = w.source
    os.mkdir(s + "/sub")
    os.mkdir(s + "/cache")
    h.put(s + "/f", b"f" * 100)
    os.link(s + "/f", s + "/sub/f.o")
    os.link(s + "/f", s + "/cache/f")
    h.put(s + "/cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n")
    w.backup()
    w.backup("--exclude=*.o", sources=[s + "/sub"])
    w.backup()
    w.same("a link that another source's rules left out is there again")
    w.backup("--exclude-caches")
    w.backup("--exclude-caches")
    h.put(s + "/cache/CACHEDIR.TAG", b"no signature\n")
    w.backup("--exclude-caches")
    w.same("a directory that is no cache any more")
    h.put(s + "/sub/own", b"own")
    os.mkdir(s + "/sub/deep")
    h.put(s + "/sub/deep/x", b"x")
    for i, sources in enumerate(([s, s + "/sub/deep"], [s], [s + "/sub/deep"], [s])):
        r = w.backup("--exclude=/sub/", sources=sources)
        h.equal((w.cat(s + "/sub/deep/x"), w.cat(s + "/sub/own")), (b"x", b""), f"what is left out of one source and is another one stays ({i})", r)
    w.backup()
    w.same("and without the pattern all is there")
    h.put(s + "/first", b"- x\n")
    h.put(s + "/second", b"+ x\n")
    h.put(s + "/both", b"- x\n+ x\n")
    h.put(s + "/x", b"x")
    w.backup("--exclude-from=" + s + "/first", "--exclude-from=" + s + "/second")
    w.same("of two files of rules the last decides")
    w.backup("--exclude-from=" + s + "/both")
    h.ok(h.linkfs("ls", w.at("/x")).rc != 0, "of one the first")
    w.end()


def groups():
    """A group of hard links splits, and one of its files cannot be read: that one keeps what the copy had."""
    w = World()
    s = w.source
    module = os.path.abspath(sys.argv[2])
    put_at(s + "/b", b"old" * 3000)
    os.link(s + "/b", s + "/a")
    w.backup()
    os.unlink(s + "/a")
    put_at(s + "/a", b"new" * 3000)
    w.backup(rc=1, LD_PRELOAD=module, LINKFS_UNSTEADY=s + "/b=deny")
    h.equal((w.cat(s + "/a"), w.cat(s + "/b")), (b"new" * 3000, b"old" * 3000), "each is what it should be")
    w.backup()
    w.same("the next backup has both")
    w.end()


def absent():
    """A file system that is not mounted is no empty directory."""
    w = World()
    s = w.source
    if not tmpfs(s):
        h.skip("a file system that is not mounted", "needs root")
        return
    os.mkdir(s + "/d")
    h.put(s + "/d/f", b"content")
    w.backup()
    subprocess.run(["umount", s], check=True)
    result = h.linkfs("backup", s, w.volume.path)
    h.ok(result.rc == 3 and "mounted" in result.err and s in result.err, "an empty directory in the place of a full one is refused", result)
    h.equal(w.cat(s + "/d/f"), b"content", "the copy stays")
    w.backup("--dry-run", rc=3)
    w.backup("--take-over")
    w.same("unless it is meant")
    h.put(s + "/f", b"f")
    w.backup()
    os.unlink(s + "/f")
    w.backup()
    w.same("a directory that was emptied is empty")
    w.end()


tests = ["reused", "mounts", "others", "nested", "rules", "groups", "absent"]
for test in sys.argv[3:] or tests:
    globals()[test]()
h.done()
