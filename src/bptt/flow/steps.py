"""One step of the unrolled graph alone: its Jacobian and the loss that enters there.

Reverse mode that stays within step t: from the states, or from L^(t), to the states of
t - 1, or of t itself. Nothing is taken from the recursion over all steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bptt.step.graph import Graph
from bptt.step.shapes import Array
from bptt.unrolled import Place, Unrolled


@dataclass(frozen=True, eq=False)
class Step:
    """jacobian: ∂s^(t)/∂s^(t-1), s all states' elements one after the other.

    total: ∇_{h^(t)} L for every state h; injected: its part through L^(t). An LSTM's
    h^(t) is computed from its s^(t), so what s^(t) gets counts the way through h^(t).
    """

    jacobian: Array
    total: Mapping[str, Array]
    injected: Mapping[str, Array]

    def total_of(self, name: str) -> Array:
        """∇_{h^(t)} L."""
        return self.total[name]

    def injected_of(self, name: str) -> Array:
        """What L^(t) alone gives."""
        return self.injected[name]

    def arrived_of(self, name: str) -> Array:
        """What the steps after t give."""
        return self.total[name] - self.injected[name]


def steps_of(graph: Graph, unrolled: Unrolled) -> list[Step]:
    """Steps t = 1..tau."""
    states = [name for name in graph.states if name in graph.definitions]
    return [_step(states, unrolled, t) for t in range(1, unrolled.tau + 1)]


def _step(states: list[str], unrolled: Unrolled, t: int) -> Step:
    now = [unrolled.place(name, t) for name in states]
    before = [unrolled.place(name, t - 1) for name in states]
    rows = []
    for place in now:
        shape = np.shape(unrolled.values[place])
        for index in np.ndindex(shape):
            basis = np.zeros(shape)
            basis[index] = 1.0
            rows.append(_flat(_reverse_within(unrolled, t, {place: basis}), before))
    size = sum(np.size(unrolled.values[place]) for place in now)
    seeds = {
        edge.source: edge.pull(np.ones(()))
        for edge in unrolled.predecessors(unrolled.total) if edge.source.t == t
    }  # fmt: skip
    within = _reverse_within(unrolled, t, seeds)
    return Step(
        np.array(rows).reshape(size, size),
        {place.name: unrolled.grad(place) for place in now},
        {place.name: within[place] for place in now},
    )


def _flat(grads: Mapping[Place, Array], places: list[Place]) -> Array:
    parts = [np.ravel(grads[place]) for place in places]
    return np.concatenate(parts) if parts else np.zeros(0)


def _reverse_within(
    unrolled: Unrolled, t: int, seeds: Mapping[Place, Array]
) -> dict[Place, Array]:
    """Gradients of the seeded sum along edges that end at step t."""
    grads = {
        place: np.zeros(np.shape(value)) for place, value in unrolled.values.items()
        if place.t in (t, t - 1)
    }  # fmt: skip
    for place, seed in seeds.items():
        grads[place] = grads[place] + seed
    for place in unrolled.visit_order():
        if place.t != t or place.kind != "node" or not np.any(grads[place]):
            continue
        for edge in unrolled.predecessors(place):
            if not edge.is_cut and edge.source in grads:
                grads[edge.source] = grads[edge.source] + edge.pull(grads[place])
    return grads
