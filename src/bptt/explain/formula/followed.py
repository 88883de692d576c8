"""Follow a recursion for ∇_{h^(t)} L through the steps, with its own results.

A formula may look right at one step, where it is given the true gradient of the next.
Followed from t = tau to 1 it must live on what it computed itself, as code does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.point import Point
from bptt.step.shapes import Array


@dataclass(frozen=True, eq=False)
class Followed(Point):
    """A point at which the gradient of one node is what a recursion gave.

    known: its results so far, by step; beyond tau a node and its gradient are 0.
    """

    name: str = ""
    known: dict[int, Array] = field(default_factory=dict)

    def value(self, name: str, t: int | None) -> Array:
        """As of the point; 0 at step tau + 1."""
        if t is not None and t > self.tau:
            return np.zeros_like(super().value(name, self.tau))
        return super().value(name, t)

    def gradient(self, name: str, t: int | None) -> Array:
        """What the recursion gave for the followed node, the truth for any other."""
        if t is not None and t > self.tau:
            return np.zeros_like(super().gradient(name, self.tau))
        if name == self.name and t in self.known:
            return self.known[t]
        return super().gradient(name, t)


Step = Callable[[Point, int], Array]


def follow(point: Point, name: str, step: Step) -> Followed:
    """Run a recursion for the gradient of a node from t = tau to 1.

    step: (point, t) -> the gradient at t, reading the point's gradient at t + 1.
    """
    found = Followed(
        point.scope, point.graph, point.sizes, point.weights, point.seeds, point.label,
        name=name,
    )  # fmt: skip
    for t in range(point.tau, 0, -1):
        found.known[t] = step(found, t)
    return found


def follow_formula(point: Point, name: str, formula: Expr) -> Followed:
    """Follow a formula for the gradient of a node at step t."""
    return follow(point, name, lambda at, t: evaluate(formula, at, t))


def compare(found: Array, right: Array) -> tuple[float, float]:
    """The relative error and the cosine of a gradient to the right one."""
    error = float(np.linalg.norm(found - right) / np.linalg.norm(right))
    size = float(np.linalg.norm(found) * np.linalg.norm(right))
    return error, float(np.sum(found * right) / size) if size else 0.0


# ----- what NumPy does with one-dimensional arrays -----


def as_one_dimensional(expr: Expr, point: Point, t: int) -> Array:
    """The value of a formula coded literally with one-dimensional NumPy arrays.

    A column is a one-dimensional array, so W.T @ g @ np.diag(d) runs, and is (W.T @ g)
    times the matrix from the right; the result is wrong without a word.
    Raises: ValueError where NumPy refuses the shapes, too.
    """
    return np.asarray(_flat(expr, point, t))


def _flat(expr: Expr, point: Point, t: int) -> Any:
    if isinstance(expr, e.Product):
        result = _flat(expr.factors[0], point, t)
        for factor in expr.factors[1:]:
            value = _flat(factor, point, t)
            is_scale = np.ndim(result) == 0 or np.ndim(value) == 0
            result = result * value if is_scale else result @ value
        return result
    if isinstance(expr, e.Hadamard):
        result = _flat(expr.factors[0], point, t)
        for factor in expr.factors[1:]:
            result = result * _flat(factor, point, t)
        return result
    if isinstance(expr, e.Sum):
        return sum(_flat(term, point, t) for term in expr.terms)
    if isinstance(expr, e.Negative):
        return -_flat(expr.of, point, t)
    if isinstance(expr, e.Power):
        return _flat(expr.of, point, t) ** _flat(expr.exponent, point, t)
    if isinstance(expr, e.Diag):
        return np.diag(_flat(expr.of, point, t))
    if isinstance(expr, e.Transpose):
        return np.transpose(_flat(expr.of, point, t))
    value = evaluate(expr, point, t)
    if value.size == 1:
        return value[0, 0]
    return value[:, 0] if value.shape[1] == 1 else value
