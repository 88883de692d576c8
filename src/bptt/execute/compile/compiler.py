"""A program, its sizes and an element type to something that runs.

expand -> rotate -> schedule -> plan -> lay out -> generate; see the modules of these
names. The result is kept by `compile_program`, bounded, and owns its machine code.
"""

from __future__ import annotations

import functools
import gc
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]

from bptt.calculus.program import Program
from bptt.execute.codegen.jit import Compiled
from bptt.execute.codegen.objects import build
from bptt.execute.codegen.reduce import REDUCE_TYPES, emit_reduce
from bptt.execute.codegen.target import Target
from bptt.execute.compile.code import Code, generate
from bptt.execute.compile.expand import NotCompilableError, expand
from bptt.execute.compile.layout import Layout
from bptt.execute.compile.reuse import find_reads, find_successors
from bptt.execute.compile.rotate import rotate
from bptt.execute.compile.stages import (
    StagedProgram,
    is_leaf,
    is_other_step,
    plan_program,
)
from bptt.execute.compile.sums import Sums, plan_sums
from bptt.execute.compile.sweeps import Pair, Sweeps, plan_sweeps
from bptt.step.graph import Node, walk

# The largest cell of the library has 361; 2,800, a chain of 400 equations, take 9 s.
MOST_NODES = 4000
KEPT = 64  # compiled programs
SPARE = 3  # workspaces, and memories of steps, that one keeps
Kernel = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Executable:
    """Kernels with everything that is known before tau, n_b and the arrays are.

    program: the program in primitives, whose nodes results are read by; kernels: in
    order, with the phase and direction of each; other_steps: per kernel, and at the end
    for the sums, the values of other steps that it reads; sums and totals: what is
    summed over time after them, by `reduce` and in NumPy, totals with their phase;
    sweeps: which way each kernel runs where steps run in stretches; pool and memories:
    spare workspaces, and memories of steps; recipes: what plain calls do, by their
    shape.
    """

    program: Program
    plan: StagedProgram
    layout: Layout
    code: Code
    kernels: tuple[tuple[int, int, Kernel], ...]
    other_steps: tuple[tuple[Node, ...], ...]
    pack: Kernel | None
    reduce: Kernel
    sums: Sums
    totals: tuple[tuple[int, Node], ...]
    sweeps: Sweeps
    work_per_row: int  # multiply-adds per row and step, about
    target: Target
    real_bytes: int
    pool: deque[Any]
    memories: deque[Any]
    recipes: dict[Any, Any]

    @functools.cached_property
    def early(self) -> int:
        """The last sweep that has a part in a phased program's first phase."""
        return max(
            [level for level, (phase, _, _) in
             zip(self.sweeps.levels, self.kernels, strict=True) if phase == 0]
            + [self.sweeps.levels_of[pair] for pair in self._pairs(is_early=True)],
            default=0,
        )  # fmt: skip

    @functools.cached_property
    def is_resumable(self) -> bool:
        """Whether what the first phase hands on is all that its sweeps hand on."""
        late = self._pairs(is_early=False)
        return all(self.sweeps.levels_of[pair] > self.early for pair in late)

    @functools.cached_property
    def early_buffers(self) -> frozenset[int]:
        """The buffers into which kernels of the first phase write."""
        places, homes = self.layout.places, self.sweeps.homes
        return frozenset(
            place.buffer for node, place in places.items()
            if node not in homes or self.kernels[homes[node]][0] == 0
        )  # fmt: skip

    @functools.cached_property
    def forward(self) -> tuple[tuple[int, ...], tuple[Node, ...]]:
        """The kernels, and the totals over time, that no gradient needs to be there."""
        names = [name for name in self.program.outputs if not name.startswith("∇")]
        roots = [self.program.roots[name] for name in names]
        reached = set(walk(roots))
        totals = tuple(node for _, node in self.totals if node in reached)
        read = [child for total in totals for child in self.plan.canon.inputs(total)]
        homes = self.sweeps.homes
        parts = _find_parts([*roots, *read], self.plan)
        kernels = self.sweeps.close({homes[part] for part in parts if part in homes})
        return tuple(kernels), totals

    def is_early(self, pair: Pair) -> bool:
        """Whether a value that is read elsewhere is one of the first phase."""
        return self.kernels[self.sweeps.homes[pair[0]]][0] == 0

    def _pairs(self, *, is_early: bool) -> list[Pair]:
        return [p for p in self.sweeps.levels_of if self.is_early(p) == is_early]


# Of references without a callback: see `jit._Loaded`. A WeakSet has one, in Python.
_LIVING: dict[weakref.ref[Executable], None] = {}


def living() -> list[Executable]:
    """The executables that somebody holds; copied at once, for threads add to them."""
    found = (one() for one in _LIVING.copy())
    return [executable for executable in found if executable is not None]


def _note(made: Executable) -> None:
    """Add an executable to the living, and forget those that are gone."""
    for one in _LIVING.copy():
        if one() is None:
            _LIVING.pop(one, None)
    _LIVING[weakref.ref(made)] = None


def drop_spare() -> None:
    """Give back what executables keep from call to call; later calls allocate anew."""
    for executable in living():
        executable.pool.clear()
        executable.memories.clear()


def compile_program(
    program: Program, sizes: Mapping[str, int], real_bytes: int, target: Target
) -> Executable:
    """Compile, or find what was compiled before for the same sizes and element type.

    Raises: NotCompilableError with a reason, for what kernels have no form for.
    """
    sums = sorted(dim for dim in sizes if "+" in dim)
    known = (dim for dim in (*program.dims, *sums) if dim in sizes)
    key = tuple((dim, sizes[dim]) for dim in known)
    return _compile(program, key, real_bytes, target)


def lay_out(
    program: Program, sizes: Mapping[str, int], real_bytes: int
) -> tuple[Program, StagedProgram, Layout]:
    """Everything before code: the program in primitives, its stages, its memory."""
    lowered = lower_program(program, sizes)
    count = sum(len(segment.nodes) for segment in lowered.segments)
    if count > MOST_NODES:
        raise NotCompilableError(
            f"a step and its gradient of {count:,} operations: more than "
            f"{MOST_NODES:,} would take minutes to compile"
        )
    plan = plan_program(lowered.segments, lowered.roots, lowered.outputs, sizes)
    kept = [root for name, root in lowered.roots.items() if name in lowered.outputs]
    successors = find_successors(plan, [node for node in kept if node.timed])
    return lowered, plan, Layout(plan, sizes, real_bytes, successors)


@functools.lru_cache(maxsize=KEPT)
def _compile(
    program: Program, key: tuple[tuple[str, int], ...], real_bytes: int, target: Target
) -> Executable:
    lowered, plan, layout = lay_out(program, dict(key), real_bytes)
    with _collection_paused():
        code = generate(plan, layout, target, real_bytes)
    get = code.compiled.get_function
    kernels = tuple(
        (plan.segments[number].phase, plan.segments[number].direction, get(name))
        for number, name in code.kernels
    )
    pack = get("pack") if code.packed else None
    reduce = compile_reduce(target, real_bytes).get_function("reduce")
    sums = plan_sums(plan, layout, code.names, real_bytes)
    totals = tuple(
        (s.phase, n) for s in plan.segments for n in s.totals if n not in sums.views
    )
    summed = [node for item in layout.sums for node in (*item.nodes, item.operand)]
    summed += [child for _, total in totals for child in plan.canon.inputs(total)]
    summed += _find_parts([lowered.roots[name] for name in program.outputs], plan)
    sweeps = plan_sweeps(plan, [number for number, _ in code.kernels], summed)
    work = sum(packed.n_reals for packed in code.packed)
    made = Executable(
        lowered, plan, layout, code, kernels, _find_other_steps(plan, layout, code),
        pack, reduce, sums, totals, sweeps, work, target, real_bytes,
        deque(maxlen=SPARE), deque(maxlen=SPARE), {},
    )  # fmt: skip
    _note(made)
    return made


def _find_other_steps(
    plan: StagedProgram, layout: Layout, code: Code
) -> tuple[tuple[Node, ...], ...]:
    """See `Executable`: what a kernel read of another step that a kernel stored."""
    reads: list[list[Node]] = []
    for number, _ in code.kernels:
        found: list[Node] = []
        for stage in plan.segments[number].stages:
            if not stage.is_empty:
                found += find_reads(stage, plan)
                found += [plan.canon(node.inputs[1]) for node in stage.products]
        reads.append(found)
    reads.append([node for item in layout.sums for node in (*item.nodes, item.operand)])
    return tuple(
        tuple(n for n in dict.fromkeys(found) if is_other_step(n, plan))
        for found in reads
    )


def _find_parts(roots: Sequence[Node], plan: StagedProgram) -> list[Node]:
    """What is in memory, or was given, of which a caller's values are made."""
    found: dict[Node, None] = {}
    stack = [plan.canon(root) for root in roots if root.timed]
    while stack:
        node = stack.pop()
        if node in plan.memory or is_leaf(node):
            found[node] = None
        else:
            stack += [plan.canon(child) for child in node.inputs if child.timed]
    return list(found)


@contextmanager
def _collection_paused() -> Iterator[None]:
    """No search for cyclic garbage meanwhile.

    Writing IR makes a hundred thousand objects that all live until the end; Python then
    searches the caller's whole heap, several times, which took 0.1 to 0.25 s of 0.5 in
    a process that had loaded PyTorch and JAX.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def lower_program(program: Program, sizes: Mapping[str, int]) -> Program:
    """The same program in primitives, carried products rotated; not ordered yet."""
    roots, rotated = rotate(expand(program.unordered, sizes), program.graph.definitions)
    leaves = {name: leaf for name, leaf in program.leaves.items()
              if name in program.graph.inputs}  # fmt: skip
    # A carry that only an initial gradient reads is made from its parts when asked for.
    spare = {n for n in program.carried.values() if n in rotated}
    outputs = tuple(name for name in program.outputs if name not in spare)
    lowered = replace(program, unordered=roots, leaves=leaves, outputs=outputs)
    asked = [name for name in program.outputs if name in spare]
    if not asked:
        return lowered
    needed = {node for segment in lowered.segments for node in segment.nodes}
    if all(_has_parts(lowered.roots[name], needed) for name in asked):
        return lowered
    # Nothing else needs that loop: it is computed for the initial gradient.
    return replace(lowered, outputs=program.outputs)


def _has_parts(carry: Node, needed: Collection[Node]) -> bool:
    """Whether the named values that a rotated carry is made of are computed."""
    work = list(carry.inputs)
    while work:
        node = work.pop()
        if node.op == "named":
            if node not in needed:
                return False
        else:
            work += node.inputs
    return True


@functools.cache
def compile_reduce(target: Target, real_bytes: int) -> Compiled:
    """The product over all rows; one for every size."""

    def write() -> str:
        module = ir.Module()
        emit_reduce(module, "reduce", target, real_bytes)
        return str(module)

    signatures = {"reduce": REDUCE_TYPES}
    return build(("reduce", real_bytes), write, target, signatures)
