"""What products of Jacobians do to a direction: over a lag, per step, in every row.

Over windows of `lag` steps: the largest singular value, by block power iteration with
the maps of a step and their transposes. Along the whole row: finite-time Lyapunov
exponents by QR (Vogt et al., arXiv:2006.14123). No Jacobian is formed, but for the full
set of singular values of one row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.flow.graded import GradedProduct, log_values
from bptt.flow.maps import StepMaps
from bptt.flow.measure import exponents
from bptt.step.shapes import Array

BLOCK = 4  # directions that a power iteration carries, of small states
LARGE = 256  # units from which it carries two
TURNS = 3  # of a power iteration, at most
SETTLED = 0.02  # of a logarithm: two per cent
WINDOWS = 64  # over all rows; more are left out evenly, but three of each row stay
WARM = 64  # steps that turn random directions into leading ones
LEADING = 8  # directions where the full set is not asked for
FULL_WORK = 2.2e8  # tau n^3 up to which the full set is found by itself: a second
FORMED = 1 << 22  # elements of Jacobians that are formed at once


@dataclass(frozen=True, eq=False)
class Growth:
    """lag: steps of a window; starts: the first step of every window, from 0.

    windows: log of the largest singular value over a window, (windows, n_b), NaN where
    a row has no such window; rates: the largest exponent of every row over its later
    half, per step, (n_b,); -inf where nothing passes.
    """

    lag: int
    starts: Array
    windows: Array
    rates: Array

    @cached_property
    def by_row(self) -> Array:
        """The mean of every row's windows, (n_b,); -inf where most of them are."""
        is_there = ~np.isnan(self.windows)
        is_number = np.isfinite(self.windows)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.where(is_number, self.windows, 0.0).sum(axis=0)
            mean = total / is_number.sum(axis=0)
        most = 2 * is_number.sum(axis=0) > is_there.sum(axis=0)
        return np.asarray(np.where(most, mean, np.nanmedian(self.windows, axis=0)))


class Loop:
    """The states of one direction, as one vector per slot."""

    def __init__(self, maps: StepMaps, names: tuple[str, ...]) -> None:
        """names: of the loop's states; the others are held still."""
        self.maps, self.names = maps, names
        self._shapes = [maps.shape(name) for name in names]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self.n = sum(self._sizes)
        self.is_backward = maps.lag(names[0]) > 0

    def slot(self, row: int, step: int) -> int:
        """The slot of the loop's own step, counted from 0 in its direction."""
        slots = self.maps.slots
        at = int(slots.lengths[row]) - 1 - step if self.is_backward else step
        return int(slots.number[at, row])

    def slot_array(self, rows: Array, steps: Array) -> Array:
        """`slot` of many."""
        slots = self.maps.slots
        at = slots.lengths[rows] - 1 - steps if self.is_backward else steps
        return np.asarray(slots.number[at, rows])

    def on(self, slots: Array, vectors: Array) -> Array:
        """J v of vectors (m, n, p), one block per slot."""
        return self._apply(slots, vectors, is_back=False)

    def back(self, slots: Array, vectors: Array) -> Array:
        """J^T u of vectors (m, n, p), one block per slot."""
        return self._apply(slots, vectors, is_back=True)

    def _apply(self, slots: Array, vectors: Array, *, is_back: bool) -> Array:
        m, _, p = vectors.shape
        rows = vectors.transpose(0, 2, 1).reshape(m * p, self.n)
        where = np.repeat(slots, p)
        parts = {n: self.maps.zeros(n, m * p) for n in self.maps.states
                 if n not in self.names}  # fmt: skip
        parts |= self._split(rows)
        found = (
            self.maps.back(where, parts)[1] if is_back else self.maps.on(where, parts)
        )
        whole = np.concatenate([found[n].reshape(m * p, -1) for n in self.names], 1)
        return whole.reshape(m, p, self.n).transpose(0, 2, 1)

    def _split(self, rows: Array) -> dict[str, Array]:
        found, start = {}, 0
        for name, shape, size in zip(
            self.names, self._shapes, self._sizes, strict=True
        ):
            found[name] = rows[:, start : start + size].reshape(len(rows), *shape)
            start += size
        return found

    def jacobians(self, row: int) -> Iterator[Array]:
        """J_1, J_2, ... of one row, (n, n) each, in the loop's direction."""
        steps = int(self.maps.slots.lengths[row])
        at_once = max(1, FORMED // (8 * self.n * self.n))
        for start in range(0, steps, at_once):
            span = np.arange(start, min(start + at_once, steps))
            slots = self.slot_array(np.full(len(span), row), span)
            basis = np.broadcast_to(np.eye(self.n), (len(span), self.n, self.n))
            # Rows of J are what a unit vector sends back.
            yield from self.back(slots, basis).transpose(0, 2, 1)


def loops_of(maps: StepMaps) -> list[Loop]:
    """The states that run forward, and those that run backward."""
    names = {
        lag: tuple(n for n in maps.states if maps.lag(n) == lag) for lag in (-1, 1)
    }
    return [Loop(maps, found) for found in names.values() if found]


def measure_growth(loop: Loop, lag: int) -> Growth:
    """Windows of `lag` steps in every row, and the rows' exponents."""
    lengths = loop.maps.slots.lengths
    lag = int(min(lag, lengths.max()))
    starts = _thin(np.arange(0, int(lengths.max()) - lag + 1, lag), len(lengths))
    rows, first = np.meshgrid(np.arange(len(lengths)), starts)
    # A row that is shorter than one window is measured as far as it goes.
    steps = np.minimum(lag, lengths[rows] - first)
    used = (steps == lag) | ((first == 0) & (steps > 0))
    found = np.full(rows.shape, np.nan)
    found[used] = _window_values(loop, rows[used], first[used], steps[used])
    with np.errstate(invalid="ignore"):
        found *= lag / np.maximum(steps, 1)
    return Growth(lag, starts, found, _rates(loop))


def _thin(starts: Array, n_b: int) -> Array:
    """Evenly spread ones of many windows, the first and the last among them."""
    count = max(3, WINDOWS // n_b)
    if len(starts) <= count:
        return starts
    places = np.linspace(0, len(starts) - 1, count).round().astype(int)
    return np.asarray(starts[places])


def _window_values(loop: Loop, rows: Array, first: Array, steps: Array) -> Array:
    p = min(loop.n, BLOCK if loop.n < LARGE else 2)
    random = np.random.default_rng(0)
    start = random.standard_normal((len(rows), loop.n, p))
    v = np.linalg.qr(start)[0]
    before = np.full(len(rows), np.nan)
    for _ in range(TURNS):
        y, log = _through(loop, rows, first, steps, v, is_back=False)
        with np.errstate(divide="ignore"):
            found = np.log(np.linalg.svd(y, compute_uv=False)[:, 0]) + log
        with np.errstate(invalid="ignore"):
            is_settled = (np.abs(found - before) < SETTLED) | np.isneginf(found)
        if is_settled.all() or p == loop.n:
            break
        before = found
        u = np.linalg.qr(y)[0]
        z, _ = _through(loop, rows, first, steps, u, is_back=True)
        v = np.linalg.qr(z)[0]
    return np.asarray(found)


def _through(
    loop: Loop, rows: Array, first: Array, steps: Array, v: Array, *, is_back: bool
) -> tuple[Array, Array]:
    """A block through every window, scaled as it goes, and the log of the scale."""
    log, v = np.zeros(len(v)), v.copy()
    turns = range(int(steps.max()))
    for j in reversed(turns) if is_back else turns:
        now = np.flatnonzero(j < steps)
        slots = loop.slot_array(rows[now], first[now] + j)
        out = loop.back(slots, v[now]) if is_back else loop.on(slots, v[now])
        scale = np.abs(out).max(axis=(1, 2))
        with np.errstate(divide="ignore"):
            log[now] += np.log(scale)
        v[now] = out / np.where(scale > 0, scale, 1.0)[:, None, None]
    return v, log


def _rates(loop: Loop) -> Array:
    """The growth of one direction over the later half of every row, per step."""
    lengths = loop.maps.slots.lengths
    p = min(loop.n, 2)
    random = np.random.default_rng(1)
    v = np.linalg.qr(random.standard_normal((len(lengths), loop.n, p)))[0]
    total = np.zeros(len(lengths))
    half = lengths // 2
    for step in range(max(0, int(half.min()) - WARM), int(lengths.max())):
        now = np.flatnonzero((step < lengths) & (step >= half - WARM))
        slots = loop.slot_array(now, np.full(len(now), step))
        out = loop.on(slots, v[now])
        q, r = np.linalg.qr(out)
        v[now] = q
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(r[:, 0, 0]))
        total[now] += np.where(step >= half[now], logs, 0.0)
    return np.asarray(total / (lengths - half))


# ----- one row, more directions -----


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Of one row: what becomes of its directions.

    log_singular_values: of ∂s^(tau)/∂s^(t), t = 0..tau, (tau + 1, m) descending, NaN
    where rounding leaves nothing; exponents: per step, (m,); is_full: m = n, else
    the leading ones are lower bounds; jacobians: J_t, (tau, n, n), where small.
    """

    log_singular_values: Array
    exponents: Array
    is_full: bool
    jacobians: Array | None


def full_cost(loop: Loop, row: int) -> float:
    """Multiplications of the full set: tau n^3, some 30 times."""
    return float(loop.maps.slots.lengths[row]) * loop.n**3


def full_spectrum(loop: Loop, row: int) -> Spectrum:
    """Every singular value and exponent, from the Jacobians."""
    jacobians = np.array(list(loop.jacobians(row)))
    # The product grows to the right as t falls: its transpose, to the left.
    rows = log_values((j.T for j in jacobians[::-1]), loop.n)
    return Spectrum(rows[::-1], exponents(jacobians), True, jacobians)


def leading_spectrum(loop: Loop, row: int) -> Spectrum:
    """A few leading directions: turned by the last steps, then back to the first.

    With J^T Q_k = Q_{k+1} R the values are those of a product of small R.
    """
    steps, p = int(loop.maps.slots.lengths[row]), min(loop.n, LEADING)
    random = np.random.default_rng(2)
    v = np.linalg.qr(random.standard_normal((1, loop.n, p)))[0]
    for step in range(max(0, steps - WARM), steps):
        v = np.linalg.qr(loop.on(np.array([loop.slot(row, step)]), v))[0]
    logs, product = np.zeros((steps, p)), GradedProduct(p)
    rows = [np.zeros(p)]
    for step in reversed(range(steps)):
        v, r = np.linalg.qr(loop.back(np.array([loop.slot(row, step)]), v))
        product.multiply(r[0])
        rows.append(product.log_singular_values())
        with np.errstate(divide="ignore"):
            logs[step] = np.log(np.abs(np.diagonal(r[0])))
    return Spectrum(
        np.array(rows[::-1]), -np.sort(-logs.mean(axis=0)), p == loop.n, None
    )
