"""One function for every tile of a kind, shared by all kernels of a process.

Written where they are used, tiles were 86 % of a cell's code and compiled anew for
each cell. A shared tile is a function of its kind: how many rows, slots and vectors it
holds, and how its sums begin. Kernels call it by a name that LLVM looks up when their
code is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bptt.execute.codegen.emit import INDEX, POINTER, Emitter
from bptt.execute.codegen.shared import Shared
from bptt.execute.codegen.tile import WeightPanel, emit_tile
from bptt.execute.codegen.tiling import TileShape

__all__ = ["TileKind", "share_tile"]

Value = Any


@dataclass(frozen=True)
class TileKind:
    """What the code of a tile depends on.

    added: per slot, whether its sums add to what an earlier product left there.
    """

    shape: TileShape
    vectors: int
    added: tuple[bool, ...]


def share_tile(kind: TileKind) -> Shared:
    """The function of a kind.

    Its arguments: the first row and the stride to the next in reals; how many rows
    beyond the first a clamped tile may read; the panel and the number of inputs; the
    scratch, its row size and where each slot begins.
    """
    arguments = [POINTER, INDEX, INDEX, POINTER, INDEX, POINTER, INDEX]
    arguments += [INDEX] * len(kind.added)
    return Shared(kind, tuple(arguments), partial(_write, kind))


def _write(kind: TileKind, e: Emitter) -> None:
    """The sums of a tile begin in the scratch, or at zero, and end there."""
    first, stride, last, weights, n_inputs, scratch, row_size, *slots = e.function.args
    rows = [first]
    for number in range(1, kind.shape.rows):
        row: Value = e.index(number)
        if kind.shape.is_clamped:
            row = e.minimum_index(row, last)
        rows.append(e.at(first, e.builder.mul(row, stride)))
    places = []
    for number in range(kind.shape.rows):
        begin = e.builder.mul(e.index(number), row_size)
        for slot, is_added in zip(slots, kind.added, strict=True):
            for vector in range(kind.vectors):
                offset = vector * e.lanes
                places.append((e.at(scratch, begin, slot, offset), is_added))
    sums: Sequence[Value] = [
        e.load(address, aligned=True) if is_added else e.constant(0.0)
        for address, is_added in places
    ]
    panel = WeightPanel(weights, len(kind.added) * kind.vectors)
    sums = emit_tile(e, rows, panel, n_inputs, sums, kind.shape.splits)
    for (address, _), value in zip(places, sums, strict=True):
        e.store(value, address, aligned=True)
