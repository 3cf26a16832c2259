#!/usr/bin/env python3
"""linkfs unshare and linkfs ln --cow (row D8), offline, live, and on paths in the mount; in the mount the other names and whoever has the
file open or mapped see what they should.

    test_cow.py offline|live|mount
"""
import json
import mmap
import os
import subprocess
import sys

import harness as h

FACE = sys.argv[1]


def commands(base, volume):
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    ino = lambda p: h.must("stat", "-c", "%i %h", place(p)).out.split()
    cat = lambda p: h.must("cat", place(p)).out
    h.put(base + "/text", b"one file\n")
    h.must("import", base + "/text", volume("/"))
    h.must("ln", place("/text"), place("/b"))
    h.must("ln", place("/text"), place("/c"))
    before = ino("/b")
    h.equal(before[1], "3", "three names")
    result = h.must("unshare", "-v", place("/b"))
    after = ino("/b")
    h.equal(result.out, f"'{place('/b')}': inode {after[0]} instead of {before[0]}, which keeps 2 names\n", "unshare -v tells the inodes")
    h.equal((after[1], ino("/text")), ("1", [before[0], "2"]), "the name has an inode of its own, the others keep theirs")
    h.equal(h.must("unshare", "-v", place("/b")).out, f"'{place('/b')}': the only name of inode {after[0]}\n", "a name that is alone stays")
    got = json.loads(h.must("unshare", "--json", place("/c"), place("/b")).out)
    h.equal([(e["path"], e["changed"], e["other_names"]) for e in got], [(place("/c"), True, 1), (place("/b"), False, 0)], "and in JSON")
    h.must("ln", "--cow", place("/text"), place("/copy"))
    h.equal((cat("/copy"), ino("/copy")[1]), ("one file\n", "1"), "ln --cow makes a file of its own")
    result = h.linkfs("ln", "--cow", place("/text"), place("/copy"))
    h.equal((result.rc, result.err), (1, f"linkfs: ln: {place('/copy')}: exists; -f puts the link in its place\n"), "never over what is there")
    h.must("ln", "--cow", "-f", place("/text"), place("/copy"))
    h.must("mkdir", place("/d"))
    h.must("ln", "--cow", place("/text"), place("/b"), place("/d"))
    h.equal(h.must("ls", place("/d")).out, "b\ntext\n", "several into a directory")
    for argv, message in (
            (("unshare", place("/d")), f"linkfs: unshare: {place('/d')}: is a directory: it has one name, or the names share what is in it on purpose\n"),
            (("unshare", place("/none")), f"linkfs: unshare: {place('/none')}: cannot be unshared: No such file or directory\n"),
            (("ln", "--cow", place("/d"), place("/e")), f"linkfs: ln: {place('/d')}: is a directory: --cow copies files\n")):
        result = h.linkfs(*argv)
        h.equal((result.rc, result.err), (1, message), " ".join(argv[:2]) + " is refused with its reason")
    result = h.linkfs("ln", "--cow", "-s", place("/text"), place("/e"))
    h.ok(result.rc == 2 and "exclude each other" in result.err, "--cow and -s are wrong usage", result)


def kernel(volume):
    """What the kernel has of the file is in the copy, and stays with the old inode."""
    m = volume.mnt + "/kernel"
    os.mkdir(m)
    h.put(m + "/a", b"x" * 100000)
    os.link(m + "/a", m + "/b")
    os.link(m + "/a", m + "/c")
    with open(m + "/a", "r+b") as held, mmap.mmap(held.fileno(), 100000) as pages:
        pages[50000:50004] = b"mmap"  # dirty, and nobody has been told
        os.stat(m + "/b")
        h.must("unshare", volume("/kernel/b"))
        h.equal(open(m + "/b", "rb").read()[49999:50005], b"xmmapx", "a mapped page that was dirty is in the copy")
        pages[0:4] = b"more"
        pages.flush()
        h.equal(open(m + "/c", "rb").read(4), b"more", "who has it mapped writes to the old inode")
        h.equal(open(m + "/b", "rb").read(4), b"xxxx", "and not to the copy")
    h.equal([os.stat(m + n).st_nlink for n in ("/a", "/b", "/c")], [2, 1, 2], "counts are right at once")
    h.ok(os.stat(m + "/a").st_ino != os.stat(m + "/b").st_ino, "and inode numbers")
    subprocess.run(["sh", "-c", "echo new >>" + m + "/b"], check=True)
    h.equal(os.path.getsize(m + "/a"), 100000, "an edit through the kernel does not show through")
    h.must("ln", "--cow", m + "/a", m + "/d")
    h.put(m + "/d", b"short")
    h.equal((os.path.getsize(m + "/a"), open(m + "/d").read()), (100000, "short"), "nor does one of a copy")


def main():
    base, volume = h.begin(FACE)
    commands(base, volume)
    if FACE == "live":
        kernel(volume)
    h.done()


main()
