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
from bptt.train.errors import (
    BadRecordError,
    DataUnreadableError,
    EmptyDataError,
    OptionError,
    TrainExtraMissingError,
)

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class TableRequest:
    """Which columns of a table mean what.

    columns: those of x, all numbers by default; time: rows are sorted by it, and it is
    no number of x; group: the rows of one value are one sequence; target: the column of
    y; horizon: without a target, how many steps ahead it lies.
    """

    columns: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    target: str | None = None
    horizon: int = 1

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
    if len({x.shape[1] for x, _ in found}) > 1:
        raise BadRecordError(files[0], None, "has other columns than another table")
    h = request.horizon
    if request.target is None:
        long = [x for x, _ in found if len(x) > h]
        if not long:
            reason = f"has no more than {h} rows; the target lies {h} rows ahead"
            raise BadRecordError(files[0], None, reason)
        whole = Sequences([x[:-h] for x in long], [x[h:] for x in long], True)
        n_x = long[0].shape[1]
        form = Form(n_x, False, "real", n_x)
        return SequenceFiles(
            source, tuple(files), {WHOLE: whole}, form, horizon=h, is_table=True
        )
    return _with_target(source, files, found)


def _with_target(
    source: str, files: Sequence[Path], found: list[tuple[Array, Array]]
) -> SequenceFiles:
    """A target that is the same in all rows of every sequence is one for it."""
    per_step = any(len(np.unique(y)) > 1 for _, y in found)
    is_class = all(y.dtype.kind in "iu" for _, y in found)
    ys = [y if per_step else y[0] for _, y in found]
    n_o = 1 + max(int(np.max(y)) for y in ys) if is_class else 1
    if not is_class:
        ys = [np.asarray(y, np.float32)[..., None] for y in ys]
    x = [x for x, _ in found]
    form = Form(x[0].shape[1], False, "class" if is_class else "real", n_o, per_step)
    whole = Sequences(x, ys, per_step)
    return SequenceFiles(source, tuple(files), {WHOLE: whole}, form, is_table=True)


def _sequences(file: Path, request: TableRequest) -> Iterator[tuple[Array, Array]]:
    """x (rows, columns) and y (rows,) of every group of a table."""
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
    parts = [table]
    if request.group is not None:
        parts = [part for _, part in table.groupby(request.group, sort=True)]
    for part in parts:
        x = _numbers(file, part, columns).astype(np.float32)
        y = np.zeros(len(part))
        if request.target is not None:
            y = _target(file, part, request.target)
        yield x, y


def _read(file: Path) -> Any:
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise TrainExtraMissingError("pandas") from error
    try:
        if file.suffix == ".parquet":
            return pandas.read_parquet(file)
        return pandas.read_csv(file, sep="\t" if file.suffix == ".tsv" else ",")
    except ImportError as error:
        raise TrainExtraMissingError("pyarrow", None) from error
    except (OSError, ValueError) as error:  # the parsers' errors are ValueErrors
        raise DataUnreadableError(file, " ".join(str(error).split())) from error


def _numbers(file: Path, part: Any, columns: list[str]) -> Array:
    """The columns as float64; a word or a gap is an error with its row."""
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
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            row = int(part.index[bad[0]])
            value = "missing" if np.isnan(values[bad[0]]) else "infinite"
            raise BadRecordError(file, row, f"has {name!r} {value}")
        found.append(values)
    if not found:
        raise BadRecordError(file, None, "has no column for x")
    return np.stack(found, axis=1)


def _target(file: Path, part: Any, name: str) -> Array:
    """Whole numbers are classes, and so are truths; other numbers are real."""
    values = _numbers(file, part, [name])[:, 0]
    if part[name].dtype.kind in "biu":
        if values.min() < 0:
            reason = f"has {name!r} {values.min():g}; classes count from 0"
            raise BadRecordError(file, None, reason)
        return values.astype(np.int64)
    return values
