#!/usr/bin/env python3
"""Tar streams into a volume and out of it (row E8): beside GNU tar and bsdtar, both ways; what hostile and broken archives do, which is nothing
outside the destination; terminals, pipes, full disks, interrupts.

    test_tar.py offline|live|mount
"""
import io
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time

import harness as h
from trees import compare, describe, make_nasty

FACE = sys.argv[1]
REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
XATTRS = ["--xattrs", "--xattrs-include=*", "--acls"]
base, volume = h.begin(FACE)


def at(path="/"):
    """A path of the volume in the test's face."""
    return volume.mnt + path if FACE == "mount" else volume(path)


def archive(*entries, form=tarfile.PAX_FORMAT, **more):
    """The bytes of an archive: entries are (name, type, content or link, pax headers)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for name, kind, *rest in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, more.get("mode", 0o755)
            info.uid, info.gid, info.mtime = os.getuid(), os.getgid(), 1000000000
            data = b""
            if kind == REG:
                data = rest[0] if rest else b"content\n"
                info.size = len(data)
            elif rest:
                info.linkname = rest[0]
            info.pax_headers = rest[1] if len(rest) > 1 else {}
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def take(data, path, *options, **how):
    return h.linkfs("import", "--tar", *options, "-", at(path), stdin=data, **how)


def listing(path):
    """Names below a directory of the volume, with what they are."""
    lines = h.must("ls", "-lR", "--time-style=+%s", at(path)).out
    return lines


def names(path):
    return h.must("ls", "-A", at(path)).out.split()


def content(path):
    return h.must("cat", at(path)).out


def checked(name):
    """The volume holds together."""
    if FACE == "offline":
        result = h.linkfs("check", volume.path)
        h.equal(result.rc, 0, name, result)


# ---- round trips ------------------------------------------------------------------------------------------------------------


def without(facts, *gone, fifo=False):
    """What an archive does not hold, and what an ordinary user may not read; GNU tar does not see that two FIFOs are one."""
    facts = {k: dict(v) for k, v in facts.items() if k not in gone}
    for path in (b"fifo", b"fifo2") if fifo else ():
        facts[path].pop("nlink", None)
        facts[path].pop("same file as", None)
    return facts


def rsync_same(a, b, name):
    got = h.execute(["rsync", "-aHAXn" + ("" if h.ROOT else "O"), "--delete", "--checksum", "--itemize-changes", a + "/", b + "/"])
    lines = [line for line in got.out.splitlines() if "sock" not in line and "fifo" not in line and "mode0" not in line]
    h.ok(got.rc in (0, 23) and not lines, name, got)


def round_trips():
    source = base + "/source"
    os.mkdir(source)
    make_nasty(source)
    lost = [b"sock"] + ([] if h.ROOT else [b"mode0", b"null", b"block"])
    want = without(describe(source), *lost)
    h.linkfs("import", "-T", source, at("/tree"))

    tar = base + "/ours.tar"
    with open(tar, "wb") as f:
        got = subprocess.run([h.BIN, "export", "--tar", "-T", at("/tree")], stdout=f, stderr=subprocess.PIPE, env=h.environment(), check=False)
    h.ok(got.returncode == 0 and got.stderr.count(b"\n") == (1 if b"sock" in got.stderr else 0), "export to a pipe says only that a socket is left out", got.stderr)
    out = base + "/gnu-out"
    os.mkdir(out)
    got = h.execute(["tar", "-C", out, "-xpf", tar, "--warning=no-timestamp", "--warning=no-unknown-keyword", *XATTRS])
    h.equal(got.rc, 0, "GNU tar reads what we wrote", got)
    compare(without(describe(out), *lost), want, "GNU tar has from it: names, links, modes, owners, times, holes, xattrs, ACLs, devices")
    rsync_same(source, out, "and rsync sees no difference")

    # From tar to us and back.
    h.must("import", "--tar", tar, at("/again"))
    h.must("export", "-T", at("/again"), base + "/again")
    compare(without(describe(base + "/again"), *lost), want, "we have from it what went in")
    second = h.must("export", "--tar", "-T", at("/again")).raw
    h.equal(second == h.read(tar), True, "a tree that went through an archive makes the same archive again, byte for byte")
    h.must("export", "--tar", "-T", at("/again"), base + "/file.tar")
    h.equal(h.read(base + "/file.tar") == second, True, "and so does a file instead of a pipe")

    for form in ("gnu", "pax", "posix-sparse1", "pax-sparse01"):
        options = {"gnu": ["--format=gnu"], "pax": ["--format=pax"], "posix-sparse1": ["--format=pax", "--sparse-version=1.0"],
                   "pax-sparse01": ["--format=pax", "--sparse-version=0.1"]}[form]
        theirs = subprocess.Popen(["tar", *options, "--sparse", *XATTRS, "-C", source, "-cf", "-", "."], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        got = subprocess.run([h.BIN, "import", "--tar", "-", at("/" + form)], stdin=theirs.stdout, capture_output=True, env=h.environment(), check=False)
        theirs.stdout.close()
        theirs.wait()
        h.equal((got.returncode, got.stderr), (0, b""), f"import of GNU tar's {form} says nothing and succeeds")
        h.must("export", "-T", at("/" + form), f"{base}/{form}")
        have = without(describe(f"{base}/{form}"), *lost, fifo=True)
        other = without(want, fifo=True)
        if form == "gnu":  # times in seconds, no attributes
            for facts in (have, other):
                for fact in facts.values():
                    fact["mtime"] //= 10**9
                    fact.pop("xattr", None)
        compare(have, other, f"and all that {form} can hold is there")

    bsdtar = shutil.which("bsdtar")
    if bsdtar:
        os.mkdir(base + "/bsd-out")
        got = h.execute([bsdtar, "-C", base + "/bsd-out", "-xpf", tar])
        h.equal(got.rc, 0, "bsdtar reads what we wrote", got)
        have, other = without(describe(base + "/bsd-out"), *lost, b"."), without(want, b".")
        for facts in (have, other):
            for fact in facts.values():
                if fact["mtime"] < 0:  # libarchive takes the fraction for a positive one
                    fact.pop("mtime")
        for path in set(have) & set(other):
            if "mtime" not in have[path] or "mtime" not in other[path]:
                have[path].pop("mtime", None)
                other[path].pop("mtime", None)
        compare(have, other, "bsdtar has from it what went in")
        theirs = h.execute([bsdtar, "--format=pax", "-C", source, "-cf", "-", "."]).raw
        got = take(theirs, "/bsd")
        h.equal((got.rc, got.err), (0, ""), "import of bsdtar's archive succeeds")
        h.linkfs("export", "-T", at("/bsd"), base + "/bsd")  # as a user without what may not be read
        have = without(describe(base + "/bsd"), *lost, b".")
        for path in set(have) & set(other):
            if "mtime" not in other[path] or have[path]["mtime"] < 0:
                have[path].pop("mtime", None)
                other[path].pop("mtime", None)
        compare(have, other, "and all is there")
    else:
        h.skip("bsdtar both ways", "there is none")
    rows = {"gzip": ("gz", "1f8b"), "bzip2": ("bz2", "425a"), "xz": ("xz", "fd37"), "zstd": ("zst", "28b5")}
    for name, (end, magic) in rows.items():
        by_option = h.must("export", "--tar", "--" + name, at("/tree/links"), "-").raw
        h.must("export", "--tar", at("/tree/links"), f"{base}/packed.tar.{end}")
        h.ok(by_option[:2].hex() == magic and h.read(f"{base}/packed.tar.{end}") == by_option, f"{name} by option and by name is the same")
        got = take(by_option, "/" + name)
        h.equal((got.rc, got.err, names("/" + name)), (0, "", ["links"]), f"{name} is known on import")
        cut = take(by_option[:len(by_option) // 2], "/cut-" + name)
        h.ok(cut.rc == 1 and "rchive" in cut.err, f"half of it in {name} is told", cut)
    return tar


# ---- hostile archives -----------------------------------------------------------------------------------------------------------


def refused(name, entries, said, there, **more):
    """Imports, and compares what is said with a pattern, and what is there with a listing of names."""
    where = "/" + re.sub(r"\W+", "-", name)
    got = take(archive(*entries, **more), where)
    h.ok(got.rc == 1 and re.search(said, got.err), f"{name}: told by name", got, "want: " + said)
    h.equal(names(where), there, f"{name}: the rest is there")
    return where


def hostile():
    h.must("mkdir", at("/outside"))
    h.must("touch", at("/outside/victim"))
    before = listing("/outside")
    refused("dotdot", [("../outside/new", REG), ("a/../../outside/new", REG), ("ok", REG)], r"\.\./outside/new: refused.*\n.*a/\.\./\.\./outside/new: refused", ["ok"])
    refused("own symlink", [("l", SYM, "../outside"), ("l/new", REG), ("ok", REG)], r"l/new: refused: it leads through 'l', which is a symlink", ["l", "ok"])
    refused("own symlink to a directory of its own", [("d", DIR), ("l", SYM, "d"), ("l/new", REG)], "l/new: refused", ["d", "l"])
    refused("absolute symlink", [("l", SYM, "/outside"), ("l/victim", REG), ("l", DIR), ("l/new", REG)], "l/victim: refused", ["l"])
    refused("deep symlink", [("a/b/l", SYM, "../../../outside"), ("a/b/l/c/new", REG)], "a/b/l/c/new: refused: it leads through 'l'", ["a"])
    h.must("mkdir", at("/existing-symlink"))
    h.must("ln", "-s", "../outside", at("/existing-symlink/out"))
    refused("existing symlink", [("out/new", REG), ("out/", DIR), ("ok", REG)], "out/new: refused", ["ok", "out"])
    refused("hard link outside", [("h", LNK, "../outside/victim"), ("ok", REG)], r"h: refused: it is a hard link to '\.\./outside/victim'", ["ok"])
    refused("hard link through a symlink", [("l", SYM, "../outside"), ("h", LNK, "l/victim")], "h: refused: the file that it links to leads through 'l'", ["l"])
    refused("hard link to a directory", [("d", DIR), ("h", LNK, "d")], "h: refused: .*a directory", ["d"])
    refused("hard link to what comes later", [("h", LNK, "late"), ("late", REG)], "h: is a hard link to 'late'", ["late"])
    refused("hard link to nothing", [("h", LNK, "none"), ("g", LNK, "no/ne"), ("ok", REG)], "h: is a hard link(.*\n)*.*g: is a hard link", ["ok"])
    where = refused("file as directory", [("f", REG), ("f/x", REG), ("f/y/z", REG)], "f/x: refused: it leads through 'f', which is no directory", ["f"])
    h.equal(content(where + "/f"), "content\n", "and the file is what it was")
    refused("directory and file", [("d", DIR), ("d", REG), ("f", REG), ("f", DIR)], "d: is a directory in the volume(.*\n)*.*f/?: is a directory in the archive", ["d", "f"])
    refused("destination as file", [(".", REG), ("./", SYM, "x"), ("ok", REG)], "refused: it names the destination itself", ["ok"])
    refused("long name", [("n" * 256, REG), ("ok", REG)], "File name too long", ["ok"])
    refused("deep name", [("p/" * 140000 + "x", REG), ("ok", REG)], "File name too long", ["ok"])
    refused("long symlink", [("l", SYM, "t" * 4096), ("ok", REG)], "l: a symlink must have", ["ok"])
    refused("long hard link", [("l", LNK, "t/" * 140000), ("ok", REG)], "File name too long", ["ok"])
    refused("owner nobody can be", [("f", REG, b"x", {"uid": str(2**40)})], "f: its owner", ["f"], mode=0o4755)
    h.ok("s" not in listing("/owner-nobody-can-be").split("\n")[1].split()[0], "and has no setuid")
    refused("unknown ACL", [("f", REG, b"x", {"SCHILY.acl.access": "user::rwx,user:nobody-has-this-name:rwx,group::r-x,mask::rwx,other::r-x"})],
            "f: its ACL was left out: user 'nobody-has-this-name'", ["f"])
    refused("attribute of no kind", [("f", REG, b"x", {"SCHILY.xattr.nonsense": "1"})], "f: extended attribute nonsense", ["f"])
    h.equal(listing("/outside"), before, "nothing outside of the destinations was touched")

    # Absolute names lose their slash, once told.
    got = take(archive(("/abs/f", REG), ("//abs/g", REG), ("/abs/h", LNK, "/abs/f")), "/absolute")
    h.equal((got.rc, got.err.count("\n"), names("/absolute/abs")), (0, 1, ["f", "g", "h"]), "absolute names go below the destination, with one notice", got)
    h.ok(h.must("stat", "-c", "%h", at("/absolute/abs/f")).out == "2\n", "and what links to them is linked")
    # Twice in one archive: the last one; other names of the first keep it.
    got = take(archive(("f", REG, b"one"), ("g", LNK, "f"), ("f", REG, b"two"), ("l", SYM, "a"), ("l", SYM, "b"), ("d/x", REG), ("d", DIR)), "/twice")
    h.equal((got.rc, content("/twice/f"), content("/twice/g"), h.must("readlink", at("/twice/l")).out), (0, "two", "one", "b\n"), "of two entries the last one wins", got)
    got = take(archive(("f", LNK, "g"), ("g", REG, b"three"), ("h", LNK, "f")), "/twice")
    h.equal((got.rc, content("/twice/f"), content("/twice/g")), (0, "one", "three"), "a link to what was in the volume; a file in its place", got)
    got = take(archive(("f", LNK, "f")), "/twice")
    h.equal((got.rc, content("/twice/f")), (0, "one"), "a file that is linked to itself stays", got)


def pax_block(records, kind=b"x"):
    body = b"".join(records)
    info = tarfile.TarInfo("header")
    info.size, info.type = len(body), kind
    return info.tobuf(tarfile.USTAR_FORMAT) + body + b"\0" * (-len(body) % 512)


def record(key, value):
    for n in range(1, 20):
        text = b"%d %s=%s\n" % (len(key) + len(value) + 3 + n, key, value)
        if len(text) == len(key) + len(value) + 3 + n and len(str(len(text))) == n:
            return text
    raise ValueError


def peak(data, path):
    """The status, what was said, and the most memory in MiB."""
    code = ("import resource, subprocess, sys; p = subprocess.run(sys.argv[1:], stdin=sys.stdin, capture_output=True); sys.stderr.buffer.write(p.stderr[-4000:]);"
            "print(p.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)")
    got = h.execute([sys.executable, "-c", code, h.BIN, "import", "--tar", "-", at(path)], stdin=data)
    rc, mib = map(int, got.out.split())
    return rc, got.err, mib


def broken():
    whole = archive(("a", REG, b"A" * 3000), ("d", DIR), ("d/b", REG, b"B" * 70000), ("c", REG, b"C"))
    for size in list(range(0, 2048, 256)) + [4096, 4100, 4608, 5000, 50000, 75000]:
        got = take(whole[:size], f"/cut{size}")
        if not (got.rc == 1 and re.search("archive", got.err)):
            h.ok(False, f"an archive cut at {size} bytes is told", got)
    there = names("/cut50000"), names("/cut50000/d"), content("/cut50000/a")
    h.equal(there, (["a", "d"], [], "A" * 3000), "archives cut anywhere are told; what came before stays, of the cut file nothing")
    got = take(whole[:75776], "/cut-end")
    h.ok(got.rc == 1 and "no end mark" in got.err and names("/cut-end") == ["a", "c", "d"], "a missing end mark is told, too", got)
    for data, what in ((b"", "nothing"), (b"\0" * 200, "some zeros"), (b"hello\n" * 1000, "text"), (os.urandom(20000), "noise")):
        got = take(data, "/none")
        h.ok(got.rc == 1 and "is no tar archive" in got.err, f"{what} is no archive", got)
    h.equal(h.linkfs("stat", at("/none")).rc, 1, "and makes nothing")
    bad = bytearray(whole)
    bad[3584 + 148] ^= 1  # a header's sum
    got = take(bytes(bad), "/bad")
    h.ok(got.rc == 1 and "damaged: Damaged tar archive" in got.err and "kind" not in got.err, "a header whose checksum is wrong is damage, and no entry", got)

    # Compressed: what does not come through as it was is told, wherever it lies.
    noise = archive(("noise", REG, os.urandom(300000)))
    for program in ("gzip", "bzip2", "xz", "zstd"):
        packed = subprocess.run([program, "-c"], input=noise, capture_output=True, check=True).stdout
        for spot in (len(packed) // 2, len(packed) - 6):
            bad = packed[:spot] + bytes([packed[spot] ^ 1]) + packed[spot + 1:]
            got = take(bad, f"/{program}{spot}")
            if program == "bzip2" and "is no tar archive" in got.err:
                continue
            h.ok(got.rc == 1 and "damaged" in got.err, f"one bit of {program}'s bytes that is wrong is told (byte {spot} of {len(packed)})", got)
        for cut in (len(packed) - 3, len(packed) - 12):
            got = take(packed[:cut], f"/{program}-{cut}")
            h.ok(got.rc == 1 and "is" in got.err, f"{program}'s bytes without the last {len(packed) - cut} are told", got)
    half = len(whole) // 2
    parts = [subprocess.run(["gzip", "-c"], input=part, capture_output=True, check=True).stdout for part in (whole[:half], whole[half:], b"")]
    got = take(b"".join(parts) + b"\0" * 20000, "/members")
    h.ok(got.rc == 0 and content("/members/d/b") == "B" * 70000, "gzip's bytes may be several members, and zeros may follow", got)

    rest = archive(("after", REG))
    big = tarfile.TarInfo("big")
    big.size = 2**60
    got = take(big.tobuf(tarfile.GNU_FORMAT) + b"x" * 1024, "/huge")
    h.ok(got.rc == 1 and names("/huge") == [], "a size of 2^60 is cut off, and no file stays", got)
    sparse = pax_block([record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"), record(b"GNU.sparse.name", b"hole"),
                        record(b"GNU.sparse.realsize", b"%d" % 2**60)])
    info = tarfile.TarInfo("GNUSparseFile.0/hole")
    info.size = 512
    got = take(sparse + info.tobuf(tarfile.USTAR_FORMAT) + b"0\n".ljust(512, b"\0") + rest, "/hole")
    h.ok(got.rc == 1 and "hole" in got.err and names("/hole") == ["after"], "a hole of 2^60 bytes is refused, and the rest goes on", got)
    # Sparse maps that lie.
    for i, entries in enumerate(([(0, 100), (50, 100)], [(2**62, 10)], [(100, 10), (0, 10)], [(0, 2**63 - 1)], [(90, 100)])):
        head = pax_block([record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"), record(b"GNU.sparse.name", b"lie"),
                          record(b"GNU.sparse.realsize", b"100")])
        body = b"%d\n" % len(entries) + b"".join(b"%d\n%d\n" % e for e in entries)
        info.size = 512 + 200
        got = take(head + info.tobuf(tarfile.USTAR_FORMAT) + body.ljust(512, b"\0") + b"x" * 200 + b"\0" * 312 + rest, f"/lie{i}")
        size = h.linkfs("stat", "-c", "%s", at(f"/lie{i}/lie"))
        h.ok(got.rc in (0, 1) and (size.rc == 1 or size.out == "100\n"), f"a sparse map that lies ({entries}) makes no file of another size", got, size)

    # Memory. The headers alone would be 64 MiB and 100 MiB.
    rc, err, plain = peak(rest, "/plain")
    h.equal(rc, 0, "an archive of one file", err)
    if FACE == "offline" and b"__asan_init" not in h.read(h.BIN):  # the sanitizers keep what is freed
        head = pax_block([record(b"comment", b"x" * (64 << 20))])
        rc, err, mib = peak(head + rest, "/huge-header")
        h.ok(rc == 1 and mib < plain + 48, f"a pax header of 64 MiB is refused in {mib} MiB (an ordinary archive: {plain})", err)
        head = pax_block([record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"), record(b"GNU.sparse.name", b"map"),
                          record(b"GNU.sparse.realsize", b"%d" % 2**40)])
        count = 6000000
        body = b"%d\n" % count + b"1\n0\n" * count
        info.size = len(body)
        bomb = subprocess.run(["gzip", "-1"], input=head + info.tobuf(tarfile.GNU_FORMAT) + body, capture_output=True, check=True).stdout
        rc, err, mib = peak(bomb, "/map")
        h.ok(rc == 1 and mib < plain + 400, f"a sparse map of 24 MiB, packed in {len(bomb) >> 10} KiB, is refused in {mib} MiB", err[-300:])
        links = [("f", REG)] + [(f"d{i % 7}/l{i}", LNK, "f") for i in range(5000)]
        rc, err, mib = peak(archive(*links), "/links")
        h.ok(rc == 0 and mib < plain + 32 and h.must("stat", "-c", "%h", at("/links/f")).out == "5001\n", f"5,000 links to a file take {mib} MiB", err)


# ---- the command -------------------------------------------------------------------------------------------------------------------


def words():
    h.must("mkdir", "-p", at("/w/one/deep"), at("/w/two"))
    for name in ("one/a", "one/a.o", "one/deep/b", "two/c"):
        h.must("touch", "-d", "@1000000000", at("/w/" + name))

    def members(*argv, **how):
        got = h.must("export", "--tar", *argv, **how).raw
        with tarfile.open(fileobj=io.BytesIO(got)) as t:
            return t.getnames()

    h.equal(members(at("/w/one")), ["one", "one/a", "one/a.o", "one/deep", "one/deep/b"], "a tree is in the archive under its own name, sorted")
    h.equal(members("-T", at("/w/one")), [".", "./a", "./a.o", "./deep", "./deep/b"], "-T: without it")
    h.equal(members(at("/w/one/.")), [".", "./a", "./a.o", "./deep", "./deep/b"], "/. as well")
    h.equal(members("-", at("/w/one/a"), at("/w/two")), ["a", "two", "two/c"], "several trees, - first")
    h.equal(members(at("/w/two"), "-"), ["two", "two/c"], "- last")
    h.equal(members("--exclude=*.o", "--exclude=deep/b", at("/w/one")), ["one", "one/a", "one/deep"], "--exclude")
    got = h.linkfs("export", "--tar", "-v", at("/w/two"))
    h.equal((got.rc, got.err), (0, "two\ntwo/c\n"), "-v tells on standard error")

    h.put(base + "/a.tar", b"old")
    os.chmod(base + "/a.tar", 0o640)
    got = json.loads(h.must("export", "--tar", "--json", at("/w/one"), base + "/a.tar").out)
    h.equal((got["files"], got["directories"], got["errors"]), (3, 2, 0), "--json counts")
    h.equal(stat.S_IMODE(os.stat(base + "/a.tar").st_mode), 0o640, "a file that is replaced keeps its mode")
    got = json.loads(h.must("import", "--tar", "--json", base + "/a.tar", at("/from-file")).out)
    h.equal((got["files"], got["directories"], got["errors"]), (3, 3, 0), "and import has them, and the destination that it made")
    got = h.must("import", "--tar", "-v", at("/from-pipe"), stdin=h.read(base + "/a.tar"))
    h.equal(got.out, "one/\none/a\none/a.o\none/deep/\none/deep/b\n", "an archive that is not named is standard input; -v")
    h.must("import", "--tar", "--exclude=*.o", "--exclude=one/deep", base + "/a.tar", at("/some"))
    h.equal(names("/some/one"), ["a"], "import --exclude")
    before = h.read(base + "/a.tar")
    got = h.linkfs("export", "--tar", at("/none"), base + "/a.tar")
    h.ok(got.rc == 1 and h.read(base + "/a.tar") == before, "a missing tree fails, and the archive that was there stays", got)
    h.must("cp", base + "/a.tar", at("/inside.tar"))
    h.must("import", "--tar", at("/inside.tar"), at("/from-inside"))
    h.equal(names("/from-inside/one"), ["a", "a.o", "deep"], "an archive that lies in the volume")
    if FACE == "mount":  # where a path in the mount is the last operand
        h.must("export", "--tar", at("/w/."), at("/w/self.tar"))
        with tarfile.open(at("/w/self.tar")) as t:
            h.equal(t.getnames(), [".", "./one", "./one/a", "./one/a.o", "./one/deep", "./one/deep/b", "./two", "./two/c"],
                    "an archive that comes to lie in the tree that it holds does not hold itself")
        before = h.read(at("/w/self.tar"))
        h.equal(h.linkfs("export", "--tar", at("/none"), at("/w/self.tar")).rc, 1, "a missing tree")
        h.equal((h.read(at("/w/self.tar")) == before, sorted(os.listdir(at("/w")))), (True, ["one", "self.tar", "two"]), "leaves it as it was")
        os.unlink(at("/w/self.tar"))
    got = h.linkfs("export", "--tar", at("/w/one"), base + "/none/a.tar")
    h.ok(got.rc == 1 and "none/a.tar" in got.err, "a directory that is missing is told", got)
    got = h.linkfs("export", "--tar", at("/w/one"), base)
    h.ok(got.rc == 1 and "s a directory" in got.err, "a directory is no archive", got)
    h.equal([n for n in os.listdir(base) if n.startswith(".linkfs")], [], "and no temporary file stays")
    fifo = base + "/fifo"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["tar", "-tf", fifo], stdout=subprocess.PIPE)
    h.must("export", "--tar", at("/w/two"), fifo)
    h.equal(reader.communicate(timeout=60)[0], b"two/\ntwo/c\n", "a FIFO is written to")
    writer = subprocess.Popen(["sh", "-c", f"sleep 0.3; cat '{base}/a.tar' > '{fifo}'"])
    got = h.linkfs("import", "--tar", fifo, at("/from-fifo"))
    writer.wait()
    h.equal((got.rc, names("/from-fifo")), (0, ["one"]), "and read from", got)

    for argv, said in ((["export", "--tar", "-"], "missing operand"), (["export", "--tar", "--json", at("/w")], "--json needs a file"),
                       (["export", "--gzip", at("/w"), base + "/x"], "--tar is missing"), (["import", "--tar", "-T", "-", at("/w")], "no-target-directory"),
                       (["import", "--tar", "a", "b", at("/w")], "extra operand"), (["export", "--tar", "a", at("/w"), "b"], "there is one archive"),
                       (["export", "--tar", "-t", base, at("/w")], "target-directory"), (["import", "--tar"], "missing operand"),
                       (["export", "--tar", "-T", at("/w"), at("/w/one"), "-"], "-T takes one tree")):
        got = h.linkfs(*argv)
        h.ok(got.rc == 2 and said in got.err, f"wrong usage: {' '.join(argv[:3])}: {said}", got)
    for argv, said in ((["export", "--tar", at("/w")], "standard output is a terminal"), (["import", "--tar", at("/w")], "standard input is a terminal")):
        ours, theirs = pty.openpty()
        got = subprocess.run([h.BIN, *argv], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, timeout=60, env=h.environment(), check=False)
        os.close(theirs)
        os.close(ours)
        h.ok(got.returncode == 1 and said.encode() in got.stderr, said, got.stderr)
    head = subprocess.Popen([h.BIN, "export", "--tar", at("/")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=h.environment())
    head.stdout.read(100)
    head.stdout.close()
    err = head.stderr.read()
    h.ok(head.wait(timeout=60) in (1, -signal.SIGPIPE) and b"annot" not in err, "a reader that has enough is a failure without a message", head.returncode, err)


def attributes():
    """What comes when it must not be undone: directories' times and modes, ACLs that a directory gives."""
    data = archive(("ro", DIR), ("ro/sub", DIR), ("ro/sub/f", REG), ("ro/g", REG), mode=0o555)
    got = take(data, "/late")
    h.equal((got.rc, got.err), (0, ""), "directories that may not be written are filled")
    h.equal(h.must("stat", "-c", "%a %Y", at("/late/ro"), at("/late/ro/sub"), at("/late/ro/sub/f")).out, "555 1000000000\n" * 3, "and have their modes and times")
    acl = {"SCHILY.acl.access": "user::rw-,user:no such user:rwx,group::r--,mask::rwx,other::---"}
    got = take(archive(("f", REG, b"", acl), mode=0o670), "/no-acl")
    h.ok(got.rc == 1 and "is not known here" in got.err, "an ACL of a user that is not known is left out, and told", got)
    h.equal(h.must("stat", "-c", "%a", at("/no-acl/f")).out, "640\n", "and the group has no right that only the ACL's mask had")
    if h.ROOT and FACE == "offline":
        user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
        os.chmod(base, 0o777)
        if h.execute([*user, h.BIN, "create", base + "/users"]).rc == 0:
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as t:
                for name, mode, uid, gid in (("foreign", 0o6755, 0, 1000), ("own", 0o6755, 1000, 1000), ("group", 0o6755, 1000, 0)):
                    info = tarfile.TarInfo(name)
                    info.mode, info.uid, info.gid = mode, uid, gid
                    t.addfile(info)
            got = h.execute([*user, h.BIN, "import", "--tar", "-", base + "/users:/"], stdin=out.getvalue())
            h.equal((got.rc, h.must("stat", "-c", "%a", *(f"{base}/users:/{n}" for n in ("foreign", "own", "group"))).out), (0, "755\n6755\n4755\n"),
                    "who is not root gives nobody's rights but the own ones", got)
            os.mkdir(base + "/rights")
            for name, mode, uid, gid in (("foreign", 0o6755, 0, 1000), ("own", 0o6755, 1000, 1000), ("group", 0o6755, 1000, 0)):
                h.put(f"{base}/rights/{name}")
                os.chown(f"{base}/rights/{name}", uid, gid)
                os.chmod(f"{base}/rights/{name}", mode)
            got = h.execute([*user, h.BIN, "import", "-T", base + "/rights", base + "/users:/tree"])
            h.equal((got.rc, h.must("stat", "-c", "%a", *(f"{base}/users:/tree/{n}" for n in ("foreign", "own", "group"))).out), (0, "755\n6755\n4755\n"),
                    "nor does an import of a tree", got)
            h.must("import", "-T", base + "/rights", base + "/users:/all")
            got = h.execute([*user, h.BIN, "export", base + "/users:/all", base + "/rights2"])
            h.equal([stat.S_IMODE(os.stat(f"{base}/rights2/{n}").st_mode) for n in ("foreign", "own", "group")], [0o755, 0o6755, 0o4755], "nor an export", got)
        else:
            h.skip("setuid and setgid of an ordinary user", "no access")
    tree = base + "/acl"
    os.makedirs(tree + "/plain")
    h.put(tree + "/file")
    if h.execute(["setfacl", "-d", "-m", "u:12:rwx", tree]).rc == 0:
        h.must("import", "-T", tree, at("/given"))  # a destination that gives an ACL
        got = take(archive(("plain2", DIR), ("f", REG), ("d/g", REG), mode=0o640), "/given")
        h.must("export", "-T", at("/given"), base + "/given")
        facts = describe(base + "/given")
        h.equal([facts[n]["xattr"] for n in (b"f", b"plain2")], [{}, {}], "a file in a directory with a default ACL has what the archive says", got)
    else:
        h.skip("default ACLs", "setfacl does not work here")


def holes():
    """A hole stays one where attributes take more blocks than it leaves out."""
    tree = base + "/holes"
    os.mkdir(tree)
    with open(tree + "/f", "wb") as f:
        f.write(os.urandom(4096 * 3))
        f.seek(4096 * 4)
        f.write(os.urandom(4096 * 10))
    try:
        for i in range(4):
            os.setxattr(tree + "/f", f"user.{i}", b"x" * 900)
        with open(tree + "/f", "rb") as f:
            if os.lseek(f.fileno(), 0, os.SEEK_HOLE) != 4096 * 3:
                raise OSError("no holes")
    except OSError as error:
        h.skip("a hole beside attributes", str(error))
        return
    h.must("import", "-T", tree, at("/holes"))
    data = h.must("export", "--tar", "-T", at("/holes")).raw
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        h.equal(t.getmember("./f").sparse, [(0, 4096 * 3), (4096 * 4, 4096 * 10)], "a file with one hole and large attributes keeps it in a tree's import and in an archive")
        h.equal(t.extractfile("./f").read() == h.read(tree + "/f"), True, "and its content")
    h.must("export", "-T", at("/holes"), base + "/holes2")
    with open(base + "/holes2/f", "rb") as f:
        h.equal(os.lseek(f.fileno(), 0, os.SEEK_HOLE), 4096 * 3, "and in a tree's export")


def whole_trees():
    """What an export must not leave out, put in twice, or write over."""
    h.must("mkdir", "-p", at("/t/one/same"), at("/t/two/same"), at("/t/two/other"))
    h.must("touch", at("/t/one/same/a"), at("/t/two/same/b"))
    got = h.linkfs("export", "--tar", at("/t/one/same"), at("/t/two/same"), at("/t/two/other"), base + "/same.tar")
    with tarfile.open(base + "/same.tar") as t:
        h.equal((got.rc, t.getnames()), (1, ["same", "same/a", "other"]), "of two trees with one name the second is left out", got)
    h.ok("left out" in got.err and at("/t/two/same") in got.err, "and told", got)

    for which in ("a", "b"):  # of volumes in which everything has the same number
        tree = f"{base}/twin-{which}"
        os.mkdir(tree)
        h.put(tree + "/file", which.encode())
        os.link(tree + "/file", tree + "/link")
        h.must("import", tree, h.Volume(base, "twin" + which)("/"))
    data = h.must("export", "--tar", f"{base}/twina:/twin-a", f"{base}/twinb:/twin-b").raw
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        h.equal([(m.name, m.linkname or t.extractfile(m).read()) for m in t.getmembers() if not m.isdir()],
                [("twin-a/file", b"a"), ("twin-a/link", "twin-a/file"), ("twin-b/file", b"b"), ("twin-b/link", "twin-b/file")],
                "hard links of two volumes are no links to one another's files")

    tree = base + "/deep"
    os.mkdir(tree)
    here = os.open(tree, os.O_RDONLY)
    for i in range(270):
        os.mkdir("n" * 255, dir_fd=here)
        below = os.open("n" * 255, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.link("f", "g", src_dir_fd=here, dst_dir_fd=here)
    os.close(here)
    if FACE == "offline":
        h.must("import", tree, at("/"))
        data = h.must("export", "--tar", "-T", at("/deep")).raw
        got = take(data, "/deep2")
        h.equal((got.rc, got.err[:100]), (0, ""), "a tree that is 270 directories with the longest names deep comes back from its archive")
        h.ok(h.must("export", "--tar", "-T", at("/deep2")).raw == data, "as it was")
    subprocess.run(["rm", "-rf", tree], check=True)

    if FACE != "mount":
        return
    h.must("mkdir", at("/t/self"))
    h.put(at("/t/self/file"), b"x" * 50000)
    sizes = []
    for _ in range(3):
        h.must("export", "--tar", at("/t/self"), at("/t/self/self.tar"))
        sizes.append(os.stat(at("/t/self/self.tar")).st_size)
    h.equal(sizes, [sizes[0]] * 3, "an archive that is made again in the tree that it is of does not hold the one before")
    got = h.linkfs("export", "--tar", at("/t/one"), at("/t/self/file"))
    h.ok(got.rc == 2 and "exists" in got.err and h.read(at("/t/self/file")) == b"x" * 50000, "a file in the mount that is no archive by its name is not written over", got)
    h.equal(h.linkfs("export", "--tar", at("/t/one"), at("/t/self/file"), "-").rc, 0, "but exported where the archive is named")
    other = h.Volume(base, "other")
    h.must("import", "--tar", "-", other("/"), stdin=archive(*[(f"f{i}", REG, b"") for i in range(os.stat(at("/t/self/self.tar")).st_ino + 200)]))
    h.must("export", "--tar", "-T", other("/"), at("/t/other.tar"))
    with tarfile.open(at("/t/other.tar")) as t:
        h.equal(len(t.getnames()), os.stat(at("/t/self/self.tar")).st_ino + 201,
                "a tree of another volume is whole, whatever number the archive's inode has")


def interrupts():
    """Ctrl-C while the archive comes in slowly."""
    data = archive(*[(f"d/f{i}", REG, b"x" * 2000) for i in range(200)])
    process = subprocess.Popen([h.BIN, "import", "--tar", "-", at("/slow")], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=h.environment())
    process.stdin.write(data[:300000])
    process.stdin.flush()
    h.wait_for(lambda: FACE == "offline" or h.linkfs("stat", at("/slow/d/f20")).rc == 0)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    except (BrokenPipeError, ValueError):
        err = process.stderr.read()
    h.ok(process.returncode != 0, "an import that is interrupted fails", err)
    h.wait_for(lambda: h.linkfs("stat", at("/slow/d")).rc == 0)
    sizes = set(h.must("ls", "-l", at("/slow/d")).out.split()[4::9]) if FACE != "offline" else set()
    h.ok(FACE == "offline" or "0" not in sizes, "and leaves no half file", sizes)
    checked("the volume is whole after it")


def full():
    small = h.Volume(base, "small")
    shutil.rmtree(small.path)
    h.must("create", "--limit=8M", small.path)
    if FACE != "offline":
        small.mount()
    data = archive(("a", REG, b"a" * 1000000), ("big", REG, os.urandom(12 << 20)), ("later", REG, b"l"))
    h.put(base + "/big.tar", data)
    got = h.linkfs("import", "--tar", base + "/big.tar", small("/"))
    h.ok(got.rc == 1 and "No space left" in got.err and "stopped" in got.err, "a full volume ends the import and is told", got)
    h.equal(h.must("ls", small("/")).out, "a\n", "what was whole stays, and of the file that did not fit nothing")
    if FACE != "offline":
        small.umount()
    got = h.linkfs("check", small.path)
    h.equal(got.rc, 0, "and the volume is whole", got)


def moment():
    """An export of a volume that others change is of one moment, and leaves no snapshot behind."""
    h.must("mkdir", at("/m"))
    for i in range(40):
        h.put(f"{volume.mnt}/m/f{i:02}", b"before" + bytes([i]) * 20000)
    process = subprocess.Popen([h.BIN, "export", "--tar", at("/m")], bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=h.environment())
    start = process.stdout.read(512)  # it runs, and waits for us
    for i in range(40):
        h.put(f"{volume.mnt}/m/f{i:02}", b"after")
    os.rename(volume.mnt + "/m", volume.mnt + "/m2")
    during = h.must("snapshot", "list", volume("/")).out
    rest, err = process.communicate(timeout=60)
    with tarfile.open(fileobj=io.BytesIO(start + rest)) as t:
        old = [m.name for m in t.getmembers() if m.isreg() and t.extractfile(m).read(6) == b"before" and m.size == 20006]
    h.ok(process.returncode == 0 and len(old) == 40, f"{len(old)} of 40 files are of the moment at which the export began", err)
    h.ok("export-" in during, "because it reads a snapshot", during)
    h.equal(h.must("snapshot", "list", volume("/")).out.count("export-"), 0, "which is gone when it is done")
    process = subprocess.Popen([h.BIN, "export", "--tar", volume("/")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=h.environment())
    process.stdout.read(512)
    process.kill()
    process.communicate()
    h.ok(h.wait_for(lambda: "export-" not in h.must("snapshot", "list", volume("/")).out), "and when who asked for it is killed")
    # What is shown while it is in a snapshot is exported from there.
    h.must("snapshot", "create", volume.path, "kept")
    h.must("rm", "-r", at("/m2"))
    got = h.must("export", "--tar", f"{volume.path}@kept:/m2").raw
    with tarfile.open(fileobj=io.BytesIO(got)) as t:
        h.equal(len(t.getnames()), 41, "VOLUME@SNAPSHOT:/path")
    if FACE == "mount":
        got = h.must("export", "--tar", volume.mnt + "/.snapshots/kept/m2").raw
        with tarfile.open(fileobj=io.BytesIO(got)) as t:
            h.equal(len(t.getnames()), 41, "and by its path in the mount")


def special_links():
    """What an archive has of a volume's own kinds of links."""
    h.must("mkdir", "-p", at("/k/sub"), at("/k/elsewhere"))
    h.must("touch", at("/k/elsewhere/target"))
    h.must("ln", "-s", "--track", at("/k/elsewhere/target"), at("/k/sub/tracked"))
    h.must("mv", at("/k/elsewhere"), at("/k/moved"))
    h.must("ln", at("/k/moved/target"), at("/k/sub/hard"))
    got = h.must("export", "--tar", at("/k/sub")).raw
    with tarfile.open(fileobj=io.BytesIO(got)) as t:
        h.equal((t.getmember("sub/tracked").linkname, t.getmember("sub/hard").type), ("../moved/target", REG),
                "a tracked link is a symlink with its text; a file whose other name is not exported is a file")
    got = h.must("export", "--tar", at("/k")).raw
    with tarfile.open(fileobj=io.BytesIO(got)) as t:
        h.equal(t.getmember("k/sub/hard").linkname, "k/moved/target", "and a hard link where both are")


def main():
    round_trips()
    hostile()
    broken()
    words()
    attributes()
    holes()
    whole_trees()
    special_links()
    interrupts()
    full()
    if FACE != "offline":
        moment()
    checked("the volume holds together after all of it")
    h.done()


main()
