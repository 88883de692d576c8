"""The lines of a gradient as formulas whose LaTeX says the same.

A formula is shown for a line if its LaTeX, read back into the language of cells, is
this line again, or computes the same; otherwise the line is shown as typed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from bptt.explain.algebra.expr import Written
from bptt.explain.indices.lines import GradientLine
from bptt.explain.indices.printed import read_printed
from bptt.explain.indices.typeset import Typesetter, with_joined
from bptt.explain.model import PASSED, Check
from bptt.explain.notation.latex import to_latex
from bptt.explain.sentences import SentenceError
from bptt.step.graph import Graph


@dataclass(frozen=True, eq=False)
class Formulas:
    """Makes the formulas of one cell, each read back from its LaTeX."""

    graph: Graph

    @cached_property
    def _typesetter(self) -> Typesetter:
        return Typesetter(self.graph)

    def of(self, text: str) -> Written:
        """A symbol, `S[t+1, j]`, as a formula."""
        found = self._typesetter.formula(text)
        return found if self._back(found, ()) == text else Written(text)

    def sides(
        self, line: GradientLine, check: Check, checked: Callable[[GradientLine], Check]
    ) -> tuple[tuple[Written, Written], Check]:
        """Both sides of a line, and the check of what their LaTeX says.

        check: of the line as it stands; checked: what checks another line.
        """
        right = line.right if line.right is not None else "..."
        typed = Written(line.left), Written(right)
        left, shown = (
            self._typesetter.formula(text, line.letters) for text in (line.left, right)
        )
        back = [self._back(side, tuple(line.letters)) for side in (left, shown)]
        if line.right is None or back[0] != line.left or back[1] is None:
            return typed, check
        if _says_the_same(back[1], right):
            return (left, shown), check
        printed = checked(replace(line, right=back[1]))
        # A line that is wrong itself is shown as it would be: marked, and not hidden.
        is_good = printed.status == PASSED or check.status != PASSED
        return ((left, shown), printed) if is_good else (typed, check)

    def _back(self, shown: Written, letters: tuple[str, ...]) -> str | None:
        """What the LaTeX of a formula says; None where it cannot be read."""
        if shown.typeset is None:
            return None
        try:
            (found,) = read_printed(to_latex(shown), self.graph, letters)
        except (SentenceError, ValueError):
            return None
        return found


def _says_the_same(first: str, second: str) -> bool:
    """Whether two lines differ in brackets and spaces alone."""
    try:
        trees = [ast.dump(ast.parse(with_joined(text))) for text in (first, second)]
    except SyntaxError:
        return False
    return trees[0] == trees[1]
