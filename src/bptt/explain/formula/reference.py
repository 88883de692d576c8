"""The right formulas for a gradient, in the forms that people write them.

∇h[t] = W.T @ ∇a[t+1] + V.T @ ∇o[t]                        edge by edge
∇h[t] = W.T @ diag(1 - h[t+1]**2) @ ∇h[t+1] + V.T @ ∇o[t]  inner nodes folded away
"""

from __future__ import annotations

from dataclasses import dataclass

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import FIRST, START, TAU, Expr, Nabla, T, Value
from bptt.explain.cards import CardMaker
from bptt.explain.prepare import WHOLE


@dataclass(frozen=True)
class Reference:
    """Makes the right formulas of one cell."""

    maker: CardMaker

    def formulas(self, gradient: Nabla) -> list[Expr]:
        """The right-hand sides for a gradient, from the shortest steps on."""
        value = gradient.of
        name, graph = value.name, self.maker.scope.graph
        if name in graph.parameters:
            plain = self._parameter(name, is_total=value.time is None)
        else:
            plain = self._node(value)
        found = [plain]
        while (folded := self.fold(found[-1], keep=name)) != found[-1]:
            found.append(folded)
        short = self.maker.softmax_loss(name)
        if short is not None and value.time is not None:
            found.append(e.at_step(short, value.time))
        return found

    def _node(self, value: Value) -> Expr:
        terms = self.maker.terms(value.name)
        if value.time == TAU:
            terms = [term for term in terms if not term.is_future]
        if value.time == START:
            terms = [term for term in terms if term.is_future]
        if not terms:
            return e.Number(0.0)
        plain = e.total(*(term.filled for term in terms))
        return e.at_step(plain, value.time or T)

    def _parameter(self, name: str, *, is_total: bool) -> Expr:
        derivation = self.maker.derivation
        parts = []
        for user in derivation.successors(name):
            grad = Nabla(Value(user.name, T))
            part = derivation.pulled(user.name, grad)[user.reading]
            if part is not None:
                parts.append(part)
        if not parts:
            return e.Number(0.0)
        given = e.total(*parts)
        return e.Sigma("t", FIRST, TAU, given) if is_total else given

    def fold(self, expr: Expr, keep: str = "") -> Expr:
        """Inner nodes' gradients replaced by what they are made of, one layer.

        A node is inner if it is read within its own step alone; keep: never folded.
        """
        if isinstance(expr, Nabla):
            return self._folded(expr, keep)
        new = e.mapped(expr, lambda part: self.fold(part, keep))
        return e.product(*new.factors) if isinstance(new, e.Product) else new

    def _folded(self, gradient: Nabla, keep: str) -> Expr:
        value = gradient.of
        graph = self.maker.scope.graph
        if value.name not in graph.definitions or value.name in (keep, graph.loss):
            return gradient
        terms = self.maker.terms(value.name)
        is_inner = len(terms) == 1 and not terms[0].is_future and terms[0].successor
        if not is_inner or value.time is None:
            return gradient
        successor = terms[0].successor
        assert successor is not None
        # People stop at o, whose gradient is simpler than what it is made of.
        reader = graph.definitions[successor.name].inputs[0].op
        if successor.name == graph.loss or reader in WHOLE:
            return gradient
        return e.at_step(terms[0].filled, value.time)
