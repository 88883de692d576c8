"""The right formulas for ∂y/∂x: along the edge, or through the equations of y's step.

∂h[t+1]/∂h[t] = diag(1 - h[t+1]**2) @ W    h(t+1) <- a(t+1) <- h(t): no edge between
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation, Reading
from bptt.explain.algebra.expr import Expr, Value

MAX_PARTS = 200  # a longer formula helps nobody


def plain_end(end: Expr) -> Value:
    """The value that y or x of ∂y/∂x is, or is an element of."""
    found = end.of if isinstance(end, e.Element) else end
    assert isinstance(found, Value)
    return found


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

    def depends(self, jacobian: e.Jacobian) -> bool:
        """Whether a path leads from the source to the target, both at a step."""
        target, source = plain_end(jacobian.target), plain_end(jacobian.source)
        if target.time is None or source.time is None:
            return False
        is_one = target.time.base == source.time.base
        gap = source.time.offset - target.time.offset
        # Of two letters only tau is known to be the later one.
        way = (source.time.base == "tau") - (target.time.base == "tau")
        most, seen, todo = abs(gap) + 1, set(), [(target.name, 0)]
        for name, lag in todo:
            if (name, lag) in seen:
                continue
            seen.add((name, lag))
            is_there = lag == gap if is_one else lag * way > 0 or not way
            if name == source.name and is_there:
                return True
            todo += [
                (reading.name, max(-most, min(most, lag + reading.lag)))
                for reading in self._read_by(name)
            ]
        return False

    def _read_by(self, name: str) -> list[Reading]:
        if name not in self.derivation.graph.definitions:
            return []
        return [r for r in self.derivation.readings(name) if not r.is_parameter]

    def is_far(self, part: Expr) -> bool:
        """Whether a part is ∂y/∂x of values more than a step apart, with no edge."""
        if not isinstance(part, e.Jacobian) or part.total:
            return False
        first, second = plain_end(part.target).time, plain_end(part.source).time
        if first is None or second is None:
            return False
        is_apart = first.base != second.base or abs(first.offset - second.offset) > 1
        return is_apart and self.formula(part) is None

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
