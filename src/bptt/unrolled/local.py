"""One equation alone: its leaves, and its Jacobian with respect to each of them.

    h[t] = tanh(a[t])           reads  a[t]                     ∂h/∂a = diag(1 - h^2)
    a[t] = b + W @ h[t-1]       reads  b, W, h[t-1]             ∂a/∂h' = W, ∂a/∂W, ∂a/∂b

Every name that the equation reads becomes a leaf of its own with one value per step and
row, so no edge through time and no sharing over time is left. A Jacobian is then the
backward rules of the table, seeded with one basis vector of the result per row.

Non-goals: speed, large sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from bptt.calculus.program import (
    Program,
    Request,
    forward_program,
    gradient_at,
    gradient_program,
)
from bptt.execute import reference
from bptt.execute.bindings import Bindings
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
from bptt.step.ops import held_input, whole_shape
from bptt.step.shapes import Array, numbers_of


@dataclass(frozen=True)
class Read:
    """What an equation reads: a parameter, or a node or input at step t + lag."""

    name: str
    lag: int = 0
    is_parameter: bool = False

    @property
    def key(self) -> str:
        """`W`, `x[t]`, `h[t-1]`."""
        if self.is_parameter:
            return self.name
        return f"{self.name}[t{self.lag:+d}]" if self.lag else f"{self.name}[t]"


@dataclass(frozen=True, eq=False)
class LocalEquation:
    """One definition cut free: a graph whose only inputs are its reads."""

    name: str
    graph: Graph
    reads: Mapping[str, Read]

    @property
    def real_reads(self) -> tuple[str, ...]:
        """The keys of reads that hold real numbers; an integer has no derivative."""
        return tuple(k for k in self.reads if self.graph.inputs[k].index is None)

    @cached_property
    def forward(self) -> Program:
        """The program of the result."""
        return forward_program(self.graph, (self.name,))

    @cached_property
    def backward(self) -> Program:
        """The program of the gradients of all real reads, for a seed of the result."""
        request = Request(inputs=self.real_reads, seeds=(self.name,))
        return gradient_program(self.graph, request)


def _read_of(node: Node) -> Read | None:
    if node.op == "parameter":
        return Read(name_of(node), 0, True)
    if node.op in ("named", "input"):
        return Read(name_of(node))
    if node.op == "shift":
        return Read(*shift_of(node))
    return None


def cut_equations(graph: Graph) -> Mapping[str, LocalEquation]:
    """Every equation of a graph, with a leaf for everything that it reads.

    Cut once for a graph: their programs serve every instance and row.
    """
    if graph not in _CUT:
        _CUT[graph] = {name: cut_equation(graph, name) for name in graph.definitions}
    return _CUT[graph]


_CUT: WeakKeyDictionary[Graph, Mapping[str, LocalEquation]] = WeakKeyDictionary()


def cut_equation(graph: Graph, name: str) -> LocalEquation:
    """The equation of `name` with a leaf for everything that it reads."""
    leaves: dict[str, Node] = {}
    reads: dict[str, Read] = {}

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        read = _read_of(node)
        if read is None:
            return rebuild(node, inputs)
        reads[read.key] = read
        return leaves.setdefault(read.key, Node("input", (), node.shape, read.key))

    expression = graph.definitions[name].inputs[0]
    new = rewrite([expression], step)[expression]
    used = {name_of(leaf): leaf for leaf in walk([new]) if leaf.op == "input"}
    specs = {
        key: InputSpec(leaf.shape, _index_of(graph, reads[key]))
        for key, leaf in used.items()
    }
    cut = Graph({name: Node("named", (new,), new.shape, name)}, {}, specs, ())
    return LocalEquation(name, cut, {key: reads[key] for key in used})


def _index_of(graph: Graph, read: Read) -> Any:
    spec = None if read.is_parameter else graph.inputs.get(read.name)
    return None if spec is None else spec.index


def _bindings(
    values: Mapping[str, Array], seeds: Mapping[str, Array], tau: int, rows: int,
    sizes: Mapping[str, int], dtype: np.dtype[Any],
) -> Bindings:  # fmt: skip
    ones = np.ones((tau, rows), dtype)
    return Bindings(
        dtype, tau, rows, True, sizes, {}, dict(values), {}, ones, dict(seeds)
    )


def spread_rows(value: Array, tau: int, rows: int) -> Array:
    """A value per step, (tau, *shape), repeated for every row, (tau, rows, *shape)."""
    return np.broadcast_to(value[:, None], (tau, rows, *value.shape[1:]))


def jacobians(
    equation: LocalEquation, values: Mapping[str, Array], sizes: Mapping[str, int],
    meaning: reference.Meaning = reference.AS_IT_IS,
) -> dict[str, Array | None]:  # fmt: skip
    """The Jacobian of an equation's result with respect to each of its reads.

    values: read key -> (tau, *shape); meaning: see `reference.run`. Returns: key ->
    (tau, *result shape, *read shape), None where no gradient passes (integer, stopped
    gradient, comparison).
    """
    result = equation.graph.definitions[equation.name]
    shape = numbers_of(result.shape, sizes)
    count = int(np.prod(shape))
    found: dict[str, Array | None] = dict.fromkeys(equation.reads)
    if not equation.real_reads:
        return found
    tau = len(next(iter(values.values())))
    dtype = np.result_type(*(values[key].dtype for key in equation.real_reads))
    basis = np.eye(count, dtype=dtype).reshape(1, count, *shape)
    seeds = {equation.name: np.broadcast_to(basis, (tau, count, *shape))}
    rows = {key: spread_rows(values[key], tau, count) for key in equation.reads}
    program = equation.backward
    bindings = _bindings(rows, seeds, tau, count, sizes, dtype)
    run = reference.run(program, bindings, meaning)
    for key in equation.real_reads:
        root = program.roots.get(gradient_at(key))
        if root is not None:
            rest = values[key].shape[1:]
            found[key] = np.array(run[root]).reshape(tau, *shape, *rest)
    return found


def evaluate(
    equation: LocalEquation, values: Mapping[str, Array], sizes: Mapping[str, int],
    meaning: reference.Meaning = reference.AS_IT_IS,
) -> Array:  # fmt: skip
    """The equation's result for many rows at once: (tau, rows, *shape).

    values: read key -> (tau, rows, *shape), real or complex; meaning: see
    `reference.run`.
    """
    program = equation.forward
    tau, rows = next(iter(values.values())).shape[:2]
    dtype = np.result_type(*(values[key].dtype for key in equation.real_reads))
    bindings = _bindings(values, {}, tau, rows, sizes, dtype)
    run = reference.run(program, bindings, meaning)
    return np.asarray(run[program.roots[equation.name]])


def hold_stops(
    equation: LocalEquation, values: Mapping[str, Array], sizes: Mapping[str, int]
) -> tuple[LocalEquation, dict[str, Array]]:
    """The equation with every stopped value as a number of its own, and all numbers.

    Where a read is moved a stopped value stays: that is what its derivative means.
    values: read key -> (tau, rows, *shape).
    """
    root = equation.graph.definitions[equation.name]
    stops = [node for node in walk([root]) if node.op == "stop_gradient"]
    if not stops:
        return equation, dict(values)
    held = {node: f"held {number}" for number, node in enumerate(stops)}
    numbers = dict(values)
    for node, name in held.items():
        inner = Node("named", (node.inputs[0],), node.shape, name)
        part = replace(equation.graph, definitions={name: inner})
        numbers[name] = evaluate(
            LocalEquation(name, part, equation.reads), values, sizes
        )

    def step(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in held:
            return held_input(node, held[node])
        return rebuild(node, inputs)

    specs = {name: InputSpec(whole_shape(node)) for node, name in held.items()}
    graph = replace(
        equation.graph,
        definitions={equation.name: rewrite([root], step)[root]},
        inputs={**equation.graph.inputs, **specs},
    )
    return replace(equation, graph=graph), numbers
