"""Two sides of an equation, compared at every step and for every free index."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from bptt.check.rounding import Error, largest
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import Evaluator
from bptt.explain.algebra.expr import Expr, Nabla, Value
from bptt.explain.algebra.point import (
    Dim,
    Point,
    Scope,
    UnknownSymbolError,
)
from bptt.explain.formula.steps import Compared, choices, free_steps
from bptt.explain.sentences import Text, say
from bptt.explain.verdict import NOTES, error_of
from bptt.step.shapes import Array

# The reader's own order of operations may round differently from ours.
TOLERANCE = 1e-10
SMALL = 1e-6  # of the largest gradient, or of 1: what rounding may be all of


def largest_error(left: Expr, right: Expr, points: Sequence[Point]) -> float:
    """The largest relative difference of two sides.

    Raises: UnknownSymbolError if they are defined together at no step.
    """
    return max(error for _, _, error in _differences(left, right, points))


def compared(
    left: Expr, right: Expr, points: Sequence[Point]
) -> tuple[float, Compared]:
    """The largest relative difference, and where the sides were compared and differ.

    Raises: UnknownSymbolError if they are defined together at no step.
    """
    steps = free_steps((left, right))
    first, second = (*steps, "", "")[:2]
    noted = Compared(first, second, tuple(points))
    worst = 0.0
    for number, at, error in _differences(left, right, points):
        worst = max(worst, error)
        noted.add(number, at, is_wrong=error > TOLERANCE)
    return worst, noted


def _differences(
    left: Expr, right: Expr, points: Sequence[Point]
) -> Iterator[tuple[int, dict[str, int], float]]:
    """The relative error of every comparison: instance, steps, error."""
    letters = free_letters(left, points[0].scope)
    if any(isinstance(part, e.Delta) for part in e.walk(left)):  # names no dimension
        letters |= free_letters(right, points[0].scope)
    steps, reason, count = free_steps((left, right)), "", 0
    products = _free_products((left, right), steps)
    for number, point in enumerate(points):
        for at in choices(steps, point):
            if any(_runs_back(part, {"tau": point.tau, **at}) for part in products):
                continue  # Π from h^(t) back to h^(s) says nothing where t < s
            for chosen in _choices(letters, point):
                try:
                    with np.errstate(all="ignore"):
                        error = _error((left, right), point, at, chosen)
                except UnknownSymbolError as found:
                    reason = str(found)
                    continue
                if isinstance(error, str):
                    reason = say(Text(NOTES[error]))
                    continue
                count += 1
                yield number, at, error
    if not count:
        raise UnknownSymbolError("formula.nowhere", reason=reason)


def _free_products(sides: Iterable[Expr], steps: Sequence[str]) -> list[e.StepProduct]:
    """The products over steps whose bounds no sum binds."""
    known = ("", "tau", *steps)
    return [
        part for side in sides for part in e.walk(side)
        if isinstance(part, e.StepProduct)
        and part.lower.base in known and part.upper.base in known
    ]  # fmt: skip


def _runs_back(part: e.StepProduct, at: Mapping[str, int]) -> bool:
    """Whether a product has less than no factor: its bounds are the wrong way round."""
    first, last = part.lower.at(at), part.upper.at(at)
    return first + 1 < last if part.is_descending else last + 1 < first


def _error(
    sides: tuple[Expr, Expr], point: Point, at: Mapping[str, int],
    letters: Mapping[str, int],
) -> Error:  # fmt: skip
    """How far apart two sides are; of a small gap, more than what rounding leaves."""

    def both(point: Point) -> tuple[Array, Array]:
        evaluator = Evaluator(point, at, letters)
        expected, found = map(evaluator, sides)
        is_one = found.size == 1
        return np.broadcast_to(found, expected.shape) if is_one else found, expected

    def difference(point: Point) -> Array:
        found, expected = both(point)
        return np.asarray(found - expected)

    found, expected = both(point)
    error = _relative(found, expected)
    size = largest(expected) or 1.0
    is_small = error * size <= SMALL * max(1.0, point.largest_gradient)
    if error <= TOLERANCE or not is_small:
        return error
    return error_of(found, expected, size, point, difference, TOLERANCE)


def _relative(found: Array, expected: Array) -> float:
    if found.shape != expected.shape and found.size != 1:
        return float("inf")
    size = float(np.max(np.abs(expected), initial=0.0)) or 1.0
    gap = float(np.max(np.abs(found - expected), initial=0.0)) / size
    return gap if np.isfinite(gap) else float("inf")


def free_letters(left: Expr, scope: Scope) -> dict[str, Dim]:
    """The free indices of the left side, with the dimension each runs over."""
    found: dict[str, Dim] = {}
    for part in e.walk(left):
        if isinstance(part, e.Element):
            inner = part.of.of if isinstance(part.of, Nabla) else part.of
            dims = scope.core(inner.name) if isinstance(inner, Value) else ()
            found |= {
                letter: dim
                for letter, dim in zip(part.indices, dims, strict=False)
                if isinstance(letter, str)
            }
    return found


def _choices(letters: dict[str, Dim], point: Point) -> Iterable[dict[str, int]]:
    sizes = [range(point.size(dim)) for dim in letters.values()]
    return (dict(zip(letters, c, strict=True)) for c in itertools.product(*sizes))
