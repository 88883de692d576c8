"""The gradient of vectors put together, of parts of vectors, and of turned ones.

    a[t] = W @ [h[t-1]; x[t]]     gives h[t-1] the first part:   (W.T @ g)[1, ..., n_h]
    f[t] = a[t, 1, ..., n_h]      gives a[t] its part, 0 else:   [g; fill(0, n_h)]
    r[t] = roll(u[t], 1)          gives u[t]                     roll(g, -1)

Their gradients are put together again as vectors: the language has no word for a place
of such a part.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bptt.explain.indices.places import NEW_INDEX
from bptt.step.graph import Node, constant
from bptt.step.ops import TABLE
from bptt.step.places import UNNAMED, IndexPlace, PlaceTerm
from bptt.step.shapes import Dim

PIECES = "pieces"  # of a line alone: [u; v], its inputs one below the other


def whole_part(node: Node) -> Node:
    """The gradient of a part, as the language writes it; any other node as it is."""
    if node.op != "put":
        return node
    own: IndexPlace = node.data[0]  # type: ignore[index]
    inner = node.inputs[0]
    if own.names == (UNNAMED,) and inner.op != "at":
        return _gathered(node) or node
    if inner.op != "at":
        return node
    place: IndexPlace = inner.data  # type: ignore[assignment]
    if own.names != (NEW_INDEX,) or not (place.part or place.is_wrapped):
        return node
    source = inner.inputs[0]
    vector = _gathered(source)
    if vector is None or place.names != (NEW_INDEX,):
        return node
    if place.part == "slice":
        return _padded(vector, place, node) or node
    unnamed = (PlaceTerm(UNNAMED, own.dim),)
    part = "" if place.is_wrapped else "slice"
    read = replace(place, terms=unnamed, part=part)
    return Node(
        "put", (Node("at", (vector,), vector.shape[1:], read),), node.shape,
        (IndexPlace(own.dim, unnamed), ()),
    )  # fmt: skip


def _gathered(node: Node) -> Node | None:
    """`put(#, u_#)` as the vector u; None where that has no word."""
    place = node.data[0] if node.op == "put" else None  # type: ignore[index]
    if place is None or place.names != (UNNAMED,) or not place.is_plain:
        return node if node.op != "put" else None
    return _at_all_places(node.inputs[0], place.dim)


def _at_all_places(node: Node, dim: Dim) -> Node | None:
    if UNNAMED not in dict(node.indices):
        return node
    if node.op == "index_fill":
        return _at_all_places(node.inputs[0], dim)
    place: IndexPlace | None = node.data if node.op == "at" else None  # type: ignore[assignment]
    if place is not None and place.names == (UNNAMED,) and place.part != "joined":
        if place.is_plain:
            return node.inputs[0]
        own = IndexPlace(dim, (PlaceTerm(UNNAMED, dim),))
        return Node("put", (node,), (dim, *node.shape), (own, ()))
    if node.op not in TABLE or not TABLE[node.op].is_elementwise:
        return None
    parts = [_at_all_places(child, dim) for child in node.inputs]
    found = tuple(part for part in parts if part is not None)
    if len(found) < len(parts):
        return None
    return Node(node.op, found, (dim, *node.shape), node.data)


def _padded(vector: Node, place: IndexPlace, node: Node) -> Node | None:
    """A part among zeros: `place` says how many elements come before it."""
    before = Counter({dim: -count for dim, count in place.dims})
    before[1] = -place.offset
    after = Counter(_parts(node.shape[0]))
    after.subtract(before)
    after.subtract(_parts(vector.shape[0]))
    if min([*before.values(), *after.values()], default=0) < 0:
        return None
    pieces = (*_zeros(before), vector, *_zeros(after))
    return Node(PIECES, pieces, node.shape) if len(pieces) > 1 else vector


def _parts(dim: Dim) -> dict[Dim, int]:
    """`n_h+n_h+2` as how often each size is in it."""
    found: Counter[Dim] = Counter()
    for part in str(dim).split("+"):
        if part.isdigit():
            found[1] += int(part)
        else:
            found[part] += 1
    return found


def _zeros(counts: Counter[Dim]) -> list[Node]:
    """Zeros, as many as a sum of sizes says."""
    named = [dim for dim, n in sorted(counts.items(), key=str) if dim != 1
             for _ in range(n)]  # fmt: skip
    dims: list[Dim] = [*named, *([counts[1]] if counts[1] else [])]
    return [Node("fill", (constant(0.0),), (dim,), (dim,)) for dim in dims]
