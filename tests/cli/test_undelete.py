#!/usr/bin/env python3
"""linkfs undelete, get and set (E9), on a volume that nobody owns and on a mounted one: rm -r and undelete -r give a tree back that
compares equal, hard links and times included; choices, refusals, JSON."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import harness as h

LIVE = len(sys.argv) > 1 and sys.argv[1] == "live"


class Place(h.Volume):
    """The volume, mounted when the test is about mounts: paths and what acts on them are the mount's then."""

    def __init__(self, base, name, keep="7d"):
        super().__init__(base, name)
        h.must("set", self.path, f"keep-deleted={keep}")
        if LIVE:
            self.mount()

    def __call__(self, path="/"):
        return self.mnt + path if LIVE else super().__call__(path)

    def remove(self, *paths):
        if LIVE:
            subprocess.run(["rm", "-r", *[self(p) for p in paths]], check=True)
        else:
            h.must("rm", "-r", *[self(p) for p in paths])

    def write(self, path, text):
        h.must("cp", "/dev/stdin", self(path), stdin=text.encode())

    def read(self, path):
        return h.must("cat", self(path)).out

    def tree(self, path="/"):
        """Every name with what matters of it; names of one file share a letter. Times too, but for ctime and atime."""
        out = self.path + ".out"
        shutil.rmtree(out, ignore_errors=True)
        if LIVE:
            root = self(path)
        else:
            h.must("export", "-T", self(path), out)
            root = out
        seen, lines = {}, []
        for top, dirs, files in os.walk(root):
            for name in sorted(dirs + files) + ["."]:
                full = os.path.join(top, name)
                st = os.lstat(full)
                number = seen.setdefault(st.st_ino, len(seen))
                content = os.readlink(full) if os.path.islink(full) else open(full, "rb").read() if os.path.isfile(full) else ""
                xattrs = {k: os.getxattr(full, k, follow_symlinks=False) for k in os.listxattr(full, follow_symlinks=False)}
                lines.append((os.path.relpath(full, root), st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_mtime_ns, content, xattrs))
                lines.append((os.path.relpath(full, root), sorted(k for k in seen if seen[k] == number) != []))
        groups = {}
        for top, dirs, files in os.walk(root):
            for name in files:
                groups.setdefault(os.lstat(os.path.join(top, name)).st_ino, set()).add(os.path.relpath(os.path.join(top, name), root))
        return sorted(map(repr, lines)), sorted(sorted(g) for g in groups.values())


def listed(volume, *argv):
    return json.loads(h.must("undelete", "--list", "--json", *argv).raw)


def properties(base):
    path = base + "/props"
    h.must("create", "-o", "keep-deleted=48h", path)
    h.equal(h.must("get", path).out, "keep-deleted=2d\nsnapshot-every=off\nsnapshot-keep=off\ncompression=none\n", "create -o, get")
    h.equal(h.must("get", path, "keep-deleted").out, "2d\n", "get of one property is its value")
    off = {"snapshot-every": "off", "snapshot-keep": "off", "compression": "none"}
    h.equal(json.loads(h.must("get", "--json", path).raw), {"keep-deleted": "2d", **off}, "get --json")
    h.must("set", path, "keep-deleted=90s")
    (info,) = json.loads(h.must("info", "--json", path).raw)
    h.equal((info["properties"], info["kept_inodes"], info["kept_blocks"]), ({"keep-deleted": "90s", **off}, 0, 0), "info --json")
    h.ok("Properties: keep-deleted=90s\n" in h.must("info", path).out, "info")
    for argv, rc, words in ((("set", path, "colour=blue"), 1, "'colour' is no property of a volume; there is: keep-deleted"),
                            (("set", path, "keep-deleted=soon"), 1, "'soon' is not a duration as 7d, 12h"),
                            (("set", path, "keep-deleted"), 2, "'keep-deleted' is not KEY=VALUE"),
                            (("set", path), 2, "missing operand after"), (("set",), 2, "missing operand"),
                            (("get", path, "colour"), 1, "'colour' is no property"),
                            (("create", "-o", "colour=blue", base + "/no"), 1, "'colour' is no property"),
                            (("create", "-o", "keep-deleted", base + "/no"), 1, "'keep-deleted' is not KEY=VALUE")):
        result = h.linkfs(*argv)
        h.ok(result.rc == rc and words in result.err, f"refused: {' '.join(argv[:1] + argv[2:])}", result)
    h.ok(not os.path.exists(base + "/no"), "a refused create leaves nothing")
    h.equal(h.must("get", path, "keep-deleted").out, "90s\n", "a refused set changes nothing")


def build(volume, base):
    """A tree with hard links inside and to the outside, symlinks, an empty directory, modes, xattrs and old times."""
    src = base + "/src"
    shutil.rmtree(src, ignore_errors=True)
    os.makedirs(src + "/a/b/c")
    os.makedirs(src + "/a/empty")
    for i in range(40):
        with open(f"{src}/a/b/f{i}", "w") as f:
            f.write(f"content {i} " * i * 30)
    os.link(src + "/a/b/f1", src + "/a/second")
    os.link(src + "/a/b/f2", src + "/a/b/c/third")
    os.link(src + "/a/b/f2", src + "/a/b/c/fourth")
    os.symlink("../b/f1", src + "/a/b/link")
    os.symlink("nowhere", src + "/a/dangling")
    os.mkfifo(src + "/a/fifo")
    os.setxattr(src + "/a/b/f3", "user.colour", b"blue")
    os.chmod(src + "/a/b", 0o750)
    os.chmod(src + "/a/b/f4", 0o4711)
    for top, dirs, files in os.walk(src + "/a", topdown=False):
        for n, name in enumerate(sorted(files + dirs)):
            os.utime(os.path.join(top, name), ns=(10**18 + n, 10**18 + n * 1001), follow_symlinks=False)
    os.utime(src + "/a", ns=(10**18, 10**18 + 77))
    h.must("import", src + "/a", volume("/"))
    h.must("ln", volume("/a/b/f5"), volume("/outside"))


def whole_trees(base):
    volume = Place(base, "trees")
    build(volume, base)
    want = volume.tree("/a")
    h.ok(any(len(g) == 3 for g in want[1]), "the tree has hard links")
    volume.remove("/a")
    h.ok("a" not in h.must("ls", volume("/")).out.split(), "rm -r")
    rows = listed(volume, volume("/"))
    h.equal(len([r for r in rows if r["type"] == "directory"]), 4, "its directories are listed")
    h.ok(all(r["path"].startswith("/a") for r in rows), "with the paths of what was in them")
    result = h.must("undelete", "-rv", volume("/a"))
    h.ok("restored" in result.out and result.err == "", "undelete -r", result)
    got = volume.tree("/a")
    h.equal(got[1], want[1], "hard links are hard links again")
    h.ok(got[0] == want[0], "the tree compares equal, times too", "\n".join(sorted(set(want[0]) ^ set(got[0])))[:1500])
    h.equal(h.must("stat", "-c", "%h", volume("/outside")).out, "2\n", "a name that another file outside shares came back too")
    h.equal(listed(volume, volume("/")), [], "nothing is left to give back")
    # In part, and what was there before.
    volume.write("/a/b/late", "late")
    h.must("rm", volume("/a/b/late"))
    volume.write("/a/b/last", "last")
    volume.remove("/a")
    result = h.must("undelete", "-r", volume("/a/b"))
    h.ok("1 name that went earlier was left; -a brings back all, --since what went since then" in result.err, "what was deleted earlier is left, and told", result)
    names = h.must("ls", volume("/a/b")).out.split()
    h.ok("last" in names and "late" not in names and "f39" in names, "only the last removals come back", names)
    h.equal(h.must("ls", volume("/a")).out.split(), ["b"], "and only what was asked for")
    result = h.must("undelete", "-ra", volume("/a"))
    h.equal(result.err, "", "nothing is left of it")
    names = h.must("ls", volume("/a/b")).out.split()
    h.ok("late" in names and "second" in h.must("ls", volume("/a")).out.split(), "-a brings all", names)
    # Into another place, and from a directory that is there.
    h.must("mkdir", volume("/place"))
    volume.remove("/a/b")
    h.must("undelete", "-r", "--to", volume("/place"), volume("/a/b"))
    h.equal(h.must("cat", volume("/place/b/f7")).out, "content 7 " * 210, "--to with -r")
    volume.remove("/place/b/c", "/place/b/f7")
    h.must("undelete", "-r", volume("/place/b"))
    h.equal(h.must("cat", volume("/place/b/c/third")).out, "content 2 " * 60, "-r with a directory that is there")
    if LIVE:
        h.must("umount", volume.mnt)


def choices(base):
    volume = Place(base, "choices")
    volume.write("/f", "first")
    time.sleep(0.01)
    h.must("rm", volume("/f"))
    first = listed(volume, volume("/f"))[0]
    volume.write("/f", "second")
    h.must("rm", volume("/f"))
    rows = listed(volume, volume("/f"))
    h.equal([r["ino"] > first["ino"] for r in rows], [True, False], "versions of one name, the newest first")
    h.must("undelete", volume("/f"))
    h.equal(volume.read("/f"), "second", "the newest comes back")
    result = h.linkfs("undelete", volume("/f"))
    h.ok(result.rc == 1 and "the name is taken; --to=DIR puts it elsewhere, --suffix=TEXT calls it otherwise" in result.err,
         "a taken name is refused", result)
    h.equal(volume.read("/f"), "second", "and left alone")
    h.must("undelete", "--suffix=.1", volume("/f"))
    h.equal(volume.read("/f.1"), "first", "--suffix")
    h.must("rm", volume("/f"), volume("/f.1"))
    h.must("undelete", volume(f"/#{first['ino']}"))
    h.equal(volume.read("/f.1"), "first", "by number")
    h.must("rm", volume("/f.1"))
    volume.write("/f", "third")
    h.must("rm", volume("/f"))
    at = listed(volume, volume("/f"))[1]["deleted"]
    h.must("undelete", "--at", at, volume("/f"))
    h.equal(volume.read("/f"), "second", "--at")
    h.must("mkdir", volume("/to"))
    h.must("undelete", "--to", volume("/to"), volume("/f"))
    h.equal(volume.read("/to/f"), "third", "--to")
    # An editor's save.
    volume.write("/doc", "old")
    volume.write("/doc.new", "new")
    if LIVE:
        os.rename(volume("/doc.new"), volume("/doc"))
    else:
        h.must("mv", volume("/doc.new"), volume("/doc"))
    result = h.must("undelete", "--list", volume("/doc"))
    h.ok(re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  #\d+ +-rw-r--r-- \S+ +3  /doc  \(replaced\)$", result.out, re.M), "--list as text", result)
    h.must("undelete", "--suffix=~", volume("/doc"))
    h.equal((volume.read("/doc"), volume.read("/doc~")), ("new", "old"), "what a save replaced")
    # Hard links: names of files that have others are told only on asking.
    h.must("ln", volume("/doc"), volume("/name"))
    h.must("rm", volume("/name"))
    h.equal([r["path"] for r in listed(volume, volume("/")) if r["name"] == "name"], [], "a name of a file that has others")
    h.equal([r["path"] for r in listed(volume, "-a", volume("/")) if r["name"] == "name"], ["/name"], "is listed with -a")
    h.must("undelete", volume("/name"))
    h.equal(h.must("stat", "-c", "%h", volume("/doc")).out, "2\n", "and comes back as a hard link")
    # Purge and the directory that is gone.
    h.must("mkdir", volume("/d"))
    volume.write("/d/x", "x")
    volume.remove("/d")
    h.must("undelete", "--purge", volume("/d"))
    result = h.linkfs("undelete", volume("/d/x"))
    h.ok(result.rc == 1 and "there is no 'd' on the way" in result.err, "a directory that is gone is told", result)
    row = [r for r in listed(volume, volume("/")) if r["name"] == "x"]
    h.equal(row, [], "what was in it is below nothing")
    h.must("undelete", "--purge", "-r", volume("/"))
    h.equal(listed(volume, "-a", volume("/")), [], "--purge -r")
    h.must("set", volume.path, "keep-deleted=off")
    result = h.linkfs("undelete", volume("/never"))
    h.ok("this volume keeps no deleted files; 'linkfs set " in result.err, "a volume that keeps nothing says so", result)
    h.must("set", volume.path, "keep-deleted=1h")
    # Refusals.
    for argv, rc, words in ((("undelete", volume("/never")), 1, "no deleted file of this name is kept"),
                            (("undelete", volume("/never/was")), 1, "there is no 'never' on the way"),
                            (("undelete", volume("/to")), 1, "is there; -r means what was deleted from it"),
                            (("undelete", "-r", volume("/to")), 1, "nothing that was deleted from it is kept"),
                            (("undelete", volume("/#99999")), 1, "no deleted file of this name is kept"),
                            (("undelete", volume("/")), 1, "is there"),
                            (("undelete",), 2, "missing operand"),
                            (("undelete", "--json", volume("/f")), 2, "--json goes with --list"),
                            (("undelete", "--list", "--purge", volume("/f")), 2, "exclude each other"),
                            (("undelete", "--at", "soon", volume("/f")), 2, "'soon' is no date"),
                            (("undelete", "--suffix=a/b", volume("/f")), 2, "is no suffix of a name"),
                            (("undelete", base), 1, "not inside a linkfs mount")):
        result = h.linkfs(*argv)
        h.ok(result.rc == rc and words in result.err, f"refused: {' '.join(argv)[:60]}", result)
    if LIVE:
        volume.umount()


def space(base):
    """df shows what a deletion frees; the volume's limit is for what is there."""
    path = base + "/space"
    h.must("create", "--limit=20M", "-o", "keep-deleted=1d", path)
    volume = h.Volume.__new__(h.Volume)
    volume.path, volume.mnt = path, base + "/space.mnt"
    os.mkdir(volume.mnt)
    if LIVE:
        volume.mount()
    where = lambda p: volume.mnt + p if LIVE else volume(p)
    free = lambda: json.loads(h.must("df", "--json", path).raw)[0]["blocks_available"]
    empty = free()
    data = os.urandom(6 << 20)
    for i in range(3):
        h.must("cp", "/dev/stdin", where(f"/f{i}"), stdin=data)
    h.ok(empty - free() >= 4608, "df shows what is used")
    for i in range(3):
        h.must("rm", where(f"/f{i}"))
    h.ok(empty - free() < 16, "and that kept files can be had", empty, free())
    h.ok("Kept:       3 deleted files, 18M" in h.must("info", path).out, "info tells of them")
    for i in range(3):
        h.must("cp", "/dev/stdin", where(f"/g{i}"), stdin=data)
    left = [r["name"] for r in json.loads(h.must("undelete", "-l", "--json", where("/")).raw)]
    h.equal(left, [], "what is written takes their space")
    h.must("set", path, "keep-deleted=off")
    h.must("rm", where("/g0"))
    h.equal(json.loads(h.must("undelete", "-l", "--json", where("/")).raw), [], "off keeps nothing")
    if LIVE:
        volume.umount()


def mounted_life(base):
    """What only a mount has: open files, working directories, rsync's opinion, and a killed owner."""
    volume = Place(base, "life")
    m = volume.mnt
    if shutil.which("rsync"):
        source = "/usr/share/zoneinfo"
        archive = ["rsync", "-aHAX" if h.ROOT else "-rlptHAX"]
        subprocess.run(archive + [source + "/", m + "/zone/"], check=True)
        subprocess.run(archive + [m + "/zone/", base + "/copy/"], check=True)
        subprocess.run(["rm", "-r", m + "/zone"], check=True)
        result = h.must("undelete", "-r", m + "/zone")
        check = subprocess.run(archive + ["-nc", "--delete", "--itemize-changes", base + "/copy/", m + "/zone/"], capture_output=True, text=True)
        h.ok(check.returncode == 0 and check.stdout == "", "rsync -n finds no difference after rm -r and undelete -r", check.stdout[:1000], result)
    else:
        h.skip("rsync's opinion", "rsync is not installed")
    with open(m + "/open", "w+") as f:
        f.write("one")
        f.flush()
        os.unlink(m + "/open")
        f.write(" two")
        f.flush()
        h.equal(os.fstat(f.fileno()).st_nlink, 0, "an open file has no name")
        h.must("undelete", m + "/open")
        h.equal(os.stat(m + "/open").st_nlink, 1, "given back while it is open: stat by name")
        h.equal(os.fstat(f.fileno()).st_nlink, 1, "and through the open file")
        f.write(" three")
    with open(m + "/open") as f:
        h.equal(f.read(), "one two three", "one file")
    os.mkdir(m + "/cwd")
    handle = os.open(m + "/cwd", os.O_RDONLY)
    os.rmdir(m + "/cwd")
    h.ok(not os.path.exists(m + "/cwd"), "a removed directory")
    result = h.linkfs("undelete", m + "/cwd")
    h.ok(result.rc == 1 and "still in use" in result.err, "that somebody has open is not given back", result)
    os.close(handle)
    h.must("undelete", m + "/cwd")
    with open(m + "/cwd/f", "w") as f:
        f.write("works")
    h.equal(os.listdir(m + "/cwd"), ["f"], "afterwards it is, and works")
    # A listing and a name that the kernel remembers as absent.
    os.unlink(m + "/cwd/f")
    h.ok(not os.path.exists(m + "/cwd/f") and os.listdir(m + "/cwd") == [], "gone")
    h.must("undelete", "f", cwd=m + "/cwd")
    h.ok(os.path.exists(m + "/cwd/f") and os.listdir(m + "/cwd") == ["f"], "the mount shows it as soon as the command returns")
    os.unlink(m + "/cwd/f")
    ino = listed(volume, m + "/cwd")[0]["ino"]
    h.must("undelete", f"#{ino}", cwd=m + "/cwd")
    h.ok(os.path.exists(m + "/cwd/f"), "by number from the working directory")
    # Killed.
    os.unlink(m + "/cwd/f")
    h.must("sync", m)
    (info,) = json.loads(h.must("info", "--json", m).raw)
    os.kill(info["owner"]["pid"], 9)
    h.wait_for(lambda: not os.path.exists(f"/proc/{info['owner']['pid']}"))
    h.must("umount", m)
    h.must("undelete", f"{volume.path}:/cwd/f")
    h.equal(h.must("cat", f"{volume.path}:/cwd/f").out, "works", "a killed owner kept it")


def users(base):
    if not h.ROOT or not shutil.which("setpriv"):
        h.skip("whose files", "needs root and setpriv")
        return
    path = base + "/users"
    os.chmod(base, 0o755)
    other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run(other + ["test", "-x", h.BIN]).returncode:
        h.skip("whose files", "the program cannot be run by users here")
        return
    h.must("create", "-m", "777", "-o", "keep-deleted=1d", path)
    h.must("touch", path + ":/mine", path + ":/theirs")
    h.must("chown", "65534", path + ":/theirs")
    h.must("rm", path + ":/mine", path + ":/theirs")
    subprocess.run(["chown", "-R", "65534:65534", path], check=True)
    run = lambda *argv: h.execute(other + [h.BIN, *argv], cwd="/")
    rows = json.loads(run("undelete", "-l", "--json", path + ":/").raw)
    h.equal([r["name"] for r in rows], ["theirs"], "a user lists what is his")
    h.equal(len(json.loads(h.must("undelete", "-l", "--json", path + ":/").raw)), 2, "root lists all")
    result = run("undelete", path + ":/mine")
    h.ok(result.rc == 1 and "no deleted file of this name is kept" in result.err, "another's is not there for him", result)
    h.equal(run("undelete", path + ":/theirs").rc, 0, "his own comes back")
    result = run("set", path, "keep-deleted=off")
    h.ok(result.rc == 1 and "owner of the volume's root directory" in result.err, "properties are the owner's", result)


if LIVE:
    h.need_fuse()
base = h.make_dir()
if not LIVE:
    properties(base)
    users(base)
whole_trees(base)
choices(base)
space(base)
if LIVE:
    mounted_life(base)
h.done()
