"""Tables as sequences: `.csv`, `.tsv` and `.parquet`, read by pandas.

A row is a step. Without a group the table is one long series, which is split in time; a
group column makes a sequence of the rows of each of its values. Without a target column
the target of a step is the row `horizon` steps later. Where values may be missing, each
column has its own gaps: what is missing in one leaves the others' targets alone.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bptt.errors import list_known
from bptt.step.shapes import Array
from bptt.train.data.array_names import WHOLE
from bptt.train.data.form import Form
from bptt.train.data.labels import classes_of, numbered
from bptt.train.data.sequence_files import ERROR, SequenceFiles
from bptt.train.data.sequences import Sequences, plain_where_whole
from bptt.train.data.text import blocks_of, kind_of
from bptt.train.data.weighting import MASK, carried_on
from bptt.train.door.limits import Refusal, refuse_above
from bptt.train.errors import (
    BadRecordError,
    DataUnreadableError,
    EmptyDataError,
    OptionError,
    TrainExtraMissingError,
)

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
CELL_BYTES = 20  # of a value while it is read: 9 of pandas, twice for a while
KINDS = "numpy_nullable"  # of pandas: a gap makes no real number of a whole one


@dataclass(frozen=True)
class TableRequest:
    """Which columns of a table mean what.

    columns: those of x, all numbers by default; time: rows are sorted by it, and it is
    no number of x; group: the rows of one value are one sequence; target: the column of
    y, or several with commas between them; horizon: without a target, how many steps
    ahead it lies; missing: "error", or "mask": a gap in x has the value before it, and
    a target that is a gap no loss; classes: the words of a target, as a run knows them.
    """

    columns: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    target: str | None = None
    horizon: int = 1
    missing: str = ERROR
    classes: tuple[str, ...] = ()

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
    tables = {file: _read(file) for file in files}
    if request.target is not None and not request.classes:
        request = replace(request, classes=classes_of(tables, request.target))
    pairs = tables.items()
    found = [o for file, table in pairs for o in _sequences(file, table, request)]
    if not found:
        if request.missing == MASK:
            reason = "has no row where every column of x has a value; see --columns"
            raise BadRecordError(files[0], None, reason)
        fix = "Give tables with rows below their first line."
        raise EmptyDataError(source, "there is no row in it", fix)
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
        classes=request.classes,
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of one sequence: x (rows, columns), y (rows, targets).

    has_x, has_y: which of their values are there, of the same shapes; are_whole: of
    each target, whether it holds whole numbers.
    """

    id: str
    columns: tuple[str, ...]
    x: Array
    y: Array
    has_x: Array
    has_y: Array
    are_whole: tuple[bool, ...]


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
        plain_where_whole([one.has_x[h:] for one in used]),
    )
    n_x = len(used[0].columns)
    return used, whole, Form(n_x, False, "real", n_x)


def _with_target(file: Path, found: list[_Rows], request: TableRequest) -> Made:
    """Targets that are the same in all rows of every sequence are one for it."""
    used = [one for one in found if one.has_y.any()]
    if not used:
        raise BadRecordError(file, None, f"has no value of {request.target!r}")
    per_step = any(_changes(y, has_y) for one in used
                   for y, has_y in zip(one.y.T, one.has_y.T, strict=True))  # fmt: skip
    ys, known = [one.y for one in used], [one.has_y for one in used]
    if not per_step:
        firsts = [has_y.argmax(axis=0) for has_y in known]
        ys = [np.take_along_axis(y, first[None], axis=0)[0]
              for y, first in zip(ys, firsts, strict=True)]  # fmt: skip
        known = [np.atleast_2d(has_y.any(axis=0)) for has_y in known]
    target = _target_of(used)
    n_o = ys[0].shape[-1]
    if target == "class":
        ys = [y[..., 0].astype(np.int64) for y in ys]
        n_o = len(request.classes) or 1 + max(int(np.max(y)) for y in ys)
    elif target == "real":
        ys = [np.asarray(y, np.float32) for y in ys]
    else:
        ys = [y.astype(bool) for y in ys]
    form = Form(len(used[0].columns), False, target, n_o, per_step)
    whole = Sequences([o.x for o in used], ys, per_step, plain_where_whole(known))
    return used, whole, form


def _changes(y: Array, has_y: Array) -> bool:
    return len(np.unique(y[has_y])) > 1


def _target_of(used: list[_Rows]) -> str:
    """Whole numbers in one column are classes; 0 and 1 in several are truths."""
    if not all(all(one.are_whole) for one in used):
        return "real"
    if used[0].y.shape[1] == 1:
        return "class"
    return "multi-hot" if all((one.y <= 1).all() for one in used) else "real"


def _sequences(file: Path, table: Any, request: TableRequest) -> Iterator[_Rows]:
    """The rows of every group of a table."""
    targets = _targets(table, request)
    for name in (*request.columns, request.time, request.group, *targets):
        if name is not None and name not in table.columns:
            there = list_known(name, map(str, table.columns))
            raise OptionError("column", name, f"one of {there}")
    if request.classes:
        table = numbered(file, table, targets[0], request.classes)
    if request.time is not None:
        table = table.sort_values(request.time, kind="stable")
    aside = {request.time, request.group, *targets}
    columns = list(request.columns or (c for c in table.columns if c not in aside))
    parts = [("", table)]
    if request.group is not None:
        parts = list(table.groupby(request.group, sort=True, dropna=False))
    for name, part in parts:
        yield from _rows(file, str(name), part, columns, targets, request)


def _targets(table: Any, request: TableRequest) -> tuple[str, ...]:
    """The columns of y: one of that name, comma and all, or several."""
    if request.target is None or request.target in table.columns:
        return () if request.target is None else (request.target,)
    return tuple(name.strip() for name in request.target.split(","))


def _rows(
    file: Path, name: str, part: Any, columns: list[str], targets: tuple[str, ...],
    request: TableRequest,
) -> Iterator[_Rows]:  # fmt: skip
    """One sequence, from its first row without a gap in x; none if there is no such."""
    is_masked = request.missing == MASK
    x = _numbers(file, part, columns, may_lack=is_masked)
    has_x = np.isfinite(x)
    y = np.zeros((len(x), 0))
    if targets:
        y = _numbers(file, part, list(targets), may_lack=is_masked)
    has_y = np.isfinite(y)
    y = np.where(has_y, y, 0)
    are_whole = tuple(part[name].dtype.kind in "biu" for name in targets)
    if len(targets) == 1 and are_whole[0] and y.min(initial=0) < 0:
        reason = f"has {targets[0]!r} {y.min():g}; classes count from 0"
        raise BadRecordError(file, None, reason)
    is_whole_row = has_x.all(axis=1)
    if not is_whole_row.any():
        return
    rows = slice(int(np.argmax(is_whole_row)), None)
    x = carried_on(x[rows]).astype(np.float32)
    yield _Rows(name, tuple(columns), x, y[rows], has_x[rows], has_y[rows], are_whole)


def _read(file: Path) -> Any:
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise TrainExtraMissingError("pandas") from error
    try:
        kind = kind_of(file)
        refuse_above(count_cells(file, kind) * CELL_BYTES, "its content")
        if kind == ".parquet":
            return pandas.read_parquet(file, dtype_backend=KINDS)
        return _read_text(pandas, file, "\t" if kind == ".tsv" else ",")
    except ImportError as error:
        missing = "pyarrow" if kind == ".parquet" else "zstandard"
        raise TrainExtraMissingError(missing, "files") from error
    except (
        OSError,
        ValueError,
        EOFError,
        Refusal,
    ) as error:  # the parsers' errors are ValueErrors
        raise DataUnreadableError(file, " ".join(str(error).split())) from error


def count_cells(file: Path, kind: str) -> int:
    """How many values a table has, before pandas takes memory for them.

    Raises: ImportError without pyarrow, and what the file's readers raise.
    """
    if kind == ".parquet":
        parquet: Any = import_module("pyarrow.parquet")
        found = parquet.read_metadata(file)
        return int(found.num_rows) * int(found.num_columns)
    if not file.is_file():  # a pipe is read once
        return 0
    separator = b"\t" if kind == ".tsv" else b","
    return sum(b.count(separator) + b.count(b"\n") for b in blocks_of(file))


def _read_text(pandas: Any, file: Path, separator: str) -> Any:
    """A `.csv` or `.tsv` file.

    Raises: ValueError, in words, where its rows have more fields than its first line
    has names: pandas would take the first ones for row names, in silence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            found = pandas.read_csv(
                file, sep=separator, index_col=False, dtype_backend=KINDS
            )
        except pandas.errors.ParserWarning as warning:
            reason = "its rows have more fields than its first line has names"
            raise ValueError(f"{reason}; {_ADVICE}") from warning
    name = str(found.columns[0])
    other = next((s for s in ";\t|" if s != separator and s in name), None)
    if len(found.columns) == 1 and other is not None:
        raise ValueError(f"its columns seem to be parted by {other!r}; {_ADVICE}")
    return found


_ADVICE = "save it with ',' between columns (.tsv: tabs) and '.' in decimals"


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
        values = column.to_numpy(np.float64, na_value=np.nan)
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
