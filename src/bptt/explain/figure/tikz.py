r"""A scene as a LaTeX document with one TikZ picture, as large as the figure.

In a document of one's own: the file beside it, compiled, and \includegraphics; or what
stands between \begin{tikzpicture} and \end{tikzpicture}, with the colours above it.
"""

from __future__ import annotations

from functools import singledispatch

from bptt.explain.figure.scene import (
    COLOURS,
    INK,
    LETTERS,
    POINTS,
    Box,
    Ring,
    Scene,
    Stroke,
    Word,
)
from bptt.page.tags import number

ANCHORS = {"start": "base west", "middle": "base", "end": "base east"}
PREAMBLE = r"""\documentclass[10pt]{{article}}
\usepackage[papersize={{{width}bp,{height}bp}},margin=0bp]{{geometry}}
\setlength{{\textheight}}{{1.1\paperheight}}
\usepackage{{amsmath,tikz}}{more}
\usetikzlibrary{{arrows.meta}}
\pagestyle{{empty}}\setlength{{\parindent}}{{0pt}}\setlength{{\topskip}}{{0pt}}
"""
CHINESE = "\n\\usepackage[scheme=plain]{ctex}"


def to_tikz(scene: Scene) -> str:
    """The file; words in Chinese need XeLaTeX or LuaLaTeX, English ones any LaTeX."""
    lines = [
        "% " + scene.title,
        PREAMBLE.format(
            width=number(POINTS * scene.width), height=number(POINTS * scene.height),
            more=CHINESE if scene.lang == "zh" else "",
        ),
        *(rf"\definecolor{{bptt-{name}}}{{HTML}}{{{colour[1:].upper()}}}"
          for name, colour in COLOURS.items()),
        r"\begin{document}%",
        r"\begin{tikzpicture}[x=0.75bp,y=-0.75bp,inner sep=0pt,line join=round]",
        rf"\useasboundingbox (0,0) rectangle {_at(scene.width, scene.height)};",
        *(_drawn(item) for item in scene.items),
        r"\end{tikzpicture}%",
        r"\end{document}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _at(x: float, y: float) -> str:
    return f"({number(x)},{number(y)})"


def _words(size: float) -> str:
    points = number(POINTS * size)
    return rf"font=\fontsize{{{points}bp}}{{{points}bp}}\selectfont"


@singledispatch
def _drawn(item: object) -> str:
    raise TypeError(type(item))


@_drawn.register
def _(item: Stroke) -> str:
    style = [f"bptt-{item.colour}", f"line width={number(POINTS * item.width, 2)}bp"]
    if item.has_head:
        style.append("-{Stealth[length=5bp,width=4bp]}")
    if item.is_dashed:
        style.append("densely dotted")
    points = " -- ".join(_at(x, y) for x, y in item.points)
    return rf"\draw[{','.join(style)}] {points};"


@_drawn.register
def _(item: Ring) -> str:
    fill = f"bptt-{INK},fill=bptt-{item.fill},line width=0.8bp"
    rings = [
        rf"\draw[{fill}] {_at(item.x, item.y)} circle[radius={number(POINTS * r)}bp];"
        for r in item.radii
    ]
    style = f"bptt-{INK},{_words(item.share * LETTERS)}"
    return "\n".join(
        [*rings, rf"\node[{style}] at {_at(item.x, item.y)} {{{item.label.latex}}};"]
    )


@_drawn.register
def _(item: Box) -> str:
    corner = _at(item.x - item.width / 2, item.y - item.height / 2)
    other = _at(item.x + item.width / 2, item.y + item.height / 2)
    if item.label is None:
        return rf"\fill[bptt-{item.fill}] {corner} rectangle {other};"
    style = f"bptt-{INK},fill=bptt-{item.fill},rounded corners=3bp"
    word = rf"\node[bptt-{INK},{_words(LETTERS)}] at {_at(item.x, item.y)}"
    return (
        rf"\draw[{style}] {corner} rectangle {other};"
        "\n"
        rf"{word} {{{item.label.latex}}};"
    )


@_drawn.register
def _(item: Word) -> str:
    style = f"anchor={ANCHORS[item.anchor]},bptt-{item.colour},{_words(item.size)}"
    return rf"\node[{style}] at {_at(item.x, item.y)} {{{item.label.latex}}};"
