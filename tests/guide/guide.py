#!/usr/bin/env python3
"""Runs a page of docs/guide as a reader would and compares what it shows with what comes: guide.py [--user UID] [--write] PAGE

A block ```console holds commands after "$ " (goes on after "> ") and what they print, standard error too. In what is expected,
"..." stands for anything in a line, and a line of nothing else for any lines. <!-- run ... --> holds commands that a reader of
the page does not see; they must succeed and print nothing, or end with status 77 where this machine cannot have what the page is about: the rest is skipped. Each heading is one test. All commands of a page run in one
shell, in an empty directory, with linkfs in PATH, HOME and TMPDIR there. --write puts what came into the page."""
import argparse
import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "cli"))
import harness  # noqa: E402

MARK = "=== linkfs guide ==="


def parse(lines):
    """Yields (heading, line number, command, expected lines or None for a hidden one, range of the expected lines)."""
    heading, at = "the page", 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.strip() == "<!-- run":
            first = at
            while lines[at].strip() != "-->":
                at += 1
            yield heading, first, "\n".join(lines[first:at]), None, None
        elif line.strip() == "```console":
            while lines[at] != "```":
                if not lines[at].startswith("$ "):
                    sys.exit(f"line {at + 1}: output without a command")
                first, command = at, lines[at][2:]
                at += 1
                while lines[at].startswith("> "):
                    command += "\n" + lines[at][2:]
                    at += 1
                begin = at
                while lines[at] != "```" and not lines[at].startswith("$ "):
                    at += 1
                yield heading, first, command, lines[begin:at], (begin, at)


def matches(want, got):
    """Whether lines are as expected."""
    pattern = ""
    for line in want:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + "\n"
    return re.fullmatch(pattern, "".join(line + "\n" for line in got)) is not None


def as_user(user):
    return ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"] if user else []


class Shell:
    def __init__(self, home, user):
        os.mkdir(os.path.join(home, "bin"))
        binary = os.path.join(home, "bin", "linkfs")
        shutil.copy(harness.BIN, binary)
        os.chmod(binary, 0o755)
        env = harness.environment(HOME=home, TMPDIR=home, PATH=os.path.join(home, "bin") + ":" + os.environ["PATH"])
        argv = [*as_user(user), "bash", "--norc", "--noprofile"]
        if user:
            os.chown(home, user, user)
        self.process = subprocess.Popen(argv, cwd=home, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, umask=0o022)
        harness.started.append(self.process)

    def run(self, command):
        """(lines, exit status); what asks for input finds none."""
        text = f"{{ {command}\n}} </dev/null\nprintf '\\n%s %d\\n' '{MARK}' $?\n"
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        out = b""
        while True:
            line = self.process.stdout.readline()
            if not line:
                return out.decode("utf-8", "replace").splitlines(), 255
            if line.startswith(MARK.encode()):
                out = out[:-1]  # the newline before the mark
                return out.decode("utf-8", "replace").splitlines(), int(line.split()[-1])
            out += line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--user", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("page")
    args = parser.parse_args()
    harness.need_fuse()
    if args.user and not harness.ROOT:
        harness.skip_all("not root: the page runs as an ordinary user anyway")
    if args.user and "FUSE_FOR_USERS" not in os.environ:
        wrapper = os.path.join(HERE, "..", "lib", "fuse-for-users")
        os.execv(wrapper, [wrapper, sys.executable, os.path.realpath(__file__), *sys.argv[1:]])
    with open(args.page, encoding="utf-8") as f:
        lines = f.read().split("\n")

    home = harness.make_dir()
    if args.user:
        os.chmod(home, 0o755)
        if subprocess.run([*as_user(args.user), "test", "-x", home]).returncode:  # a directory above is closed to others
            home = os.path.realpath(tempfile.mkdtemp(prefix="linkfs-guide-", dir="/tmp"))
            atexit.register(harness.clean, home)
            os.chmod(home, 0o755)
    shell = Shell(home, args.user)

    steps = list(parse(lines))
    bad, edits, skipped = {}, [], None
    for heading, at, command, want, where in steps:
        bad.setdefault(heading, [])
        got, status = shell.run(command)
        if want is None:
            if status == 77:
                skipped = heading
                break
            if status or got:
                bad[heading] += [f"{args.page}:{at + 1}: hidden commands: status {status}", *got]
            continue
        got = [line.rstrip() for line in got]
        if args.write and not matches(want, got):
            edits.append((where, got))
        elif not matches(want, got):
            bad[heading] += [f"{args.page}:{at + 1}: $ {command}", "expected:", *("  " + s for s in want), "came:", *("  " + s for s in got)]
    if not steps:
        bad["the page"] = ["no commands in it"]
    for (begin, end), got in reversed(edits):
        lines[begin:end] = got
    if edits:
        with open(args.page, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))
    if skipped:
        del bad[skipped]
        harness.skip(skipped, "what it is about cannot be had here")
    for heading, why in bad.items():
        harness.ok(not why, heading, *why)
    shell.run("cd /")
    harness.done()


main()
