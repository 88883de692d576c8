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

from bptt.execute.codegen.emit import Emitter

__all__ = ["Coord", "are_equal", "horizontal", "load", "store", "stride_of_lanes"]

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


def strides_of(sizes: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides."""
    return tuple(prod(sizes[axis + 1 :]) for axis in range(len(sizes)))


def stride_of_lanes(coords: Sequence[Coord], sizes: Sequence[int]) -> int:
    """How far the elements of two neighbouring lanes lie apart; 0 for one element."""
    pairs = zip(coords, strides_of(sizes), strict=True)
    return sum(stride for coord, stride in pairs if coord.is_lane)


def _mask(e: Emitter, coords: Sequence[Coord]) -> tuple[Value, int]:
    counts = [c.count for c in coords if c.is_lane and c.count is not None]
    if not counts:
        return None, e.lanes
    return e.mask_first(e.index(min(counts))), min(counts)


def _address(
    e: Emitter, pointer: Value, coords: Sequence[Coord], sizes: Sequence[int]
) -> Value:
    for coord, stride in zip(coords, strides_of(sizes), strict=True):
        step = coord.value
        if stride != 1:
            step = e.builder.mul(step, e.index(stride))
        pointer = e.at(pointer, step)
    return pointer


def load(
    e: Emitter, pointer: Value, coords: Sequence[Coord], sizes: Sequence[int]
) -> Value:
    """The elements at the coordinates; lanes beyond the last are zero."""
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
    coords: Sequence[Coord],
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


def are_equal(e: Emitter, a: Coord, b: Coord) -> Value:
    """1 in the lanes where two coordinates are equal, else 0."""
    numbers = ir.Constant(ir.VectorType(ir.IntType(64), e.lanes), list(range(e.lanes)))
    found = [
        e.builder.add(e.splat(c.value), numbers) if c.is_lane else e.splat(c.value)
        for c in (a, b)
    ]
    is_equal = e.builder.icmp_signed("==", *found)
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
