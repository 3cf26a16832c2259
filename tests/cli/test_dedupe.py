#!/usr/bin/env python3
"""linkfs dedupe (row E7), offline, live, and on paths in the mount: what it says word for word, its JSON, its rules, and that nothing but space
changes.

    test_dedupe.py offline|live|mount
"""
import json
import mmap
import os
import sys

import harness as h

FACE = sys.argv[1]
BIG = bytes(range(256)) * 4096  # 1 MiB


def host(path, content, mtime=1000000000):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    h.put(path, content)
    os.utime(path, (mtime, mtime))


def commands(base, volume):
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    tree = base + "/tree"
    host(tree + "/a/one", BIG)
    host(tree + "/b/two", BIG)
    host(tree + "/b/three", BIG[:-1] + b"!")
    host(tree + "/b/odd\nname", BIG)
    host(tree + "/small", b"few bytes\n")
    host(tree + "/little", b"few bytes\n", mtime=1111111111)
    host(tree + "/empty", b"")
    host(tree + "/void", b"")
    h.must("import", tree, volume("/"))
    stats = lambda: h.must("stat", "-c", "%n %s %Y %Z %X %h %a", *(place("/tree" + p) for p in ("/a/one", "/b/two", "/b/three", "/small"))).out
    before = stats()
    dry = h.must("dedupe", "--dry-run", place("/tree"))
    h.equal(dry.out, "6 names looked at; 2 files would share 2.0M with an equal one; 2.0M would be freed at least\n", "--dry-run")
    h.equal(h.must("dedupe", "-n", place("/tree")).out, dry.out, "and it did nothing")
    result = h.must("dedupe", "-v", place("/tree"))
    h.equal((result.out.count(" ~ " + place("/tree")), result.out.splitlines()[-1]), (2, "6 names looked at; 2 files share 2.0M with an equal one; 2.0M freed"), "dedupe -v")
    h.equal(stats(), before, "nobody sees a difference")
    h.equal(h.must("cat", place("/tree/b/two")).raw, BIG, "the content is what it was")
    h.equal(h.must("dedupe", place("/tree")).out, "6 names looked at; 0 files share 0 with an equal one; 0 freed\n", "the second time there is nothing to do")
    got = json.loads(h.must("dedupe", "--json", "-n", "--hardlink", place("/tree")).raw)
    h.equal((got["looked_at"], got["groups"], got["names"], got["dry_run"], [g["size"] for g in got["groups_of_files"]]), (6, 1, 2, True, [len(BIG)]),
            "--json --hardlink: small files with other mtimes are not one", got)
    h.equal(len(got["groups_of_files"][0]["same"]), 2, "and each name is in it")
    result = h.must("dedupe", "--hardlink", "--ignore-time", place("/tree"))
    h.equal(result.out, "6 names looked at; 3 names went to another file with equal content; 0 freed\n", "--hardlink --ignore-time")
    inos = h.must("stat", "-c", "%i %h", *(place("/tree" + p) for p in ("/a/one", "/b/two", "/b/odd\nname", "/small", "/little", "/empty", "/void"))).out.split("\n")
    h.equal((len(set(inos[:3])), inos[0].split()[1], inos[3] == inos[4], inos[5] == inos[6]), (1, "3", True, False),
            "equal files are one; empty ones are below the smallest size", inos)
    h.must("dedupe", "--hardlink", "-s", "0", place("/tree/empty"), place("/tree/void"))
    h.equal(len(set(h.must("stat", "-c", "%i", place("/tree/empty"), place("/tree/void")).out.split())), 1, "--minimum-size=0, and files as operands")
    # what the rules keep apart
    for n, change in enumerate((("chmod", "600"), ("touch", "-d", "2001-01-01"))):
        host(base + f"/r{n}/x", BIG + bytes([n]))
        host(base + f"/r{n}/y", BIG + bytes([n]))
        h.must("import", base + f"/r{n}", volume("/"))
        h.must(*change, place(f"/r{n}/y"))
        out = h.must("dedupe", "--hardlink", place(f"/r{n}")).out
        h.equal(out.split("; ")[1], "0 names went to another file with equal content", f"--hardlink after {change[0]}: not one")
        out = h.must("dedupe", "--hardlink", ("--ignore-mode", "--ignore-time")[n], place(f"/r{n}")).out
        h.equal(out.split("; ")[1], "1 name went to another file with equal content", f"--hardlink after {change[0]}, ignored: one")
    for argv, rc, message in (
            (("dedupe", place("/none")), 1, f"linkfs: dedupe: {place('/none')}: No such file or directory\n"),
            (("dedupe", "-s", "much", place("/tree")), 2, "'much' is not a size"),
            (("dedupe", "--threads", "0", place("/tree")), 2, "'0' is no number of threads: 1 to 64"),
            (("dedupe", "--ignore-mode", place("/tree")), 2, "matters only with --hardlink")):
        result = h.linkfs(*argv)
        h.ok(result.rc == rc and message in result.err, " ".join(argv[:2]) + ": told", result)
    if FACE == "offline":
        result = h.must("check", "--data", volume.path)
        h.ok("clean" in result.out, "the volume is whole", result)


def kernel(volume):
    """What the kernel holds of names and attributes is right at once, and what it has not handed over yet is not lost."""
    m = volume.mnt + "/kernel"
    os.mkdir(m)
    for name in ("/a", "/b"):
        with open(m + name, "wb") as f:
            f.write(b"x" * 100000)
    os.stat(m + "/a")
    fd = os.open(m + "/b", os.O_RDWR)
    with mmap.mmap(fd, 100000) as pages:
        pages[50000:50004] = b"mmap"
        out = h.linkfs("dedupe", "--hardlink", "--ignore-time", volume("/kernel"))
        h.ok(out.rc == 1 and "/kernel/b: changed meanwhile, and was left as it is" in out.err, "what changed meanwhile is told", out)
        h.ok(os.stat(m + "/a").st_ino != os.stat(m + "/b").st_ino, "a page that was written through a mapping makes the file another", out)
        h.equal(open(m + "/b", "rb").read()[49999:50005], b"xmmapx", "and is there")
        pages[50000:50004] = b"xxxx"
        pages.flush()
    os.close(fd)
    h.must("dedupe", "--hardlink", "--ignore-time", volume("/kernel"))
    h.equal((os.stat(m + "/a").st_ino, os.stat(m + "/a").st_nlink), (os.stat(m + "/b").st_ino, 2), "the kernel sees one file at once")
    h.equal(open(m + "/b", "rb").read(), b"x" * 100000, "with its content")


def many(base, volume):
    """600 groups of two to four files: what is said is the same, in the same order, however many threads compare."""
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    for n in range(600):
        for copy in range(2 + n % 3):
            host(f"{base}/many/{copy}/f{n}", b"%d." % n * 3000)
    h.must("import", base + "/many", volume("/"))
    said = [h.must("dedupe", "-nv", "--threads", str(threads), place("/many")).out for threads in (1, 2, 7)]
    h.equal((len(said[0].splitlines()), said[1] == said[0], said[2] == said[0]), (1201, True, True), "threads change nothing in what is said")
    h.equal(h.must("dedupe", "-v", "--threads=7", place("/many")).out, said[0].replace("would be freed at least", "freed").replace("would share", "share"), "nor in what is done")
    h.equal(h.must("dedupe", place("/many")).out.split("; ")[1], "0 files share 0 with an equal one", "which is all of it")
    h.must("export", volume("/many"), base + "/back")
    h.equal(h.execute(["diff", "-r", base + "/many", base + "/back"]).out, "", "and no content")


def main():
    base, volume = h.begin(FACE)
    commands(base, volume)
    many(base, volume)
    if FACE == "live":
        kernel(volume)
    h.done()


main()
