"""The mistakes that are made with the book's recursion, and what each of them costs.

Each replaces its rule in a whole backward pass, whose gradients of W and U are compared
with the right ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.expr import Expr, T, Time
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.algebra.shape import FormulaShapeError, shape_of
from bptt.explain.formula.backward import Own, Rules, backward_at, compare
from bptt.explain.notation.parse import parse
from bptt.explain.sentences import Text

RIGHT = "W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]"
GRAD_W = "sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t] @ h[t-1].T)"
GRAD_U = "sum(t, 1, tau, diag(1 - h[t]**2) @ grad_h[t] @ x[t].T)"
ALL_CLASSES = "y_hat[t] - ones(n_o)"


@dataclass(frozen=True)
class Variant:
    """One way to write it: the recursion, the gradient of W, that of o if changed."""

    id: str
    recursion: str = RIGHT
    gradient: str = GRAD_W
    output: str = ""

    @property
    def formula(self) -> str:
        """The line that the variant changes."""
        if self.output:
            return self.output
        return self.gradient if self.gradient != GRAD_W else self.recursion


VARIANTS = (
    Variant("right"),
    Variant("printed", "W.T @ grad_h[t+1] @ diag(1 - h[t+1]**2) + V.T @ grad_o[t]"),
    Variant("w-alone", "W.T @ grad_h[t+1] + V.T @ grad_o[t]"),
    Variant("same-step", RIGHT.replace("1 - h[t+1]**2", "1 - h[t]**2")),
    Variant("square", RIGHT.replace("1 - h[t+1]**2", "(1 - h[t+1])**2")),
    Variant("no-transpose", RIGHT.replace("W.T", "W")),
    Variant("no-future", "V.T @ grad_o[t]"),
    Variant("state-shift", gradient=GRAD_W.replace("h[t-1]", "h[t]")),
    Variant("all-classes", output=ALL_CLASSES),
)


@dataclass(frozen=True)
class Outcome:
    """What a variant costs: relative error and cosine of ∇_W, relative error of ∇_U.

    shape_problem: why its shapes do not fit, None if they do; then the numbers are
    those of one-dimensional NumPy arrays.
    """

    variant: Variant
    formula: Expr
    shape_problem: Text | None
    error: float
    error_of_u: float
    cosine: float


def outcomes(point: Point) -> tuple[Outcome, ...]:
    """Every variant, in a backward pass on a point of the book's network."""
    rules = Rules(Derivation(point.scope.graph))
    return tuple(_outcome(variant, point, rules) for variant in VARIANTS)


def _outcome(variant: Variant, point: Point, rules: Rules) -> Outcome:
    scope = point.scope
    formula = parse(variant.formula, scope)
    problem = shape_problem(formula, scope)
    time: Time | None = T
    name = "o" if variant.output else "h"
    if variant.gradient != GRAD_W:
        name, time = "W", None
    own = Own(name, time, formula, is_flat=problem is not None)
    run = backward_at(point, rules, own)
    error_w, cosine = compare(run.gradient("W", None), point.gradient("W", None))
    error_u, _ = compare(run.gradient("U", None), point.gradient("U", None))
    return Outcome(variant, formula, problem, error_w, error_u, cosine)


def shape_problem(formula: Expr, scope: Scope) -> Text | None:
    """Why the shapes of a formula do not fit; None if they do."""
    try:
        shape_of(formula, scope)
    except FormulaShapeError as error:
        return error.text
    return None


__all__ = ["RIGHT", "VARIANTS", "Outcome", "Variant", "outcomes"]
