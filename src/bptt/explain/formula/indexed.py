r"""Check a formula of a cell with indices: it is read as the language of cells.

    grad_S[t, j] = outer(grad_o[t, j], q[t, j]) + grad_S[t+1, j] @ diag(g[t+1, j]).T
    \nabla_{S_j^{(t)}} L = ..., which becomes such a line (`indices.printed`)

Everything on the right is given, with the exact gradients for `grad_o` and its like,
and the two sides are compared at every step and every place of the indices.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bptt.check.rounding import Error
from bptt.errors import (
    BpttError,
    CellError,
    DimensionClashError,
    OutOfTimeError,
    ProductShapeError,
    RankError,
)
from bptt.explain.algebra.expr import Span, Written
from bptt.explain.algebra.point import Point, UnknownSymbolError
from bptt.explain.algebra.shape import show
from bptt.explain.context import Subject
from bptt.explain.formula.comparison import TOLERANCE
from bptt.explain.formula.edits import Edit
from bptt.explain.formula.indexed_edits import Change, changes
from bptt.explain.formula.report import (
    MISSHAPEN,
    RIGHT,
    WRONG,
    EquationReport,
    differs,
)
from bptt.explain.formula.steps import Compared
from bptt.explain.indices.check import LineReading, differences
from bptt.explain.indices.lines import GradientLine, Lines
from bptt.explain.indices.places import free_letters
from bptt.explain.indices.printed import read_printed
from bptt.explain.notation.formula_tokens import is_latex, quote
from bptt.explain.sentences import SentenceError, Text
from bptt.explain.verdict import NOTES
from bptt.step.graph import Graph
from bptt.step.shapes import Array

MAX_TRIED = 80
OF_SHAPES = (RankError, ProductShapeError, DimensionClashError, OutOfTimeError)
MORE = ("Shapes known", "Likely fix")  # what an error's message goes on with
SIGNS = {"ᵀ": ".T", "⊙": "*", "−": "-", "·": "*", "²": " ** 2"}
_SIDES = re.compile(r"(?<![=<>!])=(?!=)")
_LEFT = re.compile(r"\s*(grad_)?(\w+?)\s*(\[[^\]]*\])?\s*")
# ∇S[t, j], ∂L/∂S[t, j], the L behind a gradient, incoming(S[t, j]), sum(t, 1, tau, u)
WRITTEN = (
    (re.compile(r"∇_?\s*(?=\w)"), "grad_"),
    (re.compile(r"[∂d]L\s*/\s*[∂d](?=\w)"), "grad_"),
    (re.compile(r"(\bgrad_\w+(?:\[[^\]]*\])?) L\b(?!\[)"), r"\1"),
    (re.compile(r"\bincoming\((\w+)(\[[^\]]*\])?\)"), r"incoming_\1\2"),
    (re.compile(r"\bsum\(t,\s*1,\s*tau,"), "sum(t,"),
)


class IndexedFormulaError(SentenceError):
    """A formula of a cell with indices that the language of cells cannot read."""


def check_indexed(context: Subject, text: str) -> EquationReport:
    """Compare a formula of a cell with indices with the exact gradient.

    Returns: a report to print.
    Raises: IndexedFormulaError, FormulaSyntaxError, UnknownSymbolError.
    """
    graph = context.scope.graph
    if is_latex(text):
        sides = list(read_printed(text, graph, free_letters(graph)))
    else:
        sides = _SIDES.split(_plain(text, graph))
    if len(sides) < 2:
        raise IndexedFormulaError(
            "formula.indexed-form", text=text, example=indexed_example(context)
        )
    left, *rights = (side.strip() for side in sides)
    checker = IndexedChecker(text, context, Lines(context.scope.graph), left)
    reports = [checker.report(right) for right in rights]
    return next((r for r in reports if not r.passed), reports[0])


def _plain(text: str, graph: Graph) -> str:
    for sign, word in SIGNS.items():
        text = text.replace(sign, word)
    for pattern, word in WRITTEN:
        text = pattern.sub(word, text)
    if "w" not in graph.names():
        text = re.sub(r"\bw\[t\]", "weight[t]", text)
    return text


def indexed_example(context: Subject) -> str:
    """An equation that holds: of a state, or of the first definition."""
    graph = context.scope.graph
    names = [n for n in graph.states if n in graph.definitions]
    return Lines(graph).whole((names or list(graph.definitions))[0])[0].text


@dataclass(frozen=True)
class IndexedChecker:
    """Compares right sides with one left side."""

    text: str
    context: Subject
    lines: Lines
    left: str

    @property
    def graph(self) -> Graph:
        """The equations, inner nodes named."""
        return self.lines.graph

    @cached_property
    def _parts(self) -> tuple[bool, str, str]:
        """Whether the left side is a gradient, of what, and its brackets at t."""
        found = _LEFT.fullmatch(self.left)
        if found is None:
            raise IndexedFormulaError(
                "formula.indexed-left",
                left=self.left,
                example=indexed_example(self.context),
            )
        name = found[2]
        self.context.scope.core(name)  # refuses what is no name of the cell
        places = (found[3] or "").replace("[tau", "[t")
        if not places.startswith("[t") and name not in self.graph.parameters:
            raise UnknownSymbolError("formula.needs-step", name=name)
        return bool(found[1]), name, places

    @property
    def _is_last(self) -> bool:
        return "[tau" in self.left

    @property
    def _target(self) -> str:
        """The left side as the reading has it: a value's name is that of a gradient."""
        return f"grad_{self._parts[1]}{self._parts[2]}"

    @property
    def _is_timed(self) -> bool:
        return self._parts[2].startswith("[t")

    def expected(self, point: Point, t: int) -> Array:
        """What the left side is, at a step or of the whole."""
        is_gradient, name, _ = self._parts
        place = point.graph.place(name, t if self._is_timed else None)
        return point.graph.grad(place) if is_gradient else point.graph.values[place]

    # ----- one right side -----

    def report(self, right: str) -> EquationReport:
        """Compare one right side."""
        self._refuse_circular(right)
        try:
            errors = [self._errors(right, point) for point in self.context.points]
        except CellError as problem:
            found = Text("formula.indexed-unread", {"problem": self._said(problem)})
            if not isinstance(problem, OF_SHAPES):
                quoted = quote(f"{self.left} = {right}", self._span(right))
                raise IndexedFormulaError(found.id, quoted, **found.fields) from problem
            return self._wrong(right, MISSHAPEN, found)
        compared = Compared("t" if self._is_timed else "", "", self.context.points)
        for number, by_step in enumerate(errors):
            for t, error in told(by_step).items():
                compared.add(number, {"t": t}, is_wrong=error > TOLERANCE)
        known = [error for found in errors for error in told(found).values()]
        if not known:
            untold = next(iter(errors[0].values()))
            reason = Text(NOTES[str(untold)])
            raise UnknownSymbolError("formula.nowhere", reason=reason)
        largest = max(known)
        if largest <= TOLERANCE:
            return EquationReport(
                self.text, RIGHT, Written(self.left), range=compared.range,
                error=largest, instances=len(errors),
            )  # fmt: skip
        if not np.isfinite(largest) and not self._fits(right):
            shapes = Text("formula.indexed-shape", {"left": self._shape()})
            return self._wrong(right, MISSHAPEN, shapes)
        found = differs(largest)
        report = self._wrong(right, WRONG, found)
        return replace(report, error=largest, where=compared.where,
                       range=compared.range, instances=len(errors))  # fmt: skip

    def _fits(self, right: str) -> bool:
        """Whether a right side has the shape of the left one."""
        point = self.context.points[0]
        with np.errstate(all="ignore"):
            found = self._reading(right).value(point)[0]
        return bool(found.ndim == 0 or found.shape == self.expected(point, 1).shape)

    def _errors(self, right: str, point: Point) -> dict[int, Error]:
        found = differences(
            self._reading(right), point, self.expected, tolerance=TOLERANCE
        )
        return {point.tau: found[point.tau]} if self._is_last else found

    def _reading(self, right: str) -> LineReading:
        """The right side, read.

        Raises: CellError; UnknownSymbolError for a name that the cell does not have.
        """
        body = right.replace("[tau", "[t") if self._is_last else right
        reading = LineReading(self._target, body, self.graph)
        for name in reading.cell.parameters:
            if name not in self.graph.parameters:
                self.context.scope.core(name)
                raise UnknownSymbolError("formula.needs-step", name=name)
        return reading

    def _refuse_circular(self, right: str) -> None:
        same = re.escape(self.left.replace(" ", ""))
        if re.search(rf"(?<!\w){same}(?!\w)", right.replace(" ", "")):
            raise IndexedFormulaError(
                "formula.circular",
                text=self.text,
                example=indexed_example(self.context),
            )

    def _said(self, error: CellError) -> str:
        """What the language says, with the names as they were written."""
        said = str(error).split("\n")
        at = next((i for i, line in enumerate(said) if "^" in line), 0)
        last = next((i for i, line in enumerate(said) if line.startswith(MORE)), None)
        text = re.sub(r"_(before|after)(\d+)\[t", _lag, " ".join(said[at + 1 : last]))
        return text.replace("shown", self.left.partition("[")[0])

    def _shape(self) -> str:
        return show(self.context.scope.core(self._parts[1]))

    def _span(self, right: str, inside: Span | None = None) -> Span:
        """Where the right side, or a part of it, stands in `left = right`."""
        start = len(f"{self.left} = ")
        first, last = (0, len(right)) if inside is None else inside
        return start + first, start + last

    # ----- what would be right -----

    def _wrong(self, right: str, status: str, found: Text) -> EquationReport:
        known = self._known()
        edit = self._fix(right, known)
        span = self._span(right, None if edit is None else edit.span)
        shown = None if known is None or known.right is None else known
        return EquationReport(
            self.text, status, Written(self.left if shown is None else shown.left),
            quote(f"{self.left} = {right}", span), found, edit=edit,
            right=None if shown is None else Written(str(shown.right)),
        )  # fmt: skip

    def _known(self) -> GradientLine | None:
        is_gradient, name, _ = self._parts
        if not is_gradient:
            return None
        is_sum = name in self.graph.parameters and not self._is_timed
        found = self.lines.summed(name) if is_sum else self.lines.whole(name)
        wanted = self._target.replace(" ", "")
        same = (line for line in found if line.left.replace(" ", "") == wanted)
        return next(same, found[0] if len(found) == 1 else None)

    def _fix(self, right: str, known: GradientLine | None) -> Edit | None:
        """The first single change after which the formula is right."""
        terms: list[str] = []
        if known is not None:
            found = self.lines.terms.of(known.name)
            written = (self.lines.term(known.name, term) for term in found)
            terms = [one[0].right for one in written if len(one) == 1 and one[0].right]
        tried = changes(right, self.graph, tuple(terms))
        for change in itertools.islice(tried, MAX_TRIED):
            if self._is_right(change.result):
                return _edit(change)
        return None

    def _is_right(self, right: str) -> bool:
        try:
            self._refuse_circular(right)
            known = [
                error
                for point in self.context.points
                for error in told(self._errors(right, point)).values()
            ]
            return bool(known) and max(known) <= TOLERANCE
        except BpttError:
            return False


def told(errors: Mapping[int, Error]) -> dict[int, float]:
    """The errors that say something: rounding may leave nothing to compare."""
    return {t: error for t, error in errors.items() if not isinstance(error, str)}


def _edit(change: Change) -> Edit:
    parts = tuple(map(Written, change.parts))
    return Edit(change.kind, Written(change.result), change.span, parts, change.words)


def _lag(found: re.Match[str]) -> str:
    return f"[t{'-' if found[1] == 'before' else '+'}{found[2]}"
