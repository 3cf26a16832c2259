#!/usr/bin/env python3
"""linkfs draw (D9): DOT word for word, what SVG and PNG hold, odd names, links of all kinds, limits, rights, errors, and the file it writes;
offline, on a mounted volume, and on paths inside the mount.

    test_draw.py offline|live|mount
"""
import json
import os
import re
import stat
import struct
import sys
import xml.etree.ElementTree as xml

import harness as h
from drawn import GOLDEN_FILE, GOLDEN_TREE, SVG, XLINK, Picture, Place, check_dot, make_tree, svg_nodes, svg_texts

MODE = sys.argv[1] if len(sys.argv) > 1 else "offline"
def pictures(base, p):
    file, tree = h.must("draw", p("/home/ann/app")), h.must("draw", p("/srv"))
    h.equal((file.out, file.err), (GOLDEN_FILE, ""), "DOT of a file: its names, its inode, the symlinks to it")
    h.equal((tree.out, tree.err), (GOLDEN_TREE, ""), "DOT of a directory")
    h.equal(h.must("draw", p("/srv")).out, tree.out, "the same again is the same")
    boxes = check_dot(tree.out, "of a directory")
    check_dot(h.must("draw", p("/")).out, "of the root")
    h.equal(h.must("draw", "-T", "dot", p("/srv/releases/1.7/app")).out, GOLDEN_FILE, "through another name it is the same picture")
    h.equal(h.must("draw", "-L", p("/home/ann/again")).out, GOLDEN_FILE, "and through a symlink with -L")
    picture = Picture(p("/srv/current"))
    h.equal(picture.edges, [("name", "/srv/current", "inode 10"), ("symlink", "inode 10", "/srv/releases/1.7")], "a symlink itself, and where it leads")
    h.equal(Picture("--no-referrers", p("/home/ann/app")).rows("/home/ann"), ["app"], "--no-referrers")
    h.equal(Picture("--referrers", p("/srv/releases/1.7")).of_kind("symlink"), [("/srv/current", "/srv/releases/1.7")], "--referrers of a directory")
    h.equal(Picture(p("/srv/releases/1.7"), p("/home/ann/app")).of_kind("name").count(("/srv/releases/1.7/app", "inode 8")), 1, "two operands, one picture")
    out = base + "/picture"
    for suffix in ("dot", "gv", "json"):
        h.must("draw", "-o", f"{out}.{suffix}", p("/srv"))
    h.equal(open(out + ".dot").read(), tree.out, "-o FILE.dot")
    h.equal(open(out + ".gv").read(), tree.out, "-o FILE.gv")
    h.equal(json.load(open(out + ".json"))["volume"], p.volume.path, "-o FILE.json")
    h.equal(h.must("draw", "-o", "-", p("/srv")).out, tree.out, "-o - is standard output")
    probe = h.linkfs("draw", "-T", "svg", p("/srv"))
    if probe.rc and "built without Graphviz" in probe.err:
        h.skip("SVG and PNG", "this build has no Graphviz")
        return
    h.equal(svg_nodes(probe.out), sorted(boxes), "SVG is XML and has each box", probe.err)
    texts = svg_texts(probe.out)
    h.ok({"current → releases/1.7", "next → releases/1.9/app", "1.7/", "app", "inode 8", "2 names", "No such file or directory"} <= set(texts), "and the names", texts)
    h.equal(len(re.findall('class="edge"', probe.out)), tree.out.count(" -> "), "and each edge")
    h.must("draw", p("/srv"), "-o", out + ".png")
    png = open(out + ".png", "rb").read()
    width, height = struct.unpack(">II", png[16:24])
    h.ok(png[:8] == b"\x89PNG\r\n\x1a\n" and png.endswith(b"IEND\xaeB`\x82") and 200 < width < 3000 and 100 < height < 3000, "PNG, whole, of a sane size",
         width, height)
    h.must("draw", "-T", "svg", "-o", out + ".png", p("/srv"))
    h.ok(open(out + ".png").read(5) == "<?xml", "-T goes before the suffix")
    if MODE == "live":
        pids = owners(p.volume)
        h.ok(pids and not any("libgvplugin" in open(f"/proc/{x}/maps").read() for x in pids), "the owner has rendered nothing", pids)


def owners(volume):
    """The processes that hold the volume's database."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if volume.path + "/meta.db" in fds:
            found.append(pid)
    return found


ODD = {
    b'a"b': 'a"b',
    b"back\\slash": r"back\\slash",
    b"new\nline": r"new\012line",
    b"\\N": r"\\N",
    b"\\l\\r\\G": r"\\l\\r\\G",
    b"<b>&amp;": "<b>&amp;",
    b"&#65;": "&#65;",
    b"it's": "it's",
    b"]]>": "]]>",
    b"{|}": "{|}",
    b"%s%n": "%s%n",
    b"\xff\xfe": r"\377\376",
    b"\xc0\xaf": r"\300\257",
    b"\xed\xa0\x80": r"\355\240\200",
    b"\xe2\x82": r"\342\202",
    b"esc\x1b[31m": r"esc\033[31m",
    b" lead": r"\040lead",
    b"trail ": r"trail\040",
    b"two  spaces": r"two\040\040spaces",
    b"one space": "one space",
    "größe-日本語-😀".encode(): "größe-日本語-😀",
    "\u202ertl".encode(): r"\342\200\256rtl",
    "\u0085".encode(): r"\302\205",
    "\uffff".encode(): r"\357\277\277",
    b"n" * 255: "n" * 24 + "…" + "n" * 11,
    ("ß" * 100 + ".txt").encode(): "ß" * 24 + "…" + "ß" * 7 + ".txt",
}


def odd_names(base, p):
    host = base + "/odd"
    os.mkdir(host)
    tree = {name: b"x" for name in ODD}
    tree[b"to\\N"] = "\\N"
    tree[b'lost"\\L'] = 'no"<&\\N\n'
    where = p.fill(host, tree)
    for locale in ("C.UTF-8", "C"):
        dot = h.must("draw", where, LC_ALL=locale)
        check_dot(dot.out, f"odd names in locale {locale}")
        dot.raw.decode("utf-8")
    h.ok(not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", dot.out), "no control character is in DOT")
    svg = h.linkfs("draw", "-T", "svg", where)
    if svg.rc and "built without Graphviz" in svg.err:
        h.skip("odd names in SVG", "this build has no Graphviz")
        return
    texts = [t.strip("\xa0 ") for t in svg_texts(svg.out)]
    missing = [shown for shown in ODD.values() if shown not in texts]
    h.equal((missing, svg.err), ([], ""), "every odd name is shown as it is, or escaped", texts)
    h.ok(r"to\\N → \\N ↑" in texts and r'lost"\\L → no"<&\\N\012' in texts, "and symlinks' texts", texts)
    titles = [a.get(XLINK + "title") for a in xml.fromstring(svg.out).iter(SVG + "a")]
    h.equal(sorted(t for t in titles if t), sorted(["n" * 255, "ß" * 100 + ".txt"]), "long names are whole in the tooltip")


def links(base, p):
    host = base + "/links"
    os.mkdir(host)
    where = p.fill(host, {b"file": b"x", b"dir": None, b"dir/deep": None, b"dir/deep/leaf": b"y", b"hard": ("link", b"file"), b"dir/hard": ("link", b"file"),
                          b"ok": "file", b"up": "dir/..", b"chain": "ok", b"to-dir": "dir/deep/", b"lost": "none/x", b"lost2": "none/y", b"under": "file/x",
                          b"self": "self", b"a": "b", b"b": "a", b"bad-chain": "lost", b"out": "../../../..", b"far": "../srv/current/app", b"long": "z" * 300 + "/x",
                          b"dot": ".", b"slash": "./dir//deep/./leaf"})
    picture = Picture(where, "--mounted-at", "/")
    root = "/links/"
    inode = str(next(b["ino"] for b in picture.boxes if b["kind"] == "inode"))
    h.equal(picture.of_kind("name"), sorted([(root + "dir", "/links/dir"), (root + "dir/deep", "/links/dir/deep")] +
                                            [(root + n, "inode " + inode) for n in ("file", "hard", "dir/hard")]), "names lead to directories, and to the inode of several names")
    h.equal(picture.of_kind("symlink"), sorted([(root + "ok", "inode " + inode), (root + "up", "/links"), (root + "chain", root + "ok"), (root + "to-dir", "/links/dir/deep"),
                                                (root + "out", "/"), (root + "far", "/srv/releases/1.7/app"), (root + "dot", "/links"),
                                                (root + "slash", "/links/dir/deep/leaf")]), "symlinks lead to what they name first")
    h.equal(picture.of_kind("dangling"), sorted([(root + "lost", "missing /links/none"), (root + "lost2", "missing /links/none"), (root + "under", "missing /links/file"),
                                                 (root + "a", root + "b"), (root + "b", root + "a"), (root + "bad-chain", root + "lost"),
                                                 (root + "long", "missing /links/" + "z" * 300)]), "dangling ones to what is missing, or around")
    notes = {r["name"]: r.get("note") for b in picture.boxes if b.get("path") == "/links" for r in b["rows"]}
    h.equal({n for n, note in notes.items() if note == "loops"}, {"self", "a", "b"}, "loops are named")
    told = {x["path"] for x in json.loads(h.must("dangling", "--json", "--mounted-at", "/", where).raw)}
    h.equal({a for a, _ in picture.of_kind("dangling")} | {root + "self"}, told, "what dangles in the picture is what linkfs dangling tells")
    dot = h.must("draw", where).out
    check_dot(dot, "links of all kinds")
    for row in ("a &#8594; b &#8595;", "b &#8594; a &#8593;", "chain &#8594; ok &#8595;", "dot &#8594; . &#8593;", "bad-chain &#8594; lost &#8595;&#160; <FONT POINT-SIZE=\"9\"><I>leads nowhere"):
        h.ok(f'"LEFT">{row}' in dot, "within a directory an arrow says where: " + row.split("<")[0], dot)
    for text, name in (("/mnt/elsewhere/x", "leaves"), ("/mnt/volume", "top"), ("/mnt/volume/links/dir", "below"), ("/", "host"), ("../../volume", "round")):
        h.must("ln", "-s", text, p("/links/" + name))
    picture = Picture(where, "--mounted-at", "/mnt/volume")
    want = {("dangling", root + "leaves", "leaves /mnt/elsewhere/x"), ("symlink", root + "top", "/"), ("symlink", root + "below", "/links/dir"),
            ("dangling", root + "host", "leaves /"), ("symlink", root + "round", "/")}
    h.ok(want <= set(picture.edges), "absolute links, into the volume and out of it", want - set(picture.edges))
    h.must("rm", *(p("/links/" + name) for name in ("leaves", "top", "below", "host", "round")))


def names_of_symlinks(p):
    """A symlink with several names (A6) leads elsewhere through each."""
    h.must("mkdir", "-p", p("/sym/a"), p("/sym/b"))
    h.must("touch", p("/sym/a/t"), p("/sym/t"))
    h.must("ln", "-s", "t", p("/sym/l"))
    h.must("ln", p("/sym/l"), p("/sym/a/l"))
    h.must("ln", p("/sym/l"), p("/sym/b/l"))
    picture = Picture(p("/sym"))
    (inode,) = [f"inode {b['ino']}" for b in picture.boxes if b["kind"] == "inode"]
    h.equal([e for e in picture.edges if "/l" in e[1]],
            [("dangling", "/sym/b/l", "missing /sym/b/t")] + [("name", f"/sym/{x}l", inode) for x in ("a/", "b/", "")] +
            [("symlink", "/sym/a/l", "/sym/a/t"), ("symlink", "/sym/l", "/sym/t")], "a symlink with three names: one inode, three ways")


def into_the_mount(p):
    """The caller writes: into the mount of the volume that is drawn, too."""
    out = p.volume.mnt + "/srv/picture.dot"
    os.chdir(p.volume.mnt + "/srv")
    for _ in range(2):
        h.must("draw", "-o", "picture.dot", "../home/ann/app")
        h.equal(open(out).read(), h.must("draw", p("/home/ann/app")).out, "a picture inside the mount, named from where the caller is")
    os.unlink(out)
    os.chdir("/")


def shared(base, p):
    host = base + "/copies"
    os.mkdir(host)
    block = os.urandom(4096)
    where = p.fill(host, {b"a": block * 10, b"alone": block * 10, b"small": b"x", b"sub": None})
    for name in ("b", "c", "sub/d"):
        h.must("ln", "--cow", p("/copies/a"), p("/copies/" + name))
    h.must("ln", p("/copies/sub/d"), p("/copies/sub/e"))
    picture = Picture(where)
    edges = [e for e in picture.raw["edges"] if e["kind"] == "shared"]
    group = {p for a, b in picture.of_kind("shared") for p in (a, b)}
    inode = next(b["ino"] for b in picture.boxes if b["kind"] == "inode")
    h.equal((len(edges), {e["bytes"] for e in edges}, group), (3, {40960}, {"/copies/a", "/copies/b", "/copies/c", f"inode {inode}"}),
            "four files with common blocks are joined by three edges; one of equal content is not")
    dot = h.must("draw", where).out
    h.ok('label=" 40K shared"' in dot and "<I>shares 40K with " in dot, "and the picture says how much", dot)
    h.must("rm", p("/copies/c"))
    h.equal(len(Picture(where).of_kind("shared")), 2, "what is gone shares no more")


def other_links(p):
    """Binds, tracked symlinks and directories with several names (C1, D5, D6)."""
    for path in ("/k/a/b", "/k/c", "/k/d"):
        h.must("mkdir", "-p", p(path))
    h.must("touch", p("/k/a/b/file"))
    h.must("ln", "--directory", p("/k/a/b"), p("/k/c/b"))
    h.must("bind", p("/k/a"), p("/k/d/bound"))
    h.must("bind", p("/k/a/b/file"), p("/k/d/song"))
    h.must("ln", "-s", "--track", p("/k/a/b/file"), p("/k/d/link"))
    picture = json.loads(h.must("draw", "--json", p("/k")).raw)
    boxes = picture["boxes"]

    def end(e):
        box = boxes[e["box"]]
        return f"{box['type'] if box['kind'] == 'inode' else box['path']}" + ("" if e["row"] is None else ":" + box["rows"][e["row"]]["name"])

    edges = sorted((e["kind"], end(e["from"]), end(e["to"])) for e in picture["edges"])
    h.equal([e for e in edges if e[0] != "name"], [("bind", "/k/d:bound", "/k/a"), ("bind", "/k/d:song", "file"), ("tracked", "/k/d:link", "file")],
            "binds and tracked symlinks have lines of their own")
    shared = [e[1] for e in edges if e[0] == "name" and e[2] in ("/k/a/b", "/k/c/b")]
    h.equal(shared, ["/k/a:b", "/k/c:b"], "a directory with two names is one box")
    dot = h.must("draw", p("/k")).out
    h.ok(dot.count("arrowhead=dotnormal") == 2 and "penwidth=2.4, arrowhead=vee" in dot and "with a dot: bind" in dot and "thick dashes: tracked symlink" in dot,
         "and in the picture", dot)
    h.ok(">b/</B>" in dot and ">a/</B>" in dot and ">c/</B>" in dot, "whose ways stay apart", dot)
    h.must("unbind", p("/k/d/bound"), p("/k/d/song"))
    h.must("rm", "-r", p("/k"))


def limits(base, p):
    host = base + "/many"
    os.mkdir(host)
    tree = {b"d%d" % i: None for i in range(5)}
    tree.update({b"d%d/f%03d" % (i, k): b"" for i in range(5) for k in range(40)})
    tree[b"one"] = b"x"
    tree.update({b"d%d/name%d" % (i % 5, i): ("link", b"one") for i in range(90)})
    tree.update({b"d%d/link%d" % (i % 5, i): "../one" for i in range(30)})
    where = p.fill(host, tree)
    for most in (1, 2, 3, 10, 30, 60, 61, 200):
        result = Picture("--max-nodes", str(most), where)
        file = Picture("-n", str(most), p("/many/one"))
        h.ok(result.drawn() <= max(most, 2) and file.drawn() <= max(most, 2) + 5, f"--max-nodes {most} is kept", result.drawn(), file.drawn())
        left = len(tree) - sum(len(b["rows"]) for b in result.boxes if b["kind"] == "directory")
        told = result.raw["left_out"]
        opened = sum(b["kind"] == "directory" for b in result.boxes)
        h.ok(told > 0 and f"{told} names not drawn: there is room for {most} nodes" in result.result.err and (opened < 6 or told == left),
             "and says how many are not drawn", told, left, result.result.err)
    default = Picture(where)
    h.ok(52 <= default.drawn() <= 60 and all(default.rows(f"/many/d{i}") for i in range(5)), "60 by default, and every directory has a share", default.drawn())
    dot = h.must("draw", where).out
    h.ok(re.search(r"\d+ names not drawn<BR", dot) and len(re.findall("&#8230; [0-9]+ more not drawn", dot)) >= 5, "which the picture says too")
    file = Picture(p("/many/one"))
    h.ok(file.of_kind("symlink") and len(file.of_kind("name")) > 20, "of a file with many names and symlinks, both are drawn", file.edges)
    (box,) = [b for b in file.boxes if b["kind"] == "inode"]
    names = sum(1 for a, b in file.of_kind("name") if b.startswith("inode"))
    h.equal((box["nlink"], box["not_drawn_count"], len(box["not_drawn"])), (91, 91 - names, 3), "and names that are not are counted")
    whole = Picture("-n", "2000", where)
    h.equal((whole.raw["left_out"], whole.result.err), (0, ""), "with room enough nothing is left out")
    h.equal(sum(len(b["rows"]) for b in whole.boxes if b["kind"] == "directory"), len(tree), "each name is there")
    top = Picture("--depth", "0", where)
    h.equal((top.rows("/many"), len(top.boxes), top.raw["not_opened"]), (["d0", "d1", "d2", "d3", "d4", "one"], 2, 5), "--depth 0: PATH's entries alone")
    h.ok("5 directories not opened" in top.result.err, "and says so", top.result.err)
    deep = h.must("mkdir", "-p", p("/deep/a/b/c/d/e")) and h.must("draw", p("/deep")).out
    h.ok("<B>a/b/c/d/e/</B>" in deep and len(check_dot(deep, "deep")) == 2, "directories with nothing else in them are one box", deep)
    for argv in (("-n", "0"), ("-n", "2001"), ("-n", "x"), ("--depth", "-1"), ("-T", "gif"), ("-o", base + "/noformat"), ("-o", base + "/x.gif")):
        h.equal(h.linkfs("draw", *argv, where).rc, 2, "wrong usage: " + " ".join(argv[:1]))


def rights(p):
    """What the caller may not search he is not told."""
    if h.ROOT:
        h.skip("what an ordinary user is told", "root may search everything; the test runs as an ordinary user too")
        return
    h.must("mkdir", p("/open"), p("/open/shut"), p("/open/unlisted"), p("/open/unsearched"))
    h.must("touch", p("/open/f"))
    h.must("ln", p("/open/f"), p("/open/shut/secret"))
    h.must("ln", p("/open/f"), p("/open/unlisted/known"))
    h.must("ln", p("/open/f"), p("/open/unsearched/hint"))
    h.must("ln", "-s", "../f", p("/open/shut/secret-link"))
    h.must("ln", "-s", "shut/secret", p("/open/into"))
    h.must("chmod", "000", p("/open/shut"))
    h.must("chmod", "311", p("/open/unlisted"))
    h.must("chmod", "644", p("/open/unsearched"))
    tree, file = h.must("draw", p("/open")), h.must("draw", p("/open/f"))
    h.ok(not any(word in x.out for x in (tree, file) for word in ("secret<", "secret-link", "hint")), "no name in a directory that may not be searched", tree.out, file.out)
    h.ok(tree.out.count("you may not list and search it") == 3, "the directories say why they are empty", tree.out)
    h.ok("into &#8594; shut/secret" in tree.out and "you may not follow it" in tree.out, "a symlink into one cannot be followed", tree.out)
    h.ok("2 where you may not search" in file.out and ">known<" in file.out, "hidden names are counted; one that may be used is told", file.out)
    h.must("chmod", "755", p("/open/shut"), p("/open/unlisted"), p("/open/unsearched"))


def errors(base, p):
    out = base + "/kept.dot"
    with open(out, "w") as f:
        f.write("old")

    def refused(name, want, *argv, rc=1):
        result = h.linkfs("draw", *argv)
        h.ok(result.rc == rc and want in result.err and result.out == "", name, result)
        h.equal(open(out).read(), "old", "and the old picture stays")

    refused("a path that is not there", "No such file or directory", "-o", out, p("/none"))
    refused("the second path is not there", "/none: No such file or directory", "-o", out, p("/srv"), p("/none"))
    refused("a path that is in no volume", "not inside a linkfs mount", "-o", out, base)
    refused("a relative --mounted-at", "must be an absolute path", "-o", out, "--mounted-at", "x", p("/home/ann/app"))
    other = h.Volume(base, "other")
    refused("two volumes", "is in another volume", "-o", out, p("/srv"), other("/"))
    refused("a directory as output", "Is a directory", "-T", "dot", "-o", base, p("/srv"))
    refused("an output that cannot be made", base + "/none/x.dot: cannot be written: No such file or directory", "-o", base + "/none/x.dot", p("/srv"))
    refused("a device without room", "/dev/full: cannot be written: No space left on device", "-T", "dot", "-o", "/dev/full", p("/srv"))
    if not h.ROOT:
        os.chmod(out, 0o444)
        refused("an output that may not be written", "cannot be written: Permission denied", "-o", out, p("/srv"))
        os.chmod(out, 0o644)
        closed = base + "/closed"
        os.mkdir(closed)
        os.chmod(closed, 0o555)
        refused("a directory that may not be written", "cannot be written: Permission denied", "-o", closed + "/x.dot", p("/srv"))
        os.rmdir(closed)
    os.chmod(out, 0o640)
    os.symlink("kept.dot", base + "/link.dot")
    os.link(out, base + "/second")
    h.must("draw", "-o", base + "/link.dot", p("/srv"))
    h.equal((os.readlink(base + "/link.dot"), open(out).read(), stat.S_IMODE(os.stat(out).st_mode)), ("kept.dot", GOLDEN_TREE, 0o640),
            "a symlink's target is replaced, with its mode")
    h.equal([n for n in os.listdir(base) if n.startswith(".linkfs")], [], "nothing is left behind")
    h.equal(h.must("draw", "-T", "dot", "-o", "/dev/stdout", p("/srv")).out, GOLDEN_TREE, "/dev/stdout is no file to be replaced")
    h.ok(h.linkfs("draw").rc == 2 and "Draw the names" in h.must("draw", "--help").out, "usage and --help")


def main():
    if MODE != "offline":
        h.need_fuse()
    base = h.make_dir()
    volume = h.Volume(base)
    make_tree(volume)
    if MODE != "offline":
        volume.mount()
    p = Place(volume, MODE == "mount")
    pictures(base, p)
    odd_names(base, p)
    links(base, p)
    names_of_symlinks(p)
    if MODE != "offline":
        into_the_mount(p)
    shared(base, p)
    other_links(p)
    limits(base, p)
    rights(p)
    errors(base, p)
    h.done()


main()
