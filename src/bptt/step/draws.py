"""Inputs that are drawn, not measured: masks and noise, with their distributions.

A declaration in the cell says which (`m: n_h = dropout(0.2)`, `e: n_h = normal(0.1)`).
`Cell.draw` makes the arrays from a seed; each input draws from a generator of its own,
seeded by the seed and its name. When a network is evaluated, an input is its mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from bptt import errors
from bptt.step.graph import Graph, Initial, InputSpec
from bptt.step.shapes import Array, Shape, numbers_of, show_shape

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Distribution:
    """How an input is drawn, (rng, lead, shape, *numbers) -> array, and its mean."""

    draw: Callable[..., Array]
    mean: Callable[..., float]


def check_rate(rate: float) -> None:
    """A share of elements: 0 <= rate < 1.

    Raises: RateError.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise errors.RateError(
            f"rate {rate!r}: a share of elements is from 0 to below 1"
        )


def _bernoulli(
    rng: np.random.Generator, lead: Sizes, shape: Sizes, rate: float
) -> Array:
    """1 with probability `rate`, else 0."""
    check_rate(rate)
    return (rng.random((*lead, *shape)) < rate).astype(np.float64)


def _dropout(rng: np.random.Generator, lead: Sizes, shape: Sizes, rate: float) -> Array:
    """0 with probability `rate`, else 1 / (1 - rate), which keeps the mean at 1."""
    return (1 - _bernoulli(rng, lead, shape, rate)) / (1 - rate)


def _variational_dropout(
    rng: np.random.Generator, lead: Sizes, shape: Sizes, rate: float
) -> Array:
    """One dropout mask per sequence, the same at every step."""
    mask = _dropout(rng, lead[1:], shape, rate)
    return np.broadcast_to(mask, (*lead, *shape))


def _normal(
    rng: np.random.Generator, lead: Sizes, shape: Sizes, deviation: float = 1.0
) -> Array:
    """Gaussian, independent at every step."""
    if deviation < 0:
        raise errors.RateError(f"deviation {deviation!r}: it is not negative")
    return deviation * rng.standard_normal((*lead, *shape))


def _uniform(
    rng: np.random.Generator, lead: Sizes, shape: Sizes, low: float, high: float
) -> Array:
    """Uniform between two bounds, independent at every step."""
    return rng.uniform(low, high, (*lead, *shape))


DISTRIBUTIONS = {
    "bernoulli": Distribution(_bernoulli, lambda rate: rate),
    "dropout": Distribution(_dropout, lambda rate: 1.0),
    "variational_dropout": Distribution(_variational_dropout, lambda rate: 1.0),
    "normal": Distribution(_normal, lambda deviation=1.0: 0.0),
    "uniform": Distribution(_uniform, lambda low, high: (low + high) / 2),
}


def takes(name: str, count: int) -> bool:
    """Whether a distribution can be given this many numbers."""
    try:
        signature(DISTRIBUTIONS[name].draw).bind(None, (), (), *(0.0,) * count)
    except TypeError:
        return False
    return True


def draw_inputs(
    graph: Graph,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    seed: int,
    *,
    mean: bool,
) -> dict[str, Any]:
    """`inputs` and every declared draw among the graph's inputs; see `Cell.draw`."""
    sizes = _known_sizes(graph, params, inputs)
    given = [name for name in graph.inputs if name in inputs]
    missing = {
        name: spec
        for name, spec in graph.inputs.items()
        if spec.draw is not None and name not in inputs
    }
    if missing and not given:
        raise errors.MissingInputError(
            f"{', '.join(missing)} cannot be drawn: no other input says how many steps "
            "and rows there are"
        )
    dtype = np.result_type(*map(np.asarray, params.values())) if params else np.float64
    found = dict(inputs)
    for name, spec in missing.items():
        rank = len(graph.inputs[given[0]].shape)
        shape = np.shape(inputs[given[0]])
        lead = shape[: len(shape) - rank]
        core = _numbers(name, spec.shape, sizes)
        found[name] = _draw(name, spec, lead, core, seed, mean=mean).astype(
            dtype, copy=False
        )
    return found


def _draw(
    name: str, spec: InputSpec, lead: Sizes, core: Sizes, seed: int, *, mean: bool
) -> Array:
    assert isinstance(spec.draw, Initial)
    distribution = DISTRIBUTIONS[spec.draw.rule]
    if mean:
        return np.full((*lead, *core), distribution.mean(*spec.draw.arguments))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return distribution.draw(rng, lead, core, *spec.draw.arguments)


def _known_sizes(
    graph: Graph, params: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, int]:
    """The sizes that arrays tell; whether they agree is checked when a call is made."""
    shapes = [(spec.shape, params.get(name)) for name, spec in graph.parameters.items()]
    shapes += [(spec.shape, inputs.get(name)) for name, spec in graph.inputs.items()]
    sizes: dict[str, int] = {}
    for shape, array in shapes:
        if array is not None and shape:
            core = np.shape(array)[-len(shape) :]
            for dim, size in zip(shape, core, strict=False):
                sizes[str(dim)] = size
    return sizes


def _numbers(name: str, shape: Shape, sizes: Mapping[str, int]) -> Sizes:
    for dim in shape:
        if not isinstance(dim, int) and str(dim) not in sizes:
            raise errors.MissingSizeError(
                f"{name} {show_shape(shape)} cannot be drawn: no array given has the "
                f"dimension {dim}"
            )
    return numbers_of(shape, sizes)
