"""Comparisons of values that a formula computes once more.

bᵀh is evaluated here in another order than in the forward pass: where the two sides
were equal there, they may differ by rounding here, and the other way round. A tie but
for rounding is a tie; `settled` takes one side for the larger, as the forward pass may
have done.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from bptt.step.shapes import Array

SLACK = 16 * float(np.finfo(np.float64).eps)
# What the comparisons of one formula say of ties, in turn: 1_{a > b} and 1_{b > a}.
SIDES = ((1.0, 0.0), (0.0, 1.0))
_says: ContextVar[Iterator[float]] = ContextVar("_says")


@contextmanager
def settled(sides: tuple[float, ...]) -> Iterator[None]:
    """Ties are decided so, comparison after comparison, instead of being ties."""
    before = _says.set(itertools.cycle(sides))
    try:
        yield
    finally:
        _says.reset(before)


def exceeds(a: Array, b: Array) -> Array:
    """1 where a > b by more than rounding, else 0."""
    # Not of a and b alone: a sum that cancels has the rounding of its terms, about 1.
    slack = SLACK * (1.0 + np.maximum(np.abs(a), np.abs(b)))
    is_tie = np.abs(a - b) <= slack
    on_ties = next(_says.get(itertools.repeat(0.0)))
    return np.where(is_tie, on_ties, np.asarray(a > b, dtype=float))


def reaches(a: Array, b: Array) -> Array:
    """1 where a >= b, or is less by no more than rounding; else 0."""
    return 1.0 - exceeds(b, a)


COMPARISONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "greater": exceeds,
    "greater_equal": reaches,
}
