#!/usr/bin/env python3
"""linkfs ln --directory (row D6), offline, live, and on paths in the mount; in the mount, what programs see of a directory with two names.

    test_directories.py offline|live|mount
"""
import errno
import json
import os
import shutil
import subprocess
import sys

import harness as h

FACE = sys.argv[1]


def raises(code, call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno == code
    return False


def commands(base, volume):
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    spelt = (lambda p: volume.mnt + p) if FACE == "mount" else (lambda p: f"{os.path.realpath(volume.path)}:{p}")
    h.put(base + "/text", b"song\n")
    h.must("mkdir", place("/labels"), place("/labels/ecm"), place("/labels/ecm/album"), place("/styles"))
    h.must("cp", base + "/text", place("/labels/ecm/album/song"))
    h.equal(h.must("ln", "-dv", place("/labels/ecm"), place("/styles/jazz")).out, f"'{place('/styles/jazz')}' => '{place('/labels/ecm')}'\n", "ln -dv tells")
    h.must("ln", "--directory", place("/styles/jazz"), place("/styles/rock"))
    h.equal(h.must("cat", place("/styles/rock/album/song")).out, "song\n", "it is the directory")
    h.equal(h.must("stat", "-c", "%h %i", place("/styles/jazz")).out, h.must("stat", "-c", "%h %i", place("/labels/ecm")).out, "one inode, one link count")
    h.equal(h.must("stat", "-c", "%h", place("/labels/ecm")).out, "5\n", "three names, itself, and the one in it")
    h.equal(h.must("names", place("/labels/ecm/album/song")).out,
            "".join(spelt(p) + "\n" for p in ("/labels/ecm/album/song", "/styles/jazz/album/song", "/styles/rock/album/song")), "a file in it has a name per path")
    h.equal([n for a in json.loads(h.must("names", "--json", place("/styles/jazz")).out) for n in a["names"]], ["/labels/ecm", "/styles/jazz", "/styles/rock"],
            "and it has its own")
    h.equal(h.must("readlink", "-f", place("/styles/jazz/album/..")).out, spelt("/styles/jazz") + "\n", ".. is that of the path")
    refusals = [
        (["ln", "--directory", place("/styles"), place("/labels/ecm/styles")],
         f"ln: {place('/labels/ecm/styles')}: cannot link to '{place('/styles')}': the directory would lie in itself"),
        (["mv", place("/styles"), place("/labels/ecm/s")],
         f"mv: {place('/styles')}: cannot move to '{place('/labels/ecm/s')}': the directory would come to lie in itself"),
        (["ln", "--directory", place("/labels/ecm/album/song"), place("/x")],
         f"ln: {place('/labels/ecm/album/song')}: cannot link: not a directory, or one on the way to '{place('/x')}' is none"),
        (["ln", "-T", "--directory", place("/labels"), place("/styles")], f"ln: {place('/styles')}: exists; remove it first"),
        (["ln", place("/labels"), place("/x")],
         f"ln: {place('/labels')}: hard link not allowed: a directory (--directory links those), or not yours to link"),
    ]
    for command, text in refusals:
        result = h.linkfs(*command)
        h.equal((result.rc, result.err), (1, f"linkfs: {text}\n"), "refused: " + " ".join(command[:2]))
    result = h.linkfs("ln", "--directory", "-s", place("/labels"), place("/x"))
    h.ok(result.rc == 2 and "--directory goes with neither" in result.err, "with -s it is wrong usage", result)
    h.must("rmdir", place("/styles/rock"))
    h.equal(h.must("ls", place("/labels/ecm")).out, "album\n", "rmdir of one name leaves the content")
    h.must("ln", "--directory", place("/styles/jazz"), place("/styles/rock"))
    h.equal(h.must("rm", "-v", place("/styles/rock")).out, f"removed directory '{place('/styles/rock')}'\n", "so does rm")
    h.must("ln", "--directory", place("/styles/jazz"), place("/styles/rock"))
    h.equal(h.must("rm", "-rv", place("/styles/rock")).out, f"removed directory '{place('/styles/rock')}'\n", "and rm -r")
    h.must("mkdir", place("/tree"))
    h.must("ln", "--directory", place("/styles/jazz"), place("/tree/a"))
    h.must("ln", "--directory", place("/styles/jazz"), place("/tree/b"))
    h.must("rm", "-r", place("/tree"))
    h.equal(h.must("names", place("/labels/ecm")).out, spelt("/labels/ecm") + "\n" + spelt("/styles/jazz") + "\n", "also below a tree that goes")
    h.equal(h.must("cat", place("/labels/ecm/album/song")).out, "song\n", "the content is there")
    h.must("cp", "-r", place("/styles"), place("/copy"))
    h.equal(h.must("cat", place("/copy/jazz/album/song")).out, "song\n", "cp -r copies what is there")
    h.must("mkdir", place("/both"), place("/both/x"))
    h.must("touch", place("/both/x/f"))
    h.must("ln", "--directory", place("/both/x"), place("/both/y"))
    h.must("rm", "-r", place("/both"))
    h.ok(h.linkfs("ls", place("/both")).rc != 0, "a tree with all names of a directory goes whole")
    h.must("check", volume.path if FACE == "offline" else volume("/"))


def programs(volume):
    mnt = volume.mnt + "/programs"
    a, b = mnt + "/one/a", mnt + "/two/b"
    os.makedirs(a + "/sub/deeper")
    os.makedirs(mnt + "/two")
    h.put(a + "/known")
    fd = os.open(a + "/sub", os.O_RDONLY)
    h.ok(not os.path.exists(a + "/later") and not os.path.exists(a + "/sub/later"), "absent names are known to the kernel")
    os.listdir(a)
    os.listdir(a + "/sub")
    h.must("ln", "--directory", a, b)
    places = (a, b)
    st = [os.stat(p) for p in places]
    h.equal([(s.st_ino, s.st_dev, s.st_nlink) for s in st], [(st[0].st_ino, st[0].st_dev, 4)] * 2, "one directory, two names")
    h.equal([os.stat(p + "/..").st_ino for p in places], [os.stat(mnt + "/one").st_ino, os.stat(mnt + "/two").st_ino], ".. is right in each")
    h.equal(sorted(subprocess.run(["find", mnt, "-type", "d", "-name", "sub"], capture_output=True, text=True, check=True).stdout.split()), [a + "/sub", b + "/sub"],
            "find without -L sees real directories")
    late = []
    for i in range(800):
        at = "/sub" if i % 4 >= 2 else ""
        by, other = places[i % 2] + at, places[1 - i % 2] + at
        name = "later" if i % 3 else f"n{i % 7}"
        if os.path.exists(f"{other}/{name}") or os.path.exists(f"{by}/{name}"):
            late.append((i, "there before"))
        h.put(f"{by}/{name}", b"%d\n" % i)
        if h.read(f"{other}/{name}") != b"%d\n" % i or name not in os.listdir(other):
            late.append((i, "made"))
        os.rename(f"{by}/{name}", f"{by}/{name}.2")
        if os.path.exists(f"{other}/{name}") or not os.path.exists(f"{other}/{name}.2"):
            late.append((i, "renamed"))
        os.rename(f"{other}/{name}.2", f"{by}/{name}.3")  # from place to place: one directory, an ordinary rename
        if any(os.path.exists(f"{p}/{name}.2") or not os.path.exists(f"{p}/{name}.3") for p in (by, other)):
            late.append((i, "renamed across"))
        links = os.stat(by).st_nlink
        os.mkdir(f"{by}/{name}.d")
        if not os.path.isdir(f"{other}/{name}.d") or os.stat(other).st_nlink != links + 1:
            late.append((i, "mkdir"))
        os.rmdir(f"{other}/{name}.d")
        if os.path.exists(f"{by}/{name}.d") or os.stat(by).st_nlink != links:
            late.append((i, "rmdir"))
        os.symlink("x", f"{by}/{name}.l")
        if os.readlink(f"{other}/{name}.l") != "x":
            late.append((i, "symlink"))
        os.unlink(f"{other}/{name}.l")
        os.link(f"{by}/{name}.3", f"{by}/{name}.h")
        if os.stat(f"{other}/{name}.h").st_nlink != 2:
            late.append((i, "link"))
        os.unlink(f"{by}/{name}.h")
        os.unlink(f"{other}/{name}.3")
        if any(os.path.lexists(f"{p}/{name}{s}") for p in (by, other) for s in (".3", ".l", ".h")):
            late.append((i, "unlink"))
    h.equal(late, [], "800 rounds by two places, two directories deep: the other saw each change in the next call")
    h.equal(os.readlink(f"/proc/self/fd/{fd}"), a + "/sub", "a descriptor opened before keeps its path")
    os.close(fd)
    cycles(mnt, a, b)
    cwd(mnt, a, b)
    tools(mnt)
    removal(mnt, a, b)
    h.must("check", "--data", volume("/"))


def cycles(mnt, a, b):
    h.ok(raises(errno.ELOOP, os.rename, mnt + "/two", a + "/sub/two"), "a rename that would make it lie in itself is ELOOP")
    h.ok(raises(errno.EINVAL, os.rename, a, a + "/sub/a"), "into itself, as it is walked, EINVAL")
    h.ok(raises(errno.EPERM, os.link, a, mnt + "/c"), "link(2) refuses directories (A5)")
    h.ok(os.path.isdir(b + "/sub/deeper"), "nothing of that moved")


def cwd(mnt, a, b):
    """Processes in both places, while the directory and what is above it are used and renamed."""
    wrong = []
    processes = [subprocess.Popen(["sh", "-c", "while read -r x; do /bin/pwd -P; (cd -P .. && /bin/pwd -P); done"], cwd=p + "/sub/deeper", stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True) for p in (a, b)]

    def ask(i, want):
        for process, path in zip(processes, want):
            process.stdin.write("go\n")
            process.stdin.flush()
            got = process.stdout.readline().strip(), process.stdout.readline().strip()
            if got != (path, os.path.dirname(path)):
                wrong.append((i, got, path))

    for i in range(50):
        ask(i, (a + "/sub/deeper", b + "/sub/deeper"))
        os.stat((a, b)[i % 2] + "/sub/deeper")
    os.rename(b, mnt + "/two/renamed")
    ask("renamed", (a + "/sub/deeper", mnt + "/two/renamed/sub/deeper"))
    os.rename(mnt + "/two/renamed", b)
    os.rename(a + "/sub", a + "/other")
    # The kernel learns the new name at the other place when it is used; the directory is the same all along.
    os.stat(b + "/other/deeper")
    ask("below", (a + "/other/deeper", b + "/other/deeper"))
    os.rename(b + "/other", b + "/sub")
    os.stat(a + "/sub/deeper")
    ask("back", (a + "/sub/deeper", b + "/sub/deeper"))
    for process in processes:
        process.stdin.close()
        process.wait()
    h.equal(wrong, [], "working directories and their parents stay right, each in its place")


def tools(mnt):
    for command in (["find", "-L", mnt], ["du", "-a", mnt], ["du", "-L", mnt], ["ls", "-lR", mnt], ["tar", "-cf", "/dev/null", "-C", mnt, "."]):
        result = subprocess.run(command, capture_output=True, timeout=60)
        h.equal((result.returncode, result.stderr), (0, b""), " ".join(command[:2]) + " ends")
    if shutil.which("rsync"):
        copy = mnt + "-copy"
        subprocess.run(["rsync", "-a", mnt + "/", copy + "/"], check=True, timeout=60)
        h.ok(os.path.isdir(copy + "/one/a/sub/deeper") and os.path.isdir(copy + "/two/b/sub/deeper"), "rsync without -L copies it by both names")
        shutil.rmtree(copy)
    if shutil.which("git"):
        env = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": mnt, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["status", "--porcelain"], ["gc", "-q"]):
            result = subprocess.run(["git", *command], cwd=mnt + "/two/b", env={**os.environ, **env}, capture_output=True, timeout=60)
            h.equal((result.returncode, result.stdout), (0, b""), "git " + command[0], result.stderr)
        result = subprocess.run(["git", "status", "--porcelain"], cwd=mnt + "/one/a", env={**os.environ, **env}, capture_output=True, timeout=60)
        h.equal((result.returncode, result.stdout), (0, b""), "git status by the other name", result.stderr)
        shutil.rmtree(mnt + "/two/b/.git")


def removal(mnt, a, b):
    """rmdir(2) of one name: the content stays, and who works in it by the other goes on."""
    process = subprocess.Popen(["sh", "-c", "read -r x; echo kept >made; /bin/pwd -P"], cwd=b + "/sub", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.rmdir(a)
    h.ok(not os.path.exists(a) and "a" not in os.listdir(mnt + "/one"), "rmdir of one name of a directory that is not empty")
    h.equal(sorted(os.listdir(b)), ["known", "sub"], "its content is there by the other")
    h.equal(process.communicate("go\n")[0].strip(), b + "/sub", "a working directory in it stays")
    h.equal(h.read(b + "/sub/made"), b"kept\n", "and can be written in")
    h.equal(os.stat(b).st_nlink, 3, "its link count is one less")
    os.mkdir(a)
    h.ok(os.stat(a).st_ino != os.stat(b).st_ino, "the name may be used anew")
    os.rmdir(a)
    h.must("ln", "--directory", b, a)
    h.equal(sorted(os.listdir(a)), ["known", "sub"], "or be given back")
    os.rmdir(b)
    h.ok(raises(errno.ENOTEMPTY, os.rmdir, a), "the last name of a directory that is not empty stays")
    h.put(a + "/again")
    shutil.rmtree(a)
    h.equal(os.listdir(mnt + "/one") + os.listdir(mnt + "/two"), [], "all of it is gone with that")


def main():
    base, volume = h.begin(FACE)
    commands(base, volume)
    if FACE == "live":
        programs(volume)
        volume.umount()
        h.must("check", "--data", volume.path)
    h.done()


main()
