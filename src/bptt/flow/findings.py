"""What a flow found: the numbers that text, page and figure show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bptt.flow.growth import Growth
from bptt.flow.measure import Flow
from bptt.flow.non_finite import NonFinite, Underflow
from bptt.flow.numeric import norms
from bptt.flow.setting import FlowSetting
from bptt.flow.travel import TruncationLoss
from bptt.step.shapes import Array


@dataclass(frozen=True)
class FlowSubject:
    """What was measured: the run's cell, data, sizes, seed and element type.

    name: of the cell, in every language or in each.
    """

    name: str | Mapping[str, str]
    data: str
    sizes: Mapping[str, int]
    seed: int | None
    dtype: str
    tau: int
    n_b: int
    row: int


@dataclass(frozen=True)
class Remedy:
    """What would help: an action for `try_`, or "" for advice that takes a person.

    key: of the sentence that says why, and what to expect; fields: its numbers.
    """

    action: str
    key: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is the matter, or is worth knowing.

    kind: its word, such as "vanishing"; severity: "fault", "caution" or "note"; fields:
    the numbers and thresholds of its sentence; numbers: the same, unrounded; layer: the
    states of the layer that it is of, "" for the whole cell.
    """

    kind: str
    severity: str
    fields: Mapping[str, str]
    numbers: Mapping[str, float]
    remedies: tuple[Remedy, ...] = ()
    layer: str = ""


@dataclass(frozen=True)
class Clipping:
    """Each row taken as a step of training: what a threshold on its norm does.

    share: of the rows above it; cosine: of the sum of clipped gradients with the sum of
    all; norms: of every row's gradient, (n_b,).
    """

    threshold: float
    share: float
    cosine: float
    norms: Array


@dataclass(frozen=True, eq=False)
class Findings:
    """How far gradients travel through time, in numbers.

    numbers: norms of ∇_{h^(t)} L with their two sources, singular values, exponents,
    slopes; None if a number is not finite, and `non_finite` says which came first
    growth: what a direction gains over a lag and per step, in every row, one for the
    states that run forward and one for those that run backward; layers: the same of
    each layer alone, by the names of its states, empty where there is only one
    lags: the norm of the terms of ∇_{s^(t)} L that come from L^(t+k), k = 0, 1, ...;
    lags_by_row: the same of every row, (lags, n_b); sources: the steps t + k, from 0
    truncations: cosine and norm ratio of the gradient with lags below k alone
    state_gradients: ∇_{h^(t)} L by state, (tau, n_b, *shape)
    gradient_norms: ‖∇_W L‖ by parameter
    copies: ‖∇_{W^(t)} L‖ by parameter, (tau,)
    cancellation: ‖sum over t‖ / sum over t of ‖∇_{W^(t)} L‖: 1 when all agree, near 0
    when they cancel
    spectra: spectral radius and largest singular value of each square parameter, as
    context: neither says what the gradients do
    underflow: where a gradient becomes 0 in the run's own element type
    clipping: what a threshold would do, if one was given
    needed: the steps that a gradient must reach not to be called vanishing
    diagnoses: what is the matter, the worst first; setting: the call that was made
    """

    subject: FlowSubject
    loss: float | None
    numbers: Flow | None
    growth: tuple[Growth, ...]
    lags: Array
    lags_by_row: Array
    sources: Array
    truncations: tuple[TruncationLoss, ...]
    state_gradients: Mapping[str, Array]
    gradient_norms: Mapping[str, float]
    copies: Mapping[str, Array]
    cancellation: Mapping[str, float]
    spectra: Mapping[str, tuple[float, float]]
    non_finite: NonFinite | None
    underflow: Underflow | None
    clipping: Clipping | None = None
    layers: Mapping[str, Growth] = field(default_factory=dict)
    needed: int = 0
    diagnoses: tuple[Diagnosis, ...] = ()
    setting: FlowSetting | None = None

    @property
    def n_b(self) -> int:
        """Rows of the batch."""
        return self.subject.n_b

    @property
    def row(self) -> int:
        """The row whose singular values are shown."""
        return self.subject.row

    def written(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names that a person wrote: a delay is no state of its own."""
        known = None if self.setting is None else self.setting.source.graph.times
        return tuple(names) if known is None else known.written(names)

    def unit_norms(self, state: str) -> Array:
        """The norm over rows of every unit's gradient, (tau, units).

        Raises: KeyError for a name that is not a state.
        """
        rows = self.state_gradients[state]
        flat = rows.reshape(len(rows), rows.shape[1], -1)
        return norms(flat.swapaxes(1, 2), lead=2)

    def row_norms(self, state: str) -> Array:
        """The norm of every row's gradient, (tau, n_b).

        Raises: KeyError for a name that is not a state.
        """
        return norms(self.state_gradients[state], lead=2)

    def reach(self, share: float) -> Array:
        """The first lag whose term is below a share of lag 0, by row, (n_b,).

        Infinity where no lag that was measured is.
        """
        if not len(self.lags_by_row):
            return np.full(self.n_b, np.nan)
        first = self.lags_by_row[0]
        is_small = self.lags_by_row < share * first
        found = np.where(is_small.any(axis=0), is_small.argmax(axis=0), np.inf)
        died = (first > 0) & ~is_small.any(axis=0)
        ended = len(self.lags_by_row) < self.subject.tau - 1
        return np.where(died & ended, len(self.lags_by_row), found)
