r"""Sums and products over steps, and sums over an index.

    sum(t, 1, tau, u)   \sum_{t=1}^{\tau} u   Σ_t u   Σ_{t=1..τ} u    over steps
    sum(i, n_h, u)      \sum_{i=1}^{n_h} u    Σ_i u                 over an index
    prod(s, tau, t+1, A)   \prod_{s=\tau}^{t+1} A        a product of matrices

What is summed up is the rest of the term. Without bounds t runs over 1 .. tau, and an
index over the dimension that it is used with. A product runs from its lower bound to
its upper one, down where the lower is the later step.
"""

from __future__ import annotations

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
        are_times = isinstance(first, Time) and isinstance(upper, Time)
        is_step = index in STEPS or are_times
        is_step = is_step and not (
            index in LETTERS and isinstance(upper, Time) and not upper.base
        )
        if not is_step:
            body = self.term()
            dim = upper if isinstance(upper, str) else self._dimension_of(index, body)
            if isinstance(upper, Time) and not upper.base:
                dim = upper.offset
            if sign == "Π":
                self.fail_at(self.now, "formula.no-index")
            return e.Sigma(index, FIRST, dim, body)
        self._bound.append(index)
        body = self.term()
        self._bound.pop()
        kind = e.Sigma if sign == "Σ" else e.StepProduct
        return kind(index, first or FIRST, upper or TAU, body)

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
        if self.ahead().text != "," or index not in INDICES:
            return e.Applied("sum", (self.expression(),))
        self.take()
        self.expect(",")
        if not self._are_steps_ahead():
            dim = self.dimension()
            self.expect(",")
            return e.Sigma(index, FIRST, dim, self.expression())
        lower = self.time()
        self.expect(",")
        upper = self.time()
        self.expect(",")
        self._bound.append(index)
        body = self.expression()
        self._bound.pop()
        kind = e.Sigma if sign == "Σ" else e.StepProduct
        return kind(index, lower, upper, body)

    def _are_steps_ahead(self) -> bool:
        """Whether two bounds follow, and not a dimension."""
        at = self.at
        for _ in range(2):
            token = self.tokens[at]
            if token.text not in (*STEPS, *self._bound) and not token.text.isdigit():
                return False
            at += 1
            if self.tokens[at].text in ("+", "-"):
                at += 2
            if at >= len(self.tokens) or self.tokens[at].text != ",":
                return False
            at += 1
        return True

    def dimension(self) -> str | int:
        """The name of a dimension, or its size."""
        if self.now.kind == "number" and self.now.text.isdigit():
            return int(self.take().text)
        token = self.name()
        if token.text not in (*self._dims, "tau"):
            names = ", ".join(sorted(self._dims))
            self.fail_at(token, "formula.no-such-dimension", name=token.text,
                         names=names)  # fmt: skip
        return token.text
