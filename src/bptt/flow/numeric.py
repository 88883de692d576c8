"""Norms and cosines that neither overflow nor vanish while their answer does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bptt.step.shapes import Array


def norm(array: Array) -> float:
    """√(Σ x²), scaled by the largest element first; inf and NaN stay what they are."""
    largest = float(np.abs(array).max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    # A number below the normal range has no reciprocal: scaled in two steps.
    scaled = array.ravel() / largest
    return largest * float(np.sqrt((scaled * scaled).sum()))


def norms(array: Array, lead: int = 1) -> Array:
    """The norm over all but the first `lead` axes."""
    shape = array.shape[:lead]
    flat = array.reshape(*shape, math.prod(array.shape[lead:]))
    largest = np.abs(flat).max(axis=-1, initial=0.0)
    by = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = flat / by[..., None]
        return np.asarray(by * np.sqrt((scaled * scaled).sum(axis=-1)))


def compare(mine: Sequence[Array], exact: Sequence[Array]) -> tuple[float, float]:
    """Cosine of two gradients, and the ratio of their norms.

    Two zeros agree: 1 and 1; one zero alone gives 0 and 0.
    """
    sizes = norm(_joined(mine)), norm(_joined(exact))
    if not all(sizes):
        same = float(sizes[0] == sizes[1])
        return same, same
    a, b = _joined(mine) / sizes[0], _joined(exact) / sizes[1]
    return float(np.clip(a @ b, -1.0, 1.0)), float(sizes[0] / sizes[1])


def _joined(arrays: Sequence[Array]) -> Array:
    flat = [np.ravel(a).astype(np.float64) for a in arrays]
    return np.concatenate(flat) if flat else np.zeros(0)


def compare_each(
    mine: Mapping[str, Array], exact: Mapping[str, Array]
) -> dict[str, tuple[float, float]]:
    """`compare` of every parameter."""
    return {name: compare([mine[name]], [exact[name]]) for name in exact}
