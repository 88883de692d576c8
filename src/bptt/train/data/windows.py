"""Windows over sequences: where the gradient begins, and which losses it carries.

    t         1 2 3 4 5 6 7 8 9        k1 = 2, k2 = 6
    window 1  s s                      s: its loss counts
    window 2  . . s s                  .: its loss counted before; the gradient of the
    window 3  . . . . s s                 new losses still goes back through it
    window 4      . . . . s s
    last            . . . . s

Every k1 steps the parameters move, along the gradient of the k1 new losses, back
through at most k2 steps: BPTT(k2; k1) of Williams and Peng (1990). With k1 = k2 the
windows do not overlap. Each loss counts exactly once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bptt.step.shapes import Array
from bptt.train.truncation import Truncation

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Steps of some rows, time first: x and y are (tau, n_b, ...).

    scored: (tau, n_b), what a step's loss weighs; None where every one weighs 1.
    lengths: (n_b,), the steps of each row that are not padding; None where all are.
    known: (tau, n_b, n_o), which elements of y are there; None where all are.
    others: what is read besides, by name, (tau, n_b, ...) or one per row, (n_b, ...).
    """

    x: Array
    y: Array
    scored: Array | None = None
    lengths: Rows | None = None
    known: Array | None = None
    others: Mapping[str, Array] = field(default_factory=dict)


class Dataset(Protocol):
    """Rows that are read in groups; a group steps together, from a zero state.

    keeps_last: whether what remains after the last whole window is a window.
    """

    @property
    def keeps_last(self) -> bool:
        """Whether a shorter window may end a group."""
        ...

    def groups(self, epoch: int) -> list[Rows]:
        """The rows of every group of an epoch, in order; a function of the epoch."""
        ...

    def length_of(self, rows: Rows) -> int:
        """The number of steps of a group, that of its longest row."""
        ...

    def count(self, rows: Rows, start: int, stop: int) -> int:
        """How many steps of `read(rows, start, stop)` have a loss that counts."""
        ...

    def weight(self, rows: Rows, start: int, stop: int) -> float:
        """The sum of what those losses weigh."""
        ...

    def read(self, rows: Rows, start: int, stop: int) -> Block:
        """Steps start to stop of some rows; there may be none."""
        ...


@dataclass(frozen=True)
class Window:
    """Steps start to stop of a group's rows.

    scored: how many of the last steps carry loss; advance: how many steps later the
    next window of the group starts; is_first: whether the state is zero at its start.
    """

    rows: Rows
    start: int
    stop: int
    scored: int
    advance: int
    is_first: bool


def cut(length: int, truncation: Truncation, *, keep_last: bool) -> list[range]:
    """The new steps of every window along a sequence: what k1 alone decides."""
    k1 = truncation.k1 or length
    end = length if keep_last else length // k1 * k1
    return [range(a, min(a + k1, end)) for a in range(0, end, k1)]


def plan_epoch(
    dataset: Dataset, epoch: int, truncation: Truncation
) -> Iterator[Window]:
    """All windows of an epoch, in order."""
    for rows in dataset.groups(epoch):
        length = dataset.length_of(rows)
        pieces = cut(length, truncation, keep_last=dataset.keeps_last)
        # So many steps with an old loss come before the new ones, also in a last
        # window that is shorter.
        k1, k2 = truncation.k1 or length, truncation.k2
        before = length if k2 is None else k2 - k1
        starts = [max(0, piece.start - before) for piece in pieces]
        for i, piece in enumerate(pieces):
            following = starts[i + 1] if i + 1 < len(pieces) else piece.stop
            yield Window(
                rows, starts[i], piece.stop, len(piece), following - starts[i], i == 0
            )


def count_windows(dataset: Dataset, epoch: int, truncation: Truncation) -> int:
    """How many windows an epoch has."""
    return sum(
        len(cut(dataset.length_of(rows), truncation, keep_last=dataset.keeps_last))
        for rows in dataset.groups(epoch)
    )


def count_steps(dataset: Dataset) -> int:
    """How many steps all rows have together, padding among them."""
    return sum(len(rows) * dataset.length_of(rows) for rows in dataset.groups(0))


def weights_of(block: Block, scored: int) -> npt.NDArray[np.float64]:
    """The weight of every step's loss, (tau, n_b): 0 where it does not count here."""
    tau, n_b = block.x.shape[:2]
    weights = np.ones((tau, n_b))
    if block.scored is not None:
        weights *= block.scored
    weights[: tau - scored] = 0
    return weights
