"""The elementwise equations of a stage, run on finished tiles one vector at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.arrays import Array, Frame, Lane
from bptt.execute.codegen.emit import INDEX, POINTER, start_function
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.tiling import Columns, Tiling

__all__ = ["Scratch", "emit_epilogue"]

Value = Any


@dataclass(frozen=True)
class Scratch:
    """A tile's sums in memory, [panel][row][slot][vector][lane]; sizes in reals."""

    n_slots: int
    slot_size: int
    row_size: int
    panel_size: int


_ARGUMENTS = [POINTER, POINTER, INDEX, INDEX, INDEX, INDEX, POINTER]


def emit_epilogue(
    module: ir.Module,
    name: str,
    names: Sequence[str],
    body: Callable[[Lane], None],
    tiling: Tiling,
    scratch: Scratch,
    target: Target,
) -> tuple[ir.Function, list[tuple[Array, int]]]:
    """Write `name`(table, turn, row, n_rows, panel, n_panels, scratch).

    It runs `body` on every vector of `n_rows` rows of `n_panels` panels. Returns it and
    the (array, shift) that `body` touches.
    """
    columns = tiling.columns
    real_bytes = target.vector_bytes // columns.lanes
    e = start_function(module, name, _ARGUMENTS, target, real_bytes)
    table, turn, row, n_rows, panel, n_panels, place = e.function.args
    frame = Frame(e, names, table, turn)
    epilogue = _Epilogue(frame, body, columns, scratch)

    def run_panel(number: Value) -> None:
        start = e.at(place, e.builder.mul(number, e.index(scratch.panel_size)))
        which = e.builder.add(panel, number)
        epilogue.run_panel(row, n_rows, which, start)

    e.loop(e.index(0), n_panels, 1, run_panel)
    e.finish()
    return e.function, list(frame.touched)


class _Epilogue:
    """Emits the loops over rows and vectors of one panel."""

    def __init__(
        self,
        frame: Frame,
        body: Callable[[Lane], None],
        columns: Columns,
        scratch: Scratch,
    ) -> None:
        self.frame, self.body = frame, body
        self.columns, self.scratch, self.e = columns, scratch, frame.e

    def run_panel(self, row: Value, n_rows: Value, panel: Value, start: Value) -> None:
        """All rows of one panel; `start` is where its sums begin."""
        e, columns = self.e, self.columns
        begin = e.builder.mul(panel, e.index(columns.vectors))
        last = e.builder.add(begin, e.index(columns.vectors))
        end = e.minimum_index(last, e.index(columns.n_vectors))

        def run_row(number: Value) -> None:
            offset = e.builder.mul(number, e.index(self.scratch.row_size))
            place = e.at(start, offset)
            self._run_row(e.builder.add(row, number), begin, end, place)

        e.loop(e.index(0), n_rows, 1, run_row)

    def _run_row(self, row: Value, begin: Value, end: Value, place: Value) -> None:
        """Vectors `begin` to `end` of a row, masked where the columns end.

        Where masks are free every vector is masked and the code exists once; elsewhere
        vectors inside take the plain form and only the last one pays for its mask.
        """
        e, columns = self.e, self.columns

        def run(vector: Value, is_masked: bool) -> None:
            done = e.builder.sub(vector, begin)
            address = e.at(place, e.builder.mul(done, e.index(columns.lanes)))
            self._run_vector(row, vector, address, is_masked)

        is_even = columns.width % columns.lanes == 0
        if is_even or e.target.has_cheap_masks:
            e.loop(begin, end, 1, lambda vector: run(vector, not is_even))
            return
        n_whole = e.index(columns.width // columns.lanes)
        whole_end = e.minimum_index(end, n_whole)
        e.loop(begin, whole_end, 1, lambda vector: run(vector, False))
        has_rest = e.builder.icmp_signed("<", n_whole, end)
        e.when(has_rest, lambda: run(n_whole, True))

    def _run_vector(
        self, row: Value, vector: Value, place: Value, is_masked: bool
    ) -> None:
        e, columns = self.e, self.columns
        column = e.builder.mul(vector, e.index(columns.lanes))
        mask = None
        if is_masked:
            mask = e.mask_first(e.builder.sub(e.index(columns.width), column))
        products = [
            e.load(e.at(place, slot * self.scratch.slot_size), aligned=True)
            for slot in range(self.scratch.n_slots)
        ]
        self.body(Lane(self.frame, row, column, mask, products))
