"""The element form of an expression: (A b)_i = Σ_j A_ij b_j.

Element form comes before matrix form on every card, and it is derived from the matrix
form here, so the two cannot drift apart.
"""

from __future__ import annotations

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.shape import SCALAR, Shape, shape_of
from bptt.step.ops import OPS

FREE = ("k", "l", "m", "i", "j")
Index = str | e.Value


def elements(expr: Expr, indices: tuple[str, ...], scope: Scope) -> Expr | None:
    """The element of an expression at row (and column) letters, indices pushed inside.

    indices: one letter for a column, two for a matrix, none for a scalar. None where
    more letters would be needed than there are.
    """
    try:
        return _Indexer(scope, indices).at(expr, indices)
    except _TooManyIndicesError:
        return None


class _TooManyIndicesError(Exception):
    """An element form would need more letters than there are."""


class _Indexer:
    """Pushes indices inside; a sum takes a letter that nothing around it uses."""

    def __init__(self, scope: Scope, taken: tuple[str, ...]) -> None:
        self._scope = scope
        self._taken = list(taken)

    def at(self, expr: Expr, indices: tuple[Index, ...]) -> Expr:
        shape = shape_of(expr, self._scope)
        if shape == SCALAR:
            return self._inside(expr, ())
        if shape[1] == 1:
            indices = indices[:1]
        elif shape[0] == 1:
            indices = indices[-1:]
        return self._inside(expr, indices)

    def _inside(self, expr: Expr, at: tuple[Index, ...]) -> Expr:
        if isinstance(expr, e.Sum):
            return e.Sum(tuple(self.at(term, at) for term in expr.terms))
        if isinstance(expr, e.Negative):
            return e.Negative(self.at(expr.of, at))
        if isinstance(expr, e.Hadamard):
            return e.product(*(self.at(factor, at) for factor in expr.factors))
        if isinstance(expr, e.Quotient):
            return e.Quotient(self.at(expr.top, at), self.at(expr.bottom, at))
        if isinstance(expr, e.Power):
            return e.Power(self.at(expr.of, at), self.at(expr.exponent, at))
        if isinstance(expr, e.Product):
            return self._product(expr.factors, at)
        if isinstance(expr, e.Applied) and OPS[expr.function].is_elementwise:
            parts = tuple(self.at(argument, at) for argument in expr.arguments)
            return e.Applied(expr.function, parts, expr.data)
        return self._leaf(expr, at) if at else expr

    def _leaf(self, expr: Expr, at: tuple[Index, ...]) -> Expr:
        if isinstance(expr, e.Diag):
            return e.product(_delta(at), self.at(expr.of, at[:1]))
        if isinstance(expr, e.Identity):
            return _delta(at)
        if isinstance(expr, e.Applied) and expr.function == "lookup":
            column = expr.arguments[1]
            assert isinstance(column, e.Value)
            return self.at(expr.arguments[0], (at[0], column))
        if isinstance(expr, e.UnitVector):
            return _delta((at[0], expr.index))
        if isinstance(expr, e.Ones):
            return e.Number(1.0)
        if isinstance(expr, e.Transpose):
            return self.at(expr.of, at[::-1])
        if isinstance(expr, e.Sigma):
            body = self.at(expr.body, at)
            return e.Sigma(expr.index, expr.lower, expr.upper, body)
        if isinstance(expr, e.Jacobian):
            return self._jacobian(expr, at)
        return e.Element(expr, at)

    def _jacobian(self, expr: e.Jacobian, at: tuple[Index, ...]) -> Expr:
        rows, columns = shape_of(expr, self._scope)
        target, source = expr.target, expr.source
        if rows != 1:
            target = e.Element(target, at[:1])
        if columns != 1:
            source = e.Element(source, at[-1:])
        return e.Jacobian(target, source, expr.total)

    def _product(self, factors: tuple[Expr, ...], at: tuple[Index, ...]) -> Expr:
        scales = [f for f in factors if shape_of(f, self._scope) == SCALAR]
        rest = [f for f in factors if shape_of(f, self._scope) != SCALAR]
        if not rest:
            return e.product(*(self.at(f, ()) for f in scales))
        body = self._chain(tuple(rest), at)
        return e.product(*(self.at(f, ()) for f in scales), body)

    def _chain(self, factors: tuple[Expr, ...], at: tuple[Index, ...]) -> Expr:
        first, rest = factors[0], factors[1:]
        if not rest:
            return self.at(first, at)
        inner = shape_of(first, self._scope)[1]
        tail: Shape = shape_of(e.Product(rest), self._scope)
        row, column = self._ends(first, tail, at)
        if isinstance(first, e.Diag):
            left = self.at(first.of, row)
            return e.product(left, self._chain(rest, (*row, *column)))
        if isinstance(rest[0], e.Diag) and len(rest) == 1:
            return e.product(self.at(first, (*row, *column)),
                             self.at(rest[0].of, column))  # fmt: skip
        if inner == 1:
            return e.product(self.at(first, row), self._chain(rest, column))
        free = [letter for letter in FREE if letter not in self._taken]
        if not free:
            raise _TooManyIndicesError(f"more than {len(FREE)} indices at once")
        self._taken.append(free[0])
        body = e.product(
            self.at(first, (*row, free[0])), self._chain(rest, (free[0], *column))
        )
        self._taken.pop()
        return e.Sigma(free[0], e.FIRST, inner, body)

    def _ends(
        self, first: Expr, tail: Shape, at: tuple[Index, ...]
    ) -> tuple[tuple[Index, ...], tuple[Index, ...]]:
        """The row letter of the first factor and the column letter of the rest."""
        has_row = shape_of(first, self._scope)[0] != 1
        has_column = tail[1] != 1
        row = at[:1] if has_row else ()
        return row, at[-1:] if has_column else ()


def _delta(at: tuple[Index, ...]) -> Expr:
    first, second = at
    if not isinstance(first, str):
        first, second = second, first
    assert isinstance(first, str)
    return e.Delta(first, second)
