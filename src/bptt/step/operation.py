"""What a row of the table of operations holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.step import shapes as s
from bptt.step.graph import Node
from bptt.step.shapes import Array

Gradients = tuple[Node | None, ...]
REAL_LINE = (-4.0, 4.0)
POSITIVE = (0.05, 8.0)
PROBABILITY = (0.02, 0.98)
INDEX = None


@dataclass(frozen=True)
class Activation:
    """What is true of a function that saturates.

    slope: dy/da from y alone; steepest: the largest slope that it has anywhere.
    """

    slope: Callable[[Array], Array]
    steepest: float


@dataclass(frozen=True)
class Op:
    """One operation.

    name: key of `OPS`; arity: number of inputs; shape: shape rule; f: NumPy meaning;
    bprop: backward rule; reads: what the rule reads; latex: template with {0}, {1}, ...
    and {data}; written: how the language spells it ("call", "infix", "" for internal);
    precedence: binding strength in print; domain: per input, where it may be evaluated
    (None: an integer index); kink: distance of real inputs from the nearest kink;
    data: what `f` gets beside its inputs ("", "rank", "dims", "value",
    "place", "axis");
    result: shape given by `data` instead of a rule (for "dims"); activation: the slope
    of one that saturates.
    """

    name: str
    arity: int
    shape: s.ShapeRule
    f: Callable[..., Any]
    bprop: Callable[..., Gradients]
    reads: str
    latex: str
    written: str = "call"
    precedence: int = 100
    domain: tuple[tuple[float, float] | None, ...] = (REAL_LINE,)
    kink: Callable[..., Any] | None = None
    data: str = ""
    activation: Activation | None = None

    @property
    def is_elementwise(self) -> bool:
        """Whether each element of the result depends on the same element alone."""
        return self.shape is s.elementwise


def kink_at_zero(x: Any) -> Any:
    """The distance from 0."""
    return np.abs(x)


def kink_at_whole(x: Any) -> Any:
    """The distance from the nearest whole number."""
    return np.abs(x - np.rint(x))


def kink_of_max(x: Any) -> Any:
    """Half the distance of the two largest: where the largest changes."""
    top = np.sort(x, axis=-1)[..., -2:]
    return np.broadcast_to((top[..., -1:] - top[..., :1]) / 2, x.shape)


def kink_where_equal(x: Any, y: Any) -> Any:
    """The distance of two inputs."""
    return np.abs(x - y)


def identity(x: Any, *_: Any) -> Any:
    """The input as it is."""
    return x
