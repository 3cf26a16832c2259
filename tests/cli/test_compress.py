#!/usr/bin/env python3
"""linkfs compress and property compression (row E10), offline, live, and on paths in the mount; there also what programs that write in small
pieces leave.

    test_compress.py offline|live|mount
"""
import json
import os
import sys
import time

import harness as h

FACE = sys.argv[1]
TEXT = b"".join(b"line %d of a text that says the same again and again\n" % i for i in range(20000))


def settings(base, volume, place):
    h.must("mkdir", place("/d"))
    h.put(base + "/old", TEXT)
    h.must("import", base + "/old", volume("/"))
    h.equal(h.must("compress", "show", place("/d")).out, f"{place('/d')}: inherit\n", "nothing is said at first")
    out = h.must("compress", "show", place("/old")).out
    h.ok(out.startswith(f"{place('/old')}: inherit, 1.1M in 1.1M (1") and out.count("\n") == 1, "nor compressed", out)
    h.equal(h.must("compress", "-v", "on", place("/d")).out, f"'{place('/d')}': on now\n", "on -v tells")
    h.equal(h.must("compress", "-v", "on", place("/d")).out, "", "and once")
    h.must("mkdir", place("/d/e"))
    h.must("cp", place("/old"), place("/d/e/new"))
    got = json.loads(h.must("compress", "--json", "show", place("/d/e/new")).out)[0]
    h.equal((got["compress"], got["type"], got["size"]), ("on", "file", len(TEXT)), "what is made in it is so")
    h.must("compress", "-R", "off", place("/d"))
    h.equal(h.must("compress", "show", place("/d/e")).out, f"{place('/d/e')}: off\n", "-R takes what is there")
    h.must("compress", "-R", "inherit", place("/d"))
    h.equal(h.must("compress", "show", place("/d/e")).out, f"{place('/d/e')}: inherit\n", "inherit takes it back")


def now(base, volume, place):
    got = json.loads(h.must("compress", "--json", "now", place("/old")).out)[0]
    h.equal((got["saved"], got["changed"]), (0, False), "what a copy shares is left alone: it would be there twice")
    h.must("rm", place("/d/e/new"))
    got = json.loads(h.must("compress", "--json", "now", place("/old")).out)[0]
    h.ok(got["saved"] > len(TEXT) // 2 and got["stored"] < len(TEXT) // 4 and got["changed"], "now compresses what is there", got)
    h.equal(h.must("cat", place("/old")).out, TEXT.decode(), "which is as it was")
    again = h.must("compress", "-v", "now", place("/old")).out
    h.ok(again.startswith("0 saved; 1 file, 1.1M in "), "once", again)
    h.must("set", volume.path, "compression=zstd:9")
    h.equal(h.must("get", volume.path, "compression").out, "zstd:9\n", "the volume's property")
    h.must("import", base + "/old", volume("/d"))
    got = json.loads(h.must("compress", "--json", "-R", "show", place("/d")).out)
    stored = {e["path"]: e.get("stored", 0) for e in got}
    h.ok(0 < stored[place("/d/old")] < len(TEXT) // 4, "what is imported is compressed", got)
    h.must("set", volume.path, "compression=none")


def wrong(base, volume, place):
    for words, message in ((["maybe", place("/d")], "'maybe' is none of on, off, inherit, show and now"),
                           (["-l", "20", "now", place("/d")], "'20' is no level from 1 to 19"),
                           (["-l", "3", "on", place("/d")], "a level is for 'now'")):
        result = h.linkfs("compress", *words)
        h.ok(result.rc == 2 and message in result.err, f"wrong usage: {message}", result)
    h.must("ln", "-s", "nowhere", place("/s"))
    result = h.linkfs("compress", "on", place("/s"), place("/old"))
    h.ok(result.rc == 1 and "No such file or directory" in result.err, "a dangling link is said to be one", result)
    h.ok(h.must("compress", "show", place("/old")).out.startswith(f"{place('/old')}: on,"), "and the rest is done")
    result = h.linkfs("set", volume.path, "compression=zstd:99")
    h.ok(result.rc == 1 and "none, zstd or zstd:LEVEL" in result.err, "a level that there is not", result)


def programs(volume):
    """In the mount: a log, line by line, and a file of many small writes."""
    h.must("set", volume.path, "compression=zstd")
    log = volume.mnt + "/log"
    with open(log, "wb", buffering=0) as f:
        for i in range(3000):
            f.write(b"line %d of a log, with the same words in each\n" % i)
    size = os.stat(log).st_size
    for _ in range(100): # close(2) does not wait for it
        if os.stat(log).st_blocks * 512 < size // 4:
            break
        time.sleep(0.1)
    h.ok(os.stat(log).st_blocks * 512 < size // 4, "a log is compressed, its end when it is closed", os.stat(log))
    with open(log, "rb") as f:
        lines = f.read().split(b"\n")
    h.ok(len(lines) == 3001 and lines[2999] == b"line 2999 of a log, with the same words in each", "and has its lines")
    with open(log, "r+b") as f:
        f.seek(70000)
        f.write(b"in the middle")
    with open(log, "rb") as f:
        f.seek(69990)
        got = f.read(30)
    h.ok(got[10:23] == b"in the middle", "a write into it", got)


def main():
    base, volume = h.begin(FACE)
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    settings(base, volume, place)
    now(base, volume, place)
    wrong(base, volume, place)
    if FACE == "mount":
        programs(volume)
        volume.umount()
    h.must("check", "--data", volume.path)
    h.done()


main()
