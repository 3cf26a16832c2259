"""The bench's section of first backups: two trees, one of real files and one of 100,000 small ones, each backed up into a fresh repository by linkfs, cp -a, rsync,
restic and borg, the tools taking turns, on one ext4 in a loop image. Beside them what writing as many bytes into one file costs there: nothing that stores them as
they are can be much faster. The tree is in the page cache; a tool is done when what it wrote is on disk. Seconds."""
import os
import random
import shutil
import statistics
import subprocess

import backup
import peers

IMAGE = 4 << 30
SMALL = [100, 700, 1500, 3000, 6000, 12000]  # bytes


class Bytes(backup.Tool):
    """One file of as many bytes, by dd."""
    title = "one file of as many bytes, by dd"

    def backup(self):
        total = sum(os.path.getsize(path) for path in backup.files_below(self.source))
        self.run("dd", "if=/dev/zero", f"of={self.repo}/bytes", "bs=1M", f"count={total >> 20}")


class Rsync(backup.RsyncLinkDest):
    title = "rsync -aHAX"


class Cp(backup.Copies):
    title = "cp -a"

    def backup(self):
        self.number += 1
        self.run("cp", "-a", self.source, self.newest())


KINDS = [backup.Linkfs, Bytes, Cp, Rsync, backup.Restic, backup.Borg]


def make_small(top, files):
    """Files of random bytes, a hundred in a directory."""
    rng = random.Random(1)
    for n in range(files):
        if n % 100 == 0:
            here = f"{top}/d{n // 5000}/e{n // 100 % 50}"
            os.makedirs(here)
        with open(f"{here}/file-{n % 100}.txt", "wb") as f:
            f.write(rng.randbytes(rng.choice(SMALL)))


def one(kind, work, linkfs, source):
    """Seconds of one first backup; None where the tool is missing."""
    if kind.needs and not shutil.which(kind.needs):
        return None
    here = os.path.join(work, "tool")
    tool = kind(here, linkfs, source)
    try:
        tool.make()
        subprocess.run(f"tar -C '{source}' -cf - . | cat > /dev/null", shell=True, check=True, timeout=600)
        return backup.timed(tool.backup, work)
    finally:
        shutil.rmtree(here)


def measure(linkfs, place, options, say):
    real, small, rounds = (3000, 5000, 1) if options.quick else (55000, 100000, min(options.rounds, 5))
    ext4 = peers.Ext4(place, {})
    ext4.size, ext4.filled = IMAGE, True
    found = {"sizes": {}, "seconds": {}}
    try:
        ext4.up()
        for tree in ("real", "small"):
            source = os.path.join(ext4.work, "source")
            if tree == "real":
                backup.take_source(backup.ORIGINS, source, real)
            else:
                make_small(source, small)
            below = backup.files_below(source)
            found["sizes"][tree] = {"files": len(below), "bytes": sum(os.path.getsize(path) for path in below)}
            took = {kind.title: [] for kind in KINDS}
            for number in range(rounds):
                for kind in KINDS[number:] + KINDS[:number]:
                    seconds = one(kind, ext4.work, linkfs, source)
                    if seconds is not None:
                        took[kind.title].append(seconds)
            found["seconds"][tree] = {kind: statistics.median(seconds) for kind, seconds in took.items() if seconds}
            shutil.rmtree(source)
            say(f"first backups: {tree} files")
    finally:
        ext4.down()
    return found


def markdown(found):
    words = {"real": "files of /usr", "small": "small files"}
    trees = list(found["sizes"])
    out = ["| first backup, seconds | " + " | ".join(f"{found['sizes'][tree]['files']:,} {words[tree]}, {found['sizes'][tree]['bytes'] >> 20} MiB" for tree in trees) + " |",
           "|---|" + "---:|" * len(trees)]
    for kind in KINDS:
        cells = []
        for tree in trees:
            took = found["seconds"][tree]
            cells.append(f"{took[kind.title]:.2f}, {took[kind.title] / took['linkfs']:.2f} x" if kind.title in took else "-")
        out.append(f"| {kind.title} | " + " | ".join(cells) + " |")
    return "\n".join(out)
