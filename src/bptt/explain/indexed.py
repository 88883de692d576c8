"""A cell with indices: its gradient as equations, as the language writes them.

    S[t, j] = S[t-1, j] @ diag(g[t, j]) + outer(v[t, j], k[t, j])
    grad_S[t, j] = outer(grad_o[t, j], q[t, j]) + grad_S[t+1, j] @ diag(g[t+1, j]).T
    grad_W_k[j] = sum(t, outer(grad_k[t, j], x[t]))

They are printed from the graph that is computed, which `check` compares with its
oracles. There are no cards, numbers or drawings of such a cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bptt.calculus.bprop import carry_name, grad_name
from bptt.calculus.program import Request, gradient_at, gradient_of, gradient_program
from bptt.check.instances import seeded_name
from bptt.explain.context import Subject
from bptt.explain.model import Listing, PagePanel, Paragraph, Text
from bptt.explain.panels import opening
from bptt.language.print_indices import place_text, with_places
from bptt.language.printer import ATOM, Writer, print_graph
from bptt.step import ops
from bptt.step.graph import Graph, Node, name_of, rebuild, shift, shift_of
from bptt.step.ops import INDEX_OPS, TABLE
from bptt.step.places import IndexPlace

SUMS = {"total": "{}", "total_outer": "outer({}, {})"}
ADDED = ("add", "sub", "neg")
OF_NUMBERS = ("header.numbers", "header.limit")  # sentences about what is not shown
LONGEST = 600  # letters of a line
NEW_INDEX = "'"  # what a place has for a name where a gradient is read elsewhere


def panels(context: Subject) -> list[PagePanel]:
    """What a document shows of such a cell before the ledger."""
    graph, header = context.cell.graph, opening.header(context)
    kept = tuple(
        block
        for block in header.blocks
        if not (isinstance(block, Paragraph) and block.text.id in OF_NUMBERS)
    )
    return [
        replace(header, blocks=kept),
        PagePanel("cell", 1, Text("panel.cell"), (
            Paragraph(Text("indexed.cell")), Listing(print_graph(graph), "equations"),
        )),
        PagePanel("derivation", 3, Text("panel.derivation"), (
            Paragraph(Text("indexed.gradient")),
            Listing("\n".join(gradient_lines(graph)), "gradient"),
            Paragraph(Text("indexed.missing")),
        )),
    ]  # fmt: skip


def gradient_lines(graph: Graph) -> list[str]:
    """One equation a line: of every definition from the last on, then of parameters."""
    return list(_lines(graph))


def _lines(graph: Graph) -> Iterator[str]:
    seeds = () if graph.loss else (seeded_name(graph),)
    names = tuple(graph.definitions)
    roots = gradient_program(graph, Request(names, seeds=seeds)).roots
    reader = _Reader(roots, {grad_name(n): f"grad_{n}" for n in names})
    found = {f"grad_{n}[t]": roots.get(gradient_at(n)) for n in reversed(names)}
    found |= {f"grad_{n}": roots.get(gradient_of(n)) for n in graph.parameters}
    for target, root in found.items():
        if root is None:
            yield f"{target} = 0"
        else:
            yield _line(target, reader.read(_inside(root)), graph)
    for name, carry in reader.kept.items():
        yield _line(f"{name}[t]", reader.read(_inside(roots[carry])), graph)


def _inside(root: Node) -> Node:
    while root.op == "named":
        (root,) = root.inputs
    return root


def _line(target: str, body: Node, graph: Graph) -> str:
    places, body = _spread(body)
    line = f"{with_places(target, places)} = {_Gradients(graph).text(body)}"
    taken = {*graph.indices, *graph.parameters, *graph.inputs, *graph.definitions, "t"}
    free = next(letter for letter in "pqrsuvwabcdefghklmnoxyz" if letter not in taken)
    line = line.replace(NEW_INDEX, free)
    if len(line) <= LONGEST:
        return line
    start = line.partition(" = ")[0]
    return f"{start} = ...  # {len(line)} letters: name the parts of its equation"


@dataclass(frozen=True)
class _Reader:
    """Reads a gradient's definition: other gradients by name.

    What is carried from step to step is put in its place; kept: the carries that read
    themselves, which stay, by the name that they are given.
    """

    roots: Mapping[str, Node]
    gradients: Mapping[str, str]
    kept: dict[str, str] = field(default_factory=dict)

    def read(self, node: Node, by: int = 0) -> Node:
        """An expression at step t + by."""
        if node.op == "named":
            name = self.gradients.get(name_of(node), name_of(node))
            return _value(name, by, node)
        if node.op in ("seed", "weight"):
            name = f"incoming_{node.data}" if node.op == "seed" else "weight"
            return _value(name, by, node)
        if node.op == "input":
            return _value(name_of(node), by, node)
        if node.op == "shift":
            return self._shifted(node, by)
        if not node.inputs:
            return node
        return rebuild(node, tuple(self.read(child, by) for child in node.inputs))

    def _shifted(self, node: Node, by: int) -> Node:
        name, lag = shift_of(node)
        source = name.partition("(")[2].partition("[")[0]
        if name not in (carry_name(source, -1), carry_name(source, 1)):
            return _value(self.gradients.get(name, name), by + lag, node)
        if self._reads_itself(name):
            self.kept[f"carried_{source}"] = name
            return _value(f"carried_{source}", by + lag, node)
        return self.read(_inside(self.roots[name]), by + lag)

    def _reads_itself(self, carry: str) -> bool:
        """Whether a carry reads itself, or others that read it."""
        waiting, seen = [carry], set[str]()
        while waiting:
            for node in _own(_inside(self.roots[waiting.pop()])):
                name = str(shift_of(node)[0])
                if name == carry:
                    return True
                if name.startswith("carry(") and name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return False


def _value(name: str, lag: int, node: Node) -> Node:
    if lag:
        return shift(name, lag, node.shape)
    return Node("input", (), node.shape, name)


def _own(node: Node) -> Iterator[Node]:
    """What an expression reads at other steps; nothing behind a name."""
    if node.op == "shift":
        yield node
    elif node.op != "named":
        for child in node.inputs:
            yield from _own(child)


# ----- one element of what has places -----


def _spread(node: Node) -> tuple[tuple[str, ...], Node]:
    """The indices of an equation's left side, and one element of its right side."""
    names: list[str] = []
    while (place := _first_place(node)) is not None:
        node = _element(node, place)
        names.append(place.terms[0].name)
    return tuple(names), node


def _first_place(node: Node) -> IndexPlace | None:
    if node.op == "put":
        data: Any = node.data
        return data[0] if data[0].is_plain and not data[1] else None
    if node.op not in ADDED:
        return None
    found = map(_first_place, node.inputs)
    return next((place for place in found if place is not None), None)


def _element(node: Node, place: IndexPlace) -> Node:
    if node.op == "put":
        data: Any = node.data
        if data[0] == place:
            return node.inputs[0]
    if node.op in ADDED:
        return rebuild(node, tuple(_element(child, place) for child in node.inputs))
    return ops.at(node, place)


# ----- how it is written -----


@dataclass(frozen=True)
class _Gradients(Writer):
    """Also writes what only a gradient has: sums over steps, and places written."""

    def bound(self, node: Node) -> tuple[str, int]:
        """The text of a node and how tightly it binds."""
        if node.op in SUMS:
            terms = SUMS[node.op].format(*map(self.text, node.inputs))
            return f"sum(t, {terms})", ATOM
        if node.op == "at" and node.inputs[0].op == "total_outer_at":
            return self._outer(node.inputs[0]), ATOM
        if node.op == "put":
            data: Any = node.data
            return f"put({place_text(data[0])}, {self.text(node.inputs[0])})", ATOM
        if node.inputs and node.op not in TABLE and node.op not in INDEX_OPS:
            return f"{node.op}({', '.join(map(self.text, node.inputs))})", ATOM
        return super().bound(node)

    def _outer(self, node: Node) -> str:
        """The outer product at one place, summed over steps."""
        left, right = (_spread(child)[1] for child in node.inputs)
        return f"sum(t, outer({self.text(left)}, {self.text(right)}))"
