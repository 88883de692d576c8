"""What each equation gives back to the gradient of what it reads, edge by edge.

    o[t, j] = S[t, j] @ q[t, j]       gives S[t, j]      outer(grad_o[t, j], q[t, j])
    S[t, j] = S[t-1, j] @ diag(g)     gives S[t-1, j]    grad_S[t, j] @ diag(g).T

Every equation is cut free, and its backward rules are read as they are written; what is
read at t-1 receives its term from the step after. Nothing here knows of a loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bptt.calculus.bprop import grad_name
from bptt.calculus.program import gradient_at
from bptt.check.instances import seeded_name
from bptt.explain.indices.parts import whole_part
from bptt.explain.indices.structure import Structure
from bptt.step import ops
from bptt.step.graph import Graph, Node, is_constant, name_of, shift, unnamed
from bptt.step.places import IndexPlace
from bptt.unrolled.local import LocalEquation, Read, cut_equations


@dataclass(frozen=True, eq=False)
class EdgeTerm:
    """One term of a gradient, at step t; reader: who gives it, `lag` steps later.

    reader is "" for what arrives from outside, or from L.
    """

    reader: str
    lag: int
    body: Node


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of every gradient of a graph."""

    graph: Graph

    def of(self, name: str) -> tuple[EdgeTerm, ...]:
        """What the gradient of a definition, input or copy is the sum of."""
        found = [
            EdgeTerm(reader, -read.lag, body)
            for reader, read, body in self._by_source.get(name, ())
        ]
        later = [term for term in found if term.lag]
        now = [term for term in found if not term.lag]
        return (*self._outside(name), *now, *later)

    def reaches(self, name: str) -> bool:
        """Whether a gradient arrives at a definition, from L or from outside."""
        seen, waiting = {name}, [name]
        while waiting:
            for term in self.of(waiting.pop()):
                if not term.reader:
                    return True
                if term.reader not in seen:
                    seen.add(term.reader)
                    waiting.append(term.reader)
        return False

    def _outside(self, name: str) -> Iterator[EdgeTerm]:
        if name == self.graph.loss:
            yield EdgeTerm("", 0, Node("input", (), (), "weight"))
        elif self.graph.loss is None and name == seeded_name(self.graph):
            shape = self.graph.definitions[name].shape
            yield EdgeTerm("", 0, Node("input", (), shape, f"incoming_{name}"))

    @cached_property
    def _by_source(self) -> Mapping[str, list[tuple[str, Read, Node]]]:
        found: dict[str, list[tuple[str, Read, Node]]] = {}
        for name, equation in cut_equations(self.graph).items():
            for key in equation.real_reads:
                root = equation.backward.roots.get(gradient_at(key))
                if root is not None:
                    read = equation.reads[key]
                    body = _Reader(equation, -read.lag).read(unnamed(root))
                    found.setdefault(read.name, []).append((name, read, body))
        return found


class _Reader:
    """Reads an equation's backward rules as they stand `by` steps after the equation.

    The equation's own value is read by its name: 1 - h[t]**2, not 1 - tanh(...)**2.
    """

    def __init__(self, equation: LocalEquation, by: int) -> None:
        self._equation, self._by = equation, by
        self._structure = Structure()
        self._done: dict[Node, Node] = {}
        self._own: dict[int, tuple[IndexPlace, ...]] = {}
        definition = equation.graph.definitions[equation.name]
        for root in (definition, equation.forward.roots[equation.name]):
            places, inner = _inside(unnamed(root))
            if inner.op not in ("input", "constant", "at"):
                self._own[self._structure.number(inner)] = places

    def read(self, node: Node) -> Node:
        """The node with every leaf at its step."""
        if node not in self._done:
            self._done[node] = self._read(node)
        return self._done[node]

    def _read(self, node: Node) -> Node:
        name = self._equation.name
        if node.op == "input":
            return self._leaf(self._equation.reads[name_of(node)], node)
        if node.op == "seed" or (node.op == "named" and _is_gradient(node, name)):
            return _value(f"grad_{name}", self._by, node)
        if node.op == "named" and name_of(node) == name:
            return _value(name, self._by, node)
        places = self._own.get(self._structure.number(node))
        if places is not None:
            shape = self._equation.graph.definitions[name].shape
            found = _value(name, self._by, Node("input", (), shape, name))
            for place in places:
                found = ops.at(found, place)
            return found
        if node.op == "named":
            return self.read(unnamed(node))
        if not node.inputs:
            return node
        inputs = tuple(self.read(child) for child in node.inputs)
        return whole_part(_squared(Node(node.op, inputs, node.shape, node.data)))

    def _leaf(self, read: Read, node: Node) -> Node:
        if read.is_parameter:
            return Node("parameter", (), node.shape, read.name)
        return _value(read.name, read.lag + self._by, node)


def _is_gradient(node: Node, name: str) -> bool:
    return name_of(node) == grad_name(name)


def _value(name: str, lag: int, node: Node) -> Node:
    if lag:
        return shift(name, lag, node.shape)
    return Node("input", (), node.shape, name)


def _inside(node: Node) -> tuple[tuple[IndexPlace, ...], Node]:
    """An equation's right side at one place, and the indices of its left side."""
    places: list[IndexPlace] = []
    while node.op == "put":
        data: Any = node.data
        place, kept = data
        if kept or not place.is_plain or place.label:
            break
        places.append(place)
        node = node.inputs[0]
    return tuple(places), node


def _squared(node: Node) -> Node:
    """(1 - u) (1 + u) as 1 - u²."""
    if node.op != "mul" or [child.op for child in node.inputs] != ["sub", "add"]:
        return node
    (one, u), (other, v) = (child.inputs for child in node.inputs)
    if not is_constant(one, 1.0) or not is_constant(other, 1.0):
        return node
    structure = Structure()
    same = structure.number(u) == structure.number(v)
    return 1.0 - u**2.0 if same else node
