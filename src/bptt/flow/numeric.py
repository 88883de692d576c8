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
    sizes = _norm_of_all(mine), _norm_of_all(exact)
    if not all(sizes):
        same = float(sizes[0] == sizes[1])
        return same, same
    # One array after the other: joined in float64, the gradients of a vocabulary of
    # 10,000 would be there three times more.
    cosine = sum(
        float((_flat(a) / sizes[0]) @ (_flat(b) / sizes[1]))
        for a, b in zip(mine, exact, strict=True)
    )
    return float(np.clip(cosine, -1.0, 1.0)), float(sizes[0] / sizes[1])


def _norm_of_all(arrays: Sequence[Array]) -> float:
    return norm(np.array([norm(_flat(a)) for a in arrays]))


def _flat(array: Array) -> Array:
    return np.ravel(array).astype(np.float64)


def compare_each(
    mine: Mapping[str, Array], exact: Mapping[str, Array]
) -> dict[str, tuple[float, float]]:
    """`compare` of every parameter."""
    return {name: compare([mine[name]], [exact[name]]) for name in exact}
