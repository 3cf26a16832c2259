#!/usr/bin/env python3
"""The death of the process that serves a mount (F1, F6, A2, M8): killed in the middle of work, again and again. Whatever was acknowledged is there
afterwards, the dead mount is replaced, and nothing is left behind. Also SIGTERM under load, SIGSTOP, a client that dies, and two mounts at once.

    death.py kill ROUNDS | term ROUNDS | client | stop | race
"""
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["LINKFS_SOURCE"], "tests/cli"))

GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ENODEV)
SIZES = (0, 1, 700, 2048, 2049, 4096, 5000, 40000, 200000)


def content(key, version, size):
    return random.Random(f"{key} {version}").randbytes(size)


# ---- writers: processes of their own, which tell a log on the host what they begin and what is done -------------------------------------


class Log:
    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *words):
        os.write(self.fd, (json.dumps(words) + "\n").encode())


def read_log(path):
    """What was done, what may have been, and the error that ended it with the time when it came."""
    with open(path, encoding="ascii") as f:
        lines = [json.loads(line) for line in f]
    done, begun, error = [], None, None
    for line in lines:
        if line[0] == "begin":
            begun = line[1:]
        elif line[0] == "done":
            done.append(begun)
            begun = None
        else:
            error = line[1:]
    return done, begun, error


def write_files(rng, top, log, sync):
    """New files, and the whole content of old ones: durable with their own fsync."""
    sizes = {}
    for n in range(1 << 30):
        if len(sizes) > 3 and rng.random() < 0.4:
            name = rng.choice(sorted(sizes))
        else:
            name = f"file{n}"
        size = sizes.get(name, rng.choice(SIZES))
        log.write("begin", name, n, size)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=top)
        done = os.write(fd, content(name, n, size))
        assert done == size, "a short write"
        if sync:
            os.fsync(fd)
        log.write("done")
        os.close(fd)
        sizes[name] = size


def apply(names, op):
    """One operation on names on the model of them: name to identity."""
    kind, a, b = op
    after = dict(names)
    if kind == "make":
        after[a] = b
    elif kind == "link":
        after[b] = after[a]
    elif kind == "rename":
        after[b] = after.pop(a)
    elif kind == "swap":
        after[a], after[b] = after[b], after[a]
    else:
        del after[a]
    return after


def swap(top, a, b):
    """rename, three times, is no swap: this is renameat2's RENAME_EXCHANGE, which Python lacks."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(top, a.encode(), top, b.encode(), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def write_names(rng, top, log, sync):
    """Names that come, move and go: durable with an fsync of their directory."""
    names = {}
    for n in range(1 << 30):
        have = sorted(names)
        kind = rng.choice(["make", "link", "rename", "rename", "swap", "remove"]) if len(have) > 4 else "make"
        if len(have) > 60:
            kind = "remove"
        a = rng.choice(have) if kind != "make" else f"name{n}"
        b = rng.choice(have) if kind == "swap" or (kind == "rename" and rng.random() < 0.3) else f"name{n}" if kind != "make" else str(n)
        if kind in ("rename", "swap") and (a == b or names[a] == names.get(b)):
            continue  # names of one file: POSIX does nothing
        op = (kind, a, b)
        log.write("begin", *op)
        if kind == "make":
            fd = os.open(a, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=top)
            os.write(fd, b.encode())
            os.close(fd)
        elif kind == "link":
            os.link(a, b, src_dir_fd=top, dst_dir_fd=top)
        elif kind == "rename":
            os.rename(a, b, src_dir_fd=top, dst_dir_fd=top)
        elif kind == "swap":
            swap(top, a, b)
        else:
            os.unlink(a, dir_fd=top)
        if sync:
            os.fsync(top)
        log.write("done")
        names = apply(names, op)


def write_noise(rng, top, log, sync):
    """Work that nobody waits for, and files that are unlinked while they are open."""
    held = []
    for n in range(1 << 30):
        fd = os.open(f"noise{n % 50}", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=top)
        os.pwrite(fd, b"noise" * rng.randrange(1, 20000), rng.randrange(0, 1 << 20))
        if rng.random() < 0.3:
            os.ftruncate(fd, rng.randrange(0, 1 << 20))
        if rng.random() < 0.5:
            os.unlink(f"noise{n % 50}", dir_fd=top)
            held.append(fd)
        else:
            os.close(fd)
        if len(held) > 20:
            os.close(held.pop(0))
        if rng.random() < 0.1:
            os.mkdir(f"dir{n}", dir_fd=top)
            os.symlink("nowhere", f"dir{n}/link", dir_fd=top)


WRITERS = {"files": write_files, "names": write_names, "noise": write_noise}


def writer(kind, path, log_path, seed, sync):
    log = Log(log_path)
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        WRITERS[kind](random.Random(f"{kind} {seed}"), top, log, sync == "sync")
    except OSError as e:
        log.write("error", e.errno, time.monotonic())
    os._exit(0)


if sys.argv[1] == "writer":
    writer(*sys.argv[2:])

import harness as h  # noqa: E402

SEED = int(os.environ.get("LINKFS_SEED", "1"))


# ---- judging ------------------------------------------------------------------------------------------------------------------------------


def read(path):
    with open(path, "rb") as f:
        return f.read()


def judge_files(top, done, begun):
    """The differences, as texts."""
    want, wrong = {}, []
    for name, version, size in done:
        want[name] = (version, size)
    for name, (version, size) in want.items():
        try:
            got = read(f"{top}/{name}")
        except OSError as e:
            wrong.append(f"{name}: {e}")
            continue
        old = content(name, version, size)
        if begun and begun[0] == name:
            new = content(name, begun[1], begun[2])
            fine = got in (old, new) or (len(got) == size and all(g in (o, n) for g, o, n in zip(got, old, new)))
        else:
            fine = got == old
        if not fine:
            wrong.append(f"{name}: {len(got)} bytes that are not version {version}'s {size}")
    for name in set(os.listdir(top)) - set(want):
        if not begun or name != begun[0]:
            wrong.append(f"{name}: nobody made it")
    return wrong


def judge_names(top, done, begun):
    names = {}
    for op in done:
        names = apply(names, op)
    fine = [names] + ([apply(names, begun)] if begun else [])
    got, inodes = {}, {}
    for name in os.listdir(top):
        got[name] = read(f"{top}/{name}").decode()
        if got[name] == "" and begun and name == begun[1]:
            got[name] = begun[2]  # made and not written yet
        st = os.stat(f"{top}/{name}")
        inodes.setdefault(got[name], []).append((st.st_ino, st.st_nlink))
    if got not in fine:
        return [f"{n}: {got.get(n)} instead of {names.get(n)}" for n in sorted(set(got) | set(names)) if got.get(n) != names.get(n)] + [f"begun: {begun}"]
    return [f"{i}: {l}" for i, l in inodes.items() if len(set(l)) != 1 or l[0][1] != len(l)]


JUDGES = {"files": judge_files, "names": judge_names}


def owner(volume):
    (info,) = json.loads(h.must("info", "--json", volume.mnt).raw)
    return info["owner"]


class Load:
    """Writers at work in a directory."""

    def __init__(self, volume, number, sync):
        self.top = f"{volume.mnt}/round{number}"
        self.logs = {}
        self.processes = []
        os.mkdir(self.top)
        for kind in ("files", "files", "names", "noise"):
            name = f"{kind}{len(self.processes)}"
            os.mkdir(f"{self.top}/{name}")
            self.logs[name] = f"{os.path.dirname(volume.mnt)}/log-{number}-{name}"
            self.processes.append(subprocess.Popen([sys.executable, __file__, "writer", kind, f"{self.top}/{name}", self.logs[name],
                                                    f"{SEED} {number} {name}", "sync" if sync else "no"]))

    def begun(self):
        return all(os.path.exists(log) and (os.path.getsize(log) > 400 or "noise" in log) for log in self.logs.values())

    def wait(self):
        return [p.wait(60) for p in self.processes]

    def kill(self):
        for p in self.processes:
            p.kill()
        self.wait()

    def judge(self, killed=None):
        """killed: when the daemon was. After that fsync may say EIO as well: that pages could not be written is all that the kernel
        keeps of an error of its writeback."""
        wrong, count = [], 0
        for name, log in self.logs.items():
            done, begun, error = read_log(log)
            if error and error[0] not in GONE and not (error[0] == errno.EIO and killed and error[1] >= killed):
                wrong.append(f"{name} ended with {os.strerror(error[0])} at {error[1]}, killed at {killed}, in {begun}")
            kind = name.rstrip("0123456789")
            if kind in JUDGES and not os.path.isdir(f"{self.top}/{name}"):
                wrong.append(f"{name}: the directory is not there")
            elif kind in JUDGES:
                wrong += [f"{name}: {text}" for text in JUDGES[kind](f"{self.top}/{name}", done, begun)]
                count += len(done)
            os.unlink(log)
        return wrong, count


def processes_of(volume):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if os.fsencode(volume.path) in words and words[0].endswith(b"linkfs"):
            found.append(int(pid))
    return found


def rounds_of(base, rounds, number, sync, name):
    volume = h.Volume(base, name)
    rng = random.Random(f"{SEED} {name}")
    print(f"# seed {SEED}", flush=True)
    volume.mount()
    before = used_of(volume)
    total = 0
    for n in range(rounds):
        who = owner(volume)
        load = Load(volume, n, sync)
        try:
            h.wait_for(load.begun)
            time.sleep(rng.random() * 0.8)
            killed = time.monotonic() if number == signal.SIGKILL else None
            os.kill(who["pid"], number)
            gone = h.wait_for(lambda: not h.alive(who["pid"]))
        finally:
            if h.alive(who["pid"]):
                load.kill()
        load.wait()
        if number == signal.SIGTERM:
            left = h.mounts_below(base)
            h.ok(gone and not left and not os.path.exists(who["control_socket"]), f"round {n}: SIGTERM ends the mount, and its socket is gone", left)
            h.equal(os.path.getsize(volume.path + "/lock"), 0, f"round {n}: the lock file says nothing any more")
        result = h.linkfs("mount", volume.path, volume.mnt)
        if not h.ok(gone and result.rc == 0, f"round {n}: the next mount takes the place of the dead one", result):
            return
        mounts = h.mounts_below(base)
        h.ok(len(mounts) == 1 and not os.path.exists(who["control_socket"]), f"round {n}: one mount, and the old socket is gone", mounts)
        wrong, count = load.judge(killed)
        total += count
        h.ok(not wrong, f"round {n}: what was acknowledged is there", *wrong[:20])
        subprocess.run(["rm", "-rf", f"{volume.mnt}/round{n - 3}"], check=False)
    print(f"# {rounds} rounds, {total} acknowledged operations judged", flush=True)
    subprocess.run("rm -rf " + volume.mnt + "/round*", shell=True, check=True)
    h.must("sync", volume.mnt)
    h.equal(used_of(volume), before, "when all is deleted, no inode and no block is in use more than at first")
    volume.umount()
    h.equal(os.path.getsize(volume.path + "/lock"), 0, "after the unmount the lock file says nothing")
    h.ok(h.wait_for(lambda: not processes_of(volume), 10), "no process is left", processes_of(volume))


def used_of(volume):
    (info,) = json.loads(h.must("info", "--json", volume.mnt).raw)
    return info["inodes"], info["data_blocks_used"]


# ---- the rest -----------------------------------------------------------------------------------------------------------------------------


def client(base):
    """kill -9 of a command that the owner runs: the owner goes on, and what was done of it is whole."""
    volume = h.Volume(base, "client")
    os.mkdir(base + "/tree")
    for i in range(1500):
        if i % 50 == 0:
            os.mkdir(f"{base}/tree/d{i // 50}")
        with open(f"{base}/tree/d{i // 50}/f{i}", "wb") as f:
            f.write(content("tree", i, i * 37 % 9000))
    volume.mount()
    who = owner(volume)
    rng = random.Random(SEED)
    for n in range(8):
        process = subprocess.Popen([h.BIN, "import", "-T", base + "/tree", volume(f"/copy{n}")], env=h.environment(), stderr=subprocess.DEVNULL)
        h.wait_for(lambda: os.path.exists(f"{volume.mnt}/copy{n}"), 10)
        time.sleep(rng.random() * 0.1)
        process.kill()
        process.wait()
        # The owner notices at its next step; every file that is there is one of the tree's, whole or still being written until then.
        h.must("ls", volume("/"))
    h.ok(h.alive(who["pid"]) and owner(volume)["pid"] == who["pid"], "the owner outlives its callers")
    h.must("import", "-T", base + "/tree", volume("/copy0"))
    h.must("sync", volume.mnt)
    result = h.execute(["diff", "-r", base + "/tree", volume.mnt + "/copy0"])
    h.ok(result.rc == 0, "an import over what a dead one left is whole", result)
    volume.umount()
    volume.mount()
    result = h.execute(["diff", "-r", base + "/tree", volume.mnt + "/copy0"])
    h.ok(result.rc == 0, "and after a remount", result)
    wrong = []
    for n in range(1, 8):
        for top, _, files in os.walk(f"{volume.mnt}/copy{n}"):
            for name in files:
                got, want = read(f"{top}/{name}"), read(f"{base}/tree/{os.path.basename(top)}/{name}")
                if not want.startswith(got.rstrip(b"\0")) and got != want:
                    wrong.append(f"{top}/{name}")
    h.ok(not wrong, "what the dead ones had imported is the beginning of the same", *wrong[:10])
    subprocess.run("rm -rf " + volume.mnt + "/*", shell=True, check=True)
    h.must("sync", volume.mnt)
    h.equal(used_of(volume), (1, 0), "when all is deleted, nothing is in use")
    volume.umount()


def stop(base):
    """A daemon that stands still for seconds and goes on: nobody notices but by the time."""
    volume = h.Volume(base, "stop")
    volume.mount()
    who = owner(volume)
    load = Load(volume, 0, True)
    h.wait_for(load.begun)
    for _ in range(2):
        os.kill(who["pid"], signal.SIGSTOP)
        time.sleep(2)
        h.ok(all(p.poll() is None for p in load.processes), "nobody gets an error while it stands")
        os.kill(who["pid"], signal.SIGCONT)
        sizes = [os.path.getsize(log) for log in load.logs.values()]
        moved = h.wait_for(lambda: all(os.path.getsize(log) > size or "noise" in log for log, size in zip(load.logs.values(), sizes)))
        h.ok(moved, "and all go on with it")
    load.kill()
    wrong, count = load.judge()
    h.ok(not wrong and count, "what was acknowledged is there", *wrong[:20])
    volume.umount()


def race(base):
    """Two mounts of one volume at once: one wins, the other is refused and told of the first."""
    volume = h.Volume(base, "race")
    others = [base + "/other.mnt", volume.mnt]
    os.mkdir(others[0])
    for n in range(10):
        pair = [subprocess.Popen([h.BIN, "mount", volume.path, mnt], env=h.environment(), stderr=subprocess.PIPE) for mnt in others]
        said = [p.communicate(timeout=60)[1].decode() for p in pair]
        codes = [p.returncode for p in pair]
        if not h.ok(sorted(codes) == [0, 1], f"race {n}: one wins", codes, said):
            break
        winner = codes.index(0)
        (info,) = json.loads(h.must("info", "--json", others[winner]).raw)
        h.ok(str(info["owner"]["pid"]) in said[1 - winner] or others[winner] in said[1 - winner], f"race {n}: the other is told which", said)
        h.equal(h.mounts_below(base), [others[winner]], f"race {n}: there is one mount")
        with open(others[winner] + "/f", "a", encoding="ascii") as f:
            f.write("x")
        h.must("umount", others[winner])
    h.equal(h.must("cat", volume("/f")).out, "x" * 10, "every winner's work is there")


def main():
    h.need_fuse()
    part, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    base = h.make_dir()
    if part == "kill":
        rounds_of(base, rounds, signal.SIGKILL, True, "kill")
    elif part == "term":
        rounds_of(base, rounds, signal.SIGTERM, False, "term")
    else:
        {"client": client, "stop": stop, "race": race}[part](base)
    h.done()


main()
