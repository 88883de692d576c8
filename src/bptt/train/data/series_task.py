"""Series: split in time where there is one, standardised by their training part."""

from dataclasses import replace

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.array_names import WHOLE
from bptt.train.data.form import Form
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequences import Sequences
from bptt.train.errors import OptionError, TooFewStepsError
from bptt.train.options import SEQUENCES, TIME, TrainingOptions

LONG = 2000  # steps


def is_split_in_time(data: SequenceFiles, options: TrainingOptions) -> bool:
    """Whether each series is cut in time, not some series taken for each part.

    Raises: OptionError if there is no series to cut.
    """
    can = set(data.parts) == {WHOLE} and data.form.per_step
    if options.split_by == TIME and not can:
        expected = f"{SEQUENCES}, for the targets are not of steps, or parts are named"
        raise OptionError("--split-by", TIME, expected)
    if options.split_by is not None:
        return options.split_by == TIME
    return can and data.horizon is not None and (len(data) == 1 or data.is_table)


def split_in_time(data: SequenceFiles, options: TrainingOptions) -> SequenceFiles:
    """The parts of long series: first training, then validation, then test.

    The later parts hold everything before them, too, with a loss on their own steps
    alone: a network that predicts a series has seen its past. With --tau the training
    part of one series is cut into n_b streams that are read in parallel, as a text is.
    Raises: TooFewStepsError if a part has no step.
    """
    whole = data.parts[WHOLE]
    parts: dict[str, Sequences] = {}
    for name in ("training", "validation", *(("test",) if options.test else ())):
        rows = [_part_of(whole, i, name, options) for i in range(len(whole))]
        kept = [i for i, row in enumerate(rows) if row[2].any()]
        if not kept:
            steps = [_n_counted(whole.elements(row)) for row in range(len(whole))]
            raise TooFewStepsError(data.source, name, steps)
        x, y, weighs = (list(c) for c in zip(*(rows[i] for i in kept), strict=True))
        others = {
            n: [a[i] if n in whole.rows else a[i][: len(rows[i][0])] for i in kept]
            for n, a in whole.others.items()
        }
        parts[name] = Sequences(x, y, True, weighs, others, whole.rows)
    k1 = options.truncation(options.tau).k1
    if k1 is not None and len(whole) == 1:
        n_streams = max(1, min(options.n_b, len(parts["training"].x[0]) // k1))
        parts["training"] = _streams(parts["training"], n_streams)
    return replace(data, parts=parts)


def _n_counted(weighs: Array) -> int:
    """How many steps have a target that counts."""
    return int((weighs > 0).reshape(len(weighs), -1).any(axis=1).sum())


def _part_of(
    whole: Sequences, row: int, name: str, options: TrainingOptions
) -> tuple[Array, Array, Array]:
    """One series up to the end of a part, and what the steps of the part weigh."""
    x, y, weighs = whole.x[row], whole.y[row], whole.elements(row)
    n = len(x)
    n_test, n_validation = round(n * options.test), round(n * options.held_out)
    first, second = n - n_test - n_validation, n - n_test
    ends = {"training": (0, first), "validation": (first, second), "test": (second, n)}
    start, stop = ends[name]
    counts = (np.arange(stop) >= start).reshape(-1, *[1] * (weighs.ndim - 1))
    return x[:stop], y[:stop], counts * weighs[:stop]


def _streams(series: Sequences, n: int) -> Sequences:
    """A series in n pieces that follow each other, as equal as they can be."""
    x, y, weighs = (
        np.array_split(one[0], n) for one in (series.x, series.y, [series.elements(0)])
    )
    others = {
        name: [every[0]] * n if name in series.rows else np.array_split(every[0], n)
        for name, every in series.others.items()
    }
    return Sequences(x, y, True, weighs, others, series.rows)


def remarks_on_series(data: SequenceFiles, options: TrainingOptions) -> list[str]:
    """What a person who has one long series may not have meant."""
    n = sum(len(x) for part in data.parts.values() for x in part.x)
    if not data.is_one_series or n < LONG or options.truncation(options.tau).k1:
        return []
    text = (
        f"one series of {n:,} steps is one window, and an epoch one step of learning: "
        "--tau 64 cuts it into windows of 64 steps, read in --n-b streams."
    )
    return [text]


def standardised(form: Form, training: Sequences) -> Form:
    """A form with the mean and the deviation of every column of the training part.

    A column that does not change keeps its unit.
    """
    counted = [x[: len(y)] if training.per_step else x
               for x, y in zip(training.x, training.y, strict=True)]  # fmt: skip
    x_mean, x_scale = _moments(np.concatenate(counted))
    if form.target != "real":
        return replace(form, x_mean=x_mean, x_scale=x_scale)
    ys = training.y if training.per_step else [y[None] for y in training.y]
    values = np.concatenate(list(ys))
    y_mean, y_scale = _moments(values, _known(training, values))
    return replace(form, x_mean=x_mean, x_scale=x_scale, y_mean=y_mean, y_scale=y_scale)


def in_own_units(sequences: Sequences, form: Form) -> Sequences:
    """Sequences as the network reads them: less the mean, in deviations."""
    if not form.x_scale:
        return sequences
    x = [normal(one, form.x_mean, form.x_scale) for one in sequences.x]
    y = list(sequences.y)
    if form.y_scale:
        y = [normal(one, form.y_mean, form.y_scale) for one in y]
    return replace(sequences, x=x, y=y)


def normal(x: Array, mean: tuple[float, ...], scale: tuple[float, ...]) -> Array:
    """(x - mean) / scale, float32."""
    return np.asarray((x - np.array(mean)) / np.array(scale), np.float32)


def _known(training: Sequences, values: Array) -> Array | None:
    """Which elements of all targets are there; None where each of them is."""
    if not training.has_gaps:
        return None
    first = 0 if training.per_step else -1
    found = [training.elements(i)[first:] > 0 for i in range(len(training))]
    wide = [one if one.ndim > 1 else one[:, None] for one in found]
    return np.concatenate([np.broadcast_to(o, (len(o), values.shape[1])) for o in wide])


Moments = tuple[tuple[float, ...], tuple[float, ...]]


def _moments(values: Array, known: Array | None = None) -> Moments:
    wide = values.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    if known is not None:
        n = np.maximum(known.sum(axis=0), 1)
        mean = (wide * known).sum(axis=0) / n
        deviation = np.sqrt((((wide - mean) * known) ** 2).sum(axis=0) / n)
    scale = np.where(deviation > 0, deviation, 1.0)
    return tuple(map(float, mean)), tuple(map(float, scale))
