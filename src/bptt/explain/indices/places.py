"""One element of what has places, so that a gradient reads as it is written by hand.

softmax(put(j, e[t, j]))[j]         softmax(j, e[t, j])
dot(put(j, u[j]), v)                sum(j, u[j] * v[j])
"""

from __future__ import annotations

import re
from itertools import count
from typing import Any

from bptt.language.indexed import KEEPING
from bptt.language.print_indices import label_of
from bptt.step import ops
from bptt.step.graph import Graph, Node, constant, rewrite, walk
from bptt.step.ops import TABLE
from bptt.step.places import UNNAMED, IndexPlace, PlaceTerm, map_data
from bptt.step.shapes import Dim

UNSAFE = frozenset({"div", "log", "sqrt"})  # 0 / 0 where nothing is read
NEW_INDEX = "'"  # how the name of a place begins that a cell has no letter for
LETTERS = "pqrsuvwabcdefghklmnoxyz"


def free_letters(graph: Graph) -> list[str]:
    """Letters that nothing of a cell is called."""
    taken = {*graph.names(), "t"}
    return [letter for letter in LETTERS if letter not in taken]


def spread(node: Node) -> tuple[tuple[str, ...], Node]:
    """The indices of an equation's left side, and one element of its right side."""
    names: list[str] = []
    while (place := _first_place(node)) is not None:
        if place.names == (NEW_INDEX,):
            place = new_place(place.dim, node)
        node = element(node, place)
        names.append(place.terms[0].name)
    return tuple(names), node


def new_place(dim: Dim, node: Node, besides: tuple[str, ...] = ()) -> IndexPlace:
    """An index that a value does not have; it gets a letter when it is written."""
    taken = {*_names_in(node), *besides}
    word = re.sub(r"\W", "_", str(dim))
    names = (f"{NEW_INDEX}{n}_{word}" for n in count(1))
    name = next(name for name in names if name not in taken)
    return IndexPlace(dim, (PlaceTerm(name, dim),))


def solved(node: Node) -> tuple[IndexPlace, Node] | None:
    """The one place where a value is not 0, and the value there."""
    data: Any = node.data
    if node.op != "put" or data[0].terms or data[0].dims:
        return None
    return data[0], node.inputs[0]


def _first_place(node: Node) -> IndexPlace | None:
    """An index that a value has at every place."""
    if node.op == "put":
        return _whole_place(node)
    if node.op in ("outer", "scatter", "index_sum"):
        return _first_place(node.inputs[0])
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
        inside = _with_name(node.inputs[0], own, place.names[0])
        if inside is not None:
            return inside
    if _is_elementwise(node):
        parts = tuple(element(c, place) if c.rank else c for c in node.inputs)
        return Node(node.op, parts, node.shape[1:], node.data)
    if node.op in KEEPING and place.is_plain:
        return _along(node, place)
    if node.op == "index_sum" and data[0] not in place.names:
        return ops.sum_index(element(node.inputs[0], place), data[0])
    if node.op in ("outer", "scatter") and _first_place(node.inputs[0]) is not None:
        return element(node.inputs[0], place) * _row(node)
    if node.op == "matvec" and UNNAMED not in place.names:
        return _element_of_product(node, place)
    if node.op == "put" and not data[1] and not label_of(node) and not data[0].dims:
        return _written_to(node, place)
    return ops.at(node, place)


def _with_name(inside: Node, own: IndexPlace, new: str) -> Node | None:
    """What stands at every place of an index, with another name for this index.

    None where the other name is one of a value inside, and no index of a sum there.
    """
    old = own.names[0]
    if new == old or new not in _names_in(inside):
        return _renamed(inside, old, new)
    if new in dict(inside.indices):
        return None
    # Both have one dimension: what is called `new` inside can be called `old`.
    between = new_place(own.dim, inside).names[0]
    inside = _renamed(_everywhere(inside, new, between), old, new)
    return inside if old in _names_in(inside) else _everywhere(inside, between, old)


def _along(node: Node, place: IndexPlace) -> Node:
    """softmax(i, u_i) at another index: softmax(j, u_j)."""
    (whole,) = node.inputs
    own = _whole_place(whole)
    if own is not None and own.dim == place.dim:
        inside = _with_name(whole.inputs[0], own, place.names[0])
        if inside is not None:
            whole = ops.put(inside, place)
    return ops.at(Node(node.op, (whole,), node.shape, node.data), place)


def _element_of_product(node: Node, place: IndexPlace) -> Node:
    """(A u)_i: row i of A times u; of B^T u the sum over k of B_ki u_k."""
    matrix, vector = node.inputs
    if matrix.op != "transpose":
        return ops.dot(element(matrix, place), vector)
    along = new_place(vector.shape[0], node, place.names)
    part = element(ops.at(matrix.inputs[0], along), place)
    return ops.sum_index(part * element(vector, along), along.names[0])


def _row(node: Node) -> Node:
    """v of u v^T, or e_y."""
    right = node.inputs[1]
    if node.op == "outer":
        return right
    shape = node.shape[1:]
    return Node("one_hot", (right,), shape, shape)


def _written_to(node: Node, place: IndexPlace) -> Node:
    """What `put` wrote to a place: its value where the two places are one, else 0."""
    data: Any = node.data
    written: IndexPlace = data[0]
    moved = _moved(node.inputs[0], written, place) if written.is_plain else None
    if moved is not None:
        return moved
    if written.is_wrapped or place.is_wrapped or place.dims:
        return ops.at(node, place)
    same = _number(written), _number(place)
    equal = ops.apply("greater_equal", *same) * ops.apply("greater_equal", *same[::-1])
    value = ops.where(equal, node.inputs[0], 0.0)
    for name in written.names:
        value = ops.sum_index(value, name)
    return value


def _number(place: IndexPlace) -> Node:
    """A place as a number, counted from 1."""
    start = 1 - place.terms[0].first if place.is_plain else 0
    found: Node | None = None
    for term in place.terms:
        index = Node("index", (), (), (term.name, term.dim, term.first))
        if found is None:
            found = index if term.sign > 0 else -index
        else:
            found = found + index if term.sign > 0 else found - index
    number = constant(float(place.offset + start))
    if found is None:
        return number
    return found + number if place.offset + start else found


def _moved(root: Node, old: IndexPlace, new: IndexPlace) -> Node | None:
    """The value with place `new` for the index `old`; None where that cannot be.

    Beyond the ends a gradient is 0, and with it what is a multiple of it.
    """
    (term,) = old.terms
    inner = {name for node in walk([root]) for name in _bound(node)}
    if inner & {*new.names, *old.names} or new.dim != old.dim:
        return None
    reads = [node for node in walk([root]) if _counts(node, term.name)]
    plain = [node for node in reads if _is_plain_read(node)]
    if len(plain) < len(reads) or not _reads_gradient(plain):
        return None
    if not new.is_wrapped and any(node.op in UNSAFE for node in walk([root])):
        return None

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        """A read of the index gets its new place; everything else is made again."""
        if node in plain:
            return ops.at(inputs[0], new)
        return Node(node.op, inputs, node.shape, node.data)

    return rewrite([root], step)[root]


def _bound(node: Node) -> tuple[str, ...]:
    """The indices that are summed over, or put together, by a node itself."""
    data: Any = node.data
    if node.op == "index_sum":
        return (data[0],)
    return tuple(data[0].names) if node.op == "put" else ()


def _is_plain_read(node: Node) -> bool:
    data: Any = node.data
    return node.op == "at" and data.is_plain


def _counts(node: Node, name: str) -> bool:
    """Whether a node itself reads an index."""
    data: Any = node.data
    if node.op == "at":
        return name in data.names
    if node.op == "put":
        return name in data[0].names
    return node.op in ("index", "index_fill", "index_sum") and data[0] == name


def _reads_gradient(reads: list[Node]) -> bool:
    leaves = [node.inputs[0] for node in reads]
    return any(str(n.data).startswith(("grad_", "('grad_")) for n in leaves)


def _names_in(root: Node) -> set[str]:
    """Every index in an expression, free or summed over."""
    return {name for node in walk([root]) for name, _ in node.indices}


def tidy(root: Node, graph: Graph) -> Node:
    """The same value with elements and sums in the place of whole vectors."""
    new_index = _Renaming(root, graph)

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        """A sum over a vector, or a product, becomes one of its elements by place."""
        data: Any = node.data
        if node.op == "at" and not data.part and UNNAMED not in data.names:
            return element(inputs[0], data)
        if node.op in ("dot", "sum") and inputs[0].rank == 1:
            found = (_first_place(child) for child in inputs)
            place = next((place for place in found if place is not None), None)
            if place is not None:
                return new_index.sum(inputs, place)
        if node.op == "where" and inputs[0].op == "div":
            numbers = [n.data for n in inputs[0].inputs if n.op == "constant"]
            if len(numbers) == 2 and inputs[1].shape == node.shape:  # of x ** (1 / 16)
                return inputs[1] if numbers[0] else inputs[2]
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
    """The value with another name for one of its indices; those of sums inside stay."""
    done: dict[Node, Node] = {}

    def go(node: Node) -> Node:
        if old not in dict(node.indices):
            return node
        if node not in done:
            data = map_data(node.op, node.data, lambda dim: dim,
                            lambda n: new if n == old else n)  # fmt: skip
            done[node] = Node(node.op, tuple(map(go, node.inputs)), node.shape, data)
        return done[node]

    return go(root)


def _everywhere(root: Node, old: str, new: str) -> Node:
    """The value with another name for an index, of sums inside, too."""

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        """One node under the index's other name."""
        data = map_data(
            node.op, node.data, lambda dim: dim, lambda n: new if n == old else n
        )
        return Node(node.op, inputs, node.shape, data)

    return rewrite([root], step)[root]
