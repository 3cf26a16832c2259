#!/usr/bin/env python3
"""linkfs draw (D9) when things fail below it: a renderer that crashes, hangs or fails, no renderer, no memory.

    test_draw_faults.py render PROGRAM-WITH-A-FALSE-RENDERER PROGRAM-WITHOUT-ONE
    test_draw_faults.py memory PRELOADED-LIBRARY
"""
import os
import signal
import subprocess
import sys

import harness as h
from drawn import GOLDEN_TREE, make_tree


def hanging(volume, argv, out, face):
    # A test run in the background of a shell inherits that interrupts are ignored.
    process = subprocess.Popen(argv, env=h.environment(LINKFS_TEST_RENDER="hang"), stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    h.ok(h.wait_for(lambda: open(children).read().strip()), f"a renderer that hangs, {face}")
    child = int(open(children).read().split()[0])
    h.equal(h.must("ls", volume("/srv/releases")).out, "1.7\n1.8\n", "holds no volume")
    process.send_signal(signal.SIGINT)
    h.equal((process.wait(timeout=60), open(out).read()), (-signal.SIGINT, GOLDEN_TREE), "is ended with us by an interrupt; the old picture stays")
    process.stderr.close()
    h.ok(h.wait_for(lambda: not h.alive(child)), "and leaves no process")


def renderers(base, false_one, without):
    volume = h.Volume(base)
    make_tree(volume)
    out = base + "/out.svg"
    argv = [false_one, "draw", "-o", out, volume("/srv")]
    result = h.execute(argv)
    h.equal((result.rc, open(out).read()), (0, GOLDEN_TREE), "the renderer is given the DOT, and the file is its picture", result)
    for how, want in (("crash", "Graphviz: ended by signal 9; -T dot works without it"),
                      ("fail", "Graphviz: could not draw it (Error: svg is out of ink); -T dot works without it"),
                      ("empty", "Graphviz: made an empty picture; -T dot works without it")):
        result = h.execute(argv, LINKFS_TEST_RENDER=how)
        h.equal((result.rc, result.err, open(out).read()), (1, f"linkfs: draw: {want}\n", GOLDEN_TREE), f"{how}: told, and the old picture stays")
    hanging(volume, argv, out, "offline")
    if h.fuse_usable()[0]:
        volume.mount()
        hanging(volume, argv, out, "live")
        result = h.execute(argv, LINKFS_TEST_RENDER="crash")
        h.ok(result.rc == 1 and sorted(os.listdir(volume.mnt + "/srv/releases")) == ["1.7", "1.8"], "a crash is not the owner's", result)
        volume.umount()
    else:
        h.skip("the same on a mounted volume", h.fuse_usable()[1])
    h.equal([n for n in os.listdir(base) if n.startswith(".linkfs")], [], "nothing is left behind")
    for kind in ("svg", "png"):
        result = h.execute([without, "draw", "-T", kind, volume("/srv")])
        h.ok(result.rc == 1 and "built without Graphviz" in result.err and "libgraphviz-dev" in result.err and "-T dot" in result.err and not result.out,
             f"without Graphviz -T {kind} says what is missing and what works", result)
    h.equal(h.execute([without, "draw", volume("/srv")]).out, GOLDEN_TREE, "and DOT needs nothing")


def memory(base, preload):
    """Each allocation fails once: the picture is whole, or there is none and a reason."""
    volume = h.Volume(base)
    make_tree(volume)
    seed = int(os.environ.get("LINKFS_SEED", "1"))
    print(f"# seed {seed}", flush=True)
    stride = 1 if os.environ.get("LINKFS_LONG") == "1" else 23
    for argv in ((volume("/"),), (volume("/home/ann/app"), "-T", "json"), (volume("/srv"), "--referrers", "-n", "5")):
        whole = h.must("draw", *argv).out
        count = int(h.linkfs("draw", *argv, LD_PRELOAD=preload, COUNT_MALLOC="1").err.split()[-1])
        bad, failed = [], 0
        # Each of the first: where a program begins everything stands alone.
        for number in (*range(1, 120), *range(120 + seed % stride, count + 1, stride)):
            result = h.linkfs("draw", *argv, LD_PRELOAD=preload, FAIL_MALLOC=str(number))
            failed += result.rc == 1
            if not (result.rc == 0 and result.out == whole) and not (result.rc == 1 and result.err and not result.out):
                bad.append((number, result.rc, result.err[:100], len(result.out)))
        h.ok(count > 1000 and failed > 20 and not bad, "draw " + " ".join(argv[1:]) + f": {count} allocations", failed, bad[:5])


def main():
    base = h.make_dir()
    if sys.argv[1] == "render":
        renderers(base, *sys.argv[2:4])
    else:
        memory(base, sys.argv[2])
    h.done()


main()
