"""Truncated back-propagation through time along streams of characters.

    window 1          window 2          window 3
    x -> gradient     x -> gradient     x -> gradient      exact inside a window
         | step            | step            | step
    h --------------> h --------------> h -------------->  a value, no gradient

The state at the end of a window starts the next one as plain numbers: k1 = k2 = tau
in the terms of Williams and Peng (1990). Nothing of a window's graph lives on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, log

import numpy as np
import numpy.typing as npt

from bptt.cell import Cell
from bptt.train.clipping import clip_by_global_norm
from bptt.train.errors import TrainingDivergedError
from bptt.train.optimiser import Optimiser
from bptt.train.options import TrainingOptions
from bptt.train.schedule import rate_factor
from bptt.train.streams import Streams, Window

Arrays = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Step:
    """One window learned: the window's number from 1, and what it gave.

    bits: the loss before the step, in bits per character, mean over t and batch.
    norm: the gradient's global norm before clipping, of the loss in nats.
    """

    number: int
    n_windows: int
    n_characters: int
    bits: float
    norm: float
    learning_rate: float


@dataclass(frozen=True)
class Learner:
    """A cell, its parameters and the optimiser that changes them in place."""

    cell: Cell
    parameters: Arrays
    optimiser: Optimiser
    clip: float

    def learn_window(
        self, window: Window, initial: Arrays | None, factor: float = 1.0
    ) -> tuple[float, float, Arrays]:
        """Take one step along the exact gradient of one window.

        The order is the point: gradient, then clipping, then the step.
        Returns: loss in nats (mean over t and batch), norm before clipping, and the
        state after the last step. Raises: TrainingDivergedError, with the parameters
        as they were, if the loss or the norm is not finite.
        """
        inputs = {"x": window.x, "y": window.y}
        gradient = self.cell.gradient(
            self.parameters, inputs, initial=initial, reduction="mean"
        )
        loss = real_loss(gradient.loss)
        by_name = {name: gradient[name] for name in self.parameters}
        clipped, norm = clip_by_global_norm(by_name, self.clip)
        for what, value in (("loss", loss), ("norm of the gradient", norm)):
            if not isfinite(value):
                raise TrainingDivergedError(what, value)
        self.optimiser.step(clipped, factor)
        return loss, norm, gradient.final


def real_loss(loss: float | complex | None) -> float:
    """Narrow a loss to the real number it is: a model of characters has a real loss."""
    assert isinstance(loss, float)
    return loss


def learn(
    learner: Learner, streams: Streams, options: TrainingOptions
) -> Iterator[Step]:
    """Learn all windows of all epochs in order; yield after each of them.

    The streams begin again with every epoch, and so does the state: h^(0) = 0.
    """
    n_windows = streams.count_windows(options.tau) * options.epochs
    number = 0
    for _ in range(options.epochs):
        state: Arrays | None = None
        for window in streams.windows(options.tau, keep_last=False):
            factor = rate_factor(options.schedule, number, n_windows)
            loss, norm, state = learner.learn_window(window, state, factor)
            number += 1
            yield Step(
                number=number,
                n_windows=n_windows,
                n_characters=window.n_characters,
                bits=loss / log(2),
                norm=norm,
                learning_rate=options.learning_rate * factor,
            )
