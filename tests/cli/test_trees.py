#!/usr/bin/env python3
"""Trees into a volume and back (row E8): import, export and cp -a keep everything that stat, getxattr and SEEK_DATA can see, and never write
outside the destination.

    test_trees.py offline|live
"""
import errno
import os
import shutil
import stat
import subprocess
import sys

import harness as h

FACE = sys.argv[1]


def set_xattr(path, name, value, **how):
    try:
        os.setxattr(path, name, value, **how)
    except OSError as e:
        if e.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def make_nasty(top):
    """A tree with everything that a tree can have; as root with owners and devices."""
    os.makedirs(top + "/deep/" + "/".join(["d" * 100] * 20))
    names = [b"plain", b" lead", b"trail ", b"new\nline", b"tab\t", b"quote'\"`$", b"-dash", b"\xff\xfe\x80bad", b"\xc3\xa4\xe2\x82\xac", b"a:b", b"back\\slash",
             b"*?[", b"x" * 255, b"\x01\x02"]
    for i, name in enumerate(names):
        with open(os.fsencode(top) + b"/" + name, "wb") as f:
            f.write(bytes([i]) * (i * 1000))
    os.mkdir(top + "/links")
    with open(top + "/links/one", "wb") as f:
        f.write(b"one file\n")
    for name in ("two", "three"):
        os.link(top + "/links/one", top + "/links/" + name)
    os.link(top + "/links/one", top + "/deep/four")
    os.symlink("one", top + "/links/symlink")
    os.link(top + "/links/symlink", top + "/links/symlink2", follow_symlinks=False)
    os.symlink("nowhere/at/all", top + "/links/dangling")
    os.symlink("/etc/passwd", top + "/links/absolute")
    os.symlink(b"t" * 4000, os.fsencode(top) + b"/links/long")
    os.symlink(b"\xff\n", os.fsencode(top) + b"/links/odd")
    with open(top + "/sparse", "wb") as f:
        f.seek(1 << 20)
        f.write(b"data")
        f.seek(50 << 20)
        f.write(b"more")
        f.truncate(100 << 20)
    with open(top + "/allhole", "wb") as f:
        f.truncate(12345678)
    with open(top + "/big", "wb") as f:
        f.write(os.urandom(3 << 20) + b"end")
    open(top + "/empty", "wb").close()
    os.mkdir(top + "/emptydir")
    os.mkfifo(top + "/fifo", 0o640)
    os.link(top + "/fifo", top + "/fifo2")
    import socket
    here = os.getcwd()
    os.chdir(top)
    s = socket.socket(socket.AF_UNIX)
    s.bind("sock")
    s.close()
    os.chdir(here)
    for mode in (0o0, 0o400, 0o644, 0o4755, 0o2755, 0o6711, 0o1777):
        path = f"{top}/mode{mode:o}"
        open(path, "wb").close()
        os.chmod(path, mode)
    os.mkdir(top + "/noaccess")
    open(top + "/noaccess/inside", "wb").close()
    os.mkdir(top + "/readonly")
    open(top + "/readonly/inside", "wb").close()
    for i in range(3):
        set_xattr(f"{top}/plain", f"user.attr{i}", b"v" * i * 100)
    set_xattr(top + "/emptydir", "user.on.dir", b"\0binary\xff")
    subprocess.run(["setfacl", "-m", "u:12:rwx,g:34:r", top + "/plain"], capture_output=True)
    subprocess.run(["setfacl", "-m", "u:12:rx", "-d", "-m", "u:56:rwx", top + "/emptydir"], capture_output=True)
    if h.ROOT:
        os.mknod(top + "/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(top + "/block", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
        os.chown(top + "/plain", 12, 34)
        os.chown(top + "/links/symlink", 13, 35, follow_symlinks=False)
        os.chown(top + "/mode4755", 14, 36)
        os.chmod(top + "/mode4755", 0o4755)
        os.chown(top + "/emptydir", 15, 37)
        set_xattr(top + "/links/symlink", "trusted.on.link", b"x", follow_symlinks=False)
        set_xattr(top + "/big", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.chmod(top + "/readonly", 0o555)
    if h.ROOT:
        os.chmod(top + "/noaccess", 0)
    times = [(0, 0), (-86400 * 365 * 20, 123456789), (4102444800, 999999999), (1600000000, 1)]
    for i, (base, dirs, files) in enumerate(os.walk(os.fsencode(top), topdown=False)):
        for k, name in enumerate(dirs + files):
            sec, nsec = times[(i + k) % 4]
            ns = sec * 10**9 + nsec
            os.utime(base + b"/" + name, ns=(ns, ns + 1000), follow_symlinks=False)


def segments(fd, size):
    found, at = [], 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:
                break
            raise
        at = os.lseek(fd, data, os.SEEK_HOLE)
        found.append((data // 4096, -(-at // 4096)))
    return found


def describe(top):
    """Everything about a tree, as a dictionary from path to facts."""
    facts, inodes = {}, {}
    top = os.fsencode(top)
    for base, dirs, files in os.walk(top):
        for path in [base] if base == top else []:
            facts[b"."] = one(path, inodes, b".")
        for name in dirs + files:
            path = base + b"/" + name
            facts[os.path.relpath(path, top)] = one(path, inodes, os.path.relpath(path, top))
    groups = {}
    for path, ino in inodes.items():
        groups.setdefault(ino, set()).add(path)
    for path, ino in inodes.items():
        if len(groups[ino]) > 1:
            facts[path]["same file as"] = sorted(groups[ino])
    return facts


def one(path, inodes, rel):
    st = os.lstat(path)
    fact = {"mode": oct(st.st_mode), "mtime": st.st_mtime_ns, "nlink": st.st_nlink if not stat.S_ISDIR(st.st_mode) else 0}
    if h.ROOT:
        fact["owner"] = (st.st_uid, st.st_gid)
    if not stat.S_ISDIR(st.st_mode):
        inodes[rel] = st.st_ino
    if stat.S_ISREG(st.st_mode):
        fact["size"] = st.st_size
        if os.access(path, os.R_OK):
            with open(path, "rb") as f:
                fact["data"] = hash(f.read())
                fact["segments"] = segments(f.fileno(), st.st_size)
    if stat.S_ISLNK(st.st_mode):
        fact["target"] = os.readlink(path)
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        fact["rdev"] = st.st_rdev
    try:
        fact["xattr"] = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        pass
    return fact


def compare(got, want, name):
    notes = []
    for path in sorted(set(got) | set(want)):
        a, b = got.get(path), want.get(path)
        if a is None or b is None:
            notes.append(f"{path!r}: {'missing' if a is None else 'too much'}")
            continue
        notes += [f"{path!r}: {key}: got {a.get(key)!r:.200}, want {b.get(key)!r:.200}" for key in sorted(set(a) | set(b)) if a.get(key) != b.get(key)]
    return h.ok(not notes, name, *notes[:20])


def main():
    if FACE == "live":
        h.need_fuse()
    base = h.make_dir()
    volume = h.Volume(base)
    source = base + "/source"
    os.mkdir(source)
    make_nasty(source)
    want = describe(source)
    if FACE == "live":
        volume.mount()

    result = h.linkfs("import", "-T", source, volume("/"))
    # A directory that may not be entered or a file that may not be read: told, counted, and the rest is there.
    if h.ROOT:
        h.equal((result.rc, result.err), (0, ""), "import says nothing and succeeds")
    else:
        h.ok(result.rc == 1 and "mode0" in result.err, "import names what it could not read and exits with 1", result)
    out = base + "/out"
    result = h.linkfs("export", volume("/"), out)
    if h.ROOT:
        h.equal((result.rc, result.err), (0, ""), "export says nothing and succeeds")
        compare(describe(out), want, "what came back is what went in: names, links, modes, owners, times, holes, xattrs, ACLs, devices")
    else:
        missing = {b"mode0"}
        compare(describe(out), {k: v for k, v in want.items() if k not in missing}, "what came back is what went in, but what may not be read")
    if FACE == "live":
        compare(describe(volume.mnt), {k: dict(v) for k, v in want.items()} if h.ROOT else describe(volume.mnt), "the mount shows the same")

    # Again over itself: nothing changes.
    result = h.linkfs("import", "-T", source, volume("/"))
    h.equal(result.rc, 0 if h.ROOT else 1, "importing again over the same succeeds", result)
    result = h.linkfs("export", "-T", volume("/"), out)
    # As with cp -a, what lies in a read-only directory of an ordinary user cannot be replaced.
    h.equal(result.rc, 0 if h.ROOT else 1, "exporting again over the same succeeds", result)
    if h.ROOT:
        compare(describe(out), want, "the second round trip changes nothing")

    # cp -a within the volume and to another one.
    h.must("cp", "-a", volume("/links"), volume("/copy"))
    h.must("export", volume("/copy"), base + "/copy")
    links = {os.path.relpath(k, b"links"): v for k, v in want.items() if k == b"links" or k.startswith(b"links/")}
    got = describe(base + "/copy")
    for facts in (links, got):  # the fourth name lies elsewhere
        for fact in facts.values():
            fact.pop("nlink", None)
            if "same file as" in fact:
                fact["same file as"] = len([p for p in fact["same file as"] if b"deep" not in p])
    compare(got, links, "cp -a within the volume keeps links, times, owners")
    other = h.Volume(base, "other")
    h.must("cp", "-a", volume("/links"), other("/links"))
    h.must("export", other("/links"), base + "/copy2")
    got = describe(base + "/copy2")
    for fact in got.values():
        fact.pop("nlink", None)
        if "same file as" in fact:
            fact["same file as"] = len(fact["same file as"])
    compare(got, links, "cp -a between volumes keeps the same")

    # Hard links across several trees of one import.
    for tree in ("t1", "t2"):
        os.mkdir(f"{base}/{tree}")
    open(base + "/t1/x", "wb").close()
    os.link(base + "/t1/x", base + "/t2/y")
    h.must("import", base + "/t1", base + "/t2", volume("/"))
    a = h.must("stat", "-c", "%i %h", volume("/t1/x")).out
    h.equal(h.must("stat", "-c", "%i %h", volume("/t2/y")).out, a, "hard links among several trees are kept")
    h.ok(a.endswith(" 2\n"), "and counted", a)

    # Patterns.
    os.makedirs(base + "/p/sub")
    for name in ("a.o", "a.c", "sub/b.o", "sub/b.c"):
        open(f"{base}/p/{name}", "wb").close()
    h.must("import", "--exclude=*.o", "--exclude", "/sub/b.c", base + "/p", volume("/"))
    h.equal(h.must("ls", "-R", volume("/p")).out.replace(volume.path, "V"), "V:/p:\na.c\nsub\n\nV:/p/sub:\n", "--exclude by name and by path")

    # One file system only.
    if h.ROOT and subprocess.run(["mount", "-t", "tmpfs", "none", base + "/p/sub"], capture_output=True).returncode == 0:
        try:
            open(base + "/p/sub/elsewhere", "wb").close()
            h.must("import", "-x", "-T", base + "/p", volume("/onefs"))
            h.equal(h.must("ls", volume("/onefs")).out, "a.c\na.o\n", "-x stays on one file system")
        finally:
            subprocess.run(["umount", base + "/p/sub"], check=False)
    else:
        h.skip("-x stays on one file system", "needs root and tmpfs")

    escape_tests(base, volume)
    self_tests(base, volume)
    summary_tests(base, volume)
    h.done()


def escape_tests(base, volume):
    """Symlinks where export writes: never followed (row E5's promise, for export too)."""
    outside = base + "/outside"
    os.mkdir(outside)
    with open(outside + "/victim", "w") as f:
        f.write("untouched")
    h.must("mkdir", "-p", volume("/evil/dir"))
    h.must("cp", "/etc/hostname", volume("/evil/dir/new"))
    h.must("cp", "/etc/hostname", volume("/evil/file"))
    dest = base + "/dest"
    os.mkdir(dest)
    os.symlink(outside, dest + "/dir")
    os.symlink(outside + "/victim", dest + "/file")
    result = h.linkfs("export", "-T", volume("/evil"), dest)
    h.ok(result.rc == 1 and "dest" not in result.out, "a symlink in a directory's place is refused", result)
    h.equal(sorted(os.listdir(outside)), ["victim"], "nothing was made outside the destination")
    with open(outside + "/victim") as f:
        h.equal(f.read(), "untouched", "and nothing written there")
    h.ok(not os.path.islink(dest + "/file") and os.path.isfile(dest + "/file"), "a symlink in a file's place is replaced by the file")


def self_tests(base, volume):
    """A volume inside the tree that is imported into it."""
    inside = base + "/around"
    os.mkdir(inside)
    open(inside + "/file", "wb").close()
    nested = h.Volume(inside, "nested")
    if FACE == "live":
        nested.mount()
    result = h.linkfs("import", inside, nested("/"))
    h.equal(result.rc, 0, "importing a tree that holds the volume succeeds", result)
    h.ok("own directory" in result.err, "the volume's own directory is passed over, and told", result)
    if FACE == "live":
        h.ok("own mount" in result.err, "its own mount is passed over, and told", result)
        got = h.linkfs("import", nested.mnt, nested("/again"))
        h.ok(got.rc != 0 or h.linkfs("ls", nested("/again")).rc == 0, "importing a mount into its own volume does not hang", got)
        nested.umount()
    h.ok("file" in h.must("ls", nested("/around")).out, "the rest is there")


def summary_tests(base, volume):
    import json
    os.makedirs(base + "/s/d")
    with open(base + "/s/f", "wb") as f:
        f.write(b"12345")
    os.link(base + "/s/f", base + "/s/g")
    os.symlink("f", base + "/s/l")
    os.mkfifo(base + "/s/fifo")
    got = json.loads(h.must("import", "--json", base + "/s", volume("/")).out)
    want = {"files": 1, "directories": 2, "symlinks": 1, "special": 1, "hard_links": 1, "bytes": 5, "skipped": 0, "errors": 0}
    h.equal(got, want, "the summary counts")
    h.equal(h.linkfs("import", base + "/s", base + "/none", volume("/")).rc, 1, "a missing tree is exit status 1")
    h.equal(h.linkfs("ls", volume("/s")).out, "d\nf\nfifo\ng\nl\n", "and the others are there")
    h.equal(h.linkfs("import", base + "/s", base + "/nowhere").rc, 1, "import to the host is refused")
    h.equal(h.linkfs("export", base + "/s", base + "/nowhere").rc, 1, "export of the host is refused")
    h.equal(h.linkfs("import", volume("/s"), volume("/q")).rc, 2, "import out of a volume is wrong usage")


main()
