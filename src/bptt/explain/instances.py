"""The points that a document is evaluated at: the one shown, those of the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt.check.instances import (
    DRAWS,
    Instance,
    make_instance,
    other_instances,
    seeded_name,
)
from bptt.check.rounding import Rounded
from bptt.errors import ArgumentError, list_known
from bptt.execute.tokens import counted_by
from bptt.execute.weighting import REDUCTIONS, weigh
from bptt.explain.algebra.compare import decide_alike
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.delays import carried_by, from_nothing, joined
from bptt.step.graph import Graph
from bptt.step.shapes import Array, number_of, numbers_of
from bptt.unrolled import unroll

CHECKED = 3
DEFAULT_TAU, MAX_TAU, MAX_SIZE = 4, 20, 8
SMALLEST = 2


class ExplainOptionError(ArgumentError):
    """An option of `explain` that cannot be."""


@dataclass(frozen=True)
class Options:
    """What is shown: steps, seed, sizes and how L is made from L^(1) ... L^(tau).

    reduction: "sum" (the book's; of the one row that is shown "batch_mean" is the
    same), "mean" (1/tau each) or "last" (L^(tau) alone);
    weights: w_t of a weighted sum, (tau,), 0 for padding, instead of a reduction.
    """

    tau: int = DEFAULT_TAU
    seed: int = 0
    sizes: Mapping[str, int] | None = None
    reduction: str = "sum"
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises: ExplainOptionError.
        """
        if not 1 <= self.tau <= MAX_TAU:
            raise ExplainOptionError(
                f"tau = {self.tau}; an explanation shows 1 to {MAX_TAU} steps"
            )
        if self.reduction not in REDUCTIONS:
            raise ExplainOptionError(
                f"reduction {self.reduction!r}; use one of "
                f"{list_known(self.reduction, (*REDUCTIONS, 'weights=[...]'))}"
            )
        if self.weights is not None and len(self.weights) != self.tau:
            raise ExplainOptionError(
                f"{len(self.weights)} weights for tau = {self.tau} steps; give one per "
                "step"
            )

    @property
    def kind(self) -> str:
        """How L is made of one row: "sum", "mean", "last" or "weights"."""
        if self.weights is not None:
            return "weights"
        return "sum" if self.reduction == "batch_mean" else self.reduction

    def step_weights(self, tau: int, rng: np.random.Generator) -> Array:
        """w_1 ... w_tau; random ones where an instance has another tau."""
        if self.weights is not None:
            if tau == self.tau:
                return np.array(self.weights, float)
            return np.asarray(rng.uniform(0.5, 1.5, tau))
        last = np.arange(tau) == tau - 1
        return np.asarray(weigh(self.reduction, np.ones(tau), lambda: last, 1))


def shown_point(scope: Scope, options: Options) -> Point:
    """The instance whose numbers are displayed: small, all sizes distinct.

    A domain (log, sqrt) is met by less spread and a higher mean, draw by draw.
    Raises: ExplainOptionError for a size that cannot be shown, or if no draw gives
    finite values.
    """
    sizes = _shown_sizes(scope.graph, options.sizes or {})
    for draw in range(DRAWS):
        with np.errstate(all="ignore"):
            point = _draw_shown(scope, options, sizes, draw)
        if all(np.isfinite(value).all() for value in point.graph.values.values()):
            return point
    raise ExplainOptionError(
        f"no random numbers with seed {options.seed} give finite values; use another "
        "seed"
    )


def _draw_shown(
    scope: Scope, options: Options, sizes: Mapping[str, int], draw: int
) -> Point:
    graph, lift = scope.computed, draw / DRAWS
    rng = np.random.default_rng([options.seed, draw])

    def normal(lead: tuple[int, ...], shape: tuple[Any, ...]) -> Array:
        core = numbers_of(shape, sizes)
        numbers = 0.5 * (1 - lift) * rng.standard_normal((*lead, *core)) + lift
        return np.asarray(np.round(numbers, 2))  # two digits, to follow by hand

    lead = (options.tau,)
    params = {name: normal((), spec.shape) for name, spec in graph.parameters.items()}
    inputs = {}
    for name, spec in graph.inputs.items():
        if spec.index is None:
            inputs[name] = normal(lead, spec.shape)
        else:
            index = spec.index
            limit = number_of(index, sizes)
            inputs[name] = rng.integers(0, limit, lead)
    # Not zero, so that what h^(0) gives to W can be seen.
    initial = {
        name: normal((), graph.definitions[name].shape)
        for name in graph.states
        if name in graph.definitions and counted_by(graph, name) is None
    }
    seeds = {}
    if graph.loss is None:
        name = seeded_name(scope.graph)
        seeds[name] = normal(lead, graph.definitions[name].shape)
    weights = options.step_weights(options.tau, rng)
    label = ", ".join(f"{n} = {s}" for n, s in {"tau": options.tau, **sizes}.items())
    return _point(scope, params, inputs, initial, seeds, weights, sizes, label)


def _shown_sizes(graph: Graph, given: Mapping[str, int]) -> dict[str, int]:
    names = [dim for dim in graph.dims() if dim not in ("tau", "n_b")]
    for name, size in given.items():
        if name not in names:
            raise ExplainOptionError(
                f"{name} is not a dimension of this cell; it has "
                f"{list_known(name, names)}"
            )
        if not SMALLEST <= size <= MAX_SIZE:
            raise ExplainOptionError(
                f"{name} = {size}; an explanation shows sizes from {SMALLEST} (with "
                f"one unit every order of factors is right) to {MAX_SIZE}"
            )
    taken = set(given.values())
    free = iter(size for size in range(SMALLEST, 99) if size not in taken)
    return {name: given[name] if name in given else next(free) for name in names}


def check_points(scope: Scope, options: Options) -> tuple[Point, ...]:
    """The random instances of the checks; fewer where no finite point is found."""
    reach = max((abs(by) for _, by in carried_by(scope.computed).values()), default=0)
    least = reach + 3 if reach else 0  # a step that a delay leads to, and one more
    found = (_checked(scope, options, n, least) for n in range(1, CHECKED + 1))
    return tuple(point for point in found if point is not None)


def _checked(scope: Scope, options: Options, number: int, least: int) -> Point | None:
    """The numbers of one check; smaller ones where a gradient of these is not finite.

    If there are none such, what is finite of the first is compared.
    """
    graph = scope.computed
    seeded = "" if graph.loss else seeded_name(scope.graph)
    asked = graph, number, options.seed, least, seeded
    chosen = make_instance(*asked)
    if chosen is None:
        return None
    first = _first_row(scope, chosen, options)
    if first.is_finite:
        return first
    others = (_first_row(scope, i, options) for i in other_instances(*asked))
    return next((point for point in others if point.is_finite), first)


def _first_row(scope: Scope, instance: Instance, options: Options) -> Point:
    tau = instance.sizes["tau"]
    rng = np.random.default_rng([instance.seed, instance.number])
    weights = options.step_weights(tau, rng)
    return _point(
        scope, instance.params,
        {name: array[:, 0] for name, array in instance.inputs.items()},
        {name: array[0] for name, array in instance.initial.items()},
        {name: array[:, 0] for name, array in instance.seeds.items()},
        weights, instance.sizes, f"instance {instance.number}",
    )  # fmt: skip


def _point(
    scope: Scope, params: Any, inputs: Any, initial: Any, seeds: Any, weights: Array,
    sizes: Mapping[str, int], label: str,
) -> Point:  # fmt: skip
    none = from_nothing(scope.computed)
    initial = {n: np.zeros_like(v) if n in none else v for n, v in initial.items()}

    def made(rounding: Rounded | None) -> Point:
        with np.errstate(all="ignore"):  # what is not finite is said, and not warned of
            graph = unroll(
                scope.computed, params, inputs, initial=initial, seeds=seeds,
                weights=weights, meaning=rounding or decide_alike,
            )  # fmt: skip
        shown = joined(graph, scope.computed)
        return Point(
            scope, shown, sizes, weights, seeds, label, graph, rounding,
            lambda number: made(Rounded(number, decide_alike)),
        )  # fmt: skip

    return made(None)
