"""A plan to kernels: written and compiled, unless equal ones are at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bptt.execute.codegen.jit import Compiled
from bptt.execute.codegen.kernel import (
    KERNEL_TYPES,
    PACK_TYPES,
    Kernel,
    Module,
    find_shared,
    pack_kernel,
)
from bptt.execute.codegen.objects import build
from bptt.execute.codegen.packed_weights import COPIES, Packed
from bptt.execute.codegen.shared import Shared, offer
from bptt.execute.codegen.target import Target
from bptt.execute.compile.generate import Generator, Statics
from bptt.execute.compile.identity import identify
from bptt.execute.compile.layout import Layout
from bptt.execute.compile.stages import StagedProgram


@dataclass(frozen=True)
class Code:
    """Compiled kernels of a plan; `kernels` in order, by segment number.

    shared: functions that they call, which other cells' kernels call too; write: gives
    their IR, without those.
    """

    names: tuple[str, ...]
    compiled: Compiled
    kernels: tuple[tuple[int, str], ...]
    packed: tuple[Packed, ...]
    statics: Statics
    shared: tuple[Shared, ...]
    write: Callable[[], str]

    @property
    def text(self) -> str:
        """The IR of the kernels, written anew."""
        return self.write()


def generate(
    plan: StagedProgram, layout: Layout, target: Target, real_bytes: int
) -> Code:
    """The kernels of every segment that stores something, written only if unknown."""
    generator = Generator(plan, layout)
    names = tuple(generator.collect_names())
    kernels = [
        (number, Kernel(f"segment_{number}", stages))
        for number in range(len(plan.segments))
        if (stages := generator.stages(number))
    ]
    machine = (target, real_bytes)
    packed = tuple(p for _, kernel in kernels for p in pack_kernel(kernel, *machine))
    shared = [f for _, kernel in kernels for f in find_shared(kernel, *machine)]
    signatures = {kernel.name: KERNEL_TYPES for _, kernel in kernels}
    if packed:
        shared += COPIES
        signatures["pack"] = PACK_TYPES

    def write() -> str:
        module = Module(names, *machine)
        for _, kernel in kernels:
            module.add_kernel(kernel)
        if packed:
            module.add_pack("pack", packed)
        return str(module.module)

    offer(shared, *machine)
    description = identify(plan, layout, names, packed, real_bytes)
    compiled = build(description, write, target, signatures)
    order = tuple((number, kernel.name) for number, kernel in kernels)
    functions = tuple(dict.fromkeys(shared))
    return Code(names, compiled, order, packed, generator.statics, functions, write)
