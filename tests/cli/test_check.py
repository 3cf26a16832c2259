#!/usr/bin/env python3
"""linkfs check (F2): what it prints, JSON, exit statuses, the copy of the metadata, and the table of problems against docs/CHECK.md;
live: a mount that is being written to is whole at every moment, and is not repaired."""
import json
import os
import subprocess
import sys
import threading

import harness as h

BLOCK = 4096


def flip(volume, text, block=0):
    """Another byte in the first block of data with text, from a block on."""
    path = os.path.join(volume.path, "data.000000")
    with open(path, "r+b") as f:
        data = f.read()
        at = data.index(text, block * BLOCK)
        f.seek(at + 100)
        f.write(bytes([data[at + 100] ^ 1]))


def offline():
    base = h.make_dir()
    v = h.Volume(base)
    r = h.linkfs("check", v.path)
    h.equal((r.rc, r.out, r.err), (0, f"{v.path}: clean; 1 files, 10 records\n", ""), "an empty volume is clean")

    content = b"the block" + b"x" * (3 * BLOCK)
    h.must("cp", "/dev/stdin", v("/file"), stdin=content)
    r = h.must("check", "--data", v.path)
    h.equal(r.out, f"{v.path}: clean; 2 files, 14 records, 16K of data\n", "data is counted")
    h.equal(h.must("check", v("/")).rc, 0, "VOLUME:/ names it too")

    found = json.loads(h.must("check", "--json", "--data", v.path).out)
    h.equal(found, [{"volume": v.path, "findings": [], "problems": 0, "repaired": 0, "left": 0, "files": 2, "records": 14,
                     "data_bytes": 4 * BLOCK, "rounds": 1, "backup": None}], "clean in JSON")

    flip(v, b"the block")
    h.equal(h.linkfs("check", v.path).rc, 0, "without --data the data is not looked at")
    r = h.linkfs("check", "--data", v.path)
    h.equal((r.rc, r.out), (4, "data-checksum: /file: inode 2: block 0 (disk block 0) does not have its checksum\n"
                            f"{v.path}: 1 problem, 0 repaired, 1 left; 2 files, 14 records, 16K of data\n"), "a flipped bit is named")
    r = h.linkfs("check", "--data", "--repair", v.path)
    h.equal(r.rc, 4, "repair leaves it", r)
    h.equal(h.linkfs("cat", v("/file")).rc, 1, "reading it stays an error")
    r = h.linkfs("check", "--json", "--data", "-p", "--drop-data", v.path)
    found = json.loads(r.out)[0]
    h.equal((r.rc, found["left"], found["findings"][0]), (1, 0, {
        "id": "data-checksum", "severity": "loss", "text": "inode 2: block 0 (disk block 0) does not have its checksum",
        "path": "/file", "ino": 2, "block": 0, "repaired": True}), "--drop-data makes it a hole, and says so", r)
    h.equal(h.must("cat", v("/file")).raw, bytes(BLOCK) + content[BLOCK:], "the rest is as it was")
    r = h.linkfs("check", "--data", v.path)
    h.equal(r.rc, 0, "the second run is clean", r)
    copy = found["backup"]
    h.ok(copy and os.path.dirname(copy) == v.path and os.path.basename(copy).startswith("meta.db.repair-"), "the copy lies in the volume", copy)

    # The copy undoes the repair.
    os.unlink(v.path + "/meta.db-wal")
    os.rename(copy, v.path + "/meta.db")
    r = h.linkfs("check", "--data", v.path)
    h.equal((r.rc, r.out.split(":")[0]), (4, "data-checksum"), "put back, the copy is the volume before", r)
    there = sorted(os.listdir(v.path))
    r = h.linkfs("check", "-dp", "--drop-data", "--no-backup", v.path)
    h.equal((r.rc, [n for n in os.listdir(v.path) if "repair" in n]), (1, []), "--no-backup makes none", r, there)

    flip(v, b"xxxx", 1)
    elsewhere = os.path.join(base, "copy")
    r = h.linkfs("check", "-dp", "--drop-data", f"--backup={elsewhere}", v.path)
    h.equal((r.rc, os.path.isfile(elsewhere)), (1, True), "--backup says where", r)
    flip(v, b"xxxx", 2)
    r = h.linkfs("check", "-dp", "--drop-data", f"--backup={elsewhere}", v.path)
    h.equal(r.rc, 8, "what is there is not overwritten, and nothing is changed then", r)
    h.equal(h.linkfs("check", "--data", v.path).rc, 4, "so the damage is still there")

    # A page of the database.
    with open(v.path + "/meta.db", "r+b") as f:
        f.seek(3 * BLOCK + 50)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 255]))
    r = h.linkfs("check", v.path)
    h.equal((r.rc, "fatal" in h.linkfs("check", "--json", v.path).out), (4, True), "a damaged page is found, and fatal", r)
    r = h.linkfs("check", "--repair", v.path)
    h.equal(r.rc, 4, "and nothing is repaired", r)
    with open(v.path + "/meta.db", "r+b") as f:
        f.write(b"nothing of a database" + bytes(4000))
    r = h.linkfs("check", v.path)
    h.equal((r.rc, r.out.split(":")[0]), (4, "unopenable"), "a database that is none is named", r)

    for words, status in (([base], 8), ([base + "/not-there"], 8), (["--drop-data", v.path], 16), (["--nonsense"], 16),
                          (["--backup=x", v.path], 16), (["-p", "--backup=x", "--no-backup", v.path], 16), (["--help"], 0)):
        r = h.linkfs("check", *words)
        h.equal(r.rc, status, f"exit status {status}: check {' '.join(words).replace(base, '')}", r)


def documented():
    rows = json.loads(h.must("check", "--problems", "--json").out)
    h.ok(len(rows) > 70 and len({r["id"] for r in rows}) == len(rows), "problems have ids of their own")
    want = [f"| `{r['id']}` | {r['severity']} | {r['meaning']} | {r['repair'] or 'nothing'} |" for r in rows]
    with open(os.environ["LINKFS_SOURCE"] + "/docs/CHECK.md", encoding="utf-8") as f:
        have = [line.rstrip("\n") for line in f if line.startswith("| `")]
    h.equal(have, want, "docs/CHECK.md has the table of problems", "docs/man/generate problems makes it")
    text = h.must("check", "--problems").out
    h.ok(all(r["id"] in text for r in rows), "they are listed for people too")


def live():
    h.need_fuse()
    base = h.make_dir()
    v = h.Volume(base)
    v.mount()
    stop = threading.Event()

    def write(number):
        name = f"{v.mnt}/{number}"
        count = 0
        while not stop.is_set():
            count += 1
            with open(f"{name}.{count % 7}", "wb") as f:
                f.write(os.urandom(3 * BLOCK + count))
                if count % 3 == 0:
                    f.flush()
                    os.fsync(f.fileno())
            os.makedirs(f"{name}.d/{count % 5}", exist_ok=True)
            os.replace(f"{name}.{count % 7}", f"{name}.d/{count % 5}/f")
            if count % 4 == 0:
                os.link(f"{name}.d/{count % 5}/f", f"{name}.l{count}")
            if count % 11 == 0:
                os.unlink(f"{name}.d/{count % 5}/f")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    try:
        # From when there is content on: a file that was never unlinked since.
        h.ok(h.wait_for(lambda: os.path.exists(f"{v.mnt}/0.l4")), "something was written")
        results = [h.linkfs("check", "--data", place) for place in (v.mnt, v.path, v.mnt) * 4]
    finally:
        stop.set()
        for t in threads:
            t.join()
    bad = [r for r in results if r.rc != 0]
    h.ok(not bad, "a mount that is written to is whole at every moment", *bad[:1])
    h.ok(all("clean" in r.out and "of data" in r.out for r in results), "and is read with its data", results[0])
    r = h.linkfs("check", "--repair", v.mnt)
    h.equal((r.rc, "when it is closed" in r.err), (8, True), "a mount is not repaired", r)
    files = h.must("check", "--json", v.path).out
    v.umount()
    r = h.must("check", "--data", v.path)
    h.ok(json.loads(files)[0]["left"] == 0 and "clean" in r.out, "and is whole when it is unmounted", r)
    r = h.linkfs("mount", "-o", "ro", v.path, v.mnt)
    if h.ok(r.rc == 0, "mounted read-only", r):
        r = h.linkfs("check", "--data", v.mnt)
        h.equal(r.rc, 0, "a read-only mount is checked too", r)
        r = h.linkfs("check", "-p", v.path)
        h.equal(r.rc, 8, "and not repaired", r)
        v.umount()


if sys.argv[1] == "live":
    live()
else:
    offline()
    documented()
h.done()
