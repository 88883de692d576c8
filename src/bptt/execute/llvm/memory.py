"""The buffers of one call, lent to its results and taken back when they are gone.

A training run asks for the same buffers again and again, and fresh pages cost more than a
step of a small cell. A result handed out is a NumPy array whose base holds the loan, so a
buffer is never used again while anyone can still read it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt.execute.llvm.layout import Layout
from bptt.execute.llvm.workspace import empty_aligned, empty_together

FloatArray = NDArray[Any]
KEPT = 3  # spare workspaces per executable


class Workspace:
    """Every buffer that a call of an executable needs, for one tau and n_b."""

    def __init__(
        self, layout: Layout, packed: Sequence[Any], tau: int, n_b: int, dtype: Any
    ) -> None:
        """Allocate; the rows beyond the first and last step are zero for good."""
        self.shape = (tau, n_b)
        self.dtype = np.dtype(dtype)
        self.buffers = []
        for buffer in layout.buffers:
            rows = tau + 2 if buffer.is_padded else tau
            array = empty_aligned((rows, n_b, buffer.stride), dtype)
            if buffer.is_padded:
                array[0] = 0
                array[-1] = 0
            self.buffers.append(array)
        self.packed = empty_together({p.name: p.n_reals for p in packed}, dtype)
        self.results = [
            empty_aligned((_widths(layout, s.nodes), layout.width(s.operand)), dtype)
            for s in layout.sums
        ]
        self.column_sums = [
            empty_aligned((_widths(layout, s.nodes),), dtype) for s in layout.sums
        ]


def _widths(layout: Layout, nodes: Sequence[Any]) -> int:
    return sum(layout.width(node) for node in nodes)


class Loan:
    """Holds a workspace; when nobody holds the loan any more, it is lent again."""

    def __init__(self, workspace: Workspace, pool: list[Workspace]) -> None:
        """Lend `workspace`, to be returned to `pool`."""
        self.workspace = workspace
        weakref.finalize(self, _give_back, workspace, pool).atexit = False

    def view(self, array: FloatArray) -> FloatArray:
        """The same memory as an array that keeps the loan alive."""
        return np.asarray(_Lent(self, array))


class _Lent:
    """NumPy makes this object the base of the array it builds from it."""

    def __init__(self, loan: Loan, array: FloatArray) -> None:
        self._loan = loan
        self._array = array
        self.__array_interface__ = array.__array_interface__


def _give_back(workspace: Workspace, pool: list[Workspace]) -> None:
    if len(pool) < KEPT:
        pool.append(workspace)


def borrow(pool: list[Workspace], shape: tuple[int, int], make: Any) -> Loan:
    """A spare workspace of the right shape, or a new one.

    Spare ones of another shape are dropped when the pool is full. `list.pop` and
    `append` are atomic, so two threads never get the same one.
    """
    kept: list[Workspace] = []
    found = None
    while pool:
        try:
            candidate = pool.pop()
        except IndexError:
            break
        if candidate.shape == shape and found is None:
            found = candidate
        else:
            kept.append(candidate)
    pool.extend(kept)
    return Loan(found if found is not None else make(), pool)
