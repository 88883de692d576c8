"""A scene as SVG: one file of well-formed XML, light, that refers to nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import singledispatch

from bptt.explain.figure.scene import (
    COLOURS,
    INK,
    LETTERS,
    NODE,
    Box,
    Label,
    Ring,
    Scene,
    Stroke,
    Word,
)
from bptt.explain.html.picture.lettering import SMALL, pieces
from bptt.page.tags import number

NAMESPACE = "http://www.w3.org/2000/svg"
# lettering.py measures in the first; the others are narrower.
FONT = "'DejaVu Sans', Verdana, 'Noto Sans CJK SC', 'WenQuanYi Micro Hei', sans-serif"
SHIFT = {"sub": 0.26, "sup": -0.35}  # of the size, downwards


# Where it stands in a page it has the page's colours, in either theme.
PAGE = {
    "ink": "var(--ink)", "soft": "var(--soft)", "faint": "var(--faint)",
    "accent": "var(--accent)", "wash": "var(--wash)", "paper": "var(--sheet)",
}  # fmt: skip


def to_svg(scene: Scene, colours: Mapping[str, str] = COLOURS) -> str:
    """The file; colours: of a page's theme, where it stands in a page."""
    size = {"width": number(scene.width), "height": number(scene.height)}
    root = ET.Element("svg", {
        "xmlns": NAMESPACE, **size, "viewBox": "0 0 {width} {height}".format(**size),
        "font-family": FONT, "role": "img", "lang": scene.lang,
    })  # fmt: skip
    ET.SubElement(root, "title").text = scene.title
    ET.SubElement(root, "rect", {**size, "fill": COLOURS["paper"]})
    for item in scene.items:
        _put(item, root)
    if colours is not COLOURS:
        _recolour(root, {COLOURS[name]: colour for name, colour in colours.items()})
    for child in root:  # a space inside a text would be seen
        child.tail = "\n"
    return ET.tostring(root, encoding="unicode") + "\n"


def _recolour(root: ET.Element, colours: Mapping[str, str]) -> None:
    for element in root.iter():
        for key in ("fill", "stroke"):
            if element.get(key) in colours:
                element.set(key, colours[element.attrib[key]])


@singledispatch
def _put(item: object, root: ET.Element) -> None:
    raise TypeError(type(item))


@_put.register
def _(item: Stroke, root: ET.Element) -> None:
    colour = COLOURS[item.colour]
    points = " ".join(f"{number(x)},{number(y)}" for x, y in item.points)
    line = {"points": points, "fill": "none", "stroke": colour,
            "stroke-width": number(item.width), "stroke-linejoin": "round"}  # fmt: skip
    if item.is_dashed:
        line["stroke-dasharray"] = "2 3"
    ET.SubElement(root, "polyline", line)
    if item.has_head:
        shown = " ".join(f"{number(x)},{number(y)}" for x, y in head(item))
        ET.SubElement(root, "polygon", {"points": shown, "fill": colour})


@_put.register
def _(item: Ring, root: ET.Element) -> None:
    middle = {"cx": number(item.x), "cy": number(item.y)}
    drawn = {"fill": COLOURS[item.fill], "stroke": COLOURS[INK], "stroke-width": "1.1"}
    for radius in item.radii:
        ET.SubElement(root, "circle", {**middle, "r": number(radius), **drawn})
    _text(root, item.label, item.x, item.y + item.share * NODE / 3, "middle",
          item.share * NODE, INK)  # fmt: skip


@_put.register
def _(item: Box, root: ET.Element) -> None:
    ET.SubElement(root, "rect", {
        "x": number(item.x - item.width / 2), "y": number(item.y - item.height / 2),
        "width": number(item.width), "height": number(item.height),
        "fill": COLOURS[item.fill],
    } | ({"rx": "4", "stroke": COLOURS[INK]} if item.label else {}))  # fmt: skip
    if item.label:
        _text(root, item.label, item.x, item.y + LETTERS / 3, "middle", LETTERS, INK)


@_put.register
def _(item: Word, root: ET.Element) -> None:
    _text(root, item.label, item.x, item.y, item.anchor, item.size, item.colour)


def _text(
    root: ET.Element, label: Label, x: float, y: float, anchor: str, size: float,
    colour: str,
) -> None:  # fmt: skip
    """A label, its letters raised and lowered; the line goes on where it was."""
    text = ET.SubElement(root, "text", {
        "x": number(x), "y": number(y), "font-size": number(size),
        "text-anchor": anchor, "fill": COLOURS[colour],
    })  # fmt: skip
    back = 0.0
    for letters, way in pieces(label.plain):
        shift = SHIFT.get(way, 0.0) * size
        span = ET.SubElement(text, "tspan", {} if not way else {
            "font-size": number(SMALL * size)
        })  # fmt: skip
        if shift != back:
            span.set("dy", number(shift - back, 2))
        span.text, back = letters, shift


def head(line: Stroke) -> tuple[tuple[float, float], ...]:
    """The three corners of an arrow's head, its tip at the line's end."""
    (ax, ay), (bx, by) = line.points[-2:]
    far = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5 or 1.0
    ux, uy = (bx - ax) / far, (by - ay) / far
    back = bx - 7 * ux, by - 7 * uy
    return (bx, by), (back[0] - 3 * uy, back[1] + 3 * ux), (
        back[0] + 3 * uy, back[1] - 3 * ux,
    )  # fmt: skip
