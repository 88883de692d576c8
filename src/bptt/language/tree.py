"""What a cell's text says, before any shape is known: equations and declarations."""

from __future__ import annotations

from dataclasses import dataclass

from bptt.errors import Span
from bptt.step.graph import Initial

LOSS = "L"
RESERVED = frozenset({"t", "tau", "n_b"})
# Arguments beside which sizes are given by name: init(n_h=128, seed=0).
ARGUMENTS = frozenset((
    "self", "cell", "seed", "dtype", "device", "inputs", "params", "initial",
    "reduction", "weights", "lengths", "outputs",
))  # fmt: skip


@dataclass(frozen=True)
class Expr:
    """One piece of an equation: an operation on pieces, a read of a name, or a number.

    op: a key of `OPS`, or "constant", "parameter" (a bare name), "read" (`name[t +
    lag]`, data = (name, lag)), "product" (`@`), "lookup" (`M[:, i]`).
    """

    op: str
    arguments: tuple[Expr, ...]
    span: Span
    data: object = None


@dataclass(frozen=True)
class Equation:
    """`name[t] = expression`."""

    name: str
    expression: Expr
    span: Span


@dataclass(frozen=True)
class Declaration:
    """`name: shape` or `name: shape = initial`."""

    name: str
    shape: tuple[str | int, ...]
    initial: Initial | None
    span: Span
