#!/usr/bin/env python3
"""linkfs prune and tags of snapshots (E6), on a volume that nobody owns, on a mounted one and by a path inside the mount; and snapshots that the mount
takes by itself (property snapshot-every)."""
import datetime
import json
import os
import re
import subprocess
import sys
import time

import harness as h

FACE = sys.argv[1]


def names(volume):
    return [s["name"] for s in snapshots(volume)]


def snapshots(volume):
    return json.loads(h.must("snapshot", "list", "--json", volume.path).raw)


def tags(volume, operand):
    h.equal(h.must("snapshot", "create", "-t", "b,a", "--tag=a", "-m", "a note", operand, "one").out, "one\n", "create with tags")
    h.must("snapshot", "create", "-q", operand, "two")
    h.equal([s["tags"] for s in snapshots(volume)], [["a", "b"], []], "list --json has them")
    lines = h.must("snapshot", "list", operand).out.splitlines()
    h.ok(lines[0].endswith("  one  [a,b]  'a note'") and lines[1].endswith("  two"), "and list", *lines)
    h.ok(h.must("snapshot", "show", operand, "one").out.endswith("  one  [a,b]  'a note'\n"), "and show", None)
    h.equal(h.must("snapshot", "tag", "--add", "c,d", "--remove", "a", "--add=e", operand, "one", "two").out, "", "tag")
    h.equal([s["tags"] for s in snapshots(volume)], [["b", "c", "d", "e"], ["c", "d", "e"]], "tags come and go, of several snapshots")
    for argv, rc, words in ((("tag", operand, "one"), 2, "takes --add or --remove"),
                            (("tag", "--add", "x", operand), 2, "'tag' takes VOLUME NAME..."),
                            (("tag", "--add", "a b", operand, "one"), 2, "'a b' is no tag"),
                            (("tag", "--add", "", operand, "one"), 2, "'' is no tag"),
                            (("tag", "--add", "x" * 65, operand, "one"), 2, "is no tag"),
                            (("tag", "--add", "x", operand, "three"), 1, "no snapshot is called 'three'"),
                            (("create", "-t", "a+b", operand, "three"), 2, "'a+b' is no tag"),
                            (("create", "--add", "a", operand, "three"), 2, "'tag', and nothing else"),
                            (("list", "-t", "a", operand), 2, "--tag is for 'create'")):
        result = h.linkfs("snapshot", *argv)
        h.ok(result.rc == rc and words in result.err, f"refused: snapshot {argv[0]}: {words}", result)
    many = ",".join(f"t{i:04}" for i in range(169))
    h.must("snapshot", "tag", "--add", many, operand, "two")
    result = h.linkfs("snapshot", "tag", "--add", "too-many", operand, "two")
    h.ok(result.rc == 1 and "'two' would have more than 1024 bytes of tags" in result.err, "too many", result)
    h.must("snapshot", "delete", "-q", operand, "one", "two")


def put(base, volume, text):
    with open(base + "/put", "w") as f:
        f.write(text)
    h.must("import", "-T", base + "/put", volume("/f"))


def fill(base, volume, operand):
    """s1 to s8, of which the odd ones have a tag, each with content of its own."""
    for i in range(1, 9):
        put(base, volume, str(i) * 30000)
        h.must("snapshot", "create", "-q", *(["-t", "odd"] if i % 2 else []), operand, f"s{i}")


def expected(volume, zone, **rules):
    """By periods of the clock in the zone, from what the listing says: newest first, one for each; the oldest where there are too few."""
    formats = {"hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m", "yearly": "%Y"}
    rows = snapshots(volume)
    stays = {row["name"]: [] for row in rows}
    for rule, left in rules.items():
        seen = set()
        for i, row in reversed(list(enumerate(rows))):
            when = datetime.datetime.fromisoformat(row["time"][:19]) + datetime.timedelta(hours=zone)
            period = i if rule == "last" else when.strftime(formats[rule])
            if left and (period not in seen or i == 0):
                stays[row["name"]].append(("oldest " if period in seen else "") + rule)
                seen.add(period)
                left -= 1
    return stays


def told(text):
    """The table as a dictionary."""
    rows = {}
    for line in text.splitlines()[:-1]:
        match = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}  (\S+) +(goes|stays: (.*))", line)
        if not match:
            return f"a line that is none: {line}"
        rows[match[1]] = match[3].split(", ") if match[3] else []
    return rows


def dry_run(volume, operand):
    before = snapshots(volume)
    args = ("--dry-run", "--keep-last", "2", "--keep-hourly", "3", "--keep-yearly=5", operand)
    for zone, offset in (("UTC", 0), ("XYZ-13", 13), ("XYZ11", -11)):
        result = h.must("prune", *args, TZ=zone)
        want = expected(volume, offset, last=2, hourly=3, yearly=5)
        h.equal(told(result.out), want, f"what stays and why, in {zone}")
        kept = sum(1 for rules in want.values() if rules)
        frees = f"{(8 - kept) * 32}K" if kept < 8 else "0"  # each has eight blocks of its own
        h.equal(result.out.splitlines()[-1], f"{kept} stay, {8 - kept} would go and give {frees} back", "and how many")
    out = json.loads(h.must("prune", "--json", "-n", "-l", "3", "--keep-tag", "odd", operand).raw)
    h.equal([(s["name"], s["stays"], [r["rule"] for r in s["by"]], s["tags"]) for s in out["snapshots"]],
            [(f"s{i}", i % 2 == 1 or i > 5, ["last"] * (i > 5) + ["tag"] * (i % 2), ["odd"] * (i % 2)) for i in range(1, 9)], "--json")
    h.equal({k: v for k, v in out.items() if k != "snapshots"}, {"dry_run": True, "stay": 6, "go": 2, "would_free": 2 * 32768}, "and how many")
    h.equal(told(h.must("prune", "-n", "-l1", "-t", "odd", operand).out), {"s1": [], "s3": [], "s5": [], "s7": ["last"]}, "--tag")
    h.equal(told(h.must("prune", "-n", "-l1", "-t", "", operand).out), {"s2": [], "s4": [], "s6": [], "s8": ["last"]}, "--tag ''")
    h.equal(set(map(tuple, told(h.must("prune", "-n", "--keep-within", "1h", operand).out).values())), {("within",)}, "--keep-within")
    h.equal(h.must("prune", "-nq", "-l1", operand).out, "", "--quiet tells nothing")
    h.equal(told(h.must("prune", "-n", "-l", "-1", operand).out), {f"s{i}": ["last"] for i in range(1, 9)}, "-1 is all")
    h.equal(snapshots(volume), before, "a dry run changes nothing")


def refused(volume, operand):
    before = snapshots(volume)
    for argv, rc, words in (((operand,), 2, "there is no rule for what is to stay, such as --keep-last 3"),
                            (("--all-may-go", operand), 2, "there is no rule"),
                            (("--tag", "odd", operand), 2, "there is no rule"),
                            (("--keep-last", "0", operand), 1, "there is no rule"),
                            (("--keep-tag", "nobody", operand), 1, "no rule keeps any of the 8 snapshots that are looked at; none was deleted (--all-may-go allows it)"),
                            (("--keep-last", "many", operand), 2, "keep-last: 'many' is not a number or unlimited"),
                            (("--keep-last", "-2", operand), 2, "keep-last: '-2' is not a number or unlimited"),
                            (("--keep-within", "1w", operand), 2, "keep-within: '1w' is not a length of time as 1y5m7d2h"),
                            (("--keep-within-daily", "3", operand), 2, "keep-within-daily: '3' is not a length of time"),
                            (("--keep-tag", "a b", operand), 2, "keep-tag: 'a b' is not tags"),
                            (("--tag", "a b", "-l1", operand), 2, "'a b' is no list of tags"),
                            (("--keep-minutely", "1", operand), 2, "keep-minutely"),
                            (("-l1",), 2, "missing operand"),
                            (("-l1", volume.path + "/nothing"), 1, "not inside a linkfs mount")):
        result = h.linkfs("prune", *argv)
        h.ok(result.rc == rc and words in result.err, f"refused: prune {' '.join(argv[:-1])}", result)
    h.equal(snapshots(volume), before, "and nothing was deleted")
    as_user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    if h.ROOT and FACE == "offline":
        subprocess.run(["chmod", "-R", "go+rwX", os.path.dirname(volume.path)], check=True)
        if h.execute([*as_user, "test", "-w", volume.path, "-a", "-x", h.BIN]).rc != 0:
            h.skip("rights of others", "an ordinary user cannot reach the volume or the program")
            return
        result = h.execute([*as_user, h.BIN, "prune", "-l1", operand])
        h.ok(result.rc == 1 and "snapshots are for root and for the owner of the root directory" in result.err, "not for others", result)
        h.equal(snapshots(volume), before, "who delete nothing")


def used(volume):
    return json.loads(h.must("info", "--json", volume("/")).raw)[0]["data_blocks_used"]


def deletes(volume, operand):
    h.must("sync", volume("/"))
    before = used(volume)
    out = h.must("prune", "--keep-last=2", "--keep-tag=odd", operand).out
    h.equal(names(volume), ["s1", "s3", "s5", "s7", "s8"], "what no rule keeps is gone")
    h.equal(out.splitlines()[-1], "5 stay, 3 gone, 96K given back", "and what that gives back is told")
    h.equal(before - used(volume), 3 * 8, "as it is")
    done = json.loads(h.must("prune", "--json", "--keep-last=1", "--tag=odd", operand).raw)
    h.equal((done["dry_run"], done["stay"], done["go"], done["gone"], done["freed"]), (False, 1, 3, 3, 3 * 32768), "--json tells the same")
    h.equal(names(volume), ["s7", "s8"], "others are left alone")
    h.equal(h.must("prune", "-q", "-l1", operand).out, "", "--quiet")
    h.equal(names(volume), ["s8"], "and does it")
    h.equal(h.must("prune", "-l1", operand).out.splitlines()[-1], "1 stay, 0 gone, 0 given back", "nothing is left to do")
    h.must("prune", "--keep-tag=nobody", "--all-may-go", operand)
    h.equal(names(volume), [], "--all-may-go")
    h.equal(h.must("prune", "-l1", operand).out, "0 stay, 0 gone, 0 given back\n", "of none")
    h.must("check", "--data", volume.path)


def properties(base, volume, operand):
    h.must("set", operand, "snapshot-every=90m", "snapshot-keep=daily=7,tag=a+b,last=03")
    h.equal(h.must("get", operand).out, "keep-deleted=off\nsnapshot-every=90m\nsnapshot-keep=last=3,daily=7,tag=a+b\ncompression=none\n", "get")
    info = h.must("info", operand).out
    h.ok("Properties: keep-deleted=off\n            snapshot-every=90m\n            snapshot-keep=last=3,daily=7,tag=a+b\n            compression=none\n" in info, "info", info)
    for word, words in (("snapshot-every=often", "snapshot-every: 'often' is not a duration as 7d, 12h, 30m or 90s, or off"),
                        ("snapshot-keep=3", "snapshot-keep: '3' is not RULE=VALUE"),
                        ("snapshot-keep=last=3,lost=1", "snapshot-keep: 'lost' is no rule; there are last, hourly"),
                        ("snapshot-keep=last=3 ", "snapshot-keep: last: '3 ' is not a number or unlimited")):
        result = h.linkfs("set", operand, word)
        h.ok(result.rc == 1 and words in result.err and result.err.count("\n") == 1, f"refused: {word}", result)
    h.equal(h.must("get", operand, "snapshot-keep").out, "last=3,daily=7,tag=a+b\n", "and nothing was changed")
    h.must("set", operand, "snapshot-every=off", "snapshot-keep=off")
    if FACE == "offline":
        h.must("create", "-o", "snapshot-every=1h", "-o", "snapshot-keep=last=3", base + "/made")
        h.equal(h.must("get", base + "/made").out, "keep-deleted=off\nsnapshot-every=1h\nsnapshot-keep=last=3\ncompression=none\n", "create -o")


def auto(volume):
    return [s["name"] for s in snapshots(volume) if s["tags"] == ["auto"]]


def every(base, volume):
    """What the mount does by itself. Nothing here needs the machine to be fast."""
    content = volume.mnt + "/f"

    def write(text):
        with open(content, "w") as f:
            f.write(text)

    write("0")
    h.must("snapshot", "create", "-q", volume.path, "mine")
    time.sleep(1.2)
    h.equal(auto(volume), [], "none is taken unless it is asked for")
    h.must("set", volume.path, "snapshot-every=1s", "snapshot-keep=last=2")
    h.ok(h.wait_for(lambda: len(auto(volume)) == 1), "a property that is set wakes the mount", None)
    (first,) = auto(volume)
    h.ok(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", first), "named by the time, tagged", first)
    h.equal(open(f"{volume.mnt}/.snapshots/{first}/f").read(), "0", "with what there was")
    time.sleep(2.5)
    h.equal(auto(volume), [first], "none is taken of a volume that has not changed")
    seen = {first}
    for i in range(1, 5):
        write(str(i))
        h.ok(h.wait_for(lambda: set(auto(volume)) - seen), f"change {i} is followed by one", None)
        seen |= set(auto(volume))
        newest = auto(volume)[-1]
        h.ok(h.wait_for(lambda: len(auto(volume)) <= 2), "of which two stay", None)
        h.equal(open(f"{volume.mnt}/.snapshots/{newest}/f").read(), str(i), "it has the change")
    h.ok("mine" in names(volume), "those of the user stay", None)
    # What a program has written through a mapping is in it (M5).
    import mmap
    fd = os.open(content, os.O_RDWR)
    pages = mmap.mmap(fd, 1)
    pages[0:1] = b"M"
    h.ok(h.wait_for(lambda: set(auto(volume)) - seen), "a mapping that is written to is a change", None)
    newest = auto(volume)[-1]
    h.equal(open(f"{volume.mnt}/.snapshots/{newest}/f").read(), "M", "which is in it")
    pages.close()
    os.close(fd)
    h.must("snapshot", "tag", "--add", "mine", "--remove", "auto", volume.path, newest)
    h.must("set", volume.path, "snapshot-keep=last=1")
    write("5")
    h.ok(h.wait_for(lambda: len(auto(volume)) == 1 and auto(volume)[0] not in seen and auto(volume)[0] != newest), "other rules hold for the next", None)
    h.ok({"mine", newest} <= set(names(volume)), "what lost its tag is the user's", None)
    h.must("set", volume.path, "snapshot-every=off")
    was = names(volume)
    write("6")
    time.sleep(2.2)
    h.equal(names(volume), was, "off: no more of them")
    # An interval that is long: the mount's end does not wait for it.
    h.must("set", volume.path, "snapshot-every=1000d")
    volume.umount()
    h.must("set", volume.path, "snapshot-every=1s")
    was = names(volume)
    time.sleep(1.1)
    h.equal(names(volume), was, "without a mount nobody takes them")
    volume.mount("-o", "ro")
    time.sleep(1.2)
    h.equal(names(volume), was, "nor does a mount that is read-only")
    volume.umount()
    volume.mount("-o", "nosnapshots")
    time.sleep(1.2)
    h.equal(names(volume), was, "or one without snapshots")
    volume.umount()
    volume.mount()
    h.ok(h.wait_for(lambda: set(names(volume)) - set(was)), "what is due when it is mounted is taken", None)
    was = names(volume)
    volume.umount()
    volume.mount()
    time.sleep(2.2)
    h.equal(names(volume), was, "and after another mount none, as nothing has changed")
    volume.umount()
    h.must("check", "--data", volume.path)
    # In the foreground, in a time zone of its own.
    volume_env = h.environment(TZ="XYZ-5:30")
    write_path = base + "/put"
    with open(write_path, "w") as f:
        f.write("later")
    h.must("import", "-T", write_path, volume("/f"))
    process = subprocess.Popen([h.BIN, "mount", "-f", volume.path, volume.mnt], env=volume_env, stderr=subprocess.PIPE)
    h.started.append(process)
    h.ok(h.wait_for(lambda: os.path.ismount(volume.mnt) and set(names(volume)) - set(was)), "taken", None)
    row = snapshots(volume)[-1]
    local = datetime.datetime.fromisoformat(row["time"][:19]) + datetime.timedelta(hours=5, minutes=30)
    stamp = datetime.datetime.fromisoformat(row["name"][:19])
    h.ok(abs(stamp - local) <= datetime.timedelta(seconds=5), "named by the mount's time zone", row)
    volume.umount()
    h.equal((process.wait(), process.stderr.read()), (0, b""), "and nothing was complained of")


def main():
    base, volume = h.begin("live" if FACE == "every" else FACE)
    if FACE == "every":
        every(base, volume)
        h.done()
    operand = volume.path
    if FACE == "mount":
        os.mkdir(volume.mnt + "/d")
        operand = volume.mnt + "/d"
    tags(volume, operand)
    fill(base, volume, operand)
    dry_run(volume, operand)
    refused(volume, operand)
    deletes(volume, operand)
    properties(base, volume, operand)
    h.done()


main()
