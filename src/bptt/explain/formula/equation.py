"""Check a person's own formula: shapes, numbers, and what a pass with it gives.

>>> from bptt import cells
>>> check_equation(cells.book, "∇h[tau] = V.T @ ∇o[tau]").status
'right'
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from bptt.engine import Engine
from bptt.errors import ArgumentError
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Nabla, Value
from bptt.explain.algebra.point import Point, Scope, UnknownSymbolError
from bptt.explain.algebra.shape import SCALAR, FormulaShapeError, shape_of, show
from bptt.explain.context import Subject
from bptt.explain.formula.backward import Own
from bptt.explain.formula.comparison import (
    TOLERANCE,
    compared,
    free_letters,
    largest_error,
)
from bptt.explain.formula.edits import Edit, edits
from bptt.explain.formula.hints import Meant, hints
from bptt.explain.formula.indexed import check_indexed, indexed_example
from bptt.explain.formula.known import Known
from bptt.explain.formula.report import (
    MISSHAPEN,
    RIGHT,
    WRONG,
    EquationReport,
    differs,
)
from bptt.explain.formula.steps import Compared
from bptt.explain.formula.trap import Trap, find_trap
from bptt.explain.instances import ExplainOptionError, Options
from bptt.explain.notation.formula_tokens import MAX_LENGTH, is_latex, quote
from bptt.explain.notation.parse import is_scalar_form, parse_formula
from bptt.explain.prepare import has_indices
from bptt.explain.sentences import SentenceError, Text

MAX_TRIED = 4000


class NotAnEquationError(SentenceError):
    """A formula has no left side, or says no more than that it equals itself."""


class NoPointError(SentenceError):
    """No random point was found where every value of the cell is finite."""


def check_equation(cell: Engine, text: str, *, seed: int = 0) -> EquationReport:
    """Compare a gradient formula with the cell's exact gradient.

    text: an equation in the notation of `explain.parse` or in LaTeX, such as
    `grad_h[t] = V.T @ grad_o[t]`; of several sides each is compared with the first.
    t runs over 1 .. tau unless a step is written; the comparison is made on random
    instances with distinct sizes. Where it fails, the first part that differs is
    pointed at, with the one change that puts the formula right, if one does, and with
    the gradients that a whole backward pass with it gives.

    Returns: a report to print; `report.passed`.
    Raises: FormulaSyntaxError, UnknownSymbolError, NotAnEquationError, NoPointError,
    IndexedFormulaError.
    """
    context = Subject(cell, "", Options(seed=seed))
    is_indexed = has_indices(cell.graph)
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_LENGTH:
        example = indexed_example(context) if is_indexed else Known(context).example
        raise NotAnEquationError("formula.no-text", limit=MAX_LENGTH, example=example)
    if not is_indexed:
        return _check_columns(context, text)
    if not context.points:
        raise NoPointError("formula.no-point")
    return check_indexed(context, text)


def _check_columns(context: Subject, text: str) -> EquationReport:
    """Of a cell without indices, whose formulas are of columns and matrices."""
    known = Known(context)
    sides = parse_formula(text, context.scope)
    if not context.points:
        raise NoPointError("formula.no-point")
    if len(sides) < 2:
        example = known.equal_to(sides[0]) or known.example
        raise NotAnEquationError("formula.no-equation", text=text, example=example)
    checker = _Checker(text, context, sides[0], known)
    # ∂L/∂o_i and (∇_o L)_i are one thing in two signs: in a chain that says enough.
    others = [side for side in sides[1:] if side != sides[0]] or list(sides[1:])
    reports = [checker.report(side) for side in others]
    return next((r for r in reports if not r.passed), reports[0])


def backward_pass(cell: Engine, text: str, *, seed: int = 0) -> Trap | None:
    """What a whole backward pass gives with an equation in place of its rule.

    The same as `EquationReport.trap`, without the comparison and the search for a fix.
    Returns: None where the left side is no gradient.
    """
    context = Subject(cell, "", Options(seed=seed))
    left, right, *_ = parse_formula(text, context.scope)
    checker = _Checker(text, context, left, Known(context))
    return checker.trap(right, is_flat=checker.misfit(right) is not None)


@dataclass(frozen=True)
class _Checker:
    """Compares formulas with one left side."""

    text: str
    context: Subject
    left: Expr
    known: Known

    @property
    def scope(self) -> Scope:
        return self.context.scope

    def report(self, formula: Expr) -> EquationReport:
        """Compare one right side, from the shapes of its parts to its values."""
        misfit = self.misfit(formula)
        if misfit is not None:
            return self._report(formula, MISSHAPEN, misfit)
        try:
            error, steps = compared(self.left, formula, self.context.points)
        except UnknownSymbolError as nowhere:
            if nowhere.text.id != "formula.nowhere" or not self.known.right(self.left):
                raise
            return self._report(formula, WRONG, (None, nowhere.text))
        count = len(self.context.points)
        if error > TOLERANCE:
            found = differs(error)
            return self._report(
                formula, WRONG, (None, found), error=error, instances=count,
                where=steps.where, range=steps.range,
            )  # fmt: skip
        if self.left in e.walk(formula):
            raise NotAnEquationError(
                "formula.circular", text=self.text, example=self._example()
            )
        return EquationReport(
            self.text, RIGHT, self.left, range=steps.range, error=error,
            instances=count,
        )  # fmt: skip

    def _report(
        self, formula: Expr, status: str, found: tuple[e.Span | None, Text],
        **more: object,
    ) -> EquationReport:  # fmt: skip
        """What is wrong, what would be right, and what a pass with it gives."""
        right = self._right(formula)
        other = self._other_derivative(formula)
        edit = self._fix(formula, right) if other is None else None
        span, sentence = found
        if status == WRONG:
            span = edit.span if edit is not None else _first_difference(formula, right)
        span = span or formula.span or (0, len(self.text))
        best = right[0] if right else None
        report = EquationReport(
            self.text, status, self.left, quote(self.text, span), sentence, edit=edit,
            right=best, trap=self.trap(formula, is_flat=status == MISSHAPEN),
            is_latex=is_latex(self.text), **more,  # type: ignore[arg-type]
        )  # fmt: skip
        shown = best if edit is None else edit.result
        meant = Meant(
            None if self.known.jacobians.is_far(self.left) else other,
            None if right else self.known.turned(self.left),
            self.known.far((self.left, formula)),
        )
        found_hints = hints(self.left, formula, shown, report.write, meant)
        return replace(report, hints=found_hints)

    def _other_derivative(self, formula: Expr) -> e.Jacobian | None:
        """The derivative of the other kind, ∂ or d, if the formula gives that one."""
        left = self.left
        if not isinstance(left, e.Jacobian) or self.misfit(formula) is not None:
            return None
        other = replace(left, total=not left.total)
        try:
            error = largest_error(other, formula, self.context.points)
        except UnknownSymbolError:
            return None
        return other if error <= TOLERANCE else None

    def _example(self) -> str:
        right = next(iter(self.known.right(self.left)), None)
        report = EquationReport(self.text, WRONG, self.left, right=right)
        return report.suggestion or self.known.example

    def _right(self, formula: Expr) -> list[Expr]:
        """The right sides, the likest first: a recursion is preferred."""
        right = self.known.right(self.left)
        right.sort(key=lambda known: self._strangeness(known, formula))
        return right

    def _strangeness(self, known: Expr, formula: Expr) -> tuple[bool, int]:
        """How unlike a right formula is to the one written: a recursion is preferred.

        First whether it lacks the gradient of the left side's own name, then how many
        parts one of the two has and the other has not.
        """
        names = {p.of.name for p in e.walk(self.left) if isinstance(p, Nabla)}
        is_recursion = any(
            isinstance(p, Nabla) and p.of.name in names for p in e.walk(known)
        )
        return not is_recursion, len(set(e.walk(known)) ^ set(e.walk(formula)))

    def misfit(self, formula: Expr) -> tuple[e.Span | None, Text] | None:
        """Where and why the shapes do not fit."""
        try:
            left, right = shape_of(self.left, self.scope), shape_of(formula, self.scope)
        except FormulaShapeError as error:
            return error.expr.span, error.text
        if left == right or (right == SCALAR and is_scalar_form(formula)):
            return None
        shapes = {"left": show(left), "right": show(right)}
        return formula.span, Text("formula.sides", shapes)

    def _fix(self, formula: Expr, right: list[Expr]) -> Edit | None:
        """The first single change after which the formula is right."""
        if any(self.known.jacobians.is_far(part) for part in e.walk(self.left)):
            return None  # of a derivative that is 0 nothing is likely meant
        quick, points = self.context.points[:1], self.context.points
        covered = self._covered(formula)
        for edit in itertools.islice(edits(formula, right), MAX_TRIED):
            if self.left in e.walk(edit.result):
                continue
            if self.misfit(edit.result) is not None:
                continue
            try:
                if largest_error(self.left, edit.result, quick) > TOLERANCE:
                    continue
                error, steps = compared(self.left, edit.result, points)
                # A recursion stops a step short of tau; more is a fix of nothing.
                if error <= TOLERANCE and steps.loses(covered) <= 1:
                    return edit
            except ArgumentError:  # this change makes no formula
                continue
        if right and isinstance(self.left, e.Jacobian | e.Transpose):
            return Edit("write", right[0], formula.span, (right[0], formula))
        return None

    def _covered(self, formula: Expr) -> Compared:
        """The steps at which a formula was compared; all where it could not be."""
        other = self.left if self.misfit(formula) is not None else formula
        try:
            return compared(self.left, other, self.context.points)[1]
        except ArgumentError:
            return compared(self.left, self.left, self.context.points)[1]

    def trap(self, formula: Expr, *, is_flat: bool) -> Trap | None:
        """A backward pass in which the formula replaces the rule of its left side."""
        left = self.left
        indices = left.indices if isinstance(left, e.Element) else ()
        gradient = left.of if isinstance(left, e.Element) else left
        if isinstance(gradient, e.Jacobian) and gradient.target == Value("L"):
            gradient = Nabla(gradient.source) if isinstance(
                gradient.source, Value) else gradient  # fmt: skip
        if not isinstance(gradient, Nabla) or gradient.of == Value("L"):
            return None
        if any(not isinstance(index, str) for index in indices):
            return None
        letters = free_letters(left, self.scope)
        value = gradient.of
        own = Own(value.name, value.time, formula, letters, is_flat and not letters)
        if is_flat and letters:
            return None
        return find_trap(own, self._shown(), self.known.rules)

    def _shown(self) -> Point:
        """The numbers that the page shows, where there are any."""
        try:
            return self.context.shown
        except ExplainOptionError:
            return self.context.points[0]


def _first_difference(formula: Expr, right: list[Expr]) -> e.Span | None:
    """The first part, from the left, that no right formula has in its place."""
    known = {part for expr in right for part in e.walk(expr)}
    leaves = [p for p in e.walk(formula) if p not in known and p.span is not None]
    small = [p for p in leaves if all(child in known for child in p.children)]
    spans = sorted(p.span for p in small or leaves if p.span is not None)
    return spans[0] if spans else None
