"""One element of what has places, so that a gradient reads as it is written by hand.

softmax(put(j, e[t, j]))[j]         softmax(j, e[t, j])
dot(put(j, u[j]), v)                sum(j, u[j] * v[j])
"""

from __future__ import annotations

from typing import Any

from bptt.language.print_indices import label_of
from bptt.step import ops
from bptt.step.graph import Graph, Node, rewrite, walk
from bptt.step.ops import TABLE
from bptt.step.places import UNNAMED, IndexPlace, map_data

LETTERS = "pqrsuvwabcdefghklmnoxyz"


def free_letters(graph: Graph) -> list[str]:
    """Letters that nothing of a cell is called."""
    taken = {*graph.names(), "t"}
    return [letter for letter in LETTERS if letter not in taken]


def spread(node: Node) -> tuple[tuple[str, ...], Node]:
    """The indices of an equation's left side, and one element of its right side."""
    names: list[str] = []
    while (place := _first_place(node)) is not None:
        node = element(node, place)
        names.append(place.terms[0].name)
    return tuple(names), node


def _first_place(node: Node) -> IndexPlace | None:
    """An index that a value has at every place."""
    if node.op == "put":
        return _whole_place(node)
    if not _is_elementwise(node):
        return None
    found = (_first_place(child) for child in node.inputs if child.rank == node.rank)
    return next((place for place in found if place is not None), None)


def _whole_place(node: Node) -> IndexPlace | None:
    data: Any = node.data
    if node.op != "put" or data[1] or not data[0].is_plain or label_of(node):
        return None
    place: IndexPlace = data[0]
    return None if place.names == (UNNAMED,) else place


def _is_elementwise(node: Node) -> bool:
    return node.op in TABLE and TABLE[node.op].is_elementwise and node.rank > 0


def element(node: Node, place: IndexPlace) -> Node:
    """The elements at a place, without putting together what is then taken apart."""
    data: Any = node.data
    if node.op == "put" and data[0] == place and not data[1]:
        return node.inputs[0]
    own = _whole_place(node)
    if own is not None and place.is_plain and place.dim == own.dim:
        old, new = own.names[0], place.names[0]
        if new not in _names_in(node.inputs[0]):
            return _renamed(node.inputs[0], old, new)
    if _is_elementwise(node):
        parts = tuple(element(c, place) if c.rank else c for c in node.inputs)
        return Node(node.op, parts, node.shape[1:], node.data)
    return ops.at(node, place)


def _names_in(root: Node) -> set[str]:
    """Every index in an expression, free or summed over."""
    return {name for node in walk([root]) for name, _ in node.indices}


def tidy(root: Node, graph: Graph) -> Node:
    """The same value with elements and sums in the place of whole vectors."""
    new_index = _Renaming(root, graph)

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        data: Any = node.data
        if node.op == "at" and data.is_plain:
            return element(inputs[0], data)
        if node.op in ("dot", "sum") and inputs[0].rank == 1:
            found = (_whole_place(child) for child in inputs)
            place = next((place for place in found if place is not None), None)
            if place is not None:
                return new_index.sum(inputs, place)
        return Node(node.op, inputs, node.shape, node.data)

    return rewrite([root], step)[root]


class _Renaming:
    """Sums along an index of a line that may have this index already."""

    def __init__(self, root: Node, graph: Graph) -> None:
        self._taken = dict(root.indices)
        self._graph = graph

    def sum(self, vectors: tuple[Node, ...], place: IndexPlace) -> Node:
        parts = [element(vector, place) for vector in vectors]
        product = parts[0] if len(parts) == 1 else parts[0] * parts[1]
        old = place.terms[0].name
        new = self._name(old, place, product)
        if new != old:
            product = _renamed(product, old, new)
        return ops.sum_index(product, new)

    def _name(self, old: str, place: IndexPlace, product: Node) -> str:
        if old not in self._taken:
            return old
        same = [n for n, (_, dim) in self._graph.indices.items() if dim == place.dim]
        inside = {*self._taken, *dict(product.indices)}
        return next((n for n in same if n not in inside), old)


def _renamed(root: Node, old: str, new: str) -> Node:
    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        data = map_data(
            node.op, node.data, lambda dim: dim, lambda n: new if n == old else n
        )
        return Node(node.op, inputs, node.shape, data)

    return rewrite([root], step)[root]
