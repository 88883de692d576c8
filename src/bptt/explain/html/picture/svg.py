"""The picture of the unrolled graph as SVG, from its layout.

Every arrow is a group `g.e` with its kind, step and width, one path and two labels, the
Jacobian and its transpose; the page's script turns labels, lights arrows and moves
columns. Without a script the picture stands as it is, with the Jacobians as symbols.
The parameters are a picture of their own beside it, which stays when the columns are
scrolled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.explain.algebra.expr import Value
from bptt.explain.html.picture import lettering
from bptt.explain.html.picture.drawn import Arrow, Drawn, Kind
from bptt.explain.html.picture.fit import Fitted, fit, width
from bptt.explain.html.picture.grid import Grid, Point, Spot
from bptt.explain.html.picture.names import Step, box_width, in_circle, pressed
from bptt.explain.html.picture.wires import RADIUS
from bptt.explain.notation.plain import to_unicode
from bptt.page.tags import Markup, join, number, tag

Symbol = Callable[[str, Step], Markup]
Lines = Callable[[Arrow], tuple[tuple[str, str], ...]]  # (forward, backward) labels
DECADES = 2.5  # the widest arrow carries 10^DECADES times what the thinnest does
THIN, WIDE = 1.0, 4.6
BUSY = 18  # kinds of arrows above which only the step in view is labelled at first
SIDE = 10.0  # left of a parameter's box
BOX, WIDEST = 20.0, 46.0  # half the width of these boxes, and for long names
AFTER = 8.0  # from the boxes to where the columns begin
ROUND = 7.0  # the radius of a corner


@dataclass(frozen=True)
class Marks:
    """How names and Jacobians are written: lines, the longest first, symbols last."""

    symbol: Symbol
    lines: Lines


def fitted(drawn: Drawn, marks: Marks) -> Fitted:
    """The layout, with the labels that fit."""
    choices = {arrow.kind: marks.lines(arrow) or (("", ""),)
               for arrow in drawn.at(drawn.tau)}  # fmt: skip
    return fit(drawn, choices)


def picture(drawn: Drawn, marks: Marks, *, name: str, title: str) -> Markup:
    """Two SVGs, the parameters and the columns; name: its id, title: it in a sentence.

    Columns that are left out are not in it: the script makes them from the third.
    """
    found = fitted(drawn, marks)
    grid = found.grid
    is_short = grid.gap is not None
    wide = grid.width(is_short=is_short)
    painter = _Painter(drawn, grid, found, marks, arrow_widths(drawn))
    columns = tag(
        "svg",
        tag("title", title),
        _markers(name),
        *painter.lanes(),
        *painter.initials(),
        *(painter.column(t) for t, x in enumerate(grid.short, 1) if x is not None),
        painter.gap(),
        painter.total(),
        id=name,
        class_="graph quiet",
        role="img",
        data_busy=len(drawn.kinds) > BUSY,
        width=wide,
        height=grid.height,
        viewBox=f"0 0 {number(wide)} {number(grid.height)}",
        data_full=grid.width(is_short=False),
        data_short=wide,
        data_pitch=grid.pitch,
    )
    end = painter.rail_end
    rail = tag(
        "svg", *painter.rail(), class_="graph rail", width=end, height=grid.height,
        viewBox=f"0 0 {number(end)} {number(grid.height)}", aria_hidden="true",
    )  # fmt: skip
    return join(rail, columns)


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
    fitted: Fitted
    marks: Marks
    widths: dict[str, float]

    # ----- what does not belong to a column -----

    def lanes(self) -> Iterator[Markup]:
        """One line per parameter and target up to the last column."""
        last = self.grid.short[-1] or 0.0
        for kind, y in self._parameter_lanes():
            tap = self.grid.wire(kind, 1, self.drawn.tau)[0][0]
            yield tag(
                "line", class_="lane", x1=0, x2=last + tap, y1=y, y2=y, data_x=tap
            )
        first = self.grid.columns[0]
        end = self.grid.width(is_short=True) - 56
        yield tag(
            "line", class_="lane", x1=first, x2=end, y1=self.grid.total,
            y2=self.grid.total, data_end="1",
        )  # fmt: skip

    def _parameter_lanes(self) -> list[tuple[Kind, float]]:
        return [(k, y) for k, y in self.grid.lanes.items() if k.lag is None]

    @cached_property
    def box(self) -> float:
        """Half the width of a parameter's box."""
        names = [kind.source for kind, _ in self._parameter_lanes()]
        return box_width(names, BOX, WIDEST)

    @property
    def rail_end(self) -> float:
        """Where the columns begin."""
        return SIDE + 2 * self.box + AFTER

    def rail(self) -> Iterator[Markup]:
        """The parameters, one box each, at the start of their lanes."""
        first: dict[str, float] = {}
        boxes = []
        for kind, y in self._parameter_lanes():
            x = SIDE + 2 * self.box
            if kind.source in first:  # the same box, round the others
                line = f"M{SIDE:.0f} {first[kind.source]:.0f}H4V{y:.0f}"
                yield tag("path", d=f"{line}H{self.rail_end:.0f}", class_="lane")
                continue
            first[kind.source] = y
            yield tag("line", class_="lane", x1=x, x2=self.rail_end, y1=y, y2=y)
            boxes.append(self._box(kind.source, y))
        yield from boxes

    def _box(self, name: str, y: float) -> Markup:
        wide = 2 * self.box
        shape = tag("rect", x=-self.box, y=-8.0, width=wide, height=16.0, rx=5.0)
        # A very long name is pressed together: the columns begin right of the box.
        fitted = pressed(lettering.width(to_unicode(Value(name))), wide - 4.0)
        word = tag("text", self.marks.symbol(name, None), y=3.5, **fitted)
        return tag(
            "g", shape, word, class_="n parameter", data_sym=name,
            transform=f"translate({number(SIDE + self.box)} {number(y)})",
        )  # fmt: skip

    def initials(self) -> Iterator[Markup]:
        """h^(0) and its like, one column before the first."""
        past = {k.source for k in self.drawn.kinds if (k.lag or 0) < 0}
        for name in self.drawn.states:
            if name in self.grid.spots and name in past:
                spot = Spot(0.0, self.grid.spots[name].y)
                step = self.drawn.start_step(name)
                yield self._node(name, step, "initial", spot, self.grid.start)

    def total(self) -> Markup:
        """The one loss L, at the end of its lane; backward begins there."""
        x = self.grid.width(is_short=True) - 40
        body = [tag("circle", r=17.0), tag("circle", r=13.5), tag("text", "L", y=5.0),
                tag("text", "{L} = 1", y=33.0, class_="seed")]  # fmt: skip
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
        if t == self.drawn.tau:
            nodes += self._terminals()
        x = self.grid.short[t - 1] or 0.0
        mark = tag("text", f"t = {t}", y=self.grid.height - 6, class_="step")
        return tag(
            "g", *arrows, *nodes, mark, class_="col", data_t=t,
            data_x=self.grid.columns[t - 1], data_s=x,
            transform=f"translate({number(x)} 0)",
        )  # fmt: skip

    def _terminals(self) -> Iterator[Markup]:
        """h^(tau+1) and its like, of a state that is read one step back."""
        ahead = {k.source: k for k in self.drawn.kinds if (k.lag or 0) > 0}
        for name, kind in ahead.items():
            x = self.grid.source_x(kind, self.drawn.tau, self.drawn.tau)
            spot = Spot(x, self.grid.spots[name].y)
            yield self._node(name, self.drawn.tau + 1, "initial", spot)

    def _node(
        self, name: str, t: int | str, kind: str, spot: Spot, x: float = 0.0
    ) -> Markup:
        word = in_circle(self.marks.symbol, name, t)
        return tag(
            "g", tag("circle", r=RADIUS), word, class_=f"n {kind}", data_sym=name,
            transform=f"translate({x + spot.x:.0f} {spot.y:.0f})",
        )  # fmt: skip

    def _arrow(self, arrow: Arrow) -> Markup:
        """One path and its labels; the script adds what a pointer needs."""
        line = rounded(self.grid.wire(arrow.kind, arrow.t, self.drawn.tau))
        thick = self.widths[arrow.key]
        return tag(
            "g", tag("path", d=line, stroke_width=thick), *self._labels(arrow),
            class_="e cut" if arrow.jacobian is None else "e", data_k=arrow.card,
        )  # fmt: skip

    def _labels(self, arrow: Arrow) -> Iterator[Markup]:
        lines = self.marks.lines(arrow)
        if not lines:
            return
        # At every step the same form, as long as it may be at the last.
        is_brief = self.fitted.texts[arrow.kind] == self._last_lines[arrow.kind][-1]
        forward, backward = lines[-1 if is_brief else 0]
        slot = self.grid.slot(arrow.kind)
        place = {"x": round(slot.x), "y": round(slot.y)}
        wide = round(width(self.fitted.texts, arrow.kind))
        way = "fb" if forward == backward else "f"
        yield tag("text", lettering.written(forward), class_=f"{way} {slot.anchor}",
                  data_w=wide, **place)  # fmt: skip
        if backward in (forward, f"({forward})ᵀ"):  # the script writes the second
            return
        yield tag("text", lettering.written(backward), class_=f"b {slot.anchor}",
                  **place)  # fmt: skip

    @cached_property
    def _last_lines(self) -> dict[Kind, tuple[tuple[str, str], ...]]:
        """What each kind of arrow may carry at the last step."""
        last = self.drawn.at(self.drawn.tau)
        return {arrow.kind: self.marks.lines(arrow) for arrow in reversed(last)}


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


def rounded(points: tuple[Point, ...]) -> str:
    """A path through corners, each a quarter of a circle where there is room."""
    corners = [p for i, p in enumerate(points) if not i or p != points[i - 1]]
    parts = [f"M{_at(corners[0])}"]
    for before, at, after in zip(corners, corners[1:], corners[2:], strict=False):
        size = min(ROUND, _far(before, at) / 2, _far(at, after) / 2)
        parts.append(f"L{_at(_toward(at, before, size))}"
                     f"Q{_at(at)} {_at(_toward(at, after, size))}")  # fmt: skip
    return "".join([*parts, f"L{_at(corners[-1])}"])


def _far(a: Point, b: Point) -> float:
    return math.hypot(a[0] - b[0], a[1] - b[1])


def _toward(a: Point, b: Point, size: float) -> Point:
    share = size / (_far(a, b) or 1.0)
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _at(point: Point) -> str:
    return f"{point[0]:.0f} {point[1]:.0f}"
