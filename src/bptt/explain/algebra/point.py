"""What a formula is evaluated at: a cell's names, and the numbers of one instance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bptt.check.instances import seeded_name
from bptt.check.rounding import Rounded, largest
from bptt.errors import find_nearest
from bptt.explain.algebra.expr import Value
from bptt.explain.prepare import has_indices
from bptt.explain.sentences import SentenceError, Text
from bptt.step.graph import Graph
from bptt.step.shapes import Array, number_of
from bptt.unrolled import Unrolled
from bptt.unrolled.places import Edge, Place

Dim = str | int
TOTAL = "L"
ROUNDED = 6  # times; a jump that rounding decides stays as it was in 1 of 64


class UnknownSymbolError(SentenceError):
    """A formula reads a name, step or derivative that the cell does not have."""


@dataclass(frozen=True)
class Scope:
    """The names of a cell: kind and shape of each.

    running: the graph that is computed, where delays are carried from step to step.
    """

    graph: Graph
    running: Graph | None = None

    @property
    def computed(self) -> Graph:
        """What numbers are computed with."""
        return self.graph if self.running is None else self.running

    @cached_property
    def _shapes(self) -> dict[str, tuple[Any, ...]]:
        graph = self.graph
        found: dict[str, tuple[Any, ...]] = {
            name: spec.shape for name, spec in graph.parameters.items()
        }
        found |= {name: spec.shape for name, spec in graph.inputs.items()}
        return found | {n: node.shape for n, node in graph.definitions.items()}

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """The named dimensions, collected once."""
        return tuple(map(str, self.graph.dims()))

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, parameters first."""
        return tuple(self._shapes)

    def kind(self, name: str) -> str:
        """The kind of a name: "parameter", "input" or "node"."""
        if name in self.graph.parameters:
            return "parameter"
        return "input" if name in self.graph.inputs else "node"

    def is_integer(self, name: str) -> bool:
        """Whether a name is an input of whole numbers."""
        spec = self.graph.inputs.get(name)
        return spec is not None and spec.index is not None

    def core(self, name: str) -> tuple[Dim, ...]:
        """The named dimensions of a value: (), (n,) or (n, m).

        Raises: UnknownSymbolError.
        """
        if name not in self._shapes:
            names = self._in_words(name)
            raise UnknownSymbolError("formula.no-name", name=name, names=names)
        return self._shapes[name]

    def _in_words(self, name: str) -> Text | tuple[str, ...]:
        """The names there are, the nearest one, and what stands for a loss."""
        found: Text | tuple[str, ...] = tuple(self.names)
        if self.graph.loss is None and not has_indices(self.graph):
            node = f"{seeded_name(self.graph)}[t]"
            found = Text("formula.no-loss", {"names": found, "node": node})
        near = find_nearest(name, self.names)
        return found if near is None else Text(
            "formula.near", {"names": found, "near": near}
        )  # fmt: skip

    def shape(self, value: Value) -> tuple[Dim, Dim]:
        """Rows and columns of a value: a vector is a column, a scalar 1 by 1."""
        if value.name == TOTAL and value.time is None:
            return 1, 1
        core = self.core(value.name)
        if len(core) == 2:
            return core[0], core[1]
        return (core[0], 1) if core else (1, 1)


def as_matrix(array: Any) -> Array:
    """A scalar, vector or matrix as a matrix; a vector is a column."""
    found = np.asarray(array)
    if found.ndim == 0:
        return found.reshape(1, 1)
    return found[:, None] if found.ndim == 1 else found


@dataclass(frozen=True, eq=False)
class Point:
    """The numbers of one instance and one batch row.

    sizes: named dimensions; weights: w_t; seeds: node -> (tau, *shape), what arrives
    from outside; label: how the instance was made, for the ledger; running: the graph
    with what carries delays, where it is another; rounding: how every operation is
    rounded, if otherwise than it is; remade: makes the point so, from a number.
    """

    scope: Scope
    graph: Unrolled
    sizes: Mapping[str, int]
    weights: Array
    seeds: Mapping[str, Array] = field(default_factory=dict)
    label: str = ""
    running: Unrolled | None = None
    rounding: Rounded | None = None
    remade: Callable[[int], Point] | None = None
    _cache: dict[Any, Array] = field(default_factory=dict, repr=False)
    _pulled: dict[Any, dict[Place, Array]] = field(default_factory=dict, repr=False)

    @property
    def tau(self) -> int:
        """The last step."""
        return self.graph.tau

    @property
    def computed(self) -> Unrolled:
        """The graph in time that numbers are computed with."""
        return self.graph if self.running is None else self.running

    def size(self, dim: Dim) -> int:
        """The size of a dimension, or tau."""
        return self.tau if dim == "tau" else number_of(dim, self.sizes)

    def place(self, name: str, t: int | None) -> Place:
        """The circle of the unrolled graph that a symbol names.

        Raises: UnknownSymbolError if there is none, such as h^(tau+1) of a state
        that is read at t-1.
        """
        if name == TOTAL and t is None:
            return self.graph.total
        kind = self.scope.kind(name)
        if kind == "parameter":
            kind = "parameter" if t is None else "copy"
        elif t is not None and not 1 <= t <= self.tau:
            kind = "initial"
        place = Place(kind, name, t)
        if place not in self.graph.shapes:
            raise UnknownSymbolError("formula.no-place", place=place, tau=self.tau)
        return place

    def value(self, name: str, t: int | None) -> Array:
        """h^(t), W, W^(t), L as a matrix."""
        key = ("value", name, t)
        if key not in self._cache:
            place = self.place(name, t)
            is_total = place == self.graph.total
            found = self.graph.loss if is_total else self.graph.values[place]
            self._cache[key] = as_matrix(found)
        return self._cache[key]

    def gradient(self, name: str, t: int | None) -> Array:
        """∇_{h^(t)} L by generic reverse mode on the unrolled graph, as a matrix."""
        key = ("gradient", name, t)
        if key not in self._cache:
            self._cache[key] = as_matrix(self.graph.grad(self.place(name, t)))
        return self._cache[key]

    @cached_property
    def largest_gradient(self) -> float:
        """The largest element of any gradient, against which small ones are judged."""
        grads = (self.graph.grad(place) for place in self.graph.places)
        return max(map(largest, grads), default=0.0)

    @cached_property
    def is_finite(self) -> bool:
        """Whether every value and every gradient is a finite number."""
        graph = self.graph
        arrays = [*graph.values.values(), *map(graph.grad, graph.places)]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    @cached_property
    def otherwise(self) -> tuple[Point, ...]:
        """The same numbers with every operation rounded otherwise, some times over."""
        if self.remade is None:
            return ()
        return tuple(map(self.remade, range(ROUNDED)))

    def incoming(self, name: str, t: int) -> Array:
        """The gradient that arrives from outside at a node."""
        if name not in self.seeds or not 1 <= t <= self.tau:
            place = f"incoming({name}[{t}])"
            raise UnknownSymbolError("formula.no-place", place=place, tau=self.tau)
        return as_matrix(self.seeds[name][t - 1])

    def weight(self, t: int) -> Array:
        """w_t."""
        if not 1 <= t <= self.tau:
            raise UnknownSymbolError("formula.no-place", place=f"w_{t}", tau=self.tau)
        return as_matrix(self.weights[t - 1])

    def jacobian(
        self, target: tuple[str, int | None], source: tuple[str, int | None],
        *, total: bool = False,
    ) -> Array:  # fmt: skip
        """∂target/∂source, (*target shape, *source shape); see `expr.Jacobian`."""
        key = (target, source, total)
        if key not in self._cache:
            ends = self.place(*target), self.place(*source)
            self._cache[key] = self._derivative(*ends, total=total)
        return self._cache[key]

    def _derivative(self, target: Place, source: Place, *, total: bool) -> Array:
        direct = [
            edge for edge in self.graph.predecessors(target) if edge.source == source
        ]
        # Of the one L there is only the derivative along all paths: ∇_x L, by element.
        total = total or target == self.graph.total
        shape = np.shape(self._value_of(target))
        if direct and not total:
            if direct[0].is_cut:
                return np.zeros((*shape, *np.shape(self._value_of(source))))
            return direct[0].jacobian
        key = (target, total)
        if key not in self._pulled:
            self._pulled[key] = self._pulled_from(target, total=total)
        rest = np.shape(self._value_of(source))
        found = self._pulled[key].get(source)
        if found is None:
            found = np.zeros((math.prod(shape), *rest))
        return np.reshape(found, (*shape, *rest))

    def _pulled_from(self, target: Place, *, total: bool) -> dict[Place, Array]:
        """Reverse mode from every element of the target at once, to every place."""
        shape = np.shape(self._value_of(target))
        count = math.prod(shape)
        grads: dict[Place, Array] = {target: np.eye(count).reshape(count, *shape)}
        for place in self.graph.visit_order():
            if place not in grads:
                continue
            if not total and place != target and place.t != target.t:
                continue
            for edge in self.graph.predecessors(place):
                if not edge.is_cut:
                    part = self._pull(edge, grads[place])
                    grads[edge.source] = grads.get(edge.source, 0) + part
        return grads

    def _value_of(self, place: Place) -> Any:
        if place == self.graph.total:
            return np.zeros(())
        return self.graph.values[place]

    @staticmethod
    def _pull(edge: Edge, grads: Array) -> Array:
        if edge.array is None:
            return grads
        rest = edge.array.shape[grads.ndim - 1 :]
        size = math.prod(grads.shape[1:])
        # As a product of matrices: tensordot takes longer to find its axes.
        found = grads.reshape(-1, size) @ edge.array.reshape(size, -1)
        return found.reshape(-1, *rest)
