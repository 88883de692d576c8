"""How many bytes a call takes whose steps are run in stretches, before it runs."""

from __future__ import annotations

from bptt.calculus.program import Program
from bptt.execute.checkpoints import Demand
from bptt.execute.codegen.reduce import DEPTH, count_reduce_work
from bptt.execute.codegen.turns import FIELDS
from bptt.execute.compile.compiler import Executable
from bptt.execute.kernels.stretch_values import collected
from bptt.execute.kernels.totals import block_rows, count_ranges
from bptt.execute.kernels.workspace import ALIGNMENT
from bptt.step.graph import shift_of

# Of both directions, for stretches of two lengths; and those of batched kernels.
TURN_BYTES, FLAT_TURN_BYTES = 4 * FIELDS * 8, 2 * FIELDS * 8
# A stretch that a lone step has joined is of a third length.
JOINED_TURN_BYTES = 3 * FIELDS * 8


def is_two_ways(executable: Executable) -> bool:
    """Whether two sweeps are enough, of which the first is all of a first phase."""
    if len(executable.sweeps.directions) != 2:
        return False
    return not executable.program.is_phased or executable.early == 0


def find_demand(
    program: Program, executable: Executable, n_b: int, n_rows: int, *,
    threads: int, is_ragged: bool, n_summed: int | None = None,
) -> Demand:  # fmt: skip
    """The bytes of everything that `measured` counts.

    n_rows: useful steps of all rows; n_summed: rows that sums take, if more.
    """
    item = executable.real_bytes
    layout, sweeps = executable.layout, executable.sweeps
    row = sum(buffer.stride for buffer in layout.buffers) * item
    row += _aligned_bytes(executable) if is_ragged else 0
    padded = sum(b.stride for b in layout.buffers if b.is_padded) * item
    is_binary = is_two_ways(executable)
    pairs = sweeps.carried(0) if is_binary else list(sweeps.levels_of)
    state = sum(layout.width(node) for node, _ in pairs) * item * n_b
    back = sum(layout.width(node) for node, _ in sweeps.levels_of) * item * n_b
    kept = sum(layout.width(node) for node in collected(program, executable))
    ends = [n for n in (*program.graph.states, *program.carried.values())
            if n in executable.program.roots]  # fmt: skip
    back += sum(layout.width(executable.program.roots[n]) for n in ends) * item * n_b
    fixed = FLAT_TURN_BYTES + JOINED_TURN_BYTES + 2 * padded * n_b + back
    fixed += _shared_bytes(executable, n_summed or n_rows, threads)
    return Demand(
        fixed + kept * item * n_rows, state, n_b * row + TURN_BYTES, is_binary
    )


def _aligned_bytes(executable: Executable) -> int:
    """Per row, the copies that a ragged batch makes of other steps' rows."""
    plan, layout = executable.plan, executable.layout
    shifts = [shift_of(node) for nodes in executable.other_steps for node in nodes]
    reads = dict.fromkeys(
        (layout.places[plan.padded[name]].buffer, lag) for name, lag in shifts
    )
    return sum(layout.buffers[n].stride for n, _ in reads) * executable.real_bytes


def _shared_bytes(executable: Executable, n_rows: int, threads: int) -> int:
    """Packed weights, results, and rows that wait until their block is whole."""
    item, layout = executable.real_bytes, executable.layout
    line = ALIGNMENT // item
    reals = sum(-(-p.n_reals // line) * line for p in executable.code.packed)
    reals += sum(executable.sums.sizes)
    waiting = min(DEPTH, n_rows)
    reals += sum(waiting * (job.m + job.n) for job in executable.sums.jobs)
    spaces = [count_ranges(job, n_rows, threads) for job in executable.sums.jobs]
    reals += max(spaces, default=0) * count_reduce_work(executable.target, item)
    for _, total in executable.totals:
        width = sum(layout.width(child) for child in total.inputs)
        # An index has 8 bytes in every element type.
        reals += 8 // item * width * min(block_rows(width), n_rows)
    return reals * item
