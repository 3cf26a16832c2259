"""Rows of snapshots (E1, E2): taking one, what they cost the live tree, deleting the oldest of thirty beside rm -r of a tree of hard links, reading one through a mount."""
import os
import shutil
import statistics
import subprocess
import time

import peers

KEPT = 30       # snapshots, and trees of hard links beside them
EACH = 1000     # files in a directory


def driven(tools, *args):
    """The driver's lines: {first word: [numbers]}."""
    done = subprocess.run([tools["snapshots"], *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=1800, check=False)
    if done.returncode:
        raise peers.Failed(done.stderr.strip() or f"bench_snapshots ended with {done.returncode}")
    return {words[0]: [int(w) for w in words[1:]] for words in map(str.split, done.stdout.splitlines())}


def write(path, number):
    with open(path, "wb") as f:
        f.write(number.to_bytes(8, "little") * 512)


def make_tree(root, files):
    for i in range(files):
        place = f"{root}/d{i // EACH}"
        if i % EACH == 0:
            os.makedirs(place)
        write(f"{place}/f{i % EACH}", i)


def timed(*command):
    started = time.monotonic()
    subprocess.run(command, check=True, timeout=1800, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def hard_link_trees(root, files):
    """KEPT trees by cp -al, after each of which one file of a hundred is replaced; the oldest goes by rm -r, and the two after it. Seconds: a cp and an rm, medians."""
    live = os.path.join(root, "live")
    make_tree(live, files)
    copies = []
    for number in range(KEPT):
        copies.append(timed("cp", "-al", live, f"{root}/s{number}"))
        for i in range(number, files, 100):
            path = f"{live}/d{i // EACH}/f{i % EACH}"
            write(path + ".new", i + number)
            os.rename(path + ".new", path)
    removals = []
    for number in range(3):
        os.sync()
        time.sleep(1)
        started = time.monotonic()
        subprocess.run(["rm", "-r", f"{root}/s{number}"], check=True, timeout=1800)
        os.sync()
        removals.append(time.monotonic() - started)
    return statistics.median(copies), statistics.median(removals)


def read_all(tools, volume, point, path):
    """Seconds to read a tree into a pipe, in a mount that has nothing in its caches."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")
    peers.run(tools["linkfs"], "mount", "-o", "noatime", volume, point)
    try:
        started = time.monotonic()
        subprocess.run(f"tar -C '{point}/{path}' -cf - . | cat > /dev/null", shell=True, check=True, timeout=600)
        cold = time.monotonic() - started
        started = time.monotonic()
        subprocess.run(f"tar -C '{point}/{path}' -cf - . | cat > /dev/null", shell=True, check=True, timeout=600)
        return cold, time.monotonic() - started
    finally:
        peers.run(tools["linkfs"], "umount", point)


def reading(tools, place, options, files):
    volume, point = os.path.join(place, "read"), os.path.join(place, "point")
    os.mkdir(point)
    peers.run(tools["linkfs"], "create", volume)
    peers.run(tools["linkfs"], "mount", volume, point)
    try:
        make_tree(point + "/tree", files)
        peers.run(tools["linkfs"], "snapshot", "create", point, "then")
    finally:
        peers.run(tools["linkfs"], "umount", point)
    took = {"live": [], "snapshot": []}
    for number in range(options.rounds):
        sides = [("live", "tree"), ("snapshot", ".snapshots/then/tree")]
        for side, path in sides if number % 2 else sides[::-1]:
            took[side].append(read_all(tools, volume, point, path))
    return {side: {"cold": statistics.median(c for c, _ in rounds), "warm": statistics.median(w for _, w in rounds)} for side, rounds in took.items()}


def drop(tools, volume, files):
    """Deletes the oldest of KEPT snapshots in a volume of its own: [nanoseconds, rows, bytes]."""
    try:
        return driven(tools, "drop", volume, str(files))["drop"]
    finally:
        shutil.rmtree(volume, ignore_errors=True)


def measure(tools, place, options):
    """All rows, in seconds."""
    many, files, few = (100000, 5000, 2000) if options.quick else (1000000, 100000, 5000)
    ext4 = peers.Ext4(place, tools)
    try:
        ext4.up()
        taken = driven(tools, "take", os.path.join(ext4.work, "many"), str(many))
        cost = driven(tools, "cost", os.path.join(ext4.work, "plain"), os.path.join(ext4.work, "kept"), str(options.rounds))
        drops = [drop(tools, os.path.join(ext4.work, "drop"), files) for _ in range(options.rounds)]
        os.mkdir(os.path.join(ext4.work, "trees"))
        copy, remove = hard_link_trees(os.path.join(ext4.work, "trees"), files)
        read = reading(tools, ext4.work, options, few)
    finally:
        ext4.down()
    return {
        "files": many, "take": [n / 1e9 for n in taken["take"]], "take_durable": [n / 1e9 for n in taken["take-durable"]],
        "data_blocks": taken["space"], "cost_ns": cost, "tree": files, "cp_al": copy, "rm_r": remove,
        "drop": statistics.median(d[0] for d in drops) / 1e9, "drop_rows": drops[0][1], "read_files": few, "read": read}


def markdown(found):
    drop, read = found["drop"], found["read"]
    out = ["| snapshots | median | beside | |", "|---|---:|---:|---|",
           f"| taking one of {found['files']:,} files | {found['take'][0] * 1e3:.2f} ms (longest {found['take'][1] * 1e3:.1f}) | | |",
           f"| the same, and on disk | {found['take_durable'][0] * 1e3:.2f} ms (longest {found['take_durable'][1] * 1e3:.1f}) | {found['cp_al'] * 1e3:,.0f} ms | cp -al of {found['tree']:,} files |",
           f"| deleting the oldest of {KEPT}, 1 % changed in {found['tree']:,} files after each | {drop * 1e3:.2f} ms | {found['rm_r'] * 1e3:,.0f} ms, {found['rm_r'] / drop:,.0f} x | rm -r of a tree by cp -al |"]
    for operation, (plain, kept) in found["cost_ns"].items():
        out.append(f"| {operation}, with 1,000 snapshots | {kept / 1e3:.1f} us | {plain / 1e3:.1f} us, {plain / kept:.2f} x | with none |")
    for how in ("cold", "warm"):
        out.append(f"| reading {found['read_files']:,} files of one in a mount, {how} | {read['snapshot'][how] * 1e3:,.0f} ms | "
                   f"{read['live'][how] * 1e3:,.0f} ms, {read['live'][how] / read['snapshot'][how]:.2f} x | live |")
    return "\n".join(out)
