"""One node's value from its inputs' values, in NumPy: alignment, then the meaning.

Arrays are (..., indices, core): time and batch first where a value has them, then an
axis for every index in the order of their names, then what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from bptt.step import shapes as s
from bptt.step.graph import LEAVES, Node, walk
from bptt.step.ops import TABLE, infer
from bptt.step.places import IndexPlace, PlaceReading, align_indices
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


# ----- a finished graph -----


def verify(roots: Iterable[Node]) -> None:
    """Check a finished graph: known operations, arity, and every shape by its rule.

    Raises: ValueError naming the first node that is wrong (a bug of a pass, not of the
    user).
    """
    for node in walk(roots):
        if node.op in LEAVES:
            continue
        if node.op not in TABLE:
            raise ValueError(f"{node!r} is not in the table of operations")
        if len(node.inputs) != TABLE[node.op].arity:
            raise ValueError(f"{node!r} has {len(node.inputs)} inputs")
        try:
            shape = infer(node.op, node.inputs, node.data, s.unify_strict)
        except s.ShapeRuleError as error:
            raise ValueError(f"{node!r} of {node.inputs!r}: {error}") from error
        if shape != node.shape:
            raise ValueError(f"{node!r} should have shape {shape}")


# ----- what an operation gets beside its inputs -----


def _names(node: Node) -> tuple[str, ...]:
    return tuple(name for name, _ in node.indices)


def _reading(node: Node, numbers: Callable[[Shape], tuple[int, ...]]) -> PlaceReading:
    data: Any = node.data
    place: IndexPlace = data if node.op == "at" else data[0]
    whole, part = (node.inputs[0], node) if node.op == "at" else (node, node.inputs[0])
    sized = place.resolve(lambda dim: numbers((dim,))[0])
    if sized.dims:
        sized = sized.with_numbers(int)  # type: ignore[arg-type]
    return PlaceReading(sized, _names(whole), _names(part), part.rank)


def _axis(node: Node, numbers: Callable[[Shape], tuple[int, ...]]) -> tuple[int, int]:
    """Where the axis of an index stands, from the end, and its size."""
    data: Any = node.data
    full = node if node.op == "index_fill" else node.inputs[0]
    after = len(full.indices) - _names(full).index(data[0])
    return -(after + full.rank), numbers((data[1],))[0]


def extra_arguments(
    node: Node, numbers: Callable[[Shape], tuple[int, ...]]
) -> tuple[Any, ...]:
    """What `f` of a node's operation gets beside its inputs.

    numbers: the sizes of named dimensions.
    """
    kind = TABLE[node.op].data
    if kind == "place":
        return (_reading(node, numbers),)
    if kind == "axis":
        return _axis(node, numbers)
    if kind == "dims":
        data: Any = node.data
        return (numbers(tuple(data)),)
    return (node.data,) if kind else ()


def static_leaf(
    node: Node, numbers: Callable[[Shape], tuple[int, ...]], dtype: Any
) -> Array:
    """The numbers of an index, or the unit matrix."""
    data: Any = node.data
    if node.op == "eye":
        return np.eye(numbers((data,))[0], dtype=dtype)
    _, dim, first = data
    return np.arange(first, first + numbers((dim,))[0]).astype(dtype)
