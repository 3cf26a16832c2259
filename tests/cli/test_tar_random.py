#!/usr/bin/env python3
"""Random trees as tar streams (row E8): names, symlink texts and attributes of any bytes, hard links, holes, times before 1970, ACLs; through GNU
tar, bsdtar and linkfs in turn. LINKFS_SEED draws others, LINKFS_LONG=1 more."""
import errno
import os
import random
import shutil
import stat
import subprocess

import harness as h
from trees import compare, describe

seed = int(os.environ.get("LINKFS_SEED", "1"))
rounds = 40 if os.environ.get("LINKFS_LONG") == "1" else 2
print(f"# seed {seed}", flush=True)
draw = random.Random(seed)
TIMES = [0, 1, 10**9, 2**31 * 10**9, 2**33 * 10**9, -(10**9), -86400 * 10**10]


def some_bytes(most, nasty=True):
    n = draw.choice([1, 2, 5, draw.randint(1, most), most])
    kind = draw.randrange(4) if nasty else 0
    if kind == 0:
        return bytes(draw.choice(b"abcXYZ019._-") for _ in range(n))
    if kind == 1:
        text = "".join(draw.choice(["e\u0301", "\u00e9", "\u20ac", "\U0001f600", "a", "\ufb01", "\u1112\u1161"]) for _ in range(n)).encode()[:n]
        return text.decode("utf-8", "ignore").encode() or b"a"
    return bytes(draw.choice([draw.randrange(1, 256), draw.randrange(1, 32), ord("%"), ord("="), ord("\\")]) for _ in range(n))


def name():
    while True:
        text = some_bytes(255).replace(b"/", b"_")
        if text not in (b".", b".."):
            return text


def attributes(path):
    if draw.random() < 0.3:
        for _ in range(draw.randint(1, 3)):
            try:
                os.setxattr(path, b"user." + some_bytes(100), draw.randbytes(draw.choice([0, 1, 10, 1000, 3000])))
            except OSError as e:
                if e.errno not in (errno.ENOSPC, errno.EPERM, errno.ENOTSUP, errno.E2BIG):
                    raise
    if draw.random() < 0.2:
        what = ["-m", f"u:{draw.randrange(1, 99999)}:{draw.choice(['r', 'rw', 'rwx', '-'])},g:{draw.randrange(1, 99999)}:rx,m::{draw.choice(['r', 'rwx', '-'])}"]
        subprocess.run(["setfacl", *what, *(["-d", "-m", "u:5:rwx"] if os.path.isdir(path) else []), "--", path], capture_output=True, check=False)


def set_times(path):
    ns = draw.choice(TIMES) + draw.choice([0, 1, 999999999, draw.randrange(10**9)])
    if -10**9 < ns < 0:  # the fraction of this one second is not kept
        ns = 0
    os.utime(path, ns=(ns, ns), follow_symlinks=False)


def fill(path):
    with open(path, "wb") as f:
        for _ in range(draw.choice([0, 1, 1, 2, 20])):
            f.seek(draw.choice([0, f.tell(), draw.randrange(1 << 16, 1 << 20), draw.randrange(1 << 16, 1 << 26)]))
            f.write(draw.randbytes(draw.choice([1, 511, 512, 4096, 10000])))
        if draw.random() < 0.2:
            f.truncate(draw.randrange(1 << 27))


def make_tree(top):
    dirs, files = [os.fsencode(top)], []
    os.mkdir(top)
    for _ in range(draw.randint(5, 60)):
        path = draw.choice(dirs) + b"/" + name()
        if len(path) > 3500 or os.path.lexists(path):
            continue
        kind = draw.choice(["file", "file", "dir", "dir", "symlink", "link", "link", "fifo", "device"])
        if kind == "dir":
            os.mkdir(path)
            dirs.append(path)
        elif kind == "symlink":
            os.symlink(some_bytes(draw.choice([10, 99, 100, 101, 4095])), path)
        elif kind == "link" and files:
            os.link(draw.choice(files), path, follow_symlinks=False)
            continue
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device" and h.ROOT:
            os.mknod(path, draw.choice([stat.S_IFCHR, stat.S_IFBLK]) | 0o600, os.makedev(draw.choice([0, 1, 259, 4095]), draw.choice([0, 255, 256, 70000, 1048575])))
        else:
            fill(path)
        if kind != "symlink":
            attributes(path)
            os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) & 0o777 | draw.choice([0, 0, 0o4000, 0o2000, 0o1000]) | (0o700 if kind == "dir" else 0o400))
        if h.ROOT and draw.random() < 0.3:
            os.chown(path, draw.choice([1, 65534, 2097152, 2**31]), draw.choice([0, 7, 3000000]), follow_symlinks=False)
        if kind not in ("dir", "fifo", "device"):
            files.append(path)
    for base, some, rest in os.walk(os.fsencode(top), topdown=False):
        for n in some + rest:
            set_times(base + b"/" + n)
    set_times(top)


def less(facts, *keys):
    out = {k: {x: y for x, y in v.items() if x not in keys} for k, v in facts.items()}
    return out


def before_1970(*many):
    """libarchive's own programs take the fraction of a negative time for a positive one."""
    gone = {k for facts in many for k, v in facts.items() if v["mtime"] < 0}
    return [{k: ({x: y for x, y in v.items() if x != "mtime"} if k in gone else v) for k, v in facts.items()} for facts in many]


def main():
    base = h.make_dir()
    bsdtar = shutil.which("bsdtar")
    for i in range(rounds):
        source, volume = f"{base}/s{i}", h.Volume(base, f"v{i}")
        make_tree(source)
        want = describe(source)
        h.must("import", "-T", source, volume("/tree"))
        ours = h.must("export", "--tar", "-T", volume("/tree")).raw
        h.equal(h.must("export", "--tar", "-T", volume("/tree"), LC_ALL="C").raw == ours, True, f"{i}: the locale makes no difference")

        os.mkdir(f"{base}/gnu{i}")
        got = h.execute(["tar", "-C", f"{base}/gnu{i}", "-xpf", "-", "--xattrs", "--xattrs-include=*", "--acls"], stdin=ours)
        h.equal(got.rc, 0, f"{i}: GNU tar reads it", got)
        compare(describe(f"{base}/gnu{i}"), want, f"{i}: GNU tar has all of it, {len(want)} files")

        got = h.linkfs("import", "--tar", "-", volume("/back"), stdin=ours)
        h.equal((got.rc, got.err), (0, ""), f"{i}: linkfs reads it")
        h.must("export", "-T", volume("/back"), f"{base}/back{i}")
        compare(describe(f"{base}/back{i}"), want, f"{i}: linkfs has all of it")
        h.equal(h.must("export", "--tar", "-T", volume("/back")).raw == ours, True, f"{i}: and makes the same archive of it")

        theirs = h.execute(["tar", "--format=pax", "--sparse", "--xattrs", "--acls", "-C", source, "-cf", "-", "."]).raw
        got = h.linkfs("import", "--tar", "-", volume("/pax"), stdin=theirs)
        h.equal((got.rc, got.err), (0, ""), f"{i}: linkfs reads GNU tar's pax")
        h.must("export", "-T", volume("/pax"), f"{base}/pax{i}")
        compare(describe(f"{base}/pax{i}"), want, f"{i}: and has all of it")
        theirs = h.execute(["tar", "--format=gnu", "--sparse", "-C", source, "-cf", "-", "."]).raw
        got = h.linkfs("import", "--tar", "-", volume("/gnu"), stdin=theirs)
        h.equal((got.rc, got.err), (0, ""), f"{i}: linkfs reads GNU tar's own format")
        h.must("export", "-T", volume("/gnu"), f"{base}/gnu2{i}")
        compare(less(describe(f"{base}/gnu2{i}"), "xattr", "mtime"), less(want, "xattr", "mtime"), f"{i}: and has what it can hold")
        if bsdtar:  # which gives files with holes shortened names
            theirs = h.execute([bsdtar, "--format=pax", "--no-read-sparse", "-C", source, "-cf", "-", "."]).raw
            got = h.linkfs("import", "--tar", "-", volume("/bsd"), stdin=theirs)
            h.equal((got.rc, got.err), (0, ""), f"{i}: linkfs reads bsdtar's pax")
            h.must("export", "-T", volume("/bsd"), f"{base}/bsd{i}")
            have, other = before_1970(less(describe(f"{base}/bsd{i}"), "segments"), less(want, "segments"))
            compare(have, other, f"{i}: and has all of it")
        got = h.linkfs("check", volume.path)
        h.equal(got.rc, 0, f"{i}: the volume is whole", got)
        for path in os.listdir(base):
            subprocess.run(["chmod", "-R", "u+rwx", f"{base}/{path}"], capture_output=True, check=False)
            shutil.rmtree(f"{base}/{path}", ignore_errors=True)
    h.done()


main()
