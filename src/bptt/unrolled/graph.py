"""The explicit graph in time, and generic reverse mode over it.

    grad(L) = 1;   grad(N) = sum over successors S of N:  J_{S,N}^T grad(S)

(Goodfellow et al., 10.17-10.21 read as one rule.) Nothing here knows about recurrence,
so what it computes is the definition of the right answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bptt import errors
from bptt.step.shapes import Array, Shape
from bptt.unrolled.places import Edge, Path, Place, Skipped

PATH_LIMIT = 300


@dataclass(frozen=True, eq=False)
class Unrolled:
    """Places, edges and gradients of one batch row.

    places: in forward order, L last; values: every place's value but L's; shapes: in
    named dimensions; integers: the inputs that hold whole numbers.
    """

    tau: int
    places: tuple[Place, ...]
    edges: tuple[Edge, ...]
    values: Mapping[Place, Array]
    shapes: Mapping[Place, Shape]
    integers: frozenset[str]
    _out: dict[Place, list[Edge]] = field(init=False, repr=False)
    _in: dict[Place, list[Edge]] = field(init=False, repr=False)
    _grads: dict[Place, Array] = field(init=False, repr=False)
    _paths: dict[Place, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the edges by both ends and compute all gradients."""
        out: dict[Place, list[Edge]] = {place: [] for place in self.places}
        into: dict[Place, list[Edge]] = {place: [] for place in self.places}
        for edge in self.edges:
            out[edge.source].append(edge)
            into[edge.target].append(edge)
        object.__setattr__(self, "_out", out)
        object.__setattr__(self, "_in", into)
        object.__setattr__(self, "_grads", self._reverse({self.total: np.ones(())}))
        object.__setattr__(self, "_paths", self._counts(None))

    @property
    def total(self) -> Place:
        """The one total loss L."""
        return self.places[-1]

    @property
    def loss(self) -> Any:
        """The value of L: the products of its edges with the values they start from."""
        terms = [np.sum(e.pull(np.ones(())) * self.values[e.source])
                 for e in self._in[self.total]]  # fmt: skip
        return sum(terms[1:], terms[0])

    def place(self, name: str, t: int | None = None) -> Place:
        """The place of this name: a parameter without t, else its copy or node at t.

        Raises: UnknownNodeError if there is none.
        """
        if (name, t) in self.named:
            return self.named[name, t]
        label = name if t is None else f"{name}^({t})"
        raise errors.UnknownNodeError(f"{label} is not in the unrolled graph")

    @cached_property
    def named(self) -> dict[tuple[str, int | None], Place]:
        """The first place of a name and step; L has none."""
        return {(p.name, p.t): p for p in reversed(self.places[:-1])}

    # ----- structure -----

    def successors(self, place: Place) -> tuple[Edge, ...]:
        """The edges from a place to the places that read it."""
        return tuple(self._out[place])

    def predecessors(self, place: Place) -> tuple[Edge, ...]:
        """The edges to a place from what it reads."""
        return tuple(self._in[place])

    def visit_order(self) -> tuple[Place, ...]:
        """The order of back-propagation: L, the nodes for t = tau..1, then parameters.

        Every place comes after all its successors; a place's number is its position.
        """
        return tuple(reversed(self.places))

    def skipped(self) -> tuple[Skipped, ...]:
        """Places whose gradient training does not need, and why.

        The test is on ancestors: x^(t) is skipped because no parameter is among them,
        not because of what its parents are. Their gradients are here all the same.
        """
        from_parameter = self._reachable(
            [p for p in self.places if p.kind == "parameter"], forward=True
        )
        to_loss = self._reachable([self.total], forward=False)
        found = []
        for place in self.places:
            if place.name in self.integers:
                reason = f"{place} holds a whole number, which has no derivative"
            elif place not in to_loss:
                reason = f"L does not depend on {place}"
            elif place not in from_parameter:
                reason = f"{place} has no parameter among its ancestors"
            else:
                continue
            found.append(Skipped(place, reason))
        return tuple(found)

    def _reachable(self, starts: list[Place], *, forward: bool) -> set[Place]:
        found, work = set(starts), list(starts)
        while work:
            place = work.pop()
            edges = self._out[place] if forward else self._in[place]
            for edge in edges:
                other = edge.target if forward else edge.source
                if other not in found and not edge.is_cut:
                    found.add(other)
                    work.append(other)
        return found

    # ----- gradients -----

    def _reverse(self, seeds: Mapping[Place, Array]) -> dict[Place, Array]:
        grads: dict[Place, Array] = {}
        for place in self.visit_order():
            terms = [e.pull(grads[e.target]) for e in self._out[place] if not e.is_cut]
            if place in seeds:
                terms.append(seeds[place])
            zero = np.zeros(np.shape(self.values[place])) if not terms else None
            grads[place] = np.asarray(sum(terms[1:], terms[0]) if terms else zero)
        return grads

    def grad(self, place: Place) -> Array:
        """∇_N L of any place: node, copy, parameter, input, initial value."""
        return self._grads[place]

    def contributions(self, place: Place) -> tuple[tuple[Edge, Array], ...]:
        """What each successor gives, J^T grad(S); their sum is the gradient.

        For h^(t) of the book's cell: from o^(t) ("from now") and from a^(t+1) ("from
        the future"); at t = tau there is the first alone.
        """
        return tuple(
            (edge, edge.pull(self._grads[edge.target]))
            for edge in self._out[place]
            if not edge.is_cut
        )

    # ----- paths -----

    def count_paths(self, place: Place) -> int:
        """The number of paths from a place to L."""
        return self._paths[place]

    def paths(self, place: Place, limit: int = PATH_LIMIT) -> tuple[Path, ...]:
        """Every path from a place to L; above `limit` of them, one group per lag.

        Multiply in series, add in parallel: the products sum to the gradient.
        """
        if self.count_paths(place) > limit:
            return self._grouped(place)
        if place not in self._ways:
            needed = self._reachable([place], forward=True) - self._ways.keys()
            for other in self.visit_order():
                if other in needed:
                    self._ways[other] = self._longer(other)
        return self._ways[place]

    @cached_property
    def _ways(self) -> dict[Place, tuple[Path, ...]]:
        """The paths from places asked for and from all that follow them.

        Paths that end alike share their products: a path is one edge, then another.
        """
        return {self.total: (Path((self.total,), None, np.ones(())),)}

    def _longer(self, place: Place) -> tuple[Path, ...]:
        found = []
        for edge in self._out[place]:
            for rest in self._ways[edge.target] if self._leads(edge) else ():
                places = (place, *rest.places)
                product = np.asarray(edge.pull(rest.product))
                found.append(Path(places, _lag(places), product))
        return tuple(found)

    def _leads(self, edge: Edge) -> bool:
        return not edge.is_cut and self.count_paths(edge.target) > 0

    def _grouped(self, place: Place) -> tuple[Path, ...]:
        """One group per lag; a parameter's groups join those of its copies."""
        starts = [place]
        if place.kind == "parameter":
            starts = [edge.target for edge in self._out[place]]
        groups: dict[int, Path] = {}
        for edge in self._in[self.total]:
            last = edge.source
            counts, grads = self._through[last]
            for start in starts:
                assert last.t is not None
                assert start.t is not None
                lag, count, product = last.t - start.t, counts[start], grads[start]
                if lag in groups:
                    count += groups[lag].count
                    product = product + groups[lag].product
                if count:
                    groups[lag] = Path((place, self.total), lag, product, count)
        return tuple(groups[lag] for lag in sorted(groups))

    @cached_property
    def _through(self) -> dict[Place, tuple[dict[Place, int], dict[Place, Array]]]:
        """By the last place before L: paths to L through it, and their gradients."""
        return {
            edge.source: (self._counts(edge.source),
                          self._reverse_from(edge.source, edge))
            for edge in self._in[self.total]
        }  # fmt: skip

    def _reverse_from(self, last: Place, edge: Edge) -> dict[Place, Array]:
        """Reverse mode with L reached through one of its edges alone."""
        return self._reverse(
            {last: edge.pull(np.ones(()))} | {self.total: np.zeros(())}
        )

    def _counts(self, last: Place | None) -> dict[Place, int]:
        """Paths from every place to L, or to L through `last` alone."""
        counts: dict[Place, int] = {self.total: 1}
        for place in self.visit_order()[1:]:
            counts[place] = sum(
                counts[edge.target]
                for edge in self._out[place]
                if not edge.is_cut
                and (edge.target != self.total or last in (None, place))
            )
        return counts


def _lag(places: tuple[Place, ...]) -> int | None:
    """Steps from the first place that has one to the last."""
    steps = [place.t for place in places if place.t is not None]
    return steps[-1] - steps[0] if steps else None
