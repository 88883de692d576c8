"""Expressions, sentences, checks and chains as HTML.

An equation is MathML in the page and KaTeX when scripts run: a span holds the one and,
as `data-e`, the place of the other's source in the script's list. There every symbol
carries its name, so that the page can show the same symbol everywhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import escape
from typing import Any
from xml.etree.ElementTree import Element, fromstring

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.evaluate import evaluate
from bptt.explain.algebra.expr import Expr, Time
from bptt.explain.algebra.point import Point, UnknownSymbolError
from bptt.explain.html.held import Held, held, hold
from bptt.explain.html.values import PageValues
from bptt.explain.html.words import both
from bptt.explain.model import (
    FAILED,
    LANGUAGES,
    NOT_CHECKED,
    PASSED,
    Chain,
    Check,
    Link,
    Text,
    Typed,
    show_error,
)
from bptt.explain.notation.greek import GREEK
from bptt.explain.notation.latex import LatexPrinter
from bptt.explain.notation.mathml import MathmlPrinter, wrap_mathml
from bptt.explain.notation.plain import to_unicode
from bptt.explain.notation.printer import ACCENTS, SCRIPT, split_name
from bptt.explain.texts import Piece, pieces
from bptt.page.tags import Markup, join, tag

_SHAPE = re.compile(r"\w+(×\w+)+")
# n_h, w_t, W_z in a sentence: one letter, and what stands below it.
_NAME = re.compile(r"(?<![A-Za-z0-9_])([A-Za-z])_([A-Za-z0-9_]+)")
# Operators that have no space around them anyway.
_TIGHT = frozenset("()∇∂:")


class ShortMathml(MathmlPrinter):
    """MathML with a step as one piece of text: a fallback may not double the page."""

    def step(self, time: Time | None) -> str:
        """(t+1), as a superscript."""
        return "" if time is None else f"<mtext>({show_time(time, tight=True)})</mtext>"


class SymbolLatex(LatexPrinter):
    r"""LaTeX for KaTeX alone: every symbol knows its name, \s{name}{symbol}."""

    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        """The symbol, marked."""
        return rf"\s{{{name}}}{{{super().symbol(name, sub, sup)}}}"


class ColouredLatex(SymbolLatex):
    r"""The same, where what stands before a gradient has the colour of its arrow.

    \q{later}{W^T diag(...)} ∇_{h^(t+1)} L: what comes from the next step; \q{now}{...}
    what comes from this one; whole: the one colour of everything.
    """

    def __init__(self, whole: str = "") -> None:
        self.whole = whole

    def __call__(self, expr: Expr, level: int = 0) -> str:
        """The expression with its colours."""
        if self.whole:
            return rf"\q{{{self.whole}}}{{{_LATEX(expr, level)}}}"
        if isinstance(expr, e.Product) and isinstance(expr.factors[-1], e.Nabla):
            *rest, last = expr.factors
            assert isinstance(last, e.Nabla)
            before = " ".join(_LATEX(factor, SCRIPT) for factor in rest)
            return rf"\q{{{arrow_of(last.of)}}}{{{before}}} {_LATEX(last)}"
        return super().__call__(expr, level)


def arrow_of(target: Expr) -> str:
    """The name of an arrow's colour by the step of the node that it leads to."""
    of = target.of if isinstance(target, e.Element) else target
    time = of.time if isinstance(of, e.Value) else None
    return "later" if time is not None and time.offset else "now"


_LATEX, _MATHML = SymbolLatex(), ShortMathml()


def symbols_latex(expr: Expr) -> str:
    """LaTeX in which every symbol knows its name, for the page's script."""
    return _LATEX(expr)


SIGNS = {
    PASSED: ("✓", "mark"), FAILED: ("✗", "mark failed"), NOT_CHECKED: ("?", "mark not"),
}  # fmt: skip


@dataclass
class PageWriter:
    """Writes the parts of one page.

    values, tex, parts: its numbers, its LaTeX, and what the script puts in;
    longest: bytes of MathML above which a formula falls back on a line of Unicode;
    is_packed: whether the script puts in what is long, too, which then is compressed.
    """

    point: Point
    values: PageValues
    longest: int = 100_000
    is_packed: bool = False
    has_italic_words: bool = False
    colours: ColouredLatex | None = None
    tex: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    _cache: dict[tuple[Expr, str | None], Markup] = field(default_factory=dict)
    _chains: int = 0

    # ----- formulas and sentences -----

    def eq(self, expr: Expr, *, is_side: bool = False) -> Markup:
        """A formula; is_side: one side of a chain, which "copy LaTeX" collects."""
        if isinstance(expr, e.Written):
            if expr.typeset is None:  # it may be broken between words
                return tag("code", expr.text, class_="written")
            expr = expr.typeset
        colours = self.colours if is_side else None
        key = expr, None if colours is None else colours.whole
        if key not in self._cache:
            inside = _plain_symbol(expr) or self._fallback(expr)
            latex = (colours or _LATEX)(expr)
            self.has_italic_words |= r"\mathit" in latex
            self._cache[key] = Markup(f"data-e={len(self.tex)}>{inside}</span>")
            self.tex.append(latex)
        side = "data-side " if is_side else ""
        return Markup(f"<span {side}{self._cache[key]}")

    def later(self, part: Markup) -> Markup:
        """A place that the script fills: for what is of no use without it."""
        self.parts.append(part)
        return tag("div", data_part=len(self.parts) - 1)

    def long(self, *parts: Any) -> Markup:
        """What is long: as it is, and of a very large page for the script to put in."""
        return self.later(join(*parts)) if self.is_packed else join(*parts)

    def data(self) -> str:
        """What a script needs for the formulas alone, as JSON."""
        return json.dumps({"tex": self.tex}, ensure_ascii=False)

    def _fallback(self, expr: Expr) -> str:
        """MathML; one line of Unicode for a formula that would be too long."""
        if self.longest:
            mathml = _shorten(wrap_mathml(_MATHML(expr)))
            if len(mathml) <= self.longest:
                return mathml
        return escape(to_unicode(expr))

    def text(self, text: Text) -> Markup:
        """A sentence in every language."""
        return both(*(self._pieces(text, language) for language in LANGUAGES))

    def _pieces(self, text: Text, language: str) -> Markup:
        shown = pieces(text, language, self.point.scope)
        return join(*(self._piece(piece) for piece in held(shown)))

    def _piece(self, piece: Piece | Held) -> Markup:
        if isinstance(piece, Held):
            return hold(piece.before, self.eq(piece.formula), piece.after)
        if isinstance(piece, Expr):
            return self.eq(piece)
        return tag("code", piece) if isinstance(piece, Typed) else lowered(piece)

    def cell(self, value: Any) -> Markup:
        """What stands in a table: a sentence, formula, check, number or plain text."""
        if isinstance(value, Text):
            return self.text(value)
        if isinstance(value, Expr):
            return self.eq(value)
        if isinstance(value, float):
            return join(
                f"{value:.1e}" if value and abs(value) < 1e-2 else f"{value:.4g}"
            )
        if isinstance(value, str) and _SHAPE.fullmatch(value):
            return lowered(value)
        return join("" if value is None else value)

    # ----- checks -----

    def mark(self, link: Link) -> Markup:
        """A tick, a cross or a question mark, with the error it stands for."""
        errors = [c.error for c in (link.tree, link.printed) if c.error is not None]
        error = max(errors) if errors else None
        return self.check(Check(link.status, error), is_short=True)

    def check(self, check: Check, *, is_short: bool = False) -> Markup:
        """A check as a sign and its error; is_short: the error as a tip."""
        sign, style = SIGNS[check.status]
        error = "" if check.error is None else show_error(check.error)
        if is_short:
            return tag("span", sign, class_=style, title=error if check.error else None)
        return tag("span", f"{sign} {error}", class_=style)

    # ----- chains -----

    def chain(self, chain: Chain, *, with_numbers: bool = True) -> Markup:
        """left = right, then = right below it; each with its reason and its mark."""
        first, *rest = chain.links
        rows: list[Any] = []
        for i, link in enumerate(rest):
            left = self.eq(first.expr, is_side=True) if i == 0 else ""
            reason = (
                None
                if link.reason is None
                else tag("span", self.text(link.reason), class_="why")
            )
            rows += [
                tag("div", left, class_="lhs"), tag("div", "="),
                tag("div", self.eq(link.expr, is_side=True), self.mark(link), reason,
                    class_="rhs"),
            ]  # fmt: skip
        if not rest:
            rows.append(tag("div", self.eq(first.expr, is_side=True), class_="rhs one"))
        about = tag("div", self._range(chain), class_="range")
        body = tag("div", *rows, about, class_="chain")
        numbers = self._numbers(chain) if with_numbers else None
        return tag("div", body, numbers, class_="eqrow")

    def _range(self, chain: Chain) -> Markup:
        """Bounds, free letters and number, in signs that need no translation."""
        parts: list[str] = []
        if chain.number:
            parts.append(f"({chain.number})")
        if chain.first is not None and chain.last is not None:
            first, last = show_time(chain.first), show_time(chain.last)
            parts.append(f"t = {first}" if first == last else f"{first} ≤ t ≤ {last}")
        if chain.letters:
            parts.append("∀ " + ", ".join(chain.letters))
        return join(*(tag("span", part) for part in parts))

    def _numbers(self, chain: Chain) -> Markup | None:
        """The common value of all sides, at the step in view."""
        if chain.letters or chain.is_written:
            return None
        found = self.by_step(chain.links[0].expr, chain.first, chain.last)
        if not found:
            return None
        self._chains += 1
        widget = self.values.widget(f"c{self._chains}", found)
        steps = (
            None
            if chain.first is None
            else tag(
                "span",
                "t = ",
                tag("b", str(self.values.first), data_now=True),
                class_="note",
            )
        )
        absent = "" if self.values.first in found else " absent"
        return tag("div", widget, steps, class_=f"values numbers{absent}")

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


def _plain_symbol(expr: Expr) -> Markup | None:
    """A lone symbol in HTML, which is shorter than MathML and as good: h^(t)."""
    if not isinstance(expr, e.Value):
        return None
    base, accent, label = split_name(expr.name)
    letter = GREEK.get(base, base) + ACCENTS.get(accent, "")
    step = None if expr.time is None else f"({show_time(expr.time, tight=True)})"
    return join(
        tag("i", letter), tag("sub", label) if label else None,
        tag("sup", step) if step else None,
    )  # fmt: skip


def lowered(text: str) -> Markup:
    """Plain text whose names have what stands below them there: n_h, W_z, n_y_hat."""
    return Markup(_NAME.sub(_lower, escape(text, quote=False)))


def _lower(match: re.Match[str]) -> str:
    base, below = match.groups()
    if below in ACCENTS:
        return f"<i>{base}{ACCENTS[below]}</i>"
    stem, _, accent = below.rpartition("_")
    below = stem + ACCENTS[accent] if stem and accent in ACCENTS else below
    return f"<i>{base}</i><sub>{below}</sub>"


def _shorten(mathml: str) -> str:
    """The same formula in fewer bytes; it was written by our own printer."""
    return _unwrapped(fromstring(mathml))  # noqa: S314


def _unwrapped(element: Element) -> str:
    # Written here: ElementTree's own writer looks for namespaces in every formula.
    name, attributes = element.tag, element.attrib
    parts = [_unwrapped(child) for child in element]
    if name == "mrow" and len(parts) == 1:
        return parts[0]
    if name == "mo" and element.text in _TIGHT:
        attributes = {}
    is_plain = attributes.get("mathvariant") == "normal" or element.text == "⊤"
    if is_plain or (name == "mo" and attributes):
        name, attributes = "mtext", {}  # no space around it, upright
    start = name + "".join(f' {key}="{escape(v)}"' for key, v in attributes.items())
    inside = escape(element.text or "", quote=False) + "".join(parts)
    return f"<{start}>{inside}</{name}>" if inside else f"<{start} />"


def show_time(time: Time, *, tight: bool = False) -> str:
    """1, t, τ − 1; tight: without spaces."""
    if not time.base:
        return str(time.offset)
    base = "τ" if time.base == "tau" else time.base
    if not time.offset:
        return base
    space = "" if tight else " "
    return f"{base}{space}{'+' if time.offset > 0 else '−'}{space}{abs(time.offset)}"


def at(t: int) -> Time:
    """A step by its number."""
    return Time("", t)


def value(name: str, lag: int | None) -> e.Value:
    """A symbol at step t + lag, or a parameter without a step."""
    return e.Value(name, None if lag is None else e.T.moved(lag))
