"""What the tests of the command line share: running linkfs on a volume that nobody owns, on one that is mounted, and on paths inside
the mount; TAP output; clean-up whatever happens."""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time

BIN = os.environ.get("LINKFS_BIN") or sys.exit("LINKFS_BIN is not set")
ROOT = os.geteuid() == 0
count = 0
failed = 0
started = []


def make_dir():
    path = tempfile.mkdtemp(prefix="linkfs-cli-", dir=os.environ.get("TMPDIR"))
    atexit.register(clean, path)
    return os.path.realpath(path)


def clean(path):
    for mnt in mounts_below(path):
        subprocess.run([BIN, "umount", mnt], timeout=60, capture_output=True)
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    for mnt in mounts_below(path):
        subprocess.run(["umount", "-l", mnt] if ROOT else ["fusermount3", "-uz", mnt], timeout=60)
    subprocess.run(["chmod", "-R", "u+rwx", path], capture_output=True)
    shutil.rmtree(path, ignore_errors=True)


def mounts_below(path):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        points = [line.split()[4].replace("\\040", " ") for line in f]
    return [p for p in points if p.startswith(path + "/")]


def ok(good, name, *why):
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        failed += 1
        for text in why:
            for line in str(text).splitlines():
                print("# " + line, flush=True)
    return good


def equal(got, want, name, *why):
    return ok(got == want, name, "got:  " + repr(got)[:500], "want: " + repr(want)[:500], *why)


def skip(name, why):
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {why}", flush=True)


def skip_all(why):
    print(f"1..0 # SKIP {why}", flush=True)
    sys.exit(77)


def done():
    print(f"1..{count}", flush=True)
    sys.exit(1 if failed else 0)


def put(path, content=b"x\n"):
    """A file of the host, or of a mount."""
    with open(path, "wb") as f:
        f.write(content)


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Result:
    def __init__(self, process):
        self.rc = process.returncode
        self.raw = process.stdout
        self.out = process.stdout.decode("utf-8", "surrogateescape")
        self.err = process.stderr.decode("utf-8", "surrogateescape")

    def __str__(self):
        return f"rc {self.rc}\nstdout: {self.out}\nstderr: {self.err}"


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in ("LS_COLORS", "TIME_STYLE", "COLUMNS", "QUOTING_STYLE", "LS_BLOCK_SIZE")}
    env.update({"LC_ALL": "C.UTF-8", "TZ": "UTC"})
    env.update(more)
    return env


def execute(argv, stdin=b"", cwd=None, umask=0o022, timeout=120, **env):
    process = subprocess.run(argv, input=stdin, capture_output=True, cwd=cwd, timeout=timeout, env=environment(**env), umask=umask)
    return Result(process)


def linkfs(*argv, **how):
    return execute([BIN, *argv], **how)


def must(*argv, **how):
    result = linkfs(*argv, **how)
    if result.rc != 0:
        ok(False, "linkfs " + " ".join(map(str, argv)), result)
        done()
    return result


def fuse_usable():
    """The runner says whether this machine can mount; without the runner, try."""
    if "LINKFS_FUSE" in os.environ:
        return os.environ["LINKFS_FUSE"] != "0", os.environ.get("LINKFS_FUSE_WHY", "no usable FUSE")
    return os.access("/dev/fuse", os.R_OK | os.W_OK), "/dev/fuse cannot be opened"


def need_fuse():
    usable, why = fuse_usable()
    if not usable:
        skip_all(why)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid):
    """Whether any of a process's threads still runs: the first may be a zombie while the others still hold its files."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


class Volume:
    def __init__(self, base, name="vol"):
        self.path = os.path.join(base, name)
        self.mnt = os.path.join(base, name + ".mnt")
        os.mkdir(self.mnt)
        must("create", self.path)

    def mount(self, *options):
        return must("mount", *options, self.path, self.mnt)

    def umount(self):
        return must("umount", self.mnt)

    def __call__(self, path="/"):
        return f"{self.path}:{path}"


def begin(face):
    """A directory and a volume in it for a test of one face: offline, live or mount."""
    if face != "offline":
        need_fuse()
    base = make_dir()
    volume = Volume(base)
    if face != "offline":
        volume.mount()
    return base, volume
