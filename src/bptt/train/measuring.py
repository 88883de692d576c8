"""Measuring a trained model on data: `bptt eval`."""

from dataclasses import dataclass, replace
from pathlib import Path

from bptt.train.data.characters import text_evaluation
from bptt.train.data.form import LossUnit, unit_of
from bptt.train.data.opening import Data
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequence_task import sequence_evaluation
from bptt.train.data.task import TrainingTask
from bptt.train.data.token_files import TokenFile, token_evaluation
from bptt.train.errors import UnlikeDataError
from bptt.train.evaluation import evaluate
from bptt.train.run_folder import SavedRun, read_run
from bptt.train.sampling import best_or_last
from bptt.train.threads import one_thread


@dataclass(frozen=True)
class Measured:
    """A model's loss in its unit, and the accuracy where it makes guesses.

    n: the characters, tokens, steps or sequences that were predicted.
    """

    summary: str
    unit: LossUnit
    loss: float
    accuracy: float | None
    n: int


def measure_run(folder: Path, data: Data, checkpoint: str | None = None) -> Measured:
    """Measure a run's model on data.

    That is all of a text or token file; of sequences the test part, or all of them
    where no part is called so.
    checkpoint: "best" or "last"; without, the best if there is one.
    Raises: the errors of `read_run`, UnlikeDataError if the data is of another form,
    BadRecordError if a token is not among the model's.
    """
    saved = read_run(folder, best_or_last(folder) if checkpoint is None else checkpoint)
    task = _task(saved, data)
    model = saved.model
    if task.unit is None:
        unit = unit_of(model.loss, per_step=task.form.per_step)
        task = replace(task, unit=unit)
    assert task.unit is not None
    with one_thread():
        found = evaluate(model, saved.parameters, task.parts["test"], task.evaluation)
    loss = found.loss * task.unit.factor + task.offset("test")
    return Measured(task.summary, task.unit, loss, found.accuracy, found.n)


def _task(saved: SavedRun, data: Data) -> TrainingTask:
    kind = {TokenFile: "tokens", SequenceFiles: "sequences"}.get(type(data), "text")
    if kind != saved.kind:
        raise UnlikeDataError(data.source, kind, saved.kind)
    if isinstance(data, TokenFile):
        return token_evaluation(data, saved.options, saved.form.n_x)
    if isinstance(data, SequenceFiles):
        return sequence_evaluation(data, saved.options, saved.form)
    assert saved.vocabulary is not None
    return text_evaluation(data, saved.options, saved.vocabulary)
