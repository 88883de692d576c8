"""One node's value from its inputs' values, in NumPy: alignment, then the meaning.

Arrays are (..., indices, core): time and batch first where a value has them, then an
axis for every index in the order of their names, then what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bptt.step.graph import Node
from bptt.step.ops import TABLE, extra_arguments
from bptt.step.places import align_indices
from bptt.step.shapes import Array, Shape

BY_NAME = ("place", "axis")  # operations that find their axes themselves


def evaluate(
    node: Node, arguments: Sequence[Array], numbers: Callable[[Shape], tuple[int, ...]]
) -> Array:
    """The operation of a node on its inputs' values.

    numbers: the sizes of named dimensions.
    """
    aligned = aligned_inputs(node, arguments)
    op = TABLE[node.op]
    return np.asarray(op.f(*aligned, *extra_arguments(node, numbers)))


def aligned_inputs(node: Node, arguments: Sequence[Any]) -> list[Any]:
    """The inputs with axes of one where they lack an index, or are scalars."""
    op = TABLE[node.op]
    found = list(arguments)
    if node.indices and op.data not in BY_NAME:
        found = [
            _align(value, child, node)
            for value, child in zip(found, node.inputs, strict=True)
        ]
    if op.is_elementwise:
        found = [
            _widen(value, child, node.rank)
            for value, child in zip(found, node.inputs, strict=True)
        ]
    return found


def _align(value: Any, child: Node, node: Node) -> Any:
    if child.indices == node.indices or not (child.indices or child.timed):
        return value
    own = [name for name, _ in child.indices]
    wanted = [name for name, _ in node.indices]
    return value.reshape(align_indices(value.shape, own, wanted, child.rank))


def _widen(value: Any, child: Node, rank: int) -> Any:
    """Give a scalar the trailing axes of the vectors it meets."""
    if (child.timed or child.indices) and child.rank < rank:
        return value.reshape((*value.shape, *(1,) * (rank - child.rank)))
    return value
