"""Check a person's own gradient formula: shapes, numbers, and the factor that differs.

>>> from bptt import cells
>>> check_equation(cells.book, "∇h[tau] = V.T @ ∇o[tau]").status
'right'
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bptt.engine import Engine
from bptt.errors import ArgumentError
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.element import elements
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr, Gradient, Value
from bptt.explain.algebra.point import Point, Scope, UnknownSymbolError
from bptt.explain.algebra.shape import FormulaShapeError, shape_of, show
from bptt.explain.cards import CardMaker
from bptt.explain.context import Context
from bptt.explain.formula.edits import Edit, edits
from bptt.explain.formula.reference import Reference
from bptt.explain.formula.trap import Trap, find_trap
from bptt.explain.instances import Options
from bptt.explain.notation.formula_tokens import quote
from bptt.explain.notation.parse import parse_formula
from bptt.explain.notation.plain import to_ascii
from bptt.step.shapes import Array

TOLERANCE = (
    1e-10  # the reader's own order of operations may round differently from ours
)
MAX_TRIED = 4000
RIGHT, WRONG, MISSHAPEN = "right", "wrong", "shapes do not fit"


class NotAnEquationError(ArgumentError):
    """A formula has no left side, or says no more than that it equals itself."""


class NoPointError(ArgumentError):
    """No random point was found where every value of the cell is finite."""


@dataclass(frozen=True)
class EquationReport:
    """What came of checking an equation; print it.

    status: "right", "wrong" or "shapes do not fit"; problem: what is wrong, with the
    formula and a caret; edit: the one change that puts it right, if there is one;
    right: the formula here; error: the largest relative error at a step; trap: what
    one-dimensional NumPy arrays make of it, and what that costs.
    """

    text: str
    status: str
    problem: str = ""
    edit: Edit | None = None
    right: Expr | None = None
    error: float | None = None
    instances: int = 0
    trap: Trap | None = None

    @property
    def passed(self) -> bool:
        """Whether the equation holds."""
        return self.status == RIGHT

    def __str__(self) -> str:
        if self.passed:
            return (
                "right: equal at every t where both sides are defined, on "
                f"{self.instances} random instances (largest relative error "
                f"{self.error:.0e})"
            )
        lines = [f"{self.status}:", self.problem]
        if self.edit is not None:
            lines.append(f"Likely fix: {self.edit.advice}")
        if self.right is not None:
            lines.append(f"Right: {to_ascii(self.right)}")
        if self.trap is not None:
            lines.append(str(self.trap))
        return "\n".join(lines)


def check_equation(cell: Engine, text: str, *, seed: int = 0) -> EquationReport:
    """Compare a gradient formula with the cell's exact gradient.

    text: an equation in the notation of `explain.parse`, such as
    `grad_h[t] = V.T @ grad_o[t]`; of several sides each is compared with the first.
    The comparison is made at every step where both sides are defined, on random
    instances with distinct sizes. Where it fails, the first part that differs is
    pointed at, with the one change that puts the formula right, if one does.

    Returns: a report to print; `report.passed`.
    Raises: FormulaSyntaxError, UnknownSymbolError, NotAnEquationError, NoPointError.
    """
    context = Context(cell, "", Options(seed=seed))
    sides = parse_formula(text, context.scope)
    if len(sides) < 2:
        raise NotAnEquationError(
            f"{text!r} is no equation; write what it equals, for example "
            f"'grad_h[t] = {text.strip()}'"
        )
    if not context.points:
        raise NoPointError("no random point was found where every value is finite")
    checker = _Checker(text, context, sides[0])
    reports = [checker.report(side) for side in sides[1:]]
    return next((r for r in reports if not r.passed), reports[0])


@dataclass(frozen=True)
class _Checker:
    """Compares formulas with one left side."""

    text: str
    context: Context
    left: Expr

    @property
    def scope(self) -> Scope:
        return self.context.scope

    def report(self, formula: Expr) -> EquationReport:
        """Compare one right side, from the shapes of its parts to its values."""
        right = self._right()
        right.sort(key=lambda known: self._strangeness(known, formula))
        best = right[0] if right else None
        problem = self._shape_problem(formula)
        if problem:
            edit = self._fix(formula, right)
            trap = self._trap(formula)
            return EquationReport(self.text, MISSHAPEN, problem, edit, best, trap=trap)
        error = self._error(formula, self.context.points)
        count = len(self.context.points)
        if error <= TOLERANCE and self._is_circular(formula):
            raise NotAnEquationError(
                f"{self.text!r} has its left side on the right, too, so it says nothing"
            )
        if error <= TOLERANCE:
            return EquationReport(self.text, RIGHT, error=error, instances=count)
        edit = self._fix(formula, right)
        problem = self._difference(formula, edit, right, error)
        trap = self._trap(formula)
        return EquationReport(self.text, WRONG, problem, edit, best, error, count, trap)

    def _is_circular(self, formula: Expr) -> bool:
        """Whether a formula reads what it is to give."""
        return any(part == self.left for part in e.walk(formula))

    def _right(self) -> list[Expr]:
        gradient = self.left.of if isinstance(self.left, e.Element) else self.left
        if not isinstance(gradient, Gradient):
            return []
        found = self._reference().formulas(gradient)
        if not isinstance(self.left, e.Element):
            return found
        letters = tuple(i for i in self.left.indices if isinstance(i, str))
        if len(letters) < len(self.left.indices):
            return []
        forms = (elements(known, letters, self.scope) for known in found)
        return [form for form in forms if form is not None]

    def _strangeness(self, known: Expr, formula: Expr) -> tuple[bool, int]:
        """How unlike a right formula is to the one written: a recursion is preferred.

        First whether it lacks the gradient of the left side's own name, then how many
        parts one of the two has and the other has not.
        """
        names = {p.of.name for p in e.walk(self.left) if isinstance(p, Gradient)}
        is_recursion = any(
            isinstance(p, Gradient) and p.of.name in names for p in e.walk(known)
        )
        return not is_recursion, len(set(e.walk(known)) ^ set(e.walk(formula)))

    def _reference(self) -> Reference:
        context = self.context
        maker = CardMaker(context.derivation, context.scope, context.options)
        return Reference(maker)

    # ----- shapes -----

    def _shape_problem(self, formula: Expr) -> str:
        try:
            left, right = shape_of(self.left, self.scope), shape_of(formula, self.scope)
        except FormulaShapeError as error:
            span = error.expr.span or (0, len(self.text))
            return f"{quote(self.text, span)}\n{error}"
        if left == right or (1, 1) in (left, right):
            return ""
        span = formula.span or (0, len(self.text))
        return (
            f"{quote(self.text, span)}\nthe left side is ({show(left)}), this is "
            f"({show(right)})"
        )

    # ----- numbers -----

    def _error(self, formula: Expr, points: Iterable[Point]) -> float:
        """The largest relative difference of the two sides; infinite if undefined.

        Raises: UnknownSymbolError if the sides are defined together at no step.
        """
        worst, compared, reason = 0.0, 0, ""
        letters = _letters(self.left, self.scope)
        for point in points:
            for t in range(point.tau + 1):
                for choice in _choices(letters, point):
                    try:
                        with np.errstate(all="ignore"):
                            expected = evaluate(self.left, point, t, choice)
                            found = evaluate(formula, point, t, choice)
                    except (UnknownSymbolError, KeyError) as error:
                        reason = str(error)
                        continue
                    compared += 1
                    worst = max(worst, _relative(found, expected))
        if not compared:
            raise UnknownSymbolError(
                f"{self.text}: the two sides are defined together at no step: {reason}"
            )
        return worst

    def _fix(self, formula: Expr, right: list[Expr]) -> Edit | None:
        """The first single change after which the formula is right."""
        quick = self.context.points[:1]
        for edit in itertools.islice(edits(formula, right), MAX_TRIED):
            if self._is_circular(edit.result):
                continue
            try:
                shape_of(edit.result, self.scope)
                if self._error(edit.result, quick) > TOLERANCE:
                    continue
                if self._error(edit.result, self.context.points) <= TOLERANCE:
                    return edit
            except ArgumentError:  # this change makes no formula
                continue
        return None

    def _difference(
        self, formula: Expr, edit: Edit | None, right: list[Expr], error: float
    ) -> str:
        span = edit.span if edit is not None else _first_difference(formula, right)
        pointed = quote(self.text, span or formula.span or (0, len(self.text)))
        return (
            f"{pointed}\nthe shapes fit, but the values differ: relative error "
            f"{error:.2g}"
        )

    def _trap(self, formula: Expr) -> Trap | None:
        gradient = self.left
        if not isinstance(gradient, Gradient) or gradient.of.name not in (
            self.scope.graph.definitions
        ):
            return None
        return find_trap(
            formula, gradient.of.name, self.context.points[0], self._reference()
        )


def _relative(found: Array, expected: Array) -> float:
    if found.shape != expected.shape and found.size != 1:
        return float("inf")
    size = float(np.max(np.abs(expected), initial=0.0)) or 1.0
    gap = float(np.max(np.abs(found - expected), initial=0.0)) / size
    return gap if np.isfinite(gap) else float("inf")


def _letters(left: Expr, scope: Scope) -> dict[str, str | int]:
    """The free indices of the left side, with the dimension each runs over."""
    found: dict[str, str | int] = {}
    for part in e.walk(left):
        if isinstance(part, e.Element):
            inner = part.of.of if isinstance(part.of, Gradient) else part.of
            dims = scope.core(inner.name) if isinstance(inner, Value) else ()
            found |= {
                letter: dim
                for letter, dim in zip(part.indices, dims, strict=False)
                if isinstance(letter, str)
            }
    return found


def _choices(letters: dict[str, str | int], point: Point) -> Iterable[dict[str, int]]:
    sizes = [range(point.size(dim)) for dim in letters.values()]
    return (dict(zip(letters, c, strict=True)) for c in itertools.product(*sizes))


def _first_difference(formula: Expr, right: list[Expr]) -> e.Span | None:
    """The first part, from the left, that no right formula has in its place."""
    known = {part for expr in right for part in e.walk(expr)}
    leaves = [p for p in e.walk(formula) if p not in known and p.span is not None]
    small = [p for p in leaves if all(child in known for child in p.children)]
    spans = sorted(p.span for p in small or leaves if p.span is not None)
    return spans[0] if spans else None
