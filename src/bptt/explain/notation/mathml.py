"""Expressions as presentation MathML, which browsers draw without any script."""

from __future__ import annotations

from html import escape

from bptt.explain.algebra.expr import Expr
from bptt.explain.notation.greek import GREEK
from bptt.explain.notation.printer import (
    ACCENTS,
    Printer,
    number_parts,
    split_name,
)


def _operator(text: str, *, tight: bool = False) -> str:
    space = ' lspace="0" rspace="0"' if tight else ""
    return f"<mo{space}>{escape(text)}</mo>"


_SIGNS = {
    "plus": _operator("+"), "minus": _operator("−"),
    "plus_tight": _operator("+", tight=True),
    "minus_tight": _operator("−", tight=True),
    "open": _operator("(", tight=True), "close": _operator(")", tight=True),
    "comma": _operator(",", tight=True), "odot": _operator("⊙"),
    "nabla": _operator("∇", tight=True), "partial": _operator("∂", tight=True),
    "total": '<mi mathvariant="normal">d</mi>', "transpose": _operator("⊤", tight=True),
    "delta": "<mi>δ</mi>", "equals_tight": _operator("=", tight=True),
    "one": "<mn>𝟏</mn>", "identity": "<mi>𝐈</mi>", "zero": "<mn>𝟎</mn>",
    "greater": _operator(">", tight=True), "greater_equal": _operator("≥", tight=True),
    "unit": "<mi>𝐞</mi>", "colon": _operator(":", tight=True),
    "at_most": _operator("≤"), "equals": _operator("="),
    "dots": _operator(",") + "<mo>…</mo>" + _operator(","),
    "left_square": "<mo>[</mo>", "right_square": "<mo>]</mo>",
    "semicolon": "<mo>;</mo>", "given_by": _operator("←"),
}  # fmt: skip


class MathmlPrinter(Printer):
    """Writes MathML elements; `to_mathml` adds the outer one."""

    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        base, accent, label = split_name(name)
        text = _letter(base)
        if accent:
            mark = {"hat": "^", "tilde": "~", "bar": "¯"}[accent]
            text = f'<mover accent="true">{text}<mo>{mark}</mo></mover>'
        labels = [f'<mi mathvariant="normal">{escape(label)}</mi>'] if label else []
        below = _SIGNS["comma"].join([*labels, *([sub] if sub else [])])
        return self.script(text, below, sup)

    def over(self, name: str, sup: str) -> str:
        text = f"<mover>{self.symbol(name)}<mo>¯</mo></mover>"
        return self.script(text, sup=sup)

    def script(self, base: str, sub: str = "", sup: str = "") -> str:
        if not sub and not sup:
            return base
        base, sub, sup = _row(base), sub and _row(sub), sup and _row(sup)
        if sub and sup:
            return f"<msubsup>{base}{sub}{sup}</msubsup>"
        if sub:
            return f"<msub>{base}{sub}</msub>"
        return f"<msup>{base}{sup}</msup>"

    def fraction(self, top: str, bottom: str) -> str:
        return f"<mfrac>{_row(top)}{_row(bottom)}</mfrac>"

    def bracket(self, text: str) -> str:
        return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"

    def between(self, text: str) -> str:
        return f"<mrow><mo>|</mo>{text}<mo>|</mo></mrow>"

    def root(self, text: str) -> str:
        return f"<msqrt>{text}</msqrt>"

    def function(
        self, words: tuple[str, ...], arguments: list[str], sub: str = ""
    ) -> str:
        names = " ".join(GREEK.get(word, word) for word in words)
        inside = "<mo>,</mo>".join(arguments)
        return self.script(f"<mi>{names}</mi>", sub) + self.bracket(inside)

    def sum_over(
        self, index: str, lower: str, upper: str, body: str, sign: str = "sum"
    ) -> str:
        mark = "∏" if sign == "prod" else "∑"
        below = _row(index + _SIGNS["equals_tight"] + lower)
        return f"<munderover><mo>{mark}</mo>{below}{_row(upper)}</munderover>{body}"

    def sign(self, name: str) -> str:
        return _SIGNS[name]

    def number(self, value: float) -> str:
        digits, exponent = number_parts(value)
        if exponent is None:
            return f"<mn>{digits}</mn>"
        power = f"<msup><mn>10</mn><mn>{exponent}</mn></msup>"
        return power if digits == "1" else f"<mn>{digits}</mn><mo>·</mo>{power}"

    def typed(self, text: str) -> str:
        return f"<mtext>{escape(text)}</mtext>"

    def word(self, text: str) -> str:
        if text == "tau":
            return "<mi>τ</mi>"
        base, _, label = text.partition("_")
        return self.script(
            _letter(base), sub=f"<mi>{escape(label)}</mi>" if label else ""
        )

    def row(self, parts: list[str]) -> str:
        return "".join(parts)


def _letter(base: str) -> str:
    return f"<mi>{GREEK.get(base, escape(base))}</mi>"


def _row(text: str) -> str:
    return f"<mrow>{text}</mrow>"


MATHML = MathmlPrinter()
assert ACCENTS.keys() == {"hat", "tilde", "bar"}


def to_mathml(expr: Expr, *, block: bool = False) -> str:
    """An expression as a `<math>` element."""
    return wrap_mathml(MATHML(expr), block=block)


def wrap_mathml(inside: str, *, block: bool = False) -> str:
    """MathML elements in a `<math>` element of their own."""
    display = ' display="block"' if block else ""
    return f"<math{display}><mrow>{inside}</mrow></math>"
