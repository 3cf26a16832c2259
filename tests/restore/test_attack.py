#!/usr/bin/env python3
"""Restoring as root beside somebody who has rights in the destination and swaps all that is in it for ways out (row E5): nothing is ever written
outside, and nothing into directories that were moved away.

    test_attack.py SWAPPER TRIES HOST     HOST: preloaded; it waits for no disk, but between calls
"""
import os
import random
import shutil
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["LINKFS_SOURCE"], "tests/cli"))
import harness as h  # pylint: disable=wrong-import-position
from trees import compare, describe  # pylint: disable=wrong-import-position

SWAPPER, TRIES, HOST = sys.argv[1], int(sys.argv[2]), sys.argv[3]
SEED = int(os.environ.get("LINKFS_SEED", "1"))
UID = 65534


def make_tree(top, owner):
    """The same names with and without rights for the attacker."""
    paths = [top]
    for d in range(3):
        for e in range(3):
            at = f"{top}/d{d}/e{e}"
            os.makedirs(at)
            for f in range(3):
                h.put(f"{at}/f{f}", f"{top} {d} {e} {f}\n".encode() * (1 + 2000 * (f == 2)))
    os.makedirs(top + "/rootdir/sub")
    h.put(top + "/rootdir/file", b"root's\n")
    h.put(top + "/rootdir/sub/file", b"root's too\n")
    h.put(top + "/d0/su", b"#!/bin/true\n")
    for base, dirs, files in os.walk(top):
        paths += [f"{base}/{name}" for name in dirs + files]
    for path in paths:
        os.chown(path, owner, owner)
        os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
    for path in [top + "/rootdir", top + "/rootdir/file", top + "/rootdir/sub", top + "/rootdir/sub/file", top + "/d0/su"]:
        os.chown(path, 0, 0)
    os.chmod(top + "/d0/su", 0o4755)


def make_source(top):
    make_tree(top, UID)
    os.link(top + "/d0/e0/f0", top + "/d1/e1/other")
    os.link(top + "/d0/e0/f0", top + "/d2/other")
    os.link(top + "/d0/su", top + "/d2/e2/su")
    os.link(top + "/rootdir/file", top + "/d1/rootfile")
    os.symlink("f0", top + "/d0/e0/link")
    os.mkfifo(top + "/d1/fifo", 0o622)
    os.mknod(top + "/d1/e0/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.setxattr(top + "/d2/e0/f1", "user.x", b"1")
    os.setxattr(top + "/d1/e2", "trusted.x", b"1")


def facts(top):
    """What may not change: names of a file may come and go elsewhere."""
    found = describe(top)
    for fact in found.values():
        fact.pop("nlink")
    return found


def came_later(away):
    """Entries of directories that were moved away, which were not there at that moment."""
    later, moved = [], set()
    for name in os.listdir(away):
        if not name.endswith(".list"):
            continue
        moved.add(name)
        top = f"{away}/{name[:-5]}"
        with open(f"{away}/{name}", encoding="utf-8", errors="surrogateescape") as f:
            lines = f.read().splitlines()
        closed = {line[:-2] for line in lines if line.endswith("/?")}
        known = {line[:-2] if line.endswith("/?") else line for line in lines}
        for base, dirs, files in os.walk(top):
            where = os.path.relpath(base, top)
            dirs[:] = [d for d in dirs if os.path.normpath(f"{where}/{d}") not in closed]
            for entry in dirs + files:
                path = os.path.normpath(f"{where}/{entry}")
                if path not in known:
                    later.append(f"{top}/{path}")
    return later, moved


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def empty(top):
    for name in os.listdir(top):
        path = f"{top}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)


def main():
    if not h.ROOT:
        h.skip_all("needs root: as an ordinary user there is nobody to be safe from")
    print(f"# seed {SEED}", flush=True)
    rng = random.Random(SEED)
    base = h.make_dir()
    os.chmod(base, 0o755)
    program = base + "/swapper"
    shutil.copy(SWAPPER, program)
    source, dest, outside, away = (f"{base}/{name}" for name in ("source", "dest", "outside", "away"))
    make_source(source)
    make_tree(outside, 0)
    h.put(outside + "/shared", b"everybody may write here\n")
    os.chmod(outside + "/shared", 0o666)
    for path in (dest, away):
        os.mkdir(path)
        os.chown(path, UID, UID)
    volume = h.Volume(base)
    h.must("import", "-T", source, volume("/"))
    h.must("snapshot", "create", volume(), "s")
    before = facts(outside)

    swapper = subprocess.Popen([program, dest, outside, away, str(UID), str(SEED)], stdout=subprocess.PIPE)
    h.started.append(swapper)
    later, moved, statuses, odd = [], set(), {}, []
    for i in range(TRIES):
        how = rng.choice([["--overwrite"], ["--overwrite"], ["--overwrite", "--delete"], ["--merge"], []])
        # Mostly over what is there; sometimes a new place, or the destination's own top.
        place = rng.choice([dest + "/tree", dest + "/tree", f"{dest}/new{i}", dest]) if how else f"{dest}/new{i}"
        result = h.linkfs("restore", *how, f"{volume.path}@s:/", place, timeout=100, LD_PRELOAD=HOST, SLOW_US=rng.choice(["0", "800"]))
        statuses[result.rc] = statuses.get(result.rc, 0) + 1
        if result.rc not in (0, 1) or "Sanitizer" in result.err:
            odd.append(f"try {i}: {how}: {result}")
        if i % 5 == 4 or i == TRIES - 1:
            if facts(outside) != before:
                break
            now, names = came_later(away)
            later += now
            moved |= names
            if len(os.listdir(away)) > 2000 or len(os.listdir(dest)) > 40:
                swapper.send_signal(signal.SIGSTOP)
                h.wait_for(lambda: is_stopped(swapper.pid))
                empty(away)
                empty(dest)
                swapper.send_signal(signal.SIGCONT)
    swapper.terminate()
    out, _ = swapper.communicate(timeout=60)
    counts = dict((k, int(n)) for k, n in (line.split() for line in out.decode().splitlines()))
    print(f"# {TRIES} tries, exit statuses {statuses}, {len(moved)} directories moved away, swaps {counts}", flush=True)

    compare(facts(outside), before, f"{TRIES} restores beside an attacker wrote nothing outside: content, owner, mode, times, names")
    h.equal(later, [], "nor into directories that were moved away")
    h.equal(odd, [], "each ended well, or told what was changed meanwhile")
    h.equal([k for k, n in counts.items() if n < max(3, TRIES // 20)], [], "the attacker had success in every kind of swap", counts)
    h.ok(len(moved) >= TRIES // 10, "directories were moved away", len(moved))
    h.ok(statuses.get(1, 0) > 0, "and was noticed", statuses)

    empty(dest)
    h.must("restore", "--overwrite", f"{volume.path}@s:/", dest)
    compare(describe(dest), describe(source), "without the attacker the destination becomes what was saved")
    h.done()


main()
