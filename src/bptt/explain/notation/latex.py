"""Expressions as LaTeX, for KaTeX, MathJax, GitHub and amsmath alike."""

from __future__ import annotations

import re

from bptt.explain.algebra.expr import Expr
from bptt.explain.notation.greek import GREEK, MACROS
from bptt.explain.notation.printer import Printer, number_parts, split_name

_SIGNS = {
    "plus": " + ", "minus": " - ", "plus_tight": "+", "minus_tight": "-", "open": "(",
    "close": ")", "comma": ",", "odot": r" \odot ", "nabla": r"\nabla",
    "partial": r"\partial", "total": r"\mathrm{d}", "transpose": r"\top",
    "delta": r"\delta", "equals_tight": "=", "one": r"\mathbf{1}",
    "identity": r"\mathbf{I}", "zero": r"\mathbf{0}", "greater": ">",
    "greater_equal": r"\ge ", "unit": r"\mathbf{e}", "colon": ":",
    "at_most": r" \le ", "equals": " = ", "dots": r", \dots, ",
    "left_square": r"\left[", "right_square": r"\right]", "semicolon": "; ",
    "given_by": r" \leftarrow ",
}  # fmt: skip
# In \texttt, of TeX and of KaTeX.
TYPED = {sign: rf"\{sign}" for sign in "_{}&%$#"} | {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip
_TYPED = re.compile("|".join(map(re.escape, TYPED)))
_MACROS = frozenset({"tanh", "sin", "cos", "exp", "log", "max", "min"})


class LatexPrinter(Printer):
    r"""Writes LaTeX.

    Names stay apart from indices: a label is upright, W_{\mathrm{f}}; an index is not.
    """

    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        base, accent, label = split_name(name)
        text = _letter(base)
        if accent:
            text = rf"\{accent}{{{text}}}"
        labels = [_worded("mathrm", label)] if label else []
        return self.script(text, ",".join([*labels, *([sub] if sub else [])]), sup)

    def over(self, name: str, sup: str) -> str:
        return self.script(rf"\overline{{{self.symbol(name)}}}", sup=sup)

    def script(self, base: str, sub: str = "", sup: str = "") -> str:
        below = f"_{{{sub}}}" if sub else ""
        return f"{base}{below}" + (f"^{{{sup}}}" if sup else "")

    def fraction(self, top: str, bottom: str) -> str:
        return rf"\frac{{{top}}}{{{bottom}}}"

    def bracket(self, text: str) -> str:
        return rf"\left({text}\right)"

    def between(self, text: str) -> str:
        return rf"\left|{text}\right|"

    def root(self, text: str) -> str:
        return rf"\sqrt{{{text}}}"

    def function(
        self, words: tuple[str, ...], arguments: list[str], sub: str = ""
    ) -> str:
        name = self.script("".join(map(_function, words)), sub)
        return name + self.bracket(", ".join(arguments))

    def sum_over(
        self, index: str, lower: str, upper: str, body: str, sign: str = "sum"
    ) -> str:
        return rf"\{sign}_{{{index}={lower}}}^{{{upper}}} {body}"

    def sign(self, name: str) -> str:
        return _SIGNS[name]

    def number(self, value: float) -> str:
        digits, exponent = number_parts(value)
        if exponent is None:
            return digits
        power = f"10^{{{exponent}}}"
        return power if digits == "1" else rf"{digits} \cdot {power}"

    def typed(self, text: str) -> str:
        return rf"\texttt{{{_TYPED.sub(lambda m: TYPED[m[0]], text)}}}"

    def word(self, text: str) -> str:
        if text == "tau":
            return r"\tau"
        base, _, label = text.partition("_")
        return self.script(_letter(base), sub=_subscript(label))


def _subscript(label: str) -> str:
    if not label:
        return ""
    return label if len(label) == 1 and label.isascii() else _worded("mathrm", label)


def _letter(base: str) -> str:
    if base in GREEK:
        return rf"\{base}"
    if len(base) == 1 and base.isascii():
        return base
    return rf"\{MACROS[base]}" if base in MACROS else _worded("mathit", base)


def _worded(font: str, word: str) -> str:
    """A word of several letters; letters that no font for formulas has are text."""
    shown = _escape(word)
    return rf"\{font if shown.isascii() else 'text'}{{{shown}}}"


def _function(word: str) -> str:
    if word in _MACROS or word in GREEK:
        return rf"\{word}"
    return rf"\operatorname{{{_escape(word)}}}"


def _escape(text: str) -> str:
    signs = (rf"\{MACROS[sign]} " if sign in MACROS else sign for sign in text)
    return "".join(signs).rstrip().replace("_", r"\_")


LATEX = LatexPrinter()


def to_latex(expr: Expr) -> str:
    """An expression as LaTeX, without delimiters."""
    return LATEX(expr)
