"""How an expression is laid out, whatever the format: brackets, order, signs.

A format says how a symbol, a script, a fraction and the few signs look; everything else
is here, so the formats cannot differ in what they say.

    level   of              inside a tighter one it is bracketed
    0       sum, -u
    1       Σ, u ⊙ v
    2       A B c
    3       u^p, A^T
    4       a symbol, f(u)
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra import written as w
from bptt.explain.algebra.expr import Expr, Time
from bptt.step.ops import OPS

SUM, LOOSE, PRODUCT, SCRIPT, ATOM = range(5)
ACCENTS = {"hat": "\u0302", "tilde": "\u0303", "bar": "\u0304"}


def split_name(name: str) -> tuple[str, str, str]:
    """A name's base, accent and label: y_hat -> (y, hat, ""), b_f -> (b, "", f)."""
    base, _, rest = name.partition("_")
    if not base or not rest:
        return name, "", ""
    if rest in ACCENTS:
        return base, rest, ""
    for accent in ACCENTS:
        if rest.startswith(f"{accent}_"):
            return base, accent, rest[len(accent) + 1 :]
    return base, "", rest


def function_words(function: str) -> tuple[str, ...]:
    """The name of a function in print, from its row in the table: ("log", "softmax").

    A Greek letter is spelt out, "sigma"; where the row is no call of a name, as of the
    sum over i or of -log, the function goes by its own.
    """
    head, *rest = OPS[function].latex.split(r"\left(")
    if not rest or not head or "{0}" in head or "_i" in head:
        return (function,)
    return tuple(re.findall(r"[A-Za-z]+", head.replace("operatorname", "")))


def number_parts(value: float) -> tuple[str, int | None]:
    """A number as digits and a power of ten: 1e-05 -> ("1", -5), 0.5 -> ("0.5", None).

    The digits read back to the same float.
    """
    text = repr(value).removesuffix(".0")
    digits, _, exponent = text.partition("e")
    return digits, int(exponent) if exponent else None


class Printer(ABC):
    """Writes expressions in one format; call it with an expression.

    quotient_level: how tightly a quotient binds; a bar binds all, a slash does not.
    has_formulas: whether what the language of cells writes is shown as a formula.
    """

    quotient_level = ATOM
    has_formulas = True

    def __call__(self, expr: Expr, level: int = SUM) -> str:
        """The expression, bracketed if it binds less than `level`."""
        text, own = _WRITERS[type(expr)](self, expr)
        return text if own >= level else self.bracket(text)

    # ----- what a format says -----

    @abstractmethod
    def symbol(self, name: str, sub: str = "", sup: str = "") -> str:
        """A named value with scripts; sub: written indices, sup: written step."""

    @abstractmethod
    def over(self, name: str, sup: str) -> str:
        """A named value with a line over it: what arrives from outside."""

    @abstractmethod
    def script(self, base: str, sub: str = "", sup: str = "") -> str:
        """A written base with scripts."""

    @abstractmethod
    def fraction(self, top: str, bottom: str) -> str:
        """One over the other, for a derivative or a quotient."""

    @abstractmethod
    def bracket(self, text: str) -> str:
        """Round brackets."""

    @abstractmethod
    def between(self, text: str) -> str:
        """Upright bars around: an absolute value."""

    @abstractmethod
    def root(self, text: str) -> str:
        """A square root."""

    @abstractmethod
    def function(
        self, words: tuple[str, ...], arguments: list[str], sub: str = ""
    ) -> str:
        """f(u, v); sub: the written index that it runs along, max_j(u)."""

    @abstractmethod
    def sum_over(
        self, index: str, lower: str, upper: str, body: str, sign: str = "sum"
    ) -> str:
        """Σ with its bounds."""

    @abstractmethod
    def sign(self, name: str) -> str:
        """A sign by its name in `SIGNS`."""

    @abstractmethod
    def number(self, value: float) -> str:
        """A number that reads back to the same float."""

    @abstractmethod
    def word(self, text: str) -> str:
        """A letter or dimension: i, t, n_h, tau."""

    @abstractmethod
    def typed(self, text: str) -> str:
        """Text of the language of cells, as it stands."""

    def row(self, parts: list[str]) -> str:
        """Parts side by side."""
        return " ".join(parts)

    # ----- the conditions under which a chain holds -----

    def steps(self, first: Time, last: Time) -> str:
        """1 <= t <= tau-1, or t = tau."""
        if first == last:
            return self.word("t") + self.sign("equals") + self.time(first)
        bound = self.sign("at_most")
        return self.time(first) + bound + self.word("t") + bound + self.time(last)

    def letter(self, letter: str, dim: str | int) -> str:
        """i = 1, ..., n_h."""
        last = self.number(float(dim)) if isinstance(dim, int) else self.word(dim)
        return (
            self.word(letter)
            + self.sign("equals")
            + self.number(1.0)
            + (self.sign("dots") + last)
        )

    # ----- shared pieces -----

    def time(self, time: Time) -> str:
        """t, t+1, tau, 3."""
        if not time.base:
            return self.number(float(time.offset))
        base = self.composed(time.base)
        if not time.offset:
            return base
        sign = "plus_tight" if time.offset > 0 else "minus_tight"
        return f"{base}{self.sign(sign)}{self.number(float(abs(time.offset)))}"

    def step(self, time: Time | None) -> str:
        """(t+1), as a superscript."""
        if time is None:
            return ""
        return f"{self.sign('open')}{self.time(time)}{self.sign('close')}"

    def indices(self, indices: tuple[str | e.Value, ...]) -> str:
        """i, j."""
        return self.sign("comma").join(self.index(index) for index in indices)

    def index(self, index: str | e.Value) -> str:
        """A letter, a place such as l+k or wrap(i-k), or a class."""
        return self.composed(index) if isinstance(index, str) else self(index)

    def composed(self, text: str) -> str:
        """Names and numbers with signs between them: t-2**k, 1, ..., n_h."""
        found: list[str] = []
        for match in _COMPOSED.finditer(text):
            if match["power"]:
                base, exponent = match["power"].split("**")
                found.append(self.script(self._atom(base), sup=self._atom(exponent)))
            elif match["sign"]:
                found.append(self.sign(_COMPOSING[match["sign"]]))
            else:
                found.append(self._atom(match[0]))
        return "".join(found)

    def _atom(self, text: str) -> str:
        return self.number(float(text)) if text.isdigit() else self.word(text)


# In places and steps: t-2**k, wrap(i-k), 1, ..., n_h.
_COMPOSING = {"+": "plus_tight", "-": "minus_tight", "(": "open", ")": "close",
              ",...,": "dots", ",": "comma"}  # fmt: skip
_COMPOSED = re.compile(r"(?P<power>\w+\*\*\w+)|\w+|(?P<sign>,\.\.\.,|[-+(),])")
# How the language's functions are called in print, and the others as they are.
CALLED_WORDS = {
    "sigmoid": ("sigma",), "softplus": ("zeta",), "layer_norm": ("LN",),
    "maximum": ("max",), "minimum": ("min",), "stop_gradient": ("stop",),
    "log_softmax": ("log", "softmax"),
}  # fmt: skip
SIGNS = (
    "plus", "minus", "plus_tight", "minus_tight", "open", "close", "comma", "odot",
    "nabla", "partial", "total", "transpose", "delta", "equals_tight", "one",
    "identity", "zero", "greater", "greater_equal", "unit", "colon", "at_most",
    "equals", "dots", "left_square", "right_square", "semicolon",
    "given_by",
)  # fmt: skip
Written = tuple[str, int]


def _number(p: Printer, x: e.Number) -> Written:
    if x.value < 0:
        return p.sign("minus_tight") + p.number(-x.value), SUM
    return p.number(x.value), ATOM if number_parts(x.value)[1] is None else PRODUCT


def _value(p: Printer, x: e.Value) -> Written:
    return p.symbol(x.name, sup=p.step(x.time)), SCRIPT if x.time else ATOM


def _gradient(p: Printer, x: e.Nabla | w.NablaPart) -> Written:
    nabla = p.script(p.sign("nabla"), sub=p(x.of))
    return p.row([nabla, p.symbol("L")]), PRODUCT


def _incoming(p: Printer, x: e.Incoming) -> Written:
    return p.over(x.of.name, p.step(x.of.time)), SCRIPT


def _incoming_part(p: Printer, x: w.IncomingPart) -> Written:
    inner = x.of.of
    assert isinstance(inner, e.Value)
    base = p.over(inner.name, "")
    return p.script(base, p.indices(x.of.indices), p.step(inner.time)), SCRIPT


def _element(p: Printer, x: e.Element) -> Written:
    sub = p.indices(x.indices)
    if isinstance(x.of, e.Value):
        text = p.symbol(x.of.name, sub=sub, sup=p.step(x.of.time))
        return text, SCRIPT if x.of.time else ATOM
    if isinstance(x.of, e.Jacobian):
        return p.script(p.bracket(p(x.of)), sub=sub), SCRIPT
    return p.script(p(x.of, ATOM), sub=sub), SCRIPT


def _jacobian(p: Printer, x: e.Jacobian) -> Written:
    d = p.sign("total" if x.total else "partial")
    return p.fraction(p.row([d, p(x.target)]), p.row([d, p(x.source)])), ATOM


def _transpose(p: Printer, x: e.Transpose) -> Written:
    top = p.sign("transpose")
    if isinstance(x.of, e.Value):
        return p.symbol(x.of.name, sup=p.step(x.of.time) + top), SCRIPT
    if isinstance(x.of, e.Element) and isinstance(x.of.of, e.Value):
        inner, sub = x.of.of, p.indices(x.of.indices)
        return p.symbol(inner.name, sub=sub, sup=p.step(inner.time) + top), SCRIPT
    if isinstance(x.of, e.Jacobian):
        return p.script(p.bracket(p(x.of)), sup=top), SCRIPT
    return p.script(_base(p, x.of), sup=top), SCRIPT


def _base(p: Printer, x: Expr) -> str:
    """What a script stands at: a fraction is bracketed, or its denominator has it."""
    text = p(x, ATOM)
    return p.bracket(text) if isinstance(x, e.Quotient) and p(x) == text else text


def _power(p: Printer, x: e.Power) -> Written:
    return p.script(_base(p, x.of), sup=p(x.exponent)), SCRIPT


def _product(p: Printer, x: e.Product) -> Written:
    *rest, last = x.factors
    parts = [p(factor, SCRIPT) for factor in rest]
    # A gradient in front of another factor is bracketed: (∇_h L) x^T, not ∇_h (L x^T).
    tail = PRODUCT if isinstance(last, e.Nabla | w.NablaPart) else SCRIPT
    return p.row([*parts, p(last, tail)]), PRODUCT


def _hadamard(p: Printer, x: e.Hadamard) -> Written:
    sign = p.sign("odot")
    return sign.join(p(factor, PRODUCT) for factor in x.factors), LOOSE


def _quotient(p: Printer, x: e.Quotient) -> Written:
    return p.fraction(p(x.top), p(x.bottom)), p.quotient_level


def _sum(p: Printer, x: e.Sum) -> Written:
    text = p(x.terms[0])
    for term in x.terms[1:]:
        if isinstance(term, e.Negative):
            text += p.sign("minus") + p(term.of, LOOSE)
        else:
            text += p.sign("plus") + p(term, LOOSE)
    return text, SUM


def _negative(p: Printer, x: e.Negative) -> Written:
    return p.sign("minus_tight") + p(x.of, LOOSE), SUM


def _sigma(p: Printer, x: e.Sigma) -> Written:
    upper = p.time(x.upper) if isinstance(x.upper, Time) else _dim(p, x.upper)
    body = p(x.body, LOOSE if isinstance(x.body, e.Sigma) else PRODUCT)
    return p.sum_over(p.word(x.index), p.time(x.lower), upper, body), LOOSE


def _step_product(p: Printer, x: e.StepProduct) -> Written:
    lower, upper = p.time(x.lower), p.time(x.upper)
    body = p(x.body, PRODUCT)
    return p.sum_over(p.word(x.index), lower, upper, body, "prod"), LOOSE


def _dim(p: Printer, dim: str | int) -> str:
    """n_h, 3, or a sum, n_h + n_x."""
    parts = str(dim).split("+")
    return p.sign("plus").join(
        p.number(float(part)) if part.isdigit() else p.word(part) for part in parts
    )


def _size(p: Printer, x: e.Size) -> Written:
    return _dim(p, x.dim), SUM if "+" in str(x.dim) else ATOM


def _delta(p: Printer, x: e.Delta) -> Written:
    if isinstance(x.second, str):
        return p.script(p.sign("delta"), sub=p.indices((x.first, x.second))), ATOM
    equal = p.word(x.first) + p.sign("equals_tight") + p(x.second)
    return p.script(p.sign("one"), sub=equal), ATOM


def _of_size(sign: str) -> Callable[[Printer, Any], Written]:
    return lambda p, x: (p.script(p.sign(sign), sub=_dim(p, x.dim)), ATOM)


def _zeros(p: Printer, x: e.Zeros) -> Written:
    sub = _dim(p, x.rows) + p.sign("comma") + _dim(p, x.columns)
    return p.script(p.sign("zero"), sub=sub), ATOM


# What is 1 where it is true, and its sign.
RELATIONS = {"greater": "greater", "greater_equal": "greater_equal",
             "equal": "equals_tight"}  # fmt: skip


def _called(p: Printer, x: w.Called) -> Written:
    words = CALLED_WORDS.get(x.function, (x.function,))
    along = p.word(x.along) if x.along else ""
    return p.function(words, [p(a) for a in x.arguments], along), ATOM


def _joined(p: Printer, x: w.Joined) -> Written:
    inside = p.sign("semicolon").join(p(part) for part in x.parts)
    return p.sign("left_square") + inside + p.sign("right_square"), ATOM


def _as_written(p: Printer, x: e.Written) -> Written:
    if p.has_formulas and x.typeset is not None:
        return _WRITERS[type(x.typeset)](p, x.typeset)
    return p.typed(x.text), ATOM


def _call(p: Printer, x: e.Applied) -> Written:
    arguments = [p(argument) for argument in x.arguments]
    if x.function in RELATIONS:
        relation = arguments[0] + p.sign(RELATIONS[x.function]) + arguments[1]
        return p.script(p.sign("one"), sub=relation), ATOM
    if x.function == "lookup":
        matrix = x.arguments[0]
        sub = p.sign("colon") + p.sign("comma") + arguments[1]
        if isinstance(matrix, e.Element) and isinstance(matrix.of, e.Value):
            sub = p.indices(matrix.indices) + p.sign("comma") + sub
            matrix = matrix.of
        if not isinstance(matrix, e.Value):
            return p.script(p(matrix, ATOM), sub=sub), SCRIPT
        text = p.symbol(matrix.name, sub=sub, sup=p.step(matrix.time))
        return text, SCRIPT if matrix.time else ATOM
    if x.function == "abs":
        return p.between(arguments[0]), ATOM
    if x.function == "sqrt":
        return p.root(arguments[0]), ATOM
    if x.data is not None:
        arguments.append(p(e.Number(x.data)))
    return p.function(function_words(x.function), arguments), ATOM


_WRITERS: dict[type[Expr], Callable[[Printer, Any], Written]] = {
    e.Number: _number,
    e.Size: _size,
    e.Value: _value,
    e.Nabla: _gradient,
    e.Incoming: _incoming,
    e.Weight: lambda p, x: (p.script(p.word("w"), sub=p.time(x.time)), ATOM),
    e.Identity: _of_size("identity"),
    e.Ones: _of_size("one"),
    e.Zeros: _zeros,
    e.UnitVector: lambda p, x: (p.script(p.sign("unit"), sub=p(x.index)), ATOM),
    e.Delta: _delta,
    e.Written: _as_written,
    w.NablaPart: _gradient,
    w.IncomingPart: _incoming_part,
    w.Called: _called,
    w.Joined: _joined,
    w.GivenBack: lambda p, x: (p(x.of) + p.sign("given_by") + p(x.reader), SUM),
    e.Element: _element,
    e.Jacobian: _jacobian,
    e.Transpose: _transpose,
    e.Diag: lambda p, x: (p.function(("diag",), [p(x.of)]), ATOM),
    e.Product: _product,
    e.Hadamard: _hadamard,
    e.Quotient: _quotient,
    e.Power: _power,
    e.Sum: _sum,
    e.Negative: _negative,
    e.Applied: _call,
    e.Sigma: _sigma,
    e.StepProduct: _step_product,
}
