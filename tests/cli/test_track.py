#!/usr/bin/env python3
"""linkfs ln -s --track (row D5) and dangling --fix (row D3), offline, live, and on paths in the mount; in the mount, what programs see after each kind of move, at once.

    test_track.py offline|live|mount
"""
import ctypes
import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time

import harness as h

FACE = sys.argv[1]


def host(path, content):
    with open(path, "w", encoding="utf-8") as f:
        f.write(content)


def commands(base, volume):
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    host(base + "/text", "hello\n")
    h.must("mkdir", "-p", place("/a/b"), place("/c"))
    h.must("import", base + "/text", volume("/a/b"))
    h.equal(h.must("ln", "-sv", "--track", place("/a/b/text"), place("/c/link")).out,
            f"'{place('/c/link')}' -> '{place('/a/b/text')}'\n", "ln -s --track makes one and says so")
    h.equal(h.must("readlink", place("/c/link")).out, "../a/b/text\n", "its text leads from its directory")
    h.equal(h.must("stat", "-c", "%F %s %h", place("/c/link")).out, "tracked symbolic link 11 1\n", "stat tells what it is")
    h.must("mv", place("/a"), place("/moved"))
    h.equal(h.must("readlink", place("/c/link")).out, "../moved/b/text\n", "a directory above the target moved")
    h.must("mv", place("/c"), place("/moved"))
    h.equal(h.must("readlink", place("/moved/c/link")).out, "../b/text\n", "the link's directory moved")
    h.equal(h.must("cat", place("/moved/c/link")).out, "hello\n", "it leads there")
    h.equal(h.must("referrers", place("/moved/b/text")).out, f"{place('/moved/c/link')} -> ../b/text\n", "referrers knows it")
    h.equal(h.must("impact", "mv", place("/moved/b"), place("/b")).out, "", "a move of the target's directory breaks nothing")
    h.equal(h.must("impact", "rm", place("/moved/b")).out,
            f"{place('/moved/c/link')} -> ../b/text: would dangle: No such file or directory\n", "its removal does")
    links = json.loads(h.must("ls", "--json", place("/moved/c")).out)
    h.ok("../b/text" in json.dumps(links), "ls --json shows the text", links)
    h.must("mv", place("/moved/b/text"), place("/far"))
    h.must("ln", "-sf", "--track", place("/moved"), place("/moved/c/link"))
    h.equal(h.must("readlink", place("/moved/c/link")).out, "..\n", "-f puts another in its place, to a directory above it")
    refused = [
        (("-sT", "--track", place("/far"), place("/moved/c/link")), "exists; -f puts the link in its place"),
        (("-s", "--track", place("/none"), place("/x")), "cannot link to"),
        (("-sf", "--track", place("/far"), place("/far")), "a link cannot take the place of its target"),
        ((place("/moved/c/link"), place("/second")), "a tracked symlink has one"),
    ]
    for words, why in refused:
        result = h.linkfs("ln", *words)
        h.ok(result.rc == 1 and why in result.err, f"refused: ln {' '.join(words[:-2])}: {why}", result)
    result = h.linkfs("ln", "--track", place("/far"), place("/x"))
    h.ok(result.rc == 2 and "--track needs -s" in result.err, "--track without -s is wrong usage", result)
    h.must("mkdir", "-p", place("/one"), place("/two/deep"))
    h.must("ln", "-s", "--track", place("/far"), place("/one/link"))
    h.must("ln", "--directory", place("/one"), place("/two/deep/one"))
    deep = place("/two/deep/one/link")
    h.equal(h.must("readlink", deep).out, "../../../far\n", "by the directory's second name the text is another")
    h.equal(h.must("readlink", "-f", deep).out, place("/far") + "\n", "readlink -f goes by it")
    h.equal(h.must("stat", "-c", "%N %s", deep).out, f"'{deep}' -> '../../../far' 12\n", "stat shows it, and its size")
    h.must("rm", deep)
    other = h.Volume(base, "other" + FACE)
    result = h.linkfs("ln", "-s", "--track", other("/"), place("/x"))
    h.ok(result.rc == 1 and "is in another volume: a tracked link cannot lead there" in result.err, "not to another volume", result)
    h.must("rm", place("/far"))
    h.must("ln", "-s", "--track", place("/moved/b"), place("/dir"))
    h.must("rmdir", place("/moved/b"))
    h.equal(h.must("dangling", place("/")).out, f"{place('/dir')} -> moved/b: there is no b in /moved\n", "a deleted target leaves the last text")
    h.must("export", volume("/"), base + "/out" + FACE)
    h.equal(os.readlink(base + "/out" + FACE + "/dir"), "moved/b", "export makes ordinary symlinks")
    if FACE == "offline":
        h.equal(h.must("check", volume.path).rc, 0, "check finds nothing")


def fixing(volume):
    """dangling --fix: what it says, what it does, its status, on the same tree in each face."""
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    show = place
    h.must("mkdir", "-p", place("/fix/a/b/proj"), place("/fix/a/b/lib"))
    h.must("touch", place("/fix/a/b/lib/util"), place("/fix/a/b/proj/main"))
    h.must("ln", "-s", "../lib/util", place("/fix/a/b/proj/util"))
    h.must("ln", "-s", "a/b/proj/main", place("/fix/main"))
    h.equal(h.must("dangling", "--fix", place("/fix")).out, "", "nothing dangles")
    h.must("mv", place("/fix/a/b/proj"), place("/fix"))
    if FACE != "offline":
        h.equal((os.path.exists(volume.mnt + "/fix/main"), os.path.exists(volume.mnt + "/fix/proj/util")), (False, False), "both dangle in the mount")
    moved = f"; /fix/a/b/proj was moved and is /fix/proj now ("
    dry = h.linkfs("dangling", "--fix", "--dry-run", place("/fix"))
    lines = sorted(line.split(moved)[0] for line in dry.out.splitlines())
    h.equal((dry.rc, lines), (0, [f"{show('/fix/main')} -> a/b/proj/main: would be proj/main",
                                  f"{show('/fix/proj/util')} -> ../lib/util: would be ../a/b/lib/util"]), "--dry-run tells", dry)
    h.ok(dry.out.count(moved) == 2, "and why", dry)
    h.equal(h.must("readlink", place("/fix/main")).out, "a/b/proj/main\n", "and changes nothing")
    h.must("ln", "-s", "nothing", place("/fix/never"))
    result = h.linkfs("dangling", "--fix", "--json", place("/fix"))
    got = {e["path"]: (e["result"], e["target"], e["new_target"], e["moved"] and e["moved"]["from"]) for e in json.loads(result.out)}
    h.equal(got, {"/fix/main": ("fixed", "a/b/proj/main", "proj/main", "/fix/a/b/proj"),
                  "/fix/proj/util": ("fixed", "../lib/util", "../a/b/lib/util", "/fix/a/b/proj"),
                  "/fix/never": ("unknown", "nothing", None, None)}, "--fix --json")
    h.equal(result.rc, 3, "3: one is left", result)
    h.equal(h.must("readlink", place("/fix/main"), place("/fix/proj/util")).out, "proj/main\n../a/b/lib/util\n", "the texts are changed")
    if FACE != "offline":
        h.equal([os.readlink(volume.mnt + p) for p in ("/fix/main", "/fix/proj/util")], ["proj/main", "../a/b/lib/util"], "in the mount too, at once")
        h.equal((os.path.exists(volume.mnt + "/fix/main"), os.path.exists(volume.mnt + "/fix/proj/util")), (True, True), "where they lead again")
    left = h.linkfs("dangling", "--fix", place("/fix"))
    h.equal((left.rc, left.out), (3, f"{show('/fix/never')} -> nothing: left alone: no move is known that broke it\n"), "what is left is told")
    h.equal(h.linkfs("dangling", "--dry-run", place("/fix")).rc, 2, "--dry-run needs --fix")
    h.equal(h.linkfs("dangling", "-z", "--fix", place("/fix")).rc, 2, "-z and --fix exclude each other")


def gettext(path):
    """readlink(2), and what lstat says of its length, which must agree."""
    text = os.readlink(path)
    return text if os.lstat(path).st_size == len(os.fsencode(text)) else f"{text} of {os.lstat(path).st_size} bytes"


def programs(volume):
    top = volume.mnt + "/programs"
    os.makedirs(top + "/a/b")
    os.makedirs(top + "/c")
    host(top + "/a/b/f", "one\n")
    link = top + "/c/l"
    h.must("ln", "-s", "--track", top + "/a/b/f", link)
    h.equal((gettext(link), open(link).read()), ("../a/b/f", "one\n"), "an ordinary relative symlink")
    subprocess.run(["mv", top + "/a", top + "/a-much-longer-name"], check=True)
    h.equal((gettext(link), open(link).read()), ("../a-much-longer-name/b/f", "one\n"), "after mv of a directory above the target, longer")
    subprocess.run(["mv", top + "/a-much-longer-name", top + "/a"], check=True)
    h.equal((gettext(link), open(link).read()), ("../a/b/f", "one\n"), "and shorter")
    os.rename(top + "/a/b/f", top + "/g")
    h.equal((gettext(link), open(link).read()), ("../g", "one\n"), "after a rename of the target")
    os.rename(top + "/c", top + "/a/b/c")
    link = top + "/a/b/c/l"
    h.equal((gettext(link), open(link).read()), ("../../../g", "one\n"), "after a move of the link's directory")
    os.rename(link, top + "/l")
    link = top + "/l"
    h.equal((gettext(link), open(link).read()), ("g", "one\n"), "after a move of the link")
    os.link(top + "/g", top + "/a/name")
    os.unlink(top + "/g")
    h.equal((gettext(link), open(link).read()), ("a/name", "one\n"), "another name when the one that was used is removed")
    os.makedirs(top + "/swap")
    host(top + "/swap/other", "two\n")
    exchange(top + "/a", top + "/swap")
    h.equal((gettext(link), open(link).read()), ("swap/name", "one\n"), "after an exchange of directories")
    h.must("mv", volume("/programs/swap"), volume("/programs/live"))
    h.equal((gettext(link), open(link).read()), ("live/name", "one\n"), "after linkfs mv of a directory")
    h.must("mv", volume("/programs/live/name"), volume("/programs/n"))
    h.equal((gettext(link), open(link).read()), ("n", "one\n"), "and of the target")
    h.equal(os.getxattr(link, "linkfs.tracks", follow_symlinks=False), b"/programs/n\n", "linkfs.tracks tells the target")
    h.equal(os.getxattr(link, "linkfs.kind", follow_symlinks=False), b"tracked symlink", "linkfs.kind tells the kind")
    h.equal(errno_of(lambda: os.getxattr(top + "/n", "linkfs.tracks")), "ENODATA", "a file has no such attribute")
    h.equal(errno_of(lambda: os.link(link, top + "/l2", follow_symlinks=False)), "EMLINK", "link(2) refuses a second name")
    os.chown(link, os.getuid(), os.getgid(), follow_symlinks=False)
    os.utime(link, (5, 6), follow_symlinks=False)
    h.equal(int(os.lstat(link).st_mtime), 6, "times are set as on any symlink")
    subprocess.run(["cp", "-a", link, top + "/copy"], check=True)
    os.rename(top + "/n", top + "/m")
    h.equal((gettext(link), gettext(top + "/copy")), ("m", "n"), "a copy is an ordinary one")
    os.unlink(top + "/m")
    h.equal((gettext(link), os.path.exists(link)), ("m", False), "the last text, when the target is deleted")
    h.equal(errno_of(lambda: os.getxattr(link, "linkfs.tracks", follow_symlinks=False)), "ENODATA", "and no target is told")


def errno_of(call):
    try:
        call()
        return "none"
    except OSError as e:
        return __import__("errno").errorcode[e.errno]


def exchange(a, b):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def no_old_text(volume):
    """Links read all the time by other threads while directories move: who asks after a rename returned gets the new text."""
    top = volume.mnt + "/moving"
    os.makedirs(top + "/x/y")
    links = []
    for i in range(40):
        host(f"{top}/x/y/f{i}", f"{i}\n")
        h.must("ln", "-s", "--track", volume(f"/moving/x/y/f{i}"), volume(f"/moving/l{i}"))
        links.append(f"{top}/l{i}")
    stop, reads = threading.Event(), [0]

    def reader():
        while not stop.is_set():
            for path in links:
                os.readlink(path)
                reads[0] += 1

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for t in threads:
        t.start()
    late, rng = [], random.Random(int(os.environ.get("LINKFS_SEED", "1")))
    x = "x"
    for n in range(300):
        new = "x" + "yz"[n % 2] * rng.randrange(1, 30)
        if n % 10 == 9:
            h.must("mv", volume(f"/moving/{x}"), volume(f"/moving/{new}"))
        else:
            os.rename(f"{top}/{x}", f"{top}/{new}")
        x = new
        for i in rng.sample(range(40), 8):
            if os.readlink(links[i]) != f"{x}/y/f{i}" or open(links[i]).read() != f"{i}\n":
                late.append((n, i))
    stop.set()
    for t in threads:
        t.join()
    h.equal(late, [], f"300 renames of a directory: every link had its new text at once ({reads[0]} reads beside)")


def many_renamers(volume):
    """More renames at once than the mount has threads, each waiting for texts to be dropped: none waits for ever."""
    top = volume.mnt + "/many"
    os.makedirs(top)
    host(top + "/f", "f\n")
    for i in range(24):
        os.makedirs(f"{top}/d{i}")
        h.must("ln", "-s", "--track", volume("/many/f"), volume(f"/many/d{i}/l"))
    wrong = []

    def work(i):
        a, b = f"{top}/d{i}", f"{top}/e{i}"
        for _ in range(60):
            for path in (a, b):
                if os.readlink(path + "/l") != "../f":
                    wrong.append(path)
                os.rename(path, b if path == a else a)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    h.equal(wrong, [], "24 threads that rename directories with tracked links in them")


def listed_while_moved(volume):
    """Directories of tracked links are listed with attributes, as nodes that are new each time, while what they lead through is renamed: nobody
    waits for ever."""
    top = volume.mnt + "/listed"
    for name in ("links", "shown", "target"):
        os.makedirs(f"{top}/{name}")
    names = [f"f{i}" for i in range(150)]
    for name in names:
        host(f"{top}/target/{name}", "f\n")
    h.must("ln", "-s", "--track", *[volume("/listed/target/" + name) for name in names], volume("/listed/links"))
    h.must("bind", volume("/listed/links"), volume("/listed/shown"))
    end = time.monotonic() + 10

    def lists():
        for name in ("links", "shown"):
            with os.scandir(f"{top}/{name}") as entries:
                for e in entries:
                    e.stat(follow_symlinks=False)

    def reads():
        for name in ("links", "shown"):
            for n in names:
                os.readlink(f"{top}/{name}/{n}")

    def renames():
        os.rename(top + "/target", top + "/moved")
        os.rename(top + "/moved", top + "/target")

    def lets_go():
        if os.geteuid() == 0:
            host("/proc/sys/vm/drop_caches", "2\n")  # what the kernel forgets it asks for anew
        time.sleep(0.02)

    def repeat(work):
        while time.monotonic() < end:
            work()

    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=repeat, args=(work,), daemon=True) for work in (lists, lists, reads, renames, lets_go)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(30)
    h.equal([w.exitcode for w in workers], [0] * len(workers), "listings beside renames")


def in_places(volume):
    """One tracked link in a directory with three paths: in each place its own text, and the new one at once after every change."""
    top = volume.mnt + "/places"
    for name in ("d", "q/r", "x/y/b"):
        os.makedirs(f"{top}/{name}")
    host(top + "/f", "f\n")
    h.must("ln", "-s", "--track", top + "/f", top + "/d/l")
    h.must("ln", "--directory", top + "/d", top + "/q/r/d2")
    h.must("bind", top + "/d", top + "/x/y/b")
    links = [top + "/d/l", top + "/q/r/d2/l", top + "/x/y/b/l"]

    def seen():
        return [(gettext(path), open(path).read()) for path in links]

    def want(name, *texts):
        h.equal(seen(), [(text, "f\n") for text in texts], name)

    want("a directory, its second name, a bind of it", "../f", "../../../f", "../../../f")
    listed = [os.readlink(e.path) for d in ("d", "q/r/d2", "x/y/b") for e in os.scandir(f"{top}/{d}")]
    h.equal(listed, ["../f", "../../../f", "../../../f"], "as they are listed")
    h.equal(len({os.lstat(path).st_ino for path in links}), 1, "it is one symlink")
    os.rename(top + "/f", top + "/q/f")
    want("after a rename of the target", "../q/f", "../../f", "../../../q/f")
    os.rename(top + "/x/y", top + "/y")
    links[2] = top + "/y/b/l"
    want("after a move of a directory above the bind", "../q/f", "../../f", "../../q/f")
    os.rename(links[1], top + "/q/r/d2/m")
    links = [os.path.dirname(path) + "/m" for path in links]
    want("after a rename of the link through a place", "../q/f", "../../f", "../../q/f")
    h.must("mv", top + "/q/f", top + "/d/f")
    want("after a move into the directory itself", "f", "f", "f")
    h.must("mv", top + "/d/f", top + "/f")
    os.rename(top + "/q/r/d2", top + "/d2")
    links[1] = top + "/d2/m"
    want("after a move of the second name", "../f", "../f", "../../f")
    # What a bind covers is gone by that way: the link leads by another, or has its last text.
    os.makedirs(top + "/t")
    os.makedirs(top + "/other")
    os.rename(top + "/f", top + "/t/f")
    want("with the target in a directory", "../t/f", "../t/f", "../../t/f")
    h.must("ln", "--directory", top + "/t", top + "/t2")
    h.must("bind", top + "/other", top + "/t")
    want("which is covered, and has another name", "../t2/f", "../t2/f", "../../t2/f")
    h.must("unbind", top + "/t")
    os.rmdir(top + "/t2")
    want("which is there again", "../t/f", "../t/f", "../../t/f")
    late, moved = [], "t"
    for n in range(200):
        new = "t" + "uv"[n % 2] * (n % 7 + 1)
        os.rename(f"{top}/{moved}", f"{top}/{new}")
        moved = new
        texts = [os.readlink(path) for path in links]
        if texts != [f"../{moved}/f", f"../{moved}/f", f"../../{moved}/f"]:
            late.append((n, texts))
    h.equal(late, [], "200 renames of a directory: each place had its new text at once")
    h.must("unbind", top + "/y/b")
    os.rmdir(top + "/d")
    h.equal(gettext(top + "/d2/m"), f"../{moved}/f", "one path is left")


def used_inodes(volume):
    return json.loads(h.must("info", "--json", volume("/")).out)[0]["inodes"]


def walked(base, volume):
    """Commands that walk directories show a tracked link's text in the place they walk, however many paths the directory has; and let go of it."""
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    before = used_inodes(volume)
    h.must("mkdir", "-p", place("/w/d/sub"), place("/w/p/q"), place("/w/b/c/x"))
    h.must("touch", place("/w/f"))
    h.must("ln", "-s", "--track", place("/w/f"), place("/w/d/l"))
    h.must("ln", "-s", "--track", place("/w/f"), place("/w/d/sub/m"))
    h.must("ln", "--directory", place("/w/d"), place("/w/p/q/d"))
    h.must("bind", place("/w/d"), place("/w/b/c/x"))
    want = {"d/l": "../f", "d/sub/m": "../../f"}
    for at in ("p/q/d", "b/c/x"):
        want |= {at + "/l": "../../../f", at + "/sub/m": "../../../../f"}

    def below(top):
        """The links that an export or a copy has made."""
        return {os.path.relpath(os.path.join(d, n), top): os.readlink(os.path.join(d, n))
                for d, _, names in os.walk(top) for n in names if os.path.islink(os.path.join(d, n))}

    def listed(*words):
        return {os.path.relpath(e["path"], place("/w")): (e["target"], e["size"]) for e in json.loads(h.must("ls", "--json", *words).out)
                if e["type"] == "symlink"}

    def cut(top):
        return {path: (text, len(text)) for path, text in want.items() if path.startswith(top) and path.count("/") == top.count("/")}

    whole = {path: (text, len(text)) for path, text in want.items()}
    h.equal(listed("-R", place("/w")), whole, "ls -R --json: each place has its text and its size")
    for top in ("d/", "p/q/d/", "b/c/x/", "d/sub/", "p/q/d/sub/", "b/c/x/sub/"):
        h.equal(listed(place("/w/" + top)), cut(top), f"ls --json of {top}")
        h.equal(listed(*[place("/w/" + path) for path in cut(top)]), cut(top), f"ls --json of the link in {top}")
    lines, at, shown = h.must("ls", "-lR", place("/w")).out.splitlines(), None, {}
    for line in lines:
        if line.endswith(":"):
            at = os.path.relpath(line[:-1], place("/w"))
        elif " -> " in line:
            name, text = line.split()[-3::2]
            shown[f"{at}/{name}"] = text
    h.equal(shown, want, "ls -lR")
    h.must("export", place("/w"), base + "/walked")
    h.equal(below(base + "/walked"), want, "export of the tree")
    for i, top in enumerate(("p/q", "p/q/d", "b/c/x", "b/c/x/sub", "p/q/d/sub/..", "b/c/x/sub/.")):
        out = f"{base}/walked{i}"
        h.must("export", place("/w/" + top), out)
        got = {os.path.basename(path): text for path, text in below(out).items()}
        full = os.path.normpath(top) + "/"
        h.equal(got, {os.path.basename(path): text for path, text in want.items() if path.startswith(full)}, f"export of {top}")
    h.must("cp", "-P", place("/w/p/q/d/sub/m"), base + "/one-link")
    h.equal(os.readlink(base + "/one-link"), "../../../../f", "cp of a link alone")
    h.must("cp", "-a", place("/w"), place("/copy"))
    h.must("export", place("/copy"), base + "/copied")
    h.equal(below(base + "/copied"), want, "cp -a in the volume")
    h.must("cp", "-r", place("/w/b"), base + "/copied-out")
    h.equal(below(base + "/copied-out"), {path[2:]: text for path, text in want.items() if path.startswith("b/")}, "cp -r out of it")
    for top in ("/w", "/w/p", "/w/b", "/w/p/q/d"):
        drawn = json.loads(h.must("draw", "--json", place(top)).out)["boxes"]
        rows = [(os.path.relpath(b["path"], "/w") + "/" + r["name"], r["target"]) for b in drawn for r in b.get("rows", []) if "target" in r]
        h.equal(sorted(path.split("/")[-1] for path, _ in rows), ["l", "m"], f"draw of {top} has each link once")
        h.equal(rows, [(path, want[path]) for path, _ in rows], "with its text by the path that is told")
    h.must("unbind", place("/w/b/c/x"))
    h.must("rm", "-r", place("/w"), place("/copy"))
    # What was removed earlier may have been given up since the first count.
    h.ok(h.wait_for(lambda: used_inodes(volume) <= before), "nothing is held that is removed", used_inodes(volume), before)


def main():
    base, volume = h.begin(FACE)
    commands(base, volume)
    fixing(volume)
    walked(base, volume)
    if FACE == "live":
        programs(volume)
        in_places(volume)
        listed_while_moved(volume)
        no_old_text(volume)
        many_renamers(volume)
        h.must("check", "--data", volume("/"))
        volume.umount()
        h.must("check", "--data", volume.path)
    h.done()


main()
