"""Clipping a gradient by its global norm, and by the size of its elements."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.floating]]


def global_norm(gradients: Arrays) -> float:
    """The Euclidean norm of all gradients together, summed in float64."""
    squares = (np.sum(np.square(g, dtype=np.float64)) for g in gradients.values())
    return float(np.sqrt(sum(squares)))


def clip_by_global_norm(
    gradients: Arrays, limit: float
) -> tuple[dict[str, npt.NDArray[np.floating]], float]:
    """Scale all gradients by one factor so that their global norm is at most `limit`.

    g <- g min(1, limit / ||g||)   (Pascanu et al. 2013, algorithm 1)

    One factor for all keeps the direction. It is a function of the finished gradient,
    so it cannot be called too early, a mistake that published code has made.
    Returns: the gradients, new arrays if scaled, and the norm before clipping.

    >>> clip_by_global_norm({"W": np.array([3.0, 4.0])}, limit=1.0)
    ({'W': array([0.6, 0.8])}, 5.0)
    """
    norm = global_norm(gradients)
    if not norm > limit:
        return dict(gradients), norm
    factor = limit / norm
    # In C order, as an optimiser wants it: a transposed view would be copied again.
    scaled = {
        name: np.multiply(g, g.dtype.type(factor), order="C")
        for name, g in gradients.items()
    }
    return scaled, norm


def clip_by_value(
    gradients: Arrays, limit: float
) -> dict[str, npt.NDArray[np.floating]]:
    """Limit every element to [-limit, limit]; this changes the direction.

    >>> clip_by_value({"W": np.array([3.0, -0.5])}, limit=1.0)
    {'W': array([ 1. , -0.5])}
    """
    if not np.isfinite(limit):
        return dict(gradients)
    clipped = {}
    for name, g in gradients.items():
        most = g.dtype.type(min(limit, float(np.finfo(g.dtype).max)))
        clipped[name] = np.clip(g, -most, most)
    return clipped
