"""How far rounding alone moves a gradient: what a sum that cancels is compared to.

∇_h = u - v with u and v all but equal: what is left has few right digits, in every
executor, and an error of it says nothing of the formula. How many are left is measured:
the gradient is computed again with every operation rounded otherwise, each result
moved by one unit of its last place, up or down by chance (Monte Carlo arithmetic,
Parker, 1997), and so is what a sum or product takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.calculus.program import Request, direction_of
from bptt.check.instances import Instance
from bptt.engine import Engine
from bptt.execute import reference
from bptt.execute.bindings import bind
from bptt.results import Gradient, Run
from bptt.step.evaluate import evaluate
from bptt.step.graph import Node
from bptt.step.ops import TABLE
from bptt.step.shapes import Array, Shape

ULP = float(np.finfo(np.float64).eps)
TIMES = 3
# Two executors may differ by so many times what a unit of each last place does. A
# mistake is no rounding: it moves more than a millionth.
LAST_PLACES = 50.0
MILLIONTH = 1e-6
FINEST = 1e-12  # relative; what rounding leaves of a gradient that does not cancel
SETTLED = 1e-9  # relative; coarser than any rounding of a slope by the complex step
NO_DIGITS = "rounding leaves so few digits of it that nothing is proved"
NOT_FINITE = "what it is compared with is not a finite number there"
Error = float | str  # how far two sides are apart, or why that says nothing
# Operations that choose, move or mark values round nothing: a tie stays a tie.
EXACT = frozenset((
    "maximum", "minimum", "greater", "greater_equal", "where", "relu", "abs", "neg",
    "sign", "floor", "round", "stop_gradient", "with_derivative", "max", "fill",
    "transpose", "lower_part", "lookup", "one_hot", "named", "spread", "at", "put",
    "index_fill", "argmax", "one_hot_of", "diag", "diagonal",
))  # fmt: skip


def spread(results: Sequence[Array]) -> Array:
    """The most that rounding moved each element: of the first result, the others."""
    plain, *others = results
    return np.asarray(np.max([np.abs(other - plain) for other in others], axis=0))


def meanings() -> list[reference.Meaning]:
    """The meaning of a node as it is, then rounded otherwise, `TIMES` over."""
    return [evaluate, *(Rounded(number) for number in range(TIMES))]


def largest(array: Array) -> float:
    """The largest absolute value of the numbers that are finite."""
    return float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0))


def settled(found: Sequence[Array], size: float) -> Array:
    """What slopes by smaller and smaller steps come to; NaN where they do not.

    log p at p = 1e-30 is no straight line over a step of 1e-20, and at 0 over none.
    size: of the whole array, beside which a slope is 0 but for rounding. A slope that
    is lost below the smallest number, and so 0, is no slope.
    """
    result = np.full_like(found[0], np.nan)
    for before, after in reversed(list(itertools.pairwise(found))):
        own = SETTLED * np.maximum(np.abs(before), np.abs(after))
        gap = np.abs(before - after)
        is_settled = (gap <= np.maximum(own, FINEST * size)) & (after != 0)
        result = np.where(is_settled, after, result)
    is_zero = np.max(np.abs(found), axis=0) <= FINEST * size
    return np.where(is_zero, found[0], result)


def measured(
    found: Array, oracle: Array, size: float, rounding: Callable[[], Array],
    tolerance: float = FINEST,
) -> Error:  # fmt: skip
    """How far apart two arrays are, relative to a size or to what rounding leaves.

    rounding: how far rounding moves each element; asked for only where a gap is not
    within the tolerance. Every element is judged by itself. One that rounding moves by
    more than a millionth of the size proves nothing where its gap is no larger, and
    one without a finite number in the oracle proves nothing at all; where the others
    agree, that is told in place of an error.
    """
    if found.shape != oracle.shape:
        return float("inf")
    is_finite = np.isfinite(oracle)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(found - oracle)[is_finite]
    gaps[np.isnan(gaps)] = np.inf
    worst = float(np.max(gaps, initial=0.0)) / size
    if worst <= tolerance:
        return worst if is_finite.all() else NOT_FINITE
    noise = LAST_PLACES * np.broadcast_to(rounding(), oracle.shape)[is_finite]
    noise = np.where(np.isfinite(noise), noise, np.inf)
    is_sharp = noise <= MILLIONTH * size
    is_noise = ~is_sharp & (gaps <= noise)
    # What is left of a sum may be rounded by as much as what is beside it.
    terms = float(np.max(noise[is_sharp], initial=0.0)) / tolerance
    error = float(np.max(gaps[~is_noise], initial=0.0)) / max(size, terms)
    if error > tolerance or not is_noise.any():
        return error if error > tolerance or is_finite.all() else NOT_FINITE
    return NO_DIGITS


@dataclass(frozen=True, eq=False)
class Roundings:
    """The gradients of one instance, as they are and rounded otherwise."""

    cell: Engine
    instance: Instance

    @cached_property
    def gradients(self) -> list[Gradient]:
        """The gradient of everything that has one."""
        graph = self.cell.graph
        return self._run(Request(
            nodes=tuple(graph.definitions),
            inputs=tuple(n for n, spec in graph.inputs.items() if spec.index is None),
            initial=True, seeds=self._seeds,
        ))  # fmt: skip

    @cached_property
    def plain(self) -> list[Gradient]:
        """The gradient of the parameters alone."""
        return self._run(Request(seeds=self._seeds))

    def of_node(self, name: str) -> list[Gradient]:
        """The gradient of one node alone."""
        return self._run(Request(nodes=(name,), seeds=self._seeds))

    def of_leaves(self, inputs: tuple[str, ...]) -> list[Gradient]:
        """The gradient of inputs and of initial values alone."""
        return self._run(Request(inputs=inputs, initial=True, seeds=self._seeds))

    @property
    def _seeds(self) -> tuple[str, ...]:
        return tuple(sorted(self.instance.seeds))

    def products(self, direction: Mapping[str, Array]) -> list[Gradient]:
        """The Hessian times a direction."""
        return self._run(Request(hessian_vector=True), direction)

    def _run(
        self, request: Request, direction: Mapping[str, Array] | None = None
    ) -> list[Gradient]:
        i = self.instance
        extra = {direction_of(name): a for name, a in (direction or {}).items()}
        seeds = None if extra else i.seeds
        bindings = bind(
            self.cell.graph, i.params, i.inputs, i.initial, seeds, i.reduction,
            i.weights, extra,
        )  # fmt: skip
        program = self.cell.gradient_program(request)
        runs = [reference.run(program, bindings, meaning) for meaning in meanings()]
        return [Gradient(program, bindings, run, request, _no_run) for run in runs]


def _no_run() -> Run:
    raise AssertionError("nobody asks for the values of a rounded run")


class Rounded:
    """A meaning with each rounding moved by one unit of the last place."""

    def __init__(self, number: int, plain: reference.Meaning = evaluate) -> None:
        """number: which of many; plain: what evaluates a node."""
        self._number, self._plain = number, plain
        self._rng = np.random.default_rng(number)

    def of(self, plain: reference.Meaning) -> Rounded:
        """Another meaning, rounded as this one is."""
        return Rounded(self._number, plain)

    def __call__(
        self, node: Node, arguments: list[Array],
        numbers: Callable[[Shape], tuple[int, ...]],
    ) -> Array:  # fmt: skip
        """What `plain` computes, rounded otherwise."""
        if node.op in EXACT:
            return self._plain(node, arguments, numbers)
        if not TABLE[node.op].is_elementwise:
            # A sum is as good as its terms: their roundings stay when they cancel.
            arguments = [self.moved(value) for value in arguments]
        return self.moved(self._plain(node, arguments, numbers))

    def moved(self, value: Array) -> Array:
        """Every element times 1 +- 2^-52; a whole number has no rounding."""
        value = np.asarray(value)
        if value.dtype.kind not in "fc":
            return value
        signs = self._rng.choice((-ULP, ULP), value.shape)
        whole = value.real == np.rint(value.real)
        if value.dtype.kind == "f":
            return np.where(whole, value, value * (1 + signs))
        # Both parts, each by its own last place; a whole real part has no rounding.
        real = np.where(whole, value.real, value.real * (1 + signs))
        return np.asarray(real + 1j * (value.imag * (1 - signs)))
