#!/usr/bin/env python3
"""Hostile host directories (F5): what somebody may have put where a volume's files belong, and what a lock file may claim. Whoever
opens such a volume, root too, gets an error that names the thing; nothing outside the directory is read, written or deleted, no
other process is sent anything, and no terminal is sent what commands it."""
import fcntl
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["LINKFS_SOURCE"], "tests/cli"))
import harness as h  # noqa: E402

SECRET = b"precious " * 4000  # longer than a file that is kept inline
EVIL = "\x1b]0;owned\x07\x9b2J\rx"


def digest(path):
    with open(path, "rb") as f:
        return f.read()


class Place:
    """A volume with one file of several blocks, and beside it files that are none of its business."""

    def __init__(self, base, name):
        self.base = os.path.join(base, name)
        os.mkdir(self.base)
        self.vol = self.base + "/vol"
        self.victim = self.base + "/victim"
        self.outside = self.base + "/outside"
        os.mkdir(self.outside)
        self.source = self.base + "/source"
        for path in (self.victim, self.source):
            with open(path, "wb") as f:
                f.write(SECRET)
        h.must("create", self.vol)
        h.must("import", self.source, self.vol + ":/big")

    def untouched(self, what):
        names = sorted(os.listdir(self.outside))
        h.ok(os.path.isfile(self.victim) and digest(self.victim) == SECRET and not names, f"{what}: nothing outside was touched", names)


def printable(result):
    return not any(ord(c) < 32 and c not in "\n\t" or 0x7f <= ord(c) < 0xa0 for c in result.out + result.err)


def refused(what, names, *argv):
    """The command ends by itself, says no, and names the thing in printable words."""
    try:
        result = h.linkfs(*argv, timeout=60)
    except subprocess.TimeoutExpired:
        return h.ok(False, f"{what}: linkfs {argv[0]} hangs")
    return h.ok(result.rc in (1, 2) and names in result.err and printable(result), f"{what}: linkfs {argv[0]} says so", result)


def opened(place, what, names):
    refused(what, names, "ls", place.vol + ":/")
    refused(what, names, "touch", place.vol + ":/new")
    place.untouched(what)


def journal(base):
    """SQLite plays a rollback journal back before anybody can look, and deletes the super-journal it names."""
    place = Place(base, "journal")
    magic = bytes.fromhex("d9d505f920a163d7")
    name = os.fsencode(place.victim)
    pages = os.path.getsize(place.vol + "/meta.db") // 4096
    with open(place.vol + "/meta.db-journal", "wb") as f:
        f.write((magic + struct.pack(">IIIII", 0, 1, pages, 512, 4096)).ljust(512, b"\0"))
        f.write(struct.pack(">I", (1 << 30) // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + magic)
    opened(place, "a journal that names a file to delete", "meta.db-journal")
    os.unlink(place.vol + "/meta.db-journal")
    h.equal(h.must("cat", place.vol + ":/big").raw, SECRET, "without the journal the volume is whole")


def plant(kind, path, place):
    """Puts something that is no file of ours at path. Returns False where that cannot be done."""
    if os.path.lexists(path):
        os.rename(path, place.base + "/moved")
    if kind == "symlink":
        os.symlink(place.victim, path)
    elif kind == "dangling":
        os.symlink(place.outside + "/made", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "device":
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero: endless
        except PermissionError:
            return False
    else:
        sock = socket.socket(socket.AF_UNIX)
        os.chdir(os.path.dirname(path))
        sock.bind(os.path.basename(path))
        sock.close()
        os.chdir("/")
    return True


KINDS = ("symlink", "dangling", "fifo", "directory", "device", "socket")


def planted(base):
    for name in ("meta.db", "meta.db-wal", "meta.db-shm", "lock"):
        for kind in KINDS:
            place = Place(base, f"{name}-{kind}")
            what = f"{name} is a {kind}"
            if not plant(kind, f"{place.vol}/{name}", place):
                h.skip(what, "devices cannot be made here")
                continue
            if name == "lock":
                # A reader of a volume without a lock file goes on; with something else in its place it need not.
                refused(what, "lock", "touch", place.vol + ":/new")
                h.linkfs("ls", place.vol + ":/", timeout=60)
                h.linkfs("umount", place.vol, timeout=60)
                place.untouched(what)
            elif (name, kind) == ("meta.db-shm", "directory"):
                h.equal(h.must("ls", place.vol + ":/").out, "big\n", f"{what}: SQLite's index is done without")
                h.must("touch", place.vol + ":/new")
                place.untouched(what)
            else:
                opened(place, what, name)


def pieces(base):
    for kind in KINDS:
        place = Place(base, f"piece-{kind}")
        what = f"data.000000 is a {kind}"
        if not plant(kind, place.vol + "/data.000000", place):
            h.skip(what, "devices cannot be made here")
            continue
        refused(what, "big", "cat", place.vol + ":/big")
        # New content goes to the same piece: refused as well, or the volume could be made to write anywhere.
        refused(what, "more", "import", place.source, place.vol + ":/more")
        place.untouched(what)
        h.equal(h.must("ls", place.vol + ":/").out.split()[0], "big", f"{what}: names are still there")


class Owner:
    """Holds the volume's lock as a process would that is none of ours, with a text of its choice."""

    def __init__(self, place, **text):
        self.file = open(place.vol + "/lock", "w", encoding="latin-1")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            boot = f.read().strip()
        lines = {"linkfs": "1", "pid": str(os.getpid()), "host": "host", "boot": boot, **text}
        for key, value in lines.items():
            raw = text.get("raw")
            self.file.write(f"{key} {value if raw else ''.join(c if '!' <= c <= '~' and c != '%' else '%%%02x' % ord(c) for c in value)}\n")
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def argv_of(command, place):
    target = place.vol + ":/stolen"
    return {
        "cp": ["cp", place.good + ":/big", target], "import": ["import", place.source, target], "ls": ["ls", place.vol + ":/"],
        "umount": ["umount", place.vol], "mount": ["mount", place.vol, place.base + "/mnt"],
    }.get(command, [command, target])


def lock_text(base):
    place = Place(base, "text")
    os.mkdir(place.base + "/mnt")
    # A command between two volumes may be run by the other one's owner, which takes a path in a mount for one of the host.
    place.good = place.base + "/good"
    h.must("create", place.good)
    h.must("import", place.source, place.good + ":/big")
    texts = {
        "a host with escapes": {"host": EVIL},
        "a mount point with escapes": {"mount": place.outside + EVIL},
        "a mount point that is no mount": {"mount": place.outside},
        "a mount point that climbs": {"mount": place.base + "/mnt/../outside"},
        "an endless text": {"host": "h" * 100000},
        "no text that makes sense": {"pid": "-1", "boot": "\0\0", "mount": "%%%", "raw": "1"},
    }
    for what, text in texts.items():
        # An owner that names neither mount nor socket is waited for: five seconds a command.
        commands = ("cp", "import", "ls", "touch", "umount", "mount") if "mount" in text and "raw" not in text else ("ls", "mount")
        with Owner(place, **text):
            for command in commands:
                refused(what, "", *argv_of(command, place))
        place.untouched(what)
    h.equal(h.must("cat", place.vol + ":/big").raw, SECRET, "when the owner is gone the volume is whole")


class Listener:
    """A server that is no linkfs, and must not get a byte."""

    def __init__(self, path):
        self.got = b""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(8)
        self.sock.settimeout(0.2)
        self.stop = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            try:
                peer, _ = self.sock.accept()
            except socket.timeout:
                continue
            peer.settimeout(2)
            try:
                self.got += peer.recv(65536)
            except OSError:
                pass
            peer.close()

    def close(self):
        self.stop = True
        self.thread.join()
        self.sock.close()


def sockets(base):
    place = Place(base, "socket")
    os.chdir(place.base)  # socket paths are short
    path = os.path.join(os.path.realpath("/tmp"), f"linkfs-hostile-{os.getpid()}.sock")
    try:
        listener = Listener(path)
        with Owner(place, socket=path):
            refused("a control socket that is another program's", "", "ls", place.vol + ":/")
            refused("a control socket that is another program's", "", "umount", place.vol)
        listener.close()
        h.equal(listener.got, b"", "another program's socket got no byte")
    finally:
        os.unlink(path)
        os.chdir("/")
    place.untouched("a control socket that is another program's")
    usable, why = h.fuse_usable()
    if not usable:
        h.skip("another volume's owner", why)
        return
    other = h.Volume(place.base, "other")
    other.mount()
    with open(other.mnt + "/kept", "w", encoding="ascii") as f:
        f.write("kept")
    (info,) = json.loads(h.must("info", "--json", other.mnt).raw)
    with Owner(place, socket=info["owner"]["control_socket"]):
        refused("a control socket that is another volume's", other.path, "ls", place.vol + ":/")
        refused("a control socket that is another volume's", other.path, "rm", place.vol + ":/kept")
        refused("a control socket that is another volume's", "no linkfs volume is mounted", "umount", place.vol)
    h.equal(digest(other.mnt + "/kept"), b"kept", "another volume is as it was")
    other.umount()


def label(base):
    vol = base + "/label"
    result = h.linkfs("create", "--label", EVIL, vol)
    if result.rc == 0:
        result = h.must("info", vol)
    h.ok(printable(result), "a label with escapes is shown harmlessly", result)
    result = h.linkfs("ls", vol + ":/" + EVIL)
    h.ok(result.rc != 0 and printable(result), "and so is a name that is not there", result)


def export(base):
    """Names in a volume that would lead an export or a restore out of its destination."""
    sql, outside = os.environ["HOSTILE_SQL"], base + "/outside"
    os.mkdir(outside)
    target = f"UPDATE target SET text = CAST('{outside}' AS BLOB) WHERE ino = 10; UPDATE inode SET size = {len(outside)} WHERE ino = 10;"
    damages = {
        "a symlink and a directory of one name": target + "INSERT INTO dirent VALUES(1, $link$, 1, 3, 4, x'6c696e6b', 1)",
        "the same in the other order": target + "UPDATE dirent SET ord = 1 WHERE ino = 10; INSERT INTO dirent VALUES(1, $link$, 0, 3, 4, x'6c696e6b', 1)",
        "a symlink whose name says directory": target + "UPDATE dirent SET type = 4 WHERE ino = 10",
        "a name that climbs": "UPDATE dirent SET name = x'2e2e2f78', hash = $../x$ WHERE dir = 1 AND ino = 2",
        "a name that is ..": "UPDATE dirent SET name = x'2e2e', hash = $..$ WHERE dir = 1 AND ino = 3",
        "an absolute name": "UPDATE dirent SET name = x'2f746d702f78', hash = $/tmp/x$ WHERE dir = 1 AND ino = 2",
    }
    for n, (what, damage) in enumerate(damages.items()):
        vol = f"{base}/export{n}"
        h.ok(h.execute([sql, vol, damage]).rc == 0, f"{what}: made")
        for command in ("export", "restore"):
            result = h.linkfs(command, vol + ":/", f"{vol}.{command}")
            h.ok(result.rc == 1 and "Corrupt" in result.err or "damage" in result.err, f"{what}: the {command} says so", result)
        h.equal((os.listdir(outside), sorted(os.listdir(base))[-1].startswith("outside")), ([], True), f"{what}: nothing outside was touched")
    loop = base + "/loop"
    h.execute([sql, loop, "INSERT INTO dirent VALUES(4, $back$, 0, 3, 4, x'6261636b', 1)"])
    for command in ("export", "restore"):
        result = h.linkfs(command, loop + ":/", f"{loop}.{command}", timeout=100)
        h.ok(result.rc == 1, f"a cycle of directories: the {command} ends and says so", result)
    result = h.linkfs("ls", "-R", loop + ":/", timeout=100)
    h.ok(result.rc != 0, "and so does ls -R", result.err[:300])


PARTS = {"journal": journal, "planted": planted, "pieces": pieces, "text": lock_text, "sockets": sockets, "label": label, "export": export}
top = h.make_dir()
for part in sys.argv[1:] or PARTS:
    PARTS[part](top)
shutil.rmtree(top, ignore_errors=True)
h.done()
