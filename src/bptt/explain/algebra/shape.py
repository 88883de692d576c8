"""The shape of a displayed expression: rows and columns, in named dimensions.

Every product is checked before anything is evaluated, so a factor in the wrong place is
found whatever the numbers are. A vector is n by 1, a scalar 1 by 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr
from bptt.explain.sentences import SentenceError

if TYPE_CHECKING:
    from bptt.explain.algebra.point import Scope

Dim = str | int
Shape = tuple[Dim, Dim]
SCALAR: Shape = (1, 1)
VECTOR_CALLS = frozenset({"softmax", "log_softmax", "layer_norm", "cumsum"})
SCALAR_CALLS = frozenset({"nll", "nll_soft", "bce", "mse", "sum", "mean", "dot", "max"})


class FormulaShapeError(SentenceError):
    """The shapes of a formula's parts do not fit; `expr` is where."""

    def __init__(self, text_id: str, expr: Expr, **fields: Any) -> None:
        """Keep the part for the caller that knows the source text."""
        super().__init__(text_id, **fields)
        self.expr = expr


def show(shape: tuple[Dim, ...]) -> str:
    """`n_h×n_x`."""
    return "×".join(map(str, shape))


def shape_of(expr: Expr, scope: Scope) -> Shape:
    """The shape of an expression.

    Raises: FormulaShapeError if a product, sum or transpose does not fit.
    """
    return _RULES[type(expr)](expr, scope)


def _scalar(expr: Expr, scope: Scope) -> Shape:
    return SCALAR


def _element(expr: e.Element, scope: Scope) -> Shape:
    shape = shape_of(expr.of, scope)
    needed = 0 if shape == SCALAR else 1 if shape[1] == 1 else 2
    if needed != len(expr.indices):
        raise FormulaShapeError(
            "formula.element", expr, shape=show(shape), needed=needed,
            found=len(expr.indices),
        )  # fmt: skip
    return SCALAR


def _gradient(expr: e.Nabla | e.Incoming, scope: Scope) -> Shape:
    return shape_of(expr.of, scope)


def _jacobian(expr: e.Jacobian, scope: Scope) -> Shape:
    ends = (shape_of(expr.target, scope), shape_of(expr.source, scope))
    if ends[0] == SCALAR and ends[1][1] != 1:
        return ends[1]  # of a scalar by a matrix: the shape of the matrix
    for end, shape in zip((expr.target, expr.source), ends, strict=True):
        if shape[1] != 1:
            raise FormulaShapeError("formula.three-indices", end)
    return ends[0][0], ends[1][0]


def _product(expr: e.Product, scope: Scope) -> Shape:
    shapes = [shape_of(factor, scope) for factor in expr.factors]
    result = shapes[0]
    for i in range(1, len(shapes)):
        new = shapes[i]
        if result == SCALAR:
            result = new
        elif new != SCALAR:
            if result[1] != new[0]:
                raise FormulaShapeError(
                    "formula.factors", expr.factors[i],
                    shapes=" ".join(f"({show(shape)})" for shape in shapes),
                    columns=result[1], rows=new[0],
                )  # fmt: skip
            result = (result[0], new[1])
    return result


def same_shape(parts: tuple[Expr, ...], scope: Scope) -> Shape:
    """One shape for all; a scalar goes with anything, element by element."""
    result = SCALAR
    for part in parts:
        shape = shape_of(part, scope)
        if SCALAR not in (shape, result) and shape != result:
            raise FormulaShapeError(
                "formula.elementwise", part, first=show(result), second=show(shape)
            )
        result = shape if shape != SCALAR else result
    return result


def _diag(expr: e.Diag, scope: Scope) -> Shape:
    shape = shape_of(expr.of, scope)
    if shape[1] != 1:
        raise FormulaShapeError("formula.diag", expr.of, shape=show(shape))
    return shape[0], shape[0]


def _transpose(expr: e.Transpose, scope: Scope) -> Shape:
    rows, columns = shape_of(expr.of, scope)
    return columns, rows


def _call(expr: e.Applied, scope: Scope) -> Shape:
    if expr.function == "lookup":
        shape_of(expr.arguments[1], scope)
        return shape_of(expr.arguments[0], scope)[0], 1
    if expr.function in SCALAR_CALLS:
        for argument in expr.arguments:
            shape_of(argument, scope)
        return SCALAR
    return same_shape(expr.arguments, scope)


def _step_product(expr: e.StepProduct, scope: Scope) -> Shape:
    rows, columns = shape_of(expr.body, scope)
    if rows != columns:
        raise FormulaShapeError(
            "formula.not-square", expr.body, shape=show((rows, columns))
        )
    return rows, columns


@dataclass(frozen=True)
class _Of:
    """The rule of a kind that has the shape of these parts."""

    parts: Callable[..., tuple[Expr, ...]]

    def __call__(self, expr: Expr, scope: Scope) -> Shape:
        return same_shape(self.parts(expr), scope)


_RULES: dict[type[Expr], Callable[..., Shape]] = {
    e.Number: _scalar,
    e.Size: _scalar,
    e.Weight: _scalar,
    e.Delta: _scalar,
    e.Element: _element,
    e.Value: lambda expr, scope: scope.shape(expr),
    e.Nabla: _gradient,
    e.Incoming: _gradient,
    e.Identity: lambda expr, scope: (expr.dim, expr.dim),
    e.Ones: lambda expr, scope: (expr.dim, 1),
    e.Zeros: lambda expr, scope: (expr.rows, expr.columns),
    e.UnitVector: lambda expr, scope: (expr.dim, 1),
    e.Jacobian: _jacobian,
    e.Transpose: _transpose,
    e.Diag: _diag,
    e.Product: _product,
    e.Hadamard: _Of(lambda expr: expr.factors),
    e.Quotient: _Of(lambda expr: (expr.top, expr.bottom)),
    e.Power: _Of(lambda expr: (expr.of, expr.exponent)),
    e.Sum: _Of(lambda expr: expr.terms),
    e.Negative: _Of(lambda expr: (expr.of,)),
    e.Applied: _call,
    e.Sigma: lambda expr, scope: shape_of(expr.body, scope),
    e.StepProduct: _step_product,
}
