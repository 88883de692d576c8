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
from bptt.train.gaps import share_of
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


Targets = tuple[Array, Array, Array | None]


def targets_of(dataset: Dataset) -> Iterator[Targets]:
    """The targets that count, in pieces, (n, ...), and what each weighs, (n,).

    Beside them which elements are known, (n, n_o); None where all are.
    """
    for window in plan_epoch(dataset, 0, PIECE):
        block = dataset.read(window.rows, window.start, window.stop)
        weights = weights_of(block, window.scored)
        counts = weights > 0
        known = None if block.known is None else block.known[counts]
        yield block.y[counts], weights[counts], known


@dataclass(frozen=True)
class Trivial:
    """The trivial predictor of some training data, for one of the three losses.

    o: what it says of every step, (n_o,), as the network's o.
    """

    form: Form
    loss: str
    o: Array

    @classmethod
    def of(cls, training: Dataset, form: Form, loss: str) -> "Trivial":
        """Count the training targets."""
        if loss == "nll":
            counts = _count_classes(training, form.n_o) + 1.0
            return cls(form, loss, np.log(counts / counts.sum()))
        total, n = np.zeros(form.n_o), np.zeros(form.n_o)
        for y, weights, known in targets_of(training):
            there = np.ones(y.shape) if known is None else known
            total += weights @ (y * there)
            n += weights @ there
        if loss == "bce":
            p = (total + 1) / (n + 2)
            return cls(form, loss, np.log(p / (1 - p)))
        return cls(form, loss, total / np.where(n > 0, n, 1.0))

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return "training mean" if self.loss == "mse" else "training frequencies"

    def measure(self, dataset: Dataset, offset: float = 0.0) -> Predictor:
        """Its loss on a part, in nats or as mse, and its figures.

        offset: what every prediction costs besides, in nats.
        """
        tally = make_tally(self.form, self.loss)
        assert tally is not None
        loss, n = 0.0, 0.0
        for y, weights, known in targets_of(dataset):
            if isinstance(tally, ClassTally):
                tally.count(np.broadcast_to(self.o.argmax(), len(y)), y)
            else:
                tally.add(np.broadcast_to(self.o, y.shape), y, known)
            loss += float(weights @ self._losses_of(y, known))
            n += float(weights @ share_of(known, len(y)))
        mean = loss / (n or 1.0) + offset
        figures = with_perplexity(tally.figures(), self.loss, mean)
        return Predictor(self.name, mean, figures)

    def _losses_of(self, y: Array, known: Array | None) -> Array:
        if self.loss == "nll":
            return np.asarray(-self.o[y])
        there = 1 if known is None else known
        if self.loss == "bce":  # -(y o - log(1 + e^o)), summed
            each = np.logaddexp(0, self.o) - y * self.o
            return np.asarray((each * there).sum(axis=-1))
        return np.asarray((((self.o - y) ** 2) * there).mean(axis=-1))


def _count_classes(training: Dataset, n: int) -> Array:
    if isinstance(training, Streams):
        return count_entries(training.tokens, n)
    counts = np.zeros(n)
    for y, weights, _ in targets_of(training):
        counts += np.bincount(y, weights, minlength=n)
    return counts


def _as_y(form: Form, x: Array) -> Array:
    """Standardised values of x as y has them, whose mean and scale are others."""
    wide = x.astype(np.float64)
    if not form.x_scale:
        return wide
    wide = wide * np.array(form.x_scale) + np.array(form.x_mean)
    return np.asarray((wide - np.array(form.y_mean)) / np.array(form.y_scale))


def measure_lagged(name: str, back: int, dataset: Batches, form: Form) -> Predictor:
    """The predictor that says x[t - back] of every step t, or x[1] before that.

    The target of a step is a later x; back is 0 for the naive forecast.
    """
    tally = make_tally(form, "mse")
    assert tally is not None
    loss, n = 0.0, 0.0
    data = dataset.sequences
    for row in range(len(data)):
        x, weights = data.x[row], data.steps(row).astype(np.float64)
        counts, weights = weights > 0, weights[weights > 0]
        guess = _as_y(form, x[np.maximum(np.arange(len(x)) - back, 0)][counts])
        true = data.y[row][counts]
        there = data.elements(row)[counts] > 0
        known = there if there.ndim > 1 else np.ones(true.shape, bool)
        tally.add(guess, true, known)
        errors = (((guess - true) ** 2) * known).mean(axis=-1)
        loss += float(weights @ errors)
        n += float(weights @ share_of(known, len(true)))
    return Predictor(name, loss / (n or 1.0), tally.figures())
