"""A stage of a time step that reduces over the columns of a row.

softmax, layer_norm, sum and mean inside a step need a whole row before they can go on,
so they run on finished rows: one row at a time, which is in the first-level cache for
every pass but the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen import vmath
from bptt.execute.codegen.arrays import Array, Frame, Lane
from bptt.execute.codegen.elements import horizontal
from bptt.execute.codegen.emit import INDEX, POINTER, start_function
from bptt.execute.codegen.target import Target

__all__ = ["RowPass", "RowStage", "emit_row_stage"]

Value = Any


class RowPass:
    """One batch row: passes over its columns, and sums over them."""

    def __init__(self, frame: Frame, row: Value) -> None:
        self.e = frame.e
        self.frame, self.number = frame, row

    def lane(self) -> Lane:
        """The row as one lane, for what does not depend on a column."""
        return Lane(self.frame, self.number, self.e.index(0))

    def each(self, width: int, body: Callable[[Lane], None]) -> None:
        """Run `body` on every vector of `width` columns."""

        def run(lane: Lane) -> list[Value]:
            body(lane)
            return []

        self._fold(width, [], lambda lane, *_: run(lane))

    def sum(self, width: int, value: Callable[[Lane], Value]) -> Value:
        """The sum of `value` over `width` columns, in every lane.

        Lanes are summed separately and then added pairwise.
        """
        zero = self.e.constant(0.0)

        def add(lane: Lane, total: Value) -> list[Value]:
            term = lane.mask_out(value(lane), zero)
            return [self.e.builder.fadd(total, term)]

        (total,) = self._fold(width, [zero], add)
        return horizontal(self.e, total, self.e.builder.fadd)

    def maximum(self, width: int, value: Callable[[Lane], Value]) -> Value:
        """The largest `value` over `width` columns, in every lane; NaN if one is."""
        lowest = self.e.constant(float("-inf"))

        def pick(lane: Lane, largest: Value) -> list[Value]:
            term = lane.mask_out(value(lane), lowest)
            return [vmath.maximum(self.e, largest, term)]

        (largest,) = self._fold(width, [lowest], pick)
        return horizontal(self.e, largest, lambda x, y: vmath.maximum(self.e, x, y))

    def store_scalar(self, array: Array, value: Value, shift: int = 0) -> None:
        """Write lane 0 of `value` as the only real of this row of `array`."""
        first = self.e.builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
        address = self.frame.get_row(array, self.number, shift)
        self.e.builder.store(first, address, align=self.e.real_bytes)

    def load_scalar(self, array: Array, shift: int = 0) -> Value:
        """The first real of this row of `array`, in every lane."""
        return self.lane().load_scalar(array, shift)

    def _fold(
        self,
        width: int,
        initial: list[Value],
        body: Callable[..., list[Value]],
    ) -> list[Value]:
        e = self.e
        whole = width // e.lanes * e.lanes

        def run(column: Value, *carried: Value) -> list[Value]:
            return body(Lane(self.frame, self.number, column), *carried)

        carried = initial
        if whole:
            carried = e.fold(e.index(0), e.index(whole), e.lanes, run, carried)
        if whole < width:
            mask = e.mask_first(e.index(width - whole))
            lane = Lane(self.frame, self.number, e.index(whole), mask)
            carried = body(lane, *carried)
        return carried


@dataclass(frozen=True)
class RowStage:
    """`body(row)` emits passes over the columns of one row and reductions over them."""

    body: Callable[[RowPass], None]


def emit_row_stage(
    module: ir.Module,
    name: str,
    names: Sequence[str],
    stage: RowStage,
    target: Target,
    real_bytes: int,
) -> ir.Function:
    """Write the function `name`(table, turn, row_begin, row_end, scratch)."""
    arguments = [POINTER, POINTER, INDEX, INDEX, POINTER]
    e = start_function(module, name, arguments, target, real_bytes)
    table, turn, begin, end, _ = e.function.args
    frame = Frame(e, names, table, turn)
    e.loop(begin, end, 1, lambda row: stage.body(RowPass(frame, row)))
    e.finish()
    return e.function
