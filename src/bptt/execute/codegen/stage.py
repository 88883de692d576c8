"""A stage of a time step: products into a tile, then elementwise equations on it.

A stage becomes two functions. The first walks over panels and rows, fills a tile by
tile and leaves its sums in a small scratch (it fits into the first-level cache); the
second, the epilogue, is called with each tile and runs the elementwise equations on the
sums, one vector at a time. The epilogue's code exists once, whatever the number of tile
shapes, so an LSTM's five sigmoids and tanhs are compiled once, not once per shape and
row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.arrays import Array, Frame, Lane
from bptt.execute.codegen.emit import INDEX, POINTER, start_function
from bptt.execute.codegen.epilogue import Scratch, emit_epilogue
from bptt.execute.codegen.packed_weights import Matrix, Packed
from bptt.execute.codegen.shared import Shared, declare
from bptt.execute.codegen.shared_tiles import TileKind, share_tile
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.tiling import (
    TileShape,
    Tiling,
    choose_tiling,
)
from bptt.execute.codegen.turns import BEGIN, END, STEP

__all__ = [
    "Stage",
    "StageProduct",
    "count_scratch",
    "emit_stage",
    "find_tiles",
    "pack_products",
    "plan",
]

Value = Any
TURN_FROM = 128 << 10  # bytes of packed weights


@dataclass(frozen=True)
class StageProduct:
    """slot_s += matrix_s @ operand, for each of `slots`.

    The operand is read at step t + shift, all of its `width` columns. The matrices of
    one product are read in one pass over the operand: four gates are one product with
    four slots, not four products. `packed` names the buffer of packed weights. An
    operand of several vectors side by side, of these `widths`, has a matrix for each:
    `matrices` lists all of the first slot, then all of the second.
    """

    operand: Array
    shift: int
    matrices: tuple[Matrix, ...]
    slots: tuple[int, ...]
    packed: str
    widths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Products into `n_slots` slots of `width` columns, then the epilogue.

    `epilogue(lane)` emits the elementwise equations for one vector of columns of one
    row: it reads `lane.products[slot]`, loads and stores. It must not read what another
    column or row of the same stage stores. Without products it simply runs over all
    rows and columns.
    """

    width: int
    n_slots: int
    products: tuple[StageProduct, ...]
    epilogue: Callable[[Lane], None]


def plan(stage: Stage, target: Target, real_bytes: int) -> Tiling:
    """The tile shapes of a stage."""
    widest = max((len(product.slots) for product in stage.products), default=1)
    return choose_tiling(target, real_bytes, stage.width, widest)


def pack_products(stage: Stage, target: Target, real_bytes: int) -> list[Packed]:
    """How the weights of the stage's products are to be packed."""
    tiling = plan(stage, target, real_bytes)
    return [
        Packed(
            product.packed,
            product.matrices,
            product.widths or (product.operand.width,),
            tiling.columns,
            tiling.slots_per_pass,
        )
        for product in stage.products
    ]


@dataclass(frozen=True)
class _Pass:
    """One pass over an operand: the panels of `number` feed `slots`."""

    product: StageProduct
    packed: Packed
    number: int
    slots: tuple[int, ...]
    added: tuple[bool, ...]


def _list_passes(stage: Stage, packed: Sequence[Packed]) -> Iterator[_Pass]:
    """The passes that fill a tile, in order; the first into a slot begins at zero."""
    written: set[int] = set()
    for product, entry in zip(stage.products, packed, strict=True):
        for number, members in enumerate(entry.passes):
            slots = tuple(product.slots[member] for member in members)
            added = tuple(slot in written for slot in slots)
            yield _Pass(product, entry, number, slots, added)
            written.update(slots)


def find_tiles(stage: Stage, target: Target, real_bytes: int) -> list[Shared]:
    """The tiles that the stage's function calls."""
    tiling = plan(stage, target, real_bytes)
    columns = tiling.columns
    widths = (columns.vectors if columns.n_full else 0, columns.tail)
    packed = pack_products(stage, target, real_bytes)
    return [
        share_tile(TileKind(shape, vectors, part.added))
        for part in _list_passes(stage, packed)
        for shape in dict.fromkeys(tiling.shapes)
        for vectors in widths
        if vectors
    ]


def lay_out_scratch(stage: Stage, tiling: Tiling) -> Scratch:
    """How the sums of a tile of this stage lie in the scratch."""
    slot_size = tiling.columns.vectors * tiling.columns.lanes
    row_size = stage.n_slots * slot_size
    panel_size = tiling.main.rows * row_size
    return Scratch(stage.n_slots, slot_size, row_size, panel_size)


def count_scratch(stage: Stage, tiling: Tiling) -> int:
    """Reals of scratch a stage needs."""
    return lay_out_scratch(stage, tiling).panel_size


STAGE_ARGUMENTS = [POINTER, POINTER, INDEX, INDEX, POINTER]


def emit_stage(
    module: ir.Module,
    name: str,
    names: Sequence[str],
    stage: Stage,
    target: Target,
    real_bytes: int,
) -> ir.Function:
    """Write the function `name`(table, turn, row_begin, row_end, scratch)."""
    tiling = plan(stage, target, real_bytes)
    layout = lay_out_scratch(stage, tiling)
    epilogue, touched = emit_epilogue(
        module, f"{name}_epilogue", names, stage.epilogue, tiling, layout, target
    )
    e = start_function(module, name, STAGE_ARGUMENTS, target, real_bytes)
    table, turn, begin, end, scratch = e.function.args
    frame = Frame(e, names, table, turn)
    if not stage.products:
        n_rows = e.builder.sub(end, begin)
        n_panels = e.index(tiling.columns.n_panels)
        operands = [table, turn, begin, n_rows, e.index(0), n_panels, scratch]
        e.builder.call(epilogue, operands)
        e.finish()
        return e.function
    walk = _Walk(frame, stage, tiling, epilogue, touched)
    walk.emit_all()
    e.finish()
    return e.function


class _Walk:
    """Emits the walk of one stage over its panels and rows."""

    def __init__(
        self,
        frame: Frame,
        stage: Stage,
        tiling: Tiling,
        epilogue: ir.Function,
        touched: Sequence[tuple[Array, int]],
    ) -> None:
        self.touched = [(array, shift) for array, shift in touched if array.has_time]
        self.frame, self.stage, self.tiling = frame, stage, tiling
        self.epilogue, self.e = epilogue, frame.e
        self.table, self.turn, self.begin, self.end, self.scratch = (
            frame.e.function.args
        )
        self.packed = pack_products(stage, frame.e.target, frame.e.real_bytes)

    def emit_all(self) -> None:
        """Full tiles for most rows, then `few` rows at a time; or the only row."""
        e, tiling = self.e, self.tiling
        n_rows = e.builder.sub(self.end, self.begin)
        main = e.index(tiling.main.rows)
        n_main = e.builder.mul(e.builder.sdiv(n_rows, main), main)
        few_begin = e.builder.add(self.begin, n_main)
        self._emit_panels(
            tiling.main,
            lambda group: e.loop(self.begin, few_begin, tiling.main.rows, group),
        )
        if tiling.main.rows == 1:
            return
        # Only a turn of one row takes the single tile: it sums along k in another
        # order, and which row is left over depends on the number of threads.
        n_all = e.builder.sub(self.frame.get_field(END), self.frame.get_field(BEGIN))
        is_single = e.builder.icmp_signed("==", n_all, e.index(1))
        single_begin = e.builder.select(is_single, few_begin, self.end)
        self._emit_rows(tiling.few, few_begin, single_begin)
        self._emit_rows(tiling.single, single_begin, self.end)

    def _emit_rows(self, shape: TileShape, begin: Value, end: Value) -> None:
        def emit(row: Value) -> None:
            self._emit_panels(shape, lambda group: group(row))

        self.e.loop(begin, end, shape.rows, emit)

    def _emit_panels(
        self, shape: TileShape, over_rows: Callable[[Callable[[Value], None]], Any]
    ) -> None:
        """Loop over panels; `over_rows` runs the tile over rows inside."""
        e, columns = self.e, self.tiling.columns

        def emit_panel(panel: Value, vectors: int) -> None:
            over_rows(lambda row: self._emit_tile(shape, row, panel, vectors))

        end = e.index(columns.n_full)

        def emit_full(panel: Value) -> None:
            emit_panel(self._turn(shape, panel, end), columns.vectors)

        e.loop(e.index(0), end, 1, emit_full)
        if columns.tail:
            emit_panel(end, columns.tail)

    def _turn(self, shape: TileShape, panel: Value, end: Value) -> Value:
        """Mirror the order of panels at odd t, for a batch of one and large weights.

        A step that walks backward begins with the weights the one before ended with,
        which are still in a near cache. 1 MiB of weights (n_h = 512) take 17.0 us per
        step instead of 20.6; below 128 KiB it gains nothing.
        """
        e = self.e
        n_bytes = sum(packed.n_reals for packed in self.packed) * e.real_bytes
        if shape != self.tiling.single or n_bytes < TURN_FROM:
            return panel
        is_odd = e.builder.trunc(self.frame.get_field(STEP), ir.IntType(1))
        last = e.builder.sub(end, e.index(1))
        return e.builder.select(is_odd, e.builder.sub(last, panel), panel)

    def _emit_tile(
        self, shape: TileShape, row: Value, panel: Value, vectors: int
    ) -> None:
        """All products of one tile, then its epilogue."""
        e = self.e
        if shape.rows > 1:
            self._prefetch(shape, row, panel, vectors)
        for part in _list_passes(self.stage, self.packed):
            weights = self._get_panel(part, panel)
            self._call_tile(TileKind(shape, vectors, part.added), part, row, weights)
        n_rows: Value = e.index(shape.rows)
        if shape.is_clamped:
            n_rows = e.minimum_index(n_rows, e.builder.sub(self.end, row))
        operands = [self.table, self.turn, row, n_rows, panel]
        e.builder.call(self.epilogue, [*operands, e.index(1), self.scratch])

    def _prefetch(
        self, shape: TileShape, row: Value, panel: Value, vectors: int
    ) -> None:
        """Ask for what the epilogue will touch: it arrives while the tile is summed."""
        e, columns = self.e, self.tiling.columns
        column = e.builder.mul(panel, e.index(columns.vectors * columns.lanes))

        def prefetch_row(number: Value) -> None:
            for array, shift in self.touched:
                start = e.at(self.frame.get_row(array, number, shift), column)
                for vector in range(vectors):
                    e.prefetch(e.at(start, vector * columns.lanes))

        e.loop(row, e.builder.add(row, e.index(shape.rows)), 1, prefetch_row)

    def _get_panel(self, part: _Pass, panel: Value) -> Value:
        e, columns = self.e, part.packed.columns
        reals = columns.vectors * columns.lanes * part.packed.n_inputs * len(part.slots)
        return e.at(
            self.frame.get_pointer(part.packed.name),
            part.packed.get_offset(part.number),
            e.builder.mul(panel, e.index(reals)),
        )

    def _call_tile(
        self, kind: TileKind, part: _Pass, row: Value, weights: Value
    ) -> None:
        e, layout = self.e, lay_out_scratch(self.stage, self.tiling)
        operand = part.product.operand
        first = self.frame.get_row(operand, row, part.product.shift)
        last = e.builder.sub(e.builder.sub(self.end, e.index(1)), row)
        begins = [slot * layout.slot_size for slot in part.slots]
        sizes = [e.index(size) for size in (layout.row_size, *begins)]
        operands = [first, e.index(operand.row_stride), last, weights]
        operands += [e.index(part.packed.n_inputs), self.scratch, *sizes]
        tile = declare(e.module, share_tile(kind), e.target, e.real_bytes)
        e.builder.call(tile, operands)
