"""From equations to displayed expressions, and to the derivative along every edge.

    a[t] = b + W @ h[t-1] + U @ x[t]        shown   a^(t) = b + W h^(t-1) + U x^(t)
    pulled from ∇_{a^(t)} L:                h^(t-1) W^T ∇_a L     W^(t) (∇_a L) h^(t-1)T

The rules are those of matrix calculus in the form a person writes them (diag(1 - h^2),
not an elementwise product), and are not those of `bprop`: the one is checked against
the other on every card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bptt.explain.algebra import expr as e
from bptt.explain.algebra.expr import Expr, T, Value
from bptt.explain.algebra.point import Scope
from bptt.explain.algebra.rules import PULLS, TRANSLATIONS, Site
from bptt.explain.algebra.shape import SCALAR, shape_of
from bptt.step.graph import Graph, Node, name_of, own_nodes, shift_of

SEED = Value("\u00b7")


@dataclass(frozen=True)
class Reading:
    """What an equation reads: a parameter, or a name at lag 0, -1 or +1."""

    name: str
    lag: int = 0
    is_parameter: bool = False

    @property
    def value(self) -> Value:
        """The symbol at step t of the equation: h^(t-1), W^(t)."""
        return Value(self.name, T.moved(self.lag))


@dataclass(frozen=True)
class Successor:
    """A definition that reads a place, `lag` steps after it: 0, 1, or -1 for h[t+1]."""

    name: str
    lag: int
    reading: Reading


@dataclass(frozen=True)
class Derivation:
    """The displayed equations of a graph and the derivative along every edge."""

    graph: Graph
    # What was displayed and derived before: many cards ask for the same.
    _shown: dict[Node, Expr] = field(default_factory=dict, compare=False, repr=False)
    _pulled: dict[tuple[str, Expr], Mapping[Reading, Expr | None]] = field(
        default_factory=dict, compare=False, repr=False
    )

    # ----- equations -----

    def equation(self, name: str) -> Expr:
        """The right-hand side of a definition at step t."""
        return self.show(self.graph.definitions[name].inputs[0])

    def show(self, node: Node) -> Expr:
        """A node of an equation as it is displayed."""
        if node not in self._shown:
            leaf = self._leaf(node)
            if leaf is None:
                site = Site(node, tuple(self.show(child) for child in node.inputs))
                leaf = TRANSLATIONS[node.op](site)
            self._shown[node] = leaf
        return self._shown[node]

    def _leaf(self, node: Node) -> Expr | None:
        reading = read_of(node)
        if reading is not None:
            return Value(reading.name) if reading.is_parameter else reading.value
        if node.op == "constant":
            value: Any = node.data
            return e.Number(float(value) + 0.0)  # -0 is 0: a formula has no other
        return e.Size(str(node.data)) if node.op == "size" else None

    # ----- derivatives -----

    def readings(self, name: str) -> tuple[Reading, ...]:
        """What the equation of `name` reads, in order of appearance."""
        return tuple(self.pulled(name, SEED))

    def pulled(self, name: str, grad: Expr) -> Mapping[Reading, Expr | None]:
        """What `grad`, the gradient of the definition, gives to everything it reads.

        None where no gradient passes (an integer, a stopped gradient, a comparison).
        """
        key = (name, grad)
        if key not in self._pulled:
            self._pulled[key] = self._derive(name, grad)
        return self._pulled[key]

    def _derive(self, name: str, grad: Expr) -> Mapping[Reading, Expr | None]:
        root = self.graph.definitions[name].inputs[0]
        grads: dict[Node, list[Expr]] = {root: [grad]}
        found: dict[Reading, list[Expr]] = {}
        nodes = list(own_nodes(root))
        first: dict[Reading | None, int] = {}
        for i, node in enumerate(nodes):
            first.setdefault(read_of(node), i)
        for node in reversed(nodes):
            reading = read_of(node)
            if reading is not None:
                found.setdefault(reading, []).extend(grads.get(node, ()))
            elif node in grads and node.inputs:
                self._pull(node, name if node is root else "", grads)
        return {
            reading: e.total(*found[reading]) if found[reading] else None
            for reading in sorted(found, key=first.__getitem__)
        }

    def _pull(self, node: Node, name: str, grads: dict[Node, list[Expr]]) -> None:
        parts = tuple(self.show(child) for child in node.inputs)
        shown = Value(name, T) if name else self.show(node)
        site = Site(node, parts, shown)
        for grad in grads[node]:
            given = PULLS[node.op](site, grad)
            for child, part in zip(node.inputs, given, strict=True):
                if part is not None:
                    grads.setdefault(child, []).append(part)

    def jacobian(self, name: str, reading: Reading) -> Expr | None:
        """∂name^(t)/∂reading as an expression, where it is a product of matrices.

        The transpose of what is applied to the gradient when it is pulled back. None
        for a matrix that is read, where no gradient passes, or where it passes through
        a matrix, which has more than two indices.
        """
        rank = self.rank(reading.name)
        pulled = self.pulled(name, SEED).get(reading)
        if rank == 2 or pulled is None:
            return None
        terms = pulled.terms if isinstance(pulled, e.Sum) else (pulled,)
        if not all(map(_is_linear, terms)):
            return None
        return e.total(*(e.transpose(self._strip(term, name)) for term in terms))

    def _strip(self, term: Expr, name: str) -> Expr:
        """The factors in front of the seed."""
        if isinstance(term, e.Negative):
            return e.negative(self._strip(term.of, name))
        if term == SEED:
            shape = self.graph.definitions[name].shape
            return e.Identity(_dim(shape[0])) if shape else e.Number(1.0)
        assert isinstance(term, e.Product)
        # As they are: a scalar product among them stays one factor.
        front = term.factors[:-1]
        return self._widened(front[0] if len(front) == 1 else e.Product(front), name)

    def _widened(self, factor: Expr, name: str) -> Expr:
        """A scalar in front of a vector's gradient stands for a multiple of I."""
        shape = self.graph.definitions[name].shape
        if shape and shape_of(factor, Scope(self.graph)) == SCALAR:
            return e.Product((factor, e.Identity(_dim(shape[0]))))
        return factor

    # ----- the graph in time -----

    @cached_property
    def _successors(self) -> dict[str, tuple[Successor, ...]]:
        found: dict[str, list[Successor]] = {}
        for target in self.graph.definitions:
            for reading, pulled in self.pulled(target, SEED).items():
                if pulled is not None:
                    successor = Successor(target, -reading.lag, reading)
                    found.setdefault(reading.name, []).append(successor)
        return {name: tuple(items) for name, items in found.items()}

    def successors(self, name: str) -> tuple[Successor, ...]:
        """The definitions that read a name and pass it a gradient, in forward order."""
        return self._successors.get(name, ())

    def rank(self, name: str) -> int:
        """0 a scalar, 1 a vector, 2 a matrix."""
        graph = self.graph
        if name in graph.parameters:
            return len(graph.parameters[name].shape)
        if name in graph.inputs:
            return len(graph.inputs[name].shape)
        return graph.definitions[name].rank


def read_of(node: Node) -> Reading | None:
    """What a leaf of an equation reads; None for a number or an operation."""
    if node.op == "parameter":
        return Reading(name_of(node), 0, True)
    if node.op in ("named", "input"):
        return Reading(name_of(node))
    return Reading(*shift_of(node)) if node.op == "shift" else None


def _is_linear(term: Expr) -> bool:
    """Whether a term is a product of matrices in front of the seed."""
    inner = term.of if isinstance(term, e.Negative) else term
    if not isinstance(inner, e.Product):
        return inner == SEED
    return inner.factors[-1] == SEED and not any(
        part == SEED for factor in inner.factors[:-1] for part in e.walk(factor)
    )


def _dim(dim: Any) -> str | int:
    assert isinstance(dim, str | int)
    return dim
