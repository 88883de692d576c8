"""One backward pass by the cell's own rules, with one of them replaced.

A formula may look right at one step, where it is given the true gradients of everything
else. In a backward pass it lives on what the pass itself computed, as code does, and
everything after it lives on what it gave. Beyond tau there is nothing: a value or a
gradient of step tau + 1 that a replaced rule reads is 0, as `dh_next` is in a program.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bptt.check.instances import seeded_name
from bptt.explain.algebra import expr as e
from bptt.explain.algebra.derive import Derivation
from bptt.explain.algebra.evaluate import Evaluator, evaluate
from bptt.explain.algebra.expr import Expr, Nabla, T, Time, Value
from bptt.explain.algebra.point import (
    TOTAL,
    Dim,
    Point,
    Scope,
    UnknownSymbolError,
    as_matrix,
)
from bptt.explain.formula.one_dimensional import as_one_dimensional
from bptt.step.shapes import Array
from bptt.unrolled.places import Place


@dataclass(frozen=True)
class Pull:
    """What the gradient of a reader gives: at step t of the reader, in terms of it."""

    reader: str
    lag: int
    formula: Expr


@dataclass(frozen=True)
class Rules:
    """The right backward pass of a cell, edge by edge."""

    derivation: Derivation

    @cached_property
    def scope(self) -> Scope:
        """The cell's names."""
        return Scope(self.derivation.graph)

    def pulls(self, name: str) -> tuple[Pull, ...]:
        """What a name's gradient is the sum of, apart from its seed."""
        found = []
        for user in self.derivation.successors(name):
            grad = Nabla(Value(user.name, T))
            part = self.derivation.pulled(user.name, grad)[user.reading]
            assert part is not None
            found.append(Pull(user.name, user.lag, part))
        return tuple(found)

    def seed(self, name: str) -> Expr | None:
        """What arrives at a node at step t from L itself, or from outside."""
        graph = self.derivation.graph
        if name == graph.loss:
            return e.Weight(T)
        if graph.loss is None and name == seeded_name(graph):
            return e.Incoming(Value(name, T))
        return None


@dataclass(frozen=True)
class Own:
    """A reader's rule: what it defines, and the formula.

    time: the step on its left side, None for a parameter's whole gradient; letters: the
    free indices of its left side; is_flat: as one-dimensional NumPy arrays.
    """

    name: str
    time: Time | None
    formula: Expr
    letters: Mapping[str, Dim] = field(default_factory=dict)
    is_flat: bool = False

    def step(self, t: int | None, tau: int) -> int | None:
        """The t of the formula that gives step t of the gradient; None: none does."""
        if t is None or self.time is None:
            return None
        if self.time.base in ("", "tau"):
            return t if t == self.time.at({"tau": tau}) else None
        local = t - self.time.offset
        return local if local >= 1 else None


@dataclass(frozen=True, eq=False)
class Backward(Point):
    """A point at which every gradient is what a backward pass gives.

    found: what it gave so far; open: what is being computed, so that a rule that needs
    its own result is told from one that does not.
    """

    rules: Rules = field(kw_only=True)
    own: Own | None = field(kw_only=True, default=None)
    found: dict[tuple[str, int | None], Array] = field(default_factory=dict)
    open: set[tuple[str, int | None]] = field(default_factory=set)

    def run(self) -> None:
        """The gradients of all nodes, from the loss backwards and from tau to 1."""
        for t in range(self.tau, 0, -1):
            for name in reversed(tuple(self.scope.graph.definitions)):
                self.gradient(name, t)

    def _is_beyond(self, name: str, t: int | None) -> bool:
        """Whether a replaced rule finds 0 there: after tau; before 1 for h[t+1]."""
        graph = self.scope.graph
        if self.own is None or self.own.name not in graph.definitions or t is None:
            return False
        if 1 <= t <= self.tau or (t < 1 and not graph.backward):
            return False
        return Place("initial", name, t) not in self.graph.shapes

    def _zeros(self, name: str) -> Array:
        rows, columns = self.scope.shape(Value(name, T))
        return np.zeros((self.size(rows), self.size(columns)))

    def value(self, name: str, t: int | None) -> Array:
        """As of the point; 0 beyond tau."""
        return self._zeros(name) if self._is_beyond(name, t) else super().value(name, t)

    def jacobian(
        self, target: tuple[str, int | None], source: tuple[str, int | None],
        *, total: bool = False,
    ) -> Array:  # fmt: skip
        """As of the point; 0 beyond tau."""
        if self._is_beyond(*target) or self._is_beyond(*source):
            return np.zeros([
                self.size(dim) for name, _ in (target, source)
                for dim in (self.scope.core(name) if name != TOTAL else ())
            ])  # fmt: skip
        return super().jacobian(target, source, total=total)

    def gradient(self, name: str, t: int | None) -> Array:
        """What the pass gives for a node, a copy, a parameter or an input.

        Raises: UnknownSymbolError where a rule needs what it is to give, or what a
        pass from tau to 1 has not computed yet.
        """
        if name == TOTAL and t is None:
            return np.ones((1, 1))
        if self._is_beyond(name, t):
            return self._zeros(name)
        key = (name, t)
        if key not in self.found:
            if key in self.open:
                raise UnknownSymbolError(
                    "formula.not-yet", gradient=f"∇_{self.place(*key)}"
                )
            self.open.add(key)
            self.found[key] = self._rule(name, t)
        return self.found[key]

    def _rule(self, name: str, t: int | None) -> Array:
        self.place(name, t)
        own = self.own if self.own is not None and self.own.name == name else None
        if own is not None and own.time is None and t is None:
            return self._replaced(own, None)
        if t is None:
            result = self._zeros(name)
            for step in range(1, self.tau + 1):
                result = result + self.gradient(name, step)
            return result
        local = None if own is None else own.step(t, self.tau)
        if own is not None and local is not None:
            return self._replaced(own, local)
        result = self._zeros(name)
        for part in self._parts(name, t):
            result = result + part
        return result

    def _parts(self, name: str, t: int) -> Iterator[Array]:
        for pull in self.rules.pulls(name):
            if 1 <= t + pull.lag <= self.tau:
                yield evaluate(pull.formula, self, t + pull.lag)
        seed = self.rules.seed(name)
        if seed is not None and 1 <= t <= self.tau:
            yield evaluate(seed, self, t)

    def _replaced(self, own: Own, t: int | None) -> Array:
        steps = {} if t is None or own.time is None else {own.time.base or "t": t}
        if own.is_flat:
            found = as_matrix(as_one_dimensional(own.formula, self, steps))
            if found.shape != self._zeros(own.name).shape:
                raise UnknownSymbolError("formula.flat-shape", name=own.name)
            return found
        if own.letters:
            return self._by_element(own, steps)
        found = Evaluator(self, steps)(own.formula)
        return found if found.size > 1 else self._zeros(own.name) + found

    def _by_element(self, own: Own, steps: Mapping[str, int]) -> Array:
        result = self._zeros(own.name)
        for place in itertools.product(
            *(range(self.size(d)) for d in own.letters.values())
        ):
            letters = dict(zip(own.letters, place, strict=True))
            at = place if len(place) > 1 else (*place, 0)
            result[at] = Evaluator(self, steps, letters)(own.formula)[0, 0]
        return result


def backward_at(point: Point, rules: Rules, own: Own | None = None) -> Backward:
    """The backward pass on the numbers of a point; not yet run."""
    return Backward(
        point.scope, point.graph, point.sizes, point.weights, point.seeds, point.label,
        rules=rules, own=own,
    )  # fmt: skip


def compare(found: Array, right: Array) -> tuple[float, float]:
    """The relative error and the cosine of a gradient to the right one."""
    norm = float(np.linalg.norm(right))
    error = float(np.linalg.norm(found - right)) / (norm or 1.0)
    size = float(np.linalg.norm(found)) * norm
    return error, float(np.sum(found * right)) / size if size else 0.0
