"""Series: split in time where there is one, standardised by their training part."""

from dataclasses import replace

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.form import Form
from bptt.train.data.sequence_files import WHOLE, SequenceFiles
from bptt.train.data.sequences import Sequences
from bptt.train.errors import TooFewRecordsError
from bptt.train.options import TrainingOptions


def split_in_time(data: SequenceFiles, options: TrainingOptions) -> SequenceFiles:
    """The parts of one long series: first training, then validation, then test.

    The later parts hold everything before them, too, with a loss on their own steps
    alone: a network that predicts a series has seen its past.
    Raises: TooFewRecordsError if a part has no step.
    """
    whole = data.parts[WHOLE]
    x, y = whole.x[0], whole.y[0]
    n = len(x)
    n_test, n_validation = round(n * options.test), round(n * options.held_out)
    first = n - n_test - n_validation
    bounds = {"training": (0, first), "validation": (first, n - n_test)}
    if n_test:
        bounds["test"] = (n - n_test, n)
    parts = {}
    for name, (start, stop) in bounds.items():
        if stop <= start:
            raise TooFewRecordsError(data.source, name, n)
        counts = np.arange(stop) >= start
        parts[name] = Sequences([x[:stop]], [y[:stop]], True, [counts])
    return replace(data, parts=parts)


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
    y_mean, y_scale = _moments(np.concatenate(list(ys)))
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


def _moments(values: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    wide = values.astype(np.float64)
    deviation = wide.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return tuple(map(float, wide.mean(axis=0))), tuple(map(float, scale))
