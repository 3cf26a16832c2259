"""What the tests of linkfs draw share: the tree that most of them draw, its pictures word for word, and pictures taken apart."""
import json
import os
import re
import xml.etree.ElementTree as xml

import harness as h

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"

HEAD = """digraph linkfs {
  graph [charset="UTF-8", rankdir=LR, nodesep=0.25, ranksep=%s, fontname="Helvetica,Arial,sans-serif", labelloc=b, labeljust=l, label=<<FONT POINT-SIZE="9">%s<BR ALIGN="LEFT"/></FONT>>];
  node [fontname="Helvetica,Arial,sans-serif", fontsize=11];
  edge [fontname="Helvetica,Arial,sans-serif", fontsize=9];
"""
TABLE = '<<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="4" BGCOLOR="white">'
GOLDEN_FILE = HEAD % ("0.7", "thick line: name &#183; dashed: symlink") + """  i8 [shape=box, style=rounded, peripheries=2, label=<<B>inode 8</B><BR ALIGN="LEFT"/>file, 0 bytes<BR ALIGN="LEFT"/>2 names<BR ALIGN="LEFT"/>>];
  d1 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd"><B>/</B>&#160; <FONT POINT-SIZE="9">inode 1</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">home/</TD></TR><TR><TD PORT="r1" ALIGN="LEFT">srv/</TD></TR></TABLE>>];
  d7 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd"><B>home/ann/</B>&#160; <FONT POINT-SIZE="9">inode 7</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">again &#8594; run &#8595;</TD></TR><TR><TD PORT="r1" ALIGN="LEFT">app</TD></TR><TR><TD PORT="r2" ALIGN="LEFT">run &#8594; ../../srv/current/app</TD></TR></TABLE>>];
  d4 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd"><B>srv/releases/1.7/</B>&#160; <FONT POINT-SIZE="9">inode 4</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">app</TD></TR></TABLE>>];
  d1:r0:e -> d7:h:w [penwidth=1.8, weight=4];
  d1:r1:e -> d4:h:w [penwidth=1.8, weight=4];
  d7:r1:e -> i8:w [penwidth=1.8];
  d7:r2:e -> i8:w [style=dashed, arrowhead=vee];
  d4:r0:e -> i8:w [penwidth=1.8];
}
""".replace("@", TABLE)
GOLDEN_TREE = HEAD % ("0.8", "thick line: name &#183; dashed: symlink &#183; dotted: symlink that leads nowhere") + """  d2 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd" BORDER="2"><B>/srv/</B>&#160; <FONT POINT-SIZE="9">inode 2</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">current &#8594; releases/1.7</TD></TR><TR><TD PORT="r1" ALIGN="LEFT">next &#8594; releases/1.9/app</TD></TR><TR><TD PORT="r2" ALIGN="LEFT">releases/</TD></TR></TABLE>>];
  d3 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd"><B>releases/</B>&#160; <FONT POINT-SIZE="9">inode 3</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">1.7/</TD></TR><TR><TD PORT="r1" ALIGN="LEFT">1.8/</TD></TR></TABLE>>];
  d4 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd"><B>1.7/</B>&#160; <FONT POINT-SIZE="9">inode 4</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">app</TD></TR></TABLE>>];
  i8 [shape=box, style=rounded, label=<<B>inode 8</B><BR ALIGN="LEFT"/>file, 0 bytes<BR ALIGN="LEFT"/>2 names<BR ALIGN="LEFT"/><FONT POINT-SIZE="9">not drawn:<BR ALIGN="LEFT"/>/home/ann/app</FONT><BR ALIGN="LEFT"/>>];
  d5 [shape=plain, label=@<TR><TD PORT="h" ALIGN="LEFT" BGCOLOR="#dddddd"><B>1.8/</B>&#160; <FONT POINT-SIZE="9">inode 5</FONT></TD></TR><TR><TD PORT="r0" ALIGN="LEFT">app&#160; <FONT POINT-SIZE="9">0 bytes</FONT></TD></TR></TABLE>>];
  x5 [shape=box, style=dotted, penwidth=1.6, label=</srv/releases/1.9<BR/><FONT POINT-SIZE="9">No such file or directory</FONT>>];
  d2:r0:e -> d4:h:w [style=dashed, arrowhead=vee];
  d2:r1:e -> x5:w [style=dotted, penwidth=1.6, arrowhead=tee];
  d2:r2:e -> d3:h:w [penwidth=1.8, weight=4];
  d3:r0:e -> d4:h:w [penwidth=1.8, weight=4];
  d3:r1:e -> d5:h:w [penwidth=1.8, weight=4];
  d4:r0:e -> i8:w [penwidth=1.8];
}
""".replace("@", TABLE)


def make_tree(volume):
    for path in ("/srv/releases/1.7", "/srv/releases/1.8", "/home/ann"):
        h.must("mkdir", "-p", volume(path))
    h.must("touch", volume("/srv/releases/1.7/app"), volume("/srv/releases/1.8/app"))
    h.must("ln", volume("/srv/releases/1.7/app"), volume("/home/ann/app"))
    for text, path in (("releases/1.7", "/srv/current"), ("../../srv/current/app", "/home/ann/run"), ("run", "/home/ann/again"), ("releases/1.9/app", "/srv/next")):
        h.must("ln", "-s", text, volume(path))


class Place:
    def __init__(self, volume, inside=False):
        self.volume = volume
        self.base = volume.mnt if inside else volume.path + ":"

    def __call__(self, path):
        return self.base + path

    def fill(self, host, tree):
        """tree: name (bytes) to content: None a directory, str a symlink, ("link", name), bytes."""
        for name, what in tree.items():
            path = os.path.join(os.fsencode(host), name)
            if what is None:
                os.mkdir(path)
            elif isinstance(what, tuple):
                os.link(os.path.join(os.fsencode(host), what[1]), path)
            elif isinstance(what, str):
                os.symlink(os.fsencode(what), path)
            else:
                with open(path, "wb") as f:
                    f.write(what)
        h.must("import", host, self.volume("/"))
        return self("/" + os.path.basename(host))


class Picture:
    """The picture as JSON: rows and edges by names."""

    def __init__(self, *argv, **how):
        self.result = h.must("draw", "-T", "json", *argv, **how)
        self.raw = json.loads(self.result.raw)
        self.boxes = self.raw["boxes"]
        self.edges = sorted((e["kind"], self.name(e["from"]), self.name(e["to"])) for e in self.raw["edges"])

    def name(self, end):
        box = self.boxes[end["box"]]
        path = box.get("path", "")
        if end["row"] is not None:
            return path.rstrip("/") + "/" + box["rows"][end["row"]]["name"]
        return path if box["kind"] in ("directory", "outside", "pointer") else f"{box['kind']} {path or box['ino']}"

    def of_kind(self, kind):
        return [(a, b) for k, a, b in self.edges if k == kind]

    def rows(self, path):
        (box,) = [b for b in self.boxes if b["kind"] == "directory" and b["path"] == path]
        return [r["name"] for r in box["rows"]]

    def drawn(self):
        """Names and files: what --max-nodes counts."""
        return sum(len(b["rows"]) if b["kind"] == "directory" else 1 for b in self.boxes)


def check_dot(text, name):
    """Every edge ends at a box and a row that there are; nothing of this machine is in it."""
    boxes = {m[1]: set(re.findall(r'PORT="(\w+)"', m[2])) for m in re.finditer(r"^  (\w+) \[(shape=.*)\];$", text, re.M)}
    bad = []
    for line in re.findall(r"^  .* -> .*$", text, re.M):
        for end in re.match(r"  (\S+) -> (\S+) \[", line).groups():
            box, *port = end.split(":")
            if box not in boxes or (port and port[0] not in "ew" and port[0] not in boxes[box]):
                bad.append(end)
    h.ok(not bad and len(boxes) > 0, name + ": every edge ends somewhere", bad, text[:2000])
    return boxes


def svg_texts(text):
    return [e.text for e in xml.fromstring(text).iter(SVG + "text")]


def svg_nodes(text):
    return sorted(g.find(SVG + "title").text for g in xml.fromstring(text).iter(SVG + "g") if g.get("class") == "node")
