"""Trees with everything that a tree can have, and what there is to say of a tree: for tests that bring them from one place to another."""
import errno
import os
import socket
import stat
import struct
import subprocess

import harness as h


def set_xattr(path, name, value, **how):
    try:
        os.setxattr(path, name, value, **how)
    except OSError as e:
        if e.errno not in (errno.ENOTSUP, errno.EPERM):
            raise


def set_default_acl(path):
    """A default ACL for the directory; False: the file system has none."""
    parts = [(1, 7, -1), (2, 7, 1234), (4, 5, -1), (16, 7, -1), (32, 5, -1)]  # owner, user 1234, group, mask, others
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *part) for part in parts)
    try:
        os.setxattr(path, "system.posix_acl_default", acl)
    except OSError:
        return False
    return True


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
