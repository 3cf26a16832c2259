#!/usr/bin/env python3
"""linkfs backup --dedupe: what was written shares its space with what is equal, before the snapshot, and nothing else changes.

    test_backup_equal.py offline|live|mount
"""
import json
import os
import subprocess
import sys
import time

import harness as h
from backup_world import SETTLE, World, put
from trees import describe

FACE = sys.argv[1]


def equal():
    """--dedupe: what a run wrote shares its space with what is equal, and with nothing else anything happens; earlier snapshots stay as they are."""
    w = World("twins", FACE)
    s = w.source
    big = bytes(range(256)) * 4096 + b"end"
    used = lambda: json.loads(h.must("info", "--json", w.volume.path).out)[0]["data_blocks_used"] * 4096

    def shares(r, name, files, least=0, freed=None):
        d = r["dedupe"]
        h.ok(d and d["files"] == files and d["shared"] >= least and freed in (None, d["freed"]), name, r)
    for d in ("a", "b", "c"):
        os.mkdir(f"{s}/{d}")
    put(s + "/a/one", big)
    put(s + "/b/two", big)
    put(s + "/b/three", big[:-1] + b"!")
    put(s + "/c/small", b"few\n")
    put(s + "/c/little", b"few\n")
    put(s + "/c/empty", b"")
    put(s + "/c/void", b"")
    os.link(s + "/a/one", s + "/c/name")
    for name in ("hole", "gap"):
        with open(f"{s}/c/{name}", "wb") as f:
            f.truncate(1 << 20)
            f.seek(1 << 19)
            f.write(b"middle" * 10000)
    r = w.backup("--dry-run", "--dedupe")
    h.equal((r["dedupe"], r["dry_run"]), (None, True), "a dry run finds nothing equal, as it writes nothing")
    r = w.backup("--dedupe", "--name=first")
    shares(r, "equal files share: large ones, and what is no hole of others", 2, len(big))
    want = describe(s)
    w.same("and each is what it was", "first", want)
    before = used()
    put(s + "/c/three", big)
    put(s + "/c/other", big[:-1] + b"!")
    put(s + "/c/alone", big + b"alone")
    put(s + "/c/lone", big[:-2] + b"on" )
    r = w.backup("--dedupe", "--name=second")
    shares(r, "new files share with those of before", 2, 2 * len(big))
    second = describe(s)
    w.same("the second snapshot is the source", "second", second)
    w.same("the first is what it was", "first", want)
    h.ok(used() - before < 2.5 * len(big), "and what is shared takes no space", before, used())
    r = w.backup("--dedupe")
    shares(r, "where nothing was written nothing is shared", 0, 0, 0)
    time.sleep(SETTLE)
    with open(s + "/c/lone", "r+b") as f:
        f.seek(len(big) - 2)
        f.write(big[-2:])
    r = w.backup("--dedupe", "--name=third")
    shares(r, "a file that became equal in place shares", 1, 1)
    w.same("what its block was is in the snapshot before", "second", second)
    w.same("what it is is in its own", "third")
    # Without: two that are equal stay two, and when a snapshot has them it is no later run's business.
    put(s + "/a/apart", b"apart" * 9000)
    put(s + "/b/apart", b"apart" * 9000)
    h.equal(w.backup()["dedupe"], None, "without the option nothing is looked for")
    shares(w.backup("--dedupe"), "what a snapshot holds already is left alone", 0)
    put(s + "/a/late", b"late" * 9000)
    put(s + "/b/late", b"late" * 9000)
    w.backup("--no-snapshot")
    result = h.linkfs("backup", "--dedupe", "--name=fifth", s, w.dest)
    h.ok(result.rc == 0 and result.out.endswith("\n1 file shares 36K with an equal one; 36K freed\nsnapshot fifth\n"), "what has no snapshot yet is shared by the next run", result)
    put(s + "/b/later", b"late" * 9000)
    put(s + "/b/latest", b"late" * 9000)
    result = h.linkfs("backup", "-q", "--dedupe", s, w.dest)
    h.equal((result.rc, result.out, result.err), (0, "", ""), "--quiet says nothing")
    result = h.linkfs("backup", "-n", "--dedupe", s, w.dest)
    h.ok(result.rc == 0 and "equal" not in result.out, "a dry run says nothing of it", result)
    if FACE == "offline":  # a damaged block of one of two
        result = h.linkfs("check", "--data", w.volume.path)
        h.equal(result.rc, 0, "all data is right", result)
        put(s + "/a/bad", b"bad" * 30000)
        w.backup("--name=sound")
        path = w.volume.path + "/data.000000"
        data = h.read(path)
        at = data.index(b"badbadbad")
        with open(path, "r+b") as f:
            f.seek(at + 10000)
            f.write(b"?")
        put(s + "/b/bad", b"bad" * 30000)
        r = w.backup("--dedupe", "--name=told", rc=1)
        h.ok(r["snapshot"] == "told" and "cannot be read: " in w.said and "check --data" in w.said and r["dedupe"]["files"] == 0, "a damaged file is told, and the snapshot taken", r, w.said)
        h.equal(h.linkfs("cat", w.volume(s + "/b/bad")).raw, b"bad" * 30000, "the new one is not damaged by it")
        h.clean(w.base)
        return
    beside(w)
    w.end()


def beside(w):
    """An owner of a file in the volume writes into it while others come to share what it has."""
    other = w.base + "/other"
    os.mkdir(other)
    content = b"".join(b"%7d\n" % i for i in range(200000))
    put(other + "/mine", content)
    w.backup("--name=mine", sources=[other])
    mine = w.volume.mnt + other + "/mine"
    now, rounds = bytearray(content), 4
    for i in range(rounds):
        for k in range(6):
            put(f"{w.source}/a/new{i}.{k}", bytes(now))
        process = subprocess.Popen([h.BIN, "backup", "-q", "--dedupe", f"--name=beside{i}", w.source, w.dest], env=h.environment())
        writes = 0
        with open(mine, "r+b", buffering=0) as f:
            while process.poll() is None:
                at = (writes * 4099 + i) % (len(now) - 8)
                now[at:at + 8] = b"%7d\n" % (writes + i)
                f.seek(at)
                f.write(now[at:at + 8])
                writes += 1
        h.equal(process.returncode, 0, f"backup beside a writer ({writes} writes)")
        w.same("is the source", f"beside{i}")
        h.ok(h.read(mine) == now, "and what the owner wrote is there")
    h.ok(h.linkfs("cat", f"{w.volume.path}@mine:{other}/mine").raw == content, "the snapshot of before has what it had")


equal()
h.done()
