"""Tables as sequences: `.csv`, `.tsv` and `.parquet`, read by pandas.

A row is a step. Without a group the table is one long series, which is split in time; a
group column makes a sequence of the rows of each of its values. Without a target column
the target of a step is the row `horizon` steps later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.form import Form
from bptt.train.data.sequence_files import WHOLE, SequenceFiles
from bptt.train.data.sequences import Sequences
from bptt.train.data.text import kind_of
from bptt.train.errors import (
    BadRecordError,
    DataUnreadableError,
    EmptyDataError,
    OptionError,
    TrainExtraMissingError,
)

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
ERROR, MASK = "error", "mask"  # what a missing value is


@dataclass(frozen=True)
class TableRequest:
    """Which columns of a table mean what.

    columns: those of x, all numbers by default; time: rows are sorted by it, and it is
    no number of x; group: the rows of one value are one sequence; target: the column of
    y; horizon: without a target, how many steps ahead it lies; missing: "error", or
    "mask": a gap in x has the value before it, and a target that is a gap no loss.
    """

    columns: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    target: str | None = None
    horizon: int = 1
    missing: str = ERROR

    @property
    def given(self) -> list[str]:
        """The options that are not at their defaults, as they are written."""
        plain = TableRequest()
        return [f"--{n}" for n, v in vars(self).items() if v != getattr(plain, n)]


def read_tables(
    source: str, files: Sequence[Path], request: TableRequest
) -> SequenceFiles:
    """Read tables whose rows are steps.

    Raises: DataUnreadableError, BadRecordError (file, row, reason), EmptyDataError,
    OptionError for a column that is not there, TrainExtraMissingError without pandas.
    """
    found = [one for file in files for one in _sequences(file, request)]
    if not found:
        raise EmptyDataError(source, "there is no row in it")
    if len({one.columns for one in found}) > 1:
        raise BadRecordError(files[0], None, "has other columns than another table")
    make = _with_target if request.target is not None else _with_later_x
    used, whole, form = make(files[0], found, request)
    return SequenceFiles(
        source,
        tuple(files),
        {WHOLE: whole},
        form,
        horizon=request.horizon if request.target is None else None,
        is_table=True,
        columns=found[0].columns,
        ids=tuple(one.id for one in used) if request.group is not None else (),
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of one sequence: x (rows, columns), y (rows,), and where each is known.

    has_x: (rows,), whether no value of x was missing; has_y: the same of y.
    """

    id: str
    columns: tuple[str, ...]
    x: Array
    y: Array
    has_x: Array
    has_y: Array


Made = tuple[list[_Rows], Sequences, Form]


def _with_later_x(file: Path, found: list[_Rows], request: TableRequest) -> Made:
    """The target of a row is the x of one `horizon` rows later."""
    h = request.horizon
    used = [one for one in found if one.has_x[h:].any()]
    if not used:
        reason = f"has no more than {h} rows; the target lies {h} rows ahead"
        raise BadRecordError(file, None, reason)
    whole = Sequences(
        [one.x[:-h] for one in used],
        [one.x[h:] for one in used],
        True,
        _scored([one.has_x[h:] for one in used]),
    )
    n_x = len(used[0].columns)
    return used, whole, Form(n_x, False, "real", n_x)


def _with_target(file: Path, found: list[_Rows], request: TableRequest) -> Made:
    """A target that is the same in all rows of every sequence is one for it."""
    used = [one for one in found if one.has_y.any()]
    if not used:
        raise BadRecordError(file, None, f"has no value of {request.target!r}")
    per_step = any(len(np.unique(one.y[one.has_y])) > 1 for one in used)
    is_class = all(one.y.dtype.kind in "iu" for one in used)
    ys = [one.y if per_step else one.y[one.has_y][0] for one in used]
    n_o = 1 + max(int(np.max(y)) for y in ys) if is_class else 1
    if not is_class:
        ys = [np.asarray(y, np.float32)[..., None] for y in ys]
    target = "class" if is_class else "real"
    form = Form(len(used[0].columns), False, target, n_o, per_step)
    scored = _scored([one.has_y for one in used]) if per_step else None
    return used, Sequences([one.x for one in used], ys, per_step, scored), form


def _scored(known: list[Array]) -> list[Array | None] | None:
    """Which steps have a target; None where all have."""
    return None if all(one.all() for one in known) else list(known)


def _sequences(file: Path, request: TableRequest) -> Iterator[_Rows]:
    """The rows of every group of a table."""
    table = _read(file)
    named = (*request.columns, request.time, request.group, request.target)
    for name in named:
        if name is not None and name not in table.columns:
            nearest = get_close_matches(name, list(table.columns), 1, 0.4)
            meant = f"; did you mean {nearest[0]}?" if nearest else ""
            there = ", ".join(map(str, table.columns))
            raise OptionError("column", name, f"one of {there}{meant}")
    if request.time is not None:
        table = table.sort_values(request.time, kind="stable")
    aside = {request.time, request.group, request.target}
    columns = list(request.columns or (c for c in table.columns if c not in aside))
    parts = [("", table)]
    if request.group is not None:
        parts = list(table.groupby(request.group, sort=True, dropna=False))
    for name, part in parts:
        yield from _rows(file, str(name), part, columns, request)


def _rows(
    file: Path, name: str, part: Any, columns: list[str], request: TableRequest
) -> Iterator[_Rows]:
    """One sequence, from its first row without a gap in x; none if there is no such."""
    is_masked = request.missing == MASK
    x = _numbers(file, part, columns, may_lack=is_masked)
    has_x = np.asarray(np.isfinite(x).all(axis=1))
    y, has_y = np.zeros(len(x)), np.ones(len(x), bool)
    if request.target is not None:
        y = _target(file, part, request.target, may_lack=is_masked)
        has_y = np.asarray(np.isfinite(y))
        y = np.where(has_y, y, 0).astype(y.dtype)
    if not has_x.any():
        return
    first = int(np.argmax(has_x))
    x = _carried_on(x[first:]).astype(np.float32)
    yield _Rows(name, tuple(columns), x, y[first:], has_x[first:], has_y[first:])


def _carried_on(x: Array) -> Array:
    """Every gap filled with the value before it; the first row has none."""
    rows = np.where(np.isnan(x), 0, np.arange(len(x))[:, None])
    return np.asarray(np.take_along_axis(x, np.maximum.accumulate(rows), axis=0))


def _read(file: Path) -> Any:
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise TrainExtraMissingError("pandas") from error
    try:
        kind = kind_of(file)
        if kind == ".parquet":
            return pandas.read_parquet(file)
        return pandas.read_csv(file, sep="\t" if kind == ".tsv" else ",")
    except ImportError as error:
        missing = "pyarrow" if kind == ".parquet" else "zstandard"
        raise TrainExtraMissingError(missing, "files") from error
    except (OSError, ValueError) as error:  # the parsers' errors are ValueErrors
        raise DataUnreadableError(file, " ".join(str(error).split())) from error


def _numbers(
    file: Path, part: Any, columns: list[str], *, may_lack: bool = False
) -> Array:
    """The columns as float64; a word or a gap is an error with its row.

    may_lack: a gap is NaN.
    """
    found = []
    for name in columns:
        column = part[name]
        if column.dtype.kind not in "biuf":
            reason = (
                f"has a column {name!r} of {column.dtype}, no numbers; choose others "
                "with --columns, or name it with --time or --group"
            )
            raise BadRecordError(file, None, reason)
        values = np.asarray(column, np.float64)
        bad = np.flatnonzero(np.isinf(values) if may_lack else ~np.isfinite(values))
        if len(bad):
            row = int(part.index[bad[0]])
            if np.isinf(values[bad[0]]):
                raise BadRecordError(file, row, f"has {name!r} infinite")
            is_text = kind_of(file) != ".parquet"
            line = f", line {row + 2}" if is_text else ""
            reason = (
                f"has {name!r} missing{line}. With --missing mask a gap has the value "
                "before it, and a target that is a gap does not count"
            )
            raise BadRecordError(file, row, reason)
        found.append(values)
    if not found:
        raise BadRecordError(file, None, "has no column for x")
    return np.stack(found, axis=1)


def _target(file: Path, part: Any, name: str, *, may_lack: bool) -> Array:
    """Whole numbers are classes, and so are truths; other numbers are real."""
    values = _numbers(file, part, [name], may_lack=may_lack)[:, 0]
    if part[name].dtype.kind in "biu":
        if values.min() < 0:
            reason = f"has {name!r} {values.min():g}; classes count from 0"
            raise BadRecordError(file, None, reason)
        return values.astype(np.int64)
    return values
