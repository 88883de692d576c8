"""Small plain calls on addresses, for a library whose arrays are not NumPy's.

`quick` finds arrays by name at every call, and lends what it computed. Here a caller
knows the numbers of its arrays in the table once and for all, the values of steps lie
in one small block that it may keep, and what it takes out of it are views. Which views
there are is decided before the first call; a cell that has others goes another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt.calculus.program import Program
from bptt.execute.bindings import Bindings
from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.expand import NotCompilableError
from bptt.execute.compile.sums import View
from bptt.execute.kernels.memory import (
    Workspace,
    address_of,
    cut_out,
)
from bptt.execute.kernels.places import buffer_shapes, find_rows, place_together
from bptt.execute.kernels.quick import Recipe, find
from bptt.execute.kernels.totals import block_rows
from bptt.execute.kernels.workspace import ALIGNMENT
from bptt.step.evaluate import evaluate
from bptt.step.graph import Node
from bptt.step.shapes import Array, numbers_of

# Above these the kernels take most of the time, and fresh memory costs page faults.
MOST_BLOCK, MOST_WORKSPACE = 512 << 10, 8 << 20
KEPT = 3  # spare seats


class StepBlock:
    """Zeros that hold the values of steps; address: of the first, aligned."""

    __slots__ = ("address", "memory", "offset")

    def __init__(self, n_bytes: int) -> None:
        """A few KiB: cheaper to make anew than to lend and to take back."""
        self.memory = np.zeros(n_bytes + ALIGNMENT, np.uint8)
        begin = address_of(self.memory)
        self.offset = -begin % ALIGNMENT
        self.address = begin + self.offset


@dataclass(frozen=True)
class Extent:
    """A value's rows, of all steps or of one, from `start` bytes on.

    buffer: into the seat's buffer of this number; None: into the block.
    """

    buffer: int | None
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def with_axis(self) -> Extent:
        """The same with a first axis of length 1."""
        size = self.shape[0] * self.strides[0]
        return replace(self, shape=(1, *self.shape), strides=(size, *self.strides))


class Seat:
    """A workspace that one call at a time runs in, and what its user keeps with it.

    token: whose weights are packed in it; task: of the way back that ran here last, if
    nothing did since; kept: views made once, by a caller's keys.
    """

    def __init__(self, workspace: Workspace, block: StepBlock) -> None:
        self.workspace, self.block = workspace, block
        self.token: object = None
        self.task: int | None = None
        self.kept: dict[Any, Any] = {}


class Direct:
    """The plain calls of an executable for one number of steps and rows."""

    def __init__(self, executable: Executable, recipe: Recipe, sizes: Any) -> None:
        """See `find_direct`."""
        self.executable, self.recipe, self.sizes = executable, recipe, sizes
        self.program = executable.program
        self.tau, self.n_b = recipe.shape
        self.item = executable.real_bytes
        self.dtype = np.dtype(f"f{self.item}")
        self._shapes = buffer_shapes(executable, *recipe.shape)
        self._starts, size = place_together(executable, *recipe.shape)
        self.n_bytes = size * self.item
        self._totals = self._find_totals()
        self._spare: list[Seat] = []
        first = self._make_seat()
        space, base = first.workspace, first.block.address
        # Where the table shows into the block, from its beginning.
        self._entries = [
            (space.numbers[name], address - base)
            for number, start in enumerate(self._starts) if start is not None
            for name, address in space.addresses(number).items()
            if name in space.numbers
        ]  # fmt: skip
        self.states = {
            name: Extent(None, address_of(part[:1]) - base, part.shape, part.strides)
            for name, part in space.boundaries
        }
        self._spare.append(first)

    # ----- seats -----

    def take(self) -> Seat:
        """A seat of the caller's own until `give`; `list.pop` is atomic."""
        try:
            return self._spare.pop()
        except IndexError:
            return self._make_seat()

    def give(self, seat: Seat) -> None:
        """Let others have it."""
        self._spare.append(seat)
        del self._spare[:-KEPT]

    def _make_seat(self) -> Seat:
        workspace = Workspace(self.executable, *self.recipe.shape, self.dtype)
        block = StepBlock(self.n_bytes)
        end = block.offset + self.n_bytes
        flat = block.memory[block.offset : end].view(self.dtype)
        workspace.place(cut_out(flat, self._starts, self._shapes))
        workspace.make_work(1)
        return Seat(workspace, block)

    # ----- running -----

    def start(self, seat: Seat, block: StepBlock, params: Mapping[str, Array]) -> None:
        """The first phase, in a block; its states and inputs are entered already."""
        self._point(seat, block, params)
        self.recipe.run_phase(0, seat.workspace)

    def finish(
        self, seat: Seat, block: StepBlock, params: Mapping[str, Array], token: object,
        task: int | None = None,
    ) -> dict[Node, Array]:  # fmt: skip
        """The second phase and the sums; totals that are no product.

        token: of the first phase; if it was the last to run here, its weights are
        packed. task: the number of a run over many passes, during which nothing
        changes weights: those of the pass before are packed, too.
        """
        workspace = seat.workspace
        known = workspace.bound
        is_packed = seat.token is token
        if task is not None and task == seat.task and known is not None:
            is_packed = is_packed or known() is params
        self._point(seat, block, None if is_packed else params)
        self.recipe.run_phase(1, workspace)
        totals = {}
        for node, spot in self._totals:
            rows = self.look(spot, seat, block)
            totals[node] = self._sum(node, rows)
        self.recipe.sum_all(self.executable.reduce, workspace)
        seat.task = task
        return totals

    def _point(
        self, seat: Seat, block: StepBlock, params: Mapping[str, Array] | None
    ) -> None:
        """Let the table show into the block, and at parameters, which are packed."""
        workspace = seat.workspace
        seat.token = seat.task = None
        base, table = block.address, workspace.table
        for number, start in self._entries:
            table[number] = base + start
        if params is None:
            return
        self.recipe.point_at(params, workspace, address_of)
        if self.executable.pack is not None:
            self.executable.pack(workspace.table_address)

    def _sum(self, node: Node, rows: Array) -> Array:
        """A total that is no product, as `totals.Total` sums one block."""
        flat = np.ascontiguousarray(rows.reshape(self.recipe.n_rows, *rows.shape[2:]))
        return np.asarray(evaluate(node, [flat], self.numbers), self.dtype)

    def numbers(self, shape: Any) -> tuple[int, ...]:
        """A shape with named dimensions as numbers."""
        return numbers_of(shape, self.sizes)

    # ----- what is where -----

    def _find_totals(self) -> list[tuple[Node, Extent]]:
        found = []
        for _, node in self.executable.totals:
            spot = self.find(node.inputs[0])
            assert spot is not None, "refused by `find_direct`"
            found.append((node, spot))
        return found

    def find(self, node: Node | None, step: int | None = None) -> Extent | None:
        """Where a value of steps is; None if no kernel leaves it.

        step: of one step alone, 0 or -1.
        """
        rows = find_rows(self.executable, node, self.tau, self.n_b, self.numbers)
        if rows is None:
            return None
        start = self._starts[rows.buffer]
        number = rows.buffer if start is None else None
        begin = rows.start + (start or 0) * self.item
        if step is None:
            return Extent(number, begin, rows.shape, rows.strides)
        begin += rows.strides[0] * (self.tau - 1 if step < 0 else 0)
        return Extent(number, begin, rows.shape[1:], rows.strides[1:])

    def look(self, spot: Extent, seat: Seat, block: StepBlock) -> Array:
        """A view of a spot, in the block or in the seat."""
        memory: Any = block.memory
        start = block.offset + spot.start
        if spot.buffer is not None:
            memory, start = seat.workspace.buffers[spot.buffer], spot.start
        return np.ndarray(spot.shape, self.dtype, memory, start, spot.strides)

    def look_at_sum(self, view: View, seat: Seat) -> Array:
        """A view of a product over all rows."""
        whole: Any = seat.workspace.results[view.result]
        return np.ndarray(view.shape, self.dtype, whole, view.start, view.strides)


def find_direct(
    program: Program, bindings: Bindings, n_threads: int | None
) -> Direct | None:
    """The direct calls of a program for such arrays; None where they do not serve.

    That is where `quick` has no recipe, where the table shows at values that NumPy
    computes, and where the kernels take most of the time.
    """
    if bindings.packing is not None or bindings.dtype.kind != "f":
        return None
    try:
        executable, recipe = find(program, bindings, n_threads)
    except NotCompilableError:
        return None
    if recipe is None or recipe.others or recipe.weight is not None:
        return None
    item = executable.real_bytes
    _, n_reals = place_together(executable, *recipe.shape)
    packed = sum(part.n_reals for part in executable.code.packed)
    n_shared = packed + sum(executable.sums.sizes)
    if n_reals * item > MOST_BLOCK or n_shared * item > MOST_WORKSPACE:
        return None
    if not all(_is_simple(executable, recipe, node) for _, node in executable.totals):
        return None
    return Direct(executable, recipe, bindings.sizes)


def _is_simple(executable: Executable, recipe: Recipe, total: Node) -> bool:
    """Whether a total is the sum of rows that lie in a buffer, in one block."""
    plan, layout = executable.plan, executable.layout
    node = plan.canon(total.inputs[0])
    if total.op != "total" or layout.left_at(node) is None:
        return False
    width = layout.width(node)
    return width > 1 and recipe.n_rows <= block_rows(width)
