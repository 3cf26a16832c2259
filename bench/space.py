"""What a snapshot costs (E2): linkfs du of snapshots and trees, and du(1) over two trees on the host that share what did not change by hard
links, as backups without a file system's help keep it."""
import os
import statistics
import subprocess
import time

EACH = 1000
ROWS = [("one", "linkfs du VOLUME@ONE"), ("both", "linkfs du VOLUME@ONE VOLUME@TWO"), ("all", "linkfs du VOLUME:/t VOLUME@ONE VOLUME@TWO"),
        ("full", "linkfs du --full VOLUME@ONE"), ("with", "linkfs du --with VOLUME@ONE"), ("du one", "du -s ONE"), ("du both", "du -s ONE TWO")]


def make(top, numbers, seed):
    for n in numbers:
        path = f"{top}/d{n // EACH}"
        os.makedirs(path, exist_ok=True)
        with open(f"{path}/new", "wb") as f:
            f.write(bytes([(n * 7 + seed) % 256]) * (3000 + n % 9 * 1000))
        os.rename(f"{path}/new", f"{path}/f{n % EACH}")


def run(*argv):
    return subprocess.run(argv, check=True, timeout=1200, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def measure(linkfs, place, files, rounds, say):
    one, two, changed, volume = (os.path.join(place, n) for n in ("one", "two", "changed", "volume"))
    few = range(0, files, 100)
    make(one, range(files), 0)
    run("cp", "-al", one, two)
    make(two, few, 1)
    make(changed, few, 1)
    run(linkfs, "create", volume)
    run(linkfs, "import", "-T", one, volume + ":/t")
    run(linkfs, "snapshot", "create", volume, "one")
    run(linkfs, "import", changed + "/.", volume + ":/t")
    run(linkfs, "snapshot", "create", volume, "two")
    say("space: made")
    a, b = volume + "@one", volume + "@two"
    commands = {"one": [linkfs, "du", a], "both": [linkfs, "du", a, b], "all": [linkfs, "du", volume + ":/t", a, b], "full": [linkfs, "du", "--full", a],
                "with": [linkfs, "du", "--with", a], "du one": ["du", "-s", one], "du both": ["du", "-s", one, two]}
    took = {what: [] for what in commands}
    for _ in range(rounds):
        for what, command in commands.items():
            started = time.monotonic()
            run(*command)
            took[what].append((time.monotonic() - started) * 1000)
    return {"files": files, "changed": len(few), "ms": {what: {"median": statistics.median(t), "maximum": max(t)} for what, t in took.items()}}


def markdown(found):
    out = [f"| {found['files']:,} files, {found['changed']:,} of them changed between ONE and TWO | ms, median | ms, longest |", "|---|---:|---:|"]
    for what, title in ROWS:
        row = found["ms"][what]
        out.append(f"| {title} | {row['median']:,.1f} | {row['maximum']:,.1f} |")
    return "\n".join(out)
