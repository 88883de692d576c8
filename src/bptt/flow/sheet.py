"""A graph without time, evaluated at any slots, as often as wanted.

What depends on no free leaf is computed once and kept where that is small enough, else
again for every chunk; a chunk bounds the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bptt.execute.bindings import Bindings
from bptt.step.evaluate import evaluate, static_leaf
from bptt.step.graph import TO_STATIC, TO_TIMED, Node, name_of, shift_of, walk
from bptt.step.shapes import Array

CHUNK = 1 << 22  # elements that a chunk's nodes hold together: 32 MiB
KEPT = 1 << 23  # elements of values that are kept between calls: 64 MiB

Where = slice | Array


@dataclass(frozen=True, eq=False)
class Leaves:
    """Where the leaves of a sheet are found.

    bindings: parameters and sizes; timed: leaf -> (slots, *shape), keyed by `leaf_key`.
    """

    bindings: Bindings
    timed: Mapping[tuple[Any, ...], Array]
    count: int


def leaf_key(node: Node) -> tuple[Any, ...]:
    """The key of a timed leaf: its kind, and its name and lag."""
    if node.op == "shift":
        return ("shift", *shift_of(node))
    return (node.op,) if node.op == "weight" else (node.op, name_of(node))


class Sheet:
    """Some roots of a graph, as functions of its free leaves.

    roots: name -> node; free: names of input leaves that are given with every call.
    """

    def __init__(
        self, roots: Mapping[str, Node], free: Sequence[str], leaves: Leaves
    ) -> None:
        """Compute what is kept."""
        self._roots, self._leaves = dict(roots), leaves
        order = list(walk(roots.values()))
        self._free = set(free)
        varying: set[Node] = set()
        for node in order:
            is_free = node.op == "input" and name_of(node) in self._free
            if is_free or any(child in varying for child in node.inputs):
                varying.add(node)
        summed = _below_totals(order)
        self._static = {
            node: self._constant(node) for node in order if not node.inputs
            and not node.timed
        }  # fmt: skip
        for node in order:
            if node.inputs and not node.timed and node not in summed | varying:
                self._static[node] = self._evaluate(node, self._static, 0)
        inner = [n for n in order if n.inputs and n not in self._static]
        self._varying = [n for n in inner if n in varying or n in summed]
        self._steady = [n for n in inner if n not in varying and n not in summed]
        self._kept = self._keep()

    def __call__(self, where: Where, free: Mapping[str, Array]) -> dict[str, Array]:
        """The roots at some slots; static roots are sums over these slots.

        free: leaf -> (len of where, *shape).
        """
        count = _count(where)
        pieces: dict[str, list[Array]] = {name: [] for name in self._roots}
        for start in range(0, count, self._rows_at_once):
            part = slice(start, min(start + self._rows_at_once, count))
            given = {name: array[part] for name, array in free.items()}
            values = self._chunk(_part(where, part), part.stop - start, given)
            for name, root in self._roots.items():
                self._add(root, pieces[name], values[root])
        return {name: self._join(name, found) for name, found in pieces.items()}

    def _add(self, root: Node, found: list[Array], piece: Array) -> None:
        """One more piece; of a sum the sum so far, for all pieces are large."""
        if root.timed or not found:
            found.append(piece)
        elif root not in self._static:
            found[0] = found[0] + piece

    def _join(self, name: str, found: list[Array]) -> Array:
        if not self._roots[name].timed:
            return np.asarray(found[0] if found else 0)
        return found[0] if len(found) == 1 else np.concatenate(found)

    @cached_property
    def _rows_at_once(self) -> int:
        nodes = [*self._varying, *(() if self._kept is not None else self._steady)]
        width = sum(self._width(n) for n in nodes if n.timed)
        return max(1, CHUNK // max(1, width))

    def _width(self, node: Node) -> int:
        return math.prod(self._leaves.bindings.numbers(node.axes))

    def _keep(self) -> dict[Node, Array] | None:
        """What varying nodes and roots read of the fixed ones, at all slots."""
        fixed = set(self._steady)
        read = {c: None for n in self._varying for c in n.inputs if c in fixed}
        read |= {root: None for root in self._roots.values() if root in fixed}
        count = self._leaves.count
        if count * sum(map(self._width, read)) > KEPT:
            return None
        self._kept = None
        kept: dict[Node, Array] = {}
        width = max(1, sum(self._width(n) for n in self._steady))
        rows = max(1, CHUNK // width)
        for start in range(0, count, rows):
            part = slice(start, min(start + rows, count))
            values = self._steady_values(part, part.stop - start)
            for node in read:
                if node not in kept:
                    shape = (count, *values[node].shape[1:])
                    kept[node] = np.empty(shape, values[node].dtype)
                kept[node][part] = values[node]
        return kept

    def _steady_values(self, where: Where, count: int) -> dict[Node, Array]:
        values: dict[Node, Array] = {}
        for node in self._steady:
            self._put(values, node, where, count, {})
        return values

    def _chunk(
        self, where: Where, count: int, free: Mapping[str, Array]
    ) -> dict[Node, Array]:
        if self._kept is None:
            values = self._steady_values(where, count)
        else:
            values = {node: array[where] for node, array in self._kept.items()}
        for node in self._varying:
            self._put(values, node, where, count, free)
        for root in self._roots.values():
            if root not in values:
                values[root] = self._leaf(root, where, free)
        return values

    def _put(
        self, values: dict[Node, Array], node: Node, where: Where, count: int,
        free: Mapping[str, Array],
    ) -> None:  # fmt: skip
        for child in node.inputs:
            if child not in values:
                values[child] = self._leaf(child, where, free)
        values[node] = self._evaluate(node, values, count)

    def _leaf(self, node: Node, where: Where, free: Mapping[str, Array]) -> Array:
        if node in self._static:
            return self._static[node]
        if node.op == "input" and name_of(node) in self._free:
            return free[name_of(node)]
        return self._leaves.timed[leaf_key(node)][where]

    def _evaluate(self, node: Node, values: Mapping[Node, Array], count: int) -> Array:
        numbers = self._leaves.bindings.numbers
        value = evaluate(node, [values[child] for child in node.inputs], numbers)
        if node.op in TO_TIMED and not node.inputs[0].timed:
            value = np.broadcast_to(value, (count, *numbers(node.axes)))
        return value

    def _constant(self, node: Node) -> Array:
        b = self._leaves.bindings
        if node.op == "constant":
            return np.asarray(b.real_dtype.type(node.data))
        if node.op == "size":
            return np.asarray(b.real_dtype.type(b.numbers((node.data,))[0]))
        if node.op == "parameter":
            return b.parameters[name_of(node)]
        return np.asarray(static_leaf(node, b.numbers, b.real_dtype))


def _below_totals(order: Sequence[Node]) -> set[Node]:
    """Static nodes that are sums over slots, and what is made of them."""
    found: set[Node] = set()
    for node in order:
        is_sum = node.op in TO_STATIC or any(child in found for child in node.inputs)
        if is_sum and not node.timed:
            found.add(node)
    return found


def _count(where: Where) -> int:
    if isinstance(where, slice):
        return int(where.stop - where.start)
    return len(where)


def _part(where: Where, part: slice) -> Where:
    if isinstance(where, slice):
        return slice(where.start + part.start, where.start + part.stop)
    chosen = where[part]
    # A run of slots without a gap is read where it lies.
    if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1 and _rises(chosen):
        return slice(int(chosen[0]), int(chosen[-1]) + 1)
    return np.asarray(chosen)


def _rises(chosen: Array) -> bool:
    return bool((np.diff(chosen) == 1).all())
