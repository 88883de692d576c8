"""The displayed expression tree: what equations, numbers and pictures are made from.

    W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1]
      = Product((Transpose(W), Diag(Sum((1, Negative(Power(h^(t+1), 2))))),
                 Gradient(h^(t+1))))

Expressions are immutable and compared by value. Every value is a matrix here: a vector
is a column, a scalar is 1 by 1, so a product has one meaning and one order. `shape.py`
says the shape of each kind, `evaluate.py` its meaning, the printers how it is written.

Two derivatives have two notations, never one symbol for both:

    Jacobian           ∂y/∂x   immediate: along the edge from x to y, everything else
                               held. Where no edge joins the two, through the equations
                               of y's own step that lie between (o -> ŷ -> L).
    Jacobian(total)    dy/dx   total: along every path from x to y.
    Gradient           ∇_x L   total: along every path from x to the loss L, a column,
                               or the shape of x for a matrix.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Span = tuple[int, int]


_PARTS: dict[type[Expr], tuple[str, ...]] = {}


def parts_of(kind: type[Expr]) -> tuple[str, ...]:
    """The names of the fields of a kind of expression, its place in the text aside."""
    if kind not in _PARTS:
        _PARTS[kind] = tuple(f.name for f in fields(kind) if f.name != "span")
    return _PARTS[kind]


@dataclass(frozen=True)
class Time:
    """A step: `t`, `t+1`, `tau`, or a number (base "")."""

    base: str = "t"
    offset: int = 0

    def at(self, steps: Mapping[str, int]) -> int:
        """The number of the step; steps: the values of t, s and tau."""
        return (steps[self.base] if self.base else 0) + self.offset

    def moved(self, by: int) -> Time:
        """The step `by` later."""
        return Time(self.base, self.offset + by)

    def __str__(self) -> str:
        if not self.base:
            return str(self.offset)
        return f"{self.base}{self.offset:+d}" if self.offset else self.base


T = Time()
TAU = Time("tau")
FIRST = Time("", 1)
START = Time("", 0)


@dataclass(frozen=True)
class Expr:
    """Base of all kinds; `span` is where a reader wrote it, if one did."""

    span: Span | None = field(default=None, compare=False, repr=False, kw_only=True)

    @property
    def children(self) -> tuple[Expr, ...]:
        """The expressions that this one is made of, in order."""
        found: list[Expr] = []
        for name in parts_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, Expr):
                found.append(value)
            elif isinstance(value, tuple):
                found.extend(part for part in value if isinstance(part, Expr))
        return tuple(found)


# ----- leaves -----


@dataclass(frozen=True)
class Number(Expr):
    """A number, a scalar."""

    value: float


@dataclass(frozen=True)
class Size(Expr):
    """The size of a named dimension, or tau: a scalar."""

    dim: str


@dataclass(frozen=True)
class Value(Expr):
    """h^(t), x^(t), h^(0); W, and with a time its copy W^(t); L alone is the total."""

    name: str
    time: Time | None = None


@dataclass(frozen=True)
class Nabla(Expr):
    """∇_x L: the total derivative of L with respect to a node, copy or parameter."""

    of: Value


@dataclass(frozen=True)
class Incoming(Expr):
    """The gradient that arrives at a node from outside, of a cell without a loss."""

    of: Value


@dataclass(frozen=True)
class Weight(Expr):
    """w_t, the weight of L^(t) in L: 1 for a sum, 1/tau for a mean."""

    time: Time


@dataclass(frozen=True)
class Identity(Expr):
    """The identity matrix of a dimension."""

    dim: str | int


@dataclass(frozen=True)
class Ones(Expr):
    """A column of ones."""

    dim: str | int


@dataclass(frozen=True)
class Zeros(Expr):
    """A matrix of zeros."""

    rows: str | int
    columns: str | int


@dataclass(frozen=True)
class UnitVector(Expr):
    """e_y, the column that is 1 at the class or token y and 0 elsewhere."""

    index: Value
    dim: str | int


@dataclass(frozen=True)
class Delta(Expr):
    """Kronecker's δ_ij; with a class y as the second index, 1 where i = y."""

    first: str
    second: str | Value


@dataclass(frozen=True)
class Written(Expr):
    """What the language of cells writes: a side of an equation with indices.

    What it is worth is found by reading it (`indices.check`). typeset: the same as a
    formula, which LaTeX and MathML show; None where it is shown as typed.
    """

    text: str
    typeset: Expr | None = field(default=None, compare=False)


# ----- parts and derivatives -----


@dataclass(frozen=True)
class Element(Expr):
    """One element, h_i or W_ij; an index is a letter, or a class y."""

    of: Expr
    indices: tuple[str | Value, ...]


@dataclass(frozen=True)
class Jacobian(Expr):
    """∂target/∂source, or with `total` the derivative along all paths.

    (∂y/∂x)_ij = ∂y_i/∂x_j. Either end may be an element; both ends elements is a
    scalar.
    """

    target: Value | Element
    source: Value | Element
    total: bool = False


# ----- operations -----


@dataclass(frozen=True)
class Transpose(Expr):
    """A^T."""

    of: Expr


@dataclass(frozen=True)
class Diag(Expr):
    """diag(v): the square matrix with the vector v on its diagonal."""

    of: Expr


@dataclass(frozen=True)
class Product(Expr):
    """A B c: the matrix product, in this order; a scalar factor scales."""

    factors: tuple[Expr, ...]


@dataclass(frozen=True)
class Hadamard(Expr):
    """u ⊙ v: element by element."""

    factors: tuple[Expr, ...]


@dataclass(frozen=True)
class Quotient(Expr):
    """u / v: element by element."""

    top: Expr
    bottom: Expr


@dataclass(frozen=True)
class Power(Expr):
    """u^p: element by element."""

    of: Expr
    exponent: Expr


@dataclass(frozen=True)
class Sum(Expr):
    """u + v - w; a term to subtract is Negative."""

    terms: tuple[Expr, ...]


@dataclass(frozen=True)
class Negative(Expr):
    """-u."""

    of: Expr


@dataclass(frozen=True)
class Applied(Expr):
    """A function of `ops.OPS` or of `evaluate.EXTRA`: tanh(u), nll(p, y), max(u, v)."""

    function: str
    arguments: tuple[Expr, ...]
    data: float | None = None


@dataclass(frozen=True)
class Sigma(Expr):
    """Σ over a step (bounds are times) or over an index of a dimension, bounds shown.

    upper: a time when `index` is a step; the name of a dimension when it is a letter.
    """

    index: str
    lower: Time
    upper: Time | str | int
    body: Expr


@dataclass(frozen=True)
class StepProduct(Expr):
    """Π over a step: the factors from `lower` to `upper`, in this order.

    It runs down where the lower bound is the later step: Π_{s=tau}^{t+1}; a product of
    no factors is I. Which of two letters is the later one is known where it is written.
    """

    index: str
    lower: Time
    upper: Time
    body: Expr
    is_descending: bool


# ----- ways to build them -----


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything in it, from the outside in."""
    yield expr
    for child in expr.children:
        yield from walk(child)


def rebuild(expr: Expr, rule: Callable[[Expr], Expr]) -> Expr:
    """The expression with `rule` applied to every part, from the inside out."""
    return rule(mapped(expr, lambda part: rebuild(part, rule)))


def mapped(
    expr: Expr, change: Callable[[Expr], Expr],
    move: Callable[[Time], Time] | None = None,
) -> Expr:  # fmt: skip
    """The expression with its parts changed; itself where nothing changes."""
    changes: dict[str, Any] = {}
    for name in parts_of(type(expr)):
        value = getattr(expr, name)
        new: Any = value
        if isinstance(value, Expr):
            new = change(value)
        elif isinstance(value, Time):
            new = value if move is None else move(value)
        elif isinstance(value, tuple):
            new = tuple([change(v) if isinstance(v, Expr) else v for v in value])
            if all(map(operator.is_, new, value)):
                new = value
        if new is not value:
            changes[name] = new
    return _with(expr, changes) if changes else expr


def _with(expr: Expr, changes: Mapping[str, Any]) -> Expr:
    """`dataclasses.replace` of a kind without `__post_init__`, at a third of its time.

    A page replaces ten thousand parts.
    """
    found: Expr = object.__new__(type(expr))
    found.__dict__.update(expr.__dict__)
    found.__dict__.update(changes)
    return found


def at_step(expr: Expr, base: Time) -> Expr:
    """The expression with t replaced by another step; a bound t of a Σ stays."""

    def move(time: Time) -> Time:
        return base.moved(time.offset) if time.base == "t" else time

    if isinstance(expr, Sigma | StepProduct) and expr.index == "t":
        return expr
    return mapped(expr, lambda part: at_step(part, base), move)


def product(*factors: Expr) -> Expr:
    """A product, nested ones opened; factors 1 left out; a sign comes to the front."""
    opened: list[Expr] = []
    is_negative = False
    for factor in factors:
        inner = factor
        if isinstance(inner, Negative):
            is_negative, inner = not is_negative, inner.of
        if isinstance(inner, Product):
            opened.extend(inner.factors)
        elif inner != Number(1.0) and not isinstance(inner, Identity):
            opened.append(inner)
    if not opened:
        units = [factor for factor in factors if isinstance(factor, Identity)]
        result: Expr = units[0] if units else Number(1.0)
    else:
        result = opened[0] if len(opened) == 1 else Product(tuple(opened))
    return Negative(result) if is_negative else result


def scaled(scalar: Expr, *factors: Expr) -> Expr:
    """A product with a scalar in front that stays one factor, whatever it is made of.

    Opened, (1^T u) v would read 1^T u v, and A times it A 1^T u v, which does not fit.
    """
    body = product(*factors)
    if scalar == Number(1.0):
        return body
    if isinstance(scalar, Negative):
        return negative(scaled(scalar.of, body))
    if isinstance(body, Negative):
        return negative(scaled(scalar, body.of))
    rest = body.factors if isinstance(body, Product) else (body,)
    return scalar if body == Number(1.0) else Product((scalar, *rest))


def total(*terms: Expr) -> Expr:
    """A sum, nested ones opened."""
    opened: list[Expr] = []
    for term in terms:
        opened.extend(term.terms if isinstance(term, Sum) else (term,))
    return opened[0] if len(opened) == 1 else Sum(tuple(opened))


def minus(a: Expr, b: Expr) -> Expr:
    """a - b."""
    return total(a, negative(b))


def negative(a: Expr) -> Expr:
    """-a; two signs cancel; a sum's terms change sign one by one."""
    if isinstance(a, Negative):
        return a.of
    if isinstance(a, Sum):
        return Sum(tuple(negative(term) for term in a.terms))
    return Negative(a)


def transpose(a: Expr) -> Expr:
    """A^T, carried inwards: (AB)^T = B^T A^T; diagonal matrices and I are their own."""
    if isinstance(a, Transpose):
        return a.of
    if isinstance(a, Diag | Identity | Number | Weight | Size):
        return a
    if isinstance(a, Product):
        return Product(tuple(transpose(factor) for factor in reversed(a.factors)))
    if isinstance(a, Sum):
        return Sum(tuple(transpose(term) for term in a.terms))
    if isinstance(a, Negative):
        return Negative(transpose(a.of))
    if isinstance(a, Quotient) and isinstance(a.bottom, Number | Size):
        return Quotient(transpose(a.top), a.bottom)
    return Transpose(a)
