"""What the picture of the unrolled graph shows: spots, and the arrows between them.

    unrolled graph          W -> W^(3) -> a^(3) -> h^(3) -> o^(3) -> y_hat^(3) -> L^(3)
    full picture            W ---------> a^(3) -> h^(3) -> o^(3) -> y_hat^(3) -> L^(3)
    folded picture          W -------------------> h^(3) -> o^(3) -------------> L^(3)

A parameter is one spot with one arrow per step it is used in; its copies are the
arrows. Folding leaves out a node that exactly one equation of its own step reads; an
arrow across it carries the sum, over the ways across, of the products of Jacobians.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.step.shapes import Array, Shape
from bptt.unrolled import Edge, Place, Unrolled


@dataclass(frozen=True, order=True)
class Kind:
    """Arrows that differ in t alone: from `source` at t + lag to `target` at t.

    lag: 0, -1 or, of a delay, -3; None from a parameter, which has no step.
    """

    source: str
    lag: int | None
    target: str

    @property
    def is_total(self) -> bool:
        """Whether it leads from L^(t) to the one L, where both have one name."""
        return self.lag == 0 and self.source == self.target

    @property
    def key(self) -> str:
        """`W>a`, `h[t-1]>a`, `x[t]>a`."""
        step = {None: "", 0: "[t]"}.get(self.lag, f"[t{self.lag or 0:+d}]")
        return f"{self.source}{step}>{self.target}"


@dataclass(frozen=True, eq=False)
class Arrow:
    """One arrow at step t.

    source, target: the places at its ends (a parameter's own place, not its copy)
    jacobian: (*target shape, *source shape), None where no gradient passes
    carried: J^T ∇_target, what the arrow gives to its source's gradient
    across: the names folded away between its ends, in forward order
    """

    kind: Kind
    t: int
    source: Place
    target: Place
    jacobian: Array | None
    carried: Array | None
    out_dims: Shape
    in_dims: Shape
    across: tuple[str, ...] = ()

    @property
    def card(self) -> str:
        """The kind's key; a `~` after it where nodes are folded away across it."""
        return f"{self.kind.key}~" if self.across else self.kind.key

    @property
    def key(self) -> str:
        """The card and the step: `h[t-1]>a@3`."""
        return f"{self.card}@{self.t}"

    @property
    def matrix(self) -> Array | None:
        """The Jacobian with the target's axes as rows and the source's as columns."""
        if self.jacobian is None:
            return None
        rows = math.prod(np.shape(self.jacobian)[: len(self.out_dims)])
        return np.asarray(self.jacobian).reshape(rows, -1)

    @cached_property
    def norm(self) -> float:
        """‖J^T ∇_target‖; 0 where no gradient passes."""
        return 0.0 if self.carried is None else float(np.linalg.norm(self.carried))


@dataclass(frozen=True, eq=False)
class Drawn:
    """All arrows of one picture, in forward order, and the names in its columns.

    nodes: names of definitions that have a spot; inputs, parameters, states the same;
    folded: the names left out.
    """

    unrolled: Unrolled
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    states: tuple[str, ...]
    folded: tuple[str, ...]
    arrows: tuple[Arrow, ...]

    def start_step(self, name: str) -> str:
        """The step at the circle before the first: 0, of a delay all up to 0."""
        lags = [kind.lag or 0 for kind in self.kinds if kind.source == name]
        return "≤0" if min(lags, default=0) < -1 else "0"

    @property
    def tau(self) -> int:
        """The last step."""
        return self.unrolled.tau

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind of arrow, in forward order."""
        return tuple(dict.fromkeys(arrow.kind for arrow in self.arrows))

    def ends_in_node(self, kind: Kind) -> bool:
        """Whether arrows of a kind end in a node, and not in the one L."""
        return kind.target in self.nodes and not kind.is_total

    def at(self, t: int) -> tuple[Arrow, ...]:
        """The arrows that end at step t, and the one from L^(t) to L."""
        return tuple(arrow for arrow in self.arrows if arrow.t == t)


def draw(unrolled: Unrolled, *, folded: bool = False) -> Drawn:
    """The full or the folded picture of an unrolled graph."""
    names = _names(unrolled, "node")
    away = _foldable(unrolled, names) if folded else ()
    kept = tuple(name for name in names if name not in away)
    arrows = tuple(
        arrow
        for t in range(1, unrolled.tau + 1)
        for arrow in _Step(unrolled, t, frozenset(away)).arrows(kept)
    )
    return Drawn(
        unrolled, kept, _names(unrolled, "input"), _names(unrolled, "parameter"),
        _names(unrolled, "initial"), away, arrows,
    )  # fmt: skip


def _names(unrolled: Unrolled, kind: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.name for p in unrolled.places if p.kind == kind))


def _foldable(unrolled: Unrolled, names: tuple[str, ...]) -> tuple[str, ...]:
    """Inner nodes: read by exactly one equation, of their own step.

    Of these stays what a parameter enters and no state depends on: the output o.
    """
    carried = _leading_on(unrolled)
    return tuple(
        name for name in names
        if _is_inner(unrolled, name)
        and (name in carried or not _has_parameter(unrolled, name))
    )  # fmt: skip


def _is_inner(unrolled: Unrolled, name: str) -> bool:
    readers = {
        (edge.target.name, (edge.target.t or 0) - t, edge.target.kind)
        for t in range(1, unrolled.tau + 1)
        for edge in unrolled.successors(unrolled.place(name, t))
    }
    return len(readers) == 1 and all(r[1:] == (0, "node") for r in readers)


def _has_parameter(unrolled: Unrolled, name: str) -> bool:
    edges = unrolled.predecessors(unrolled.place(name, 1))
    return any(edge.source.kind == "copy" for edge in edges)


def _leading_on(unrolled: Unrolled) -> set[str]:
    """Names that a state of the same step depends on."""
    found = set(_names(unrolled, "initial"))
    for place in reversed(unrolled.places):
        if place.kind != "node" or place.t != 1 or place.name not in found:
            continue
        found |= {e.source.name for e in unrolled.predecessors(place)
                  if e.source.t == 1}  # fmt: skip
    return found


@dataclass(frozen=True)
class _Step:
    """The arrows of one step, found backwards from its nodes."""

    unrolled: Unrolled
    t: int
    away: frozenset[str]

    def arrows(self, kept: tuple[str, ...]) -> Iterator[Arrow]:
        for name in kept:
            yield from self._arrows_to(self.unrolled.place(name, self.t))
        for edge in self.unrolled.predecessors(self.unrolled.total):
            if edge.source.t == self.t:
                yield self._arrow(edge.source, edge.target, edge.array, edge, ())

    def _arrows_to(self, target: Place) -> Iterator[Arrow]:
        """One arrow per source, summed over the ways that lead across folded nodes."""
        found: dict[Place, Arrow] = {}
        work = [(edge, edge.array, ()) for edge in self.unrolled.predecessors(target)]
        waiting: list[tuple[Edge, Array | None, tuple[str, ...]]] = list(work)
        while waiting:
            edge, array, across = waiting.pop(0)
            place = edge.source
            if place.name in self.away and place.t == self.t:
                waiting += [
                    (inner, _chain(array, inner), (place.name, *across))
                    for inner in self.unrolled.predecessors(place)
                ]
                continue
            source = self._shown(place)
            arrow = self._arrow(source, target, array, edge, across)
            found[source] = _join(found[source], arrow) if source in found else arrow
        yield from found.values()

    def _shown(self, place: Place) -> Place:
        return Place("parameter", place.name) if place.kind == "copy" else place

    def _arrow(
        self, source: Place, target: Place, array: Array | None, edge: Edge,
        across: tuple[str, ...],
    ) -> Arrow:  # fmt: skip
        lag = None if source.kind == "parameter" else (source.t or 0) - self.t
        carried = None
        if array is not None:
            grad = self.unrolled.grad(target)
            carried = np.tensordot(grad, array, axes=grad.ndim)
        return Arrow(
            Kind(source.name, lag, target.name), self.t, source, target, array, carried,
            self.unrolled.shapes[target], edge.in_dims, across,
        )  # fmt: skip


def _chain(array: Array | None, inner: Edge) -> Array | None:
    """The Jacobian along two arrows in series; None if either lets nothing pass."""
    if array is None or inner.is_cut:
        return None
    return np.tensordot(array, inner.jacobian, axes=len(inner.out_dims))


def _join(a: Arrow, b: Arrow) -> Arrow:
    """Two ways in parallel: Jacobians add, and so does what they carry."""
    return Arrow(
        a.kind, a.t, a.source, a.target, _add(a.jacobian, b.jacobian),
        _add(a.carried, b.carried), a.out_dims, a.in_dims,
        tuple(dict.fromkeys((*a.across, *b.across))),
    )  # fmt: skip


def _add(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return np.asarray(a + b)
