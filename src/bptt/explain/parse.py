"""A formula as text to an expression tree with its places in the text.

    grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]
    ∇h[t]     = Wᵀ @ diag(1 - h[t+1]²) @ ∇h[t+1] + Vᵀ @ ∇o[t]

    h[t+1] h[tau] h[0]     a value           W   W[t]           a parameter, its copy
    h[t,i] W[i,j]          an element        partial(h[t], a[t])   or ∂h[t]/∂a[t]
    total(h[t], W)         the derivative along all paths
    sum(t, 1, tau, u)      over steps        sum(i, n_h, u)     over an index
    delta(i, j)  delta(i, y[t])  one_hot(y[t], n_o)  eye(n_h)  ones(n_h)  n_h  tau  w[t]

`@` is the matrix product, `*` element by element, as in the language of cells. The text
is read, never run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from bptt.errors import ArgumentError, Span
from bptt.explain import expr as e
from bptt.explain.expr import Expr, Time
from bptt.explain.point import Scope
from bptt.explain.shape import SCALAR, FormulaShapeError, shape_of
from bptt.ops import OPS

LETTERS = frozenset("ijklm")
STEPS = ("t", "s", "tau")
CALLS = frozenset(name for name, op in OPS.items() if op.written == "call")
MAX_LENGTH, MAX_DEPTH = 2000, 60
_TOKEN = re.compile(
    r"(?P<number>\d+(\.\d+)?([eE][+-]?\d+)?)|(?P<name>[^\W\dᵀ²][^\Wᵀ²]*)"
    r"|(?P<symbol>\*\*|\.T\b|[-+*/@^=()\[\],:∇∂⊙·ᵀ²>])"
)
_SPELLINGS = {"⊙": "*", "·": "@", "ᵀ": ".T", "^": "**"}


class FormulaSyntaxError(ArgumentError):
    """A formula is not written in the notation of equations."""

    def __init__(self, text: str, span: e.Span, problem: str, fix: str = "") -> None:
        """Compose the message: the formula, a caret, the problem, the likely fix."""
        fix = f"\nLikely fix: {fix}" if fix else ""
        super().__init__(f"{quote(text, span)}\n{problem}{fix}")
        self.span = span


def quote(text: str, span: e.Span) -> str:
    """The formula with carets under a piece of it."""
    return Span(1, text, *span).quote()


def parse_formula(text: str, scope: Scope) -> tuple[Expr, ...]:
    """The sides of an equation, or the one expression, left to right.

    Raises: FormulaSyntaxError, UnknownSymbolError.
    """
    return _Reader(text, scope).formula()


def parse(text: str, scope: Scope) -> Expr:
    """One expression without its places."""
    (found,) = parse_formula(text, scope)
    return e.rebuild(found, lambda part: replace(part, span=None))


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._dims = {str(dim) for dim in scope.graph.dims()}
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    # ----- tokens -----

    def _split(self) -> list[_Token]:
        text = self._text
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_LENGTH:
            raise ArgumentError(
                f"a formula is a text of 1 to {MAX_LENGTH} characters, for example "
                "'grad_h[t] = V.T @ grad_o[t]'"
            )
        tokens, at = [], 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(text, at)
            if match is None:
                self._fail((at, at + 1), f"{text[at]!r} is not part of a formula")
            kind = "symbol"
            if match["name"] or match["number"]:
                kind = "name" if match["name"] else "number"
            tokens.append(_Token(kind, _spelt(match[0]), at, match.end()))
            at = match.end()
        return [*tokens, _Token("end", "", len(text), len(text) + 1)]

    def _fail(self, span: e.Span, problem: str, fix: str = "") -> NoReturn:
        raise FormulaSyntaxError(self._text, span, problem, fix)

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._now
        self._at += 1
        return token

    def _accept(self, *texts: str) -> _Token | None:
        if self._now.kind == "symbol" and self._now.text in texts:
            return self._take()
        return None

    def _expect(self, text: str) -> _Token:
        token = self._accept(text)
        if token is None:
            found = self._now.text or "the end"
            self._fail(
                (self._now.start, self._now.end), f"expected {text}, not {found}"
            )
        return token

    def _placed(self, expr: Expr, start: int) -> Expr:
        return replace(expr, span=(start, self._tokens[self._at - 1].end))

    # ----- grammar -----

    def formula(self) -> tuple[Expr, ...]:
        sides = [self._sum()]
        while self._accept("="):
            sides.append(self._sum())
        if self._now.kind != "end":
            self._fail(
                (self._now.start, self._now.end),
                f"{self._now.text} cannot stand here",
                "@ between the factors of a matrix product, * element by element",
            )
        return tuple(sides)

    def _sum(self) -> Expr:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail((self._now.start, self._now.end), "too many nested brackets")
        start = self._now.start
        terms = [self._term()]
        while sign := self._accept("+", "-"):
            at, term = sign.start, self._term()
            terms.append(
                self._placed(e.Negative(term), at) if sign.text == "-" else term
            )
        self._depth -= 1
        return self._placed(e.Sum(tuple(terms)), start) if len(terms) > 1 else terms[0]

    def _term(self) -> Expr:
        start = self._now.start
        if self._accept("-"):
            return self._placed(e.Negative(self._term()), start)
        found = self._power()
        while operator := self._accept("@", "*", "/"):
            right = self._power()
            found = self._placed(self._combine(operator.text, found, right), start)
        if comparison := self._accept(">"):
            del comparison
            pair = (found, self._term())
            found = self._placed(e.Call("greater", pair), start)
        return found

    def _power(self) -> Expr:
        start = self._now.start
        found = self._postfix()
        while True:
            if self._accept("²"):
                found = self._placed(e.Power(found, e.Number(2.0)), start)
            elif self._accept("**"):
                if self._now.text == "T":
                    self._take()
                    found = self._placed(e.Transpose(found), start)
                else:
                    found = self._placed(e.Power(found, self._exponent()), start)
            elif self._accept(".T"):
                found = self._placed(e.Transpose(found), start)
            else:
                return found

    def _combine(self, operator: str, left: Expr, right: Expr) -> Expr:
        if operator == "/":
            return e.Quotient(left, right)
        if operator == "@" or self._is_scalar(left) or self._is_scalar(right):
            factors = left.factors if isinstance(left, e.Product) else (left,)
            return e.Product((*factors, right))
        factors = left.factors if isinstance(left, e.Hadamard) else (left,)
        return e.Hadamard((*factors, right))

    def _is_scalar(self, expr: Expr) -> bool:
        try:
            return shape_of(expr, self._scope) == SCALAR
        except FormulaShapeError:
            return False

    def _exponent(self) -> Expr:
        start = self._now.start
        if self._accept("-"):
            return self._placed(e.Negative(self._postfix()), start)
        return self._postfix()

    def _postfix(self) -> Expr:
        start = self._now.start
        found = self._atom()
        while True:
            if self._accept(".T"):
                found = self._placed(e.Transpose(found), start)
            elif self._accept("["):
                indices = self._indices()
                found = self._placed(e.Element(found, indices), start)
            else:
                return found

    def _atom(self) -> Expr:
        token = self._take()
        start = token.start
        if token.kind == "number":
            return self._placed(e.Number(float(token.text)), start)
        if token.text == "(":
            found = self._sum()
            self._expect(")")
            return self._placed(found, start)
        if token.text == "∇":
            return self._gradient(start, self._name(("_",)))
        if token.text == "∂":
            return self._derivative(start)
        if token.kind == "name":
            return self._named(token)
        self._fail((token.start, token.end), "a value is missing here")

    def _name(self, strip: tuple[str, ...] = ()) -> str:
        token = self._take()
        if token.kind != "name":
            self._fail((token.start, token.end), "a name is missing here")
        text = token.text
        for prefix in strip:
            text = text.removeprefix(prefix)
        return "y_hat" if text == "ŷ" else text

    def _gradient(self, start: int, name: str) -> Expr:
        value, indices = self._reference(name, start)
        if self._now.text == "L" and self._now.kind == "name":
            self._take()
        gradient = self._placed(e.Gradient(value), start)
        if indices:
            return self._placed(e.Element(gradient, indices), start)
        return gradient

    def _derivative(self, start: int) -> Expr:
        target = self._end(self._name())
        self._expect("/")
        self._expect("∂")
        source = self._end(self._name())
        return self._placed(e.Jacobian(target, source), start)

    def _end(self, name: str) -> e.Value | e.Element:
        start = self._tokens[self._at - 1].start
        value, indices = self._reference(name, start)
        return e.Element(value, indices) if indices else value

    def _named(self, token: _Token) -> Expr:
        name, start = token.text, token.start
        name = "y_hat" if name == "ŷ" else name
        if name.startswith("grad_"):
            return self._gradient(start, name.removeprefix("grad_"))
        if self._now.text == "(" and name in _FORMS:
            self._take()
            found = _FORMS[name](self)
            self._expect(")")
            return self._placed(found, start)
        if self._now.text == "(":
            return self._call(name, token)
        if name in LETTERS and name not in self._scope.names:
            self._fail((start, token.end), f"{name} is an index: write it in brackets")
        if name == "w" and name not in self._scope.names:
            self._expect("[")
            weight = e.Weight(self._time())
            self._expect("]")
            return self._placed(weight, start)
        if name == "tau" or (name in self._dims and name not in self._scope.names):
            return self._placed(e.Size(name), start)
        value, indices = self._reference(name, start)
        return self._placed(e.Element(value, indices), start) if indices else value

    def _call(self, name: str, token: _Token) -> Expr:
        if name not in CALLS and name not in ("diag", "sign"):
            self._fail(
                (token.start, token.end),
                f"{name} is not an operation",
                "one of diag, " + ", ".join(sorted(CALLS)),
            )
        self._expect("(")
        arguments = [self._sum()]
        while self._accept(","):
            arguments.append(self._sum())
        self._expect(")")
        expected = 1 if name in ("diag", "sign") else OPS[name].arity
        if len(arguments) != expected:
            self._fail(
                (token.start, token.end), f"{name} takes {expected} values, "
                f"not {len(arguments)}",
            )  # fmt: skip
        return self._placed(_call(name, tuple(arguments)), token.start)

    # ----- references -----

    def _reference(
        self, name: str, start: int
    ) -> tuple[e.Value, tuple[str | e.Value, ...]]:
        """A name with its step and, after it, element indices."""
        if name == "L" and self._now.text != "[":
            return self._value(name, None, start), ()
        self._scope.core(name)
        if self._now.text != "[":
            if self._scope.kind(name) != "parameter":
                self._fail(
                    (start, self._tokens[self._at - 1].end),
                    f"{name} has a value at every step",
                    f"{name}[t]",
                )
            return self._value(name, None, start), ()
        self._take()
        is_index = self._now.text in LETTERS and self._now.kind == "name"
        if is_index:
            indices = self._indices()
            return self._value(name, None, start), indices
        time = self._time()
        indices = self._indices() if self._accept(",") else ()
        if not indices:
            self._expect("]")
        return self._value(name, time, start), indices

    def _value(self, name: str, time: Time | None, start: int) -> e.Value:
        return e.Value(name, time, span=(start, self._tokens[self._at - 1].end))

    def _time(self) -> Time:
        token = self._take()
        if token.kind == "number" and token.text.isdigit():
            return Time("", int(token.text))
        if token.text not in STEPS:
            self._fail(
                (token.start, token.end), "a step is t, s, tau or a number",
                "h[t], h[t+1], h[tau] or h[0]",
            )  # fmt: skip
        sign = self._accept("+", "-")
        if sign is None:
            return Time(token.text)
        number = self._take()
        if not number.text.isdigit():
            self._fail((number.start, number.end), "a whole number is missing here")
        return Time(token.text, int(number.text) * (1 if sign.text == "+" else -1))

    def _indices(self) -> tuple[str | e.Value, ...]:
        found: list[str | e.Value] = []
        while True:
            token = self._take()
            if token.text in LETTERS:
                found.append(token.text)
            elif token.kind == "name" and self._scope.is_integer(token.text):
                found.append(self._reference(token.text, token.start)[0])
            else:
                self._fail(
                    (token.start, token.end), "an index is i, j, k, l or m, or a class",
                    "h[t, i] or y_hat[t, y[t]]",
                )  # fmt: skip
            if not self._accept(","):
                self._expect("]")
                return tuple(found)

    # ----- forms that are not operations of a cell -----

    def partial(self, *, total: bool = False) -> Expr:
        target = self._end(self._name())
        self._expect(",")
        return e.Jacobian(target, self._end(self._name()), total)

    def sigma(self) -> Expr:
        """sum(t, 1, tau, u), sum(i, n_h, u) or sum(u)."""
        index, after = self._now.text, self._tokens[self._at + 1].text
        if after != "," or index not in (*LETTERS, *STEPS):
            return e.Call("sum", (self._sum(),))
        self._take()
        self._expect(",")
        if index in LETTERS:
            dim = self.dimension()
            self._expect(",")
            return e.Sigma(index, e.FIRST, dim, self._sum())
        lower = self._time()
        self._expect(",")
        upper = self._time()
        self._expect(",")
        return e.Sigma(index, lower, upper, self._sum())

    def dimension(self) -> str | int:
        token = self._take()
        if token.kind == "number":
            return int(token.text)
        if token.text not in self._dims:
            self._fail(
                (token.start, token.end), f"{token.text} is not a dimension",
                "one of " + ", ".join(sorted(self._dims)),
            )  # fmt: skip
        return token.text

    def delta(self) -> Expr:
        first = self._name()
        self._expect(",")
        name = self._name()
        if name in LETTERS:
            return e.Delta(first, name)
        return e.Delta(first, self._reference(name, self._now.start)[0])

    def one_hot(self) -> Expr:
        value = self._reference(self._name(), self._now.start)[0]
        self._expect(",")
        return e.Unit(value, self.dimension())

    def incoming(self) -> Expr:
        return e.Incoming(self._reference(self._name(), self._now.start)[0])

    def lookup(self) -> Expr:
        matrix = self._reference(self._name(), self._now.start)[0]
        self._expect(",")
        index = self._reference(self._name(), self._now.start)[0]
        return e.Call("lookup", (matrix, index))


_FORMS: dict[str, Callable[[_Reader], Expr]] = {
    "partial": lambda reader: reader.partial(),
    "total": lambda reader: reader.partial(total=True),
    "sum": lambda reader: reader.sigma(),
    "delta": lambda reader: reader.delta(),
    "one_hot": lambda reader: reader.one_hot(),
    "incoming": lambda reader: reader.incoming(),
    "lookup": lambda reader: reader.lookup(),
    "eye": lambda reader: e.Identity(reader.dimension()),
    "ones": lambda reader: e.Ones(reader.dimension()),
}
_SCALARS = (e.Number, e.Size, e.Weight, e.Delta, e.Element)


def _spelt(text: str) -> str:
    return _SPELLINGS.get(text, text)


def is_scalar_form(expr: Expr) -> bool:
    """Whether an expression is a scalar whatever the cell: a number, an element."""
    if isinstance(expr, e.Jacobian):
        return isinstance(expr.target, e.Element) and isinstance(expr.source, e.Element)
    if isinstance(expr, e.Negative | e.Sum | e.Product):
        return all(map(is_scalar_form, expr.children))
    return isinstance(expr, _SCALARS)


def _call(name: str, arguments: tuple[Expr, ...]) -> Expr:
    if name == "diag":
        return e.Diag(arguments[0])
    if name == "outer":
        return e.Product((arguments[0], e.Transpose(arguments[1])))
    if name == "dot":
        return e.Product((e.Transpose(arguments[0]), arguments[1]))
    return e.Call(name, arguments)
