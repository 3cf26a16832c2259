#!/usr/bin/env python3
"""linkfs keep-links (row D7), offline, live, and on paths in the mount; in the mount, what programs that save by renaming leave of a file
with several names.

    test_keep.py offline|live|mount
"""
import json
import mmap
import os
import shutil
import subprocess
import sys
import threading

import harness as h

FACE = sys.argv[1]


def commands(base, volume):
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    h.put(base + "/text", b"old\n")
    h.put(base + "/new", b"new\n")
    h.must("mkdir", place("/d"))
    h.must("import", base + "/text", base + "/new", volume("/"))
    h.must("ln", place("/text"), place("/d/b"))
    h.equal(h.must("keep-links", "show", place("/text")).out, f"{place('/text')}: off\n", "files do not keep their links unless told")
    h.equal(h.must("keep-links", "-v", "on", place("/text")).out, f"'{place('/text')}': on now (2 names)\n", "on -v tells")
    h.equal(h.must("keep-links", "-v", "on", place("/text")).out, "", "and once")
    h.equal(h.must("keep-links", "show", place("/d/b"), place("/d")).out, f"{place('/d/b')}: on (2 names)\n{place('/d')}: off\n",
            "it is the file's, by any name")
    h.must("mv", "-f", place("/new"), place("/text"))
    h.equal(h.must("cat", place("/d/b")).out, "new\n", "linkfs mv over one name: the other follows")
    h.equal(h.must("stat", "-c", "%h", place("/d/b")).out, "2\n", "both are names of the new file")
    got = json.loads(h.must("keep-links", "--json", "off", place("/text")).out)
    h.equal([(e["path"], e["keep_links"], e["changed"], e["names"]) for e in got], [(place("/text"), False, True, 2)], "off, in JSON")
    h.equal(h.must("keep-links", "-Rv", "on", place("/d")).out,
            f"'{place('/d')}': on now (a directory: what is made in it keeps its links)\n'{place('/d/b')}': on now (2 names)\n", "-R takes what is there")
    h.must("touch", place("/d/fresh"))
    h.equal(h.must("keep-links", "show", place("/d/fresh")).out, f"{place('/d/fresh')}: on (1 name)\n", "a directory hands it on")
    h.must("keep-links", "-R", "off", place("/d"))
    h.must("ln", "-s", "nowhere", place("/s"))
    result = h.linkfs("keep-links", "on", place("/s"), place("/text"))
    h.equal((result.rc, result.err), (1, f"linkfs: keep-links: {place('/s')}: No such file or directory\n"), "a dangling link is said to be one")
    h.equal(h.must("keep-links", "show", place("/text")).out, f"{place('/text')}: on (2 names)\n", "and the rest is done")
    h.must("keep-links", "off", place("/text"))
    if FACE == "mount":
        os.mkfifo(place("/fifo"))
        result = h.linkfs("keep-links", "on", place("/fifo"))
        h.ok(result.rc == 1 and "neither a regular file nor a directory" in result.err, "a FIFO is not saved", result)
    result = h.linkfs("keep-links", "maybe", place("/text"))
    h.ok(result.rc == 2 and "'maybe' is neither on, off nor show" in result.err, "wrong words are wrong usage", result)


class Names:
    """A file with three names, two of them in directories of their own; the first directory keeps links if told."""

    def __init__(self, volume, name, directory_too):
        self.top = f"{volume.mnt}/{name}"
        os.makedirs(self.top + "/x")
        os.makedirs(self.top + "/y")
        if directory_too:
            h.must("keep-links", "-R", "on", self.top)
        self.paths = [self.top + "/a", self.top + "/x/b", self.top + "/y/c"]
        h.put(self.paths[0], b"first\n")
        os.link(self.paths[0], self.paths[1])
        os.link(self.paths[0], self.paths[2])
        # All the kernel can know, it knows.
        for p in self.paths:
            os.stat(p)
            os.listdir(os.path.dirname(p))
        h.must("keep-links", "on", self.paths[0])

    def contents(self):
        return [h.read(p) for p in self.paths]

    def shown(self, content, what):
        stats = [os.stat(p) for p in self.paths]
        listed = [e.inode() for p in self.paths for e in os.scandir(os.path.dirname(p)) if e.path == p]
        h.equal(self.contents(), [content] * 3, what + ": the content, by every name")
        h.equal([(s.st_ino, s.st_nlink) for s in stats], [(stats[0].st_ino, 3)] * 3, what + ": one file with three names")
        h.equal(listed, [stats[0].st_ino] * 3, what + ": and so the directories list it")


def save(path, content):
    h.put(path + "~new", content)
    os.replace(path + "~new", path)


def programs(volume):
    n = Names(volume, "programs", False)
    save(n.paths[1], b"second\n")
    n.shown(b"second\n", "a save by rename")
    subprocess.run(["sed", "-i", "s/second/third/", n.paths[2]], check=True)
    n.shown(b"third\n", "sed -i")
    with open(n.paths[0], "a", encoding="ascii") as f:
        f.write("more\n")
    n.shown(b"third\nmore\n", "a write in place")
    other = volume.mnt + "/programs/other"
    h.put(other, b"moved\n")
    subprocess.run(["mv", other, n.paths[0]], check=True)
    n.shown(b"moved\n", "mv")
    if shutil.which("rsync"):
        h.put(other, b"by rsync, with another size\n")
        subprocess.run(["rsync", "-a", other, n.paths[1]], check=True)
        n.shown(b"by rsync, with another size\n", "rsync")
        os.unlink(other)
    with open(n.paths[0], "r+b") as held, mmap.mmap(held.fileno(), 0) as pages:
        os.stat(n.paths[2])
        save(n.paths[1], b"while it is mapped\n")
        h.equal(os.fstat(held.fileno()).st_nlink, 0, "who has the old file open sees that it has no name")
        pages[0:2] = b"BY"
        pages.flush()
        h.equal(pages[0:2], b"BY", "and writes to it")
    n.shown(b"while it is mapped\n", "a save while the file is mapped")
    os.unlink(n.paths[0])
    os.rename(n.paths[1] + "", n.paths[0])  # vim's backup by rename: the name moves, nothing is replaced
    h.put(n.paths[1], b"apart\n")
    h.equal(n.contents(), [b"while it is mapped\n", b"apart\n", b"while it is mapped\n"], "moving the old file away and making a new one replaces nothing")
    h.must("check", "--data", volume("/"))


def no_moment_between(volume):
    """By whichever name it is saved: once rename(2) has returned, every name has it, and a reader never sees anything else than one whole save."""
    n = Names(volume, "moments", True)
    wrong, stop, seen = [], threading.Event(), [0]

    def reader():
        last = 0
        while not stop.is_set():
            for p in n.paths[1:]:
                number = int(h.read(p).split()[0] or 0)
                if number < last:
                    wrong.append((p, number, last))
                last = number
                seen[0] += 1

    save(n.paths[0], b"0 ")
    thread = threading.Thread(target=reader)
    thread.start()
    saves, late = 600, []
    for i in range(1, saves):
        content = b"%d " % i * (1 + i % 50)
        save(n.paths[i % 3], content)
        if n.contents() != [content] * 3:
            late.append(i)
    stop.set()
    thread.join()
    h.equal(late, [], f"{saves} saves by three names: after each all names had it at once")
    h.ok(seen[0] > 0 and not wrong, f"no reader of other names went back ({seen[0]} reads)", wrong[:5])
    n.shown(b"%d " % (saves - 1) * (1 + (saves - 1) % 50), "in the end")


def live_commands(volume):
    """A command changes the file beside the kernel, which learns of it."""
    n = Names(volume, "live", False)
    h.put(volume.mnt + "/live/new", b"by a command\n")
    h.must("mv", "-f", volume("/live/new"), volume("/live/x/b"))
    n.shown(b"by a command\n", "linkfs mv")
    h.must("keep-links", "off", volume("/live/a"))
    save(n.paths[0], b"alone\n")
    h.equal(n.contents(), [b"alone\n", b"by a command\n", b"by a command\n"], "after off a save takes one name")


def main():
    base, volume = h.begin(FACE)
    commands(base, volume)
    if FACE == "live":
        programs(volume)
        no_moment_between(volume)
        live_commands(volume)
        volume.umount()
        h.must("check", "--data", volume.path)
    h.done()


main()
