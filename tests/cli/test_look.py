#!/usr/bin/env python3
"""What ls and stat show, byte for byte beside GNU ls and stat on the same mounted tree: every type of file, odd names, links, devices, ACLs,
old and new times; to a pipe and to a terminal."""
import os
import pty
import select
import subprocess
import sys
import termios
import time

import harness as h


def make_tree(top):
    os.mkdir(top)
    os.chdir(top)
    names = ["plain", "two words", "it's", "new\nline", "tab\there", "#hash", "~tilde", "a*b", "q\"uote", "back\\slash", "caf\u00e9", "\u65e5\u672c", "-dash", "$x", "a=b", "{", "x{y}", "a,b",
             "a:b", "semi;colon", "!bang", "per%cent", "z" * 40, "Upper", "lower", "1", "10", "9", ".hidden", "%", "@at", "+plus", "]", "[", "^"]
    for i, name in enumerate(names):
        with open(name, "wb") as f:
            f.write(b"x" * (i * i * 37))
    for name in (b"\xff\xfe", b"bad\xc3", b"ctl\x01\x7f\x1b[1m", b"mix'\n\xffz"):  # GNU writes a needless '' where such a name ends in an escape
        open(name, "wb").close()
    os.mkdir("dir")
    os.mkdir("dir/sub dir")
    os.symlink("plain", "link")
    os.symlink("dir", "dirlink")
    os.symlink("no where\n", "dangling")
    os.symlink("self", "self")
    os.mkfifo("fifo")
    for name in ("n1", "n2", "n3"):
        os.link("plain", name)
    open("program", "wb").close()
    os.chmod("program", 0o755)
    os.chmod("two words", 0o4711)
    os.chmod("dir", 0o3777)
    os.chmod("lower", 0)
    if h.ROOT:
        os.mknod("chr", 0o20666, os.makedev(5, 1))
        os.mknod("blk", 0o60660, os.makedev(259, 123456))
        os.chown("Upper", 12345, 6)
        os.chown("lower", 1, 54321)
    now = time.time()
    for i, name in enumerate(sorted(os.listdir("."))):
        os.utime(name, (now - i * 86400 * 9, now - i * 86400 * 11), follow_symlinks=False)
    os.utime("1", (-1e9, -1e9))
    os.utime("10", (4e9, 4e9))
    subprocess.run(["setfacl", "-m", "u:12:r", "a,b"], capture_output=True)
    os.chdir("/")


def on_terminal(argv, columns, cwd):
    """The output on a terminal of that width."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(argv[0], argv, h.environment(TERM="dumb", COLUMNS=str(columns)))
    attributes = termios.tcgetattr(fd)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
    out = b""
    while select.select([fd], [], [], 60)[0]:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    os.waitpid(pid, 0)
    os.close(fd)
    return out.replace(b"\r\n", b"\n")


OPTIONS = ["", "-1", "-a", "-A", "-l", "-la", "-li", "-ln", "-lg", "-lo", "-lG", "-lh", "-l --si", "-s", "-si1", "-ls", "-lsh", "-F", "-p", "-lF", "-lp", "-r", "-t", "-lt", "-ltr", "-S",
           "-lS", "-lc", "-lu", "-u", "-ltu", "-R", "-lR", "-lAR", "-d", "-ld", "-C", "-Ci", "-Cs", "-CF", "-C -w 60", "-C -w 200", "-C -w 1", "-C -w 0", "-Q", "-b", "-q", "-N", "-lQ", "-lb", "-CQ",
           "--full-time", "--time-style=iso -l", "--time-style=long-iso -l", "--time-style=+%s.%N -l", "-L", "-lL", "-lH", "--quoting-style=shell-escape", "--quoting-style=shell-escape-always",
           "--quoting-style=c", "-C --quoting-style=shell-escape", "-l --quoting-style=shell-escape", "--sort=size", "--sort=time -r"]
STATS = ["-c %a,%A,%b,%B,%f,%F,%g,%G,%h,%i,%n,%o,%s,%t,%T,%u,%U,%w,%W,%x,%X,%y,%Y,%z,%Z", "-c %N", "--printf=[%10i][%-10i][%010s][%5a][%20n][%-20n]\\n"]


def without(text, *starts):
    return "".join(line for line in text.splitlines(True) if not line.startswith(starts))


def main():
    h.need_fuse()
    base = h.make_dir()
    volume = h.Volume(base)
    volume.mount()
    top = volume.mnt + "/tree"
    make_tree(top)
    for option in OPTIONS:
        words = option.split()
        for where in ([top] if option != "-d" else [top, top + "/link"]):
            want = h.execute(["ls", *words, where])
            got = h.linkfs("ls", *words, where)
            # GNU ls exits with 1 where it cannot follow a link below a directory.
            h.ok(got.raw == want.raw, f"ls {option} to a pipe", "\n".join(difference(got.raw, want.raw)), got.err)
    names = [top + "/" + n for n in sorted(os.listdir(top))]
    want, got = h.execute(["ls", "-ld", *names]), h.linkfs("ls", "-ld", *names)
    h.ok(got.raw == want.raw, "ls -ld of every file", "\n".join(difference(got.raw, want.raw)), got.err)
    want, got = h.execute(["ls", "-C", top + "/dir", top + "/plain", top]), h.linkfs("ls", "-C", top + "/dir", top + "/plain", top)
    h.ok(got.raw == want.raw, "ls of files and directories", "\n".join(difference(got.raw, want.raw)), got.err)
    for option in ("", "-l", "-la", "-F", "-i", "-s", "-1", "-R", "-N", "-b", "-lF"):
        for columns in (80, 50, 133):
            words = option.split()
            want, got = on_terminal(["ls", *words], columns, top), on_terminal([h.BIN, "ls", *words], columns, top)
            h.ok(got == want, f"ls {option} on a terminal of {columns} columns", "\n".join(difference(got, want)))
    for option in STATS:
        want, got = h.execute(["stat", option, *names]), h.linkfs("stat", option, *names)
        h.ok(got.raw == want.raw, f"stat {option[:20]}", "\n".join(difference(got.raw, want.raw)), got.err)
    # A volume is no device: that line and the device's number differ.
    want, got = h.execute(["stat", *names]), h.linkfs("stat", *names)
    h.equal(without(got.out, "Device:"), without(want.out, "Device:"), "stat in full")
    h.equal([line.split("\t")[1].split() for line in got.out.splitlines() if line.startswith("Device:")],
            [line.split("\t")[1].split() for line in want.out.splitlines() if line.startswith("Device:")], "inodes, links and device types in full")
    with_space = h.execute(["df", "-h", volume.mnt]).out.splitlines()[0].split()
    h.equal(h.linkfs("df", "-h", volume.mnt).out.splitlines()[0].split(), with_space, "df -h has df's columns")
    h.equal(h.linkfs("df", "-i", volume.mnt).out.split()[:5], h.execute(["df", "-i", volume.mnt]).out.split()[:5], "df -i too")
    h.equal(h.linkfs("df", volume.mnt).out.split()[:5], h.execute(["df", volume.mnt]).out.split()[:5], "df too")
    volume.umount()
    h.done()


def difference(got, want):
    a, b = got.split(b"\n"), want.split(b"\n")
    lines = [f"got {x!r}\nwant {y!r}" for x, y in zip(a, b) if x != y]
    return lines[:4] + ([f"{len(a)} lines, want {len(b)}"] if len(a) != len(b) else [])


main()
