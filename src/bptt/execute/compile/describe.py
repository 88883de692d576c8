"""The plan of a compiled gradient, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bptt.execute.checkpoints import CheckpointPlan
from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.expand import REDUCTIONS
from bptt.execute.compile.stages import StagePlan
from bptt.step.graph import Node, name_of, shift_of

HEADINGS = {0: "all steps at once", 1: "loop t = 1..tau", -1: "loop t = tau..1"}


@dataclass(frozen=True)
class Lowering:
    """How a cell's gradient is computed by kernels; `print` it.

    text: the plan; ir: the LLVM IR of its kernels; bytes_per_step: memory kept per step
    and batch row; flops_per_step: of all matrix products, forward, backward and sums
    over time, per step and batch row (a multiply-add is two); schedule: how a sequence
    is run in the memory that was asked for.
    """

    text: str
    ir: str
    bytes_per_step: int
    flops_per_step: int
    schedule: CheckpointPlan | None = None

    def __str__(self) -> str:
        return self.text


def describe(
    executable: Executable, dtype: str, schedule: CheckpointPlan | None = None
) -> Lowering:
    """The plan of an executable as text."""
    names = _Names(executable)
    sizes = executable.layout.sizes
    used = ", ".join(f"{dim} = {size}" for dim, size in sizes.items())
    item, width = executable.real_bytes, executable.target.vector_bytes
    kept = sum(buffer.stride for buffer in executable.layout.buffers) * item
    flops = 2 * sum(_products(executable))
    lines = [
        f"gradient by kernels: {used}, {dtype}, {width}-byte vectors",
        *_segment_lines(executable, names),
        *_sum_lines(executable, names),
        f"per step and row: {kept:,} bytes kept, {flops:,} flops of matrix products",
    ]
    if schedule is not None:
        lines.append(str(schedule))
    return Lowering("\n".join(lines), executable.code.text, kept, flops, schedule)


class _Names:
    """What to call a value that has lost its name."""

    def __init__(self, executable: Executable) -> None:
        self._canon = executable.plan.canon
        self._known: dict[Node, str] = {}
        for name, root in executable.program.roots.items():
            if root.timed and not name.startswith("∇"):
                self._known.setdefault(self._canon(root), name)

    def __call__(self, node: Node) -> str:
        if node.op == "shift":
            name, lag = shift_of(node)
            return f"{name}[t{lag:+d}]"
        if node.op == "transpose":
            return f"{self(node.inputs[0])}.T"
        if node.op == "parameter":
            return name_of(node)
        if node.op in ("input", "seed"):
            return f"{'seed of ' if node.op == 'seed' else ''}{name_of(node)}[t]"
        if node.op == "weight":
            return "w[t]"
        known = self._known.get(self._canon(node) if node.timed else node)
        if known is not None:
            return f"{known}[t]"
        if node.op == "matvec":
            return f"{self(node.inputs[0])} @ {self(node.inputs[1])}"
        return f"{node.op}(..)" if node.inputs else str(node.data)


def _segment_lines(executable: Executable, names: _Names) -> Iterator[str]:
    for segment in executable.plan.segments:
        stages = [stage for stage in segment.stages if not stage.is_empty]
        if not stages:
            continue
        yield HEADINGS[segment.direction]
        for number, stage in enumerate(stages, 1):
            yield f"  stage {number}: {_stage_text(stage, names)}"


def _stage_text(stage: StagePlan, names: _Names) -> str:
    parts = [names(node) for node in stage.products]
    parts += [
        f"{n.op} of {names(n.inputs[0])}" for n in stage.homes if n.op in REDUCTIONS
    ]
    work = ", ".join(dict.fromkeys(parts)) or "equations only"
    stored = ", ".join(names(node) for node in stage.stored)
    return f"{work}; saves {stored}"


def _sum_lines(executable: Executable, names: _Names) -> Iterator[str]:
    items = executable.layout.sums
    if items or executable.totals:
        yield "sums over all steps"
    for item in items:
        gradients = ", ".join(names(node) for node in item.nodes)
        yield f"  ({gradients}) times {names(item.operand)} transposed"
    for _, node in executable.totals:
        yield f"  {node.op} of {names(node.inputs[0])}"


def _products(executable: Executable) -> Iterator[int]:
    layout = executable.layout
    for segment in executable.plan.segments:
        for stage in segment.stages:
            if not stage.is_empty:
                for node in stage.products:
                    yield layout.width(node) * layout.width(node.inputs[1])
    for job in executable.sums.jobs:
        yield job.m * job.n
