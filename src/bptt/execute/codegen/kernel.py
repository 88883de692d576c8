"""Kernels: stages inside a loop over time, for a range of batch rows.

Every kernel is `kernel(turns, n_turns, row_begin, row_end, table)`. The turns say which
step comes when, which rows run at it and where they lie. The rows of a batch do not
depend on each other, so threads call the same kernel with disjoint ranges of rows and
never wait for one another.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.execute.codegen.emit import INDEX, POINTER, start_function
from bptt.execute.codegen.jit import Compiled, compile_ir
from bptt.execute.codegen.packed_weights import COPIES, Packed, emit_pack
from bptt.execute.codegen.rows import RowStage, emit_row_stage
from bptt.execute.codegen.shared import Shared, offer
from bptt.execute.codegen.stage import (
    Stage,
    count_scratch,
    emit_stage,
    find_tiles,
    pack_products,
    plan,
)
from bptt.execute.codegen.target import Target
from bptt.execute.codegen.turns import BEGIN, END, FIELDS, load_field

__all__ = [
    "KERNEL_TYPES",
    "PACK_TYPES",
    "Kernel",
    "Module",
    "find_shared",
    "pack_kernel",
]

KERNEL_TYPES: list[Any] = [
    ctypes.c_void_p,
    *[ctypes.c_int64] * 3,
    ctypes.c_void_p,
]
PACK_TYPES: list[Any] = [ctypes.c_void_p]


@dataclass(frozen=True)
class Kernel:
    """Stages that run one after another at every turn."""

    name: str
    stages: tuple[Stage | RowStage, ...]


def pack_kernel(kernel: Kernel, target: Target, real_bytes: int) -> list[Packed]:
    """The packed weights that a kernel's products read."""
    stages = [stage for stage in kernel.stages if isinstance(stage, Stage)]
    return [p for stage in stages for p in pack_products(stage, target, real_bytes)]


def find_shared(kernel: Kernel, target: Target, real_bytes: int) -> list[Shared]:
    """The functions that a kernel calls and other kernels share."""
    stages = [stage for stage in kernel.stages if isinstance(stage, Stage)]
    return [f for stage in stages for f in find_tiles(stage, target, real_bytes)]


class Module:
    """Kernels that are compiled together and share one table of arrays.

    `names` orders the table: arrays, matrices and packed weights alike.
    """

    def __init__(self, names: Sequence[str], target: Target, real_bytes: int) -> None:
        self.names = tuple(names)
        self.target, self.real_bytes = target, real_bytes
        self._module = ir.Module()
        self._shared: dict[Shared, None] = {}
        self._signatures: dict[str, list[Any]] = {}

    def add_kernel(self, kernel: Kernel) -> list[Packed]:
        """Write a kernel; returns the packed weights that its products read."""
        machine = (self.target, self.real_bytes)
        functions = []
        n_scratch = 1
        for number, stage in enumerate(kernel.stages):
            place = (self._module, f"{kernel.name}_{number}", self.names)
            if isinstance(stage, RowStage):
                functions.append(emit_row_stage(*place, stage, *machine))
                continue
            functions.append(emit_stage(*place, stage, *machine))
            tiling = plan(stage, self.target, self.real_bytes)
            n_scratch = max(n_scratch, count_scratch(stage, tiling))
        self._emit_loop(kernel, functions, n_scratch)
        self._shared |= dict.fromkeys(find_shared(kernel, *machine))
        return pack_kernel(kernel, *machine)

    def add_pack(self, name: str, packed: Sequence[Packed]) -> None:
        """Write the kernel `name`(table) that packs weights."""
        place = (self._module, name, self.names, packed, self.target, self.real_bytes)
        emit_pack(*place)
        self._shared |= dict.fromkeys(COPIES)
        self._signatures[name] = PACK_TYPES

    @property
    def module(self) -> ir.Module:
        """The IR module, for generators of other functions."""
        return self._module

    def add_signature(self, name: str, types: list[Any]) -> None:
        """Make a function written into `module` by someone else callable."""
        self._signatures[name] = types

    def compile(
        self, text: str | None = None, *, keep_assembly: bool = False
    ) -> Compiled:
        """Compile everything added so far; `text` is the module's, if it is known."""
        offer(self._shared, self.target, self.real_bytes)
        return compile_ir(
            text or str(self._module),
            self.target,
            self._signatures,
            keep_assembly=keep_assembly,
        )

    def _emit_loop(
        self, kernel: Kernel, functions: list[ir.Function], n_scratch: int
    ) -> None:
        arguments = [POINTER, INDEX, INDEX, INDEX, POINTER]
        place = (self._module, kernel.name, arguments, self.target, self.real_bytes)
        e = start_function(*place, is_public=True)
        turns, n_turns, begin, end, table = e.function.args
        scratch = e.allocate(n_scratch)

        def run_turn(number: Any) -> None:
            offset = e.builder.mul(number, e.index(FIELDS))
            turn = e.builder.gep(turns, [offset], source_etype=INDEX)
            first = e.maximum_index(begin, load_field(e.builder, turn, BEGIN))
            last = e.minimum_index(end, load_field(e.builder, turn, END))

            def run_stages() -> None:
                for function in functions:
                    e.builder.call(function, [table, turn, first, last, scratch])

            e.when(e.builder.icmp_signed("<", first, last), run_stages)

        e.loop(e.index(0), n_turns, 1, run_turn)
        e.finish()
        self._signatures[kernel.name] = KERNEL_TYPES
