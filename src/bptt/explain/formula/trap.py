"""What a wrong recursion costs when it is coded and followed through all steps.

A formula whose shapes do not fit may still run: with one-dimensional NumPy arrays
W.T @ g @ np.diag(d) is computed without an error, and is not W.T @ np.diag(d) @ g. The
loss still falls, and nobody notices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.errors import ArgumentError
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr, Gradient, Value, walk
from bptt.explain.algebra.point import Point
from bptt.explain.formula.followed import Followed, as_one_dimensional, compare, follow
from bptt.explain.formula.mistakes import shape_problem
from bptt.explain.formula.reference import Reference
from bptt.step.shapes import Array

ROUNDING = 1e-10


@dataclass(frozen=True)
class Cost:
    """The gradient of one parameter: relative error and cosine to the right one."""

    parameter: str
    error: float
    cosine: float

    def __str__(self) -> str:
        if not np.isfinite(self.error):
            return f"∇_{self.parameter}: not finite"
        return (
            f"∇_{self.parameter}: relative error {self.error:.2g}, cosine "
            f"{self.cosine:.3f}"
        )


@dataclass(frozen=True)
class Trap:
    """A wrong recursion followed through all steps.

    is_silent: its shapes do not fit, but one-dimensional NumPy arrays let it run.
    """

    is_silent: bool
    costs: tuple[Cost, ...]
    label: str

    def __str__(self) -> str:
        how = (
            "As one-dimensional NumPy arrays it runs without an error and is wrong."
            if self.is_silent
            else "Its shapes fit, so nothing warns."
        )
        wrong = [cost for cost in self.costs if not cost.error <= ROUNDING]
        right = [f"∇_{cost.parameter}" for cost in self.costs if cost not in wrong]
        lines = [f"{how} Followed from t = tau to 1 ({self.label}):"]
        lines += [f"  {cost}" for cost in wrong]
        if right:
            lines.append(
                f"  {', '.join(right)} stay right, so checking them shows nothing"
            )
        return "\n".join(lines)


def find_trap(
    formula: Expr, name: str, point: Point, reference: Reference
) -> Trap | None:
    """Follow a formula for ∇ of a node; None where it cannot be run at all."""
    is_misshapen = bool(shape_problem(formula, point.scope))

    def step(at: Point, t: int) -> Array:
        if is_misshapen:
            return as_one_dimensional(formula, at, t)[:, None]
        return evaluate(formula, at, t)

    try:
        with np.errstate(all="ignore"):
            followed = follow(point, name, step)
            costs = tuple(_costs(followed, name, point, reference))
    except (ArgumentError, ValueError, IndexError, KeyError):
        return None
    return Trap(is_misshapen, costs, point.label) if costs else None


def _costs(
    followed: Followed, name: str, point: Point, reference: Reference
) -> list[Cost]:
    found = []
    for parameter in point.scope.graph.parameters:
        plain = reference.formulas(Gradient(Value(parameter)))[0]
        formula = reference.fold_onto(plain, name)
        right = point.gradient(parameter, None)
        if not right.any():
            continue
        reads = any(
            isinstance(p, Gradient) and p.of.name == name for p in walk(formula)
        )
        value = evaluate(formula, followed) if reads else right
        found.append(Cost(parameter, *compare(value, right)))
    return found
