"""Initial values of parameters: the rules, and the rule each parameter gets.

A declaration in the cell decides (`b_f: n_h = 1`, `W: (n_h, n_h) = orthogonal`).
Without one: a square matrix is orthogonal (it is recurrent in all but name), any other
matrix is Glorot uniform, a vector or scalar is zero. Of an array with indices, W[j],
the last two dimensions are a matrix. Every parameter draws from a
generator of its own, seeded by the seed and its name, so adding one parameter changes
no other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bptt import errors
from bptt.step import structured
from bptt.step.graph import Initial, ParameterSpec

Array = NDArray[np.float64]
Rule = Callable[..., Array]


def constant(rng: np.random.Generator, shape: tuple[int, ...], value: float) -> Array:
    """Every element the same."""
    return np.full(shape, float(value))


def normal(
    rng: np.random.Generator, shape: tuple[int, ...], deviation: float = 1.0
) -> Array:
    """Gaussian with mean 0 and the given standard deviation."""
    if deviation < 0:
        raise errors.InitialValueError("a standard deviation is not negative")
    return deviation * rng.standard_normal(shape)


def uniform(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    low: float = -0.1,
    high: float = 0.1,
) -> Array:
    """Uniform between two bounds."""
    return rng.uniform(low, high, shape)


def glorot(
    rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0
) -> Array:
    """Uniform within gain * sqrt(6 / (rows + columns))   (Glorot and Bengio, 2010)."""
    bound = gain * np.sqrt(6.0 / sum(shape)) if shape else gain
    return rng.uniform(-bound, bound, shape)


def orthogonal(
    rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0
) -> Array:
    """gain * Q, orthonormal rows or columns, Haar-distributed (Saxe et al., 2013)."""
    if len(shape) != 2:
        raise errors.InitialValueError("orthogonal needs a matrix")
    rows, columns = shape
    tall = rng.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return gain * (q if rows >= columns else q.T)


def identity(
    rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0
) -> Array:
    """gain * I; ones on the main diagonal of any matrix (Le et al., 2015)."""
    if len(shape) != 2:
        raise errors.InitialValueError("identity needs a matrix")
    return gain * np.eye(*shape)


RULES: dict[str, Rule] = {
    "constant": constant,
    "zeros": lambda rng, shape: constant(rng, shape, 0.0),
    "ones": lambda rng, shape: constant(rng, shape, 1.0),
    "normal": normal,
    "uniform": uniform,
    "glorot": glorot,
    "orthogonal": orthogonal,
    "identity": identity,
    "spectral": structured.spectral,
    "sparse": structured.sparse,
    "block": structured.block,
    "values": structured.values,
    "hippo_legs": structured.hippo_legs,
    "hippo_legt": structured.hippo_legt,
}


def takes(rule: str, count: int) -> bool:
    """Whether a rule can be given this many numbers."""
    try:
        signature(RULES[rule]).bind(None, (), *(0.0,) * count)
    except TypeError:
        return False
    return True


def default_rule(spec: ParameterSpec) -> Initial:
    """The rule of a parameter without a declared one."""
    if len(spec.shape) < 2:
        return Initial("zeros")
    return Initial("orthogonal" if spec.shape[-2] == spec.shape[-1] else "glorot")


def check_sizes(dims: tuple[str, ...], sizes: Mapping[str, Any]) -> None:
    """Refuse a size for an unknown dimension, and one that is not a whole number.

    Raises: SizeError.
    """
    for name, size in sizes.items():
        if name not in dims:
            raise errors.SizeError(
                f"{name} is not a dimension of the cell; they are: "
                f"{errors.list_known(name, dims)}"
            )
        is_whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not is_whole or size < 1:
            raise errors.SizeError(f"{name}={size!r}: a size is a whole number >= 1")


def draw(
    name: str, spec: ParameterSpec, shape: tuple[int, ...], seed: int
) -> NDArray[Any]:
    """One parameter's initial value in float64.

    Raises: InitialValueError if the rule does not take this shape or these numbers.
    """
    initial = spec.initial or default_rule(spec)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    try:
        if len(shape) > 2 and initial.rule != "values":  # a matrix for every index
            many = int(np.prod(shape[:-2]))
            made = [RULES[initial.rule](rng, shape[-2:], *initial.arguments)
                    for _ in range(many)]  # fmt: skip
            return np.stack(made).reshape(shape)
        return RULES[initial.rule](rng, shape, *initial.arguments)
    except (TypeError, ValueError, errors.InitialValueError) as error:
        numbers = ", ".join(map(repr, initial.arguments))
        raise errors.InitialValueError(
            f"parameter {name} {shape} cannot be {initial.rule}({numbers}): {error}"
        ) from None
