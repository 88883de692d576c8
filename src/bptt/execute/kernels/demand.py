"""How many bytes a call takes whose steps are run in stretches, before it runs."""

from __future__ import annotations

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import Demand
from bptt.execute.codegen.reduce import DEPTH, count_reduce_work
from bptt.execute.codegen.turns import FIELDS
from bptt.execute.compile.compiler import Executable
from bptt.execute.kernels.stretch_values import collected
from bptt.execute.kernels.totals import MOST_REALS
from bptt.step.graph import shift_of

TURN_BYTES = 2 * FIELDS * 8  # of both directions


def find_demand(
    program: Program, executable: Executable, bindings: Bindings
) -> Demand:
    """The bytes that everything takes that `measured` counts."""
    item, n_b = executable.real_bytes, bindings.n_b
    layout, sweeps = executable.layout, executable.sweeps
    row = sum(buffer.stride for buffer in layout.buffers) * item
    row += _aligned_bytes(executable) if bindings.packing is not None else 0
    padded = sum(b.stride for b in layout.buffers if b.is_padded) * item
    is_binary = len(sweeps.directions) == 2
    pairs = sweeps.carried(0) if is_binary else list(sweeps.levels_of)
    state = sum(layout.width(node) for node, _ in pairs) * item * n_b
    back = sum(layout.width(node) for node, _ in sweeps.levels_of) * item * n_b
    fixed = 2 * padded * n_b + 2 * back + _shared_bytes(executable)
    rows = bindings.weight.size
    fixed += sum(layout.width(node) for node in collected(program, executable)) * (
        item * rows
    )
    return Demand(fixed, state, n_b * row + TURN_BYTES, is_binary)


def _aligned_bytes(executable: Executable) -> int:
    """Per row, the copies that a ragged batch makes of other steps' rows."""
    plan, layout = executable.plan, executable.layout
    reads = {
        (layout.places[plan.padded[shift_of(node)[0]]].buffer, shift_of(node)[1])
        for nodes in executable.other_steps for node in nodes
    }  # fmt: skip
    return sum(layout.buffers[n].stride for n, _ in reads) * executable.real_bytes


def _shared_bytes(executable: Executable) -> int:
    """Packed weights, results, and rows that wait until their block is whole."""
    item = executable.real_bytes
    reals = sum(packed.n_reals for packed in executable.code.packed)
    reals += sum(executable.sums.sizes)
    reals += sum(DEPTH * (job.m + job.n) for job in executable.sums.jobs)
    reals += count_reduce_work(executable.target, item)
    reals += MOST_REALS * len(executable.totals)
    return reals * item
