#!/usr/bin/env python3
"""Backups (row E4): each snapshot is what the source was, whatever became of it in between; what is unchanged or moved is not read; sources that
cannot be read, vanish or change are told, and the rest is there.

    test_backup.py offline|live|mount|unsteady|faults|random [MODULE...]
"""
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time

import harness as h
from backup_world import SETTLE, World, expect, put
from trees import compare, describe, make_nasty, set_default_acl

FACE = sys.argv[1]


def whole():
    """Everything a tree can have, again, and nothing twice."""
    w = World("nasty", FACE)
    make_nasty(w.source)
    want = describe(w.source)
    missing = () if h.ROOT else (b"mode0",)
    r = w.backup(rc=0 if h.ROOT else 1)
    if h.ROOT:
        w.same("what was backed up is what was there: names, links, modes, owners, times, holes, xattrs, ACLs, devices", r["snapshot"], want)
        h.equal(w.said, "", "and nothing was told")
    else:
        w.same("what was backed up is what was there, but what may not be read", r["snapshot"], want, strip=missing)
        h.ok("mode0" in w.said and r["unreadable"] == 1, "which is told", w.said)
    first = r["snapshot"]
    r = w.backup(rc=0 if h.ROOT else 1)
    h.equal((r["new"], r["changed"], r["moved"], r["linked"], r["removed"], r["read_bytes"]), (0, 0, 0, 0, 0, 0), "a second time nothing is read", r)
    r = w.backup("--reread", rc=0 if h.ROOT else 1)
    h.equal((r["new"], r["moved"], r["linked"], r["removed"]), (0, 0, 0, 0), "--reread reads and finds nothing new", r)
    h.ok(r["read_bytes"] > 3 << 20, "but reads", r)
    w.same("and the copy is as it was", r["snapshot"], want, strip=missing)
    w.same("the first snapshot too", first, want, strip=missing)
    listed = h.must("snapshot", "list", "--json", w.volume.path)
    h.ok(all(s["tags"] == ["backup"] for s in json.loads(listed.out)), "the snapshots have the tag backup", listed)
    w.end()


def changes():
    """One change after the other; each backup is exactly that."""
    w = World("src", FACE)
    s = w.source
    for d in ("a", "a/deep", "b", "big"):
        os.mkdir(f"{s}/{d}")
    for i in range(50):
        put(f"{s}/big/{i}", bytes([i]) * 5000)
    put(s + "/a/one", b"1" * 100000)
    put(s + "/a/two", b"2" * 3000)
    put(s + "/b/three", b"3" * 10)
    put(s + "/a/deep/four", b"4")
    for n in ("l1", "l2", "l3"):
        os.link(s + "/b/three", f"{s}/b/{n}")
    os.symlink("one", s + "/a/sym")
    with open(s + "/sparse", "wb") as f:
        f.truncate(10 << 20)
        f.seek(5 << 20)
        f.write(b"middle")
    kept = []

    def step(name, do, **want):
        extra = {k: want.pop(k) for k in ("most_read", "options") if k in want}
        time.sleep(SETTLE)
        do()
        r = w.backup(*extra.get("options", []))
        expect(r, name, **want)
        if "most_read" in extra:
            h.ok(r["read_bytes"] <= extra["most_read"], f"{name}: no more is read than must be", r)
        want_now = describe(s)
        w.same(f"{name}: the copy is the source", r["snapshot"], want_now)
        if FACE != "offline":
            compare(describe(w.volume.mnt + s), want_now, f"{name}: through the mount too")
        kept.append((r["snapshot"], want_now))

    def write(path, content, at=None):
        with open(f"{s}/{path}", "r+b" if at is not None else "wb") as f:
            f.seek(at or 0)
            f.write(content)

    def save(path, content):
        put(f"{s}/{path}.new", content)
        os.rename(f"{s}/{path}.new", f"{s}/{path}")

    def swap(x, y):
        os.rename(f"{s}/{x}", f"{s}/swap")
        os.rename(f"{s}/{y}", f"{s}/{x}")
        os.rename(f"{s}/swap", f"{s}/{y}")

    def both(*deeds):
        return lambda: [deed() for deed in deeds]

    def move(x, y):
        os.rename(f"{s}/{x}", f"{s}/{y}")

    def relink(x, y):
        if os.path.lexists(f"{s}/{y}"):
            os.unlink(f"{s}/{y}")
        os.link(f"{s}/{x}", f"{s}/{y}")

    step("the first one", lambda: None, new=4 + 50 + 3 + 1 + 1 + 1, linked=3)
    step("nothing", lambda: None, most_read=0)
    step("written in the middle", lambda: write("a/one", b"!", 50000), changed=1, most_read=100000)
    step("written shorter", lambda: write("a/one", b"short"), changed=1)
    step("truncated up", lambda: os.truncate(s + "/a/one", 200000), changed=1)
    step("another mode", lambda: os.chmod(s + "/a/two", 0o600), changed=1)
    step("a time set", lambda: os.utime(s + "/a/two", ns=(5, 7)), changed=1)
    if "user.x" in try_xattr(s + "/a/two", "user.x"):
        step("an xattr", lambda: os.setxattr(s + "/a/two", "user.y", b"z"), changed=1)
        step("xattrs removed", lambda: [os.removexattr(s + "/a/two", "user." + n) for n in "xy"], changed=1)
    step("a file renamed", lambda: move("a/two", "b/two"), moved=1, removed=1, most_read=0)
    step("a directory renamed", lambda: move("big", "a/large"), moved=1, most_read=0)
    step("a directory renamed, and a file in it written", both(lambda: move("a/large", "huge"), lambda: write("huge/7", b"new")), moved=1, changed=1, most_read=3)
    step("files swapped", lambda: swap("huge/1", "huge/2"), moved=2, most_read=0)
    step("directories swapped", lambda: swap("a", "b"), moved=2, most_read=0)
    step("and again", lambda: swap("a", "b"), moved=2, most_read=0)
    step("a directory put into what was in it", both(lambda: move("a/deep", "deep"), lambda: move("a", "deep/a")), moved=2, most_read=100)
    step("a saved file", lambda: save("b/two", b"saved"), changed=1)
    step("a new name for a file", lambda: relink("b/two", "two-too"), linked=1, most_read=0)
    step("a name less", lambda: os.unlink(s + "/b/two"), removed=1, most_read=0)
    step("a group splits", both(lambda: os.unlink(s + "/b/l1"), lambda: put(s + "/b/l1", b"alone")), changed=1)
    step("a name changes its group", lambda: relink("b/l1", "b/l2"), linked=1, most_read=0)
    step("groups merge", both(lambda: relink("b/three", "b/l1"), lambda: relink("b/three", "b/l2")), linked=2, most_read=0)
    step("a group is written", lambda: write("b/l3", b"through one name"), changed=1, most_read=16)
    step("a file becomes a directory", both(lambda: os.unlink(s + "/two-too"), lambda: os.mkdir(s + "/two-too"), lambda: put(s + "/two-too/x")), new=1, changed=1)
    step("a directory becomes a file", both(lambda: shutil.rmtree(s + "/two-too"), lambda: put(s + "/two-too", b"file")), changed=1, removed=1)
    step("a symlink leads elsewhere", both(lambda: os.unlink(s + "/deep/a/sym"), lambda: os.symlink("two", s + "/deep/a/sym")), changed=1)
    step("a hole is filled", lambda: write("sparse", b"filled", 1 << 20), changed=1)

    def punch():
        subprocess.run(["fallocate", "-p", "-o", str(1 << 20), "-l", "4096", s + "/sparse"], check=True, capture_output=True)
    if shutil.which("fallocate"):
        step("and made again", punch, changed=1)
    step("a tree is removed", lambda: shutil.rmtree(s + "/huge"), removed=51)
    step("a FIFO comes", lambda: os.mkfifo(s + "/fifo"), new=1)
    if h.ROOT:
        step("another owner", lambda: os.chown(s + "/deep/a/one", 12, 34), changed=1)
        step("of a directory", lambda: os.chown(s + "/deep", 12, 34))
    def closed():
        os.mkdir(s + "/closed")
        put(s + "/closed/stays", b"stays")
        put(s + "/closed/goes", b"goes")
        put(s + "/closed/saved", b"one")
        os.chmod(s + "/closed", 0o555)

    def within():
        os.chmod(s + "/closed", 0o755)
        os.unlink(s + "/closed/goes")
        put(s + "/closed/comes", b"comes")
        save("closed/saved", b"two")
        os.chmod(s + "/closed", 0o555)
    step("a directory that is not to be written", closed, new=4)
    step("is changed all the same", within, new=1, changed=1, removed=1)
    step("and goes", lambda: [os.chmod(s + "/closed", 0o755), shutil.rmtree(s + "/closed")], removed=4)
    step("the directory's mode", lambda: os.chmod(s + "/deep", 0o711))
    h.ok(all(w.same(f"snapshot {i} is still what the source was", name, want) for i, (name, want) in enumerate(kept)), "all snapshots")
    w.end()


def try_xattr(path, name):
    try:
        os.setxattr(path, name, b"value")
        return os.listxattr(path)
    except OSError:
        return []


def depth():
    """Deep trees, long paths, odd names."""
    w = World("deep", FACE)
    here = os.getcwd()
    os.chdir(w.source)
    for i in range(300):
        name = "d" * 100 if i % 2 else f"level {i}\n\xff"
        os.mkdir(name)
        os.chdir(name)
    put("bottom", b"deep down")
    os.chdir(here)
    r = w.backup()
    h.equal((r["new"], r["directories"], r["files"]), (301, 301, 1), "300 directories deep", r)
    r = w.backup()
    h.equal((r["new"], r["unchanged"], r["read_bytes"]), (0, 1, 0), "and nothing to do the second time", r)
    w.check()
    subprocess.run(["rm", "-rf", w.source])
    os.mkdir(w.source)
    r = w.backup("--take-over")
    h.equal(r["removed"], 301, "all of it goes when it is gone", r)
    os.chdir(w.source)
    for i in range(4200):
        os.mkdir("x")
        os.chdir("x")
    os.chdir(here)
    if os.sysconf("SC_OPEN_MAX") >= 4200:
        r = w.backup("-q", rc=1)
        r = w.backup(rc=1)
        h.equal((r["unreadable"], r["directories"] > 4000), (1, True), "4,200 deep: what is too deep is told", w.said[-300:])
    subprocess.run(["rm", "-rf", w.source])
    os.mkdir(w.source)
    w.backup("--take-over")
    h.equal(h.must("ls", w.volume(w.inside)).out, "", "and goes as well")
    w.end()


def rules():
    """What is left out."""
    w = World("rules", FACE)
    s = w.source
    for d in ("src", "build", "cache", "mark", "src/build"):
        os.mkdir(f"{s}/{d}")
    for f in ("src/a.c", "src/a.o", "src/keep.o", "build/x", "src/build/y", "cache/z", "mark/n", "mark/.nobackup"):
        put(f"{s}/{f}")
    put(s + "/cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n")

    def names():
        found = h.must("ls", "-RA1", w.volume(w.inside)).out
        return sorted(n for n in found.split("\n") if n and not n.endswith(":"))
    options = ["--exclude=*.o", "--exclude=!keep.o", "--exclude=/build/", "--exclude-caches", "--exclude-if-present=.nobackup"]
    r = w.backup(*options)
    h.equal(names(), sorted(["build", "cache", "mark", "src", "a.c", "keep.o", "y", "CACHEDIR.TAG", ".nobackup"]), "rules of all kinds")
    h.equal(r["left_out"], 4, "what is left out is counted", r)
    r = w.backup(*options)
    h.equal((r["new"], r["removed"], r["read_bytes"]), (0, 0, 0), "and again", r)
    r = w.backup()
    expect(r, "without rules the rest comes", new=5)
    h.equal(len(names()), 14, "all of it")
    put(w.base + "/rules.txt", b"# rsync's\n+ keep.o\n- *.o\n- build/***\n")
    r = w.backup("--exclude-from=rules.txt", cwd=w.base)
    expect(r, "what is left out from now on goes", removed=5)
    h.ok("keep.o" in names() and "a.o" not in names() and "build" not in names(), "by rsync's rules", names())
    r = w.backup("--exclude-from=-", stdin=b"/src\n")
    h.ok("src" not in names(), "patterns from standard input", names())
    result = h.linkfs("backup", "--exclude-from=nowhere", s, w.dest)
    h.ok(result.rc == 3 and "nowhere" in result.err, "a file of patterns that is missing ends it", result)
    if h.ROOT and subprocess.run(["mount", "-t", "tmpfs", "none", s + "/mark"], capture_output=True).returncode == 0:
        try:
            put(s + "/mark/elsewhere")
            w.backup("-x")
            h.ok("elsewhere" not in names() and "mark" in names(), "-x stays on one file system and keeps the directory", names())
            w.backup()
            h.ok("elsewhere" in names(), "without it goes in", names())
            w.backup("-x", sources=[s, s + "/mark"])
            h.ok("elsewhere" in names(), "with -x the other one may be named too", names())
            r = w.backup("-x")
            h.ok("elsewhere" in names(), "and stays when it is not named", names())
        finally:
            subprocess.run(["umount", s + "/mark"], check=False)
    w.end()


def places():
    """Where sources go, and what is refused."""
    w = World("one", FACE)
    two = w.base + "/two"
    os.mkdir(two)
    put(w.source + "/x", b"one file")
    os.link(w.source + "/x", two + "/y")
    r = w.backup(sources=[w.source, two])
    h.equal((r["new"], r["linked"], len(r["sources"])), (1, 1, 2), "two sources in one run", r)
    inos = [h.must("stat", "-c", "%i", w.volume(p)).out for p in (w.source + "/x", two + "/y")]
    h.equal(inos[0], inos[1], "a hard link between them is one")
    r = w.backup(sources=[two])
    h.equal((r["new"], r["unchanged"]), (0, 1), "one of them alone", r)
    r = w.backup(sources=[w.source, two, w.source + "/."])
    h.equal((r["new"], r["unchanged"], r["read_bytes"], len(r["sources"])), (0, 2, 0, 2), "and both again", r)
    h.ok("already" in w.said, "one named twice is told", w.said)

    result = h.linkfs("backup", "--host=elsewhere", w.source, w.dest)
    h.ok(result.rc == 3 and "elsewhere" in result.err and os.uname().nodename in result.err and w.source in result.err,
         "another host is refused, and both are named", result)
    sub = w.volume("/laptop")
    r = w.backup("--host=elsewhere", dest=sub)
    h.equal(r["new"], 1, "it may go beside", r)
    h.equal(h.must("ls", w.volume("/laptop" + w.source)).out, "x\n", "in a directory of its own")
    result = h.linkfs("backup", "-q", "--take-over", "--host=elsewhere", w.source, w.dest)
    h.equal(result.rc, 0, "unless it is meant", result)
    result = h.linkfs("backup", w.source, w.dest)
    h.equal(result.rc, 3, "then the first one is another", result)
    h.must("backup", "-q", "--take-over", w.source, w.dest)

    h.must("mkdir", "-p", w.volume("/full" + w.source))
    h.must("cp", "/etc/hostname", w.volume("/full" + w.source + "/mine"))
    result = h.linkfs("backup", w.source, w.volume("/full"))
    h.ok(result.rc == 3 and "'mine'" in result.err, "what no backup made is not replaced", result)
    h.equal(h.must("ls", w.volume("/full" + w.source)).out, "mine\n", "and is still there")
    result = h.linkfs("backup", w.source, w.volume("/full" + w.source + "/mine"))
    h.ok(result.rc == 3, "a file in the way", result)
    h.equal(h.linkfs("backup", w.source + "/x", w.dest).rc, 3, "a source that is no directory")
    h.equal(h.linkfs("backup", w.base + "/none", w.dest).rc, 3, "a source that is missing")
    h.equal(h.linkfs("backup", w.source, w.base).rc, 3, "a destination that is no volume")
    h.equal(h.linkfs("backup", w.source).rc, 2, "one operand only is wrong usage")
    h.equal(h.linkfs("backup", w.volume("/"), w.dest).rc, 2, "a source in a volume is wrong usage")
    h.equal(h.linkfs("backup", "-j0", w.source, w.dest).rc, 2, "no threads are wrong usage")
    name = h.must("snapshot", "list", "--json", w.volume.path)
    result = h.linkfs("backup", w.source, f"{w.volume.path}@{json.loads(name.out)[0]['name']}:/")
    h.ok(result.rc == 3 and "snapshot" in result.err, "a snapshot is not changed", result)
    # Around the volume.
    r = w.backup("--take-over", "--reread", sources=[w.base])
    h.ok(h.linkfs("ls", w.volume(w.base + "/vol")).rc != 0, "the volume's own directory is passed over")
    # Offline the directory that it is mounted at is one like others.
    h.equal(h.must("ls", w.volume(w.base)).out.split(), ["one", "two"] + (["vol.mnt"] if FACE == "offline" else []), "the rest is there")
    w.end()


def options():
    w = World("opts", FACE)
    put(w.source + "/f", b"content")
    os.mkdir(w.source + "/d")
    put(w.source + "/d/g", b"more")

    def state():
        return (h.must("ls", "-lRi", "--time-style=full-iso", w.volume("/")).out, h.must("snapshot", "list", w.volume.path).out)
    before = state()
    r = w.backup("--dry-run")
    h.equal((r["new"], r["dry_run"], r["snapshot"]), (3, True, None), "a dry run tells", r)
    h.equal(state(), before, "and does nothing")
    r = w.backup("--name=first", "--tag=one,two", "--tag=three")
    h.equal(r["snapshot"], "first", "a name for the snapshot")
    shown = json.loads(h.must("snapshot", "show", "--json", w.volume.path, "first").out)
    h.equal(shown["tags"], ["backup", "one", "three", "two"], "and tags")
    os.rename(w.source + "/d", w.source + "/e")
    put(w.source + "/f", b"other")
    os.unlink(w.source + "/e/g")
    before = state()
    r = w.backup("--dry-run")
    h.equal((r["moved"], r["changed"], r["removed"] >= 1), (1, 1, True), "a dry run over changes", r)
    h.equal(state(), before, "does nothing either")
    r = w.backup("--no-snapshot")
    h.equal((r["snapshot"], r["changed"], r["moved"], r["removed"]), (None, 1, 1, 1), "without a snapshot", r)
    h.equal(state()[1], before[1], "none is taken")
    w.same("but the copy is up to date")
    result = h.linkfs("backup", "--name=first", w.source, w.dest)
    h.ok(result.rc == 3 and "'first'" in result.err, "a name that is taken", result)
    result = h.linkfs("backup", "-v", w.source, w.dest)
    h.ok(result.rc == 0 and "unchanged" in result.out and "\nsnapshot " in result.out, "a report for people", result)
    result = h.linkfs("backup", "-q", w.source, w.dest)
    h.equal((result.rc, result.out, result.err), (0, "", ""), "--quiet says nothing")
    # Others change the copy.
    for deed in (["cp", "/etc/hostname", w.volume(w.source + "/f")], ["chmod", "600", w.volume(w.source + "/f")], ["rm", w.volume(w.source + "/f")],
                 ["cp", "/etc/hostname", w.volume(w.source + "/strange")], ["rm", "-r", w.volume(w.source + "/e")],
                 ["mv", w.volume(w.source + "/f"), w.volume("/f")], ["touch", w.volume(w.source + "/e")]):
        h.must(*deed)
        r = w.backup()
        w.same(f"after linkfs {deed[0]} on the copy it is the source again", r["snapshot"])
    w.end()


def cut():
    """Interrupted, killed, out of space: the volume opens, nothing is lost, and the next run goes on."""
    w = World("cut", FACE)
    rng = random.Random(7)
    for i in range(60):
        os.mkdir(f"{w.source}/{i}")
        for k in range(30):
            put(f"{w.source}/{i}/{k}", rng.randbytes(rng.choice([10, 5000, 60000])))
    time.sleep(SETTLE)
    signals = [signal.SIGINT] if FACE != "offline" else [signal.SIGINT, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    stopped = 0
    for i, number in enumerate(signals):
        process = subprocess.Popen([h.BIN, "backup", "-j2", w.source, w.dest], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=h.environment())
        if number == signal.SIGINT and FACE == "offline":  # once it has threads it has said what signals are to do
            h.wait_for(lambda: process.poll() is not None or len(os.listdir(f"/proc/{process.pid}/task")) > 1, 10)
        else:
            time.sleep(0.02 + 0.02 * i)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        if number == signal.SIGINT and process.returncode and FACE == "offline":
            h.ok(process.returncode == -signal.SIGINT and b"interrupted" in err, "Ctrl-C says what is", err)
        stopped += process.returncode != 0
        w.check()
    if FACE != "offline":  # two at a time in the process that serves the mount
        shutil.copytree(w.source, w.source + "/copy")
        both = [subprocess.Popen([h.BIN, "backup", "-q", w.source, w.dest], stderr=subprocess.PIPE, env=h.environment()) for _ in range(2)]
        told = [(p.communicate(timeout=60)[1], p.returncode) for p in both]
        h.ok(all(rc == 0 or (rc == 3 and b"another backup" in err) for err, rc in told), "of two at a time one is refused, or comes after the other", told)
    r = w.backup()
    w.same("the next run has all of it", r["snapshot"])
    h.ok(True, f"{stopped} of {len(signals)} were stopped")
    small = h.Volume(w.base, "small") if FACE == "offline" else None
    if small:
        shutil.rmtree(small.path)
        h.must("create", "--limit=1M", small.path)
        result = h.linkfs("backup", w.source, small.path)
        h.ok(result.rc == 3 and "full" in result.err, "a full volume ends it, and says so", result)
        h.equal(h.linkfs("check", small.path).rc, 0, "and is whole")
        h.equal(h.must("snapshot", "list", small.path).out, "", "without a snapshot")
        keep = sorted(os.listdir(w.source))[:2]
        for name in os.listdir(w.source):
            if name not in keep:
                shutil.rmtree(f"{w.source}/{name}")
        time.sleep(SETTLE)
        for k in range(28):
            for name in keep:
                os.unlink(f"{w.source}/{name}/{k}")
        result = h.linkfs("backup", w.source, small.path)
        h.ok(result.rc in (0, 3), "what fits goes in once room was made, or it says so", result)
    w.end()


def unsteady():
    """A source that changes, vanishes, grows, cannot be read, made by a module that is preloaded (MODULE)."""
    w = World("src", FACE)
    s = w.source
    os.mkdir(s + "/d")

    def fill():
        for name in ("grows", "shrinks", "once", "bad", "vanishes", "denied", "gone", "swapped", "d/good", "good"):
            if not os.path.exists(f"{s}/{name}"):
                put(f"{s}/{name}", name.encode() * 1000)
        put(s + "/swapped.new", b"another")

    def run(rc, *deeds, options=()):
        fill()
        module = os.path.abspath(sys.argv[2])
        return w.backup(*options, rc=rc, LD_PRELOAD=module, LINKFS_UNSTEADY="\n".join(f"{s}/{d}" for d in deeds))

    def has(*names):
        return [n for n in names if h.linkfs("cat", w.volume(f"{s}/{n}")).raw == h.read(f"{s}/{n}")]
    r = run(1, "grows=append")
    h.equal(([f["path"] for f in r["changed_while_read_files"]], r["unreadable"]), ([s + "/grows"], 0), "a file that grows all the time is told", r)
    h.ok("changed while it was read" in w.said and "/grows" in w.said, "on standard error as well", w.said)
    h.equal(has("good", "d/good"), ["good", "d/good"], "the rest is there")
    h.ok(r["snapshot"], "and a snapshot")
    r = w.backup()
    h.equal((has("grows"), r["changed_while_read"]), (["grows"], 0), "the next backup has it", r)
    os.utime(s + "/once")
    r = run(0, "once=once")
    h.equal((has("once"), r["changed_while_read"]), (["once"], 0), "one that changed once is read again at once", r)
    os.utime(s + "/shrinks")
    r = run(1, "shrinks=truncate")
    h.equal([f["path"] for f in r["changed_while_read_files"]], [s + "/shrinks"], "one that is cut while it is read", r)
    r = w.backup()
    h.equal(has("shrinks"), ["shrinks"], "is right the next time", r)
    os.utime(s + "/bad")
    before = h.linkfs("cat", w.volume(s + "/bad")).raw
    r = run(1, "bad=eio", "denied=deny")
    h.equal(sorted(f["path"] for f in r["unreadable_files"]), [s + "/bad", s + "/denied"], "those that cannot be read are told", r)
    h.equal(h.linkfs("cat", w.volume(s + "/bad")).raw, before, "and keep what the copy had")
    h.ok("Input/output error" in w.said and "Permission denied" in w.said, "with the reason", w.said)
    r = w.backup()
    h.equal((r["unreadable"], len(has("bad", "denied"))), (0, 2), "the next time they are read", r)
    os.utime(s + "/gone")
    r = run(0, "vanishes=vanish", "gone=gone")
    h.equal((r["unreadable"], sorted(f["path"] for f in r["vanished_files"])[:1]), (0, [s + "/gone"]), "those that vanish are told, and are no failure", r)
    r = w.backup()
    h.equal([h.linkfs("stat", w.volume(f"{s}/{n}")).rc for n in ("gone", "vanishes")], [1, 1], "and are gone from the copy then", r)
    for gone, kept in (("a-name", "z-name"), ("z-name", "a-name")):
        put(f"{s}/{gone}", gone.encode() * 3000)
        os.link(f"{s}/{gone}", f"{s}/{kept}")
        r = run(0, f"{gone}=gone")
        h.equal(has(kept), [kept], f"a file whose one name vanishes is backed up by the other ({kept})", r)
        os.unlink(f"{s}/{kept}")
    put(s + "/a-name", b"1" * 3000)
    os.link(s + "/a-name", s + "/z-name")
    r = run(1, "a-name=eio", "z-name=eio")
    h.equal(sorted(f["path"] for f in r["unreadable_files"]), [s + "/a-name", s + "/z-name"], "of one that cannot be read each name is told", r)
    os.utime(s + "/swapped")
    r = run(0, "swapped=swap")
    h.equal(has("swapped"), ["swapped"], "a file that is replaced between two looks is the new one", r)
    w.same("in the end the copy is the source", w.backup()["snapshot"])
    w.end()


def faults():
    """The n-th allocation, and the n-th call that changes the volume's files, fails: it is said, nothing is lost, and the next run goes on."""
    w = World("src", "offline")
    s = w.source
    for i in range(6):
        os.mkdir(f"{s}/{i}")
        for k in range(6):
            put(f"{s}/{i}/{k}", bytes([i * 6 + k]) * 3000 * k)
        os.link(f"{s}/{i}/5", f"{s}/{i}/again")
    want_first = describe(s)
    first = w.backup()["snapshot"]
    os.rename(s + "/1", s + "/moved")
    os.rename(s + "/2/3", s + "/2/renamed")
    shutil.rmtree(s + "/3")
    for k in range(5):
        put(f"{s}/4/{k}", b"new" * 2000)
    put(s + "/5/5", b"through one name")
    os.unlink(s + "/0/again")
    for name in ("1", "2"):
        shutil.copy(s + "/0/4", f"{s}/5/twin{name}")
        put(f"{s}/5/pair{name}", b"pair" * 3000)
    time.sleep(SETTLE)
    want = describe(s)
    pristine = w.base + "/pristine"
    shutil.copytree(w.volume.path, pristine)
    kinds = [("malloc", os.path.abspath(sys.argv[3]), "FAIL_MALLOC", "COUNT_MALLOC"), ("write", os.path.abspath(sys.argv[2]), "LINKFS_FAIL_AT", "LINKFS_FAIL_COUNT"),
             ("write and all after", os.path.abspath(sys.argv[2]), "LINKFS_FAIL_FROM", "LINKFS_FAIL_COUNT")]
    for name, module, variable, counter in kinds:
        def run(**how):
            shutil.rmtree(w.volume.path)
            shutil.copytree(pristine, w.volume.path)
            return h.linkfs("backup", "-j1", "--dedupe", "--name=second", s, w.volume.path, LD_PRELOAD=module, LINKFS_FAIL_DIR=w.volume.path, **how)
        total = int(run(**{counter: "1"}).err.splitlines()[-1])
        failed, notes = 0, []
        points = 30 if os.environ.get("LINKFS_LONG", "0") in ("", "0") else 400
        for n in sorted({1 + i * total // points for i in range(points)}):
            result = run(**{variable: str(n)})
            failed += result.rc != 0
            if result.rc not in (0, 1, 2, 3):
                notes.append(f"{n}: {result}")
            check = h.linkfs("check", w.volume.path)
            if check.rc:
                notes.append(f"{n}: check: {check}")
            again = h.linkfs("backup", "--name=third", s, w.volume.path)
            if again.rc:
                notes.append(f"{n}: the next run: {again}")
            elif not notes:
                out = w.base + "/faulty"
                for snapshot, tree in ((first, want_first), ("third", want)):
                    h.must("export", "-T", f"{w.volume.path}@{snapshot}:{s}", out)
                    got = describe(out)
                    notes += [f"{n}: {snapshot}: {p}" for p in set(got) | set(tree) if got.get(p) != tree.get(p)]
                    shutil.rmtree(out)
        h.ok(not notes, f"{name}: whatever fails nothing is lost, and the next run has it all ({total} calls)", *notes[:5])
        h.ok(failed > 0, f"{name}: {failed} runs failed and said so")
    w.end()


# ---- random changes ------------------------------------------------------------------------------------------------------


class Drawer:
    """Changes a tree at random. A fifth of the contents were there before."""

    def __init__(self, top, rng):
        self.top, self.rng, self.serial, self.earlier = top, rng, 0, [b""] * 20

    def every(self, kind=None):
        found = []
        for base, dirs, files in os.walk(self.top):
            for n in dirs + files:
                p = f"{base}/{n}"
                mode = os.lstat(p).st_mode
                if kind is None or kind(mode):
                    found.append(p)
        return found

    def one(self, kind=None):
        found = sorted(self.every(kind))
        return self.rng.choice(found) if found else None

    def place(self):
        dirs = sorted(self.every(stat.S_ISDIR)) + [self.top]
        self.serial += 1
        taken = self.one()
        name = os.path.basename(taken) if taken and self.rng.random() < 0.3 else f"n{self.serial}"
        return f"{self.rng.choice(dirs)}/{name}"

    def content(self):
        self.serial += 1
        if self.rng.random() < 0.2:
            return self.rng.choice(self.earlier)
        self.earlier[self.serial % len(self.earlier)] = hashlib.sha256(str(self.serial).encode()).digest() * self.rng.choice([0, 1, 3, 100, 300, 2000])
        return self.earlier[self.serial % len(self.earlier)]

    def clear(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def step(self):
        deed = self.rng.choice([self.make, self.make, self.mkdir, self.write, self.write, self.edit, self.move, self.move, self.move, self.swap, self.link, self.link,
                                self.unlink, self.save, self.chmod, self.times, self.symlink, self.fifo, self.xattr, self.hole, self.rmtree, self.copy])
        try:
            deed()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError):
            pass
        except OSError as e:
            if e.errno not in (22, 39, 40):  # into itself, not empty
                raise
        return deed.__name__

    def make(self):
        path = self.place()
        self.clear(path)
        put(path, self.content())

    def mkdir(self):
        os.mkdir(self.place())

    def write(self):
        path = self.one(stat.S_ISREG)
        if path:
            put(path, self.content())

    def edit(self):
        path = self.one(stat.S_ISREG)
        if path:
            with open(path, "r+b") as f:
                f.seek(self.rng.randrange(0, 20000))
                f.write(self.content()[:200] or b"x")

    def move(self):
        source, target = self.one(), self.place()
        if source and not (target + "/").startswith(source + "/") and not (source + "/").startswith(target + "/"):
            self.clear(target)
            os.rename(source, target)

    def swap(self):
        a, b = self.one(), self.one()
        if a and b and not (a + "/").startswith(b + "/") and not (b + "/").startswith(a + "/"):
            os.rename(a, self.top + "/.swap")
            os.rename(b, a)
            os.rename(self.top + "/.swap", b)

    def link(self):
        source, target = self.one(lambda m: not stat.S_ISDIR(m)), self.place()
        if source and source != target:
            if os.path.lexists(target) and not os.path.isdir(target):
                os.unlink(target)
            os.link(source, target, follow_symlinks=False)

    def unlink(self):
        path = self.one(lambda m: not stat.S_ISDIR(m))
        if path:
            os.unlink(path)

    def save(self):
        path = self.one(stat.S_ISREG)
        if path:
            put(path + "~", self.content())
            os.rename(path + "~", path)

    def chmod(self):
        path = self.one(lambda m: not stat.S_ISLNK(m))
        if path:
            os.chmod(path, self.rng.choice([0o700, 0o755, 0o711] if os.path.isdir(path) else [0o600, 0o644, 0o4755]))

    def times(self):
        path = self.one()
        if path:
            os.utime(path, ns=(self.rng.randrange(10**18), self.rng.randrange(10**18)), follow_symlinks=False)

    def symlink(self):
        path = self.place()
        self.clear(path)
        os.symlink(self.rng.choice(["x", "../y", "/z", "long" * 30]), path)

    def fifo(self):
        path = self.place()
        self.clear(path)
        os.mkfifo(path)

    def xattr(self):
        path = self.one(lambda m: stat.S_ISREG(m) or stat.S_ISDIR(m))
        if path:
            if os.listxattr(path) and self.rng.random() < 0.5:
                os.removexattr(path, os.listxattr(path)[0])
            else:
                os.setxattr(path, "user." + self.rng.choice("ab"), self.content()[:100])

    def hole(self):
        path = self.one(stat.S_ISREG)
        if path:
            with open(path, "r+b") as f:
                f.seek(self.rng.randrange(1, 40) * 4096)
                f.write(b"end")

    def rmtree(self):
        path = self.one(stat.S_ISDIR)
        if path and self.rng.random() < 0.4:
            shutil.rmtree(path)

    def copy(self):
        path, target = self.one(stat.S_ISDIR), self.place()
        if path and not os.path.lexists(target) and not target.startswith(path) and len(self.every()) < 300:
            shutil.copytree(path, target, symlinks=True, copy_function=lambda a, b: shutil.copy2(a, b) if stat.S_ISREG(os.lstat(a).st_mode) else None)


def randomly():
    seed = int(os.environ.get("LINKFS_SEED", "1"))
    rounds = 60 if os.environ.get("LINKFS_LONG", "0") not in ("", "0") else 12
    print(f"# seed {seed}", flush=True)
    rng = random.Random(seed)
    w = World("src", FACE)
    d = Drawer(w.source, rng)
    kept = []
    for i in range(rounds):
        deeds = [d.step() for _ in range(rng.choice([0, 1, 3, 20, 60]))]
        quick = rng.random() < 0.3  # the next change may fall into the tick of this backup
        options = ["-j" + str(rng.choice([1, 2, 8]))] + (["--reread"] if rng.random() < 0.1 else []) + (["--dedupe"] if rng.random() < 0.5 else [])
        if rng.random() < 0.2:  # one that is killed before
            process = subprocess.Popen([h.BIN, "backup", "-q", *options, w.source, w.dest], env=h.environment(), stderr=subprocess.DEVNULL)
            time.sleep(rng.random() * 0.05)
            process.kill()
            process.wait()
        if not quick:
            time.sleep(SETTLE)
        result = h.linkfs("backup", "--json", *options, w.source, w.dest)
        if not h.ok(result.rc == 0, f"backup {i}", " ".join(deeds[-60:]), result):
            break
        name = json.loads(result.out)["snapshot"]
        want = describe(w.source)
        if not w.same(f"backup {i} is the source", name, want):
            print("# " + " ".join(deeds), flush=True)
            break
        kept.append((name, want))
        if i % 4 == 3:
            w.check()
            old = rng.choice(kept)
            w.same("an older one is what it was", *old)
            if rng.random() < 0.5:
                kept.remove(old)
                h.must("snapshot", "delete", w.volume.path, old[0])
    w.end()


def acls():
    """A directory's default ACL is for what is made in it, not for what came there otherwise: the copy has no ACL that the file has not."""
    w = World("acls", FACE)
    s = w.source
    os.makedirs(s + "/a")
    os.mkdir(w.base + "/else")
    if not set_default_acl(s + "/a"):
        h.skip("ACLs", "the file system has none")
        w.end()
        return
    w.backup()
    for name, size in ("small", 10), ("large", 100000), ("d/small", 10), ("d/large", 100000):
        os.makedirs(os.path.dirname(f"{w.base}/else/{name}"), exist_ok=True)
        put(f"{w.base}/else/{name}", b"x" * size)
    for name in "small", "large", "d":
        os.rename(f"{w.base}/else/{name}", f"{s}/a/{name}")
    put(s + "/a/inherits")
    os.mkdir(s + "/a/also")
    put(s + "/a/also/inherits")
    h.ok("system.posix_acl_access" in os.listxattr(s + "/a/inherits"), "what is made there gets one")
    r = w.backup()
    w.same("what was moved there has none, what was made there its own", r["snapshot"])
    r = w.backup()
    h.equal((r["new"], r["changed"], r["read_bytes"]), (0, 0, 0), "and that is all", r)
    w.end()


if FACE == "unsteady":
    unsteady()
elif FACE == "faults":
    faults()
elif FACE == "random":
    randomly()
else:
    for test in sys.argv[2:] or ["whole", "changes", "depth", "rules", "places", "options", "acls", "cut"]:
        globals()[test]()
h.done()
