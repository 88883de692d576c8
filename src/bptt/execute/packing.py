"""Ragged batches: which steps are useful, and how the useful ones are stored.

Rows are sorted by length, longest first, and step after step only the rows that still
run are stored, the layout of torch's PackedSequence:

    lengths 2, 4, 1        t = 1: rows 1 0 2    t = 2: rows 1 0    t = 3: 1    t = 4: 1

Everything that knows about padding is here: it is cut off when arrays come in and
filled with zeros when results go out, so what it holds cannot matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt import errors
from bptt.step.shapes import Array


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the useful steps of a ragged batch are.

    tau, n_b: the caller's padded steps and rows; lengths: per row, in the caller's
    order; order: the caller's rows, longest first; alive: rows that still run, per
    step; offsets: where each step begins among the stored rows, (tau + 1,); places:
    t * n_b + row in the caller's arrays, per stored row; following: of steps that were
    cut out of longer ones, how many rows run at the step after the last.
    """

    tau: int
    n_b: int
    lengths: Array
    order: Array
    alive: Array
    offsets: Array
    places: Array
    following: int = 0

    @property
    def n_rows(self) -> int:
        """The number of useful steps, the sum of the lengths."""
        return len(self.places)

    @property
    def mask(self) -> Array:
        """True where a step is useful, (tau, n_b)."""
        is_alive: Array = np.arange(self.tau)[:, None] < self.lengths
        return is_alive

    @property
    def ends(self) -> Array:
        """True where a stored row is its sequence's last useful step, (n_rows,)."""
        step, row = np.divmod(self.places, self.n_b)
        is_end: Array = step == self.lengths[row] - 1
        return is_end

    def pack(self, array: Array) -> Array:
        """The useful steps of a padded sequence: (tau, n_b, ...) to (n_rows, ...)."""
        flat = array.reshape(self.tau * self.n_b, *array.shape[2:])
        return np.take(flat, self.places, axis=0)

    def unpack(self, rows: Array) -> Array:
        """The padded sequence, zero where no step is: (tau, n_b, ...)."""
        flat = np.zeros((self.tau * self.n_b, *rows.shape[1:]), rows.dtype)
        flat[self.places] = rows
        return flat.reshape(self.tau, self.n_b, *rows.shape[1:])

    def cut(self, begin: int, end: int) -> Packing:
        """The steps begin..end alone, of rows by their place in `order`."""
        lengths = np.clip(self.lengths[self.order] - begin, 0, end - begin)
        alive = self.alive[begin:end]
        is_alive = np.arange(self.n_b) < alive[:, None]
        offsets = self.offsets[begin : end + 1] - self.offsets[begin]
        order = np.arange(self.n_b)
        places = np.flatnonzero(is_alive)
        following = int(self.alive[end]) if end < self.tau else self.following
        return Packing(
            end - begin, self.n_b, lengths, order, alive, offsets, places, following
        )

    def at(self, rows: Array, index: int) -> Array:
        """Every row's first step (index 0) or its own last one (-1), (n_b, ...)."""
        result = np.empty((self.n_b, *rows.shape[1:]), rows.dtype)
        result[self.order] = self.pick(rows, index)
        return result

    def pick(self, rows: Array, index: int) -> Array:
        """The same in the order of `order`."""
        steps = 0 if index == 0 else self.lengths[self.order] - 1
        found: Array = rows[self.offsets[steps] + np.arange(self.n_b)]
        return found


def pack_lengths(lengths: Any, tau: int, n_b: int, is_batched: bool) -> Packing | None:
    """The packing of a ragged batch; None where every row runs all tau steps.

    A length of 0 is refused: a row without a step has no value to give, and is more
    often a mistake in the caller's counting; torch refuses it, too.
    Raises: LengthsError.
    """
    if lengths is None:
        return None
    checked = _check(lengths, tau, n_b, is_batched)
    if checked.min() == tau:
        return None
    order = np.argsort(-checked, kind="stable")
    is_alive = np.arange(tau)[:, None] < checked[order]
    alive = is_alive.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(alive)])
    numbers = np.arange(tau)[:, None] * n_b + order
    return Packing(tau, n_b, checked, order, alive, offsets, numbers[is_alive])


def _check(lengths: Any, tau: int, n_b: int, is_batched: bool) -> Array:
    wanted = f"(n_b,) = ({n_b},)" if is_batched else "() for a call without a batch"
    try:
        array = np.asarray(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise errors.LengthsError(
            f"lengths cannot be viewed as an array of shape {wanted}: {error}"
        ) from None
    if array.dtype.kind not in "iu":
        raise errors.LengthsError(
            f"lengths has element type {array.dtype}; whole numbers of steps are "
            "needed, for example mask.sum(axis=0) of a boolean mask (tau, n_b)"
        )
    if array.shape != ((n_b,) if is_batched else ()):
        raise errors.LengthsError(
            f"lengths should have shape {wanted}, one number of steps per row; "
            f"got {array.shape}"
        )
    checked = np.atleast_1d(array)
    wrong = np.flatnonzero((checked < 1) | (checked > tau))
    if len(wrong):
        row = int(wrong[0])
        advice = "leave out rows without a step" if checked[row] == 0 else "count again"
        raise errors.LengthsError(
            f"lengths holds {int(checked[row])} at row {row}; a length must lie in "
            f"1..{tau}, the number of steps given: {advice}"
        )
    return checked.astype(np.int64)
