"""What data looks like to a cell, and in which unit its loss is reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log

import numpy as np

from bptt.step.shapes import Array


@dataclass(frozen=True)
class Form:
    """The arrays of one data set.

    n_x: size of x[t], or the number of entries if x is a token; target: "class" (an
    index), "multi-hot" or "real" (vectors); n_o: classes, or size of the vector;
    per_step: whether every step has a target, not only the last one of a sequence;
    x_mean, x_scale, y_mean, y_scale: of each column, where the network reads
    (x - mean) / scale; empty where it reads the data as they are; has_gaps: whether
    single elements of a y may be missing; shapes: of what is read besides x and y, one
    value each; entries: how many its whole numbers count. Where x is no vector or
    token, n_x is 0.
    """

    n_x: int
    x_is_token: bool
    target: str
    n_o: int
    per_step: bool = True
    x_mean: tuple[float, ...] = ()
    x_scale: tuple[float, ...] = ()
    y_mean: tuple[float, ...] = ()
    y_scale: tuple[float, ...] = ()
    has_gaps: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    entries: Mapping[str, int] = field(default_factory=dict)

    @property
    def scale_of_y(self) -> Array | float:
        """What one unit of y is in the units of the data, for each element."""
        return np.array(self.y_scale) if self.y_scale else 1.0


@dataclass(frozen=True)
class LossUnit:
    """The unit of a reported loss: the mean loss in nats times `factor`.

    name: as in "bits per character"; short: as in "bits/char"; item: what is counted.
    """

    name: str
    short: str
    item: str
    factor: float = 1.0


CHARACTERS = LossUnit("bits per character", "bits/char", "character", 1 / log(2))
TOKENS = LossUnit("bits per token", "bits/token", "token", 1 / log(2))
WORDS_READ = LossUnit("bits per word", "bits/word", "word", 1 / log(2))


def unit_of(loss: str, *, per_step: bool) -> LossUnit:
    """The unit of a loss on sequences: nll and bce in nats, others as they are."""
    item = "step" if per_step else "sequence"
    if loss == "other":
        return LossUnit(f"loss per {item}", f"loss/{item}", item)
    if loss == "mse":
        return LossUnit(f"mean squared error per {item}", "mse", item)
    return LossUnit(f"nats per {item}", f"nats/{item}", item)
