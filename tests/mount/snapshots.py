#!/usr/bin/env python3
"""Snapshots through a mount (E1, E2): of a tree that is changed at random, each beside a copy on the host that rsync made at that moment. What
rsync, tar, cp and find see of them, that none takes a file of a snapshot for one of the live tree or of another snapshot, deletions of several at
once beside a writer, and the death of the daemon in the middle of them.

    snapshots.py SNAPSHOTS
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.join(os.environ["LINKFS_SOURCE"], "tests/cli"))

COMPARE = ["rsync", "-aHAXn", "--numeric-ids", "--delete", "--checksum", "--itemize-changes"]


def run(*argv, **how):
    return subprocess.run(argv, check=True, capture_output=True, env=h.environment(), **how).stdout


# ---- changes ----------------------------------------------------------------------------------------------------------------------


class Tree:
    """Changes by calls that programs make, and by linkfs's own commands; what cannot be done is not."""

    def __init__(self, rng, top):
        self.rng, self.top = rng, top
        os.mkdir(top)

    def paths(self, want):
        found = [self.top] if want is os.path.isdir else []
        for at, dirs, files in os.walk(self.top):
            found += [os.path.join(at, n) for n in sorted(dirs + files)]
        return [p for p in sorted(found) if want(p) and not (want is not os.path.islink and os.path.islink(p))]

    def some(self, want=os.path.isfile):
        return self.rng.choice(self.paths(want) or [self.top + "/none"])

    def new(self):
        return f"{self.some(os.path.isdir)}/{self.rng.choice('abcdefgh')}"

    def write(self, path, flags=0):
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o644)  # it may be a pipe
        os.pwrite(fd, self.rng.randbytes(self.rng.choice((1, 700, 4096, 30000, 200000))), self.rng.choice((0, 0, 4096, 5000, 1 << 20)))
        os.close(fd)

    def pieces(self, path):
        """So many rows of history, when it is cut off."""
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        size = os.fstat(fd).st_size
        if size > 1 << 21:
            os.ftruncate(fd, 0)
        else:
            for i in range(300):
                os.pwrite(fd, b"piece", i * 8192)
        os.close(fd)

    def save(self, path):
        self.write(path + "~", os.O_CREAT)
        os.rename(path + "~", path)

    def change(self):
        rng, a = self.rng, self.some
        calls = (
            (6, lambda: self.write(self.new(), os.O_CREAT)),
            (2, lambda: os.mkdir(self.new())),
            (3, lambda: os.link(a(), self.new())),
            (2, lambda: os.symlink(os.path.relpath(a(), self.top), self.new())),
            (1, lambda: os.link(a(os.path.islink), self.new(), follow_symlinks=False)),
            (4, lambda: self.write(a())),
            (1, lambda: self.pieces(a())),
            (3, lambda: self.save(a())),
            (2, lambda: os.truncate(a(), rng.choice((0, 10, 5000, 300000)))),
            (3, lambda: os.rename(a(), self.new())),
            (2, lambda: os.rename(a(os.path.isdir), self.new())),
            (3, lambda: os.unlink(a())),
            (1, lambda: os.unlink(a(os.path.islink))),
            (1, lambda: os.rmdir(a(os.path.isdir))),
            (1, lambda: os.chmod(a(), rng.choice((0o600, 0o644, 0o755)))),
            (1, lambda: os.utime(a(), ns=(rng.randrange(10**18), rng.randrange(10**18)))),
            (2, lambda: os.setxattr(a(), "user." + rng.choice("xyz"), rng.randbytes(rng.choice((0, 20, 3000))))),
            (1, lambda: os.mkfifo(self.new())),
            (1, lambda: h.linkfs("ln", "--cow", a(), self.new())),
            (1, lambda: h.linkfs("ln", "-s", "--track", a(), self.new())),
            (1, lambda: h.linkfs("keep-links", "on", a())),
            (1, lambda: h.linkfs("unshare", a())),
            (1, lambda: h.linkfs("dedupe", self.top)),
            (1, lambda: h.linkfs("ln", "--directory", a(os.path.isdir), self.new())),
            (1, lambda: h.linkfs("bind", a(os.path.isdir), a(os.path.isdir))),
        )
        try:
            rng.choices([c[1] for c in calls], [c[0] for c in calls])[0]()
        except OSError:
            pass
        # Binds and directories with several names multiply paths: not for ever.
        if len(self.paths(lambda p: True)) > 300:
            for row in json.loads(h.must("bind", "--list", "--json", self.top).raw or "[]"):
                h.linkfs("unbind", row["path"] if row["path"].startswith("/") and os.path.exists(row["path"]) else self.top + row["path"])
            for path in self.paths(os.path.isdir)[1:4]:
                h.linkfs("rm", "-r", path)


# ---- what programs see ---------------------------------------------------------------------------------------------------------------


def differences(copy, tree):
    return subprocess.run([*COMPARE, tree + "/", copy + "/"], capture_output=True, env=h.environment()).stdout.decode(errors="replace")


def compare(kept, snapshots, name, how="as it was"):
    result = differences(kept[name], f"{snapshots}/{name}/t")
    return h.ok(result == "", f"{name} is {how}", result[:2000])


def identities(top):
    found = set()
    for at, dirs, files in os.walk(top):
        for name in dirs + files + ["."]:
            st = os.lstat(os.path.join(at, name))
            found.add((st.st_dev, st.st_ino))
    return found


def groups(*tops):
    """Files that have a name in more than one of the trees."""
    first, crossed = {}, []
    for top in tops:
        for at, _, files in os.walk(top):
            for name in files:
                st = os.lstat(os.path.join(at, name))
                other = first.setdefault((st.st_dev, st.st_ino), top)
                if other != top:
                    crossed.append(os.path.join(at, name))
    return crossed


def never_the_live_one(base, volume, names):
    mnt, snapshots = volume.mnt, volume.mnt + "/.snapshots"
    trees = ["t"] + [f".snapshots/{n}/t" for n in names]
    seen = [identities(f"{mnt}/{t}") for t in trees]
    h.equal(len(set.union(*seen)), sum(map(len, seen)), "device and inode numbers tell the live tree's files and each snapshot's apart")
    archive = base + "/both.tar"
    run("tar", "-C", mnt, "-cf", archive, *trees)
    with tarfile.open(archive) as tar:
        linked = [(m.name, m.linkname) for m in tar if m.islnk()]
    top = lambda path: max((t for t in trees if path.startswith(t + "/")), key=len, default="")
    h.equal([pair for pair in linked if top(pair[0]) != top(pair[1])], [], "tar of them together links none to another")
    h.ok(any(top(n) for n, _ in linked), "and has hard links", linked[:3])
    for name, argv in (("cp", ["cp", "-a", "--parents", *trees]), ("rsync", ["rsync", "-aHAXR", "--numeric-ids", *trees])):
        out = f"{base}/{name}-both"
        os.mkdir(out)
        run(*argv, out + "/", cwd=mnt)
        h.equal(groups(*(f"{out}/{t}" for t in trees)), [], f"{name} of them together makes no file of two")
        h.equal([differences(f"{mnt}/{t}", f"{out}/{t}") for t in trees], [""] * len(trees), f"and what {name} made is what they are")
        shutil.rmtree(out)
    os.unlink(archive)
    live, then = mnt + "/t/probe", f"{snapshots}/{names[-1]}/t/probe"
    for path in run("find", mnt + "/t", "-samefile", then), run("find", snapshots + "/" + names[-1], "-samefile", live):
        h.equal(path, b"", "find -samefile tells them apart")
    h.equal(sorted(run("find", f"{snapshots}/{names[-1]}/t", "-samefile", then).split()),
            sorted(os.fsencode(f"{snapshots}/{names[-1]}/t/{n}") for n in ("probe", "probe2")), "and finds the names of one")
    h.equal((os.path.samefile(live, then), open(live).read(), run("cat", then)), (False, "now\n", b"then\n"), "each has its content")
    run("cp", then, live)
    h.equal((open(live).read(), os.stat(live).st_nlink, run("cat", then)), ("then\n", 2, b"then\n"), "cp of the old one onto the live one copies it")
    run("rsync", "-a", "--inplace", "--checksum", f"{snapshots}/{names[0]}/t/probe", live)
    h.equal(open(live).read(), "first\n", "so does rsync in place")


def copies(base, kept, snapshots, names):
    for name in names:
        for tool in ("tar", "cp"):
            out = f"{base}/out"
            os.mkdir(out)
            if tool == "tar":
                run("sh", "-c", 'tar --xattrs --acls -C "$0" -cf - . | tar --xattrs --acls -C "$1" -xpf -', f"{snapshots}/{name}/t", out)
            else:
                run("cp", "-a", f"{snapshots}/{name}/t/.", out)
            result = differences(kept[name], out)
            h.ok(result == "", f"what {tool} makes of {name} is the copy of then", result[:2000])
            shutil.rmtree(out)


# ---- deletion ------------------------------------------------------------------------------------------------------------------------


def writer(top):
    """A process that works until it is told to end, and tells of its longest wait, and of how many operations it made."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    longest, count = 0.0, 0
    os.mkdir(top)
    while going:
        for step in (lambda: open(top + "/a", "wb").write(b"x" * 5000), lambda: os.rename(top + "/a", top + "/b"), lambda: os.stat(top + "/b"),
                     lambda: open(top + "/b", "rb").read(), lambda: os.link(top + "/b", top + "/c"), lambda: os.unlink(top + "/c")):
            start = time.monotonic()
            step()
            longest = max(longest, time.monotonic() - start)
            count += 1
    print(json.dumps([longest, count]), flush=True)


def beside_a_writer(volume, what):
    process = subprocess.Popen([sys.executable, __file__, "writer", volume.mnt + "/w"], stdout=subprocess.PIPE)
    h.started.append(process)
    h.wait_for(lambda: os.path.exists(volume.mnt + "/w/b"))
    what()
    process.send_signal(signal.SIGTERM)
    longest, count = json.loads(process.communicate(timeout=60)[0])
    shutil.rmtree(volume.mnt + "/w")
    return f"{longest * 1000:.1f} ms at most, {count} operations"


def delete_at_once(volume, names):
    return [subprocess.Popen([h.BIN, "snapshot", "delete", "--json", volume.path, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for name in names]


def listed(volume):
    return [row["name"] for row in json.loads(h.must("snapshot", "list", "--json", volume.path).raw)]


def owner(volume):
    (info,) = json.loads(h.must("info", "--json", volume.mnt).raw)
    return info["owner"]


def used_of(volume):
    h.must("sync", volume.mnt)
    (info,) = json.loads(h.must("info", "--json", volume.mnt).raw)
    return info["inodes"], info["data_blocks_used"]


def deletions(volume, kept):
    snapshots = volume.mnt + "/.snapshots"
    rng = random.Random(SEED)
    names = sorted(kept)
    rng.shuffle(names)
    half = names[:len(names) // 2]
    before = used_of(volume)[1]
    print("# a writer waits", beside_a_writer(volume, lambda: time.sleep(1)), "while nothing is deleted")
    results = []

    def delete_half():
        for i in range(0, len(half), 6):
            for process in delete_at_once(volume, half[i:i + 6]):
                out, err = process.communicate(timeout=120)
                results.append((process.returncode, err, out))

    print("# a writer waits", beside_a_writer(volume, delete_half), f"while {len(half)} snapshots are deleted, six at once")
    h.equal([r[:2] for r in results], [(0, b"")] * len(half), "several are deleted at once")
    told = sum(row["freed"] for r in results for row in json.loads(r[2]))
    h.equal(told, (before - used_of(volume)[1]) * 4096, "and what they say was freed is what came back")
    h.equal(sorted(listed(volume)), sorted(names[len(half):]), "the others are there")
    for name in half:
        kept.pop(name)
    # The daemon dies in the middle: what is durable is gone, the rest is there whole.
    while len(kept) > 2:
        some = rng.sample(sorted(kept), min(3, len(kept)))
        pid = owner(volume)["pid"]
        processes = delete_at_once(volume, some)
        # Half of them when some of it is durable.
        if rng.random() < 0.5:
            h.linkfs("sync", volume.mnt)
        time.sleep(rng.choice((0.0, 0.01, 0.03, 0.06)))
        os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.communicate(timeout=120)
        h.wait_for(lambda: not h.alive(pid))
        volume.mount()
        left = listed(volume)
        h.ok(set(kept) - set(some) <= set(left) <= set(kept), f"killed: of {len(some)} that were being deleted {len(set(left) & set(some))} are there", left)
        for name in list(kept):
            if name not in left:
                kept.pop(name)
        for name in set(some) & set(left):
            compare(kept, snapshots, name, "whole after a kill")
        if set(some) & set(left):
            h.must("snapshot", "delete", "-q", volume.path, *(set(some) & set(left)))
            h.must("sync", volume.mnt)  # else the next kill may bring them back
            for name in set(some) & set(left):
                kept.pop(name)
    h.must("check", "--data", volume.path)
    for name in kept:
        compare(kept, snapshots, name, "as it was to the end")
    if kept:
        h.must("snapshot", "delete", "-q", volume.path, *kept)


def main():
    count = int(sys.argv[1])
    rng = random.Random(SEED)
    base, volume = h.begin("live")
    for tool in ("rsync", "tar", "cp", "find"):
        if not shutil.which(tool):
            h.skip_all(f"no {tool}")
    snapshots = volume.mnt + "/.snapshots"
    tree = Tree(rng, volume.mnt + "/t")
    kept = {}
    h.put(tree.top + "/probe", b"first\n")
    os.link(tree.top + "/probe", tree.top + "/probe2")
    for i in range(count):
        for _ in range(rng.randrange(4, 25)):
            tree.change()
        # The one that is looked at by name stays what it is.
        for name in ("probe", "probe2"):
            if os.path.lexists(f"{tree.top}/{name}") and not os.path.isdir(f"{tree.top}/{name}"):
                os.unlink(f"{tree.top}/{name}")
        h.put(tree.top + "/probe", b"first\n" if i == 0 else b"then\n")
        os.link(tree.top + "/probe", tree.top + "/probe2")
        name = f"s{i:03}"
        h.must("snapshot", "create", "-q", volume.path, name)
        kept[name] = f"{base}/kept/{name}"
        os.makedirs(kept[name])
        run("rsync", "-aHAX", "--numeric-ids", tree.top + "/", kept[name] + "/")
        if i % 5 == 4:
            compare(kept, snapshots, rng.choice(sorted(kept)))
    h.put(tree.top + "/probe", b"now\n")
    names = sorted(kept)
    h.equal(sorted(os.listdir(snapshots)), names, "all are listed")
    for name in names:
        compare(kept, snapshots, name)
    copies(base, kept, snapshots, rng.sample(names, 3))
    never_the_live_one(base, volume, [names[0], names[len(names) // 2], names[-1]])
    volume.umount()
    h.must("check", "--data", volume.path)
    volume.mount()
    for name in rng.sample(names, 3):
        compare(kept, snapshots, name, "as it was when mounted again")
    deletions(volume, kept)
    for row in json.loads(h.must("bind", "--list", "--json", volume("/")).raw or "[]"):
        h.must("unbind", volume(row["path"]))
    h.must("rm", "-r", volume("/t"))
    h.ok(h.wait_for(lambda: used_of(volume) == (1, 0)), "when all is deleted, nothing is in use", used_of(volume))
    volume.umount()
    h.must("check", "--data", volume.path)
    h.done()


SEED = int(os.environ.get("LINKFS_SEED") or 1)
if sys.argv[1] == "writer":
    writer(sys.argv[2])
else:
    import harness as h
    print(f"# seed {SEED}", flush=True)
    main()
