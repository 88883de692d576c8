"""A displayed line as NumPy code: vectors are columns, of shape (n, 1), numbers (1, 1).

∇_h^(t) L = W^T diag(1 - (h^(t+1))^2) ∇_h^(t+1) L + V^T ∇_o^(t) L,  1 <= t <= tau - 1

for t in range(tau - 1, 0, -1):
    grad_h[t] = W.T @ np.diagflat(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Time
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.shape import SCALAR, FormulaShapeError, shape_of
from bptt.explain.notation.plain import to_ascii

# What NumPy has under its own name.
OWN = ("tanh", "exp", "log", "sqrt", "sin", "cos", "abs", "sign", "maximum", "minimum",
       "expm1", "floor", "round", "where")  # fmt: skip
WRITTEN = {
    "sigmoid": "1 / (1 + np.exp(-({0})))",
    "relu": "np.maximum({0}, 0)",
    "softplus": "np.logaddexp(0, {0})",
    "softmax": "np.exp({0}) / np.exp({0}).sum()",
    "mean": "np.mean({0})",
    "diag": "np.diagflat({0})",
    "eye": "np.eye({0})",
    "ones": "np.ones(({0}, 1))",
    "stop_gradient": "({0})",
}
_CALL = re.compile(r"\b([a-z_0-9]+)\(")


class _NoCodeError(Exception):
    """Something in a line has no plain NumPy."""


def numpy_code(
    left: Expr, right: Expr, bounds: tuple[Time | None, Time | None], scope: Scope
) -> str:
    """`left = right` for every step of the bounds; "" if it is not so written.

    A gradient's steps run backwards; a Jacobian has the name of its ends and the step
    of the upper one, dh_da[t]. Not written are lines element by element.
    """
    first, last = bounds
    parts = [part for side in (left, right) for part in e.walk(side)]
    if any(isinstance(part, e.Delta | e.Element) for part in parts):
        return ""
    try:
        value = _translated(to_ascii(_scaled(right, scope)))
        if isinstance(left, e.Nabla) and _is_number(right):
            value = f"np.array([[{value}]])"
        line = f"{_translated(to_ascii(left))} = {value}"
    except _NoCodeError:
        return ""
    if first is None or last is None or first == last:
        return line
    steps = f"{_bound(last)}, {_bound(first.moved(-1))}, -1"
    if _is_ascending(left, parts):
        steps = f"{_bound(first)}, {_bound(last.moved(1))}"
    return f"for t in range({steps}):\n    {line}"


def _scaled(expr: Expr, scope: Scope) -> Expr:
    """The same, where a number in a product of matrices multiplies by *, not by @."""

    def rule(part: Expr) -> Expr:
        if not isinstance(part, e.Product):
            return part
        numbers = [f for f in part.factors if _is_scalar(f, scope)]
        others = [f for f in part.factors if not _is_scalar(f, scope)]
        if not numbers:
            return part
        return e.Hadamard((*numbers, *([e.product(*others)] if others else [])))

    return e.rebuild(expr, rule)


def _is_scalar(expr: Expr, scope: Scope) -> bool:
    if isinstance(expr, e.Hadamard):  # perhaps made by _scaled, of a number and others
        return all(_is_scalar(factor, scope) for factor in expr.factors)
    try:
        return shape_of(expr, scope) == SCALAR
    except FormulaShapeError:  # because of what _scaled made inside
        return False


def _is_number(expr: Expr) -> bool:
    """1, 1 / tau, w[t]: a number, and no value of a node."""
    return not any(isinstance(x, e.Value | e.Nabla | e.Incoming) for x in e.walk(expr))


def _is_ascending(left: Expr, parts: list[Expr]) -> bool:
    """Whether a line needs what an earlier step gave: a value, or a gradient at t-1."""
    times = [part.of.time for part in parts
             if isinstance(part, e.Nabla) and isinstance(part.of, e.Value)]  # fmt: skip
    is_back = any(time is not None and time.offset < 0 for time in times)
    return not isinstance(left, e.Nabla) or is_back


def _bound(time: Time) -> str:
    if not time.base:
        return str(time.offset)
    if not time.offset:
        return time.base
    return f"{time.base} {'+' if time.offset > 0 else '-'} {abs(time.offset)}"


def _translated(text: str) -> str:
    """Calls in the notation of formulas as calls of NumPy, from the left."""
    match = _CALL.search(text)
    if match is None:
        return text
    end = _closing(text, match.end())
    arguments = [_translated(part) for part in _split(text[match.end() : end])]
    called = _called(match.group(1), arguments)
    return text[: match.start()] + called + _translated(text[end + 1 :])


def _jacobian(target: str, source: str) -> str:
    name, bracket, step = target.partition("[")
    return f"d{name}_d{source.partition('[')[0]}{bracket}{step}"


def _closing(text: str, start: int) -> int:
    depth = 1
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if not depth:
            return i
    raise AssertionError(text)


def _split(text: str) -> Iterator[str]:
    """The arguments of a call."""
    depth, begin = 0, 0
    for i, character in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and not depth:
            yield text[begin:i].strip()
            begin = i + 1
    yield text[begin:].strip()


def _called(name: str, arguments: list[str]) -> str:
    if name in OWN:
        return f"np.{name}({', '.join(arguments)})"
    if name in WRITTEN and len(arguments) == 1:
        return WRITTEN[name].format(*arguments)
    if name == "one_hot":
        return f"np.eye({arguments[1]})[:, [{arguments[0]}]]"
    if name == "zeros":
        return f"np.zeros(({', '.join(arguments)}))"
    if name == "incoming":
        return f"seed_{arguments[0]}"
    if name == "partial":
        return _jacobian(*arguments)
    if name == "sum" and len(arguments) == 1:
        return f"np.sum({arguments[0]})"
    if name == "sum" and len(arguments) == 4:
        step, first, last, body = arguments
        return f"sum({body} for {step} in range({first}, {last} + 1))"
    raise _NoCodeError(name)
