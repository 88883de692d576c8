"""What every check shares: a cell, an instance, the gradient under test, rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from bptt.check.instances import Instance
from bptt.check.ledger import FAILED, NOT_CHECKED, PASSED, Row
from bptt.check.probes import Moved, Prober
from bptt.check.rounding import (
    FINEST,
    Error,
    Roundings,
    largest,
    measured,
    spread,
)
from bptt.engine import Engine
from bptt.execute.rows import take_apart
from bptt.execute.tokens import counted_by
from bptt.results import Gradient
from bptt.step.graph import Graph
from bptt.step.shapes import Array

COMPLEX_STEP = 1e-20
KINK_MARGIN = 10.0
SCALE_FLOOR = 1e-3
ABSOLUTE_FLOOR = 0.1  # numbers of an instance are about 1, and rounding of them 1e-16
COMPLEX_TOLERANCE = FINEST


class GradientLike(Protocol):
    """What a gradient function under test must give back; `results.Gradient` does."""

    @property
    def loss(self) -> Any:
        """The total loss."""

    @property
    def nodes(self) -> Mapping[str, Any]:
        """∇ of nodes, (tau, n_b, *shape)."""
        ...

    @property
    def inputs(self) -> Mapping[str, Any]:
        """∇ of inputs, (tau, n_b, *shape)."""
        ...

    @property
    def initial(self) -> Mapping[str, Any]:
        """∇ of initial states, (n_b, *shape)."""
        ...

    @property
    def copies(self) -> Mapping[str, Any]:
        """∇ of copies: parameter -> something indexed by t - 1."""
        ...

    def __getitem__(self, name: str, /) -> Any:
        """∇_θ L."""
        ...


# `Cell.gradient`, or anything that takes and gives the same.
GradientFunction = Callable[..., GradientLike]


@dataclass(frozen=True, eq=False)
class Trial:
    """One instance of one cell under check."""

    cell: Engine
    instance: Instance
    gradient: GradientFunction

    @property
    def graph(self) -> Graph:
        """The cell's step graph."""
        return self.cell.graph

    @cached_property
    def prober(self) -> Prober:
        """The perturbed runs."""
        return Prober(self.graph, self.instance)

    @property
    def tau(self) -> int:
        """The number of steps."""
        return self.instance.sizes["tau"]

    @property
    def n_b(self) -> int:
        """The number of batch rows."""
        return self.instance.sizes["n_b"]

    @cached_property
    def real_inputs(self) -> tuple[str, ...]:
        """The inputs that have a gradient."""
        return tuple(n for n, s in self.graph.inputs.items() if s.index is None)

    @cached_property
    def real_states(self) -> tuple[str, ...]:
        """The states whose initial value has a gradient."""
        known = {*self.graph.definitions, *self.real_inputs}
        states = (name for name in self.graph.states if name in known)
        return tuple(n for n in states if counted_by(self.graph, n) is None)

    def ask(self, **options: Any) -> GradientLike:
        """The gradient under test, with other options than the instance's."""
        return self.gradient(
            self.instance.params, self.instance.inputs,
            **{**self.instance.options, **options},
        )  # fmt: skip

    @cached_property
    def plain(self) -> GradientLike:
        """The gradient of the parameters alone."""
        return self.ask()

    @cached_property
    def full(self) -> GradientLike:
        """The gradient of everything: another program than `plain`."""
        return self.ask(
            nodes=tuple(self.graph.definitions), input_gradient=True,
            initial_gradient=True,
        )  # fmt: skip

    @cached_property
    def scale(self) -> float:
        """The largest parameter or input gradient of the instance, by its own claim."""
        arrays = [self.plain[name] for name in self.graph.parameters]
        arrays += [self.full.inputs[name] for name in self.real_inputs]
        finite = [float(np.max(np.abs(a))) for a in arrays if np.all(np.isfinite(a))]
        return max(finite, default=1.0)

    def claimed(self, target: Moved) -> Array:
        """What the gradient under test says of a target."""
        if target.kind in ("parameter", "copy"):
            return self.read(self.plain, target)
        found = self.read(self.full, target)
        if np.isfinite(found).all() or self.is_finite(target):
            return found
        # An infinite ∇ of another node, as that of a probability of 0, times 0 is NaN:
        # in NumPy, too, or it is the mistake of what is under test.
        return self.read(self._alone(target), target)

    def is_finite(self, target: Moved) -> bool:
        """Whether NumPy's gradient of a target is, where everything is asked for."""
        found = self.read(self.roundings.gradients[0], target)
        return bool(np.isfinite(found).all())

    def _alone(self, target: Moved) -> GradientLike:
        """The gradient under test, of one target and the parameters."""
        return self.ask(
            nodes=(target.name,) if target.kind == "node" else (),
            input_gradient=target.kind == "input",
            initial_gradient=target.kind == "initial",
        )  # fmt: skip

    def targets(self) -> tuple[Moved, ...]:
        """Everything whose gradient is checked."""
        return (
            *(Moved("parameter", name) for name in self.graph.parameters),
            *(Moved("node", name) for name in self.graph.definitions),
            *(Moved("input", name) for name in self.real_inputs),
            *(Moved("initial", name) for name in self.real_states),
        )

    # ----- rows -----

    def relative(
        self, found: Any, oracle: Any, target: Moved, times: float = 1.0,
        noise: Array | float = 0.0,
    ) -> Error:  # fmt: skip
        """Max |difference| / max |oracle|; see `Row.error` for a vanishing oracle.

        target: whose gradient it is; one that cancels is compared to its terms; times:
        how many times the gradient of the instance; noise: how far rounding moves the
        oracle.
        """
        found, oracle = np.asarray(found), np.asarray(oracle)

        def rounding() -> Array:
            return times * self.rounding_of(target, found.shape) + noise

        return measured(found, oracle, self.size_of(oracle), rounding)

    def rounding_of(self, target: Moved, shape: tuple[int, ...] | None = None) -> Array:
        """How far rounding moves the gradient of a target.

        shape: of the gradient as it is; where it has another, along the basis.
        """
        moved = [self.read(grad, target) for grad in self._rounded(target)]
        if moved[0].shape != shape:
            moved = [self.prober.along(target, array) for array in moved]
        return spread(moved)

    def _rounded(self, target: Moved) -> list[Gradient]:
        """Gradients rounded otherwise; of the target alone where others make it NaN."""
        if target.kind in ("parameter", "copy"):
            return self.roundings.plain
        every = self.roundings.gradients
        if self.is_finite(target):
            return every
        if target.kind == "node":
            return self.roundings.of_node(target.name)
        return self.roundings.of_leaves(
            self.real_inputs if target.kind == "input" else ()
        )

    @cached_property
    def roundings(self) -> Roundings:
        """The gradient as rounding moves it."""
        return Roundings(self.cell, self.instance)

    def read(self, grad: GradientLike, target: Moved) -> Array:
        """A target's part of a gradient of everything; a copy is (tau, *shape)."""
        if target.kind == "parameter":
            return np.asarray(grad[target.name])
        if target.kind == "copy":
            copies = grad.copies[target.name]
            return np.stack([np.asarray(copies[t]) for t in range(self.tau)])
        if target.kind == "initial":
            return np.asarray(take_apart(self.graph, grad.initial)[target.name])
        table = {"node": grad.nodes, "input": grad.inputs}[target.kind]
        return np.asarray(table[target.name])

    def size_of(self, array: Array) -> float:
        """What an error is relative to: max |array|, if it is more than rounding.

        A gradient that is 0 by cancellation (a maximum subtracted before a softmax)
        is noise, and has no relative error of its own.
        """
        return max(largest(array), self.floor)

    @property
    def floor(self) -> float:
        """Below this a gradient is small beside the others, or beside 1."""
        return max(SCALE_FLOOR * self.scale, ABSOLUTE_FLOOR)

    def row(
        self, what: str, how: str, error: Error, tolerance: float, **more: Any
    ) -> Row:
        """A row that passes if the error is within the tolerance; NaN never is.

        error: or why there is none, and the row is not checked.
        """
        if isinstance(error, str):
            return self.unchecked(what, how, tolerance, error)
        status = PASSED if error <= tolerance else FAILED
        return Row(
            what, how, error, tolerance, status, self.instance.number,
            self.instance.seed, **more,
        )  # fmt: skip

    def unchecked(self, what: str, how: str, tolerance: float, note: str) -> Row:
        """A row without a claim."""
        return Row(
            what, how, None, tolerance, NOT_CHECKED, self.instance.number,
            self.instance.seed, note=note,
        )  # fmt: skip

    def near_kink(self, epsilon: float) -> str:
        """Why a perturbation of this size proves nothing here; empty if it does."""
        distance = self.prober.kinks.distance
        if distance > KINK_MARGIN * epsilon:
            return ""
        return (
            f"a kink lies {distance:.1e} away, within 10 epsilon = {10 * epsilon:.0e}"
        )


def label(context: Trial, target: Moved) -> str:
    """∇_W, ∇_{h^(t)}, ∇_{x^(t)}, ∇_{h^(0)}, or ∇_{h^(tau+1)} of a backward state."""
    if target.kind == "parameter":
        return f"∇_{target.name}"
    step = "t"
    if target.kind == "initial":
        step = "0" if context.graph.lag(target.name) < 0 else "tau+1"
    return f"∇_{target.name}^({step})"
