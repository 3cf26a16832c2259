#!/usr/bin/env python3
"""Each call that restore makes on the host fails once (P3, row E5): what has its name in the destination is whole, the failure is told, the volume is
clean, and the same command goes on to the end.

    test_faults.py FAILING_HOST FAILING_MALLOC
"""
import errno
import os
import shutil
import stat
import sys

sys.path.insert(0, os.path.join(os.environ["LINKFS_SOURCE"], "tests/cli"))
import harness as h  # pylint: disable=wrong-import-position
from trees import compare, describe, set_xattr  # pylint: disable=wrong-import-position

HOST, MALLOC = sys.argv[1:3]
LONG = os.environ.get("LINKFS_LONG") == "1"


def make_source(top):
    os.makedirs(top + "/a/b")
    h.put(top + "/a/file", os.urandom(10000))
    os.link(top + "/a/file", top + "/a/b/other")
    with open(top + "/a/sparse", "wb") as f:
        f.seek(1 << 20)
        f.write(b"x")
        f.truncate(2 << 20)
    os.symlink("file", top + "/a/link")
    os.mkfifo(top + "/fifo")
    set_xattr(top + "/a/b", "user.x", b"1")
    set_xattr(top + "/a/file", "user.y", b"2")
    if h.ROOT:
        os.chown(top + "/a/link", 12, 34, follow_symlinks=False)
        os.chown(top + "/a", 12, 34)
    os.chmod(top + "/a", 0o750)
    for path in ("/a/b", "/a/link", "/a/file", "/a/sparse", "/fifo", "/a", ""):
        os.utime(top + path, ns=(10**18, 10**18 + 5), follow_symlinks=False)


def judge(out, want, before, rc):
    """What is wrong with a destination that a failure left."""
    wrong = []
    got = describe(out) if os.path.exists(out) else {}
    for path in got:
        fact = dict(got[path])
        name = os.path.basename(path)
        if name.startswith(b".linkfs-"):
            if rc == 0:
                wrong.append(f"{path}: left over")
            continue
        if path not in want:
            wrong.append(f"{path}: should not be there")
            continue
        should, was = dict(want[path]), dict(before.get(path, {}))
        if stat.S_ISDIR(int(should["mode"], 8)):
            # Not done: closed, or one that was there before; or all of it, when what failed lies in it.
            if fact["mode"] in (oct(stat.S_IFDIR | 0o700), was.get("mode")):
                continue
        else:
            for facts in (fact, should, was):  # the other name may be missing
                facts.pop("nlink", None)
                facts.pop("same file as", None)
        if fact not in (should, was):
            wrong.append(f"{path}: {fact}, not {should}")
    if rc == 0 and got != want:
        wrong.append("said to be done, and is not")
    return wrong


def memory(base, at, out, want):
    """Each allocation fails once."""
    stride = 1 if LONG else 29
    shutil.rmtree(out)
    count = int(h.must("restore", at, out, LD_PRELOAD=MALLOC, COUNT_MALLOC="1").err.split()[-1])
    wrong, failures = [], 0
    for number in range(1 + int(os.environ.get("LINKFS_SEED", "1")) % stride, count + 1, stride):
        shutil.rmtree(out, ignore_errors=True)
        result = h.linkfs("restore", at, out, LD_PRELOAD=MALLOC, FAIL_MALLOC=str(number))
        failures += result.rc != 0
        if result.rc not in (0, 1) or (result.rc and not result.err):
            wrong.append(f"{number}: {result}")
        wrong += [f"{number}: {text}" for text in judge(out, want, {}, result.rc)]
    h.ok(not wrong and failures > 10, f"no memory, at {failures} of {count} allocations: what has its name is whole, and it is told", *wrong[:5])


def main():
    base = h.make_dir()
    volume = h.Volume(base)
    source, out = base + "/source", base + "/out"
    os.mkdir(source)
    make_source(source)
    want = describe(source)
    h.must("import", "-T", source, volume("/"))
    h.must("snapshot", "create", volume(), "s")
    at = f"{volume.path}@s:/"
    os.mkdir(base + "/old")
    h.put(base + "/old/fifo", b"a file")
    os.makedirs(base + "/old/a/b")
    h.put(base + "/old/a/file", b"older")
    h.put(base + "/old/a/link", b"older")
    old = describe(base + "/old")

    for how, number in (("new", errno.EIO), ("new", errno.ENOSPC), ("over", errno.EIO)) + ((("over", errno.ENOSPC), ("over", errno.EMFILE)) if LONG else ()):
        wrong, silent, unfinished, nth, failures = [], [], [], 0, 0
        while True:
            nth += 1 if LONG or number == errno.EIO else 3
            shutil.rmtree(out, ignore_errors=True)
            argv = ["restore", at, out]
            if how == "over":
                h.execute(["cp", "-a", base + "/old", out])
                argv.insert(1, "--overwrite")
            result = h.linkfs(*argv, LD_PRELOAD=HOST, FAIL_NTH=str(nth), FAIL_ERRNO=str(number), FAIL_COUNT=base + "/count")
            with open(base + "/count", encoding="ascii") as f:
                if int(f.read()) < nth:
                    break
            if result.rc not in (0, 1, 3) or (result.rc and not result.err) or "Sanitizer" in result.err:
                silent.append(f"{nth}: {result}")
            failures += result.rc != 0
            wrong += [f"{nth}: {text}" for text in judge(out, want, old if how == "over" else {}, result.rc)]
            if result.rc and (nth % 4 == 1 or LONG):
                again = h.linkfs("restore", "--overwrite", "--delete", at, out)
                got = describe(out)
                if again.rc != 0 or got != want:
                    unfinished.append(f"{nth}: {again} {[(k, got.get(k), v) for k, v in want.items() if got.get(k) != v]}")
        name = f"{how}, {errno.errorcode[number]}: "
        h.equal(result.rc, 0, f"{name}without a failure it succeeds, after {nth - 1} failing calls", result)
        h.equal(wrong, [], name + "what has its name is whole", *wrong[:10])
        h.equal(silent, [], name + "failures are told", *silent[:5])
        h.equal(unfinished, [], name + "the same command goes on to the end", *unfinished[:3])
        h.ok(failures > (10 if number != errno.EIO else nth // 3) and nth > 60, f"{name}calls did fail: {failures}, of {nth - 1}")
    compare(describe(out), want, "all is there")
    memory(base, at, out, want)
    h.equal(h.linkfs("check", volume.path).rc, 0, "the volume is clean")
    h.done()


main()
