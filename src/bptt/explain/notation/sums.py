r"""Sums and products over steps, and sums over an index.

    sum(t, 1, tau, u)   \sum_{t=1}^{\tau} u   Σ_t u   Σ_{t=1..τ} u    over steps
    sum(i, n_h, u)      \sum_{i=1}^{n_h} u    Σ_i u                 over an index
    sum(u for t in range(1, tau+1))                     over steps, in Python
    prod(s, tau, t+1, A)   \prod_{s=\tau}^{t+1} A        a product of matrices

What is summed up is the rest of the term. Without bounds t runs over 1 .. tau, and an
index over the dimension that it is used with. A product runs from its lower bound to
its upper one, down where the lower is the later step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import FIRST, TAU, Expr, Nabla, Time
from bptt.explain.notation.names import LETTERS, STEPS, Names

INDICES = (*LETTERS, *STEPS, "r")


class SumReader(Names):
    """Reads sums; the grammar around them is a class below."""

    def expression(self) -> Expr:
        """A whole expression."""
        raise NotImplementedError

    def term(self) -> Expr:
        """A term of it."""
        raise NotImplementedError

    def factor(self) -> Expr:
        """A factor of a term."""
        raise NotImplementedError

    def over(self, sign: str) -> Expr:
        """Σ or Π with bounds as scripts; what is summed up is the rest of the term."""
        index, first, upper = "", None, None
        while self.is_symbol("_", "**"):
            script = self.take().text
            close = "}" if self.accept("{") else ""
            if script == "_":
                index = self.take().text
                if index not in INDICES:
                    self.fail_at(self.tokens[self.at - 1], "formula.step", found=index)
                if self.accept("="):
                    first = self._bound_of(close)
                    if self.accept(".."):
                        upper = self._bound_of(close)
            else:
                upper = self._bound_of(close)
            if close:
                self.expect(close)
        if not index:
            self.fail_at(self.now, "formula.no-index")
        return self._over(sign, index, first, upper)

    def _bound_of(self, close: str) -> Time | str | int:
        if self.now.text in self._dims or self.ahead().text == "_":
            return self.dimension()
        return self.time(single=not close)

    def _over(self, sign: str, index: str, first: Any, upper: Any) -> Expr:
        is_step = index in STEPS
        if isinstance(first, Time) and isinstance(upper, Time):
            of_steps = index not in LETTERS or sign == "Π"  # i = 1 .. 3 may be either
            is_step = is_step or of_steps or bool(first.base or upper.base)
        if not is_step:
            self._refuse_product(sign)
            if isinstance(first, Time) and first != FIRST:
                self.fail_at(self.now, "formula.index-first", found=str(first))
            body = self.term()
            dim = upper if isinstance(upper, str) else self._dimension_of(index, body)
            if isinstance(upper, Time) and not upper.base:
                dim = upper.offset
            return e.Sigma(index, FIRST, dim, body)
        return self._over_steps(sign, index, first or FIRST, upper or TAU, self.term)

    def _over_steps(
        self, sign: str, index: str, lower: Time, upper: Time, read: Callable[[], Expr]
    ) -> Expr:
        """A sum or product over steps; read: what reads the body."""
        known = len(self._ordered)
        if sign == "Σ":
            self._ordered += [(lower.base, index), (index, upper.base)]
        self._bound.append(index)
        body = read()
        self._bound.pop()
        del self._ordered[known:]
        if sign == "Σ":
            return e.Sigma(index, lower, upper, body)
        return e.StepProduct(
            index, lower, upper, body, self.is_descending(lower, upper)
        )

    def _dimension_of(self, index: str, body: Expr) -> str | int:
        """The dimension that an index runs over, from where it is used."""
        found: list[str | int] = []
        for part in e.walk(body):
            if isinstance(part, e.Element) and index in part.indices:
                inner = part.of.of if isinstance(part.of, Nabla) else part.of
                if isinstance(inner, e.Value):
                    dims = self._scope.core(inner.name)
                    found.append(dims[part.indices.index(index)])
        if not found:
            self.fail_at(self.now, "formula.no-dimension", found=index)
        return found[0]

    def summed(self, sign: str) -> Expr:
        """sum(t, 1, tau, u), sum(i, n_h, u), prod(...) or sum(u)."""
        index = self.now.text
        if self._loop_ahead():
            return self._looped(sign)
        if self.ahead().text != "," or index not in INDICES:
            self._refuse_product(sign)
            return e.Applied("sum", (self.expression(),))
        self.take()
        self.expect(",")
        if not self._are_steps_ahead():
            self._refuse_product(sign)
            dim = self.dimension()
            self.expect(",")
            return e.Sigma(index, FIRST, dim, self.expression())
        lower = self.time()
        self.expect(",")
        upper = self.time()
        self.expect(",")
        return self._over_steps(sign, index, lower, upper, self.expression)

    def _refuse_product(self, sign: str) -> None:
        """A product of a vector's elements is no part of the notation."""
        if sign == "Π":
            self.fail_at(self.now, "formula.product-index")

    def _loop_ahead(self) -> int:
        """Where the `for` of sum(u for t in range(1, tau+1)) stands; 0: nowhere."""
        depth = 0
        for at in range(self.at, len(self.tokens)):
            text = self.tokens[at].text
            depth += (text in "([{") - (text in ")]}") if text else 0
            if depth < 0:
                return 0
            if text == "for" and depth == 0:
                return at
        return 0

    def _looped(self, sign: str) -> Expr:
        start = self.at
        self.at = self._loop_ahead()
        index, lower, upper = self._range()
        self.at = start  # the body names the step that is bound behind it
        found = self._over_steps(sign, index, lower, upper, self.expression)
        self._range()
        return found

    def _range(self) -> tuple[str, Time, Time]:
        """for t in range(1, tau+1)."""
        word, index = self.take(), self.take().text
        if word.text != "for" or index not in INDICES or self.take().text != "in":
            self.fail_at(word, "formula.step", found=index)
        if self.take().text != "range":
            self.fail_at(self.now, "formula.expected", wanted="range",
                         found=self.now.text)  # fmt: skip
        self.expect("(")
        lower, upper = Time("", 0), self.time()
        if self.accept(","):
            lower, upper = upper, self.time()
        self.expect(")")
        return index, lower, upper.moved(-1)

    def _are_steps_ahead(self) -> bool:
        """Whether two bounds follow, and not a dimension."""
        at = self.at
        for _ in range(2):
            token = self.tokens[at]
            if not self.step_of(token) and not token.text.isdigit():
                return False
            at += 1
            if self.tokens[at].text in ("+", "-"):
                at += 2
            if at >= len(self.tokens) or self.tokens[at].text != ",":
                return False
            at += 1
        return True

    def dimension(self) -> str | int:
        """The name of a dimension, or its size; a sum of them, n_q+2."""
        parts = [self._one_dimension()]
        while self.accept("+"):
            parts.append(self._one_dimension())
        return parts[0] if len(parts) == 1 else "+".join(map(str, parts))

    def _one_dimension(self) -> str | int:
        if self.now.kind == "number" and self.now.text.isdigit():
            return int(self.take().text)
        token = self.name()
        if token.text not in (*self._dims, "tau"):
            names = ", ".join(sorted(self._dims))
            self.fail_at(token, "formula.no-such-dimension", name=token.text,
                         names=names)  # fmt: skip
        return token.text
