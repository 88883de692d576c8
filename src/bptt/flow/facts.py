"""What a cell's equations say about a gradient's way: its gates, who reads whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from bptt.flow.maps import CutStep
from bptt.step.graph import Node, is_constant, name_of, shift_of, unnamed, walk
from bptt.step.ops import OPS


@dataclass(frozen=True)
class Gate:
    """A gate g that decides how much of a state stays: s = g s_before + ...

    bias: the parameter that is added to its argument, "" if there is none;
    keeps_at_one: or, with 1 - g in its place, at 0.
    """

    state: str
    name: str
    bias: str
    keeps_at_one: bool


class Facts:
    """Of one cut step."""

    def __init__(self, cut: CutStep) -> None:
        """Nothing is looked for yet."""
        self.cut = cut
        self._before = set(cut.before.values())
        self._states = [cut.definitions[name] for name in cut.before]

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """Parameters that act on something of a step before."""
        return self._acting_on(self._before, self._states)

    @cached_property
    def of_input(self) -> tuple[str, ...]:
        """Parameters that act on an input, and not on something of a step before."""
        inputs = {
            n for n in walk(self.cut.definitions.values())
            if n.op in ("input", "shift") and n not in self._before
        }  # fmt: skip
        found = self._acting_on(inputs, self._states)
        return tuple(n for n in found if n not in self.recurrent)

    def _acting_on(self, sources: set[Node], roots: list[Node]) -> tuple[str, ...]:
        reached = _reached(roots, sources)
        found: dict[str, None] = {}
        for node in walk(roots):
            if node.op not in ("matvec", "mul", "lookup", "at"):
                continue
            others = [c for c in node.inputs if c in reached]
            for child in node.inputs:
                if others and child not in reached:
                    found |= dict.fromkeys(_parameters(child))
        order = self.cut.graph.parameters
        return tuple(name for name in order if name in found)

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        """The gates that multiply a state of the step before."""
        found: list[Gate] = []
        for state, before in self.cut.before.items():
            body = self.cut.definitions[state].inputs[0]
            for node in walk([body]):
                if node.op == "mul" and before in node.inputs:
                    other = node.inputs[1 if node.inputs[0] is before else 0]
                    gate = self._gate(state, other)
                    if gate is not None and gate not in found:
                        found.append(gate)
        return tuple(found)

    def _gate(self, state: str, node: Node) -> Gate | None:
        keeps = True
        if node.op == "sub" and is_constant(node.inputs[0], 1.0):
            node, keeps = node.inputs[1], False
        if node.op != "named":
            return None
        known, body = self.cut.graph.parameters, node.inputs[0]
        if body.op == "mul":  # a step of at most dt: dt * sigmoid(...)
            body = next((c for c in body.inputs if c.op == "sigmoid"), body)
        if body.op not in ("sigmoid", "exp"):
            return None
        find = _bias if body.op == "sigmoid" else _bias_of_logarithm
        bias = find(body.inputs[0], known)
        if body.op == "exp" and not bias:
            return None
        return Gate(state, name_of(node), bias, keeps)

    @cached_property
    def gains(self) -> tuple[str, ...]:
        """Parameters that multiply a normalised vector made from a step before."""
        found: set[str] = set()
        for node in walk(self._states):
            children = [unnamed(child) for child in node.inputs]
            if node.op == "mul" and any(self._is_normalised(c) for c in children):
                found |= {name_of(c) for c in children if c.op == "parameter"}
        return tuple(name for name in self.cut.graph.parameters if name in found)

    @cached_property
    def normalised(self) -> tuple[str, ...]:
        """Recurrent parameters whose every product is normalised."""
        inside, outside = set[str](), set[str]()
        for node in walk(self._states):
            for child in node.inputs:
                if child.op == "matvec":
                    names = inside if node.op == "layer_norm" else outside
                    names.update(_parameters(child.inputs[0]))
        return tuple(n for n in self.recurrent if n in inside - outside)

    def _is_normalised(self, node: Node) -> bool:
        return node.op == "layer_norm" and node in _reached([node], self._before)

    def bias_of(self, name: str) -> str:
        """The parameter added to the argument of a node's function, or ""."""
        node = unnamed(self.cut.definitions[name].inputs[0])
        if not node.inputs:
            return ""
        return _bias(node.inputs[0], self.cut.graph.parameters)

    def function_of(self, name: str) -> str:
        """The elementwise function that a node is, or ""."""
        op = self.cut.definitions[name].inputs[0].op
        known = OPS.get(op)
        return op if known is not None and known.activation is not None else ""

    def unread_inputs(self) -> tuple[str, ...]:
        """Inputs that neither the loss nor a state depends on."""
        graph = self.cut.graph
        ends = [*self.cut.before, *([graph.loss] if graph.loss is not None else [])]
        read = self.inputs_of(ends)
        return tuple(n for n in graph.inputs if n not in read and ends)

    def inputs_of(self, names: Iterable[str]) -> set[str]:
        """The inputs that some definitions are computed from within a step."""
        nodes = list(walk(self.cut.definitions[name] for name in names))
        read = {name_of(n) for n in nodes if n.op == "input"}
        return read | {shift_of(n)[0] for n in nodes if n.op == "shift"}


def _reached(roots: Iterable[Node], sources: set[Node]) -> set[Node]:
    found = set(sources)
    for node in walk(roots):
        if any(child in found for child in node.inputs):
            found.add(node)
    return found


def _parameters(node: Node) -> list[str]:
    return [name_of(n) for n in walk([node]) if n.op == "parameter"]


def _bias(node: Node, known: Iterable[str]) -> str:
    """A parameter that is added, of a chain of sums."""
    node = unnamed(node)
    if node.op == "parameter":
        return name_of(node) if name_of(node) in known else ""
    if node.op == "add":
        return next(filter(None, (_bias(c, known) for c in node.inputs)), "")
    return ""


def _bias_of_logarithm(node: Node, known: Iterable[str]) -> str:
    """The bias of a sigmoid whose logarithm is a term: -softplus(-(b + ...))."""
    node = unnamed(node)
    if node.op in ("add", "sub"):
        parts = node.inputs[:1] if node.op == "sub" else node.inputs
        return next(filter(None, (_bias_of_logarithm(c, known) for c in parts)), "")
    inner = unnamed(node.inputs[0]) if node.op == "neg" else node
    if inner is node or inner.op != "softplus":
        return ""
    argument = unnamed(inner.inputs[0])
    return _bias(argument.inputs[0], known) if argument.op == "neg" else ""
