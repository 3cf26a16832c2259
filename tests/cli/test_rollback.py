#!/usr/bin/env python3
"""linkfs rollback (E1): files and trees back to what they were in a snapshot, on a volume that nobody owns, on a mounted one, and by paths in the
mount, where programs see it at once."""
import json
import mmap
import os
import re
import shutil
import subprocess
import sys

import harness as h

FACE = sys.argv[1]


def place(volume):
    """How paths are given: in the volume, or in its mount."""
    return (lambda path: volume.mnt + path) if FACE == "mount" else volume


def snapshots(volume):
    return [row["name"] for row in json.loads(h.must("snapshot", "list", "--json", volume.path).raw)]


def listing(at, path):
    """All that ls -lR tells, but for the total and numbers that are another's."""
    return h.must("ls", "-lR", "--full-time", at(path)).out


def make_tree(base, volume):
    src = base + "/src"
    os.makedirs(src + "/d/e")
    for name, text in (("a", b"one\n"), ("d/f", b"two\n"), ("d/e/g", os.urandom(300000)), ("d/gone", b"gone\n")):
        h.put(f"{src}/{name}", text)
    os.link(src + "/a", src + "/d/b")
    os.symlink("../a", src + "/d/l")
    os.mkfifo(src + "/d/pipe")
    h.must("import", "-T", src, volume("/t"))
    h.must("ln", "-s", "--track", volume("/t/d/f"), volume("/t/tracked"))
    h.must("ln", "--directory", volume("/t/d/e"), volume("/t/e2"))
    h.must("mkdir", volume("/t/bound"))
    h.must("bind", volume("/t/d"), volume("/t/bound"))


def change(base, volume):
    h.must("unbind", volume("/t/bound"))
    h.must("mv", volume("/t/d/f"), volume("/t/moved"))
    h.must("rm", volume("/t/d/gone"), volume("/t/d/pipe"), volume("/t/d/l"))
    h.must("rmdir", volume("/t/e2"))
    h.put(base + "/new", b"changed\n" * 1000)
    h.must("cp", base + "/new", volume("/t/a"))
    h.must("cp", base + "/new", volume("/t/d/later"))
    h.must("chmod", "600", volume("/t/a"))
    h.must("mkdir", volume("/t/later"))
    h.must("cp", base + "/new", volume("/t/later/x"))


def trees(base, volume):
    at = place(volume)
    make_tree(base, volume)
    was = listing(volume, "/t")
    h.must("snapshot", "create", "-q", volume.path, "then")
    change(base, volume)
    now = listing(volume, "/t")
    dry = h.must("rollback", "--to", "then", "--dry-run", at("/t"))
    for line in (f"would be moved {at('/t/d/f')} from {at('/t/moved')}", f"would be made {at('/t/d/gone')}", f"would be removed {at('/t/later')}",
                 f"would be changed {at('/t/a')} (content, mode, times)", f"would be linked {at('/t/e2')}", f"would be bound {at('/t/bound')}"):
        h.ok(line in dry.out.splitlines(), "--dry-run tells: " + line.split(" ")[2], dry)
    h.equal((listing(volume, "/t"), snapshots(volume)), (now, ["then"]), "and changes nothing")
    result = h.must("rollback", "--to", "then", at("/t"))
    match = re.fullmatch(r"(.*); as it was before: snapshot (before-rollback-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\n", result.out)
    h.ok(match, "it tells how much was done, and where the present state is kept", result)
    h.equal(listing(volume, "/t"), was, "the tree is what it was")
    h.equal(h.must("names", volume("/t/a")).out.splitlines(), [volume(p) for p in ("/t/a", "/t/bound/b", "/t/d/b")], "with its hard links")
    h.equal(h.must("readlink", volume("/t/tracked")).out, "d/f\n", "and its tracked link")
    h.equal(h.must("cat", f"{volume.path}@{match.group(2)}:/t/later/x").raw, b"changed\n" * 1000, "what was there later is in the other snapshot")
    again = h.must("rollback", "--to", "then", at("/t"))
    h.equal((again.out, snapshots(volume)), ("nothing to do\n", ["then", match.group(2)]), "a second time there is nothing to do, nor to keep")
    # Back to the state before: a rollback is undone by another.
    h.must("rollback", "-q", "--no-snapshot", "--to", match.group(2), at("/t"))
    h.equal(h.must("ls", "-R", volume("/t")).out, h.must("ls", "-R", f"{volume.path}@{match.group(2)}:/t").out.replace("@" + match.group(2), ""), "and to and fro")
    h.equal(len(snapshots(volume)), 2, "--no-snapshot keeps nothing")
    told = json.loads(h.must("rollback", "--json", "--to", "then", at("/t/d")).raw)
    h.ok(told["before"].startswith("before-rollback-") and {"step": "made", "type": "fifo", "path": "/t/d/pipe"} in told["steps"], "--json", told)
    h.must("rollback", "-q", "--to", "then", volume("/"))
    h.equal(listing(volume, "/t"), was, "the whole volume")


def files(base, volume):
    at = place(volume)
    ino = json.loads(h.must("stat", "--json", volume("/t/a")).raw)[0]["ino"]
    h.must("cp", base + "/new", volume("/t/a"))
    h.must("rm", volume("/t/d/gone"))
    h.equal(h.must("rollback", "-v", "--no-snapshot", "--to", "now", at("/t/a")).rc, 0, "a time names a snapshot")
    result = h.must("rollback", "-v", "--to", "then", at("/t/a"))
    h.equal((h.must("cat", volume("/t/d/b")).out, json.loads(h.must("stat", "--json", volume("/t/a")).raw)[0]["ino"]), ("one\n", ino), "a file, by all its names", result)
    h.must("rollback", "-q", "--to", "then", at("/t/d/gone"))
    h.equal(h.must("cat", volume("/t/d/gone")).out, "gone\n", "one that was removed")
    h.must("ln", "-sfn", "elsewhere", volume("/t/d/l"))
    h.must("rollback", "-q", "--to", "then", at("/t/d/l"))
    h.equal(h.must("readlink", volume("/t/d/l")).out, "../a\n", "a symlink itself")


def only_now(base, volume):
    at = place(volume)
    h.must("rollback", "-q", "--no-snapshot", "--to", "then", at("/t"))
    was = listing(volume, "/t")
    # What goes alone, and has a name as a rollback gives to what it puts aside.
    h.must("cp", base + "/new", volume("/t/.linkfs-rollback-mine"))
    told = json.loads(h.must("rollback", "--json", "--to", "then", at("/t")).raw)
    h.equal([step["path"] for step in told["steps"]], ["/t/.linkfs-rollback-mine"], "a name like its own is told of")
    h.equal(h.must("cat", f"{volume.path}@{told['before']}:/t/.linkfs-rollback-mine").raw, b"changed\n" * 1000, "and kept in the snapshot")
    # A new directory around the old one: what came later in it is in the snapshot.
    h.must("mkdir", volume("/around"))
    h.must("mv", volume("/t"), volume("/around/t"))
    h.must("mv", volume("/around"), volume("/t"))
    h.must("cp", base + "/new", volume("/t/later"))
    told = json.loads(h.must("rollback", "--json", "--to", "then", at("/t")).raw)
    h.equal(listing(volume, "/t"), was, "what lay in a directory of its name is in its place")
    h.equal(h.must("cat", f"{volume.path}@{told['before']}:/t/later").raw, b"changed\n" * 1000, "and what lay beside it in the snapshot")


def refused(volume):
    at = place(volume)
    before = snapshots(volume)
    for argv, error in ((("--to", "then", at("/t/nothing")), "was not there in snapshot 'then'"),
                        (("--to", "nothing", at("/t")), "'nothing' is neither a snapshot"),
                        (("--to", "2001-01-01", at("/t")), "no snapshot is as old as '2001-01-01'"),
                        (("--to", "then", f"{volume.path}@then:/t"), "a snapshot cannot be changed")):
        result = h.linkfs("rollback", *argv)
        h.ok(result.rc == 1 and error in result.err, error, result)
    h.must("mkdir", volume("/t/later"))
    h.must("cp", volume("/t/a"), volume("/t/later/x"))
    h.must("cp", volume("/t/a"), volume("/holder"))
    h.must("bind", volume("/t/later/x"), volume("/holder"))
    result = h.linkfs("rollback", "--no-snapshot", "--to", "then", at("/t"))
    h.ok(result.rc == 1 and "left " + at("/t/later") in result.out and "some things were left" in result.err, "what a bind elsewhere shows is left and told", result)
    h.must("unbind", volume("/holder"))
    h.must("rollback", "-q", "--no-snapshot", "--to", "then", at("/t"))
    h.equal(h.linkfs("rollback", at("/t")).rc, 2, "without --to it is wrong usage")
    h.equal(snapshots(volume), before, "what is refused keeps nothing")
    if h.ROOT and FACE == "offline":
        h.must("chown", "1:1", volume("/t"))
        h.must("rollback", "-q", "--no-snapshot", "--to", "then", volume("/t"))


def seen_at_once(base, volume):
    """Programs in the mount: what they have open and what the kernel has cached."""
    mnt = volume.mnt
    top = mnt + "/live"
    os.makedirs(top + "/sub")
    for name, text in (("f", b"then" * 5000), ("sub/g", b"g"), ("gone", b"gone")):
        h.put(f"{top}/{name}", text)
    os.link(top + "/f", top + "/sub/f2")
    h.must("snapshot", "create", "-q", volume.path, "seen")
    fd = os.open(top + "/f", os.O_RDWR)
    pages = mmap.mmap(fd, 20000)
    pages[0:5] = b"later"
    ino = os.fstat(fd).st_ino
    os.rename(top + "/sub", top + "/other")
    os.unlink(top + "/gone")
    h.put(top + "/other/h")
    cwd = os.getcwd()
    os.chdir(top + "/other")
    for directory, _, names in os.walk(top):
        for name in names:
            h.read(os.path.join(directory, name))
    h.must("rollback", "-q", "--to", "seen", top)
    h.equal((os.pread(fd, 8, 0), pages[0:8]), (b"thenthen", b"thenthen"), "an open file and a mapping show what was")
    h.equal((os.stat(top + "/f").st_ino, h.read(top + "/sub/f2")), (ino, b"then" * 5000), "the same file by its names")
    h.equal(sorted(os.listdir(top)), ["f", "gone", "sub"], "names are those of then")
    h.equal((sorted(os.listdir(".")), os.path.realpath(".")), (["f2", "g"], top + "/sub"), "who was in a directory is in it")
    h.equal(h.read(top + "/gone"), b"gone", "what was removed is there")
    kept = snapshots(volume)[-1]
    h.equal(h.read(f"{mnt}/.snapshots/{kept}/live/f")[:8], b"laterhen", "what was written through the mapping is in the snapshot before")
    pages.close()
    os.close(fd)
    os.chdir(cwd)
    if shutil.which("rsync"):
        for name in ("live", "t"):
            snapshot = "seen" if name == "live" else "then"
            diff = subprocess.run(["rsync", "-naiXAHc", "--delete", f"{mnt}/.snapshots/{snapshot}/{name}/", f"{mnt}/{name}/"], capture_output=True, check=False)
            h.equal((diff.returncode, diff.stdout), (0, b""), f"rsync finds no difference in {name}", diff.stderr)


def main():
    base, volume = h.begin(FACE)
    trees(base, volume)
    files(base, volume)
    only_now(base, volume)
    refused(volume)
    if FACE != "offline":
        seen_at_once(base, volume)
        volume.umount()
    h.must("check", "--data", volume.path)
    h.done()


main()
