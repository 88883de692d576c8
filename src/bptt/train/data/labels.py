"""Labels that are words: classes in alphabetical order, called by their words."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bptt.errors import did_you_mean
from bptt.train.errors import BadRecordError


def is_of_words(column: Any) -> bool:
    """Whether every value of a pandas column that is there is a word."""
    known = column.dropna()
    return len(known) > 0 and all(isinstance(value, str) for value in known)


def classes_of(tables: Mapping[Path, Any], target: str) -> tuple[str, ...]:
    """The words of a target in all tables, in order; nothing where it has none."""
    columns = [one[target] for one in tables.values() if target in one.columns]
    if not any(is_of_words(column) for column in columns):
        return ()
    return tuple(sorted({str(v) for column in columns for v in column.dropna()}))


def numbered(file: Path, table: Any, target: str, classes: Sequence[str]) -> Any:
    """The table with the number of each word, from 0, in its place; gaps stay gaps.

    Raises: BadRecordError for a word that is no class.
    """
    column, place = table[target], {word: i for i, word in enumerate(classes)}
    pandas: Any = import_module("pandas")
    is_gap = column.isna()
    for row, value in column[~is_gap].items():
        if str(value) not in place:
            names = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
            reason = (
                f"has {target!r} {value}, where the model knows {len(classes)} "
                f"classes: {names}{did_you_mean(value, classes)}"
            )
            raise BadRecordError(file, int(row), reason)
    pairs = zip(column, is_gap, strict=True)
    found = [None if gap else place[str(value)] for value, gap in pairs]
    numbers = pandas.array(found, dtype="Int64")
    return table.assign(**{target: pandas.Series(numbers, index=table.index)})
