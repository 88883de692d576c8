"""Singular values of long products of matrices, the smallest ones too.

    P = J_k ... J_1 = Q D T,   Q orthogonal, D diagonal, descending, T well conditioned

A plain product rounds a small singular value away once it is 1e-16 of the largest. Here
every factor meets Q alone, D is kept as logarithms, and columns are sorted by norm
before each QR (as in the stable products of quantum Monte Carlo: Loh et al., 1992; the
graded QR of Stewart, 1997), so each scale is computed from numbers of its own size.

What is noise is measured: the same product with each element of each factor changed by
its last bits. A value that moves by more than UNRESOLVED is no number to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bptt.step.shapes import Array

UNRESOLVED = 0.01  # of a logarithm: one per cent of the value
SPAN = 9.0  # e^9: the scales that one decomposition gives, and the margin around them
ROUNDS = 3  # of QR of the transpose: parts apart by more than SPAN decouple to e^-54


class GradedProduct:
    """J_k ... J_1 of matrices (n, n), multiplied one after the other."""

    def __init__(self, n: int) -> None:
        """The empty product: the unit matrix."""
        self._q, self._log_d, self._t = np.eye(n), np.zeros(n), np.eye(n)

    def multiply(self, factor: Array) -> None:
        """Put a factor to the left."""
        grown = factor @ self._q
        with np.errstate(divide="ignore"):
            norms = np.log(np.sqrt((grown**2).sum(axis=0))) + self._log_d
        order = np.argsort(-norms, kind="stable")
        before = self._log_d[order]
        q, r = np.linalg.qr(grown[:, order])
        self._log_d = before + _log_diagonal(r)
        self._t = _scale(r, before, self._log_d) @ self._t[order]
        self._q = q

    def log_singular_values(self) -> Array:
        """Natural logarithms, descending; -inf for 0."""
        log_d, t = self._log_d, self._t
        for _ in range(ROUNDS):
            r = np.linalg.qr(t.T)[1]
            new = log_d + _log_diagonal(r)
            log_d, t = new, _scale(r, log_d, new)
            order = np.argsort(-log_d, kind="stable")
            log_d, t = log_d[order], t[order]
        found = np.full(len(log_d), -np.inf)
        start, alive = 0, int(np.isfinite(log_d).sum())
        while start < alive:
            top = log_d[start]
            stop = int((log_d[:alive] > top - SPAN).sum())
            low = int((log_d[:alive] > top + SPAN).sum())
            high = int((log_d[:alive] > top - 2 * SPAN).sum())
            # Columns of T follow the directions before the first factor.
            block = np.exp(log_d[low:high] - top)[:, None] * t[low:high]
            values = np.linalg.svd(block, compute_uv=False)
            with np.errstate(divide="ignore"):
                found[start:stop] = np.log(values[start - low : stop - low]) + top
            start = stop
        return -np.sort(-found)


def log_values(
    factors: Iterable[Array], n: int, every: Iterable[int] | None = None
) -> Array:
    """Of the products of the first 0, 1, 2, ... factors: (k + 1, n), NaN for noise.

    factors: each is put to the left of those before it; every: the counts at which
    values are wanted, the others' rows are NaN.
    """
    wanted = None if every is None else set(every)
    exact, moved = GradedProduct(n), GradedProduct(n)
    random = np.random.default_rng(0)
    rows = [np.zeros(n)]
    for count, factor in enumerate(factors, start=1):
        exact.multiply(factor)
        noise = random.choice((-1.0, 1.0), factor.shape)
        moved.multiply(factor * (1 + np.finfo(float).eps * noise))
        if wanted is None or count in wanted:
            rows.append(_resolved(exact, moved))
        else:
            rows.append(np.full(n, np.nan))
    return np.array(rows)


def _resolved(exact: GradedProduct, moved: GradedProduct) -> Array:
    a, b = exact.log_singular_values(), moved.log_singular_values()
    with np.errstate(invalid="ignore"):
        is_noise = np.abs(a - b) > UNRESOLVED
    # 0 in both is exact: a unit without a slope sends nothing at all.
    is_noise |= np.isinf(a) != np.isinf(b)
    # Where one is noise, whatever is smaller lies below the noise, too.
    is_noise = np.maximum.accumulate(is_noise & ~np.isneginf(a))
    return np.where(is_noise & ~(np.isneginf(a) & np.isneginf(b)), np.nan, a)


def _log_diagonal(r: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(np.diagonal(r))))


def _scale(r: Array, columns: Array, rows: Array) -> Array:
    """r with its columns multiplied by e^columns and its rows divided by e^rows."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        factor = np.exp(columns[None, :] - rows[:, None])
        found = np.where(r == 0, 0.0, r * factor)
    # A direction that died has no scale; its row of T is never read again.
    dead = np.isneginf(rows)
    found[dead] = 0.0
    found[dead, dead] = 1.0
    return np.where(np.isfinite(found), found, 0.0)
