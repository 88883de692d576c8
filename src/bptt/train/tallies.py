"""What guesses are worth: counts over a part of the data, and the figures they give.

class        accuracy; mean recall: the mean over the classes that occur of the share
             of a class that is found
multi-hot    accuracy over all elements; frame accuracy TP / (TP + FP + FN) and
             F1 = 2 TP / (2 TP + FP + FN), which do not count what is rightly left out
real         RMSE and MAE over all elements, in the units of the data
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bptt.step.shapes import Array
from bptt.train.data.form import Form

Figures = Mapping[str, float]

ACCURACY, RECALL, FRAME, F1 = "accuracy", "mean_recall", "frame_accuracy", "f1"
RMSE, MAE, PERPLEXITY = "rmse", "mae", "perplexity"
HIGHER_IS_BETTER = (ACCURACY, RECALL, FRAME, F1)
LOWER_IS_BETTER = (RMSE, MAE)


MAX_CLASSES = 64  # whose recall is kept, each by itself


class Tally(Protocol):
    """Sums over guesses; those of several processes add up."""

    sums: npt.NDArray[np.float64]

    def add(self, o: Array, y: Array, known: Array | None = None) -> None:
        """Count guesses o, (n, ...), against targets y, (n, ...), where known."""
        ...

    def figures(self) -> dict[str, float]:
        """The figures by name; nothing where there was no guess."""
        ...

    def by_class(self) -> list[float | None] | None:
        """The share of each class that is found; None where there are no classes."""
        ...


class ClassTally:
    """Guesses of one of n classes: the largest o."""

    def __init__(self, n: int) -> None:
        self.sums = np.zeros((2, n))  # right guesses and targets, per class

    def add(self, o: Array, y: Array, known: Array | None = None) -> None:
        """Count guesses o, (n, n_o), against classes y, (n,); all are known."""
        self.count(o.argmax(axis=-1), y)

    def count(self, guesses: Array, y: Array) -> None:
        """Count guesses, (n,), against classes y, (n,)."""
        n = self.sums.shape[1]
        right = y[guesses == y]
        self.sums[0] += np.bincount(right, minlength=n)
        self.sums[1] += np.bincount(y, minlength=n)

    def figures(self) -> dict[str, float]:
        """Accuracy and mean recall."""
        right, n = self.sums
        if not n.sum():
            return {}
        found = {ACCURACY: float(right.sum() / n.sum())}
        if len(n) <= MAX_CLASSES:
            there = n > 0
            found[RECALL] = float((right[there] / n[there]).mean())
        return found

    def by_class(self) -> list[float | None] | None:
        """The recall of each class, None for one that does not occur."""
        if self.sums.shape[1] > MAX_CLASSES:
            return None
        return [float(r / n) if n else None for r, n in self.sums.T]


class BinaryTally:
    """Guesses of 0 and 1: 1 where o > 0."""

    def __init__(self) -> None:
        self.sums = np.zeros(4)  # true and false positives, false and true negatives

    def add(self, o: Array, y: Array, known: Array | None = None) -> None:
        """Count guesses o against y of the same shape."""
        said, true = o > 0, y > 0.5
        if known is not None:
            said, true = said[known], true[known]
        kinds = (said & true, said & ~true, ~said & true, ~said & ~true)
        self.sums += [int(kind.sum()) for kind in kinds]

    def figures(self) -> dict[str, float]:
        """Accuracy, frame accuracy and F1; the latter two are 1 where all is 0."""
        found, wrong, missed, left = self.sums
        if not self.sums.sum():
            return {}
        some = found + wrong + missed
        return {
            ACCURACY: float((found + left) / self.sums.sum()),
            FRAME: float(found / some) if some else 1.0,
            F1: float(2 * found / (some + found)) if some else 1.0,
        }

    def by_class(self) -> list[float | None] | None:
        """None: there are no classes."""
        return None


class RealTally:
    """Real guesses; scale: what one unit of each element is in the data's own."""

    def __init__(self, scale: Array | float = 1.0) -> None:
        self.sums = np.zeros(3)  # squares, absolute values, elements
        self._scale = scale

    def add(self, o: Array, y: Array, known: Array | None = None) -> None:
        """Count guesses o against y of the same shape."""
        error = (o.astype(np.float64) - y) * self._scale
        if known is not None:
            error = error[known]
        self.sums += [(error**2).sum(), np.abs(error).sum(), error.size]

    def figures(self) -> dict[str, float]:
        """RMSE and MAE, in the units of the data."""
        squares, absolute, n = self.sums
        if not n:
            return {}
        return {RMSE: float(np.sqrt(squares / n)), MAE: float(absolute / n)}

    def by_class(self) -> list[float | None] | None:
        """None: there are no classes."""
        return None


def make_tally(form: Form, loss: str) -> Tally | None:
    """The counts for a model's loss on data of a form; None where nothing is guessed.

    loss: "nll", "bce" or "mse", as `Model.loss`.
    """
    if loss == "nll":
        return ClassTally(form.n_o)
    if loss == "bce":
        return BinaryTally()
    return RealTally(form.scale_of_y) if loss == "mse" else None


def with_perplexity(figures: Figures, loss: str, nats: float) -> dict[str, float]:
    """Figures with exp(nats) of a class: the number of equally likely ones."""
    if loss != "nll":
        return dict(figures)
    return {**figures, PERPLEXITY: float(np.exp(min(nats, 700.0)))}
