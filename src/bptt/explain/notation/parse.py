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

from collections.abc import Callable
from dataclasses import replace

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, Time
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.shape import SCALAR, FormulaShapeError, shape_of
from bptt.explain.notation.formula_tokens import FormulaTokens, Token
from bptt.step.ops import OPS

LETTERS = frozenset("ijklm")
STEPS = ("t", "s", "tau")
CALLS = frozenset(name for name, op in OPS.items() if op.written == "call")
MAX_DEPTH, MAX_SUMS = 60, 3


def parse_formula(text: str, scope: Scope) -> tuple[Expr, ...]:
    """The sides of an equation, or the one expression, left to right.

    Raises: FormulaSyntaxError, UnknownSymbolError.
    """
    return _Reader(text, scope).formula()


def parse(text: str, scope: Scope) -> Expr:
    """One expression without its places."""
    (found,) = parse_formula(text, scope)
    return e.rebuild(found, lambda part: replace(part, span=None))


class _Reader(FormulaTokens):
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, scope: Scope) -> None:
        super().__init__(text)
        self._scope = scope
        self._dims = {str(dim) for dim in scope.graph.dims()}
        self._depth = 0

    def _placed(self, expr: Expr, start: int) -> Expr:
        return replace(expr, span=(start, self.tokens[self.at - 1].end))

    # ----- grammar -----

    def formula(self) -> tuple[Expr, ...]:
        """All sides of an equation; one for an expression alone."""
        sides = [self._sum()]
        while self.accept("="):
            sides.append(self._sum())
        if self.now.kind != "end":
            self.fail(
                (self.now.start, self.now.end),
                f"{self.now.text} cannot stand here",
                "@ between the factors of a matrix product, * element by element",
            )
        for side in sides:
            self._check_size(side)
        return tuple(sides)

    def _check_size(self, side: Expr) -> None:
        """Refuse what would take too deep a recursion, or too long a sum of sums."""
        work = [(side, 1, 0)]
        while work:
            expr, depth, sums = work.pop()
            sums += isinstance(expr, e.Sigma)
            if depth > MAX_DEPTH or sums > MAX_SUMS:
                what = "sums inside sums" if sums > MAX_SUMS else "nested operations"
                self.fail(expr.span or (0, len(self.text)), f"too many {what}")
            work.extend((child, depth + 1, sums) for child in expr.children)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail((self.now.start, self.now.end), "too many nested operations")

    def _sum(self) -> Expr:
        self._deeper()
        start = self.now.start
        terms = [self._term()]
        while sign := self.accept("+", "-"):
            at, term = sign.start, self._term()
            terms.append(
                self._placed(e.Negative(term), at) if sign.text == "-" else term
            )
        self._depth -= 1
        return self._placed(e.Sum(tuple(terms)), start) if len(terms) > 1 else terms[0]

    def _term(self) -> Expr:
        start = self.now.start
        if self.accept("-"):
            self._deeper()
            found = self._placed(e.Negative(self._term()), start)
            self._depth -= 1
            return found
        found = self._power()
        while operator := self.accept("@", "*", "/"):
            right = self._power()
            found = self._placed(self._combine(operator.text, found, right), start)
        if comparison := self.accept(">"):
            del comparison
            pair = (found, self._term())
            found = self._placed(e.Call("greater", pair), start)
        return found

    def _power(self) -> Expr:
        start = self.now.start
        found = self._postfix()
        while True:
            if self.accept("²"):
                found = self._placed(e.Power(found, e.Number(2.0)), start)
            elif self.accept("**"):
                if self.now.text == "T":
                    self.take()
                    found = self._placed(e.Transpose(found), start)
                else:
                    found = self._placed(e.Power(found, self._exponent()), start)
            elif self.accept(".T"):
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
        start = self.now.start
        if self.accept("-"):
            return self._placed(e.Negative(self._postfix()), start)
        return self._postfix()

    def _postfix(self) -> Expr:
        start = self.now.start
        found = self._atom()
        while True:
            if self.accept(".T"):
                found = self._placed(e.Transpose(found), start)
            elif self.accept("["):
                indices = self._indices()
                found = self._placed(e.Element(found, indices), start)
            else:
                break
        return found

    def _atom(self) -> Expr:
        token = self.take()
        start = token.start
        if token.kind == "number":
            return self._placed(e.Number(float(token.text)), start)
        if token.text == "(":
            found = self._sum()
            self.expect(")")
            return self._placed(found, start)
        if token.text == "∇":
            return self._gradient(start, self._name(("_",)))
        if token.text == "∂":
            return self._derivative(start)
        if token.kind != "name":
            self.fail((token.start, token.end), "a value is missing here")
        return self._named(token)

    def _name(self, strip: tuple[str, ...] = ()) -> str:
        token = self.take()
        if token.kind != "name":
            self.fail((token.start, token.end), "a name is missing here")
        text = token.text
        for prefix in strip:
            text = text.removeprefix(prefix)
        return "y_hat" if text == "ŷ" else text

    def _gradient(self, start: int, name: str) -> Expr:
        value, indices = self._reference(name, start)
        if self.now.text == "L" and self.now.kind == "name":
            self.take()
        gradient = self._placed(e.Gradient(value), start)
        if indices:
            return self._placed(e.Element(gradient, indices), start)
        return gradient

    def _derivative(self, start: int) -> Expr:
        target = self._end(self._name())
        self.expect("/")
        self.expect("∂")
        source = self._end(self._name())
        return self._placed(e.Jacobian(target, source), start)

    def _end(self, name: str) -> e.Value | e.Element:
        start = self.tokens[self.at - 1].start
        value, indices = self._reference(name, start)
        return e.Element(value, indices) if indices else value

    def _named(self, token: Token) -> Expr:
        name, start = token.text, token.start
        name = "y_hat" if name == "ŷ" else name
        if name.startswith("grad_"):
            return self._gradient(start, name.removeprefix("grad_"))
        if self.now.text == "(" and name in _FORMS:
            self.take()
            found = _FORMS[name](self)
            self.expect(")")
            return self._placed(found, start)
        if self.now.text == "(":
            return self._call(name, token)
        if name in LETTERS and name not in self._scope.names:
            self.fail((start, token.end), f"{name} is an index: write it in brackets")
        if name == "w" and name not in self._scope.names:
            self.expect("[")
            weight = e.Weight(self._time())
            self.expect("]")
            return self._placed(weight, start)
        if name == "tau" or (name in self._dims and name not in self._scope.names):
            return self._placed(e.Size(name), start)
        value, indices = self._reference(name, start)
        return self._placed(e.Element(value, indices), start) if indices else value

    def _call(self, name: str, token: Token) -> Expr:
        if name not in CALLS and name not in ("diag", "sign"):
            self.fail(
                (token.start, token.end),
                f"{name} is not an operation",
                "one of diag, " + ", ".join(sorted(CALLS)),
            )
        self.expect("(")
        arguments = [self._sum()]
        while self.accept(","):
            arguments.append(self._sum())
        self.expect(")")
        expected = 1 if name in ("diag", "sign") else OPS[name].arity
        if len(arguments) != expected:
            self.fail(
                (token.start, token.end), f"{name} takes {expected} values, "
                f"not {len(arguments)}",
            )  # fmt: skip
        return self._placed(_call(name, tuple(arguments)), token.start)

    # ----- references -----

    def _reference(
        self, name: str, start: int
    ) -> tuple[e.Value, tuple[str | e.Value, ...]]:
        """A name with its step and, after it, element indices."""
        if name == "L" and self.now.text != "[":
            return self._value(name, None, start), ()
        self._scope.core(name)
        if self.now.text != "[":
            if self._scope.kind(name) != "parameter":
                self.fail(
                    (start, self.tokens[self.at - 1].end),
                    f"{name} has a value at every step",
                    f"{name}[t]",
                )
            return self._value(name, None, start), ()
        self.take()
        is_index = self.now.text in LETTERS and self.now.kind == "name"
        if is_index:
            indices = self._indices()
            return self._value(name, None, start), indices
        time = self._time()
        indices = self._indices() if self.accept(",") else ()
        if not indices:
            self.expect("]")
        return self._value(name, time, start), indices

    def _value(self, name: str, time: Time | None, start: int) -> e.Value:
        return e.Value(name, time, span=(start, self.tokens[self.at - 1].end))

    def _time(self) -> Time:
        token = self.take()
        if token.kind == "number" and token.text.isdigit():
            return Time("", int(token.text))
        if token.text not in STEPS:
            self.fail(
                (token.start, token.end), "a step is t, s, tau or a number",
                "h[t], h[t+1], h[tau] or h[0]",
            )  # fmt: skip
        sign = self.accept("+", "-")
        if sign is None:
            return Time(token.text)
        number = self.take()
        if not number.text.isdigit():
            self.fail((number.start, number.end), "a whole number is missing here")
        return Time(token.text, int(number.text) * (1 if sign.text == "+" else -1))

    def _indices(self) -> tuple[str | e.Value, ...]:
        found: list[str | e.Value] = []
        while True:
            token = self.take()
            if token.text in LETTERS:
                found.append(token.text)
            elif token.kind == "name" and self._scope.is_integer(token.text):
                found.append(self._reference(token.text, token.start)[0])
            else:
                self.fail(
                    (token.start, token.end), "an index is i, j, k, l or m, or a class",
                    "h[t, i] or y_hat[t, y[t]]",
                )  # fmt: skip
            if not self.accept(","):
                self.expect("]")
                return tuple(found)

    # ----- forms that are not operations of a cell -----

    def partial(self, *, total: bool = False) -> Expr:
        target = self._end(self._name())
        self.expect(",")
        return e.Jacobian(target, self._end(self._name()), total)

    def sigma(self) -> Expr:
        """sum(t, 1, tau, u), sum(i, n_h, u) or sum(u)."""
        index, after = self.now.text, self.tokens[self.at + 1].text
        if after != "," or index not in {*LETTERS, *STEPS}:
            return e.Call("sum", (self._sum(),))
        self.take()
        self.expect(",")
        if index in LETTERS:
            dim = self.dimension()
            self.expect(",")
            return e.Sigma(index, e.FIRST, dim, self._sum())
        lower = self._time()
        self.expect(",")
        upper = self._time()
        self.expect(",")
        return e.Sigma(index, lower, upper, self._sum())

    def dimension(self) -> str | int:
        token = self.take()
        if token.kind == "number":
            return int(token.text)
        if token.text not in self._dims:
            self.fail(
                (token.start, token.end), f"{token.text} is not a dimension",
                "one of " + ", ".join(sorted(self._dims)),
            )  # fmt: skip
        return token.text

    def delta(self) -> Expr:
        first = self._name()
        self.expect(",")
        name = self._name()
        if name in LETTERS:
            return e.Delta(first, name)
        return e.Delta(first, self._reference(name, self.now.start)[0])

    def one_hot(self) -> Expr:
        value = self._reference(self._name(), self.now.start)[0]
        self.expect(",")
        return e.Unit(value, self.dimension())

    def incoming(self) -> Expr:
        return e.Incoming(self._reference(self._name(), self.now.start)[0])

    def lookup(self) -> Expr:
        matrix = self._sum()
        self.expect(",")
        index = self._reference(self._name(), self.now.start)[0]
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


def is_scalar_form(expr: Expr) -> bool:
    """Whether an expression is a scalar whatever the cell: a number, an element."""
    if isinstance(expr, e.Jacobian):
        return isinstance(expr.target, e.Element) and isinstance(expr.source, e.Element)
    if isinstance(expr, e.Negative | e.Sum | e.Product | e.Quotient):
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
