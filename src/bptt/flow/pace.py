"""How fast directions grow: of every row, of the batch, and how sure that is.

A window of some steps errs upward and the exponent of a short run both ways; the pace
of a row is their mean. A word about the batch rests on all windows of the rows that are
like the others, so that one noisy row of a short run does not decide it; a row is apart
where it differs by more than such rows do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.flow.growth import Growth
from bptt.step.shapes import Array

APART = 0.05  # per step: rows that differ by less are called alike
UNKNOWN = 1.0  # log of what one window is off by, where nothing says how much
NARROW = 0.01  # per step: nearer to a line than this is near, however many steps
SIGMA = 1.4826  # of a normal distribution, over its median distance from the middle


@dataclass(frozen=True, eq=False)
class Pace:
    """Over a lag, in logarithms; all states of one direction or layer together.

    log_growth: of the best direction over the lag, by row; rates: the largest exponent
    per step, by row; spread: per step, what windows of one row differ by (standard
    deviation), NaN where every row has one; windows: how many each row has; steps: of
    one window, fewer than the lag in a short run.
    """

    lag: int
    log_growth: Array
    rates: Array
    spread: float
    windows: int
    steps: int

    @cached_property
    def by_row(self) -> Array:
        """Growth per step, by row: the mean of the windows' and the exponent."""
        return np.asarray((self.log_growth / self.lag + self.rates) / 2)

    @cached_property
    def far_rows(self) -> Array:
        """Rows that are apart, of which the batch's numbers say nothing."""
        return apart(self.by_row, self.row_error) | apart(
            self.log_growth / self.lag, self.row_error
        )

    @property
    def usual_rows(self) -> Array:
        """The rows that the batch's numbers are of."""
        far = self.far_rows
        return np.ones_like(far) if far.all() else np.asarray(~far)

    @property
    def row_error(self) -> float:
        """The standard error of one row's growth per step."""
        spread = UNKNOWN / self.steps if np.isnan(self.spread) else self.spread
        return float(spread / np.sqrt(self.windows))

    @property
    def unseen(self) -> float:
        """What the steps of the lag that a short run did not have may add or take."""
        return self.row_error * max(0, self.lag - self.steps)

    @property
    def batch_growth(self) -> float:
        """Log of what the lag multiplies the best direction by, of the batch."""
        return usual(self.log_growth[self.usual_rows])

    @property
    def batch_rate(self) -> float:
        """The exponent per step, of the batch."""
        return usual(self.rates[self.usual_rows])

    @property
    def batch(self) -> float:
        """Growth per step, of the batch."""
        return usual(self.by_row[self.usual_rows])

    def error_of(self, values: Array) -> float:
        """The standard error of the batch's mean of a number of every row, per step."""
        rows = values[self.usual_rows]
        rows = rows[np.isfinite(rows)]
        between = float(np.std(rows, ddof=1)) if len(rows) > 2 else self.row_error
        if np.isnan(self.spread):
            return float(between / np.sqrt(max(len(rows), 1)))
        return float(max(between, self.row_error) / np.sqrt(max(len(rows), 1)))

    def is_near(self, value: float, error: float, line: float) -> bool:
        """Whether other data, or more steps, could put a value beyond a line."""
        return bool(abs(value - line) < max(NARROW, error + NARROW / 2))


def pace_of(growths: Iterable[Growth], lag: int) -> Pace:
    """Of the states of each direction, the faster one in every row.

    Where there are fewer steps than the lag the rest goes on at the row's exponent:
    a shorter window errs upward by more per step.
    """
    growths = tuple(growths)
    logs = []
    for growth in growths:
        more = lag - growth.lag
        with np.errstate(invalid="ignore"):
            logs.append(growth.by_row + (more * growth.rates if more > 0 else 0.0))
    first = max(growths, key=lambda growth: usual(growth.by_row))
    return Pace(
        lag, np.asarray(np.max(logs, axis=0)),
        np.asarray(np.max([growth.rates for growth in growths], axis=0)),
        _spread(first), max(1, len(first.windows)), max(1, first.lag),
    )  # fmt: skip


def _spread(growth: Growth) -> float:
    """Standard deviation of one window from its row's mean, per step."""
    with np.errstate(invalid="ignore"):
        off = (growth.windows - growth.by_row) / growth.lag
    is_number = np.isfinite(off)
    freedom = int(is_number.sum()) - int(is_number.any(axis=0).sum())
    if freedom < 1:
        return float("nan")
    return float(np.sqrt((off[is_number] ** 2).sum() / freedom))


def usual(values: Array) -> float:
    """The mean of the finite ones; -inf where most are."""
    is_number = np.isfinite(values)
    if 2 * is_number.sum() > len(values):
        return float(values[is_number].mean())
    return float(np.median(values)) if len(values) else float("nan")


def apart(values: Array, error: float) -> Array:
    """Which values differ from the middle by more than chance does.

    error: of one value, where the values themselves are too few to say.
    """
    with np.errstate(invalid="ignore"):
        off = np.abs(values - np.median(values))
        off = np.where(np.isnan(off), 0.0, off)  # -inf beside -inf
        # Of few values the distance itself is known badly: the more is asked.
        count = len(values)
        width = SIGMA * float(np.median(off)) if count > 2 else 0.0
    limit = 3 * (1 + 8 / count**2) * max(width, error)
    return np.asarray(off > max(APART, limit))
