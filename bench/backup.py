"""The bench's section of backups (E4 to E6): a real tree backed up, again unchanged, with 1 % changed and with a top directory renamed, then restored, and the
older backups removed; by linkfs, plain, with compression, and with --dedupe as well (restic and borg share equal content by themselves), and by the tools that are used for it. All on one ext4 in a loop image, each with its own
copy of the source, the tools taking turns step by step. A step ends when what it wrote is on disk. Seconds, and MiB on disk."""
import os
import shutil
import statistics
import subprocess
import time

import peers

ORIGINS = ["/usr/share", "/usr/include", "/usr/lib"]  # the first has enough on most machines
STEPS = ["first", "unchanged", "1 % changed", "renamed", "restore", "prune"]
ENV = {**os.environ, "LC_ALL": "C", "RESTIC_PASSWORD": "bench", "RESTIC_PROGRESS_FPS": "0.01", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
       "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}


class Tool:
    """One way to keep backups of self.source in self.repo."""
    title = ""
    needs = None

    def __init__(self, place, linkfs, source):
        self.place, self.linkfs, self.source = place, linkfs, source
        self.repo = os.path.join(place, "repo")
        self.out = os.path.join(place, "out")
        env_home = os.path.join(place, "home")
        os.makedirs(env_home)
        self.env = {**ENV, "HOME": env_home, "XDG_CACHE_HOME": os.path.join(env_home, "cache"), "BORG_BASE_DIR": env_home}
        self.number = 0

    def run(self, *argv, ok=(0,)):
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env, timeout=3600, check=False)
        if done.returncode not in ok:
            raise peers.Failed(f"{' '.join(argv)}: {done.returncode}: {done.stderr[-400:]!r}")

    def make(self):
        """Once, not timed."""
        os.makedirs(self.repo)

    def backup(self):
        raise NotImplementedError

    def restore(self):
        raise NotImplementedError

    def restored(self):
        """Where the tree lies after restore()."""
        return self.out + self.source

    def prune(self):
        """Only the newest backup stays."""
        raise NotImplementedError


class Linkfs(Tool):
    title = "linkfs"
    properties = ()
    options = ()

    def make(self):
        self.run(self.linkfs, "create", self.repo)
        for setting in self.properties:
            self.run(self.linkfs, "set", self.repo, setting)

    def backup(self):
        self.number += 1
        self.run(self.linkfs, "backup", "-q", *self.options, f"--name={self.number}", self.source, self.repo)

    def restore(self):
        self.run(self.linkfs, "restore", "-q", f"{self.repo}@{self.number}:{self.source}", self.out)

    def restored(self):
        return self.out

    def prune(self):
        self.run(self.linkfs, "prune", "-q", "--keep-last=1", self.repo)


class LinkfsZstd(Linkfs):
    title = "linkfs, zstd"
    properties = ("compression=zstd",)


class LinkfsSmall(LinkfsZstd):
    title = "linkfs, zstd, backup --dedupe"
    options = ("--dedupe",)


class Copies(Tool):
    """A directory for each backup, unchanged files being hard links."""

    def newest(self):
        return os.path.join(self.repo, str(self.number))

    def restore(self):
        self.run("rsync", "-aHAX", self.newest() + "/", self.out)

    def restored(self):
        return self.out

    def prune(self):
        self.run("rm", "-rf", *(os.path.join(self.repo, str(n)) for n in range(1, self.number)))


class RsyncLinkDest(Copies):
    title = "rsync --link-dest"
    needs = "rsync"

    def backup(self):
        before = [f"--link-dest={self.newest()}"] if self.number else []
        self.number += 1
        self.run("rsync", "-aHAX", *before, self.source + "/", self.newest())


class CpAl(Copies):
    title = "cp -al, rsync"
    needs = "rsync"

    def backup(self):
        before = self.newest() if self.number else None
        self.number += 1
        if before is None:
            self.run("cp", "-a", self.source, self.newest())
            return
        self.run("cp", "-al", before, self.newest())
        self.run("rsync", "-aHAX", "--delete", self.source + "/", self.newest())


class Rsnapshot(Tool):
    title = "rsnapshot"
    needs = "rsnapshot"

    def make(self):
        self.conf = os.path.join(self.place, "rsnapshot.conf")
        rows = [("config_version", "1.2"), ("snapshot_root", self.repo + "/"), ("cmd_cp", "/bin/cp"), ("cmd_rm", "/bin/rm"), ("cmd_rsync", shutil.which("rsync")),
                ("retain", "alpha", "9"), ("link_dest", "1"), ("rsync_long_args", "--delete --numeric-ids --relative --delete-excluded -HAX"), ("backup", self.source + "/", "h/")]
        with open(self.conf, "w", encoding="utf-8") as f:
            f.writelines("\t".join(row) + "\n" for row in rows)

    def backup(self):
        self.number += 1
        self.run("rsnapshot", "-c", self.conf, "alpha")

    def restore(self):
        self.run("rsync", "-aHAX", self.repo + "/alpha.0/h" + self.source + "/", self.out)

    def restored(self):
        return self.out

    def prune(self):
        self.run("rm", "-rf", *(f"{self.repo}/alpha.{n}" for n in range(1, self.number)))


class Restic(Tool):
    title = "restic"
    needs = "restic"

    def make(self):
        self.run("restic", "-q", "-r", self.repo, "init")

    def backup(self):
        self.run("restic", "-q", "-r", self.repo, "backup", self.source)

    def restore(self):
        self.run("restic", "-q", "-r", self.repo, "restore", "latest", "--target", self.out)

    def prune(self):
        self.run("restic", "-q", "-r", self.repo, "forget", "--keep-last", "1", "--prune")


class Borg(Tool):
    title = "borg"
    needs = "borg"

    def make(self):
        self.run("borg", "init", "-e", "none", self.repo)

    def backup(self):
        self.number += 1
        self.run("borg", "create", f"{self.repo}::{self.number}", self.source)

    def restore(self):
        os.makedirs(self.out)
        done = subprocess.run(["borg", "extract", f"{self.repo}::{self.number}"], cwd=self.out, env=self.env, stderr=subprocess.PIPE, timeout=3600, check=False)
        if done.returncode:
            raise peers.Failed(f"borg extract: {done.stderr[-400:]!r}")

    def prune(self):
        self.run("borg", "prune", "--keep-last", "1", self.repo)
        if subprocess.run(["borg", "compact", "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            self.run("borg", "compact", self.repo)


TOOLS = [Linkfs, LinkfsZstd, LinkfsSmall, RsyncLinkDest, CpAl, Rsnapshot, Restic, Borg]


def take_source(origins, to, files):
    """A copy of the first files of origins, directory by directory: real names, sizes and contents. Returns how many."""
    left = files
    for origin in origins:
        for top, dirs, names in os.walk(origin):
            dirs.sort()
            if left <= 0:
                break
            here = to + top
            os.makedirs(here, exist_ok=True)
            plain = [n for n in sorted(names) if not os.path.islink(os.path.join(top, n))][:left]
            for name in names:
                path = os.path.join(top, name)
                if name in plain or os.path.islink(path):
                    shutil.copy2(path, os.path.join(here, name), follow_symlinks=False)
            left -= len(plain)
    return files - left


def files_below(tree):
    return sorted(os.path.join(top, n) for top, _, names in os.walk(tree) for n in names if not os.path.islink(os.path.join(top, n)))


def change(tree):
    """Every hundredth file gets other bytes in its middle, or is written anew."""
    for n, path in enumerate(files_below(tree)[::100]):
        size = os.path.getsize(path)
        if n % 2 and size > 100:
            with open(path, "r+b") as f:
                f.seek(size // 2)
                f.write(b"changed %d" % n)
        else:
            with open(path + ".new", "wb") as f:
                f.write(b"written anew %d\n" % n * (1 + size // 20))
            os.replace(path + ".new", path)


def rename_top(tree):
    """The directory with most in it."""
    tree = os.path.join(tree, "usr", "share")
    tops = [os.path.join(tree, n) for n in os.listdir(tree) if os.path.isdir(os.path.join(tree, n)) and not os.path.islink(os.path.join(tree, n))]
    largest = max(tops, key=lambda top: len(files_below(top)))
    os.rename(largest, largest + "-renamed")


def on_disk(path):
    return int(subprocess.run(["du", "-s", "-B1", path], check=True, stdout=subprocess.PIPE, timeout=600).stdout.split()[0]) / (1 << 20)


def timed(work, place):
    os.sync()
    started = time.monotonic()
    work()
    subprocess.run(["sync", "-f", place], check=True)
    return time.monotonic() - started


def find_time(tree):
    """What reading names and times alone costs: find -printf."""
    started = time.monotonic()
    subprocess.run(["find", tree, "-printf", "%T@%s"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def one_round(place, linkfs, files, say, found):
    sources, tools = {}, []
    for kind in TOOLS:
        if kind.needs and not shutil.which(kind.needs):
            found["missing"].add(kind.title)
            continue
        if kind.title in found["failed"]:
            continue
        here = os.path.join(place, kind.__name__)
        source = os.path.join(here, "source")
        if sources:
            os.makedirs(here)
            subprocess.run(["cp", "-a", next(iter(sources.values())), source], check=True)
        else:
            found["files"] = take_source(ORIGINS, source, files)
            found["bytes"] = sum(os.path.getsize(p) for p in files_below(source))
        sources[kind.title] = source
        tools.append(kind(here, linkfs, source))
    say(f"backup: {found['files']} files")

    def step(name, work):
        for tool in tools:
            if tool.title in found["failed"]:
                continue
            try:
                took = timed(lambda: work(tool), place)
                found["seconds"].setdefault(tool.title, {}).setdefault(name, []).append(took)
            except peers.Failed as failed:
                found["failed"][tool.title] = str(failed)
        say(f"backup: {name}")

    def measure_disk(name):
        for tool in tools:
            if tool.title not in found["failed"]:
                found["disk"].setdefault(tool.title, {}).setdefault(name, []).append(on_disk(tool.repo))

    for tool in tools:
        try:
            tool.make()
        except peers.Failed as failed:
            found["failed"][tool.title] = str(failed)
    step("first", lambda tool: tool.backup())
    measure_disk("first")
    for source in sources.values():
        subprocess.run(["find", source, "-printf", "%T@%s"], check=True, stdout=subprocess.DEVNULL)
    found["find"].append(find_time(next(iter(sources.values()))))
    step("unchanged", lambda tool: tool.backup())
    for source in sources.values():
        change(source)
    step("1 % changed", lambda tool: tool.backup())
    for source in sources.values():
        rename_top(source)
    step("renamed", lambda tool: tool.backup())
    measure_disk("four")
    step("restore", lambda tool: tool.restore())
    for tool in tools:
        if tool.title not in found["failed"]:
            said = subprocess.run(["rsync", "-aHAXn", "--delete", "--itemize-changes", tool.source + "/", tool.restored() + "/"], check=True, stdout=subprocess.PIPE, timeout=600).stdout
            # What is no difference of a file: times of directories that restic and borg do not set are theirs to explain.
            if b"f" in {line[1:2] for line in said.splitlines()} or b"*deleting" in said:
                found["failed"][tool.title] = f"what it restored differs: {said[:200]!r}"
    step("prune", lambda tool: tool.prune())
    measure_disk("pruned")
    shutil.rmtree(place)


def measure(linkfs, place, options, say):
    files, rounds = (3000, 1) if options.quick else (55000, min(options.rounds, 3))
    found = {"seconds": {}, "disk": {}, "find": [], "failed": {}, "missing": set()}
    ext4 = peers.Ext4(place, {})
    ext4.size, ext4.filled = (4 << 30, False) if options.quick else (30 << 30, True)
    try:
        ext4.up()
        for number in range(rounds):
            one_round(os.path.join(ext4.work, f"round{number}"), linkfs, files, say, found)
    finally:
        ext4.down()
    middle = statistics.median
    return {"origins": ORIGINS, "files": found["files"], "bytes": found["bytes"], "rounds": rounds, "find": middle(found["find"]),
            "seconds": {t: {s: middle(v) for s, v in steps.items()} for t, steps in found["seconds"].items()},
            "disk_mib": {t: {s: middle(v) for s, v in when.items()} for t, when in found["disk"].items()},
            "failed": found["failed"], "missing": sorted(found["missing"])}


def markdown(found):
    out = [f"| {found['files']:,} files of {', '.join(found['origins'])}, {found['bytes'] / (1 << 20):,.0f} MiB; seconds | " + " | ".join(STEPS) + " | MiB, one backup | MiB, four | MiB, pruned |",
           "|---|" + "---:|" * (len(STEPS) + 3)]
    for kind in TOOLS:
        if kind.title not in found["seconds"]:
            continue
        took, disk = found["seconds"][kind.title], found["disk_mib"].get(kind.title, {})
        cells = [f"{took[s]:,.2f}" if s in took else "-" for s in STEPS] + [f"{disk[w]:,.0f}" if w in disk else "-" for w in ("first", "four", "pruned")]
        out.append(f"| {kind.title} | " + " | ".join(cells) + " |")
    out.append(f"\n`find -printf '%T@%s'` of the tree took {found['find']:.2f} s.")
    for title, why in found["failed"].items():
        out.append(f"{title} did not do it all: {why}")
    return "\n".join(out)


def plot(found, path):
    """Bars by step, on a logarithmic scale."""
    titles = [kind.title for kind in TOOLS if kind.title in found["seconds"]]
    rows = []
    for s in STEPS:
        rows.append(f'"{s}" ' + " ".join(f"{found['seconds'][t][s]:.4f}" if s in found["seconds"][t] else "?" for t in titles))
    data = "\n".join(rows)
    script = [f"set terminal svg size 900,420 background rgb 'white'; set output '{path}'", "set style data histograms; set style fill solid; set logscale y; set ylabel 'seconds'",
              "set key outside right; set datafile missing '?'; set grid y", f"$data << END\n{data}\nEND",
              "plot " + ", ".join(f"$data using {n + 2}:xtic(1) title '{t}'" for n, t in enumerate(titles))]
    subprocess.run(["gnuplot"], input="\n".join(script).encode(), check=True, timeout=60)
