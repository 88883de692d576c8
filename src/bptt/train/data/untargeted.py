"""Files to predict from, which hold x and no targets: zeros stand in for these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.form import Form
from bptt.train.data.sequence_files import SequenceFiles

KINDS = {"class": np.int64, "multi-hot": np.bool_, "real": np.float32}


def table_with_targets(
    table: Any, targets: Sequence[str], classes: Sequence[str]
) -> Any:
    """A table with columns of targets; classes: the words of one, if it has any."""
    return table.assign(**dict.fromkeys(targets, classes[0] if classes else 0))


def as_in(data: SequenceFiles, form: Form) -> SequenceFiles:
    """Data without targets in the form of those that a model was made for."""

    def zeros(x: Array) -> Array:
        steps = (len(x),) if form.per_step else ()
        core = () if form.target == "class" else (form.n_o,)
        return np.zeros((*steps, *core), KINDS[form.target])

    parts = {
        name: replace(
            part, y=[zeros(x) for x in part.x], per_step=form.per_step, scored=None
        )
        for name, part in data.parts.items()
    }
    like = replace(data.form, target=form.target, n_o=form.n_o, per_step=form.per_step)
    return replace(data, parts=parts, form=like)
