"""The checks of every displayed equality: the tree, and the LaTeX that is emitted.

Each link of a chain is evaluated from its displayed tree on random instances with
distinct sizes, at every step of its bounds and for its free indices, and compared with
the first link. Then its LaTeX is read back by `read_latex` and evaluated again. Numbers
at random points refute a wrong formula; they do not prove an identity.
"""

from __future__ import annotations

import itertools
import math
import operator
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bptt.check.rounding import largest
from bptt.explain import model as m
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr, Nabla, Number, Zeros
from bptt.explain.algebra.point import Point, UnknownSymbolError
from bptt.explain.algebra.shape import FormulaShapeError, shape_of
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.latex_meaning import state_at
from bptt.explain.notation.latex_tokens import LatexReadError
from bptt.explain.notation.read_latex import read
from bptt.explain.verdict import Judged, error_of, verdict
from bptt.step.shapes import Array

FLOOR = 1e-3  # of the instance's largest gradient, as in the ledger
MIN_CHOICES = 3  # of free indices per instance, drawn at random, one of them i = j


@dataclass(frozen=True)
class Verifier:
    """Checks chains at fixed points; to_latex: the printer under test."""

    points: tuple[Point, ...]
    to_latex: Callable[[Expr], str] = to_latex

    def card(self, card: m.Card) -> m.Card:
        """The card with every chain checked, those under "why?" too."""
        return replace(
            card,
            chains=tuple(map(self.chain, card.chains)),
            why=tuple(
                replace(why, chains=tuple(map(self.chain, why.chains)))
                for why in card.why
            ),
        )

    def chain(self, chain: m.Chain) -> m.Chain:
        """The chain with the two checks of every link."""
        places = list(self._places(chain))
        first = chain.links[0].expr
        try:
            reference = [evaluate(first, p, t, ls) for p, t, ls in places]
        except (UnknownSymbolError, FormulaShapeError) as error:
            note = m.Text("check.no-value", {"error": str(error)})
            broken = m.Check(m.FAILED, note=note)
            return replace(chain, links=tuple(
                replace(link, tree=broken, printed=broken) for link in chain.links
            ))  # fmt: skip
        scales = self._scales(places, reference)
        if chain.letters:  # one element may be 0 but for rounding: more have a scale
            more = list(self._places(chain, per_step=MIN_CHOICES))
            wide = self._scales(more, [evaluate(first, *place) for place in more])
            scales = {key: max(scale, wide[key]) for key, scale in scales.items()}
        if isinstance(first, Nabla):
            # A gradient that is 0 but for rounding has no relative error of its own.
            # order-free: an address finds an instance, and orders nothing.
            scales = {id(p): max(scales[id(p)], FLOOR * p.largest_gradient)
                      for p in self.points if id(p) in scales}  # fmt: skip
        if any(_is_zero(link.expr) for link in chain.links):
            # Nothing to be relative to: what should be 0 is measured as it is.
            scales = {key: max(scale, 1.0) for key, scale in scales.items()}
        trees = [lambda expr: _known(reference), *[self._from_tree] * len(chain.links)]
        sides = Sides(first, places, reference, scales)
        links = tuple(
            replace(
                link,
                tree=self._compare(link, sides, tree),
                printed=self._compare(link, sides, self._from_print),
            )
            for link, tree in zip(chain.links, trees, strict=False)
        )
        return replace(chain, links=links)

    def _places(
        self, chain: m.Chain, per_step: int = 1
    ) -> Iterator[tuple[Point, int | None, Any]]:
        """Every point, step and some choices of free indices, so many per step."""
        for number, point in enumerate(self.points):
            steps: list[int | None] = [None]
            if chain.first is not None and chain.last is not None:
                bounds = {"tau": point.tau}
                first, last = chain.first.at(bounds), chain.last.at(bounds)
                steps = list(range(first, last + 1))
            count = max(per_step, math.ceil(MIN_CHOICES / max(len(steps), 1)))
            for t in steps:
                if not chain.letters:
                    yield point, t, {}
                    continue
                rng = random.Random(repr((number, t)))  # noqa: S311  # for every link
                for letters in _choices(
                    chain.letters, point, rng, count, t == steps[0]
                ):
                    yield point, t, letters

    def _scales(self, places: list[Any], reference: list[Array]) -> dict[int, float]:
        """Per instance, the largest value of the chain: what errors are relative to."""
        found: dict[int, float] = {}
        for (point, _, _), value in zip(places, reference, strict=True):
            size = largest(value)
            # order-free: as above
            found[id(point)] = max(size, found.get(id(point), 0.0))
        # What is 0 but for rounding, as 1 - h^2 where h is all but 1, has no relative
        # error of its own either.
        return {key: max(value, FLOOR) for key, value in found.items()}

    def _from_tree(self, expr: Expr) -> Callable[[Point, int | None, Any], Array]:
        for point in self.points[:1]:
            shape_of(expr, point.scope)
        return lambda point, t, letters: evaluate(expr, point, t, letters)

    def _from_print(self, expr: Expr) -> Callable[[Point, int | None, Any], Array]:
        meaning = read(self.to_latex(expr), self.points[0].scope)
        return lambda point, t, letters: meaning(state_at(point, t, letters))

    def _compare(
        self, link: m.Link, sides: Sides,
        make: Callable[[Expr], Callable[[Point, int | None, Any], Array]],
    ) -> m.Check:  # fmt: skip
        if not self.points:
            return m.Check(m.NOT_CHECKED, note=m.Text("check.none"))
        try:
            with np.errstate(all="ignore"):
                meaning = make(link.expr)
                found = [meaning(*place) for place in sides.places]
                return sides.check(link.expr, found, len(self.points))
        except (
            UnknownSymbolError, FormulaShapeError, LatexReadError, KeyError, ValueError,
            IndexError,
        ) as error:  # fmt: skip
            note = m.Text("check.no-value", {"error": str(error)})
            return m.Check(m.FAILED, None, m.TOLERANCE, len(self.points), note)


@dataclass(frozen=True, eq=False)
class Sides:
    """The first side of a chain at every place, and what errors are relative to."""

    first: Expr
    places: list[tuple[Point, int | None, Any]]
    reference: list[Array]
    scales: Mapping[int, float]

    def check(self, expr: Expr, found: list[Array], instances: int) -> m.Check:
        """Another side, an expression and its values, against the first."""
        # order-free: an address finds an instance, and orders nothing.
        sizes = [self.scales[id(point)] for point, _, _ in self.places]
        gaps = _gaps(found, self.reference)
        worst = max(map(operator.truediv, gaps, sizes), default=0.0)
        if worst <= m.TOLERANCE:
            return m.Check(m.PASSED, worst, m.TOLERANCE, instances)
        every = zip(self.places, found, self.reference, sizes, strict=True)
        return verdict(
            # order-free: as above
            Judged(id(place[0]), error_of(value, right, size, place[0], partial(
                self._apart, expr, *place[1:])))
            for place, value, right, size in every
        )  # fmt: skip

    def _apart(self, expr: Expr, t: int | None, letters: Any, point: Point) -> Array:
        left, right = (evaluate(x, point, t, letters) for x in (self.first, expr))
        return np.asarray(right - left)


def _choices(
    letters: Mapping[str, str | int], point: Point, rng: random.Random, count: int,
    is_first: bool,
) -> list[dict[str, int]]:  # fmt: skip
    """Some choices of the free indices, at the first step one with all of them equal.

    Where i = j and where i != j a wrong element form may be wrong alone.
    """
    ranges = [range(point.size(dim)) for dim in letters.values()]
    every = list(itertools.product(*ranges))
    found = every if len(every) <= count else rng.sample(every, count)
    if is_first and all(len(set(choice)) > 1 for choice in found):
        found[0] = rng.choice([choice for choice in every if len(set(choice)) == 1])
    return [dict(zip(letters, choice, strict=True)) for choice in found]


def _known(values: list[Array]) -> Callable[[Point, int | None, Any], Array]:
    """What gives the values of the first side again, in the order of the places."""
    rest = iter(values)
    return lambda point, t, letters: next(rest)


def _is_zero(expr: Expr) -> bool:
    return isinstance(expr, Zeros) or expr == Number(0.0)


def _gaps(found: list[Array], expected: list[Array]) -> list[float]:
    """Each `_gap`, in one operation where all shapes are as they should be."""
    are_alike = all(
        f.shape == x.shape and f.size for f, x in zip(found, expected, strict=True)
    )
    if not found or not are_alike:
        return list(map(_gap, found, expected))
    starts = np.cumsum([0, *(f.size for f in found[:-1])])
    every = np.concatenate([f.ravel() for f in found])
    every = np.abs(every - np.concatenate([x.ravel() for x in expected]))
    gaps = np.maximum.reduceat(every, starts)
    return [float(gap) for gap in np.where(np.isfinite(gaps), gaps, np.inf)]


def _gap(found: Array, expected: Array) -> float:
    """The largest difference; infinite between different shapes or for a NaN.

    A scalar stands for a matrix of that value only where it is 0.
    """
    if found.shape != expected.shape and not (found.size == 1 and not found.any()):
        return float("inf")
    gap = float(np.abs(found - expected).max()) if found.size else 0.0
    return gap if math.isfinite(gap) else float("inf")
