"""The end of a run: what is left to measure, and where every figure goes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bptt.execute.dispatch import drop_spare
from bptt.train.checkpoint import BEST, Parameters, path_of, read_checkpoint
from bptt.train.data.baselines import Baselines
from bptt.train.data.sequences import Batches
from bptt.train.data.targets import LOSSES
from bptt.train.data.task import TrainingTask
from bptt.train.evaluation import evaluate_part
from bptt.train.full_batch import FullBatchSession
from bptt.train.meter import Meter
from bptt.train.processes import Processes
from bptt.train.report import PartReport, Report
from bptt.train.run_folder import METRICS_FILE, Metrics, read_config
from bptt.train.run_page import write_page
from bptt.train.session import (
    Session,
    Setting,
    board_folder,
    is_soon_measured,
    write_sample,
)
from bptt.train.summary import write_summary, write_trivial
from bptt.train.tensorboard import Board
from bptt.train.trivial import Predictor, Trivial, measure_lagged

SAMPLE_LENGTH = 300


def finish(
    run: Session | FullBatchSession, setting: Setting, *, was_interrupted: bool
) -> Report:
    """Measure what there is to measure with the best parameters, and write it down.

    The first process writes summary.json, the last line of metrics.jsonl, TensorBoard's
    figures and report.html.
    """
    folder, task, meter = setting.folder, setting.task, run.meter
    assert task.unit is not None
    drop_spare()
    parameters = _best(setting, run.parameters)
    skipped = _skipped(setting, meter) if was_interrupted else frozenset()
    tested = None
    if "test" in task.parts and "test" not in skipped:
        found = evaluate_part(
            setting.model, parameters, task, "test", setting.processes,
            setting.forward(parameters),
        )  # fmt: skip
        tested = PartReport(found.loss, found.figures, found.by_class)
    last = meter.validation if meter.validation is not None else float("nan")
    report = Report(
        cell=setting.options.cell,
        unit=task.unit,
        n_parameters=sum(p.size for p in run.parameters.values()),
        n_items=meter.items,
        n_windows=meter.windows,
        seconds=meter.seconds,
        last=PartReport(last, meter.figures),
        best_part=PartReport(meter.best, meter.best_figures, meter.best_by_class),
        best_window=meter.best_window,
        tested=tested,
        clip_share=meter.clipped / max(1, meter.windows),
        skipped=meter.skipped,
        baselines=task.baselines() if task.baselines and not skipped else None,
        sample=write_sample(setting, parameters, length=SAMPLE_LENGTH),
        folder=folder,
        was_interrupted=was_interrupted,
        classes=task.classes,
        unmeasured=_unmeasured(setting, meter, skipped) if was_interrupted else (),
    )
    if setting.processes.is_first:
        if not skipped:
            report = _with_references(report, setting)
        _write(report, setting)
    return report


def _skipped(setting: Setting, meter: Meter) -> frozenset[str]:
    """The parts that are too long to be measured after Ctrl-C."""
    parts = [part for part in ("validation", "test") if part in setting.task.parts]
    return frozenset(p for p in parts if not is_soon_measured(setting, p, meter))


def _unmeasured(
    setting: Setting, meter: Meter, skipped: frozenset[str]
) -> tuple[str, ...]:
    """What a run that was stopped has not measured: keys of `report.UNMEASURED`."""
    lacks = {
        "validation": meter.validation is None,
        "test": "test" in skipped,
        "references": bool(skipped) and setting.model.loss in LOSSES,
    }
    return tuple(name for name, is_lacking in lacks.items() if is_lacking)


def _with_references(report: Report, setting: Setting) -> Report:
    task, model = setting.task, setting.model
    if model.loss not in LOSSES:
        return report
    trivial = Trivial.of(task.parts["training"], task.form, model.loss)
    write_trivial(setting.folder, trivial)

    def of(part: str) -> list[Predictor]:
        by_lzma = _lzma(report.baselines, task) if part == "validation" else ()
        return [*references(trivial, task, part), *by_lzma]

    best = replace(report.best_part, references=of("validation"))
    tested = report.tested
    if tested is not None:
        tested = replace(tested, references=of("test"))
    return replace(report, best_part=best, tested=tested)


def references(trivial: Trivial, task: TrainingTask, part: str) -> list[Predictor]:
    """What predictors without a network reach on a part, in the unit of the task."""
    assert task.unit is not None
    data = task.parts[part]
    found = trivial.measure(data, task.offset(part) / task.unit.factor)
    loss = found.loss * task.unit.factor
    name = "unigram" if task.kind == "text" else found.name
    figures = {**found.figures, **task.per_character(part, loss)}
    lagged = [
        measure_lagged(name, back, data, task.form)
        for name, back in task.lags.items()
        if isinstance(data, Batches)
    ]
    return [replace(found, name=name, loss=loss, figures=figures), *lagged]


def _lzma(baselines: Baselines | None, task: TrainingTask) -> Sequence[Predictor]:
    if baselines is None or baselines.lzma is None:
        return ()
    name = "lzma, given the training text"
    figures = task.per_character("validation", baselines.lzma)
    return (Predictor(name, baselines.lzma, figures, is_trivial=False),)


def _write(report: Report, setting: Setting) -> None:
    folder = setting.folder
    config, seed = read_config(folder), setting.options.seed
    cut = setting.task.truncation
    steps = {"k1": cut.k1, "k2": cut.k2}  # None: whole sequences
    write_summary(folder, {**report.to_json(), **steps}, config, seed)
    record: dict[str, Any] = report.figures()
    with Metrics(folder, (folder / METRICS_FILE).stat().st_size) as metrics:
        metrics.write(record)
    with Board(board_folder(setting), 0) as board:
        board.write(record)
        board.say("remarks", "\n\n".join(report.remarks), report.n_windows)
    write_page(folder)


def has_checkpoint(folder: Path, name: str, processes: Processes) -> bool:
    """Whether the first process, which writes the folder, has a checkpoint."""
    found = np.array([path_of(folder, name).is_file()], np.float64)
    return bool(processes.first_says({"found": found})["found"][0])


def _best(setting: Setting, last: Parameters) -> Parameters:
    """The parameters of the best validation, as the first process wrote them.

    Only what was measured before an interruption is in the checkpoint "best".
    """
    folder, processes = setting.folder, setting.processes
    if not has_checkpoint(folder, BEST, processes):
        return last
    found = read_checkpoint(folder, BEST).parameters if processes.is_first else last
    return processes.first_says(found)
