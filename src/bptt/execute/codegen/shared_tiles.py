"""One function for every tile of a kind, for modules of many products.

A tile written where it is used is a little quicker and its code a little longer; in a
cell of 44 products tiles are nine tenths of the code. A shared tile is a function of
its kind: how many rows, slots and vectors it holds, and how its sums begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import INDEX, POINTER, Emitter, start_function
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.tile import WeightPanel, emit_tile
from bptt.execute.codegen.tiling import TileShape

__all__ = ["SharedTiles", "SumsPlace", "TileKind", "run_tile"]

Value = Any


@dataclass(frozen=True)
class TileKind:
    """What the code of a tile depends on.

    added: per slot, whether its sums add to what an earlier product left there.
    """

    shape: TileShape
    vectors: int
    added: tuple[bool, ...]


@dataclass(frozen=True)
class SumsPlace:
    """Where the sums of a tile lie: a row's slots in the scratch, in reals."""

    scratch: Value
    row_size: Value | int
    slots: tuple[Value | int, ...]


class SharedTiles:
    """The tile functions of one module, written when they are first asked for."""

    def __init__(self, module: ir.Module, target: Target, real_bytes: int) -> None:
        self._machine = (target, real_bytes)
        self._module = module
        self._functions: dict[TileKind, ir.Function] = {}

    def get(self, kind: TileKind) -> ir.Function:
        """The function of a kind.

        Its arguments: the first row and the stride to the next in reals; how many rows
        beyond the first a clamped tile may read; the panel and the number of inputs;
        the scratch, its row size and where each slot begins.
        """
        if kind not in self._functions:
            self._functions[kind] = self._write(kind)
        return self._functions[kind]

    def _write(self, kind: TileKind) -> ir.Function:
        name = f"tile_{len(self._functions)}"
        arguments = [POINTER, INDEX, INDEX, POINTER, INDEX, POINTER, INDEX]
        arguments += [INDEX] * len(kind.added)
        e = start_function(self._module, name, arguments, *self._machine)
        first, stride, last, weights, n_inputs, *where = e.function.args
        rows = [first]
        for number in range(1, kind.shape.rows):
            row: Value = e.index(number)
            if kind.shape.is_clamped:
                row = e.minimum_index(row, last)
            rows.append(e.at(first, e.builder.mul(row, stride)))
        place = SumsPlace(where[0], where[1], tuple(where[2:]))
        panel = WeightPanel(weights, len(kind.added) * kind.vectors)
        run_tile(e, kind, rows, panel, n_inputs, place)
        e.finish()
        return e.function


def run_tile(
    e: Emitter,
    kind: TileKind,
    rows: Sequence[Value],
    panel: WeightPanel,
    n_inputs: Value | int,
    place: SumsPlace,
) -> None:
    """Write a tile: its sums begin in the scratch, or at zero, and end there."""
    places = []
    for number in range(kind.shape.rows):
        row = number * place.row_size if isinstance(place.row_size, int) else (
            e.builder.mul(e.index(number), place.row_size)
        )  # fmt: skip
        for slot, is_added in zip(place.slots, kind.added, strict=True):
            for vector in range(kind.vectors):
                offset = vector * e.lanes
                places.append((e.at(place.scratch, row, slot, offset), is_added))
    sums: Sequence[Value] = [
        e.load(address, aligned=True) if is_added else e.constant(0.0)
        for address, is_added in places
    ]
    sums = emit_tile(e, rows, panel, n_inputs, sums, kind.shape.splits)
    for (address, _), value in zip(places, sums, strict=True):
        e.store(value, address, aligned=True)
