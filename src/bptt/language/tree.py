"""What a cell's text says, before any shape is known: equations and declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bptt.errors import Span
from bptt.step.graph import Initial

LOSS = "L"
RESERVED = frozenset({"t", "tau", "n_b"})
# Arguments beside which sizes are given by name: init(n_h=128, seed=0).
ARGUMENTS = frozenset((
    "self", "cell", "seed", "dtype", "device", "inputs", "params", "initial",
    "reduction", "weights", "lengths", "outputs", "memory", "checkpoint", "truncate",
))  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One piece of an equation: an operation on pieces, a read of a name, or a number.

    op: a key of `OPS`, or "constant", "parameter" (a bare name), "read" (`name[t +
    lag]`, data = (name, lag); the lag of `name[tau]` is "tau"), "product" (`@`),
    "lookup" (`M[:, i]`), "clock" (`t` or `tau`, data), "over_t" (`sum(t, u)`, data =
    "sum").
    """

    op: str
    arguments: tuple[Piece, ...]
    span: Span
    data: object = None

    @property
    def text(self) -> str:
        """As it was written."""
        return self.span.text

    @property
    def name(self) -> str:
        """The name that is read, bare or at a step."""
        return str(self.data[0] if isinstance(self.data, tuple) else self.data)

    @property
    def lag(self) -> object:
        """The step of a read, against t."""
        assert isinstance(self.data, tuple)
        return self.data[1]

    def parts(self) -> Iterator[Piece]:
        """It and everything in it, each once."""
        seen: set[int] = set()
        stack = [self]
        while stack:
            part = stack.pop()
            number = id(part)  # order-free: an address tells two pieces apart
            if number not in seen:
                seen.add(number)
                yield part
                stack.extend(part.arguments)


def read(name: str, lag: int, span: Span) -> Piece:
    """`name[t + lag]`."""
    return Piece("read", (), span, (name, lag))


def bare_names(expr: Piece) -> tuple[str, ...]:
    """The names that an expression reads without a step, each once."""
    found = (part.name for part in expr.parts() if part.op == "parameter")
    return tuple(dict.fromkeys(found))


def reads_end(expr: Piece) -> bool:
    """Whether an expression is known after the last step alone."""
    return any(
        part.op == "over_t"
        or (part.op == "read" and part.lag == "tau")
        or (part.op == "clock" and part.data == "tau")
        for part in expr.parts()
    )


@dataclass(frozen=True)
class Equation:
    """`name[t] = expression`.

    when: "t"; "" for `name = `, "0" and "tau+1" for the start of a loop, `name[0] = `.
    """

    name: str
    expression: Piece
    span: Span
    when: str = "t"


@dataclass(frozen=True)
class Declaration:
    """`name: shape` or `name: shape = initial`.

    is_input: `name: shape = input`, one value per row for all steps.
    """

    name: str
    shape: tuple[str | int, ...]
    initial: Initial | None
    span: Span
    is_input: bool = False
