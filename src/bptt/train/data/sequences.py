"""Sequences of their own lengths, each with targets of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.windows import Block, Rows


@dataclass(frozen=True)
class Sequences:
    """Records x[i], (length_i, ...), and y[i]: per step, or one for the sequence.

    per_step: whether y[i] has the steps of x[i]; otherwise the loss counts at the last
    step of the sequence alone. scored[i]: what the loss of each step weighs, truths or
    numbers from 0, (length_i,), or (1,) of one target; None where every one counts.
    Where single elements of y are missing it is (length_i, n_o), or (1, n_o): 0 there.
    others[name][i]: what a cell reads besides x and y, (length_i, ...); of the names in
    rows one value for the sequence.
    """

    x: Sequence[Array]
    y: Sequence[Array]
    per_step: bool
    scored: Sequence[Array | None] | None = None
    others: Mapping[str, Sequence[Array]] = field(default_factory=dict)
    rows: tuple[str, ...] = ()

    @property
    def has_gaps(self) -> bool:
        """Whether single elements of a y are missing."""
        return any(one is not None and one.ndim > 1 for one in self.scored or ())

    def elements(self, row: int) -> Array:
        """What each step of a record weighs, (length,), or each element of it."""
        known = None if self.scored is None else self.scored[row]
        if not self.per_step:
            known = np.ones(1, bool) if known is None else known
            last = np.zeros((len(self.x[row]), *known.shape[1:]), known.dtype)
            last[-1] = known[-1]
            return last
        return np.ones(len(self.x[row]), bool) if known is None else known

    def steps(self, row: int) -> Array:
        """What the loss of each step of a record weighs, (length,)."""
        found = self.elements(row)
        return found if found.ndim == 1 else np.asarray(found.max(axis=-1))

    def __len__(self) -> int:
        """Count the records."""
        return len(self.x)

    def take(self, rows: Rows) -> "Sequences":
        """Some of the records."""
        return Sequences(
            [self.x[i] for i in rows],
            [self.y[i] for i in rows],
            self.per_step,
            None if self.scored is None else [self.scored[i] for i in rows],
            {name: [every[i] for i in rows] for name, every in self.others.items()},
            self.rows,
        )

    def others_at(self, rows: Rows, start: int, stop: int) -> dict[str, Array]:
        """What is read besides x and y, (stop - start, n_b, ...), or (n_b, ...).

        Beyond its end a sequence goes on with its last value.
        """
        found = {}
        for name, every in self.others.items():
            if name in self.rows:
                found[name] = np.stack([every[i] for i in rows])
                continue
            steps = [
                np.minimum(np.arange(start, stop), len(self.x[i]) - 1) for i in rows
            ]
            pairs = zip(rows, steps, strict=True)
            found[name] = np.stack([every[i][at] for i, at in pairs], axis=1)
        return found


def plain_where_whole(scored: Sequence[Array | None]) -> list[Array | None] | None:
    """What steps weigh, by element only if a step anywhere lacks some but not all.

    scored[i]: as in `Sequences`. Returns: None where every one counts alike.
    """
    wide = [one for one in scored if one is not None and one.ndim > 1]
    whole = all((one.min(axis=-1) == one.max(axis=-1)).all() for one in wide)
    found = [
        one if one is None or one.ndim == 1 or not whole else one.max(axis=-1)
        for one in scored
    ]
    is_plain = all(one is None or (one.dtype == bool and one.all()) for one in found)
    return None if is_plain else found


@dataclass(frozen=True)
class Batches:
    """Sequences in groups of n_b rows; shuffled anew in every epoch if seeded.

    The order is a function of seed and epoch alone, so a run that goes on needs only
    the number of the epoch. The last group may be smaller.
    """

    sequences: Sequences
    n_b: int
    seed: int | None = None
    keeps_last: bool = True

    def groups(self, epoch: int) -> list[Rows]:
        """Every record once, n_b at a time."""
        order = np.arange(len(self.sequences))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        return [order[i : i + self.n_b] for i in range(0, len(order), self.n_b)]

    def length_of(self, rows: Rows) -> int:
        """The length of the longest of some records."""
        return max(len(self.sequences.x[i]) for i in rows)

    def count(self, rows: Rows, start: int, stop: int) -> int:
        """The number of steps with a target, or of sequences that end here."""
        if self.sequences.scored is not None:
            steps = (self.sequences.steps(i)[start:stop] for i in rows)
            return sum(int(np.count_nonzero(one)) for one in steps)
        lengths = np.array([len(self.sequences.x[i]) for i in rows], int)
        if self.sequences.per_step:
            return int(np.clip(lengths - start, 0, stop - start).sum())
        return int(((lengths > start) & (lengths <= stop)).sum())

    def weight(self, rows: Rows, start: int, stop: int) -> float:
        """The sum of what their losses weigh."""
        if self.sequences.scored is None:
            return float(self.count(rows, start, stop))
        # A step of which some elements are missing weighs as much as the others do.
        found = (self.sequences.elements(i)[start:stop] for i in rows)
        return sum(
            float(one.sum() if one.ndim == 1 else one.mean(axis=-1).sum())
            for one in found
        )

    def read(self, rows: Rows, start: int, stop: int) -> Block:
        """Steps start to stop; padding is zero and its loss does not count."""
        data = self.sequences
        x = _zeros(stop - start, rows, data.x[0].shape[1:], data.x[0].dtype)
        core = data.y[0].shape[1:] if data.per_step else data.y[0].shape
        y = _zeros(stop - start, rows, core, data.y[0].dtype)
        scored = np.zeros((stop - start, len(rows)))
        known = np.ones(y.shape, bool) if data.has_gaps else None
        for column, row in enumerate(rows):
            end = min(stop, len(data.x[row]))
            n = max(0, end - start)
            x[:n, column] = data.x[row][start:end]
            if data.per_step:
                y[:n, column] = data.y[row][start:end]
            else:
                y[:n, column] = data.y[row]
            scored[:n, column] = data.steps(row)[start:end]
            there = data.elements(row)[start:end]
            if known is not None and there.ndim > 1:
                known[:n, column] = there > 0
        # A row that has ended before keeps one step, of padding whose loss weighs 0.
        ends = np.array([len(data.x[row]) - start for row in rows])
        lengths = np.clip(ends, 1, stop - start)
        ragged = lengths if (lengths < stop - start).any() else None
        others = data.others_at(rows, start, stop)
        return Block(x, y, scored, ragged, known, others)


def _zeros(tau: int, rows: Rows, core: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    kind: Any = np.float32
    if dtype.kind == "f":
        kind = dtype
    elif dtype.kind in "iu" and not core:
        kind = np.int64
    return np.zeros((tau, len(rows), *core), kind)


def split_records(n: int, held_out: float, test: float, seed: int) -> dict[str, Rows]:
    """Record numbers of the three parts, drawn without overlap; seeded."""
    order = np.random.default_rng([seed, 0x5911]).permutation(n)
    n_test = round(n * test)
    n_validation = round(n * held_out)
    return {
        "training": np.sort(order[n_validation + n_test :]),
        "validation": np.sort(order[:n_validation]),
        "test": np.sort(order[n_validation : n_validation + n_test]),
    }
