"""How kernels see arrays: time-major sequences of rows, reached through one table.

Where the rows of a step begin is told by a turn (see `turns`).

A kernel has a single pointer argument, the table: one address per name, in the order of
`names`. So every kernel has the same signature and a call costs the same however many
arrays it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import INDEX, POINTER, Emitter
from bptt.execute.codegen.turns import NOW, load_field

__all__ = ["Array", "Frame", "Lane"]

Value = Any


@dataclass(frozen=True)
class Array:
    """Vectors of `width` reals, one for each batch row and (if `has_time`) time step.

    The vector of row i of a step whose rows begin at r begins
    `(r + i) * row_stride + column` reals behind the address `name` has in the table. A
    `row_stride` of 0 with `has_time=False` is one vector for all rows, such as a bias.
    Vectors that lie side by side in one buffer (the gates of an LSTM) share `name` and
    `row_stride` and differ in `column`.
    """

    name: str
    width: int
    row_stride: int
    column: int = 0
    has_time: bool = True


class Frame:
    """The table and the turn of the function being written.

    Addresses that hold for the whole call are computed once, in its first block.
    `touched` lists the (array, shift) that lanes loaded or stored, in that order.
    """

    def __init__(
        self, e: Emitter, names: Sequence[str], table: Value, turn: Value = None
    ) -> None:
        """Without a turn only arrays that have no time can be reached."""
        self.e = e
        self._numbers = {name: number for number, name in enumerate(names)}
        self._table, self._turn = table, turn
        self._pointers: dict[str, Value] = {}
        self._fields: dict[int, Value] = {}
        self._bases: dict[tuple[Array, int], Value] = {}
        self.touched: dict[tuple[Array, int], None] = {}

    def get_pointer(self, name: str) -> Value:
        """The address the table holds for `name`. Raises: KeyError."""
        if name not in self._pointers:
            offset = self.e.index(self._numbers[name])
            entry = self.e.entry
            slot = entry.gep(self._table, [offset], source_etype=INDEX)
            self._pointers[name] = entry.load(slot, typ=POINTER)
        return self._pointers[name]

    def get_field(self, number: int) -> Value:
        """A number of the turn."""
        if number not in self._fields:
            self._fields[number] = load_field(self.e.entry, self._turn, number)
        return self._fields[number]

    def get_base(self, array: Array, shift: int = 0) -> Value:
        """The address of batch row 0 at step t + shift."""
        key = (array, shift)
        if key not in self._bases:
            entry, e = self.e.entry, self.e
            base = self.get_pointer(array.name)
            if array.column:
                base = entry.gep(base, [e.index(array.column)], source_etype=e.real)
            if array.has_time:
                rows = self.get_field(NOW + shift)
                reals = entry.mul(rows, e.index(array.row_stride))
                base = entry.gep(base, [reals], source_etype=e.real)
            self._bases[key] = base
        return self._bases[key]

    def get_row(self, array: Array, row: Value, shift: int = 0) -> Value:
        """The address of one batch row at step t + shift."""
        base = self.get_base(array, shift)
        if array.row_stride == 0:
            return base
        reals = self.e.builder.mul(row, self.e.index(array.row_stride))
        return self.e.at(base, reals)


class Lane:
    """One vector of columns of one batch row: what an elementwise equation works on.

    `e` emits arithmetic; `products` are the finished sums of the tile, by slot.
    """

    def __init__(
        self,
        frame: Frame,
        row: Value,
        column: Value,
        mask: Value = None,
        products: Sequence[Value] = (),
    ) -> None:
        self.e = frame.e
        self.products = products
        self._frame, self._row = frame, row
        self._column, self._mask = column, mask

    def load(self, array: Array, shift: int = 0) -> Value:
        """These columns of `array` at step t + shift; 0 beyond the last column."""
        return self.e.load(self._get_address(array, shift), self._mask)

    def store(self, array: Array, value: Value, shift: int = 0) -> None:
        """Write these columns of `array` at step t + shift; none beyond the last."""
        self.e.store(value, self._get_address(array, shift), self._mask)

    def load_scalar(self, array: Array, shift: int = 0) -> Value:
        """The first real of this row of `array`, in every lane."""
        return self.e.splat(
            self.e.load_scalar(self._frame.get_row(array, self._row, shift))
        )

    def load_index(self, array: Array) -> Value:
        """The 64-bit integer of this row of `array`, one a row."""
        place = self._frame.get_row(array, self._row)
        return self.e.builder.load(place, typ=INDEX, align=8)

    def load_at(self, array: Array, index: Value) -> Value:
        """These columns of row `index` of a table of rows; 0 beyond the last column."""
        place = self._frame.get_row(array, index)
        return self.e.load(self.e.at(place, self._column), self._mask)

    def load_element(self, array: Array, index: Value, shift: int = 0) -> Value:
        """Element `index` of this row of `array`, in every lane."""
        place = self._frame.get_row(array, self._row, shift)
        return self.e.splat(self.e.load_scalar(self.e.at(place, index)))

    def columns_equal(self, index: Value) -> Value:
        """1 in the lane whose column is `index`, else 0."""
        e = self.e
        distance = e.builder.sub(index, self._column)
        numbers = ir.Constant(ir.VectorType(INDEX, e.lanes), list(range(e.lanes)))
        is_equal = e.builder.icmp_signed("==", numbers, e.splat(distance))
        return e.builder.select(is_equal, e.constant(1.0), e.constant(0.0))

    def _get_address(self, array: Array, shift: int) -> Value:
        self._frame.touched[array, shift] = None
        row = self._frame.get_row(array, self._row, shift)
        return self.e.at(row, self._column)

    def mask_out(self, value: Value, filler: Value) -> Value:
        """`value`, with `filler` in the lanes beyond the last column."""
        if self._mask is None:
            return value
        return self.e.builder.select(self._mask, value, filler)
