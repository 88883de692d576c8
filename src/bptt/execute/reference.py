"""The meaning of a program, in the plainest NumPy there is.

Every node is evaluated by the function in its row of the table: nodes outside a loop
once for all steps, nodes of a loop step by step. In a ragged batch only the rows that
still run are evaluated, and every value is zero at the other steps. It accepts
complex128 and is the oracle that other executors are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bptt.calculus.program import Program
from bptt.calculus.recurrence import Segment
from bptt.execute.bindings import Bindings
from bptt.execute.checkpoints import CheckpointPlan
from bptt.step.evaluate import evaluate, static_leaf
from bptt.step.graph import TO_TIMED, Node, name_of, shift_of
from bptt.step.shapes import Array, Shape

Meaning = Callable[[Node, list[Array], Callable[[Shape], tuple[int, ...]]], Array]
AS_IT_IS: Meaning = evaluate


def run(
    program: Program, bindings: Bindings, meaning: Meaning = AS_IT_IS
) -> ReferenceValues:
    """Evaluate every segment in order.

    meaning: what evaluates a node, for a check that asks what rounding does.
    Returns: the values of all nodes; timed ones are (tau, n_b, *shape).
    """
    values = ReferenceValues(program, bindings.unpacked(), meaning)
    values.run_phase(0)
    values.run_phase(1)
    return values


def begin(program: Program, bindings: Bindings) -> ReferenceCall:
    """Run a program's first phase: all of it that needs no seed, if it is phased."""
    call = ReferenceCall(program, bindings)
    call.start()
    return call


class ReferenceCall:
    """One run of a program: `start` runs its first phase, `finish` the second."""

    def __init__(self, program: Program, bindings: Bindings) -> None:
        """Nothing is evaluated yet."""
        self.program = program
        self.values = ReferenceValues(program, bindings.unpacked())

    def start(self) -> None:
        """Evaluate everything that needs no seed, or everything if not phased."""
        self.values.run_phase(0)

    def finish(
        self,
        seeds: Mapping[str, Array] | None = None,
        bindings: Bindings | None = None,
    ) -> None:
        """Evaluate the rest; once only. See `protocol.Call.finish`."""
        if bindings is not None:
            # Values are views of the caller's arrays in places: computed once more.
            self.values = ReferenceValues(self.program, bindings)
            self.values.run_phase(0)
        if seeds is not None:
            self.values.give_seeds(seeds)
        self.values.run_phase(1)


class ReferenceValues:
    """The value of every node of a program, by node."""

    def __init__(
        self, program: Program, bindings: Bindings, meaning: Meaning = AS_IT_IS
    ) -> None:
        """Nothing is evaluated yet."""
        self._meaning = meaning
        self.schedule: CheckpointPlan | None = None
        self._program = program
        self._bindings = bindings
        self._lead = (bindings.tau, bindings.n_b)
        packing = bindings.packing
        self._alive: Array | None = None if packing is None else packing.mask
        self._values: dict[Node, Array] = {}
        self._padded: dict[str, Array] = {}

    def __getitem__(self, node: Node) -> Array:
        """A node's value; leaves are looked up where they were bound."""
        if node not in self._values:
            self._values[node] = self._leaf(node)
        return self._values[node]

    def padded(self, name: str) -> Array:
        """A sequence with a row for t = 0 before it and for t = tau + 1 after it."""
        if name not in self._padded:
            source = self._program.sources[name]
            shape = (self._lead[0] + 2, self._lead[1], *self.sizes(source.shape))
            dtype = self._bindings.dtype
            if source.op == "input":
                dtype = self._bindings.inputs[name].dtype
            buffer = np.zeros(shape, dtype)
            if source.op == "input":
                buffer[1:-1] = self._bindings.inputs[name]
            if name in self._bindings.initial:
                is_backward = name in self._program.graph.backward
                row: Any = self._beyond() if is_backward else 0
                buffer[row] = self._bindings.initial[name]
            self._padded[name] = buffer
        return self._padded[name]

    def at(self, name: str, index: int) -> Array:
        """A definition's value at each row's first step (0) or its last (-1)."""
        packing = self._bindings.packing
        value = self[self._program.sources[name]]
        if index == 0 or packing is None:
            row: Array = value[index]
        else:
            row = value[packing.lengths - 1, np.arange(packing.n_b)]
        return row

    def _beyond(self) -> Any:
        """The place in a padded sequence after each row's last step."""
        packing = self._bindings.packing
        if packing is None:
            return -1
        return packing.lengths + 1, np.arange(packing.n_b)

    def _useful(self, value: Array) -> Array:
        """A sequence with zeros where a row has ended."""
        if self._alive is None:
            return value
        result = np.zeros_like(value)
        result[self._alive] = value[self._alive]
        return result

    def map_steps(
        self,
        nodes: tuple[Node, ...],
        use: Callable[[Mapping[Node, Array], bool], Array],
    ) -> list[Array]:
        """See `protocol.Values`: all steps are here."""
        return [use({node: self[node] for node in nodes}, True)]

    def read_stack(self, nodes: tuple[Node, ...]) -> None:
        """Nothing lies together here."""

    def sizes(self, shape: tuple[Any, ...]) -> tuple[int, ...]:
        """Named dimensions as numbers."""
        return self._bindings.numbers(shape)

    def give_seeds(self, seeds: Mapping[str, Array]) -> None:
        """The seeds of the second phase, where the bindings held none yet."""
        useful = {name: self._useful(array) for name, array in seeds.items()}
        self._bindings = replace(self._bindings, seeds=useful)

    def run_phase(self, phase: int) -> None:
        """Evaluate the segments of a phase in order."""
        for segment in self._program.segments:
            if segment.phase == phase and segment.direction == 0:
                self.run_batched(segment)
            elif segment.phase == phase:
                self.run_loop(segment)

    def run_batched(self, segment: Segment) -> None:
        """Evaluate nodes for all steps at once."""
        for node in segment.nodes:
            if node.inputs:
                self._values[node] = self._evaluate_batched(node)
                self._remember(node)

    def _evaluate_batched(self, node: Node) -> Array:
        arguments = [self[child] for child in node.inputs]
        if self._alive is None or not node.timed:
            # A sum over time takes the zeros of the padding.
            return self._evaluate(node, arguments, self._lead)
        rows = [
            value[self._alive] if child.timed else value
            for value, child in zip(arguments, node.inputs, strict=True)
        ]
        value = self._evaluate(node, rows, (int(self._alive.sum()),))
        result = np.zeros((*self._lead, *value.shape[1:]), value.dtype)
        result[self._alive] = value
        return result

    def _rows(self, t: int) -> tuple[Any, int]:
        """The rows that run at step t + 1, as an index, and their number."""
        if self._alive is None:
            return slice(None), self._lead[1]
        rows = np.flatnonzero(self._alive[t])
        return rows, len(rows)

    def run_loop(self, segment: Segment) -> None:
        """Evaluate nodes step by step in the direction of the loop."""
        tau = self._lead[0]
        nodes = [node for node in segment.nodes if node.inputs]
        inside, outside = set(segment.nodes), self._program.read_outside_loops
        children = dict.fromkeys(child for node in nodes for child in node.inputs)
        reads = [child for child in children if child not in inside]
        fixed = {node: self[node] for node in reads if not node.timed}
        sliced = {node: self[node] for node in reads if node.timed}
        shifts = {node: shift_of(node) for node in segment.nodes if node.op == "shift"}
        carried = {name: self.padded(name) for name, _ in shifts.values()}
        sources = {self._program.sources[name]: name for name in carried}
        kept: dict[Node, Array] = {}
        steps = range(tau) if segment.direction > 0 else range(tau - 1, -1, -1)
        for t in steps:
            rows, n_rows = self._rows(t)
            now = dict(fixed)
            now.update((node, array[t, rows]) for node, array in sliced.items())
            for node, (name, lag) in shifts.items():
                now[node] = carried[name][t + 1 + lag, rows]
            for node in nodes:
                arguments = [now[child] for child in node.inputs]
                value = self._evaluate(node, arguments, (n_rows,))
                now[node] = value
                if node in sources:
                    carried[sources[node]][t + 1, rows] = value
                elif node in outside:
                    if node not in kept:
                        shape = (*self._lead, *value.shape[1:])
                        kept[node] = np.zeros(shape, value.dtype)
                    kept[node][t, rows] = value
        self._values.update(kept)
        for node in kept:
            self._remember(node)
        for node, name in sources.items():
            self._values[node] = self._useful(self._padded[name][1:-1])

    def _remember(self, node: Node) -> None:
        """Keep the padded copy of a definition that another step reads."""
        if node.op == "named" and name_of(node) in self._program.shifted:
            rows = self.padded(name_of(node))[1:-1]
            # Of a row that ends early the next place holds its boundary value.
            alive = slice(None) if self._alive is None else self._alive
            rows[alive] = self._values[node][alive]

    def _leaf(self, node: Node) -> Any:
        bindings = self._bindings
        if node.op == "constant":
            # A typed scalar: a Python float would let a 0-d result become float64.
            return bindings.real_dtype.type(node.data)
        if node.op == "size":
            return bindings.real_dtype.type(bindings.numbers((node.data,))[0])
        if node.op in ("index", "eye"):
            return static_leaf(node, self.sizes, bindings.real_dtype)
        if node.op == "shift":
            name, lag = shift_of(node)
            start = 1 + lag
            return self._useful(self.padded(name)[start : start + self._lead[0]])
        if node.op == "weight":
            return bindings.weight
        tables: Mapping[str, Mapping[str, Array]] = {
            "parameter": bindings.parameters,
            "input": bindings.inputs,
            "seed": bindings.seeds,
        }
        return tables[node.op][name_of(node)]

    def _evaluate(
        self, node: Node, arguments: list[Array], lead: tuple[int, ...]
    ) -> Array:
        value = self._meaning(node, arguments, self.sizes)
        if node.op in TO_TIMED and not node.inputs[0].timed:
            value = np.broadcast_to(value, (*lead, *self.sizes(node.axes)))
        return value
