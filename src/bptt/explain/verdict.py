"""Whether two sides are equal but for rounding, and where that cannot be told.

A formula and the unrolled graph compute one number in two orders. How far rounding
alone parts them is measured: both are computed again with every operation rounded
otherwise, and what their difference moves by is rounding. A mistake stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from bptt.check.rounding import NO_DIGITS, NOT_FINITE, Error, measured, spread
from bptt.explain.algebra.point import Point
from bptt.explain.model import FAILED, NOT_CHECKED, PASSED, TOLERANCE, Check, Text
from bptt.step.shapes import Array

NOTES = {NO_DIGITS: "check.no-digits", NOT_FINITE: "check.not-finite"}
Difference = Callable[[Point], Array]  # of the two sides, at one step and place


@dataclass(frozen=True)
class Judged:
    """One comparison: of which instance, and how far apart the sides are."""

    instance: int
    error: Error


def error_of(
    found: Array, expected: Array, size: float, point: Point, difference: Difference,
    tolerance: float = TOLERANCE,
) -> Error:  # fmt: skip
    """How far apart two sides are, relative to a size or to what rounding leaves.

    difference: the same for the point as it is rounded otherwise. A formula that has no
    finite number where every value and gradient of the point is one is wrong; where
    they are not, as p (1 - y) / p where p is 0, it proves nothing.
    """
    if found.shape != expected.shape and not (found.size == 1 and not found.any()):
        return float("inf")
    found, expected = np.broadcast_arrays(found, expected)

    def rounding() -> Array:
        return spread(list(map(difference, (point, *point.otherwise))))

    if np.isfinite(found).all():
        compared = expected
    elif point.is_finite and np.isfinite(expected[~np.isfinite(found)]).any():
        return float("inf")
    else:
        compared = np.where(np.isfinite(found), expected, np.nan)
    with np.errstate(all="ignore"):
        return measured(found, compared, size, rounding, tolerance)


def verdict(outcomes: Iterable[Judged], tolerance: float = TOLERANCE) -> Check:
    """Failed where one is too far apart; not checked without a wholly compared one."""
    every = list(outcomes)
    errors = [o.error for o in every if not isinstance(o.error, str)]
    worst = max((float("inf") if np.isnan(e) else e for e in errors), default=0.0)
    seen = dict.fromkeys(o.instance for o in every)
    reasons = {o.instance: o.error for o in every if isinstance(o.error, str)}
    whole = len(seen) - len(reasons)
    if worst > tolerance:
        return Check(FAILED, worst, tolerance, len(seen))
    if whole:
        return Check(PASSED, worst, tolerance, whole)
    reason = next(iter(reasons.values()), NOT_FINITE)
    return Check(NOT_CHECKED, note=Text(NOTES[str(reason)]))
