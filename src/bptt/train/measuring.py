"""Measuring a trained model on data: `bptt eval`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bptt.train.data.characters import text_evaluation
from bptt.train.data.form import LossUnit, unit_of
from bptt.train.data.opening import Data, fingerprint
from bptt.train.data.sequence_files import SequenceFiles
from bptt.train.data.sequence_task import sequence_evaluation
from bptt.train.data.targets import with_loss
from bptt.train.data.task import TrainingTask
from bptt.train.data.token_files import TokenFile, token_evaluation
from bptt.train.data.token_text import token_text_evaluation
from bptt.train.data.vocabulary import Vocabulary
from bptt.train.errors import UnlikeDataError
from bptt.train.evaluation import evaluate_part
from bptt.train.files import add_line
from bptt.train.finish import references
from bptt.train.model import with_gaps
from bptt.train.report import PartReport
from bptt.train.run_folder import SavedRun, read_run
from bptt.train.sampling import best_or_last
from bptt.train.summary import read_trivial, without_infinity
from bptt.train.tallies import ACCURACY, Figures
from bptt.train.threads import one_thread
from bptt.train.trivial import Predictor

EVALUATIONS_FILE = "evaluations.jsonl"


@dataclass(frozen=True)
class Measured:
    """A model's loss in its unit, and what its guesses are worth.

    n: the characters, tokens, steps or sequences that were predicted; figures: accuracy
    and the like by name; by_class: the share of each class that is found; references:
    what predictors without a network reach on the same data; classes: the words of
    labels.
    """

    summary: str
    unit: LossUnit
    loss: float
    n: int
    figures: Figures
    by_class: Sequence[float | None] | None = None
    references: Sequence[Predictor] = ()
    classes: Sequence[str] = ()

    @property
    def accuracy(self) -> float | None:
        """The fraction of classes, or of 0s and 1s, that are guessed right."""
        return self.figures.get(ACCURACY)

    @property
    def remarks(self) -> list[str]:
        """Where the network is no better than a predictor without one."""
        part = PartReport(self.loss, self.figures, None, self.references)
        return part.remarks("data")

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON holds them."""
        return {
            "data": self.summary,
            "unit": self.unit.name,
            "loss": self.loss,
            "n": self.n,
            **self.figures,
            "recall_per_class": self.by_class,
            "baselines": {
                r.name: {"loss": r.loss, **r.figures} for r in self.references
            },
            "remarks": self.remarks,
        }


def measure_run(folder: Path, data: Data, checkpoint: str | None = None) -> Measured:
    """Measure a run's model on data.

    That is all of a text or token file; of sequences the test part, or all of them
    where no part is called so.
    checkpoint: "best" or "last"; without, the best if there is one.
    Raises: the errors of `read_run`, UnlikeDataError if the data is of another form,
    BadRecordError if a token is not among the model's.
    """
    name = best_or_last(folder) if checkpoint is None else checkpoint
    saved = read_run(folder, name)
    task = _task(saved, data)
    model = saved.model
    if task.form.has_gaps:
        model = with_gaps(model, task.form)
    if task.unit is None:
        unit = unit_of(model.loss, per_step=task.form.per_step)
        task = replace(task, unit=unit)
    assert task.unit is not None
    with one_thread():
        found = evaluate_part(model, saved.parameters, task, "test")
        trivial = read_trivial(folder, task.form)
        others = [] if trivial is None else references(trivial, task, "test")
    return Measured(task.summary, task.unit, found.loss, found.n, found.figures,
                    found.by_class, others, task.classes)  # fmt: skip


def keep_measured(
    folder: Path, measured: Measured, data: Data, checkpoint: str | None
) -> Path:
    """Add what was measured to evaluations.jsonl of the run folder, a line each.

    Raises: FolderNotWritableError.
    """
    path = folder / EVALUATIONS_FILE
    record = {
        "checkpoint": checkpoint or best_or_last(folder),
        "sha256": fingerprint(data),
        **measured.to_json(),
    }
    line = json.dumps(without_infinity(record), allow_nan=False) + "\n"
    add_line(path, line.encode())
    return path


def _task(saved: SavedRun, data: Data) -> TrainingTask:
    kind = {TokenFile: "tokens", SequenceFiles: "sequences"}.get(type(data), "text")
    if kind != saved.kind:
        raise UnlikeDataError(data.source, kind, saved.kind)
    if isinstance(data, TokenFile):
        return token_evaluation(data, saved.options, saved.form.n_x)
    if isinstance(data, SequenceFiles):
        meant = with_loss(data, saved.options.loss)
        return sequence_evaluation(meant, saved.options, saved.form)
    assert saved.vocabulary is not None
    if isinstance(saved.vocabulary, Vocabulary):
        return text_evaluation(data, saved.options, saved.vocabulary)
    return token_text_evaluation(data, saved.options, saved.vocabulary)
