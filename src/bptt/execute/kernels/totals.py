"""Sums over time, in an order that does not depend on which steps run together.

All rows are taken in blocks, from one end of the sequence: each block is summed by
itself and added to the sum so far. Rows that come in pieces, stretch after stretch,
wait until their block is whole, so that the sum has the bits of one over all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute.codegen.reduce import DEPTH
from bptt.execute.compile.compiler import Executable
from bptt.execute.compile.sums import SumJob
from bptt.execute.kernels.memory import Workspace, array_at
from bptt.execute.kernels.threads import choose_threads, split_rows
from bptt.step.evaluate import evaluate
from bptt.step.graph import Node

FloatArray = NDArray[Any]
Rows = tuple[FloatArray, ...]
MOST_ROWS = 4096  # of a block of the plain totals
MOST_REALS = 65536


class Blocks:
    """Cuts rows that come in pieces into runs of whole blocks, and one rest."""

    def __init__(self, size: int, direction: int) -> None:
        """direction: +1: pieces and rows come in their order; -1: from the end."""
        self.size, self._direction = size, direction
        self._waiting: Rows | None = None

    def take(self, rows: Rows, use: Callable[[Rows], None]) -> None:
        """Use the runs of whole blocks that one more piece completes."""
        n_rows, done = len(rows[0]), 0
        if self._waiting is not None:
            done = min(self.size - len(self._waiting[0]), n_rows)
            self._waiting = self._join(self._part(rows, 0, done))
            if len(self._waiting[0]) == self.size:
                use(self._waiting)
                self._waiting = None
        whole = (n_rows - done) // self.size * self.size
        if whole:
            use(self._part(rows, done, done + whole))
            done += whole
        if done < n_rows:
            self._waiting = tuple(
                part.copy() for part in self._part(rows, done, n_rows)
            )

    def end(self, use: Callable[[Rows], None]) -> None:
        """Use the rest, if there is one."""
        if self._waiting is not None:
            use(self._waiting)
            self._waiting = None

    @property
    def n_bytes(self) -> int:
        """The memory of the rows that wait."""
        return sum(array.nbytes for array in self._waiting or ())

    def _part(self, rows: Rows, begin: int, end: int) -> Rows:
        """Rows by their number in the order of taking, as they lie."""
        if self._direction > 0:
            return tuple(array[begin:end] for array in rows)
        n = len(rows[0])
        return tuple(array[n - end : n - begin] for array in rows)

    def _join(self, rows: Rows) -> Rows:
        assert self._waiting is not None
        pairs = zip(self._waiting, rows, strict=True)
        return tuple(np.concatenate(p[:: self._direction]) for p in pairs)


def block_rows(width: int) -> int:
    """Rows of a block of a plain total whose operands have so many reals a row."""
    return max(1, min(MOST_ROWS, MOST_REALS // width))


class Total:
    """A total over time that is no product, summed in NumPy."""

    def __init__(
        self, node: Node, numbers: Callable[[Any], tuple[int, ...]], direction: int,
        dtype: Any,
    ) -> None:  # fmt: skip
        """numbers: named dimensions as numbers."""
        self.node, self._numbers, self._dtype = node, numbers, dtype
        axes = [numbers(child.axes) for child in node.inputs]
        self._cores = axes
        width = sum(prod(sizes) for sizes in axes)
        self._blocks = Blocks(block_rows(width), direction)
        self._direction = direction
        self._sum: FloatArray | None = None

    def add(self, values: Sequence[FloatArray]) -> None:
        """Add steps: arrays with all of their rows in the leading axes."""
        rows = tuple(
            value.reshape(-1, *core)
            for value, core in zip(values, self._cores, strict=True)
        )
        self._blocks.take(rows, self._add_blocks)

    @property
    def n_bytes(self) -> int:
        """The memory of the rows that wait."""
        return self._blocks.n_bytes

    def value(self) -> FloatArray:
        """The total; once only."""
        self._blocks.end(self._add_blocks)
        return np.asarray(self._sum, self._dtype)

    def _add_blocks(self, rows: Rows) -> None:
        n_rows, size = len(rows[0]), self._blocks.size
        starts = range(0, n_rows, size)
        for begin in starts if self._direction > 0 else reversed(starts):
            self._add_block(
                [np.ascontiguousarray(array[begin : begin + size]) for array in rows]
            )

    def _add_block(self, rows: list[FloatArray]) -> None:
        node = self.node
        if node.op == "total" and not self._cores[0]:
            # Summed in float64: the loss of a long sequence keeps its digits.
            part = np.asarray(rows[0].sum(dtype=np.float64))
        else:
            part = evaluate(node, rows, self._numbers)
        self._sum = part if self._sum is None else self._sum + part


class RowProduct:
    """One product over all rows: see `SumJob`."""

    def __init__(
        self, executable: Executable, number: int, direction: int, threads: int,
        each: Callable[..., None],
    ) -> None:  # fmt: skip
        """each: runs ranges on threads."""
        self._reduce, self._job = executable.reduce, executable.sums.jobs[number]
        self._number, self._direction = number, direction
        self._asked, self._each = threads, each
        self._blocks = Blocks(DEPTH, direction)
        self._begun = 0

    def add_all(self, workspace: Workspace, n_rows: int) -> None:
        """The product over the rows of a workspace, as they lie there."""
        a, b = places_of(self._job, workspace)
        self._add(workspace, n_rows, (a, self._job.a[2]), (b, self._job.b[2]))

    def add(self, workspace: Workspace, n_rows: int) -> None:
        """Add the rows of one stretch, as far as they fill blocks."""
        job, dtype = self._job, workspace.dtype
        rows = tuple(
            array_at(place, n_rows, width, item[2], dtype)
            for place, width, item in zip(
                places_of(job, workspace), (job.m, job.n), (job.a, job.b), strict=True
            )
        )
        self._blocks.take(rows, lambda rows: self._add_rows(workspace, rows))

    @property
    def n_bytes(self) -> int:
        """The memory of the rows that wait."""
        return self._blocks.n_bytes

    def end(self, workspace: Workspace) -> None:
        """Add what is left; once only."""
        self._blocks.end(lambda rows: self._add_rows(workspace, rows))

    def _add_rows(self, workspace: Workspace, rows: Rows) -> None:
        item = workspace.dtype.itemsize
        a, b = ((x.__array_interface__["data"][0], x.strides[0] // item) for x in rows)
        self._add(workspace, len(rows[0]), a, b)

    def _add(
        self, workspace: Workspace, n_rows: int, a: tuple[int, int], b: tuple[int, int]
    ) -> None:
        job, item, sign = self._job, workspace.dtype.itemsize, self._direction
        at = 2 * self._number
        place, sums = workspace.result_addresses[at : at + 2]
        if sign < 0:  # from the last row to the first
            a = (a[0] + (n_rows - 1) * a[1] * item, -a[1])
            b = (b[0] + (n_rows - 1) * b[1] * item, -b[1])
        given, adds = 0 if job.is_swapped else sums, self._begun
        self._begun = 1

        def run(thread: int, begin: int, end: int) -> None:
            self._reduce(
                n_rows, a[0], a[1], begin, end, b[0], b[1], job.n, place, job.n, given,
                workspace.work[thread], adds,
            )  # fmt: skip

        ranges = _split(job, n_rows, self._asked)
        workspace.make_work(len(ranges))
        self._each(ranges, run)


def _split(job: SumJob, n_rows: int, asked: int) -> list[tuple[int, int]]:
    """Ranges of a product's columns, one a thread."""
    threads = choose_threads(2 * n_rows * job.m * job.n, asked)
    return split_rows(job.m, threads, 14) if threads > 1 else [(0, job.m)]


def count_ranges(job: SumJob, n_rows: int, asked: int) -> int:
    """How many threads take part in a product over so many rows."""
    return len(_split(job, n_rows, asked))


def places_of(job: SumJob, workspace: Workspace) -> tuple[int, int]:
    """Where the two operands of a product begin."""
    table = workspace.table
    a, b = ((table[place[0]] or 0) + place[1] for place in (job.a, job.b))
    return a, b
