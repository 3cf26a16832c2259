#!/usr/bin/env python3
"""The commands beside the coreutils: the same command lines on a host directory, on a volume that nobody owns, on a mounted one, and on
paths inside the mount give the same result, output and failure (issue: option names and output follow coreutils; M3).

    test_same.py offline|live|mount
"""
import os
import re
import sys

import harness as h

FACE = sys.argv[1]
DATE = "2021-03-04 05:06:07.123456789"

# {R} is the root of the tree. A step is a command line, with standard input where a second element is given.
STEPS = [
    "mkdir {R}/a {R}/b",
    "mkdir {R}/a",
    "mkdir {R}/missing/x",
    "mkdir -p {R}/a/b/c/d {R}/a",
    "mkdir -m 2750 {R}/m1",
    "mkdir -m u=rwx,go= {R}/m2",
    "mkdir -pm 700 {R}/p/q/r",
    "mkdir -p {R}/p//q/./s/",
    "touch {R}/a/f {R}/a/g",
    "touch -c {R}/none",
    "touch {R}/missing/f",
    "touch {R}/a/slash/",
    "ln {R}/a/f {R}/a/f2",
    "ln {R}/a/f {R}/a/f2",
    "ln {R}/a/f {R}/a/g {R}/b",
    "ln {R}/a/f {R}/b/dirname/",
    "ln {R}/a {R}/dirlink",
    "ln -s f {R}/a/s",
    "ln -s f {R}/a/s",
    "ln -sf g {R}/a/s",
    "ln -s b {R}/a/sb",
    "ln -sfn c {R}/a/sb",
    "ln -sf g {R}/a/sb",
    "ln -sfT f {R}/a/f2",
    "ln -f {R}/a/f {R}/a/f2",
    "ln -f {R}/a/f {R}/a/f2",
    "ln -s -t {R}/b one two/three",
    "ln -sr {R}/a/f {R}/a/b/c/rel",
    "ln -sr {R}/a/b {R}/relb",
    "ln -sr {R}/a {R}/a/b/up",
    "ln -s nowhere {R}/dangling",
    "ln -s loop {R}/loop",
    "ln -s {R}/x/y {R}/textual",
    "ln -L {R}/a/s {R}/a/hard-to-target",
    "ln -P {R}/a/s {R}/a/hard-to-link",
    "ln -T {R}/a/f {R}/b",
    "readlink {R}/a/s {R}/a/b/c/rel {R}/relb {R}/a/b/up",
    "readlink {R}/a/f",
    "readlink {R}/none",
    "readlink -n {R}/a/s",
    "readlink -z {R}/a/s {R}/a/sb",
    "readlink -v {R}/a/f",
    "readlink -f {R}/a/s {R}/a/../b {R}/relb/c/rel {R}/none",
    "readlink -f {R}/none/x",
    "readlink -f {R}/loop",
    "readlink -e {R}/none",
    "readlink -e {R}/a/s",
    "readlink -m {R}/none/x/../y",
    "readlink -f {R}/a/f/x",
    "chmod 600 {R}/a/f",
    "stat -c %a {R}/a/f {R}/a/f2",
    "chmod u+x,g=u,o=r {R}/a/f",
    "stat -c %a {R}/a/f",
    "chmod a-w {R}/a/f",
    "chmod -x {R}/a/f",
    "chmod +w {R}/a/f",
    "chmod -w {R}/a/f",
    "stat -c %a {R}/a/f",
    "chmod 4755 {R}/a/g",
    "chmod g+s {R}/b",
    "chmod 755 {R}/b",
    "stat -c '%a %A' {R}/a/g {R}/b",
    "chmod 00755 {R}/b",
    "chmod o+t {R}/b",
    "stat -c '%a %A' {R}/b",
    "chmod -R u+rwX,go-rwx {R}/a",
    "stat -c '%a %n' {R}/a {R}/a/b {R}/a/b/c {R}/a/f {R}/a/g",
    "chmod 644 {R}/dangling",
    "chmod 644 {R}/none",
    "chmod --reference={R}/a/f {R}/a/g",
    "stat -c %a {R}/a/g",
    "touch -d '" + DATE + "' {R}/a/f",
    "touch -h -d '@1000.5' {R}/a/s",
    "touch -a -d '1960-01-02 03:04:05' {R}/a/g",
    "touch -m -d '2200-01-02T03:04:05Z' {R}/a/g",
    "touch -r {R}/a/f {R}/b",
    "touch -t 202102030405.06 {R}/p",
    "touch -d '2020-06-01 12:00 +02:00' {R}/p/q",
    "touch {R}/dangling",
    "stat -c '%n %X %Y %x %y' {R}/a/f {R}/a/s {R}/a/g {R}/b {R}/p {R}/p/q",
    "stat -c '%F|%h|%s|%n' {R}/a/f {R}/a/s {R}/a {R}/nowhere {R}/p",
    "stat -c '%N' {R}/a/s {R}/a/f",
    "stat -L -c '%F' {R}/a/s {R}/loop",
    "stat --printf '%a\\t%s\\n\\101' {R}/a/f",
    "stat -c '[%8a] [%-8a] [%08a] [%10s] [%-10n] [%f] [%t,%T]' {R}/a/f",
    "stat -c '%q' {R}/none",
    "mv {R}/a/g {R}/a/moved",
    "mv {R}/a/moved {R}/b",
    "mv -n {R}/b/moved {R}/a/f",
    "mv {R}/b/moved {R}/none/x",
    "mv {R}/none {R}/x",
    "mv -T {R}/b/moved {R}/p",
    "mv {R}/b/moved {R}/a/renamed",
    "mv {R}/a/f {R}/a/f2",
    "mv -t {R}/p {R}/a/renamed {R}/a/f2",
    "mv {R}/p/q {R}/p/q/r/below",
    "ls {R}",
    "ls -A {R}/a",
    "ls -a {R}/a",
    "ls -R {R}",
    "ls -Rr {R}",
    "ls -d {R} {R}/a",
    "ls {R}/none {R}/a/s",
    "ls {R}/a {R}/p {R}/nowhere",
    "ls -F {R} {R}/a",
    "ls -p {R}",
    "ls -C -w 40 {R} {R}/p",
    "ls -1 {R}",
    "ls -t {R}/p",
    "ls -S {R}/p",
    "rmdir {R}/p",
    "rmdir {R}/p/s {R}/none",
    "rmdir {R}/p/f2",
    "rm {R}/a",
    "rm {R}/none",
    "rm -f {R}/none",
    "rm {R}/p/f2/",
    "rm {R}/p/f2 {R}/p/renamed",
    "rm -d {R}/p/q/r",
    "rm -d {R}/p",
    "rm -r {R}/p {R}/b",
    "rm {R}/loop {R}/textual",
    "ls -R {R}",
    ("cat -", b"some\0bytes\xff\n"),
    "cat {R}/none",
    "cat {R}/a",
    "cat {R}/nowhere",
    "cp {R}/nowhere {R}/copied",
    "cp {R}/a {R}/acopy",
    "cp -r {R}/a {R}/acopy",
    "cp -r {R}/a {R}/acopy",
    "cp -P {R}/dangling {R}/dangling2",
    "cp -n {R}/nowhere {R}/copied",
    "cp {R}/nowhere {R}/nowhere",
    "cp {R}/none {R}/x",
    "cp {R}/nowhere {R}/copied {R}/acopy",
    "cp -t {R}/acopy {R}/dangling",
    "cp -T {R}/nowhere {R}/a",
    "cp -a {R}/a {R}/archived",
    "cp -pr {R}/a {R}/kept",
    "ls -R {R}",
    "mkdir -p {R}/self/in/er",
    "cp -r {R}/self {R}/self/in/er",
    "cp -r {R}/self/in {R}/self/in",
    "cp -r {R}/self {R}/self/new",
    "rm -r {R}/self",
    "chown 12:34 {R}/nowhere",
    "chown 12 {R}/copied",
    "chown :34 {R}/copied",
    "chgrp 35 {R}/nowhere",
    "chown -h 5:6 {R}/dangling",
    "chown -R 7:8 {R}/a",
    "chown --from=12 13 {R}/nowhere {R}/a",
    "stat -c '%u:%g %n' {R}/nowhere {R}/copied {R}/dangling {R}/a {R}/a/b {R}/a/s {R}/a/b/c/rel",
    "chown nosuchuser {R}/a",
    "chown 1:2:3 {R}/a",
    "rm -r {R}/kept",
]
NEED_ROOT = ("chown", "chgrp")
QUOTE = re.compile(r"'([^']*)'|(\S+)")


def words(line, root):
    return [(a or b).replace("{R}", root) for a, b in QUOTE.findall(line)]


def normal(text, root, command):
    text = text.replace(root.rstrip("/") + "/", "@/").replace(root.rstrip("/"), "@")
    # A file's first inode number is nothing to compare.
    if command == "stat":
        text = text.replace("regular empty file", "regular file")
    return text


def run_both(step, reference, root):
    line, stdin = step if isinstance(step, tuple) else (step, b"")
    command = line.split()[0]
    want = h.execute(words(line, reference), stdin=stdin)
    got = h.linkfs(*words(line, root), stdin=stdin)
    name = f"{FACE}: {line}"
    if command in NEED_ROOT and not h.ROOT and want.rc:
        return
    good = (got.rc != 0) == (want.rc != 0) and bool(got.err) == bool(want.err)
    good = good and normal(got.out, root, command) == normal(want.out, reference, command)
    h.ok(good, name, "linkfs:", got, "reference:", want)


def main():
    if FACE != "offline":
        h.need_fuse()
    base = h.make_dir()
    volume = h.Volume(base)
    reference = os.path.join(base, "reference")
    os.mkdir(reference)
    os.chmod(reference, 0o755)
    if FACE != "offline":
        volume.mount()
    root = volume.mnt if FACE == "mount" else volume("")
    for step in STEPS:
        run_both(step, reference, root)
    # Content through all commands that move it.
    data = os.urandom(300000)
    h.equal(h.linkfs("cp", "/dev/stdin", root + "/data", stdin=data).rc, 0, "cp from standard input")
    h.equal(h.linkfs("cat", root + "/data").raw, data, "cat gives the bytes back")
    h.equal(h.linkfs("cat", "-", root + "/data", stdin=b"first\n").raw, b"first\n" + data, "cat of standard input and a file")
    if FACE != "offline":
        with open(volume.mnt + "/data", "rb") as f:
            h.equal(f.read(), data, "the mount shows the same bytes")
        with open(volume.mnt + "/late", "wb") as f:
            f.write(b"late")
        h.equal(h.linkfs("cat", root + "/late").raw, b"late", "what the mount wrote, the command sees")
        h.must("ln", "-sfn", "late", root + "/switch")
        h.equal(os.readlink(volume.mnt + "/switch"), "late", "a new symlink shows in the mount")
        h.must("ln", "-sfn", "data", root + "/switch")
        h.equal(os.readlink(volume.mnt + "/switch"), "data", "a switched symlink shows in the mount at once (B5, M3)")
        h.must("chmod", "640", root + "/late")
        h.equal(os.stat(volume.mnt + "/late").st_mode & 0o777, 0o640, "a changed mode shows in the mount at once")
        h.must("rm", root + "/late")
        h.ok(not os.path.exists(volume.mnt + "/late"), "a removed name is gone from the mount at once")
        volume.umount()
    h.done()


main()
