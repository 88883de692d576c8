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
from typing import NamedTuple

import numpy as np

from bptt.explain import model as m
from bptt.explain.algebra.evaluate import Evaluator
from bptt.explain.algebra.expr import Expr, Nabla, Number, Zeros
from bptt.explain.algebra.point import Point, UnknownSymbolError
from bptt.explain.algebra.shape import FormulaShapeError, shape_of
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.latex_meaning import State, state_at
from bptt.explain.notation.latex_tokens import LatexReadError
from bptt.explain.notation.read_latex import read
from bptt.step.shapes import Array

FLOOR = 1e-3  # of the instance's largest gradient, as in the ledger
MIN_CHOICES = 3  # of free indices per instance, drawn at random, one of them i = j


class _Place(NamedTuple):
    """A point, a step and a choice of indices, for the tree and for what is read."""

    point: Point
    tree: Evaluator
    state: State

    @staticmethod
    def at(point: Point, t: int | None, letters: Mapping[str, int]) -> _Place:
        """The place, made once for all links of a chain."""
        tree = Evaluator(point, {} if t is None else {"t": t}, letters)
        return _Place(point, tree, state_at(point, t, letters))


Side = Callable[[_Place], Array]


class _Values:
    """The values of a chain's first side at every place, which others are held to."""

    def __init__(self, arrays: list[Array]) -> None:
        self.arrays = arrays
        self._shapes = [array.shape for array in arrays]
        sizes = [array.size for array in arrays]
        self._is_joined = bool(sizes) and 0 not in sizes
        if self._is_joined:
            self._flat = np.concatenate([array.ravel() for array in arrays])
            self._starts = list(itertools.accumulate(sizes[:-1], initial=0))

    def again(self, _: Expr) -> Side:
        """What gives these values again, in the order of the places."""
        rest = iter(self.arrays)
        return lambda place: next(rest)

    def gaps(self, found: list[Array]) -> list[float]:
        """Each `_gap`, in one operation where all shapes are as they should be."""
        if not self._is_joined or [array.shape for array in found] != self._shapes:
            return list(map(_gap, found, self.arrays))
        every = np.abs(np.concatenate([array.ravel() for array in found]) - self._flat)
        gaps = np.maximum.reduceat(every, self._starts)
        gaps[~np.isfinite(gaps)] = np.inf
        return gaps.tolist()  # type: ignore[no-any-return]


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
            reference = _Values([place.tree(first) for place in places])
        except (UnknownSymbolError, FormulaShapeError) as error:
            note = m.Text("check.no-value", {"error": str(error)})
            broken = m.Check(m.FAILED, note=note)
            return replace(chain, links=tuple(
                replace(link, tree=broken, printed=broken) for link in chain.links
            ))  # fmt: skip
        scales = self._scales(places, reference)
        if chain.letters:  # one element may be 0 but for rounding: more have a scale
            more = list(self._places(chain, per_step=MIN_CHOICES))
            wide = self._scales(more, _Values([p.tree(first) for p in more]))
            scales = {key: max(scale, wide[key]) for key, scale in scales.items()}
        if isinstance(first, Nabla):
            # A gradient that is 0 but for rounding has no relative error of its own.
            # order-free: an address finds an instance, and orders nothing.
            scales = {id(p): max(scales[id(p)], FLOOR * p.largest_gradient)
                      for p in self.points if id(p) in scales}  # fmt: skip
        if any(_is_zero(link.expr) for link in chain.links):
            # Nothing to be relative to: what should be 0 is measured as it is.
            scales = {key: max(scale, 1.0) for key, scale in scales.items()}
        trees = [reference.again, *[self._from_tree] * len(chain.links)]
        links = tuple(
            replace(
                link,
                tree=self._compare(link, places, reference, scales, tree),
                printed=self._compare(
                    link, places, reference, scales, self._from_print
                ),
            )
            for link, tree in zip(chain.links, trees, strict=False)
        )
        return replace(chain, links=links)

    def _places(self, chain: m.Chain, per_step: int = 1) -> Iterator[_Place]:
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
                    yield _Place.at(point, t, {})
                    continue
                rng = random.Random(repr((number, t)))  # noqa: S311  # for every link
                for letters in _choices(
                    chain.letters, point, rng, count, t == steps[0]
                ):
                    yield _Place.at(point, t, letters)

    def _scales(self, places: list[_Place], reference: _Values) -> dict[int, float]:
        """Per instance, the largest value of the chain: what errors are relative to."""
        found: dict[int, float] = {}
        for place, value in zip(places, reference.arrays, strict=True):
            size = float(np.abs(value).max(initial=0.0))
            # order-free: as above
            found[id(place.point)] = max(size, found.get(id(place.point), 0.0))
        # What is 0 but for rounding, as 1 - h^2 where h is all but 1, has no relative
        # error of its own either.
        return {key: max(value, FLOOR) for key, value in found.items()}

    def _from_tree(self, expr: Expr) -> Side:
        for point in self.points[:1]:
            shape_of(expr, point.scope)
        return lambda place: place.tree(expr)

    def _from_print(self, expr: Expr) -> Side:
        meaning = read(self.to_latex(expr), self.points[0].scope)
        return lambda place: meaning(place.state)

    def _compare(
        self, link: m.Link, places: list[_Place], reference: _Values,
        scales: Mapping[int, float], make: Callable[[Expr], Side],
    ) -> m.Check:  # fmt: skip
        try:
            with np.errstate(all="ignore"):
                meaning = make(link.expr)
                gaps = reference.gaps([meaning(place) for place in places])
                # order-free: as above
                sizes = [scales[id(place.point)] for place in places]
                worst = max(map(operator.truediv, gaps, sizes), default=0.0)
        except (
            UnknownSymbolError, FormulaShapeError, LatexReadError, KeyError, ValueError,
            IndexError,
        ) as error:  # fmt: skip
            note = m.Text("check.no-value", {"error": str(error)})
            return m.Check(m.FAILED, None, m.TOLERANCE, len(self.points), note)
        status = m.PASSED if worst <= m.TOLERANCE else m.FAILED
        return m.Check(status, worst, m.TOLERANCE, len(self.points))


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


def _is_zero(expr: Expr) -> bool:
    return isinstance(expr, Zeros) or expr == Number(0.0)


def _gap(found: Array, expected: Array) -> float:
    """The largest difference; infinite between different shapes or for a NaN.

    A scalar stands for a matrix of that value only where it is 0.
    """
    if found.shape != expected.shape and not (found.size == 1 and not found.any()):
        return float("inf")
    gap = float(np.abs(found - expected).max()) if found.size else 0.0
    return gap if math.isfinite(gap) else float("inf")
