"""Initial values with a structure: spectral radius, sparse, blocks, HiPPO, numbers.

Each rule gets a generator, a shape and its numbers, as those of `initial.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bptt import errors
from bptt.step.linear import exponential

Array = NDArray[np.float64]
Generator = np.random.Generator


def _square(shape: tuple[int, ...], name: str) -> int:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise errors.InitialValueError(f"{name} needs a square matrix")
    return shape[0]


def _share(density: float) -> float:
    if not 0 < density <= 1:
        raise errors.InitialValueError("a density is a share above 0, at most 1")
    return density


def sparse(
    rng: Generator, shape: tuple[int, ...], density: float, deviation: float = 1.0
) -> Array:
    """In each row a share `density` of Gaussian elements, one at least, else 0.

    (Martens, 2010, section 5: a fixed number of connections into each unit.)
    """
    if len(shape) != 2:
        raise errors.InitialValueError("sparse needs a matrix")
    kept = max(1, round(_share(density) * shape[1]))
    values = deviation * rng.standard_normal(shape)
    order = rng.random(shape).argsort(axis=1)
    return np.where(order < kept, values, 0.0)


def spectral(
    rng: Generator, shape: tuple[int, ...], radius: float, density: float = 1.0
) -> Array:
    """A sparse Gaussian matrix whose largest |eigenvalue| is `radius`.

    (Jaeger, 2001; the echo state networks of Goodfellow et al., section 10.8.)
    """
    _square(shape, "spectral")
    if radius < 0:
        raise errors.InitialValueError("a spectral radius is not negative")
    for _ in range(100):
        values = sparse(rng, shape, density)
        found = float(np.abs(np.linalg.eigvals(values)).max())
        if found > 1e-8:  # a very sparse matrix may have no cycle: eigenvalues 0
            scaled: Array = values * (radius / found)
            return scaled
    raise errors.InitialValueError(
        f"no matrix of density {density} with eigenvalues other than 0 was found"
    )


def block(
    rng: Generator, shape: tuple[int, ...], count: float, gain: float = 1.0
) -> Array:
    """`count` orthogonal blocks of one size on the diagonal, else 0."""
    size = _square(shape, "block")
    n = int(count)
    if n != count or n < 1 or size % n:
        raise errors.InitialValueError(
            f"{size} rows are not cut into {count:g} blocks of one size"
        )
    found = np.zeros(shape)
    for start in range(0, size, size // n):
        stop = start + size // n
        q, r = np.linalg.qr(rng.standard_normal((size // n, size // n)))
        found[start:stop, start:stop] = gain * q * np.sign(np.diag(r))
    return found


def values(rng: Generator, shape: tuple[int, ...], *numbers: float) -> Array:
    """The numbers as they are, row by row."""
    if len(numbers) != int(np.prod(shape)):
        raise errors.InitialValueError(
            f"{len(numbers)} numbers for {int(np.prod(shape))} elements"
        )
    return np.array(numbers, float).reshape(shape)


def hippo_legs(rng: Generator, shape: tuple[int, ...]) -> Array:
    """The matrix A of HiPPO-LegS, with its minus sign; of a vector the input B.

        A_ik = -sqrt(2i + 1) sqrt(2k + 1) for i > k, -(i + 1) for i = k, else 0
        B_i = sqrt(2i + 1)                          i, k = 0, 1, ...

    (Gu et al., 2020, theorem 2; in this form Gu et al., 2022, equation 2.)
    """
    root: Array = np.sqrt(2.0 * np.arange(shape[0] if shape else 1) + 1)
    if len(shape) == 1:
        return root
    _square(shape, "hippo_legs")
    low = np.tril(np.outer(root, root), -1)
    return np.asarray(-(low + np.diag(np.arange(shape[0]) + 1.0)), np.float64)


def hippo_legt(
    rng: Generator, shape: tuple[int, ...], window: float = 1.0, step: float = 0.0
) -> Array:
    """The matrix A / window of HiPPO-LegT; of a vector the input B / window.

        A_ik = (2i + 1) (-1 for i < k, else (-1)^(i-k+1)),  B_i = (2i + 1) (-1)^i

    (Legendre memory unit: Voelker et al., 2019, equation 2.) step: the two for steps of
    this length with an input that is held: exp(A step), A^-1 (exp(A step) - I) B.
    """
    if window <= 0 or step < 0:
        raise errors.InitialValueError("a window is positive, a step is not negative")
    if len(shape) != 1:
        _square(shape, "hippo_legt")
    i = np.arange(shape[0])
    sign = np.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
    matrix = np.asarray((2.0 * i[:, None] + 1) * sign / window, np.float64)
    vector = np.asarray((2.0 * i + 1) * (-1.0) ** i / window, np.float64)
    if step:
        stepped = np.asarray(exponential(matrix * step), np.float64)
        held = (stepped - np.eye(len(i))) @ vector
        vector = np.asarray(np.linalg.solve(matrix, held), np.float64)
        matrix = stepped
    return vector if len(shape) == 1 else matrix
