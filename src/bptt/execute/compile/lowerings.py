"""How each elementwise operation becomes vector code: the second table of operations.

One row per elementwise operation of `ops.OPS`; a test compares the keys. A row gets the
emitter and the operands' vectors. The error bounds are those of `vmath`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bptt.execute.codegen import vmath
from bptt.execute.codegen.emit import Emitter
from bptt.execute.codegen.error_function import erf
from bptt.step.graph import Node
from bptt.step.table import Table

Value = Any
Lowering = Callable[..., Value]


def _relu(e: Emitter, x: Value) -> Value:
    # Not a maximum: relu(NaN) must stay NaN, and -0.0 become 0.
    is_low = e.builder.fcmp_ordered("<=", x, e.constant(0.0))
    return e.builder.select(is_low, e.constant(0.0), x)


def _sign(e: Emitter, x: Value) -> Value:
    zero = e.constant(0.0)
    above = e.builder.select(e.builder.fcmp_ordered(">", x, zero), e.constant(1.0), x)
    return e.builder.select(
        e.builder.fcmp_ordered("<", x, zero), e.constant(-1.0), above
    )


def _compare(relation: str) -> Lowering:
    def emit(e: Emitter, x: Value, y: Value) -> Value:
        is_true = e.builder.fcmp_ordered(relation, x, y)
        return e.builder.select(is_true, e.constant(1.0), e.constant(0.0))

    return emit


LOWERINGS: Table[Lowering] = Table(
    "LOWERINGS",
    "execute/compile/lowerings.py",
    {
        "add": lambda e, x, y: e.builder.fadd(x, y),
        "sub": lambda e, x, y: e.builder.fsub(x, y),
        "mul": lambda e, x, y: e.builder.fmul(x, y),
        "div": lambda e, x, y: e.builder.fdiv(x, y),
        "pow": vmath.power,
        "neg": lambda e, x: e.builder.fneg(x),
        "maximum": vmath.maximum,
        "minimum": vmath.minimum,
        "greater": _compare(">"),
        "greater_equal": _compare(">="),
        "where": vmath.where,
        "tanh": vmath.tanh,
        "sigmoid": vmath.sigmoid,
        "relu": _relu,
        "softplus": vmath.softplus,
        "exp": vmath.exp,
        "log": vmath.log,
        "sqrt": vmath.sqrt,
        "sin": vmath.sin,
        "cos": vmath.cos,
        "abs": vmath.absolute,
        "sign": _sign,
        "floor": lambda e, x: e.unary("floor", x),
        "round": lambda e, x: e.unary("rint", x),
        "expm1": vmath.expm1,
        "erf": erf,
        "with_derivative": lambda e, x, y: x,
    },
)

# Worth storing once and reading back rather than computing twice.
COSTLY = frozenset(
    {"tanh", "sigmoid", "softplus", "exp", "log", "sin", "cos", "pow", "sqrt", "div",
     "expm1", "erf"}
)  # fmt: skip


def lower(e: Emitter, node: Node, operands: list[Value]) -> Value:
    """The vector of an elementwise node, given its operands'."""
    if node.op == "pow" and node.inputs[1].op == "constant":
        special = _constant_power(e, operands[0], node.inputs[1].data)
        if special is not None:
            return special
    return LOWERINGS[node.op](e, *operands)


def _constant_power(e: Emitter, x: Value, exponent: Any) -> Value | None:
    """Small whole powers as products, square roots as such; None for the rest."""
    if exponent in (0.5, -0.5):
        root = vmath.sqrt(e, x)
        return root if exponent > 0 else e.builder.fdiv(e.constant(1.0), root)
    if exponent not in (1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0):
        return None
    result = x
    for _ in range(int(abs(exponent)) - 1):
        result = e.builder.fmul(result, x)
    return result if exponent > 0 else e.builder.fdiv(e.constant(1.0), result)
