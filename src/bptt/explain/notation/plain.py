"""Expressions for a terminal: Unicode, or ASCII in the notation that `parse` reads.

Unicode   Wᵀ diag(1 − (h⁽ᵗ⁺¹⁾)²) ∇_h⁽ᵗ⁺¹⁾ L
ASCII     W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Time
from bptt.explain.notation.greek import GREEK
from bptt.explain.notation.parse import is_scalar_form
from bptt.explain.notation.printer import (
    ACCENTS,
    LOOSE,
    Printer,
    number_parts,
    split_name,
)

_SUPERSCRIPTS = dict(zip("0123456789+-−()tsTijk", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ᵗˢᵀⁱʲᵏ", strict=True))
_SUBSCRIPTS = dict(zip("0123456789+-−()=ijklmt", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎₌ᵢⱼₖₗₘₜ", strict=True))
_SIGNS = {
    "plus": " + ", "minus": " − ", "plus_tight": "+", "minus_tight": "−", "open": "(",
    "close": ")", "comma": ",", "odot": " ⊙ ", "nabla": "∇", "partial": "∂",
    "total": "d", "transpose": "T", "delta": "δ", "equals_tight": "=", "one": "𝟏",
    "identity": "I", "zero": "𝟎", "greater": ">", "greater_equal": "≥", "unit": "e",
    "colon": ":", "at_most": " ≤ ", "equals": " = ", "dots": ", …, ",
    "left_square": "[", "right_square": "]", "semicolon": "; ",
    "given_by": " ← ",
}  # fmt: skip


class UnicodePrinter(Printer):
    """Writes one line of Unicode."""

    quotient_level = LOOSE
    has_formulas = False

    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        base, accent, label = split_name(name)
        text = GREEK.get(base, base)
        if accent == "hat" and base == "y":
            text = "ŷ"
        elif accent:
            text += ACCENTS[accent]
        if label:
            text += f"_{label}"
        return self.script(text, sub, sup)

    def over(self, name: str, sup: str) -> str:
        return self.script(f"{self.symbol(name)}\u0305", sup=sup)

    def script(self, base: str, sub: str = "", sup: str = "") -> str:
        if base == _SIGNS["nabla"]:
            return f"{base}_{sub}"
        return base + _lowered(sub) + _raised(sup)

    def fraction(self, top: str, bottom: str) -> str:
        return f"{_joined(top)}/{_joined(bottom)}"

    def bracket(self, text: str) -> str:
        return f"({text})"

    def between(self, text: str) -> str:
        return f"|{text}|"

    def root(self, text: str) -> str:
        return f"√({text})"

    def function(
        self, words: tuple[str, ...], arguments: list[str], sub: str = ""
    ) -> str:
        name = " ".join(GREEK.get(w, w) for w in words) + _lowered(sub)
        return f"{name}({', '.join(arguments)})"

    def sum_over(
        self, index: str, lower: str, upper: str, body: str, sign: str = "sum"
    ) -> str:
        return f"{'Π' if sign == 'prod' else 'Σ'}_{{{index}={lower}..{upper}}} {body}"

    def sign(self, name: str) -> str:
        return _SIGNS[name]

    def number(self, value: float) -> str:
        digits, exponent = number_parts(value)
        if exponent is None:
            return digits
        power = "10" + _raised(str(exponent))
        return power if digits == "1" else f"{digits}·{power}"

    def word(self, text: str) -> str:
        return "τ" if text == "tau" else text

    def typed(self, text: str) -> str:
        return text

    def row(self, parts: list[str]) -> str:
        is_derivative = parts[0] in (_SIGNS["partial"], _SIGNS["total"])
        return "".join(parts) if is_derivative else " ".join(parts)


def _raised(text: str) -> str:
    if not text:
        return ""
    if all(character in _SUPERSCRIPTS for character in text):
        return "".join(_SUPERSCRIPTS[character] for character in text)
    # There is no raised tau: the step stays on the line, a T after it is raised.
    body = text.removesuffix("T")
    raised = f"^{body}" if body.startswith("(") else f"^({body})"
    return raised + _SUPERSCRIPTS["T"] * (len(text) - len(body))


def _lowered(text: str) -> str:
    if not text:
        return ""
    bare = text.replace(",", "")
    if all(character in _SUBSCRIPTS for character in bare):
        return "".join(_SUBSCRIPTS[character] for character in bare)
    return f"_{text}" if text.isidentifier() else f"_{{{text}}}"


def _joined(text: str) -> str:
    """Brackets around what a slash would tear apart."""
    is_whole = not any(sign in text for sign in (" ", "/", "⊙"))
    return text if is_whole else f"({text})"


UNICODE = UnicodePrinter()


def to_unicode(expr: Expr) -> str:
    """An expression as one line of Unicode."""
    return UNICODE(expr)


# ----- ASCII: the notation of `parse`, so that it can be pasted back -----

_SUM, _TERM, _POWER, _ATOM = range(4)
Written = tuple[str, int]


def to_ascii(expr: Expr) -> str:
    """An expression in the notation of formulas; `parse` reads it back."""
    return _written(expr, _SUM)


def _written(expr: Expr, level: int) -> str:
    text, own = _ASCII[type(expr)](expr)
    return text if own >= level else f"({text})"


def _reference(end: e.Value | e.Element) -> str:
    value = end.of if isinstance(end, e.Element) else end
    assert isinstance(value, e.Value)
    inside = [] if value.time is None else [str(value.time)]
    if isinstance(end, e.Element):
        inside += map(_index, end.indices)
    return f"{value.name}[{','.join(inside)}]" if inside else value.name


def _index(index: str | e.Value) -> str:
    return index if isinstance(index, str) else _reference(index)


def _element(x: e.Element) -> Written:
    if isinstance(x.of, e.Value):
        return _reference(x), _ATOM
    if isinstance(x.of, e.Nabla):
        return f"grad_{_reference(e.Element(x.of.of, x.indices))}", _ATOM
    return f"{_written(x.of, _ATOM)}[{','.join(map(_index, x.indices))}]", _ATOM


def _ascii_number(x: e.Number) -> Written:
    text = repr(x.value).removesuffix(".0")
    return text, _ATOM if x.value >= 0 else _SUM


def _ascii_sum(x: e.Sum) -> Written:
    text = _written(x.terms[0], _TERM if len(x.terms) > 1 else _SUM)
    if isinstance(x.terms[0], e.Negative):
        text = _written(x.terms[0], _SUM)
    for term in x.terms[1:]:
        if isinstance(term, e.Negative):
            text += f" - {_written(term.of, _TERM)}"
        else:
            text += f" + {_written(term, _TERM)}"
    return text, _SUM


def _ascii_product(x: e.Product) -> Written:
    text, is_scalar = _written(x.factors[0], _POWER), is_scalar_form(x.factors[0])
    for factor in x.factors[1:]:
        scales = is_scalar or is_scalar_form(factor)
        text += (" * " if scales else " @ ") + _written(factor, _POWER)
        is_scalar = is_scalar and is_scalar_form(factor)
    return text, _TERM


def _ascii_sigma(x: e.Sigma) -> Written:
    if isinstance(x.upper, Time):
        bounds = f"{x.index}, {x.lower}, {x.upper}"
    else:
        bounds = f"{x.index}, {x.upper}"
    return f"sum({bounds}, {_written(x.body, _SUM)})", _ATOM


def _ascii_call(x: e.Applied) -> Written:
    arguments = [_written(argument, _SUM) for argument in x.arguments]
    if x.function in ("greater", "greater_equal"):
        sign = ">" if x.function == "greater" else ">="
        return f"({arguments[0]} {sign} {arguments[1]})", _ATOM
    if x.data is not None:
        arguments.append(f"eps={x.data!r}")
    return f"{x.function}({', '.join(arguments)})", _ATOM


def _ascii_jacobian(x: e.Jacobian) -> Written:
    name = "total" if x.total else "partial"
    return f"{name}({_reference(x.target)}, {_reference(x.source)})", _ATOM


def _ascii_delta(x: e.Delta) -> Written:
    return f"delta({x.first}, {_index(x.second)})", _ATOM


def _ascii_quotient(x: e.Quotient) -> Written:
    return f"{_written(x.top, _TERM)} / {_written(x.bottom, _POWER)}", _TERM


_ASCII: dict[type[Expr], Callable[[Any], Written]] = {
    e.Number: _ascii_number,
    e.Size: lambda x: (x.dim, _SUM if "+" in x.dim else _ATOM),
    e.Value: lambda x: (_reference(x), _ATOM),
    e.Nabla: lambda x: (f"grad_{_reference(x.of)}", _ATOM),
    e.Incoming: lambda x: (f"incoming({_reference(x.of)})", _ATOM),
    e.Weight: lambda x: (f"w[{x.time}]", _ATOM),
    e.Identity: lambda x: (f"eye({x.dim})", _ATOM),
    e.Ones: lambda x: (f"ones({x.dim})", _ATOM),
    e.Zeros: lambda x: (f"zeros({x.rows}, {x.columns})", _ATOM),
    e.UnitVector: lambda x: (f"one_hot({_reference(x.index)}, {x.dim})", _ATOM),
    e.Delta: _ascii_delta,
    e.Written: lambda x: (x.text, _ATOM),
    e.Element: _element,
    e.Jacobian: _ascii_jacobian,
    e.Transpose: lambda x: (f"{_written(x.of, _ATOM)}.T", _ATOM),
    e.Diag: lambda x: (f"diag({_written(x.of, _SUM)})", _ATOM),
    e.Product: _ascii_product,
    e.Hadamard: lambda x: (" * ".join(_written(f, _POWER) for f in x.factors), _TERM),
    e.Quotient: _ascii_quotient,
    e.Power: lambda x: (
        f"{_written(x.of, _ATOM)}**{_written(x.exponent, _ATOM)}", _POWER
    ),
    e.Sum: _ascii_sum,
    e.Negative: lambda x: (f"-{_written(x.of, _TERM)}", _SUM),
    e.Applied: _ascii_call,
    e.Sigma: _ascii_sigma,
    e.StepProduct: lambda x: (
        f"prod({x.index}, {x.lower}, {x.upper}, {_written(x.body, _SUM)})", _ATOM
    ),
}  # fmt: skip
