"""The loss and the other figures of a model on one part of the data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bptt.train.data.form import Form
from bptt.train.data.task import TrainingTask
from bptt.train.data.windows import Dataset, plan_epoch, weights_of
from bptt.train.gaps import inputs_of
from bptt.train.interrupt import StoppedError, never
from bptt.train.model import Model
from bptt.train.network import Forward
from bptt.train.processes import ALONE, Processes
from bptt.train.tallies import ACCURACY, Figures, make_tally, with_perplexity
from bptt.train.truncation import Truncation

Arrays = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Evaluation:
    """Means over every step, or sequence, that has a target.

    loss: with the weights of the steps, which the figures do not have; as the cell's
    loss says, in nats for nll and bce; figures: what `bptt.train.tallies` counts of the
    guesses, nothing where there are none; by_class: the share of each class that is
    found.
    """

    loss: float
    n: int
    figures: Figures = field(default_factory=dict)
    by_class: Sequence[float | None] | None = None

    @property
    def accuracy(self) -> float | None:
        """The fraction of classes, or of 0s and 1s, that are guessed right."""
        return self.figures.get(ACCURACY)


def evaluate(
    model: Model,
    form: Form,
    parameters: Arrays,
    dataset: Dataset,
    truncation: Truncation,
    processes: Processes = ALONE,
    forward: Forward | None = None,
    should_stop: Callable[[], bool] = never,
) -> Evaluation:
    """Measure a model; the state is carried along each sequence.

    forward: what computes its values, the cell's own where none is given; should_stop:
    asked before every window, of one process alone. Only the
    memory of one window is needed, and the windows change no value: the state goes
    across them. Inputs that are drawn (masks, noise) are at their mean.
    Raises: StoppedError if it should stop.
    """
    tally = make_tally(form, model.loss) if model.scores is not None else None
    loss, n, total = 0.0, 0, 0.0
    state: Arrays | None = None
    for window in plan_epoch(dataset, 0, truncation):
        if should_stop():
            raise StoppedError
        share = processes.share(window.rows)
        if window.is_first:
            state = None
        first = window.stop - window.scored
        n += dataset.count(window.rows, first, window.stop)
        total += dataset.weight(window.rows, first, window.stop)
        block = dataset.read(share.rows, window.start, window.stop)
        weights = weights_of(block, window.scored) * share.counts
        inputs = model.cell.draw(parameters, inputs_of(model.cell, block), mean=True)
        run = (forward or model.cell.forward)(
            parameters,
            inputs,
            initial=state,
            weights=weights,
            lengths=block.lengths,
        )
        loss += real_loss(run.loss)
        state = run.final
        if tally is not None and model.scores is not None:
            counted = weights > 0
            known = None if block.known is None else block.known[counted]
            o = run[model.scores]
            # What comes after the last step has a value per row, not per step.
            guesses = o[counted.nonzero()[1]] if model.is_once else o[counted]
            tally.add(guesses, block.y[counted], known)
    sums = {} if tally is None else {"tally": tally.sums}
    totals = processes.add({"loss": np.array([loss]), **sums})
    mean = float(totals["loss"][0]) / (total or 1.0)
    if tally is None:
        return Evaluation(mean, n)
    tally.sums = totals["tally"]
    return Evaluation(mean, n, tally.figures(), tally.by_class())


def evaluate_part(
    model: Model,
    parameters: Arrays,
    task: TrainingTask,
    part: str,
    processes: Processes = ALONE,
    forward: Forward | None = None,
    should_stop: Callable[[], bool] = never,
) -> Evaluation:
    """Measure a model on a part, as `evaluate`; the loss in the unit of the task."""
    assert task.unit is not None
    found = evaluate(
        model, task.form, parameters, task.parts[part], task.evaluation, processes,
        forward, should_stop,
    )  # fmt: skip
    loss = found.loss * task.unit.factor + task.offset(part)
    figures = with_perplexity(found.figures, model.loss, loss / task.unit.factor)
    figures |= task.per_character(part, loss)
    return Evaluation(loss, found.n, figures, found.by_class)


def real_loss(loss: float | complex | None) -> float:
    """Narrow a loss to the real number it is: a model has a real loss."""
    assert isinstance(loss, float)
    return loss
