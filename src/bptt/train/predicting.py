"""Predictions and forecasts of a run's model on files, as rows of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bptt.cell import Cell
from bptt.step.shapes import Array
from bptt.train.data.opening import Data, DataRequest, kind_at, open_data
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequence_task import refuse_unlike
from bptt.train.data.sequences import Sequences
from bptt.train.data.tables import TableRequest
from bptt.train.data.targets import with_loss
from bptt.train.data.untargeted import as_in
from bptt.train.errors import ForecastError, NotPredictedError
from bptt.train.reading import reads_of
from bptt.train.run_folder import CELL_FILE, SavedRun, read_config, read_text
from bptt.train.trained import Trained, load

Rows = tuple[list[str], Iterator[list[Any]]]


def read_like(folder: Path, request: DataRequest) -> DataRequest:
    """A request for other data, its columns meant as those of a run's own.

    What was said of a run's tables says nothing of other files.
    Raises: RunNotFoundError, DamagedRunError, and those of `kind_at`.
    """
    known = read_config(folder).get("data", {}).get("request")
    reads = reads_of(Cell(read_text(folder, CELL_FILE)))
    if known is None:
        return replace(request, reads=reads)
    own = DataRequest.from_json(known).as_found()
    kinds = {kind_at(path) for path in request.paths}
    table, per = own.table, own.per
    if kinds and "table" not in kinds:
        table = TableRequest()
        if "sequences" in kinds:
            table = replace(table, horizon=own.table.horizon, missing=own.table.missing)
    if kinds and "sequences" not in kinds:
        per = None
    return replace(request, table=table, per=per, reads=reads)


def predict_run(folder: Path, paths: Sequence[Path]) -> Rows:
    """The predictions of sequences, with their number and the step, both from 1.

    Raises: the errors of `load` and of `open_data`, UnlikeDataError, NotPredictedError
    for text and tokens.
    """
    model = load(folder)
    # Of a later x the targets are in x itself.
    is_later_x = model.run.config.get("data", {}).get("horizon") is not None
    data = _sequences(model.run, paths, may_lack_targets=not is_later_x)
    if data.lacks_targets:
        meant = as_in(data, model.form)
    else:
        meant = with_loss(data, model.run.options.loss)
    refuse_unlike(data.source, meant.form, model.form)
    heads = ["sequence", "step", *_heads(data, model)]

    def rows() -> Iterator[list[Any]]:
        number = 0
        for part in meant.parts.values():
            for i in range(len(part)):
                p = _predicted(model, part, i, has_y=not data.lacks_targets)
                rows = p if part.per_step else p[-1:]  # the last of them is of tau
                for step, row in enumerate(rows, len(part.x[i]) - len(rows) + 1):
                    yield [_id(data, number), step, *_digits(row)]
                number += 1

    return heads, rows()


def _predicted(model: Trained, part: Sequences, i: int, *, has_y: bool) -> Array:
    """The predictions of one sequence, (tau, n_o)."""
    x, y = part.x[i], part.y[i]
    given = {"x": x[:, None]} | ({"y": y[:, None]} if has_y and part.per_step else {})
    for name, every in part.others.items():
        given[name] = every[i][None] if name in part.rows else every[i][:, None]
    found = model.predict(given)
    return found if model.is_once else found[:, 0]


def forecast_run(folder: Path, paths: Sequence[Path], steps: int) -> Rows:
    """So many steps after the end of every series, with the name or number of each.

    Beside the network's stand those of the naive forecast, the last value, and with a
    season those of one season before.

    Raises: the errors of `load`, of `open_data` and of `Trained.forecast`.
    """
    model = load(folder)
    model.horizon_of_forecast(steps)  # before the data is read for nothing
    data = _sequences(model.run, paths)
    if data.horizon is None:
        raise ForecastError(folder, "the data has targets y, which are no later x")
    season = model.run.options.season
    names = data.columns or tuple(f"x{i}" for i in range(model.form.n_x))
    heads = ["sequence", "step", *names, *(f"{name} naive" for name in names)]
    if season is not None:
        heads += [f"{name} seasonal naive" for name in names]
    h = data.horizon or 1
    series = [
        np.concatenate([x, y[-h:]])
        for part in data.parts.values()
        for x, y in zip(part.x, part.y, strict=True)
    ]
    found = [model.forecast(x[:, None], steps)[:, 0] for x in series]

    def rows() -> Iterator[list[Any]]:
        for i, (x, one) in enumerate(zip(series, found, strict=True)):
            for t in range(steps):
                known = [one[t], x[-1]]
                if season is not None:
                    known.append(x[max(0, len(x) - season + t % season)])
                yield [_id(data, i), t + 1, *_digits(np.concatenate(known))]

    return heads, rows()


def _heads(data: SequenceFiles, model: Trained) -> list[str]:
    """The names of what is predicted: columns, or classes of one."""
    request = model.run.config.get("data", {}).get("request") or {}
    target, n = request.get("target"), model.form.n_o
    if target is None:
        is_later_x = data.horizon is not None and len(data.columns) == n
        return list(data.columns) if is_later_x else [f"y{i}" for i in range(n)]
    if n == 1:
        return [target]
    if model.form.target != "class":
        return [name.strip() for name in target.split(",")]
    names = [*data.classes, *range(len(data.classes), n)]
    return [f"{target} {name}" for name in names]


def _digits(values: Array) -> list[float]:
    """The seven digits that float32 has: 339.9, not 339.8999938964844."""
    return [float(f"{value:.7g}") for value in values]


def _id(data: SequenceFiles, i: int) -> str | int:
    """What a sequence is called: its group, or its number from 1."""
    return data.ids[i] if data.ids else i + 1


def _sequences(
    saved: SavedRun, paths: Sequence[Path], *, may_lack_targets: bool = False
) -> SequenceFiles:
    """The sequences of some files, or of those of the run, read as it read its own."""
    known = saved.config.get("data", {}).get("request")
    if saved.kind != "sequences" or (known is None and not paths):
        raise NotPredictedError(saved.folder, saved.kind)
    request = DataRequest()
    if known is not None:
        request = DataRequest.from_json(known).as_found()
    request = replace(request, reads=reads_of(saved.model.cell))
    if paths:
        request = read_like(saved.folder, DataRequest(tuple(paths)))
    data: Data = open_data(replace(request, may_lack_targets=may_lack_targets))
    if not isinstance(data, SequenceFiles):
        raise NotPredictedError(saved.folder, "other data")
    return data
