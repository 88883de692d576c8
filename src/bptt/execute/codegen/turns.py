"""The order in which a kernel takes steps, and where each step's rows lie.

A turn is six whole numbers: the step, the range of rows that run, and where the rows of
the step before, of this step and of the step after begin, counted in rows from the
first step's. A kernel runs its stages once per turn, so one kernel serves full batches
and ragged ones, and a loop backward is only another order:

    full, t = 2 of n_b rows     (2, 0, n_b, n_b, 2 n_b, 3 n_b)
    ragged, alive rows          (2, 0, alive[2], offsets[1], offsets[2], offsets[3])

Rows that end at a step have no step after: what they read there is a block of boundary
values beyond the last step, so they take a turn of their own where that is read.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from bptt.execute.codegen.emit import INDEX
from bptt.execute.packing import Packing

__all__ = [
    "BEGIN",
    "END",
    "FIELDS",
    "NOW",
    "STEP",
    "Turns",
    "flat_turn",
    "full_turns",
    "load_field",
    "ragged_turns",
]

# NOW - 1 and NOW + 1 are where the steps before and after begin.
STEP, BEGIN, END, NOW = 0, 1, 2, 4
FIELDS = 6

IntArray = NDArray[np.int64]


class Turns:
    """Turns as kernels take them: where they lie, and how many."""

    def __init__(self, numbers: IntArray) -> None:
        self._numbers = numbers  # kept as long as its place is known
        self.place: int = numbers.__array_interface__["data"][0]
        self.count = len(numbers)

    @property
    def n_bytes(self) -> int:
        """The memory they take."""
        return self._numbers.nbytes


def load_field(builder: Any, turn: Any, number: int) -> Any:
    """Emit the load of one number of a turn."""
    place = builder.gep(turn, [ir.Constant(INDEX, number)], source_etype=INDEX)
    return builder.load(place, typ=INDEX, align=8)


def flat_turn(n_rows: int) -> IntArray:
    """All rows of all steps at once."""
    return np.array([[0, 0, n_rows, 0, 0, 0]], np.int64)


def full_turns(tau: int, n_b: int, direction: int) -> IntArray:
    """Every row at every step, t = 1..tau or tau..1."""
    turns = np.zeros((tau, FIELDS), np.int64)
    t = turns[:, STEP] = np.arange(tau)
    turns[:, END] = n_b
    for lag in (-1, 0, 1):
        turns[:, NOW + lag] = (t + lag) * n_b
    return turns[::direction].copy()


def ragged_turns(packing: Packing, direction: int, beyond: int | None) -> IntArray:
    """The rows that still run at every step.

    beyond: where the n_b boundary rows after the last step begin; None where no stage
    reads a step after.
    """
    n_steps = int(packing.lengths.max())
    alive, offsets = packing.alive[:n_steps], packing.offsets[: n_steps + 1]
    turns = np.zeros((n_steps, 2, FIELDS), np.int64)
    turns[..., STEP] = np.arange(n_steps)[:, None]
    turns[0, :, NOW - 1] = -packing.n_b
    turns[1:, :, NOW - 1] = offsets[:-2, None]
    turns[..., NOW] = offsets[:-1, None]
    running, ending = turns[:, 0], turns[:, 1]
    if beyond is None:
        running[:, END] = alive
        return running[::direction].copy()
    running[:-1, END] = ending[:-1, BEGIN] = alive[1:]
    running[:, NOW + 1], ending[:, NOW + 1] = offsets[1:], beyond
    # Rows that go on elsewhere take turns as if they went on here: a turn of one row
    # sums its products in another order.
    running[-1, END] = ending[-1, BEGIN] = packing.following
    running[-1, NOW + 1] = beyond
    ending[:, END] = alive
    return turns[::direction].reshape(-1, FIELDS)
