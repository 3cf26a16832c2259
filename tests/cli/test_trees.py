#!/usr/bin/env python3
"""Trees into a volume and back (row E8): import, export and cp -a keep everything that stat, getxattr and SEEK_DATA can see, and never write
outside the destination.

    test_trees.py offline|live
"""
import os
import stat
import subprocess
import sys

import harness as h
from trees import compare, describe, make_nasty, set_default_acl

FACE = sys.argv[1]


def main():
    if FACE == "live":
        h.need_fuse()
    base = h.make_dir()
    volume = h.Volume(base)
    source = base + "/source"
    os.mkdir(source)
    make_nasty(source)
    want = describe(source)
    if FACE == "live":
        volume.mount()

    result = h.linkfs("import", "-T", source, volume("/"))
    # A directory that may not be entered or a file that may not be read: told, counted, and the rest is there.
    if h.ROOT:
        h.equal((result.rc, result.err), (0, ""), "import says nothing and succeeds")
    else:
        h.ok(result.rc == 1 and "mode0" in result.err, "import names what it could not read and exits with 1", result)
    out = base + "/out"
    result = h.linkfs("export", volume("/"), out)
    if h.ROOT:
        h.equal((result.rc, result.err), (0, ""), "export says nothing and succeeds")
        compare(describe(out), want, "what came back is what went in: names, links, modes, owners, times, holes, xattrs, ACLs, devices")
    else:
        missing = {b"mode0"}
        compare(describe(out), {k: v for k, v in want.items() if k not in missing}, "what came back is what went in, but what may not be read")
    if FACE == "live":
        compare(describe(volume.mnt), {k: dict(v) for k, v in want.items()} if h.ROOT else describe(volume.mnt), "the mount shows the same")

    # Again over itself: nothing changes.
    result = h.linkfs("import", "-T", source, volume("/"))
    h.equal(result.rc, 0 if h.ROOT else 1, "importing again over the same succeeds", result)
    result = h.linkfs("export", "-T", volume("/"), out)
    # As with cp -a, what lies in a read-only directory of an ordinary user cannot be replaced.
    h.equal(result.rc, 0 if h.ROOT else 1, "exporting again over the same succeeds", result)
    if h.ROOT:
        compare(describe(out), want, "the second round trip changes nothing")

    # cp -a within the volume and to another one.
    h.must("cp", "-a", volume("/links"), volume("/copy"))
    h.must("export", volume("/copy"), base + "/copy")
    links = {os.path.relpath(k, b"links"): v for k, v in want.items() if k == b"links" or k.startswith(b"links/")}
    got = describe(base + "/copy")
    for facts in (links, got):  # the fourth name lies elsewhere
        for fact in facts.values():
            fact.pop("nlink", None)
            if "same file as" in fact:
                fact["same file as"] = len([p for p in fact["same file as"] if b"deep" not in p])
    compare(got, links, "cp -a within the volume keeps links, times, owners")
    other = h.Volume(base, "other")
    h.must("cp", "-a", volume("/links"), other("/links"))
    h.must("export", other("/links"), base + "/copy2")
    got = describe(base + "/copy2")
    for fact in got.values():
        fact.pop("nlink", None)
        if "same file as" in fact:
            fact["same file as"] = len(fact["same file as"])
    compare(got, links, "cp -a between volumes keeps the same")

    # Hard links across several trees of one import.
    for tree in ("t1", "t2"):
        os.mkdir(f"{base}/{tree}")
    open(base + "/t1/x", "wb").close()
    os.link(base + "/t1/x", base + "/t2/y")
    h.must("import", base + "/t1", base + "/t2", volume("/"))
    a = h.must("stat", "-c", "%i %h", volume("/t1/x")).out
    h.equal(h.must("stat", "-c", "%i %h", volume("/t2/y")).out, a, "hard links among several trees are kept")
    h.ok(a.endswith(" 2\n"), "and counted", a)

    # Patterns.
    os.makedirs(base + "/p/sub")
    for name in ("a.o", "a.c", "sub/b.o", "sub/b.c"):
        open(f"{base}/p/{name}", "wb").close()
    h.must("import", "--exclude=*.o", "--exclude", "/sub/b.c", base + "/p", volume("/"))
    h.equal(h.must("ls", "-R", volume("/p")).out.replace(volume.path, "V"), "V:/p:\na.c\nsub\n\nV:/p/sub:\n", "--exclude by name and by path")

    # One file system only.
    if h.ROOT and subprocess.run(["mount", "-t", "tmpfs", "none", base + "/p/sub"], capture_output=True).returncode == 0:
        try:
            open(base + "/p/sub/elsewhere", "wb").close()
            h.must("import", "-x", "-T", base + "/p", volume("/onefs"))
            h.equal(h.must("ls", volume("/onefs")).out, "a.c\na.o\n", "-x stays on one file system")
        finally:
            subprocess.run(["umount", base + "/p/sub"], check=False)
    else:
        h.skip("-x stays on one file system", "needs root and tmpfs")

    escape_tests(base, volume)
    self_tests(base, volume)
    summary_tests(base, volume)
    acl_tests(base, volume)
    h.done()


def escape_tests(base, volume):
    """Symlinks where export writes: never followed (row E5's promise, for export too)."""
    outside = base + "/outside"
    os.mkdir(outside)
    with open(outside + "/victim", "w") as f:
        f.write("untouched")
    h.must("mkdir", "-p", volume("/evil/dir"))
    h.must("cp", "/etc/hostname", volume("/evil/dir/new"))
    h.must("cp", "/etc/hostname", volume("/evil/file"))
    dest = base + "/dest"
    os.mkdir(dest)
    os.symlink(outside, dest + "/dir")
    os.symlink(outside + "/victim", dest + "/file")
    result = h.linkfs("export", "-T", volume("/evil"), dest)
    h.ok(result.rc == 1 and "dest" not in result.out, "a symlink in a directory's place is refused", result)
    h.equal(sorted(os.listdir(outside)), ["victim"], "nothing was made outside the destination")
    with open(outside + "/victim") as f:
        h.equal(f.read(), "untouched", "and nothing written there")
    h.ok(not os.path.islink(dest + "/file") and os.path.isfile(dest + "/file"), "a symlink in a file's place is replaced by the file")


def self_tests(base, volume):
    """A volume inside the tree that is imported into it."""
    inside = base + "/around"
    os.mkdir(inside)
    open(inside + "/file", "wb").close()
    nested = h.Volume(inside, "nested")
    if FACE == "live":
        nested.mount()
    result = h.linkfs("import", inside, nested("/"))
    h.equal(result.rc, 0, "importing a tree that holds the volume succeeds", result)
    h.ok("own directory" in result.err, "the volume's own directory is passed over, and told", result)
    if FACE == "live":
        h.ok("own mount" in result.err, "its own mount is passed over, and told", result)
        got = h.linkfs("import", nested.mnt, nested("/again"))
        h.ok(got.rc != 0 or h.linkfs("ls", nested("/again")).rc == 0, "importing a mount into its own volume does not hang", got)
        nested.umount()
    h.ok("file" in h.must("ls", nested("/around")).out, "the rest is there")


def summary_tests(base, volume):
    import json
    os.makedirs(base + "/s/d")
    with open(base + "/s/f", "wb") as f:
        f.write(b"12345")
    os.link(base + "/s/f", base + "/s/g")
    os.symlink("f", base + "/s/l")
    os.mkfifo(base + "/s/fifo")
    got = json.loads(h.must("import", "--json", base + "/s", volume("/")).out)
    want = {"files": 1, "directories": 2, "symlinks": 1, "special": 1, "hard_links": 1, "bytes": 5, "skipped": 0, "errors": 0}
    h.equal(got, want, "the summary counts")
    h.equal(h.linkfs("import", base + "/s", base + "/none", volume("/")).rc, 1, "a missing tree is exit status 1")
    h.equal(h.linkfs("ls", volume("/s")).out, "d\nf\nfifo\ng\nl\n", "and the others are there")
    h.equal(h.linkfs("import", base + "/s", base + "/nowhere").rc, 1, "import to the host is refused")
    h.equal(h.linkfs("export", base + "/s", base + "/nowhere").rc, 1, "export of the host is refused")
    h.equal(h.linkfs("import", volume("/s"), volume("/q")).rc, 2, "import out of a volume is wrong usage")


def acl_tests(base, volume):
    """What a directory hands on by its default ACL is not what the source has."""
    os.makedirs(base + "/unmarked/d")
    for name in "f", "d/f":
        with open(f"{base}/unmarked/{name}", "wb") as f:
            f.write(b"12345")
    want = describe(base + "/unmarked")
    os.mkdir(base + "/acl")
    if not set_default_acl(base + "/acl"):
        h.skip("default ACLs", "the file system has none")
        return
    h.must("import", "-T", base + "/unmarked", volume("/unmarked"))
    h.must("import", "-T", base + "/acl", volume("/acl"))
    h.must("export", "-T", volume("/unmarked"), base + "/acl/out")
    compare(describe(base + "/acl/out"), want, "into a directory of the host with a default ACL")
    h.must("import", "-T", base + "/unmarked", volume("/acl/in"))
    h.must("cp", "-a", volume("/unmarked"), volume("/acl/again"))
    for name in "in", "again":
        h.must("export", "-T", volume("/acl/" + name), f"{base}/from-{name}")
        compare(describe(f"{base}/from-{name}"), want, f"into one of the volume: {name}")
    h.must("cp", "-r", volume("/unmarked"), volume("/acl/handed"))
    h.must("export", "-T", volume("/acl/handed"), base + "/from-handed")
    h.ok("system.posix_acl_access" in os.listxattr(base + "/from-handed/d/f"), "cp -r takes what it is given")


main()
