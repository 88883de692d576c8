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
from bptt.execute.llvm.compiler import Executable
from bptt.execute.llvm.memory import Loan, Workspace, address_of
from bptt.execute.llvm.threads import ROW_MULTIPLE
from bptt.execute.llvm.turns import flat_turn, ragged_turns
from bptt.execute.llvm.values import KernelValues
from bptt.execute.packing import Packing
from bptt.graph import Node, shift_of

FloatArray = NDArray[Any]


class Ragged:
    """What one call of a ragged batch adds to an executable and its workspace.

    turns: by direction, see `turns`; packing: where the useful steps are.
    """

    def __init__(
        self, executable: Executable, packing: Packing, workspace: Workspace
    ) -> None:
        """The block of zeros after the last step of a padded buffer begins there."""
        self.packing = packing
        self._x, self._w = executable, workspace
        self._zeros = workspace.shape[0] * packing.n_b
        self._changed: dict[int, Any] = {}
        self.turns = {
            direction: flat_turn(packing.n_rows)
            if direction == 0
            else ragged_turns(packing, direction, self._zeros)
            for direction in {direction for direction, _ in executable.kernels}
        }

    def __enter__(self) -> Ragged:
        """The table may be changed from here on."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the workspace's table back as it was."""
        for number, address in self._changed.items():
            self._w.table[number] = address

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
        """For every stored row, where its step after is; the zeros for the last."""
        p = self.packing
        numbers = np.arange(p.n_rows) - np.repeat(p.offsets[:-1], p.alive)
        following = np.append(p.alive[1:], 0)
        starts = np.repeat(p.offsets[1:], p.alive)
        is_last = numbers >= np.repeat(following, p.alive)
        rows: FloatArray = numbers + np.where(is_last, self._zeros, starts)
        return rows

    def rows_of(self, number: int, lag: int, out: FloatArray | None) -> FloatArray:
        """A padded buffer's rows as they are read `lag` steps away."""
        buffer = self._w.buffers[number]
        rows = buffer.reshape(-1, buffer.shape[2])
        places = (self._before if lag < 0 else self._after) + self.packing.n_b
        # Every place is inside; with "raise" NumPy would copy `out` first.
        taken: FloatArray = np.take(rows, places, axis=0, out=out, mode="clip")
        return taken

    def align(self, kernel: int) -> None:
        """Copy what a kernel, or the sums, read of other steps beside its rows."""
        layout, done = self._x.layout, set()
        for node in self._x.other_steps[kernel]:
            name, lag = shift_of(node)
            place = layout.places[self._x.plan.padded[name]]
            copy = self._w.aligned(place.buffer, lag)
            if (place.buffer, lag) not in done:
                self.rows_of(place.buffer, lag, copy[: self.packing.n_rows])
                done.add((place.buffer, lag))
            number = self._w.numbers[layout.name(node)]
            self._changed.setdefault(number, self._w.table[number])
            self._w.table[number] = address_of(copy) + place.column * copy.itemsize

    def shift_input(self, array: FloatArray, first: Any) -> FloatArray:
        """An input one step late, its first row the initial value."""
        late = array[np.maximum(self._before, 0)]
        late[: self.packing.n_b] = first[self.packing.order] if np.ndim(first) else 0
        return late


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

    def _read(self, node: Node, lag: int) -> FloatArray:
        layout, packing = self._executable.layout, self._ragged.packing
        place = layout.places[node]
        if lag:
            rows = self._ragged.rows_of(place.buffer, lag, None)
        else:
            buffer = self._loan.workspace.buffers[place.buffer]
            start = packing.n_b if layout.buffers[place.buffer].is_padded else 0
            rows = buffer.reshape(-1, buffer.shape[2])[start : start + packing.n_rows]
        columns = rows[:, place.column : place.column + place.width]
        return columns if node.rank else columns[:, 0]

    def first(self, name: str) -> FloatArray:
        """A definition's value at t = 1, (n_b, *shape)."""
        rows = self.stored(self._executable.program.roots[name])
        return self._ragged.packing.first(rows)

    def last(self, node: Node) -> FloatArray:
        """A node's value at each row's last step, (n_b, *shape)."""
        return self._ragged.packing.last(self.stored(node))
