"""Tables as sequences: `.csv`, `.tsv` and `.parquet`, read by pandas.

A row is a step. Without a group the table is one long series, which is split in time; a
group column makes a sequence of the rows of each of its values. Without a target column
the target of a step is the row `horizon` steps later. Where values may be missing, each
column has its own gaps: what is missing in one leaves the others' targets alone.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bptt.errors import list_known
from bptt.step.shapes import Array
from bptt.train.data.array_names import WHOLE
from bptt.train.data.columns import (
    FULL,
    numbers_of,
    refuse_twice_in_text,
    refuse_unplaced,
    remark_on_counts,
    remark_on_groups,
    remark_on_index,
    remark_on_names,
    remark_on_times,
    times_of,
    with_index,
)
from bptt.train.data.form import Form
from bptt.train.data.labels import classes_of, numbered
from bptt.train.data.reads import PLAIN, Reads
from bptt.train.data.sequence_files import ERROR, SequenceFiles, with_others
from bptt.train.data.sequences import Sequences, plain_where_whole
from bptt.train.data.table_inputs import Columns, columns_of, inputs_of_rows
from bptt.train.data.text import blocks_of, kind_of
from bptt.train.data.untargeted import table_with_targets
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
    source: str, files: Sequence[Path], request: TableRequest, reads: Reads = PLAIN,
    *, may_lack_targets: bool = False,
) -> SequenceFiles:  # fmt: skip
    """Read tables whose rows are steps.

    reads: what the cell reads; its inputs besides x and y are columns, too;
    may_lack_targets: the columns of the target may be missing, all of them everywhere.

    Raises: DataUnreadableError, BadRecordError (file, row, reason), EmptyDataError,
    OptionError for a column that is not there, TrainExtraMissingError without pandas.
    """
    tables = {file: _read(file) for file in files}
    lacks_targets = may_lack_targets and _lack_targets(tables.values(), request)
    if lacks_targets:
        tables = {
            file: table_with_targets(table, _targets(table, request), request.classes)
            for file, table in tables.items()
        }
    if request.target is not None and not request.classes:
        request = replace(request, classes=classes_of(tables, request.target))
    ordered = {f: _in_order(f, table, request, reads) for f, table in tables.items()}
    in_order = {f: table for f, (table, _) in ordered.items()}
    _refuse_other_columns(in_order, request, reads)
    found = [
        one
        for file, table in in_order.items()
        for one in _sequences(file, table, request, reads)
    ]
    if not found:
        if files and request.missing == MASK:
            reason = "has no row where every column of x has a value; see --columns"
            raise BadRecordError(files[0], None, reason)
        raise EmptyDataError(source, "there is no row in it", is_text=False)
    make = _with_target if request.target is not None else _with_later_x
    used, whole, form = make(files[0], found, request)
    whole, form = _with_inputs(used, whole, form, reads)
    ids = tuple(one.id for one in used) if request.group is not None else ()
    return SequenceFiles(
        source,
        tuple(files),
        {WHOLE: whole},
        form,
        (*chain(*(remarks for _, remarks in ordered.values())),
         *remark_on_groups(in_order.values(), request.group, ids)),
        horizon=request.horizon if request.target is None else None,
        is_table=True,
        columns=found[0].columns,
        ids=ids,
        classes=request.classes,
        lacks_targets=lacks_targets,
    )  # fmt: skip


def _lack_targets(tables: Iterable[Any], request: TableRequest) -> bool:
    """Whether a target is asked for, and no table has a value of it."""
    return request.target is not None and not any(
        name in table.columns and table[name].notna().any()
        for table in tables
        for name in _targets(table, request)
    )


def _refuse_other_columns(
    tables: Mapping[Path, Any], request: TableRequest, reads: Reads
) -> None:
    """Refuse tables whose columns of x differ, or stand in another order.

    Raises: BadRecordError.
    """
    found = {
        file: _columns(table, request, columns_of(file, list(table.columns), reads))
        for file, table in tables.items()
    }
    for file, here in found.items():
        first = next(iter(found))
        if here != found[first]:
            reason = f"has the columns {', '.join(here)}, and {str(first)!r} has "
            reason += f"{', '.join(found[first])}; --columns a,b chooses those of x"
            raise BadRecordError(file, None, reason)


@dataclass(frozen=True)
class _Rows:
    """The rows of one sequence: x (rows, columns), y (rows, targets).

    has_x, has_y: which of their values are there, of the same shapes; are_whole: of
    each target, whether it holds whole numbers; others: what a cell reads besides.
    """

    id: str
    columns: tuple[str, ...]
    x: Array
    y: Array
    has_x: Array
    has_y: Array
    are_whole: tuple[bool, ...]
    others: Mapping[str, Array]


Made = tuple[list[_Rows], Sequences, Form]


def _with_inputs(
    used: list[_Rows], whole: Sequences, form: Form, reads: Reads
) -> tuple[Sequences, Form]:
    """Sequences and their form with what is read besides x and y."""
    if not used[0].others:
        return whole, form
    rows = tuple(n for n in used[0].others if not reads.others[n].per_step)
    others = {
        name: [
            one.others[name] if name in rows else one.others[name][: len(x)]
            for one, x in zip(used, whole.x, strict=True)
        ]
        for name in used[0].others
    }
    return replace(whole, others=others, rows=rows), with_others(
        form, [one.others for one in used], reads
    )


def _with_later_x(file: Path, found: list[_Rows], request: TableRequest) -> Made:
    """The target of a row is the x of one `horizon` rows later."""
    h = request.horizon
    used = [one for one in found if one.has_x[h:].any()]
    if not used:
        rows = f"{h} rows" if h > 1 else "one row"
        reason = f"has no more than {rows}, and the target lies {rows} ahead"
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
    elif target == "multi-hot":
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


def _in_order(
    file: Path, table: Any, request: TableRequest, reads: Reads
) -> tuple[Any, list[str]]:
    """A table with its rows in time and numbers for words; and what looks wrong."""
    targets = _targets(table, request)
    for name in (*request.columns, request.time, request.group, *targets):
        if name is not None and name not in table.columns:
            there = list_known(name, table.columns)
            raise OptionError("column", name, f"one of {there}")
    if request.classes:
        table = numbered(file, table, targets[0], request.classes)
    if request.group is not None:
        refuse_unplaced(file, table, request.group, "sequence that it belongs to")
    remarks: list[str] = []
    if not request.columns:
        inputs = columns_of(file, list(table.columns), reads)
        columns = _columns(table, request, inputs)
        remarks += remark_on_names(file, columns)
        remarks += remark_on_index(table, columns)
    if request.time is not None:
        times = times_of(file, table, request.time)
        groups = None if request.group is None else table[request.group]
        remarks += remark_on_counts(table, times, request.group)
        remarks += remark_on_times(file, times, groups)
        table = table.loc[times.sort_values(kind="stable").index]
    return table, remarks


def _columns(table: Any, request: TableRequest, inputs: Columns) -> list[str]:
    """The columns of x."""
    others = chain(*inputs.values())
    aside = {request.time, request.group, *_targets(table, request), *others}
    return list(request.columns or (c for c in table.columns if c not in aside))


def _sequences(
    file: Path, table: Any, request: TableRequest, reads: Reads
) -> Iterator[_Rows]:
    """The rows of every group of a table."""
    inputs = columns_of(file, list(table.columns), reads)
    columns, targets = _columns(table, request, inputs), _targets(table, request)
    parts = [("", table)]
    if request.group is not None:
        parts = list(table.groupby(request.group, sort=True, observed=True))
    for name, part in parts:
        for one in _rows(file, str(name), part, columns, targets, request):
            yield replace(one, others=_others(file, part, one, inputs, reads))


def _others(
    file: Path, part: Any, rows: _Rows, inputs: Columns, reads: Reads
) -> dict[str, Array]:
    """What is read besides x and y of the rows that a sequence has kept."""
    kept = part.iloc[len(part) - len(rows.x) :]

    def numbers(columns: list[str]) -> Array:
        return numbers_of(file, kept, columns, advice=FULL)

    return inputs_of_rows(file, inputs, reads, numbers, len(kept))


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
    x = numbers_of(file, part, columns, may_lack=is_masked)
    has_x = np.isfinite(x)
    y = np.zeros((len(x), 0))
    if targets:
        y = numbers_of(file, part, targets, may_lack=is_masked)
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
    x = carried_on(x[rows])
    yield _Rows(name, tuple(columns), x, y[rows], has_x[rows], has_y[rows], are_whole,
                {})  # fmt: skip


def _read(file: Path) -> Any:
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise TrainExtraMissingError("pandas") from error
    try:
        kind = kind_of(file)
        refuse_above(count_cells(file, kind) * CELL_BYTES, "its content")
        if kind == ".parquet":
            return with_index(pandas.read_parquet(file, dtype_backend=KINDS))
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
    return _count_ends(blocks_of(file), separator)


def _count_ends(blocks: Iterable[bytes], separator: bytes) -> int:
    """How many values end in blocks of text, those within quotes as one."""
    count, is_inside = 0, False
    for block in blocks:
        parts = block.split(b'"')
        for part in parts[int(is_inside) :: 2]:
            count += part.count(separator) + part.count(b"\n")
        is_inside ^= len(parts) % 2 == 0
    return count


def _read_text(pandas: Any, file: Path, separator: str) -> Any:
    """A `.csv` or `.tsv` file.

    Raises: ValueError, in words, where its rows have more fields than its first line
    has names: pandas would take the first ones for row names, in silence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            found = pandas.read_csv(
                file, sep=separator, index_col=False, dtype_backend=KINDS,
                skipinitialspace=separator == ",",
            )  # fmt: skip
        except pandas.errors.ParserWarning as warning:
            reason = "its rows have more fields than its first line has names"
            raise ValueError(f"{reason}; {_ADVICE}") from warning
    refuse_twice_in_text(file, found.columns, separator)
    name = str(found.columns[0])
    other = next((s for s in ";\t|" if s != separator and s in name), None)
    if len(found.columns) == 1 and other is not None:
        raise ValueError(f"its columns seem to be parted by {other!r}; {_ADVICE}")
    return found


_ADVICE = "save it with ',' between columns (.tsv: tabs) and '.' in decimals"
