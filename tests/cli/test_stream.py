#!/usr/bin/env python3
"""linkfs send and receive: snapshots and differences between volumes that nobody owns, or that are mounted both; what is told and refused; cut off
and gone on; as an ordinary user."""
import json
import os
import signal
import subprocess
import sys
import time

import harness as h

FACE = sys.argv[1]


def make_tree(base):
    src = base + "/src"
    os.makedirs(src + "/d/e")
    for name, text in (("a", b"one\n"), ("d/f", b"two\n"), ("d/e/g", os.urandom(300000)), ("d/gone", b"gone\n"), ("empty", b""), (" odd\nname\xff".encode("latin1").decode("utf-8", "surrogateescape"), b"odd\n")):
        h.put(f"{src}/{name}", text)
    with open(src + "/sparse", "wb") as f:
        f.truncate(40 << 20)
        f.seek(20 << 20)
        f.write(b"in the middle")
    os.link(src + "/a", src + "/d/b")
    os.symlink("../a", src + "/d/l")
    os.symlink("nowhere", src + "/dangling")
    os.mkfifo(src + "/d/pipe")
    os.chmod(src + "/d/f", 0o640)
    os.utime(src + "/a", ns=(1, 1_234_567_890_123_456_789))
    if h.ROOT:
        os.mknod(src + "/null", 0o20666, os.makedev(1, 3))
        os.chown(src + "/d/f", 12, 34)
        os.chmod(src + "/a", 0o4755)
    subprocess.run(["setfattr", "-n", "user.word", "-v", "value", src + "/d"], check=True)
    subprocess.run(["setfacl", "-m", "u:1:rw", src + "/d/e/g"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "g:2:r", src + "/d/e"], check=True)
    return src


def fill(base, volume):
    h.must("import", "-T", make_tree(base), volume("/t"))
    h.must("ln", "-s", "--track", volume("/t/d/f"), volume("/t/tracked"))
    h.must("ln", "--directory", volume("/t/d/e"), volume("/t/e2"))
    h.must("ln", "--cow", volume("/t/d/e/g"), volume("/t/cow"))
    h.must("keep-links", "on", volume("/t/a"))
    h.must("mkdir", volume("/t/bound"))
    h.must("bind", volume("/t/d"), volume("/t/bound"))


def change(base, volume):
    h.must("mv", volume("/t/d/f"), volume("/t/moved"))
    h.must("rm", volume("/t/d/gone"), volume("/t/d/pipe"), volume("/t/d/l"))
    h.must("rmdir", volume("/t/e2"))
    h.put(base + "/new", b"changed\n" * 1000)
    h.must("cp", base + "/new", volume("/t/d/later"))
    h.must("ln", "--cow", volume("/t/cow"), volume("/t/cow2"))
    h.must("chmod", "600", volume("/t/a"))
    h.must("mkdir", volume("/t/later"))
    h.must("mv", volume("/t/empty"), volume("/t/later/empty"))
    h.must("ln", volume("/t/a"), volume("/t/later/a"))


def host_copy(base, at, name):
    """What is there, on the host, where everything can be asked of it."""
    out = f"{base}/{name}"
    h.must("export", "-T", at, out)
    listing = subprocess.run("find . -printf '%P %y %m %U %G %n %s %T@ %l\\0' | sort -z; getfattr -dhR -m- . ; getfacl -R .", shell=True, cwd=out,
                             capture_output=True, check=True).stdout
    content = subprocess.run("find . -type f -print0 | sort -z | xargs -0 sha256sum", shell=True, cwd=out, capture_output=True, check=True).stdout
    subprocess.run(["rm", "-rf", out], check=True)
    return listing + content


def snapshot(volume, name, *more):
    h.must("snapshot", "create", *more, volume.path, name)


def send(*words):
    result = h.linkfs("send", *words)
    if not h.ok(result.rc == 0, "send " + " ".join(os.path.basename(w)[-20:] for w in words), result.err):
        h.done()
    return result.raw


def receive(volume, stream, *options):
    return h.linkfs("receive", *options, volume.path, stdin=stream)


def same(base, a, b, name):
    h.equal(host_copy(base, f"{b.path}@{name}:/", "out"), host_copy(base, f"{a.path}@{name}:/", "out"), f"snapshot {name} is the same there")
    h.equal(host_copy(base, b("/"), "out"), host_copy(base, f"{b.path}@{name}:/", "out"), f"and so is the tree, {name}")
    h.equal(h.must("diff", f"{b.path}@{name}", b.path).out, "", "no difference is told")
    h.equal(h.linkfs("check", "--data", b.path).rc, 0, "check is clean")


def copies(base, a, b):
    fill(base, a)
    snapshot(a, "one", "--note", "a note", "--tag", "x,y")
    first = send(a.path + "@one")
    done = receive(b, first)
    h.ok(done.rc == 0 and done.out.startswith("received snapshot one ("), "the whole is received", done)
    same(base, a, b, "one")
    row = json.loads(h.must("snapshot", "list", "--json", b.path).raw)[0]
    here = json.loads(h.must("snapshot", "list", "--json", a.path).raw)[0]
    h.ok(row["note"] == "a note" and row["time"] == here["time"] and set(here["tags"]) < set(row["tags"]), "note, time and tags are kept", row, here)
    h.equal(receive(b, first).out, "here already: snapshot one\n", "once more is no harm")
    change(base, a)
    snapshot(a, "two")
    second = send(a.path + "@one", a.path + "@two")
    h.ok(len(second) < 30000, "a copy that shares, and what only moved, is not sent again", len(second))
    h.equal(receive(b, second).rc, 0, "the difference is received")
    same(base, a, b, "two")
    h.equal(h.must("readlink", b("/t/tracked")).out, "moved\n", "a tracked link follows")
    h.must("mv", b("/t/moved"), b("/t/again"))
    h.equal(h.must("readlink", b("/t/tracked")).out, "again\n", "and goes on to follow")
    h.must("mv", b("/t/again"), b("/t/moved"))
    usage = [json.loads(h.must("info", "--json", v.path).raw)[0]["data_blocks_used"] for v in (a, b)]
    h.ok(usage[1] <= usage[0] + 2, "what was shared is shared", usage)
    return first, second


def refusals(base, a, b, first, second):
    snapshot(a, "three")
    h.must("mkdir", a("/later"))
    snapshot(a, "four")
    third = send(a.path + "@three", a.path + "@four")
    h.ok("was not received here" in receive(b, third).err, "a difference from what is not here is refused")
    between = send(a.path + "@two", a.path + "@four")
    h.must("touch", b("/t/note"))
    err = receive(b, between).err
    h.ok("1 change, the first at /t/note" in err and "--discard" in err, "a tree that is not the base is refused", err)
    h.ok("not empty" in receive(b, send(a.path + "@four")).err, "a whole snapshot is refused where something is")
    done = receive(b, between, "--discard", "--name", "vier")
    h.ok(done.rc == 0 and "received snapshot vier" in done.out, "--discard rolls back, --name names", done)
    h.equal(h.must("diff", f"{b.path}@vier", b.path).out, "", "and the tree is that")
    h.ok("no stream" in receive(b, b"").err, "nothing is no stream")
    h.ok("is no stream of linkfs send" in receive(b, b"hello, this is a text\n").err, "a text is none")
    c = h.Volume(base, "damaged")
    broken = bytearray(first)
    broken[len(first) // 2] ^= 1
    result = receive(c, bytes(broken))
    h.ok(result.rc == 1 and "damaged" in result.err, "a flipped bit is found", result)
    h.ok("snapshot 'one'" in h.must("info", c.path).out, "info says what is pending")
    h.ok("another stream" in receive(c, second).err, "another stream is refused meanwhile")
    h.equal(receive(c, first).rc, 0, "the right one goes on")
    h.equal(receive(c, second + between).out.count("received"), 2, "two streams follow each other")
    h.ok(h.linkfs("send", a.path).rc == 1, "send needs a snapshot")
    h.ok("older" in h.linkfs("send", a.path + "@two", a.path + "@one").err, "the older one is first")
    h.ok("neither a snapshot" in h.linkfs("send", a.path + "@none").err, "there is no such snapshot")
    h.ok("nothing is pending" in h.linkfs("receive", "--token", b.path).err, "no token when nothing is pending")
    h.ok("nothing is pending" in h.linkfs("receive", "--abort", b.path).err, "nothing to give up")
    h.equal(h.linkfs("receive", "--token", "--abort", b.path).rc, 2, "a usage error")
    for words in (["receive", base + "/none"], ["receive", base], ["send", base + "/none@one"], ["send", base + "/none@one", a.path + "@one"],
                  ["send", a.path + "@one", base + "/none@two"], ["send", a.path + ":/t"], ["receive", a.path + ":/t"], ["receive", a.path + "@one"],
                  ["send", "--resume", "x", base + "/none"], ["send", a.path + "@one", b.path + "@two"]):
        result = h.linkfs(*words, stdin=first)
        h.ok(result.rc in (1, 2) and result.err.startswith("linkfs: "), "refused with a sentence: " + " ".join(w.replace(base, "") for w in words), result)


def cut_off(base, a, first):
    c = h.Volume(base, "cut")
    if FACE == "live":
        c.mount()
    done = receive(c, first[: len(first) // 2])
    h.ok(done.rc == 1 and "ends after" in done.err, "a stream that ends early is told", done)
    h.equal(h.linkfs("check", c.path).rc, 0, "the volume is whole")
    token = h.must("receive", "--token", c.path).out.strip()
    rest = send("--resume", token, a.path)
    h.equal(receive(c, rest).rc, 0, "it goes on by the token")
    same(base, a, c, "one")
    h.ok("no token" in h.linkfs("send", "--resume", "nonsense", a.path).err, "nonsense is no token")
    d = h.Volume(base, "given-up")
    receive(d, first[: len(first) * 3 // 4])
    h.equal(h.must("receive", "--abort", d.path).out, "given up: the tree is what it was before\n", "it can be given up")
    h.equal(h.must("ls", "-A", d()).out, "", "the tree is empty again")
    h.equal(h.linkfs("check", d.path).rc, 0, "and clean")
    h.equal(receive(d, first).rc, 0, "the stream can be given again")


def full(base, first):
    """The volume has no room for the stream: all that was received stays, and nothing is broken."""
    d = base + "/small2"
    h.must("create", "--limit=100K", d)
    result = h.linkfs("receive", d, stdin=first)
    h.ok(result.rc == 1 and "No space left" in result.err, "a full volume is told", result)
    h.equal(h.linkfs("check", "--data", d).rc, 0, "and clean")
    h.equal(h.linkfs("receive", "--abort", d).rc, 0, "it can be given up")
    h.equal(h.must("ls", "-A", d + ":/").out, "", "and is empty")


def killed(base, a, first):
    """The receiving process dies, without a word, wherever it is."""
    c = h.Volume(base, "killed")
    for part in (3, 7, 11):
        process = subprocess.Popen([h.BIN, "receive", c.path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=h.environment())
        process.stdin.write(first[: len(first) * part // 12])
        process.stdin.flush()
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        h.equal(h.linkfs("check", "--data", c.path).rc, 0, f"clean after kill -9 at {part} twelfths")
    h.equal(receive(c, first).rc, 0, "it goes on")
    same(base, a, c, "one")


def no_input(base, a, first):
    """Interrupted while it waits for more; without standard descriptors, which the volume's own files would be then."""
    c = h.Volume(base, "waits")
    process = subprocess.Popen([h.BIN, "receive", c.path], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=h.environment())
    process.stdin.write(first[: len(first) // 3])
    process.stdin.flush()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1].decode()
    h.ok("interrupted: the same stream goes on" in err, "an interrupt is told as one", err)
    h.equal(receive(c, first).rc, 0, "and it goes on")
    same(base, a, c, "one")
    shell = lambda text: h.execute(["sh", "-c", text, "sh", h.BIN, c.path, a.path + "@one"])
    result = shell('"$1" receive "$2" <&-')
    h.ok(result.rc == 1 and "the stream cannot be read" in result.err, "closed input is no stream", result)
    result = shell('"$1" send "$3" >&-')
    h.ok(result.rc == 1 and "cannot be written" in result.err, "closed output takes none", result)
    h.equal(shell('"$1" receive "$2" <&- >&- 2>&-').rc, 1, "nor without any of the three")
    h.equal(h.linkfs("check", "--data", c.path).rc, 0, "the volume is whole")


def user(base, a, first):
    """Root's tree is not an ordinary user's to receive; his own is."""
    os.chmod(base, 0o777)
    run = lambda *argv, **how: h.execute(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", h.BIN, *argv], **how)
    vol = base + "/user.vol"
    h.ok(run("create", vol).rc == 0, "a user's volume")
    result = run("receive", vol, stdin=first)
    h.ok(result.rc == 1 and "only root can receive" in result.err, "devices and others' files are refused", result)
    h.ok(run("receive", "--abort", vol).rc == 0, "and it is given up")
    h.must("create", base + "/his.vol")
    src = base + "/his"
    os.makedirs(src + "/d")
    h.put(src + "/d/f", b"his\n")
    subprocess.run(["chown", "-R", "1000:1000", src, base + "/his.vol"], check=True)
    h.ok(run("create", base + "/own.vol").rc == 0 and run("import", "-T", src, base + "/own.vol:/t").rc == 0, "his tree")
    run("snapshot", "create", base + "/own.vol", "s")
    stream = run("send", base + "/own.vol@s")
    h.ok(stream.rc == 0, "he sends what is his", stream.err)
    result = run("receive", vol, stdin=stream.raw)
    h.ok(result.rc == 0, "and receives it", result)
    h.must("chown", "0", base + "/own.vol:/t/d/f")
    run("snapshot", "create", base + "/own.vol", "s2")
    result = run("send", base + "/own.vol@s", base + "/own.vol@s2")
    h.ok(result.rc == 1 and "only root can send" in result.err, "but not what is root's", result.err)


base, a = h.begin(FACE)
b = h.Volume(base, "copy")
if FACE == "live":
    b.mount()
first, second = copies(base, a, b)
refusals(base, a, b, first, second)
cut_off(base, a, first)
if FACE == "offline":
    full(base, first)
    killed(base, a, first)
    no_input(base, a, first)
    if h.ROOT:
        user(base, a, first)
h.done()
