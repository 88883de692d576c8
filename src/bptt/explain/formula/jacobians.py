"""The right formulas for ∂y/∂x: along the edge, or through the equations of y's step.

∂h[t+1]/∂h[t] = diag(1 - h[t+1]**2) @ W    h(t+1) <- a(t+1) <- h(t): no edge between
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation, Reading
from bptt.explain.algebra.expr import Expr, Value

MAX_PARTS = 200  # a longer formula helps nobody


@dataclass(frozen=True)
class Jacobians:
    """Makes the right formulas of one cell's derivatives."""

    derivation: Derivation
    _made: dict[tuple[str, Reading], Expr | None] = field(default_factory=dict)

    def formula(self, jacobian: e.Jacobian) -> Expr | None:
        """The derivative as products of matrices; None where it is none, or is long."""
        target, source = jacobian.target, jacobian.source
        if jacobian.total or not isinstance(target, Value):
            return None
        graph = self.derivation.graph
        if not isinstance(source, Value) or target.name not in graph.definitions:
            return None
        if target.time is None:
            return None
        if source.name in graph.parameters:
            reading = Reading(source.name, 0, True)
        elif source.time is None or source.time.base != target.time.base:
            return None
        else:
            reading = Reading(source.name, source.time.offset - target.time.offset)
        found = self._through(target.name, reading)
        if found is None or sum(1 for _ in e.walk(found)) > MAX_PARTS:
            return None
        return e.at_step(found, target.time)

    def _through(self, name: str, source: Reading) -> Expr | None:
        key = (name, source)
        if key not in self._made:
            self._made[key] = self._derived(name, source)
        return self._made[key]

    def _derived(self, name: str, source: Reading) -> Expr | None:
        readings = self.derivation.readings(name)
        if source in readings:  # along the edge, everything else held
            return self.derivation.jacobian(name, source)
        terms = []
        for reading in readings:
            if reading.lag or reading.name not in self.derivation.graph.definitions:
                continue
            inner = self._through(reading.name, source)
            edge = self.derivation.jacobian(name, reading)
            if inner is not None and edge is not None:
                terms.append(e.product(edge, inner))
        return e.total(*terms) if terms else None
