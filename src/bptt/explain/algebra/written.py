"""What only the lines of the language of cells need: parts, and its own functions."""

from __future__ import annotations

from dataclasses import dataclass

from bptt.explain.algebra.expr import Element, Expr


@dataclass(frozen=True)
class NablaPart(Expr):
    """∇_{S_j} L: the gradient of a part."""

    of: Element


@dataclass(frozen=True)
class IncomingPart(Expr):
    """What arrives from outside at a part."""

    of: Element


@dataclass(frozen=True)
class Called(Expr):
    """A function of the language of cells: where(c, u, v); along an index, max_j(u)."""

    function: str
    arguments: tuple[Expr, ...]
    along: str = ""


@dataclass(frozen=True)
class Joined(Expr):
    """[u; v]: vectors, one below the other."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True)
class GivenBack(Expr):
    """What a reader gives back to a gradient, a term of it: ∇_S L ← o."""

    of: Expr
    reader: Expr
