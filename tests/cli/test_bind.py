#!/usr/bin/env python3
"""linkfs bind and unbind (rows C1 to C3), offline, live, and on paths in the mount; in the mount, what programs see of a bound directory.

    test_bind.py offline|live|mount
"""
import errno
import json
import os
import shutil
import subprocess
import sys
import threading

import harness as h

FACE = sys.argv[1]


def commands(base, volume):
    place = (lambda p: volume.mnt + p) if FACE == "mount" else volume
    spelt = (lambda p: volume.mnt + p) if FACE == "mount" else (lambda p: f"{os.path.realpath(volume.path)}:{p}")
    h.put(base + "/text", b"shown\n")
    h.must("mkdir", place("/a"), place("/a/sub"), place("/b"), place("/q"))
    h.must("cp", base + "/text", place("/a/f"))
    h.must("touch", place("/b/covered"), place("/free"))
    h.equal(h.must("bind", "-v", place("/a"), place("/b")).out, f"'{place('/b')}' shows '{place('/a')}'\n", "bind -v tells")
    h.equal(h.must("ls", place("/b")).out, "f\nsub\n", "the place lists the source")
    h.equal(h.must("cat", place("/b/f")).out, "shown\n", "and has its content")
    h.equal(h.must("bind", "-v", place("/a/f"), place("/q/file")).out, f"'{place('/q/file')}' shows '{place('/a/f')}' (made for it)\n",
            "what is missing is made")
    h.equal(h.must("cat", place("/q/file")).out, "shown\n", "a file is shown")
    result = h.linkfs("bind", "-n", place("/a"), place("/q/none"))
    h.equal((result.rc, result.err), (1, f"linkfs: bind: {place('/q/none')}: cannot show '{place('/a')}' here: No such file or directory\n"),
            "-n makes nothing")
    got = sorted(h.must("bind", "--list", place("/")).out.splitlines())
    h.equal(got, sorted([f"{spelt('/b')} shows {spelt('/a')}", f"{spelt('/q/file')} shows {spelt('/a/f')}"]), "--list")
    got = sorted(json.loads(h.must("bind", "--list", "--json", place("/")).out), key=lambda b: b["path"])
    h.equal([(b["path"], b["source"], b["type"]) for b in got], [("/b", "/a", "directory"), ("/q/file", "/a/f", "file")], "--list --json")
    end = f"'linkfs unbind {spelt('/b')}'"
    refusals = [
        (["rmdir", place("/b")], f"rmdir: {place('/b')}: cannot remove: a bind shows '{spelt('/a')}' here; {end} ends it"),
        (["rm", "-r", place("/b")], f"rm: {place('/b')}: cannot remove: a bind shows '{spelt('/a')}' here; {end} ends it"),
        (["rm", "-r", place("/a")], f"rm: {place('/a')}: cannot remove: a bind shows it at '{spelt('/b')}'; {end} ends that"),
        (["mv", place("/b"), place("/c")], f"mv: {place('/b')}: cannot move to '{place('/c')}': a bind shows '{spelt('/a')}' here; {end} ends it"),
        (["mv", place("/a/f"), place("/b/g")],
         f"mv: {place('/a/f')}: cannot move to '{place('/b/g')}': a bind lies between them; copy it with 'linkfs cp -a', then remove it"),
        (["mv", place("/free"), place("/b")],
         f"mv: {place('/free')}: cannot move to '{place('/b/free')}': a bind lies between them; copy it with 'linkfs cp -a', then remove it"),
        (["bind", place("/q"), place("/b")], f"bind: {place('/b')}: cannot bind: a bind shows '{spelt('/a')}' here; {end} ends it"),
        (["bind", place("/"), place("/a/sub")], f"bind: {place('/a/sub')}: cannot show '{place('/')}' here: it would contain itself"),
        (["bind", place("/a/f"), place("/a/sub")], f"bind: {place('/a/sub')}: is a directory: '{place('/a/f')}' is none, and is bound at a file"),
        (["bind", place("/none"), place("/q")], f"bind: {place('/none')}: No such file or directory"),
        (["unbind", place("/q")], f"unbind: {place('/q')}: no bind stands there; 'linkfs bind --list' shows those there are"),
    ]
    for command, text in refusals:
        result = h.linkfs(*command)
        h.equal((result.rc, result.err), (1, f"linkfs: {text}\n"), "refused: " + " ".join(command[:-1]))
    result = h.linkfs("bind", place("/a"))
    h.ok(result.rc == 2 and "needs a source and a place" in result.err, "one operand is wrong usage", result)
    h.must("mv", place("/a"), place("/z"))
    h.equal(h.must("ls", place("/b")).out, "f\nsub\n", "the source may be renamed")
    h.equal(h.must("unbind", "-v", place("/b")).out, f"'{place('/b')}' is itself again\n", "unbind -v")
    h.equal(h.must("ls", place("/b")).out, "covered\n", "what was covered is back")
    h.must("unbind", "-r", place("/q/file"))
    h.equal(h.must("ls", place("/q")).out, "", "unbind -r removes what was made for it")
    h.must("bind", place("/z"), place("/b"))
    result = h.linkfs("unbind", "-r", place("/b"))
    h.equal((result.rc, result.err), (1, f"linkfs: unbind: {place('/b')}: is unbound and stays: Directory not empty\n"), "but nothing that has content")
    h.equal(h.must("bind", "--list", place("/")).out, "", "no bind is left")
    h.must("check", volume.path if FACE == "offline" else volume("/"))


def raises(code, call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno == code
    return False


def programs(volume):
    """What the kernel knows of each place agrees at once, however it came to know it."""
    mnt = volume.mnt + "/programs"
    a, b, c = mnt + "/a", mnt + "/deep/b", mnt + "/c"
    for d in (a + "/sub/deeper", b, c):
        os.makedirs(d)
    h.put(b + "/covered")
    h.put(a + "/known")
    h.put(mnt + "/deep/mark", b"deep\n")
    os.symlink("../mark", a + "/beside")
    h.ok(not os.path.exists(a + "/later") and not os.path.exists(b + "/later"), "absent names are known to the kernel")
    h.must("bind", a, b)
    h.must("bind", a, c)
    places = (a, b, c)
    st = [os.stat(p) for p in places]
    h.equal([(s.st_ino, s.st_dev, s.st_nlink) for s in st], [(st[0].st_ino, st[0].st_dev, 3)] * 3, "one directory at three places")
    h.equal([sorted(os.listdir(p)) for p in places], [["beside", "known", "sub"]] * 3, "with one listing")
    h.equal(h.read(b + "/beside"), b"deep\n", ".. of a symlink in it is the place's")
    h.ok(raises(errno.ENOENT, os.stat, a + "/beside"), "and leads nowhere at another place")
    late = []
    for i in range(600):
        by, others = places[i % 3], [p for j, p in enumerate(places) if j != i % 3]
        name = "later" if i % 2 else f"n{i % 7}"
        if any(os.path.exists(f"{p}/{name}") for p in places):
            late.append((i, "there before"))
        h.put(f"{by}/{name}", b"%d\n" % i)
        late += [(i, "made") for p in others if h.read(f"{p}/{name}") != b"%d\n" % i]
        late += [(i, "listed") for p in others if name not in os.listdir(p)]
        os.rename(f"{by}/{name}", f"{by}/{name}.2")
        late += [(i, "renamed") for p in others if os.path.exists(f"{p}/{name}") or not os.path.exists(f"{p}/{name}.2")]
        os.mkdir(f"{by}/{name}.d")
        late += [(i, "mkdir") for p in others if not os.path.isdir(f"{p}/{name}.d") or os.stat(p).st_nlink != 4]
        os.rmdir(f"{others[0]}/{name}.d")
        late += [(i, "rmdir") for p in places if os.path.exists(f"{p}/{name}.d") or os.stat(p).st_nlink != 3]
        os.unlink(f"{others[1]}/{name}.2")
        late += [(i, "unlink") for p in places if os.path.exists(f"{p}/{name}.2")]
        os.chmod(by, 0o700 + i % 2)
        late += [(i, "chmod") for p in places if os.stat(p).st_mode & 0o777 != 0o700 + i % 2]
        os.utime(by, ns=(i, i))
        late += [(i, "utime") for p in places if os.stat(p).st_mtime_ns != i]
    h.equal(late, [], "600 rounds by three places: the others saw each change in the next call")
    os.chmod(a, 0o755)
    h.ok(raises(errno.EXDEV, os.rename, b + "/known", a + "/other") and raises(errno.EXDEV, os.rename, b + "/known", c + "/other") and
         raises(errno.EXDEV, os.rename, mnt + "/deep/mark", b + "/mark"), "rename(2) across is EXDEV")
    subprocess.run(["mv", mnt + "/deep/mark", b + "/mark"], check=True)
    h.equal(h.read(c + "/mark"), b"deep\n", "mv copies instead")
    h.ok(raises(errno.EBUSY, os.rmdir, b) and raises(errno.EBUSY, os.rename, c, mnt + "/d") and raises(errno.EBUSY, os.rename, mnt + "/deep/b", a + "/sub/e"),
         "a bound place is busy")
    walking(mnt, places)
    tools(mnt, b)
    h.must("unbind", b)
    h.equal(os.listdir(b), ["covered"], "unbind: what was covered is back in the mount")
    h.ok(os.path.exists(c + "/known"), "and the other bind stands")
    h.must("check", "--data", volume("/"))


def walking(mnt, places):
    """Working directories stay where they are while the others are used."""
    wrong = []

    def stay(path):
        process = subprocess.Popen(["sh", "-c", "while read -r x; do /bin/pwd -P; (cd -P .. && /bin/pwd -P); done"], cwd=path + "/sub/deeper", stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        return process

    processes = [stay(p) for p in places]
    for i in range(50):
        for p, process in zip(places, processes):
            process.stdin.write("go\n")
            process.stdin.flush()
            got = process.stdout.readline().strip(), process.stdout.readline().strip()
            if got != (p + "/sub/deeper", p + "/sub"):
                wrong.append((i, got))
        os.stat(places[i % 3] + "/sub/deeper")
    for process in processes:
        process.stdin.close()
        process.wait()
    h.equal(wrong, [], "three processes keep their directories and parents")
    os.rename(places[0] + "/sub", places[0] + "/sub2")
    h.equal([os.path.isdir(p + "/sub2/deeper") and not os.path.exists(p + "/sub") for p in places], [True] * 3, "a directory in it is renamed at all places")
    os.rename(places[1] + "/sub2", places[1] + "/sub")
    fd = os.open(places[1] + "/sub", os.O_RDONLY)
    os.rename(places[1] + "/sub", places[1] + "/sub3")
    h.equal(os.readlink(f"/proc/self/fd/{fd}"), places[1] + "/sub3", "a renamed directory keeps its node")
    os.close(fd)
    os.rename(places[2] + "/sub3", places[2] + "/sub")


def tools(mnt, b):
    for command in (["find", "-L", mnt], ["du", mnt], ["ls", "-lR", mnt]):
        result = subprocess.run(command, capture_output=True, timeout=60)
        h.equal((result.returncode, result.stderr), (0, b"") if command[0] != "find" else (result.returncode, b""), " ".join(command[:-1]) + " ends")
    if shutil.which("rsync"):
        copy = mnt + "/copy"
        subprocess.run(["rsync", "-a", mnt + "/deep/", copy + "/"], check=True, timeout=60)
        h.equal(sorted(os.listdir(copy + "/b")), sorted(os.listdir(b)), "rsync copies what is shown")
        shutil.rmtree(copy)
    if shutil.which("git"):
        env = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": mnt, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["status", "--porcelain"]):
            result = subprocess.run(["git", *command], cwd=b, env={**os.environ, **env}, capture_output=True, timeout=60)
            h.equal((result.returncode, result.stdout), (0, b""), "git " + command[0] + " in a bound directory", result.stderr)
        shutil.rmtree(b + "/.git")


def many_at_once(volume):
    """Threads that make and remove names by different places at once: none hangs, and all agree in the end."""
    mnt = volume.mnt + "/many"
    a = mnt + "/a"
    places = [a] + [f"{mnt}/p{i}" for i in range(5)]
    for p in places:
        os.makedirs(p)
    for i in range(3):
        os.mkdir(f"{a}/d{i}")
    for p in places:
        os.path.exists(p + "/absent")
        if p != a:
            h.must("bind", a, p)
    errors = []

    def work(number):
        p = places[number % len(places)]
        try:
            for i in range(200):
                name = f"{p}/d{i % 3}/t{number}-{i}"
                h.put(name)
                os.rename(name, f"{p}/t{number}")
                os.rename(f"{p}/t{number}", name)
                os.unlink(name)
        except OSError as e:
            errors.append((number, e))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    h.ok(not any(t.is_alive() for t in threads), "twelve threads at six places come to an end")
    h.equal(errors, [], "without an error")
    h.equal([os.listdir(f"{p}/d{i}") for p in places for i in range(3)], [[]] * 18, "and nothing is left")


def main():
    base, volume = h.begin(FACE)
    commands(base, volume)
    if FACE == "live":
        programs(volume)
        many_at_once(volume)
        volume.umount()
        h.must("check", "--data", volume.path)
        volume.mount()
        h.equal(sorted(os.listdir(volume.mnt + "/programs/c")), sorted(os.listdir(volume.mnt + "/programs/a")), "binds survive a new mount")
        volume.umount()
    h.done()


main()
