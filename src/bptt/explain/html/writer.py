"""Expressions, sentences, checks and chains as HTML.

An equation is MathML in the page and KaTeX when scripts run: `span.eq` holds the one
and, as `data-tex`, the source of the other, in which every symbol carries its name so
that the page can show the same symbol everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from typing import Any

from bptt.explain import expr as e
from bptt.explain.evaluate import evaluate
from bptt.explain.expr import Expr, Time
from bptt.explain.html.tags import Markup, join, tag
from bptt.explain.html.values import Values, side_by_side
from bptt.explain.html.words import both, word
from bptt.explain.latex import LatexPrinter
from bptt.explain.mathml import MathmlPrinter, wrap_mathml
from bptt.explain.model import FAILED, LANGUAGES, PASSED, Chain, Check, Link, Text
from bptt.explain.point import Point, UnknownSymbolError
from bptt.explain.texts import pieces

_NESTED = re.compile(r"<mrow>(<(m[ino])[^>]*>[^<]*</\2>)</mrow>")


class SymbolLatex(LatexPrinter):
    """LaTeX in which every symbol knows its name, for KaTeX alone."""

    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        """The symbol, marked."""
        return rf"\htmlData{{sym={name}}}{{{super().symbol(name, sub, sup)}}}"


class SymbolMathml(MathmlPrinter):
    """MathML in which every symbol knows its name."""

    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        """The symbol, marked."""
        inside = super().symbol(name, sub, sup)
        return f'<mrow data-sym="{escape(name)}">{inside}</mrow>'


_LATEX, _MATHML = SymbolLatex(), SymbolMathml()


@dataclass
class Writer:
    """Writes the parts of one page; `values` collects its numbers."""

    point: Point
    values: Values
    _cache: dict[Expr, Markup] = field(default_factory=dict)
    _chains: int = 0

    # ----- formulas and sentences -----

    def eq(self, expr: Expr, *, is_side: bool = False) -> Markup:
        """A formula; is_side: one side of a chain, which "copy LaTeX" collects."""
        if expr not in self._cache:
            inside = wrap_mathml(_NESTED.sub(r"\1", _MATHML(expr)))
            latex = escape(_LATEX(expr))
            self._cache[expr] = Markup(f'data-tex="{latex}">{inside}</span>')
        side = "data-side " if is_side else ""
        return Markup(f'<span class="eq" {side}{self._cache[expr]}')

    def text(self, text: Text) -> Markup:
        """A sentence in every language."""
        return both(*(self._pieces(text, language) for language in LANGUAGES))

    def _pieces(self, text: Text, language: str) -> Markup:
        shown = pieces(text, language, self.point.scope)
        return join(*(self.eq(p) if isinstance(p, Expr) else p for p in shown))

    def cell(self, value: Any) -> Markup:
        """What stands in a table: a sentence, formula, check, number or plain text."""
        if isinstance(value, Text):
            return self.text(value)
        if isinstance(value, Expr):
            return self.eq(value)
        if isinstance(value, float):
            return join(f"{value:.1e}" if value and abs(value) < 1e-2 else f"{value:.4g}")
        return join("" if value is None else value)

    # ----- checks -----

    def mark(self, link: Link) -> Markup:
        """A tick, a cross or a question mark, with the error it stands for."""
        errors = [c.error for c in (link.tree, link.printed) if c.error is not None]
        sign, style = {PASSED: ("✓", "mark"), FAILED: ("✗", "mark failed")}.get(
            link.status, ("?", "mark not")
        )
        key = {PASSED: "passed", FAILED: "failed"}.get(link.status, "not-checked")
        shown = word(key, error=f"{max(errors):.0e}" if errors else "–")
        return tag("span", sign, tag("span", shown, class_="sr"), class_=style)

    def check(self, check: Check) -> Markup:
        """A check as a tick and its error."""
        sign = {PASSED: "✓", FAILED: "✗"}.get(check.status, "?")
        style = {PASSED: "mark", FAILED: "mark failed"}.get(check.status, "mark not")
        error = "" if check.error is None else f" {check.error:.0e}"
        return tag("span", f"{sign}{error}", class_=style)

    # ----- chains -----

    def chain(self, chain: Chain, *, with_numbers: bool = True) -> Markup:
        """left = right, then = right below it; each with its reason and its mark."""
        first, *rest = chain.links
        rows: list[Any] = []
        for i, link in enumerate(rest):
            left = self.eq(first.expr, is_side=True) if i == 0 else ""
            reason = None if link.reason is None else tag(
                "span", self.text(link.reason), class_="why"
            )
            rows += [
                tag("div", left, class_="lhs"), tag("div", "="),
                tag("div", self.eq(link.expr, is_side=True), self.mark(link), reason,
                    class_="rhs"),
            ]  # fmt: skip
        if not rest:
            rows.append(tag("div", self.eq(first.expr, is_side=True), class_="rhs one"))
        copy = tag("button", word("copy"), type="button", data_copy=True)
        tools = tag("span", copy, class_="tools needs-script")
        about = tag("div", self._range(chain), tools, class_="range")
        body = tag("div", *rows, about, class_="chain")
        return join(body, self._numbers(chain) if with_numbers else None)

    def _range(self, chain: Chain) -> Markup:
        parts: list[Any] = []
        if chain.first is not None and chain.last is not None:
            first, last = show_time(chain.first), show_time(chain.last)
            key = "for-step" if first == last else "for-steps"
            parts.append(tag("span", word(key, first=first, last=last)))
        if chain.letters:
            letters = ", ".join(chain.letters)
            parts.append(tag("span", word("for-all", letters=letters)))
        if chain.number:
            parts.append(tag("span", word("equation-number", number=chain.number)))
        return join(*parts)

    def _numbers(self, chain: Chain) -> Markup | None:
        """The common value of all sides, at the step in view."""
        if chain.letters:
            return None
        found = self.by_step(chain.links[0].expr, chain.first, chain.last)
        if not found:
            return None
        self._chains += 1
        widget = self.values.widget(f"c{self._chains}", found)
        head = word("value") if chain.first is None else join(
            word("value-at"), tag("span", str(self.values.first), data_now=True)
        )
        body = side_by_side(tag("span", head, class_="note"), widget)
        absent = self.values.first not in found
        style = "values numbers absent" if absent else "values numbers"
        return Markup(body.replace('class="values"', f'class="{style}"', 1))

    def by_step(
        self, expr: Expr, first: Time | None, last: Time | None
    ) -> dict[int, Any]:
        """The value of an expression at every step from first to last.

        Without a t the value is the same at all; a symbol that does not exist at a step
        leaves that step out.
        """
        tau = self.point.tau
        if first is None or last is None:
            value = evaluate(expr, self.point, t=1)
            return dict.fromkeys(range(1, tau + 1), value)
        found = {}
        start, end = (time.at({"tau": tau}) for time in (first, last))
        for t in range(max(start, 1), min(end, tau) + 1):
            try:
                found[t] = evaluate(expr, self.point, t=t)
            except UnknownSymbolError:
                continue
        return found


def show_time(time: Time) -> str:
    """1, t, τ − 1."""
    if not time.base:
        return str(time.offset)
    base = "τ" if time.base == "tau" else time.base
    if not time.offset:
        return base
    return f"{base} {'+' if time.offset > 0 else '−'} {abs(time.offset)}"


def at(t: int) -> Time:
    """A step by its number."""
    return Time("", t)


def value(name: str, lag: int | None) -> e.Value:
    """A symbol at step t + lag, or a parameter without a step."""
    return e.Value(name, None if lag is None else e.T.moved(lag))
