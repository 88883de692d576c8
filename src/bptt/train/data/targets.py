"""What y means: as its type or `--loss` says; and what looks like a mistake."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.form import Form
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.weighting import LEFT_OUT
from bptt.train.errors import LossError

LOSSES = ("nll", "bce", "mse")
MAX_CLASSES = 10_000  # whole numbers up to here look like classes


def with_loss(data: SequenceFiles, loss: str | None) -> SequenceFiles:
    """Data whose targets are read as a loss needs them: nll, bce or mse; None: as is.

    Raises: LossError if their values are none of it.
    """
    if loss is None:
        return data
    ys = [y for part in data.parts.values() for y in part.y]
    form, change = _CHANGES[loss](data, ys)
    parts = {
        name: replace(part, y=[change(y) for y in part.y])
        for name, part in data.parts.items()
    }
    return replace(data, parts=parts, form=form)


def remarks(data: SequenceFiles, loss: str | None) -> list[str]:
    """A warning where real targets look like classes or like zeros and ones.

    loss: what the person said of them, who then needs no warning.
    """
    found = list(data.remarks)
    ys = [y for part in data.parts.values() for y in part.y]
    if data.form.target != "real" or loss is not None:
        return found
    if all(_are_binary(y) for y in ys):
        found.append(
            "the targets hold only 0 and 1, as real numbers: learned with mse. If they "
            "are binary, give --loss bce (or save them as bool)."
        )
    elif data.is_table and data.horizon is not None:
        return found  # counts, such as sales: x is no class
    elif data.form.n_o == 1 and all(_are_classes(y) for y in ys):
        found.append(
            "the targets hold only whole numbers, as real ones: learned with mse. If "
            "they are classes, give --loss nll (or save them as integers)."
        )
    elif data.form.n_o == 1 and all(_are_classes(np.maximum(y, 0)) for y in ys):
        lowest = min(float(y.min()) for y in ys)
        if lowest == LEFT_OUT and not any(_is_between(y) for y in ys):
            found.append(
                f"the targets hold only whole numbers from 0 and {LEFT_OUT}, as real "
                f"ones: learned with mse. If they are classes and {LEFT_OUT} leaves a "
                "step out, save them as integers."
            )
    return found


def _is_between(y: Array) -> bool:
    """Whether a target lies below 0 that is not the sign of a step left out."""
    return bool(((y < 0) & (y != LEFT_OUT)).any())


def _are_binary(y: Array) -> bool:
    return bool(((y == 0) | (y == 1)).all())


def _are_classes(y: Array) -> bool:
    return bool(((y >= 0) & (y <= MAX_CLASSES) & (y == np.round(y))).all())


Change = tuple[Form, Callable[[Array], Array]]


def _as_classes(data: SequenceFiles, ys: list[Array]) -> Change:
    form = data.form
    if form.target == "class":
        return form, lambda y: y
    if form.n_o != 1 or not all(_are_classes(y) for y in ys):
        raise LossError("nll", data.source, "one whole number from 0 per target")
    n = 1 + max(int(y.max()) for y in ys)
    return (
        replace(form, target="class", n_o=n),
        lambda y: np.asarray(y[..., 0]).astype(np.int64),
    )


def _as_binary(data: SequenceFiles, ys: list[Array]) -> Change:
    form = data.form
    if not all(_are_binary(y) for y in ys):
        raise LossError("bce", data.source, "0 and 1")
    if form.target != "class":
        return replace(form, target="multi-hot"), lambda y: np.asarray(y).astype(bool)
    wide = replace(form, target="multi-hot", n_o=1)
    return wide, lambda y: np.asarray(y)[..., None].astype(bool)


def _as_real(data: SequenceFiles, ys: list[Array]) -> Change:
    form = data.form
    if form.target != "class":
        return replace(form, target="real"), lambda y: np.asarray(y, float)
    wide = replace(form, target="real", n_o=1)
    return wide, lambda y: np.asarray(y, float)[..., None]


_CHANGES: dict[str, Callable[[SequenceFiles, list[Array]], Change]] = {
    "nll": _as_classes,
    "bce": _as_binary,
    "mse": _as_real,
}
