"""Numbers that a text says: expressions of numbers alone are computed when read."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping

from bptt.language.tree import Piece

_FOLDS: Mapping[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "greater": lambda a, b: float(a > b),
    "greater_equal": lambda a, b: float(a >= b),
    "floor": lambda a: float(math.floor(a)),
}


def fold(expr: Piece) -> Piece:
    """The number of an expression of numbers; one branch where a condition is one.

    A branch that is never taken is not part of the step: `where(l == 1, W @ x[t], 0)`.
    """
    if expr.op == "where" and expr.arguments[0].op == "constant":
        return expr.arguments[1 if expr.arguments[0].data else 2]
    if expr.op == "add":
        for part, other in (expr.arguments, expr.arguments[::-1]):
            if part.op == "constant" and part.data == 0.0:
                return other
    if any(part.op != "constant" for part in expr.arguments):
        return expr
    numbers = [part.data for part in expr.arguments]
    if expr.op == "div" and numbers[1]:
        return Piece("constant", (), expr.span, numbers[0] / numbers[1])  # type: ignore[operator]
    if expr.op in _FOLDS:
        return Piece("constant", (), expr.span, _FOLDS[expr.op](*numbers))
    return expr


def whole(node: ast.expr) -> int | None:
    """A whole number with its sign, or None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = whole(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


def step_number(node: ast.expr, known: Mapping[str, int]) -> int | None:
    """The whole number that `t - 2**k` comes to where names are known, else None."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if not isinstance(node, ast.BinOp):
        return whole(node)
    left, right = (step_number(part, known) for part in (node.left, node.right))
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Add | ast.Sub):
        return left + right if isinstance(node.op, ast.Add) else left - right
    if isinstance(node.op, ast.Mult):
        return left * right
    is_power = isinstance(node.op, ast.Pow) and 0 <= right < 10 and abs(left) < 10
    return int(left**right) if is_power else None
