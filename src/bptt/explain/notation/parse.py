r"""A formula as text to an expression tree with its places in the text.

    grad_h[t] = W.T @ diag(1 - h[t+1]**2) @ grad_h[t+1] + V.T @ grad_o[t]
    ∇h[t]     = Wᵀ diag(1 - h[t+1]²) ∇h[t+1] + Vᵀ ∇o[t]
    \nabla_{h^{(t)}} L = W^\top \mathrm{diag}(1 - (h^{(t+1)})^2) ...

    h[t+1] h[tau] h[0]     a value           W   W[t]           a parameter, its copy
    h[t,i] W[i,j]          an element        ∂h[t]/∂a[t]        or partial(h[t], a[t])
    dh[t]/dW               along all paths, or total(h[t], W); ∂L/∂h[t] is ∇h[t]
    sum(t, 1, tau, u)      over steps        sum(i, n_h, u)     over an index
    prod(s, tau, t+1, A)   a product over steps, written in the order of its factors
    delta(i, j)  delta(i, y[t])  one_hot(y[t], n_o)  eye(n_h)  ones(n_h)  n_h  tau  w[t]

`@` is the matrix product, `*` element by element, as in the language of cells; side by
side is the matrix product, too, and binds tighter. The text is read, never run.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr
from bptt.explain.algebra.point import TOTAL, Scope, UnknownSymbolError
from bptt.explain.algebra.shape import SCALAR, FormulaShapeError, shape_of
from bptt.explain.notation.forms import (
    CALLED,
    FUNCTIONS,
    UNARY,
    Forms,
    gradient_of,
)
from bptt.explain.notation.formula_tokens import Token
from bptt.explain.notation.names import LETTERS
from bptt.explain.notation.sums import INDICES

MAX_DEPTH, MAX_SUMS = 60, 3
_OPENERS = ("(", "[", "∇", "∂", "Σ", "Π", "frac", "√", "|(", "{", "overline", "𝟏", "𝐈",
            "𝐞", "𝟎")  # fmt: skip


def parse_formula(text: str, scope: Scope) -> tuple[Expr, ...]:
    """The sides of an equation, or the one expression, left to right.

    Raises: FormulaSyntaxError, UnknownSymbolError.
    """
    return _FormulaReader(text, scope).formula()


def parse(text: str, scope: Scope) -> Expr:
    """One expression without its places."""
    (found,) = parse_formula(text, scope)
    return e.rebuild(found, lambda part: replace(part, span=None))


class _FormulaReader(Forms):
    """Recursive descent over the tokens of one formula."""

    _depth = 0

    def formula(self) -> tuple[Expr, ...]:
        """All sides of an equation; one for an expression alone."""
        sides = [self.expression()]
        while self.accept("="):
            sides.append(self.expression())
        if self.now.kind != "end":
            is_next = self.is_symbol(",", ".", ";")
            self.fail_at(
                self.now, "formula.one-equation" if is_next else "formula.cannot-stand",
                found=self.now.text,
            )  # fmt: skip
        for side in sides:
            self._check_size(side)
        return self._sized(tuple(sides))

    def _sized(self, sides: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """The sides with the size of an I that was written without one."""
        if all(part != _UNSIZED for side in sides for part in e.walk(side)):
            return sides
        made = [tuple(_with_size(side, dim) for side in sides)
                for dim in sorted(self._dims)]  # fmt: skip
        return next((found for found in made if self._do_fit(found)), made[0])

    def _do_fit(self, sides: tuple[Expr, ...]) -> bool:
        try:
            return len({shape_of(side, self._scope) for side in sides}) == 1
        except FormulaShapeError:
            return False

    def _check_size(self, side: Expr) -> None:
        """Refuse what would take too deep a recursion, or too long a sum of sums."""
        work = [(side, 1, 0)]
        while work:
            expr, depth, sums = work.pop()
            sums += isinstance(expr, e.Sigma)
            if depth > MAX_DEPTH or sums > MAX_SUMS:
                which = "sums" if sums > MAX_SUMS else "deep"
                self.fail(expr.span or (0, len(self.text)), f"formula.too-{which}")
            work.extend((child, depth + 1, sums) for child in expr.children)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail_at(self.now, "formula.too-deep")

    # ----- sums and products -----

    def expression(self) -> Expr:
        """Terms with signs between them, or a comparison of two."""
        self._deeper()
        start = self.now.start
        terms = [self.term()]
        while sign := self.accept("+", "-"):
            at, term = sign.start, self.term()
            terms.append(
                self.placed(e.Negative(term), at) if sign.text == "-" else term
            )
        self._depth -= 1
        found = self.placed(e.Sum(tuple(terms)), start) if len(terms) > 1 else terms[0]
        if comparison := self.accept(">", ">="):
            name = "greater" if comparison.text == ">" else "greater_equal"
            found = self.placed(e.Applied(name, (found, self.expression())), start)
        return found

    def term(self) -> Expr:
        """Factors with @, * or / between them, or nothing."""
        start = self.now.start
        if self.accept("-"):
            self._deeper()
            found = self.placed(e.Negative(self.term()), start)
            self._depth -= 1
            return found
        found = self._chain()
        while operator := self.accept("@", "*", "/", "⊗"):
            if operator.text == "/":
                found = self.placed(e.Quotient(found, self._power()), start)
                while self._starts_factor():
                    found = self.placed(self._side_by_side(found, self._power()), start)
            else:
                right = self._chain()
                found = self.placed(self._combine(operator.text, found, right), start)
        return found

    def _chain(self) -> Expr:
        start = self.now.start
        found = self._power()
        while self._starts_factor():
            found = self.placed(self._side_by_side(found, self._power()), start)
        return found

    def _starts_factor(self) -> bool:
        if self.now.kind == "name":
            return self.now.text != "for" or "for" in self._scope.names
        return self.now.kind == "number" or self.is_symbol(*_OPENERS)

    def _side_by_side(self, left: Expr, right: Expr) -> Expr:
        return self._combine("@", left, right)

    def _combine(self, operator: str, left: Expr, right: Expr) -> Expr:
        if operator == "⊗":
            return e.Product((left, e.Transpose(right)))
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

    # ----- powers, transposes, elements -----

    def factor(self) -> Expr:
        """A factor: a name, a number or brackets, with its powers and scripts."""
        return self._power()

    def _power(self) -> Expr:
        start = self.now.start
        found = self._atom()
        while True:
            if self.accept(".T"):
                found = self.placed(e.Transpose(found), start)
            elif self.accept("**"):
                found = self._raised_to(found, start)
            elif self.accept(".dot"):
                self.expect("(")
                found = self.placed(self.made("dot", (found, self.expression())), start)
                self.expect(")")
            elif self._is_element_ahead() and not isinstance(found, e.Number):
                close = self._opened()
                if self.accept(":"):
                    self.expect(",")
                    (column,) = self.indices(close)
                    found = self.placed(
                        e.Applied("lookup", (found, _class(column))), start
                    )
                    continue
                found = self.placed(_chosen(found, self.indices(close)), start)
            else:
                return found

    def _is_element_ahead(self) -> bool:
        if not self.is_symbol("[", "_"):
            return False
        at = 2 if self.ahead().text == "{" else 1
        return self.ahead(at).text in (*LETTERS, ":") or self._is_integer(
            self.ahead(at).text
        )

    def _opened(self) -> str:
        """Take what opens indices; gives what closes them."""
        if self.take().text == "[":
            return "]"
        return "}" if self.accept("{") else ""

    def _raised_to(self, base: Expr, start: int) -> Expr:
        braces = 0
        while self.accept("{"):
            braces += 1
        is_turned = self.is_symbol("⊤") or (
            self.now.text == "T" and "T" not in self._scope.names
        )
        if is_turned:
            self.take()
            found: Expr = e.Transpose(base)
        elif braces:
            found = e.Power(base, self.expression())
        else:
            found = e.Power(base, self._exponent())
        for _ in range(braces):
            self.expect("}")
        return self.placed(found, start)

    def _exponent(self) -> Expr:
        start = self.now.start
        if self.accept("-"):
            return self.placed(e.Negative(self._atom()), start)
        return self._atom()

    # ----- atoms -----

    def _atom(self) -> Expr:
        token = self.now
        if token.kind == "number":
            self.take()
            if token.text == "1" and self.is_symbol("_"):
                return self.placed(self.lowered("𝟏"), token.start)
            return self.placed(e.Number(float(token.text)), token.start)
        if token.text in ("(", "{", "[", "|(", "|") and token.kind == "symbol":
            return self._bracket()
        if token.kind == "symbol" and token.text in self.signs:
            self.take()
            return self.placed(self.signs[token.text](self), token.start)
        if token.kind != "name":
            self.fail_at(token, "formula.no-value")
        return self._named(self.name())

    def _bracket(self) -> Expr:
        token = self.take()
        if self.is_index() and self.ahead().text == "=":
            found: Expr = self.delta()
        else:
            found = self.expression()
        self.expect({"(": ")", "{": "}", "[": "]", "|(": ")|", "|": "|"}[token.text])
        if token.text.startswith("|"):
            found = e.Applied("abs", (found,))
        return self.placed(found, token.start)

    def _named(self, token: Token) -> Expr:
        name, start = token.text, token.start
        is_known = name in self._scope.names or name in (TOTAL, "tau")
        if is_known and self._is_kronecker(name):
            is_known, token = False, replace(token, text="delta")
        found = None if is_known else self._worded(token)
        if found is not None:
            return self.placed(found, start)
        if name == "tau" or (name in self._dims and not is_known):
            return self.placed(e.Size(name), start)
        if self.accept("\u0305"):
            return self.placed(e.Incoming(self.reference(token).value), start)
        place = self.reference(token)
        if place.is_column:
            column = _class(place.indices[0])
            return self.placed(e.Applied("lookup", (place.value, column)), start)
        if place.indices:
            return self.placed(e.Element(place.value, place.indices), start)
        return place.value

    def _is_kronecker(self, name: str) -> bool:
        """Whether two indices make δ_{i,j} of a δ that the cell has as no matrix."""
        is_lowered = self.is_symbol("_") and self.ahead().text == "{"
        if name != self.own_names.own("delta") or not is_lowered:
            return False
        first, after, last = (self.ahead(at).text for at in (2, 3, 4))
        is_pair = first in LETTERS and (last if after == "," else after) in LETTERS
        return is_pair and len(self._scope.core(name)) < 2

    def _worded(self, token: Token) -> Expr | None:
        """What a word begins that is no name of the cell: grad_h, dh, sum, diag."""
        name = token.text
        if name.startswith("grad_"):
            inner = replace(token, text=name.removeprefix("grad_"))
            return self.gradient(self.labelled(inner))
        if self._is_total(token):
            return self.total_derivative(token)
        if self.is_symbol("_", "**") and name in ("sum", "prod"):
            return self.over("Σ" if name == "sum" else "Π")
        sign, _, index = name.partition("_")
        if sign in ("sum", "prod") and index in INDICES:
            self._scripted(index, token.end)
            return self.over("Σ" if sign == "sum" else "Π")
        if sign == "delta" and index and all(letter in LETTERS for letter in index):
            self._scripted(index, token.end)
            return self.lowered("𝟏")
        if self.is_symbol("_") and name in _LOWERED:
            return self.lowered(_LOWERED[name])
        if name in FUNCTIONS and self._is_called(name):
            return self.call(token)
        if name == "I":
            return _UNSIZED
        if name.startswith("I_") and name[2:] in self._dims:
            return e.Identity(name[2:])
        if name == "w":
            return e.Weight(self._weight_step())
        self._refuse(token)
        return None

    def _scripted(self, index: str, end: int) -> None:
        """Put the tail of a word, sum_t, delta_ij, back as a script."""
        pieces = [Token("symbol", "_", end, end), Token("symbol", "{", end, end)]
        pieces += [Token("name", letter, end - 1, end) for letter in (
            index if all(one in LETTERS for one in index) else [index])]  # fmt: skip
        pieces.append(Token("symbol", "}", end, end))
        self.tokens[self.at : self.at] = pieces

    def _refuse(self, token: Token) -> None:
        name = token.text
        if self.is_symbol("(") and name not in self._dims:
            names = ", ".join(sorted(FUNCTIONS))
            self.fail_at(token, "formula.no-operation", name=name, names=names)
        if name in LETTERS:
            self.fail_at(token, "formula.letter", found=name)

    def _is_called(self, name: str) -> bool:
        is_bare = CALLED.get(name, name) in UNARY and self.now.kind != "end"
        return self.is_symbol("(", "[") or self.now.kind == "name" or (
            is_bare and (self._starts_factor() or self.is_marked())
        )  # fmt: skip

    def _is_total(self, token: Token) -> bool:
        """Whether a d begins a derivative along all paths: dh[t]/dW."""
        if token.text in self._scope.names or not token.text.startswith("d"):
            return False
        whole = self.own_names.own(token.text[1:])
        return bool({whole, whole.partition("_")[0]} & self.own_names.all_of_them)

    def _weight_step(self) -> e.Time:
        close = self._opened() if self.is_symbol("[", "_") else self.expect("[").text
        step = self.time(single=not close)
        if close:
            self.expect(close)
        return step


_UNSIZED = e.Identity("")


def _with_size(side: Expr, dim: str) -> Expr:
    def sized(part: Expr) -> Expr:
        return e.Identity(dim, span=part.span) if part == _UNSIZED else part

    return e.rebuild(side, sized)


_LOWERED = MappingProxyType({"delta": "𝟏", "e": "𝐞", "I": "𝐈"})


def _class(index: str | e.Value) -> e.Value:
    if isinstance(index, str):
        raise UnknownSymbolError("formula.index", found=index)
    return index


def _chosen(whole: Expr, indices: tuple[str | e.Value, ...]) -> Expr:
    """An element; of I with one class, eye(n)[y[t]] in NumPy, it is a unit column."""
    if isinstance(whole, e.Identity) and len(indices) == 1:
        (row,) = indices
        if isinstance(row, e.Value):
            return e.UnitVector(row, whole.dim)
    return e.Element(whole, indices)


_SCALARS = (e.Number, e.Size, e.Weight, e.Delta, e.Element)


def is_scalar_form(expr: Expr) -> bool:
    """Whether an expression is a scalar whatever the cell: a number, an element."""
    if isinstance(expr, e.Jacobian):
        return isinstance(expr.target, e.Element) and isinstance(expr.source, e.Element)
    if isinstance(expr, e.Negative | e.Sum | e.Product | e.Quotient):
        return all(map(is_scalar_form, expr.children))
    return isinstance(expr, _SCALARS)


__all__ = ["gradient_of", "is_scalar_form", "parse", "parse_formula"]
