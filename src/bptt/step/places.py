"""Places of a dimension: what stands for an index in the brackets of a name.

    C[t, j]      every place j                       x[t, l+k]       l + k, 0 outside
    w[t, wrap(i-k)]   i - k, around the ends         m[1]            the first

A place is a sum of indices and a whole number. It is made for every value of its
indices; how arrays are read and written there is in this module, once for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt.step.shapes import Array, Dim

UNNAMED = "#"  # of an index that has no name in a cell's text
_einsum: Any = np.einsum  # its stubs do not know axes given as numbers


@dataclass(frozen=True)
class PlaceTerm:
    """An index of a place: its name, dimension, first number, and + or -."""

    name: str
    dim: Dim
    first: int = 1
    sign: int = 1


@dataclass(frozen=True)
class IndexPlace:
    """`terms` plus `offset`, in the dimension `dim`, which counts from 1.

    An index alone is every place of its dimension, whatever it counts from. dims: sizes
    of dimensions that are added or subtracted; part: "joined" or "slice" where another
    dimension is counted than the one that is read; label: what a line of the text calls
    that which is put together here.
    """

    dim: Dim
    terms: tuple[PlaceTerm, ...]
    offset: int = 0
    is_wrapped: bool = False
    dims: tuple[tuple[Dim, int], ...] = ()
    part: str = ""
    label: str = ""

    @property
    def is_plain(self) -> bool:
        """An index alone."""
        (term, *more) = self.terms or (None,)
        is_alone = term is not None and not (more or self.offset or self.part)
        return bool(is_alone and term.sign > 0 and not self.is_wrapped)  # type: ignore[union-attr]

    @property
    def indices(self) -> tuple[tuple[str, Dim], ...]:
        """The names and dimensions of its indices."""
        return tuple((term.name, term.dim) for term in self.terms)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its indices."""
        return tuple(term.name for term in self.terms)

    @property
    def own(self) -> IndexPlace:
        """An index of its own for the whole dimension that is read."""
        return IndexPlace(self.dim, (PlaceTerm("'", self.dim),))

    def of(self, term: PlaceTerm) -> IndexPlace:
        """A dimension that `term` is the index of."""
        return IndexPlace(term.dim, (replace(term, sign=1),))

    def solve(self) -> tuple[PlaceTerm, IndexPlace]:
        """One index, and its number where this place is the index `own`.

        The index that has this dimension, since going around ends is then the same.
        """
        same = [term for term in self.terms if term.dim == self.dim]
        term = (same or list(self.terms))[0]
        rest = [t for t in self.terms if t is not term]
        sign = term.sign
        offset = 1 - term.first - sign * self.offset
        terms = (
            PlaceTerm("'", self.dim, 1, sign),
            *(replace(t, sign=-sign * t.sign) for t in rest),
        )
        dims = tuple((dim, -sign * count) for dim, count in self.dims)
        place = IndexPlace(term.dim, terms, offset, self.is_wrapped, dims, self.part)
        return term, place

    def resolve(self, name: Callable[[Dim], Dim]) -> IndexPlace:
        """The same with other names of dimensions."""
        terms = tuple(replace(term, dim=name(term.dim)) for term in self.terms)
        dims = tuple((name(dim), count) for dim, count in self.dims)
        return replace(self, dim=name(self.dim), terms=terms, dims=dims)

    def with_numbers(self, number: Callable[[Dim], int]) -> IndexPlace:
        """The same with sizes in its offset."""
        added = sum(count * number(dim) for dim, count in self.dims)
        return replace(self, offset=self.offset + added, dims=())


def map_data(
    op: str, data: Any, dim: Callable[[Dim], Dim], index: Callable[[str], str] = str
) -> Any:
    """What a node of an operation carries, with other dimensions and index names."""

    def place(found: IndexPlace) -> IndexPlace:
        terms = tuple(replace(t, name=index(t.name)) for t in found.terms)
        return replace(found, terms=terms).resolve(dim)

    if op == "at":
        return place(data)
    if op == "put":
        put = place(data[0])
        label = index(put.label) if put.label else ""
        return replace(put, label=label), tuple(map(index, data[1]))
    if op in ("index", "index_fill", "index_sum"):
        return (index(data[0]), dim(data[1]), *data[2:])
    if op in ("size", "eye"):
        return dim(data)
    if op in ("fill", "one_hot", "one_hot_of"):
        return tuple(map(dim, data))
    return data


@dataclass(frozen=True)
class PlaceReading:
    """One read or write of a place in arrays (..., indices, [dim,] rest).

    names: the indices of the array that has the dimension `dim`; result: of the one
    where the place's indices stand instead; rank: axes of `rest`.
    """

    place: IndexPlace
    names: tuple[str, ...]
    result: tuple[str, ...]
    rank: int

    @property
    def selects_all(self) -> bool:
        """Whether the dimension only becomes an index, and no element is left out."""
        return self.place.is_plain and self.place.terms[0].name not in self.names

    def positions(self) -> Array:
        """Per value of the place's indices, the position that is read; from 0."""
        place = self.place
        first = place.terms[0].first if place.is_plain else 1
        found: Array = np.array(place.offset - first)
        for number, term in enumerate(place.terms):
            assert isinstance(term.dim, int)
            steps = term.sign * (term.first + np.arange(term.dim))
            after = len(place.terms) - number - 1
            found = found + steps.reshape(-1, *(1,) * after)
        return found % place.dim if place.is_wrapped else found

    def letters(self) -> tuple[list[int], list[int], list[int]]:
        """Numbers of axes, for einsum: of the array, of the place, of the result."""
        own = [term.name for term in self.place.terms]
        numbers = {name: n for n, name in enumerate(dict.fromkeys((*self.names, *own)))}
        rest = [len(numbers) + 1 + n for n in range(self.rank)]
        there = [numbers[name] for name in self.names]
        place = [numbers[name] for name in own]
        result = [numbers[name] for name in self.result]
        return [*there, len(numbers), *rest], place, [*result, *rest]


def chosen(reading: PlaceReading, dtype: Any) -> Array:
    """1 where a position is read, (*indices of the place, dim); outside none is."""
    positions = reading.positions()
    assert isinstance(reading.place.dim, int)
    columns = np.arange(reading.place.dim)
    return np.asarray((positions[..., None] == columns).astype(dtype))


def read_place(x: Array, reading: PlaceReading) -> Array:
    """The elements at a place, for every value of its indices."""
    array, place, result = reading.letters()
    axis = len(reading.names)
    if reading.selects_all:
        labels = [*array[:axis], place[0], *array[axis + 1 :]]
        return np.asarray(_einsum(x, [..., *labels], [..., *result]))
    positions = reading.positions()
    n = x.ndim - len(array) + axis
    size = x.shape[n]
    taken = np.take(x, np.clip(positions, 0, size - 1), axis=n)
    inside = (positions >= 0) & (positions < size)
    mask = inside.reshape((*inside.shape, *(1,) * reading.rank))
    taken = np.where(mask, taken, np.zeros((), x.dtype))
    labels = [*array[:axis], *place, *array[axis + 1 :]]
    return np.asarray(_einsum(taken, [..., *labels], [..., *result]))


def write_place(g: Array, reading: PlaceReading) -> Array:
    """The transpose of `read_place`: sums where a position is read more than once."""
    array, place, result = reading.letters()
    axis = len(reading.names)
    if reading.selects_all:
        labels = [*array[:axis], place[0], *array[axis + 1 :]]
        return np.asarray(_einsum(g, [..., *result], [..., *labels]))
    one = chosen(reading, g.dtype)
    out = [..., *array]
    return np.asarray(_einsum(g, [..., *result], one, [*place, array[axis]], out))


def align_indices(
    shape: Sequence[int], names: Sequence[str], wanted: Sequence[str], n_core: int
) -> tuple[int, ...]:
    """A shape (..., indices, core) with an axis of one for each index it lacks."""
    n = len(shape) - len(names) - n_core
    sizes = dict(zip(names, shape[n : n + len(names)], strict=True))
    core = tuple(shape[n + len(names) :])
    return (*shape[:n], *(sizes.get(name, 1) for name in wanted), *core)
