"""A ragged batch in kernels: only useful steps are stored, and only they are run.

Batched kernels and the sums over time run over all stored rows at once. What they read
of another step does not lie beside those rows where sequences ended in between, so it
is first copied to lie there; loops are told by their turns where it is.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute.bindings import Bindings
from bptt.execute.codegen.turns import Turns, flat_turn, ragged_turns
from bptt.execute.compile.compiler import Executable
from bptt.execute.kernels.memory import Loan, Workspace, address_of
from bptt.execute.kernels.threads import ROW_MULTIPLE
from bptt.execute.kernels.values import KernelValues
from bptt.execute.packing import Packing
from bptt.step.graph import Node, shift_of

FloatArray = NDArray[Any]


class Ragged:
    """What one call of a ragged batch adds to an executable and its workspace.

    packing: where the useful steps are.
    """

    def __init__(
        self, executable: Executable, packing: Packing, workspace: Workspace
    ) -> None:
        """Nothing is copied yet."""
        self.packing = packing
        self._executable, self._workspace = executable, workspace
        # Where the block beyond the last step of a padded buffer begins.
        self._beyond = workspace.shape[0] * packing.n_b
        self._turns: dict[tuple[int, bool], Turns] = {}
        # What each copy holds by now: a source's columns are complete when it is first
        # read, but its neighbours in the buffer may be written by a later kernel.
        self._aligned: set[tuple[Node, int]] = set()

    def prepare(self, kernel: int, direction: int) -> Turns:
        """Make everything ready for a kernel to run; returns its turns."""
        reads = self._executable.other_steps[kernel]
        if not direction:
            self.align(kernel)
        key = (direction, any(shift_of(node)[1] > 0 for node in reads))
        if key not in self._turns:
            beyond = self._beyond if key[1] else None
            self._turns[key] = Turns(
                ragged_turns(self.packing, direction, beyond)
                if direction
                else flat_turn(self.packing.n_rows)
            )
        return self._turns[key]

    def split(self, n_threads: int) -> list[tuple[int, int]]:
        """Ranges of rows with about as many useful steps each; see `split_rows`."""
        steps = np.cumsum(self.packing.lengths[self.packing.order])
        aims = steps[-1] * np.arange(1, n_threads) / n_threads
        rows = np.searchsorted(steps, aims) + 1
        cuts = np.minimum(np.rint(rows / ROW_MULTIPLE) * ROW_MULTIPLE, len(steps))
        edges = np.unique([0, *cuts.astype(int).tolist(), len(steps)]).tolist()
        return list(pairwise(edges))

    # ----- other steps -----

    @cached_property
    def _before(self) -> FloatArray:
        """For every stored row, where its step before is; the initial ones at -n_b."""
        p = self.packing
        starts = np.concatenate([[-p.n_b], p.offsets[:-2]])
        rows: FloatArray = np.arange(p.n_rows)
        rows += np.repeat(starts - p.offsets[:-1], p.alive)
        return rows

    @cached_property
    def _after(self) -> FloatArray:
        """For every stored row, where its step after is; beyond all for the last."""
        p = self.packing
        numbers = np.arange(p.n_rows) - np.repeat(p.offsets[:-1], p.alive)
        following = np.append(p.alive[1:], 0)
        starts = np.repeat(p.offsets[1:], p.alive)
        is_last = numbers >= np.repeat(following, p.alive)
        rows: FloatArray = numbers + np.where(is_last, self._beyond, starts)
        return rows

    def move(self, workspace: Workspace) -> None:
        """Go on in another workspace, where nothing is copied yet."""
        self._workspace = workspace
        self._aligned.clear()

    def rows_of(
        self, buffer: FloatArray, lag: int, out: FloatArray | None
    ) -> FloatArray:
        """A padded buffer's rows as they are read `lag` steps away."""
        rows = buffer.reshape(-1, buffer.shape[2])
        places = (self._before if lag < 0 else self._after) + self.packing.n_b
        # Every place is inside; with "raise" NumPy would copy `out` first.
        taken: FloatArray = np.take(rows, places, axis=0, out=out, mode="clip")
        return taken

    def align(self, kernel: int) -> None:
        """Copy what a kernel, or the sums, read of other steps beside its rows."""
        layout = self._executable.layout
        stale: dict[tuple[int, int], None] = {}
        for node in self._executable.other_steps[kernel]:
            name, lag = shift_of(node)
            source = self._executable.plan.padded[name]
            buffer = layout.places[source].buffer
            if (source, lag) not in self._aligned:
                self._aligned.add((source, lag))
                stale[buffer, lag] = None
            self._workspace.point(
                layout.name(node), address_of(self._workspace.aligned(buffer, lag))
            )
        for buffer, lag in stale:
            copy = self._workspace.aligned(buffer, lag)
            rows = self._workspace.buffers[buffer]
            self.rows_of(rows, lag, copy[: self.packing.n_rows])

    def shift_input(
        self, array: FloatArray, lag: int, boundary: FloatArray | None
    ) -> FloatArray:
        """An input one step late (-1) or early (+1), with its boundary value."""
        n_b = self.packing.n_b
        if boundary is None:
            boundary = np.zeros((n_b, *array.shape[1:]), array.dtype)
        rows = np.concatenate([boundary[self.packing.order], array])
        places = self._before if lag < 0 else self._after
        places = np.where(places < self._beyond, places + n_b, places - self._beyond)
        shifted: FloatArray = rows[places]
        return shifted


class RaggedValues(KernelValues):
    """Values that lie packed in memory, handed out with zeros for the padding."""

    def __init__(
        self, executable: Executable, bindings: Bindings, loan: Loan, ragged: Ragged
    ) -> None:
        """See `KernelValues`."""
        super().__init__(executable, bindings, loan)
        self._ragged = ragged
        self._unpacked: dict[Node, FloatArray] = {}

    def __getitem__(self, node: Node) -> FloatArray:
        """A node's value, timed ones as (tau, n_b, *shape)."""
        if not node.timed:
            return self.get_static(node)
        if node not in self._unpacked:
            rows = self.stored(node)
            self._unpacked[node] = self._ragged.packing.unpack(rows)
        return self._unpacked[node]

    def shift_input(self, name: str, lag: int) -> FloatArray:
        """The same, by the places of a row's other steps."""
        bindings = self._bindings
        array, boundary = bindings.inputs[name], bindings.initial.get(name)
        return self._ragged.shift_input(array, lag, boundary)

    def _read(self, node: Node, lag: int) -> FloatArray:
        layout, packing = self._executable.layout, self._ragged.packing
        place = layout.places[node]
        _, buffer = self._locate(place.buffer)
        if lag:
            rows = self._ragged.rows_of(buffer, lag, None)
        else:
            start = packing.n_b if layout.buffers[place.buffer].is_padded else 0
            rows = buffer.reshape(-1, buffer.shape[2])[start : start + packing.n_rows]
        columns = rows[:, place.column : place.column + place.width]
        return self._shaped(columns, node)

    def at(self, name: str, index: int) -> FloatArray:
        """A definition's value at each row's first step (0) or its last (-1)."""
        packing = self._ragged.packing
        root = self._executable.program.roots[name]
        rows = self._at(root, index)
        shape = (packing.n_b, *self.core(root)) if root.timed else rows.shape
        result = np.empty(shape, rows.dtype)
        result[packing.order] = rows
        return result

    def _pick(self, rows: FloatArray, index: int) -> FloatArray:
        return self._ragged.packing.pick(rows, index)
