"""The names of inferred dimensions.

All vectors of one size share one dimension. It is named by a declaration; else after
the vector defined last among them (`n_h` for a and h); else after the input; else after
the first parameter that has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count

from bptt import errors
from bptt.errors import Span
from bptt.step.graph import Graph
from bptt.step.shapes import Dim, DimVar, Shape

Names = dict[DimVar, str | int]


def name_dimensions(
    shapes: Mapping[str, Shape],
    definitions: Sequence[str],
    index: Mapping[str, DimVar],
    inputs: Collection[str],
    known: Names | None = None,
) -> Names:
    """A name, or a fixed size, for every class of equal dimensions."""
    names: Names = dict(known or {})
    for dim in (*(d for shape in shapes.values() for d in shape), *index.values()):
        if isinstance(dim, DimVar) and dim.find().value is not None:
            names[dim.find()] = dim.find().value  # type: ignore[assignment]
    for name in reversed(tuple(definitions)):
        _offer(names, shapes[name][:1] if len(shapes[name]) == 1 else (), name)
    vectors = [name for name in shapes if len(shapes[name]) == 1]
    for name in sorted(vectors, key=lambda name: name not in inputs):
        if name not in definitions and name[0].islower():
            _offer(names, shapes[name], name)
    for name, dim in index.items():
        _offer(names, (dim,), name)
    for name, shape in shapes.items():
        _offer(names, shape, name)
    return names


def _offer(names: Names, shape: Shape, name: str) -> None:
    for position, dim in enumerate(shape):
        if isinstance(dim, DimVar) and dim.find() not in names:
            part = name if position == 0 else f"{name}_columns"
            # n_b is the batch; a vector called b keeps out of its way.
            taken = {"n_b", *names.values()}
            free = (f"{prefix}_{part}" for prefix in _prefixes())
            names[dim.find()] = next(wanted for wanted in free if wanted not in taken)


def _prefixes() -> Iterator[str]:
    yield from ("n", "dim")
    yield from (f"dim_{number}" for number in count(2))


def resolve(shape: Shape, names: Names, unknown: str | None = None) -> Shape:
    """A shape with every unknown replaced by its name."""
    return tuple(_resolve(dim, names, unknown) for dim in shape)


def _resolve(dim: Dim, names: Names, unknown: str | None) -> Dim:
    if not isinstance(dim, DimVar):
        return dim
    if unknown is not None:
        return names.get(dim.find(), unknown)
    return names[dim.find()]


def check_sizes(graph: Graph, written: Mapping[str, Span]) -> Graph:
    """A dimension's name says its size, so nothing else has it; the graph.

    written: where each name of an equation, a parameter or an input stands.
    Raises: ReservedNameError.
    """
    for name in graph.dims():
        if name in written:
            raise errors.ReservedNameError(
                written[name],
                f"{name} is a dimension of the cell, whose size comes with the call, "
                "and cannot name anything else",
                fix=f"leave it out and give its size, `cell.init({name}=5)`; a fixed "
                f"size stands in a declaration, `{name.removeprefix('n_')}: 5`; for "
                "something else, another name",
            )
    return graph
