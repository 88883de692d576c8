"""The columns of a table: the numbers in them, and the order of its rows in time."""

import csv
import re
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.labels import is_of_words
from bptt.train.data.text import blocks_of, kind_of
from bptt.train.errors import BadRecordError

INDEX = "index of the file"  # which columns were a table's index, in its attrs
UNNAMED = "Unnamed: "  # how pandas calls a column whose head is empty
# A number as pandas reads one, and what it takes for a date: `now` is none.
NUMBER = re.compile(
    r"\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf(inity)?)\s*",
    re.ASCII | re.IGNORECASE,
)
WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
DATE = re.compile(r"\d{4}-\d{1,2}(-\d.*)?|\d{8}T.*", re.ASCII)
ZONED = re.compile(r".*\d[T ]\d.*([Zz]|[+-]\d\d(:?\d\d)?)", re.ASCII)
# Words that stand in the order of time as texts: a quarter, half, week or day of a
# year, or a clock.
IN_ORDER = (
    re.compile(r"\d{4}[- ]?Q\d", re.ASCII),
    re.compile(r"\d{4}[- ]?H\d", re.ASCII),
    re.compile(r"\d{4}-?W\d\d(-\d)?", re.ASCII),
    re.compile(r"\d{4}-\d{3}", re.ASCII),
    re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII),
)
COUNTED = re.compile(r"([^\d+-]*)(\d+)", re.ASCII)  # week 7
# Words whose numbers fall as time goes on, without their signs: 500 B.C., 3 days ago.
BACKWARDS = re.compile(
    r"\b(b ?c( ?e)?|b ?p|ago|before|countdown|lag|last|left|minus|remaining|to go"
    r"|until)s?\b|公元前",
    re.IGNORECASE,
)
WEEKS = 53  # a two-digit number beyond them may be a year, and 00 come after 99
MASKED = (
    "With --missing mask a gap has the value before it, and a target that is a gap "
    "does not count"
)
FULL = "An input besides x may have no gap: fill it, or leave out its row"
PLACED = (int, float, Decimal, date, time, timedelta, np.number, np.bool_)


def place_of(file: Path, row: int) -> str:
    """Where a row of a text's table stands: its line, where that is certain.

    Blank lines are none of its rows, and a quoted text may have several lines.
    """
    if kind_of(file) == ".parquet":
        return ""
    return (
        f", line {row + 2}" if _is_line(file, row + 2) else f", row {row + 1} of data"
    )


def _is_line(file: Path, line: int) -> bool:
    """Whether each line up to this one is one row."""
    if not file.is_file():  # a pipe is read once
        return False
    left, seen = b"", 0
    for block in blocks_of(file):
        *lines, left = (left + block).split(b"\n")
        for one in lines:
            seen += 1
            if not _is_one_row(one):
                return False
            if seen == line:
                return True
    return seen + 1 == line and _is_one_row(left)


def _is_one_row(line: bytes) -> bool:
    text = line.removesuffix(b"\r")
    return bool(text.strip()) and text.count(b'"') % 2 == 0 and b"\r" not in text


def numbers_of(
    file: Path, part: Any, columns: Sequence[str], *, may_lack: bool = False,
    advice: str = MASKED,
) -> Array:  # fmt: skip
    """The columns as float64, (rows, columns).

    may_lack: a gap is NaN; advice: what to do about one. Raises: BadRecordError, for
    a word, a gap or infinity with its row.
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
            raise BadRecordError(file, row, f"has {name!r} missing{line}. {advice}")
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
    words = [r for r, one in known.items() if not _is_number(one)]
    large = [r for r, one in known.items() if _is_beyond_64_bits(one)]
    row = (words or large or list(known.index))[0]
    what = (
        "a word where a number should be; write 1234.5, and nothing for a gap, or "
        f"{choose}"
    )
    if large and not words:
        what = "a whole number of more than 64 bits; write it as a real one, 1e20"
    reason = f"has {name!r} {known[row]!r}{place_of(file, int(row))}, {what}"
    raise BadRecordError(file, int(row), reason)


def _is_number(word: str) -> bool:
    return NUMBER.fullmatch(word) is not None


def _is_beyond_64_bits(word: str) -> bool:
    is_whole = WHOLE.fullmatch(word) is not None
    return is_whole and not -(2.0**63) <= float(word) < 2.0**64


def with_index(table: Any) -> Any:
    """A table whose index, where it has a name, is a column; rows count from 0.

    A column that is called by a number has its digits as a name, as in a text.
    Raises: ValueError, in words, where two columns have one name.
    """
    named = [name for name in table.index.names if name is not None]
    kept = table.reset_index(level=named) if named else table
    kept = kept.reset_index(drop=True)
    kept.columns = [str(name) for name in kept.columns]
    refuse_twice(kept.columns)
    kept.attrs[INDEX] = [str(name) for name in named]
    return kept


def refuse_twice(names: Iterable[str]) -> None:
    """Refuse a name that two columns have. Raises: ValueError, in words."""
    twice = next((name for name, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"two of its columns are called {twice!r}; call them apart")


def refuse_twice_in_text(file: Path, columns: Iterable[str], separator: str) -> None:
    """The same of the names in a text's first line; a pipe is read once.

    columns: the names that pandas made of it, `sales.1` of a second `sales`.
    Raises: ValueError, in words.
    """
    may_be = any(name.rpartition(".")[2].isdecimal() for name in columns)
    if not may_be or not file.is_file():
        return
    line = b""
    for block in blocks_of(file):
        line += block
        if b"\n" in block.lstrip(b"\r\n"):
            break
    first = line.decode("utf-8-sig", "replace").lstrip("\r\n").splitlines()[:1]
    reader = csv.reader(first, delimiter=separator, skipinitialspace=separator == ",")
    refuse_twice(name for names in reader for name in names if name)


def refuse_unplaced(file: Path, table: Any, name: str, what: str) -> None:
    """Refuse a row without a value, or a column of what has no place among others.

    Raises: BadRecordError.
    """
    refuse_gaps(file, table, name, what)
    column = table[name]
    if column.dtype.kind in "biufMm" or is_of_words(column):
        return
    other = next((one for one in column if not isinstance(one, PLACED)), None)
    if other is not None:
        kind = type(other).__name__
        reason = f"has {name!r} of {kind}, and so no {what}; give a column of numbers, "
        raise BadRecordError(file, None, reason + "dates or words")


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
    refuse_unplaced(file, table, name, "place in time")
    column = table[name]
    if not is_of_words(column):
        return column
    words = column.astype(str)
    found, unknown = _dates_of(words)
    if not unknown.any():
        return found
    is_of_one_form = any(all(map(form.fullmatch, words)) for form in IN_ORDER)
    if is_of_one_form and words.str.len().nunique() == 1:
        return words
    counted = _counts_of(words)
    if counted is not None:
        return counted
    row = int(table.index[np.flatnonzero(unknown)[0]])
    reason = (
        f"has {name!r} {words[row]!r}{place_of(file, row)}, and what comes before it "
        "is not known; write 2015-01-31, as ISO 8601 has it, all with a zone or none, "
        "or leave out --time if the rows are in order"
    )
    raise BadRecordError(file, row, reason)


def _dates_of(words: Any) -> tuple[Any, Array]:
    """Words as dates, and which of them are none, or have no zone where others do."""
    pandas: Any = import_module("pandas")
    found = pandas.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
    are_dates = np.array([DATE.fullmatch(one) is not None for one in words])
    zoned = np.array([ZONED.fullmatch(one) is not None for one in words])
    return found, np.asarray(found.isna()) | ~are_dates | (zoned.any() & ~zoned)


def _counts_of(words: Any) -> Any | None:
    """The numbers behind one and the same word, `week 7`; None where it is not so."""
    parts = [COUNTED.fullmatch(one) for one in words]
    numbers = [one[2] for one in parts if one is not None]
    if len(numbers) < len(parts) or len({one[1] for one in parts if one}) > 1:
        return None
    if parts and parts[0] and BACKWARDS.search(_bare(parts[0][1])):
        return None
    of_two = all(len(one) == 2 for one in numbers)
    if of_two and min(numbers)[0] == "0" and int(max(numbers)) > WEEKS:
        return None
    pandas: Any = import_module("pandas")
    values = [int(one) if len(one) < 400 else np.inf for one in numbers]
    return pandas.Series(values, index=words.index, name=words.name, dtype=object)


def _bare(word: str) -> str:
    """A word as BACKWARDS reads it: `BC` of `B.C.`, `days ago` of `days_ago_`."""
    return " ".join(word.replace(".", "").replace("_", " ").split())


def remark_on_counts(table: Any, times: Any, group: str | None) -> Iterator[str]:
    """That rows change their places by the number behind a word, which may count back.

    table: with its rows as the file has them; times: of these rows.
    """
    column = table[times.name]
    if times.dtype.kind != "O" or not is_of_words(column) or is_of_words(times):
        return
    groups = [times] if group is None else [t for _, t in times.groupby(table[group])]
    if all(one.is_monotonic_increasing for one in groups):
        return
    first, last = column[times.idxmin()], column[times.idxmax()]
    yield (
        f"the rows are put in the order of the number in {times.name!r}, from "
        f"{first!r} to {last!r}. If that counts backwards, put the rows in "
        "order and leave out --time."
    )


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


def remark_on_groups(
    tables: Iterable[Any], group: str | None, used: Sequence[str]
) -> Iterator[str]:
    """Groups that are left out, or that stand in several files.

    used: what the sequences are called that are left.
    """
    if group is None:
        return
    found = [table[group] for table in tables]
    every = Counter(str(one) for column in found for one in column.unique())
    left = every - Counter(used)
    if left:
        n = left.total()
        what = "1 sequence has" if n == 1 else f"{n:,} sequences have"
        yield (
            f"{what} no step with an x and a target, and so no part in this: the first "
            f"is {next(iter(left))!r}."
        )
    # 01 of one file is read as a number, and as a word where another has words.
    are_numbers = any(column.dtype.kind in "iuf" for column in found)
    words = [map(str, column.unique()) for column in found]
    called = [{_meant(one, are_numbers): one for one in each} for each in words]
    counts = Counter(chain(*called))
    twice = [name for one, name in ChainMap(*called).items() if counts[one] > 1]
    if twice:
        what = "1 group stands" if len(twice) == 1 else f"{len(twice):,} groups stand"
        yield (
            f"{what} in several files, the first is {twice[0]!r}: the rows of each "
            "file are a sequence of their own. If they are one, join the files."
        )


def _meant(word: str, are_numbers: bool) -> str | Decimal:
    """What a group is called, the same for every way to write a number."""
    if not are_numbers or not _is_number(word):
        return word
    return Decimal(float(word) if "e" in word.lower() else word)


def remark_on_index(table: Any, names: Sequence[str]) -> Iterator[str]:
    """What speaks for a row number that a table was saved with as its index."""
    for name in table.attrs.get(INDEX, ()):
        if name in names and table[name].dtype.kind in "iu":
            yield (
                f"the index of the table, {name!r}, is learned as the columns are; it "
                "is often a row number: --columns chooses those of x."
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
