"""Packed weights: the layout that tiles read, and the kernel that writes it.

Before: matrices W_s of `width` outputs by K inputs, one per slot, in any strides.
After, for every pass (up to 4 slots) and panel (1 or 2 vectors of outputs):

    [K][slot of the pass][vector of the panel][lane]

so that a tile walks through memory from front to back, one aligned vector at a time.
Columns beyond the last are 0. Packing is done once per call of a layer: n_h**2 reals
against tau * n_b * n_h**2 multiply-adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.arrays import Frame
from bptt.execute.codegen.emit import INDEX, POINTER, Emitter, start_function
from bptt.execute.codegen.shared import Shared, declare
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.tiling import Columns

__all__ = ["COPIES", "Matrix", "Packed", "emit_pack"]

Value = Any


@dataclass(frozen=True)
class Matrix:
    """A matrix in the table; its transpose swaps the strides, one of which is 1.

    Entry (output j, input k) is offset + j * out_stride + k * in_stride reals behind
    `name`.
    """

    name: str
    out_stride: int
    in_stride: int
    offset: int = 0


@dataclass(frozen=True)
class Packed:
    """Where the packed form of one product's matrices is, and how large.

    `widths` are the inputs of the matrices that make up one slot's K, and `matrices`
    lists those of the first slot, then those of the second.
    """

    name: str
    matrices: tuple[Matrix, ...]
    widths: tuple[int, ...]
    columns: Columns
    slots_per_pass: int

    @property
    def n_inputs(self) -> int:
        """K, the inputs of every slot."""
        return sum(self.widths)

    @property
    def passes(self) -> list[tuple[int, ...]]:
        """The numbers of the slots that each pass over the operand handles."""
        numbers = range(len(self.matrices) // len(self.widths))
        step = self.slots_per_pass
        return [tuple(numbers[i : i + step]) for i in range(0, len(numbers), step)]

    def get_offset(self, number: int) -> int:
        """Reals before the panels of pass `number`."""
        slots = sum(len(slots) for slots in self.passes[:number])
        return slots * self.n_inputs * self.columns.n_vectors * self.columns.lanes

    @property
    def n_reals(self) -> int:
        """Reals to allocate, aligned to a vector: the panels and room behind them.

        Transposing writes whole blocks of `lanes` rows; the rows beyond K land in the
        next panel, before that is written, or in the room behind the last.
        """
        widest = self.slots_per_pass * self.columns.vectors * self.columns.lanes
        return self.get_offset(len(self.passes)) + self.columns.lanes * widest


def emit_pack(
    module: ir.Module,
    name: str,
    names: Sequence[str],
    packed: Sequence[Packed],
    target: Target,
    real_bytes: int,
) -> None:
    """Write the kernel `name`(table) that packs every entry of `packed`."""
    straight, crosswise = (declare(module, c, target, real_bytes) for c in COPIES)
    e = start_function(module, name, [POINTER], target, real_bytes, is_public=True)
    frame = Frame(e, names, e.function.args[0])
    for entry in packed:
        for number, slots in enumerate(entry.passes):
            _pack_pass(frame, entry, number, slots, (straight, crosswise))
    e.finish()


def _pack_pass(
    frame: Frame,
    packed: Packed,
    number: int,
    slots: tuple[int, ...],
    copies: tuple[ir.Function, ir.Function],
) -> None:
    e, columns = frame.e, packed.columns
    start = e.at(frame.get_pointer(packed.name), packed.get_offset(number))

    def pack_panel(panel: Value, vectors: int) -> None:
        """The weights of one panel of outputs, `vectors` registers wide."""
        first = e.builder.mul(panel, e.index(columns.vectors * columns.lanes))
        stride = len(slots) * packed.n_inputs
        panel_start = e.at(start, e.builder.mul(first, e.index(stride)))
        panel_width = len(slots) * vectors * columns.lanes
        # In the order of K: what a block writes beyond its end the next one replaces.
        for order, k, matrix, n_inputs in _blocks(packed, slots):
            source = e.at(frame.get_pointer(matrix.name), matrix.offset)
            for vector in range(vectors):
                column = e.builder.add(first, e.index(vector * columns.lanes))
                begin = e.builder.mul(column, e.index(matrix.out_stride))
                count = e.builder.sub(e.index(columns.width), column)
                place = k * panel_width + (order * vectors + vector) * columns.lanes
                is_straight = matrix.out_stride == 1
                step = matrix.in_stride if is_straight else matrix.out_stride
                operands = [e.at(source, begin), e.index(step), count]
                operands += [e.index(n_inputs), e.at(panel_start, place)]
                operands.append(e.index(panel_width))
                e.builder.call(copies[0 if is_straight else 1], operands)

    e.loop(
        e.index(0),
        e.index(columns.n_full),
        1,
        lambda panel: pack_panel(panel, columns.vectors),
    )
    if columns.tail:
        pack_panel(e.index(columns.n_full), columns.tail)


def _blocks(
    packed: Packed, slots: tuple[int, ...]
) -> Iterator[tuple[int, int, Matrix, int]]:
    """(number in the pass, first input, matrix, its inputs) of a pass, by K."""
    k = 0
    for block, n_inputs in enumerate(packed.widths):
        for order, slot in enumerate(slots):
            matrix = packed.matrices[slot * len(packed.widths) + block]
            yield order, k, matrix, n_inputs
        k += n_inputs


_COPY_ARGUMENTS = (POINTER, INDEX, INDEX, INDEX, POINTER, INDEX)


def _write_straight(e: Emitter) -> None:
    """One vector of outputs that lie side by side, for every input."""
    source, stride, count, n_inputs, place, width = e.function.args
    mask = e.mask_first(count)

    def copy(k: Value) -> None:
        """Input k's weights of the vector."""
        value = e.load(e.at(source, e.builder.mul(k, stride)), mask)
        e.store(value, e.at(place, e.builder.mul(k, width)), aligned=True)

    e.loop(e.index(0), n_inputs, 1, copy)


def _write_crosswise(e: Emitter) -> None:
    """One vector of outputs, the inputs side by side: transpose blocks in registers."""
    source, stride, count, n_inputs, place, width = e.function.args
    last = e.builder.sub(count, e.index(1))

    def copy(k: Value) -> None:
        """The weights of a block of inputs from k on."""
        mask = e.mask_first(e.builder.sub(n_inputs, k))
        rows = []
        for lane in range(e.lanes):
            # An output beyond the last repeats the last; its weights are set to 0.
            is_inside = e.builder.icmp_signed("<", e.index(lane), count)
            output = e.minimum_index(e.index(lane), last)
            address = e.at(source, e.builder.mul(output, stride), k)
            value = e.load(address, mask)
            rows.append(e.builder.select(is_inside, value, e.constant(0.0)))
        for lane, column in enumerate(_transpose(e, rows)):
            row = e.builder.add(k, e.index(lane))
            e.store(column, e.at(place, e.builder.mul(row, width)), aligned=True)

    e.loop(e.index(0), n_inputs, e.lanes, copy)


def _transpose(e: Emitter, rows: list[Value]) -> list[Value]:
    """Transpose a square block: swap the off-diagonal halves at every power of two."""
    distance = 1
    while distance < e.lanes:
        kind = ir.VectorType(ir.IntType(32), e.lanes)
        lanes = range(e.lanes)
        low = [i if not i & distance else e.lanes + i - distance for i in lanes]
        high = [i + distance if not i & distance else e.lanes + i for i in lanes]
        for i in lanes:
            if not i & distance:
                a, b = rows[i], rows[i + distance]
                shuffle = e.builder.shuffle_vector
                rows[i] = shuffle(a, b, ir.Constant(kind, low))
                rows[i + distance] = shuffle(a, b, ir.Constant(kind, high))
        distance *= 2
    return rows


# The two ways to copy a vector of outputs: which one, the strides decide.
COPIES = (
    Shared("pack straight", _COPY_ARGUMENTS, _write_straight),
    Shared("pack crosswise", _COPY_ARGUMENTS, _write_crosswise),
)
