"""The bench's section of changes: what differs between two states of a tree when 1 % of its files have changed, told by linkfs diff from two
snapshots and by diff -rq from two trees of the host, copied and of hard links. Milliseconds, with everything cached."""
import os
import statistics
import subprocess
import time

EACH = 100  # files in a directory
SIZE = 4096


def name_of(i):
    return f"d{i // EACH}/f{i}"


def make(top, files):
    for i in range(files):
        path = os.path.join(top, name_of(i))
        if i % EACH == 0:
            os.makedirs(os.path.dirname(path))
        with open(path, "wb") as f:
            f.write((b"%d " % i) * SIZE)
            f.truncate(SIZE)


def change(top, files):
    """Every hundredth file: written anew, renamed or removed, or another one is made beside it. Returns how many lines tell of that."""
    for n, i in enumerate(range(50, files, 100)):
        path = os.path.join(top, name_of(i))
        if n % 10 < 6:
            with open(path + ".new", "wb") as f:
                f.write((b"%d, " % i) * SIZE)
                f.truncate(SIZE)
            os.replace(path + ".new", path)
        elif n % 10 < 8:
            os.rename(path, path + ".moved")
        elif n % 10 == 8:
            os.unlink(path)
        else:
            with open(path + ".made", "wb") as f:
                f.write(b"made")
    return len(range(50, files, 100))


def timed(argv, rounds, lines=None):
    """The median, after a first time that fills the caches."""
    times = []
    for number in range(rounds + 1):
        started = time.monotonic()
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600, check=False)
        if done.returncode not in (0, 1) or (lines is not None and done.stdout.count(b"\n") != lines):
            raise RuntimeError(f"{' '.join(argv)}: {done.returncode}, {done.stdout.count(10)} lines, {done.stderr[:200]!r}")
        if number:
            times.append((time.monotonic() - started) * 1000)
    return statistics.median(times)


def measure(linkfs, place, files, rounds):
    tree, copied, linked, volume, point = (os.path.join(place, n) for n in ("tree", "copied", "linked", "volume", "mount"))
    for path in (tree, point):
        os.makedirs(path)
    make(tree, files)
    subprocess.run(["cp", "-a", tree, copied], check=True)
    subprocess.run(["cp", "-al", tree, linked], check=True)
    subprocess.run([linkfs, "create", volume], check=True)
    subprocess.run([linkfs, "import", "-T", tree, volume + ":/tree"], check=True)
    subprocess.run([linkfs, "snapshot", "create", "-q", volume, "a"], check=True)
    subprocess.run([linkfs, "mount", volume, point], check=True)
    found = {"files": files, "ms": {}}
    try:
        found["changes"] = change(os.path.join(point, "tree"), files)
        for path in (copied, linked):
            change(path, files)
        subprocess.run([linkfs, "snapshot", "create", "-q", volume, "b"], check=True)
        found["ms"]["live"] = timed([linkfs, "diff", point + "/.snapshots/a", point], rounds, found["changes"])
        found["ms"]["diff -rq, mount"] = timed(["diff", "-rq", "--no-dereference", point + "/.snapshots/a", point + "/.snapshots/b"], 1)
    finally:
        subprocess.run([linkfs, "umount", point], check=True)
    found["ms"]["snapshots"] = timed([linkfs, "diff", volume + "@a", volume + "@b"], rounds, found["changes"])
    found["ms"]["diff -rq, copied"] = timed(["diff", "-rq", "--no-dereference", tree, copied], rounds)
    found["ms"]["diff -rq, hard links"] = timed(["diff", "-rq", "--no-dereference", tree, linked], rounds)
    return found


ROWS = [("snapshots", "linkfs diff VOLUME@A VOLUME@B"), ("live", "linkfs diff MOUNT/.snapshots/A MOUNT"), ("diff -rq, copied", "diff -rq, two copies on ext4"),
        ("diff -rq, hard links", "diff -rq, a tree of hard links on ext4"), ("diff -rq, mount", "diff -rq MOUNT/.snapshots/A MOUNT/.snapshots/B")]


def markdown(found):
    out = [f"| {found['changes']:,} changes of {found['files']:,} files | ms, median |", "|---|---:|"]
    return "\n".join(out + [f"| {title} | {found['ms'][what]:,.1f} |" for what, title in ROWS])
