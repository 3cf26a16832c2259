#!/usr/bin/env python3
"""What the program says: usage, exit statuses, messages that name the thing and the way out, help, man pages and completion, all from
one table."""
import json
import os
import re
import shutil
import subprocess
import sys

import harness as h

SOURCE = os.environ.get("LINKFS_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GENERATE = SOURCE + "/docs/man/generate"


def says(name, rc, pattern, *argv, **how):
    result = h.linkfs(*argv, **how)
    h.ok(result.rc == rc and re.search(pattern, result.err), name, f"want: rc {rc}, {pattern}", result)


def usage():
    says("no command", 2, r"^Usage: linkfs COMMAND")
    says("an unknown command", 2, r"^linkfs: frob: no such command\nTry 'linkfs --help'", "frob")
    says("a missing operand", 2, r"^linkfs: mkdir: missing operand\nTry 'linkfs mkdir --help' for more information.\n$", "mkdir")
    says("an unknown long option", 2, r"unrecognized option '--frob'", "ls", "--frob")
    says("an unknown short option", 2, r"invalid option -- 'y'", "ls", "-y")
    says("an ambiguous option", 2, r"option '--no' is ambiguous", "cp", "--no", "x", "y")
    says("an option without its argument", 2, r"option '-m' needs an argument \(MODE\)", "mkdir", "-m")
    says("an argument where none belongs", 2, r"option '--all' takes no argument", "ls", "--all=x")
    says("a wrong mode", 2, r"'z' is no mode", "chmod", "z", "x")
    says("a wrong date", 2, r"'soon' is no date", "touch", "-d", "soon", "x")
    says("a wrong size", 2, r"'12Q' is no size", "create", "--limit=12Q", "x")
    says("a missing destination", 2, r"missing destination after 'x'", "cp", "x")
    says("two wishes that exclude each other", 2, r"exclude each other", "cp", "-T", "-t", "d", "x")
    says("an unknown mount option", 2, r"unknown mount option 'frob'", "mount", "-o", "ro,frob", "v", "m")
    says("a mount option without its value", 2, r"'commit' needs a value", "mount", "-o", "commit", "v", "m")
    says("a mount option with a wrong value", 2, r"'threads=x': a number", "mount", "-o", "threads=x", "v", "m")
    h.equal(h.linkfs("ls", "--he").rc, 2, "--help is not shortened")
    for flag in ("--help", "-h", "help"):
        h.ok(h.linkfs(flag).out.startswith("Usage: linkfs COMMAND"), f"linkfs {flag} goes to standard output")
    for flag in ("--version", "version"):
        h.ok(re.fullmatch(r"linkfs \d+\.\d+\.\d+\n", h.linkfs(flag).out), f"linkfs {flag}")
    with open("/dev/full", "wb") as full:
        rc = subprocess.run([h.BIN, "help"], stdout=full, stderr=subprocess.DEVNULL).returncode
    h.equal(rc, 1, "output that cannot be written is a failure")


def messages(base):
    os.chdir(base)
    volume = h.Volume(base)
    os.mkdir("dir")
    with open("dir/file", "w") as f:
        f.write("x")
    with open("a:b", "w") as f:
        f.write("x")
    says("a volume that does not exist", 1, r"^linkfs: ls: .*none", "ls", "none:/")
    gone = h.execute(["sh", "-c", f"mkdir gone && cd gone && rmdir ../gone && {h.BIN} ls {volume('/')} && exec {h.BIN} ls none:/"])
    h.equal((gone.rc, gone.out), (1, ""), "from a directory that is gone a volume by its whole path is found", gone)
    h.ok(" no directory none;" in gone.err, "and a relative path is not taken for one from the root on", gone)
    says("a directory that is no volume", 1, r"^linkfs: ls: .*dir", "ls", "dir:/")
    says("a file that is no volume", 1, r"^linkfs: ls: .*", "ls", "dir/file:/")
    says("a host path where a volume's is needed", 1, r"^linkfs: ls: dir: not inside a linkfs mount; write VOLUME:/PATH", "ls", "dir")
    says("a volume without a path", 1, r"^linkfs: ls: vol: this is a volume; name a path in it: vol:/", "ls", "vol")
    says("a missing file", 1, r"^linkfs: cat: vol:/none: No such file or directory\n$", "cat", "vol:/none")
    says("control characters in a name", 1, r"^linkfs: cat: vol:/\\033\[31m\\012x: No such", "cat", "vol:/\033[31m\nx")
    says("create over something", 1, r"^linkfs: create: .*dir", "create", "dir")
    says("create over a volume", 1, r"^linkfs: create: .*vol", "create", "vol")
    says("create without a parent", 1, r"^linkfs: create: .*missing", "create", "missing/v")
    says("mount on nothing", 1, r"^linkfs: mount: nothere: mount point: No such file", "mount", "vol", "nothere")
    says("mount on a file", 1, r"^linkfs: mount: dir/file: mount point: is not a directory", "mount", "vol", "dir/file")
    says("mount of no volume", 1, r"^linkfs: mount: .*dir", "mount", "dir", "vol.mnt")
    says("unmount of what is not mounted", 1, r"^linkfs: umount: dir: no linkfs volume is mounted there", "umount", "dir")
    says("cp of a directory", 1, r"^linkfs: cp: dir: is a directory: -r copies it", "cp", "dir", "vol:/x")
    says("cp without a volume", 2, r"neither source nor destination is in a volume", "cp", "dir/file", "dir/other")
    says("rm of a directory", 1, r"^linkfs: rm: vol:/d: cannot remove: Is a directory \(use -r", "rm", "vol:/d") if h.must("mkdir", "vol:/d") else None
    says("rm of the root", 1, r"refusing to remove", "rm", "-r", "vol:/")
    says("rm of ..", 1, r"refusing to remove", "rm", "-r", "vol:/d/..")
    says("ln over something", 1, r"vol:/d/n: exists; -f puts the link in its place", "ln", "-s", "t", "vol:/d/n") if h.must("touch", "vol:/d/n") else None
    says("hard link of a directory", 1, r"hard link not allowed: a directory", "ln", "vol:/d", "vol:/e")
    says("hard link into another volume", 1, r"is in another volume", "ln", "vol:/d/n", "vol2:/x") if h.must("create", "vol2") else None
    says("counters of an unmounted volume", 1, r"vol: not mounted: there are no request counters", "info", "--counters", "vol")

    # The rule for words: the first ":/", "file:", a colon without a slash.
    h.must("cp", "a:b", "vol:/c1")
    h.must("cp", "./a:b", "vol:/c2")
    h.must("cp", "file:a:b", "vol:/c3")
    os.makedirs("odd:")
    with open("odd:/x", "w") as f:
        f.write("odd")
    h.must("cp", "file:odd:/x", "vol:/c4")
    h.equal(h.must("cat", "vol:/c4").out, "odd", "file: names a host path with ':/' in it")
    h.equal(h.must("ls", "vol:").out, "c1\nc2\nc3\nc4\nd\n", "VOLUME: alone is the root")
    h.must("touch", "vol:/with:/colon") if h.must("mkdir", "vol:/with:") else None
    h.equal(h.must("ls", "vol:/with:").out, "colon\n", "only the first ':/' cuts")
    h.must("touch", "--", "vol:/-dash")
    h.must("rm", "vol:/-dash")
    h.equal(h.must("ls", "-1", "--al" + "most-all", "vol:/d").out, "n\n", "long options in full")
    h.equal(h.must("ls", "--almost", "vol:/d").out, "n\n", "and shortened")
    h.equal(h.must("ls", "vol:/d", "-A", "-w", "0", "-w40").out, "n\n", "options after operands, arguments apart and attached")

    # A second owner: refused with who it is.
    usable, why = h.fuse_usable()
    if usable:
        volume.mount()
        says("mounting twice", 1, rf"vol: is mounted on {re.escape(volume.mnt)} already .*\(pid \d+\)", "mount", "vol", "vol.mnt")
        says("mounting elsewhere", 1, r"a volume has one mount", "mount", "vol", "dir")
        volume.umount()
    else:
        h.skip("mounting twice", why)


def documents(base):
    table = json.loads(h.must("__table").raw)
    listed = h.must("help").out
    for command in table:
        name = command["name"]
        text = h.must("help", name).out
        h.equal(h.must(name, "--help").out, text, f"{name}: --help and help say the same")
        h.ok(re.search(rf"^  {name} +\S", listed, re.M), f"{name}: is in the list of commands")
        options = [f"-{o['short']}" for o in command["options"] if o["short"]] + [f"--{o['long']}" for o in command["options"] if o["long"]]
        h.ok(len(set(options)) == len(options), f"{name}: no option twice", options)
        h.ok(all(option in text for option in options), f"{name}: help shows every option")
        h.ok(all(not o["text"][0].islower() and not o["text"].endswith(".") for o in command["options"]), f"{name}: texts of options are sentences without a stop")
        page = f"{SOURCE}/docs/man/linkfs-{name}.1.scd"
        if not h.ok(os.path.exists(page), f"{name}: has a man page"):
            continue
        with open(base + "/table.json", "w") as f:
            json.dump(table, f)
        made = subprocess.run([sys.executable, GENERATE, "page", base + "/table.json", page], capture_output=True)
        h.ok(made.returncode == 0 and not re.search(rb"@[A-Z]+@", made.stdout), f"{name}: the page is made", made.stderr)
        with open(page) as f:
            source = f.read()
        h.ok(re.search(rf"# EXAMPLE(?s:.*)linkfs {name}", source), f"{name}: the page has an example")
        for line in re.findall(r"^\$ linkfs (.*)$", source, re.M):
            word = line.split()[0]
            h.ok(any(c["name"] == word for c in table), f"{name}: the example '{line[:40]}' uses a command that exists")
        if shutil.which("scdoc"):
            roff = subprocess.run(["scdoc"], input=made.stdout, capture_output=True)
            h.ok(roff.returncode == 0, f"{name}: scdoc takes the page", roff.stderr)
    pages = {p for p in os.listdir(SOURCE + "/docs/man") if p.endswith(".scd")}
    h.equal(pages - {f"linkfs-{c['name']}.1.scd" for c in table}, {"linkfs.1.scd", "mount.linkfs.8.scd"}, "no page without a command")
    with open(SOURCE + "/docs/man/meson.build") as f:
        built = set(re.findall(r"'((?:mount\.)?linkfs[a-z.-]*\.[18])',", f.read()))
    h.equal(built, {p[:-4] for p in pages}, "every page is built")
    completion = subprocess.run([sys.executable, GENERATE, "bash", base + "/table.json"], capture_output=True)
    h.equal(subprocess.run(["bash", "-n"], input=completion.stdout).returncode, 0, "the completion is valid bash")
    with open(base + "/completion", "wb") as f:
        f.write(completion.stdout)
    script = f"""
PATH={os.path.dirname(h.BIN)}:$PATH; . {base}/completion
try() {{ COMP_LINE="$1"; COMP_POINT=${{#1}}; COMP_WORDS=($1); case "$1" in *' ') COMP_WORDS+=('');; esac
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _linkfs 2>/dev/null; printf '%s\\n' "${{COMPREPLY[@]}}"; }}
COMP_WORDBREAKS=' '
cd {base}; try "linkfs mk"; try "linkfs ls --rec"; try "linkfs cat vol:/c"; try "linkfs ls vo"
"""
    result = h.execute(["bash", "-c", script])
    h.equal("\n".join(sorted(result.out.split())), "--recursive\nmkdir\nvol.mnt/\nvol2:/\nvol:/\nvol:/c1\nvol:/c2\nvol:/c3\nvol:/c4", "completion of commands, options, paths in volumes, volumes", result)


def main():
    base = h.make_dir()
    usage()
    messages(base)
    documents(base)
    h.done()


main()
