"""The trivial predictor: what the training targets alone say of every step.

class        p(k) = (n_k + 1) / (n + K)
multi-hot    p_i = (n_i + 1) / (n + 2), each element by itself
real         the mean of each element

A network that is no better has learned nothing of the sequence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bptt.step.shapes import Array
from bptt.train.data.baselines import count_entries
from bptt.train.data.form import Form
from bptt.train.data.sequences import Batches
from bptt.train.data.streams import Streams
from bptt.train.data.windows import Dataset, plan_epoch, weights_of
from bptt.train.tallies import ClassTally, Figures, make_tally, with_perplexity
from bptt.train.truncation import Truncation

PIECE = Truncation(4096, 4096)


@dataclass(frozen=True)
class Predictor:
    """What a predictor without a network reaches on a part.

    is_trivial: whether a network that is no better has learned nothing.
    """

    name: str
    loss: float
    figures: Figures
    is_trivial: bool = True


def targets_of(dataset: Dataset) -> Iterator[Array]:
    """The targets that count, in pieces, (n, ...)."""
    for window in plan_epoch(dataset, 0, PIECE):
        block = dataset.read(window.rows, window.start, window.stop)
        yield block.y[weights_of(block, window.scored) > 0]


class Trivial:
    """The trivial predictor of some training data, for one of the three losses."""

    def __init__(self, training: Dataset, form: Form, loss: str) -> None:
        """Count the training targets."""
        self._form, self._loss = form, loss
        self.name = "training mean" if loss == "mse" else "training frequencies"
        if loss == "nll":
            counts = _count_classes(training, form.n_o) + 1.0
            self._o = np.log(counts / counts.sum())
            return
        total, n = np.zeros(form.n_o), 0
        for y in targets_of(training):
            total += y.sum(axis=0, dtype=np.float64)
            n += len(y)
        if loss == "bce":
            p = (total + 1) / (n + 2)
            self._o = np.log(p / (1 - p))
        else:
            self._o = total / max(1, n)

    def measure(self, dataset: Dataset, offset: float = 0.0) -> Predictor:
        """Its loss on a part, in nats or as mse, and its figures.

        offset: what every prediction costs besides, in nats.
        """
        tally = make_tally(self._form, self._loss)
        assert tally is not None
        loss, n = 0.0, 0
        for y in targets_of(dataset):
            if isinstance(tally, ClassTally):
                tally.count(np.broadcast_to(self._o.argmax(), len(y)), y)
            else:
                tally.add(np.broadcast_to(self._o, y.shape), y)
            loss += self._loss_of(y)
            n += len(y)
        mean = loss / max(1, n) + offset
        figures = with_perplexity(tally.figures(), self._loss, mean)
        return Predictor(self.name, mean, figures)

    def _loss_of(self, y: Array) -> float:
        if self._loss == "nll":
            return float(-self._o[y].sum())
        if self._loss == "bce":  # -(y o - log(1 + e^o)), summed
            return float((np.logaddexp(0, self._o) - y * self._o).sum())
        return float(((self._o - y) ** 2).mean(axis=-1).sum())


def _count_classes(training: Dataset, n: int) -> Array:
    if isinstance(training, Streams):
        return count_entries(training.tokens, n)
    counts = np.zeros(n, np.int64)
    for y in targets_of(training):
        counts += np.bincount(y, minlength=n)
    return counts


def measure_lagged(name: str, back: int, dataset: Batches, form: Form) -> Predictor:
    """The predictor that says x[t - back] of every step t, or x[1] before that.

    The target of a step is a later x; back is 0 for the naive forecast.
    """
    tally = make_tally(form, "mse")
    assert tally is not None
    loss, n = 0.0, 0
    data = dataset.sequences
    for row in range(len(data)):
        x, counts = data.x[row], data.steps(row)
        guess = x[np.maximum(np.arange(len(x)) - back, 0)][counts]
        true = data.y[row][counts]
        tally.add(guess, true)
        loss += float(((guess.astype(np.float64) - true) ** 2).mean(axis=-1).sum())
        n += len(true)
    return Predictor(name, loss / max(1, n), tally.figures())
