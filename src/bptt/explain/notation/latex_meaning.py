"""What the LaTeX that is read back means: functions, products, sums, derivatives.

Written apart from `evaluate`, so that one mistake cannot be in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.explain.algebra.compare import meaning_of
from bptt.explain.algebra.point import Point, UnknownSymbolError
from bptt.step.erf import erf
from bptt.step.shapes import Array


@dataclass(frozen=True)
class State:
    """Where a formula is evaluated: a point, its steps, its letters from 0."""

    point: Point
    steps: Mapping[str, int]
    letters: Mapping[str, int]


Meaning = Callable[[State], Array]


def state_at(point: Point, t: int | None, letters: Mapping[str, int]) -> State:
    """The state of a point at step t."""
    steps = {"tau": point.tau} if t is None else {"tau": point.tau, "t": t}
    return State(point, steps, letters)


# ----- what the functions mean -----


def _softmax(x: Array) -> Array:
    grown = np.exp(x - x.max())
    return np.asarray(grown / grown.sum())


def _layer_norm(x: Array, eps: Array) -> Array:
    centred = x - x.mean()
    return np.asarray(centred / np.sqrt((centred**2).mean() + eps))


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "tanh": np.tanh,
    "sigma": lambda x: 1 / (1 + np.exp(-x)),
    "zeta": lambda x: np.logaddexp(0, x),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "sign": meaning_of("sign"),
    "floor": meaning_of("floor"),
    "round": meaning_of("round"),
    "erf": erf,
    "replaced": lambda v, x: v + 0 * x,
    "largest": lambda x: np.max(x, keepdims=True),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "lower": np.tril,
    "stop": lambda x: x,
    "softmax": _softmax,
    "log softmax": lambda x: np.log(_softmax(x)),
    "LN": _layer_norm,
    "mean": lambda x: np.mean(x, keepdims=True),
    "max": np.maximum,
    "min": np.minimum,
    "where": meaning_of("where"),
    "diag": lambda x: np.diag(x[:, 0]),
}


@dataclass
class Symbol:
    """A symbol with its scripts while it is being read."""

    name: str
    time: Callable[[Mapping[str, int]], int] | None = None
    indices: tuple[Callable[[State], int], ...] = ()
    is_column: bool = False
    is_transposed: bool = False
    power: Meaning | None = None

    def step(self, state: State) -> int | None:
        """The number of its step; None if it has none."""
        return None if self.time is None else self.time(state.steps)

    def key(self, state: State) -> tuple[str, int | None]:
        """Its name and step, as a point knows it."""
        return self.name, self.step(state)

    def chosen(self, state: State) -> tuple[int, ...]:
        """Its element indices."""
        return tuple(index(state) for index in self.indices)


def scalar(value: Any) -> Array:
    """A number as a matrix."""
    return np.array([[float(value)]])


def column(size: int, index: int) -> Array:
    """The unit column of an index."""
    return np.asarray(np.arange(size) == index, float)[:, None]


def times(factors: list[Meaning], state: State) -> Array:
    """The matrix product, in this order; a single number scales."""
    result = factors[0](state)
    for factor in factors[1:]:
        value = factor(state)
        if result.size == 1 or value.size == 1:
            result = result * value
        else:
            result = result.dot(value)
    return result


def picked(
    base: Meaning, indices: tuple[Callable[[State], int], ...], *, is_column: bool
) -> Meaning:
    """One element, or one column."""

    def meaning(state: State) -> Array:
        chosen = tuple(index(state) for index in indices)
        if is_column:
            return base(state)[:, list(chosen)]
        return scalar(base(state)[chosen if len(chosen) > 1 else (*chosen, 0)])

    return meaning


def raised(base: Meaning, power: Meaning) -> Meaning:
    """A power, element by element."""
    return lambda state: base(state) ** power(state)


def add_up(body: Meaning, state: State, index: str, kind: str, values: range) -> Array:
    """Σ: the body for every value of the index."""
    terms = []
    for value in values:
        if kind == "steps":
            steps = {**state.steps, index: value}
            moved = State(state.point, steps, state.letters)
        else:
            letters = {**state.letters, index: value}
            moved = State(state.point, state.steps, letters)
        terms.append(body(moved))
    return np.asarray(np.sum(terms, axis=0)) if terms else scalar(0.0)


def derivative(state: State, target: Symbol, source: Symbol, is_total: bool) -> Array:
    """∂ or d of one symbol by another, as a matrix."""
    ends = target.key(state), source.key(state)
    whole = state.point.jacobian(*ends, total=is_total)
    array = np.asarray(whole[target.chosen(state) + source.chosen(state)])
    if array.ndim == 2:
        return array
    if array.ndim > 2:
        raise UnknownSymbolError("formula.three-indices")
    if array.ndim == 0:
        return scalar(array)
    is_row = target.name == "L" or not state.point.scope.core(target.name)
    return array[None, :] if is_row else array[:, None]
