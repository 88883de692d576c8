"""The useful steps of a batch, one after the other: a slot is one step of one row.

Slots are ordered by time, then by row. Padding has none, so what follows holds for
ragged batches, and for loops that run backward, without a word more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.execute.bindings import Bindings
from bptt.step.shapes import Array

NOWHERE = -1  # the slot before a row's first step, and after its last


@dataclass(frozen=True, eq=False)
class Slots:
    """lengths: of every row, (n_b,)."""

    tau: int
    lengths: Array

    @property
    def n_b(self) -> int:
        """Rows."""
        return len(self.lengths)

    def __len__(self) -> int:
        return int(self.lengths.sum())

    @cached_property
    def mask(self) -> Array:
        """True where a step is useful, (tau, n_b)."""
        return np.asarray(np.arange(self.tau)[:, None] < self.lengths)

    @cached_property
    def number(self) -> Array:
        """The slot of a step and row, (tau, n_b); NOWHERE in the padding."""
        found = np.full((self.tau, self.n_b), NOWHERE)
        found[self.mask] = np.arange(len(self))
        return found

    @cached_property
    def steps(self) -> Array:
        """The step of every slot, 0..tau-1."""
        return np.nonzero(self.mask)[0]

    @cached_property
    def rows(self) -> Array:
        """The row of every slot."""
        return np.nonzero(self.mask)[1]

    def neighbour(self, lag: int) -> Array:
        """The slot `lag` steps later in the same row, for every slot; or NOWHERE."""
        found = np.full_like(self.number, NOWHERE)
        if abs(lag) < self.tau:
            here, there = slice(max(0, -lag), self.tau - max(0, lag)), abs(lag)
            moved = self.number[there:] if lag > 0 else self.number[: self.tau - there]
            found[here] = moved
        return np.asarray(found[self.mask])

    def gather(self, array: Array) -> Array:
        """(tau, n_b, *shape) to (slots, *shape); a view where no row is shorter."""
        if len(self) == self.tau * self.n_b:
            return array.reshape(len(self), *array.shape[2:])
        return np.asarray(array[self.mask])

    def spread(self, values: Array) -> Array:
        """(slots, *shape) to (tau, n_b, *shape), 0 in the padding."""
        if len(self) == self.tau * self.n_b:
            return values.reshape(self.tau, self.n_b, *values.shape[1:])
        found = np.zeros((self.tau, self.n_b, *values.shape[1:]), values.dtype)
        found[self.mask] = values
        return found

    def before(self, values: Array, first: Array | None, lag: int) -> Array:
        """What every slot reads `lag` steps away; beyond the row, its initial value."""
        there = self.neighbour(lag)
        found = values[there]
        outside = there == NOWHERE
        found[outside] = 0 if first is None else first[self.rows[outside]]
        return np.asarray(found)


def slots_of(bindings: Bindings) -> Slots:
    """The slots of a call."""
    packing = bindings.packing
    full = np.full(bindings.n_b, bindings.tau)
    return Slots(bindings.tau, full if packing is None else packing.lengths)
