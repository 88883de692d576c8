"""The picture of the unrolled graph as SVG, from its layout.

Every arrow is a group `g.e` with its kind, step and width, one path and one label; the
page's script turns labels, lights arrows and moves columns. Without a script the
picture stands as it is, with the Jacobians as symbols.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bptt.explain.html.picture.drawn import Arrow, Drawn, Kind
from bptt.explain.html.picture.grid import (
    BESIDE,
    RADIUS,
    RAIL,
    Grid,
    Spot,
    is_skip,
    make_grid,
)
from bptt.page.tags import Markup, number, tag

Symbol = Callable[[str, int | None], Markup]  # a name and its step, as tspans
Label = Callable[[Arrow], str]
DECADES = 2.5  # the widest arrow carries 10^DECADES times what the thinnest does
THIN, WIDE = 1.0, 4.6
BUSY = 18  # kinds of arrows above which only the step in view is labelled at first
LETTER = 6.1  # the width of a label's letter, on average
BRIEF = 8  # letters beside each arrow of a fan, at most


@dataclass(frozen=True)
class Marks:
    """How names and Jacobians are written in the picture; `brief` where arrows fan."""

    symbol: Symbol
    label: Label
    brief: Label


def picture(drawn: Drawn, marks: Marks, *, name: str, title: str) -> Markup:
    """The whole SVG; name: its id, title: its text equivalent in a sentence.

    Columns that are left out are not in it: the script makes them from the third.
    """
    left = [marks.label(arrow) for arrow in drawn.at(drawn.tau) if arrow.kind.lag != 0]
    grid = make_grid(drawn, LETTER * max(map(len, left), default=0))
    is_short = grid.gap is not None
    width = grid.width(is_short=is_short)
    painter = _Painter(drawn, grid, marks, arrow_widths(drawn))
    return tag(
        "svg",
        tag("title", title),
        _markers(name),
        *painter.lanes(),
        *painter.initials(),
        *(painter.column(t) for t, x in enumerate(grid.short, 1) if x is not None),
        painter.gap(),
        *painter.rail(),
        painter.total(),
        id=name,
        class_="graph quiet",
        role="img",
        data_busy=len(drawn.kinds) > BUSY,
        width=width,
        height=grid.height,
        viewBox=f"0 0 {number(width)} {number(grid.height)}",
        data_full=grid.width(is_short=False),
        data_short=width,
        data_pitch=grid.pitch,
    )


def arrow_widths(drawn: Drawn) -> dict[str, float]:
    """Width by log of the gradient carried, the largest at the top of the scale."""
    norms = {arrow.key: arrow.norm for arrow in drawn.arrows}
    top = max(norms.values(), default=0.0)
    found = {}
    for key, norm in norms.items():
        below = math.log10(top / norm) if norm > 0 else DECADES
        share = max(0.0, 1 - below / DECADES)
        found[key] = THIN + (WIDE - THIN) * share
    return found


def _markers(name: str) -> Markup:
    """Arrow heads: forward at the end, backward at the start."""
    heads = [
        tag("marker", tag("path", d="M0 0 8 4 0 8z"), id=f"{name}-{kind}",
            viewBox="0 0 8 8", refX=7.0, refY=4.0, markerWidth=9.0, markerHeight=9.0,
            orient=orient, markerUnits="userSpaceOnUse", class_="head")
        for kind, orient in (("f", "auto"), ("b", "auto-start-reverse"))
    ]  # fmt: skip
    return tag("defs", *heads)


@dataclass(frozen=True)
class _Painter:
    drawn: Drawn
    grid: Grid
    marks: Marks
    widths: dict[str, float]

    # ----- what does not belong to a column -----

    def lanes(self) -> Iterator[Markup]:
        """One line per parameter and target from the rail to the last tap."""
        last = self.grid.short[-1] or 0.0
        for tap in self.grid.taps.values():
            yield tag(
                "line",
                class_="lane",
                x1=RAIL + 15,
                x2=last + tap.x,
                y1=tap.lane,
                y2=tap.lane,
                data_x=tap.x,
            )
        first = self.grid.columns[0]
        end = self.grid.width(is_short=True) - 56
        yield tag(
            "line", class_="lane", x1=first, x2=end, y1=self.grid.total,
            y2=self.grid.total, data_end="1",
        )  # fmt: skip

    def rail(self) -> Iterator[Markup]:
        """The parameters, one box each, at the start of their lanes."""
        done = set()
        for (parameter, _), tap in self.grid.taps.items():
            if parameter in done:
                continue
            done.add(parameter)
            yield self._box(parameter, None, RAIL, tap.lane)

    def _box(self, name: str, t: int | None, x: float, y: float) -> Markup:
        shape = tag("rect", x=-16.0, y=-8.5, width=32.0, height=17.0, rx=5.0)
        word = tag("text", self.marks.symbol(name, t), y=3.5)
        return tag(
            "g", shape, word, class_="n parameter", data_sym=name,
            transform=f"translate({number(x)} {number(y)})",
        )  # fmt: skip

    def initials(self) -> Iterator[Markup]:
        """h^(0) and its like, one column before the first."""
        x = self.grid.start
        for name in self.drawn.states:
            if name in self.grid.spots:
                spot = Spot(0.0, self.grid.spots[name].y)
                yield self._node(name, 0, "initial", spot, x)

    def total(self) -> Markup:
        """The one loss L, at the end of its lane."""
        x = self.grid.width(is_short=True) - 40
        body = [tag("circle", r=17.0), tag("circle", r=13.5), tag("text", "L", y=5.0)]
        return tag(
            "g", *body, class_="n total", data_sym="L", data_end="1",
            transform=f"translate({number(x)} {number(self.grid.total)})",
        )  # fmt: skip

    def gap(self) -> Markup | None:
        """The "..." for the columns that are left out."""
        if self.grid.gap is None:
            return None
        middle = self.grid.height / 2
        return tag(
            "g", tag("rect", x=-22.0, y=-20.0, width=44.0, height=40.0, rx=8.0),
            tag("text", "…", y=6.0), class_="gap", data_expand=True,
            transform=f"translate({number(self.grid.gap)} {number(middle)})",
        )  # fmt: skip

    # ----- one column -----

    def column(self, t: int) -> Markup:
        """Step t: arrows into it first, nodes over them."""
        arrows = [self._arrow(arrow) for arrow in self.drawn.at(t)]
        nodes = [
            self._node(name, t, kind, self.grid.spots[name])
            for kind, names in (
                ("input", self.drawn.inputs),
                ("node", self.drawn.nodes),
            )
            for name in names
        ]
        x = self.grid.short[t - 1] or 0.0
        mark = tag("text", f"t = {t}", y=self.grid.height - 6, class_="step")
        return tag(
            "g",
            *arrows,
            *nodes,
            mark,
            class_="col",
            data_t=t,
            data_x=self.grid.columns[t - 1],
            data_s=x,
            transform=f"translate({number(x)} 0)",
        )

    def _node(self, name: str, t: int, kind: str, spot: Spot, x: float = 0.0) -> Markup:
        word = tag("text", self.marks.symbol(name, t), y=5)
        return tag(
            "g", tag("circle", r=RADIUS), word, class_=f"n {kind}", data_sym=name,
            transform=f"translate({x + spot.x:.0f} {spot.y:.0f})",
        )  # fmt: skip

    def _arrow(self, arrow: Arrow) -> Markup:
        """One path and one label; the script adds what a pointer needs."""
        line, (x, y, anchor) = self._line(arrow)
        label = self.marks.label(arrow)
        if len(label) > BRIEF and self._fan(arrow.kind):
            label = self.marks.brief(arrow)
        return tag(
            "g",
            tag("path", d=line, stroke_width=self.widths[arrow.key]),
            tag("text", label, class_=anchor, x=round(x), y=round(y))
            if label
            else None,
            class_="e cut" if arrow.jacobian is None else "e",
            data_k=arrow.card,
        )

    def _line(self, arrow: Arrow) -> tuple[str, tuple[float, float, str]]:
        """The path in the column's coordinates, and the label's place and anchor."""
        kind = arrow.kind
        if arrow.target.kind == "total":
            a = self.grid.spots[kind.source]
            top = self.grid.total
            return _path([(a.x, a.y - RADIUS), (a.x, top + 2)]), (
                a.x + 7, (a.y - RADIUS + top) / 2 + 4, "r")  # fmt: skip
        b = self.grid.spots[kind.target]
        if kind.lag is None:
            tap = self.grid.taps[kind.source, kind.target]
            end = _rim(b, tap.x, b.y + RADIUS + 9)
            return _path([(tap.x, tap.lane), (tap.x, b.y + RADIUS + 9), end]), (
                tap.x - 5, tap.lane - 5, "l")  # fmt: skip
        a = self.grid.spots[kind.source]
        if kind.lag:
            start = (
                a.x if arrow.t > 1 else 0.0
            )  # h^(0) stands in the middle of its column
            return _across(Spot(start - self.grid.back(arrow.t), a.y), b)
        if is_skip(kind, self.grid):
            return _around(a, b)
        fan = [self.grid.spots[other.target].x - a.x for other in self._fan(kind)]
        steps = [dx for dx in fan if dx * (b.x - a.x) > 0]
        rank = sum(abs(dx) < abs(b.x - a.x) for dx in steps)
        return _straight(a, b, rank, is_left=bool(fan) and b.x < a.x)

    def _fan(self, kind: Kind) -> list[Kind]:
        """The other arrows from the same node to the row of this one's target."""
        if kind.lag is None:
            return []
        levels = self.grid.levels
        return [
            other
            for other in self.drawn.kinds
            if other != kind
            and (other.source, other.lag) == (kind.source, kind.lag)
            and levels.get(other.target) == levels.get(kind.target)
        ]


def shape_text(arrow: Arrow) -> str:
    """`4×4`, `4×(4×3)`, `4×1` for a vector by a scalar."""
    assert arrow.jacobian is not None
    rank = len(arrow.out_dims)
    shape = np.shape(arrow.jacobian)
    return f"{_size(shape[:rank])}×{_size(shape[rank:])}"


def _size(shape: tuple[int, ...]) -> str:
    if not shape:
        return "1"
    return str(shape[0]) if len(shape) == 1 else f"({'×'.join(map(str, shape))})"


# ----- lines -----


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + " ".join(f"{x:.0f} {y:.0f}" for x, y in points)


def _rim(spot: Spot, x: float, y: float, away: float = 2.0) -> tuple[float, float]:
    """Where a line from (x, y) to the middle of a node meets its rim."""
    dx, dy = x - spot.x, y - spot.y
    scale = (RADIUS + away) / math.hypot(dx, dy)
    return spot.x + dx * scale, spot.y + dy * scale


def _straight(
    a: Spot, b: Spot, rank: int, *, is_left: bool
) -> tuple[str, tuple[float, float, str]]:
    """A straight arrow; `rank` arrows of its fan lie between it and the middle."""
    start, end = _rim(a, b.x, b.y, 0.0), _rim(b, a.x, a.y)
    # Near its start, where no arrow from column to column passes.
    away = 11 + 20 * rank
    share = min(0.5, away / math.hypot(end[0] - start[0], end[1] - start[1]))
    x = start[0] + (end[0] - start[0]) * share
    y = start[1] + (end[1] - start[1]) * share + 4
    return _path([start, end]), (x - 7, y, "l") if is_left else (x + 7, y, "r")


def _around(a: Spot, b: Spot) -> tuple[str, tuple[float, float, str]]:
    """Past the rows between, on the side of the lower node or to the right."""
    side = a.x if abs(a.x - b.x) > BESIDE / 4 else a.x + BESIDE * 0.42
    y1, y2 = a.y - (a.y - b.y) * 0.25, b.y + (a.y - b.y) * 0.25
    start, end = _rim(a, side, y1, 0.0), _rim(b, side, y2)
    curve = (
        f"M{start[0]:.0f} {start[1]:.0f}C{side:.0f} {y1:.0f} "
        f"{side:.0f} {y2:.0f} {end[0]:.0f} {end[1]:.0f}"
    )
    return curve, ((start[0] + end[0] + 2 * side) / 4 + 6, (y1 + y2) / 2 + 4, "r")


def _across(a: Spot, b: Spot) -> tuple[str, tuple[float, float, str]]:
    """From the column before: level, or falling or rising in an s-shaped curve."""
    x1, x2 = a.x + RADIUS, b.x - RADIUS - 2
    if a.y == b.y:
        return _path([(x1, a.y), (x2, b.y)]), ((x1 + x2) / 2, a.y - 8, "m")
    # Arrive from the upper left, or the lower left from a row below.
    lift = -1.0 if a.y < b.y else 1.0
    near = b.x - RADIUS * 2.6, b.y + lift * RADIUS * 1.7
    end = _rim(b, *near)
    curve = (
        f"M{x1:.0f} {a.y:.0f}C{x1 + (near[0] - x1) * 0.5:.0f} {a.y:.0f} "
        f"{near[0]:.0f} {near[1]:.0f} {end[0]:.0f} {end[1]:.0f}"
    )
    return curve, (b.x - RADIUS - 8, b.y + 4, "l")
