#!/usr/bin/env python3
"""linkfs recover: what it says, in text and JSON, its exit statuses, and that what it makes is used like any volume."""
import json
import os
import re

import harness as h


def make(base):
    tree = os.path.join(base, "tree")
    os.makedirs(tree + "/dir/sub")
    with open(tree + "/dir/big", "wb") as f:
        f.write(bytes(range(256)) * 48 + b"tail")
    os.link(tree + "/dir/big", tree + "/also")
    with open(tree + "/dir/sub/small\nfile", "wb") as f:
        f.write(b"small")
    os.symlink("dir/big", tree + "/link")
    os.mkfifo(tree + "/pipe")
    os.setxattr(tree + "/dir", "user.note", b"kept")
    volume = h.Volume(base)
    h.must("import", "-T", tree, volume("/"))
    return tree, volume


def sums(pages, lost, more=""):
    text = f"Database:    {pages} pages, 0 damaged, 0 mended, 0 without a tree; 0 damaged trees\nLog:         0 pages in use\n"
    size = lost if lost else 12297
    human = "5" if lost else "13K"
    return text + (f"Recovered:   2 directories, 2 files, 1 symlinks, 1 special files; 7 names, {size} bytes of content ({human}), "
                   f"1 extended attributes\n") + more


def without_pages(text):
    return re.sub(r"^(Database:    )\d+ pages", r"\1N pages", text, flags=re.M)


def whole(base, tree, volume):
    new = os.path.join(base, "new")
    listed = h.linkfs("recover", "--list", volume.path)
    h.equal((listed.rc, without_pages(listed.out), listed.err), (0, sums("N", 0), ""), "--list of a volume that is well")
    h.ok(not os.path.exists(new), "--list makes nothing")
    done = h.linkfs("recover", volume.path, new)
    h.equal((done.rc, done.out, done.err), (0, listed.out, ""), "the same when it is done")
    out = os.path.join(base, "out")
    h.must("export", "-T", new + ":/", out)
    h.equal(h.execute(["diff", "-r", "--no-dereference", "-x", "pipe", tree, out]).rc, 0, "the tree came back")
    h.equal((os.stat(out + "/also").st_ino, os.getxattr(out + "/dir", "user.note")), (os.stat(out + "/dir/big").st_ino, b"kept"), "with its links and attributes")
    again = h.linkfs("recover", volume.path, new)
    h.equal((again.rc, again.err), (8, f"linkfs: recover: {new} exists; the new volume needs a path of its own\n"), "a new volume that exists")


def damaged(base, volume):
    os.truncate(volume.path + "/data.000000", 0)
    new = os.path.join(base, "new2")
    done = h.linkfs("recover", volume.path, new)
    lost = ("Lost:        0 files, 12292 bytes in 1 ranges, 0 names, attributes of 0 files, 0 extended attributes, 0 snapshots\n")
    # Whichever of its names stands for the file.
    path = "/also" if done.out.startswith("/also") else "/dir/big"
    want = f"{path}: bytes 0 to 12291: content lost, reads as zeros\n" + sums("N", 5, lost)
    h.equal((done.rc, without_pages(done.out), done.err), (1, want, ""), "lost content")
    found = h.must("stat", "-c", "%s %h", new + ":/also").out
    h.equal(found, "12292 2\n", "the file is there, with its size and names")
    h.equal(h.must("cat", new + ":/dir/big").raw, bytes(12292), "and reads as zeros")
    listed = h.linkfs("recover", "--list", "--json", volume.path)
    told = json.loads(listed.raw)
    (problem,) = told["problems"]
    h.equal((listed.rc, problem["what"], problem["path"], problem["offset"], problem["length"]), (1, "range-lost", path, 0, 12292), "in JSON")
    h.equal((told["complete"], told["lost"]["bytes"], told["recovered"]["names"]), (False, 12292, 7), "with the sums")
    h.equal(set(told), {"problems", "complete", "database", "recovered", "lost"}, "and nothing else")


def names(base):
    """A name's page in both trees, so that a line tells of a place in lost+found: the header is destroyed as well."""
    volume = h.Volume(base, "nameless")
    tree = os.path.join(base, "few")
    os.mkdir(tree)
    with open(tree + "/odd name", "wb") as f:
        f.write(b"x" * 10)
    h.must("import", "-T", tree, volume("/"))
    with open(volume.path + "/meta.db", "r+b") as f:
        data = bytearray(f.read())
        for page in range(len(data) // 4096):
            if b"odd name" in data[page * 4096:(page + 1) * 4096] or page == 0:
                data[page * 4096:(page + 1) * 4096] = bytes(4096)
        f.seek(0)
        f.write(data)
    os.unlink(volume.path + "/meta.db-wal")
    h.ok(h.linkfs("ls", volume("/")).rc != 0, "the volume does not open any more")
    done = h.linkfs("recover", volume.path, os.path.join(base, "named"))
    lines = done.out.splitlines()
    h.equal(lines[:2], ["/lost+found/#2: its name is lost", "/lost+found/#2: names missing: 1"], "a file without a name", done)
    h.equal((done.rc, h.must("cat", os.path.join(base, "named") + ":/lost+found/#2").out), (1, "x" * 10), "has its content")


def wrong(base, volume):
    for name, argv, says in (("no operand", [], r"missing operand"), ("no new volume", ["v"], r"missing new volume after 'v'"),
                             ("three operands", ["a", "b", "c"], r"extra operand"), ("a new volume with --list", ["--list", "a", "b"], r"--list makes no new volume"),
                             ("an unknown option", ["--frob", "a", "b"], r"unrecognized option '--frob'")):
        result = h.linkfs("recover", *argv)
        h.ok(result.rc == 16 and re.search(says, result.err) and not result.out, name, result)
    result = h.linkfs("recover", base, base + "/x")
    h.ok(result.rc == 8 and "is not a linkfs volume" in result.err, "no volume", result)
    os.mkdir(base + "/junk")
    with open(base + "/junk/meta.db", "wb") as f:
        f.write(b"\xa5" * 20000)
    result = h.linkfs("recover", base + "/junk", base + "/x")
    h.ok(result.rc == 8 and "no record of a file is left" in result.err and not os.path.exists(base + "/x"), "nothing left", result)
    h.ok(re.search("16 (for )?wrong usage", h.must("recover", "--help").out), "--help tells the statuses")
    usable, why = h.fuse_usable()
    if usable:
        volume.mount()
        result = h.linkfs("recover", volume.path, base + "/y")
        h.ok(result.rc == 8 and volume.mnt in result.err, "a mounted volume is refused, naming the mount", result)
        volume.umount()
    else:
        h.skip("a mounted volume is refused", why)


def main():
    base = h.make_dir()
    tree, volume = make(base)
    whole(base, tree, volume)
    damaged(base, volume)
    names(base)
    wrong(base, volume)
    h.done()


main()
