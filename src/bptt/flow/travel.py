"""How far gradients travel: the terms of ∇_{s^(t)} L by the step they come from.

    c_{t,1} = what L^(t+1) sends to s^(t);   c_{t,k} = (∂s^(t+1)/∂s^(t))^T c_{t+1,k-1}
    ∇_{s^(t)} L = what L^(t) gives + sum over k of c_{t,k}     (k: lag, from L^(t+k))

Truncated back-propagation keeps the lags below k alone; its gradient on the parameters
is that of single steps, to whose states the sum of those terms arrives. Every lag costs
one backward pass over the steps where a term still is. Where that is too much for all
steps, the loss of some steps, evenly spread, stands for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bptt.flow.maps import StepMaps
from bptt.flow.numeric import compare, compare_each, norm, norms
from bptt.flow.slots import NOWHERE
from bptt.step.shapes import Array

WORK = 3e10  # multiplications and additions that the lags may cost: seconds
FEWEST = 4  # steps whose loss is followed, at least
DIED = 1e-30  # a term that small beside the largest is followed no further
LAGS = 4096  # the longest lag


@dataclass(frozen=True)
class TruncationLoss:
    """What is left of the gradient when only lags below k count.

    cosine: with the full gradient over all parameters; ratio: of the two norms; each:
    parameter -> cosine and ratio of its gradient alone.
    """

    k: int
    cosine: float
    ratio: float
    each: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def worst(self) -> str:
        """The parameter whose gradient loses most, by cosine."""
        return min(self.each, key=lambda name: self.each[name][0], default="")


@dataclass(frozen=True, eq=False)
class Travel:
    """The terms of the states' gradient by lag.

    injected: what L^(t) gives to each state, state -> (slots, *shape); lags: the norm
    over t, rows and states of the terms of lag 0, 1, 2, ...; lags_by_row: the same of
    every row, (lags, n_b); truncations: for k = 1, 2, 4, ..., tau; sources: the steps
    whose loss was followed, from 0.
    """

    injected: Mapping[str, Array]
    lags: Array
    lags_by_row: Array
    truncations: tuple[TruncationLoss, ...]
    sources: Array


def choose_sources(maps: StepMaps, n_parameters: int) -> Array:
    """The steps whose loss is followed: all, or some where that costs too much."""
    slots = maps.slots
    longest = int(slots.lengths.max())
    per_lag = 4.0 * n_parameters * slots.n_b
    affordable = WORK / max(per_lag * min(longest, LAGS), 1.0)
    losses = loss_steps(maps)
    count = int(max(FEWEST, min(len(losses), 2 * affordable)))
    if count >= len(losses):
        return losses
    places = np.linspace(0, len(losses) - 1, max(FEWEST, count // 2)).round()
    return np.asarray(losses[np.unique(places.astype(int))])


def loss_steps(maps: StepMaps) -> Array:
    """The steps where a loss or a seed enters, in any row, from 0."""
    b = maps.bindings
    enters = np.zeros((b.tau, b.n_b), bool)
    if maps.cut.graph.loss is not None:
        enters |= np.broadcast_to(b.weight, enters.shape) != 0
    for seed in b.seeds.values():
        enters |= (seed.reshape(b.tau, b.n_b, -1) != 0).any(axis=2)
    return np.flatnonzero((enters & maps.slots.mask).any(axis=1))


def measure_travel(
    maps: StepMaps,
    sources: Array,
    full: Mapping[str, Array],
    tick: Callable[[], None],
) -> Travel:
    """Carry what enters at the sources back, one step at a time.

    full: the gradient of the parameters of the sources' loss; tick: called per lag.
    """
    injected, sent = maps.entering()
    journey = _Journey(maps, sources, full)
    where = np.flatnonzero(np.isin(maps.slots.steps, sources))
    journey.note({n: injected[n][where] for n in maps.states}, where)
    if not len(where):  # no loss enters anywhere
        return journey.finish(injected)
    term, where = _move(maps, where, {n: sent[n][where] for n in maps.states})
    for k in range(1, min(journey.end, LAGS + 1)):
        if k & (k - 1) == 0:
            journey.compare(k)
        journey.arrive(term, where)
        here, sent = maps.back(where, term)
        here_at = where
        tick()
        term, where = _move(maps, where, sent)
        if journey.note(here, here_at) < DIED * max(journey.sizes) or not len(where):
            journey.compare_rest(k)
            break
    return journey.finish(injected)


def _move(
    maps: StepMaps, where: Array, sent: Mapping[str, Array]
) -> tuple[dict[str, Array], Array]:
    """What is sent to the states of the step before, at the slots it arrives at."""
    to = {name: maps.slots.neighbour(maps.lag(name))[where] for name in maps.states}
    first = next(iter(to.values()))
    if all(np.array_equal(first, other) for other in to.values()):
        inside = first != NOWHERE
        return {name: sent[name][inside] for name in maps.states}, first[inside]
    found = np.unique(np.concatenate(list(to.values())))
    found = found[found != NOWHERE]
    term = {name: maps.zeros(name, len(found)) for name in maps.states}
    for name, slots in to.items():
        inside = slots != NOWHERE
        term[name][np.searchsorted(found, slots[inside])] = sent[name][inside]
    return term, found


class _Journey:
    """What is noted while terms travel."""

    def __init__(
        self, maps: StepMaps, sources: Array, full: Mapping[str, Array]
    ) -> None:
        self.maps, self.sources, self.full = maps, sources, full
        # With loops of both directions a way may lead to the end and back.
        is_mixed = len({maps.lag(name) for name in maps.states}) > 1
        self.end = 2 * maps.slots.tau if is_mixed else maps.slots.tau
        self.sizes: list[float] = []
        self._by_row: list[Array] = []
        self._truncations: list[TruncationLoss] = []
        count = len(maps.slots)
        self._own = np.isin(maps.slots.steps, sources).astype(float)
        self._arrived = {name: maps.zeros(name, count) for name in maps.states}
        self._touched = self._own > 0
        self._total: dict[str, Array] | None = None

    def note(self, here: Mapping[str, Array], where: Array) -> float:
        """The norms of the terms of one lag."""
        slots = np.stack([norms(part) for part in here.values()])
        per_slot = norms(slots.T)
        rows = self.maps.slots.rows[where]
        largest = float(per_slot.max(initial=0.0)) or 1.0
        squares = np.bincount(rows, (per_slot / largest) ** 2, self.maps.slots.n_b)
        self._by_row.append(largest * np.sqrt(squares))
        self.sizes.append(norm(per_slot))
        return self.sizes[-1]

    def arrive(self, term: Mapping[str, Array], where: Array) -> None:
        """Keep a term for the next comparison."""
        for name, part in term.items():
            self._arrived[name][where] += part
        self._touched[where] = True

    def compare(self, k: int) -> None:
        """The gradient of the lags below k, against the full one."""
        where = np.flatnonzero(self._touched)
        parts = {name: rows[where] for name, rows in self._arrived.items()}
        found = self.maps.parameters(where, parts, self._own[where])
        # The gradient is linear in what arrives: the next comparison adds to it.
        if self._total is not None:
            for name in found:  # one after the other: all may be large
                found[name] = self._total.pop(name) + found[name]
        self._total = found
        self._own = np.zeros_like(self._own)
        self._touched[:] = False
        for rows in self._arrived.values():
            rows[where] = 0.0
        both = compare([found[n] for n in self.full], list(self.full.values()))
        each = compare_each(found, self.full)
        self._truncations.append(TruncationLoss(k, *both, each))

    def compare_rest(self, k: int) -> None:
        """The longer windows, when nothing comes after lag k."""
        longer = k + 1
        while longer < self.end:
            if longer & (longer - 1) == 0:
                self.compare(longer)
            longer += 1

    def finish(self, injected: Mapping[str, Array]) -> Travel:
        """What was noted."""
        whole = dict.fromkeys(self.full, (1.0, 1.0))
        last = TruncationLoss(self.end, 1.0, 1.0, whole)
        return Travel(
            injected, np.array(self.sizes), np.array(self._by_row),
            (*self._truncations, last), self.sources,
        )  # fmt: skip
