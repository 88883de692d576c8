"""The columns of a table that a cell reads besides x and y.

a number          the column of its name: delta
a vector          delta_1, delta_2, ..., counted from 1
one a sequence    the same, and it does not change within a group
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.reads import MAX_INDEX, InputRead, Reads, others_of
from bptt.train.errors import BadRecordError

Columns = dict[str, list[str]]
Numbers = Callable[[list[str]], Array]


def columns_of(file: Path, names: Sequence[str], reads: Reads) -> Columns:
    """The columns of every input that a table can hold: not of a matrix.

    Raises: BadRecordError for one that is missing.
    """
    if not reads.has_x:
        return {}
    found = {
        name: _columns(name, one, names)
        for name, one in reads.others.items()
        if len(one.shape) < 2
    }
    for name, own in found.items():
        if not own:
            wanted = f"{name}_1, {name}_2, ..." if reads.others[name].shape else name
            reason = f"has no column {wanted}; the cell reads {reads.words}"
            raise BadRecordError(file, None, reason)
    return found


def _columns(name: str, one: InputRead, names: Sequence[str]) -> list[str]:
    if not one.shape:
        return [name] if name in names else []
    pattern = re.compile(rf"{re.escape(name)}_([1-9]\d*)")
    numbers = sorted(int(m[1]) for n in names if (m := pattern.fullmatch(n)))
    first = one.shape[0] if isinstance(one.shape[0], int) else len(numbers)
    is_whole = numbers == list(range(1, first + 1))
    return [f"{name}_{i}" for i in numbers] if is_whole else []


def inputs_of_rows(
    file: Path, columns: Columns, reads: Reads, numbers: Numbers, n_rows: int
) -> dict[str, Array]:
    """What the rows of one sequence hold of these inputs, by name.

    numbers: the values of some columns, (n_rows, columns). Raises: BadRecordError for a
    value that cannot be used, or one of a sequence that changes.
    """
    arrays = {}
    for name, own in columns.items():
        one, values = reads.others[name], numbers(own)
        if one.index is not None:
            if (values != np.round(values)).any():
                reason = f"has {name!r} with numbers that are not whole"
                raise BadRecordError(file, None, reason)
            if (np.abs(values) <= MAX_INDEX).all():  # what is not is refused below
                values = values.astype(np.int64)
        if not one.per_step:
            if (values != values[:1]).any():
                reason = f"has {name!r} change within a sequence; it is {one.words}"
                raise BadRecordError(file, None, reason)
            values = values[0]
        arrays[name] = values if one.shape else values[..., 0]
    held = Reads(others={name: reads.others[name] for name in arrays})
    return others_of(file, arrays, held, None, n_rows)
