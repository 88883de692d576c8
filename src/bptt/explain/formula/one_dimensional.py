"""What NumPy makes of a formula that is coded with one-dimensional arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import Evaluator
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.point import Point
from bptt.step.shapes import Array


def as_one_dimensional(expr: Expr, point: Point, steps: Mapping[str, int]) -> Array:
    """The value of a formula coded literally with one-dimensional NumPy arrays.

    A column is a one-dimensional array, so W.T @ g @ np.diag(d) runs, and is (W.T @ g)
    times the matrix from the right; the result is wrong without a word.
    Raises: ValueError where NumPy refuses the shapes, too.
    """
    return np.asarray(_flat(expr, Evaluator(point, steps)))


def _flat(expr: Expr, ev: Evaluator) -> Any:
    if isinstance(expr, e.Product):
        result = _flat(expr.factors[0], ev)
        for factor in expr.factors[1:]:
            value = _flat(factor, ev)
            is_scale = np.ndim(result) == 0 or np.ndim(value) == 0
            result = result * value if is_scale else result @ value
        return result
    if isinstance(expr, e.Hadamard):
        result = _flat(expr.factors[0], ev)
        for factor in expr.factors[1:]:
            result = result * _flat(factor, ev)
        return result
    if isinstance(expr, e.Sum):
        return sum(_flat(term, ev) for term in expr.terms)
    if isinstance(expr, e.Negative):
        return -_flat(expr.of, ev)
    if isinstance(expr, e.Power):
        return _flat(expr.of, ev) ** _flat(expr.exponent, ev)
    if isinstance(expr, e.Diag):
        return np.diag(_flat(expr.of, ev))
    if isinstance(expr, e.Transpose):
        return np.transpose(_flat(expr.of, ev))
    if isinstance(expr, e.Quotient):
        return _flat(expr.top, ev) / _flat(expr.bottom, ev)
    if isinstance(expr, e.Sigma) and isinstance(expr.upper, e.Time):
        steps = range(expr.lower.at(ev.steps), expr.upper.at(ev.steps) + 1)
        moved = (ev.at_index(expr.index, step) for step in steps)
        return sum(_flat(expr.body, inner) for inner in moved)
    value = ev(expr)
    if value.size == 1:
        return value[0, 0]
    return value[:, 0] if value.shape[1] == 1 else value
