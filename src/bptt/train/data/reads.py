"""What a cell reads of a sequence file: x, y, and arrays that bear its inputs' names.

every step        delta (n, tau), gap (n, tau, n_x)       one sequence: (tau, ...)
every sequence    m (n, n_src, n_m), n (n,)               one sequence: (...)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from bptt.step.shapes import Array, Shape
from bptt.train.errors import BadRecordError

MAX_INDEX = 2**31 - 1  # of an entry that a whole number names
LARGEST = float(np.finfo(np.float32).max)

T = TypeVar("T")


@dataclass(frozen=True)
class InputRead:
    """One input of a cell.

    shape: of one value, its dimensions by name; per_step: whether every step has one,
    or every sequence; index: the dimension that its whole numbers count; None where it
    holds real numbers.
    """

    shape: Shape
    per_step: bool = True
    index: object = None

    @property
    def words(self) -> str:
        """As in `one (n_src, n_m) per sequence`."""
        sizes = ", ".join(map(str, self.shape))
        what = "whole number" if self.index is not None else "number"
        per = "step" if self.per_step else "sequence"
        return f"one ({sizes}) per {per}" if self.shape else f"one {what} per {per}"


@dataclass(frozen=True)
class Reads:
    """What a cell reads of a file.

    has_x: whether it reads a vector or token x at every step; has_y: whether it is
    scored on targets y; y_index: the dimension that classes y count; is_y_of_rows:
    whether a sequence has one y; others: what else it reads, by name, an x or y of
    another form among it; x_index: the dimension that tokens x count.
    """

    has_x: bool = True
    has_y: bool = True
    y_index: object = None
    is_y_of_rows: bool = False
    others: Mapping[str, InputRead] = field(default_factory=dict)
    x_index: object = None

    @property
    def words(self) -> str:
        """What a file must hold, in words."""
        y = "y (one per sequence)" if self.is_y_of_rows else "y"
        plain = {"x": "x"} if self.has_x else {}
        plain |= {"y": y} if self.has_y else {}
        plain |= {name: f"{name} ({one.words})" for name, one in self.others.items()}
        order = sorted(plain, key=lambda name: (name not in "xy", name))
        return ", ".join(plain[name] for name in order)

    @property
    def steps(self) -> dict[str, int]:
        """The arrays that say how many steps there are, and the axes of a value."""
        found = {n: len(o.shape) for n, o in self.others.items() if o.per_step}
        if self.has_y and not self.is_y_of_rows:
            found["y"] = 0 if self.y_index is not None else 1
        return found


PLAIN = Reads()
Arrays = Mapping[str, Array]


def with_steps(file: Path, arrays: Arrays, reads: Reads) -> Arrays:
    """The arrays x and y as the reader of sequences needs them, whatever is read.

    Where x is no vector or token it has no columns; where there is no target it is 0.
    Raises: BadRecordError for an array that is missing, or that nothing reads.
    """
    if not reads.others and reads.has_x and reads.has_y:
        return arrays
    needed = {*reads.others, *(["x"] if reads.has_x else [])}
    lacking = sorted(needed - set(arrays))
    if not reads.has_x and reads.has_y and "y" not in arrays:
        lacking.append("y")
    if lacking:
        reason = f"has no array {lacking[0]}; the cell reads {reads.words}"
        raise BadRecordError(file, None, reason)
    for name, is_read in (("x", reads.has_x), ("y", reads.has_y)):
        if name in arrays and not is_read and name not in reads.others:
            reason = f"has an array {name}, and the cell reads {reads.words} alone"
            raise BadRecordError(file, None, reason)
    rest = {n: a for n, a in arrays.items() if n not in reads.others}
    lead = _lead(file, arrays, reads)
    if not reads.has_x:
        rest["x"] = np.zeros((*lead, 0), np.float32)
    if not reads.has_y:
        rest["y"] = np.zeros((*lead, 1), np.float32)
    for name, one in reads.others.items():
        _check_other(file, name, arrays[name], one, lead)
    return rest


def _lead(file: Path, arrays: Arrays, reads: Reads) -> tuple[int, ...]:
    """(n, tau) of padded sequences, (tau,) of one."""
    if reads.has_x:
        x = arrays["x"]
        is_token = x.dtype.kind in "iu" and x.ndim < 3
        lead = x.shape if is_token else x.shape[:-1]
        if len(lead) in (1, 2):
            return lead
        reason = f"x has shape {x.shape}; see the shapes in docs/training.md"
        raise BadRecordError(file, None, reason)
    for name, axes in reads.steps.items():
        if name == "y" and axes and _are_classes(arrays["y"]):
            n_o = int(arrays["y"].max()) + 1
            reason = (
                "has classes y, and the cell reads y as a vector; save them as one: "
            )
            raise BadRecordError(
                file, None, f"{reason}y = np.eye({n_o}, dtype=bool)[y]"
            )
        n = arrays[name].ndim - axes
        if n in (1, 2):
            return arrays[name].shape[:n]
        values = reads.others[name].words if name in reads.others else "the targets"
        reason = f"has {name} of shape {arrays[name].shape}, where it holds {values}"
        raise BadRecordError(file, None, reason)
    reason = "has nothing with steps: every input of the cell is one per sequence"
    raise BadRecordError(file, None, reason)


def _are_classes(y: Array) -> bool:
    return y.dtype.kind in "iu" and bool(y.max(initial=0) > 1)


def _check_other(
    file: Path, name: str, array: Array, one: InputRead, lead: tuple[int, ...]
) -> None:
    first = lead if one.per_step else lead[:-1]
    fits = array.ndim == len(first) + len(one.shape) and (
        array.shape[: len(first)] == first
    )
    if not fits:
        axes = {2: ("n", "tau"), 1: ("tau",)}[len(lead)]
        named = [*axes[: len(first)], *map(str, one.shape)]
        counted = ", ".join(f"{a} = {n}" for a, n in zip(axes, lead, strict=True))
        reason = (
            f"has {name} of shape {array.shape}; the cell reads {one.words}: "
            f"({', '.join(named)}{',' * (len(named) == 1)}), with {counted}"
        )
        raise BadRecordError(file, None, reason)
    if array.dtype.kind not in ("iu" if one.index is not None else "biuf"):
        kinds = "whole numbers" if one.index is not None else "numbers"
        raise BadRecordError(file, None, f"{name} holds {array.dtype}, no {kinds}")


def others_of(
    file: Path, arrays: Arrays, reads: Reads, number: int | None, n_steps: int
) -> dict[str, Array]:
    """What one record holds besides x and y; number: in a padded file.

    What lies beyond its steps is not looked at. Raises: BadRecordError for a value that
    cannot be used.
    """
    found = {}
    for name, one in reads.others.items():
        array = arrays[name] if number is None else arrays[name][number]
        own = np.asarray(array[:n_steps] if one.per_step else array)
        reason = _bad_value(name, own, one)
        if reason is not None:
            raise BadRecordError(file, number, reason)
        kind = np.float32 if one.index is None else np.int64
        found[name] = np.asarray(own, kind)
    return found


def _bad_value(name: str, values: Array, one: InputRead) -> str | None:
    """Which value of a record cannot be used, with its step; None where all can."""
    if one.index is None:
        bad = np.argwhere(~np.isfinite(values) | beyond_float32(values))
    else:
        bad = np.argwhere((values < 0) | (values > MAX_INDEX))
    if not len(bad):
        return None
    at = f", step {bad[0][0] + 1}" if one.per_step else ""
    value = values[tuple(bad[0])]
    if not np.isfinite(value):
        return f"{name} is {value}{at}"
    found = f"{name} holds {str(value).removesuffix('.0')}{at}"
    if one.index is None:
        return f"{found}; float32 holds {LARGEST:.3g} at most"
    if value < 0:
        return f"{found}; entries count from 0"
    return f"{found}; 2^31 - 1 is the most"


def beyond_float32(values: Array) -> Array:
    """Which numbers are finite, and more than float32 holds."""
    if values.dtype.kind != "f" or values.dtype.itemsize <= 4:
        return np.zeros(values.shape, bool)
    return np.isfinite(values) & (np.abs(values) > LARGEST)


def value_shape(name: str, value: Array, reads: Reads) -> tuple[int, ...]:
    """The shape of one value: of a step, or of a sequence."""
    return value.shape[1:] if reads.others[name].per_step else value.shape


def entries_of(reads: Reads, counts: Mapping[str, Iterable[int]]) -> dict[str, int]:
    """How many entries whole numbers count, by name; those of one dimension alike.

    A dimension that the cell has as a number counts so many, if no more occur.
    counts: name -> the largest of each record.
    """
    own = {name: 1 + max(values) for name, values in counts.items()}
    index = {"x": reads.x_index, "y": reads.y_index}
    index |= {name: one.index for name, one in reads.others.items()}
    # What the cell gives no dimension is alike to nothing else.
    key = {n: (n, None) if index[n] is None else ("", index[n]) for n in own}
    alike: dict[object, int] = {}
    for name, n in own.items():
        fixed = index[name]
        least = fixed if isinstance(fixed, int) else 0
        alike[key[name]] = max(n, least, alike.get(key[name], 0))
    return {name: alike[key[name]] for name in own}


def together(records: Sequence[Mapping[str, T]]) -> dict[str, list[T]]:
    """Values of records by name."""
    names = records[0] if records else ()
    return {name: [record[name] for record in records] for name in names}
