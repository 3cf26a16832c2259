#!/usr/bin/env python3
"""linkfs du (E2) on a volume that nobody owns, on a mounted one, and by paths inside the mount: what is told of a set is what deleting it
frees. That it is exact for sets of all kinds is api-space-random's."""
import json
import os
import sys

import harness as h

FACE = sys.argv[1]
B = 4096
ODD = "odd\n'\x1b[31m \udcff"


def blocks(size):
    return (size + B - 1) // B * B


def rows(*argv):
    return json.loads(h.must("du", "--json", *argv).raw)


def one(*argv):
    return rows(*argv)[0]


def in_use(volume):
    """What of the disk is in use."""
    h.must("sync", volume("/"))
    return json.loads(h.must("info", "--json", volume.path).raw)[0]["data_blocks_used"] * B


def then(volume, name, path=None):
    """A snapshot, as the face names it; path below it."""
    if FACE == "mount":
        return f"{volume.mnt}/.snapshots/{name}" + (path or "")
    return f"{volume.path}@{name}" + (f":{path}" if path else "")


def build(base, volume):
    src = base + "/src" + FACE
    os.makedirs(src + "/d/e")
    for name, size in (("d/big", 1000000), ("d/e/x", 300000), ("own", 50000), ("d/small", 100)):
        with open(f"{src}/{name}", "wb") as f:
            f.write(os.urandom(size))
    with open(src + "/d/holes", "wb") as f:
        f.truncate(1 << 30)
        f.seek(1 << 20)
        f.write(b"x" * B)
    os.link(src + "/d/big", src + "/d/e/big again")
    os.link(src + "/own", src + "/d/named twice")
    os.symlink("big", src + "/d/link")
    h.must("import", "-T", src, volume("/t"))
    h.must("ln", "--cow", volume("/t/d/e/x"), volume("/t/cow"))


def paths(volume, at):
    d = one(at("/t/d"))
    h.equal((d["kind"], d["complete"]), ("path", True), "a path")
    h.equal(d["apparent"], 1000000 + 300000 + 50000 + 100 + (1 << 30) + 3, "apparent: sizes, each file once")
    h.equal(d["allocated"], blocks(1000000) + blocks(300000) + blocks(50000) + B + 100, "allocated: blocks, and content kept inline")
    h.equal(d["exclusive"], blocks(1000000) + B + 100, "exclusive: without a clone's and without a file that has another name")
    h.equal(d["inline"], 100, "of which inline")
    h.equal(d["shared"], blocks(300000) + blocks(50000), "shared: those")
    h.equal(one(at("/t/d/big"))["exclusive"], 0, "one of two names frees nothing")
    h.equal(rows(at("/t/d/big"), at("/t/d/e/big again"))[-1]["exclusive"], blocks(1000000), "both do")
    both = rows(at("/t/cow"), at("/t/d/e/x"))
    h.equal([(r["kind"], r["exclusive"], r["shared"]) for r in both],
            [("path", 0, blocks(300000)), ("path", 0, blocks(300000)), ("total", blocks(300000), 0)], "clones: alone nothing, together all, once")
    h.equal(one(at("/t/d/link"))["apparent"], 3, "a symlink is not followed")
    whole = rows("-d", "2", at("/t"))
    h.equal([r["name"] for r in whole], [at("/t/d/e"), at("/t/d"), at("/t")], "-d: directories before what they are in")
    h.equal(whole[1], d, "each as a set of its own")
    h.equal([r["name"] for r in rows("-d", "1", "-s", at("/t"))], [at("/t")], "-s")
    told = one("--with", at("/t/d"))["with"]
    h.equal(sorted((w["path"], w["bytes"]) for w in told), [("/t/cow", blocks(300000)), ("/t/own", blocks(50000))], "--with: files, by a name that stays")
    few = one("--with=1", at("/t/d"))
    h.equal(([w["path"] for w in few["with"]], few["with_files"]), (["/t/cow"], 2), "--with=1: the largest, and how many")


def snapshots(volume, at):
    h.must("snapshot", "create", "-q", volume.path, "one")
    h.equal(one(then(volume, "one"))["exclusive"], 0, "a new snapshot has nothing of its own")
    d = one("--with", at("/t/d"))
    h.equal((d["exclusive"], d["shared"]), (0, blocks(1000000) + blocks(300000) + blocks(50000) + B + 100), "and keeps all that there is")
    h.equal([(w["snapshot"], w["bytes"]) for w in d["with"] if "snapshot" in w], [("one", d["shared"])], "which --with tells")
    total = rows(at("/t/d"), then(volume, "one"))[-1]
    h.equal((total["exclusive"], total["shared"]), (blocks(1000000) + B + 100, None), "with the snapshot it would go")
    full = one("--full", then(volume, "one"))
    h.equal((full["shared"], full["exclusive"], full["apparent"]),
            (blocks(1000000) + blocks(300000) + blocks(50000) + B + 100, 0, 1000000 + 600000 + 50000 + 100 + (1 << 30) + 3), "--full: sizes of a snapshot")
    h.must("rm", volume("/t/d/holes"))
    h.must("snapshot", "create", "-q", volume.path, "two words")
    h.must("rm", volume("/t/d/big"), volume("/t/d/e/big again"))
    h.equal([one(then(volume, n))["exclusive"] for n in ("one", "two words")], [B, 0], "what only it has; what two have is neither's")
    h.equal(rows(then(volume, "one"), then(volume, "two words"))[-1]["exclusive"], B + blocks(1000000), "and both's")
    below = one(then(volume, "one", "/t/d"))
    h.equal((below["kind"], below["exclusive"], below["shared"], below["apparent"]), ("path in snapshot", None, None, 1000000 + 300000 + 50000 + 100 + (1 << 30) + 3),
            "a path in a snapshot has sizes only")
    result = h.must("du", then(volume, "one", "/t/d"))
    h.ok("a part of a snapshot cannot be deleted" in result.err, "and it is said why", result)


def whole(volume):
    all_rows = rows(volume.path)
    h.equal([(r["kind"], r.get("name")) for r in all_rows],
            [("path", volume.path + ":/"), ("snapshot", volume.path + "@one"), ("snapshot", volume.path + "@two words"), ("all snapshots", None), ("total", None)],
            "a volume: the tree, its snapshots, all of them, all")
    h.equal((all_rows[3]["exclusive"], all_rows[-1]["exclusive"] - all_rows[-1]["inline"]), (B + blocks(1000000), in_use(volume)), "which is all that is in use")
    if FACE == "mount":
        (first, second, every, _) = rows(volume.mnt + "/.snapshots")
        h.equal((first["name"], second["kind"], every["kind"]), (volume.mnt + "/.snapshots/one", "snapshot", "all snapshots"), ".snapshots: each of them")
        h.equal(sorted(h.must("ls", volume.mnt + "/.snapshots/one").out.split()), ["t"], "ls of a snapshot's root, by its path in the mount")


def text(volume, at):
    lines = h.must("du", "-b", at("/t/d"), then(volume, "two words")).out.splitlines()
    h.equal(lines[0].split(), ["Apparent", "Allocated", "Exclusive", "Shared"], "a head")
    h.equal((lines[1].split()[4], lines[2].split(None, 4)), (at("/t/d"), ["-", "-", "0", "-", f"'{then(volume, 'two words')}'"]), "names as a shell takes them; - for what is not known")
    h.equal(lines[3].split()[-1], "total", "a total of more than one")
    d = one(at("/t/d"))
    h.equal([int(x) for x in lines[1].split()[:4]], [d[k] for k in ("apparent", "allocated", "exclusive", "shared")], "-b: bytes")
    h.equal([int(x) for x in h.must("du", at("/t/d")).out.splitlines()[1].split()[:4]], [-(-d[k] // 1024) for k in ("apparent", "allocated", "exclusive", "shared")], "1024 by itself")
    h.equal(h.must("du", "-h", at("/t/d/small")).out.splitlines()[1].split()[:4], ["100", "100", "0", "100"], "-h")
    out = h.must("du", "--with", at("/t/d")).out
    h.ok("with snapshot one\n" in out and "with snapshot 'two words'\n" in out and f"with {at('/t/cow')}\n" in out, "--with", out)
    name = ODD
    h.must("mkdir", volume("/" + name))
    h.equal(one(at("/" + name))["name"], at("/" + name), "a name of any bytes in JSON")
    line = h.must("du", at("/" + name)).out
    h.ok(line.count("\n") == 2 and "\x1b" not in line, "and on one line", repr(line))
    h.must("rmdir", volume("/" + name))


def refused(base, volume, at):
    for argv, error in (((at("/nothing"),), "No such file"), ((volume.path + "@nothing",), "neither a snapshot"), ((base,), "not inside a linkfs mount"),
                        ((at("/t/d/small/x"),), "Not a directory")):
        result = h.linkfs("du", *argv)
        h.ok(result.rc == 1 and error in result.err, f"du: {error}", result)
    for argv in (("-d", "x", at("/t")), ("--with=x", at("/t")), ("--frob", at("/t"))):
        h.equal(h.linkfs("du", *argv).rc, 2, "wrong usage: " + argv[0])
    result = h.linkfs("du", "--json", at("/t/d"), at("/nothing"))
    h.equal((result.rc, [r["kind"] for r in json.loads(result.raw)]), (1, ["path"]), "one that is not there: the rest is told, and no total")


def rights(base, volume, at):
    if h.ROOT:
        return
    h.must("mkdir", volume("/closed"))
    for name in ("/closed/copy", "/beside"):
        h.must("import", "-T", f"{base}/src{FACE}/own", volume(name))
    h.must("chmod", "000", volume("/closed"))
    result = h.linkfs("du", "--json", at("/"))
    row = json.loads(result.raw)[0]
    h.ok(result.rc == 1 and "closed: cannot read the directory: Permission denied" in result.err and result.err.count("\n") == 1, "a directory that may not be read is told", result)
    h.equal(row["complete"], False, "and that the sum lacks it")
    h.equal(one(at("/beside"))["complete"], True, "one beside it is whole")
    h.must("chmod", "700", volume("/closed"))
    h.equal(one(at("/"))["exclusive"] - row["exclusive"], blocks(50000), "what was missing")
    h.must("rm", "-r", volume("/closed"), volume("/beside"))


def read_slowly(volume, at):
    """Somebody reads the answer in a pager: the volume's log does not grow for that, however much is changed meanwhile."""
    many = [f"{volume.mnt}/many/{'long' * 40}{i}" for i in range(2000)]
    os.mkdir(volume.mnt + "/many")
    for path in many:
        os.mkdir(path)
    h.must("sync", volume("/"))
    log = volume.path + "/meta.db-wal"
    with h.subprocess.Popen([h.BIN, "du", "-d", "1", at("/many")], stdout=h.subprocess.PIPE, env=h.environment()) as du:
        begun = du.stdout.read(1)
        sizes = []
        # Each time about thirty pages, of which 8 MiB are what the log may have before it begins anew.
        for i in range(120):
            for path in many[::40]:
                os.chmod(path, 0o700 + i % 8)
            h.must("sync", volume("/"))
            sizes.append(os.path.getsize(log))
        rest = du.stdout.read()
    h.equal((begun + rest).count(b"\n"), len(many) + 2, "each directory has a line, and a first line is above")
    h.ok(max(sizes) < 10 << 20, "the log does not grow while nobody reads them", sizes)
    h.must("rm", "-r", volume("/many"))


def deleted(volume, at):
    """Each set is deleted, and the disk has as much less in use."""
    for name, operands, delete in (
            ("a snapshot", [then(volume, "one")], [("snapshot", "delete", "-q", volume.path, "one")]),
            ("a snapshot and a path", [then(volume, "two words"), at("/t/d")], [("rm", "-r", volume("/t/d")), ("snapshot", "delete", "-q", volume.path, "two words")]),
            ("a path", [at("/t")], [("rm", "-r", volume("/t"))])):
        set_ = rows("-c", *operands)[-1]
        before = in_use(volume)
        for argv in delete:
            h.must(*argv)
        h.equal(before - in_use(volume), set_["exclusive"] - set_["inline"], f"{name}: what was told to come back")
    h.equal(in_use(volume), 0, "nothing is left")


def main():
    base, volume = h.begin(FACE)
    at = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    build(base, volume)
    paths(volume, at)
    snapshots(volume, at)
    whole(volume)
    text(volume, at)
    refused(base, volume, at)
    rights(base, volume, at)
    if FACE != "offline":
        read_slowly(volume, at)
    deleted(volume, at)
    if FACE != "offline":
        volume.umount()
    h.must("check", "--data", volume.path)
    h.done()


main()
