"""The mistakes that are made with the book's recursion, and what each of them costs.

Each is followed through all steps; the gradients of W and U are then taken with the
right formulas (but where the mistake is in them) and compared with the right gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr, Gradient, rebuild
from bptt.explain.algebra.point import Point, Scope
from bptt.explain.algebra.shape import FormulaShapeError, shape_of
from bptt.explain.formula.followed import Followed, as_one_dimensional, compare, follow
from bptt.explain.notation.parse import parse
from bptt.step.shapes import Array

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

    shape_problem: why its shapes do not fit, "" if they do; then the numbers are those
    of one-dimensional NumPy arrays.
    """

    variant: Variant
    formula: Expr
    shape_problem: str
    error: float
    error_of_u: float
    cosine: float


def outcomes(point: Point) -> tuple[Outcome, ...]:
    """Every variant, followed on the numbers of a point of the book's network."""
    return tuple(_outcome(variant, point) for variant in VARIANTS)


def _outcome(variant: Variant, point: Point) -> Outcome:
    scope = point.scope
    recursion = parse(variant.recursion, scope)
    problem = shape_problem(recursion, scope)
    if variant.output:
        wrong = parse(variant.output, scope)
        recursion = rebuild(
            recursion,
            lambda part: wrong if _is_gradient_of(part, "o") else part,
        )

    def step(at: Point, t: int) -> Array:
        if problem:
            return as_one_dimensional(recursion, at, t)[:, None]
        return evaluate(recursion, at, t)

    followed = follow(point, "h", step)
    error_w, cosine = _against(followed, variant.gradient, point, "W")
    error_u, _ = _against(followed, GRAD_U, point, "U")
    return Outcome(
        variant, parse(variant.formula, scope), problem, error_w, error_u, cosine
    )


def _is_gradient_of(part: Expr, name: str) -> bool:
    return isinstance(part, Gradient) and part.of.name == name


def _against(
    followed: Followed, formula: str, point: Point, name: str
) -> tuple[float, float]:
    found = evaluate(parse(formula, point.scope), followed)
    return compare(found, point.gradient(name, None))


def shape_problem(formula: Expr, scope: Scope) -> str:
    """Why the shapes of a formula do not fit; "" if they do."""
    try:
        shape_of(formula, scope)
    except FormulaShapeError as error:
        return str(error)
    return ""


__all__ = ["RIGHT", "VARIANTS", "Outcome", "Variant", "outcomes"]
