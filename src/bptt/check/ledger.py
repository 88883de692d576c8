"""The ledger: what was checked, how, on which numbers, and how far apart they were."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bptt.step.graph import Times

if TYPE_CHECKING:
    from rich.table import Table

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked here"
MARKS = {PASSED: "ok", FAILED: "FAILED", NOT_CHECKED: "not checked"}
COLUMNS = ("check", "of", "worst error", "tolerance", "epsilon", "result")


@dataclass(frozen=True)
class Row:
    """One comparison of a gradient with an oracle, on one instance.

    what: the quantity; how: the oracle; epsilon: the perturbation, where there is one;
    error: max |difference| / max |oracle|, where an oracle below a thousandth of the
    instance's largest gradient is measured against that thousandth (a gradient that is
    zero but for rounding has no relative error), or what rounding, measured, leaves of
    a sum that cancels, if that is more; tolerance: what passes; sweep: error
    by epsilon; note: why a row was not checked, or what else is to be said of it.
    """

    what: str
    how: str
    error: float | None
    tolerance: float
    status: str
    instance: int
    seed: int
    epsilon: float | None = None
    sweep: tuple[tuple[float, float], ...] = ()
    note: str = ""

    @property
    def has_v_shape(self) -> bool:
        """Whether the sweep falls (truncation) and rises again (rounding).

        A loss that is quadratic in a parameter has no truncation error to fall from.
        """
        errors = [error for _, error in self.sweep]
        if len(errors) < 3:
            return False
        best = min(errors)
        return errors[0] > best < errors[-1]

    def __str__(self) -> str:
        error = "" if self.error is None else f", error {self.error:.1e}"
        note = f" ({self.note})" if self.note else ""
        return (
            f"{MARKS[self.status]}: {self.what} against {self.how}{error}, tolerance "
            f"{self.tolerance:.0e}, instance {self.instance}, seed {self.seed}{note}"
        )


@dataclass(frozen=True)
class Ledger:
    """Every row of one check of one cell.

    Numbers at random points refute a wrong formula; they do not prove an identity.
    `str(ledger)` is plain text; rich prints it as a table.
    """

    rows: tuple[Row, ...]
    seed: int
    instances: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was checked and nothing failed."""
        return any(r.status == PASSED for r in self.rows) and not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.status == FAILED)

    @property
    def not_checked(self) -> tuple[Row, ...]:
        """The rows that could not be checked on these numbers."""
        return tuple(row for row in self.rows if row.status == NOT_CHECKED)

    def worst(self, how: str | None = None) -> float:
        """The largest error, of one kind of check or of all."""
        found = [
            r.error for r in self.rows if how in (None, r.how) and r.error is not None
        ]
        return max(found, default=0.0)

    def summary(self) -> tuple[tuple[str, ...], ...]:
        """One line per kind of check, as text by column."""
        kinds = dict.fromkeys(row.how for row in self.rows)
        return tuple(
            _summary_line(how, [row for row in self.rows if row.how == how])
            for how in kinds
        )

    def __str__(self) -> str:
        lines = [*_aligned([COLUMNS, *self.summary()]), ""]
        lines += [str(row) for row in self.failures]
        lines += sorted({f"not checked here: {r.what}, {r.how}: {r.note}"
                         for r in self.not_checked})  # fmt: skip
        return "\n".join([*lines, *self.instances, self.verdict])

    @property
    def verdict(self) -> str:
        """One line: how many rows passed, failed and were not checked."""
        passed = sum(row.status == PASSED for row in self.rows)
        return (
            f"{passed} passed, {len(self.failures)} failed, "
            f"{len(self.not_checked)} not checked here"
        )

    def __rich__(self) -> Table:
        # Imported here so that `import bptt` loads nothing for the command line.
        from bptt.page.table import WordTable

        table = WordTable(title=self.verdict, title_justify="left")
        for column in COLUMNS:
            is_number = column in ("worst error", "tolerance", "epsilon")
            table.add_column(column, justify="right" if is_number else "left")
        for line in self.summary():
            style = "red" if line[-1].startswith("FAILED") else None
            table.add_row(*line, style=style)
        return table


def written_as(ledger: Ledger, times: Times) -> Ledger:
    """The same without names that only reading a delay made: ∇_h[t-1] of h_lag1."""
    changed = [name for name in times.hidden if times.said(name) != name]
    if not changed:
        return ledger
    every = "|".join(sorted(map(re.escape, changed), key=len, reverse=True))
    step = r"(?:\^\(t\)|\[t([+-]\d+)\])?"
    made_up = re.compile(rf"(?<=[_∂])({every})(?!\w){step}")

    def written(what: str) -> str:
        return made_up.sub(lambda f: times.said(f[1], int(f[2] or 0)), what)

    rows = tuple(replace(row, what=written(row.what)) for row in ledger.rows)
    return replace(ledger, rows=rows)


def _summary_line(how: str, rows: list[Row]) -> tuple[str, ...]:
    checked = [row for row in rows if row.error is not None]
    worst = max(checked, key=lambda row: _order(row.error), default=None)
    counts = {s: sum(row.status == s for row in rows) for s in MARKS}
    if counts[FAILED]:
        result = f"FAILED {counts[FAILED]} of {len(rows)}"
    elif counts[PASSED]:
        rest = f", {counts[NOT_CHECKED]} not checked" if counts[NOT_CHECKED] else ""
        result = f"ok {counts[PASSED]}{rest}"
    else:
        result = "not checked here"
    names = tuple(dict.fromkeys(row.what for row in rows))
    if worst is None:
        return how, _shorten(names), "", f"{rows[0].tolerance:.0e}", "", result
    epsilon = "" if worst.epsilon is None else f"{worst.epsilon:.0e}"
    return (
        how, _shorten(names), f"{worst.error:.1e}", f"{worst.tolerance:.0e}", epsilon,
        result,
    )  # fmt: skip


def _order(error: float | None) -> float:
    return math.inf if error is None or math.isnan(error) else error


def _shorten(names: tuple[str, ...], limit: int = 34) -> str:
    text = ", ".join(names)
    if len(text) <= limit:
        return text
    kept = text[: limit - 4].rsplit(",", 1)[0]
    return f"{kept}, ..."


def _aligned(lines: Iterable[tuple[str, ...]]) -> list[str]:
    table: list[Any] = list(lines)
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        .rstrip()
        for line in table
    ]  # fmt: skip
