"""Elements of arrays of any rank at coordinates, one vector of lanes at a time.

A coordinate is one whole number for all lanes, or one more from lane to lane. Arrays
are row-major: an element lies at the sum of its coordinates times their strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import INDEX, Emitter

__all__ = [
    "Coord",
    "PlaceCoord",
    "are_equal",
    "horizontal",
    "is_inside",
    "load",
    "store",
    "stride_of_lanes",
]

Value = Any


@dataclass(eq=False)
class Coord:
    """A coordinate, of a loop that may not be open yet.

    value: of the first lane, once the loop is open; is_lane: whether it grows by one
    from lane to lane; count: the lanes that are inside, None for all of them.
    """

    value: Value = None
    is_lane: bool = False
    count: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether its value is known where code is written now."""
        return self.value is not None


@dataclass(frozen=True)
class PlaceCoord:
    """A coordinate made of others: a sum with signs and a start.

    around: the number of places that it goes round; 0 where it has ends.
    """

    terms: tuple[tuple[Coord | PlaceCoord, int], ...]
    start: int
    around: int = 0

    @property
    def is_open(self) -> bool:
        """Whether its value is known where code is written now."""
        return all(coord.is_open for coord, _ in self.terms)

    @property
    def is_lane(self) -> bool:
        """Whether it changes from lane to lane."""
        return any(coord.is_lane for coord, _ in self.terms)

    @property
    def count(self) -> int | None:
        """The lanes that are inside, None for all of them."""
        counts = [c.count for c, _ in self.terms if c.is_lane and c.count is not None]
        return min(counts, default=None)


AnyCoord = Coord | PlaceCoord


def strides_of(sizes: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides."""
    return tuple(prod(sizes[axis + 1 :]) for axis in range(len(sizes)))


def stride_of_lanes(coords: Sequence[AnyCoord], sizes: Sequence[int]) -> int:
    """How far the elements of two neighbouring lanes lie apart; 0 for one element.

    Where a place is made of others they are taken to lie apart.
    """
    pairs = zip(coords, strides_of(sizes), strict=True)
    return sum(
        stride if isinstance(coord, Coord) else stride + 1
        for coord, stride in pairs
        if coord.is_lane
    )


def _positions(e: Emitter, coord: AnyCoord) -> Value:
    """The coordinate in every lane, a vector of whole numbers."""
    numbers = ir.Constant(ir.VectorType(INDEX, e.lanes), list(range(e.lanes)))
    if isinstance(coord, Coord):
        value = e.splat(coord.value)
        return e.builder.add(value, numbers) if coord.is_lane else value
    total = e.splat(e.index(coord.start))
    for part, sign in coord.terms:
        value = _positions(e, part)
        add = e.builder.add if sign > 0 else e.builder.sub
        total = add(total, value)
    if not coord.around:
        return total
    wide = e.splat(e.index(coord.around))
    rest = e.builder.srem(total, wide)
    is_low = e.builder.icmp_signed("<", rest, e.splat(e.index(0)))
    return e.builder.select(is_low, e.builder.add(rest, wide), rest)


def is_inside(e: Emitter, coord: AnyCoord, size: int) -> Value:
    """1 in the lanes whose coordinate is a place of the dimension, else 0."""
    is_there = _bounds(e, _positions(e, coord), size)
    return e.builder.select(is_there, e.constant(1.0), e.constant(0.0))


def _bounds(e: Emitter, positions: Value, size: int) -> Value:
    low = e.builder.icmp_signed(">=", positions, e.splat(e.index(0)))
    high = e.builder.icmp_signed("<", positions, e.splat(e.index(size)))
    return e.builder.and_(low, high)


def _load_places(
    e: Emitter, pointer: Value, coords: Sequence[AnyCoord], sizes: Sequence[int]
) -> Value:
    """Elements at places made of others: 0 for those outside."""
    total, is_there = None, None
    for coord, stride, size in zip(coords, strides_of(sizes), sizes, strict=True):
        positions = _positions(e, coord)
        inside = _bounds(e, positions, size)
        is_there = inside if is_there is None else e.builder.and_(is_there, inside)
        step = e.builder.mul(positions, e.splat(e.index(stride)))
        total = step if total is None else e.builder.add(total, step)
    offsets = e.builder.select(is_there, total, e.splat(e.index(0)))
    result = e.constant(0.0)
    has_lanes = any(coord.is_lane for coord in coords)
    for lane in range(e.lanes if has_lanes else 1):
        number = ir.Constant(ir.IntType(32), lane)
        offset = e.builder.extract_element(offsets, number)
        scalar = e.load_scalar(e.at(pointer, offset))
        result = e.builder.insert_element(result, scalar, number)
    if not has_lanes:
        first = e.builder.extract_element(result, ir.Constant(ir.IntType(32), 0))
        result = e.splat(first)
    return e.builder.select(is_there, result, e.constant(0.0))


def _row_at(
    e: Emitter, pointer: Value, coords: Sequence[AnyCoord], sizes: Sequence[int]
) -> tuple[Value, Value]:
    """Where places are one for all lanes: the address, and whether it is inside."""
    inside = e.builder.icmp_signed("==", e.index(0), e.index(0))
    for coord, stride, size in zip(coords, strides_of(sizes), sizes, strict=True):
        if isinstance(coord, Coord):
            position = coord.value
        else:
            vector = _positions(e, coord)
            position = e.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
            low = e.builder.icmp_signed(">=", position, e.index(0))
            high = e.builder.icmp_signed("<", position, e.index(size))
            is_there = e.builder.and_(low, high)
            position = e.builder.select(is_there, position, e.index(0))
            inside = e.builder.and_(inside, is_there)
        pointer = e.at(pointer, e.builder.mul(position, e.index(stride)))
    return pointer, inside


def _mask(e: Emitter, coords: Sequence[AnyCoord]) -> tuple[Value, int]:
    counts = [c.count for c in coords if c.is_lane and c.count is not None]
    if not counts:
        return None, e.lanes
    return e.mask_first(e.index(min(counts))), min(counts)


def _address(
    e: Emitter, pointer: Value, coords: Sequence[AnyCoord], sizes: Sequence[int]
) -> Value:
    for coord, stride in zip(coords, strides_of(sizes), strict=True):
        assert isinstance(coord, Coord)
        step = coord.value
        if stride != 1:
            step = e.builder.mul(step, e.index(stride))
        pointer = e.at(pointer, step)
    return pointer


def load(
    e: Emitter, pointer: Value, coords: Sequence[AnyCoord], sizes: Sequence[int]
) -> Value:
    """The elements at the coordinates; lanes beyond the last, and places, are zero."""
    made = [coord for coord in coords if isinstance(coord, PlaceCoord)]
    if any(coord.is_lane for coord in made):
        return _load_places(e, pointer, coords, sizes)
    if made and stride_of_lanes(coords, sizes) in (0, 1):
        place, is_there = _row_at(e, pointer, coords, sizes)
        if stride_of_lanes(coords, sizes):
            value = e.load(place, _mask(e, coords)[0])
        else:
            value = e.splat(e.load_scalar(place))
        return e.builder.select(e.splat(is_there), value, e.constant(0.0))
    if made:
        return _load_places(e, pointer, coords, sizes)
    place = _address(e, pointer, coords, sizes)
    distance = stride_of_lanes(coords, sizes)
    if not distance:
        return e.splat(e.load_scalar(place))
    mask, count = _mask(e, coords)
    if distance == 1:
        return e.load(place, mask)
    result = e.constant(0.0)
    for lane in range(count):
        scalar = e.load_scalar(e.at(place, lane * distance))
        number = ir.Constant(ir.IntType(32), lane)
        result = e.builder.insert_element(result, scalar, number)
    return result


def store(
    e: Emitter,
    value: Value,
    pointer: Value,
    coords: Sequence[AnyCoord],
    sizes: Sequence[int],
) -> None:
    """Write the elements at the coordinates; one element, or neighbours."""
    place = _address(e, pointer, coords, sizes)
    distance = stride_of_lanes(coords, sizes)
    assert distance in (0, 1)
    if distance:
        mask, _ = _mask(e, coords)
        e.store(value, place, mask)
        return
    first = e.builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
    e.builder.store(first, place, align=e.real_bytes)


def are_equal(e: Emitter, a: AnyCoord, b: AnyCoord) -> Value:
    """1 in the lanes where two coordinates are equal, else 0."""
    is_equal = e.builder.icmp_signed("==", _positions(e, a), _positions(e, b))
    return e.builder.select(is_equal, e.constant(1.0), e.constant(0.0))


def keep_inside(e: Emitter, value: Value, coord: Coord, filler: float) -> Value:
    """`value`, with `filler` in the lanes beyond the last."""
    if coord.count is None:
        return value
    mask = e.mask_first(e.index(coord.count))
    return e.builder.select(mask, value, e.constant(filler))


def horizontal(e: Emitter, value: Value, operation: Any) -> Value:
    """Fold all lanes into one and spread it: exchange halves, then quarters, ..."""
    kind = ir.VectorType(ir.IntType(32), e.lanes)
    distance = e.lanes // 2
    while distance:
        order = ir.Constant(kind, [lane ^ distance for lane in range(e.lanes)])
        other = e.builder.shuffle_vector(value, value, order)
        value = operation(value, other)
        distance //= 2
    return value
