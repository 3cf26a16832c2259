"""The bench's section of backups: a first backup of a tree, and another one when nothing has changed, beside cp -a, rsync --link-dest, restic and
borg, and beside find, which only looks at each file. Seconds; what is read is cached, and what was written before is on the disk."""
import os
import random
import shutil
import statistics
import subprocess
import time

EACH = 100  # files in a directory


def make(top, files):
    drawn = random.Random(1)
    for i in range(files):
        if i % EACH == 0:
            os.makedirs(f"{top}/d{i // EACH // 50}/e{i // EACH % 50}")
        with open(f"{top}/d{i // EACH // 50}/e{i // EACH % 50}/file-{i % EACH}.txt", "wb") as f:
            f.write(drawn.randbytes(drawn.choice([100, 700, 1500, 3000, 6000, 12000])))


def timed(*argv, **env):
    os.sync()
    started = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=1800, check=False,
                          env={**os.environ, **env})
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.returncode}, {done.stderr[:300]!r}")
    return time.monotonic() - started


class Tools:
    """Each makes a first backup, and then others of the same tree."""

    def __init__(self, linkfs, place, tree):
        self.linkfs, self.place, self.tree = linkfs, place, tree
        self.secret = {"RESTIC_PASSWORD": "x", "BORG_PASSPHRASE": "x", "BORG_CACHE_DIR": place + "/borg-cache", "BORG_CONFIG_DIR": place + "/borg-config",
                       "BORG_SECURITY_DIR": place + "/borg-security", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}

    def linkfs_first(self, at):
        timed(self.linkfs, "create", at)
        return timed(self.linkfs, "backup", "-q", self.tree, at)

    def linkfs_again(self, at):
        return timed(self.linkfs, "backup", "-q", self.tree, at)

    def cp_first(self, at):
        return timed("cp", "-a", self.tree, at)

    def rsync_first(self, at):
        os.mkdir(at)
        return timed("rsync", "-aHAX", self.tree + "/", at + "/one/")

    def rsync_again(self, at):
        shutil.rmtree(at + "/two", ignore_errors=True)
        return timed("rsync", "-aHAX", "--link-dest=" + at + "/one", self.tree + "/", at + "/two/")

    def restic_first(self, at):
        timed("restic", "-q", "-r", at, "--cache-dir", at + ".cache", "init", **self.secret)
        return self.restic_again(at)

    def restic_again(self, at):
        return timed("restic", "-q", "-r", at, "--cache-dir", at + ".cache", "backup", self.tree, **self.secret)

    def borg_first(self, at):
        timed("borg", "init", "-e", "none", at, **self.secret)
        return self.borg_again(at)

    def borg_again(self, at):
        return timed("borg", "create", "-C", "none", at + "::{now:%s.%f}", self.tree, **self.secret)


NAMES = [("linkfs", "linkfs backup"), ("cp", "cp -a into ext4"), ("rsync", "rsync -aHAX, --link-dest"), ("restic", "restic backup"),
         ("borg", "borg create, neither encrypted nor compressed")]


def measure(linkfs, place, files, rounds):
    tree = os.path.join(place, "tree")
    os.makedirs(place)
    make(tree, files)
    tools = Tools(linkfs, place, tree)
    wanted = [n for n, _ in NAMES if n in ("linkfs", "cp") or shutil.which(n)]
    first, again, looks = {n: [] for n in wanted}, {n: [] for n in wanted if n != "cp"}, []
    timed("find", tree, "-printf", "%T@%s")
    for number in range(rounds):
        for name in wanted:
            at = f"{place}/{name}-{number}"
            first[name].append(getattr(tools, name + "_first")(at))
            if name in again:
                again[name].append(getattr(tools, name + "_again")(at))
                if name == "linkfs":  # the first one may doubt files that were just made
                    again[name][-1] = tools.linkfs_again(at)
            looks.append(timed("find", tree, "-printf", "%T@%s"))
            for path in (at, at + ".cache"):
                shutil.rmtree(path, ignore_errors=True)
    return {"files": files, "first": {n: statistics.median(t) for n, t in first.items()}, "again": {n: statistics.median(t) for n, t in again.items()},
            "find": statistics.median(looks)}


def markdown(found):
    out = [f"| {found['files']:,} files, seconds, median | first | unchanged |", "|---|---:|---:|"]
    for name, title in NAMES:
        if name in found["first"]:
            again = f"{found['again'][name]:.2f}" if name in found["again"] else ""
            out.append(f"| {title} | {found['first'][name]:.1f} | {again} |")
    return "\n".join(out + [f"| find -printf '%T@%s' | | {found['find']:.2f} |"])
