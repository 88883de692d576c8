"""Perturbing a cell: what the total loss answers when one number of it is moved.

A probe is a leaf added to one parameter or definition,

    a[t] = b + W @ h[t-1] + U @ x[t]     ->     a[t] = b + (W + probe[t]) @ h[t-1] + ...

with a value of its own per step and row. Batch rows are independent, so one forward run
carries one perturbation per group of rows: a copy W^(3) alone, or a node at one step.

A stopped gradient is held at its unperturbed value: that is what its derivative means.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bptt.calculus.program import Program, forward_program
from bptt.check.instances import Instance
from bptt.check.kinks import Kinks, observe
from bptt.check.rounding import ULP, meanings, spread
from bptt.execute import reference
from bptt.execute.bindings import Bindings
from bptt.step.graph import Graph, InputSpec, Node, rebuild, rewrite, walk
from bptt.step.ops import apply, held_input, whole_shape
from bptt.step.shapes import Array

PROBE = "probe"
# Elements times nodes; beyond it a few directions stand for the elements of a matrix.
LARGE = 50_000
DIRECTIONS = 4
MOST_REALS = 1_000_000  # of the probes of one run, per row of the batch


@dataclass(frozen=True)
class Moved:
    """What is moved: its kind and its name.

    kind: "parameter", "copy" (of one at every step), "node", "input" or "initial".
    """

    kind: str
    name: str


def _frozen_name(position: int) -> str:
    return f"frozen {position}"


@dataclass(frozen=True, eq=False)
class Prober:
    """A cell's graph and one instance, ready to be perturbed."""

    whole: Graph
    instance: Instance
    # By targets: the copies of the parameters run the same programs again.
    _programs: dict[tuple[Moved, ...], tuple[Program, dict[Moved, str]]] = field(
        default_factory=dict
    )

    @cached_property
    def graph(self) -> Graph:
        """The graph, `with_derivative(v, x)` in the form that a perturbation can see.

        It is x with a stopped difference: v at these numbers, and x's derivative.
        """

        def step(node: Node, inputs: tuple[Node, ...]) -> Node:
            if node.op != "with_derivative":
                return rebuild(node, inputs)
            value, like = inputs
            return apply("stop_gradient", value - like) + like

        new = rewrite(self.whole.definitions.values(), step)
        definitions = {name: new[n] for name, n in self.whole.definitions.items()}
        return replace(self.whole, definitions=definitions)

    @cached_property
    def bindings(self) -> Bindings:
        """The unperturbed arrays."""
        return self.instance.bind(self.graph)

    @cached_property
    def frozen(self) -> dict[str, Array]:
        """The unperturbed values of everything under a stopped gradient."""
        stopped = {_frozen_name(i): n.inputs[0] for i, n in enumerate(self._stops)}
        if not stopped:
            return {}
        return observe(self.graph, stopped, self.bindings)

    @cached_property
    def _stops(self) -> list[Node]:
        nodes = walk(self.graph.definitions.values())
        return [node for node in nodes if node.op == "stop_gradient"]

    @property
    def has_stops(self) -> bool:
        """Whether a stopped gradient makes the derivative differ from the gradient."""
        nodes = walk(self.whole.definitions.values())
        return any(node.op == "stop_gradient" for node in nodes)

    @cached_property
    def kinks(self) -> Kinks:
        """Where the cell is not smooth, and how near that is."""
        return Kinks(self.graph, self.bindings)

    # ----- perturbed runs -----

    def shape_of(self, target: Moved) -> tuple[int, ...]:
        """The shape of one value of the target."""
        b = self.bindings
        if target.kind in ("parameter", "copy"):
            return b.parameters[target.name].shape
        if target.kind == "input" or target.name in self.graph.inputs:
            return b.inputs[target.name].shape[2:]
        return b.numbers(self.graph.definitions[target.name].shape)

    def basis(self, target: Moved) -> Array:
        """What the target is moved by in turn: (count, *shape).

        Every element alone; in a large cell a few directions of random signs, where
        there are more elements than that.
        """
        shape = self.shape_of(target)
        count = math.prod(shape)
        if not self.has_directions(target):
            return np.eye(count).reshape(count, *shape)
        own = zlib.crc32(f"{target.kind} {target.name}".encode())
        rng = np.random.default_rng([self.instance.seed, self.instance.number, own])
        return np.asarray(rng.choice((-1.0, 1.0), (DIRECTIONS, *shape)))

    def along(self, target: Moved, gradient: Array) -> Array:
        """A gradient (..., *shape) along the basis of its target: (..., count).

        One of a wrong shape stays as it is, and equals nothing.
        """
        shape = self.shape_of(target)
        lead = gradient.ndim - len(shape)
        if lead < 0 or gradient.shape[lead:] != shape:
            return gradient
        flat = gradient.reshape(*gradient.shape[:lead], math.prod(shape))
        if not self.has_directions(target):
            return flat
        return np.asarray(flat @ self.basis(target).reshape(DIRECTIONS, -1).T)

    def has_directions(self, target: Moved) -> bool:
        """Whether random directions stand for the elements of a target."""
        return self.is_large and math.prod(self.shape_of(target)) > DIRECTIONS

    def note(self, target: Moved) -> str:
        """What was moved, if not every element alone."""
        if not self.has_directions(target):
            return ""
        count = math.prod(self.shape_of(target))
        return f"{DIRECTIONS} random directions of {count} elements"

    @cached_property
    def is_large(self) -> bool:
        """Whether moving every element alone would take many times the gradient."""
        b, graph = self.bindings, self.graph
        sizes = [array.size for array in b.parameters.values()]
        sizes += [math.prod(b.numbers(n.shape)) for n in graph.definitions.values()]
        n_nodes = sum(1 for _ in walk(graph.definitions.values()))
        return sum(sizes) * n_nodes > LARGE

    def offsets(self, target: Moved, *, each_step: bool) -> Array:
        """One unit perturbation per group: (tau, groups, 1, *shape).

        each_step: one group per step and element; else one per element, at all steps.
        For an initial value there is one step, 0.
        """
        basis = self.basis(target)
        count, shape = len(basis), basis.shape[1:]
        tau = 1 if target.kind == "initial" else self.bindings.tau
        if not each_step:
            return np.broadcast_to(basis[None, :, None], (tau, count, 1, *shape))
        result = np.zeros((tau, tau, count, *shape))
        result[np.arange(tau), np.arange(tau)] = basis
        return result.reshape(tau, tau * count, 1, *shape)

    def losses(
        self, moves: Sequence[tuple[Moved, Array]],
        meaning: reference.Meaning = reference.AS_IT_IS,
    ) -> list[Array]:  # fmt: skip
        """w_t L^(t) (and <seed, node>) of every step, group and row, perturbed.

        moves: targets, each with its offsets (tau, groups, 1, *shape); one run has the
        groups of all side by side. Returns: (tau, groups, n_b) for each.
        """
        targets = tuple(target for target, _ in moves)
        if targets not in self._programs:
            graph, leaves = self._probed(targets)
            self._programs[targets] = forward_program(graph, self._weighed), leaves
        program, leaves = self._programs[targets]
        ends = list(itertools.accumulate(array.shape[1] for _, array in moves))
        groups = ends[-1]
        dtype = np.result_type(np.float64, *(array.dtype for _, array in moves))
        bound = self._repeat(groups, dtype)
        inputs, initial = dict(bound.inputs), dict(bound.initial)
        for (target, array), end in zip(moves, ends, strict=True):
            spread = self._spread(array, groups, end)
            if target.kind == "input":
                inputs[target.name] = inputs[target.name] + spread
            elif target.kind == "initial":
                start = initial.get(target.name, np.zeros(spread.shape[1:]))
                initial[target.name] = start + spread[0]
            elif target in leaves:
                inputs[leaves[target]] = spread
        bound = replace(bound, inputs=inputs, initial=initial)
        total = self._weigh(program, bound, (groups, bound.n_b // groups), meaning)
        return np.split(total, ends[:-1], axis=1)

    def _spread(self, offsets: Array, groups: int, end: int) -> Array:
        """Offsets among all groups, whose last is `end`: (tau, rows, *shape)."""
        tau, own, _, *shape = offsets.shape
        wide = np.zeros((tau, groups, self.bindings.n_b, *shape), offsets.dtype)
        wide[:, end - own : end] = offsets
        return wide.reshape(tau, -1, *shape)

    @property
    def _weighed(self) -> tuple[str, ...]:
        """The loss, and the nodes that a gradient arrives at from outside."""
        losses = [self.graph.loss] if self.graph.loss else []
        return tuple(dict.fromkeys((*losses, *self.bindings.seeds)))

    @cached_property
    def noise(self) -> float:
        """How far rounding moves w_t L^(t), or <seed, node>, of one step and row."""
        program, b = forward_program(self.graph, self._weighed), self.bindings
        runs = [self._weigh(program, b, (1, b.n_b), meaning) for meaning in meanings()]
        last_place = ULP / 2 * float(np.max(np.abs(runs[0]), initial=0.0))
        return max(last_place, float(np.max(spread(runs), initial=0.0)))

    def _weigh(
        self, program: Program, bound: Bindings, rows: tuple[int, int],
        meaning: reference.Meaning = reference.AS_IT_IS,
    ) -> Array:  # fmt: skip
        run = reference.run(program, bound, meaning)
        values = {name: run[program.roots[name]] for name in self._weighed}
        total = np.zeros((bound.tau, bound.n_b), bound.dtype)
        if self.graph.loss:
            total = total + bound.weight * values[self.graph.loss]
        for name, seed in bound.seeds.items():
            product = seed * values[name]
            total = total + product.sum(axis=tuple(range(2, product.ndim)))
        return np.asarray(total.reshape(bound.tau, *rows))

    def _repeat(self, groups: int, dtype: np.dtype[Any]) -> Bindings:
        """The unperturbed arrays once per group: group-major rows."""
        b = self.bindings

        def tile(value: Array, axis: int) -> Array:
            expanded = np.expand_dims(value, axis)
            shape = list(expanded.shape)
            shape[axis] = groups
            wide = np.broadcast_to(expanded, shape)
            merged = (*shape[:axis], groups * b.n_b, *shape[axis + 2 :])
            kind = dtype if value.dtype.kind in "fc" else value.dtype
            return wide.reshape(merged).astype(kind, copy=False)

        inputs = {**b.inputs, **self.frozen}
        return replace(
            b, dtype=dtype, n_b=groups * b.n_b,
            parameters={n: v.astype(dtype) for n, v in b.parameters.items()},
            inputs={name: tile(value, 1) for name, value in inputs.items()},
            initial={name: tile(value, 0) for name, value in b.initial.items()},
            weight=tile(b.weight, 1),
            seeds={name: tile(value, 1) for name, value in b.seeds.items()},
        )  # fmt: skip

    def _probed(self, targets: Sequence[Moved]) -> tuple[Graph, dict[Moved, str]]:
        """The graph with a probe at each target and stopped gradients held."""
        held = {node: position for position, node in enumerate(self._stops)}
        inputs = dict(self.graph.inputs)
        inside = [t for t in targets if t.kind in ("parameter", "node")]
        leaves = {t: f"{PROBE} {number}" for number, t in enumerate(inside)}

        def leaf(kind: str, node: Node) -> Node | None:
            target = Moved(kind, str(node.data))
            if target not in leaves:
                return None
            return Node("input", (), self._dims(target), leaves[target])

        def step(node: Node, children: tuple[Node, ...]) -> Node:
            if node in held:
                return held_input(node, _frozen_name(held[node]))
            if node.op == "parameter" and (probe := leaf("parameter", node)):
                return apply("add", node, probe)
            if node.op == "named" and (probe := leaf("node", node)):
                moved = apply("add", children[0], probe)
                return Node("named", (moved,), node.shape, node.data)
            return rebuild(node, children)

        new = rewrite(self.graph.definitions.values(), step)
        definitions = {name: new[node] for name, node in self.graph.definitions.items()}
        for node, position in held.items():
            inputs[_frozen_name(position)] = InputSpec(whole_shape(node))
        for target, name in leaves.items():
            inputs[name] = InputSpec(self._dims(target))
        return replace(self.graph, definitions=definitions, inputs=inputs), leaves

    def _dims(self, target: Moved) -> Any:
        if target.kind == "parameter":
            return self.graph.parameters[target.name].shape
        if target.name in self.graph.definitions:
            return self.graph.definitions[target.name].shape
        return self.graph.inputs[target.name].shape


def complex_steps(
    prober: Prober, targets: Sequence[Moved], *, h: float,
    each_step: Callable[[Moved], bool], meaning: reference.Meaning = reference.AS_IT_IS,
) -> Iterator[tuple[Moved, Array]]:  # fmt: skip
    """Each target with Im L(v + i h) / h for every group: (groups, n_b).

    Exact to rounding.
    """
    moves = [(t, prober.offsets(t, each_step=each_step(t))) for t in targets]
    for batch in _batches(moves):
        moved = [(target, 1j * h * array) for target, array in batch]
        found = prober.losses(moved, meaning)
        for (target, _), losses in zip(batch, found, strict=True):
            yield target, np.asarray(losses.imag.sum(axis=0) / h)


def central_differences(
    prober: Prober, targets: Sequence[Moved], epsilons: Sequence[float]
) -> Iterator[tuple[Moved, Array]]:
    """Each target with (L(v + eps) - L(v - eps)) / 2 eps: (epsilons, groups, n_b).

    Elements are moved at all steps, and every epsilon with either sign in one run. The
    terms are subtracted step by step before they are summed, which keeps digits.
    """
    signed = [sign * epsilon for epsilon in epsilons for sign in (1, -1)]
    moves = []
    for target in targets:
        unit = prober.offsets(target, each_step=False)
        moves.append((target, np.concatenate([s * unit for s in signed], axis=1)))
    for batch in _batches(moves):
        for (target, _), found in zip(batch, prober.losses(batch), strict=True):
            pairs = found.reshape(len(found), len(epsilons), 2, -1, found.shape[-1])
            difference = (pairs[:, :, 0] - pairs[:, :, 1]).sum(axis=0)
            yield target, difference / (2 * np.reshape(epsilons, (-1, 1, 1)))


def _batches(
    moves: Sequence[tuple[Moved, Array]],
) -> Iterator[list[tuple[Moved, Array]]]:
    """Moves that fit into one run: each target needs room in the rows of all."""
    batch: list[tuple[Moved, Array]] = []
    for move in moves:
        grown = [*batch, move]
        groups = sum(array.shape[1] for _, array in grown)
        room = groups * sum(array[:, 0].size for _, array in grown)
        if batch and room > MOST_REALS:
            yield batch
            grown = [move]
        batch = grown
    if batch:
        yield batch
