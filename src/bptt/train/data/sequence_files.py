"""Sequence files: `.npz` and `.safetensors` with x, y and lengths, checked here.

A file of padded sequences has one record per index of axis 0; a file of one sequence
has none. The number of axes of x tells which:

    x   (n, tau, n_x) floats or bool, (n, tau) integers      padded; lengths (n,)
        (tau, n_x)                    (tau,)                 one sequence
    y   class:      (n, tau) per step, (n,) per sequence     integers
        multi-hot:  (n, tau, n_o), (n, n_o)                  bool, or integers 0 and 1
        real:       the same shapes as multi-hot             floats

    mask, weights, class_weights: see `weighting`; a class y of -100 is a 0 of the mask

Integers in x are tokens. Without y the target of a step is the x of the next one. A
part has its own names, x_train, x_validation, x_test and so on, or a folder of its own.
What a cell reads besides has arrays of its inputs' names: see `reads`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.array_names import WHOLE, check_names, have_y, parts_of
from bptt.train.data.form import Form
from bptt.train.data.reads import (
    LARGEST,
    MAX_INDEX,
    PLAIN,
    Reads,
    beyond_float32,
    entries_of,
    others_of,
    together,
    value_shape,
    with_steps,
)
from bptt.train.data.sequences import Sequences, plain_where_whole
from bptt.train.data.weighting import (
    LEFT_OUT,
    MASK,
    check_weights,
    class_weights_of,
    gaps_as_mask,
    weights_of_record,
)
from bptt.train.door.arrays import read_npz, read_safetensors
from bptt.train.door.limits import Refusal
from bptt.train.errors import BadRecordError, DataUnreadableError, EmptyDataError

Arrays = Mapping[str, Array]

SUFFIXES = (".npz", ".safetensors")
STEP, SEQUENCE = "step", "sequence"  # what a target belongs to
ERROR = "error"  # what a missing value is, or MASK
MAX_UNUSED = 1000  # indices without a single use, for each that is used


@dataclass(frozen=True)
class SequenceFiles:
    """Checked records by part ("whole" where the files name none), and their form.

    horizon: how many steps ahead the target lies, where it is x itself; columns: the
    names of x's columns; ids: that of each sequence, as its group is called; classes:
    the words that classes have as labels; lacks_targets: whether the files hold none,
    to be predicted from, and zeros stand in for them.
    """

    source: str
    files: tuple[Path, ...]
    parts: Mapping[str, Sequences]
    form: Form
    remarks: tuple[str, ...] = ()
    horizon: int | None = None
    is_table: bool = False
    columns: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    lacks_targets: bool = False

    @property
    def is_one_series(self) -> bool:
        """Whether it is one series whose target is a later step of it."""
        is_whole = set(self.parts) == {WHOLE}
        return is_whole and self.horizon is not None and len(self) == 1

    def __len__(self) -> int:
        """Count the records of all parts."""
        return sum(map(len, self.parts.values()))


@dataclass(frozen=True)
class _Record:
    file: Path
    number: int | None  # in its file; None for a file of one sequence
    x: Array
    y: Array
    per_step: bool
    scored: Array | None = None
    others: Arrays = field(default_factory=dict)

    def refuse(self, reason: str) -> BadRecordError:
        return BadRecordError(self.file, self.number, reason)


def read_sequences(
    source: str, files: Sequence[Path], per: str | None = None, missing: str = ERROR,
    reads: Reads = PLAIN, *, may_lack_targets: bool = False,
) -> SequenceFiles:  # fmt: skip
    """Read all records and check every one of them.

    per: what a target belongs to, "step" or "sequence", where its shape could mean
    both; None: a step. missing: "error", or "mask": a NaN in x has the value before it,
    and an element of y that is NaN does not count. reads: what a cell reads, as
    `reads_of(cell)` says; x and y where none is named. may_lack_targets: x alone is not
    read as a series whose target is its next step.

    Raises: DataUnreadableError, EmptyDataError, BadRecordError (file, record, reason).
    """
    records: dict[str, list[_Record]] = {}
    remarks: dict[str, None] = {}
    loaded = {file: _load(file, reads) for file in files}
    parts_in = {f: parts_of(f, arrays, reads) for f, arrays in loaded.items()}
    has_y = reads.has_y and have_y(parts_in)
    lacks_targets = may_lack_targets and reads.has_y and not has_y
    horizon = None if has_y or lacks_targets or not reads.has_y else 1
    may_lack = missing == MASK
    for file, these in parts_in.items():
        for part, given in these.items():
            plain = with_steps(file, given, reads)
            if lacks_targets:
                lead = plain["x"].shape[: _axes(plain["x"]) - 1]
                plain = {**plain, "y": np.zeros(lead, np.int64)}
            chosen = gaps_as_mask(plain, may_lack=may_lack)
            if per is None:
                remarks |= dict.fromkeys(_doubts(chosen))
            records.setdefault(part, []).extend(
                replace(
                    one, others=others_of(file, given, reads, one.number, len(one.x))
                )
                for one in _records(file, chosen, per)
            )
    every = [record for part in records.values() for record in part]
    if not every:
        raise EmptyDataError(source, "there is no sequence in it", is_text=False)
    if WHOLE in records and len(records) > 1:
        (first,) = records[WHOLE][:1]
        raise first.refuse("belongs to no part, while other records do")
    for record in every:
        _check_like(record, every[0], reads)
    parts = {p: _together(source, p, these, reads) for p, these in records.items()}
    form = with_others(_form(every), [one.others for one in every], reads)
    return SequenceFiles(
        source, tuple(files), parts, form, tuple(remarks), horizon,
        lacks_targets=lacks_targets,
    )  # fmt: skip


def _doubts(arrays: Arrays) -> Iterator[str]:
    """What x or y means where sizes fit by chance, maybe."""
    x, y = arrays["x"], arrays.get("y")
    if y is not None and x.ndim == 2 and x.dtype.kind in "bf" and x.shape[1] > 1:
        n, tau = x.shape
        if y.shape == (n,):
            yield (
                f"x of shape {x.shape} and y of {y.shape} are read as one sequence of "
                f"{n} steps and {tau} columns. If they are {n} sequences of {tau} "
                "steps, save x[..., None]; --per step says that they are not."
            )
    if y is None or y.ndim != 2 or x.ndim < 2 or y.shape != x.shape[:2]:
        return
    is_class = y.dtype.kind in "iu" and y.max(initial=0) > 1
    if not is_class:
        yield (
            f"y of shape {y.shape} is read as one target for each of {y.shape[1]} "
            "steps. If it is one vector per sequence, give --per sequence; --per step "
            "says that it is not."
        )


def _together(
    source: str, part: str, records: list[_Record], reads: Reads
) -> Sequences:
    scored = [r.scored for r in records]
    if not any(one is None or one.any() for one in scored):
        found = f"no step of the part {part} has a target that counts"
        raise EmptyDataError(source, found, is_text=False)
    x, y = [r.x for r in records], [r.y for r in records]
    rows = tuple(n for n, one in reads.others.items() if not one.per_step)
    others = together([r.others for r in records])
    whole = plain_where_whole(scored)
    return Sequences(x, y, records[0].per_step, whole, others, rows)


def _load(file: Path, reads: Reads) -> Arrays:
    def check(names: list[str]) -> None:
        check_names(file, names, reads)

    try:
        if file.suffix.lower() == ".npz":
            return read_npz(file, check)
        with file.open("rb") as stream:
            return read_safetensors(stream, file.stat().st_size, check)[0]
    except (OSError, Refusal) as error:
        reason = f"no {file.suffix} file of numbers: {error}"
        raise DataUnreadableError(file, reason) from error


def _records(file: Path, arrays: Arrays, per: str | None) -> Iterable[_Record]:
    x = arrays["x"]
    if x.dtype.kind not in "biuf":
        raise BadRecordError(file, None, f"x holds {x.dtype}, no numbers")
    axes = _axes(x)
    if axes == 1:
        if "lengths" in arrays:
            reason = f"has lengths, but x of shape {x.shape} is one sequence"
            fix = "padded ones are (n, tau), a row of tokens each"
            if x.ndim > axes:
                fix = "padded ones of one column are x[..., None]"
            raise BadRecordError(file, None, f"{reason}; {fix}")
        yield from _weighed([_single(file, x, arrays.get("y"), per)], arrays, 1)
    elif axes == 2:
        yield from _weighed(_padded(file, x, arrays, per), arrays, 2)
    else:
        reason = f"x has shape {x.shape}; see the shapes in docs/training.md"
        raise BadRecordError(file, None, reason)


def _axes(x: Array) -> int:
    """How many axes of x are rows and steps."""
    is_token = x.dtype.kind in "iu" and x.ndim < 3
    return x.ndim - (0 if is_token else 1)


def _weighed(
    records: Iterable[_Record], arrays: Arrays, axes: int
) -> Iterator[_Record]:
    """Checked records, each with what its steps weigh."""
    for i, record in enumerate(records):
        per_step = record.per_step
        if not i:
            shape = arrays["x"].shape[:axes]
            check_weights(record.file, arrays, shape, per_step=per_step)
        known = weights_of_record(
            arrays, record.number, len(record.x), per_step=per_step
        )
        found = _check(replace(record, scored=known))
        try:
            of_class = class_weights_of(arrays, found.y, per_step=per_step)
        except ValueError as error:
            raise record.refuse(str(error)) from error
        if of_class is not None:
            steps = of_class if found.scored is None else of_class * found.scored
            found = replace(found, scored=steps)
        yield found


def _belongs_to_steps(
    file: Path, y: Array, fits: bool, tau: int, per: str | None
) -> bool:
    """Whether y is one target per step: as its shape says, or the person.

    Raises: BadRecordError if it cannot be what the person says.
    """
    if per == STEP and not fits:
        reason = f"has y of shape {y.shape}, which is no target for each of {tau} steps"
        raise BadRecordError(file, None, f"{reason}, as --per step says")
    return fits and per != SEQUENCE


def _single(file: Path, x: Array, y: Array | None, per: str | None) -> _Record:
    if y is None:
        return _next_step(file, None, x)
    fits = y.ndim > 0 and y.shape[0] == len(x)
    return _Record(file, None, x, y, _belongs_to_steps(file, y, fits, len(x), per))


def _padded(file: Path, x: Array, arrays: Arrays, per: str | None) -> Iterable[_Record]:
    n, tau = x.shape[:2]
    y = arrays.get("y")
    lengths = _lengths(file, arrays.get("lengths"), n, tau)
    if y is None:
        for i in range(n):
            yield _next_step(file, i, x[i, : lengths[i]])
        return
    if y.ndim == 0 or len(y) != n:
        reason = f"y has shape {y.shape}, but x has {n} records"
        raise BadRecordError(file, None, reason)
    fits = y.ndim > 1 and y.shape[1] == tau
    per_step = _belongs_to_steps(file, y, fits, tau, per)
    if y.ndim > 2 and not per_step:
        reason = f"y has shape {y.shape}, but x has {tau} steps"
        raise BadRecordError(file, None, reason)
    for i in range(n):
        target = y[i, : lengths[i]] if per_step else y[i]
        yield _Record(file, i, x[i, : lengths[i]], target, per_step)


def _next_step(file: Path, number: int | None, x: Array) -> _Record:
    if len(x) < 2:
        reason = "has one step and no y; the target of a step is the next x"
        raise BadRecordError(file, number, reason)
    return _Record(file, number, x[:-1], x[1:], per_step=True)


def _lengths(file: Path, lengths: Array | None, n: int, tau: int) -> Array:
    if lengths is None:
        return np.full(n, tau)
    if lengths.shape != (n,) or lengths.dtype.kind not in "iu":
        reason = (
            f"lengths holds {lengths.dtype} of shape {lengths.shape}; "
            f"one whole number for each of the {n} records is needed"
        )
        raise BadRecordError(file, None, reason)
    bad = np.flatnonzero((lengths < 1) | (lengths > tau))
    if len(bad):
        reason = f"has length {lengths[bad[0]]}; x has {tau} steps, so 1 to {tau}"
        raise BadRecordError(file, int(bad[0]), reason)
    return lengths


def _check(record: _Record) -> _Record:
    """Refuse values that cannot be used; columns for real numbers without an axis."""
    if not len(record.x):
        raise record.refuse("has no step")
    record = _without_left_out(record)
    for name, array in (("x", record.x), ("y", record.y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0]
            at = f", step {where[0] + 1}" if array.ndim else ""
            value = array[tuple(where)]
            fix = "; --missing mask leaves gaps out" if np.isnan(value) else ""
            if fix and name == "x" and not where[0]:
                fix = ", which has no value before it that --missing mask could take"
            raise record.refuse(f"{name} is {value}{at}{fix}")
        if beyond_float32(array).any():
            found = f"{name} holds {np.abs(array).max():.3g}"
            raise record.refuse(f"{found}; float32 holds {LARGEST:.3g} at most")
        if array.dtype.kind == "i" and array.size and array.min() < 0:
            raise record.refuse(f"{name} holds {array.min()}; entries count from 0")
        if array.dtype.kind in "iu" and array.max(initial=0) > MAX_INDEX:
            raise record.refuse(f"{name} holds {array.max()}; 2^31 - 1 is the most")
    y = record.y
    steps = 1 if record.per_step else 0
    if y.dtype.kind not in "biuf":
        raise record.refuse(f"y holds {y.dtype}, no numbers")
    if y.ndim > steps + 1:
        raise record.refuse(f"y has shape {y.shape}, which fits no target of x")
    if y.ndim == steps and y.dtype.kind in "bf":
        y = y[..., None]
    if y.ndim == steps + 1 and y.dtype.kind in "biu" and y.max(initial=0) > 1:
        found = f"y is a vector of integers up to {y.max()}, not 0 and 1"
        raise record.refuse(f"{found}{_meant(record)}")
    return replace(record, y=y)


def _meant(record: _Record) -> str:
    """What a vector of whole numbers may have been meant to be."""
    if record.y.shape[-1] == 1:
        return "; a class has no axis of its own: save y[..., 0]"
    if record.number is None and record.x.dtype.kind in "bf":
        shape = record.x.shape
        return f"; x of shape {shape} is one sequence, and {shape[0]} are x[..., None]"
    if record.x.dtype.kind in "iu":  # a roll of velocities, counts, pixels
        return "; save a roll as truths, roll > 0, and counts as real numbers"
    return ""


def _without_left_out(record: _Record) -> _Record:
    """A record whose classes of -100 are steps that do not count."""
    y = record.y
    if y.dtype.kind != "i" or not (y == LEFT_OUT).any():
        return record
    if not record.per_step or y.ndim != 1:
        reason = (
            f"y is {LEFT_OUT}, which leaves out a step, where y is no class per step"
        )
        raise record.refuse(f"{reason}; leave the record out")
    counts = y != LEFT_OUT
    scored = counts if record.scored is None else counts * record.scored
    return replace(record, y=np.where(counts, y, 0), scored=scored)


def _check_like(record: _Record, first: _Record, reads: Reads) -> None:
    """Refuse a record whose arrays are not like the first record's."""
    if record.per_step != first.per_step:
        raise record.refuse(
            "has targets per step, the first record has not, or the reverse"
        )
    skipped = 1 if first.per_step else 0
    for name, a, b in (
        ("x", record.x[0], first.x[0]),
        ("y", record.y[0] if skipped else record.y, first.y[0] if skipped else first.y),
    ):
        if a.shape != b.shape or (a.dtype.kind == "f") != (b.dtype.kind == "f"):
            raise record.refuse(
                f"{name} is {a.dtype} {a.shape} per step, "
                f"but {b.dtype} {b.shape} in the first record"
            )
    for name, value in record.others.items():
        mine, its = (value_shape(name, v, reads) for v in (value, first.others[name]))
        if mine != its:
            raise record.refuse(
                f"{name} is {mine}, but {its} in the first record; fill it up with "
                "zeros, and let an input of the cell say how many count: "
                "n: () = input, where(j > n, -1000, ...)"
            )


def with_others(form: Form, records: Sequence[Arrays], reads: Reads) -> Form:
    """A form with the shapes and the entries of what is read besides x and y."""
    others = together(records)
    shapes = {n: value_shape(n, every[0], reads) for n, every in others.items()}
    whole = {n: e for n, e in others.items() if reads.others[n].index is not None}
    largest = {n: [int(one.max(initial=0)) for one in e] for n, e in whole.items()}
    if form.target == "class":
        largest["y"] = [form.n_o - 1]
    if form.x_is_token:
        largest["x"] = [form.n_x - 1]
    entries = entries_of(reads, largest)
    n_x = entries.pop("x") if form.x_is_token else form.n_x
    n_o = entries.pop("y") if form.target == "class" else form.n_o
    return replace(form, n_x=n_x, n_o=n_o, shapes=shapes, entries=entries)


def _form(records: list[_Record]) -> Form:
    first = records[0]
    steps = 1 if first.per_step else 0
    x_is_token = first.x.ndim == 1
    n_x = _count(records, "x") if x_is_token else first.x.shape[1]
    if first.y.ndim == steps:
        target, n_o = "class", _count(records, "y")
    else:
        target = "real" if first.y.dtype.kind == "f" else "multi-hot"
        n_o = first.y.shape[-1]
    return Form(n_x, x_is_token, target, n_o, first.per_step)


def _count(records: list[_Record], name: str) -> int:
    """The largest index and 1, which must not be one slip of the pen."""
    largest = [int(getattr(record, name).max()) for record in records]
    n = 1 + max(largest)
    used = sum(np.unique(getattr(record, name)).size for record in records)
    if n > MAX_UNUSED * (used + 1):
        reason = f"{name} holds {n - 1:,}, and at most {used:,} different entries occur"
        raise records[int(np.argmax(largest))].refuse(f"{reason}; count them from 0")
    return n
