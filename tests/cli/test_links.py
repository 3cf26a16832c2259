#!/usr/bin/env python3
"""names, referrers, dangling, impact, explain and advise (D1-D4): their output word for word, their JSON, their errors; offline, on a mounted
volume, and on paths inside the mount; what an ordinary user is told; and explain's end beside stat(2) on random trees."""
import errno
import json
import os
import random
import subprocess
import sys

import harness as h

MODE = sys.argv[1] if len(sys.argv) > 1 else "offline"


def make_tree(volume):
    for path in ("/srv/releases/1.7", "/srv/releases/1.8", "/home/ann"):
        h.must("mkdir", "-p", volume(path))
    h.must("touch", volume("/srv/releases/1.7/app"), volume("/srv/releases/1.8/app"))
    h.must("ln", volume("/srv/releases/1.7/app"), volume("/home/ann/app"))
    for text, path in (("releases/1.7", "/srv/current"), ("../../srv/current/app", "/home/ann/run"), ("run", "/home/ann/again"), ("none", "/home/ann/lost"),
                       ("loop", "/home/ann/loop"), ("app/x", "/home/ann/under"), ("releases/1.9/app", "/srv/next")):
        h.must("ln", "-s", text, volume(path))


class Place:
    """How operands are written, and answers come back."""

    def __init__(self, volume):
        self.volume = volume
        self.base = volume.mnt if MODE == "mount" else volume.path + ":"

    def __call__(self, path):
        return self.base + path

    def text(self, *argv, rc=0, err=None):
        result = h.linkfs(*argv)
        if result.rc != rc or (err is None and result.err):
            h.ok(False, "linkfs " + " ".join(argv), result)
        lines = result.out.replace(self.base + "/", "/")
        return lines if err is None else (lines, result.err.replace(self.base + "/", "/"))

    def json(self, *argv):
        return json.loads(h.must(*argv, "--json").raw)


def names_and_referrers(p):
    h.equal(p.text("names", p("/home/ann/app")), "/home/ann/app\n/srv/releases/1.7/app\n", "names: every name with its whole path")
    h.equal(p.text("names", "-z", p("/home/ann/app")), "/home/ann/app\0/srv/releases/1.7/app\0", "names -z")
    h.equal(p.text("names", p("/home/ann/run")), "/home/ann/run\n", "names of a symlink are its own")
    h.equal(p.text("names", "-L", p("/home/ann/run")), "/home/ann/app\n/srv/releases/1.7/app\n", "names -L follows it")
    h.equal(p.text("names", p("/srv/releases"), p("/")), "/srv/releases\n/\n", "directories, and the root")
    (info,) = p.json("names", p("/home/ann/app"))
    h.equal((info["names"], info["nlink"], info["hidden"], info["type"], info["volume"]),
            (["/home/ann/app", "/srv/releases/1.7/app"], 2, 0, "file", p.volume.path), "names --json")
    number = str(info["ino"])
    h.equal(p.text("names", "-i", number, p("/")), "/home/ann/app\n/srv/releases/1.7/app\n", "names by inode number")
    h.equal(p.text("referrers", p("/home/ann/app")), "/home/ann/again -> run\n/home/ann/run -> ../../srv/current/app\n", "referrers: chains included")
    h.equal(p.text("referrers", p("/srv/releases/1.7")), "/srv/current -> releases/1.7\n", "referrers of a directory")
    h.equal(p.text("referrers", "--through", p("/srv/releases/1.7")),
            "/home/ann/again -> run\n/home/ann/run -> ../../srv/current/app\n/srv/current -> releases/1.7\n", "referrers --through")
    h.equal(p.text("referrers", "--through", p("/srv/releases")),
            "/home/ann/again -> run\n/home/ann/run -> ../../srv/current/app\n/srv/current -> releases/1.7\n/srv/next -> releases/1.9/app: No such file or directory\n",
            "a link that comes through and fails says so")
    (info,) = p.json("referrers", p("/home/ann/app"))
    link = info["referrers"][0]
    h.equal((link["path"], link["target"], link["end"]), ("/home/ann/again", "run", {"error": None, "ino": int(number), "expansions": 3}), "referrers --json")
    out, err = p.text("names", p("/none"), rc=1, err=True)
    h.equal((out, err), ("", "linkfs: names: /none: No such file or directory\n"), "what is not there is named")


def breaking(p):
    lost = "/home/ann/lost -> none: there is no none in /home/ann\n"
    loop = "/home/ann/loop -> loop: loops: one expansion too many at loop in /home/ann\n"
    under = "/home/ann/under -> app/x: not a directory: app in /home/ann\n"
    nxt = "/srv/next -> releases/1.9/app: there is no 1.9 in /srv/releases\n"
    h.equal(p.text("dangling", p("/")), lost + loop + under + nxt, "dangling: each with its reason and the component at fault")
    h.equal(p.text("dangling", p("/srv")), nxt, "below a directory")
    h.equal([(x["path"], x["error"], x["fault_dir"], x["fault_name"]) for x in p.json("dangling", p("/srv"))],
            [("/srv/next", "ENOENT", "/srv/releases", "1.9")], "dangling --json")
    h.equal(p.text("impact", "rm", p("/srv/releases/1.7")),
            "/home/ann/again -> run: would dangle: No such file or directory\n/home/ann/run -> ../../srv/current/app: would dangle: No such file or directory\n"
            "/srv/current -> releases/1.7: would dangle: No such file or directory\n", "impact rm")
    h.equal(p.text("impact", "rm", p("/home/ann/app")), "", "a removal that breaks nothing says nothing")
    h.equal(p.text("impact", "mv", p("/srv/releases/1.8"), p("/srv/releases/1.9")),
            "/srv/next -> releases/1.9/app: would lead somewhere again (now: No such file or directory)\n", "impact mv: what heals")
    h.equal(p.text("impact", "mv", p("/srv/releases"), p("/home/ann")),
            "".join(f"{x}: would dangle: No such file or directory\n" for x in ("/home/ann/again -> run", "/home/ann/run -> ../../srv/current/app",
                                                                                "/srv/current -> releases/1.7")), "into a directory, as mv does")
    h.equal(p.text("impact", "mv", "-T", p("/home/ann"), p("/home/bob")), "", "a directory whose links lead out of it by '..' beside its old place")
    h.equal([x["effect"] for x in p.json("impact", "mv", p("/srv/releases/1.8/app"), p("/srv/releases/1.7/app"))[0]["links"]], ["changes", "changes"],
            "impact --json: led to another file")
    _, err = p.text("impact", "mv", p("/srv"), p("/srv/releases/x"), rc=1, err=True)
    h.equal(err, "linkfs: impact: /srv: cannot be moved below itself, to '/srv/releases/x'\n", "an impossible move is refused")
    h.equal(h.linkfs("impact", "cp", p("/srv"), p("/x")).rc, 2, "impact of anything else is wrong usage")
    h.equal(h.must("ls", p("/srv/releases")).out, "1.7\n1.8\n", "nothing was changed")


EXPLAINED = """start in /
  search /: yes, by {} (drwxr-xr-x {} {})
  srv: directory, inode 2
  search /srv: yes, by {} (drwxr-xr-x {} {})
  current: symlink, inode 10
  current -> releases/1.7: the walk goes on with this text (symlink 1 of 40)
  search /srv: yes, by {} (drwxr-xr-x {} {})
  releases: directory, inode 3
  search /srv/releases: yes, by {} (drwxr-xr-x {} {})
  1.7: directory, inode 4
  search /srv/releases/1.7: yes, by {} (drwxr-xr-x {} {})
  nope: No such file or directory
end: No such file or directory (ENOENT)
"""


def explained(p):
    import grp
    import pwd
    who = (pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)
    by = "root's right" if h.ROOT else "the owner's bits"
    h.equal(p.text("explain", p("/srv/current/nope")), EXPLAINED.format(*(by, *who) * 5), "explain: each step")
    (info,) = p.json("explain", p("/home/ann/loop"))
    last = info["steps"][-1]
    h.equal((last, sum(s["step"] == "expand" and "error" not in s for s in info["steps"])), ({"step": "end", "error": "ELOOP"}, 40), "explain --json: a loop")
    h.equal(p.text("explain", "-P", p("/home/ann/loop")).splitlines()[-1][:12], "end: symlink", "explain -P")
    if h.ROOT:
        walk = p.text("explain", "--as", "65534:65534", p("/srv/current/nope")).splitlines()
        h.equal(walk[1].split("yes, ")[-1].split(" (")[0], "by the bits for others", "explain --as: another user's rights decide")
        h.must("chmod", "700", p("/srv"))
        h.equal((p.text("explain", "--as", "65534:65534", p("/srv/current/nope")).splitlines()[-1],
                 p.text("explain", "--as", "0", p("/srv/current")).splitlines()[-1][:5]),
                ("end: Permission denied (EACCES)", "end: "), "explain --as: what he may not search")
        h.must("chmod", "755", p("/srv"))
    r = h.linkfs("explain", "--as", "no such user", p("/srv"))
    h.equal((r.rc, r.out, "no such user: is no user" in r.err), (1, "", True), "explain --as: nobody")
    r = h.linkfs("explain", "--as", "4294967000", p("/srv"))
    h.equal((r.rc, r.out, "say which group" in r.err), (1, "", True), "explain --as: a number that has no groups")
    advice = p.text("advise", p("/srv/releases/1.8"), p("/srv/current")).splitlines()
    h.equal(advice[:2], ["a relative symlink: linkfs ln -s -r /srv/releases/1.8 /srv/current",
                         "  rule R13: for a directory that stays where it is a symlink is enough, and shows what it is"], "advise")
    advice = json.loads(h.must("advise", "--json", "--replaced=no", "--follows=no", "--survive-target-delete", "--share-edits=yes", "--cover=no",
                               p("/home/ann/app"), p("/x")).raw)
    h.equal((advice["link"], advice["rule"], advice["assumed"]), ("hard", "R17", []), "advise --json: what was answered is not assumed")
    h.equal(h.linkfs("advise", "--follows=perhaps", p("/a"), p("/b")).rc, 2, "an answer is yes or no")
    h.equal(json.loads(h.must("advise", "--json", p("/srv"), "file:" + h.make_dir() + "/x").raw)["rule"], "R5", "out of the volume only a symlink leads")


def absolute(p):
    inside = "/mnt/where/srv/releases/1.8/app"
    h.must("ln", "-s", inside, p("/abs"))
    h.must("ln", "-s", p.volume.mnt + "/srv/releases/1.8/app", p("/live"))
    h.must("ln", "-s", "/srv/releases/1.8/app", p("/own"))
    target = p("/srv/releases/1.8/app")
    want = "/own" if MODE == "offline" else "/live"
    h.equal([x["path"] for x in p.json("referrers", target)[0]["referrers"]], [want], "absolute texts where the volume is mounted, or not")
    h.equal([x["path"] for x in p.json("referrers", "--mounted-at", "/mnt/where", target)[0]["referrers"]], ["/abs"], "--mounted-at")
    h.equal([x["path"] for x in p.json("referrers", "--mounted-at=/", target)[0]["referrers"]], ["/own"], "--mounted-at=/: the volume's own root")
    out = p.text("dangling", "--mounted-at=/mnt/where", p("/"))
    h.ok("/own -> /srv/releases/1.8/app: leaves the volume at srv\n" in out, "what leaves the volume dangles", out)
    _, err = p.text("dangling", "--mounted-at=x", p("/"), rc=1, err=True)
    h.equal(err, "linkfs: dangling: x: must be an absolute path without '.' and '..'\n", "--mounted-at must be absolute")
    h.must("rm", p("/abs"), p("/live"), p("/own"))


def attributes(volume):
    """linkfs.names and its kin, by any program on the mount."""
    os.chdir("/")
    top = volume.mnt
    h.equal(sorted(os.getxattr(top + "/home/ann/app", "linkfs.names").splitlines()), [b"/home/ann/app", b"/srv/releases/1.7/app"], "getxattr linkfs.names")
    h.equal(sorted(os.getxattr(top + "/home/ann/app", "linkfs.referrers").splitlines()), [b"/home/ann/again", b"/home/ann/run"], "linkfs.referrers")
    h.equal(os.getxattr(top + "/srv/current", "linkfs.names", follow_symlinks=False), b"/srv/current\n", "of a symlink")
    h.equal([os.getxattr(top + x, "linkfs.kind", follow_symlinks=False) for x in ("/srv", "/srv/current", "/home/ann/app")],
            [b"directory", b"symlink", b"file"], "linkfs.kind")
    h.equal(os.listxattr(top + "/home/ann/app"), [], "they are in no list")
    try:
        os.setxattr(top + "/home/ann/app", "linkfs.names", b"x")
        h.ok(False, "they cannot be set")
    except OSError as e:
        h.equal(e.errno, errno.EOPNOTSUPP, "they cannot be set")
    with open(top + "/gone", "w") as f:
        os.unlink(top + "/gone")
        h.equal(os.getxattr(f.fileno(), "linkfs.names"), b"", "an unlinked open file has no name")
        number = str(os.fstat(f.fileno()).st_ino)
        result = h.linkfs("names", "-i", number, volume("/"))
        h.ok(result.rc == 0 and result.out == "" and f"inode {number} is unlinked and still open" in result.err, "and the command says so", result)
    weird = top + "/new\nline\\x"
    open(weird, "w").close()
    h.equal(os.getxattr(weird, "linkfs.names"), b"/new\\012line\\134x\n", "newlines and backslashes are escaped")
    os.unlink(weird)


def ordinary_user(volume):
    """Root's mount, asked by somebody who may not search one directory, but through a supplementary group may search another."""
    if not h.ROOT:
        h.skip("what an ordinary user is told", "needs root to have two users")
        return
    top = volume.mnt
    os.mkdir(top + "/shut")
    os.mkdir(top + "/team")
    os.link(top + "/home/ann/app", top + "/shut/hidden")
    os.link(top + "/home/ann/app", top + "/team/shared")
    os.symlink("../home/ann/app", top + "/shut/link")
    os.symlink("../home/ann/app", top + "/team/link")
    os.chmod(top + "/shut", 0o700)
    os.chown(top + "/team", 0, 41100)
    os.chmod(top + "/team", 0o710)
    code = "import os,sys;" + "sys.stdout.buffer.write(os.getxattr(sys.argv[1],sys.argv[2]))"

    def ask(what, groups):
        got = subprocess.run(["setpriv", "--reuid", "41001", "--regid", "41001", "--groups", groups, sys.executable, "-c", code, top + "/home/ann/app", what],
                             capture_output=True, timeout=60)
        return sorted(got.stdout.split()) or got.stderr

    os.chmod(os.path.dirname(top), 0o755)
    open_names = [b"/home/ann/app", b"/srv/releases/1.7/app"]
    h.equal(ask("linkfs.names", "41001"), open_names, "a name where the caller may not search is not told")
    h.equal(ask("linkfs.names", "41001,41100"), open_names + [b"/team/shared"], "one where a supplementary group may is")
    h.equal(ask("linkfs.referrers", "41001"), [b"/home/ann/again", b"/home/ann/run"], "nor is a symlink there")
    h.equal(ask("linkfs.referrers", "7,41100,9"), [b"/home/ann/again", b"/home/ann/run", b"/team/link"], "or it is")


# ---- explain and stat(2) ----

def random_tree(top, rng):
    """Directories, files and links of all kinds below top; relative, absolute into the mount, chained, looping, long."""
    dirs, files = [""], []
    for i in range(14):
        parent = rng.choice(dirs)
        if parent.count("/") < 4:
            dirs.append(f"{parent}/d{i}")
            os.mkdir(top + dirs[-1])
    for i in range(10):
        files.append(f"{rng.choice(dirs)}/f{i}")
        open(top + files[-1], "w").close()
    links = []
    for i in range(60):
        target = rng.choice(dirs + files + links + ["/none"])
        where = rng.choice(dirs)
        text = os.path.relpath(target or "/", where or "/")
        kind = rng.randrange(12)
        if kind == 0:
            text = top + target
        elif kind == 1:
            text += "/"
        elif kind == 2:
            text += "/."
        elif kind == 3:
            text += "/.."
        elif kind == 4:
            text = "./" * rng.randrange(1, 30) + text
        elif kind == 5:
            text = f"l{rng.randrange(60)}"
        elif kind == 6:
            text += "/" + "x" * rng.choice((255, 256))
        links.append(f"{where}/l{i}")
        os.symlink(text, top + links[-1])
    # Chains around the limit of 40.
    os.symlink("d0", top + "/chain0")
    for i in range(1, 43):
        os.symlink(f"chain{i - 1}", f"{top}/chain{i}")
    return dirs, files, links


def some_path(rng, dirs, files, links):
    kind = rng.randrange(12)
    path = rng.choice(dirs + files + links * 3) or "/"
    if kind < 4:
        path += "/" + rng.choice(dirs + files + links).lstrip("/").split("/")[-1]
    elif kind == 4:
        path += "/.."
    elif kind == 5:
        path += rng.choice(("/", "/.", "//./"))
    elif kind == 6:
        path = f"/chain{rng.randrange(37, 43)}" + rng.choice(("", "/", "/.."))
    elif kind == 7:
        path += "/" + "y" * rng.choice((255, 256))
    elif kind == 8:
        path += "/." * rng.choice((2000, 2047, 2048, 2100))
    return path


STAT = """
import json, os, sys
out = []
os.chdir(sys.argv[1])
for path in json.load(sys.stdin):
    try:
        out.append(os.stat(path).st_ino)
    except OSError as e:
        out.append(-e.errno)
print(json.dumps(out))
"""


def as_user(uid, argv, text):
    if h.ROOT and uid:
        argv = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *argv]
    return subprocess.run(argv, input=text, capture_output=True, timeout=200, check=True, env=h.environment()).stdout


def explain_is_stat(base):
    """Every walk from the root of the mount: its end by explain, and the kernel's. Both walk the same text from the same directory. Where
    a link leads out of the volume the kernel goes on and explain says so."""
    seed = int(os.environ.get("LINKFS_SEED", "1"))
    print(f"# seed {seed}", flush=True)
    rng = random.Random(seed)
    total = reached = 0
    errnos = set()
    os.chmod(base, 0o755)
    for number in range(40 if os.environ.get("LINKFS_LONG") == "1" else 3):
        volume = h.Volume(base, f"random{number}")
        volume.mount()
        dirs, files, links = random_tree(volume.mnt, rng)
        paths = ["." + some_path(rng, dirs, files, links) for _ in range(300)]
        for d in dirs[1:]:
            if rng.randrange(3) == 0:
                os.chmod(volume.mnt + d, rng.choice((0o700, 0o711, 0o744, 0o755, 0o600)))
        uids = (0, 41001) if h.ROOT else (os.geteuid(),)
        kernel = {uid: json.loads(as_user(uid, [sys.executable, "-c", STAT, volume.mnt], json.dumps(paths).encode())) for uid in uids}
        volume.umount()
        for uid in uids:
            gid = uid if h.ROOT else os.getegid()
            out = subprocess.run([sys.argv[2], volume.path, volume.mnt, str(uid), str(gid)], input=b"".join(p.encode() + b"\0" for p in paths),
                                 capture_output=True, timeout=200, check=True).stdout
            ours = [int(x) for x in out.split()]
            outside = sum(o == -errno.EXDEV for o in ours)
            bad = [(p[:200], k, o) for p, k, o in zip(paths, kernel[uid], ours) if k != o and o != -errno.EXDEV]
            h.ok(len(ours) == len(paths) and not bad and outside < len(paths) // 5,
                 f"tree {number}, uid {uid}: the end of {len(paths)} walks is stat's", bad[:3], outside)
            total += len(paths)
            reached += sum(k > 0 for k in kernel[uid])
            errnos |= {errno.errorcode[-k] for k in kernel[uid] if k < 0}
    print(f"# {total} walks, {reached} to a file, errors {sorted(errnos)}")
    want = {"ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES"}
    h.ok(reached > total // 6 and want <= errnos, "some led somewhere, and every way to fail was met")


def main():
    if MODE in ("live", "mount", "stat"):
        h.need_fuse()
    base = h.make_dir()
    if MODE == "stat":
        explain_is_stat(base)
        h.done()
    volume = h.Volume(base)
    make_tree(volume)
    if MODE != "offline":
        volume.mount()
    p = Place(volume)
    names_and_referrers(p)
    breaking(p)
    explained(p)
    absolute(p)
    if MODE == "live":
        attributes(volume)
        ordinary_user(volume)
    h.done()


main()
