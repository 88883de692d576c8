"""The paths from one parameter to L: a row per path, and how much each brings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bptt.explain.algebra.expr import Nabla, Value
from bptt.explain.figure.pictured import Pictured
from bptt.explain.figure.scene import (
    ACCENT,
    INK,
    WASH,
    WORDS,
    Box,
    Item,
    Label,
    Ring,
    Scene,
    Stroke,
    Word,
    formula,
    symbol,
    words,
)
from bptt.explain.html.picture.drawn import Arrow
from bptt.step.shapes import Array
from bptt.unrolled import Place

ROW, TOP, MARGIN, RADIUS = 50.0, 44.0, 12.0, 18.0
STEP = 92.0  # from one node to the next, at least
BAR = 90.0  # the longest bar
NUMBER = 64.0  # what a number takes before it
ROWS = 12  # paths by themselves; the others are one row


def paths(pictured: Pictured, name: str) -> Scene:
    """The figure of one parameter, inner nodes left out; the heaviest paths first."""
    return _PathRows(pictured, name).scene()


@dataclass(frozen=True)
class _PathRow:
    """Paths through the same places; lag: steps from the first use to the loss."""

    places: tuple[Place, ...]
    lag: int | None
    count: int
    product: Array

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.product))


@dataclass(frozen=True)
class _PathRows:
    pictured: Pictured
    name: str

    @cached_property
    def _arrows(self) -> dict[tuple[Place, Place], Arrow]:
        return {(a.source, a.target): a for a in self.pictured.folded.arrows}

    @cached_property
    def _ways(self) -> list[_PathRow]:
        """The heaviest first; of a group of paths its ends alone are known."""
        away = self.pictured.folded.folded
        unrolled = self.pictured.unrolled
        found: dict[tuple[Any, ...], _PathRow] = {}
        for path in unrolled.paths(unrolled.place(self.name)):
            places = tuple(
                p for p in path.places
                if p.kind != "copy" and not (p.kind == "node" and p.name in away)
            )  # fmt: skip
            key = places, path.lag
            row = found.get(key) or _PathRow(places, path.lag, 0, np.zeros(()))
            found[key] = replace(
                row, count=row.count + path.count, product=row.product + path.product
            )
        return sorted(found.values(), key=lambda row: -row.norm)

    @property
    def _shown(self) -> list[_PathRow]:
        return self._ways if len(self._ways) <= ROWS + 1 else self._ways[:ROWS]

    @cached_property
    def _pitch(self) -> float:
        labels = [
            self._factor(pair, row).width
            for row in self._shown for pair in itertools.pairwise(row.places)
        ]  # fmt: skip
        return max([STEP, *(wide + 2 * RADIUS + 18.0 for wide in labels)])

    @property
    def _end(self) -> float:
        longest = max(len(row.places) for row in self._shown)
        chains = MARGIN + 2 * RADIUS + self._pitch * (longest - 1) + 24.0
        said = words(self.pictured.word("sum", error="1e-16"))
        return max(chains, MARGIN + said.width + 64.0)

    def scene(self) -> Scene:
        """A row per path with its share, and their sum below."""
        shown = self._shown
        top = shown[0].norm or 1.0
        items = list(self._heads())
        for i, row in enumerate(shown):
            y = TOP + ROW * (i + 0.5)
            items += self._chain(row, y)
            items += self._share(row.norm, top, y)
        y = TOP + ROW * len(shown)
        items += self._sum(y, top)
        title = self.pictured.word("paths", cell=self.pictured.cell, name=self.name)
        return Scene(self._end + NUMBER + BAR + MARGIN, y + 2 * ROW, tuple(items),
                     title, self.pictured.lang)  # fmt: skip

    def _heads(self) -> Iterator[Item]:
        start, share = self.pictured.word("path"), self.pictured.word("share")
        yield Word(MARGIN, 24.0, words(start), "start", WORDS, INK)
        yield Word(self._end, 24.0, words(share), "start", WORDS, INK)

    def _chain(self, row: _PathRow, y: float) -> Iterator[Item]:
        way = row.places
        for i, pair in enumerate(itertools.pairwise(way)):
            x = MARGIN + RADIUS + self._pitch * i
            yield Stroke(((x + RADIUS + 1, y), (x + self._pitch - RADIUS - 2, y)))
            yield Word(x + self._pitch / 2, y - 7, self._factor(pair, row))
        if row.count > 1 and way[:2] in self._arrows:  # that differ in inner nodes
            said = words(self.pictured.word("many", count=row.count))
            yield Word(MARGIN + RADIUS + self._pitch / 2, y + 15, said, size=10.0)
        for i, place in enumerate(way):
            x = MARGIN + RADIUS + self._pitch * i
            if place.kind == "parameter":
                yield Box(x, y, symbol(place), 2 * RADIUS, 20.0)
            else:
                is_total = place.kind == "total"
                yield Ring(x, y, symbol(place), RADIUS, is_double=is_total)

    def _factor(self, pair: tuple[Place, ...], row: _PathRow) -> Label:
        arrow = self._arrows.get((pair[0], pair[1]))
        if arrow is not None:
            return self.pictured.symbol(arrow)
        return words(self.pictured.word("group", count=row.count, lag=row.lag))

    def _share(self, norm: float, top: float, y: float) -> Iterator[Item]:
        yield Word(self._end, y + 4, words(f"{norm:.2g}"), "start", colour=INK)
        wide = BAR * norm / top
        if wide >= 0.5:
            x = self._end + NUMBER + wide / 2
            yield Box(x, y, None, wide, 9.0, ACCENT)

    def _sum(self, y: float, top: float) -> Iterator[Item]:
        """The paths left out as one row, and the gradient that all add up to."""
        rest = self._ways[len(self._shown) :]
        if rest:
            total = sum((row.product for row in rest), np.zeros(()))
            count = sum(row.count for row in rest)
            said = self.pictured.word("rest", count=count)
            yield Word(MARGIN, y + 20, words(said), "start")
            yield from self._share(float(np.linalg.norm(total)), top, y + 16)
        y += 20 + (ROW / 2 if rest else 0)
        end = self._end + NUMBER + BAR
        yield Stroke(((MARGIN, y), (end, y)), WASH, has_head=False)
        unrolled = self.pictured.unrolled
        grad = unrolled.grad(unrolled.place(self.name))
        total = sum((row.product for row in self._ways), np.zeros(()))
        error = float(np.linalg.norm(total - grad) / (np.linalg.norm(grad) or 1.0))
        said = self.pictured.word("sum", error=f"{error:.0e}")
        yield Word(MARGIN, y + 22, words(said), "start")
        shown = formula(Nabla(Value(self.name)))
        yield Word(self._end - 12, y + 22, shown, "end", colour=INK)
        norm = words(f"{float(np.linalg.norm(grad)):.2g}")
        yield Word(self._end, y + 22, norm, "start", colour=INK)
