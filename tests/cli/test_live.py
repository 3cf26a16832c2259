#!/usr/bin/env python3
"""Commands on a mounted volume (M3), the life of a mount (M8, F1, F6), its helper (G2), and a control socket that is fed nonsense."""
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import harness as h


def owner(volume):
    """Process, socket and counters, from info --json."""
    (info,) = json.loads(h.must("info", "--json", volume.mnt).raw)
    return info["owner"], info.get("requests")


def mounted(path):
    return path in h.mounts_below(os.path.dirname(path))


def elsewhere(volume):
    """A mount namespace that was made meanwhile keeps the mount: umount says so instead of waiting for it."""
    if not h.ROOT:
        return
    volume.mount()
    who, _ = owner(volume)
    other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "600"])
    try:
        if not h.wait_for(lambda: other.poll() is not None or os.readlink(f"/proc/{other.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"), 10) or other.poll() is not None:
            h.must("umount", volume.mnt)
            return
        result = h.linkfs("umount", volume.mnt, timeout=60)
        h.ok(result.rc == 1 and f"process {other.pid} has it in a mount namespace of its own" in result.err, "umount names who keeps the mount in another namespace", result)
        h.ok(not mounted(volume.mnt) and h.alive(who["pid"]), "it is unmounted here, and served there")
    finally:
        other.kill()
        other.wait()
    h.ok(h.wait_for(lambda: not h.alive(who["pid"])), "and its process ends with that namespace")
    h.equal(h.must("cat", volume("/f")).out, "kept", "the volume is as it was")


def life(base):
    volume = h.Volume(base, "life")
    volume.mount()
    h.ok(mounted(volume.mnt), "linkfs mount returns when the mount is there")
    who, _ = owner(volume)
    st = os.stat(who["control_socket"])
    h.equal(st.st_mode & 0o777, 0o600, "the control socket is the owner's alone")
    h.equal(os.stat(os.path.dirname(who["control_socket"])).st_mode & 0o777, 0o700, "and so is its directory")
    with open(volume.mnt + "/f", "w") as f:
        f.write("kept")
    h.equal(h.must("umount", volume.mnt).err, "", "umount")
    h.ok(not mounted(volume.mnt) and not h.alive(who["pid"]) or h.wait_for(lambda: not h.alive(who["pid"]), 10), "the mount and its process are gone")
    h.ok(not os.path.exists(who["control_socket"]), "and the socket")
    h.equal(h.must("cat", volume("/f")).out, "kept", "what was written is there")
    # By volume, by volume with a colon; busy.
    for name in (volume.path, volume("/")):
        volume.mount()
        h.must("umount", name)
        h.ok(not mounted(volume.mnt), f"umount by {'directory' if name == volume.path else 'VOLUME:/'}")
    volume.mount()
    with open(volume.mnt + "/f") as f:
        result = h.linkfs("umount", volume.mnt)
        h.ok(result.rc == 1 and mounted(volume.mnt), "a mount that is in use is refused", result)
        h.ok(re.search(r"^linkfs: umount: .*life\.mnt", result.err), "naming it", result)
        h.equal(h.must("cat", volume("/f")).out, "kept", "and goes on serving commands")
    h.must("umount", volume.mnt)
    elsewhere(volume)
    # Signals.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        volume.mount()
        who, _ = owner(volume)
        with open(f"{volume.mnt}/{number.name}", "w") as f:
            f.write(number.name)
        os.kill(who["pid"], number)
        h.ok(h.wait_for(lambda: not h.alive(who["pid"])) and not mounted(volume.mnt), f"{number.name} unmounts")
        h.equal(h.must("cat", volume(f"/{number.name}")).out, number.name, f"{number.name}: what was written is there")
        h.ok(not os.path.exists(who["control_socket"]), f"{number.name}: the socket is gone")
    # Killed: what was synced is there; the dead mount is detached by the next.
    volume.mount()
    who, _ = owner(volume)
    with open(volume.mnt + "/synced", "w") as f:
        f.write("synced")
    h.must("sync", volume.mnt)
    os.kill(who["pid"], signal.SIGKILL)
    h.wait_for(lambda: not h.alive(who["pid"]))
    result = h.linkfs("cat", volume.mnt + "/never/there")
    h.ok(result.rc == 1 and result.err.startswith("linkfs: cat: "), "a path in a dead mount is told", result)
    h.equal(h.must("cat", volume("/synced")).out, "synced", "a killed mount: what linkfs sync acknowledged is there (F1)")
    volume.mount()
    with open(volume.mnt + "/synced") as f:
        h.equal(f.read(), "synced", "mounting over the dead mount works")
    h.ok(not os.path.exists(who["control_socket"]), "the dead process's socket was cleared away")
    volume.umount()
    volume.mount()
    who, _ = owner(volume)
    os.kill(who["pid"], signal.SIGKILL)
    h.wait_for(lambda: not h.alive(who["pid"]))
    h.equal(h.linkfs("umount", volume.mnt).rc, 0, "umount detaches a dead mount")
    h.ok(not mounted(volume.mnt), "and it is gone")


def another_in_its_place(base):
    """Numbers of mounts are used again: a mount that was taken away while its process slept is not that process's any more, whatever has
    its number then."""
    if not h.ROOT:
        return h.skip("another mount with the number of ours", "needs root")
    volume = h.Volume(base, "number")
    volume.mount()
    who, _ = owner(volume)
    number = lambda path: next((line.split()[0] for line in open("/proc/self/mountinfo") if line.split()[4] == path), None)
    ours = number(volume.mnt)
    places = [f"{base}/place{i}" for i in range(200)]
    mounts, same = [], False
    os.kill(who["pid"], signal.SIGSTOP)
    try:
        if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(volume.mnt), 0) != 0:
            raise OSError(ctypes.get_errno(), "umount2")
        for place in places:
            os.mkdir(place)
            subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
            mounts.append(place)
            same = number(place) == ours
            if same:
                break
    finally:
        os.kill(who["pid"], signal.SIGCONT)
    gone = h.wait_for(lambda: not h.alive(who["pid"]), 20)
    there = [place for place in mounts if number(place)]
    for place in there:
        subprocess.run(["umount", place], check=True)
    h.ok(gone, "the process of a mount that was taken away ends")
    if same:
        h.equal(there, mounts, "and leaves the mount alone that has its number now")
    else:
        h.skip("and leaves the mount alone that has its number now", f"no mount got number {ours} again")
    return None


def foreground(base):
    volume = h.Volume(base, "fore")
    process = subprocess.Popen([h.BIN, "mount", "-f", volume.path, volume.mnt], stderr=subprocess.PIPE, env=h.environment())
    h.started.append(process)
    h.ok(h.wait_for(lambda: mounted(volume.mnt)), "mount -f serves")
    h.equal(owner(volume)[0]["pid"], process.pid, "in the process itself")
    process.send_signal(signal.SIGINT)
    h.equal(process.wait(30), 0, "and ends with 0 after Ctrl-C")
    h.equal(process.stderr.read(), b"", "without a word")
    # systemd's protocol.
    path = base + "/notify"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(30)
    process = subprocess.Popen([h.BIN, "mount", "-f", volume.path, volume.mnt], env=h.environment(NOTIFY_SOCKET=path))
    h.started.append(process)
    h.equal(s.recv(100), b"READY=1", "a service manager is told when it serves")
    h.ok(mounted(volume.mnt), "and then it does")
    h.must("umount", volume.mnt)
    h.equal(s.recv(100), b"STOPPING=1", "and when it ends")
    h.equal(process.wait(30), 0, "umount ends the foreground process")


def options(base):
    volume = h.Volume(base, "opts")
    h.must("touch", volume("/f"))
    volume.mount("-o", "ro,noatime,nosuid,nodev,commit=1,threads=2,poll=0")
    with open("/proc/self/mountinfo") as f:
        line = [x for x in f if x.split()[4] == volume.mnt][0].split()
    for word in ("ro", "nosuid", "nodev", "noatime"):
        h.ok(word in line[5].split(","), f"-o {word} reaches the kernel", line)
    h.ok("fuse.linkfs" in line and volume.path in line, "the type and the volume show in the table of mounts", line)
    result = h.linkfs("touch", volume("/new"))
    h.ok(result.rc == 1 and "Read-only" in result.err, "a command on a volume that is mounted read-only cannot write", result)
    h.equal(h.must("ls", volume("/")).out, "f\n", "but read")
    h.equal(h.must("ls", volume.mnt).out, "f\n", "by paths in the mount too")
    (info,) = json.loads(h.must("info", "--json", volume.path).raw)
    h.equal((info["mount_point"], info["read_only"]), (volume.mnt, True), "info says where it is mounted")
    try:
        open(volume.mnt + "/new", "w").close()
        h.ok(False, "nor can a program")
    except OSError as e:
        h.equal(e.strerror, "Read-only file system", "nor can a program")
    volume.umount()
    if not h.ROOT:
        h.skip("mount.linkfs", "needs root")
        return
    helper = base + "/mount.linkfs"
    os.symlink(h.BIN, helper)
    result = h.execute([helper, volume.path, volume.mnt, "-o", "rw,noauto,x-systemd.automount,nosuid"])
    h.ok(result.rc == 0 and mounted(volume.mnt), "mount.linkfs mounts with options of fstab", result)
    volume.umount()
    result = h.execute([helper, volume.path, volume.mnt, "-f"])
    h.ok(result.rc == 0 and not mounted(volume.mnt), "mount.linkfs -f does not mount", result)
    h.equal(h.execute([helper, volume.path, volume.mnt, "-o", "frob"]).rc, 2, "mount.linkfs refuses an unknown option")
    result = h.execute([helper, volume.path, volume.mnt, "-so", "frob"])
    h.ok(result.rc == 0 and mounted(volume.mnt), "mount.linkfs -s ignores it", result)
    volume.umount()
    h.equal(h.execute([helper, volume.path]).rc, 2, "mount.linkfs without a directory is wrong usage")


def commands(base):
    volume = h.Volume(base, "cmds")
    volume.mount()
    os.mkdir(volume.mnt + "/dir")
    # The working directory: outside, inside the mount.
    os.mkdir(base + "/cwd")
    with open(base + "/cwd/rel", "w") as f:
        f.write("relative")
    h.must("cp", "rel", volume("/rel"), cwd=base + "/cwd")
    h.equal(h.must("cat", "rel", cwd=volume.mnt).out, "relative", "a relative path in the mount")
    h.must("cp", "../../cwd/rel", "copy", cwd=volume.mnt + "/dir")
    h.equal(h.must("cat", volume("/dir/copy")).out, "relative", "a relative host path from inside the mount")
    h.must("cp", "copy", "../../cwd/back", cwd=volume.mnt + "/dir")
    with open(base + "/cwd/back") as f:
        h.equal(f.read(), "relative", "and out again")
    h.equal(h.must("ls", cwd=volume.mnt).out, "dir\nrel\n", "ls without an operand lists the working directory")
    # Context: umask, time zone, streams.
    h.must("mkdir", volume("/m"), umask=0o077)
    h.equal(os.stat(volume.mnt + "/m").st_mode & 0o777, 0o700, "the caller's umask applies")
    h.must("touch", "-d", "2024-07-01 12:00", volume("/rel"), TZ="America/New_York")
    h.equal(os.stat(volume.mnt + "/rel").st_mtime, 1719849600, "the caller's time zone reads dates")
    for zone, want in (("UTC", "16:00"), ("Asia/Tokyo", "01:00"), ("America/New_York", "12:00"), ("ABC-3", "19:00")):
        got = h.must("ls", "-l", "--time-style=+%H:%M", volume("/rel"), TZ=zone).out
        h.ok(want in got, f"and shows them: {zone}", got)
    big = os.urandom(5 << 20)
    h.equal(h.linkfs("cp", "/dev/stdin", volume("/big"), stdin=big).rc, 0, "5 MiB of standard input")
    h.equal(h.must("cat", volume("/big")).raw, big, "5 MiB of standard output")
    process = subprocess.Popen([h.BIN, "cat", volume("/big")], stdout=subprocess.PIPE, env=h.environment())
    process.stdout.read(1000)
    process.stdout.close()
    h.ok(process.wait(30) != 0, "output that nobody reads ends the command")
    h.equal(h.must("cat", volume("/rel")).out, "relative", "and the mount goes on")
    # What a command removes is gone for the kernel too: it gives the space back, though it has the file in its cache.
    used = lambda: json.loads(h.must("info", "--json", volume.path).raw)[0]["data_blocks_used"]
    os.mkdir(volume.mnt + "/emptied")
    h.must("sync", volume.mnt)
    before = used()
    for name in ("cached", "replaced"):
        with open(f"{volume.mnt}/{name}", "wb") as f:
            f.write(big)
    h.must("rm", volume("/cached"))
    h.must("ln", "-sfn", "x", volume("/replaced"))
    h.must("rmdir", volume("/emptied"))
    h.ok(h.wait_for(lambda: used() == before, 10), "the space of files that commands removed returns", before, used())
    os.mkdir(volume.mnt + "/stays")
    here = subprocess.Popen(["sh", "-c", "read x; : >made && pwd -P"], cwd=volume.mnt + "/stays", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    h.must("mv", volume("/stays"), volume("/moved"))
    here.communicate(b"\n", timeout=30)
    h.ok(here.returncode == 0 and os.path.exists(volume.mnt + "/moved/made"), "a directory that a command moves stays a working directory")
    # Many at once.
    many = [subprocess.Popen([h.BIN, "mkdir", "-p", volume(f"/par/{i}/x")], env=h.environment()) for i in range(30)]
    h.equal([p.wait(60) for p in many], [0] * 30, "thirty commands at once")
    h.equal(len(os.listdir(volume.mnt + "/par")), 30, "all did their work")
    # An interrupt leaves a consistent volume with what was done.
    os.mkdir(base + "/many")
    for i in range(3000):
        with open(f"{base}/many/{i}", "w") as f:
            f.write(str(i))
    for face in ("live", "offline"):
        if face == "offline":
            volume.umount()
        process = subprocess.Popen([h.BIN, "import", "-T", base + "/many", volume(f"/{face}")],
                                   env=h.environment(), stderr=subprocess.DEVNULL)
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        rc = process.wait(30)
        h.ok(rc in (-signal.SIGINT, 0, 1), f"{face}: Ctrl-C ends an import", rc)
        time.sleep(0.3)
        h.must("ls", volume("/"))
        if face == "live":
            volume.umount()
            volume.mount()
        h.must("import", "-T", base + "/many", volume(f"/{face}"))
        h.must("export", volume(f"/{face}"), f"{base}/out-{face}")
        same = all(open(f"{base}/out-{face}/{i}").read() == str(i) for i in range(3000))
        h.ok(same, f"{face}: and the volume is whole")


def own_runtime_dir():
    """Root's control sockets lie in /run/linkfs; whoever changes its mode must have one that no test beside it uses."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.makedirs("/run/linkfs", mode=0o700, exist_ok=True)
    return (libc.unshare(0x20000) == 0 and libc.mount(b"none", b"/", None, 0x4000 | 0x80000, None) == 0 and
            libc.mount(b"linkfs-test", b"/run/linkfs", b"tmpfs", 0, b"mode=700") == 0)


def users(base):
    """Another user's process is not served; root's is, as root."""
    if not h.ROOT or not shutil.which("setpriv"):
        h.skip("users", "needs root and setpriv")
        return
    if not own_runtime_dir():
        h.skip("users", "no mount namespace of its own here")
        return
    volume = h.Volume(base, "users")
    volume.mount()
    os.chmod(base, 0o755)
    who, _ = owner(volume)
    other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    result = h.execute(other + [h.BIN, "ls", volume("/")])
    h.ok(result.rc == 1 and result.out == "", "another user gets nothing over root's socket", result)
    # Even when the socket's directory were open: the peer's credentials decide.
    # The answer is read to its end: a frame may arrive in pieces.
    code = ("import socket; s = socket.socket(socket.AF_UNIX); s.connect(%r); "
            "print(b''.join(iter(lambda: s.recv(1000), b'')))" % who["control_socket"])
    os.chmod(os.path.dirname(who["control_socket"]), 0o711)
    os.chmod(who["control_socket"], 0o666)
    try:
        result = h.execute(other + ["/usr/bin/python3", "-c", code])
        h.ok(result.rc == 0 and "belongs to another user" in result.out, "a stranger is refused by credentials", result)
    finally:
        os.chmod(os.path.dirname(who["control_socket"]), 0o700)
    volume.umount()
    usable = os.access("/dev/fuse", os.W_OK) and os.stat("/dev/fuse").st_mode & 0o006 == 0o006 and shutil.which("fusermount3")
    if not usable or subprocess.run(other + ["test", "-x", h.BIN]).returncode:
        h.skip("an ordinary user's mount", "/dev/fuse is not for all, or fusermount3 or the program cannot be run by users")
        return
    home = base + "/home"
    os.mkdir(home)
    os.chown(home, 65534, 65534)
    run = lambda *argv: h.execute(other + [h.BIN, *argv], cwd="/", XDG_RUNTIME_DIR="")
    h.equal(run("create", home + "/v").rc, 0, "an ordinary user makes a volume")
    os.mkdir(home + "/m")
    os.chown(home + "/m", 65534, 65534)
    result = run("mount", home + "/v", home + "/m")
    if not h.ok(result.rc == 0, "mounts it", result):
        return
    h.equal(run("mkdir", home + "/m/d").rc, 0, "works in it")
    h.equal(run("stat", "-c", "%u:%g", home + "/v:/d").out, "65534:65534\n", "as himself")
    result = run("chown", "0", home + "/v:/d")
    h.ok(result.rc == 1 and "not permitted" in result.err, "and has no rights of others", result)
    result = h.linkfs("mkdir", home + "/v:/root")
    h.equal(result.rc, 0, "root may give commands to a user's mount", result)
    h.equal(run("stat", "-c", "%u", home + "/v:/root").out, "0\n", "which are carried out as root")
    h.equal(run("umount", home + "/m").rc, 0, "and unmounts it")


def nonsense(base):
    """Bytes at the control socket: the owner answers or hangs up, and lives."""
    volume = h.Volume(base, "fuzz")
    volume.mount()
    who, _ = owner(volume)
    seed = int(os.environ.get("LINKFS_SEED", "1"))
    print(f"# seed {seed}")
    rng = random.Random(seed)

    def text(b):
        return struct.pack("<I", len(b)) + b

    def request(argv=(b"ls", b"x:/"), paths=None, version=2, tail=b""):
        body = struct.pack("<5I", 0x4B464C31, version, 0, 80, 0o22)
        for word in (b"/", b"", b"", b"", b"C", b"C", b"C"):
            body += text(word)
        body += struct.pack("<I", len(argv)) + b"".join(text(a) for a in argv)
        if paths is None:
            paths = [(1, 1, b"x:/", b"", os.fsencode(volume.path), b"/", b"")]
        body += struct.pack("<I", len(paths))
        for kind, at, *words in paths:
            body += struct.pack("<IQ", kind, at) + b"".join(text(w) for w in words)
        return body + tail

    def frame(body, kind=1, length=None):
        return struct.pack("<IB3x", len(body) if length is None else length, kind) + body

    def talk(data, close=True):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        got = b""
        try:
            s.connect(who["control_socket"])
            s.sendall(data)
            if close:
                s.shutdown(socket.SHUT_WR)
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            s.close()
        return got

    good = request()
    h.equal(talk(frame(good))[-12:], struct.pack("<IB3xI", 4, 6, 0), "a proper request is answered")
    h.ok(b"another version" in talk(frame(request(version=99))), "another version is told so")
    h.ok(b"could not be read" in talk(frame(request(tail=b"x"))), "bytes too many are refused")
    h.ok(b"no such command" in talk(frame(request(argv=(b"mount", b"a", b"b")))), "commands that are the caller's own are refused")
    h.ok(b"no such command" in talk(frame(request(argv=(b"frob",)))), "so are unknown ones")
    h.ok(talk(frame(request(paths=[]))), "paths too few are refused")
    h.equal(talk(frame(b"", length=0xFFFFFFFF)), b"", "a huge length is hung up on")
    h.equal(talk(frame(b"", kind=200)), b"", "an unknown frame is hung up on")
    h.ok(talk(frame(request(paths=[(1, 2**63, b"x:/", b"", os.fsencode(volume.path), b"../" * 1000, b"")]))), "a node that never was")
    for at in range(0, len(good), 7):
        talk(frame(good[:at]))
    for _ in range(300):
        body = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            what = rng.randint(0, 3)
            at = rng.randrange(len(body))
            if what == 0:
                body[at] = rng.randrange(256)
            elif what == 1:
                body[at:at + 4] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1, len(body), rng.randrange(2**16))))
            elif what == 2:
                del body[at:at + rng.randint(1, 9)]
            else:
                body[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 9)))
            if not body:
                body = bytearray(b"\0")
        talk(frame(bytes(body)))
    h.ok(h.alive(who["pid"]), "after damaged requests the owner lives")
    h.equal(h.must("ls", volume("/")).err, "", "and serves")
    # Somebody who connects and says nothing does not keep others waiting, nor the end.
    idle = [socket.socket(socket.AF_UNIX) for _ in range(10)]
    for s in idle:
        s.connect(who["control_socket"])
    h.equal(h.must("ls", volume("/")).out, "", "silent callers keep nobody waiting")
    volume.umount()
    h.ok(not mounted(volume.mnt), "nor the unmount")
    for s in idle:
        s.close()


def main():
    h.need_fuse()
    base = h.make_dir()
    parts = {"life": life, "number": another_in_its_place, "foreground": foreground, "options": options, "commands": commands, "users": users, "nonsense": nonsense}
    for name in sys.argv[1:] or parts:
        parts[name](base)
    h.done()


main()
