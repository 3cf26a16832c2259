"""What the tests of backups share: a source, a volume, and what is asked of a run."""
import json
import os
import shutil
import subprocess
import time

import harness as h
from trees import compare, describe

SETTLE = 0.05  # longer than the clock of files may be behind: what is older than that is taken for finished


class World:
    """A source and a volume. Snapshots are compared by export."""

    def __init__(self, name, face):
        self.base, self.volume = h.begin("offline" if face in ("unsteady", "random") else face)
        self.source = f"{self.base}/{name}"
        os.mkdir(self.source)
        self.dest = self.volume.mnt if face == "mount" else self.volume.path
        self.inside = self.source
        self.number = 0
        self.seen = {}

    def backup(self, *options, sources=None, rc=0, dest=None, **how):
        time.sleep(SETTLE)
        result = h.linkfs("backup", "--json", *options, *(sources or [self.source]), dest or self.dest, **how)
        if result.rc != rc:
            h.ok(False, f"backup ends with {rc}", result)
            h.done()
        self.said = result.err
        return json.loads(result.out) if result.out else None

    def same(self, name, snapshot=None, want=None, inside=None, strip=()):
        """The copy, now or in a snapshot, is the source."""
        self.number += 1
        out = f"{self.base}/out{self.number}"
        at = f"{self.volume.path}@{snapshot}:" if snapshot else f"{self.volume.path}:"
        h.must("export", "-T", at + (inside or self.inside), out)
        got = describe(out)
        want = want or describe(self.source)
        for key in strip:
            want.pop(key, None)
        good = compare(got, want, name)
        subprocess.run(["chmod", "-R", "u+rwx", out])
        shutil.rmtree(out)
        return good

    def check(self):
        result = h.linkfs("check", self.volume.path)
        h.ok(result.rc == 0, "check finds nothing", result)

    def end(self):
        self.check()
        h.clean(self.base)


def put(path, content=b"x\n"):
    h.put(path, content)


def expect(report, name, **want):
    keys = ["new", "changed", "moved", "linked", "removed", "vanished", "unreadable", "changed_while_read"]
    h.equal({k: report[k] for k in keys if report[k] or k in want}, want, name)
