"""The loss and the accuracy of a model on one part of the data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bptt.results import Run
from bptt.train.data.windows import (
    Block,
    Dataset,
    plan_epoch,
    weights_of,
)
from bptt.train.model import Model
from bptt.train.processes import ALONE, Processes
from bptt.train.truncation import Truncation

Arrays = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Evaluation:
    """Means over every step, or sequence, that has a target.

    loss: as the cell's loss says, in nats for nll and bce; accuracy: the fraction of
    classes, or of 0s and 1s, that are guessed right, None where there is no guess.
    """

    loss: float
    accuracy: float | None
    n: int


def evaluate(
    model: Model,
    parameters: Arrays,
    dataset: Dataset,
    truncation: Truncation,
    processes: Processes = ALONE,
) -> Evaluation:
    """Measure a model; the state is carried along each sequence.

    Only the memory of one window is needed, and the windows change no value: the state
    goes across them. Inputs that are drawn (masks, noise) are at their mean.
    """
    loss = right = guesses = 0.0
    n = 0
    state: Arrays | None = None
    for window in plan_epoch(dataset, 0, truncation):
        share = processes.share(window.rows)
        if window.is_first:
            state = None
        n += dataset.count(window.rows, window.stop - window.scored, window.stop)
        block = dataset.read(share.rows, window.start, window.stop)
        weights = weights_of(block, window.scored) * share.counts
        given = {"x": block.x, "y": block.y}
        inputs = model.cell.draw(parameters, given, mean=True)
        run = model.cell.forward(
            parameters,
            inputs,
            initial=state,
            weights=weights,
            lengths=block.lengths,
        )
        loss += real_loss(run.loss)
        state = run.final
        found = _count_right(model, run, block, weights > 0)
        right, guesses = right + found[0], guesses + found[1]
    totals = processes.add({"totals": np.array([loss, right, guesses])})["totals"]
    accuracy = float(totals[1] / totals[2]) if totals[2] else None
    return Evaluation(float(totals[0]) / max(1, n), accuracy, n)


def real_loss(loss: float | complex | None) -> float:
    """Narrow a loss to the real number it is: a model has a real loss."""
    assert isinstance(loss, float)
    return loss


def _count_right(
    model: Model, run: Run, block: Block, counted: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    """How many guesses are right, and how many there are."""
    if model.scores is None or model.loss not in ("nll", "bce"):
        return 0, 0
    o = run[model.scores][counted]
    y = block.y[counted]
    right = o.argmax(axis=-1) == y if model.loss == "nll" else (o > 0) == (y > 0.5)
    return int(right.sum()), right.size
