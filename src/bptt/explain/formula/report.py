"""What came of checking an equation, in words of either language."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bptt.explain.algebra.expr import Expr
from bptt.explain.formula.edits import Edit
from bptt.explain.formula.trap import Trap
from bptt.explain.notation.latex import to_latex
from bptt.explain.notation.plain import to_ascii
from bptt.explain.sentences import Text, say

RIGHT, WRONG, MISSHAPEN = "right", "wrong", "shapes do not fit"


def differs(error: float) -> Text:
    """What is said of values that fit and are not right."""
    if not math.isfinite(error):
        return Text("formula.infinite")
    return Text("formula.differs", {"error": f"{error:.2g}"})


@dataclass(frozen=True)
class EquationReport:
    """What came of checking an equation; print it.

    status: "right", "wrong" or "shapes do not fit"; quoted: the formula with a caret;
    found: what is wrong there; range: the steps compared, where: those that differ;
    edit: the one change that puts it right, if there is one; left, right: what is right
    here; error: the largest relative error at a step; hints: what may have been meant;
    trap: what a whole backward pass with the formula gives.
    """

    text: str
    status: str
    left: Expr
    quoted: str = ""
    found: Text | None = None
    range: Text | None = None
    where: Text | None = None
    edit: Edit | None = None
    right: Expr | None = None
    error: float | None = None
    instances: int = 0
    hints: tuple[Text, ...] = ()
    trap: Trap | None = None
    is_latex: bool = False

    @property
    def passed(self) -> bool:
        """Whether the equation holds."""
        return self.status == RIGHT

    @property
    def problem(self) -> str:
        """What is wrong, in English: the formula, a caret, a sentence."""
        return self._problem("en")

    @property
    def suggestion(self) -> str:
        """A whole equation that is right, in the notation used; "" if none is known."""
        right = self.right if self.edit is None else self.edit.result
        if right is None or self.passed:
            return ""
        return f"{self.write(self.left)} = {self.write(right)}"

    def write(self, expr: Expr) -> str:
        """An expression in the notation that the equation was written in."""
        return to_latex(expr) if self.is_latex else to_ascii(expr)

    def _problem(self, lang: str) -> str:
        found = "" if self.found is None else say(self.found, lang)
        lines = [self.quoted, found]
        if self.where is not None and self.where.fields:
            lines.append(say(Text("formula.fails", {"where": self.where}), lang))
        return "\n".join(line for line in lines if line)

    def say(self, lang: str = "en") -> str:
        """The whole report in a language."""
        if self.passed:
            fields = {"range": self.range, "instances": self.instances,
                      "error": f"{self.error:.0e}"}  # fmt: skip
            return say(Text("formula.right", fields), lang)
        status = "wrong" if self.status == WRONG else "misshapen"
        lines = [say(Text(f"formula.{status}"), lang), self._problem(lang)]
        if self.edit is not None:
            advice = self.edit.text(self.write)
            lines.append(say(Text("formula.fix", {"advice": advice}), lang))
        if self.suggestion:
            known = Text("formula.known", {"equation": self.suggestion})
            lines.append(say(known, lang))
        lines += [say(hint, lang) for hint in self.hints]
        if self.trap is not None:
            lines.append(self.trap.say(lang))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.say()
