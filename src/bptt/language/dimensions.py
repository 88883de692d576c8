"""The names of inferred dimensions.

All vectors of one size share one dimension. It is named by a declaration; else after
the vector defined last among them (`n_h` for a and h); else after the input; else after
the first parameter that has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count

from bptt import errors
from bptt.language.tree import Equation
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
        _offer(names, shapes[name][:1] if len(shapes[name]) == 1 else (), name, shapes)
    vectors = [name for name in shapes if len(shapes[name]) == 1]
    for name in sorted(vectors, key=lambda name: name not in inputs):
        if name not in definitions and name[0].islower():
            _offer(names, shapes[name], name, shapes)
    for name, dim in index.items():
        _offer(names, (dim,), name, shapes)
    for name, shape in shapes.items():
        _offer(names, shape, name, shapes)
    return names


def _offer(names: Names, shape: Shape, name: str, own: Collection[str]) -> None:
    for position, dim in enumerate(shape):
        if isinstance(dim, DimVar) and dim.find() not in names:
            part = name if position == 0 else f"{name}_columns"
            # n_b is the batch; a vector called b keeps out of its way.
            taken = {"n_b", *names.values(), *own}
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


def check_sizes(graph: Graph, lines: Sequence[Equation]) -> Graph:
    """A dimension's size comes with the call, not from an equation; the graph.

    lines: the equations as they are written, one of a number, `n_h = 5`, among them.
    Raises: ReservedNameError.
    """
    dims = graph.dims()
    for line in lines:
        name = line.name
        if line.when or line.expression.op != "constant" or name not in dims:
            continue
        size = f"{float(str(line.expression.data)):g}"
        vector = name.removeprefix("n_")
        where = f"instead of {name}"
        if vector in {*graph.definitions, *graph.parameters, *graph.inputs}:
            where = f"`{vector}: {size}`"
        raise errors.ReservedNameError(
            line.span,
            f"{name} is a dimension of the cell, and no equation says its size",
            fix=f"leave it out and give its size, `cell.init({name}={size})`; a fixed "
            f"size stands in a declaration, {where}",
        )
    return graph
