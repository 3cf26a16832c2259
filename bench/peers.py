"""The file systems that linkfs is measured against, each with its own best options; all live in loop images or directories below one place."""
import os
import subprocess
import time


class Failed(Exception):
    """A peer cannot run here."""


def run(*command, check=True, timeout=120, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout, check=False, **more)
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stdout.strip()}")
    return done


def mounted(point):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        return any(line.split(" ")[4] == point for line in f)


def unmount(point):
    for _ in range(100):
        if not mounted(point):
            return
        if run("umount", point, check=False).returncode:
            time.sleep(0.05)
    run("umount", "-l", point, check=False)


class Peer:
    """One file system: set up once, used in every round, taken down at the end. work is the directory to work in."""
    title = ""
    kind = "kernel"
    count_limit = None    # fewer operations for those whose cost grows with the number of names
    entries_limit = None
    per_round = False     # up only while it is measured: its server keeps a core busy

    def __init__(self, place, tools):
        self.place = os.path.join(place, self.title.replace(" ", "-"))
        self.tools = tools
        self.point = os.path.join(self.place, "mnt")
        self.work = self.point
        self.server = None
        os.makedirs(self.point)

    def image(self, size, filled=False):
        """filled: the disk below has all of it already, so that no place in it costs more than another."""
        path = os.path.join(self.place, "image")
        with open(path, "wb") as f:
            for _ in range(size >> 20 if filled else 0):
                f.write(bytes(1 << 20))
            f.truncate(size)
        return path

    def up(self):
        raise NotImplementedError

    def down(self):
        unmount(self.point)
        if self.server:
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            self.server = None


class Ext4(Peer):
    title = "ext4"
    size = 3 << 30
    filled = False

    def up(self):
        image = self.image(self.size, self.filled)
        run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image)
        run("mount", "-t", "ext4", "-o", "loop,noatime", image, self.point)


class Tmpfs(Peer):
    title = "tmpfs"

    def up(self):
        run("mount", "-t", "tmpfs", "-o", "noatime", "bench", self.point)


class Ntfs3g(Peer):
    title = "ntfs-3g"
    kind = "fuse"

    def up(self):
        image = self.image(2 << 30)
        run("mkntfs", "-F", "-Q", "-q", image)
        run("ntfs-3g", image, self.point, "-o",
            "noatime,big_writes,kernel_cache,entry_timeout=3600,attr_timeout=3600,negative_timeout=3600")


class Fuse2fs(Peer):
    title = "fuse2fs"
    kind = "fuse"
    count_limit = 1000      # it searches directories from their start: more names would make it slower still
    entries_limit = 2000

    def up(self):
        image = self.image(2 << 30)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        run("fuse2fs", image, self.point, "-o", "noatime,kernel_cache,entry_timeout=3600,attr_timeout=3600,negative_timeout=3600")


class Bindfs(Peer):
    title = "bindfs"
    kind = "fuse"

    def up(self):
        below = os.path.join(self.place, "below")
        os.mkdir(below)
        image = self.image(3 << 30)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        run("mount", "-t", "ext4", "-o", "loop,noatime", image, below)
        run("bindfs", "-o", "noatime,kernel_cache,entry_timeout=3600,attr_timeout=3600,negative_timeout=3600", below, self.point)

    def down(self):
        super().down()
        unmount(os.path.join(self.place, "below"))


class Null(Peer):
    """The limit: a server with nothing behind it."""
    kind = "limit"
    mode = ""
    per_round = True

    def up(self):
        self.server = subprocess.Popen([self.tools["nullfs"], self.point, self.mode], stdin=subprocess.DEVNULL)
        for _ in range(200):
            if mounted(self.point):
                return
            if self.server.poll() is not None:
                break
            time.sleep(0.02)
        raise Failed("bench_nullfs did not mount")


class NullPoll(Null):
    title = "limit, polling"
    mode = "poll"


class NullSleep(Null):
    title = "limit, sleeping"
    mode = "sleep"


class Linkfs(Peer):
    """The volume lies on an ext4 of its own, as its peers' files do."""
    title = "linkfs"
    kind = "linkfs"
    options = "noatime"

    def up(self):
        below = os.path.join(self.place, "below")
        os.mkdir(below)
        image = self.image(3 << 30)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        run("mount", "-t", "ext4", "-o", "loop,noatime", image, below)
        volume = os.path.join(below, "volume")
        run(self.tools["linkfs"], "create", volume)
        run(self.tools["linkfs"], "mount", "-o", self.options, volume, self.point)

    def down(self):
        if mounted(self.point):
            run(self.tools["linkfs"], "umount", self.point, check=False)
        super().down()
        unmount(os.path.join(self.place, "below"))


class LinkfsNoSnapshots(Linkfs):
    """OPEN is answered once and for all."""
    title = "linkfs nosnapshots"
    options = "noatime,nosnapshots"


MOUNTS = [Linkfs, LinkfsNoSnapshots, Ext4, Tmpfs, Ntfs3g, Fuse2fs, Bindfs, NullPoll, NullSleep]
