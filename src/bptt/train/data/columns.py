"""The columns of a table: the numbers in them, and the order of its rows in time."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.labels import is_of_words
from bptt.train.data.text import kind_of
from bptt.train.errors import BadRecordError

UNNAMED = "Unnamed: "  # how pandas calls a column whose head is empty
# Words of one form, a 0 for every digit, that stand in the order of time as texts: one
# number, a year with a quarter, week or day behind it, or a clock.
IN_ORDER = re.compile(r"[^0]*0+[^0]*|0000[- ]?(0+|[A-Za-z]0+(-0)?)|00:00(:00(\.0+)?)?")


def place_of(file: Path, row: int) -> str:
    """Which line of a text a row of its table is; nothing of another file."""
    return "" if kind_of(file) == ".parquet" else f", line {row + 2}"


def numbers_of(
    file: Path, part: Any, columns: Sequence[str], *, may_lack: bool = False
) -> Array:
    """The columns as float64, (rows, columns).

    may_lack: a gap is NaN. Raises: BadRecordError, for a word, a gap or infinity with
    its row.
    """
    found = []
    for name in columns:
        values = _values(file, part, name)
        bad = np.flatnonzero(np.isinf(values) if may_lack else ~np.isfinite(values))
        if len(bad):
            row = int(part.index[bad[0]])
            line = place_of(file, row)
            if np.isinf(values[bad[0]]):
                raise BadRecordError(file, row, f"has {name!r} infinite{line}")
            reason = (
                f"has {name!r} missing{line}. With --missing mask a gap has the value "
                "before it, and a target that is a gap does not count"
            )
            raise BadRecordError(file, row, reason)
        found.append(values)
    if not found:
        raise BadRecordError(file, None, "has no column for x")
    return np.stack(found, axis=1)


def _values(file: Path, part: Any, name: str) -> Array:
    """One column as float64, with NaN for what is missing."""
    column = part[name]
    if column.dtype.kind in "biuf":
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    known = column.dropna()
    if column.dtype.kind == "O" and all(isinstance(one, Decimal) for one in known):
        pairs = zip(column, column.isna(), strict=True)
        return np.array([np.nan if gap else float(one) for one, gap in pairs])
    choose = "choose others with --columns, or name it with --time or --group"
    if not is_of_words(column):
        kind = column.dtype if column.dtype.kind != "O" else type(known.iloc[0])
        called = getattr(kind, "__name__", kind)
        reason = f"has a column {name!r} of {called}, no numbers; {choose}"
        raise BadRecordError(file, None, reason)
    row = next((r for r, one in known.items() if not _is_number(one)), known.index[0])
    reason = (
        f"has {name!r} {known[row]!r}{place_of(file, int(row))}, a word where a number "
        f"should be; write 1234.5, and nothing for a gap, or {choose}"
    )
    raise BadRecordError(file, int(row), reason)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def refuse_gaps(file: Path, table: Any, name: str, what: str) -> None:
    """Refuse a row that does not say where it belongs. Raises: BadRecordError."""
    bad = np.flatnonzero(table[name].isna())
    if len(bad):
        row = int(table.index[bad[0]])
        reason = f"has {name!r} missing{place_of(file, row)}, and so no {what}"
        raise BadRecordError(file, row, reason)


def times_of(file: Path, table: Any, name: str) -> Any:
    """What the rows of a table are sorted by: numbers, dates, or words that are dates.

    Raises: BadRecordError for a row without a time, or with a word whose place in time
    is not known: 01.02.2015 stands after 01.01.2016 as a text.
    """
    refuse_gaps(file, table, name, "place in time")
    column = table[name]
    if not is_of_words(column):
        return column
    words = column.astype(str)
    pandas: Any = import_module("pandas")
    found = pandas.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
    unknown = found.isna()
    if not unknown.any():
        return found
    forms = words.str.replace(r"[0-9]", "0", regex=True)
    if (forms == forms.iloc[0]).all() and IN_ORDER.fullmatch(forms.iloc[0]):
        return words
    row = int(table.index[np.flatnonzero(unknown)[0]])
    reason = (
        f"has {name!r} {words[row]!r}{place_of(file, row)}, and what comes before it "
        "is not known; write 2015-01-31, as ISO 8601 has it, or leave out --time if "
        "the rows are in order"
    )
    raise BadRecordError(file, row, reason)


def remark_on_times(file: Path, times: Any, groups: Any | None) -> Iterator[str]:
    """What speaks for a missing --group, or for rows that are there twice.

    times: of all rows, as `times_of` gives them; groups: the column of their groups.
    """
    pandas: Any = import_module("pandas")
    keys = {"time": times} | ({} if groups is None else {"group": groups})
    again = np.flatnonzero(pandas.DataFrame(keys).duplicated())
    if len(again):
        row = int(times.index[again[0]])
        n = len(again)
        one = f"{n:,} rows have" if n > 1 else "One row has"
        one += f" the {times.name!r}"
        yield (
            f"{one} of another one of their sequence, the first is row {row:,}"
            f"{place_of(file, row)}: each is read as a step of its own. If several "
            "series stand in a table, --group parts them."
        )


def remark_on_names(file: Path, names: Sequence[str]) -> Iterator[str]:
    """What speaks for a row number among the columns, or for no line of names.

    names: of the columns that are read without being asked for.
    """
    if kind_of(file) == ".parquet":
        return
    if any(name.startswith(UNNAMED) for name in names):
        yield (
            "a column without a name is learned as the others are; it is often a row "
            "number that was saved with a table: --columns chooses those of x."
        )
    counted = [[str(i + first) for i in range(len(names))] for first in (0, 1)]
    if all(map(_is_number, names)) and list(names) not in counted:
        yield (
            f"the first line of the table, {', '.join(names[:4])}, is read as names of "
            "its columns; if it is a row, put a line of names above it."
        )
