"""Predictions and forecasts of a run's model on files, as rows of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bptt.train.data.opening import Data, DataRequest, open_data
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequence_task import refuse_unlike
from bptt.train.data.targets import with_loss
from bptt.train.errors import NotPredictedError
from bptt.train.run_folder import SavedRun
from bptt.train.trained import load

Rows = tuple[list[str], Iterator[list[Any]]]


def predict_run(folder: Path, paths: Sequence[Path]) -> Rows:
    """The predictions of sequences, with their number and the step, both from 1.

    Raises: the errors of `load` and of `open_data`, UnlikeDataError, NotPredictedError
    for text and tokens.
    """
    model = load(folder)
    data = _sequences(model.run, paths)
    meant = with_loss(data, model.run.options.loss)
    refuse_unlike(data.source, meant.form, model.form)
    heads = ["sequence", "step", *(f"y{i}" for i in range(model.form.n_o))]

    def rows() -> Iterator[list[Any]]:
        number = 0
        for part in data.parts.values():
            for x in part.x:
                number += 1
                p = model.predict(x[:, None])[:, 0]
                first = 0 if part.per_step else len(p) - 1
                for t in range(first, len(p)):
                    yield [number, t + 1, *map(float, p[t])]

    return heads, rows()


def forecast_run(folder: Path, paths: Sequence[Path], steps: int) -> Rows:
    """So many steps after the end of every series, with the number of each.

    Raises: the errors of `load`, of `open_data` and of `Trained.forecast`.
    """
    model = load(folder)
    data = _sequences(model.run, paths)
    heads = ["sequence", "step", *(f"x{i}" for i in range(model.form.n_x))]
    found = [
        model.forecast(np.concatenate([x, y[-1:]])[:, None], steps)[:, 0]
        for part in data.parts.values()
        for x, y in zip(part.x, part.y, strict=True)
    ]
    rows = (
        [number + 1, t + 1, *map(float, one[t])]
        for number, one in enumerate(found)
        for t in range(steps)
    )
    return heads, rows


def _sequences(saved: SavedRun, paths: Sequence[Path]) -> SequenceFiles:
    """The sequences of some files, or of those of the run, read as it read its own."""
    known = saved.config.get("data", {}).get("request")
    if saved.kind != "sequences" or (known is None and not paths):
        raise NotPredictedError(saved.folder, saved.kind)
    request = DataRequest.from_json(known) if known is not None else DataRequest()
    if paths:
        request = replace(request, paths=tuple(paths), pattern="*")
    data: Data = open_data(request)
    if not isinstance(data, SequenceFiles):
        raise NotPredictedError(saved.folder, "other data")
    return data
