"""What a figure is made of: lines, rings, boxes and words on a sheet.

Lengths are in CSS pixels, y grows downwards. A label is written in the notation for
plain text, with `_x` lowered and `^(x)` raised, and as LaTeX.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bptt.explain.algebra.expr import Expr, Time, Value
from bptt.explain.html.picture import lettering
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.plain import to_unicode
from bptt.unrolled import Place

Point = tuple[float, float]
INK, SOFT, FAINT, ACCENT, WASH = "ink", "soft", "faint", "accent", "wash"
# Told apart in grey, too.
COLOURS = {INK: "#1d2433", SOFT: "#4a5263", FAINT: "#7c8494", ACCENT: "#0b5cad",
           WASH: "#e9f0f9", "paper": "#ffffff"}  # fmt: skip
LETTERS, WORDS = lettering.SIZE, 13.0  # sizes: of labels, and of headings
NODE = 13.5  # the size of a node's letters
POINTS = 0.75  # a CSS pixel, on paper


@dataclass(frozen=True)
class Label:
    """plain: for SVG and PDF; latex: the same for TikZ, in text mode."""

    plain: str
    latex: str

    @property
    def width(self) -> float:
        """In pixels at the size of labels, at most."""
        return lettering.width(self.plain)


@dataclass(frozen=True)
class Stroke:
    """Straight pieces, with a head at the end; dashed where no gradient passes."""

    points: tuple[Point, ...]
    colour: str = SOFT
    width: float = 1.2
    has_head: bool = True
    is_dashed: bool = False


@dataclass(frozen=True)
class Ring:
    """A node: its middle, its radius, and what stands in it."""

    x: float
    y: float
    label: Label
    radius: float
    fill: str = "paper"
    is_double: bool = False

    @property
    def radii(self) -> tuple[float, ...]:
        """Of the lines that are drawn, the outer first."""
        return (self.radius, self.radius - 3) if self.is_double else (self.radius,)

    @property
    def share(self) -> float:
        """Of the letters' size: a long name is smaller, and stays in the ring."""
        wide = self.label.width * NODE / lettering.SIZE
        return min(1.0, (2 * self.radius - 4.0) / wide)


@dataclass(frozen=True)
class Box:
    """A parameter, or a bar without a word: its middle and its size."""

    x: float
    y: float
    label: Label | None
    width: float
    height: float
    fill: str = WASH


@dataclass(frozen=True)
class Word:
    """A label by itself; anchor: its end at x, "start", "middle" or "end"."""

    x: float
    y: float
    label: Label
    anchor: str = "middle"
    size: float = LETTERS
    colour: str = SOFT


Item = Stroke | Ring | Box | Word


@dataclass(frozen=True)
class Scene:
    """One figure: what is drawn, the later over the earlier; title: of the whole."""

    width: float
    height: float
    items: tuple[Item, ...]
    title: str
    lang: str

    def words(self) -> Iterator[str]:
        """Everything that is to be read, as plain text."""
        for item in self.items:
            if not isinstance(item, Stroke) and item.label is not None:
                yield item.label.plain


def formula(expr: Expr) -> Label:
    """An expression as a label, on one line: brackets as high as letters."""
    latex = to_latex(expr).replace(r"\left", "").replace(r"\right", "")
    return Label(to_unicode(expr), f"${latex}$")


def symbol(place: Place) -> Label:
    """W, h^(3), L."""
    return formula(Value(place.name, None if place.t is None else Time("", place.t)))


def words(text: str) -> Label:
    """Words of a language, with no sign that LaTeX reads."""
    return Label(text, text.replace("τ", r"$\tau$").replace("‖", r"$\Vert$"))
