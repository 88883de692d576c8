"""What one element of a node is made of: which elements of which nodes.

    (u v^T)[i, j]  =  u[i] * v[j]              (A x)[i]  =  sum over r of A[i, r] * x[r]

Everything that kernels do with matrices and indices follows from this one table: an
element is asked for at coordinates, and asks for elements of its inputs at coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bptt.execute.codegen.elements import Coord, PlaceCoord
from bptt.execute.compile.expand import SUMS, NotCompilableError
from bptt.execute.compile.lowerings import LOWERINGS
from bptt.execute.compile.stages import ALIASES
from bptt.step.graph import Node
from bptt.step.places import IndexPlace
from bptt.step.shapes import Dim

__all__ = ["At", "Part", "element_parts", "is_reduction", "reduced", "terms"]


AnyCoord = Coord | PlaceCoord
Core = tuple[AnyCoord, ...]


@dataclass(frozen=True)
class At:
    """Where an element is: a coordinate for every index, then for what is left."""

    indices: tuple[tuple[str, AnyCoord], ...] = ()
    core: tuple[AnyCoord, ...] = ()

    def of(self, node: Node) -> At:
        """The same without the indices that a node does not have."""
        names = {name for name, _ in node.indices}
        kept = tuple(pair for pair in self.indices if pair[0] in names)
        return self if kept == self.indices else At(kept, self.core)

    def having(self, name: str, coord: AnyCoord, core: Core) -> At:
        """With one index more, or another coordinate for it."""
        pairs = sorted({**dict(self.indices), name: coord}.items(), key=lambda p: p[0])
        return At(tuple(pairs), core)

    @property
    def coords(self) -> Core:
        """In the order in which a value with indices lies in memory."""
        return (*(coord for _, coord in self.indices), *self.core)


Part = tuple[Node, At]


def element_parts(node: Node, at: At) -> tuple[Part, ...]:
    """The elements that one element of an operation without a sum is made of.

    Raises: NotCompilableError for an operation that has no kernel form.
    """
    if node.op in ("at", "put"):
        return (_at_place(node, at),)
    core = _CORES.get(node.op)
    if core is not None:
        return tuple(
            (child, At(at.indices, part).of(child))
            for child, part in zip(node.inputs, core(at.core), strict=False)
        )
    if node.op not in LOWERINGS and node.op not in ALIASES:
        raise NotCompilableError(f"the operation {node.op} inside a time step")
    return tuple(
        (child, At(at.indices, at.core if child.rank else ()).of(child))
        for child in node.inputs
    )


# Per operation, the coordinates of its inputs' elements, given its own.
_CORES: dict[str, Callable[[Core], tuple[Core, ...]]] = {
    "fill": lambda c: ((),),
    "index_fill": lambda c: (c,),
    "diag": lambda c: (c[:1],),
    "diagonal": lambda c: ((c[0], c[0]),),
    "outer": lambda c: (c[:1], c[1:]),
    "transpose": lambda c: ((c[1], c[0]),),
    # An integer of the row is no element; where it is a coordinate, any stands for it.
    "scatter": lambda c: (c[:1],),
    "one_hot": lambda c: (),
    "pick": lambda c: ((Coord(),),),
    "lookup": lambda c: ((*c, Coord()),),
}


def is_reduction(node: Node) -> bool:
    """Whether an element is a sum, or a maximum, over elements."""
    return node.timed and node.op in SUMS


def reduced(node: Node) -> tuple[Dim, ...]:
    """The dimensions that a reduction runs over."""
    x = node.inputs[0]
    data: Any = node.data
    if node.op == "index_sum":
        return (data[1],)
    return x.shape if node.op in ("row_sum", "row_max") else x.shape[1:]


def terms(node: Node, at: At, over: tuple[Coord, ...]) -> tuple[Part, ...]:
    """The elements whose product is summed, at one place of what is summed over."""
    if node.op == "index_sum":
        data: Any = node.data
        return ((node.inputs[0], at.having(data[0], over[0], at.core)),)
    if node.op in ("row_sum", "row_max"):
        cores: tuple[Core, ...] = (over,)
    else:
        cores = ((*at.core[:1], *over), (*over, *at.core[1:]))
    return tuple(
        (child, At(at.indices, core).of(child))
        for child, core in zip(node.inputs, cores, strict=True)
    )


def _at_place(node: Node, at: At) -> Part:
    """A place read, or written: its indices and the dimension change places."""
    (x,) = node.inputs
    data: Any = node.data
    coords = dict(at.indices)
    if node.op == "put":
        place, _ = data
        if not place.terms:
            return x, At(at.indices, at.core[1:]).of(x)
        return x, at.having(place.terms[0].name, at.core[0], at.core[1:]).of(x)
    is_plain, name = data.is_plain, data.names[:1]
    coord = coords[name[0]] if is_plain else place_coord(data, coords)
    return x, At(at.indices, (coord, *at.core)).of(x)


def place_coord(place: IndexPlace, coords: Mapping[str, AnyCoord]) -> PlaceCoord:
    """A place that is more than an index, as a coordinate."""
    terms = tuple((coords[t.name], t.sign) for t in place.terms)
    start = place.offset - 1 + sum(t.sign * t.first for t in place.terms)
    around = place.dim if place.is_wrapped else 0
    assert isinstance(around, int)  # `expand` has put a number there
    return PlaceCoord(terms, start, around)
