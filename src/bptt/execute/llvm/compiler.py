"""A program, its sizes and an element type to something that runs.

expand -> rotate -> schedule -> plan -> lay out -> generate; see the modules of these
names. The result is kept by `compile_program`, bounded, and owns its machine code.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bptt.execute.llvm.expand import NotCompilableError, expand
from bptt.execute.llvm.generate import Code, generate
from bptt.execute.llvm.jit import Compiled
from bptt.execute.llvm.kernel import Module
from bptt.execute.llvm.layout import Layout
from bptt.execute.llvm.planner import Plan, plan_program
from bptt.execute.llvm.reduce import REDUCE_TYPES, emit_reduce
from bptt.execute.llvm.rotate import rotate
from bptt.execute.llvm.target import Target
from bptt.execute.program import Program
from bptt.graph import Node, walk
from bptt.recurrence import schedule
from bptt.shapes import Dim

KEPT = 64  # compiled programs


@dataclass(frozen=True, eq=False)
class Executable:
    """Kernels with everything that is known before tau, n_b and the arrays are.

    program: the program in primitives, whose nodes results are read by; totals: every
    total over time, in order; matrices: static nodes that need evaluating.
    """

    program: Program
    plan: Plan
    layout: Layout
    code: Code
    reduce: Compiled
    target: Target
    real_bytes: int
    pool: list[Any]


def compile_program(
    program: Program, sizes: Mapping[str, int], real_bytes: int, target: Target
) -> Executable:
    """Compile, or find what was compiled before for the same sizes and element type.

    Raises: NotCompilableError with a reason, for what kernels have no form for.
    """
    used = program.graph.dims()
    key = tuple((dim, sizes[dim]) for dim in used if dim in sizes)
    return _compile(program, key, real_bytes, target)


@functools.lru_cache(maxsize=KEPT)
def _compile(
    program: Program, key: tuple[tuple[str, int], ...], real_bytes: int, target: Target
) -> Executable:
    sizes = dict(key)
    lowered = lower_program(program)
    plan = plan_program(lowered.segments, lowered.roots, lowered.outputs, sizes)
    layout = Layout(plan, sizes, real_bytes)
    code = generate(plan, layout, target, real_bytes)
    reduce = compile_reduce(target, real_bytes)
    return Executable(lowered, plan, layout, code, reduce, target, real_bytes, [])


def lower_program(program: Program) -> Program:
    """The same program in primitives, with carried products rotated."""
    roots = rotate(expand(program.roots))
    inputs = {name: program.sources[name] for name in program.graph.inputs
              if name in program.sources}  # fmt: skip
    # A carry that only an initial gradient reads is made from its parts when asked for.
    outputs = tuple(
        name for name in program.outputs if name not in program.carried.values()
    )
    plan = schedule(roots, outputs, inputs)
    for node in walk(plan.roots[name] for name in outputs):
        _check(node)
    sources = {**inputs, **plan.roots}
    return replace(
        program, segments=plan.segments, roots=plan.roots, outputs=outputs, sources=sources
    )


def _check(node: Node) -> None:
    if node.timed and node.rank == 2:
        raise NotCompilableError("a matrix that changes in time")
    if node.op == "total" and node.rank == 2:
        raise NotCompilableError("a matrix that changes in time")


@functools.cache
def compile_reduce(target: Target, real_bytes: int) -> Compiled:
    """The product over all rows; one for every size."""
    module = Module((), target, real_bytes)
    emit_reduce(module.module, "reduce", target, real_bytes)
    module.add_signature("reduce", REDUCE_TYPES)
    return module.compile()


def number_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """A dimension as a number."""
    value = sizes[dim] if isinstance(dim, str) else dim
    assert isinstance(value, int)
    return value
