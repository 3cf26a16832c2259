#!/usr/bin/env python3
"""Trees back to the host (row E5): exactly as they were, into empty places, over others and beside others; what is refused, compared, cut off.

    test_restore.py offline|live|mount
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import harness as h
from trees import compare, describe, make_nasty

FACE = sys.argv[1]
LITTER = b".linkfs-"


class Place:
    """A volume, and how its snapshots are named: as VOLUME@NAME:/path, or in the mount."""

    def __init__(self):
        self.base, self.volume = h.begin(FACE)

    def at(self, path="/", snapshot="s"):
        if FACE == "mount":
            return f"{self.volume.mnt}/.snapshots/{snapshot}{path}"
        return f"{self.volume.path}@{snapshot}:{path}"

    def dir(self, name):
        path = f"{self.base}/{name}"
        os.mkdir(path)
        return path


def rsync_finds(source, dest):
    """What rsync would still do."""
    if not shutil.which("rsync"):
        return ""
    return h.execute(["rsync", "-aHAXn", "--delete", "--itemize-changes", "--checksum", source + "/", dest + "/"]).out


def same(place, source, dest, name, less=()):
    want = {k: v for k, v in describe(source).items() if k not in less}
    compare(describe(dest), want, name)
    if h.ROOT and not less:
        h.equal(rsync_finds(source, dest), "", name + ": rsync finds no difference")


def litter(top):
    return [name for _, dirs, files in os.walk(os.fsencode(top)) for name in dirs + files if name.startswith(LITTER)]


def everything(place):
    source = place.dir("source")
    make_nasty(source)
    if not h.ROOT:
        os.unlink(source + "/mode0")  # it cannot be brought in
    h.must("import", "-T", source, place.volume("/all"))
    h.must("snapshot", "create", place.volume(), "s")
    h.must("touch", place.volume("/all/later"))
    out = place.base + "/out"
    result = h.linkfs("restore", place.at("/all"), out)
    h.equal((result.rc, result.err), (0, ""), "restore succeeds", result)
    same(place, source, out, "all is as it was: names, links, modes, owners, times, holes, attributes, ACLs, devices")
    h.equal(litter(out), [], "no name of ours is left")

    result = h.linkfs("restore", place.at("/all"), out)
    h.ok(result.rc == 1 and "not empty" in result.err and "--overwrite" in result.err, "a place that is not empty is refused", result)
    inodes = {p: os.lstat(os.path.join(os.fsencode(out), p)).st_ino for p in describe(out)}
    result = h.linkfs("restore", "--overwrite", place.at("/all"), out)
    h.ok(result.rc == 0 and "0 restored" in result.out and "replaced" not in result.out, "restoring over the same finds nothing to replace", result)
    h.equal({p: os.lstat(os.path.join(os.fsencode(out), p)).st_ino for p in inodes}, inodes, "and every file stays the one it is")
    same(place, source, out, "and is the same")
    result = h.linkfs("restore", "--verify", place.at("/all"), out)
    h.equal((result.rc, result.out), (0, ""), "--verify finds no difference", result)

    empty = place.dir("empty")
    h.equal(h.linkfs("restore", place.at("/all"), empty).rc, 0, "an empty directory is taken")
    same(place, source, empty, "and becomes what the tree's top was")
    return source, out


def spoil(out):
    """Changes of every kind; returns what verify is to say."""
    def touch(path, content):
        times = os.lstat(path)
        h.put(path, content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    want = []
    top = os.lstat(out)
    touch(out + "/big", h.read(out + "/big")[:-1] + b"D")
    want.append("Mc\tbig" if not h.ROOT else "Mcx\tbig")  # writing drops the capability
    os.utime(out + "/empty", ns=(0, 5))
    want.append("Mt\tempty")
    os.chmod(out + "/mode644", 0o600)
    want.append("Mp\tmode644")
    os.setxattr(out + "/sparse", "user.new", b"1")
    want.append("Mx\tsparse")
    if h.ROOT:
        os.chown(out + "/mode400", 77, 78)
        want.append("Mo\tmode400")
        os.unlink(out + "/null")
        os.mknod(out + "/null", 0o020666, os.makedev(1, 5))
        os.utime(out + "/null", ns=(os.lstat(out + "/block").st_mtime_ns, 7))
        want.append("Mtd\tnull")
    os.unlink(out + "/fifo2")
    want.append("D\tfifo2")
    os.chmod(out + "/readonly", 0o755)
    touch(out + "/readonly/inside", b"outside")
    os.chmod(out + "/readonly", 0o555)
    want.append("Mc\treadonly/inside")
    sub = os.lstat(out + "/links")
    os.unlink(out + "/links/dangling")
    os.symlink("elsewhere", out + "/links/dangling")
    shutil.copy2(out + "/links/two", out + "/links/two.new")
    os.rename(out + "/links/two.new", out + "/links/two")
    os.utime(out + "/links", ns=(sub.st_atime_ns, sub.st_mtime_ns))
    os.unlink(out + "/empty")
    want.remove("Mt\tempty")
    os.mkdir(out + "/empty")
    want.append("T\tempty")
    os.mkdir(out + "/extra")
    h.put(out + "/extra/file")
    want.append("A\textra")
    os.utime(out, ns=(top.st_atime_ns, top.st_mtime_ns))
    return want


def over(place, source, out):
    want = spoil(out)
    result = h.linkfs("restore", "--verify", place.at("/all"), out)
    lines = result.out.splitlines()
    h.equal(result.rc, 1, "--verify finds differences", result)
    missing = [w for w in want if w not in lines]
    h.equal(missing, [], "and names them", result)
    h.ok(any(line in ("Ml\tlinks/two", "Ml\tlinks/one") for line in lines), "a name that became a file of its own too", result)
    h.ok(any(line.startswith("Mc") and line.endswith("\tlinks/dangling") for line in lines), "and a symlink with another text", result)
    names = {line.split("\t")[1] for line in want} | {"links/two", "links/dangling", "links/one", "links/three", "deep/four", "fifo", "mode400"}
    h.equal([line for line in lines if line.split("\t")[1] not in names], [], "and nothing else", result)

    before = describe(out)
    result = h.linkfs("restore", "--dry-run", "--overwrite", "--delete", place.at("/all"), out)
    h.ok(result.rc == 0 and f"would be removed {out}/extra\n" in result.out and f"would be replaced {out}/big\n" in result.out, "--dry-run tells what it would do", result)
    h.equal(describe(out), before, "and does nothing")
    # A file where there is a directory.
    result = h.linkfs("restore", "--overwrite", place.at("/all"), out)
    h.ok(result.rc == 1 and "empty" in result.err and "--delete" in result.err, "a directory is not replaced by a file without --delete", result)
    h.ok(os.path.isfile(out + "/extra/file"), "what the volume does not have stays without --delete")
    result = h.linkfs("restore", "--overwrite", "--delete", place.at("/all"), out)
    h.equal((result.rc, result.err), (0, ""), "--overwrite --delete succeeds", result)
    same(place, source, out, "and makes it exactly so")

    # Merged: what is there stays.
    h.put(out + "/plain", b"mine")
    os.unlink(out + "/big")
    mine = os.lstat(out + "/plain")
    result = h.linkfs("restore", "--merge", "-v", place.at("/all"), out)
    h.equal(result.rc, 0, "--merge succeeds", result)
    h.ok(f"restored {out}/big\n" in result.out and f"kept {out}/plain\n" in result.out, "-v tells of each file", result)
    h.equal((h.read(out + "/plain"), os.lstat(out + "/plain").st_mtime_ns), (b"mine", mine.st_mtime_ns), "--merge leaves what is there")
    h.equal(h.read(out + "/big"), h.read(source + "/big"), "and adds what is missing")


def single(place, source):
    dest = place.dir("single")
    h.must("restore", place.at("/all/big"), dest + "/new")
    h.equal(h.read(dest + "/new"), h.read(source + "/big"), "one file to a new name")
    h.must("restore", place.at("/all/big"), dest)
    h.equal(describe(dest)[b"big"], describe(dest)[b"new"], "one file into a directory")
    h.equal(os.lstat(dest + "/big").st_mtime_ns, os.lstat(source + "/big").st_mtime_ns, "with its time")
    # A file that is there may be a name of something elsewhere: it is not written to.
    h.put(place.base + "/elsewhere", b"precious")
    os.unlink(dest + "/big")
    os.link(place.base + "/elsewhere", dest + "/big")
    result = h.linkfs("restore", place.at("/all/big"), dest + "/big")
    h.ok(result.rc == 1 and "there already" in result.err, "a file that is there is refused", result)
    h.must("restore", "--overwrite", place.at("/all/big"), dest + "/big")
    h.equal((h.read(place.base + "/elsewhere"), os.stat(place.base + "/elsewhere").st_nlink), (b"precious", 1), "replaced, and the file that it was elsewhere untouched")
    h.equal(h.read(dest + "/big"), h.read(source + "/big"), "by the volume's")
    h.must("restore", place.at("/all/links/symlink"), dest + "/s")
    h.equal(os.readlink(dest + "/s"), "one", "a symlink is restored as one")
    result = h.linkfs("restore", place.at("/all/big"), dest + "/no/such")
    h.ok(result.rc == 1 and "no/such" in result.err, "a place that is not there is named", result)
    got = json.loads(h.must("restore", "--json", place.at("/all/links"), dest + "/links").out)
    h.equal({k: got[k] for k in ("restored", "files", "symlinks", "directories", "hard_links", "failed", "complete")},
            {"restored": 10, "files": 1, "symlinks": 5, "directories": 1, "hard_links": 3, "failed": 0, "complete": True},
            "the report as JSON counts", got)


def links(place):
    """What the volume's own kinds of links become, and symlinks in the way."""
    h.must("mkdir", "-p", place.volume("/t/a/b"), place.volume("/t/c"), place.volume("/t/bound"))
    h.must("cp", "/etc/hostname", place.volume("/t/a/b/file"))
    h.must("ln", "-s", "--track", place.volume("/t/a/b/file"), place.volume("/t/tracked"))
    h.must("ln", "-s", "../a/b", place.volume("/t/c/relative"))
    h.must("bind", place.volume("/t/a"), place.volume("/t/bound"))
    h.must("ln", "--directory", place.volume("/t/a/b"), place.volume("/t/again"))
    h.must("snapshot", "create", place.volume(), "links")
    out = place.base + "/links"
    result = h.linkfs("restore", place.at("/t", "links"), out)
    h.equal(result.rc, 0, "a tree with binds, directory links and tracked links", result)
    h.equal(os.readlink(out + "/tracked"), h.must("readlink", place.at("/t/tracked", "links")).out.strip(), "a tracked link is a symlink with its text")
    h.equal(h.read(out + "/tracked"), h.read("/etc/hostname"), "which leads to the file in its new place")
    h.equal(os.readlink(out + "/c/relative"), "../a/b", "a symlink keeps its text")
    h.equal([h.read(f"{out}/{p}/file") for p in ("a/b", "bound/b", "again")], [h.read("/etc/hostname")] * 3, "binds and directory links become directories")
    bound = place.base + "/bound"
    h.must("restore", place.at("/t/bound/b", "links"), bound)
    h.equal(os.listdir(bound), ["file"], "a directory inside a bind")
    outside = place.dir("outside")
    h.put(outside + "/victim", b"untouched")
    before = describe(outside)
    shutil.rmtree(out + "/a")
    os.symlink(outside, out + "/a")
    os.unlink(out + "/bound/b/file")
    os.symlink(outside + "/victim", out + "/bound/b/file")
    result = h.linkfs("restore", "--merge", place.at("/t", "links"), out)
    h.ok(result.rc == 1 and "no directory" in result.err and os.path.islink(out + "/a"), "a symlink in a directory's place is left by --merge, and told", result)
    result = h.linkfs("restore", "--overwrite", place.at("/t", "links"), out)
    h.equal(result.rc, 0, "and replaced by --overwrite", result)
    h.ok(not os.path.islink(out + "/a") and os.path.isfile(out + "/a/b/file") and not os.path.islink(out + "/bound/b/file"), "by what the volume has")
    h.equal(describe(outside), before, "what they led to is untouched")
    os.symlink("links", place.base + "/way")
    result = h.linkfs("restore", "--overwrite", place.at("/t", "links"), place.base + "/way")
    h.ok(result.rc == 1 and "symlink" in result.err, "a destination that is a symlink is refused", result)
    h.equal(h.linkfs("restore", "--overwrite", place.at("/t", "links"), place.base + "/way/").rc, 0, "unless it ends with a slash")
    if FACE != "mount":
        h.must("restore", f"{place.volume.path}@now:/t/c", place.base + "/bytime")
        h.equal(os.listdir(place.base + "/bytime"), ["relative"], "a snapshot by time")
        h.must("restore", place.volume("/t/c"), place.base + "/live")
        h.equal(os.listdir(place.base + "/live"), ["relative"], "the present state, without a snapshot")


def lookalikes(place):
    """Two files of the volume that are equal, each with another name outside of what is restored, and one file in the destination."""
    top = place.base + "/alike"
    os.makedirs(top + "/t")
    for i, name in enumerate(("a", "b")):
        h.put(f"{top}/t/{name}", b"equal\n")
        os.utime(f"{top}/t/{name}", ns=(5, 5))
        os.link(f"{top}/t/{name}", f"{top}/outside{i}")
    h.must("import", top, place.volume("/alike"))
    out = place.base + "/alike-out"
    os.mkdir(out)
    h.put(out + "/a", b"equal\n")
    os.utime(out + "/a", ns=(5, 5))
    os.chmod(out + "/a", os.stat(top + "/t/a").st_mode & 0o7777)
    os.link(out + "/a", out + "/b")
    h.must("restore", "--overwrite", place.volume("/alike/t"), out)
    h.ok(os.stat(out + "/a").st_ino != os.stat(out + "/b").st_ino, "two files that are equal do not become, or stay, one")
    result = h.linkfs("restore", "--verify", place.volume("/alike/t"), out)
    h.ok("b" not in result.out or "l" not in result.out.split("\t")[0], "and --verify finds that", result)


def refusals(place):
    dest = place.base + "/refused"
    for argv, status, word in (
            ([place.at("/t", "links")], 2, ""), (["--overwrite", "--merge", place.at("/t", "links"), dest], 2, "choose"),
            (["--delete", place.at("/t", "links"), dest], 2, "--overwrite"), (["--verify", "--merge", place.at("/t", "links"), dest], 2, "--verify"),
            ([place.at("/t/none", "links"), dest], 1, "none"), (["--verify", place.at("/t", "links"), dest], 2, "refused"),
            ([place.base, dest], 1, ""), ([place.at("/t", "links"), place.volume("/x")], 1, "rollback"),
            ([place.at("/t", "links"), place.volume.path + "/inside"], 1, "own directory")):
        result = h.linkfs("restore", *argv)
        h.ok(result.rc == status and word in result.err and result.err, f"restore {' '.join(argv)[-60:]}: status {status}", result)
    h.ok(not os.path.exists(dest), "and nothing was made")
    if FACE != "offline":
        result = h.linkfs("restore", place.at("/t", "links"), place.volume.mnt + "/inside")
        h.ok(result.rc == 1 and "rollback" in result.err, "the volume's own mount is refused", result)
        os.symlink(place.volume.mnt, place.base + "/tomount")
        result = h.linkfs("restore", place.at("/t", "links"), place.base + "/tomount/inside")
        h.ok(result.rc == 1, "also by a symlink to it", result)
        h.equal(h.linkfs("ls", place.volume("/inside")).rc, 1, "nothing was made there")


def deep(place, depth=300):
    top = place.dir("deep")
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for i in range(depth):
        os.mkdir("d" * 90 + str(i), dir_fd=at)
        below = os.open("d" * 90 + str(i), os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at), "w") as f:
        f.write("bottom")
    os.link("file", "other", src_dir_fd=at, dst_dir_fd=at)
    os.close(at)
    h.must("import", top, place.volume("/"))
    h.must("snapshot", "create", place.volume(), "deep")
    out = place.base + "/deep.out"
    for how in ([], ["--overwrite"], ["--overwrite"], ["--verify"]):
        result = h.linkfs("restore", *how, place.at("/deep", "deep"), out)
        h.equal((result.rc, result.err), (0, ""), f"{depth} levels, {how}", result)
        at = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
        for i in range(depth):
            below = os.open("d" * 90 + str(i), os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        names = sorted(os.listdir(at))
        with os.fdopen(os.open("file", os.O_RDONLY, dir_fd=at)) as f:
            h.equal((names, f.read(), os.fstat(f.fileno()).st_nlink), (["file", "other"], "bottom", 2), "the bottom is there")
        if how == [] or len(how) and how[0] == "--overwrite":
            os.unlink("file" if how == [] else "other", dir_fd=at)  # to be brought back beside the other name
        os.close(at)
        if how == ["--overwrite"]:
            h.equal(h.linkfs("restore", "--overwrite", place.at("/deep", "deep"), out).rc, 0, "again")


def whole_or_absent(source, out):
    """Files under their names that are not what they should be."""
    wrong = []
    for base, _, files in os.walk(out):
        for name in files:
            path = os.path.join(base, name)
            original = os.path.join(source, os.path.relpath(path, out))
            if not name.startswith(".linkfs-") and h.read(path) != h.read(original):
                wrong.append(path)
    return wrong


def cut_off(place):
    source = place.dir("many")
    for i in range(40):
        os.mkdir(f"{source}/d{i}")
        for k in range(20):
            h.put(f"{source}/d{i}/f{k}", os.urandom(20000 + 1000 * k))
        h.put(f"{source}/d{i}/big", os.urandom(1 << 20))
        os.link(f"{source}/d{i}/f1", f"{source}/d{i}/l1")
    h.must("import", source, place.volume("/"))
    h.must("snapshot", "create", place.volume(), "many")
    for number, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGKILL, "kill -9")):
        out = f"{place.base}/cut{int(number)}"
        process = subprocess.Popen([h.BIN, "restore", place.at("/many", "many"), out], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        h.wait_for(lambda: os.path.exists(out) and len(os.listdir(out)) > 3 or process.poll() is not None)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        h.ok(process.returncode != 0, f"{name}: the status tells", process.returncode)
        if number == signal.SIGINT and FACE == "offline":
            h.ok(b"--overwrite" in err, "and a message how to go on", err)
        if FACE != "offline":
            # The owner goes on until it notices that its caller is gone.
            seen = [None]

            def settled():
                now = sum(len(f) for _, _, f in os.walk(out))
                same_as_before = now == seen[0]
                seen[0] = now
                time.sleep(0.3)
                return same_as_before
            h.wait_for(settled)
        h.equal(whole_or_absent(source, out), [], "what has its name is whole")
        result = h.linkfs("restore", "--overwrite", "--delete", place.at("/many", "many"), out)
        h.equal((result.rc, result.err), (0, ""), "the same command with --overwrite goes on", result)
        same(place, source, out, "to the end")
        h.equal(litter(out), [], "and nothing of ours is left")
    if not h.ROOT or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        h.skip("a full disk", "needs root")
        return
    out = place.dir("full")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", out], capture_output=True).returncode != 0:
        h.skip("a full disk", "tmpfs cannot be mounted")
        return
    try:
        result = h.linkfs("restore", place.at("/many", "many"), out)
        h.ok(result.rc == 1 and "No space left" in result.err and result.err.count("No space") == 1, "a full disk ends it, told once", result)
        h.ok("restored" in result.out and "--overwrite" in result.err, "with what was done, and how to go on", result)
        h.equal((whole_or_absent(source, out), litter(out)), ([], []), "what has its name is whole")
        subprocess.run(["mount", "-o", "remount,size=200m", out], check=True)
        h.equal(h.linkfs("restore", "--overwrite", place.at("/many", "many"), out).rc, 0, "with more room it goes on")
        same(place, source, out, "to the end")
        h.must("restore", "--verify", place.at("/many", "many"), out)
    finally:
        subprocess.run(["umount", out], check=False)


def inherited(place, source):
    """What the destination's directories give to all that is made in them is not what was saved."""
    dest = place.dir("inherits")
    if h.execute(["setfacl", "-d", "-m", "u:12:rwx,g:34:rwx", dest]).rc != 0:
        h.skip("default ACLs of the destination", "setfacl cannot set them here")
        return
    os.chmod(dest, 0o2775)
    h.must("restore", place.at("/all"), dest + "/new")
    same(place, source, dest + "/new", "below a directory with default ACLs and set-group-id all is as it was")
    h.must("restore", place.at("/all/links"), dest + "/links")
    h.execute(["setfacl", "-d", "-m", "u:12:rwx", dest + "/links"])
    os.unlink(dest + "/links/one")
    os.unlink(dest + "/links/absolute")
    h.must("restore", "--overwrite", place.at("/all/links"), dest + "/links")
    got = h.must("restore", "--verify", place.at("/all/links"), dest + "/links").out
    h.equal(got, "", "and where a directory got default ACLs since")


def at_once(place):
    """Two of them into one place."""
    out = place.base + "/at_once"
    argv = [h.BIN, "restore", "--overwrite", place.at("/many", "many"), out]
    os.mkdir(out)
    for _ in range(2):
        both = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
        results = [p.communicate(timeout=100)[1] for p in both]
        h.ok(all(p.returncode in (0, 1) for p in both), "two at once end", results)
        h.equal(whole_or_absent(place.base + "/many", out), [], "what has its name is whole")
    h.equal(h.linkfs("restore", "--overwrite", "--delete", place.at("/many", "many"), out).rc, 0, "one after them succeeds")
    same(place, place.base + "/many", out, "and all is as it was")


def mounts(place):
    """What is mounted below the destination."""
    out = place.base + "/mounted"
    h.must("restore", place.at("/t", "links"), out)
    if not h.ROOT or subprocess.run(["mount", "-t", "tmpfs", "none", out + "/c"], capture_output=True).returncode != 0:
        h.skip("mounts below the destination", "needs root and tmpfs")
        return
    try:
        result = h.linkfs("restore", "--overwrite", place.at("/t", "links"), out)
        h.ok(result.rc == 1 and f"{out}/c: another file system" in result.err and os.listdir(out + "/c") == [], "a mount below the destination is left", result)
        result = h.linkfs("restore", "--verify", place.at("/t", "links"), out)
        h.ok(result.rc == 2 and "--mounts" in result.err, "and not compared", result)
        h.equal(h.linkfs("restore", "--overwrite", "--mounts", place.at("/t", "links"), out).rc, 0, "--mounts goes into it")
        h.equal(os.listdir(out + "/c"), ["relative"], "and restores there")
    finally:
        subprocess.run(["umount", out + "/c"], check=False)


def ordinary_user(place):
    """What only root may set is told once, in sum."""
    if not h.ROOT or FACE != "offline" or not shutil.which("setpriv"):
        h.skip("an ordinary user's restore of others' files", "needs root, offline")
        return
    source = place.dir("theirs")
    for name, owner in (("a", 1), ("b", 2), ("own", 65534)):
        h.put(f"{source}/{name}")
        os.chown(f"{source}/{name}", owner, owner)
    os.chmod(source + "/a", 0o4755)
    os.setxattr(source + "/b", "trusted.x", b"1")
    os.mknod(source + "/device", 0o020666, os.makedev(1, 3))
    volume = h.Volume(place.base, "users")
    h.must("import", "-T", source, volume("/"))
    dest = place.dir("users.out")
    subprocess.run(["chown", "-R", "65534:65534", volume.path, dest], check=True)
    binary = place.base + "/linkfs"
    shutil.copy(h.BIN, binary)
    os.chmod(place.base, 0o755)
    as_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", binary, "restore"]
    result = h.execute(as_user + [volume("/"), dest + "/out"])
    h.equal(result.rc, 3, "an ordinary user's exit status tells that not all could be set", result)
    h.ok(len(result.err.splitlines()) == 1 and "1 devices" in result.err and "root" in result.err, "in one line", result)
    h.equal(sorted(os.listdir(dest + "/out")), ["a", "b", "own"], "the rest is there")
    h.equal(os.lstat(dest + "/out/a").st_mode & 0o7777, 0o755, "a setuid bit does not become another user's")
    result = h.execute(as_user + ["--overwrite", volume("/"), dest + "/out"])
    h.ok("0 restored" in result.out and "replaced" not in result.out, "and again it is as well as it can be", result)


def main():
    place = Place()
    source, out = everything(place)
    over(place, source, out)
    single(place, source)
    inherited(place, source)
    links(place)
    lookalikes(place)
    refusals(place)
    mounts(place)
    deep(place)
    cut_off(place)
    at_once(place)
    ordinary_user(place)
    h.done()


main()
