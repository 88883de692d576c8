"""The network in time: a column per step, every arrow with its Jacobian."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from bptt.explain.figure.pictured import Pictured, with_indices
from bptt.explain.figure.scene import (
    FAINT,
    SOFT,
    WASH,
    WORDS,
    Box,
    Item,
    Label,
    Point,
    Ring,
    Scene,
    Stroke,
    Word,
    symbol,
    words,
)
from bptt.explain.html.picture.drawn import Arrow, Drawn, Kind
from bptt.explain.html.picture.fit import Fitted, fit
from bptt.explain.html.picture.grid import Grid
from bptt.explain.html.picture.wires import RADIUS
from bptt.unrolled import Place

# Parameters, their boxes at least, and what follows.
RAIL, BOX, COLUMNS = 26.0, (38.0, 17.0), 54.0
# A value for every place of an index: so many rings behind, each so far away.
STACK, OFF = 2, 3.0
BLANK = Label("", "")
FULL = 520.0  # a column that is wider is drawn without its inner nodes


def unrolled(pictured: Pictured) -> Scene:
    """The figure; of a cell with many nodes without those that one equation reads."""
    whole = _Columns(pictured, pictured.full)
    chosen = (
        _Columns(pictured, pictured.folded)
        if whole.grid.pitch > FULL and pictured.folded.folded
        else whole
    )
    return Scene(
        chosen.columns + chosen.grid.width(is_short=True), chosen.grid.height,
        tuple(chosen.items()),
        pictured.word("unrolled", cell=pictured.cell, tau=pictured.unrolled.tau),
        pictured.lang,
    )  # fmt: skip


@dataclass(frozen=True)
class _Columns:
    """One picture, placed by the layout of the page's."""

    pictured: Pictured
    drawn: Drawn

    @cached_property
    def fitted(self) -> Fitted:
        last = self.drawn.at(self.drawn.tau)
        return fit(self.drawn, {
            arrow.kind: [(label.plain,) for label in self._labels(arrow)]
            for arrow in last
        })  # fmt: skip

    @property
    def grid(self) -> Grid:
        return self.fitted.grid

    @cached_property
    def _boxes(self) -> float:
        """The width of the parameters' boxes: that of the longest name."""
        names = {kind.source for kind, _ in self._parameter_lanes()}
        labels = [symbol(Place("parameter", name)) for name in sorted(names)]
        return max([BOX[0], *(label.width + 6.0 for label in labels)])

    @property
    def _rail(self) -> float:
        """The middle of these boxes."""
        return RAIL + (self._boxes - BOX[0]) / 2

    @property
    def columns(self) -> float:
        """Where what follows the parameters begins."""
        return COLUMNS + self._boxes - BOX[0]

    def _labels(self, arrow: Arrow) -> tuple[Label, Label]:
        """The longest first."""
        symbols = self.pictured.symbol(arrow)
        is_short = self.pictured.labels.lines(arrow)[:-1] != ()
        return (self.pictured.form(arrow) if is_short else symbols), symbols

    def items(self) -> Iterator[Item]:
        """Lines first, nodes over them."""
        yield from self._lanes()
        shown = [(t, x) for t, x in enumerate(self.grid.short, 1) if x is not None]
        for t, x in shown:
            for arrow in self.drawn.at(t):
                yield from self._arrow(arrow, x + self.columns)
        for t, x in shown:
            yield from self._nodes(t, x + self.columns)
        yield from self._parameters()
        yield from self._ends()

    def _lanes(self) -> Iterator[Item]:
        last = (self.grid.short[-1] or 0.0) + self.columns
        for kind, y in self._parameter_lanes():
            tap = self.grid.wire(kind, 1, self.drawn.tau)[0][0]
            start = self._rail if self._is_first(kind) else 4.0
            turn = [] if self._is_first(kind) else [
                (self._rail, self._box(kind.source)), (4.0, self._box(kind.source))
            ]  # fmt: skip
            yield Stroke(
                (*turn, (start, y), (last + tap, y)), FAINT, 1.0, has_head=False
            )
        first, y = self.grid.columns[0] + self.columns, self.grid.total
        yield Stroke(
            ((first, y), (self._total_x() - 20, y)), FAINT, 1.0, has_head=False
        )

    def _parameter_lanes(self) -> list[tuple[Kind, float]]:
        return [(k, y) for k, y in self.grid.lanes.items() if k.lag is None]

    def _is_first(self, kind: Kind) -> bool:
        return self.grid.lanes[kind] == self._box(kind.source)

    def _box(self, name: str) -> float:
        return next(y for k, y in self._parameter_lanes() if k.source == name)

    def _total_x(self) -> float:
        return self.columns + self.grid.width(is_short=True) - 40

    def _arrow(self, arrow: Arrow, x: float) -> Iterator[Item]:
        corners = self.grid.wire(arrow.kind, arrow.t, self.drawn.tau)
        is_cut = arrow.jacobian is None
        yield Stroke(_placed(corners, x), is_dashed=is_cut)
        if is_cut:
            return
        longest, brief = self._labels(arrow)
        last = next(a for a in self.drawn.at(self.drawn.tau) if a.kind == arrow.kind)
        is_brief = self.fitted.texts[arrow.kind] == (self._labels(last)[1].plain,)
        slot = self.grid.slot(arrow.kind)
        yield Word(
            x + slot.x, slot.y, brief if is_brief else longest,
            "end" if slot.anchor == "l" else "start",
        )  # fmt: skip

    def _nodes(self, t: int, x: float) -> Iterator[Item]:
        for kind, names in (("input", self.drawn.inputs), ("node", self.drawn.nodes)):
            for name in names:
                spot = self.grid.spots[name]
                fill = WASH if kind == "input" else "paper"
                indices = self.pictured.indices(name)
                for behind in reversed(range(1, STACK + 1 if indices else 1)):
                    off = behind * OFF
                    yield Ring(x + spot.x + off, spot.y, BLANK, RADIUS, fill)
                label = symbol(Place(kind, with_indices(name, indices), t))
                yield Ring(x + spot.x, spot.y, label, RADIUS, fill)
        yield Word(x, self.grid.height - 6, words(f"t = {t}"), size=WORDS)

    def _parameters(self) -> Iterator[Item]:
        for kind, y in self._parameter_lanes():
            if self._is_first(kind):
                label = symbol(Place("parameter", kind.source))
                yield Box(self._rail, y, label, self._boxes, BOX[1])

    def _ends(self) -> Iterator[Item]:
        """The states before the first step, and the one L."""
        past = {k.source for k in self.drawn.kinds if (k.lag or 0) < 0}
        for name in self.drawn.states:
            if name in self.grid.spots and name in past:
                x, y = self.columns + self.grid.start, self.grid.spots[name].y
                yield Ring(x, y, self._initial(name), RADIUS, WASH)
        total = symbol(Place("total", "L"))
        yield Ring(self._total_x(), self.grid.total, total, 17.0, is_double=True)
        if self.grid.gap is not None:
            x = self.grid.gap + self.columns
            dots = Label("⋯", r"$\cdots$")
            yield Word(x, self.grid.height / 2, dots, size=24.0, colour=SOFT)

    def _initial(self, name: str) -> Label:
        """h^(0); with a delay h^(≤0), every state before the first step."""
        label = symbol(Place("initial", name, 0))
        if self.drawn.start_step(name) == "0":
            return label
        plain = label.plain.replace("⁽⁰⁾", "^(≤0)")
        return Label(plain, label.latex.replace("(0)", r"(\le 0)"))


def _placed(points: tuple[Point, ...], x: float) -> tuple[Point, ...]:
    return tuple((x + px, py) for px, py in points)
