"""The proof ledger: every gradient of a cell against independent oracles.

    print(cell.check())

Three random instances with distinct sizes, in float64; each row says what was compared,
with which oracle, how far apart they were and what was allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from bptt.check import branches, oracles, padding, structure
from bptt.check.context import GradientFunction, Trial
from bptt.check.instances import Instance, make_instance
from bptt.check.ledger import FAILED, NOT_CHECKED, PASSED, Ledger, Row
from bptt.check.probes import DIRECTIONS, Prober
from bptt.engine import Engine
from bptt.execute import dispatch
from bptt.execute.effort import least_effort

__all__ = [
    "CHECKS", "FAILED", "INSTANCES", "NOT_CHECKED", "PASSED", "Instance", "Ledger",
    "Row", "check_cell", "check_instance", "silent",
]  # fmt: skip

INSTANCES = 3
Check = Callable[[Trial], Iterator[Row]]
CHECKS: tuple[Check, ...] = (
    oracles.check_determinism,
    oracles.check_complex_step,
    oracles.check_differences,
    structure.check_unrolled,
    oracles.check_edges,
    oracles.check_copies,
    structure.check_consistency,
    structure.check_softmax,
    structure.check_causality,
    structure.check_reduction,
    padding.check_padding,
    branches.check_branches,
    oracles.check_curvature,
)


def silent(_share: float) -> None:
    """Tell nobody how far it is."""


def check_cell(
    cell: Engine,
    *,
    seed: int = 0,
    instances: int = INSTANCES,
    executor: str = dispatch.COMPILED,
    gradient: GradientFunction | None = None,
    checks: tuple[Check, ...] = CHECKS,
    progress: Callable[[float], None] = silent,
) -> Ledger:
    """Check a cell's gradients on random instances; see `Cell.check`.

    gradient: what is under test, by default `cell.gradient` with this executor (the
    oracles always use the NumPy reference); checks: which to make; progress: is told
    the share that is done.
    """
    rows: list[Row] = []
    shown: list[str] = []
    for number in range(1, instances + 1):
        instance = make_instance(cell.graph, number, seed)
        if instance is None:
            rows.append(Row(
                "every gradient", "any oracle", None, 0.0, NOT_CHECKED, number, seed,
                note="no random point was found where every value is finite",
            ))  # fmt: skip
            continue
        shown.append(str(instance) + _directions(cell, instance))
        rows += check_instance(
            cell, instance, executor=executor, gradient=gradient, checks=checks,
            progress=partial(_tell, progress, number - 1, instances),
        )  # fmt: skip
    return Ledger(tuple(rows), seed, tuple(shown))


def _tell(
    progress: Callable[[float], None], done: int, instances: int, share: float
) -> None:
    """Of one instance's share, that of all."""
    progress((done + share) / instances)


def check_instance(
    cell: Engine,
    instance: Instance,
    *,
    executor: str = dispatch.COMPILED,
    gradient: GradientFunction | None = None,
    checks: tuple[Check, ...] = CHECKS,
    progress: Callable[[float], None] = silent,
) -> list[Row]:
    """The rows of one instance."""
    rows: list[Row] = []
    tested = gradient or partial(cell.gradient, executor=executor)
    context = Trial(cell, instance, tested)
    # A value that is not finite fails its row; NumPy's warning would say it twice.
    with np.errstate(all="ignore"), least_effort():
        for number, check in enumerate(checks, 1):
            rows += check(context)
            progress(number / len(checks))
        is_open = any(row.status == FAILED for row in rows)
        if is_open and context.prober.kinks.are_decided_by_rounding:
            rows = [_decided_by_rounding(row) for row in rows]
    return rows


def _decided_by_rounding(row: Row) -> Row:
    """A failed row of numbers at which it proves nothing."""
    if row.status != FAILED:
        return row
    note = "a branch is chosen between two values that rounding alone parts"
    return replace(row, status=NOT_CHECKED, error=None, note=note)


def _directions(cell: Engine, instance: Instance) -> str:
    """What a ledger says of a cell too large to move every element alone."""
    if not Prober(cell.graph, instance).is_large:
        return ""
    return f"; moved along {DIRECTIONS} random directions of each array"
