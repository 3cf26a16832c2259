#!/usr/bin/env python3
"""linkfs snapshot (E1, E2), and VOLUME@SNAPSHOT:/path wherever a path is read, on a volume that nobody owns and on a mounted one."""
import errno
import json
import mmap
import os
import re
import shutil
import stat
import subprocess
import sys

import harness as h

FACE = sys.argv[1]


def tree(volume, at):
    """What ls -lR tells of it, without the volume's name."""
    listing = h.must("ls", "-lR", "--full-time", at("/")).out
    return listing.replace(at("/").rstrip("/"), "")


def then(volume, name):
    return lambda path: f"{volume.path}@{name}:{path}"


def basics(base, volume):
    src = base + "/src" + FACE
    os.makedirs(src + "/d/e")
    for name, text in (("a", "one\n"), ("d/f", "two\n"), ("d/e/g", "x" * 100000)):
        with open(f"{src}/{name}", "w") as f:
            f.write(text)
    os.link(src + "/a", src + "/d/b")
    os.symlink("../a", src + "/d/l")
    os.symlink("/t/a", src + "/d/absolute")
    h.must("import", "-T", src, volume("/t"))
    h.must("ln", "-s", "--track", volume("/t/d/f"), volume("/t/tracked"))
    was = tree(volume, volume)
    h.equal(h.must("snapshot", "create", "-m", "the first", volume.path, "one").out, "one\n", "create tells the name")
    h.equal(tree(volume, then(volume, "one")), was, "it shows the tree as it is")
    h.must("mv", volume("/t/d/f"), volume("/t/moved"))
    h.must("rm", "-r", volume("/t/d"))
    h.must("touch", "-d", "2001-01-01", volume("/t/a"))
    with open(base + "/new" + FACE, "w") as f:
        f.write("changed\n")
    h.must("import", "-T", base + "/new" + FACE, volume("/t/d"))
    h.equal(tree(volume, then(volume, "one")), was, "and as it was, when all has changed")
    one = then(volume, "one")
    for path, text in (("/t/a", "one\n"), ("/t/d/b", "one\n"), ("/t/d/l", "one\n"), ("/t/d/absolute", "one\n"), ("/t/tracked", "two\n")):
        h.equal(h.must("cat", one(path)).out, text, f"cat of {path} in it")
    inos = [json.loads(h.must("stat", "--json", one(p)).raw)[0]["ino"] for p in ("/t/a", "/t/d/b")]
    h.ok(inos[0] == inos[1] and inos[0] >> 48, "two names of one file, with a number of its own", None)
    h.equal(h.must("readlink", one("/t/tracked")).out, "d/f\n", "a tracked link has its text of then")
    h.equal(h.must("readlink", volume("/t/tracked")).out, "moved\n", "and now that of now")
    h.equal(h.must("names", one("/t/a")).out, f"{one('/t/a')}\n{one('/t/d/b')}\n", "names in it")
    out = base + "/out" + FACE
    h.must("export", one("/t"), out)
    h.equal((open(out + "/d/e/g").read(), os.stat(out + "/a").st_nlink), ("x" * 100000, 2), "export of it")
    # Out of it into the volume: by sharing.
    h.must("cp", "-a", one("/t/d"), volume("/back"))
    h.equal(h.must("cat", volume("/back/e/g")).out, "x" * 100000, "cp out of it")


def refused(volume):
    one = then(volume, "one")
    for argv, error in ((("rm", one("/t/a")), "Read-only file system"),
                        (("touch", one("/t/a")), "Read-only file system"),
                        (("mkdir", one("/x")), "Read-only file system"),
                        (("chmod", "600", one("/t/a")), "Read-only file system"),
                        (("ln", "-s", "x", one("/x")), "Read-only file system"),
                        (("ln", one("/t/a"), one("/x")), "Read-only file system"),
                        (("mv", one("/t/a"), one("/x")), "Read-only file system"),
                        (("cp", volume("/t/a"), one("/x")), "Read-only file system"),
                        (("mv", one("/t/a"), volume("/x")), "a snapshot cannot be changed"),
                        (("mv", volume("/t/a"), one("/x")), "a snapshot cannot be changed"),
                        (("ln", one("/t/a"), volume("/x")), "cross-device"),
                        (("bind", one("/t"), volume("/x")), "cross-device"),
                        (("cat", one("/nothing")), "No such file"),
                        (("cat", f"{volume.path}@two:/t/a"), "'two' is neither a snapshot"),
                        (("cat", f"{volume.path}@2001-01-01:/t/a"), "no snapshot is as old as '2001-01-01'"),
                        (("snapshot", "create", volume.path, "one"), "is called 'one' already"),
                        (("snapshot", "create", volume.path, "a/b"), "cannot be a snapshot's name"),
                        (("snapshot", "create", volume.path, ".."), "cannot be a snapshot's name"),
                        (("snapshot", "create", volume.path, "n" * 256), "File name too long"),
                        (("snapshot", "delete", volume.path, "two"), "no snapshot is called 'two'"),
                        (("snapshot", "rename", volume.path, "two", "three"), "no snapshot is called 'two'"),
                        (("snapshot", "show", volume.path, "two"), "no snapshot is called 'two'")):
        result = h.linkfs(*argv)
        h.ok(result.rc == 1 and error in result.err and result.err.count("\n") == 1, f"linkfs {argv[0]}: {error}", result)
    for argv in (("snapshot", "frob", volume.path), ("snapshot", "create", volume.path, "a", "b"), ("snapshot", "show", volume.path),
                 ("snapshot", "rename", volume.path, "one"), ("snapshot", "list", volume.path, "one"), ("snapshot", "list", "-m", "x", volume.path)):
        h.equal(h.linkfs(*argv).rc, 2, "wrong usage: " + " ".join(argv[1:2] + argv[3:]))
    h.equal(h.must("cat", then(volume, "one")("/t/a")).out, "one\n", "and nothing has changed")


def links(volume):
    """names, referrers, dangling and explain of what was (D1 to D4)."""
    one = then(volume, "one")
    h.equal(h.must("referrers", one("/t/a")).out, f"{one('/t/d/absolute')} -> /t/a\n{one('/t/d/l')} -> ../a\n" if FACE == "offline"
            else f"{one('/t/d/l')} -> ../a\n", "referrers of a snapshot's file: its links of then")
    h.equal(h.must("referrers", one("/t/d/f")).out, f"{one('/t/tracked')} -> d/f\n", "a tracked link's, with its text of then")
    h.equal(h.must("referrers", "--through", one("/t/d")).out, f"{one('/t/tracked')} -> d/f\n", "referrers --through")
    h.equal(h.must("referrers", volume("/t/moved")).out, f"{volume('/t/tracked')} -> moved\n", "and now")
    h.must("ln", "-s", "nowhere", volume("/t/broken"))
    h.must("snapshot", "create", "-q", volume.path, "broken")
    h.must("rm", volume("/t/broken"))
    broken = then(volume, "broken")
    h.ok(f"{broken('/t/broken')} -> nowhere: there is no nowhere in /t\n" in h.must("dangling", broken("/t")).out, "dangling in a snapshot", None)
    h.equal(h.must("dangling", volume("/t")).out, "", "and none now")
    for argv in (("dangling", "--fix", broken("/t")), ("impact", "rm", broken("/t/a")), ("impact", "mv", broken("/t/a"), broken("/t/b"))):
        result = h.linkfs(*argv)
        h.ok(result.rc == 1 and "a snapshot cannot be changed" in result.err, " ".join(argv[:2]) + " in a snapshot is refused", result)
    steps = json.loads(h.must("explain", "--json", broken("/t/broken")).raw)[0]["steps"]
    h.equal((steps[-1]["step"], steps[-1]["error"]), ("end", "ENOENT"), "explain in a snapshot")
    steps = json.loads(h.must("explain", "--json", one("/t/d/l")).raw)[0]["steps"]
    h.equal(steps[-1]["ino"], json.loads(h.must("stat", "--json", one("/t/a")).raw)[0]["ino"], "and to its end")
    h.must("snapshot", "delete", "-q", volume.path, "broken")


def listed(volume):
    h.must("snapshot", "create", "-q", volume.path, "two words")
    dated = h.must("snapshot", "create", volume.path).out.strip()
    h.ok(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", dated), "without a name it is the time", None)
    again = h.must("snapshot", "create", volume.path).out.strip()
    h.ok(again != dated, "two in one second have two names", None)
    rows = json.loads(h.must("snapshot", "list", "--json", volume.path).raw)
    h.equal([r["name"] for r in rows], ["one", "two words", dated, again], "list --json, in their order")
    h.equal((rows[0]["note"], rows[1]["note"]), ("the first", ""), "with notes")
    lines = h.must("snapshot", "list", volume.path).out.splitlines()
    h.equal(len(lines), 4, "list")
    h.ok(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000  one +'the first'", lines[0]), "a line of it", None)
    h.equal(h.must("cat", f"{volume.path}@now:/t/moved").out, "two\n", "the newest, by a time")
    h.must("snapshot", "rename", volume.path, "one", "first")
    h.equal(h.must("cat", then(volume, "first")("/t/a")).out, "one\n", "renamed")
    h.equal(h.linkfs("cat", then(volume, "one")("/t/a")).rc, 1, "and not by the old name")
    (row,) = [json.loads(h.must("snapshot", "show", "--json", volume.path, "first").raw)]
    h.equal(row["note"], "the first", "show --json")


def deleted(volume):
    before = json.loads(h.must("info", "--json", volume("/")).raw)[0]
    h.must("snapshot", "create", "-q", volume.path, "big")
    h.must("rm", "-r", volume("/back"))
    result = h.must("snapshot", "delete", volume.path, "two words", "first", "big")
    h.equal([line.split(":")[0] for line in result.out.splitlines()], ["two words", "first", "big"], "delete tells of each")
    h.equal(h.linkfs("ls", then(volume, "first")("/")).rc, 1, "it is gone")
    rest = [r["name"] for r in json.loads(h.must("snapshot", "list", "--json", volume.path).raw)]
    freed = json.loads(h.must("snapshot", "delete", "--json", volume.path, *rest).raw)
    h.ok(all(r["freed"] >= 0 for r in freed) and len(freed) == 2, "delete --json", None)
    h.equal(h.must("snapshot", "list", volume.path).out, "", "none is left")
    h.must("sync", volume("/"))
    after = json.loads(h.must("info", "--json", volume("/")).raw)[0]
    h.ok(after["data"]["used"] < before["data"]["used"] if "data" in after else True, "space has come back", None)
    h.must("check", "--data", volume("/"))


def errno_of(call):
    try:
        call()
        return "none"
    except OSError as e:
        return errno.errorcode[e.errno]


def walk(top):
    """All that programs see below top."""
    seen, first = {}, {}
    for dirpath, dirs, files in os.walk(top):
        for name in sorted(dirs + files):
            path = os.path.join(dirpath, name)
            st = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else None if name in dirs else open(path, "rb").read()
            rel = os.path.relpath(path, top)
            seen[rel] = (st.st_mode, st.st_uid, st.st_size, st.st_nlink, st.st_mtime_ns, content, first.setdefault(st.st_ino, rel))
    return seen


def browse(base, volume):
    """.snapshots in the root of the mount (E1): by name, not listed, read-only, for every program."""
    mnt, snapshots = volume.mnt, volume.mnt + "/.snapshots"
    top = mnt + "/browse"
    os.makedirs(top + "/d/e")
    for name, text in (("a", "one"), ("d/f", "two"), ("d/e/g", "g" * 50000)):
        with open(f"{top}/{name}", "w") as f:
            f.write(text)
    os.link(top + "/a", top + "/d/b")
    os.symlink("../a", top + "/d/l")
    h.must("ln", "-s", "--track", top + "/d/f", top + "/tracked")
    h.must("ln", "--directory", top + "/d/e", top + "/e2")
    os.makedirs(top + "/bound")
    h.must("bind", top + "/d", top + "/bound")
    h.equal(".snapshots" in os.listdir(mnt), False, ".snapshots is not listed")
    before = os.listdir(snapshots)
    was = walk(top)
    h.must("snapshot", "create", "-q", volume.path, "seen")
    h.equal(sorted(os.listdir(snapshots)), sorted(before + ["seen"]), "a new one is in its listing at once")
    then_top = snapshots + "/seen/browse"
    h.equal(walk(then_top), was, "programs see the tree as it is")
    os.rename(top + "/d/f", top + "/moved")
    h.must("unbind", top + "/bound")
    subprocess.run(["rm", "-r", top + "/d"], check=True)
    with open(top + "/a", "w") as f:
        f.write("changed")
    h.equal(walk(then_top), was, "and as it was, when it has changed")
    subprocess.run(["sync"], check=False)
    h.equal(walk(then_top), was, "again, from the kernel's caches")
    live, past = os.stat(top + "/a").st_ino, os.stat(then_top + "/a").st_ino
    h.ok(live != past and live == past & (1 << 48) - 1, "a number of its own", None)
    # Every change is refused.
    for what, call in (("open for writing", lambda: open(then_top + "/a", "r+")), ("open for appending", lambda: open(then_top + "/a", "a")),
                       ("truncate", lambda: os.truncate(then_top + "/a", 0)), ("creat", lambda: open(then_top + "/new", "w")),
                       ("mkdir", lambda: os.mkdir(then_top + "/new")), ("rmdir", lambda: os.rmdir(then_top + "/d")),
                       ("unlink", lambda: os.unlink(then_top + "/a")), ("rename", lambda: os.rename(then_top + "/a", then_top + "/z")),
                       ("symlink", lambda: os.symlink("x", then_top + "/z")), ("link", lambda: os.link(then_top + "/a", then_top + "/z")),
                       ("chmod", lambda: os.chmod(then_top + "/a", 0o600)), ("utimes", lambda: os.utime(then_top + "/a", (1, 1))),
                       ("setxattr", lambda: os.setxattr(then_top + "/a", "user.x", b"y")),
                       ("mkdir beside the snapshots", lambda: os.mkdir(snapshots + "/new")), ("rmdir of a snapshot", lambda: os.rmdir(snapshots + "/seen"))):
        h.equal(errno_of(call), "EROFS", f"{what} is EROFS")
    h.equal(errno_of(lambda: os.link(then_top + "/a", top + "/z")), "EXDEV", "a link out of it is EXDEV")
    h.equal(errno_of(lambda: os.rename(then_top + "/a", top + "/z")) in ("EXDEV", "EROFS"), True, "so is a rename, or EROFS")
    h.equal(errno_of(lambda: os.mkdir(snapshots)), "EEXIST", "the name is taken")
    h.equal(walk(then_top), was, "and nothing was changed")
    # cp, tar and rsync make of it what they would have made of the tree then.
    for name, command in (("cp", ["cp", "-a", then_top, base + "/copied"]), ("rsync", ["rsync", "-aH", then_top + "/", base + "/rsynced"])):
        if shutil.which(command[0]):
            subprocess.run(command, check=True)
            h.equal({k: v[:4] + v[5:6] for k, v in walk(command[-1]).items() if not stat.S_ISDIR(v[0])}.keys(),
                    {k: v for k, v in was.items() if not stat.S_ISDIR(v[0])}.keys(), f"{name} of it")
    h.equal(os.stat(base + "/copied/a").st_nlink, sum(v[6] == "a" for v in was.values()), "with its hard links")
    # Questions about links, as commands and as attributes.
    for name in ("kind", "names", "referrers", "tracks"):
        h.equal(errno_of(lambda n=name: os.getxattr(snapshots, "linkfs." + n)), "ENODATA", f"the directory of snapshots has no linkfs.{name}")
    h.equal(sorted(os.getxattr(then_top + "/a", "linkfs.names").split()), [b"/browse/a", b"/browse/bound/b", b"/browse/d/b"], "linkfs.names of then")
    h.equal(sorted(os.getxattr(then_top + "/a", "linkfs.referrers").split()), [b"/browse/bound/l", b"/browse/d/l"], "linkfs.referrers of then")
    h.equal((os.getxattr(top + "/a", "linkfs.names"), os.getxattr(top + "/a", "linkfs.referrers")), (b"/browse/a\n", b""), "and of now")
    h.equal(os.getxattr(then_top + "/d", "linkfs.kind"), b"directory", "linkfs.kind")
    h.equal(os.getxattr(then_top + "/tracked", "linkfs.tracks", follow_symlinks=False), b"/browse/d/f\n", "linkfs.tracks")
    h.equal(h.must("referrers", then_top + "/a").out, "".join(f"{then_top}/{d}/l -> ../a\n" for d in ("bound", "d")), "referrers by a path in it")
    os.symlink(top + "/a", top + "/absolute")
    os.symlink("../../../browse/a", top + "/above")
    os.symlink("../../seen/browse/a", top + "/beside")
    h.must("snapshot", "create", "-q", volume.path, "other")
    for path in ("/seen/browse/d/l", "/seen/browse/a", "/other/browse/absolute", "/other/browse/above", "/other/browse/beside", "/seen/..", "/seen/../../browse/a",
                 "/other/../seen/browse/d/e/../f", "/nothing", "/seen/browse/nothing", "/seen/browse/tracked", ""):
        try:
            want = os.stat(snapshots + path).st_ino
        except OSError as e:
            want = errno.errorcode[e.errno]
        end = json.loads(h.must("explain", "--json", snapshots + path).raw)[0]["steps"][-1]
        h.equal(end.get("error") or end["ino"], want, f"explain of .snapshots{path} ends where the kernel ends")
    h.equal(h.must("referrers", snapshots + "/other/browse/a").out.splitlines(), [f"{snapshots}/other/browse/absolute -> {top}/a"],
            "the snapshot's root stands for the mount point in referrers")
    h.must("snapshot", "delete", "-q", volume.path, "other")
    os.unlink(top + "/absolute")
    os.unlink(top + "/above")
    os.unlink(top + "/beside")
    os.chdir(then_top + "/d/e")
    h.equal((os.getcwd(), sorted(os.listdir(".."))), (then_top + "/d/e", ["b", "e", "f", "l"]), "a working directory in it")
    h.must("snapshot", "rename", volume.path, "seen", "by another name")
    h.equal((os.path.exists(snapshots + "/seen"), walk(snapshots + "/by another name/browse") == was), (False, True), "renamed, at once")
    h.equal(h.must("cat", snapshots + "/by another name/browse/d/f").out, "two", "commands take paths in it")
    h.equal(h.must("names", snapshots + "/by another name/browse/a").out.splitlines(), [f"{snapshots}/by another name/browse/{n}" for n in ("a", "bound/b", "d/b")], "and tell them")
    f = open(snapshots + "/by another name/browse/a")
    h.must("snapshot", "delete", volume.path, "by another name")
    h.equal(("by another name" in os.listdir(snapshots), os.path.exists(snapshots + "/by another name")), (False, False), "deleted, at once")
    os.chdir(base)
    f.close()
    # What programs wrote through a shared mapping and the kernel has not handed over (M5).
    for how in ("open", "closed"):
        path = f"{mnt}/mapped-{how}"
        with open(path, "wb") as f:
            f.write(b"." * 100000)
        fd = os.open(path, os.O_RDWR)
        pages = mmap.mmap(fd, 100000)
        if how == "closed":
            os.close(fd)
        pages[50000:50005] = b"dirty"
        h.must("snapshot", "create", "-q", volume.path, how)
        h.equal(open(f"{snapshots}/{how}/mapped-{how}", "rb").read()[49999:50006], b".dirty.", f"pages of a mapping whose file is {how} are in it")
        pages[50000:50005] = b"later"
        h.equal(open(f"{snapshots}/{how}/mapped-{how}", "rb").read()[49999:50006], b".dirty.", "and what is written later is not")
        pages.close()
        if how == "open":
            os.close(fd)
        h.equal(open(path, "rb").read()[50000:50005], b"later", "but in the file")
        h.must("snapshot", "delete", "-q", volume.path, how)
    # A real entry of that name is what the root has.
    with open(mnt + "/x", "w") as f:
        f.write("mine")
    h.must("mv", volume("/x"), volume("/.snapshots"))
    h.equal(open(snapshots).read(), "mine", "an entry of that name comes before it")
    os.unlink(snapshots)
    h.equal(os.path.isdir(snapshots), True, "and goes again")


def main():
    base, volume = h.begin(FACE)
    basics(base, volume)
    refused(volume)
    links(volume)
    listed(volume)
    deleted(volume)
    if FACE == "live":
        browse(base, volume)
    if FACE != "offline":
        volume.umount()
        h.must("check", "--data", volume.path)
    h.done()


main()
