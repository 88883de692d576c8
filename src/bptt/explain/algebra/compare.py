"""Choices between values that rounding alone may part: a tie but for rounding is a tie.

A formula computes bᵀh once more, in another order than a forward pass: where two such
values were equal there, they may differ here, and the other way round. So whatever
jumps decides here, in the unrolled graph that an explanation is compared with as in
every formula of it: a > b, sign, floor, argmax, where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bptt.step.evaluate import aligned_inputs, evaluate
from bptt.step.graph import Node
from bptt.step.ops import OPS
from bptt.step.shapes import Array, Shape

# Numbers of an instance are about 1, and so are most of the terms of a sum that
# cancels: rounding leaves 1e-16 of them, or 1e-14 where a hundred are summed.
SLACK = 1e-12


def exceeds(a: Array, b: Array) -> Array:
    """1 where a > b by more than rounding, else 0."""
    # Not of a and b alone: a sum that cancels has the rounding of its terms, about 1.
    slack = SLACK * (1.0 + np.maximum(np.abs(a), np.abs(b)))
    is_tie = (np.abs(a - b) <= slack) & np.isfinite(slack)
    return np.where(is_tie, 0.0, np.asarray(a > b, dtype=float))


def reaches(a: Array, b: Array) -> Array:
    """1 where a >= b, or is less by no more than rounding; else 0."""
    return 1.0 - exceeds(b, a)


def _settled(x: Array) -> Array:
    """x, and 0 for what rounding alone parts from it."""
    return np.where(np.abs(x) <= SLACK, 0.0, x)


def _sign(x: Array) -> Array:
    return np.sign(_settled(x))


def _floor(x: Array) -> Array:
    whole = np.rint(x)
    return np.floor(np.where(_settled(x - whole) == 0, whole, x))


def _nearest(x: Array) -> Array:
    half = np.floor(x) + 0.5
    return np.rint(np.where(_settled(x - half) == 0, half, x))


def _first_largest(x: Array) -> Array:
    top = reaches(x, x.max(axis=-1, keepdims=True))
    return np.asarray(top.argmax(axis=-1), dtype=float)


def _where(condition: Array, x: Array, y: Array) -> Array:
    return np.asarray(OPS["where"].f(_settled(condition), x, y))


JUMPS: Mapping[str, Callable[..., Array]] = {
    "greater": exceeds,
    "greater_equal": reaches,
    "sign": _sign,
    "floor": _floor,
    "round": _nearest,
    "argmax": _first_largest,
    "where": _where,
}


def meaning_of(function: str) -> Callable[..., Any]:
    """What an operation of a formula computes of its arguments' values."""
    return JUMPS[function] if function in JUMPS else OPS[function].f


def decide_alike(
    node: Node, arguments: Sequence[Array], numbers: Callable[[Shape], tuple[int, ...]]
) -> Array:
    """`evaluate`, with every jump decided as in a formula: a `reference.Meaning`."""
    if node.op not in JUMPS:
        return evaluate(node, arguments, numbers)
    return np.asarray(JUMPS[node.op](*aligned_inputs(node, arguments)))
