#!/usr/bin/env python3
"""Random trees to the host and over what random changes left of them (row E5): judged by rsync and by a walk of our own; --verify finds a difference
when there is one. And a part of /usr.

    test_random.py ROUNDS
"""
import os
import random
import shutil
import stat
import sys

sys.path.insert(0, os.path.join(os.environ["LINKFS_SOURCE"], "tests/cli"))
import harness as h  # pylint: disable=wrong-import-position
from trees import compare, describe, set_xattr  # pylint: disable=wrong-import-position

ROUNDS = int(sys.argv[1]) * (10 if os.environ.get("LINKFS_LONG") == "1" else 1)
SEED = int(os.environ.get("LINKFS_SEED", "1"))
NAMES = ["a", "b", "c", "d", "-e", "f f", "g\n", "\xe4", "h" * 200, "i'"]


class Tree:
    def __init__(self, top, rng):
        self.top, self.rng = top, rng

    def entries(self):
        dirs, others = [self.top], []
        for base, below, files in os.walk(self.top):
            for name in below + files:
                path = f"{base}/{name}"
                (dirs if stat.S_ISDIR(os.lstat(path).st_mode) else others).append(path)
        return sorted(dirs), sorted(others)

    def content(self, path):
        with open(path, "r+b" if os.path.exists(path) else "wb") as f:
            for _ in range(self.rng.choice([0, 1, 1, 2, 5])):
                f.seek(self.rng.randrange(0, self.rng.choice([100, 5000, 1 << 20])))
                f.write(self.rng.randbytes(self.rng.choice([1, 3000, 100000])))
            if self.rng.random() < 0.2:
                f.truncate(self.rng.randrange(1 << 20))

    def new(self, path, others):
        kind = self.rng.choice(["file", "file", "file", "dir", "dir", "link", "link", "symlink", "fifo", "device"])
        files = [p for p in others if os.path.lexists(p)]
        if kind == "file":
            self.content(path)
        elif kind == "dir":
            os.mkdir(path)
        elif kind == "link" and files:
            os.link(self.rng.choice(files), path, follow_symlinks=False)
        elif kind == "symlink":
            os.symlink(self.rng.choice(["a", "../b", "/none", "x" * 1000]), path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device" and h.ROOT:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, self.rng.randrange(3, 9)))

    def attribute(self, path):
        st = os.lstat(path)
        what = self.rng.choice(["mode", "time", "owner", "xattr", "noxattr"])
        if what == "mode" and not stat.S_ISLNK(st.st_mode):
            os.chmod(path, self.rng.choice([0o700, 0o755, 0o644, 0o711, 0o4755, 0o1777]) | (0o700 if stat.S_ISDIR(st.st_mode) or not h.ROOT else 0))
        elif what == "time":
            ns = self.rng.randrange(2 * 10**18)
            os.utime(path, ns=(ns, ns), follow_symlinks=False)
        elif what == "owner" and h.ROOT:
            os.chown(path, self.rng.randrange(1, 5), self.rng.randrange(1, 5), follow_symlinks=False)
        elif what == "xattr" and (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode)) and os.access(path, os.W_OK):
            set_xattr(path, "user." + self.rng.choice("xyz"), self.rng.randbytes(self.rng.choice([0, 1, 500])))
        elif what == "noxattr" and stat.S_ISREG(st.st_mode) and os.access(path, os.W_OK):
            for name in os.listxattr(path):
                if name.startswith("user."):
                    os.removexattr(path, name)

    def change(self):
        dirs, others = self.entries()
        what = self.rng.choice(["new", "new", "new", "attribute", "attribute", "content", "remove", "rename", "replace"])
        path = f"{self.rng.choice(dirs)}/{self.rng.choice(NAMES)}"
        if what == "new" and not os.path.lexists(path):
            self.new(path, others)
        elif what == "attribute":
            self.attribute(self.rng.choice(dirs + others))
        elif what == "content" and others:
            path = self.rng.choice(others)
            if stat.S_ISREG(os.lstat(path).st_mode) and os.access(path, os.W_OK):
                self.content(path)
        elif what == "remove" and len(dirs) + len(others) > 10:
            path = self.rng.choice(dirs[1:] + others)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        elif what == "rename" and others and not os.path.lexists(path):
            os.rename(self.rng.choice(others), path)
        elif what == "replace" and others:
            path = self.rng.choice(others)
            os.unlink(path)
            self.new(path, [p for p in others if p != path])


def differs(one, other):
    """What --verify judges: all but holes."""
    def cut(facts):
        return {path: {k: v for k, v in fact.items() if k != "segments"} for path, fact in facts.items()}
    return cut(one) != cut(other)


def rsync(source, dest):
    if not shutil.which("rsync") or not h.ROOT:
        return ""
    return h.execute(["rsync", "-aHAXn", "--delete", "--itemize-changes", "--checksum", source + "/", dest + "/"]).out


def one_round(base, volume, rng, n):
    source, dest = base + "/source", f"{base}/dest"
    tree = Tree(source, rng)
    for _ in range(rng.choice([5, 30, 60])):
        tree.change()
    snapshot = f"s{n}"
    h.must("rm", "-r", "-f", volume("/t"))
    h.must("import", "-T", source, volume("/t"))
    h.must("snapshot", "create", volume(), snapshot)
    at = f"{volume.path}@{snapshot}:/t"
    want = describe(source)
    # What is there: what an earlier round left, and changed at random.
    changes = rng.choice([0, 1, 1, 3, 20])
    if n == 0 or rng.random() < 0.3:
        shutil.rmtree(dest, ignore_errors=True)
        h.must("restore", "-q", at, dest)
    for _ in range(changes):
        Tree(dest, rng).change()
    before = describe(dest)
    result = h.linkfs("restore", "--verify", at, dest)
    wrong = []
    if (result.rc != 0) != differs(before, want) or (result.rc == 1) != (result.out != ""):
        wrong.append(f"round {n}: verify says {result}")
    dry = h.linkfs("restore", "--dry-run", "--overwrite", "--delete", at, dest)
    if describe(dest) != before or dry.rc != 0:
        wrong.append(f"round {n}: a dry run changed something or failed: {dry}")
    result = h.linkfs("restore", "--overwrite", "--delete", at, dest)
    got = describe(dest)
    if result.rc != 0 or differs(got, want):
        wrong.append(f"round {n}: {result} " + "; ".join(f"{k}: {got.get(k)}, not {want.get(k)}" for k in set(got) | set(want) if got.get(k) != want.get(k))[:2000])
    difference = rsync(source, dest)
    if difference:
        wrong.append(f"round {n}: rsync: {difference}")
    if h.linkfs("restore", "--verify", at, dest).rc != 0:
        wrong.append(f"round {n}: verify finds something after it")
    again = h.linkfs("restore", "--overwrite", "--delete", at, dest).out
    if not again.startswith("0 restored") or "replaced" in again or "removed" in again:
        wrong.append(f"round {n}: again: {again}")
    fresh = f"{base}/fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    h.must("restore", "-q", at, fresh)
    if describe(fresh) != want:
        wrong.append(f"round {n}: restored to a new place it is not the same")
    return wrong


def main():
    print(f"# seed {SEED}", flush=True)
    rng = random.Random(SEED)
    base = h.make_dir()
    volume = h.Volume(base)
    os.mkdir(base + "/source")
    wrong = []
    for n in range(ROUNDS):
        wrong += one_round(base, volume, rng, n)
        if len(wrong) > 3:
            break
    h.equal(wrong, [], f"{ROUNDS} random trees: restored over what was changed they are the same, and verify tells", *wrong)
    h.equal(h.linkfs("check", volume.path).rc, 0, "the volume is clean")

    part = next((p for p in ("/usr/share/zoneinfo", "/usr/share/perl5", "/usr/lib/python3", "/usr/include") if os.path.isdir(p)), None)
    if not part:
        h.skip("a part of /usr", "none of the usual is there")
    else:
        h.must("import", "-T", part, volume("/usr"))
        h.must("snapshot", "create", volume(), "usr")
        h.must("restore", f"{volume.path}@usr:/usr", base + "/usr")
        compare(describe(base + "/usr"), describe(part), part + " is the same")
        h.equal(rsync(part, base + "/usr"), "", "rsync finds no difference")
    h.done()


main()
