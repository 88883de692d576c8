"""The gradient's equations as the language writes them, one a line.

    grad_S[t, j] = outer(grad_o[t, j], q[t, j]) + grad_S[t+1, j] @ diag(g[t+1, j]).T
    grad_W_k[j] = sum(t, outer(grad_k[t, j], x[t]))

What a line reads outside the steps, or outside a dimension, is 0.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

from bptt.explain.delays import MOST_STARTS
from bptt.explain.indices.naming import with_inner_names
from bptt.explain.indices.parts import PIECES
from bptt.explain.indices.places import (
    NEW_INDEX,
    element,
    free_letters,
    solved,
    spread,
    tidy,
)
from bptt.explain.indices.terms import EdgeTerm, Terms
from bptt.language.indexed import KEEPING
from bptt.language.joined import joined_text
from bptt.language.print_indices import (
    label_of,
    place_text,
    split_target,
    with_places,
)
from bptt.language.printer import ATOM, Writer
from bptt.step import ops
from bptt.step.graph import Graph, Node, terms_of, walk
from bptt.step.ops import INDEX_OPS, TABLE
from bptt.step.places import IndexPlace
from bptt.step.shapes import Dim

LONGEST = 900  # letters of a line
NAMED_ABOVE = 150  # letters of a term, above which an equation's inner nodes get names
_NEW = re.compile(NEW_INDEX + r"\w*|#\d+")
_WHOLE = re.compile(r"(?<![\w.])(\d+)\.0(?![\w.])")


@dataclass(frozen=True)
class GradientLine:
    """`left = right`; left: `grad_S[t, j]`, right: None where it is too long.

    places: the indices of the left side; length: letters of the right side; letters:
    the dimensions of indices that the cell does not have.
    """

    name: str
    left: str
    right: str | None
    places: tuple[str, ...] = ()
    length: int = 0
    letters: Mapping[str, Dim] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The line as it is shown."""
        if self.right is not None:
            return f"{self.left} = {self.right}"
        said = f"{self.length} letters: name the parts of its equation"
        return f"{self.left} = ...  # {said}"


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of a graph's gradient."""

    graph: Graph

    @cached_property
    def terms(self) -> Terms:
        """The terms that they are made of."""
        return Terms(self.graph)

    def left_places(self, name: str) -> tuple[str, ...]:
        """The indices on the left of a definition's own equation."""
        return split_target(self.graph.definitions[name].inputs[0])[0]

    def term(self, name: str, term: EdgeTerm) -> tuple[GradientLine, ...]:
        """What one reader gives back, at step t; one line for each lone place."""
        return tuple(self._lines(name, term.body, "[t]"))

    def whole(self, name: str) -> tuple[GradientLine, ...]:
        """The gradient of a definition, an input, or a parameter's copy at step t."""
        bodies = [term.body for term in self.terms.of(name)]
        if not bodies:
            return (GradientLine(name, f"grad_{name}[t]", "0"),)
        return tuple(self._lines(name, reduce(operator.add, bodies), "[t]"))

    def equation(self, name: str) -> GradientLine:
        """A definition's own equation, `S[t, j] = ...`."""
        root = self.graph.definitions[name].inputs[0]
        places, body = split_target(root)
        first = root.inputs[0] if root.op in KEEPING else root
        if first is not root and first.op == "put":  # softmax(i, ...) named whole
            place: IndexPlace = first.data[0]  # type: ignore[index]
            places, body = place.names, element(root, place)
        text = line_text(self.graph, body)
        return GradientLine(name, with_places(f"{name}[t]", places), text, places)

    def before(self, name: str) -> Iterator[tuple[int, tuple[GradientLine, ...]]]:
        """What later readers give back to the states before the first step.

        0 for h^(0), 1 for h^(-1), ..., each with the lines of those that read it.
        """
        terms = [term for term in self.terms.of(name) if term.lag]
        furthest = max((abs(term.lag) for term in terms), default=0)
        for by in range(min(furthest, MOST_STARTS)):
            bodies = [term.body for term in terms if abs(term.lag) > by]
            yield by, tuple(self._lines(name, reduce(operator.add, bodies), "[t]"))

    def summed(self, name: str) -> tuple[GradientLine, ...]:
        """The gradient of a parameter: the sum of its copies'."""
        if not self.terms.of(name):
            return (GradientLine(name, f"grad_{name}", "0"),)
        found = []
        for line in self.whole(name):
            left = re.sub(r"\[t(, )?", "[", line.left).removesuffix("[]")
            right = None if line.right is None else f"sum(t, {line.right})"
            found.append(replace(line, left=left, right=right))
        return tuple(found)

    def _lines(self, name: str, body: Node, step: str) -> Iterator[GradientLine]:
        """The line of a gradient; one for each place where a place alone has one."""
        target, at = f"grad_{name}{step}", dict[str, Node]()
        for part in terms_of(body):
            found = solved(part)
            if found is None:
                yield self._line(name, target, body)
                return
            place, inner = place_text(found[0]), found[1]
            at[place] = at[place] + inner if place in at else inner
        for place, inner in at.items():
            yield self._line(name, with_places(target, (place,)), inner)

    def _at_own_places(self, name: str, body: Node) -> Node:
        """A value as it stands, at the places of its definition's left side."""
        root, places = self.graph.definitions[name].inputs[0], []
        while root.op == "put" and root.data[0].is_plain and not root.data[0].label:  # type: ignore[index]
            places.append(root.data[0])  # type: ignore[index]
            root = root.inputs[0]
        for place in places:
            body = ops.at(body, place)
        for place in reversed(places):
            body = ops.put(body, place)
        return body

    def _line(self, name: str, target: str, body: Node) -> GradientLine:
        if not body.inputs and name in self.graph.definitions:
            body = self._at_own_places(name, body)
        places, body = spread(tidy(body, self.graph))
        body = tidy(body, self.graph)
        left = with_places(target, places)
        right = line_text(self.graph, body)
        dims = {n: d for node in walk([body]) for n, d in node.indices}
        new = dict.fromkeys(_NEW.findall(f"{left} {right}"))
        called = dict(zip(new, free_letters(self.graph), strict=False))
        left, right, *places_ = (
            _NEW.sub(lambda found: called[found[0]], text)
            for text in (left, right, *places)
        )
        letters = {called[name]: dim for name, dim in dims.items() if name in called}
        is_short = len(right) <= LONGEST
        return GradientLine(
            name, left, right if is_short else None, tuple(places_), len(right), letters
        )


def line_text(graph: Graph, body: Node) -> str:
    """A right side as it is shown: 1 for 1.0."""
    return _WHOLE.sub(r"\1", _Gradients(graph).text(body))


def shown_graph(graph: Graph) -> Graph:
    """The graph with names for the inner nodes of equations that need them."""
    lines = Lines(graph)
    long: set[str] = set()
    for name in (*graph.definitions, *graph.parameters):
        for term in lines.terms.of(name):
            found = lines.term(name, term)
            if term.reader and any(line.length > NAMED_ABOVE for line in found):
                long.add(term.reader)
    return with_inner_names(graph, frozenset(long)) if long else graph


def gradient_lines(graph: Graph) -> list[str]:
    """One equation a line: of every definition from the last on, then of parameters."""
    lines = Lines(graph)
    found = [
        line
        for name in reversed(tuple(graph.definitions))
        for line in lines.whole(name)
    ]
    found += [line for name in graph.parameters for line in lines.summed(name)]
    return [line.text for line in found]


@dataclass(frozen=True)
class _Gradients(Writer):
    """Also writes what only a gradient has."""

    def bound(self, node: Node) -> tuple[str, int]:
        """The text of a node and how tightly it binds."""
        if node.op in ("spread", "index_fill"):
            return self.bound(node.inputs[0])
        equal = _equal(node)
        if equal is not None:
            binding = TABLE["greater"].precedence
            sides = (self.inside(side, binding + 1) for side in equal)
            return " == ".join(sides), binding
        if node.op == PIECES:
            return f"[{'; '.join(map(self.text, node.inputs))}]", ATOM
        if node.op == "scatter":
            value, number = map(self.text, node.inputs)
            return f"outer({value}, one_hot({number}))", ATOM
        joined = joined_text(node, self.text) if node.op == "put" else None
        if node.op == "put" and joined is None and not label_of(node):
            place = node.data[0]  # type: ignore[index]
            return f"put({place_text(place)}, {self.text(node.inputs[0])})", ATOM
        if node.inputs and node.op not in TABLE and node.op not in INDEX_OPS:
            return f"{node.op}({', '.join(map(self.text, node.inputs))})", ATOM
        return super().bound(node)


def _equal(node: Node) -> tuple[Node, Node] | None:
    """The sides of (u >= v) * (v >= u), which is u == v."""
    is_pair = node.op == "mul" and all(c.op == "greater_equal" for c in node.inputs)
    if not is_pair:
        return None
    (u, v), (w, x) = (child.inputs for child in node.inputs)
    writer = Writer()
    same = writer.text(u) == writer.text(x) and writer.text(v) == writer.text(w)
    return (u, v) if same else None
