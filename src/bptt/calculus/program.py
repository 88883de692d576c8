"""From a step graph to a program: roots, what is wanted of them, and their order.

Index 0 of every sequence is t = 1. Inside an executor a definition that is read at
another step has two more rows, one for t = 0 and one for t = tau + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bptt.calculus import bprop
from bptt.calculus.recurrence import Schedule, Segment, schedule
from bptt.calculus.simplify import simplify
from bptt.step import ops
from bptt.step.evaluate import verify
from bptt.step.graph import Graph, Node, name_of, shift_of, walk

LOSS = "total_loss"


@dataclass(frozen=True)
class Request:
    """What a gradient should hold beside the parameters; part of a program's key.

    values: nodes whose values a caller reads too. When `is_phased`, everything that
    needs no seed can run first, and the loss has no gradient but the seed it is given.
    """

    nodes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    initial: bool = False
    seeds: tuple[str, ...] = ()
    hessian_vector: bool = False
    values: tuple[str, ...] = ()
    is_phased: bool = False


@dataclass(frozen=True, eq=False)
class Program:
    """What is evaluated, in an order that is found when someone asks for it.

    unordered: every named node, after simplification; leaves: the inputs that shifts
    may refer to; outputs: the names that a caller reads; carried: state -> the
    definition whose row at the state's first step is the gradient of its initial value;
    is_phased: the segments of phase 0 come first and need no seed; values: the nodes
    that a caller of such a program reads at every step.
    """

    graph: Graph
    unordered: Mapping[str, Node]
    leaves: Mapping[str, Node]
    outputs: tuple[str, ...]
    carried: Mapping[str, str]
    is_phased: bool = False
    values: tuple[str, ...] = ()

    @cached_property
    def _schedule(self) -> Schedule:
        return schedule(
            self.unordered, self.outputs, self.leaves, is_phased=self.is_phased
        )

    @property
    def outlives(self) -> bool:
        """Whether a caller keeps values and no gradient when it has run so far."""
        return self.is_phased or not any(n.startswith("∇") for n in self.outputs)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, in order."""
        return self._schedule.segments

    @property
    def roots(self) -> Mapping[str, Node]:
        """Every named node, after the splitting of sums: where results are read."""
        return self._schedule.roots

    @cached_property
    def sources(self) -> Mapping[str, Node]:
        """What a shift may refer to: leaves and roots."""
        return {**self.leaves, **self.roots}

    @cached_property
    def read_outside_loops(self) -> frozenset[Node]:
        """Loop nodes whose values are wanted after their loop, collected once."""
        home = {
            node: number
            for number, segment in enumerate(self.segments)
            for node in segment.nodes
        }
        wanted = {self.roots[name] for name in self.outputs}
        for number, segment in enumerate(self.segments):
            for node in segment.nodes:
                wanted.update(c for c in node.inputs if home.get(c, number) != number)
                if node.op == "shift":
                    wanted.add(self.sources[shift_of(node)[0]])
        return frozenset(wanted)

    @cached_property
    def shifted(self) -> frozenset[str]:
        """The names that are read at another step, collected once."""
        nodes = walk(self.roots[name] for name in self.outputs)
        by_segment = (node for segment in self.segments for node in segment.nodes)
        return frozenset(
            shift_of(node)[0] for node in (*nodes, *by_segment) if node.op == "shift"
        )

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """The graph's named dimensions, collected once."""
        return self.graph.dims()


def gradient_of(name: str) -> str:
    """The root that holds the gradient of a parameter."""
    return f"∇{name}"


def gradient_at(name: str) -> str:
    """The root that holds the gradient of a node or an input at every step."""
    return f"∇{name}[t]"


def direction_of(name: str) -> str:
    """The leaf that holds a direction in a parameter's space."""
    return f"direction({name})"


def _leaves(roots: Mapping[str, Node], op: str) -> dict[str, Node]:
    return {name_of(node): node for node in walk(roots.values()) if node.op == op}


def _inputs(roots: Mapping[str, Node]) -> dict[str, Node]:
    """The inputs, those that are left at another step alone among them."""
    found = _leaves(roots, "input")
    for node in walk(roots.values()):
        if node.op == "shift":
            name = shift_of(node)[0]
            if name not in roots and name not in found:
                found[name] = Node("input", (), node.shape, name)
    return found


def _total_loss(graph: Graph, definitions: Mapping[str, Node]) -> dict[str, Node]:
    if graph.loss is None:
        return {}
    weighted = Node("weight") * definitions[graph.loss]
    return {LOSS: ops.apply("total", weighted, data=0)}


def _finish(
    graph: Graph,
    roots: Mapping[str, Node],
    outputs: tuple[str, ...],
    inputs: Mapping[str, Node],
    carried: Mapping[str, str],
    request: Request | None = None,
) -> Program:
    """Simplify, and check the result."""
    simple = simplify({**inputs, **roots})
    leaves = {name: simple[name] for name in inputs}
    named = {name: node for name, node in simple.items() if name not in inputs}
    verify(named.values())
    request = request or Request()
    return Program(
        graph, named, leaves, outputs, carried, request.is_phased, request.values
    )


def forward_program(graph: Graph, nodes: tuple[str, ...]) -> Program:
    """The values of `nodes`, the states and the total loss."""
    definitions = simplify(graph.definitions)
    roots = {**definitions, **_total_loss(graph, definitions)}
    states = tuple(name for name in graph.states if name in graph.definitions)
    loss = (LOSS,) if graph.loss else ()
    outputs = tuple(dict.fromkeys((*nodes, *states, *loss)))
    return _finish(graph, roots, outputs, _inputs(roots), {})


def gradient_program(graph: Graph, request: Request) -> Program:
    """The gradient of the total loss, and of <seed, node> for every seeded node."""
    keep = (*request.nodes, *request.seeds, *request.values)
    definitions = simplify(graph.definitions, keep)
    roots = {**definitions, **_total_loss(graph, definitions)}
    parameters = _leaves(roots, "parameter")
    inputs = _inputs(roots)
    adjoint = _first_adjoint(graph, definitions, parameters, inputs, request)
    carried = {name: carry for (name, _), carry in adjoint.carried.items()}
    roots |= adjoint.definitions
    if request.hessian_vector:
        roots |= _second_adjoint(definitions, parameters, inputs, adjoint)
    else:
        roots |= {gradient_of(name): node for name, node in adjoint.totals.items()}
    roots |= {gradient_at(name): node for name, node in adjoint.nodes.items()}
    states = tuple(name for name in graph.states if name in graph.definitions)
    loss = (LOSS,) if graph.loss else ()
    wanted = [name for name in roots if name.startswith("∇")]
    initial = carried.values() if request.initial else ()
    names = (*states, *loss, *request.values, *wanted, *initial)
    outputs = tuple(dict.fromkeys(names))
    return _finish(graph, roots, outputs, inputs, carried, request)


def _first_adjoint(
    graph: Graph,
    definitions: Mapping[str, Node],
    parameters: Mapping[str, Node],
    inputs: Mapping[str, Node],
    request: Request,
) -> bprop.Adjoint:
    seeds = {
        definitions[name]: Node("seed", (), definitions[name].shape, name)
        for name in request.seeds
    }
    if graph.loss is not None and not request.is_phased:
        loss = definitions[graph.loss]
        weight = Node("weight")
        seeds[loss] = weight + seeds[loss] if loss in seeds else weight
    targets = [
        *parameters.values(),
        *(definitions[name] for name in request.nodes),
        *(inputs[name] for name in request.inputs),
    ]
    real = [name for name in graph.states if _is_real(graph, name)]
    shifts = [(name, graph.lag(name)) for name in real] if request.initial else []
    return bprop.build_grad({**inputs, **definitions}, seeds, targets, shifts)


def _is_real(graph: Graph, state: str) -> bool:
    return state not in graph.inputs or graph.inputs[state].index is None


def _second_adjoint(
    definitions: Mapping[str, Node],
    parameters: Mapping[str, Node],
    inputs: Mapping[str, Node],
    first: bprop.Adjoint,
) -> dict[str, Node]:
    """∇_θ <∇_θ L, direction>: the adjoint graph differentiated again."""
    seeds: dict[Node, Node] = {}
    for name, gradient in first.totals.items():
        direction = Node("parameter", (), gradient.shape, direction_of(name))
        # Two parameters share one gradient node where they occur only as V + W.
        others = seeds.get(gradient)
        seeds[gradient] = direction if others is None else others + direction
    second = bprop.build_grad(
        {**inputs, **definitions, **first.definitions},
        seeds,
        list(parameters.values()),
        order=2,
    )
    totals = {gradient_of(name): node for name, node in second.totals.items()}
    return {**second.definitions, **totals}
