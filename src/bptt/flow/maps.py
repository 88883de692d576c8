"""One step as linear maps at every slot: what it sends back, and what it sends on.

    back:  u  ->  (∂s^(t)/∂s^(t-1))^T u          (reverse mode within the step)
    on:    v  ->   ∂s^(t)/∂s^(t-1)  v            (reverse mode of reverse mode, in u)

s is the whole state of the cell. A step is cut free of the past first: what it reads
of another step becomes an input. Of a loop that runs backward t - 1 is t + 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt.calculus import bprop
from bptt.calculus.simplify import simplify
from bptt.execute.bindings import Bindings
from bptt.flow.sheet import Leaves, Sheet, Where, leaf_key
from bptt.flow.slots import slots_of
from bptt.step import ops
from bptt.step.graph import Graph, Node, constant, rebuild, rewrite, shift_of, walk
from bptt.step.shapes import Array

Parts = Mapping[str, Array]  # state -> (slots, *shape)
Both = tuple[dict[str, Array], dict[str, Array]]


def seeded(name: str) -> str:
    """The leaf that holds what is sent back from a state."""
    return f"back({name})"


def moved(name: str) -> str:
    """The leaf that holds what is sent on from a state one step before."""
    return f"on({name})"


@dataclass(frozen=True)
class CutStep:
    """A step without edges through time.

    definitions: as in the graph, in place of shifts of states inputs; before: state ->
    that input.
    """

    graph: Graph
    definitions: Mapping[str, Node]
    before: Mapping[str, Node]

    @property
    def states(self) -> tuple[str, ...]:
        """The states, in the cell's order."""
        return tuple(self.before)


def cut_at_states(graph: Graph, seeds: Iterable[str] = ()) -> CutStep:
    """Make an input of every state that is read at another step.

    seeds: names where gradients arrive, which stay on the way to the loss.
    """
    before: dict[str, Node] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "shift" and shift_of(node)[0] in graph.definitions:
            name = shift_of(node)[0]
            return before.setdefault(
                name, Node("input", (), node.shape, f"before({name})")
            )
        return rebuild(node, inputs)

    new = rewrite(graph.definitions.values(), step)
    definitions = {name: new[node] for name, node in graph.definitions.items()}
    leaves = {str(node.data): node for node in before.values()}
    simple = simplify({**leaves, **definitions}, keep=(*before, *seeds))
    ordered = {n: simple[str(before[n].data)] for n in graph.states if n in before}
    return CutStep(graph, {n: simple[n] for n in definitions}, ordered)


class StepMaps:
    """The maps of one run's steps, at the values that they had."""

    def __init__(
        self, cut: CutStep, bindings: Bindings, states: Mapping[str, Array]
    ) -> None:
        """bindings: in float64, not packed; states: (tau, n_b, *shape)."""
        self.cut, self.bindings, self.slots = (
            cut,
            bindings.unpacked(),
            slots_of(bindings),
        )
        self.values = {n: self.slots.gather(states[n]) for n in cut.states}
        self._inputs = {
            str(n.data): n for n in walk(cut.definitions.values()) if n.op == "input"
        }

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return self.cut.states

    def lag(self, name: str) -> int:
        """Where a state is read: -1 or +1."""
        return self.cut.graph.lag(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """One value of a state."""
        return self.values[name].shape[1:]

    def zeros(self, name: str, count: int) -> Array:
        """No gradient of a state, for some slots."""
        return np.zeros((count, *self.shape(name)))

    # ----- graphs -----

    @cached_property
    def _first(self) -> bprop.Adjoint:
        seeds = {
            self.cut.definitions[n]: Node("input", (), before.shape, seeded(n))
            for n, before in self.cut.before.items()
        }  # fmt: skip
        return self._adjoint(seeds, [])

    def _adjoint(
        self, seeds: Mapping[Node, Node], more: Iterable[Node]
    ) -> bprop.Adjoint:
        definitions = {**self._inputs, **self.cut.definitions}
        states = [self.cut.definitions[n] for n in self.cut.before]
        targets = [*self.cut.before.values(), *states, *more]
        return bprop.build_grad(definitions, seeds, targets)

    def _root(self, found: Mapping[str, Node], name: str, shape: Node) -> Node:
        node = found.get(name)
        return _zero(shape) if node is None else node

    @cached_property
    def _back(self) -> Sheet:
        return self._sheet(
            self._both(self._first.nodes), list(map(seeded, self.states))
        )

    def _both(self, found: Mapping[str, Node]) -> dict[str, Node]:
        """Gradients of the states, and under "-" of the states one step before."""
        roots = {}
        for name, before in self.cut.before.items():
            roots[name] = self._root(found, name, before)
            roots[f"-{name}"] = self._root(found, str(before.data), before)
        return roots

    @cached_property
    def _on(self) -> Sheet:
        seeds: dict[Node, Node] = {}
        leaves = {}
        for name, before in self.cut.before.items():
            leaves[name] = Node("input", (), before.shape, moved(name))
            gradient = self._first.nodes.get(str(before.data))
            if gradient is not None:
                seeds[gradient] = seeds.get(gradient, constant(0.0)) + leaves[name]
        free = [n for n in walk(self._first.nodes.values())
                if n.op == "input" and str(n.data).startswith("back(")]  # fmt: skip
        second = bprop.build_grad(
            {**self._inputs, **self.cut.definitions, **self._first.definitions},
            seeds, free, order=2,
        )  # fmt: skip
        roots = {
            name: self._root(second.nodes, seeded(name), before)
            for name, before in self.cut.before.items()
        }
        return self._sheet(roots, [*map(moved, self.states), *map(seeded, self.states)])

    def _enter(self) -> Sheet:
        """What the loss and the seeds of a step give to its states."""
        found = self._adjoint(self._loss_seeds(), []).nodes
        return self._sheet(self._both(found), [])

    @cached_property
    def _parameters(self) -> Sheet:
        """The parameters' gradient of what arrives at the states and of the loss."""
        graph = self.cut.graph
        leaves = {
            str(n.data): n for n in walk(self.cut.definitions.values())
            if n.op == "parameter"
        }  # fmt: skip
        seeds = self._loss_seeds()
        for name, before in self.cut.before.items():
            node = self.cut.definitions[name]
            leaf = Node("input", (), before.shape, seeded(name))
            seeds[node] = seeds[node] + leaf if node in seeds else leaf
        # The weight of the loss is a free leaf, so that some slots can be left out.
        seeds = {n: _free_weight(s) for n, s in seeds.items()}
        found = self._adjoint(seeds, leaves.values()).totals
        roots = {n: found[n] for n in graph.parameters if n in found}
        extra = [f"seed({n})" for n in self.bindings.seeds]
        free = [*map(seeded, self.states), "weight", *extra]
        return self._sheet(roots, free)

    def _loss_seeds(self) -> dict[Node, Node]:
        definitions, graph = self.cut.definitions, self.cut.graph
        seeds = {
            definitions[n]: Node("seed", (), definitions[n].shape, n)
            for n in self.bindings.seeds
        }
        if graph.loss is not None:
            loss, weight = definitions[graph.loss], Node("weight")
            seeds[loss] = weight + seeds[loss] if loss in seeds else weight
        return seeds

    def _sheet(self, roots: Mapping[str, Node], free: list[str]) -> Sheet:
        simple = simplify(roots)
        return Sheet(simple, free, self._leaves(simple, free))

    def _leaves(self, roots: Mapping[str, Node], free: list[str]) -> Leaves:
        timed = {}
        for node in walk(roots.values()):
            if node.inputs or not node.timed:
                continue
            if node.op == "input" and str(node.data) in free:
                continue
            key = leaf_key(node)
            if key not in timed:
                timed[key] = self._timed_leaf(node)
        return Leaves(self.bindings, timed, len(self.slots))

    def _timed_leaf(self, node: Node) -> Array:
        b, slots = self.bindings, self.slots
        if node.op == "weight":
            return slots.gather(b.weight)
        if node.op == "seed":
            return slots.gather(b.seeds[str(node.data)])
        if node.op == "shift":
            name, lag = shift_of(node)
            values = slots.gather(b.inputs[name])
            return slots.before(values, b.initial.get(name), lag)
        name = str(node.data)
        if name in b.inputs:
            return slots.gather(b.inputs[name])
        state = next(n for n, leaf in self.cut.before.items() if leaf.data == name)
        first = b.initial.get(state)
        return slots.before(self.values[state], first, self.lag(state))

    # ----- numbers -----

    def argument(self, name: str) -> Array:
        """What the function that a node is takes, at every slot: (slots, *shape)."""
        node = self.cut.definitions[name].inputs[0].inputs[0]
        found = self._sheet({name: node}, [])(slice(0, len(self.slots)), {})
        return found[name]

    def back(
        self, where: Where, parts: Parts
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Gradients at some slots: of the states there, and of those a step before."""
        given = {seeded(n): parts[n] for n in self.states}
        return self._split(self._back(where, given))

    def _split(self, found: Parts) -> Both:
        here = {n: found[n] for n in self.states}
        return here, {n: found[f"-{n}"] for n in self.states}

    def on(self, where: Where, parts: Parts) -> dict[str, Array]:
        """Directions at some slots, from directions of the states one step before."""
        given = {moved(n): parts[n] for n in self.states}
        # Linear in what is sent back, so its own value has no influence.
        given |= {seeded(n): np.zeros_like(parts[n]) for n in self.states}
        return self._on(where, given)

    def entering(self) -> Both:
        """What every slot's own loss and seeds give, as `back`."""
        return self._split(self._enter()(slice(0, len(self.slots)), {}))

    def parameters(
        self, where: Where, parts: Parts, loss_share: Array
    ) -> dict[str, Array]:
        """The gradient of the parameters, summed over some slots.

        parts: what arrives at the states there; loss_share: of each slot's own loss and
        seeds, (len of where,): 1, or 0 for a slot whose own loss does not count.
        """
        given = {seeded(n): parts[n] for n in self.states}
        weight = self.slots.gather(self.bindings.weight)[where]
        given["weight"] = weight * loss_share
        for name, seed in self.bindings.seeds.items():
            rows = self.slots.gather(seed)[where]
            share = loss_share.reshape(-1, *(1,) * (rows.ndim - 1))
            given[f"seed({name})"] = rows * share
        found = self._parameters(where, given)
        shapes = {n: a.shape for n, a in self.bindings.parameters.items()}
        return {
            n: np.broadcast_to(found[n], shape) if n in found else np.zeros(shape)
            for n, shape in shapes.items()
        }


def _zero(like: Node) -> Node:
    return ops.apply("spread", ops.fill(constant(0.0), like.shape))


def _free_weight(seed: Node) -> Node:
    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.op == "weight":
            return Node("input", (), (), "weight")
        if node.op == "seed":
            return Node("input", (), node.shape, f"seed({node.data})")
        return rebuild(node, inputs)

    return rewrite([seed], step)[seed]
