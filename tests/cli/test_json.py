#!/usr/bin/env python3
"""--json of whatever lists or shows: valid for any parser, complete, and odd names come back byte for byte (linkfs(1), JSON)."""
import json
import os
import subprocess
import sys

import harness as h


def load(result, name):
    checked = subprocess.run([sys.executable, "-m", "json.tool"], input=result.raw, capture_output=True)
    h.ok(result.rc == 0 and checked.returncode == 0, name + ": valid", result, checked.stderr)
    return json.loads(result.raw)


def main():
    base = h.make_dir()
    volume = h.Volume(base)
    tree = os.fsencode(base) + b"/tree"
    os.mkdir(tree)
    names = [b"plain", b"\xff\xfe", b"caf\xc3\xa9", b"\xed\xb2\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"quote\"back\\slash", b"new\nline\ttab\x01\x7f", b"\xf0\x9f\x98\x80",
             b"cut\xe2\x82", b"{\"a\":1}"]
    for name in names:
        open(tree + b"/" + name, "wb").close()
    os.symlink(b"\xfe target\n", tree + b"/link")
    h.must("import", "-T", base + "/tree", volume("/"))
    found = load(h.linkfs("ls", "--json", "-A", volume("/")), "ls")
    got = {entry["name"].encode("utf-8", "surrogateescape"): entry for entry in found}
    h.equal(set(got), set(names) | {b"link"}, "names come back byte for byte")
    h.equal(got[b"link"]["target"].encode("utf-8", "surrogateescape"), b"\xfe target\n", "and so does the text of a symlink")
    want = {"path", "name", "ino", "type", "mode", "nlink", "uid", "gid", "user", "group", "size", "blocks", "atime", "mtime", "ctime", "btime"}
    h.equal(set(got[b"plain"]), want, "the members of an entry")
    h.equal((got[b"plain"]["type"], got[b"link"]["type"], got[b"plain"]["nlink"]), ("file", "symlink", 1), "and their values")

    h.must("touch", "-d", "1969-12-31T23:59:58.25Z", volume("/plain"))
    h.must("chmod", "4750", volume("/plain"))
    h.must("ln", volume("/plain"), volume("/second"))
    (entry,) = load(h.linkfs("stat", "--json", volume("/second")), "stat")
    h.equal((entry["mtime"], entry["mode"], entry["nlink"]), ("1969-12-31T23:59:58.250000000Z", "4750", 2), "stat: time before 1970, mode, count of names")
    (link,) = load(h.linkfs("stat", "--json", volume("/link")), "stat of a symlink")
    h.ok("target" in link, "stat: the text of a symlink")
    everything = load(h.linkfs("ls", "--json", "-R", volume("/")), "ls -R")
    h.equal(len(everything), len(names) + 2, "ls -R: every entry")
    (target,) = load(h.linkfs("readlink", "--json", volume("/link")), "readlink")
    h.equal(target["target"].encode("utf-8", "surrogateescape"), b"\xfe target\n", "readlink: the text")
    (space,) = load(h.linkfs("df", "--json", volume.path), "df")
    h.ok(space["blocks"] >= space["blocks_free"] >= space["blocks_available"] > 0 and space["mount_point"] is None, "df: sizes", space)
    (info,) = load(h.linkfs("info", "--json", volume.path), "info")
    h.ok(info["owner"] is None and info["inodes"] == len(names) + 2 and len(info["uuid"]) == 36, "info: of a volume nobody owns", info)
    load(h.linkfs("__table"), "the command table")
    h.equal(json.loads(h.linkfs("ls", "--json", volume("/none")).out), [], "what is missing leaves valid JSON")
    h.equal(h.linkfs("ls", "--json", volume("/none")).rc, 1, "and exit status 1")
    usable, why = h.fuse_usable()
    if usable:
        volume.mount()
        os.listdir(volume.mnt)
        (info,) = load(h.linkfs("info", "--json", volume.mnt), "info of a mounted volume")
        h.equal(info["owner"]["mount_point"], volume.mnt, "info: who serves it")
        h.ok(any(row["requests"] > 0 and row["operation"] for row in info["requests"]), "info: request counters", info)
        (space,) = load(h.linkfs("df", "--json", volume.mnt), "df of a mounted volume")
        h.equal(space["mount_point"], volume.mnt, "df: where it is mounted")
        volume.umount()
    else:
        h.skip("info of a mounted volume", why)
    h.done()


main()
