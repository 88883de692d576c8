"""A step cut free of the past: what it reads from the step before becomes an input.

    h[t] = tanh(b + W @ h[t-1] + U @ x[t])   ->   h[t] = tanh(b + W @ h_before[t] + ...)

No edge through time is left, so the gradients of all steps are computed at once, and
what they are of is local: ∂s^(t)/∂s^(t-1), and what L^(t) alone gives to s^(t).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bptt.calculus.program import Request, gradient_program
from bptt.execute import reference
from bptt.execute.bindings import Bindings
from bptt.results import Gradient, Run
from bptt.step.graph import (
    Graph,
    InputSpec,
    Node,
    name_of,
    rebuild,
    rewrite,
    shift_of,
    walk,
)
from bptt.step.shapes import Array


@dataclass(frozen=True)
class CutStep:
    """A cut graph, and the input that holds each state's value one step before."""

    graph: Graph
    before: Mapping[str, str]

    def of_states_alone(self) -> CutStep:
        """Without the loss, and without whatever no state is computed from."""
        names = [self.graph.definitions[name] for name in self.before]
        needed = list(walk(names))
        kept = {name_of(n) for n in needed if n.op in ("named", "parameter", "input")}
        kept |= {shift_of(n)[0] for n in needed if n.op == "shift"}
        graph = self.graph
        return replace(
            self,
            graph=replace(
                graph,
                definitions={n: d for n, d in graph.definitions.items() if n in kept},
                parameters={n: p for n, p in graph.parameters.items() if n in kept},
                inputs={n: i for n, i in graph.inputs.items() if n in kept},
                states=tuple(n for n in graph.states if n in kept),
                loss=None,
            ),
        )


def cut_at_states(graph: Graph) -> CutStep:
    """Make an input of every state of the step before."""
    taken = {*graph.definitions, *graph.parameters, *graph.inputs}
    before: dict[str, str] = {}
    for name in graph.states:
        if name in graph.definitions:
            new = f"{name}_before"
            while new in taken:
                new += "_"
            before[name] = new

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "shift" and shift_of(node)[0] in before:
            return Node("input", (), node.shape, before[shift_of(node)[0]])
        return rebuild(node, inputs)

    new_nodes = rewrite(graph.definitions.values(), step)
    definitions = {name: new_nodes[node] for name, node in graph.definitions.items()}
    specs = {new: InputSpec(definitions[name].shape) for name, new in before.items()}
    states = tuple(name for name in graph.states if name not in before)
    return CutStep(
        replace(
            graph, definitions=definitions, inputs={**graph.inputs, **specs},
            states=states,
        ),
        before,
    )  # fmt: skip


class StepGradient:
    """Gradients of a cut step at fixed arrays, for one set of seeded names."""

    def __init__(
        self, cut: CutStep, bindings: Bindings, seeds: tuple[str, ...]
    ) -> None:
        """bindings: of the whole cell, with the states' values before every step."""
        graph = cut.graph
        self._request = Request(
            nodes=tuple(cut.before), inputs=tuple(cut.before.values()), seeds=seeds
        )
        self._program = gradient_program(graph, self._request)
        self._bindings = replace(
            bindings,
            parameters={n: bindings.parameters[n] for n in graph.parameters},
            inputs={n: bindings.inputs[n] for n in graph.inputs},
            initial={n: a for n, a in bindings.initial.items() if n in graph.states},
        )

    def zeros(self, name: str) -> Array:
        """A gradient of nothing at every step of a node, (tau, n_b, *shape)."""
        b, node = self._bindings, self._program.graph.definitions[name]
        return np.zeros((b.tau, b.n_b, *b.numbers(node.shape)), b.dtype)

    def __call__(self, seeds: Mapping[str, Array]) -> Gradient:
        """Everything that arrives from these seeds, and from the loss if there is one.

        seeds: node -> (tau, n_b, *shape).
        """
        bindings = replace(self._bindings, seeds=dict(seeds))
        values = reference.run(self._program, bindings)

        def forward() -> Run:
            raise AssertionError("the forward values are never asked for")

        return Gradient(self._program, bindings, values, self._request, forward)


def jacobians(cut: CutStep, bindings: Bindings, row: int) -> Array:
    """∂s^(t)/∂s^(t-1) of one batch row: (tau, n, n), all states' elements in order.

    bindings: as for `StepGradient`, of a cut step of states alone. A row per element of
    the states is seeded with 1 there.
    """
    sizes = [bindings.numbers(cut.graph.definitions[name].shape) for name in cut.before]
    lengths = [math.prod(size) for size in sizes]
    n = sum(lengths)

    def spread(arrays: Mapping[str, Array], axis: int) -> dict[str, Array]:
        rows = [row] * n
        return {name: np.take(a, rows, axis=axis) for name, a in arrays.items()}

    wide = replace(
        bindings, n_b=n, inputs=spread(bindings.inputs, 1),
        initial=spread(bindings.initial, 0),
        weight=np.ones((bindings.tau, n), bindings.dtype),
    )  # fmt: skip
    seeds, start = {}, 0
    for name, size, length in zip(cut.before, sizes, lengths, strict=True):
        basis = np.zeros((n, length), bindings.dtype)
        basis[start : start + length] = np.eye(length)
        shape = (bindings.tau, n, *size)
        seeds[name] = np.broadcast_to(basis.reshape(n, *size), shape)
        start += length
    grad = StepGradient(cut, wide, tuple(sorted(seeds)))(seeds)
    columns = [grad.inputs[b].reshape(bindings.tau, n, -1) for b in cut.before.values()]
    return np.concatenate(columns, axis=2)


def values_before(bindings: Bindings, run: Mapping[str, Array], name: str) -> Array:
    """A state's value one step before, at every step: (tau, n_b, *shape)."""
    rows = np.asarray(run[name])
    first = bindings.initial.get(name)
    if first is None:
        first = np.zeros(rows.shape[1:], rows.dtype)
    return np.concatenate([first[None], rows[:-1]])
