#!/usr/bin/env python3
"""linkfs diff (E3): on a volume that nobody owns, on a mounted one, and by paths in the mount."""
import json
import mmap
import os
import sys

import harness as h

FACE = sys.argv[1]


class Trees:
    """How the face names the trees of a volume: a snapshot's, or today's."""

    def __init__(self, volume):
        self.volume = volume

    def at(self, snapshot=None, path=None):
        if FACE == "mount":
            root = self.volume.mnt + (f"/.snapshots/{snapshot}" if snapshot else "")
            return root + (path if path else "")
        return self.volume.path + (f"@{snapshot}" if snapshot else "") + (":" + path if path else "")


def snapshot(volume, name):
    h.must("snapshot", "create", "-q", volume.path, name)


def write(base, volume, path, content, *, new=False):
    """Content into a file in place, or into a new one."""
    h.put(base + "/content", content)
    if new:
        h.must("rm", volume(path))
    h.must("cp", base + "/content", volume(path))


def build(base, volume):
    src = base + "/src"
    for d in ("a/deep/er", "b", "gone/sub", "moved/in", "odd"):
        os.makedirs(f"{src}/{d}")
    for name in ("a/one", "a/two", "a/deep/er/three", "b/same", "gone/sub/x", "moved/in/y", "moved/in/z", "perm", "save", "type", "stays"):
        h.put(f"{src}/{name}", name.encode() * 100)
    h.put(src + "/big", b"b" * 300000)
    os.link(src + "/a/one", src + "/b/other")
    os.link(src + "/a/two", src + "/b/two")
    os.symlink("a/one", src + "/link")
    for name in (b"new\nline", b"tab\there", b"\xff\xfe", b"quo'te \"s"):
        h.put(src.encode() + b"/odd/" + name, b"x")
    h.must("import", "-T", src, volume("/t"))
    h.must("ln", "-s", "--track", volume("/t/a/one"), volume("/t/tracked"))
    snapshot(volume, "one")


def change(base, volume):
    write(base, volume, "/t/a/deep/er/three", b"other")           # content
    write(base, volume, "/t/big", b"b" * 200000 + b"c" + b"b" * 99999)
    h.must("chmod", "600", volume("/t/perm"))                     # mode
    h.must("touch", "-d", "2001-01-01", volume("/t/stays"))       # mtime
    h.must("rm", "-r", volume("/t/gone"))
    h.must("mv", volume("/t/moved"), volume("/t/elsewhere"))      # and what lies in it is not told
    write(base, volume, "/t/elsewhere/in/z", b"z")                # but what changed there is
    h.must("mv", volume("/t/a/two"), volume("/t/a/2"))            # one of two names
    h.must("ln", volume("/t/a/one"), volume("/t/b/third"))        # a name more
    h.must("rm", volume("/t/b/other"))                            # and one less: a rename of one name
    h.must("ln", volume("/t/b/same"), volume("/t/b/same2"))
    write(base, volume, "/t/save", b"saved", new=True)            # another file
    h.must("rm", volume("/t/type"))
    h.must("mkdir", volume("/t/type"))
    h.must("touch", volume("/t/type/inside"))
    h.must("ln", "-sfn", "a/2", volume("/t/link"))
    h.must("mkdir", volume("/t/new"))
    h.must("touch", volume("/t/new/file"))
    h.must("rm", volume("/t/odd/new\nline"))
    h.must("mv", volume("/t/odd/tab\there"), volume("/t/odd/to\tthere"))


WANT = """\
Mct	/t/a/deep/er/three
R	/t/a/two	/t/a/2
Al	/t/b/same2
R	/t/b/other	/t/b/third
Mct	/t/big
R	/t/moved	/t/elsewhere
Mct	/t/elsewhere/in/z
D	/t/gone
D	/t/gone/sub
D	/t/gone/sub/x
Mict	/t/link
A	/t/new
A	/t/new/file
D	/t/odd/new
line
R	/t/odd/tab	here	/t/odd/to	there
Mp	/t/perm
Mict	/t/save
Mt	/t/stays
Ti	/t/type
A	/t/type/inside
"""


def expected(base):
    """As from the command's rules: paths sorted by their bytes, of what was renamed by the new one."""
    lines = WANT.replace("odd/new\nline", "odd/new\0line").splitlines()
    def key(line):
        path = line.split("\t/t/")[-1]
        return path.encode()
    return [line.replace("\0", "\n") for line in sorted(lines, key=key)]


def forward(base, volume, trees):
    one, now = trees.at("one"), trees.at()
    got = h.must("diff", one, now)
    h.equal(got.out, "".join(line + "\n" for line in expected(base)), "what changed since", got)
    snapshot(volume, "two")
    h.equal(h.must("diff", one, trees.at("two")).out, got.out, "the same between two snapshots")
    h.equal(h.must("diff", one).out, got.out, "and with one operand")
    h.equal(h.must("diff", trees.at("two"), now).out, "", "nothing changed since the second")
    h.equal(h.must("diff", one, one).out, "", "nor between one and itself")
    h.equal(h.must("diff", "--name-status", one, now).out, got.out, "--name-status is what it does")
    names = h.must("diff", "--name-only", one, now).out
    h.equal(names, "".join("/t/" + line.split("\t/t/")[-1] + "\n" for line in expected(base)), "--name-only")
    fields = h.must("diff", "-z", one, now).raw.split(b"\0")
    h.ok(fields[-1] == b"" and b"/t/odd/new\nline" in fields and b"/t/odd/to\tthere" in fields, "-z", fields)
    i = fields.index(b"/t/odd/tab\there")
    h.equal(fields[i - 1:i + 2], [b"R", b"/t/odd/tab\there", b"/t/odd/to\tthere"], "a rename has both paths")
    for argv, rc in ((("--exit-code", one, now), 1), (("-q", one, now), 1), (("--quiet", now, one), 1), (("--exit-code", one, one), 0), (("-q", one, one), 0), ((one, now), 0)):
        h.equal(h.linkfs("diff", *argv).rc, rc, "exit status of " + " ".join(a for a in argv if a.startswith("-")))
    h.equal(h.linkfs("diff", "-q", one, now).out, "", "-q is silent")
    # Nothing was changed by asking.
    h.equal(h.must("diff", one, now).out, got.out, "and once more")


def backward(trees):
    back = h.must("diff", trees.at("two"), trees.at("one")).out.replace("odd/new\nline", "odd/new\0line").splitlines()
    h.equal(len(back), len(WANT.replace("odd/new\nline", "").splitlines()), "as many changes backwards")
    swapped = {"A": "D", "D": "A"}
    want = []
    for line in WANT.replace("odd/new\nline", "odd/new\0line").splitlines():
        status, *paths = line.split("\t/t/")
        status = swapped.get(status[0], status[0]) + status[1:]
        paths = ["/t/" + p for p in (reversed(paths) if status[0] == "R" else paths)]
        want.append("\t".join([status] + paths))
    # What was changed in a renamed directory has the path of then.
    want = [line.replace("Mct\t/t/elsewhere", "Mct\t/t/moved") for line in want]
    h.equal(sorted(back), sorted(want), "each of them the other way round")


def as_json(trees):
    rows = json.loads(h.must("diff", "--json", trees.at("one"), trees.at()).raw)
    by_path = {r["path"]: r for r in rows}
    h.equal([r["path"] for r in rows], sorted((r["path"] for r in rows), key=lambda p: p.encode("utf-8", "surrogateescape")), "--json, in order")
    added = by_path["/t/b/same2"]
    h.equal((added["status"], added["what"], added["before"]["nlink"], added["after"]["nlink"], added["old_path"]), ("added", ["links"], 1, 2, None), "a name more: link counts")
    h.equal(added["before"]["ino"], added["after"]["ino"], "one file, one number")
    renamed = by_path["/t/elsewhere"]
    h.equal((renamed["status"], renamed["old_path"], renamed["what"]), ("renamed", "/t/moved", []), "renamed")
    h.equal((by_path["/t/new"]["before"], by_path["/t/new"]["after"]["type"]), (None, "directory"), "made")
    h.equal((by_path["/t/gone"]["after"], by_path["/t/gone"]["status"]), (None, "removed"), "removed")
    mode = by_path["/t/perm"]
    h.equal((mode["what"], mode["before"]["mode"], mode["after"]["mode"]), (["mode"], "0644", "0600"), "modes before and after")
    other = by_path["/t/save"]
    h.equal((other["status"], other["what"]), ("modified", ["file", "content", "mtime"]), "another file of the name")
    h.ok(other["before"]["ino"] != other["after"]["ino"], "of two numbers", other)
    kind = by_path["/t/type"]
    h.equal((kind["status"], kind["before"]["type"], kind["after"]["type"]), ("type", "file", "directory"), "of another type")
    h.equal(json.loads(h.must("diff", "--json", trees.at("one"), trees.at("one")).raw), [], "no difference, in JSON")


def restricted(volume, trees):
    def paths(*argv):
        return h.must("diff", *argv).out.splitlines()
    one = trees.at("one")
    a = ["R\t/t/a/two\t/t/a/2", "Mct\t/t/a/deep/er/three"]
    h.equal(paths(trees.at("one", "/t/a"), trees.at(None, "/t/a")), a, "a directory of both")
    h.equal(paths(one, trees.at(), "/t/a"), a, "a path as the third operand")
    h.equal(paths(one, trees.at(), "t/a/"), a, "from the root, if it does not begin with it")
    h.equal(paths(trees.at("one", "/t/a")), a, "one operand")
    h.equal(paths(one, trees.at(), "/t/perm"), ["Mp\t/t/perm"], "a file")
    renamed = ["R\t/t/moved\t/t/elsewhere", "Mct\t/t/elsewhere/in/z"]
    h.equal(paths(trees.at("one", "/t/moved"), trees.at(None, "/t/elsewhere")), renamed, "a directory that was renamed")
    h.equal(paths(one, trees.at(), "/t/moved"), renamed, "by its old path")
    h.equal(paths(one, trees.at(), "/t/elsewhere"), renamed, "by its new one")
    h.equal(paths(one, trees.at(), "/t/new"), ["A\t/t/new", "A\t/t/new/file"], "one that is new")
    h.equal(paths(one, trees.at(), "/t/gone"), ["D\t/t/gone", "D\t/t/gone/sub", "D\t/t/gone/sub/x"], "one that is gone")
    # What is moved across the border shows both its paths.
    h.must("mv", volume("/t/perm"), volume("/t/b/perm"))
    h.equal([p for p in paths(one, trees.at(), "/t/b") if "perm" in p], ["Rp\t/t/perm\t/t/b/perm"], "moved in, and another mode")
    h.must("mv", volume("/t/b/perm"), volume("/t/perm"))


def refused(base, volume, trees):
    h.must("create", base + "/another")
    one = trees.at("one")
    for argv, error in (((one, trees.at(), "/t/nothing"), "no such file in either"),
                        ((trees.at("one", "/t/a"), trees.at(None, "/t/b")), "is another file than"),
                        ((one, base + "/another:"), "of another volume"),
                        ((base + "/nowhere",), "not inside a linkfs mount")):
        result = h.linkfs("diff", *argv)
        h.ok(result.rc == 2 and error in result.err and result.err.count("\n") == 1 and not result.out, f"refused: {error}", result)
    result = h.linkfs("diff", trees.at("no such"), trees.at())
    h.ok(result.rc == 2 and result.err.count("\n") == 1 and "'no such'" in result.err, "refused: no such snapshot", result)
    result = h.linkfs("diff", trees.at())
    h.ok(result.rc == 2 and "name a snapshot to compare it with" in result.err and not result.out, "refused: now, and nothing to compare it with", result)
    if FACE != "offline":
        result = h.linkfs("diff", volume.mnt + "/.snapshots", volume.mnt)
        h.ok(result.rc == 2 and "name one of them" in result.err and result.err.count("\n") == 1, "refused: all snapshots", result)
    for argv in ((), (one, trees.at(), "/a", "/b"), ("--json", "-z", one), ("--json", "--name-only", one), (trees.at("one", "/t/a"), trees.at(), "/t")):
        h.equal(h.linkfs("diff", *argv).rc, 2, "wrong usage: " + " ".join(argv))


def binds(volume, trees):
    h.must("mkdir", volume("/bound"))
    snapshot(volume, "unbound")
    h.must("bind", volume("/t/a"), volume("/bound"))
    h.equal(h.must("diff", trees.at("unbound"), trees.at()).out, "Mb\t/bound\n", "a bind, and nothing of what it shows")
    snapshot(volume, "bound")
    h.must("chmod", "600", volume("/t/a/one"))
    h.must("chmod", "700", volume("/t/a"))
    h.equal([line for line in h.must("diff", trees.at("bound"), trees.at()).out.splitlines() if not line.startswith("Mp\t/t/b/")],
            ["Mp\t/bound", "Mp\t/t/a", "Mp\t/t/a/one"], "what changed below is told where it is; what a bind shows, there too")
    h.must("unbind", volume("/bound"))
    h.equal([line for line in h.must("diff", trees.at("bound"), trees.at()).out.splitlines() if "bound" in line], ["Mb\t/bound"], "unbound")
    h.must("ln", "--directory", volume("/t/a"), volume("/second"))
    h.equal([line for line in h.must("diff", trees.at("bound"), trees.at()).out.splitlines() if "second" in line and line[0] == "A"], ["Al\t/second"], "a second name of a directory")


def at_once(volume, trees):
    """Beside programs that use the mount: what they wrote is told, mapped pages too."""
    snapshot(volume, "before")
    with open(volume.mnt + "/mapped", "wb") as f:
        f.write(b"." * 10000)
    os.link(volume.mnt + "/mapped", volume.mnt + "/linked")
    os.mkdir(volume.mnt + "/made")
    h.equal(h.must("diff", trees.at("before"), trees.at()).out, "A\t/linked\nA\t/made\nA\t/mapped\n", "made by programs")
    snapshot(volume, "middle")
    st = os.stat(volume.mnt + "/mapped")
    fd = os.open(volume.mnt + "/mapped", os.O_RDWR)
    pages = mmap.mmap(fd, 10000)
    pages[5000:5005] = b"dirty"
    os.close(fd)
    got = h.must("diff", trees.at("middle"), trees.at()).out.splitlines()
    h.equal([line.replace("t", "", 1) if line.startswith("Mct") else line for line in got], ["Mc\t/linked", "Mc\t/mapped"], "written through a mapping, under each name")
    pages.close()
    h.equal(st.st_nlink, 2, "of one file")
    here = os.getcwd()
    os.chdir(volume.mnt)
    h.equal(h.must("diff", ".snapshots/middle", ".").out.splitlines(), got, "with relative paths in the mount")
    h.equal(h.must("diff", ".snapshots/middle/mapped").out.splitlines(), got[1:], "of one file")
    h.equal(h.must("ls", ".snapshots/middle").out.split() == sorted(os.listdir(".")), True, "ls of .snapshots/NAME")
    h.equal("No such file" in h.linkfs("ls", ".snapshots/none").err, True, "of none")
    os.chdir(here)


def main():
    base, volume = h.begin(FACE)
    trees = Trees(volume)
    build(base, volume)
    change(base, volume)
    forward(base, volume, trees)
    backward(trees)
    as_json(trees)
    restricted(volume, trees)
    refused(base, volume, trees)
    binds(volume, trees)
    if FACE != "offline":
        at_once(volume, trees)
        volume.umount()
    h.must("check", "--data", volume.path)
    h.done()


main()
