"""How far rounding alone moves a gradient: what a sum that cancels is compared to.

∇_h = u - v with u and v all but equal: what is left has few right digits, in every
executor, and an error of it says nothing of the formula. How many are left is measured:
the gradient is computed again with every operation rounded otherwise, each result
moved by one unit of its last place, up or down by chance (Monte Carlo arithmetic,
Parker, 1997), and so is what a sum or product takes.
"""

from __future__ import annotations

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
    return [evaluate, *(_Rounded(number) for number in range(TIMES))]


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
            initial=True, seeds=tuple(sorted(self.instance.seeds)),
        ))  # fmt: skip

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


class _Rounded:
    """`evaluate`, with each rounding moved by one unit of the last place."""

    def __init__(self, number: int) -> None:
        self._rng = np.random.default_rng(number)

    def __call__(
        self, node: Node, arguments: list[Array],
        numbers: Callable[[Shape], tuple[int, ...]],
    ) -> Array:  # fmt: skip
        if node.op in EXACT:
            return evaluate(node, arguments, numbers)
        if not TABLE[node.op].is_elementwise:
            # A sum is as good as its terms: their roundings stay when they cancel.
            arguments = [self._moved(value) for value in arguments]
        return self._moved(evaluate(node, arguments, numbers))

    def _moved(self, value: Array) -> Array:
        """Every element times 1 +- 2^-52; a whole number has no rounding."""
        value = np.asarray(value)
        if value.dtype.kind != "f":
            return value
        signs = self._rng.choice((-ULP, ULP), value.shape)
        return np.where(value == np.rint(value), value, value * (1 + signs))
